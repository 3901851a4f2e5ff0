"""`zerosum evaluate` on the command line: a run, or two sets of images, in; numbers with their card out."""

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

__all__ = ["evaluate"]


def evaluate(
    first: Annotated[str, Parameter(help="A run, judged against its own data; or the real images.")],
    second: Annotated[
        str | None, Parameter(help="The generated images: a folder, archive, array, run.")
    ] = None,
    *,
    measures: Annotated[
        str, Parameter(help="fd, fd-infinity, kid, prdc, is, swd, ms-ssim, memorisation; with commas.")
    ] = "fd,kid,prdc,swd",
    extractor: Annotated[
        str, Parameter(help="vgg16, alexnet, squeezenet, lenet, pixels, random; vgg16:side=96,weights=PATH.")
    ] = "vgg16",
    count: Annotated[int, Parameter(help="Images of each side, or as many as there are.")] = 10_000,
    seed: Annotated[int, Parameter(help="Of samples, of which images are taken, of resampling.")] = 0,
    held: Annotated[
        str | None, Parameter(help="Images the generator never saw, for memorisation; else the test split.")
    ] = None,
    size: Annotated[str | None, Parameter(help="Side, or HEIGHTxWIDTH, of images that are read.")] = None,
    channels: Annotated[int | None, Parameter(help="Of images that are read: 1 grey, 3 colour.")] = None,
    device: Annotated[str, Parameter(help="Of the generator: auto, cpu, cuda, mps.")] = "auto",
    json_output: Annotated[
        bool, Parameter(name="--json", help="One JSON object on standard output.")
    ] = False,
) -> None:
    """Measure generated images beside real ones; each number comes with a card that says how it was taken.

    zerosum evaluate RUN --measures fd,prdc --extractor vgg16; zerosum evaluate real/ fake/ --json.
    """
    from zerosum import evaluation
    from zerosum.cli import size_of
    from zerosum.data import Dataset
    from zerosum.metrics.sides import Side, of_dataset
    from zerosum.recorder import console
    from zerosum.rundata import open_with_bar
    from zerosum.rundir import DataOptions
    from zerosum.trained import load

    if count < 1:
        raise ValueError(f"--count must be at least 1, not {count}")
    people = console()

    def opener(options: DataOptions) -> Dataset:
        return open_with_bar(options, people)

    def read(where: str) -> Dataset:
        return opener(DataOptions(where, size_of(size), channels))

    def some(dataset: Dataset) -> Side:
        return of_dataset(dataset, min(count, len(dataset)), seed)

    def is_run(where: str) -> bool:
        path = Path(where).expanduser()
        return any((path / name).is_file() for name in ("recipe.json", "generator.json"))

    names = [name.strip() for name in measures.split(",") if name.strip()]
    source, held_side = second or first, None
    if is_run(source):
        trained = load(source, device=device)
        data = evaluation.reals_of(trained, opener) if second is None else read(first)
        fake = evaluation.of_run(trained, count, seed)
        if "memorisation" in names and held is None:
            test = evaluation.held_out(trained, opener)
            held_side = some(test) if test else None
    elif second is None:
        raise ValueError(f"{first} is no run: give two sets of images, the real ones first")
    else:
        data, fake = read(first), some(read(second))
    if held is not None:
        held_side = some(read(held))
    train = of_dataset(data) if "memorisation" in names else None
    with people.status("measuring") as status:

        def progress(stage: str, done: int, total: int) -> None:
            status.update(f"{stage}: {done:,} of {total:,}")

        found = evaluation.evaluate(
            some(data), fake, names, extractor, seed=seed, train=train, held=held_side, progress=progress
        )
    print(json.dumps(found, ensure_ascii=False) if json_output else evaluation.for_people(found))
