"""Which modes of a mixture samples cover, how many samples are good ones, how evenly they are spread."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["ClassModes", "Modes", "class_modes", "modes", "needed"]

MOST = 10**6  # classes that are counted


class Modes(NamedTuple):
    """`hit`: modes covered, 0 … K; `share_high_quality`: samples near a mode, 0 … 1; `kl`: 0 … log K nats."""

    hit: int
    share_high_quality: float
    kl: float


class ClassModes(NamedTuple):
    """`hit`: classes that were read of K; `share_sure`: samples read with confidence; `kl` to reals, nats."""

    hit: int
    share_sure: float
    kl: float
    classes: int


def needed(count: int) -> int:
    """How many samples make a mode of points hit: 20 of 2,500, and as great a part of `count`.

    >>> needed(2500), needed(10_000), needed(100)
    (20, 80, 1)
    """
    return math.ceil(count * 20 / 2500)


def modes(samples: Tensor, centres: Tensor, sigma: float, *, within: float = 3.0, least: int = 20) -> Modes:
    """Judge samples [N, D] of K equal Gaussians of standard deviation `sigma` about `centres` [K, D].

    A sample is of high quality within `within`·sigma of the nearest centre, and a mode is hit when at least
    `least` samples of high quality are its own: the usual 20 are of 2,500 samples (after Srivastava et al.
    2017, VEEGAN). `kl` is KL(h‖uniform) = log K − H(h), in nats, where h is the histogram of all samples over
    their nearest centres (after Lin et al. 2018, PacGAN): 0 where every mode has its share, log K where one
    has all. Of samples from the mixture itself in two dimensions, 1 − e^(−9/2) = 98.9 % are within 3σ.

    >>> centres = torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
    >>> modes(torch.tensor([[1.0, 0.05]]).repeat(100, 1), centres, sigma=0.02)  # all on one mode
    Modes(hit=1, share_high_quality=1.0, kl=0.6931471805599453)

    Raises ValueError for no samples, for samples that are not finite, and where the shapes do not fit.
    """
    if samples.dim() != 2 or centres.dim() != 2 or samples.shape[1] != centres.shape[1] or not len(samples):
        raise ValueError(
            f"samples [N, D] and centres [K, D] are needed, not {list(samples.shape)}, {list(centres.shape)}"
        )
    if not bool(torch.isfinite(samples).all()):
        raise ValueError("some samples are not finite: the generator has diverged")
    # In float64 and by differences: (a−b)² by products loses what is small beside the radius.
    apart = torch.linalg.vector_norm(samples.double()[:, None] - centres.double(), dim=2)
    distance, nearest = apart.min(1)
    good = distance <= within * sigma
    share = torch.bincount(nearest, minlength=len(centres)).double() / len(samples)
    kl = math.log(len(centres)) + float(torch.xlogy(share, share).sum())
    hits = torch.bincount(nearest[good], minlength=len(centres))
    return Modes(int((hits >= least).sum()), float(good.double().mean()), max(kl, 0.0))


def class_modes(real: Tensor, fake: Tensor, *, sure: float = 0.9) -> ClassModes:
    """Classes as modes, by logits [N, K] of reals and [M, K] of fakes; [N, C, K] are read in C parts.

    A sample's class is the likeliest; of C parts, such as three digits stacked as colours, it is the number
    they spell, one of K^C. A class is hit when one sample shows it (as it is counted on stacked MNIST, Metz
    et al. 2017, section 3.3.1). A sample is read with confidence when the product of its parts' likeliest
    classes' chances is at least `sure`. `kl` is KL(h‖r) in nats of the fakes' histogram h to the reals' r,
    to which half a sample of each class is added, so that a class no real sample shows does not make it
    infinite.

    >>> real = 9 * torch.eye(2).repeat(50, 1)
    >>> found = class_modes(real, real[:1].repeat(10, 1))  # half of the classes is missing
    >>> found.hit, found.classes, round(found.kl, 4)
    (1, 2, 0.6931)

    Raises ValueError for logits that are not finite, for none, for sides of different K or C, and for more
    than a million classes.
    """
    real, fake = (logits.double().reshape(len(logits), -1, logits.shape[-1]) for logits in (real, fake))
    if not len(real) or not len(fake) or real.shape[1:] != fake.shape[1:]:
        raise ValueError(f"logits of as many classes are needed, not {list(real.shape)}, {list(fake.shape)}")
    if not bool(torch.isfinite(real).all() and torch.isfinite(fake).all()):
        raise ValueError("some logits are not finite (NaN or infinity)")
    parts, each = real.shape[1:]
    if each**parts > MOST:
        raise ValueError(f"{parts} parts of {each} classes spell {each**parts:,}, and at most {MOST:,} count")
    digits = each ** torch.arange(parts - 1, -1, -1)
    r, h = (
        torch.bincount((logits.argmax(2) * digits).sum(1), minlength=each**parts).double()
        for logits in (real, fake)
    )
    hit = int((h > 0).sum())
    r, h = (r + 0.5) / (r + 0.5).sum(), h / h.sum()
    kl = float((torch.xlogy(h, h) - torch.xlogy(h, r)).sum())
    chances = fake.softmax(2).amax(2).prod(1)
    return ClassModes(hit, float((chances >= sure).double().mean()), kl, each**parts)
