"""A source becomes its part: decoded, divided at hard cuts, measured. This is what a worker process does.

Arrays come divided into clips: the Moving MNIST `.npy` file, and moving digits made from MNIST's IDX images.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from footage import files
from footage.data.ingest.shards import DecodeOptions, PartClip, PartRecord, finish_part, read_frames
from footage.data.ingest.sources import Source
from footage.data.store import Frames, Rejection, Split
from footage.data.synthetic import TRAINING_IMAGES, labels_beside, moving_digits, read_idx
from footage.media.decode import VideoDecoder
from footage.media.probe import UnusableMedia
from footage.media.reader import PictureDecoder, fit_frames
from footage.media.signatures import GRID, Signature, moments, pool, signature

CUT_GRID = 16
"""Frames are compared as GRID × GRID cells, which forgives noise and small motion."""
CUT_REACH = 5
"""How many steps to each side a cut must stand out from."""
CLEAR = (15.0, 1.7)
"""A step of this many grey levels, this many times the largest around it, is a cut."""
FAINT = (6.0, 2.3)
"""The same between pictures that are alike, or within black bars."""
DARK = (2.0, 6.0, 0.5)
"""The same between dark pictures, which must also correlate less than the last figure."""


class CutDetector:
    """Find hard cuts in a stream of frames, in constant memory.

    The step between two neighbouring frames is the mean difference of their cells, in grey levels.
    At a cut a single step stands out from those around it; motion, a passing lorry or a flash make
    several large steps in a row. Dissolves and fades are not found.
    """

    def __init__(self) -> None:
        self._last: npt.NDArray[np.float32] | None = None
        self._steps: list[tuple[float, float]] = []  # (size, correlation) of the steps not yet dropped
        self._first = 1  # frame that the first of these steps leads to
        self._next = 1  # frame that is to be judged next
        self._seen = 0

    def add(self, frames: npt.NDArray[np.uint8]) -> list[int]:
        """Take the next frames (T, H, W, C); return the first frames of scenes, now certain, counted from 0."""
        cells = pool(frames, CUT_GRID)
        cells = cells.reshape(len(cells), -1)  # (T, g, g, C) → (T, g·g·C)
        for cell in cells:
            if self._last is not None:
                self._steps.append((float(np.abs(cell - self._last).mean()), _correlation(cell, self._last)))
            self._last = cell
        self._seen += len(frames)
        return self._judge(self._seen - CUT_REACH)

    def finish(self) -> list[int]:
        """Return the cuts among the last frames."""
        return self._judge(self._seen)

    def _judge(self, end: int) -> list[int]:
        cuts = []
        while self._next < end:
            at = self._next - self._first
            size, correlation = self._steps[at]
            around = [s for s, _ in self._steps[max(0, at - CUT_REACH) : at] + self._steps[at + 1 : at + 1 + CUT_REACH]]
            ratio = size / (max(around, default=0.0) + 0.5)
            if (
                (size >= CLEAR[0] and ratio >= CLEAR[1])
                or (size >= FAINT[0] and ratio >= FAINT[1])
                or (size >= DARK[0] and ratio >= DARK[1] and correlation < DARK[2])
            ):
                cuts.append(self._next)
            self._next += 1
        drop = max(0, self._next - CUT_REACH - self._first)
        self._steps = self._steps[drop:]
        self._first += drop
        return cuts


def _correlation(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    """Return the correlation of two pictures, 0 where one is flat."""
    a, b = a - a.mean(), b - b.mean()
    return float((a @ b) / (np.sqrt((a @ a) * (b @ b)) + 1e-3))


HELDOUT_CLIPS = 4
"""One held-out clip is made for this many training clips."""


@dataclass(frozen=True)
class ArrayClip:
    """A clip of an array, of the wanted size."""

    frames: Frames
    """Pixels (T, H, W, C)."""
    split: Split
    """The side of the split that it belongs to."""
    label: str | None
    """Class, or None."""
    caption: str | None
    """Caption, or None."""


def idx_clips(path: Path, recipe: DecodeOptions) -> Iterator[ArrayClip]:
    """Make clips of bouncing digits from an IDX file, for training and held-out from different images.

    Raises:
        UnusableMedia: the file, or its labels, cannot be used.
    """
    images = read_idx(path)
    if images.ndim != 3 or images.shape[1:] != (28, 28) or len(images) < 10:
        raise UnusableMedia("not digits", f"the images are {images.shape}, expected (at least 10, 28, 28)")
    beside = labels_beside(path)
    classes = read_idx(beside).astype(np.int64) if beside else np.full(len(images), -1)
    if classes.shape != images.shape[:1]:
        raise UnusableMedia("damaged", f"{len(images)} images have {classes.shape} labels")
    middle = int(len(images) * TRAINING_IMAGES)
    held = max(1, recipe.sequences // HELDOUT_CLIPS) if recipe.heldout > 0 else 0
    sides: list[tuple[Split, slice, int]] = [
        ("train", slice(0, middle), recipe.sequences),
        ("heldout", slice(middle, None), held),
    ]
    for side, (split, part, count) in enumerate(sides):
        for index in range(count):
            frames, shown = moving_digits(
                images[part],
                classes[part],
                seed=recipe.seed + side,
                index=index,
                digits=recipe.digits,
                frames=recipe.clip_frames,
                size=max(64, recipe.height, recipe.width),
            )
            known = beside is not None
            label = str(shown[0]) if known and len(shown) == 1 else None
            caption = " ".join(str(digit) for digit in shown) if known and len(shown) > 1 else None
            yield ArrayClip(_fitted(frames, recipe), split, label, caption)


def npy_clips(path: Path, recipe: DecodeOptions) -> Iterator[ArrayClip]:
    """Yield the clips of a `.npy` file: (20, N, 64, 64) as Moving MNIST, or (N, T, H, W) or (N, T, H, W, C).

    The last clips are held out. The file is memory-mapped.

    Raises:
        UnusableMedia: the file is not such an array of uint8.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy's header parser lets through whatever Python's own raises
        raise UnusableMedia("damaged", f"not an array without objects: {str(error)[:200]}") from None
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8 or array.ndim not in (4, 5) or not array.size:
        what = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise UnusableMedia("not clips", f"the array is {what}, expected uint8 (N, T, H, W) or (N, T, H, W, C)")
    if array.ndim == 4 and array.shape[0] == 20 and array.shape[2:] == (64, 64):
        array = array.swapaxes(0, 1)  # Moving MNIST: (T, N, H, W) → (N, T, H, W)
    if array.ndim == 4:
        array = array[..., None]  # (N, T, H, W) → (N, T, H, W, 1)
    if array.shape[-1] not in (1, 3):
        raise UnusableMedia("not clips", f"the array has {array.shape[-1]} channels, expected 1 or 3")
    held = min(len(array) - 1, round(len(array) * recipe.heldout))
    for i, clip in enumerate(array):
        split: Split = "heldout" if i >= len(array) - held else "train"
        yield ArrayClip(_fitted(np.ascontiguousarray(clip), recipe), split, None, None)


