"""Keeping tables and files together: verifying, repairing, and removing what is no longer needed."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from footage import files
from footage.errors import FootageError
from footage.library import additions, edits, similarity
from footage.library.additions import ClipDetails
from footage.library.entries import ClipEntry
from footage.library.storage import PICTURE_SUFFIXES, STALE, VIDEO_SUFFIXES, Storage
from footage.media.thumbnails import read_thumbnails

BATCH = 200
"""Clips that are looked at, or removed, at once."""
ASIDE = "aside"
"""Folder of the library for files that are not what they should be; nothing in it is removed by itself."""


@dataclass(frozen=True)
class VerificationReport:
    """What was found, and what became of it. Clips are given by their numbers, files by their paths in the library."""

    clips: int
    """Clips that were looked at."""
    faults: tuple[str, ...]
    """What is wrong with the database itself, in words."""
    missing: tuple[int, ...]
    """Clips whose files are gone; they are marked so."""
    found: tuple[int, ...]
    """Clips that had been missing, and whose files are back."""
    changed: tuple[int, ...]
    """Clips whose files are not what was added: those become clips of their own, and these are marked as missing."""
    orphans: tuple[str, ...]
    """Files that no clip named."""
    adopted: tuple[int, ...]
    """Clips made of such files; what cannot be one is put into the folder `aside`."""
    pictures: tuple[int, ...]
    """Clips whose thumbnail or preview was missing or damaged, and made again."""
    vectors: tuple[int, ...]
    """Clips whose embedding was missing, and made again."""
    unfound: tuple[int, ...]
    """Clips whose words were missing in the search, and are there again."""

    @property
    def sound(self) -> bool:
        """Whether nothing was wrong."""
        kinds = (self.faults, self.missing, self.changed, self.orphans, self.pictures, self.vectors, self.unfound)
        return not any(kinds)


@dataclass(frozen=True)
class CollectionReport:
    """What was removed."""

    purged: int
    """Clips of the bin."""
    files: int
    """Files that no clip needs."""
    bytes: int
    """Their size."""


@dataclass
class _Found:
    """What has been found so far."""

    clips: int = 0
    missing: list[int] = field(default_factory=list)
    found: list[int] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    adopted: list[int] = field(default_factory=list)
    pictures: list[int] = field(default_factory=list)
    vectors: list[int] = field(default_factory=list)
    unfound: list[int] = field(default_factory=list)


def verify(storage: Storage, *, repair: bool, quick: bool) -> VerificationReport:
    """Compare the tables with the files; see `Library.verify`."""
    faults = storage.database.faults()
    if faults and repair:
        with storage.database.write() as connection:
            connection.execute("INSERT INTO words (words) VALUES ('rebuild')")
            connection.execute("REINDEX")
    seen = _Found()
    for entry in _all(storage):
        seen.clips += 1
        if _verify_file(storage, entry, seen, repair=repair, quick=quick):
            _verify_pictures(storage, entry, seen, repair=repair)
    with storage.database.read() as connection:
        rows = connection.execute("SELECT id FROM clips WHERE id NOT IN (SELECT clip FROM texts)").fetchall()
    seen.unfound = [row["id"] for row in rows]
    if repair and seen.unfound:
        with storage.database.write() as connection:
            edits.index(connection, seen.unfound)
    _verify_orphans(storage, seen, repair=repair)
    lists = {name: tuple(value) for name, value in vars(seen).items() if name != "clips"}
    return VerificationReport(clips=seen.clips, faults=tuple(faults), **lists)


def _all(storage: Storage) -> Iterator[ClipEntry]:
    """Yield every clip, those of the bin too, a few at a time."""
    last = 0
    while True:
        with storage.database.read() as connection:
            rows = connection.execute("SELECT id FROM clips WHERE id > ? ORDER BY id LIMIT ?", (last, BATCH)).fetchall()
            entries = storage.entries(connection, [row["id"] for row in rows])
        if not entries:
            return
        yield from entries
        last = entries[-1].id


def _verify_file(storage: Storage, entry: ClipEntry, seen: _Found, *, repair: bool, quick: bool) -> bool:
    """Look at a clip's file; return whether it is there and what was added."""
    path = storage.file_store.path(entry.digest, entry.suffix)
    there = storage.file_store.inside(path)
    sound = there and path.stat().st_size == entry.bytes and (quick or files.file_digest(path) == entry.digest)
    if not there:
        seen.missing.append(entry.id)
        if repair and path.is_symlink():
            _set_aside(storage, path)
    elif not sound:
        seen.changed.append(entry.id)
    elif entry.missing:
        seen.found.append(entry.id)
    if repair and entry.missing == sound:
        with storage.database.write() as connection:
            connection.execute("UPDATE clips SET missing = ? WHERE id = ?", (int(not sound), entry.id))
    if repair and there and not sound:
        with contextlib.suppress(FileNotFoundError):
            _adopt(storage, path, f"{entry.title} (changed)", seen)
    return sound


def _verify_pictures(storage: Storage, entry: ClipEntry, seen: _Found, *, repair: bool) -> None:
    """Look at the pictures and the vector of a clip whose file is sound."""
    drawn = all(_is_webp(storage, path) for path in _pictures(storage, entry))
    vectors = storage.vectors(similarity.APPEARANCE)
    placed = not vectors.lacking([entry.id])
    if not drawn:
        seen.pictures.append(entry.id)
    if not placed:
        seen.vectors.append(entry.id)
    if not repair or (drawn and placed):
        return
    known = read_thumbnails(storage.file_store.path(entry.digest, entry.suffix))
    if not drawn:
        for path in _pictures(storage, entry):
            if path.is_symlink():
                path.unlink()
        storage.file_store.draw(entry.digest, known)
    if not placed:
        with storage.database.write():
            vectors.put({entry.id: similarity.appearance(known)})


