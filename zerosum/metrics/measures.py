"""The measures by name, each a function of two sides: values with their intervals.

An interval holds 95 %. Where it comes from resampling the fakes, or from leaving a tenth of them out in
turn, it holds the mean over draws of as many fakes; the reals stay. The reals' own number has a part in
the bias of `fd`, which the card's counts let others repeat.
"""

from collections.abc import Callable, Mapping
from functools import partial

from torch import Tensor

from zerosum.metrics.comparison import Comparison, Value, about, share
from zerosum.metrics.coverage import mode_coverage
from zerosum.metrics.diversity import lpips_diversity, ms_ssim_diversity, path_length
from zerosum.metrics.frechet import STUDENT, frechet_infinity, frechet_jackknife
from zerosum.metrics.inception_score import inception_score
from zerosum.metrics.kid import kid, kid_subsets
from zerosum.metrics.originality import originality
from zerosum.metrics.pairs import PAIRS, lpips_of_pairs, psnr_of_pairs, ssim_of_pairs
from zerosum.metrics.prdc import prdc
from zerosum.metrics.reading import accuracy_score, conditional_accuracy
from zerosum.metrics.repeats import birthday, within
from zerosum.transport import sliced_wasserstein

__all__ = ["FROM_HELD", "FROM_TRAIN", "MEASURES", "OF_POINTS", "UNJUDGED", "WHOLE"]

WHOLE = frozenset({"fd-infinity", "kid", "prdc"})  # what needs the features of a whole side at once
OF_POINTS = frozenset({"fd", "fd-infinity", "kid", "prdc", "swd", "modes"})  # what also judges points
FROM_TRAIN = frozenset({"memorisation", "conditional-accuracy", "cas"})  # what needs all training images
UNJUDGED = frozenset(
    {"swd", "ms-ssim", "cas", "memorisation", "duplicates", "birthday", *(PAIRS - {"lpips"})}
)  # what needs no extractor
FROM_HELD = FROM_TRAIN  # what is better told, or told at all, with images that the generator never saw


def _fd(sides: Comparison) -> dict[str, Value]:
    distance, error = frechet_jackknife(sides.real_moments, sides.fake_blocks)
    return {"fd": Value(distance) if error is None else about(distance, error, STUDENT)}


def _fd_infinity(sides: Comparison) -> dict[str, Value]:
    fakes = sides.fake_features[sides.order(sides.fake)]
    value, error = frechet_infinity(sides.real_moments, fakes, seed=sides.seed)
    return {"fd-infinity": about(value, error)}


def _kid(sides: Comparison) -> dict[str, Value]:
    value = kid(sides.real_features, sides.fake_features)
    least = min(sides.real.count, sides.fake.count)
    size = min(1000, least // 2)
    if size < 2:
        return {"kid": Value(value)}
    spread = kid_subsets(sides.real_features, sides.fake_features, subsets=20, size=size, seed=sides.seed)
    # Subsets of `size` vary by 1/size - 1/least, being drawn without replacement; all pairs by 1/least.
    return {"kid": about(value, spread.deviation * (size / (least - size)) ** 0.5)}


def _prdc(sides: Comparison) -> dict[str, Value]:
    found = prdc(sides.real_features, sides.fake_features)
    counts = {"precision": sides.fake.count, "recall": sides.real.count, "coverage": sides.real.count}
    return {
        name: share(value, counts[name]) if name in counts else Value(value)
        for name, value in found._asdict().items()
    }


def _is(sides: Comparison) -> dict[str, Value]:
    found = inception_score(sides.fake_logits)
    return {"is": about(found.mean, found.deviation)}


def _swd(sides: Comparison) -> dict[str, Value]:
    count = min(sides.real.count, sides.fake.count, 4096)
    real, fake = (sides.some(side, count)[0] for side in (sides.real, sides.fake))

    def distance(fakes: Tensor) -> float:
        return float(sliced_wasserstein(real, fakes))

    return {"swd": about(distance(fake), sides.resampled(distance, fake))}


def _memorisation(sides: Comparison) -> dict[str, Value]:
    if sides.held is None or sides.train is None:
        raise ValueError(
            "memorisation needs held-out images beside the training ones: give --held, a folder or a set "
            "that the generator never saw"
        )
    count = min(500, sides.fake.count, sides.held.count)
    fakes, held = (sides.some(side, count)[0] for side in (sides.fake, sides.held))
    found = originality(fakes, sides.train.all(), held)
    return {
        "memorisation p-value": Value(found.p_value),
        "suspected copies": share(len(found.suspects) / count, count),
        "distance to training images over held-out": Value(found.ratio),
    }


MEASURES: Mapping[str, Callable[[Comparison], Mapping[str, Value]]] = {
    "fd": _fd,
    "fd-infinity": _fd_infinity,
    "kid": _kid,
    "prdc": _prdc,
    "is": _is,
    "swd": _swd,
    "ms-ssim": ms_ssim_diversity,
    "lpips-diversity": lpips_diversity,
    "ppl": path_length,
    "modes": mode_coverage,
    "conditional-accuracy": conditional_accuracy,
    "cas": accuracy_score,
    "memorisation": _memorisation,
    "duplicates": within,
    "birthday": birthday,
    "psnr": psnr_of_pairs,
    "psnr-y": partial(psnr_of_pairs, luminance=True),
    "ssim": ssim_of_pairs,
    "ssim-y": partial(ssim_of_pairs, luminance=True),
    "lpips": lpips_of_pairs,
}
