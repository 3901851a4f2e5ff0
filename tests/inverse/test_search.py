"""The one solver: exact where the answer is known, and each image on its own."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from zerosum.draws import Latent
from zerosum.inverse.descent import LBFGS, Adam, LevenbergMarquardt, Method, Momentum, _leaders
from zerosum.inverse.frozen import frozen
from zerosum.inverse.masks import Mask
from zerosum.inverse.misfit import Misfit, Prior, Problem, jacobian
from zerosum.inverse.operators import Shown
from zerosum.inverse.search import METHODS, Found, method_for, nearest_of_many, random_starts, search
from zerosum.nets.dcgan import DCGANGenerator

SHAPE = (1, 6, 6)
METHODS_HERE = [
    Adam(rate=0.1, steps=600),
    Momentum(rate=0.002, steps=400),
    LBFGS(steps=60),
    LevenbergMarquardt(steps=20),
]


class Dense:
    """A given matrix [m, n] on flattened images."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(-3) @ self.matrix.mT


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def small_net(k: int = 4) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(k, 32), nn.Softplus(), nn.Linear(32, 36), nn.Unflatten(1, SHAPE))
    for layer in net:
        if isinstance(layer, nn.Linear):
            layer.weight.data *= 2
    return net.eval().requires_grad_(False)


def linear(k: int = 5, n: int = 100) -> tuple[Tensor, Dense]:
    """A linear generator's matrix [n, k], and 25 Gaussian measurements of 100 pixels."""
    return normal(n, k), Dense(normal(25, n, seed=1) / 5)


@pytest.mark.parametrize(
    "method", [LBFGS(steps=200, tolerance=0.0), LevenbergMarquardt()], ids=["lbfgs", "lm"]
)
def test_a_linear_generator_is_recovered_from_a_quarter_of_its_pixels(method: Method) -> None:
    basis, dense = linear()
    truth = normal(3, 5, seed=2).double()
    basis, dense.matrix = basis.double(), dense.matrix.double()

    def decode(z: Tensor) -> Tensor:
        return (z @ basis.mT).view(-1, 1, 10, 10)

    y = dense.forward(decode(truth))
    found = search(decode, Misfit(dense, y), normal(2, 3, 5, seed=3).double(), method=method)
    assert (found.image - decode(truth)).flatten(1).norm(dim=1).max() < 1e-6
    # The theorem at its minimum: noiseless, in the range, so the error is at most what search leaves.
    assert found.misfit.max() < 1e-12


@pytest.mark.parametrize("method", METHODS_HERE, ids=[type(m).__name__ for m in METHODS_HERE])
def test_each_method_reaches_the_ridge_solution(method: Method) -> None:
    """For a linear G the objective with λ‖z‖² has a closed minimum: (JᵀJ + λI)⁻¹Jᵀy."""
    basis, dense = linear()
    y = normal(2, 25, seed=4)
    slope = dense.matrix @ basis
    ridge = torch.linalg.solve(slope.mT @ slope + 0.7 * torch.eye(5), slope.mT @ y.mT).mT
    found = search(
        lambda z: (z @ basis.mT).view(-1, 1, 10, 10),
        Misfit(dense, y),
        torch.zeros(1, 2, 5),
        method=method,
        prior=Prior(norm=0.7),
    )
    assert torch.allclose(found.latent, ridge, atol=2e-3)


@pytest.mark.parametrize("method", METHODS_HERE, ids=[type(m).__name__ for m in METHODS_HERE])
def test_an_image_does_not_depend_on_its_neighbours(method: Method) -> None:
    net, dense = small_net(), Dense(normal(12, 36, seed=5) / 3)
    y = dense.forward(net(normal(4, 4, seed=6))) + 0.01 * normal(4, 12, seed=7)
    start = random_starts(Latent(4), 3, 4, seed=1)
    together = search(net, Misfit(dense, y), start, method=method)
    alone = search(net, Misfit(dense, y[2:3]), start[:, 2:3], method=method)
    assert torch.allclose(together.image[2], alone.image[0], atol=2e-3)
    split = search(net, Misfit(dense, y), start, method=method, at_once=3)
    assert torch.allclose(split.image, together.image, atol=2e-3)
    assert torch.equal(split.chosen, together.chosen) or torch.allclose(
        split.misfit, together.misfit, atol=1e-4
    )


