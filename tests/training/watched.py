"""Tiny runs that fail in a known way, and the parts they are made of; what the watch told of them."""

import io
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn

from zerosum import runs
from zerosum.draws import Latent
from zerosum.nets.mlp import MLPCritic, MLPGenerator
from zerosum.recipes.duel import Rules, duel
from zerosum.recipes.system import System
from zerosum.recipes.table import RECIPES, Recipe
from zerosum.rundir import DataOptions

RULES = Rules(optimiser="adam:beta1=0.5", lr=1e-3, batch=32, images=6400)


class Deaf(nn.Module):
    """A generator that does not hear its latent: the same sample whatever z is."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.sample = nn.Parameter(torch.zeros(shape))

    def forward(self, z: Tensor) -> Tensor:
        return self.sample.expand(len(z), *self.sample.shape) + 0 * z.sum()


class Copier(nn.Module):
    """A generator that has seen the data, and can but choose among them."""

    def __init__(self, shape: tuple[int, ...], latent: int, count: int) -> None:
        super().__init__()
        self.keys = nn.Linear(latent, count)
        self.pages = nn.Parameter(torch.zeros(count, *shape))

    def begin_at(self, real: Tensor) -> None:
        nn.init.normal_(self.keys.weight, std=30.0)
        self.pages.data.copy_(real[: len(self.pages)])

    def forward(self, z: Tensor) -> Tensor:
        return (self.keys(z).softmax(1) @ self.pages.flatten(1)).unflatten(1, self.pages.shape[1:])


class Unbounded(nn.Module):
    """A generator without a tanh at its end."""

    def __init__(self, shape: tuple[int, ...], latent: int) -> None:
        super().__init__()
        self.layer, self.shape = nn.Linear(latent, int(np.prod(shape))), shape

    def forward(self, z: Tensor) -> Tensor:
        out: Tensor = self.layer(z).unflatten(1, self.shape)
        return out


class Line(nn.Module):
    """The critic f(x) = ψ·x, which against a point is the game that never settles (Mescheder et al. 2018)."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.slope = nn.Linear(int(np.prod(shape)), 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.slope(x.flatten(1)).squeeze(1)
        return out


def broken(
    shape: tuple[int, ...],
    *,
    generator: Literal["mlp", "deaf", "copier", "unbounded"] = "mlp",
    critic: Literal["mlp", "line"] = "mlp",
    latent: int = 8,
    pages: int = 200,
    rules: Rules = RULES,
) -> System:
    """A game of perceptrons, or of what is named instead."""
    made: nn.Module = {
        "mlp": lambda: MLPGenerator(shape, latent=latent, hidden=(32,)),
        "deaf": lambda: Deaf(shape),
        "copier": lambda: Copier(shape, latent, pages),
        "unbounded": lambda: Unbounded(shape, latent),
    }[generator]()
    judge: nn.Module = (
        Line(shape) if critic == "line" else MLPCritic(shape, hidden=(32,), pieces=2, dropout=(0.0, 0.0))
    )
    return duel(made, judge, Latent(latent), rules, begin=getattr(made, "begin_at", None))


BROKEN = Recipe("broken", broken, "none")


def ring(path: Path, count: int = 2048) -> Path:
    """A .npy of points on a circle, about whose centre a generator begins."""
    random = np.random.default_rng(0)
    angle = random.uniform(0, 2 * np.pi, count)
    circle = 0.8 * np.stack([np.cos(angle), np.sin(angle)], 1)
    np.save(path, (circle + 0.05 * random.standard_normal((count, 2))).astype(np.float32))
    return path


def cloud(path: Path, count: int = 2048) -> Path:
    """A .npy of points in the plane about (½, ½)."""
    random = np.random.default_rng(0)
    np.save(path, (0.5 + 0.2 * random.standard_normal((count, 2))).astype(np.float32))
    return path


def pictures(path: Path, count: int = 300, side: int = 10) -> Path:
    """A .npy of grey images, each a random slope with a little noise."""
    random = np.random.default_rng(0)
    across, down = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side))
    slopes = random.normal(size=(count, 2, 1, 1))
    values = 127.5 + 60 * np.tanh(slopes[:, 0] * across + slopes[:, 1] * down)
    values = values + random.normal(0, 20, size=values.shape)
    np.save(path, values.clip(0, 255).astype(np.uint8))
    return path


def train(out: Path, data: Path, recipe: str = "broken", every: int = 800, **arguments: Any) -> str:
    """Train a run in `out`; what people were told."""
    said = io.StringIO()
    runs.start(
        recipe,
        DataOptions(str(data)),
        out,
        Console(file=said, width=1000),
        arguments=arguments,
        every=every,
        precision="fp32",
        recipes={**RECIPES, "broken": BROKEN},
    )
    return said.getvalue()


def told(out: Path) -> list[dict[str, Any]]:
    """The watch's events in a run's metrics.jsonl."""
    entries = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [entry for entry in entries if entry.get("event") == "watch"]


def begun(out: Path) -> set[str]:
    """The diagnoses that began."""
    return {entry["diagnosis"] for entry in told(out) if entry["state"] == "begins"}
