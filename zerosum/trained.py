"""A trained generator, loaded from a run directory and ready to use."""

import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec
import torch
from torch import Tensor, nn

from zerosum.data.formats import Format
from zerosum.draws import Draws, Latent, mix
from zerosum.folder import is_folder, read_folder
from zerosum.names import look_up, unknown
from zerosum.nets.standing import standing_statistics
from zerosum.recipes.system import System
from zerosum.recipes.table import RECIPES, Recipe
from zerosum.rundir import Record, RunDirectory, RunError, find_checkpoint
from zerosum.training.checkpoint import restore_weights
from zerosum.training.precision import choose_device
from zerosum.training.state import Average

__all__ = ["Trained", "build", "decode", "generate", "in_turn", "load"]

_AT_ONCE = 256
Label = int | str


@torch.inference_mode()
def decode(module: nn.Module, latents: Tensor, labels: Tensor | None = None) -> Tensor:
    """Samples of a generator for latents [n, k], in evaluation mode: [n, …] in [−1, 1], on the CPU.

    A conditional one is told `labels`, int64 [n].

    >>> decode(nn.Linear(3, 2), torch.zeros(5, 3)).shape
    torch.Size([5, 2])
    """
    was_training = module.training
    module.eval()
    like = next(module.parameters())
    given = [latents.to(like.device, like.dtype)] + ([] if labels is None else [labels.to(like.device)])
    parts = [module(*part).float().cpu() for part in zip(*(x.split(_AT_ONCE) for x in given), strict=True)]
    module.train(was_training)
    return torch.cat(parts)


def generate(module: nn.Module, latent: Latent, draws: Draws, labels: Tensor | None = None) -> Tensor:
    """Samples for the latents of `draws`, as `decode` makes them: [n, …] in [−1, 1], on the CPU.

    Sample i depends on the draws' seed, i and its label alone, not on how many are asked for.

    >>> generate(nn.Linear(3, 2), Latent(3), Draws(stop=5)).shape
    torch.Size([5, 2])
    """
    parts = []
    for start in range(draws.start, draws.stop, _AT_ONCE):
        part = draws.part(start, min(start + _AT_ONCE, draws.stop))
        told = None if labels is None else labels[start - draws.start :][: len(part)]
        parts.append(decode(module, latent(part), told))
    return torch.cat(parts)


def in_turn(count: int, chosen: Sequence[int]) -> Tensor:
    """Labels int64 [count] that go through the chosen classes again and again.

    >>> in_turn(5, (0, 3))
    tensor([0, 3, 0, 3, 0])
    """
    return torch.tensor(chosen)[torch.arange(count) % len(chosen)]


