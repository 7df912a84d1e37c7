"""The folder of a library: its SQLite database, its files, its embeddings.

library.sqlite             the tables: write-ahead log, immediate transactions, ordered migrations
files/3f/3fa9….mp4         a clip, named by the SHA-256 of its content; whole, and never changed
pictures/3f/3fa9….webp     its thumbnail
pictures/3f/3fa9…-moving.webp   its animated preview
embeddings/look-1.f32      the vectors of all clips; see `similarity`
embeddings/seen-1-57….rows what a network sees in them; see `seen`
rendered/3f/3fa9….mp4      a clip with effects, rendered; may be deleted, and is rendered anew when it is used
partial/                   what is being written

Of a locked library the tables are SQLCipher's, and the other files are locked ones, which `footage.files.locked` opens,
and `footage.media`.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import secrets
import shutil
import sqlite3
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, TypeVar
from urllib.parse import quote

from footage import files
from footage.errors import LibraryError, LockError, MediaError, meant
from footage.files import locked
from footage.library import similarity
from footage.library.entries import COLUMNS, ClipEntry, clip_entry
from footage.library.renders import Renders
from footage.library.seen import SEEN, SeenVectors
from footage.library.similarity import Vectors
from footage.media.kinds import KEPT_SUFFIXES
from footage.media.thumbnails import Thumbnails, read_thumbnails

T = TypeVar("T")

APPLICATION = 0x666F6F74
"""SQLite's `application_id` of a library: "foot" in ASCII."""

