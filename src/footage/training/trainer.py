"""What the loop lends to a training step, on Lightning Fabric: one process or several.

Ctrl-C and a polite kill, taken between two steps.

The training loop on Lightning Fabric: it feeds a method, saves, samples, watches and stops.

Everything that a step depends on follows from the saved state and the clips seen, so a killed run that is started again
by the same command gives, on the same device, bit for bit the weights of one that was never interrupted.
"""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricModule
from rich.console import Console
from torch import Tensor, nn
from torch.optim import Optimizer

from footage import files
from footage.config import Config
from footage.config.registry import METHODS
from footage.data.clips import ClipSource, Labels, Loader
from footage.data.store import Frames
from footage.errors import DatasetError, TrainingError
from footage.generation.rollout import from_uint8, to_uint8
from footage.models import checkpoint
from footage.models.base import Batch, Method
from footage.training.cost import Place, find_place, memory_is_full
from footage.training.diagnostics import WARM_UP, judge_samples, sample_figures
from footage.training.run_folder import DataNote, RunFolder, drop_beyond, snapshot_folder, write_config
from footage.training.run_log import (
    LoopClock,
    MetricsLog,
    RunningMeans,
    Terminal,
    memory_used,
    plot_curves,
    write_samples,
)
from footage.training.selection import BestModel, SelectionOptions


class FabricEngine:
    """See `footage.models.base.Engine`.

    Args:
        fabric: whose networks and optimisers the step uses.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients of a scalar; with several processes, their mean."""
        self.fabric.backward(loss)

    @contextlib.contextmanager
    def frozen(self, net: nn.Module) -> Iterator[nn.Module]:
        """Give the network inside a distributed wrapper, which would wait for gradients of its weights.

        Networks that are divided among processes (FSDP) have no inside that works alone: not supported.
        """
        bare = net.module if isinstance(net, _FabricModule) else net
        bare.requires_grad_(False)
        try:
            yield bare
        finally:
            bare.requires_grad_(True)

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a tensor over all processes, without gradient."""
        if self.fabric.world_size == 1:
            return value.detach()
        mean = self.fabric.all_reduce(value.detach().clone(), reduce_op="mean")
        assert isinstance(mean, torch.Tensor)
        return mean


class Interrupt:
    """Turns Ctrl-C and a polite kill into a flag, so that the loop ends between two steps. A second Ctrl-C is final."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Interrupt:
        """Take the signals over, in the main thread; elsewhere they are not ours."""
        self._before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._take)
        return self

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, *exception: object) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)


LOG_CLIPS = 500
"""Clips seen between two rows of figures."""
SAMPLES = 16
"""Clips on a sample sheet; their seeds are 0, 1, 2 and so on."""
CALIBRATION = 256
"""Clips that a method looks at before its first step."""
RETRIES = 2
"""How often a run goes back to its last good state before it stops."""


@dataclass(frozen=True)
class Budget:
    """When a run ends; extending a run is asking for more. Whichever comes first counts."""

    clips: int | None = None
    """Clips seen, over the whole life of the run."""
    minutes: float | None = None
    """Minutes of training, over the whole life of the run."""


@dataclass
class Progress:
    """How far a run is. Saved with the state."""

    clips_seen: int = 0
    """Training clips seen."""
    seconds: float = 0.0
    """Time spent in the loop."""
    attempt: int = 0
    """How often the run went back to a good state; part of every seed."""


@dataclass
class TrainingOutcome:
    """How a call of `train` ended."""

    progress: Progress
    """How far the run is now."""
    reason: str
    """`done`, `interrupted` or `diverged`."""
    shares: dict[str, float] = field(default_factory=dict)
    """Shares of the loop's time: see `footage.training.run_log.Clock.shares`."""


def step_seed(seed: int, clips_seen: int, attempt: int) -> int:
    """Mix what a step's random draws depend on into one seed (splitmix64's finaliser, Steele et al. 2014)."""
    mixed = (seed * 0x9E3779B97F4A7C15 + clips_seen * 0x8CB92BA72F3D8DD7 + attempt) % 2**64
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % 2**64
    return (mixed ^ (mixed >> 31)) % 2**63


