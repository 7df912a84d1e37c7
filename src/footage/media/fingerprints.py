"""Fingerprints, by which a clip is known again when it was compressed, made smaller, cut, thinned out or trimmed.

A fingerprint has two parts. Its samples are small pictures, `RATE` a second, each the mean of what is shown meanwhile.
Its codes are what is searched: for each moment and each of `CROPS`, the parts of the picture that a copy may have been
cut to, 64 signs of the coefficients of a cosine transform, of what moves, of brightness and of colour (as in Zauner,
Implementation and benchmarking of perceptual image hash functions, 2010, section 3.2.1; with motion, since clips of one
model look alike). A copy's codes differ from those of its crop in few bits.

`Codes.nearest` finds the clips whose codes differ least; then `compare` lays the samples of the copy over theirs. It
looks for the part of the picture and the moment at which they fit best, and returns how well they correlate there: what
stands still (the mean of all samples) and what moves (each less that mean), both as cosine coefficients, of which fine
ones weigh as much as coarse ones. Their correlations are averaged on Fisher's scale, on which each spreads alike
(Fisher, On the "probable error" of a coefficient of correlation, 1921). A clip is found where that exceeds `SAME`.

Clips of one model are too much alike for these samples. Where the files are there, `Closer` reads the few clips that
exceed `LOOSE` once more, frame by frame and four times as fine, and has the last word.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from footage.errors import FootageError, MediaError
from footage.media.decode import Frames
from footage.media.reader import Footage

VERSION = 1
"""Counted up when samples or codes change their meaning: those of before are then made again."""
RATE = 12.5
"""Samples a second; each is the mean of two frames of twice that rate."""
TICKS = 4
"""Moments of each of those frames that are looked at, so that one of another rate counts for as long as it is shown."""
LONGEST = 300
"""Samples of a clip, at most: what comes behind 24 seconds is not looked at."""
FINE = 32
"""Pixels along each side of the frames that samples and codes are made from."""
SIDE = 16
"""Pixels along each side of a sample's brightness; its two colours have half as many."""
WIDTH = SIDE**2 + 2 * (SIDE // 2) ** 2
"""Numbers in a sample."""
SPAN = 6
"""Samples that a moment's code is about."""
STRIDE = 4
"""Samples from one moment to the next."""
SIGNS = {"motion": 36, "brightness": 14, "colour": 7}
"""Coefficients whose signs are in a code; there are two colours."""
CROPS = tuple(
    (part, float(down), float(right))
    for part, places in ((1.0, 1), (0.85, 2), (0.7, 4))
    for down in np.linspace(0, 1 - part, places)
    for right in np.linspace(0, 1 - part, places)
)
"""Parts of a picture that have codes: share of its sides, and where the part begins."""
SMALLEST = 0.6
"""Share of the sides that a copy may be cut to."""
CANDIDATES = 256
"""Clips that are looked at after the search of codes."""
REFINEMENTS = ((64, SIDE // 2, 0.06), (16, SIDE, 0.04))
"""How those are laid over each other: how many of the best, at how many pixels, and how far places are moved."""
FIRST = 16
"""Of those, how many are looked at first, where one that is surely the same ends the search."""
HARDLY = (0.1, 0.5, 0.7)
"""Sums of two correlations, before each refinement and after the last, below which a clip is not looked at further."""
JUDGED = 6
"""Clips, of these, that are judged by their likeness."""
SETTLED = (0.03, 0.015), (0.01,)
"""How far their places are moved then: by few samples, from where they are and from the whole picture on; by all."""
COMPARED = 24
"""Samples that are laid over each other, at most."""
ROUGHLY = 8
"""Of those, about how many are looked at until it is known where they fit best."""
LOOKED = 4
"""Moments whose codes are compared, at most."""
STILL = 1.0
"""Mean square of what moves, in grey levels, below which a clip stands still."""
SAME = 0.93
"""Likeness from which on two clips are the same (docs/trust.md has the rates of errors)."""
ENOUGH = 20
"""Samples of a copy from which on that is so; of shorter ones more is asked, as they are more easily alike."""
SAME_SHORT = 0.002
"""By how much more for each sample that is lacking."""
SAME_STILL = 0.985
"""The correlation that is asked for where nothing moves."""
PARTS = {"still": (10, 1.5, 0.5), "moving": (8, 0.75, 1.0)}
"""Of what stands still and what moves: the last order of coefficients (down and right together) that counts; the power
of its order that a coefficient weighs by, by which pictures have about as much of each; grey levels of noise, in which
differences are lost, so that what hardly moves says little."""
SURE = 0.976
"""Correlation of either, above which it counts no more: else a background that is the same would do."""
BLOCK = 1 << 14
"""Clips that are compared at once."""
LOOSE = 0.87
"""Likeness from which on a clip that is judged is looked at closely, where its file is there."""
CLOSE = 64
"""Pixels along each side of the frames that are looked at closely; they are compared at half as many."""
SHOWN_VERSION = 1
"""Counted up when the frames that a close look needs change their meaning: those of before are then read again."""
WAVES = {"brightness": 28, "colour": 14}
"""Last order (down and right together) of the cosine coefficients of those frames that are kept."""
QUANTUM = 2.0
"""By which these are divided and rounded; two grey levels of noise in each pixel make as much in each of them."""
CLOSE_ORDER = 16
"""Last order of the coefficients that are compared, of a part of a picture too."""
CLOSE_COLOUR = 8
"""The same of colours."""
CLOSE_FRAMES = 16
"""Frames of a copy that are looked at closely, at most."""
CLOSE_STEPS = (0.03, 0.015, 0.008, 0.004)
"""How far places are moved there, by half of those frames and then by all; see `_WAYS`."""
WHOLE = (1.0, 0.0, 0.0)
"""The part of a picture that is all of it: share of its sides, and where it begins down and right."""
SURELY = 6.05
"""Closeness from which on a clip is the same; see `Closer` (docs/trust.md has the rates of errors)."""
TOGETHER = (-1.1, 0.7)
"""Samples between which a copy begins with its clip."""
CERTAIN = 1.0
"""How much closer than that it is where no other clip needs to be looked at."""
HOPELESS = (-3.0, -1.0)
"""Closeness above what is asked, below which a clip is given up: where it is thought to lie, and moved once."""
ELSEWHERE = 0.9
"""How much closer a mirror image has to be, or a copy that begins elsewhere: of so many places some fit by chance."""
ENLARGED = 0.5
"""By how much what moves counts less, on Fisher's scale, in a part of a picture where little else is seen."""
UNCUT = 0.98
"""Share of a picture's sides from which on it is not a part of one."""
ALONE = 0.4
"""Share of a picture's mean square contrast that moves, from which on little else is seen."""
QUIET = 0.3
"""Mean deviation of what moves, in grey levels, below which a close look has pictures alone to go by."""
SURELY_QUIET = 3.5
"""What is asked of the pictures then, on Fisher's scale."""

Samples = npt.NDArray[np.uint8]
CodeRows = npt.NDArray[np.uint64]
Values = npt.NDArray[np.float32]
Comparison = tuple[Values, Values, npt.NDArray[np.bool_]]


def make_samples(frames: Frames) -> Samples:
    """Return the samples of small frames, uint8 (T, FINE, FINE, 3), at twice `RATE`.

    Returns:
        uint8 (S, WIDTH), S at most `LONGEST`: brightness, and two colours about 128.

    Raises:
        MediaError: there is no frame.
    """
    if not len(frames):
        raise MediaError("there is no frame to make a fingerprint of", "give a video or a picture")
    shown = frames if len(frames) % 2 == 0 else np.concatenate([frames, frames[-1:]])
    shown = shown[: 2 * LONGEST]
    means = (shown[0::2].astype(np.float32) + shown[1::2]) / 2  # (2S, H, W, 3) → (S, H, W, 3)
    red, green, blue = np.moveaxis(means, -1, 0)
    bright = _smaller(0.3 * red + 0.59 * green + 0.11 * blue, SIDE)
    colours = _smaller(np.stack([blue - (red + green) / 2, red - green], axis=1), SIDE // 2) / 2 + 128  # (S, 2, h, w)
    flat = bright.reshape(len(means), -1), colours.reshape(len(means), -1)  # (S, SIDE²), (S, SIDE² / 2)
    return np.asarray(np.concatenate(flat, axis=1).round().clip(0, 255), dtype=np.uint8)


def read_samples(path: Path) -> Samples:
    """Return the samples of a video or a picture, of its first 24 seconds; see `make_samples`.

    Raises:
        MediaError: no frame can be had from it.
    """
    return read_fingerprint(path).samples


def mirrored(samples: Samples) -> Samples:
    """Return the samples of a clip whose left is its right."""
    bright, colours = samples[:, : SIDE**2].reshape(-1, SIDE), samples[:, SIDE**2 :].reshape(-1, SIDE // 2)
    parts = [part[:, ::-1].reshape(len(samples), -1) for part in (bright, colours)]
    return np.concatenate(parts, axis=1)


def _smaller(planes: Values, side: int) -> Values:
    """Average pictures (..., H, W) over cells: (..., side, side)."""
    cells = planes.reshape(*planes.shape[:-2], side, planes.shape[-2] // side, side, planes.shape[-1] // side)
    return np.asarray(cells.mean(axis=(-3, -1)), dtype=np.float32)


def _sampling(begin: Values, part: Values, wanted: int) -> Values:
    """Return matrices (B, wanted, SIDE) that read parts of lines of pixels, linearly interpolated."""
    middle = (np.arange(wanted, dtype=np.float32) + 0.5) / wanted
    place = np.clip((begin[:, None] + part[:, None] * middle) * SIDE - 0.5, 0, SIDE - 1)  # (B, wanted)
    low = np.minimum(place.astype(int), SIDE - 2)
    share = (place - low).astype(np.float32)
    matrices = np.zeros((len(begin), wanted, SIDE), dtype=np.float32)
    clip, pixel = np.arange(len(begin))[:, None], np.arange(wanted)[None]
    matrices[clip, pixel, low] += 1 - share
    matrices[clip, pixel, low + 1] += share
    return matrices


def _as_sampled(read: Values, begin: Values, part: Values) -> Values:
    """Return matrices (B, wanted, SIDE) that blur lines of a copy as the same part of a clip is by its samples.

    A copy of a part has finer samples than the part has in the clip's: they are averaged over the clip's pixels, and
    read as `_sampling` reads those, by the matrices `read`.
    """
    edge = (begin[:, None] + part[:, None] * np.arange(SIDE + 1, dtype=np.float32) / SIDE) * SIDE  # (B, SIDE + 1)
    pixel = np.arange(SIDE, dtype=np.float32)[None, :, None]
    shared = np.minimum(edge[:, None, 1:], pixel + 1) - np.maximum(edge[:, None, :-1], pixel)
    shared = shared.clip(0)  # (B, SIDE pixels of the clip, SIDE of the copy)
    matrices = read @ (shared / (shared.sum(axis=2, keepdims=True) + 1e-6))
    return np.asarray(matrices / (matrices.sum(axis=2, keepdims=True) + 1e-6), dtype=np.float32)


def make_codes(samples: Samples, crops: Sequence[tuple[float, float, float]] = CROPS) -> CodeRows:
    """Return the codes of samples, (M, crops), M moments."""
    shown = _planes(samples)
    lacking = SPAN - len(shown)
    planes = np.concatenate([shown, np.repeat(shown[-1:], max(0, lacking), axis=0)]).swapaxes(0, 1)  # (3, S', H, W)
    begin = np.arange(0, planes.shape[1] - SPAN + 1, STRIDE)
    mean = np.mean([planes[:, begin + step] for step in range(SPAN)], axis=0)  # (3, M, H, W)
    first, last = planes[0][begin] + planes[0][begin + 1], planes[0][begin + SPAN - 2] + planes[0][begin + SPAN - 1]
    moved = last - first  # (M, H, W)
    waves = np.cos(np.pi * (np.arange(SIDE) + 0.5) * np.arange(8)[:, None] / SIDE).astype(np.float32)  # (8, SIDE)
    part, down, right = np.array(crops, dtype=np.float32).T
    rows, columns = (waves @ _sampling(place, part, SIDE) for place in (down, right))  # (crops, 8, SIDE)
    bits = []
    for name, pictures in (("motion", moved[None]), ("brightness", mean[:1]), ("colour", mean[1:])):
        # (1, 1, crops, 8, SIDE) · (P, M, 1, SIDE, SIDE) · (1, 1, crops, SIDE, 8) → (P, M, crops, 8, 8)
        found = rows[None, None] @ pictures[:, :, None] @ columns.swapaxes(1, 2)[None, None]
        down_wave, right_wave = _ORDER[int(name == "brightness") :][: SIGNS[name]].T
        signs = found[..., down_wave, right_wave] > 0  # (P, M, crops, signs)
        bits.append(np.moveaxis(signs, 0, 2).reshape(*signs.shape[1:3], -1))
    packed = np.packbits(np.concatenate(bits, axis=-1), axis=-1)  # (M, crops, 64) → (M, crops, 8)
    return np.asarray(packed.view("<u8")[..., 0], dtype=np.uint64)


_ORDER = np.array(sorted(((i, j) for i in range(8) for j in range(8)), key=lambda wave: (sum(wave), wave)))
"""Coefficients (64, 2) of a cosine transform, slow ones first; the brightness itself, the first, has no sign."""


class Codes:
    """The codes of many clips, the clips with most moments first: moment m is an array of the first n_m of them."""

    def __init__(self, clips: Iterable[tuple[int, CodeRows]]) -> None:
        ordered = sorted(clips, key=lambda clip: (-len(clip[1]), clip[0]))
        self.ids = np.array([number for number, _ in ordered], dtype=np.int64)
        self.lengths = np.array([len(codes) for _, codes in ordered], dtype=np.int64)
        longest = int(self.lengths.max(initial=0))
        self._moments: list[CodeRows] = []
        """For each moment (crops, n)."""
        for moment in range(longest):
            those = int((self.lengths > moment).sum())
            self._moments.append(
                np.ascontiguousarray(np.stack([codes[moment] for _, codes in ordered[:those]], axis=1))
            )

    def nearest(self, codes: CodeRows, begin: int, most: int) -> list[tuple[float, int, int]]:
        """Return the clips that differ least from a copy that begins at their moment `begin`.

        Where that is in their midst, at least half of the copy lies in them: a few moments at their ends are alike by
        chance, of somebody who waves say, and a clip is looked at where it is nearest alone.

        Args:
            codes: of the copy, (M,), uncut.
            begin: moment.
            most: how many clips, at most.

        Returns:
            Part of the bits that differ, number of the clip, and number of the crop, the nearest first.
        """
        reach = len(self._moments) - begin
        needed = (len(codes) + 1) // 2 if begin else 1
        if reach < needed:
            return []
        looked = sorted({int(m) for m in np.linspace(0, min(len(codes), reach) - 1, LOOKED).round()})
        count = self._moments[begin + needed - 1].shape[1]
        apart = np.empty(count, dtype=np.float32)
        crop_of = np.empty(count, dtype=np.uint8)
        for first in range(0, count, BLOCK):
            block = slice(first, min(first + BLOCK, count))
            least = np.full(block.stop - first, 1 << 12, dtype=np.uint16)
            crops, compared = np.zeros(len(least), dtype=np.uint8), np.zeros(len(least), dtype=np.float32)
            for moment in looked:
                compared[: max(0, self._moments[begin + moment].shape[1] - first)] += 64
            for crop in range(len(CROPS)):
                bits = np.zeros(len(least), dtype=np.uint16)
                for moment in looked:
                    row = self._moments[begin + moment][crop, block]
                    bits[: len(row)] += np.bitwise_count(row ^ codes[moment])
                crops[bits < least] = crop
                np.minimum(least, bits, out=least)
            apart[block], crop_of[block] = least / compared, crops
        chosen = np.argpartition(apart, most - 1)[:most] if most < count else np.arange(count)
        chosen = chosen[np.argsort(apart[chosen], kind="stable")]
        return [(float(apart[i]), int(self.ids[i]), int(crop_of[i])) for i in chosen]


@dataclass(frozen=True)
class Match:
    """A clip that a copy was made from."""

    clip: int
    """Its number."""
    likeness: float
    """Correlation of the copy with it, up to 1."""
    begins: float
    """Second of the clip at which the copy begins."""
    part: float
    """Share of the clip's sides that the copy shows."""
    mirrored: bool = False


Reader = Callable[[Sequence[int]], dict[int, Samples]]
"""What returns the samples of clips, by number."""
Look = Callable[[int, Values], tuple[float, Values] | None]
"""What looks closely at a clip; see `best_of`."""


def find(codes: Codes, copy: Samples, read: Reader, closer: Closer | None = None) -> Match | None:
    """Return the clip that a copy was made from, None where none fits.

    First clips that begin as it does; then those in the midst of which it may begin; then the same of its mirror image.

    Args:
        codes: of all clips.
        copy: samples, (S, WIDTH).
        read: what returns the samples of clips.
        closer: what reads the files of copy and clips; without it, samples alone decide.
    """
    last = int(codes.lengths.max(initial=0))
    shifted = [(phase, begin) for begin in range(last) for phase in range(STRIDE)][1:]
    for samples in (copy, mirrored(copy)):
        for begins in ([(0, 0)], shifted):
            look = None if closer is None else partial(closer.closeness, mirrored=samples is not copy)
            if (match := best_of(codes, samples, read, begins, look)) is not None:
                return match if samples is copy else replace(match, mirrored=True)
    return None


def best_of(
    codes: Codes,
    copy: Samples,
    read: Reader,
    begins: Sequence[tuple[int, int]],
    look: Look | None = None,
) -> Match | None:
    """Return the best match of those that begin at some moments, each (samples left out of the copy, moment).

    `look` has the last word: it returns how close a clip is at a place, above 0 where it is the same, and a better
    place; None where it cannot say. Where one is surely the same, the rest is not looked at.
    """
    nearest: dict[int, tuple[float, int, int]] = {}
    reach = sorted(begin for begin in begins if begin[0] < len(copy))
    own = {phase: make_codes(copy[phase:], CROPS[:1])[:, 0] for phase in dict(reach)}
    for phase, begin in reach:
        for apart, clip, crop in codes.nearest(own[phase], begin, CANDIDATES):
            if apart < nearest.get(clip, (2.0,))[0]:
                nearest[clip] = apart, crop, begin * STRIDE - phase
    ordered = sorted(nearest, key=lambda clip: nearest[clip])[:CANDIDATES]
    for count in (FIRST, CANDIDATES) if look is not None and len(begins) == 1 else (CANDIDATES,):
        samples = read(ordered[:count])
        if not samples:
            return None
        numbers = list(samples)
        places = np.array([[*CROPS[nearest[clip][1]], nearest[clip][2]] for clip in numbers], dtype=np.float32)
        likeness, places, same = compare(copy, list(samples.values()), places)
        rank = np.where(same, likeness, -np.inf)
        if look is not None:
            rank -= 2  # below any that was looked at
            for i in np.argsort(-likeness, kind="stable")[: int((likeness >= LOOSE).sum())]:
                if (looked := look(numbers[i], places[i])) is not None:
                    closeness, places[i] = looked
                    rank[i] = closeness if closeness >= 0 else -np.inf
                    if closeness >= CERTAIN:
                        break
        best = int(np.argmax(rank))
        if rank[best] >= CERTAIN:
            break
    part, _, _, begin_at = places[best].tolist()
    if rank[best] == -np.inf:
        return None
    return Match(numbers[best], float(likeness[best]), max(0.0, begin_at / RATE), part)


def _planes(samples: Samples) -> Values:
    """Return samples (S, WIDTH), or their brightness (S, SIDE²), as planes (S, 3 or 1, SIDE, SIDE)."""
    values = samples.astype(np.float32)
    bright = values[:, : SIDE**2].reshape(-1, 1, SIDE, SIDE)
    colours = (values[:, SIDE**2 :].reshape(len(values), -1, SIDE // 2, SIDE // 2) - 128) * 2
    return np.concatenate([bright, colours.repeat(2, axis=2).repeat(2, axis=3)], axis=1)


def compare(copy: Samples, clips: Sequence[Samples], places: Values) -> Comparison:
    """Lay a copy over clips, from where it is thought to lie on, and improve that for the best of them.

    Args:
        copy: samples (S, WIDTH).
        clips: the same of N clips.
        places: (N, 4): share of the sides, where it begins down and right as shares, and sample at which it begins.

    Returns:
        Correlations (N,), places (N, 4), and whether it is the same clip (N,).
    """
    times = np.linspace(0, len(copy) - 1, min(COMPARED, len(copy))).round().astype(np.float32)
    few = times[:: max(1, len(times) // ROUGHLY)]
    shown = _planes(copy[times.astype(int)])  # (T, 3, SIDE, SIDE)
    hint = _planes(copy[few.astype(int)])[:, :1]
    brightness = [clip[:, : SIDE**2] for clip in clips]
    likeness = _Laid(brightness, hint, few, SIDE // 2).roughly(places)
    chosen, places = np.arange(len(clips)), places.copy()
    for (kept, side, step), least in zip(REFINEMENTS, HARDLY, strict=False):
        chosen = chosen[likeness[chosen] >= least]
        chosen = chosen[np.argsort(-likeness[chosen], kind="stable")][:kept]
        if not len(chosen):
            break
        laid = _Laid([brightness[i] for i in chosen.tolist()], hint, few, side)
        places[chosen], likeness[chosen] = _settled(laid.roughly, places[chosen], [step])
    chosen = chosen[likeness[chosen] >= HARDLY[-1]]
    chosen = chosen[np.argsort(-likeness[chosen], kind="stable")][:JUDGED]
    if not len(chosen):
        return np.full(len(clips), -1, dtype=np.float32), places, np.zeros(len(clips), dtype=np.bool_)
    still = float(((shown - shown.mean(axis=0)) ** 2).mean()) < STILL
    best = [brightness[i] for i in chosen.tolist()]
    if still:
        found = _Laid([clips[i] for i in chosen.tolist()], shown, times, SIDE).correlations(places[chosen])[1]
    else:
        whole = places[chosen]
        whole[:, :3] = 1, 0, 0
        laid = _Laid(best * 2, hint, few, SIDE)
        both, fits = _settled(laid.likeness, np.concatenate([places[chosen], whole]), SETTLED[0])
        from_whole = fits[len(best) :] > fits[: len(best)]
        begun = np.where(from_whole[:, None], both[len(best) :], both[: len(best)])
        places[chosen], found = _settled(_Laid(best, shown[:, :1], times, SIDE).likeness, begun, SETTLED[1])
    same = np.zeros(len(clips), dtype=bool)
    likeness[:], likeness[chosen] = -1, found
    asked = SAME_STILL if still else SAME + SAME_SHORT * max(0, ENOUGH - len(copy))
    same[chosen] = likeness[chosen] >= asked
    return likeness, places, same


_WAYS = np.array(
    [
        *((0, 1, 0, 0), (0, -1, 0, 0), (0, 0, 1, 0), (0, 0, -1, 0)),
        *((1, -0.5, -0.5, 0), (-1, 0.5, 0.5, 0), (0, 0, 0, 8), (0, 0, 0, -8)),
    ],
    dtype=np.float32,
)
"""Ways in which a place is moved: down, right, larger about its middle, later by half a sample for a step of .06."""


def _settled(fit: Callable[[Values], Values], places: Values, steps: Sequence[float]) -> tuple[Values, Values]:
    """Move places (N, 4) to where a fit is better, twice by each of `_WAYS`; return them and their fits, (N,)."""
    found = fit(places)
    for step in steps:
        stood = 0  # ways, one after the other, by which nothing became better
        for way in np.concatenate([_WAYS, _WAYS]):
            if stood == len(_WAYS):
                break  # each way was tried from here
            tried = places + np.float32(step) * way
            tried[:, 0] = tried[:, 0].clip(SMALLEST, 1)
            tried[:, 1:3] = tried[:, 1:3].clip(0, 1 - tried[:, :1])
            values = fit(tried)
            better = values > found
            places, found = np.where(better[:, None], tried, places), np.where(better, values, found)
            stood = 0 if better.any() else stood + 1
    return places, found


class _Laid:
    """Clips over which a copy is laid, compared at `side` pixels.

    Args:
        clips: samples of each, (S, WIDTH), or their brightness alone.
        shown: the copy, (T, C, SIDE, SIDE).
        times: samples of it that these are, (T,).
        side: pixels.
    """

    def __init__(self, clips: Sequence[Samples], shown: Values, times: Values, side: int) -> None:
        self._ends = np.array([len(clip) - 1 for clip in clips])
        self._stack = np.concatenate([_planes(clip) for clip in clips])  # the samples of all, (ΣS, C, SIDE, SIDE)
        self._first = np.cumsum([0, *(self._ends + 1)])[:-1]
        self._times, self._side = times, side
        self._shown = shown[None]
        self._room = np.empty((2, len(clips), *shown.shape), dtype=np.float32)
        """For what is read of the clips: fresh memory at each place took most of the time."""

    def _seen(self, places: Values, lines: Values) -> tuple[Values, Values]:
        """Return what is seen at places (N, 4), of the copy and of the clips, (N, T, C, k, k), by k sums of lines."""
        at = np.clip(self._times + places[:, 3:], 0, self._ends[:, None])  # (N, T)
        low = at.astype(int)
        share = (at - low).astype(np.float32)[..., None, None, None]
        high = np.minimum(low + 1, self._ends[:, None]) + self._first[:, None]
        low += self._first[:, None]
        laid = np.take(self._stack, low, axis=0, out=self._room[0], mode="clip")  # (N, T, C, SIDE, SIDE)
        if share.any():
            laid *= 1 - share
            later = np.take(self._stack, high, axis=0, out=self._room[1], mode="clip")
            later *= share
            laid += later
        part, begin = np.tile(places[:, 0], 2), places[:, 1:3].T.ravel()  # down, then right
        read = _sampling(begin, part, self._side)
        seen = []
        for matrices, pictures in ((_as_sampled(read, begin, part), self._shown), (read, laid)):
            rows, columns = (lines @ matrices).reshape(2, len(places), len(lines), SIDE)
            # All lines of a place in one product: (N or 1, T·C·SIDE, SIDE) · (N, SIDE, k) → (N, T, C, SIDE, k)
            across = pictures.reshape(len(pictures), -1, SIDE) @ columns.swapaxes(1, 2)
            across = across.reshape(len(places), *pictures.shape[1:4], -1)
            seen.append(rows[:, None, None] @ across)  # → (N, T, C, k, k)
        return seen[0], seen[1]

    def likeness(self, places: Values) -> Values:
        """Return how alike copy and clips are at places (N, 4), up to 1; see `PARTS`."""
        waves = np.cos(np.pi * (np.arange(SIDE) + 0.5) * np.arange(8)[:, None] / SIDE) * np.sqrt(2 / SIDE)
        pair = [seen[:, :, 0] for seen in self._seen(places, waves.astype(np.float32))]  # (N, T, 8, 8)
        means = [seen.mean(axis=1, keepdims=True) for seen in pair]
        moving = [seen - mean for seen, mean in zip(pair, means, strict=True)]
        order, fisher = np.add.outer(np.arange(8), np.arange(8)), np.zeros(len(places), dtype=np.float32)
        for name, (ours, theirs) in {"still": means, "moving": moving}.items():
            last, power, noise = PARTS[name]
            counted = (order > 0) & (order <= last)
            weight = order[counted].astype(np.float32) ** np.float32(power)
            ours, theirs = (values[..., counted] * weight for values in (ours, theirs))  # (N, T or 1, coefficients)
            lost = noise**2 * float((weight**2).sum()) * ours.shape[1]
            product, own, other = (
                np.einsum("ntk,ntk->n", a, b) for a, b in ((ours, theirs), (ours, ours), (theirs, theirs))
            )
            # A picture of less contrast may be the same; what moves less is not.
            length = (own + other) / 2 if name == "moving" else np.sqrt(own * other)
            fisher += np.arctanh(((product + lost) / (length + lost)).clip(-SURE, SURE))
        return np.asarray(np.tanh(fisher / 2), dtype=np.float32)

    def roughly(self, places: Values) -> Values:
        """Return the sum of both correlations at places (N, 4), (N,)."""
        return np.asarray(self.correlations(places).sum(axis=0), dtype=np.float32)

    def correlations(self, places: Values) -> Values:
        """Return (2, N): how what moves correlates at places (N, 4), and how the whole does."""
        shown, seen = self._seen(places, np.eye(self._side, dtype=np.float32))
        found = []
        for axes in ((1,), (1, 3, 4)):  # what moves: less the mean of all times; the whole: less the mean of all pixels
            ours, theirs = (
                (values - values.mean(axis=axes, keepdims=True)).reshape(len(values), -1) for values in (shown, seen)
            )
            product, *lengths = (
                np.einsum("nk,nk->n", a, b) for a, b in ((ours, theirs), (ours, ours), (theirs, theirs))
            )
            found.append(product / (np.sqrt(lengths[0] * lengths[1]) + 1e-3))
        return np.asarray(found, dtype=np.float32)


@dataclass(frozen=True)
class Shown:
    """The frames of the first 24 seconds of a clip, each other than the one before it, as cosine coefficients."""

    waves: npt.NDArray[np.int16]
    """(N, coefficients): brightness, then both colours, as far as `WAVES` says, in units of `QUANTUM`."""
    begins: npt.NDArray[np.int64]
    """When each begins and the last ends, (N + 1,), in ticks of `RATE` · 2 · `TICKS` a second."""

    def packed(self) -> bytes:
        """Return these in few bytes: the times, then how each coefficient differs from that of the frame before it.

        Each difference d is written as 2·d, or as −2·d − 1 where it is negative: low bytes first, then the high ones.
        """
        waves = self.waves.astype(np.int32)
        steps = np.concatenate([waves[:1], waves[1:] - waves[:-1]]).T.ravel()  # (coefficients · N,)
        halves = ((steps << 1) ^ (steps >> 31)).astype("<u2").view(np.uint8).reshape(-1, 2).T
        return zlib.compress(self.begins.astype("<u2").tobytes() + halves.tobytes(), 6)

    @classmethod
    def unpacked(cls, packed: bytes) -> Shown:
        """Return what was packed.

        Raises:
            MediaError: it is damaged.
        """
        each = 2 * len(_KEPT_AT)
        try:
            plain = zlib.decompressobj().decompress(packed, 2 + (each + 2) * 2 * LONGEST * TICKS)
        except zlib.error as error:
            raise MediaError(f"the frames of a fingerprint are damaged ({error})", "verify the library") from None
        count, rest = divmod(len(plain) - 2, each + 2)
        if count < 1 or rest:
            raise MediaError(f"the frames of a fingerprint have {len(plain)} bytes", "verify the library")
        begins = np.frombuffer(plain, "<u2", count + 1).astype(np.int64)
        halves = np.frombuffer(plain, np.uint8, offset=2 * (count + 1)).reshape(2, -1)
        steps = np.ascontiguousarray(halves.T).view("<u2").astype(np.int32).reshape(-1, count).T
        steps = (steps >> 1) ^ -(steps & 1)
        return cls(np.cumsum(steps, axis=0).astype(np.int16), begins)

    def planes(self) -> tuple[Values, Values]:
        """Return the coefficients of brightness (N, 1, k, k) and of colours (N, 2, l, l); those not kept are 0."""
        bright, colour = (last + 1 for last in WAVES.values())
        laid = np.zeros((len(self.waves), 3, bright, bright), dtype=np.float32)
        laid.reshape(len(laid), -1)[:, _KEPT_AT] = self.waves * np.float32(QUANTUM)
        return laid[:, :1], laid[:, 1:, :colour, :colour]


class Fingerprint(NamedTuple):
    """What a copy of a clip is known by."""

    samples: Samples
    """uint8 (S, WIDTH)."""
    shown: Shown


_KEPT_ORDERS = np.add.outer(*[np.arange(WAVES["brightness"] + 1)] * 2)
_KEPT_AT = np.flatnonzero([WAVES[name] >= _KEPT_ORDERS for name in ("brightness", "colour", "colour")])
"""Where the coefficients that are kept lie in three planes of as many as brightness has, slow ones first."""
_KEPT_AT = _KEPT_AT[np.argsort(_KEPT_ORDERS.ravel()[_KEPT_AT % _KEPT_ORDERS.size], kind="stable")]
_COSINES = (
    np.cos(np.pi * (np.arange(CLOSE) + 0.5) * np.arange(WAVES["brightness"] + 1)[:, None] / CLOSE) * np.sqrt(2 / CLOSE)
).astype(np.float32)
"""Cosine waves (k, CLOSE) of lines of pixels, each of length 1."""
_COSINES[0] /= np.sqrt(2)


def read_fingerprint(path: Path) -> Fingerprint:
    """Return the fingerprint of a video or a picture, of its first 24 seconds.

    Raises:
        MediaError: no frame can be had from it.
    """
    kept, begins, ticks = list[Frames](), list[npt.NDArray[np.int64]](), 0
    for chunk in Footage(path).chunks(height=CLOSE, width=CLOSE, channels=3, fps=2 * RATE * TICKS, fit="stretch"):
        chunk = chunk[: 2 * LONGEST * TICKS - ticks]
        before = np.concatenate([kept[-1][-1:] if kept else ~chunk[:1], chunk[:-1]])
        new = np.flatnonzero((chunk != before).any(axis=(1, 2, 3)))
        if len(new):
            kept.append(chunk[new])
            begins.append(new + ticks)
        ticks += len(chunk)
        if ticks == 2 * LONGEST * TICKS:
            break
    frames = np.concatenate(kept)  # (N, CLOSE, CLOSE, 3)
    shown = np.array([*np.concatenate(begins), ticks], dtype=np.int64)
    red, green, blue = np.moveaxis(frames.astype(np.float32), -1, 0)
    bright = 0.3 * red + 0.59 * green + 0.11 * blue
    planes = np.stack([bright, (blue - (red + green) / 2) / 2, (red - green) / 2], axis=1)
    across = (planes.reshape(-1, CLOSE) @ _COSINES.T).reshape(*planes.shape[:3], -1)
    waves = (_COSINES @ across).reshape(len(frames), -1)[:, _KEPT_AT] / QUANTUM
    cells = frames.reshape(len(frames), FINE, CLOSE // FINE, FINE, CLOSE // FINE, 3)
    small = np.repeat(cells.mean(axis=(2, 4), dtype=np.float32).round(), np.diff(shown), axis=0)  # (ticks, H, W, 3)
    small = np.concatenate([small, np.repeat(small[-1:], -len(small) % TICKS, axis=0)])
    means = small.reshape(-1, TICKS, *small.shape[1:]).mean(axis=1, dtype=np.float32)  # (T, H, W, 3)
    samples = make_samples(means.round().astype(np.uint8))
    return Fingerprint(samples, Shown(waves.round().astype(np.int16), shown))


class Closer:
    """Looks at a copy and at clips frame by frame. Each frame of the copy has the best of three of the clip beside it.

    What moves, what stands still and colours are correlated, on Fisher's scale; and it counts how little of what is
    left between them is coarse: compressing leaves fine differences, another clip coarse ones. The weights are those of
    the widest gap between copies and other clips (docs/LOG.md says of which). Of a part of a picture in which little
    else is seen, such as a disc on black, what moves has to be more alike, since it may be enlarged to fit.

    Args:
        copy: its frames.
        shown: what returns a clip's; where it returns None, or raises an error, nothing is said of the clip.
    """

    def __init__(self, copy: Shown, shown: Callable[[int], Shown | None]) -> None:
        self._copy, self._shown = copy, lru_cache(maxsize=2 * JUDGED)(shown)
        self._known: dict[tuple[int, bytes, bool], tuple[float, Values] | None] = {}

    def closeness(self, clip: int, place: Values, *, mirrored: bool) -> tuple[float, Values] | None:
        """Return by how much a clip is closer than is asked for, and the place (4,) where it is, near `place`."""
        key = clip, place.tobytes(), mirrored
        if key not in self._known:
            try:
                shown = self._shown(clip)
            except (FootageError, OSError):
                shown = None
            self._known[key] = None if shown is None else _Beside(self._copy, shown, mirrored).closest(place)
        return self._known[key]


class _Beside:
    """A copy, or its mirror image, beside a clip."""

    def __init__(self, copy: Shown, clip: Shown, mirrored: bool) -> None:
        chosen = np.unique(np.linspace(0, len(copy.waves) - 1, min(CLOSE_FRAMES, len(copy.waves))).round().astype(int))
        planes = Shown(copy.waves[chosen], copy.begins).planes()
        signs = np.where(np.arange(len(_COSINES)) % 2 * mirrored, -1, 1).astype(np.float32)
        ours = [_part_of(waves * signs[: waves.shape[-1]], WHOLE) for waves in planes]
        self._middles = (copy.begins[chosen] + copy.begins[chosen + 1]) / 2
        self._ours, self._our_colours = ours[0][:, 0, *_COUNTED], ours[1]  # (T, coefficients), (T, 2, l, l)
        self._bright, self._colours = clip.planes()
        self._begins, self._mirrored = clip.begins, mirrored
        self._seen: tuple[bytes, Values] = b"", self._ours

    def _best(self, place: Values, every: int) -> tuple[npt.NDArray[np.int64], Values, float]:
        """Return the frames that lie best beside every so many of the copy, their coefficients, and how they differ."""
        ticks = np.clip(self._middles[::every] + place[3] * 2 * TICKS, 0, self._begins[-1] - 1)
        shown = np.searchsorted(self._begins, ticks, side="right") - 1
        near = np.clip(shown[:, None] + [-1, 0, 1], 0, len(self._bright) - 1)  # (T, 3)
        used = np.unique(near)
        key = place[:3].tobytes() + used.tobytes()
        if self._seen[0] != key:  # places that differ in time alone show the same
            self._seen = key, _part_of(self._bright[used], place)[:, 0, *_COUNTED]
        seen = self._seen[1][np.searchsorted(used, near)]  # (T, 3, coefficients)
        apart = (seen - self._ours[::every, None]) ** 2
        rows, best = np.arange(len(near)), apart[..., :_FRAMED].sum(axis=2).argmin(axis=1)
        return near[rows, best], seen[rows, best], float(apart[rows, best].sum())

    def closest(self, place: Values) -> tuple[float, Values]:
        """Return what `Closer.closeness` does."""

        def fit(every: int, places: Values) -> Values:
            return -np.array([self._best(place, every)[2] for place in places], dtype=np.float32)

        places = np.array([place, [*WHOLE, place[3]]], dtype=np.float32)
        if (score := max(map(self.score, places))) < HOPELESS[0]:
            return score, place
        places, fits = _settled(partial(fit, 2), places, CLOSE_STEPS[:2])
        place = places[fits.argmax()]
        if (score := self.score(place)) < HOPELESS[1]:
            return score, place
        places, _ = _settled(partial(fit, 1), place[None], CLOSE_STEPS[2:])
        return self.score(places[0]), places[0]

    def score(self, place: Values) -> float:
        """Return by how much the clip is closer than is asked for, where the copy lies at a place."""
        frames, seen, _ = self._best(place, 1)
        pair = self._ours, seen
        means = [bright.mean(axis=0) for bright in pair]
        moves = [bright - mean for bright, mean in zip(pair, means, strict=True)]
        still = _alike(means[0], means[1], _ORDER_OF)
        contrast, moving = (float((waves**2).sum()) for waves in (pair[0], moves[0]))
        if np.sqrt(moving / len(seen)) / (CLOSE // 2) < QUIET:
            return still - SURELY_QUIET
        left = ((pair[0] - pair[1]) ** 2).mean(axis=0)
        coarse, fine = left[_ORDER_OF <= 5].mean(), left[_ORDER_OF > 8].mean()
        evenness = -0.5 * float(np.log((coarse + 0.01) / (fine + 0.01)))
        motion = _alike(moves[0][:, :_FRAMED], moves[1][:, :_FRAMED], _ORDER_OF[:_FRAMED])
        colours = [waves[..., _COLOURED] for waves in (self._our_colours, _part_of(self._colours[frames], place))]
        colour = _alike(colours[0], colours[1], np.zeros(_COLOURED.sum()))
        asked = SURELY + ELSEWHERE * (self._mirrored or not TOGETHER[0] <= place[3] <= TOGETHER[1])
        motion -= ENLARGED * (place[0] < UNCUT and moving > ALONE * contrast)
        return 2 * min(motion, 2.0) + still + min(colour, 1.0) + evenness - asked


def _part_of(waves: Values, place: Sequence[float] | Values) -> Values:
    """Return cosine coefficients (N, P, l, l) of a part (3,) of pictures that have coefficients (N, P, k, k).

    They are those of its means over CLOSE / 2 cells along each side; see `WHOLE`.
    """
    half, pixel, kept = CLOSE // 2, np.arange(CLOSE), waves.shape[-1]
    wanted = (CLOSE_ORDER if kept == _COSINES.shape[0] else CLOSE_COLOUR) + 1
    lines = []
    for begin in place[1:3]:
        edge = (begin + place[0] * np.arange(half + 1) / half) * CLOSE
        shared = (np.minimum(edge[1:, None], pixel + 1) - np.maximum(edge[:-1, None], pixel)).clip(0)  # (half, CLOSE)
        means = (shared / shared.sum(axis=1, keepdims=True)) @ _COSINES[:kept].T  # (half, k)
        lines.append((_CLOSE_LINES[:wanted] @ means).astype(np.float32))
    across = waves.reshape(-1, kept) @ lines[1].T  # one product of all lines is quicker than one of each picture
    return np.asarray(lines[0] @ across.reshape(*waves.shape[:3], wanted))


_CLOSE_LINES = np.cos(np.pi * (np.arange(CLOSE // 2) + 0.5) * np.arange(CLOSE_ORDER + 1)[:, None] / (CLOSE // 2)) * (
    np.sqrt(4 / CLOSE)
)
"""Cosine waves (CLOSE_ORDER + 1, CLOSE / 2) of lines of means."""
_ORDERS = np.add.outer(np.arange(CLOSE_ORDER + 1), np.arange(CLOSE_ORDER + 1))
"""Order of each coefficient of a close look: down and right together."""
_COUNTED = tuple(np.array(sorted(np.argwhere((_ORDERS > 0) & (_ORDERS <= CLOSE_ORDER)), key=sum)).T)
"""Where those of brightness lie that are compared, slow ones first."""
_ORDER_OF = _ORDERS[_COUNTED]
_FRAMED = int((_ORDER_OF <= 12).sum())
"""How many of them say which frames lie beside each other, and how alike what moves is."""
_COLOURED = _ORDERS[: CLOSE_COLOUR + 1, : CLOSE_COLOUR + 1] <= CLOSE_COLOUR


def _alike(ours: Values, theirs: Values, order: npt.NDArray[Any]) -> float:
    """Return how coefficients (..., k) of a copy and a clip, of such orders (k,), correlate, on Fisher's scale.

    Each weighs by the root of its order; all alike where all orders are 0, as of colours, of which the mean is counted
    too. Differences are lost in a grey level of noise, those of colours in one and a half.
    """
    flat = not order.any()
    weight = np.sqrt(order).astype(np.float32) ** (1 - flat)
    a, b = ours * weight, theirs * weight
    lost = (1.5 if flat else 1.0) ** 2 * float((weight**2).sum()) * (a.size // len(weight))
    length = np.sqrt((float((a * a).sum()) + lost) * (float((b * b).sum()) + lost))
    return float(np.arctanh(np.clip((float((a * b).sum()) + lost) / length, -0.99999, 0.99999)))
