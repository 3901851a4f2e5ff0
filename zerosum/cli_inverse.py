"""Searching a generator from the command line: the latents of photographs."""

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from zerosum.cli_use import AsJson, Generator, Weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from zerosum.inverse.descent import Method
    from zerosum.inverse.misfit import Misfit, Prior
    from zerosum.inverse.search import Found, Heard
    from zerosum.reconstruction import GeneratorPrior
    from zerosum.trained import Trained

__all__ = [
    "Count",
    "Device",
    "How",
    "Label",
    "Norm",
    "Race",
    "Realism",
    "Restarts",
    "Seed",
    "Starts",
    "Steps",
    "begin",
    "compare_picture",
    "invert",
    "method_of",
    "open_images",
    "prior_for",
    "searching",
]

Restarts = Annotated[int, Parameter(help="Searches an image; that which fits the measurements best is kept.")]
How = Annotated[
    Literal["auto", "adam", "momentum", "lbfgs", "lm"],
    Parameter(
        help="auto: Levenberg–Marquardt (lm) for up to 32 latents, else L-BFGS; adam, momentum: as published."
    ),
]
Steps = Annotated[int | None, Parameter(help="At most; the method's own if not given.")]
Race = Annotated[
    int,
    Parameter(
        help="After every so many steps of lm or lbfgs (try 4, 40) the worse half of an image's restarts "
        "gives up, but for those within twice the best: sooner, and seldom worse. 0: none does."
    ),
]
Norm = Annotated[float | None, Parameter(help="Weight of the prior ‖z‖².")]
Realism = Annotated[float, Parameter(help="Weight of the prior log(1 − D(G(z))); needs a critic.")]
Starts = Annotated[
    Literal["random", "nearest", "encoder"],
    Parameter(help="random latents; nearest: the best of 1,000; encoder: the run's own, where it has one."),
]
Seed = Annotated[int, Parameter(help="Of starts, masks, matrices and noise.")]
Count = Annotated[int | None, Parameter(help="Only the first so many images.")]
Label = Annotated[
    list[str] | None, Parameter(help="Search this class alone; all classes if not given. May come twice.")
]
Device = Annotated[str, Parameter(help="auto, cpu, cuda, mps.")]


def method_of(name: str, steps: int | None, latents: int, race: int = 0) -> "Method":
    """The method of this name, with so many steps and this race; `auto` by the number of latents.

    Raises ValueError for steps below 1, a race below 0, and one of a method that has none.
    """
    from dataclasses import replace

    from zerosum.inverse.descent import Adam
    from zerosum.inverse.search import METHODS, method_for

    if steps is not None and steps < 1:
        raise ValueError(f"--steps must be at least 1, not {steps}")
    if race < 0:
        raise ValueError(f"--race must be at least 0, which is none, not {race}")
    if race and name in ("adam", "momentum"):
        raise ValueError(f"--race goes with --method lm or lbfgs, and {name} is as published")
    chosen: Any
    if name == "auto":
        chosen = method_for(latents)
    elif name == "adam":  # as published: .01 and 1,000 steps for the VAE's 20 latents, .1 and 500 for 100
        chosen = Adam(0.01, 1000) if latents <= 32 else Adam(0.1, 500)
    else:
        chosen = METHODS[name]()
    if race:
        chosen = replace(chosen, race=race)
    found: Method = chosen if steps is None else replace(chosen, steps=steps)
    return found


def prior_for(source: "GeneratorPrior", norm: float | None, realism: float, usual: float = 0.0) -> "Prior":
    """The prior of these weights. Raises ValueError where realism is asked of a run without a critic."""
    from zerosum.inverse.misfit import Prior

    if realism and source.critic is None:
        raise ValueError(
            f"--realism {realism:g}: {source.path} has no critic that judges images alone (or one that is "
            "told labels): leave it out, or give a run of dcgan, sngan, wgan-gp, …"
        )
    within = 1.0 if source.latent.law == "uniform" else None
    return Prior(norm=usual if norm is None else norm, realism=realism, critic=source.critic, within=within)


def begin(
    source: "GeneratorPrior", misfit: "Misfit", starts: str, restarts: int, seed: int, images: "Tensor | None"
) -> "Tensor | None":
    """Where the search starts, [R, B, k]; None for random latents.

    Raises ValueError for an encoder that is not there, and for several classes.
    """
    from zerosum.inverse.search import nearest_of_many, random_starts

    if starts == "random":
        return None
    if starts == "nearest":
        if len(source.decoders) > 1:
            raise ValueError("--starts nearest looks at one class: choose it with --label")
        return nearest_of_many(source.decoders[0], misfit, source.latent, restarts, seed=seed)
    if source.encode is None or images is None:
        raise ValueError(f"--starts encoder: {source.path} has no encoder: choose random or nearest")
    import torch

    first = source.encode(images)[None]
    rest = random_starts(source.latent, restarts, len(images), seed)[1:]
    return torch.cat([first, rest])


