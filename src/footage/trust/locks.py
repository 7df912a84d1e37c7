"""What is done with locks: folders are locked and unlocked file by file, keys change, single files become age files.

A folder that is being locked says so in its header. What was stopped goes on by the same command: each file is replaced
as a whole, once what was written has been read back, and tells by its first bytes whether it is locked.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from footage import files
from footage.errors import ConfigError, LockError
from footage.files import locked

FINAL = "if the key is lost, what is locked is lost for good: nobody can open it, nor make another key"
"""Said before anything is locked."""
KINDS = {"dataset.json": "data set", "model.json": "model", "config.json": "run", "library.sqlite": "library"}
"""Folders that can be locked, by a file in them."""
TAKEN = ("ingest/lock", ".lock")
"""Files of a folder that who writes to it holds."""
NAMED = 5
"""Links that an error names, at most."""
COPIED = 2**20
LARGEST_FILE = 2**30
"""Bytes of a single file, which is held in memory."""
Report = Callable[[int, int], None]
"""Called with how many files are done, out of how many."""


def kind_of(folder: Path) -> str:
    """Return what a folder holds, in words.

    Raises:
        LockError: it holds nothing that can be locked as a folder.
    """
    for name, kind in KINDS.items():
        if (folder / name).is_file():
            return kind
    remedy = "give one of them, a single file, or a folder that holds nothing but files, of which each is locked"
    raise LockError(f'"{folder}" is no data set, model, run or library', remedy)


def loose_files(folder: Path, hidden: bool) -> list[Path]:
    """Return the files of a folder that holds nothing else: those that end in .age, or the others.

    Args:
        folder: a data set, a model, a run and a library have none, nor has one with a folder or a link in it.
        hidden: whether those that end in .age are wanted.
    """
    found = sorted(folder.iterdir())
    if any(path.is_dir() or path.is_symlink() or path.name in (*KINDS, locked.HEADER) for path in found):
        return []
    return [path for path in found if (path.suffix == ".age") == hidden]


def make_key_file(path: Path) -> None:
    """Make a key file that its owner alone can read, where there is none."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(handle, "w", encoding="ascii") as out:
        out.write(f"{secrets.token_hex(32)}\n")
        out.flush()
        os.fsync(out.fileno())


def lock_new(folder: Path, source: str) -> None:
    """Make a folder, new or empty, in which everything will be locked.

    Args:
        folder: to be.
        source: where its key comes from, see `locked.SOURCES`.

    Raises:
        LockError: there is something in it, or the key is not there.
    """
    check_empty(folder)
    _write_header(folder, _header(source))


def check_empty(folder: Path) -> None:
    """Refuse a folder that is to be locked as it is filled, and in which there is something.

    Raises:
        LockError
    """
    if folder.exists() and any(path.name != "lock" for path in folder.rglob("*") if path.is_file()):
        raise LockError(f'"{folder}" holds something that is not locked', f"lock it first: footage lock {folder}")


def lock_like(folder: Path, others: Sequence[Path | str]) -> Path | None:
    """Lock a folder that is made from others by the key of the one that is locked; return that one.

    Raises:
        LockError: the folder holds something already that is not locked.
    """
    model = next(filter(None, map(locked.folder_of, others)), None)
    if model is not None and locked.folder_of(folder) is None:
        if (folder / "config.json").exists():
            raise LockError(
                f'"{folder}" was begun before "{model}" was locked, and holds what it shows',
                f"lock it too: footage lock {folder}",
            )
        header = locked.read_header(model)
        locked.folder_key(model, header)  # refuses another passphrase
        _write_header(folder, _header(header["key"]["from"], locked.keyring_entry(header)))
    return model


@contextlib.contextmanager
def lock_made_of(folder: Path, others: Sequence[Path | str], say: Callable[[str], object]) -> Iterator[None]:
    """Write something into a new folder that is made of others: locked, where one of them is, by the key of that.

    A folder that is locked already stays as it is. Where the work fails and nothing was written, no folder is left.

    Args:
        folder: where it is written, new or locked.
        others: files and folders that it is made of.
        say: is told, after the work, that the folder was locked.

    Raises:
        LockError: the folder is there, and not locked.
    """
    origin = next(filter(None, map(locked.folder_of, others)), None)
    if origin is None or locked.folder_of(folder) is not None:
        yield
        return
    if folder.exists():
        problem = f'"{origin}" is locked, and what is made of it would be plain in "{folder.resolve()}"'
        raise LockError(problem, "name a place in a new folder, which is locked by the same key")
    lock_like(folder, [origin])
    try:
        yield
    finally:
        if len(list(folder.iterdir())) > 1:
            say(f"locked {folder}, with the key of {origin}")
        else:
            (folder / locked.HEADER).unlink()
            folder.rmdir()


