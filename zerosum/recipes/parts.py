"""The parts that may be named in a setting, and how optimisers and schedules are made."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, Optimizer, RMSprop

from zerosum import (
    ada,
    annealing,
    constraints,
    corruptions,
    divergences,
    objectives,
    penalties,
    regularisers,
    relativistic,
)
from zerosum.constraints import Constraint
from zerosum.corruptions import Corruption
from zerosum.draws import Draws
from zerosum.games.game import Clock
from zerosum.games.likelihood import Likelihood, bernoulli, gaussian
from zerosum.holes import HOLES, Hole
from zerosum.kspace import SAMPLINGS, Sampling
from zerosum.names import build_part
from zerosum.nets.minibatch import BATCH_LAYERS
from zerosum.objectives import Objective
from zerosum.penalties import Penalty
from zerosum.regularisers import Regulariser
from zerosum.training.loop import Schedule

__all__ = [
    "CONSTRAINTS",
    "CORRUPTIONS",
    "LIKELIHOODS",
    "OBJECTIVES",
    "OPTIMISERS",
    "PARTS",
    "PENALTIES",
    "REGULARISERS",
    "SCHEDULES",
    "constraint_of",
    "corruptions_of",
    "holes_of",
    "likelihood_of",
    "objective_of",
    "optimiser_of",
    "penalties_of",
    "regularisers_of",
    "sampling_of",
    "schedule_of",
]

OBJECTIVES: Mapping[str, Callable[..., Objective]] = {
    "minimax": objectives.minimax,
    "non-saturating": objectives.non_saturating,
    "least-squares": objectives.least_squares,
    "hinge": objectives.hinge,
    "wasserstein": objectives.wasserstein,
    "maximum-likelihood": objectives.maximum_likelihood,
    "weighted": objectives.weighted,
    "relativistic": relativistic.relativistic,
    "relativistic-average": relativistic.relativistic_average,
    "f": divergences.f,
}
PENALTIES: Mapping[str, Callable[..., Penalty]] = {
    "wgan-gp": penalties.wgan_gp,
    "dragan": penalties.dragan,
    "r1": penalties.r1,
    "r2": penalties.r2,
    "zero-centred": penalties.zero_centred,
    "drift": penalties.drift,
    "consistency": penalties.consistency,
}
CONSTRAINTS: Mapping[str, Callable[..., Constraint]] = {
    "spectral-norm": constraints.spectral_norm,
    "clip": constraints.clip,
}
CORRUPTIONS: Mapping[str, Callable[..., Corruption]] = {
    "instance-noise": corruptions.instance_noise,
    "augment": corruptions.augment,
    "ada": ada.ada,
    "ada-ramp": ada.ada_ramp,
}
REGULARISERS: Mapping[str, Callable[..., Regulariser]] = {
    "orthogonal": regularisers.orthogonal,
    "historical-averaging": regularisers.historical_averaging,
}

LIKELIHOODS: Mapping[str, Callable[..., Likelihood]] = {"bernoulli": bernoulli, "gaussian": gaussian}

Parameters = Iterable[nn.Parameter]
MakeOptimiser = Callable[[Parameters, float], Optimizer]


def adam(beta1: float = 0.5, beta2: float = 0.999, eps: float = 1e-8) -> MakeOptimiser:
    """Adam (Kingma & Ba 2015), fused: one kernel for all parameters."""
    return lambda parameters, lr: Adam(parameters, lr, (beta1, beta2), eps, fused=True)


def rmsprop(alpha: float = 0.99, eps: float = 1e-8) -> MakeOptimiser:
    """RMSProp (Tieleman & Hinton 2012), as WGAN with clipping uses it."""
    return lambda parameters, lr: RMSprop(parameters, lr, alpha, eps)


def sgd(momentum: float = 0.5) -> MakeOptimiser:
    """Stochastic gradient descent with momentum."""
    return lambda parameters, lr: SGD(parameters, lr, momentum, fused=True)


OPTIMISERS: Mapping[str, Callable[..., MakeOptimiser]] = {"adam": adam, "rmsprop": rmsprop, "sgd": sgd}

Settings = Mapping[str, float | tuple[float, float]]
Law = Callable[[Clock, float], Settings]


def linear(start: int, stop: int, to: float = 0.0) -> Law:
    """The learning rate, constant up to `start` images, then falling in a line to `to`·lr at `stop`."""
    if not 0 <= start < stop:
        raise ValueError(f"schedule linear: 0 ≤ start < stop must hold, not start={start}, stop={stop}")
    if not 0 <= to <= 1:
        raise ValueError(f"schedule linear: `to` is a share of lr, 0 to 1, not {to}")

    def law(clock: Clock, lr: float) -> Settings:
        left = min(1.0, max(0.0, (stop - clock.images) / (stop - start)))
        return {"lr": lr * (to + (1 - to) * left)}

    return law


def decay(factor: float = 1.000004, floor: float = 1e-6) -> Law:
    """The learning rate divided by `factor` at each step, down to `floor`."""
    return lambda clock, lr: {"lr": max(floor, lr * factor**-clock.step)}


def momentum(start: float = 0.5, stop: float = 0.7, images: int = 12_500_000) -> Law:
    """Momentum rising in a line from `start` to `stop` over `images`."""
    return lambda clock, lr: {"momentum": start + (stop - start) * min(1.0, clock.images / images)}


def cosine(images: int, to: float = 0.0) -> Law:
    """The learning rate, falling by a cosine to `to`·lr over `images`, and staying there."""
    if not 0 <= to <= 1:
        raise ValueError(f"schedule cosine: `to` is a share of lr, 0 to 1, not {to}")
    if images < 1:
        raise ValueError(f"schedule cosine: images must be at least 1, not {images}")
    return lambda clock, lr: {"lr": annealing.cosine(clock.images, lr, to * lr, images)}


def betas(images: int, beta1: float, start: float = 0.9, stop: float = 0.99) -> Law:
    """Adam's β₂ going by a cosine from `start` to `stop` over `images`; β₁ stays `beta1` (R3GAN)."""
    for name, value in (("beta1", beta1), ("start", start), ("stop", stop)):
        if not 0 <= value < 1:
            raise ValueError(f"schedule betas: {name} must be at least 0 and below 1, not {value}")
    if images < 1:
        raise ValueError(f"schedule betas: images must be at least 1, not {images}")
    return lambda clock, lr: {"betas": (beta1, annealing.cosine(clock.images, start, stop, images))}


