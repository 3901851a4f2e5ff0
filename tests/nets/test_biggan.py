"""The SAGAN and BigGAN family against its papers, and for every size that halves evenly."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from zerosum.constraints import spectral_norm, weight_matrices
from zerosum.nets.attention import NonLocal
from zerosum.nets.biggan import BigGANCritic, BigGANGenerator, wide_block
from zerosum.nets.conditioning import ProjectedCritic
from zerosum.nets.folding import ConvPool2d, UpConv2d

# Shared embedding and split latent (BigGAN), neither (SAGAN), one alone.
KINDS = [
    {"classes": 5, "shared": 3, "split_latent": True},
    {"classes": 5, "shared": 0, "split_latent": False},
    {"classes": 5, "shared": 3, "split_latent": False},
    {"classes": 0, "shared": 3, "split_latent": True},
    {"classes": 0, "shared": 0, "split_latent": False},
]
each_kind = pytest.mark.parametrize(
    "kind", KINDS, ids=["biggan", "sagan", "shared", "split", "unconditional"]
)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def labels_for(kind: dict, count: int) -> tuple[Tensor, ...]:
    return (torch.arange(count) % kind["classes"],) if kind["classes"] else ()


def waken(net: nn.Module) -> nn.Module:
    """With non-local blocks that do something."""
    for module in net.modules():
        if isinstance(module, NonLocal):
            nn.init.constant_(module.gamma, 0.5) if module.pooled else nn.init.normal_(module.out.weight)
    return net


@settings(max_examples=30)
@given(
    st.integers(1, 8),
    st.integers(4, 7),
    st.integers(4, 40),
    st.integers(1, 6),
    st.sampled_from(KINDS),
    st.sampled_from([1, 3, 16]),
    st.integers(1, 9),
    st.sampled_from([7, 16, 64, 999]),
    st.sampled_from(["pooled", "plain"]),
)
def test_every_size_and_channel_count(channels, short, long, k, kind, growth, flat, attention, form):
    shape = (channels, short << k, min(max(short, long) << k, 512 >> k << k))
    side = min(shape[1:])
    flat = min(flat, k)
    deepest = side >> (k + 1 - flat)
    attention = max(attention, deepest)
    sizes = {"width": 2, "growth": growth, "attention": attention, "form": form}
    with torch.device("meta"):  # shapes alone: no numbers are computed
        generator = BigGANGenerator(shape, latent=3 * (k + 1), **kind, **sizes)
        critic = BigGANCritic(shape, flat=flat, **sizes)
        seen: list[int] = []
        for net in (generator, critic):
            net.non_local.register_forward_pre_hook(lambda _, args: seen.append(min(args[0].shape[2:])))
        images = generator(torch.empty(3, 3 * (k + 1)), *labels_for(kind, 3))
        logits = critic(images)
    assert images.shape == (3, *shape)
    assert logits.shape == (3,)
    assert len(critic.blocks) == k + 1 == len(generator.blocks) + 1
    assert sum(isinstance(block.conv2, ConvPool2d) for block in critic.blocks) == k + 1 - flat
    expected = max(s for s in (side >> i for i in range(1, k + 1)) if s <= attention)
    assert seen == [expected, expected], "the players attend at the same size"


def widths(net: nn.Module) -> list[tuple[int, int, int]]:
    """Each block's feature maps in, between, out."""
    return [(b.conv1.in_channels, b.conv1.out_channels, b.conv2.out_channels) for b in net.blocks]


