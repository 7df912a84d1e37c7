"""Files that are either whole or not there: atomic writes, JSON, hashes."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import io
import json
import os
import secrets
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any

from footage import __version__
from footage.errors import FootageError, LockError, UnwritableError
from footage.files import locked

DISK_FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})
"""Error numbers of a disk that cannot take what is written to it."""
NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK})
"""Error numbers of a file system that has no locks."""
PARTIAL = ".partial"
"""Ending of a file that is still being written; what a killed process has left of such is removed."""
BRIEFLY, LOOK = 0.03, 0.005
"""Seconds that a file which is to be written waits for its folder's lock, and between two looks."""
MOST_TURNS = 8
"""How often a folder is tried to be put where others put theirs."""
LONGEST_NAME, LONGEST_ENDING = 255, 32
"""Bytes of a name that disks take (NAME_MAX of Linux and macOS), and those of the longest ending of a file."""
LARGE = 2**20
"""Bytes from which on a file's folder is flushed to disk too. That costs half as much again as flushing a small file,
of which there are thousands; of one that is lost the former one stands, whole."""
MEMORY = "FOOTAGE_MEMORY"
"""Variable of the environment: the folder in memory in which all temporary files of a process are to lie."""
is_sealing = ContextVar("is_sealing", default=False)
"""Whether temporary files are sealed here; see `sealing`."""


def keep_in_memory() -> None:
    """Let temporary files lie in the folder that `MEMORY` names, where it names one, and nowhere else.

    By `TMPDIR` alone Python would go on in /tmp, on a disk, where that folder is full or gone.

    Raises:
        LockError: the folder is gone, or others than its owner may look into it.
    """
    folder = os.environ.get(MEMORY)
    if not folder:
        return
    try:
        state = os.lstat(folder)
        private = stat.S_ISDIR(state.st_mode) and state.st_uid == os.geteuid() and not state.st_mode & 0o077
    except OSError:
        private = False
    if not private:
        raise LockError(f'"{folder}", where temporary files lie in memory, is gone', "start the studio again")
    tempfile.tempdir = folder


@contextlib.contextmanager
def sealing(wanted: bool = True) -> Iterator[None]:
    """Seal the temporary files that are made in the block, where that is wanted: something locked is made of them."""
    before = is_sealing.set(wanted or is_sealing.get())
    try:
        yield
    finally:
        is_sealing.reset(before)


@contextlib.contextmanager
def scratch_folder(seal: bool = False) -> Iterator[Path]:
    """Give a folder for temporary files, which goes with the block.

    Args:
        seal: whether they are locked by a random key that is in memory alone (`locked.sealed`), as they are within
            `sealing` too. Then they are written by `locked.create` or `writing`, and read by `locked.open_file`; what
            writes plain files by their paths is refused.

    Raises:
        LockError: they are to be sealed, and what locks is not installed.
    """
    with contextlib.ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="footage-", ignore_cleanup_errors=True)))
        if seal or is_sealing.get():
            held.enter_context(locked.sealed(folder))
        yield folder