def _fitted(frames: Frames, recipe: DecodeOptions) -> Frames:
    return fit_frames(frames, height=recipe.height, width=recipe.width, channels=recipe.channels, fit=recipe.fit)


CLIP_BYTES = 128 * 2**20
"""A longer scene is divided into clips of at most this size."""
STILL = 5.0
"""A clip in which no cell of the picture changes by more than this many grey levels is static."""


def content_digest(source: Source) -> str:
    """Return the SHA-256 of the bytes of a source.

    Raises:
        OSError: they cannot be read.
    """
    paths = [source.path / name for name in source.pictures] or [source.path]
    beside = labels_beside(source.path) if source.kind == "idx" else None
    digests = [files.file_digest(path) for path in [*paths, *([beside] if beside else [])]]
    return digests[0] if len(digests) == 1 else files.json_digest(digests)


def make_part(source: Source, recipe: DecodeOptions, path: Path) -> PartRecord:
    """Decode a source and write its part to `path`. What is wrong with the source is in the record, not raised.

    Raises:
        OSError: the part cannot be written.
    """
    record = PartRecord()
    signatures: list[Signature] = []
    with files.replacing(path, durable=False) as temporary, open(temporary, "w+b") as handle:
        rejection = None
        try:
            record.content = content_digest(source)
            take = _take_clips if source.kind in ("idx", "array") else _take_video
            take(source, recipe, handle, record, signatures)
        except UnusableMedia as error:
            rejection = Rejection(source.name, error.reason, error.detail)
        except OSError as error:
            if error.errno in files.DISK_FAULTS:  # it ends the ingest, whatever the source
                raise
            rejection = Rejection(source.name, "unreadable", error.strerror or str(error))
        if rejection is not None:  # the source as a whole is of no use
            record.clips, record.frames, record.rejections = [], 0, [rejection]
            signatures.clear()
        finish_part(handle, record, signatures, recipe)
    return record


