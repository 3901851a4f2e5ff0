"""Layers that let a critic see a batch as a whole: a collapsed one lacks variety, and that shows.

Each maps features [B, n] to [B, n + extra], over the samples of all processes while training. Real and
fake are judged in passes of their own, so no sample is compared across the two. As the output for a
sample depends on its neighbours, such a batch cannot be cut into micro-batches.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zerosum import processes
from zerosum.names import build_part
from zerosum.objectives import widened

__all__ = ["BATCH_LAYERS", "MinibatchDiscrimination", "MinibatchStd", "batch_layer"]


class _Distances(torch.autograd.Function):
    """‖a_i − b_j‖₁ of all pairs, [K, b, S], [K, B, S] → [K, b, B]; `torch.cdist` with a second derivative."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        distances = torch.cdist(a, b, p=1.0)
        ctx.save_for_backward(a, b, distances)
        ctx.same = a is b
        return distances

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None]:
        a, b, distances = ctx.saved_tensors
        g = grads[0].contiguous()
        if torch.is_grad_enabled():  # a graph is wanted: operations that have one, for more memory
            sign = (a[:, :, None] - b[:, None]).sign()
            return torch.einsum("kij,kijs->kis", g, sign), -torch.einsum("kij,kijs->kjs", g, sign)
        backward = torch.ops.aten._cdist_backward
        if ctx.same:  # symmetric: half the work
            return backward(g + g.mT, a, a, 1.0, distances), None
        other = backward(g.mT.contiguous(), b, a, 1.0, distances.mT.contiguous())
        return backward(g, a, b, 1.0, distances), other


class MinibatchDiscrimination(nn.Module):
    """Appends o(xᵢ)_b = Σ_{j≠i} exp(−‖M_ib − M_jb‖₁), M_i = T xᵢ ∈ ℝ^{kernels×size} (Salimans 2016, 3.2).

    The paper's sum takes in j=i, which adds a constant 1; its authors' code leaves it out, as here. T's
    rows begin with length about 1, so that distances do not grow with the number of features. Time and
    memory grow with kernels · size · B².

    >>> MinibatchDiscrimination(6, kernels=3)(torch.ones(4, 6))[0, 6:]  # three others, all alike
    tensor([3., 3., 3.], grad_fn=<SliceBackward0>)
    """

    mixes_batch = True

    def __init__(self, inputs: int, kernels: int = 100, size: int = 5) -> None:
        super().__init__()
        if kernels < 1 or size < 1:
            raise ValueError(
                f"minibatch-discrimination: kernels and size must be positive, not {kernels}, {size}"
            )
        self.extra, self.size = kernels, size
        self.project = nn.Linear(inputs, kernels * size, bias=False)
        nn.init.normal_(self.project.weight, 0.0, inputs**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        mine = widened(self.project(x))
        own = self._rows(mine)
        whole = self._rows(processes.gather(mine)) if self.training and processes.count() > 1 else own
        distances: Tensor = _Distances.apply(own, whole)
        closeness = torch.exp(-distances).sum(2).T - 1  # the 1 is j=i
        return torch.cat([x, closeness.to(x.dtype)], 1)

    def _rows(self, m: Tensor) -> Tensor:
        """[B, kernels · size] → [kernels, B, size]."""
        rows: Tensor = m.unflatten(1, (self.extra, self.size)).transpose(0, 1)
        return rows.contiguous()


class MinibatchStd(nn.Module):
    """Appends the standard deviation within groups of samples, a mean over features (Karras et al. 2018, 3).

    Samples i, i+M, i+2M, … of the whole batch make a group, M = max(1, ⌊B/group⌋); where `group` does
    not divide B some groups are larger. An identical batch gives √1e-8 = 1e-4.

    >>> MinibatchStd(4)(torch.ones(8, 3))[0]
    tensor([1.0000e+00, 1.0000e+00, 1.0000e+00, 1.0000e-04])
    """

    mixes_batch = True
    extra = 1

    def __init__(self, group: int = 4) -> None:
        super().__init__()
        if group < 2:
            raise ValueError(f"minibatch-stddev: group must be at least 2 samples, not {group}")
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.deviation(x)], 1)

    def deviation(self, x: Tensor) -> Tensor:
        """What is appended for features [B, n], alone: [B, 1]."""
        whole = widened(processes.gather(x) if self.training else x)
        groups = max(1, len(whole) // self.group)
        which = torch.arange(len(whole), device=x.device) % groups
        sizes = torch.bincount(which, minlength=groups).to(whole.dtype).unsqueeze(1)

        def mean(of: Tensor) -> Tensor:
            return whole.new_zeros(groups, whole.shape[1]).index_add(0, which, of) / sizes

        variance = mean((whole - mean(whole)[which]).square())
        deviation = (variance + 1e-8).sqrt().mean(1, keepdim=True)[which]
        share = processes.share_of(len(whole)) if self.training else range(len(x))
        return deviation[share.start : share.stop].to(x.dtype)


MakeLayer = Callable[[int], nn.Module]


def none() -> MakeLayer:
    """No such layer."""
    return lambda inputs: nn.Identity()


def minibatch_discrimination(kernels: int = 100, size: int = 5) -> MakeLayer:
    """How close each sample is to the others, by learned kernels (Salimans et al. 2016)."""
    return lambda inputs: MinibatchDiscrimination(inputs, kernels, size)


def minibatch_stddev(group: int = 4) -> MakeLayer:
    """How much the samples of a group vary (Karras et al. 2018)."""
    return lambda inputs: MinibatchStd(group)


BATCH_LAYERS: Mapping[str, Callable[..., MakeLayer]] = {
    "none": none,
    "minibatch-discrimination": minibatch_discrimination,
    "minibatch-stddev": minibatch_stddev,
}


def batch_layer(text: str, inputs: int) -> tuple[nn.Module, int]:
    """A layer by name and parameters, for `inputs` features, and how many features it gives.

    >>> batch_layer("minibatch-stddev:group=8", 6)
    (MinibatchStd(), 7)

    Raises ValueError for unknown names and settings.
    """
    layer = build_part(BATCH_LAYERS, text, "batch layer")(inputs)
    return layer, inputs + getattr(layer, "extra", 0)
