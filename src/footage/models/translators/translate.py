"""Translation: a network is given a picture or a clip, and gives another (pix2pix, Isola et al. 2017).

It learns by how far its clip lies from the real one, and from critics that see, beside a clip, what it was made from
(eq. 1 there): they ask not only whether a clip looks real, but whether it goes with its source. The sources come from
another data set, or are made from the clips themselves, frame by frame, so that video can stream.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, pad

from footage.config import Config
from footage.config.registry import SOURCES, imported
from footage.metrics.image_quality import clip_psnr
from footage.models.base import Batch, Sampler
from footage.models.generators.samplers import draws_of, more
from footage.models.layers import Memory, by_frame, channel_levels, set_levels
from footage.models.supervised import StepOutput, SupervisedMethod
from footage.models.translators import source_clip
from footage.models.translators.network import Animator

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luma (ITU-R BT.601)."""
SHRINK = 4
"""How much smaller `lowres` pictures are before they are enlarged again."""
SIGMA = 2.0
"""Standard deviation of `blur`, in pixels."""


# Y = 0.299 R + 0.587 G + 0.114 B: ITU-R BT.601.
def grey(frames: Tensor) -> Tensor:
    """Return the luma of pictures, (N, C, H, W) -> (N, 1, H, W)."""
    if frames.shape[1] == 1:
        return frames
    return (frames * frames.new_tensor(LUMA).view(-1, 1, 1)).sum(dim=1, keepdim=True)


# |(Sx * Y, Sy * Y)|, S = [1 2 1] x [-1 0 1] / 8 (Sobel and Feldman 1968); tanh brings a step of 1 to tanh(2) = 0.96.
def edges(frames: Tensor) -> Tensor:
    """Return the strength of edges, (N, C, H, W) -> (N, 1, H, W): -1 where all is plain, towards 1 at a sharp step."""
    wider = pad(grey(frames), (1, 1, 1, 1), mode="replicate")
    smooth, slope = frames.new_tensor([1.0, 2.0, 1.0]) / 4, frames.new_tensor([-1.0, 0.0, 1.0]) / 2
    across = smooth[:, None] * slope  # 3 3
    both = conv2d(wider, torch.stack([across, across.T]).unsqueeze(1))  # N 2 H W
    return 2 * torch.tanh(4 * both.square().sum(dim=1, keepdim=True).sqrt()) - 1


def lowres(frames: Tensor) -> Tensor:
    """Average pictures over squares of 4×4 pixels, and enlarge them again, linearly: (N, C, H, W) -> the same."""
    small = avg_pool2d(frames, SHRINK, ceil_mode=True)  # at the far edges over what there is
    return interpolate(small, frames.shape[2:], mode="bilinear", align_corners=False)


# exp(-r^2 / (2 sigma^2)), cut off at 3 sigma, along both axes one after the other.
def blur(frames: Tensor) -> Tensor:
    """Blur pictures by a Gaussian, the edge repeated: (N, C, H, W) -> the same."""
    reach = math.ceil(3 * SIGMA)
    line = torch.exp(-torch.arange(-reach, reach + 1, device=frames.device).square() / (2 * SIGMA**2)).to(frames)
    line = line / line.sum()
    flat = frames.flatten(0, 1).unsqueeze(1)  # (N C) 1 H W
    flat = conv2d(pad(flat, (reach, reach, 0, 0), mode="replicate"), line.view(1, 1, 1, -1))
    flat = conv2d(pad(flat, (0, 0, reach, reach), mode="replicate"), line.view(1, 1, -1, 1))
    return flat.view_as(frames)


def derive(clips: Tensor, kind: str) -> Tensor:
    """Make what a translator is given, (B, C, T, H, W) -> (B, Cs, T, H, W), or (B, C, 1, H, W) for `first-frame`.

    Args:
        clips: in [-1, 1].
        kind: as `task.source`, but not `pairs`.
    """
    if kind == "first-frame":
        return clips[:, :, :1]
    with torch.autocast(clips.device.type, enabled=False):
        return by_frame(SOURCES[kind], clips)  # B Cs T H W


def repeated(source: Tensor, frames: int) -> Tensor:
    """Let a picture (B, C, 1, H, W) stand for `frames` frames; a clip stays as it is."""
    return source.expand(-1, -1, frames, -1, -1) if source.shape[2] == 1 else source