@contextlib.contextmanager
def scratch_file(seal: bool = False) -> Iterator[IO[bytes]]:
    """Give an empty temporary file to write and read, which goes with the block; sealed as in `scratch_folder`."""
    with contextlib.ExitStack() as held:
        if not (seal or is_sealing.get()):
            yield held.enter_context(tempfile.TemporaryFile(prefix="footage-"))
            return
        folder = held.enter_context(scratch_folder(seal=True))
        content = locked.LockedFile(folder / "file", *locked.opened_folder(folder), "file", "write")
        content.name = "<sealed>"  # nobody can open it a second time
        yield held.enter_context(io.BufferedRandom(content, locked.PAGE))


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, where it is missing; but never that in memory of `keep_in_memory`.

    Raises:
        LockError: it lies in that, which is gone.
    """
    memory = os.environ.get(MEMORY)
    if memory and folder.is_relative_to(memory):
        keep_in_memory()
    folder.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def disk_errors(error: FootageError) -> Iterator[None]:
    """Raise `error` in place of the system's when the disk is full.

    Raises:
        UnwritableError: the disk is read-only.
    """
    try:
        yield
    except OSError as fault:
        if fault.errno == errno.EROFS:
            raise UnwritableError(*_unwritable(fault)) from fault
        if fault.errno in DISK_FAULTS:
            raise error from fault
        raise


def _unwritable(fault: OSError) -> tuple[str, str]:
    """Return problem and remedy where a disk is read-only."""
    name = str(fault.filename or "")
    place = Path(name).parent if PARTIAL in name else name  # what is half written has a name that says nothing
    problem = f'the disk is read-only, "{place}" was not written' if name else "the disk is read-only"
    return problem, "choose another place"


def describe_fault(fault: OSError) -> str:
    """Say in a sentence what the system refuses, of which file, and what can be done about it."""
    if fault.errno == errno.EROFS:
        return ": ".join(_unwritable(fault))
    name = str(fault.filename or "")
    text = fault.strerror or str(fault) or type(fault).__name__
    if fault.errno in DISK_FAULTS:
        text = f"the disk is full ({text})"
    place = str(Path(name).parent) if PARTIAL in name else name
    remedy = {errno.ENOSPC: "; free some space", errno.EDQUOT: "; free some space", errno.EACCES: "; see who owns it"}
    return text + (f": {place}" if place else "") + remedy.get(fault.errno or 0, "")


@contextlib.contextmanager
def replacing(path: Path, durable: bool = True) -> Iterator[Path]:
    """Give a temporary path beside `path`; move it there, flushed to disk, when the block succeeds.

    With `durable` False it is not flushed: the file survives the death of the process, whole or not
    at all, but not a power cut. For what is cheap to make again and checked when it is read.

    On any exception the temporary file is removed and what stood at `path` is untouched. The
    temporary name keeps the suffix of `path`, so that encoders which go by the suffix still work.

    Raises:
        LockError: it lies in a locked folder, where nothing plain is written; see `writing`.
    """
    locked.refuse(path)
    with _replacing(path, durable) as temporary:
        yield temporary


@contextlib.contextmanager
def writing(path: Path, durable: bool = True) -> Iterator[IO[bytes]]:
    """Give a file to write and read that stands at `path` when the block succeeds; see `replacing`.

    In a locked folder it is locked as it is written; nothing plain reaches the disk.

    Raises:
        LockError: the folder is locked by a key that is not known.
    """
    with _replacing(path, durable) as temporary, locked.create(temporary, path) as handle:
        yield handle


def write_secret(path: Path, content: bytes) -> None:
    """Write `content` as `write_bytes` does, to a file that its owner alone can read from its beginning on."""
    with _replacing(path, durable=True) as temporary:
        make_private(temporary)
        with locked.create(temporary, path) as handle:
            handle.write(content)


def make_private(path: Path) -> None:
    """Make an empty file that its owner alone can read; who opens it to write keeps its mode.

    Raises:
        FileExistsError: it is there.
    """
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def beginning_of(name: str, most: int) -> str:
    """Return as many of a name's first characters as take `most` bytes on a disk."""
    return os.fsencode(name)[:most].decode("utf-8", "ignore")


def scratch_beside(path: Path, ending: str | None = None) -> Path:
    """Return a new name in the same folder, hidden and `PARTIAL`, for what is to stand at `path` when it is whole.

    It has an ending, that of `path` unless one is given, and is short enough for any disk.
    """
    ending = path.suffix if ending is None else ending
    if len(os.fsencode(ending)) > LONGEST_ENDING:
        ending = ""  # it is no ending, only a dot in a long name
    return path.with_name(f".{beginning_of(path.stem, 80)}-{secrets.token_hex(4)}{PARTIAL}{ending}")


def name_beside(path: Path, before: str, after: str) -> Path:
    """Return the place beside `path` with a longer name; where a disk has no room for that, its middle is a digest."""
    name = f"{before}{path.name}{after}"
    if len(os.fsencode(name)) > LONGEST_NAME:
        digest = bytes_digest(os.fsencode(path.name))[:16]
        kept = beginning_of(path.name, LONGEST_NAME - len(os.fsencode(f"{before}-{digest}{after}")))
        name = f"{before}{kept}-{digest}{after}"
    return path.with_name(name)


