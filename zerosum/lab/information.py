"""A GAN as mutual information: how much does a sample tell of whether it is real?"""

import math
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from zerosum.lab.critic import smooth_net, train_critic
from zerosum.lab.densities import AXIS, integrate, jensen_shannon, kl, log_normal
from zerosum.lab.experiment import Experiment, Result, Settings
from zerosum.objectives import weighted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MUTUAL_INFORMATION", "best_logit", "bound", "entropy", "estimate", "information"]

PI = 0.3
LAWS = {  # of the generator, against p = N(0,1)
    "N(4, 1)": (4.0, 1.0),
    "N(2, 1)": (2.0, 1.0),
    "N(1, 1)": (1.0, 1.0),
    "N(0, 3²)": (0.0, 3.0),
}


def entropy(pi: float) -> float:
    """H(π) = −π log π − (1−π) log(1−π), in nats.

    >>> round(entropy(0.5), 6)  # log 2
    0.693147
    """
    return -pi * math.log(pi) - (1 - pi) * math.log1p(-pi)


def information(log_p: Tensor, log_q: Tensor, pi: float = 0.5) -> float:
    """I(X;Z) = πKL(p‖m) + (1−π)KL(q‖m), m = πp + (1−π)q: Z says which law X is drawn from; nats.

    >>> round(information(log_normal(0.0), log_normal(1.0), 0.3), 8)
    0.09491047
    """
    return jensen_shannon(log_p, log_q, weight=pi)


def best_logit(log_p: Tensor, log_q: Tensor, pi: float = 0.5) -> Tensor:
    """log πp/((1−π)q): with it q(1|x) = σ(l) is the posterior πp/m."""
    return log_p - log_q + math.log(pi / (1 - pi))


def bound(logit: Tensor, log_p: Tensor, log_q: Tensor, pi: float = 0.5) -> float:
    """H(π) + πE_p log q(1|x) + (1−π)E_q log q(0|x) ≤ I(X;Z) by quadrature, with q(1|x) = σ(logit).

    >>> p, q = log_normal(0.0), log_normal(1.0)
    >>> round(bound(best_logit(p, q, 0.3), p, q, 0.3), 8)
    0.09491047
    """
    on_real = integrate(log_p.exp() * F.logsigmoid(logit))
    on_fake = integrate(log_q.exp() * F.logsigmoid(-logit))
    return entropy(pi) + pi * on_real + (1 - pi) * on_fake


def estimate(real: Tensor, fake: Tensor, pi: float) -> tuple[float, float]:
    """The same bound from a critic's logits on two samples, [n] each, and its standard error."""
    loss = weighted(pi).critic(real, fake)
    return entropy(pi) - loss.mean().item(), loss.std().item() / len(loss) ** 0.5


