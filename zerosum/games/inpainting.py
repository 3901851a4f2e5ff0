"""The game of a context encoder: what it draws in holes is to be near the truth, and to be taken for it."""

from collections.abc import Generator, Mapping, Sequence

import torch
from torch import Tensor, nn

from zerosum.draws import Draws
from zerosum.games.fitting import mixes_batch, refuse_sigmoid
from zerosum.games.game import Batch, Clock, Game, Terms, Turn
from zerosum.holes import Hole, draw_holes
from zerosum.nets.inpainting import ContextEncoder
from zerosum.objectives import Objective, widened

__all__ = ["Inpainting"]


class Inpainting(Game):
    """Pathak et al. 2016, eq. 1 to 3: λ·‖x − F(x with a hole)‖² + (1 − λ)·adversarial, for holes anywhere.

    As in their code for arbitrary regions, the squared error is a mean over the whole image and the critic
    judges whole images, real ones and those that the net drew. Each sample gets one of the `holes`, each
    as likely. A step is a turn of the generator with new images, then the critic's on the same ones.

    >>> from zerosum.holes import centre
    >>> from zerosum.objectives import non_saturating
    >>> net, critic = ContextEncoder((1, 8, 8), width=2, bottleneck=3), nn.Sequential(nn.Flatten())
    >>> game = Inpainting(net, critic, [centre()], non_saturating())
    >>> [(turn.player, turn.take) for turn in game.turns(Clock())]
    [('generator', None), ('critic', 0)]

    Raises ValueError unless 0 ≤ `reconstruction` (λ) ≤ 1, and where there are no holes.
    """

    def __init__(
        self,
        generator: ContextEncoder,
        critic: nn.Module,
        holes: Sequence[Hole],
        objective: Objective,
        *,
        reconstruction: float = 0.999,
    ) -> None:
        super().__init__()
        if not 0 <= reconstruction <= 1:
            raise ValueError(f"--reconstruction is a share, 0 to 1, not {reconstruction}")
        if not holes:
            raise ValueError("--hole: name at least one kind of hole")
        refuse_sigmoid(critic)
        self.generator, self.critic = generator, critic
        self.holes, self.objective, self.reconstruction = tuple(holes), objective, reconstruction
        self._splits = not (mixes_batch(generator) or mixes_batch(critic) or objective.mixes)

    def turns(self, clock: Clock) -> Generator[Turn, Mapping[str, Tensor], None]:
        """The generator's turn, then the critic's on what was drawn in it."""
        kept: dict[int, Tensor] = {}  # what was drawn, by the first sample's id

        def generator_terms(batch: Batch) -> Terms:
            real, mask = batch.data["real"], self._mask(batch.data["real"], batch.draw)
            made = self.generator(real, mask)
            kept[batch.draw.start] = made.detach()
            square = (widened(made) - widened(real)).square()
            missing = (1 - mask).expand_as(square).flatten(1)
            on_real = self.critic(real) if self.objective.paired else None
            on_fake = self.critic(made)
            loss = {
                "reconstruction": self.reconstruction * square.flatten(1).mean(1),
                "adversarial": (1 - self.reconstruction) * self.objective.generator(on_real, on_fake),
            }
            hole = (square.flatten(1) * missing).sum(1) / missing.sum(1).clamp(min=1)
            return Terms(loss, {"hole": hole, "fake": self.objective.reading(widened(on_fake))})

        def critic_terms(batch: Batch) -> Terms:
            on_real = self.critic(batch.data["real"])
            on_fake = self.critic(kept.pop(batch.draw.start))
            reading = self.objective.reading
            seen = {"real": reading(widened(on_real)), "fake": reading(widened(on_fake))}
            return Terms({"adversarial": self.objective.critic(on_real, on_fake)}, seen)

        yield Turn("generator", generator_terms, splits=self._splits)
        yield Turn("critic", critic_terms, take=0, splits=self._splits)

    def shown(self, net: nn.Module, real: Tensor, draw: Draws) -> Tensor:
        """For real images [n, C, H, W] what grids show of a net: with a hole, and filled, [n, 2, C, H, W]."""
        mask = self._mask(real, draw)
        assert isinstance(net, ContextEncoder)
        given = torch.where(mask > 0.5, real, torch.zeros_like(real))
        return torch.stack([given, net.fill(real, mask)], 1)

    def _mask(self, real: Tensor, draw: Draws) -> Tensor:
        return draw_holes(self.holes, draw, (real.shape[-2], real.shape[-1])).to(real.device)
