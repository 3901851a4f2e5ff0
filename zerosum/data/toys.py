"""Toy distributions in the plane: pure functions of (count, seed), with their modes where they have any."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Points = np.ndarray[Any, np.dtype[np.float32]]


def ring_modes(modes: int = 8, radius: float = 1.0) -> Points:
    """The centres of a ring of Gaussians, [modes, 2], evenly spaced, the first at (radius, 0).

    >>> len(np.unique(ring_modes().round(6), axis=0))
    8
    """
    angle = 2 * math.pi * np.arange(modes) / modes  # arange: a linspace up to 2π would count one mode twice
    return (radius * np.stack([np.cos(angle), np.sin(angle)], 1)).astype(np.float32)


def grid_modes(side: int = 5, spacing: float = 0.5) -> Points:
    """The centres of a square grid of Gaussians about the origin, [side², 2].

    >>> grid_modes().shape, float(grid_modes().max())
    ((25, 2), 1.0)
    """
    axis = spacing * (np.arange(side) - (side - 1) / 2)
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2).astype(np.float32)


def mixture(centres: Points, count: int, seed: int, std: float) -> Points:
    """`count` draws from equal Gaussians of standard deviation `std` about the centres [K, D].

    >>> mixture(ring_modes(), 5, seed=0, std=.01).shape
    (5, 2)
    """
    random = np.random.default_rng(seed)
    which = random.integers(len(centres), size=count)
    noise = random.standard_normal((count, centres.shape[1])) * std
    return (centres[which] + noise).astype(np.float32)


def ring(count: int, seed: int = 0, *, modes: int = 8, radius: float = 1.0, std: float = 0.01) -> Points:
    """A ring of Gaussians (Metz et al. 2017 show mode collapse on it), float32 [count, 2].

    >>> bool((np.abs(np.linalg.norm(ring(1000), axis=1) - 1) < .06).all())
    True
    """
    return mixture(ring_modes(modes, radius), count, seed, std)


def grid(count: int, seed: int = 0, *, side: int = 5, spacing: float = 0.5, std: float = 0.025) -> Points:
    """A square grid of Gaussians, 25 by default, float32 [count, 2].

    >>> grid(4).dtype
    dtype('float32')
    """
    return mixture(grid_modes(side, spacing), count, seed, std)


def swiss_roll(count: int, seed: int = 0, *, noise: float = 0.01) -> Points:
    """A spiral of one and a half turns, x = t·(cos t, sin t) scaled into the unit disc, float32 [count, 2].

    t = 3π/2·(1 + 2u) with u uniform in [0, 1]; `noise` is the standard deviation added after scaling.

    >>> bool((np.linalg.norm(swiss_roll(1000, noise=0.), axis=1) <= 1).all())
    True
    """
    random = np.random.default_rng(seed)
    t = 1.5 * math.pi * (1 + 2 * random.random(count))
    roll = np.stack([t * np.cos(t), t * np.sin(t)], 1) / (4.5 * math.pi)
    return (roll + noise * random.standard_normal((count, 2))).astype(np.float32)


def moons(count: int, seed: int = 0, *, noise: float = 0.025) -> Points:
    """Two interleaved half circles, centred on the origin, radius ½, float32 [count, 2].

    >>> moons(3).shape
    (3, 2)
    """
    random = np.random.default_rng(seed)
    angle = math.pi * random.random(count)
    lower = random.integers(2, size=count)
    x = np.cos(angle) * (1 - 2 * lower) + lower - 0.5
    y = np.sin(angle) * (1 - 2 * lower) + 0.5 * lower - 0.25
    return (0.5 * np.stack([x, y], 1) + noise * random.standard_normal((count, 2))).astype(np.float32)


TOYS: dict[str, Callable[[int, int], Points]] = {
    "ring": ring,
    "grid": grid,
    "swiss-roll": swiss_roll,
    "moons": moons,
}

MODES: dict[str, tuple[Points, float]] = {
    "ring": (ring_modes(), 0.01),  # centres, and the standard deviation about each
    "grid": (grid_modes(), 0.025),
}
