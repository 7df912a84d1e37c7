"""How the parts of all sources become one dataset, and how an earlier one is brought up to date."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from footage import files
from footage.data.arrays import labels_beside
from footage.data.ingest.intake import content_digest
from footage.data.ingest.parts import PartRecord, Recipe, read_part
from footage.data.ingest.shards import Holding, State, Wanted, load_state, pack, save_state, shard_frames
from footage.data.ingest.sources import Scan, Source
from footage.data.ingest.splits import assign_splits
from footage.data.ingest.workers import part_job, run_jobs
from footage.data.store import ClipRow, Dataset, DatasetInfo, Rejection, SourceRow, Split, content_hash, save_tables
from footage.errors import DatasetError
from footage.media.signatures import find_duplicates

Phase = Literal["rates", "decode", "compare", "pack"]
VERSION = 2
"""Raised when the same options give other frames than before: everything is then decoded again."""
ONLY_IDX = ("digits", "sequences", "clip_frames", "seed")
"""Options that matter to IDX files only."""
REDO = ""
"""Recipe of a holding that the next ingest tries again."""


@dataclass(frozen=True)
class Task:
    """What is fixed while an ingest runs."""

    folder: Path
    """The dataset."""
    inner: Path
    """The folder of what only the ingest itself reads."""
    recipe: Recipe
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

    def part(self, name: str, held: Holding) -> Path:
        """Return the path of a source's part."""
        return self.inner / "parts" / (files.json_digest([name, held.stamp, held.recipe])[:32] + ".part")


def assemble(task: Task, found: Scan, name: str) -> tuple[Dataset, int, tuple[str, ...]]:
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
    save_state(task.inner / "state.npz", State(task.recipe.heldout, kept), task.recipe)
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
    _sweep(task, State(recipe.heldout, kept), parts=True)
    gone = set(state.holdings if state else ()) - {source.name for source in found.sources}
    return Dataset(task.folder), decoded, tuple(sorted(gone))


def _sweep(task: Task, state: State | None, parts: bool = False) -> None:
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


def _carry_over(task: Task, sources: Sequence[Source], state: State | None) -> tuple[dict[str, Holding], list[Source]]:
    """Return what earlier ingests did of the sources, and the sources that are left to decode."""
    earlier = state.holdings if state else {}
    shards = {place[0] for held in earlier.values() for place in held.places if place}
    sound = {shard for shard in shards if shard_frames(task.folder / shard, task.recipe) is not None}
    holdings: dict[str, Holding] = {}
    missing: list[Source] = []
    for source in sources:
        held = Holding(_stamp(source), task.recipe_digest(source), PartRecord(), [])
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


def _same_content(source: Source, held: Holding, old: Holding) -> bool:
    """Tell whether a source is as it was; where only its time of change differs, its bytes decide."""
    if held.stamp == old.stamp:
        return bool(held.stamp)
    if [size for size, _ in held.stamp] != [size for size, _ in old.stamp]:
        return False
    try:
        return content_digest(source) == old.record.content
    except OSError:
        return False


def _take_part(task: Task, name: str, held: Holding, verify: bool = False) -> bool:
    """Fill a holding from its part; tell whether there is a sound one."""
    path = task.part(name, held)
    try:
        held.record, held.signatures = read_part(path, task.recipe, verify)
    except DatasetError:
        return False
    held.places = [None] * len(held.record.clips)
    held.part = path
    return True


def _decode(task: Task, sources: Sequence[Source], holdings: dict[str, Holding]) -> None:
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
    task: Task, sources: Sequence[Source], holdings: dict[str, Holding]
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


def _refuse(task: Task, found: Scan, rejections: Sequence[Rejection]) -> None:
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
    task: Task, sources: Sequence[Source], holdings: dict[str, Holding], wanted: Sequence[Wanted], state: State | None
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


def _rows(sources: Sequence[Source], holdings: dict[str, Holding], wanted: Sequence[Wanted]) -> list[ClipRow]:
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


def _source_rows(sources: Sequence[Source], holdings: dict[str, Holding], rows: Sequence[ClipRow]) -> list[SourceRow]:
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