def check_plain(others: Iterable[Path | str], what: str, remedy: str) -> None:
    """Refuse to make something plain of others where one is locked.

    Args:
        others: files and folders that it would be made of.
        what: would be made.
        remedy: what to do instead.

    Raises:
        ConfigError: one is locked.
    """
    if (folder := next(filter(None, map(locked.folder_of, others)), None)) is not None:
        raise ConfigError(f'"{folder}" is locked, and {what} would not be', remedy)


def _header(source: str, known: str = "") -> dict[str, Any]:
    """Return the header of a new lock; its key in the keyring is new, or that of the entry `known`."""
    if source != "keyring":
        return locked.new_header(source, locked.secret(source))
    number = secrets.token_hex(locked.NUMBER)
    hidden = locked.secret(source, known).decode() if known else secrets.token_hex(32)
    locked.ask_keyring("set_password", "footage", number, hidden)
    return locked.new_header(source, hidden.encode(), number=number)


def _write_header(folder: Path, header: dict[str, Any]) -> None:
    files.write_json(folder / locked.HEADER, header)


def lock_folder(folder: Path, source: str, report: Report = lambda done, total: None) -> int:
    """Lock the files of a folder, or go on with it; return how many were locked.

    Args:
        folder: of a data set, a model, a run or a library.
        source: where its key comes from, see `locked.SOURCES`.
        report: called after each file.

    Raises:
        LockError: it is no such folder, holds links, somebody writes to it, or it was being unlocked.
    """
    with _alone(folder):
        above = locked.folder_of(folder.parent)
        if above is not None:
            raise LockError(f'"{folder}" lies in "{above}", which is locked', "it is locked already")
        if links := [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_symlink()]:
            named = ", ".join(links[:NAMED]) + (f" and {len(links) - NAMED:,} more" if len(links) > NAMED else "")
            remedy = "put there what they lead to, or remove them: that would stay readable"
            raise LockError(f'"{folder}" holds links ({named})', remedy)
        begun = (folder / locked.HEADER).exists()
        if begun:
            header = locked.read_header(folder)
            if header["state"] == "unlocking":
                raise LockError(f'"{folder}" is being unlocked', f"end that first: footage unlock {folder}")
        else:
            kind_of(folder)
            header = _header(source) | {"state": "locking"}
            locked.folder_key(folder, header)
            _write_header(folder, header)
        if header["state"] == "locked":
            return 0
        key = locked.folder_key(folder, header)
        try:
            count = exchange_databases(folder, key, hide=True)
        except LockError:
            if not begun and not databases(folder, plain=False):  # nothing is locked yet
                (folder / locked.HEADER).unlink()
            raise
        count += exchange_files(folder, header["id"], key, hide=True, report=report)
        _write_header(folder, header | {"state": "locked"})
    return count


def unlock_folder(folder: Path, report: Report = lambda done, total: None) -> int:
    """Make the files of a locked folder plain again, or go on with it; return how many were.

    Raises:
        LockError: it is not locked, or by another key, or a file is damaged: then the others stay as they are.
    """
    if not (folder / locked.HEADER).exists():
        raise LockError(f'"{folder}" is not locked', "there is nothing to do")
    with _alone(folder):
        header = locked.read_header(folder)
        if header["state"] == "locking":
            raise LockError(f'"{folder}" is being locked', f"end that first: footage lock {folder}")
        key = locked.folder_key(folder, header)
        begun = header["state"] == "unlocking"
        _write_header(folder, header | {"state": "unlocking"})
        try:
            count = exchange_databases(folder, key, hide=False)
        except LockError:
            if not begun and not databases(folder, plain=True):  # nothing is plain yet
                _write_header(folder, header)
            raise
        count += exchange_files(folder, header["id"], key, hide=False, report=report)
        (folder / locked.HEADER).unlink()
    return count


def databases(folder: Path, plain: bool) -> list[Path]:
    """Return the databases of a folder that are plain ones, or else those that are locked."""

    def is_plain(path: Path) -> bool:
        with open(path, "rb") as handle:
            return handle.read(16) in (b"SQLite format 3\0", b"")

    found = (path for path in sorted(folder.glob("*.sqlite")) if not path.name.startswith("."))
    return [path for path in found if is_plain(path) == plain]


