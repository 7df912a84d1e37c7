"""Files that only a key opens: authenticated pages, and the header of the folder that they lie in.

A locked folder has a header, `lock.json`; the files below it keep their names. The header holds the folder's key,
wrapped by another that comes from a passphrase (scrypt, RFC 7914), a key file or the system's keyring (HKDF, RFC 5869);
so that one can change while the files stay as they are. A file is

    MAGIC (8 bytes), number of the lock (16), number of the file (16), length (8), nonce (12), tag (16)
    for each 65,536 bytes: nonce (12), the bytes encrypted, tag (16)

by AES-256-GCM (NIST SP 800-38D). Its key follows (HKDF-SHA256) from the folder's key, the number of the file, which is
drawn whenever it is written, and its name below the folder; the number of a page is authenticated with it, and the
length with the head. So a page that was changed, moved, put into another file or left out is seen when it is read. Not
seen is an older version of a whole file, put back; or of a page, in a file that is updated in place, page by page and
its head last. Nonces are drawn. All numbers are little-endian.

Databases are locked by SQLCipher (pages of 4 KiB, AES-256-CBC and HMAC-SHA512), log and journal too; their key follows
from the folder's.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import os
import re
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import IO, Any, Literal

from footage.errors import KeyNeeded, LockError

HEADER = "lock.json"
FORMAT = "footage lock"
VERSION = 1
"""Of header and files; `MAGIC` ends with it."""
MAGIC = b"FTGLOCK\x01"
PAGE = 2**16
NONCE, TAG = 12, 16
PLACE = NONCE + PAGE + TAG
"""Bytes of a whole page on disk."""
NUMBER = 16
HEAD = len(MAGIC) + 2 * NUMBER + 8 + NONCE + TAG
PASSPHRASE, KEY_FILE, NEW_PASSPHRASE = "FOOTAGE_PASSPHRASE", "FOOTAGE_KEY_FILE", "FOOTAGE_NEW_PASSPHRASE"
"""Variables of the environment: passphrase; path of a key file; what `lock --change-key` changes the passphrase to."""
SCRYPT = {"n": 2**17, "r": 8, "p": 1}
"""Cost of a passphrase: 128 MiB, and about .4 s."""
MOST_SCRYPT = 2**30
"""Bytes that a header may ask for, at most."""
LARGEST_HEADER = 2**16
OPEN_NAMES = frozenset({HEADER, ".lock", "lock", "stop", "metrics.jsonl"})
"""Files of a locked folder that are not locked: marks without content, and a training's figures."""
OPEN_FOLDERS = frozenset({"tensorboard"})
DATABASES = re.compile(r"[^/]+\.sqlite(-wal|-shm|-journal)?")
"""Names in a locked folder, not below it, of databases and of what SQLite writes beside them."""
KEYRING_SECONDS = 10.0
"""A keyring that has not answered by then is taken for one without a desktop."""
EXTRA = "pip install 'footage[lock]'"

_sealed: dict[Path, tuple[str, bytes]] = {}
"""Folders of temporary files that this process alone opens: number and key of each, which are written nowhere."""


def folder_of(path: Path | str) -> Path | None:
    """Return the locked folder that a path is or lies in; None where there is none."""
    absolute = Path(os.path.abspath(path))
    for folder in (absolute, *absolute.parents):
        if folder in _sealed:
            return folder
        if (folder / HEADER).is_file():
            with contextlib.suppress(OSError), open(folder / HEADER, "rb") as handle:
                if FORMAT.encode() in handle.read(LARGEST_HEADER):
                    return folder
    return None


