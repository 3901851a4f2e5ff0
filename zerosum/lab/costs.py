"""The generator's three costs against D(G(z)), and what they push with."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zerosum.lab.densities import integrate, log_normal
from zerosum.lab.experiment import Experiment, Result, Settings
from zerosum.objectives import maximum_likelihood, minimax, non_saturating

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COSTS", "GENERATOR_COSTS", "cost", "pull", "pull_on_pair"]

# Per sample, of the logit l = σ⁻¹(D); the lecture halves each, the library maximum likelihood alone.
COSTS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "minimax": lambda logit: minimax().generator(None, logit),
    "non-saturating": lambda logit: non_saturating().generator(None, logit),
    "maximum likelihood": lambda logit: 2 * maximum_likelihood().generator(None, logit),
}


def cost(name: str, d: Tensor) -> Tensor:
    """The generator's cost where the critic says `d` in (0, 1), with the lecture's ½.

    >>> cost("minimax", torch.tensor([0.99], dtype=torch.float64))
    tensor([-2.3026], dtype=torch.float64)
    """
    return 0.5 * COSTS[name](torch.logit(d))


def pull(name: str, d: Tensor) -> Tensor:
    """|∂cost/∂l|: how hard the sample is pushed, through the critic's logit l, where D(G(z)) = `d`.

    >>> pull("non-saturating", torch.tensor([0.01]))  # ½(1−D)
    tensor([0.4950])
    """
    logit = torch.logit(d).requires_grad_()
    (gradient,) = torch.autograd.grad(0.5 * COSTS[name](logit).sum(), logit)
    return gradient.abs()


def pull_on_pair(name: str, theta: float = 1.0) -> float:
    """d/dθ of the cost, without the ½, for p = N(0,1), G(z) = θ+z and D held at its optimum D*.

    The gradient goes through the samples alone, as in training: E over p_g of cost′(l(x))·l′(x), where
    l = log p/p_g. It equals 2JSD′(θ), (KL(p_g‖p) − 2JSD)′(θ) and KL(p‖p_g)′(θ) = θ for the three.

    >>> round(pull_on_pair("maximum likelihood"), 9)
    1.0
    """
    logit = (log_normal(0.0) - log_normal(theta)).requires_grad_()
    (slope,) = torch.autograd.grad(COSTS[name](logit).sum(), logit)
    return integrate(log_normal(theta).exp() * slope * -theta)  # l(x) = θ²/2 − θx


def _run(settings: Settings) -> Result:
    ends = torch.tensor([0.01, 0.5, 0.99], dtype=torch.float64)
    costs = {name: cost(name, ends).tolist() for name in COSTS}
    pulls = {name: pull(name, ends).tolist() for name in COSTS}
    slopes = {name: pull_on_pair(name) for name in COSTS}
    numbers = {
        "D": ends.tolist(),
        "cost": costs,
        "pull": pulls,
        "gradient in theta on N(0,1), N(1,1), without the half": slopes,
    }
    says = (
        "Left, what the generator minimises for one sample, against what the critic says of it. Right, the "
        "size of the gradient that reaches the sample through the critic's logit. Early in training D "
        "rejects the fakes, and one stands at the left edge: at D = 0.01 the minimax cost is "
        f"{costs['minimax'][0]:.4f} and flat, with a pull of {pulls['minimax'][0]:.3f}; the non-saturating "
        f"one is {costs['non-saturating'][0]:.4f} with a pull of {pulls['non-saturating'][0]:.3f}; maximum "
        "likelihood is as flat as minimax. At the right edge the order turns: at D = 0.99 maximum likelihood "
        f"stands at {costs['maximum likelihood'][2]:.1f} and its pull has no bound, so that a few good "
        "samples make up almost all of the gradient. For p = N(0,1), p_g = N(1,1) and the optimal D the "
        f"gradients in the generator's mean are {slopes['minimax']:.6f}, {slopes['non-saturating']:.6f} and "
        f"{slopes['maximum likelihood']:.6f} (without the ½): those of 2 JSD, of KL(p_g‖p) − 2 JSD and of "
        "KL(p‖p_g)."
    )
    return Result(numbers, _draw, says)


def _draw(figure: "Figure") -> None:
    from zerosum.lab.style import legend_below

    d = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)
    left, right = figure.subplots(1, 2)
    for name, dash in zip(COSTS, ("-", "--", "-."), strict=True):
        left.plot(d, cost(name, d), dash, label=name)
        right.plot(d, pull(name, d), dash)
    left.set(title="Cost of one sample", xlabel="D(G(z))", ylabel="cost, nats", ylim=(-15, 4), xlim=(0, 1))
    right.set(title="Gradient that reaches it", xlabel="D(G(z))", ylabel="|∂cost/∂ logit of D|")
    right.set(yscale="log", ylim=(5e-4, 50), xlim=(0, 1))
    legend_below(figure)


GENERATOR_COSTS = Experiment(
    name="generator-costs",
    number=5,
    title="Three generator costs against D(G(z)), and their gradients",
    lectures=("lecture 4, lines 79–94 and 114", "lecture 3, lines 91–97"),
    slip="θ(G)* of the minimax game is the argmin over θ(G), not the min (lecture 4, line 85).",
    run=_run,
)
