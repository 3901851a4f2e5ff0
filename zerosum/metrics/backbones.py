"""Trained nets whose features or classes judge images: VGG16, AlexNet, SqueezeNet, LeNet-5.

Weights come as safetensors; float16 is widened. Each net takes images [B, C, H, W] in [−1, 1] and does
what its training asked for: the mean and scale of its input, the order of its channels. Sizes are the
caller's: `zerosum.metrics.extractors` resizes.
"""

from collections.abc import Mapping
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ALEXNET", "VGG16", "LeNet", "SqueezeNet", "Taps"]

Layer = (
    tuple[int, int, int, int, int] | str
)  # input and output channels, kernel, stride, padding; or what it is

ALEXNET: tuple[Layer, ...] = (
    *((3, 64, 11, 4, 2), "relu", "pool3", (64, 192, 5, 1, 2), "relu", "pool3"),
    *((192, 384, 3, 1, 1), "relu", (384, 256, 3, 1, 1), "relu", (256, 256, 3, 1, 1), "relu"),
)


def _vgg16() -> tuple[Layer, ...]:
    layers: list[Layer] = []
    widths = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
    for place, (c_in, c_out) in enumerate(pairwise(widths)):
        if place in (2, 4, 7, 10):
            layers.append("pool2")
        layers += [(c_in, c_out, 3, 1, 1), "relu"]
    return tuple(layers)


VGG16 = _vgg16()
_TAPS = {ALEXNET: (1, 4, 7, 9, 11), VGG16: (3, 8, 15, 22, 29)}  # after which layers LPIPS looks
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # ImageNet's mean and spread, for [−1, 1]


class Taps(nn.Module):
    """The five maps of AlexNet or VGG16 that LPIPS compares, for RGB images [B, 3, H, W] in [−1, 1].

    AlexNet is that of Krizhevsky 2014 ("one weird trick"), taps after each ReLU; VGG16 of Simonyan &
    Zisserman 2015, taps relu1_2 … relu5_3. Tensors are named features.N.weight as in torchvision.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, layers: tuple[Layer, ...], tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        made = [nn.ReLU() if layer == "relu" else _pool(layer) for layer in layers]
        self.features = nn.Sequential(*made)
        self.taps = _TAPS[layers]
        own = {k: v.float() for k, v in tensors.items() if k.startswith("features.")}
        self.load_state_dict(own)
        self.register_buffer("shift", torch.tensor(_SHIFT)[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(_SCALE)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Maps [B, C_l, H_l, W_l], from the image inwards."""
        x, taken = (images - self.shift) / self.scale, []
        for place, layer in enumerate(self.features):
            x = layer(x)
            if place in self.taps:
                taken.append(x)
        return taken


def _pool(layer: Layer) -> nn.Module:
    if isinstance(layer, tuple):
        c_in, c_out, kernel, stride, padding = layer
        return nn.Conv2d(c_in, c_out, kernel, stride, padding)
    return nn.MaxPool2d(int(layer[-1]), 2)


class _Fire(nn.Module):
    def __init__(self, c_in: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(c_in, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze1x1(x))
        return F.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], 1))


class SqueezeNet(nn.Module):
    """SqueezeNet v1.1 (Iandola et al. 2016), its Caffe release: RGB images in [−1, 1] → 1,000 logits.

    Made for 227×227; any size of 32 and more runs.
    """

    mean: Tensor

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.conv1, self.conv10 = nn.Conv2d(3, 64, 3, 2), nn.Conv2d(512, 1000, 1)
        sizes = (
            *((64, 16, 64), (128, 16, 64), (128, 32, 128), (256, 32, 128)),
            *((256, 48, 192), (384, 48, 192), (384, 64, 256), (512, 64, 256)),
        )
        for number, size in enumerate(sizes, 2):
            self.add_module(f"fire{number}", _Fire(*size))
        self.load_state_dict({k: v.float() for k, v in tensors.items()})
        self.register_buffer(
            "mean", torch.tensor([104.006, 116.669, 122.679])[:, None, None], persistent=False
        )

    def features(self, images: Tensor) -> Tensor:
        """The last fire module's maps, a mean over places: [B, 512]."""
        return self._maps(images).mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, 1000] of ImageNet's classes in the order of their WordNet ids."""
        logits: Tensor = F.relu(self.conv10(self._maps(images))).mean((2, 3))
        return logits

    def _maps(self, images: Tensor) -> Tensor:
        x = (images + 1).mul(127.5).flip(1) - self.mean
        x = F.relu(self.conv1(x))
        for number in range(2, 10):
            if number in (2, 4, 6):
                x = F.max_pool2d(x, 3, 2, ceil_mode=True)
            x = self.get_submodule(f"fire{number}")(x)
        return x


class LeNet(nn.Module):
    """LeNet-5 with ReLU and max pooling (after LeCun et al. 1998): grey 32×32 in [−1, 1] → 10 logits."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.c1, self.c3, self.c5 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5), nn.Conv2d(16, 120, 5)
        self.f6, self.f7 = nn.Linear(120, 84), nn.Linear(84, 10)
        self.load_state_dict({".".join(k.split(".")[-2:]): v.float() for k, v in tensors.items()})

    def features(self, images: Tensor) -> Tensor:
        """The last hidden features, [B, 84]."""
        x = F.max_pool2d(F.relu(self.c1((images + 1) / 2)), 2)
        x = F.max_pool2d(F.relu(self.c3(x)), 2)
        return F.relu(self.f6(F.relu(self.c5(x)).flatten(1)))

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the digits, [B, 10]."""
        logits: Tensor = self.f7(self.features(images))
        return logits
