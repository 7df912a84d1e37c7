"""Translation: a network is given a picture or a clip, and gives another (pix2pix, Isola et al. 2017).

It learns by how far its clip lies from the real one, and from critics that see, beside a clip, what it was made from
(eq. 1 there): they ask not only whether a clip looks real, but whether it goes with its source.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from footage.config import Config
from footage.config.tasks import source_clip
from footage.metrics.fidelity import clip_psnr
from footage.models.base import Batch, Sampler
from footage.models.causal import Memory
from footage.models.generators.samplers import draws_of, more
from footage.models.layers import channel_levels, set_levels
from footage.models.supervised import Learner, Lesson
from footage.models.translators import derive
from footage.models.translators.animator import Animator
from footage.models.translators.translator import Translator


class Translate(Learner):
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
        set_levels(mean, sd, *(self.nets[name] for panel in self.panels.values() for name in panel.nets))

    def source(self, clips: Tensor) -> Tensor:
        """Return what is given, (B, Cs, T, H, W) or a picture (B, C, 1, H, W), of clips as they stand in the data."""
        return source_of(clips, self.config)

    def shown(self, clips: Tensor, made: Tensor | None = None) -> Tensor:
        """Return what critics see, (B, C + Cs, T, H, W): real clips, or those that were made, and the sources."""
        real = clips[:, : self.config.clip.channels]
        beside = derive.repeated(self.source(clips), real.shape[2])
        return torch.cat([real if made is None else made.to(real.dtype), beside.to(real.dtype)], dim=1)

    def lesson(self, batch: Batch, clips_seen: int, judged: bool) -> Lesson:
        """Translate the source of each clip."""
        config = self.config
        real, source = batch.clips[:, : config.clip.channels], self.source(batch.clips)
        drawn = {name: batch.normal(*shape) for name, shape in self.shapes.items()}
        made: Tensor = self.nets["generator"](source, **drawn)
        shown = made.detach().to(real.dtype)
        log = {"l1": (shown - real).abs().mean(), "psnr": clip_psnr(shown, real).mean()}
        shown_to = {}
        if config.critics and judged:
            shown_to[""] = (self.shown(batch.clips), self.shown(batch.clips, made))
        return Lesson(config.learn.weight * self.difference(made, real), log, shown_to)

    def heldout_clips(self, batch: Batch, judged: str) -> Tensor | None:
        """Return held-out clips and their sources for the critics to look at, where there are any in this step."""
        return None if batch.heldout is None else self.shown(batch.heldout[0])

    @classmethod
    def sampling_nets(cls, config: Config, labels: int) -> dict[str, nn.Module]:
        """Build the translator, untrained."""
        net = config.net
        assert net.kind == "translator"
        if config.task.source == "first-frame":
            return {"generator": Animator(config.clip, net)}
        return {"generator": Translator(config.clip, net, source_clip(config.clip, config.task).channels)}

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
    return derive.derive(clips, config.task.source)


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
            scene = generator.begin(pictures.to(self.device), more(rngs, *shapes["start"]).to(self.device))
        while True:
            motion = more(rngs, *shapes["motion"]).to(self.device)
            with torch.inference_mode():
                frames, scene = generator.advance(scene, motion)
                frames = frames.float().clamp(-1, 1)
            yield frames  # outside of the block: it would hold for the caller too

    def preview(self, reals: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        """Translate real clips' sources; see `footage.models.base.Sampler`."""
        real, source = reals[:, : self.clip.channels], self.sources(reals)
        if isinstance(self.generator, Animator):
            made = next(self.animate(source, range(len(reals))))[:, :, : real.shape[2]]
        else:
            with torch.inference_mode():
                made = self.generator(source.to(self.device)).float().clamp(-1, 1)
        picture = derive.repeated(source, real.shape[2])
        if picture.shape[1] != real.shape[1]:
            picture = picture.mean(dim=1, keepdim=True).expand_as(real)  # grey
        return {"translated": made, "source": picture.clamp(-1, 1), "real": real}