SCHEDULES: Mapping[str, Callable[..., Law]] = {
    "linear": linear,
    "cosine": cosine,
    "decay": decay,
    "momentum": momentum,
    "betas": betas,
}


PARTS: Mapping[str, Mapping[str, Callable[..., Any]]] = {
    "objective": OBJECTIVES,
    "penalty": PENALTIES,
    "constraint": CONSTRAINTS,
    "corruption": CORRUPTIONS,
    "regulariser": REGULARISERS,
    "batch_layer": BATCH_LAYERS,
    "likelihood": LIKELIHOODS,
    "hole": HOLES,
    "sampling": SAMPLINGS,
    "optimiser": OPTIMISERS,
    "schedule": SCHEDULES,
}  # by the setting that names them


def objective_of(text: str) -> Objective:
    """An objective by name and parameters.

    >>> objective_of("least-squares:a=-1,b=1,c=0").bounded
    False
    """
    return build_part(OBJECTIVES, text, "objective")


def penalties_of(texts: Sequence[str]) -> tuple[Penalty, ...]:
    """Penalties by name and parameters; "none" stands for no penalty.

    >>> [p.name for p in penalties_of(["r1:weight=1,every=16"])]
    ['r1']
    """
    return tuple(build_part(PENALTIES, text, "penalty") for text in texts if text != "none")


def constraint_of(text: str) -> Constraint | None:
    """A constraint by name and parameters; "none" is None.

    >>> constraint_of("clip:bound=0.01").name
    'clip'
    """
    return None if text == "none" else build_part(CONSTRAINTS, text, "constraint")


def corruptions_of(texts: Sequence[str]) -> tuple[Corruption, ...]:
    """Corruptions by name and parameters; "none" stands for no corruption.

    >>> [c.adaptive for c in corruptions_of(["instance-noise:start=0.2", "ada:policy=blit+geom"])]
    [False, True]
    """
    return tuple(build_part(CORRUPTIONS, text, "corruption") for text in texts if text != "none")


def regularisers_of(texts: Sequence[str]) -> tuple[Regulariser, ...]:
    """Regularisers by name and parameters; "none" stands for no regulariser.

    >>> regularisers_of(["none"])
    ()
    """
    return tuple(build_part(REGULARISERS, text, "regulariser") for text in texts if text != "none")


def holes_of(texts: Sequence[str]) -> tuple[Hole, ...]:
    """Kinds of holes by name and parameters.

    >>> len(holes_of(["centre", "random:0.8"]))
    2
    """
    return tuple(build_part(HOLES, text, "hole") for text in texts)


def sampling_of(text: str, shape: tuple[int, int, int]) -> Sampling:
    """Masks of spectra by name and parameters, tried once on images of this shape (C, H, W).

    >>> sampling_of("equispaced:acceleration=2", (1, 8, 8))(Draws(stop=5), (8, 8)).shape
    torch.Size([5, 1, 8, 8])
    """
    sampling = build_part(SAMPLINGS, text, "sampling")
    sampling(Draws(stop=1), shape[1:])
    return sampling


def likelihood_of(text: str) -> Likelihood:
    """A likelihood by name and parameters.

    >>> likelihood_of("gaussian:deviation=0.5")  # doctest: +ELLIPSIS
    <function ...>
    """
    return build_part(LIKELIHOODS, text, "likelihood")


def optimiser_of(text: str, module: nn.Module, lr: float) -> Optimizer:
    """An optimiser of all of a module's parameters.

    >>> type(optimiser_of("rmsprop", nn.Linear(1, 1), 5e-5)).__name__
    'RMSprop'
    """
    if lr <= 0:
        raise ValueError(f"--lr must be positive, not {lr}")
    return build_part(OPTIMISERS, text, "optimiser")(module.parameters(), lr)


def schedule_of(texts: Sequence[str], lr: float) -> Schedule | None:
    """One schedule of all the laws named, from a starting learning rate; None where none is.

    >>> schedule_of(["linear:start=0,stop=100"], 0.2)(Clock(1, 50))
    {'lr': 0.1}
    """
    laws = [build_part(SCHEDULES, text, "schedule") for text in texts if text != "none"]
    if not laws:
        return None
    return lambda clock: {key: value for law in laws for key, value in law(clock, lr).items()}
