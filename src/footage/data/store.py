"""The dataset folder: clips decoded once into memory-mapped shards, and the tables that describe them.

dataset.json       what it is: size, rate, labels, content hash (see `DatasetInfo`)
clips.jsonl        a row for each clip (see `ClipRow`), ordered by source and time
sources.jsonl      a row for each input: what it is, and whether it was damaged (see `SourceRow`)
rejected.jsonl     a row for each input or span that was left out, with the reason (see `Rejection`)
files.json         length and SHA-256 of each of the others, by which they are fetched where the folder is an address
shard-00000.npy …  uint8 frames (N, H, W, C); a clip is `frames` rows of it from `offset` on. Of volumes, whose time
                   is depth, uint16 levels: `DatasetInfo.volume` says what they mean

Large frames are stored as JPEG pictures, beside copies of them at a quarter of height and width:

shard-00000.jpegs …        the frames as pictures (see `footage.data.jpeg`)
shard-00000.quarter.npy …  uint8 means of 4×4 pixels (N, H/4, W/4, C), where 4 divides both sides

Where clips have sound, it stands beside their shard:

shard-00000.sound.npy …    int16 in mono at `sound_rate`, from frame 0 of the shard on without a gap; none of clips
                           that have none, of which a file system keeps no bytes
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from footage import __version__, files
from footage.config.strict import checked_methods, explained, fitting
from footage.data.jpeg import AGAIN, JpegFile
from footage.data.locked_arrays import Pages, load_array
from footage.errors import ConfigError, DatasetError, LockError, counted, meant
from footage.files import locked
from footage.machines import remote
from footage.machines.remote import FileSum, HeldFiles, RemoteFolder
from footage.media.geometry import VolumeScale
from footage.media.rates import exact_rate
from footage.media.sound import Sound
from footage.media.volumes import Levels, display_levels

SCHEMA = 4
"""Version of the folder's format, with volumes. A higher number than ours is refused."""
SOUND_SCHEMA = 3
"""Version of a folder with sound."""
JPEG_SCHEMA = 2
"""Version of a folder with JPEG and without sound: it is what older programs write and read."""
RAW_SCHEMA = 1
"""Version of a folder without either."""

Coding = Literal["raw", "jpeg"]
CODINGS: tuple[Coding, ...] = ("raw", "jpeg")
ENDINGS: dict[Coding, str] = {"raw": ".npy", "jpeg": ".jpegs"}
"""Of the shards."""
Split = Literal["train", "heldout"]
Frames = npt.NDArray[np.uint8]
Stored = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
QUARTER = 4
"""Means that are a multiple of this wide are taken in two steps: of QUARTER² pixels, rounded, then of those."""
BLOCK_BYTES = 8 * 2**20
"""Frames that are made smaller at once are at most this large, where several are."""
SUMS = "files.json"
"""Table of lengths and hashes."""
SUMS_SCHEMA = 1
"""Version of its format."""
TABLES = ("clips.jsonl", "rejected.jsonl", "sources.jsonl")
SHARD_NAME = re.compile(r"shard-\d+(\.[a-z]+){1,2}")
"""A shard, or a file beside it."""
RowType = TypeVar("RowType", "ClipRow", "Rejection", "SourceRow", "DatasetInfo", VolumeScale)


@dataclass(frozen=True)
class ClipRow:
    """One clip of a dataset: a span without a cut of one source."""

    source: str
    """Path of the source relative to the folder that was given, with forward slashes, the folder's name in front."""
    start: float
    """Where the clip begins in the source, in seconds."""
    end: float
    """Where the clip ends in the source, in seconds."""
    frames: int
    label: str | None
    caption: str | None
    """What is said of it; of several captions, one a line."""
    split: Split
    """`train`, or `heldout`: never trained on. All clips of a source are on one side."""
    shard: str
    """File name of the shard that holds the frames."""
    offset: int
    """First frame of the clip within the shard."""
    digest: str
    """SHA-256 of the clip's pixels."""
    sound: bool = False
    """Whether its sound stands beside the shard."""

    @property
    def captions(self) -> tuple[str, ...]:
        """The captions, which stand one a line in `caption`; each says all of the clip."""
        return tuple(line for line in map(str.strip, (self.caption or "").split("\n")) if line)


