"""Music that footage plays itself: plucked and held tones, made bar by bar, the same on every run.

A plucked tone is a sum of overtones, of which the higher ones die away sooner, as on a string (Fletcher & Rossing, The
Physics of Musical Instruments, section 2.11); equal temperament, A at 440 Hz. Chords go round; above them goes a melody
over the chord's own tones and the scale's, drawn from the number of the bar alone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from footage.errors import ConfigError, nearest
from footage.media.sound import TRACK_RATE, Channels

RINGS = 2.0
"""Seconds for which a tone is heard, at most."""
SCALE = (0, 2, 4, 7, 9)
"""Semitones of the melody's tones above the key's: major without fourth and seventh, which rub against no chord."""


@dataclass(frozen=True)
class Tune:
    """What a piece of music is made of."""

    beat: float
    """Seconds."""
    beats: int
    """In a bar."""
    key: int
    """MIDI number of its lowest tone."""
    chords: tuple[tuple[int, ...], ...]
    """Semitones above the key, one chord for each bar; they go round."""
    broken: tuple[int, ...]
    """Which tones of the chord are plucked one after another in a bar, evenly."""
    held: float
    """Level of tones that are held for the whole bar."""
    melody: float
    """Part of the beats that have a tone of the melody."""
    seed: int


TUNES = {
    "lullaby": Tune(
        0.72, 3, 60, ((0, 4, 7, 12), (-3, 0, 4, 9), (-7, 0, 5, 9), (-5, 2, 7, 11)), (0, 1, 2, 3, 2, 1), 0.16, 0.55, 3
    ),
    "procession": Tune(
        0.62,
        4,
        55,
        ((0, 4, 7, 12), (-5, 2, 7, 11), (-3, 0, 4, 9), (-7, 0, 5, 9)),
        (0, 2, 1, 3, 2, 3, 1, 2),
        0.3,
        0.7,
        8,
    ),
}
"""The pieces, by name."""


def pitch(number: int) -> float:
    """Return the frequency of a tone by its MIDI number, in Hz."""
    return 440.0 * 2 ** ((number - 69) / 12)


@functools.lru_cache(maxsize=64)
def plucked(number: int, seconds: float = RINGS) -> npt.NDArray[np.float32]:
    """Return a plucked tone, (n,): overtones 1 to 6, each quieter and shorter than the one below."""
    t = np.arange(round(seconds * TRACK_RATE)) / TRACK_RATE
    wave = sum(
        np.sin(2 * math.pi * overtone * pitch(number) * t) * np.exp(-t * (1.3 + 0.9 * overtone)) / overtone**1.6
        for overtone in range(1, 7)
    )
    return np.asarray(wave * np.minimum(1, t / 0.004) * np.clip((seconds - t) / 0.2, 0, 1), np.float32)


@functools.lru_cache(maxsize=16)
def swelling(number: int, seconds: float) -> npt.NDArray[np.float32]:
    """Return a tone that comes and goes softly, (n,)."""
    t = np.arange(round(seconds * TRACK_RATE)) / TRACK_RATE
    wave = np.sin(2 * math.pi * pitch(number) * t) + 0.3 * np.sin(4 * math.pi * pitch(number) * t + 0.7)
    return np.asarray(wave * np.sin(math.pi * np.clip(t / seconds, 0, 1)) ** 1.5, np.float32)


def play(name: str) -> Iterator[Channels]:
    """Play a piece without end: yield (2, n) at `TRACK_RATE`, a bar each.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in TUNES:
        raise ConfigError(f'tune is "{name}"', nearest(name, TUNES))
    tune = TUNES[name]
    bar, ring = round(tune.beat * tune.beats * TRACK_RATE), round(RINGS * TRACK_RATE)
    ringing = np.zeros((2, bar + ring), np.float32)
    number = 0
    while True:
        rng = np.random.Generator(np.random.Philox(key=[tune.seed, number % (4 * len(tune.chords))]))
        chord = tune.chords[number % len(tune.chords)]
        tones = [(at / len(tune.broken), chord[tone], 0.3, 0.35) for at, tone in enumerate(tune.broken)]
        for beat in range(tune.beats):
            near = [12 + step for step in SCALE] + [12 + tone % 12 for tone in chord]
            if beat == 0 or rng.random() < tune.melody:
                tones.append((beat / tune.beats, int(rng.choice(near)), 0.42, 0.65))
        for at, tone, loud, right in tones:  # right: 0 is the left side, 1 the right one
            wave = loud * plucked(tune.key + tone)
            begin = round(at * bar)
            for side, part in enumerate((1 - right, right)):
                ringing[side, begin : begin + len(wave)] += part * wave
        for tone in chord[:3]:
            wave = tune.held * swelling(tune.key - 12 + tone, bar / TRACK_RATE * 1.25)
            ringing[:, : len(wave)] += 0.4 * wave
        yield np.tanh(ringing[:, :bar])
        ringing = np.concatenate([ringing[:, bar:], np.zeros((2, bar), np.float32)], axis=1)
        number += 1
