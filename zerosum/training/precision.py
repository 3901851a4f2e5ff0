"""Which arithmetic a training runs in, and on which device."""

from typing import Literal

import torch

__all__ = ["Precision", "choose_device", "choose_precision"]

Precision = Literal["auto", "fp32", "bf16", "fp16"]


def choose_device(wanted: str = "auto") -> torch.device:
    """The device to train on; `auto` takes CUDA, then MPS, then the CPU.

    >>> choose_device("cpu")
    device(type='cpu')

    Raises ValueError for a device that this machine, or this PyTorch, lacks.
    """
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device {wanted!r} cannot be used ({reason}): choose --device auto or cpu"
        ) from error
    return device


def computes_bf16(device: torch.device) -> bool:
    """Whether the processor multiplies bfloat16 itself, rather than converting back and forth."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and _cpu_has_bf16()
    return False


def _cpu_has_bf16() -> bool:
    capabilities = torch.backends.cpu.get_cpu_capability()
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return capabilities.startswith("AVX512") and bool(probe and probe())


def choose_precision(wanted: Precision, device: torch.device) -> Literal["fp32", "bf16", "fp16"]:
    """The arithmetic to train in; `auto` takes bf16 only where the processor computes in it.

    bf16 and fp16 run the nets under autocast; parameters, losses and optimisers stay float32.

    >>> choose_precision("fp32", torch.device("cpu"))
    'fp32'

    Raises ValueError for fp16 off CUDA, where bf16 or fp32 is the choice.
    """
    if wanted == "auto":
        return "bf16" if computes_bf16(device) else "fp32"
    if wanted == "fp16" and device.type != "cuda":
        raise ValueError(f"--precision fp16 needs CUDA, and the device is {device.type}: choose bf16 or fp32")
    return wanted
