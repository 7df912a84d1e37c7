"""The library's connection to SQLite: write-ahead log, immediate transactions, ordered migrations."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from footage import files
from footage.errors import LibraryError
from footage.library.schema import APPLICATION, MIGRATIONS

WAIT = 30.0
"""Seconds that a writer waits for another."""
IDLE = 8
"""Connections that are kept for the next reader."""
FULL = frozenset({"SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_TRUNCATE"})
"""SQLite's names for a disk that cannot take what is written to it."""
DAMAGED = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_CORRUPT_VTAB", "SQLITE_IOERR_SHORT_READ"})
"""SQLite's names for a file that is not a sound database."""


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
        self._process = os.getpid()
        self._migrations = migrations
        with self._reported():
            self._prepare()

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
        """
        with self._reported(), self._borrowed() as connection:
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
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
            broken = [
                f"{row[0]} {row[1]} points to no {row[2]}" for row in connection.execute("PRAGMA foreign_key_check")
            ]
            try:
                connection.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")
            except sqlite3.DatabaseError as error:
                broken.append(f"the index of words: {error}")
        return ([] if found == ["ok"] else found) + broken

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=WAIT, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA mmap_size = 268435456")
        return connection

    @contextlib.contextmanager
    def _borrowed(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._process != os.getpid():  # SQLite's connections must not be used across a fork
                self._idle, self._process = [], os.getpid()
            connection = self._idle.pop() if self._idle else None
        connection = connection or self._open()
        try:
            yield connection
        except sqlite3.Error:
            connection.close()
            raise
        except BaseException:
            self._return(connection)
            raise
        else:
            self._return(connection)

    def _return(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if len(self._idle) < IDLE and self._process == os.getpid() and not connection.in_transaction:
                self._idle.append(connection)
                return
        connection.close()

    def _prepare(self) -> None:
        """Take the steps that the file has not taken yet."""
        newest = len(self._migrations)
        with self._borrowed() as connection:
            version = self._version(connection)
            if version == newest:
                return
            _log_ahead(connection)
            if version:
                self._back_up(connection, version)
        with self.write() as connection:  # again, alone: another process may have been quicker
            for number in range(self._version(connection), newest):
                for statement in self._migrations[number]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number + 1}")
            connection.execute(f"PRAGMA application_id = {APPLICATION}")

    def _version(self, connection: sqlite3.Connection) -> int:
        """Return how many steps the file has taken; refuse another program's file and a newer version's."""
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        application = int(connection.execute("PRAGMA application_id").fetchone()[0])
        tables = int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
        if application != APPLICATION and (application or version or tables):
            raise LibraryError(f'"{self.path}" is a database of another program', "give the folder of a library")
        newest = len(self._migrations)
        if version > newest:
            problem = f'"{self.path}" has format {version}, this footage reads up to {newest}'
            raise LibraryError(problem, "upgrade footage")
        return version

    def _back_up(self, connection: sqlite3.Connection, version: int) -> None:
        """Keep the database as it was before it is migrated."""
        kept = self.path.with_name(f"{self.path.stem}-format-{version}.sqlite")
        if not kept.exists():
            with files.replacing(kept) as temporary, contextlib.closing(sqlite3.connect(temporary)) as copy:
                connection.backup(copy)

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        """Say in the user's words what SQLite reports."""
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "") or ""
            raise _in_words(self.path, name, error) from error


def _log_ahead(connection: sqlite3.Connection) -> None:
    """Switch to the write-ahead log. SQLite does not wait here by itself when another process does the same."""
    until = time.monotonic() + WAIT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not str(getattr(error, "sqlite_errorname", "")).startswith("SQLITE_BUSY") or time.monotonic() > until:
                raise
            time.sleep(0.01)


def _in_words(path: Path, name: str, error: sqlite3.Error) -> LibraryError:
    if name in FULL:
        return LibraryError(f'the disk is full, "{path}" was not changed', "free some space and do it again")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return LibraryError(f'another program has been writing to "{path}" for {WAIT:g} s', "try again when it is done")
    if name in DAMAGED:
        return LibraryError(f'"{path}" is damaged or no database ({error})', "put a copy of it back")
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return LibraryError(f'"{path}" cannot be written ({error})', "see who owns the folder")
    return LibraryError(f'"{path}": {error}', "see: footage library verify")
