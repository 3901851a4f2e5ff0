"""`zerosum inpaint` on the command line: holes in, filled images out, beside other ways if asked."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from zerosum.cli_inverse import (
    Count,
    Device,
    How,
    Label,
    Race,
    Restarts,
    Seed,
    Steps,
    compare_picture,
    method_of,
    open_images,
    searching,
)
from zerosum.cli_use import AsJson, Generator, Weights

if TYPE_CHECKING:
    from torch import Tensor

    from zerosum.inverse.masks import Mask
    from zerosum.trained import Trained

__all__ = ["inpaint"]

SEEN = 20_000  # training images among which the nearest is looked for, at most
COLUMNS = 12


def inpaint(
    run: Generator,
    photos: Annotated[str, Parameter(help="A folder, archive, array or named set of images.")],
    *,
    mask: Annotated[
        str,
        Parameter(help="centre, half, random:0.8, pattern, blocks, or an image file whose black is missing."),
    ] = "centre",
    baselines: Annotated[
        str,
        Parameter(help="all, none, or of tv, low-rank, biharmonic, nearest-image, patches; with commas."),
    ] = "none",
    context_encoder: Annotated[
        Path | None, Parameter(help="A run of the recipe context-encoder, compared too.")
    ] = None,
    damaged: Annotated[
        bool, Parameter(help="What is under the mask is lost already: no scores.", negative="")
    ] = False,
    restarts: Restarts = 4,
    method: How = "auto",
    steps: Steps = None,
    race: Race = 0,
    window: Annotated[int, Parameter(help="Of the context's weight, in pixels.")] = 7,
    realism: Annotated[float, Parameter(help="Weight of log(1 − D(G(z))); 0 without a critic.")] = 0.003,
    count: Count = None,
    label: Label = None,
    seed: Seed = 0,
    out: Annotated[Path | None, Parameter(help="A folder; RUN/inpaint-MASK if not given.")] = None,
    weights: Weights = "average",
    device: Device = "auto",
    json_output: AsJson = False,
) -> None:
    """Fill holes with what a generator draws: semantic inpainting (Yeh et al. 2017).

    zerosum inpaint RUN photos/ --mask random:0.8 --baselines all. Photos are whole ones that the mask hides
    parts of, so that fillings are scored (PSNR, SSIM, LPIPS); --damaged if they are not. Writes a file an
    image, a picture that compares the methods, and results.json; Ctrl-C keeps what is finished.
    """

    from zerosum.filling import RIVALS, by_generator, filled, rivals
    from zerosum.inverse.descent import LBFGS
    from zerosum.inverse.search import Found
    from zerosum.reconstruction import prior_of
    from zerosum.recorder import console
    from zerosum.trained import load

    trained = load(run, weights=weights, device=device)
    source = prior_of(trained, label)
    if realism and source.critic is None and realism != 0.003:
        raise ValueError(f"--realism {realism:g}: {run} has no critic that judges images alone: leave it out")
    images, names = open_images(trained, photos, count)
    hidden = _mask(mask, source.shape, len(images), seed)
    given = RIVALS if baselines == "all" else tuple(n.strip() for n in baselines.split(",") if n.strip())
    train = _training(trained) if "nearest-image" in given and baselines != "none" else images[:0]
    others = dict(rivals(train, given)) if baselines != "none" else {}
    if context_encoder is not None:
        others["context-encoder"] = _encoder(context_encoder, source.shape)
    chosen = method_of("lbfgs" if method == "auto" else method, steps, source.latent.size, race)
    if method == "auto" and steps is None:
        chosen = LBFGS(steps=150)
    parts: list[Found] = []
    stopped = False
    began = time.perf_counter()
    with searching("inpainting") as hear:
        try:
            filling = by_generator(
                source,
                hidden,
                images,
                restarts=restarts,
                window=window,
                realism=realism,
                method=chosen,
                seed=seed,
                hear=hear,
                keep=parts.append,
            )
        except KeyboardInterrupt:
            if not parts:
                raise
            stopped = True
    if stopped:
        filling = filled(hidden, images, Found.joined(parts))
    done = len(filling.found)
    images, names = images[:done], names[:done]
    keep = hidden.keep[:done] if hidden.keep.dim() > 3 else hidden.keep
    fillings = {"generator": filling.image, "generator, not blended": filling.pasted}
    seconds = {"generator": time.perf_counter() - began}
    people = console()
    if not stopped:
        for name, fill in others.items():
            began = time.perf_counter()
            with people.status(f"filling by {name}"):
                try:
                    fillings[name] = fill(hidden, images)
                except ValueError as error:
                    people.print(f"{name}: {error}", highlight=False, soft_wrap=True)
                    continue
            seconds[name] = time.perf_counter() - began
    folder = out or trained.path / f"inpaint-{Path(mask).name.replace(':', '-')}"
    folder.mkdir(parents=True, exist_ok=True)
    _save(folder, trained, images, keep, fillings, names)
    report: dict[str, Any] = {"mask": mask, "images": len(images), "seed": seed, "seconds": seconds}
    if not damaged:
        report["scores"] = scores(images, fillings)
    (folder / "results.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if json_output:
        print(json.dumps(report))
    else:
        print("" if damaged else table(report["scores"]) + "\n")
        print(folder)
    if stopped:
        raise KeyboardInterrupt


def _mask(text: str, shape: tuple[int, int, int], count: int, seed: int) -> "Mask":
    from zerosum.holes import HOLES
    from zerosum.inverse.masks import Mask, array_mask, hidden_by
    from zerosum.names import build_part

    path = Path(text).expanduser()
    if text.partition(":")[0] not in HOLES and (path.suffix or path.exists()):
        import numpy as np
        from PIL import Image

        if not path.is_file():
            raise ValueError(f"--mask {text}: no such file; give an image, or one of {', '.join(HOLES)}")
        with Image.open(path) as opened:
            grey = np.asarray(opened.convert("L"))
        return Mask(shape, array_mask(shape, grey > 127))
    return Mask(shape, hidden_by(build_part(HOLES, text, "--mask"), shape, count=count, seed=seed))


def _training(trained: "Trained") -> "Tensor":
    from zerosum.evaluation import reals_of
    from zerosum.reconstruction import decoded
    from zerosum.recorder import console
    from zerosum.rundata import open_with_bar

    data = reals_of(trained, lambda options: open_with_bar(options, console()))
    return decoded(data, SEEN)


def _encoder(run: Path, shape: tuple[int, int, int]) -> Any:
    from zerosum.trained import load

    trained = load(run, device="cpu")
    fill_by: Any = getattr(trained.generator, "fill", None)
    if fill_by is None:
        raise ValueError(
            f"--context-encoder {run}: a run of {trained.record.recipe}: train one of context-encoder"
        )
    if tuple(trained.format.shape) != shape:
        raise ValueError(
            f"--context-encoder {run}: fills images of {list(trained.format.shape)}, not {list(shape)}"
        )

    def fill(mask: "Mask", images: "Tensor") -> "Tensor":
        known = mask.keep.float().expand(len(images), *mask.keep.shape[-3:])
        done: Tensor = fill_by(mask.forward(images), known).clamp(-1, 1)
        return done

    return fill


def scores(truth: "Tensor", filled: "dict[str, Tensor]") -> dict[str, dict[str, list[float]]]:
    """PSNR (dB), SSIM and, where its weights are, LPIPS of whole images: {method: {score: [mean, ±95 %]}}."""
    from zerosum.metrics.lpips import lpips
    from zerosum.metrics.quality import psnr, ssim

    measures: dict[str, Any] = {"psnr": psnr, "ssim": ssim}
    try:
        measures["lpips"] = lpips()
    except ValueError:
        measures.pop("lpips", None)
    found: dict[str, dict[str, list[float]]] = {}
    for method, images in filled.items():
        found[method] = {}
        for name, measure in measures.items():
            values = measure(truth, images)
            half = 1.96 * float(values.std()) / len(values) ** 0.5 if len(values) > 1 else 0.0
            found[method][name] = [round(float(values.mean()), 4), round(half, 4)]
    return found


def table(found: dict[str, dict[str, list[float]]]) -> str:
    """A Markdown table of `scores`.

    >>> print(table({"tv": {"psnr": [20.5, 0.25]}}))
    | | psnr |
    |---|---|
    | tv | 20.5 ± 0.25 |
    """
    columns = list(next(iter(found.values())))
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for method, values in found.items():
        cells = " | ".join(f"{values[c][0]:g} ± {values[c][1]:g}" for c in columns)
        lines.append(f"| {method} | {cells} |")
    return "\n".join(lines)


def _save(
    folder: Path,
    trained: "Trained",
    images: "Tensor",
    keep: "Tensor",
    fillings: "dict[str, Tensor]",
    names: list[str],
) -> None:
    import torch

    from zerosum.data.pictures import save_image, suffix_of

    rows = [images, torch.where(keep, images, 0.0), *fillings.values()]
    compare_picture(folder / "comparison", trained, rows, COLUMNS)
    for name, image in zip(names, trained.format.encode(fillings["generator"].cpu()), strict=True):
        save_image(folder / f"{name}{suffix_of(image)}", image)
