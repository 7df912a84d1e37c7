"""Training on Lightning Fabric: one loop that feeds a method, saves, samples, watches and stops.

Everything that a step depends on follows from the saved state and the clips seen, so a killed run that is started again
by the same command gives, on the same device and with as many threads, bit for bit the weights of one that was never
interrupted.
"""

from __future__ import annotations

import contextlib
import math
import shlex
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn

from footage import files
from footage.config import ClipConfig
from footage.config.words import remembered, vocabulary
from footage.data.clips import ClipSource, DatasetClips, HasVolumes, Labels, LoadedBatch, Loader, Pixels, PoissonLoader
from footage.errors import DatasetError, TrainingError, counted
from footage.generation.rollout import from_uint8, to_uint8
from footage.models import card, checkpoint
from footage.models.base import Batch, Generates, Method, PrivateClips, TrainsWithFeatures
from footage.models.card import TextNotes
from footage.models.device import upload
from footage.models.text.conditioning import CaptionReader, ReadsText, beside
from footage.training.accounting import History, guarantee, record, secret_of, spent, steps_left
from footage.training.cost import memory_is_full, memory_used
from footage.training.diagnostics import WARM_UP, judge_critics, judge_samples, remedies, sample_figures
from footage.training.engines import FabricEngine, ShardedEngine
from footage.training.plan import DEFAULT_CLIPS, TrainingPlan
from footage.training.processes import Processes
from footage.training.run_folder import (
    RunFolder,
    StatusWriter,
    drop_beyond,
    resume,
    snapshot_folder,
    write_config,
)
from footage.training.run_log import RunLog, plot_curves, write_samples
from footage.training.selection import BestModel, SelectionOptions
from footage.training.threads import ThreadTuner
from footage.trust.locks import lock_like

LOG_CLIPS = 500
"""Clips seen between two rows of figures."""
FIRST_ROWS = (50, 100, 200)
"""Clips seen at which there are rows before: a short training has curves too."""
COMPARED = 4
"""Held-out sources that generated samples are compared with, at least; what is cut from fewer varies too little."""
SAMPLES = 16
"""Clips on a sample sheet, at most; their seeds are 0, 1, 2 and so on."""
SAMPLE_PIXELS = 2**24
"""Pixels of all frames of the clips on a sheet, at most, unless there are two clips only."""
CALIBRATION = 256
"""Clips that a method looks at before its first step."""
FIRST_SHEET = 20.0
"""Seconds of training after which there is a first sample sheet, however few clips were seen."""
ONE_SIGNAL = 1.0
"""Seconds within which requests to stop count as one."""
RETRIES = 2
"""How often a run goes back to its last good state before it stops."""


@dataclass
class Progress:
    """How far a run is. Saved with the state."""

    clips_seen: int = 0
    seconds: float = 0.0
    """Time spent in the loop."""
    attempt: int = 0
    """How often the run went back to a good state; part of every seed."""
    sheet_seconds: float = field(default_factory=lambda: FIRST_SHEET)
    """Time spent in the loop from which on the next sample sheet is due."""
    history: History = field(default_factory=list)
    """What a private training has spent."""


@dataclass(frozen=True)
class Budget:
    """When a run ends; extending a run is asking for more. Whichever comes first counts."""

    clips: int | None = None
    """Clips seen, over the whole life of the run."""
    minutes: float | None = None
    """Minutes of training, over the whole life of the run."""

    def spent(self, progress: Progress) -> bool:
        """Whether the run is at its end."""
        by_clips = self.clips is not None and progress.clips_seen >= self.clips
        return by_clips or (self.minutes is not None and progress.seconds >= self.minutes * 60)

    def part(self, progress: Progress) -> float:
        """Return the part of the budget that is spent: of the minutes, or of the clips where no minutes are given."""
        if self.minutes is not None:
            return progress.seconds / (self.minutes * 60)
        assert self.clips is not None, "a budget has clips or minutes"
        return progress.clips_seen / self.clips


