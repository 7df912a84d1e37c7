"""A still that speaks: what is said comes from files, such as a program wrote of a text, or live, as it is heard.

All of it streams: a frame is made as soon as the sound around it is known.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from footage.errors import ConfigError, MediaError
from footage.generation.clip import Clip
from footage.generation.convert import conversion_metadata
from footage.generation.rollout import from_uint8, to_uint8
from footage.media.geometry import Fit
from footage.media.reader import Footage
from footage.media.sheets import tile
from footage.media.sound import TRACK_RATE, Channels, Samples, channel_chunks, sound_chunks
from footage.media.speech import RATE, Levels, frame_windows
from footage.models.base import Speaks
from footage.models.card import ModelInfo

Frames = npt.NDArray[np.uint8]

CHUNK = 8
"""Frames that are made between two looks at the sound."""
SILENT = 1e-3
"""Largest sample of a sound that is called silent: -60 dB."""
CLIPPED = 0.999
"""Samples that large count as cut off."""
OFTEN = 0.005
"""Part of the samples that are cut off, above which a note says so."""
PAUSE = 0.4
"""Seconds between two lines of a script."""


@dataclass(frozen=True)
class SpeechNote:
    """What a sound is like, before a figure speaks it."""

    seconds: float
    clipped: float
    """Part of the samples that are cut off."""

    @property
    def notes(self) -> list[str]:
        """What there is to say of it, in words."""
        if self.clipped < OFTEN:
            return []
        return [f"the sound is cut off in {self.clipped:.1%} of its samples: record it with less gain"]


def listen_through(path: Path) -> SpeechNote:
    """Hear a sound once, in constant memory.

    Raises:
        MediaError: it cannot be read, has no sound, or is silent.
    """
    count = cut = 0
    loudest = 0.0
    for chunk in sound_chunks(path, RATE):
        size = np.abs(chunk)
        count, cut, loudest = count + len(chunk), cut + int((size >= CLIPPED).sum()), max(loudest, float(size.max()))
    if loudest < SILENT:
        what = "holds no sample of sound" if not count else "is silent"
        raise MediaError(f'"{path.name}" {what}: no figure would move its mouth', "give a recording of speech")
    return SpeechNote(count / RATE, cut / count)


def read_still(still: Footage, info: ModelInfo, fit: Fit) -> Tensor:
    """Return the first frame of a picture or a video as a model is given it, (1, C, H, W) in [-1, 1].

    Raises:
        MediaError: it cannot be read.
    """
    clip = info.config.clip
    for chunk in still.chunks(height=clip.height, width=clip.width, channels=clip.channels, fps=info.fps, fit=fit):
        return from_uint8(chunk[None, :1])[:, :, 0]
    raise MediaError(f'"{still.path}" has no picture', "give a picture or a video")


def heard_chunks(windows: Iterable[Levels], frames: int = CHUNK) -> Iterator[Tensor]:
    """Turn what is heard around each frame, (S, bands) bytes, into chunks (1, t, S, bands) in [-1, 1]."""
    windows = iter(windows)
    while several := list(itertools.islice(windows, frames)):
        yield torch.from_numpy(np.stack(several)[None].astype(np.float32)) / 127.5 - 1


def spoken_frames(
    sampler: Speaks,
    info: ModelInfo,
    still: Tensor,
    sound: Iterable[Samples],
    seed: int,
    start: int = 0,
    chunk: int = CHUNK,
) -> Iterator[Frames]:
    """Yield a still, (1, C, H, W), speaking sound at `RATE` in mono, from frame `start` on: uint8 (T, H, W, C)."""
    windows = frame_windows(sound, RATE, info.fps, start)
    for frames in sampler.speak(still, heard_chunks(windows, chunk), [seed], start):
        yield to_uint8(frames)[0]


def speak(
    sampler: Speaks,
    info: ModelInfo,
    still: Footage,
    audio: Path,
    *,
    seed: int = 0,
    begin: float = 0.0,
    fit: Fit = "crop",
) -> Clip:
    """Let a still speak a sound, which is heard in the clip; see `Model.speak`.

    Raises:
        ConfigError: a number is out of range.
        MediaError: still or sound cannot be read, or there is no sound.
    """
    note = listen_through(audio)
    if not 0 <= begin < note.seconds:
        raise ConfigError(f"begin is {begin:g}, and the sound has {note.seconds:.2f} seconds", "give less")
    picture, start = read_still(still, info, fit), round(begin * info.fps)

    def make() -> Iterator[Frames]:
        return spoken_frames(sampler, info, picture, sound_chunks(audio, RATE), seed, start)

    def sound() -> Iterator[Channels]:
        skipped = round(start / info.fps * TRACK_RATE)
        for chunk in channel_chunks(audio, TRACK_RATE, "stereo"):
            if skipped < chunk.shape[1]:
                yield chunk[:, skipped:]
            skipped = max(0, skipped - chunk.shape[1])

    about = conversion_metadata(info, still, seed) | {"audio": audio.name}
    return Clip(make, None, info.fps, about, sound)


def converse(
    sampler: Speaks,
    info: ModelInfo,
    stills: dict[str, Footage],
    said: Sequence[tuple[str, Path]],
    *,
    seed: int = 0,
    fit: Fit = "crop",
) -> Clip:
    """Let figures speak in turn, side by side: who is silent listens.

    The figures are `stills`, by name; `said` is who says what, as files of sound, in order. The first figure has the
    seed, the others those that follow.

    Raises:
        MediaError: a still or a sound cannot be read, or is silent.
    """
    for _, path in said:
        listen_through(path)
    pictures = {name: read_still(still, info, fit) for name, still in stills.items()}

    def heard_by(name: str) -> Iterator[Samples]:
        for speaker, path in said:
            for chunk in sound_chunks(path, RATE):
                yield chunk if speaker == name else np.zeros_like(chunk)
            yield np.zeros(round(PAUSE * RATE), np.float32)

    def make() -> Iterator[Frames]:
        parts = [
            spoken_frames(sampler, info, picture, heard_by(name), seed + number)
            for number, (name, picture) in enumerate(pictures.items())
        ]
        for several in zip(*parts, strict=True):
            yield tile(list(several), columns=len(several))

    def sound() -> Iterator[Channels]:
        for _, path in said:
            # As many samples as the figures hear: what is resampled may be a sample longer or shorter.
            left = round(sum(len(chunk) for chunk in sound_chunks(path, RATE)) * TRACK_RATE / RATE)
            for chunk in channel_chunks(path, TRACK_RATE, "stereo"):
                yield chunk[:, :left]
                left -= min(left, chunk.shape[1])
            yield np.zeros((2, left + round(PAUSE * TRACK_RATE)), np.float32)

    still = next(iter(stills.values()))
    about = conversion_metadata(info, still, seed) | {"figures": list(stills), "lines": len(said)}
    return Clip(make, None, info.fps, about, sound)


def as_if_live(
    chunks: Iterable[Samples],
    rate: int = RATE,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Samples]:
    """Yield sound in parts of 10 ms, each when its last sample would have been heard."""
    begun, heard = clock(), 0
    for chunk in chunks:
        for first in range(0, len(chunk), rate // 100):
            part = chunk[first : first + rate // 100]
            heard += len(part)
            sleep(max(0.0, begun + heard / rate - clock()))
            yield part


def samples_of(stream: IO[bytes]) -> Iterator[Samples]:
    """Yield sound of 16 bits in mono at `RATE` from a stream, 10 ms or less at once, as it comes in."""
    half = b""
    while part := stream.read1(RATE // 100 * 2):  # type: ignore[attr-defined]
        part = half + part
        whole = len(part) // 2 * 2
        half = part[whole:]
        if whole:
            yield np.frombuffer(part[:whole], "<i2").astype(np.float32) * np.float32(1 / 32_768)


class LiveFigure:
    """Frames of a still that speaks what is heard now, with the time from each frame's sound to the frame.

    Args:
        sound: parts of sound at `RATE`, in mono, each as soon as it is heard.
    """

    KEPT = 400
    """Parts of sound, and frames, that are remembered."""

    def __init__(
        self,
        sampler: Speaks,
        info: ModelInfo,
        still: Tensor,
        sound: Iterable[Samples],
        seed: int = 0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.clock, self.fps = clock, info.fps
        self._arrivals: deque[tuple[int, float]] = deque(maxlen=self.KEPT)
        self.latencies: deque[float] = deque(maxlen=10_000)
        """Seconds from the sound of a frame's own time to the frame, of the newest frames."""

        def noted() -> Iterator[Samples]:
            heard = 0
            for part in sound:
                heard += len(part)
                self._arrivals.append((heard, self.clock()))
                yield part

        self._frames = spoken_frames(sampler, info, still, noted(), seed, chunk=1)

    def __iter__(self) -> Iterator[npt.NDArray[np.uint8]]:
        for number, (frame,) in enumerate(self._frames):
            sample = number / self.fps * RATE
            arrived = next((when for heard, when in self._arrivals if heard > sample), None)
            if arrived is not None:
                self.latencies.append(self.clock() - arrived)
            yield frame
