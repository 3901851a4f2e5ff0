"""The theorem of compressed sensing by a generator, with what it promises beside what was reached."""

from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.inverse.operators import Operator, Sized, check_images, check_measurements

__all__ = ["Promise", "promise", "restricted_eigenvalue"]


@dataclass(frozen=True)
class Promise:
    """What Theorem 1.1 says of B images, and what held; all [B], in units of the images' l2 norm."""

    range_error: Tensor  # min over z of ‖G(z) − x‖, or what a search found of it: above it then
    noise: Tensor  # ‖η‖
    excess: Tensor  # ε: by how much ‖y − AG(ẑ)‖ may be above its minimum over z
    error: Tensor  # ‖G(ẑ) − x‖

    @property
    def bound(self) -> Tensor:
        """6 min‖G(z) − x‖ + 3‖η‖ + 2ε."""
        return 6 * self.range_error + 3 * self.noise + 2 * self.excess

    @property
    def slack(self) -> Tensor:
        """The bound less the error; below 0 where the bound did not hold."""
        return self.bound - self.error

    @property
    def holds(self) -> Tensor:
        """Where the error is within the bound, up to rounding."""
        return self.slack >= -1e-6 * self.error


def promise(
    operator: Sized,
    y: Tensor,
    truth: Tensor,
    found: Tensor,
    nearest: Tensor,
    excess: Tensor | float | None = None,
) -> Promise:
    """‖G(ẑ) − x‖ ≤ 6 min_z ‖G(z) − x‖ + 3‖η‖ + 2ε, for each image (Bora et al. 2017, Theorem 1.1).

    It holds with probability 1 − e^−Ω(m) over A ~ N(0, 1/m), for a G of d ReLU layers and m = O(k d log n),
    so single cases may break it. `truth` x, `found` G(ẑ) and `nearest`, the nearest G(z) to x that is
    known, are [B, C, H, W]; `y` = Ax + η is [B, *measured], and η is taken from it. `nearest` by a search
    against the truth bounds the minimum from above only: the bound is then too wide by six times what the
    search missed.

    `excess` is ε where it is known, one or [B]. None takes ‖y − AG(ẑ)‖ − ‖y − AG(z)‖ for the nearest, where
    it is above 0: the least that can be told, for the true minimum may be lower.

    Raises ValueError for shapes that differ and for measurements that are not finite.

    >>> from zerosum.inverse.gaussian import Gaussian
    >>> A, x = Gaussian((1, 4, 4), 8), torch.ones(1, 1, 4, 4)
    >>> told = promise(A, A.forward(x), x, 1.5 * x, 1.25 * x, 0.0)
    >>> told.error, told.bound, told.holds
    (tensor([2.]), tensor([6.]), tensor([True]))
    """
    check_measurements(operator, y)
    check_images(operator.shape, truth)
    if not truth.shape == found.shape == nearest.shape:
        shapes = ", ".join(str(list(x.shape)) for x in (truth, found, nearest))
        raise ValueError(f"truth, found and nearest must be of one shape, not {shapes}")
    noise = _norm(y - operator.forward(truth), len(operator.measured))
    if excess is None:
        ours, best = (_norm(y - operator.forward(x), len(operator.measured)) for x in (found, nearest))
        excess = (ours - best).clamp_min(0)
    return Promise(
        _norm(nearest - truth, 3),
        noise,
        torch.as_tensor(excess, dtype=noise.dtype, device=noise.device).expand(noise.shape),
        _norm(found - truth, 3),
    )


def _norm(x: Tensor, dims: int) -> Tensor:
    return x.flatten(-dims).abs().square().sum(-1).sqrt()


def restricted_eigenvalue(operator: Operator, one: Tensor, other: Tensor, measured: int = 1) -> float:
    """min over pairs of ‖A(x₁ − x₂)‖/‖x₁ − x₂‖: the γ of S-REC(S, γ, 0) on these pairs.

    Bora et al. 2017, Definition 1; with pairs drawn from S, which no finite number exhausts, it bounds γ from
    above. `one` and `other` are [N, C, H, W]; `measured` is how many dimensions a measurement has. Pairs
    that are equal are left out; NaN where all are.

    >>> from zerosum.inverse.gaussian import subsampled
    >>> x = torch.randn(2, 9, 1, 4, 4)
    >>> round(restricted_eigenvalue(subsampled((1, 4, 4), 16), *x), 4)
    1.0
    """
    ratio = _norm(operator.forward(one - other), measured) / _norm(one - other, 3)
    ratio = ratio[~ratio.isnan()]
    return float(ratio.min()) if len(ratio) else float("nan")
