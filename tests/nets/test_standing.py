"""Standing statistics: plain averages over passes in training mode, and nothing else changed."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from zerosum.draws import Draws, Latent
from zerosum.nets.biggan import BigGANGenerator
from zerosum.nets.standing import standing_statistics
from zerosum.training.state import Average

LATENT = Latent(9).truncated(0.7)
LABELS = torch.arange(24) % 5


def biggan() -> BigGANGenerator:
    torch.manual_seed(0)
    return BigGANGenerator((1, 16, 16), classes=5, latent=9, width=4, shared=3)


def norms(net: nn.Module) -> list[nn.BatchNorm2d]:
    return [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]


def test_statistics_are_those_of_a_plain_loop():
    net = biggan().double().eval()
    draws = Draws(seed=2, start=7, stop=31)
    standing_statistics(net, LATENT, draws, 3, LABELS)
    seen: dict[nn.Module, list[Tensor]] = {norm: [] for norm in norms(net)}
    loop = deepcopy(net).train()
    inputs = dict(zip(norms(loop), seen.values(), strict=True))
    for norm in inputs:
        norm.register_forward_pre_hook(lambda module, args: inputs[module].append(args[0].detach()))
    z = LATENT(draws).double()
    for i in range(3):
        loop(z[8 * i : 8 * i + 8], LABELS[8 * i : 8 * i + 8])
    assert len(seen) == 5
    for norm, passes in seen.items():
        assert len(passes) == 3
        mean = sum(x.mean((0, 2, 3)) for x in passes) / 3
        variance = sum(x.var((0, 2, 3)) for x in passes) / 3
        torch.testing.assert_close(norm.running_mean, mean, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(norm.running_var, variance, rtol=1e-10, atol=1e-12)


def test_weights_modes_and_momenta_stay():
    average = Average(biggan(), 0.9)
    average.update(biggan(), 0)
    net = average.module
    net.norm.train()  # one layer in another mode than the rest
    before = deepcopy(net)
    standing_statistics(net, LATENT, Draws(stop=24), 4, LABELS)
    assert [m.training for m in net.modules()] == [m.training for m in before.modules()]
    assert [m.momentum for m in norms(net)] == [0.1] * 5
    changed = {
        name.rsplit(".", 1)[-1]
        for name, value in net.state_dict().items()
        if not torch.equal(value, before.state_dict()[name])
    }
    assert changed == {"running_mean", "running_var", "num_batches_tracked"}


def test_it_forgets_what_was_and_repeats_itself():
    one, other = biggan(), biggan()
    other(torch.full((4, 9), 30.0), LABELS[:4])
    for net in (one, other, other):
        standing_statistics(net, LATENT, Draws(stop=24), 4, LABELS)
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])


def test_evaluation_on_one_pass_is_training_on_it():
    net, z = biggan(), LATENT(Draws(stop=24))
    with torch.no_grad():
        trained = net.train()(z, LABELS)
    standing_statistics(net, LATENT, Draws(stop=24), 1, LABELS)
    # Training divides by n, evaluation by n−1, at least 24·16 here.
    torch.testing.assert_close(net.eval()(z, LABELS), trained, rtol=0.0, atol=0.01)


@pytest.mark.parametrize(
    ("count", "batches", "labels", "message"),
    [
        (24, 5, LABELS, "24 draws in 5 batches: give a multiple"),
        (24, 0, LABELS, "24 draws in 0 batches"),
        (4, 4, LABELS[:4], "two or more samples each"),
        (24, 4, LABELS[:23], "24 draws need as many labels, not"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(count, batches, labels, message):
    with pytest.raises(ValueError, match=message):
        standing_statistics(biggan(), LATENT, Draws(stop=count), batches, labels)


def test_a_generator_without_batch_norm_needs_none():
    for net in (nn.Linear(9, 2), nn.Sequential(nn.BatchNorm1d(9, track_running_stats=False))):
        with pytest.raises(ValueError, match="this generator has no batch norm"):
            standing_statistics(net, LATENT, Draws(stop=4), 1)
