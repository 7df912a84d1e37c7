"""From folders of videos to a dataset: scan, decode in parallel, leave out what is unfit, split, pack.

An earlier dataset in the folder is brought up to date: only what is new is decoded.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from footage import files
from footage.config import IngestConfig, differences
from footage.config.registry import imported
from footage.data.ingest import shards, volumes
from footage.data.ingest.builder import INNER, DatasetBuilder, IngestResult, Phase, Report, alone
from footage.data.ingest.shards import DecodeOptions
from footage.data.ingest.sources import (
    HEADS,
    ShownSize,
    Source,
    check_labels,
    root_names,
    scan,
    suited_size,
)
from footage.data.ingest.workers import rate_job, run_jobs, size_job
from footage.data.store import (
    SUMS,
    Coding,
    Dataset,
    read_sums,
)
from footage.errors import ConfigError, DatasetError, ModelError, RemoteError, UnwritableError
from footage.files import locked
from footage.files.locked import HEADER
from footage.machines import remote
from footage.machines.cluster import Cluster
from footage.machines.local import cores
from footage.machines.remote import Cache, RemoteFolder
from footage.media.rates import common_rate, exact_rate
from footage.trust.locks import check_plain

DEFAULT_FPS = 25.0
"""Rate of a dataset whose sources have none."""
SLOWEST, FASTEST = 1.0, 120.0
"""A rate that is found out, not given, is within these bounds."""
PROBES = 64
"""Files that a worker probes at once."""
MOST_RAW = 256 * 256
"""Pixels of a frame up to which frames are stored raw, where nothing else is asked for."""
DEFAULTS = IngestConfig()


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
            and `.npz`), archives (`.tar`, `.zip`, `.tfrecords`); or addresses of them, such as `s3://bucket/clips`.
        to: the dataset folder; new, empty, or of an earlier ingest; or an address of one.
        config: the options.
        on_progress: called now and then, in the caller's thread.
        cluster: whose workers decode, instead of processes of this machine; they have to see sources and folder.

    Raises:
        ClusterError: a worker does not see a source, or the folder.
        ConfigError: an option has a value that is not allowed; a source is locked and the folder is not; or the folder
            is, and something of it would be elsewhere.
        DatasetError: nothing can be ingested, the disk is full, or the folder holds something else.
        RemoteError: an address cannot be reached, read or written to.
    """
    inputs = [sources] if isinstance(sources, (str, Path)) else list(sources)
    if not inputs:
        raise ConfigError("no source was given", "name a folder of videos")
    check_labels(config.labels)
    if config.cuts and config.shots == "fine":
        try:
            imported("footage.generation.cutting.shots:WEIGHTS").path()
        except ModelError as error:  # it is not installed
            remedy = f"{error.remedy}; or give --shots quick, which finds hard cuts without it"
            raise ModelError(error.problem, remedy) from None
    far = RemoteDataset(address) if (address := remote.address_of(to)) else None
    folder = Path(to) if far is None else far.work
    if folder.exists() and not folder.is_dir():
        raise DatasetError(f'"{folder}" is a file', "name a new folder")
    there = {path.name for path in folder.iterdir()} - {INNER, HEADER} if folder.exists() else set()
    if there and not (folder / INNER / "settings.json").exists():
        raise DatasetError(f'"{folder}" holds something else than an ingested dataset', "name a new or empty folder")
    hidden = locked.folder_of(folder) is not None
    if hidden:
        check_near([*inputs, to], cluster)
    else:
        check_plain([path for path in inputs if remote.address_of(path) is None], "the data set", "give --lock")
    with remote.sources_here(inputs, to, HEADS) as places, files.sealing(hidden):
        origin: dict[str, Any] = {"inputs": [remote.address_of(path) or os.path.abspath(path) for path in inputs]}
        origin["options"] = {name: value for name, (_, value) in differences(DEFAULTS, config).items()}
        if config.labels not in ("folder", "none"):
            origin["options"]["labels"] = os.path.abspath(config.labels)
        return _ingest(places, origin, folder, far, config, on_progress, cluster)


def check_near(places: Sequence[Path | str], on: object) -> None:
    """Refuse to make a locked data set of, or at, an address, or on other machines: parts of it would be plain there.

    Raises:
        ConfigError: one of the places is an address, or `on` names other machines.
    """
    far = next((str(place) for place in places if remote.address_of(place) is not None), None)
    if far is not None or on:
        problem = f'"{far}" is an address, and the data set is locked'
        problem = problem if far is not None else "the data set is locked, and other machines are to decode it"
        raise ConfigError(problem, "copy it to this machine, and decode it here: parts of it would be plain elsewhere")


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
    remembered, began = folder / INNER / "settings.json", time.monotonic()
    listing = scan(inputs, config.labels, leave_out=folder)

    def report(phase: Phase, done: int, total: int, name: str) -> None:
        if on_progress is not None:
            on_progress(IngestProgress(phase, done, total, name, time.monotonic() - began))

    workers = cluster or (cores() if config.workers is None else config.workers)
    asks = config.spacing is not None or config.window is not None or config.patients_of is not None
    if asks or (not listing.sources and volumes.holds_volumes(inputs, listing)):
        given = [*([] if far is None else [far.address]), *origin["inputs"]]
        return volumes.ingest_volumes(
            inputs, folder, config, lambda done, total: report("decode", done, total, ""), given
        )
    if not listing.sources and not listing.rejections:
        places = ", ".join(f'"{place}"' for place in origin["inputs"])
        others = listing.passed_over or "–"
        raise DatasetError(f"no video in {places}", f"name a folder of videos; files of other kinds: {others}")
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
        settings |= {"keep_duplicates": config.keep_duplicates, "rate": str(exact_rate(rate.fps))}
        settings |= {"rate_reason": rate.reason} | ({"layouts": listing.layouts} if listing.layouts else {})
        settings |= {name: dict(sorted(getattr(listing, name).items())) for name in ("ignored", "examples")}
        dataset = builder.build(config.name or folder.resolve().name, settings)
        size = {"size": asked, "height": options.height, "width": options.width}
        files.write_json(remembered, {"fps": rate.fps, "rate_reason": rate.reason, **(size if asked else {}), **origin})
        dataset = dataset if far is None else far.push()
    return IngestResult(
        dataset=dataset,
        sources=len(listing.sources),
        decoded=builder.decoded,
        reused=len(listing.sources) - builder.decoded,
        gone=builder.gone,
        rejections=tuple(dataset.rejections),
        ignored=dict(listing.ignored),
        seconds=time.monotonic() - began,
        layouts=tuple(listing.layouts),
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
    videos = [source for source in sources if source.kind == "video"]
    rated: list[tuple[Fraction, float]] = []
    done = 0
    jobs = [rate_job(videos[i : i + PROBES], config.deinterlace) for i in range(0, len(videos), PROBES)]
    for job in run_jobs(jobs, workers):
        probed = job.reply.get("rates", [])
        rated += [(exact_rate(fps), seconds) for fps, seconds in filter(None, probed)]
        done += len(probed)
        report("rates", done, len(videos), "")
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
    videos = [source for source in sources if source.kind == "video"]
    done = 0
    for job in run_jobs([size_job(videos[i : i + PROBES]) for i in range(0, len(videos), PROBES)], workers):
        probed = job.reply.get("sizes", [])
        shown += [ShownSize(*size) for size in probed if size]
        done += len(probed)
        report("sizes", done, len(videos), "")
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
