"""Places elsewhere: addresses such as `s3://bucket/clips`, through fsspec, and the files of them that are kept here.

Files are fetched whole, into one folder of this machine that all processes share and that is bounded; what was used
longest ago leaves it. Credentials are those that the machine has; an address that holds any is refused, so that any
address may be written into logs, configurations and model cards.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from footage import files
from footage.errors import ConfigError, FootageError, RemoteError, UnwritableError, nearest

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):[/\\]+(.*)", re.DOTALL)
"""An address; in a `Path` one of its slashes is lost. Two letters at least: C:/ is a disk."""
HERE = ("file", "local", "memory")
"""Schemes of what is on this machine and needs no credentials."""
OBJECT_STORES = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss", "memory")
"""Schemes of stores in which a file appears when all of it is there, and folders need not be made."""
WEB = ("http", "https", "webdav", "dav")
"""Schemes of addresses in which a user is a secret, such as a token."""
CACHE_FOLDER, CACHE_LIMIT = "FOOTAGE_CACHE", "FOOTAGE_CACHE_GB"
"""Variables of the environment: the folder of the cache, and its limit in GB (10⁹ bytes)."""
LIMIT = 20.0
"""GB that the cache holds at most when nothing is said."""
PATIENCE, AGAIN = 120.0, 0.5
"""Seconds that a file waits for room in the cache that others use, and between two looks."""
AWAITED, LATELY = "awaited", 5.0
"""File of the cache that is touched while somebody waits for room, and for how many seconds that counts."""
LEFT, STALE = re.compile(r"\..*-[0-9a-f]{8}\.partial"), 86_400.0
"""Names of what is being put somewhere (`files.scratch_beside`), and seconds after which it was given up."""
TRIES = 2
"""How often a file is fetched whose content is not what its hash says."""
FEW = 8
"""Up to so many files of a source are kept in the cache; of more, such as numbered pictures, each is fetched anew."""
MIRROR = ".remote.json"
"""File in a folder of stand-ins that says which address they are of."""
KEYS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or use ~/.aws/credentials, never the address"


def address_of(place: Path | str) -> str | None:
    """Return the address that a place is given by; None for one on this machine.

    Raises:
        ConfigError: the address holds a key, a password or a signature, which must not come into logs and files.
    """
    match = SCHEME.fullmatch(os.fspath(place))
    if match is None or os.path.lexists(place):
        return None
    scheme, rest = match[1].lower(), match[2].replace("\\", "/").rstrip("/")
    if scheme in HERE:
        return f"{scheme}:///{rest}"
    host, (_, at, after) = rest.partition("/")[0], rest.rpartition("@")
    named = re.search(r":(?!\d+$)", host.partition("]")[2] if host.startswith("[") else host)
    user = host.rpartition("@")[0]
    keyed = (user and (":" in user or scheme in (*OBJECT_STORES, *WEB))) or (at and not user and ":" in host)
    if named or keyed or re.search(r"\?.*=", rest):
        shown = f"{scheme}://…" + (at + re.sub(r"\?.*", "?…", after) if at else "")
        raise ConfigError(f'the address "{shown}" holds a key, a password or a signature', KEYS)
    return f"{scheme}://{rest}"


def absolute(place: Path | str) -> str:
    """Return a place as others can find it: an address, or an absolute path."""
    return address_of(place) or str(Path(place).resolve())


def refuse_address(place: Path | str, what: str) -> None:
    """Refuse an address where a place on this machine is needed.

    Raises:
        ConfigError: it is one.
    """
    if address := address_of(place):
        raise ConfigError(f'{what} is "{address}"', "give a folder on this machine")


@dataclass(frozen=True)
class FileSum:
    """What the content of a file has to be."""

    bytes: int
    sha256: str
    """Empty where it is not known."""

    def fits(self, path: Path) -> bool:
        """Whether a file has that content, as far as it is known."""
        return path.stat().st_size == self.bytes and (not self.sha256 or self.sha256 == files.file_digest(path))


@dataclass(frozen=True)
class RemoteFile:
    """A file at an address, as it is listed."""

    size: int
    changed: int
    """When it was changed, in nanoseconds since 1970; 0 where it is not known."""


class RemoteFolder:
    """A folder at an address. Whatever fails there is raised as a sentence that names the address.

    Raises:
        RemoteError: of all methods: there is no such place, no permission, no connection, or no library for it.
        UnwritableError: the disk of this machine is full.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._swept: set[str] = set()  # folders

    @functools.cached_property
    def _opened(self) -> tuple[Any, str]:
        """The file system, and the folder's path in it."""
        with _explained(self.address):
            import fsspec

            system, path = fsspec.core.url_to_fs(self.address, use_listings_cache=False)
            return system, str(path)

    @property
    def parent(self) -> RemoteFolder:
        return RemoteFolder(self.address.rpartition("/")[0])

    def where(self, name: str) -> str:
        """Return the address of a file in it; of itself for no name."""
        return f"{self.address}/{name}" if name else self.address

    def _path(self, name: str) -> str:
        return f"{self._opened[1].rstrip('/')}/{name}" if name else self._opened[1]

    def files(self) -> dict[str, RemoteFile]:
        """List the files in it and in its subfolders, by their paths below it; where it is a file, that by no name."""
        system, root = self._opened
        with _explained(self.address):
            found = system.find(root, detail=True)
        listed: dict[str, RemoteFile] = {}
        for path, about in found.items():
            name = path[len(root.rstrip("/")) :].lstrip("/")
            if about.get("type") != "file" or name.endswith("/"):
                continue
            if {"..", "."} & set(name.split("/")) or "\\" in name or "\0" in name:
                raise RemoteError(f'"{self.where(name)}" is no name of a file', "rename it")
            listed[name] = RemoteFile(int(about.get("size") or 0), round(self._changed(about) * 10**9))
        return listed

    @staticmethod
    def _changed(about: Mapping[str, Any]) -> float:
        """Return when a file was changed, in seconds since 1970, by what fsspec says of it; 0 where it does not."""
        times = (about.get(key) for key in ("LastModified", "mtime", "last_modified", "updated", "created"))
        when: Any = next(filter(None, times), 0)
        return float(when.timestamp() if hasattr(when, "timestamp") else when if isinstance(when, (int, float)) else 0)

    def read(self, name: str) -> bytes | None:
        """Return the content of a file; None where it is not there."""
        try:
            with _explained(self.where(name)):
                content: bytes = self._opened[0].cat_file(self._path(name))
            return content
        except NoSuchFile:
            return None

    def heads(self, names: Sequence[str], lengths: Sequence[int]) -> list[bytes]:
        """Return the beginnings of files, of some bytes each; empty where one cannot be read."""
        with _explained(self.address):
            paths = [self._path(name) for name in names]
            found = self._opened[0].cat_ranges(paths, [0] * len(paths), list(lengths), on_error="return")
        return [content if isinstance(content, bytes) else b"" for content in found]

    def fetch(self, names: Sequence[str], to: Sequence[Path]) -> None:
        """Copy files to this machine."""
        system = self._opened[0]
        with _explained(self.where(names[0])):
            if len(names) == 1:
                system.get_file(self._path(names[0]), str(to[0]))
            else:
                system.get([self._path(name) for name in names], [str(path) for path in to])

    def fetch_one(self, name: str, to: Path) -> None:
        self.fetch([name], [to])

    def put(self, path: Path, name: str) -> None:
        """Copy a file of this machine there: it is there as a whole, or not at all."""
        system, target = self._opened[0], self._path(name)
        with _explained(self.where(name), writing=True):
            if self.address.partition(":")[0] in OBJECT_STORES:
                system.put_file(str(path), target)
                return
            folder, _, last = target.rpartition("/")
            system.makedirs(folder, exist_ok=True)
            if folder not in self._swept:  # processes that were killed leave theirs
                self._swept.add(folder)
                with contextlib.suppress(Exception):  # they may stay
                    for about in system.ls(folder, detail=True):
                        left = about["type"] == "file" and LEFT.fullmatch(about["name"].rpartition("/")[2])
                        if left and 0 < self._changed(about) < time.time() - STALE:
                            system.rm_file(about["name"])
            partial = f"{folder}/{files.scratch_beside(Path(last), '').name}"
            try:
                system.put_file(str(path), partial)
                system.mv(partial, target)
            except BaseException:
                with contextlib.suppress(Exception):
                    system.rm_file(partial)
                raise

    def remove(self, names: Sequence[str]) -> None:
        for name in names:
            with _explained(self.where(name), writing=True):
                self._opened[0].rm_file(self._path(name))


