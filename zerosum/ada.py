"""Adaptive discriminator augmentation (Karras et al. 2020, "Training GANs with limited data").

Each transformation is made with probability p, and p follows how much the critic overfits. While p is
below about .8 what is done to the fakes does not leak into them: the generator has no use for making
its images turned or inverted, as long as the reals are seen upright more often than not.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from zerosum.annealing import cosine
from zerosum.augmentation import cut, recolour, rotation, warp
from zerosum.corruptions import Corruption, images_only, parse_policy
from zerosum.draws import Draws
from zerosum.objectives import widened

__all__ = ["ada", "ada_ramp"]

_GROUPS = {
    "blit": ("xflip", "rotate90", "xint"),
    "geom": ("scale", "rotate", "aniso", "xfrac"),
    "color": ("brightness", "contrast", "lumaflip", "hue", "saturation"),
}
_GEOMETRIC = {*_GROUPS["blit"], *_GROUPS["geom"]}
_NAMES = (*(name for group in _GROUPS.values() for name in group), "noise", "cutout")
_COLUMNS = (*_NAMES, "rotate again")  # the paper turns before and after the anisotropic scaling
Shares = Mapping[str, float]  # of p, by transformation: how often each is made; those without one never


class _Amounts:
    """What each sample is to undergo: amounts are 0 for whatever it is spared."""

    def __init__(self, draw: Draws, purpose: str, p: Tensor, shares: Shares) -> None:
        # Both turns together are made with probability p.
        chance = {name: p * shares.get(name, 0.0) for name in _NAMES}
        chance["rotate"] = chance["rotate again"] = 1 - (1 - chance["rotate"]).sqrt()
        chances = torch.stack([chance[name] for name in _COLUMNS])
        on = draw.uniform(f"{purpose}/ada on", len(_COLUMNS)) < chances
        flat = 2 * draw.uniform(f"{purpose}/ada uniform", len(_COLUMNS), 2) - 1
        bell = draw.normal(f"{purpose}/ada normal", len(_COLUMNS), 2)
        self.on = dict(zip(_COLUMNS, on.unbind(1), strict=True))
        self._flat = dict(zip(_COLUMNS, (flat * on[..., None]).unbind(1), strict=True))
        self._bell = dict(zip(_COLUMNS, (bell * on[..., None]).unbind(1), strict=True))

    def uniform(self, name: str) -> Tensor:
        """[B] in [−1, 1)."""
        return self._flat[name][:, 0]

    def uniforms(self, name: str) -> Tensor:
        """[B, 2] in [−1, 1)."""
        return self._flat[name]

    def normal(self, name: str) -> Tensor:
        """[B] standard normal."""
        return self._bell[name][:, 0]

    def normals(self, name: str) -> Tensor:
        """[B, 2] standard normal."""
        return self._bell[name]


def _geometry(amounts: _Amounts, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Where each pixel of the outcome is taken from: (linear [B, 2, 2], shift [B, 2]) of `warp`."""
    sides = torch.tensor([width, height], device=amounts.uniform("xflip").device)
    flip = 1 - 2 * (amounts.uniform("xflip") > 0).float()
    linear = torch.diag_embed(torch.stack([flip, torch.ones_like(flip)], 1))
    linear = linear @ rotation(math.pi / 2 * (2 * amounts.uniform("rotate90")).floor())
    shift = -linear @ (amounts.uniforms("xint") * sides / 8).round()[..., None]
    linear = linear * torch.exp2(-0.2 * amounts.normal("scale"))[:, None, None]
    linear = linear @ rotation(math.pi * amounts.uniform("rotate"))
    stretch = 0.2 * amounts.normal("aniso")
    linear = linear * torch.exp2(torch.stack([-stretch, stretch], 1))[:, None]
    linear = linear @ rotation(math.pi * amounts.uniform("rotate again"))
    shift = shift - linear @ (amounts.normals("xfrac") * sides / 8)[..., None]
    return linear, shift[..., 0]


def _colours(amounts: _Amounts, channels: int) -> tuple[Tensor, Tensor]:
    """What becomes of a pixel's channels: (matrix [B, C, C], offset [B]) of `recolour`.

    Brightness and the luma flip move the channels' mean only, hue and saturation only what is left
    without it, contrast scales both; so their product is a sum of the two.
    """
    brightness = 0.2 * amounts.normal("brightness")
    contrast = torch.exp2(0.5 * amounts.normal("contrast"))
    flip = 1 - 2 * (amounts.uniform("lumaflip") > 0).float()
    hue = math.pi * amounts.uniform("hue")
    saturation = torch.exp2(amounts.normal("saturation"))

    mean = hue.new_full((channels, channels), 1 / channels)
    rest = torch.eye(channels, device=hue.device) - mean
    if channels == 3:  # hue is an angle about the grey axis: with other numbers of channels there is none
        across = hue.new_tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
        turned = hue.cos()[:, None, None] * rest + hue.sin()[:, None, None] * across
    else:
        turned = rest.expand(len(hue), channels, channels)
    matrix = (contrast * flip)[:, None, None] * mean + (contrast * saturation)[:, None, None] * turned
    return matrix, contrast * flip * brightness


def _shares(policy: str, color: float, what: str) -> Shares:
    names = parse_policy(policy, (*_GROUPS, *_NAMES), f"policy of {what}")
    each = (n for name in names for n in _GROUPS.get(name, (name,)))
    return {name: color if name in _GROUPS["color"] else 1.0 for name in each}