_FIRST = (
    """
    CREATE TABLE models (
        digest TEXT PRIMARY KEY,          -- SHA-256 of the weights
        name TEXT NOT NULL,
        folder TEXT,                      -- where it lay when it was last used
        preset TEXT,
        dataset TEXT,
        dataset_digest TEXT,              -- content hash of the data set
        clips_seen INTEGER,
        details TEXT NOT NULL DEFAULT '{}'
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE clips (
        id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice: also the row of the embeddings
        digest TEXT NOT NULL UNIQUE CHECK (length(digest) = 64 AND digest NOT GLOB '*[^0-9a-f]*'),
        suffix TEXT NOT NULL CHECK (length(suffix) BETWEEN 1 AND 5 AND suffix NOT GLOB '*[^0-9a-z]*'),
        origin TEXT NOT NULL CHECK (origin IN ('generated', 'imported')),
        title TEXT NOT NULL,
        prompt TEXT NOT NULL DEFAULT '',
        source TEXT NOT NULL DEFAULT '',
        label TEXT,
        model TEXT,
        weights TEXT,                     -- digest in models
        seed INTEGER,
        settings TEXT NOT NULL DEFAULT '{}',
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        fps REAL NOT NULL,
        frames INTEGER NOT NULL,
        seconds REAL NOT NULL,
        codec TEXT NOT NULL,
        audio INTEGER NOT NULL DEFAULT 0,
        bytes INTEGER NOT NULL,
        metrics TEXT NOT NULL DEFAULT '{}',
        stars INTEGER NOT NULL DEFAULT 0 CHECK (stars BETWEEN 0 AND 5),
        verdict TEXT NOT NULL DEFAULT 'undecided' CHECK (verdict IN ('keep', 'reject', 'undecided')),
        notes TEXT NOT NULL DEFAULT '',
        added REAL NOT NULL,              -- seconds since 1970
        changed REAL NOT NULL,
        deleted REAL,                     -- when it went into the bin
        missing INTEGER NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX clips_live ON clips (deleted, id)",
    "CREATE INDEX clips_facets ON clips (deleted, origin, model, label, verdict, stars, codec)",
    "CREATE INDEX clips_stars ON clips (deleted, stars, id)",
    "CREATE INDEX clips_verdict ON clips (deleted, verdict, id)",
    "CREATE INDEX clips_model ON clips (deleted, model, id)",
    "CREATE INDEX clips_label ON clips (deleted, label, id)",
    "CREATE INDEX clips_title ON clips (deleted, title COLLATE NOCASE, id)",
    "CREATE INDEX clips_seconds ON clips (deleted, seconds, id)",
    "CREATE INDEX clips_bytes ON clips (deleted, bytes, id)",
    "CREATE INDEX clips_seed ON clips (deleted, coalesce(seed, 9223372036854775807), id)",
    "CREATE INDEX clips_changed ON clips (deleted, changed, id)",
    """
    CREATE TABLE tags (
        clip INTEGER NOT NULL REFERENCES clips (id) ON DELETE CASCADE,
        tag TEXT NOT NULL,
        PRIMARY KEY (clip, tag)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX tags_tag ON tags (tag, clip)",
    """
    CREATE TABLE parents (
        clip INTEGER NOT NULL REFERENCES clips (id) ON DELETE CASCADE,
        digest TEXT NOT NULL,             -- of the file that the clip was made from, in the library or not
        relation TEXT NOT NULL,
        name TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (clip, digest, relation)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX parents_digest ON parents (digest)",
    """
    CREATE TABLE albums (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        notes TEXT NOT NULL DEFAULT '',
        made REAL NOT NULL
    )
    """,
    """
    CREATE TABLE album_clips (
        album INTEGER NOT NULL REFERENCES albums (id) ON DELETE CASCADE,
        clip INTEGER NOT NULL REFERENCES clips (id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        PRIMARY KEY (album, clip)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX album_clips_clip ON album_clips (clip)",
    "CREATE TABLE views (name TEXT PRIMARY KEY, query TEXT NOT NULL, made REAL NOT NULL) WITHOUT ROWID",
    """
    CREATE TABLE history (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        time REAL NOT NULL,
        what TEXT NOT NULL,
        undone INTEGER NOT NULL DEFAULT 0
    )
    """,
    """
    CREATE TABLE changes (
        entry INTEGER NOT NULL REFERENCES history (id) ON DELETE CASCADE,
        clip INTEGER NOT NULL REFERENCES clips (id) ON DELETE CASCADE,
        field TEXT NOT NULL,
        before TEXT NOT NULL,             -- JSON
        after TEXT NOT NULL,              -- JSON
        PRIMARY KEY (entry, clip, field)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX changes_clip ON changes (clip)",
    """
    CREATE TABLE ratings (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        time REAL NOT NULL,
        campaign TEXT NOT NULL,
        question TEXT NOT NULL,
        a INTEGER NOT NULL REFERENCES clips (id) ON DELETE CASCADE,
        b INTEGER NOT NULL REFERENCES clips (id) ON DELETE CASCADE,
        choice TEXT NOT NULL CHECK (choice IN ('a', 'b', 'tie')),
        rater TEXT NOT NULL DEFAULT '',
        CHECK (a <> b)
    )
    """,
    "CREATE INDEX ratings_campaign ON ratings (campaign, question)",
    "CREATE INDEX ratings_a ON ratings (a)",
    "CREATE INDEX ratings_b ON ratings (b)",
    """
    CREATE TABLE jobs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        request TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
        progress REAL NOT NULL DEFAULT 0,
        message TEXT NOT NULL DEFAULT '',
        result TEXT NOT NULL DEFAULT 'null',
        cancel INTEGER NOT NULL DEFAULT 0,
        worker TEXT NOT NULL DEFAULT '',
        made REAL NOT NULL,
        started REAL,
        heard REAL,                       -- when the worker last said something
        ended REAL
    )
    """,
    "CREATE INDEX jobs_state ON jobs (state, id)",
    "CREATE TABLE embeddings (kind TEXT PRIMARY KEY, width INTEGER NOT NULL, about TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    # What is searched: a clip's words in one folded text. Trigrams find parts of words, and Chinese.
    "CREATE TABLE texts (clip INTEGER PRIMARY KEY REFERENCES clips (id) ON DELETE CASCADE, body TEXT NOT NULL)",
    "CREATE VIRTUAL TABLE words USING fts5(body, content='texts', content_rowid='clip', tokenize='trigram')",
    "CREATE VIRTUAL TABLE trigrams USING fts5vocab(words, 'row')",
    """
    CREATE TRIGGER texts_added AFTER INSERT ON texts BEGIN
        INSERT INTO words (rowid, body) VALUES (new.clip, new.body);
    END
    """,
    """
    CREATE TRIGGER texts_removed AFTER DELETE ON texts BEGIN
        INSERT INTO words (words, rowid, body) VALUES ('delete', old.clip, old.body);
    END
    """,
    """
    CREATE TRIGGER texts_changed AFTER UPDATE ON texts BEGIN
        INSERT INTO words (words, rowid, body) VALUES ('delete', old.clip, old.body);
        INSERT INTO words (rowid, body) VALUES (new.clip, new.body);
    END
    """,
)

_SECOND = (
    # What a step of the history did to albums and views as wholes, as JSON; null where there was, or is, none.
    """
    CREATE TABLE named_changes (
        entry INTEGER NOT NULL REFERENCES history (id) ON DELETE CASCADE,
        kind TEXT NOT NULL CHECK (kind IN ('album', 'about', 'view')),
        key TEXT NOT NULL,                -- number of the album, name of the view
        before TEXT NOT NULL,
        after TEXT NOT NULL,
        PRIMARY KEY (entry, kind, key)
    ) WITHOUT ROWID
    """,
)

_THIRD = (
    # Figures of a clip that taste is learned from, as float32 in the order of `descriptors.DESCRIPTORS`.
    """
    CREATE TABLE descriptors (
        clip INTEGER PRIMARY KEY REFERENCES clips (id) ON DELETE CASCADE,
        version INTEGER NOT NULL,         -- of how they are measured
        numbers BLOB NOT NULL
    )
    """,
)

_FACETS = "origin, model, label, verdict, stars, codec"


def _facet_values(row: str) -> str:
    """Return what a row of `clips`, by its name in a trigger, is counted as: whether it is binned, and its facets."""
    return ", ".join([f"{row}.deleted IS NOT NULL", *(f"{row}.{name}" for name in _FACETS.split(", "))])


def _count_clip(row: str) -> str:
    """Return the statement that counts a clip among those of its facets."""
    return f"""
        INSERT INTO facet_counts VALUES (json_array({_facet_values(row)}), {_facet_values(row)}, 1)
            ON CONFLICT (key) DO UPDATE SET clips = clips + 1;
    """


_FORGET_CLIP = f"""
        UPDATE facet_counts SET clips = clips - 1 WHERE key = json_array({_facet_values("old")});
        DELETE FROM facet_counts WHERE key = json_array({_facet_values("old")}) AND clips = 0;
"""
"""The statements that take a clip out of those of its facets."""

_FOURTH = (
    # How many clips have the same facets, and each tag: what a panel of filters shows of a million clips without a
    # look at each. Triggers keep the counts, in the transaction of what they count.
    f"""
    CREATE TABLE facet_counts (
        key TEXT PRIMARY KEY,             -- the next seven, as JSON
        binned INTEGER NOT NULL,
        {_FACETS},
        clips INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    f"""
    INSERT INTO facet_counts
        SELECT json_array({_facet_values("c")}), {_facet_values("c")}, count(*)
        FROM clips c GROUP BY {_facet_values("c")}
    """,
    f"CREATE TRIGGER facets_added AFTER INSERT ON clips BEGIN {_count_clip('new')} END",
    f"""
    CREATE TRIGGER facets_removed BEFORE DELETE ON clips BEGIN
        DELETE FROM tags WHERE clip = old.id;  -- while it can be asked whether it is binned
        {_FORGET_CLIP}
    END
    """,
    f"""
    CREATE TRIGGER facets_changed AFTER UPDATE OF deleted, {_FACETS} ON clips
    WHEN json_array({_facet_values("old")}) <> json_array({_facet_values("new")}) BEGIN
        {_FORGET_CLIP} {_count_clip("new")}
    END
    """,
    # Steps that can be redone (undone is 1), and those that are being forgotten (2), are looked for at each change.
    "CREATE INDEX history_undone ON history (undone, id) WHERE undone > 0",
    """
    CREATE TABLE tag_counts (
        binned INTEGER NOT NULL,
        tag TEXT NOT NULL,
        clips INTEGER NOT NULL,
        PRIMARY KEY (binned, tag)
    ) WITHOUT ROWID
    """,
    """
    INSERT INTO tag_counts
        SELECT c.deleted IS NOT NULL, t.tag, count(*) FROM tags t JOIN clips c ON c.id = t.clip GROUP BY 1, 2
    """,
    """
    CREATE TRIGGER tags_added AFTER INSERT ON tags BEGIN
        INSERT INTO tag_counts SELECT deleted IS NOT NULL, new.tag, 1 FROM clips WHERE id = new.clip
            ON CONFLICT (binned, tag) DO UPDATE SET clips = clips + 1;
    END
    """,
    """
    CREATE TRIGGER tags_removed AFTER DELETE ON tags BEGIN
        UPDATE tag_counts SET clips = clips - 1
            WHERE tag = old.tag AND binned = (SELECT deleted IS NOT NULL FROM clips WHERE id = old.clip);
        DELETE FROM tag_counts WHERE tag = old.tag AND clips = 0;
    END
    """,
    """
    CREATE TRIGGER tags_binned AFTER UPDATE OF deleted ON clips
    WHEN (old.deleted IS NULL) <> (new.deleted IS NULL) BEGIN
        UPDATE tag_counts SET clips = clips - 1
            WHERE binned = (old.deleted IS NOT NULL) AND tag IN (SELECT tag FROM tags WHERE clip = new.id);
        INSERT INTO tag_counts SELECT new.deleted IS NOT NULL, tag, 1 FROM tags WHERE clip = new.id
            ON CONFLICT (binned, tag) DO UPDATE SET clips = clips + 1;
        DELETE FROM tag_counts WHERE clips = 0 AND tag IN (SELECT tag FROM tags WHERE clip = new.id);
    END
    """,
)

_FIFTH = (
    # On whose behalf a step was done, or a job was asked for; of what nobody in particular did there is no row.
    """
    CREATE TABLE step_actors (
        actor TEXT NOT NULL,
        entry INTEGER NOT NULL REFERENCES history (id) ON DELETE CASCADE,
        PRIMARY KEY (actor, entry)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX step_actors_entry ON step_actors (entry)",
    """
    CREATE TABLE job_actors (
        job INTEGER PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
        actor TEXT NOT NULL
    )
    """,
)

_SIXTH = (
    # The clips that taste is learned from, the last that were judged first.
    "CREATE INDEX clips_judged ON clips (changed) WHERE verdict <> 'undecided' OR stars > 0",
)

_SEVENTH = (
    # What copies of clips are known by; see `footage.media.fingerprints`. What is searched lies apart from the samples.
    """
    CREATE TABLE fingerprints (
        clip INTEGER PRIMARY KEY REFERENCES clips (id) ON DELETE CASCADE,
        version INTEGER NOT NULL,         -- of how they are made
        codes BLOB NOT NULL               -- uint64 (moments, crops)
    )
    """,
    "CREATE INDEX fingerprints_version ON fingerprints (version, clip)",
    """
    CREATE TABLE fingerprint_samples (
        clip INTEGER PRIMARY KEY REFERENCES fingerprints (clip) ON DELETE CASCADE,
        samples BLOB NOT NULL             -- uint8 (samples, numbers)
    )
    """,
)

_EIGHTH = (
    # Films of clips; see `footage.library.timelines`. What a step of the history did to one is remembered likewise.
    "CREATE TABLE timelines (name TEXT PRIMARY KEY, content TEXT NOT NULL, changed REAL NOT NULL) WITHOUT ROWID",
    """
    CREATE TABLE whole_changes (
        entry INTEGER NOT NULL REFERENCES history (id) ON DELETE CASCADE,
        kind TEXT NOT NULL,               -- album, about, view, timeline
        key TEXT NOT NULL,                -- number of the album, name of the view or timeline
        before TEXT NOT NULL,
        after TEXT NOT NULL,
        PRIMARY KEY (entry, kind, key)
    ) WITHOUT ROWID
    """,
    "INSERT INTO whole_changes SELECT * FROM named_changes",
    "DROP TABLE named_changes",
    "ALTER TABLE whole_changes RENAME TO named_changes",
)

_NINTH = (
    # Clips that are another with effects, see `footage.library.edited`: each chain that one had; its digest in clips
    # says which it has.
    """
    CREATE TABLE versions (
        clip INTEGER NOT NULL REFERENCES clips (id) ON DELETE CASCADE,
        digest TEXT NOT NULL,             -- of source and chain
        source TEXT NOT NULL,             -- digest in clips
        chain TEXT NOT NULL,              -- JSON, tables of colours by their digests
        facts TEXT NOT NULL,              -- JSON: columns of clips
        look BLOB NOT NULL,               -- its vector of appearance
        PRIMARY KEY (clip, digest)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX versions_source ON versions (source)",
    """
    CREATE TABLE colour_tables (
        digest TEXT PRIMARY KEY,          -- SHA-256 of the content
        name TEXT NOT NULL,
        content BLOB NOT NULL             -- a .cube file
    ) WITHOUT ROWID
    """,
)

_TENTH = (
    # The frames that copies of a clip are laid over, so that its file need not be read; see `footage.media`.
    """
    CREATE TABLE fingerprint_frames (
        clip INTEGER PRIMARY KEY REFERENCES fingerprints (clip) ON DELETE CASCADE,
        version INTEGER NOT NULL,         -- of how they are packed
        frames BLOB NOT NULL
    )
    """,
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    *(_FIRST, _SECOND, _THIRD, _FOURTH, _FIFTH, _SIXTH, _SEVENTH, _EIGHTH, _NINTH, _TENTH),
)
"""The steps, in order; a database's `user_version` says how many it has taken. A step is never changed, only added."""


@dataclass
class Actor:
    """Somebody on whose behalf a library is changed, and what that came to."""

    name: str = ""
    """Of an account of the studio; empty for nobody in particular, such as who sits at this computer."""
    doings: list[str] = field(default_factory=list)
    """Steps of the history, and jobs, that were made: `step 3`, `job 4`."""


ACTOR: ContextVar[Actor] = ContextVar("actor", default=Actor())  # noqa: B039 - the default's name stays empty
"""Who changes a library in this thread or task; the name stands in its history and beside its jobs."""


@contextlib.contextmanager
def acting(name: str) -> Iterator[Actor]:
    """Let changes to libraries, in the block and in threads that it hands work to, be those of an account."""
    actor = Actor(name)
    token = ACTOR.set(actor)
    try:
        yield actor
    finally:
        ACTOR.reset(token)


WAIT = 30.0
"""Seconds that a writer waits for another process."""
IDLE = 8
"""Connections that are kept for the next reader."""
MAPPED = 2**31 - 2**16
"""Bytes of the file that are mapped into memory, the most that SQLite allows: all connections share them."""
DISK_FULL = frozenset({"SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_TRUNCATE"})
"""SQLite's names for a disk that cannot take what is written to it."""
DAMAGED = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_CORRUPT_VTAB", "SQLITE_IOERR_SHORT_READ"})
"""SQLite's names for a file that is not a sound database."""
UNWRITABLE = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")
"""Beginnings of SQLite's names for a file that it cannot write, or beside which it cannot."""


class LibraryBusy(LibraryError):
    """Another process writes for so long that who waits is sent away; nothing was changed."""

    def __init__(self, path: Path) -> None:
        problem = f'another program has been writing to "{path}" for {WAIT:g} s'
        super().__init__(problem, "try again when it is done")


def columns_of(connection: sqlite3.Connection) -> frozenset[str]:
    """Return the columns of a database's tables, each as TABLE.COLUMN."""
    query = (
        "SELECT tables.name || '.' || columns.name FROM sqlite_master AS tables, "
        "pragma_table_xinfo(tables.name) AS columns WHERE tables.type = 'table'"
    )
    return frozenset(str(row[0]) for row in connection.execute(query))


@cache
def columns_after(migrations: tuple[tuple[str, ...], ...]) -> frozenset[str]:
    """Return the columns that steps lead to."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        for statement in itertools.chain.from_iterable(migrations):
            connection.execute(statement)
        return columns_of(connection)


class Database:
    """A database file that threads and processes share. Connections are borrowed, one for each transaction.

    Args:
        path: the file; it is made where it is missing and its folder is there.
        migrations: the steps that lead to its tables.

    Raises:
        LibraryError: the file is no library, is damaged, or was made by a newer version.
    """

    def __init__(self, path: Path, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
        self.path = path
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._process = os.getpid()
        self._newest = len(migrations)
        self._address = str(path)
        self._sqlite, self._key = locked.database_module(path)
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self.read_only = False
        """Whether it lies where nothing can be written: then it is read only, or what a copy of it says."""
        with self._reported():
            try:
                with self._borrowed() as connection:
                    version = self._version(connection)
            except self._sqlite.OperationalError as error:
                if not path.is_file() or not str(error.sqlite_errorname).startswith(UNWRITABLE):
                    raise
                version = self._open_read_only()
            if version == self._newest:
                with self._borrowed() as connection:
                    missing = columns_after(tuple(map(tuple, migrations))) - columns_of(connection)
                if missing:
                    names = ", ".join(sorted(missing)[:3])
                    problem = f'"{path}" is damaged: it has no {names}'
                    raise LibraryError(problem, "put a copy of it back")
                return
            with self._borrowed() as connection:
                self._log_ahead(connection)
                backup = path.with_name(f"{path.stem}-format-{version}.sqlite")
                if version and not self.read_only and not backup.exists():  # as it was before it is migrated
                    with files.replacing(backup) as temporary, contextlib.closing(self._opened(temporary)) as copy:
                        connection.backup(copy)
            with self._writing() as connection:  # again, alone: another process may have been quicker
                for number in range(self._version(connection), self._newest):
                    for statement in migrations[number]:
                        connection.execute(statement)
                    connection.execute(f"PRAGMA user_version = {number + 1}")
                connection.execute(f"PRAGMA application_id = {APPLICATION}")

    def _open_read_only(self) -> int:
        """Read a file beside which SQLite cannot write its own, from now on; return how many steps it has taken.

        Where steps are missing, or the last changes stand in the write-ahead log, a copy elsewhere is read.
        """
        self.read_only = True
        self._address = f"file:{quote(os.path.abspath(self.path))}?mode=ro&immutable=1"
        with self._borrowed() as connection:
            version = self._version(connection)
        log = self.path.with_name(f"{self.path.name}-wal")
        if version != self._newest or (log.is_file() and log.stat().st_size):
            self.close()
            self._copy = tempfile.TemporaryDirectory(prefix="footage-library-")
            for file in (self.path, log):
                if file.is_file():
                    shutil.copyfile(file, Path(self._copy.name) / file.name)
            self._address = str(Path(self._copy.name) / self.path.name)
            with self._borrowed() as connection:
                version = self._version(connection)
        return version

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection that sees one state of the database for the whole block."""
        with self._reported(), self._borrowed() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("COMMIT")

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection that alone writes until the block ends; then all is kept, or, on an exception, nothing.

        When the block has ended without an exception, what was written survives a killed process and a power cut.

        Raises:
            LibraryError: the disk cannot be written to, or SQLite reports a fault.
        """
        self.check_writable()
        with self._reported(), self._writing() as connection:
            yield connection

    def check_writable(self) -> None:
        """Refuse to write where nothing can be written.

        Raises:
            LibraryError: the disk or the folder is read-only.
        """
        if self.read_only:
            problem = f'"{self.path}" lies on a disk or in a folder that cannot be written to'
            raise LibraryError(problem, "copy the library's folder to where you can write")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        # Threads of one process take turns, where one wakes the next; SQLite would have each look again and again.
        with self._borrowed() as connection, self._turn:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def maintain(self) -> None:
        """Give space of what was removed back to the disk, and renew what the planner knows of the tables."""
        with self._reported(), self._borrowed() as connection:
            connection.execute("INSERT INTO words (words) VALUES ('optimize')")
            connection.execute("VACUUM")
            connection.execute("ANALYZE")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def faults(self) -> list[str]:
        """Return what is wrong with the file itself, in SQLite's words; empty when it is sound."""
        with self._reported(), self._borrowed() as connection:
            faults = [str(row[0]) for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
            for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
                faults.append(f"{table} {row} points to no {parent}")
            try:
                connection.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")
            except self._sqlite.DatabaseError as error:
                faults.append(f"the index of words: {error}")
        return faults

    @contextlib.contextmanager
    def _borrowed(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._process != os.getpid():  # SQLite's connections must not be used across a fork
                self._idle, self._process, self._turn = [], os.getpid(), threading.Lock()
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = self._opened(self._address)
            connection.row_factory = self._sqlite.Row
            for pragma in ("foreign_keys = ON", "synchronous = FULL", "temp_store = MEMORY", f"mmap_size = {MAPPED}"):
                connection.execute(f"PRAGMA {pragma}")
        try:
            yield connection
        except self._sqlite.Error:
            connection.close()
            raise
        except BaseException:
            self._return(connection)
            raise
        else:
            self._return(connection)

    def _opened(self, address: Path | str) -> sqlite3.Connection:
        """Return a new connection to the file, or to a copy of it."""
        immutable = str(address).startswith("file:")
        connection: sqlite3.Connection = self._sqlite.connect(
            address, timeout=WAIT, isolation_level=None, check_same_thread=False, uri=immutable
        )
        if self._key:
            connection.execute(f'PRAGMA key = "{self._key}"')
        return connection

    def _return(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if len(self._idle) < IDLE and self._process == os.getpid() and not connection.in_transaction:
                self._idle.append(connection)
                return
        connection.close()

    def _version(self, connection: sqlite3.Connection) -> int:
        """Return how many steps the file has taken; refuse another program's file and a newer version's."""
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        application = int(connection.execute("PRAGMA application_id").fetchone()[0])
        tables = int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
        if version < 0 or (application != APPLICATION and (application or version or tables)):
            raise LibraryError(f'"{self.path}" is a database of another program', "give the folder of a library")
        files.refuse_newer(version, self._newest, f'"{self.path}"', LibraryError)
        return version

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        """Say in the user's words what SQLite reports."""
        try:
            yield
        except self._sqlite.Error as error:
            name = getattr(error, "sqlite_errorname", "") or ""
            problem, remedy = f'"{self.path}": {error}', "see: footage library verify"
            if name in DISK_FULL:
                problem, remedy = f'the disk is full, "{self.path}" was not changed', "free some space and do it again"
            elif name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
                raise LibraryBusy(self.path) from error
            elif name in DAMAGED:
                problem, remedy = f'"{self.path}" is damaged or no database ({error})', "put a copy of it back"
            elif name.startswith(UNWRITABLE):
                problem, remedy = f'"{self.path}" cannot be written ({error})', "see who owns the folder"
            raise LibraryError(problem, remedy) from error
        except OverflowError as error:  # of a number that SQLite does not hold
            raise LibraryError("a whole number is larger than a library holds", "give one below 2**63") from error

    def _log_ahead(self, connection: sqlite3.Connection) -> None:
        """Switch to the write-ahead log. SQLite does not wait here by itself when another process does the same."""
        until = time.monotonic() + WAIT
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except self._sqlite.OperationalError as error:
                name = str(getattr(error, "sqlite_errorname", ""))
                if not name.startswith("SQLITE_BUSY") or time.monotonic() > until:
                    raise
                time.sleep(0.01)


THUMBNAIL_QUALITY = 82
"""WebP quality of thumbnails and previews."""
PREVIEW_SECONDS = 2.4
"""Length of an animated preview, at most."""
COPIED_BYTES = 2**20
"""Bytes copied at once."""
STALE = 3600.0
"""Seconds after which something half written is taken for abandoned."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_STORED = re.compile(r"([0-9a-f]{64})\.([0-9a-z]{1,5})")


class DiskFull(MediaError):
    """The disk is full: the clip was not added, and no other will be."""

    def __init__(self) -> None:
        super().__init__("the disk is full, the clip was not added", "free some space and go on")


class FileStore:
    """The files of a library. No path that it gives or takes leaves the library's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files, self.pictures, self.partial = (folder / name for name in ("files", "pictures", "partial"))
        self.renders = folder / "rendered"
        self.tables = self.renders / "tables"

    def path(self, digest: str, suffix: str) -> Path:
        """Return where a clip's file stands, or would stand; refuse what is no digest and suffix."""
        if not _DIGEST.fullmatch(digest) or not _STORED.fullmatch(f"{digest}.{suffix}"):
            raise LibraryError(f'"{digest}.{suffix}" is no file of a library', "see: footage library verify")
        return self.files / digest[:2] / f"{digest}.{suffix}"

    def thumbnail(self, digest: str) -> Path:
        return self._picture(digest, ".webp")

    def preview(self, digest: str) -> Path:
        return self._picture(digest, "-moving.webp")

    def rendered(self, digest: str, *, small: bool = False) -> Path:
        """Return where a clip with effects stands, or would stand, when it is rendered; `small` for its draft."""
        return self._picture(digest, "-small.mp4" if small else ".mp4", self.renders)

    def rendered_clips(self) -> dict[str, float]:
        """Return of which clips with effects, by digest, something was rendered, and when last."""
        found = dict[str, float]()
        for path in self.renders.glob("??/*"):
            if name := _DIGEST.search(path.name):
                found[name[0]] = max(found.get(name[0], 0.0), path.lstat().st_mtime)
        return found

    def unrender(self, digest: str) -> int:
        """Remove what was rendered of a clip with effects, whole or not; return how many bytes it took.

        What is being rendered stays, and is removed by who renders it where its source is gone (`Renders.render`).
        """
        size, found = 0, list(self.renders.glob(f"{digest[:2]}/*{digest}*"))
        for small in (False, True):
            mine = [path for path in found if (f"{digest}-small" in path.name) == small]
            with contextlib.ExitStack() as held:
                if not mine or not held.enter_context(self.rendering(self.rendered(digest, small=small), wait=False)):
                    continue
                for path in mine:
                    parts = [path] if path.is_file() else [part for part in path.rglob("*") if part.is_file()]
                    size += sum(part.lstat().st_size for part in parts)
                    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        return size

    @contextlib.contextmanager
    def rendering(self, path: Path, *, wait: bool = True) -> Iterator[bool]:
        """Keep other processes from rendering, or removing, a file meanwhile; tell whether they could be kept.

        The lock goes when it is let go of: whoever gets one that is gone meanwhile takes another.
        """
        lock = path.with_suffix(".lock")
        with files.holding(lock, wait=wait) as held:
            try:
                yield held
            finally:
                if held:
                    with contextlib.suppress(OSError):  # where what is open cannot be removed, it stays
                        lock.unlink()

    def _picture(self, digest: str, ending: str, below: Path | None = None) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise LibraryError(f'"{digest}" is no digest', "see: footage library verify")
        return (below or self.pictures) / digest[:2] / f"{digest}{ending}"

    def inside(self, path: Path) -> bool:
        """Whether a path is an ordinary file that lies in the library and is reached without symbolic links."""
        try:
            if not stat.S_ISREG(path.lstat().st_mode):
                return False
            return path.resolve(strict=True) == self.folder.resolve() / path.relative_to(self.folder)
        except (OSError, ValueError):
            return False

    def put(self, source: IO[bytes], suffix: str, most: int | None = None) -> tuple[str, Path]:
        """Copy a file into the library; return its digest and where it stands now.

        Args:
            source: opened for reading.
            suffix: ending of the name, without the dot.
            most: bytes at which it is refused.

        Raises:
            LibraryError: a suffix that is not taken in.
            MediaError: too many bytes, or a full disk; the library is as before.
        """
        if suffix not in KEPT_SUFFIXES:
            known = ", ".join(sorted(KEPT_SUFFIXES))
            raise LibraryError(f'a file ".{suffix}" is no video or picture', f"known are {known}")
        temporary = self.scratch(suffix)
        digest, size = hashlib.sha256(), 0
        try:
            with files.disk_errors(DiskFull()):
                with files.writing(temporary) as copy:
                    while block := source.read(COPIED_BYTES):
                        size += len(block)
                        if most is not None and size > most:
                            raise MediaError(f"a file has more than {most:,} bytes", "give a smaller one")
                        digest.update(block)
                        copy.write(block)
                final = self.path(digest.hexdigest(), suffix)
                self.move(temporary, final)
                if os.name == "posix":  # flush the folder's table of names too
                    handle = os.open(final.parent, os.O_RDONLY)
                    try:
                        os.fsync(handle)
                    finally:
                        os.close(handle)
        finally:
            temporary.unlink(missing_ok=True)
        return digest.hexdigest(), final

    def move(self, path: Path, to: Path) -> None:
        """Give a file of the library another name; the key of one that is locked goes with its name.

        Raises:
            LockError: the library is locked, and the file is not, or not under its name.
        """
        if locked.hiding_folder(path) is None:
            to.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, to)
        else:
            with locked.open_file(path) as content, files.writing(to) as out:
                shutil.copyfileobj(content, out, COPIED_BYTES)
            path.unlink()

    def draw(self, digest: str, thumbnails: Thumbnails) -> None:
        """Write a clip's thumbnail and animated preview."""
        from PIL import Image

        pictures = [Image.fromarray(frame) for frame in thumbnails.pictures]
        step = max(40, round(1000 * min(thumbnails.seconds, PREVIEW_SECONDS) / len(pictures)))
        animation = {"save_all": True, "append_images": pictures[1:], "duration": step, "loop": 0}
        middle = pictures[len(pictures) // 2]
        for path, picture, options in (
            (self.thumbnail(digest), middle, {}),
            (self.preview(digest), pictures[0], animation if len(pictures) > 1 else {}),
        ):
            with files.disk_errors(DiskFull()), files.writing(path, durable=False) as out:
                picture.save(out, format="WEBP", quality=THUMBNAIL_QUALITY, method=2, **options)

    def is_picture(self, path: Path) -> bool:
        """Whether a file is there and as long as its header says (RIFF container, Google's WebP specification)."""
        if not self.inside(path):
            return False
        try:
            with locked.open_file(path) as handle:
                head = handle.read(12)
            length = locked.size(path)
        except LockError:
            return False
        size = int.from_bytes(head[4:8], "little") + 8
        return head[:4] == b"RIFF" and head[8:12] == b"WEBP" and size == length

    def scratch(self, suffix: str) -> Path:
        """Return a path for something that is being written."""
        self.partial.mkdir(parents=True, exist_ok=True)
        return self.partial / f"{secrets.token_hex(8)}.{suffix}"

    def clip_files(self) -> Iterator[tuple[str, str, Path]]:
        """Yield digest, suffix and path of each file that is named as a clip's, whatever it holds."""
        for path in sorted(self.files.glob("*/*")):
            match = _STORED.fullmatch(path.name)
            if match and path.parent.name == match[1][:2]:
                yield match[1], match[2], path

    def unknown_files(self) -> Iterator[Path]:
        """Yield what lies among the clips' files and is not named as one."""
        for path in sorted(self.files.rglob("*")):
            match = _STORED.fullmatch(path.name)
            named = match and path.parent.name == match[1][:2] and path.parent.parent == self.files
            if not named and (path.is_symlink() or not path.is_dir()):
                yield path

    def picture_files(self) -> Iterator[tuple[str, Path]]:
        for path in sorted(self.pictures.glob("*/*.webp")):
            yield path.name.split(".")[0].removesuffix("-moving"), path

    def remove(self, digest: str, suffix: str) -> None:
        """Remove a clip's file and its pictures."""
        for path in (self.path(digest, suffix), self.thumbnail(digest), self.preview(digest)):
            path.unlink(missing_ok=True)
        self.unrender(digest)

    def sweep(self) -> int:
        """Remove what was left half written by processes that died; return how many files."""
        old = [path for path in self.partial.glob("*") if time.time() - path.lstat().st_mtime > STALE]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)


DATABASE = "library.sqlite"
CHOSEN = "embedding"
"""Setting: the kind of embedding that likeness is measured by."""


class Storage:
    """The parts of a library.

    Raises:
        LibraryError: there is no library, or it cannot be read.
    """

    def __init__(self, folder: Path, *, create: bool) -> None:
        self.folder = folder
        if not (folder / DATABASE).is_file():
            if not create:
                raise LibraryError(
                    f'"{folder}" holds no library', meant(folder, "make one: footage library add FOLDER CLIPS")
                )
            if folder.exists() and not folder.is_dir():
                raise LibraryError(f'"{folder}" is a file', "give a folder for the library")
            folder.mkdir(parents=True, exist_ok=True)
        self.database = Database(folder / DATABASE)
        self.file_store = FileStore(folder)
        self.renders = Renders(self)
        self._vectors: dict[str, Vectors] = {}
        self._lock = threading.Lock()

    def vectors(self, kind: str | None = None) -> Vectors:
        """Return the embeddings of a kind, None for the chosen one; refuse an unknown kind."""
        if kind is None:
            with self.database.read() as connection:
                row = connection.execute("SELECT value FROM settings WHERE name = ?", (CHOSEN,)).fetchone()
            kind = similarity.APPEARANCE if row is None else str(row["value"])
        with self._lock:
            if kind not in self._vectors:
                widths = {similarity.APPEARANCE: similarity.APPEARANCE_WIDTH}
                with self.database.read() as connection:
                    widths.update(connection.execute("SELECT kind, width FROM embeddings").fetchall())
                if kind not in widths:
                    raise LibraryError(f'there is no embedding "{kind}"', f"known are {', '.join(widths)}")
                made = SeenVectors if kind.startswith(SEEN) else Vectors
                self._vectors[kind] = made(self.folder / "embeddings", kind, widths[kind])
            return self._vectors[kind]

    def choose_embedding(self, kind: str) -> None:
        self.vectors(kind)
        with self.database.write() as connection:
            connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (CHOSEN, kind))

    def entry(self, connection: sqlite3.Connection, clip: int | str) -> ClipEntry:
        """Return a clip by its number, its digest, or the beginning of its digest (8 characters or more)."""
        if isinstance(clip, str) and not clip.isdecimal():
            condition, value = "c.digest GLOB ? || '*'", "".join(c for c in clip.lower() if c in "0123456789abcdef")
            if len(value) != len(clip) or len(value) < 8:
                remedy = "give its number, or 8 or more characters of its digest"
                raise LibraryError(f'there is no clip "{clip}"', remedy)
        else:
            condition, value = "c.id = ?", str(int(clip))
        rows = connection.execute(f"SELECT {COLUMNS} FROM clips c WHERE {condition} LIMIT 2", (value,)).fetchall()
        if len(rows) != 1:
            problem = f'there is no clip "{clip}"' if not rows else f'"{clip}" begins several'
            raise LibraryError(problem, "see: footage library list")
        return clip_entry(rows[0])

    def entries(self, connection: sqlite3.Connection, clips: Iterable[int]) -> list[ClipEntry]:
        order = list(clips)
        rows = connection.execute(
            f"SELECT {COLUMNS} FROM clips c WHERE c.id IN (SELECT value FROM json_each(?))", (json.dumps(order),)
        )
        entries = {row["id"]: clip_entry(row) for row in rows}
        return [entries[number] for number in order if number in entries]

    def clip_file(self, entry: ClipEntry, *, small: bool = False) -> Path:
        """Return a clip's file; one with effects is rendered where it is not, and `small` is its draft if that is all.

        Raises:
            LibraryError: the file is gone.
        """
        if entry.edited is not None:
            return self.renders.file(entry, small=small)
        path = self.file_store.path(entry.digest, entry.suffix)
        if not self.file_store.inside(path):
            raise LibraryError(f"the file of clip {entry.id} is gone ({path})", "see: footage library verify")
        return path

    def look_at(
        self,
        clips: Sequence[int],
        look: Callable[[Path], T],
        keep: Callable[[sqlite3.Connection, int, T], object],
        progress: Callable[[int, int], object],
    ) -> int:
        """Look at the files of clips, one after another, and keep what is found of each; return of how many.

        Clips that cannot be read, or were purged meanwhile, are passed over.
        """
        count = 0
        for number, clip in enumerate(clips, 1):
            try:
                with self.database.read() as connection:
                    entry = self.entry(connection, clip)
                found = look(self.clip_file(entry, small=True))
            except (MediaError, LibraryError):
                progress(number, len(clips))
                continue
            with self.database.write() as connection:
                if connection.execute("SELECT 1 FROM clips WHERE id = ?", (clip,)).fetchone():
                    keep(connection, clip, found)
                    count += 1
            progress(number, len(clips))
        return count

    def picture(self, entry: ClipEntry, *, moving: bool) -> Path:
        """Return a clip's thumbnail or preview, made again where it is missing."""
        path = (self.file_store.preview if moving else self.file_store.thumbnail)(entry.digest)
        if not self.file_store.inside(path):
            if path.is_symlink():
                path.unlink()
            self.file_store.draw(entry.digest, read_thumbnails(self.clip_file(entry, small=True)))
        return path
