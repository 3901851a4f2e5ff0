"""Constraints: changes to the critic itself that bound its slope.

A constraint prepares a critic once, and acts `before` each of the critic's turns and `after` each of
its steps. A forward pass has no side effect: evaluating twice, or while frozen, gives the same.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

__all__ = ["Constraint", "SpectralNorm", "advance_all", "clip", "spectral_norm", "weight_matrices"]

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)
_BOUNDED = (*_LINEAR, nn.Embedding)  # a projection critic's embedding bounds its slope as a matrix does


def _nothing(module: nn.Module) -> None:
    pass


@dataclass(frozen=True)
class Constraint:
    """What is done to a critic: once, before each of its turns, after each of its steps."""

    name: str
    prepare: Callable[[nn.Module], None] = _nothing
    before: Callable[[nn.Module], None] = _nothing
    after: Callable[[nn.Module], None] = _nothing


def _outputs(layer: nn.Module) -> int:
    """The dimension of a layer's weight that counts its outputs."""
    return 1 if isinstance(layer, _TRANSPOSED) else 0


def weight_matrices(module: nn.Module) -> Iterator[Tensor]:
    """The weight of each linear or convolutional layer as [out, rest], before any spectral norm.

    >>> [tuple(matrix.shape) for matrix in weight_matrices(nn.Sequential(nn.ConvTranspose2d(3, 8, 4)))]
    [(8, 48)]
    """
    for child in module.modules():
        if isinstance(child, _LINEAR):
            changed = parametrize.is_parametrized(child, "weight")
            weight = child.get_parameter("parametrizations.weight.original" if changed else "weight")
            yield weight.movedim(_outputs(child), 0).flatten(1)


class SpectralNorm(nn.Module):
    """W ↦ W/σ(W), σ by power iteration: v ← Wᵀu, u ← Wv (Miyato et al. 2018, algorithm 1).

    σ is that of the weight reshaped to [out, rest]; a convolution's own norm is at most √(k_h k_w)
    times as large. `u` and `v` are constants to the gradient, which is (A − ⟨A, W̄⟩uvᵀ)/σ for an
    upstream A, and move by `advance` alone.
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor, dim: int = 0, warm_up: int = 15) -> None:
        super().__init__()
        self.dim = dim
        matrix = self._matrix(weight.detach())
        self.register_buffer("u", F.normalize(torch.randn_like(matrix[:, 0]), dim=0))
        self.register_buffer("v", F.normalize(torch.randn_like(matrix[0]), dim=0))
        self.advance(weight, warm_up)

    def _matrix(self, weight: Tensor) -> Tensor:
        return weight.movedim(self.dim, 0).flatten(1)

    @torch.no_grad()
    def advance(self, weight: Tensor, iterations: int = 1) -> None:
        """Move u and v towards the first singular vectors."""
        matrix = self._matrix(weight)
        for _ in range(iterations):
            self.v.copy_(F.normalize(matrix.mT @ self.u, dim=0, eps=1e-12))
            self.u.copy_(F.normalize(matrix @ self.v, dim=0, eps=1e-12))

    def forward(self, weight: Tensor) -> Tensor:
        """weight / σ, the shape kept."""
        # The step after this one moves u and v in place; the graph of this one keeps its own.
        u, v = self.u.clone(), self.v.clone()
        with torch.autocast(weight.device.type, enabled=False):
            return weight / torch.dot(u, self._matrix(weight) @ v)


def advance_all(module: nn.Module) -> None:
    """One power iteration for each spectrally normalised weight of a net.

    >>> net = nn.Sequential(nn.Linear(4, 3))
    >>> spectral_norm().prepare(net)
    >>> advance_all(net)
    """
    for child in module.modules():
        if isinstance(child, parametrize.ParametrizationList):
            for part in child:
                if isinstance(part, SpectralNorm):
                    assert isinstance(child.original, Tensor)
                    part.advance(child.original)


def spectral_norm() -> Constraint:
    """Divide each linear, convolutional or embedding weight by its largest singular value.

    Miyato et al. 2018; on embeddings Miyato & Koyama 2018. A layer with a true attribute `unbounded` is
    left as it is.

    One power iteration per update of the critic. The output channels of a transposed convolution are
    its weight's dimension 1. Normalisation layers are left as they are: batch norm multiplies by γ/s, s
    the standard deviation of its input over the batch, and bounds neither, so with batch norm in the
    critic the whole is not 1-Lipschitz, whatever the other layers' σ.

    >>> net = nn.Sequential(nn.Linear(4, 3))
    >>> spectral_norm().prepare(net)
    >>> bool(torch.linalg.matrix_norm(net[0].weight, 2) < 1.01)
    True
    """

    def prepare(module: nn.Module) -> None:
        for child in list(module.modules()):
            if getattr(child, "unbounded", False):
                continue
            if isinstance(child, _BOUNDED) and not parametrize.is_parametrized(child, "weight"):
                part = SpectralNorm(child.weight, _outputs(child))
                parametrize.register_parametrization(child, "weight", part)

    return Constraint("spectral-norm", prepare=prepare, before=advance_all)


def clip(bound: float = 0.01) -> Constraint:
    """Clamp every parameter to [−bound, bound] after each critic step (Arjovsky et al. 2017, algorithm 1).

    >>> net = nn.Linear(2, 1)
    >>> clip(0.01).after(net)
    >>> bool(net.weight.abs().max() <= 0.01)
    True
    """
    if bound <= 0:
        raise ValueError(f"clip: bound must be positive, not {bound}")

    @torch.no_grad()
    def clamp(module: nn.Module) -> None:
        for parameter in module.parameters():
            parameter.clamp_(-bound, bound)

    return Constraint("clip", prepare=clamp, after=clamp)
