"""The experiments, in one visible table."""

from collections.abc import Mapping

from zerosum.lab import (
    clipping,
    convergence,
    costs,
    divergence_table,
    duality,
    dynamics,
    generalisation,
    information,
    ipm_pair,
    likelihood,
    lines,
    memorisation,
    multimodality,
    optimal,
    ring,
    sampling,
    saturation,
    smoothing,
    spectral,
    supports,
    topology,
    two_bumps,
)
from zerosum.lab.experiment import Experiment

__all__ = ["EXPERIMENTS"]

_ALL: tuple[Experiment, ...] = (
    likelihood.MAXIMUM_LIKELIHOOD,  # 1
    optimal.OPTIMAL_DISCRIMINATOR,  # 2
    optimal.VIRTUAL_CRITERION,  # 3
    convergence.CONVERGENCE,  # 4
    costs.GENERATOR_COSTS,  # 5
    two_bumps.FORWARD_AND_REVERSE,  # 6
    divergence_table.DIVERGENCE_TABLE,  # 7
    supports.PERFECT_DISCRIMINATOR,  # 8
    lines.CONSTANT_DIVERGENCES,  # 9
    topology.TOPOLOGY,  # 10
    duality.DUALITY,  # 11
    clipping.CLIPPING,  # 12
    spectral.SPECTRAL_NORM,  # 13
    smoothing.SLOW_LEARNING,  # 14
    ring.MODE_COLLAPSE,  # 15
    information.MUTUAL_INFORMATION,  # 16
    ipm_pair.INTEGRAL_METRICS,  # 17
    memorisation.MEMORISATION,  # 18
    multimodality.MULTIMODALITY,  # 19
    generalisation.GENERALISATION,  # 20
    dynamics.SADDLE_POINT,  # 21
    saturation.SATURATION,  # 22
    sampling.SAMPLING,  # 23
)

EXPERIMENTS: Mapping[str, Experiment] = {
    experiment.name: experiment for experiment in sorted(_ALL, key=lambda experiment: experiment.number)
}
