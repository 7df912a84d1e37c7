"""The clips of one side of an evaluation, whatever they come from: read, generated, or made out of others.

Which windows of real clips are read is a function of protocol and seed. A set of clips has a fixed order. Any row can
be had again by its number; batches come in whatever order is quickest.
"""

from __future__ import annotations

import hashlib
import typing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from footage import __version__
from footage.data.clip_folder import ClipFolder
from footage.data.clips import ClipSource, DatasetClips, Labels, Span, Window
from footage.data.store import Frames
from footage.evaluation.features import batch_of
from footage.evaluation.protocols import Protocol
from footage.files import json_digest
from footage.generation.rollout import draw_caption, draw_label, from_uint8, to_uint8, videos
from footage.media.geometry import Fit
from footage.media.reader import fit_frames
from footage.models.base import Generates, Sampler
from footage.models.card import ModelInfo

BATCH = 16
"""Clips that are read or made at once, where they are small: see `batch_of`."""


class TrainedModel(typing.Protocol):
    """What makes clips: a model that was loaded, or one that is being trained."""

    @property
    def sampler(self) -> Sampler:
        """What it makes clips with."""

    @property
    def info(self) -> ModelInfo:
        """What it is; the weights' SHA-256 tells its clips from those of any other."""


def draw_windows(
    spans: Sequence[Span], protocol: Protocol, count: int, seed: int, stride: int | None = None
) -> list[Window]:
    """Draw windows in random order.

    With one window a clip there are as many as there are clips, at most. Of stretches there are always `count`: each
    comes once before any comes again, with another start. All clips must be long enough, and the protocol's number of
    frames known; every `stride`-th frame counts, None for the protocol's own.
    """
    assert protocol.frames is not None
    reach = (protocol.frames - 1) * (stride or protocol.stride) + 1
    units = [(span, 0, span.frames - reach + 1) for span in spans]  # a clip, its first start, how many there are
    if protocol.windows == "stretches":
        units = [unit for span in spans for unit in stretches(span, reach)]
    if not units:
        return []
    windows: list[Window] = []
    epochs = 1 if protocol.windows == "one" else -(-count // len(units))
    for epoch in range(epochs):
        rng = np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[0, 0, 0, 0xC11B5]))
        for number in rng.permutation(len(units))[: count - len(windows)]:
            span, first, starts = units[int(number)]
            at = {"random": int(rng.integers(starts)), "first": 0, "middle": starts // 2}[protocol.start]
            windows.append(Window(span, first + at))
    return windows


def stretches(span: Span, reach: int) -> list[tuple[Span, int, int]]:
    """Divide the starts of a clip's windows of `reach` frames into about as many parts as windows fit in."""
    starts = span.frames - reach + 1
    parts = max(1, round(starts / reach))
    edges = [starts * part // parts for part in range(parts + 1)]
    return [(span, edges[part], edges[part + 1] - edges[part]) for part in range(parts)]


def halve_clips(spans: Sequence[Span], seed: int) -> tuple[list[Span], list[Span]]:
    """Divide clips into two sets without a common clip, label by label."""
    rng = np.random.Generator(np.random.Philox(key=[seed, 0xF1002]))
    order = sorted(zip(rng.permutation(len(spans)).tolist(), spans, strict=True), key=lambda x: (x[1].label, x[0]))
    return [span for _, span in order[::2]], [span for _, span in order[1::2]]


@dataclass(frozen=True)
class ClipShape:
    """What all clips that are compared have in common: frames of a window, height and width in pixels."""

    frames: int
    height: int
    width: int
    channels: int
    """1 or 3."""
    fit: Fit = "crop"
    """How frames of another shape are fitted in."""

    def fitted(self, clip: Frames) -> Frames:
        """Return a clip (T, H, W, C) with frames of this size."""
        return fit_frames(clip, height=self.height, width=self.width, channels=self.channels, fit=self.fit)


class ClipSet(typing.Protocol):
    """A set of clips in a fixed order."""

    digest: str
    """Identifies every pixel of it."""
    count: int
    shape: ClipShape
    labels: Labels
    """Class of each, (N,), or -1."""
    sources: Labels
    """Number of what each was cut from, (N,): windows of one file are not independent of each other."""
    indices: Labels
    """Number of the clip that each is a window of, (N,)."""

    part: int
    """Clips that have to be read together; 1 for any number."""

    def batches(self, rows: range) -> Iterator[tuple[Labels, Frames]]:
        """Yield row numbers (B,) and clips uint8 (B, T, H, W, C), until each of `rows` has come once."""

    def named(self, row: int) -> tuple[str, int]:
        """Return the name of a clip and the first frame of its window."""

    def files(self, rows: range) -> Iterable[Path]:
        """Return the files that some rows are read from."""


def in_batches(clips: Iterable[tuple[int, Frames]]) -> Iterator[tuple[Labels, Frames]]:
    """Yield numbers and clips (T, H, W, C), which come one by one, in batches (B,) and (B, T, H, W, C)."""
    numbers, waiting = list[int](), list[Frames]()
    for number, clip in clips:
        numbers.append(number)
        waiting.append(clip)
        if len(waiting) == batch_of(clip.nbytes, BATCH):
            yield np.array(numbers), np.stack(waiting)
            numbers, waiting = [], []
    if waiting:
        yield np.array(numbers), np.stack(waiting)


def one_clip(clips: ClipSet, row: int) -> Frames:
    """Return one clip of a set, uint8 (T, H, W, C)."""
    ((_, (clip,)),) = clips.batches(range(row, row + 1))
    return np.asarray(clip)


def first_clips(clips: ClipSet, count: int) -> list[Frames]:
    """Return the first clips of a set, uint8 (T, H, W, C), to be looked at."""
    shown: dict[int, Frames] = {}
    for numbers, batch in clips.batches(range(min(count, clips.count))):
        shown |= dict(zip(numbers.tolist(), batch, strict=True))
    return [shown[number] for number in sorted(shown)]


class RealClips:
    """Windows of the clips of a source: every `stride`-th frame, without the first `given` of each window."""

    part = 1

    def __init__(
        self, source: ClipSource, windows: Sequence[Window], shape: ClipShape, *, stride: int = 1, given: int = 0
    ) -> None:
        self.source, self.windows, self.stride, self.given = source, windows, stride, given
        self.shape = replace(shape, frames=shape.frames - given)
        self.count = len(windows)
        self.labels = np.array([window.span.label for window in windows], dtype=np.int64)
        known = dict[str, int]()  # numbered as they come
        self.sources = np.array([known.setdefault(w.span.source, len(known)) for w in windows], dtype=np.int64)
        self.indices = np.array([window.span.index for window in windows], dtype=np.int64)
        flat = (number for window in windows for number in (window.span.index, window.start))
        places = np.fromiter(flat, dtype=np.int64, count=2 * len(windows))
        self.digest = json_digest(
            [
                source.content_hash,
                hashlib.sha256(places.tobytes()).hexdigest(),
                [*vars(shape).values()],
                [stride, given, source.guides],
            ]
        )
        self._reach = (shape.frames - 1) * stride + 1

    def others(self, windows: Sequence[Window]) -> RealClips:
        """Return other windows of the same source, of the same shape."""
        shape = replace(self.shape, frames=self.shape.frames + self.given)
        return RealClips(self.source, windows, shape, stride=self.stride, given=self.given)

    def whole(self, rows: range) -> Iterator[tuple[int, Frames]]:
        """Yield row numbers and windows as they stand in the source, guides included, clip by clip."""
        order = sorted(rows, key=lambda row: (self.windows[row].span.index, self.windows[row].start))
        for index, group in groupby(order, key=lambda row: self.windows[row].span.index):
            inside = list(group)
            starts = [self.windows[row].start for row in inside]
            if isinstance(self.source, ClipFolder):
                read = self.source.windows(index, starts, self._reach)
            else:
                read = (self.source.read(index, start, self._reach) for start in starts)
            for row, clip in zip(inside, read, strict=True):
                yield row, clip[:: self.stride]

    def batches(self, rows: range) -> Iterator[tuple[Labels, Frames]]:
        channels = self.source.shape[2] - self.source.guides
        seen = ((row, clip[self.given :, ..., :channels]) for row, clip in self.whole(rows))
        return in_batches((row, self.shape.fitted(np.ascontiguousarray(clip))) for row, clip in seen)

    def named(self, row: int) -> tuple[str, int]:
        window = self.windows[row]
        return window.span.name or f"{self.source.name} {window.span.index}", window.start

    def files(self, rows: range) -> Iterable[Path]:
        spans = dict.fromkeys(self.windows[row].span.index for row in rows)
        if isinstance(self.source, ClipFolder):
            return [path for index in spans for path in self.source.clips[index].source.files]
        if isinstance(self.source, DatasetClips):
            dataset = self.source.dataset
            return [dataset.folder / name for name in dict.fromkeys(dataset.rows[index].shard for index in spans)]
        return ()


def made_at_once(model: TrainedModel, frames: int) -> int:
    """Return how many clips of some frames a model makes at once."""
    clip = model.info.config.clip
    return batch_of(frames * clip.height * clip.width * clip.channels, BATCH)


class GeneratedClips:
    """Clips that a model makes from seeds: row i has seed `seed` + i, and shows `texts[i]` where texts are given.

    Classes are drawn as often as the training data have them, and captions of theirs, as `Model.generate` does.
    """

    part = 1

    def __init__(
        self,
        model: TrainedModel,
        count: int,
        shape: ClipShape,
        *,
        seed: int = 0,
        stride: int = 1,
        texts: Sequence[str] = (),
    ) -> None:
        self.model, self.count, self.shape, self.seed, self.stride = model, count, shape, seed, stride
        info = model.info
        self.batch = made_at_once(model, shape.frames * stride)
        drawn = [draw_label(info.label_shares, seed + row) if info.labels else -1 for row in range(count)]
        self.labels, self.sources = np.array(drawn, dtype=np.int64), np.arange(count)
        self.indices = self.sources
        self.texts = list(texts)
        if info.reads_text and not texts:
            self.texts = [draw_caption(info.text.captions, seed + row) for row in range(count)]
        self.digest = json_digest(
            [
                info.weights_sha256,
                [seed, stride, *vars(shape).values()],
                [str(model.sampler.device.type), __version__, self.batch],
                *([self.texts] if self.texts else []),
            ]
        )

    def chunks(self, rows: range, frames: int) -> Iterator[Frames]:
        """Yield chunks (B, T, H, W, C) of the videos of some rows."""
        assert isinstance(self.model.sampler, Generates)
        labels = [int(self.labels[row]) for row in rows] if self.model.info.labels else None
        texts = [self.texts[row] for row in rows] if self.texts else None
        return videos(self.model.sampler, [self.seed + row for row in rows], labels, frames, texts)

    def batches(self, rows: range) -> Iterator[tuple[Labels, Frames]]:
        for first in range(rows.start, rows.stop, self.batch):
            part = range(first, min(first + self.batch, rows.stop))
            clips = np.concatenate(list(self.chunks(part, (self.shape.frames - 1) * self.stride + 1)), axis=1)
            yield np.array(part), np.stack([self.shape.fitted(clip[:: self.stride]) for clip in clips])

    def named(self, row: int) -> tuple[str, int]:
        return f"seed {self.seed + row}", 0

    def files(self, rows: range) -> Iterable[Path]:
        return ()


class AnsweredClips:
    """What a model makes of clips that it is given: what follows them, or another one instead.

    The windows that are `asked` have the length that the model knows. Frames that it was given are left out.
    """

    part = 1

    def __init__(self, model: TrainedModel, asked: RealClips, shape: ClipShape) -> None:
        self.model, self.asked, self.count, self.labels = model, asked, asked.count, asked.labels
        self.sources, self.indices = asked.sources, asked.indices
        self.given = model.sampler.given
        self.shape = replace(shape, frames=shape.frames - self.given)
        device = str(model.sampler.device.type)
        self.digest = json_digest([model.info.weights_sha256, asked.digest, self.given, device, __version__])

    def batches(self, rows: range) -> Iterator[tuple[Labels, Frames]]:
        for numbers, clips in in_batches(self.asked.whole(rows)):
            answers = next(iter(self.model.sampler.preview(from_uint8(clips), None).values()))
            yield numbers, to_uint8(answers)[:, self.given :]

    def named(self, row: int) -> tuple[str, int]:
        return self.asked.named(row)

    def files(self, rows: range) -> Iterable[Path]:
        return self.asked.files(rows)


VIDEOS = 128
"""Videos that are followed, at most."""


class LongVideos:
    """Videos of W windows each that a model makes; row (g W + p) B + v is window p of video v of batch g.

    There are B videos in a batch, and no more than a window of a batch is held.
    """

    def __init__(
        self, model: TrainedModel, videos: int, windows: int, shape: ClipShape, *, seed: int = 0, stride: int = 1
    ) -> None:
        self.each, self.shape = windows, shape
        batch = made_at_once(model, shape.frames * stride)
        self._videos = GeneratedClips(model, -(-videos // batch) * batch, shape, seed=seed, stride=stride)
        self.part = batch * windows
        self.count = self._videos.count * windows
        numbers = np.arange(self.count)
        self._video = numbers // self.part * batch + numbers % batch
        self.position = numbers // batch % windows
        self.labels, self.sources, self.indices = self._videos.labels[self._video], self._video, self._video
        self.digest = json_digest([self._videos.digest, windows, "long", __version__])

    def batches(self, rows: range) -> Iterator[tuple[Labels, Frames]]:
        """Yield row numbers and clips; rows must be whole batches of videos."""
        assert rows.start % self.part == 0 and len(rows) % self.part == 0, f"{rows} are not whole batches"
        stride = self._videos.stride
        reach = self.shape.frames * stride
        for first in range(rows.start, rows.stop, self.part):
            batch = range(first // self.each, first // self.each + self._videos.batch)
            held: Frames | None = None
            place = 0
            for chunk in self._videos.chunks(batch, reach * self.each):
                held = chunk if held is None else np.concatenate([held, chunk], axis=1)
                while place < self.each and held.shape[1] >= reach:
                    window = held[:, :reach:stride]
                    numbers = first + place * len(batch) + np.arange(len(batch))
                    yield numbers, np.stack([self.shape.fitted(clip) for clip in window])
                    held = held[:, reach:]
                    place += 1

    def named(self, row: int) -> tuple[str, int]:
        reach = self.shape.frames * self._videos.stride
        return f"seed {self._videos.seed + int(self._video[row])}", int(self.position[row]) * reach

    def files(self, rows: range) -> Iterable[Path]:
        return self._videos.files(rows)


def successive_windows(real: RealClips, spans: Sequence[Span], windows: int) -> tuple[RealClips, Labels] | None:
    """Return successive windows of those of a source's clips that are long enough, and the position of each.

    `real` has the source, shape and stride; there are None where fewer than two clips are long enough.
    """
    reach = (real.shape.frames + real.given) * real.stride
    long = [span for span in spans if span.frames >= reach * windows][:VIDEOS]
    if len(long) < 2:
        return None
    every = [Window(span, place * reach) for span in long for place in range(windows)]
    return real.others(every), np.arange(len(every)) % windows
