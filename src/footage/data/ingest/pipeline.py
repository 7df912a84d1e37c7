"""From folders of videos to a dataset: scan, decode in parallel, leave out what is unfit, split, pack."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from footage import files
from footage.config import IngestConfig
from footage.data.ingest.assembly import Phase, Task, assemble
from footage.data.ingest.parts import Recipe
from footage.data.ingest.sources import Source, scan
from footage.data.ingest.workers import fps_job, run_jobs
from footage.data.store import Dataset, Rejection
from footage.errors import ConfigError, DatasetError, nearest

DEFAULT_FPS = 25.0
"""Rate of a dataset whose sources have none."""
FASTEST = 60.0
"""A rate that is found out, not given, is at most this."""
PROBES = 64
"""Files that a worker probes at once."""
DEFAULTS = IngestConfig()
"""The options when nothing is said."""
INNER = "ingest"
"""Folder, within the dataset, of what only the ingest itself reads."""


@dataclass(frozen=True)
class IngestProgress:
    """How far an ingest is."""

    phase: Phase
    """What is being done: finding the rates, decoding, comparing the clips, packing them."""
    done: int
    """Sources, files or clips that are done in this phase."""
    total: int
    """Sources, files or clips in this phase."""
    name: str
    """The source that was done last, or nothing."""
    seconds: float
    """Time since the beginning."""


@dataclass(frozen=True)
class IngestResult:
    """What came of an ingest."""

    dataset: Dataset
    """The dataset, opened."""
    sources: int
    """Sources found."""
    decoded: int
    """Sources decoded in this run."""
    reused: int
    """Sources that an earlier run had decoded."""
    gone: tuple[str, ...]
    """Sources of an earlier run that were not given again: their clips were taken out."""
    rejections: tuple[Rejection, ...]
    """What was left out, and why."""
    ignored: dict[str, int]
    """Files of other kinds, by ending."""
    seconds: float
    """Time that it took."""


def ingest(
    sources: Sequence[Path | str],
    to: Path | str,
    config: IngestConfig = DEFAULTS,
    on_progress: Callable[[IngestProgress], None] | None = None,
) -> IngestResult:
    """Make a dataset from files and folders, or bring one up to date. Run again, it decodes only what is new.

    Args:
        sources: videos, folders (searched recursively), folders of numbered pictures, MNIST's IDX files,
            the Moving MNIST `.npy` file.
        to: the dataset folder; new, empty, or of an earlier ingest.
        config: the options.
        on_progress: called now and then, in the caller's thread.

    Raises:
        ConfigError: an option has a value that is not allowed.
        DatasetError: nothing can be ingested, the disk is full, or the folder holds something else.
    """
    began = time.monotonic()
    folder = Path(to)
    given = [sources] if isinstance(sources, (str, Path)) else list(sources)
    _check(given, config.labels)
    _check_folder(folder)
    found = scan(given, config.labels, leave_out=folder)

    def report(phase: Phase, done: int, total: int, what: str) -> None:
        if on_progress is not None:
            on_progress(IngestProgress(phase, done, total, what, time.monotonic() - began))

    processes = _cores() if config.workers is None else config.workers
    with _disk_errors(folder), _alone(folder):
        rate = config.fps or _remembered_fps(folder) or _common_fps(found.sources, processes, report)
        recipe = _recipe(config, rate)
        if not (folder / INNER / "settings.json").exists():
            files.write_json(folder / INNER / "settings.json", {"fps": None})  # marks the folder as ours
        labels = config.labels if config.labels in ("folder", "none") else "table"
        settings = {**asdict(recipe), "labels": labels, "keep_duplicates": config.keep_duplicates}
        settings["ignored"] = dict(sorted(found.ignored.items()))
        task = Task(folder, folder / INNER, recipe, processes, config.keep_duplicates, settings, report)
        dataset, decoded, gone = assemble(task, found, config.name or folder.resolve().name)
        files.write_json(folder / INNER / "settings.json", {"fps": rate})
    return IngestResult(
        dataset=dataset,
        sources=len(found.sources),
        decoded=decoded,
        reused=len(found.sources) - decoded,
        gone=gone,
        rejections=tuple(dataset.rejections),
        ignored=dict(found.ignored),
        seconds=time.monotonic() - began,
    )


def _recipe(config: IngestConfig, fps: float) -> Recipe:
    """Return the options that pixels and spans depend on."""
    return Recipe(
        height=config.height,
        width=config.width,
        channels=config.channels,
        fps=fps,
        fit=config.fit,
        min_frames=config.min_frames,
        cuts=config.cuts,
        keep_static=config.keep_static,
        heldout=config.heldout,
        digits=config.digits,
        sequences=config.sequences,
        clip_frames=config.sequence_frames,
        seed=config.seed,
    )


def _check(given: Sequence[Path | str], labels: str) -> None:
    """Refuse what names nothing, naming the value and the remedy."""
    if not given:
        raise ConfigError("no source was given", "name a folder of videos")
    if labels not in ("folder", "none") and not Path(labels).is_file():
        remedy = f"{nearest(str(labels), ['folder', 'none'])}; or give the path of a CSV or JSON table"
        raise ConfigError(f'labels is "{labels}", which is no file', remedy)


def _check_folder(folder: Path) -> None:
    """Refuse a folder that holds something else than an earlier ingest."""
    if folder.exists() and not folder.is_dir():
        raise DatasetError(f'"{folder}" is a file', "name a new folder")
    if not folder.is_dir() or (folder / INNER / "settings.json").exists() or not any(folder.iterdir()):
        return
    if [path.name for path in folder.iterdir()] != [INNER]:
        raise DatasetError(f'"{folder}" holds something else than an ingested dataset', "name a new or empty folder")


def _cores() -> int:
    """Return how many processes this process may use at once."""
    with contextlib.suppress(AttributeError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """Turn a full or read-only disk into an error that says so."""
    try:
        yield
    except OSError as error:
        if error.errno not in files.DISK_FAULTS and not isinstance(error, PermissionError):
            raise
        raise DatasetError(
            f"{folder} cannot be written ({error.strerror})",
            "make room or choose another disk, then run the same command again: what is finished is kept",
        ) from None


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second ingest out of the folder; the lock goes when the process does."""
    (folder / INNER).mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        yield
        return
    with open(folder / INNER / "lock", "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DatasetError(f'another ingest is writing to "{folder}"', "wait for it to end") from None
        yield


def _remembered_fps(folder: Path) -> float | None:
    """Return the rate of the earlier ingest, so that added files do not change it."""
    try:
        value: Any = json.loads((folder / INNER / "settings.json").read_text(encoding="utf-8"))
        return float(value["fps"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _common_fps(sources: Sequence[Source], workers: int, report: Callable[[Phase, int, int, str], None]) -> float:
    """Return the most frequent rate among the videos; of several, the highest."""
    paths = [source.path for source in sources if source.kind == "video"]
    rates: Counter[float] = Counter()
    done = 0
    for answer in run_jobs([fps_job(paths[i : i + PROBES]) for i in range(0, len(paths), PROBES)], workers):
        found = answer.reply.get("fps", [])
        rates.update(round(rate, 2) for rate in found if rate)
        done += len(found)
        report("rates", done, len(paths), "")
    if not rates:
        return DEFAULT_FPS
    rate = max(rates, key=lambda r: (rates[r], r))
    rate = round(rate) if abs(rate - round(rate)) < 0.02 else rate
    return float(min(max(rate, 1.0), FASTEST))
