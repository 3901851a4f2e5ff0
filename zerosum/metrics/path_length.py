"""Perceptual path length: how much the picture changes for a small step between two latents."""

from collections.abc import Callable

import torch
from torch import Tensor

from zerosum.latent import Way, slerp

__all__ = ["kept", "path_lengths"]

_AT_ONCE = 32


@torch.inference_mode()
def path_lengths(
    decode: Callable[[Tensor, Tensor | None], Tensor],
    distance: Callable[[Tensor, Tensor], Tensor],
    ends: tuple[Tensor, Tensor],
    t: Tensor,
    labels: Tensor | None = None,
    *,
    way: Way = slerp,
    epsilon: float = 1e-4,
) -> Tensor:
    """d(G(w(a, b; t)), G(w(a, b; t + ε))) / ε² for latents a, b [N, k] and t [N] in [0, 1]: [N].

    Karras, Laine & Aila 2019 (section 4.1), in the generator's input space, where w is slerp for normal
    latents; d is a squared distance such as LPIPS, so that ε² is right. `decode` makes images of latents
    and perhaps labels [N], and `distance` compares images. Latents are walked in float64: steps of 1e-4 are
    near what float32 tells apart.

    A linear generator and the squared Euclidean distance give ‖A dw/dt‖²:

    >>> from zerosum.latent import lerp
    >>> def apart(x, y): return (x - y).square().sum(1)
    >>> a, b, t = torch.zeros(1, 3), torch.tensor([[0.0, 3.0, 4.0]]), torch.tensor([0.5])
    >>> path_lengths(lambda z, _: 2 * z, apart, (a, b), t, way=lerp).round()
    tensor([100.], dtype=torch.float64)
    """
    a, b = (end.double() for end in ends)
    parts = []
    for rows in torch.arange(len(a)).split(_AT_ONCE):
        told = None if labels is None else labels[rows]
        here, there = (way(a[rows], b[rows], t[rows].double() + step) for step in (0.0, epsilon))
        parts.append(distance(decode(here, told), decode(there, told)).double() / epsilon**2)
    return torch.cat(parts)


def kept(lengths: Tensor) -> Tensor:
    """The lengths from their 1st to their 99th percentile, as it was published: a few jumps say little.

    >>> kept(torch.arange(1000.0))[[0, -1]]
    tensor([  9., 990.])
    """
    low = torch.quantile(lengths, 0.01, interpolation="lower")
    high = torch.quantile(lengths, 0.99, interpolation="higher")
    return lengths[(lengths >= low) & (lengths <= high)]
