"""Are a generator's walks smooth, and does latent arithmetic of digits do what it says?

    python -m benchmarks.latent walks RUN --json
    python -m benchmarks.latent arithmetic RUN --lenet mnist_lenet5.safetensors --json

"walks": random pairs of samples, each walked in twelve steps; LPIPS and L2 of each step. Told are the largest
step over the mean, the share of walks where it is at most 3, and how far the ends are over the median random
pair. "arithmetic": thick x − thin x + thin y should be a thick y, and so for slant, x and y two classes of
digits. LeNet says which class a sample is of (a conditional generator is told), ink or slant which third of
its class. Success is a result that is read as y and has more of it than the median of the class. Beside three
exemplars a concept: one; "random", any samples at all (random triples); "aside", y moved by a difference of
random samples, as far; "still", y not moved. Intervals are 95 %, by resampling walks or pairs of classes.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from zerosum.draws import mix
from zerosum.latent import WAYS, Distance, arithmetic, evenly, l2, path, smoothness, way_for, within
from zerosum.metrics.extractors import extractor
from zerosum.metrics.lpips import lpips
from zerosum.trained import Trained, decode, in_turn, load

__all__ = ["arithmetic_scores", "ink", "interval", "main", "slant", "walk_scores"]

Attribute = Callable[[Tensor], Tensor]
Read = Callable[[Tensor], Tensor]
WITHS = ("three", "one", "random", "aside", "still")


def ink(images: Tensor) -> Tensor:
    """How much of each image [n, 1, H, W] in [−1, 1] is white, in [0, 1]: [n].

    >>> ink(torch.zeros(1, 1, 2, 2))
    tensor([0.5000])
    """
    return ((images + 1) / 2).mean((1, 2, 3))


def slant(images: Tensor) -> Tensor:
    """The slope of the strokes: covariance of column and height over variance of height, [n, 1, H, W] → [n].

    0 is upright, positive leans to the right.

    >>> slant(2 * torch.eye(8).flip(0)[None, None] - 1)
    tensor([1.])
    """
    weights = ((images[:, 0] + 1) / 2).clamp_min(0)
    weights = weights / weights.sum((1, 2), keepdim=True).clamp_min(1e-9)
    height, width = images.shape[2:]
    y, x = torch.meshgrid(-torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    dy, dx = (v - (weights * v).sum((1, 2), keepdim=True) for v in (y, x))
    return (weights * dx * dy).sum((1, 2)) / (weights * dy * dy).sum((1, 2)).clamp_min(1e-9)


ATTRIBUTES: dict[str, Attribute] = {"thick": ink, "slanted": slant}


def interval(values: Tensor, statistic: Callable[[Tensor], Tensor], rounds: int = 2000) -> list[float]:
    """The statistic of values [n], and its 95 % interval over resamples: [value, low, high].

    `statistic` maps [..., n] → [...].

    >>> interval(torch.ones(5), lambda x: x.mean(-1))
    [1.0, 1.0, 1.0]
    """
    draw = torch.Generator().manual_seed(mix("interval"))
    again = statistic(values[torch.randint(len(values), (rounds, len(values)), generator=draw)])
    low, high = again.quantile(torch.tensor([0.025, 0.975], dtype=again.dtype)).tolist()
    return [round(float(value), 4) for value in (statistic(values), low, high)]


def walk_scores(
    trained: Trained,
    distances: dict[str, Distance],
    count: int = 100,
    steps: int = 12,
    seed: int = 0,
    even: Distance | None = None,
) -> dict[str, dict[str, list[float]]]:
    """Of `count` walks between random samples, in each distance: the intervals that the module tells of.

    A conditional generator's walks go through its classes in turn, and so do the pairs. With `even`, images
    are spaced evenly in that distance.
    """
    way = WAYS[way_for(trained.latent)]
    ends = trained.latents(range(2 * count), seed).unflatten(0, (count, 2))
    labels = in_turn(count, range(len(trained.classes))) if trained.classes else None
    told = None if labels is None else labels.repeat_interleave(2)
    others = decode(trained.generator, trained.latents(range(2 * count), mix("pairs", seed)), told)
    apart = {name: float(by(others[::2], others[1::2]).median()) for name, by in distances.items()}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in distances}
    for number, pair in enumerate(ends):
        z = path(pair, steps if even is None else 8 * (steps - 1) + 1, way)
        images = decode(trained.generator, z, None if labels is None else labels[number].expand(len(z)))
        if even is not None:
            images = images[evenly(images, even, steps)]
        for name, distance in distances.items():
            one = smoothness(images, distance, apart[name])
            found[name].append((one.ratio, one.ends / one.apart))
    return {name: _of_walks(*torch.tensor(each).double().unbind(1)) for name, each in found.items()}


def _of_walks(ratios: Tensor, ends: Tensor) -> dict[str, list[float]]:
    return {
        "largest over mean": interval(ratios, lambda x: x.mean(-1)),
        "worst": [float(ratios.max())],
        "at most 3": interval((ratios <= 3).double(), lambda x: x.mean(-1)),
        "ends over random pair": interval(ends, lambda x: x.quantile(0.5, -1)),
    }


def arithmetic_scores(
    trained: Trained,
    read: Read,
    attribute: Attribute,
    *,
    pool: int = 4000,
    each: int = 10,
    confident: float = 0.9,
    seed: int = 0,
) -> dict[str, dict[str, list[float]]]:
    """How often arithmetic keeps the class, has more of the attribute than its median, and both.

    `read` gives the logits of images [n, C, H, W]; `pool` samples are read, and those of which it is
    `confident` are exemplars. Of each ordered pair of classes `each` trials are made. Raises ValueError where
    a class has fewer than 18 exemplars.
    """
    z = trained.latents(range(pool), seed)
    labels = trained.labels(range(pool))
    images = decode(trained.generator, z, labels)
    shares, seen = read(images).softmax(1).max(1)
    classes = seen if labels is None else labels
    amount = attribute(images)
    members = {}
    for label in range(int(classes.max()) + 1):
        of_class = torch.nonzero((classes == label) & (seen == label) & (shares >= confident)).flatten()
        if len(of_class) < 18:
            raise ValueError(f"{len(of_class)} of {pool} samples are read as {label}: give a larger --pool")
        members[label] = of_class[amount[of_class].argsort()]
    draw = torch.Generator().manual_seed(mix("trials", seed))

    def some(among: Tensor, count: int) -> Tensor:
        return z[among[torch.randperm(len(among), generator=draw)[:count]]]

    made: dict[str, list[Tensor]] = {name: [] for name in WITHS}
    wanted = []
    for x, of_x in members.items():
        third = len(of_x) // 3
        for y, of_y in members.items():
            if x == y:
                continue
            few, anything = of_y[: len(of_y) // 3], torch.arange(pool)
            for _ in range(each):
                for name, count in (("three", 3), ("one", 1)):
                    more, less = some(of_x[-third:], count), some(of_x[:third], count)
                    made[name].append(arithmetic([more, some(few, count)], [less]))
                made["random"].append(arithmetic([some(anything, 3), some(anything, 3)], [some(anything, 3)]))
                still = some(few, 3).mean(0)
                made["still"].append(still)
                made["aside"].append(still + arithmetic([some(anything, 3)], [some(anything, 3)]))
                wanted.append(y)
    told = torch.tensor(wanted)
    medians = torch.stack([amount[of].median() for of in members.values()])
    found = {}
    for name, latents in made.items():
        results = decode(
            trained.generator, within(torch.stack(latents), trained.latent), None if labels is None else told
        )
        kept, more = read(results).argmax(1) == told, attribute(results) > medians[told]
        by_pair = {"class": kept, "attribute": more, "both": kept & more}
        found[name] = {
            what: interval(hits.double().unflatten(0, (-1, each)).mean(1), lambda x: x.mean(-1))
            for what, hits in by_pair.items()
        }
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("walks", "arithmetic"))
    parser.add_argument("run", help="a run directory")
    parser.add_argument("--count", type=int, default=100, help="walks")
    parser.add_argument("--steps", type=int, default=12, help="images of a walk")
    parser.add_argument("--even", action="store_true", help="walks evenly spaced by LPIPS")
    parser.add_argument("--lenet", type=Path, help="weights of a LeNet-5 for digits; else in ZEROSUM_DATA")
    parser.add_argument("--pool", type=int, default=4000, help="samples among which exemplars are found")
    parser.add_argument("--each", type=int, default=10, help="trials of each pair of classes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one object a line")
    options = parser.parse_args(arguments)

    def say(case: str, found: dict[str, list[float]]) -> None:
        if options.json:
            print(json.dumps({"case": case, **found}), flush=True)
            return
        for name, (value, *around) in found.items():
            between = f" ({around[0]:.3f} to {around[1]:.3f})" if around else ""
            print(f"{case:<20}{name:<24}{value:.3f}{between}", flush=True)

    trained = load(options.run)
    if options.what == "walks":
        judge = lpips()
        even = (lambda x, y: judge(x, y).clamp_min(0).sqrt()) if options.even else None
        by = {"lpips": judge, "l2": l2}
        scores = walk_scores(trained, by, options.count, options.steps, options.seed, even)
        for name, found in scores.items():
            say(name, found)
        return
    lenet = extractor(f"lenet:weights={options.lenet}" if options.lenet else "lenet")
    for name, attribute in ATTRIBUTES.items():
        judged = arithmetic_scores(
            trained, lenet.logits, attribute, pool=options.pool, each=options.each, seed=options.seed
        )
        for how, found in judged.items():
            say(f"{name}, {how}", found)


if __name__ == "__main__":
    main()
