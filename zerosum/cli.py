"""The command line: each command is a function; `train` has one a recipe, made from its signature."""

import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Group, Parameter

from zerosum import __version__, processes
from zerosum.cli_compare import compare
from zerosum.cli_evaluate import evaluate
from zerosum.cli_inpaint import inpaint
from zerosum.cli_inverse import invert
from zerosum.cli_latent import arithmetic, directions, walk
from zerosum.cli_mri import mri
from zerosum.cli_probe import probe
from zerosum.cli_sense import sense
from zerosum.cli_use import Run, export, sample
from zerosum.recipes.glossary import SETTINGS
from zerosum.recipes.table import RECIPES, Recipe
from zerosum.training.precision import Precision

__all__ = ["app", "main", "size_of"]

app = App(
    name="zerosum",
    version=__version__,
    help="Train, measure and use generative adversarial networks.\n\nStart with: zerosum demo",
)
train = App(
    name="train",
    help="Train a new run: zerosum train RECIPE --data WHERE. `zerosum recipes` lists them; zerosum evaluate "
    "RUN --every N measures it beside.",
)
app.command(train)

RUN = Group("Run", sort_key=0)
RECIPE = Group("Recipe (defaults are the paper's)", sort_key=1)


def _about(help: str) -> Parameter:
    return Parameter(group=RUN, help=help, negative="")


Split = Literal["train", "val", "test"]
LABELS = (
    "The classes: own, of the data, or a .npy, .npz, .csv or .txt file of one a sample, in the array's order "
    "or that of the sorted file names; what a recipe that needs labels does not find in the data."
)


def _train_command(recipe: Recipe) -> Callable[..., int]:
    """A command whose settings are the run's and the recipe's own."""
    presets = ", ".join(recipe.presets)

    def command(
        *,
        data: Annotated[
            str,
            _about(
                "A folder, zip, tar, .npy, .npz or IDX file; or mnist, fashion-mnist, cifar10, celeba, "
                "digits, stacked-mnist, ring, grid, swiss-roll, moons. Class subfolders become labels."
            ),
        ],
        out: Annotated[
            Path | None, _about("The run directory to make; runs/RECIPE-DATA if not given.")
        ] = None,
        preset: Annotated[
            str | None, _about(f"Settings other than the paper's: {presets} (two cores).")
        ] = None,
        size: Annotated[
            str | None, _about("Side, or HEIGHTxWIDTH, 8 to 512: crop, then resize once.")
        ] = None,
        channels: Annotated[int | None, _about("1 turns colour to grey, 3 grey to colour.")] = None,
        range: Annotated[tuple[float, float] | None, _about("Of float data: what becomes -1 and 1.")] = None,
        flip: Annotated[bool, _about("Mirror images at random (digits have no mirror image).")] = False,
        split: Annotated[Split, _about("Which part of the data.")] = "train",
        labels: Annotated[str | None, _about(LABELS)] = None,
        init_from: Annotated[Path | None, _about("A run or checkpoint whose weights to start from.")] = None,
        every: Annotated[int | None, _about("Images between checkpoints and grids; length / 20.")] = None,
        seed: Annotated[int, _about("Of weights, order and noise.")] = 0,
        device: Annotated[str, _about("auto, cpu, cuda, cuda:1, mps.")] = "auto",
        precision: Annotated[Precision, _about("Of the nets; auto takes bf16 where it is native.")] = "auto",
        micro: Annotated[int | None, _about("Cut batches that do not fit into parts of this many.")] = None,
        ghost: Annotated[bool, _about("With --micro: batch norm may take each part's statistics.")] = False,
        clip: Annotated[float | None, _about("Bound on the norm of each gradient.")] = None,
        **settings: Any,
    ) -> int:
        from zerosum.recorder import console
        from zerosum.rundir import DataOptions
        from zerosum.runs import joined, start

        place = out or Path("runs") / f"{recipe.name}-{Path(data).name.split('.')[0]}"
        options = DataOptions(data, size_of(size), channels, range, flip, split, labels)
        with joined():
            people = console()
            signal = start(
                recipe.name,
                options,
                place,
                people,
                arguments=settings,
                preset=preset,
                init_from=init_from,
                every=every,
                seed=seed,
                device=device,
                precision=precision,
                micro=micro,
                ghost=ghost,
                clip=clip,
            )
            _close(place, people, signal)
        return 128 + signal if signal else 0

    own = inspect.signature(command)
    extra = [
        inspect.Parameter(
            setting.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=setting.default,
            annotation=Annotated[setting.hint, Parameter(group=RECIPE, help=SETTINGS[name], negative="")],
        )
        for name, setting in recipe.settings.items()
    ]
    fixed = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    command.__signature__ = own.replace(parameters=[*fixed, *extra])  # type: ignore[attr-defined]
    command.__name__ = recipe.name.replace("-", "_")
    command.__doc__ = f"{recipe.summary}\n\n{recipe.paper}. Presets: {presets}."
    return command


for _recipe in RECIPES.values():
    train.command(_train_command(_recipe), name=_recipe.name)

app.command(arithmetic)
app.command(compare)
app.command(directions)
app.command(evaluate)
app.command(export)
app.command(inpaint)
app.command(invert)
app.command(mri)
app.command(probe)
app.command(sample)
app.command(sense)
app.command(walk)


