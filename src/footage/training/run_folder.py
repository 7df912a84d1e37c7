"""The run folder: its files, who may write to it, and how a run is taken up again.

config.json     the resolved configuration and the data that it is trained on
metrics.jsonl   a row of figures every few hundred clips; the same as TensorBoard events in tensorboard/
samples/        sheets and previews of fixed seeds through the training;  curves.png
model/          what a user shares
best/           the best model by a figure, where one was asked for
snapshots/      models on the way, where asked for; 000016000 is the model after 16,000 clips
state/          what resuming needs; status.json, how far the run is, written every other second while it is trained;
                stop, which somebody puts there who wants it to end; secret, that of a private training's draws
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from footage import files
from footage.config import Config, differences, from_json, to_json
from footage.errors import ConfigError, LockError, ModelError, TrainingError
from footage.files.locked import HEADER
from footage.models.card import ModelInfo, read_info

FIXED = (
    *("method", "clip.", "net.", "task.past", "task.source", "critics.", "gan.optimizer", "text.", "privacy."),
    "train.seed",
)
"""Knobs that cannot change within a run: its networks, their states or its random draws depend on them."""
FREE = (".weight", ".lr", ".steps")
"""Knobs of a critic that can."""
PRIVATE = ("train.save_", "train.sample_", "train.snapshot_", "train.threads")
"""The only knobs that can change within a private run: with others, steps that are made again would have other
gradients in the same noise, and whoever has seen both could take it away."""


class RunFolder:
    """Paths of a run, as this module's docstring lists them."""

    def __init__(self, path: Path) -> None:
        self.path, self.config, self.metrics = path, path / "config.json", path / "metrics.jsonl"
        self.samples, self.state = path / "samples", path / "state" / "last.pt"
        self.status, self.stop = path / "state" / "status.json", path / "state" / "stop"
        self.secret = path / "state" / "secret"
        self.model, self.best, self.snapshots = path / "model", path / "best", path / "snapshots"

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder against a second training; the lock ends with the process, however it ends."""
        self.path.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
        try:
            if not files.lock(handle, wait=False):
                raise TrainingError(
                    f'"{self.path}" is being trained by another process', "wait for it, or give another --out"
                )
            yield
        finally:
            os.close(handle)

    def ask_to_stop(self) -> None:
        """Ask the training of this run, in whatever process, to save and end after its next step."""
        files.write_text(self.stop, "")


STATUS_SECONDS = 2.0
"""Seconds between two writes of a run's status, and between two looks at whether it is asked to stop."""
STATUS_VERSION = 1
"""Version of the status. A higher number than ours is not read."""
SILENT_SECONDS = 300.0
"""Seconds after which a training on another machine, of which nothing was heard, is taken for dead."""

RunState = Literal["running", "done", "interrupted", "diverged", "failed"]


@dataclass(frozen=True)
class RunStatus:
    """How far a training is, as it says itself in `state/status.json`."""

    state: RunState
    clips: int
    """Clips that it has seen."""
    seconds: float
    """Time of training, over the whole life of the run."""
    part: float
    """Part of its budget that is spent, 0 to 1."""
    clips_per_second: float
    memory_gib: float
    target_clips: int | None
    target_minutes: float | None
    device: str
    host: str
    pid: int
    began: float
    """When its process began, in seconds since 1970: numbers of processes come again."""
    written: float
    """When this was written, in seconds since 1970."""
    problem: str = ""
    """Why it failed."""
    version: int = STATUS_VERSION

    @property
    def seconds_left(self) -> float | None:
        """Seconds until its budget is spent, at the present rate; None where that is not known."""
        if not self.part or not self.seconds:
            return None
        by_clips = self.target_clips is not None and self.target_minutes is None
        if by_clips and self.clips_per_second:
            return max(0.0, (self.target_clips or 0) - self.clips) / self.clips_per_second
        return max(0.0, self.seconds / self.part - self.seconds)

    @property
    def running(self) -> bool:
        """Whether its process is there; of one on another machine, whether it was heard of lately."""
        if self.state != "running":
            return False
        if self.host != socket.gethostname():
            return time.time() - self.written < SILENT_SECONDS
        try:
            began = psutil.Process(self.pid).create_time()
        except psutil.Error:
            return False
        # Where the clock was set since, a process seems to have begun at another time; but it goes on writing.
        return abs(began - self.began) < 1.0 or abs(time.time() - self.written) < 5 * STATUS_SECONDS


