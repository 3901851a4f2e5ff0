"""What images are judged by: nets that turn them into features, with all that a figure must tell of them.

An extractor is named in a setting, `vgg16:side=96`. Before it sees an image, the image is rounded to 8 bits,
as a file would hold it, and brought to the extractor's own size by antialiased bilinear resizing; both are
part of what it tells in `about`, for two figures compare only where these are the same.
"""

import hashlib
import importlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from zerosum.metrics.backbones import ALEXNET, VGG16, LeNet, SqueezeNet, Taps
from zerosum.metrics.lpips import LPIPS
from zerosum.metrics.weights import fitted, in_a_line, read_weights
from zerosum.names import build_part

__all__ = ["EXTRACTORS", "Extractor", "extractor", "rounded"]

_AT_ONCE = 64
_LPIPS_SIDE = 64
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

    `side`: images are brought to side × side; None leaves them as they are. `channels`: grey images are
    repeated to three, others refused. `classes` names those that the classifier tells, where they have
    names. `perceptual` compares images by LPIPS. `about` holds what a card must say beside: the SHA-256 of
    the net's weights, which features. One of `points` takes points [B, D] in place of images.

    >>> pixels = extractor("pixels:side=4")
    >>> pixels.features(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 48])
    """

    name: str
    side: int | None
    net: Net
    classifier: Net | None = None
    channels: int | None = None
    about: Mapping[str, str | int] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    perceptual: Callable[[Tensor, Tensor], Tensor] | None = None
    points: bool = False

    def features(self, images: Tensor) -> Tensor:
        """Images [B, C, H, W] in [−1, 1] → features [B, D] float32."""
        return self._in_parts(self.net, images)

    def logits(self, images: Tensor) -> Tensor:
        """Images [B, C, H, W] in [−1, 1] → class logits [B, K]. Raises ValueError where it has none."""
        if self.classifier is None:
            able = "--extractor squeezenet or lenet"
            raise ValueError(f"extractor {self.name} tells no classes: choose one that does, {able}")
        return self._in_parts(self.classifier, images)

    @torch.inference_mode()
    def distance(self, real: Tensor, fake: Tensor) -> Tensor:
        """LPIPS of pairs of images [B, C, H, W] in [−1, 1], not rounded: [B].

        At their own size; where a side is under 64 pixels they are enlarged until it is 64. Raises
        ValueError for an extractor without LPIPS, and for images of another number of channels.
        """
        if self.perceptual is None:
            raise ValueError(
                f"extractor {self.name} has no LPIPS: choose --extractor alexnet or vgg16, with weights that "
                "hold its heads lin0 … lin4"
            )
        self._refuse(real)
        factor = max(1.0, _LPIPS_SIDE / min(real.shape[2:]))
        size = [round(factor * side) for side in real.shape[2:]]
        each = max(1, _AT_ONCE * _LPIPS_SIDE**2 // (size[0] * size[1]))
        parts = []
        for pair in zip(real.float().split(each), fake.float().split(each), strict=True):
            one, other = (
                F.interpolate(x, size, mode="bilinear", antialias=True) if factor > 1 else x for x in pair
            )
            parts.append(self.perceptual(one, other).float())
        return torch.cat(parts)

    def card(self) -> dict[str, str | int]:
        """What it is and what is done before it, for the card of a measure."""
        if self.points:
            return {"extractor": self.name, **self.about}
        return {
            "extractor": self.name,
            **({"side": self.side, "resize": "bilinear, antialiased"} if self.side else {}),
            "rounding": "8 bits",
            **self.about,
        }

    @torch.inference_mode()
    def _in_parts(self, net: Net, images: Tensor) -> Tensor:
        return torch.cat([net(self._prepared(part)).float() for part in images.split(_AT_ONCE)])

    def _prepared(self, images: Tensor) -> Tensor:
        self._refuse(images)
        if self.points:
            return images.float()
        images = rounded(images.float())
        if self.channels == 3 and images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        if self.side and images.shape[2:] != (self.side, self.side):
            images = F.interpolate(images, (self.side, self.side), mode="bilinear", antialias=True)
        return images

    def _refuse(self, images: Tensor) -> None:
        """Raise ValueError for what it cannot judge."""
        if images.dim() != (2 if self.points else 4):
            judged = "points [B, D]" if self.points else "images [B, C, H, W]"
            raise ValueError(f"extractor {self.name} judges {judged}, not {list(images.shape)}")
        if not bool(torch.isfinite(images).all()):
            raise ValueError("some pixels are not finite (NaN or infinity)")
        found = images.shape[1]
        if self.channels not in (None, found) and (self.channels, found) != (3, 1):
            raise ValueError(
                f"extractor {self.name} judges images of {self.channels} channels, and these have {found}: "
                "give --channels as it needs them, or choose another extractor"
            )


def _last_tap(name: str, file: str, weights: str | None, sha256: str | None, side: int) -> Extractor:
    def make(tensors: Mapping[str, Tensor]) -> torch.nn.Module:
        taps = Taps(VGG16 if name == "vgg16" else ALEXNET, tensors)
        return LPIPS(tensors, taps) if "lin0.weight" in tensors else taps

    net, digest = fitted(weights, file, make, sha256)
    taps, perceptual = (net.taps, net) if isinstance(net, LPIPS) else (net, None)
    about = {"weights": digest, "features": "last convolution, a mean over places"}

    def features(images: Tensor) -> Tensor:
        last: Tensor = taps(images)[-1].mean((2, 3))
        return last

    return Extractor(name, _side(side, 32), features, channels=3, about=about, perceptual=perceptual)


def _side(side: int, least: int = 1) -> int:
    if side < least:
        raise ValueError(f"extractor: side must be at least {least}, not {side}")
    return side


def vgg16(side: int = 64, weights: str | None = None, sha256: str | None = None) -> Extractor:
    """VGG16's last convolution, 512 features, and LPIPS (Simonyan & Zisserman 2015; Zhang et al. 2018)."""
    return _last_tap("vgg16", "lpips_vgg16_fp16.safetensors", weights, sha256, side)


