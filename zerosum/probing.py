"""Probing a run: what its critic's, or encoder's, features tell of classes, beside pixels and random ones."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

import zerosum
from zerosum.data import Dataset
from zerosum.data.formats import DataError
from zerosum.metrics.probe import Probed, balanced, difference, interval, layers, probe
from zerosum.recipes.table import RECIPES, Recipe
from zerosum.rundir import DataOptions
from zerosum.trained import Trained, build

__all__ = ["for_people", "probe_run", "split_for_tests"]

_VALIDATION = 5  # one in so many training labels chooses the strength of L2
Said = Callable[[str], None]


def split_for_tests(options: DataOptions, opener: Callable[[DataOptions], Dataset]) -> Dataset | None:
    """The test split beside what the options name, else the val split; None where there is neither."""
    for split in ("test", "val"):
        try:
            return None if split == options.split else opener(replace(options, split=split))
        except DataError:
            continue
    return None


def probe_run(
    trained: Trained,
    data: Dataset,
    test: Dataset | None = None,
    *,
    count: int = 1000,
    test_count: int = 10_000,
    seed: int = 0,
    device: torch.device | str = "cpu",
    recipes: Mapping[str, Recipe] = RECIPES,
    said: Said = lambda stage: None,
) -> dict[str, Any]:
    """Shares of test images whose class a linear classifier tells right; what `zerosum probe --json` prints.

    The classifier is trained on `count` labels of `data`, as many of each class, first on all layers of the
    run's encoder, if it has one, or critic (`zerosum.metrics.probe.layers`); then on the same net as it was
    before training, on pixels, and on as many random rectified projections of pixels, N(0, 1/D), as the net
    has features. It is tested on `test_count` images of `test`, or of the rest of `data` where that is None.

    {features: share, …, "intervals": {features: [low, high]}, "p-values": {features: …}, "verdict": …,
    "warnings": […], "card": {…}}. Raises ValueError for a run without such a net, for data without labels
    or of other images, and for counts that the data do not have.
    """
    name, net = _net(trained)
    before, _ = build(trained.record, recipes)
    names, x, labels, y, truth = _samples(trained, data, test, count, test_count, seed)
    if before.begin is not None:
        before.begin(x)
    pixels, draw = x[0].numel(), torch.Generator().manual_seed(seed)
    validation = torch.arange(count) < count // _VALIDATION

    def found(label: str, features: Callable[[Tensor], Tensor]) -> Probed:
        said(f"features: {label}")
        made = features(x), features(y)
        said(f"classifiers: {label}")
        return probe((made[0], labels), (made[1], truth), len(names), validation=validation)

    def of(net: nn.Module) -> Callable[[Tensor], Tensor]:
        net = net.to(device)
        return lambda images: layers(net, images.to(device)).cpu()

    probed = {name: found(name, of(net))}
    onto = torch.randn(pixels, probed[name].size, generator=draw) / pixels**0.5
    probed[f"{name} before training"] = found("before training", of(before.game.get_submodule(name)))
    probed["pixels"] = found("pixels", lambda images: images.flatten(1))
    probed["random projections"] = found("random projections", lambda x: (x.flatten(1) @ onto).relu())
    right = {label: float(each.right.double().mean()) for label, each in probed.items()}
    p_values = {label: difference(probed[name].right, each.right) for label, each in probed.items()}
    del p_values[name]
    where = {"data": data.name, "fingerprint": data.fingerprint}
    return {
        **right,
        "intervals": {label: interval(each.right) for label, each in probed.items()},
        "p-values": p_values,
        "verdict": _verdict(right, p_values, name),
        "warnings": _warnings(trained, data, test),
        "card": {
            "run": str(trained.path),
            "recipe": trained.record.recipe,
            "trained on": trained.images,
            "features": "inputs of all inner layers, maps max-pooled to 4x4; pixels as they are",
            "sizes": {label: each.size for label, each in probed.items()},
            "classifier": "logistic regression, L2 as told by a fifth of the training labels",
            "l2": {label: each.l2 for label, each in probed.items()},
            "classes": len(names),
            "train": {"count": count, **where},
            "test": {"count": test_count, "data": test.name, "fingerprint": test.fingerprint}
            if test is not None
            else {"count": test_count, **where, "split": "by seed"},
            "intervals": "95 %, Wilson; p-values McNemar's, exact",
            "seed": seed,
            "zerosum": zerosum.__version__,
            "torch": torch.__version__,
        },
    }


def _net(trained: Trained) -> tuple[str, nn.Module]:
    game = dict(trained.system.game.named_children())
    name = next((name for name in ("encoder", "critic") if name in game), None)
    if name is None:
        raise ValueError(
            f"{trained.path}: {trained.record.recipe} has neither a critic nor an encoder to probe: give a "
            "run of another recipe"
        )
    if trained.record.arguments.get("pack", 1) != 1:
        raise ValueError(
            f"{trained.path}: its critic judges several images at once (--pack): give another run"
        )
    return name, game[name]


def _samples(
    trained: Trained, data: Dataset, test: Dataset | None, count: int, test_count: int, seed: int
) -> tuple[tuple[str, ...], Tensor, Tensor, Tensor, Tensor]:
    """The classes, and images with labels to train on and to test on."""
    for dataset in (data, *([] if test is None else [test])):
        if dataset.labels is None:
            raise ValueError(
                f"{dataset.name}: has no labels, and a probe needs some: give labelled images with --data, "
                "or their classes with --labels"
            )
        if dataset.format.points or dataset.format.shape != trained.format.shape:
            raise ValueError(
                f"{dataset.name}: has samples of {dataset.format.shape}, and the run judges images of "
                f"{trained.format.shape} (channels, height, width): give --data with --size and --channels"
            )
        if dataset.classes != data.classes:
            raise ValueError(
                f"{dataset.name}: its test split has other classes: {', '.join(dataset.classes)}"
            )
    rest = len(data) - count if test is None else len(test)
    if not (_VALIDATION <= count <= len(data) and 1 <= test_count <= rest):
        raise ValueError(
            f"--count {count} and --test {test_count}: there are {len(data):,} labelled images, and {rest:,} "
            f"to test on; choose from {_VALIDATION} and from 1 up to that"
        )
    draw = torch.Generator().manual_seed(seed)
    labels = _labels(data)
    train = balanced(labels, count, draw)
    of_test = data if test is None else test
    free = torch.ones(len(of_test), dtype=torch.bool)
    if test is None:
        free[train] = False
    tested = free.nonzero().squeeze(1)
    tested = tested[torch.randperm(len(tested), generator=draw)[:test_count]]
    return (
        data.classes,
        *(_images(data, train), labels[train]),
        *(_images(of_test, tested), _labels(of_test)[tested]),
    )


def _labels(dataset: Dataset) -> Tensor:
    assert dataset.labels is not None
    return torch.from_numpy(dataset.labels)


def _images(dataset: Dataset, places: Tensor) -> Tensor:
    return dataset.format.decode(dataset.format.tensor(dataset.samples[places.numpy()])).contiguous()


def _verdict(right: Mapping[str, float], p_values: Mapping[str, float], name: str) -> str:
    """In words, at 5 % over all comparisons together (Bonferroni)."""
    told = [label for label, p in p_values.items() if p < 0.05 / len(p_values)]
    over = [label for label in told if right[name] > right[label]]
    under = [label for label in told if label not in over]
    even = [label for label in p_values if label not in told]
    said = [
        f"{verb} {', '.join(labels)}"
        for verb, labels in (("beats", over), ("loses to", under), ("cannot be told from", even))
        if labels
    ]
    return f"the {name} {'; '.join(said)}"


def _warnings(trained: Trained, data: Dataset, test: Dataset | None) -> list[str]:
    found = []
    if trained.classes:
        found.append(
            "the run was told labels of all its training images, more than the classifier's; pixels and "
            "random features were not"
        )
    if test is None and data.fingerprint == trained.record.data.fingerprint:
        found.append("there is no test split: the run has seen the test images, if not their labels")
    return found


def for_people(found: Mapping[str, Any]) -> str:
    """A table of features, how often they told the class, and what follows.

    >>> print(for_people({"critic": 0.9, "pixels": 0.8, "intervals": {"critic": (0.88, 0.92),
    ...     "pixels": (0.77, 0.83)}, "p-values": {"pixels": 0.001}, "verdict": "the critic beats pixels",
    ...     "warnings": [], "card": {"sizes": {"critic": 96, "pixels": 64},
    ...     "l2": {"critic": 0.1, "pixels": 1.0}, "train": {"count": 50, "data": "d"},
    ...     "test": {"count": 900, "data": "d"}, "seed": 0}}))
    features                       size   right  95 %              L2      p
    critic                           96   .9000  .8800 to .9200    0.1
    pixels                           64   .8000  .7700 to .8300    1       0.001
    the critic beats pixels
    50 labels of d, tested on 900 of d; seed 0
    """
    card = found["card"]
    lines = [f"{'features':<28}{'size':>7}{'right':>8}  {'95 %':<18}{'L2':<8}p"]
    for name, size in card["sizes"].items():
        right, low, high = (f"{x:.4f}".removeprefix("0") for x in (found[name], *found["intervals"][name]))
        p = found["p-values"].get(name)
        last = "" if p is None else f"{p:.2g}"
        span = f"{low} to {high}"
        lines.append(f"{name:<28}{size:>7}{right:>8}  {span:<18}{card['l2'][name]:<8g}{last}".rstrip())
    train, test = card["train"], card["test"]
    lines += [found["verdict"]]
    lines += [
        f"{train['count']:,} labels of {train['data']}, tested on {test['count']:,} of {test['data']}; "
    ]
    lines[-1] += f"seed {card['seed']}"
    return "\n".join([*lines, *(f"beware: {warning}" for warning in found["warnings"])])
