"""Does a generator copy its training set, does it repeat itself: nearest neighbours and the birthday test."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerosum.lab.experiment import Experiment, Result, Settings
from zerosum.lab.style import CRITIC, CYCLE, FAKE, GREY, INK, REAL

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "MEMORISATION",
    "Sampler",
    "collision_chance",
    "first_repeats",
    "gaussian_per_class",
    "nearest",
    "support_from",
    "variants",
]

Sampler = Callable[[int, torch.Generator], Tensor]  # how many, at random → images [n, h, w] in [−1, 1]
TRAIN, COLLAPSED, DIRECTIONS = 2000, 50, 50


def variants(images: Tensor) -> Tensor:
    """Images moved by up to a pixel each way, and mirrored: [n, h, w] → [18, n, h, w], themselves first."""
    steps = sorted(((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)), key=lambda step: step != (0, 0))
    return torch.stack([image.roll(step, (1, 2)) for image in (images, images.flip(2)) for step in steps])


def nearest(images: Tensor, train: Tensor) -> tuple[Tensor, Tensor]:
    """The Euclidean distance over pixels to the nearest training image, and which it is: [n] each."""
    found = torch.cdist(images.flatten(1), train.flatten(1)).min(1)
    return found.values, found.indices


def nearest_variant(images: Tensor, train: Tensor) -> Tensor:
    """The same for the nearest of each image's `variants`, [n]: not misled by a move or a mirror."""
    each: Tensor = torch.stack([nearest(one, train)[0] for one in variants(images)])
    return each.amin(0)


def gaussian_per_class(images: Tensor, labels: Tensor, directions: int = DIRECTIONS) -> Sampler:
    """A generator that learns: for each class a normal law along its first principal directions.

    Its samples are new mixtures of what the class's images vary in, cut to [−1, 1].
    """
    flat, laws = images.flatten(1), []
    for label in labels.unique().tolist():
        own = flat[labels == label]
        _, scale, axes = torch.linalg.svd(own - own.mean(0), full_matrices=False)
        laws.append((own.mean(0), scale[:directions, None] * axes[:directions] / len(own) ** 0.5))

    def sample(count: int, random: torch.Generator) -> Tensor:
        which = torch.randint(len(laws), (count,), generator=random)
        noise = torch.randn(count, directions, generator=random)
        out = torch.empty(count, flat.shape[1])
        for k, (mean, spread) in enumerate(laws):
            out[which == k] = mean + noise[which == k] @ spread
        return out.clamp(-1, 1).reshape(count, *images.shape[1:])

    return sample


def repeating(images: Tensor, noise: float = 0.0) -> Sampler:
    """A generator that shows these images, equally often, with noise of standard deviation `noise`."""

    def sample(count: int, random: torch.Generator) -> Tensor:
        chosen = images[torch.randint(len(images), (count,), generator=random)]
        return chosen + noise * torch.randn(chosen.shape, generator=random)

    return sample


def first_repeats(sampler: Sampler, near: float, most: int, tries: int, random: torch.Generator) -> Tensor:
    """How many samples it took until one was `near` an earlier one, [tries]; most + 1 if none was."""
    found = []
    for _ in range(tries):
        flat = sampler(most, random).flatten(1)
        close = (torch.cdist(flat, flat) < near).tril(-1).any(1)
        found.append(int(close.int().argmax()) + 1 if close.any() else most + 1)
    return torch.tensor(found)


def collision_chance(support: int, samples: Tensor) -> Tensor:
    """P(two of s samples are equal) for `support` equally likely values, exact: 1 − Π (1 − i/support).

    >>> round(collision_chance(365, torch.tensor([23])).item(), 4)
    0.5073
    """
    terms = (1 - torch.arange(support + 1, dtype=torch.float64) / support).log()
    log_none = torch.cat([torch.zeros(1, dtype=torch.float64), terms.cumsum(0)])
    return 1 - log_none[samples.clamp_max(support + 1)].exp()


