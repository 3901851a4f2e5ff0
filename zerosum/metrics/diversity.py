"""How much samples differ, as measures: MS-SSIM and LPIPS of random pairs, and perceptual path length."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from zerosum.draws import Draws, mix
from zerosum.latent import WAYS, way_for
from zerosum.metrics.comparison import Comparison, Value, mean
from zerosum.metrics.path_length import kept, path_lengths
from zerosum.metrics.quality import ms_ssim

__all__ = ["lpips_diversity", "ms_ssim_diversity", "path_length"]

PAIRS, PATHS = 1000, 1000
EPSILON = 1e-4
_SIDE = 256  # larger images are averaged down to it for path lengths, as published


def ms_ssim_diversity(sides: Comparison) -> dict[str, Value]:
    """MS-SSIM of random pairs of fakes, and of reals beside: higher is less diverse (Odena et al. 2017)."""
    return _of_pairs(sides, "ms-ssim", ms_ssim)


def lpips_diversity(sides: Comparison) -> dict[str, Value]:
    """LPIPS of random pairs of fakes, and of reals beside: lower is less diverse.

    A mean over pairs (Zhu et al. 2017, "Toward Multimodal", section 5.2). Raises ValueError for an
    extractor without LPIPS.
    """
    return _of_pairs(sides, "lpips-diversity", sides.extractor.distance)


def _of_pairs(sides: Comparison, name: str, compare: Callable[[Tensor, Tensor], Tensor]) -> dict[str, Value]:
    found = {}
    for what, side in ((name, sides.fake), (f"{name} of reals", sides.real)):
        pairs = min(PAIRS, side.count // 2)
        images = sides.some(side, 2 * pairs)[0]
        parts = []
        for one, other in zip(images[::2].split(64), images[1::2].split(64), strict=True):
            parts.append(compare(one, other))
            sides.tell(f"{name} of pairs of {side.name}", 64 * (len(parts) - 1) + len(one), pairs)
        found[what] = mean(torch.cat(parts))
        sides.said[what] = f"{pairs:,} random pairs"
    return found


def path_length(sides: Comparison) -> dict[str, Value]:
    """Perceptual path length in the generator's input space (Karras, Laine & Aila 2019, section 4.1).

    LPIPS of two samples a step of ε = 1e-4 apart on the way between two random latents, over ε²; the
    mean of what lies between the 1st and the 99th percentile. By class, a path stays in its class. Images of
    more than 256 pixels a side are averaged down first. Raises ValueError where the fakes are not a run's.
    """
    maker = sides.fake.maker
    if maker is None:
        raise ValueError(
            f"ppl walks through a generator's latents, and {sides.fake.name} is no run: give a run instead"
        )
    paths = min(PATHS, sides.fake.count)
    way = way_for(maker.latent)

    def decode(latents: Tensor, labels: Tensor | None) -> Tensor:
        images = maker.decode(latents, labels)
        factor = min(images.shape[2:]) // _SIDE
        return F.avg_pool2d(images, factor) if factor > 1 else images

    one, other = (maker.latent(Draws(mix("path", sides.seed, end), stop=paths)) for end in (0, 1))
    t = Draws(mix("path", sides.seed), stop=paths).uniform("t", 1)[:, 0]
    labels = None if sides.fake.labels is None else sides.fake.labels[:paths]
    parts = []
    for rows in torch.arange(paths).split(64):
        told = None if labels is None else labels[rows]
        ends = one[rows], other[rows]
        parts.append(
            path_lengths(
                decode, sides.extractor.distance, ends, t[rows], told, way=WAYS[way], epsilon=EPSILON
            )
        )
        sides.tell(f"paths of {sides.fake.name}", int(rows[-1]) + 1, paths)
    sides.said["ppl"] = f"{paths:,} paths in z by {way}, epsilon {EPSILON:g}, 1st to 99th percentile"
    return {"ppl": mean(kept(torch.cat(parts)))}
