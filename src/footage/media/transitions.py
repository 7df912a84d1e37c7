"""Parts of videos one behind the other, with transitions between them: FFmpeg's `xfade`, or any other.

All has size and rate of the first part; sounds are faded into one another. Memory is constant: what is held are the
frames of a transition.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from footage.errors import MediaError
from footage.media.cuts import Cut
from footage.media.decode import Frames
from footage.media.geometry import Fit
from footage.media.probe import count_frames
from footage.media.reader import Footage
from footage.media.sound import TRACK_RATE, Channels

_XFADES = """
fade wipeleft wiperight wipeup wipedown slideleft slideright slideup slidedown circlecrop rectcrop distance
fadeblack fadewhite radial smoothleft smoothright smoothup smoothdown circleopen circleclose vertopen
vertclose horzopen horzclose dissolve pixelize diagtl diagtr diagbl diagbr hlslice hrslice vuslice vdslice
hblur fadegrays wipetl wipetr wipebl wipebr squeezeh squeezev zoomin fadefast fadeslow hlwind hrwind vuwind
vdwind coverleft coverright coverup coverdown revealleft revealright revealup revealdown
"""
XFADES = tuple(_XFADES.split())
"""FFmpeg's names of its transitions."""


def xfade(kind: str, before: Iterable[Frames], after: Iterable[Frames], count: int) -> Iterator[Frames]:
    """Yield what lies between two videos: the first frame is that of the first video, the next would be of the other.

    Args:
        kind: one of `XFADES`.
        before: the last frames of the first video, uint8 (H, W, 3).
        after: as many first frames of the other, of the same size.
        count: how many there are.
    """
    import av
    import av.filter

    graph: Any = None
    base = Fraction(1, 1000)  # frames are numbered; the rate does not matter, as long as it is the same on both sides

    def pulled() -> Iterator[Frames]:
        with contextlib.suppress(av.error.BlockingIOError, av.error.EOFError):  # no more for now; no more at all
            while True:
                yield np.ascontiguousarray(graph.pull().to_ndarray(format="rgb24"))

    for number, pair in enumerate(zip(before, after, strict=True)):
        if graph is None:
            height, width = pair[0].shape[:2]
            graph = av.filter.Graph()
            about = {"video_size": f"{width}x{height}", "pix_fmt": "gbrp", "time_base": "1/1000"}
            ends = [graph.add("buffer", **about, frame_rate="1000", pixel_aspect="1/1") for _ in pair]
            mixer = graph.add("xfade", transition=kind, duration=f"{1000 * count}us", offset="0us")
            sink = graph.add("buffersink")
            for place, end in enumerate(ends):
                end.link_to(mixer, 0, place)
            mixer.link_to(sink)
            graph.configure()
        for end, picture in zip(ends, pair, strict=True):  # in turn: else the filter would hold all of one side
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24").reformat(format="gbrp")
            frame.pts, frame.time_base = number, base
            end.push(frame)
        mixed = list(pulled())
        # Some kinds show a line of the other video already.
        yield from [pair[0], *mixed[1:]] if number == 0 and mixed else mixed
    if graph is not None:
        for end in ends:
            end.push(None)
        yield from pulled()


def filtered(pictures: Iterable[Frames], name: str, **options: str) -> Iterator[Frames]:
    """Yield pictures, uint8 (H, W, 3), as one of FFmpeg's filters changes them, of which each gives one."""
    import av
    import av.filter

    graph: Any = None
    for number, picture in enumerate(pictures):
        if graph is None:
            height, width = picture.shape[:2]
            graph = av.filter.Graph()
            about = {"video_size": f"{width}x{height}", "pix_fmt": "rgb24", "time_base": "1/1000"}
            source = graph.add("buffer", **about, frame_rate="1000", pixel_aspect="1/1")
            changed, sink = graph.add(name, **options), graph.add("buffersink")
            source.link_to(changed)
            changed.link_to(sink)
            graph.configure()
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, 1000)
        source.push(frame)
        yield np.ascontiguousarray(graph.pull().to_ndarray(format="rgb24"))


