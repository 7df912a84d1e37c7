"""Embeddings of clips as a matrix in a file: row `id` is the vector of clip `id`, of length 1, or zeros for none.

The file is read through memory mapping, so that a search touches no more memory than it needs, and is shared by all
processes. It can be made again from the clips.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from footage import files
from footage.errors import LibraryError
from footage.library.neighbours import near

Vector = npt.NDArray[np.float32]

BLOCK = 8192
"""Rows that are compared at once."""


class Vectors:
    """The vectors of one kind.

    Args:
        folder: where the file lies.
        kind: name of the embedding.
        width: numbers in a vector.
    """

    def __init__(self, folder: Path, kind: str, width: int) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", kind):
            raise LibraryError(f'an embedding is named "{kind}"', "use small letters, digits and hyphens")
        self.path, self.kind, self.width = folder / f"{kind}.f32", kind, width
        self._matrix: npt.NDArray[np.float32] = np.zeros((0, width), np.float32)
        self._lock = threading.Lock()

    def put(self, rows: dict[int, Vector]) -> None:
        """Write the vectors of clips, by number, scaled to length 1, and flush them to disk.

        Raises:
            LibraryError: a vector has another width or is not finite, or the disk is full.
        """
        for number, vector in rows.items():
            if vector.shape != (self.width,) or not np.isfinite(vector).all():
                raise LibraryError(f"the vector of clip {number} is {vector.shape}", f"give ({self.width},), finite")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
            try:
                for number, vector in rows.items():
                    length = float(np.linalg.norm(vector))
                    row = np.asarray(vector / length if length else vector, dtype="<f4").tobytes()
                    os.lseek(handle, number * self.width * 4, os.SEEK_SET)
                    if os.write(handle, row) != len(row):
                        raise OSError(*FULL)
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            if error.errno in files.DISK_FAULTS:
                raise LibraryError(f'the disk is full, "{self.path}" was not written', "free some space") from error
            raise

    def get(self, number: int) -> Vector | None:
        """Return a clip's vector, (width,), or None where there is none."""
        matrix = self.matrix()
        if not 0 <= number < len(matrix) or not matrix[number].any():
            return None
        return np.array(matrix[number])

    def matrix(self) -> npt.NDArray[np.float32]:
        """Return all rows, (N, width), mapped into memory."""
        with self._lock:
            try:
                count = self.path.stat().st_size // (4 * self.width)
            except FileNotFoundError:
                count = 0
            if count != len(self._matrix):
                shape = (count, self.width)
                self._matrix = np.memmap(self.path, "<f4", "r", shape=shape) if count else np.zeros(shape, np.float32)
            return self._matrix

    def likeness(self, vector: Vector) -> npt.NDArray[np.float32]:
        """Return the cosine of each row with a vector, (N,); -1 where there is none."""
        length = float(np.linalg.norm(vector))
        cosines = self.matrix() @ np.asarray(vector / (length or 1.0), dtype=np.float32)
        # A row of zeros gives exactly 0, which a real one gives as good as never.
        cosines[cosines == 0] = -1
        return np.asarray(cosines, dtype=np.float32)

    def lacking(self, ids: Sequence[int]) -> list[int]:
        """Return which of some clips have no vector."""
        matrix = self.matrix()
        found: list[int] = []
        for first in range(0, len(ids), BLOCK):
            part = np.asarray(ids[first : first + BLOCK], dtype=np.int64)
            here = part < len(matrix)
            there = np.zeros(len(part), dtype=bool)
            there[here] = np.abs(np.linalg.norm(matrix[part[here]], axis=1) - 1) < 1e-3
            found += part[~there].tolist()
        return found

    def close(
        self, ids: Sequence[int], least: float, lengths: Sequence[float], allowed: tuple[float, float]
    ) -> list[int]:
        """Return the clips, of some, that are at least this much like another of them that is about as long.

        Args:
            ids: the clips.
            least: the cosine.
            lengths: of each clip.
            allowed: by how much lengths may differ, and by which part of the longer one.
        """
        matrix = self.matrix()
        rows, sizes = np.asarray(ids, dtype=np.int64), np.asarray(lengths, dtype=np.float64)
        here = rows < len(matrix)
        rows, sizes = rows[here], sizes[here]
        return sorted(rows[near(matrix, rows, least, sizes, allowed)].tolist())


FULL = (28, "No space left on device")
"""What a write that stops short means."""
