"""Videos that browsers send to be ingested, in pieces: whoever is closed or killed, what has come is gone on with.

    uploads/NAME/upload.json    hidden (a dot in front): the files that were promised, see `PromisedFile`
    uploads/NAME/parts/…        hidden: what has come of files that are not whole
    uploads/NAME/…              the whole files, in their sub-folders

A file is known by its name, its size and when it was changed. A piece counts once it is on the disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import threading
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from footage import files
from footage.errors import ConfigError
from footage.library.entries import plain
from footage.library.storage import DiskFull
from footage.media.kinds import CLIP_SUFFIXES, suffix_of
from footage.studio.security import Limits

SCHEMA = 1
"""Version of the list of promised files."""
LIST, PARTS = ".upload.json", ".parts"
TAKEN = CLIP_SUFFIXES | {"npy", "npz", "txt"}
"""Endings of what is taken: clips, pictures, arrays, and captions beside them."""
LONGEST_NAME = 180
"""Bytes of a name, at most."""
DEEPEST = 12
"""Folders that a file may lie in."""
FORBIDDEN = re.compile(r'[<>:"|?*]')
"""Signs that some disk does not take in names; those that cannot be printed are replaced too."""


@dataclass(frozen=True)
class PromisedFile:
    """A file that is to come."""

    path: str
    """Its name with its sub-folders, with forward slashes."""
    size: int
    """In bytes."""
    modified: int
    """When it was changed, in milliseconds since 1970."""

    @property
    def part(self) -> str:
        """Name of what has come of it."""
        return files.json_digest([self.path, self.size, self.modified])[:32]


@dataclass(frozen=True)
class UploadState:
    """How far an upload is."""

    folder: str
    """Its name among the uploads."""
    path: str
    """Where it lies, as a source to ingest."""
    files: int
    whole: int
    """Files that have come whole."""
    bytes: int
    received: int
    """Bytes that have come."""
    offsets: tuple[int, ...] = ()
    """Bytes that have come of each file that was asked about."""


class SourceUploads:
    """The uploads of a studio, in a folder below that of the models.

    Args:
        folder: where they lie; made when the first comes.
        limits: how many and how large they may be.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder, self._limits = folder, limits
        self._lock = threading.Lock()
        self._lists: dict[str, tuple[int, dict[str, PromisedFile]]] = {}
        """Lists that were read: when they were written, and the files by path."""

    def begin(self, name: str, promised: Sequence[PromisedFile], into: bool = False, actor: str = "") -> UploadState:
        """Begin an upload, or go on with one: what is promised is what is sent next.

        Args:
            name: of its folder. Where one of that name has none of these files, another name is taken.
            promised: the files. Their names are made safe.
            into: add them to the folder of this name, whatever is in it.
            actor: account whose upload it is, where it begins; empty where there are none.

        Raises:
            ConfigError: they are too many or too large, or a file is none that is taken.
        """
        limits = self._limits
        if len(promised) > limits.sent_files:
            raise ConfigError(f"{len(promised):,} files are to be sent", f"send at most {limits.sent_files:,}")
        wanted = [replace(file, path=safe_path(file.path)) for file in promised]
        for file in wanted:
            if file.size > limits.sent_file:
                raise ConfigError(
                    f'"{plain(file.path)}" has {file.size:,} bytes, more than {limits.sent_file:,}', "divide it"
                )
        with self._lock, files.disk_errors(DiskFull()):
            number, folder = 1, name
            while not into and (known := self._list(folder)) is not None:
                if any(known.get(file.path) == file for file in wanted):
                    break
                number += 1
                folder = f"{name} {number}"
            before = self._list(folder) or {}
            place = self.folder / folder
            lacking = sum(file.size - self._received(place, file) for file in wanted)
            all_bytes = sum(file.size for file in {**before, **{file.path: file for file in wanted}}.values())
            if all_bytes > limits.sent_bytes:
                raise ConfigError(f"{all_bytes:,} bytes are to be sent", f"send at most {limits.sent_bytes:,}")
            (place / PARTS).mkdir(parents=True, exist_ok=True)
            if lacking > (free := shutil.disk_usage(place).free):
                raise ConfigError(f"{lacking:,} bytes are to be sent, and {free:,} are free", "free some space")
            listed = {**before, **{file.path: file for file in wanted}}
            _write(place / LIST, listed, actor=_read(place / LIST).get("actor", "") if before else actor)
            for file in wanted:  # a server may have been killed between the last piece and its place
                if file.size and self._received(place, file) == file.size and not self._is_whole(place, file):
                    self._finish(place, file)
            return self._state(folder, listed, wanted)

    def write(self, name: str, file: PromisedFile, offset: int, content: bytes) -> int:
        """Write a piece of a promised file; return how many bytes of it have come.

        Nothing is written where these are others than `offset`: who sends goes on from there.

        Raises:
            ConfigError: the file was not promised, or the piece goes beyond its end.
        """
        file = replace(file, path=safe_path(file.path))
        with self._lock, files.disk_errors(DiskFull()):
            if (self._list(name) or {}).get(file.path) != file:
                raise ConfigError(f'"{plain(file.path)}" was not announced', "begin the upload again")
            place = self.folder / name
            received = self._received(place, file)
            if offset != received or self._is_whole(place, file):
                return received
            if received + len(content) > file.size:
                raise ConfigError(f'more comes of "{plain(file.path)}" than its {file.size:,} bytes', "begin again")
            part = place / PARTS / file.part
            with open(part, "ab") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
            if received + len(content) == file.size:
                self._finish(place, file)
            return received + len(content)

    def unfinished(self) -> list[UploadState]:
        """Return the uploads of which something has still to come."""
        states = []
        with self._lock, contextlib.suppress(OSError):
            for place in sorted(self.folder.iterdir()):
                listed = self._list(place.name)
                if listed is None or _read(place / LIST).get("whole"):
                    continue
                state = self._state(place.name, listed)
                if state.whole < state.files:
                    states.append(state)
                else:
                    _write(place / LIST, listed, actor=_read(place / LIST).get("actor", ""), whole=True)
        return states

    def actor(self, name: str) -> str:
        """Return the account that began an upload; empty where that is not known, or there were no accounts."""
        return str(_read(self.folder / name / LIST).get("actor", ""))

    def remove(self, name: str) -> None:
        """Remove an upload with all that has come; refuse one that there is not."""
        with self._lock:
            if self._list(name) is None:
                raise ConfigError(f'there is no upload "{plain(name)}"', "see the list of them")
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def _list(self, name: str) -> dict[str, PromisedFile] | None:
        """Return the files of an upload by path; None where there is none of this name."""
        path = self.folder / name / LIST
        try:
            if path.parent.is_symlink():
                return None
            written = path.stat().st_mtime_ns
        except OSError:
            return {} if path.parent.exists() else None  # a folder that is not ours, or not yet
        if self._lists.get(name, (0, {}))[0] != written:
            listed: dict[str, PromisedFile] = {}
            with contextlib.suppress(TypeError, ConfigError):
                for row in _read(path).get("files", []):
                    file = PromisedFile(str(row["path"]), int(row["size"]), int(row["modified"]))
                    if safe_path(file.path) == file.path:
                        listed[file.path] = file
            self._lists[name] = written, listed
        return self._lists[name][1]

    def _finish(self, place: Path, file: PromisedFile) -> None:
        """Put a file in its place of which all has come."""
        part, target = place / PARTS / file.part, place / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.parent.resolve().is_relative_to(place.resolve()):
            raise ConfigError(f'"{plain(file.path)}" leads out of the folder', "rename it")
        os.utime(part, ns=(file.modified * 10**6, file.modified * 10**6))
        os.replace(part, target)

    def _is_whole(self, place: Path, file: PromisedFile) -> bool:
        """Whether a file has come; some disks know times to two seconds."""
        with contextlib.suppress(OSError):
            status = (place / file.path).lstat()
            return status.st_size == file.size and abs(status.st_mtime_ns // 10**6 - file.modified) <= 2000
        return False

    def _received(self, place: Path, file: PromisedFile) -> int:
        """Return how many bytes of a file have come."""
        if self._is_whole(place, file):
            return file.size
        with contextlib.suppress(OSError):
            return min((place / PARTS / file.part).lstat().st_size, file.size)
        return 0

    def _state(self, name: str, listed: dict[str, PromisedFile], asked: Sequence[PromisedFile] = ()) -> UploadState:
        place = self.folder / name
        received = {file.path: self._received(place, file) for file in listed.values()}
        return UploadState(
            folder=name,
            path=str(place.resolve()),
            files=len(listed),
            whole=sum(self._is_whole(place, file) for file in listed.values()),
            bytes=sum(file.size for file in listed.values()),
            received=sum(received.values()),
            offsets=tuple(received[file.path] for file in asked),
        )


def _write(path: Path, listed: Mapping[str, PromisedFile], *, actor: str, whole: bool = False) -> None:
    rows = [asdict(file) for file in listed.values()]
    files.write_json(path, {"schema": SCHEMA, "files": rows, "whole": whole, "actor": actor})


def _read(path: Path) -> dict[str, Any]:
    """Return what a list of files holds; nothing where it cannot be read or is of a newer version."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        value = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(value, dict) and value.get("schema") == SCHEMA:
            return value
    return {}


def safe_path(path: str) -> str:
    """Return a path that every disk takes and that stays below its folder; one that is so already stays as it is.

    A name that had to be changed has a digest of the old one, so that no two become the same.

    Raises:
        ConfigError: it is hidden, leads upwards, lies too deep, or has no ending of what is taken.
    """
    parts = [part for part in unicodedata.normalize("NFC", path).replace("\\", "/").split("/") if part]
    if not parts or len(parts) > DEEPEST + 1 or any(part.startswith(".") for part in parts):
        raise ConfigError(f'"{plain(path)}" is hidden, or leads elsewhere', "leave it out")
    if suffix_of(parts[-1]) not in TAKEN:
        raise ConfigError(f'"{plain(parts[-1])}" has no ending of a video, a picture or an array', "leave it out")
    safe = []
    for number, part in enumerate(parts):
        name = FORBIDDEN.sub("_", "".join(sign if sign.isprintable() else "_" for sign in part)).rstrip(" .")
        if name != part or len(name.encode()) > LONGEST_NAME:
            stem, dot, ending = name.rpartition(".") if number == len(parts) - 1 else (name, "", "")
            stem = stem.encode()[: LONGEST_NAME - 40].decode("utf-8", "ignore")
            name = f"{stem} {hashlib.sha256(part.encode()).hexdigest()[:8]}{dot}{ending}"
        safe.append(name)
    return "/".join(safe)
