"""A run's metrics drawn as SVG for a page, legible on light and on dark ground."""

import io
import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zerosum.evaluation import card_line
from zerosum.metrics_log import Measured

__all__ = ["Chart", "Curve", "charts", "measure_charts"]

COLOURS = ("#2f8fd6", "#e07b39", "#3fa66b", "#b667c9", "#c9a227", "#d65a6f", "#4fb3b3", "#8c8c8c")
MAX_POINTS = 400
MAX_MEASURES = 40

GREY = "#868686"

Line = dict[str, float]
Array = NDArray[np.float64]


class Curve(NamedTuple):
    """One quantity: the colour it is drawn in, whether dashed, and its last value."""

    name: str
    colour: str
    dashed: bool
    last: float


class Chart(NamedTuple):
    """A drawn panel. `svg` is markup made here alone: no text from the metrics is in it."""

    group: str
    title: str
    note: str
    curves: list[Curve]
    svg: str


def charts(lines: Sequence[Line]) -> list[Chart]:
    """The panels of a report: each player's losses, D on real and fake, gradients, throughput, the rest.

    `lines` are those of metrics.jsonl, their keys "<player>/<name>". Curves are running medians; the
    values themselves stand faint behind.

    >>> panels = charts([{"images": 64.0, "g/adversarial": 1.0}, {"images": 128.0, "g/adversarial": 0.5}])
    >>> [(panel.title, panel.curves[0].last) for panel in panels]
    [('Loss of g', 0.5)]
    """
    panels: dict[tuple[str, str], list[str]] = {}
    for name in dict.fromkeys(name for line in lines for name in line):
        if name not in ("step", "images", "seconds"):
            panels.setdefault(_panel(name), []).append(name)
    order = ["losses", "readings", "gradients", "speed", "other"]
    drawn = sorted(panels.items(), key=lambda panel: order.index(panel[0][0]))
    return [_chart(group, title, names, lines) for (group, title), names in drawn]


def measure_charts(measured: Sequence[Measured]) -> list[Chart]:
    """A panel a value that was measured while training, its 95 % interval as a band, its card as the note.

    >>> card = {"real": {"count": 9}, "fake": {"count": 9}, "extractor": "lenet", "side": 32, "weights": "a"}
    >>> lines = [Measured(images, {"fd": 9.0}, {"fd": (8.0, 10.0)}, [], card) for images in (100, 200)]
    >>> [(panel.title, panel.note) for panel in measure_charts(lines)]
    [('fd', '9 real, 9 fake; lenet on 32x32, weights a; the band is the 95 % interval')]
    """
    panels = []
    for name in list(dict.fromkeys(name for line in measured for name in line.values))[:MAX_MEASURES]:
        there = [line for line in measured if name in line.values]
        x, y = _series(name, [{"images": float(line.images), **line.values} for line in there])
        ends = np.array([line.intervals.get(name, (math.nan, math.nan)) for line in there]).clip(-1e30, 1e30)
        band = ends if len(ends) == len(x) and np.isfinite(ends).any() else None
        curve = Curve(name, COLOURS[0], False, there[-1].values[name])
        svg = _draw([(x, y)], [curve], equilibrium=False, logarithmic=False, band=band)
        note = card_line(there[-1].card) + ("" if band is None else "; the band is the 95 % interval")
        panels.append(Chart("measures", name, note, [curve], svg))
    return panels


def _panel(name: str) -> tuple[str, str]:
    """The group and title of the panel that a quantity belongs to."""
    player, slash, term = name.rpartition("/")
    if name == "rate":
        return "speed", "Throughput"
    if term == "lr":
        return "other", "Learning rate"
    if not slash:
        return "other", "Other measures"
    if player == "score":
        return "other", "Distance from real samples"
    if player == "samples":
        return "other", "Samples beside real ones"
    if term in ("real", "fake"):
        return "readings", "D on real and fake"
    if term == "gradient":
        return "gradients", "Norm of the gradient"
    return "losses", f"Loss of {player}"


