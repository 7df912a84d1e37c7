"""Whether what a model makes is new: as far from the training clips as real clips that it has never seen are.

Windows of a clip, each as long as the training's, are compared with windows of all training clips: in small copies of
their pixels, and in random features. The distances are those of `evaluation.memorisation`, at a size of SIDE at most.
A limit comes from the same distances of held-out clips: a quantile of them, see NEARER. What comes nearer to a training
clip than that, in any window and in either space, is a copy, or close to one.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from footage.data.clips import BUILT_IN, ClipSource, Span, Window, every_window, open_clips, pace_of
from footage.errors import ConfigError, DatasetError, counted
from footage.generation.clip import Clip, Frames
from footage.generation.rollout import from_uint8
from footage.media.reader import fit_frames
from footage.metrics.clip_vectors import LEAST, SEEDS, SHOTS, RandomFeatures, small_copies
from footage.metrics.distances import nearest
from footage.models.card import ModelInfo
from footage.models.requests import TRAINED_ON

NEARER = 0.05
"""Quantile of the held-out clips' distances that is the limit. A clip of W windows has W chances of coming too near:
its limit is the quantile NEARER / W, so that of unseen real clips, too, that part at most would be left out."""
SIDE = 64
"""Longest side of the frames that are compared."""
MOST = 8_192
"""Training windows that are compared, at most; all windows of all clips where there are no more."""
UNSEEN = 128
"""Held-out windows, at most."""
OTHERS = 256
"""Training windows at random whose features are compared too, beside those nearest in pixels."""
SHORTLIST = 4
"""Training windows, nearest in pixels to a window, whose features are compared."""
TRIES = 10
"""Seeds that are tried for each clip that is asked for."""
HOPS = 4
"""Windows of a clip begin at every so many-th part of a window."""
AT_ONCE = 16
"""Windows that are compared at once, and frames that are read."""

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Nearness:
    """How near a clip comes to the training clips in one space."""

    space: str
    """`pixels` or `features`."""
    distance: float
    """Of the window that comes nearest: root mean square, of pixels in levels of 255, of features in deviations."""
    limit: float
    """The distance below which it is too near."""
    start: int
    """First frame of that window within the clip."""
    training: str
    """The training clip that is nearest to it, and the frame that begins there."""

    @property
    def new(self) -> bool:
        return self.distance >= self.limit


class NoveltyCheck:
    """Training clips, and how near to them unseen ones are: ready to judge clips of one length and rate.

    Memory: MOST windows of 4 small frames in bytes, and their features where those were asked for; no frames.

    Args:
        source: the clips that a model has learned from; held-out ones give the limits, where there are any.
        info: the model.
        frames: length of the clips that are judged.
        rate: frames of the model's time from one frame of these to the next.
        watch: is called while training clips are looked at, which takes up to minutes; what it raises ends that.

    Raises:
        DatasetError: there is nothing to compare with, or held-out clips are copies of training clips.
    """

    def __init__(
        self,
        source: ClipSource,
        info: ModelInfo,
        frames: int,
        rate: float = 1.0,
        watch: Callable[[], object] = lambda: None,
    ) -> None:
        clip = info.config.clip
        self.source, self.frames, self._watch = source, frames, watch
        self.length = max(1, min(clip.frames, int((frames - 1) * rate + 1e-9) + 1))
        """Frames of a window, in the model's time."""
        shrink = min(1.0, SIDE / max(clip.height, clip.width))
        self.height, self.width = (max(1, round(side * shrink)) for side in (clip.height, clip.width))
        self.channels = clip.channels
        self.mirrored = info.config.augment.flip and info.config.augment.probability > 0
        steps = np.arange(self.length)
        self.picks = np.floor(steps / rate + 0.5).astype(np.int64)
        """Frames of a clip that its first window is made of, (T,)."""
        self._offsets = np.floor(steps * source.fps / info.fps + 0.5).astype(np.int64)  # the same of a training clip
        sees = all(n >= least for n, least in zip((self.length, self.height, self.width), LEAST, strict=True))
        self._nets = [RandomFeatures(self.channels, seed) for seed in SEEDS] if sees else []
        self._windows, self.there = self._cut("train", MOST)
        unseen = self._cut("heldout", UNSEEN)[0]
        self.within = not unseen
        """Whether limits come from training windows, each beside those of other clips, for want of held-out ones."""
        unseen = unseen or self._windows[:UNSEEN]
        self.unseen = len(unseen)
        if not self._windows or (self.within and len({window.span.index for window in self._windows}) < 2):
            raise DatasetError(
                f"{source.name} has too few clips of {counted(int(self._offsets[-1]) + 1, 'frame')} to say what is new",
                "give --novel another data set, ask for fewer --frames, or leave --novel out",
            )
        self._small = self._small_windows(self._windows)
        self._known: dict[int, Vectors] = {}
        self._prepare(unseen)

    def _cut(self, split: Any, most: int) -> tuple[list[Window], int]:
        reach = int(self._offsets[-1]) + 1
        spans = [span for span in self.source.spans(split) if span.frames >= reach]
        return every_window(spans, reach, pace_of(spans, reach, most), most, seed=0)

    def _prepare(self, unseen: Sequence[Window]) -> None:
        """Find out how near unseen windows come to the training's, which sets the scale of features and the limits."""
        groups = None
        if self.within:
            own, every = ([window.span.index for window in windows] for windows in (unseen, self._windows))
            groups = torch.tensor(own), torch.tensor(every)
        small, features = list[npt.NDArray[np.uint8]](), list[Vectors]()
        for first in range(0, len(unseen), AT_ONCE):
            frames = np.concatenate(list(self._read(unseen[first : first + AT_ONCE])))
            small.append(np.stack([small_copies(side) for side in self._sides(frames)]))
            if self._nets:
                features.append(np.stack([self._features(side) for side in self._sides(frames)]))
        k = min(SHORTLIST, len(self._windows))
        found = [nearest(side, self._small, k, groups=groups) for side in np.concatenate(small, axis=1)]
        gaps = torch.stack([gap[:, 0] for gap, _ in found]).amin(dim=0)
        self._distances = {"pixels": gaps[torch.isfinite(gaps)] / self._small.shape[1] ** 0.5}
        if self._nets:
            rng = np.random.Generator(np.random.Philox(key=[0, 0x40E1]))
            near = np.unique(torch.cat([numbers.flatten() for _, numbers in found]).numpy())
            self._fixed = np.union1d(near[near >= 0], rng.permutation(len(self._windows))[:OTHERS])
            training = self._training_features(self._fixed)
            self._scale = np.maximum(training.std(axis=0), 1e-6) * training.shape[1] ** 0.5
            groups = None if groups is None else (groups[0], groups[1][torch.from_numpy(self._fixed)])
            training, queries = training / self._scale, np.concatenate(features, axis=1) / self._scale
            gaps = torch.stack([nearest(side, training, groups=groups)[0][:, 0] for side in queries]).amin(dim=0)
            self._distances["features"] = gaps[torch.isfinite(gaps)]
        for distances in self._distances.values():
            if not len(distances) or float(distances.quantile(NEARER)) <= 0:
                raise DatasetError(
                    f"unseen clips of {self.source.name} are copies of its training clips, and do not tell what is new",
                    "ingest again: near-duplicates are left out then",
                )

    def _sides(self, windows: Frames) -> list[Frames]:
        """Return windows (B, T, h, w, C), and mirrored ones where the model has learned from such."""
        return [windows, np.flip(windows, 3)] if self.mirrored else [windows]

    def limit(self, space: str, windows: int) -> float:
        """Return the least distance to the training clips that a clip of so many windows may have in a space."""
        return float(self._distances[space].quantile(NEARER / windows))

    def starts(self) -> list[int]:
        """Return where in a clip windows begin: at every quarter of a window, and the last one at its end."""
        last = self.frames - int(self.picks[-1]) - 1
        hop = max(1, (int(self.picks[-1]) + 1) // HOPS)
        return sorted({*range(0, last + 1, hop), last})

    def judge(self, chunks: Iterable[Frames]) -> dict[str, Nearness]:
        """Return how near a clip, chunks uint8 (T, H, W, C), comes to the training clips in each space.

        What follows a window that comes too near is not made, and does not count. Memory does not grow with length.
        """
        count = len(self.starts())
        worst: dict[str, Nearness] = {}
        for starts, windows in self._windows_of(chunks):
            for side in self._sides(windows):
                gaps, numbers = nearest(small_copies(side), self._small, min(SHORTLIST, len(self._windows)))
                found = {"pixels": (gaps[:, 0] / self._small.shape[1] ** 0.5, numbers[:, 0])}
                if self._nets:
                    chosen = np.union1d(self._fixed, numbers.numpy())
                    gaps, numbers = nearest(
                        self._features(side) / self._scale, self._training_features(chosen) / self._scale
                    )
                    found["features"] = gaps[:, 0], torch.from_numpy(chosen)[numbers[:, 0]]
                for space, (gaps, numbers) in found.items():
                    place = int(gaps.argmin())
                    distance, window = float(gaps[place]), self._windows[int(numbers[place])]
                    if space not in worst or distance < worst[space].distance:
                        name = window.span.name or f"{self.source.name} {window.span.index}"
                        training = f"{name}, frame {window.start}"
                        worst[space] = Nearness(space, distance, self.limit(space, count), starts[place], training)
            if not all(near.new for near in worst.values()):
                break
        return worst

    def _windows_of(self, chunks: Iterable[Frames]) -> Iterator[tuple[list[int], Frames]]:
        """Yield first frames and windows (B, T, h, w, C) of a clip at the compared size, a few at a time."""
        waiting = self.starts()
        offsets, back = np.unique(self.picks, return_inverse=True)
        wanted, open_windows = set(offsets.tolist()), dict[int, list[Frames]]()
        done: list[tuple[int, Frames]] = []
        number = 0
        for chunk in chunks:
            for frame in self._fitted(chunk):
                if waiting and waiting[0] == number:
                    open_windows[waiting.pop(0)] = []
                for start, frames in list(open_windows.items()):
                    if number - start in wanted:
                        frames.append(frame)
                    if len(frames) == len(offsets):
                        done.append((start, np.stack(open_windows.pop(start))[back]))
                number += 1
            if len(done) >= AT_ONCE:
                yield [start for start, _ in done], np.stack([window for _, window in done])
                done = []
        if done:
            yield [start for start, _ in done], np.stack([window for _, window in done])

    def _fitted(self, frames: Frames) -> Frames:
        """Return frames (T, H, W, C) at the compared size."""
        return fit_frames(frames, height=self.height, width=self.width, channels=self.channels, fit="crop")

    def _read(self, windows: Sequence[Window]) -> Iterator[Frames]:
        """Yield windows of the data set at the compared size, (1, T, h, w, C) each."""
        for window in windows:
            frames = self.source.read(window.span.index, window.start, int(self._offsets[-1]) + 1)
            yield self._fitted(np.ascontiguousarray(frames[self._offsets]))[None]

    def _small_windows(self, windows: Sequence[Window]) -> npt.NDArray[np.uint8]:
        """Return the small copies of windows, (N, D); each frame is read once.

        A small copy is that of the window's frames at equal steps, one after the other.
        """
        shots = self._offsets[np.linspace(0, self.length - 1, min(SHOTS, self.length)).round().astype(int)]
        by_span: dict[Span, list[int]] = {}
        for number, window in enumerate(windows):
            by_span.setdefault(window.span, []).append(number)
        vectors: dict[int, npt.NDArray[np.uint8]] = {}
        for span, numbers in by_span.items():
            self._watch()
            wanted = sorted({windows[number].start + int(shot) for number in numbers for shot in shots})
            small: dict[int, npt.NDArray[np.uint8]] = {}
            for _, run in itertools.groupby(enumerate(wanted), key=lambda pair: pair[1] - pair[0]):
                following = [frame for _, frame in run]
                for first in range(0, len(following), AT_ONCE):
                    part = following[first : first + AT_ONCE]
                    frames = self._fitted(np.ascontiguousarray(self.source.read(span.index, part[0], len(part))))
                    copies = small_copies(frames[:, None])  # T H W C -> T 1 H W C: each frame a clip by itself
                    small |= dict(zip(part, copies, strict=True))
            for number in numbers:
                vectors[number] = np.concatenate([small[windows[number].start + int(shot)] for shot in shots])
        return np.stack([vectors[number] for number in range(len(windows))])

    def _features(self, windows: Frames) -> Vectors:
        """Return the random features (B, D) of windows (B, T, h, w, C), a few at a time."""
        parts = []
        for first in range(0, len(windows), AT_ONCE):
            self._watch()
            clips = from_uint8(np.ascontiguousarray(windows[first : first + AT_ONCE]))
            parts.append(torch.cat([net(clips) for net in self._nets], dim=1).numpy())
        return np.concatenate(parts)

    def _training_features(self, numbers: npt.NDArray[np.int64]) -> Vectors:
        """Return the random features (N, D) of some training windows, by their numbers; each is computed once."""
        missing = [number for number in numbers.tolist() if number not in self._known]
        for first in range(0, len(missing), AT_ONCE):
            part = missing[first : first + AT_ONCE]
            frames = np.concatenate(list(self._read([self._windows[number] for number in part])))
            self._known |= dict(zip(part, self._features(frames), strict=True))
        return np.stack([self._known[number] for number in numbers.tolist()])

    def note(self, found: dict[str, Nearness]) -> dict[str, Any]:
        """Return what the metadata of a clip say of the check that it has passed; plain values."""
        nearness = dict[str, float]()
        for name, near in found.items():
            nearness |= {f"{name}_distance": round(near.distance, 4), f"{name}_limit": round(near.limit, 4)}
        return {
            "dataset": self.source.name,
            "dataset_sha256": self.source.content_hash,
            "training_windows": len(self._windows),
            "unseen_windows": self.unseen,
            "quantile": NEARER,
            **nearness,
        }


@dataclass(frozen=True)
class LeftOut:
    """A clip that came too near to the training clips."""

    seed: int
    near: Nearness
    """In the space in which it did."""


class NovelClips(Iterator[Clip]):
    """The clips among those of successive seeds that are new, until there are as many as were asked for.

    A clip is made twice: once to be judged, once when it is looked at. `left_out` grows meanwhile.

    Args:
        clips: clips of successive seeds; TRIES for each that is asked for, at most.
        check: what judges them.
        count: how many are asked for.
        tell: is told where there are fewer.
    """

    def __init__(
        self, clips: Iterator[Clip], check: NoveltyCheck, count: int, tell: Callable[[str], object] = warnings.warn
    ) -> None:
        self.check, self.count = check, count
        self.left_out: list[LeftOut] = []
        self.made = 0
        """New clips that there were."""
        self.watch: Callable[[], object] = lambda: None
        """Is called before each clip that is judged; what it raises ends the search."""
        self._clips, self._tell = clips, tell

    def __next__(self) -> Clip:
        for clip in self._clips if self.made < self.count else ():
            self.watch()
            found = self.check.judge(clip.chunks())
            if near := [near for near in found.values() if not near.new]:
                self.left_out.append(LeftOut(clip.metadata["seed"], near[0]))
                continue
            self.made += 1
            return replace(clip, metadata={**clip.metadata, "novel": self.check.note(found)})
        if self.made == self.count:
            raise StopIteration
        tried = counted(self.made + len(self.left_out), "seed gives new clips", "seeds give new clips")
        problem = f"{self.made} of {tried}, {self.count} were asked for"
        remedy = "train on more clips or for less long, see train --evaluate-metric copies; or leave novel out"
        if not self.made:
            raise ConfigError(problem, remedy)
        self._tell(f"{problem}: {remedy}")
        raise StopIteration

    def summary(self) -> str:
        """Say how many clips were left out, and which seeds."""
        data = self.check.source.name
        if not self.left_out:
            return f"none of {counted(self.made, 'clip')} comes nearer to training clips of {data} than unseen clips do"
        seeds = ", ".join(str(entry.seed) for entry in self.left_out[:20])
        more = f" and {len(self.left_out) - 20} more" if len(self.left_out) > 20 else ""
        return (
            f"left out: {len(self.left_out)} of {counted(self.made + len(self.left_out), 'clip')}, nearer to the "
            f"training clips of {data} than unseen clips are (seeds {seeds}{more})"
        )


def open_training_clips(
    novel: str, folder: Path, info: ModelInfo, tell: Callable[[str], object] = warnings.warn
) -> ClipSource:
    """Open the data set that clips are to be new beside: a data set, or TRAINED_ON for what the model's run names.

    Args:
        novel: a dataset folder, the name of a built-in data set, or TRAINED_ON.
        folder: the model folder, in a run or alone.
        info: the model.
        tell: is told where the model has learned from other clips.

    Raises:
        ConfigError: it is not known where the data set is, or it has changed since.
        DatasetError: there is no such data set.
    """
    given = novel
    if novel == TRAINED_ON:
        given = info.dataset if info.dataset in BUILT_IN else ""
        for run in list(folder.resolve().parents)[:2]:  # the run of model/ and best/, of snapshots/000016000/
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                config = json.loads((run / "config.json").read_text(encoding="utf-8"))
                given = given or str(config["data"]["data"])
        if not given:
            raise ConfigError(
                f'{info.name} does not say where its data set "{info.dataset}" is', "give the data set: --novel DATASET"
            )
    source = open_clips(given, info.config.clip)
    if source.content_hash != info.dataset_hash:
        if novel == TRAINED_ON:
            raise ConfigError(
                f"{given} has changed since {info.name} learned from it", "give the data set: --novel DATASET"
            )
        tell(
            f"{info.name} learned from other clips than {given}: whether it repeats those is not known, only whether "
            "it repeats these"
        )
    return source
