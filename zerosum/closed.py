"""Input gradients at their true cost: what double backward need not do is not done.

A gradient penalty differentiates ∇ₓf(x) by f's weights. Autograd spends six forward passes' work on
that: the derivatives of its kernels for convolutions, activations and pooling give zeros for inputs
that do not matter, and the zeros are sent back through the whole forward graph. Four passes are needed:
forward, input gradient, and for its derivative one pass along the layers and one for the weights.

Here a convolution y = w∗x, its input gradient and its weight gradient are each differentiated by the
others (they are bilinear), and ReLU, LeakyReLU and average pooling, whose derivative is constant almost
everywhere, keep it constant. From the penalty of a critic made of these and of linear layers (which
autograd treats well) no path leads back into the forward graph. All else goes to autograd as ever.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["FEW_PIXELS", "Closed"]

_aten = torch.ops.aten
FEW_PIXELS = 64  # maps this small starve the processor's own bfloat16 kernel for weight gradients
Sizes = Sequence[int]


class Closed(TorchFunctionMode):
    """While active, a net's forward pass is made of the closed family wherever it can be.

    Values and gradients of every order are those of the plain pass, up to rounding. A weight or bias
    that matters to no input gradient gets None for its gradient where autograd gives zeros.

    >>> net = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3), torch.nn.ReLU())
    >>> x = torch.randn(2, 1, 5, 5, requires_grad=True)
    >>> with Closed():
    ...     y = net(x)
    >>> (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    >>> torch.autograd.grad(slope.sum(), x, allow_unused=True)
    (None,)
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        ours = _FAMILY.get(func)
        y = NotImplemented if ours is None else ours(*args, **kwargs)
        return func(*args, **kwargs) if y is NotImplemented else y


class _Sliding(NamedTuple):
    """How a convolution, or its transpose, slides over n axes; in the order of `aten::convolution`."""

    stride: Sizes
    padding: Sizes
    dilation: Sizes
    transposed: bool
    output_padding: Sizes
    groups: int


def _cast(x: Tensor) -> Tensor:
    """As autocast would cast it; autocast does not reach into a Function, so this is done outside."""
    kind = x.device.type
    if x.dtype is torch.float64 or not torch.is_autocast_enabled(kind):
        return x
    return x.to(torch.get_autocast_dtype(kind))


def _asked(ctx: Any, number: int) -> bool:
    """Whether this backward pass wants the gradient of the tensor argument `number`.

    `ctx.needs_input_grad` tells only that some pass might: in ∇ₓf the weights' gradients are not wanted.
    """
    if not ctx.needs_input_grad[number]:
        return False
    try:
        return torch._C._will_engine_execute_node(ctx.next_functions[number][0])
    except RuntimeError:  # a leaf that is among the inputs of torch.autograd.grad
        return True


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, sliding: _Sliding) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.sliding = sliding
        y: Tensor = _aten.convolution(x, weight, bias, *sliding)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight), sliding, (g,) = ctx.saved_tensors, ctx.sliding, grads
        return (
            _InputGradient.apply(g, weight, x.detach(), sliding) if _asked(ctx, 0) else None,
            _WeightGradient.apply(x, g, weight.detach(), sliding) if _asked(ctx, 1) else None,
            g.sum([0, *range(2, g.dim())]) if _asked(ctx, 2) else None,
            None,
        )


class _InputGradient(torch.autograd.Function):
    """∂⟨g, w∗x⟩/∂x, linear in g and w; `x` lends its shape alone."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, weight: Tensor, x: Tensor, sliding: _Sliding) -> Tensor:
        ctx.save_for_backward(g, weight)
        ctx.sliding = sliding
        dx: Tensor = _aten.convolution_backward(g, x, weight, None, *sliding, (True, False, False))[0]
        return dx

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (g, weight), sliding, (v,) = ctx.saved_tensors, ctx.sliding, grads
        return (
            _Convolve.apply(v, weight, None, sliding) if _asked(ctx, 0) else None,
            _WeightGradient.apply(v, g, weight.detach(), sliding) if _asked(ctx, 1) else None,
            None,
            None,
        )


class _WeightGradient(torch.autograd.Function):
    """∂⟨g, w∗x⟩/∂w, linear in x and g; `weight` lends its shape alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, g: Tensor, weight: Tensor, sliding: _Sliding) -> Tensor:
        ctx.save_for_backward(x, g)
        ctx.sliding = sliding
        large, small = (g, x) if sliding.transposed else (x, g)
        if _starving(small, sliding):
            return _one_product(large, small, weight.shape[2:], sliding)
        dw: Tensor = _aten.convolution_backward(g, x, weight, None, *sliding, (False, True, False))[1]
        return dw

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (x, g), sliding, (u,) = ctx.saved_tensors, ctx.sliding, grads
        return (
            _InputGradient.apply(g, u, x.detach(), sliding) if _asked(ctx, 0) else None,
            _Convolve.apply(x, u, None, sliding) if _asked(ctx, 1) else None,
            None,
            None,
        )


