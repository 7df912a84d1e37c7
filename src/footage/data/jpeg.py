"""Files of JPEG pictures, one after another, any of which is read by itself.

After the pictures stands an index, a row for each: where it ends, in bytes from the beginning (int64), and its CRC-32
(uint32); then the number of pictures (int64) and `MARK`. All numbers are little-endian.
"""

from __future__ import annotations

import io
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from footage.data.locked_arrays import Pages, load_bytes
from footage.errors import DatasetError
from footage.machines.local import cores

Frames = npt.NDArray[np.uint8]

INDEX = np.dtype([("end", "<i8"), ("sum", "<u4")])
MARK = b"JPEGS 1\n"
"""The last bytes of a whole file, with the version of its format."""
MOST_THREADS = 4
"""Threads that decode at once, at most."""
AGAIN = "run the same ingest command again: it decodes only what is missing"


def encode(frame: Frames, quality: int) -> bytes:
    """Return a frame (H, W, C) as a JPEG picture, with colours as fine as brightness (4:4:4)."""
    from PIL import Image

    out = io.BytesIO()
    picture = Image.fromarray(frame[:, :, 0] if frame.shape[2] == 1 else frame)  # grey: (H, W, 1) → (H, W)
    picture.save(out, "JPEG", quality=quality, subsampling=0)
    return out.getvalue()


class JpegWriter:
    """Writes pictures to a file, empty and open for writing; behind each may stand other bytes, its companion."""

    def __init__(self, handle: IO[bytes]) -> None:
        self.handle, self.rows = handle, np.zeros(1024, INDEX)
        self.count = 0

    def add(self, content: bytes) -> None:
        """Append a picture, with its companion."""
        self.handle.write(content)
        if self.count == len(self.rows):
            self.rows = np.concatenate([self.rows, np.zeros_like(self.rows)])
        end = int(self.rows["end"][self.count - 1]) if self.count else 0
        self.rows[self.count] = end + len(content), zlib.crc32(content)
        self.count += 1

    def finish(self, count: int | None = None) -> None:
        """Write the index behind the first `count` pictures; None for all."""
        rows = self.rows[: self.count if count is None else count]
        end = int(rows["end"][-1]) if len(rows) else 0
        self.handle.truncate(end)
        self.handle.seek(end)
        self.handle.write(rows.tobytes() + len(rows).to_bytes(8, "little") + MARK)


class JpegFile:
    """Pictures of one size that are read at random. The file is memory-mapped: no more is held than what is asked for.

    Args:
        path: the file.
        shape: (H, W, C) of a picture.
        companion: bytes behind each picture that belong to it.
        end: where the pictures and their index end, in bytes; None for the end of the file.
        pages: where the opened pages of a locked file are counted.

    Raises:
        DatasetError: the file is missing, cut off or something else. Damage of single pictures is found when they are
            read.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, int, int],
        companion: int = 0,
        end: int | None = None,
        pages: Pages | None = None,
    ) -> None:
        self.path, self.shape, self.companion = path, shape, companion
        try:
            self.content = load_bytes(path, pages)
        except (OSError, ValueError) as error:
            raise DatasetError(f"{path} cannot be read ({error})", AGAIN) from None
        foot = (len(self.content) if end is None else end) - 8 - len(MARK)
        if foot < 0 or self.content[foot + 8 : end].tobytes() != MARK:
            raise DatasetError(f"{path} is cut off, or no file of JPEG pictures", AGAIN)
        begin = foot - INDEX.itemsize * int.from_bytes(self.content[foot : foot + 8].tobytes(), "little")
        self.index = self.content[begin if begin >= 0 else foot : foot].view(INDEX)
        ends = np.concatenate([[0], self.index["end"]])
        if begin != ends[-1] or (np.diff(ends) <= companion).any():
            raise DatasetError(f"the index of {path} is damaged", AGAIN)

    def __len__(self) -> int:
        return len(self.index)

    def stored(self, number: int) -> bytes:
        """Return a picture as it was written, with its companion.

        Raises:
            DatasetError: it is damaged.
        """
        begin = int(self.index["end"][number - 1]) if number else 0
        content: bytes = self.content[begin : int(self.index["end"][number])].tobytes()
        if zlib.crc32(content) != self.index["sum"][number]:
            raise self._damaged(number)
        return content

    def read(self, first: int, count: int) -> Frames:
        """Return `count` pictures from number `first` on, decoded by several threads: (T, H, W, C).

        Raises:
            DatasetError: one of them is damaged.
        """
        from PIL import Image

        frames = np.empty((count, *self.shape), np.uint8)

        def decode(place: int) -> None:
            content = self.stored(first + place)
            try:
                with Image.open(io.BytesIO(content[: len(content) - self.companion]), formats=["JPEG"]) as picture:
                    frames[place] = np.asarray(picture, np.uint8).reshape(self.shape)  # grey: (H, W) → (H, W, 1)
            except (OSError, ValueError) as error:
                raise self._damaged(first + place) from error

        threads = min(count, MOST_THREADS, cores())
        if threads < 2:
            for place in range(count):
                decode(place)
        else:
            with ThreadPoolExecutor(threads, thread_name_prefix="pictures") as pool:
                list(pool.map(decode, range(count)))  # raises what they raise
        return frames

    def _damaged(self, number: int) -> DatasetError:
        remedy = "remove this file and run the same ingest command again: it decodes what the file held"
        return DatasetError(f"picture {number} of {self.path} is damaged", remedy)
