"""The watch: what goes wrong in training, said in plain words, from the numbers that are logged anyway.

It is a fold over the lines of metrics.jsonl and keeps nothing else: fed the same lines, a resumed run, a
recorded one and one at work are told the same. docs/watch.md says what each diagnosis means.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from zerosum.training import watch_signs as signs
from zerosum.training.watch_remedies import Situation, remedies
from zerosum.training.watch_scale import Scale
from zerosum.training.watch_signs import Line, Past, Sign

__all__ = ["CHECKS", "Notice", "Watch"]

Check = Callable[[Past, Scale | None], Sign | None]
CHECKS: Mapping[str, Check] = {
    "critic saturated": signs.saturated,
    "generator's gradient vanished": signs.vanished,
    "diversity falling": signs.narrow,
    "samples off range": signs.off_range,
    "oscillation": signs.oscillating,
    "memorising": signs.copying,
    "no progress": signs.halted,
}


class Notice(NamedTuple):
    """A diagnosis that begins or ends: after how many images, on what evidence, what may be done."""

    diagnosis: str
    begins: bool
    images: int
    evidence: str
    remedies: tuple[str, ...]

    @property
    def message(self) -> str:
        """The notice in one line, for people."""
        if not self.begins:
            return f"{self.diagnosis}: over; {self.evidence}"
        return f"{self.diagnosis}: {self.evidence}. Try {' or '.join(self.remedies)}"


class Watch:
    """Tells what begins and ends to go wrong as a run's lines come in.

    `now` decides what remedies there are; `scale` is of the critic's loss, where it has one; at `resets`,
    counts of images, nets grow and all is judged anew. `active` are the diagnoses that hold now.

    >>> watch = Watch(Situation({"lr": 2e-4, "batch": 64}), Scale(0.0, 1.39))
    >>> line = {"step": 10.0, "images": 640.0, "critic/adversarial": 1e-3}
    >>> [told] = [notice for _ in range(12) for notice in watch(line)]
    >>> told.diagnosis, told.remedies[0]
    ('critic saturated', '--critic-lr 0.0001 (half of it)')
    """

    def __init__(self, now: Situation, scale: Scale | None = None, resets: Sequence[int] = ()) -> None:
        self.now, self.scale = now, scale
        self.past = Past(resets)
        self.active: list[str] = []

    def __call__(self, line: Line) -> list[Notice]:
        """Take in the next line of metrics.jsonl; what begins or ends with it."""
        self.past.add(line)
        told = []
        for name, check in CHECKS.items():
            sign = check(self.past, self.scale)
            if sign is None:
                continue
            holds = name in self.active
            if sign.raised and not holds:
                self.active.append(name)
                told.append(Notice(name, True, int(line["images"]), sign.evidence, remedies(name, self.now)))
            elif sign.over and holds:
                self.active.remove(name)
                told.append(Notice(name, False, int(line["images"]), sign.evidence, ()))
        return told
