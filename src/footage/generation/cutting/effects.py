"""Effects on real videos, one after another, as a chain that stands in a JSON file; the video itself stays as it is.

    {"version": 1, "effects": [{"kind": "stabilise"}, {"kind": "grade", "lut": "warm.cube"}, {"kind": "boomerang"}]}

What needs frames in another order than they come in, or twice, has them written into segments first, nearly without
loss, which lie beside the result until it is whole: memory is constant, and stopped work goes on.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from footage import files
from footage.config.strict import bounded, check_bounds, from_json, require
from footage.errors import ConfigError, MediaError, nearest
from footage.generation.cutting.joins import morph
from footage.media.colour import UNKNOWN_COLOUR
from footage.media.encode import read_metadata
from footage.media.encoding import DEFAULT_ENCODING, EncodingOptions
from footage.media.reader import Footage
from footage.media.segments import SEGMENT_FRAMES, SegmentWriter, VideoTarget, render
from footage.media.signatures import pool
from footage.media.sound import TRACK_RATE, Channels
from footage.media.transitions import SampleReader, filtered, whole

if TYPE_CHECKING:
    from footage.generation.cutting.flow import Between

Frames = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

VERSION = 1
"""Of the format."""
CLEAN = EncodingOptions(codec="h264", crf=8)
"""How frames are kept that are needed in another order."""
ROUGH = EncodingOptions(codec="h264", crf=27)
"""How a draft is encoded."""
DRAFT = 240
"""Pixels of the shorter side of a video of which a draft is made, at most."""
MOST = 32
"""Effects of a chain."""
GRID = 96
"""Cells along each side of the pictures whose shift is looked for."""
ON_TIME = 0.02
"""Part of the time between two frames by which one may be shown early."""
LOOP_SEARCH = 1500
"""Frames from the beginning among which the ends of a loop are looked for."""
CELLS = 12
"""Cells along each side by which they are compared."""
ORIGIN = ("made_with", "model", "weights_sha256", "upscaler_sha256", "mark")
"""What a file's comment says of where its pictures come from, and what stays true of them with effects."""


@dataclass(frozen=True)
class Material:
    """A video on its way through the chain."""

    size: tuple[int, int]
    rate: Fraction
    frames: int
    pictures: Callable[[int], Iterator[Frames]]
    """Yields its frames, uint8 (H, W, 3), from a number on."""
    sound: Callable[[], Iterator[Channels]] | None
    """Starts its sound over, (2, n) at `TRACK_RATE`; None for none."""
    draft: bool = False
    """Whether it is to be quick: where it is slow, frames are shown again, and none are made in between."""


class Scratch(contextlib.ExitStack):
    """Keeps frames in segments beside the result, for effects that want them in another order.

    No other process writes them within a block of it.
    """

    def __init__(self, to: Path, about: dict[str, Any]) -> None:
        super().__init__()
        self._to, self._about = to, about
        self.writers: list[SegmentWriter] = []
        """Of what was kept, in order."""

    def keep(self, material: Material) -> Callable[[int], Frames]:
        """Write the frames of a video, as far as that was not done; return what reads the segment of a number.

        Raises:
            MediaError: another process keeps some for the same result, or the disk is full.
        """
        to = files.name_beside(self._to.with_suffix(""), ".", f"-{len(self.writers) + 1}.mp4")
        base = 1 / material.rate
        parts = SegmentWriter(
            VideoTarget(to, material.size, material.rate, base, UNKNOWN_COLOUR, False, CLEAN, {}, self._about)
        )
        self.writers.append(parts)
        self.enter_context(parts)
        begun = parts.done * SEGMENT_FRAMES
        if begun < material.frames:
            parts.write(((one, n) for n, one in enumerate(material.pictures(begun), begun)), parts.done)
        height, width = material.size

        def read(number: int) -> Frames:
            chunks = Footage(parts.file(number)).chunks(height=height, width=width, channels=3, fps=material.rate)
            return np.concatenate(list(chunks))

        return read


