"""From DICOM series and NIfTI files to a dataset of volumes: find, read, resample, window, split by patient, pack.

Nothing that is written names a patient. Volumes are called by a keyed hash (HMAC-SHA256, RFC 2104) of the patient's
number, under a secret that is drawn for the dataset and stays in its folder; the same hash decides the side of the
split, and neither number nor path is written. Labels from folders are taken where at least two patients share each: a
folder of one patient may be called by a name. Datasets that share a secret call the same patient alike, and can be
paired.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import re
import secrets
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from footage import files
from footage.config import IngestConfig
from footage.config.strict import require
from footage.data.ingest.builder import INNER, IngestResult, alone, assign_splits
from footage.data.ingest.labels import LabelFile
from footage.data.ingest.sources import SourceScan, root_names
from footage.data.locked_arrays import load_array
from footage.data.store import (
    SCHEMA,
    ClipRow,
    Dataset,
    DatasetInfo,
    Rejection,
    SourceRow,
    Split,
    content_hash,
    labels_of,
    read_dataset_info,
    save_tables,
)
from footage.errors import ConfigError, DatasetError, counted, meant
from footage.machines import remote
from footage.media.dicom import DicomSeries, find_series, is_dicom, read_series
from footage.media.geometry import VolumeScale
from footage.media.probe import UnusableMedia
from footage.media.volumes import (
    NIFTI_SUFFIXES,
    SLICES_RATE,
    Levels,
    Spacing,
    Values,
    Volume,
    centred,
    parse_numbers,
    read_nifti,
    resampled,
)

Report = Callable[[int, int], None]
"""Called with how many volumes are read, of how many files and series."""
SECRET, NOTE = "secret", "volumes.json"
"""Files of `INNER`: the key of the hashes, and what the dataset was made of."""
VERSION = 1
"""Raised when the same options give other voxels than before."""
HU_WINDOW = (-1024.0, 1500.0)
"""What `auto` takes of Hounsfield units: from air to dense bone."""
PERCENTILES = (0.1, 99.9)
"""What `auto` takes of values without such a scale, over all volumes."""
SAMPLED = 20_000
"""Voxels of a volume that these are taken from, evenly spread."""
SHARD_BYTES = 128 * 2**20
"""A shard is closed when the next volume would make it larger than this."""
SUBJECT = re.compile(r"sub-[A-Za-z0-9]+")
"""Who a NIfTI file is of, in the names of BIDS."""


@dataclass(frozen=True)
class VolumeSource:
    """A file or series that volumes are read from."""

    key: str
    """What identifies it; only its hash is written."""
    patient: str
    """Whose it is, likewise."""
    is_known: bool
    """Whether the files say whose it is; else each file, or study, is taken for another patient's."""
    path: Path
    """The file, or the first one of the series."""
    below: tuple[str, ...]
    """Parts of its path below the folder that was given."""
    stamp: tuple[tuple[int, int], ...]
    """Size and time of change of its files."""
    series: DicomSeries | None = None
    """The slices of DICOM; None for a file of NIfTI."""

    @property
    def kind(self) -> str:
        """DICOM or NIfTI."""
        return "NIfTI" if self.series is None else "DICOM"

    @property
    def label(self) -> str | None:
        """The first folder below the one that was given; None where there is none."""
        return self.below[0] if len(self.below) > 1 else None

    def read(self) -> Iterator[Volume]:
        """Yield its volumes.

        Raises:
            UnusableMedia: it is damaged, or holds none.
        """
        if self.series is None:
            yield from read_nifti(self.path)
        else:
            yield read_series(self.series)


def is_nifti(path: Path) -> bool:
    """Whether a file's name is one that nibabel reads here; an `.img` needs its header beside it."""
    name = path.name.lower()
    return name.endswith(NIFTI_SUFFIXES) and (not name.endswith(".img") or path.with_suffix(".hdr").is_file())


def holds_volumes(inputs: Sequence[Path | str], passed_over: SourceScan) -> bool:
    """Whether there are volumes among what a scan for videos passed over; looks at the first file of each ending."""
    known = any(ending in (".gz", ".dcm", ".dicom", ".ima", *NIFTI_SUFFIXES) for ending in passed_over.ignored)
    return (known or "(no ending)" in passed_over.ignored) and next(_volume_files(inputs), None) is not None


