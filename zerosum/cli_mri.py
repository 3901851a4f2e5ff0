"""`zerosum mri` on the command line: slices from undersampled spectra, by a run and by the classical ways."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from cyclopts import Parameter

from zerosum.cli_inverse import Device, Restarts, Seed, searching
from zerosum.cli_use import AsJson, Generator, Weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from zerosum.data import Dataset
    from zerosum.mri import Result, Scan, Way
    from zerosum.rundir import DataOptions
    from zerosum.trained import Trained

__all__ = ["mri"]

TUNING = 4  # training slices on which the rivals' weights are chosen
PICTURED = 3


def mri(
    run: Generator,
    data: Annotated[
        str | None, Parameter(help="Slices the run never saw; the test split of its data if not given.")
    ] = None,
    *,
    acceleration: Annotated[float, Parameter(help="Lines of the spectrum over lines measured.")] = 4.0,
    mask: Annotated[
        Literal["variable", "equispaced"],
        Parameter(help="Lines drawn, densest about frequency 0, for each slice; or evenly spaced ones."),
    ] = "variable",
    centre: Annotated[float, Parameter(help="Share of the lines that are all measured, about 0.")] = 0.08,
    power: Annotated[float, Parameter(help="Of variable: lines at k have weights |k|^-power.")] = 1.0,
    noise: Annotated[
        float, Parameter(help="Deviation of each part of a sample, for intensities in [0, 1].")
    ] = 0.0,
    baselines: Annotated[str, Parameter(help="all, none, or of tv, wavelet; with commas.")] = "all",
    count: Annotated[int | None, Parameter(help="Only so many slices, spread over all.")] = None,
    restarts: Restarts = 4,
    seed: Seed = 0,
    out: Annotated[Path | None, Parameter(help="A folder; RUN/mri if not given.")] = None,
    weights: Weights = "average",
    device: Device = "auto",
    json_output: AsJson = False,
) -> None:
    """Reconstruct slices from undersampled spectra, as magnetic resonance measures them, and score it.

    zerosum mri RUN --acceleration 4. RUN is one of the recipe gancs; or any generator of such slices, whose
    latents are searched. Beside it: zero-filling, total variation and sparse wavelets, whose weights training
    slices choose. Writes results.json and a picture; Ctrl-C keeps the methods that are finished.
    """
    from zerosum.kspace import SAMPLINGS
    from zerosum.mri import RIVALS, by_latents, by_net, compare, scan, tuned, zero_filled
    from zerosum.names import look_up
    from zerosum.nets.mri import Reconstructor
    from zerosum.reconstruction import prior_of
    from zerosum.recorder import console
    from zerosum.trained import load

    people = console()
    trained = load(run, weights=weights, device=device)
    net = trained.generator
    ours = trained.record.recipe
    source = None if isinstance(net, Reconstructor) else prior_of(trained)
    settings: dict[str, Any] = {"acceleration": acceleration, "centre": centre}
    sampling = SAMPLINGS[mask](**settings, **({"power": power} if mask == "variable" else {}))
    asked = () if baselines == "none" else tuple(RIVALS) if baselines == "all" else _names(baselines)
    rivals = {name: look_up(RIVALS, name, "--baselines") for name in asked}
    truth, before = _slices(trained, data, count)
    measured = scan(truth, sampling, noise=noise, seed=seed)
    results: list[Result] = []
    chosen: dict[str, str] = {}

    def keep(result: "Result") -> None:
        results.append(result)
        line = f"{result.method:<12} {float(result.psnr.mean()):6.2f} dB  {float(result.ssim.mean()):.3f}"
        people.print(f"{line}  {result.seconds:.2f} s a slice", highlight=False)

    stopped = False
    with searching("reconstructing") as hear:
        try:
            first: dict[str, Way] = {"zero-filled": zero_filled}
            if source is not None:
                first[ours] = by_latents(source, restarts=restarts, seed=seed, hear=hear)
            else:
                first[ours] = by_net(cast(Reconstructor, net))
            compare(truth, measured, first, keep)
            for name, ways in rivals.items():
                seen = scan(before, sampling, noise=noise, seed=seed + 1)
                chosen[name] = tuned(ways, seen, before)
                compare(truth, measured, {name: ways[chosen[name]]}, keep)
        except KeyboardInterrupt:
            if not results:
                raise
            stopped = True
    results.sort(key=lambda result: result.method == ours)
    card = {
        "run": str(trained.path),
        "recipe": ours,
        "trained on": trained.images,
        "slices": len(truth),
        "acceleration": acceleration,
        "mask": mask,
        "centre": centre,
        "power": power if mask == "variable" else None,
        "noise": noise,
        "seed": seed,
        "settings, chosen on training slices": chosen,
        "scores": "of whole slices, range 1; ± 1.96 standard errors, too small where slices are neighbours",
    }
    rows = _rows(results, ours)
    report = {"results": rows, "card": card}
    folder = out or trained.path / "mri"
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=1, allow_nan=False)
    (folder / "results.json").write_text(text + "\n", encoding="utf-8")
    _picture(folder / "comparison.png", truth, measured, results)
    print(json.dumps(report, allow_nan=False) if json_output else f"{table(rows)}\n\n{folder}")
    if stopped:
        raise KeyboardInterrupt


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _slices(trained: "Trained", where: str | None, count: int | None) -> "tuple[Tensor, Tensor]":
    """Slices to reconstruct, and some of the run's training slices, both spread over all, in [0, 1]."""
    import torch

    from zerosum.evaluation import held_out, reals_of
    from zerosum.reconstruction import photographs
    from zerosum.recorder import console
    from zerosum.rundata import open_with_bar

    people = console()

    def opener(options: "DataOptions") -> "Dataset":
        return open_with_bar(options, people)

    def spread(found: "Dataset", most: int | None) -> "Tensor":
        chosen = torch.linspace(0, len(found) - 1, min(most or len(found), len(found))).round().long()
        return found.format.decode(found.format.tensor(found.samples[chosen.numpy()]))

    if count is not None and count < 1:
        raise ValueError(f"--count must be at least 1, not {count}")
    before = spread(reals_of(trained, opener), TUNING)
    if where is not None:
        all_of_it = photographs(trained, where, opener)
        most = min(count or len(all_of_it), len(all_of_it))
        truth = all_of_it[torch.linspace(0, len(all_of_it) - 1, most).round().long()]
    else:
        test = held_out(trained, opener)
        if test is None:
            raise ValueError(
                f"{trained.record.data.name} keeps no test split: give DATA, slices which the run never saw"
            )
        truth = spread(test, count)
    return (truth + 1) / 2, (before + 1) / 2