@dataclass(frozen=True)
class Grade:
    """Colours by a table."""

    kind: ClassVar = "grade"
    lut: str = ""
    """File of the table: .cube."""

    def __post_init__(self) -> None:
        usable = Path(self.lut).suffix.lower() == ".cube" and Path(self.lut).is_file()
        require(usable, "lut", self.lut, "give a .cube file that is there")
        text = Path(self.lut).read_text(encoding="utf-8", errors="replace")
        found = re.search(r"^\s*LUT_3D_SIZE\s+(\d+)\s*$", text, re.MULTILINE)
        rows = re.findall(r"^\s*[-+.\d][-+.\deE]*\s+[-+.\d][-+.\deE]*\s+[-+.\d][-+.\deE]*\s*$", text, re.MULTILINE)
        whole = found is not None and 2 <= int(found[1]) <= 256 and len(rows) == int(found[1]) ** 3
        require(whole, "lut", self.lut, "give a whole .cube file with LUT_3D_SIZE, and as many rows")

    def apply(self, video: Material, scratch: Scratch) -> Material:
        """Return the video with other colours."""
        return replace(
            video, pictures=lambda first: filtered(video.pictures(first), "lut3d", file=self.lut, interp="tetrahedral")
        )


@dataclass(frozen=True)
class Reverse:
    """From the end to the beginning, without sound."""

    kind: ClassVar = "reverse"

    def apply(self, video: Material, scratch: Scratch) -> Material:
        """Return the video backwards."""
        read = scratch.keep(video)

        def pictures(first: int) -> Iterator[Frames]:
            last = video.frames - 1 - first
            for number in range(last // SEGMENT_FRAMES, -1, -1):
                yield from read(number)[: last - number * SEGMENT_FRAMES + 1][::-1]

        return replace(video, pictures=pictures, sound=None)


@dataclass(frozen=True)
class Boomerang:
    """There and back again, without sound; its end goes over into its beginning."""

    kind: ClassVar = "boomerang"

    def apply(self, video: Material, scratch: Scratch) -> Material:
        """Return the video forwards and backwards; the frames at which it turns come once."""
        back = Reverse().apply(video, scratch)
        total = max(video.frames, 2 * video.frames - 2)

        def pictures(first: int) -> Iterator[Frames]:
            if first < video.frames:
                yield from video.pictures(first)
            skipped = max(0, first - video.frames)
            yield from itertools.islice(back.pictures(1 + skipped), max(0, video.frames - 2 - skipped))

        return replace(video, frames=total, pictures=pictures, sound=None)


@dataclass(frozen=True)
class Speed:
    """Slower and faster, by a ramp; sound goes along, as a tape does."""

    kind: ClassVar = "speed"
    ramp: tuple[tuple[float, float], ...] = ((0.0, 1.0),)
    """Seconds of the video, and how fast it goes there; in between it changes evenly."""

    def __post_init__(self) -> None:
        times = [time for time, _ in self.ramp]
        require(
            len(times) > 0 and times == sorted(set(times)) and times[0] >= 0, "ramp", self.ramp, "give rising seconds"
        )
        for _, speed in self.ramp:
            require(0.1 <= speed <= 20, "ramp", speed, "give speeds of 0.1 to 20")

    def apply(self, video: Material, scratch: Scratch) -> Material:
        """Return the video with its times changed; between frames that are far apart others are made."""
        own = np.arange(video.frames + 1) / float(video.rate)
        times, speeds = zip(*self.ramp, strict=True)
        lasting = 1 / np.interp((own[:-1] + own[1:]) / 2, times, speeds) / float(video.rate)
        shown = np.concatenate([[0.0], np.cumsum(lasting)])  # when each frame is shown
        count = max(1, int(shown[-1] * float(video.rate) + 1e-6))

        def pictures(first: int) -> Iterator[Frames]:
            if first >= count:  # all of it was written before
                return
            wanted = np.interp(np.arange(first, count) / float(video.rate), shown, np.arange(len(shown)))
            begin = min(int(wanted[0]), video.frames - 1)
            frames = enumerate(video.pictures(begin), begin)
            number, before = next(frames)
            after: Frames | None = None
            between: Between | None = None
            for place in wanted.tolist():
                while number < min(int(place), video.frames - 1):
                    number, before = (number + 1, after) if after is not None else next(frames)
                    after = between = None
                part = place - number
                if part < ON_TIME or number >= video.frames - 1 or video.draft:
                    yield before
                    continue
                if after is None or between is None:
                    from footage.generation.cutting.flow import Between

                    after = next(frames)[1]
                    between = Between(before, after)
                yield between.at(part) if between.same_shot else before

        def sound() -> Iterator[Channels]:
            assert video.sound is not None
            source, taken, held = SampleReader(video.sound()), 0, np.zeros((2, 0), np.float32)
            total = round(float(shown[-1]) * TRACK_RATE)
            for first in range(0, total, TRACK_RATE):
                at = np.interp(np.arange(first, min(total, first + TRACK_RATE)) / TRACK_RATE, shown, own) * TRACK_RATE
                need = int(at[-1]) + 2
                held = np.concatenate([held, source.take(max(0, need - taken - held.shape[1]))], axis=1)
                places = np.arange(taken, taken + held.shape[1])
                yield np.stack([np.interp(at, places, channel) for channel in held]).astype(np.float32)
                drop = max(0, int(at[-1]) - taken)
                held, taken = held[:, drop:], taken + drop

        return replace(video, frames=count, pictures=pictures, sound=None if video.sound is None else sound)


@dataclass(frozen=True)
class Loop:
    """The stretch that comes back to where it began, cut so that it goes on for ever, without sound."""

    kind: ClassVar = "loop"
    least: float = bounded(1.0, 0.2, 60, "seconds")
    """Seconds of the loop, at least."""
    most: float = bounded(8.0, 0.4, 60, "seconds")
    """At most."""
    blend: float = bounded(0.3, 0.05, 5, "seconds")
    """Seconds in which its end goes over into its beginning."""

    def __post_init__(self) -> None:
        check_bounds(self)
        require(self.least < self.most, "least", self.least, "give less than most")
        require(self.blend <= self.least, "blend", self.blend, f"give at most least, {self.least:g}")

    def apply(self, video: Material, scratch: Scratch) -> Material:
        """Return the best loop: its end is like its beginning, in what is seen and in how it moves."""
        blend = max(1, round(self.blend * video.rate))
        looked = itertools.islice(video.pictures(0), LOOP_SEARCH)
        cells = np.stack([pool(frame[None], CELLS)[0].ravel() for frame in looked]) / 255
        least, most = round(self.least * video.rate), min(round(self.most * video.rate), len(cells) - blend)
        if most < least:
            needed = float((least + blend) / video.rate)
            raise MediaError(
                f"a loop of {self.least:g} s is longer than the video allows", f"give {needed:.1f} s of video"
            )
        square = np.square(cells).sum(axis=1)
        apart = np.maximum(0, square[:, None] + square - 2 * cells @ cells.T)
        best = (np.inf, 0, 0)
        for length in range(least, most + 1):
            line = np.diagonal(apart, length)  # each frame, and the one `length` behind it
            sums = np.convolve(line, np.ones(blend), "valid") / blend
            at = int(sums.argmin())
            life = float(np.square(np.diff(cells[at : at + length], axis=0)).sum())  # what stands still is no loop
            best = min(best, (float(sums[at]) / (life / length + 1e-4), at, length))
        _, begin, length = best

        def pictures(first: int) -> Iterator[Frames]:
            # begin + blend … begin + length, then on the way to begin … begin + blend: there it begins anew.
            steady = length - blend
            if first < steady:
                yield from itertools.islice(video.pictures(begin + blend + first), steady - first)
            ends = list(itertools.islice(video.pictures(begin + length), blend))
            starts = list(itertools.islice(video.pictures(begin), blend))
            yield from itertools.islice(morph(ends, starts), max(0, first - steady), None)

        return replace(video, frames=length, pictures=pictures, sound=None)


def shifts(video: Material) -> Floats:
    """Return how far each frame moved from the one before, (T, 2), x and y in parts of its sides: of whole pictures.

    By phase correlation (Kuglin & Hines 1975), with a parabola through the peak.
    """
    window = np.outer(np.hanning(GRID), np.hanning(GRID))
    last: npt.NDArray[np.complex128] | None = None
    found = []
    for frame in video.pictures(0):
        grey = pool(frame[None], GRID)[0].mean(axis=-1)
        rows, columns = grey.shape
        grey = (grey - grey.mean()) * (
            window if grey.shape == window.shape else np.outer(np.hanning(rows), np.hanning(columns))
        )
        spectrum = np.fft.fft2(grey)
        if last is None:
            found.append((0.0, 0.0))
        else:
            cross = spectrum * last.conj()
            peak = np.fft.ifft2(cross / (np.abs(cross) + 1e-6)).real
            y, x = np.unravel_index(peak.argmax(), peak.shape)
            place = []
            for axis, at, size in ((1, x, columns), (0, y, rows)):
                line = np.take(peak, y if axis == 1 else x, axis=1 - axis)
                before, here, after = (float(line[(at + step) % size]) for step in (-1, 0, 1))
                curve = before - 2 * here + after
                exact = float(at) + (0.5 * (before - after) / curve if curve < -1e-9 else 0.0)
                place.append(((exact + size / 2) % size - size / 2) / size)
            found.append((place[0], place[1]))
        last = spectrum
    return np.array(found).reshape(-1, 2)


def smoothed(path: Floats, width: float) -> Floats:
    """Return a path (T, n) smoothed by a Gaussian of a deviation in frames; its ends stay where they are."""
    reach = max(1, round(3 * width))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(width, 1e-6)) ** 2)
    padded = np.pad(path, ((reach, reach), (0, 0)), mode="reflect", reflect_type="odd") if len(path) > reach else None
    if padded is None:
        return np.repeat(path.mean(axis=0)[None], len(path), axis=0)
    return np.stack([np.convolve(line, weights / weights.sum(), "valid") for line in padded.T], axis=1)


