"""The Fréchet distance between two samples' features, from statistics that stream.

With Inception's features it is the FID of Heusel et al. 2017. It fits a normal law to each side:
d² = ‖μ₁−μ₂‖² + tr(C₁ + C₂ − 2(C₁C₂)^½) (Dowson & Landau 1982). Its estimate from N samples is too high by
about a constant over N, so two figures compare only at equal counts, and `frechet_infinity` extrapolates.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

__all__ = ["BLOCKS", "Moments", "dealt", "frechet_distance", "frechet_infinity", "frechet_jackknife"]

BLOCKS = 10
STUDENT = 2.262  # the 97.5 % point of Student's law with BLOCKS - 1 degrees of freedom
_ROWS = 1024  # taken in at once: bounds what float64 copies cost


class Moments:
    """Count, mean [D] and covariance [D, D] of features that come in batches, in float64.

    Batches are merged by their own means (Chan et al. 1983), so nothing is lost where the mean is large
    beside the spread, and the result depends on order and size of the batches only by rounding.

    >>> found = Moments.of(torch.tensor([[0.0], [2.0]]))
    >>> found.count, float(found.mean), float(found.covariance)
    (2, 1.0, 2.0)
    """

    def __init__(self, size: int) -> None:
        self.count = 0
        self.mean = torch.zeros(size, dtype=torch.float64)
        self._scatter = torch.zeros(size, size, dtype=torch.float64)

    @classmethod
    def of(cls, *batches: Tensor) -> Self:
        """The moments of features in one or several batches [n, D]."""
        return cls.over(batches)

    @classmethod
    def over(cls, batches: Iterable[Tensor]) -> Self:
        """The moments of features in batches [n, D] that come one after another."""
        found: Self | None = None
        for batch in batches:
            found = found or cls(batch.shape[1])
            found.update(batch)
        if found is None:
            raise ValueError("there are no features")
        return found

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray[Any, Any]]) -> Self:
        """What `arrays` gave. Raises KeyError or ValueError for anything else."""
        mean, scatter = (torch.from_numpy(arrays[name]) for name in ("mean", "scatter"))
        fits = mean.dim() == 1 and scatter.shape == 2 * mean.shape
        if not (fits and mean.dtype == scatter.dtype == torch.float64):
            raise ValueError("not the moments of features")
        found = cls(0)
        found.count, found.mean, found._scatter = int(arrays["count"]), mean, scatter
        return found

    def arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """All that it holds, to be kept in a file."""
        return {"count": np.array(self.count), "mean": self.mean.numpy(), "scatter": self._scatter.numpy()}

    @classmethod
    def merged(cls, parts: Sequence["Moments"]) -> Self:
        """The moments of everything that is in any of the parts, of which there is at least one."""
        found = cls(len(parts[0].mean))
        for part in parts:
            found._scatter += part._scatter
            found._join(part.count, part.mean)
        return found

    def update(self, features: Tensor) -> None:
        """Take in features [n, D]. Raises ValueError for another D and for values that are not finite."""
        if features.dim() != 2 or features.shape[1] != len(self.mean):
            raise ValueError(f"features [n, {len(self.mean)}] are needed, not {list(features.shape)}")
        for part in features.detach().split(_ROWS) if len(features) else ():
            x = part.to("cpu", torch.float64)
            mean = x.mean(0)
            if not bool(torch.isfinite(mean).all()):
                raise ValueError("some features are not finite (NaN or infinity)")
            x = x - mean
            self._scatter.addmm_(x.T, x)
            self._join(len(x), mean)

    def _join(self, count: int, mean: Tensor) -> None:
        """Bring in the count and mean of more samples, whose own scatter is in the sum already."""
        total = self.count + count
        if not count:
            return
        apart = mean - self.mean
        self._scatter.addr_(apart, apart, alpha=self.count * count / total)
        self.mean += apart * (count / total)
        self.count = total

    @property
    def covariance(self) -> Tensor:
        """[D, D], unbiased (over N−1). Raises ValueError for fewer than two samples."""
        return self._scatter / self._freedom

    @property
    def variance(self) -> Tensor:
        """The covariance's trace."""
        return self._scatter.trace() / self._freedom

    @property
    def _freedom(self) -> int:
        if self.count < 2:
            raise ValueError(f"a covariance needs at least 2 samples, not {self.count}")
        return self.count - 1

    @property
    def rank(self) -> int:
        """The most that the covariance's rank can be."""
        return min(self.count - 1, len(self.mean))

    def _root_trace(self, other: "Moments") -> Tensor:
        """tr (C₁C₂)^½, where the other's rank is no less; of the scatters, to spare copies of D² numbers."""
        scale = (self._freedom * other._freedom) ** 0.5
        factor, failed = torch.linalg.cholesky_ex(self._scatter)
        if self.rank < len(factor) or int(failed):
            values, vectors = torch.linalg.eigh(self._scatter)
            factor = vectors[:, -self.rank :] * values[-self.rank :].clamp_min(0).sqrt()
        values = torch.linalg.eigvalsh(factor.T @ other._scatter @ factor)
        if float(values[0]) < -1e-6 * float(values[-1].abs()):
            raise ValueError(
                f"a covariance has a negative eigenvalue ({float(values[0]):.3g}): not one of samples"
            )
        trace: Tensor = values.clamp_min(0).sqrt().sum() / scale
        return trace


