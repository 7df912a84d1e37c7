"""Clips pass by once, and everything that is to be known of them is written down: features, logits, closed forms."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from footage import files
from footage.data.clips import Labels
from footage.data.store import Frames
from footage.errors import ConfigError
from footage.evaluation.closed import VERSION, Columns, closed_form, glance, small_copies, small_shape
from footage.evaluation.features.base import About, Extractor
from footage.evaluation.sides import BATCH, Clips
from footage.evaluation.store import Store, Stored
from footage.metrics.rows import Chosen, Rows

ROWS = 4096
"""Frames that a part describes, at most."""
CLOSED, SMALL, GLANCE = "closed forms", "small copies", "glance"
"""Names of what needs no network."""


@dataclass(frozen=True)
class Reader:
    """Something that makes vectors of clips."""

    name: str
    """What its vectors are called."""
    digest: str
    """Identifies how it does it."""
    of: str
    """`clip` or `frame`: what it gives a vector for."""
    size: int
    """Length of a vector."""
    dtype: npt.DTypeLike
    """Kind of its values."""
    read: Callable[[Frames], npt.NDArray[Any]]
    """Clips uint8 (B, T, H, W, C) -> (N, size)."""
    step: str
    """What its time is counted as."""


def readers(
    nets: Sequence[Extractor], clips: Clips, *, logits: Collection[str] = (), closed: bool = True
) -> list[Reader]:
    """Return what is to be read of clips: the features of networks, their logits, the closed forms, small copies.

    Args:
        nets: the networks.
        clips: the clips.
        logits: names of the networks whose logits are to be read too.
        closed: whether closed forms and small copies are.

    Raises:
        ConfigError: the clips are too small or too short for a network.
    """
    shape, found = clips.shape, list[Reader]()
    for net in nets:
        about = net.about
        _check_least(about, clips)
        found.append(
            Reader(about.name, about.digest, about.of, about.size, np.float32, _features(net), f"network {about.name}")
        )
        if about.name in logits and about.classes:
            name, size = logits_name(about.name), len(about.classes)
            found.append(
                Reader(
                    name, f"{about.digest} logits", about.of, size, np.float32, _logits(net), f"network {about.name}"
                )
            )
    columns = Columns(shape.frames)
    small = int(np.prod(small_shape(shape.frames, shape.height, shape.width, shape.channels)))
    found.append(Reader(GLANCE, f"{VERSION}", "clip", 2, np.float64, glance, GLANCE))
    if closed:
        found.append(Reader(CLOSED, columns.digest, "clip", columns.size, np.float64, closed_form, CLOSED))
        found.append(Reader(SMALL, f"{VERSION}", "clip", small, np.uint8, small_copies, CLOSED))
    return found


def logits_name(net: str) -> str:
    """Return what the logits of a network are called."""
    return f"{net} logits"


def _features(net: Extractor) -> Callable[[Frames], npt.NDArray[Any]]:
    return lambda frames: net.features(frames).numpy()


def _logits(net: Extractor) -> Callable[[Frames], npt.NDArray[Any]]:
    def read(frames: Frames) -> npt.NDArray[Any]:
        found = net.logits(frames)
        assert found is not None, f"{net.about.name} has classes and no logits"
        return found.numpy()

    return read


def _check_least(about: About, clips: Clips) -> None:
    shape = clips.shape
    have = (shape.frames, shape.height, shape.width)
    if any(n < least for n, least in zip(have, about.least, strict=True)):
        frames, height, width = about.least
        raise ConfigError(
            f"clips are {shape.frames} frames of {shape.width}×{shape.height}, {about.name} needs at least "
            f"{frames} of {width}×{height}",
            "give more --frames or a larger --size, or another network",
        )
    if about.frames not in (None, shape.frames):
        raise ConfigError(
            f"clips have {shape.frames} frames, {about.name} takes {about.frames}", f"give --frames {about.frames}"
        )


@dataclass
class Clock:
    """Where the time goes."""

    seconds: dict[str, float] = field(default_factory=dict)
    """Seconds by step."""

    def add(self, step: str, since: float) -> float:
        """Count the time since a moment for a step; return the present one."""
        now = time.perf_counter()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - since
        return now


@dataclass(frozen=True)
class Described:
    """What is known of a set of clips."""

    clips: Clips
    """The clips."""
    rows: dict[str, Rows]
    """Vectors by name: those of the networks, CLOSED and SMALL."""
    each: dict[str, int]
    """Rows of a clip, by name."""
    labels: Labels
    """Class of each clip, (N,), or -1."""

    @property
    def count(self) -> int:
        """Clips."""
        return len(self.labels)

    def chosen(self, numbers: Labels) -> Described:
        """Return what is known of some of the clips."""
        rows: dict[str, Rows] = {}
        for name, known in self.rows.items():
            each = self.each[name]
            every = (numbers[:, None] * each + np.arange(each)).reshape(-1)
            rows[name] = Chosen(known, every)
        return Described(self.clips, rows, self.each, self.labels[numbers])


def describe(
    clips: Clips,
    wanted: Sequence[Reader],
    store: Store,
    clock: Clock,
    on_progress: Callable[[int, int], None] | None = None,
) -> Described:
    """Read what is not in the store yet, and return everything that is wanted of the clips.

    Args:
        clips: which.
        wanted: what is to be known.
        store: where it is kept.
        clock: counts the time.
        on_progress: called with the clips that are done and their number.

    Raises:
        ConfigError: a network gives what is not finite; the clip is named.
    """
    frames = clips.shape.frames
    size = max(BATCH, ROWS // frames // BATCH * BATCH)
    size = max(1, size // clips.part) * clips.part
    entries: dict[str, Stored] = {}
    for reader in wanted:
        key = files.json_digest([clips.digest, reader.digest, reader.name, torch.__version__])
        each = frames if reader.of == "frame" else 1
        entries[reader.name] = store.entry(key, clips.count, each, size, reader.size, reader.dtype)
    parts = [range(first, min(first + size, clips.count)) for first in range(0, clips.count, size)]
    for number, rows in enumerate(parts):
        since = time.perf_counter()
        missing = [reader for reader in wanted if not entries[reader.name].whole(number)]
        clock.add("stored features", since)
        if missing:
            _read_part(clips, rows, missing, entries, number, clock)
        if on_progress is not None:
            on_progress(rows.stop, clips.count)
    each_of = {name: entry.each for name, entry in entries.items()}
    return Described(clips, dict(entries), each_of, clips.labels)


def _read_part(
    clips: Clips, rows: range, missing: list[Reader], entries: dict[str, Stored], number: int, clock: Clock
) -> None:
    """Let the clips of a part pass by, and write what was missing."""
    found = {
        reader.name: np.empty((len(rows), entries[reader.name].each, reader.size), dtype=reader.dtype)
        for reader in missing
    }
    since = time.perf_counter()
    for numbers, frames in clips.batches(rows):
        since = clock.add("clips", since)
        for reader in missing:
            values = reader.read(frames).reshape(len(numbers), -1, reader.size)
            if not np.isfinite(values).all():
                bad = numbers[~np.isfinite(values).all(axis=(1, 2))][0]
                name, start = clips.named(int(bad))
                raise ConfigError(
                    f"{reader.name} gives what is not finite for {name}, from frame {start} on",
                    "look at that clip and leave it out, or give other weights",
                )
            found[reader.name][numbers - rows.start] = values
            since = clock.add(reader.step, since)
    for reader in missing:
        entries[reader.name].write(number, found[reader.name].reshape(-1, reader.size))
    clock.add("stored features", since)
