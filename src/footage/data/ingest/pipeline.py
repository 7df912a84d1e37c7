"""From folders of videos to a dataset: scan, decode in parallel, leave out what is unfit, split, pack.

An earlier dataset in the folder is brought up to date: only what is new is decoded.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from footage import files
from footage.config import IngestConfig
from footage.data.ingest.intake import content_digest
from footage.data.ingest.shards import (
    DecodeOptions,
    IngestState,
    PartRecord,
    SourceState,
    Wanted,
    load_state,
    pack,
    read_part,
    save_state,
    shard_frames,
)
from footage.data.ingest.sources import Source, SourceScan, scan
from footage.data.ingest.workers import fps_job, part_job, run_jobs
from footage.data.store import ClipRow, Dataset, DatasetInfo, Rejection, SourceRow, Split, content_hash, save_tables
from footage.data.synthetic import labels_beside
from footage.errors import ConfigError, DatasetError, nearest
from footage.media.signatures import find_duplicates

ENOUGH = 10
"""With this many different sources at least one is held out."""


def assign_splits(
    contents: Mapping[str, str], heldout: float, earlier: Mapping[str, str] | None = None
) -> dict[str, Split]:
    """Assign each source to a side.

    A source is held out when its content's hash, read as a number in [0, 1), is below `heldout`.
    With few sources this may hold out none or all; so one is held out where there are at least
    `ENOUGH`, and one is trained on in any case.

    Args:
        contents: SHA-256 of each source, in hexadecimal, by name.
        heldout: the part to hold out, in [0, 1).
        earlier: sides assigned before, by SHA-256; they never change.

    Returns:
        the side of each source, by name.
    """
    earlier = earlier or {}
    sides: dict[str, Split] = {}
    ranked = sorted({content: int(content[:13], 16) / 16**13 for content in contents.values()}.items(), key=_rank)
    for content, number in ranked:
        held = earlier[content] == "heldout" if content in earlier else number < heldout
        sides[content] = "heldout" if held else "train"
    new = [content for content, _ in ranked if content not in earlier]
    values: set[Literal["train", "heldout"]] = set(sides.values())
    if heldout > 0 and len(sides) >= ENOUGH and "heldout" not in values and new:
        sides[new[0]] = "heldout"
    elif sides and "train" not in values and new:
        sides[new[-1]] = "train"
    return {name: sides[content] for name, content in contents.items()}


def _rank(item: tuple[str, float]) -> tuple[float, str]:
    return item[1], item[0]


Phase = Literal["rates", "decode", "compare", "pack"]
VERSION = 2
"""Raised when the same options give other frames than before: everything is then decoded again."""
ONLY_IDX = ("digits", "sequences", "clip_frames", "seed")
"""Options that matter to IDX files only."""
REDO = ""
"""Recipe of a holding that the next ingest tries again."""


@dataclass(frozen=True)
class IngestTask:
    """What is fixed while an ingest runs."""

    folder: Path
    """The dataset."""
    inner: Path
    """The folder of what only the ingest itself reads."""
    recipe: DecodeOptions
    """How the sources are decoded."""
    workers: int
    """Processes."""
    keep_duplicates: bool
    """Whether clips that repeat an earlier one are kept."""
    settings: dict[str, Any]
    """What `dataset.json` says about the options."""
    report: Callable[[Phase, int, int, str], None]
    """Called with what is being done, how much of it is done, out of how much, and a name."""

    def recipe_digest(self, source: Source) -> str:
        """Return the digest of the options that a source's part depends on."""
        options = {"version": VERSION, "kind": source.kind, **asdict(self.recipe)}
        if source.kind != "idx":
            options = {key: value for key, value in options.items() if key not in ONLY_IDX}
        if source.kind not in ("idx", "array"):
            del options["heldout"]
        return files.json_digest(options)

    def part(self, name: str, held: SourceState) -> Path:
        """Return the path of a source's part."""
        return self.inner / "parts" / (files.json_digest([name, held.stamp, held.recipe])[:32] + ".part")


