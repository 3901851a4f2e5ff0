"""The lab on the command line: list its experiments, run some or all of them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from zerosum.lab.experiment import Settings, perform
from zerosum.lab.gallery import write_gallery
from zerosum.lab.table import EXPERIMENTS
from zerosum.names import unknown

__all__ = ["list_experiments", "run_experiments"]

ALL = "all"


def list_experiments() -> str:
    """A line for each experiment: its number, name, title and where in the lectures it is."""
    wide = max(map(len, EXPERIMENTS))
    lines = [
        f"{e.number:2}  {e.name:{wide}}  {e.title} ({'; '.join(e.lectures)})" for e in EXPERIMENTS.values()
    ]
    return "\n".join([*lines, "", "Run one: zerosum lab NAME. All, with a page of them: zerosum lab all"])


def run_experiments(names: Sequence[str], out: Path, settings: Settings) -> None:
    """Run experiments by name, or "all", each with its files in `out` as soon as it ends.

    Prints each one's paragraph and figure; after all of them, the gallery, also of what a Ctrl-C left.
    Of all, one that cannot run (its data are missing) does not keep the others from it. Raises ValueError
    for an unknown name before any of them runs, and at the end for those that could not.
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from zerosum.recorder import console

    for name in names:
        if name != ALL and name not in EXPERIMENTS:
            raise unknown("experiment", name, [*EXPERIMENTS, ALL])
    everything = ALL in names
    chosen = list(EXPERIMENTS) if everything else list(dict.fromkeys(names))
    people = console()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        console=people,
        disable=not people.is_terminal,
    )
    failed: dict[str, str] = {}
    with bar:
        task = bar.add_task("lab", total=len(chosen))

        def advance(share: float) -> None:
            bar.update(task, completed=done + min(max(share, 0.0), 1.0))

        try:
            for done, name in enumerate(chosen):
                bar.update(task, description=f"{done + 1}/{len(chosen)} {name}", completed=done)
                try:
                    result = perform(EXPERIMENTS[name], replace(settings, advance=advance), out)
                except (ValueError, OSError) as error:
                    if not everything:
                        raise
                    failed[name] = str(error)  # the others are still worth having
                    continue
                slip = EXPERIMENTS[name].slip
                if not everything:
                    print(result.says, *([f"On the slide: {slip}"] if slip else []), sep="\n\n")
                print(out / f"{name}.svg")
            bar.update(task, completed=len(chosen))
        finally:
            if everything:
                print(write_gallery(out))
    if failed:
        raise ValueError("; ".join(f"{name} could not run: {why}" for name, why in failed.items()))
