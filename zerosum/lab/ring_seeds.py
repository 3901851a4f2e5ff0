"""The ring with many seeds and for longer: every run in one table and one figure.

    python -m zerosum.lab.ring_seeds --seeds 0-4 --out ring

Each run is kept as it ends, in OUT/SYSTEM-SEED.safetensors, and found again by a command that was
interrupted. At the end OUT holds table.md, seeds.png (all runs at their last step) and steps-SEED.png.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import safe_open
from safetensors.torch import save

from zerosum.lab.experiment import Result, render, replace_file
from zerosum.lab.ring import CENTRES, ENTRANTS, MODE_COLLAPSE, SIGMA, Trial, draw_trials, show, trial
from zerosum.metrics.modes import modes
from zerosum.names import look_up
from zerosum.recipes.duel import Rules

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["kept", "main", "seeds_of", "settings_of", "table_of"]

Draw = Callable[["Figure", Sequence[Trial]], None]


def seeds_of(text: str) -> list[int]:
    """Seeds from "3", "0-4" or "0,2,100-104".

    >>> seeds_of("0,2,100-102")
    [0, 2, 100, 101, 102]
    """
    parts = [part.partition("-") for part in text.split(",")]
    try:
        return [seed for low, dash, high in parts for seed in range(int(low), int(high if dash else low) + 1)]
    except ValueError as error:
        raise ValueError(f"--seeds {text!r} should be like 3, 0-4 or 0,2,100-104") from error


def kept(name: str, seed: int, steps: int, folder: Path) -> Trial:
    """The trial of (name, seed, steps): read from `folder` where it was run before, else run and kept.

    Raises ValueError where the file was made with other settings.
    """
    path = folder / f"{name.replace(' ', '-')}-{seed}.safetensors"
    settings = json.dumps({"steps": steps, **asdict(ENTRANTS[name])})
    if not path.exists():
        one = trial(name, seed, steps)
        record = {"settings": settings, "steps": json.dumps(one.steps), "seconds": f"{one.seconds:.1f}"}
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(path, save({"samples": one.samples}, record))
    with safe_open(path, "pt") as file:
        about, samples = file.metadata(), file.get_tensor("samples")
    if about["settings"] != settings:
        raise ValueError(f"{path} was made with other settings: move it away, or choose another --out")
    found = tuple(modes(points, CENTRES, SIGMA) for points in samples)
    return Trial(name, seed, tuple(json.loads(about["steps"])), samples, found, float(about["seconds"]))


def settings_of(name: str) -> str:
    """What an entrant is made of, in the words of the command line; what is usual is left out.

    >>> settings_of("vanilla").split("; ")[:2]
    ['tanh 128, 128', 'latent 256']
    """
    entrant = ENTRANTS[name]
    usual = asdict(Rules(lr=0.0, batch=0, images=0))
    rules = {
        k: v for k, v in asdict(entrant.rules).items() if v != usual[k] and k not in ("images", "average")
    }
    layers = ", ".join(map(str, entrant.hidden))
    parts = [f"{'tanh' if entrant.smooth else 'ReLU'} {layers}", f"latent {entrant.latent}"]
    for key, value in {**rules, "average": entrant.rules.average}.items():
        shown = (
            " ".join(value)
            if isinstance(value, tuple)
            else f"{value:g}"
            if isinstance(value, float)
            else value
        )
        parts.append(f"{key.replace('_', '-')} {shown}")
    if entrant.batch_layer != "none":
        parts.append(f"batch-layer {entrant.batch_layer}")
    parts.append(f"rates fall to 0 from {entrant.falls:.0%}" if entrant.falls < 1 else "constant rates")
    return "; ".join(parts)


def table_of(trials: Sequence[Trial]) -> str:
    """Every run, in Markdown: modes hit and share of high quality at each snapshot, KL and time after."""
    steps = trials[0].steps[1:]
    head = ["System", "Seed", *(f"{step:,}" for step in steps), "KL, nats", "Seconds"]
    rows = [
        [
            one.name,
            str(one.seed),
            *(f"{found.hit}, {100 * found.share_high_quality:.1f} %" for found in one.found[1:]),
            f"{one.found[-1].kl:.4f}",
            f"{one.seconds:.0f}",
        ]
        for one in trials
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in [head, ["---"] * len(head), *rows])


def draw_ends(figure: "Figure", trials: Sequence[Trial]) -> None:
    """The last snapshot of every run: a row a system, a column a seed."""
    from zerosum.lab.style import FAKE

    names, seeds = (list(dict.fromkeys(of)) for of in zip(*((t.name, t.seed) for t in trials), strict=True))
    grid = figure.subplots(len(names), len(seeds), squeeze=False)
    for one in trials:
        axes = grid[names.index(one.name)][seeds.index(one.seed)]
        show(axes, one.samples[-1], FAKE)
        last = one.found[-1]
        axes.set_title(f"{last.hit} of 8, {100 * last.share_high_quality:.0f} %", loc="center", fontsize=9)
        if one.seed == seeds[0]:
            axes.set_ylabel(one.name.replace(" ", "\n", 1), fontsize=10)
        if one.name == names[-1]:
            axes.set_xlabel(f"seed {one.seed}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is asked for, and write the table and the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m zerosum.lab.ring_seeds", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--seeds", default="0-4", help="3, 0-4 or 0,2,100-104")
    parser.add_argument("--systems", default=",".join(ENTRANTS), help="names, with commas between")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=Path("ring"))
    given = parser.parse_args(arguments)
    names, seeds = given.systems.split(","), seeds_of(given.seeds)
    for name in names:
        look_up(ENTRANTS, name, "system")
    trials = []
    for name in names:
        for seed in seeds:
            trials.append(kept(name, seed, given.steps, given.out))
            print(table_of(trials[-1:]).splitlines()[-1], flush=True)
    settings = "".join(f"- **{name}**: {settings_of(name)}\n" for name in names)
    replace_file(given.out / "table.md", f"{table_of(trials)}\n{settings}".encode())
    size = (1.75 * len(seeds) + 0.6, 1.9 * len(names) + 0.3)
    _picture(given.out / "seeds.png", size, trials, draw_ends)
    for seed in seeds:
        own = [one for one in trials if one.seed == seed]
        _picture(given.out / f"steps-{seed}.png", (11.0, 1.25 * len(own) + 0.1), own, draw_trials)


def _picture(path: Path, size: tuple[float, float], trials: Sequence[Trial], draw: Draw) -> None:
    figure = render(replace(MODE_COLLAPSE, figsize=size), Result({}, lambda empty: draw(empty, trials), ""))
    replace_file(path, figure["png"])


if __name__ == "__main__":
    main()