class Interrupt:
    """Turns Ctrl-C and a polite kill into a flag, so that the loop ends between two steps. A second Ctrl-C is final."""

    def __init__(self) -> None:
        self.requested, self.since = False, 0.0

    def __enter__(self) -> Interrupt:
        """Take the signals over, in the main thread; elsewhere they are not ours."""

        def request(number: int, frame: FrameType | None) -> None:
            # A terminal and torchrun's agent may both pass on the same one.
            if self.requested and time.monotonic() > self.since + ONE_SIGNAL:
                raise KeyboardInterrupt
            self.requested, self.since = True, time.monotonic()

        self._before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, request)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def step_seed(seed: int, clips_seen: int, attempt: int) -> int:
    """Mix what a step's random draws depend on into one seed (splitmix64's finaliser, Steele et al. 2014)."""
    mixed = (seed * 0x9E3779B97F4A7C15 + clips_seen * 0x8CB92BA72F3D8DD7 + attempt) % 2**64
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % 2**64
    return (mixed ^ (mixed >> 31)) % 2**63


def sheet_clips(clip: ClipConfig) -> int:
    """Return how many clips a sample sheet shows."""
    return max(2, min(SAMPLES, SAMPLE_PIXELS // (clip.frames * clip.height * clip.width)))


def first_clips(loader: Loader, count: int) -> Iterator[Tensor]:
    """Yield the first `count` training windows or a few more, batches of (B, C, T, H, W) in [-1, 1]."""
    for seen in range(0, count, loader.local):
        yield from_uint8(loader.batch(seen)[0])


def row_due(before: int, after: int) -> bool:
    """Whether a step from one count of clips to another ends in a row of figures, as the end of a training does."""
    return crossed(before, after, LOG_CLIPS) or any(before < clips <= after for clips in FIRST_ROWS)


def crossed(before: int, after: int, interval: int | None) -> bool:
    """Whether a count has reached a multiple of `interval`; never where there is none."""
    return interval is not None and before // interval != after // interval


class Trainer:
    """One run: its data, its method, its log, and the loop.

    Args:
        folder: the run folder; a state in it is taken up.
        begin_with: a model folder whose weights a new run begins with.
        choice: how the best model is chosen; None for not at all.
        processes: those that train together; the first one owns folder, budget and messages.
    """

    def __init__(
        self,
        plan: TrainingPlan,
        folder: RunFolder,
        budget: Budget,
        console: Console,
        begin_with: Path | None = None,
        choice: SelectionOptions | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.processes = processes = processes or Processes()
        self.config, self.source, self.note, self.place = plan.config, plan.source, plan.note, plan.place
        self.batch_size, self.folder, self.budget = plan.batch_size, folder, budget
        self.progress, self.saved_at = Progress(), 0.0
        threads = self.config.train.threads
        if processes.world > 1:  # each has its part of the cores
            threads = threads or torch.get_num_threads()
        self.threads = ThreadTuner(threads, self.place.device)
        self.sampled_at = self.measured_at = -1
        self.log = RunLog(folder, console, self.batch_size, silent=not processes.leads)
        self.status = StatusWriter(folder, self.place.device, budget.clips, budget.minutes) if processes.leads else None
        self.remedies = remedies(self.config.method)
        seed, frames = self.config.train.seed, self.config.clip.frames
        reads = plan.training_source
        part = {"frames": frames, "seed": seed, "rank": processes.rank, "world": processes.world}
        self.private = self.config.privacy if self.config.privacy.used else None
        near = self.config.text.near if self.config.text.used else 0.0
        self.loader = Loader(reads, "train", batch_size=self.batch_size, near=near, **part)
        if self.private is not None:
            size, secret, unit = self.batch_size, secret_of(folder), self.private.unit
            self.loader = PoissonLoader(reads, frames=frames, batch_size=size, secret=secret, unit=unit)
        self.batches = self.loader.batches(0)
        counts = Counter(unit.span.label for unit in self.loader.units)
        places = [self.source.labels.index(name) for name in self.note.labels]
        self.label_shares = tuple(counts[place] / len(self.loader.units) for place in places)
        self.classes = np.full(len(self.source.labels) + 1, -1)  # number in the source -> number in the model
        self.classes[places] = np.arange(len(places))
        self.samples = sheet_clips(self.config.clip)
        self.captions, self.said = self._captions(self.loader), TextNotes()
        if self.captions:
            texts = (caption for unit in self.loader.units for caption in unit.span.captions)
            self.said = TextNotes(vocabulary(texts), remembered(self.loader.captions, seed))
        self.heldout, whole = self._heldout(reads, self.batch_size), self._heldout(self.source, self.samples)
        self.heldout_captions = self._captions(self.heldout) if self.heldout else None
        choice = choice if processes.leads else None
        self.best = BestModel(choice, self.config, whole, folder.best, self.place.device) if choice else None
        fabric = processes.fabric(self.place.device)
        self.engine = ShardedEngine(fabric) if processes.sharded else FabricEngine(fabric)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.method: Method = self.config.trained_by(self.config, len(self.note.labels))
        few = self.private is None and isinstance(self.method.sampler(), Generates)
        least = COMPARED if few else 1  # what a private run shows is of clips that need no protection
        beside = self._heldout(self.source, self.samples, least)
        self.shown = beside or Loader(self.source, "train", frames=frames, batch_size=self.samples, seed=seed)
        self.begun, self.measure_every = processes.told((folder.state.exists(), choice and choice.every))
        self.trained_with = dict[str, str]()
        """Feature networks that trained the model, or that which it began with."""
        for path in (begin_with, folder.model):
            if path is not None and (path / "model.json").exists():
                self.trained_with |= card.read_info(path).trained_with
        if isinstance(self.method, TrainsWithFeatures):
            self.trained_with |= self.method.trained_with
        if not self.begun:
            every = Loader(reads, "train", frames=frames, batch_size=self.loader.local, seed=seed)
            self.method.calibrate(first_clips(every, CALIBRATION))
            if begin_with is not None:
                checkpoint.begin_with(begin_with, self.method)
        self.engine.adopt(self.method)
        if self.begun:
            self.restore()
        self.began_at = self.progress.clips_seen
        if self.private is not None:
            assert isinstance(self.loader, PoissonLoader)
            left = steps_left(self.progress.history, self.private, self.loader.rate)
            lasts = self.progress.clips_seen + left * self.batch_size
            self.budget = replace(budget, clips=min(lasts, budget.clips or lasts))
        if processes.leads:
            write_config(folder, self.config, self.note)

    def _captions(self, loader: Loader) -> CaptionReader | None:
        """Return a loader's captions, made ready; None where the model is told none."""
        if not self.config.text.used:
            return None
        kept = self.source.dataset.folder if isinstance(self.source, DatasetClips) else None
        return CaptionReader(loader.captions, self.config.text, kept)

    def _heldout(self, source: ClipSource, batch_size: int, least: int = 1) -> Loader | None:
        """Return a loader of clips that are never trained on; None where fewer than `least` sources have some.

        They are those of this length and with the model's labels.
        """
        seed, frames = self.config.train.seed, self.config.clip.frames
        try:
            loader = Loader(source, "heldout", frames=frames, batch_size=batch_size, seed=seed)
        except DatasetError:
            return None
        if self.note.labels:
            loader.units = [unit for unit in loader.units if self.classes[unit.span.label] >= 0]
        return loader if len({unit.span.source for unit in loader.units}) >= least else None

    def run(self) -> str:
        """Train until the budget is spent, a stop is asked for or no retry helps: done, interrupted, diverged."""
        config, clock = self.config.train, self.log.clock
        reals = torch.cat(list(first_clips(self.shown, self.samples)))[: self.samples]
        threads = self.threads
        with contextlib.closing(self), self.log as log, Interrupt() as interrupt, threads:
            self.rewind()
            while True:
                progress = self.progress
                before = progress.clips_seen
                # What the first process's clock says, and what any process was asked for, holds in all.
                due = (
                    self.budget.spent(progress),
                    clock.seconds >= self.saved_at + config.save_minutes * 60,
                    bool(config.sample_minutes) and clock.seconds >= progress.sheet_seconds,
                )
                asked = interrupt.requested or (self.status is not None and self.status.asked_to_stop)
                spent, save, show, stop = self.processes.most(*(self.processes.leads and d for d in due), asked)
                ended = "done" if spent else "interrupted" if stop else ""
                if not ended:
                    loaded = next(self.batches)
                    clock.lap("data")
                    batch = self.batch(loaded)
                    clock.lap("rest")
                    log.means.add(self.step(batch))
                    self.tell_threads(before, threads.took(clock.lap("step")))
                    progress.clips_seen += self.batch_size

                # What is due now; weights that are no longer finite are neither kept nor measured.
                seen = progress.clips_seen
                figures = self.processes.mean(log.means.take()) if row_due(before, seen) or ended == "done" else {}
                keep = crossed(before, seen, config.snapshot_clips)
                measure = crossed(before, seen, self.measure_every)
                finite = all(map(math.isfinite, figures.values()))
                if not finite or ((ended or save or keep or measure) and not self.finite()):
                    if stop or not self.go_back():
                        return "interrupted" if stop else "diverged"  # the last good state stands
                    continue

                if figures:
                    figures |= {"memory_gib": memory_used(self.place.device), "threads": self.threads.threads}
                    log.write(seen, figures)
                    log.terminal.warn(judge_critics(figures, self.config.gan.loss), self.remedies, seen)
                if show or crossed(before, seen, config.sample_clips):
                    self.sample(reals)
                    # At 20 and 40 seconds, at 80, and so on; at last every `sample_minutes`.
                    progress.sheet_seconds = clock.seconds + min(clock.seconds, config.sample_minutes * 60)
                if keep:
                    self.save_model(snapshot_folder(self.folder, seen), self.averaged())
                if measure:
                    self.choose()
                if ended or save:
                    self.save()
                if ended:
                    break
                text = f"{counted(seen, 'clip')} · {log.means.rate:.1f} clips/s"
                log.terminal.progress(self.budget.part(progress), text, self.place.device)
                clock.lap("rest")
                progress.seconds = clock.seconds
                self.report()

            if ended == "done":
                self.choose()
                self.sample(reals)
            self.processes.most(0)  # who has nothing left to do shows signs of life until the first one has measured
        return ended

    def report(self, **values: Any) -> None:
        """Write into the run folder how far the run is: every other second, or at once where there are values."""
        if self.status is not None and (values or self.status.due):
            self.status.tell(
                clips=self.progress.clips_seen,
                seconds=self.progress.seconds,
                part=min(1.0, self.budget.part(self.progress)),
                clips_per_second=self.log.means.rate,
                memory_gib=memory_used(self.place.device),
                **values,
            )

    def tell_threads(self, seen: int, change: str) -> None:
        """Note with how many threads steps are made from here on, where that has changed."""
        if change:
            self.log.write(seen, {"threads": self.threads.threads})
            self.log.terminal.say(f"at {counted(seen, 'clip')} {change}")

    def batch(self, loaded: LoadedBatch) -> Batch:
        """Bring a loaded batch to the device; with held-out clips beside it where a row of figures follows."""
        rng, seen = torch.Generator(), self.progress.clips_seen
        rng.manual_seed(step_seed(self.config.train.seed, seen, self.progress.attempt))
        if isinstance(self.loader, PoissonLoader):
            clips = from_uint8(loaded.clips, self.place.device)
            blank = clips.new_zeros(self.batch_size, *clips.shape[1:])
            private = PrivateClips(clips, self.loader.draws(seen, 1))
            return Batch(blank, None, rng, self.batch_size, private=private)
        due = self.heldout is not None and row_due(seen, seen + self.batch_size)
        heldout = heldout_captions = captions = crops = None
        if self.heldout is not None and due:
            heldout = self._on_device(self.heldout.batch(seen))
            if self.heldout_captions is not None:
                heldout_captions = self.heldout_captions.batch(self.heldout.drawn_captions(seen), self.place.device)
        if self.captions is not None:
            assert loaded.captions is not None
            captions = self.captions.batch(loaded.captions, self.place.device)
        if loaded.crops is not None:
            crops = from_uint8(loaded.crops[:, None], self.place.device)[:, :, 0]  # B s s C -> B C s s
        first = self.processes.rank * self.loader.local
        return Batch(
            *self._on_device(loaded[:2]),
            rng,
            self.batch_size,
            first,
            crops=crops,
            heldout=heldout,
            captions=captions,
            heldout_captions=heldout_captions,
        )

    def _on_device(self, loaded: tuple[Pixels, Labels]) -> tuple[Tensor, Tensor | None]:
        frames, classes = loaded
        labels = upload(torch.from_numpy(self.classes[classes]), self.place.device) if self.note.labels else None
        return from_uint8(frames, self.place.device), labels

    def step(self, batch: Batch) -> dict[str, Tensor]:
        if self.private is not None:
            assert isinstance(self.loader, PoissonLoader)
            record(self.progress.history, self.private.noise, self.loader.rate)
        # Autocast is ours and not Fabric's, which allows no gradient inside a step (the penalties) beside its own.
        # Its cache is off: it would go on with a critic's weights from before their update.
        with torch.autocast(self.place.device, torch.bfloat16, enabled=self.place.bf16, cache_enabled=False):
            return self.method.step(batch, self.progress.clips_seen, self.engine)

    def finite(self) -> bool:
        """Whether every weight, trained or averaged, is finite, in all processes."""
        averages = (p for average in self.method.averages.values() for p in average.module.parameters())
        weights = self.engine.own([*self.method.nets.parameters(), *averages])
        finite = all(math.isfinite(float(norm)) for norm in torch._foreach_norm(weights))
        return not any(self.processes.most(not finite))

    def averaged(self) -> dict[str, nn.Module]:
        """Return the averaged networks, whole: in the first process, once all have asked."""
        return {name: self.engine.whole_net(average.module) for name, average in self.method.averages.items()}

    def sample(self, reals: Tensor) -> None:
        """Write a sheet and a preview of the averaged model, judge them beside real clips, and plot the curves."""
        seen, names = self.progress.clips_seen, self.note.labels
        if seen == self.sampled_at:
            return
        self.sampled_at, nets = seen, self.averaged()
        if not self.processes.leads:
            return
        sampler = self.method.sampler_of(self.config, nets)
        labels, texts = torch.arange(len(reals)) % len(names) if names else None, list[str]()
        if isinstance(sampler, ReadsText):
            texts = [(*self.shown.span(number).captions, "")[0] for number in range(len(reals))]
            labels = beside(labels, len(names), sampler.text.vectors(texts))
        shown = sampler.preview(reals, labels)
        clips, captions = [], []
        for number in range(max(1, len(reals) // len(shown))):
            label = f" · {names[number % len(names)]}" if names else ""
            label += f" · {texts[number]}" if texts else ""
            for kind, previews in shown.items():
                clips.append(to_uint8(previews[number : number + 1])[0])
                captions.append(f"{kind} {number}{label}")
        metadata = {"run": self.folder.path.name, "clips_seen": seen}
        volume = self.source.volume if isinstance(self.source, HasVolumes) else None
        write_samples(self.folder, clips, captions, seen, self.source.fps, metadata, len(shown), volume)
        fakes, past = next(iter(shown.values())), sampler.given
        figures = sample_figures(fakes.cpu()[:, :, past:], reals[:, : fakes.shape[1], past:])
        self.log.write(seen, figures)
        self.log.terminal.warn(judge_samples(figures), self.remedies, seen)
        plot_curves(self.folder.metrics, self.folder.path / "curves.png", self.method.curves)

    def choose(self) -> None:
        """Measure the averaged model beside held-out clips and keep it where it is the best; outside the budget."""
        best, seen = self.best, self.progress.clips_seen
        if self.measure_every is None or self.measured_at == seen:
            return
        self.measured_at, nets = seen, self.averaged()
        if best is None:  # another process measures
            return
        with self.log.paused():
            value = best.measure(self.method.sampler_of(self.config, nets), self.model_info())
            self.log.write(seen, best.row(value))
            better = best.is_best(value)
            if better:
                self.save_model(self.folder.best, nets, best.note(value))
            self.log.terminal.say(
                f"at {counted(seen, 'clip')} {best.describe(value)}{', the best so far' if better else ''}"
            )

    def save(self) -> None:
        """Write the resumable state and the model, each atomically; the first process does."""
        self.save_state()
        self.save_model(self.folder.model, self.averaged())
        self.saved_at = self.log.clock.seconds

    def save_state(self) -> None:
        """Write the resumable state, atomically."""
        state = self.engine.whole(checkpoint.training_state(self.method))
        if self.processes.leads:
            checkpoint.save_state(self.folder.state, state, vars(self.progress))

    def save_model(self, folder: Path, nets: Mapping[str, nn.Module], extra: dict[str, Any] | None = None) -> None:
        """Write the `averaged` networks, atomically; `extra` stands in their model.json."""
        if self.processes.leads:
            checkpoint.save_model(folder, self.model_info(extra), nets)

    def model_info(self, extra: dict[str, Any] | None = None) -> card.ModelInfo:
        extra, content = extra or {}, self.note.content_hash
        if self.private is not None:  # a hash would tell whoever has the very clips
            extra, content = extra | {"privacy": guarantee(self.private, self.progress.history)}, "0" * 64
        return card.ModelInfo(
            name=self.folder.path.name,
            config=self.config,
            labels=self.note.labels,
            label_shares=self.label_shares,
            fps=self.source.fps,
            dataset=self.note.name,
            dataset_hash=content,
            clips_seen=self.progress.clips_seen,
            trained_with=self.trained_with,
            text=self.said,
            volume=self.source.volume if isinstance(self.source, HasVolumes) else None,
            extra=extra,
        )

    def restore(self) -> None:
        """Put the saved state into networks, averages, optimisers and progress: as each is told, one by one."""
        saved, told = checkpoint.read_state(self.folder.state) if self.processes.leads else None, self.processes.told
        state: dict[str, Any] = {"progress": told(saved and saved["progress"])}
        for kind, ours in (("nets", self.method.nets), ("averages", self.method.nets), ("optimizers", {})):
            state[kind] = {}
            for name in told(saved and list(saved[kind])):
                buffers = dict(ours[name].named_buffers()) if name in ours else ()
                state[kind][name] = self.engine.part(told(saved and saved[kind][name]), buffers)
        checkpoint.restore_nets(state, self.method)
        checkpoint.restore_optimizers(state, self.method)
        self.progress = Progress(**state["progress"])

    def rewind(self) -> None:
        """Begin where `progress` is: drop rows and models beyond it, and read clips from there on."""
        seen, self.saved_at, self.sampled_at, self.measured_at = self.progress.clips_seen, self.progress.seconds, -1, -1
        if not self.begun:
            self.save_state()  # something to go back to
            self.begun = True
        if self.processes.leads:
            drop_beyond(self.folder, seen)
        self.batches.close()
        self.batches = self.loader.batches(seen)
        self.log.rewind(seen, self.progress.seconds)

    def go_back(self) -> bool:
        """Return to the last good state with other random draws; False when that was tried often enough."""
        attempt, seconds = self.progress.attempt + 1, self.progress.seconds
        if attempt > RETRIES or self.private is not None:  # what was tried in vain would be spent too
            return False
        self.restore()
        self.progress.seconds, self.progress.attempt = seconds, attempt
        self.log.terminal.warning(
            f"a figure is no longer finite; going back to {counted(self.progress.clips_seen, 'clip')} with other "
            f"random draws (attempt {attempt} of {RETRIES}). If it happens again: {self.remedies['diverged']}"
        )
        self.rewind()
        return True

    def close(self) -> None:
        self.batches.close()

    def summary(self, reason: str) -> list[str]:
        """Return what there is to say at the end: how far it is, where the time went, which model is the best."""
        path, progress, shares = shlex.quote(str(self.folder.path)), self.progress, self.log.clock.shares()
        spent_on = (
            f"; outside the training step: {shares['outside']:.1%} of the time, waiting for data {shares['data']:.1%}"
        )
        if progress.clips_seen == self.began_at:
            spent_on = ", all of them before: nothing was left to do"
        lines = [
            f"{counted(progress.clips_seen, 'clip')} in {progress.seconds / 60:.1f} minutes{spent_on}",
            f"stopped and saved in {path}: run the same command again to go on"
            if reason == "interrupted"
            else f"model in {path}/model; to go on training, give more --clips or --minutes",
        ]
        if isinstance(self.method.sampler(), Generates) and reason != "interrupted":
            early = f" (before {WARM_UP:,} clips a model mostly shows colours and places)"
            made = f"new clips: footage generate {path} --to clips"
            lines.append(made + early * (progress.clips_seen < WARM_UP))
        if self.private is not None:
            epsilon = spent(progress.history, self.private.delta)
            lines.append(
                f"privacy: ε {epsilon:.3f} of {self.private.epsilon:g} spent, at δ {self.private.delta:g} for each "
                f"{self.private.unit}; it holds for {path}/model, and not for what else is in {path}"
            )
        if self.best is not None and self.best.seconds:
            lines.append(f"{self.best.seconds / 60:.1f} minutes of measuring are not counted above")
        if self.best is not None and (known := self.best.best_so_far()) is not None:
            seen = card.read_info(self.folder.best).clips_seen
            copies = f", {known['copies']['made']:.1%} near-copies" if "copies" in known else ""
            lines += [
                f"best model in {path}/best: {self.best.name} {known['value']:.4g}{copies} at {counted(seen, 'clip')}, "
                f"on the {known['clips']} windows and seeds that it was chosen by, which flatters it.",
                "For a figure to report take fresh samples: "
                f"footage evaluate {path}/best {shlex.quote(self.note.data)}",
            ]
        return lines


def train(
    plan: TrainingPlan,
    folder: RunFolder,
    *,
    clips: int | None,
    minutes: float | None,
    console: Console,
    begin_with: Path | None = None,
    choice: SelectionOptions | None = None,
    processes: Processes | None = None,
) -> bool:
    """Train in a run folder until the budget is spent, a stop is asked for, or it diverges; then say how to go on.

    A new run may begin with the weights of a model folder. With `choice` the best model by a figure is kept beside the
    last one.

    Returns:
        Whether it was stopped by the user.

    Raises:
        TrainingError: the run cannot go on; the last good state is kept.
    """
    leads = processes is None or processes.leads
    known = [place for place in (plan.note.data, plan.note.guide, begin_with) if place]
    if leads and (model := lock_like(folder.path, known)) is not None:
        console.print(f"locked   with the key of {model}")
    with folder.lock() if leads else contextlib.nullcontext():
        changes = resume(folder, plan.config, plan.note) if leads else []
        for place in (folder.path, folder.samples, folder.model, folder.state.parent) if leads else ():
            files.remove_partial(place)
        budget = Budget(clips if clips or minutes else DEFAULT_CLIPS, minutes)
        try:
            trainer = Trainer(plan, folder, budget, console, begin_with, choice, processes)
            if trainer.progress.clips_seen:
                console.print(f"going on with {folder.path} at {counted(trainer.progress.clips_seen, 'clip')}")
            for line in changes:
                console.print("changed:", style="yellow", end=" ")
                console.print(line)
            trainer.report(state="running")
            try:
                reason = trainer.run()
            except Exception as error:
                trainer.report(state="failed", problem=str(advice(error, folder.path) or error)[:500])
                raise
            trainer.report(state=reason)
        except (RuntimeError, OSError) as error:
            raise advice(error, folder.path) or error from error
    if reason == "diverged":
        raise TrainingError(
            f"training diverged at {counted(trainer.progress.clips_seen, 'clip')} and could not recover; "
            f"the last good state is kept in {folder.path}",
            f"give another --out, and: {trainer.remedies['diverged']}",
        )
    for line in trainer.summary(reason) if leads else ():
        console.print(line)
    return reason == "interrupted"


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
