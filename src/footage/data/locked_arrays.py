"""Arrays of locked files, read at random as if they were mapped into memory: each page is opened when it is needed."""

from __future__ import annotations

import contextlib
import io
import math
import mmap
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from footage.files.locked import HEAD, PAGE, PLACE, LockedFile, folder_of, name_below, opened_folder

KEPT = 2**30
"""Bytes of opened files that are kept in memory, at most; less where there is little of it."""
Bytes = npt.NDArray[np.uint8]

PIECE = 32 * PAGE
"""Bytes for which room is taken at once: 2 MiB, as many as the system gives at once (`fresh_memory`)."""
RUN = 2**20
"""Bytes of an array up to which all are read where only some of them, here and there, are asked for."""


class Pages:
    """Room in memory for the opened pages of files; where there is none left, pages are opened whenever they are read.

    Nothing is let go for something else, but with its file: clips are read in a new order in each epoch, and what was
    not read for longest is as likely to be read next as any other.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.left = min(KEPT, psutil.virtual_memory().available // 4) if limit is None else limit
        self._guard = threading.Lock()

    def take(self, taken: npt.NDArray[np.bool_], piece: int) -> bool:
        """Take room for a piece of a file, among those that are `taken`; False where there is none left."""
        if taken[piece]:
            return True
        with self._guard:
            if not taken[piece] and self.left >= PIECE:
                self.left -= PIECE
                taken[piece] = True
        return bool(taken[piece])

    def give_back(self, taken: npt.NDArray[np.bool_]) -> None:
        """Give back the room of a file that is no longer used."""
        with self._guard:
            self.left += PIECE * int(taken.sum())


def fresh_memory(size: int) -> Bytes:
    """Return zeros, which cost nothing until they are written to.

    The system is asked for a process's own, 2 MiB at a time (`MADV_HUGEPAGE`): shared memory, or 4 KiB at a time, takes
    several times as long to come as what is opened into it.
    """
    if not hasattr(mmap, "MAP_PRIVATE"):
        return np.zeros(size, np.uint8)
    memory = mmap.mmap(-1, max(1, size), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a system that was built without
            memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, np.uint8)[:size]


class LockedBytes:
    """The content of a locked file as an array of bytes that opens its pages when they are asked for.

    Args:
        path: the file.
        pages: room for the opened ones.
    """

    def __init__(self, path: Path, pages: Pages) -> None:
        folder = folder_of(path)
        assert folder is not None
        self.file = LockedFile(path, *opened_folder(folder), name_below(path, folder))
        self.file.close()  # it is read through the map, by many threads
        self._stored = np.memmap(path, np.uint8, "r").data
        self._kept = fresh_memory(self.file.size)
        self._there = np.zeros(-(-self.file.size // PAGE), np.bool_)
        """Which pages are open in `_kept`."""
        self._pages, self._taken = pages, np.zeros(-(-self.file.size // PIECE), np.bool_)
        weakref.finalize(self, pages.give_back, self._taken)
        self._edge: tuple[int, Bytes] = -1, np.empty(0, np.uint8)
        """A page that was opened for a part of it, and its number, where none are kept: what follows begins in it."""

    def __len__(self) -> int:
        return self.file.size

    def __getitem__(self, span: slice) -> Bytes:
        begin, end, step = span.indices(self.file.size)
        assert step == 1
        first, last = begin // PAGE, -(-end // PAGE)
        for number in (first + np.flatnonzero(~self._there[first:last])).tolist():
            if self._pages.take(self._taken, number * PAGE // PIECE):
                self._open(number, self._kept[number * PAGE : (number + 1) * PAGE])
                self._there[number] = True
        part = self._kept[begin:end] if self._there[first:last].all() else self._opened(begin, end)
        part.flags.writeable = False
        return part

    def _open(self, number: int, into: Bytes) -> None:
        at = HEAD + number * PLACE
        self.file.open_into(number, self._stored[at : at + PLACE], into.data)

    def _opened(self, begin: int, end: int) -> Bytes:
        """Return bytes that are not all kept: whole pages are opened in their place, of others the part is copied."""
        part, at = np.empty(end - begin, np.uint8), begin
        while at < end:
            number, first = divmod(at, PAGE)
            length = min(PAGE, self.file.size - number * PAGE)
            count = min(length - first, end - at)
            place = part[at - begin : at - begin + count]
            if self._there[number]:
                place[:] = self._kept[at : at + count]
            elif count == length:
                self._open(number, place)
            else:
                held, page = self._edge  # another thread may exchange it meanwhile
                if held != number:
                    page = np.empty(length, np.uint8)
                    self._open(number, page)
                    self._edge = number, page
                place[:] = page[first : first + count]
            at += count
        return part


class LockedArray:
    """An array of a locked `.npy` file, of which parts are read as of one that is mapped into memory.

    Args:
        path: the file.
        pages: room for its opened pages.

    Raises:
        ValueError: it is no such array, or holds Python's objects.
    """

    def __init__(self, path: Path, pages: Pages) -> None:
        self.content = LockedBytes(path, pages)
        head = io.BytesIO(self.content[: min(len(self.content), 4096)].tobytes())
        version = np.lib.format.read_magic(head)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        self.shape, self._fortran, self.dtype = read(head)
        self.offset, self.size = head.tell(), math.prod(self.shape)
        self.row = math.prod(self.shape[1:]) * self.dtype.itemsize
        if self.dtype.hasobject or self.offset + self.size * self.dtype.itemsize != len(self.content):
            raise ValueError(f"it holds {self.dtype} {self.shape} in {len(self.content):,} bytes")

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: slice | tuple[int | slice, ...]) -> npt.NDArray[Any]:
        """Return a part: a slice of the first axis, or a number or a slice for each; slices have no step."""
        if isinstance(index, slice) and not self._fortran:
            begin, end, _ = index.indices(len(self))
            end = max(begin, end)
            part = self.content[self.offset + begin * self.row : self.offset + end * self.row]
            return part.view(self.dtype).reshape(end - begin, *self.shape[1:])  # bytes → (N, …)
        every = index if isinstance(index, tuple) else (index,)
        every += (slice(None),) * (self.ndim - len(every))
        spans = [range(size)[part] for part, size in zip(every, self.shape, strict=True)]
        if self._fortran:  # the bytes are those of the transposed array
            return self._part(spans[::-1], self.shape[::-1], self.offset).T
        return self._part(spans, self.shape, self.offset)

    def _part(self, spans: Sequence[range | int], shape: tuple[int, ...], at: int) -> npt.NDArray[Any]:
        """Return a part of an array of a shape whose bytes begin at a place: what lies together is read at once."""
        if not spans:
            return self.content[at : at + self.dtype.itemsize].view(self.dtype).reshape(())
        span, row = spans[0], math.prod(shape[1:]) * self.dtype.itemsize
        if isinstance(span, int):
            return self._part(spans[1:], shape[1:], at + span * row)
        inner = tuple(slice(one.start, one.stop) if isinstance(one, range) else one for one in spans[1:])
        whole = all(one == slice(0, size) for one, size in zip(inner, shape[1:], strict=True))
        if whole or len(span) * row <= RUN:
            part = self.content[at + span.start * row : at + (span.start + len(span)) * row]
            return part.view(self.dtype).reshape(len(span), *shape[1:])[:, *inner]
        return np.stack([self._part(spans[1:], shape[1:], at + number * row) for number in span])


def load_array(path: Path, pages: Pages | None = None) -> Any:
    """Return an array of a `.npy` file without reading it: mapped into memory, or a `LockedArray`.

    Raises:
        Exception: of many kinds where it is damaged, or holds Python's objects.
    """
    if folder_of(path) is None:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    return LockedArray(path, pages or Pages())


def load_bytes(path: Path, pages: Pages | None = None) -> Any:
    """Return the bytes of a file without reading it: mapped into memory, or `LockedBytes`."""
    return np.memmap(path, np.uint8, mode="r") if folder_of(path) is None else LockedBytes(path, pages or Pages())
