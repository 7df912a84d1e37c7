"""Cost of a training on this machine: memory, time and operations of a step; and the batch size that fits."""

from __future__ import annotations

import contextlib
import copy
import ctypes
import dataclasses
import gc
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from footage.config import Config
from footage.config.words import MOST_PIECES
from footage.errors import TrainingError, counted
from footage.machines import local as machine
from footage.models.base import Batch, CaptionBatch, Generates, Method, PlainEngine, PrivateClips
from footage.models.device import ComputeDevice
from footage.models.generators.samplers import first_frames, previewed

WORKSPACE = 2.3
"""What a step takes, as a multiple of the tensors saved for its backward pass: gradients and scratch space."""
LIBRARIES = 600 * 2**20
"""Bytes that the program takes before the first tensor."""
MOST_STEPS = 32
"""Steps of one clip that are looked at, at most; see `Method.cycle`."""
SLOW = 3.0
"""Seconds of a step of one clip above which larger steps are not timed but reckoned."""
SMALLER = (
    "lower --clip.height, --clip.width, --clip.frames or --net.width; or divide the networks among several GPUs, "
    "--devices auto --strategy fsdp --train.batch-size CLIPS"
)
"""What to do when nothing fits."""
SAID = 16
"""Words of the captions that steps are tried with, at most."""
MOST = {"cpu": 8, "cuda": 64, "mps": 32}
"""Largest batch that is chosen without being asked: beyond it a step takes longer for no better model."""


def memory_is_full(error: BaseException) -> bool:
    """Whether an error says that there is no more memory, on any device."""
    words = ("out of memory", "not enough memory", "can't allocate memory")
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)
    )


