"""f-divergences: D_f(P‖Q) = ∫ q f(p/q), and what f-GAN trains with them (Nowozin et al. 2016).

For a convex f with conjugate f*(t) = sup_{u≥0} tu − f(u), any function T gives the lower bound

    D_f(P‖Q) ≥ E_P[T(x)] − E_Q[f*(T(x))],

tight at T*(x) = f′(u), u = p(x)/q(x). A critic's unconstrained output V becomes T = g_f(V), which lies in
the domain of f*; every g_f here increases, so that a large V speaks for real. A divergence is one row of
`DIVERGENCES`; `alpha_divergence` makes the rows of a whole family.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf, isfinite, log

import torch
import torch.nn.functional as F
from torch import Tensor

from zerosum.names import look_up, unknown
from zerosum.objectives import LIMIT, GeneratorForm, Objective, as_it_is, widened

__all__ = ["DIVERGENCES", "Divergence", "alpha_divergence", "divergence", "f"]

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Divergence:
    """An f-divergence: f and all that f-GAN needs of it, as functions of tensors of any shape.

    `f` is taken at u ≥ 0, with its limit at 0. f* is `legendre` within its domain, which ends at `domain`,
    equal to f′(∞). `activation` is g_f; `cost` is f*∘g_f, written so that it does not lose digits or
    overflow before its value does. `optimum` is T*(u) = f′(u), `output` V*(u) = g_f⁻¹(f′(u)). `logit` says
    that V* = log u, so that σ(V) = p/(p+q). `limit` is the |V| up to which `objective` is exact.

    >>> row = DIVERGENCES["pearson"]
    >>> row.optimum(torch.tensor(3.0)), row.slope
    (tensor(4.), 0.0)
    """

    name: str
    f: Function
    legendre: Function
    domain: float
    activation: Function
    cost: Function
    optimum: Function
    output: Function
    logit: bool = False
    limit: float = inf

    @property
    def slope(self) -> float:
        """f′(1): where T exceeds it, the critic takes a sample for real."""
        return self.optimum(torch.ones((), dtype=torch.float64)).item()

    def conjugate(self, t: Tensor) -> Tensor:
        """f*(t) = sup_{u≥0} tu − f(u); ∞ beyond the domain.

        >>> DIVERGENCES["hellinger"].conjugate(torch.tensor([0.5, 2.0]))
        tensor([1., inf])
        """
        return torch.where(t <= self.domain, self.legendre(t), inf)

    def bound(self, real: Tensor, fake: Tensor) -> Tensor:
        """The plain variational estimate E_P[T] − E_Q[f*(T)] from outputs V on two samples, [n], [m] → 0-d.

        Exact at every V, without the straight ends of `objective`. In expectation it is below D_f for a
        critic that never saw these samples; on the samples it was trained on it may be above.

        >>> DIVERGENCES["kl"].bound(torch.tensor([1.0]), torch.tensor([1.0]))  # V* where p = q
        tensor(0.)
        """
        return self.activation(widened(real)).mean() - self.cost(widened(fake)).mean()

    def between(self, p: Tensor, q: Tensor) -> Tensor:
        """D_f of two discrete laws [..., K] → [...], in float64; ∞ where it is.

        Where q = 0 the sum has p·f′(∞), where p = 0 it has q·f(0). Raises ValueError for negative
        numbers and for sums that are not 1 to six digits.

        >>> DIVERGENCES["total-variation"].between(torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.5]))
        tensor(0.5000, dtype=torch.float64)
        """
        p, q = p.double(), q.double()
        for law in (p, q):
            if not ((law >= 0).all() and ((law.sum(-1) - 1).abs() <= 1e-6).all()):
                raise ValueError(f"{self.name}: a law has numbers of 0 or more with sum 1: divide by the sum")
        u = p / q
        within = u.isfinite()
        inside = torch.where(within, q * self.f(torch.where(within, u, 1.0)), 0.0).sum(-1)
        outside = torch.where(within, 0.0, p).sum(-1)
        return inside + torch.where(outside > 0, outside * self.domain, 0.0)

    def objective(self, generator: GeneratorForm = "saturating") -> Objective:
        """The f-GAN game: critic −T(x) + f*(T(G(z))); generator −f*(T(G(z))), or −T(G(z)) (section 3.2).

        The second form is non-saturating: its gradient stays where the critic rejects the fakes. Beyond
        |V| = `limit` both T and f*(T) continue along their tangents, so that all is finite; the best V
        stays where it was if it is within the limit. Raises ValueError for another form.

        >>> DIVERGENCES["reverse-kl"].objective().generator(None, torch.tensor([3.0]))  # 1 − V
        tensor([-2.])
        """
        activation, cost = (_straight(part, self.limit) for part in (self.activation, self.cost))
        judged = look_up({"saturating": cost, "non-saturating": activation}, generator, "generator of f")
        return Objective(
            lambda real, fake: cost(widened(fake)) - activation(widened(real)),
            lambda real, fake: -judged(widened(fake)),
            reading=torch.sigmoid if self.logit else as_it_is,
            signed=self.output(torch.ones(())).item() == 0,
        )


def _straight(function: Function, limit: float) -> Function:
    """The function up to |v| = limit, and its tangents beyond (C¹)."""
    if limit == inf:
        return function
    with torch.enable_grad():
        ends = torch.tensor([-limit, limit], dtype=torch.float64, requires_grad=True)
        (slopes,) = torch.autograd.grad(function(ends).sum(), ends)
    low, high = slopes.tolist()
    return lambda v: function(v.clamp(-limit, limit)) + high * F.relu(v - limit) - low * F.relu(-limit - v)


def _same(v: Tensor) -> Tensor:
    return v


def _below_one(v: Tensor) -> Tensor:
    """1 − e^{−v}: increasing, onto (−∞, 1)."""
    return -torch.expm1(-v)


def _pearson_conjugate(t: Tensor) -> Tensor:
    """t²/4 + t where the supremum is at u = 1 + t/2 ≥ 0, and −f(0) = −1 where it is at u = 0."""
    t = t.clamp_min(-2)
    return t.square() / 4 + t


DIVERGENCES: Mapping[str, Divergence] = {
    row.name: row
    for row in (
        Divergence(
            "kl",
            f=lambda u: torch.xlogy(u, u),
            legendre=lambda t: (t - 1).exp(),
            domain=inf,
            activation=_same,
            cost=lambda v: (v - 1).exp(),
            optimum=lambda u: 1 + u.log(),
            output=lambda u: 1 + u.log(),
            limit=LIMIT,
        ),
        Divergence(
            "reverse-kl",
            f=lambda u: -u.log(),
            legendre=lambda t: -1 - (-t).log(),
            domain=0.0,
            activation=lambda v: -(-v).exp(),
            cost=lambda v: v - 1,
            optimum=lambda u: -1 / u,
            output=torch.log,
            logit=True,
            limit=LIMIT,
        ),
        Divergence(  # V < −2 stands for no p/q: f* is flat there, and a saturating generator stands still
            "pearson",
            f=lambda u: (u - 1).square(),
            legendre=_pearson_conjugate,
            domain=inf,
            activation=_same,
            cost=_pearson_conjugate,
            optimum=lambda u: 2 * (u - 1),
            output=lambda u: 2 * (u - 1),
        ),
        Divergence(  # squared, and without a factor of ½
            "hellinger",
            f=lambda u: (u.sqrt() - 1).square(),
            legendre=lambda t: t / (1 - t),
            domain=1.0,
            activation=_below_one,
            cost=torch.expm1,
            optimum=lambda u: 1 - u.rsqrt(),
            output=lambda u: u.log() / 2,
            limit=LIMIT,
        ),
        Divergence(  # twice the divergence that goes to log 2
            "jensen-shannon",
            f=lambda u: torch.xlogy(u, u) - (u + 1) * ((u + 1) / 2).log(),
            legendre=lambda t: -(2 - t.exp()).log(),
            domain=log(2),
            activation=lambda v: log(2) + F.logsigmoid(v),
            cost=lambda v: F.softplus(v) - log(2),
            optimum=lambda u: (2 * u / (1 + u)).log(),
            output=torch.log,
            logit=True,
        ),
        Divergence(  # the game of `minimax`: 2 JSD − log 4, and f(1) = −log 4
            "gan",
            f=lambda u: torch.xlogy(u, u) - (u + 1) * (u + 1).log(),
            legendre=lambda t: -(-t.expm1()).log(),
            domain=0.0,
            activation=F.logsigmoid,
            cost=F.softplus,
            optimum=lambda u: (u / (1 + u)).log(),
            output=torch.log,
            logit=True,
        ),
        Divergence(
            "neyman",
            f=lambda u: (1 - u).square() / u,
            legendre=lambda t: 2 - 2 * (1 - t).sqrt(),
            domain=1.0,
            activation=_below_one,
            cost=lambda v: -2 * torch.expm1(-v / 2),
            optimum=lambda u: 1 - u.pow(-2),
            output=lambda u: 2 * u.log(),
            limit=LIMIT,
        ),
        Divergence(  # T within ±½, where f* is the identity; ½ is reached at V = ±∞ alone
            "total-variation",
            f=lambda u: (u - 1).abs() / 2,
            legendre=lambda t: t.clamp_min(-0.5),
            domain=0.5,
            activation=lambda v: v.tanh() / 2,
            cost=lambda v: v.tanh() / 2,
            optimum=lambda u: (u - 1).sign() / 2,
            output=lambda u: (u - 1).sign().atanh(),
        ),
    )
}


def _power(v: Tensor, a: float) -> Tensor:
    """(e^{av} − 1)/a, and its limit v at a = 0."""
    return torch.expm1(a * v) / a if a else v


def alpha_divergence(alpha: float) -> Divergence:
    """f(u) = (u^α − αu + α − 1)/(α(α−1)), so D = (∫ p^α q^{1−α} − 1)/(α(α−1)) (Cichocki & Amari 2010).

    α = 1 and 0 are the limits KL(P‖Q) and KL(Q‖P); α = 2, ½ and −1 are half of Pearson's χ², twice the
    squared Hellinger distance of the table, and half of Neyman's χ². D_α(P‖Q) = D_{1−α}(Q‖P). V* = log u
    whatever α is. Raises ValueError for an α that is not finite.

    >>> p, q = torch.tensor([0.9, 0.1]), torch.tensor([0.5, 0.5])
    >>> alpha_divergence(2.0).between(p, q), DIVERGENCES["pearson"].between(p, q) / 2
    (tensor(0.3200, dtype=torch.float64), tensor(0.3200, dtype=torch.float64))
    """
    if not isfinite(alpha):
        raise ValueError(f"alpha must be a finite number, not {alpha}")
    rest = alpha - 1

    def legendre(t: Tensor) -> Tensor:
        """By V, T = (e^{(α−1)V} − 1)/(α−1); below the range of T the supremum is at u = 0, V = −∞."""
        return _power((rest * t).clamp_min(-1).log1p() / rest if rest else t, alpha)

    return Divergence(
        f"alpha={alpha:g}",
        # uf′(u) − f*(f′(u)), which has no pole at α = 0 and 1; the first term goes to 0 or is outweighed.
        f=lambda u: torch.where(u > 0, u * _power(u.log(), rest), 0.0) - _power(u.log(), alpha),
        legendre=legendre,
        domain=-1 / rest if rest < 0 else inf,
        activation=lambda v: _power(v, rest),
        cost=lambda v: _power(v, alpha),
        optimum=lambda u: _power(u.log(), rest),
        output=torch.log,
        logit=True,
        limit=LIMIT / max(1.0, abs(alpha), abs(rest)),
    )


def divergence(name: str, alpha: float | None = None) -> Divergence:
    """A row by name; "alpha" with its order. Raises ValueError for an unknown name or a stray order.

    >>> divergence("alpha", 0.5).name
    'alpha=0.5'
    """
    if name == "alpha" and alpha is None:
        raise ValueError("objective f:alpha needs its order, as in f:alpha,alpha=0.5")
    if name == "alpha" and alpha is not None:
        return alpha_divergence(alpha)
    if name not in DIVERGENCES:
        raise unknown("divergence", name, [*DIVERGENCES, "alpha"])
    if alpha is not None:
        raise ValueError(f"objective f:{name} has no alpha: leave it out, or choose f:alpha,alpha={alpha:g}")
    return DIVERGENCES[name]


def f(name: str, alpha: float | None = None, generator: GeneratorForm = "saturating") -> Objective:
    """The f-GAN objective of a divergence, for the command line: `f:hellinger,generator=non-saturating`.

    >>> f("gan").generator(None, torch.tensor([0.0]))  # as `minimax`: log ½
    tensor([-0.6931])
    """
    return divergence(name, alpha).objective(generator)
