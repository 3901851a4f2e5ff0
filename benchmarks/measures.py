"""Measures of samples, ours against the ways that are common.

"frechet-sqrtm": the Fréchet distance at d = 2048, ours by Cholesky and `eigvalsh`, theirs by SciPy's `sqrtm`
of the product, as the first implementation has it; "frechet-eigvals": theirs by the product's complex
eigenvalues, as torch-fidelity has it. All start from the moments, as the passes over features are alike.
"prdc": precision, recall, density and coverage at 10,000 × 2,048, against the package prdc. "mmd": MMD² with
five RBF widths and its gradient, against geomloss, one call a width, as it has no mixtures.

    python -m benchmarks.measures [--json] [--rounds N] [--case NAME] [--size D] [--count N]
"""

import argparse
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from benchmarks.rounds import Case, interleave, report
from zerosum.kernels import mmd2, rbf
from zerosum.metrics.frechet import Moments, frechet_distance
from zerosum.metrics.prdc import prdc

TARGETS = {"frechet-sqrtm": 8.0, "frechet-eigvals": 2.5, "prdc": 4.0, "mmd": 5.0}
WIDTHS = (1.0, 2.0, 4.0, 8.0, 16.0)
Run = Callable[[], object]


def features(count: int, size: int, seed: int) -> Tensor:
    """Correlated, non-negative features such as nets have, [count, size] float32."""
    draw = torch.Generator().manual_seed(seed)
    mix = torch.randn(size // 4, size, generator=torch.Generator().manual_seed(0)) / (size // 4) ** 0.5
    noise = 0.1 * torch.randn(count, size, generator=draw)
    return (torch.randn(count, size // 4, generator=draw) @ mix + noise).relu()


def by_sqrtm(real: Moments, fake: Moments) -> float:
    """The distance by SciPy's square root of C₁C₂."""
    from scipy.linalg import sqrtm

    a, b = real.covariance.numpy(), fake.covariance.numpy()
    root = sqrtm(a @ b)
    apart = np.square((real.mean - fake.mean).numpy()).sum()
    return float(apart + np.trace(a) + np.trace(b) - 2 * np.trace(np.real(root)))


def by_eigvals(real: Moments, fake: Moments) -> float:
    """The distance by the eigenvalues of C₁C₂, which is not symmetric."""
    a, b = real.covariance, fake.covariance
    root = torch.linalg.eigvals(a @ b).sqrt().real.sum()
    return float((real.mean - fake.mean).square().sum() + a.trace() + b.trace() - 2 * root)


def by_geomloss(real: Tensor, fake: Tensor) -> Tensor:
    """Biased MMD² summed over widths: geomloss gives half of it, a width at a time."""
    from geomloss import SamplesLoss

    losses = (SamplesLoss("gaussian", blur=width, backend="tensorized") for width in WIDTHS)
    return sum((2 * loss(real, fake) for loss in losses), torch.zeros(()))


def by_prdc(real: Tensor, fake: Tensor) -> dict[str, float]:
    """The package's four numbers."""
    from contextlib import redirect_stdout
    from io import StringIO

    from prdc import compute_prdc

    with redirect_stdout(StringIO()):  # it prints the counts
        found: dict[str, float] = compute_prdc(real.numpy(), fake.numpy(), nearest_k=5)
    return found


def graded(value: Callable[[Tensor], Tensor], fake: Tensor) -> tuple[Tensor, Tensor]:
    """A value and its gradient in the fakes."""
    leaf = fake.clone().requires_grad_()
    found = value(leaf)
    (slope,) = torch.autograd.grad(found, leaf)
    return found.detach(), slope


def contests(size: int, count: int) -> dict[str, Callable[[], tuple[Run, Run]]]:
    """Baseline and ours by the case's name; each makes its data when called."""

    def frechet(theirs: Callable[[Moments, Moments], float]) -> tuple[Run, Run]:
        enough = max(count, 2 * size)
        real, fake = (Moments.of(features(enough, size, seed)) for seed in (1, 2))
        return lambda: theirs(real, fake), lambda: frechet_distance(real, fake)

    def neighbours() -> tuple[Run, Run]:
        real, fake = features(count, size, 1), features(count, size, 2)
        return lambda: by_prdc(real, fake), lambda: prdc(real, fake, 5)

    def kernels() -> tuple[Run, Run]:
        draw = torch.Generator().manual_seed(0)
        real, fake = torch.rand(2, min(count, 1000), 784, generator=draw)
        kernel = rbf(WIDTHS)
        return (
            lambda: graded(lambda y: by_geomloss(real, y), fake),
            lambda: graded(lambda y: mmd2(real, y, kernel, "biased"), fake),
        )

    return {
        "frechet-sqrtm": lambda: frechet(by_sqrtm),
        "frechet-eigvals": lambda: frechet(by_eigvals),
        "prdc": neighbours,
        "mmd": kernels,
    }


def run(names: Sequence[str], size: int, count: int, rounds: int) -> list[Case]:
    """The cases asked for, one after the other."""
    found = []
    for name in names:
        baseline, ours = contests(size, count)[name]()
        found += interleave(baseline, {name: ours}, rounds, warm_up=1)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.measures",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", action="append", choices=list(TARGETS), help="one case; all if not given")
    parser.add_argument("--size", type=int, default=2048, help="numbers a feature has")
    parser.add_argument("--count", type=int, default=10_000, help="samples of each side")
    options = parser.parse_args(arguments)
    cases = run(options.case or list(TARGETS), options.size, options.count, options.rounds)
    heading = f"measures of {options.count:,} samples with {options.size:,} features"
    report(cases, TARGETS, as_json=options.json, heading=heading)


if __name__ == "__main__":
    main()