def _pictures(storage: Storage, entry: ClipEntry) -> tuple[Path, Path]:
    return storage.file_store.thumbnail(entry.digest), storage.file_store.preview(entry.digest)


def _is_webp(storage: Storage, path: Path) -> bool:
    """Whether a file is there and as long as its header says (RIFF container, Google's WebP specification)."""
    if not storage.file_store.inside(path):
        return False
    with open(path, "rb") as handle:
        head = handle.read(12)
    size = int.from_bytes(head[4:8], "little") + 8
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP" and size == path.stat().st_size


def _verify_orphans(storage: Storage, seen: _Found, *, repair: bool) -> None:
    """Look for files that no clip names; make clips of those that can be one."""
    with storage.database.read() as connection:
        named = {(row["digest"], row["suffix"]) for row in connection.execute("SELECT digest, suffix FROM clips")}
    lost = [path for digest, suffix, path in storage.file_store.clip_files() if (digest, suffix) not in named]
    for path in [*lost, *storage.file_store.unknown_files()]:
        seen.orphans.append(path.relative_to(storage.folder).as_posix())
        if repair:
            with contextlib.suppress(FileNotFoundError):
                _adopt(storage, path, path.stem, seen)


def _adopt(storage: Storage, path: Path, title: str, seen: _Found) -> None:
    """Make a clip of a file that lies in the library under a name that is not its own; else put it aside."""
    suffix = path.suffix.lower().removeprefix(".")
    moved = _set_aside(storage, path)
    if moved.is_symlink() or not moved.is_file() or suffix not in VIDEO_SUFFIXES | PICTURE_SUFFIXES:
        return
    try:
        short = title[:12] if len(title) == 64 else title
        entry, new = additions.add(storage, moved, ClipDetails(title=f"found {short}", source=""))
    except FootageError:
        return
    if new:
        seen.adopted.append(entry.id)
    moved.unlink()


def _set_aside(storage: Storage, path: Path) -> Path:
    """Move something out of the way, whatever it is; return where it is now."""
    aside = storage.folder / ASIDE
    aside.mkdir(exist_ok=True)
    target = aside / path.name
    number = 1
    while target.exists() or target.is_symlink():
        number += 1
        target = aside / f"{path.stem}-{number}{path.suffix}"
    os.replace(path, target)
    return target


def collect(
    storage: Storage,
    *,
    chosen: Sequence[int] | None = None,
    purge: bool = False,
    older: float = 0.0,
    sweep: bool = False,
) -> CollectionReport:
    """Remove clips of the bin for good, and, to sweep, files that no clip needs; see `Library.gc`."""
    purged = _purge(storage, chosen, time.time() - older) if purge else 0
    if not sweep:
        return CollectionReport(purged, 0, 0)
    count, size = storage.file_store.sweep(), 0
    old = time.time() - STALE
    for digest, suffix, path in storage.file_store.clip_files():
        if path.lstat().st_mtime < old:
            with storage.database.write() as connection:  # nobody adds a clip meanwhile
                row = connection.execute("SELECT suffix FROM clips WHERE digest = ?", (digest,)).fetchone()
                if row is None or row["suffix"] != suffix:
                    size += path.lstat().st_size
                    count += 1
                    path.unlink()
    with storage.database.read() as connection:
        named = {row["digest"] for row in connection.execute("SELECT digest FROM clips")}
    for digest, path in storage.file_store.picture_files():
        if digest not in named and path.lstat().st_mtime < old:
            size += path.lstat().st_size
            count += 1
            path.unlink(missing_ok=True)
    storage.database.maintain()
    return CollectionReport(purged, count, size)


def _purge(storage: Storage, chosen: Sequence[int] | None, before: float) -> int:
    """Remove clips that lie in the bin since before a time: file, pictures, vectors, rows."""
    with storage.database.read() as connection:
        rows = connection.execute("SELECT id FROM clips WHERE deleted IS NOT NULL AND deleted <= ?", (before,))
        wanted = None if chosen is None else set(chosen)
        binned = [row["id"] for row in rows if wanted is None or row["id"] in wanted]
        kinds = [similarity.APPEARANCE, *(row["kind"] for row in connection.execute("SELECT kind FROM embeddings"))]
    purged = 0
    for first in range(0, len(binned), BATCH):
        with storage.database.write() as connection:
            entries = storage.entries(connection, binned[first : first + BATCH])
            gone = [entry for entry in entries if entry.deleted is not None]  # none came back meanwhile
            for kind in kinds:
                vectors = storage.vectors(kind)
                there = len(vectors.matrix())
                zeros = np.zeros(vectors.width, dtype=np.float32)
                vectors.put({entry.id: zeros for entry in gone if entry.id < there})
            for entry in gone:
                # The file first: a clip of the bin without its file does no harm, a file without its clip comes back.
                storage.file_store.remove(entry.digest, entry.suffix)
                connection.execute("DELETE FROM clips WHERE id = ?", (entry.id,))
            connection.execute(
                "DELETE FROM history WHERE id NOT IN (SELECT entry FROM changes) "
                "AND id NOT IN (SELECT entry FROM named_changes)"
            )
            purged += len(gone)
    return purged
