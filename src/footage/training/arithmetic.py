"""What a training step costs: floating-point operations, counted as they are done, and the largest memory."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from footage.config import Config
from footage.models.base import PlainEngine
from footage.training.fit import Place, fake_batch, fresh_method


class FlopCount(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the floating-point operations of everything within the block, gradients and their gradients included.

    Matrix products, convolutions and attention, by PyTorch's own formulas; a multiplication and an addition are two
    operations. What is done element by element is not counted. PyTorch's FlopCounterMode has the same formulas, but it
    follows the modules with hooks, and those refuse a gradient by the input, hence R1.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do what was asked, and count it."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if formula := flop_registry.get(func._overloadpacket):
            self.total += int(formula(*args, **kwargs, out_val=result))
        return result


def clip_flops(config: Config, labels: int, place: Place) -> float:
    """Return the floating-point operations of training for each clip: a mean of real steps of one clip."""
    method = fresh_method(config, labels, place)
    with FlopCount() as count:
        for number in range(method.cycle):
            batch = fake_batch(config, labels, 1, place.device)
            with torch.autocast(place.device, torch.bfloat16, enabled=place.bf16, cache_enabled=False):
                method.step(batch, number, PlainEngine())
    return float(count.total) / method.cycle


def forget_peak(device: str) -> None:
    """Begin anew to look for the largest memory; where the system does not allow it, the old peak stays.

    What is no longer used is given back to the system first (.58 -> .34 GiB after a step of conv3d-64-long).
    """
    gc.collect()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library, another system
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w", encoding="ascii") as handle:
        handle.write("5")  # the resident set's high-water mark, see proc(5)


def peak_gib(device: str) -> float:
    """Return the largest memory since `forget_peak`, in GiB: on the GPU, or of this process less the files it maps."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as handle:
            table = dict(line.split(":", 1) for line in handle)
        peak, mapped = (int(table[name].split()[0]) for name in ("VmHWM", "RssFile"))  # KiB
        return (peak - mapped) / 2**20
    except (OSError, KeyError):
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / 2**30 if sys.platform == "darwin" else most / 2**20  # bytes there, KiB elsewhere
