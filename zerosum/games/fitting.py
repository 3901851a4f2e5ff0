"""Which parts of a two-player game fit together: what cannot work is refused before training."""

from collections import Counter
from collections.abc import Iterable, Sequence

from torch import nn

from zerosum.corruptions import Corruption
from zerosum.objectives import Objective
from zerosum.penalties import Penalty

__all__ = [
    "has_batch_norm",
    "mixes_batch",
    "refuse_batch_norm",
    "refuse_sigmoid",
    "refuse_twice",
    "refuse_unsigned",
]

_BATCH_NORM = nn.modules.batchnorm._BatchNorm
_SHAPES = (nn.Flatten, nn.Unflatten, nn.Identity)


def has_batch_norm(module: nn.Module) -> bool:
    """Whether there is batch norm in a net.

    >>> has_batch_norm(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    True
    """
    return any(isinstance(child, _BATCH_NORM) for child in module.modules())


def mixes_batch(module: nn.Module) -> bool:
    """Whether a sample's output depends on its neighbours in the batch.

    Batch norm makes it so, and any layer with a true attribute `mixes_batch`.

    >>> from zerosum.nets.minibatch import MinibatchStd
    >>> mixes_batch(nn.Sequential(nn.Linear(2, 2), MinibatchStd()))
    True
    """
    return has_batch_norm(module) or any(getattr(child, "mixes_batch", False) for child in module.modules())


def refuse_batch_norm(critic: nn.Module, penalties: Sequence[Penalty]) -> None:
    """Raise ValueError for a penalty that needs each sample judged alone, on a critic with batch norm.

    Minibatch layers may stay: ProGAN's authors penalise a critic that has one.
    """
    alone = [penalty.name for penalty in penalties if penalty.per_sample]
    if alone and has_batch_norm(critic):
        raise ValueError(
            f"penalty {alone[0]} needs a critic that judges each sample alone, and this one has "
            "batch norm: choose --critic-norm layer or none"
        )


def refuse_sigmoid(critic: nn.Module) -> None:
    """Raise ValueError for a critic whose last layer is a sigmoid.

    >>> refuse_sigmoid(nn.Sequential(nn.Linear(2, 1), nn.Sigmoid()))
    Traceback (most recent call last):
    ValueError: the critic ends in a Sigmoid, and must give logits: ...
    """
    leaves = [m for m in critic.modules() if not isinstance(m, _SHAPES) and not any(m.children())]
    if leaves and isinstance(leaves[-1], nn.Sigmoid | nn.LogSigmoid):
        raise ValueError(
            f"the critic ends in a {type(leaves[-1]).__name__}, and must give logits: remove that layer. "
            "The objectives that have a sigmoid bring it; Wasserstein, hinge and least squares have none"
        )


def refuse_unsigned(objective: Objective, corruptions: Iterable[Corruption]) -> None:
    """Raise ValueError for a corruption that adapts to the logits' sign where the sign says nothing."""
    if not objective.signed and any(corruption.adaptive for corruption in corruptions):
        raise ValueError(
            "--corruption ada counts the signs of D(real), and with this objective a sign says nothing: "
            "choose non-saturating, hinge or least-squares:a=-1,b=1,c=0, or --corruption augment"
        )


def refuse_twice(names: Iterable[str]) -> None:
    """Raise ValueError where two terms have the same name: one would hide the other.

    >>> refuse_twice(["r1", "r2"])
    """
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{twice[0]} is given twice, as --penalty or --regulariser: give it once")
