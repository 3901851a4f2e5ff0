"""Inpainting compared: a generator's filling beside the classical ones, on the same images and holes.

Semantic inpainting as Yeh et al. 2017 do it: the latent whose image fits the context, near the hole most,
and which the critic takes for real; what it draws is blended in by gradients.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from zerosum.inverse.descent import LBFGS, Method
from zerosum.inverse.inpainting import blend, context, paste
from zerosum.inverse.lowrank import complete
from zerosum.inverse.masks import Mask
from zerosum.inverse.misfit import Prior
from zerosum.inverse.patches import nearest_image, patch_fill
from zerosum.inverse.search import Found, Heard
from zerosum.inverse.smooth import biharmonic, tv_inpaint
from zerosum.names import look_up
from zerosum.reconstruction import GeneratorPrior

__all__ = ["RIVALS", "Fill", "by_generator", "filled", "rivals"]

Fill = Callable[[Mask, Tensor], Tensor]
RIVALS = ("tv", "low-rank", "biharmonic", "nearest-image", "patches")


@dataclass(frozen=True)
class Filling:
    """What a generator filled in: `image` blended, `pasted` not, and what the search found."""

    image: Tensor
    pasted: Tensor
    found: Found


def by_generator(
    source: GeneratorPrior,
    mask: Mask,
    images: Tensor,
    *,
    restarts: int = 4,
    window: int = 7,
    realism: float = 0.003,
    norm: float = 0.0,
    method: Method | None = None,
    seed: int = 0,
    hear: Heard | None = None,
    keep: Callable[[Found], None] | None = None,
    start: Tensor | None = None,
) -> Filling:
    """Fill the holes of images [B, C, H, W] in [−1, 1]; what stands in a hole is not looked at.

    The objective is ‖W ⊙ (G(z) − y)‖₁ + realism·log(1 − σ(D(G(z)))) (Yeh et al. 2017, eqs 4–6, weight .003),
    without the second term where the run has no critic. The restart whose context fits best is blended in.
    """
    weight = realism if source.critic is not None else 0.0
    within = 1.0 if source.latent.law == "uniform" else None
    found = source.search(
        context(mask, images, window),
        restarts=restarts,
        seed=seed,
        method=method or LBFGS(steps=150),
        prior=Prior(norm=norm, realism=weight, critic=source.critic, within=within),
        start=start,
        hear=hear,
        keep=keep,
    )
    return filled(mask, images, found)


def filled(mask: Mask, images: Tensor, found: Found) -> Filling:
    """The images, as many as were searched, with what was found for each put into its holes."""
    some = images[: len(found)]
    keep = mask.keep[: len(found)] if mask.keep.dim() > 3 else mask.keep
    known = mask.forward(images)[: len(found)]
    return Filling(blend(known, found.image, keep).clamp(-1, 1), paste(some, found.image, keep), found)


def rivals(train: Tensor, names: tuple[str, ...] = RIVALS) -> Mapping[str, Fill]:
    """The classical fillings by name: total variation, low rank, biharmonic, the nearest of `train`, patches.

    Each keeps the known pixels as they are. Raises ValueError for a name that is not known.
    """

    def variation(mask: Mask, images: Tensor) -> Tensor:
        return tv_inpaint(mask, mask.forward(images)).image

    def low_rank(mask: Mask, images: Tensor) -> Tensor:
        return complete(mask, mask.forward(images)).image

    def smooth(mask: Mask, images: Tensor) -> Tensor:
        return biharmonic(mask, mask.forward(images))

    def nearest(mask: Mask, images: Tensor, train: Tensor) -> Tensor:
        return nearest_image(mask.forward(images), mask.keep, train).clamp(-1, 1)

    def patches(mask: Mask, images: Tensor) -> Tensor:
        return patch_fill(mask.forward(images), mask.keep)

    known: dict[str, Fill] = {
        "tv": variation,
        "low-rank": low_rank,
        "biharmonic": smooth,
        "nearest-image": partial(nearest, train=train),
        "patches": patches,
    }
    return {name: look_up(known, name, "--baselines") for name in names}
