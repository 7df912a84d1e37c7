"""From folders of videos to a dataset: scan, decode in parallel, leave out what is unfit, split, pack.

An earlier dataset in the folder is brought up to date: only what is new is decoded.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np

from footage import files
from footage.config import IngestConfig, differences
from footage.config.registry import imported
from footage.data.ingest import shards, volumes
from footage.data.ingest.intake import content_digest
from footage.data.ingest.shards import DecodeOptions, IngestState, PartRecord, SourceState, Wanted
from footage.data.ingest.sources import (
    HEADS,
    ShownSize,
    Source,
    SourceScan,
    check_labels,
    root_names,
    scan,
    suited_size,
)
from footage.data.ingest.workers import part_job, rate_job, run_jobs, size_job
from footage.data.store import (
    ENDINGS,
    JPEG_SCHEMA,
    QUARTER,
    RAW_SCHEMA,
    SOUND_SCHEMA,
    SUMS,
    ClipRow,
    Coding,
    Dataset,
    DatasetInfo,
    Rejection,
    SourceRow,
    Split,
    content_hash,
    labels_of,
    level_file,
    read_dataset_info,
    read_sums,
    save_tables,
    sound_file,
)
from footage.errors import ConfigError, DatasetError, RemoteError, UnwritableError
from footage.files.locked import HEADER
from footage.machines import remote
from footage.machines.cluster import Cluster
from footage.machines.local import cores
from footage.machines.remote import Cache, RemoteFolder
from footage.media.rates import common_rate, exact_rate
from footage.media.signatures import find_duplicates
from footage.media.sound import RATE

Phase = Literal["rates", "sizes", "decode", "compare", "pack"]
Report = Callable[[Phase, int, int, str], None]
"""Called with what is being done, how much of it is done, out of how much, and a name."""

DEFAULT_FPS = 25.0
"""Rate of a dataset whose sources have none."""
SLOWEST, FASTEST = 1.0, 120.0
"""A rate that is found out, not given, is within these bounds."""
PROBES = 64
"""Files that a worker probes at once."""
MOST_RAW = 256 * 256
"""Pixels of a frame up to which frames are stored raw, where nothing else is asked for."""
DEFAULTS = IngestConfig()
INNER = "ingest"
"""Folder, within the dataset, of what only the ingest itself reads."""
ENOUGH = 10
"""With this many different sources at least one is held out."""
VERSION = 3
"""Raised when the same options give other frames than before: everything is then decoded again."""
ONLY_IDX = ("digits", "sequences", "clip_frames", "seed")
REDO = ""
"""Digest of options of a source that the next ingest tries again."""


@dataclass(frozen=True)
class IngestProgress:
    """How far an ingest is."""

    phase: Phase
    done: int
    """Sources, files or clips that are done in this phase."""
    total: int
    name: str
    """The source that was done last, or nothing."""
    seconds: float
    """Time since the beginning."""


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


def ingest(
    sources: Sequence[Path | str],
    to: Path | str,
    config: IngestConfig = DEFAULTS,
    on_progress: Callable[[IngestProgress], None] | None = None,
    cluster: Cluster | None = None,
) -> IngestResult:
    """Make a dataset from files and folders, or bring one up to date. Run again, it decodes only what is new.

    Args:
        sources: videos, folders (searched recursively), folders of numbered pictures, MNIST's IDX files, arrays (`.npy`
            and `.npz`); or addresses of them, such as `s3://bucket/clips`.
        to: the dataset folder; new, empty, or of an earlier ingest; or an address of one.
        config: the options.
        on_progress: called now and then, in the caller's thread.
        cluster: whose workers decode, instead of processes of this machine; they have to see sources and folder.

    Raises:
        ClusterError: a worker does not see a source, or the folder.
        ConfigError: an option has a value that is not allowed.
        DatasetError: nothing can be ingested, the disk is full, or the folder holds something else.
        RemoteError: an address cannot be reached, read or written to.
    """
    inputs = [sources] if isinstance(sources, (str, Path)) else list(sources)
    if not inputs:
        raise ConfigError("no source was given", "name a folder of videos")
    check_labels(config.labels)
    far = RemoteDataset(address) if (address := remote.address_of(to)) else None
    folder = Path(to) if far is None else far.work
    if folder.exists() and not folder.is_dir():
        raise DatasetError(f'"{folder}" is a file', "name a new folder")
    there = {path.name for path in folder.iterdir()} - {INNER, HEADER} if folder.exists() else set()
    if there and not (folder / INNER / "settings.json").exists():
        raise DatasetError(f'"{folder}" holds something else than an ingested dataset', "name a new or empty folder")
    with remote.sources_here(inputs, to, HEADS) as places:
        origin: dict[str, Any] = {"inputs": [remote.address_of(path) or os.path.abspath(path) for path in inputs]}
        origin["options"] = {name: value for name, (_, value) in differences(DEFAULTS, config).items()}
        if config.labels not in ("folder", "none"):
            origin["options"]["labels"] = os.path.abspath(config.labels)
        return _ingest(places, origin, folder, far, config, on_progress, cluster)


def _ingest(
    inputs: Sequence[Path | str],
    origin: Mapping[str, Any],
    folder: Path,
    far: RemoteDataset | None,
    config: IngestConfig,
    on_progress: Callable[[IngestProgress], None] | None,
    cluster: Cluster | None,
) -> IngestResult:
    """Make a dataset of what is on this machine, for its folder at an address where there is one; see `ingest`."""
    began = time.monotonic()
    if config.cuts and config.shots == "fine":
        imported("footage.generation.cutting.shots:WEIGHTS").path()  # refuses where it is not installed
    listing = scan(inputs, config.labels, leave_out=folder)

    def report(phase: Phase, done: int, total: int, name: str) -> None:
        if on_progress is not None:
            on_progress(IngestProgress(phase, done, total, name, time.monotonic() - began))

    workers = cluster or (cores() if config.workers is None else config.workers)
    remembered = folder / INNER / "settings.json"
    asks = config.spacing is not None or config.window is not None or config.patients_of is not None
    if asks or (not listing.sources and volumes.holds_volumes(inputs, listing)):
        return _ingest_volumes(
            inputs, folder, [None if far is None else far.address, *origin["inputs"]], config, report
        )
    with alone(folder):
        if far is not None and not remembered.exists():  # else an ingest was stopped, and goes on
            far.pull()
        before = _remembered(folder)
        rate = choose_rate(config, before, listing.sources, workers, report)
        if not remembered.exists():
            files.write_json(remembered, {"fps": None, **origin})  # marks the folder as ours
        config, asked = sized(config, before, listing.sources, workers, report), config.size
        options = DecodeOptions.of(config, rate.fps, wanted_coding(config, folder))
        options.pictures.check()
        builder = DatasetBuilder(folder, listing, options, workers, config.keep_duplicates, report)
        settings = {**options.settings, "labels": config.labels if config.labels in ("folder", "none") else "table"}
        settings["keep_duplicates"] = config.keep_duplicates
        settings |= {"rate": str(exact_rate(rate.fps)), "rate_reason": rate.reason}
        settings["ignored"] = dict(sorted(listing.ignored.items()))
        settings["examples"] = dict(sorted(listing.examples.items()))
        dataset = builder.build(config.name or folder.resolve().name, settings)
        size = {"size": asked, "height": options.height, "width": options.width}
        files.write_json(remembered, {"fps": rate.fps, "rate_reason": rate.reason, **(size if asked else {}), **origin})
        if far is not None:
            dataset = far.push()
    return IngestResult(
        dataset=dataset,
        sources=len(listing.sources),
        decoded=builder.decoded,
        reused=len(listing.sources) - builder.decoded,
        gone=builder.gone,
        rejections=tuple(dataset.rejections),
        ignored=dict(listing.ignored),
        seconds=time.monotonic() - began,
    )


def _ingest_volumes(
    inputs: Sequence[Path | str], folder: Path, places: Sequence[str | None], config: IngestConfig, report: Report
) -> IngestResult:
    """Make a dataset of volumes, in this process; see `footage.data.ingest.volumes`.

    None of the `places`, as they were given, may be an address.
    """
    began = time.monotonic()
    for address in filter(None, (remote.address_of(place) for place in places if place is not None)):
        problem = f'"{address}" is an address, and volumes stay on this machine'
        raise ConfigError(problem, "give a folder here, and copy it where it may be")
    if (folder / "dataset.json").exists() and read_dataset_info(folder).volume is None:
        raise DatasetError(f'"{folder}" holds a dataset of clips', "give another folder for volumes")
    with alone(folder):
        builder = volumes.VolumeBuilder(folder, inputs, config, lambda done, total: report("decode", done, total, ""))
        if not (folder / INNER / "settings.json").exists():  # marks the folder as ours; no path, which may hold a name
            files.write_json(folder / INNER / "settings.json", {"fps": None, "inputs": [], "options": {}})
        dataset = builder.build(config.name or folder.resolve().name)
    return IngestResult(
        dataset=dataset,
        sources=len(builder.sources),
        decoded=builder.decoded,
        reused=len(builder.sources) - builder.decoded,
        gone=(),
        rejections=tuple(builder.rejections),
        ignored={},
        seconds=time.monotonic() - began,
    )


class RemoteDataset:
    """A dataset folder at an address that is made, or brought up to date, in a folder of this machine.

    That one stays where an ingest is stopped: the next one goes on there.
    """

    def __init__(self, address: str) -> None:
        self.address, self.folder, self.cache = address, RemoteFolder(address), Cache.of_this_machine()
        self.work = self.cache.work / files.json_digest(address)[:16] / address.rpartition("/")[2]

    def pull(self) -> None:
        """Fetch what an earlier ingest has put to the address.

        Raises:
            DatasetError: something else is there.
        """
        there = self.folder.files()
        if not there:
            return
        if f"{INNER}/settings.json" not in there:
            raise DatasetError(
                f'"{self.address}" holds something else than an ingested dataset', "name a new or empty folder"
            )
        sums = read_sums(self.folder.read(SUMS), f"{self.address}/{SUMS}") if "dataset.json" in there else {}
        for name, wanted in sums.items():
            fetch = functools.partial(self.folder.fetch_one, name)
            with contextlib.closing(self.cache.lease(wanted.sha256, wanted, self.folder.where(name), fetch)) as kept:
                (self.work / name).unlink(missing_ok=True)  # of a stopped one: it may be the cache's own file
                try:
                    os.link(kept.path, self.work / name)
                except OSError:  # another disk, or one without links
                    shutil.copyfile(kept.path, self.work / name)
        for name in ("dataset.json", SUMS, f"{INNER}/state.npz", f"{INNER}/settings.json") if sums else ():
            files.write_bytes(self.work / name, self.folder.read(name) or b"")

    def push(self) -> Dataset:
        """Put what was made to the address, `dataset.json` last, and take away what it replaces; open it there."""
        before = read_sums(self.folder.read(SUMS), f"{self.address}/{SUMS}")
        sums = read_sums((self.work / SUMS).read_bytes(), str(self.work / SUMS))
        self.folder.put(self.work / INNER / "settings.json", f"{INNER}/settings.json")  # marks the folder as ours
        there = self.folder.files()
        for name, wanted in sums.items():
            if before.get(name) != wanted or name not in there or there[name].size != wanted.bytes:
                self.folder.put(self.work / name, name)
        for name in (f"{INNER}/state.npz", SUMS, "dataset.json"):
            self.folder.put(self.work / name, name)
        self.folder.remove([name for name in there if shards.SHARD_FILE.fullmatch(name) and name not in sums])
        room = self.cache.limit // 2
        with contextlib.suppress(RemoteError, UnwritableError, OSError):  # it is at the address already
            for name, wanted in sums.items():  # it is read next, as far as there is room for it
                room -= wanted.bytes
                if room > 0:
                    copy = functools.partial(shutil.copyfile, self.work / name)
                    self.cache.lease(wanted.sha256, wanted, self.folder.where(name), copy, patience=0).close()
        shutil.rmtree(self.work.parent)
        return Dataset(self.address)


def _remembered(folder: Path) -> dict[str, Any]:
    """Return what is noted of the last ingest into a folder; nothing where there was none, or it cannot be read."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return dict(json.loads(files.read_bytes(folder / INNER / "settings.json")))
    return {}


