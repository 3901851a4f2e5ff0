"""A trained generator, loaded from a run directory and ready to use."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import torch
from torch import Tensor, nn

from zerosum.data.formats import Format
from zerosum.draws import Draws, Latent
from zerosum.names import look_up
from zerosum.recipes.system import System
from zerosum.recipes.table import RECIPES, Recipe
from zerosum.rundir import Record, RunDirectory, RunError, find_checkpoint
from zerosum.training.checkpoint import Saved, restore_weights
from zerosum.training.precision import choose_device
from zerosum.training.state import Average

__all__ = ["Trained", "build", "generate", "load"]

_AT_ONCE = 256


@torch.inference_mode()
def generate(module: nn.Module, latent: Latent, draws: Draws) -> Tensor:
    """Samples of a generator for the latents of `draws`, in evaluation mode: [n, …] in [−1, 1], on the CPU.

    Sample i depends on the draws' seed and i alone, not on how many are asked for.

    >>> generate(nn.Linear(3, 2), Latent(3), Draws(stop=5)).shape
    torch.Size([5, 2])
    """
    was_training = module.training
    module.eval()
    like = next(module.parameters())
    parts = []
    for start in range(draws.start, draws.stop, _AT_ONCE):
        z = latent(draws.part(start, min(start + _AT_ONCE, draws.stop))).to(like.device, like.dtype)
        parts.append(module(z).float().cpu())
    module.train(was_training)
    return torch.cat(parts)


@dataclass(frozen=True)
class Trained:
    """A generator in evaluation mode with what is needed to use it.

    `sample` gives tensors; `format.encode` turns them into the data's own values.
    """

    generator: nn.Module
    latent: Latent
    format: Format
    record: Record
    system: System
    saved: Saved

    def sample(self, count: int, seed: int = 0) -> Tensor:
        """`count` samples [count, …] in [−1, 1]; sample i of a seed is the same whatever the count."""
        if count < 1:
            raise ValueError(f"--count must be at least 1, not {count}")
        return generate(self.generator, self.latent, Draws(seed, stop=count))


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
        system = recipe.build(format.shape, arguments)
    return system, format


def load(
    run: str | Path,
    *,
    weights: Literal["average", "last"] = "average",
    device: str = "auto",
    recipes: Sequence[Recipe] = (),
) -> Trained:
    """The generator of a run directory, or of one checkpoint file in it.

    `weights="average"` takes the moving average, `"last"` the weights as trained. `recipes` adds your
    own to the known ones. Raises RunError, CheckpointError or ValueError, each naming file and remedy.
    """
    path = Path(run).expanduser()
    directory = RunDirectory(path.parent.parent if path.suffix == ".safetensors" else path)
    record = directory.record()
    saved, passed = find_checkpoint(path)
    for reason in passed:
        warnings.warn(f"passed over: {reason}", stacklevel=2)
    system, format = build(record, {**RECIPES, **{recipe.name: recipe for recipe in recipes}})
    restore_weights(saved, system.game)
    module = system.game.get_submodule(system.generator)
    if weights == "average" and system.generator in saved.meta["averages"]:
        average = Average(module, 0.0)
        restore_weights(saved, average.module, f"average/{system.generator}")
        module = average.module
    module = module.to(choose_device(device)).eval().requires_grad_(False)
    return Trained(module, system.latent, format, record, system, saved)