def _chart(group: str, title: str, names: list[str], lines: Sequence[Line]) -> Chart:
    series = [_series(name, lines) for name in names]
    values = np.concatenate([y for _, y in series])
    values = values[np.isfinite(values)]
    probabilities = group == "readings" and values.size > 0 and values.min() >= 0 and values.max() <= 1
    wide = values.size > 0 and 0 < values.min() < values.max() / 100
    notes = {
        "readings": "probabilities; the line at ½ is the equilibrium"
        if probabilities
        else "as D puts them out",
        "speed": "real images a second",
    }
    curves = []
    for index, (name, (_, y)) in enumerate(zip(names, series, strict=True)):
        finite = y[np.isfinite(y)]
        curves.append(
            Curve(
                name=name.rpartition("/")[2] if group == "losses" else name,
                colour=COLOURS[index % len(COLOURS)],
                dashed=name.endswith("/fake") if group == "readings" else index >= len(COLOURS),
                last=float(finite[-1]) if finite.size else math.nan,
            )
        )
    svg = _draw(series, curves, equilibrium=probabilities, logarithmic=wide and group == "gradients")
    return Chart(group, title, notes.get(group, ""), curves, svg)


def _series(name: str, lines: Sequence[Line]) -> tuple[Array, Array]:
    """(images, values) of one quantity, as means over neighbours where there are over `MAX_POINTS`."""
    points = np.array([(line["images"], line[name]) for line in lines if name in line]).clip(-1e30, 1e30)
    parts = np.array_split(points, min(len(points), MAX_POINTS))
    means = np.array([part.mean(axis=0) for part in parts])
    return means[:, 0], means[:, 1]


def _smooth(y: Array) -> Array:
    """The running median over a fifteenth of the curve; gaps (not finite) stay gaps."""
    half = max(1, len(y) // 30)
    there = np.isfinite(y)
    padded = np.pad(np.where(there, y, np.nan), half, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    out = np.full(len(y), np.nan)
    out[there] = np.nanmedian(windows[there], axis=1)  # each holds its own centre: never all NaN
    return out


def _draw(
    series: Sequence[tuple[Array, Array]],
    curves: Sequence[Curve],
    *,
    equilibrium: bool,
    logarithmic: bool,
    band: Array | None = None,
) -> str:
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullFormatter

    figure = Figure(figsize=(5.4, 2.7), layout="constrained")
    axes = figure.add_subplot()
    axes.patch.set_visible(False)
    for (x, y), curve in zip(series, curves, strict=True):
        style = "--" if curve.dashed else "-"
        marker = "o" if len(x) == 1 else None
        if len(x) >= 30:
            axes.plot(x, y, color=curve.colour, linewidth=0.8, alpha=0.3)
            y = _smooth(y)
        axes.plot(x, y, color=curve.colour, linewidth=1.6, linestyle=style, marker=marker, markersize=3)
        if band is not None:
            axes.fill_between(x, band[:, 0], band[:, 1], color=curve.colour, alpha=0.2, linewidth=0)
    if equilibrium:
        axes.axhline(0.5, color=GREY, linewidth=0.9, linestyle=":")
        axes.set_ylim(-0.02, 1.02)
    elif logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(*_limits(np.concatenate([y for _, y in series])))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.margins(x=0.01)
    axes.set_xlabel("real images shown", color=GREY, fontsize=9)
    axes.tick_params(colors=GREY, labelsize=9, length=3)
    axes.grid(color=GREY, alpha=0.22, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    out = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "zerosum"}):
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(out, format="svg", transparent=True, metadata=nothing)
    return re.sub(r"^.*?(?=<svg)", "", out.getvalue(), flags=re.DOTALL)


def _limits(y: Array) -> tuple[float | None, float | None]:
    """Where the axis begins and ends: a few spikes may leave the frame, so that the rest can be seen."""
    y = y[np.isfinite(y)]
    if y.size < 30:
        return None, None
    low, high = np.percentile(y, (0.5, 99.5))
    margin = 0.08 * (high - low) or 0.05 * abs(high) or 0.05
    return float(low - margin), float(high + margin)


def _short(number: float) -> str:
    """
    >>> _short(250000.0), _short(1.5e6), _short(64.0)
    ('250k', '1.5M', '64')
    """
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= unit:
            return f"{number / unit:g}{name}"
    return f"{number:g}"