def moved_crop(frame: Frames, left: float, top: float, size: tuple[int, int]) -> Frames:
    """Return a part of a frame that begins between pixels, bilinear, uint8 (height, width, 3)."""
    height, width = size
    x, y = int(np.floor(left)), int(np.floor(top))
    part = np.take(
        np.take(frame, range(y, y + height + 1), axis=0, mode="clip"), range(x, x + width + 1), 1, mode="clip"
    )
    across, down = left - x, top - y
    mixed = part[:, :-1] * (1 - across) + part[:, 1:] * across
    mixed = mixed[:-1] * (1 - down) + mixed[1:] * down
    return np.asarray(mixed.round(), np.uint8)


@dataclass(frozen=True)
class Stabilise:
    """A steady hand: the camera's path is smoothed; what then lies beyond the edges is cut off all around."""

    kind: ClassVar = "stabilise"
    seconds: float = bounded(0.5, 0.05, 10, "seconds")
    """Over which the path is smoothed."""
    margin: float = bounded(0.06, 0.01, 0.3)
    """Part of each side that may be cut off: shakes that are larger stay in part."""

    def __post_init__(self) -> None:
        check_bounds(self)

    def resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the size (height, width) of what comes of a video of a size."""
        height, width = (max(2, round(side * (1 - 2 * self.margin)) // 2 * 2) for side in size)
        return height, width

    def apply(self, video: Material, scratch: Scratch) -> Material:
        """Return the video, steadier and a little smaller."""
        path = np.cumsum(shifts(video), axis=0)
        aside = np.clip(path - smoothed(path, self.seconds * float(video.rate)), -self.margin, self.margin)
        (height, width), size = video.size, self.resized(video.size)
        middle = np.array([(width - size[1]) / 2, (height - size[0]) / 2])

        def pictures(first: int) -> Iterator[Frames]:
            for number, frame in enumerate(video.pictures(first), first):
                left, top = middle + aside[min(number, len(aside) - 1)] * (width, height)
                yield moved_crop(frame, float(left), float(top), size)

        return replace(video, size=size, pictures=pictures)


@dataclass(frozen=True)
class Reframe:
    """Another shape, such as upright, that follows what moves."""

    kind: ClassVar = "reframe"
    shape: str = "9:16"
    """Width to height."""
    seconds: float = bounded(1.0, 0.1, 10, "seconds")
    """Over which its way is smoothed."""

    def __post_init__(self) -> None:
        check_bounds(self)
        sides = re.fullmatch(r"(\d{1,4}):(\d{1,4})", self.shape)
        require(sides is not None and all(map(int, sides.groups())), "shape", self.shape, "give one such as 9:16")

    def resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the size (height, width) of what comes of a video of a size."""
        wide, high = map(int, self.shape.split(":"))
        height, width = size
        if width * high > height * wide:
            width = round(height * wide / high)
        else:
            height = round(width * high / wide)
        return max(2, height // 2 * 2), max(2, width // 2 * 2)

    def apply(self, video: Material, scratch: Scratch) -> Material:
        """Return the video, cut to the shape around the middle of what moves."""
        size = self.resized(video.size)
        axis = 1 if size[1] < video.size[1] else 0
        places, last, place = list[list[float]](), None, float("nan")
        for frame in video.pictures(0):
            cells = pool(frame[None], GRID)[0].mean(axis=-1)
            if last is not None:
                change = np.maximum(0, np.abs(cells - last) - 4).sum(axis=1 - axis)  # a level or two is noise
                if change.sum() > 0:
                    place = float((change * (np.arange(len(change)) + 0.5)).sum() / change.sum() / len(change))
            places.append([place])
            last = cells
        room = video.size[axis] - size[axis]
        moving = np.array([place for (place,) in places if place == place] or [0.5])[:, None]
        # Until something moves it waits where that will be.
        path = np.concatenate([np.repeat(moving[:1], len(places) - len(moving), axis=0), moving])[: len(places)]
        path = smoothed(path, self.seconds * float(video.rate))[:, 0]
        begin = np.clip(path * video.size[axis] - size[axis] / 2, 0, room)

        def pictures(first: int) -> Iterator[Frames]:
            for number, frame in enumerate(video.pictures(first), first):
                at = float(begin[min(number, len(begin) - 1)])
                yield moved_crop(frame, at if axis == 1 else 0.0, at if axis == 0 else 0.0, size)

        return replace(video, size=size, pictures=pictures)


Effect = Grade | Reverse | Boomerang | Speed | Loop | Stabilise | Reframe
EFFECTS: dict[str, type[Effect]] = {
    effect.kind: effect for effect in (Grade, Reverse, Boomerang, Speed, Loop, Stabilise, Reframe)
}
"""Every effect by its name in a chain."""


def read_chain(path: Path) -> list[Effect]:
    """Read a chain of effects.

    Raises:
        ConfigError: the file is none, of a newer version, or has what is not known or not allowed.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f'chain is "{path}", which cannot be read ({error})', "give a JSON file") from None
    return chain_of(told, f'"{path.name}"')


def chain_of(told: Any, where: str = "the chain") -> list[Effect]:
    """Read a chain of effects from JSON values.

    Raises:
        ConfigError: they are none, of another version, or hold what is not known or not allowed.
    """
    if not isinstance(told, dict) or not isinstance(told.get("effects"), list) or not told["effects"]:
        raise ConfigError(f"{where} is no chain", 'give {"version": 1, "effects": [{"kind": "reverse"}]}')
    if told.get("version") != VERSION:
        raise ConfigError(f"{where} has version {told.get('version')}", f"give version {VERSION}, or update footage")
    if len(told["effects"]) > MOST:
        raise ConfigError(f"{where} has {len(told['effects'])} effects", f"give at most {MOST}")
    chain = list[Effect]()
    for number, item in enumerate(told["effects"], 1):
        kind = item.get("kind") if isinstance(item, dict) else None
        if not isinstance(kind, str) or kind not in EFFECTS:
            raise ConfigError(f'effect {number} is "{kind}"', nearest(str(kind), EFFECTS))
        knobs = {name: value for name, value in item.items() if name != "kind"}
        chain.append(from_json(EFFECTS[kind], knobs, f"effect {number}, {kind}"))
    return chain


def chain_json(chain: Sequence[Effect]) -> dict[str, Any]:
    """Return a chain as its file has it, with every knob."""
    effects = [{"kind": effect.kind, **asdict(effect)} for effect in chain]
    return dict(json.loads(json.dumps({"version": VERSION, "effects": effects})))


def chain_size(chain: Sequence[Effect], size: tuple[int, int]) -> tuple[int, int]:
    """Return the size (height, width) of what a chain makes of a video of a size."""
    for effect in chain:
        size = effect.resized(size) if isinstance(effect, Stabilise | Reframe) else size
    return size


def render_effects(
    video: Path,
    chain: Sequence[Effect],
    to: Path,
    *,
    encoding: EncodingOptions = DEFAULT_ENCODING,
    draft: bool = False,
    seconds: float | None = None,
    watch: Callable[[int, int], object] = lambda *_: None,
) -> int:
    """Write a video with effects; return how many frames it has. Stopped work goes on.

    Args:
        video: the same.
        chain: the effects, in their order.
        to: the file: .mp4, .mov, .mkv or .webm.
        encoding: of its pictures.
        draft: write it quickly and small, to be looked at: effects are done to a video of `DRAFT` pixels, and where it
            is slow frames are shown again.
        seconds: of the video that are taken, from its beginning; None for all.
        watch: is told how many frames are done, of how many.

    Raises:
        ConfigError: codec and file do not go together.
        MediaError: the video cannot be read, an effect has too little of it, or another process writes `to`.
    """
    film = whole([video], 0.0)
    if draft:
        scale, encoding = min(1.0, DRAFT / min(film.size)), ROUGH
        height, width = (max(2, round(side * scale) // 2 * 2) for side in film.size)
        film = replace(film, size=(height, width))
    if seconds is not None:
        film = replace(film, lengths=(max(1, min(film.frames, round(Fraction(str(seconds)) * film.rate))),))

    def sound() -> Iterator[Channels]:
        return film.sound() or iter(())

    heard = sound if film.has_sound else None
    material = Material(film.size, film.rate, film.frames, film.pictures, heard, draft)
    told = chain_json(chain)["effects"]
    tables = [files.file_digest(Path(effect.lut)) for effect in chain if isinstance(effect, Grade)]
    for effect in told:
        effect |= {"lut": Path(effect["lut"]).name} if "lut" in effect else {}  # and not where it lies
    made = read_metadata(video)
    origin = {name: made[name] for name in ORIGIN if name in made and made.get("made_with")}
    about = {"source": video.name, "effects": told, "tables": tables, **origin}
    status = video.stat()
    stamp = {"stamp": [status.st_size, status.st_mtime_ns], "taken": [film.frames, film.size]}
    with Scratch(to, {**about, **stamp}) as scratch:
        for effect in chain:
            material = effect.apply(material, scratch)
        total = material.frames
        frames = render(
            to,
            material.pictures,
            size=material.size,
            rate=material.rate,
            about=about,
            sources=[video],
            sound=None if material.sound is None else material.sound(),
            encoding=encoding,
            watch=lambda done: watch(done, total),
        )
        for writer in scratch.writers:
            writer.drop()
    return frames