@dataclass(frozen=True)
class Trained:
    """A generator in evaluation mode with what is needed to use it.

    `sample` gives tensors; `format.encode` turns them into the data's own values. `path` is the run
    directory or folder it came from; it was trained on `images` real images, and `weights` says whether
    it is the average.
    """

    generator: nn.Module
    latent: Latent
    format: Format
    record: Record
    system: System
    path: Path
    weights: Literal["average", "last"]
    images: int

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes it makes samples of; () where it takes no labels."""
        return self.record.classes

    def numbers(self, label: Label | Sequence[Label] | None = None) -> tuple[int, ...]:
        """The numbers of the classes asked for, each by its number, or by text: its name, else its number.

        None stands for all. Raises ValueError for classes that are not there, and where there are none.
        """
        if label is None:
            return tuple(range(len(self.classes)))
        chosen = (label,) if isinstance(label, int | str) else tuple(label)
        if not self.classes:
            raise ValueError(f"{self.path}: trained without labels, so --label has no class to choose")
        if not chosen:
            raise ValueError("--label: give at least one class")
        return tuple(map(self._number, chosen))

    def _number(self, label: Label) -> int:
        if label in self.classes:
            return self.classes.index(str(label))
        if str(label) in map(str, range(len(self.classes))):
            return int(label)
        raise unknown("--label", str(label), self.classes)

    def sample(
        self,
        count: int,
        seed: int = 0,
        label: Label | Sequence[Label] | None = None,
        truncation: float | None = None,
    ) -> Tensor:
        """`count` samples [count, …] in [−1, 1]; sample i of a seed is the same whatever the count.

        A conditional generator goes through its classes in turn, sample i of class i mod K, or through
        those that `label` names. `truncation` t cuts a normal latent to [−t, t]: better samples of less
        variety. Raises ValueError for an unknown class, and where there are none to choose from.
        """
        if count < 1:
            raise ValueError(f"--count must be at least 1, not {count}")
        if truncation is not None:
            return self.truncated(truncation).sample(count, seed, label)
        chosen = self.numbers(label)
        labels = in_turn(count, chosen) if chosen else None
        return generate(self.generator, self.latent, Draws(seed, stop=count), labels)

    def latents(self, numbers: Sequence[int], seed: int = 0) -> Tensor:
        """The latents [n, k] of the samples of these numbers, as `sample` draws them with this seed.

        Raises ValueError for a number below 0, and for none.
        """
        if not numbers or min(numbers) < 0:
            raise ValueError(f"samples are numbered from 0, and {list(numbers)} are asked for")
        return torch.cat([self.latent(Draws(seed, start=i, stop=i + 1)) for i in numbers])

    def labels(self, numbers: Sequence[int], label: Label | Sequence[Label] | None = None) -> Tensor | None:
        """The classes int64 [n] of the samples of these numbers, as `sample` chooses them; None without any.

        Raises ValueError as `numbers` does.
        """
        chosen = self.numbers(label)
        return torch.tensor([chosen[i % len(chosen)] for i in numbers]) if chosen else None

    def truncated(self, threshold: float) -> "Trained":
        """The same with normal latents cut to [−threshold, threshold]. Raises ValueError for uniform ones."""
        return replace(self, latent=self.latent.truncated(threshold))

    def standing(self, batches: int) -> "Trained":
        """The same with batch norm's statistics over so many fresh batches, each of the training's size.

        BigGAN's standing statistics (Brock et al. 2019, appendix B), of all classes in turn; where latents
        are to be truncated, they must be so before. Raises ValueError where there is no batch norm.
        """
        if batches < 1:
            raise ValueError(f"--standing must be at least 1 batch, not {batches}")
        draws = Draws(mix("standing"), stop=batches * self.system.batch)
        labels = in_turn(len(draws), self.numbers()) if self.classes else None
        module = deepcopy(self.generator)
        standing_statistics(module, self.latent, draws, batches, labels)
        return replace(self, generator=module)


def build(record: Record, recipes: Mapping[str, Recipe]) -> tuple[System, Format]:
    """The system a record describes, freshly initialised from its seed, and its data's format.

    Raises ValueError for a recipe or setting that is not known, naming the nearest.
    """
    recipe = look_up(recipes, record.recipe, "recipe")
    try:
        format = msgspec.convert(record.data.format, Format)
    except msgspec.ValidationError as error:
        raise RunError(f"recipe.json: data.format cannot be used ({error})") from error
    arguments = recipe.check(record.arguments, strict=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(record.training.seed)
        system = recipe.build(format.shape, arguments, len(record.classes))
    return system, format


def load(
    run: str | Path,
    *,
    weights: Literal["average", "last"] = "average",
    device: str = "auto",
    recipes: Sequence[Recipe] = (),
) -> Trained:
    """The generator of a run directory, of one checkpoint file in it, or of a folder that was exported.

    `weights="average"` takes the moving average, `"last"` the weights as trained; a folder holds one of
    the two. `recipes` adds your own to the known ones. Raises RunError, CheckpointError or ValueError,
    each naming file and remedy.
    """
    path = Path(run).expanduser()
    known = {**RECIPES, **{recipe.name: recipe for recipe in recipes}}
    if is_folder(path):
        kept = read_folder(path)
        if weights == "last" != kept.weights:
            raise RunError(f"{path}: holds the average's weights alone: leave --weights out")
        system, format = build(kept.record, known)
        module = system.game.get_submodule(system.generator)
        kept.fill(module)
        found: tuple[Literal["average", "last"], int] = kept.weights, kept.images
        record, truncation = kept.record, kept.truncation
    else:
        truncation = None
        directory = RunDirectory(path.parent.parent if path.suffix == ".safetensors" else path)
        record = directory.record()
        saved, passed = find_checkpoint(path)
        for reason in passed:
            warnings.warn(f"passed over: {reason}", stacklevel=2)
        system, format = build(record, known)
        restore_weights(saved, system.game)
        module = system.game.get_submodule(system.generator)
        averaged = weights == "average" and system.generator in saved.meta["averages"]
        if averaged:
            average = Average(module, 0.0)
            restore_weights(saved, average.module, f"average/{system.generator}")
            module = average.module
        found, path = ("average" if averaged else "last", saved.clock.images), directory.path
    module = module.to(choose_device(device)).eval().requires_grad_(False)
    latent = system.latent if truncation is None else system.latent.truncated(truncation)
    return Trained(module, latent, format, record, system, path, *found)
