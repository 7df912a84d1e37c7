"""Clips from a trained model: seeds, labels, roll-outs of any length. Yields uint8 chunks; takes no paths."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from footage.errors import ModelError
from footage.media.geometry import MOST_LEVEL
from footage.media.volumes import Levels
from footage.models.base import Generates, Streams
from footage.models.device import upload
from footage.models.generators.stream.sampler import window
from footage.models.reactions import Reaction
from footage.models.requests import SEED_LIMIT, VideoRequest
from footage.models.text.conditioning import ReadsText

Frames = npt.NDArray[np.uint8]


def to_uint8(clips: Tensor) -> Frames:
    """Turn clips (B, C, T, H, W) in [-1, 1] into uint8 (B, T, H, W, C) on the CPU."""
    levels = clips.add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
    return levels.permute(0, 2, 3, 4, 1).contiguous().cpu().numpy()  # B C T H W -> B T H W C


def to_uint16(clips: Tensor) -> Levels:
    """Turn volumes (B, C, T, H, W) in [-1, 1] into levels uint16 (B, T, H, W, C) on the CPU."""
    levels = clips.float().add(1).mul_(MOST_LEVEL / 2).round_().clamp_(0, MOST_LEVEL)
    return levels.permute(0, 2, 3, 4, 1).contiguous().cpu().numpy().astype(np.uint16)  # B C T H W -> B T H W C


def from_uint8(clips: Frames | Levels, device: torch.device | str = "cpu") -> Tensor:
    """Turn clips uint8 (B, T, H, W, C), or volumes uint16, into (B, C, T, H, W) in [-1, 1] on a device."""
    most = MOST_LEVEL if clips.dtype == np.uint16 else 255
    moved = upload(torch.from_numpy(clips.astype(np.int32) if most == MOST_LEVEL else clips), device)
    # Arithmetic first, while the memory is in order: four times as fast as the other way round.
    return moved.float().div_(most / 2).sub_(1).permute(0, 4, 1, 2, 3).contiguous()  # B T H W C -> B C T H W


def match_channels(clips: Tensor, channels: int) -> Tensor:
    """Give clips (B, C, T, H, W) another number of channels: each the mean of all; the same number changes nothing."""
    if clips.shape[1] == channels:
        return clips
    return clips.mean(dim=1, keepdim=True).expand(-1, channels, -1, -1, -1)


def draw_label(shares: Sequence[float], seed: int) -> int:
    """Draw a label as often as it stands in the training data, by the clip's seed."""
    rng = np.random.Generator(np.random.Philox(key=[seed % SEED_LIMIT, 0x1ABE1]))
    return min(int(np.searchsorted(np.cumsum(shares), rng.random(), side="right")), len(shares) - 1)


def draw_caption(captions: Sequence[str], seed: int) -> str:
    """Draw one of the captions that a model remembers, by the clip's seed."""
    rng = np.random.Generator(np.random.Philox(key=[seed % SEED_LIMIT, 0x7E87]))
    return captions[int(rng.integers(len(captions)))] if captions else ""


AT_ONCE = 16 * 64 * 64
"""Pixels, of all videos, that a model that streams makes at once: more takes memory, and gains 4% at most on a CPU."""
PICKED = 32
"""Frames that are picked at once where time follows a beat, and a model's frames are no function of time."""
AT_ONCE_GPU = 2**23
"""The same on a GPU, which small chunks leave idle: 9 frames of 1280×720."""


def _bounded(request: VideoRequest) -> VideoRequest:
    """Return a request with seeds as sources of random numbers take them."""
    to_seed = None if request.to_seed is None else request.to_seed % SEED_LIMIT
    return replace(request, seed=request.seed % SEED_LIMIT, to_seed=to_seed)


def stream(sampler: Generates, requests: Sequence[VideoRequest], chunk: int | None = None) -> Iterator[Tensor]:
    """Yield one video for each request, for ever, in chunks (B, C, T, H, W) in [-1, 1], in constant memory.

    `chunk` is how many frames a model that streams is to make at once; None for as many as it was trained on.

    The segments of an endless sampler follow each other as they are. Those of a fixed length are blended over
    `overlap` frames with weights cos^2 and sin^2, while their latent codes walk from one to the next.
    """
    requests = [_bounded(request) for request in requests]
    segments = sampler.segments(requests, chunk) if isinstance(sampler, Streams) else sampler.segments(requests)
    if sampler.endless:
        yield from segments
        return
    shared = sampler.clip.frames - sampler.hop
    ramp = torch.sin(torch.linspace(0, math.pi / 2, shared + 2)[1:-1]).square().view(1, 1, shared, 1, 1)
    tail: Tensor | None = None
    for segment in segments:
        if tail is not None:
            weight = ramp.to(segment.device)
            blended = tail * (1 - weight) + segment[:, :, :shared] * weight
            segment = torch.cat([blended, segment[:, :, shared:]], dim=2)
        tail = segment[:, :, -shared:]
        yield segment[:, :, :-shared]


class NotFinite(ModelError):
    """A model has given numbers that are not finite, which are no picture."""


