"""State of one running studio: its library, its catalog of models, its worker, and what waits to be fetched or rated.

Routes take it as `CurrentStudio`, or the library alone as `CurrentLibrary`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar, cast

import psutil
from fastapi import Depends, HTTPException, Request

from footage import files
from footage.errors import ConfigError, LibraryError, LockError
from footage.files import locked
from footage.library.entries import ClipEntry, plain
from footage.library.jobs import BackgroundJob
from footage.library.library import Library
from footage.machines.local import cores, devices, environment, lower_priority, memory_folder
from footage.media import narrator
from footage.studio.catalog import Catalog
from footage.studio.roles import Visitor
from footage.studio.security import Keys, Limits
from footage.studio.sounds import SentSounds
from footage.studio.uploads import SourceUploads

T = TypeVar("T")

UPLOAD_CHECKS = 2
"""Uploads that are decoded at the same time."""
QUICK = frozenset({"sort", "bin", "limit", "after"})
"""Parameters of a query that finds what it finds by an index, and whose counts are kept."""
BEHIND_PAGES = 5
"""Niceness of what computes for somebody who waits: jobs, streams, previews, uploads; pages go first."""
UPLOADS, SOUNDS = "uploads", "sounds"
"""Folders, below that of the models, of videos that browsers sent to be ingested, and of sounds; the latter are below a
library that is locked, with which they are locked."""


IN_MEMORY = "footage-studio-"
"""How the folders of temporary files in memory begin, one of each studio of a locked library."""
ALIVE = "alive"
"""A file in such a folder that its studio holds (flock)."""
BEGINNING = 60.0
"""Seconds after which such a folder without that file is taken for a leftover."""
SAVING = 150.0
"""Seconds that processes of a studio have to save and end, before what they have in memory goes; for commands, see
`command_jobs.ENDING`."""


def end_users(folder: Path) -> None:
    """Wait until the processes have ended whose temporary files lie in a folder; kill them after `SAVING`.

    Children of this process are ended by who began them, or end with it.
    """
    for patience in (SAVING, 5.0):  # then for what has begun meanwhile, or was killed
        users = list[psutil.Process]()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):  # somebody else's, or gone
                ours = os.getpid() in (process.pid, process.ppid())
                if not ours and process.environ().get(files.MEMORY) == str(folder):
                    users.append(process)
        for process in psutil.wait_procs(users, patience)[1]:
            with contextlib.suppress(psutil.Error):
                process.kill()


@contextlib.contextmanager
def temporary_in_memory() -> Iterator[None]:
    """Keep temporary files in memory within the block, those too of processes that begin in it; they go with it.

    What a studio that was killed has left is removed first.

    Raises:
        LockError: this machine has no such folder.
    """
    place = memory_folder()
    if place is None:
        problem = "the library is locked, and this machine has no folder in memory (tmpfs) for what is not yet"
        raise LockError(problem, "use footage library, or serve it on Linux with /dev/shm")
    for left in place.glob(f"{IN_MEMORY}*"):
        with contextlib.suppress(OSError), contextlib.ExitStack() as held:
            state = left.lstat()
            if (left / ALIVE).exists():
                over = files.lock(held.enter_context(open(left / ALIVE, "rb")), wait=False)
            else:  # it is being made, or what a process wrote that its studio did not wait for
                over = time.time() - state.st_mtime > BEGINNING
            if over and state.st_uid == os.geteuid():
                shutil.rmtree(left, ignore_errors=True)
    folder, before = Path(tempfile.mkdtemp(prefix=IN_MEMORY, dir=place)), tempfile.tempdir  # for its owner alone
    try:
        # TMPDIR is for programs that are not ours.
        with open(folder / ALIVE, "wb") as mark, environment({"TMPDIR": str(folder), files.MEMORY: str(folder)}):
            files.lock(mark)
            files.keep_in_memory()
            try:
                yield
            finally:
                try:
                    end_users(folder)
                finally:  # as long as the mark is held; it goes last
                    for path in folder.glob("*"):
                        if path.name != ALIVE:
                            shutil.rmtree(path, ignore_errors=True)
    finally:
        tempfile.tempdir = before
        shutil.rmtree(folder, ignore_errors=True)


class ExportFolder:
    """Exports that wait to be fetched, the last `most`, in a folder that is gone when the server ends."""

    def __init__(self, most: int) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="footage-exports-"))
        self._most = most
        self._ready: OrderedDict[str, Path] = OrderedDict()
        self._lock = threading.Lock()

    def new_folder(self) -> Path:
        """Return a new folder to write an export, or an upload, into."""
        folder = self._folder / secrets.token_urlsafe(16)
        files.make_folder(folder)
        return folder

    def put(self, path: Path) -> str:
        """Keep a file of such a folder; return the key that it is fetched by."""
        with self._lock:
            self._ready[path.parent.name] = path
            while len(self._ready) > self._most:
                _, old = self._ready.popitem(last=False)
                shutil.rmtree(old.parent, ignore_errors=True)
        return path.parent.name

    def get(self, key: str) -> Path | None:
        with self._lock:
            return self._ready.get(key)

    def clear(self) -> None:
        """Remove what waits."""
        with self._lock:
            for path in self._ready.values():
                shutil.rmtree(path.parent, ignore_errors=True)
            self._ready.clear()

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


@dataclass(frozen=True)
class WaitingPair:
    """Two clips that wait to be compared by somebody who is not told what they are."""

    campaign: str
    a: int
    b: int


class WaitingPairs:
    """Blind pairs that wait for an answer, the last `most`, by keys that tell nothing."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: OrderedDict[str, WaitingPair] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, pair: WaitingPair) -> str:
        key = secrets.token_urlsafe(16)
        with self._lock:
            self._waiting[key] = pair
            while len(self._waiting) > self._most:
                self._waiting.popitem(last=False)
        return key

    def get(self, key: str) -> WaitingPair:
        with self._lock:
            pair = self._waiting.get(key)
        if pair is None:
            raise HTTPException(404, "this pair is no longer asked about: take another")
        return pair


