"""A picture of samples beside the training images that are nearest to them, for eyes to judge copies."""

import io
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from zerosum.data.cache import replacing
from zerosum.metrics.comparison import Comparison

__all__ = ["Panel", "draw", "neighbours"]

ROWS, NEAREST = 8, 6
_SUFFIXES = (".png", ".pdf", ".svg")
_AT_ONCE = 4096


class Panel(NamedTuple):
    """Samples [n, C, H, W], their numbers [n]; the k nearest [n, k, C, H, W], which, how far [n, k]."""

    samples: Tensor
    numbers: Tensor
    nearest: Tensor
    indices: Tensor
    distances: Tensor


def neighbours(sides: Comparison, rows: int = ROWS, k: int = NEAREST) -> Panel:
    """Random samples, and of each the k training images that are nearest in the extractor's features.

    Distances are Euclidean. Raises ValueError where the training images are not there or fewer than k.
    """
    if sides.train is None or sides.train.count < k:
        raise ValueError(f"--panel shows the {k} nearest of all training images: give a run, or {k} and more")
    samples, numbers = sides.some(sides.fake, min(rows, sides.fake.count))
    samples, numbers = samples[numbers.argsort()], numbers.sort().values
    ours, theirs = sides.extractor.features(samples).double(), sides.features(sides.train)
    best = torch.full((len(ours), k), torch.inf, dtype=torch.float64)
    whose = torch.zeros(len(ours), k, dtype=torch.int64)
    for start in range(0, len(theirs), _AT_ONCE):
        apart = (ours[:, None] - theirs[None, start : start + _AT_ONCE].double()).norm(dim=2)
        few = apart.topk(min(k, apart.shape[1]), dim=1, largest=False)
        best, places = torch.cat([best, few.values], 1).topk(k, dim=1, largest=False)
        whose = torch.cat([whose, few.indices + start], 1).gather(1, places)
    images = torch.cat([sides.train.images(i, i + 1) for i in whose.flatten().tolist()])
    return Panel(samples, numbers, images.unflatten(0, whose.shape), whose, best)


def draw(panel: Panel, path: Path, caption: str) -> None:
    """The panel as a picture, a row a sample: .png, .pdf or .svg, whole or not there at all.

    Images of one or three channels are shown so, others as the mean of their channels. Raises ValueError for
    another suffix.
    """
    from matplotlib.figure import Figure

    if path.suffix.lower() not in _SUFFIXES:
        raise ValueError(f"--panel {path}: name it {' or '.join(path.stem + end for end in _SUFFIXES)}")
    rows, k = panel.distances.shape
    figure = Figure(figsize=(1.25 * (k + 1) + 0.3, 1.5 * rows + 0.7), layout="constrained")
    figure.suptitle(caption, fontsize=9)
    axes = figure.subplots(rows, k + 1, squeeze=False)
    for row in range(rows):
        shown = [panel.samples[row], *panel.nearest[row]]
        words = [f"sample {int(panel.numbers[row])}"]
        words += [
            f"{distance:.3g}  (#{index})"
            for distance, index in zip(
                panel.distances[row].tolist(), panel.indices[row].tolist(), strict=True
            )
        ]
        for place, (image, said) in enumerate(zip(shown, words, strict=True)):
            axis = axes[row][place]
            axis.imshow(_visible(image).numpy(), cmap="gray", vmin=0, vmax=1)
            axis.set_title(said, fontsize=8, fontweight="bold" if place == 0 else "normal", pad=2)
            axis.set_xticks([])
            axis.set_yticks([])
            for spine in axis.spines.values():
                spine.set_color("tab:red" if place == 0 else "0.7")
                spine.set_linewidth(2 if place == 0 else 0.5)
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix[1:].lower(), dpi=110)
    with replacing(path) as stream:
        stream.write(content.getbuffer())


def _visible(image: Tensor) -> Tensor:
    """[C, H, W] in [−1, 1] → [H, W] or [H, W, 3] in [0, 1]."""
    shown = ((image + 1) / 2).clamp(0, 1)
    return shown.permute(1, 2, 0) if len(shown) == 3 else shown.mean(0)
