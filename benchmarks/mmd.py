"""A mixture-of-Gaussians MMD² and its gradient in the fakes, ours against a plain one.

The baseline, written here, is what scripts commonly do: three full matrices of `torch.cdist`, an
exponential per width, autograd through all of it. Both compute the biased MMD² of the same float32
samples; real ones have no gradient. "doubling" has MMD-GAN's widths 1, 2, 4, 8, 16, "gmmn" GMMN's,
√2 … √80, in D = 784; "codes" has GMMN's in the 32 dimensions of its auto-encoder.

    python -m benchmarks.mmd [--json] [--rounds N] [--batch 1000] [--device cpu]
"""

import argparse
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from benchmarks.rounds import interleave, report
from zerosum.kernels import mmd2, rbf

DOUBLING = (1.0, 2.0, 4.0, 8.0, 16.0)
GMMN = tuple(scale**0.5 for scale in (2, 5, 10, 20, 40, 80))
CASES = {"doubling": (DOUBLING, 784), "gmmn": (GMMN, 784), "codes": (GMMN, 32)}
TARGETS: dict[str, float] = {}


def plain(real: Tensor, fake: Tensor, widths: Sequence[float]) -> Tensor:
    """The biased MMD², an exponential per width on distances that are made three times."""

    def mean(x: Tensor, y: Tensor) -> Tensor:
        distances = torch.cdist(x, y)
        return sum(torch.exp(-(distances**2) / (2 * width**2)) for width in widths).mean()  # type: ignore[union-attr]

    return mean(real, real) + mean(fake, fake) - 2 * mean(real, fake)


def runners(
    widths: Sequence[float], size: int, batch: int, device: torch.device | str
) -> tuple[Callable[[], tuple[Tensor, Tensor]], Callable[[], tuple[Tensor, Tensor]]]:
    """The baseline and ours, each giving MMD² and its gradient on the same pixels in [0, 1]."""
    draw = torch.Generator().manual_seed(0)
    real, fake = (torch.rand(2, batch, size, generator=draw) ** torch.tensor([1.0, 1.1])[:, None, None]).to(
        device
    )
    kernel = rbf(widths)

    def graded(value: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        leaf = fake.clone().requires_grad_()
        found = value(leaf)
        (slope,) = torch.autograd.grad(found, leaf)
        return found.detach(), slope

    return lambda: graded(lambda y: plain(real, y, widths)), lambda: graded(
        lambda y: mmd2(real, y, kernel, "biased")
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mmd", description="MMD², ours against a plain one."
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args(arguments)
    results = []
    for name, (widths, size) in CASES.items():
        baseline, ours = runners(widths, size, chosen.batch, chosen.device)
        results += interleave(baseline, {name: ours}, chosen.rounds, device=chosen.device)
    report(
        results, TARGETS, as_json=chosen.json, heading=f"MMD² of {chosen.batch} and {chosen.batch} samples"
    )


if __name__ == "__main__":
    main()
