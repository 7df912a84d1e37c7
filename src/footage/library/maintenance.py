"""Keeping tables and files together: verifying, repairing, and removing what is no longer needed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import time
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from footage import files
from footage.errors import FootageError, LibraryError, LockError
from footage.files import locked
from footage.library import additions, edits, similarity
from footage.library.additions import ClipDetails
from footage.library.edited import HangingClips, hanging
from footage.library.entries import ClipEntry
from footage.library.fingerprints import Fingerprints
from footage.library.storage import STALE, Storage
from footage.library.taste import TasteLearner
from footage.media.kinds import KEPT_SUFFIXES, suffix_of
from footage.media.thumbnails import read_thumbnails

Hanging = Literal["refuse", "take", "keep"]
"""What becomes of clips that are one with effects of another that is removed."""
OWN_VERSIONS = """
    SELECT digest FROM versions v WHERE clip = ?
        AND NOT EXISTS (SELECT 1 FROM versions o WHERE o.digest = v.digest AND o.clip <> v.clip)
"""
"""Selects what a clip with effects is, or was, known by, and no other clip."""
UNUSED_TABLES = """
    DELETE FROM colour_tables WHERE NOT EXISTS (SELECT 1 FROM versions WHERE instr(chain, colour_tables.digest))
"""
ERASED = 1.0
"""When clips that are being erased went into the bin, as it were: where that was stopped, the next erasure ends it."""
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


class Verifier:
    """Compares the tables with the files, and repairs what it can; see `Library.verify`."""

    def __init__(self, storage: Storage, *, repair: bool, quick: bool) -> None:
        self._storage, self._repair, self._quick = storage, repair, quick
        self._findings: dict[str, list[Any]] = {item.name: [] for item in fields(VerificationReport)[1:]}

    def verify(self) -> VerificationReport:
        findings, database = self._findings, self._storage.database
        findings["faults"] = database.faults()
        if findings["faults"] and self._repair:
            with database.write() as connection:
                connection.execute("INSERT INTO words (words) VALUES ('rebuild')")
                connection.execute("REINDEX")
        count = last = 0
        while True:  # a few clips at a time, those of the bin too
            with database.read() as connection:
                rows = connection.execute("SELECT id FROM clips WHERE id > ? ORDER BY id LIMIT ?", (last, BATCH))
                entries = self._storage.entries(connection, [row["id"] for row in rows])
            if not entries:
                break
            for entry in entries:
                if self._verify_file(entry):
                    self._verify_pictures(entry)
            count, last = count + len(entries), entries[-1].id
        with database.read() as connection:
            rows = connection.execute("SELECT id FROM clips WHERE id NOT IN (SELECT clip FROM texts)")
            findings["unfound"] = [row["id"] for row in rows]
            rows = connection.execute("SELECT digest, suffix FROM clips")
            named_files = {(row["digest"], row["suffix"]) for row in rows}
        if self._repair and findings["unfound"]:
            with database.write() as connection:
                edits.index(connection, findings["unfound"])
        clip_files = self._storage.file_store.clip_files()
        nameless = [path for digest, suffix, path in clip_files if (digest, suffix) not in named_files]
        for path in [*nameless, *self._storage.file_store.unknown_files()]:
            findings["orphans"].append(path.relative_to(self._storage.folder).as_posix())
            if self._repair:
                with contextlib.suppress(FileNotFoundError):
                    self._adopt(path, path.stem)
        if self._repair:
            TasteLearner(self._storage).measure()
            Fingerprints(self._storage).make()
        return VerificationReport(count, **{name: tuple(items) for name, items in findings.items()})

    def _verify_file(self, entry: ClipEntry) -> bool:
        """Look at a clip's file; return whether it is there and what was added."""
        path = self._storage.file_store.path(entry.digest, entry.suffix)
        there = self._storage.file_store.inside(path)
        sound = False
        if entry.edited is not None:  # it has no file, and needs that of its source
            with contextlib.suppress(LibraryError):
                there = sound = self._storage.clip_file(self._storage.renders.source(entry)).is_file()
        with contextlib.suppress(LockError):  # it is damaged
            whole = there and not sound and locked.size(path) == entry.bytes
            sound |= whole and (self._quick or files.file_digest(path) == entry.digest)
        if not there:
            self._findings["missing"].append(entry.id)
            if self._repair and path.is_symlink():
                self._set_aside(path)
        elif not sound:
            self._findings["changed"].append(entry.id)
        elif entry.missing:
            self._findings["found"].append(entry.id)
        if self._repair and entry.missing == sound:
            with self._storage.database.write() as connection:
                connection.execute("UPDATE clips SET missing = ? WHERE id = ?", (int(not sound), entry.id))
        if self._repair and there and not sound:
            with contextlib.suppress(FileNotFoundError):
                self._adopt(path, f"{entry.title} (changed)")
        return sound

    def _verify_pictures(self, entry: ClipEntry) -> None:
        """Look at the pictures and the vector of a clip whose file is sound."""
        file_store, vectors = self._storage.file_store, self._storage.vectors(similarity.APPEARANCE)
        pictures = (file_store.thumbnail(entry.digest), file_store.preview(entry.digest))
        drawn, placed = all(map(file_store.is_picture, pictures)), not vectors.lacking([entry.id])
        if not drawn:
            self._findings["pictures"].append(entry.id)
        if not placed:
            self._findings["vectors"].append(entry.id)
        if not self._repair or (drawn and placed):
            return
        thumbnails = read_thumbnails(self._storage.clip_file(entry, small=True))
        if not drawn:
            for path in pictures:
                if path.is_symlink():
                    path.unlink()
            file_store.draw(entry.digest, thumbnails)
        if not placed:
            with self._storage.database.write():
                vectors.put({entry.id: similarity.appearance(thumbnails)})

    def _adopt(self, path: Path, title: str) -> None:
        """Make a clip of a file that lies in the library under a name that is not its own; else put it aside."""
        suffix = suffix_of(path)
        moved = self._set_aside(path)
        if moved.is_symlink() or not moved.is_file() or suffix not in KEPT_SUFFIXES:
            return
        short = title[:12] if len(title) == 64 else title
        try:
            entry, new = additions.add(self._storage, moved, ClipDetails(title=f"found {short}", source=""))
        except FootageError:
            return
        if new:
            self._findings["adopted"].append(entry.id)
        moved.unlink()

    def _set_aside(self, path: Path) -> Path:
        """Move something out of the way, whatever it is; return where it is now."""
        aside = self._storage.folder / ASIDE
        aside.mkdir(exist_ok=True)
        target = aside / path.name
        number = 1
        while target.exists() or target.is_symlink():
            number += 1
            target = aside / f"{path.stem}-{number}{path.suffix}"
        try:
            self._storage.file_store.move(path, target)
        except (LockError, OSError):  # damaged, or somebody put it there
            os.replace(path, target)
        return target


