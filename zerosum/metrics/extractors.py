"""What images are judged by: nets that turn them into features, with all that a figure must tell of them.

An extractor is named in a setting, `vgg16:side=96`. Before it sees an image, the image is rounded to 8 bits,
as a file would hold it, and brought to the extractor's own size by antialiased bilinear resizing; both are
part of what it tells in `about`, for two figures compare only where these are the same.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load
from torch import Tensor

from zerosum.metrics.backbones import ALEXNET, VGG16, LeNet, SqueezeNet, Taps
from zerosum.names import build_part

__all__ = ["EXTRACTORS", "Extractor", "extractor", "rounded"]

_AT_ONCE = 64
Net = Callable[[Tensor], Tensor]


def rounded(images: Tensor) -> Tensor:
    """Images in [−1, 1] as 8 bits hold them: clipped and rounded to the nearest of 256 values.

    >>> rounded(torch.tensor([-1.2, 0.0, 1.0]))
    tensor([-1.0000,  0.0039,  1.0000])
    """
    return (images.clamp(-1, 1) + 1).mul(127.5).round().div(127.5) - 1


@dataclass(frozen=True)
class Extractor:
    """Features of images, and logits where the net is a classifier.

    `side`: images are brought to side × side. `channels`: grey images are repeated to three, others refused.
    `about` holds what a card must say beside: the net, the SHA-256 of its weights, which features.

    >>> pixels = extractor("pixels:side=4")
    >>> pixels.features(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 48])
    """

    name: str
    side: int
    net: Net
    classifier: Net | None = None
    channels: int | None = None
    about: Mapping[str, str] = field(default_factory=dict)

    def features(self, images: Tensor) -> Tensor:
        """Images [B, C, H, W] in [−1, 1] → features [B, D] float32."""
        return self._in_parts(self.net, images)

    def logits(self, images: Tensor) -> Tensor:
        """Images [B, C, H, W] in [−1, 1] → class logits [B, K]. Raises ValueError where it has none."""
        if self.classifier is None:
            able = "squeezenet, lenet"
            raise ValueError(f"extractor {self.name} tells no classes: choose one that does, {able}")
        return self._in_parts(self.classifier, images)

    def card(self) -> dict[str, str | int]:
        """What it is and what is done before it, for the card of a measure."""
        return {
            "extractor": self.name,
            "side": self.side,
            "resize": "bilinear, antialiased",
            "rounding": "8 bits",
            **self.about,
        }

    @torch.inference_mode()
    def _in_parts(self, net: Net, images: Tensor) -> Tensor:
        return torch.cat([net(self._prepared(part)).float() for part in images.split(_AT_ONCE)])

    def _prepared(self, images: Tensor) -> Tensor:
        if images.dim() != 4:
            raise ValueError(f"extractor {self.name} judges images [B, C, H, W], not {list(images.shape)}")
        if not bool(torch.isfinite(images).all()):
            raise ValueError("some pixels are not finite (NaN or infinity)")
        found = images.shape[1]
        images = rounded(images.float())
        if self.channels == 3 and found == 1:
            images = images.expand(-1, 3, -1, -1)
        elif self.channels not in (None, found):
            raise ValueError(
                f"extractor {self.name} judges images of {self.channels} channels, and these have {found}: "
                "give --channels as it needs them, or choose another extractor"
            )
        if images.shape[2:] != (self.side, self.side):
            images = F.interpolate(images, (self.side, self.side), mode="bilinear", antialias=True)
        return images


def _weights(given: str | None, name: str) -> tuple[dict[str, Tensor], str]:
    """Tensors and their file's SHA-256: of the path given, or of `name` in the folder ZEROSUM_DATA names."""
    folder = os.environ.get("ZEROSUM_DATA", "")
    path = Path(given).expanduser() if given else Path(folder).expanduser() / name
    if not path.is_file():
        where = f"{path}: no such file" if given or folder else "ZEROSUM_DATA is not set"
        raise ValueError(
            f"weights {name}: {where}; put it into the folder that ZEROSUM_DATA names, or give weights=PATH "
            "with the extractor. The extractors pixels and random need none"
        )
    content = path.read_bytes()
    try:
        tensors = load(content)
    except Exception as error:
        raise ValueError(f"{path}: not a safetensors file that can be read ({error})") from error
    return tensors, hashlib.sha256(content).hexdigest()