@dataclass(frozen=True)
class Rejection:
    """An input, or a span of one, that did not become a clip."""

    source: str
    reason: str
    """One of the fixed short reasons of `data.ingest`, such as `too short`."""
    detail: str
    """The offending value in words."""
    start: float | None = None
    """Where the span begins, in seconds, or None for the whole source."""
    end: float | None = None
    """Where the span ends, in seconds, or None for the whole source."""


@dataclass(frozen=True)
class SourceRow:
    """One input, whether clips came of it or not."""

    source: str
    clips: int
    width: int | None = None
    """Width as displayed, in pixels, or None where it is not known."""
    height: int | None = None
    """Height as displayed, in pixels, or None where it is not known."""
    fps: float | None = None
    """Average frames in a second, or None where it is not known."""
    duration: float | None = None
    """Length that the container declares, in seconds, or None where it does not."""
    codec: str | None = None
    """FFmpeg's name of the codec, or None where it is not known."""
    damaged: int = 0
    truncated: bool = False
    """Whether it ends before the length that it declares."""
    problem: str = ""
    """The first fault, in the decoder's words."""
    cuts: tuple[float, ...] = ()
    """When a new scene begins, in seconds: the cuts that were found."""
    notes: tuple[str, ...] = ()
    """What was done to its pictures or found out about it, in a few words each."""


@dataclass(frozen=True)
class DatasetInfo:
    """What a dataset is: the content of `dataset.json`."""

    name: str
    height: int
    """Height of every frame, in pixels."""
    width: int
    """Width of every frame, in pixels."""
    channels: int
    """1 for grey, 3 for RGB."""
    fps: float
    labels: tuple[str, ...]
    """The classes, sorted; empty when no clip has a label."""
    clips: int
    content_hash: str
    """SHA-256 over the clips' pixels, sound, labels, captions and splits, in any order; of JPEG over quality too."""
    settings: dict[str, Any] = field(default_factory=dict)
    schema: int = RAW_SCHEMA
    made_by: str = f"footage {__version__}"
    """Program and version that wrote it."""
    coding: Coding = "raw"
    """How the frames are stored; `clips.jsonl` has digests of the pixels before they were made JPEG."""
    quality: int | None = None
    """Quality of the JPEG pictures, 1 to 100."""
    levels: tuple[int, ...] = ()
    """How many times smaller the copies are that stand beside the frames."""
    sound_rate: int | None = None
    """Samples of sound in a second; None where no clip has any."""
    volume: VolumeScale | None = None
    """What the levels of volumes mean, and how their voxels lie; None for what is no volume."""


SLOWEST_RATE, FASTEST_RATE = 1e-3, 1e5
"""Frames a second."""
LARGEST_NUMBER = 10**15
"""Frames, samples, seconds and pixels are less."""


def _is_whole(value: Any) -> bool:
    return type(value) is int and 0 <= value < LARGEST_NUMBER


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and -LARGEST_NUMBER < value < LARGEST_NUMBER  # no NaN either


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


KINDS_OF_VALUES: dict[str, Callable[[Any], bool]] = {
    "str": _is_text,
    "int": _is_whole,
    "float": _is_number,
    "bool": lambda value: isinstance(value, bool),
    "dict[str, Any]": lambda value: isinstance(value, dict),
    "tuple[str, ...]": lambda value: isinstance(value, list) and all(map(_is_text, value)),
    "tuple[float, ...]": lambda value: isinstance(value, list) and all(map(_is_number, value)),
    "tuple[int, ...]": lambda value: isinstance(value, list) and all(map(_is_whole, value)),
    "Split": lambda value: value in ("train", "heldout"),
    "Coding": lambda value: isinstance(value, str),
    "VolumeScale": lambda value: isinstance(value, dict),
}
"""Whether a value of JSON is what a field may hold, by the field's type."""


