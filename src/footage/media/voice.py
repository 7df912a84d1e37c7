"""Where somebody speaks in a sound, by its energy alone; needs no model, and cannot tell a singer from a speaker.

Speech is loud between 300 and 3,400 Hz for a syllable, and quiet between two: its level there goes up and down three to
eight times a second (Houtgast & Steeneken 1985, on modulation spectra; Scheirer & Slaney 1997 tell speech from music by
energy at 4 Hz). A moment is speech where that band is well above the sound's own floor, and its level has moved that
much within a second around it. Music with as quick a beat may be taken for speech; then there is a cut less.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from footage.media.sound import RATE, Samples, sound_chunks
from footage.media.sound_features import HOP, WINDOW, spectra

BAND = (300.0, 3400.0)
"""Hz, as telephones carry it."""
ROW = 2 * HOP
"""Samples from one level to the next: 20 ms."""
FAINT = 1e-5
"""Least magnitude of the band: -100 dB."""
ABOVE = 10.0
"""Decibels above the floor from which on a sound may be speech."""
LEAST = -60.0
"""Decibels of a full tone below which nothing is heard."""
QUICK, SLOW = 3, 25
"""Levels, of 20 ms, over which syllables are smoothed, and over which what moves more slowly is taken away."""
MOVES = 3.0
"""Decibels that the level goes up and down around its mean, as a deviation."""
PAUSE, WORD = 0.35, 0.2
"""Seconds: a shorter pause is within speech; what is shorter is no speech."""

Levels = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Speech:
    """When somebody speaks, in seconds: (N, 2), from and to, in order."""

    spans: npt.NDArray[np.float64]

    def within(self, time: float) -> tuple[float, float] | None:
        """Return from when to when is spoken around a time; None where nobody speaks then."""
        number = int(np.searchsorted(self.spans[:, 0], time, side="right")) - 1
        if number < 0 or time >= self.spans[number, 1]:
            return None
        return float(self.spans[number, 0]), float(self.spans[number, 1])


SILENCE = Speech(np.zeros((0, 2)))
"""Nobody speaks."""


def find_speech(chunks: Iterable[Samples]) -> Speech:
    """Find speech in a sound, in chunks (n,) at `sound.RATE`. Levels of all of it are held: 1.4 MB an hour."""
    frequencies = np.fft.rfftfreq(WINDOW, 1 / RATE)
    band = (frequencies >= BAND[0]) & (frequencies <= BAND[1])
    rows = [np.sqrt(np.square(part[:, band]).sum(axis=1)) for part in spectra(chunks, hop=ROW)]
    if not rows:
        return SILENCE
    level = 20 * np.log10(np.maximum(np.concatenate(rows), FAINT)).astype(np.float64)
    floor = np.percentile(level[level > LEAST], 5) if (level > LEAST).any() else LEAST
    # Syllables: the level, smoothed, about its mean of half a second; how far it moves within a second.
    syllables = _mean(level, QUICK) - _mean(level, SLOW)
    moves = np.sqrt(_mean(np.square(syllables), 2 * SLOW + 1))
    loud = _mean(level, QUICK) > max(LEAST, floor + ABOVE)
    spoken = loud & (moves > MOVES)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], spoken, [False]]).astype(np.int8)))
    spans = edges.reshape(-1, 2) * (ROW / RATE)
    joined: list[list[float]] = []
    for begin, end in spans.tolist():
        if joined and begin - joined[-1][1] < PAUSE:
            joined[-1][1] = end
        else:
            joined.append([begin, end])
    kept = [span for span in joined if span[1] - span[0] >= WORD]
    return Speech(np.array(kept).reshape(-1, 2))


def speech_in(path: Path) -> Speech:
    """Find speech in the sound of a file.

    Raises:
        MediaError: it cannot be read, or has no sound.
    """
    return find_speech(sound_chunks(path, RATE))


def _mean(values: Levels, width: int) -> Levels:
    """Return the running mean over `width` values; at the ends over those that there are."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    begin, end = np.maximum(0, places - width // 2), np.minimum(len(values), places + width // 2 + 1)
    mean: Levels = (total[end] - total[begin]) / (end - begin)
    return mean
