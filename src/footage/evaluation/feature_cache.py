"""Features of clips, computed once as the clips pass by, and kept on disk: memory does not grow with their number.

    KEY/part-00000.bin …   some clips each, the last one fewer: their rows, and behind them the SHA-256 of these

KEY is the digest of the clips' content, of the network, and of all choices between them. A part that is damaged, cut
off or missing is made again; the others are taken as they are, bit for bit, so that a killed evaluation goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from footage import files
from footage.data.clips import Labels
from footage.data.store import Frames
from footage.errors import ConfigError
from footage.evaluation.clip_sets import BATCH, ClipSet
from footage.evaluation.features import Extractor, check_clips
from footage.evaluation.pixel_features import (
    VERSION,
    PixelColumns,
    glance,
    pixel_features,
)
from footage.evaluation.volume_features import (
    BINS,
    HISTOGRAM,
    PLANES,
    PLANES_EACH,
    SMALL_VOLUMES,
    histograms,
    planes_reader,
    small_volume_shape,
    small_volumes,
)
from footage.machines.cluster import Cluster
from footage.metrics.clip_vectors import small_copies, small_shape
from footage.metrics.distances import Rows, SelectedRows
from footage.trust.locks import check_plain

MOST_BYTES = 4 * 2**30
"""A cache that is larger loses what was not used for longest."""
PATIENCE = 5.0
"""Seconds that an entry waits for another program that holds its folder."""
_DIGEST = 32


@dataclass(frozen=True)
class StoredRows:
    """Vectors (N, D) in files, read as they are asked for; see `footage.metrics.distances.Rows`."""

    folder: Path
    clips: int
    each: int
    """Rows of a clip: 1, or its number of frames."""
    part: int
    """Clips in a part, but for the last one."""
    size: int
    """D."""
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.float32))
    held: dict[int, npt.NDArray[Any]] | None = None
    """Parts in memory, of clips that are locked; None where they are in files."""

    @property
    def shape(self) -> tuple[int, int]:
        return self.clips * self.each, self.size

    @property
    def parts(self) -> list[range]:
        return [range(first, min(first + self.part, self.clips)) for first in range(0, self.clips, self.part)]

    def path(self, part: int) -> Path:
        return self.folder / f"part-{part:05d}.bin"

    @property
    def row_bytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __getitem__(self, part: slice) -> npt.NDArray[Any]:
        first, last, step = part.indices(self.shape[0])
        assert step == 1, "rows are read one after the other"
        values = np.empty((max(0, last - first), self.size), dtype=self.dtype)
        done, rows = first, self.part * self.each
        while done < last:
            number, inside = divmod(done, rows)
            count = min(last - done, rows - inside)
            if self.held is not None:
                values[done - first : done - first + count] = self.held[number][inside : inside + count]
                done += count
                continue
            with open(self.path(number), "rb") as handle:
                handle.seek(inside * self.row_bytes)
                read = handle.readinto(values[done - first : done - first + count].data.cast("B"))
            assert read == count * self.row_bytes, f"{self.path(number)} is cut off"
            done += count
        return values

    def whole(self, part: int) -> bool:
        """Whether the file of a part is there and undamaged."""
        if self.held is not None:
            return part in self.held
        try:
            size = len(self.parts[part]) * self.each * self.row_bytes
            with open(self.path(part), "rb") as handle:
                if os.fstat(handle.fileno()).st_size != size + _DIGEST:
                    return False
                digest = hashlib.sha256()
                while size:
                    chunk = handle.read(min(size, 2**20))
                    digest.update(chunk)
                    size -= len(chunk)
                return handle.read() == digest.digest()
        except OSError:
            return False

    def write(self, part: int, values: npt.NDArray[Any]) -> None:
        """Write a part, atomically: values (rows, D)."""
        wanted = (len(self.parts[part]) * self.each, self.size)
        assert values.shape == wanted and values.dtype == self.dtype, f"{values.shape} {values.dtype}, not {wanted}"
        content = np.ascontiguousarray(values)
        if self.held is not None:
            self.held[part] = content
            return
        with files.replacing(self.path(part), durable=False) as temporary, open(temporary, "wb") as handle:
            handle.write(content.data.cast("B"))
            handle.write(hashlib.sha256(content.data.cast("B")).digest())


class FeatureCache:
    """The folder that keeps vectors from one evaluation to the next; without one, they go when it is closed.

    What is not in it yet is made by the workers of a `cluster`, where there is one. What is `hidden` is in memory
    alone: vectors of clips that are locked are nearly pictures of them, and no file of theirs may be plain.
    """

    def __init__(self, folder: Path | None, cluster: Cluster | None = None, *, hidden: bool = False) -> None:
        self.cluster = cluster
        folder = None if hidden else folder
        self.held: dict[str, dict[int, npt.NDArray[Any]]] | None = {} if hidden else None
        self.kept = folder is not None
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError:
                self.kept = False
        self.folder = folder if folder is not None and self.kept else Path(tempfile.mkdtemp(prefix="footage-"))
        self.used: set[str] = set()
        self._held = contextlib.ExitStack()
        """Folders of entries in use, locked (flock) so that no other evaluation removes them."""

    def refuse(self, places: Sequence[Path | str]) -> None:
        """Refuse to keep features of what is locked in files.

        Raises:
            ConfigError: one of the places is locked, and this cache is not `hidden`.
        """
        if self.held is None:
            check_plain(places, "its features", "give FeatureCache(None, hidden=True)")

    def __enter__(self) -> FeatureCache:
        return self

    def __exit__(self, *_: object) -> None:
        with self._held:
            if self.kept:
                self.trim()
            else:
                shutil.rmtree(self.folder, ignore_errors=True)

    def entry(
        self, key: str, clips: int, each: int, part: int, size: int, dtype: npt.DTypeLike = np.float32
    ) -> StoredRows:
        """Return the vectors of a key, some or all of whose parts may have to be written."""
        held = None if self.held is None else self.held.setdefault(key, {})
        if held is not None:
            return StoredRows(self.folder, clips, each, part, size, np.dtype(dtype), held)
        folder = self.folder / key
        if key not in self.used:
            files.remove_partial(folder)
            # Another evaluation may be removing it just now.
            self._held.enter_context(files.holding(folder, folder=True, shared=True, wait=PATIENCE))
            self.used.add(key)
        os.utime(folder)
        return StoredRows(folder, clips, each, part, size, np.dtype(dtype))

    def trim(self, most: int = MOST_BYTES) -> None:
        """Remove what was not used for longest, until the rest is small enough; never what an evaluation uses."""
        entries = list[tuple[float, int, Path]]()
        for folder in self.folder.iterdir():
            with contextlib.suppress(OSError):
                if folder.is_dir():
                    size = sum(path.stat().st_size for path in folder.iterdir())
                    entries.append((folder.stat().st_mtime, size, folder))
        entries.sort(key=lambda entry: entry[0])
        total = sum(size for _, size, _ in entries)
        for _, size, folder in entries:
            if total <= most:
                return
            if folder.name in self.used:
                continue
            with contextlib.suppress(FileNotFoundError), files.open_folder(folder) as handle:
                if handle is None or files.lock(handle, wait=False):
                    shutil.rmtree(folder, ignore_errors=True)
                    total -= size


ROWS = 4096
"""Frames that a part describes, at most."""
PIXEL_FEATURES, SMALL_COPIES, GLANCE = "closed forms", "small copies", "glance"
"""Names of what needs no network."""


@dataclass(frozen=True)
class FeatureReader:
    """Something that makes vectors of clips."""

    name: str
    digest: str
    """Identifies how it does it."""
    of: str
    """`clip` or `frame`: what it gives a vector for."""
    size: int
    dtype: npt.DTypeLike
    read: Callable[[Frames], npt.NDArray[Any]]
    """Clips uint8 (B, T, H, W, C) -> (N, size)."""
    step: str
    """What its time is counted as."""


def feature_readers(
    nets: Sequence[Extractor],
    clips: ClipSet,
    *,
    logits: Collection[str] = (),
    closed: bool = True,
    volumes: bool = False,
) -> list[FeatureReader]:
    """Return what is to be read of clips: the features of networks, and where `closed`, closed forms and small copies.

    Logits are read of the networks that `logits` names. Of volumes, histograms and copies are read too, and Lite0,
    where it is among the networks, sees planes along three axes.

    Raises:
        ConfigError: the clips are too small or too short for a network.
    """
    shape, readers = clips.shape, list[FeatureReader]()
    for net in nets:
        about, step = net.about, f"network {net.about.name}"
        check_clips(about, shape.frames, shape.height, shape.width)
        read = _arrays(net.features)
        readers.append(FeatureReader(about.name, about.digest, about.of, about.size, np.float32, read, step))
        if about.name in logits and about.classes:
            name, size, read = logits_name(about.name), len(about.classes), _arrays(net.logits)
            readers.append(FeatureReader(name, f"{about.digest} logits", about.of, size, np.float32, read, step))
    columns = PixelColumns(shape.frames)
    small = int(np.prod(small_shape(shape.frames, shape.height, shape.width, shape.channels)))
    readers.append(FeatureReader(GLANCE, f"{VERSION}", "clip", 2, np.float64, glance, GLANCE))
    if closed:
        readers.append(
            FeatureReader(
                PIXEL_FEATURES, columns.digest, "clip", columns.size, np.float64, pixel_features, PIXEL_FEATURES
            )
        )
        readers.append(FeatureReader(SMALL_COPIES, f"{VERSION}", "clip", small, np.uint8, small_copies, PIXEL_FEATURES))
    if volumes:
        voxels = int(np.prod(small_volume_shape(shape.frames, shape.height, shape.width)))
        readers.append(FeatureReader(HISTOGRAM, f"{VERSION}", "clip", BINS, np.float32, histograms, HISTOGRAM))
        readers.append(FeatureReader(SMALL_VOLUMES, f"{VERSION}", "clip", voxels, np.uint8, small_volumes, HISTOGRAM))
        for net in (net for net in nets if net.about.name == "lite0"):
            digest, read = f"{net.about.digest} {PLANES_EACH} planes", planes_reader(net)
            readers.append(FeatureReader(PLANES, digest, "clip", 3 * net.about.size, np.float32, read, PLANES))
    return readers


def logits_name(net: str) -> str:
    return f"{net} logits"


def _arrays(network: Callable[[Frames], Tensor | None]) -> Callable[[Frames], npt.NDArray[Any]]:
    def read(frames: Frames) -> npt.NDArray[Any]:
        values = network(frames)
        assert values is not None, "the network has classes and no logits"
        return values.numpy()

    return read


@dataclass
class StepSeconds:
    """Where the time goes."""

    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, step: str, since: float) -> float:
        """Count the time since a moment for a step; return the present one."""
        now = time.perf_counter()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - since
        return now

    @contextlib.contextmanager
    def of(self, step: str) -> Iterator[None]:
        """Count the time of the block for a step."""
        since = time.perf_counter()
        yield
        self.add(step, since)


@dataclass(frozen=True)
class ClipFeatures:
    """What is known of a set of clips."""

    clips: ClipSet
    rows: dict[str, Rows]
    """Vectors by name: those of the networks, PIXEL_FEATURES, SMALL_COPIES and GLANCE."""
    each: dict[str, int]
    """Rows of a clip, by name."""
    numbers: Labels
    """Which clips of the set these are, (N,)."""

    @property
    def count(self) -> int:
        return len(self.numbers)

    @property
    def labels(self) -> Labels:
        """Class of each clip, (N,), or -1."""
        return self.clips.labels[self.numbers]

    @property
    def sources(self) -> Labels:
        """Number of what each clip was cut from, (N,)."""
        return self.clips.sources[self.numbers]

    def in_memory(self) -> ClipFeatures:
        """Return the same in memory, to outlive the cache: for a few hundred clips."""
        rows: dict[str, Rows] = {name: rows[0 : rows.shape[0]] for name, rows in self.rows.items()}
        return ClipFeatures(self.clips, rows, self.each, self.numbers)

    def one_a_clip(self) -> ClipFeatures:
        """Return the first window of each clip: of one that several windows were cut from, the others are left out."""
        first = np.unique(self.clips.indices[self.numbers], return_index=True)[1]
        return self if len(first) == self.count else self.chosen(np.sort(first))

    def chosen(self, numbers: Labels) -> ClipFeatures:
        rows: dict[str, Rows] = {}
        for name, known in self.rows.items():
            each = self.each[name]
            every = (numbers[:, None] * each + np.arange(each)).reshape(-1)
            rows[name] = SelectedRows(known, every)
        return ClipFeatures(self.clips, rows, self.each, self.numbers[numbers])


Vectors = dict[str, npt.NDArray[Any]]
"""Vectors (N, rows of a clip, D) of N clips, by the name of what makes them."""


@dataclass(frozen=True)
class MissingPart:
    """A part of the features of a set of clips that has to be made: a unit of work."""

    number: int
    rows: range
    names: tuple[str, ...]
    """What makes vectors that are missing."""


@dataclass(frozen=True)
class PartReader:
    """Reads a part of the features of a set of clips, in this process or in a worker."""

    clips: ClipSet
    readers: Sequence[FeatureReader]
    threads: int
    """Of PyTorch: the last digits of features follow from their number."""

    def __call__(self, part: MissingPart) -> tuple[Vectors, StepSeconds]:
        """Return the vectors of a part, and where the time went.

        Raises:
            ConfigError: a network gives what is not finite; the clip is named.
        """
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        clips, rows, clock = self.clips, part.rows, StepSeconds()
        missing = [reader for reader in self.readers if reader.name in part.names]
        each = {reader.name: clips.shape.frames if reader.of == "frame" else 1 for reader in missing}
        vectors: Vectors = {
            reader.name: np.empty((len(rows), each[reader.name], reader.size), dtype=reader.dtype) for reader in missing
        }
        since = time.perf_counter()
        for numbers, batch in clips.batches(rows):
            since = clock.add("clips", since)
            for reader in missing:
                values = reader.read(batch).reshape(len(numbers), -1, reader.size)
                if not np.isfinite(values).all():
                    bad = numbers[~np.isfinite(values).all(axis=(1, 2))][0]
                    name, start = clips.named(int(bad))
                    raise ConfigError(
                        f"{reader.name} gives what is not finite for {name}, from frame {start} on",
                        "look at that clip and leave it out, or give other weights",
                    )
                vectors[reader.name][numbers - rows.start] = values
                since = clock.add(reader.step, since)
        return vectors, clock


def extract_features(
    clips: ClipSet,
    wanted: Sequence[FeatureReader],
    store: FeatureCache,
    clock: StepSeconds,
    on_progress: Callable[[int, int], None] | None = None,
) -> ClipFeatures:
    """Read what is not in the store yet, and return everything that is wanted of the clips.

    `on_progress` is called with the number of clips that are done, and that of all.

    Raises:
        ConfigError: a network gives what is not finite; the clip is named.
    """
    frames = clips.shape.frames
    size = max(BATCH, ROWS // frames // BATCH * BATCH)
    size = max(1, size // clips.part) * clips.part
    entries: dict[str, StoredRows] = {}
    for reader in wanted:
        key = files.json_digest([clips.digest, reader.digest, reader.name, torch.__version__])
        each = frames if reader.of == "frame" else 1
        entries[reader.name] = store.entry(key, clips.count, each, size, reader.size, reader.dtype)
    parts: list[MissingPart] = []
    with clock.of("stored features"):
        for number, first in enumerate(range(0, clips.count, size)):
            missing = tuple(reader.name for reader in wanted if not entries[reader.name].whole(number))
            if missing:
                parts.append(MissingPart(number, range(first, min(first + size, clips.count)), missing))
    done = clips.count - sum(len(part.rows) for part in parts)
    read = PartReader(clips, wanted, torch.get_num_threads())
    results = ((part, read(part)) for part in parts)
    if store.cluster is not None:
        results = store.cluster.run(read, parts, needs=lambda part: clips.files(part.rows))
    with contextlib.closing(results):
        for part, (vectors, taken) in results:
            for step, seconds in taken.seconds.items():
                clock.seconds[step] = clock.seconds.get(step, 0.0) + seconds
            with clock.of("stored features"):
                for name, values in vectors.items():
                    entries[name].write(part.number, values.reshape(-1, entries[name].size))
            done += len(part.rows)
            if on_progress is not None:
                on_progress(done, clips.count)
    each_of = {name: entry.each for name, entry in entries.items()}
    return ClipFeatures(clips, dict(entries), each_of, np.arange(clips.count))