def _from_json(kind: type[RowType], value: Any, where: str) -> RowType:
    """Build a row from JSON, refusing unknown and missing keys, and values that the table cannot hold."""
    types = {f.name: str(f.type) for f in fields(kind)}
    if not isinstance(value, dict) or not set(value) <= set(types):
        raise DatasetError(f"{where} is not a {kind.__name__}: {value!r:.200}", "make the dataset again")
    known: dict[str, Any] = {}
    for key, given in value.items():
        name = types[key].removesuffix(" | None")
        if not (given is None and name != types[key]) and not KINDS_OF_VALUES[name](given):
            raise DatasetError(f"{where} has {given!r:.80} for {key}", "make the dataset again")
        known[key] = tuple(given) if name.startswith("tuple") else given
    if isinstance(known.get("volume"), dict):
        known["volume"] = _from_json(VolumeScale, known["volume"], f"volume of {where}")
    try:
        return kind(**known)
    except (TypeError, ConfigError) as error:
        raise DatasetError(f"{where} is not a {kind.__name__}: {error}", "make the dataset again") from None


def content_hash(rows: Sequence[ClipRow], quality: int | None = None, heard: Sequence[str] = ()) -> str:
    """Return the SHA-256 of what a model can learn from the rows: pixels, sound, labels, captions and splits.

    Args:
        rows: the clips.
        quality: of JPEG pictures; None for frames that are stored as they are.
        heard: SHA-256 of the sound of each clip, empty for one without, and for one of an older program's: then it is
            the hash that this program gave.
    """
    sounds = heard or [""] * len(rows)
    learned: list[Any] = sorted(
        [r.digest, r.label or "", r.caption or "", r.split, *filter(None, [sound])]
        for r, sound in zip(rows, sounds, strict=True)
    )
    return files.json_digest(learned if quality is None else [learned, "jpeg", quality])


def labels_of(rows: Iterable[ClipRow]) -> tuple[str, ...]:
    """Return the labels that clips have, sorted."""
    return tuple(sorted({row.label for row in rows if row.label is not None}))


def level_file(shard: str) -> str:
    """Return the name of the file with the frames of a shard at a quarter of height and width."""
    return f"{Path(shard).stem}.quarter.npy"


def sound_file(shard: str) -> str:
    """Return the name of the file with the sound of a shard."""
    return f"{Path(shard).stem}.sound.npy"


def samples_until(frame: int, fps: float, rate: int) -> int:
    """Return the number of samples before a frame, of sound that begins with frame 0."""
    return round(Fraction(frame) * rate / exact_rate(fps))


def read_sums(content: bytes | None, where: str) -> dict[str, FileSum]:
    """Read `files.json`; it says nothing of any file where there is none.

    Whoever writes an address writes this too, and its names and hashes become paths on this machine.

    Raises:
        DatasetError: it is damaged, or of a newer format, or names what is no file of a dataset.
    """
    sums: dict[str, FileSum] = {}
    try:
        value = json.loads(content or b"{}")
        files.refuse_newer(value.get("schema"), SUMS_SCHEMA, where, DatasetError)
        for name, row in value.get("files", {}).items():
            if name not in TABLES and not SHARD_NAME.fullmatch(name):
                raise ValueError(f'"{name[:200]}" is no file of a data set')
            sums[name] = FileSum(int(row["bytes"]), str(row["sha256"]))
            if sums[name].bytes < 0 or not re.fullmatch("[0-9a-f]{64}", sums[name].sha256):
                raise ValueError(f"it says of {name} what no file is")
        return sums
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise DatasetError(
            f"{where} cannot be read ({error})", "remove it and run the same ingest command again"
        ) from None