def crossfaded(
    sounds: Sequence[tuple[Iterable[Channels], Fraction]], overlaps: Sequence[Fraction]
) -> Iterator[Channels]:
    """Yield sounds one behind the other, each faded into the next with the same power throughout.

    Args:
        sounds: each (2, n) at `TRACK_RATE`, in chunks, and the seconds that it lasts: what is longer is cut off, and
            silence follows what is shorter.
        overlaps: seconds of each transition, one fewer than sounds; none of these is shorter than its two.
    """
    held = np.zeros((2, 0), np.float32)  # the end of the sound before
    due = Fraction(0)
    for number, (chunks, seconds) in enumerate(sounds):
        shared = held.shape[1]
        behind = overlaps[number] if number < len(sounds) - 1 else Fraction(0)
        begun, due = round(due * TRACK_RATE), due + seconds - behind
        source = SampleReader(chunks)
        left = round(due * TRACK_RATE) - begun - shared
        if shared:
            angle = (np.arange(shared, dtype=np.float32) + 0.5) / shared * (np.pi / 2)
            yield held * np.cos(angle) + source.take(shared) * np.sin(angle)
        while left > 0:
            yield source.take(min(left, TRACK_RATE))
            left -= TRACK_RATE
        held = source.take(round(behind * TRACK_RATE))


def mixed(
    own: Iterable[Channels], music: Iterable[Channels], level: float, seconds: Fraction, fade: float = 2.0
) -> Iterator[Channels]:
    """Yield sound with music under it, which is faded out at the end.

    Args:
        own: (2, n) each at `TRACK_RATE`.
        music: likewise; where it ends, silence follows.
        level: of the music, 1 for as it is.
        seconds: how long it lasts.
        fade: seconds of the end.
    """
    below, above = SampleReader(music), SampleReader(own)
    total = round(seconds * TRACK_RATE)
    for at in range(0, total, TRACK_RATE):
        count = min(TRACK_RATE, total - at)
        left = (total - at - np.arange(count)) / (fade * TRACK_RATE)
        heard = below.take(count) * np.minimum(1, left) * level + above.take(count)
        yield np.clip(heard, -1, 1).astype(np.float32)


def louder(chunks: Iterable[Channels], level: float) -> Iterator[Channels]:
    """Yield a sound at a level: 1 as it is, 0 for silence."""
    for chunk in chunks:
        yield (chunk * level).astype(np.float32)


def later(chunks: Iterable[Channels], skip: int) -> Iterator[Channels]:
    """Yield a sound, (2, n) each, without its first samples."""
    for chunk in chunks:
        if skip < chunk.shape[1]:
            yield chunk[:, skip:]
        skip = max(0, skip - chunk.shape[1])


class SampleReader:
    """Gives as many samples of a sound as are asked for; behind its end there is silence."""

    def __init__(self, chunks: Iterable[Channels]) -> None:
        self._chunks = iter(chunks)
        self._left = np.zeros((2, 0), np.float32)

    def take(self, count: int) -> Channels:
        """Return the next samples (2, count)."""
        while self._left.shape[1] < count:
            chunk = next(self._chunks, None)
            if chunk is None:
                chunk = np.zeros((2, count - self._left.shape[1]), np.float32)
            self._left = np.concatenate([self._left, chunk], axis=1)
        taken, self._left = self._left[:, :count], self._left[:, count:]
        return taken


Mixer = Callable[[Sequence[Frames], Sequence[Frames]], Iterable[Frames]]
"""Makes a transition of the last frames of one part and the first of the next, as many, uint8 (H, W, 3) each."""


class FilmPart(Protocol):
    """A part of a film: `cuts.Cut`, `titles.Titled`."""

    @property
    def sources(self) -> tuple[Path, ...]:
        """Files that it is made from."""

    @property
    def told(self) -> list[Any]:
        """What it is, for the film's comment."""

    def pictures(self, size: tuple[int, int], rate: Fraction, fit: Fit, skip: int = 0) -> Iterator[Frames]:
        """Yield its frames, uint8 (H, W, 3), without the first `skip`; at least one."""

    def sound(self) -> Iterator[Channels]:
        """Yield its sound, (2, n) each at `TRACK_RATE`; nothing for none."""