def test_on_imagenet_they_are_biggans():
    with torch.device("meta"):
        generator = BigGANGenerator((3, 128, 128), classes=1000)
        critic = ProjectedCritic(BigGANCritic((3, 128, 128)), 1000)
    assert generator.base == (16 * 96, 4, 4)
    assert generator.project.in_features == 20
    assert [out for *_, out in widths(generator)] == [96 * n for n in (16, 8, 4, 2, 1)]
    assert widths(critic.critic) == [(3, 96, 96)] + [
        (96 * a, 96 * b, 96 * b) for a, b in ((1, 2), (2, 4), (4, 8), (8, 16), (16, 16))
    ]
    assert isinstance(critic.critic.blocks[-1].shortcut, nn.Identity)
    assert generator.attends_before == 4, "after the block that makes 64×64"
    assert critic.critic.attends_before == 1
    # The counts of both of Google's codes, but for biases that batch norm takes off again.
    omitted = sum(b.conv1.out_channels + 2 * b.conv2.out_channels for b in generator.blocks)
    assert sum(p.numel() for p in generator.parameters()) + omitted == 70_433_988
    assert sum(p.numel() for p in critic.parameters()) == 87_982_370


def test_on_cifar_they_are_its_authors_codes():
    sizes = {"width": 256, "growth": 1, "attention": 0}
    with torch.device("meta"):
        generator = BigGANGenerator(
            (3, 32, 32), classes=10, latent=128, shared=0, split_latent=False, **sizes
        )
        critic = BigGANCritic((3, 32, 32), flat=2, **sizes)
    assert widths(generator) == [(256, 256, 256)] * 3
    assert widths(critic) == [(3, 256, 256)] + [(256, 256, 256)] * 3
    assert [type(b.conv2) for b in critic.blocks] == [ConvPool2d] * 2 + [nn.Conv2d] * 2
    assert not [m for net in (generator, critic) for m in net.modules() if isinstance(m, NonLocal)]


@each_kind
def test_what_each_block_is_told(kind):
    generator = BigGANGenerator((1, 16, 16), latent=9, width=2, **kind)
    told: list[Tensor | None] = []
    for block in generator.blocks:
        block.register_forward_pre_hook(lambda _, args: told.append(args[1]))
    first: list[Tensor] = []
    generator.project.register_forward_pre_hook(lambda _, args: first.append(args[0]))
    z, labels = torch.randn(7, 9), labels_for(kind, 7)
    generator(z, *labels)
    assert torch.equal(first[0], z[:, :3] if kind["split_latent"] else z)
    assert len(told) == 2
    for j, condition in enumerate(told):
        parts = []
        if kind["classes"]:
            parts += [generator.embed(labels[0]) if kind["shared"] else labels[0]]
        if kind["split_latent"]:
            parts += [z[:, 3 * (j + 1) : 3 * (j + 2)]]
        assert condition is None if not parts else torch.equal(condition, torch.cat(parts, -1))


@each_kind
def test_images_lie_between_minus_one_and_one_and_depend_on_all_that_is_given(kind):
    generator = BigGANGenerator((2, 24, 40), latent=9, width=4, init="normal", **kind)
    for norm in generator.modules():  # gains of classes' own begin alike
        if isinstance(norm, nn.Embedding):
            nn.init.normal_(norm.weight)
    z, labels = torch.randn(6, 9), labels_for(kind, 6)
    images = generator(z, *labels)
    assert images.abs().max() <= 1
    for column in range(9):
        moved = z.clone()
        moved[:, column] += 1
        assert not torch.allclose(generator(moved, *labels), images)
    if labels:
        assert not torch.allclose(generator(z, labels[0].flip(0)), images)


def test_a_critic_is_what_the_paper_draws():
    critic = waken(BigGANCritic((3, 16, 16), width=4, growth=4))
    stem, down, flat = critic.blocks
    assert (down.conv1.out_channels, flat.conv1.out_channels) == (8, 16)
    x = torch.randn(2, 3, 16, 16)
    h = stem.conv2(stem.conv1(x).relu()) + stem.shortcut(x)
    h = critic.non_local(h)
    for block in (down, flat):
        h = block.conv2(block.conv1(h.relu()).relu()) + block.shortcut(h)
    torch.testing.assert_close(critic.features(x), h.relu().sum((2, 3)), rtol=1e-5, atol=1e-4)
    expected = critic.judge(h.relu().sum((2, 3)))[:, 0]
    torch.testing.assert_close(critic(x), expected, rtol=1e-5, atol=1e-4)


