"""Images for the tests of measures, and an extractor without weights."""

import numpy as np
import torch
from torch import Tensor

from zerosum.metrics.extractors import Extractor, rounded


def bars(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """A bright column or row of 16×16, at a random place: the class is which of the two."""
    places = np.random.default_rng(seed).integers(16, size=count)
    images, labels = torch.full((count, 1, 16, 16), -1.0), torch.arange(count) % 2
    for image, label, place in zip(images, labels, places, strict=True):
        image[0].select(1 - int(label), int(place)).fill_(1.0)
    return images, labels


def apart(real: Tensor, fake: Tensor) -> Tensor:
    """A stand-in for LPIPS: the squared distance of pixels."""
    return (real - fake).square().flatten(1).sum(1)


def judge(classes: int = 4) -> Extractor:
    """An extractor without weights for all measures: rows as features, brightness as classes, `apart`."""

    def features(images: Tensor) -> Tensor:
        return images.mean(1).mean(2)[:, ::4]

    def logits(images: Tensor) -> Tensor:
        levels = torch.linspace(-0.6, 0.6, classes)
        return -50 * (images.mean((1, 2, 3))[:, None] - levels).square()

    return Extractor("stub", None, features, logits, about={"weights": "stub"}, perceptual=apart)


def shades(count: int, seed: int, shift: float = 0.0, spread: float = 0.3, side: int = 16) -> Tensor:
    """Random slopes about a random grey, [count, 1, side, side], on 8-bit values."""
    draw = torch.Generator().manual_seed(seed)
    level, slope = (torch.randn(count, 1, 1, 1, generator=draw) for _ in range(2))
    noise = torch.randn(count, 1, side, side, generator=draw)
    ramp = torch.linspace(-0.3, 0.3, side)[:, None]
    return rounded((shift + spread * level + slope * ramp + 0.1 * noise).clamp(-1, 1))
