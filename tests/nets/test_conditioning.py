"""Labels in nets, against plain forms: concatenation, a class's own batch norm, projection, classifier."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zerosum.constraints import spectral_norm, weight_matrices
from zerosum.nets.conditioning import (
    ClassifyingCritic,
    ConcatenatedCritic,
    ConcatenatedGenerator,
    ConditionalBatchNorm2d,
    ProjectedCritic,
    class_batch_norm,
    vector_batch_norm,
)
from zerosum.nets.dcgan import DCGANCritic, DCGANGenerator
from zerosum.nets.mlp import MLPCritic
from zerosum.nets.resnet import ResNetCritic, ResNetGenerator
from zerosum.regularisers import orthogonal

CLASSES = 3
LABELS = torch.tensor([2, 0, 1, 2, 2])


def one_hot(labels: Tensor = LABELS) -> Tensor:
    rows = torch.zeros(len(labels), CLASSES)
    for row, label in zip(rows, labels, strict=True):
        row[label] = 1
    return rows


def test_a_concatenated_generator_is_the_net_on_latent_and_one_hot_label():
    net = DCGANGenerator((1, 8, 8), latent=4 + CLASSES, width=4).eval()
    z = torch.randn(5, 4)
    expected = net(torch.cat([z, one_hot()], 1))
    torch.testing.assert_close(ConcatenatedGenerator(net, CLASSES)(z, LABELS), expected, rtol=0, atol=0)


def test_a_concatenated_critic_is_the_net_on_samples_and_maps_of_the_label():
    net = DCGANCritic((2 + CLASSES, 8, 12), width=4).eval()
    x = torch.randn(5, 2, 8, 12)
    maps = torch.zeros(5, CLASSES, 8, 12)
    for index, label in enumerate(LABELS):
        maps[index, label] = 1
    found = ConcatenatedCritic(net, CLASSES)(x, LABELS)
    torch.testing.assert_close(found, net(torch.cat([x, maps], 1)), rtol=0, atol=0)


def test_a_concatenated_critic_takes_points_too():
    net = MLPCritic((2 + CLASSES,), hidden=(6,), bound=None)
    x = torch.randn(5, 2)
    found = ConcatenatedCritic(net, CLASSES)(x, LABELS)
    torch.testing.assert_close(found, net(torch.cat([x, one_hot()], 1)), rtol=0, atol=0)


def apart(norm: ConditionalBatchNorm2d) -> ConditionalBatchNorm2d:
    """With gains and biases that differ in everything."""
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    return norm


def test_class_batch_norm_is_batch_norm_of_all_then_each_classs_own_gain_and_bias():
    norm = apart(class_batch_norm(4, CLASSES))
    plain = nn.BatchNorm2d(4, affine=False)
    x = torch.randn(5, 4, 3, 3) * 2 + 1

    def by_class(mean: Tensor, variance: Tensor) -> Tensor:
        out = torch.empty_like(x)
        for label in range(CLASSES):
            gain, bias = norm.gain.weight[label], norm.bias.weight[label]
            mine = LABELS.eq(label)
            out[mine] = F.batch_norm(x[mine], mean, variance, gain, bias)
        return out

    every = x.transpose(0, 1).flatten(1)
    torch.testing.assert_close(
        norm(x, LABELS), by_class(every.mean(1), every.var(1, unbiased=False)), rtol=1e-5, atol=1e-5
    )
    plain(x)
    assert torch.equal(norm.norm.running_mean, plain.running_mean)
    assert torch.equal(norm.norm.running_var, plain.running_var)
    norm.eval()
    torch.testing.assert_close(norm(x, LABELS), by_class(plain.running_mean, plain.running_var))


def test_a_class_that_the_batch_lacks_learns_nothing_from_it():
    norm = class_batch_norm(4, CLASSES)
    norm(torch.randn(4, 4, 3, 3), torch.tensor([0, 2, 2, 0])).square().mul(torch.rand(3, 3)).sum().backward()
    for rows in (norm.gain.weight.grad, norm.bias.weight.grad):
        assert [bool(row.abs().max() > 1e-6) for row in rows] == [True, False, True]


def test_vector_batch_norm_is_one_plus_a_linear_map_of_the_condition():
    norm = apart(vector_batch_norm(4, size=6))
    x, c = torch.randn(5, 4, 3, 3), torch.randn(5, 6)
    whitened = F.batch_norm(x, None, None, training=True)
    expected = torch.stack(
        [
            (1 + norm.gain.weight @ row)[:, None, None] * each + (norm.bias.weight @ row)[:, None, None]
            for each, row in zip(whitened, c, strict=True)
        ]
    )
    torch.testing.assert_close(norm(x, c), expected)
    assert all(bias is None for bias in (norm.gain.bias, norm.bias.bias))


def test_a_residual_generators_classes_begin_alike_and_part_by_their_own_rows():
    shape, z = (1, 8, 8), torch.randn(5, 6)
    plain = ResNetGenerator(shape, latent=6, width=4).eval()
    told = ResNetGenerator(shape, latent=6, width=4, classes=CLASSES).eval()
    told.load_state_dict(plain.state_dict(), strict=False)
    begun = told(z, LABELS)
    torch.testing.assert_close(begun, plain(z))
    norms = [module for module in told.modules() if isinstance(module, ConditionalBatchNorm2d)]
    assert len(norms) == 2 * len(told.blocks)
    for norm in norms:
        norm.gain.weight.data[2] *= 1.5
        norm.bias.weight.data[2] += 0.5
    changed = (told(z, LABELS) - begun).flatten(1).abs().amax(1) > 1e-4
    assert changed.tolist() == (LABELS == 2).tolist()


@pytest.mark.parametrize("net", [ResNetCritic((1, 8, 8), width=4), DCGANCritic((1, 8, 8), width=4)])
def test_a_projected_critic_adds_the_inner_product_of_features_and_the_labels_row(net):
    critic = ProjectedCritic(net.eval(), CLASSES)
    x = torch.randn(5, 1, 8, 8)
    h = net.features(x)
    expected = [net.judge(h[i : i + 1])[0, 0] + critic.embed.weight[LABELS[i]] @ h[i] for i in range(5)]
    torch.testing.assert_close(critic(x, LABELS), torch.stack(expected))
    torch.testing.assert_close(critic.features(x), h)
    spread = (critic(x, LABELS) - critic(x, (LABELS + 1) % CLASSES)).abs()
    assert spread.min() > 1e-4  # the label is heard


def test_a_classifying_critic_judges_and_classifies_in_one_pass_over_the_features():
    net = DCGANCritic((1, 8, 8), width=4).eval()
    critic, x, passes = ClassifyingCritic(net, CLASSES), torch.randn(5, 1, 8, 8), []
    net.layers.register_forward_hook(lambda module, inputs, output: passes.append(len(output)))
    logits, of_class = critic.judged(x)
    assert passes == [5]
    torch.testing.assert_close(logits, net(x))
    torch.testing.assert_close(critic(x), net(x))
    h = net.features(x)
    torch.testing.assert_close(of_class, h @ critic.classify.weight.T + critic.classify.bias)


def test_spectral_norm_divides_a_critics_embedding_by_its_largest_singular_value():
    critic = ProjectedCritic(ResNetCritic((1, 8, 8), width=8), CLASSES)
    raw = critic.embed.weight.detach().clone() * torch.tensor([[5.0], [1.0], [0.2]])  # a gap in the spectrum
    critic.embed.weight.data.copy_(raw)
    constraint = spectral_norm()
    constraint.prepare(critic)
    for _ in range(50):
        constraint.before(critic)
    sigma = torch.linalg.svdvals(raw)[0]
    torch.testing.assert_close(critic.embed.weight, raw / sigma, rtol=1e-3, atol=1e-6)
    row = critic.embed(torch.tensor([1]))
    torch.testing.assert_close(row, critic.embed.weight[1:2])


def test_spectral_norm_leaves_a_norms_gains_and_biases_as_they_are():
    generator = ResNetGenerator((1, 8, 8), latent=4, width=4, classes=CLASSES).eval()
    before = [
        (m.gain.weight.clone(), m.bias.weight.clone())
        for m in generator.modules()
        if isinstance(m, ConditionalBatchNorm2d)
    ]
    spectral_norm().prepare(generator)
    after = [m for m in generator.modules() if isinstance(m, ConditionalBatchNorm2d)]
    for (gain, bias), norm in zip(before, after, strict=True):
        assert torch.equal(norm.gain.weight, gain)
        assert torch.equal(norm.bias.weight, bias)
    assert generator(torch.randn(5, 4), LABELS).isfinite().all()


def test_the_orthogonal_term_leaves_embeddings_out():
    critic = ProjectedCritic(ResNetCritic((1, 8, 8), width=4), CLASSES)
    assert len([*weight_matrices(critic)]) == len([*weight_matrices(critic.critic)]) > 3
    term = orthogonal(weight=1.0)
    torch.testing.assert_close(term("critic", critic), term("critic", critic.critic))
    term("critic", critic).backward()
    assert critic.embed.weight.grad is None
    assert (
        critic.critic.judge.weight.grad is not None or critic.critic.blocks[1].conv1.weight.grad is not None
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: ConcatenatedGenerator(nn.Identity(), 0),
        lambda: ConcatenatedCritic(nn.Identity(), 0),
        lambda: class_batch_norm(4, 0),
        lambda: ProjectedCritic(MLPCritic((2,), hidden=(4,)), 0),
        lambda: ClassifyingCritic(MLPCritic((2,), hidden=(4,)), 0),
    ],
)
def test_no_class_at_all_is_refused(make):
    with pytest.raises(ValueError, match="at least 1 class, not 0"):
        make()


def test_a_conditional_residual_generator_without_batch_norm_is_refused():
    with pytest.raises(ValueError, match="--norm layer: a conditional residual generator has batch norm"):
        ResNetGenerator((1, 8, 8), norm="layer", classes=2)
