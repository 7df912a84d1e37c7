"""Worker processes that decode. A worker that a file kills takes nothing down with it.

Each worker is `python -m footage.data.ingest.workers`, fed with one JSON line a job and answering with one.
Unlike a process pool this does not import the user's `__main__` again, names the job that killed a
worker, and ends by itself when its parent is killed, since its input then ends.

On a cluster the same jobs are units of Ray's workers. What takes those down is tried here, in such a process.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from footage import files
from footage.data.ingest.archives import Member
from footage.data.ingest.intake import make_part
from footage.data.ingest.shards import DecodeOptions
from footage.data.ingest.sources import Source
from footage.errors import DatasetError, RemoteError, UnwritableError
from footage.files import DISK_FAULTS
from footage.machines.cluster import Cluster
from footage.machines.local import end_process
from footage.machines.remote import present
from footage.media.decode import frames_each
from footage.media.interlacing import Deinterlacing
from footage.media.probe import UnusableMedia, probe, probe_rate

ATTEMPTS = 2
"""How often a job that kills its worker is tried, since the cause may lie elsewhere (memory, a signal)."""


@dataclass
class WorkerJob:
    """A request to a worker, and its reply."""

    name: str
    """What the user knows it by."""
    request: dict[str, Any]
    """See `answer`."""
    reply: dict[str, Any] = field(default_factory=dict)
    """`frames`, `rates` (frames a second, seconds) or `sizes` (width, height, seconds) on success; `failed` in words;
    `disk` (number, text) where the disk takes nothing; `away` (problem, remedy) when a source cannot be fetched."""
    needs: tuple[Path, ...] = ()
    """What a worker on another machine has to see."""

    def __post_init__(self) -> None:
        """Have the worker seal its temporary files where they are sealed here."""
        self.request["sealed"] = files.is_sealing.get()


def part_job(source: Source, options: DecodeOptions, part: Path, witness: Path | None = None) -> WorkerJob:
    """Return the job that makes a part; a `witness` in its folder shows a cluster's workers that it is the same one."""
    request = {"source": described(source), "options": asdict(options), "part": os.fsencode(part).hex()}
    return WorkerJob(source.name, request, needs=(*source.files, *filter(None, [witness])))


def rate_job(sources: Sequence[Source], deinterlace: Deinterlacing) -> WorkerJob:
    needs = tuple(source.path for source in sources)
    return WorkerJob("frame rates", {"probe": [*map(described, sources)], "deinterlace": deinterlace}, needs=needs)


def size_job(sources: Sequence[Source]) -> WorkerJob:
    needs = tuple(source.path for source in sources)
    return WorkerJob("sizes", {"measure": [*map(described, sources)]}, needs=needs)


def described(source: Source) -> dict[str, Any]:
    """Return a source as JSON has it: names of files are any bytes."""
    path, pictures = os.fsencode(source.path).hex(), [os.fsencode(name).hex() for name in source.pictures]
    return {**asdict(source), "path": path, "pictures": pictures}


def source_of(described: dict[str, Any]) -> Source:
    """Return a source as it was described."""
    pictures = tuple(os.fsdecode(bytes.fromhex(name)) for name in described["pictures"])
    members = tuple(Member(**member) for member in described["members"])
    return Source(**described | {"path": _path(described["path"]), "pictures": pictures, "members": members})


def answer(request: dict[str, Any]) -> dict[str, Any]:
    with files.sealing(request["sealed"]):
        try:
            if "probe" in request:
                rates: list[tuple[float, float] | None] = []
                for source in map(source_of, request["probe"]):
                    rates.append(None)
                    with contextlib.suppress(UnusableMedia), present(source.files), source.unpacked() as whole:
                        rates[-1] = probe_rate(whole.path)
                        if rates[-1] and request["deinterlace"] == "double":
                            fps, seconds = rates[-1]
                            rates[-1] = (fps * frames_each(whole.path), seconds)
                return {"rates": rates}
            if "measure" in request:
                sizes: list[tuple[int, int, float | None] | None] = []
                for source in map(source_of, request["measure"]):
                    sizes.append(None)
                    with contextlib.suppress(UnusableMedia), present(source.files), source.unpacked() as whole:
                        info = probe(whole.path)
                        sizes[-1] = (info.width, info.height, info.duration)
                return {"sizes": sizes}
            source = source_of(request["source"])
            with present(source.files):
                return {"frames": make_part(source, DecodeOptions(**request["options"]), _path(request["part"])).frames}
        except (RemoteError, UnwritableError) as error:
            return {"away": [error.problem, error.remedy]}
        except OSError as error:
            text = error.strerror or str(error)
            return {"disk": [error.errno, text]} if error.errno in DISK_FAULTS else {"failed": text}
        except Exception as error:
            return {"failed": f"{type(error).__name__}: {error}"[:500]}


