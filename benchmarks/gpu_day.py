"""Ten minutes of one GPU: checks, rates of training and generation, then a training for what is left of them.

python benchmarks/gpu_day.py --out DIR [--minutes 9] [--data DIR] [--preset stream-256] [--knob train.labels=no ...]
python benchmarks/gpu_day.py --rehearse --out DIR

Each step is a process of its own with a time limit, so that one that fails, hangs or takes all memory costs its own
time only. What it finds is in the tables at once. `--rehearse` does all of it at tiny sizes, on the CPU where there is
no GPU. benchmarks/GPU_DAY.md says what to bring along.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import math
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from footage.config import Config
    from footage.models.base import Batch, Method
    from footage.models.device import ComputeDevice

ROOT = Path(__file__).resolve().parent.parent
NEEDED = ("einops", "jinja2", "lightning_fabric", "matplotlib", "numpy", "PIL", "rich", "safetensors", "tensorboard")
WISHED = {
    "av": "no mp4 is written, sheets only, and upscalers cannot be trained on what codecs leave",
    "pytest": "the tests are left out",
    "tyro": "no `footage` command",
}
"""Modules that this can do without, and what is then missing."""
GRACE = 20.0
"""Seconds for which a step may go on after its time, to save what it has; then it is killed."""
SAVE = 60.0
"""Seconds between two copies of the weights into the output."""
LARGEST = 15 * 2**20
"""Bytes of a file in the output; what is larger is cut into parts."""
PRESETS = ("stream-64", "stream-256", "stream-512", "stream-720p")
SIZES = ("stream-64", "stream-128", "stream-256", "stream-512", "stream-720p")
"""What generation is timed of: presets, some at another HEIGHTxWIDTH."""
UPSCALERS = ("upscale-x4-fast", "upscale-x4")


@dataclass(frozen=True)
class Day:
    """What is asked for, and when it has to be done. Each step is given it as JSON."""

    out: str
    work: str
    """A folder for what is not handed over: the run, the raw figures."""
    until: float
    """When the step, or the whole, has to be at its end, in seconds since the epoch."""
    rehearse: bool
    data: str
    """A folder of videos or a dataset folder; or `shapes`."""
    size: str
    """WIDTHxHEIGHT that videos are ingested at; empty for that of the preset."""
    preset: str
    presets: tuple[str, ...]
    sizes: tuple[str, ...]
    batches: tuple[int, ...]
    knobs: dict[str, Any] = field(default_factory=dict)

    @property
    def left(self) -> float:
        """Seconds left."""
        return self.until - time.time()

    def note(self, table: str, **figures: Any) -> None:
        """Put a row into a table; it is on disk when this returns."""
        row = {"table": table, **figures}
        with open(Path(self.work) / "rows.jsonl", "a", encoding="utf-8") as handle:
            handle.write(json.dumps(row, default=str) + "\n")
        print(f"  {table}: " + ", ".join(f"{name} {shown(value)}" for name, value in figures.items()), flush=True)

    def rows(self) -> list[dict[str, Any]]:
        path = Path(self.work) / "rows.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def found(self, table: str, name: str) -> Any:
        """Return the last value of this name in a table; None where there is none."""
        values = [row[name] for row in self.rows() if row["table"] == table and name in row]
        return values[-1] if values else None


def shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


# ---------------------------------------------------------------------------------------------------------------- steps


def look(day: Day) -> None:
    """Say what this machine is and lacks, and time a large matrix product and a copy, the card's own rates."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    for name in missing:
        day.note("missing", module=name, remedy=f"carry a wheel of {name}: see benchmarks/GPU_DAY.md")
    for name, effect in WISHED.items():
        if importlib.util.find_spec(name) is None:
            day.note("missing", module=name, remedy=f"not needed: {effect}")
    import numpy
    import torch

    place = device()
    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "device": place.device,
        "bf16": place.bf16,
    }
    if place.device == "cuda":
        free, whole = torch.cuda.mem_get_info()
        facts |= {
            "card": torch.cuda.get_device_name(),
            "cuda": str(torch.version.cuda),
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
            "memory, GiB": whole / 2**30,
            "free, GiB": free / 2**30,
        }
    day.note("machine", **facts)
    side = 256 if day.rehearse else 8192
    for kind in (torch.bfloat16, torch.float32):
        a, b = (torch.randn(side, side, device=place.device).to(kind) for _ in range(2))
        seconds = median_seconds(lambda a=a, b=b: a @ b, 3 if day.rehearse else 20)  # type: ignore[misc]
        name = str(kind).removeprefix("torch.")
        day.note("rates", what=f"product {side}³, {name}", tflops=2 * side**3 / seconds / 1e12, kind=name)
    whole_copy = torch.empty(2**20 if day.rehearse else 2**32, dtype=torch.uint8, device=place.device)
    half = len(whole_copy) // 2
    seconds = median_seconds(lambda: whole_copy[:half].copy_(whole_copy[half:]), 10)
    day.note("rates", what="copy, bytes read and written", gb_per_second=2 * half / seconds / 1e9)