def _volume_files(inputs: Sequence[Path | str]) -> Iterator[tuple[Path, str, bool]]:
    """Yield the files that may be volumes: path, name below what was given, whether it is DICOM."""
    listing = SourceScan()
    roots = [Path(path).absolute() for path in inputs]
    for root, name in zip(roots, root_names(roots), strict=True):
        if not root.exists():
            raise DatasetError(f'"{root}" does not exist', meant(root, "check the path of the volumes"))
        found = listing.walk(root, name, set()) if root.is_dir() else iter([(root, root.name)])
        for path, full in found:
            below = full[len(name) + 1 :] if root.is_dir() else full
            with contextlib.suppress(OSError):
                if is_nifti(path):
                    yield path, below, False
                elif path.suffix.lower() not in (".hdr", ".txt", ".json", ".csv") and is_dicom(path):
                    yield path, below, True


def find_volumes(inputs: Sequence[Path | str]) -> tuple[list[VolumeSource], list[tuple[Path, str, str]]]:
    """Find what volumes can be read from in files and folders; return those, and the files of no use, with reasons."""
    sources: list[VolumeSource] = []
    slices: dict[Path, str] = {}
    for path, below, dicom in _volume_files(inputs):
        if dicom:
            slices[path] = below
            continue
        subject = SUBJECT.search(below)
        patient, known = (below, False) if subject is None else (subject[0], True)
        parts = tuple(Path(below).parts)
        sources.append(VolumeSource(str(path.absolute()), patient, known, path, parts, (_stamp(path),)))
    series, refused = find_series(slices)
    counts: Counter[str] = Counter()
    for one in series:
        counts[one.uid] += 1
        first = one.slices[0]
        patient = one.patient or str(first.header.get("StudyInstanceUID") or one.uid)
        stamp = tuple(_stamp(path) for path in one.paths)
        parts = tuple(Path(slices[first.path]).parts)
        key = f"{one.uid} {counts[one.uid]}"
        sources.append(VolumeSource(key, patient, bool(one.patient), first.path, parts, stamp, one))
    return sources, refused


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def read_volume(path: Path) -> Volume:
    """Read the one volume of a NIfTI file, or of a DICOM file or folder.

    Raises:
        DatasetError: there is none, or there are several.
    """
    sources, refused = find_volumes([path])
    problems = [f"{where.name}: {reason}, {detail}" for where, reason, detail in refused]
    volumes: list[Volume] = []
    for source in sources:
        try:
            volumes += list(islice(source.read(), 2))
        except UnusableMedia as error:
            problems.append(f"{source.path.name}: {error.reason}, {error.detail}")
    if len(volumes) == 1:
        return volumes[0]
    if volumes:
        sizes = ", ".join("×".join(map(str, volume.values.shape)) for volume in volumes[:4])
        raise DatasetError(f'"{path}" holds several volumes ({sizes} voxels)', "give a file or folder with one")
    reason = f": {problems[0]}" if problems else ""
    raise DatasetError(f'"{path}" holds no volume{reason}', "give a .nii.gz file, or a folder of DICOM slices")


@dataclass(frozen=True)
class VolumePart:
    """A volume that is read, on disk until all are."""

    path: Path
    source: VolumeSource
    name: str
    unit: str
    spacing: Spacing
    """Of what is on disk."""
    shape: tuple[int, int, int]
    """As it was read."""
    notes: tuple[str, ...]

    def values(self, spacing: Sequence[float]) -> Values:
        """Return its real values at a spacing, (T, H, W)."""
        return resampled(load_array(self.path)[:], self.spacing, spacing)


