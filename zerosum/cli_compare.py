"""`zerosum compare` on the command line: axes in, a page of trained cells out."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from zerosum.training.precision import Precision

__all__ = ["compare"]

AXES = Group("What is compared (what is given several times makes an axis)", sort_key=0)
SHARED = Group("What all cells share", sort_key=1)
MEASURED = Group("What is measured of every cell", sort_key=2)
HOW = Group("How it is done", sort_key=3)
Words = list[str] | None


def _axis(help: str) -> Parameter:
    return Parameter(group=AXES, help=help, negative="")


def _shared(help: str, name: str | None = None) -> Parameter:
    return Parameter(name=name, group=SHARED, help=help, negative="")


def _measured(help: str) -> Parameter:
    return Parameter(group=MEASURED, help=help, negative="")


def _how(help: str) -> Parameter:
    return Parameter(group=HOW, help=help, negative="")


def compare(
    *,
    out: Annotated[Path, _how("The directory to make, or to go on with.")] = Path("runs/compare"),
    data: Annotated[Words, _axis("As for train: a name, or a path.")] = None,
    recipe: Annotated[
        Words, _axis("As `zerosum recipes` lists them; or several at once: dcgan,sngan.")
    ] = None,
    net: Annotated[
        Words, _axis("Settings that go together, and a name: 'bare norm=none critic_norm=none'.")
    ] = None,
    objective: Annotated[Words, _axis("As `zerosum parts objective` lists them.")] = None,
    vary: Annotated[Words, _axis("Any other setting: --vary lr=1e-4 --vary lr=1e-3.")] = None,
    seeds: Annotated[str, _axis("0,3,5 or 0-2: each cell's mean and deviation are over them.")] = "0",
    grid: Annotated[
        str | None, _axis("A whole table by name: robustness, of the WGAN-GP paper, or robustness-small.")
    ] = None,
    images: Annotated[int | None, _shared("Real images shown to each cell; needed without --grid.")] = None,
    settings: Annotated[
        Words, _shared("NAME=VALUE, any setting of the recipes: --set width=32 --set batch=64.", "--set")
    ] = None,
    preset: Annotated[str | None, _shared("The recipes' settings of this name, such as small.")] = None,
    size: Annotated[str | None, _shared("As for train.")] = None,
    channels: Annotated[int | None, _shared("As for train.")] = None,
    range: Annotated[tuple[float, float] | None, _shared("As for train.")] = None,
    flip: Annotated[bool, _shared("As for train.")] = False,
    split: Annotated[Literal["train", "val", "test"], _shared("As for train.")] = "train",
    labels: Annotated[str | None, _shared("As for train.")] = None,
    measures: Annotated[
        str | None, _measured("As for evaluate: fd,prdc. May be asked for later, of what is trained.")
    ] = None,
    extractor: Annotated[str | None, _measured("As for evaluate; vgg16 if not given.")] = None,
    count: Annotated[int | None, _measured("Images of each side; 2,000 if not given.")] = None,
    jobs: Annotated[int, _how("How many cells at a time, each in a process of its own.")] = 1,
    device: Annotated[str, _how("auto, cpu, cuda, cuda:1, mps.")] = "auto",
    precision: Annotated[Precision, _shared("As for train.")] = "auto",
) -> int:
    """Train every cell of a table alike, score all alike, and show them on one page.

    zerosum compare --data cifar10 --recipe dcgan,sngan --objective non-saturating --objective hinge
    --seeds 0-2 --images 100000 --out cmp. The same command, or zerosum compare --out cmp, goes on with it.
    """
    from zerosum.cli import size_of
    from zerosum.compare.measuring import COUNT, Asked
    from zerosum.compare.plan import Request, plan_of
    from zerosum.compare.run import Outline, settle_plan
    from zerosum.compare.run import compare as carry_out
    from zerosum.recorder import console
    from zerosum.rundata import lasting
    from zerosum.rundir import DataOptions

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError(
            "compare is not for torchrun: start it once, with --jobs for several cells at a time"
        )
    outline = Outline(jobs, device)
    if measures is None and (extractor or count is not None):
        raise ValueError("--extractor and --count say how to measure: give --measures too, as in fd,prdc")
    wanted = None
    if measures is not None:
        names = tuple(name.strip() for name in measures.split(",") if name.strip())
        wanted = Asked(names, extractor, COUNT if count is None else count)
    shared = (size_of(size), channels, range, flip, split, labels)
    request = Request(
        data=tuple(lasting(DataOptions(where, *shared)) for where in data or ()),
        recipe=_names(recipe),
        grid=grid,
        net=tuple(net or ()),
        objective=tuple(objective or ()),
        vary=tuple(vary or ()),
        set=tuple(settings or ()),
        preset=preset,
        images=images,
        seeds=seeds,
        precision=precision,
    )
    asked = request != Request(data=()) or DataOptions("", *shared) != DataOptions("")
    plan = settle_plan(out, plan_of(request) if asked else None)
    people = console()
    stopped = carry_out(plan, out, people, outline, wanted)
    people.print(f"table: {out / 'index.html'}", highlight=False, soft_wrap=True)
    if stopped:
        people.print(f"stopped; `zerosum compare --out {out}` goes on", highlight=False, soft_wrap=True)
    return 128 + stopped if stopped else 0


def _names(recipes: Sequence[str] | None) -> tuple[str, ...]:
    names = tuple(name.strip() for text in recipes or () for name in text.split(","))
    if recipes and not all(names):
        raise ValueError(f"--recipe {','.join(recipes)!r} has an empty name in it")
    return names