def read_header(folder: Path) -> dict[str, Any]:
    """Read `lock.json`.

    Raises:
        LockError: it is missing, damaged or of a newer version.
    """
    path = folder / HEADER
    try:
        with open(path, "rb") as handle:
            value = json.loads(handle.read(LARGEST_HEADER))
        if value["format"] != FORMAT or not isinstance(value["version"], int):
            raise ValueError("it describes no lock")
        if value["version"] > VERSION:
            raise LockError(f"{path} has version {value['version']}, this footage reads up to {VERSION}", "upgrade it")
        key, kdf = value["key"], value["key"]["kdf"]
        sizes = (value["id"], NUMBER), (key["nonce"], NONCE), (key["wrapped"], 32 + TAG), (kdf["salt"], NUMBER)
        if any(len(bytes.fromhex(text)) != size for text, size in sizes) or key["from"] not in SOURCES:
            raise ValueError("its key is none")
        if len(bytes.fromhex(keyring_entry(value))) != NUMBER:
            raise ValueError("its entry in the keyring is none")
        if value["state"] not in ("locked", "locking", "unlocking"):
            raise ValueError(f"its state is {value['state']!r:.40}")
        if key["from"] == "passphrase":
            n, r, p = (kdf[name] if isinstance(kdf[name], int) else 0 for name in ("n", "r", "p"))
            if n < 2 or n & (n - 1) or not 0 < r <= 64 or not 0 < p <= 16 or 128 * n * r > MOST_SCRYPT:
                raise ValueError("its passphrase would cost more than 1 GiB of memory")
    except (OSError, ValueError, KeyError, TypeError, RecursionError, AttributeError) as error:
        raise LockError(
            f"{path} cannot be read ({error})", "put a copy of it back: without it nothing here can be opened"
        ) from None
    return dict(value)


def keyring_entry(header: dict[str, Any]) -> str:
    """Return by what number the keyring knows the key of a header: its own, or the lock's."""
    return str(header["key"]["kdf"].get("entry", header["id"]))


def secret(source: str, number: str = "", key_file: Path | None = None) -> bytes:
    """Return what a folder's key is wrapped with: a passphrase, or the content of a key file or of the keyring.

    Args:
        source: one of `SOURCES`.
        number: that the keyring knows it by, see `keyring_entry`.
        key_file: instead of the one that the environment names.

    Raises:
        KeyNeeded: it is not there.
        LockError: the key file cannot be read, or the keyring does not answer.
    """
    if source == "passphrase":
        if not (typed := os.environ.get(PASSPHRASE)):
            raise KeyNeeded("the passphrase is not known", f"set {PASSPHRASE}, or run it on a terminal, which asks")
        return typed.encode()
    if source == "key-file":
        path = key_file or os.environ.get(KEY_FILE)
        if not path:
            raise LockError("the key is in a file, and none was named", f"give --key-file FILE, or set {KEY_FILE}")
        try:
            content = Path(path).read_bytes().strip()
        except OSError as fault:
            raise LockError(f'the key file "{path}" cannot be read ({fault.strerror})', "put it back") from None
        if not 32 <= len(content) <= 4096:
            raise LockError(f'"{path}" holds {len(content):,} bytes, which is no key', "give the file that lock made")
        return content
    found = ask_keyring("get_password", "footage", number)
    if not found:
        raise LockError(f"the keyring knows no key of the lock {number[:8]}", "unlock it where it was locked")
    return str(found).encode()


def ask_keyring(action: str, *arguments: str) -> object:
    """Ask the system's keyring, which may wait for a desktop that is not there, for at most `KEYRING_SECONDS`."""
    answers: list[object] = []

    def ask() -> None:
        try:
            import keyring

            answers.append(getattr(keyring, action)(*arguments))
        except Exception as error:  # of many kinds, one for each system's own
            answers.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(KEYRING_SECONDS)
    problem = answers[0] if answers and isinstance(answers[0], Exception) else None
    if not answers or problem is not None:
        why = f"{type(problem).__name__}: {problem}"[:200] if problem else f"no answer in {KEYRING_SECONDS:g} s"
        remedy = EXTRA if isinstance(problem, ImportError) else "use a passphrase or a key file"
        raise LockError(f"the system's keyring cannot be used ({why})", remedy)
    return answers[0]


def foreign_environment() -> dict[str, str]:
    """Return the environment for a program that is not ours: without what opens locked folders."""
    return {name: value for name, value in os.environ.items() if name not in (PASSPHRASE, KEY_FILE, NEW_PASSPHRASE)}


