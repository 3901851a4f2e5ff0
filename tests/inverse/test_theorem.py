"""The theorem's bound where the minimum is exact: a linear generator and its projection."""

import math

import pytest
import torch
from torch import Tensor

from zerosum.inverse.gaussian import Gaussian
from zerosum.inverse.theorem import Promise, promise, restricted_eigenvalue

K, M, SHAPE = 5, 25, (1, 10, 10)
CASES = 200


def generator(seed: int) -> Tensor:
    torch.manual_seed(seed)
    return torch.randn(100, K, dtype=torch.float64)


def images(g: Tensor, z: Tensor) -> Tensor:
    return (z @ g.T).unflatten(-1, SHAPE)


def least_squares(operator: Gaussian, g: Tensor, y: Tensor) -> Tensor:
    """ẑ with the least ‖y − AG(z)‖, exactly: so ε = 0."""
    seen = operator.forward(images(g, torch.eye(K).double())).T
    return torch.linalg.lstsq(seen, y.T).solution.T


def nearest(g: Tensor, x: Tensor) -> Tensor:
    """The projection on the range: min over z of ‖G(z) − x‖, exactly."""
    q = torch.linalg.qr(g).Q
    return (x.flatten(1) @ q @ q.T).unflatten(-1, SHAPE)


def test_images_of_the_range_come_back_exactly():
    g, operator = generator(0), Gaussian(SHAPE, M)
    x = images(g, torch.randn(CASES, K, dtype=torch.float64))
    y = operator.forward(x)
    found = images(g, least_squares(operator, g, y))
    told = promise(operator, y, x, found, nearest(g, x), 0.0)
    assert float(told.error.max()) < 1e-6
    assert float(told.bound.max()) < 1e-6
    assert float((found - x).abs().max()) < 1e-6


def test_the_bound_holds_for_all_matrices_images_and_noise():
    held, ratios = [], []
    for seed in range(CASES):
        g, operator = generator(seed), Gaussian(SHAPE, M, seed=seed)
        away = 10.0 ** torch.linspace(-3, 1, 8, dtype=torch.float64)[:, None, None, None]
        x = images(g, torch.randn(8, K, dtype=torch.float64)) + away * torch.randn(8, *SHAPE).double()
        noise = 0.1 / math.sqrt(M) * torch.randn(8, M, dtype=torch.float64)
        y = operator.forward(x) + noise
        found = images(g, least_squares(operator, g, y))
        told = promise(operator, y, x, found, nearest(g, x), 0.0)
        assert torch.allclose(told.noise, noise.norm(dim=1))
        held.append(told.holds)
        ratios.append(told.bound / told.error)
        assert torch.allclose(
            promise(operator, y, x, found, nearest(g, x)).excess, torch.tensor(0.0).double()
        )
    assert torch.stack(held).all()
    assert 2 < float(torch.stack(ratios).median()) < 8  # how loose it is: more than it need be


def test_each_term_is_weighted_as_the_theorem_says():
    told = Promise(*(torch.tensor([value]) for value in (0.5, 0.25, 0.125, 4.0)))
    assert told.bound.item() == 6 * 0.5 + 3 * 0.25 + 2 * 0.125
    assert told.slack.item() == 0
    assert told.holds.item()


def test_a_worse_answer_is_paid_for_by_epsilon():
    g, operator = generator(1), Gaussian(SHAPE, M)
    x = images(g, torch.randn(50, K, dtype=torch.float64))
    y = operator.forward(x)
    found = images(g, least_squares(operator, g, y) + 0.3 * torch.randn(50, K, dtype=torch.float64))
    told = promise(operator, y, x, found, nearest(g, x))
    assert torch.allclose(told.excess, (y - operator.forward(found)).norm(dim=1))
    assert torch.allclose(told.bound, 2 * told.excess, atol=1e-9)
    assert told.holds.all()


def test_a_broken_bound_is_told():
    g, operator = generator(1), Gaussian(SHAPE, M)
    x = images(g, torch.randn(3, K, dtype=torch.float64))
    told = promise(operator, operator.forward(x), x, -x, x, 0.0)
    assert not told.holds.any()
    assert torch.allclose(told.slack, -2 * x.flatten(1).norm(dim=1))


def test_gaussian_measurements_keep_the_range_apart():
    """S-REC at m = 5k: over all pairs γ is the least singular value of A on the range."""
    found = []
    for seed in range(50):
        g, operator = generator(seed), Gaussian(SHAPE, M, seed=seed)
        seen = operator.forward(torch.linalg.qr(g).Q.T.unflatten(-1, SHAPE))
        exact = float(torch.linalg.svdvals(seen)[-1])
        pairs = images(g, torch.randn(2, 2000, K, dtype=torch.float64))
        sampled = restricted_eigenvalue(operator, *pairs)
        assert exact - 1e-9 <= sampled <= 1.35 * exact
        found.append(exact)
    gammas = torch.tensor(found)
    # Gordon: E γ ≥ 1 − √(k/m) = .55, and with fewer measurements than k nothing is kept apart.
    assert float(gammas.mean()) > 1 - math.sqrt(K / M)
    assert float(gammas.min()) > 0.2
    few = Gaussian(SHAPE, K - 1).forward(torch.linalg.qr(generator(0)).Q.T.unflatten(-1, SHAPE))
    assert float(torch.linalg.eigvalsh(few @ few.T)[0]) < 1e-9


def test_bad_input_is_refused():
    operator = Gaussian(SHAPE, M)
    x = torch.randn(2, *SHAPE)
    y = operator.forward(x)
    with pytest.raises(ValueError, match="one shape"):
        promise(operator, y, x, x[:1], x)
    with pytest.raises(ValueError, match="not finite"):
        promise(operator, y / 0, x, x, x)
    assert math.isnan(restricted_eigenvalue(operator, x, x))