def read_status(folder: RunFolder) -> RunStatus | None:
    """Read how far a run is; None where it does not say, or says it in a way that cannot be read, or a newer one.

    Of a training whose process is gone, or was killed, the state is `interrupted`.
    """
    try:
        value = json.loads(files.read_bytes(folder.status))
        files.refuse_newer(value.get("version"), STATUS_VERSION, "status", ConfigError)
        status = from_json(RunStatus, value, "status")
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, ConfigError, LockError):
        return None
    if status.state == "running" and not status.running:
        return dataclasses.replace(status, state="interrupted")
    return status


class StatusWriter:
    """Writes how far a training is, and looks whether somebody wants it to stop: every other second.

    Raises nothing where the disk is full: a status is no reason to end a training.
    """

    def __init__(self, folder: RunFolder, device: str, target_clips: int | None, target_minutes: float | None) -> None:
        self._folder, self._next, self._stop = folder, 0.0, False
        process = psutil.Process()
        self._last = RunStatus(
            state="running",
            clips=0,
            seconds=0.0,
            part=0.0,
            clips_per_second=0.0,
            memory_gib=0.0,
            target_clips=target_clips,
            target_minutes=target_minutes,
            device=device,
            host=socket.gethostname(),
            pid=process.pid,
            began=process.create_time(),
            written=time.time(),
        )
        folder.stop.unlink(missing_ok=True)  # meant for the one before

    @property
    def due(self) -> bool:
        """Whether the last word is old enough for another."""
        return time.monotonic() >= self._next

    def tell(self, **values: Any) -> None:
        """Write new values."""
        self._next = time.monotonic() + STATUS_SECONDS
        self._last = dataclasses.replace(self._last, written=time.time(), **values)
        self._stop = self._folder.stop.exists()
        with contextlib.suppress(OSError), files.writing(self._folder.status, durable=False) as handle:
            handle.write(json.dumps(asdict(self._last)).encode())

    @property
    def asked_to_stop(self) -> bool:
        return self._stop


@dataclass(frozen=True)
class DataNote:
    """Which data a run was trained on."""

    data: str
    """Absolute path of the dataset folder, or the name of a built-in data set."""
    name: str
    content_hash: str
    labels: tuple[str, ...]
    """Classes that the model is conditioned on."""
    guide: str | None = None
    """Absolute path of the dataset folder that clips are made from, for a translator of pairs."""


def write_config(folder: RunFolder, config: Config, note: DataNote) -> None:
    files.write_json(folder.config, {"config": to_json(config), "data": {**vars(note), "labels": list(note.labels)}})


