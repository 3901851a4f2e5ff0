"""Several processes as one: who am I, and sums over all of us.

Every function is the identity when only one process runs, so the same code serves one and many.
A term of the loss that mixes the samples of a batch (a kernel's mean, a relativistic average, batch
norm) takes `average` or `gather` inside, and then N processes compute what one would.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

__all__ = ["all_reduce", "any_of", "average", "count", "gather", "rank", "share_batch_norm", "share_of"]


def count() -> int:
    """How many processes train together; 1 where `torch.distributed` is not set up.

    >>> count()
    1
    """
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number, from 0.

    >>> rank()
    0
    """
    return dist.get_rank() if count() > 1 else 0


def share_of(total: int) -> range:
    """The sample ids of a global batch of `total` that fall to this process: contiguous, sizes within 1.

    >>> share_of(64)
    range(0, 64)
    """
    n, r = count(), rank()
    return range(total * r // n, total * (r + 1) // n)


def all_reduce(x: Tensor) -> Tensor:
    """The sum of `x` over all processes, in place and not differentiated.

    >>> all_reduce(torch.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """
    if count() > 1:
        dist.all_reduce(x)
    return x


def any_of(flag: bool, device: torch.device | str = "cpu") -> bool:
    """Whether any process raises its flag; all get the same answer.

    >>> any_of(False)
    False
    """
    if count() == 1:
        return flag
    return bool(all_reduce(torch.tensor([float(flag)], device=device)).item() > 0)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return all_reduce(x.clone())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        # Applying the Function again, not the bare collective, keeps this twice differentiable.
        out: Tensor = _Sum.apply(grads[0].contiguous())
        return out


def _sum(x: Tensor) -> Tensor:
    """The sum of `x` over all processes; differentiable, twice."""
    if count() == 1:
        return x
    out: Tensor = _Sum.apply(x.contiguous())
    return out


def average(x: Tensor, weight: float) -> Tensor:
    """Σ over processes of `weight`·x, differentiable; with weight = b/total, a batch mean over all.

    Shapes: `x` any, the same on every process. Each process's gradient is that of the *sum* of all
    processes' losses, which is what the training loop adds up.

    >>> average(torch.tensor(3.0), 1.0)
    tensor(3.)
    """
    return _sum(x * weight)


def gather(x: Tensor) -> Tensor:
    """The whole batch [total, …] of which `x` [b, …] is this process's part, in order; differentiable.

    >>> gather(torch.zeros(4, 2)).shape
    torch.Size([4, 2])
    """
    n = count()
    if n == 1:
        return x
    sizes = all_reduce(torch.nn.functional.one_hot(torch.tensor(rank()), n).to(x.device) * len(x)).tolist()
    start = sum(sizes[: rank()])
    # A sum of disjoint parts is a concatenation, and its gradient is the sum's own.
    after = sum(sizes) - start - len(x)
    empty = (x.new_zeros(start, *x.shape[1:]), x, x.new_zeros(after, *x.shape[1:]))
    return _sum(torch.cat(empty))


class _SharedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm whose statistics in training are those of the global batch."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"batch norm needs [N, C, …], got {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or count() == 1:
            return super().forward(input)
        x = input.float() if input.dtype in (torch.float16, torch.bfloat16) else input
        axes = [0, *range(2, x.dim())]
        shape = [1, -1, *([1] * (x.dim() - 2))]
        number = x.numel() // x.shape[1]
        total = all_reduce(torch.tensor(float(number), dtype=torch.float64, device=x.device)).item()
        mean = _sum(x.sum(axes)) / total
        variance = _sum((x - mean.view(shape)).square().sum(axes)) / total
        if self.track_running_stats and self.running_mean is not None and self.running_var is not None:
            with torch.no_grad():
                assert self.num_batches_tracked is not None
                self.num_batches_tracked.add_(1)
                m = 1.0 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean.to(self.running_mean), m)
                self.running_var.lerp_((variance * total / (total - 1)).to(self.running_var), m)
        y = (x - mean.view(shape)) * (variance.view(shape) + self.eps).rsqrt()
        if self.affine:
            y = y * self.weight.view(shape) + self.bias.view(shape)
        return y.to(input.dtype)


def share_batch_norm(module: nn.Module) -> nn.Module:
    """Let every batch norm in `module` take its statistics over all processes, in place.

    Parameters, buffers and state dict stay as they were; with one process nothing changes.

    >>> net = share_batch_norm(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)))
    >>> net(torch.zeros(3, 1, 8, 8)).shape
    torch.Size([3, 2, 6, 6])
    """
    for child in module.modules():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            child.__class__ = _SharedBatchNorm
    return module