class Translate(SupervisedMethod):
    """A translator, and critics where there are any; see `footage.models.base.Method`."""

    def __init__(self, config: Config, labels: int) -> None:
        super().__init__(config, labels)
        generator = self.nets["generator"]
        self.shapes = generator.noise(config.clip.frames) if isinstance(generator, Animator) else {}
        own = {
            "Absolute error of a pixel, pixels in [-1, 1]": ("l1", "heldout_l1"),
            "Peak signal-to-noise ratio, dB": ("psnr", "heldout_psnr"),
        }
        self.curves: Mapping[str, tuple[str, ...]] = own | dict(self.curves)

    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Tell all networks the levels of real clips, and the critics those of the sources too."""
        mean, sd = channel_levels(self.shown(clips) for clips in batches)
        count = self.config.clip.channels
        for name, average in self.averages.items():
            set_levels(mean[:count], sd[:count], self.nets[name], average.module)
        set_levels(mean, sd, *(self.nets[name] for critics in self.critics.values() for name in critics.nets))

    def source(self, clips: Tensor) -> Tensor:
        """Return what is given, (B, Cs, T, H, W) or a picture (B, C, 1, H, W), of clips as they stand in the data."""
        return source_of(clips, self.config)

    def shown(self, clips: Tensor, fakes: Tensor | None = None) -> Tensor:
        """Return what critics see, (B, C + Cs, T, H, W): real clips, or those that were made, and the sources."""
        real = clips[:, : self.config.clip.channels]
        beside = repeated(self.source(clips), real.shape[2])
        return torch.cat([real if fakes is None else fakes.to(real.dtype), beside.to(real.dtype)], dim=1)

    def forward_step(self, batch: Batch, clips_seen: int, judged: bool) -> StepOutput:
        """Translate the source of each clip."""
        config = self.config
        real, source = batch.clips[:, : config.clip.channels], self.source(batch.clips)
        drawn = {name: batch.normal(*shape) for name, shape in self.shapes.items()}
        fakes: Tensor = self.nets["generator"](source, **drawn)
        shown = fakes.detach().to(real.dtype)
        log = {"l1": (shown - real).abs().mean(), "psnr": clip_psnr(shown, real).mean()}
        judged_clips = {}
        if config.critics and judged:
            judged_clips[""] = (self.shown(batch.clips), self.shown(batch.clips, fakes))
        return StepOutput(config.learn.weight * self.difference(fakes, real), log, judged_clips)

    def heldout_clips(self, batch: Batch, target: str) -> Tensor | None:
        """Return held-out clips and their sources for the critics to look at, where there are any in this step."""
        return None if batch.heldout is None else self.shown(batch.heldout[0])

    @classmethod
    def sampling_nets(cls, config: Config, labels: int) -> dict[str, nn.Module]:
        """Build the translator, untrained."""
        translator: nn.Module = imported(config.net.network)(config.clip, config.net, config.task)
        return {"generator": translator}

    @classmethod
    def sampler_of(cls, config: Config, nets: dict[str, nn.Module]) -> Sampler:
        """Make a sampler of the translator."""
        return TranslateSampler(config, nets["generator"])


def source_of(clips: Tensor, config: Config) -> Tensor:
    """Return what a translator is given in training, of clips (B, C, T, H, W) as they stand in the data.

    Those of two data sets stand one behind the other, (B, C + Cs, T, H, W).
    """
    if config.task.source == "pairs":
        return clips[:, config.clip.channels :]
    return derive(clips, config.task.source)


class TranslateSampler:
    """Videos, or pictures, turned into videos in constant memory; see `footage.models.base.Converts`."""

    given = 0

    def __init__(self, config: Config, generator: nn.Module) -> None:
        self.config, self.clip, self.source = config, config.clip, source_clip(config.clip, config.task)
        self.generator = generator.eval()
        self.device = next(generator.parameters()).device

    def sources(self, clips: Tensor) -> Tensor:
        """Return what the model is given in training; see `footage.models.base.Converts`."""
        return source_of(clips, self.config)

    def convert(self, chunks: Iterable[Tensor], seed: int) -> Iterator[Tensor]:
        """Yield what becomes of a video, or of a picture; see `footage.models.base.Converts`."""
        if isinstance(self.generator, Animator):
            yield from self.animate(next(iter(chunks))[:, :, :1], [seed])
            return
        memory: Memory = {}
        for chunk in chunks:
            with torch.inference_mode():
                frames = self.generator(chunk.to(self.device), memory).float().clamp(-1, 1)
            yield frames  # outside of the block: it would hold for the caller too

    def animate(self, pictures: Tensor, seeds: Iterable[int]) -> Iterator[Tensor]:
        """Yield frames (B, C, T, H, W) for ever that begin with pictures (B, C, 1, H, W), each by its own seed."""
        generator = self.generator
        assert isinstance(generator, Animator), "this model is given clips"
        shapes = generator.noise(self.clip.frames)
        rngs = [draws_of(seed) for seed in seeds]
        with torch.inference_mode():
            state = generator.begin(pictures.to(self.device), more(rngs, *shapes["start"]).to(self.device))
        while True:
            motion = more(rngs, *shapes["motion"]).to(self.device)
            with torch.inference_mode():
                frames, state = generator.advance(state, motion)
                frames = frames.float().clamp(-1, 1)
            yield frames  # outside of the block: it would hold for the caller too

    def preview(self, reals: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        """Translate real clips' sources; see `footage.models.base.Sampler`."""
        real, source = reals[:, : self.clip.channels], self.sources(reals)
        if isinstance(self.generator, Animator):
            translated = next(self.animate(source, range(len(reals))))[:, :, : real.shape[2]]
        else:
            with torch.inference_mode():
                translated = self.generator(source.to(self.device)).float().clamp(-1, 1)
        picture = repeated(source, real.shape[2])
        if picture.shape[1] != real.shape[1]:
            picture = picture.mean(dim=1, keepdim=True).expand_as(real)  # grey
        return {"translated": translated, "source": picture.clamp(-1, 1), "real": real}