def write_sums(folder: Path, shards: Iterable[str]) -> dict[str, FileSum]:
    """Write `files.json` for the tables and some shards; what is older than the last one is not read again."""
    path = folder / SUMS
    before: dict[str, FileSum] = {}
    since = 0
    with contextlib.suppress(OSError, DatasetError):
        before, since = read_sums(files.read_bytes(path), str(path)), path.stat().st_mtime_ns
    sums: dict[str, FileSum] = {}
    for name in (*TABLES, *sorted(shards)):
        length, changed, old = locked.size(folder / name), (folder / name).stat().st_mtime_ns, before.get(name)
        known = old is not None and old.bytes == length and changed < since
        sums[name] = old if known and old else FileSum(length, files.file_digest(folder / name))
    files.write_json(path, {"schema": SUMS_SCHEMA, "files": {name: asdict(row) for name, row in sums.items()}})
    return sums


def save_tables(
    folder: Path,
    info: DatasetInfo,
    rows: Sequence[ClipRow],
    rejections: Sequence[Rejection],
    sources: Sequence[SourceRow] = (),
) -> None:
    """Write the tables. `dataset.json` comes last: a folder with it is complete."""
    files.write_lines(folder / "sources.jsonl", (asdict(row) for row in sources))
    spoken = [asdict(row) for row in rows]
    for value in spoken:
        if not value["sound"]:  # older programs refuse what they do not know
            del value["sound"]
    files.write_lines(folder / "clips.jsonl", spoken)
    files.write_lines(folder / "rejected.jsonl", (asdict(row) for row in rejections))
    value = asdict(info)
    if info.sound_rate is None:
        del value["sound_rate"]
    if info.volume is None:
        del value["volume"]
    if info.schema == RAW_SCHEMA:
        for key in ("coding", "quality", "levels"):
            del value[key]
    used = {row.shard for row in rows}
    beside = {level_file(shard) for shard in used} if info.levels else set()
    write_sums(folder, used | beside | {sound_file(row.shard) for row in rows if row.sound})
    files.write_json(folder / "dataset.json", value)


