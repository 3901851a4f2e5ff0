"""Corruptions: changes to what the critic sees, the same law on real and on fake.

A corruption is called `corruption(x, draw, purpose, images)`: `x` is [B, …] in [−1, 1]; `draw` gives the
random numbers, others for another `purpose` ("real", "fake"); `images` is how many real images were
shown so far. It is differentiable in x, so that the generator learns through it. What comes out may
leave [−1, 1], as the papers' does; half precision comes out as float32.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from zerosum.augmentation import cut, recolour, warp
from zerosum.draws import Draws
from zerosum.names import unknown
from zerosum.objectives import widened

__all__ = ["Corruption", "augment", "images_only", "instance_noise", "parse_policy"]


class Corruption(nn.Module):
    """What the critic sees in place of x. Its buffers are its state, saved with the game's.

    `adaptive` tells that `adapt` must be called after the critic's last turn of each step.
    """

    adaptive: ClassVar[bool] = False

    def forward(self, x: Tensor, draw: Draws, purpose: str, images: int) -> Tensor:
        """x [B, …] corrupted, the shape kept."""
        raise NotImplementedError(f"{type(self).__name__} must say what the critic sees: write forward")

    def adapt(self, real_sign: Tensor | float, images: int) -> None:
        """Take in the mean of sign(logit of real) over batch and processes."""


def images_only(x: Tensor, name: str) -> None:
    """Raise ValueError unless x is [B, C, H, W]."""
    if x.dim() != 4:
        raise ValueError(
            f"--corruption {name} needs images, [B, C, H, W], not {list(x.shape)}: "
            "for points there is instance-noise"
        )


class _InstanceNoise(Corruption):
    def __init__(self, start: float, stop: float, images: int) -> None:
        super().__init__()
        self.start, self.stop, self.images = start, stop, images

    def forward(self, x: Tensor, draw: Draws, purpose: str, images: int) -> Tensor:
        sigma = self.start + (self.stop - self.start) * min(1.0, images / self.images)
        if sigma == 0:
            return x
        x = widened(x)
        return x + sigma * draw.normal(f"{purpose}/instance-noise", *x.shape[1:]).to(x.dtype)


def instance_noise(start: float = 0.1, stop: float = 0.0, images: int = 1_000_000) -> Corruption:
    """x + σε, ε~N(0, I), on real and fake alike (Sønderby et al. 2017, section 2.3; Arjovsky & Bottou 2017).

    σ goes in a line from `start` to `stop` over the first `images` real images shown: give the length
    of training to anneal over all of it. Overlapping supports make KL(p‖p_g) finite and the optimal
    critic smooth; the noise must be on both, or the generator would learn to make it.

    >>> noise = instance_noise(start=1.0, images=100)
    >>> [bool(noise(torch.zeros(1, 2), Draws(), "real", shown).any()) for shown in (0, 100)]
    [True, False]
    """
    if min(start, stop) < 0:
        raise ValueError(f"instance-noise: a standard deviation is not negative: start={start}, stop={stop}")
    if images < 1:
        raise ValueError(f"instance-noise: images must be at least 1, not {images}")
    return _InstanceNoise(start, stop, images)


def _color(x: Tensor, u: Tensor) -> Tensor:
    """Brightness ±½, then saturation 0 to 2 (about each pixel's mean), contrast ½ to 1½ (the image's)."""
    brightness, saturation, contrast = u[:, 0] - 0.5, 2 * u[:, 1, None, None], u[:, 2] + 0.5
    grey = u.new_full((x.shape[1], x.shape[1]), 1 / x.shape[1])
    colour = torch.eye(x.shape[1], device=x.device) - grey
    offset = brightness + (1 - contrast) * x.mean((1, 2, 3))
    return recolour(x, contrast[:, None, None] * (grey + saturation * colour), offset)


def _translation(x: Tensor, u: Tensor) -> Tensor:
    """Whole pixels, up to ⅛ of each side; 0 comes in."""
    most = torch.tensor([x.shape[3] // 8, x.shape[2] // 8], device=x.device)
    shift = (u[:, 3:5] * (2 * most + 1)).floor() - most
    return warp(x, torch.eye(2, device=x.device).expand(len(x), 2, 2), shift, exact=True)


def _cutout(x: Tensor, u: Tensor) -> Tensor:
    """A window of half of each side, centred anywhere, becomes 0."""
    sides = torch.tensor(x.shape[2:], device=x.device)
    size = sides // 2
    # An even window is centred between pixels, where there is one place more; an odd one on a pixel.
    centre = (u[:, 5:7] * (sides + 1 - size % 2)).floor() + (size % 2) / 2
    return cut(x, centre, (x.shape[2] // 2, x.shape[3] // 2))


_POLICIES = {"color": _color, "translation": _translation, "cutout": _cutout}


class _Augment(Corruption):
    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self.names = names

    def forward(self, x: Tensor, draw: Draws, purpose: str, images: int) -> Tensor:
        images_only(x, "augment")
        x = widened(x)
        u = draw.uniform(f"{purpose}/augment", 7).to(x.dtype)
        for name in self.names:
            x = _POLICIES[name](x, u)
        return x


def parse_policy(policy: str, known: tuple[str, ...], what: str) -> tuple[str, ...]:
    """The names in "a+b+c", each known and given once.

    >>> parse_policy("color+cutout", ("color", "cutout"), "policy of augment")
    ('color', 'cutout')
    """
    names = tuple(name.strip() for name in policy.split("+"))
    for name in names:
        if name not in known:
            raise unknown(what, name, known)
    if len(set(names)) < len(names):
        raise ValueError(f"{what} {policy!r}: a name is given twice")
    return names


def augment(policy: str = "color+translation+cutout") -> Corruption:
    """DiffAugment: random transformations of real and fake (Zhao et al. 2020, section 3.3).

    `policy` names what is done, in order, joined by "+": color, translation, cutout, in the authors'
    strengths. Each draws its amounts for each sample anew. Any number of channels: saturation leaves
    grey as it is. Raises ValueError for points, and for unknown names.

    >>> augment("translation+cutout")(torch.ones(2, 1, 8, 8), Draws(stop=2), "real", 0).shape
    torch.Size([2, 1, 8, 8])
    """
    return _Augment(parse_policy(policy, tuple(_POLICIES), "policy of augment"))
