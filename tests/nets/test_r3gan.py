"""R3GAN's nets against the paper, and for every size that halves evenly."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call

from zerosum.draws import Draws
from zerosum.nets.r3gan import DownBetween, GroupedBlock, R3GANCritic, R3GANGenerator, UpBetween
from zerosum.penalties import r1, r2
from zerosum.relativistic import relativistic


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def wake(net: nn.Module) -> nn.Module:
    """Give weights to the blocks' last layers and biases, which begin at 0."""
    for p in net.parameters():
        if not p.any():
            nn.init.normal_(p, 0.0, 0.3)
    return net


def widths(net: nn.Module) -> list[tuple[int, int, int]]:
    """Each block's maps outside and inside, and the groups between."""
    blocks = [layer for layer in net.stages if isinstance(layer, GroupedBlock)]
    return [(b.widen.in_channels, b.conv.in_channels, b.conv.groups) for b in blocks]


@settings(max_examples=12, deadline=None)
@given(
    st.integers(1, 8),
    st.integers(4, 7),
    st.integers(4, 40),
    st.integers(1, 6),
    st.sampled_from([1, 2, 16]),
    st.integers(1, 3),
    st.sampled_from([0, 1, 5]),
)
def test_every_size_and_channel_count(channels, short, long, k, growth, blocks, classes):
    shape = (channels, short << k, min(max(short, long) << k, 512 >> k << k))
    settings = {"width": 2, "growth": growth, "blocks": blocks, "group": 2, "classes": classes}
    with torch.device("meta"):  # shapes alone: no numbers are computed
        labels = (torch.zeros(3, dtype=torch.int64),) if classes else ()
        generator = R3GANGenerator(shape, latent=7, **settings)
        images = generator(torch.empty(3, 7), *labels)
        critic = R3GANCritic(shape, **settings)
        logits = critic(images, *labels)
    assert images.shape == (3, *shape)
    assert logits.shape == (3,)
    assert generator.basis.shape == (2 * min(2**k, growth), short, shape[2] >> k)
    assert widths(critic) == widths(generator)[::-1]
    assert len(widths(critic)) == blocks * (k + 1)


def test_on_cifar_they_are_the_papers():
    with torch.device("meta"):
        generator, critic = R3GANGenerator((3, 32, 32)), R3GANCritic((3, 32, 32))
    assert widths(generator) == widths(critic) == [(768, 1536, 96)] * 8
    assert generator.basis.shape == (768, 4, 4)
    assert generator.strengths.weight.shape == (768, 64)
    assert critic.basis.weight.shape == (768, 1, 4, 4)
    assert critic.judge.weight.shape == (1, 768)
    biased = [name for net in (generator, critic) for name, _ in net.named_parameters() if "bias" in name]
    assert len(biased) == 2 * 2 * 8, "two activations a block, and nothing else, have biases"
    faces = R3GANCritic((3, 256, 256), width=96, growth=8, group=16)
    assert [w for w, *_ in widths(faces)][::2] == [96, 192, 384, 768, 768, 768, 768]


def test_the_critic_mirrors_the_generator():
    sizes: dict[str, list[tuple[int, ...]]] = {"generator": [], "critic": []}
    nets = {
        "generator": R3GANGenerator((3, 16, 24), width=4, growth=4, group=2),
        "critic": R3GANCritic((3, 16, 24), width=4, growth=4, group=2),
    }
    for name, net in nets.items():
        for layer in net.stages:
            if isinstance(layer, GroupedBlock):
                layer.register_forward_hook(lambda m, x, y, name=name: sizes[name].append(tuple(y.shape[1:])))
    nets["critic"](nets["generator"](torch.randn(2, 64)))
    assert sizes["generator"] == [(16, 4, 6)] * 2 + [(8, 8, 12)] * 2 + [(4, 16, 24)] * 2
    assert sizes["critic"] == sizes["generator"][::-1]


def begins(weight: Tensor, deviation: float) -> None:
    """Assert a standard deviation, within 4 standard errors."""
    assert float(weight.detach().std() / deviation) == pytest.approx(1, abs=4 / (2 * weight.numel()) ** 0.5)