def ingest(day: Day) -> None:
    """Make a data set of the videos that were brought along, as large as the preset makes them."""
    from footage.config import IngestConfig
    from footage.data.ingest.pipeline import ingest as ingest_sources

    if day.data == "shapes" or (Path(day.data) / "dataset.json").exists():
        day.note("data", what="there already", value=day.data)
        return
    if importlib.util.find_spec("av") is None:
        raise RuntimeError(f"{day.data} holds videos, and PyAV is not there: carry its wheel, or a dataset folder")
    config = config_of(day, day.preset)
    assert config is not None, "there is no such preset"
    size = day.size or f"{config.clip.width}x{config.clip.height}"
    options = IngestConfig(size=size, coding="raw" if day.rehearse else "auto", name=Path(day.data).name)
    result = ingest_sources((Path(day.data),), Path(day.work) / "data", options, lambda progress: None)
    info = result.dataset.info
    day.note("data", what="clips", value=info.clips)
    day.note("data", what="frames", value=sum(row.frames for row in result.dataset.rows))
    day.note("data", what="size", value=f"{info.width}×{info.height}, {info.coding}")


def data_of(day: Day) -> str:
    """Return what is trained on: the data set that was made here, or the one that was brought along."""
    ingested = Path(day.work) / "data"
    return str(ingested) if (ingested / "dataset.json").exists() else day.data


def device() -> ComputeDevice:
    from footage.models.device import find_device

    return find_device()


