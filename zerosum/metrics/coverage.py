"""Mode coverage as a measure: of points about known centres, of images by the classes that a net reads."""

from torch import Tensor

from zerosum.metrics.comparison import Comparison, Value, share
from zerosum.metrics.modes import ClassModes, class_modes, modes, needed
from zerosum.metrics.sides import Side

__all__ = ["mode_coverage"]

SURE = 0.9
_REAL = 0.95  # of the reals that must lie within 3σ of a centre; 98.9 % of the mixture do


def mode_coverage(sides: Comparison) -> dict[str, Value]:
    """Modes hit, the share of good or sure samples, and KL in nats: see `zerosum.metrics.modes`.

    Of points, the data name their mixture (`zerosum.data.toys.MODES`), and KL is to equal shares; of
    images, the extractor reads classes, and KL is to the reals' histogram. An extractor of one channel
    reads images of several channel by channel, as stacked digits ask for. Raises ValueError for points of no
    known mixture, and for an extractor that tells no classes.
    """
    if sides.fake.points:
        return _of_points(sides)
    found = class_modes(_read(sides, sides.real), _read(sides, sides.fake), sure=SURE)
    sides.said["modes"] = f"{found.classes:,} classes, hit by one sample, sure from {SURE}"
    return _values(found, sides.fake.count)


def _values(found: ClassModes, count: int) -> dict[str, Value]:
    return {
        "modes": Value(found.hit),
        "share read with confidence": share(found.share_sure, count),
        "modes KL": Value(found.kl),
    }


def _of_points(sides: Comparison) -> dict[str, Value]:
    if sides.real.mixture is None:
        raise ValueError(
            f"modes: {sides.real.name} has no known centres; of points those of ring and grid are counted"
        )
    centres, sigma = sides.real.mixture
    if modes(sides.real.all(), centres, sigma).share_high_quality < _REAL:
        raise ValueError(f"modes: {sides.real.name} does not lie on the modes of the set of that name")
    least = needed(sides.fake.count)
    found = modes(sides.fake.all(), centres, sigma, least=least)
    sides.said["modes"] = f"{len(centres)} modes, hit by {least} samples within 3 sigma of {sigma:g}"
    return {
        "modes": Value(found.hit),
        "share of high quality": share(found.share_high_quality, sides.fake.count),
        "modes KL": Value(found.kl),
    }


def _read(sides: Comparison, side: Side) -> Tensor:
    """Logits [N, K], or [N, C, K] of images whose C channels are read one by one."""
    channels = side.images(0, 1).shape[1]
    if sides.extractor.channels != 1 or channels == 1:
        return sides.features(side, logits=True)
    logits = sides.features(by_channel(side, channels), logits=True)
    return logits.reshape(side.count, channels, -1)


def by_channel(side: Side, channels: int) -> Side:
    """The side's channels as grey images, those of each image one after another.

    >>> import torch
    >>> from zerosum.metrics.sides import of_images
    >>> images = torch.arange(6.0).reshape(2, 3, 1, 1) / 8
    >>> by_channel(of_images("six", images), 3).images(2, 4).flatten()
    tensor([0.2500, 0.3750])
    """

    def images(start: int, stop: int) -> Tensor:
        first = start // channels
        whole = side.images(first, -(-stop // channels)).flatten(0, 1)[:, None]
        return whole[start - first * channels :][: stop - start]

    key = side.key and f"{side.key} by channel"
    return Side(side.name, side.count * channels, images, side.card, key)
