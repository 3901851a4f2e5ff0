"""Linear probes: how much of the classes a net's features hold for a classifier that can only weigh them.

Radford, Metz & Chintala 2015 (section 5.1) read a trained critic so: the maps of all its layers, max-pooled
to 4×4, flattened and joined, under a regularised linear classifier.
"""

import inspect
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["STRENGTHS", "Linear", "Probed", "balanced", "difference", "fit", "interval", "layers", "probe"]

STRENGTHS = tuple(10.0**power for power in range(2, -6, -1))  # of L2, from simple to free
_AT_ONCE = 256
_GRID = 4


class Linear(NamedTuple):
    """A linear classifier of features [N, D]: logits (x − shift)/scale · weight + bias, [N, K]."""

    shift: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor

    def logits(self, x: Tensor) -> Tensor:
        """Of features [N, D]: [N, K]."""
        return (x - self.shift) / self.scale @ self.weight + self.bias

    def classes(self, x: Tensor) -> Tensor:
        """The likeliest class of each, int64 [N]."""
        return self.logits(x).argmax(1)


class Probed(NamedTuple):
    """Which test samples were told right, bool [M], under which strength of L2, from how many features."""

    right: Tensor
    l2: float
    size: int


def fit(x: Tensor, labels: Tensor, classes: int, strengths: Sequence[float]) -> list[Linear]:
    """Multinomial logistic regressions of features [N, D] on labels int64 [N], one for each strength of L2.

    Each minimises the mean cross-entropy + l2/2 ‖W‖² of features that are centred and then divided by one
    number, the root of their mean variance, so that l2 means the same for any features; the bias is free.
    scikit-learn's C is 1/(N l2).

    >>> x = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    >>> fit(x, torch.tensor([0, 0, 1, 1]), 2, [0.01])[0].classes(x)
    tensor([0, 0, 1, 1])
    """
    shift = x.mean(0)
    x = x - shift
    scale = x.square().mean().sqrt().clamp_min(torch.finfo(x.dtype).tiny)
    x = x / scale
    # The optimum lies in the span of the samples. Along principal axes the cost is nearly a sum over them,
    # of curvatures about `variances`/K + l2: divided by their roots, a few dozen steps are enough.
    span = torch.linalg.qr(x.T).Q if x.shape[1] > len(x) else None
    x = x if span is None else x @ span
    variances, axes = torch.linalg.eigh(x.T @ x / len(x))
    x, weight, bias = x @ axes, x.new_zeros(len(axes), classes), x.new_zeros(classes)
    axes, found = axes if span is None else span @ axes, []
    for l2 in strengths:
        pace = (variances.clamp_min(0) / classes + l2).rsqrt()[:, None]
        weight = _least_cost(x * pace.T, labels, weight / pace, bias, l2 * pace.square()) * pace
        found.append(Linear(shift, scale, axes @ weight, bias.clone()))
    return found


def _least_cost(x: Tensor, labels: Tensor, weight: Tensor, bias: Tensor, l2: Tensor) -> Tensor:
    """The weight [D, K] of least cost, by L-BFGS from the one given; `bias` [K] is moved in place."""
    given = [weight.requires_grad_(), bias.requires_grad_()]
    search = torch.optim.LBFGS(given, max_iter=500, history_size=20, line_search_fn="strong_wolfe")

    def cost() -> Tensor:
        with torch.enable_grad():
            loss = F.cross_entropy(x @ weight + bias, labels) + (l2 * weight.square()).sum() / 2
            weight.grad, bias.grad = torch.autograd.grad(loss, given)
        return loss.detach()

    search.step(cost)
    bias.requires_grad_(False)
    return weight.detach()