def wait() -> None:
    """Wait for the GPU, where there is one."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def median_seconds(work: Callable[[], object], times: int) -> float:
    """Return the median time of some work, after three rounds that warm up."""
    for _ in range(3):
        work()
    seconds = []
    for _ in range(times):
        wait()
        begin = time.perf_counter()
        work()
        wait()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def tests(day: Day) -> None:
    """Run the tests marked `gpu`, and say as they come which pass and which fail."""
    command = [sys.executable, "-m", "pytest", "-vv", "-m", "gpu", "-p", "no:cacheprovider", "tests/test_gpu.py"]
    command += ["-k", "uploads"] if day.rehearse else []
    # These tests need no plugins; in narrow columns pytest leaves out why one failed.
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "400"}
    results: Counter[str] = Counter()
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        begin = time.time()
        for line in process.stdout:
            print(line, end="", flush=True)
            if found := re.match(r"tests/test_gpu\.py::(\S+) (PASSED|FAILED|SKIPPED|ERROR)", line):
                test, result = found.groups()
                day.note("tests", test=test, result=result.lower(), seconds=time.time() - begin)
                results[result], begin = results[result] + 1, time.time()
            elif found := re.match(r"(?:FAILED|ERROR) tests/test_gpu\.py::(\S+) - (.*)", line):
                day.note("failed tests", test=found[1], message=found[2][:200])
    if not results or results["FAILED"] or results["ERROR"]:
        raise RuntimeError(f"tests: {dict(results) or 'none was run'}")


def config_of(day: Day, name: str) -> Config | None:
    """Return the configuration of a preset, `NAME` or `NAME@HEIGHTxWIDTH`; None where there is none, with a row."""
    from footage.config.presets import PRESETS, preset, tiny
    from footage.errors import ConfigError

    name, _, size = name.partition("@")
    if name not in PRESETS:
        day.note("left out", what=name, why="there is no such preset in this version")
        return None
    overrides: dict[str, Any] = (
        dict(zip(("clip.height", "clip.width"), map(int, size.split("x")), strict=True)) if size else {}
    )
    if not day.rehearse:
        return preset(name, overrides)
    from footage.config.presets import override

    for side in (32, 64, 128):
        knobs = {"clip.frames": 8, "clip.height": side, "clip.width": side, "gan.penalty_every": 1}  # short cycles
        with contextlib.suppress(ConfigError):
            return override(tiny(PRESETS[name].config), knobs)
    day.note("left out", what=name, why="it cannot be made tiny")
    return None


class Stepper:
    """Training steps of a configuration on noise, uploads of the clips included.

    Args:
        config: what is trained.
        size: clips in a step.
        place: where.
        layout: `last` for convolutions with channels last in memory, else `first`.
    """

    def __init__(self, config: Config, size: int, place: ComputeDevice, layout: str = "first") -> None:
        import numpy as np

        from footage.models.base import PlainEngine
        from footage.training.cost import fake_batch, fresh_method

        self.place, self.size, self.number, self.engine = place, size, 0, PlainEngine()
        self.method: Method = fresh_method(config, 0, place)
        if layout == "last":
            channels_last(self.method)
        self.batch: Batch = fake_batch(config, 0, size, place.device)
        count, channels, *rest = self.batch.clips.shape
        self.pixels = np.random.default_rng(0).integers(0, 256, (count, *rest, channels), dtype=np.uint8)

    def step(self) -> dict[str, Tensor]:
        import copy

        import torch

        from footage.generation.rollout import from_uint8

        batch = copy.copy(self.batch)
        batch.clips = from_uint8(self.pixels, self.place.device)
        with torch.autocast(self.place.device, torch.bfloat16, enabled=self.place.bf16, cache_enabled=False):
            log = self.method.step(batch, self.number * self.size, self.engine)
        self.number += 1
        return log

    def cycle(self) -> None:
        """Make as many steps as it takes for everything to have happened that happens now and then."""
        for _ in range(self.method.cycle):
            self.step()


def channels_last(method: Method) -> None:
    """Put the weights of convolutions, averaged ones too, into the memory format in which channels lie together."""
    import torch
    from torch import nn

    flat, deep = (nn.Conv2d, nn.ConvTranspose2d), (nn.Conv3d, nn.ConvTranspose3d)
    for net in (*method.nets.values(), *(average.module for average in method.averages.values())):
        for layer in net.modules():
            if isinstance(layer, (*flat, *deep)):
                kind = torch.channels_last if isinstance(layer, flat) else torch.channels_last_3d
                layer.weight.data = layer.weight.data.contiguous(memory_format=kind)


def rate(
    config: Config, size: int, place: ComputeDevice, seconds: float, layout: str = "first", compiled: bool = False
) -> dict[str, float]:
    """Time training steps for about `seconds`, whole cycles: milliseconds, clips a second, and the memory they take."""
    from footage.training.cost import forget_peak, peak_gib

    forget_peak(place.device)
    stepper = Stepper(config, size, place, layout)
    for name, net in stepper.method.nets.items() if compiled else ():
        if not name.startswith("critic"):
            net.compile()
    begin = time.perf_counter()
    stepper.cycle()
    wait()
    warm = time.perf_counter() - begin
    begin, cycles = time.perf_counter(), 0
    while not cycles or time.perf_counter() - begin < seconds:
        stepper.cycle()
        wait()
        cycles += 1
    each = (time.perf_counter() - begin) / cycles / stepper.method.cycle
    return {
        "ms": each * 1000,
        "clips_per_second": size / each,
        "memory_gib": peak_gib(place.device),
        "warm_up_seconds": warm,
    }


def training(day: Day) -> None:
    """Time training steps of presets and batch sizes; of the one to be trained, variants and a profile."""
    from footage.training.cost import clip_flops, memory_is_full

    place, card = device(), _matrix_rate(day)
    seconds = 0.2 if day.rehearse else 2.0
    names = [day.preset, *(name for name in day.presets if name != day.preset)]
    last: tuple[Config, int] | None = None
    for number, name in enumerate(names):
        config, until = config_of(day, name), time.time() + day.left / (len(names) - number)
        if config is None:
            continue
        flops = clip_flops(config, 0, place)
        fits, took = 0, seconds
        for size in day.batches:
            if number and time.time() + 2 * took > until:
                day.note("left out", what=f"{name}, batches of {size} and more", why="no time")
                break
            begin = time.time()
            try:
                figures = rate(config, size, place, seconds)
            except (RuntimeError, MemoryError) as error:
                if not memory_is_full(error):
                    raise
                day.note("training", preset=name, batch=size, ms="memory is full")
                _free()
                break
            took, fits = time.time() - begin, size
            done = flops * figures["clips_per_second"] / 1e12
            day.note(
                "training",
                preset=name,
                batch=size,
                **figures,
                gflop_per_clip=flops / 1e9,
                tflops=done,
                share=done / card,
            )
        if not number and fits:
            variants(day, config, min(fits, 64), place, seconds)
            with attempt(day, "profile"):
                profile(day, config, min(fits, 32), place)
            last = config, min(fits, 64)
    if last is not None:
        compiled_variant(day, *last, place, seconds)


@contextlib.contextmanager
def attempt(day: Day, what: str) -> Iterator[None]:
    """Go on after whatever fails within, with a row for it and the memory freed."""
    try:
        yield
    except Exception as error:
        traceback.print_exc()
        day.note("left out", what=what, why=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
    _free()


def _matrix_rate(day: Day) -> float:
    """Return the rate of bf16 matrix products that `look` has measured, in TFLOP/s."""
    return next((float(row["tflops"]) for row in day.rows() if row.get("kind") == "bfloat16"), math.nan)


def _free() -> None:
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def variants(day: Day, config: Config, size: int, place: ComputeDevice, seconds: float) -> None:
    """Time what may make steps faster, each beside the plain way, and note the fastest for the training."""
    import torch

    rates = {}
    for layout in ("first", "last"):
        for tuned in (False, True):
            variant = f"channels {layout}, cuDNN's benchmark {tuned}"
            with attempt(day, variant), torch.backends.cudnn.flags(enabled=True, benchmark=tuned):
                figures = rate(config, size, place, seconds, layout)
                rates[layout, tuned] = figures["clips_per_second"]
                day.note(
                    "variants", preset=config.preset, batch=size, channels=layout, cudnn_benchmark=tuned, **figures
                )
    # A rehearsal takes the way that is less trodden.
    layout, tuned = ("last", True) if day.rehearse else max(rates, key=lambda key: rates[key])
    day.note("chosen", channels=layout, cudnn_benchmark=tuned)
    for tuned in (False, True):
        variant = f"repeating, cuDNN's benchmark {tuned}"
        with attempt(day, variant), torch.backends.cudnn.flags(enabled=True, benchmark=tuned):
            one, two = (weights_after_cycle(config, 4, place) for _ in range(2))
            day.note("repeating", cudnn_benchmark=tuned, same_bits=torch.equal(one, two))


def weights_after_cycle(config: Config, size: int, place: ComputeDevice) -> Tensor:
    import torch

    stepper = Stepper(config, size, place)
    stepper.cycle()
    return torch.cat([weight.detach().flatten().cpu() for weight in stepper.method.nets.parameters()])


def compiled_variant(day: Day, config: Config, size: int, place: ComputeDevice, seconds: float) -> None:
    """Time steps with compiled networks where no second derivative is asked for: all but the critics."""
    if place.device != "cuda" or day.left < 30:
        day.note("left out", what="steps with compiled generators", why="there is no GPU, or no time")
        return
    layout = day.found("chosen", "channels") or "first"
    with attempt(day, "steps with compiled generators"):
        figures = rate(config, size, place, seconds, layout, compiled=True)
        day.note("variants", preset=config.preset, batch=size, channels=layout, compiled=True, **figures)


def profile(day: Day, config: Config, size: int, place: ComputeDevice) -> None:
    """Say where the GPU's time goes: how busy it is, kernels a step, the dearest ones, and where the host waits."""
    import torch

    if place.device != "cuda":
        day.note("left out", what="profile", why="there is no GPU")
        return
    stepper = Stepper(config, size, place)
    stepper.cycle()
    wait()
    torch.cuda.set_sync_debug_mode("warn")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stepper.cycle()
    torch.cuda.set_sync_debug_mode("default")
    places = Counter(f"{Path(w.filename).name}:{w.lineno}" for w in caught if "synchroniz" in str(w.message))
    for where, times in places.most_common(12):
        day.note("host waits", where=where, times_a_step=times / stepper.method.cycle)
    wait()
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    begin = time.perf_counter()
    with torch.profiler.profile(activities=activities) as profiler:
        stepper.cycle()
        wait()
    seconds = time.perf_counter() - begin
    events = [e for e in profiler.key_averages() if str(e.device_type).endswith("CUDA")]
    busy = sum(e.self_device_time_total for e in events) / 1e6
    kernels = sum(e.count for e in events) / stepper.method.cycle
    day.note("profile", what="kernels a step", value=kernels)
    day.note("profile", what="GPU busy, share of the time under the profiler", value=busy / seconds)
    for event in sorted(events, key=lambda e: -e.self_device_time_total)[:12]:
        day.note("kernels", name=event.key[:90], share=event.self_device_time_total / 1e6 / busy, calls=event.count)


