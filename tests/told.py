"""Tiny conditional recipes and labelled photos, for tests of all that labels pass through."""

from pathlib import Path

import numpy as np
from PIL import Image

from zerosum.draws import Latent
from zerosum.nets.conditioning import ConcatenatedCritic, ConcatenatedGenerator
from zerosum.nets.mlp import MLPCritic, MLPGenerator
from zerosum.recipes.duel import Rules, duel
from zerosum.recipes.system import System
from zerosum.recipes.table import Recipe

SIDE = 8
RULES = Rules(lr=1e-3, batch=8, images=160)


def labelled(
    shape: tuple[int, ...],
    classes: int = 0,
    *,
    latent: int = 3,
    rules: Rules = RULES,
) -> System:
    """Perceptrons that are told labels where there are classes."""
    generator = MLPGenerator(shape, latent=latent + classes, hidden=(8,))
    seen = (shape[0] + classes, *shape[1:])
    critic = MLPCritic(seen, hidden=(6,), pieces=2, dropout=(0.0, 0.0))
    if not classes:
        return duel(generator, critic, Latent(latent), rules)
    told = ConcatenatedGenerator(generator, classes), ConcatenatedCritic(critic, classes)
    return duel(*told, Latent(latent), rules, classes=classes)


NEEDED = Recipe("told", labelled, "none", labels="needed")
OPTIONAL = Recipe("perhaps", labelled, "none", labels="optional")
RECIPES = {recipe.name: recipe for recipe in (NEEDED, OPTIONAL)}


def photos(folder: Path, classes: tuple[str, ...] = ("cat", "dog", "eel"), count: int = 24) -> Path:
    """Grey photos in class subfolders, in turn; those of class i are about 60 i + 40 bright."""
    random = np.random.default_rng(0)
    for index in range(count):
        label = index % len(classes)
        pixels = random.integers(60 * label % 200, 60 * label % 200 + 50, size=(SIDE, SIDE), dtype=np.uint8)
        (folder / classes[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / classes[label] / f"{index:03d}.png")
    return folder
