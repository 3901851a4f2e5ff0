"""Regularisers: terms on a player's weights alone, added to that player's loss.

The game calls `prepare` once for each player that the regulariser is for, the regulariser itself
for the term in each of that player's turns, and `after` when the player has moved.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from zerosum.constraints import weight_matrices

__all__ = ["Player", "Regulariser", "historical_averaging", "orthogonal"]

Player = Literal["critic", "generator", "both"]


class Regulariser(nn.Module):
    """A term on the weights of `player`. Its buffers are its state, saved with the game's."""

    def __init__(self, name: str, player: Player, weight: float) -> None:
        super().__init__()
        if weight < 0:
            raise ValueError(f"--regulariser {name}: weight={weight} must not be negative")
        self.name, self.player, self.weight = name, player, weight

    def prepare(self, player: str, module: nn.Module) -> None:
        """Make what state is kept for `player`, whose weights are those of `module`."""

    def forward(self, player: str, module: nn.Module) -> Tensor:
        """The term, 0-d."""
        raise NotImplementedError(f"{type(self).__name__} must say what it costs: write forward")

    def after(self, player: str, module: nn.Module) -> None:
        """Take notice that `player` has moved."""


class _Orthogonal(Regulariser):
    def __init__(self, weight: float, form: Literal["off-diagonal", "identity"], player: Player) -> None:
        super().__init__("orthogonal", player, weight)
        self.form = form

    def forward(self, player: str, module: nn.Module) -> Tensor:
        costs = [self._cost(matrix) for matrix in weight_matrices(module)]
        if not costs:
            raise ValueError(f"--regulariser orthogonal: the {player} has no linear or convolutional layer")
        return self.weight * torch.stack(costs).sum()

    def _cost(self, matrix: Tensor) -> Tensor:
        identity = self.form == "identity"
        with torch.autocast(matrix.device.type, enabled=False):
            if len(matrix) <= matrix.shape[1]:
                gram = matrix @ matrix.mT
                wanted = torch.ones_like(gram[0]) if identity else gram.diagonal()
                return (gram - torch.diag(wanted)).square().sum()
            # [out, out] would be the larger one, up to gigabytes; its norm is that of [rest, rest].
            norms = matrix.square().sum(1)
            off_diagonal = (matrix.mT @ matrix).square().sum() - norms.square().sum()
            return off_diagonal + (norms - 1).square().sum() if identity else off_diagonal


def orthogonal(
    weight: float = 1e-4,
    form: Literal["off-diagonal", "identity"] = "off-diagonal",
    player: Player = "generator",
) -> Regulariser:
    """β‖WᵀW ⊙ (1−I)‖²_F, summed over layers (Brock, Donahue & Simonyan 2019, eq. 3: BigGAN).

    With `form="identity"` it is the older β‖WᵀW−I‖²_F (Brock et al. 2017), which binds the norms too.
    The columns of W are a layer's outputs: a weight [out, …] is reshaped to [out, rest] and is Wᵀ (a
    transposed convolution's [in, out, …] is turned first), so WᵀW is [out, out], each filter against
    each. Layers with more outputs than inputs to each cannot reach 0. Linear layers and convolutions
    alone: no embedding, bias or normalisation; the weight before spectral norm, as the optimiser holds it.

    >>> net = nn.Linear(2, 2, bias=False)
    >>> _ = net.weight.data.copy_(torch.tensor([[1.0, 1.0], [0.0, 2.0]]))
    >>> orthogonal(weight=1.0)("generator", net).item(), orthogonal(1.0, "identity")("generator", net).item()
    (8.0, 18.0)
    """
    return _Orthogonal(weight, form, player)


class _HistoricalAveraging(Regulariser):
    def prepare(self, player: str, module: nn.Module) -> None:
        self.register_buffer(f"{player}_mean", torch.zeros_like(_flat(module)))
        self.register_buffer(f"{player}_moves", torch.zeros((), dtype=torch.int64))

    def forward(self, player: str, module: nn.Module) -> Tensor:
        began = self.get_buffer(f"{player}_moves") > 0
        return self.weight * began * (_flat(module) - self.get_buffer(f"{player}_mean")).square().sum()

    @torch.no_grad()
    def after(self, player: str, module: nn.Module) -> None:
        mean, moves = self.get_buffer(f"{player}_mean"), self.get_buffer(f"{player}_moves")
        moves += 1
        mean += (_flat(module) - mean) / moves


def _flat(module: nn.Module) -> Tensor:
    return torch.cat([parameter.flatten() for parameter in module.parameters()])


def historical_averaging(weight: float = 1.0, player: Player = "both") -> Regulariser:
    """‖θ − (1/t) Σᵢ θᵢ‖², θᵢ the player's parameters after its i-th move (Salimans et al. 2016, section 3.3).

    0 before the first move. The paper gives no weight.

    >>> net, term = nn.Linear(1, 1, bias=False), historical_averaging()
    >>> term.prepare("critic", net)
    >>> for value in (0.0, 2.0):  # the mean is 1 then
    ...     _ = net.weight.data.fill_(value)
    ...     term.after("critic", net)
    >>> _ = net.weight.data.fill_(4.0)
    >>> term("critic", net).item()
    9.0
    """
    return _HistoricalAveraging("historical-averaging", player, weight)