def generation(day: Day) -> None:
    """Time generation: one video of each size in chunks, and upscalers to 720p; all as it is, then compiled."""
    names = [*day.sizes, *UPSCALERS[: 1 if day.rehearse else None]]
    rates: dict[str, Callable[[bool], None]] = {}
    for name in names:
        config = config_of(day, name)
        if config is not None:
            rates[name] = lambda compiled, name=name, config=config: frame_rate(day, name, config, compiled)  # type: ignore[misc]
    largest_first = [*reversed(day.sizes), *UPSCALERS]  # where time is short
    for compiled in (False, True):
        for name in sorted(rates, key=(largest_first if compiled else names).index):
            if day.left < (0 if day.rehearse else 8):
                day.note("left out", what=f"{name}, {'compiled' if compiled else 'as it is'}", why="no time")
                continue
            with attempt(day, f"{name}, {'compiled' if compiled else 'as it is'}"):
                rates[name](compiled)
        if day.rehearse:
            return


def sampler_of(config: Config, place: ComputeDevice) -> Any:
    """Make a sampler with random weights: the time does not depend on them."""
    import torch

    from footage.config.registry import METHODS

    torch.manual_seed(0)
    method = METHODS[config.method]
    nets = method.sampling_nets(config, 0)
    for net in nets.values():
        net.to(place.device).eval().requires_grad_(False)
    return method.sampler_of(config, nets)