def test_weights_start_by_hes_law_scaled_down_by_depth():
    for net in (
        R3GANGenerator((3, 32, 32), latent=50, width=64, classes=9),
        R3GANCritic((3, 32, 32), width=64, classes=9),
    ):
        inside = {
            layer for block in net.modules() if isinstance(block, GroupedBlock) for layer in block.children()
        }
        for name, layer in net.named_modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                assert layer.bias is None or not layer.bias.any()
                if name.endswith("narrow"):
                    assert not layer.weight.any()
                    continue
                gain = (2 / 1.04) ** 0.5 * 8**-0.25 if layer in inside else 1.0
                begins(layer.weight, gain * layer.weight[0].numel() ** -0.5)
            elif isinstance(layer, nn.Embedding):  # 9 classes: as a linear map of the label, one-hot
                begins(layer.weight, 9**-0.5 if layer.embedding_dim == 50 else (9 * 64) ** -0.5)


def test_second_moments_are_kept_through_a_block_and_shared_among_blocks():
    x = torch.randn(4, 64, 12, 12)
    for blocks in (1, 16):
        block = GroupedBlock(64, inner=128, group=16, blocks=blocks)
        h = F.leaky_relu(block.conv(F.leaky_relu(block.widen(x), 0.2)), 0.2)[:, :, 1:-1, 1:-1]
        assert float(h.detach().square().mean()) * blocks == pytest.approx(1.0, rel=0.15)


def test_nets_start_as_resampling_alone():
    critic = R3GANCritic((3, 16, 16), width=4, growth=2, group=4)
    x = torch.randn(2, 3, 16, 16)
    h = critic.from_image(x)
    for layer in critic.stages:
        h = layer(h) if isinstance(layer, DownBetween) else h
    torch.testing.assert_close(critic.features(x), critic.basis(h).flatten(1))
    assert not torch.allclose(wake(critic).features(x), critic.basis(h).flatten(1))


def plain(x: Tensor, kernel: Tensor, up: int, down: int) -> Tensor:
    """upfirdn of one axis after the other: zeros between, a filter's sum in full, every `down`-th kept."""
    for axis in (2, 3):
        x = x.transpose(axis, 3)
        n = x.shape[3] * up
        spaced = x.new_zeros(*x.shape[:3], n)
        spaced[..., ::up] = x
        padded = F.pad(spaced, (2, 1) if up > 1 else (1, 1))
        x = sum(kernel[i] * padded[..., i : padded.shape[3] - 3 + i] for i in range(4))[..., ::down]
        x = x.transpose(axis, 3)
    return x


KERNEL = torch.tensor([1, 3, 3, 1], dtype=torch.float64) / 8


def test_resampling_is_the_papers_filter():
    x = torch.randn(2, 3, 6, 10, dtype=torch.float64)
    up, down = UpBetween(3, 3).double(), DownBetween(3, 3).double()
    torch.testing.assert_close(up(x), plain(x, 2 * KERNEL, 2, 1))
    torch.testing.assert_close(down(x), plain(x, KERNEL, 1, 2))
    assert not up.state_dict(), "a fixed filter is no state"
    ones = torch.ones_like(x)
    assert (up(ones)[:, :, 1:-1, 1:-1] == 1).all()
    assert (down(ones)[:, :, 1:-1, 1:-1] == 1).all()
    y = torch.randn(2, 3, 12, 20, dtype=torch.float64)
    torch.testing.assert_close((up(x) * y).sum(), 4 * (x * down(y)).sum())


