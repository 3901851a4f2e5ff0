"""Terms on weights: against their definitions, and kept through a checkpoint."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from zerosum.constraints import spectral_norm
from zerosum.regularisers import Regulariser, historical_averaging, orthogonal

# Each layer, and its weight as WᵀW's Wᵀ: [out, rest].
LAYERS = {
    "wide": (lambda: nn.Linear(7, 4), lambda w: w),
    "tall": (lambda: nn.Linear(4, 7), lambda w: w),
    "conv": (lambda: nn.Conv2d(2, 5, 3), lambda w: w.reshape(5, 18)),
    "transposed": (lambda: nn.ConvTranspose2d(6, 4, 3), lambda w: w.permute(1, 0, 2, 3).reshape(4, 54)),
    "transposed, tall": (lambda: nn.ConvTranspose2d(1, 5, 2), lambda w: w.reshape(5, 4)),
}


def by_definition(matrix: Tensor, form: str) -> Tensor:
    gram, one = matrix @ matrix.mT, torch.eye(len(matrix), dtype=matrix.dtype)
    return ((gram * (1 - one)) if form == "off-diagonal" else gram - one).square().sum()


@pytest.mark.parametrize("form", ["off-diagonal", "identity"])
@pytest.mark.parametrize("kind", LAYERS)
def test_orthogonal_is_its_definition_and_so_is_its_gradient(kind, form):
    torch.manual_seed(0)
    make, as_matrix = LAYERS[kind]
    layer = make().double()
    cost = orthogonal(weight=0.5, form=form)("generator", layer)
    expected = 0.5 * by_definition(as_matrix(layer.weight), form)
    torch.testing.assert_close(cost, expected)
    found, wanted = (torch.autograd.grad(c, layer.weight)[0] for c in (cost, expected))
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("form", ["off-diagonal", "identity"])
def test_orthogonal_weights_cost_nothing(form):
    layer = nn.utils.parametrizations.orthogonal(nn.Linear(6, 4).double())
    plain = nn.Linear(6, 4).double()
    plain.weight = nn.Parameter(layer.weight.detach())
    assert orthogonal(1.0, form)("generator", plain).item() < 1e-20
    plain.weight.data.mul_(2)
    # BigGAN's form leaves the norms free: 4 filters, each of squared norm 4, cost (4−1)² each.
    assert orthogonal(1.0, form)("generator", plain).item() == pytest.approx(0 if form[0] == "o" else 36)


def test_orthogonal_adds_layers_and_leaves_all_else_alone():
    net = nn.Sequential(
        nn.Embedding(5, 3), nn.Linear(3, 4), nn.BatchNorm1d(4), nn.LayerNorm(4), nn.Linear(4, 2)
    )
    term = orthogonal(weight=1.0)
    cost = term("generator", net)
    torch.testing.assert_close(cost, term("generator", net[1]) + term("generator", net[4]))
    cost.backward()
    assert [name for name, p in net.named_parameters() if p.grad is not None] == ["1.weight", "4.weight"]
    with pytest.raises(ValueError, match="no linear or convolutional layer"):
        term("critic", net[2])


def test_orthogonal_takes_the_weight_before_spectral_norm():
    net = nn.Sequential(nn.Linear(5, 4))
    before = orthogonal(1.0)("critic", net)
    spectral_norm().prepare(net)
    torch.testing.assert_close(orthogonal(1.0)("critic", net), before)


def test_orthogonal_is_float32_under_autocast():
    net = nn.Linear(32, 16)
    with torch.autocast("cpu", torch.bfloat16):
        cost = orthogonal(1.0)("generator", net)
    assert torch.equal(cost, orthogonal(1.0)("generator", net))


def test_descent_makes_filters_orthogonal():
    torch.manual_seed(0)
    layer = nn.Linear(12, 6, bias=False)
    norms = layer.weight.detach().norm(dim=1)
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.2)
    for _ in range(300):
        optimiser.zero_grad()
        orthogonal(1.0)("generator", layer).backward()
        optimiser.step()
    gram = layer.weight.detach() @ layer.weight.detach().mT
    assert (gram - torch.diag(gram.diagonal())).abs().max() < 1e-4
    assert layer.weight.detach().norm(dim=1).min() > 0.5 * norms.min()


def moved(term: Regulariser, net: nn.Module, moves: int, seed: int = 0) -> list[Tensor]:
    """Let the net wander, and return where it was."""
    generator = torch.Generator().manual_seed(seed)
    places = []
    for _ in range(moves):
        with torch.no_grad():
            for p in net.parameters():
                p.add_(torch.randn(p.shape, generator=generator))
        term.after("critic", net)
        places.append(nn.utils.parameters_to_vector(net.parameters()).detach().clone())
    return places


def test_history_is_the_mean_of_all_places():
    torch.manual_seed(0)
    net, term = nn.Linear(3, 2), historical_averaging(weight=0.5)
    term.prepare("critic", net)
    assert term("critic", net).item() == 0, "no past yet"
    places = moved(term, net, 7)
    mean = torch.stack(places).mean(0)
    cost = term("critic", net)
    torch.testing.assert_close(cost, 0.5 * (places[-1] - mean).square().sum())
    (gradient,) = torch.autograd.grad(cost, net.bias)
    torch.testing.assert_close(gradient, (places[-1] - mean)[6:])


def test_history_survives_a_checkpoint():
    net, term = nn.Linear(3, 2), historical_averaging()
    term.prepare("critic", net)
    moved(term, net, 5)
    state = deepcopy(term.state_dict())
    again = historical_averaging()
    again.prepare("critic", net)
    again.load_state_dict(state)
    assert torch.equal(again("critic", net), term("critic", net))
    other = deepcopy(net)
    moved(term, net, 3, seed=1)
    moved(again, other, 3, seed=1)
    assert torch.equal(again("critic", other), term("critic", net))


def test_players_have_histories_of_their_own():
    critic, generator, term = nn.Linear(3, 2), nn.Linear(4, 1), historical_averaging()
    term.prepare("critic", critic)
    term.prepare("generator", generator)
    moved(term, critic, 3)
    assert term("generator", generator).item() == 0
    assert term("critic", critic).item() > 0
    assert {name.split("_")[0] for name in term.state_dict()} == {"critic", "generator"}


def test_a_regulariser_says_whom_it_is_for():
    assert orthogonal().player == "generator"
    assert orthogonal(player="critic").player == "critic"
    assert historical_averaging().player == "both"
    with pytest.raises(ValueError, match="orthogonal: weight=-1"):
        orthogonal(weight=-1.0)