LANES = (
    ("generate", "between", "predict", "animate", "translate", "reconstruct", "upscale", "talk"),
    ("import", "verify", "detect"),
    ("embed",),
    ("ingest", "evaluate", "privacy", "erase"),
    ("plan",),
    ("train",),
    ("trim", "join", "effects"),
    ("film",),
)
"""Kinds of jobs that wait for each other, by lane; the lanes go on at the same time. There is one of `BY_DEVICE` for
each device."""
BY_DEVICE = "train"
"""Kind of jobs that wait for those of the same device alone."""


def same_device(device: str) -> tuple[str, ...]:
    """Return the names by which requests may call a device here: `auto` and `cuda` are also the best that is seen."""
    best = next((name for name in devices() if name.startswith("cuda")), devices()[-1])
    names = ("auto", "cuda", best)
    return names if device in names else (device,)


class WorkerProcess:
    """Keeps a `footage.studio.worker` going for each of the `LANES`, and each device, for which there are jobs."""

    def __init__(self, library: Library, models: Path, speech: str | None = None) -> None:
        self._library, self._models = library, models
        # Not among the arguments, which everybody on this computer sees, nor in jobs, which people of the studio see.
        self._environment = os.environ | ({narrator.VARIABLE: speech} if speech else {})
        self._processes: dict[tuple[str, ...], subprocess.Popen[bytes]] = {}
        """Workers by the names of their device, empty for any, and kinds."""
        self._lock = threading.Lock()
        self._closed = False

    def wake(self, job: BackgroundJob) -> None:
        """Start a worker for a job where none is going that could do it."""
        kinds = next(kinds for kinds in LANES if job.kind in kinds)
        lane = (",".join(same_device(job.request["device"])) if job.kind == BY_DEVICE else "", *kinds)
        with self._lock:
            process = self._processes.get(lane)
            if self._closed or (process is not None and process.poll() is None):
                return
            folders = str(self._library.folder), str(self._models)
            command = [sys.executable, "-m", "footage.studio.worker", *folders, *lane]
            # A session of its own: a Ctrl-C in the terminal is the server's, which ends the worker.
            with contextlib.suppress(OSError):  # too many processes, or no memory: `tend` tries again
                self._processes[lane] = subprocess.Popen(
                    command, stdin=subprocess.PIPE, start_new_session=True, env=self._environment
                )
                lower_priority(self._processes[lane].pid, BEHIND_PAGES)

    def tend(self) -> None:
        """Put back what dead workers had begun, and wake those for whom something waits; keep the uploads that wait."""
        self._library.jobs.revive()
        waiting = self._library.jobs.all("queued", 1000)
        for job in waiting:
            self.wake(job)
        for job in waiting + self._library.jobs.all("running"):
            if job.kind == "import":
                with contextlib.suppress(OSError):  # what lies for an hour is taken for abandoned
                    os.utime(self._library.upload_path(job.request["file"]))

    def close(self) -> None:
        """End the workers; what they were doing goes back into the queue, for the next ones."""
        with self._lock:
            self._closed = True
            names = [f"worker {process.pid}" for process in self._processes.values()]
            for process in self._processes.values():
                process.kill()
                process.wait()
                if process.stdin is not None:
                    process.stdin.close()
            if names:
                self._library.jobs.revive(0.0, names)


