"""`zerosum sense` on the command line: how much must be measured, with a generator and without."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from zerosum.cli_inverse import (
    Device,
    How,
    Race,
    Restarts,
    Seed,
    Steps,
    compare_picture,
    method_of,
    searching,
)
from zerosum.cli_use import AsJson, Generator, Weights

if TYPE_CHECKING:
    from torch import Tensor

    from zerosum.data import Dataset
    from zerosum.sensing import Result
    from zerosum.trained import Trained

__all__ = ["sense"]

SEEN = 20_000  # training images that are learned from, at most
COLUMNS = 10


def sense(
    run: Generator,
    *,
    measurements: Annotated[
        str | None, Parameter(help="How many, with commas: 25,50,100; the protocol's if not given.")
    ] = None,
    protocol: Annotated[
        str | None, Parameter(help="mnist or celeba, of Bora et al. 2017; by the channels if not given.")
    ] = None,
    images: Annotated[
        str | None, Parameter(help="Images the generator never saw; the test split of its data if not given.")
    ] = None,
    train: Annotated[
        str | None, Parameter(help="Training images for the rivals; the run's own if not given.")
    ] = None,
    noise: Annotated[
        float | None, Parameter(help="√E‖η‖² for images in [0, 1]; the protocol's if not given.")
    ] = None,
    baselines: Annotated[
        str, Parameter(help="all, none, or of lasso-pixel, lasso-dct, lasso-wavelet, lmmse; with commas.")
    ] = "all",
    count: Annotated[int | None, Parameter(help="Images; the protocol's if not given.")] = None,
    restarts: Restarts = 10,
    method: How = "auto",
    steps: Steps = None,
    race: Race = 0,
    norm: Annotated[
        float | None, Parameter(help="Weight of ‖z‖² for the generator alone; .1 or .001.")
    ] = None,
    seed: Seed = 0,
    out: Annotated[Path | None, Parameter(help="A folder; RUN/sense if not given.")] = None,
    weights: Weights = "average",
    device: Device = "auto",
    json_output: AsJson = False,
) -> None:
    """Recover images from random measurements: error against their number, with 95 % intervals, and pictures.

    zerosum sense RUN --measurements 25,50,100,200,400 --noise 0.1 --baselines all. Writes results.json,
    curve.png and pictures.png; Ctrl-C keeps the numbers of measurements that are finished.
    """
    from zerosum.estimators import Ours, learn, rivals, unit
    from zerosum.inverse.linear import fit_spread
    from zerosum.inverse.misfit import Misfit, Whole
    from zerosum.names import look_up
    from zerosum.reconstruction import prior_of
    from zerosum.recorder import console
    from zerosum.sensing import PROTOCOLS, compare, promises
    from zerosum.trained import load

    people = console()
    trained = load(run, weights=weights, device=device)
    source = prior_of(trained)
    given = look_up(PROTOCOLS, protocol or ("mnist" if source.shape[0] == 1 else "celeba"), "protocol")
    numbers = _numbers(measurements) if measurements else given.measurements
    numbers = tuple(sorted({m for m in numbers if measurements or m <= math.prod(source.shape)}))
    least = given.noise if noise is None else noise
    asked, chosen = _rivals(baselines), method_of(method, steps, source.latent.size, race)
    truth, seen = _images(trained, images, train, count or given.count)
    people.print(f"learning from {len(seen):,} training images", highlight=False)
    spread = fit_spread(seen)
    others = rivals(spread, asked)
    with searching("latents of training images") as hear:
        learned = learn(source, seen, spread, seed, hear)
    usual = 0.1 if source.shape[0] == 1 else 0.001
    results: list[Result] = []

    def keep(result: "Result") -> None:
        results.append(result)
        line = f"{result.measurements:>6} {result.method:<22} {result.mean:.4f} ± {result.half:.4f}"
        people.print(f"{line}  {result.seconds:.1f} s", highlight=False)

    stopped = False
    with searching("searching") as hear:
        ours = Ours(
            source,
            learned,
            restarts,
            usual if norm is None else norm,
            chosen,
            hear=hear,
        )
        try:
            compare(truth, numbers, {**ours.estimators(), **others}, noise=least, seed=seed, keep=keep)
        except KeyboardInterrupt:
            if not results:
                raise
            stopped = True
    with searching("nearest images of the generator") as hear:
        nearest = source.search(
            Misfit(Whole(), truth), restarts=restarts, seed=seed, method=ours.method, decoded=unit, hear=hear
        )
    folder = out or trained.path / "sense"
    folder.mkdir(parents=True, exist_ok=True)
    report = _report(trained, results, least, seed, restarts, len(truth))
    kept = promises(results, truth, nearest.image.clamp(0, 1), least, seed)
    report["coverage"] = _covered(results, truth, ours.deviations)
    report["shares"] = {str(m): share for m, share in ours.shares.items()}
    report["theorem"] = [one._asdict() for one in kept]
    (folder / "results.json").write_text(
        json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8"
    )
    _curve(folder / "curve.png", results, least)
    rows = [2 * images - 1 for images in (truth, *(r.images for r in results))]
    compare_picture(folder / "pictures", trained, rows, COLUMNS)
    print(json.dumps(report, allow_nan=False) if json_output else f"{table(results)}\n\n{folder}")
    if stopped:
        raise KeyboardInterrupt


def _numbers(text: str) -> tuple[int, ...]:
    try:
        found = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ValueError(f"--measurements {text}: whole numbers with commas, as 25,50,100") from error
    if not found:
        raise ValueError("--measurements: give at least one number")
    return found


def _rivals(text: str) -> tuple[str, ...]:
    from zerosum.estimators import RIVALS

    if text in ("all", "none"):
        return RIVALS if text == "all" else ()
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in RIVALS:
            raise ValueError(f"--baselines {name}: choose all, none, or of {', '.join(RIVALS)}")
    return names


def _images(trained: "Trained", where: str | None, train: str | None, count: int) -> "tuple[Tensor, Tensor]":
    """Truth and training images, in [0, 1]."""
    from zerosum.evaluation import held_out, reals_of
    from zerosum.reconstruction import decoded, photographs
    from zerosum.recorder import console
    from zerosum.rundata import open_with_bar
    from zerosum.rundir import DataOptions

    people = console()

    def opener(options: DataOptions) -> "Dataset":
        return open_with_bar(options, people)

    if count < 2:
        raise ValueError(f"--count must be at least 2, for an interval, not {count}")
    seen = reals_of(trained, opener) if train is None else None
    if where is None:
        test = held_out(trained, opener)
        if test is None:
            raise ValueError(
                f"{trained.record.data.name} keeps no test split: give --images, which the run never saw"
            )
        truth = decoded(test, count)
    else:
        truth = photographs(trained, where, opener, count)
    if train is not None:
        before = photographs(trained, train, opener)
    else:
        assert seen is not None
        before = decoded(seen, SEEN)
    return (truth + 1) / 2, (before + 1) / 2


def _report(
    trained: "Trained", results: "Sequence[Result]", noise: float, seed: int, restarts: int, count: int
) -> dict[str, Any]:
    from zerosum import __version__
    from zerosum.estimators import OURS
    from zerosum.sensing import paired

    ours = {r.measurements: r for r in results if r.method == OURS[-1]}
    rows = []
    for r in results:
        row = {
            "method": r.method,
            "measurements": r.measurements,
            "mse": r.mean,
            "half": r.half,
            "seconds": r.seconds,
        }
        if r.measurements in ours and r.method != OURS[-1]:
            ratio, p = paired(ours[r.measurements], r)
            row |= {"over ours": ratio, "p": p}
        rows.append(
            {k: (None if isinstance(v, float) and not math.isfinite(v) else v) for k, v in row.items()}
        )
    card = {
        "run": str(trained.path),
        "recipe": trained.record.recipe,
        "trained on": trained.images,
        "images": count,
        "noise": noise,
        "restarts": restarts,
        "seed": seed,
        "matrix": "A ~ N(0, 1/m), the same for all images",
        "error": "mean square over pixels of images in [0, 1], clipped; ± 1.96 standard errors",
        "zerosum": __version__,
    }
    return {"results": rows, "card": card}


def _covered(
    results: "Sequence[Result]", truth: "Tensor", deviations: "dict[int, Tensor]"
) -> list[dict[str, float]]:
    """How often the truth lies within ±1.96 of the deviations told, which is 95 % where they are right."""
    from zerosum.inverse.uncertainty import coverage

    found = []
    for r in results:
        if r.method == "generator + gaussian" and r.measurements in deviations:
            told = coverage(truth, r.images, deviations[r.measurements])
            share, width = float(told.share.mean()), float(told.width.mean())
            found.append({"measurements": r.measurements, "share": share, "half width": width})
    return found


def table(results: "Sequence[Result]") -> str:
    """A Markdown table: a row a method, a column a number of measurements."""
    numbers = sorted({r.measurements for r in results})
    methods = list(dict.fromkeys(r.method for r in results))
    cells = {(r.method, r.measurements): f"{r.mean:.4f} ± {r.half:.4f}" for r in results}
    lines = ["| mean square error | " + " | ".join(f"m = {m:,}" for m in numbers) + " |"]
    lines.append("|---|" + "---|" * len(numbers))
    for method in methods:
        lines.append(f"| {method} | " + " | ".join(cells.get((method, m), "") for m in numbers) + " |")
    return "\n".join(lines)


def _curve(path: Path, results: "Sequence[Result]", noise: float) -> None:
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from zerosum.lab.style import CYCLE, GREY, STYLE, legend_below

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 4.6), layout="constrained")
        FigureCanvasAgg(figure)
        axes, colours = figure.subplots(), (*CYCLE, GREY)  # eight methods at most
        for number, method in enumerate(dict.fromkeys(r.method for r in results)):
            some = sorted((r for r in results if r.method == method), key=lambda r: r.measurements)
            x, y = [r.measurements for r in some], [r.mean for r in some]
            style = "-" if method.startswith("generator") else "--"
            half = [0.0 if math.isnan(r.half) else r.half for r in some]
            colour = colours[number % len(colours)]
            axes.errorbar(x, y, half, label=method, color=colour, linestyle=style, marker="o", capsize=2)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("measurements m")
        axes.set_ylabel("mean square error of a pixel")
        axes.set_title(f"Recovered from m random measurements, noise {noise:g}; 95 % intervals")
        legend_below(figure)
        figure.savefig(path, metadata={"Software": None})
