"""Spectra of images as magnetic resonance measures them: the transform, masks of lines, data consistency.

Spectra are orthonormal, with frequency 0 at index size // 2 of both axes.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from zerosum.draws import Draws

__all__ = [
    "SAMPLINGS",
    "Sampling",
    "consistent",
    "equispaced",
    "fourier",
    "inverse_fourier",
    "line_mask",
    "variable_density",
]

Size = tuple[int, int]
Sampling = Callable[[Draws, Size], Tensor]


def fourier(x: Tensor) -> Tensor:
    """The orthonormal transform of [..., H, W], frequency 0 and the image's origin at index size // 2.

    The origin is moved to index 0 (ifftshift) before, and frequency 0 to the middle after: the two differ at
    odd sizes. So a point in the middle has a constant, real spectrum.

    >>> point = torch.zeros(3, 5); point[1, 2] = 15**0.5
    >>> bool((fourier(point) - 1).abs().max() < 1e-6)
    True
    """
    spectrum: Tensor = torch.fft.fft2(torch.fft.ifftshift(x, (-2, -1)), norm="ortho")
    return spectrum.roll((x.shape[-2] // 2, x.shape[-1] // 2), (-2, -1))


def inverse_fourier(k: Tensor) -> Tensor:
    """The inverse and adjoint of `fourier`; complex.

    >>> x = torch.randn(2, 5, 4)
    >>> torch.allclose(inverse_fourier(fourier(x)).real, x, atol=1e-6)
    True
    """
    image: Tensor = torch.fft.ifft2(torch.fft.ifftshift(k, (-2, -1)), norm="ortho")
    return image.roll((k.shape[-2] // 2, k.shape[-1] // 2), (-2, -1))


def line_mask(shape: tuple[int, int, int], lines: Tensor) -> Tensor:
    """Whole columns of frequencies: `lines` [W] → [1, H, W]; [B, W] → [B, 1, H, W].

    >>> line_mask((1, 2, 4), equispaced(4, 2)).shape
    torch.Size([1, 2, 4])
    """
    return lines[..., None, None, :].expand(*lines.shape[:-1], 1, shape[1], lines.shape[-1]).clone()


def _counts(size: int, acceleration: float, centre: int) -> int:
    """How many lines lie outside the centre: round(size / acceleration) in all."""
    lines = round(size / acceleration) if acceleration >= 1 else 0
    if not 1 <= lines <= size:
        raise ValueError(f"--acceleration {acceleration:g} of {size} lines leaves none: give 1 to {size}")
    if not 0 <= centre <= lines:
        raise ValueError(f"--centre {centre}: with --acceleration {acceleration:g} there are {lines} lines")
    return lines - centre


def _middle(size: int, centre: int) -> Tensor:
    """A full centre of so many lines about index size // 2."""
    keep = torch.zeros(size, dtype=torch.bool)
    start = size // 2 - centre // 2
    keep[start : start + centre] = True
    return keep


def variable_density(
    size: int, acceleration: float, *, power: float = 1.0, centre: int = 0, count: int = 1, seed: int = 0
) -> Tensor:
    """Lines drawn without repetition with weights |k|^−power, about a full centre: bool [count, size].

    k counts lines from frequency 0, at least 1. Of each mask round(size / acceleration) lines are measured,
    exactly, the `centre` ones about frequency 0 among them. Mask i depends on (seed, i) alone. Drawn by the
    largest of u^(1/weight) (Efraimidis & Spirakis 2006).

    Raises ValueError for an acceleration or a centre that leaves no lines.

    >>> variable_density(64, 4, centre=6, count=3).sum(1).tolist()
    [16, 16, 16]
    """
    return _by_weight(Draws(seed, stop=count).uniform("lines", size), acceleration, power, centre)


