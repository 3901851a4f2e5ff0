"""The context encoder: a net that fills holes, trained on images with holes.

Each setting is explained once for all recipes, in `zerosum.recipes.glossary`.
"""

from collections.abc import Mapping
from typing import Any

from zerosum.draws import Latent
from zerosum.games.inpainting import Inpainting
from zerosum.nets.dcgan import DCGANCritic
from zerosum.nets.inpainting import ContextEncoder
from zerosum.recipes.parts import holes_of, objective_of, optimiser_of, schedule_of
from zerosum.recipes.system import System

__all__ = ["PRESETS", "context_encoder"]

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "small": {
        "width": 32,
        "critic_width": 32,
        "bottleneck": 512,
        "hole": ("centre", "pattern:missing=0.25", "random:missing=0.8", "half"),
        "images": 500_000,
    }
}


def context_encoder(
    shape: tuple[int, ...],
    *,
    width: int = 64,
    critic_width: int = 64,
    growth: int = 8,
    kernel: int = 4,
    bottleneck: int = 4000,
    hole: tuple[str, ...] = ("pattern:missing=0.25",),
    reconstruction: float = 0.999,
    objective: str = "non-saturating",
    optimiser: str = "adam:beta1=0.5,beta2=0.999",
    lr: float = 2e-3,
    critic_lr: float = 2e-4,
    schedule: tuple[str, ...] = (),
    average: float = 0.999,
    batch: int = 64,
    images: int = 7_450_000,
) -> System:
    """Context encoder: fills holes in images, by squared error and a critic (Pathak et al. 2016).

    Settings of its authors' code for holes anywhere; 7.45 million images are 500 epochs of 14,900 street
    views. It is fed images, not latents: the net of a loaded run has `fill(image, mask)`.
    """
    if len(shape) != 3:
        raise ValueError("context-encoder fills holes in images, and the data are points")
    if not 2 <= kernel <= 9:
        raise ValueError(f"--kernel must be 2 to 9, not {kernel}")
    if bottleneck < 1:
        raise ValueError(f"--bottleneck must be at least 1, not {bottleneck}")
    image = (shape[0], shape[1], shape[2])
    net = ContextEncoder(image, width=width, growth=growth, kernel=kernel, bottleneck=bottleneck)
    critic = DCGANCritic(image, width=critic_width, growth=growth, kernel=kernel)
    game = Inpainting(net, critic, holes_of(hole), objective_of(objective), reconstruction=reconstruction)
    rates = {"generator": lr, "critic": critic_lr}
    laws = {name: schedule_of(schedule, rate) for name, rate in rates.items()}
    return System(
        game,
        {name: optimiser_of(optimiser, game.get_submodule(name), rate) for name, rate in rates.items()},
        Latent(0, instead="it fills holes in images: zerosum.load(RUN).generator.fill(image, mask)"),
        batch,
        images,
        average,
        schedules={name: law for name, law in laws.items() if law is not None},
        shown=game.shown,
    )
