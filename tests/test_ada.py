"""ADA: each transformation's strength and probability, and how p follows the critic."""

import math

import pytest
import torch
from torch import Tensor

from zerosum.ada import _COLUMNS, _NAMES, _Amounts, _colours, _geometry, ada
from zerosum.augmentation import recolour
from zerosum.corruptions import Corruption
from zerosum.draws import Draws

MANY = 2000


def at(p: float, policy: str) -> Corruption:
    corruption = ada(policy=policy)
    corruption.p.fill_(p)
    return corruption


def out(x: Tensor, policy: str, p: float = 1.0) -> Tensor:
    """What becomes of many copies of one image [C, H, W]."""
    return at(p, policy)(x.expand(MANY, -1, -1, -1), Draws(stop=MANY), "real", 0)


def spread(found: Tensor, deviation: float) -> None:
    """Assert a sample of mean 0 with this standard deviation, within 4 standard errors."""
    assert float(found.mean()) == pytest.approx(0, abs=4 * deviation / MANY**0.5)
    assert float(found.std()) == pytest.approx(deviation, abs=4 * deviation / (2 * MANY) ** 0.5)


def share(found: Tensor, expected: float) -> None:
    """Assert how often something happened, within 4 standard errors."""
    error = (expected * (1 - expected) / MANY) ** 0.5
    assert float(found.float().mean()) == pytest.approx(expected, abs=4 * error + 1e-9)


def maps(policy: str) -> tuple[Tensor, Tensor]:
    """(linear [B, 2, 2], shift [B, 2]), read at the centre of an image whose pixels tell where they are."""
    side = torch.arange(33.0) - 16
    slopes = torch.stack(torch.meshgrid(side, side, indexing="xy"))
    warped = out(slopes, policy)
    middle = warped[:, :, 16, 16]
    linear = torch.stack([warped[:, :, 16, 17] - middle, warped[:, :, 17, 16] - middle], 2)
    return linear, middle


def spins(angle: Tensor) -> None:
    """Assert angles uniform on the circle: the first three resultants are noise."""
    for k in (1, 2, 3):
        resultant = torch.polar(torch.ones_like(angle), k * angle).mean().abs()
        assert float(resultant) < 3 / MANY**0.5


def test_flips_and_quarter_turns_are_even():
    linear, shift = maps("xflip")
    share(linear[:, 0, 0] < 0, 0.5)
    torch.testing.assert_close(linear.abs(), torch.eye(2).expand(MANY, 2, 2), atol=1e-4, rtol=0)
    torch.testing.assert_close(shift, torch.zeros(MANY, 2), atol=1e-4, rtol=0)
    linear, shift = maps("rotate90")
    quarters = (torch.atan2(linear[:, 1, 0], linear[:, 0, 0]) / (math.pi / 2)).round() % 4
    for quarter in range(4):
        share(quarters == quarter, 0.25)
    torch.testing.assert_close(torch.linalg.det(linear), torch.ones(MANY), atol=1e-4, rtol=0)


def test_whole_shifts_reach_an_eighth_and_others_a_normal_law():
    linear, shift = maps("xint")
    torch.testing.assert_close(shift, shift.round(), atol=1e-4, rtol=0)
    assert shift.round().aminmax() == (-4.0, 4.0)
    for axis in (0, 1):  # uniform on ±33/8, rounded
        spread(shift[:, axis], 33 / 8 / 3**0.5)
    linear, shift = maps("xfrac")
    inside = shift.abs() < 12  # further out the reflection is seen
    assert float(inside.float().mean()) > 0.99
    z = shift.abs()[inside] / (33 / 8)
    assert float(z.median()) == pytest.approx(0.6745, abs=0.04)
    torch.testing.assert_close(linear.median(0).values, torch.eye(2), atol=1e-4, rtol=0)


def test_scales_are_log_normal_and_angles_uniform():
    linear, _ = maps("scale")
    spread(linear[:, 0, 0].log2(), 0.2)
    torch.testing.assert_close(linear, linear[:, :1, :1] * torch.eye(2), atol=1e-4, rtol=0)
    linear, _ = maps("aniso")
    spread(linear[:, 0, 0].log2(), 0.2)
    torch.testing.assert_close(linear[:, 0, 0] * linear[:, 1, 1], torch.ones(MANY), atol=1e-4, rtol=0)
    linear, _ = maps("rotate")
    spins(torch.atan2(linear[:, 1, 0], linear[:, 0, 0]))
    torch.testing.assert_close(linear @ linear.mT, torch.eye(2).expand(MANY, 2, 2), atol=1e-4, rtol=0)


