"""Estimate of a training before it is paid for: time, memory and disk, on devices that need not be here.

A step of B clips on n devices takes

    t(n) = max(t_host, t_1 (f + (1 - f) / n)) + t_sent(n)

- t_1, the time of B clips on one device. Of a CPU it is measured here. Of a GPU it is the operations of B clips,
  counted here (`clip_cost`), by `Gpu.busy_flops`.
- t_host, how long a program takes to ask a GPU for all operations of a step, whatever B and n: operations, counted
  here, times `Gpu.call_seconds`. Small networks are bound by it: stream-512 at 32 and at 64 clips takes the same time.
- f, the part of a step that does not divide (Amdahl 1967). With r_1 and r_2 the clips a second of one and of two
  processes, measured here, t(2) / t(1) = r_1 / r_2 = f + (1 - f) / 2, so f = 2 r_1 / r_2 - 1.
- t_sent, the gradients' way round a ring: 2 (n - 1) / n · bytes / bandwidth of the slowest link (Patarasuk & Yuan 2009,
  "Bandwidth optimal all-reduce algorithms for clusters of workstations"). The bytes are four for each weight of every
  network, each network once in a step. Divided networks send half as much again (Rajbhandari et al. 2020, "ZeRO",
  section 7.2). Nothing is taken to be sent while something is computed. On the CPUs of one machine it is 0: the two
  processes that f was measured with have sent theirs.
"""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from rich.table import Table
from rich.text import Text

from footage import files
from footage.config import Config
from footage.config.presets import PRESETS, options
from footage.data.clips import Loader
from footage.data.store import Split
from footage.errors import ConfigError, TrainingError, counted
from footage.files import locked
from footage.machines import local as machine
from footage.machines.remote import address_of
from footage.models.device import ComputeDevice
from footage.training.cost import LIBRARIES, Needs, clip_cost, fit_batch, measure
from footage.training.plan import DEFAULT_CLIPS, TrainingPlan, prepare
from footage.training.processes import trial_rates
from footage.training.run_folder import RunFolder
from footage.training.run_log import write_samples

HERE, H200, ASSUMED = "measured here", "measured on an H200 (docs/gpu.md)", "assumed"
"""Where a figure is from. What is reckoned from several has the last of theirs in this order."""
ORIGINS = (HERE, H200, ASSUMED)

GIB = 2**30
CALL_SECONDS = 45.4e-3 / 1952.5
"""Seconds between two operations that a program asks of a GPU: 64 clips of stream-512 in a step took an H200's host
45.4 ms (docs/gpu.md), and such a step has as many operations on average, as `clip_cost` counts them."""
BUSY_FLOPS = 12.7e12 / 0.08
"""Operations a second of a GPU while it is busy: that step made 12.7 TFLOP/s, and the GPU was busy 8% of the time."""
LINK, NETWORK, SLOW_NETWORK = 450e9, 50e9, 1.25e9
"""Bytes a second: NVLink of the fourth generation in each direction (NVIDIA's data sheets of H100 and H200); between
machines 400 Gbit/s for each GPU, and 10 Gbit/s for machines without any."""
CONTEXT = 2 * GIB
"""Memory of the machine that a process with a GPU takes for the GPU's libraries."""
UNDIVIDED = 0.2
"""Part of a step that does not divide, where it cannot be measured."""
AHEAD = 4
"""Batches that are read beforehand."""
SPLITS: tuple[Split, ...] = ("train", "heldout")
USEFUL = 0.6
"""Part of the devices' worth below which another size of batch is recommended."""
WORTH = 64
"""Clips of a step on each GPU in that recommendation: with as many the rate was still that of the host."""


@dataclass(frozen=True)
class Gpu:
    """A kind of GPU that a training can be planned for, and where its figures are from."""

    title: str
    memory: float
    """GiB."""
    origin: str
    """Of its rates and its memory."""
    call_seconds: float = CALL_SECONDS
    busy_flops: float = BUSY_FLOPS


