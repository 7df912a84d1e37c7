"""Parts of videos, one behind the other, as a video of their own: to the frame, with their sound to the sample.

Frames are counted as players of a constant rate count them: number k stands on the screen k / rate seconds after the
first. All is read and written as it is taken, in constant memory.
"""

from __future__ import annotations

import itertools
import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from footage import files
from footage.errors import ConfigError, MediaError
from footage.media.colour import UNKNOWN_COLOUR
from footage.media.decode import Frames
from footage.media.encode import MUXING, CleanEncoder, StreamEncoder, write_pictures
from footage.media.geometry import Fit
from footage.media.kinds import address_of
from footage.media.rates import exact_rate
from footage.media.reader import Footage, open_original
from footage.media.sound import TRACK_RATE, Channels, SoundTrack, channel_chunks
from footage.trust.provenance import seal

CLEAN = 256 * 256
"""Pixels of a frame up to which it is encoded nearly without loss."""
QUALITY = 14
"""Quality (CRF, H.264) of larger frames: what is cut out of cuts does not fade."""


@dataclass(frozen=True)
class Cut:
    """A part of a video."""

    path: Path
    first: int = 0
    """Number of its first frame."""
    last: int | None = None
    """Number of its last frame; None for that of the video."""

    def __post_init__(self) -> None:
        if self.first < 0:
            raise ConfigError(f"first is {self.first}", "give at least 0")
        if self.last is not None and self.last < self.first:
            raise ConfigError(f"last is {self.last}, before the first, {self.first}", "give a later one")

    @property
    def sources(self) -> tuple[Path, ...]:
        """Files that it is made from."""
        return (self.path,)

    @property
    def told(self) -> list[Any]:
        """What it is, for the comment of a file that is made of it."""
        return [self.path.name, self.first]

    def pictures(self, size: tuple[int, int], rate: Fraction, fit: Fit, skip: int = 0) -> Iterator[Frames]:
        """Yield its frames, uint8 (H, W, C), at a size; those of a video of another rate are repeated or left out.

        Args:
            size: (height, width).
            rate: frames a second.
            fit: how a picture of another shape is fitted in.
            skip: frames that are not given; where they are all there are, the last one is.

        Raises:
            MediaError: the video ends before the part begins, or cannot be read.
        """
        height, width = size
        own, footage = open_original(self.path).rate, Footage(self.path)
        first = round(self.first / own * rate)
        end = None if self.last is None else round((self.last + 1 - self.first) / own * rate)
        begin = 0 if footage.pictures else first + skip
        chunks = footage.chunks(height=height, width=width, channels=3, fps=rate, fit=fit, begin=begin)
        frames: Iterator[Frames] = itertools.chain.from_iterable(chunks)
        if footage.pictures:
            frames = itertools.islice(frames, first + skip, None)
        frames = frames if end is None else itertools.islice(frames, max(0, end - skip))
        head = next(frames, None)
        if head is not None:
            yield head
            yield from frames
        elif skip:
            yield from deque(self.pictures(size, rate, fit), 1)
        else:
            raise MediaError(f'"{self.path.name}" ends before frame {self.first + 1}', "begin earlier")

    def sound(self) -> Iterator[Channels]:
        """Yield its sound from its first frame on, in stereo; nothing where there is none."""
        original = open_original(self.path)
        if original.has_audio:
            yield from channel_chunks(self.path, TRACK_RATE, "stereo", original.start + self.first / original.rate)


def write_cuts(
    cuts: Sequence[Cut],
    to: Path,
    *,
    metadata: dict[str, Any],
    fit: Fit = "letterbox",
    watch: Callable[[int], object] = lambda _: None,
) -> int:
    """Write parts of videos one behind the other, at size and rate of the first, as an mp4; return how many frames.

    Sound is kept, in stereo, where one of them has some; wide colours become BT.709 of 8 bits.

    Args:
        cuts: one or more.
        to: the file; it is written atomically.
        metadata: put into the file as JSON, in its comment.
        fit: how a picture of another shape is fitted in.
        watch: is told after each frame how many are written; what it raises ends the work.

    Raises:
        MediaError: a video cannot be read, is a still, or ends before its part begins; or the disk is full.
    """
    import av

    originals = [open_original(cut.path) for cut in cuts]
    for cut, original in zip(cuts, originals, strict=True):
        if original.frames == 1 or Footage(cut.path).is_picture:
            raise MediaError(f'"{cut.path.name}" is a picture', "give a clip")
    rate, size = exact_rate(originals[0].rate), Footage(cuts[0].path).size()
    full = MediaError(f'the disk is full, "{to}" was not written', "free some space and go on")
    done = 0
    with files.disk_errors(full), files.replacing(to) as temporary:
        with av.open(address_of(temporary), "w", format="mp4", options=MUXING["mp4"]) as container:
            container.metadata["comment"] = json.dumps(metadata, ensure_ascii=False)
            if size[0] * size[1] <= CLEAN:
                video: CleanEncoder | StreamEncoder = CleanEncoder(container, "mp4", size=size, rate=rate)
            else:
                video = StreamEncoder(
                    container, "libx264", "h264", QUALITY, size=size, base=1 / rate, rate=rate, colour=UNKNOWN_COLOUR
                )
            track = SoundTrack(container, "mp4", ()) if any(original.has_audio for original in originals) else None
            for cut in cuts:
                if track is not None:
                    track.follow(cut.sound())
                done = write_pictures(video, cut.pictures(size, rate, fit), rate, track, done, watch)
            video.finish()
            if track is not None:
                track.finish()
        seal(temporary, metadata, to.name, [cut.path for cut in cuts])
    return done
