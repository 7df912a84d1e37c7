"""Jobs, worked off one after another by a process of their own, which ends when it has been idle or its server is gone.

python -m footage.web.worker LIBRARY MODELS
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from footage.errors import FootageError, LibraryError
from footage.library.additions import ClipDetails, Parent
from footage.library.jobs import BackgroundJob
from footage.library.library import Library
from footage.web.shelf import Shelf

if TYPE_CHECKING:
    from footage.generation.clip import Clip
    from footage.generation.model import Model

LOOKED = 0.4
"""Seconds between two looks at the queue."""
IDLE = 300.0
"""Seconds without a job after which the process ends."""
SAID = 0.25
"""Seconds between two words on a job's progress."""


class Cancelled(Exception):
    """Somebody asked that the job be given up."""


class Workshop:
    """Keeps a worker going while there are jobs.

    Args:
        library: whose jobs.
        models: folder of the models.
    """

    def __init__(self, library: Library, models: Path) -> None:
        self._library, self._models = library, models
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._closed = False

    def wake(self) -> None:
        """Start a worker where none is going."""
        with self._lock:
            if self._closed or (self._process is not None and self._process.poll() is None):
                return
            words = [sys.executable, "-m", "footage.web.worker", str(self._library.folder), str(self._models)]
            self._process = subprocess.Popen(words, stdin=subprocess.PIPE)

    def tend(self) -> None:
        """Put back what dead workers had begun, and wake one where something waits."""
        self._library.jobs.revive()
        if self._library.jobs.all("queued", 1):
            self.wake()

    def close(self) -> None:
        """End the worker; what it was doing is begun again by the next one."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.kill()
                self._process.wait()
                if self._process.stdin is not None:
                    self._process.stdin.close()


class Worker:
    """Does jobs.

    Args:
        library: where they are queued and where clips are filed.
        shelf: where models are found.
    """

    def __init__(self, library: Library, shelf: Shelf) -> None:
        self._library, self._shelf = library, shelf
        self._loaded: tuple[Path, str, Model] | None = None
        self.kinds: dict[str, Callable[[BackgroundJob], dict[str, Any]]] = {
            "generate": self.generate,
            "between": self.between,
            "verify": self.verify,
        }
        """What it can do, by the job's kind."""

    def run(self, idle: float = IDLE) -> None:
        """Do jobs until there was none for a while."""
        name, last = f"worker {os.getpid()}", time.monotonic()
        while time.monotonic() - last < idle:
            job = self._library.jobs.claim(name, list(self.kinds))
            if job is None:
                time.sleep(LOOKED)
                continue
            self.do(job)
            last = time.monotonic()

    def do(self, job: BackgroundJob) -> BackgroundJob:
        """Do a job, and say how it ended."""
        jobs = self._library.jobs
        try:
            return jobs.finish(job.id, self.kinds[job.kind](job))
        except Cancelled:
            return jobs.finish(job.id)
        except FootageError as error:
            return jobs.finish(job.id, error=str(error))
        except MemoryError:
            return jobs.finish(job.id, error="there is not enough memory: ask for fewer or shorter clips")
        except Exception as error:  # one job must not end the others
            return jobs.finish(job.id, error=f"{type(error).__name__}: {error}")

    def generate(self, job: BackgroundJob) -> dict[str, Any]:
        """Generate clips and file them."""
        asked, model = job.request, self._model(job)
        clips = model.generate(
            asked["count"],
            seconds=asked["seconds"],
            label=asked["label"],
            to_label=asked["to_label"],
            seed=asked["seed"],
            to_seed=asked["to_seed"],
            sliders=asked.get("sliders"),
            timing=_timing(asked["motion"]),
        )
        return self._file(job, model, clips, asked["count"], ClipDetails(tags=tuple(asked["tags"])))

    def between(self, job: BackgroundJob) -> dict[str, Any]:
        """Make clips on the way from one clip to another, and file them."""
        from footage.models.base import Encodes

        asked, model = job.request, self._model(job)
        ends = [self._library.get(asked[side]) for side in ("a", "b")]
        named = zip(ends, ("begin", "end"), strict=True)
        parents = tuple(Parent(entry.digest, entry.title, relation) for entry, relation in named)
        known = ClipDetails(parents=parents)
        if isinstance(model.sampler, Encodes):
            paths = [self._library.path(entry.id) for entry in ends]
            made = model.interpolate(paths[0], paths[1], max(2, asked["steps"]))
            return self._file(job, model, iter(made), len(made), known)
        seeds = [entry.seed for entry in ends if entry.weights == model.info.weights_sha256]
        if len(seeds) != 2 or seeds[0] is None or seeds[1] is None:
            raise LibraryError(f"clips {asked['a']} and {asked['b']} have no seeds of this model", "choose another")
        clips = model.generate(1, seconds=asked["seconds"], between=(seeds[0], seeds[1]))
        return self._file(job, model, clips, 1, known)

    def verify(self, job: BackgroundJob) -> dict[str, Any]:
        """Compare the library's tables with its files, and repair what can be."""
        self._say(job, 0.0, "")
        found = self._library.verify()
        return {name: len(value) if isinstance(value, tuple) else value for name, value in vars(found).items()}

    def _model(self, job: BackgroundJob) -> Model:
        """Return the model that a job names; the last one stays loaded."""
        from footage.config import TrainConfig
        from footage.generation.model import Model
        from footage.training.cost import find_place

        path = self._shelf.model(job.request["model"])
        if path is None:
            raise LibraryError(f'there is no model "{job.request["model"]}"', "see the list of models")
        stamp = str((path / "model.json").stat().st_mtime_ns)
        if self._loaded is None or self._loaded[:2] != (path, stamp):
            self._say(job, 0.0, "")
            self._loaded = None
            self._loaded = path, stamp, Model(path, find_place(TrainConfig()).device)
        return self._loaded[2]

    def _say(self, job: BackgroundJob, share: float, message: str) -> None:
        if not self._library.jobs.report(job.id, share, message):
            raise Cancelled

    def _file(
        self, job: BackgroundJob, model: Model, clips: Iterator[Clip], count: int, known: ClipDetails
    ) -> dict[str, Any]:
        """Write clips, file them, and say meanwhile how far it is."""
        from dataclasses import replace

        self._library.register(card(model))
        made: list[int] = []
        with tempfile.TemporaryDirectory(prefix="footage-") as folder:
            for number, clip in enumerate(clips):
                self._say(job, number / count, f"{number} / {count}")
                watched = replace(clip, make=self._watched(job, clip, number, count))
                path = watched.save(Path(folder) / f"{model.info.name}-{job.id}-{number}.mp4")
                title = f"{model.info.name} {clip.metadata.get('seed', '')} {clip.metadata.get('label', '')}".strip()
                made.append(self._library.add(path, replace(known, title=title, source=model.info.name)).id)
                path.unlink()
        return {"clips": made}

    def _watched(self, job: BackgroundJob, clip: Clip, number: int, count: int) -> Callable[[], Iterator[Any]]:
        """Return a clip's chunks that say how far they are, and end when the job is given up."""

        def chunks() -> Iterator[Any]:
            done, last = 0, time.monotonic()
            for chunk in clip.make():
                yield chunk
                done += len(chunk)
                if time.monotonic() - last > SAID:
                    last = time.monotonic()
                    self._say(job, (number + done / (clip.frames or done)) / count, f"{number} / {count}")

        return chunks


def card(model: Model) -> Any:
    """Return what the library is to remember of a model."""
    from footage.library.provenance import ModelCard

    info = model.info
    return ModelCard(
        digest=info.weights_sha256,
        name=info.name,
        folder=str(model.folder.resolve()),
        preset=info.config.preset,
        dataset=info.dataset,
        dataset_digest=info.dataset_hash,
        clips_seen=info.clips_seen,
    )


def _timing(motion: dict[str, Any]) -> Any:
    from footage.models.requests import Timing

    return Timing(**motion)


def follow() -> None:
    """End this process when the one that started it is gone: the pipe from there is closed then."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=wait, name="follow", daemon=True).start()


def main(arguments: list[str]) -> None:
    """Work off a library's jobs."""
    library, models = arguments
    follow()
    with Library(library, create=False) as opened:
        Worker(opened, Shelf(Path(models))).run()


if __name__ == "__main__":
    main(sys.argv[1:])
