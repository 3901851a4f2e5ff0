"""What the last lines of metrics.jsonl say of seven ways in which training fails, one function each.

A `Sign` is raised on one bound and over on another, with room between the two, so that what hovers about
one bound is told once. Bounds lie between what recorded runs that trained and runs that failed have shown.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zerosum.training.watch_scale import Scale

__all__ = [
    "Line",
    "Past",
    "Sign",
    "copying",
    "halted",
    "narrow",
    "off_range",
    "oscillating",
    "saturated",
    "swing",
    "vanished",
]

Line = Mapping[str, float]

WINDOW = 10  # lines over which losses and gradients are judged: half an interval, so no passing spike counts
SWINGS = 40  # lines in which a period is sought: three whole swings of up to 13 lines each
SATURATED, UNSATURATED = 0.02, 0.06  # of an undecided critic's loss: healthy runs were never below .033
VANISHED, BACK = 0.01, 0.03  # of the strongest gradient of the phase: healthy runs were never below .04
AHEAD = 0.5  # of an undecided critic's loss: a gradient near 0 is harmless where the critic knows no better
NARROW, WIDE = 0.5, 0.6  # spread beside the reals': runs that trained were above .6 by a third of their way
RISING = 1.1  # a spread that grew by so much over the looks judged is on its way
YOUNG = 50  # steps of a phase whose looks do not count: nets have just begun
LOOKS = 3  # looks over which spread is judged
CLIPPED, UNCLIPPED = 0.25, 0.15  # more values at the range's ends than reals have: at most .10 where trained
FILLED = 0.9  # of the values that reals have within the range, share at its ends: at most .62 where trained
OUTSIDE, INSIDE = 0.06, 0.04  # share of values well outside the range, of grown faces .024, of reals none
SHIFTED, CENTRED = 0.6, 0.4  # of the reals' deviation: runs that trained were within .33
HARSH, MILD = 1.5, 1.3  # deviation over the reals': runs that trained were below 1.04
SWINGING, CALM = 0.7, 0.4  # correlation with itself a period on: healthy runs reached .58
AMPLITUDE = 0.1  # deviation over the mean magnitude: less is not worth a word, however regular
COPIED, OWN = 1e-4, 1e-2  # chance that samples are no copies, at two looks; the test is made at every look
PATIENCE = 6  # looks without progress: three tenths of a run with the usual twenty
STEPS = 500  # … and no fewer steps: looks may be close
BETTER, ANEW = 0.99, 0.95  # the last looks' best over the best before: above is none, below is progress
NEAR = 1.5  # scores up to so many floors (real beside real) count as arrived, which needs no progress


class Sign(NamedTuple):
    """What a check saw: enough to raise, little enough to be over, or neither; with its numbers in words."""

    raised: bool
    over: bool
    evidence: str


@dataclass
class Past:
    """The lines so far, as much as is needed: the last ones, all looks, the strongest gradient.

    Where nets grow, each phase begins a new past: `resets` are the images at which phases begin, `begin`
    the step at which this one did.
    """

    resets: Sequence[int] = ()
    lines: deque[Line] = field(default_factory=lambda: deque(maxlen=SWINGS))
    looks: list[Line] = field(default_factory=list)
    strongest: float = 0.0
    begin: float = 0.0

    def add(self, line: Line) -> None:
        """Take in the next line."""
        if self.lines and any(self.lines[-1]["images"] <= reset < line["images"] for reset in self.resets):
            self.strongest, self.begin = 0.0, self.lines[-1]["step"]
            self.lines.clear()
            self.looks.clear()
        self.lines.append(line)
        if "score/swd" in line and line["step"] - self.begin >= YOUNG:
            self.looks.append(line)
        gradients = [line["generator/gradient"] for line in self.lines if "generator/gradient" in line]
        if gradients:  # from the first line on: it may vanish before the window is full
            self.strongest = max(self.strongest, median(gradients[-WINDOW:]))

    def last(self, name: str, count: int = WINDOW) -> list[float]:
        """A quantity in the last `count` lines; [] unless each of them has it."""
        values = [line[name] for line in self.lines if name in line][-count:]
        return values if len(values) == count else []

    def typical(self, name: str) -> float | None:
        """Its median over the window; None before that is full."""
        values = self.last(name)
        return median(values) if values else None

    def over(self, count: int = WINDOW) -> str:
        """Over which images the last lines are, in words."""
        return _between(list(self.lines)[-count:])

    @property
    def stuck(self) -> bool:
        """Whether the score is neither near its floor nor better at the last look than it was before."""
        if len(self.looks) < 2:
            return False
        scores = [look["score/swd"] for look in self.looks]
        return not _arrived(self.looks) and scores[-1] > ANEW * min(scores[:-1])


def _between(lines: Sequence[Line]) -> str:
    return f"images {lines[0]['images']:,.0f} to {lines[-1]['images']:,.0f}"


def _arrived(looks: Sequence[Line]) -> bool:
    last = looks[-1]
    return last["score/swd"] <= NEAR * last.get("score/floor", 0.0)


def saturated(past: Past, scale: Scale | None) -> Sign | None:
    """The critic is right at nearly no loss: it has no more to tell the generator.

    Of an objective without a least loss, as Wasserstein's, nothing is said.
    """
    loss = past.typical("critic/adversarial")
    if scale is None or loss is None:
        return None
    share = scale.share(loss)
    real, fake = past.typical("critic/real"), past.typical("critic/fake")
    readings = "" if real is None or fake is None else f", D is {real:.3g} on real and {fake:.3g} on fake"
    told = (
        f"its loss is {loss:.2g}, {share:.1%} of that of a critic that cannot tell{readings}, {past.over()}"
    )
    return Sign(share < SATURATED, share > UNSATURATED, told)


def vanished(past: Past, scale: Scale | None) -> Sign | None:
    """The generator's gradient is a small part of what it was, and the critic not at a loss."""
    gradient, loss = past.typical("generator/gradient"), past.typical("critic/adversarial")
    if gradient is None or not past.strongest:
        return None
    share = gradient / past.strongest
    ahead = past.stuck if scale is None or loss is None else scale.share(loss) < AHEAD
    told = f"its norm is {gradient:.2g}, {share:.2%} of its strongest ({past.strongest:.2g}), {past.over()}"
    return Sign(share < VANISHED and ahead, share > BACK or not ahead, told)


