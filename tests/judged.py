"""Images for the tests of measures: bars of two classes."""

import numpy as np
import torch
from torch import Tensor


def bars(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """A bright column or row of 16×16, at a random place: the class is which of the two."""
    places = np.random.default_rng(seed).integers(16, size=count)
    images, labels = torch.full((count, 1, 16, 16), -1.0), torch.arange(count) % 2
    for image, label, place in zip(images, labels, places, strict=True):
        image[0].select(1 - int(label), int(place)).fill_(1.0)
    return images, labels