def memory_free(device: str) -> int:
    """Return the bytes that a training may take on a device, leaving some for others."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0] * 0.9)
    return int(machine.memory_free() * 0.7)


@dataclass(frozen=True)
class Needs:
    """What a configuration needs on a place."""

    parameters: dict[str, int]
    """Weights of each network."""
    fixed_bytes: int
    """Memory whatever the batch: weights, averages, gradients, optimisers, libraries."""
    clip_bytes: int
    """Memory for each further clip in a batch; 0 where no step was made."""
    step_seconds: float
    """Time of a training step of `timed_batch` clips on this machine, 0 where it was not measured."""
    timed_batch: int
    """Clips in the step that was timed."""

    def bytes(self, batch_size: int) -> int:
        return self.fixed_bytes + batch_size * self.clip_bytes


def fake_batch(config: Config, labels: int, size: int, device: str) -> Batch:
    """Make a batch of noise of the right shape."""
    clip, crop = config.net.read_clip(config.clip), config.net.detail_crop
    rng = torch.Generator().manual_seed(0)
    read = clip.channels + config.guides
    clips = torch.rand(size, read, clip.frames, clip.height, clip.width, generator=rng) * 2 - 1
    crops = torch.rand(size, clip.channels, crop, crop, generator=rng).to(device) * 2 - 1 if crop else None
    chosen = torch.randint(labels, (size,), generator=rng).to(device) if labels else None
    captions, text = None, config.text
    if text.used:
        content = torch.randint(1, text.pieces, (size, 2, min(text.words, SAID), MOST_PIECES // 2), generator=rng)
        if text.frozen:
            content = torch.randn(size, 2, text.size, generator=rng)
        numbers = torch.arange(2 * size).view(size, 2)
        captions = CaptionBatch(content.to(device), numbers.to(device))
    private = PrivateClips(clips.to(device), np.random.default_rng(0)) if config.privacy.used else None
    return Batch(clips.to(device), chosen, rng, size, crops=crops, captions=captions, private=private)


def fresh_method(config: Config, labels: int, place: ComputeDevice) -> Method:
    """Make a method to try out, with random weights, on its device; its critics work from the first step on."""
    config = dataclasses.replace(config, learn=dataclasses.replace(config.learn, critics_after=0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        method = config.trained_by(config, labels)
    method.nets.to(place.device)
    for average in method.averages.values():
        average.module.to(place.device)
    method.build_optimizers()
    return method


class SavedTensors:
    """Counts the bytes that autograd keeps at once for backward passes, each storage once.

    What is kept is held until it is let go, so that no storage takes another's place uncounted. The weights, storages
    at the addresses `owned`, do not count.
    """

    def __init__(self, owned: set[int]) -> None:
        self.owned, self.peak = owned, 0
        self._live: dict[int, tuple[int, int]] = {}  # address -> how often it is kept, bytes
        self._bytes = 0

    def pack(self, tensor: Tensor) -> _SavedTensor:
        return _SavedTensor(self, tensor)

    def count(self, address: int, size: int, change: int) -> None:
        """Keep a storage once more, or once less."""
        if address in self.owned:
            return
        times, _ = self._live.pop(address, (0, size))
        if times + change > 0:
            self._live[address] = (times + change, size)
        self._bytes += size * ((times + change > 0) - (times > 0))
        self.peak = max(self.peak, self._bytes)


class _SavedTensor:
    """A tensor that is kept for a backward pass."""

    def __init__(self, saved: SavedTensors, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        self.saved, self.tensor = saved, tensor
        self.address, self.size = storage.data_ptr(), storage.nbytes()
        saved.count(self.address, self.size, 1)

    def __del__(self) -> None:
        self.saved.count(self.address, self.size, -1)


def measure(config: Config, labels: int, place: ComputeDevice, *, timed_batch: int = 0, tried: bool = True) -> Needs:
    """Count weights and memory by one real step of one clip; time one of `timed_batch` clips if asked.

    Where nothing is to be `tried`, no step is made, and the networks need not fit the device.

    The bytes that the step keeps for its backward pass are counted as they are kept, each storage once, so that the
    figure holds on any device.

    Raises:
        TrainingError: the memory does not suffice.
    """
    try:
        method = fresh_method(config, labels, place if tried else ComputeDevice("cpu", False))
        weights = sum(p.numel() * p.element_size() for p in method.nets.parameters())
        averaged = [p for average in method.averages.values() for p in average.module.parameters()]
        average_bytes = sum(p.numel() * p.element_size() for p in averaged)
        owned = {p.untyped_storage().data_ptr() for p in method.nets.parameters()}
        saved, steps, seconds = SavedTensors(owned), min(method.cycle, MOST_STEPS) if tried else 0, 0.0
        for number in range(steps):  # now and then there is a penalty, or a generator's update
            begin = time.perf_counter()
            hooks = torch.autograd.graph.saved_tensors_hooks(saved.pack, lambda held: held.tensor)
            with (
                torch.autocast(place.device, torch.bfloat16, enabled=place.bf16),
                contextlib.nullcontext() if config.privacy.used else hooks,  # torch.func's gradients bear no hooks
            ):
                method.step(fake_batch(config, labels, 1, place.device), number, PlainEngine())
            seconds = time.perf_counter() - begin
        if seconds > SLOW:  # too slow to be timed in full
            seconds *= timed_batch
        elif timed_batch:
            batch = fake_batch(config, labels, timed_batch, place.device)
            for number in range(-1, steps):
                if number == 0:  # the one before warms up
                    begin = time.perf_counter()
                with torch.autocast(place.device, torch.bfloat16, enabled=place.bf16):
                    log = method.step(copy.copy(batch), (number % steps) * timed_batch, PlainEngine())
                float(next(iter(log.values())))  # waits for the device
            seconds = (time.perf_counter() - begin) / steps
        return Needs(
            parameters={name: sum(p.numel() for p in net.parameters()) for name, net in method.nets.items()},
            fixed_bytes=LIBRARIES + 4 * weights + average_bytes,  # weights, gradients, two moments of Adam
            clip_bytes=int(saved.peak * WORKSPACE),
            step_seconds=seconds if timed_batch else 0.0,
            timed_batch=timed_batch,
        )
    except (RuntimeError, MemoryError) as error:
        if not memory_is_full(error):
            raise
        raise TrainingError(
            f"the memory does not suffice for {counted(max(1, timed_batch), 'clip')}", SMALLER
        ) from error


def fit_batch(config: Config, needs: Needs, place: ComputeDevice, free: int | None = None) -> int:
    """Return the batch size: the given one, or the largest power of two that fits the memory and is worth its time.

    The memory is what is `free` on a device that need not be here, in bytes; None for what is free on this one.

    Raises:
        TrainingError: not even one clip fits.
    """
    if config.train.batch_size is not None:
        return config.train.batch_size
    free = memory_free(place.device) if free is None else free
    size = MOST[place.device]
    while size > 1 and needs.bytes(size) > free:
        size //= 2
    if needs.bytes(size) > free:
        raise TrainingError(
            f"one clip needs {needs.bytes(1) / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free",
            SMALLER,
        )
    return size


class FlopCount(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the floating-point operations of everything within the block, gradients and their gradients included.

    Matrix products, convolutions and attention, by PyTorch's own formulas; a multiplication and an addition are two
    operations. What is done element by element is not counted. PyTorch's FlopCounterMode has the same formulas, but it
    follows the modules with hooks, and those refuse a gradient by the input, hence R1.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total: int = 0
        self.operations: int = 0
        """All that was asked for, views and what is done element by element included."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        formula = flop_registry.get(func._overloadpacket)
        if formula is None and torch.is_inference_mode_enabled():  # where nobody has taken operations apart before
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        self.operations += 1
        result = func(*args, **kwargs)
        if formula is not None:
            self.total += int(formula(*args, **kwargs, out_val=result))
        return result