def _transformed(x: Tensor, draw: Draws, purpose: str, p: Tensor, shares: Shares) -> Tensor:
    x = widened(x)
    with torch.autocast(x.device.type, enabled=False):
        amounts = _Amounts(draw, purpose, p, shares)
        if shares.keys() & _GEOMETRIC:
            x = warp(x, *_geometry(amounts, *x.shape[2:]))
        if shares.keys() & {*_GROUPS["color"]}:
            x = recolour(x, *_colours(amounts, x.shape[1]))
        if "noise" in shares:
            sigma = 0.1 * amounts.normal("noise").abs()
            noise = draw.normal(f"{purpose}/ada noise", *x.shape[1:])
            x = x + (sigma[:, None, None, None] * noise).to(x.dtype)
        if "cutout" in shares:
            sides = torch.tensor(x.shape[2:], device=x.device)
            centre = (amounts.uniforms("cutout") + 1) / 2 * sides
            nowhere = torch.full_like(centre, -torch.inf)
            centre = torch.where(amounts.on["cutout"][:, None], centre, nowhere)
            x = cut(x, centre, (x.shape[2] / 2, x.shape[3] / 2))
    return x


class _ADA(Corruption):
    adaptive = True
    p: Tensor
    signs: Tensor
    calls: Tensor
    since: Tensor

    def __init__(self, target: float, images: int, every: int, shares: Shares) -> None:
        super().__init__()
        self.target, self.images, self.every, self.shares = target, images, every, shares
        self.register_buffer("p", torch.zeros(()))
        self.register_buffer("signs", torch.zeros(()))  # summed since p last moved
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("since", torch.zeros((), dtype=torch.int64))  # images shown when p last moved

    def forward(self, x: Tensor, draw: Draws, purpose: str, images: int) -> Tensor:
        images_only(x, "ada")
        return x if self.p == 0 else _transformed(x, draw, purpose, self.p, self.shares)

    @torch.no_grad()
    def adapt(self, real_sign: Tensor | float, images: int) -> None:
        self.signs.add_(real_sign)
        self.calls.add_(1)
        if self.calls < self.every:
            return
        share = (images - self.since) / self.images
        self.p.add_(torch.sign(self.signs / self.calls - self.target) * share).clamp_(0, 1)
        self.signs.zero_()
        self.calls.zero_()
        self.since.fill_(images)


def ada(
    target: float = 0.6, images: int = 500_000, every: int = 4, policy: str = "blit+geom+color"
) -> Corruption:
    """Augmentation of real and fake with a probability p that adapts (Karras et al. 2020, section 3).

    Every `every` steps p goes up where r_t = E sign(D(x)) over the reals seen since was above
    `target`, down where it was below, so fast that 0 to 1 takes `images` real images. r_t is 0 for a
    critic that cannot tell, 1 for one that is sure of all reals: it needs logits whose sign says real
    or fake, so no Wasserstein. p starts at 0, where x passes untouched, and stays within [0, 1] (the
    authors' code has no upper bound, beyond which only the way back is longer).

    `policy` joins by "+" groups or single transformations, always made in this order, with the
    published strengths (appendix B), an image's dynamic range being 2:

    - blit: xflip, rotate90, xint (whole pixels, ±⅛ of the sides)
    - geom: scale (2^N(0, .2²)), rotate (any angle), aniso (2^N(0, .2²)), xfrac (N(0, .125²) of the sides)
    - color: brightness (N(0, .2²)), contrast (2^N(0, .5²)), lumaflip, hue (any angle), saturation (2^N(0, 1))
    - noise (σ=|N(0, .1²)|) and cutout (half of the sides), which the paper leaves out as well

    The geometric ones are one map and sampled once, bilinearly, with reflection. The paper samples
    between a 2× up- and down-sampling by a wavelet (sym6) filter, which keeps more of the finest
    detail in turned images, and aliases less in shrunken ones; real and fake lose the same here.
    Saturation leaves grey as it is, and hue all but three channels. Raises ValueError for points.

    >>> corruption = ada(images=40)
    >>> for shown in (10, 20, 30, 40):
    ...     corruption.adapt(0.9, shown)
    >>> corruption.p
    tensor(1.)
    """
    if not -1 < target < 1:
        raise ValueError(f"ada: target is a mean of signs, between -1 and 1, not {target}")
    if images < 1 or every < 1:
        raise ValueError(f"ada: images and every must be at least 1, not {images} and {every}")
    return _ADA(target, images, every, _shares(policy, 1.0, "ada"))


class _Ramp(Corruption):
    def __init__(self, p: float, images: int, shares: Shares) -> None:
        super().__init__()
        self.p, self.images, self.shares = p, images, shares

    def forward(self, x: Tensor, draw: Draws, purpose: str, images: int) -> Tensor:
        images_only(x, "ada-ramp")
        p = cosine(images, 0.0, self.p, self.images)
        return x if p == 0 else _transformed(x, draw, purpose, torch.tensor(p, device=x.device), self.shares)


def ada_ramp(
    p: float = 0.55, images: int = 20_000_000, policy: str = "blit+geom+color+cutout", color: float = 0.5
) -> Corruption:
    """The augmentations of `ada`, their probability going by a cosine from 0 to `p` over `images`.

    As R3GAN has it (Huang et al. 2024; the defaults are its CIFAR-10's): nothing adapts. Those of the
    group color are made with probability `color` · p. Raises ValueError for points.

    >>> x = torch.ones(2, 1, 8, 8)
    >>> torch.equal(ada_ramp()(x, Draws(stop=2), "real", 0), x)
    True
    """
    for name, value in (("p", p), ("color", color)):
        if not 0 <= value <= 1:
            raise ValueError(f"ada-ramp: {name} must be 0 to 1, not {value}")
    if images < 1:
        raise ValueError(f"ada-ramp: images must be at least 1, not {images}")
    return _Ramp(p, images, _shares(policy, color, "ada-ramp"))