class Studio:
    """One server's share of a library."""

    def __init__(
        self,
        library: Library,
        catalog: Catalog,
        keys: Keys,
        limits: Limits | None = None,
        sources: Sequence[Path] = (),
        speech: str | None = None,
    ) -> None:
        self.library, self.catalog, self.keys = library, catalog, keys
        self.limits = limits or Limits()
        self.locked = bool(library.key_source)
        """Whether nothing of the library may lie plain on the disk: temporary files are in memory then."""
        self.sources = tuple(Path(folder).resolve() for folder in sources) or (catalog.folder.resolve(),)
        """Folders whose videos may be ingested."""
        self.uploads = SourceUploads(catalog.folder.resolve() / UPLOADS, self.limits)
        self.sounds = SentSounds((library.folder if self.locked else catalog.folder).resolve() / SOUNDS)
        self.made = list[ExportFolder]()
        """What was made of clips and is kept for a while: exports, drafts, levels of volumes."""
        self.exports = self.made_folder(self.limits.exports)
        self.erasing = set[int]()
        """Jobs that erase sources, and have not ended yet."""
        self.pairs = WaitingPairs(self.limits.pairs)
        self.worker = WorkerProcess(library, catalog.folder, speech)
        self.speech = speech
        """Command of the program that reads texts aloud, where one was given."""
        self.upload_checks = asyncio.Semaphore(UPLOAD_CHECKS)
        turns = max(1, cores() - 1)  # one core is left for what is quick
        self.searches, self.likenesses = asyncio.Semaphore(turns), asyncio.Semaphore(turns)
        self.signatures, self.drawings = asyncio.Semaphore(turns), asyncio.Semaphore(turns)
        """Held while a missing picture of a clip is drawn."""

    def source(self, path: str) -> Path:
        """Return where videos are that somebody wants to ingest.

        Raises:
            ConfigError: they lie outside the folders that may be looked into, or are not there.
        """
        try:
            place = Path(path).resolve()
            inside = any(place.is_relative_to(folder) for folder in (*self.sources, self.uploads.folder))
            if inside and place.exists():
                return place
        except (OSError, ValueError, RuntimeError):  # no path, or links in a circle
            inside = False
        if inside:
            raise ConfigError(f'"{plain(path)}" does not exist', "choose another folder")
        raise ConfigError(f'"{plain(path)}" is outside the folders of this studio', "start it with --sources FOLDER")

    def made_folder(self, most: int) -> ExportFolder:
        """Return a folder for what is made of clips; see `forget`."""
        self.made.append(ExportFolder(most))
        return self.made[-1]

    def forget(self) -> None:
        """Remove what was made of clips: some of them are gone for good."""
        for folder in self.made:
            folder.clear()

    def tend(self) -> None:
        """Tend the workers; where one has erased a source, remove what was made of clips before."""
        self.worker.tend()
        known, jobs = set(self.erasing), self.library.jobs
        waiting = [*jobs.all("queued", 1000), *jobs.all("running", 1000)]
        going = {job.id for job in waiting if job.kind == "erase"}
        if known - going:
            self.forget()
        self.erasing -= known
        self.erasing |= going

    def check_key(self) -> None:
        """Refuse where the library is locked, and its key is no longer what it was, or its folder in memory is gone.

        Raises:
            LockError
        """
        if self.locked:
            locked.opened_folder(self.library.folder)
            files.keep_in_memory()

    def entry(self, clip: int) -> ClipEntry:
        return or_404(lambda: self.library.get(clip))

    def followed(self, audio: str) -> tuple[Path, float]:
        """Return the file of what is to be followed, and its seconds: a clip's number, or `sound:ID` of one sent.

        Raises:
            ConfigError: the clip has no sound.
            HTTPException: there is no such clip, or sound.
        """
        if audio.startswith("sound:"):
            path, sound = self.sounds.find(audio.removeprefix("sound:"))
            return path, sound.seconds
        heard = self.entry(int(audio))
        if not heard.audio:
            raise ConfigError(f"clip {heard.id} has no sound", "choose a clip with sound")
        return self.library.path(heard.id, small=True), heard.seconds

    def close(self) -> None:
        """End what is running, and remove what was for this server only."""
        self.worker.close()
        self.exports.close()
        if self.keys.accounts is not None:
            self.keys.accounts.close()
        self.library.close()


