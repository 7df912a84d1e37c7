"""A dataset is brought up to date: what is new decoded, in parallel; what is unfit left out; the rest split, packed."""

from __future__ import annotations

import contextlib
import functools
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from footage import files
from footage.data.ingest import shards
from footage.data.ingest.intake import content_digest
from footage.data.ingest.shards import DecodeOptions, IngestState, PartRecord, SourceState, Wanted
from footage.data.ingest.sources import Source, SourceScan
from footage.data.ingest.workers import part_job, run_jobs
from footage.data.store import (
    ENDINGS,
    JPEG_SCHEMA,
    QUARTER,
    RAW_SCHEMA,
    SOUND_SCHEMA,
    ClipRow,
    Dataset,
    DatasetInfo,
    Rejection,
    SourceRow,
    Split,
    content_hash,
    labels_of,
    level_file,
    save_tables,
    sound_file,
)
from footage.errors import DatasetError, counted
from footage.machines import remote
from footage.machines.cluster import Cluster
from footage.media.signatures import find_duplicates
from footage.media.sound import RATE

Phase = Literal["rates", "sizes", "decode", "compare", "pack"]
Report = Callable[[Phase, int, int, str], None]
"""Called with what is being done, how much of it is done, out of how much, and a name."""

INNER = "ingest"
"""Folder, within the dataset, of what only the ingest itself reads."""
ENOUGH = 10
"""With this many different sources at least one is held out."""
VERSION = 3
"""Raised when the same options give other frames than before: everything is then decoded again."""
ONLY_IDX = ("digits", "sequences", "clip_frames", "seed")
HELD_OUT, KNOWN, NEW = range(3)
"""Ranks of near-duplicates, of which the first stays: what is held out, what is in the dataset, what is new."""
REDO = ""
"""Digest of options of a source that the next ingest tries again."""


@dataclass(frozen=True)
class IngestResult:
    """What came of an ingest."""

    dataset: Dataset
    sources: int
    decoded: int
    """Sources decoded in this run."""
    reused: int
    """Sources that an earlier run had decoded."""
    gone: tuple[str, ...]
    """Sources of an earlier run that were not given again: their clips were taken out."""
    rejections: tuple[Rejection, ...]
    ignored: dict[str, int]
    """Files of other kinds, by ending."""
    seconds: float
    layouts: tuple[str, ...] = ()
    """The layouts of known data sets that the sources were read as."""


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep a second ingest out of the folder until the process ends; say so where the disk is full or read-only."""
    try:
        (folder / INNER).mkdir(parents=True, exist_ok=True)
        with open(folder / INNER / "lock", "w") as handle:
            if not files.lock(handle, wait=False):
                raise DatasetError(f'another ingest is writing to "{folder}"', "wait for it to end")
            yield
    except OSError as error:
        if error.errno not in files.DISK_FAULTS and not isinstance(error, PermissionError):
            raise
        raise DatasetError(
            f"{folder} cannot be written ({error.strerror})",
            "make room or choose another disk, then run the same command again: what is finished is kept",
        ) from None


def assign_splits(
    contents: Mapping[str, str], heldout: float, earlier: Mapping[str, str] | None = None
) -> dict[str, Split]:
    """Assign each source to a side, by the content of the file, so that it never changes and copies stay together.

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
    ranked = sorted((int(content[:13], 16) / 16**13, content) for content in set(contents.values()))
    for number, content in ranked:
        held_out = earlier[content] == "heldout" if content in earlier else number < heldout
        sides[content] = "heldout" if held_out else "train"
    new = [content for _, content in ranked if content not in earlier]
    if heldout > 0 and len(sides) >= ENOUGH and "heldout" not in sides.values() and new:
        sides[new[0]] = "heldout"
    elif sides and "train" not in sides.values() and new:
        sides[new[-1]] = "train"
    return {name: sides[content] for name, content in contents.items()}