@dataclass
class VolumeBuilder:
    """Makes the dataset of volumes in a folder; see the module."""

    folder: Path
    inputs: Sequence[Path | str]
    config: IngestConfig
    report: Report
    rejections: list[Rejection] = field(default_factory=list)
    """With the paths of files, for the terminal alone."""
    nameless: list[Rejection] = field(default_factory=list)
    """The same with hashes for paths, for the table."""
    decoded: int = 0
    """Files and series that were read in this run."""
    sources: list[VolumeSource] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.inner, self.secret = self.folder / INNER, b""
        remedy = "give millimetres between slices, rows and columns, such as 2,1,1"
        self.spacing: tuple[float, ...] | None = None
        if self.config.spacing is not None:
            self.spacing = parse_numbers("spacing", self.config.spacing, 3, remedy)
            require(all(0.01 <= step <= 1000 for step in self.spacing), "spacing", self.config.spacing, remedy)
        self.window: tuple[float, ...] | None = None
        if self.config.window not in (None, "auto"):
            remedy = "give auto, or the lowest and the highest value, such as -160,240"
            self.window = parse_numbers("window", str(self.config.window), 2, remedy)
            require(self.window[0] < self.window[1], "window", self.config.window, remedy)
        self.height, self.width = self.config.height, self.config.width
        if self.config.size is not None:
            width, _, height = self.config.size.replace("×", "x").partition("x")
            require(bool(height), "size", self.config.size, "of volumes give width and height, such as 64x64")
            self.height, self.width = int(height), int(width)

    def hashed(self, kind: str, text: str) -> str:
        """Return the keyed hash of what must not be written, in hexadecimal."""
        return hmac.new(self.secret, f"{kind}:{text}".encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()

    def build(self, name: str) -> Dataset:
        """Read what there is and write the dataset; where nothing has changed, only open it.

        Raises:
            ConfigError: the dataset whose secret is to be shared has none.
            DatasetError: there is no volume that can be used, or their values are not of one unit.
        """
        self.secret = self.find_secret()
        self.sources, refused = find_volumes(self.inputs)
        config = self.config
        options: list[Any] = [
            VERSION,
            config.spacing,
            config.window,
            self.height,
            self.width,
            config.labels,
            config.min_frames,
        ]
        options += [config.heldout, config.fps, config.keep_static, config.keep_duplicates, name]
        found = [[source.key, source.patient, source.stamp] for source in self.sources]
        made_of = self.hashed("made of", json.dumps([options, found, [detail for _, *detail in refused]]))
        for where, reason, detail in refused:
            self.reject(where, f"file-{self.hashed('file', str(where))[:12]}", reason, detail)
        before: dict[str, Split] = {}
        with contextlib.suppress(OSError, ValueError, LookupError, DatasetError):
            earlier = Dataset(self.folder)
            if json.loads(files.read_bytes(self.inner / NOTE))["made_of"] == made_of:
                return earlier
            before = {row.source.split("-")[1]: row.split for row in earlier.rows}
        parts = self.read()
        units = Counter(part.unit for part in parts)
        if len(units) > 1:
            listed = ", ".join(f"{count} {f'in {unit}' if unit else 'without a unit'}" for unit, count in units.items())
            raise DatasetError(
                f"volumes of several units are mixed: {listed}", "ingest those of each unit by themselves"
            )
        rows: list[ClipRow] = []
        if parts:
            self.spacing = self.spacing or self.found_spacing(parts)
            low, high = self.window or self.found_window(parts)
            scale = VolumeScale.of_window(low, high, parts[0].unit, self.spacing)
            order = {part.name: number for number, part in enumerate(parts)}
            ranks: dict[Split | None, int] = {"heldout": 0, "train": 1, None: 2}  # the first of the same ones stays
            ranked = sorted(parts, key=lambda part: ranks[before.get(part.name.split("-")[1])])
            rows = sorted(self.pack(ranked, scale, self.sides(parts, before)), key=lambda row: order[row.source])
        if not rows:
            files.write_lines(self.folder / "rejected.jsonl", (asdict(row) for row in self.nameless))
            listed = "; ".join(f"{Path(r.source).name}: {r.reason}, {r.detail}" for r in self.rejections[:3])
            more = f" (and {len(self.rejections) - 3} more)" if len(self.rejections) > 3 else ""
            raise DatasetError(
                "no volume can be ingested" + (f": {listed}{more}" if listed else ": none was found"),
                "give a folder of DICOM slices, or .nii.gz files",
            )
        self.write(name, parts, rows, scale)
        files.write_json(self.inner / NOTE, {"schema": 1, "made_of": made_of})
        shutil.rmtree(self.inner / "parts")
        return Dataset(self.folder)

    def find_secret(self) -> bytes:
        """Return the key of the hashes: that of the folder, or of another dataset's; one is drawn where there is none.

        Raises:
            ConfigError: the other dataset has none.
        """
        path, other = self.inner / SECRET, self.config.patients_of
        if other is not None:
            shared = Path(other) / INNER / SECRET
            if not shared.is_file():
                problem = f'patients_of is "{other}", which is no dataset of volumes made on this machine'
                raise ConfigError(problem, "give the folder of one")
            if not path.exists():
                files.write_secret(path, files.read_bytes(shared))
        if not path.exists():
            files.write_secret(path, secrets.token_bytes(32))
        return files.read_bytes(path)

    def reject(self, path: Path, name: str, reason: str, detail: str) -> None:
        """Note a file of no use: by its path for the terminal, by its hash for the table."""
        self.rejections.append(Rejection(str(path), reason, detail))
        self.nameless.append(Rejection(name, reason, detail))

    def sides(self, parts: Sequence[VolumePart], before: Mapping[str, Split]) -> dict[str, Split]:
        """Assign patients to sides, by the hash of their number; those of before keep theirs."""
        patients = {part.source.patient: self.hashed("patient", part.source.patient) for part in parts}
        earlier = {digest: before[digest[:12]] for digest in patients.values() if digest[:12] in before}
        return assign_splits(patients, self.config.heldout, earlier)

    def read(self) -> list[VolumePart]:
        """Read every volume into a file of its own; those that a run which was stopped has read are there already."""
        found: list[VolumePart] = []
        folder = self.inner / "parts"
        folder.mkdir(parents=True, exist_ok=True)
        numbers: Counter[str] = Counter()
        for done, source in enumerate(self.sources):
            self.report(done, len(self.sources))
            patient = self.hashed("patient", source.patient)[:12]
            numbers[patient] += 1
            name = f"patient-{patient}-{numbers[patient]}"
            stem = self.hashed("part", json.dumps([source.key, source.stamp, self.spacing, VERSION]))[:24]
            marker = folder / f"{stem}.json"
            try:
                if not marker.exists():
                    self.decoded += 1
                    self.store(source, folder / stem)
                for moment, about in enumerate(json.loads(files.read_bytes(marker))):
                    called = name if moment == 0 else f"{name}@{moment}"
                    about = {key: tuple(value) if isinstance(value, list) else value for key, value in about.items()}
                    found.append(VolumePart(folder / f"{stem}-{moment}.npy", source, called, **about))
            except UnusableMedia as error:
                self.reject(source.path, name, error.reason, error.detail)
        self.report(len(self.sources), len(self.sources))
        return found

    def store(self, source: VolumeSource, stem: Path) -> None:
        """Write the volumes of a source, resampled where the spacing is given; at last what there is to say of them."""
        about = []
        for moment, volume in enumerate(source.read()):
            values, spacing = volume.values, volume.spacing
            if self.spacing is not None:
                values = resampled(values, spacing, self.spacing)
                spacing = (self.spacing[0], self.spacing[1], self.spacing[2])
            path = stem.with_name(f"{stem.name}-{moment}.npy")
            with files.writing(path, durable=False) as handle:
                np.save(handle, values)
            about.append({"unit": volume.unit, "spacing": spacing, "shape": volume.values.shape, "notes": volume.notes})
        files.write_json(stem.with_name(f"{stem.name}.json"), about)

    def found_spacing(self, parts: Sequence[VolumePart]) -> tuple[float, ...]:
        """Return the middle distance of slices, and in plane what brings the middle field to the size that is asked."""
        between = float(np.median([part.spacing[0] for part in parts]))
        rows = np.median([part.shape[1] * part.spacing[1] / self.height for part in parts])
        columns = np.median([part.shape[2] * part.spacing[2] / self.width for part in parts])
        in_plane = float(max(rows, columns))
        return tuple(float(f"{step:.4g}") for step in (between, in_plane, in_plane))

    def found_window(self, parts: Sequence[VolumePart]) -> tuple[float, float]:
        """Return the window that `auto` stands for."""
        if parts[0].unit == "HU":
            return HU_WINDOW
        sampled = []
        for part in parts:
            values = load_array(part.path)[:].reshape(-1)
            sampled.append(values[:: max(1, values.size // SAMPLED)])
        low, high = np.percentile(np.concatenate(sampled), PERCENTILES)
        return float(low), float(high) if high > low else float(low) + 1.0

    def labels(self) -> dict[str, str | None]:
        """Return the labels of sources, by their keys: of a table, or of folders that patients share."""
        if self.config.labels == "none":
            return {}
        if self.config.labels != "folder":
            names = {
                source.key: (str(source.path), "/".join(source.below), source.path.name, source.path.parent.name)
                for source in self.sources
            }
            return {key: row.label for key, row in LabelFile(Path(self.config.labels)).match(dict(names))[0].items()}
        patients: defaultdict[str | None, set[str]] = defaultdict(set)
        for source in self.sources:
            patients[source.label].update([source.patient] if source.is_known else [])
        shared = min(map(len, patients.values())) >= 2  # else a folder may be called by a name
        return {source.key: source.label for source in self.sources} if shared else {}

    def pack(self, parts: Sequence[VolumePart], scale: VolumeScale, sides: Mapping[str, Split]) -> list[ClipRow]:
        """Write the levels of the volumes that are fit into new shards; return their rows."""
        rows: list[ClipRow] = []
        labels = self.labels()
        digests: dict[str, str] = {}
        waiting: list[tuple[VolumePart, Levels, str]] = []
        number = 1 + max((int(path.stem[6:11]) for path in self.folder.glob("shard-*.npy")), default=-1)
        for part in [*parts, None]:  # None: the last shard ends
            levels = digest = None
            if part is not None:
                values = centred(part.values(scale.spacing), self.height, self.width, scale.window[0])
                levels = scale.levels(values)
                digest = hashlib.sha256(levels.tobytes()).hexdigest()
                if (fault := self.fault(levels, digests.get(digest), scale)) is not None:
                    self.reject(part.source.path, part.name, *fault)
                    continue
                digests[digest] = part.name
            size = sum(held.nbytes for _, held, _ in waiting)
            if waiting and (levels is None or size + levels.nbytes > SHARD_BYTES):
                shard = f"shard-{number:05d}.npy"
                self.write_shard(self.folder / shard, [held for _, held, _ in waiting])
                offset, number, rate = 0, number + 1, self.config.fps or SLICES_RATE
                for held_part, held, held_digest in waiting:
                    label, side = labels.get(held_part.source.key), sides[held_part.source.patient]
                    end, depth = len(held) / rate, len(held)
                    row = ClipRow(held_part.name, 0.0, end, depth, label, None, side, shard, offset, held_digest)
                    rows.append(row)
                    offset += depth
                waiting.clear()
            if part is not None and levels is not None and digest is not None:
                waiting.append((part, levels, digest))
        return rows

    def fault(self, levels: Levels, same: str | None, scale: VolumeScale) -> tuple[str, str] | None:
        """Return why a volume is left out, reason and detail; None where it is fit."""
        config, depth = self.config, len(levels)
        if depth < config.min_frames:
            return (
                "too short",
                f"{counted(depth, 'slice')} of {scale.spacing[0]:g} mm, at least {config.min_frames} are needed",
            )
        if levels.min() == levels.max() and not config.keep_static:
            return "static", "all of it is one value within the window"
        if same is not None and not config.keep_duplicates:
            return "repeated", f"the same as {same}"
        return None

    def write_shard(self, path: Path, volumes: Sequence[Levels]) -> None:
        """Write volumes (T, H, W) one behind the other, as slices (N, H, W, 1)."""
        shape = (sum(map(len, volumes)), self.height, self.width, 1)
        with files.writing(path) as out:
            np.lib.format.write_array_header_1_0(out, {"descr": "<u2", "fortran_order": False, "shape": shape})
            for levels in volumes:
                out.write(levels.astype("<u2").tobytes())

    def write(self, name: str, parts: Sequence[VolumePart], rows: Sequence[ClipRow], scale: VolumeScale) -> None:
        """Write the tables, and remove shards of before."""
        kept, config = {row.source for row in rows}, self.config
        source_rows = []
        for part in parts:
            _, height, width = part.shape
            kind, clips = part.source.kind, int(part.name in kept)
            source_rows.append(SourceRow(part.name, clips, width, height, codec=kind, notes=part.notes))
        settings: dict[str, Any] = {"volumes": VERSION, "spacing": config.spacing, "window": config.window}
        settings |= {"heldout": config.heldout, "min_frames": config.min_frames}
        info = DatasetInfo(
            name=name,
            height=self.height,
            width=self.width,
            channels=1,
            fps=config.fps or SLICES_RATE,
            labels=labels_of(rows),
            clips=len(rows),
            content_hash=files.json_digest([content_hash(rows), asdict(scale)]),
            settings=settings,
            schema=SCHEMA,
            volume=scale,
        )
        save_tables(self.folder, info, rows, self.nameless, source_rows)
        for path in self.folder.glob("shard-*.npy"):
            if path.name not in {row.shard for row in rows}:
                path.unlink()


def ingest_volumes(
    inputs: Sequence[Path | str], folder: Path, config: IngestConfig, report: Report, given: Sequence[str]
) -> IngestResult:
    """Make a dataset of volumes, in this process.

    Args:
        inputs: files and folders on this machine.
        folder: of the dataset.
        config: the options.
        report: called with how many are done.
        given: what inputs and folder were called; no address, for volumes stay here.

    Raises:
        ConfigError: an option has a value that is not allowed, or something is at an address.
        DatasetError: nothing can be ingested, or the folder holds a dataset of clips.
    """
    began = time.monotonic()
    for address in filter(None, map(remote.address_of, given)):
        problem = f'"{address}" is an address, and volumes stay on this machine'
        raise ConfigError(problem, "give a folder here, and copy it where it may be")
    if (folder / "dataset.json").exists() and read_dataset_info(folder).volume is None:
        raise DatasetError(f'"{folder}" holds a dataset of clips', "give another folder for volumes")
    with alone(folder):
        builder = VolumeBuilder(folder, inputs, config, report)
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
