"""The invisible mark: 32 bits in the pixels of a clip, which outlive compression, a smaller size, and a crop.

Two small networks, made for each other by `benchmarks/mark_training.py`, work on frames of 64×64, however large the
clip is. The embedder sees the first frame of each group of 16 and a pattern of 8×8 cells with 16 signs each, and gives
a residual, which is spread over the frame, brought to a strength of 1% of the levels' range (40.1 dB) and added to the
frames of the group. The extractor sees frames alone and estimates the signs.

Each bit is the sign of 32 entries of the pattern, times signs s that are drawn from a key. What the extractor makes of
a clip without a mark, r, knows nothing of the key: the signs are fair coins, whatever the clip shows. A bit's sum Σ s r
is then a random walk, whose steps |r| are known. So the distribution of any statistic of the 32 sums is known, exactly:

    T = Σ log cosh(a Σ s r)    for a message that is not known,        T = Σ m Σ s r    for a message m that is known,

the sums over the 32 bits, and in each over its entries; these are the likelihood ratios of a mark of amplitude a. The
share p of keys for which T is as large as it is for the key is the rate of false alarms of a reading, times the number
of places and messages that are tried (Bonferroni). It holds for clips that know nothing of the key; a mark can be
forged by whoever has this file, and removed by whoever tries: it says that a clip was made by footage, and its absence
says nothing.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from footage.errors import ProvenanceError

Frames = npt.NDArray[np.uint8]
Array = npt.NDArray[Any]

SWITCH = "FOOTAGE_MARK"
"""Variable of the environment: `off` leaves clips unmarked."""
BITS = 32
"""Length of the message."""
FALSE_ALARM = 1e-6
"""Rate of clips without a mark in which one is found, at most."""
GROUP = 16
"""Frames that are given the same residual, made from the first of them."""
STRENGTH = 2.5
"""Root mean square of the residual, of 255 levels: 40.1 dB with rounding."""
LARGER, LEAST = 0.16, 1.6
"""How fast frames of more pixels are given less, and the least (44 dB): noise is averaged over more of them."""
MOST_GAIN = 1.4
"""How much more is put into frames of black or white, which leave half of it."""
PEAK = 9.0
"""Levels that the residual hardly exceeds."""

SIDE, CELLS, SIGNS, MAP = 64, 8, 16, 32
"""Of a side: pixels that the networks see, and cells of the pattern; signs in a cell; of a side: samples extracted."""
DILATIONS = (1, 1, 2, 2, 4)
"""Of the extractor's convolutions."""
SAMPLED = 16
"""Frames that a reader looks at, spread over the clip."""
SEARCHED = 8
"""Frames of these in which a mark is looked for that was cropped."""
AMPLITUDES = (0.2, 0.5, 1.0)
"""Of what was extracted, at a root mean square of 1, for which evidence is taken."""
STEP = 0.1
"""Of the sums, and of the logarithms, whose distribution is computed."""
ROUNDS = 2
"""Times that better places are looked for beside the best one."""
PLACES = 32
"""Places of a crop that are looked at together."""
LEAST_CROP = 42
"""Pixels of a side, of 64, that a crop has to have left, about."""
TRIED = sum((2 * (SIDE - pixels) + 1) ** 2 for pixels in range(LEAST_CROP - 1, SIDE))
"""Sizes and places of crops, to half a pixel."""
SURE = 0.99
"""How likely all bits, or a known message, have to be for a model to be named by them."""
VERSION = 1
"""Of networks and key."""
KEY = b"footage mark 1"
"""What the signs are drawn from; another version of the mark has another."""
WEIGHTS = "mark.safetensors"
WEIGHTS_SHA256 = "cab58c7c9adc0a1d0101568ccdfb33c59f7ae5db18f0a0214e38c788024b9d5b"


@dataclass(frozen=True)
class Reading:
    """What was read in a clip."""

    present: bool
    """Whether the mark is there: `false_alarm` is 1e-6 at most."""
    false_alarm: float
    """Rate of clips without a mark in which as much is found, at most."""
    message: int | None
    """The 32 bits, whether right or not; None where there is no mark."""
    confidence: tuple[float, ...] = ()
    """How likely each bit is right, from the first, which is the highest, on."""
    known: int | None = None
    """Which of the messages that are known it is, where that is far likelier than any other; bits may be wrong."""

    @property
    def legible(self) -> bool:
        """Whether all bits are right, as good as certainly."""
        return bool(self.confidence) and math.prod(self.confidence) >= SURE

    def agreement(self, message: int) -> int:
        """Return how many of the 32 bits are those of another message; 0 where there is no mark."""
        return 0 if self.message is None else BITS - (self.message ^ message).bit_count()


