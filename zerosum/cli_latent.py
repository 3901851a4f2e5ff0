"""Walks, arithmetic and directions in a generator's latent space, from the command line."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from zerosum.cli_use import AsJson, Generator, Truncation, Weights

if TYPE_CHECKING:
    from torch import Tensor

    from zerosum.trained import Trained

__all__ = ["arithmetic", "directions", "walk"]

Seed = Annotated[int, Parameter(help="Samples are named by number: those of `zerosum sample --seed`.")]
ClassLabel = Annotated[
    str | None, Parameter(name="--label", help="All of this class, by name or number, as for sample.")
]
Out = Annotated[Path | None, Parameter(help="The picture, .png or .tiff; in the run directory if not given.")]
Device = Annotated[str, Parameter(help="auto, cpu, cuda, mps.")]
NearestTo = Annotated[
    str | None,
    Parameter(help="The nearest training images beside: by pixels, however moved, or features of vgg16, …."),
]
FINE = 8  # times as many images are made where steps shall be even
PAIRS = 64  # random pairs of samples that a walk's ends are compared with


def walk(
    run: Generator,
    *,
    start: Annotated[int | None, Parameter(name="--from", help="The sample to start from.")] = None,
    to: Annotated[int | None, Parameter(help="The sample to go to.")] = None,
    through: Annotated[str | None, Parameter(help="Samples between, in turn: 5,9, or a file.")] = None,
    square: Annotated[
        str | None, Parameter(help="Instead: four corners, left to right, top to bottom: 3,8,21,5.")
    ] = None,
    steps: Annotated[int, Parameter(help="Pictures from each sample to the next, both included.")] = 12,
    loop: Annotated[bool, Parameter(help="Back to the first sample at the end.", negative="")] = False,
    how: Annotated[
        Literal["slerp", "lerp"] | None,
        Parameter(help="On the sphere or straight; slerp for normal latents, lerp for uniform ones."),
    ] = None,
    even: Annotated[
        Literal["lpips", "l2"] | None,
        Parameter(help="Space the pictures so that they are about equally far apart by this distance."),
    ] = None,
    video: Annotated[Path | None, Parameter(help="A film too: a file ….mp4 or ….gif.")] = None,
    rate: Annotated[int, Parameter(help="Of the film: pictures a second.")] = 12,
    nearest: NearestTo = None,
    seed: Seed = 0,
    label: ClassLabel = None,
    truncation: Truncation = None,
    out: Out = None,
    weights: Weights = "average",
    device: Device = "auto",
    json_output: AsJson = False,
) -> None:
    """Walk from sample to sample, or over a square of four: a picture, and a film if asked.

    zerosum walk RUN --from 3 --to 17 --through 5,9 --loop --video walk.mp4; --json tells the steps' sizes.
    """
    import numpy as np

    from zerosum import latent
    from zerosum.data.pictures import grid, preview
    from zerosum.data.video import save_video
    from zerosum.exemplars import numbers_in

    if square is not None:
        if (start, to, through, video, even, loop) != (None, None, None, None, None, False):
            raise ValueError(
                "--square has corners: leave --from, --to, --through, --loop, --even and --video out"
            )
        numbers = numbers_in(square, "--square")
        if len(numbers) != 4:
            raise ValueError(f"--square has four corners, and {len(numbers)} samples are named")
    else:
        if start is None or to is None:
            raise ValueError("give --from and --to, the numbers of two samples, or --square a,b,c,d")
        numbers = (start, *(numbers_in(through, "--through") if through else ()), to)
        if len(set(numbers)) == 1:
            raise ValueError(f"--from and --to are the same sample, {to}: choose another, or some --through")
    trained = _opened(run, weights, device, truncation)
    way = latent.way_for(trained.latent, how)
    label_of = _one_class(trained, numbers, label)
    points = trained.latents(numbers, seed)
    if square is not None:
        z = latent.square(points, steps, latent.WAYS[way]).flatten(0, 1)
    else:
        fine = 1 if even is None else FINE
        z = latent.path(points, (steps - 1) * fine + 1 if steps > 1 else steps, latent.WAYS[way], loop=loop)
    images = _drawn(trained, z, label_of)
    if even is not None:
        images = _even(images, even, steps, loop)
    tiles = [images] if nearest is None else [images, _nearest(trained, images, nearest)]
    columns = steps - 1 if loop else steps
    picture = np.concatenate([grid(trained.format.encode(rows), columns) for rows in tiles])
    name = f"{'walk' if square is None else 'square'}-{'-'.join(map(str, numbers))}"
    target = _save(trained, picture, out, name)
    found: dict[str, Any] = {"out": str(target), "samples": list(numbers), "seed": seed, "how": way}
    if video is not None:
        save_video(video, preview(trained.format.encode(images), trained.format), rate)
        found["video"] = str(video)
    if json_output and square is None:
        end = len(images) - steps + 1 if loop else -1
        found |= {"images": len(images), **_smoothness(trained, images, seed, label_of, end)}
    _say(found, json_output)


def arithmetic(
    run: Generator,
    *,
    plus: Annotated[
        list[str] | None,
        Parameter(help="A concept to add: samples 3,8,21, a file of one number a line, or class:3."),
    ] = None,
    minus: Annotated[
        list[str] | None, Parameter(help="A concept to take away; both may be given again.")
    ] = None,
    extractor: Annotated[
        str | None, Parameter(help="A classifier that picks exemplars by class: lenet.")
    ] = None,
    exemplars: Annotated[int, Parameter(help="Of each class:NAME.")] = 3,
    spread: Annotated[float, Parameter(help="Of the uniform noise that neighbours differ by.")] = 0.25,
    square: Annotated[bool, Parameter(help="Draw the result and its neighbours only.", negative="")] = False,
    nearest: NearestTo = None,
    seed: Seed = 0,
    label: ClassLabel = None,
    truncation: Truncation = None,
    out: Out = None,
    weights: Weights = "average",
    device: Device = "auto",
    json_output: AsJson = False,
) -> None:
    """Add and take away concepts, each an average of exemplars; the result amid eight neighbours.

    zerosum arithmetic RUN --plus smiling-woman.txt --minus woman.txt --plus man.txt. Of a conditional
    generator the result is of the class of the last --plus.
    """
    import torch

    from zerosum import latent
    from zerosum.data.montage import equation
    from zerosum.exemplars import pick
    from zerosum.metrics.extractors import extractor as extractor_of

    if not plus:
        raise ValueError("--plus: name at least one concept to add")
    if exemplars < 1:
        raise ValueError(f"--exemplars must be at least 1, not {exemplars}")
    if not spread >= 0:
        raise ValueError(f"--spread must not be negative, and {spread} is")
    trained = _opened(run, weights, device, truncation)
    judge = extractor_of(extractor) if extractor else None
    # In the order in which one would say it: a − b + c.
    said = [(plus[0], "+"), *((text, "-") for text in minus or ()), *((text, "+") for text in plus[1:])]
    concepts = [
        pick(
            trained,
            text,
            "--plus" if sign == "+" else "--minus",
            count=exemplars,
            seed=seed,
            label=label,
            judge=judge,
        )
        for text, sign in said
    ]
    for concept in concepts:
        if len(concept.numbers) == 1:
            print(f"{concept.name}: one exemplar tells little of a concept: average three", file=sys.stderr)
    z = [trained.latents(concept.numbers, seed) for concept in concepts]
    signs = "".join(sign for _, sign in said)
    result = latent.arithmetic(
        *([one for one, s in zip(z, signs, strict=True) if s == side] for side in "+-")
    )
    around = latent.neighbours(result, 8, spread, seed)
    results = latent.within(torch.cat([around[:4], result[None], around[4:]]), trained.latent)
    told = [concept.label for concept, sign in zip(concepts, signs, strict=True) if sign == "+"][-1]
    images = _drawn(trained, results, told)
    tiles = [images] if nearest is None else [images, _nearest(trained, images, nearest)]
    columns = (
        []
        if square
        else [
            _drawn(trained, torch.cat([one, one.mean(0, keepdim=True)]), concept.label)
            for concept, one in zip(concepts, z, strict=True)
        ]
    )
    encode = trained.format.encode
    picture = equation([*map(encode, columns)], signs, [*map(encode, tiles)], trained.format.high)
    target = _save(trained, picture, out, "arithmetic")
    numbers = [
        {"sign": sign, "concept": concept.name, "samples": list(concept.numbers)}
        for sign, concept in zip(signs, concepts, strict=True)
    ]
    _say({"out": str(target), "concepts": numbers, "seed": seed}, json_output)


def directions(
    run: Generator,
    *,
    count: Annotated[int, Parameter(help="How many, the strongest first.")] = 5,
    of: Annotated[int, Parameter(help="The sample that is moved.")] = 0,
    reach: Annotated[float, Parameter(help="How far, either way.")] = 3.0,
    steps: Annotated[int, Parameter(help="Pictures from one side to the other.")] = 7,
    seed: Seed = 0,
    label: ClassLabel = None,
    truncation: Truncation = None,
    out: Out = None,
    weights: Weights = "average",
    device: Device = "auto",
    json_output: AsJson = False,
) -> None:
    """Move a sample along the directions that change the generator's first layer most (SeFa): a row each.

    Found from its weights alone, in closed form (Shen & Zhou 2021).
    """
    from zerosum import latent
    from zerosum.data.pictures import grid
    from zerosum.sefa import sefa

    trained = _opened(run, weights, device, truncation)
    found = sefa(trained.generator, trained.latent.size, count, labels=bool(trained.classes))
    start = trained.latents([of], seed)[0]
    z = latent.within(latent.along(start, found.directions, reach, steps), trained.latent)
    images = _drawn(trained, z.flatten(0, 1), _one_class(trained, (of,), label))
    target = _save(trained, grid(trained.format.encode(images), steps), out, f"directions-{of}")
    strengths = [round(float(value), 4) for value in found.strengths]
    _say({"out": str(target), "sample": of, "seed": seed, "strengths": strengths}, json_output)


def _opened(
    run: Path, weights: Literal["average", "last"], device: str, truncation: float | None
) -> "Trained":
    from zerosum.trained import load

    trained = load(run, weights=weights, device=device)
    if trained.format.points:
        raise ValueError(f"{run}: makes points, and walks and arithmetic are of images")
    if trained.latent.size == 0:
        raise ValueError(f"{run}: recipe {trained.record.recipe} has no latent to walk in")
    return trained if truncation is None else trained.truncated(truncation)


def _one_class(trained: "Trained", numbers: Sequence[int], label: str | None) -> int | None:
    """The class of all these samples; a label is no place in the latent space, so one cannot walk between."""
    told = trained.labels(numbers, label)
    if told is None:
        return None
    if len(told.unique()) > 1:
        each = ", ".join(f"{i} of {trained.classes[c]}" for i, c in zip(numbers, told, strict=True))
        raise ValueError(f"the samples are of several classes, {each}: choose one for all with --label")
    return int(told[0])


def _drawn(trained: "Trained", z: "Tensor", label: int | None) -> "Tensor":
    import torch

    from zerosum.trained import decode

    return decode(trained.generator, z, None if label is None else torch.full((len(z),), label))


def _nearest(trained: "Trained", images: "Tensor", by: str) -> "Tensor":
    """The training images nearest to these, as many."""
    from zerosum.evaluation import reals_of
    from zerosum.exemplars import nearest_training
    from zerosum.metrics.extractors import extractor
    from zerosum.recorder import console
    from zerosum.rundata import open_with_bar

    data = reals_of(trained, lambda options: open_with_bar(options, console()))
    judge = None if by == "pixels" else extractor(by)
    whose = nearest_training(images, data, judge, mirror=trained.record.data.options.flip)
    return data.format.decode(data.format.tensor(data.samples[whose.numpy()]))


def _even(images: "Tensor", by: str, steps: int, loop: bool) -> "Tensor":
    """Of each leg of a walk with `FINE` times as many images, those that are evenly spaced."""
    import torch

    from zerosum import latent
    from zerosum.metrics.lpips import lpips

    distance = latent.l2
    if by == "lpips":
        squared = lpips()  # a sum of squares: of a step half as long it is a quarter

        def distance(x: "Tensor", y: "Tensor") -> "Tensor":
            return squared(x, y).clamp_min(0).sqrt()

    whole = torch.cat([images, images[:1]]) if loop else images
    leg = (steps - 1) * FINE
    chosen = [
        start + latent.evenly(whole[start : start + leg + 1], distance, steps)[:-1]
        for start in range(0, len(whole) - 1, leg)
    ]
    return whole[torch.cat([*chosen, torch.tensor([] if loop else [len(whole) - 1]).long()])]


def _smoothness(
    trained: "Trained", images: "Tensor", seed: int, label: int | None, end: int
) -> dict[str, Any]:
    """What --json says of a walk's steps: in pixels, and by LPIPS where its weights are there."""
    from zerosum import latent
    from zerosum.draws import mix
    from zerosum.metrics.lpips import lpips

    others = _drawn(trained, trained.latents(range(2 * PAIRS), mix("pairs", seed)), label)
    distances: dict[str, latent.Distance] = {"l2": latent.l2}
    try:
        distances["lpips"] = lpips()
    except ValueError as error:
        print(f"no LPIPS: {error}", file=sys.stderr)
    return {
        name: latent.smoothness(images, by, float(by(others[::2], others[1::2]).median()), end)._asdict()
        for name, by in distances.items()
    }


def _save(trained: "Trained", picture: Any, out: Path | None, name: str) -> Path:
    from zerosum.data.pictures import save_image, suffix_of

    target = out or trained.path / f"{name}{suffix_of(picture)}"
    save_image(target, picture)
    return target


def _say(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        print("\n".join(str(found[key]) for key in ("out", "video") if key in found))