GPUS = {
    "h200": Gpu("H200", 139.8, H200),
    "h100": Gpu("H100", 79.6, ASSUMED),  # the same processor, less memory
}
"""What there are figures for."""


@dataclass(frozen=True)
class EstimatedFigure:
    """One line of an estimate."""

    group: Literal["time", "memory", "disk"]
    name: str
    value: float
    unit: str
    origin: str
    """One of `ORIGINS`."""
    note: str = ""


@dataclass(frozen=True)
class Estimate:
    """What a training takes, figure by figure, each with its origin; and what would be better."""

    title: str
    figures: tuple[EstimatedFigure, ...]
    advice: tuple[str, ...]

    def __getitem__(self, name: str) -> EstimatedFigure:
        """Return the figure of a name."""
        return next(figure for figure in self.figures if figure.name == name)

    def table(self) -> Table:
        table = Table(title=self.title, title_justify="left", box=None, pad_edge=False)
        for column in ("", "", "", "origin", ""):
            table.add_column(column, overflow="fold")
        group = ""
        for figure in self.figures:
            shown = f"{figure.value:,.0f}" if figure.value >= 1000 else f"{figure.value:.3g}"
            first, group = "" if figure.group == group else figure.group, figure.group
            table.add_row(Text(first, style="dim"), figure.name, f"{shown} {figure.unit}", figure.origin, figure.note)
        return table

    def json(self) -> dict[str, Any]:
        """Return the same as values of JSON."""
        figures = [dataclasses.asdict(figure) for figure in self.figures]
        return {"title": self.title, "figures": figures, "advice": list(self.advice)}


@dataclass(frozen=True)
class _Step:
    """What a step is made of: seconds, as this module's docstring names them, and where they are from."""

    one: float
    """Of all its clips on one device."""
    host: float
    undivided: float
    """f, a part of `one`."""
    sent: float
    """Bytes, of which each device sends and receives 2 (n - 1) / n."""
    bandwidth: float

    def sending(self, devices: int) -> float:
        """Return the seconds that gradients take round the ring."""
        return 2 * (devices - 1) / devices * self.sent / self.bandwidth

    def seconds(self, devices: int) -> float:
        shared = self.one * (self.undivided + (1 - self.undivided) / devices)
        return max(self.host, shared) + self.sending(devices)


def worst(*origins: str) -> str:
    """Return the origin of what is reckoned from figures of these."""
    return max(origins, key=ORIGINS.index)


def undivided_part(one: float, two: float) -> float:
    """Return the part of a step that does not divide, by the clips a second of one process and of two."""
    return min(1.0, max(0.0, 2 * one / two - 1))


