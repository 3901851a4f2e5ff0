"""Closed-form directions of a generator (SeFa; Shen & Zhou 2021, arXiv:2007.06600).

A generator's first step is affine, Az + b, and A(z + αn) − Az = αAn whatever z is. The unit n that change it
most are the eigenvectors of AᵀA with the largest eigenvalues (equation 5): no samples, no training.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["Directions", "first_layer", "sefa"]


class Directions(NamedTuple):
    """Unit directions [d, k], the strongest first, and how much each changes the first layer: ‖An‖, [d]."""

    directions: Tensor
    strengths: Tensor


@torch.no_grad()
def first_layer(generator: nn.Module, size: int, *, labels: bool = False) -> Tensor:
    """A [outputs, size] of all linear layers that are fed the latent's own numbers, one below the other.

    Found by running it at 0 and at each axis: a layer that is fed the latent has inputs that are each a
    multiple of one of its numbers, be it cut into parts (BigGAN), joined by a label, or on a sphere (ProGAN).
    A is up to that multiple. A conditional generator (`labels`) is run on class 0; A is that of all classes.

    >>> first_layer(nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2)), 3).shape
    torch.Size([5, 3])

    Raises ValueError where no layer is fed the latent.
    """
    like = next(generator.parameters())
    probe = torch.cat([torch.zeros(1, size), torch.eye(size)]).to(like.device, like.dtype)
    found: list[Tensor] = []

    def look(module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        if not given or given[0].dim() != 2 or len(given[0]) < len(probe):
            return
        x, y = (side[-len(probe) :] for side in (given[0], out))  # virtual batch norm puts others before
        moved = x[1:] - x[:1]
        if _on_axes(moved):
            found.append((y[1:] - y[:1]).mT.double().cpu())

    handles = [m.register_forward_hook(look) for m in generator.modules() if isinstance(m, nn.Linear)]
    was_training = generator.training
    try:
        told = [torch.zeros(len(probe), dtype=torch.int64, device=like.device)] if labels else []
        generator.eval()(probe, *told)
    finally:
        generator.train(was_training)
        for handle in handles:
            handle.remove()
    if not found:
        raise ValueError(f"{type(generator).__name__}: no linear layer of it is fed the latent itself")
    return torch.cat(found)


def _on_axes(moved: Tensor) -> bool:
    """Whether a step along each axis moved at most one input, each of them at most once, all by as much."""
    there = moved != 0
    if not bool(there.any()) or int(there.sum(0).max()) > 1 or int(there.sum(1).max()) > 1:
        return False
    values = moved[there]
    return torch.allclose(values, values[:1].expand_as(values))


def sefa(generator: nn.Module, size: int, count: int | None = None, *, labels: bool = False) -> Directions:
    """The `count` unit directions that change the first layer most, or all: eigenvectors of AᵀA.

    A direction's sign is free: the component of largest size is made positive.

    >>> net = nn.Linear(2, 2)
    >>> net.weight.data = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    >>> sefa(net, 2).directions[0].tolist()
    [0.0, 1.0]

    Raises ValueError as `first_layer` does, and for a count that is not from 1 to `size`.
    """
    count = size if count is None else count
    if not 1 <= count <= size:
        raise ValueError(f"--count must be from 1 to {size}, the latent's size, not {count}")
    layer = first_layer(generator, size, labels=labels)
    values, vectors = torch.linalg.eigh(layer.mT @ layer)
    best = vectors.flip(1)[:, :count].mT
    signs = best.gather(1, best.abs().argmax(1, keepdim=True)).sign()
    return Directions((signs * best).float(), values.flip(0)[:count].clamp_min(0).sqrt().float())