def test_a_generator_is_what_the_paper_draws():
    generator = waken(BigGANGenerator((3, 16, 16), classes=5, latent=9, width=4, shared=2))
    z, labels = torch.randn(4, 9), torch.arange(4)
    x = generator.project(z[:, :3]).view(4, 16, 4, 4)
    for j, block in enumerate(generator.blocks):
        if j == 1:
            x = generator.non_local(x)
        c = torch.cat([generator.embed.weight[labels], z[:, 3 * j + 3 : 3 * j + 6]], 1)

        def normed(x: Tensor, norm: nn.Module, c: Tensor = c) -> Tensor:
            gain, bias = 1 + c @ norm.gain.weight.T, c @ norm.bias.weight.T
            x = nn.functional.batch_norm(x, None, None, training=True)
            return x * gain[:, :, None, None] + bias[:, :, None, None]

        h = block.conv2(normed(block.conv1(normed(x, block.norm1).relu()), block.norm2).relu())
        x = h + block.shortcut(x)
    expected = generator.to_image(generator.norm(x).relu()).tanh()
    torch.testing.assert_close(generator(z, labels), expected, rtol=1e-4, atol=1e-5)


def gradients(net: nn.Module, *inputs: Tensor) -> list[Tensor]:
    net.zero_grad()
    y = net(*inputs)
    (y * torch.linspace(-1, 2, y.numel()).view_as(y)).sum().backward()
    return [y.detach(), *(p.grad for p in net.parameters())]


@pytest.mark.parametrize("form", ["pooled", "plain"])
@pytest.mark.parametrize("kind", [KINDS[0], KINDS[1]], ids=["biggan", "sagan"])
def test_folded_nets_are_the_plain_ones(kind, form):
    shape = (1, 20, 28)
    for make, inputs in (
        (partial(BigGANGenerator, latent=9, **kind), (torch.randn(5, 9), *labels_for(kind, 5))),
        (partial(BigGANCritic, flat=1), (torch.randn(4, *shape),)),
    ):
        folded, plain = (waken(make(shape, width=6, form=form, folded=way)) for way in (True, False))
        plain.load_state_dict(folded.state_dict())
        for net in (folded, plain):
            torch.manual_seed(0)
            spectral_norm().prepare(net)
            net.to(memory_format=torch.channels_last)
        for a, b in zip(gradients(folded, *inputs), gradients(plain, *inputs), strict=True):
            assert (a - b).norm() <= 2e-4 * b.norm() + 1e-6


LINEAR = (nn.Conv2d, nn.Linear)


def test_weights_begin_orthogonal():
    generator = BigGANGenerator((3, 16, 16), classes=5, latent=9, width=4, shared=6)
    critic = BigGANCritic((3, 16, 16), width=4)
    matrices = [*weight_matrices(generator), *weight_matrices(critic), generator.embed.weight]
    for matrix in matrices:
        small = min(matrix.shape)
        gram = matrix @ matrix.T if len(matrix) == small else matrix.T @ matrix
        torch.testing.assert_close(gram, torch.eye(small), rtol=0.0, atol=1e-5)


@pytest.mark.parametrize("init", ["glorot", "normal"])
def test_weights_begin_by_the_law_asked_for(init):
    kind = {"classes": 7, "shared": 0, "split_latent": False, "latent": 30}
    nets = (
        BigGANGenerator((3, 16, 16), width=16, init=init, **kind),
        BigGANCritic((3, 16, 16), width=16, init=init),
    )
    for layer in (m for net in nets for m in net.modules()):
        if isinstance(layer, LINEAR):
            fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(layer.weight)
            expected = (2 / (fan_in + fan_out)) ** 0.5 if init == "glorot" else 0.02
            assert abs(layer.weight.std() / expected - 1) < 6 / layer.weight.numel() ** 0.5
            assert layer.bias is None or not layer.bias.any()
        if isinstance(layer, nn.Embedding):
            assert len(layer.weight.unique()) == 1, "gains 1 and biases 0, whatever the law"