class DatasetBuilder:
    """Brings the dataset in a folder up to date with the sources of a scan."""

    def __init__(
        self,
        folder: Path,
        listing: SourceScan,
        options: DecodeOptions,
        workers: int | Cluster,
        keep_duplicates: bool,
        report: Report,
    ) -> None:
        self.folder, self.listing, self.options = folder, listing, options
        self.workers, self.keep_duplicates, self.report = workers, keep_duplicates, report
        self.inner = folder / INNER
        self.earlier = shards.load_state(self.inner / "state.npz") or IngestState(options.heldout, {})
        self.packed = {n: [place is not None for place in old.places] for n, old in self.earlier.sources.items()}
        """Which clips of the sources of before are in the dataset."""
        self.shown: dict[str, list[str]] = {}
        """Contents of other sources that clips of a source show again, by its name: one for each such clip."""
        self.states: dict[str, SourceState] = {}
        """What there is of each source, by its name."""
        self.decoded = 0
        """Sources that were decoded."""
        self.gone = tuple(sorted(set(self.earlier.sources) - {source.name for source in listing.sources}))
        """Sources of before that are not listed any more."""

    def build(self, name: str, settings: dict[str, Any]) -> Dataset:
        """Decode what is missing, choose the clips, pack them, and write the tables; refuse an empty dataset."""
        sweep(self.folder, self.earlier)
        sources, options, states = self.listing.sources, self.options, self.states
        self.decode(self.carry_over())
        wanted, repeated = self.choose()
        lost = {n for n, i in wanted if states[n].places[i] is None and states[n].part is None}
        if lost:  # clips that an earlier ingest left out as duplicates of what has gone since
            self.decode([source for source in sources if source.name in lost])
            wanted, repeated = self.choose()
        rejections = [*self.listing.rejections]
        for source in sources:
            rejections += states[source.name].record.rejections
        rejections += repeated
        if not wanted:
            raise self.refusal(rejections)
        self.assign_sides(wanted, settings["labels"] == "folder")
        for done in shards.pack(self.folder, wanted, states, options):
            self.report("pack", done, len(wanted), "")
        state = IngestState(
            options.heldout, {n: source for n, source in states.items() if source.options_digest != REDO}
        )
        shards.save_state(self.inner / "state.npz", state, options)
        rows, source_rows = self.tables(wanted)
        quality, heard = options.quality if options.coding == "jpeg" else None, any(row.sound for row in rows)
        info = DatasetInfo(
            name=name,
            height=options.height,
            width=options.width,
            channels=options.channels,
            fps=options.fps,
            labels=labels_of(rows),
            clips=len(rows),
            content_hash=content_hash(rows, quality, [states[name].record.clips[i].heard for name, i in wanted]),
            settings=settings,
            schema=SOUND_SCHEMA if heard else RAW_SCHEMA if quality is None else JPEG_SCHEMA,
            coding=options.coding,
            quality=quality,
            levels=(QUARTER,) if options.level_shape else (),
            sound_rate=RATE if heard else None,
        )
        save_tables(self.folder, info, rows, rejections, source_rows)
        sweep(self.folder, state, parts=True)
        return Dataset(self.folder)

    def part(self, name: str, state: SourceState) -> Path:
        return (
            self.inner.absolute()
            / "parts"
            / (files.json_digest([name, state.stamp, state.options_digest])[:32] + ".part")
        )

    def options_digest(self, source: Source) -> str:
        options = {"version": VERSION, "kind": source.kind, **self.options.settings}
        if source.kind != "idx":
            options = {key: value for key, value in options.items() if key not in ONLY_IDX}
        if source.kind not in ("idx", "array"):
            del options["heldout"]
        unused = {"array": (), "pictures": ("layout",)}.get(source.kind, ("layout", "bits"))
        options = {key: value for key, value in options.items() if key not in unused}
        return files.json_digest(options)

    def carry_over(self) -> list[Source]:
        """Take over what earlier ingests did of the sources; return those that are left to decode."""
        earlier = self.earlier.sources
        packed = {place[0] for state in earlier.values() for place in state.places if place}
        whole = {name for name in packed if shards.shard_frames(self.folder / name, self.options) is not None}
        missing: list[Source] = []
        for source in self.listing.sources:
            stamp: list[list[int]] = []
            with contextlib.suppress(OSError):
                stamp = [[status.st_size, status.st_mtime_ns] for status in (path.stat() for path in source.files)]
            state = SourceState(stamp, self.options_digest(source), PartRecord(), [])
            old = earlier.get(source.name)
            usable = old is not None and all(place is None or place[0] in whole for place in old.places)
            usable = usable and not (old and self.unheard(old))
            if old and usable and old.options_digest == state.options_digest:
                same = bool(stamp) and old.stamp == stamp
                if old.stamp != stamp and [size for size, _ in old.stamp] == [size for size, _ in stamp]:
                    with contextlib.suppress(OSError), remote.present(source.files):  # only its time: the bytes decide
                        same = content_digest(source) == old.record.content
                if same:
                    old.stamp = stamp
                    self.states[source.name] = old
                    continue
            self.states[source.name] = state
            if not self.take_part(source.name, verify=True):
                missing.append(source)
        return missing

    def unheard(self, state: SourceState) -> bool:
        """Tell whether an older program left out the sound of a source, which is wanted now, or its file is gone."""
        record = state.record
        if record.samples is None:
            return self.options.sound and bool((record.info or {}).get("has_audio"))
        names = {sound_file(place[0]) for place in state.places if place} if record.samples else set()
        return not all((self.folder / name).is_file() for name in names)

    def take_part(self, name: str, verify: bool = False) -> bool:
        """Fill the state of a source from its part; tell whether there is a sound one."""
        state = self.states[name]
        path = self.part(name, state)
        try:
            state.record, state.signatures = shards.read_part(path, self.options, verify)
        except DatasetError:
            return False
        state.places = [None] * len(state.record.clips)
        state.part = path
        return True

    def decode(self, sources: Sequence[Source]) -> None:
        """Make the parts of some sources, in parallel."""
        self.decoded += len(sources)
        parts, witness = self.inner.absolute() / "parts", None
        parts.mkdir(parents=True, exist_ok=True)
        if isinstance(self.workers, Cluster):
            witness = parts / f".{secrets.token_hex(8)}{files.PARTIAL}"
            witness.touch()
        jobs = [
            part_job(source, self.options, self.part(source.name, self.states[source.name]), witness)
            for source in sources
        ]
        with contextlib.closing(run_jobs(jobs, self.workers)) as finished:
            for done, job in enumerate(finished, start=1):
                name, state = job.name, self.states[job.name]
                if "failed" in job.reply or not self.take_part(name):
                    why = job.reply.get("failed", "its part cannot be read back")
                    state.record = PartRecord(rejections=[Rejection(name, "damaged", why)])
                    state.signatures, state.places, state.part, state.options_digest = [], [], None, REDO
                elif any(rejection.reason == "unreadable" for rejection in state.record.rejections):
                    state.options_digest = REDO
                self.report("decode", done, len(jobs), name)

    def choose(self) -> tuple[list[Wanted], list[Rejection]]:
        """Return the clips to keep, in order, and the near-duplicates among the others; see `ranks`.

        Where near-duplicates are kept, none is among the others, and each counts as what shows another again.
        """
        states = self.states
        clips = [(s.name, i) for s in self.listing.sources for i in range(len(states[s.name].record.clips))]
        self.shown = {}
        ranks = {
            (source.name, i): rank
            for source in self.listing.sources
            if states[source.name].record.comparable
            for i, rank in enumerate(self.ranks(source))
        }
        compared = sorted(ranks, key=ranks.__getitem__)
        self.report("compare", 0, len(compared), "")
        if not compared:
            return clips, []
        signatures = np.stack([states[name].signatures[i] for name, i in compared])
        seconds = [states[name].record.clips[i].frames / self.options.fps for name, i in compared]
        self.look_back([clip for clip in compared if ranks[clip] == NEW], signatures, seconds)
        repeated: dict[Wanted, Rejection] = {}
        for pair in find_duplicates(signatures, seconds, linked=self.keep_duplicates):
            name, i = compared[pair.clip]
            other, j = compared[pair.of]
            clip, first = states[name].record.clips[i], states[other].record.clips[j]
            detail = f"shows the same as {other}, {first.start:.2f} to {first.end:.2f} s"
            repeated[name, i] = Rejection(name, "near-duplicate", detail, clip.start, clip.end)
            if other != name:
                self.shown.setdefault(name, []).append(states[other].record.content)
            if other != name and self.keep_duplicates:
                self.shown.setdefault(other, []).append(states[name].record.content)
        self.report("compare", len(compared), len(compared), "")
        if self.keep_duplicates:
            return clips, []
        return [clip for clip in clips if clip not in repeated], [repeated[clip] for clip in clips if clip in repeated]

    def ranks(self, source: Source) -> list[int]:
        """Rank the clips of a source among near-duplicates, of which the first stays."""
        record, stays = self.states[source.name].record, self.settled.get(source.name)
        old = source.name if source.name in self.packed else self.renamed.get(record.content, "")
        known = self.packed[old] if old and self.earlier.sources[old].record.content == record.content else []
        if len(known) != len(record.clips):  # they were cut otherwise then
            known = [any(known)] * len(record.clips)
        ranks = []
        for clip, packed in zip(record.clips, known, strict=True):
            given = clip.split or (source.split if stays is None else None)
            side = given or (stays and stays[0])
            ranks.append(HELD_OUT if side == "heldout" and (packed or given) else KNOWN if packed else NEW)
        return ranks

    def look_back(self, new: Sequence[Wanted], signatures: npt.NDArray[np.uint8], seconds: Sequence[float]) -> None:
        """Note which clips, the last ones of those compared, show again what an earlier ingest packed and is gone."""
        here = {state.record.content for state in self.states.values()}
        gone = sorted(
            (old for old in self.earlier.sources.values() if old.split and old.record.content not in here),
            key=lambda old: old.split != "heldout",
        )
        before = [
            (old.record.content, mark, clip.end - clip.start)
            for old in gone
            for mark, clip, place in zip(old.signatures, old.record.clips, old.places, strict=True)
            if place is not None and mark.shape == signatures.shape[1:]
        ]
        if not before or not new:
            return
        marks = np.concatenate([np.stack([mark for _, mark, _ in before]), signatures[-len(new) :]])
        for pair in find_duplicates(marks, [length for *_, length in before] + [*seconds[-len(new) :]]):
            if pair.of < len(before) <= pair.clip:
                self.shown.setdefault(new[pair.clip - len(before)][0], []).append(before[pair.of][0])

    def refusal(self, rejections: Sequence[Rejection]) -> DatasetError:
        """Say why there is nothing to make a dataset of."""
        files.write_lines(self.folder / "rejected.jsonl", (asdict(row) for row in rejections))
        counts = Counter(rejection.reason for rejection in rejections)
        listed = "; ".join(
            f"{count} {reason} (such as {next(f'{r.source}: {r.detail}' for r in rejections if r.reason == reason)})"
            for reason, count in counts.most_common()
        )
        others = self.listing.passed_over
        return DatasetError(
            f"nothing can be ingested: {listed}",
            f"all reasons are in {self.folder / 'rejected.jsonl'}"
            + (f"; files of other kinds: {others}" if others else ""),
        )

    def assign_sides(self, wanted: Sequence[Wanted], labelled: bool) -> None:
        """Assign the sources that have clips to the sides of the split; arrays and some layouts prescribe theirs.

        Where they are `labelled` by folders, those of before whose folder is a side by now keep it as their label.
        """
        stay, listed = self.settled, self.listing.sources
        groups = {source.name: files.json_digest(source.group) for source in listed if source.group}
        earlier: dict[str, str] = {}
        if self.earlier.heldout == self.options.heldout:
            for name, state in self.earlier.sources.items():
                if state.split:
                    earlier[groups.get(name, state.record.content)] = state.split
        old = {s.name: stay[s.name][1] for s in listed if labelled and s.name in stay and s.label is None}
        self.listing.sources = [
            replace(s, split=None, label=old.get(s.name, s.label)) if s.name in stay else s for s in listed
        ]
        if kept := sum(label is not None for label in old.values()):
            keep = counted(kept, "clip of before keeps its label", "clips of before keep their labels")
            self.listing.layouts.append(f"{keep}: delete the data set to have it labelled anew")
        sources = {source.name: source for source in self.listing.sources}
        keys = {name: groups.get(name, self.states[name].record.content) for name in sources}
        prescribed = [(keys[name], source.split) for name, source in sources.items()]
        earlier |= {group: side for group, side in prescribed if side}
        earlier |= {group: side for group, side in prescribed if side == "heldout"}  # a group on both is held out
        clips = {name: self.states[name].record.clips for name, _ in wanted}
        free = [n for n, s in sources.items() if not s.split and any(c.split is None for c in clips.get(n, ()))]
        contents = self.joined({name: keys[name] for name in free}, keys, earlier)
        for name, side in assign_splits(contents, self.options.heldout, earlier).items():
            self.states[name].split = stay[name][0] or side if name in stay else side
        for name, source in sources.items():
            self.states[name].split = None if source.split else self.states[name].split

    def joined(
        self, contents: Mapping[str, str], keys: Mapping[str, str], earlier: Mapping[str, str]
    ) -> dict[str, str]:
        """Return by what the sides of sources are assigned, where one that mostly shows another again goes with that.

        Where near-duplicates are kept, all sources that share one go together, but for those on given sides.

        Args:
            contents: what the side of a source is assigned by, of those that none is given for.
            keys: the same of all sources.
            earlier: sides assigned or given, by such keys.
        """
        key_of = {self.states[name].record.content: key for name, key in keys.items()}
        leads: dict[str, str] = {}
        order = {"heldout": 0, "train": 1, "": 2}

        def root(key: str) -> str:
            while key in leads:
                key = leads[key]
            return key

        for name, key in contents.items():
            shown = Counter(root(key_of.get(content, content)) for content in self.shown.get(name, ()))
            if self.keep_duplicates:
                for other in shown:
                    lead, follower = sorted((root(other), root(key)), key=lambda one: order[earlier.get(one, "")])
                    if lead != follower and follower not in earlier:
                        leads[follower] = lead
                continue
            if key in earlier or key in leads or 2 * shown.total() < len(self.states[name].record.clips):
                continue
            lead = max(shown, key=lambda other: (earlier.get(other) == "heldout", shown[other]))
            if lead != key:
                leads[key] = lead
        return {name: root(key) for name, key in contents.items()}

    @functools.cached_property
    def renamed(self) -> dict[str, str]:
        """Names of sources that are not listed any more, by their contents."""
        return {self.earlier.sources[name].record.content: name for name in self.gone}

    @functools.cached_property
    def settled(self) -> dict[str, tuple[str | None, str | None]]:
        """Return the sources that are in the dataset, each with its side, None of an array, and its folder's label.

        They stay, under another name too, whatever a layout says of them now. The user's table may move them.
        """
        before, labels = self.earlier.sources, dict[str, str | None]()
        sides: dict[str, str | None] = {name: state.split for name, state in before.items() if state.split}
        with contextlib.suppress(DatasetError):  # tables that do not open say nothing, and what was assigned counts
            rows = Dataset(self.folder).rows if before else []
            sides, labels = {row.source: row.split for row in rows}, {row.source: row.label for row in rows}
        if self.earlier.heldout != self.options.heldout:
            return {}
        settled: dict[str, tuple[str | None, str | None]] = {}
        for source in self.listing.sources:
            record = self.states[source.name].record
            old = source.name if source.name in before else self.renamed.get(record.content)
            if old in sides and before[old].record.content == record.content and not source.asked:
                prescribed = all(clip.split is not None for clip in record.clips)
                if prescribed or before[old].split == sides[old]:  # not one that a table of then moved
                    label = labels.get(old) if labels.get(old) in source.name.split("/")[:-1] else None
                    settled[source.name] = None if prescribed else sides[old], label
        return settled

    def tables(self, wanted: Sequence[Wanted]) -> tuple[list[ClipRow], list[SourceRow]]:
        """Return the rows of the clips and of the sources, in order."""
        sources = {source.name: source for source in self.listing.sources}
        rows = []
        for name, i in wanted:
            state, source = self.states[name], sources[name]
            clip, place = state.record.clips[i], state.places[i]
            sides = (clip.split, source.split)
            assert place is not None
            rows.append(
                ClipRow(
                    source=name,
                    start=round(clip.start, 4),
                    end=round(clip.end, 4),
                    frames=clip.frames,
                    label=clip.label if clip.label is not None else source.label,
                    caption=clip.caption if clip.caption is not None else source.caption,
                    split="heldout" if "heldout" in sides or (not any(sides) and state.split == "heldout") else "train",
                    shard=place[0],
                    offset=place[1],
                    digest=clip.digest,
                    sound=bool(state.record.samples),
                )
            )
        counts = Counter(row.source for row in rows)
        source_rows = []
        for name in sources:
            record = self.states[name].record
            info = record.info or {}
            source_rows.append(
                SourceRow(
                    source=name,
                    clips=counts[name],
                    damaged=record.damaged,
                    truncated=record.truncated,
                    problem=record.problem,
                    cuts=tuple(round(time, 4) for time in record.cuts),
                    notes=tuple(record.notes),
                    **{key: info.get(key) for key in ("width", "height", "fps", "duration", "codec")},
                )
            )
        return rows, source_rows


def sweep(folder: Path, state: IngestState, parts: bool = False) -> None:
    """Remove what a killed ingest left half done: partial files, and shards that no source has a clip in."""
    used = {place[0] for source in state.sources.values() for place in source.places if place}
    used |= {level_file(name) for name in used if name.endswith(ENDINGS["jpeg"])} | {
        sound_file(place[0])
        for source in state.sources.values()
        for place in source.places
        if place and source.record.samples
    }
    for path in [*folder.glob("shard-*.npy"), *folder.glob(f"shard-*{ENDINGS['jpeg']}")]:
        if path.name not in used:
            path.unlink()
    for inner in (folder, folder / INNER, folder / INNER / "parts"):
        files.remove_partial(inner)
    for path in (folder / INNER / "parts").glob("*.part") if parts else ():
        path.unlink()