def probe(
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    classes: int,
    *,
    validation: Tensor,
    strengths: Sequence[float] = STRENGTHS,
) -> Probed:
    """Train on (features [N, D], labels [N]) and test on others.

    The strength of L2 is the one of least cross-entropy on the `validation` samples, bool [N], when trained
    on the rest, which hangs less on single samples than the share told right; then all N are trained on.

    >>> labels = torch.arange(90) % 3
    >>> x = F.one_hot(labels, 3) + 0.1 * torch.randn(90, 3)
    >>> found = probe((x[:60], labels[:60]), (x[60:], labels[60:]), 3, validation=torch.arange(60) >= 45)
    >>> int(found.right.sum())
    30

    Raises ValueError where no sample, or every one, is for validation.
    """
    x, labels = train
    if validation.all() or not validation.any():
        raise ValueError("some samples must be trained on, and some kept to choose the strength of L2 by")
    ordered = sorted(strengths, reverse=True)
    tried = fit(x[~validation], labels[~validation], classes, ordered)
    costs = [float(F.cross_entropy(each.logits(x[validation]), labels[validation])) for each in tried]
    best = ordered[costs.index(min(costs))]
    (found,) = fit(x, labels, classes, [best])
    return Probed(found.classes(test[0]) == test[1], best, x.shape[1])


def interval(right: Tensor) -> tuple[float, float]:
    """Wilson's 95 % interval (1927) of the share of true ones among bool [M].

    >>> [round(end, 3) for end in interval(torch.arange(100) < 90)]
    [0.826, 0.945]
    """
    from scipy.stats import binomtest  # type: ignore[import-untyped]

    low, high = binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
    return float(low), float(high)


def difference(one: Tensor, other: Tensor) -> float:
    """McNemar's exact p-value (1947) that two classifiers are right equally often, bool [M] on one test set.

    Only the samples on which one alone is right speak: as many for either, up to chance.

    >>> difference(torch.ones(20, dtype=torch.bool), torch.arange(20) < 14)
    0.03125
    """
    from scipy.stats import binomtest

    wins, losses = int((one & ~other).sum()), int((other & ~one).sum())
    return float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def balanced(labels: Tensor, count: int, draw: torch.Generator) -> Tensor:
    """Places of `count` samples chosen at random, as many of each class as there are, int64 [count].

    >>> labels = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1])
    >>> labels[balanced(labels, 4, torch.Generator())].bincount()
    tensor([2, 2])
    """
    order = torch.randperm(len(labels), generator=draw)
    rank = torch.empty_like(order)
    for label in labels.unique():
        own = order[labels[order] == label]
        rank[own] = torch.arange(len(own))
    chosen = order[rank[order].argsort(stable=True)][:count]
    return chosen[torch.randperm(len(chosen), generator=draw)]


@torch.inference_mode()
def layers(net: nn.Module, images: Tensor) -> Tensor:
    """All that a net makes of images [B, C, H, W] on the way: [B, D], float32, in evaluation mode.

    What goes into each convolution and linear map, but for the image itself: so after normalisation and
    activation. Maps are max-pooled to 4×4 where they are larger, and flattened. A net that takes labels
    is told class 0 for all, so that they cannot be read off its features. A net with a layer that sees
    the batch as a whole is shown one image at a time.

    >>> net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.Conv2d(6, 5, 3), nn.Flatten(), nn.Linear(720, 1))
    >>> layers(net, torch.zeros(3, 1, 16, 16)).shape  # 6 maps to 4×4, and 720 numbers
    torch.Size([3, 816])

    Raises ValueError for a net of fewer than two such layers.
    """
    seen: dict[int, Tensor] = {}  # one tensor may enter several layers

    def enters(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        seen.setdefault(id(given[0]), given[0])

    def made(part: Tensor) -> Tensor:
        seen.clear()
        net(part, *([torch.zeros(len(part), dtype=torch.int64, device=part.device)] if told else []))
        _, *inner = seen.values()  # the first is the image
        if not inner:
            raise ValueError("a net of one layer has no features of its own to probe")
        return torch.cat([_pooled(h[-len(part) :]) for h in inner if h.shape[1] != part.shape[1]], 1)

    told = "labels" in inspect.signature(net.forward).parameters
    alone = any(getattr(module, "mixes_batch", False) for module in net.modules())
    hooks = [
        module.register_forward_pre_hook(enters)
        for module in net.modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    was_training = net.training
    try:
        net.eval()
        return torch.cat([made(part) for part in images.split(1 if alone else _AT_ONCE)])
    finally:
        net.train(was_training)
        for hook in hooks:
            hook.remove()


def _pooled(h: Tensor) -> Tensor:
    if h.dim() == 4:
        h = F.adaptive_max_pool2d(h, (min(_GRID, h.shape[2]), min(_GRID, h.shape[3])))
    return h.flatten(1).float()