class Trainer:
    """One run: its parts, and the verbs that the loop is made of.

    Args:
        config: the resolved configuration, batch size included.
        source: where clips come from.
        folder: the run folder.
        note: which data it is.
        budget: when to stop.
        console: where to speak.
        begin_with: a model folder whose weights a new run begins with, or None.
        choice: how the best model is chosen; None for not at all.
    """

    def __init__(
        self,
        config: Config,
        source: ClipSource,
        folder: RunFolder,
        note: DataNote,
        budget: Budget,
        console: Console,
        begin_with: Path | None = None,
        choice: SelectionOptions | None = None,
    ) -> None:
        assert config.train.batch_size is not None, "the batch size is found before the loop begins"
        self.config, self.source, self.folder, self.note, self.budget = config, source, folder, note, budget
        self.console, self.progress, self.sampled = console, Progress(), 0
        self.batch_size = config.train.batch_size
        seed, frames = config.train.seed, config.clip.frames
        self.loader = Loader(source, "train", frames=frames, batch_size=self.batch_size, seed=seed)
        counts = Counter(unit.span.label for unit in self.loader.units)
        places = [source.labels.index(name) for name in note.labels]
        self.label_shares = tuple(counts[place] / len(self.loader.units) for place in places)
        self.classes = np.full(len(source.labels) + 1, -1)  # number in the source -> number in the model
        self.classes[places] = np.arange(len(places))
        self.heldout = self._heldout()
        self.place: Place = find_place(config.train)
        about = (config, self.loader, self.heldout, self.label_shares, folder.best, self.place.device)
        self.selection = BestModel(choice, *about) if choice else None
        self.fabric = Fabric(accelerator="gpu" if self.place.device == "cuda" else self.place.device, devices=1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.method: Method = METHODS[config.method](config, len(note.labels))
        state = checkpoint.read_state(folder.state) if folder.state.exists() else None
        if state is None:
            self.method.calibrate(first_clips(self.loader, CALIBRATION))
            if begin_with is not None:
                checkpoint.begin_with(begin_with, self.method)
        self._restore(state)
        write_config(folder, config, note)

    def _heldout(self) -> Loader | None:
        """Return a loader of clips that are never trained on; None where there are none of this length and labels."""
        size, seed, frames = self.batch_size, self.config.train.seed, self.config.clip.frames
        try:
            loader = Loader(self.source, "heldout", frames=frames, batch_size=size, seed=seed)
        except DatasetError:
            return None
        if self.note.labels:
            loader.units = [unit for unit in loader.units if self.classes[unit.span.label] >= 0]
        return loader if loader.units else None

    def _restore(self, state: dict[str, Any] | None) -> None:
        """Put a saved state into the method and hand its parts to Fabric; without one, only the latter."""
        if state is not None:
            checkpoint.restore_nets(state, self.method)
        for name, net in self.method.nets.items():
            self.method.nets[name] = self.fabric.setup_module(net)
        for average in self.method.averages.values():
            average.module.to(self.fabric.device)
        self.method.build_optimizers()
        if state is not None:
            checkpoint.restore_optimizers(state, self.method)
            self.progress = Progress(**state["progress"])
        for name, optimizer in self.method.optimizers.items():
            self.method.optimizers[name] = cast(Optimizer, self.fabric.setup_optimizers(optimizer))

    def save_state(self) -> None:
        """Write the resumable state, atomically."""
        checkpoint.save_state(self.folder.state, self.method, vars(self.progress))

    def save(self) -> None:
        """Write the resumable state and the model, each atomically."""
        self.save_state()
        self.save_model(self.folder.model)

    def save_model(self, folder: Path, extra: dict[str, Any] | None = None) -> None:
        """Write the averaged model as it is now, atomically; `extra` stands in its model.json."""
        info = checkpoint.ModelInfo(
            name=self.folder.path.name,
            config=self.config,
            labels=self.note.labels,
            label_shares=self.label_shares,
            fps=self.source.fps,
            dataset=self.note.name,
            dataset_hash=self.note.content_hash,
            clips_seen=self.progress.clips_seen,
            extra=extra or {},
        )
        checkpoint.save_model(folder, info, self.method)

    def sane(self) -> bool:
        """Whether every weight, trained or averaged, is finite."""
        averages = (p for average in self.method.averages.values() for p in average.module.parameters())
        weights = [p.detach() for p in self.method.nets.parameters()] + list(averages)
        return all(math.isfinite(float(norm)) for norm in torch._foreach_norm(weights))

    def go_back(self, terminal: Terminal) -> bool:
        """Return to the last good state with other random draws; False when that was tried often enough."""
        if self.progress.attempt >= RETRIES:
            return False
        state = checkpoint.read_state(self.folder.state)
        checkpoint.restore_nets(state, self.method)
        checkpoint.restore_optimizers(state, self.method)
        attempt, seconds = self.progress.attempt + 1, self.progress.seconds
        self.progress = Progress(state["progress"]["clips_seen"], seconds, attempt)
        terminal.warning(
            f"a figure is no longer finite; going back to {self.progress.clips_seen:,} clips with other random draws "
            f"(attempt {attempt} of {RETRIES}). If it happens again: {self.method.remedies['diverged']}"
        )
        return True

    def batch(self, loaded: tuple[Frames, Labels]) -> Batch:
        """Bring a loaded batch to the device; with held-out clips beside it where a row of figures is due."""
        rng = torch.Generator()
        seen = self.progress.clips_seen
        rng.manual_seed(step_seed(self.config.train.seed, seen, self.progress.attempt))
        due = self.heldout is not None and _crossed(seen, seen + self.batch_size, LOG_CLIPS)
        heldout = self._on_device(self.heldout.batch(seen)) if self.heldout and due else None
        return Batch(*self._on_device(loaded), rng, self.batch_size, heldout=heldout)

    def _on_device(self, loaded: tuple[Frames, Labels]) -> tuple[Tensor, Tensor | None]:
        frames, classes = loaded
        labels = torch.from_numpy(self.classes[classes]).to(self.fabric.device) if self.note.labels else None
        return from_uint8(frames, self.fabric.device), labels

    def step(self, batch: Batch, engine: FabricEngine) -> dict[str, Tensor]:
        """Make one update."""
        # Autocast is ours and not Fabric's, which allows no gradient inside a step (the penalties) beside its own.
        # Its cache is off: it would go on with a critic's weights from before their update.
        with torch.autocast(self.place.device, torch.bfloat16, enabled=self.place.bf16, cache_enabled=False):
            return self.method.step(batch, self.progress.clips_seen, engine)

    def sample(self, terminal: Terminal, log: MetricsLog, reals: Tensor) -> None:
        """Write a sheet and a preview of the averaged model, and judge them beside real clips."""
        self.sampled = self.progress.clips_seen
        names = self.note.labels
        labels = torch.arange(SAMPLES) % len(names) if names else None
        sampler = self.method.sampler()
        shown = sampler.preview(reals, labels)
        made = next(iter(shown.values()))
        rows, captions = [], []
        for number in range(SAMPLES // len(shown)):
            named = f" · {names[number % len(names)]}" if names else ""
            for what, clips in shown.items():
                rows.append(to_uint8(clips[number : number + 1])[0])
                captions.append(f"{what} {number}{named}")
        metadata = {"run": self.folder.path.name, "clips_seen": self.progress.clips_seen}
        write_samples(self.folder, rows, captions, self.progress.clips_seen, self.source.fps, metadata, len(shown))
        figures = sample_figures(made.cpu()[:, :, sampler.given :], reals[:, : made.shape[1], sampler.given :])
        log.write(self.progress.clips_seen, figures)
        if self.progress.clips_seen >= WARM_UP:
            terminal.warn(judge_samples(figures), self.method.remedies, self.progress.clips_seen)
        plot_curves(self.folder.metrics, self.folder.path / "curves.png", self.method.curves)

    def choose(self, terminal: Terminal, log: MetricsLog) -> float:
        """Measure the averaged model beside held-out clips and keep it where it is the best; return the seconds."""
        selection, seen, since = self.selection, self.progress.clips_seen, time.perf_counter()
        if selection is None or selection.measured == seen:
            return 0.0
        value, best = selection.measure(self.method.sampler(), seen), selection.best_so_far()
        log.write(seen, {selection.key: value})
        if better := best is None or value <= best["value"]:
            self.save_model(self.folder.best, selection.note(value))
        said = (
            f"at {seen:,} clips {selection.name} {value:.4g} beside held-out clips (real clips: {selection.floor:.4g})"
        )
        terminal.say(said + (", the best so far" if better else ""))
        return time.perf_counter() - since


def run(training: Trainer) -> TrainingOutcome:
    """Train until the budget is spent, the user asks to stop, or the run cannot recover."""
    progress, budget = training.progress, training.budget
    reals = torch.cat(list(first_clips(training.heldout or training.loader, SAMPLES)))[:SAMPLES]
    log = MetricsLog(training.folder, progress.clips_seen)
    drop_beyond(training.folder, progress.clips_seen)
    total = budget.clips if budget.minutes is None else budget.minutes * 60
    assert total is not None, "a budget has clips or minutes"
    terminal = Terminal(training.console, total, "clips" if budget.minutes is None else "seconds")
    clock = LoopClock()
    if not training.folder.state.exists():
        training.save_state()  # something to go back to
    with contextlib.closing(log), Interrupt() as interrupt, terminal:
        while True:
            reason = _stretch(training, log, terminal, interrupt, clock, reals)
            if reason != "not finite":
                training.save()
                break
            if interrupt.asked:
                reason = "interrupted"  # the last good state stands
                break
            if not training.go_back(terminal):
                reason = "diverged"
                break
            log.rewind(training.progress.clips_seen)
            drop_beyond(training.folder, training.progress.clips_seen)
        if reason == "done":
            training.choose(terminal, log)
            if training.progress.clips_seen != training.sampled:
                training.sample(terminal, log, reals)
    return TrainingOutcome(training.progress, reason, clock.shares())


def _stretch(
    training: Trainer,
    log: MetricsLog,
    terminal: Terminal,
    interrupt: Interrupt,
    clock: LoopClock,
    reals: Tensor,
) -> str:
    """Train until something ends the stretch: `done`, `interrupted` or `not finite`."""
    engine = FabricEngine(training.fabric)
    progress, config = training.progress, training.config
    means = RunningMeans(training.batch_size)
    next_save = progress.seconds + config.train.save_minutes * 60
    batches = training.loader.batches(progress.clips_seen)
    clock.restart()
    with contextlib.closing(batches):
        while not _spent(progress, training.budget):
            if interrupt.asked:
                return "interrupted" if training.sane() else "not finite"
            loaded = next(batches)
            elapsed = clock.lap("data")
            batch = training.batch(loaded)
            elapsed += clock.lap("rest")
            means.add(training.step(batch, engine))
            elapsed += clock.lap("step")
            before = progress.clips_seen
            progress.clips_seen += training.batch_size
            if _crossed(before, progress.clips_seen, LOG_CLIPS):
                row = means.take()
                if not all(math.isfinite(value) for value in row.values()):
                    return "not finite"
                log.write(progress.clips_seen, {**row, "memory_gib": memory_used(training.place.device)})
                if progress.clips_seen >= WARM_UP:
                    terminal.warn(training.method.judge(row), training.method.remedies, progress.clips_seen)
            if _crossed(before, progress.clips_seen, config.train.sample_clips):
                training.sample(terminal, log, reals)
            kept, measured = config.train.snapshot_clips, training.selection
            due = measured is not None and _crossed(before, progress.clips_seen, measured.choice.every)
            keep = kept is not None and _crossed(before, progress.clips_seen, kept)
            if (due or keep) and not training.sane():
                return "not finite"
            if keep:
                training.save_model(snapshot_folder(training.folder, progress.clips_seen))
            if due:
                elapsed += clock.lap("rest")
                means.leave_out(training.choose(terminal, log))
                clock.restart()  # the budget is for training
            if progress.seconds >= next_save:
                if not training.sane():
                    return "not finite"
                training.save()
                next_save = progress.seconds + config.train.save_minutes * 60
            text = f"{progress.clips_seen:,} clips · {means.rate:.1f} clips/s"
            terminal.progress(_done(progress, training.budget), text, training.place.device)
            progress.seconds += elapsed + clock.lap("rest")
    return "done" if training.sane() else "not finite"


def first_clips(loader: Loader, count: int) -> Iterator[Tensor]:
    """Yield the first `count` training windows or a few more, batches of (B, C, T, H, W) in [-1, 1]."""
    for seen in range(0, count, loader.local):
        yield from_uint8(loader.batch(seen)[0])


def _crossed(before: int, now: int, interval: int) -> bool:
    return before // interval != now // interval


def _done(progress: Progress, budget: Budget) -> float:
    return progress.seconds if budget.minutes is not None else float(progress.clips_seen)


def _spent(progress: Progress, budget: Budget) -> bool:
    by_clips = budget.clips is not None and progress.clips_seen >= budget.clips
    return by_clips or (budget.minutes is not None and progress.seconds >= budget.minutes * 60)


def advice(error: BaseException, folder: Path) -> TrainingError | None:
    """Turn a full memory or a full disk into advice; None for any other error."""
    if isinstance(error, OSError) and error.errno in files.DISK_FAULTS:
        return TrainingError(
            f"the disk cannot take the state ({error.strerror}); the last good one is kept in {folder}",
            "free some space, then run the same command again: it goes on from there",
        )
    if memory_is_full(error):
        return TrainingError(
            f"the memory does not suffice ({str(error).splitlines()[0][:160]})",
            "give a smaller --train.batch-size or --net.width",
        )
    return None