def _fitted(
    path: str | None, name: str, make: Callable[[Mapping[str, Tensor]], torch.nn.Module]
) -> tuple[torch.nn.Module, str]:
    tensors, digest = _weights(path, name)
    try:
        return make(tensors).eval().requires_grad_(False), digest
    except RuntimeError as error:
        raise ValueError(f"weights {path or name} are not this net's: {error}") from error


def _last_tap(name: str, file: str, weights: str | None, side: int) -> Extractor:
    net, digest = _fitted(weights, file, lambda t: Taps(VGG16 if name == "vgg16" else ALEXNET, t))
    about = {"weights": digest, "features": "last convolution, a mean over places"}
    return Extractor(name, _side(side, 32), lambda x: net(x)[-1].mean((2, 3)), channels=3, about=about)


def _side(side: int, least: int = 1) -> int:
    if side < least:
        raise ValueError(f"extractor: side must be at least {least}, not {side}")
    return side


def vgg16(side: int = 64, weights: str | None = None) -> Extractor:
    """VGG16's last convolution, 512 features (Simonyan & Zisserman 2015)."""
    return _last_tap("vgg16", "lpips_vgg16_fp16.safetensors", weights, side)


def alexnet(side: int = 64, weights: str | None = None) -> Extractor:
    """AlexNet's last convolution, 256 features (Krizhevsky 2014)."""
    return _last_tap("alexnet", "lpips_alexnet_fp16.safetensors", weights, side)


def squeezenet(side: int = 227, weights: str | None = None) -> Extractor:
    """SqueezeNet v1.1: 512 features, and ImageNet's 1,000 classes (Iandola et al. 2016)."""
    net, digest = _fitted(weights, "squeezenet1_1_caffe_fp16.safetensors", SqueezeNet)
    assert isinstance(net, SqueezeNet)
    about = {"weights": digest, "features": "last fire module, a mean over places"}
    return Extractor("squeezenet", _side(side, 32), net.features, net, channels=3, about=about)


def lenet(weights: str | None = None) -> Extractor:
    """LeNet-5 trained on MNIST: 84 features and ten digits."""
    net, digest = _fitted(weights, "mnist_lenet5.safetensors", LeNet)
    assert isinstance(net, LeNet)
    about = {"weights": digest, "features": "last hidden layer"}
    return Extractor("lenet", 32, net.features, net, channels=1, about=about)


def pixels(side: int = 16) -> Extractor:
    """No net: the pixels of the image made small. A fall-back, blind to content, and says so."""
    about = {"weights": "none", "features": "pixels"}
    return Extractor("pixels", _side(side), lambda x: x.flatten(1), about=about)


def random(size: int = 512, side: int = 32, seed: int = 0) -> Extractor:
    """No training: `size` random projections of the pixels, N(0, 1/D). A fall-back, blind to content."""

    def project(x: Tensor) -> Tensor:
        flat = x.flatten(1)
        draw = torch.Generator().manual_seed(seed)
        onto = torch.randn(flat.shape[1], size, generator=draw) / flat.shape[1] ** 0.5
        projected: Tensor = flat @ onto.to(flat)
        return projected

    about = {"weights": f"none, seed {seed}", "features": f"{size} random projections of pixels"}
    return Extractor("random", _side(side), project, about=about)


EXTRACTORS: Mapping[str, Callable[..., Extractor]] = {
    "vgg16": vgg16,
    "alexnet": alexnet,
    "squeezenet": squeezenet,
    "lenet": lenet,
    "pixels": pixels,
    "random": random,
}


def extractor(text: str) -> Extractor:
    """An extractor by name and parameters, `vgg16:side=96`.

    >>> extractor("random:size=8").features(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 8])

    Raises ValueError for unknown names and parameters, and where weights are missing or another net's.
    """
    return build_part(EXTRACTORS, text, "extractor")
