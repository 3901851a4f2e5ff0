"""`zerosum probe` on the command line: what a run's critic or encoder has learned to tell apart."""

import json
from typing import Annotated

from cyclopts import Parameter

from zerosum.cli_use import Run

__all__ = ["probe"]


def probe(
    run: Run,
    *,
    data: Annotated[str | None, Parameter(help="Labelled images; the run's own if not given.")] = None,
    labels: Annotated[str | None, Parameter(help="Their classes, as for train.")] = None,
    count: Annotated[int, Parameter(help="Labels to train on, as many of each class.")] = 1000,
    test: Annotated[int | None, Parameter(help="Images to test on; 10,000, or as many as there are.")] = None,
    seed: Annotated[int, Parameter(help="Of which images are taken, and of random projections.")] = 0,
    size: Annotated[str | None, Parameter(help="Side, or HEIGHTxWIDTH, of --data as it is read.")] = None,
    channels: Annotated[int | None, Parameter(help="Of --data as it is read: 1 grey, 3 colour.")] = None,
    device: Annotated[str, Parameter(help="Of the nets: auto, cpu, cuda, mps.")] = "auto",
    json_output: Annotated[
        bool, Parameter(name="--json", help="One JSON object on standard output.")
    ] = False,
) -> None:
    """Train a linear classifier on the critic's, or encoder's, features, against pixels and random ones."""
    from zerosum import probing
    from zerosum.cli import size_of
    from zerosum.data import Dataset
    from zerosum.folder import is_folder
    from zerosum.recorder import console
    from zerosum.rundata import open_with_bar
    from zerosum.rundir import DataOptions
    from zerosum.trained import load
    from zerosum.training.precision import choose_device

    if is_folder(run):
        raise ValueError(
            f"{run}: holds a generator alone, and a probe needs the critic: give the run directory"
        )
    if data is None and (size is not None or channels is not None):
        raise ValueError("--size and --channels are for --data: the run's own data are read as it read them")
    people = console()
    trained = load(run, weights="last", device=device)
    options = trained.record.data.options
    if data is not None:
        options = DataOptions(data, size_of(size), channels)
    if labels is not None:
        options = DataOptions(**{**vars(options), "labels": labels})

    def opener(options: DataOptions) -> Dataset:
        return open_with_bar(options, people)

    dataset = opener(options)
    held = probing.split_for_tests(options, opener)
    rest = len(dataset) - count if held is None else len(held)
    with people.status("probing") as status:
        found = probing.probe_run(
            trained,
            dataset,
            held,
            count=count,
            test_count=min(10_000, max(rest, 1)) if test is None else test,
            seed=seed,
            device=choose_device(device),
            said=status.update,
        )
    print(json.dumps(found, ensure_ascii=False) if json_output else probing.for_people(found))
