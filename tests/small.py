"""Tiny systems, data and states that several tests share; everything is made from seeds."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from zerosum.data import Check, Dataset, Format, Resident
from zerosum.recipes.system import System
from zerosum.recipes.table import RECIPES
from zerosum.training import checkpoint
from zerosum.training.checkpoint import read, restore, write
from zerosum.training.loop import Hook, train
from zerosum.training.state import Average, State

TINY: Mapping[str, Mapping[str, Any]] = {
    "dcgan": {"latent": 4, "width": 2, "kernel": 3, "batch": 8},
    "wgan-gp": {"latent": 4, "width": 2, "kernel": 3, "batch": 8, "critic_steps": 2},
    "wgan-gp-resnet": {"latent": 4, "width": 2, "critic_width": 2, "batch": 8, "critic_steps": 2},
    "sagan": {"latent": 4, "width": 2, "critic_width": 2, "batch": 8},
    "biggan": {"latent": 4, "latent_to": "first", "width": 2, "critic_width": 2, "shared": 3, "batch": 8},
    "sngan": {"latent": 4, "width": 2, "critic_width": 2, "batch": 8, "critic_steps": 2},
    "r3gan": {"latent": 4, "width": 2, "group": 2, "blocks": 1, "batch": 8},
    "progan": {"latent": 4, "fmap_base": 8, "fmap_max": 4, "batch": 8, "stable": 16, "fade": 24},
    "cgan": {
        "latent": 4,
        "branches": (8, 8),
        "hidden": (16,),
        "critic_branches": (4, 3),
        "critic_hidden": (5,),
        "pieces": 2,
        "joint_pieces": 2,
        "batch": 8,
    },
    "acgan": {"latent": 4, "width": 2, "critic_width": 2, "kernel": 3, "batch": 8},
    "projection-gan": {
        "latent": 4,
        "width": 2,
        "critic_width": 2,
        "growth": 1,
        "batch": 8,
        "critic_steps": 2,
    },
    "gan": {"latent": 4, "hidden": (8,), "critic_hidden": (6,), "pieces": 2, "batch": 8},
    "context-encoder": {"width": 2, "critic_width": 2, "kernel": 3, "bottleneck": 4, "batch": 8},
    "gancs": {"width": 2, "blocks": 1, "critic_width": 2, "sampling": "variable:acceleration=2", "batch": 8},
    "vae": {"latent": 4, "hidden": (8,), "width": 2, "batch": 8},
}
FED_IMAGES = ("context-encoder", "gancs")  # recipes whose nets make nothing from latents


def images(count: int = 24, side: int = 8, channels: int = 1, seed: int = 0) -> Dataset:
    """Random bytes as images; labels are their numbers, so that a batch tells which were shown."""
    random = np.random.default_rng(seed)
    samples = random.integers(256, size=(count, side, side, channels), dtype=np.uint8)
    form = Format((channels, side, side), "uint8", 0, 255)
    names = tuple(map(str, range(count)))
    return Dataset("random", form, samples, np.arange(count), names, f"{seed}", Check(count, count))


def npy(path: Path, count: int = 24, side: int = 16, seed: int = 0) -> Path:
    """A .npy of grey images with some order in them: each is a random slope."""
    random = np.random.default_rng(seed)
    across, down = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side))
    slopes = random.normal(size=(count, 2, 1, 1))
    values = 127.5 + 60 * np.tanh(slopes[:, 0] * across + slopes[:, 1] * down)
    np.save(path, values.astype(np.uint8))
    return path


class Recorded:
    """A source that remembers which samples were asked for, in which order, and may change a batch."""

    def __init__(self, source: Resident, dtype: torch.dtype = torch.float32) -> None:
        self.source, self.size, self.dtype = source, source.size, dtype
        self.shown: list[int] = []

    def __call__(self, cursor: int, ids: Tensor) -> Mapping[str, Tensor]:
        batch = dict(self.source(cursor, ids))
        self.shown += batch["labels"].tolist()
        batch["real"] = batch["real"].to(self.dtype)
        return batch


def source(count: int = 24, dtype: torch.dtype = torch.float32, side: int = 8) -> Recorded:
    """Images of `images` in an order of their own each epoch."""
    return Recorded(Resident(images(count, side), seed=5), dtype)


def classes_for(recipe: str) -> int:
    """As many as `images` has, for a recipe that needs labels."""
    return 24 if RECIPES[recipe].labels == "needed" else 0


def system(recipe: str = "dcgan", seed: int = 0, side: int = 8, **settings: Any) -> System:
    """A recipe with a few hundred weights, made from `seed`, for grey images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = RECIPES[recipe].build((1, side, side), {**TINY[recipe], **settings}, classes_for(recipe))
    made.game.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return made


def state(made: System, seed: int = 3) -> State:
    return State(seed, averages={"generator": Average(made.game.get_submodule("generator"), made.average)})


def play(
    made: System, data: Any, where: State, until_images: int, hooks: tuple[Hook, ...] = (), **settings: Any
) -> State:
    """Train a system as a run does."""
    settings = {"batch": made.batch, "schedules": made.schedules, "resets": made.resets, **settings}
    return train(made.game, data, made.optimisers, where, until_images, hooks=hooks, **settings)


def everything(made: System, where: State) -> dict[str, Any]:
    """All of the state, by name, without going through a checkpoint."""
    found: dict[str, Any] = {f"game/{k}": v for k, v in made.game.state_dict().items()}
    for name, average in where.averages.items():
        found |= {f"average/{name}/{k}": v for k, v in average.module.state_dict().items()}
    for player, optimiser in made.optimisers.items():
        plain = optimiser.state_dict()
        found[f"{player}/groups"] = plain["param_groups"]
        for index, values in plain["state"].items():
            found |= {f"{player}/{index}/{k}": v for k, v in values.items()}
    found |= {f"scaler/{player}": scaler.state_dict() for player, scaler in where.scalers.items()}
    found["clock"], found["seed"] = tuple(where.clock), where.seed
    return {k: v.detach().clone() if isinstance(v, Tensor) else v for k, v in found.items()}


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The names whose values are not the same to the bit."""

    def same(a: Any, b: Any) -> bool:
        if isinstance(a, Tensor) and isinstance(b, Tensor):
            return a.dtype == b.dtype and torch.equal(a, b)
        return bool(a == b)

    return [k for k in sorted({*one, *other}) if k not in one or k not in other or not same(one[k], other[k])]


def rewrite(path: Path, tensors: dict[str, Tensor], meta: Any) -> None:
    """Write a checkpoint whose checksum is right, whatever it holds."""
    text = json.dumps(meta)
    save_file(tensors, path, {"zerosum": text, "checksum": checkpoint._checksum(tensors, text)})


def trained(**settings: Any) -> tuple[System, State]:
    made = system(**settings)
    return made, play(made, source(), state(made), 24)


def saved(path: Path, **settings: Any) -> tuple[System, State]:
    made, where = trained(**settings)
    write(path, made.game, made.optimisers, where, {"recipe": "dcgan"})
    return made, where


def restored(path: Path, **settings: Any) -> dict[str, Any]:
    """All the state in a checkpoint, put into a system that was made and trained otherwise."""
    made = system(seed=9, **settings)
    where = play(made, source(), state(made, 9), 8)
    restore(read(path), made.game, made.optimisers, where)
    return everything(made, where)
