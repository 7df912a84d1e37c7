"""Frames on disk while an ingest runs: the part of each source, the shards of all, and the state between runs.

A part is written by a worker process and is whole or not there. Its layout: the frames, the signatures of the clips,
the sound of all frames where there is some, a JSON record (`PartRecord`), and the length of the record in 8 bytes.
Frames are raw, or a file of JPEG pictures, each of
which has its small copy behind it. The clips of all parts are packed into a few large shards; the state remembers what
is packed where.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from footage import files
from footage.config import IngestConfig
from footage.config.sections import Shots
from footage.data.jpeg import JpegFile, JpegWriter
from footage.data.locked_arrays import load_array
from footage.data.store import ENDINGS, QUARTER, Coding, Frames, Rejection, level_file, samples_until, sound_file
from footage.errors import DatasetError, LockError, counted
from footage.files import locked
from footage.media.geometry import Fit
from footage.media.interlacing import Deinterlacing
from footage.media.kinds import Alpha
from footage.media.pictures import PictureOptions
from footage.media.signatures import GRID, MOMENTS, Signature
from footage.media.sound import RATE

SHARD = re.compile(r"shard-(\d+)\.(npy|jpegs)")
SHARD_FILE = re.compile(r"shard-\d+\.(npy|jpegs|quarter\.npy|sound\.npy)")
"""A shard, or its level, or its sound."""
SHARD_BYTES = 128 * 2**20
"""A shard is closed when the next clip would make it larger than this; of JPEG about, since sizes are estimates."""
SMALLER = 8
"""How many times smaller JPEG pictures are than raw frames, about."""


@dataclass(frozen=True)
class DecodeOptions:
    """The options that the pixels and spans of a part depend on; see `IngestConfig`."""

    height: int
    width: int
    channels: int
    fps: float
    fit: Fit
    min_frames: int
    cuts: bool
    keep_static: bool
    heldout: float
    """Part of an array that is held out."""
    digits: int
    sequences: int
    """Clips made from the IDX images of a file: this many for training, a quarter of it held out."""
    clip_frames: int
    """Frames in a clip made from IDX images."""
    seed: int
    coding: Coding = "raw"
    quality: int = 95
    """Of JPEG pictures."""
    layout: str | None = None
    bits: int | None = None
    background: str = "black"
    alpha: Alpha = "auto"
    deinterlace: Deinterlacing = "auto"
    sound: bool = True
    shots: Shots = "quick"

    @staticmethod
    def of(config: IngestConfig, fps: float, coding: Coding) -> DecodeOptions:
        values = vars(config) | {"fps": fps, "clip_frames": config.sequence_frames, "coding": coding}
        return DecodeOptions(**{option.name: values[option.name] for option in fields(DecodeOptions)})

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a frame: (H, W, C)."""
        return (self.height, self.width, self.channels)

    @property
    def level_shape(self) -> tuple[int, int, int] | None:
        """Shape of the small copy that JPEG frames have beside them, or None where the size has none."""
        if self.coding == "raw" or self.height % QUARTER or self.width % QUARTER:
            return None
        return (self.height // QUARTER, self.width // QUARTER, self.channels)

    @property
    def level_bytes(self) -> int:
        return int(np.prod(self.level_shape)) if self.level_shape else 0

    @property
    def frame_bytes(self) -> int:
        return self.height * self.width * self.channels

    @property
    def stored_bytes(self) -> int:
        """Bytes of a frame in a shard, an estimate where they are JPEG."""
        return self.frame_bytes if self.coding == "raw" else max(1, self.frame_bytes // SMALLER)

    @property
    def settings(self) -> dict[str, Any]:
        """The options that matter, as older programs have them.

        They are without those of JPEG where there is none, and without newer ones of which nothing is said.
        """
        unsaid: dict[str, Any] = {
            "layout": None,
            "bits": None,
            "background": "black",
            "alpha": "auto",
            "deinterlace": "auto",
        }
        unsaid |= {"sound": True, "shots": "quick"}
        jpeg = ("coding", "quality") if self.coding == "raw" else ()
        return {k: v for k, v in asdict(self).items() if k not in jpeg and (k not in unsaid or v != unsaid[k])}

    @property
    def pictures(self) -> PictureOptions:
        return PictureOptions(self.background, self.alpha, self.bits, self.deinterlace)

    @property
    def signature_shape(self) -> tuple[int, int, int, int]:
        """Shape of a clip's signature: (MOMENTS, g, g', C)."""
        return (MOMENTS, min(GRID, self.height), min(GRID, self.width), self.channels)


@dataclass
class PartClip:
    """A span of a source that can become a clip."""

    start: float
    """Where it begins in the source, in seconds."""
    end: float
    """Where it ends, in seconds."""
    first: int
    """Its first frame within the part."""
    frames: int
    digest: str
    """SHA-256 of its pixels."""
    split: str | None = None
    """`train` or `heldout` where the source prescribes it."""
    label: str | None = None
    caption: str | None = None
    heard: str = ""
    """SHA-256 of its sound, 16 bits at `RATE`; empty where there is none, or an older program has looked."""


@dataclass
class PartRecord:
    """The clips of a source, its faults, and the facts about it."""

    content: str = ""
    """SHA-256 of the source's bytes."""
    clips: list[PartClip] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    """The spans that cannot, or the whole source."""
    frames: int = 0
    damaged: int = 0
    """Damaged frames and packets of the source."""
    truncated: bool = False
    """Whether the source ends before the length that it declares."""
    problem: str = ""
    """The first fault, in the decoder's words."""
    cuts: list[float] = field(default_factory=list)
    """When a new scene begins, in seconds: the cuts that were found."""
    info: dict[str, Any] | None = None
    """The source's `VideoInfo`, or None."""
    comparable: bool = True
    """Whether the clips are compared with others to find near-duplicates."""
    notes: list[str] = field(default_factory=list)
    """What was done to the source's pictures or found out about it, in a few words each."""
    samples: int | None = None
    """Samples of sound at `RATE` that stand beside the frames; None where nobody has looked: an older program."""

    @staticmethod
    def from_json(value: dict[str, Any]) -> PartRecord:
        clips = [PartClip(**clip) for clip in value["clips"]]
        rejections = [Rejection(**rejection) for rejection in value["rejections"]]
        return PartRecord(**{**value, "clips": clips, "rejections": rejections})


def finish_part(
    handle: IO[bytes],
    record: PartRecord,
    signatures: list[Signature],
    fps: float,
    sound: Iterable[npt.NDArray[np.int16]] = (),
) -> None:
    """Write what follows the frames, of which `handle` holds `record.frames` and no more.

    The sound's samples are counted, and each clip's own ones hashed.
    """
    handle.seek(0, 2)
    for signature in signatures:
        handle.write(signature.tobytes())
    ends = [[samples_until(frame, fps, RATE) for frame in (c.first, c.first + c.frames)] for c in record.clips]
    spans = [(first, last, hashlib.sha256()) for first, last in ends]
    record.samples = passed = 0
    for samples in sound:
        stored, begin = samples.astype("<i2").tobytes(), record.samples
        handle.write(stored)
        record.samples += len(samples)
        while passed < len(spans) and spans[passed][1] <= begin:
            passed += 1
        for first, last, digest in itertools.islice(spans, passed, None):
            if first >= record.samples:
                break
            digest.update(stored[2 * max(0, first - begin) : 2 * (last - begin)])
    if record.samples:
        for clip, (_, _, digest) in zip(record.clips, spans, strict=True):
            clip.heard = digest.hexdigest()
    text = json.dumps(asdict(record), ensure_ascii=False).encode("utf-8")
    handle.write(text + len(text).to_bytes(8, "little"))
    handle.flush()


def read_part(path: Path, options: DecodeOptions, verify: bool = False) -> tuple[PartRecord, list[Signature]]:
    """Return the record and the signatures of a part; with `verify`, check the pixels against their digests.

    Raises:
        DatasetError: the part is damaged.
    """
    shape = options.signature_shape
    size = int(np.prod(shape))
    try:
        with locked.open_file(path) as handle:
            end = handle.seek(-8, 2)
            length = int.from_bytes(handle.read(8), "little")
            handle.seek(end - length)
            record = PartRecord.from_json(json.loads(handle.read(length)))
            begin = end - length - 2 * (record.samples or 0) - len(record.clips) * size
            pictures = part_pictures(path, record, options) if options.coding == "jpeg" else None
            if record.frames * options.frame_bytes != begin if pictures is None else record.frames != len(pictures):
                raise ValueError(f"it does not hold {counted(record.frames, 'frame')}")
            handle.seek(begin)
            block = handle.read(len(record.clips) * size)
            for clip in record.clips if verify else ():
                if pictures is not None:
                    for number in range(clip.first, clip.first + clip.frames):
                        pictures.stored(number)  # raises where it is damaged
                    continue
                digest = hashlib.sha256()
                for frames in read_frames(handle, 0, clip.first, clip.frames, options.shape):
                    digest.update(frames.data)
                if digest.hexdigest() != clip.digest:
                    raise ValueError(f"the clip at {clip.start} s is not what was written")
        stacked = np.frombuffer(block, dtype=np.uint8).reshape(len(record.clips), *shape)
    except (OSError, ValueError, KeyError, TypeError, LockError) as error:
        raise DatasetError(f"{path} is damaged ({error})", "remove it and run the same ingest command again") from None
    return record, list(stacked)


def part_pictures(path: Path, record: PartRecord, options: DecodeOptions) -> JpegFile:
    """Open the JPEG pictures of a part, behind each of which stands its small copy."""
    with locked.open_file(path) as handle:
        end = handle.seek(-8, 2) - int.from_bytes(handle.read(8), "little")
    end -= 2 * (record.samples or 0) + len(record.clips) * int(np.prod(options.signature_shape))
    return JpegFile(path, options.shape, options.level_bytes, end)


def read_frames(
    handle: IO[bytes], begin: int, first: int, frames: int, shape: tuple[int, int, int]
) -> Iterator[Frames]:
    """Yield `frames` frames from number `first` on as chunks uint8 (T, H, W, C) of a few MB.

    Args:
        handle: a file in which frames stand one after another.
        begin: the byte at which frame 0 stands.
        first: the first frame to read.
        frames: how many to read.
        shape: (H, W, C) of a frame.
    """
    size = int(np.prod(shape))
    step = max(1, 4 * 2**20 // size)
    handle.seek(begin + first * size)
    for done in range(0, frames, step):
        count = min(step, frames - done)
        block = handle.read(count * size)
        if len(block) != count * size:
            raise DatasetError(f"{handle.name} ends early", "run the same ingest command again")
        yield np.frombuffer(block, dtype=np.uint8).reshape(count, *shape)  # bytes → (T, H, W, C)


@dataclass
class SourceState:
    """A source as an ingest knows it: its part or its places in shards, and its side of the split."""

    stamp: list[list[int]]
    """Size and time of change (ns) of each file of the source."""
    options_digest: str
    """Digest of the options that it was decoded with; empty where the next ingest tries it again."""
    record: PartRecord
    signatures: list[Signature]
    """One for each clip of the record."""
    split: str | None = None
    """The side that was assigned to it, or None for a source without clips."""
    places: list[tuple[str, int] | None] = field(default_factory=list)
    """Shard and offset of each clip of the record; None for one that was not packed."""
    part: Path | None = None
    """The part that holds the frames, or None once it was packed."""


@dataclass
class IngestState:
    """The sources that an ingest packed, kept in the folder for the next one."""

    heldout: float
    """The held-out part that the splits were assigned with."""
    sources: dict[str, SourceState]


def save_state(path: Path, state: IngestState, options: DecodeOptions) -> None:
    """Write the state as one file, atomically."""
    rows = []
    signatures: list[Signature] = []
    for name, source in state.sources.items():
        signatures += source.signatures
        places = [list(place) if place else None for place in source.places]
        row = {
            "name": name,
            "stamp": source.stamp,
            "recipe": source.options_digest,
            "split": source.split,
            "places": places,
        }
        rows.append({**row, "record": asdict(source.record)})
    text = json.dumps({"heldout": state.heldout, "sources": rows}, ensure_ascii=False).encode("utf-8")
    block = np.stack(signatures) if signatures else np.zeros((0, *options.signature_shape), dtype=np.uint8)
    with files.writing(path) as handle:
        np.savez(handle, signatures=block, sources=np.frombuffer(text, dtype=np.uint8))


def load_state(path: Path) -> IngestState | None:
    """Read the state; None where there is none or it cannot be used, which costs a new decoding only."""
    try:
        with locked.open_file(path) as handle, np.load(handle, allow_pickle=False) as stored:
            signatures = list(stored["signatures"])
            value: dict[str, Any] = json.loads(stored["sources"].tobytes())
        state = IngestState(value["heldout"], {})
        at = 0
        for row in value["sources"]:
            record = PartRecord.from_json(row["record"])
            own = signatures[at : at + len(record.clips)]
            at += len(own)
            places = [(place[0], place[1]) if place else None for place in row["places"]]
            state.sources[row["name"]] = SourceState(row["stamp"], row["recipe"], record, own, row["split"], places)
    except Exception:  # NumPy's header parser lets through whatever Python's own raises
        return None
    return state


def shard_frames(path: Path, options: DecodeOptions) -> int | None:
    """Return the number of frames in a shard, or None when it or its level is missing, cut off or of another shape."""
    arrays = {path: options.shape} if options.coding == "raw" else {}
    if options.level_shape:
        arrays[path.with_name(level_file(path.name))] = options.level_shape
    try:
        counts = set() if options.coding == "raw" else {len(JpegFile(path, options.shape))}
        for name, shape in arrays.items():
            array = load_array(name)
            counts.add(len(array) if array.dtype == np.uint8 and array.shape[1:] == shape else -1)
    except Exception:  # NumPy's header parser lets through whatever Python's own raises
        return None
    return counts.pop() if len(counts) == 1 and -1 not in counts else None


Wanted = tuple[str, int]
"""A clip to pack: name of the source, index among the clips of its record."""


def pack(
    folder: Path, wanted: Sequence[Wanted], states: dict[str, SourceState], options: DecodeOptions
) -> Iterator[int]:
    """Bring the wanted clips into shards; yield how many are done, now and then.

    A shard of an earlier ingest stays when all of it is still wanted and it is not small. What
    stands in the others is copied, together with what is new, to new shards. On return each
    wanted clip has its place in `states`; the old shards are still there.

    Raises:
        OSError: a shard cannot be written; what was there before is untouched.
    """
    chosen = set(wanted)
    used: Counter[str] = Counter()
    for name, i in wanted:
        if place := states[name].places[i]:
            used[place[0]] += states[name].record.clips[i].frames
    totals = {shard: shard_frames(folder / shard, options) or 0 for shard in used}
    moved = {shard for shard in used if used[shard] < totals[shard]}
    if any(not states[name].places[i] for name, i in wanted):  # a small last shard is filled up
        moved |= {shard for shard in used if totals[shard] * options.stored_bytes < SHARD_BYTES // 2}
    queue = [(name, i) for name, i in wanted if not (place := states[name].places[i]) or place[0] in moved]
    groups: list[list[Wanted]] = []  # one for each new shard
    room = 0
    for name, i in queue:
        size = states[name].record.clips[i].frames * options.stored_bytes
        if size > room:
            groups.append([])
            room = SHARD_BYTES
        groups[-1].append((name, i))
        room -= size
    numbers = [int(match[1]) for path in folder.glob("shard-*") if (match := SHARD.fullmatch(path.name))]
    number = 1 + max(numbers, default=-1)
    written: list[Path] = []
    new_places: dict[Wanted, tuple[str, int]] = {}
    try:
        for group in groups:
            path = folder / f"shard-{number + len(written):05d}{ENDINGS[options.coding]}"
            written.append(path)
            write_shard = write_raw_shard if options.coding == "raw" else write_jpeg_shard
            placed = write_shard(path, group, states, options)
            write_sound_beside(path, placed, states, options)
            new_places |= placed
            yield len(new_places)
    except BaseException:
        for path in written:
            for name in (path.name, level_file(path.name), sound_file(path.name)):
                path.with_name(name).unlink(missing_ok=True)
        raise
    for name, state in states.items():
        state.places = [
            new_places.get((name, i), place if (name, i) in chosen else None) for i, place in enumerate(state.places)
        ]


def _header(frames: int, shape: tuple[int, int, int]) -> bytes:
    """Return the beginning of a `.npy` file of frames of one shape (H, W, C)."""
    header = io.BytesIO()
    fields = {"descr": "|u1", "fortran_order": False, "shape": (frames, *shape)}
    np.lib.format.write_array_header_1_0(header, fields)
    return header.getvalue()


def write_sound_beside(
    path: Path, placed: dict[Wanted, tuple[str, int]], states: dict[str, SourceState], options: DecodeOptions
) -> None:
    """Write the sound of the clips of a new shard, whose places are known, where any has some."""
    if not any(states[name].record.samples for name, _ in placed):
        return

    def until(frame: int) -> int:
        return samples_until(frame, options.fps, RATE)

    total = sum(states[name].record.clips[i].frames for name, i in placed)
    with files.writing(path.with_name(sound_file(path.name))) as out:
        np.lib.format.write_array_header_1_0(out, {"descr": "<i2", "fortran_order": False, "shape": (until(total),)})
        begin = out.tell()
        out.truncate(begin + 2 * until(total))
        for (name, i), (_, offset) in placed.items():
            state = states[name]
            clip, place, samples = state.record.clips[i], state.places[i], state.record.samples
            if not samples:
                continue
            first, count = until(offset), until(offset + clip.frames) - until(offset)
            if place:
                track = load_array(path.parent / sound_file(place[0]))
                own = track[until(place[1]) : until(place[1] + clip.frames)]
            else:
                assert state.part is not None
                with locked.open_file(state.part) as part:
                    end = part.seek(-8, 2)
                    end -= int.from_bytes(part.read(8), "little")
                    begin_here, end_here = (min(until(n), samples) for n in (clip.first, clip.first + clip.frames))
                    part.seek(end - 2 * (samples - begin_here))
                    own = np.frombuffer(part.read(2 * (end_here - begin_here)), "<i2")
            out.seek(begin + 2 * first)
            out.write(own[:count].tobytes())


def write_raw_shard(
    path: Path, group: Sequence[Wanted], states: dict[str, SourceState], options: DecodeOptions
) -> dict[Wanted, tuple[str, int]]:
    """Write one shard, a few MB at a time; return the places of its clips."""
    places: dict[Wanted, tuple[str, int]] = {}
    total = sum(states[name].record.clips[i].frames for name, i in group)
    offset = 0
    with files.writing(path) as out, contextlib.ExitStack() as opened:
        out.write(_header(total, options.shape))
        source: tuple[Path, IO[bytes], int] | None = None
        for name, i in group:
            state = states[name]
            clip, place = state.record.clips[i], state.places[i]
            origin = path.parent / place[0] if place else state.part
            assert origin is not None
            if source is None or source[0] != origin:
                opened.close()
                handle = opened.enter_context(locked.open_file(origin))
                # A shard begins with NumPy's header.
                source = (origin, handle, load_array(origin).offset if place else 0)
            first = place[1] if place else clip.first
            for block in read_frames(source[1], source[2], first, clip.frames, options.shape):
                out.write(block.data)
            places[name, i] = (path.name, offset)
            offset += clip.frames
    return places


def write_jpeg_shard(
    path: Path, group: Sequence[Wanted], states: dict[str, SourceState], options: DecodeOptions
) -> dict[Wanted, tuple[str, int]]:
    """Write one shard of JPEG pictures, and its level, without decoding them; return the places of its clips."""
    places: dict[Wanted, tuple[str, int]] = {}
    total = sum(states[name].record.clips[i].frames for name, i in group)
    origin, pictures, level = None, None, None
    with contextlib.ExitStack() as opened:
        out = opened.enter_context(files.writing(path))
        writer, copies = JpegWriter(out), None
        if options.level_shape:
            copies = opened.enter_context(files.writing(path.with_name(level_file(path.name))))
            copies.write(_header(total, options.level_shape))
        for name, i in group:
            state = states[name]
            clip, place = state.record.clips[i], state.places[i]
            found = path.parent / place[0] if place else state.part
            assert found is not None
            if found != origin:
                origin = found
                pictures = JpegFile(found, options.shape) if place else part_pictures(found, state.record, options)
                if place and copies:
                    level = load_array(found.with_name(level_file(found.name)))
            assert pictures is not None
            first = place[1] if place else clip.first
            places[name, i] = (path.name, writer.count)
            for number in range(first, first + clip.frames):
                content = pictures.stored(number)
                end = len(content) - pictures.companion
                writer.add(content[:end])
                if copies:
                    copies.write(level[number : number + 1].data if place and level is not None else content[end:])
        writer.finish()
    return places
