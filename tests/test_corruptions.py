"""What every corruption owes its critic; instance noise and DiffAugment against what was published."""

import pytest
import torch
from torch import Tensor

from zerosum.corruptions import Corruption, augment, instance_noise
from zerosum.draws import Draws
from zerosum.recipes.parts import CORRUPTIONS, corruptions_of

TEXTS = [
    "instance-noise",
    "augment",
    "augment:policy=color",
    "augment:policy=translation",
    "augment:policy=cutout",
    "ada:policy=blit+geom+color+noise+cutout",
    "ada:policy=geom",
    "ada:policy=color",
]
IMAGES_ONLY = [text for text in TEXTS if not text.startswith("instance-noise")]


def made(text: str) -> Corruption:
    """A corruption at full strength."""
    (corruption,) = corruptions_of([text])
    if corruption.adaptive:
        corruption.p.fill_(1.0)
    return corruption


def picture(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=dtype) * 2 - 1


every_corruption = pytest.mark.parametrize("text", TEXTS)


def test_all_are_tried():
    elsewhere = {"ada-ramp"}  # begins with doing nothing: tests/test_ada_ramp.py
    assert {text.partition(":")[0] for text in TEXTS} | elsewhere == set(CORRUPTIONS)


@every_corruption
def test_parts_of_a_batch_are_the_whole(text):
    x, corruption = picture(40, 3, 8, 8), made(text)
    whole = corruption(x, Draws(seed=3, stop=40), "real", 0)
    part = corruption(x[10:30], Draws(seed=3, start=10, stop=30), "real", 0)
    torch.testing.assert_close(part, whole[10:30], atol=1e-6, rtol=0)
    assert not torch.equal(whole, x)


@every_corruption
def test_what_is_done_hangs_on_purpose_and_step_alone(text):
    x, corruption = picture(16, 3, 8, 8), made(text)
    real = corruption(x, Draws(stop=16), "real", 0)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert torch.equal(corruption(x, Draws(stop=16), "real", 0), real)
    assert torch.equal(torch.get_rng_state(), before)
    for draw, purpose in ((Draws(stop=16), "fake"), (Draws(stop=16, step=1), "real")):
        assert not torch.equal(corruption(x, draw, purpose, 0), real)


@every_corruption
def test_real_and_fake_undergo_the_same_law(text):
    # Mean and square of each pixel over many samples of one image, under either purpose.
    x, corruption = picture(1, 3, 8, 8).expand(4000, -1, -1, -1), made(text)
    real, fake = (corruption(x, Draws(stop=4000), purpose, 0) for purpose in ("real", "fake"))
    for power in (1, 2):
        one, other = real**power, fake**power
        error = ((one.var(0) + other.var(0)) / 4000).sqrt()
        away = (one.mean(0) - other.mean(0)).abs() / error.clamp_min(1e-6)
        assert away.max() < 4.5


@every_corruption
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 12), (5, 17, 9)])
def test_gradients_reach_through_it_and_are_those_of_finite_differences(text, shape):
    corruption, draw = made(text), Draws(seed=1, stop=2)
    x = picture(2, *shape, dtype=torch.float64)[:, :, : min(9, shape[1])].requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: corruption(x, draw, "fake", 0), x, fast_mode=True, atol=1e-6, rtol=1e-5
    )
    assert corruption(x, draw, "fake", 0).shape == x.shape


@every_corruption
def test_half_precision_is_treated_in_float32_also_under_autocast(text):
    x, corruption, draw = picture(4, 3, 8, 8).bfloat16(), made(text), Draws(stop=4)
    expected = corruption(x.float(), draw, "fake", 0)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(corruption(x, draw, "fake", 0), expected)
        assert torch.equal(corruption(x.float(), draw, "fake", 0), expected)


@pytest.mark.parametrize("text", IMAGES_ONLY)
def test_points_are_refused(text):
    with pytest.raises(ValueError, match=r"needs images.*instance-noise"):
        made(text)(picture(4, 2), Draws(stop=4), "real", 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("augment:policy=colour", "unknown policy of augment 'colour': did you mean 'color'"),
        ("augment:policy=color+color", "given twice"),
        ("augment:policy=", "unknown policy"),
        ("ada:policy=rotat", "did you mean 'rotate'"),
        ("ada:target=1", "target"),
        ("ada:every=0", "every"),
        ("instance-noise:start=-1", "not negative"),
        ("instance-noise:images=0", "images"),
        ("noise", "did you mean 'instance-noise'"),
    ],
)
def test_settings_that_cannot_be_are_named(text, message):
    with pytest.raises(ValueError, match=message):
        corruptions_of([text])


def test_noise_of_unit_variance_halves_the_divergence_of_pair_a():
    # KL(N(0,1)‖N(1,1)) = ½ becomes KL(N(0,2)‖N(1,2)) = ¼, if and only if both sides are blurred.
    samples, across = 400, 500
    noise, draw = instance_noise(start=1.0, stop=1.0), Draws(stop=samples)
    base = draw.normal("p", across), draw.normal("q", across) + 1
    p, q = (noise(x, draw, purpose, 0) for x, purpose in zip(base, ("real", "fake"), strict=True))

    def kl(p: Tensor, q: Tensor) -> float:
        ratio = p.var() / q.var()
        return float(0.5 * (ratio - 1 - ratio.log() + (p.mean() - q.mean()) ** 2 / q.var()))

    assert kl(*base) == pytest.approx(0.5, abs=0.01)
    assert kl(p, q) == pytest.approx(0.25, abs=0.006)


