"""Jobs, worked off one after another by a process of their own, which ends when it has been idle or its server is gone.

python -m footage.studio.worker LIBRARY MODELS DEVICES KINDS...

Where DEVICES is not empty, it takes the jobs of these devices alone: names with commas between them.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from footage import files
from footage.config import from_json
from footage.errors import FootageError, LibraryError, MediaError, counted
from footage.library.additions import ClipDetails, Parent
from footage.library.jobs import BackgroundJob
from footage.library.library import Library
from footage.library.storage import acting
from footage.models.requests import GenerateRequest
from footage.studio.catalog import Catalog
from footage.studio.clip_jobs import REPORTED, ClipJobs
from footage.studio.command_jobs import CommandJobs
from footage.studio.upload_check import Upload

if TYPE_CHECKING:
    from footage.generation.clip import Clip
    from footage.generation.model import Model

POLLED = 0.4
"""Seconds between two looks at the queue."""
IDLE = 300.0
"""Seconds without a job after which the process ends."""
LOOKING = 0.8
"""Part of a job that generates the best of many clips in which these are looked at."""
TOLD = 5.0
"""Seconds between two notes that the process of a job is there."""
PATIENCE = 10.0
"""Seconds beyond its processor time after which a clip of a zip file is given up."""
NUMBERED, NAMED = 1000, 10
"""Clips that were taken in of a zip file that its job numbers, and files that were refused that it names, at most."""


class Cancelled(Exception):
    """Raised in a job that somebody asked to give up."""


@dataclass
class TakenIn:
    """What has become of the files of a zip so far, as the process that takes them in says it."""

    added: list[int] = field(default_factory=list)
    known: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)
    """Names of files, and why they were not taken in."""
    name: str | None = None
    """The file that is looked at now."""
    ended: bool = False

    def hear(self, said: dict[str, Any]) -> None:
        """Remember what was said; raise what ends it all."""
        if "problem" in said:
            raise MediaError(said["problem"], said["remedy"])
        if "refused" in said:
            self.refused.append((str(self.name), said["refused"]))
        self.added += [said["added"]] if "added" in said else []
        self.known += "known" in said
        self.name = said.get("name")
        self.ended = "ended" in said

    def outcome(self) -> dict[str, Any]:
        """Return the result of the job."""
        told = [f"{self.known} were in the library already"] if self.known else []
        told += [counted(len(self.refused), "file was not taken in", "files were not taken in")] if self.refused else []
        told += [f'"{name}" was not taken in ({reason})' for name, reason in self.refused[:NAMED]]
        counts = {"added": len(self.added), "known": self.known, "refused": len(self.refused)}
        return {"clips": self.added[:NUMBERED], **counts, "told": told}


class Worker:
    """Runs the jobs of a library, one after another."""

    def __init__(self, library: Library, catalog: Catalog) -> None:
        self._library, self._catalog = library, catalog
        self._loaded: tuple[Path, str, Model] | None = None
        commands = CommandJobs(catalog, self._report, library.folder if library.key_source else None)
        clips = ClipJobs(library, self._model, self._report, self._file)
        self.kinds: dict[str, Callable[[BackgroundJob], dict[str, Any]]] = {
            "generate": self.generate,
            "between": self.between,
            "predict": clips.predict,
            "animate": clips.convert,
            "translate": clips.convert,
            "reconstruct": clips.convert,
            "upscale": clips.upscale,
            "talk": clips.talk,
            "trim": clips.cut,
            "join": clips.cut,
            "effects": clips.effects,
            "verify": self.verify,
            "import": self.take_in,
            "ingest": commands.ingest,
            "train": commands.train,
            "plan": commands.plan,
            "evaluate": commands.evaluate,
            "privacy": commands.privacy,
            "detect": lambda job: commands.detect(job, library),
            "erase": lambda job: commands.erase(job, library.folder),
            "embed": lambda job: commands.embed(job, library.folder),
            "film": lambda job: commands.film(job, library),
        }
        """What it can do, by the job's kind."""

    def run(self, kinds: Sequence[str], devices: Sequence[str] = (), idle: float = IDLE) -> None:
        """Run jobs of some kinds, and of some devices where any are named, until there was none for a while."""
        name, last = f"worker {os.getpid()}", time.monotonic()
        while time.monotonic() - last < idle:
            job = self._library.jobs.claim(name, kinds, devices)
            if job is None:
                time.sleep(POLLED)
                continue
            self.do(job)
            last = time.monotonic()

    def do(self, job: BackgroundJob) -> BackgroundJob:
        """Run a job, and record how it ended."""
        jobs = self._library.jobs
        try:
            files.keep_in_memory()
            with acting(job.actor), self._heard(job):
                result = self.kinds[job.kind](job)
            return jobs.finish(job.id, result)
        except Cancelled:
            return jobs.finish(job.id)
        except FootageError as error:
            return jobs.finish(job.id, error=str(error))
        except MemoryError:
            return jobs.finish(job.id, error="there is not enough memory: ask for fewer or shorter clips")
        except Exception as error:  # one job must not end the others
            return jobs.finish(job.id, error=f"an unforeseen fault: {type(error).__name__}: {error}")

    @contextlib.contextmanager
    def _heard(self, job: BackgroundJob) -> Iterator[None]:
        """Let a thread say all the while that this process is there: a job may be silent for longer than `LOST`."""
        ended = threading.Event()

        def tell() -> None:
            while not ended.wait(TOLD):
                with contextlib.suppress(FootageError):
                    self._library.jobs.hear(job.id)

        teller = threading.Thread(target=tell, name="heard", daemon=True)
        teller.start()
        try:
            yield
        finally:
            ended.set()
            teller.join()

    def generate(self, job: BackgroundJob) -> dict[str, Any]:
        model = self._model(job)
        # Jobs of an older version, which wait since then, call the timing motion.
        message = {"timing" if name == "motion" else name: value for name, value in job.request.items()}
        tags = tuple(message.pop("tags"))
        del message["model"]
        request = from_json(GenerateRequest, message, "job")
        if request.taste is not None:
            request = replace(request, taste=str(self._library.folder))
        from footage.generation.best import BestClips
        from footage.generation.novelty import NovelClips

        told: list[str] = []
        last = time.monotonic()

        def watch() -> None:
            """Hear, while training clips are looked at, whether the job is given up."""
            nonlocal last
            if time.monotonic() - last > REPORTED:
                last = time.monotonic()
                self._report(job, 0.0, "")

        clips = model.clips(request, told.append, watch)
        if isinstance(clips, NovelClips):
            clips.watch = lambda: self._report(job, clips.made / request.count, f"{clips.made} / {request.count}")
        begun = 0.0
        if isinstance(clips, BestClips):
            begun, total = LOOKING, request.candidates
            clips.watch = lambda: self._report(job, LOOKING * clips.looked / total, f"{clips.looked} / {total}")
            clips.look()
        result = self._file(job, model, clips, request.count, ClipDetails(tags=tags), begun)
        result |= {"told": told} if told else {}
        if isinstance(clips, NovelClips):
            result |= {"left_out": len(clips.left_out)}
        if isinstance(clips, BestClips):
            result |= {
                "looked_at": clips.looked,
                "damaged": len(clips.damaged),
                "left_out": len(clips.copies),
            }
        return result

    def between(self, job: BackgroundJob) -> dict[str, Any]:
        """Make clips on the way from one clip to another, and file them."""
        from footage.models.base import Encodes

        request, model = job.request, self._model(job)
        ends = [self._library.get(request[side]) for side in ("a", "b")]
        relations = zip(ends, ("begin", "end"), strict=True)
        known = ClipDetails(parents=tuple(Parent(entry.digest, entry.title, relation) for entry, relation in relations))
        if isinstance(model.sampler, Encodes):
            first, last = (self._library.path(entry.id) for entry in ends)
            steps = model.interpolate(first, last, max(2, request["steps"]))
            return self._file(job, model, iter(steps), len(steps), known)
        seeds = [entry.seed for entry in ends if entry.weights == model.info.weights_sha256]
        if len(seeds) != 2 or seeds[0] is None or seeds[1] is None:
            raise LibraryError(f"clips {request['a']} and {request['b']} have no seeds of this model", "choose another")
        clips = model.generate(1, seconds=request["seconds"], between=(seeds[0], seeds[1]))
        return self._file(job, model, clips, 1, known)

    def verify(self, job: BackgroundJob) -> dict[str, Any]:
        """Compare the library's tables with its files, and repair what can be."""
        self._report(job, 0.0, "")
        verification = vars(self._library.verify())
        return {name: len(value) if isinstance(value, tuple) else value for name, value in verification.items()}

    def take_in(self, job: BackgroundJob) -> dict[str, Any]:
        """Take in the clips of an uploaded zip file, each within time and memory of its own.

        A process opens the file and takes in one clip after another. Where it dies of one, another goes on behind it.
        """
        file = self._library.upload_path(job.request["file"])
        limits = {name: value for name, value in job.request.items() if name != "file"}
        upload = Upload(library=str(self._library.folder), file=str(file), actor=job.actor, **limits)
        taken = TakenIn()
        try:
            if not file.is_file():
                raise LibraryError("the uploaded file is gone", "upload it again")
            share, part = 0.0, ""
            while not taken.ended:
                begun = upload.first
                with contextlib.closing(spoken(upload)) as lines:
                    for said in lines:
                        if said:
                            taken.hear(said)
                        if "at" in said:
                            upload = replace(upload, first=said["at"] + 1, used=said["used"])
                            share, part = said["at"] / said["of"], f"{said['at']} / {said['of']}"
                        self._report(job, share, part)
                if not taken.ended and upload.first == begun:
                    raise MediaError("the file took too much time or memory to read", "divide it")
                if taken.name is not None:
                    taken.hear({"refused": "it took too much time or memory to decode"})
        finally:
            file.unlink(missing_ok=True)
        return taken.outcome()

    def _model(self, job: BackgroundJob) -> Model:
        """Return the model that a job names; the last one stays loaded."""
        from footage.generation.model import Model

        path = self._catalog.model(job.request["model"])
        if path is None:
            raise LibraryError(f'there is no model "{job.request["model"]}"', "see the list of models")
        stamp = str((path / "model.json").stat().st_mtime_ns)
        if self._loaded is None or self._loaded[:2] != (path, stamp):
            self._report(job, 0.0, "")
            self._loaded = None
            self._loaded = path, stamp, Model(path, "auto")
        return self._loaded[2]

    def _report(self, job: BackgroundJob, share: float, message: str, made: dict[str, Any] | None = None) -> None:
        if not self._library.jobs.report(job.id, share, message, made):
            raise Cancelled

    def _file(
        self,
        job: BackgroundJob,
        model: Model,
        clips: Iterator[Clip],
        count: int,
        known: ClipDetails,
        begun: float = 0.0,
        title: str = "",
    ) -> dict[str, Any]:
        """Write clips, file them, and report meanwhile how far it is, and which are there; return their numbers.

        `begun` is the part of the job that had been done before, `title` that of the clip that they are made of.
        """
        self._library.register(model.library_card)
        numbers: list[int] = []
        with tempfile.TemporaryDirectory(prefix="footage-") as folder:
            for number, clip in enumerate(clips):
                made = {"clips": numbers, "of": count}
                self._report(job, begun + (1 - begun) * number / count, f"{number} / {count}", made)

                def chunks(clip: Clip = clip, number: int = number) -> Iterator[Any]:
                    """Yield the clip's chunks; raise `Cancelled` when the job is given up."""
                    frames, last = 0, time.monotonic()
                    for chunk in clip.make():
                        yield chunk
                        frames += len(chunk)
                        if time.monotonic() - last > REPORTED:
                            last = time.monotonic()
                            share = (number + frames / (clip.frames or frames)) / count
                            self._report(job, begun + (1 - begun) * share, f"{number} / {count}")

                ending = "mp4" if clip.volume is None else "nii.gz"
                path = replace(clip, make=chunks).save(Path(folder) / f"{job.id}-{number}.{ending}")
                seed = clip.metadata.get("seed", "")
                name = f"{model.info.name} {seed} {clip.metadata.get('label', '')}".strip()
                if title:
                    name = f"{title} · {model.info.name}{f' #{seed}' if count > 1 else ''}"
                about = replace(known, title=name, source=known.source or model.info.name)
                numbers.append(self._library.add(path, about).id)
                path.unlink()
        return {"clips": numbers}