def or_404(look_up: Callable[[], T]) -> T:
    """Look something up in the library; answer 404 where there is no such thing."""
    try:
        return look_up()
    except LibraryError as error:
        raise HTTPException(404, {"problem": error.problem, "remedy": error.remedy}) from error


async def current_studio(request: Request) -> Studio:
    """Return the studio that serves a request. A coroutine, for others are handed to a thread."""
    return cast(Studio, request.app.state.studio)


async def current_visitor(request: Request) -> Visitor:
    """Return who makes a request, as the guard has found out."""
    return cast(Visitor, request.scope["visitor"])


CurrentStudio = Annotated[Studio, Depends(current_studio)]
CurrentVisitor = Annotated[Visitor, Depends(current_visitor)]


def check_own(visitor: Visitor, actor: str) -> None:
    """Refuse to let somebody stop or change what was made on behalf of another account.

    Raises:
        HTTPException: 403.
    """
    if not visitor.owns(actor):
        raise HTTPException(403, {"problem": "this is somebody else's", "remedy": "ask them, or an administrator"})


async def search_turn(request: Request, studio: CurrentStudio) -> AsyncIterator[None]:
    """Let a request that looks through what a query finds wait, before it has a thread, until fewer do."""
    asked = {name: value for name, value in request.query_params.items() if value}
    quick = asked.keys() <= QUICK and not asked.get("sort", "").startswith(("taste", "metric"))
    async with contextlib.nullcontext() if quick else studio.searches:
        yield


async def likeness_turn(studio: CurrentStudio) -> AsyncIterator[None]:
    """Let a request that looks through all vectors wait, before it has a thread, until fewer do."""
    async with studio.likenesses:
        yield


async def signature_turn(studio: CurrentStudio) -> AsyncIterator[None]:
    """Let a request that has a process read a signature wait, before it has a thread, until fewer do."""
    async with studio.signatures:
        yield


IN_TURN, IN_LIKENESS_TURN, IN_SIGNATURE_TURN = Depends(search_turn), Depends(likeness_turn), Depends(signature_turn)
"""Dependencies of the routes that look through much of a library, or take a second of a processor."""


async def render(
    request: Request, clips: Sequence[int], failed: Callable[[int, ConfigError], object] | None = None
) -> None:
    """Render those of some clips that have effects and are to be rendered, in a process of its own.

    Raises:
        ConfigError: a source is gone or cannot be read, and there is no `failed` to be told of it.
    """
    await request.app.state.drafts.render(clips, failed)


async def clip_ready(request: Request) -> None:
    """Let a request for a clip's file wait, before it has a thread, until the clip is rendered."""
    asked = str(request.path_params.get("clip") or request.query_params.get("clip", ""))
    if asked.isdecimal():
        await render(request, [int(asked)])


READY = Depends(clip_ready)
"""Dependency of the routes that give out, or read, the file of a clip."""


async def current_library(studio: CurrentStudio) -> Library:
    return studio.library


CurrentLibrary = Annotated[Library, Depends(current_library)]
