"""Choice of the device that computes, and of the arithmetic that it is fast with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from footage.config.strict import fitting
from footage.errors import TrainingError


@dataclass(frozen=True)
class ComputeDevice:
    """A device, and the arithmetic on it."""

    device: str
    """`cpu`, `cuda` or `mps`."""
    bf16: bool
    """Whether the networks run under bf16 autocast."""

    @property
    def precision(self) -> str:
        """The name in a configuration."""
        return "bf16" if self.bf16 else "fp32"


def find_device(device: str = "auto", precision: str = "auto") -> ComputeDevice:
    """Choose device and precision.

    Args:
        device: `auto` for the best there is, or `cpu`, `cuda`, `mps`, with a number or without.
        precision: `auto` for bf16 where the device multiplies it natively; else `bf16` or `fp32`.

    Raises:
        TrainingError: the device that was asked for is not there, or has no such arithmetic.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if (device := fitting(str, device, "device")) == "auto":
        device = next(name for name in ("cuda", "mps", "cpu") if there[name])
    if not there.get(device.partition(":")[0], False):
        raise TrainingError(f'there is no device "{device}" here', f"give one of {[d for d in there if there[d]]}")
    if device == "mps" and precision == "bf16":
        raise TrainingError("this device has no bf16 for 3D convolutions", "leave --train.precision out, or give fp32")
    return ComputeDevice(device, has_bf16(device) if precision == "auto" else precision == "bf16")


def has_bf16(device: str) -> bool:
    """Whether a device, `cuda`, `cpu` or another, multiplies bf16 natively; where it emulates it, float32 is faster."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return device == "cpu" and any(getattr(torch.cpu, name, lambda: False)() for name in names)


def upload(values: Tensor, device: torch.device | str) -> Tensor:
    """Bring a tensor to a device; to a GPU by way of page-locked memory, so that the program does not wait for it."""
    if values.device.type == "cpu" and torch.device(device).type == "cuda":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)
