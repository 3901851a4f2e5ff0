"""The two-player game: a critic tells real from fake, a generator learns to be taken for real."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal, cast

import torch
from torch import Tensor, nn

from zerosum.constraints import Constraint
from zerosum.corruptions import Corruption
from zerosum.draws import Latent
from zerosum.games.conditional import Auxiliary, bound, labels_of
from zerosum.games.fitting import (
    mixes_batch,
    refuse_batch_norm,
    refuse_sigmoid,
    refuse_twice,
    refuse_unsigned,
)
from zerosum.games.game import Batch, Clock, Game, Terms, Turn
from zerosum.games.growth import faded, tell
from zerosum.games.packing import packed, packs_of, unpacked
from zerosum.games.pooled import pooled
from zerosum.games.unrolling import Judge, Unroll
from zerosum.nets.progan import Growth
from zerosum.objectives import Objective, widened
from zerosum.penalties import Penalty
from zerosum.regularisers import Regulariser

__all__ = ["Adversarial"]


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
    """Algorithm 1 of Goodfellow et al. 2014, for any objective, and with what was proposed since.

    A step is `critic_steps` turns of the critic, each with new real images, and one of the generator;
    `first` says which comes first (lecture 3 moves the generator first). `fakes="fresh"` draws new
    latents for the generator's turn, as the algorithm does; `"shared"` judges again the fakes of the
    critic's last turn, which spares one pass through the generator, as many ports do.

    What the critic is fed, in both players' turns: `corruptions` of real and fake alike, in order, then
    packs of `pack` samples joined along channels (PacGAN). `penalties` see the same, so a gradient is
    taken where the critic is used. `regularisers` add to the loss of the player they are for.

    The generator minimises the objective's term, or instead of it, with `feature_matching` w > 0,
    w·‖E f(x) − E f(G(z))‖², f the critic's `features` (Salimans et al. 2016, section 3.1); or that term
    against a critic some steps ahead, with `unroll`. Those inner steps go down the objective alone:
    penalties, regularisers and the constraint's own moves (power iterations, clipping) are left out.

    `labelled` gives the batch's labels to both nets, `generator(z, labels)` and `critic(x, labels)`:
    fakes bear the labels of the reals beside them, whose law is the data's and who may be paired. With
    `auxiliary` (AC-GAN) the critic is not told, and classifies: `critic.judged(x)` gives logits and
    class logits. `generator_constraint` is the generator's own.

    `growth` is the plan of nets that grow: they are told how many images were shown, and reals are
    averaged and faded to the size that the nets have then.

    >>> from zerosum.objectives import wasserstein
    >>> game = Adversarial(nn.Linear(4, 2), nn.Flatten(0), Latent(4), wasserstein())
    >>> [turn.player for turn in game.turns(Clock())]
    ['critic', 'generator']

    Raises ValueError where parts contradict each other: a penalty that needs each sample judged alone
    on a critic with batch norm, a critic that ends in a sigmoid, shared fakes when the generator moves
    first, feature matching with a critic that names no features or one that is unrolled; labels with
    packs or feature matching, an auxiliary classifier with unrolling.
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
        corruptions: Sequence[Corruption] = (),
        regularisers: Sequence[Regulariser] = (),
        critic_steps: int = 1,
        first: Literal["critic", "generator"] = "critic",
        fakes: Literal["fresh", "shared"] = "fresh",
        pack: int = 1,
        feature_matching: float = 0.0,
        unroll: Unroll | None = None,
        labelled: bool = False,
        auxiliary: Auxiliary | None = None,
        generator_constraint: Constraint | None = None,
        growth: Growth | None = None,
    ) -> None:
        super().__init__()
        for name, number, least in (
            ("--critic-steps", critic_steps, 1),
            ("--pack", pack, 1),
            ("--feature-matching", feature_matching, 0),
        ):
            if number < least:
                raise ValueError(f"{name} must be at least {least}, not {number}")
        if first == "generator" and fakes == "shared":
            raise ValueError("--fakes shared needs the critic to move first: choose --fakes fresh")
        if feature_matching and not hasattr(critic, "features"):
            raise ValueError(
                f"--feature-matching needs the critic's last hidden features: give {type(critic).__name__} a "
                "method features(x) -> [B, d]"
            )
        if feature_matching and unroll:
            raise ValueError(
                "--feature-matching does not judge, so there is nothing to --unroll: choose one of the two"
            )
        if labelled or auxiliary:
            if pack > 1:
                raise ValueError(f"--pack {pack}: samples of a pack differ in class: choose --pack 1")
            if feature_matching:
                raise ValueError(
                    "--feature-matching matches means over all classes and tells none apart: leave it out"
                )
        if auxiliary and unroll:
            raise ValueError("--unroll looks ahead by the objective alone, without classes: leave it out")
        refuse_sigmoid(critic)
        refuse_batch_norm(critic, penalties)
        refuse_unsigned(objective, corruptions)
        refuse_twice([*(penalty.name for penalty in penalties), *(part.name for part in regularisers)])
        self.generator, self.critic = generator, critic
        self.latent, self.objective = latent, objective
        self.penalties, self.constraint = tuple(penalties), constraint
        self.corruptions, self.regularisers = nn.ModuleList(corruptions), nn.ModuleList(regularisers)
        self.critic_steps, self.first, self.fakes = critic_steps, first, fakes
        self.pack, self.feature_matching, self.unroll = pack, feature_matching, unroll
        self.labelled, self.auxiliary = labelled or auxiliary is not None, auxiliary
        self.generator_constraint, self.growth = generator_constraint, growth
        self._judges_alone = not mixes_batch(critic)
        splits = self._judges_alone and not (mixes_batch(generator) or objective.mixes)
        self._critic_splits = splits and not any(penalty.mixes for penalty in penalties)
        self._generator_splits = splits and not (unroll or feature_matching)
        self._adaptive = [corruption for corruption in corruptions if corruption.adaptive]
        self._regularised = {
            name: [r for r in regularisers if r.player in (name, "both")] for name in ("critic", "generator")
        }
        for held, net in ((constraint, critic), (generator_constraint, generator)):
            if held:
                held.prepare(net)
        for player, parts in self._regularised.items():
            for part in parts:
                part.prepare(player, self.get_submodule(player))

    def turns(self, clock: Clock) -> Generator[Turn, Mapping[str, Tensor], None]:
        """The critic's turns and the generator's, in the order asked for."""
        kept: dict[int, Tensor] = {}  # fakes with their graph, by the first sample's id
        if self.growth:
            for net in (self.generator, self.critic):
                tell(net, clock.images)

        def critic_terms(batch: Batch) -> Terms:
            return self._critic_terms(batch, self._generated(batch), clock)

        def critic_terms_keeping(batch: Batch) -> Terms:
            with _thawed(self.generator):
                fake = kept[batch.draw.start] = self._generated(batch)
            return self._critic_terms(batch, fake.detach(), clock)

        def generator_terms(batch: Batch) -> Terms:
            fake = kept.pop(batch.draw.start, None)
            if fake is None:
                fake = self._generated(batch)
            return self._generator_terms(batch, fake, clock)

        def generator_turn() -> Generator[Turn, Mapping[str, Tensor], None]:
            if self.generator_constraint:
                self.generator_constraint.before(self.generator)
            yield Turn("generator", generator_terms, take=0, splits=self._generator_splits)
            if self.generator_constraint:
                self.generator_constraint.after(self.generator)
            self._moved("generator")

        if self.first == "generator":
            yield from generator_turn()
        for k in range(self.critic_steps):
            last = k == self.critic_steps - 1
            keep = last and self.fakes == "shared"
            if self.constraint:
                self.constraint.before(self.critic)
            terms = critic_terms_keeping if keep else critic_terms
            seen = yield Turn("critic", terms, splits=self._critic_splits)
            if self.constraint:
                self.constraint.after(self.critic)
            self._moved("critic")
            if last:
                for corruption in self._adaptive:
                    corruption.adapt(seen["sign"], clock.images)
        if self.first == "critic":
            yield from generator_turn()

    def _labels(self, batch: Batch) -> Tensor | None:
        return labels_of(batch) if self.labelled else None

    def _judge(self, batch: Batch, judge: Judge | None = None) -> Judge:
        """The critic, or `judge` in its place, with the labels it is told."""
        return bound(judge or self.critic, None if self.auxiliary else self._labels(batch))

    def _generated(self, batch: Batch) -> Tensor:
        fake: Tensor = bound(self.generator, self._labels(batch))(self.latent(batch.draw))
        return fake

    def _fed(self, x: Tensor, purpose: str, batch: Batch, clock: Clock) -> Tensor:
        """What the critic is fed for samples x [b, …]: corrupted, then packed."""
        for place, corruption in enumerate(self.corruptions):
            x = corruption(x, batch.draw, f"{purpose}/{place}", clock.images)
        return packed(x, self.pack, batch.total)

    def _real(self, batch: Batch, clock: Clock) -> Tensor:
        x = batch.data["real"]
        return self._fed(faded(x, self.growth, clock.images) if self.growth else x, "real", batch, clock)

    def _critic_terms(self, batch: Batch, fake: Tensor, clock: Clock) -> Terms:
        real = self._real(batch, clock)
        fake = self._fed(fake, "fake", batch, clock)
        # Two passes, not one over both: batch norm must not mix real and fake.
        judge, loss = self._judge(batch), {}
        if self.auxiliary:
            (on_real, class_real), (on_fake, class_fake) = self._judged(real), self._judged(fake)
            loss["classes"] = self.auxiliary.of_critic(class_real, class_fake, labels_of(batch))
        else:
            on_real, on_fake = judge(real), judge(fake)
        loss["adversarial"] = self.objective.critic(on_real, on_fake)

        def again(x: Tensor) -> Tensor:
            return on_real if x is real else judge(x)  # drift judges the reals too: once is enough

        for penalty in self.penalties:
            if penalty.due(clock.step):
                now = penalty.at(clock.images)
                loss[penalty.name] = now(again, real, fake, packs_of(batch.draw, self.pack))
        reading = self.objective.reading
        seen = {"real": reading(widened(on_real)), "fake": reading(widened(on_fake))}
        if self._adaptive:
            seen["sign"] = widened(on_real).sign()
        return self._terms("critic", loss, seen)

    def _generator_terms(self, batch: Batch, fake: Tensor, clock: Clock) -> Terms:
        fake = self._fed(fake, "fake", batch, clock)
        judge = self._judge(batch)
        on_real = None
        loss: dict[str, Tensor] = {}
        if self.feature_matching or self.objective.paired or self.unroll:
            real = self._real(batch, clock)
            if self.feature_matching:
                return self._terms("generator", {"feature-matching": self._feature_gap(real, fake)}, {})
            if self.unroll:
                ahead = self.unroll.ahead(
                    self.critic, lambda judge: self._sum(self._judge(batch, judge), real, fake), len(real)
                )
                judge = self._judge(batch, ahead)
            on_real = judge(real) if self.objective.paired else None
        if self.auxiliary:
            on_fake, class_fake = self._judged(fake)
            loss["classes"] = self.auxiliary.of_generator(class_fake, labels_of(batch))
        else:
            on_fake = judge(fake)
        loss["adversarial"] = self.objective.generator(on_real, on_fake)
        return self._terms("generator", loss, {"fake": self.objective.reading(widened(on_fake))})

    def _judged(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logits, of_class = cast(Callable[[Tensor], tuple[Tensor, Tensor]], self.critic.judged)(x)
        return logits, of_class

    def _feature_gap(self, real: Tensor, fake: Tensor) -> Tensor:
        """w·‖E f(x) − E f(G(z))‖², 0-d, the means over the whole batch."""
        features = cast(Judge, self.critic.features)
        gap = pooled(widened(features(real)).sum(0) - widened(features(fake)).sum(0), len(real))
        return self.feature_matching * gap.square().sum()

    def _sum(self, judge: Judge, real: Tensor, fake: Tensor) -> Tensor:
        """The critic's loss by the objective alone, summed over this process's samples."""
        if self._judges_alone and not self.labelled:  # one pass instead of two
            on_real, on_fake = judge(torch.cat([real, fake])).chunk(2)
        else:
            on_real, on_fake = judge(real), judge(fake)
        term = self.objective.critic(on_real, on_fake)
        return term.sum() if term.dim() else term * len(real)

    def _terms(self, player: str, loss: Mapping[str, Tensor], seen: Mapping[str, Tensor]) -> Terms:
        """One number a sample, not a pack, and the regularisers' terms."""
        module = self.get_submodule(player)
        regularised = {part.name: part(player, module) for part in self._regularised[player]}
        each = [{name: unpacked(term, self.pack) for name, term in terms.items()} for terms in (loss, seen)]
        return Terms({**each[0], **regularised}, each[1])

    def _moved(self, player: str) -> None:
        for part in self._regularised[player]:
            part.after(player, self.get_submodule(player))
