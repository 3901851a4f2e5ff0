"""What is done with a trained generator from the command line: samples, exports."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

__all__ = ["AsJson", "Run", "export", "sample"]

Run = Annotated[Path, Parameter(help="A run directory, as `zerosum train --out` makes it.")]
Generator = Annotated[
    Path, Parameter(help="A run directory, a checkpoint in it, or a folder that `zerosum export` made.")
]
AsJson = Annotated[bool, Parameter(name="--json", help="One JSON object on standard output.", negative="")]
Weights = Annotated[
    Literal["average", "last"], Parameter(help="The generator's moving average, or as trained.")
]
Standing = Annotated[
    int | None,
    Parameter(help="Take batch norm's statistics over so many fresh batches (BigGAN's standing statistics)."),
]
Truncation = Annotated[
    float | None, Parameter(help="Cut normal latents to this size: better samples of less variety.")
]


def sample(
    run: Generator,
    *,
    count: Annotated[
        int | None, Parameter(help="How many; 64, or 8 of each class, of which sample i is of class i mod K.")
    ] = None,
    seed: Annotated[int, Parameter(help="Another seed, other samples; sample i stays sample i.")] = 0,
    label: Annotated[
        list[str] | None, Parameter(help="Only this class, by name or number; may be given several times.")
    ] = None,
    truncation: Truncation = None,
    standing: Standing = None,
    out: Annotated[
        Path | None,
        Parameter(
            help="A file: .png or .tiff one grid, .npy an array, .npz with labels; or a folder: a file each."
        ),
    ] = None,
    weights: Weights = "average",
    device: Annotated[str, Parameter(help="auto, cpu, cuda, mps.")] = "auto",
) -> None:
    """Draw samples: a grid, or a folder of files, in the data's own depth and channels."""
    from zerosum.data.pictures import PER_ROW, ROWS, save_samples, suffix_of
    from zerosum.trained import in_turn, load

    trained = load(run, weights=weights, device=device)
    if truncation is not None:
        trained = trained.truncated(truncation)
    if standing is not None:
        trained = trained.standing(standing)
    chosen = trained.numbers(label)
    if count is None:
        if len(chosen) > ROWS:
            print(
                f"of {len(chosen)} classes the first {ROWS}: --label or --count for others", file=sys.stderr
            )
            chosen = chosen[:ROWS]
        count = PER_ROW * len(chosen) or 64
    stored = trained.format.encode(trained.sample(count, seed, chosen or None))
    labels = in_turn(count, chosen).numpy() if chosen else None
    name = f"samples-{count}-{seed}" + "".join(f"-label{number}" for number in chosen if label)
    name += "" if standing is None else f"-standing{standing}"
    name += "" if truncation is None else f"-truncation{truncation:g}"
    target = out or trained.path / f"{name}{suffix_of(stored)}"
    save_samples(target, stored, trained.format, labels, trained.classes, rows=len(chosen))
    print(target)


def export(
    run: Generator,
    *,
    format: Annotated[
        Literal["onnx", "torch-export", "safetensors"],
        Parameter(help="onnx: one .onnx file; torch-export: one .pt2; safetensors: a folder, with JSON."),
    ],
    out: Annotated[Path | None, Parameter(help="Where to; in the run directory if not given.")] = None,
    weights: Weights = "average",
    truncation: Truncation = None,
    standing: Standing = None,
) -> None:
    """Write the generator for use elsewhere, and compare what was written with it."""
    from zerosum.export import export as write
    from zerosum.trained import load

    trained = load(run, weights=weights, device="cpu")
    if truncation is not None:
        trained = trained.truncated(truncation)
    if standing is not None:
        trained = trained.standing(standing)
    print(write(trained, format, out))
