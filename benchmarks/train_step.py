"""One step of training, ours against a plain one: a critic's move and a generator's.

The baselines, `plain_dcgan` and `plain_resnet`, are what scripts commonly do. Both sides run the same
networks from the same weights and compute the same losses: DCGAN's, SN-GAN's (`--net resnet`) or
WGAN-GP's (`--net resnet --penalty wgan-gp`); the baseline's images are given to it decoded.

    python -m benchmarks.train_step [--net dcgan] [--penalty none] [--json] [--rounds N] [--batch 64]
        [--size 64] [--device cpu]
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch

from benchmarks.plain_dcgan import PlainDCGAN
from benchmarks.plain_resnet import PlainResNet
from benchmarks.rounds import interleave, report
from zerosum.data.formats import Check, Dataset, Format
from zerosum.data.source import Resident
from zerosum.recipes.table import RECIPES
from zerosum.training.loop import train
from zerosum.training.state import State

__all__ = ["CONTESTS", "Baseline", "Contest", "Ours", "main", "noise", "runners"]

Precision = Literal["fp32", "bf16"]
Baseline = PlainDCGAN | PlainResNet


@dataclass(frozen=True)
class Contest:
    """What is trained: a recipe, its settings for `width` feature maps, and the plain form of it.

    On either side a step is one turn of the critic and one of the generator on the same fakes.
    """

    recipe: str
    settings: Callable[[int], Mapping[str, Any]]
    plain: Callable[[int, int, torch.device | str], Baseline]
    width: int
    targets: Mapping[str, float]


CONTESTS: Mapping[tuple[str, str], Contest] = {
    ("dcgan", "none"): Contest(
        "dcgan",
        lambda width: {"width": width, "kernel": 4, "latent_law": "normal"},
        PlainDCGAN,
        64,
        {"exact": 1.15, "bf16": 2.0},
    ),
    ("resnet", "none"): Contest(
        "sngan",
        lambda width: {"width": 2 * width, "critic_width": width},
        partial(PlainResNet, "sngan"),
        128,
        {"exact": 1.45, "bf16": 2.7},
    ),
    ("resnet", "wgan-gp"): Contest(
        "wgan-gp-resnet",
        lambda width: {"width": width, "critic_width": width},
        partial(PlainResNet, "wgan-gp"),
        128,
        {"exact": 1.5, "bf16": 2.6},
    ),
}


class Ours:
    """The same training by `zerosum.training.loop.train`."""

    def __init__(
        self,
        contest: Contest,
        source: Resident,
        size: int,
        width: int,
        batch: int,
        precision: Precision,
        seed: int = 0,
    ) -> None:
        torch.manual_seed(seed)
        settings = {**contest.settings(width), "critic_steps": 1, "fakes": "shared"}
        made = RECIPES[contest.recipe].build((3, size, size), settings)
        self.game = made.game.to(source.device)
        self.game.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimisers, self.latent = made.optimisers, made.latent.size
        self.generator, self.critic = (self.game.get_submodule(name) for name in ("generator", "critic"))
        self.source, self.state, self.batch, self.precision = source, State(seed), batch, precision

    def step(self, steps: int = 1) -> None:
        """`steps` steps, each a move of the critic and one of the generator."""
        until = self.state.clock.images + steps * self.batch
        train(
            self.game,
            self.source,
            self.optimisers,
            self.state,
            until,
            batch=self.batch,
            precision=self.precision,
        )


def noise(size: int, count: int, device: torch.device | str) -> Resident:
    """`count` images of uint8 noise, resident on the device; what they show does not change the time."""
    samples = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    form = Format((3, size, size), "uint8", 0, 255)
    return Resident(Dataset("noise", form, samples, None, (), "", Check(count, count)), device=device)


def runners(
    contest: Contest, size: int, batch: int, width: int, steps: int, device: torch.device | str
) -> tuple[Callable[[], None], Mapping[str, Callable[[], None]]]:
    """The baseline's round and those of our cases, `steps` steps each."""
    source = noise(size, 8 * batch, device)
    exact, bf16 = (Ours(contest, source, size, width, batch, precision) for precision in ("fp32", "bf16"))
    plain = contest.plain(size, width, device).like(exact.generator, exact.critic)
    images = source(0, torch.arange(batch))["real"].contiguous()

    def baseline() -> None:
        for _ in range(steps):
            plain.step(images, torch.randn(batch, exact.latent, device=device))

    return baseline, {"exact": lambda: exact.step(steps), "bf16": lambda: bf16.step(steps)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.train_step", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--net", default="dcgan", choices=sorted({net for net, _ in CONTESTS}))
    parser.add_argument("--penalty", default="none", choices=sorted({penalty for _, penalty in CONTESTS}))
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=1, help="steps a round (on a GPU: 20 or more)")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=64, choices=(16, 32, 64, 128, 256), help="pixels a side")
    parser.add_argument(
        "--width", type=int, help="feature maps: dcgan's next to the image, 64; the residual critic's, 128"
    )
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args(arguments)
    contest = CONTESTS.get((chosen.net, chosen.penalty))
    if contest is None:
        parser.error(f"--penalty {chosen.penalty} needs --net resnet")
    width = chosen.width or contest.width
    baseline, cases = runners(contest, chosen.size, chosen.batch, width, chosen.steps, chosen.device)
    results = interleave(baseline, cases, chosen.rounds, device=chosen.device)
    heading = f"{contest.recipe} at {chosen.size}, width {width}, batch {chosen.batch}: plain time over ours"
    report(results, contest.targets, as_json=chosen.json, heading=heading)


if __name__ == "__main__":
    main()
