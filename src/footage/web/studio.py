"""What the pages and the interface share: the library, the folders beside it, and what is running."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from fastapi import HTTPException

from footage.errors import LibraryError
from footage.library.entries import ClipEntry
from footage.library.library import Library
from footage.web.guard import Keys
from footage.web.limits import Limits
from footage.web.shelf import Shelf
from footage.web.worker import Workshop

T = TypeVar("T")


class Outbox:
    """Exports that wait to be fetched, in a folder that is gone when the server ends.

    Args:
        most: how many are kept; the oldest goes first.
    """

    def __init__(self, most: int) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="footage-exports-"))
        self._most = most
        self._ready: OrderedDict[str, Path] = OrderedDict()
        self._lock = threading.Lock()

    def place(self) -> Path:
        """Return a new folder to write an export into."""
        folder = self._folder / secrets.token_urlsafe(16)
        folder.mkdir()
        return folder

    def put(self, path: Path) -> str:
        """Keep a file of such a folder; return the word that it is fetched by."""
        with self._lock:
            self._ready[path.parent.name] = path
            while len(self._ready) > self._most:
                _, old = self._ready.popitem(last=False)
                shutil.rmtree(old.parent, ignore_errors=True)
        return path.parent.name

    def get(self, word: str) -> Path | None:
        """Return a file that is kept."""
        with self._lock:
            return self._ready.get(word)

    def close(self) -> None:
        """Remove everything."""
        shutil.rmtree(self._folder, ignore_errors=True)


@dataclass(frozen=True)
class Pair:
    """Two clips that wait to be compared by somebody who is not told what they are."""

    campaign: str
    a: int
    b: int
    made: float = field(default_factory=time.monotonic)


class Pairs:
    """The blind pairs that wait, by words that tell nothing.

    Args:
        most: how many wait; the oldest is forgotten first.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: OrderedDict[str, Pair] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, pair: Pair) -> str:
        """Keep a pair; return its word."""
        word = secrets.token_urlsafe(16)
        with self._lock:
            self._waiting[word] = pair
            while len(self._waiting) > self._most:
                self._waiting.popitem(last=False)
        return word

    def get(self, word: str) -> Pair:
        """Return a pair.

        Raises:
            HTTPException: it is not known, or no longer.
        """
        with self._lock:
            pair = self._waiting.get(word)
        if pair is None:
            raise HTTPException(404, "this pair is no longer asked about: take another")
        return pair


class Studio:
    """One server's share of a library.

    Args:
        library: the library.
        shelf: where models, runs and reports are found.
        keys: the server's secrets.
        limits: how much may be asked.
    """

    def __init__(self, library: Library, shelf: Shelf, keys: Keys, limits: Limits | None = None) -> None:
        self.library, self.shelf, self.keys = library, shelf, keys
        self.limits = limits or Limits()
        self.outbox = Outbox(self.limits.exports)
        self.pairs = Pairs(self.limits.pairs)
        self.workshop = Workshop(library, shelf.folder)

    def entry(self, clip: int) -> ClipEntry:
        """Return a clip.

        Raises:
            HTTPException: there is none.
        """
        return found(lambda: self.library.get(clip))

    def close(self) -> None:
        """End what is running, and remove what was for this server only."""
        self.workshop.close()
        self.outbox.close()
        self.library.close()


def found(look: Callable[[], T]) -> T:
    """Return what the library has.

    Raises:
        HTTPException: it has no such thing.
    """
    try:
        return look()
    except LibraryError as error:
        raise HTTPException(404, {"problem": error.problem, "remedy": error.remedy}) from error