def render(
    sampler: Generates, requests: Sequence[VideoRequest], frames: int, *, finite: bool = False, deep: bool = False
) -> Iterator[Frames]:
    """Yield chunks uint8 (B, T, H, W, C) of `frames` frames in all, one video for each request; uint16 with `deep`.

    A fixed-length model that is asked for no more than its length gives its clip unblended.

    Raises:
        NotFinite: with `finite`, where a chunk holds a NaN or an infinite number.
    """

    def levels(clips: Tensor) -> Frames:
        if finite and not bool(torch.isfinite(clips).all()):
            problem = f"seed {requests[0].seed} gives numbers that are not finite"
            raise NotFinite(problem, "leave the seed out, or take a model of an earlier time of its training")
        return to_uint16(clips) if deep else to_uint8(clips)  # type: ignore[return-value]

    requests = [_bounded(replace(request, frames=frames)) for request in requests]
    if not sampler.endless and frames <= sampler.clip.frames:
        segment = next(sampler.segments(requests))
        yield levels(segment[:, :, :frames])
        return
    left, chunk_frames = frames, None
    if isinstance(sampler, Streams):  # of no more use than what is wanted, and no faster than what caches hold
        most = AT_ONCE if sampler.device.type == "cpu" else AT_ONCE_GPU
        chunk_frames = max(1, min(frames, most // (sampler.clip.height * sampler.clip.width * len(requests))))
    for chunk in stream(sampler, requests, chunk_frames):
        yield levels(chunk[:, :, :left])
        left -= chunk.shape[2]
        if left <= 0:
            return


def one_hot(label: int, labels: int) -> tuple[float, ...]:
    """Return the weights over labels that stand for a single one."""
    return tuple(float(number == label) for number in range(labels))


def videos(
    sampler: Generates,
    seeds: Sequence[int],
    labels: Sequence[int] | None,
    frames: int,
    texts: Sequence[str] | None = None,
) -> Iterator[Frames]:
    """Yield chunks uint8 (B, T, H, W, C) of `frames` frames in all, one video for each seed, with a label or none.

    Of a model of shots they are windows that begin anywhere in a shot, as training clips do. One that is told what to
    show is given a text for each.
    """
    named: list[tuple[float, ...] | None] = [None] * len(seeds)
    if labels is not None:
        known = sampler.classes - (sampler.text.size if isinstance(sampler, ReadsText) else 0)
        named = [one_hot(label, known) for label in labels]
    if isinstance(sampler, ReadsText):
        vectors = sampler.text.vectors(texts or [""] * len(seeds)).tolist()
        named = [(*(weights or ()), *vector) for weights, vector in zip(named, vectors, strict=True)]
    requests = [VideoRequest(seed, label) for seed, label in zip(seeds, named, strict=True)]
    if isinstance(sampler, Streams):  # what is compared with windows of real clips begins as they do
        requests = [
            replace(request, time=window(sampler.shot, frames, request.seed % SEED_LIMIT)) for request in requests
        ]
    return render(sampler, requests, frames)


def one_volume(sampler: Generates, request: VideoRequest, depth: int) -> Iterator[Levels]:
    """Yield chunks uint16 (T, H, W, C) of one volume of some depth; see `one_video`."""
    for chunk in render(sampler, [request], depth, finite=True, deep=True):
        yield chunk[0]


def one_video(sampler: Generates, request: VideoRequest, frames: int) -> Iterator[Frames]:
    """Yield chunks uint8 (T, H, W, C) of one video. What it shows depends on nothing but the arguments.

    Raises:
        NotFinite: the model has given numbers that are not finite.
    """
    if request.react is None or not request.react.on_beat or isinstance(sampler, Streams):
        for chunk in render(sampler, [request], frames, finite=True):
            yield chunk[0]
        return
    last = int(request.react.picked(np.array([frames - 1]))[0])
    made = (frame for chunk in render(sampler, [request], last + 1, finite=True) for frame in chunk[0])
    picked = on_beat(made, request.react)
    for first in range(0, frames, PICKED):
        yield np.stack(list(itertools.islice(picked, min(PICKED, frames - first))))


def on_beat(frames: Iterator[Frames], react: Reaction) -> Iterator[Frames]:
    """Yield frames (H, W, C), which come at an even pace, as time follows the beat: some twice, others not at all."""
    frame, shown = next(frames), 0
    for first in itertools.count(0, PICKED):
        for number in react.picked(np.arange(first, first + PICKED)).tolist():
            while shown < number:
                following = next(frames, None)
                if following is None:
                    return
                frame, shown = following, shown + 1
            yield frame


def endless_frames(sampler: Generates, request: VideoRequest, chunk: int | None = None) -> Iterator[Frames]:
    """Yield the frames of one video for ever, uint8 (H, W, C) each; for `chunk` see `stream`."""
    made = (frame for clips in stream(sampler, [request], chunk) for frame in to_uint8(clips)[0])
    react = None if isinstance(sampler, Streams) else request.react
    yield from made if react is None or not react.on_beat else on_beat(made, react)