def purge(storage: Storage, chosen: Sequence[int] | None = None, days: float = 0.0, edits: Hanging = "refuse") -> int:
    """Remove clips, of those chosen, that have lain in the bin for some days, files and all; return how many.

    Args:
        storage: of the library.
        chosen: numbers of clips; None for all.
        days: since when they lie there.
        edits: what becomes of clips that are one of them with effects: refuse where there are any, let them go along
            wherever they lie, or keep what they are made from.

    Raises:
        HangingClips: there are some, and `edits` is `refuse`.
    """
    before = time.time() - 86400 * days
    with storage.database.read() as connection:
        rows = connection.execute("SELECT id FROM clips WHERE deleted IS NOT NULL AND deleted <= ?", (before,))
        chosen_ids = None if chosen is None else set(chosen)
        binned = [row["id"] for row in rows if chosen_ids is None or row["id"] in chosen_ids]
        kinds = [similarity.APPEARANCE, *(row["kind"] for row in connection.execute("SELECT kind FROM embeddings"))]
        others = hanging(connection, binned)
        if others and edits == "refuse":
            raise HangingClips(storage.entries(connection, others))
        if others and edits == "keep":
            needed = {entry.edited for entry in storage.entries(connection, others)}
            binned = [entry.id for entry in storage.entries(connection, binned) if entry.digest not in needed]
    if others and edits == "take":
        with storage.database.write() as connection:
            marked = [(before, clip) for clip in others]
            connection.executemany("UPDATE clips SET deleted = ? WHERE id = ?", marked)
        binned += others
    purged = 0
    for first in range(0, len(binned), BATCH):
        with storage.database.write() as connection:
            entries = storage.entries(connection, binned[first : first + BATCH])
            entries = [entry for entry in entries if entry.deleted is not None]  # none came back meanwhile
            for kind in kinds:
                storage.vectors(kind).clear(entry.id for entry in entries)
            for entry in entries:
                # The file first: a clip of the bin without its file does no harm, a file without its clip comes back.
                storage.file_store.remove(entry.digest, entry.suffix)
                for row in connection.execute(OWN_VERSIONS, (entry.id,)):
                    storage.file_store.remove(row["digest"], entry.suffix)
                connection.execute("DELETE FROM clips WHERE id = ?", (entry.id,))
            connection.execute(
                "DELETE FROM history WHERE id NOT IN (SELECT entry FROM changes) "
                "AND id NOT IN (SELECT entry FROM named_changes)"
            )
            purged += len(entries)
    return purged


