"""Clips made of clips: what follows one, what one is turned into, what lies between two. Memory is constant."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from footage import __version__
from footage.config import ClipConfig
from footage.config.sections import unlimited
from footage.data.ingest.volumes import read_volume
from footage.errors import ConfigError, MediaError, counted
from footage.generation.clip import Clip
from footage.generation.rollout import from_uint8, match_channels, to_uint8, to_uint16
from footage.media.geometry import Fit
from footage.media.reader import Footage
from footage.media.sheets import tile
from footage.media.volumes import Levels, centred, resampled
from footage.models.base import Converts, Encodes, Predicts
from footage.models.card import ModelInfo
from footage.models.requests import SEED_LIMIT

Frames = npt.NDArray[np.uint8]
FrameObserver = Callable[[Tensor, Tensor], None]
"""Function that is shown the source and its conversion, frame for frame: (1, C, t, H, W) each."""

MOST_PAST = 2_000
"""Frames of a clip that may stand before its prediction: they are held in memory."""


def conversion_metadata(info: ModelInfo, source: Footage, seed: int) -> dict[str, Any]:
    """Return what stands inside a file about how it was made."""
    return {
        "made_with": f"footage {__version__}",
        "model": info.name,
        "weights_sha256": info.weights_sha256,
        "seed": seed,
        "source": source.path.name,
    }


def given_as(info: ModelInfo, source: Footage, own_size: bool = False) -> tuple[int, int, float]:
    """Return height, width and rate that a model is given a clip at: its own; the clip's, where it takes any or may."""
    unit, clip = info.config.net.unit, info.config.clip
    if not own_size and unit > 1:
        return clip.height, clip.width, info.fps
    height, width = (max(2 * unit, side // unit * unit) for side in source.size())
    return height, width, info.fps if unit > 1 else float(source.rate() or info.fps)


def read_window(source: Footage, clip: ClipConfig, fps: float) -> Tensor:
    """Return the first frames of a clip, as many as a model was trained on, (1, C, T, H, W).

    Raises:
        MediaError: it has fewer.
    """
    chunks: list[Frames] = []
    for chunk in source.chunks(height=clip.height, width=clip.width, channels=clip.channels, fps=fps):
        chunks.append(chunk)
        if sum(map(len, chunks)) >= clip.frames:
            break
    frames = np.concatenate(chunks)[: clip.frames]
    _check_length(source, len(frames), clip.frames, fps)
    return from_uint8(frames[None])


def _check_length(source: Footage, frames: int, needed: int, fps: float) -> None:
    """Refuse a clip, with a MediaError, of fewer frames than a model looks at."""
    if frames >= needed:
        return
    what = (
        "is a picture, and a clip is needed"
        if source.is_picture
        else f"has {counted(frames, 'frame')} at {fps:g} a second"
    )
    raise MediaError(f'"{source.path}" {what}: the model looks at {needed}', "give a longer clip")


def predict(
    sampler: Predicts,
    info: ModelInfo,
    source: Footage,
    *,
    frames: int,
    samples: int,
    seed: int,
    past: int | None,
    fit: Fit,
    told: Sequence[float] | None = None,
) -> Clip:
    """Continue a clip from its end, in one or several ways; the arguments are those of `Model.predict`.

    `told` is the vector of its text, of D numbers.

    Raises:
        ConfigError: a number is out of range, or several futures of a model that knows one.
        MediaError: the clip cannot be read, or is too short.
    """
    if not 1 <= samples <= 400:
        raise ConfigError(f"samples is {samples}", "give 1 to 400")
    seeds = _seeds(seed, samples)
    if samples > 1 and sampler.certain:
        raise ConfigError(f"samples is {samples}, and {info.name} knows one future only", "give --samples 1")
    shown = sampler.past if past is None else past
    if not 0 <= shown <= MOST_PAST:
        raise ConfigError(f"past is {shown}", f"give 0 to {MOST_PAST}")
    clip, kept = sampler.clip, deque[Frames](maxlen=max(sampler.past, shown))
    for chunk in source.chunks(height=clip.height, width=clip.width, channels=clip.channels, fps=info.fps, fit=fit):
        kept.extend(frame.copy() for frame in chunk[-(kept.maxlen or 0) :])
    _check_length(source, len(kept), sampler.past, info.fps)
    window = np.stack(list(kept))
    before = window[len(window) - min(shown, len(window)) :]

    def make() -> Iterator[Frames]:
        if len(before):
            yield tile([before] * samples)
        start = from_uint8(np.repeat(window[None, -sampler.past :], samples, axis=0), sampler.device)
        left = frames
        said = None if told is None else torch.tensor([told] * samples, device=sampler.device)
        for chunk in sampler.futures(start, seeds, said):
            futures = to_uint8(chunk[:, :, :left])
            yield tile(list(futures))
            left -= futures.shape[1]
            if left <= 0:
                return

    about = conversion_metadata(info, source, seed) | {"past_frames": len(before), "predicted_frames": frames}
    about |= {"samples": samples} if samples > 1 else {}
    return Clip(make, len(before) + frames, info.fps, about, sources=(source.path,))


def _seeds(seed: int, count: int = 1) -> list[int]:
    """Return successive seeds as a source of random numbers takes them; a ConfigError refuses those below 0."""
    if seed < 0:
        raise ConfigError(f"seed is {seed}", "give at least 0")
    return [number % SEED_LIMIT for number in range(seed, seed + count)]


@dataclass(frozen=True)
class ConversionOptions:
    """How a clip is turned into another."""

    frames: int | None = None
    """Length of a clip that is made from a picture; None for the model's own."""
    own_size: bool = False
    """Keep the size of the source, as far as it is a multiple of 8, instead of the model's; models of any size do."""
    as_is: bool = False
    """Whether the source is what the model looks at already, such as edges; of a translator of pairs it always is."""
    beside: bool = False
    """Show the source on the left."""
    seed: int = 0
    """Of everything random."""
    fit: Fit = "letterbox"
    """How a picture of another shape is fitted in."""
    text: str | None = None
    """What the result shows, in words, where the model was trained on captions; None for no more than the clip says."""


def convert(
    sampler: Converts,
    info: ModelInfo,
    source: Footage,
    options: ConversionOptions,
    observe: FrameObserver | None = None,
    told: Sequence[float] | None = None,
) -> Clip:
    """Turn a picture or a clip of any length into another, chunk by chunk.

    `told` is the vector of its text, of D numbers.

    Raises:
        ConfigError: a number is out of range.
        MediaError: it cannot be read.
    """
    if info.config.guides:
        options = replace(options, as_is=True)
    (seed,), animates = _seeds(options.seed), sampler.source.frames == 1
    if options.frames is not None and not animates:
        raise ConfigError(f"frames is {options.frames}, and {info.name} makes as many as it is given", "leave it out")
    length = (options.frames or sampler.clip.frames) if animates else None
    channels = sampler.source.channels if options.as_is else sampler.clip.channels
    height, width, fps = given_as(info, source, options.own_size)

    def tensors() -> Iterator[Tensor]:
        for chunk in source.chunks(height=height, width=width, channels=channels, fps=fps, fit=options.fit):
            yield from_uint8((chunk[:1] if animates else chunk)[None], sampler.device)
            if animates:
                return

    def make() -> Iterator[Frames]:
        said = None if told is None else torch.tensor([told], device=sampler.device)
        for before, after in aligned(sampler, tensors(), replace(options, seed=seed), length, said):
            if observe is not None:
                observe(before, after)
            frames = to_uint8(after)[0]
            yield tile([to_uint8(before)[0], frames], columns=2) if options.beside else frames

    return Clip(make, length, fps, conversion_metadata(info, source, options.seed), sources=(source.path,))


THICKER = 2.0
"""A volume whose slices lie so many times as far apart as a model's is what the source `slices` is made like."""


def convert_volume(
    sampler: Converts,
    info: ModelInfo,
    path: Path,
    options: ConversionOptions,
    observe: FrameObserver | None = None,
) -> Clip:
    """Turn a volume, a NIfTI file or a folder of DICOM slices, into another, as a whole, in 16 bits.

    It is brought to the model's spacing, height, width and window first. For a translator of thick slices into thin
    ones, a volume of thick slices is taken as it is.

    Raises:
        DatasetError: there is no volume, or there are several.
        MediaError: its values have another unit than the model's.
    """
    assert info.volume is not None
    scale, found = info.volume, read_volume(path)
    if found.unit and scale.unit and found.unit != scale.unit:
        raise MediaError(
            f'"{path}" has values in {found.unit}, and {info.name} knows {scale.unit}', "give a volume of its kind"
        )
    values = resampled(found.values, found.spacing, scale.spacing)
    levels = scale.levels(centred(values, sampler.clip.height, sampler.clip.width, scale.window[0]))
    thick = info.config.task.source == "slices" and found.spacing[0] > THICKER * scale.spacing[0]
    options = replace(options, as_is=options.as_is or thick or bool(info.config.guides), seed=_seeds(options.seed)[0])

    def made() -> Iterator[Tensor]:
        source = from_uint8(levels[None, ..., None], sampler.device)  # T H W -> 1 1 T H W
        for before, after in aligned(sampler, iter([source]), options, None):
            if observe is not None:
                observe(before, after)
            yield after

    about = {
        "made_with": f"footage {__version__}",
        "model": info.name,
        "weights_sha256": info.weights_sha256,
        "seed": options.seed,
        "source": "a volume",  # its name may be a patient's
    }

    def shown() -> Iterator[Frames]:
        return (to_uint8(after)[0] for after in made())

    def deep() -> Iterator[Levels]:
        return (to_uint16(after)[0] for after in made())

    return Clip(shown, len(levels), info.fps, about, deep=deep, volume=scale)


def aligned(
    sampler: Converts,
    tensors: Iterator[Tensor],
    options: ConversionOptions,
    length: int | None,
    told: Tensor | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the source and its conversion, frame for frame; a picture comes again and again."""
    waiting: deque[Tensor] = deque()

    def sources() -> Iterator[Tensor]:
        for chunk in tensors:
            waiting.append(chunk)
            yield chunk if options.as_is else sampler.sources(chunk)

    done = 0
    for after in sampler.convert(sources(), options.seed, told):
        if length is not None:
            after = after[:, :, : length - done]
            done += after.shape[2]
            before = waiting[0].expand(-1, -1, after.shape[2], -1, -1)
            yield match_channels(before, after.shape[1]), after
            if done >= length:
                return
            continue
        held = torch.cat(list(waiting), dim=2)
        waiting.clear()
        count = after.shape[2]
        if held.shape[2] > count:
            waiting.append(held[:, :, count:])
        yield match_channels(held[:, :, :count], after.shape[1]), after


def interpolate(sampler: Encodes, info: ModelInfo, a: Footage, b: Footage, steps: int) -> list[Clip]:
    """Return clips on the way from one clip to another, in a model's latent space, both ends included.

    Each is made when it is looked at.

    Raises:
        ConfigError: there are fewer than two steps.
        MediaError: a clip cannot be read, or is too short.
    """
    if not 2 <= steps <= 1000:
        raise ConfigError(f"steps is {steps}", "give 2 to 1000")
    height, width, fps = given_as(info, a)
    shape = unlimited(sampler.clip.frames, height, width, sampler.clip.channels)
    first, last = (read_window(source, shape, fps) for source in (a, b))
    about = conversion_metadata(info, a, 0) | {"to_source": b.path.name, "steps": steps}

    def clip_at(number: int) -> Clip:
        def make() -> Iterator[Frames]:
            for clip in sampler.interpolate(first, last, [number / (steps - 1)]):
                yield to_uint8(clip[None])[0]

        return Clip(make, first.shape[2], fps, about | {"step": number}, sources=(a.path, b.path))

    return [clip_at(number) for number in range(steps)]


def embed(sampler: Encodes, info: ModelInfo, source: Footage) -> npt.NDArray[np.float32]:
    """Return a clip's place in a model's latent space, (D,): the mean over its windows of the model's length.

    Raises:
        MediaError: it cannot be read, or is too short.
    """
    clip, (height, width, fps) = sampler.clip, given_as(info, source)
    total: Tensor | None = None
    frames = count = 0
    held = np.empty((0, height, width, clip.channels), np.uint8)
    for chunk in source.chunks(height=height, width=width, channels=clip.channels, fps=fps):
        frames, held = frames + len(chunk), np.concatenate([held, chunk])
        while len(held) >= clip.frames:
            window, held = held[: clip.frames], held[clip.frames :]
            code = sampler.embed(from_uint8(window[None], sampler.device))[0].float().cpu()
            total, count = code if total is None else total + code, count + 1
    _check_length(source, frames, clip.frames, fps)
    assert total is not None
    return (total / count).numpy()
