"""SN-GAN's and WGAN-GP's training step on residual nets as scripts commonly write it: the baseline.

NCHW, float32, Adam one parameter at a time, the critic not frozen in the generator's turn, one fake
drawn for the critic and judged again for the generator. Images are up-sampled and pooled where the
papers draw it, spectral norm is written out, the gradient penalty is autograd's.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["PlainResNet"]

LATENT = 128
LR, BETAS = 2e-4, (0.0, 0.9)

Kind = Literal["sngan", "wgan-gp"]


class NormedConv2d(nn.Conv2d):
    """A convolution by weight / σ."""

    u: Tensor
    v: Tensor

    def __init__(self, c_in: int, c_out: int, size: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__(c_in, c_out, size, stride, padding)
        self.register_buffer("u", torch.zeros(c_out))
        self.register_buffer("v", torch.zeros(c_in * size * size))

    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(input, _normed(self), self.bias, self.stride, self.padding)


class NormedLinear(nn.Linear):
    """A matrix by weight / σ."""

    u: Tensor
    v: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.register_buffer("u", torch.zeros(outputs))
        self.register_buffer("v", torch.zeros(inputs))

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, _normed(self), self.bias)


def _normed(layer: NormedConv2d | NormedLinear) -> Tensor:
    sigma = torch.dot(layer.u.clone(), layer.weight.flatten(1).mv(layer.v.clone()))
    return layer.weight / sigma


@torch.no_grad()
def _advance(net: nn.Module) -> None:
    """A step of the power iteration in each layer."""
    for layer in net.modules():
        if isinstance(layer, NormedConv2d | NormedLinear):
            matrix = layer.weight.flatten(1)
            layer.v.copy_(F.normalize(matrix.T.mv(layer.u), dim=0))
            layer.u.copy_(F.normalize(matrix.mv(layer.v), dim=0))


class Up(nn.Module):
    """A generator's block: twice the size."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(c), nn.BatchNorm2d(c)
        self.conv1 = nn.Conv2d(c, c, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(c, c, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(c, c, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.interpolate(F.relu(self.norm1(x), inplace=True), scale_factor=2))
        h = self.conv2(F.relu(self.norm2(h), inplace=True))
        out: Tensor = h + self.shortcut(F.interpolate(x, scale_factor=2))
        return out


class Down(nn.Module):
    """A critic's block: the first takes an image, the first two halve the size."""

    def __init__(self, conv: type[nn.Conv2d], c_in: int, c_out: int, first: bool, halve: bool) -> None:
        super().__init__()
        self.first, self.halve = first, halve
        self.conv1 = conv(c_in, c_out, 3, padding=1)
        self.conv2 = conv(c_out, c_out, 3, padding=1)
        if halve:
            self.shortcut = conv(c_in, c_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x)), inplace=True))
        if not self.halve:
            return h + x
        side = self.shortcut(F.avg_pool2d(x, 2)) if self.first else F.avg_pool2d(self.shortcut(x), 2)
        return F.avg_pool2d(h, 2) + side


class Generator(nn.Module):
    """z [B, 128] → images [B, 3, S, S]."""

    def __init__(self, doublings: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.project = nn.Linear(LATENT, width * 16)
        self.blocks = nn.Sequential(*(Up(width) for _ in range(doublings)))
        self.norm = nn.BatchNorm2d(width)
        self.to_image = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.blocks(self.project(z).view(-1, self.width, 4, 4))
        return torch.tanh(self.to_image(F.relu(self.norm(x), inplace=True)))


class Critic(nn.Module):
    """Images [B, 3, S, S] → logits [B]."""

    def __init__(self, halvings: int, width: int, kind: Kind) -> None:
        super().__init__()
        self.kind = kind
        conv = NormedConv2d if kind == "sngan" else nn.Conv2d
        self.blocks = nn.Sequential(
            Down(conv, 3, width, True, True),
            *(Down(conv, width, width, False, i < halvings) for i in range(1, halvings + 2)),
        )
        self.judge = NormedLinear(width, 1) if kind == "sngan" else nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.blocks(x))
        logits: Tensor = self.judge(h.sum((2, 3)) if self.kind == "sngan" else h.mean((2, 3)))
        return logits.squeeze(1)


class PlainResNet:
    """The baseline's two networks for images of `size` 4·2ᵏ, its optimisers and its step.

    `width` is the critic's; SN-GAN's generator has twice as many feature maps.
    """

    def __init__(self, kind: Kind, size: int, width: int, device: torch.device | str) -> None:
        doublings = size.bit_length() - 3
        self.kind = kind
        self.generator = Generator(doublings, 2 * width if kind == "sngan" else width).to(device)
        self.critic = Critic(doublings - 1, width, kind).to(device)
        self.generator_adam, self.critic_adam = (
            torch.optim.Adam(net.parameters(), lr=LR, betas=BETAS, foreach=False, fused=False)
            for net in (self.generator, self.critic)
        )

    def like(self, generator: nn.Module, critic: nn.Module) -> "PlainResNet":
        """Take over the weights of our networks, and their spectral norm's vectors."""
        for mine, theirs in ((self.generator, generator), (self.critic, critic)):
            plain = {
                name.replace("parametrizations.weight.original", "weight").replace(
                    "parametrizations.weight.0.", ""
                ): tensor
                for name, tensor in theirs.state_dict().items()
            }
            mine.load_state_dict(plain)
        return self

    def step(self, real: Tensor, z: Tensor, share: Tensor | None = None) -> None:
        """One move of the critic and one of the generator; `real` [B, 3, S, S], `z` [B, 128].

        `share` [B, 1, 1, 1] says where between real and fake the penalty is taken; drawn if not given.
        """
        self.critic.zero_grad()
        _advance(self.critic)
        fake = self.generator(z)
        on_real, on_fake = self.critic(real), self.critic(fake.detach())
        if self.kind == "sngan":
            loss = F.relu(1 - on_real).mean() + F.relu(1 + on_fake).mean()
        else:
            share = torch.rand(len(real), 1, 1, 1, device=real.device) if share is None else share
            between = (share * real + (1 - share) * fake.detach()).requires_grad_()
            (slope,) = torch.autograd.grad(self.critic(between).sum(), between, create_graph=True)
            penalty = (slope.flatten(1).norm(dim=1) - 1).square().mean()
            loss = on_fake.mean() - on_real.mean() + 10 * penalty
        loss.backward()
        self.critic_adam.step()
        self.generator.zero_grad()
        (-self.critic(fake).mean()).backward()
        self.generator_adam.step()