def erased_clips(connection: sqlite3.Connection, digests: Collection[str], names: Collection[str]) -> list[int]:
    """Return the clips that are, or were made from, some files; see `erase`.

    Raises:
        LibraryError: a name is empty: it would be the end of every clip's that has no source.
    """
    if empty := [name for name in names if not name.strip().strip("/")]:
        raise LibraryError(f'the source to be erased is "{empty[0]}"', "give its name, or the path of its file")
    found = """
        WITH RECURSIVE gone(id, digest) AS (
            SELECT c.id, c.digest FROM clips c WHERE c.deleted = :marked
                OR c.digest IN (SELECT value FROM json_each(:digests))
                OR EXISTS (SELECT 1 FROM json_each(:ends) WHERE substr('/' || c.source, -length(value)) = value)
                OR c.id IN (SELECT p.clip FROM parents p WHERE p.digest IN (SELECT value FROM json_each(:digests))
                    OR EXISTS (SELECT 1 FROM json_each(:ends) WHERE substr('/' || p.name, -length(value)) = value))
            UNION
            SELECT c.id, c.digest FROM gone g JOIN parents p ON p.digest = g.digest JOIN clips c ON c.id = p.clip
            UNION
            SELECT c.id, c.digest FROM gone g JOIN versions v ON v.source = g.digest JOIN clips c ON c.id = v.clip
            UNION
            SELECT c.id, c.digest FROM gone g JOIN versions v ON v.clip = g.id JOIN parents p ON p.digest = v.digest
                JOIN clips c ON c.id = p.clip
        )
        SELECT id FROM gone
    """
    values: dict[str, Any] = {
        "digests": json.dumps(list(digests)),
        "ends": json.dumps([f"/{name.lstrip('/')}" for name in names]),
    }
    return [int(row["id"]) for row in connection.execute(found, values | {"marked": ERASED})]