def _run(settings: Settings) -> Result:
    steps, size, held_out = (400, 512, 20_000) if settings.quick else (1500, 1024, 200_000)
    count = 21 if settings.quick else 61
    p, q = log_normal(0.0), log_normal(1.0)
    shares = torch.linspace(0.02, 0.98, count, dtype=torch.float64).tolist()
    curves = {name: [information(p, log_normal(*law), pi) for pi in shares] for name, law in LAWS.items()}
    wide = log_normal(*LAWS["N(0, 3²)"])
    random = settings.generator("mutual information")
    critic = smooth_net(1, 32, 1, generator=random)

    def draw(count: int = size) -> tuple[Tensor, Tensor]:
        return torch.randn(count, 1, generator=random), 1 + torch.randn(count, 1, generator=random)

    @torch.no_grad()
    def look(x: Tensor) -> Tensor:
        return critic(x.float()[:, None]).squeeze(1).double()  # type: ignore[no-any-return]

    watched = {round(steps ** (i / 30)) for i in range(31)}
    history = [(0, bound(look(AXIS), p, q, PI))]
    for step, _ in train_critic(critic, weighted(PI), draw, steps, lr=2e-2):
        if step in watched:
            history.append((step, bound(look(AXIS), p, q, PI)))
            settings.advance(step / steps)
    real, fake = draw(held_out)
    sampled, error = estimate(look(real.squeeze(1)), look(fake.squeeze(1)), PI)
    moved = torch.linspace(-3, 4, count, dtype=torch.float64).tolist()
    best = best_logit(p, q, PI)
    # What the slide's last line says, π E log q(1|x) + (1−π) E (1 − log q(1|x)), at the best q.
    slide = (
        entropy(PI)
        + PI * integrate(p.exp() * F.logsigmoid(best))
        + (1 - PI) * (1 - integrate(q.exp() * F.logsigmoid(best)))
    )
    exact = information(p, q, PI)
    numbers: dict[str, Any] = {
        "pi": PI,
        "I at pi = .3, N(0,1) and N(1,1)": exact,
        "I at pi = .5, the JSD": information(p, q),
        "H(.3)": entropy(PI),
        "slopes at pi = 0 and 1 for N(0, 3²): KL(p|p_g), KL(p_g|p)": [kl(p, wide), kl(wide, p)],
        "bound by the trained critic": history[-1][1],
        "the same on held-out samples": {"mean": sampled, "standard error": error, "pairs": held_out},
        "the slide's expression at the best q": slide,
        "shares": shares,
        "I by the generator's law": curves,
        "bound in training": {"step": [s for s, _ in history], "bound": [value for _, value in history]},
        "generator's mean": moved,
        "I of the moved generator": [information(p, log_normal(t), PI) for t in moved],
        "bound by the critic of mean 1": [bound(best, p, log_normal(t), PI) for t in moved],
    }
    low = min(range(count), key=lambda i: numbers["bound by the critic of mean 1"][i])
    says = (
        "Toss a coin Z with P(Z=1) = π; show a real sample if Z = 1, a generated one if not. I(X;Z) says how "
        "much the sample X tells of Z, and a generator that makes it 0 has won. Left, for p = N(0,1): it is "
        "πKL(p‖m) + (1−π)KL(p_g‖m) with m the mixture, at π = ½ the JSD, and never above H(π), which it "
        "reaches where the laws do not overlap. At its ends a curve has the slopes KL(p‖p_g) and KL(p_g‖p), "
        f"{kl(p, wide):.3f} and {kl(wide, p):.3f} for the lopsided one, so π chooses between the two. "
        "Middle: a critic trained on −πE log q(1|x) − (1−π)E log q(0|x) bounds it from below; at π = 0.3, "
        "for N(1,1), the bound climbs to "
        f"{history[-1][1]:.6f} of {exact:.8f}, and on {held_out:,} fresh pairs it is {sampled:.4f} ± "
        f"{error:.4f}. Right: the generator then minimises this lower bound, not I itself. With q "
        f"held where it was best at θ = 1, they touch there only; descending the bound leads past θ = 0 and "
        f"on, to {numbers['bound by the critic of mean 1'][low]:.2f} at θ = {moved[low]:g}, where I is "
        f"{numbers['I of the moved generator'][low]:.3f}. So the critic has to keep up."
    )
    return Result(numbers, lambda figure: _draw(figure, numbers), says)


def _draw(figure: "Figure", numbers: dict[str, Any]) -> None:
    from zerosum.lab.style import CRITIC, GREY, INK

    left, middle, right = figure.subplots(1, 3)
    shares = numbers["shares"]
    left.plot(shares, [entropy(pi) for pi in shares], ":", color=GREY, label="H(π), disjoint")
    for (name, values), dash in zip(numbers["I by the generator's law"].items(), "---:", strict=True):
        left.plot(shares, values, dash.replace(":", "--"), label=name)
    left.plot(0.5, numbers["I at pi = .5, the JSD"], "o", color=INK, label="JSD of N(1, 1)")
    left.plot(PI, numbers["I at pi = .3, N(0,1) and N(1,1)"], "s", color=INK)
    left.set(title="I(X;Z) against π", xlabel="π = P(Z = 1), the share of real", ylabel="nats")
    left.set(xlim=(0, 1), ylim=(0, 1.0))
    left.legend(loc="upper center", ncols=2)
    training = numbers["bound in training"]
    exact = numbers["I at pi = .3, N(0,1) and N(1,1)"]
    middle.semilogx(training["step"][1:], training["bound"][1:], color=CRITIC, label="bound by the critic")
    middle.axhline(exact, color=INK, linestyle=":", label="I(X;Z)")
    middle.set(title="The bound in training, π = 0.3", xlabel="critic's steps", ylabel="nats")
    middle.set(ylim=(-0.1, 0.13))
    middle.legend(loc="lower right")
    moved = numbers["generator's mean"]
    right.plot(moved, numbers["I of the moved generator"], color=INK, label="I(X;Z)")
    stale = numbers["bound by the critic of mean 1"]
    right.plot(moved, stale, "--", color=CRITIC, label="bound, q best at θ = 1")
    right.plot(1, exact, "o", color=INK)
    right.set(title="A critic that stands still, π = 0.3", xlabel="θ, the generator's mean", ylabel="nats")
    right.legend(loc="lower right")


MUTUAL_INFORMATION = Experiment(
    name="mutual-information",
    number=16,
    title="A GAN minimises mutual information; π chooses between the divergences",
    lectures=("lecture 2, lines 365–393",),
    slip=(
        "q(y|x) should be q(z|x) (lecture 2, line 384), and (1 − log q(1|x)) should be log(1 − q(1|x)) "
        "(line 389): as printed the maximum over q is infinite, for q → 0 on fakes pays without end. The "
        "generator minimises a lower bound of I(X;Z), exact only at the best q."
    ),
    run=_run,
    figsize=(10.5, 3.8),
)
