"""What training reads: sources of clips, and an endless loader whose batches follow from seed and clips seen."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Generator, Hashable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from footage import files
from footage.config import ClipConfig
from footage.config.words import NearCaptions
from footage.data import phantoms, synthetic, talker
from footage.data.store import Dataset, Frames, Split
from footage.data.synthetic import moving_digits
from footage.errors import ConfigError, DatasetError, counted, meant
from footage.files import json_digest
from footage.machines.local import cores
from footage.machines.remote import address_of
from footage.media.geometry import VolumeScale
from footage.media.probe import UnusableMedia
from footage.media.volumes import Levels, display_levels

Labels = npt.NDArray[np.int64]
Samples = npt.NDArray[np.float32]
Pixels = npt.NDArray[Any]
"""uint8, or, of volumes, uint16."""


ONE_BY_ONE = "most labels stand for one clip each and can only be learned by heart (--train.labels yes uses them)"
"""What is said of labels that are not used for that."""
MOST_READERS = 4
"""Threads that read training batches, at most."""
TRIES = 8
"""Captions that are looked at for one that is not a clip's own."""


@dataclass(frozen=True)
class Span:
    """A clip that windows can be cut from."""

    index: int
    """Number of the clip within its source."""
    frames: int
    label: int
    """Its class, an index into the source's labels, or -1 without one."""
    name: str = ""
    """Which file it was cut from, and at how many seconds, such as `walk/anna@2.40`; empty for what is drawn."""
    captions: tuple[str, ...] = ()
    """What is said of it; each says all of it."""
    file: str = ""
    """Which file it was cut from, in full, where files in different folders may share a name."""

    @property
    def source(self) -> str:
        """What it was cut from: a file, by its name; of what is drawn, its number."""
        return self.file or re.sub(r"@\d+\.\d\d$", "", self.name) or f"{self.index}"


def named_one_by_one(labels: Iterable[Hashable]) -> bool:
    """Whether most labels stand for one clip each, as with a folder for each: they can only be learned by heart."""
    counts = Counter(labels).values()
    return 2 * sum(count == 1 for count in counts) > len(counts)


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a clip."""

    span: Span
    start: int
    """Its first frame within the clip."""


class ClipSource(Protocol):
    """Something that training can read clips from."""

    name: str
    fps: float
    labels: tuple[str, ...]
    """Names of the classes; may be empty."""
    content_hash: str
    """Identifies the content."""
    shape: tuple[int, int, int]
    """Height, width and channels of a frame."""
    guides: int
    """How many of the channels, the last ones, are another clip's, that this one is to be made from."""

    def spans(self, split: Split) -> list[Span]:
        """Return the clips of one split."""

    def read(self, index: int, start: int, frames: int) -> Frames:
        """Return a window of a clip, uint8 (T, H, W, C)."""


@runtime_checkable
class HasSound(Protocol):
    """A source whose clips have sound."""

    def has_sound(self, index: int) -> bool:
        """Whether a clip has any."""

    def sound(self, index: int) -> tuple[Samples, int]:
        """Return the sound of a clip that has some, from its first frame on: in mono, (N,) in [-1, 1], and its rate."""


@runtime_checkable
class HasVolumes(Protocol):
    """A source of volumes, which are read in 16 bits for training; what `read` gives is the nearest of 8 bits."""

    volume: VolumeScale
    """What the levels mean, and how voxels lie."""

    def read_deep(self, index: int, start: int, frames: int) -> Levels:
        """Return slices of a volume, uint16 (T, H, W, C)."""


@runtime_checkable
class DrawsClips(Protocol):
    """A source that chooses training clips itself, such as one that takes several crops where it has decoded."""

    def draw(self, split: Split, number: int, seed: int, frames: int) -> Frames:
        """Return the `number`-th clip of a run, uint8 (T, H, W, C): a function of these arguments alone."""


@runtime_checkable
class ReadsInGroups(Protocol):
    """A source of which not everything may be here at once."""

    def groups(self, rng: np.random.Generator) -> npt.NDArray[np.int64] | None:
        """Return a number for each clip: those of one number are read together; None where the order is free."""


