"""The game of GANCS: images from undersampled spectra that are near the truth, and are taken for it."""

from collections.abc import Generator, Mapping

import torch
from torch import Tensor, nn

from zerosum.augmentation import warp
from zerosum.draws import Draws
from zerosum.games.fitting import mixes_batch, refuse_sigmoid
from zerosum.games.game import Batch, Clock, Game, Terms, Turn
from zerosum.kspace import Sampling, consistent, fourier
from zerosum.nets.mri import Reconstructor
from zerosum.objectives import Objective, widened

__all__ = ["Reconstruction", "varied"]


def varied(x: Tensor, draw: Draws, shift: int, contrast: float) -> Tensor:
    """Images in [0, 1], moved by up to `shift` whole pixels and raised to a power e^u, |u| ≤ `contrast`.

    What moves out is lost, and what comes in is 0.

    >>> varied(torch.eye(2).view(1, 1, 2, 2), Draws(), shift=0, contrast=0.0).flatten().tolist()
    [1.0, 0.0, 0.0, 1.0]
    """
    if shift:
        by = (draw.uniform("shift", 2) * (2 * shift + 1)).floor() - shift
        x = warp(x, torch.eye(2, device=x.device).expand(len(x), 2, 2), by.to(x.device), exact=True)
    if contrast:
        power = ((2 * draw.uniform("contrast", 1, 1, 1) - 1) * contrast).exp()
        x = x.clamp_min(0) ** power.to(x.device)
    return x


class Reconstruction(Game):
    """Mardani et al. 2017: (1 − mse)·[(1 − dc)·adversarial + dc·‖y − A x̂‖²] + mse·ℓ, as in their code.

    ℓ is l1·|x − x̂| + (1 − l1)·(x − x̂)², means over pixels of images in [0, 1], and ‖·‖² a mean over the
    spectrum, of what the net drew before the measured samples are put back: afterwards nothing is left of it.
    The critic judges images with them put back. Each image gets a mask of its own by `sampling`, and
    complex noise on what is measured, of deviation `noise` in each part; `shift` and `contrast` vary the
    images, see `varied`. A step is a turn of the generator with new images, then the critic's on the same.

    >>> from zerosum.kspace import SAMPLINGS
    >>> from zerosum.objectives import least_squares
    >>> net = Reconstructor((1, 8, 8), width=2, blocks=1)
    >>> game = Reconstruction(net, nn.Flatten(0), SAMPLINGS["variable"](), least_squares())
    >>> [(turn.player, turn.take) for turn in game.turns(Clock())]
    [('generator', None), ('critic', 0)]

    Raises ValueError for shares outside [0, 1], and noise, shifts or contrasts below 0.
    """

    def __init__(
        self,
        generator: Reconstructor,
        critic: nn.Module,
        sampling: Sampling,
        objective: Objective,
        *,
        dc: float = 0.9,
        mse: float = 0.001,
        l1: float = 0.0,
        noise: float = 0.0,
        shift: int = 0,
        contrast: float = 0.0,
    ) -> None:
        super().__init__()
        for name, share in (("dc", dc), ("mse", mse), ("l1", l1)):
            if not 0 <= share <= 1:
                raise ValueError(f"--{name} is a share, 0 to 1, not {share}")
        for name, size in (("noise", noise), ("shift", shift), ("contrast", contrast)):
            if not 0 <= size < float("inf"):
                raise ValueError(f"--{name} must be at least 0, not {size}")
        refuse_sigmoid(critic)
        self.generator, self.critic = generator, critic
        self.sampling, self.objective = sampling, objective
        self.dc, self.mse, self.l1 = dc, mse, l1
        self.noise, self.shift, self.contrast = noise, shift, contrast
        self._splits = not (mixes_batch(generator) or mixes_batch(critic) or objective.mixes)

    def turns(self, clock: Clock) -> Generator[Turn, Mapping[str, Tensor], None]:
        """The generator's turn, then the critic's on the same images and what was made of them."""
        kept: dict[int, tuple[Tensor, Tensor]] = {}  # truth and made, by the first sample's id

        def generator_terms(batch: Batch) -> Terms:
            real = varied(_intensity(batch.data["real"]), batch.draw, self.shift, self.contrast)
            y, keep = self.measured(real, batch.draw)
            drawn = self.generator.drawn(y, keep)
            made = self.generator.agreeing(drawn, y, keep)
            truth = 2 * real - 1
            kept[batch.draw.start] = truth, (2 * made - 1).detach()
            gap = torch.where(keep, fourier(drawn) - y, 0).abs().square().flatten(1).mean(1)
            error = (made - real).flatten(1)
            square = error.square().mean(1)
            pixel = self.l1 * error.abs().mean(1) + (1 - self.l1) * square
            on_real = self.critic(truth) if self.objective.paired else None
            on_fake = self.critic(2 * made - 1)
            rest = 1 - self.mse
            loss = {
                "pixel": self.mse * pixel,
                "consistency": rest * self.dc * gap,
                "adversarial": rest * (1 - self.dc) * self.objective.generator(on_real, on_fake),
            }
            return Terms(loss, {"error": square, "fake": self.objective.reading(widened(on_fake))})

        def critic_terms(batch: Batch) -> Terms:
            truth, made = kept.pop(batch.draw.start)
            on_real, on_fake = self.critic(truth), self.critic(made)
            reading = self.objective.reading
            seen = {"real": reading(widened(on_real)), "fake": reading(widened(on_fake))}
            return Terms({"adversarial": self.objective.critic(on_real, on_fake)}, seen)

        yield Turn("generator", generator_terms, splits=self._splits)
        yield Turn("critic", critic_terms, take=0, splits=self._splits)

    def measured(self, x: Tensor, draw: Draws) -> tuple[Tensor, Tensor]:
        """Spectra of images in [0, 1], 0 where nothing is measured, and masks: [b, C, H, W], [b, 1, H, W]."""
        keep = self.sampling(draw, (x.shape[-2], x.shape[-1])).to(x.device)
        y = fourier(x)
        if self.noise:
            noise = torch.view_as_complex(draw.normal("noise", *x.shape[1:], 2))
            y = y + self.noise * noise.to(y.device)
        return torch.where(keep, y, 0), keep

    def shown(self, net: nn.Module, real: Tensor, draw: Draws) -> Tensor:
        """Of real images [n, C, H, W] in [−1, 1]: zero-filled, and what a net makes, [n, 2, C, H, W]."""
        y, keep = self.measured(_intensity(real), draw)
        assert isinstance(net, Reconstructor)
        filled = consistent(torch.zeros_like(y.real), y, keep).clamp(0, 1)
        return 2 * torch.stack([filled, net.reconstruct(y, keep)], 1) - 1


def _intensity(x: Tensor) -> Tensor:
    """Images in [−1, 1] as intensities in [0, 1]."""
    return (widened(x) + 1) / 2
