"""The non-local block in both forms: against the sums written out, its gradients, and how it begins."""

import pytest
import torch
from torch import Tensor

from zerosum.nets.attention import NonLocal

FORMS = ["pooled", "plain"]
SIZES = [(4, 6), (5, 4), (7, 3), (1, 1)]
each_form = pytest.mark.parametrize("form", FORMS)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def awake(channels: int, form: str) -> NonLocal:
    """A block that does something, in float64."""
    block = NonLocal(channels, form).double()
    if block.gamma is not None:
        torch.nn.init.constant_(block.gamma, 0.7)
    torch.nn.init.normal_(block.out.weight)
    return block


def by_hand(block: NonLocal, x: Tensor) -> Tensor:
    """Equation and slide, place by place."""
    theta, phi, g, out = (m.weight[:, :, 0, 0] for m in (block.theta, block.phi, block.g, block.out))
    keys, values = (torch.einsum("dc,bchw->bdhw", w, x) for w in (phi, g))
    if block.pooled:
        tiles = [
            (slice(i, i + 2), slice(j, j + 2))
            for i in range(0, x.shape[2], 2)
            for j in range(0, x.shape[3], 2)
        ]
        keys, values = (
            torch.stack([m[:, :, a, b].amax((2, 3)) for a, b in tiles], 2) for m in (keys, values)
        )
    else:
        keys, values = keys.flatten(2), values.flatten(2)
    logits = torch.einsum("dc,bchw,bdj->bhwj", theta, x, keys)
    shares = logits.exp() / logits.exp().sum(3, keepdim=True)
    gain = 1.0 if block.gamma is None else block.gamma
    return x + gain * torch.einsum("cd,bhwj,bdj->bchw", out, shares, values)


@each_form
@pytest.mark.parametrize("size", SIZES)
def test_it_is_the_sum_over_places(form, size):
    block, x = awake(16, form), torch.randn(2, 16, *size, dtype=torch.float64)
    torch.testing.assert_close(block(x), by_hand(block, x), rtol=1e-10, atol=1e-10)
    with torch.no_grad():  # as sampling computes it
        torch.testing.assert_close(block(x), by_hand(block, x), rtol=1e-10, atol=1e-10)


@each_form
def test_it_begins_as_the_identity(form):
    x = torch.randn(2, 8, 6, 6)
    assert torch.equal(NonLocal(8, form)(x), x)
    assert not torch.equal(awake(8, form).float()(x), x)


def test_both_can_leave_the_identity():
    for form, moved in (("pooled", "gamma"), ("plain", "out.weight")):
        block = NonLocal(8, form)
        block(torch.randn(2, 8, 6, 6)).square().sum().backward()
        assert block.get_parameter(moved).grad.any()


@each_form
@pytest.mark.parametrize("size", SIZES)
def test_each_place_shares_out_one_whole(form, size):
    weights = awake(8, form).weights(4 * torch.randn(3, 8, *size, dtype=torch.float64))
    places = size[0] * size[1]
    seen = -(-size[0] // 2) * -(-size[1] // 2) if form == "pooled" else places
    assert weights.shape == (3, places, seen)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(2), torch.ones(3, places, dtype=torch.float64))


@each_form
def test_widths_are_the_papers(form):
    shapes = {name: tuple(p.shape) for name, p in NonLocal(64, form).named_parameters()}
    keys = 8 if form == "pooled" else 32
    expected = {
        "theta.weight": (keys, 64, 1, 1),
        "phi.weight": (keys, 64, 1, 1),
        "g.weight": (32, 64, 1, 1),
        "out.weight": (64, 32, 1, 1),
    }
    assert shapes == expected | ({"gamma": ()} if form == "pooled" else {})


@each_form
@pytest.mark.parametrize("channels", [1, 3, 8])
def test_first_and_second_derivatives(form, channels):
    block = awake(channels, form)
    x = torch.randn(1, channels, 3, 2, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in block.named_parameters()]

    def at(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(block, dict(zip(names, values, strict=True)), (x,))

    inputs = (x, *(p.detach().clone().requires_grad_() for p in block.parameters()))
    assert torch.autograd.gradcheck(at, inputs)
    assert torch.autograd.gradgradcheck(at, inputs)


def test_an_unknown_form_is_refused():
    with pytest.raises(ValueError, match="--attention-form must be pooled or plain, not 'gaussian'"):
        NonLocal(8, "gaussian")
