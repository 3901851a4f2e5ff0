"""Two ways to learn from examples: a density that makes them likely, and a sampler that makes more."""

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from zerosum.lab.critic import smooth_net
from zerosum.lab.densities import kl, log_normal
from zerosum.lab.experiment import Experiment, Result, Settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "MAXIMUM_LIKELIHOOD",
    "expected_likelihood",
    "fit_sampler",
    "mean_likelihood",
    "sample",
    "transport",
]

ENTROPY = 0.5 * math.log(2 * math.pi * math.e)  # of N(0,1), in nats
LATENT = 4


def mean_likelihood(x: Tensor, mean: Tensor | float, std: Tensor | float) -> Tensor:
    """The mean over examples x [n] of log N(x; mean, std²), in nats; mean and std broadcast.

    By the examples' moments alone: −log(std√2π) − (var + (x̄−mean)²)/2std².

    >>> mean_likelihood(torch.tensor([-1.0, 1.0]), 0.0, 1.0)
    tensor(-1.4189)
    """
    mean, std = torch.as_tensor(mean, dtype=x.dtype), torch.as_tensor(std, dtype=x.dtype)
    square = x.var(correction=0) + (x.mean() - mean).square()
    return -(std * math.sqrt(2 * math.pi)).log() - square / (2 * std.square())


def expected_likelihood(mean: float, std: float) -> float:
    """E_p log N(x; mean, std²) = −H(p) − KL(p‖N(mean, std²)) for p = N(0,1).

    >>> round(expected_likelihood(1.0, 2.0) + ENTROPY, 6)  # −KL(N(0,1)‖N(1,4))
    -0.443147
    """
    return -ENTROPY - kl(log_normal(0.0), log_normal(mean, std))


def transport(x: Tensor, y: Tensor) -> Tensor:
    """W₁ between two samples on the line, [n] each: the mean distance of the sorted ones.

    >>> transport(torch.tensor([0.0, 1.0]), torch.tensor([3.0, 2.0]))
    tensor(2.)
    """
    return (x.sort().values - y.sort().values).abs().mean()


def fit_sampler(x: Tensor, steps: int, generator: torch.Generator) -> nn.Module:
    """A net from uniform z [B, 4] to points [B, 1], moved until its samples lie where the examples x [n] do.

    Adam on the mean square between sorted samples and sorted examples, a batch of each: W₂², which is
    exact on the line. No density is computed anywhere.
    """
    net = smooth_net(LATENT, 32, 32, 1, generator=generator)
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 1e-2 * (1 - step / steps)
        chosen = x[torch.randint(len(x), (256,), generator=generator)]
        made = sample(net, 256, generator)
        loss = (made.sort().values - chosen.sort().values).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return net


def sample(net: nn.Module, count: int, generator: torch.Generator) -> Tensor:
    """Points [count] in one pass of the net, from z uniform on [−1, 1]."""
    points: Tensor = net(2 * torch.rand(count, LATENT, generator=generator) - 1).squeeze(1)
    return points


