"""Does a generator copy its training set, and does it repeat itself?

Distances are over pixels, to the nearest of every training image moved by up to `moves` pixels each way and
mirrored: a distance over pixels alone takes a copy that was moved for new. Borders of `moves` pixels are left
out, where a moved image knows nothing. What counts is the distance to the nearest training image beside that
to the next ones: a blurred sample is nearer to everything, a copy to one image alone (after Carlini et al.
2023, section 4).
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from zerosum.objectives import widened

__all__ = ["Nearest", "Originality", "birthday_support", "duplicates", "nearest", "originality", "shrunk"]

_SCORES = 2**24  # products held at once
_LOWEST = 0.05  # share of the pooled scores whose owners are counted


class Nearest(NamedTuple):
    """Of each of n samples: the k least distances [n, k], ascending, and whose they are [n, k]."""

    distances: Tensor
    indices: Tensor


class Originality(NamedTuple):
    """`p_value`: the chance of as many suspiciously near samples if none were copied.

    `suspects` are the samples nearer to one training image than all held-out ones are; `ratio` is the
    mean distance to the nearest training image over that of held-out images, 1 for an honest generator,
    below for a copier and for a blurred one.
    """

    p_value: float
    suspects: Tensor
    nearest: Tensor
    ratio: float


def _views(images: Tensor, moves: int, mirror: bool) -> list[Tensor]:
    """The images' inner part moved each way, [n, D] each; the one not moved comes first."""
    height, width = images.shape[2:]
    steps = sorted(
        ((i, j) for i in range(-moves, moves + 1) for j in range(-moves, moves + 1)),
        key=lambda s: s != (0, 0),
    )
    inner = (height - 2 * moves, width - 2 * moves)
    return [
        one[:, :, moves + i : moves + i + inner[0], moves + j : moves + j + inner[1]].flatten(1)
        for one in ((images, images.flip(3)) if mirror else (images,))
        for i, j in steps
    ]


