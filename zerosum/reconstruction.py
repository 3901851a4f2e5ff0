"""A trained run as a prior: its generator, critic and latents, ready for `zerosum.inverse.search`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from zerosum.data import Dataset
from zerosum.draws import Latent
from zerosum.inverse.descent import Method
from zerosum.inverse.frozen import frozen
from zerosum.inverse.misfit import Decode, Misfit, Prior
from zerosum.inverse.search import Found, Heard, random_starts, search
from zerosum.rundata import options_of
from zerosum.rundir import DataOptions
from zerosum.trained import Label, Trained

__all__ = ["GeneratorPrior", "decoded", "photographs", "prior_of"]

Opener = Callable[[DataOptions], Dataset]


@dataclass(frozen=True)
class GeneratorPrior:
    """What can be drawn: `decoders` by class, one for a generator that takes no labels, over one latent law.

    `encode`, where the run has an encoder, gives a latent [B, k] for images [B, C, H, W]; `critic`, where it
    has one, logits [B]. Images are in [−1, 1].
    """

    path: Path
    decoders: tuple[Decode, ...]
    latent: Latent
    shape: tuple[int, int, int]
    critic: Callable[[Tensor], Tensor] | None
    encode: Callable[[Tensor], Tensor] | None

    def search(
        self,
        misfit: Misfit,
        *,
        restarts: int = 10,
        seed: int = 0,
        method: Method | None = None,
        prior: Prior | None = None,
        start: Tensor | None = None,
        at_once: int = 512,
        hear: Heard | None = None,
        keep: Callable[[Found], None] | None = None,
        decoded: Callable[[Decode], Decode] = lambda decode: decode,
    ) -> Found:
        """Search all classes, each with so many restarts, and keep for each image what fits best.

        `start` [R, B, k] instead of random restarts; `decoded` turns a decoder into what the misfit judges,
        such as images in [0, 1]. Raises ValueError as `zerosum.inverse.search` does.
        """
        if start is None:
            start = random_starts(self.latent, restarts, len(misfit.measured), seed)
        if prior is None and self.latent.law == "uniform":
            prior = Prior(within=1.0)
        run = partial(
            search, misfit=misfit, start=start, method=method, prior=prior, at_once=at_once, hear=hear
        )
        if len(self.decoders) == 1:
            return run(decoded(self.decoders[0]), keep=keep)
        return Found.best([run(decoded(decode)) for decode in self.decoders])


def prior_of(trained: Trained, label: Label | Sequence[Label] | None = None) -> GeneratorPrior:
    """A run's generator as a prior, batch norm folded; of the classes that `label` names, or of all.

    Raises ValueError for a generator of points, and for labels it does not know.
    """
    if trained.format.points:
        raise ValueError(f"{trained.path}: makes points, not images")
    channels, height, width = trained.format.shape
    frozen_generator = frozen(trained.generator)
    like = next(frozen_generator.parameters())
    generator = _carried(frozen_generator, like.device)
    game = trained.system.game
    chosen = trained.numbers(label) if trained.classes or label is not None else ()

    def told(z: Tensor, number: int) -> Tensor:
        out: Tensor = generator(z, torch.full((len(z),), number, device=z.device))
        return out

    decoders: tuple[Decode, ...] = tuple(partial(told, number=number) for number in chosen) or (generator,)
    critic = getattr(game, "critic", None)
    judge = None
    if isinstance(critic, nn.Module) and not trained.classes:
        judge = _carried(critic.to(like.device).eval().requires_grad_(False), like.device)
    encoder = getattr(game, "encoder", None)
    encode = None
    if isinstance(encoder, nn.Module):
        told_by = encoder.to(like.device).eval().requires_grad_(False)
        encode = _carried(lambda x: told_by(x)[0], like.device)

    return GeneratorPrior(trained.path, decoders, trained.latent, (channels, height, width), judge, encode)


def _carried(net: Callable[..., Tensor], device: torch.device) -> Callable[..., Tensor]:
    """A net on a device for tensors on the CPU, where measurements are; there it is the net itself."""
    if device.type == "cpu":
        return net
    return lambda *given: net(*(x.to(device) for x in given)).to(given[0].device)


def photographs(trained: Trained, where: str, opener: Opener, count: int | None = None) -> Tensor:
    """Images [B, C, H, W] in [−1, 1] for a run's generator: read, cut and scaled as its data were.

    `where` is a folder, an archive, an array or a named set's split (`mnist:test`). Raises DataError as
    reading does, and ValueError for images of another size or number of channels, where the run's own data
    were taken as they are.
    """
    options = trained.record.data.options
    asked = options_of(where, options.size, options.channels)
    found = opener(replace(asked, range=options.range))
    if found.format.shape != trained.format.shape:
        raise ValueError(
            f"{where}: images of {list(found.format.shape)} (channels, height, width), and {trained.path} "
            f"makes {list(trained.format.shape)}: bring them to that size and number of channels, or train "
            "with --size and --channels, which then hold for them too"
        )
    return decoded(found, count)


def decoded(dataset: Dataset, count: int | None = None) -> Tensor:
    """The first `count` images of a data set, or all: [B, C, H, W] in [−1, 1]."""
    return dataset.format.decode(dataset.format.tensor(dataset.samples[:count])).contiguous()