def frechet_distance(real: Moments, fake: Moments) -> float:
    """d² = ‖μ₁−μ₂‖² + tr(C₁ + C₂ − 2(C₁C₂)^½) ≥ 0; symmetric in its arguments.

    With C₁ = LLᵀ the root's trace is Σ√λ of the symmetric LᵀC₂L, so no eigenvalue is complex. Where there
    are no more samples than dimensions C₁ is singular, and L is made of its eigenvectors; what its rank
    says must be 0 is left out, as its rounding (1e-16) would have a root of 1e-8. Then the distance says
    little: use several times as many samples as dimensions.

    >>> shifted = frechet_distance(Moments.of(torch.eye(3)), Moments.of(torch.eye(3) + 1))
    >>> round(shifted, 9)
    3.0

    Raises ValueError for features of different sizes, and for fewer than two samples of either.
    """
    if len(real.mean) != len(fake.mean):
        raise ValueError(f"real features have {len(real.mean)} numbers each, fake ones {len(fake.mean)}")
    one, other = sorted((real, fake), key=lambda moments: moments.rank)
    root = one._root_trace(other)
    apart = (real.mean - fake.mean).square().sum()
    return max(0.0, float(apart + real.variance + fake.variance - 2 * root))


def dealt(batches: Iterable[Tensor], count: int, seed: int = 0) -> tuple[Moments, ...]:
    """The moments of `count` samples' features, which come in batches [n, D], dealt at random to `BLOCKS`.

    A block's size is count/BLOCKS, rounded; which samples are in it depends on the seed alone, not on the
    batches. At random, since neighbours may be of one class. Raises ValueError for another count.

    >>> blocks = dealt(torch.eye(25).split(4), 25)
    >>> [block.count for block in blocks], Moments.merged(blocks).count
    ([3, 3, 3, 3, 3, 2, 2, 2, 2, 2], 25)
    """
    block = torch.randperm(count, generator=torch.Generator().manual_seed(seed)) % BLOCKS
    found: tuple[Moments, ...] = ()
    start = 0
    for batch in batches:
        found = found or tuple(Moments(batch.shape[1]) for _ in range(BLOCKS))
        mine = block[start : start + len(batch)]
        for number, moments in enumerate(found):
            moments.update(batch[mine == number])
        start += len(batch)
    if start != count or not found:
        raise ValueError(f"{count} samples were to come, and {start} did")
    return found


def frechet_jackknife(real: Moments, fakes: Sequence[Moments]) -> tuple[float, float | None]:
    """The distance of all blocks of fakes together, and its standard error over draws of as many fakes.

    Each block is left out in turn: s² = (g−1)/g Σⱼ(d₍ⱼ₎ − d̄)² of g blocks (Tukey 1958). It says nothing
    of the reals, which stay, nor of the bias. With g = BLOCKS, ± `STUDENT`·s holds 95 %. None in place of
    the error for fewer than two samples a block.

    >>> draws = torch.randn(2000, 3, generator=torch.Generator().manual_seed(0))
    >>> distance, error = frechet_jackknife(Moments.of(draws[:1000]), dealt([draws[1000:] + 1], 1000))
    >>> round(distance), 0.05 < error < 0.2
    (3, True)
    """
    distance = frechet_distance(real, Moments.merged(fakes))
    if min(block.count for block in fakes) < 2:
        return distance, None
    without = [
        frechet_distance(real, Moments.merged([*fakes[:left], *fakes[left + 1 :]]))
        for left in range(len(fakes))
    ]
    spread = torch.tensor(without, dtype=torch.float64).var(correction=0)
    return distance, float(((len(fakes) - 1) * spread).sqrt())


def frechet_infinity(
    real: Moments, fake: Tensor, *, sizes: Iterable[int] | None = None, seed: int = 0
) -> tuple[float, float]:
    """The distance extrapolated to infinitely many fakes, with its standard error.

    d²(N) = d²(∞) + c/N, fitted by least squares in 1/N to subsets of the fakes [M, D] (Chong & Forsyth
    2020, section 3; they take 15 sizes from 5,000 to 50,000 evenly in 1/N, here from M/10 or 2D, if
    that is more, to M). The bias by the reals' number stays. Raises ValueError for fewer than three sizes.

    >>> draws = torch.randn(3000, 4, generator=torch.Generator().manual_seed(0))
    >>> value, error = frechet_infinity(Moments.of(draws[:1500]), draws[1500:])
    >>> abs(value) < 0.02
    True
    """
    most = len(fake)
    if sizes is None:
        least = min(max(most // 10, 2 * fake.shape[1], 2), most)
        steps = torch.linspace(1 / least, 1 / most, 15, dtype=torch.float64)
        sizes = [round(1 / float(step)) for step in steps]
    counts = [n for n in sizes if 2 <= n <= most]
    if len(set(counts)) < 3:
        raise ValueError(f"an extrapolation needs three sizes from 2 to {most} samples, not {counts}")
    draw = torch.Generator().manual_seed(seed)
    found = [
        frechet_distance(real, Moments.of(fake[torch.randperm(most, generator=draw)[:n]])) for n in counts
    ]
    y = torch.tensor(found, dtype=torch.float64)
    x = torch.tensor([1 / n for n in counts], dtype=torch.float64)
    x = x - x.mean()
    slope = (x * y).sum() / x.square().sum()
    shift = 1 / torch.tensor(counts, dtype=torch.float64)
    value = y.mean() - slope * shift.mean()
    residual = (y - y.mean() - slope * x).square().sum() / (len(counts) - 2)
    error = (residual * (1 / len(counts) + shift.mean().square() / x.square().sum())).sqrt()
    return float(value), float(error)
