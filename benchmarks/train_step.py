"""One step of DCGAN training, ours against a plain one: a critic's move and a generator's.

The baseline, written here, is what scripts commonly do: NCHW, float32, Adam one parameter at a time,
the critic not frozen in the generator's turn, one fake drawn for the critic and judged again for the
generator, and convolutions down to 1×1 at both ends. Both run the same networks from the same
weights and compute the same losses; the baseline's images are given to it decoded.

    python -m benchmarks.train_step [--json] [--rounds N] [--batch 64] [--size 64] [--device cpu]
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.rounds import interleave, report
from zerosum.data.formats import Check, Dataset, Format
from zerosum.data.source import Resident
from zerosum.draws import Latent
from zerosum.games.adversarial import Adversarial
from zerosum.nets.dcgan import DCGANCritic, DCGANGenerator
from zerosum.objectives import non_saturating
from zerosum.training.loop import train
from zerosum.training.state import State

TARGETS = {"exact": 1.15, "bf16": 2.0}
LATENT = 100
LR, BETAS = 2e-4, (0.5, 0.999)

Precision = Literal["fp32", "bf16"]


class Plain:
    """The baseline's two networks, optimisers and step."""

    def __init__(self, size: int, width: int, device: torch.device | str) -> None:
        depth = size.bit_length() - 3  # halvings from `size` down to 4
        channels = [width * min(2**i, 8) for i in range(depth)]
        up: list[nn.Module] = [nn.ConvTranspose2d(LATENT, channels[-1], 4, 1, 0, bias=False)]
        down: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        for outer, inner in zip(channels[-2::-1], channels[:0:-1], strict=True):
            up += [nn.BatchNorm2d(inner), nn.ReLU(inplace=True)]
            up += [nn.ConvTranspose2d(inner, outer, 4, 2, 1, bias=False)]
        for outer, inner in pairwise(channels):
            down += [nn.Conv2d(outer, inner, 4, 2, 1, bias=False)]
            down += [nn.BatchNorm2d(inner), nn.LeakyReLU(0.2, inplace=True)]
        up += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        up += [nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), nn.Tanh()]
        self.generator = nn.Sequential(*up).to(device)
        self.critic = nn.Sequential(*down, nn.Conv2d(channels[-1], 1, 4, 1, 0), nn.Flatten(0)).to(device)
        self.generator_adam, self.critic_adam = (
            torch.optim.Adam(net.parameters(), lr=LR, betas=BETAS, foreach=False, fused=False)
            for net in (self.generator, self.critic)
        )

    def like(self, generator: DCGANGenerator, critic: DCGANCritic) -> "Plain":
        """Take over the weights of our networks, which hold the ends as matrices."""
        pairs = (*zip(_tensors(self.generator), _tensors(generator), strict=True),)
        pairs += (*zip(_tensors(self.critic), _tensors(critic), strict=True),)
        with torch.no_grad():
            for mine, theirs in pairs:
                # z → [C, 4, 4] is a matrix [C·16, z] there and a kernel [z, C, 4, 4] here.
                transposed = theirs.dim() == 2 and mine.shape[0] == theirs.shape[1]
                mine.copy_((theirs.mT if transposed else theirs).reshape(mine.shape))
        return self

    def step(self, real: Tensor, z: Tensor) -> None:
        """One move of the critic and one of the generator; `real` [B, 3, H, W], `z` [B, 100, 1, 1]."""
        ones, zeros = real.new_ones(len(real)), real.new_zeros(len(real))
        self.critic.zero_grad()
        F.binary_cross_entropy_with_logits(self.critic(real), ones).backward()
        fake = self.generator(z)
        F.binary_cross_entropy_with_logits(self.critic(fake.detach()), zeros).backward()
        self.critic_adam.step()
        self.generator.zero_grad()
        F.binary_cross_entropy_with_logits(self.critic(fake), ones).backward()
        self.generator_adam.step()


def _tensors(net: nn.Module) -> list[Tensor]:
    return [*net.parameters(), *net.buffers()]


class Ours:
    """The same training by `zerosum.training.loop.train`."""

    def __init__(
        self, source: Resident, size: int, width: int, batch: int, precision: Precision, seed: int = 0
    ) -> None:
        torch.manual_seed(seed)
        shape = (3, size, size)
        generator = DCGANGenerator(shape, latent=LATENT, width=width, kernel=4)
        critic = DCGANCritic(shape, width=width, kernel=4)
        game = Adversarial(generator, critic, Latent(LATENT), non_saturating(), fakes="shared")
        self.game = game.to(source.device)
        self.game.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimisers = {
            name: torch.optim.Adam(net.parameters(), lr=LR, betas=BETAS, fused=True)
            for name, net in (("generator", generator), ("critic", critic))
        }
        self.generator, self.critic = generator, critic
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
    size: int, batch: int, width: int, steps: int, device: torch.device | str
) -> tuple[Callable[[], None], Mapping[str, Callable[[], None]]]:
    """The baseline's round and those of our cases, `steps` steps each."""
    source = noise(size, 8 * batch, device)
    exact, bf16 = (Ours(source, size, width, batch, precision) for precision in ("fp32", "bf16"))
    plain = Plain(size, width, device).like(exact.generator, exact.critic)
    images = source(0, torch.arange(batch))["real"].contiguous()

    def baseline() -> None:
        for _ in range(steps):
            plain.step(images, torch.randn(batch, LATENT, 1, 1, device=device))

    return baseline, {"exact": lambda: exact.step(steps), "bf16": lambda: bf16.step(steps)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.train_step", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=1, help="steps a round (on a GPU: 20 or more)")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=64, choices=(16, 32, 64, 128, 256), help="pixels a side")
    parser.add_argument("--width", type=int, default=64, help="feature maps nearest the image")
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args(arguments)
    baseline, cases = runners(chosen.size, chosen.batch, chosen.width, chosen.steps, chosen.device)
    results = interleave(baseline, cases, chosen.rounds, device=chosen.device)
    heading = f"DCGAN-{chosen.size}, width {chosen.width}, batch {chosen.batch}: plain time over ours"
    report(results, TARGETS, as_json=chosen.json, heading=heading)


if __name__ == "__main__":
    main()
