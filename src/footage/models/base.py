"""The contract of a training method: networks, one training step, a sampler.

The training loop and the samplers know a method through this file alone. `backward` and `frozen` are handed in by an
`Engine`, so that methods never import the training library, and tests pass `PlainEngine`.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from footage.config import ClipConfig, Config
from footage.models.device import upload
from footage.models.requests import VideoRequest


@dataclass(frozen=True)
class CaptionBatch:
    """Captions of clips, one of each clip's own and one of another clip's."""

    content: Tensor
    """What an encoder reads: pieces of words (B, 2, L, G), int64, 0 for none; a frozen one's vectors (B, 2, D)."""
    numbers: Tensor
    """(B, 2), int64: equal captions have equal numbers; -1 where there is none."""


@dataclass(frozen=True)
class Mismatch:
    """What real clips are shown beside that does not belong to them: critics are to tell it from what does."""

    labels: Tensor
    """Weights over labels with another clip's caption, (B, K + D)."""
    there: Tensor
    """(B,), bool: whether there is another caption for this clip."""
    weight: float
    """Of this term in the critics' loss."""


@dataclass(frozen=True)
class PrivateClips:
    """Real clips of which nothing may go on but clipped gradients in noise."""

    clips: Tensor
    """(N, C, T, H, W) as in `Batch`; N is drawn, and may be 0."""
    rng: np.random.Generator
    """Source of the draws that protect them; nobody else may know its key."""


@dataclass
class Batch:
    """What one training step gets."""

    clips: Tensor
    """Real clips, (B, C, T, H, W), float in [-1, 1], on the training device."""
    labels: Tensor | None
    """Class of each clip, (B,), int64, or weights over labels, (B, K); None for an unconditional model."""
    rng: torch.Generator
    """Source of every random draw of the step, on the CPU and the same in every process: each draws for the whole
    batch and takes its part, so that neither the device nor the number of processes changes anything."""
    total: int
    """Clips in this step over all processes."""
    first: int = 0
    """Place of the first of `clips` among them."""
    crops: Tensor | None = None
    """A crop of a real frame beside each clip, (B, C, s, s), where the method learns from them."""
    heldout: tuple[Tensor, Tensor | None] | None = None
    """Now and then, clips and labels that are never trained on, as many as `clips`."""
    captions: CaptionBatch | None = None
    """Captions of the clips, where the model is told them."""
    heldout_captions: CaptionBatch | None = None
    """Those of the held-out clips."""
    mismatch: Mismatch | None = None
    """What does not belong to the clips, where critics are shown it."""
    private: PrivateClips | None = None
    """The real clips of a private training; `clips` are blank then, so that nothing else can come of these."""

    def normal(self, *shape: int) -> Tensor:
        """Draw standard normal numbers for each clip, (B, *shape), on the clips' device."""
        return upload(self.part(torch.randn(self.total, *shape, generator=self.rng)), self.clips.device)

    def uniform(self, *shape: int) -> Tensor:
        """Draw numbers from 0 to 1 for each clip, (B, *shape), on the clips' device."""
        return upload(self.part(torch.rand(self.total, *shape, generator=self.rng)), self.clips.device)

    def part(self, whole: Tensor) -> Tensor:
        """Take this process's part of what was drawn for the whole batch, (total, ...) -> (B, ...)."""
        return whole[self.first : self.first + len(self.clips)]


class Engine(Protocol):
    """What the loop lends to a training step."""

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients of a scalar."""

    def frozen(self, net: nn.Module) -> contextlib.AbstractContextManager[nn.Module]:
        """Give the bare network; within the block its weights get no gradients, and no process waits for any."""

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a tensor over all processes, without gradient."""


class PlainEngine:
    """The engine of a single process without a training library."""

    def backward(self, loss: Tensor) -> None:
        loss.backward()  # type: ignore[no-untyped-call]

    @contextlib.contextmanager
    def frozen(self, net: nn.Module) -> Iterator[nn.Module]:
        net.requires_grad_(False)
        try:
            yield net
        finally:
            net.requires_grad_(True)

    def mean(self, value: Tensor) -> Tensor:
        return value.detach()


