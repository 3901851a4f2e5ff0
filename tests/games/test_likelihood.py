"""The variational autoencoder's bound: its terms against closed forms, and where it is log p(x) itself."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, MultivariateNormal, Normal, kl_divergence

from zerosum.draws import Draws
from zerosum.games.game import Batch, Clock
from zerosum.games.likelihood import Variational, bernoulli, gaussian, kl_to_standard
from zerosum.nets.vae import Decoder, Encoder, convolutional, perceptrons

SPREAD = 0.7  # of the linear decoder's noise


def laws(k: int = 3) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(5, k, dtype=torch.float64), 0.8 * torch.randn(5, k, dtype=torch.float64)


def test_kl_is_that_of_torch_and_of_sampling() -> None:
    mean, log_variance = laws()
    found = kl_to_standard(mean, log_variance)
    law, prior = Normal(mean, torch.exp(log_variance / 2)), Normal(0.0, 1.0)
    torch.testing.assert_close(found, kl_divergence(law, prior).sum(1))
    torch.manual_seed(1)
    z = law.rsample((20_000,))
    gaps = (law.log_prob(z) - prior.log_prob(z)).sum(2)
    assert ((gaps.mean(0) - found).abs() < 4 * gaps.std(0) / math.sqrt(len(z))).all()


def test_kl_keeps_its_digits_near_the_prior() -> None:
    log_variance = torch.full((1, 1), 1e-2)  # KL = s²/4 + s³/12 + …
    found = kl_to_standard(torch.zeros(1, 1), log_variance).item()
    assert found == pytest.approx(0.25e-4 + 1e-6 / 12, rel=1e-4)


def test_likelihoods_are_those_of_torch() -> None:
    torch.manual_seed(0)
    h = torch.randn(4, 1, 3, 2)
    real = torch.rand(4, 1, 3, 2).round() * 2 - 1
    want = Bernoulli(logits=h).log_prob((real + 1) / 2).flatten(1).sum(1)
    torch.testing.assert_close(bernoulli()(real, h, torch.tanh(h / 2)), want)
    want = Normal(torch.tanh(h / 2), 0.3).log_prob(real).flatten(1).sum(1)
    torch.testing.assert_close(gaussian(0.3)(real, h, torch.tanh(h / 2)), want)
    sure = torch.full((1, 1, 1, 1), 200.0)  # whose sample is 1, and −1 was seen
    assert bernoulli()(-sure.sign(), sure, sure.sign()).item() == -200
    with pytest.raises(ValueError, match="deviation must be positive, not 0"):
        gaussian(0)


class Given(Draws):
    """Draws whose normal numbers are ±√k at one place each: over all 2k, means of quadratics are exact."""

    def normal(self, purpose: str, *shape: int) -> Tensor:
        one = math.sqrt(shape[0]) * torch.eye(shape[0], dtype=torch.float64)
        return torch.cat([one, -one])


class Posterior(nn.Module):
    """Of z given x = Wz + noise: of all normal laws with independent numbers, the nearest."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.precision = torch.eye(weight.shape[1], dtype=weight.dtype) + weight.T @ weight / SPREAD**2
        self.gain = torch.linalg.solve(self.precision, weight.T) / SPREAD**2

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = x @ self.gain.T
        return mean, -torch.log(self.precision.diagonal()).expand_as(mean)


def bound_and_evidence(weight: Tensor) -> tuple[float, float]:
    """The ELBO of the best such law, and log p(x), of a linear decoder at one x."""
    n, k = weight.shape
    linear = nn.Linear(k, n, bias=False, dtype=weight.dtype)
    linear.weight.data.copy_(weight)
    game = Variational(Posterior(weight), Decoder(linear, points=True), gaussian(SPREAD))
    torch.manual_seed(2)
    x = torch.randn(n, dtype=weight.dtype)
    (turn,) = game.turns(Clock())
    batch = Batch({"real": x.expand(2 * k, n)}, Given(stop=2 * k), 2 * k)
    bound = -sum(term.mean() for term in turn.terms(batch).loss.values())
    evidence = MultivariateNormal(
        torch.zeros(n, dtype=weight.dtype),
        weight @ weight.T + SPREAD**2 * torch.eye(n, dtype=weight.dtype),
    ).log_prob(x)
    assert isinstance(bound, Tensor)
    return bound.item(), evidence.item()


def test_the_bound_is_the_likelihood_where_the_posterior_is_exact() -> None:
    """Columns at right angles: WᵀW is diagonal, and so is the posterior's covariance."""
    torch.manual_seed(3)
    basis, _ = torch.linalg.qr(torch.randn(6, 3, dtype=torch.float64))
    bound, evidence = bound_and_evidence(basis * torch.tensor([2.0, 1.0, 0.3], dtype=torch.float64))
    assert bound == pytest.approx(evidence, abs=1e-9)


def test_the_bound_lies_below_by_the_kl_where_it_is_not() -> None:
    torch.manual_seed(3)
    weight = torch.randn(6, 3, dtype=torch.float64)
    bound, evidence = bound_and_evidence(weight)
    precision = Posterior(weight).precision
    gap = (precision.diagonal().log().sum() - torch.logdet(precision)).item() / 2  # KL(q ‖ posterior)
    assert gap > 0.1
    assert bound == pytest.approx(evidence - gap, abs=1e-9)


def test_a_turn_draws_each_sample_s_latent_by_its_number_and_may_be_split() -> None:
    encoder, decoder = perceptrons((1, 4, 4), latent=2, hidden=(8,))
    game = Variational(encoder, decoder, bernoulli())
    (turn,) = game.turns(Clock())
    assert turn.splits
    real = torch.rand(20, 1, 4, 4) * 2 - 1
    whole = turn.terms(Batch({"real": real}, Draws(5, stop=20), 20)).loss
    part = turn.terms(Batch({"real": real[7:]}, Draws(5, start=7, stop=20), 20)).loss
    for name, term in whole.items():
        assert term.shape == (20,)
        torch.testing.assert_close(part[name], term[7:])
    for module in (game.encoder, game.generator):  # reparametrised: gradients reach both through z
        gradients = torch.autograd.grad(
            whole["reconstruction"].sum(), list(module.parameters()), retain_graph=True
        )
        assert all(g.abs().max() > 0 for g in gradients)


def test_batch_norm_may_not_be_split() -> None:
    for norm, splits in (("batch", False), ("layer", True)):
        game = Variational(*convolutional((1, 16, 16), latent=3, width=2, norm=norm), gaussian())
        (turn,) = game.turns(Clock())
        assert turn.splits is splits


def test_nets_are_those_of_the_compressed_sensing_paper() -> None:
    encoder, decoder = perceptrons((1, 28, 28), latent=20, hidden=(500, 500))
    sizes = [[tuple(p.shape) for p in net.parameters() if p.dim() == 2] for net in (encoder, decoder)]
    assert sizes == [[(500, 784), (500, 500), (40, 500)], [(500, 20), (500, 500), (784, 500)]]
    assert [type(layer).__name__ for layer in decoder.layers] == [
        *("Linear", "Softplus", "Linear", "Softplus", "Linear", "Unflatten")
    ]
    assert isinstance(encoder, Encoder)
    real = torch.full(
        (1, 1, 28, 28), -1.0
    )  # a blank image is all zeros to the first layer, whose biases are 0
    assert encoder.layers[:3](real).abs().max() == 0
