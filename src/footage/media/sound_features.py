"""What is heard in sound: mel spectra, onsets, tempo, beats, pitch classes, loudness, brightness.

All is made from the magnitudes of short spectra, by NumPy alone: window k, of Hann's shape, is centred at sample k·hop.
Sound comes in chunks; windows are transformed `BLOCK` at once wherever chunks end, so that results do not depend on it.
What is kept of each window, six numbers, and twelve of every fourth, lies in a temporary file, of a locked sound in
memory: 216 kB a minute. Beats are found when all is heard, from the strength of onsets alone, with .34 MB of memory a
minute.

Onset strength is SuperFlux (Böck and Widmer 2013): the rise of logarithmic bands over the loudest of three
neighbours a window before, so that vibrato is none. Tempo and beats (Ellis 2007, "Beat tracking by dynamic
programming"): autocorrelation with a log-normal prior, eqs. 7 to 9; then the beats that have the strongest onsets at
the most even distances, eqs. 1 to 4.
"""

from __future__ import annotations

import functools
import io
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from footage.files import locked
from footage.media.sound import RATE, Samples, sound_chunks

WINDOW = 1024
"""Samples of a spectrum: 46 ms at `RATE`."""
HOP = 220
"""Samples from one to the next: 10 ms."""
BLOCK = 32
"""Windows that are transformed at once."""
FAINTEST = 1e-5
"""Least magnitude that a logarithm is taken of; 1 is a full tone."""
BANDS_PER_OCTAVE, LOWEST, HIGHEST = 24, 30.0, 10_000.0
"""Bands whose rise is an onset, in Hz."""
PARTS = {"kick": (0.0, 150.0), "middle": (150.0, 2500.0), "treble": (2500.0, math.inf)}
"""Bands whose onsets count apart, in Hz."""
CURVES = ("onset", *PARTS, "loudness", "brightness")
"""What is kept of every window: strengths of onsets, loudness in dB, the middle of the spectrum in octaves."""
CHROMA_WINDOW, CHROMA_HOP = 4096, 4 * HOP
"""Samples of a spectrum that tells semitones apart, and from one to the next."""
CHROMA_RANGE = (65.0, 2100.0)
"""Hz, in which tones have their pitch."""
HARMONY = (-0.33, 0.17)
"""Seconds around a time whose tones count: later ones less, since a long window hears a chord before it begins."""
STEPS = ("onset", *PARTS)
"""The curves that are of onsets."""
BESIDE = 0.025
"""Seconds from a beat within which an onset is the beat's."""
DECAY = 0.15
"""Seconds in which what an onset has raised falls to 37%."""
QUIET = 40.0
"""Decibels below a sound's loud parts that are as good as silence."""
SILENT = 1e-4
"""Largest sample of what is called silent: -80 dB."""
CLIPPED = 0.999
"""Samples from here on are taken as cut off."""
SLOWEST, FASTEST = 40.0, 240.0
"""Tempi that are looked for, in beats a minute."""
USUAL, OCTAVES = 135.0, 1.0
"""Middle and deviation of the log-normal prior of tempi (docs/LOG.md)."""
EARLY = 0.007
"""Seconds by which the rise of a window comes before what it is of, in the mean of nine tracks (docs/LOG.md)."""
LEAST = 0.02
"""Part of the strongest onset below which a rise is none: a tone that lasts ripples."""
CLEAR = 0.08
"""Least autocorrelation, relative to that of no lag, of sound that has a beat."""
TIGHT = 100.0
"""How much unevenness of beats counts beside strengths of onsets, whose deviation is 1 (alpha of Ellis 2007)."""
LOOK, LOOK_EVERY = 6.0, 1.0
"""Seconds of sound whose tempo is taken for one, and from one to the next."""
TEMPI = 160
"""Tempi that are compared, evenly spaced in octaves."""
GLIDE, LEAP = 60.0, 0.6
"""Cost of a change from one window to the next, of its octaves squared, and of the largest, beside scores around 1."""
CHANGED = 0.06
"""Octaves between the slowest and the fastest window from which on a tempo is one that changes: 4%."""
CLEARLY = 0.2
"""Least autocorrelation in windows of a tempo that changes."""
BAR = 4
"""Beats in a bar."""
SEGMENT = 16_384
"""Windows of which an autocorrelation is taken at once."""