@app.command
def resume(
    run: Run,
    *,
    images: Annotated[int | None, Parameter(help="A new length, in real images shown in total.")] = None,
    data: Annotated[str | None, Parameter(help="Where the same data lie now.")] = None,
    labels: Annotated[str | None, Parameter(help="Where the same file of labels lies now.")] = None,
    device: Annotated[str | None, Parameter(help="Another device than the run's.")] = None,
    force: Annotated[bool, Parameter(help="Go on although the data or recipe.json changed.")] = False,
) -> int:
    """Go on with a run exactly where it stopped."""
    from zerosum.recorder import console
    from zerosum.runs import joined
    from zerosum.runs import resume as go_on

    with joined():
        people = console()
        signal = go_on(run, people, images=images, data=data, labels=labels, device=device, force=force)
        _close(run, people, signal)
    return 128 + signal if signal else 0


@app.command
def report(run: Run) -> None:
    """Write report.html into the run directory: one page that needs no network."""
    from zerosum.report import write_report

    print(write_report(run))


@app.command
def check_data(
    data: Annotated[str, Parameter(help="Anything that `zerosum train --data` takes.")],
    *,
    size: Annotated[str | None, Parameter(help="Side, or HEIGHTxWIDTH, as for train.")] = None,
    channels: Annotated[int | None, Parameter(help="As for train.")] = None,
    range: Annotated[tuple[float, float] | None, Parameter(help="As for train.", negative="")] = None,
    split: Annotated[Split, Parameter(help="Which part.")] = "train",
    labels: Annotated[str | None, Parameter(help="As for train.")] = None,
    json_output: Annotated[bool, Parameter(name="--json", help="One JSON object instead of text.")] = False,
) -> int:
    """Say what is there, what will be set aside and why; exit 1 if anything was set aside."""
    from zerosum.checking import describe_data, summarise_data
    from zerosum.recorder import console
    from zerosum.rundata import open_with_bar
    from zerosum.rundir import DataOptions

    options = DataOptions(data, size_of(size), channels, range, False, split, labels)
    dataset = open_with_bar(options, console())
    if json_output:
        print(json.dumps(summarise_data(dataset), ensure_ascii=False))
    else:
        print(describe_data(dataset))
    return 1 if dataset.check.set_aside else 0


@app.command
def recipes(
    name: Annotated[str | None, Parameter(help="One recipe, with every setting.")] = None,
    *,
    json_output: Annotated[bool, Parameter(name="--json", help="One JSON object instead of text.")] = False,
) -> None:
    """List the recipes: each one's paper, settings and presets."""
    from zerosum.checking import describe_recipes, summarise_recipes

    print(json.dumps(summarise_recipes(name)) if json_output else describe_recipes(name))


@app.command
def parts(
    setting: Annotated[
        str | None, Parameter(help="One kind: objective, penalty, constraint, corruption, regulariser, …")
    ] = None,
    *,
    json_output: Annotated[bool, Parameter(name="--json", help="One JSON object instead of text.")] = False,
) -> None:
    """List what --objective, --penalty and the like may name, with their settings and defaults."""
    from zerosum.checking import describe_parts, summarise_parts

    print(json.dumps(summarise_parts(setting)) if json_output else describe_parts(setting))


@app.command
def demo(
    out: Annotated[Path, Parameter(help="The run directory to make.")] = Path("runs/demo"),
    *,
    images: Annotated[int | None, Parameter(help="Another length, in real images shown.")] = None,
) -> int:
    """Train a GAN on real handwritten digits, in minutes, with no network."""
    from zerosum.demo import run_demo

    return run_demo(out, images)


@app.command
def lab(
    *names: Annotated[str, Parameter(help="Experiments, or all, which makes a page of them; none: a list.")],
    out: Annotated[Path, Parameter(help="The folder for figures (SVG, PNG), numbers and paragraphs.")] = Path(
        "lab"
    ),
    quick: Annotated[bool, Parameter(help="Shorter runs, coarser numbers.", negative="")] = False,
    seed: Annotated[int, Parameter(help="Of everything that is drawn.")] = 0,
) -> None:
    """The lectures' theorems and figures, computed: zerosum lab, zerosum lab NAME, zerosum lab all."""
    from zerosum.cli_lab import list_experiments, run_experiments
    from zerosum.lab.experiment import Settings

    if names:
        run_experiments(names, out, Settings(quick, seed))
    else:
        print(list_experiments())


def size_of(text: str | None) -> tuple[int, int] | None:
    """A side, or HEIGHTxWIDTH, as (height, width); ValueError for anything else.

    >>> size_of("64"), size_of("48x80")
    ((64, 64), (48, 80))
    """
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):
        raise ValueError(f"--size {text!r} should be a side (64) or HEIGHTxWIDTH (48x80)")
    height, *rest = (int(part) for part in parts)
    return height, rest[0] if rest else height


def _close(run: Path, people: Any, signal: int) -> None:
    if processes.rank() > 0:
        return
    from zerosum.report import write_report

    page = write_report(run)
    if signal:
        people.print(f"stopped and saved; `zerosum resume {run}` goes on", highlight=False, soft_wrap=True)
    people.print(f"samples: {run / 'samples'}\nreport:  {page}", highlight=False, soft_wrap=True)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors that a person can mend are said in one line, without a traceback."""
    try:
        code = app(arguments, result_action="return_value")
    except KeyboardInterrupt:
        sys.exit(130)
    except (ValueError, OSError, MemoryError, FloatingPointError) as error:
        print(f"zerosum: {error}", file=sys.stderr)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)