def narrow(past: Past, scale: Scale | None) -> Sign | None:
    """Samples are far more alike than real ones are, and do not grow apart."""
    looks = [look for look in past.looks if "samples/spread" in look][-LOOKS:]
    if len(looks) < LOOKS:
        return None
    values = [look["samples/spread"] for look in looks]
    told = (
        f"samples lie {values[-1]:.2f} times as far apart as real ones, and lay {values[0]:.2f} times two "
        f"looks before, {_between(looks)}"
    )
    return Sign(max(values) < NARROW and values[-1] <= RISING * values[0], values[-1] > WIDE, told)


def off_range(past: Past, scale: Scale | None) -> Sign | None:
    """Values lie at the range's ends or beyond, or are brighter, darker or harsher than the reals'."""
    looks = [look for look in past.looks if "samples/shift" in look][-2:]
    if len(looks) < 2:
        return None
    seen = [_strayed(look) for look in looks]
    told = f"{'; '.join(seen[-1][2]) or 'values lie as the reals do'}, {_between(looks)}"
    return Sign(all(raised for raised, *_ in seen), seen[-1][1], told)


def _strayed(look: Line) -> tuple[bool, bool, list[str]]:
    """Of one look: whether it strays, whether it is well within bounds, and how, in words."""
    shift, contrast = look["samples/shift"], look["samples/contrast"]
    clipped, real = look.get("samples/clipped", 0.0), look.get("samples/clipped-real", 0.0)
    outside = look.get("samples/outside", 0.0)
    excess = clipped - real
    filled = excess / (1 - real) if real < 1 else 0.0
    found = [
        (
            excess > CLIPPED or filled > FILLED,
            excess < UNCLIPPED and filled < FILLED,
            f"{clipped:.0%} of the values lie at an end of the range or beyond, of the reals' {real:.0%}",
        ),
        (outside > OUTSIDE, outside < INSIDE, f"{outside:.0%} lie well outside it, of the reals' none"),
        (
            abs(shift) > SHIFTED,
            abs(shift) < CENTRED,
            f"their mean is {shift:+.2f} of the reals' deviations away",
        ),
        (contrast > HARSH, contrast < MILD, f"they vary {contrast:.2f} times as much as the reals'"),
    ]
    words = [told for raised, _, told in found if raised]
    return any(raised for raised, *_ in found), all(over for _, over, _ in found), words


