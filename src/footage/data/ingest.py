"""From folders of videos to a dataset: scan, decode in parallel, leave out what is unfit, split, pack."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from footage import files
from footage.data.assembly import Phase, Task, assemble
from footage.data.intake import DISK_FAULTS
from footage.data.parts import Recipe
from footage.data.sources import Source, scan
from footage.data.store import Dataset, Rejection
from footage.data.workers import fps_job, run_jobs
from footage.errors import ConfigError, DatasetError, nearest
from footage.video.geometry import FITS, Fit

DEFAULT_FPS = 25.0
"""Rate of a dataset whose sources have none."""
FASTEST = 60.0
"""A rate that is found out, not given, is at most this."""
PROBES = 64
"""Files that a worker probes at once."""
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
    rejections: tuple[Rejection, ...]
    """What was left out, and why."""
    ignored: dict[str, int]
    """Files of other kinds, by ending."""
    seconds: float
    """Time that it took."""


def ingest(
    sources: Sequence[Path | str],
    to: Path | str,
    *,
    height: int = 64,
    width: int = 64,
    channels: int = 3,
    fps: float | None = None,
    fit: Fit = "crop",
    labels: str | Path = "folder",
    min_frames: int = 16,
    heldout: float = 0.1,
    cuts: bool = True,
    keep_static: bool = False,
    keep_duplicates: bool = False,
    digits: int = 2,
    sequences: int = 2000,
    sequence_frames: int = 20,
    seed: int = 0,
    workers: int | None = None,
    name: str | None = None,
    on_progress: Callable[[IngestProgress], None] | None = None,
) -> IngestResult:
    """Make a dataset from files and folders, or bring one up to date. Run again, it decodes only what is new.

    Args:
        sources: videos, folders (searched recursively), folders of numbered pictures, MNIST's IDX files,
            the Moving MNIST `.npy` file.
        to: the dataset folder; new, empty, or of an earlier ingest.
        height: height of the clips, in pixels.
        width: width of the clips, in pixels.
        channels: 1 for grey, 3 for RGB.
        fps: frames in a second; None for that of the existing dataset, or the most frequent among the sources.
        fit: `crop`, `letterbox` or `stretch`.
        labels: `folder` (the first folder below a source folder), `none`, or the path of a CSV or JSON table.
        min_frames: shorter clips are left out.
        heldout: part of the sources that is never trained on.
        cuts: whether to divide at scene cuts.
        keep_static: whether to keep clips in which nothing moves.
        keep_duplicates: whether to keep clips that repeat an earlier one.
        digits: digits in a clip made from IDX images, 1 to 3; with 1 it is also the label.
        sequences: training clips made from an IDX file; a quarter as many are held out, from other images.
        sequence_frames: frames in a clip made from IDX images.
        seed: seed of the clips made from IDX images.
        workers: processes; None for one for each core, 0 to decode in this process.
        name: name of the dataset; None for that of its folder.
        on_progress: called now and then, in the caller's thread.

    Raises:
        ConfigError: an option has a value that is not allowed.
        DatasetError: nothing can be ingested, the disk is full, or the folder holds something else.
    """
    began = time.monotonic()
    folder = Path(to)
    given = [sources] if isinstance(sources, (str, Path)) else list(sources)
    plan = Recipe(
        *(height, width, channels, fps or 1.0, fit, min_frames, cuts, keep_static, heldout),
        *(digits, sequences, sequence_frames, seed),
    )
    _check(plan, given, labels, workers, fps)
    _check_folder(folder)
    found = scan(given, labels, leave_out=folder)

    def report(phase: Phase, done: int, total: int, what: str) -> None:
        if on_progress is not None:
            on_progress(IngestProgress(phase, done, total, what, time.monotonic() - began))

    processes = _cores() if workers is None else workers
    with _disk_errors(folder), _alone(folder):
        rate = fps or _remembered_fps(folder) or _common_fps(found.sources, processes, report)
        recipe = replace(plan, fps=rate)
        files.write_json(folder / INNER / "settings.json", {"fps": rate})
        settings = {**asdict(recipe), "labels": str(labels) if labels in ("folder", "none") else "table"}
        settings |= {"keep_duplicates": keep_duplicates, "ignored": dict(sorted(found.ignored.items()))}
        task = Task(folder, folder / INNER, recipe, processes, keep_duplicates, settings, report)
        dataset, decoded = assemble(task, found, name or folder.resolve().name)
    return IngestResult(
        dataset=dataset,
        sources=len(found.sources),
        decoded=decoded,
        reused=len(found.sources) - decoded,
        rejections=tuple(dataset.rejections),
        ignored=dict(found.ignored),
        seconds=time.monotonic() - began,
    )


def _check(
    plan: Recipe, given: Sequence[Path | str], labels: str | Path, workers: int | None, fps: float | None
) -> None:
    """Refuse options that are not allowed, naming the value and the remedy."""
    if not given:
        raise ConfigError("no source was given", "name a folder of videos")
    if plan.fit not in FITS:
        raise ConfigError(f'fit is "{plan.fit}"', nearest(str(plan.fit), FITS))
    if plan.channels not in (1, 3):
        raise ConfigError(f"channels is {plan.channels}", "use 1 for grey or 3 for RGB")
    ranges: list[tuple[str, float, float, float]] = [
        ("height", plan.height, 8, 2048),
        ("width", plan.width, 8, 2048),
        ("fps", 1.0 if fps is None else fps, 0.1, 1000),
        ("min_frames", plan.min_frames, 1, 100_000),
        ("heldout", plan.heldout, 0, 0.9),
        ("digits", plan.digits, 1, 3),
        ("sequences", plan.sequences, 1, 10_000_000),
        ("sequence_frames", plan.clip_frames, plan.min_frames, 100_000),
        ("workers", 0 if workers is None else workers, 0, 1024),
    ]
    for name, value, low, high in ranges:
        if not low <= value <= high:  # NaN fails too
            raise ConfigError(f"{name} is {value}", f"it must be from {low:g} to {high:g}")
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
        if error.errno not in DISK_FAULTS and not isinstance(error, PermissionError):
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