def open_images(trained: "Trained", where: str, count: int | None) -> "tuple[Tensor, list[str]]":
    """Photographs for a run's generator, [B, C, H, W] in [−1, 1], and their names."""
    from zerosum.reconstruction import photographs
    from zerosum.recorder import console
    from zerosum.rundata import open_with_bar

    if count is not None and count < 1:
        raise ValueError(f"--count must be at least 1, not {count}")
    people = console()
    images = photographs(trained, where, lambda options: open_with_bar(options, people), count)
    return images, [f"{number:06d}" for number in range(len(images))]


@contextmanager
def searching(what: str = "searching") -> "Iterator[Heard]":
    """A progress bar for a search, on standard error."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from zerosum.recorder import console

    people = console()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.completed:.1f}/{task.total:.0f} images"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[seen]}"),
    )
    with Progress(*columns, console=people, disable=not people.is_terminal) as bar:
        task = bar.add_task(what, total=None, seen="")

        def hear(done: int, of: int, iteration: int, iterations: int, best: "Tensor") -> None:
            share = done + best.shape[1] * iteration / iterations
            bar.update(task, total=of, completed=share, seen=f"objective {float(best.amin(0).mean()):.4g}")

        yield hear


def invert(
    run: Generator,
    photos: Annotated[str, Parameter(help="A folder, archive, array or named set of images.")],
    *,
    out: Annotated[
        Path | None, Parameter(help="A .safetensors file; a picture is put beside. In the run if not given.")
    ] = None,
    restarts: Restarts = 4,
    method: How = "auto",
    steps: Steps = None,
    race: Race = 0,
    norm: Norm = None,
    realism: Realism = 0.0,
    starts: Starts = "random",
    count: Count = None,
    label: Label = None,
    seed: Seed = 0,
    weights: Weights = "average",
    device: Device = "auto",
    json_output: AsJson = False,
) -> None:
    """Find the latents whose images are nearest to photographs, and say how near.

    zerosum invert RUN photos/ --out latents.safetensors. The file holds latents [B, k], errors [B], and the
    latents and errors of every restart; Ctrl-C keeps what is finished.
    """
    import torch

    from zerosum.inverse.misfit import Misfit, Whole
    from zerosum.inverse.search import Found
    from zerosum.reconstruction import prior_of
    from zerosum.trained import load

    trained = load(run, weights=weights, device=device)
    source = prior_of(trained, label)
    images, names = open_images(trained, photos, count)
    misfit = Misfit(Whole(), images)
    chosen = method_of(method, steps, source.latent.size, race)
    prior = prior_for(source, norm, realism)
    start = begin(source, misfit, starts, restarts, seed, images)
    parts: list[Found] = []
    stopped = False
    with searching("inverting") as hear:
        try:
            found = source.search(
                misfit,
                restarts=restarts,
                seed=seed,
                method=chosen,
                prior=prior,
                start=start,
                hear=hear,
                keep=parts.append,
            )
        except KeyboardInterrupt:
            if not parts:
                raise
            found, stopped = Found.joined(parts), True
    done = len(found)
    target = out or trained.path / "latents.safetensors"
    save_latents(target, found, trained, names[:done])
    picture = compare_picture(target.with_suffix(""), trained, [images[:done], found.image])
    mse = found.misfit / images[0].numel() / 4  # of images in [0, 1]
    psnr = -10 * torch.log10(mse.clamp_min(1e-12))
    if json_output:
        print(
            json.dumps(
                {"images": done, "psnr": psnr.tolist(), "restart": found.chosen.tolist(), "out": str(target)}
            )
        )
    else:
        low, mean, high = (float(x) for x in (psnr.min(), psnr.mean(), psnr.max()))
        print(f"{done} images, {restarts} restarts each: PSNR {mean:.2f} dB ({low:.2f} to {high:.2f})")
        print(target)
        print(picture)
    if stopped:
        raise KeyboardInterrupt


def save_latents(path: Path, found: "Found", trained: "Trained", names: list[str]) -> None:
    """Latents and errors as safetensors; whole or not there at all."""
    from safetensors.torch import save

    from zerosum.data.cache import replacing

    tensors = {
        "latents": found.latent,
        "errors": found.misfit,
        "restarts": found.latents,
        "restart_errors": found.misfits,
    }
    meta = {"run": str(trained.path), "recipe": trained.record.recipe, "images": json.dumps(names)}
    content = save({name: x.detach().cpu().contiguous() for name, x in tensors.items()}, meta)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as stream:
        stream.write(content)


def compare_picture(stem: Path, trained: "Trained", rows: "list[Tensor]", most: int = 16) -> Path:
    """A picture with one row for each of the given sets of images, a column an image; returns its path."""
    import numpy as np

    from zerosum.data.pictures import grid, save_image, suffix_of

    stored = np.concatenate([trained.format.encode(row[:most].cpu()) for row in rows])
    drawn = grid(stored, columns=min(most, len(rows[0])))
    path = stem.with_name(stem.name + suffix_of(drawn))
    save_image(path, drawn)
    return path