def nearest(images: Tensor, train: Tensor, k: int = 1, *, moves: int = 2, mirror: bool = True) -> Nearest:
    """The k training images [N, C, H, W] nearest to each image [n, C, H, W], however moved or mirrored.

    Distances are Euclidean over the inner pixels, made in blocks: memory does not grow with n·N.

    >>> train = torch.eye(8).reshape(8, 1, 1, 8).repeat(1, 1, 8, 1)
    >>> found = nearest(train[3:4].roll(1, 3), train, moves=2)
    >>> found.distances.item()
    0.0

    Raises ValueError for images of different shapes, for fewer than k training images, and where moves
    leave no pixels.
    """
    if images.dim() != 4 or images.shape[1:] != train.shape[1:]:
        raise ValueError(
            f"images {list(images.shape)} and training images {list(train.shape)} differ in shape"
        )
    if not 1 <= k <= len(train):
        raise ValueError(f"{k} nearest of {len(train)} training images: give more, or a smaller k")
    if moves < 0 or min(images.shape[2:]) <= 2 * moves:
        raise ValueError(f"moves of {moves} pixels leave nothing of images of {list(images.shape[2:])}")
    views = torch.stack(_views(widened(images), moves, mirror))  # [V, n, D]
    (inner,) = _views(widened(train), moves, False)[:1]
    centre = inner.mean(0)
    views, inner = views - centre, inner - centre
    norms = inner.square().sum(1, keepdim=True)
    # ‖v−t‖² = −2v·t + 1·‖t‖² + ‖v‖²·1, all of it one product.
    parts = [-2 * views, torch.ones_like(views[:, :, :1]), views.square().sum(2, keepdim=True)]
    rows = torch.cat(parts, 2).flatten(0, 1)
    best = views.new_full((len(images), k), torch.inf)
    whose = torch.zeros(len(images), k, dtype=torch.int64, device=images.device)
    step = max(1, _SCORES // max(1, views.shape[0] * len(images)))
    for start in range(0, len(inner), step):
        block = inner[start : start + step]
        scores = rows @ torch.cat([block, norms[start : start + step], torch.ones_like(block[:, :1])], 1).T
        least = scores.unflatten(0, views.shape[:2]).amin(0)
        few = least.topk(min(k, least.shape[1]), dim=1, largest=False)
        best, places = torch.cat([best, few.values], 1).topk(k, dim=1, largest=False)
        whose = torch.cat([whose, few.indices + start], 1).gather(1, places)
    # By differences where it counts: a copy's distance is 0, of which products leave 1e-3.
    exact = (views[:, :, None] - inner[whose][None]).square().sum(3).amin(0)
    distances, order = exact.sqrt().sort(1)
    return Nearest(distances, whose.gather(1, order))


def shrunk(images: Tensor, side: int = 32) -> Tensor:
    """Images [N, C, H, W] averaged down by a whole factor to `side` pixels or a little more.

    >>> shrunk(torch.zeros(1, 1, 100, 70)).shape
    torch.Size([1, 1, 50, 35])
    """
    factor = max(1, min(images.shape[2:]) // side)
    return F.avg_pool2d(widened(images), factor) if factor > 1 else widened(images)


def originality(
    generated: Tensor, train: Tensor, held: Tensor, *, k: int = 10, moves: int = 2, mirror: bool = True
) -> Originality:
    """Test whether samples [n, C, H, W] copy training images [N, C, H, W], beside held-out ones [m, C, H, W].

    Each image's score is its distance to the nearest training image over the mean distance to the next
    k. If no sample is a copy, samples and held-out images are alike in this, and of the lowest 5 % (at
    least 20) of the pooled scores a number that follows the hypergeometric law are samples; `p_value` is
    its upper tail. Below .01 a generator is accused, which befalls an honest one once in a hundred times,
    or less often where samples are less like any one training image than real ones are. Images of more
    than 63 pixels a side are averaged down to at least 32 first.

    >>> draw = torch.Generator().manual_seed(0)
    >>> images = torch.rand(300, 1, 12, 12, generator=draw)
    >>> copies = torch.cat([images[:20].flip(3), torch.rand(80, 1, 12, 12, generator=draw)])
    >>> originality(copies, images[:200], images[200:], moves=1).p_value < 1e-3
    True

    Raises ValueError as `nearest` does, for fewer than 20 samples or held-out images, and for fewer
    than k + 1 training images.
    """
    if min(len(generated), len(held)) < 20:
        raise ValueError(
            f"a test for copies needs at least 20 samples and 20 held-out images, not {len(generated)} and "
            f"{len(held)}"
        )
    small = [shrunk(images) for images in (generated, held)]
    reference = shrunk(train)
    found = [nearest(images, reference, k + 1, moves=moves, mirror=mirror) for images in small]
    ours, theirs = ((d[:, 0] / d[:, 1:].mean(1).clamp_min(1e-12)).double() for d, _ in found)
    scores = torch.cat([ours, theirs])
    low = max(round(_LOWEST * len(scores)), min(20, len(scores) // 4))
    mine = int((scores.argsort(stable=True)[:low] < len(ours)).sum())
    ratio = found[0].distances[:, 0].mean() / found[1].distances[:, 0].mean()
    return Originality(
        _tail(len(ours), len(theirs), low, mine),
        torch.nonzero(ours < theirs.min()).flatten(),
        found[0].indices[:, 0],
        float(ratio),
    )


def _tail(ours: int, theirs: int, drawn: int, mine: int) -> float:
    """P(at least `mine` of `drawn` are ours), drawn without replacement from ours and theirs."""

    def log_choose(n: int, k: int) -> float:
        return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)

    whole = log_choose(ours + theirs, drawn)
    counts = range(max(mine, drawn - theirs), min(drawn, ours) + 1)
    return min(
        1.0, sum(math.exp(log_choose(ours, i) + log_choose(theirs, drawn - i) - whole) for i in counts)
    )


def duplicates(images: Tensor, near: float) -> Tensor:
    """Pairs [P, 2] of images [n, …] whose Euclidean distance is below `near`, the smaller index first.

    >>> duplicates(torch.tensor([[0.0], [5.0], [0.1]]), near=1.0)
    tensor([[0, 2]])
    """
    flat = widened(images.flatten(1))
    pairs = []
    for start in range(0, len(flat), 256):
        close = torch.cdist(flat[start : start + 256], flat) < near
        rows, columns = torch.nonzero(close, as_tuple=True)
        keep = columns > rows + start
        pairs.append(torch.stack([rows[keep] + start, columns[keep]], 1))
    return torch.cat(pairs)


def birthday_support(count: int, repeats: int, confidence: float = 0.95) -> tuple[float, float]:
    """Between which numbers of equally likely images a generator's support lies, by the birthday test.

    Of `count` samples the number of pairs that repeat is about Poisson with mean count(count−1)/(2S), S
    the support (Arora & Zhang 2017); the interval for S is by the exact one for that mean (Garwood
    1936). With no repeats there is no upper bound. Unequal chances make more repeats, so S is a lower
    bound of the number of images that can appear.

    >>> low, high = birthday_support(100, repeats=5)
    >>> round(low), round(high)
    (424, 3049)
    >>> birthday_support(100, repeats=0)[1]
    inf

    Raises ValueError for fewer than two samples and for a confidence outside (0, 1).
    """
    if count < 2 or repeats < 0 or not 0 < confidence < 1:
        raise ValueError(
            f"the birthday test needs 2 samples and a confidence in (0, 1), not {count}, {confidence}"
        )
    from scipy.stats import chi2  # type: ignore[import-untyped]

    pairs, rest = count * (count - 1) / 2, (1 - confidence) / 2
    most = chi2.ppf(1 - rest, 2 * repeats + 2) / 2
    least = chi2.ppf(rest, 2 * repeats) / 2 if repeats else 0.0
    return float(pairs / most), float(pairs / least) if least else math.inf
