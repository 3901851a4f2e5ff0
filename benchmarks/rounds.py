"""Timing by alternation: baseline and contenders take turns, so that a machine's moods touch all alike."""

import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

__all__ = ["Case", "interleave", "load", "report"]


@dataclass(frozen=True)
class Case:
    """Baseline time over ours, a number for each round; above 1, ours is the faster.

    >>> Case("exact", (1.0, 1.3, 1.2)).ratio
    1.2
    """

    name: str
    rounds: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds)

    @property
    def spread(self) -> tuple[float, float]:
        """The rounds' lower and upper quartile."""
        if len(self.rounds) < 2:
            return self.ratio, self.ratio
        low, _, high = statistics.quantiles(self.rounds, n=4, method="inclusive")
        return low, high


def interleave(
    baseline: Callable[[], object],
    contenders: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    warm_up: int = 2,
    device: torch.device | str = "cpu",
) -> list[Case]:
    """Run all in alternation and give each contender's ratio to the baseline of the same round.

    Each round starts with another of them, so that none always follows the same one's cache and heat.
    """
    runners = {"": baseline, **contenders}
    for run in runners.values():
        for _ in range(warm_up):
            run()
    names = list(runners)
    ratios: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        first = number % len(names)
        seconds = {name: _time(runners[name], device) for name in names[first:] + names[:first]}
        for name in contenders:
            ratios[name].append(seconds[""] / seconds[name])
    return [Case(name, tuple(values)) for name, values in ratios.items()]


def _time(run: Callable[[], object], device: torch.device | str) -> float:
    _synchronise(device)
    began = time.perf_counter()
    run()
    _synchronise(device)
    return time.perf_counter() - began


def _synchronise(device: torch.device | str) -> None:
    # What a kernel's launch returns is a promise; only a wait makes it time.
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def load() -> str:
    """How busy the machine was over the last minute, for whoever reads the figures.

    >>> load().endswith("cores")
    True
    """
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def report(cases: Sequence[Case], targets: Mapping[str, float], *, as_json: bool, heading: str = "") -> None:
    """Print one JSON object a line, or a table to read."""
    if as_json:
        for case in cases:
            ratio, rounds = round(case.ratio, 4), [round(r, 4) for r in case.rounds]
            print(json.dumps({"case": case.name, "ratio": ratio, "rounds": rounds}), flush=True)
        return
    print(f"{heading} ({load()})")
    print(f"{'case':<16}{'ratio':>8}{'quartiles':>16}{'rounds':>8}{'target':>8}")
    for case in cases:
        low, high = case.spread
        target = f"{targets[case.name]:.2f}" if case.name in targets else ""
        spread = f"{low:.2f} – {high:.2f}"
        print(f"{case.name:<16}{case.ratio:>8.2f}{spread:>16}{len(case.rounds):>8}{target:>8}")
