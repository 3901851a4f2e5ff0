"""Virtual batch norm: statistics of a fixed reference batch, so that each sample is judged alone.

Salimans et al. 2016, section 3.4. A net with such layers runs on its reference batch and the samples
together, which costs a pass over the reference each time.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from zerosum.objectives import widened

__all__ = ["REFERENCE", "Reference", "VirtualBatchNorm"]

REFERENCE = 64  # samples in the reference batch


class Reference(nn.Module):
    """The reference batch of one net: `REFERENCE` samples of `shape`, chosen once, a part of its state.

    >>> reference = Reference((2,))
    >>> reference.set_to(torch.randn(100, 2))
    >>> reference.beside(lambda x: x - x[:REFERENCE].mean(0), torch.zeros(3, 2)).shape
    torch.Size([3, 2])
    """

    samples: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("samples", torch.zeros(REFERENCE, *shape))
        self.chosen = False  # known once seen, so that a device is asked but once

    @torch.no_grad()
    def set_to(self, samples: Tensor) -> None:
        """Take `REFERENCE` of these samples, evenly spaced; with too few of them some come twice.

        Where the net takes m samples at once, joined along channels, so are these. Raises ValueError
        for samples of another shape.
        """
        shape = self.samples.shape[1:]
        if samples.shape[2:] != shape[1:] or shape[0] % samples.shape[1]:
            raise ValueError(f"a reference batch for inputs {tuple(shape)}, not {tuple(samples.shape[1:])}")
        at_once = shape[0] // samples.shape[1]
        which = torch.linspace(0, len(samples) - 1, REFERENCE * at_once).long()
        self.samples.copy_(samples[which].reshape(self.samples.shape))

    def beside(self, net: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """net([reference; x]) without the reference's part. Raises RuntimeError before `set_to`."""
        if not self.chosen:
            self.chosen = self.samples.is_meta or bool(self.samples.any())
            if not self.chosen:
                raise RuntimeError("virtual batch norm has no reference batch yet: give it one by refer_to")
        return net(torch.cat([self.samples.to(x.dtype), x]))[REFERENCE:]


class VirtualBatchNorm(nn.Module):
    """[reference; x] [R+B, C, …] → the same, each normalised per channel, then γ and β.

    The reference by its own mean m and variance v; a sample by those of the reference and itself, its
    own mean mᵢ and variance vᵢ over places weighing w = 1/(R+1): μ = (1−w)m + wmᵢ and
    σ² = (1−w)(v + (m−μ)²) + w(vᵢ + (mᵢ−μ)²).

    >>> VirtualBatchNorm(3)(torch.randn(REFERENCE + 2, 3, 4, 4)).shape
    torch.Size([66, 3, 4, 4])
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        flat = widened(x).flatten(2) if x.dim() > 2 else widened(x).unsqueeze(2)  # [R+B, C, places]
        reference = flat[:REFERENCE]
        m = reference.mean((0, 2))
        v = (reference - m[:, None]).square().mean((0, 2))
        mine = flat[REFERENCE:].mean(2)
        variance = (flat[REFERENCE:] - mine[:, :, None]).square().mean(2)
        w = 1 / (REFERENCE + 1)
        mean = torch.lerp(m.expand_as(mine), mine, w)
        spread = (1 - w) * (v + (m - mean).square()) + w * (variance + (mine - mean).square())
        mean = torch.cat([m.expand(REFERENCE, -1), mean])
        spread = torch.cat([v.expand(REFERENCE, -1), spread])
        scale = self.weight * (spread + self.eps).rsqrt()  # [R+B, C]
        y = torch.addcmul(self.bias[:, None], flat - mean[:, :, None], scale[:, :, None])
        return y.view(x.shape).to(x.dtype)