def empty_split(source: ClipSource, split: Split) -> DatasetError:
    """Return what is wrong with a source that has no clip in a split, and what can be done about it."""
    others = len(source.spans("heldout" if split == "train" else "train"))
    if not others:
        return DatasetError(f"{source.name} has no clips", "footage audit says what was left out of it, and why")
    if split == "heldout":
        return DatasetError(f"{source.name}: no clip is held out", "ingest it again with --heldout 0.1 or more")
    settings = source.dataset.info.settings if isinstance(source, DatasetClips) else {}
    remedy = "ingest more sources, or ingest again with a lower --heldout"
    if settings.get("layouts") or settings.get("labels") == "table":
        remedy = "a table or a folder's name says so, see footage audit: ingest clips for training too, or change that"
    return DatasetError(f"{source.name}: all clips are held out ({others:,}), none is left to train on", remedy)


def pace_of(spans: Sequence[Span], reach: int, most: int) -> int:
    """Return the least number of frames from one training window to the next, so that there are at most `most`.

    It is a quarter of a window's reach at most, however many there are then.
    """
    largest = max(1, reach // 4)
    for pace in range(1, largest):
        if sum(len(range(0, span.frames - reach + 1, pace)) for span in spans) <= most:
            return pace
    return largest


def every_window(spans: Sequence[Span], reach: int, pace: int, most: int, seed: int) -> tuple[list[Window], int]:
    """Return windows at every `pace`-th frame, at most `most`, and how many there are.

    Each clip gives one before any gives a second one.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, 0x3E3]))
    places: list[tuple[int, float, Window]] = []
    for span in spans:
        starts = range(0, span.frames - reach + 1, pace)
        for rank, number in enumerate(rng.permutation(len(starts)).tolist()):
            places.append((rank, rng.random(), Window(span, starts[number])))
    chosen = sorted(places, key=lambda entry: entry[:2])[:most]
    return [window for _, _, window in chosen], len(places)


@runtime_checkable
class GivesCrops(Protocol):
    """A source that gives a crop of a real frame beside each training clip."""

    def crop(self, split: Split, number: int, seed: int) -> Frames:
        """Return the `number`-th crop of a run, uint8 (s, s, C): a function of these arguments alone."""


class LoadedBatch(NamedTuple):
    """What is read for one training step."""

    clips: Pixels
    """uint8 (B, T, H, W, C), of volumes uint16."""
    labels: Labels
    """(B,)."""
    crops: Frames | None
    """uint8 (B, s, s, C), where the source gives crops."""
    captions: Labels | None = None
    """Numbers of captions among the loader's, (B, 2): one of the clip's own, and one of another clip; -1 for none."""


class DatasetClips:
    """The clips of a dataset folder."""

    guides = 0

    def __init__(self, dataset: Dataset) -> None:
        info = dataset.info
        self.dataset = dataset
        self.name, self.fps, self.labels, self.content_hash = info.name, info.fps, info.labels, info.content_hash
        self.shape = (info.height, info.width, info.channels)

    @property
    def folder(self) -> Path:
        """Where the data set is."""
        return self.dataset.folder

    def spans(self, split: Split) -> list[Span]:
        numbers = {label: number for number, label in enumerate(self.labels)}
        spans = []
        for index, row in enumerate(self.dataset.rows):
            if row.split == split:
                if row.label is not None and row.label not in numbers:
                    problem = f'{self.dataset.place}/clips.jsonl has "{row.label:.80}" for label'
                    raise DatasetError(problem, "make the dataset again")
                path = PurePosixPath(row.source)
                below = PurePosixPath(*path.parts[1:]) if len(path.parts) > 1 else path
                name = f"{str(below).removesuffix(below.suffix)}@{row.start:.2f}"
                label = -1 if row.label is None else numbers[row.label]
                spans.append(Span(index, row.frames, label, name, row.captions, row.source))
        return spans

    def read(self, index: int, start: int, frames: int) -> Frames:
        return self.dataset.read(self.dataset.rows[index], start, frames)

    def has_sound(self, index: int) -> bool:
        return self.dataset.rows[index].sound

    def sound(self, index: int) -> tuple[Samples, int]:
        heard = self.dataset.sound(self.dataset.rows[index])
        assert heard is not None, f"clip {index} of {self.name} has no sound"
        return heard.samples, heard.rate

    def groups(self, rng: np.random.Generator) -> npt.NDArray[np.int64] | None:
        return self.dataset.groups(rng)


class DatasetVolumes(DatasetClips):
    """The volumes of a dataset folder."""

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(dataset)
        assert dataset.info.volume is not None
        self.volume = dataset.info.volume

    def read_deep(self, index: int, start: int, frames: int) -> Levels:
        return self.dataset.read_deep(self.dataset.rows[index], start, frames)


class _DrawnClips:
    """Clips that are drawn as they are asked for; those held out have numbers of their own."""

    CLIPS = 4_096
    HELDOUT = 512
    frames = 64
    labels: tuple[str, ...] = ()
    fps = 25.0
    guides = 0

    def __init__(self) -> None:
        self._spans: dict[Split, list[Span]] = {}

    def spans(self, split: Split) -> list[Span]:
        if split not in self._spans:
            first, count = (0, self.CLIPS) if split == "train" else (self.CLIPS, self.HELDOUT)
            numbers = range(first, first + count)
            self._spans[split] = [
                Span(i, self.frames, self.label(i), captions=self.captions(i, split == "heldout")) for i in numbers
            ]
        return self._spans[split]

    def captions(self, index: int, heldout: bool) -> tuple[str, ...]:
        return ()

    def label(self, index: int) -> int:
        return -1

    @staticmethod
    def check_square(height: int, width: int) -> None:
        """Refuse frames that digits cannot move on."""
        if height != width or height < 32:
            raise ConfigError(
                f"digits are square and at least 32×32, {height}×{width} was asked for", "change the size"
            )


class MovingDigits(_DrawnClips):
    """Moving MNIST: clips of bouncing digits, drawn as they are asked for from the images of an IDX file.

    Training clips show the first 80% of the images, held-out clips the others. There are more training clips than are
    ever seen, and 1,000 held-out ones, always the same (Srivastava et al. 2015).
    """

    CLIPS = 500_000
    HELDOUT = 1_000

    def __init__(self, path: Path, clip: ClipConfig, digits: int = 2) -> None:
        super().__init__()
        self.check_square(clip.height, clip.width)
        try:
            images = synthetic.read_idx(path)
        except UnusableMedia as error:
            raise DatasetError(f"{path} is no data set: {error}", "give a dataset folder, or MNIST's images") from None
        if images.ndim != 3 or images.shape[1:] != (28, 28) or len(images) < 10:
            raise DatasetError(f"{path} holds an array {images.shape}", "give at least 10 images of 28×28")
        middle = int(len(images) * synthetic.TRAINING_IMAGES)
        self._images = {"train": images[:middle], "heldout": images[middle:]}
        self.name, self.frames, self.digits = f"moving digits of {path.name}", max(20, clip.frames), digits
        self.shape = (clip.height, clip.width, 1)
        self.content_hash = json_digest([files.file_digest(path), digits, self.shape, self.frames, 1])

    def read(self, index: int, start: int, frames: int) -> Frames:
        images = self._images["train" if index < self.CLIPS else "heldout"]
        unknown = np.full(len(images), -1)
        clip, _ = moving_digits(
            images, unknown, seed=0, index=index, digits=self.digits, frames=frames, size=self.shape[0], start=start
        )
        return clip


class BuiltInClips(_DrawnClips):
    """The built-in data sets, drawn at any size.

    Args:
        name: `shapes`, or `digits`, `digits-2`, `digits-3` for one, two or three moving digits; `shapes-captions` and
            `digits-captions`, in which one thing moves along a side and captions say which and where.
        height: of the frames.
        width: of the frames; `digits` are square.
        channels: 1 or 3; `shapes` are always in colour.
        seed: another seed is another data set.
        frames: of a clip with captions, which all happens within them.
    """

    def __init__(
        self, name: str, *, height: int, width: int, channels: int, seed: int = 0, frames: int | None = None
    ) -> None:
        super().__init__()
        if not name.startswith("shapes"):
            self.check_square(height, width)
        elif channels != 3:
            raise ConfigError("shapes are in colour, grey was asked for", "give --clip.channels 3, or train on digits")
        self.name, self.seed, self.shape = name, seed, (height, width, channels)
        self.captioned = name.endswith("-captions")
        self.digits = 1 if self.captioned else int(name.partition("-")[2] or 1)
        named = tuple(str(d) for d in range(10)) if self.digits == 1 else ()
        self.labels = () if self.captioned else synthetic.SHAPES if name == "shapes" else named
        content: dict[str, object] = {"name": name, "seed": seed, "shape": self.shape, "version": 1}
        if self.captioned:
            self.frames = frames or 16
            content["frames"] = self.frames
            # Critics knew 4,096 clips by heart before they told shapes apart. At first shapes were smaller, too: at
            # 32×32 a square and a circle of 7 pixels looked alike.
            self.CLIPS = 16_384
            content["version"] = 3 if name == "shapes-captions" else 2
        self.content_hash = json_digest(content)

    def values(self, index: int) -> dict[str, int]:
        """Return what a captioned clip shows; see `footage.data.synthetic.draw_values`."""
        return synthetic.draw_values(self.name, self.seed, index)

    def captions(self, index: int, heldout: bool) -> tuple[str, ...]:
        if not self.captioned:
            return ()
        return synthetic.compose_captions(self.name, self.values(index), self.seed, index, heldout)

    def label(self, index: int) -> int:
        if self.name == "shapes":
            return synthetic.SHAPES.index(synthetic.draw_factors(self.seed, index).shape)
        return self._digits(index, 0, 0)[1][0] if self.labels else -1

    def _digits(self, index: int, start: int, frames: int) -> tuple[Frames, tuple[int, ...]]:
        images, labels = synthetic.drawn_digits()
        size, count, angle = self.shape[0], self.digits, None
        if self.captioned:
            values = self.values(index)
            shown = labels == values["digit"]
            images, labels, angle = images[shown], labels[shown], values["course"] * math.pi / 2
        return moving_digits(
            images,
            labels,
            seed=self.seed,
            index=index,
            digits=count,
            frames=frames,
            size=size,
            start=start,
            angle=angle,
        )

    def read(self, index: int, start: int, frames: int) -> Frames:
        height, width, channels = self.shape
        if self.name.startswith("shapes"):
            factors = synthetic.draw_factors(self.seed, index)
            if self.captioned:
                values = self.values(index)
                factors = synthetic.straight_factors(values, self.seed, index, self.frames, height, width)
            return synthetic.render_shapes(factors, start=start, frames=frames, height=height, width=width)
        return np.repeat(self._digits(index, start, frames)[0], channels, axis=-1)  # T H W 1 -> T H W C


class TalkerClips(_DrawnClips):
    """Figures that speak, drawn at any size, with their speech; see `footage.data.talker`.

    The labels are what is heard: voices that training clips have, or new ones, or another language. Of the set
    `talker-espeak` the words are real ones, and their phonemes those of espeak-ng.
    """

    CLIPS = 480
    HELDOUT = 96
    frames = 100
    labels: tuple[str, ...] = talker.KINDS
    fps = float(talker.FPS)

    def __init__(self, name: str = "talker", *, height: int, width: int, channels: int, seed: int = 0) -> None:
        super().__init__()
        if channels != 3:
            raise ConfigError("talker is in colour, grey was asked for", "give --clip.channels 3")
        self.name, self.seed, self.shape = name, seed, (height, width, channels)
        content: dict[str, Any] = {"name": name, "seed": seed, "shape": self.shape, "version": 1}
        self.program = talker.find_espeak() if name == "talker-espeak" else ""
        if self.program:
            content["words"] = [talker.pronounced(self.program, language) for language in talker.SPOKEN]
        self.content_hash = json_digest(content)

    def label(self, index: int) -> int:
        return index % len(talker.KINDS) if index >= self.CLIPS else 0

    def mouth(self, index: int, start: int, frames: int) -> Samples:
        """Return how far open and how wide the mouth of a clip is, (T, 2)."""
        course = talker.mouth_of(self.seed, index, self.label(index), self.frames, self.program)
        return course[start : start + frames]

    def look(self, index: int) -> talker.Look:
        return talker.draw_look(self.seed, index)

    def has_sound(self, index: int) -> bool:
        return True

    def sound(self, index: int) -> tuple[Samples, int]:
        spoken = talker.speak(self.seed, index, self.label(index), self.frames, self.program)
        return spoken.samples, talker.RATE

    def read(self, index: int, start: int, frames: int) -> Frames:
        height, width, _ = self.shape
        return talker.render(
            self.look(index), self.mouth(index, start, frames), start=start, height=height, width=width
        )


class PhantomClips(_DrawnClips):
    """Phantoms of trunks with organs and lesions, drawn at any size; see `footage.data.phantoms`.

    The labels are the findings. Of three channels the second and third are the masks of organs and of lesions.
    """

    CLIPS = 2_048
    HELDOUT = 256
    labels: tuple[str, ...] = phantoms.FINDINGS

    def __init__(self, *, frames: int, height: int, width: int, channels: int, seed: int = 0) -> None:
        super().__init__()
        self.name, self.seed, self.frames, self.shape = "phantoms", seed, frames, (height, width, channels)
        self.volume = phantoms.scale_of(frames, height, width)
        content = {"name": "phantoms", "seed": seed, "shape": self.shape, "frames": frames}
        self.content_hash = json_digest({**content, "version": phantoms.VERSION})

    def label(self, index: int) -> int:
        return phantoms.FINDINGS.index(phantoms.draw_finding(self.seed, index)[0])

    def anatomy(self, index: int) -> phantoms.Anatomy:
        """Return what a phantom shows: the factors that it is drawn from."""
        return phantoms.draw_anatomy(self.seed, index)

    def read_deep(self, index: int, start: int, frames: int) -> Levels:
        whole = phantoms.render(self.anatomy(index), self.frames, *self.shape, seed=self.seed, index=index)
        return whole[start : start + frames]

    def read(self, index: int, start: int, frames: int) -> Frames:
        return display_levels(self.read_deep(index, start, frames))


BUILT_IN = (
    *("shapes", "digits", "digits-2", "digits-3", "shapes-captions", "digits-captions"),
    *("talker", "talker-espeak", "phantoms"),
)
"""Names that stand for a built-in data set wherever a dataset folder is asked for."""


def is_built_in(data: Path | str) -> bool:
    """Whether that is the name of a built-in data set, and no folder of that name holds one."""
    return str(data) in BUILT_IN and not (Path(data) / "dataset.json").exists()


def open_clips(data: Path | str, clip: ClipConfig) -> ClipSource:
    """Open a dataset folder; or draw at the size of `clip`: a built-in data set by its name, or Moving MNIST.

    A folder of that name comes first, where it holds a dataset. An IDX file of images stands for two digits that move.
    """
    if is_built_in(data):
        size = {"height": clip.height, "width": clip.width, "channels": clip.channels}
        if str(data) == "phantoms":
            return PhantomClips(**size, frames=clip.frames)
        if str(data).startswith("talker"):
            return TalkerClips(str(data), **size)
        return BuiltInClips(str(data), **size, frames=clip.frames)
    if Path(data).is_file() and "idx3" in Path(data).name:
        return MovingDigits(Path(data), clip)
    if address_of(data) is None and not Path(data).exists():
        names = f"make one with: footage ingest FOLDER_OF_VIDEOS --to {data}, or give {', '.join(BUILT_IN)}"
        raise DatasetError(f'"{data}" does not exist', meant(data, names, BUILT_IN))
    dataset = Dataset(data)
    return DatasetClips(dataset) if dataset.info.volume is None else DatasetVolumes(dataset)


@dataclass(frozen=True)
class _StartRange:
    """A stretch of a clip, about a window long, in which windows begin: long clips have more and count for more."""

    span: Span
    first: int
    starts: int


class Loader:
    """Endless training batches, each a function of (seed, rank, clips seen): nothing is stored to resume.

    Each epoch shows every stretch of `frames` frames of every clip once, in a new order, from a random start. Of a
    dataset at an address that is larger than the cache, clips of the shards that are here come first, then others.

    Args:
        source: where to read from.
        split: which clips.
        frames: length of the windows.
        batch_size: clips in a batch, over all processes.
        seed: of the order and of the windows' starts.
        rank: number of this process.
        world: number of processes.
        near: part of the other clips' captions that are near the clip's own, as `text.near` says.

    Raises:
        DatasetError: no clip is long enough.
    """

    def __init__(
        self,
        source: ClipSource,
        split: Split,
        *,
        frames: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        near: float = 0.0,
    ) -> None:
        self.source, self.split, self.frames, self.seed, self.rank = source, split, frames, seed, rank
        self.batch_size, self.local = batch_size, batch_size // world
        spans = source.spans(split)
        self.units: list[_StartRange] = []
        for span in spans:
            starts = span.frames - frames + 1  # none where the clip is too short
            count = max(1, round(starts / frames)) if starts > 0 else 0
            edges = [starts * i // count for i in range(count + 1)] if count else []
            self.units += [_StartRange(span, first, last - first) for first, last in itertools.pairwise(edges)]
        if not spans:
            raise empty_split(source, split)
        if not self.units:
            longest = max(span.frames for span in spans)
            raise DatasetError(
                f"{source.name}: the longest clip is {counted(longest, 'frame')}, training needs {frames}",
                f"give --clip.frames {max(2, longest)} or fewer, or ingest longer clips",
            )
        self._order: tuple[int, Labels] = (-1, np.empty(0, dtype=np.int64))
        numbers: dict[str, int] = {}
        self._captions = {
            span.index: [numbers.setdefault(caption, len(numbers)) for caption in span.captions]
            for span in dict.fromkeys(unit.span for unit in self.units)
            if span.captions
        }
        self.captions = tuple(numbers)
        """All captions of the clips, each once."""
        self.near, self._near = near, NearCaptions(self.captions) if near else None

    def batch(self, clips_seen: int) -> tuple[Pixels, Labels]:
        """Return this process's part of the batch after `clips_seen` clips: uint8 (B, T, H, W, C), labels (B,).

        Of volumes they are uint16.
        """
        read = self.source.read_deep if isinstance(self.source, HasVolumes) else self.source.read
        shape = (self.local, self.frames, *self.source.shape)
        clips: Pixels = np.empty(shape, np.uint16 if isinstance(self.source, HasVolumes) else np.uint8)
        labels = np.empty(self.local, dtype=np.int64)
        draw = self.source.draw if isinstance(self.source, DrawsClips) else None  # asked once: it takes 50 µs
        for row in range(self.local):
            number = clips_seen + self.rank * self.local + row
            if draw is not None:
                clips[row], labels[row] = draw(self.split, number, self.seed, self.frames), -1
                continue
            unit = self._unit(number)
            rng = np.random.Generator(np.random.Philox(key=[self.seed, number]))
            start = unit.first + int(rng.integers(unit.starts))
            clips[row] = read(unit.span.index, start, self.frames)
            labels[row] = unit.span.label
        return clips, labels

    def _unit(self, number: int) -> _StartRange:
        """Return the stretch that is the `number`-th of a run."""
        epoch, place = divmod(number, len(self.units))
        order = self._order  # another thread may be in another epoch
        if order[0] != epoch:
            rng = np.random.Generator(np.random.Philox(key=[self.seed, epoch], counter=[0, 0, 0, 1]))
            places, groups = rng.permutation(len(self.units)), None
            if isinstance(self.source, ReadsInGroups):
                groups = self.source.groups(rng)
            if groups is not None:
                indices = np.array([unit.span.index for unit in self.units])
                places = places[np.argsort(groups[indices[places]], kind="stable")]
            order = self._order = (epoch, places)
        return self.units[int(order[1][place])]

    def span(self, number: int) -> Span:
        """Return the clip that the `number`-th window of a run is cut from."""
        return self._unit(number).span

    def drawn_captions(self, clips_seen: int) -> Labels:
        """Return numbers of captions for the batch after `clips_seen` clips, (B, 2): see `LoadedBatch`.

        The other clip's caption is none of the clip's own.
        """
        drawn = np.full((self.local, 2), -1, dtype=np.int64)
        for row in range(self.local if self.captions else 0):
            number = clips_seen + self.rank * self.local + row
            own = self._captions.get(self._unit(number).span.index, [])
            rng = np.random.Generator(np.random.Philox(key=[self.seed, number], counter=[0, 0, 0, 0xCA]))
            others = rng.integers(len(self.captions), size=TRIES).tolist()
            if own:
                drawn[row, 0] = own[int(rng.integers(len(own)))]
                others = [other for other in others if other not in own]
                if self._near is not None and rng.random() < self.near:
                    others = self._near.draw(int(drawn[row, 0]), own, others, rng)
                drawn[row, 1] = others[0] if others else -1
        return drawn

    def load(self, clips_seen: int) -> LoadedBatch:
        """Return all that is read for the step after `clips_seen` clips; see `batch`."""
        crops = None
        if isinstance(self.source, GivesCrops):
            first = clips_seen + self.rank * self.local
            crops = np.stack([self.source.crop(self.split, first + row, self.seed) for row in range(self.local)])
        captions = self.drawn_captions(clips_seen) if self.captions else None
        return LoadedBatch(*self.batch(clips_seen), crops, captions)

    def batches(self, clips_seen: int, ahead: int = 2) -> Generator[LoadedBatch, None, None]:
        """Yield batches for ever, from `clips_seen` on; threads read `ahead` of them or more beforehand."""
        # Sources that draw clips know one thread only. A processor in four is enough to decode for a GPU.
        threads = 1 if isinstance(self.source, DrawsClips) else max(1, min(MOST_READERS, cores() // 4))
        with ThreadPoolExecutor(threads, thread_name_prefix="clips") as reader:
            numbers = itertools.count(clips_seen, self.batch_size)
            waiting = [reader.submit(self.load, next(numbers)) for _ in range(max(ahead, threads + 1))]
            try:
                while True:
                    waiting.append(reader.submit(self.load, next(numbers)))
                    yield waiting.pop(0).result()
            finally:
                for future in waiting:
                    future.cancel()


class PoissonLoader(Loader):
    """Batches in which each source stands with the same probability, whatever the others do: a batch may be empty.

    Of each source that is drawn there is one window. What is drawn follows from the secret and the clips seen, where a
    batch counts as `batch_size` clips, the number that is expected.

    Args:
        source: where to read from.
        frames: length of the windows.
        batch_size: clips expected in a batch.
        secret: 128 bits that nobody else knows: what is private could be found out by whoever knows the draws.
        unit: whether all clips of a source stand together, or each for itself.

    Raises:
        DatasetError: there are fewer sources than clips in a batch, or no clip is long enough.
    """

    def __init__(
        self, source: ClipSource, *, frames: int, batch_size: int, secret: int, unit: Literal["source", "clip"]
    ) -> None:
        super().__init__(source, "train", frames=frames, batch_size=batch_size, seed=0)
        self.secret = secret
        groups: dict[str, list[_StartRange]] = {}
        for start in self.units:
            groups.setdefault(start.span.source if unit == "source" else str(start.span.index), []).append(start)
        self.groups = list(groups.values())
        self.rate = batch_size / len(self.groups)
        """Probability with which each source stands in a batch."""
        if self.rate > 1:
            raise DatasetError(
                f"{source.name} has {counted(len(self.groups), unit)} for batches of {batch_size:,}",
                f"give --train.batch-size {len(self.groups)} or less, far less for privacy that is worth its name",
            )

    def draws(self, clips_seen: int, purpose: int) -> np.random.Generator:
        """Return the source of the secret draws of a step for one of several purposes, the loader's own being 0."""
        key = [self.secret % 2**64, self.secret >> 64]
        return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, clips_seen, 0xD9 + purpose]))

    def batch(self, clips_seen: int) -> tuple[Pixels, Labels]:
        """Return the batch after `clips_seen` clips, (N, T, H, W, C), N drawn, as `Loader` does; no labels, -1 each."""
        deep = isinstance(self.source, HasVolumes)
        read = self.source.read_deep if isinstance(self.source, HasVolumes) else self.source.read
        rng = self.draws(clips_seen, 0)
        chosen = np.flatnonzero(rng.random(len(self.groups)) < self.rate)
        shape = (len(chosen), self.frames, *self.source.shape)
        clips: Pixels = np.empty(shape, np.uint16 if deep else np.uint8)
        for row, number in enumerate(chosen.tolist()):
            unit = self.groups[number][int(rng.integers(len(self.groups[number])))]
            clips[row] = read(unit.span.index, unit.first + int(rng.integers(unit.starts)), self.frames)
        return clips, np.full(len(chosen), -1)
