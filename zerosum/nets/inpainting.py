"""A context encoder: a net that is shown an image with a hole, and draws the whole image."""

import torch
from torch import Tensor, nn

from zerosum.nets.dcgan import DCGANCritic, DCGANGenerator

__all__ = ["ContextEncoder"]


class ContextEncoder(nn.Module):
    """Images [B, C, H, W] with masks [B, 1, H, W], 1 where a pixel is known → whole images in (−1, 1).

    A critic's layers, a bottleneck and a generator's, all of the DCGAN family (Pathak et al. 2016,
    section 3.2 and their code). Missing pixels are shown as 0, and the mask as one channel more.

    >>> net = ContextEncoder((3, 16, 24), width=2, bottleneck=5)
    >>> net(torch.zeros(2, 3, 16, 24), torch.ones(2, 1, 16, 24)).shape
    torch.Size([2, 3, 16, 24])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        width: int = 64,
        growth: int = 8,
        kernel: int = 4,
        bottleneck: int = 4000,
    ) -> None:
        super().__init__()
        self.shape = shape
        judge = DCGANCritic((shape[0] + 1, *shape[1:]), width=width, growth=growth, kernel=kernel)
        narrow = nn.Linear(judge.feature_count, bottleneck, bias=False)
        nn.init.normal_(narrow.weight, 0.0, 0.02)
        self.encoder = nn.Sequential(
            *judge.layers, nn.Flatten(), narrow, nn.BatchNorm1d(bottleneck), nn.LeakyReLU(0.2, inplace=True)
        )
        self.decoder = DCGANGenerator(shape, latent=bottleneck, width=width, growth=growth, kernel=kernel)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        seen = torch.where(mask > 0.5, image, torch.zeros_like(image))
        out: Tensor = self.decoder(self.encoder(torch.cat([seen, mask.to(seen.dtype)], 1)))
        return out

    def fill(self, image: Tensor, mask: Tensor) -> Tensor:
        """The images with what is missing drawn, and what is known as it was, to the bit.

        `image` is [B, C, H, W]; `mask`, bool or of 0 and 1, broadcasts to it: [1, H, W], [C, H, W] or one an
        image.
        A pixel of which one channel is missing is shown as missing. What stands in a hole, be it NaN, has no
        influence. Call it in evaluation mode, so that an image's filling does not depend on its neighbours.

        >>> net = ContextEncoder((1, 8, 8), width=2, bottleneck=3).eval()
        >>> image, mask = torch.rand(2, 1, 8, 8), torch.ones(1, 8, 8)
        >>> mask[:, 2:6] = 0
        >>> bool((net.fill(image, mask)[..., :2, :] == image[..., :2, :]).all())
        True

        Raises ValueError for images or masks of another size, and masks of other numbers.
        """
        if image.dim() != 4 or tuple(image.shape[1:]) != self.shape:
            raise ValueError(
                f"images of {tuple(image.shape)}: this net fills [B, C, H, W] with (C, H, W) = {self.shape}"
            )
        try:
            known = mask.expand(image.shape)
        except RuntimeError as error:
            raise ValueError(
                f"a mask of {tuple(mask.shape)} does not fit images of {self.shape}: give [1, H, W], "
                "[C, H, W] or one an image"
            ) from error
        if not bool(((mask == 0) | (mask == 1)).all()):
            raise ValueError("a mask has 1 where a pixel is known and 0 where it is missing, nothing else")
        made = self(image, known.amin(1, keepdim=True))
        return torch.where(known > 0.5, image, made.to(image.dtype))
