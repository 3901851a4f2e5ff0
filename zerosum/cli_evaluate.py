"""`zerosum evaluate` on the command line: a run, or two sets of images, in; numbers with their card out."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

__all__ = ["evaluate"]


def evaluate(
    first: Annotated[
        str,
        Parameter(help="A run, judged against its own data; or the real images, as --data or mnist:test."),
    ],
    second: Annotated[
        str | None,
        Parameter(help="The generated images: a folder, archive, array, run or checkpoint, or set:split."),
    ] = None,
    *,
    measures: Annotated[
        str | None,
        Parameter(
            help="fd, fd-infinity, kid, prdc, is, swd; of diversity ms-ssim, lpips-diversity, ppl, modes; by "
            "class conditional-accuracy, cas; of originality memorisation, duplicates, birthday; of pairs "
            "psnr, psnr-y, ssim, ssim-y, lpips; with commas. fd,kid,prdc,swd if not given; fd with "
            "--every, where the first one keeps the best checkpoint."
        ),
    ] = None,
    extractor: Annotated[
        str | None,
        Parameter(
            help="vgg16, alexnet, squeezenet, lenet, inception, dinov2, pixels, random; vgg16:side=96,"
            "weights=PATH, or weights=URL,sha256=…. vgg16 if not given, of points their coordinates."
        ),
    ] = None,
    count: Annotated[
        int | None,
        Parameter(help="Images of each side, or as many as there are; 10,000, or 2,000 with --every."),
    ] = None,
    seed: Annotated[int, Parameter(help="Of samples, of which images are taken, of resampling.")] = 0,
    held: Annotated[
        str | None,
        Parameter(help="Images the generator never saw, for memorisation and cas; else the test split."),
    ] = None,
    size: Annotated[str | None, Parameter(help="Side, or HEIGHTxWIDTH, of images that are read.")] = None,
    channels: Annotated[int | None, Parameter(help="Of images that are read: 1 grey, 3 colour.")] = None,
    device: Annotated[str, Parameter(help="Of the generator: auto, cpu, cuda, mps.")] = "auto",
    border: Annotated[
        int, Parameter(help="Pixels left out on each side for psnr and ssim, as super-resolution does.")
    ] = 0,
    panel: Annotated[
        Path | None,
        Parameter(help="A picture to make: samples, and beside each the nearest training images, .png."),
    ] = None,
    every: Annotated[
        int | None,
        Parameter(
            help="Measure a run while another process trains it, every so many images, until it has ended: a "
            "line each in RUN/measures.jsonl, the best in RUN/checkpoints/best-VALUE.safetensors."
        ),
    ] = None,
    json_output: Annotated[
        bool, Parameter(name="--json", help="One JSON object on standard output.")
    ] = False,
) -> None:
    """Measure generated images beside real ones; each number comes with a card that says how it was taken.

    zerosum evaluate RUN --measures fd,prdc --extractor vgg16; zerosum evaluate real/ fake/ --json; the
    floor of a measure: zerosum evaluate mnist mnist:test; while training: zerosum evaluate RUN --every 5000;
    pairs: zerosum evaluate real/ restored/ --measures psnr,ssim,lpips.
    """
    from zerosum import evaluation
    from zerosum.cli import size_of
    from zerosum.data import Dataset
    from zerosum.data.dataset import names_of, pictures_of
    from zerosum.data.formats import SizeError
    from zerosum.following import follow
    from zerosum.metrics.extractors import extractor as build
    from zerosum.metrics.measures import FROM_HELD, FROM_TRAIN
    from zerosum.metrics.pairs import PAIRS, of_sizes, paired
    from zerosum.metrics.sides import Side, of_dataset
    from zerosum.recorder import console
    from zerosum.rundata import open_with_bar, options_of
    from zerosum.rundir import DataOptions
    from zerosum.trained import load

    if count is None:
        count = 10_000 if every is None else 2000
    if measures is None:
        measures = "fd,kid,prdc,swd" if every is None else "fd"
    if count < 1:
        raise ValueError(f"--count must be at least 1, not {count}")
    if border < 0:
        raise ValueError(f"--border must be at least 0, not {border}")
    people = console()

    def opener(options: DataOptions) -> Dataset:
        return open_with_bar(options, people)

    def read(where: str, real: Dataset | None = None) -> Dataset:
        options = options_of(where, size_of(size), channels)
        found = opener(options)
        if real is not None and {real.format.dtype, found.format.dtype} == {"float32"}:
            scale = real.format.low, real.format.high
            if not found.format.points and scale != (found.format.low, found.format.high):
                found = opener(replace(options, range=scale))  # not each on a scale of its own
        return found if options.where == where else replace(found, name=f"{found.name}:{options.split}")

    def some(dataset: Dataset) -> Side:
        return of_dataset(dataset, min(count, len(dataset)), seed)

    def is_run(where: str) -> bool:
        path = Path(where).expanduser()
        inside = any((path / name).is_file() for name in ("recipe.json", "generator.json"))
        return inside or (path.suffix == ".safetensors" and path.is_file())

    names = tuple(name.strip() for name in measures.split(",") if name.strip())
    judge = build(extractor) if extractor and every is not None else extractor  # once for all checkpoints
    if every is not None and second is not None:
        raise ValueError(f"--every measures a run while it is trained: leave {second} out")
    source, held_side, real = second or first, None, None
    if is_run(source):
        trained = load(source, device=device)
        data = evaluation.reals_of(trained, opener) if second is None else read(first)
        fake = evaluation.of_run(trained, count, seed)
        if FROM_HELD & set(names) and held is None:
            test = evaluation.held_out(trained, opener)
            held_side = some(test) if test else None
    elif second is None:
        raise ValueError(f"{first} is no run: give two sets of images, the real ones first")
    elif PAIRS & set(names):
        try:
            data = read(first)
            other = read(second, data)
        except SizeError:
            if size is not None or not PAIRS.issuperset(names):
                raise
            ours, theirs = ((Path(where).name, pictures_of(where)) for where in (first, second))
            real, fake = of_sizes(ours, theirs, count, seed)
        else:
            real, fake = paired(data, other, (names_of(first), names_of(second)), count, seed)
    else:
        data = read(first)
        fake = some(read(second, data))
    if held is not None:
        held_side = some(read(held, data))
    train = of_dataset(data) if panel or FROM_TRAIN & set(names) else None
    real = real or some(data)

    def judged(fake: Side) -> dict[str, Any]:
        with people.status("measuring") as status:

            def progress(stage: str, done: int, total: int) -> None:
                status.update(f"{stage}: {done:,} of {total:,}")

            return evaluation.evaluate(
                real,
                fake,
                names,
                judge,
                seed=seed,
                train=train,
                held=held_side,
                progress=progress,
                border=border,
                panel=panel,
            )

    def tell(found: Mapping[str, Any]) -> None:
        print(
            json.dumps(found, ensure_ascii=False) if json_output else evaluation.for_people(found), flush=True
        )

    if every is None:
        tell(judged(fake))
        return

    def measured(checkpoint: Path) -> dict[str, Any]:
        return judged(evaluation.of_run(load(checkpoint, device=device), count, seed))

    def told(entry: dict[str, Any], best: bool) -> None:
        if not json_output:
            print(f"{entry.pop('images'):,} images{', the best so far' if best else ''}")
        tell(entry)

    people.print(f"measuring {first} every {every:,} images; Ctrl-C stops it", highlight=False)
    follow(first, names, every, measured, told)
