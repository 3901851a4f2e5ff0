"""Do samples by class show their class, and do they vary? A reader and a pupil answer.

    python -m benchmarks.conditional RUN --lenet mnist_lenet5.safetensors --json

The measures `conditional-accuracy` and `cas` of `zerosum evaluate`, with samples of several seeds. A reader
that never saw the generator reads samples of each class: the share read as the class asked, over all and of
the class read worst. It is a LeNet-5 or, without --lenet, a small net trained on the run's own data. Then a
pupil, that small net, learns from samples alone, beside one that learns from as many reals, and both are
examined on the real test set: a generator with one picture a class would please the reader, not the pupil.
Prints one object a line with --json.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from zerosum.data import Dataset, open_data
from zerosum.metrics.extractors import extractor
from zerosum.metrics.labelled import read_right, taught
from zerosum.trained import Trained, in_turn, load

__all__ = ["accuracy", "main"]

Read = Callable[[Tensor], Tensor]


def accuracy(read: Read, images: Tensor, labels: Tensor) -> dict[str, float]:
    """The share read right, of all and of the class that is read worst."""
    right = read_right(read, images, labels).double()
    of_each = [right[labels == label].mean() for label in labels.unique()]
    return {"right": float(right.mean()), "worst": float(min(of_each))}


def real(trained: Trained, split: str) -> Dataset:
    """The data that a run was trained on, or their test split."""
    data = trained.record.data
    return open_data(
        data.where,
        size=data.size,
        channels=data.channels,
        value_range=data.range,
        split=split,
        labels=data.labels,
    )


def tensors(dataset: Dataset, count: int | None = None) -> tuple[Tensor, Tensor]:
    """`count` images drawn without replacement, or all, as [N, C, H, W] in [−1, 1], and their labels."""
    assert dataset.labels is not None
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0))[:count].numpy()
    images = dataset.format.decode(dataset.format.tensor(dataset.samples[order]))
    return images, torch.from_numpy(dataset.labels[order])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", help="a run directory of a conditional recipe")
    parser.add_argument("--lenet", type=Path, help="weights of a LeNet-5 for digits, as reader")
    parser.add_argument("--each", type=int, default=500, help="samples of each class that the reader reads")
    parser.add_argument("--seeds", type=int, default=3, help="so often, with samples of another seed")
    parser.add_argument("--lessons", type=int, default=20_000, help="samples that the pupil learns from")
    parser.add_argument("--steps", type=int, default=1000, help="batches of 100 that the pupil sees")
    parser.add_argument("--json", action="store_true", help="one object a line")
    options = parser.parse_args(arguments)

    def say(**found: object) -> None:
        words = " ".join(
            f"{name} {x:.4f}" if isinstance(x, float) else f"{name} {x}" for name, x in found.items()
        )
        print(json.dumps(found) if options.json else words, flush=True)

    trained = load(options.run)
    classes = len(trained.classes)
    if not classes:
        parser.error(f"{options.run} was trained without labels")
    test_images, test_labels = tensors(real(trained, "test"))
    dataset = real(trained, "train")

    if options.lenet:
        reader: Read = extractor(f"lenet:weights={options.lenet}").logits
    else:
        reader = taught(*tensors(dataset), classes, steps=len(dataset) // 100 * 5, seed=99)
    say(case="reader", of="real test set", **accuracy(reader, test_images, test_labels))
    for seed in range(options.seeds):
        labels = in_turn(classes * options.each, range(classes))
        found = accuracy(reader, trained.sample(len(labels), seed), labels)
        say(case="reader", of=f"samples, seed {seed}", **found)

    samples = trained.sample(options.lessons, seed=1000), in_turn(options.lessons, range(classes))
    for name, lessons in (("samples", samples), ("reals", tensors(dataset, options.lessons))):
        pupil = taught(*lessons, classes, steps=options.steps)
        say(case=f"pupil of {name}", of="real test set", **accuracy(pupil, test_images, test_labels))


if __name__ == "__main__":
    main()
