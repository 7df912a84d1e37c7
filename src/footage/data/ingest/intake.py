"""A source becomes its part: decoded, divided into scenes, measured. This is what a worker process does.

Arrays come divided into clips; see `arrays`. What lies in an archive is unpacked for as long as it is decoded.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from footage import files
from footage.config.registry import imported
from footage.data.ingest.arrays import idx_clips, numpy_clips
from footage.data.ingest.shards import DecodeOptions, PartClip, PartRecord, finish_part, read_frames
from footage.data.ingest.sources import Source
from footage.data.jpeg import JpegWriter, encode
from footage.data.store import QUARTER, Frames, Rejection, area_means, samples_until
from footage.errors import MediaError, counted
from footage.media.probe import UnusableMedia, damage_as_media
from footage.media.rates import exact_rate
from footage.media.reader import open_decoder
from footage.media.signatures import GRID, Signature, moments, pool
from footage.media.sound import RATE, sound_chunks

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
CLIP_BYTES = 128 * 2**20
"""A longer scene is divided into clips of at most this size, as they are stored."""
FINE = "footage.generation.cutting.shots:ShotFinder"
"""What finds dissolves and fades too: it has a network, and stands on a higher floor."""
STILL = 5.0
"""A clip in which no cell of the picture changes by more than this many grey levels is static."""


class CutDetector:
    """Find hard cuts in a stream of frames, in constant memory.

    The step between two neighbouring frames is the mean difference of their cells, in grey levels.
    At a cut a single step stands out from those around it; motion, a passing lorry or a flash make
    several large steps in a row. Dissolves and fades are not found.
    """

    def __init__(self) -> None:
        self.blends: list[tuple[int, int]] = []
        """Frames that are of two scenes at once, from, and up to and without: none, since they are not found."""
        self._last: npt.NDArray[np.float32] | None = None
        self._steps: list[tuple[float, float]] = []  # (size, correlation) of the steps not yet dropped
        self._first = 1  # frame that the first of these steps leads to
        self._next = 1  # frame that is to be judged next
        self._seen = 0

    def add(self, frames: npt.NDArray[np.uint8]) -> list[int]:
        """Take the next frames (T, H, W, C); return the first frames of scenes, now certain, counted from 0."""
        block = max(1, 4 * 2**20 // frames[0].nbytes)  # pooling takes four times their memory
        cells = np.concatenate([pool(frames[at : at + block], CUT_GRID) for at in range(0, len(frames), block)])
        cells = cells.reshape(len(cells), -1)  # (T, g, g, C) → (T, g·g·C)
        for cell in cells:
            if self._last is not None:
                a, b = cell - cell.mean(), self._last - self._last.mean()
                correlation = float((a @ b) / (np.sqrt((a @ a) * (b @ b)) + 1e-3))  # 0 where one is flat
                self._steps.append((float(np.abs(cell - self._last).mean()), correlation))
            self._last = cell
        self._seen += len(frames)
        return self._judge(self._seen - CUT_REACH)

    def finish(self) -> list[int]:
        return self._judge(self._seen)

    @property
    def certain(self) -> int:
        """The first frame of which it is not yet known whether a scene begins there."""
        return self._next

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


def detector_for(options: DecodeOptions) -> CutDetector:
    """Return what tells scenes apart, as the options say."""
    detector: CutDetector = imported(FINE)(options.fps) if options.cuts and options.shots == "fine" else CutDetector()
    return detector


def content_digest(source: Source) -> str:
    """Return the SHA-256 of the bytes of a source."""
    digests = source.digests()
    return digests[0] if len(digests) == 1 else files.json_digest(digests)


def make_part(source: Source, options: DecodeOptions, path: Path) -> PartRecord:
    """Decode a source and write its part to `path`. What is wrong with the source is in the record, not raised.

    Raises:
        OSError: the part cannot be written.
    """
    with files.writing(path, durable=False) as handle, contextlib.ExitStack() as held:
        part = PartBuilder(source, options, handle)
        rejection = None
        try:
            with damage_as_media():  # a file may begin as locked ones do
                part.record.content = content_digest(source)
            part.source = held.enter_context(source.unpacked())
            if source.kind in ("idx", "array"):
                part.add_array()
            else:
                part.add_video()
        except UnusableMedia as error:
            rejection = Rejection(source.name, error.reason, error.detail)
        except OSError as error:
            if error.errno in files.DISK_FAULTS:  # it ends the ingest, whatever the source
                raise
            rejection = Rejection(source.name, "unreadable", error.strerror or str(error))
        if rejection is not None:  # the source as a whole is of no use
            part.record.clips, part.record.frames, part.record.rejections = [], 0, [rejection]
            part.signatures.clear()
        if part.pictures is None:
            handle.truncate(part.record.frames * options.frame_bytes)
        else:
            part.pictures.finish(part.record.frames)
        sound = part.sound() if part.record.clips else ()
        finish_part(handle, part.record, part.signatures, options.fps, sound)
    return part.record


class ClipMeter:
    """Measures a span of frames as they come: their digest, how much changes, and what its signature may hold."""

    def __init__(self, first: int) -> None:
        self.first, self.frames = first, 0
        self.digest = hashlib.sha256()
        self._cells: list[npt.NDArray[np.uint8]] = []  # of each frame, as a signature has them: T × (g, g', C)
        self._extremes: list[npt.NDArray[np.float32]] = []  # the least and the greatest value of each cell, (g, g', C)

    def add(self, frames: Frames) -> None:
        """Take the next frames (T, H, W, C)."""
        self.frames += len(frames)
        self.digest.update(frames.data)
        cells = pool(frames, GRID)
        self._cells += list(cells.round().astype(np.uint8))
        cells = np.concatenate([cells, *(extreme[None] for extreme in self._extremes)])  # (T + 2, g, g', C)
        self._extremes = [cells.min(axis=0), cells.max(axis=0)]

    @property
    def motion(self) -> float:
        """How much the cell changes that changes most, in grey levels."""
        return float((self._extremes[1] - self._extremes[0]).max())

    @property
    def signature(self) -> Signature:
        return np.stack([self._cells[moment] for moment in moments(self.frames)])  # MOMENTS × (g, g', C)


class PartBuilder:
    """Puts the frames of a source into a file, open for reading and writing, and divides and measures them."""

    def __init__(self, source: Source, options: DecodeOptions, handle: IO[bytes]) -> None:
        self.source, self.options, self.handle = source, options, handle
        self.record = PartRecord()
        self.signatures: list[Signature] = []
        self.pictures = JpegWriter(handle) if options.coding == "jpeg" else None
        self._resumes: list[tuple[int, int]] = []  # frames that follow a pause that is left out, and their ticks

    def add_video(self) -> None:
        """Stream the frames of a video, or of a folder of pictures, to disk; then measure its scenes."""
        source, options, record = self.source, self.options, self.record
        decoder = open_decoder(
            source.path,
            source.picture_paths,
            options.shape,
            fps=options.fps,
            fit=options.fit,
            options=options.pictures,
            pauses=False,
        )
        detector = detector_for(options)
        borders = [0]
        damage: list[tuple[int, int]] = []
        scenes = SceneMeter(self)
        for chunk in decoder:
            tick = round(chunk.times[0] * float(decoder.rate))
            if tick != round(self._seconds(record.frames) * decoder.rate):
                self._resumes.append((record.frames, tick))
            self.store(chunk.frames)
            borders += detector.add(chunk.frames) if options.cuts else []
            for at in (np.flatnonzero(chunk.damaged) + record.frames).tolist():
                first = damage.pop()[0] if damage and damage[-1][1] == at else at
                damage.append((first, at + 1))
            record.frames += len(chunk.frames)
            if self.pictures is not None:
                scenes.add(chunk.frames, chunk.damaged)
                scenes.divide(borders, detector.certain if options.cuts else record.frames, detector.blends)
        borders += detector.finish() if options.cuts else []
        record.cuts = [float(self._seconds(border)) for border in borders[1:]]
        record.damaged, record.truncated, record.problem = decoder.damaged, decoder.truncated, decoder.problem
        record.notes = decoder.notes
        record.info = decoder.info.to_json() if decoder.info else None
        if self.pictures is not None:
            scenes.divide(borders, record.frames, detector.blends)
            scenes.close()
        unfit, record.rejections = record.rejections, []  # spans come behind what is wrong with the source
        spoiled = zip(damage, itertools.repeat(("damaged", record.problem or "marked as damaged")))
        mixed = zip(detector.blends, itertools.repeat(("dissolve", "two scenes at once")))
        for (first, end), why in itertools.chain(spoiled, mixed):
            self._reject(*why, *self._span(first, end))
        if decoder.truncated and record.info:
            declared = record.info["duration"]
            detail = f"the file ends early; it declares {declared:.2f} s"
            self._reject("truncated", detail, float(self._seconds(record.frames)), declared)
        record.rejections += [
            Rejection(source.name, "stands still", f"no new picture for {end - begin:.1f} s", begin, end)
            for begin, end in decoder.pauses
        ]
        record.rejections += unfit
        if self.pictures is not None:
            return
        longest = max(options.min_frames, CLIP_BYTES // options.frame_bytes)
        holes = sorted([*damage, *detector.blends])
        for first, end in scenes_between_cuts(borders, holes, record.frames, longest, options.min_frames):
            meter = ClipMeter(first)
            for block in read_frames(self.handle, 0, first, end - first, options.shape):
                meter.add(block)
            self.judge(meter)

    def sound(self) -> Iterator[npt.NDArray[np.int16]]:
        """Yield the sound of all frames, at their own times; nothing where the source has none, or a silent one."""
        record, fps, silent, heard = self.record, self.options.fps, 0, False
        if not self.options.sound or not (record.info or {}).get("has_audio"):
            return
        try:
            with contextlib.closing(sound_chunks(self.source.path)) as chunks:
                left, at = np.zeros(0, np.float32), 0  # samples that were read, and the number of the first
                # What is heard in the pauses between runs of frames is left out.
                for (first, tick), (last, _) in itertools.pairwise([(0, 0), *self._resumes, (record.frames, 0)]):
                    begin = samples_until(tick, fps, RATE)
                    end = begin + samples_until(last, fps, RATE) - samples_until(first, fps, RATE)
                    while begin < end:
                        left, at = left[max(0, begin - at) :], at + min(len(left), max(0, begin - at))
                        if not len(left) and (chunk := next(chunks, None)) is not None:
                            left = chunk
                            continue
                        own = left[: end - begin] if len(left) else np.zeros(min(RATE, end - begin), np.float32)
                        begin += len(own)
                        if not own.any():
                            silent += len(own)
                            continue
                        heard = True
                        yield from _silence(silent)
                        silent = 0
                        yield np.rint(own * 32_767).astype(np.int16)
        except MediaError as error:
            record.notes.append(f"its sound is left out: {error.problem}")
        if heard:
            yield from _silence(silent)

    def add_array(self) -> None:
        """Write the clips of an array, which come divided and, from IDX files, without duplicates."""
        record, options, path = self.record, self.options, self.source.path
        record.comparable = self.source.kind == "array"
        notes: dict[str, None] = {}
        longest = max(options.min_frames, CLIP_BYTES // options.stored_bytes)
        many = numpy_clips(path, options, longest, notes.setdefault)
        for clip in many if record.comparable else idx_clips(path, options):
            meter = ClipMeter(record.frames)
            for frames in clip.chunks:
                meter.add(frames)
                self.store(frames)
                record.frames += len(frames)
            measured = self.judge(meter)
            if measured is not None:
                measured.split, measured.label, measured.caption = clip.split, clip.label, clip.caption
        record.notes = list(notes)
        if not record.frames:
            raise UnusableMedia("zero frames", "the array holds no clip")

    def store(self, frames: Frames) -> None:
        """Append frames (T, H, W, C) to the part: raw, or each as a picture and its small copy."""
        if self.pictures is None:
            self.handle.write(frames.data)
            return
        for frame in frames:
            small = area_means(frame[None], QUARTER).tobytes() if self.options.level_shape else b""
            self.pictures.add(encode(frame, self.options.quality) + small)

    def judge(self, meter: ClipMeter) -> PartClip | None:
        """Make a clip of a span that was measured, or say why not."""
        options, first, end = self.options, meter.first, meter.first + meter.frames
        start_s, end_s = self._span(first, end)
        if end - first < options.min_frames:
            detail = f"{counted(end - first, 'frame')} at {options.fps:g} fps, at least {options.min_frames} are needed"
            self._reject("too short", detail, start_s, end_s)
            return None
        if meter.motion < STILL and not options.keep_static:
            self._reject("static", f"nothing changes by more than {meter.motion:.1f} of 255 levels", start_s, end_s)
            return None
        clip = PartClip(start_s, end_s, first, end - first, meter.digest.hexdigest())
        self.record.clips.append(clip)
        self.signatures.append(meter.signature)
        return clip

    def _seconds(self, frame: int) -> Fraction:
        """Return when a frame is shown, in seconds from the first, with the pauses that are left out."""
        first, tick = next((place for place in reversed(self._resumes) if place[0] <= frame), (0, 0))
        return (frame - first + tick) / exact_rate(self.options.fps)

    def _span(self, first: int, end: int) -> tuple[float, float]:
        """Return when some frames are shown, from and to, in seconds."""
        return float(self._seconds(first)), float(self._seconds(end - 1) + 1 / exact_rate(self.options.fps))

    def _reject(self, reason: str, detail: str, start: float, end: float) -> None:
        self.record.rejections.append(Rejection(self.source.name, reason, detail, start, end))


def _silence(count: int) -> Iterator[npt.NDArray[np.int16]]:
    """Yield that many samples of silence, a second at once."""
    for done in range(0, count, RATE):
        yield np.zeros(min(RATE, count - done), np.int16)


class SceneMeter:
    """Divides frames into scenes as they come, and has each judged: what was made JPEG cannot be measured later.

    A scene ends at a cut, before a damaged frame, or when it is as long as a clip may be. Frames are held until it is
    known whether a scene begins with them.
    """

    def __init__(self, part: PartBuilder) -> None:
        options = part.options
        self._part, self._longest = part, max(options.min_frames, CLIP_BYTES // options.stored_bytes)
        self._waiting: deque[tuple[Frames, bool]] = deque()
        self._next = 0  # number of the first of them
        self._meter: ClipMeter | None = None

    def add(self, frames: Frames, damaged: npt.NDArray[np.bool_]) -> None:
        """Take the next frames (T, H, W, C), and whether each is damaged."""
        self._waiting.extend(zip(frames, damaged.tolist(), strict=True))

    def divide(self, borders: list[int], certain: int, blends: list[tuple[int, int]]) -> None:
        """Measure the frames before number `certain`; `borders` are the first frames of all scenes up to there.

        Frames within `blends` are of two scenes, and left out.
        """
        begins = set(borders)
        while self._next < certain:
            frame, damaged = self._waiting.popleft()
            damaged = damaged or any(first <= self._next < end for first, end in blends)
            full = self._meter is not None and self._meter.frames == self._longest
            if damaged or full or self._next in begins:
                self.close()
            if not damaged:
                self._meter = self._meter or ClipMeter(self._next)
                self._meter.add(frame[None])  # (H, W, C) → (1, H, W, C)
            self._next += 1

    def close(self) -> None:
        """End the scene that has begun, if any."""
        if self._meter is not None:
            self._part.judge(self._meter)
        self._meter = None


def scenes_between_cuts(
    borders: list[int], damage: list[tuple[int, int]], frames: int, longest: int, shortest: int
) -> Iterator[tuple[int, int]]:
    """Yield the (first, end) of the scenes: between cuts, without frames that are damaged or left out, none too long.

    Of spans that begin together the longest stands last in `damage`.
    """
    marks = sorted({*borders, *(mark for span in damage for mark in span), frames})
    holes = dict(damage)
    skip_until = 0
    for first, end in itertools.pairwise(marks):
        skip_until = max(skip_until, holes.get(first, 0))
        if first < skip_until:
            continue
        pieces = max(1, -(-(end - first) // longest))
        pieces = max(1, min(pieces, (end - first) // shortest))
        edges = np.linspace(first, end, pieces + 1).astype(int).tolist()
        yield from itertools.pairwise(edges)