@pytest.mark.parametrize(("images", "sigma"), [(0, 0.4), (25, 0.325), (50, 0.25), (100, 0.1), (10**9, 0.1)])
def test_noise_is_annealed_in_a_line(images, sigma):
    noise = instance_noise(start=0.4, stop=0.1, images=100)
    out = noise(torch.zeros(100, 1000), Draws(stop=100), "real", images)
    assert float(out.std()) == pytest.approx(sigma, rel=0.01)
    assert float(out.mean()) == pytest.approx(0.0, abs=4 * sigma / 100000**0.5)


def test_no_noise_is_no_work():
    x = picture(2, 3, 8, 8)
    assert instance_noise(images=10)(x, None, "real", 10) is x


def spread(found: Tensor, low: float, high: float) -> None:
    """Assert that a sample is uniform on [low, high]: range, mean, variance."""
    width = high - low
    assert low <= float(found.min()) < low + 0.02 * width
    assert high - 0.02 * width < float(found.max()) <= high
    assert float(found.mean()) == pytest.approx((low + high) / 2, abs=4 * width / (12 * len(found)) ** 0.5)
    assert float(found.var()) == pytest.approx(width**2 / 12, rel=0.1)


def test_colours_vary_as_published():
    x = picture(1, 3, 8, 8).expand(2000, -1, -1, -1)
    out = augment("color")(x, Draws(stop=2000), "real", 0)
    grey, grey_out = x.mean(1, keepdim=True), out.mean(1, keepdim=True)
    colour, colour_out = x - grey, out - grey_out
    brightness = grey_out.mean((2, 3), keepdim=True) - grey.mean((2, 3), keepdim=True)
    contrast = grey_out.std((2, 3), keepdim=True) / grey.std((2, 3), keepdim=True)
    both = (colour_out * colour).sum((1, 2, 3), keepdim=True) / colour.square().sum((1, 2, 3), keepdim=True)
    saturation = both / contrast
    spread(brightness.flatten(), -0.5, 0.5)
    spread(saturation.flatten(), 0.0, 2.0)
    spread(contrast.flatten(), 0.5, 1.5)

    expected = x + brightness
    expected = (expected - expected.mean(1, keepdim=True)) * saturation + expected.mean(1, keepdim=True)
    mean = expected.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(out, (expected - mean) * contrast + mean, atol=1e-5, rtol=0)


def test_translation_takes_every_whole_shift_up_to_an_eighth():
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(24.0), indexing="ij")
    x = torch.stack([rows, columns])[None].expand(3000, -1, -1, -1) + 100
    out = augment("translation")(x, Draws(stop=3000), "real", 0)
    shift = (out - x)[:, :, 8, 12]
    assert torch.equal(shift, shift.round())
    for axis, most in ((0, 2), (1, 3)):
        counts = torch.bincount(shift[:, axis].long() + most, minlength=2 * most + 1)
        expected = 3000 / (2 * most + 1)
        assert len(counts) == 2 * most + 1
        assert (counts - expected).abs().max() < 4 * expected**0.5
    inside = out != 0
    assert torch.equal(inside.sum((2, 3))[:, 0], ((16 - shift[:, 0].abs()) * (24 - shift[:, 1].abs())).long())
    torch.testing.assert_close(((out - x) * inside).amax((2, 3)), shift.clamp_min(0), atol=0, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (16, 28), (9, 14)])
def test_cutout_is_half_of_each_side_centred_anywhere(height, width):
    out = augment("cutout")(torch.ones(4000, 2, height, width), Draws(stop=4000), "real", 0)
    gone = out[:, 0] == 0
    assert torch.equal(gone, out[:, 1] == 0)
    windows = []
    for side, lines in ((height, gone.any(2)), (width, gone.any(1))):
        size = side // 2
        places = side + 1 - size % 2  # an even window's centre may lie on either border
        length = lines.sum(1)
        assert length.aminmax() == (-(-size // 2), size)  # the centre is never outside
        share = (lines.float().argmax(1)[length == size]).bincount().float() / 4000
        assert len(share) == side - size + 1
        assert (share - 1 / places).abs().max() < 4.5 * (1 / places / 4000) ** 0.5
        windows.append(length)
    assert torch.equal(gone.sum((1, 2)), windows[0] * windows[1])


def test_a_policy_is_followed_in_its_order():
    x, draw = picture(8, 3, 16, 16), Draws(stop=8)
    first, second = augment("translation+color"), augment("color+translation")
    steps = augment("color")(augment("translation")(x, draw, "real", 0), draw, "real", 0)
    assert torch.equal(first(x, draw, "real", 0), steps)
    assert not torch.equal(second(x, draw, "real", 0), steps)


def test_grey_has_no_saturation():
    # A grey image told as three equal channels stays grey, and is what its one channel becomes.
    x = picture(8, 1, 8, 8)
    for text in ("augment:policy=color", "ada:policy=color"):
        one = made(text)(x, Draws(stop=8), "real", 0)
        three = made(text)(x.expand(-1, 3, -1, -1), Draws(stop=8), "real", 0)
        torch.testing.assert_close(three, one.expand(-1, 3, -1, -1), atol=1e-5, rtol=0)