def alexnet(side: int = 64, weights: str | None = None, sha256: str | None = None) -> Extractor:
    """AlexNet's last convolution, 256 features, and LPIPS (Krizhevsky 2014; Zhang et al. 2018)."""
    return _last_tap("alexnet", "lpips_alexnet_fp16.safetensors", weights, sha256, side)


def squeezenet(side: int = 227, weights: str | None = None, sha256: str | None = None) -> Extractor:
    """SqueezeNet v1.1: 512 features, and ImageNet's 1,000 classes (Iandola et al. 2016)."""
    net, digest = fitted(weights, "squeezenet1_1_caffe_fp16.safetensors", SqueezeNet, sha256)
    about = {"weights": digest, "features": "last fire module, a mean over places"}
    return Extractor("squeezenet", _side(side, 32), net.features, net, channels=3, about=about)


def lenet(weights: str | None = None, sha256: str | None = None) -> Extractor:
    """LeNet-5 trained on MNIST: 84 features and ten digits."""
    net, digest = fitted(weights, "mnist_lenet5.safetensors", LeNet, sha256)
    about = {"weights": digest, "features": "last hidden layer"}
    classes = tuple(map(str, range(10)))
    return Extractor("lenet", 32, net.features, net, channels=1, about=about, classes=classes)


def coordinates() -> Extractor:
    """Points as they are: for generators of points, whose coordinates are all there is to judge.

    >>> coordinates().features(torch.zeros(5, 2)).shape
    torch.Size([5, 2])
    """
    return Extractor("coordinates", None, lambda x: x, about={"weights": "none"}, points=True)


def pixels(side: int = 16) -> Extractor:
    """No net: the pixels of the image made small. A fall-back, blind to content, and says so."""
    about = {"weights": "none", "features": "pixels"}
    return Extractor("pixels", _side(side), lambda x: x.flatten(1), about=about)


def random(size: int = 512, side: int = 32, seed: int = 0) -> Extractor:
    """No training: `size` random projections of the pixels, N(0, 1/D). A fall-back, blind to content."""

    @cache
    def onto(width: int) -> Tensor:
        draw = torch.Generator().manual_seed(seed)
        drawn: Tensor = torch.randn(width, size, generator=draw) / width**0.5
        return drawn

    def project(x: Tensor) -> Tensor:
        flat = x.flatten(1)
        projected: Tensor = flat @ onto(flat.shape[1]).to(flat)
        return projected

    about = {"weights": f"none, seed {seed}", "features": f"{size} random projections of pixels"}
    return Extractor("random", _side(side), project, about=about)


