"""Samples by class as measures: conditional accuracy, and the classification accuracy score."""

from torch import Tensor

from zerosum.metrics.comparison import Comparison, Value, share
from zerosum.metrics.labelled import read_right, taught
from zerosum.metrics.sides import Side

__all__ = ["accuracy_score", "conditional_accuracy"]

LESSONS = 1000  # batches of 100 that a pupil sees
_READER_SEED = 99


def conditional_accuracy(sides: Comparison) -> dict[str, Value]:
    """The share of samples that are read as the class they were asked for, of all and of each class.

    The extractor reads, if it is a classifier of these classes; else a small net is taught on the reals. The
    share of held-out images, or where there are none of reals, that it reads right stands beside: a reader
    can tell no more than it knows. Raises ValueError for samples or reals without labels, and for an
    extractor of other classes.
    """
    labels, classes = _told(sides.fake, "conditional-accuracy")
    exam = sides.held if sides.held is not None and sides.held.labels is not None else sides.real
    if exam.labels is not None:
        _told(exam, "conditional-accuracy", classes)
    if sides.extractor.classifier is None:
        reals = sides.train or sides.real
        lessons, _ = _told(reals, "conditional-accuracy, by a reader that is taught,", classes)
        order = sides.order(reals)
        steps = min(3 * LESSONS, max(1, 5 * reals.count // 100))
        reader = taught(reals.all()[order], lessons[order], len(classes), steps=steps, seed=_READER_SEED)
        right = read_right(reader, sides.fake.all(), labels)
        known = None if exam.labels is None else read_right(reader, exam.all(), exam.labels)
        sides.said["conditional-accuracy"] = f"read by a small net taught on {reals.count:,} reals"
    else:
        _same_classes(sides, classes)
        right = sides.features(sides.fake, logits=True).argmax(1) == labels
        known = None if exam.labels is None else sides.features(exam, logits=True).argmax(1) == exam.labels
        sides.said["conditional-accuracy"] = f"read by {sides.extractor.name}"
    found = {"conditional-accuracy": _shared(right)}
    if known is not None:
        found[f"reader on {'held-out images' if exam is sides.held else 'reals'}"] = _shared(known)
    for number, name in enumerate(classes):
        mine = right[labels == number]
        if len(mine):
            found[f"conditional-accuracy of {name}"] = _shared(mine)
    return found


def accuracy_score(sides: Comparison) -> dict[str, Value]:
    """The classification accuracy score (Ravuri & Vinyals 2019): a pupil learns from samples alone.

    It is examined on held-out real images, beside a pupil of as many reals: what the samples lack, the
    pupil lacks. The pupil is a small net, not the ResNet-50 of the paper: scores compare with each other's,
    not with published ones. Raises ValueError for samples, reals or held-out images without labels.
    """
    labels, classes = _told(sides.fake, "cas")
    if sides.held is None or sides.train is None:
        raise ValueError(
            "cas examines a pupil on held-out images with labels: give --held, or a run whose data have a "
            "test split"
        )
    exam, _ = _told(sides.held, "cas", classes)
    lessons, _ = _told(sides.train, "cas", classes)
    count = min(sides.fake.count, sides.train.count)
    found = {}
    for name, side, told in (("cas", sides.fake, labels), ("cas of reals", sides.train, lessons)):
        images, which = sides.some(side, count)
        pupil = taught(images, told[which], len(classes), steps=LESSONS, seed=sides.seed)
        found[name] = _shared(read_right(pupil, sides.held.all(), exam))
    sides.said["cas"] = f"a small net, {LESSONS} batches of 100 from {count:,} images"
    return found


def _shared(right: Tensor) -> Value:
    return share(float(right.double().mean()), len(right))


def _told(side: Side, what: str, classes: tuple[str, ...] = ()) -> tuple[Tensor, tuple[str, ...]]:
    """A side's labels and its classes, which must be those given."""
    if side.labels is None:
        raise ValueError(
            f"{what} needs the classes of {side.name}: a run of a recipe by class, class subfolders, or an "
            ".npz with labels"
        )
    if classes and side.classes != classes:
        raise ValueError(
            f"{what}: {side.name} has the classes {', '.join(side.classes[:8])}, not {', '.join(classes[:8])}"
        )
    return side.labels, side.classes


def _same_classes(sides: Comparison, classes: tuple[str, ...]) -> None:
    names = sides.extractor.classes
    size = len(names) or sides.extractor.logits(sides.fake.images(0, 1)).shape[1]
    if size != len(classes) or (names and names != classes):
        raise ValueError(
            f"conditional-accuracy: {sides.extractor.name} tells {', '.join(names) or f'{size} classes'}, "
            f"and samples are of {', '.join(classes[:8])}: choose an --extractor that tells no classes, as "
            "pixels, and a reader is taught on the reals"
        )
