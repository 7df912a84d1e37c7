"""Sound as a figure that speaks hears it: levels of mel bands, 100 times a second, and the window around each frame.

Step s is what is heard around s / 100 seconds, whatever the rate and however the sound is cut into chunks. A level is
a byte: 0 for `FLOOR` decibels and less, 255 for `CEILING` and more, where a sine of full scale has 0 decibels.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from footage.media.sound_features import mel_bands

Levels = npt.NDArray[np.uint8]
"""(S, BANDS)."""
Samples = npt.NDArray[np.float32]

RATE = 16_000
"""Samples in a second of sound that is read for a figure."""
STEPS = 100
"""Steps in a second."""
BANDS = 40
LOWEST, HIGHEST = 60.0, 7600.0
"""Hz between which the bands lie."""
LISTENED = 0.032
"""Seconds of sound that a step is taken from."""
FLOOR, CEILING = -95.0, -5.0
"""Decibels."""
BEFORE, AFTER = 16, 12
"""Steps that belong to a frame: those before its time, and those from it on. The latter are what a live figure waits
for."""
SHIFTS = (16, 24, 36)
"""Steps by which sound is moved, either way, to stand for what does not go with a frame."""
AROUND = max(SHIFTS)
"""Further steps, on both sides, that are given with a frame in training."""
WINDOW = BEFORE + AFTER
WHOLE = WINDOW + 2 * AROUND


@functools.lru_cache(maxsize=8)
def _filters(rate: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the window (N,), whose sum is 2, and the weights of its spectrum's bins in the bands."""
    window = np.hanning(round(LISTENED * rate) + 2)[1:-1]
    return 2 * window / window.sum(), mel_bands(BANDS, len(window), rate, LOWEST, HIGHEST).astype(np.float64)


def speech_levels(samples: Samples, rate: int, first: int = 0, steps: int | None = None, begin: int = 0) -> Levels:
    """Return the levels of some steps; outside of the sound there is silence.

    Args:
        samples: sound in mono, (N,), in [-1, 1].
        rate: samples in a second.
        first: the first step.
        steps: how many; None for as many as the sound has.
        begin: number of the first sample.
    """
    window, weights = _filters(rate)
    if steps is None:
        steps = math.ceil((begin + len(samples)) * STEPS / rate) - first
    parts = []
    for start in range(0, steps, 512):  # memory does not grow with length
        numbers = np.arange(first + start, first + min(steps, start + 512))
        centres = (numbers * rate + STEPS // 2) // STEPS - begin
        places = centres[:, None] + np.arange(len(window)) - len(window) // 2
        heard = np.where((places >= 0) & (places < len(samples)), samples[places.clip(0, max(0, len(samples) - 1))], 0)
        magnitudes = np.abs(np.fft.rfft(heard.astype(np.float64) * window, axis=1))
        decibels = 20 * np.log10(magnitudes @ weights + 1e-7)
        parts.append(np.rint(np.clip((decibels - FLOOR) / (CEILING - FLOOR), 0, 1) * 255).astype(np.uint8))
    return np.concatenate(parts) if parts else np.zeros((0, BANDS), np.uint8)


def centre(frame: int, fps: float) -> int:
    """Return the step at which a frame is shown."""
    return math.floor(frame * STEPS / fps + 0.5)


def windows(levels: Levels, fps: float, start: int, frames: int, *, around: int = 0, first: int = 0) -> Levels:
    """Return what is heard around some frames, (T, WINDOW + 2 around, BANDS); outside there is silence.

    Args:
        levels: of steps from `first` on.
        fps: frames in a second.
        start: the first frame.
        frames: how many.
        around: further steps on both sides.
        first: number of the first step of `levels`.
    """
    begins = np.array([centre(frame, fps) for frame in range(start, start + frames)]) - BEFORE - around - first
    places = begins[:, None] + np.arange(WINDOW + 2 * around)
    if not len(levels):
        return np.zeros((*places.shape, BANDS), np.uint8)
    inside = (places >= 0) & (places < len(levels))
    heard: Levels = np.where(inside[..., None], levels[places.clip(0, len(levels) - 1)], 0).astype(np.uint8)
    return heard


def frame_windows(chunks: Iterable[Samples], rate: int, fps: float, start: int = 0) -> Iterator[Levels]:
    """Yield what is heard around each frame, (WINDOW, BANDS), as soon as it is known, in constant memory.

    There is a frame for each that begins before the sound ends; the result does not depend on the chunks.

    Args:
        chunks: sound from time 0 on, (n,) each.
        rate: samples in a second.
        fps: frames in a second.
        start: first frame.
    """
    half = round(LISTENED * rate) // 2 + 1
    held, begin, frame, known = np.zeros(0, np.float32), 0, start, 0
    waiting, oldest = np.zeros((0, BANDS), np.uint8), 0
    for chunk in chunks:
        held = np.concatenate([held, np.asarray(chunk, np.float32)])
        end = begin + len(held)
        ready = max(known, (end - half) * STEPS // rate)  # steps whose sound is all there
        if ready == known:
            continue
        waiting = np.concatenate([waiting, speech_levels(held, rate, known, ready - known, begin)])
        known = ready
        while centre(frame, fps) + AFTER <= known:
            yield windows(waiting, fps, frame, 1, first=oldest)[0]
            frame += 1
        drop = max(0, min(len(waiting), centre(frame, fps) - BEFORE - oldest))
        waiting, oldest = waiting[drop:], oldest + drop
        gone = max(0, (known * rate) // STEPS - half - 2 - begin)
        held, begin = held[gone:], begin + gone
    end = begin + len(held)
    last = math.ceil(end * fps / rate - 1e-9)
    if frame < last:
        more = max(0, centre(last, fps) + AFTER - known)
        waiting = np.concatenate([waiting, speech_levels(held, rate, known, more, begin)])
        for number in range(frame, last):
            yield windows(waiting, fps, number, 1, first=oldest)[0]


def packed(heard: Levels, height: int, width: int, *, note: int) -> Levels:
    """Return windows (T, WHOLE, BANDS) and a note, 0 or 1, as pixels behind those of frames, (T, H, W, K)."""
    flat = heard.reshape(len(heard), -1)
    room = pixels(height, width) * height * width
    flat = np.pad(flat, ((0, 0), (0, room - flat.shape[1])))
    flat[:, WHOLE * BANDS] = 255 * note
    return flat.reshape(len(heard), -1, height, width).transpose(0, 2, 3, 1)  # T K H W -> T H W K


def pixels(height: int, width: int) -> int:
    """Return how many channels `WHOLE` steps and a note take behind frames of a size."""
    return math.ceil((WHOLE * BANDS + 1) / (height * width))
