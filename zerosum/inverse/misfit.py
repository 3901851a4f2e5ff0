"""What a search makes small: how far an image is from what was measured, and what is known beforehand.

For restarts × images at once: latents [R, B, k] decode to images [R, B, C, H, W], whose misfit is [R, B].
Nothing is averaged over the batch, so weights mean the same however many images are searched together.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from zerosum.inverse.operators import Shown

__all__ = ["Decode", "Linear", "Misfit", "Prior", "Problem", "Whole", "jacobian"]

Decode = Callable[[Tensor], Tensor]
_AT_ONCE = 2**26  # numbers of a Jacobian that are held at once


class Linear(Protocol):
    """A linear map of images [..., C, H, W] to what is measured of them, [..., *m]."""

    def forward(self, x: Tensor) -> Tensor:
        """A x."""
        ...


@dataclass(frozen=True)
class Whole:
    """All of an image is measured: y = x. The misfit then asks which latent draws it.

    >>> Whole().forward(torch.ones(1, 2, 2)).sum()
    tensor(4.)
    """

    def forward(self, x: Tensor) -> Tensor:
        """The image itself."""
        return x


@dataclass(frozen=True)
class Misfit:
    """Σ |W (A x − y)|^power for each image; power 2 is the usual one, 1 forgives outliers and model errors.

    `measured` y is [B, *m], real or complex. `weight` W multiplies each residual, [*m] or [B, *m];
    `whiten` [n, n] or [B, n, n] multiplies the flattened residual instead: with L Lᵀ the covariance of the
    noise and of what the generator cannot draw, L⁻¹ makes the misfit a log-likelihood.

    >>> class Sum:
    ...     def forward(self, x): return x.sum((-3, -2, -1), keepdim=True).flatten(-3)
    >>> Misfit(Sum(), torch.tensor([[1.0]]))(torch.ones(1, 1, 1, 2, 2))
    tensor([[9.]])

    Raises ValueError for measurements that are not finite.
    """

    operator: Linear
    measured: Tensor
    weight: Tensor | None = None
    whiten: Tensor | None = None
    power: Literal[1, 2] = 2

    def __post_init__(self) -> None:
        if not bool(torch.isfinite(self.measured).all()):
            bad = int((~torch.isfinite(self.measured)).flatten(1).any(1).nonzero()[0])
            raise ValueError(
                f"measurements of image {bad} are not finite (NaN or infinity): mend or leave it out"
            )

    def residual(self, x: Tensor) -> Tensor:
        """W (A x − y), real: images [..., B, C, H, W] → [..., B, n]."""
        return self._flat(self.operator.forward(x) - self.measured)

    def direction(self, dx: Tensor) -> Tensor:
        """W A dx: what a change of the images [..., B, C, H, W] changes of the residuals, [..., B, n]."""
        return self._flat(self.operator.forward(dx))

    def _flat(self, r: Tensor) -> Tensor:
        if self.weight is not None:
            r = r * self.weight
        r = r.flatten(-(self.measured.dim() - 1))
        if r.is_complex():
            r = torch.view_as_real(r).flatten(-2)
        if self.whiten is not None:
            r = (self.whiten @ r.unsqueeze(-1)).squeeze(-1)
        return r

    def total(self, residual: Tensor) -> Tensor:
        """The misfit of residuals: [..., n] → [...]."""
        return residual.square().sum(-1) if self.power == 2 else residual.abs().sum(-1)

    def __call__(self, x: Tensor) -> Tensor:
        """Images [..., B, C, H, W] → misfits [..., B]."""
        return self.total(self.residual(x))

    def of(self, chosen: slice | Tensor) -> "Misfit":
        """The misfit of some images, in any order; masks that are one an image are chosen alike."""

        def part(x: Tensor | None, shared: int) -> Tensor | None:
            return x[chosen] if x is not None and x.dim() > shared else x

        weight = part(self.weight, self.measured.dim() - 1)
        operator = _of_images(self.operator, chosen)
        return Misfit(operator, self.measured[chosen], weight, part(self.whiten, 2), self.power)


def _of_images(operator: Linear, chosen: slice | Tensor) -> Linear:
    """The operator of some images: masks that are one an image are chosen, also within `Shown`."""
    keep = getattr(operator, "keep", None)
    if isinstance(keep, Tensor) and keep.dim() > 3 and len(keep) > 1:
        return cast(Linear, replace(cast(Any, operator), keep=keep[chosen]))
    if isinstance(operator, Shown):
        return replace(operator, operator=cast(Any, _of_images(operator.operator, chosen)))
    return operator


@dataclass(frozen=True)
class Prior:
    """What is known of a latent beforehand: `norm`·‖z‖² + `realism`·log(1 − σ(D(G(z)))).

    The first is Bora et al. 2017 (λ‖z‖²), the second Yeh et al. 2017, eq. 5: of the critic's logits
    log(1 − σ(l)) = −softplus(l), low where the critic takes the image for real. `within` keeps every number
    of z in ±within after each step, as both papers' codes do for uniform latents; `shell` keeps ‖z‖ below
    √k + 2, where all but a fortieth of normal latents lie.

    >>> Prior(norm=0.1)(torch.ones(1, 1, 10), torch.zeros(1, 1, 1, 2, 2))
    tensor([[1.]])

    Raises ValueError for a weight below 0, and for `realism` without a critic.
    """

    norm: float = 0.0
    realism: float = 0.0
    critic: Callable[[Tensor], Tensor] | None = None
    within: float | None = None
    shell: bool = False

    def __post_init__(self) -> None:
        if not (0 <= self.norm < math.inf and 0 <= self.realism < math.inf):
            raise ValueError(
                f"a prior's weights must be at least 0, not norm={self.norm}, realism={self.realism}"
            )
        if self.realism and self.critic is None:
            raise ValueError(
                "the realism prior asks the critic, and this run has none: give it weight 0, or a run of a "
                "recipe with a critic"
            )

    def __call__(self, z: Tensor, x: Tensor) -> Tensor:
        """Latents [..., B, k] and their images [..., B, C, H, W] → [..., B]."""
        total = self.norm * z.square().sum(-1)
        if self.realism and self.critic is not None:
            logits = self.critic(x.flatten(0, -4)).unflatten(0, z.shape[:-1])
            total = total - self.realism * F.softplus(logits)
        return total

    @torch.no_grad()
    def keep(self, z: Tensor) -> Tensor:
        """Latents [..., k] brought back to where the prior allows them."""
        if self.within is not None:
            z = z.clamp(-self.within, self.within)
        if self.shell:
            length, most = z.norm(dim=-1, keepdim=True), z.shape[-1] ** 0.5 + 2
            z = z * (most / length.clamp_min(most))
        return z


@dataclass(frozen=True)
class Problem:
    """F(z) = misfit(G(z)) + prior(z) of latents [R, B, k], R restarts of B images, or of [B, k]."""

    decode: Decode
    misfit: Misfit
    prior: Prior

    def of(self, chosen: slice | Tensor) -> "Problem":
        """The problem of some of the images, in any order."""
        return replace(self, misfit=self.misfit.of(chosen))

    def rows(self, restarts: int) -> "Problem":
        """The same with every restart an image of its own: of latents [R·B, k], which may rest one by one."""
        if restarts == 1:
            return self
        again = torch.arange(len(self.misfit.measured), device=self.misfit.measured.device).repeat(restarts)
        return replace(self, misfit=self.misfit.of(again))

    def images(self, z: Tensor) -> Tensor:
        """[..., B, k] → [..., B, C, H, W]."""
        x: Tensor = self.decode(z.flatten(0, -2)).unflatten(0, z.shape[:-1])
        return x

    def objective(self, z: Tensor) -> Tensor:
        """F(z), [..., B]."""
        x = self.images(z)
        return self.misfit(x) + self.prior(z, x)

    def graded(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """F(z) [..., B] and its gradient [..., B, k]; each row's depends on that row alone."""
        with torch.enable_grad():
            leaf = z.detach().requires_grad_()
            value = self.objective(leaf)
            (slope,) = torch.autograd.grad(value.sum(), leaf)
        return value.detach(), slope

    @torch.no_grad()
    def linearised(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The residual [..., B, n] and its derivative by the latent [..., B, n, k], in forward mode."""
        rows = self.rows(math.prod(z.shape[:-2]))
        slopes, done = [], 0
        for tangents in _tangents(self.decode, z.flatten(0, -2)):  # the operator is linear: [k, rows, n]
            part = rows.misfit.of(slice(done, done + tangents.shape[1]))
            slopes.append(part.direction(tangents))
            done += tangents.shape[1]
        whole = torch.cat(slopes, 1).unflatten(1, z.shape[:-1])
        return self.misfit.residual(self.images(z)), whole.movedim(0, -1)


def jacobian(decode: Decode, z: Tensor) -> Tensor:
    """dG/dz of each row: z [N, k] → [N, C, H, W, k], forward mode (k tangents through one pass).

    >>> jacobian(lambda z: (2 * z)[:, :, None, None], torch.zeros(1, 2)).squeeze()
    tensor([[2., 0.],
            [0., 2.]])
    """
    return torch.cat(list(_tangents(decode, z)), 1).movedim(0, -1)


def _tangents(decode: Decode, z: Tensor) -> Iterator[Tensor]:
    """What moving each latent moves of the images, [k, n, C, H, W], of as many rows as memory allows.

    Nets that cannot be mapped over tangents at once, for they fix a memory format, have each latent
    repeated k times instead.
    """
    from torch.func import jvp, vmap

    k = z.shape[1]
    eye = torch.eye(k, dtype=z.dtype, device=z.device)

    def mapped(part: Tensor) -> Tensor:
        along = eye[:, None].expand(k, *part.shape)
        found: Tensor = vmap(lambda one: jvp(decode, (part,), (one,))[1])(along)
        return found

    def repeated(part: Tensor) -> Tensor:
        along = eye.repeat_interleave(len(part), 0)
        found: Tensor = jvp(decode, (part.repeat(k, 1),), (along,))[1].unflatten(0, (k, len(part)))
        return found

    way = mapped

    def either(part: Tensor) -> Tensor:
        nonlocal way
        try:
            return way(part)
        except RuntimeError as error:
            if way is repeated or "vmap" not in str(error):
                raise
        way = repeated
        return repeated(part)

    with torch.no_grad():
        size = decode(z[:1]).numel()
    for part in z.split(max(1, _AT_ONCE // (4 * size * k))):
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch's own, on first use of forward mode
            found = either(part)
        yield found