def test_colours_vary_as_published():
    ones = torch.ones(3, 8, 8)
    spread(out(0 * ones, "brightness")[:, 0, 0, 0], 0.2)
    spread(out(ones, "contrast")[:, 0, 0, 0].log2(), 0.5)
    share(out(ones, "lumaflip")[:, 0, 0, 0] < 0, 0.5)
    coloured = torch.tensor([1.0, -0.5, -0.5])[:, None, None] * ones  # mean 0, along one hue
    spread(out(coloured, "saturation")[:, 0, 0, 0].log2(), 1.0)
    hue = out(coloured, "hue")[:, :, 0, 0]
    spins(torch.atan2((hue[:, 1] - hue[:, 2]) / 2**0.5, hue[:, 0] * 1.5**0.5))
    torch.testing.assert_close(hue.square().sum(1), torch.full((MANY,), 1.5), atol=1e-4, rtol=0)
    torch.testing.assert_close(hue.sum(1), torch.zeros(MANY), atol=1e-5, rtol=0)


def test_noise_and_cutout_are_as_published():
    noisy = out(torch.zeros(3, 16, 16), "noise")
    sigma = noisy.flatten(1).std(1)
    assert float(sigma.square().mean()) == pytest.approx(0.01, rel=4 * (2 / MANY) ** 0.5 + 0.01)
    assert float(sigma.median()) == pytest.approx(0.06745, rel=0.1)
    gone = out(torch.ones(1, 16, 16), "cutout")[:, 0] == 0
    assert int(gone.sum((1, 2)).max()) == 64
    share(gone[:, 8, 8], 0.25)
    share(gone[:, 0, 0], (4.5 / 16) ** 2)


@pytest.mark.parametrize("name", _NAMES)
def test_each_is_made_with_probability_p(name):
    x = torch.rand(3, 9, 9, generator=torch.Generator().manual_seed(2))
    changed = (out(x, name, p=0.3) - x).abs().amax((1, 2, 3)) > 1e-3
    # Half of the flips and a quarter of the turns are none; a shift of U(−9/8, 9/8) may round to 0, twice.
    idle = {"xflip": 1 / 2, "lumaflip": 1 / 2, "rotate90": 1 / 4, "xint": (0.5 / (9 / 8)) ** 2}
    share(changed, 0.3 * (1 - idle.get(name, 0)))


def test_real_and_fake_are_spared_independently():
    corruption, x = at(0.5, "brightness"), torch.zeros(MANY, 1, 8, 8)
    real, fake = (corruption(x, Draws(stop=MANY), purpose, 0)[:, 0, 0, 0] for purpose in ("real", "fake"))
    share((real == 0) & (fake == 0), 0.25)


def amounts(p: float = 1.0) -> _Amounts:
    return _Amounts(Draws(seed=4, stop=8), "real", torch.tensor(p), dict.fromkeys(_NAMES, 1.0))