@contextlib.contextmanager
def open_folder(folder: Path) -> Iterator[int | None]:
    """Open a folder to lock it or to flush it to disk; give None where the system does not allow that.

    Raises:
        FileNotFoundError: it is gone.
    """
    handle: int | None = None
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        raise
    except OSError:
        pass
    try:
        yield handle
    finally:
        if handle is not None:
            os.close(handle)


@contextlib.contextmanager
def _replacing(path: Path, durable: bool) -> Iterator[Path]:
    make_folder(path.parent)
    temporary = scratch_beside(path)
    with open_folder(path.parent) as folder:
        if folder is not None:
            # `remove_partial` then leaves what is in it alone. Who holds it for longer is another program.
            lock(folder, shared=True, wait=BRIEFLY)
        try:
            yield temporary
            large = durable and temporary.stat().st_size >= LARGE
            if durable:
                with open(temporary, "rb+") as handle:
                    os.fsync(handle.fileno())
            os.replace(temporary, path)
            if large and folder is not None:
                with contextlib.suppress(OSError):  # some network disks cannot
                    os.fsync(folder)
        finally:
            temporary.unlink(missing_ok=True)


def replace_folder(new: Path, path: Path) -> None:
    """Put a folder at `path`, in place of one that may stand there; that goes.

    They are exchanged in one step where the system can (renameat2 of Linux, renamex_np of macOS): then a whole folder
    stands at `path` at every moment. Elsewhere the old one is put aside, and back where the new one cannot follow.
    """
    fault: OSError | None = None
    for _ in range(MOST_TURNS):  # others may put folders there meanwhile
        try:
            os.rename(new, path)
            return
        except OSError as error:
            fault = error
            if not new.is_dir() or not path.is_dir():
                raise
        exchanged = -1
        with contextlib.suppress(AttributeError, OSError, TypeError):  # the system has no such call
            system, names = ctypes.CDLL(None), (os.fsencode(new), os.fsencode(path))
            if sys.platform == "darwin":
                exchanged = system.renamex_np(*names, 2)
            else:
                exchanged = system.renameat2(-100, names[0], -100, names[1], 2)  # below the working folder; EXCHANGE
        aside = new
        if exchanged:
            aside = scratch_beside(path, "")
            try:
                os.rename(path, aside)
                os.rename(new, path)
            except OSError as error:
                fault = error
                with contextlib.suppress(OSError):
                    os.rename(aside, path)
                continue
        shutil.rmtree(aside, ignore_errors=True)
        return
    assert fault is not None
    raise fault


@contextlib.contextmanager
def updating(path: Path) -> Iterator[IO[bytes] | locked.LockedFile]:
    """Give a file to write in place, which is made where it is missing; flushed to disk when the block ends.

    Others read it meanwhile, as it was or as it will be.

    Raises:
        LockError: it is locked by a key that is not known.
    """
    make_folder(path.parent)
    folder = locked.hiding_folder(path)
    if folder is None:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        with open(handle, "r+b", buffering=0) as plain:
            yield plain
            os.fsync(handle)
        return
    if not path.exists():
        write_bytes(path, b"")
    with open(path, "rb+") as held:
        lock(held)
        name = locked.name_below(path, folder)
        with locked.LockedFile(path, *locked.opened_folder(folder), name, "update") as hidden:
            yield hidden
        os.fsync(held)


class LockedMirror:
    """The content in memory of a locked file that others update in place: pages are opened anew where they changed."""

    def __init__(self, path: Path) -> None:
        self._path, self._content, self._nonces = path, bytearray(), dict[int, bytes]()

    def content(self) -> bytearray:
        """Return the content; where it is as long as the last time, in the same memory. Damaged pages are zeros.

        Raises:
            LockError: the file cannot be opened.
        """
        folder = locked.hiding_folder(self._path)
        if folder is None or not self._path.exists():
            return bytearray()
        with open(self._path, "rb") as held:
            lock(held, shared=True)
            name = locked.name_below(self._path, folder)
            with locked.LockedFile(self._path, *locked.opened_folder(folder), name) as file:
                if file.size != len(self._content):
                    self._content = self._content[: file.size].ljust(file.size, b"\0")
                for number in range(-(-file.size // locked.PAGE)):
                    held.seek(locked.HEAD + number * locked.PLACE)
                    nonce = held.read(locked.NONCE)
                    if self._nonces.get(number) != nonce:
                        first = number * locked.PAGE
                        page = bytes(locked.PAGE)
                        with contextlib.suppress(LockError):  # half written by a process that died
                            page = file.opened(number, nonce + held.read(locked.PLACE - locked.NONCE))
                        self._content[first : first + locked.PAGE] = page[: file.size - first]
                        self._nonces[number] = nonce
        return self._content


def lock(handle: IO[Any] | int, shared: bool = False, wait: bool | float = True) -> bool:
    """Lock a file (flock) until it is closed; tell whether it could be. Where there are no locks, it always can.

    Args:
        handle: of the file; one that is not `shared` has to be open for writing: NFS has no other such locks.
        shared: whether others may lock it so too.
        wait: as long as others hold it, or for so many seconds at most.
    """
    try:
        import fcntl
    except ImportError:
        return True
    until = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait is True else fcntl.LOCK_NB))
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(LOOK)
            continue
        except OSError as fault:
            if fault.errno not in NO_LOCKS:
                raise
        return True


