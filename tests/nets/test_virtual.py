"""Virtual batch norm: each sample by itself and the reference, as section 3.4 says."""

import pytest
import torch
from torch import nn

from zerosum.draws import Draws
from zerosum.games.fitting import mixes_batch
from zerosum.nets.dcgan import DCGANCritic, DCGANGenerator
from zerosum.nets.virtual import REFERENCE, Reference, VirtualBatchNorm
from zerosum.penalties import wgan_gp


def critic(channels: int = 1) -> DCGANCritic:
    net = DCGANCritic((channels, 16, 16), width=2, kernel=3, norm="virtual")
    net.refer_to(torch.randn(100, channels, 16, 16))
    return net


@pytest.mark.parametrize("shape", [(3, 4, 5), (3,)])
def test_statistics_are_the_references_and_a_little_the_samples_own(shape):
    layer = VirtualBatchNorm(3).double()
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    x = 2 + 3 * torch.randn(REFERENCE + 4, *shape, dtype=torch.float64)
    reference, others = x[:REFERENCE], x[REFERENCE:]
    found = layer(x)
    axes = [0, *range(2, x.dim())]

    def normal(samples: torch.Tensor, among: torch.Tensor) -> torch.Tensor:
        mean, variance = among.mean(axes, keepdim=True), among.var(axes, correction=0, keepdim=True)
        y = (samples - mean) / (variance + 1e-5).sqrt()
        view = [1, 3, *[1] * (x.dim() - 2)]
        return y * layer.weight.view(view) + layer.bias.view(view)

    torch.testing.assert_close(found[:REFERENCE], normal(reference, reference))
    for i, sample in enumerate(others.split(1)):
        # The reference and the sample together are one batch of n+1.
        torch.testing.assert_close(found[REFERENCE + i :][:1], normal(sample, torch.cat([reference, sample])))


@pytest.mark.parametrize(
    "net", [critic(), DCGANGenerator((1, 16, 16), latent=4, width=2, kernel=3, norm="virtual")]
)
def test_a_samples_output_depends_on_itself_and_the_reference_alone(net):
    x = torch.randn(5, 1, 16, 16) if isinstance(net, DCGANCritic) else torch.randn(5, 4)
    together = net(x)
    torch.testing.assert_close(torch.cat([net(x[i : i + 1]) for i in range(5)]), together)
    torch.testing.assert_close(net(torch.cat([x[:1], 10 * x[1:]]))[:1], together[:1])
    assert not mixes_batch(net)
    net.reference.samples.mul_(2)
    assert not torch.allclose(net(x), together, rtol=1e-2, atol=0)


def test_features_near_the_references_come_out_with_mean_0_and_variance_1():
    layer = VirtualBatchNorm(2)
    out = layer(5 + 3 * torch.randn(REFERENCE + 500, 2, 4, 4))[REFERENCE:]
    assert out.mean().abs() < 0.1
    assert (out.var() - 1).abs() < 0.1


def test_gradient_penalties_may_be_taken():
    net = critic().double()
    x = torch.randn(2, 1, 16, 16, dtype=torch.float64, requires_grad=True)
    together = torch.autograd.grad(net(x).sum(), x)[0]
    alone = [torch.autograd.grad(net(sample).sum(), x)[0] for sample in x.split(1)]
    torch.testing.assert_close(together, sum(alone))
    wgan_gp()(net, x.detach(), -x.detach(), Draws(stop=2)).sum().backward()
    gradients = [p.grad for p in net.parameters() if p.dim() > 1]
    assert all(g is not None and g.isfinite().all() and g.any() for g in gradients)


def test_a_bias_before_it_would_do_nothing_and_is_left_out():
    convolutions = [m for m in critic().modules() if isinstance(m, nn.Conv2d)][1:]
    assert all(m.bias is None for m in convolutions)


def test_the_reference_is_state_and_survives():
    first, second = critic(), DCGANCritic((1, 16, 16), width=2, kernel=3, norm="virtual")
    second.load_state_dict(first.state_dict())
    x = torch.randn(3, 1, 16, 16)
    assert torch.equal(first(x), second(x))
    assert "reference.samples" in first.state_dict()


def test_without_a_reference_nothing_is_judged():
    net = DCGANCritic((1, 16, 16), width=2, kernel=3, norm="virtual")
    with pytest.raises(RuntimeError, match="refer_to"):
        net(torch.zeros(2, 1, 8, 8))


def test_the_reference_is_spread_over_what_is_given():
    reference = Reference((1,))
    reference.set_to(torch.arange(1000.0)[:, None])
    gaps = reference.samples.flatten().diff()
    assert reference.samples[0] == 0
    assert reference.samples[-1] == 999
    assert set(gaps.tolist()) == {15.0, 16.0}
    reference.set_to(torch.arange(3.0)[:, None])
    assert set(reference.samples.flatten().tolist()) == {0.0, 1.0, 2.0}


def test_a_critic_of_packs_takes_single_samples_as_its_reference():
    net = DCGANCritic((6, 8, 8), width=2, kernel=3, norm="virtual")
    real = torch.randn(2 * REFERENCE, 3, 8, 8)
    net.refer_to(real)
    assert torch.equal(net.reference.samples[1], torch.cat([real[2], real[3]]))
    with pytest.raises(ValueError, match="reference batch for inputs"):
        net.refer_to(torch.randn(9, 4, 8, 8))


def test_other_norms_have_no_reference():
    for net in (DCGANCritic((1, 8, 8), width=2), DCGANGenerator((1, 8, 8), latent=4, width=2)):
        net.refer_to(torch.zeros(1))
        assert net.reference is None