class NoSuchFile(RemoteError):
    """A file is not there, in a place that is."""


class CacheFull(RemoteError):
    """A file does not fit the cache, with what is in use there."""


@contextlib.contextmanager
def _explained(address: str, writing: bool = False) -> Iterator[None]:
    """Raise what fsspec and the libraries under it raise as a sentence; their own words may hold what is secret."""
    try:
        yield
    except FootageError:
        raise
    except Exception as fault:
        raise _sentence(address, fault, "written to" if writing else "read") from None


def _sentence(address: str, fault: Exception, done: str) -> FootageError:
    """Return the error that says what failed at an address, and what can be done."""
    scheme, kinds = address.partition(":")[0], set()
    cause: BaseException | None = fault
    while cause is not None:
        kinds |= {kind.__name__ for kind in type(cause).__mro__}
        cause = cause.__cause__
    if isinstance(fault, ImportError):
        remedy = 'pip install "footage[remote]"'
        with contextlib.suppress(ImportError):
            from fsspec.registry import known_implementations

            remedy = remedy if scheme in ("s3", "s3a") else known_implementations.get(scheme, {}).get("err") or remedy
        return RemoteError(f'"{address}" needs a library that is not installed', remedy)
    if isinstance(fault, ValueError) and "rotocol not known" in str(fault):
        from fsspec.registry import known_implementations

        return RemoteError(
            f'"{address}" begins with "{scheme}", which is not known', nearest(scheme, known_implementations)
        )
    if isinstance(fault, OSError) and fault.errno in files.DISK_FAULTS:
        remedy = f"free some space, or set {CACHE_FOLDER} to a folder on another disk"
        return UnwritableError(f'the disk of this machine is full, "{address}" was not {done}', remedy)
    if "NoSuchBucket" in kinds or (isinstance(fault, FileNotFoundError) and "bucket does not exist" in str(fault)):
        return RemoteError(f'there is no bucket for "{address}"', "check its name, or make it first")
    if isinstance(fault, (FileNotFoundError, NotADirectoryError, IsADirectoryError)):
        return NoSuchFile(f'"{address}" does not exist', "check the address")
    if kinds & {"NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError", "ProfileNotFound"}:
        return RemoteError(f'there are no credentials for "{address}"', KEYS)
    if kinds & {"PermissionError", "AuthenticationException"}:
        return RemoteError(
            f'"{address}" must not be {done} with the credentials of this machine', f"ask its owner, or {KEYS}"
        )
    if kinds & {
        "ConnectionError",
        "ConnectionClosedError",
        "HTTPClientError",
        "ClientConnectorError",
        "TimeoutError",
        "gaierror",
    }:
        return RemoteError(f'"{address}" cannot be reached', "check the network, and AWS_ENDPOINT_URL where it is set")
    return RemoteError(f'"{address}" cannot be {done} ({type(fault).__name__})', "check the address")