def compile_nets(sampler: Any) -> None:
    """Have all networks of a sampler compiled when they are first used, those of samplers inside it too."""
    import torch
    from torch import nn

    for value in list(vars(sampler).values()):
        if isinstance(value, nn.Module):
            value.compile()
            animate: Any = getattr(value, "animate", None)  # the part of a generator that is made anew in each frame
            if animate is not None:
                setattr(value, "animate", torch.compile(animate))  # noqa: B010
        elif hasattr(value, "segments"):
            compile_nets(value)


def chunks_of(sampler: Any, chunk: int, tile: int) -> Iterator[Tensor]:
    """Yield chunks of one video for ever: from a seed, or enlarged from noise of a quarter of 720p."""
    import torch

    from footage.generation.rollout import stream
    from footage.models.requests import VideoRequest

    if not hasattr(sampler, "enlarge"):
        return stream(sampler, [VideoRequest(0)], chunk)
    small = torch.rand(1, sampler.clip.channels, chunk, tile * 9 // 16, tile, device=sampler.device) * 2 - 1
    bf16: bool = sampler.device.type == "cuda"
    enlarged: Iterator[Tensor] = sampler.stream(iter(lambda: small, None), tile=tile, bf16=bf16)
    return enlarged


def frame_rate(day: Day, name: str, config: Config, compiled: bool) -> None:
    """Time frames of one video, made and brought to the CPU as uint8."""
    import torch

    from footage.generation.rollout import to_uint8

    place, seconds = device(), 0.2 if day.rehearse else 2.0
    sampler = sampler_of(config, place)
    if compiled:
        compile_nets(sampler)
    for chunk in (16,) if compiled or day.rehearse else (1, 16, 64):
        chunks = chunks_of(sampler, chunk, 32 if day.rehearse else 320)
        with torch.autocast(place.device, torch.bfloat16, enabled=place.bf16):
            begin = time.perf_counter()
            for _ in range(3):
                shape = to_uint8(next(chunks)).shape
            warm = time.perf_counter() - begin
            begin, frames = time.perf_counter(), 0
            while not frames or time.perf_counter() - begin < seconds:
                frames += to_uint8(next(chunks)).shape[1]
        fps = frames / (time.perf_counter() - begin)
        size = f"{shape[3]}×{shape[2]}"
        day.note(
            "generation",
            preset=name,
            size=size,
            chunk=chunk,
            compiled=compiled,
            frames_per_second=fps,
            warm_up_seconds=warm,
        )


def train(day: Day) -> None:
    """Train the preset on the data until the time is over, the fastest way that was found."""
    import torch
    from rich.console import Console

    from footage.config.presets import override
    from footage.config.registry import METHODS
    from footage.data.store import Dataset
    from footage.models.card import read_info
    from footage.training.plan import prepare
    from footage.training.run_folder import RunFolder
    from footage.training.trainer import train as run

    config = config_of(day, day.preset)
    if config is None:
        raise RuntimeError(f"there is no preset {day.preset}")
    knobs: dict[str, Any] = {"train.sample_clips": 10_000_000, "train.sample_minutes": 0.0}
    data = data_of(day)
    if data != "shapes":
        info = Dataset(data).info
        knobs |= {"clip.height": info.height, "clip.width": info.width, "clip.channels": info.channels}
    config = override(config, knobs | day.knobs)
    if day.found("chosen", "channels") == "last":
        plain = METHODS[config.method]

        class ChannelsLast(plain):  # type: ignore[misc, valid-type]
            def __init__(self, config: Config, labels: int) -> None:
                super().__init__(config, labels)
                channels_last(self)

        METHODS[config.method] = ChannelsLast
    plan, folder = prepare(data, config, timed=False), RunFolder(Path(day.work) / "run")
    console = Console(width=140, force_terminal=False)
    console.print(plan.table())
    day.note("run", what="data", value=plan.note.name)
    day.note("run", what="clip, T H W", value=f"{config.clip.frames} × {config.clip.height} × {config.clip.width}")
    day.note("run", what="batch", value=plan.batch_size)
    for net, count in plan.needs.parameters.items():
        day.note("run", what=f"weights, {net}", value=count)
    with torch.backends.cudnn.flags(enabled=True, benchmark=bool(day.found("chosen", "cudnn_benchmark"))):
        begin = time.perf_counter()
        minutes = max(1.0, day.left) / 60
        run(plan, folder, clips=16 if day.rehearse else None, minutes=minutes, console=console)
        seconds, seen = time.perf_counter() - begin, read_info(folder.model).clips_seen
    day.note("run", what="clips seen", value=seen)
    day.note("run", what="seconds, everything included", value=seconds)
    day.note("run", what="clips/s, everything included", value=seen / seconds)


STEPS: dict[str, tuple[Callable[[Day], None], float]] = {
    "look": (look, 0.08),
    "ingest": (ingest, 0.06),
    "tests": (tests, 0.12),
    "training": (training, 0.24),
    "generation": (generation, 0.14),
    "train": (train, 1.0),
}
"""The steps in their order, and the share of the whole time that each may take; the last has what is left."""
PACKING = 0.03
"""Share of the time that is kept for the end."""

# ------------------------------------------------------------------------------------------------------------- the day


def run_step(day: Day, name: str, until: float) -> None:
    """Run a step in a process of its own; end it after its time; note how it ended."""
    asked = json.dumps({**asdict(day), "until": until})
    paths = os.pathsep.join(filter(None, [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH")]))
    print(f"{name}: {until - time.time():.0f} s at most", flush=True)
    begin = saved = time.time()
    grace = 5.0 if day.rehearse else GRACE
    process = subprocess.Popen(
        [sys.executable, __file__, "--step", name, "--asked", asked],
        env={**os.environ, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1", "MPLBACKEND": "agg"},
        start_new_session=True,
    )
    try:
        while process.poll() is None and time.time() < until + grace:
            time.sleep(0.2)
            write_tables(day)
            if time.time() > saved + SAVE:  # whatever happens to this machine
                saved = time.time()
                hand_over_model(day)
    finally:
        late = process.poll() is None
        for number in (signal.SIGTERM, signal.SIGKILL) if late else ():
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, number)
                process.wait(10)
    code = process.poll()  # None where it cannot be ended: the GPU may hang
    result = f"out of time, status {code}" if late else "done" if code == 0 else f"failed, status {code}"
    day.note("steps", step=name, result=result, seconds=time.time() - begin)
    write_tables(day)


def write_tables(day: Day) -> None:
    """Write what was found so far as gpu_day.md and gpu_day.json, each whole at every moment."""
    rows, lines = day.rows(), [f"# A day with a GPU{': a rehearsal' if day.rehearse else ''}", ""]
    for table in dict.fromkeys(row["table"] for row in rows):
        mine = [{k: v for k, v in row.items() if k != "table"} for row in rows if row["table"] == table]
        if len(mine) == 1 and len(mine[0]) > 4:  # one below the other
            mine = [{"what": name, "value": value} for name, value in mine[0].items()]
        names = list(dict.fromkeys(name for row in mine for name in row))
        lines += [f"## {table}", "", "| " + " | ".join(name.replace("_", " ") for name in names) + " |"]
        lines += ["|---" * len(names) + "|"]
        lines += ["| " + " | ".join(shown(row.get(n, "")).replace("|", "/") for n in names) + " |" for row in mine]
        lines += [""]
    for name, text in (("gpu_day.md", "\n".join(lines)), ("gpu_day.json", json.dumps(rows, indent=1))):
        temporary = Path(day.work) / name
        temporary.write_text(text, encoding="utf-8")
        shutil.copy(temporary, Path(day.out) / f"{name}.part")
        os.replace(Path(day.out) / f"{name}.part", Path(day.out) / name)


def hand_over(day: Day) -> None:
    """Copy what the run has left: figures, the last sheet and preview, curves, and the weights."""
    run, out = Path(day.work) / "run", Path(day.out)
    if (run / "metrics.jsonl").exists():
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        for row in rows[:: max(1, len(rows) // 20)]:
            day.note("curve", **{name: value for name, value in row.items() if name != "labels"})
    for kind in ("png", "mp4"):
        for path in sorted((run / "samples").glob(f"*.{kind}"))[-1:]:
            _copy_small(path, out / f"sheet.{kind}")
    if (run / "curves.png").exists():
        shutil.copy(run / "curves.png", out / "curves.png")
    hand_over_model(day)
    day.note("run", what="weights", value="cat model.tar.? | tar x")
    write_tables(day)


def hand_over_model(day: Day) -> None:
    """Copy the weights as they were saved last, in parts that are not too large."""
    packed = Path(day.work) / "model.tar"
    with contextlib.suppress(OSError):  # not there yet, or just being replaced
        with tarfile.open(packed, "w") as archive:
            archive.add(Path(day.work) / "run" / "model", "model")
        content = packed.read_bytes()
        for number, first in enumerate(range(0, len(content), LARGEST)):
            (Path(day.out) / f"model.tar.{number}").write_bytes(content[first : first + LARGEST])


def _copy_small(path: Path, target: Path) -> None:
    """Copy a file; a picture that is too large as a JPEG, another file not at all."""
    if path.stat().st_size <= LARGEST:
        shutil.copy(path, target)
    elif path.suffix == ".png":
        from PIL import Image

        Image.open(path).convert("RGB").save(target.with_suffix(".jpg"), quality=85)


def asked_for() -> tuple[Day, float]:
    """Read the command line: what is asked for, and when it begins."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="a folder for tables, sheet and weights")
    parser.add_argument("--minutes", type=float, help="for everything together; 9, or for a rehearsal 10 at most")
    parser.add_argument("--data", default="shapes", help="a dataset folder, or one of videos; else the built-in shapes")
    parser.add_argument("--size", default="", help="WIDTHxHEIGHT that videos are ingested at; else that of the preset")
    parser.add_argument("--preset", default="stream-256", help="what is trained")
    parser.add_argument("--presets", nargs="*", help="what training is timed of: " + ", ".join(PRESETS))
    parser.add_argument("--sizes", nargs="*", help="what generation is timed of: " + ", ".join(SIZES))
    parser.add_argument("--batches", nargs="*", type=int, help="in clips; 8, 32, 64, 256, or 2 for a rehearsal")
    parser.add_argument("--knob", nargs="*", default=[], help="NAME=VALUE of the training, VALUE as JSON or a word")
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes, short times")
    options, begin = parser.parse_args(), time.time()
    minutes = options.minutes or (10.0 if options.rehearse else 9.0)
    options.out.mkdir(parents=True, exist_ok=True)
    knobs = {}
    for knob in options.knob:
        name, _, value = knob.partition("=")
        try:
            knobs[name] = json.loads(value)
        except ValueError:
            knobs[name] = value
    day = Day(
        out=str(options.out.resolve()),
        work=tempfile.mkdtemp(prefix="gpu-day-"),
        until=begin + minutes * 60,
        rehearse=options.rehearse,
        data=options.data,
        size=options.size,
        preset=options.preset,
        presets=tuple(options.presets or PRESETS[: 1 if options.rehearse else None]),
        sizes=tuple(options.sizes or ([options.preset] if options.rehearse else SIZES)),
        batches=tuple(options.batches or ((2,) if options.rehearse else (8, 32, 64, 256))),
        knobs=knobs,
    )
    return day, begin


def main() -> int:
    """Run all steps and hand over what they found; 0 where each has come to its end."""
    if "--step" in sys.argv:
        asked: Any = {key: tuple(v) if isinstance(v, list) else v for key, v in json.loads(sys.argv[4]).items()}
        STEPS[sys.argv[2]][0](Day(**asked))
        return 0
    day, begin = asked_for()
    whole = day.until - begin
    last = day.until - PACKING * whole - (0 if day.rehearse else GRACE)
    for name, (_, share) in STEPS.items():
        run_step(day, name, min(time.time() + share * whole, last))
        if not day.rehearse and day.found("machine", "device") != "cuda":
            print("there is no GPU here that PyTorch can use: give --rehearse, or see the remedies above")
            return 1
    hand_over(day)
    results = [row["result"] for row in day.rows() if row["table"] == "steps"]
    print((Path(day.out) / "gpu_day.md").read_text(encoding="utf-8"))
    print(f"{time.time() - begin:.0f} s; tables, sheet and weights in {day.out}")
    shutil.rmtree(day.work)
    return int(results != ["done"] * len(STEPS))


if __name__ == "__main__":
    sys.exit(main())