def ingested_from(folder: Path) -> list[str] | None:
    """Return the paths that the last ingest into a folder was given; None where none was, or they are not known."""
    inputs = _remembered(folder).get("inputs")
    return [str(path) for path in inputs] if inputs and isinstance(inputs, list) else None


def find_source(folder: Path, source: str) -> Path | None:
    """Return where a source of the last ingest into a folder lies, by its name; None where that is not known."""
    roots = [Path(path) for path in ingested_from(folder) or ()]
    for root, name in zip(roots, root_names(roots), strict=True):
        if source == name or source.startswith(f"{name}/"):
            return root / source[len(name) + 1 :] if source != name else root
    return None


def options_before(folder: Path) -> dict[str, Any]:
    """Return the options of the last ingest into a folder that are other than usual; none where they are not known."""
    options = _remembered(folder).get("options")
    return dict(options) if isinstance(options, dict) else {}


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


@dataclass(frozen=True)
class ChosenRate:
    """The rate of a dataset."""

    fps: float
    """Frames in a second: the double nearest to the exact rate."""
    reason: str
    """Why this one."""


def choose_rate(
    config: IngestConfig, before: Mapping[str, Any], sources: Sequence[Source], workers: int | Cluster, report: Report
) -> ChosenRate:
    """Return the rate that is asked for, or that of `before`; else the one that most of the time of the videos has.

    That one is `rates.common_rate`, brought within `SLOWEST` and `FASTEST`.
    """
    if config.fps is not None:
        return ChosenRate(float(exact_rate(config.fps)), "as asked for")
    if isinstance(known := before.get("fps"), int | float):  # added files do not change it
        return ChosenRate(known, str(before.get("rate_reason", "as before")))
    paths = [source.path for source in sources if source.kind == "video"]
    rated: list[tuple[Fraction, float]] = []
    done = 0
    jobs = [rate_job(paths[i : i + PROBES], config.deinterlace) for i in range(0, len(paths), PROBES)]
    for job in run_jobs(jobs, workers):
        probed = job.reply.get("rates", [])
        rated += [(exact_rate(fps), seconds) for fps, seconds in filter(None, probed)]
        done += len(probed)
        report("rates", done, len(paths), "")
    if not rated:
        return ChosenRate(DEFAULT_FPS, "no source tells its own")
    common = common_rate(rated)
    fps = min(max(float(common.rate), SLOWEST), FASTEST)
    reason = f"that of {common.seconds:,.0f} of {common.total:,.0f} s"
    if common.seconds >= common.total * 0.999:
        reason = "that of all videos"
    if fps != float(common.rate):
        reason += f", {float(common.rate):.4g}, brought within {SLOWEST:g} to {FASTEST:g}"
    return ChosenRate(fps, reason)