@contextlib.contextmanager
def holding(path: Path, folder: bool = False, shared: bool = False, wait: bool | float = True) -> Iterator[bool]:
    """Lock a file or folder that whoever holds it may delete, and that is made where it is missing; see `lock`.

    Tell whether it could be locked. What was deleted meanwhile keeps nobody away: then the new one is locked.
    """
    while True:
        make_folder(path if folder else path.parent)
        with contextlib.ExitStack() as opened:
            try:
                if folder:
                    handle = opened.enter_context(open_folder(path))
                else:
                    handle = opened.enter_context(open(path, "ab")).fileno()
                held = handle is None or lock(handle, shared, wait)
                current = handle is None or os.path.samestat(os.fstat(handle), path.stat())
            except FileNotFoundError:
                current = False
            if current:
                yield held
                return


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically; locked where the folder is."""
    with writing(path) as handle:
        handle.write(content)


def read_bytes(path: Path) -> bytes:
    """Return the content of a file, locked or not.

    Raises:
        LockError: it is locked and cannot be opened.
    """
    with locked.open_file(path) as handle:
        return handle.read()


def write_text(path: Path, content: str) -> None:
    """Write `content` to `path` atomically, as UTF-8."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` atomically, as indented JSON without NaN."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object a line to `path`, atomically."""
    with writing(path) as handle:
        for row in rows:
            handle.write((json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a file of one JSON object a line. A last line that was cut off by a crash is left out."""
    lines = read_bytes(path).decode("utf-8").removesuffix("\n").split("\n")  # splitlines() also splits at U+2028
    if lines == [""]:
        return []
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            if number != len(lines) - 1:
                raise
    return rows


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal, in constant memory."""
    digest = hashlib.sha256()
    with locked.open_file(path) as handle:
        while block := handle.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def bytes_digest(content: bytes) -> str:
    """Return the SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def json_digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def refuse_newer(version: object, newest: int, where: object, error: type[FootageError], writer: object = "") -> None:
    """Refuse a format that only a newer version of footage can read.

    Args:
        version: of the file's format; None where it names none.
        newest: the highest version that is known.
        where: the file, for the error.
        error: the kind of error.
        writer: program and version that wrote the file, where it says so.

    Raises:
        FootageError: of the kind that was given.
    """
    if version is None or (isinstance(version, int) and version <= newest):
        return
    by = f" (made by {writer})" if writer else ""
    raise error(
        f"{where} has format {version}{by}, this is footage {__version__} and reads up to format {newest}",
        "upgrade footage",
    )


def remove_partial(folder: Path, deep: bool = False, anyway: bool = False) -> None:
    """Remove what a killed process left half written directly inside `folder`, or with `deep` anywhere below.

    Where a live one is writing to the same folder it all stays, unless `anyway`. Where there are no locks nobody knows.
    """
    left: dict[Path, list[Path]] = {}
    for path in folder.glob(f"{'**/' if deep else ''}.*{PARTIAL}*"):
        if not path.is_dir():
            left.setdefault(path.parent, []).append(path)
    for place, paths in left.items():
        with contextlib.suppress(FileNotFoundError), open_folder(place) as handle:  # or it is gone
            if anyway or handle is None or lock(handle, wait=False):
                for path in paths:
                    path.unlink(missing_ok=True)