def assemble(task: IngestTask, found: SourceScan, name: str) -> tuple[Dataset, int, tuple[str, ...]]:
    """Decode what is missing, choose the clips, pack them, and write the tables.

    Returns:
        the dataset, how many sources were decoded, and which of before are no longer among the sources.

    Raises:
        DatasetError: nothing can be ingested, or the disk is full.
    """
    state = load_state(task.inner / "state.npz")
    _sweep(task, state)
    holdings, missing = _carry_over(task, found.sources, state)
    decoded = len(missing)
    _decode(task, missing, holdings)
    wanted, repeated = _choose(task, found.sources, holdings)
    lost = {n for n, i in wanted if holdings[n].places[i] is None and holdings[n].part is None}
    if lost:  # clips that an earlier ingest left out as duplicates of what has gone since
        again = [source for source in found.sources if source.name in lost]
        decoded += len(again)
        _decode(task, again, holdings)
        wanted, repeated = _choose(task, found.sources, holdings)
    rejections = found.rejections + [r for s in found.sources for r in holdings[s.name].record.rejections] + repeated
    if not wanted:
        _refuse(task, found, rejections)
    _split(task, found.sources, holdings, wanted, state)
    for done in pack(task.folder, wanted, holdings, task.recipe):
        task.report("pack", done, len(wanted), "")
    kept = {n: held for n, held in holdings.items() if held.recipe != REDO}
    save_state(task.inner / "state.npz", IngestState(task.recipe.heldout, kept), task.recipe)
    rows = _rows(found.sources, holdings, wanted)
    recipe = task.recipe
    info = DatasetInfo(
        name=name,
        height=recipe.height,
        width=recipe.width,
        channels=recipe.channels,
        fps=recipe.fps,
        labels=tuple(sorted({row.label for row in rows if row.label is not None})),
        clips=len(rows),
        content_hash=content_hash(rows),
        settings=task.settings,
    )
    save_tables(task.folder, info, rows, rejections, _source_rows(found.sources, holdings, rows))
    _sweep(task, IngestState(recipe.heldout, kept), parts=True)
    gone = set(state.holdings if state else ()) - {source.name for source in found.sources}
    return Dataset(task.folder), decoded, tuple(sorted(gone))


def _sweep(task: IngestTask, state: IngestState | None, parts: bool = False) -> None:
    """Remove what a killed ingest left half done: partial files, and shards that no source has a clip in."""
    used = {place[0] for held in (state.holdings.values() if state else ()) for place in held.places if place}
    for path in task.folder.glob("shard-*.npy"):
        if path.name not in used:
            path.unlink()
    for folder in (task.folder, task.inner, task.inner / "parts"):
        files.remove_partial(folder)
    for path in (task.inner / "parts").glob("*.part") if parts else ():
        path.unlink()


def _stamp(source: Source) -> list[list[int]]:
    """Return the size and the time of change (ns) of each file of a source; nothing when they cannot be had."""
    beside = labels_beside(source.path) if source.kind == "idx" else None
    try:
        stats = [(source.path / n).stat() for n in source.pictures] or [source.path.stat()]
        stats += [beside.stat()] if beside else []
    except OSError:
        return []
    return [[status.st_size, status.st_mtime_ns] for status in stats]


def _carry_over(
    task: IngestTask, sources: Sequence[Source], state: IngestState | None
) -> tuple[dict[str, SourceState], list[Source]]:
    """Return what earlier ingests did of the sources, and the sources that are left to decode."""
    earlier = state.holdings if state else {}
    shards = {place[0] for held in earlier.values() for place in held.places if place}
    sound = {shard for shard in shards if shard_frames(task.folder / shard, task.recipe) is not None}
    holdings: dict[str, SourceState] = {}
    missing: list[Source] = []
    for source in sources:
        held = SourceState(_stamp(source), task.recipe_digest(source), PartRecord(), [])
        old = earlier.get(source.name)
        usable = old is not None and all(place is None or place[0] in sound for place in old.places)
        if old and usable and old.recipe == held.recipe and _same_content(source, held, old):
            old.stamp = held.stamp
            holdings[source.name] = old
            continue
        holdings[source.name] = held
        if not _take_part(task, source.name, held, verify=True):
            missing.append(source)
    return holdings, missing


def _same_content(source: Source, held: SourceState, old: SourceState) -> bool:
    """Tell whether a source is as it was; where only its time of change differs, its bytes decide."""
    if held.stamp == old.stamp:
        return bool(held.stamp)
    if [size for size, _ in held.stamp] != [size for size, _ in old.stamp]:
        return False
    try:
        return content_digest(source) == old.record.content
    except OSError:
        return False


def _take_part(task: IngestTask, name: str, held: SourceState, verify: bool = False) -> bool:
    """Fill a holding from its part; tell whether there is a sound one."""
    path = task.part(name, held)
    try:
        held.record, held.signatures = read_part(path, task.recipe, verify)
    except DatasetError:
        return False
    held.places = [None] * len(held.record.clips)
    held.part = path
    return True


def _decode(task: IngestTask, sources: Sequence[Source], holdings: dict[str, SourceState]) -> None:
    """Make the parts of some sources, in parallel."""
    (task.inner / "parts").mkdir(parents=True, exist_ok=True)
    jobs = [part_job(source, task.recipe, task.part(source.name, holdings[source.name])) for source in sources]
    answers = run_jobs(jobs, task.workers)
    try:
        for done, answer in enumerate(answers, start=1):
            name, held = answer.job.name, holdings[answer.job.name]
            if "disk" in answer.reply:
                raise DatasetError(
                    f"{task.folder} cannot be written ({answer.reply['disk']})",
                    "make room or choose another disk, then run the same command again: what is finished is kept",
                )
            if "failed" in answer.reply or not _take_part(task, name, held):
                why = answer.reply.get("failed", "its part cannot be read back")
                held.record = PartRecord(rejections=[Rejection(name, "damaged", why)])
                held.signatures, held.places, held.part, held.recipe = [], [], None, REDO
            elif any(rejection.reason == "unreadable" for rejection in held.record.rejections):
                held.recipe = REDO
            task.report("decode", done, len(jobs), name)
    finally:
        answers.close()