def _path(name: str) -> Path:
    return Path(os.fsdecode(bytes.fromhex(name)))


class _Worker:
    """One process."""

    def __init__(self) -> None:
        root = str(Path(__file__).resolve().parents[3])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        self.process = subprocess.Popen(
            # -P: nothing in the current folder is imported
            [sys.executable, "-P", "-m", "footage.data.ingest.workers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        )

    def ask(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """Return the reply, or None when the process has died."""
        assert self.process.stdin and self.process.stdout
        with contextlib.suppress(OSError, ValueError):
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
            if line.endswith(b"\n"):
                reply: dict[str, Any] = json.loads(line)
                return reply
        return None

    def stop(self) -> int:
        """End the process; return its exit status."""
        return end_process(self.process)


class WorkerThread(threading.Thread):
    """Feeds one worker, replacing it when it dies, until there is no more to do."""

    def __init__(
        self,
        waiting: queue.SimpleQueue[WorkerJob],
        done: queue.SimpleQueue[WorkerJob | Exception],
        stop: threading.Event,
    ) -> None:
        super().__init__(daemon=True)
        self.waiting, self.done, self.stop = waiting, done, stop
        self.worker: _Worker | None = None
        self.start()

    def run(self) -> None:
        try:
            while not self.stop.is_set():
                job = self.waiting.get_nowait()
                reply: dict[str, Any] | None = None
                status = 0
                for _ in range(ATTEMPTS):
                    self.worker = self.worker or _Worker()
                    reply = self.worker.ask(job.request)
                    if reply is not None or self.stop.is_set():
                        break
                    status = self.worker.stop()
                    self.worker = None
                job.reply = reply or {"failed": f"the decoder crashed on it (exit status {status})"}
                self.done.put(job)
        except queue.Empty:
            pass
        except Exception as error:
            self.done.put(error)
        finally:
            if self.worker is not None:
                self.worker.stop()


def run_jobs(jobs: list[WorkerJob], workers: int | Cluster) -> Generator[WorkerJob, None, None]:
    """Do the jobs in `workers` processes, or in this one for 0, or on a cluster; yield them with their replies.

    When the caller stops iterating, the processes are ended; the parts in work are removed or left as
    partial files, which the next ingest removes.

    Raises:
        ClusterError: a worker on another machine lacks what a job needs.
        OSError: the disk cannot be written to.
        RemoteError: a source cannot be fetched, which says nothing of the source.
    """
    with contextlib.closing(_replied(jobs, workers)) as replied:
        for job in replied:
            if "away" in job.reply:
                raise RemoteError(*job.reply["away"])
            if "disk" in job.reply:
                raise OSError(*job.reply["disk"])
            yield job


def _replied(jobs: list[WorkerJob], workers: int | Cluster) -> Generator[WorkerJob, None, None]:
    """Do the jobs; yield them with their replies, whatever these say."""
    if isinstance(workers, Cluster):  # a job that takes its workers down is tried here, as if there were none
        results = workers.run(
            lambda job: answer(job.request),
            jobs,
            needs=lambda job: job.needs,
            lost=lambda job: next(_replied([job], 1)).reply,
        )
        with contextlib.closing(results):
            for job, reply in results:
                if "part" in job.request and "frames" in reply:
                    workers.await_file(_path(job.request["part"]))
                job.reply = reply
                yield job
        return
    if workers == 0:
        for job in jobs:
            job.reply = answer(job.request)
            yield job
        return
    waiting: queue.SimpleQueue[WorkerJob] = queue.SimpleQueue()
    done: queue.SimpleQueue[WorkerJob | Exception] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    stop = threading.Event()
    threads = [WorkerThread(waiting, done, stop) for _ in range(min(workers, len(jobs)))]
    try:
        for _ in jobs:
            job_or_error = done.get()
            if isinstance(job_or_error, Exception):
                raise DatasetError(
                    "a worker process could not be started", "close other programs, or give --workers 1 or --workers 0"
                ) from job_or_error
            yield job_or_error
    finally:
        stop.set()
        for thread in threads:
            if worker := thread.worker:
                worker.process.kill()
        for thread in threads:
            thread.join(timeout=10)


def main() -> None:
    """Answer requests on standard input until it ends. Whatever else is printed goes to standard error."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    for line in sys.stdin.buffer:
        replies.write(json.dumps(answer(json.loads(line))).encode() + b"\n")
        replies.flush()


if __name__ == "__main__":
    main()
