"""The part of one source: its frames, decoded, and what was found out about them, in one file.

A part is written by a worker process and is whole or not there. Its layout: the frames, the
signatures of the clips, a JSON record (`PartRecord`), and the length of the record in 8 bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from footage.data.store import Frames, Rejection
from footage.errors import DatasetError
from footage.media.geometry import Fit
from footage.media.signatures import GRID, MOMENTS, Signature


@dataclass(frozen=True)
class Recipe:
    """The options that the pixels and spans of a part depend on."""

    height: int
    """Height of the frames, in pixels."""
    width: int
    """Width of the frames, in pixels."""
    channels: int
    """1 for grey, 3 for RGB."""
    fps: float
    """Frames in a second."""
    fit: Fit
    """One of `geometry.FITS`."""
    min_frames: int
    """Shorter clips are left out."""
    cuts: bool
    """Whether to divide at scene cuts."""
    keep_static: bool
    """Whether to keep clips in which nothing moves."""
    heldout: float
    """Part of an array that is held out."""
    digits: int
    """Digits in a clip made from IDX images."""
    sequences: int
    """Clips made from the IDX images of a file: this many for training, a quarter of it held out."""
    clip_frames: int
    """Frames in a clip made from IDX images."""
    seed: int
    """Seed of the clips made from IDX images."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a frame: (H, W, C)."""
        return (self.height, self.width, self.channels)

    @property
    def frame_bytes(self) -> int:
        """Size of a frame, in bytes."""
        return self.height * self.width * self.channels

    @property
    def signature_shape(self) -> tuple[int, int, int, int]:
        """Shape of a clip's signature: (MOMENTS, g, g', C)."""
        return (MOMENTS, min(GRID, self.height), min(GRID, self.width), self.channels)


@dataclass
class Clip:
    """A span of a source that can become a clip."""

    start: float
    """Where it begins in the source, in seconds."""
    end: float
    """Where it ends, in seconds."""
    first: int
    """Its first frame within the part."""
    frames: int
    """Number of frames."""
    digest: str
    """SHA-256 of its pixels."""
    split: str | None = None
    """`train` or `heldout` where the source prescribes it."""
    label: str | None = None
    """Class where the source prescribes it."""
    caption: str | None = None
    """Caption where the source prescribes it."""


@dataclass
class PartRecord:
    """What was found out about one source."""

    content: str = ""
    """SHA-256 of the source's bytes."""
    clips: list[Clip] = field(default_factory=list)
    """The spans that can become clips."""
    rejections: list[Rejection] = field(default_factory=list)
    """The spans that cannot, or the whole source."""
    frames: int = 0
    """Frames in the part."""
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

    @staticmethod
    def from_json(value: dict[str, Any]) -> PartRecord:
        """Rebuild a record from JSON."""
        clips = [Clip(**clip) for clip in value["clips"]]
        rejections = [Rejection(**rejection) for rejection in value["rejections"]]
        return PartRecord(**{**value, "clips": clips, "rejections": rejections})


def finish_part(handle: IO[bytes], record: PartRecord, signatures: list[Signature], recipe: Recipe) -> None:
    """Write what follows the frames. `handle` holds at least `record.frames` frames from its beginning on."""
    handle.truncate(record.frames * recipe.frame_bytes)
    handle.seek(0, 2)
    for mark in signatures:
        handle.write(mark.tobytes())
    text = json.dumps(asdict(record), ensure_ascii=False).encode("utf-8")
    handle.write(text + len(text).to_bytes(8, "little"))
    handle.flush()


def read_part(path: Path, recipe: Recipe, verify: bool = False) -> tuple[PartRecord, list[Signature]]:
    """Return the record and the signatures of a part; with `verify`, check the pixels against their digests.

    Raises:
        DatasetError: the part is damaged.
    """
    shape = recipe.signature_shape
    size = int(np.prod(shape))
    try:
        with open(path, "rb") as handle:
            end = handle.seek(-8, 2)
            length = int.from_bytes(handle.read(8), "little")
            handle.seek(end - length)
            record = PartRecord.from_json(json.loads(handle.read(length)))
            handle.seek(record.frames * recipe.frame_bytes)
            block = handle.read(len(record.clips) * size)
            for clip in record.clips if verify else ():
                digest = hashlib.sha256()
                for frames in read_frames(handle, 0, clip.first, clip.frames, recipe.shape):
                    digest.update(frames.data)
                if digest.hexdigest() != clip.digest:
                    raise ValueError(f"the clip at {clip.start} s is not what was written")
        marks = np.frombuffer(block, dtype=np.uint8).reshape(len(record.clips), *shape)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path} is damaged ({error})", "remove it and run the same ingest command again") from None
    return record, list(marks)


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