def _take_video(
    source: Source, recipe: DecodeOptions, handle: IO[bytes], record: PartRecord, signatures: list[Signature]
) -> None:
    """Stream the frames of a video, or of a folder of pictures, to disk; then measure its scenes."""
    options = {"height": recipe.height, "width": recipe.width, "channels": recipe.channels}
    decoder: VideoDecoder | PictureDecoder
    if source.kind == "pictures":
        paths = [source.path / name for name in source.pictures]
        decoder = PictureDecoder(paths, **options, fps=recipe.fps, fit=recipe.fit)
    else:
        decoder = VideoDecoder(source.path, **options, fps=recipe.fps, fit=recipe.fit)
    detector = CutDetector()
    borders = [0]
    damage: list[tuple[int, int]] = []
    for chunk in decoder:
        handle.write(chunk.frames.data)
        borders += detector.add(chunk.frames) if recipe.cuts else []
        for at in (np.flatnonzero(chunk.damaged) + record.frames).tolist():
            if damage and damage[-1][1] == at:
                damage[-1] = (damage[-1][0], at + 1)
            else:
                damage.append((at, at + 1))
        record.frames += len(chunk.frames)
    borders += detector.finish() if recipe.cuts else []
    record.cuts = [border / recipe.fps for border in borders[1:]]
    record.damaged, record.truncated, record.problem = decoder.damaged, decoder.truncated, decoder.problem
    record.info = asdict(decoder.info) if decoder.info else None
    record.rejections += [
        Rejection(source.name, "damaged", record.problem or "marked as damaged", a / recipe.fps, b / recipe.fps)
        for a, b in damage
    ]
    if decoder.truncated and record.info:
        detail = f"the file ends early; it declares {record.info['duration']:.2f} s"
        ends = (record.frames / recipe.fps, record.info["duration"])
        record.rejections.append(Rejection(source.name, "truncated", detail, *ends))
    longest = max(recipe.min_frames, CLIP_BYTES // recipe.frame_bytes)
    for first, end in _spans(borders, damage, record.frames, longest, recipe.min_frames):
        _measure(source, recipe, handle, record, signatures, first, end)


def _spans(
    borders: list[int], damage: list[tuple[int, int]], frames: int, longest: int, shortest: int
) -> Iterator[tuple[int, int]]:
    """Yield the (first, end) of the scenes: between cuts, without the damaged frames, none too long."""
    marks = sorted({*borders, *(mark for span in damage for mark in span), frames})
    bad = {first for first, _ in damage}
    holes = dict(damage)
    skip_until = 0
    for first, end in itertools.pairwise(marks):
        if first in bad:
            skip_until = max(skip_until, holes[first])
        if first < skip_until:
            continue
        pieces = max(1, -(-(end - first) // longest))
        pieces = max(1, min(pieces, (end - first) // shortest))
        edges = np.linspace(first, end, pieces + 1).astype(int).tolist()
        yield from itertools.pairwise(edges)


def _measure(
    source: Source,
    recipe: DecodeOptions,
    handle: IO[bytes],
    record: PartRecord,
    signatures: list[Signature],
    first: int,
    end: int,
) -> None:
    """Read a span back from disk; make a clip of it, or say why not."""
    start_s, end_s = first / recipe.fps, end / recipe.fps
    if end - first < recipe.min_frames:
        detail = f"{end - first} frames at {recipe.fps:g} fps, at least {recipe.min_frames} are needed"
        record.rejections.append(Rejection(source.name, "too short", detail, start_s, end_s))
        return
    digest = hashlib.sha256()
    wanted = moments(end - first)
    chosen: list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]] = []
    low: np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None = None
    high = low
    at = 0
    for block in read_frames(handle, 0, first, end - first, recipe.shape):
        digest.update(block.data)
        chosen += [block[moment - at] for moment in wanted if at <= moment < at + len(block)]
        cells = pool(block, GRID)
        small, large = cells.min(axis=0), cells.max(axis=0)  # (T, g, g', C) → (g, g', C)
        low = small if low is None else np.minimum(low, small)
        high = large if high is None else np.maximum(high, large)
        at += len(block)
    assert low is not None and high is not None
    motion = float((high - low).max())
    if motion < STILL and not recipe.keep_static:
        detail = f"nothing changes by more than {motion:.1f} of 255 levels"
        record.rejections.append(Rejection(source.name, "static", detail, start_s, end_s))
        return
    record.clips.append(PartClip(start_s, end_s, first, end - first, digest.hexdigest()))
    signatures.append(signature(np.stack(chosen)))  # MOMENTS × (H, W, C) → (MOMENTS, H, W, C)


def _take_clips(
    source: Source, recipe: DecodeOptions, handle: IO[bytes], record: PartRecord, signatures: list[Signature]
) -> None:
    """Write the clips of an array, which come divided and, from IDX files, without duplicates."""
    record.comparable = source.kind == "array"
    clips: Iterator[ArrayClip] = (idx_clips if source.kind == "idx" else npy_clips)(source.path, recipe)
    for clip in clips:
        handle.write(clip.frames.data)
        first, record.frames = record.frames, record.frames + len(clip.frames)
        before = len(record.clips)
        _measure(source, recipe, handle, record, signatures, first, record.frames)
        handle.seek(0, 2)
        if len(record.clips) > before:
            made = record.clips[-1]
            made.split, made.label, made.caption = clip.split, clip.label, clip.caption
    if not record.frames:
        raise UnusableMedia("zero frames", "the array holds no clip")