class Sampler(Protocol):
    """A trained model, ready to give clips. It holds the averaged weights only.

    What it gives them from is told by what else it is: a `Generates`, a `Predicts`, a `Converts`, or several of them.
    """

    clip: ClipConfig
    """Shape of the clips that it was trained on."""
    device: torch.device
    """Where it computes."""
    given: int
    """Frames at the beginning of what `preview` shows that are real, and are not to be judged; 0 for most."""

    def preview(self, reals: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        """Show what the model does, for real clips (B, C, T, H, W) and their labels (B,).

        Returns:
            What stands beside each other on a sheet, by name, (B, C, T, H, W) in [-1, 1] each. The first is what the
            model has made, and is to be judged; the i-th of generated clips has seed i.
        """


@runtime_checkable
class Generates(Sampler, Protocol):
    """A model that makes clips from nothing but a seed and a label."""

    endless: bool
    """Whether successive segments continue one another without a seam."""
    hop: int
    """Frames from the beginning of a segment to that of the next."""
    classes: int
    """Number of labels that it knows; 0 for an unconditional model."""
    sliders: int
    """Number of latent sliders, the one that changes most first; 0 where no code stays for a whole clip."""

    def segments(self, requests: Sequence[VideoRequest]) -> Iterator[Tensor]:
        """Yield segments (B, C, T, H, W) in [-1, 1] for ever, one row for each request.

        A row depends on its own request only. Where `endless` is false, each segment is a clip by itself, and the next
        one is its neighbour in latent space.
        """


@runtime_checkable
class Streams(Generates, Protocol):
    """A model whose frames are a function of time: it can begin anywhere, go at any rate, and come back in a loop."""

    shot: int
    """Frames of the model's time after which another shot begins; 0 for motion that goes on for ever."""

    def segments(self, requests: Sequence[VideoRequest], chunk: int | None = None) -> Iterator[Tensor]:
        """Yield segments as `Generates` does, of `chunk` frames each, and with regard to each request's `time`."""


@runtime_checkable
class Predicts(Sampler, Protocol):
    """A model that continues clips."""

    past: int
    """Frames that it is given."""
    certain: bool
    """Whether there is one future only; else each seed gives another."""

    def futures(self, past: Tensor, seeds: Sequence[int], told: Tensor | None = None) -> Iterator[Tensor]:
        """Yield the frames that follow `past`, (B, C, P, H, W), for ever, in chunks (B, C, t, H, W) in [-1, 1].

        Row i depends on the i-th past and the i-th seed only, and on the i-th vector of captions, (B, D), where the
        model is told any. Memory is constant.
        """


@runtime_checkable
class Converts(Sampler, Protocol):
    """A model that turns a picture or a clip into another: a translator, or an autoencoder."""

    source: ClipConfig
    """Shape of what it is given; frames is 1 for a picture, out of which a whole clip is made."""

    def convert(self, chunks: Iterable[Tensor], seed: int, told: Tensor | None = None) -> Iterator[Tensor]:
        """Turn a video, chunks (1, C, t, H, W) in [-1, 1], into another, chunk by chunk, in constant memory.

        The result does not depend on how the video is cut into chunks. From a picture (1, C, 1, H, W), frames are made
        for ever, or as many as are asked for. A caption's vector, (1, D), stands beside where the model is told any.
        """

    def sources(self, clips: Tensor) -> Tensor:
        """Return what the model is given in training, for clips (B, C, T, H, W) as they stand in the data."""


@runtime_checkable
class Speaks(Sampler, Protocol):
    """A model that lets a still speak what is heard."""

    def speak(self, stills: Tensor, heard: Iterable[Tensor], seeds: Sequence[int], start: int = 0) -> Iterator[Tensor]:
        """Yield frames (B, C, t, H, W) in [-1, 1], as many as there is sound, chunk by chunk.

        A frame is a function of its row's still and seed, its time, and the sound around it.

        Args:
            stills: pictures (B, C, H, W) in [-1, 1].
            heard: levels around successive frames, (B, t, S, bands) in [-1, 1]; see `footage.media.speech.windows`.
            seeds: of how each figure moves beside its mouth.
            start: number of the first frame.
        """


@runtime_checkable
class Enlarges(Converts, Protocol):
    """A model that makes the frames of a video larger, whatever their size."""

    scale: int
    """How many times as high and wide they become."""
    past: int
    """Frames before the one that is enlarged that are looked at."""

    def enlarge(self, windows: Tensor, tile: int = ..., bf16: bool = ...) -> Tensor:
        """Enlarge the frames of (B, C, T, h, w) that have a whole window: (B, C, t, s h, s w) in [-1, 1]."""

    def stream(self, chunks: Iterable[Tensor], tile: int = ..., bf16: bool = ...) -> Iterator[Tensor]:
        """Yield a video's enlarged frames, as many as there are, for chunks (B, C, t, h, w) in [-1, 1].

        The result does not depend on how the video is cut into chunks.

        Args:
            chunks: the video.
            tile: longest side of what is enlarged at once, in pixels of the small frames.
            bf16: whether the convolutions are made in that precision.
        """


@runtime_checkable
class Encodes(Sampler, Protocol):
    """A model that has a code for every clip."""

    def embed(self, clips: Tensor) -> Tensor:
        """Return a short vector for each clip (B, C, T, H, W): (B, D). Clips that look alike have vectors alike."""

    def interpolate(self, a: Tensor, b: Tensor, places: Iterable[float]) -> Iterator[Tensor]:
        """Yield clips (C, T, H, W) in [-1, 1] on the straight line between the codes of two clips, one at a time.

        Args:
            a: the first, (1, C, T, H, W), as its code is decoded.
            b: the last, the same shape.
            places: of the clips on the line, from 0, the first, to 1, the last.
        """


@dataclass(frozen=True)
class Graph:
    """A part of a model as a function of tensors alone, which other programs can run: see `footage export`."""

    name: str
    about: str
    """What it makes of what, for who writes such a program."""
    net: nn.Module
    """Whose weights it has."""
    function: Callable[..., Tensor | tuple[Tensor, ...]]
    inputs: dict[str, Tensor]
    """Examples of what it is given, in the order of its arguments, by name."""
    outputs: tuple[str, ...]
    lengths: Mapping[str, tuple[int, ...]]
    """Axes of inputs that may have any length; the first of each is its batch's, which is the same for all of them."""
    multiple: int = 1
    """Of which these lengths have to be; that of the batch may be any."""
    exact: bool = False
    """Whether its numbers stay in fp32 at every precision: an error in a small step would add up for ever."""


class RunGraph(Protocol):
    """Something that runs graphs: the model itself, or another runtime."""

    def __call__(self, name: str, /, **inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of a graph."""


@runtime_checkable
class Exports(Sampler, Protocol):
    """A model that can be written as graphs."""

    def graphs(self) -> list[Graph]:
        """Return all that is needed to run it: where it remembers, with its state as inputs and outputs."""

    def rehearse(self, run: RunGraph, clips: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Run the graphs one after another, as a program without footage does, from the first input to pictures.

        Args:
            run: runs a graph.
            clips: real ones, (B, C, T, H, W) in [-1, 1], as the model learns from. Those without inputs ignore them.

        Yields:
            What is made, in [-1, 1], and what it should be, of the same shape; None where there is no such truth.
        """


class Method(Protocol):
    """A way to train. One object holds the networks and their optimisers; `step` is one update of them."""

    nets: nn.ModuleDict
    """Everything that is trained. The loop may replace entries by wrapped ones before `build_optimizers`."""
    averages: dict[str, MovingAverage]
    """Averaged networks: what sampling needs, by the names of `sampling_nets`."""
    optimizers: dict[str, Optimizer]
    """Filled by `build_optimizers`. The loop may replace entries by wrapped ones."""
    cycle: int
    """Steps in which everything happens that happens now and then."""
    curves: Mapping[str, tuple[str, ...]]
    """What to plot: title -> names of logged figures."""

    def __init__(self, config: Config, labels: int) -> None:
        """Make the networks of a configuration, for a number of labels; 0 for an unconditional model."""

    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Look at some real clips, batches of (B, C, T, H, W), before the first step of a new run."""

    def build_optimizers(self) -> None:
        """Make the optimisers of the networks as they now stand in `nets`."""

    def step(self, batch: Batch, clips_seen: int, engine: Engine) -> dict[str, Tensor]:
        """Make one update from one batch, `clips_seen` clips into the run; return what to log, detached scalars.

        `clips_seen` counts the clips of all processes before this step.
        """

    def sampler(self) -> Sampler:
        """Return a sampler of the averaged weights as they are now."""

    @classmethod
    def sampling_nets(cls, config: Config, labels: int) -> dict[str, nn.Module]:
        """Build, untrained, only the networks that a sampler needs."""

    @classmethod
    def sampler_of(cls, config: Config, nets: dict[str, nn.Module]) -> Sampler:
        """Make a sampler of the networks of `sampling_nets`, in their present state."""


@runtime_checkable
class TrainsWithFeatures(Protocol):
    """A method whose losses or critics look through networks that evaluations may use too."""

    trained_with: dict[str, str]
    """Their names in `FEATURE_NETWORKS` -> SHA-256 of the weights. They never judge what was trained with them."""


class MovingAverage:
    """Exponential moving average of a module's parameters; buffers are copied.

    Early in a run the half-life is at most a tenth of the clips seen, so that the average does not
    remember the first, random weights (EDM2, Karras et al. 2024, appendix C, in spirit).

    Args:
        module: the module to follow; the average starts as a copy of it.
        half_life: in clips seen; 0 copies the weights at every update.
    """

    def __init__(self, module: nn.Module, half_life: float) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.half_life = half_life

    @torch.no_grad()
    def update(self, module: nn.Module, clips_seen: int, clips: int) -> None:
        """Move the average towards `module`, `clips` clips after the last update."""
        half_life = min(self.half_life, clips_seen / 10)
        keep = 0.5 ** (clips / half_life) if half_life > 0 else 0.0
        torch._foreach_lerp_(list(self.module.parameters()), list(module.parameters()), 1 - keep)
        for mine, theirs in zip(self.module.buffers(), module.buffers(), strict=True):
            mine.copy_(theirs)
