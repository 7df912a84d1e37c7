"""Vectors on disk, part by part: memory does not grow with their number, and what was computed once is kept.

    KEY/part-00000.bin …   some clips each, the last one fewer: their rows, and behind them the SHA-256 of these

KEY is the digest of the clips' content, of the network, and of all choices between them. A part that is damaged, cut
off or missing is made again; the others are taken as they are, bit for bit, so that a killed evaluation goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from footage import files

MOST_BYTES = 4 * 2**30
"""A cache that is larger loses what was not used for longest."""
_DIGEST = 32


def default_folder() -> Path:
    """Return the cache's folder: `footage/features` below $XDG_CACHE_HOME, else below ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "footage" / "features"


@dataclass(frozen=True)
class Stored:
    """Vectors (N, D) in files, read as they are asked for; see `footage.metrics.rows.Rows`."""

    folder: Path
    """Where the parts are."""
    clips: int
    """How many clips they describe."""
    each: int
    """Rows of a clip: 1, or its number of frames."""
    part: int
    """Clips in a part, but for the last one."""
    size: int
    """D."""
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.float32))
    """Kind of the values."""

    @property
    def shape(self) -> tuple[int, int]:
        """N and D."""
        return self.clips * self.each, self.size

    @property
    def parts(self) -> list[range]:
        """The clips of each part."""
        return [range(first, min(first + self.part, self.clips)) for first in range(0, self.clips, self.part)]

    def path(self, part: int) -> Path:
        """Return the file of a part."""
        return self.folder / f"part-{part:05d}.bin"

    @property
    def row_bytes(self) -> int:
        """Size of a row."""
        return self.size * self.dtype.itemsize

    def __getitem__(self, part: slice) -> npt.NDArray[Any]:
        """Return some successive rows."""
        first, last, step = part.indices(self.shape[0])
        assert step == 1, "rows are read one after the other"
        found = np.empty((max(0, last - first), self.size), dtype=self.dtype)
        done, rows = first, self.part * self.each
        while done < last:
            number, inside = divmod(done, rows)
            count = min(last - done, rows - inside)
            with open(self.path(number), "rb") as handle:
                handle.seek(inside * self.row_bytes)
                read = handle.readinto(found[done - first : done - first + count].data.cast("B"))
            assert read == count * self.row_bytes, f"{self.path(number)} is cut off"
            done += count
        return found

    def whole(self, part: int) -> bool:
        """Whether the file of a part is there and undamaged."""
        try:
            size = len(self.parts[part]) * self.each * self.row_bytes
            with open(self.path(part), "rb") as handle:
                if os.fstat(handle.fileno()).st_size != size + _DIGEST:
                    return False
                digest = hashlib.sha256()
                while size:
                    chunk = handle.read(min(size, 2**20))
                    digest.update(chunk)
                    size -= len(chunk)
                return handle.read() == digest.digest()
        except OSError:
            return False

    def write(self, part: int, values: npt.NDArray[Any]) -> None:
        """Write a part, atomically: values (rows, D)."""
        wanted = (len(self.parts[part]) * self.each, self.size)
        assert values.shape == wanted and values.dtype == self.dtype, f"{values.shape} {values.dtype}, not {wanted}"
        content = np.ascontiguousarray(values)
        with files.replacing(self.path(part), durable=False) as temporary, open(temporary, "wb") as handle:
            handle.write(content.data.cast("B"))
            handle.write(hashlib.sha256(content.data.cast("B")).digest())


class Store:
    """The folder of all stored vectors.

    Args:
        folder: where to keep them from one evaluation to the next; None for a folder that goes when it is closed.
    """

    def __init__(self, folder: Path | None) -> None:
        self.kept = folder is not None
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError:
                self.kept = False
        self.folder = folder if folder is not None and self.kept else Path(tempfile.mkdtemp(prefix="footage-"))
        self.used: set[str] = set()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        if self.kept:
            self.trim()
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def entry(self, key: str, clips: int, each: int, part: int, size: int, dtype: npt.DTypeLike = np.float32) -> Stored:
        """Return the vectors of a key, some or all of whose parts may have to be written."""
        folder = self.folder / key
        folder.mkdir(parents=True, exist_ok=True)
        self.used.add(key)
        files.remove_partial(folder)
        os.utime(folder)
        return Stored(folder, clips, each, part, size, np.dtype(dtype))

    def trim(self, most: int = MOST_BYTES) -> None:
        """Remove what was not used for longest, until the rest is small enough; never what this evaluation uses."""
        entries = sorted(self._entries(), key=lambda entry: entry[0])
        total = sum(size for _, size, _ in entries)
        for _, size, folder in entries:
            if total <= most:
                return
            if folder.name not in self.used:
                shutil.rmtree(folder, ignore_errors=True)
                total -= size

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        for folder in self.folder.iterdir():
            with contextlib.suppress(OSError):
                if folder.is_dir():
                    yield folder.stat().st_mtime, sum(path.stat().st_size for path in folder.iterdir()), folder
