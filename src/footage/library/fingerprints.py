"""Fingerprints of a library's clips, and the clip that a file was copied from."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from footage.errors import FootageError, MediaError
from footage.files import file_digest
from footage.library.entries import ClipEntry
from footage.media.decode import Frames
from footage.media.fingerprints import (
    CROPS,
    SHOWN_VERSION,
    VERSION,
    WIDTH,
    Closer,
    Codes,
    Fingerprint,
    Match,
    Samples,
    Shown,
    find,
    make_codes,
    read_fingerprint,
)
from footage.media.reader import Footage

if TYPE_CHECKING:
    from footage.library.storage import Storage


@dataclass(frozen=True)
class FoundClip:
    """The clip of a library that a file was copied from."""

    entry: ClipEntry
    match: Match
    same: Literal["", "bytes", "frames"] = ""
    """What the file has of the clip's file, all of it; nothing where it is a copy that was changed."""


def keep_fingerprint(connection: sqlite3.Connection, clip: int, made: Fingerprint) -> None:
    """Write a clip's fingerprint into its rows."""
    codes = make_codes(made.samples).astype("<u8").tobytes()
    connection.execute("INSERT OR REPLACE INTO fingerprints VALUES (?, ?, ?)", (clip, VERSION, codes))
    connection.execute("INSERT OR REPLACE INTO fingerprint_samples VALUES (?, ?)", (clip, made.samples.tobytes()))
    _keep_shown(connection, clip, made.shown)


def _keep_shown(connection: sqlite3.Connection, clip: int, shown: Shown) -> None:
    row = clip, SHOWN_VERSION, shown.packed()
    connection.execute("INSERT OR REPLACE INTO fingerprint_frames VALUES (?, ?, ?)", row)


class Fingerprints:
    """Makes what is lacking, and finds the clips that files were copied from. Threads may share it."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._lock = threading.Lock()
        self._known: tuple[tuple[int, ...], Codes] | None = None

    def make(self, progress: Callable[[int, int], object] = lambda *_: None) -> int:
        """Make the fingerprints that are lacking; return how many. Clips that cannot be read are passed over."""
        with self._storage.database.read() as connection:
            rows = connection.execute(
                "SELECT id FROM clips WHERE missing = 0 "
                "AND id NOT IN (SELECT clip FROM fingerprints WHERE version = ?)",
                (VERSION,),
            )
            lacking = [row["id"] for row in rows]
        return self._storage.look_at(lacking, read_fingerprint, keep_fingerprint, progress)

    def find(self, path: Path, progress: Callable[[int, int], object] = lambda *_: None) -> FoundClip | None:
        """Return the clip that a file was copied from; see `Library.find`."""
        own = read_fingerprint(path)
        if not self._storage.database.read_only:
            self.make(progress)

        digest = file_digest(path)
        with self._storage.database.read() as connection:
            rows = connection.execute("SELECT id FROM clips WHERE digest = ?", (digest,)).fetchall()
            if rows:
                entry = self._storage.entry(connection, rows[0]["id"])
                return FoundClip(entry, Match(entry.id, likeness=1.0, begins=0.0, part=1.0), "bytes")

        def read(clips: Sequence[int]) -> dict[int, Samples]:
            """Return the samples of clips, by number, in their order."""
            with self._storage.database.read() as connection:
                rows = connection.execute(
                    "SELECT clip, samples FROM fingerprint_samples WHERE clip IN (SELECT value FROM json_each(?))",
                    (json.dumps(list(clips)),),
                )
                found = {row["clip"]: np.frombuffer(row["samples"], np.uint8).reshape(-1, WIDTH) for row in rows}
            return {clip: found[clip] for clip in clips if clip in found}

        match = find(self.codes(), own.samples, read, Closer(own.shown, self.shown))
        if match is None:
            return None
        with self._storage.database.read() as connection:
            entries = self._storage.entries(connection, [match.clip])
        if not entries:  # it was purged meanwhile
            return None

        def frames(place: Path) -> Iterator[Frames]:
            clip = Footage(place)
            height, width = clip.size()
            for chunk in clip.chunks(height=height, width=width, channels=3, fps=clip.rate() or 1):
                yield from chunk

        with contextlib.suppress(FootageError, OSError):  # its file may be gone
            if not match.mirrored and (stored := self._file(match.clip)) is not None:
                pairs = zip_longest(frames(path), frames(stored), fillvalue=np.empty(0))
                if all(np.array_equal(one, other) for one, other in pairs):
                    return FoundClip(entries[0], replace(match, likeness=1.0, begins=0.0, part=1.0), "frames")
        return FoundClip(entries[0], match)

    def shown(self, clip: int) -> Shown | None:
        """Return a clip's frames, None where it has effects and none were kept.

        Those of a clip that an older version took in are read from its file, and kept.

        Raises:
            FootageError: none were kept, and its file is gone or cannot be read.
        """
        with self._storage.database.read() as connection:
            row = connection.execute(
                "SELECT frames FROM fingerprint_frames WHERE clip = ? AND version = ?", (clip, SHOWN_VERSION)
            ).fetchone()
        if row is not None:
            with contextlib.suppress(MediaError):
                return Shown.unpacked(row["frames"])
        if (path := self._file(clip)) is None:
            return None
        shown = read_fingerprint(path).shown
        if not self._storage.database.read_only:
            with self._storage.database.write() as connection:
                if connection.execute("SELECT 1 FROM fingerprints WHERE clip = ?", (clip,)).fetchone():
                    _keep_shown(connection, clip, shown)
        return shown

    def _file(self, clip: int) -> Path | None:
        """Return a clip's file; None of one with effects, which might have to be rendered first."""
        with self._storage.database.read() as connection:
            entry = self._storage.entry(connection, clip)
        return None if entry.edited is not None else self._storage.clip_file(entry)

    def codes(self) -> Codes:
        """Return the codes of all clips, read anew where clips came or went."""
        with self._lock, self._storage.database.read() as connection:
            state = connection.execute(
                "SELECT count(*), coalesce(max(clip), 0), coalesce(sum(clip), 0) FROM fingerprints WHERE version = ?",
                (VERSION,),
            ).fetchone()
            if self._known is None or self._known[0] != tuple(state):
                rows = connection.execute("SELECT clip, codes FROM fingerprints WHERE version = ?", (VERSION,))
                made = ((row["clip"], np.frombuffer(row["codes"], "<u8").reshape(-1, len(CROPS))) for row in rows)
                self._known = tuple(state), Codes(made)
            return self._known[1]