def test_resampling_commutes_with_the_1x1_where_widths_differ():
    x = torch.randn(2, 3, 6, 10)
    up, down = UpBetween(3, 5), DownBetween(3, 5)
    torch.testing.assert_close(up(x), up.mix(UpBetween(3, 3)(x)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(down(x), DownBetween(5, 5)(down.mix(x)), rtol=1e-4, atol=1e-5)


def test_a_block_is_what_the_paper_draws():
    block = wake(GroupedBlock(6, inner=12, group=4))
    x = torch.randn(2, 6, 5, 3)
    h = F.conv2d(x, block.widen.weight) + block.widen.bias.view(-1, 1, 1)
    h = torch.where(h > 0, h, 0.2 * h)
    parts = [
        F.conv2d(h[:, i : i + 4], block.conv.weight[i : i + 4], padding=1) for i in range(0, 12, 4)
    ]  # each group by itself
    h = torch.cat(parts, 1) + block.conv.bias.view(-1, 1, 1)
    h = torch.where(h > 0, h, 0.2 * h)
    torch.testing.assert_close(block(x), x + F.conv2d(h, block.narrow.weight), rtol=1e-5, atol=1e-5)


def test_labels_enter_as_the_paper_says():
    shape, labels = (2, 8, 12), torch.tensor([2, 0, 2])
    generator = wake(R3GANGenerator(shape, latent=5, width=4, group=2, classes=3))
    critic = wake(R3GANCritic(shape, width=4, group=2, classes=3))
    z = torch.randn(3, 5)
    both = torch.cat([z, generator.embed.weight[labels]], 1)
    maps = (both @ generator.strengths.weight.T)[:, :, None, None] * generator.basis
    x = generator.to_image(generator.stages(maps))
    torch.testing.assert_close(generator(z, labels), x)
    h = critic.stages(critic.from_image(x))
    features = (h * critic.basis.weight[:, 0]).sum((2, 3))
    torch.testing.assert_close(critic.features(x), features, rtol=1e-4, atol=1e-5)
    judged = features @ critic.judge.weight.T
    expected = torch.stack([judged[i] @ critic.embed.weight[label] for i, label in enumerate(labels)])
    torch.testing.assert_close(critic(x, labels), expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(critic(x, labels), critic(x, labels * 0))


def test_the_penalty_s_derivative_is_right():
    critic = wake(R3GANCritic((1, 8, 8), width=2, group=2, blocks=1)).double()
    names = [name for name, _ in critic.named_parameters()]
    x = torch.randn(2, 1, 8, 8, dtype=torch.float64)

    def cost(*weights: Tensor) -> Tensor:
        called = dict(zip(names, weights, strict=True))
        return r1(1.0)(lambda x: functional_call(critic, called, (x,)), x, x, Draws(stop=2)).sum()

    weights = [p.detach().requires_grad_() for p in critic.parameters()]
    assert cost(*weights) > 0
    assert torch.autograd.gradcheck(cost, weights)


def test_each_player_s_step_lowers_its_loss():
    shape, objective = (3, 8, 8), relativistic()
    generator = R3GANGenerator(shape, latent=8, width=8, group=4, blocks=1)
    critic = R3GANCritic(shape, width=8, group=4, blocks=1)
    real, z, draw = torch.rand(16, *shape), torch.randn(16, 8), Draws(stop=16)

    def critic_loss() -> Tensor:
        fake = generator(z).detach()
        terms = objective.critic(critic(real), critic(fake))
        return (terms + r1(0.1)(critic, real, fake, draw) + r2(0.1)(critic, real, fake, draw)).mean()

    def generator_loss() -> Tensor:
        return objective.generator(critic(real), critic(generator(z))).mean()

    for net, loss in ((critic, critic_loss), (generator, generator_loss)):
        optimiser = torch.optim.Adam(net.parameters(), 2e-3, betas=(0.0, 0.9))
        start = float(loss().detach())
        for _ in range(20):
            optimiser.zero_grad()
            loss().backward()
            optimiser.step()
        assert float(loss().detach()) < 0.8 * start
    assert float(critic_loss().detach()) > float(generator_loss().detach()), (
        "the generator has overtaken a critic that waits"
    )


def test_each_image_is_judged_alone_and_channels_last_goes_through():
    critic = wake(R3GANCritic((2, 16, 16), width=4, group=2)).to(memory_format=torch.channels_last)
    x = torch.randn(5, 2, 16, 16)
    torch.testing.assert_close(
        torch.cat([critic(x[i : i + 1]) for i in range(5)]), critic(x), rtol=1e-4, atol=1e-5
    )
    generator = R3GANGenerator((3, 16, 16), width=4, group=2).to(memory_format=torch.channels_last)
    assert generator(torch.randn(2, 64)).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("make", [R3GANGenerator, R3GANCritic])
def test_what_cannot_be_built_is_refused_with_advice(make):
    with pytest.raises(ValueError, match="30×30 do not halve evenly 2 times: choose --size 28 or 32"):
        make((3, 30, 30), width=8)
    with pytest.raises(ValueError, match="--group 16 must divide a block's inner maps, --width 12 times"):
        make((3, 32, 32), width=12)
    for setting in ("width", "growth", "blocks", "expansion", "group"):
        with pytest.raises(ValueError, match=f"--{setting} must be at least 1, not 0"):
            make((3, 32, 32), **{setting: 0})
