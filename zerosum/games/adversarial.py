"""The two-player game: a critic tells real from fake, a generator learns to be taken for real."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

from torch import Tensor, nn

from zerosum.constraints import Constraint
from zerosum.draws import Latent
from zerosum.games.game import Batch, Clock, Game, Terms, Turn
from zerosum.games.unrolling import Unroll
from zerosum.objectives import Objective, widened
from zerosum.penalties import Penalty

__all__ = ["Adversarial", "mixes_batch"]

_BATCH_NORM = nn.modules.batchnorm._BatchNorm


def mixes_batch(module: nn.Module) -> bool:
    """Whether a sample's output depends on its neighbours in the batch (batch norm does that).

    >>> mixes_batch(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    True
    """
    return any(isinstance(child, _BATCH_NORM) for child in module.modules())


@contextmanager
def _thawed(module: nn.Module) -> Iterator[None]:
    parameters = [p for p in module.parameters() if not p.requires_grad]
    for p in parameters:
        p.requires_grad_(True)
    try:
        yield
    finally:
        for p in parameters:
            p.requires_grad_(False)


class Adversarial(Game):
    """Algorithm 1 of Goodfellow et al. 2014, for any objective, penalties and constraint.

    A step is `critic_steps` turns of the critic, each with new real images, and one of the generator;
    `first` says which comes first (lecture 3 moves the generator first). `fakes="fresh"` draws new
    latents for the generator's turn, as the algorithm does; `"shared"` judges again the fakes of the
    critic's last turn, which spares one pass through the generator, as many ports do.

    >>> from zerosum.games.unrolling import Unroll
from zerosum.objectives import wasserstein
    >>> game = Adversarial(nn.Linear(4, 2), nn.Flatten(0), Latent(4), wasserstein())
    >>> [turn.player for turn in game.turns(Clock())]
    ['critic', 'generator']

    Raises ValueError where parts contradict each other: a gradient penalty on a critic with batch
    norm, shared fakes when the generator moves first.
    """

    def __init__(
        self,
        generator: nn.Module,
        critic: nn.Module,
        latent: Latent,
        objective: Objective,
        *,
        penalties: Sequence[Penalty] = (),
        constraint: Constraint | None = None,
        corruptions: Sequence[nn.Module] = (),
        regularisers: Sequence[nn.Module] = (),
        critic_steps: int = 1,
        first: Literal["critic", "generator"] = "critic",
        fakes: Literal["fresh", "shared"] = "fresh",
        pack: int = 1,
        feature_matching: float = 0.0,
        unroll: Unroll | None = None,
    ) -> None:
        super().__init__()
        if critic_steps < 1:
            raise ValueError(f"critic_steps must be at least 1, not {critic_steps}")
        if penalties and mixes_batch(critic):
            raise ValueError(
                f"penalty {penalties[0].name} needs a critic that judges each sample alone, and this one has "
                "batch norm: choose --critic-norm layer or none"
            )
        if first == "generator" and fakes == "shared":
            raise ValueError("fakes=shared needs the critic to move first: choose --fakes fresh")
        self.generator, self.critic = generator, critic
        self.latent, self.objective = latent, objective
        self.penalties, self.constraint = tuple(penalties), constraint
        self.critic_steps, self.first, self.fakes = critic_steps, first, fakes
        if constraint:
            constraint.prepare(critic)

    def turns(self, clock: Clock) -> Generator[Turn, Mapping[str, Tensor], None]:
        """The critic's turns and the generator's, in the order asked for."""
        splits = not (mixes_batch(self.generator) or mixes_batch(self.critic))
        kept: dict[int, Tensor] = {}  # fakes with their graph, by the first sample's id

        def critic_terms(batch: Batch) -> Terms:
            fake = self.generator(self.latent(batch.draw))
            return self._critic_terms(batch, fake, clock)

        def critic_terms_keeping(batch: Batch) -> Terms:
            with _thawed(self.generator):
                fake = kept[batch.draw.start] = self.generator(self.latent(batch.draw))
            return self._critic_terms(batch, fake.detach(), clock)

        def generator_terms(batch: Batch) -> Terms:
            fake = kept.pop(batch.draw.start, None)
            if fake is None:
                fake = self.generator(self.latent(batch.draw))
            real = self.critic(batch.data["real"]) if self.objective.paired else None
            logits = self.critic(fake)
            loss = self.objective.generator(real, logits)
            return Terms({"adversarial": loss}, {"fake": self.objective.reading(widened(logits))})

        generator_turn = Turn("generator", generator_terms, take=0, splits=splits)
        if self.first == "generator":
            yield generator_turn
        for k in range(self.critic_steps):
            last = k == self.critic_steps - 1
            keep = last and self.fakes == "shared"
            if self.constraint:
                self.constraint.before(self.critic)
            yield Turn("critic", critic_terms_keeping if keep else critic_terms, splits=splits)
            if self.constraint:
                self.constraint.after(self.critic)
        if self.first == "critic":
            yield generator_turn

    def _critic_terms(self, batch: Batch, fake: Tensor, clock: Clock) -> Terms:
        real = batch.data["real"]
        # Two passes, not one over both: batch norm must not mix real and fake.
        on_real, on_fake = self.critic(real), self.critic(fake)
        loss = {"adversarial": self.objective.critic(on_real, on_fake)}
        for penalty in self.penalties:
            if penalty.due(clock.step):
                loss[penalty.name] = penalty(self.critic, real, fake, batch.draw)
        reading = self.objective.reading
        return Terms(loss, {"real": reading(widened(on_real)), "fake": reading(widened(on_fake))})