class Lease:
    """A file of the cache that does not leave it before this is closed, or its process has ended."""

    def __init__(self, path: Path, handle: IO[bytes]) -> None:
        self.path, self._handle = path, handle

    def close(self) -> None:
        self._handle.close()


@dataclass(frozen=True)
class Cache:
    """A bounded folder of files by their hashes, which several processes share.

    A file that is used is locked (flock), and so is one that is being fetched: it has another name until it is whole
    and its hash is right. Where there are no such locks, one process at a time may use the folder.
    """

    folder: Path
    limit: int
    """In bytes."""

    @staticmethod
    def of_this_machine() -> Cache:
        """Return the one that the environment names; else `footage/remote` in the user's folder of caches.

        Raises:
            ConfigError: its limit is no number of GB.
        """
        given = os.environ.get(CACHE_LIMIT) or str(LIMIT)
        try:
            limit = float(given)
        except ValueError:
            limit = 0.0
        if not 0 < limit < float("inf"):
            raise ConfigError(f'{CACHE_LIMIT} is "{given}"', f"give a number of GB, such as {LIMIT:g}")
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return Cache(Path(os.environ.get(CACHE_FOLDER) or Path(home) / "footage" / "remote"), round(limit * 10**9))

    @property
    def work(self) -> Path:
        """Where ingests keep what they have not finished; it is beside the limit."""
        return self.folder / "work"

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for room."""
        with contextlib.suppress(FileNotFoundError):
            return time.time() - (self.folder / AWAITED).stat().st_mtime < LATELY
        return False

    def lease(
        self,
        key: str,
        wanted: FileSum,
        address: str,
        fetch: Callable[[Path], object],
        patience: float = PATIENCE,
    ) -> Lease:
        """Return a file, which is fetched where it is not there; no second process fetches it meanwhile.

        Args:
            key: its name in the cache, 64 digits.
            wanted: its length, and its SHA-256 where that is known.
            address: what it is called in errors.
            fetch: writes it to a path.
            patience: seconds that it waits for room, where others use what there is.

        Raises:
            CacheFull: it does not fit.
            RemoteError: it cannot be fetched, or is not what its hash says.
        """
        path, until = self.folder / "files" / key, time.monotonic() + patience
        while True:
            with contextlib.suppress(FileNotFoundError):
                handle = open(path, "rb")  # noqa: SIM115 - for as long as the lease
                files.lock(handle, shared=True)
                about = os.fstat(handle.fileno())
                if about.st_nlink and about.st_size == wanted.bytes:
                    os.utime(path, ns=(max(about.st_atime_ns + 1, time.time_ns()), about.st_mtime_ns))
                    return Lease(path, handle)
                handle.close()
                if about.st_nlink:  # cut off, by whatever
                    path.unlink(missing_ok=True)
            partial = path.with_name(f"{key}.{wanted.bytes}{files.PARTIAL}")
            try:
                reserved = self._reserve(partial, wanted.bytes, address)
            except CacheFull:
                if wanted.bytes > self.limit or time.monotonic() >= until:
                    raise
                (self.folder / AWAITED).touch()
                time.sleep(AGAIN)
                continue
            if reserved is None:  # another process was fetching it, and has ended
                continue
            try:
                for _ in range(TRIES):
                    fetch(partial)
                    if wanted.fits(partial):
                        break
                else:  # it has not become what it has to be
                    sums = wanted.sha256 and f" (SHA-256 {wanted.sha256[:12]}…)"
                    problem = f'"{address}" is damaged: it is not the {wanted.bytes:,} bytes that were written{sums}'
                    again = "put it there again, by the command that made it" if sums else "run the same command again"
                    raise RemoteError(problem, again)
                os.replace(partial, path)
            except OSError as fault:
                raise _sentence(address, fault, "kept here") from None
            finally:
                partial.unlink(missing_ok=True)
                reserved.close()

    def _reserve(self, partial: Path, size: int, address: str) -> IO[bytes] | None:
        """Make room for a file, and keep it by a locked one, of which the name tells the length.

        None where another process had reserved it, which is waited for, or has fetched it by now.
        """
        partial.parent.mkdir(parents=True, exist_ok=True)
        waits: IO[bytes] | None = None
        with open(self.folder / "lock", "wb") as lock:
            files.lock(lock)
            used, free = size, []
            for path in partial.parent.iterdir():
                try:
                    handle, about = open(path, "rb"), path.stat()  # noqa: SIM115 - it may be waited for
                except FileNotFoundError:  # it is whole now, under its own name
                    continue
                if not path.name.endswith(files.PARTIAL):
                    handle.close()
                    used += about.st_size
                    free.append((about.st_atime_ns, about.st_size, path))
                    continue
                if files.lock(handle, shared=True, wait=False):  # its process was killed
                    path.unlink()
                    handle.close()
                elif path == partial:
                    waits = handle
                else:
                    used += int(path.name.split(".")[1])
                    handle.close()
            if waits is None and partial.with_name(partial.name.partition(".")[0]).exists():
                return None
            if waits is None:
                for _, length, path in sorted(free):
                    if used <= self.limit:
                        break
                    with contextlib.suppress(PermissionError), open(path, "rb+") as unused:  # Windows: it is in use
                        if files.lock(unused, wait=False):
                            path.unlink()
                            used -= length
                if used > self.limit:
                    raise CacheFull(
                        f'"{address}" of {size / 1e9:.3g} GB does not fit the cache {self.folder} of '
                        f"{self.limit / 1e9:.3g} GB, with what is in use there",
                        f"set {CACHE_LIMIT} to more",
                    )
                mine = open(partial, "wb")  # noqa: SIM115 - until it is whole
                files.lock(mine)
                return mine
        with waits:
            files.lock(waits, shared=True)
        return None


class HeldFiles:
    """Files of a folder at an address that one reader has in use here, at most half of the cache: others have the rest.

    Args:
        folder: the folder.
        sums: what its files have to be, by name.
        dropped: is told the name of a file that may leave the cache from now on.
    """

    def __init__(
        self, folder: RemoteFolder, sums: Mapping[str, FileSum], dropped: Callable[[str], object] = lambda name: None
    ) -> None:
        self.folder, self.sums, self._dropped = folder, sums, dropped
        self.cache = Cache.of_this_machine()
        self.room = self.cache.limit // 2
        self._leases: OrderedDict[str, Lease] = OrderedDict()
        self._lock = threading.Lock()

    def touch(self, name: str) -> None:
        """Note that a file is used: what was not used for longest is dropped first."""
        with self._lock:
            if name in self._leases:
                self._leases.move_to_end(name)

    def _drop(self) -> None:
        """Let go what was not used for longest."""
        name, lease = self._leases.popitem(last=False)
        self._dropped(name)
        lease.close()

    def path(self, name: str) -> Path:
        """Return where a file is here; it is fetched if it is not.

        Raises:
            RemoteError, UnwritableError: it cannot be; see `Cache.lease`.
        """
        with self._lock:
            if name in self._leases:
                return self._leases[name].path
            while self._leases and sum(self.sums[n].bytes for n in [*self._leases, name]) > self.room:
                self._drop()
            if self._leases and self.cache.awaited:  # else what is let go here would be taken here at once
                self._drop()
        wanted, fetch = self.sums[name], functools.partial(self.folder.fetch_one, name)
        lease: Lease | None = None
        while lease is None:
            patience = 0 if self._leases else PATIENCE
            try:
                lease = self.cache.lease(wanted.sha256, wanted, self.folder.where(name), fetch, patience)
            except CacheFull:  # there are more readers than two: this one makes do with less, before it waits
                if patience:
                    raise
                with self._lock:
                    if self._leases:
                        self._drop()
        with self._lock:
            held = self._leases.setdefault(name, lease)
            if held is not lease:  # another thread was faster
                lease.close()
            return held.path


def mirrored(address: str, home: Path, leave_out: str | None, heads: Mapping[str, int]) -> Path:
    """Lay out in a new folder `home` what is at an address, without content but for `heads`; return its place there.

    Raises:
        RemoteError: there is nothing at the address.
    """
    folder, listed = RemoteFolder(address), RemoteFolder(address).files()
    if not listed:
        raise RemoteError(f'"{address}" does not exist, or holds nothing', "check the address of the videos")
    if "" in listed:
        folder, listed = folder.parent, {address.rpartition("/")[2]: listed[""]}
    parts = folder.address.partition("://")[2].split("/")
    mirror = home.joinpath(*(part for part in parts if part not in ("", "..")))
    given = mirror / next(iter(listed)) if folder.address != address else mirror
    headed: list[str] = []
    for name, about in listed.items():
        if leave_out is not None and f"{folder.where(name)}/".startswith(f"{leave_out}/"):
            continue
        path = mirror / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as handle:
            handle.truncate(about.size)
        os.utime(path, ns=(about.changed, about.changed))
        if about.size and PurePosixPath(name).suffix[1:].lower() in heads:
            headed.append(name)
    mirror.mkdir(parents=True, exist_ok=True)
    files.write_json(home / MIRROR, {"address": folder.address, "folder": str(mirror.relative_to(home))})
    lengths = [min(heads[PurePosixPath(name).suffix[1:].lower()], listed[name].size) for name in headed]
    for name, content in zip(headed, folder.heads(headed, lengths) if headed else (), strict=True):
        with open(mirror / name, "rb+") as handle:
            handle.write(content)
        os.utime(mirror / name, ns=(listed[name].changed, listed[name].changed))
    return given


@contextlib.contextmanager
def sources_here(
    inputs: Sequence[Path | str], leave_out: Path | str, heads: Mapping[str, int]
) -> Iterator[list[Path | str]]:
    """Give places on this machine for inputs. What is at an address stands in a temporary folder as long as the block.

    There stand, under their names and of their sizes and times, files without content, until `present` fetches it.

    Args:
        inputs: files and folders, here or at addresses.
        leave_out: a place at an address that is not looked into.
        heads: endings of files of which the beginning is fetched at once, and how many bytes of it.

    Raises:
        RemoteError: there is nothing at an address.
    """
    addresses = [address_of(place) for place in inputs]
    if not any(addresses):
        yield list(inputs)
        return
    work, out = Cache.of_this_machine().work, address_of(leave_out)
    work.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        with open(work.parent / "sources.lock", "wb") as turn:  # none is swept before it is locked
            files.lock(turn)
            for old in work.glob("sources-*"):  # of processes that were killed: their locks are gone
                with contextlib.suppress(OSError), open(old / "lock", "ab") as handle:
                    if files.lock(handle, wait=False):
                        shutil.rmtree(old)
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="sources-", dir=work))
            files.lock(stack.enter_context(open(f"{scratch}/lock", "wb")))
        places: list[Path | str] = []
        for number, (place, address) in enumerate(zip(inputs, addresses, strict=True)):
            home = Path(scratch) / str(number)
            places.append(place if address is None else mirrored(address, home, out, heads))
        yield places


@contextlib.contextmanager
def _turn(home: Path) -> Iterator[None]:
    """Wait until no other process exchanges stand-ins of a folder, and keep the others waiting in the block."""
    with open(home / MIRROR, "rb+") as handle:
        files.lock(handle)
        yield


@contextlib.contextmanager
def present(paths: Sequence[Path]) -> Iterator[None]:
    """Have the content of files here while the block runs, where they stand for others at an address.

    Several processes may use a file at once, such as an archive. Each locks the stand-in, which is put aside, and has
    the content leased. The last one to leave puts the stand-in back; where it was killed, the next one does.
    """
    home = next((parent for parent in paths[0].parents if (parent / MIRROR).is_file()), None) if paths else None
    if home is None:
        yield
        return
    about = json.loads((home / MIRROR).read_text(encoding="utf-8"))
    folder, cache = RemoteFolder(about["address"]), Cache.of_this_machine()
    names = [path.relative_to(home / about["folder"]).as_posix() for path in paths]
    pairs = [(path, files.name_beside(path, ".", ".away")) for path in paths]
    groups = [[pair] for pair in pairs] if len(pairs) <= FEW else [pairs]  # of many, the first one's lock is for all

    def stand_in(path: Path, hidden: Path) -> Path:
        return hidden if hidden.exists() else path

    with contextlib.ExitStack() as stack, contextlib.ExitStack() as locks:
        try:
            with _turn(home):
                for group in groups:
                    files.lock(locks.enter_context(open(stand_in(*group[0]), "rb")), shared=True)
                known = [stand_in(*pair).stat() for pair in pairs]
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".", dir=home)))
            contents = [scratch / str(number) for number in range(len(names))]
            for name, status, content in zip(names, known, contents, strict=True) if len(pairs) <= FEW else ():
                address = folder.where(name)
                key = files.json_digest([address, status.st_size, status.st_mtime_ns])
                fetch = functools.partial(folder.fetch_one, name)
                lease = cache.lease(key, FileSum(status.st_size, ""), address, fetch)
                content.symlink_to(stack.enter_context(contextlib.closing(lease)).path)
            if len(pairs) > FEW:
                folder.fetch(names, contents)
            with _turn(home):
                for (path, hidden), content in zip(pairs, contents, strict=True):
                    with contextlib.suppress(OSError):  # it is aside, or the disk has no hard links
                        os.link(path, hidden)
                    if not hidden.exists():
                        os.rename(path, hidden)
                    if not path.exists() or path.samefile(hidden):  # the link of a killed process may lead nowhere
                        os.replace(content, path)
            yield
        finally:
            with _turn(home):
                locks.close()
                for group in groups:
                    with open(stand_in(*group[0]), "rb+") as last:
                        for path, hidden in group if files.lock(last, wait=False) else ():
                            if hidden.exists():
                                os.replace(hidden, path)


@dataclass
class Outgoing:
    """A file or folder that is made on this machine, for a place that may be an address."""

    place: str
    """What the user calls the place."""
    path: Path
    """Where it is made. A file may have others beside it."""
    folder: RemoteFolder | None = None
    """The folder at the address; None where all stays on this machine."""
    above: Path = Path()
    """What stands for that folder here."""
    stuck: bool = False
    """Whether something could not be put."""

    def __post_init__(self) -> None:
        self._times: dict[Path, int] = {}
        self._before: list[str] | None = None  # files at the address

    def put(self, path: Path) -> None:
        """Put what is whole to the address, where there is one: a file, or all that is in a folder and not yet there.

        Raises:
            RemoteError, UnwritableError: it cannot be; then all that was made stays on this machine.
        """
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if self.folder is None or not file.is_file() or self._times.get(file) == file.stat().st_mtime_ns:
                continue
            changed, name = file.stat().st_mtime_ns, file.relative_to(self.above).as_posix()
            try:
                self.folder.put(file, "" if name == "." else name)
            except FootageError as error:
                self.stuck = True
                remedy = f"{error.remedy}; what was made is in {self.path.parent}"
                raise type(error)(error.problem, remedy) from None
            self._times[file] = changed

    @contextlib.contextmanager
    def standing(self, path: Path) -> Iterator[Path]:
        """Give what would be written over by what is made as `path`; no file where there is nothing.

        From an address it is fetched, and gone afterwards: of a folder the first file, beside empty ones for the rest.

        Raises:
            RemoteError: it cannot be read.
        """
        if self.folder is None:
            yield path
            return
        if self._before is None:
            self._before = []
            with contextlib.suppress(RemoteError):  # who may write need not be allowed to list
                self._before = sorted(self.folder.files())
        name = path.relative_to(self.above).as_posix()
        with tempfile.TemporaryDirectory(prefix="footage-") as folder:
            found = [one for one in self._before if one == name or one.startswith(f"{name}/")]
            for one in found:
                (Path(folder) / one).parent.mkdir(parents=True, exist_ok=True)
                (Path(folder) / one).touch()
            if found:
                self.folder.fetch_one(found[0], Path(folder) / found[0])
            yield Path(folder) / name

    def placed(self, written: Sequence[Path]) -> list[Path]:
        """Return paths of what was made as where it is in the end."""
        if self.folder is None:
            return list(written)
        return [Path(self.folder.address) / path.relative_to(self.above) for path in written]


@contextlib.contextmanager
def sent(to: Path | str) -> Iterator[Outgoing]:
    """Give a place on this machine to make a file or a folder in; where `to` is an address, put it there afterwards.

    Whether the address can be written to is tried first. What could not be put stays on this machine. Where the block
    ends with an error, or by Ctrl-C, what it has put itself by then is at the address, and nothing else.

    Raises:
        RemoteError: it cannot be written to.
    """
    address = address_of(to)
    if address is None:
        yield Outgoing(str(to), Path(to))
        return
    made = Path(tempfile.mkdtemp(prefix="footage-"))
    local, bucket = made / address.rpartition("/")[2], "/" not in address.partition("://")[2].lstrip("/")
    base = RemoteFolder(address) if bucket else RemoteFolder(address).parent
    out = Outgoing(address, local, base, local if bucket else made)
    try:
        (made / "empty").touch()
        folder, probe = base if local.suffix else RemoteFolder(address), f".footage-{os.getpid()}"
        folder.put(made / "empty", probe)
        (made / "empty").unlink()
        with contextlib.suppress(FootageError):  # who may write need not be allowed to remove
            folder.remove([probe])
        yield out
        out.put(made)
    finally:
        if not out.stuck:
            shutil.rmtree(made, ignore_errors=True)
