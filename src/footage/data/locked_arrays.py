"""Arrays of locked files, read at random as if they were mapped into memory: each page is opened when it is needed."""

from __future__ import annotations

import io
import mmap
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from footage.files.locked import HEAD, PAGE, PLACE, LockedFile, folder_of, name_below, opened_folder

KEPT = 2**30
"""Bytes of opened pages that are kept in memory, at most; less where there is little of it."""
Bytes = npt.NDArray[np.uint8]


class Pages:
    """Opened pages of some files, kept in memory up to a limit; the file that was not read for longest goes first."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit = min(KEPT, psutil.virtual_memory().available // 4) if limit is None else limit
        self.files: dict[int, LockedBytes] = {}
        self.held = 0
        self._guard = threading.Lock()

    def grown(self, file: LockedBytes, there: npt.NDArray[np.bool_], numbers: npt.NDArray[np.int64]) -> None:
        """Take note of pages that a file holds now, and mark them in `there`."""
        with self._guard:
            new, there[numbers] = int((~there[numbers]).sum()), True
            if file.holds(there):
                self.files.pop(id(file), None)
                self.files[id(file)] = file
                self.held += new * PAGE
            while self.held > self.limit and len(self.files) > 1:
                first = self.files.pop(next(iter(self.files)))
                self.held -= first.forget()


class LockedBytes:
    """The content of a locked file as an array of bytes that opens its pages when they are asked for.

    Args:
        path: the file.
        pages: where the opened ones are counted.
    """

    def __init__(self, path: Path, pages: Pages) -> None:
        folder = folder_of(path)
        assert folder is not None
        self.file = LockedFile(path, *opened_folder(folder), name_below(path, folder))
        self.file.close()  # it is read through the map, by many threads
        self.pages, self._stored = pages, np.memmap(path, np.uint8, "r").data
        self._new()

    def _new(self) -> None:
        count = -(-self.file.size // PAGE)
        # NumPy asks for huge pages, of 2 MiB, each of which is cleared as a whole for the first 64 KiB opened in it.
        memory = np.frombuffer(mmap.mmap(-1, max(1, self.file.size)), np.uint8)[: self.file.size]
        self._held: tuple[Bytes, npt.NDArray[np.bool_]] = memory, np.zeros(count, np.bool_)

    def __len__(self) -> int:
        return self.file.size

    def __getitem__(self, span: slice) -> Bytes:
        begin, end, step = span.indices(self.file.size)
        assert step == 1
        held, there = self._held  # another thread may exchange them meanwhile
        first, last = begin // PAGE, -(-end // PAGE)
        into, missing = held.data, first + np.flatnonzero(~there[first:last])
        for number in missing.tolist():
            at = HEAD + number * PLACE
            self.file.open_into(number, self._stored[at : at + PLACE], into[number * PAGE : (number + 1) * PAGE])
        if len(missing):
            self.pages.grown(self, there, missing)
        part = held[begin:end]
        part.flags.writeable = False
        return part

    def holds(self, there: npt.NDArray[np.bool_]) -> bool:
        """Tell whether a table of pages is the one in use."""
        return self._held[1] is there

    def forget(self) -> int:
        """Let the opened pages go; return how many bytes they were. Views that were given keep theirs."""
        count = int(self._held[1].sum()) * PAGE
        self._new()
        return count


class LockedArray:
    """An array of a locked `.npy` file: slices of its first axis, as of one that is mapped into memory."""

    def __init__(self, path: Path, pages: Pages) -> None:
        self.content = LockedBytes(path, pages)
        head = io.BytesIO(self.content[: min(len(self.content), 4096)].tobytes())
        version = np.lib.format.read_magic(head)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, self.dtype = read(head)
        self.shape, self.offset = tuple(shape), head.tell()
        self.row = int(np.prod(self.shape[1:])) * self.dtype.itemsize
        if fortran or self.dtype.hasobject or self.offset + self.shape[0] * self.row != len(self.content):
            raise ValueError(f"it holds {self.dtype} {self.shape} in {len(self.content):,} bytes")

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, span: slice) -> npt.NDArray[Any]:
        begin, end, _ = span.indices(len(self))
        end = max(begin, end)
        part = self.content[self.offset + begin * self.row : self.offset + end * self.row]
        return part.view(self.dtype).reshape(end - begin, *self.shape[1:])  # bytes → (N, …)


def load_array(path: Path, pages: Pages | None = None) -> Any:
    """Return an array of a `.npy` file without reading it: mapped into memory, or a `LockedArray`."""
    if folder_of(path) is None:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    return LockedArray(path, pages or Pages())


def load_bytes(path: Path, pages: Pages | None = None) -> Any:
    """Return the bytes of a file without reading it: mapped into memory, or `LockedBytes`."""
    return np.memmap(path, np.uint8, mode="r") if folder_of(path) is None else LockedBytes(path, pages or Pages())
