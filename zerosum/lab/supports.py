"""Supports that do not meet: a perfect critic exists, training finds it, and the gradient is gone."""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from zerosum.lab.experiment import Experiment, Result, Settings
from zerosum.lab.stack import Stack, train_stack
from zerosum.lab.style import FAKE, GREY, INK, REAL
from zerosum.objectives import minimax, non_saturating

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PERFECT_DISCRIMINATOR", "Seen", "cauchy_tail", "crossing", "noisy_gradients", "parallel", "watch"]

CRITICS = 8  # on the lines a unit apart; how they differ is the variance of the generator's gradient
NEAR = 0.1
ERROR = 0.05  # of D and of its slope, in the noise about the perfect critic


def parallel(z: Tensor, theta: Tensor | float) -> Tensor:
    """(θ, z), [..., 2]: a vertical line of unit length at θ, for z uniform on [0, 1].

    >>> parallel(torch.tensor([0.0, 0.5]), 1.0)
    tensor([[1.0000, 0.0000],
            [1.0000, 0.5000]])
    """
    return torch.stack(torch.broadcast_tensors(torch.as_tensor(theta, dtype=z.dtype), z), -1)


def crossing(z: Tensor) -> Tensor:
    """(z − ½, ½), [..., 2]: a line that crosses `parallel(z, 0)` in one point, of no probability."""
    return torch.stack([z - 0.5, torch.full_like(z, 0.5)], -1)


class Seen(NamedTuple):
    """What each of K critics is at a step of its training, [K] each.

    `accuracy` over real and fake alike; `loss`, 2 log 2 for a critic that cannot tell. `minimax` and
    `non_saturating`: d/dθ of the generator's loss where θ moves its line. `distance`: ε = sup (D + ‖∇D‖)
    over the fakes, where the perfect D and ∇D are 0; the minimax gradient is below ε/(1−ε) if ε < 1.
    """

    accuracy: Tensor
    loss: Tensor
    minimax: Tensor
    non_saturating: Tensor
    distance: Tensor


def watch(critics: Stack, real: Tensor, fake: Tensor) -> Seen:
    """Judge critics on real and fake points [K, n, 2] that stand for whole lines."""
    x = fake.detach().requires_grad_()
    on_real, on_fake = critics(real).detach(), critics(x)
    (slope,) = torch.autograd.grad(on_fake.sum(), x)  # of the logit
    logit = on_fake.detach().requires_grad_()
    pulls = []
    for objective in (minimax(), non_saturating()):
        (pull,) = torch.autograd.grad(objective.generator(None, logit).sum(), logit)
        pulls.append((pull * slope[..., 0]).mean(1))  # θ moves every fake point along the first axis
    d = torch.sigmoid(on_fake.detach())
    return Seen(
        accuracy=((on_real > 0).float() + (on_fake < 0).float()).mean(1) / 2,
        loss=minimax().critic(on_real, on_fake.detach()).mean(1),
        minimax=pulls[0],
        non_saturating=pulls[1],
        distance=(d + d * (1 - d) * slope.norm(dim=2)).amax(1),
    )


def noisy_gradients(
    error: float, slope: float, generator: torch.Generator, count: int
) -> tuple[Tensor, Tensor]:
    """−∂ log(1−D) and ∂ log D, [count] each, of critics that miss the perfect one by noise.

    On the fakes D = e with e~N(0, `error`²) and ∂D = r with r~N(0, `slope`²), independent (Arjovsky &
    Bottou 2017, theorem 2.6): r/(1−e), which is about as small as r, and r/e, Cauchy of scale slope/error.
    """
    e, r = error * torch.randn(count, generator=generator), slope * torch.randn(count, generator=generator)
    return r / (1 - e), r / e


def cauchy_tail(t: Tensor, scale: float) -> Tensor:
    """P(|X| > t) for X Cauchy of this scale: about 2·scale/(πt), too heavy for a mean or a variance.

    >>> cauchy_tail(torch.tensor([0.0, 1.0]), scale=1.0)
    tensor([1.0000, 0.5000])
    """
    return 1 - 2 / math.pi * torch.atan(t / scale)


def _run(settings: Settings) -> Result:
    steps = 400 if settings.quick else 2000
    random = settings.generator("perfect-discriminator")
    theta = torch.tensor([1.0] * CRITICS + [NEAR])[:, None]

    def fakes(z: Tensor) -> Tensor:
        return torch.cat([parallel(z[:-1], theta), crossing(z[-1:])])

    def draw() -> tuple[Tensor, Tensor]:
        z = torch.rand(2, len(theta) + 1, 64, generator=random)
        return parallel(z[0], 0.0), fakes(z[1])

    critics = Stack(len(theta) + 1, (2, 32, 32, 1), random)
    whole = ((torch.arange(200) + 0.5) / 200).expand(len(theta) + 1, -1)
    times = sorted({0} | {round(steps ** (k / 40)) for k in range(41)})
    seen = []
    for step in train_stack(critics, minimax(), draw, steps):
        if step in times:
            seen.append(watch(critics, parallel(whole, 0.0), fakes(whole)))
            settings.advance(step / steps)
    history = Seen(*(torch.stack(part, 1) for part in zip(*seen, strict=True)))  # [K, times]
    unit = Seen(*(part[:CRITICS] for part in history))
    t = torch.logspace(-2, 3, 26, dtype=torch.float64)
    noisy = noisy_gradients(ERROR, ERROR, random, 100_000 if settings.quick else 1_000_000)
    above = [(values.double().abs() > limit).double().mean().item() for values in noisy for limit in t]
    numbers: dict[str, Any] = {
        "step": times,
        "accuracy": {
            "lines 1 apart": unit.accuracy.mean(0).tolist(),
            f"lines {NEAR} apart": history.accuracy[CRITICS].tolist(),
            "lines that cross": history.accuracy[-1].tolist(),
        },
        "lines 1 apart": {
            "critic's loss": unit.loss.mean(0).tolist(),
            "distance to the perfect critic": unit.distance.amax(0).tolist(),
            "size of the minimax gradient": unit.minimax.abs().mean(0).tolist(),
            "non-saturating gradient": unit.non_saturating.mean(0).tolist(),
            "its standard deviation over critics": unit.non_saturating.std(0).tolist(),
        },
        "noise about the perfect critic": {
            "t": t.tolist(),
            "minimax gradients above t": above[: len(t)],
            "non-saturating gradients above t": above[len(t) :],
            "Cauchy": cauchy_tail(t, 1.0).tolist(),
        },
    }
    return Result(numbers, lambda figure: _draw(figure, numbers), _says(numbers))


