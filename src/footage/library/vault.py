"""The files beside the database: clips named by the SHA-256 of their content, and the pictures that show them.

files/3f/3fa9….mp4         a clip; whole, and never changed
pictures/3f/3fa9….webp     its thumbnail
pictures/3f/3fa9…-moving.webp   its animated preview
partial/                   what is being written
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from footage import files
from footage.errors import LibraryError, MediaError

SUFFIXES = frozenset({"mp4", "m4v", "mov", "mkv", "webm", "avi", "gif", "mpg", "mpeg", "ts", "wmv", "flv", "ogv"})
"""Endings of the videos that are taken in."""
PICTURES = frozenset({"png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff"})
"""Endings of the pictures that are taken in, as clips of one frame."""
BLOCK = 2**20
"""Bytes copied at once."""
STALE = 3600.0
"""Seconds after which something half written is taken for abandoned."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_STORED = re.compile(r"([0-9a-f]{64})\.([0-9a-z]{1,5})")


class DiskFull(MediaError):
    """The disk is full: the clip was not added, and no other will be."""


class Vault:
    """The files of a library. No path that it gives or takes leaves the library's folder.

    Args:
        folder: the library's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files, self.pictures, self.partial = (folder / name for name in ("files", "pictures", "partial"))

    def path(self, digest: str, suffix: str) -> Path:
        """Return where a clip's file stands, or would stand.

        Raises:
            LibraryError: these are no digest and suffix.
        """
        if not _DIGEST.fullmatch(digest) or not _STORED.fullmatch(f"{digest}.{suffix}"):
            raise LibraryError(f'"{digest}.{suffix}" is no file of a library', "see: footage library verify")
        return self.files / digest[:2] / f"{digest}.{suffix}"

    def thumbnail(self, digest: str) -> Path:
        """Return where a clip's thumbnail stands."""
        return self._picture(digest, ".webp")

    def preview(self, digest: str) -> Path:
        """Return where a clip's animated preview stands."""
        return self._picture(digest, "-moving.webp")

    def _picture(self, digest: str, ending: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise LibraryError(f'"{digest}" is no digest', "see: footage library verify")
        return self.pictures / digest[:2] / f"{digest}{ending}"

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
        if suffix not in SUFFIXES | PICTURES:
            raise LibraryError(
                f'".{suffix}" is no ending of a clip', f"known are {', '.join(sorted(SUFFIXES | PICTURES))}"
            )
        temporary = self.scratch(suffix)
        digest, size = hashlib.sha256(), 0
        try:
            with open(temporary, "wb") as copy:
                while block := source.read(BLOCK):
                    size += len(block)
                    if most is not None and size > most:
                        raise MediaError(f"a file has more than {most:,} bytes", "give a smaller one")
                    digest.update(block)
                    copy.write(block)
                copy.flush()
                os.fsync(copy.fileno())
            final = self.path(digest.hexdigest(), suffix)
            final.parent.mkdir(parents=True, exist_ok=True)
            os.replace(temporary, final)
            _settle(final.parent)
        except OSError as error:
            if error.errno in files.DISK_FAULTS:
                raise DiskFull("the disk is full, the clip was not added", "free some space and go on") from error
            raise
        finally:
            temporary.unlink(missing_ok=True)
        return digest.hexdigest(), final

    def scratch(self, suffix: str) -> Path:
        """Return a path for something that is being written."""
        self.partial.mkdir(parents=True, exist_ok=True)
        return self.partial / f"{secrets.token_hex(8)}.{suffix}"

    def stored(self) -> Iterator[tuple[str, str, Path]]:
        """Yield digest, suffix and path of each file that is named as a clip's, whatever it holds."""
        for path in sorted(self.files.glob("*/*")):
            match = _STORED.fullmatch(path.name)
            if match and path.parent.name == match[1][:2]:
                yield match[1], match[2], path

    def strangers(self) -> Iterator[Path]:
        """Yield what lies among the clips' files and is not named as one."""
        for path in sorted(self.files.rglob("*")):
            match = _STORED.fullmatch(path.name)
            named = match and path.parent.name == match[1][:2] and path.parent.parent == self.files
            if not named and (path.is_symlink() or not path.is_dir()):
                yield path

    def drawn(self) -> Iterator[tuple[str, Path]]:
        """Yield digest and path of each picture."""
        for path in sorted(self.pictures.glob("*/*.webp")):
            yield path.name.split(".")[0].removesuffix("-moving"), path

    def remove(self, digest: str, suffix: str) -> None:
        """Remove a clip's file and its pictures."""
        for path in (self.path(digest, suffix), self.thumbnail(digest), self.preview(digest)):
            path.unlink(missing_ok=True)

    def sweep(self) -> int:
        """Remove what was left half written by processes that died; return how many files."""
        old = [path for path in self.partial.glob("*") if time.time() - path.lstat().st_mtime > STALE]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)


def _settle(folder: Path) -> None:
    """Flush a folder's table of names to disk, where the system can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