@dataclass(frozen=True)
class Estimator:
    """A training, the devices that it is planned for, and how figures are made of both.

    Args:
        devices: in each machine; where no GPU is named, processors like one of this machine's.
        gpu: a name of `GPUS`; None for a device as there is here.
        clips: training clips to see.
        minutes: or minutes to train.
    """

    data: str
    config: Config
    guide: str | None
    devices: int
    nodes: int
    strategy: Literal["ddp", "fsdp"]
    gpu: str | None
    clips: int | None
    minutes: float | None
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        for name, count in (("devices", self.devices), ("nodes", self.nodes)):
            if count < 1:
                raise ConfigError(f"{name} is {count}", "give at least 1")
        if self.gpu is not None and self.gpu not in GPUS:
            raise ConfigError(f'there are no figures of a GPU "{self.gpu}"', f"known are {', '.join(sorted(GPUS))}")

    def estimate(self) -> Estimate:
        """Measure what can be measured here, and reckon the rest.

        Raises:
            ConfigError, DatasetError, TrainingError: the training is not possible as it is.
        """
        plan = self.prepared()
        total, gpu = self.devices * self.nodes, GPUS.get(self.gpu or "")
        step, origins = self.step(plan, gpu)
        seconds, size = step.seconds(total), plan.batch_size
        rate = size / seconds
        budget = [60 * self.minutes * rate] if self.minutes is not None else []
        seen = min([*budget, *([self.clips or DEFAULT_CLIPS] if self.clips or not budget else [])])
        minutes, reckoned = seen / rate / 60, worst(*origins.values())
        busy = f"{counted(size, 'clip')}, {size // total} on each device"
        figures = [
            EstimatedFigure(
                "time", "step, one device", 1e3 * step.seconds(1), "ms", origins["one"], counted(size, "clip")
            ),
            EstimatedFigure("time", "undivided part", step.undivided, "", origins["undivided"], self.scaling(origins)),
            EstimatedFigure("time", "gradients", 1e3 * step.sending(total), "ms", origins["sent"], self.way(step)),
            EstimatedFigure("time", "step", 1e3 * seconds, "ms", reckoned, busy),
            EstimatedFigure(
                "time", "throughput", rate, "clips/s", reckoned, f"{step.seconds(1) / seconds:.2f} × one device"
            ),
            EstimatedFigure(
                "time", "clips", seen, "", reckoned if budget and seen in budget else ASSUMED, "to be seen"
            ),
            EstimatedFigure("time", "training", minutes, "minutes", reckoned, "without start, sheets and measurements"),
            EstimatedFigure("time", "devices", minutes / 60 * total, "device hours", reckoned),
        ]
        figures += [*self.memory(plan, gpu), *self.disk(plan, seen, minutes)]
        kind = gpu.title if gpu else "CPU process" if plan.place.device == "cpu" else f"{plan.place.device} device"
        machines = f", {self.nodes} machines" if self.nodes > 1 else ""
        title = f"{plan.config.preset} on {plan.note.name}: {total} × {kind}{machines}, {self.strategy}"
        return Estimate(title, tuple(figures), tuple(self.advice(step, plan, gpu)))

    def prepared(self) -> TrainingPlan:
        """Return the plan of the training with its batch, and memory as it is on the devices."""
        train = self.config.train
        private = self.config.privacy.used  # its batch follows from the number of sources
        first = dataclasses.replace(train, batch_size=train.batch_size or (None if private else 1))
        plan = prepare(
            self.data, dataclasses.replace(self.config, train=first), timed=False, tried=False, guide=self.guide
        )
        # What a step keeps is counted on any device, in the arithmetic of the one that is planned for.
        if self.gpu is not None:
            place, free = ComputeDevice("cuda", train.precision != "fp32"), int(GPUS[self.gpu].memory * GIB * 0.9)
            needs = measure(plan.config, len(plan.note.labels), ComputeDevice("cpu", place.bf16))
        else:
            place, free = plan.place, None
            needs = measure(plan.config, len(plan.note.labels), place)
        config = dataclasses.replace(plan.config, train=train)
        size = plan.batch_size if private else fit_batch(config, needs, place, free)
        config = dataclasses.replace(config, train=dataclasses.replace(train, batch_size=size))
        plan = dataclasses.replace(plan, config=config, needs=needs, place=place)
        return plan.shared_by(self.devices * self.nodes, found=train.batch_size is None)

    def step(self, plan: TrainingPlan, gpu: Gpu | None) -> tuple[_Step, dict[str, str]]:
        """Return the parts of a step, and the origin of each."""
        origins, size, labels = {"one": HERE, "undivided": ASSUMED, "sent": HERE}, plan.batch_size, plan.note.labels
        rates: Mapping[int, float] = {}
        if self.devices * self.nodes > 1 and max(machine.cores(), torch.cuda.device_count()) > 1:
            tried = dataclasses.replace(plan.config, train=dataclasses.replace(plan.config.train, threads=1))
            words = ["train", self.data, *shlex.split(options(tried))]
            rates = trial_rates([*words, *([] if self.guide is None else ["--guide", self.guide])], self.say)
        undivided = 0.0 if self.devices * self.nodes == 1 else UNDIVIDED
        if len(rates) == 2:
            undivided, origins["undivided"] = undivided_part(rates[1], rates[2]), HERE
        elif self.devices * self.nodes == 1:
            origins["undivided"] = HERE  # there is nothing to divide
        host, one = 0.0, size / rates[1] if 1 in rates else 0.0
        if gpu is not None:
            operations, flops = clip_cost(plan.config, len(labels), ComputeDevice("cpu", plan.place.bf16))
            host, one = operations * gpu.call_seconds, flops * size / gpu.busy_flops
            same = dataclasses.replace(plan.config, train=PRESETS["stream-512"].config.train)
            known = same == PRESETS["stream-512"].config and size <= WORTH
            origins["one"] = worst(gpu.origin, H200 if known else ASSUMED)
        elif not one:
            needs = measure(plan.config, len(labels), plan.place, timed_batch=size)
            one = needs.step_seconds
        sent = 4.0 * sum(plan.needs.parameters.values()) * (1.5 if self.strategy == "fsdp" else 1)
        bandwidth = LINK if self.nodes == 1 else NETWORK
        if plan.place.device == "cpu":
            bandwidth = math.inf if self.nodes == 1 else SLOW_NETWORK
        if self.nodes > 1 or (self.devices > 1 and bandwidth < math.inf):
            origins["sent"] = ASSUMED
        return _Step(one, host, undivided, sent, bandwidth), origins

    def scaling(self, origins: Mapping[str, str]) -> str:
        if self.devices * self.nodes == 1:
            return "one device: nothing is divided"
        how = "by one process and two" if origins["undivided"] == HERE else "one device here, so no two to compare"
        return (
            f"{how}; all processors that it is planned for are free" if self.gpu is None else f"{how}, on this machine"
        )

    def way(self, step: _Step) -> str:
        if self.devices * self.nodes == 1:
            return "one device sends nothing"
        if step.bandwidth == math.inf:
            return "within the undivided part"
        return f"{step.sent / 2**20:.1f} MiB round a ring at {step.bandwidth / 1e9:g} GB/s"

    def memory(self, plan: TrainingPlan, gpu: Gpu | None) -> Iterator[EstimatedFigure]:
        """Yield what a step takes on each device, and in the memory of each machine."""
        total, needs = self.devices * self.nodes, plan.needs
        local, parts = plan.batch_size // total, total if self.strategy == "fsdp" else 1
        device = (needs.fixed_bytes - LIBRARIES) / parts + LIBRARIES + local * needs.clip_bytes
        on_cpu = plan.place.device == "cpu"
        there = (gpu.memory * GIB) if gpu else machine.memory_free() if on_cpu else None
        note = "" if there is None else f"of {there / GIB:.1f} GiB" if gpu else f"{there / GIB:.1f} GiB are free here"
        if gpu and device > there * 0.9:  # type: ignore[operator]
            raise TrainingError(
                f"a step of {counted(local, 'clip')} takes {device / GIB:.1f} GiB, and a device has {gpu.memory:g}",
                "give more --devices, --strategy fsdp or a smaller --train.batch-size",
            )
        origin = ASSUMED if parts > 1 else HERE
        yield EstimatedFigure(
            "memory", "each device", device / GIB, "GiB", origin, f"{counted(local, 'clip')}; {note}".rstrip("; ")
        )
        clip = plan.config.net.read_clip(plan.config.clip)
        read = AHEAD * local * clip.channels * clip.frames * clip.height * clip.width
        process = device if on_cpu else LIBRARIES + CONTEXT + state_bytes(needs)
        host = self.devices * (process + read) / GIB
        yield EstimatedFigure(
            "memory",
            "each machine",
            host,
            "GiB",
            origin if on_cpu else ASSUMED,
            counted(self.devices, "process", "processes"),
        )

    def disk(self, plan: TrainingPlan, seen: float, minutes: float) -> Iterator[EstimatedFigure]:
        """Yield the sizes of the run folder and of the data."""
        train, model = plan.config.train, average_bytes(plan.needs)
        kept = int(seen // train.snapshot_clips) if train.snapshot_clips else 0
        sheets = 2 + seen // train.sample_clips
        if train.sample_minutes:  # at 20 s, 40, 80 and so on, at last every `sample_minutes`
            sheets += min(minutes / train.sample_minutes, 1) * math.log2(max(2, train.sample_minutes * 3))
            sheets += minutes // train.sample_minutes
        state, sheet = state_bytes(plan.needs), self.sheet_bytes(plan)
        run = 2 * state + (2 + kept) * model + sheets * sheet
        note = f"state {state / 2**20:.0f} MiB, twice while it is written; {sheets:.0f} sheets of {sheet / 1e6:.1f} MB"
        yield EstimatedFigure("disk", "run folder", run / GIB, "GiB", HERE, f"{note}; {counted(kept, 'snapshot')}")
        folder, source = Path(self.data), plan.source
        if address_of(self.data) is not None:
            frames = sum(span.frames for split in SPLITS for span in source.spans(split))
            held = frames * math.prod(source.shape)
            yield EstimatedFigure("disk", "data", held / GIB, "GiB", ASSUMED, "at most, in the cache of each machine")
            return
        held = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else 0
        held = folder.stat().st_size if folder.is_file() else held
        note = "on each machine" if held else "drawn as it is needed"
        yield EstimatedFigure("disk", "data", held / GIB, "GiB", HERE, note)

    def sheet_bytes(self, plan: TrainingPlan) -> int:
        """Return the size of a sample sheet and its preview, both of real clips."""
        from footage.training.trainer import sheet_clips

        clip = plan.config.clip
        count = sheet_clips(clip)
        loader = Loader(plan.source, "train", frames=clip.frames, batch_size=count, seed=0)
        hidden = any(locked.folder_of(place) for place in (self.data, plan.note.guide) if place)
        with files.scratch_folder(seal=hidden) as folder:
            run = RunFolder(folder)
            shown = loader.batch(0)[0][..., : clip.channels]
            write_samples(run, list(shown), [""] * count, 0, plan.source.fps, {})
            return sum(file.stat().st_size for file in run.samples.iterdir())

    def advice(self, step: _Step, plan: TrainingPlan, gpu: Gpu | None) -> Iterator[str]:
        """Yield what would make better use of the devices."""
        total, size = self.devices * self.nodes, plan.batch_size
        gain = step.seconds(1) / step.seconds(total)
        if total > 1 and gain < USEFUL * total and gpu is not None and size < WORTH * total:
            more = WORTH * total
            larger = dataclasses.replace(step, one=step.one * more / size)
            rates = [size / step.seconds(1), more / larger.seconds(total)]
            yield (
                f"{total} devices make {gain:.1f} times the clips of one, since steps of so few clips wait for the "
                f"host: with --train.batch-size {more} they would make {rates[1] / rates[0]:.1f} times as many; what "
                "such steps learn was not tried. Several trainings, one on each device, lose nothing"
            )
        elif total > 1 and gain < USEFUL * total:
            most = 1 / step.undivided if step.undivided else math.inf
            yield f"{total} devices make {gain:.1f} times the clips of one; any number makes {most:.1f} times at most"


def average_bytes(needs: Needs) -> int:
    """Return the bytes of the averaged weights, which a model folder keeps."""
    return needs.fixed_bytes - LIBRARIES - 16 * sum(needs.parameters.values())


def state_bytes(needs: Needs) -> int:
    """Return the bytes of a saved state: weights, two moments of each, averages."""
    return 12 * sum(needs.parameters.values()) + average_bytes(needs)