def read_config(folder: RunFolder) -> tuple[Config, DataNote] | None:
    """Read `config.json`; None where the run has not begun.

    Raises:
        TrainingError: it is damaged or of another version.
    """
    try:
        value: Any = json.loads(files.read_bytes(folder.config))
        data = value["data"]
        return from_json(Config, value["config"]), DataNote(**{**data, "labels": tuple(data["labels"])})
    except FileNotFoundError:
        return None
    except (ConfigError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise TrainingError(f"{folder.config} cannot be read ({error})", "give another --out") from None


def with_found_batch(folder: RunFolder, config: Config) -> Config:
    """Return the configuration with the batch size that was found when the run began, unless another is given."""
    stored = read_config(folder)
    if stored is None or config.train.batch_size is not None:
        return config
    return dataclasses.replace(config, train=dataclasses.replace(config.train, batch_size=stored[0].train.batch_size))


def begun_labels(folder: RunFolder) -> tuple[str, ...]:
    """Return the labels that a run has begun with; none where there is no run."""
    stored = read_config(folder)
    return () if stored is None else stored[1].labels


def with_found_penalties(folder: RunFolder, config: Config) -> Config:
    """Return the configuration with the weights of R1 and R2 of the run, which a probe may have found."""
    stored = read_config(folder)
    if stored is None:
        return config
    return dataclasses.replace(config, gan=dataclasses.replace(config.gan, r1=stored[0].gan.r1, r2=stored[0].gan.r2))


def with_found_noise(folder: RunFolder, config: Config) -> Config:
    """Return the configuration with the noise that was found when a private run began, unless another is given."""
    stored = read_config(folder)
    if stored is None or config.privacy.noise or not config.privacy.used:
        return config
    return dataclasses.replace(config, privacy=dataclasses.replace(config.privacy, noise=stored[0].privacy.noise))


def resume(folder: RunFolder, config: Config, note: DataNote) -> list[str]:
    """Check a configuration against the run that stands in the folder; return a line for each thing that has changed.

    Raises:
        TrainingError: something has changed that a run cannot take.
    """
    stored = read_config(folder)
    if stored is None or not folder.state.exists():
        if (
            folder.path.is_dir()
            and stored is None
            and any(p.name not in (".lock", HEADER) for p in folder.path.iterdir())
        ):
            raise TrainingError(f'"{folder.path}" is not empty and is no run', "give another --out")
        return []
    old, old_note = stored
    if old_note.content_hash != note.content_hash and old_note.data != note.data:
        raise TrainingError(
            f'"{folder.path}" was begun on {old_note.data}, now the data are {note.data}', "give another --out"
        )
    if old_note.content_hash != note.content_hash and old_note.guide != note.guide:
        raise TrainingError(
            f'"{folder.path}" was begun with guide {old_note.guide}, now it is {note.guide}', "give another --out"
        )
    if old_note.labels != note.labels:
        raise TrainingError(
            f'"{folder.path}" was begun with labels {list(old_note.labels)}, now they are {list(note.labels)}',
            "give another --out",
        )
    changed = differences(old, config)
    for knob, (before, now) in changed.items():
        fixed = knob.startswith(FIXED) and not (knob.startswith("critics.") and knob.endswith(FREE))
        if fixed or (config.privacy.used and not knob.startswith(PRIVATE)):
            raise TrainingError(
                f'"{folder.path}" was begun with {knob} {before}, now it is {now}', "give another --out"
            )
    if config.privacy.used and old_note.content_hash != note.content_hash:
        raise TrainingError(
            f'"{folder.path}" was begun privately on {old_note.name}, which has other content now: what was spent on '
            "which clips would no longer be known",
            "give another --out",
        )
    lines = [f"{knob}: {before} before, {now} from here on" for knob, (before, now) in changed.items()]
    if old_note.content_hash != note.content_hash:
        lines.append(f"data: {old_note.name} has other content than before")
    return lines


def snapshot_folder(folder: RunFolder, clips_seen: int) -> Path:
    return folder.snapshots / f"{clips_seen:09d}"


def snapshots(folder: RunFolder) -> list[tuple[Path, ModelInfo]]:
    """Return every model of a run, each once, in the order of the clips seen.

    They are those in snapshots/, the best one and the last one. What a killed process left half written has no
    model.json and is passed over.
    """
    models: dict[str, tuple[Path, ModelInfo]] = {}
    for path in [*sorted(folder.snapshots.glob("*")), folder.best, folder.model]:
        try:
            info = read_info(path)
        except ModelError:
            continue
        models.setdefault(info.weights_sha256, (path, info))
    return sorted(models.values(), key=lambda item: item[1].clips_seen)


def drop_beyond(folder: RunFolder, clips_seen: int) -> None:
    """Remove the models of a part of the run that is trained again."""
    for path in folder.snapshots.glob("*"):
        if path.name.isdigit() and int(path.name) > clips_seen:
            shutil.rmtree(path, ignore_errors=True)


def is_figure(value: object) -> bool:
    """Whether a value is a number that can be drawn."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300  # NaN is not


def read_rows(path: Path) -> tuple[list[dict[str, float]], str]:
    """Read metrics.jsonl; return its rows without what is no finite number, and what is wrong with it, or "".

    No damage is `null`, which stands for a figure that was none, and a last line without an end, which is being
    written or was when the machine stopped.

    Raises:
        OSError: it cannot be read.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")  # splitlines() also splits at U+2028
    rows, damage = list[dict[str, float]](), ""
    for number, line in enumerate(lines, 1):
        try:
            value = json.loads(line) if line.strip() else {}
            given = {name: figure for name, figure in value.items() if figure is not None}
        except (ValueError, RecursionError, AttributeError):
            if number < len(lines):
                damage = damage or f"line {number} of its figures cannot be read"
            continue
        row = {name: figure for name, figure in given.items() if is_figure(figure)}
        if len(row) < len(given):
            damage = damage or f"line {number} of its figures holds what is no finite number"
        clips = row.get("clips", -1)
        if value and not (0 <= clips < 2**53 and clips % 1 == 0):
            damage = damage or f"line {number} of its figures does not say after how many clips it was written"
        elif value:
            rows.append(row)
    return rows, damage
