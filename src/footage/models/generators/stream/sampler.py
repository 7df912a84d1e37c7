"""The sampler of the stream generator: videos that begin anywhere, at any rate, in loops, from one seed to another.

A frame is made from numbers that are functions of the seed and of time
(`footage.models.generators.stream.noise`), in float64: so it
is the same whether the frames before it were made or not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from footage.config import ClipConfig
from footage.errors import ConfigError
from footage.models.base import Graph, RunGraph
from footage.models.generators.samplers import (
    SeedSampler,
    between,
    draw_ends,
    heard_codes,
    labels_on_the_way,
    previewed,
    shifts,
)
from footage.models.generators.stream.network import Painted, StreamGenerator
from footage.models.generators.stream.noise import Floats, NoiseBridge, NoisePath, step_forward
from footage.models.reactions import Reaction
from footage.models.requests import TimeMapping, VideoRequest, loop_frames

Numbers = npt.NDArray[np.int64]
"""Frames of a video, counted from its first."""

TICK = 2.0**-20
"""Times are multiples of this, in frames, so that every sum that leads to a time gives the same one."""
DRIFT = 2**63
"""The kind of the paths on which content wanders; those of motion are the numbers of their shots."""
BARS = 2**62
"""The kind before that of the first motion which changes with the bars of a sound."""
REHEARSED = 4
"""Videos, and frames of each, by which exported graphs are judged."""


def times(mapping: TimeMapping, numbers: Numbers, react: Reaction | None = None) -> Floats:
    """Return the model's time at frames of a video, (N,); in a loop, the time since its beginning."""
    if react is not None and react.on_beat:
        gone = react.seconds(numbers, react.bars(mapping)) * react.fps * mapping.rate
        return _ticked(gone if mapping.loop else mapping.start + gone)
    if mapping.loop:
        length = loop_frames(mapping)
        return _ticked((numbers % length).astype(np.float64) * (mapping.loop / length))
    return _ticked(mapping.start + numbers.astype(np.float64) * mapping.rate)


def _ticked(times: Floats) -> Floats:
    ticked: Floats = np.round(times / TICK) * TICK
    return ticked


def _tick(time: float) -> float:
    return float(_ticked(np.array(time)))


def window(shot: int, frames: int, seed: int) -> TimeMapping:
    """Return a mapping that begins as training clips of `frames` frames do: anywhere in a shot."""
    rng = np.random.Generator(np.random.Philox(key=np.array([seed, DRIFT + 1], dtype=np.uint64)))
    return TimeMapping(start=float(rng.integers(max(1, shot - frames + 1)))) if shot else TimeMapping()


def check(request: VideoRequest, shot: int) -> None:
    """Refuse a request whose parts do not go together.

    Raises:
        ConfigError: they do not.
    """
    mapping, changes = request.time, request.to_seed is not None or request.to_label is not None
    if mapping.between:
        if request.to_seed is None:
            raise ConfigError("between is asked for, and there is no seed to end with", "give to_seed")
        if request.frames < 2:
            raise ConfigError(f"frames is {request.frames}, and between needs two ends", "give at least 2")
    moved = request.react is not None and request.react.link("motion-seed") is not None
    for asked, name in ((mapping.between, "between"), (bool(mapping.loop), "loop"), (moved, "beat:motion-seed")):
        if asked and shot:
            remedy = f"leave {name} out, or train with --net.shot 0 on clips that go on"
            raise ConfigError(f"{name} is asked for, and the model's shots end after {shot} frames", remedy)
    for first, second, says in (
        (mapping.loop, changes or mapping.between, "a loop comes back, and a video that changes does not"),
        (mapping.drift, request.to_seed is not None, "content wanders by itself, or changes into that of another seed"),
        (mapping.between, mapping.start, "motion between two seeds begins where the first one begins"),
        (mapping.between, mapping.motion_seed is not None, "motion between two seeds is that of these seeds"),
    ):
        if first and second:
            raise ConfigError(says, "leave one of the two out")


