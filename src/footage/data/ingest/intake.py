"""A source becomes its part: decoded, divided into clips, measured. This is what a worker process does."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO

import numpy as np

from footage import files
from footage.data.arrays import ArrayClip, idx_clips, labels_beside, npy_clips
from footage.data.ingest.parts import Clip, PartRecord, Recipe, finish_part, read_frames
from footage.data.ingest.scenes import CutDetector
from footage.data.ingest.sources import Source
from footage.data.store import Rejection
from footage.media.decode import Decoder
from footage.media.pictures import PictureDecoder
from footage.media.probe import UnusableMedia
from footage.media.signatures import GRID, Signature, moments, pool, signature

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


def make_part(source: Source, recipe: Recipe, path: Path) -> PartRecord:
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
    source: Source, recipe: Recipe, handle: IO[bytes], record: PartRecord, signatures: list[Signature]
) -> None:
    """Stream the frames of a video, or of a folder of pictures, to disk; then measure its scenes."""
    options = {"height": recipe.height, "width": recipe.width, "channels": recipe.channels}
    decoder: Decoder | PictureDecoder
    if source.kind == "pictures":
        paths = [source.path / name for name in source.pictures]
        decoder = PictureDecoder(paths, **options, fps=recipe.fps, fit=recipe.fit)
    else:
        decoder = Decoder(source.path, **options, fps=recipe.fps, fit=recipe.fit)
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
    recipe: Recipe,
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
    record.clips.append(Clip(start_s, end_s, first, end - first, digest.hexdigest()))
    signatures.append(signature(np.stack(chosen)))  # MOMENTS × (H, W, C) → (MOMENTS, H, W, C)


def _take_clips(
    source: Source, recipe: Recipe, handle: IO[bytes], record: PartRecord, signatures: list[Signature]
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