Floats = npt.NDArray[np.float64]
Values = npt.NDArray[np.float32]


class Spectra:
    """Magnitudes of the spectra of sound that comes in chunks, (n, window / 2 + 1) at once; a full tone has 1.

    There are as many windows as multiples of `hop` within the sound; what lies outside of it is silence.

    Args:
        window: samples of each.
        hop: samples from one to the next.
        block: windows that are transformed at once; the last digits depend on it.
    """

    def __init__(self, window: int = WINDOW, hop: int = HOP, block: int = BLOCK) -> None:
        self.window, self.hop, self.block = window, hop, block
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
        self._shape = (hann * 2 / hann.sum()).astype(np.float32)
        self._held = np.zeros(window // 2, np.float32)
        self._taken = self._given = 0  # samples, windows

    def push(self, chunk: Samples) -> Iterator[Values]:
        """Take the next samples (n,), and yield what they complete."""
        self._taken += len(chunk)
        self._held = np.concatenate([self._held, chunk])
        while len(self._held) >= self.window + (self.block - 1) * self.hop:
            yield self._transform()

    def finish(self) -> Iterator[Values]:
        """Yield what is left at the end of the sound."""
        total = -(-self._taken // self.hop)
        while self._given < total:
            missing = self.window + (self.block - 1) * self.hop - len(self._held)
            self._held = np.concatenate([self._held, np.zeros(max(0, missing), np.float32)])
            yield self._transform()[: total - self._given + self.block]

    def _transform(self) -> Values:
        """Return the magnitudes of the next block, and let go what is not needed any more."""
        windows = np.lib.stride_tricks.sliding_window_view(self._held, self.window)[:: self.hop][: self.block]
        self._held = self._held[self.block * self.hop :]
        self._given += self.block
        return np.abs(np.fft.rfft(windows * self._shape)).astype(np.float32)


def spectra(chunks: Iterable[Samples], window: int = WINDOW, hop: int = HOP, block: int = BLOCK) -> Iterator[Values]:
    """Yield the magnitudes of sound in chunks; see `Spectra`."""
    made = Spectra(window, hop, block)
    for chunk in chunks:
        yield from made.push(chunk)
    yield from made.finish()


def triangles(centres: Floats, window: int, rate: int) -> Values:
    """Return the weights, of sum 1, with which bins count in bands: (bins, len(centres) - 2).

    A band is highest at its centre, in Hz, and 0 at those of its neighbours; one between two bins has the nearest.
    """
    bins = np.arange(window // 2 + 1) * rate / window
    low, middle, high = centres[:-2], centres[1:-1], centres[2:]
    rising, falling = (bins[:, None] - low) / (middle - low), (high - bins[:, None]) / (high - middle)
    weights = np.minimum(rising, falling).clip(min=0)
    empty = np.flatnonzero(weights.sum(axis=0) == 0)
    weights[np.abs(bins[:, None] - middle[empty]).argmin(axis=0), empty] = 1
    summed: Values = (weights / weights.sum(axis=0)).astype(np.float32)
    return summed


def mel_bands(
    bands: int, window: int = WINDOW, rate: int = RATE, low: float = 0.0, high: float | None = None
) -> Values:
    """Return the weights of bins in bands that are evenly spaced in mel, (bins, bands).

    m = 2595 log10(1 + f / 700) (O'Shaughnessy 1987), from `low` to `high` Hz, None for half of the rate.
    """
    ends = 2595 * np.log10(1 + np.array([low, rate / 2 if high is None else high]) / 700)
    centres = 700 * (10 ** (np.linspace(float(ends[0]), float(ends[1]), bands + 2) / 2595) - 1)
    return triangles(centres, window, rate)


def log_mel_chunks(
    chunks: Iterable[Samples],
    bands: int = 40,
    *,
    rate: int = RATE,
    hop: int = HOP,
    window: int = WINDOW,
    block: int = BLOCK,
) -> Iterator[Values]:
    """Yield natural logarithms of mean magnitudes in mel bands, (n, bands): from ln `FAINTEST`, -11.5, to 0.

    Row k is that of the window around sample k * hop. For live sound a small `block` comes sooner.
    """
    weights = mel_bands(bands, window, rate)
    for magnitudes in spectra(chunks, window, hop, block):
        yield np.log(np.maximum(magnitudes @ weights, FAINTEST))


def log_mel(samples: Samples, bands: int = 40, *, rate: int = RATE, hop: int = HOP, window: int = WINDOW) -> Values:
    """Return the same of a whole sound (N,): (ceil(N / hop), bands)."""
    rows = list(log_mel_chunks([samples], bands, rate=rate, hop=hop, window=window))
    return np.concatenate(rows) if rows else np.zeros((0, bands), np.float32)


class _Heard:
    """The curves of sound, as its spectra come."""

    def __init__(self, rate: int) -> None:
        steps = int(BANDS_PER_OCTAVE * math.log2(min(HIGHEST, rate / 2) / LOWEST))
        wanted = LOWEST * 2 ** (np.arange(steps + 1) / BANDS_PER_OCTAVE)
        bins = np.unique(np.rint(wanted * WINDOW / rate))  # where bands are narrower than bins, these are bands
        centres = bins * rate / WINDOW
        self.weights, middles = triangles(centres, WINDOW, rate), centres[1:-1]
        self.parts = [np.flatnonzero((low <= middles) & (middles < high)) for low, high in PARTS.values()]
        frequencies = np.arange(WINDOW // 2 + 1) * rate / WINDOW
        self.octaves = np.log2(np.maximum(frequencies, LOWEST) / LOWEST).astype(np.float32)
        self.before: Values | None = None
        self.bright = np.float32(0)

    def curves(self, magnitudes: Values) -> Values:
        """Return the curves of the next windows, (n, bins) -> (n, `CURVES`)."""
        bands = np.log10(1 + WINDOW / 2 * (magnitudes @ self.weights))
        before = np.concatenate([bands[:1] if self.before is None else self.before, bands[:-1]])
        self.before = bands[-1:]
        loudest = before.copy()
        loudest[:, 1:] = np.maximum(loudest[:, 1:], before[:, :-1])
        loudest[:, :-1] = np.maximum(loudest[:, :-1], before[:, 1:])
        rise = np.maximum(bands - loudest, 0)
        power = (magnitudes**2).sum(axis=1) / 3  # mean square of the sound: Hann's windows spread a tone over bins
        loud = magnitudes[:, 1:].sum(axis=1)
        centre = magnitudes[:, 1:] @ self.octaves[1:] / np.maximum(loud, 1e-20)
        heard = loud > SILENT
        last = np.maximum.accumulate(np.where(heard, np.arange(len(heard)), -1))
        centre = np.where(last < 0, self.bright, centre[last])  # silence is as bright as what was heard last
        self.bright = centre[-1]
        curves = [rise.sum(axis=1), *(rise[:, part].sum(axis=1) for part in self.parts)]
        return np.stack([*curves, 10 * np.log10(np.maximum(power, 1e-10)), centre], axis=1).astype(np.float32)


def chroma_weights(rate: int) -> Values:
    """Return how much each bin counts for each pitch class, C first: (bins, 12)."""
    frequencies = np.arange(CHROMA_WINDOW // 2 + 1) * rate / CHROMA_WINDOW
    pitch = 12 * np.log2(np.maximum(frequencies, 1) / 440) + 9  # semitones above C
    away = (pitch[:, None] - np.arange(12) + 6) % 12 - 6
    weights = np.exp(-0.5 * (away / 0.35) ** 2)
    weights[(frequencies < CHROMA_RANGE[0]) | (frequencies > CHROMA_RANGE[1])] = 0
    return weights.astype(np.float32)


class _Rows:
    """Rows of numbers that grow in a temporary file, or in memory."""

    def __init__(self, width: int, file: IO[bytes]) -> None:
        self.width, self.count, self.file = width, 0, file

    def add(self, rows: Values) -> None:
        self.file.write(np.ascontiguousarray(rows, np.float32).tobytes())
        self.count += len(rows)

    def array(self) -> Values:
        """Return all of them, mapped into memory: (n, width)."""
        self.file.flush()
        if not self.count:
            return np.zeros((0, self.width), np.float32)
        if isinstance(self.file, io.BytesIO):
            return np.frombuffer(self.file.getvalue(), np.float32).reshape(self.count, self.width)
        return np.memmap(self.file, np.float32, "r", shape=(self.count, self.width))


@dataclass(frozen=True, eq=False)
class SoundFeatures:
    """What is heard in a sound, at any time of it."""

    seconds: float
    """How long the sound is."""
    rate: float
    """Rows of `curves` a second."""
    curves: Values
    """(n, `CURVES`)."""
    chroma: Values
    """Magnitudes of the twelve pitch classes, C first, of every fourth row: (m, 12)."""
    onsets: Floats
    """When something begins, in seconds."""
    tempo: float
    """Beats a minute, in the mean where it changes; 0 where there is no beat."""
    beats: Floats
    """When they are, in seconds."""
    peak: float
    """Absolute value of the largest sample."""
    clipped: float
    """Part of the samples that are as good as 1 or -1."""

    @property
    def silent(self) -> bool:
        return self.peak < SILENT

    @functools.cached_property
    def first_bar(self) -> int:
        """Which beat begins a bar of `BAR`: where kicks are strongest and harmony changes most, in the mean."""
        if not len(self.beats):
            return 0
        kicks = self.at("kick", self.beats + BESIDE)
        before, after = self.harmony(self.beats - 0.3), self.harmony(self.beats + 0.3)
        change = 1 - (before * after).sum(axis=1)
        evidence = kicks / max(kicks.std(), 1e-6) + change / max(float(change.std()), 1e-6)
        return int(np.argmax([evidence[first::BAR].mean() for first in range(BAR)]))

    def at(self, name: str, times: Floats) -> Floats:
        """Return a curve at some times (N,) in seconds, from 0, none or little, to 1; outside of the sound its ends.

        An onset counts from its own time on, and then less and less (`DECAY`); the loudest hundredth of all counts as
        1. One beside a beat (`BESIDE`) is at the beat, so that both are seen in the same frame. Loudness is 1 at that
        of the loud parts, 0 `QUIET` dB below; brightness goes from the darkest to the brightest parts.
        """
        if not len(self.curves) or self.silent:
            return np.zeros(len(times))
        if name in STEPS:
            return self._after_onsets(name, times.clip(0, self.seconds))
        if name not in self._scaled:
            loud, raw = name == "loudness", self.curves[:, CURVES.index(name)].astype(np.float64)
            smooth = _smoothed(raw, (0.05 if loud else 0.1) * self.rate)
            low, high = np.percentile(smooth, [5, 95])
            level = (smooth - high) / QUIET + 1 if loud else (smooth - low) / max(high - low, 0.1)
            self._scaled[name] = level.clip(0, 1).astype(np.float32)
        curve = self._scaled[name]
        places = np.clip(times * self.rate, 0, len(curve) - 1)
        row = np.floor(places).astype(np.int64)
        here, after = curve[row].astype(np.float64), curve[np.minimum(row + 1, len(curve) - 1)].astype(np.float64)
        between: Floats = here + (places - row) * (after - here)
        return between

    def harmony(self, times: Floats) -> Floats:
        """Return how much of each pitch class, C first, is heard at some times: (N, 12), of length 1 but for silence.

        Each is the median of half a second around, in which drums leave no trace: chords change it, when they do.
        """
        if not len(self.chroma):
            return np.zeros((len(times), 12))
        rate = self.rate * HOP / CHROMA_HOP
        places = times[:, None] * rate + np.arange(HARMONY[0] * rate, HARMONY[1] * rate + 0.5)  # N around
        around = self.chroma[np.rint(places).astype(np.int64).clip(0, len(self.chroma) - 1)]  # N rows 12
        rows = np.median(around.astype(np.float64), axis=1)
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        tones: Floats = rows / np.maximum(length, self._faint)
        return tones

    @functools.cached_property
    def _faint(self) -> float:
        """Length of pitch classes' magnitudes below which they fade: a tenth of that of the loud parts."""
        return max(SILENT, 0.1 * float(np.percentile(np.linalg.norm(self.chroma, axis=1), 90)))

    def beat_at(self, times: Floats) -> Floats:
        """Return the number of beats until some times, with fractions; outside of the sound they go on as they did.

        Beat 0 is the first of a bar, so that whole multiples of `BAR` are bars.
        """
        assert len(self.beats), "there are beats"
        first, last = self._paces
        counted: Floats = np.interp(times, self.beats, np.arange(len(self.beats)) - float(self.first_bar))
        counted += np.minimum(times - self.beats[0], 0) / first + np.maximum(times - self.beats[-1], 0) / last
        return counted

    def time_of(self, counts: Floats) -> Floats:
        """Return when some numbers of beats are over, in seconds: what `beat_at` counts, the other way round."""
        first, last = self._paces
        numbers = np.arange(len(self.beats)) - float(self.first_bar)
        times: Floats = np.interp(counts, numbers, self.beats)
        times += np.minimum(counts - numbers[0], 0) * first + np.maximum(counts - numbers[-1], 0) * last
        return times

    @property
    def tempi(self) -> tuple[float, float]:
        """Beats a minute in the slowest and in the fastest of the bars; there are beats."""
        some = min(BAR, len(self.beats) - 1)
        tempi = 60 * some / (self.beats[some:] - self.beats[:-some])
        return float(tempi.min()), float(tempi.max())

    @functools.cached_property
    def _paces(self) -> tuple[float, float]:
        """Seconds of a beat in the first bar and in the last one."""
        some = min(BAR, len(self.beats) - 1)
        return tuple(float(part[-1] - part[0]) / some for part in (self.beats[: some + 1], self.beats[-some - 1 :]))  # type: ignore[return-value]

    @functools.cached_property
    def _steps(self) -> dict[str, tuple[Floats, Floats]]:
        """Times of a curve's onsets, and the running maximum of log f(s) + s / decay there; as far as asked for."""
        return {}

    @functools.cached_property
    def _scaled(self) -> dict[str, Values]:
        """Curves as `at` gives them, as far as they were asked for."""
        return {}

    def _after_onsets(self, name: str, times: Floats) -> Floats:
        """Return max over onsets s < t of f(s) exp((s - t) / decay), at times t (N,): a running maximum of logarithms.

        A window sees an onset before it is there, for as long as half of the window is: a curve that rose with the
        windows would move a video one frame early where an onset lies just behind a frame (docs/LOG.md).
        """
        if name not in self._steps:
            curve = self.curves[:, CURVES.index(name)].astype(np.float64)
            peaks = local_peaks(curve)
            heights = np.sort(curve[peaks])
            top = heights[-max(1, len(peaks) // 100) :].mean() if len(peaks) else 1.0
            peaks = peaks[curve[peaks] > LEAST * top]
            begins = _vertex(curve, peaks) / self.rate + EARLY
            if len(self.beats):
                nearest = self.beats[np.searchsorted((self.beats[1:] + self.beats[:-1]) / 2, begins)]
                begins = np.where(np.abs(nearest - begins) <= BESIDE, nearest, begins)
            self._steps[name] = begins, np.maximum.accumulate(np.log(curve[peaks] / top) + begins / DECAY)
        begins, highest = self._steps[name]
        over = np.searchsorted(begins, times, side="left")
        raised = np.append(-np.inf, highest)[over]
        level: Floats = np.exp(raised - times / DECAY).clip(0, 1)
        return level


def _smoothed(curve: Floats, deviation: float) -> Floats:
    """Return a curve convolved with a Gaussian, a deviation wide; its ends go on as they are."""
    reach = max(1, math.ceil(3 * deviation))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(deviation, 1e-3)) ** 2)
    return np.convolve(np.pad(curve, reach, mode="edge"), kernel / kernel.sum(), mode="valid")


def local_peaks(curve: Floats) -> npt.NDArray[np.int64]:
    """Return where a curve is higher than before and not lower than after."""
    inner = curve[1:-1]
    return 1 + np.flatnonzero((inner > curve[:-2]) & (inner >= curve[2:]))


def _vertex(curve: Floats, at: npt.NDArray[np.int64]) -> Floats:
    """Return where parabolas through three neighbouring points are highest, at peaks of a curve."""
    at = at.clip(1, len(curve) - 2)
    before, here, after = curve[at - 1], curve[at], curve[at + 1]
    bend = before - 2 * here + after
    highest: Floats = at + np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, 1), 0).clip(-0.5, 0.5)
    return highest


def find_onsets(strength: Floats, rate: float) -> Floats:
    """Return when onsets are, in rows: peaks that stand out from what is around (Böck and Widmer 2013, section 2.2).

    A peak is the largest within 30 ms, above the mean of 100 ms before and 70 ms after by a tenth of the strongest, and
    30 ms at least behind the one before.
    """
    if len(strength) < 3:
        return np.zeros(0)
    ms = rate / 1000
    reach, before, after = (max(1, round(span * ms)) for span in (30, 100, 70))
    top = np.percentile(strength, 99.5)
    summed = np.concatenate([[0], np.cumsum(strength)])
    places = local_peaks(strength)
    low, high = (places - before).clip(min=0), (places + after + 1).clip(max=len(strength))
    mean = (summed[high] - summed[low]) / (high - low)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(strength, reach), 2 * reach + 1)[places]
    kept = places[(strength[places] >= windows.max(axis=1)) & (strength[places] >= mean + 0.1 * top) & (top > 0)]
    if len(kept):
        kept = kept[np.concatenate([[True], np.diff(kept) > reach])]
    return _vertex(strength, kept)


def autocorrelation(strength: Floats, lags: int) -> Floats:
    """Return the autocorrelation of strengths less their local mean, for `lags` lags; that of none is 1, or all are 0.

    It is a sum over stretches, so that memory does not grow.
    """
    total = np.zeros(lags)
    for first in range(0, len(strength), SEGMENT):
        part = strength[first : first + SEGMENT + lags]
        part = part - _smoothed(part, lags / 8)
        size = 2 ** math.ceil(math.log2(2 * SEGMENT + 2 * lags))
        head = np.fft.rfft(part[:SEGMENT], size)
        total += np.fft.irfft(head.conj() * np.fft.rfft(part, size), size)[:lags]
    return total / total[0] if total[0] > 0 else total


def find_period(strength: Floats, rate: float) -> float:
    """Return the time from beat to beat in rows, with fractions; 0 where nothing comes again.

    The lag with the largest autocorrelation under the prior, which counts those of its double and its triple too; then
    made exact by the peaks at its multiples up to eight seconds.
    """
    lags = round(8 * rate)
    if len(strength) < 4 * rate * 60 / FASTEST:
        return 0.0
    same = autocorrelation(strength, min(lags, len(strength)))
    low, high = math.floor(rate * 60 / FASTEST), min(math.ceil(rate * 60 / SLOWEST), (len(same) - 2) // 3)
    if high <= low:
        return 0.0
    smooth = _smoothed(same, 0.01 * rate)
    lag = np.arange(low, high + 1)
    prior = np.exp(-0.5 * (np.log2(60 * rate / lag / USUAL) / OCTAVES) ** 2)
    score = prior * (smooth[lag] + 0.5 * smooth[2 * lag] + 0.1 * smooth[3 * lag])
    best = int(lag[score.argmax()])
    if smooth[best] < CLEAR:
        return 0.0
    period = float(_vertex(smooth, np.array([best]))[0])
    for multiple in (2, 4, 8, 16):
        middle, reach = multiple * period, max(2, round(0.02 * rate * min(multiple, 4)))
        first, end = round(middle) - reach, round(middle) + reach + 1
        if end >= len(smooth) - 1:
            break
        peak = first + int(smooth[first:end].argmax())
        if peak in (first, end - 1) or smooth[peak] < CLEAR:
            break
        period = float(_vertex(smooth, np.array([peak]))[0]) / multiple
    return period


def find_periods(strength: Floats, rate: float, steady: float) -> Floats | None:
    """Return times from beat to beat at every row, (N, 2), where the tempo changes; None where it stays, or is unclear.

    There are two, of a little before and a little after: windows do not tell to the beat when a tempo becomes another.

    Of each window the autocorrelation at lags, with their doubles and triples, is a score; the way through all windows
    that has the highest sum of scores less what its changes cost is taken (Viterbi). A change costs by its size in
    octaves, but never more than `LEAP`: tempi glide, or become others at once.

    Args:
        strength: of onsets, (N,).
        rate: rows a second.
        steady: the period of the whole, as `find_period` gives it, or 0: a way that stays near it is none.
    """
    size, hop = round(LOOK * rate), round(LOOK_EVERY * rate)
    if len(strength) < 2 * size:
        return None
    lags = 60 * rate / np.geomspace(FASTEST, SLOWEST, TEMPI)
    lags = lags[3 * lags < size - 2]
    prior = np.exp(-0.5 * (np.log2(60 * rate / lags / USUAL) / OCTAVES) ** 2)
    cost = np.minimum(GLIDE * np.log2(lags[:, None] / lags) ** 2, LEAP)
    starts = np.arange(0, len(strength) - size + 1, hop)
    sums, links, clear = np.zeros(len(lags)), list[npt.NDArray[np.int64]](), list[Floats]()
    grid = np.arange(size)
    for start in starts:
        same = _smoothed(autocorrelation(strength[start : start + size], size), 0.01 * rate)
        own, twice, thrice = (np.interp(multiple * lags, grid, same) for multiple in (1, 2, 3))
        before = sums[:, None] - cost
        links.append(before.argmax(axis=0))
        sums = before.max(axis=0) + prior * (own + 0.5 * twice + 0.1 * thrice)
        clear.append(own)
    way = [int(sums.argmax())]
    for link in links[:0:-1]:
        way.append(int(link[way[-1]]))
    way.reverse()
    found = lags[way]
    if np.median([own[place] for own, place in zip(clear, way, strict=True)]) < CLEARLY:
        return None
    changes = np.log2(found / found[0])
    if changes.max() - changes.min() < CHANGED and steady:
        return None
    around = np.arange(len(strength))[:, None] + np.array([-0.25, 0.25]) * size
    return np.exp(np.interp(around, starts + size / 2, np.log(found)))  # type: ignore[no-any-return]


def track_beats(strength: Floats, periods: Floats) -> Floats:
    """Return the rows of the beats, with fractions, whose distances are about one of the periods, (N, K), at each row.

    C(t) = s(t) + max of C(t - d) - alpha ln(d / period)^2, over d from half of the period to its double.
    """
    smooth = _smoothed(strength / max(float(strength.std()), 1e-9), float(np.median(periods)) / 32)
    gaps = np.arange(max(1, round(float(periods.min()) / 2)), round(2 * float(periods.max())) + 1)
    known, own = np.unique(np.round(periods, 1), axis=0, return_inverse=True)  # as many costs as there are periods
    away = np.abs(np.log(gaps / known[..., None])).min(axis=1)
    costs = np.where(away <= math.log(2) + 0.1, TIGHT * away**2, np.inf)[:, ::-1].copy()
    longest, shortest = int(gaps[-1]), int(gaps[0])
    best = np.zeros(len(smooth) + longest)  # the first `longest` stand before the sound
    link = np.full(len(smooth), -1, np.int64)
    for row, (strong, number) in enumerate(zip(smooth.tolist(), own.ravel().tolist(), strict=True)):
        before = best[row : row + longest - shortest + 1] - costs[number]
        chosen = int(before.argmax())
        best[row + longest] = strong + before[chosen]
        link[row] = row + chosen - longest
    total = best[longest:]
    tail = total[-max(1, round(float(periods[-1].min()))) :]
    at = len(total) - len(tail) + int(tail.argmax())
    beats = []
    while at >= 0:
        beats.append(at)
        at = int(link[at])
    found = np.array(beats[::-1], np.int64)
    # Beats before the first sound and behind the last have nothing to beat.
    heard = np.array([smooth[max(0, beat - 3) : beat + 4].max() for beat in found])
    loud = np.flatnonzero(heard >= 0.2 * np.median(heard))
    return _vertex(smooth, found[loud[0] : loud[-1] + 1]) if len(loud) else np.zeros(0)


def analyse(chunks: Iterable[Samples], rate: int = RATE, hidden: bool = False) -> SoundFeatures:
    """Listen to a sound, in chunks (n,), once; see `SoundFeatures`.

    What is heard lies in temporary files meanwhile; of one that is `hidden`, since it is locked, in memory.
    """
    heard, weights = _Heard(rate), chroma_weights(rate)
    short, long = Spectra(), Spectra(CHROMA_WINDOW, CHROMA_HOP)
    count, peak, clipped = 0, 0.0, 0
    room: Callable[[], IO[bytes]] = io.BytesIO if hidden else tempfile.TemporaryFile
    with room() as first, room() as second:
        rows, tones = _Rows(len(CURVES), first), _Rows(12, second)
        for chunk in chunks:
            if len(chunk):
                level = np.abs(chunk)
                count, clipped = count + len(chunk), clipped + int((level >= CLIPPED).sum())
                peak = max(peak, float(level.max()))
                for magnitudes in short.push(chunk):
                    rows.add(heard.curves(magnitudes))
                for magnitudes in long.push(chunk):
                    tones.add(magnitudes @ weights)
        for magnitudes in short.finish():
            rows.add(heard.curves(magnitudes))
        for magnitudes in long.finish():
            tones.add(magnitudes @ weights)
        curves, chroma = rows.array(), tones.array()
    per_second = rate / HOP
    strength, kicks = curves[:, 0].astype(np.float64), curves[:, 1].astype(np.float64)
    faint = strength < LEAST * strength.max(initial=0)
    strength[faint] = kicks[faint] = 0
    pulse = strength / max(float(strength.std()), 1e-9) if len(strength) else strength
    pulse = pulse + kicks / kicks.std() if len(kicks) and kicks.std() > 0 else pulse  # low drums tell beats from others
    period = find_period(pulse, per_second) if peak >= SILENT else 0.0
    periods = find_periods(pulse, per_second, period) if peak >= SILENT else None
    beats = np.zeros(0)
    if period or periods is not None:
        beats = track_beats(pulse, np.full((len(pulse), 1), period) if periods is None else periods)
    onsets = find_onsets(strength, per_second)
    if len(beats) < BAR or BAR * len(onsets) < len(beats):  # too few things begin to make a beat
        period, periods, beats = 0.0, None, beats[:0]
    if periods is not None:
        period = float(beats[-1] - beats[0]) / (len(beats) - 1)
    return SoundFeatures(
        seconds=count / rate,
        rate=per_second,
        curves=curves,
        chroma=chroma,
        onsets=onsets / per_second + EARLY,
        tempo=60 * per_second / period if period else 0.0,
        beats=beats / per_second + EARLY,
        peak=peak,
        clipped=clipped / max(1, count),
    )


def listen(path: Path | str) -> SoundFeatures:
    """Listen to the sound of a file; see `SoundFeatures`.

    Raises:
        MediaError: the file cannot be read, or has no sound.
    """
    return analyse(sound_chunks(path, RATE), hidden=locked.hiding_folder(path) is not None)
