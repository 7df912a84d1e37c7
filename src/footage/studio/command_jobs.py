"""Jobs that are commands of footage: ingest, train, evaluate, each in a process of its own that is followed.

Such a process has a low priority, so that pages are served while it computes. It ends, saving what it has, when the job
is given up or the studio is gone; the job is taken up again where it was when a studio is there again.
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
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from footage import files
from footage.config.presets import knob_words
from footage.data.clips import BUILT_IN
from footage.data.ingest.erasure import find_named
from footage.errors import FootageError
from footage.files import locked
from footage.library.additions import ClipDetails, Parent
from footage.library.jobs import BackgroundJob
from footage.library.library import Library
from footage.machines.local import lower_priority
from footage.studio.catalog import Catalog
from footage.studio.clip_jobs import RELATIONS
from footage.training.run_folder import RunFolder, read_status
from footage.trust import locks

NICENESS = 10
"""By how much the priority of what computes for long is lowered (`nice`)."""
LISTENED = 0.5
"""Seconds between two looks at whether a job goes on."""
ENDING = 120.0
"""Seconds that a command has to save and end."""
REMEMBERED = 40
"""Lines of its output that are kept."""
STOPPED = 130
"""Status of a command that was stopped and has kept what it had."""
DATA, RUNS, REPORTS, FILMS = "data", "runs", "reports", "films"
"""Folders, below that of the models, of what is made by jobs."""
DETECTORS = "detectors"
"""Folder, below that of the models, of files of `footage detector`, that a clip is judged by."""
FOUND = (0, 3, 4)
"""Statuses of `footage detect`: made, looks made, nothing found."""

Report = Callable[[float, str], None]
"""Takes the part that is done, 0 to 1, and a word on it; raises what ends the job where it was given up."""


class CommandFailed(FootageError):
    """A command ended with an error: its own words."""


class FollowedCommand:
    """A command of footage in a process of its own. It says how it goes as lines of JSON; see `commands/terminal.py`.

    Args:
        words: verb and arguments.
        device: `cpu`, or `cuda:1`: the only GPU that it is to see; `auto` for all that there is.
    """

    def __init__(self, words: Sequence[str], device: str = "auto") -> None:
        environment = {**os.environ, "FOOTAGE_PROGRESS": "json", "FOOTAGE_FOLLOWED": "1", "PYTHONIOENCODING": "utf-8"}
        kind, _, number = device.partition(":")
        if kind == "cuda" and number:
            environment["CUDA_VISIBLE_DEVICES"] = number
        self.process = subprocess.Popen(
            [sys.executable, "-m", "footage", *words],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        lower_priority(self.process.pid, NICENESS)
        self.lines: deque[str] = deque(maxlen=REMEMBERED)
        """The last lines that it printed for people."""
        self.said: dict[str, Any] = {}
        """All that it said as JSON, the last of each kind."""
        self._news: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        printed = map(str.rstrip, self.process.stdout or ())

        def hear() -> None:
            for line in self.process.stderr or ():
                try:
                    said = json.loads(line)
                except ValueError:
                    self.lines.append(line.rstrip())
                    continue
                if isinstance(said, dict):
                    self.said |= said
                    self._news.put(said)

        self._listeners = [
            threading.Thread(target=hear, name="command", daemon=True),
            threading.Thread(target=self.lines.extend, args=(printed,), name="command", daemon=True),
        ]
        for listener in self._listeners:
            listener.start()

    def follow(self, watch: Callable[[dict[str, Any]], None]) -> int:
        """Wait for its end, and call `watch` with what it says, or with nothing every half second; return its status.

        Where `watch` raises, the command is stopped first.
        """
        try:
            while self.process.poll() is None:
                try:
                    watch(self._news.get(timeout=LISTENED))
                except queue.Empty:
                    watch({})
        finally:
            self.stop()
        return self.process.returncode

    def stop(self) -> None:
        """Ask it to save and end, as by Ctrl-C; after `ENDING` seconds end it."""
        with contextlib.suppress(OSError):
            if self.process.stdin is not None:
                self.process.stdin.close()
        try:
            self.process.wait(ENDING)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for listener in self._listeners:
            listener.join(5.0)

    def answer(self) -> dict[str, Any]:
        """Return what it printed as a line of JSON."""
        return dict(json.loads(next(line for line in reversed(self.lines) if line.startswith("{"))))

    def refuse_failure(self) -> None:
        """Raise what it failed with, in its own words; nothing where it ended well, or was stopped.

        Raises:
            CommandFailed
        """
        if self.process.returncode in (0, STOPPED):
            return
        words = str(self.said.get("error") or (self.lines[-1] if self.lines else ""))
        problem, _, remedy = words.partition(": ")
        raise CommandFailed(problem or f"the process ended with status {self.process.returncode}", remedy)


class CommandJobs:
    """Runs jobs that are commands.

    Args:
        catalog: the folder in which all is made, and where data, models and runs are found by their names.
        report: says how far a job is; raises what ends it where it was given up.
        locked_by: the folder of the library, where that is locked: data sets are locked by the same key, and other
            things lie in memory.
    """

    def __init__(
        self, catalog: Catalog, report: Callable[[BackgroundJob, float, str], None], locked_by: Path | None = None
    ) -> None:
        self._catalog, self._report, self._folder = catalog, report, catalog.folder.resolve()
        self._locked_by = locked_by

    def ingest(self, job: BackgroundJob) -> dict[str, Any]:
        """Make a data set, or bring it up to date; return its name and that of its audit."""
        request = job.request
        name = request["to"]
        words = ["ingest", *request["sources"], "--to", str(self._folder / name), *knob_words(request["options"])]
        words += [] if request.get("advise", True) else ["--no-advise"]
        to = self._folder / name
        # Not by --lock, which takes the key from a file that the environment names, and makes one there.
        if self._locked_by is not None and locked.folder_of(to) is None:
            locks.check_empty(to)
            locks.lock_like(to, [self._locked_by])
        until = time.monotonic() + ENDING
        while True:
            try:
                self._run(job, words)
                break
            except CommandFailed as error:  # the last studio's may still be saving
                if not error.problem.startswith("another ingest is writing") or time.monotonic() > until:
                    raise
        report = f"{name}/audit.html"
        return {"dataset": name} | ({"report": report} if (self._folder / report).is_file() else {})

    def embed(self, job: BackgroundJob, library: Path) -> dict[str, Any]:
        """Let a network look at the clips that none has looked at; what it has seen stays when the job is given up."""
        self._run(job, ["library", "embed", str(library.resolve())])
        return {}

    def film(self, job: BackgroundJob, library: Library) -> dict[str, Any]:
        """Make the film of a timeline and file it; what was made of it before a job was given up is gone on with."""
        request = job.request
        place = (Path(tempfile.gettempdir()) if self._locked_by else self._folder) / request["to"]
        files.make_folder(place.parent)
        told, film = (place.with_name(f"{place.name}.{suffix}") for suffix in ("json", "mp4"))
        files.write_json(told, request["timeline"])
        self._run(job, ["film", str(told), "--library", str(library.folder.resolve()), "--to", str(film)])
        entries = library.entries(request["clips"])
        parents = tuple(Parent(entry.digest, entry.title, RELATIONS["join"]) for entry in entries)
        made = library.add(film, ClipDetails(title=request["title"], source=request["title"], parents=parents))
        film.unlink()
        told.unlink()
        return {"clips": [made.id]}

    def evaluate(self, job: BackgroundJob) -> dict[str, Any]:
        """Measure one or two models beside a data set; return the name of the report."""
        request, name = job.request, job.request["report"]
        self._catalog.check_plain([*request["made"], request["real"]])
        page = self._folder / REPORTS / name / "report.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        made, *others = map(self._given, request["made"])
        words = ["evaluate", made, self._given(request["real"]), "--report", str(page)]
        words += ["--compare", *others] if others else []
        self._run(job, [*words, *knob_words(request["options"])])
        return {"report": f"{REPORTS}/{name}/report.html", "models": request["made"]}

    def privacy(self, job: BackgroundJob) -> dict[str, Any]:
        """Find out what a model tells of its training clips; return the name of the report."""
        request = job.request
        self._catalog.check_plain([request["model"], request["data"]])
        report = f"{REPORTS}/{request['report']}/privacy.html"
        (self._folder / report).parent.mkdir(parents=True, exist_ok=True)
        words = ["privacy", self._given(request["model"]), self._given(request["data"])]
        self._run(job, [*words, "--clips", str(request["clips"]), "--to", str(self._folder / report)])
        return {"report": report}

    def detect(self, job: BackgroundJob, library: Library) -> dict[str, Any]:
        """Look whether a clip was made, as `footage detect` does, with the detectors that are here."""
        clip = library.path(job.request["clips"][0]).resolve()
        words = ["detect", str(clip), "--library", str(library.folder.resolve()), "--json"]
        detectors = sorted(map(str, (self._folder / DETECTORS).glob("*.safetensors")))
        words += ["--detector", *detectors] if detectors else []
        (finding,) = self._run(job, words, answers=FOUND).answer()["findings"].values()
        return dict(finding)

    def erase(self, job: BackgroundJob, library: Path) -> dict[str, Any]:
        """Erase a source from a data set and the library; return how many clips went, and which models have seen it."""
        place = Path(self._given(job.request["dataset"]))
        words = ["erase", find_named(place, job.request["source"]), "--from", str(place), str(library.resolve())]
        told = self._run(job, [*words, "--models", str(self._folder), "--yes", "--json"]).answer()
        return {"erased": told["clips"], "models": told["models"]}

    def plan(self, job: BackgroundJob) -> dict[str, Any]:
        """Measure what a training would take, without beginning it: rate, memory, batch size, preset."""
        command = self._run(job, [*self._training(job.request), "--dry-run"], job.request["device"])
        return {
            "plan": command.said.get("plan", {}),
            "told": [line for line in command.lines if line.startswith("chosen")],
        }

    def train(self, job: BackgroundJob) -> dict[str, Any]:
        """Train, or go on with a run; return how it ended. A run that somebody stopped by itself ends the job too."""
        run = RunFolder(self._folder / job.request["run"])
        device = job.request["device"]

        def watch(said: Mapping[str, Any]) -> None:
            status = read_status(run)
            if status is not None and status.running:
                self._report(job, status.part, f"{status.clips:,}")
            else:
                self._report(job, 0.0, "")

        while (status := read_status(run)) is not None and status.running:  # the last studio's may still be saving
            self._report(job, status.part, f"{status.clips:,}")
            time.sleep(LISTENED)
        self._run(job, self._training(job.request), device, watch)
        status = read_status(run)
        return {"run": job.request["run"], **({} if status is None else {"ended": status.state, "seen": status.clips})}

    def _training(self, request: Mapping[str, Any]) -> list[str]:
        """Return the words of a training."""
        words = ["train", self._given(request["data"])]
        flags = {name: request[name] for name in ("preset", "minutes", "clips") if request.get(name) is not None}
        flags["out"] = str(self._folder / request["run"])
        if request.get("begin_with"):
            flags["begin_with"] = self._given(request["begin_with"])
        if request.get("guide"):
            flags["guide"] = self._given(request["guide"])
        if request["device"] != "auto":
            flags["train.device"] = request["device"].partition(":")[0]
        knobs = {name: value for name, value in request["knobs"].items() if name != "train.device"}
        return [*words, *knob_words({**knobs, **flags})]  # no knob replaces what was checked

    def _given(self, name: str) -> str:
        """Return how a command is given what is called so here; a path was looked at when the job was asked for."""
        return name if name in BUILT_IN or Path(name).is_absolute() else str(self._catalog.place(name))

    def _run(
        self,
        job: BackgroundJob,
        words: Sequence[str],
        device: str = "auto",
        watch: Callable[[Mapping[str, Any]], None] | None = None,
        answers: Sequence[int] = (),
    ) -> FollowedCommand:
        """Run a command to its end and report how far it is; `answers` are statuses that are no errors."""
        part, text = 0.0, ""

        def report(said: Mapping[str, Any]) -> None:
            nonlocal part, text
            if "phase" in said:
                total = said.get("total") or 0
                part = said["done"] / total if total else 0.0
                text = f"{said['phase']}: {said['done']:,} / {total:,}" if total else str(said["phase"])
            self._report(job, part, text)

        command = FollowedCommand(words, device)
        command.follow(watch or report)
        if command.process.returncode not in answers:
            command.refuse_failure()
        return command
