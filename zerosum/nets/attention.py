"""The non-local block: each place of a feature map sees every other (Wang et al. 2018; SAGAN)."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Form", "NonLocal"]

Form = Literal["pooled", "plain"]


class NonLocal(nn.Module):
    """x + γ·W_z(Σⱼ softmaxⱼ(θ(x)ᵢᵀφ(x)ⱼ) g(x)ⱼ) at each place i: [B, C, H, W] → the same shape.

    θ, φ, g and W_z are 1×1 convolutions without bias. `form` is that of

    - "pooled", SAGAN (Zhang et al. 2019) and BigGAN: θ and φ of C/8 maps, g of C/2, φ and g max-pooled
      2×2 (an odd row or column makes a place of its own), γ learned from 0 on;
    - "plain", Wang et al. 2018, eq. 6, as drawn in lecture 2: all of C/2 maps, every place, no γ; W_z is
      0 at the start.

    Both begin as the identity. A net that initialises this W_z with its other convolutions gives that
    up: it must where spectral norm follows, which cannot divide a weight of 0.

    >>> x = torch.randn(2, 16, 5, 4)
    >>> torch.equal(NonLocal(16)(x), x), torch.equal(NonLocal(16, "plain")(x), x)
    (True, True)

    Raises ValueError for another form.
    """

    def __init__(self, channels: int, form: Form = "pooled") -> None:
        super().__init__()
        if form not in ("pooled", "plain"):
            raise ValueError(f"--attention-form must be pooled or plain, not {form!r}")
        self.pooled = form == "pooled"
        inner = max(1, channels // 2)
        keys = max(1, channels // 8) if self.pooled else inner
        self.theta = nn.Conv2d(channels, keys, 1, bias=False)
        self.phi = nn.Conv2d(channels, keys, 1, bias=False)
        self.g = nn.Conv2d(channels, inner, 1, bias=False)
        self.out = nn.Conv2d(inner, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(())) if self.pooled else None
        if self.gamma is None:
            nn.init.zeros_(self.out.weight)

    def _rows(self, maps: Tensor, *, pool: bool = False) -> Tensor:
        """[B, d, H, W] → [B, places, d]."""
        if pool:
            maps = F.max_pool2d(maps, 2, ceil_mode=True)
        return maps.flatten(2).mT

    def weights(self, x: Tensor) -> Tensor:
        """How much each place looks at each other: [B, H·W, places seen]; each row sums to 1.

        >>> NonLocal(8).weights(torch.zeros(1, 8, 3, 4)).shape  # 3×4 places see 2×2
        torch.Size([1, 12, 4])
        """
        keys = self._rows(self.phi(x), pool=self.pooled)
        return torch.softmax(self._rows(self.theta(x)) @ keys.mT, 2)

    def forward(self, x: Tensor) -> Tensor:
        values = self._rows(self.g(x), pool=self.pooled)
        if self.pooled or torch.is_grad_enabled():
            # The fused kernel has no second derivative, which gradient penalties need, and none on a CPU
            # for keys and values of different widths.
            seen = self.weights(x) @ values
        else:  # the weights of all pairs of places, which may not fit, are never held at once
            queries, keys = self._rows(self.theta(x)), self._rows(self.phi(x))
            seen = F.scaled_dot_product_attention(queries, keys, values, scale=1.0)
        out: Tensor = self.out(seen.mT.unflatten(2, x.shape[2:]))
        return x + out if self.gamma is None else torch.addcmul(x, self.gamma, out)