def _package(name: str, extractor: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(
            f"extractor {extractor} needs the package {name.partition('.')[0].replace('_', '-')} ({error}): "
            "pip install 'zerosum[features]'"
        ) from error


def inception(weights: str | None = None, sha256: str | None = None) -> Extractor:
    """Inception-v3 with the 2015 weights that the FID is defined by: 2,048 features, 1,008 classes.

    The net and its resizing, TensorFlow 1's to 299×299 without antialiasing, are torch-fidelity's. `weights`
    is a safetensors file of its tensors; without it they are fetched from where that package publishes
    them, checked by the SHA-256 in their name, and read as tensors alone.
    """
    module = _package("torch_fidelity.feature_extractor_inceptionv3", "inception")
    if weights is not None:
        tensors, digest = read_weights(weights, "inception", sha256)
    else:
        try:
            tensors = torch.hub.load_state_dict_from_url(
                module.URL_INCEPTION_V3,
                map_location="cpu",
                progress=False,
                check_hash=True,
                weights_only=True,
            )
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"extractor inception: weights not fetched ({in_a_line(error)}); give weights=PATH"
            ) from error
        digest = str(module.URL_INCEPTION_V3).rsplit("-", 1)[-1].removesuffix(".pth")
    with tempfile.TemporaryDirectory() as folder:  # the package's net takes its weights as a file alone
        path = Path(folder) / "inception.pth"
        torch.save(tensors, path)
        try:
            net = module.FeatureExtractorInceptionV3("inception", ["2048", "logits_unbiased"], str(path))
        except RuntimeError as error:
            raise ValueError(
                f"weights {weights or 'inception'} are not this net's: {in_a_line(error)}"
            ) from error

    def part(number: int) -> Net:
        return lambda x: net((x + 1).mul(127.5).round().to(torch.uint8))[number]

    about: dict[str, str | int] = {
        "weights": digest,
        "features": "last pooling",
        "side": 299,
        "resize": "bilinear as TensorFlow 1, not antialiased",
    }
    return Extractor("inception", None, part(0), part(1), channels=3, about=about)


def dinov2(
    model: Literal["small", "base", "large", "giant"] = "small",
    side: int = 224,
    weights: str | None = None,
) -> Extractor:
    """DINOv2's class token, 384 to 1,536 features (Oquab et al. 2024).

    Stein et al. 2023 judge by the large one. The net is timm's. `weights` is a safetensors file of its
    tensors; without it timm fetches its own.
    """
    timm = _package("timm", "dinov2")
    if side < 14 or side % 14:
        raise ValueError(f"extractor dinov2: side must be a multiple of 14, not {side}")
    if weights is not None:
        read_weights(weights, "dinov2")
    name = f"vit_{model}_patch14_dinov2.lvd142m"
    own = None if weights is None else {"file": str(Path(weights).expanduser())}
    try:
        net = timm.create_model(
            name, pretrained=True, pretrained_cfg_overlay=own, num_classes=0, img_size=side
        )
    except (OSError, RuntimeError) as error:
        what = (
            f"weights {weights} are not this net's" if weights else "weights not fetched, give weights=PATH"
        )
        raise ValueError(f"extractor dinov2: {what} ({in_a_line(error)})") from error
    net = net.eval().requires_grad_(False)
    mean, spread = (torch.tensor(net.default_cfg[key])[:, None, None] for key in ("mean", "std"))
    digest = hashlib.sha256()
    for _, tensor in sorted(net.state_dict().items()):
        digest.update(tensor.contiguous().numpy().tobytes())

    def token(images: Tensor) -> Tensor:
        found: Tensor = net(((images + 1) / 2 - mean) / spread)
        return found

    about = {"weights": digest.hexdigest(), "features": f"class token of {name}"}
    return Extractor("dinov2", side, token, channels=3, about=about)


EXTRACTORS: Mapping[str, Callable[..., Extractor]] = {
    "vgg16": vgg16,
    "alexnet": alexnet,
    "squeezenet": squeezenet,
    "lenet": lenet,
    "inception": inception,
    "dinov2": dinov2,
    "pixels": pixels,
    "random": random,
    "coordinates": coordinates,
}


def extractor(text: str) -> Extractor:
    """An extractor by name and parameters, `vgg16:side=96`.

    >>> extractor("random:size=8").features(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 8])

    Raises ValueError for unknown names and parameters, and where weights are missing or another net's.
    """
    return build_part(EXTRACTORS, text, "extractor")