def oscillating(past: Past, scale: Scale | None) -> Sign | None:
    """A reading or a loss swings with a period, and samples get no better by it."""
    found = []
    for name in ("critic/real", "generator/fake", "critic/adversarial"):
        values = past.last(name, SWINGS)
        if values:
            found.append((*swing(values), name))
    if not found:
        return None
    likeness, period, name = max(found)
    lines = list(past.lines)
    images = period * (lines[-1]["images"] - lines[0]["images"]) / (len(lines) - 1)
    told = (
        f"{name} swings with a period of about {images:,.0f} images (correlation {likeness:.2f} a period on, "
        f"opposite half a period on), {past.over(SWINGS)}"
    )
    return Sign(likeness > SWINGING and past.stuck, likeness < CALM or not past.stuck, told)


def swing(values: Sequence[float]) -> tuple[float, int]:
    """How much a series swings and with which period, in places; (0, 0) where it does not.

    A line is taken off first. Of a period p, the least of the series' correlation with itself p places on
    and minus that p/2 on: near 1 for a sine, seldom over .4 for noise of 40 places. Periods are of 4 places
    to a third of the series; swings below `AMPLITUDE` of the mean magnitude do not count.

    >>> likeness, period = swing([np.sin(i / 10 * 2 * np.pi) for i in range(40)])
    >>> round(likeness, 1), period
    (0.9, 10)
    >>> swing([3.0] * 40)
    (0.0, 0)
    """
    x = np.array(values, dtype=np.float64)
    if not np.isfinite(x).all():
        return 0.0, 0
    places = np.arange(len(x))
    level = float(np.abs(x).mean())
    x = x - np.polyval(np.polyfit(places, x, 1), places)
    if x.std() <= AMPLITUDE * level:
        return 0.0, 0
    found = [(min(_on(x, p), -_on(x, p // 2)), p) for p in range(4, len(x) // 3 + 1)]
    likeness, period = max(found)
    return (float(likeness), period) if likeness > 0 else (0.0, 0)


def _on(x: NDArray[np.float64], places: int) -> float:
    """The correlation of a series with itself so many places on."""
    a, b = x[:-places] - x[:-places].mean(), x[places:] - x[places:].mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 0 else 0.0


def copying(past: Past, scale: Scale | None) -> Sign | None:
    """Samples lie nearer to single training images than images held back do."""
    looks = [look for look in past.looks if "samples/copied-p" in look][-2:]
    if len(looks) < 2:
        return None
    chances = [look["samples/copied-p"] for look in looks]
    told = (
        f"{looks[-1]['samples/copied']:.0%} of the samples tested lie nearer to one training image than any "
        f"held-back image does; the chance of that without copying is {chances[-1]:.1g}, {_between(looks)}"
    )
    return Sign(max(chances) < COPIED, chances[-1] > OWN, told)


def halted(past: Past, scale: Scale | None) -> Sign | None:
    """The score has not become better for a while, and is not near what real samples score."""
    looks = past.looks
    if len(looks) <= PATIENCE:
        return None
    recent, before = looks[-PATIENCE:], looks[:-PATIENCE]
    best, now = (min(look["score/swd"] for look in some) for some in (before, recent))
    reached = next(look for look in before if look["score/swd"] * BETTER <= best)
    ratio = now / best if best else 1.0
    long = recent[-1]["step"] - reached["step"] >= STEPS
    since = recent[-1]["images"] - reached["images"]
    floor = f" (real beside real: {looks[-1]['score/floor']:.3g})" if "score/floor" in looks[-1] else ""
    told = (
        f"score/swd was {reached['score/swd']:.3g} at {reached['images']:,.0f} images, and at best {now:.3g} "
        f"in the last {PATIENCE} looks{floor}; {since:,.0f} images without progress, {_between(recent)}"
    )
    arrived = _arrived(looks)
    return Sign(ratio > BETTER and long and not arrived, ratio < ANEW or arrived, told)