def exchange_databases(folder: Path, key: bytes, hide: bool) -> int:
    """Put the databases of a folder into their locked form, or with `hide` False the plain one; return how many were.

    Each is replaced as a whole, once what was written has been looked through; its mode stays, and it has no log then.

    Raises:
        LockError: another program has one open, or it is damaged.
    """
    files.remove_partial(folder, anyway=True)  # it is plain
    paths = databases(folder, plain=hide)
    for path in paths:
        module, own = locked.cipher_of_databases(), locked.key_of_databases(key)
        scratch = files.scratch_beside(path, ".sqlite")
        mode = stat.S_IMODE(path.stat().st_mode)
        try:
            files.make_private(scratch)  # what is beside it takes its mode
            with contextlib.closing(module.connect(path, timeout=1.0, isolation_level=None)) as database:
                if not hide:
                    database.execute(f'PRAGMA key = "{own}"')
                database.execute("PRAGMA temp_store = MEMORY")
                log = database.execute("PRAGMA journal_mode").fetchone()[0]
                database.execute("PRAGMA journal_mode = DELETE")  # for who is alone only
                database.execute("ATTACH ? AS other KEY ?", (str(scratch), own if hide else ""))
                database.execute("SELECT sqlcipher_export('other')")
                for name in ("user_version", "application_id"):
                    database.execute(f"PRAGMA other.{name} = {database.execute(f'PRAGMA {name}').fetchone()[0]}")
                tables = (
                    "SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0 AND name NOT GLOB 'sqlite_*'"
                )
                for (table,) in database.execute(tables).fetchall():
                    one, two = (f"SELECT count(*) FROM {place}.{table}" for place in ("main", "other"))
                    if database.execute(one).fetchone()[0] != database.execute(two).fetchone()[0]:
                        raise LockError(f"{scratch} is not what was written to it", "see to the disk")
                fault = database.execute("PRAGMA other.integrity_check").fetchone()[0]
                if fault != "ok":
                    raise LockError(f"{scratch} is not what was written to it ({fault})", "see to the disk")
                database.execute(f"PRAGMA other.journal_mode = {log}")
            with open(scratch, "rb+") as written:
                os.fsync(written.fileno())
            scratch.chmod(mode)
            os.replace(scratch, path)
        except module.Error as error:
            busy = str(getattr(error, "sqlite_errorname", "")).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
            remedy = "end the studio, and what else uses it" if busy else "see: footage library verify"
            raise LockError(f'"{path}" cannot be written anew ({error})', remedy) from None
        finally:
            for left in folder.glob(f"{scratch.name}*"):
                left.unlink()
    return len(paths)


def exchange_files(folder: Path, number: str, key: bytes, hide: bool, report: Report) -> int:
    """Put the other files of a folder into their locked form, or with `hide` False the plain one; return how many were.

    Each is replaced as a whole, once what was written has been read back; its mode and its time of change stay.

    Args:
        folder: that is locked or unlocked.
        number: of the lock.
        key: of the folder.
        hide: whether they are to be locked.
        report: called after each file.

    Raises:
        LockError: a file is damaged, or what was written is.
    """

    def opened(place: Path, name: str, write: bool, hidden: bool) -> IO[bytes] | locked.LockedFile:
        if hidden:
            return locked.LockedFile(place, number, key, name, "write" if write else "read")
        return open(place, "w+b" if write else "rb")

    def digest(handle: Any, to: Any = None) -> bytes:
        taken = hashlib.sha256()
        while block := handle.read(COPIED):
            taken.update(block)
            if to is not None:
                to.write(block)
        return taken.digest()

    files.remove_partial(folder, deep=True, anyway=True)
    every, count = list(locked.locked_files(folder)), 0
    for done, path in enumerate(every, 1):
        if locked.is_locked(path) != hide:
            name, before = path.relative_to(folder).as_posix(), path.stat()
            scratch = files.scratch_beside(path, "")
            try:
                files.make_private(scratch)
                with opened(path, name, False, not hide) as content, opened(scratch, name, True, hide) as out:
                    wanted = digest(content, out)
                with open(scratch, "rb+") as handle:
                    os.fsync(handle.fileno())
                with opened(scratch, name, False, hide) as again:
                    if digest(again) != wanted:
                        remedy = "see to the disk: the file is as it was"
                        raise LockError(f"{scratch} is not what was written to it", remedy)
                os.utime(scratch, ns=(before.st_atime_ns, before.st_mtime_ns))
                scratch.chmod(stat.S_IMODE(before.st_mode))
                os.replace(scratch, path)
            finally:
                scratch.unlink(missing_ok=True)
            count += 1
        report(done, len(every))
    return count