def area_means(frames: Frames, scale: int) -> Frames:
    """Return the means of squares of `scale` × `scale` pixels, rounded half up: (T, H/scale, W/scale, C).

    `scale` must divide height and width of the frames (T, H, W, C). Where it is a multiple of `QUARTER`, the means are
    those of rounded means of `QUARTER` × `QUARTER` pixels, at most one level away from the exact ones.
    """
    for step in (QUARTER, scale // QUARTER) if scale % QUARTER == 0 else (scale,):
        wide = np.uint16 if step <= 16 else np.uint32  # 16² pixels of 255 and half of 16² are less than 2**16
        rows: npt.NDArray[Any] = frames[:, ::step].astype(wide)  # H → H/step
        for i in range(1, step):
            rows += frames[:, i::step]
        total: npt.NDArray[Any] = rows[:, :, ::step] + wide(step * step // 2)  # W → W/step
        for i in range(1, step):
            total += rows[:, :, i::step]
        frames = (total // (step * step)).astype(np.uint8)
    return frames


def read_dataset_info(folder: Path | str) -> DatasetInfo:
    """Read what a dataset is, without its tables.

    Raises:
        DatasetError: the folder is missing, incomplete, damaged, or of a newer format.
        LockError: it is locked and cannot be opened.
        RemoteError: it is at an address that cannot be read.
    """
    address = remote.address_of(folder)
    place = address or str(folder)
    path = f"{place}/dataset.json"
    try:
        content = RemoteFolder(address).read("dataset.json") if address else files.read_bytes(Path(path))
        if content is None:
            raise FileNotFoundError
        value = json.loads(content)
    except FileNotFoundError:
        make = f"make one with: footage ingest FOLDER_OF_VIDEOS --to {place}"
        remedy = meant(place, make, table="dataset.json")
        there = address is not None or Path(folder).is_dir()
        problem = "is not a dataset (it has no dataset.json)" if there else "does not exist"
        raise DatasetError(f'"{place}" {problem}', remedy) from None
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path} cannot be read ({error})", "make the dataset again") from None
    if isinstance(value, dict):
        files.refuse_newer(value.get("schema"), SCHEMA, path, DatasetError)
    info = _from_json(DatasetInfo, value, path)
    if info.coding not in CODINGS:
        raise DatasetError(f'{path} has the coding "{info.coding}"', "make the dataset again")
    fitting = 0 < info.height < 2**16 and 0 < info.width < 2**16 and info.channels in (1, 3)
    if not fitting or not SLOWEST_RATE <= info.fps <= FASTEST_RATE or set(info.levels) - {QUARTER}:
        problem = f"{path} says {info.width}×{info.height}, {counted(info.channels, 'channel')}, {info.fps:g} fps"
        raise DatasetError(f"{problem}, which no dataset has", "make the dataset again")
    return info


@checked_methods
class Dataset:
    """A dataset folder opened for reading. Frames are memory-mapped: nothing is loaded before it is asked for.

    Of one at an address the shards are fetched whole when they are asked for, and mapped here.

    Raises:
        DatasetError: the folder is missing, incomplete, damaged, or of a newer format.
        RemoteError: of all methods, where it is at an address: it cannot be reached or read.
    """

    def __init__(self, folder: Path | str) -> None:
        address = remote.address_of(folder := fitting(Path, folder, "folder"))
        self.folder, self.place = Path(folder), address or str(folder)
        self.info = read_dataset_info(folder)
        self._held: HeldFiles | None = None
        if address is not None:
            there = RemoteFolder(address)
            sums = read_sums(there.read(SUMS), f"{address}/{SUMS}")
            if not sums:
                raise DatasetError(
                    f'"{address}" has no {SUMS}, by which its shards are fetched',
                    f"run the same ingest command again, with --to {address} or to copy the folder again",
                )
            self._held = HeldFiles(there, sums, self._forget)
        self.rows = [_from_json(ClipRow, v, "clips.jsonl") for v in self._table("clips.jsonl")]
        for row in self.rows:
            if not SHARD_NAME.fullmatch(row.shard) or row.frames < 1:
                raise DatasetError(
                    f'{self.place}/clips.jsonl names {counted(row.frames, "frame")} of "{row.shard:.80}"',
                    "make the dataset again",
                )
        if len(self.rows) != self.info.clips:
            raise DatasetError(
                f"{self.place} lists {counted(len(self.rows), 'clip')}, dataset.json says {self.info.clips}",
                "run the same ingest command again: it decodes only what is missing",
            )
        self._begin()

    def __str__(self) -> str:
        return self.place

    def _begin(self) -> None:
        self._opened: dict[str, Stored | JpegFile] = {}
        self._tracks: dict[str, npt.NDArray[np.int16]] = {}
        self._opening, self._pages = threading.Lock(), Pages()

    @property
    def is_locked(self) -> bool:
        return self._held is None and locked.folder_of(self.folder) is not None

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process opens the same with: it maps the files itself."""
        folder = self.folder if self._held else self.folder.absolute()
        sums = self._held and self._held.sums
        return {"folder": folder, "place": self.place, "info": self.info, "rows": self.rows, "sums": sums}

    def __setstate__(self, state: dict[str, Any]) -> None:
        sums = state.pop("sums")
        vars(self).update(state)
        self._held = HeldFiles(RemoteFolder(self.place), sums, self._forget) if sums else None
        self._begin()

    def _forget(self, name: str) -> None:
        self._opened.pop(name, None)
        self._tracks.pop(name, None)

    def _path(self, name: str) -> Path:
        """Return where a file is, or, of a dataset at an address, where it is kept here.

        Raises:
            DatasetError: it was not there when the dataset was put to the address.
        """
        if self._held is None:
            return self.folder / name
        if name not in self._held.sums:
            raise DatasetError(f"{self.place}/{SUMS} does not name {name}", "run the same ingest command again")
        return self._held.path(name)

    def groups(self, rng: np.random.Generator) -> npt.NDArray[np.int64] | None:
        """Return a number for each clip: those of one number are to be read together, one number after another.

        Each number's shards fit half of the cache, and which go together is drawn; None where all fit it, or are here.
        """
        if self._held is None:
            return None
        sizes: dict[str, int] = {}
        for shard in sorted({row.shard for row in self.rows}):
            names = [shard, level_file(shard), sound_file(shard)]
            sizes[shard] = sum(self._held.sums[name].bytes for name in names if name in self._held.sums)
        if sum(sizes.values()) <= self._held.cache.limit:
            return None
        numbers: dict[str, int] = {}
        number, room = -1, 0
        for shard in rng.permutation(list(sizes)).tolist():
            if sizes[shard] > room:
                number, room = number + 1, self._held.room
            numbers[shard], room = number, room - sizes[shard]
        return np.array([numbers[row.shard] for row in self.rows])

    def _table(self, name: str) -> list[dict[str, Any]]:
        try:
            return files.read_lines(self._path(name))
        except (OSError, ValueError, RecursionError) as error:
            raise DatasetError(
                f"{self.place}/{name} cannot be read ({error})", "run the same ingest command again"
            ) from None

    @property
    def rejections(self) -> list[Rejection]:
        return [_from_json(Rejection, v, "rejected.jsonl") for v in self._table("rejected.jsonl")]

    @property
    def sources(self) -> list[SourceRow]:
        """What the dataset was made from; empty for a dataset that was not made by `ingest`."""
        if self._held is None and not (self.folder / "sources.jsonl").exists():
            return []
        return [_from_json(SourceRow, v, "sources.jsonl") for v in self._table("sources.jsonl")]

    def split(self, name: Split) -> list[ClipRow]:
        return [row for row in self.rows if row.split == name]

    @explained
    def read(self, row: ClipRow, start: int = 0, frames: int | None = None) -> Frames:
        """Return `frames` frames of a clip from its frame `start` on, uint8 (T, H, W, C); raw ones without a copy.

        Of volumes these are the nearest of 8 bits.

        Raises:
            DatasetError: the frames are outside the clip, or a shard is missing or damaged.
        """
        return self._window(row, start, self._count(row, start, frames))

    @explained
    def read_deep(self, row: ClipRow, start: int = 0, frames: int | None = None) -> Levels:
        """Return slices of a volume from number `start` on, uint16 (T, H, W, C), without a copy.

        Raises:
            DatasetError: they are outside the volume, or a shard is missing or damaged; or there are no volumes.
        """
        if self.info.volume is None:
            raise DatasetError(f"{self.place} holds clips, not volumes", "ingest DICOM or NIfTI files")
        stored = self._stored(row, start, self._count(row, start, frames))
        assert stored.dtype == np.uint16
        return stored  # type: ignore[return-value]

    @explained
    def read_small(self, row: ClipRow, start: int = 0, frames: int | None = None, scale: int = QUARTER) -> Frames:
        """Return frames of a clip made smaller by area means (see `area_means`), uint8 (T, H/scale, W/scale, C).

        Raises:
            DatasetError: height or width is not a multiple of `scale`, the frames are outside the clip, or a shard is
                missing or damaged.
        """
        height, width = self.info.height, self.info.width
        if scale < 1 or height % scale or width % scale:
            raise DatasetError(
                f"{self.place} has frames of {width}×{height}, which cannot be made {scale} times smaller",
                "choose a scale that divides both, or ingest again at a size that it divides",
            )
        count = self._count(row, start, frames)
        quarter = scale % QUARTER == 0 and QUARTER in self.info.levels
        step = scale // QUARTER if quarter else scale
        if step == 1:
            return self._window(row, start, count, quarter)
        small = np.empty((count, height // scale, width // scale, self.info.channels), dtype=np.uint8)
        block = max(1, BLOCK_BYTES // (small[0].nbytes * step * step)) if count else 1
        for first in range(0, count, block):
            part = self._window(row, start + first, min(block, count - first), quarter)
            small[first : first + block] = area_means(part, step)
        return small

    @explained
    def sound(self, row: ClipRow, start: int = 0, frames: int | None = None) -> Sound | None:
        """Return what is heard during `frames` frames of a clip from its frame `start` on; None where it has no sound.

        As many frames have as many samples: `samples_until(frames, fps, rate)`. Time 0 is that of the clip's first
        frame.

        Raises:
            DatasetError: the frames are outside the clip, or its file is missing or damaged.
        """
        count, rate = self._count(row, start, frames), self.info.sound_rate
        if not row.sound or rate is None:
            return None
        name, fps = sound_file(row.shard), self.info.fps
        with self._opening:
            track = self._tracks.get(name)
            if track is None:
                path = self._path(name)
                track = self._load(path)
                if track.dtype != np.int16 or track.ndim != 1:
                    raise DatasetError(
                        f"{path} holds {track.dtype} {track.shape}, expected int16 (N,)",
                        "run the same ingest command again",
                    )
                self._tracks[name] = track
            elif self._held is not None:
                self._held.touch(name)
        first, length = samples_until(row.offset + start, fps, rate), samples_until(count, fps, rate)
        end = min(first + length, samples_until(row.offset + row.frames, fps, rate))
        if end > len(track):
            raise DatasetError(f"{self.place}/{name} ends early", "run the same ingest command again")
        samples = np.zeros(length, np.float32)
        samples[: end - first] = track[first:end] / np.float32(32_768)
        return Sound(samples, rate, start / fps)

    def _load(self, path: Path) -> Any:
        """Map the array of a file into memory."""
        try:
            return load_array(path, self._pages)
        except LockError:
            raise
        except Exception as error:  # NumPy's header parser lets through whatever Python's own raises
            raise DatasetError(f"{path} cannot be read ({error})", "run the same ingest command again") from None

    @staticmethod
    def _count(row: ClipRow, start: int, frames: int | None) -> int:
        """Return how many frames are asked for; refuse those outside the clip."""
        count = row.frames - start if frames is None else frames
        if start < 0 or count < 0 or start + count > row.frames:
            problem = f"frames {start} to {start + count} of a clip of {counted(row.frames, 'frame')} were asked for"
            raise DatasetError(problem, "give a part of the clip")
        return count

    def _window(self, row: ClipRow, start: int, count: int, small: bool = False) -> Frames:
        """Return frames of a clip, of full size or, with `small`, at a quarter of height and width."""
        stored = self._stored(row, start, count, small)
        return display_levels(stored) if stored.dtype == np.uint16 else stored  # type: ignore[arg-type,return-value]

    def _stored(self, row: ClipRow, start: int, count: int, small: bool = False) -> Stored:
        """Return frames of a clip, or slices of a volume, as they are stored; see `_window`.

        The file is mapped into memory when it is first asked for, and is to have all its clips.
        """
        name = level_file(row.shard) if small else row.shard
        opened, first = self._opened.get(name), row.offset + start
        if opened is None:
            with self._opening:  # else another thread might let the file go before it is mapped
                path, step = self._path(name), QUARTER if small else 1
                shape = (self.info.height // step, self.info.width // step, self.info.channels)
                needed = max(other.offset + other.frames for other in self.rows if other.shard == row.shard)
                if self.info.coding == "jpeg" and not small:
                    opened = JpegFile(path, shape, pages=self._pages)
                    if len(opened) < needed:
                        raise DatasetError(
                            f"{path} holds {counted(len(opened), 'picture')}, at least {needed} are needed", AGAIN
                        )
                else:
                    opened, wanted = self._load(path), "uint8" if self.info.volume is None else "uint16"
                    if opened.dtype != wanted or opened.shape[1:] != shape or len(opened) < needed:
                        raise DatasetError(
                            f"{path} holds {opened.dtype} {opened.shape}, expected {wanted} (≥ {needed}, *{shape})",
                            "run the same ingest command again",
                        )
                self._opened[name] = opened
        elif self._held is not None:
            self._held.touch(name)
        return opened.read(first, count) if isinstance(opened, JpegFile) else opened[first : first + count]