def test_the_geometric_map_is_the_product_of_its_parts():
    # In homogeneous coordinates, undoing one after the other from the outcome to the original.
    height, width = 12, 20
    given = amounts()
    linear, shift = _geometry(given, height, width)
    for i in range(8):

        def part(a: float, b: float, c: float, d: float, x: float = 0.0, y: float = 0.0) -> Tensor:
            return torch.tensor([[a, b, x], [c, d, y], [0.0, 0.0, 1.0]], dtype=torch.float64)

        def turn(angle: float) -> Tensor:
            return part(math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle))

        u = {name: given.uniforms(name)[i].tolist() for name in _COLUMNS}
        n = {name: given.normals(name)[i].tolist() for name in _COLUMNS}
        scale, stretch = 2 ** (0.2 * n["scale"][0]), 2 ** (0.2 * n["aniso"][0])
        made = [
            part(-1 if u["xflip"][0] > 0 else 1, 0, 0, 1),
            turn(-math.pi / 2 * math.floor(2 * u["rotate90"][0])),
            part(1, 0, 0, 1, round(u["xint"][0] * width / 8), round(u["xint"][1] * height / 8)),
            part(scale, 0, 0, scale),
            turn(-math.pi * u["rotate"][0]),
            part(stretch, 0, 0, 1 / stretch),
            turn(-math.pi * u["rotate again"][0]),
            part(1, 0, 0, 1, n["xfrac"][0] * width / 8, n["xfrac"][1] * height / 8),
        ]
        whole = torch.eye(3, dtype=torch.float64)
        for one in made:
            whole = one @ whole
        back = torch.linalg.inv(whole)
        torch.testing.assert_close(linear[i].double(), back[:2, :2], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(shift[i].double(), back[:2, 2], atol=1e-4, rtol=1e-5)


def test_the_colour_map_is_the_product_of_its_parts():
    given, x = amounts(), torch.rand(8, 3, 2, 2) * 2 - 1
    found = recolour(x, *_colours(given, 3))
    axis = torch.ones(3) / 3**0.5
    along = torch.outer(axis, axis)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / 3**0.5
    for i in range(8):
        image = x[i].flatten(1) + 0.2 * given.normal("brightness")[i]
        image = image * 2 ** (0.5 * given.normal("contrast")[i])
        if given.uniform("lumaflip")[i] > 0:
            image = (torch.eye(3) - 2 * along) @ image
        image = torch.linalg.matrix_exp(cross * math.pi * given.uniform("hue")[i]) @ image
        image = (along + (torch.eye(3) - along) * 2 ** given.normal("saturation")[i]) @ image
        torch.testing.assert_close(found[i].flatten(1), image, atol=1e-5, rtol=1e-4)


def test_at_zero_nothing_is_drawn_and_nothing_done():
    x = torch.rand(2, 3, 8, 8)
    assert ada()(x, None, "real", 0) is x


def adapted(corruption: Corruption, sign: float, images: int, shown: int = 0, batch: int = 100) -> float:
    while shown < images:
        shown += batch
        corruption.adapt(torch.tensor(sign), shown)
    return float(corruption.p)


def test_p_rises_at_the_published_speed_under_overfitting_and_falls_without():
    corruption = ada()
    assert corruption.adaptive
    assert adapted(corruption, 0.9, 100_000) == pytest.approx(0.2, abs=1e-4)
    assert adapted(corruption, 0.9, 250_000, 100_000) == pytest.approx(0.5, abs=1e-4)
    assert adapted(corruption, 0.5, 350_000, 250_000) == pytest.approx(0.3, abs=1e-4)
    assert adapted(corruption, 0.6, 400_000, 350_000) == pytest.approx(0.3, abs=1e-4)  # on target


@pytest.mark.parametrize(("sign", "end"), [(1.0, 1.0), (-1.0, 0.0)])
def test_p_stays_a_probability(sign, end):
    corruption = ada(images=1000)
    assert adapted(corruption, sign, 5000, batch=64) == end


def test_p_moves_every_four_steps_by_their_mean_and_the_images_shown():
    corruption, seen = ada(images=1000), []
    for shown, sign in enumerate([1, 1, 1, -0.5, 1, 1, 1, -0.7, 1], 1):
        corruption.adapt(sign, 10 * shown)
        seen.append(round(float(corruption.p), 6))
    assert seen == [0, 0, 0, 0.04, 0.04, 0.04, 0.04, 0.0, 0.0]  # means .625 and .575 against .6


def test_all_state_is_in_the_state_dict():
    one, other = ada(images=1000), ada(images=1000)
    adapted(one, 0.9, 300, batch=50)  # two steps past the last move
    other.load_state_dict(one.state_dict())
    x, draw = torch.rand(4, 3, 8, 8), Draws(stop=4)
    for corruption in (one, other):
        adapted(corruption, 0.9, 450, 300, batch=50)
    assert 0 < float(one.p) == float(other.p)
    assert all(torch.equal(a, b) for a, b in zip(one.buffers(), other.buffers(), strict=True))
    assert torch.equal(one(x, draw, "real", 450), other(x, draw, "real", 450))


def test_a_whole_group_is_its_names():
    x, draw = torch.rand(4, 3, 8, 8), Draws(stop=4)
    assert torch.equal(
        at(0.7, "blit+scale")(x, draw, "real", 0), at(0.7, "scale+xint+xflip+rotate90")(x, draw, "real", 0)
    )
