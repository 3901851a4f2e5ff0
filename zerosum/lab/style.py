"""How the lab's figures look: one style, colours that colour-blind people can tell apart."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["CRITIC", "CYCLE", "FAKE", "GREY", "INK", "REAL", "STYLE", "legend_below"]

# Okabe & Ito's palette, without its yellow, which white paper swallows.
REAL = "#0072B2"  # the data, p
FAKE = "#D55E00"  # the generator, p_g
CRITIC = "#009E73"  # D, or the critic
GREY = "#767676"
INK = "#1d1f23"
CYCLE = (REAL, FAKE, CRITIC, "#CC79A7", "#E69F00", "#56B4E9", INK)

STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.prop_cycle": "cycler('color', [" + ", ".join(f"'{colour}'" for colour in CYCLE) + "])",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "font.size": 9.5,
    "grid.alpha": 0.22,
    "grid.color": GREY,
    "grid.linewidth": 0.6,
    "image.cmap": "cividis",
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
    "savefig.dpi": 150,
    "savefig.facecolor": "white",
    "svg.fonttype": "path",  # the same on every machine, whatever its fonts
    "svg.hashsalt": "zerosum",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def legend_below(figure: "Figure", columns: int = 4) -> None:
    """One legend for all panels, under them, where it covers nothing; each label once."""
    handles = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns)
