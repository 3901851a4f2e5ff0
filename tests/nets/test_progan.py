"""The growing nets: when they grow, that fading is linear and exact at its ends, what they are made of."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from zerosum.nets.folding import pool, up
from zerosum.nets.progan import Growth, ProGANCritic, ProGANGenerator, Size, shrunk
from zerosum.training.state import Average

STABLE, FADE = 100, 50
NETS: dict[str, Any] = {"fmap_base": 32, "fmap_max": 12, "stable": STABLE, "fade": FADE}
SHAPE = (3, 24, 40)  # a base of 6×10, and two doublings


def generator(**settings: Any) -> ProGANGenerator:
    torch.manual_seed(0)
    return ProGANGenerator(SHAPE, latent=5, **{**NETS, **settings})


def critic(**settings: Any) -> ProGANCritic:
    torch.manual_seed(1)
    return ProGANCritic(SHAPE, **{**NETS, **settings})


def shown(net: Any, images: int) -> Any:
    net.images.fill_(images)
    return net


Z = torch.randn(8, 5, generator=torch.Generator().manual_seed(2))
X = torch.randn(8, *SHAPE, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    ("images", "size"),
    [
        (0, (0, 1.0)),
        (99, (0, 1.0)),
        (100, (1, 0.0)),
        (125, (1, 0.5)),
        (149, (1, 0.98)),
        (150, (1, 1.0)),
        (249, (1, 1.0)),
        (250, (2, 0.0)),
        (299, (2, 0.98)),
        (300, (2, 1.0)),
        (10**9, (2, 1.0)),
    ],
)
def test_the_size_follows_the_images_shown(images: int, size: tuple[int, float]) -> None:
    assert Growth(2, STABLE, FADE).at(images) == size
    assert shown(generator(), images).grown == shown(critic(), images).grown == Size(*size)


def test_the_plan_s_phases_are_where_the_size_begins_to_change_or_stops() -> None:
    plan = Growth(2, STABLE, FADE)
    moving = [plan.at(i + 1) != plan.at(i) for i in range(plan.images)]
    begins = [i + 1 for i, (a, b) in enumerate(pairwise(moving)) if a != b]
    assert plan.phases == (100, 150, 250, 300)
    assert [abs(a - b) <= 1 for a, b in zip(begins, plan.phases, strict=True)] == [True] * 4
    assert plan.images == 400
    at_once = Growth(2, STABLE, 0)
    assert at_once.phases == (100, 200)
    assert [at_once.at(i) for i in (99, 100, 200)] == [(0, 1.0), (1, 1.0), (2, 1.0)]
    assert Growth(8).images == 10_200_000  # the authors' 1024×1024


@pytest.mark.parametrize(("begin", "before"), [(100, 99), (250, 249)])
def test_a_stage_begins_as_what_was_there_up_sampled_exactly(begin: int, before: int) -> None:
    g, d = generator(), critic()
    old, new = shown(g, before)(Z), shown(g, begin)(Z)
    assert torch.equal(new, up(old))
    x = shrunk(X, 2 - d.growth.at(begin).level)
    assert torch.equal(shown(d, begin)(x), shown(d, before)(pool(x)))


@pytest.mark.parametrize("begin", [100, 250])
def test_the_fade_is_linear_and_ends_in_the_new_stage_alone(begin: int) -> None:
    g, d = generator(), critic()
    images = [shown(g, begin + i)(Z) for i in (0, 10, 25, 50)]
    for share, image in zip((0, 0.2, 0.5, 1), images, strict=True):
        assert torch.allclose(image, torch.lerp(images[0], images[-1], share), atol=1e-6)
    assert (images[0] - images[-1]).abs().max() > 0.1
    level = g.growth.at(begin).level
    for net, old in ((g, g.to_image[level - 1]), (d, d.from_image[level - 1])):
        x = Z if net is g else shrunk(X, 2 - level)
        halfway, grown = shown(net, begin + 25)(x), shown(net, begin + 50)(x)
        torch.nn.init.normal_(old.weight)
        assert torch.equal(shown(net, begin + 50)(x), grown)
        assert (shown(net, begin + 25)(x) - halfway).abs().max() > 1e-3
    seen: list[Tensor] = []
    inside = d.blocks[level - 2] if level > 1 else d.variety
    hook = inside.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    x = shrunk(X, 2 - level)
    if level > 1:
        for i in (0, 10, 50):
            shown(d, begin + i)(x)
        assert torch.allclose(seen[1], torch.lerp(seen[0], seen[2], 0.2), atol=1e-6)
    hook.remove()


@pytest.mark.parametrize("images", [0, 120, 200, 280, 400])
def test_in_evaluation_images_are_full_and_judged_as_in_training(images: int) -> None:
    g, d = shown(generator(), images), shown(critic(), images)
    small = g(Z)
    level = g.grown.level
    assert small.shape == (8, 3, 6 << level, 10 << level)
    whole = g.eval()(Z)
    assert whole.shape == (8, *SHAPE)
    assert torch.equal(whole[:, :, :: 4 >> level, :: 4 >> level], small)
    assert torch.allclose(shrunk(whole, 2 - level), small, atol=1e-6)
    assert torch.allclose(d(whole), d(small), atol=1e-5)
    assert d(X).shape == (8,)


@pytest.mark.parametrize("images", [0, 120, 400])
def test_folded_nets_are_plain_nets(images: int) -> None:
    for make, x in ((generator, Z), (critic, shrunk(X, 2 - Growth(2, STABLE, FADE).at(images).level))):
        # Of very few maps all may be near 0 at some pixel, which pixel norm then magnifies.
        folded, plain = (shown(make(fmap_base=256, fmap_max=16, folded=f), images) for f in (True, False))
        assert folded.state_dict().keys() == plain.state_dict().keys()
        assert torch.allclose(folded(x), plain(x), atol=1e-5)


def test_a_batch_that_is_all_alike_varies_by_a_ten_thousandth() -> None:
    d, seen = shown(critic(), 400), []
    d.last.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    d(X[:1].expand(8, -1, -1, -1))
    d(X)
    same, varied = (maps[:, -1] for maps in seen)
    assert torch.allclose(same, torch.full((8, 6, 10), 1e-4), atol=1e-5)
    h = seen[1][:, :-1].reshape(4, 2, -1)  # samples 0, 2, 4, 6 make a group, and 1, 3, 5, 7
    expected = (h.var(0, unbiased=False) + 1e-8).sqrt().mean(1)
    assert torch.allclose(varied, expected.repeat(4)[:, None, None].expand(8, 6, 10), atol=1e-6)


def test_the_paper_s_feature_maps_and_layers() -> None:
    """Table 2 of the paper, up to 512×512."""
    with torch.device("meta"):
        g, d = ProGANGenerator((3, 512, 512)), ProGANCritic((3, 512, 512))
    assert g.maps == d.maps == [512, 512, 512, 512, 256, 128, 64, 32]
    convolutions = [
        tuple(p.shape[:2]) for n, p in g.named_parameters() if p.dim() == 4 and "to_image" not in n
    ]
    assert convolutions[0] == (512, 512)
    assert convolutions[-4:] == [(64, 128), (64, 64), (32, 64), (32, 32)]
    assert tuple(g.project.weight.shape) == (512 * 16, 512)
    assert g.project.scale == pytest.approx(2**0.5 / 4 / 512**0.5)
    assert tuple(d.last.weight.shape) == (512, 513, 3, 3)
    assert [tuple(m.weight.shape) for m in (d.hidden, d.judge)] == [(512, 512 * 16), (1, 512)]
    assert d.judge.scale == pytest.approx(512**-0.5)
    assert all(m.scale == pytest.approx(m.in_channels**-0.5) for m in g.to_image)


def test_outputs_begin_about_as_large_as_data() -> None:
    torch.manual_seed(0)
    g = shown(ProGANGenerator((80, 32, 32), latent=64, fmap_base=512, fmap_max=64, stable=1, fade=0), 9)
    assert g(torch.randn(16, 64)).detach().square().mean() == pytest.approx(1, abs=0.1)


def test_the_state_is_the_same_at_every_size() -> None:
    g = generator()
    names = {name: tuple(t.shape) for name, t in g.state_dict().items()}
    for images in (0, 120, 400):
        shown(g, images)(Z)
        assert {name: tuple(t.shape) for name, t in g.state_dict().items()} == names
    assert names["images"] == ()
    assert {name.split(".")[0] for name in names} == {"images", "project", "first", "blocks", "to_image"}
    assert {n for n in names if n.startswith("blocks.1")} == {
        f"blocks.1.{conv}.{part}" for conv in ("up", "same") for part in ("weight", "bias")
    }
    other = generator(stable=7)
    other.load_state_dict(shown(g, 260).state_dict())
    assert int(other.images) == 260


def test_the_average_copies_the_images_and_stages_to_come_wait_in_it_unchanged() -> None:
    g = generator()
    average = Average(g, 0.999)
    late = [n for n, _ in g.named_parameters() if n.startswith(("blocks.1", "to_image.2"))]
    for step in range(5):
        shown(g, 40 * step)
        with torch.no_grad():
            g.first.weight += 1
        average.update(g, step)
    own, theirs = dict(average.module.named_parameters()), dict(g.named_parameters())
    assert int(average.module.get_buffer("images")) == 160
    assert not torch.equal(own["first.weight"], theirs["first.weight"])
    assert all(torch.equal(own[n], theirs[n]) for n in late)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (0, "after 0 images stage 0 of 2, 6×10 pixels, is trained; the full 24×40 is reached after 300"),
        (275, "stage 2 of 2, 24×40 pixels, is 50% faded in"),
        (299, "98%"),
        (300, None),
    ],
)
def test_a_net_says_what_has_not_grown_yet(images: int, said: str | None) -> None:
    found = shown(generator(), images).unfinished
    assert said == found if said is None else found is not None and said in found


def test_a_grown_generator_is_exported_as_it_is() -> None:
    g = shown(generator().eval(), 400)
    graph = torch.export.export(g, (Z,)).module()
    assert torch.allclose(graph(Z), g(Z), atol=1e-6)


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(ValueError, match="do not halve evenly 2 times: choose --size 28 or 32"):
        ProGANGenerator((3, 30, 30))
    with pytest.raises(ValueError, match="--stable must be at least 1"):
        critic(stable=0)
    with pytest.raises(ValueError, match="--fade must not be negative"):
        generator(fade=-1)
    with pytest.raises(ValueError, match="--fmap-base and --fmap-max"):
        generator(fmap_max=0)