def _by_weight(uniform: Tensor, acceleration: float, power: float, centre: int) -> Tensor:
    """Lines for numbers in [0, 1), [n, size] → bool [n, size]."""
    size = uniform.shape[1]
    others = _counts(size, acceleration, centre)
    middle = _middle(size, centre)
    distance = (torch.arange(size) - size // 2).abs().clamp_min(1).double()
    keys = (uniform.cpu().double() + 2**-25).log() * distance**power
    keys[:, middle] = -math.inf
    chosen = keys.argsort(dim=1, descending=True, stable=True)[:, :others]
    return middle.repeat(len(uniform), 1).scatter(1, chosen, True)


def equispaced(size: int, acceleration: float, *, centre: int = 0, offset: int = 0) -> Tensor:
    """Evenly spaced lines about a full centre: bool [size].

    round(size / acceleration) lines are measured, exactly, the `centre` ones about frequency 0 among them;
    the others are spread over the lines outside it, two neighbouring gaps differing by one at most.
    `offset` moves them, periodically. Without a centre and with a whole acceleration that divides the size
    the gaps are the acceleration, and frequency 0 is measured at offset 0.

    Raises ValueError for an acceleration or a centre that leaves no lines.

    >>> equispaced(8, 2).int().tolist()
    [1, 0, 1, 0, 1, 0, 1, 0]
    """
    others = _counts(size, acceleration, centre)
    keep = _middle(size, centre)
    outside = (~keep).nonzero()[:, 0]
    if others:
        places = torch.arange(others) * len(outside) // others
        start = len(outside) // 2 + offset  # the first goes where frequency 0 is, or would be
        keep[outside[(places + start) % len(outside)]] = True
    return keep


def consistent(x: Tensor, y: Tensor, keep: Tensor, weight: float = 1.0) -> Tensor:
    """Real images moved to what was measured of them: x + w·A⁺(y − A x), A = M F; [..., H, W].

    With weight 1 the orthogonal projection on the real images that have these measurements: known samples
    are replaced, unknown ones stay (data consistency, Mardani et al. 2017; Schlemper et al. 2017, eq. 7,
    where w = λ/(1 + λ) trusts them less). As x is real, a sample tells that at −k too, its conjugate: without
    it only half of what is wrong would be put right where k is measured and −k is not.
    From x = 0 it gives A⁺y, the zero-filled image. `y` is complex and `keep` bool, True where measured;
    where it is False y is not looked at.

    >>> x, keep = torch.randn(1, 4, 6), line_mask((1, 4, 6), torch.arange(6) < 4)
    >>> once = consistent(torch.randn(1, 4, 6), fourier(x), keep)
    >>> torch.allclose(fourier(once)[keep], fourier(x)[keep], atol=1e-5)
    True
    """
    gap = torch.where(keep, y - fourier(x), 0)
    times = keep.to(x.dtype) + _mirrored(keep).to(x.dtype)
    whole = (gap + _mirrored(gap).conj()) / times.clamp_min(1)
    return x + weight * inverse_fourier(whole).real


def _mirrored(k: Tensor) -> Tensor:
    """What stands at −k, at k; the frequency −size/2 of an even size is its own."""
    even = [1 - k.shape[axis] % 2 for axis in (-2, -1)]
    return k.flip(-2, -1).roll(even, (-2, -1))


def variable(
    acceleration: float = 4.0, power: float = 1.0, centre: float = 0.08, fixed: int | None = None
) -> Sampling:
    """Lines drawn with weights |k|^−power about a full centre of so large a share; see `variable_density`.

    Each image has lines of its own, or all have those of the seed `fixed`.

    >>> variable()(Draws(stop=3), (8, 50)).float().mean((1, 2, 3))
    tensor([0.2400, 0.2400, 0.2400])

    Raises ValueError for an acceleration below 1, a power that is not finite, and a share outside [0, 1).
    """
    _check(acceleration, centre)
    if not math.isfinite(power):
        raise ValueError(f"sampling variable: power must be finite, not {power}")

    def sampling(draw: Draws, size: Size) -> Tensor:
        from_draw = draw if fixed is None else Draws(fixed)
        uniform = from_draw.uniform("lines", size[1]).expand(len(draw), -1)
        lines = _by_weight(uniform, acceleration, power, round(centre * size[1]))
        return line_mask((1, *size), lines).to(draw.device)

    return sampling


def evenly(acceleration: float = 4.0, centre: float = 0.08, offset: int = 0) -> Sampling:
    """Evenly spaced lines about a full centre of so large a share, the same for all; see `equispaced`.

    >>> evenly(centre=0)(Draws(stop=1), (1, 8)).int().flatten().tolist()
    [1, 0, 0, 0, 1, 0, 0, 0]

    Raises ValueError for an acceleration below 1, and a share outside [0, 1).
    """
    _check(acceleration, centre)

    def sampling(draw: Draws, size: Size) -> Tensor:
        lines = equispaced(size[1], acceleration, centre=round(centre * size[1]), offset=offset)
        return line_mask((1, *size), lines.expand(len(draw), -1)).to(draw.device)

    return sampling


def _check(acceleration: float, centre: float) -> None:
    if not 1 <= acceleration < math.inf:
        raise ValueError(f"--acceleration must be at least 1, not {acceleration:g}")
    if not 0 <= centre < 1:
        raise ValueError(f"--centre is a share of the lines, at least 0 and below 1, not {centre:g}")


SAMPLINGS: Mapping[str, Callable[..., Sampling]] = {"variable": variable, "equispaced": evenly}