def _rows(results: "Sequence[Result]", ours: str) -> list[dict[str, Any]]:
    from zerosum.mri import interval

    mine = next((result for result in results if result.method == ours), None)
    rows = []
    for result in results:
        row: dict[str, Any] = {"method": result.method}
        for name, values in (("psnr", result.psnr), ("ssim", result.ssim)):
            mean, half = interval(values)
            row |= {name: round(mean, 4), f"{name} half": round(half, 4)}
            row[f"{name} of each"] = [round(float(value), 4) for value in values]
        if mine is not None and result is not mine:
            mean, half = interval(mine.psnr - result.psnr)
            row |= {"ours over it": round(mean, 4), "ours over it half": round(half, 4)}
        rows.append(row | {"seconds": round(result.seconds, 4)})
    return rows


def table(rows: "Sequence[dict[str, Any]]") -> str:
    """A Markdown table of a report's results.

    >>> row = {"method": "tv", "psnr": 29.5, "psnr half": 0.2, "ssim": 0.9, "ssim half": 0.01, "seconds": 1.0}
    >>> print(table([row]).splitlines()[-1])
    | tv | 29.50 ± 0.20 | 0.900 ± 0.010 | | 1.00 |
    """
    lines = ["| | PSNR, dB | SSIM | ours over it, dB | processor seconds a slice |", "|---|---|---|---|---|"]
    for row in rows:
        gain = f"{row['ours over it']:.2f} ± {row['ours over it half']:.2f} " if "ours over it" in row else ""
        scores = f"{row['psnr']:.2f} ± {row['psnr half']:.2f} | {row['ssim']:.3f} ± {row['ssim half']:.3f}"
        lines.append(f"| {row['method']} | {scores} | {gain}| {row['seconds']:.2f} |")
    return "\n".join(lines)


def _picture(path: Path, truth: "Tensor", scan: "Scan", results: "Sequence[Result]") -> None:
    """Truth, the mask below it, and what each method made above its errors, five times enlarged."""
    import matplotlib as mpl
    import torch
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from zerosum.lab.style import STYLE

    chosen = torch.linspace(0, len(truth) - 1, min(PICTURED, len(truth))).round().long().tolist()
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2 * (len(results) + 1), 4 * len(chosen)), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(2 * len(chosen), len(results) + 1, squeeze=False)

        def draw(row: int, column: int, image: "Tensor", title: str = "") -> None:
            axes[row, column].imshow(image.mean(0).numpy(), cmap="gray", vmin=0, vmax=1)
            axes[row, column].set_axis_off()
            axes[row, column].set_title(title, fontsize=9)

        for place, number in enumerate(chosen):
            draw(2 * place, 0, truth[number], f"truth, slice {number}")
            draw(2 * place + 1, 0, scan.operator.keep[number].float(), "measured")
            for column, result in enumerate(results, 1):
                image = result.images[number]
                title = f"{result.method}, {float(result.psnr[number]):.1f} dB"
                draw(2 * place, column, image, title)
                draw(2 * place + 1, column, (5 * (image - truth[number]).abs()).clamp_max(1), "errors × 5")
        figure.savefig(path, metadata={"Software": None})
