"""The experiments, in one visible table."""

from collections.abc import Mapping

from zerosum.lab import costs
from zerosum.lab.experiment import Experiment

__all__ = ["EXPERIMENTS"]

_ALL: tuple[Experiment, ...] = (
    costs.GENERATOR_COSTS,  # 5
)

EXPERIMENTS: Mapping[str, Experiment] = {
    experiment.name: experiment for experiment in sorted(_ALL, key=lambda experiment: experiment.number)
}
