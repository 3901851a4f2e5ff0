"""The learned perceptual distance LPIPS, version 0.1 (Zhang et al. 2018)."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zerosum.metrics.backbones import ALEXNET, VGG16, Taps
from zerosum.metrics.weights import fitted

__all__ = ["LPIPS", "lpips"]


class LPIPS(nn.Module):
    """d(x, y) = Σ_l mean over places of w_l · (f̂_l(x) − f̂_l(y))² (eq. 1): images twice → [B].

    f̂ are the taps' maps, each place divided by its length; w_l ≥ 0 were learned from people's judgements.
    Images are RGB [B, 3, H, W] in [−1, 1]; grey ones are repeated. At least 32 pixels a side for AlexNet,
    16 for VGG16. The five heads come as lin0.weight … lin4.weight [1, C, 1, 1] beside the backbone's tensors;
    `taps` is that backbone, where it is made already.
    """

    def __init__(self, tensors: Mapping[str, Tensor], taps: Taps | None = None) -> None:
        super().__init__()
        first = tensors["features.0.weight"].shape[-1]
        self.taps = taps or Taps(ALEXNET if first == 11 else VGG16, tensors)
        heads = [tensors[f"lin{i}.weight"].float().flatten() for i in range(5)]
        self.heads = nn.ParameterList(nn.Parameter(head, requires_grad=False) for head in heads)

    def maps(self, images: Tensor) -> list[Tensor]:
        """The taps' maps, each place of length 1: compare many pairs without judging an image twice."""
        if images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        return [F.normalize(x, dim=1, eps=1e-10) for x in self.taps(images)]

    def between(self, real: list[Tensor], fake: list[Tensor]) -> Tensor:
        """The distance of images given by their maps, [B]."""
        parts = [
            torch.einsum("c,bchw->bhw", head, (x - y).square()).mean((1, 2))
            for head, x, y in zip(self.heads, real, fake, strict=True)
        ]
        return torch.stack(parts).sum(0)

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        return self.between(self.maps(real), self.maps(fake))


def lpips(weights: str | None = None, side: int = 64) -> Callable[[Tensor, Tensor], Tensor]:
    """LPIPS with AlexNet as a distance of images [B, C, H, W] in [−1, 1], of one or three channels: → [B].

    Images of less than 32 pixels along a side are enlarged to `side` × `side` first, bilinearly. Weights are
    those at the path given, or `lpips_alexnet_fp16.safetensors` in the folder that ZEROSUM_DATA names.

    Raises ValueError where these are missing, and for other numbers of channels.
    """
    net, _ = fitted(weights, "lpips_alexnet_fp16.safetensors", LPIPS)

    @torch.inference_mode()
    def distance(real: Tensor, fake: Tensor) -> Tensor:
        if real.shape[1] not in (1, 3):
            raise ValueError(f"LPIPS judges grey or RGB images, and these have {real.shape[1]} channels")
        if min(real.shape[2:]) < 32:
            real, fake = (F.interpolate(x, (side, side), mode="bilinear") for x in (real, fake))
        parts = [net(*pair) for pair in zip(real.split(64), fake.split(64), strict=True)]
        return torch.cat(parts)

    return distance