def change_key(folder: Path, source: str, hidden: bytes | None) -> None:
    """Wrap the key of a locked folder anew; its files stay as they are. The old passphrase or file opens it no more.

    A copy of the old header with the old key still opens the folder, as long as the files are the same. A new key in
    the keyring has an entry of its own, and the old entry stays: whenever this stops, the header's key is there.

    Args:
        folder: the locked folder.
        source: where the new key comes from.
        hidden: the new passphrase, or what the key file holds; None for the keyring.

    Raises:
        LockError: it is not locked, the old key is another one, or it is being locked or unlocked.
    """
    if not (folder / locked.HEADER).exists():
        raise LockError(f'"{folder}" is not locked', f"lock it: footage lock {folder}")
    with _alone(folder):
        header = locked.read_header(folder)
        if header["state"] != "locked":
            raise LockError(f'"{folder}" is {header["state"]}', "end that first")
        key = locked.folder_key(folder, header)
        entry = ""
        if hidden is None:
            hidden, entry = secrets.token_hex(32).encode(), secrets.token_hex(locked.NUMBER)
            locked.ask_keyring("set_password", "footage", entry, hidden.decode())
        _write_header(folder, locked.new_header(source, hidden, key, header["id"], entry))


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a folder against who else writes to it.

    Raises:
        LockError: somebody does.
    """
    with contextlib.ExitStack() as held:
        for path in (folder / name for name in TAKEN):
            if path.is_file() and not files.lock(held.enter_context(open(path, "rb+")), wait=False):
                raise LockError(f'"{folder}" is being written to by another process', "wait until that ends")
        yield


def lock_file(path: Path, passphrase: bytes) -> Path:
    """Lock a single file as the age program does, with a passphrase; return the new file, FILE.age. The old one goes.

    Raises:
        LockError: pyrage is not installed, the file is a link or too large, or what was written does not open.
    """
    if path.is_symlink():
        raise LockError(f'"{path}" is a link, and what it leads to would stay readable', f"give {path.resolve()}")
    to = path.with_name(f"{path.name}.age")
    if to.exists():
        raise LockError(f'"{to}" is there already', "move it away")
    if (length := path.stat().st_size) > LARGEST_FILE:
        raise LockError(f'"{path}" has {length:,} bytes, at most {LARGEST_FILE:,} are locked at once', "use age for it")
    plain, spoken = path.read_bytes(), _spoken(passphrase)
    files.write_secret(to, _pyrage().encrypt(plain, spoken))
    to.chmod(stat.S_IMODE(path.stat().st_mode))
    if _pyrage().decrypt(to.read_bytes(), spoken) != plain:
        to.unlink()
        raise LockError(f'"{to}" is not what was written to it', "see to the disk: the file is as it was")
    path.unlink()
    return to


def unlock_file(path: Path, passphrase: bytes) -> Path:
    """Open a file of age, and put what it held beside it; return that. The age file goes.

    Raises:
        LockError: it is none, damaged, or of another passphrase.
    """
    to = path.with_suffix("")
    if path.suffix != ".age" or to.exists():
        problem = f'"{to}" is there already' if to.exists() else f'"{path}" does not end in .age'
        raise LockError(problem, "move it away" if to.exists() else "give a file that footage lock or age made")
    opener, content = _pyrage(), path.read_bytes()
    try:
        plain = opener.decrypt(content, _spoken(passphrase))
    except Exception as error:  # pyrage has errors of its own, for all that can be wrong
        problem = f'"{path}" cannot be opened ({error})'
        raise LockError(
            problem, "give the passphrase that it was locked with; if that is right, it is damaged"
        ) from None
    files.write_secret(to, plain)
    to.chmod(stat.S_IMODE(path.stat().st_mode))
    path.unlink()
    return to


def _spoken(passphrase: bytes) -> str:
    """Return a passphrase as age takes it: a key file's bytes that are no UTF-8 in hexadecimal digits."""
    try:
        return passphrase.decode()
    except UnicodeDecodeError:
        return passphrase.hex()


def _pyrage() -> Any:
    try:
        from pyrage import passphrase
    except ImportError:
        raise LockError("what locks single files is not installed", locked.EXTRA) from None
    return passphrase