def _run(settings: Settings) -> Result:
    count, steps, judged = (1000, 500, 20_000) if settings.quick else (1000, 2500, 200_000)
    random = settings.generator("maximum likelihood")
    x = torch.randn(count, generator=random)
    mean, std = x.mean().item(), x.std(correction=0).item()
    net = fit_sampler(x, steps, random)
    settings.advance(0.9)
    with torch.no_grad():
        made = sample(net, judged, random)
    drawn = mean + std * torch.randn(judged, generator=random)
    real, fresh = torch.randn(2, judged, generator=random)
    off = mean_likelihood(x, 1.0, 2.0).item()
    spread = (-0.5 * ((x.double() - 1) / 2).square()).std().item() / math.sqrt(count)
    numbers: dict[str, Any] = {
        "examples": count,
        "maximum-likelihood mean and std": [mean, std],
        "mean log-likelihood there": mean_likelihood(x, mean, std).item(),
        "mean log-likelihood at N(1, 4)": {"mean": off, "standard error": spread},
        "expected at N(1, 4)": expected_likelihood(1.0, 2.0),
        "entropy of the data's law": ENTROPY,
        "KL from N(0,1) to N(1, 4)": kl(log_normal(0.0), log_normal(1.0, 2.0)),
        "KL from N(0,1) to the fit": kl(log_normal(0.0), log_normal(mean, std)),
        "W1 to fresh data": {
            "samples of the fitted density": transport(drawn, fresh).item(),
            "samples of the sampler": transport(made, fresh).item(),
            "other data": transport(real, fresh).item(),
        },
    }
    w = numbers["W1 to fresh data"]
    says = (
        f"The same {count:,} examples of N(0,1) are used twice. Left, density estimation: of the normal laws "
        "take the one that makes the examples likeliest, θ* = argmax E log p(x|θ). Middle, that likelihood "
        "over all means and spreads. Its height is −H(p) − KL(p‖p_θ), so to maximise it is to minimise the "
        "KL from the data: at N(1,4) (square) it is "
        f"{off:.3f} ± {spread:.3f}, where −H − KL = {expected_likelihood(1.0, 2.0):.6f} with KL = "
        f"{numbers['KL from N(0,1) to N(1, 4)']:.6f}; at the top (circle), mean {mean:.3f} and standard "
        f"deviation {std:.3f}, the examples' own, a KL of {numbers['KL from N(0,1) to the fit']:.5f} is "
        "left, where one over the number of examples is to be expected. Right, sample generation: a net "
        "turns uniform noise into points and is trained only to put them where examples are. It never "
        "computes a density and cannot say how likely a point is, but new points cost one pass. Judged by "
        f"W₁ to {judged:,} fresh data: {w['samples of the sampler']:.4f} for the sampler, "
        f"{w['samples of the fitted density']:.4f} for draws from the fitted density, "
        f"{w['other data']:.4f} for other data. A GAN is of the second kind: its critic stands in for the "
        "likelihood that it lacks."
    )

    def draw(figure: "Figure") -> None:
        _draw(figure, x, mean, std, made)

    return Result(numbers, draw, says)


def _draw(figure: "Figure", x: Tensor, mean: float, std: float, made: Tensor) -> None:
    from zerosum.lab.style import FAKE, GREY, INK, REAL

    left, middle, right = figure.subplots(1, 3)
    line = torch.linspace(-4, 5, 400, dtype=torch.float64)
    left.plot(line, log_normal(0.0, x=line).exp(), color=INK, linewidth=1, label="p, the data's law")
    left.plot(line, log_normal(mean, std, line).exp(), "--", color=REAL, label="likeliest normal")
    left.plot(line, log_normal(1.0, 2.0, line).exp(), ":", color=GREY, label="N(1, 4)")
    left.plot(x[:150], torch.full((150,), -0.015), "|", color=INK, markersize=7, alpha=0.5)
    left.set(title="Density estimation", xlabel="x, 150 examples as ticks", ylabel="density")
    left.set(ylim=(-0.035, 0.58))
    means = torch.linspace(-1, 2, 121)
    stds = torch.linspace(0.5, 3, 101)
    height = mean_likelihood(x, means[None], stds[:, None])
    drawn = middle.contourf(means, stds, height, levels=torch.linspace(-4, -1.4, 27).tolist(), extend="min")
    drawn.set_edgecolor("face")  # no seams in the SVG
    figure.colorbar(drawn, ax=middle, label="mean log-likelihood, nats", ticks=[-4, -3, -2, -1.5])
    middle.plot(mean, std, "o", color="white", markeredgecolor="black", markersize=7)
    middle.plot(1, 2, "s", color="white", markeredgecolor="black", markersize=6)
    middle.set(title="The likelihood", xlabel="mean of the model", ylabel="its standard deviation")
    middle.grid(visible=False)
    right.hist(
        made, bins=torch.linspace(-4, 5, 91).tolist(), density=True, color=FAKE, alpha=0.6, label="sampler"
    )
    right.plot(line, log_normal(0.0, x=line).exp(), color=INK, linewidth=1, label="p, the data's law")
    right.set(title="Sample generation", xlabel="x", ylabel="density", ylim=(-0.035, 0.58))
    for axes in (left, right):
        axes.legend(loc="upper right")


MAXIMUM_LIKELIHOOD = Experiment(
    name="maximum-likelihood",
    number=1,
    title="Density estimation by maximum likelihood, and sample generation",
    lectures=("lecture 1, lines 11–23", "lecture 4, lines 14–20"),
    slip="",
    run=_run,
    figsize=(10.5, 3.8),
)