def _choose(
    task: IngestTask, sources: Sequence[Source], holdings: dict[str, SourceState]
) -> tuple[list[Wanted], list[Rejection]]:
    """Return the clips to keep, in order, and the near-duplicates among the others."""
    clips = [(source.name, i) for source in sources for i in range(len(holdings[source.name].record.clips))]
    if task.keep_duplicates:
        return clips, []
    compared = [(name, i) for name, i in clips if holdings[name].record.comparable]
    task.report("compare", 0, len(compared), "")
    if not compared:
        return clips, []
    marks = np.stack([holdings[name].signatures[i] for name, i in compared])
    seconds = [holdings[name].record.clips[i].frames / task.recipe.fps for name, i in compared]
    left_out: set[Wanted] = set()
    repeated = []
    for pair in find_duplicates(marks, seconds):
        name, i = compared[pair.clip]
        other, j = compared[pair.of]
        clip, first = holdings[name].record.clips[i], holdings[other].record.clips[j]
        detail = f"shows the same as {other}, {first.start:.2f} to {first.end:.2f} s"
        repeated.append(Rejection(name, "near-duplicate", detail, clip.start, clip.end))
        left_out.add((name, i))
    task.report("compare", len(compared), len(compared), "")
    return [clip for clip in clips if clip not in left_out], repeated


def _refuse(task: IngestTask, found: SourceScan, rejections: Sequence[Rejection]) -> None:
    """Say why there is nothing to make a dataset of."""
    files.write_lines(task.folder / "rejected.jsonl", (asdict(row) for row in rejections))
    counts = Counter(rejection.reason for rejection in rejections)
    listed = "; ".join(
        f"{count} {reason} (such as {next(r.source for r in rejections if r.reason == reason)})"
        for reason, count in counts.most_common()
    )
    others = ", ".join(f"{count} {ending}" for ending, count in found.ignored.most_common(5))
    raise DatasetError(
        "nothing can be ingested" + (f": {listed}" if listed else ": no video was found"),
        f"all reasons are in {task.folder / 'rejected.jsonl'}"
        + (f"; files of other kinds: {others}" if others else ""),
    )


def _split(
    task: IngestTask,
    sources: Sequence[Source],
    holdings: dict[str, SourceState],
    wanted: Sequence[Wanted],
    state: IngestState | None,
) -> None:
    """Assign the sources that have clips to the sides of the split."""
    earlier: dict[str, str] = {}
    if state is not None and state.heldout == task.recipe.heldout:
        earlier = {held.record.content: held.split for held in state.holdings.values() if held.split}
    present = {name for name, _ in wanted}
    free = [s for s in sources if s.name in present and s.kind not in ("idx", "array")]
    contents = {source.name: holdings[source.name].record.content for source in free}
    for name, side in assign_splits(contents, task.recipe.heldout, earlier).items():
        holdings[name].split = side


def _rows(sources: Sequence[Source], holdings: dict[str, SourceState], wanted: Sequence[Wanted]) -> list[ClipRow]:
    """Return the rows of the clips, in order."""
    named = {source.name: source for source in sources}
    rows = []
    for name, i in wanted:
        held, source = holdings[name], named[name]
        clip, place = held.record.clips[i], held.places[i]
        assert place is not None
        split: Split = "heldout" if (clip.split or held.split) == "heldout" else "train"
        rows.append(
            ClipRow(
                source=name,
                start=round(clip.start, 4),
                end=round(clip.end, 4),
                frames=clip.frames,
                label=clip.label if clip.label is not None else source.label,
                caption=clip.caption if clip.caption is not None else source.caption,
                split=split,
                shard=place[0],
                offset=place[1],
                digest=clip.digest,
            )
        )
    return rows


def _source_rows(
    sources: Sequence[Source], holdings: dict[str, SourceState], rows: Sequence[ClipRow]
) -> list[SourceRow]:
    """Return the rows of the sources, in order."""
    counts = Counter(row.source for row in rows)
    result = []
    for source in sources:
        record = holdings[source.name].record
        info = record.info or {}
        result.append(
            SourceRow(
                source=source.name,
                clips=counts[source.name],
                damaged=record.damaged,
                truncated=record.truncated,
                problem=record.problem,
                cuts=tuple(round(time, 4) for time in record.cuts),
                **{key: info.get(key) for key in ("width", "height", "fps", "duration", "codec")},
            )
        )
    return result


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
        task = IngestTask(folder, folder / INNER, recipe, processes, config.keep_duplicates, settings, report)
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


def _recipe(config: IngestConfig, fps: float) -> DecodeOptions:
    """Return the options that pixels and spans depend on."""
    return DecodeOptions(
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
