"""DCGAN's training step as scripts commonly write it: the baseline.

NCHW, float32, Adam one parameter at a time, the critic not frozen in the generator's turn, one fake
drawn for the critic and judged again for the generator, and convolutions down to 1×1 at both ends.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["PlainDCGAN"]

LATENT = 100
LR, BETAS = 2e-4, (0.5, 0.999)


class PlainDCGAN:
    """The baseline's two networks, optimisers and step."""

    def __init__(self, size: int, width: int, device: torch.device | str) -> None:
        depth = size.bit_length() - 3  # halvings from `size` down to 4
        channels = [width * min(2**i, 8) for i in range(depth)]
        up: list[nn.Module] = [nn.ConvTranspose2d(LATENT, channels[-1], 4, 1, 0, bias=False)]
        down: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        for outer, inner in zip(channels[-2::-1], channels[:0:-1], strict=True):
            up += [nn.BatchNorm2d(inner), nn.ReLU(inplace=True)]
            up += [nn.ConvTranspose2d(inner, outer, 4, 2, 1, bias=False)]
        for outer, inner in pairwise(channels):
            down += [nn.Conv2d(outer, inner, 4, 2, 1, bias=False)]
            down += [nn.BatchNorm2d(inner), nn.LeakyReLU(0.2, inplace=True)]
        up += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        up += [nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), nn.Tanh()]
        self.generator = nn.Sequential(*up).to(device)
        self.critic = nn.Sequential(*down, nn.Conv2d(channels[-1], 1, 4, 1, 0), nn.Flatten(0)).to(device)
        self.generator_adam, self.critic_adam = (
            torch.optim.Adam(net.parameters(), lr=LR, betas=BETAS, foreach=False, fused=False)
            for net in (self.generator, self.critic)
        )

    def like(self, generator: nn.Module, critic: nn.Module) -> "PlainDCGAN":
        """Take over the weights of our networks, which hold the ends as matrices."""
        pairs = (*zip(_tensors(self.generator), _tensors(generator), strict=True),)
        pairs += (*zip(_tensors(self.critic), _tensors(critic), strict=True),)
        with torch.no_grad():
            for mine, theirs in pairs:
                # z → [C, 4, 4] is a matrix [C·16, z] there and a kernel [z, C, 4, 4] here.
                transposed = theirs.dim() == 2 and mine.shape[0] == theirs.shape[1]
                mine.copy_((theirs.mT if transposed else theirs).reshape(mine.shape))
        return self

    def step(self, real: Tensor, z: Tensor) -> None:
        """One move of the critic and one of the generator; `real` [B, 3, H, W], `z` [B, 100]."""
        ones, zeros = real.new_ones(len(real)), real.new_zeros(len(real))
        self.critic.zero_grad()
        F.binary_cross_entropy_with_logits(self.critic(real), ones).backward()
        fake = self.generator(z[:, :, None, None])
        F.binary_cross_entropy_with_logits(self.critic(fake.detach()), zeros).backward()
        self.critic_adam.step()
        self.generator.zero_grad()
        F.binary_cross_entropy_with_logits(self.critic(fake), ones).backward()
        self.generator_adam.step()


def _tensors(net: nn.Module) -> list[Tensor]:
    return [*net.parameters(), *net.buffers()]
