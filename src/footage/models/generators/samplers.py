"""Samplers of generators, of fixed length and rolling on for ever; walks through latent space; latent sliders.

Sliders are directions of a generator's code along which its clips change most, found without training by closed-form
factorisation (SeFa, Shen and Zhou 2021, eq. 5): with A the weights of the linear maps that a code enters, one below the
other, the directions n of unit length with the largest |A n| are the eigenvectors of A^T A with the largest
eigenvalues. A code is moved by z' = z + sum of v_k n_k, where v_k, in standard deviations, is the value of slider k.
The length of z' is not brought back to that of z: each slider would then move along all the others.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from footage.config import ClipConfig
from footage.models.base import Graph, RunGraph
from footage.models.generators.recurrent.network import RecurrentGenerator
from footage.models.layers import Generator
from footage.models.reactions import Numbers, mixed
from footage.models.requests import VideoRequest

WALK = 0.8
"""Correlation of the latent codes of two successive segments of a roll-out."""
KIND = 2**64 - 1
"""What tells these draws of a large seed from others that NumPy makes of it."""
TONES = 2**64 - 2
"""What tells the codes that pitch classes stand for from others of a seed."""

Draws = Callable[..., Tensor]
"""Gives its next standard normal numbers, of the shape that is asked for."""


def overlap(frames: int) -> int:
    """Frames over which two neighbouring segments of `frames` are blended: a quarter."""
    return max(1, frames // 4)


def between(start: Tensor, end: Tensor, place: Tensor) -> Tensor:
    """Return the codes at places 0 to 1 of the way; they stay standard normal: cos(a) start + sin(a) end.

    Between two codes that are the same there is no way to go.
    """
    angle = place * math.pi / 2
    same = (start == end).all(-1, keepdim=True)
    return torch.where(same, start, torch.cos(angle) * start + torch.sin(angle) * end)


def draws_of(seed: int) -> Draws:
    """Return a source of random numbers for a seed below 2^63."""
    if seed < 2**32:  # torch's source on the CPU forgets all but 32 bits of its seed
        return partial(torch.randn, generator=torch.Generator().manual_seed(seed))
    rng = np.random.Generator(np.random.Philox(key=np.array([seed, KIND], dtype=np.uint64)))
    return lambda *shape: torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))


def draw(seeds: Sequence[int], *shape: int) -> tuple[list[Draws], Tensor]:
    """Return a source of random numbers for each seed, and its first draw, (B, *shape)."""
    sources = [draws_of(seed) for seed in seeds]
    return sources, more(sources, *shape)


def draw_ends(requests: Sequence[VideoRequest], *shape: int) -> tuple[list[Draws], Tensor, Tensor]:
    """Draw for the seeds of requests, as `draw` does, and for those that they change into, (B, *shape) each."""
    sources, start = draw([request.seed for request in requests], *shape)
    return sources, start, draw(end_seeds(requests), *shape)[1]


def end_seeds(requests: Sequence[VideoRequest]) -> list[int]:
    """Return the seed that each request changes into; where it stays, its own."""
    return [request.seed if request.to_seed is None else request.to_seed for request in requests]


def more(sources: Sequence[Draws], *shape: int) -> Tensor:
    """Return the next standard normal numbers of each source, (B, *shape)."""
    return torch.stack([source(*shape) for source in sources])


def labels_on_the_way(requests: Sequence[VideoRequest]) -> Callable[[Tensor], Tensor | None]:
    """Return the weights over labels at places (B, 1) or (B, T, 1) of the way."""
    if requests[0].label is None:
        return lambda place: None
    start = torch.tensor([request.label for request in requests])  # B K
    end = torch.tensor([request.to_label or request.label for request in requests])

    def at(place: Tensor) -> Tensor:
        a, b = (start, end) if place.ndim == 2 else (start.unsqueeze(1), end.unsqueeze(1))  # B K or B 1 K
        return a * (1 - place) + b * place

    return at


class HeardCodes:
    """The codes (c,) of a video that follows a sound, at its frames: what they are, and how sliders move them.

    Args:
        generator: whose entries give the directions of sliders; None for one without sliders.
        request: it has a reaction.
        own: the code of its seed.
    """

    def __init__(self, generator: Generator | None, request: VideoRequest, own: Tensor) -> None:
        assert request.react is not None
        self.react, self.own = request.react, own.double().numpy()
        self.mixes = self.react.link("content") is not None
        """Whether they are mixtures by what pitch classes are heard."""
        rng = np.random.Generator(np.random.Philox(key=np.array([request.seed, TONES], dtype=np.uint64)))
        self.anchors = rng.standard_normal((12, len(own)))
        self.rows = np.zeros((0, len(own)))
        if self.moves and generator is not None:
            with torch.no_grad():
                self.rows = directions(generator.entries()).double().numpy()

    @property
    def moves(self) -> bool:
        """Whether sliders are moved."""
        return any(link.slider for link in self.react.links)

    def content(self, numbers: Numbers) -> Tensor:
        """Return the codes at frames, (N, c)."""
        tones = self.react.tones(numbers)
        assert tones is not None
        return torch.from_numpy(mixed(tones, self.anchors, self.own)).float()

    def shift(self, numbers: Numbers) -> Tensor:
        """Return what sliders add at frames, (N, c)."""
        moved = np.zeros((len(numbers), len(self.own)))
        for number, values in self.react.sliders(numbers).items():
            moved += values[:, None] * self.rows[number - 1]
        return torch.from_numpy(moved).float()


def heard_codes(generator: Generator | None, request: VideoRequest, own: Tensor) -> HeardCodes | None:
    """Return the codes of a video whose content follows a sound; None where it does not."""
    if request.react is None:
        return None
    codes = HeardCodes(generator, request, own)
    return codes if codes.mixes or codes.moves else None


def walk(
    requests: Sequence[VideoRequest], size: int, *, hop: int, length: int, generator: Generator | None = None
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield codes (B, size) and weights over labels (B, K) of successive clips, each `hop` frames after the last.

    The codes walk as z' = w z + sqrt(1 - w^2) e, which stays standard normal; or, where a request says into what, they
    go straight there, by its last clip of `length` frames. With sound they go as far as it moves them, and are those
    that are heard in the middle of their clips. Sliders are those of the generator, where there is one.
    """
    shift = torch.zeros(len(requests), size) if generator is None else shifts(generator, requests, size)
    rngs, start, end = draw_ends(requests, size)
    walking = start
    goes = torch.tensor([[request.to_seed is not None] for request in requests])
    labels = labels_on_the_way(requests)
    heard = [heard_codes(generator, request, code) for request, code in zip(requests, start, strict=True)]
    spans = [max(1, request.frames - length) for request in requests]
    number = 0
    while True:
        place = torch.tensor([[min(1.0, number * hop / span)] for span in spans])
        middle = np.array([number * hop + length // 2])
        codes = torch.where(goes, between(start, end, place), walking) + shift
        for row, own in enumerate(heard):
            if own is not None:
                codes[row] = own.content(middle)[0] + shift[row] if own.mixes else codes[row]
                codes[row] += own.shift(middle)[0]
        yield codes, labels(place)
        paces = [1.0 if r.react is None else r.react.pace(middle, middle + hop) for r in requests]
        kept = torch.tensor([[WALK**pace] for pace in paces])
        walking = kept * walking + (1 - kept**2) ** 0.5 * more(rngs, size)
        number += 1


def previewed(number: int, labels: Tensor | None, classes: int) -> list[VideoRequest]:
    """Return the requests of a preview: seeds 0, 1, 2 and so on, with the labels of the real clips beside them.

    Labels are numbers (B,), or weights (B, classes).
    """
    if labels is None and not classes:
        return [VideoRequest(seed) for seed in range(number)]
    if labels is None:  # of a model that is told captions alone: the empty one
        labels = torch.zeros(number, classes)
    shares = labels if labels.is_floating_point() else one_hot(labels, classes)
    return [VideoRequest(seed, tuple(share)) for seed, share in enumerate(shares.double().tolist())]


def first_frames(chunks: Iterable[Tensor], frames: int) -> Tensor:
    """Put chunks (B, C, t, H, W) together until there are that many frames, (B, C, frames, H, W)."""
    parts: list[Tensor] = []
    for chunk in chunks:
        parts.append(chunk)
        if sum(part.shape[2] for part in parts) >= frames:
            break
    return torch.cat(parts, dim=2)[:, :, :frames]


class SeedSampler(ABC):
    """Base of the samplers of generators, which make clips from seeds; `code` names the noise that stays for a clip."""

    given = 0

    def __init__(self, clip: ClipConfig, generator: Generator, code: str) -> None:
        self.clip, self.hop = clip, clip.frames
        self.classes = 0 if generator.table is None else len(generator.table.weight)
        (self.sliders,) = generator.eval().noise(1)[code]
        self.device = next(generator.parameters()).device

    def label_example(self, count: int) -> dict[str, Tensor]:
        """Return weights over labels as a graph's input, (count, K); nothing for an unconditional model."""
        return {"label": one_hot(torch.arange(count) % self.classes, self.classes).float()} if self.classes else {}

    @abstractmethod
    def segments(self, requests: Sequence[VideoRequest]) -> Iterator[Tensor]:
        """Yield segments; see `footage.models.base.Generates`."""

    def preview(self, reals: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        return {"sample": next(self.segments(previewed(len(reals), labels, self.classes)))}


class FixedSampler(SeedSampler):
    """Clips from a generator of fixed length; see `footage.models.base.Generates`."""

    endless = False

    def __init__(self, clip: ClipConfig, generator: Generator) -> None:
        super().__init__(clip, generator, "z")
        self.generator, self.hop = generator, clip.frames - overlap(clip.frames)

    def segments(self, requests: Sequence[VideoRequest]) -> Iterator[Tensor]:
        codes = walk(requests, self.sliders, hop=self.hop, length=self.clip.frames, generator=self.generator)
        for z, label in codes:
            with torch.inference_mode():
                noise = {"z": z.to(self.device)}
                clips = self.generator(noise, None if label is None else label.to(self.device)).clips
                clips = clips.float().clamp(-1, 1)
            yield clips  # outside of the block: it would hold for the caller too

    def graphs(self) -> list[Graph]:
        def clips(z: Tensor, label: Tensor | None = None) -> Tensor:
            made: Tensor = self.generator({"z": z}, label).clips.float().clamp(-1, 1)
            return made

        inputs = {"z": torch.randn(2, self.sliders)} | self.label_example(2)
        about = "z: standard normal; label: weights over labels, a row each. clips: (B, C, T, H, W) in [-1, 1]."
        return [Graph("clips", about, self.generator, clips, inputs, ("clips",), dict.fromkeys(inputs, (0,)))]

    def rehearse(self, run: RunGraph, clips: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
        yield run("clips", z=torch.randn(4, self.sliders), **self.label_example(4))[0], None


class RollingSampler(SeedSampler):
    """Videos without end from a recurrent generator, in constant memory; see `footage.models.base.Generates`."""

    endless = True

    def __init__(self, clip: ClipConfig, generator: RecurrentGenerator) -> None:
        super().__init__(clip, generator, "content")
        self.generator = generator

    def segments(self, requests: Sequence[VideoRequest]) -> Iterator[Tensor]:
        """Yield (B, C, T, H, W) for ever: the cell's state goes on from one to the next, with fresh noise."""
        shapes, frames = self.generator.noise(self.clip.frames), self.clip.frames
        rngs, start, end = draw_ends(requests, *shapes["content"])
        goes = torch.tensor([request.to_seed is not None for request in requests])[:, None, None]
        labels = labels_on_the_way(requests)
        shift = shifts(self.generator, requests, self.sliders).unsqueeze(1)  # B 1 c
        heard = [heard_codes(self.generator, request, z) for request, z in zip(requests, start, strict=True)]
        state = self.generator.begin(more(rngs, *shapes["start"]).to(self.device))
        done = 0
        while True:
            steps = torch.arange(done, done + frames).expand(len(requests), frames)
            lengths = torch.tensor([max(1, request.frames - 1) for request in requests])
            place = (steps / lengths[:, None]).clamp(max=1).unsqueeze(2)  # B T 1
            content = torch.where(goes, between(start[:, None], end[:, None], place), start[:, None])
            label, motion = labels(place), more(rngs, *shapes["motion"])
            content = content + shift
            numbers = np.arange(done, done + frames)
            for row, (request, own) in enumerate(zip(requests, heard, strict=True)):
                if own is not None:
                    content[row] = own.content(numbers) + shift[row] if own.mixes else content[row]
                    content[row] += own.shift(numbers)
                if request.react is not None:
                    motion[row] *= torch.from_numpy(request.react.strength(numbers)).float()[:, None]
            with torch.inference_mode():
                clips, state = self.generator.roll(
                    content.to(self.device),
                    motion.to(self.device),
                    None if label is None else label.to(self.device),
                    state,
                )
                clips = clips.float().clamp(-1, 1)
            yield clips  # outside of the block: it would hold for the caller too
            done += frames

    def graphs(self) -> list[Graph]:
        generator, frames = self.generator, self.clip.frames
        states = [f"state{number}" for number in range(1 if generator.net.cell == "gru" else 2)]

        def roll(content: Tensor, motion: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
            label, state = (rest[0], rest[1:]) if self.classes else (None, rest)
            clips, after = generator.roll(content, motion, label, state)
            return clips.float().clamp(-1, 1), *after

        shapes = generator.noise(frames)
        inputs = {"content": torch.randn(2, *shapes["content"]), "motion": torch.randn(2, *shapes["motion"])}
        inputs |= self.label_example(2)
        inputs |= dict(zip(states, generator.begin(torch.randn(2, *shapes["start"])), strict=True))
        about = (
            "content: standard normal, the same for a whole video; motion: standard normal, anew for each frame; "
            "state0: standard normal at first, then what came out; state1, where it is there: zeros at first."
        )
        outputs = ("frames", *(f"{name}_after" for name in states))
        lengths = {"content": (0,), "motion": (0,), "label": (0,)} | dict.fromkeys(states, (1,))
        return [Graph("frames", about, generator, roll, inputs, outputs, {n: lengths[n] for n in inputs})]

    def rehearse(self, run: RunGraph, clips: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
        inputs = dict(self.graphs()[0].inputs)
        for _ in range(2):
            frames, *states = run("frames", **inputs | {"motion": torch.randn(inputs["motion"].shape)})
            inputs |= {f"state{number}": state for number, state in enumerate(states)}
            yield frames, None


def directions(entries: Sequence[Tensor]) -> Tensor:
    """Return unit vectors (c, c), a row each, the one that changes most first; its largest number is positive.

    Entries are the weights of the linear maps that the code enters, (n, c) each.
    """
    stacked = torch.cat([weight.double().cpu() for weight in entries])
    _, vectors = torch.linalg.eigh(stacked.T @ stacked)  # eigenvalues grow
    rows = vectors.T.flip(0)
    largest = rows.gather(1, rows.abs().argmax(dim=1, keepdim=True))
    fixed: Tensor = rows * largest.sign()
    return fixed.float()


def shifts(generator: Generator, requests: Sequence[VideoRequest], size: int) -> Tensor:
    """Return what is added to the code of each request, (B, size)."""
    moved = torch.zeros(len(requests), size)
    if not any(request.sliders for request in requests):
        return moved
    with torch.no_grad():
        rows = directions(generator.entries())
    for request, shift in zip(requests, moved, strict=True):
        for number, value in request.sliders:
            shift += value * rows[number - 1]
    return moved