def _says(numbers: dict[str, Any]) -> str:
    accuracy, unit, noise = (
        numbers[name] for name in ("accuracy", "lines 1 apart", "noise about the perfect critic")
    )
    flat, strong = unit["size of the minimax gradient"], unit["non-saturating gradient"]
    spread = unit["its standard deviation over critics"]
    ten = min(range(len(noise["t"])), key=lambda k: abs(noise["t"][k] - 10))
    return (
        "Real points lie on one line in the plane, fakes on another: two supports of lower dimension that do "
        "not align, which is what the first two lemmas say of images. By the third a perfect discriminator "
        "exists, 1 on the one and 0 on the other, and flat on both. Left, training finds it: after "
        f"{numbers['step'][-1]} steps the accuracy is {accuracy['lines 1 apart'][-1]:.4f} for parallel lines "
        f"1 apart, {accuracy[f'lines {NEAR} apart'][-1]:.4f} for lines {NEAR} apart, and "
        f"{accuracy['lines that cross'][-1]:.4f} for two that cross, whose common point has no probability. "
        "Middle, what the generator learns from it, were it to move its line. The minimax gradient fell from "
        f"{max(flat):.3f} at most to {flat[-1]:.2g}, below the bound ε/(1−ε), ε being the distance of D and "
        f"its slope from the perfect ones. The non-saturating gradient stays large, {strong[-1]:.2f}, and so "
        f"does what {CRITICS} critics, alike but for their random start, disagree in: its standard deviation "
        f"over them grew from {spread[0]:.2f} to {spread[-1]:.2f}. Right, where noise leads: if D "
        "misses the perfect critic by independent normal noise, in its value and in its slope, the "
        "non-saturating gradient is a ratio of two normals, so Cauchy, with neither mean nor variance: "
        f"{noise['non-saturating gradients above t'][ten]:.1%} of the draws exceed {noise['t'][ten]:.0f} "
        f"({noise['Cauchy'][ten]:.1%} by the formula), while none of the minimax ones exceeds 1."
    )


def _draw(figure: "Figure", numbers: dict[str, Any]) -> None:
    left, middle, right = figure.subplots(1, 3)
    times, unit = numbers["step"][1:], numbers["lines 1 apart"]
    for (name, values), dash in zip(numbers["accuracy"].items(), ("-", "--", ":"), strict=True):
        left.plot(times, values[1:], dash, label=name)
    left.set(title="The critic becomes perfect", xlabel="critic's step", ylabel="accuracy", ylim=(0.3, 1.03))
    flat, strong, spread, distance = (
        torch.tensor(unit[name][1:])
        for name in (
            "size of the minimax gradient",
            "non-saturating gradient",
            "its standard deviation over critics",
            "distance to the perfect critic",
        )
    )
    middle.plot(times, strong, color=FAKE, label="non-saturating")
    middle.plot(times, spread, "--", color=FAKE, label="its std over 8 critics")
    middle.plot(times, flat, color=REAL, label="minimax")
    bound = torch.where(distance < 1, distance / (1 - distance), torch.nan)
    middle.plot(times, bound, ":", color=GREY, label="ε/(1−ε)")
    middle.set(title="The generator's gradient", xlabel="critic's step", ylabel="|d loss/dθ|, lines 1 apart")
    noise = numbers["noise about the perfect critic"]
    right.plot(noise["t"], noise["non-saturating gradients above t"], "o", color=FAKE, label="non-saturating")
    right.plot(noise["t"], noise["Cauchy"], color=INK, linewidth=1, label="Cauchy law")
    right.plot(noise["t"], noise["minimax gradients above t"], "s", color=REAL, label="minimax")
    right.set(title="Critics perfect but for noise", xlabel="t", ylabel="share of gradients above t")
    for axes in (left, middle):
        axes.set(xscale="log")
    for axes in (middle, right):
        axes.set(yscale="log")
    right.set(xscale="log", ylim=(3e-5, 2))
    left.legend(loc="lower right")
    middle.legend(loc="lower left")
    right.legend(loc="upper right")


PERFECT_DISCRIMINATOR = Experiment(
    name="perfect-discriminator",
    number=8,
    title="The perfect discriminator on lines that do not align, and the vanishing gradient",
    lectures=("lecture 2, lines 128–136", "lecture 2, lines 144–145"),
    slip="",
    run=_run,
    figsize=(10.5, 3.8),
)
