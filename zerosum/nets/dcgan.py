"""The DCGAN family: all-convolutional generator and critic that mirror each other, for any size.

Radford, Metz & Chintala 2015: strided convolutions and no pooling, batch norm except at the
generator's output and the critic's input, ReLU and tanh in the generator, LeakyReLU .2 in the
critic, weights N(0, .02). Channels double with each halving, up to `growth` times `width`, eight in
the paper. `activation` puts tanh or gated units for all (Leaky)ReLU, as WGAN-GP's robustness table does
(Gulrajani et al. 2017, figure 2): each gated layer has twice the feature maps, and gives half of them.
"""

from math import prod

import torch
from torch import Tensor, nn

from zerosum.nets.activations import activation as activation_of
from zerosum.nets.activations import maps_for
from zerosum.nets.convolution import Conv2d, ConvTranspose2d
from zerosum.nets.minibatch import batch_layer as batch_layer_of
from zerosum.nets.norms import norm_layer, takes_bias
from zerosum.nets.plan import Stage, stages
from zerosum.nets.virtual import REFERENCE, Reference, VirtualBatchNorm

__all__ = ["DCGANCritic", "DCGANGenerator"]


def _channels(width: int, growth: int, plan: list[Stage]) -> list[int]:
    """Feature maps after each halving, from the image inwards."""
    if width < 1 or growth < 1:
        raise ValueError(f"--width and --growth must be at least 1, not width={width}, growth={growth}")
    return [width * min(2**i, growth) for i in range(len(plan))]


def _down(stage: Stage, c_in: int, c_out: int, kernel: int, bias: bool) -> Conv2d:
    # Padding so that the output is ⌈n/stride⌉: an even kernel fits an even side, an odd one any.
    k = [_fit(kernel, n, s) for n, s in zip(stage.outer, stage.stride, strict=True)]
    return Conv2d(c_in, c_out, (k[0], k[1]), stage.stride, ((k[0] - 1) // 2, (k[1] - 1) // 2), bias=bias)


def _up(stage: Stage, c_in: int, c_out: int, kernel: int, bias: bool) -> ConvTranspose2d:
    k, extra = [], []
    for outer, inner, s in zip(*stage, strict=True):
        size = _fit(kernel, outer, s)
        k.append(size)
        extra.append(outer - ((inner - 1) * s - 2 * ((size - 1) // 2) + size))
    padding = ((k[0] - 1) // 2, (k[1] - 1) // 2)
    return ConvTranspose2d(c_in, c_out, (k[0], k[1]), stage.stride, padding, (extra[0], extra[1]), bias=bias)


def _fit(kernel: int, side: int, stride: int) -> int:
    """An even kernel made odd where it would miss the size: no halving, or an odd side."""
    return kernel if kernel % 2 or (stride == 2 and side % 2 == 0) else kernel - 1


def _initialise(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d | VirtualBatchNorm):
            nn.init.normal_(module.weight, 1.0, 0.02)


class DCGANGenerator(nn.Module):
    """z [B, latent] → images [B, C, H, W] in (−1, 1).

    `shape` is (C, H, W), 8 to 512 a side; `width` the feature maps at the last stage but one;
    `kernel` the convolutions' size (5 in the paper, 4 in most ports).

    >>> DCGANGenerator((3, 48, 80), latent=100, width=8)(torch.zeros(2, 100)).shape
    torch.Size([2, 3, 48, 80])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        latent: int = 100,
        width: int = 128,
        growth: int = 8,
        kernel: int = 5,
        norm: str = "batch",
        activation: str = "relu",
    ) -> None:
        super().__init__()
        plan = stages(shape[1:])
        channels = _channels(width, growth, plan)
        bias, maps = takes_bias(norm), maps_for(activation)
        self.base = (maps * channels[-1], *plan[-1].inner)
        self.project = nn.Linear(latent, prod(self.base), bias=bias)
        layers: list[nn.Module] = [norm_layer(norm, maps * channels[-1]), activation_of(activation)]
        for i in reversed(range(1, len(plan))):
            layers += [_up(plan[i], channels[i], maps * channels[i - 1], kernel, bias)]
            layers += [norm_layer(norm, maps * channels[i - 1]), activation_of(activation)]
        layers += [_up(plan[0], channels[0], shape[0], kernel, bias), nn.Tanh()]
        self.layers = nn.Sequential(*(layer for layer in layers if not isinstance(layer, nn.Identity)))
        _initialise(self)
        self.reference = Reference((latent,)) if norm == "virtual" else None
        if self.reference is not None:
            self.refer_to(torch.randn(REFERENCE, latent))

    def refer_to(self, z: Tensor) -> None:
        """Choose virtual batch norm's reference batch among latents [N, latent]; else do nothing.

        Without this it is standard normal: give latents of the law that training draws from.
        """
        if self.reference is not None:
            self.reference.set_to(z)

    def forward(self, z: Tensor) -> Tensor:
        return self._draw(z) if self.reference is None else self.reference.beside(self._draw, z)

    def _draw(self, z: Tensor) -> Tensor:
        x: Tensor = self.project(z).unflatten(1, self.base)
        out: Tensor = self.layers(x.contiguous(memory_format=torch.channels_last))
        return out


class DCGANCritic(nn.Module):
    """Images [B, C, H, W] → logits [B]; no sigmoid, which belongs to the objective.

    `batch_layer`, between the last features and the judgement, is one of `zerosum.nets.minibatch`.

    >>> DCGANCritic((1, 28, 28), width=8)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        width: int = 128,
        growth: int = 8,
        kernel: int = 5,
        norm: str = "batch",
        activation: str = "relu",
        batch_layer: str = "none",
    ) -> None:
        super().__init__()
        plan = stages(shape[1:])
        channels, maps = _channels(width, growth, plan), maps_for(activation)
        layers: list[nn.Module] = [_down(plan[0], shape[0], maps * channels[0], kernel, True)]
        layers += [activation_of(activation, 0.2)]
        for i in range(1, len(plan)):
            layers += [_down(plan[i], channels[i - 1], maps * channels[i], kernel, takes_bias(norm))]
            layers += [norm_layer(norm, maps * channels[i]), activation_of(activation, 0.2)]
        self.layers = nn.Sequential(*(layer for layer in layers if not isinstance(layer, nn.Identity)))
        self.feature_count = channels[-1] * prod(plan[-1].inner)
        mix, features = batch_layer_of(batch_layer, self.feature_count)
        self.judge = nn.Linear(features, 1)
        _initialise(self)
        self.batch_layer = mix
        self.reference = Reference(shape) if norm == "virtual" else None

    def refer_to(self, real: Tensor) -> None:
        """Choose virtual batch norm's reference batch among real images [N, C, H, W]; else do nothing.

        With virtual batch norm it must come before the first use. A critic of m images at once, joined
        along channels, takes single images here too.
        """
        if self.reference is not None:
            self.reference.set_to(real)

    def features(self, x: Tensor) -> Tensor:
        """The last hidden features, [B, d]."""
        h: Tensor = self.layers(x) if self.reference is None else self.reference.beside(self.layers, x)
        return h.flatten(1)

    def judge_features(self, h: Tensor) -> Tensor:
        """Logits [B] of features [B, d]."""
        logits: Tensor = self.judge(self.batch_layer(h)).squeeze(1)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        return self.judge_features(self.features(x))
