"""Smooth pictures: total variation from any measurements, and biharmonic filling of holes."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.inverse.masks import Mask
from zerosum.inverse.operators import Sized, check_measurements, extra
from zerosum.inverse.settling import Settled, State, settle

__all__ = ["Filled", "biharmonic", "total_variation", "tv_denoise", "tv_inpaint", "tv_reconstruct"]

LIMITS = (-1.0, 1.0)
_SLOPE = 8.0  # ‖∇‖² is below it, whatever the size


@dataclass(frozen=True)
class Filled:
    """Estimates of images, clipped to their range."""

    image: Tensor  # [..., C, H, W]
    steps: Tensor  # [...]: how many steps each took
    settled: Tensor  # [...], bool: False where the limit ended it


def total_variation(x: Tensor) -> Tensor:
    """Σ over pixels of the length of all channels' differences down and across: [..., C, H, W] → [...].

    Isotropic, colours coupled (Rudin, Osher & Fatemi 1992; Blomgren & Chan 1998, the variant of Bresson &
    Chan 2008), forward differences, 0 beyond the last row and column.

    >>> total_variation(torch.tensor([[[0.0, 3.0], [4.0, 0.0]]]))
    tensor(12.)
    """
    return _slopes(x).square().sum((-4, -3)).sqrt().sum((-2, -1))


def _slopes(x: Tensor) -> Tensor:
    """∇x: differences down and across, [..., 2, C, H, W]."""
    slopes = torch.zeros(*x.shape[:-3], 2, *x.shape[-3:], dtype=x.dtype, device=x.device)
    slopes[..., 0, :, :-1, :] = x.diff(dim=-2)
    slopes[..., 1, :, :, :-1] = x.diff(dim=-1)
    return slopes


def _gathered(p: Tensor) -> Tensor:
    """∇ᵀp: [..., 2, C, H, W] → [..., C, H, W]."""
    down, across = p[..., 0, :, :-1, :], p[..., 1, :, :, :-1]
    x = torch.zeros_like(p[..., 0, :, :, :])
    x[..., 1:, :] += down
    x[..., :-1, :] -= down
    x[..., :, 1:] += across
    x[..., :, :-1] -= across
    return x


def _shortened(p: Tensor, longest: float) -> Tensor:
    """Each pixel's vector over directions and channels, at most so long."""
    length = p.square().sum((-4, -3), keepdim=True).sqrt()
    return p / (length / longest).clamp_min(1)


def tv_reconstruct(
    operator: Sized,
    y: Tensor,
    weight: float,
    *,
    limits: tuple[float, float] | None = LIMITS,
    tolerance: float = 1e-4,
    limit: int = 3000,
) -> Filled:
    """argmin over x of ½‖Ax − y‖² + weight·TV(x), all images at once.

    By the primal-dual method of Condat 2013 and Vũ 2013, which needs A and A* only. `y` is [..., *measured].
    An image stops when a step changes it by less than `tolerance` of itself, or after `limit`, and does not
    depend on those beside it. `limits` clips the result.

    Raises ValueError for measurements of another shape or not finite, and a weight not above 0.

    >>> from zerosum.inverse.filters import block_mean
    >>> A = block_mean((1, 4, 4), 2)
    >>> tv_reconstruct(A, torch.full((5, 1, 2, 2), 0.3), 0.01).image.shape
    torch.Size([5, 1, 4, 4])
    """
    check_measurements(operator, y)
    start = operator.adjoint(y) / max(operator.norm, 1e-12) ** 2

    def slope(x: Tensor) -> Tensor:
        return operator.adjoint(operator.forward(x) - y)

    return _filled(_condat(slope, start, operator.norm, weight, tolerance, limit), limits)


def tv_denoise(
    y: Tensor,
    weight: float,
    *,
    limits: tuple[float, float] | None = LIMITS,
    tolerance: float = 1e-4,
    limit: int = 3000,
) -> Filled:
    """argmin over x of ½‖x − y‖² + weight·TV(x), [..., C, H, W] (Rudin, Osher & Fatemi 1992).

    As `tv_reconstruct` with A = 1.

    >>> tv_denoise(torch.tensor([[[0.8, -0.4]]]), 0.1).image
    tensor([[[ 0.7000, -0.3000]]])
    """
    _check_finite(y)
    return _filled(_condat(lambda x: x - y, y, 1.0, weight, tolerance, limit), limits)