def spoken(upload: Upload) -> Generator[dict[str, Any], None, None]:
    """Yield what the process of an upload says, and nothing when it is silent for a second; for too long, end it."""
    process = subprocess.Popen(upload.command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        for line in process.stdout or ():
            lines.put(line)
        lines.put("")

    threading.Thread(target=listen, name="upload", daemon=True).start()
    heard = time.monotonic()
    try:
        while time.monotonic() - heard < upload.seconds + PATIENCE:
            try:
                line = lines.get(timeout=1.0)
            except queue.Empty:
                yield {}
                continue
            if not line:
                return
            heard = time.monotonic()
            yield json.loads(line)
    finally:
        process.kill()
        process.wait()


def end_with_parent(library: Library) -> None:
    """End this process when the one that started it is gone: the pipe from there is closed then.

    What it was doing goes back into the queue, for the next one.
    """

    def wait() -> None:
        while os.read(0, 1024):  # sys.stdin would have a lock, which the end of the process would wait for
            pass
        with contextlib.suppress(FootageError):
            library.jobs.revive(0.0, [f"worker {os.getpid()}"])
        os._exit(0)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def main(arguments: list[str]) -> None:
    library, models, devices, *kinds = arguments
    with Library(library, create=False) as opened:
        end_with_parent(opened)
        Worker(opened, Catalog(Path(models))).run(kinds, [name for name in devices.split(",") if name])


if __name__ == "__main__":
    main(sys.argv[1:])