def clip_cost(config: Config, labels: int, place: ComputeDevice) -> tuple[float, float]:
    """Return what a step asks for, in operations on tensors, and the floating-point operations of each clip.

    Both are means of real steps of one clip.
    """
    method = fresh_method(config, labels, place)
    with FlopCount() as count:
        for number in range(method.cycle):
            batch = fake_batch(config, labels, 1, place.device)
            with torch.autocast(place.device, torch.bfloat16, enabled=place.bf16, cache_enabled=False):
                method.step(batch, number, PlainEngine())
    return count.operations / method.cycle, count.total / method.cycle


def clip_flops(config: Config, labels: int, place: ComputeDevice) -> float:
    """Return the floating-point operations of training for each clip."""
    return clip_cost(config, labels, place)[1]


def made_flops(config: Config, labels: int, place: ComputeDevice) -> float:
    """Return the floating-point operations of making one clip, of the frames that training clips have.

    Of models that make clips from others, of what they make of one; of a VAE, of a clip from its prior.
    """
    sampler = fresh_method(config, labels, place).sampler()
    given = fake_batch(config, labels, 1, place.device)
    with FlopCount() as count:
        if isinstance(sampler, Generates):
            first_frames(sampler.segments(previewed(1, given.labels, sampler.classes)), config.clip.frames)
        else:
            sampler.preview(given.clips, given.labels)
    return float(count.total)


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
    return torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else _process_gib("VmHWM")


def memory_used(device: str) -> float:
    """Return the memory that the run takes now, in GiB: of the GPU, or of this process less the files it has mapped."""
    return torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else _process_gib("VmRSS")


def _process_gib(field: str) -> float:
    """Return a field of /proc/self/status less the files that are mapped; where there is no such file, the peak."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as handle:
            table = dict(line.split(":", 1) for line in handle)
        resident, mapped = (int(table[name].split()[0]) for name in (field, "RssFile"))  # KiB
        return (resident - mapped) / 2**20
    except (OSError, KeyError):
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / 2**30 if sys.platform == "darwin" else most / 2**20  # bytes there, KiB elsewhere