def _condat(
    slope: Callable[[Tensor], Tensor],
    start: Tensor,
    norm: float,
    weight: float,
    tolerance: float,
    limit: int,
) -> Settled:
    """Where f(x) + weight·TV(x) is least; f's `slope` has the Lipschitz constant norm²."""
    if not 0 < weight < math.inf:
        raise ValueError(f"the weight of total variation must be above 0, not {weight}")
    dual = weight  # p is as long as the weight, and images differ by about 1: measured the quickest
    primal = 1 / (norm**2 / 2 + dual * _SLOPE)

    def step(state: State) -> State:
        x, p = state
        new = x - primal * (slope(x) + _gathered(p))
        return new, _shortened(p + dual * _slopes(2 * new - x), weight)

    return settle(
        step, (start, torch.zeros_like(_slopes(start))), tolerance=tolerance, limit=limit, watched=2
    )


def tv_inpaint(
    mask: Mask,
    y: Tensor,
    *,
    limits: tuple[float, float] | None = LIMITS,
    tolerance: float = 1e-4,
    limit: int = 3000,
) -> Filled:
    """argmin over x of TV(x) with the known pixels as they are, [..., C, H, W] (Chan & Shen 2002, no noise).

    By the primal-dual method of Chambolle & Pock 2011 (algorithm 1), whose first step sets the known pixels.
    `y` holds them; what it holds where the mask hides is not looked at. Stops, clips and raises as
    `tv_reconstruct`.

    >>> keep = torch.tensor([[[True, False, True]]])
    >>> x = tv_inpaint(Mask((1, 1, 3), keep), torch.tensor([[[0.2, 0.0, 0.6]]])).image
    >>> bool(0.2 <= x[0, 0, 1] <= 0.6), x[0, 0, ::2]
    (True, tensor([0.2000, 0.6000]))
    """
    y, keep, start = known_pixels(mask, y)
    primal = 0.3 / math.sqrt(_SLOPE)
    dual = 1 / (_SLOPE * primal)

    def step(state: State) -> State:
        x, p = state
        new = torch.where(keep, y, x - primal * _gathered(p))
        return new, _shortened(p + dual * _slopes(2 * new - x), 1.0)

    done = settle(
        step, (start, torch.zeros_like(_slopes(start))), tolerance=tolerance, limit=limit, watched=2
    )
    return _filled(done, limits)


def biharmonic(mask: Mask, y: Tensor, *, limits: tuple[float, float] | None = LIMITS) -> Tensor:
    """Holes filled by Δ²x = 0 from the known pixels around, [..., C, H, W].

    scikit-image's `inpaint_biharmonic` (after Damelin & Hoang 2018), image by image, in float64; it keeps
    what it fills within the range of the known pixels. Raises ValueError as `tv_inpaint`.

    >>> keep = torch.ones(1, 5, 5, dtype=torch.bool); keep[0, 2, 2] = False
    >>> ramp = torch.arange(5.0).expand(1, 5, 5) / 5
    >>> bool((biharmonic(Mask((1, 5, 5), keep), ramp) - ramp).abs().max() < 1e-6)
    True
    """
    y, keep, _ = known_pixels(mask, y)
    inpaint = extra("skimage.restoration").inpaint_biharmonic
    planes = y.reshape(-1, *y.shape[-2:])
    holes = ~keep.expand(y.shape).reshape(planes.shape).cpu()
    filled = [
        torch.from_numpy(inpaint(plane.numpy(), hole.numpy())) if bool(hole.any()) else plane
        for plane, hole in zip(planes.double().cpu(), holes, strict=True)
    ]
    x = torch.where(keep, y, torch.stack(filled).reshape(y.shape).to(y))
    return x if limits is None else x.clamp(*limits)


def known_pixels(mask: Mask, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The known pixels (0 elsewhere), where they are, and a start: holes at each channel's known mean."""
    keep = mask.keep.to(y.device)
    y = mask.forward(y)
    _check_finite(y)
    y, keep = torch.broadcast_tensors(y, keep)
    count = keep.sum((-2, -1), keepdim=True)
    if bool((count == 0).any()):
        raise ValueError("--mask hides the whole of a channel: there is nothing to fill it from")
    return y, keep, torch.where(keep, y, y.sum((-2, -1), keepdim=True) / count)


def _check_finite(y: Tensor) -> None:
    wrong = int((~y.isfinite()).sum())
    if wrong:
        raise ValueError(f"{wrong} of {y.numel()} measurements are not finite: correct or leave them out")


def _filled(done: Settled, limits: tuple[float, float] | None) -> Filled:
    x = done.state[0]
    return Filled(x if limits is None else x.clamp(*limits), done.steps, done.settled)