def sized(
    config: IngestConfig, before: Mapping[str, Any], sources: Sequence[Source], workers: int | Cluster, report: Report
) -> IngestConfig:
    """Return a configuration with height and width in place of a size: that of `before`, if it was asked for then too.

    Raises:
        ConfigError: the size is to suit the sources, and none tells its own; or it is out of bounds.
    """
    if config.size is None:
        return config
    width, _, height = config.size.replace("×", "x").partition("x")
    if height:
        return replace(config, size=None, height=int(height), width=int(width))
    if before.get("size") == config.size:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return replace(config, size=None, height=int(before["height"]), width=int(before["width"]))
    shown = shown_sizes(sources, workers, report)
    suited = suited_size(shown) if config.size == "auto" else suited_size(shown, int(config.size))
    return replace(config, size=None, height=suited.height, width=suited.width)


def shown_sizes(sources: Sequence[Source], workers: int | Cluster, report: Report) -> list[ShownSize]:
    """Return what the sources that tell their sizes are displayed at."""
    shown = [size for source in sources if (size := source.displayed()) is not None]
    paths = [source.path for source in sources if source.kind == "video"]
    done = 0
    for job in run_jobs([size_job(paths[i : i + PROBES]) for i in range(0, len(paths), PROBES)], workers):
        probed = job.reply.get("sizes", [])
        shown += [ShownSize(*size) for size in probed if size]
        done += len(probed)
        report("sizes", done, len(paths), "")
    return shown


