"""Sounds for the tests: music of known tempo, made of clicks, drums and tones; files of sound in many forms."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

RATE = 22_050


@dataclass(frozen=True)
class Track:
    """Music, and what is true of it."""

    name: str
    bpm: float
    samples: np.ndarray
    beats: np.ndarray
    """Seconds."""
    onsets: np.ndarray
    """Seconds, sorted, those within 30 ms of one another once."""


def tone(frequency: float, seconds: float, decay: float, rate: int = RATE) -> np.ndarray:
    """A plucked tone with three overtones."""
    t = np.arange(int(seconds * rate)) / rate
    wave = sum(np.sin(2 * np.pi * frequency * n * t) / n**1.5 for n in (1, 2, 3, 4))
    return 0.35 * wave * np.exp(-t / decay) * np.minimum(1, t / 0.002)


def drum(kind: str, rng: np.random.Generator, rate: int = RATE) -> np.ndarray:
    """A click, a kick, a snare or a hat."""
    t = np.arange(int(0.25 * rate)) / rate
    if kind == "click":
        return np.sin(2 * np.pi * 1500 * t) * np.exp(-t / 0.012)
    if kind == "kick":  # falls from 150 to 50 Hz
        return np.sin(2 * np.pi * (50 * t + 100 * 0.03 * (1 - np.exp(-t / 0.03)))) * np.exp(-t / 0.08)
    noise = rng.standard_normal(len(t))
    if kind == "snare":
        return 0.35 * (noise + 0.7 * np.sin(2 * np.pi * 190 * t)) * np.exp(-t / 0.06)
    return 0.25 * np.diff(noise, prepend=0) * np.exp(-t / 0.02)


PATTERNS: dict[str, dict[str, tuple[float, ...]]] = {
    "clicks": {"click": (0, 1, 2, 3)},
    "four": {"kick": (0, 1, 2, 3)},
    "march": {"kick": (0, 2), "snare": (1, 3)},
    "rock": {"kick": (0, 2), "snare": (1, 3), "hat": (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5)},
    "house": {"kick": (0, 1, 2, 3), "hat": (0.5, 1.5, 2.5, 3.5)},
    "break": {"kick": (0, 2.5), "snare": (1, 3), "hat": (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5)},
    "tones": {"tone": (0, 1, 2, 3)},
    "ballad": {"kick": (0,), "snare": (2,), "tone": (0, 1, 2, 3)},
}
"""When in a bar of four beats what is played."""
CHORDS = ((220.0, 261.6, 329.6), (174.6, 220.0, 261.6), (261.6, 329.6, 392.0), (196.0, 246.9, 293.7))


def play(
    pattern: str,
    bpm: float,
    seconds: float = 16.0,
    *,
    noise: float = 0.0,
    pad: float = 0.0,
    seed: int = 0,
    lead: float = 0.37,
    rate: int = RATE,
) -> Track:
    """Music from `lead` seconds on, with noise and chords that last beside it, as loud as is said."""
    rng, beat = np.random.default_rng(seed), 60 / bpm
    samples = noise * rng.standard_normal(int(seconds * rate))
    beats = np.arange(lead, seconds - 0.3, beat)
    times = []
    for kind, places in PATTERNS[pattern].items():
        for number in range(0, len(beats), 4):
            for place in places:
                at = lead + (number + place) * beat
                if at >= seconds - 0.3:
                    continue
                step = CHORDS[number // 4 % 4][int(place) % 3]
                hit = tone(step, 0.4, 0.15, rate) if kind == "tone" else drum(kind, rng, rate)
                first = round(at * rate)
                hit = hit[: len(samples) - first]
                samples[first : first + len(hit)] += hit
                times.append(at)
    if pad:
        t = np.arange(len(samples)) / rate
        for number in range(0, len(beats), 4):
            inside = (t >= lead + number * beat) & (t < lead + (number + 4) * beat)
            for frequency in CHORDS[number // 4 % 4]:
                samples[inside] += pad * np.sin(2 * np.pi * frequency * t[inside])
    ordered = np.sort(times)
    onsets = ordered[np.concatenate([[True], np.diff(ordered) > 0.03])]
    samples = (0.7 * samples / np.abs(samples).max()).astype(np.float32)
    return Track(pattern, bpm, samples, beats, onsets)


def at_tempi(pattern: str, tempi: tuple[float, ...], seconds: float, *, glide: bool, lead: float = 0.37) -> Track:
    """Drums whose tempo goes from the first to the last evenly, or from one to the next at once."""
    rng, fine = np.random.default_rng(0), np.arange(0, seconds, 1e-3)
    part = fine / seconds * len(tempi)
    pace = (
        np.interp(part, np.linspace(0, len(tempi), len(tempi)), tempi) if glide else np.array(tempi)[part.astype(int)]
    )
    count = np.concatenate([[0], np.cumsum(pace[:-1] / 60e3)])
    samples, times = 0.005 * rng.standard_normal(int(seconds * RATE)), []
    for kind, places in PATTERNS[pattern].items():
        for bar in range(0, int(count[-1]), 4):
            for place in places:
                at = lead + float(np.interp(bar + place, count, fine))
                if at < seconds - 0.3:
                    first = round(at * RATE)
                    hit = drum(kind, rng)[: len(samples) - first]
                    samples[first : first + len(hit)] += hit
                    times.append(at)
    beats = lead + np.interp(np.arange(int(count[-1]) + 1), count, fine)
    samples = (0.7 * samples / np.abs(samples).max()).astype(np.float32)
    return Track(pattern, tempi[0], samples, beats[beats < seconds - 0.3], np.sort(times))


NINE = (
    ("clicks", 70.0, 0.0, 0.0),
    ("ballad", 84.0, 0.002, 0.05),
    ("march", 96.5, 0.005, 0.0),
    ("rock", 105.0, 0.01, 0.05),
    ("house", 120.0, 0.0, 0.1),
    ("rock", 128.0, 0.03, 0.0),
    ("tones", 139.7, 0.001, 0.0),
    ("house", 156.0, 0.02, 0.0),
    ("rock", 174.0, 0.005, 0.05),
)
"""Pattern, tempo, noise and chords of nine tracks."""


def nine() -> list[Track]:
    return [play(name, bpm, noise=noise, pad=pad, seed=n) for n, (name, bpm, noise, pad) in enumerate(NINE)]


def write(
    path: Path,
    channels: np.ndarray,
    rate: int = RATE,
    *,
    codec: str = "pcm_s16le",
    layout: str = "mono",
    start: Fraction = Fraction(0),
    pictures: int = 0,
    first: Fraction = Fraction(0),
    fps: int = 25,
) -> Path:
    """Encode sound (C, N), with grey pictures beside it; `start` and `first` are when sound and pictures begin."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        video: Any = None
        if pictures:
            video = container.add_stream("mpeg4" if path.suffix == ".avi" else "libx264", rate=fps)
            video.height = video.width = 32
            video.pix_fmt = "yuv420p"
            video.codec_context.time_base = Fraction(1, 1000)
        audio: Any = container.add_stream(codec, rate=rate, layout=layout)
        for n in range(pictures):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 8 * n % 256, np.uint8), format="rgb24")
            frame.pts, frame.time_base = round((first + Fraction(n, fps)) * 1000), Fraction(1, 1000)
            container.mux(video.encode(frame))
        for at in range(0, channels.shape[1], 4096):
            part = np.ascontiguousarray(channels[:, at : at + 4096].T, np.float32).reshape(1, -1)
            sound = av.AudioFrame.from_ndarray(part, format="flt", layout=layout)
            sound.sample_rate, sound.pts, sound.time_base = rate, at + round(start * rate), Fraction(1, rate)
            container.mux(audio.encode(sound))
        container.mux(audio.encode(None))
        if pictures:
            container.mux(video.encode(None))
    return path