@pytest.mark.parametrize("method", [LBFGS(steps=60, race=4), LevenbergMarquardt(steps=20, race=1)])
def test_a_race_finds_what_all_restarts_find_and_asks_less(method: LBFGS | LevenbergMarquardt) -> None:
    net, dense = small_net(), Dense(normal(20, 36, seed=5) / 4)
    y = dense.forward(net(normal(4, 4, seed=6))) + 0.02 * normal(4, 20, seed=7)
    start, asked = random_starts(Latent(4), 8, 4, seed=2), [0, 0]
    found = []
    for number, race in enumerate((method.race, 0)):

        def counting(z: Tensor, number: int = number) -> Tensor:
            asked[number] += len(z)
            return net(z)

        found.append(search(counting, Misfit(dense, y), start, method=replace(method, race=race)))
    raced, whole = found
    assert torch.allclose(raced.misfit, whole.misfit, rtol=1e-2, atol=1e-4)
    assert asked[0] < 0.7 * asked[1]
    # Who leads is asked of each image's own restarts, so neighbours do not matter.
    alone = search(net, Misfit(dense, y[2:3]), start[:, 2:3], method=method)
    assert torch.allclose(raced.image[2], alone.image[0], atol=2e-3)


def test_the_better_half_goes_on_and_what_is_near_the_best() -> None:
    value = torch.tensor([[15.0, 1.0], [14.0, 1.9], [13.0, 12.0], [12.0, 14.0], [1.0, 15.0]]).flatten()
    going = torch.ones(10, dtype=torch.bool)
    going[8] = False  # the first image's best rests: it has arrived
    left = _leaders(value, going, 5)
    assert left.view(5, 2).T.tolist() == [[False, False, True, True, False], [True, True, True, False, False]]
    assert _leaders(value, left, 5).view(5, 2).sum(0).tolist() == [2, 2]
    assert torch.equal(_leaders(value, _leaders(value, left, 5), 5), _leaders(value, left, 5))
    near = _leaders(value.clamp(11, 13), torch.ones(10, dtype=torch.bool), 5)
    assert near.all()
    below = _leaders(value - 20, torch.ones(10, dtype=torch.bool), 5)  # as a critic's word may make it
    assert below.view(5, 2).sum(0).tolist() == [5, 5]