@dataclass(frozen=True)
class Film:
    """Parts of videos one behind the other."""

    parts: tuple[FilmPart, ...]
    lengths: tuple[int, ...]
    """Frames of each, at the film's rate: those that are missing at its end are its last one again."""
    size: tuple[int, int]
    rate: Fraction
    has_sound: bool
    """Whether one of the parts has."""
    fit: Fit = "letterbox"
    """How a picture of another shape is fitted in."""
    fits: tuple[Fit, ...] = ()
    """The same for each part; empty for that."""
    overlaps: tuple[int, ...] = ()
    """Frames of each transition, one fewer than parts, 0 for a cut; empty for cuts alone."""
    mixes: tuple[Mixer, ...] = ()
    """What makes each of them; empty where there is none."""
    levels: tuple[float, ...] = ()
    """Of each part's sound, 1 for as it is; empty for that."""
    track: Callable[[], Iterator[Channels]] | None = None
    """What is heard in place of the parts' own sound: (2, n) at `TRACK_RATE`; None for that."""
    kinds: tuple[str, ...] = ()
    """Names of the transitions, "" for a cut, as edit lists tell them; empty where there are none."""

    @property
    def frames(self) -> int:
        """How many there are."""
        return sum(self.lengths) - sum(self.overlaps)

    @property
    def starts(self) -> list[int]:
        """Number of the first frame of each part; where there is a transition, that of its first."""
        overlaps = self.overlaps or (0,) * (len(self.parts) - 1)
        shown = (length - overlap for length, overlap in zip(self.lengths, overlaps, strict=False))
        return [0, *itertools.accumulate(shown)]

    def pictures(self, first: int = 0) -> Iterator[Frames]:
        """Yield its frames, uint8 (H, W, 3), from number `first` on."""
        before = (0, *self.overlaps) if self.overlaps else (0,) * len(self.parts)
        behind = (*self.overlaps, 0) if self.overlaps else before
        starts, held = self.starts, list[Frames]()
        begin = max(number for number, at in enumerate(starts) if not number or at + before[number] <= first)
        for number in range(begin, len(self.parts)):
            length = self.lengths[number]
            skip = min(max(0, first - starts[number]), length - behind[number]) if number == begin else 0
            fit = self.fits[number] if self.fits else self.fit
            shown = self.parts[number].pictures(self.size, self.rate, fit, skip)
            source = lasting(shown, length - skip)
            if number > begin and before[number]:
                begun = list(itertools.islice(source, before[number]))
                mixing = self.mixes[number - 1](held, begun)
                yield from itertools.islice(mixing, max(0, first - starts[number]), None)
                skip = before[number]
            yield from itertools.islice(source, length - skip - behind[number])
            held = list(source)

    def sound(self) -> Iterator[Channels] | None:
        """Return its sound; None where no part has any."""
        if not self.has_sound:
            return None
        if self.track is not None:
            return self.track()
        lengths = [length / self.rate for length in self.lengths]
        heard = [part.sound() for part in self.parts]
        if self.levels:
            heard = list(map(louder, heard, self.levels))
        overlaps = self.overlaps or (0,) * (len(self.parts) - 1)
        return crossfaded(list(zip(heard, lengths, strict=True)), [overlap / self.rate for overlap in overlaps])


def lasting(pictures: Iterable[Frames], count: int) -> Iterator[Frames]:
    """Yield `count` pictures; where there are fewer, the last one again."""
    picture = None
    for picture in itertools.islice(pictures, count):
        yield picture
        count -= 1
    for _ in range(count if picture is not None else 0):
        yield picture  # type: ignore[misc]


def whole(paths: Sequence[Path], seconds: float, fit: Fit = "letterbox") -> Film:
    """Return videos one behind the other, with room for a transition of some seconds, or of none, between them.

    Raises:
        MediaError: one is a picture, cannot be read, or is too short.
    """
    counts = []
    for path in paths:
        if Footage(path).pictures:
            raise MediaError(f'"{path.name}" is a picture', "give a video")
        counts.append(count_frames(path))
    rate = counts[0].rate
    if rate is None:
        raise MediaError(f'"{paths[0].name}" does not tell its rate', "save it again as .mp4")
    overlap = round(Fraction(str(seconds)) * rate)
    if overlap < 1 and seconds:
        raise MediaError(
            f"a transition of {seconds:g} s is shorter than a frame", f"give at least {float(1 / rate):.3g}"
        )
    lengths = tuple(max(1, round(each.playable / (each.rate or rate) * rate)) for each in counts)
    for number, (path, length) in enumerate(zip(paths, lengths, strict=True)):
        needed = overlap * (1 if number in (0, len(paths) - 1) else 2)
        if length < needed:
            most = seconds * length / needed
            problem = (
                f'"{path.name}" lasts {float(length / rate):.2f} s, and transitions take {float(needed / rate):.2f} s'
            )
            raise MediaError(problem + " of it", f"give at most {most:.2f} s for each, or leave the clip out")
    size = counts[0].height, counts[0].width
    return Film(
        tuple(map(Cut, paths)),
        lengths,
        size,
        rate,
        any(each.has_audio for each in counts),
        fit,
        overlaps=(overlap,) * (len(paths) - 1) if overlap else (),
    )