def wanted_coding(config: IngestConfig, folder: Path) -> Coding:
    """Return how frames are stored: as asked for; else as in the folder, if they have this size; else by their size."""
    if config.coding != "auto":
        return config.coding
    with contextlib.suppress(OSError, ValueError, TypeError):
        info = dict(json.loads(files.read_bytes(folder / "dataset.json")))
        if (info.get("height"), info.get("width")) == (config.height, config.width):
            return "jpeg" if info.get("coding") == "jpeg" else "raw"
    return "raw" if config.height * config.width <= MOST_RAW else "jpeg"


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
        self.assign_sides(wanted)
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
        """Return the clips to keep, in order, and the near-duplicates among the others."""
        states = self.states
        names = [source.name for source in self.listing.sources]
        clips = [(name, i) for name in names for i in range(len(states[name].record.clips))]
        if self.keep_duplicates:
            return clips, []
        compared = [(name, i) for name, i in clips if states[name].record.comparable]
        self.report("compare", 0, len(compared), "")
        if not compared:
            return clips, []
        signatures = np.stack([states[name].signatures[i] for name, i in compared])
        seconds = [states[name].record.clips[i].frames / self.options.fps for name, i in compared]
        left_out: set[Wanted] = set()
        repeated = []
        for pair in find_duplicates(signatures, seconds):
            name, i = compared[pair.clip]
            other, j = compared[pair.of]
            clip, first = states[name].record.clips[i], states[other].record.clips[j]
            detail = f"shows the same as {other}, {first.start:.2f} to {first.end:.2f} s"
            repeated.append(Rejection(name, "near-duplicate", detail, clip.start, clip.end))
            left_out.add((name, i))
        self.report("compare", len(compared), len(compared), "")
        return [clip for clip in clips if clip not in left_out], repeated

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
            "nothing can be ingested" + (f": {listed}" if listed else ": no video was found"),
            f"all reasons are in {self.folder / 'rejected.jsonl'}"
            + (f"; files of other kinds: {others}" if others else ""),
        )

    def assign_sides(self, wanted: Sequence[Wanted]) -> None:
        """Assign the sources that have clips to the sides of the split; arrays prescribe theirs."""
        earlier: dict[str, str] = {}
        if self.earlier.heldout == self.options.heldout:
            earlier = {state.record.content: state.split for state in self.earlier.sources.values() if state.split}
        present = {name for name, _ in wanted}
        clips = {name: self.states[name].record.clips for name in present}
        free = [s.name for s in self.listing.sources if any(clip.split is None for clip in clips.get(s.name, ()))]
        contents = {name: self.states[name].record.content for name in free}
        for name, side in assign_splits(contents, self.options.heldout, earlier).items():
            self.states[name].split = side

    def tables(self, wanted: Sequence[Wanted]) -> tuple[list[ClipRow], list[SourceRow]]:
        """Return the rows of the clips and of the sources, in order."""
        sources = {source.name: source for source in self.listing.sources}
        rows = []
        for name, i in wanted:
            state, source = self.states[name], sources[name]
            clip, place = state.record.clips[i], state.places[i]
            assert place is not None
            rows.append(
                ClipRow(
                    source=name,
                    start=round(clip.start, 4),
                    end=round(clip.end, 4),
                    frames=clip.frames,
                    label=clip.label if clip.label is not None else source.label,
                    caption=clip.caption if clip.caption is not None else source.caption,
                    split="heldout" if (clip.split or state.split) == "heldout" else "train",
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
