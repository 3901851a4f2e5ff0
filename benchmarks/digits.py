"""How readable are generated digits? A trained LeNet-5 reads them, and says how sure it is."""

from typing import NamedTuple

import torch
from torch import Tensor

from zerosum.metrics.extractors import Extractor
from zerosum.metrics.frechet import Moments, frechet_distance

__all__ = ["Reading", "read_digits"]


class Reading(NamedTuple):
    """The share read with confidence of at least .9, and each digit's share of all samples."""

    confident: float
    shares: tuple[float, ...]
    frechet: float | None = None


def read_digits(lenet: Extractor, images: Tensor, real: Tensor | None = None) -> Reading:
    """Read images [N, 1, H, W] in [−1, 1]; with `real`, also the Fréchet distance of LeNet features."""
    confidence, digits = lenet.logits(images).softmax(1).max(1)
    shares = tuple((torch.bincount(digits, minlength=10) / len(digits)).tolist())
    frechet = None
    if real is not None:
        frechet = frechet_distance(*(Moments.of(lenet.features(side)) for side in (real, images)))
    return Reading(float((confidence >= 0.9).double().mean()), shares, frechet)