def test_rows_that_rest_cost_nothing() -> None:
    """Restarts that begin at the answer rest at once; the search then asks of the others alone."""
    net, dense = small_net(), Dense(torch.eye(36))
    truth = normal(3, 4, seed=6)
    start = truth[None].repeat(3, 1, 1)
    start[2] += 0.5
    for method in (LBFGS(steps=40), LevenbergMarquardt(steps=20)):
        asked: list[int] = []

        def decode(z: Tensor, asked: list[int] = asked) -> Tensor:
            asked.append(len(z))
            return net(z)

        search(decode, Misfit(dense, net(truth).flatten(1)), start, method=method)
        assert max(asked[len(asked) // 2 : -1]) <= 3


def test_the_best_restart_is_the_one_that_fits_the_measurements() -> None:
    net, dense = small_net(), Dense(normal(12, 36, seed=5) / 3)
    misfit = Misfit(dense, dense.forward(net(normal(3, 4, seed=6))))
    found = search(net, misfit, random_starts(Latent(4), 5, 3), method=Adam(steps=30))
    assert torch.equal(found.chosen, found.misfits.argmin(0))
    assert torch.allclose(misfit(found.image[None])[0], found.misfit)
    assert torch.allclose(net(found.latent), found.image, atol=1e-5)


def test_adam_is_pytorchs() -> None:
    net, dense = small_net(), Dense(normal(12, 36, seed=5) / 3)
    y, start = normal(2, 12, seed=8), normal(1, 2, 4, seed=9)
    z = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([z], lr=0.05)
    problem, values = Problem(net, Misfit(dense, y), Prior()), []
    for _ in range(21):
        optimiser.zero_grad()
        loss = problem.objective(z)
        values.append(loss.detach())
        loss.sum().backward()
        optimiser.step()
    heard: list[Tensor] = []
    Adam(rate=0.05, steps=20)(problem, start, lambda i, of, best: heard.append(best))
    least = torch.stack(values[:20]).cummin(0).values
    assert torch.allclose(torch.stack(heard), least, rtol=1e-4)


def test_the_second_order_methods_need_fewer_steps_than_adam() -> None:
    net, dense = small_net(), Dense(normal(20, 36, seed=5) / 4)
    y = dense.forward(net(normal(4, 4, seed=6))) + 0.02 * normal(4, 20, seed=7)
    problem, start = Problem(net, Misfit(dense, y), Prior()), random_starts(Latent(4), 1, 4, seed=2)
    reached = {}
    for name, method in (("adam", Adam(0.05, 100)), ("lm", LevenbergMarquardt(12)), ("lbfgs", LBFGS(25))):
        reached[name] = problem.objective(method(problem, start)).sum()
    assert reached["lm"] < reached["adam"] * 1.01
    assert reached["lbfgs"] < reached["adam"] * 1.01


def test_power_one_forgives_outliers() -> None:
    basis = normal(36, 3)
    dense = Dense(torch.eye(36))
    truth = normal(2, 3, seed=1)
    y = truth @ basis.mT
    y[:, ::9] += 10  # a ninth of the pixels is spoilt
    errors = {}
    for power in (1, 2):
        misfit = Misfit(dense, y, power=1 if power == 1 else 2)
        found = search(
            lambda z: (z @ basis.mT).view(-1, *SHAPE),
            misfit,
            torch.zeros(1, 2, 3),
            method=LevenbergMarquardt(60),
        )
        errors[power] = float((found.latent - truth).norm())
    assert errors[1] < 0.05 < 0.5 < errors[2]


@pytest.mark.parametrize("kind", ["perceptron", "dcgan"])
def test_the_jacobian_is_that_of_finite_differences(kind: str) -> None:
    net = (
        small_net().double()
        if kind == "perceptron"
        else frozen(DCGANGenerator((1, 8, 8), latent=4, width=2)).double()
    )
    z = normal(3, 4).double()
    found, step = jacobian(net, z), 1e-6
    for j in range(4):
        move = torch.zeros(4).double()
        move[j] = step
        slope = (net(z + move) - net(z - move)) / (2 * step)
        assert torch.allclose(found[..., j], slope, atol=1e-6)


def test_whitening_and_weights_multiply_the_residual() -> None:
    y = normal(2, 5)
    x = normal(3, 2, 1, 1, 5, seed=1)
    dense, weight = Dense(torch.eye(5)), torch.rand(5)
    plain = Misfit(dense, y).residual(x)
    assert torch.allclose(Misfit(dense, y, weight=weight).residual(x), plain * weight)
    assert torch.allclose(Misfit(dense, y, whiten=weight.diag()).residual(x), plain * weight, atol=1e-6)


def test_priors() -> None:
    prior = Prior(within=1.0)
    assert prior.keep(torch.tensor([2.0, -3.0])).tolist() == [1.0, -1.0]
    long = Prior(shell=True).keep(torch.full((1, 100), 3.0))
    assert long.norm() == pytest.approx(12.0)
    z, x = torch.zeros(1, 2, 3), torch.zeros(1, 2, 1, 2, 2)
    real = Prior(realism=2.0, critic=lambda x: torch.tensor([0.0, 5.0]))(z, x)
    assert torch.allclose(real, 2 * torch.log(1 - torch.sigmoid(torch.tensor([[0.0, 5.0]]))), atol=1e-4)


def test_many_random_latents_give_nearer_starts() -> None:
    net, dense = small_net(), Dense(torch.eye(36))
    misfit = Misfit(dense, net(normal(3, 4, seed=6)).flatten(1))
    near = nearest_of_many(net, misfit, Latent(4), keep=2, among=200)
    assert near.shape == (2, 3, 4)
    far = random_starts(Latent(4), 2, 3)
    problem = Problem(net, misfit, Prior())
    assert (problem.objective(near).amax(0) < problem.objective(far).amin(0)).all()


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("method", METHODS_HERE, ids=[type(m).__name__ for m in METHODS_HERE])
def test_each_image_has_its_own_mask_in_every_restart(method: Method, wrapped: bool) -> None:
    net, truth = small_net(), normal(3, 4, seed=6)
    keep = torch.rand(3, 1, 6, 6, generator=torch.Generator().manual_seed(1)) < 0.6
    mask: Mask | Shown = Mask(SHAPE, keep)
    if wrapped:
        mask = Shown(mask, torch.arange(36).view(SHAPE) % 5 > 0)
    misfit = Misfit(mask, mask.forward(net(truth)))
    start = random_starts(Latent(4), 2, 3, seed=3)
    found = search(net, misfit, start, method=method)
    for i in range(3):
        one: Mask | Shown = Mask(SHAPE, keep[i])
        if isinstance(mask, Shown):
            one = Shown(one, mask.shown)
        alone = search(net, Misfit(one, misfit.measured[i : i + 1]), start[:, i : i + 1], method=method)
        assert torch.allclose(found.misfit[i], alone.misfit[0], rtol=1e-2, atol=1e-3)


def test_what_is_finished_is_kept_when_interrupted() -> None:
    net, dense = small_net(), Dense(torch.eye(36))
    misfit = Misfit(dense, net(normal(4, 4, seed=6)).flatten(1))
    finished: list[Found] = []

    def hear(done: int, of: int, *_: object) -> None:
        if done >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(net, misfit, random_starts(Latent(4), 1, 4), at_once=1, hear=hear, keep=finished.append)
    assert len(finished) == 2


def test_what_cannot_be_searched_is_refused() -> None:
    dense = Dense(torch.eye(36))
    y = torch.zeros(2, 36)
    with pytest.raises(ValueError, match="starts"):
        search(small_net(), Misfit(dense, y), torch.zeros(1, 3, 4))
    y[1, 3] = torch.nan
    with pytest.raises(ValueError, match="image 1 are not finite"):
        Misfit(dense, y)
    with pytest.raises(ValueError, match="needs sums of squares"):
        search(
            small_net(),
            Misfit(dense, torch.zeros(2, 36)),
            torch.zeros(1, 2, 4),
            method=LevenbergMarquardt(),
            prior=Prior(realism=1.0, critic=lambda x: x.flatten(1).sum(1)),
        )
    with pytest.raises(ValueError, match="none"):
        Prior(realism=0.1)
    with pytest.raises(ValueError, match="at least 0"):
        Prior(norm=-1.0)
    with pytest.raises(ValueError, match="--restarts"):
        random_starts(Latent(2), 0, 1)


def test_folding_batch_norm_changes_nothing() -> None:
    torch.manual_seed(0)
    net = DCGANGenerator((3, 16, 16), latent=5, width=4)
    for _ in range(3):
        net(torch.randn(16, 5))  # running statistics of their own
    z, folded = torch.randn(4, 5), frozen(net)
    assert torch.allclose(folded(z), net.eval()(z), atol=1e-5)
    norms = [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) < len([m for m in net.modules() if isinstance(m, nn.BatchNorm2d)])


def test_methods_by_name() -> None:
    assert set(METHODS) == {"adam", "momentum", "lbfgs", "lm"}
    assert isinstance(method_for(100), LBFGS)