@each_kind
def test_spectral_norm_and_orthogonal_term_leave_a_generators_embeddings_alone(kind):
    generator = BigGANGenerator((3, 16, 16), latent=9, width=4, **kind)
    layers = [m for m in generator.modules() if isinstance(m, LINEAR)]
    assert len(list(weight_matrices(generator))) == len(layers)
    tables = [m for m in generator.modules() if isinstance(m, nn.Embedding)]
    before = [table.weight.clone() for table in tables]
    with torch.no_grad():
        for layer in layers:
            layer.weight *= 9
    spectral_norm().prepare(generator)
    assert all(torch.equal(a, b.weight) for a, b in zip(before, tables, strict=True))
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2) < 1.2
    critic = ProjectedCritic(BigGANCritic((3, 16, 16), width=4), 5)
    with torch.no_grad():
        critic.embed.weight *= 9
    spectral_norm().prepare(critic)
    assert torch.linalg.matrix_norm(critic.embed.weight, 2) < 1.2


def test_biases_that_batch_norm_would_take_off_are_left_out():
    generator = BigGANGenerator((1, 16, 16), classes=2, latent=9, width=4)
    assert all(m.bias is None for m in generator.blocks.modules() if isinstance(m, LINEAR))
    assert all(isinstance(b.conv1, UpConv2d) and isinstance(b.shortcut, UpConv2d) for b in generator.blocks)


@each_kind
def test_in_bf16_a_norm_told_the_class_keeps_the_maps_type(kind):
    generator = BigGANGenerator((1, 16, 16), latent=9, width=4, **kind)
    types = set()
    for block in generator.blocks:
        block.norm2.register_forward_hook(lambda *seen: types.add((seen[1][0].dtype, seen[2].dtype)))
    with torch.autocast("cpu", torch.bfloat16):
        generator(torch.randn(3, 9), *labels_for(kind, 3))
    assert types == {(torch.bfloat16, torch.bfloat16)}


def test_each_image_is_judged_alone():
    critic = waken(BigGANCritic((2, 16, 16), width=4))
    x = torch.randn(5, 2, 16, 16)
    torch.testing.assert_close(torch.cat([critic(x[i : i + 1]) for i in range(5)]), critic(x))


def test_a_wide_block_without_halving():
    x = torch.randn(2, 4, 5, 3)
    block = wide_block(4, 6, halve=False)
    expected = block.conv2(block.conv1(x.relu()).relu()) + block.shortcut(x)
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("make", [BigGANGenerator, BigGANCritic])
def test_what_cannot_be_built_is_refused_with_advice(make):
    for shape, message in (
        ((3, 30, 30), "30×30 do not halve evenly 2 times: choose --size 28 or 32"),
        ((3, 6, 64), "height must be 8 to 512"),
    ):
        with pytest.raises(ValueError, match=message):
            make(shape)
    for setting, message in (
        ({"width": 0}, "--growth must be at least 1, not width=0"),
        ({"init": "xavier"}, "--init must be orthogonal, glorot, normal, not 'xavier'"),
        ({"attention": 3}, "--attention 3: the smallest maps .* are 4 pixels"),
        ({"attention": -1}, "choose that or more, or 0 for none"),
        ({"form": "dot"}, "--attention-form must be pooled or plain"),
    ):
        with pytest.raises(ValueError, match=message):
            make((3, 32, 32), **setting)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"latent": 122},
            "--latent 122 does not split into 4 equal .* choose --latent 120 or 124, or --latent-to first",
        ),
        ({"latent": 3}, "choose --latent 4, or"),
        ({"latent": 0}, "choose --latent 4, or"),
        ({"shared": 0, "classes": 3}, "choose --shared 128, or --latent-to first"),
    ],
)
def test_a_latent_that_cannot_be_shared_out_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        BigGANGenerator((3, 32, 32), **settings)
    with pytest.raises(ValueError, match="--flat must be at least 1"):
        BigGANCritic((3, 32, 32), flat=0)
