"""What may be done about a diagnosis: two settings by the flags of `zerosum train` that make them.

What a flag can be given depends on the run: a penalty is no remedy where there is one, nor packs where
samples of a pack would differ in class. Rules look at settings and at what is so, never at a recipe's name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["REMEDIES", "Situation", "remedies"]


@dataclass(frozen=True)
class Situation:
    """A run as far as remedies go: the recipe's settings, and what does not stand in them.

    `bounded`: the critic's loss has a least; `flat`: the generator's is flat where samples are rejected;
    `classes`: how many the nets tell apart; `flip`, `clip`: as `zerosum train` was told; `images`: whether
    the data are.

    >>> Situation({"lr": 1e-3}).classes
    0
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    bounded: bool = True
    flat: bool = False
    classes: int = 0
    images: bool = True
    flip: bool = False
    clip: float | None = None

    def empty(self, name: str) -> bool:
        """Whether a setting is there and has nothing in it."""
        return name in self.settings and all(part == "none" for part in self._parts(name))

    def names(self, setting: str, part: str) -> bool:
        """Whether a setting names this part."""
        return any(text.partition(":")[0] == part for text in self._parts(setting))

    def _parts(self, name: str) -> list[str]:
        value = self.settings.get(name) or ()
        return [value] if isinstance(value, str) else list(value)


Remedy = Callable[[Situation], str | None]


def _slower_critic(now: Situation) -> str | None:
    rate = now.settings.get("critic_lr") or now.settings.get("lr")
    return rate and f"--critic-lr {rate / 2:g} (half of it)"


def _slower(now: Situation) -> str | None:
    rate, own = now.settings.get("lr"), now.settings.get("critic_lr")
    if not rate:
        return None
    return f"--lr {rate / 2:g}{f' --critic-lr {own / 2:g}' if own else ''} (half of it)"


def _penalty(now: Situation) -> str | None:
    """A bound on the critic's slope, where it has none; batch norm and clipping must make way for it."""
    if not now.empty("penalty"):
        return None
    norm = "--critic-norm layer " if now.settings.get("critic_norm") == "batch" else ""
    free = "--constraint none " if now.names("constraint", "clip") else ""
    kind = "r1:weight=1" if now.bounded else "wgan-gp:weight=10"
    return f"{norm}{free}--penalty {kind} (bounds the critic's slope)"


def _unclipped(now: Situation) -> str | None:
    return _penalty(now) if now.names("constraint", "clip") else None


def _noise(now: Situation) -> str | None:
    if not now.empty("corruption"):
        return None
    return "--corruption instance-noise:start=0.1 (real and fake overlap, so the critic cannot be sure)"


def _unsaturated(now: Situation) -> str | None:
    return "--objective non-saturating (steep where samples are rejected)" if now.flat else None


def _stddev(now: Situation) -> str | None:
    return (
        "--batch-layer minibatch-stddev (the critic sees how much a batch varies)"
        if now.empty("batch_layer")
        else None
    )


def _packs(now: Situation) -> str | None:
    settings = now.settings
    fits = not now.classes and settings.get("batch", 1) % 2 == 0 and not settings.get("feature_matching")
    if not fits or settings.get("pack") != 1:
        return None
    return "--pack 2 (the critic sees samples in twos)"


def _larger_batch(now: Situation) -> str | None:
    batch = now.settings.get("batch")
    return batch and f"--batch {2 * batch} (twice as many)"


def _clip(now: Situation) -> str | None:
    return None if now.clip else "--clip 1 (bounds the norm of each gradient)"


def _average(now: Situation) -> str | None:
    decay = now.settings.get("average")
    if decay is None or decay >= 0.999:
        return None
    return "--average 0.999 (samples of an average over more steps)"


def _augment(now: Situation) -> str | None:
    if not (now.images and now.empty("corruption")):
        return None
    return "--corruption augment (the critic never sees an image twice the same)"


def _flip(now: Situation) -> str | None:
    return (
        "--flip (twice as many images, where mirrored ones are right)"
        if now.images and not now.flip
        else None
    )


def _fewer_maps(now: Situation) -> str | None:
    for name in ("width", "fmap_base"):
        value = now.settings.get(name)
        if value and value % (2 * now.settings.get("group", 1)) == 0:
            return f"--{name.replace('_', '-')} {value // 2} (half as many feature maps)"
    return None


def _schedule(now: Situation) -> str | None:
    images = now.settings.get("images")
    if not (images and now.empty("schedule")):
        return None
    return f"--schedule linear:start={images // 2},stop={images} (the learning rate falls to 0)"


REMEDIES: Mapping[str, tuple[Remedy, ...]] = {
    "critic saturated": (_slower_critic, _penalty, _noise, _larger_batch),
    "generator's gradient vanished": (_unsaturated, _unclipped, _slower_critic, _noise, _penalty, _slower),
    "diversity falling": (_unclipped, _stddev, _packs, _penalty, _slower, _larger_batch),
    "samples off range": (_slower, _clip, _larger_batch),
    "oscillation": (_penalty, _slower, _average, _larger_batch),
    "memorising": (_augment, _flip, _fewer_maps, _slower, _larger_batch),
    "no progress": (_slower, _schedule, _larger_batch),
}  # by diagnosis, those first that go to its cause


def remedies(diagnosis: str, now: Situation) -> tuple[str, ...]:
    """The first two remedies that a run's settings allow, each a flag with its value and what it does.

    >>> remedies("critic saturated", Situation({"lr": 2e-4, "critic_lr": None, "corruption": ()}))
    ('--critic-lr 0.0001 (half of it)', '--corruption instance-noise:start=0.1 (real and fake overlap, ...)')
    """
    found = (remedy(now) for remedy in REMEDIES[diagnosis])
    return tuple(text for text in found if text)[:2]