def message_of(weights_sha256: str) -> int:
    """Return what the mark of a model's clips says: the first 32 bits of the hash of its weights; 0 without one."""
    return int(weights_sha256[: BITS // 4], 16) if re.fullmatch(r"[0-9a-f]{64}", weights_sha256) else 0


def message_for(metadata: Mapping[str, Any]) -> int | None:
    """Return what a clip's mark is to say; None where footage did not make it, it has one, or the user wants none."""
    off = os.environ.get(SWITCH, "").lower() in ("off", "no", "0")
    if off or not metadata.get("made_with") or "mark" in metadata:
        return None
    return message_of(str(metadata.get("weights_sha256") or metadata.get("upscaler_sha256")))


def marked(
    chunks: Iterable[Frames], metadata: dict[str, Any], wanted: bool = True
) -> tuple[Iterable[Frames], dict[str, Any]]:
    """Return a clip with a mark, and what its comment is to say; both as they are where there is to be none."""
    message = message_for(metadata) if wanted else None
    return (chunks, metadata) if message is None else (embed(chunks, message), metadata | {"mark": VERSION})


def marked_frames(frames: Iterable[Frames], message: int | None) -> Iterator[Frames]:
    """Yield frames (H, W, C) one by one as they come, with a mark; None for no mark."""
    if message is None:
        yield from frames
        return
    for chunk in embed((frame[np.newaxis] for frame in frames), message):
        yield chunk[0]


def embed(chunks: Iterable[Frames], message: int) -> Iterator[Frames]:
    """Put a mark into a clip, in constant memory; how the clip is cut into chunks changes nothing.

    Args:
        chunks: uint8 or uint16 (T, H, W, C) each, C = 1 or 3.
        message: 32 bits.
    """
    pattern = _signs() * _bits(message)[_entries()]
    count, more, less = 0, np.empty(0, np.uint8), np.empty(0, np.uint8)
    for chunk in chunks:
        done, first = np.empty_like(chunk), 0
        most = np.iinfo(chunk.dtype).max
        while first < len(chunk):
            if count % GROUP == 0:
                residual = np.rint(_residual(chunk[first] / np.float32(most / 255), pattern) * (most / 255))
                more, less = np.maximum(residual, 0).astype(chunk.dtype), np.maximum(-residual, 0).astype(chunk.dtype)
            last = min(len(chunk), first + GROUP - count % GROUP)
            part = done[first:last]
            np.minimum(chunk[first:last], most - more, out=part)  # sums stay within the type
            np.add(part, more, out=part)
            np.maximum(part, less, out=part)
            np.subtract(part, less, out=part)
            count, first = count + last - first, last
        yield done


def read(chunks: Iterable[Frames], known: Sequence[int] = ()) -> Reading:
    """Look for a mark in a clip, in constant memory: as it is, then cropped to a part of both its sides.

    Args:
        chunks: uint8 (T, H, W, C) each, C = 1 or 3, of any size.
        known: messages that the mark may have: a weaker one is found then.
    """
    kept: list[Array] = []
    stride = 1
    for count, frame in enumerate(frame for chunk in chunks for frame in chunk):
        if count % stride == 0:
            if len(kept) == 2 * SAMPLED:
                kept, stride = kept[::2], 2 * stride
            if count % stride == 0:
                kept.append(_resized(frame, SIDE, SIDE))
    if not kept:
        return Reading(False, 1.0, None)
    chosen = [
        np.linspace(0, len(kept) - 1, min(number, len(kept))).round().astype(int) for number in (SAMPLED, SEARCHED)
    ]
    whole, some = (np.stack([kept[number] for number in numbers]) for numbers in chosen)
    messages = np.array([_bits(message) for message in known]).reshape(-1, BITS)
    entries = _entries_read(_extracted(whole))
    rate = 2 * _rate(entries[0], messages)  # half of what may go wrong; crops have the other half
    if rate > FALSE_ALARM:
        corners = itertools.product(range(LEAST_CROP, SIDE, 2), (0.0, 1.0), (0.0, 1.0))
        place = max((_cropped(some, messages, *corner) for corner in corners), key=lambda seen: seen.evidence).place
        tried = dict[tuple[int, float, float], Cropped]()
        for _ in range(ROUNDS):  # sizes and places beside the best one, about the same middle
            for more, down, right in itertools.product((-1, 0, 1), (-0.5, 0.0, 0.5), (-0.5, 0.0, 0.5)):
                pixels, top, left = place[0] + more, place[1] - more / 2 + down, place[2] - more / 2 + right
                corner = pixels, top % 2, left % 2
                inside = min(top, left) >= 0 and max(top, left) + pixels <= SIDE
                if corner not in tried and inside and LEAST_CROP <= pixels + 1 <= SIDE:
                    tried[corner] = _cropped(whole, messages, *corner)
            best = max(tried.values(), key=lambda seen: seen.evidence)
            place = best.place
        cropped = 2 * TRIED * _rate(best.entries[0], messages)
        if cropped < rate:
            rate, entries = cropped, best.entries
    if rate > FALSE_ALARM:
        return Reading(False, min(1.0, rate), None)
    amplitude = max(AMPLITUDES, key=lambda some: _evidence(entries, messages, (some,))[0])
    z = entries[0].sum(axis=1)
    confidence = 1 / (1 + np.exp(-2 * amplitude * np.abs(z)))
    message = sum(1 << (BITS - 1 - number) for number in range(BITS) if z[number] > 0)
    likelihoods = amplitude * (messages @ z) - _log_cosh(amplitude * z).sum()  # beside all messages alike
    certain = len(known) and likelihoods.max() > math.log(len(known) * SURE / (1 - SURE))
    named = known[int(likelihoods.argmax())] if certain else None
    return Reading(True, rate, message, tuple(float(value) for value in confidence), named)


def _evidence(entries: Array, messages: Array, amplitudes: Sequence[float] = AMPLITUDES) -> Array:
    """Return the logarithms of the evidence of a mark in each of N readings (N, 32, 32): of where it may lie.

    It is the likelihood ratio of a mark, a mean over amplitudes; half of it is for a message that is not known, half
    for one of K messages (K, 32) of signs, if there are any.
    """
    sums, evidence = entries.sum(axis=2), []
    for amplitude in amplitudes:
        chance = _log_cosh(amplitude * entries).sum(axis=(1, 2))
        some = (_log_cosh(amplitude * sums).sum(axis=1) - chance)[:, np.newaxis]  # N 1
        if len(messages):
            known = amplitude * (sums @ messages.T) - chance[:, np.newaxis] - math.log(len(messages))  # N K
            some = np.concatenate([some, known], axis=1) - math.log(2)
        evidence.append(np.logaddexp.reduce(some, axis=1))
    total: Array = np.logaddexp.reduce(evidence, axis=0) - math.log(len(amplitudes))
    return total


def _rate(entries: Array, messages: Array) -> float:
    """Return the share of keys, at most, that find as much in a clip as the key: s r (32, 32), messages (K, 32).

    All is counted in whole steps, so that the sums' distributions are exact: each entry moves its sum up or down.
    """
    steps = np.rint(AMPLITUDES[1] / STEP * entries).astype(int)
    sums, sizes = steps.sum(axis=1), np.abs(steps)
    most = int(sizes.sum(axis=1).max())
    places = np.arange(-most, most + 1)
    walks = np.zeros((BITS, len(places)))
    walks[:, most] = 1
    for size in sizes.T[:, :, np.newaxis]:  # where it wraps around there is nothing yet
        down, up = (np.take_along_axis(walks, (places + most + way * size) % len(places), axis=1) for way in (1, -1))
        walks = (down + up) / 2
    values = np.rint(_log_cosh(STEP * places) / STEP).astype(int)
    unknown = functools.reduce(np.convolve, (np.bincount(values, walk) for walk in walks))
    rates = [unknown[values[sums + most].sum() :].sum()]
    if len(messages):
        known = functools.reduce(np.convolve, walks)
        rates.append(len(messages) * known[int((messages @ sums).max()) + BITS * most :].sum())
    return float(len(rates) * min(rates))


def _log_cosh(values: Array) -> Array:
    """Return the logarithms of hyperbolic cosines."""
    sizes = np.abs(values)
    result: Array = sizes + np.log1p(np.exp(-2 * sizes)) - math.log(2)
    return result


class Cropped(NamedTuple):
    """What was read in frames that are taken for a crop, at the places that have one corner in common."""

    evidence: float
    """The most evidence at any place, its logarithm."""
    place: tuple[int, float, float]
    """Where that is: size, top and left, of 64."""
    entries: Array
    """What is read there, (1, 32, 32)."""


def _cropped(frames: Array, messages: Array, pixels: int, above: float, before: float) -> Cropped:
    """Look for a mark in frames (n, 64, 64, 3) that are `pixels` of 64, at all places `above` and `before` even ones.

    A sample is 2×2 pixels, wherever the crop begins, so that places two pixels apart are read at once.
    """
    rows, columns = (_scaling(SIDE, pixels, shift) for shift in (above, before))
    extracted = _extracted(np.stack([np.matmul(columns, np.tensordot(rows, frame, axes=1)) for frame in frames]))
    height, width = extracted.shape[:2]
    places = list(itertools.product(range(MAP - height + 1), range(MAP - width + 1)))
    found, evidence = [], []
    for first in range(0, len(places), PLACES):
        some = places[first : first + PLACES]
        canvas = np.zeros((len(some), MAP, MAP, SIGNS), np.float32)
        for number, (top, left) in enumerate(some):
            canvas[number, top : top + height, left : left + width] = extracted
        found.append(_entries_read(canvas))
        evidence.append(_evidence(found[-1], messages))
    each = np.concatenate(evidence)
    most = int(np.argmax(each))
    place = pixels, 2 * places[most][0] + above, 2 * places[most][1] + before
    return Cropped(float(each[most]), place, np.concatenate(found)[[most]])


def _entries_read(extracted: Array) -> Array:
    """Return s r of each bit's entries, (N, 32, 32), of root mean square 1, of what was extracted, (N, 32, 32, 16)."""
    step = MAP // CELLS
    grid = extracted.reshape(-1, CELLS, step, CELLS, step, SIGNS)  # N H W S -> N cells, samples in a cell, ...
    estimate = grid[:, :, 1:3, :, 1:3].mean(axis=(2, 4)).reshape(len(grid), -1)  # those in the middle of each cell
    seen = np.count_nonzero(estimate, axis=1)  # the others lie beside a crop
    size = np.sqrt(np.square(estimate).sum(axis=1) / np.maximum(seen, 1) + 1e-8)
    order = np.argsort(_entries().reshape(-1), kind="stable").reshape(BITS, -1)
    entries: Array = (estimate / size[:, np.newaxis] * _signs().reshape(-1))[:, order]
    return entries


@functools.cache
def _signs() -> Array:
    """Return the key's signs, (8, 8, 16): rows of cells, columns, signs."""
    digest = hashlib.shake_128(KEY).digest(CELLS * CELLS * SIGNS // 8)
    bits = np.unpackbits(np.frombuffer(digest, np.uint8))
    return (2 * bits.astype(np.float32) - 1).reshape(CELLS, CELLS, SIGNS)


@functools.cache
def _entries() -> Array:
    """Return which bit each sign carries, (8, 8, 16): two neighbouring cells hold all 32, so that a crop does."""
    row, column, sign = np.meshgrid(range(CELLS), range(CELLS), range(SIGNS), indexing="ij")
    entries: Array = (sign + 3 * row + 5 * column) % SIGNS + SIGNS * ((row + column) % 2)
    return entries


def _bits(message: int) -> Array:
    """Return a message as signs (32,), the highest bit first."""
    if not 0 <= message < 1 << BITS:
        raise ValueError(f"a message is {message}: give 0 to 2**32 - 1")
    return np.array([1.0 if message >> (BITS - 1 - number) & 1 else -1.0 for number in range(BITS)], np.float32)


@functools.cache
def _weights() -> dict[str, Array]:
    """Return the two networks' weights, as matrices (inputs, outputs), and biases."""
    from safetensors.numpy import load

    content = Path(__file__).with_name(WEIGHTS).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != WEIGHTS_SHA256:
        raise ProvenanceError(f"{WEIGHTS} has the SHA-256 {found}, not {WEIGHTS_SHA256}", "install footage anew")
    return {name: value.astype(np.float32) for name, value in load(content).items()}


@functools.lru_cache(64)
def _scaling(large: int, small: int, before: float | None = None) -> Array:
    """Return the matrix (small, large) that brings `large` samples to `small`, or to more: triangles of area 1.

    Where they begin `before` samples after the first, it has as many rows as are touched, made even; the edge goes on.
    """
    scale = large / small
    count = small if before is None else 2 * math.ceil((small + before) / 2)
    width = max(1.0, scale)
    centres = np.clip((np.arange(count) + 0.5 - (before or 0.0)) * scale, 0.5, large - 0.5)
    distance = np.abs(centres[:, None] - (np.arange(large) + 0.5)) / width
    weights = np.maximum(0, 1 - distance)
    matrix: Array = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return matrix


def _resized(frame: Array, height: int, width: int) -> Array:
    """Return a picture (H, W, C) at another size, float; grey as RGB."""
    pixels = frame.astype(np.float32)
    if pixels.shape[:2] != (height, width):
        pixels = np.tensordot(_scaling(pixels.shape[0], height), pixels, axes=1)
        pixels = np.matmul(_scaling(pixels.shape[1], width), pixels)
    return np.broadcast_to(pixels, (height, width, 3)) if pixels.shape[2] == 1 else pixels


def _residual(frame: Array, pattern: Array) -> Array:
    """Return what is added to frames like this one (H, W, C), in levels, for a pattern (8, 8, 16)."""
    weights = _weights()
    cell = SIDE // CELLS
    numbers = (_resized(frame, SIDE, SIDE) - 128) / 64
    cells = (
        numbers.reshape(CELLS, cell, CELLS, cell, 3).transpose(0, 2, 4, 1, 3).reshape(CELLS, CELLS, -1)
    )  # cells, C h w
    hidden = _leaky(_convolved(np.concatenate([cells, pattern], axis=2)[None], "embed.0"))
    hidden = _leaky(_convolved(hidden, "embed.1"))[0]
    mixed = hidden @ weights["embed.2.weight"] + weights["embed.2.bias"] + pattern @ weights["embed.pattern.weight"]
    small = mixed.reshape(CELLS, CELLS, 3, cell, cell).transpose(0, 3, 1, 4, 2).reshape(SIDE, SIDE, 3)  # cells -> H W C
    padded = np.pad(small, ((1, 1), (1, 1), (0, 0)), mode="edge")
    rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    small = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 16
    if frame.shape[2] == 1:
        small = small.mean(axis=2, keepdims=True)
    height, width = frame.shape[:2]
    large = small
    if (height, width) != (SIDE, SIDE):
        large = np.matmul(_scaling(SIDE, width), np.tensordot(_scaling(SIDE, height), small, axes=1))
    strength = min(STRENGTH, max(LEAST, STRENGTH * (SIDE * SIDE / (height * width)) ** LARGER))
    residual = _at(large, strength)
    residual = _at(PEAK * np.tanh(residual / PEAK), strength)
    left = np.clip(frame + residual, 0, 255) - frame  # what black and white leave of it
    return residual * np.float32(np.clip(strength / math.sqrt(float(np.mean(np.square(left))) + 1e-6), 1, MOST_GAIN))


def _at(residual: Array, strength: float) -> Array:
    """Return a residual of that root mean square."""
    return residual * np.float32(strength / math.sqrt(float(np.mean(np.square(residual))) + 1e-6))


def _extracted(frames: Array) -> Array:
    """Return the signs that frames (N, h, w, 3), h and w even, seem to have around each sample: (h / 2, w / 2, 16)."""
    weights = _weights()
    count, height, width = frames.shape[:3]
    numbers = ((frames - 128) / 64).reshape(count, height // 2, 2, width // 2, 2, 3)
    hidden = numbers.transpose(0, 1, 3, 5, 2, 4).reshape(count, height // 2, width // 2, -1)  # samples, C h w
    for layer, dilation in enumerate(DILATIONS):
        new = _leaky(_convolved(hidden, f"extract.{layer}", dilation))
        hidden = new + hidden if new.shape == hidden.shape else new
    signs: Array = hidden.mean(axis=0) @ weights["extract.signs.weight"] + weights["extract.signs.bias"]
    return signs


def _convolved(values: Array, name: str, dilation: int = 1) -> Array:
    """Convolve (N, H, W, C) with a kernel of 3×3, whose matrix holds rows, columns, channels."""
    height, width = values.shape[1:3]
    padded = np.pad(values, ((0, 0), (dilation, dilation), (dilation, dilation), (0, 0)))
    shifts = [
        padded[:, row * dilation : row * dilation + height, column * dilation : column * dilation + width]
        for row, column in itertools.product(range(3), repeat=2)
    ]
    result: Array = np.concatenate(shifts, axis=3) @ _weights()[f"{name}.weight"] + _weights()[f"{name}.bias"]
    return result


def _leaky(values: Array) -> Array:
    """Return a leaky rectifier's output."""
    return np.maximum(values, 0.2 * values)
