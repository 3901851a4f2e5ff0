"""A small generator that has learned something, for tests of what it is searched for."""

import io
from pathlib import Path

from rich.console import Console

from tests import small
from zerosum import runs
from zerosum.rundir import DataOptions

SIDE = 16


def trained_vae(folder: Path) -> tuple[Path, Path, Path]:
    """A VAE of four latents, trained for a second on random slopes: the run, its data, others of the kind."""
    data, others = (
        small.npy(folder / "slopes.npy", 200, SIDE),
        small.npy(folder / "others.npy", 6, SIDE, seed=1),
    )
    settings = {"latent": 4, "hidden": (64,), "batch": 20, "lr": 3e-3, "images": 12_000}
    with io.StringIO() as said:
        runs.start(
            "vae",
            DataOptions(str(data)),
            folder / "vae",
            Console(file=said, width=1000),
            every=12_000,
            precision="fp32",
            arguments=settings,
        )
    return folder / "vae", data, others
