"""The context encoder's game and its net: who is fed what, the loss's parts, and what filling keeps."""

import pytest
import torch
from torch import Tensor, nn

from zerosum.draws import Draws
from zerosum.games.game import Batch, Clock
from zerosum.games.inpainting import Inpainting
from zerosum.holes import centre, draw_holes, half
from zerosum.nets.inpainting import ContextEncoder
from zerosum.objectives import Objective, non_saturating

HOLES = [centre(), half()]


class Judge(nn.Module):
    """The mean of an image, and what was judged."""

    def __init__(self) -> None:
        super().__init__()
        self.judged: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.judged.append(x)
        return x.mean((1, 2, 3))


def net(channels: int = 1) -> ContextEncoder:
    torch.manual_seed(0)
    return ContextEncoder((channels, 8, 8), width=2, bottleneck=3)


def step(
    game: Inpainting, real: Tensor
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Both turns' losses and what they saw."""
    turns = game.turns(Clock())
    found: list[dict[str, Tensor]] = []
    for turn in turns:
        terms = turn.terms(Batch({"real": real}, Draws(1, stop=len(real)), len(real)))
        found += [dict(terms.loss), dict(terms.seen)]
    return found[0], found[1], found[2], found[3]


def test_the_loss_s_parts_and_who_judges_what() -> None:
    judge, filler = Judge(), net().eval()
    game = Inpainting(filler, judge, HOLES, non_saturating(), reconstruction=0.9)
    real = torch.rand(6, 1, 8, 8) * 2 - 1
    loss, seen, critic_loss, critic_seen = step(game, real)
    mask = draw_holes(HOLES, Draws(1, stop=6), (8, 8))
    made = filler(real, mask)
    square = (made - real).square()
    torch.testing.assert_close(loss["reconstruction"], 0.9 * square.mean((1, 2, 3)))
    torch.testing.assert_close(loss["adversarial"], 0.1 * nn.functional.softplus(-made.mean((1, 2, 3))))
    missing = torch.stack([s[m == 0].mean() for s, m in zip(square, mask, strict=True)])
    torch.testing.assert_close(seen["hole"], missing)
    want = nn.functional.softplus(-real.mean((1, 2, 3))) + nn.functional.softplus(made.mean((1, 2, 3)))
    torch.testing.assert_close(critic_loss["adversarial"], want)
    for_generator, real_again, fake = judge.judged
    assert real_again is real
    assert torch.equal(fake, for_generator)
    assert for_generator.requires_grad
    assert not fake.requires_grad
    assert critic_seen.keys() == {"real", "fake"}


def test_the_hole_s_content_is_not_seen() -> None:
    filler, mask = net().eval(), draw_holes(HOLES, Draws(1, stop=6), (8, 8))
    real = torch.rand(6, 1, 8, 8) * 2 - 1
    other = torch.where(mask == 1, real, torch.full_like(real, torch.nan))
    assert torch.equal(filler(real, mask), filler(other, mask))
    assert not torch.equal(filler(real, mask), filler(-real, mask))
    assert not torch.equal(
        filler(real, mask), filler(torch.where(mask == 1, real, 0.0), torch.ones_like(mask))
    )


def test_filling_keeps_what_is_known_to_the_bit_for_masks_of_any_shape() -> None:
    filler = net(channels=3).eval()
    torch.manual_seed(1)
    image = torch.rand(5, 3, 8, 8) * 2 - 1
    for shape in ((1, 8, 8), (3, 8, 8), (5, 1, 8, 8), (5, 3, 8, 8)):
        mask = (torch.rand(shape) > 0.5).float()
        filled = filler.fill(image, mask)
        known = mask.expand(image.shape) == 1
        assert torch.equal(filled[known], image[known])
        assert not torch.isclose(filled[~known], image[~known]).all()
        broken = torch.where(known, image, torch.full_like(image, torch.nan))
        assert torch.equal(filler.fill(broken, mask), filled)
        assert torch.equal(filler.fill(image, mask == 1), filled)
        torch.testing.assert_close(
            filler.fill(image[2:3], mask[2:3] if mask.dim() == 4 else mask), filled[2:3]
        )
    assert torch.equal(filler.fill(image, torch.ones(1, 8, 8)), image)


@pytest.mark.parametrize(
    ("image", "mask", "message"),
    [
        (
            torch.zeros(2, 1, 8, 8),
            torch.ones(1, 8, 8),
            r"this net fills \[B, C, H, W\] with .* = \(3, 8, 8\)",
        ),
        (torch.zeros(3, 8, 8), torch.ones(1, 8, 8), "this net fills"),
        (torch.zeros(2, 3, 8, 8), torch.ones(1, 8, 9), r"a mask of \(1, 8, 9\) does not fit"),
        (torch.zeros(2, 3, 8, 8), torch.ones(3, 1, 8, 8), r"a mask of \(3, 1, 8, 8\) does not fit"),
        (torch.zeros(2, 3, 8, 8), torch.full((1, 8, 8), 0.5), "1 where a pixel is known and 0 where"),
        (torch.zeros(2, 3, 8, 8), torch.full((1, 8, 8), torch.nan), "1 where a pixel is known and 0 where"),
    ],
)
def test_images_and_masks_that_do_not_fit_are_refused(image: Tensor, mask: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        net(channels=3).fill(image, mask)


def test_objectives_that_pair_and_splitting() -> None:
    paired = Objective(lambda real, fake: fake - real, lambda real, fake: real - fake, paired=True)
    judge = Judge()
    game = Inpainting(net().eval(), judge, HOLES, paired)
    loss, *_ = step(game, torch.rand(4, 1, 8, 8))
    torch.testing.assert_close(
        loss["adversarial"], 0.001 * (judge.judged[0] - judge.judged[1].detach()).mean((1, 2, 3))
    )
    assert not any(turn.splits for turn in (next(game.turns(Clock())),)), "its net has batch norm"


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="--reconstruction is a share, 0 to 1, not 2"):
        Inpainting(net(), Judge(), HOLES, non_saturating(), reconstruction=2)
    with pytest.raises(ValueError, match="--hole: name at least one"):
        Inpainting(net(), Judge(), [], non_saturating())
