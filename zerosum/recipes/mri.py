"""GANCS: a net that reconstructs images from undersampled spectra, as magnetic resonance measures them.

Each setting is explained once for all recipes, in `zerosum.recipes.glossary`.
"""

from collections.abc import Mapping
from typing import Any

from zerosum.draws import Latent
from zerosum.games.mri import Reconstruction
from zerosum.nets.mri import Critic, Reconstructor
from zerosum.recipes.parts import objective_of, optimiser_of, sampling_of, schedule_of
from zerosum.recipes.system import System

__all__ = ["PRESETS", "gancs"]

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "small": {
        "width": 32,
        "blocks": 4,
        "fold": 2,
        "rounds": 2,
        "norm": "none",
        "critic_norm": "none",
        "mse": 0.95,
        "l1": 1.0,
        "shift": 8,
        "contrast": 0.5,
        "lr": 1e-3,
        "critic_lr": 2e-4,
        "schedule": ("cosine:images=12000,to=0.05",),
        "average": 0.99,
        "images": 12_000,
    }
}


def gancs(
    shape: tuple[int, ...],
    *,
    width: int = 128,
    blocks: int = 5,
    norm: str = "batch",
    fold: int = 1,
    rounds: int = 1,
    consistency: float = 1.0,
    critic_width: int = 8,
    critic_norm: str = "batch",
    sampling: str = "variable:acceleration=4,power=1,centre=0.08",
    noise: float = 0.0,
    shift: int = 0,
    contrast: float = 0.0,
    dc: float = 0.9,
    mse: float = 0.001,
    l1: float = 0.0,
    objective: str = "least-squares",
    optimiser: str = "adam:beta1=0.5,beta2=0.999",
    lr: float = 1e-5,
    critic_lr: float | None = None,
    schedule: tuple[str, ...] = ("decay:factor=1.00006932,floor=0",),
    average: float = 0.999,
    batch: int = 4,
    images: int = 800_000,
) -> System:
    """GANCS: images from undersampled spectra, near the truth and taken for it (Mardani et al. 2017).

    Weights and rates of its authors' code, whose learning rate halves in 10,000 steps; the length is ours. It
    is fed spectra, not latents: `zerosum mri RUN` reconstructs, and compares it with the classical ways.
    """
    if len(shape) != 3:
        raise ValueError("gancs reconstructs images, and the data are points")
    image = (shape[0], shape[1], shape[2])
    net = Reconstructor(
        image, width=width, blocks=blocks, norm=norm, fold=fold, rounds=rounds, consistency=consistency
    )
    critic = Critic(image[0], width=critic_width, norm=critic_norm)
    game = Reconstruction(
        net,
        critic,
        sampling_of(sampling, image),
        objective_of(objective),
        dc=dc,
        mse=mse,
        l1=l1,
        noise=noise,
        shift=shift,
        contrast=contrast,
    )
    rates = {"generator": lr, "critic": lr if critic_lr is None else critic_lr}
    laws = {name: schedule_of(schedule, rate) for name, rate in rates.items()}
    return System(
        game,
        {name: optimiser_of(optimiser, game.get_submodule(name), rate) for name, rate in rates.items()},
        Latent(0, instead="it reconstructs images from spectra: zerosum mri RUN"),
        batch,
        images,
        average,
        schedules={name: law for name, law in laws.items() if law is not None},
        shown=game.shown,
    )