def _starving(small: Tensor, sliding: _Sliding) -> bool:
    """Whether one matrix product beats the processor's own kernel for the weight gradient.

    That kernel parallelises over a map's pixels: at 4×4 it runs at half the speed of a plain product.
    Without a stride the product repeats each number in too many windows to gain.
    """
    return (
        small.device.type == "cpu"
        and small.dtype is torch.bfloat16
        and small.dim() == 4
        and small.shape[2] * small.shape[3] <= FEW_PIXELS
        and sliding.groups == 1
        and max(sliding.dilation) == 1
        and max(sliding.stride) > 1
    )


def _one_product(large: Tensor, small: Tensor, kernel: Sizes, sliding: _Sliding) -> Tensor:
    """Σ over batch and places of small ⊗ the window of `large` it came from: [C_small, C_large, k_h, k_w]."""
    stride, padding = sliding.stride, sliding.padding
    padded = F.pad(large, (padding[1], padding[1], padding[0], padding[0])).permute(0, 2, 3, 1)
    windows = padded.unfold(1, kernel[0], stride[0]).unfold(2, kernel[1], stride[1])
    rows = windows.permute(0, 1, 2, 4, 5, 3).reshape(-1, kernel[0] * kernel[1] * large.shape[1])
    product: Tensor = small.permute(0, 2, 3, 1).reshape(-1, small.shape[1]).T @ rows
    weight: Tensor = product.unflatten(1, (*kernel, large.shape[1]))
    return weight.permute(0, 3, 1, 2)


class _Kinked(torch.autograd.Function):
    """ReLU (slope 0) or LeakyReLU; the mask of the kink is a constant to all further derivatives."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float, inplace: bool) -> Tensor:
        y = F.leaky_relu(x, slope, inplace) if slope else F.relu(x, inplace)
        if inplace:
            ctx.mark_dirty(x)
        ctx.save_for_backward(y)
        ctx.slope = slope
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (y,) = ctx.saved_tensors
        if ctx.slope:
            return _aten.leaky_relu_backward(grads[0], y.detach(), ctx.slope, True), None, None
        return _aten.threshold_backward(grads[0], y.detach(), 0), None, None


class _Average(torch.autograd.Function):
    """Average pooling over windows: linear, so the input matters to no derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, settings: tuple[Any, ...]) -> Tensor:
        ctx.save_for_backward(x)
        ctx.settings = settings
        y: Tensor = _aten.avg_pool2d(x, *settings)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        return _aten.avg_pool2d_backward(grads[0], x.detach(), *ctx.settings), None


# What stands for PyTorch's functions: their own signatures; NotImplemented where autograd shall do it.


def _sizes(size: int | Sizes, n: int) -> Sizes:
    return (size,) * n if isinstance(size, int) else tuple(size) * (n // len(size))


def _slide(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int | Sizes,
    padding: int | Sizes | str,
    dilation: int | Sizes,
    output_padding: int | Sizes,
    groups: int,
    transposed: bool,
) -> Any:
    n = weight.dim() - 2
    if isinstance(padding, str) or input.dim() != n + 2 or not input.is_floating_point():
        return NotImplemented
    stride, padding, dilation = _sizes(stride, n), _sizes(padding, n), _sizes(dilation, n)
    sliding = _Sliding(stride, padding, dilation, transposed, _sizes(output_padding, n), groups)
    return _Convolve.apply(_cast(input), _cast(weight), None if bias is None else _cast(bias), sliding)


def _conv(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sizes = 1,
    padding: int | Sizes | str = 0,
    dilation: int | Sizes = 1,
    groups: int = 1,
) -> Any:
    return _slide(input, weight, bias, stride, padding, dilation, 0, groups, False)


def _conv_transpose(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sizes = 1,
    padding: int | Sizes = 0,
    output_padding: int | Sizes = 0,
    groups: int = 1,
    dilation: int | Sizes = 1,
) -> Any:
    return _slide(input, weight, bias, stride, padding, dilation, output_padding, groups, True)


def _leaky(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    if negative_slope < 0:  # the sign of the result no longer tells that of the input
        return NotImplemented
    return _Kinked.apply(input, negative_slope, inplace)


def _relu(input: Tensor, inplace: bool = False) -> Any:
    return _leaky(input, 0.0, inplace)


def _average(
    input: Tensor,
    kernel_size: int | Sizes,
    stride: int | Sizes | None = None,
    padding: int | Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    stride = kernel_size if stride is None or stride == [] else stride
    sizes = (_sizes(size, 2) for size in (kernel_size, stride, padding))
    return _Average.apply(input, (*sizes, ceil_mode, count_include_pad, divisor_override))


_FAMILY: Mapping[Callable[..., Any], Callable[..., Any]] = {
    **dict.fromkeys((F.conv1d, F.conv2d, F.conv3d), _conv),
    **dict.fromkeys((F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d), _conv_transpose),
    **dict.fromkeys((F.relu, torch.relu, Tensor.relu), _relu),
    **dict.fromkeys((F.relu_, torch.relu_, Tensor.relu_), lambda input: _relu(input, True)),
    F.leaky_relu: _leaky,
    F.leaky_relu_: lambda input, negative_slope=0.01: _leaky(input, negative_slope, True),
    F.avg_pool2d: _average,
}
