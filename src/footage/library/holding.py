"""What a library's folder holds, opened together: database, files, embeddings."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path

from footage.errors import LibraryError
from footage.library import look
from footage.library.database import Database
from footage.library.entries import COLUMNS, Entry, entry
from footage.library.vault import Vault
from footage.library.vectors import Vectors

DATABASE = "library.sqlite"
"""The database's file."""
CHOSEN = "embedding"
"""Setting: the kind of embedding that likeness is measured by."""


class Holding:
    """The parts of a library.

    Args:
        folder: the library's folder.
        create: make it where it is missing.

    Raises:
        LibraryError: there is no library, or it cannot be read.
    """

    def __init__(self, folder: Path, *, create: bool) -> None:
        self.folder = folder
        if not (folder / DATABASE).is_file():
            if not create:
                raise LibraryError(f'"{folder}" holds no library', "make one: footage library add FOLDER CLIPS")
            if folder.exists() and not folder.is_dir():
                raise LibraryError(f'"{folder}" is a file', "give a folder for the library")
            folder.mkdir(parents=True, exist_ok=True)
        self.database = Database(folder / DATABASE)
        self.vault = Vault(folder)
        self._vectors: dict[str, Vectors] = {}
        self._lock = threading.Lock()

    def vectors(self, kind: str | None = None) -> Vectors:
        """Return the embeddings of a kind; None for the chosen one.

        Raises:
            LibraryError: there are none of this kind.
        """
        if kind is None:
            with self.database.read() as connection:
                row = connection.execute("SELECT value FROM settings WHERE name = ?", (CHOSEN,)).fetchone()
            kind = look.KIND if row is None else str(row["value"])
        with self._lock:
            if kind not in self._vectors:
                self._vectors[kind] = Vectors(self.folder / "embeddings", kind, self._width(kind))
            return self._vectors[kind]

    def _width(self, kind: str) -> int:
        if kind == look.KIND:
            return look.WIDTH
        with self.database.read() as connection:
            row = connection.execute("SELECT width FROM embeddings WHERE kind = ?", (kind,)).fetchone()
            known = [found[0] for found in connection.execute("SELECT kind FROM embeddings")]
        if row is None:
            raise LibraryError(f'there is no embedding "{kind}"', f"known are {', '.join([look.KIND, *known])}")
        return int(row["width"])

    def entry(self, connection: sqlite3.Connection, clip: int | str) -> Entry:
        """Return a clip by its number, its digest, or the beginning of its digest (8 characters or more).

        Raises:
            LibraryError: there is none, or more than one.
        """
        if isinstance(clip, str) and not clip.isdigit():
            condition, value = "c.digest GLOB ? || '*'", "".join(c for c in clip.lower() if c in "0123456789abcdef")
            if len(value) != len(clip) or len(value) < 8:
                raise LibraryError(
                    f'there is no clip "{clip}"', "give its number, or 8 or more characters of its digest"
                )
            rows = connection.execute(f"SELECT {COLUMNS} FROM clips c WHERE {condition} LIMIT 2", (value,)).fetchall()
        else:
            number = int(clip)
            within = -(2**63) <= number < 2**63
            rows = connection.execute(
                f"SELECT {COLUMNS} FROM clips c WHERE c.id = ?", (number if within else 0,)
            ).fetchall()
        if len(rows) != 1:
            raise LibraryError(
                f'there is no clip "{clip}"' if not rows else f'"{clip}" begins several', "see: footage library list"
            )
        return entry(rows[0])

    def entries(self, connection: sqlite3.Connection, clips: Iterable[int]) -> list[Entry]:
        """Return clips by their numbers, in this order; those that are not there are left out."""
        order = list(clips)
        found: dict[int, Entry] = {}
        for first in range(0, len(order), 500):
            part = order[first : first + 500]
            marks = ", ".join("?" for _ in part)
            for row in connection.execute(f"SELECT {COLUMNS} FROM clips c WHERE c.id IN ({marks})", part):
                found[row["id"]] = entry(row)
        return [found[number] for number in order if number in found]
