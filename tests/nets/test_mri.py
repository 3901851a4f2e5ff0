"""GANCS's nets: what they are fed, what stays as it was measured, what is refused."""

import math

import pytest
import torch

from zerosum.draws import Draws
from zerosum.kspace import consistent, fourier, variable
from zerosum.nets.mri import Critic, Reconstructor

SHAPE = (2, 8, 12)


def net(**settings: float) -> Reconstructor:
    """A net whose last layer draws something."""
    torch.manual_seed(0)
    made = Reconstructor(SHAPE, **{"width": 4, "blocks": 1, "norm": "none", **settings})  # type: ignore[arg-type]
    for parameter in made.layers[-2].parameters():
        torch.nn.init.normal_(parameter)
    return made.eval()


def spectra() -> tuple[torch.Tensor, torch.Tensor]:
    keep = variable()(Draws(3, stop=5), SHAPE[1:])
    return fourier(torch.rand(5, *SHAPE)), keep


@pytest.mark.parametrize("settings", [{}, {"fold": 2}, {"rounds": 3}])
def test_what_was_measured_is_put_back_and_what_was_not_is_not_looked_at(settings):
    y, keep = spectra()
    made = net(**settings)
    drawn, out = made.drawn(y, keep), made(y, keep)
    where = keep.expand_as(y)
    torch.testing.assert_close(fourier(out)[where], y[where], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(fourier(drawn)[where], y[where], atol=1e-2)
    torch.testing.assert_close(made.agreeing(out, y, keep), out)
    broken = torch.where(keep, y, math.nan)
    assert torch.equal(made(broken, keep), out)
    assert torch.equal(made.reconstruct(broken, keep), out.clamp(0, 1))


def test_a_soft_weight_trusts_what_was_measured_by_so_much():
    y, keep = spectra()
    made = net(consistency=0.25)
    drawn, where = made.drawn(y, keep), keep.expand_as(y)
    assert not torch.allclose(fourier(made(y, keep))[where], y[where], atol=1e-2)
    torch.testing.assert_close(made(y, keep), drawn + 0.25 * (consistent(drawn, y, keep) - drawn))


def test_a_new_net_gives_the_zero_filled_image():
    y, keep = spectra()
    made = Reconstructor(SHAPE, width=4, blocks=1).eval()
    torch.testing.assert_close(made(y, keep), consistent(torch.zeros(5, *SHAPE), y, keep))


def test_the_imaginary_part_is_seen():
    """Lines measured at k alone and at −k alone have the same real zero-filled image."""
    y = fourier(torch.rand(1, *SHAPE))
    keep = torch.zeros(1, 1, *SHAPE[1:], dtype=torch.bool)
    keep[..., 8] = True
    other = keep.flip(-1).roll(1, -1)
    made = net(consistency=0.0)
    images = [made(torch.where(mask, y, 0), mask).detach() for mask in (keep, other)]
    assert float((images[0] - images[1]).abs().max()) > 1e-3


def test_an_image_does_not_depend_on_its_neighbours_and_one_mask_serves_all():
    y, keep = spectra()
    made = net()
    torch.testing.assert_close(made.reconstruct(y[2:3], keep[2:3]), made.reconstruct(y, keep)[2:3])
    torch.testing.assert_close(
        made.reconstruct(y, keep[0]), made.reconstruct(y, keep[:1].expand(5, 1, 8, 12))
    )


def test_the_critic_is_the_published_one():
    critic = Critic(1)
    kernels = [tuple(p.shape) for p in critic.parameters() if p.dim() == 4]
    maps = [(8, 1), (16, 8), (32, 16), (64, 32), (64, 64), (64, 64), (1, 64)]
    assert kernels == [(*pair, k, k) for pair, k in zip(maps, (3, 3, 3, 3, 3, 1, 1), strict=True)]
    assert critic.layers(torch.zeros(2, 1, 96, 96)).shape == (2, 1, 6, 6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 0}, "--width must be at least 1, not 0"),
        ({"rounds": 0}, "--rounds must be at least 1"),
        ({"fold": 3}, "--fold 3 does not divide 8×12: choose another --size"),
        ({"consistency": 1.5}, "--consistency is a weight, 0 to 1, not 1.5"),
        ({"norm": "instance"}, "norm must be batch, layer, virtual or none"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Reconstructor(SHAPE, **settings)
    with pytest.raises(ValueError, match="--critic-width must be at least 1"):
        Critic(1, width=0)


def test_spectra_and_masks_that_do_not_fit_are_refused():
    y, keep = spectra()
    made = net()
    for wrong in (y[0], y.real, y[..., 1:]):
        with pytest.raises(ValueError, match="this net takes complex"):
            made.reconstruct(wrong, keep)
    for wrong in (keep.float(), keep[..., 1:]):
        with pytest.raises(ValueError, match=r"does not fit: give bool \[1, H, W\]"):
            made.reconstruct(y, wrong)
    with pytest.raises(ValueError, match="what was measured is not finite"):
        made.reconstruct(torch.where(keep, math.inf, y), keep)
