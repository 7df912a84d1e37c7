"""Which arithmetic a device is fast with."""

from __future__ import annotations

import torch


def has_bf16(device: str) -> bool:
    """Whether a device, `cuda`, `cpu` or another, multiplies bf16 natively; where it emulates it, float32 is faster."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return device == "cpu" and any(getattr(torch.cpu, name, lambda: False)() for name in names)
