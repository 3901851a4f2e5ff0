"""Comparisons that have a name: tables of recipes and settings, and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from zerosum.compare.axes import Axis, Choice

__all__ = ["GRIDS", "Grid"]


@dataclass(frozen=True)
class Grid:
    """Rows and columns. A cell's settings are the grid's, then the column's, then the row's."""

    about: str
    rows: Axis
    columns: Axis
    settings: Mapping[str, Any]
    images: int


def _architectures(width: int, kernel: int, residual_width: int, depth: int) -> Axis:
    """The seven of Gulrajani et al. 2017, figure 2; the last has residual nets of `depth` layers."""
    convolutional: dict[str, dict[str, Any]] = {
        "baseline: G DCGAN, D DCGAN": {},
        "G no batch norm, constant filters; D DCGAN": {"norm": "none", "growth": 1},
        "G 4-layer 512-unit ReLU MLP; D DCGAN": {"hidden": (512,) * 4},
        "no normalisation in G or D": {"norm": "none", "critic_norm": "none"},
        "gated units everywhere in G and D": {"activation": "gated"},
        "tanh everywhere in G and D": {"activation": "tanh"},
    }
    shared = {"width": width, "kernel": kernel}
    residual = {"width": residual_width, "critic_width": residual_width, "growth": 16, "depth": depth}
    return (
        *(Choice(label, {**shared, **given}, "dcgan") for label, given in convolutional.items()),
        Choice(f"{depth}-layer ResNet G and D", residual, "wgan-gp-resnet"),
    )


def _methods(faster: float = 1.0) -> Axis:
    """The four, by the settings of the paper and its published code, their rates `faster` times."""
    adversarial: dict[str, Any] = {
        "penalty": (),
        "constraint": "none",
        "critic_steps": 1,
        "critic_norm": "batch",
    }
    wasserstein = {**adversarial, "objective": "wasserstein", "critic_steps": 5}
    return (
        Choice(
            "DCGAN",
            {
                **adversarial,
                "objective": "non-saturating",
                "optimiser": "adam:beta1=0.5,beta2=0.999",
                "lr": 2e-4 * faster,
            },
        ),
        Choice(
            "LSGAN",
            {**adversarial, "objective": "least-squares", "optimiser": "rmsprop", "lr": 1e-4 * faster},
        ),
        Choice(
            "WGAN (clipping)",
            {**wasserstein, "constraint": "clip:bound=0.01", "optimiser": "rmsprop", "lr": 5e-5 * faster},
        ),
        Choice(
            "WGAN-GP",
            {
                **wasserstein,
                "penalty": ("wgan-gp:weight=10",),
                "critic_norm": "layer",  # batch norm would mix the samples that it differentiates alone
                "optimiser": "adam:beta1=0,beta2=0.9",
                "lr": 1e-4 * faster,
            },
        ),
    )


_ALL = {"latent": 128, "latent_law": "normal", "schedule": (), "average": 0.0, "batch": 64}

GRIDS: Mapping[str, Grid] = MappingProxyType(
    {
        "robustness": Grid(
            "Seven architectures by four methods (Gulrajani et al. 2017, figure 2), for 64×64 and a GPU: "
            "the paper's widths and rates; 64 million images are its 200,000 steps of five critic turns. "
            "Samples are of the last weights, not of their average.",
            _architectures(width=64, kernel=5, residual_width=32, depth=101),
            _methods(),
            _ALL,
            64_000_000,
        ),
        "robustness-small": Grid(
            "Seven architectures by four methods (Gulrajani et al. 2017, figure 2), for small images and one "
            "core: all rates ten times the paper's, nets narrower, batches of 32, few images, and the "
            "critic's last fakes judged again in the generator's turn. Samples are of the last weights.",
            _architectures(width=16, kernel=4, residual_width=8, depth=101),
            _methods(10.0),
            {**_ALL, "latent": 64, "batch": 32, "fakes": "shared"},
            32_000,
        ),
    }
)