def support_from(samples: float) -> float:
    """s²/(2 ln 2): the support at which s samples hold a repeat with probability ½ (Arora & Zhang 2017).

    >>> round(support_from(23))
    382
    """
    return samples**2 / (2 * math.log(2))


def _digits(random: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Training digits [2000, 28, 28], their labels, and held-out ones [3000, 28, 28], in [−1, 1]."""
    from zerosum.data import open_data

    digits = open_data("digits")
    assert digits.labels is not None
    order = torch.randperm(len(digits), generator=random)
    images = digits.format.decode(torch.from_numpy(digits.samples[order.numpy()]))[:, 0].contiguous()
    labels = torch.from_numpy(digits.labels)[order]
    return images[:TRAIN], labels[:TRAIN], images[TRAIN:]


def _run(settings: Settings) -> Result:
    random = settings.generator("memorisation")
    train, labels, held = _digits(random)
    honest = gaussian_per_class(train, labels)
    samplers: Mapping[str, Sampler] = {
        "memoriser": repeating(train),
        "memoriser, moved a pixel": repeating(train.roll((1, 1), (1, 2))),
        "memoriser, mirrored": repeating(train.flip(2)),
        "honest": honest,
        "collapsed": repeating(honest(COLLAPSED, random), noise=0.05),
    }
    count, most, tries = (60, 120, 150) if settings.quick else (250, 160, 800)
    usual = nearest(held[:count], train)[0].mean(), nearest_variant(held[:count], train).mean()
    shown, plain, tolerant = {}, {}, {}
    for k, (name, sampler) in enumerate(samplers.items()):
        images = sampler(count, random)
        distance, which = nearest(images, train)
        shown[name] = torch.stack([images[:5], train[which[:5]]], 1)
        plain[name] = (distance.mean() / usual[0]).item()
        tolerant[name] = (nearest_variant(images, train).mean() / usual[1]).item()
        settings.advance(0.1 * (k + 1))
    # Real digits are never nearer each other than this: what is nearer is a repeat.
    apart = torch.cdist(held.flatten(1), held.flatten(1)).fill_diagonal_(torch.inf).min().item()
    sizes = torch.arange(2, most + 1)
    repeats, medians = {}, {}
    for name in ("collapsed", "memoriser", "honest"):
        first = first_repeats(samplers[name], apart, most, tries, random)
        repeats[name] = (first[:, None] <= sizes).double().mean(0)
        half = (repeats[name] >= 0.5).nonzero()
        medians[name] = int(sizes[half[0, 0]]) if len(half) else None
        settings.advance(min(1.0, 0.5 + 0.17 * (len(repeats))))
    numbers: dict[str, Any] = {
        "images": {"training": len(train), "held out": len(held), "of each generator": count},
        "generated to training, over held-out to training": plain,
        "the same, moves and mirrors allowed": tolerant,
        "nearest two held-out digits": apart,
        "samples for a repeat, even chance": medians,
        "support, s²/(2 ln 2)": {
            name: None if half is None else support_from(half) for name, half in medians.items()
        },
        "samples": sizes.tolist(),
        f"share of {tries} tries with a repeat": {name: share.tolist() for name, share in repeats.items()},
    }
    return Result(
        numbers, lambda figure: _draw(figure, shown, plain, tolerant, sizes, repeats), _says(numbers, most)
    )


def _says(numbers: dict[str, Any], most: int) -> str:
    plain, tolerant = list(numbers.values())[1:3]
    half, support = numbers["samples for a repeat, even chance"], numbers["support, s²/(2 ln 2)"]
    moved, mirrored = "memoriser, moved a pixel", "memoriser, mirrored"
    return (
        f"Generators made to be caught, on {TRAIN} real digits: one that repeats its training set, the same "
        "moved by a pixel or mirrored, an honest one (a normal law for each digit, fitted to the training "
        f"digits), and a collapsed one, which knows only {COLLAPSED} of the honest one's images. Left, "
        "samples, and beside each its nearest training image: the panel with which papers say “new samples, "
        "not memorised”. Middle, the mean distance to the nearest training image, over that of held-out "
        f"digits: {plain['memoriser']:.2f} gives the memoriser away, and the honest one has "
        f"{plain['honest']:.2f}. But a distance over pixels takes a copy that moved one pixel for new "
        f"({plain[moved]:.2f}), and a mirrored one too ({plain[mirrored]:.2f}); with moves and mirrors "
        f"allowed they come out at {tolerant[moved]:.2f} and {tolerant[mirrored]:.2f}. It says nothing of "
        f"collapse ({plain['collapsed']:.2f}). Right, the birthday test does: if s samples hold a repeat "
        "with an even chance, the generator has about s²/(2 ln 2) images. The collapsed one does at s = "
        f"{half['collapsed']}, so about {support['collapsed']:.0f} ({COLLAPSED} in truth); the memoriser at "
        f"{half['memoriser']}, about {support['memoriser']:.0f} ({TRAIN} in truth); "
        + (
            f"the honest one not within {most}, so more than {support_from(most):.0f}."
            if half["honest"] is None
            else f"the honest one at {half['honest']}."
        )
        + " Lines are the exact chances; a repeat is what is nearer than any two held-out digits are."
    )


def _draw(
    figure: "Figure",
    shown: dict[str, Tensor],
    plain: dict[str, float],
    tolerant: dict[str, float],
    sizes: Tensor,
    repeats: dict[str, Tensor],
) -> None:
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.7, 1, 1))
    rows = []
    for pairs in shown.values():  # [5, 2, 28, 28]: each sample beside its neighbour, a gap after both
        rows.append(torch.cat([torch.cat([*pair, torch.ones(28, 6)], 1) for pair in pairs], 1))
        rows.append(torch.ones(6, rows[0].shape[1]))
    left.imshow(torch.cat(rows[:-1]).numpy(), cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    left.set_yticks([14 + 34 * k for k in range(len(shown))], [name.replace(", ", ",\n") for name in shown])
    left.set_xticks([])
    left.grid(False)
    left.spines[:].set_visible(False)
    left.tick_params(length=0)
    left.set_title("Samples, each with its nearest training image")
    place = torch.arange(len(plain))
    for ratios, shift, colour, label in (
        (plain, -0.18, FAKE, "over pixels"),
        (tolerant, 0.18, REAL, "moves and mirrors allowed"),
    ):
        bars = middle.barh(place + shift, list(ratios.values()), 0.34, color=colour, label=label)
        middle.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
    middle.axvline(1, color=INK, linewidth=1)
    middle.set_yticks(place.tolist(), [name.replace(", ", ",\n") for name in plain])
    middle.set_ylim(len(plain) + 0.5, -0.6)
    middle.set(title="Distance to training images", xlabel="over that of held-out digits", xlim=(0, 1.75))
    middle.legend(loc="lower right")
    looks = {"collapsed": (CYCLE[3], COLLAPSED), "memoriser": (FAKE, TRAIN), "honest": (CRITIC, None)}
    for name, (colour, support) in looks.items():
        right.plot(sizes[::4], repeats[name][::4], ".", color=colour, label=name)
        if support:
            right.plot(sizes, collision_chance(support, sizes), color=colour, linewidth=1.2)
    right.axhline(0.5, color=GREY, linewidth=0.8, linestyle="--")
    right.set(title="The birthday test", xlabel="samples s", ylabel="chance of a repeat", ylim=(-0.03, 1.05))
    right.legend(loc="center right", bbox_to_anchor=(1, 0.3))


MEMORISATION = Experiment(
    name="memorisation",
    number=18,
    title="Memorisation, collapse and honesty: nearest neighbours and the birthday test",
    lectures=("lecture 1, line 135", "lecture 2, line 64"),
    slip="",
    run=_run,
    figsize=(11.5, 4.4),
)
