"""GANCS's game: the loss's parts, masks and noise by sample, who judges what, and varied images."""

import pytest
import torch
from torch import Tensor, nn

from zerosum.draws import Draws
from zerosum.games.game import Batch, Clock
from zerosum.games.mri import Reconstruction, varied
from zerosum.kspace import consistent, fourier, variable
from zerosum.nets.mri import Reconstructor
from zerosum.objectives import Objective, least_squares


class Judge(nn.Module):
    """The mean of an image, and what was judged."""

    def __init__(self) -> None:
        super().__init__()
        self.judged: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.judged.append(x)
        return x.mean((1, 2, 3))


def net() -> Reconstructor:
    torch.manual_seed(0)
    made = Reconstructor((1, 8, 12), width=4, blocks=1, norm="none")
    torch.nn.init.normal_(next(made.layers[-2].parameters()))
    return made


def step(game: Reconstruction, real: Tensor) -> list[dict[str, Tensor]]:
    """Both turns' losses and what they saw; a turn has its own draws."""
    found: list[dict[str, Tensor]] = []
    for number, turn in enumerate(game.turns(Clock())):
        terms = turn.terms(Batch({"real": real}, Draws(1, turn=number, stop=len(real)), len(real)))
        found += [dict(terms.loss), dict(terms.seen)]
    return found


def test_the_loss_s_parts_and_who_judges_what() -> None:
    judge, made_by = Judge(), net()
    game = Reconstruction(made_by, judge, variable(), least_squares(), dc=0.8, mse=0.3, l1=0.25, noise=0.05)
    real = torch.rand(6, 1, 8, 12) * 2 - 1
    loss, seen, critic_loss, critic_seen = step(game, real)
    truth = (real + 1) / 2
    y, keep = game.measured(truth, Draws(1, stop=6))
    drawn = made_by.drawn(y, keep)
    made = consistent(drawn, y, keep)
    error = made - truth
    pixel = 0.25 * error.abs().mean((1, 2, 3)) + 0.75 * error.square().mean((1, 2, 3))
    gap = ((fourier(drawn) - y) * keep).abs().square().mean((1, 2, 3))
    says = (2 * made - 1).mean((1, 2, 3))
    torch.testing.assert_close(loss["pixel"], 0.3 * pixel)
    torch.testing.assert_close(loss["consistency"], 0.7 * 0.8 * gap)
    torch.testing.assert_close(loss["adversarial"], 0.7 * 0.2 * 0.5 * (says - 1).square())
    torch.testing.assert_close(seen["error"], error.square().mean((1, 2, 3)))
    want = 0.5 * (real.mean((1, 2, 3)) - 1).square() + 0.5 * says.square()
    torch.testing.assert_close(critic_loss["adversarial"], want)
    for_generator, real_again, fake = judge.judged
    torch.testing.assert_close(real_again, real)
    assert torch.equal(fake, for_generator)
    assert for_generator.requires_grad
    assert not fake.requires_grad
    assert critic_seen.keys() == {"real", "fake"}


def test_noise_is_on_what_is_measured_alone_and_has_its_deviation() -> None:
    game = Reconstruction(net(), Judge(), variable(), least_squares(), noise=0.5)
    zero = torch.zeros(400, 1, 8, 12)
    y, keep = game.measured(zero, Draws(2, stop=400))
    where = keep.expand_as(y)
    assert (y[~where] == 0).all()
    for part in (y[where].real, y[where].imag):
        assert float(part.std()) == pytest.approx(0.5, rel=0.05)
    again, _ = game.measured(zero[:3], Draws(2, start=5, stop=8))
    torch.testing.assert_close(again, y[5:8])
    clean = Reconstruction(net(), Judge(), variable(), least_squares()).measured(zero, Draws(2, stop=400))
    assert (clean[0] == 0).all()


def test_the_critic_sees_the_images_as_varied_in_the_generator_s_turn() -> None:
    judge = Judge()
    game = Reconstruction(net(), judge, variable(), least_squares(), shift=3, contrast=0.7)
    real = torch.rand(5, 1, 8, 12) * 2 - 1
    step(game, real)
    want = varied((real + 1) / 2, Draws(1, stop=5), 3, 0.7)
    torch.testing.assert_close(judge.judged[1], 2 * want - 1)


def test_images_are_moved_by_whole_pixels_and_keep_0_and_1() -> None:
    x = torch.rand(300, 1, 8, 12).round()
    moved = varied(x, Draws(4, stop=300), 2, 0.5)
    assert set(moved.unique().tolist()) == {0.0, 1.0}
    padded = torch.nn.functional.pad(x, (2, 2, 2, 2))
    windows = {(i, j): padded[:, :, i : i + 8, j : j + 12] for i in range(5) for j in range(5)}
    found = [
        next(place for place, window in windows.items() if torch.equal(window[n], moved[n]))
        for n in range(300)
    ]
    assert set(found) == set(windows)
    grey = (
        varied(torch.full((300, 1, 2, 2), 0.5), Draws(4, stop=300), 0, 0.5)[:, 0, 0, 0].log()
        / torch.tensor(0.5).log()
    )
    assert float(grey.log().min()) == pytest.approx(-0.5, abs=0.02)
    assert float(grey.log().max()) == pytest.approx(0.5, abs=0.02)


def test_grids_show_the_zero_filled_and_the_reconstructed() -> None:
    made_by = net().eval()
    game = Reconstruction(made_by, Judge(), variable(), least_squares())
    real = torch.rand(4, 1, 8, 12) * 2 - 1
    shown = game.shown(made_by, real, Draws(9, stop=4))
    assert shown.shape == (4, 2, 1, 8, 12)
    y, keep = game.measured((real + 1) / 2, Draws(9, stop=4))
    torch.testing.assert_close(shown[:, 1], 2 * made_by.reconstruct(y, keep) - 1)
    filled = consistent(torch.zeros(4, 1, 8, 12), y, keep).clamp(0, 1)
    torch.testing.assert_close(shown[:, 0], 2 * filled - 1)


def test_objectives_that_pair() -> None:
    paired = Objective(lambda real, fake: fake - real, lambda real, fake: real - fake, paired=True)
    judge = Judge()
    loss, *_ = step(Reconstruction(net(), judge, variable(), paired), torch.rand(4, 1, 8, 12))
    want = 0.999 * 0.1 * (judge.judged[0] - judge.judged[1].detach()).mean((1, 2, 3))
    torch.testing.assert_close(loss["adversarial"], want)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("dc", 1.5, "--dc is a share, 0 to 1, not 1.5"),
        ("mse", -0.1, "--mse is a share"),
        ("l1", 2, "--l1 is a share"),
        ("noise", -1.0, "--noise must be at least 0, not -1"),
        ("shift", -1, "--shift must be at least 0"),
        ("contrast", float("inf"), "--contrast must be at least 0"),
    ],
)
def test_bad_settings_are_refused(name: str, value: float, message: str) -> None:
    settings: dict[str, float] = {name: value}
    with pytest.raises(ValueError, match=message):
        Reconstruction(net(), Judge(), variable(), least_squares(), **settings)  # type: ignore[arg-type]