SOURCES = ("passphrase", "key-file", "keyring")
"""Where the key that wraps a folder's comes from."""


def _cipher(key: bytes) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise LockError("what opens locked files is not installed", EXTRA) from None
    return AESGCM(key)


def check_installed() -> None:
    """Refuse where what locks is not installed."""
    _cipher(bytes(32))


def _derived(key: bytes, salt: bytes, info: bytes) -> bytes:
    """Return 32 bytes by HKDF-SHA256 (RFC 5869), of which the first block is all that is needed."""
    import hmac

    extracted = hmac.digest(salt, key, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


@functools.lru_cache(maxsize=64)
def _wrapping(source: str, kdf: str, hidden: bytes) -> bytes:
    """Return the key that wraps a folder's: from what is hidden, by the parameters in the header."""
    values = json.loads(kdf)
    salt = bytes.fromhex(values["salt"])
    if source != "passphrase":
        return _derived(hidden, salt, b"footage lock 1 wrap")
    n, r, p = values["n"], values["r"], values["p"]
    return hashlib.scrypt(hidden, salt=salt, n=n, r=r, p=p, maxmem=MOST_SCRYPT + 2**26, dklen=32)


def _bound(header: dict[str, Any]) -> bytes:
    """Return what of a header is authenticated with the wrapped key: all but the state."""
    key = {name: header["key"][name] for name in ("from", "kdf")}
    return json.dumps([FORMAT, header["version"], header["id"], key], sort_keys=True).encode()


def new_header(
    source: str, hidden: bytes, key: bytes | None = None, number: str = "", entry: str = ""
) -> dict[str, Any]:
    """Return a header: of a new lock, or of one whose `key` and `number` stay.

    Args:
        source: one of `SOURCES`.
        hidden: what the folder's key is wrapped with.
        key: the folder's key; None for a new one.
        number: of the lock.
        entry: number that the keyring knows the key by, if that is not the lock's.
    """
    kdf: dict[str, Any] = {"name": "hkdf-sha256", "salt": secrets.token_hex(NUMBER)}
    if source == "passphrase":
        kdf |= {"name": "scrypt", **SCRYPT}
    if entry:
        kdf["entry"] = entry
    header: dict[str, Any] = {"format": FORMAT, "version": VERSION, "id": number or secrets.token_hex(NUMBER)}
    header |= {"state": "locked", "key": {"from": source, "kdf": kdf}}
    nonce, wrapping = secrets.token_bytes(NONCE), _wrapping(source, json.dumps(kdf, sort_keys=True), hidden)
    wrapped = _cipher(wrapping).encrypt(nonce, key or secrets.token_bytes(32), _bound(header))
    header["key"] |= {"nonce": nonce.hex(), "wrapped": wrapped.hex()}
    return header


def folder_key(folder: Path, header: dict[str, Any]) -> bytes:
    """Return the key of a locked folder.

    Raises:
        KeyNeeded: what it is wrapped with is not known.
        LockError: it is another key's.
    """
    key, source = header["key"], header["key"]["from"]
    check_installed()  # before it asks for a passphrase
    try:
        hidden = secret(source, keyring_entry(header))
    except KeyNeeded as error:
        raise KeyNeeded(f'"{folder}" is locked, and {error.problem}', error.remedy) from None
    from cryptography.exceptions import InvalidTag

    wrapping = _wrapping(source, json.dumps(key["kdf"], sort_keys=True), hidden)
    try:
        opened: bytes = _cipher(wrapping).decrypt(
            bytes.fromhex(key["nonce"]), bytes.fromhex(key["wrapped"]), _bound(header)
        )
    except InvalidTag:
        what = {"passphrase": "passphrase", "key-file": "key file", "keyring": "key in the keyring"}[source]
        raise LockError(
            f'"{folder}" cannot be opened: the {what} is another one', "give the one that it was locked with"
        ) from None
    return opened


def opened_folder(folder: Path) -> tuple[str, bytes]:
    """Return number and key of a locked folder whose files may be used.

    Raises:
        LockError: they may not, or its key is not known.
    """
    if folder in _sealed:
        return _sealed[folder]
    header = read_header(folder)
    if header["state"] != "locked":
        verb = header["state"].removesuffix("ing")
        raise LockError(
            f'"{folder}" was being {verb}ed, and that was stopped', f"footage {verb} {folder} goes on with it"
        )
    return header["id"], folder_key(folder, header)


@contextlib.contextmanager
def sealed(folder: Path) -> Iterator[None]:
    """Lock what is written into an empty folder by a random key that is in memory alone, while the block runs.

    Its files are written and read as those of a locked folder. No other process can open them, and none can later.

    Raises:
        LockError: what locks is not installed.
    """
    check_installed()
    names, key = {Path(os.path.abspath(folder)), folder.resolve()}, (secrets.token_hex(NUMBER), secrets.token_bytes(32))
    _sealed.update(dict.fromkeys(names, key))
    try:
        yield
    finally:
        for name in names:
            del _sealed[name]


def stays_open(path: Path, folder: Path) -> bool:
    """Tell whether a file of a locked folder is not in locked pages; see `OPEN_NAMES` and `DATABASES`."""
    below = path.relative_to(folder)
    open_name = path.name in OPEN_NAMES or DATABASES.fullmatch(below.as_posix())
    return bool(open_name or OPEN_FOLDERS & set(below.parts[:-1]))


def hiding_folder(path: Path | str) -> Path | None:
    """Return the locked folder in whose pages a file is, or would be; None where it is plain."""
    folder = folder_of(path)
    return None if folder is None or stays_open(Path(os.path.abspath(path)), folder) else folder


def cipher_of_databases() -> ModuleType:
    """Return the module that reads locked databases as `sqlite3` reads plain ones.

    Raises:
        LockError: it is not installed.
    """
    try:
        from sqlcipher3 import dbapi2
    except ImportError:
        raise LockError("what opens locked libraries is not installed", EXTRA) from None
    module: ModuleType = dbapi2
    return module


def key_of_databases(key: bytes) -> str:
    """Return the key of a locked folder's databases as SQLCipher takes it, from the folder's."""
    return f"x'{_derived(key, bytes(NUMBER), b'footage lock 1 database').hex()}'"


def database_module(path: Path) -> tuple[ModuleType, str]:
    """Return the module that opens a database, and the key that it is given; the key is empty for a plain one.

    Raises:
        LockError: it lies in a locked folder that cannot be opened.
    """
    folder = folder_of(path)
    if folder is None:
        return sqlite3, ""
    return cipher_of_databases(), key_of_databases(opened_folder(folder)[1])


Mode = Literal["read", "write", "update"]


class LockedFile(io.RawIOBase):
    """A file in pages, read or written like one that is plain. Closed, it is whole; before, a new one cannot be read.

    One that is updated in place is read by others meanwhile: as it was or as it will be, page by page. A page of it
    that was half written, by a process that died, is zeros from then on.

    Args:
        path: where its bytes are.
        number: of the lock.
        key: of the folder.
        name: the file's name below the folder, which its own key follows from.
        mode: whether it is read, made anew, or updated.

    Raises:
        LockError: it is no locked file, damaged, cut off, or of another lock or name.
    """

    def __init__(self, path: Path, number: str, key: bytes, name: str, mode: Mode = "read") -> None:
        self.name, self._number, self._at = str(path), bytes.fromhex(number), 0
        self._write, self._update = mode != "read", mode == "update"
        self._whole = False
        """Whether there is a file to close: it was opened, and is no other one."""
        self._page, self._plain, self._dirty = -1, bytearray(), False
        self._handle: IO[bytes] = open(path, {"read": "rb", "write": "w+b", "update": "r+b"}[mode])  # noqa: SIM115 - closed by `close`
        try:
            head = b"" if mode == "write" else self._handle.read(HEAD)
            if mode != "write" and (len(head) < HEAD or not head.startswith(MAGIC)):
                raise LockError(
                    f"{self.name} lies in a locked folder and is not locked", "remove it: somebody put it there"
                )
            if mode != "write" and head[len(MAGIC) :][:NUMBER] != self._number:
                raise LockError(f"{self.name} belongs to another lock", "put it back where it was, or remove it")
            self._file = secrets.token_bytes(NUMBER) if mode == "write" else head[len(MAGIC) + NUMBER :][:NUMBER]
            self._cipher = _cipher(
                _derived(key, self._file, b"footage lock 1 file\0" + name.encode("utf-8", "surrogateescape"))
            )
            from cryptography.exceptions import InvalidTag

            self._faults: tuple[type[Exception], ...] = InvalidTag, ValueError
            self._decrypt_into = getattr(self._cipher, "decrypt_into", None)  # newer versions of cryptography have it
            self.size = 0
            if mode == "write":
                self._handle.write(bytes(HEAD))
            else:
                bound, sealed = head[: -NONCE - TAG], head[-NONCE - TAG :]
                self._open(sealed, bound)
                self.size = int.from_bytes(bound[-8:], "little")
                there = os.fstat(self._handle.fileno()).st_size
                if there < HEAD + self.size + -(-self.size // PAGE) * (NONCE + TAG):
                    raise LockError(f"{self.name} is cut off", "put a copy of it back")
            self._whole = True
        finally:
            if not self._whole:
                self._handle.close()

    def _open(self, content: bytes, bound: bytes) -> bytes:
        try:
            plain: bytes = self._cipher.decrypt(content[:NONCE], content[NONCE:], bound)
        except self._faults:
            raise self._damaged() from None
        return plain

    def _damaged(self) -> LockError:
        return LockError(f"{self.name} is damaged, or another file under its name", "put a copy of it back")

    def opened(self, number: int, content: bytes) -> bytes:
        """Return a page, of which the bytes on disk are given."""
        return self._open(content, MAGIC + number.to_bytes(8, "little"))

    def open_into(self, number: int, content: memoryview, plain: memoryview) -> None:
        """Open a page, of which the bytes on disk are given, into memory that is as long."""
        if self._decrypt_into is None:
            plain[:] = self.opened(number, bytes(content))
            return
        try:
            self._decrypt_into(content[:NONCE], content[NONCE:], MAGIC + number.to_bytes(8, "little"), plain)
        except self._faults:
            raise self._damaged() from None

    def _turn_to(self, number: int) -> None:
        """Hold a page, and write the one that was held."""
        if number == self._page:
            return
        self._put()
        there = number * PAGE < self._stored()
        self._plain = bytearray()
        if there:
            self._handle.seek(HEAD + number * PLACE)
            try:
                self._plain += self.opened(number, self._handle.read(PLACE))
            except LockError:
                if not self._update:
                    raise
        if self._write and len(self._plain) < PAGE:
            self._plain.extend(bytes(PAGE - len(self._plain)))
        self._page = number

    def _stored(self) -> int:
        """Return about how many bytes of content are in whole pages on disk."""
        if not self._write:
            return self.size
        self._handle.seek(0, os.SEEK_END)
        return -((HEAD - self._handle.tell()) // PLACE) * PAGE

    def _put(self, length: int = PAGE) -> None:
        if self._dirty:
            nonce = secrets.token_bytes(NONCE)
            content = self._cipher.encrypt(nonce, bytes(self._plain[:length]), MAGIC + self._page.to_bytes(8, "little"))
            self._handle.seek(HEAD + self._page * PLACE)
            self._handle.write(nonce + content)
            self._dirty = False

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return self._write

    def seekable(self) -> bool:
        return True

    def fileno(self) -> int:
        """Refuse: who has the number of the file would go past its pages."""
        raise io.UnsupportedOperation("fileno")

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self.size - self._at))
        done = 0
        while done < count:
            page, first = divmod(self._at, PAGE)
            self._turn_to(page)
            part = self._plain[first : first + count - done]
            view[done : done + len(part)] = part
            done += len(part)
            self._at += len(part)
        return count

    def write(self, content: Any) -> int:
        view = memoryview(content).cast("B")
        if self._at > self.size:
            self.truncate(self._at)
        done = 0
        while done < len(view):
            page, first = divmod(self._at, PAGE)
            self._turn_to(page)
            part = view[done : done + PAGE - first]
            self._plain[first : first + len(part)] = part
            self._dirty = True
            done += len(part)
            self._at += len(part)
            self.size = max(self.size, self._at)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        size = self._at if size is None else size
        if size < self.size:  # what is behind the end is zeros, should it grow again
            pages = -(-size // PAGE)
            if size % PAGE:
                self._turn_to(pages - 1)
                self._plain[size % PAGE :] = bytes(PAGE - size % PAGE)
                self._dirty = True
            if self._page >= pages:
                self._page, self._dirty = -1, False
            self._put()
            self._handle.truncate(HEAD + min(pages * PLACE, self._stored() // PAGE * PLACE))
        elif size > self.size and self.size % PAGE:  # the last page is short on disk, and no longer the last
            self._turn_to(self.size // PAGE)
            self._dirty = True
        for page in range(-(-self.size // PAGE), -(-size // PAGE)):
            self._turn_to(page)
            self._dirty = True
        self.size = size
        return size

    def close(self) -> None:
        """Write the last page and the head; see `LockedFile`."""
        if self.closed or not self._whole:
            return
        try:
            if self._write:
                last = (self.size - 1) // PAGE
                if self.size:
                    self._turn_to(last)
                    self._dirty = True
                    self._put(self.size - last * PAGE)
                self._handle.truncate(HEAD + self.size + (last + 1) * (NONCE + TAG))
                bound = MAGIC + self._number + self._file + self.size.to_bytes(8, "little")
                nonce = secrets.token_bytes(NONCE)
                self._handle.seek(0)
                self._handle.write(bound + nonce + self._cipher.encrypt(nonce, b"", bound))
        finally:
            super().close()
            self._handle.close()


def name_below(path: Path, folder: Path) -> str:
    """Return the name that a file of a locked folder is locked by."""
    return Path(os.path.abspath(path)).relative_to(folder).as_posix()


def open_file(path: Path) -> IO[bytes]:
    """Open a file for reading, plain or locked.

    Raises:
        LockError: it is locked and cannot be opened.
    """
    folder = hiding_folder(path)
    if folder is not None:
        return io.BufferedReader(LockedFile(path, *opened_folder(folder), name_below(path, folder)), PAGE)
    handle = open(path, "rb")  # noqa: SIM115 - the caller closes it
    if handle.read(len(MAGIC)) == MAGIC:
        handle.close()
        raise LockError(f"{path} is locked, and the {HEADER} of its folder is missing", "put a copy of it back")
    handle.seek(0)
    return handle


def create(scratch: Path, path: Path) -> IO[bytes]:
    """Open `scratch` for writing and reading what is to stand at `path`, locked where that lies in a locked folder."""
    folder = hiding_folder(path)
    if folder is None:
        return open(scratch, "w+b")
    return io.BufferedRandom(LockedFile(scratch, *opened_folder(folder), name_below(path, folder), "write"), PAGE)


def refuse(path: Path) -> None:
    """Refuse to write a plain file in a locked folder.

    Raises:
        LockError: it lies in one.
    """
    if hiding_folder(path) is not None:
        raise LockError(f'"{path}" lies in a locked folder, where this cannot be written', "name a place outside of it")


def size(path: Path) -> int:
    """Return the length of a file's content."""
    if hiding_folder(path) is None:
        return path.stat().st_size
    with open_file(path) as handle:
        return handle.seek(0, os.SEEK_END)


def locked_files(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder that a lock is for, in order."""
    for path in sorted(folder.rglob("*")):
        partial = path.name.startswith(".") and ".partial" in path.name  # which `files.remove_partial` removes
        if path.is_file() and not path.is_symlink() and not stays_open(path, folder) and not partial:
            yield path


def is_locked(path: Path) -> bool:
    """Tell whether a file begins as locked ones do."""
    with open(path, "rb") as handle:
        return handle.read(len(MAGIC)) == MAGIC