def erased_jobs(connection: sqlite3.Connection, names: Collection[str]) -> list[int]:
    """Return the ended jobs that say something of files of some names; see `erase`.

    A name has to be a whole one, or the end of a path: `walk.mp` and `alk.mp4` are none of `walk.mp4`.
    """
    told = {unicodedata.normalize(form, name).lstrip("/") for name in names for form in ("NFC", "NFD")}
    if not told:
        return []
    written = {json.dumps(name, ensure_ascii=ascii)[1:-1] for name in told for ascii in (True, False)}
    ends = rf'(?:^|[/"])(?:{"|".join(map(re.escape, sorted(written)))})'
    # A text of JSON goes on after a space: "walk 2.mp4" is another file than "walk". A message may say more.
    stored, spoken = re.compile(rf"{ends}(?=\\?[\"':;,)])"), re.compile(rf"{ends}(?![\w/-]|\.\w)")
    rows = connection.execute("SELECT id, request, result, message FROM jobs WHERE state NOT IN ('queued', 'running')")
    return [
        int(row["id"])
        for row in rows
        if stored.search(f"{row['request']}{row['result']}") or spoken.search(str(row["message"]))
    ]


def erase(storage: Storage, digests: Collection[str], names: Collection[str]) -> int:
    """Remove the clips that are, or were made from, files that must not be known any longer; return how many.

    Their files, pictures, vectors and words go, and what jobs and copies of older formats say of them; the database is
    written anew, so that no page of it keeps what was removed.

    Args:
        storage: of the library.
        digests: SHA-256 of the files.
        names: whole paths that clips came from, or their ends, such as `videos/walk.mp4`.

    Raises:
        LibraryError: a name is empty.
    """
    with storage.database.write() as connection:
        ids = erased_clips(connection, digests, names)
        for number in ids:
            connection.execute("UPDATE clips SET deleted = ? WHERE id = ?", (ERASED, number))
    purge(storage, ids, edits="take")
    with storage.database.write() as connection:
        connection.executemany("DELETE FROM jobs WHERE id = ?", [(job,) for job in erased_jobs(connection, names)])
    for copy in storage.folder.glob("library-format-*.sqlite"):  # of before a migration
        copy.unlink()
    storage.database.maintain()
    return len(ids)


def collect(storage: Storage, bin_days: float | None, rendered: bool) -> CollectionReport:
    """Remove files that no clip needs, and what lies in the bin; see `Library.gc`."""
    purged = 0 if bin_days is None else purge(storage, days=bin_days, edits="keep")
    count, size = storage.file_store.sweep(), 0
    oldest = time.time() - STALE
    with storage.database.write() as connection:
        connection.execute(UNUSED_TABLES)
        needed = {row[0] for row in connection.execute("SELECT c.digest FROM clips c JOIN versions v USING (digest)")}
        tables = {row[0] for row in connection.execute("SELECT digest FROM colour_tables")}
    for digest, written in storage.file_store.rendered_clips().items():
        if rendered or (digest not in needed and written < oldest):
            freed = storage.file_store.unrender(digest)
            size, count = size + freed, count + (freed > 0)
    for path in storage.file_store.tables.glob("*"):  # a chain may be about to open one
        if path.stem not in tables and path.lstat().st_mtime < oldest:
            path.unlink(missing_ok=True)
    for digest, suffix, path in storage.file_store.clip_files():
        if path.lstat().st_mtime < oldest:
            with storage.database.write() as connection:  # nobody adds a clip meanwhile
                row = connection.execute("SELECT suffix FROM clips WHERE digest = ?", (digest,)).fetchone()
                if row is None or row["suffix"] != suffix:
                    size += path.lstat().st_size
                    count += 1
                    path.unlink()
    with storage.database.read() as connection:
        known = connection.execute("SELECT digest FROM clips UNION SELECT digest FROM versions")
        digests = {row["digest"] for row in known}
    for digest, path in storage.file_store.picture_files():
        if digest not in digests and path.lstat().st_mtime < oldest:
            size += path.lstat().st_size
            count += 1
            path.unlink(missing_ok=True)
    storage.database.maintain()
    return CollectionReport(purged, count, size)