class _Motion:
    """The motion of one video: at its frames, the numbers of a noise bank, whose turns (K,) are radians a frame."""

    def __init__(self, rates: tuple[float, ...], turns: Floats, request: VideoRequest, shot: int) -> None:
        self.time, self.rates, self.turns, self.shot = request.time, rates, turns, shot
        self.react = request.react
        self.seed = request.seed if request.time.motion_seed is None else request.time.motion_seed
        self.path, self.number = NoisePath(rates, self.seed), 0
        self.paths: dict[int, NoisePath] = {}
        self.bridge: NoiseBridge | None = None
        mapping = self.time
        if mapping.loop:
            self.begin = _tick(mapping.start)
            state = self.path.states(np.array([self.begin]))[0]
            self.bridge = NoiseBridge(self.path, state, state, mapping.loop, self.begin)
        elif mapping.between:
            assert request.to_seed is not None
            self.after, span = NoisePath(rates, request.to_seed), _tick((request.frames - 1) * mapping.rate)
            first, last = (path.states(np.zeros(1))[0] for path in (self.path, self.after))
            last = turned(last.swapaxes(1, 2), -turns[:, None] * span).swapaxes(1, 2)
            self.bridge = NoiseBridge(self.path, first, last, span)

    def at(self, numbers: Numbers) -> Floats:
        """Return the numbers at frames of the video, (N, 2 K)."""
        when, mapping = times(self.time, numbers, self.react), self.time
        values = np.empty((len(when), len(self.rates), 2))
        motions = None if self.react is None else self.react.motions(numbers)
        if mapping.loop:
            assert self.bridge is not None
            whole = np.round(self.turns * mapping.loop / (2 * math.pi)) * (2 * math.pi / mapping.loop)
            values = turned(self.bridge.states(when)[..., 0], self.begin * self.turns + when[:, None] * whole)
        elif mapping.between:  # the bridge, and from its end on the path of the second seed
            assert self.bridge is not None
            there = when >= self.bridge.frames
            since = when[there] - self.bridge.frames
            values[~there] = turned(self.bridge.states(when[~there])[..., 0], when[~there, None] * self.turns)
            values[there] = turned(self.after.states(since)[..., 0], since[:, None] * self.turns)
        elif motions is not None:  # each bar has a path of its own
            values = self._changing(when, *motions)
        elif self.shot:  # each shot has a path of its own
            shots = (when // self.shot).astype(np.int64)
            for number in np.unique(shots).tolist():
                if number != self.number:
                    self.path, self.number = NoisePath(self.rates, self.seed, kind=number), number
                here = shots == number
                since = when[here] - number * self.shot
                values[here] = turned(self.path.states(since)[..., 0], since[:, None] * self.turns)
        else:
            values = turned(self.path.states(when)[..., 0], when[:, None] * self.turns)
        strength = 1.0 if self.react is None else self.react.strength(numbers)[:, None]
        return values.reshape(len(numbers), -1) * (mapping.strength * strength)  # N K 2 -> N 2K

    def _changing(self, when: Floats, motions: Numbers, become: Floats) -> Floats:
        """Return values (N, K, 2) at times of paths that become one another: cos(a) of the one, sin(a) of the next."""
        values = np.zeros((len(when), len(self.rates), 2))
        angle = become * math.pi / 2
        for shares, numbers in ((np.where(become < 1, np.cos(angle), 0), motions - 1), (np.sin(angle), motions)):
            for number in np.unique(numbers[shares > 0]).tolist():
                if number and number not in self.paths:
                    self.paths = {kept: path for kept, path in self.paths.items() if kept >= number - 1}
                    self.paths[number] = NoisePath(self.rates, self.seed, kind=BARS + number)
                here = (numbers == number) & (shares > 0)
                states = (self.paths[number] if number else self.path).states(when[here])
                values[here] += shares[here, None, None] * turned(states[..., 0], when[here, None] * self.turns)
        return values


def turned(values: Floats, angles: Floats) -> Floats:
    """Turn pairs of numbers (..., 2) by angles (...)."""
    cos, sin = np.cos(angles), np.sin(angles)
    a, b = values[..., 0], values[..., 1]
    return np.stack([a * cos - b * sin, a * sin + b * cos], axis=-1)


class _Drift:
    """Content that wanders: at frame 0 of the model's time it is the seed's, (c,), and its distribution stays."""

    def __init__(self, begin: Tensor, request: VideoRequest) -> None:
        self.time, self.react = request.time, request.react
        rates = (math.sqrt(3) / self.time.drift,)
        path = NoisePath(rates, request.seed, len(begin), DRIFT, begin.double().numpy()[None])
        self.path: NoisePath | NoiseBridge = path
        if self.time.loop:
            start = _tick(self.time.start)
            state = path.states(np.array([start]))[0]
            self.path = NoiseBridge(path, state, state, self.time.loop, start)

    def at(self, numbers: Numbers) -> Tensor:
        """Return the content at frames of the video, (N, c)."""
        when = times(self.time, numbers)
        if self.react is not None and self.react.link("drift") is not None:
            when = _ticked(self.react.drifted(numbers) * self.react.fps * self.time.rate)
        return torch.from_numpy(self.path.states(when)[:, 0, :, 0]).float()


class _Frames(NamedTuple):
    """What some frames of several videos are made from."""

    content: Tensor
    """(B, T, c)."""
    motion: Tensor
    """(B, T, 2 K)."""
    label: Tensor | None
    """Weights over labels, (B, T, L)."""
    clock: Tensor | None
    """Time in the shot, (B, T)."""


class _Videos:
    """Several videos, one for each request: what their frames are made from, wherever one looks."""

    def __init__(self, generator: StreamGenerator, requests: Sequence[VideoRequest], shot: int) -> None:
        self.requests, self.shot = requests, shot
        size = generator.noise(1)["content"]
        self.shift = shifts(generator, requests, *size)  # B c
        _, self.start, self.end = draw_ends(requests, *size)  # B c each
        self.labels = labels_on_the_way(requests)
        changes = ((request.to_seed, request.to_label, request.time.drift or None) for request in requests)
        self.heard = [heard_codes(generator, request, z) for request, z in zip(requests, self.start, strict=True)]
        self.still = all(part is None for change in changes for part in change) and not any(self.heard)
        turns = generator.bank.turns.detach().double().cpu().numpy()
        self.motions = [_Motion(generator.bank.rates, turns, request, shot) for request in requests]
        self.drifts = [
            _Drift(z, request) if request.time.drift else None for z, request in zip(self.start, requests, strict=True)
        ]

    def at(self, numbers: Numbers) -> _Frames:
        lengths = torch.tensor([max(1, request.frames - 1) for request in self.requests], dtype=torch.float64)
        place = (torch.from_numpy(numbers) / lengths[:, None]).clamp(max=1).float().unsqueeze(2)  # B T 1
        motion = torch.from_numpy(np.stack([motion.at(numbers) for motion in self.motions])).float()
        clock = None
        if self.shot:
            whens = np.stack([times(request.time, numbers, request.react) for request in self.requests])
            clock = torch.from_numpy(whens % self.shot).float()
        contents: list[Tensor] = []
        for request, drift, heard, start, end, at in zip(
            self.requests, self.drifts, self.heard, self.start, self.end, place, strict=True
        ):
            if heard is not None and heard.mixes:
                content = heard.content(numbers)
            elif drift is not None:
                content = drift.at(numbers)  # T c
            elif request.to_seed is not None:
                content = torch.where(at < 1, between(start, end, at), end)
            else:
                content = start.expand(len(numbers), -1)
            content = content * request.time.truncation
            contents.append(content if heard is None else content + heard.shift(numbers))
        return _Frames(torch.stack(contents) + self.shift[:, None], motion, self.labels(place), clock)


class StreamSampler(SeedSampler):
    """Videos without end, from any time on; see `footage.models.base.Streams`."""

    endless = True

    def __init__(self, clip: ClipConfig, generator: StreamGenerator) -> None:
        super().__init__(clip, generator, "content")
        self.generator, self.shot = generator, generator.net.shot

    def segments(self, requests: Sequence[VideoRequest], chunk: int | None = None) -> Iterator[Tensor]:
        """Yield (B, C, T, H, W) for ever, of `chunk` frames each; None for as many as in a training clip."""
        for request in requests:
            check(request, self.shot)
        videos, count, done = _Videos(self.generator, requests, self.shot), chunk or self.hop, 0
        painted: Painted | None = None
        while True:
            content, motion, label, clock = (
                None if part is None else part.to(self.device) for part in videos.at(np.arange(done, done + count))
            )
            assert content is not None and motion is not None
            with torch.inference_mode():
                if videos.still:  # content and label stay: what they decide is made once
                    content, label = content[:, 0], None if label is None else label[:, 0]
                if painted is None or not videos.still:
                    painted = self.generator.paint(content, label, count)
                clips = self.generator.animate(painted, motion, label, clock).float().clamp(-1, 1)
            yield clips  # outside of the block: it would hold for the caller too
            done += count

    def graphs(self) -> list[Graph]:
        """Return `frames` from all that decides one; `paint` and `animate` for a video whose content stays; `move`."""
        generator, names = self.generator, ["label"] * bool(self.classes) + ["clock"] * bool(self.shot)

        def rest(values: Sequence[Tensor]) -> tuple[Tensor | None, Tensor | None]:
            given = dict(zip(names, values, strict=True))
            return given.get("label"), given["clock"] if self.shot else None

        def frames(content: Tensor, motion: Tensor, *others: Tensor) -> Tensor:
            label, clock = rest(others)
            clips = generator.frames(content, motion[:, None], label, None if clock is None else clock[:, None])
            return clips.float().clamp(-1, 1)[:, :, 0]

        def paint(content: Tensor, *label: Tensor) -> tuple[Tensor, ...]:
            return tuple(generator.paint(content, label[0] if label else None, 1))

        def animate(style: Tensor, canvas: Tensor, motion: Tensor, *others: Tensor) -> Tensor:
            label, clock = rest(others)
            clock = None if clock is None else clock[None]
            clips = generator.animate(Painted(style, canvas), motion[None], label, clock)
            return clips.float().clamp(-1, 1)[0].transpose(0, 1)

        forward, root = (torch.from_numpy(part).float() for part in step_forward(generator.bank.rates, 1.0))

        def move(state: Tensor, angle: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            a, b = state[:, 0, 0], state[:, 1, 0]
            cos, sin = torch.cos(angle), torch.sin(angle)
            motion = torch.stack([a * cos - b * sin, a * sin + b * cos], dim=1).flatten()
            after = state @ forward.mT + noise @ root.mT
            turned = angle + generator.bank.turns
            return motion, after, turned - 2 * math.pi * torch.floor(turned / (2 * math.pi))

        many, shape = 3, (len(generator.bank.rates), 2, 2)
        clock = {"clock": torch.arange(many).float()} if self.shot else {}
        content, motion = torch.randn(many, self.sliders), torch.randn(many, generator.bank.size)
        label = self.label_example(many)
        one = {name: value[:1] for name, value in label.items()}
        with torch.no_grad():
            style, canvas = generator.paint(content[:1], one.get("label"), 1)
        about = (
            "content: standard normal, the same for a whole video; motion: of `move`, a row a frame; "
            f"label: weights over labels; clock: frames since a shot began, of {self.shot}. (N, C, H, W) in [-1, 1]."
        )
        inputs = {"content": content, "motion": motion, **label, **clock}
        still = {"style": style, "canvas": canvas, "motion": motion, **one, **clock}
        moved = {"state": torch.randn(shape), "angle": torch.zeros(shape[0]), "noise": torch.randn(shape)}
        every = f"Any number of frames of one video, from what `paint` made. {about}"
        next_one = (
            "A frame's motion, and the state of the next one. state: standard normal at first; angle: zeros at "
            "first; noise: standard normal, anew each time. motion may be made weaker or stronger by a factor."
        )
        first, along = {"content": content[:1], **one}, dict.fromkeys(("motion", *clock), (0,))
        after = ("motion", "state_after", "angle_after")
        once = "What stays in a video: once for each content and label."
        return [
            Graph("frames", about, generator, frames, inputs, ("frames",), dict.fromkeys(inputs, (0,))),
            Graph("paint", once, generator, paint, first, ("style", "canvas"), {}),
            Graph("animate", every, generator, animate, still, ("frames",), along),
            Graph("move", next_one, generator, move, moved, after, {}, exact=True),
        ]

    def rehearse(self, run: RunGraph, clips: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
        shape, labels = (len(self.generator.bank.rates), 2, 2), self.label_example(REHEARSED)
        clock = {"clock": torch.arange(REHEARSED).float()} if self.shot else {}
        for row in range(REHEARSED):
            label = {name: value[row : row + 1] for name, value in labels.items()}
            style, canvas = run("paint", content=torch.randn(1, self.sliders), **label)
            state, angle, rows = torch.randn(shape), torch.zeros(shape[0]), []
            for _ in range(REHEARSED):
                motion, state, angle = run("move", state=state, angle=angle, noise=torch.randn(shape))
                rows.append(motion)
            yield run("animate", style=style, canvas=canvas, motion=torch.stack(rows), **label, **clock)[0], None

    def previewed(self, count: int, labels: Tensor | None) -> list[VideoRequest]:
        """Return the requests of a preview, each with a stretch that begins as training clips do."""
        requests = previewed(count, labels, self.classes)
        return [replace(request, time=window(self.shot, self.clip.frames, request.seed)) for request in requests]

    def preview(self, reals: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        return {"sample": next(self.segments(self.previewed(len(reals), labels)))}
