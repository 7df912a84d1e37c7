"""Video VAE: clips are coded so that they can be decoded again, and codes drawn at random give new clips.

The network is causal and (2+1)D: clips to latent volumes and back, four times shorter and eight times smaller. A
frame's future changes nothing in its code, so that videos are encoded and decoded chunk by chunk, in constant memory,
exactly as at once. Pixels enter as 4×4 patches and leave as 2×2 patches, which makes a step several times as fast.
Features lie in memory with their channels last: frames are then a view of a clip, and nothing is copied between
convolutions over space and over time.

The prior, where a GAN learns it, is a generator of latent volumes: the doublings of the 3D-convolutional generator
bring its code to the size of the volume, and residual blocks refine it there.

The evidence lower bound is maximised, E_q log p(x|z) - beta KL(q(z|x) || N(0, 1)), both parts summed over a clip, in
nats: a mean over pixels beside a sum over latent numbers would multiply the weight of the divergence by the number of
pixels, so that it meant something else at every size. For the optimiser, both are then divided by the number of values
in a clip, which leaves beta's meaning alone.

Two hybrids. With critics, some judge what is reconstructed, and others, of their own, what is decoded from the prior
(VAE-GAN as in SAVP, Lee et al. 2018). Or a GAN learns the distribution of the codes, beside the VAE: its critics judge
latent volumes, and teach the VAE nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool3d, silu, softplus

from footage.config import ClipConfig, Config
from footage.metrics.image_quality import clip_psnr
from footage.models.autoencoders import VAE_TIME, VaeConfig
from footage.models.base import Batch, Graph, RunGraph, Sampler
from footage.models.generators.samplers import (
    between,
    draws_of,
    end_seeds,
    first_frames,
    more,
    overlap,
    previewed,
    walk,
)
from footage.models.layers import (
    CausalBlock,
    ConvDecoder,
    FeatureNorm,
    Generator,
    GeneratorOutput,
    LabelEmbedding,
    Levels,
    Memory,
    Noise,
    SpaceConv,
    TimeConv,
    into_patches,
    learn_levels,
    out_of_patches,
    remembering,
    run_remembering,
    upsampling_plan,
    with_label,
)
from footage.models.requests import VideoRequest
from footage.models.supervised import StepOutput, SupervisedMethod

ENTER, LEAVE = 4, 2
"""Side of the patches that pixels enter and leave as."""
DEEP = 3
"""Blocks at the latent volume's size, in encoder and decoder each."""
LOW, HIGH = -15.0, 5.0
"""Limits of the logarithm of a latent number's variance."""
START = -4.0
"""Where that begins: codes that are mostly noise at first would teach the decoder to overlook them."""
OUTPUT_START = -3.0
"""Where the logarithm of the output's variance begins: near what the mean clip leaves, so that pixels count at once."""
FLOOR = -10.0
"""Lowest logarithm of the output's variance: less than a grey level of 256."""
GAIN = 10.0
"""The output's log-variance learns this much faster than weights: Adam moves each by its rate, and it has far to go."""


class VaeOutput(NamedTuple):
    """What the VAE gives in training."""

    mean: Tensor
    """Means of the latent numbers, (B, c, T / 4, H / 8, W / 8)."""
    log_variance: Tensor
    """Logarithms of their variances, the same shape."""
    clips: Tensor
    """What a draw of them is decoded to, (B, C, T, H, W), around [-1, 1]."""
    output_log_variance: Tensor
    """Logarithm of the variance of pixels around that, (C,)."""
    sample: Tensor | None
    """What latent numbers from the prior are decoded to, (B, C, T, H, W); None where there were none."""


def twice(x: Tensor) -> Tensor:
    """Show every frame twice: (B, C, T, H, W) -> (B, C, 2 T, H, W)."""
    return x.movedim(1, 4).repeat_interleave(2, dim=1).movedim(4, 1)


class VaeEncoder(nn.Module):
    """Numbers (B, pixels, T, H, W) -> mean and log-variance, (B, 2 latent, T / 4, H / 8, W / 8).

    At full size there would be `width` channels; a quarter of the size has twice, an eighth four times as many.
    """

    def __init__(self, pixels: int, latent: int, width: int) -> None:
        super().__init__()
        middle, inner = 2 * width, 4 * width
        self.enter = SpaceConv(pixels * ENTER**2, middle)
        self.halve1 = TimeConv(middle, middle, 4, stride=2)
        self.block = CausalBlock(middle)
        self.down = SpaceConv(middle, inner, 4, stride=2)
        self.halve2 = TimeConv(inner, inner, 4, stride=2)
        self.blocks = nn.ModuleList(CausalBlock(inner) for _ in range(DEEP))
        self.norm = FeatureNorm(inner)
        self.leave = SpaceConv(inner, 2 * latent)
        bias = self.leave.conv.bias
        assert bias is not None
        nn.init.zeros_(bias)
        nn.init.constant_(bias[latent:], START)

    def forward(self, numbers: Tensor, memory: Memory | None = None) -> Tensor:
        """Return mean and log-variance; with a memory, of a video that goes on. T is a multiple of 4."""
        x = self.enter(into_patches(numbers, ENTER))  # B 2w T H/4 W/4
        x = self.halve1(silu(x), memory)  # B 2w T/2 H/4 W/4
        x = self.down(self.block(x, memory))  # B 4w T/2 H/8 W/8
        x = self.halve2(silu(x), memory)  # B 4w T/4 H/8 W/8
        for block in self.blocks:
            x = block(x, memory)
        return self.leave(silu(self.norm(x)))  # type: ignore[no-any-return]


class VaeDecoder(nn.Module):
    """Latent volume (B, latent, t, h, w) -> numbers (B, pixels, 4 t, 8 h, 8 w); the encoder's mirror image."""

    def __init__(self, pixels: int, latent: int, width: int) -> None:
        super().__init__()
        middle, inner = 2 * width, 4 * width
        self.enter = SpaceConv(latent, inner)
        self.blocks = nn.ModuleList(CausalBlock(inner) for _ in range(DEEP))
        self.double1 = TimeConv(inner, inner)
        self.up1 = SpaceConv(inner, 4 * middle)
        self.block = CausalBlock(middle)
        self.double2 = TimeConv(middle, middle)
        self.norm = FeatureNorm(middle)
        self.up2 = SpaceConv(middle, 4 * width)
        self.leave = SpaceConv(width, pixels * LEAVE**2)

    def forward(self, latents: Tensor, memory: Memory | None = None) -> Tensor:
        x = self.enter(latents)  # B 4w t h w
        for block in self.blocks:
            x = block(x, memory)
        x = self.double1(twice(x), memory)  # B 4w 2t h w
        x = out_of_patches(self.up1(silu(x)), 2)  # B 2w 2t 2h 2w
        x = self.double2(twice(self.block(x, memory)), memory)  # B 2w 4t 2h 2w
        x = out_of_patches(self.up2(silu(self.norm(x))), 2)  # B w 4t 4h 4w
        return out_of_patches(self.leave(silu(x)), LEAVE)  # B C 4t 8h 8w


class Vae(nn.Module):
    """Clips (B, C, T, H, W) in [-1, 1] <-> latent volumes (B, c, T / 4, H / 8, W / 8)."""

    def __init__(self, clip: ClipConfig, net: VaeConfig) -> None:
        super().__init__()
        volume = net.latent_clip(clip)
        self.shape = (volume.channels, volume.frames, volume.height, volume.width)
        self.levels = Levels(clip.channels)
        self.encoder = VaeEncoder(clip.channels, net.latent, net.width)
        self.decoder = VaeDecoder(clip.channels, net.latent, net.width)
        self.noise = nn.Parameter(torch.full((clip.channels,), OUTPUT_START / GAIN))

    @property
    def output_log_variance(self) -> Tensor:
        """Logarithm of the variance of pixels in [-1, 1] around what is decoded, (C,), in nats.

        Softly bounded below, as sigma-VAE does it (Rybkin et al. 2021): on clips without noise it would fall for ever.
        """
        return FLOOR + softplus(GAIN * self.noise - FLOOR)

    def forward(self, clips: Tensor, noise: Tensor, prior: Tensor | None = None) -> VaeOutput:
        """Encode, draw and decode.

        Args:
            clips: (B, C, T, H, W) in [-1, 1].
            noise: standard normal numbers for the draw, of the latent volumes' shape.
            prior: latent volumes to be decoded as well, (B, c, T / 4, H / 8, W / 8); None for none.
        """
        mean, log_variance = self.encode(clips)
        latents = mean + torch.exp(log_variance / 2) * noise
        if prior is None:
            return VaeOutput(mean, log_variance, self.decode(latents), self.output_log_variance, None)
        reconstructions, sample = self.decode(torch.cat([latents, prior])).chunk(2)
        return VaeOutput(mean, log_variance, reconstructions, self.output_log_variance, sample)

    def encode(self, clips: Tensor, memory: Memory | None = None) -> tuple[Tensor, Tensor]:
        """Return means and log-variances of the latent numbers of clips; with a memory, of a video that goes on."""
        both: Tensor = self.encoder(self.levels(clips), memory)  # B 2c t h w
        mean, log_variance = both.to(clips.dtype).chunk(2, dim=1)
        return mean, log_variance.clamp(LOW, HIGH)

    def decode(self, latents: Tensor, memory: Memory | None = None) -> Tensor:
        """Return the clips of latent volumes, around [-1, 1]; with a memory, of a video that goes on."""
        numbers: Tensor = self.decoder(latents, memory)
        return self.levels.pixels(numbers.to(latents.dtype))


REFINING = 2
"""Residual blocks at the volume's size."""


class LatentGenerator(Generator):
    """z (B, noise), label -> latent volume (B, c, t, h, w), whose shape is given as that of a clip."""

    def __init__(self, volume: ClipConfig, net: VaeConfig, labels: int) -> None:
        super().__init__()
        codes, inner = net.noise + (net.label if labels else 0), 4 * net.width
        self.latent = net.noise
        self.levels = Levels(volume.channels)  # those of the prior: 0 and 1; never of pixels
        self.table = LabelEmbedding(labels, net.label) if labels else None
        self.tower = ConvDecoder(codes, upsampling_plan(volume), inner, inner, codes)
        self.blocks = nn.ModuleList(CausalBlock(inner) for _ in range(REFINING))
        self.norm = FeatureNorm(inner)
        self.leave = SpaceConv(inner, volume.channels)

    def entries(self) -> list[Tensor]:
        return self.tower.entries(slice(self.latent), slice(self.latent))

    def forward(self, noise: Noise, label: Tensor | None = None) -> GeneratorOutput:
        code = with_label(noise["z"], self.table, label)  # B (noise + label)
        x: Tensor = self.tower(code, code)  # B 4w t h w
        for block in self.blocks:
            x = block(x)
        volume: Tensor = self.leave(silu(self.norm(x)))  # B c t h w
        return GeneratorOutput(volume, volume.new_zeros(()))


# -log N(x; m, s^2) = sum over the sample of ((x - m)^2 / s^2 + log s^2 + log 2 pi) / 2: Kingma and Welling 2014,
# appendix C.2; s^2 learned, common to all places of a channel: Rybkin et al. 2021 (sigma-VAE), section 4.
def gaussian_nll(values: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the negative log-likelihood of each sample, summed over it, (B,), in nats.

    Values and mean are (B, C, ...), the logarithm of the variance is that of each channel, (C,).
    """
    squares = (values - mean).square().flatten(2).sum(dim=2)  # B C
    places = math.prod(values.shape[2:])
    return (squares * torch.exp(-log_variance) + places * (log_variance + math.log(2 * math.pi))).sum(dim=1) / 2


# KL(N(m, s^2) || N(0, 1)) = sum of (m^2 + s^2 - 1 - log s^2) / 2: Kingma and Welling 2014, appendix B.
def standard_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the divergence of normal distributions (B, C, ...) from N(0, 1), summed over places: (B, C), nats."""
    divergence = (mean.square() + log_variance.exp() - 1 - log_variance) / 2
    return divergence.flatten(2).sum(dim=2)


# sum over channels of max(lambda, KL of the channel): Kingma et al. 2016 (IAF), section 3.3, lambda being `free` times
# the channel's places. There KL is the mean over a batch; here it is each sample's own, so that samples stay apart.
def with_free_bits(divergence: Tensor, free: float, places: int) -> Tensor:
    """Return what each sample pays, (B,), for the divergences of its channels, (B, C), in nats.

    At each place of a channel, `free` nats cost nothing.
    """
    return divergence.clamp(min=free * places).sum(dim=1)


POOLED = (2, 2, 2)
"""Frames, height and width that latent means are averaged down to in an embedding."""


class VideoVae(SupervisedMethod):
    """A VAE, critics where there are any, and a prior of its own where one is asked for; see `base.Method`."""

    adversarial = ("prior",)
    own_curves: ClassVar = {
        "Negative log-likelihood of a clip, nats": ("nll", "heldout_nll"),
        "Divergence of a clip's code from the prior, nats": ("kl", "heldout_kl"),
        "Reconstruction, peak signal-to-noise ratio, dB": ("psnr", "heldout_psnr"),
    }

    def __init__(self, config: Config, labels: int) -> None:
        super().__init__(config, labels)
        vae = self.nets["generator"]
        assert isinstance(vae, Vae)
        self.shape = vae.shape

    @classmethod
    def critic_targets(cls, config: Config) -> tuple[str, ...]:
        """Return what is judged: latent volumes, or clips that are decoded from posterior and prior, or nothing."""
        if _learns_prior(config):
            return ("latent",)
        return ("posterior", "prior") if config.critics else ()

    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Tell all networks that see pixels the levels of real clips, (B, C, T, H, W) each."""
        blind = {"prior", *(self.critics["latent"].nets if "latent" in self.critics else ())}
        nets = [net for name, net in self.nets.items() if name not in blind]
        averages = [average.module for name, average in self.averages.items() if name not in blind]
        learn_levels(batches, *nets, *averages)

    def forward_step(self, batch: Batch, clips_seen: int, judged: bool) -> StepOutput:
        """Code clips and decode them; where there is somebody to judge them, make new clips or codes too."""
        clips, config = batch.clips, self.config
        noise = batch.normal(*self.shape)
        drawn = batch.normal(*self.shape) if judged and "prior" in self.critics else None
        coded: VaeOutput = self.nets["generator"](clips, noise, drawn)
        nll = gaussian_nll(clips, coded.clips, coded.output_log_variance).mean()
        divergence = standard_kl(coded.mean, coded.log_variance)  # B c
        paid = with_free_bits(divergence, config.kl.free_bits, math.prod(self.shape[1:])).mean()
        ramp = min(1.0, clips_seen / config.kl.ramp) if config.kl.ramp else 1.0
        loss = (nll + config.kl.beta * ramp * paid) / math.prod(clips.shape[1:])
        log = {
            "nll": nll.detach(),
            "kl": divergence.detach().sum(dim=1).mean(),
            "psnr": clip_psnr(coded.clips.detach(), clips).mean(),
        }
        judged_clips = {}
        if judged and "posterior" in self.critics:
            judged_clips["posterior"] = (clips, coded.clips)
        if coded.sample is not None:
            judged_clips["prior"] = (clips, coded.sample)
        if judged and "latent" in self.critics:
            fakes = self.nets["prior"]({"z": batch.normal(_net(config).noise)}, batch.labels)
            judged_clips["latent"] = (coded.mean.detach(), fakes.clips.to(clips.dtype))
        return StepOutput(loss, log, judged_clips)

    def heldout_clips(self, batch: Batch, target: str) -> Tensor | None:
        """Return held-out clips; none for critics of latent volumes, which the VAE itself has made."""
        return None if target == "latent" else super().heldout_clips(batch, target)

    @classmethod
    def sampling_nets(cls, config: Config, labels: int) -> dict[str, nn.Module]:
        net = _net(config)
        nets: dict[str, nn.Module] = {"generator": Vae(config.clip, net)}
        if _learns_prior(config):
            nets["prior"] = LatentGenerator(net.latent_clip(config.clip), net, labels)
        return nets

    @classmethod
    def sampler_of(cls, config: Config, nets: dict[str, nn.Module]) -> Sampler:
        vae, prior = nets["generator"], nets.get("prior")
        assert isinstance(vae, Vae) and (prior is None or isinstance(prior, LatentGenerator))
        return VaeSampler(config.clip, vae, prior)


def _net(config: Config) -> VaeConfig:
    assert isinstance(config.net, VaeConfig)
    return config.net


def _learns_prior(config: Config) -> bool:
    return _net(config).prior == "gan"


class VaeSampler:
    """New clips, and clips coded and decoded: see `Generates`, `Converts` and `Encodes` in `footage.models.base`.

    From independent codes, videos roll on for ever, four frames a segment; a prior of its own gives whole clips. Both
    run in constant memory.
    """

    given = 0

    def __init__(self, clip: ClipConfig, vae: Vae, prior: LatentGenerator | None) -> None:
        self.clip = self.source = clip
        self.vae, self.prior = vae.eval(), None if prior is None else prior.eval()
        self.endless = prior is None
        self.hop = VAE_TIME if prior is None else clip.frames - overlap(clip.frames)
        self.classes = 0 if prior is None or prior.table is None else len(prior.table.weight)
        self.sliders = 0 if prior is None else prior.latent
        self.device = next(vae.parameters()).device

    def segments(self, requests: Sequence[VideoRequest]) -> Iterator[Tensor]:
        """Yield segments (B, C, T, H, W) for ever; see `footage.models.base.Generates`.

        With a prior of its own, whole clips, each from the next codes of a walk. Else four frames at a time: the
        decoder remembers, and each latent frame is drawn when it is needed; where a request says into what, the draws
        go over from those of the one seed to those of the other.
        """
        if self.prior is not None:
            codes = walk(requests, self.sliders, hop=self.hop, length=self.clip.frames, generator=self.prior)
            for z, label in codes:
                noise = {"z": z.to(self.device)}
                with torch.inference_mode():
                    volumes = self.prior(noise, None if label is None else label.to(self.device)).clips
                yield self._decoded(volumes)
        channels, _, height, width = self.vae.shape
        rngs = [draws_of(request.seed) for request in requests]
        ends = [draws_of(seed) for seed in end_seeds(requests)]
        lengths = torch.tensor([max(1, request.frames - VAE_TIME) for request in requests])
        goes = torch.tensor([request.to_seed is not None for request in requests])
        memory: Memory = {}
        done = 0
        while True:
            place = torch.where(goes, (done / lengths).clamp(max=1), 0.0).view(-1, 1, 1, 1, 1)
            start, end = (more(source, channels, 1, height, width) for source in (rngs, ends))  # B c 1 h w
            yield self._decoded(between(start, end, place), memory)
            done += VAE_TIME

    def convert(self, chunks: Iterable[Tensor], seed: int, told: Tensor | None = None) -> Iterator[Tensor]:
        """Code and decode a video, chunks (B, C, t, H, W), of any lengths; nothing is random in it."""
        coding: Memory = {}
        decoding: Memory = {}
        rest: Tensor | None = None
        for chunk in chunks:
            rest = chunk if rest is None else torch.cat([rest, chunk], dim=2)
            while rest.shape[2] >= VAE_TIME:  # four frames at a time, however they come
                yield self._decoded(self._coded(rest[:, :, :VAE_TIME], coding), decoding)
                rest = rest[:, :, VAE_TIME:]
        if rest is not None and rest.shape[2]:
            yield self._decoded(self._coded(_filled(rest), coding), decoding)[:, :, : rest.shape[2]]

    def sources(self, clips: Tensor) -> Tensor:
        return clips

    def embed(self, clips: Tensor) -> Tensor:
        """Return the latent means of clips (B, C, T, H, W), averaged over octants: (B, 8 c)."""
        return adaptive_avg_pool3d(self._coded(_filled(clips)), POOLED).flatten(1).clone()  # B c 2 2 2 -> B (8 c)

    def interpolate(self, a: Tensor, b: Tensor, places: Iterable[float]) -> Iterator[Tensor]:
        first, last = self._coded(_filled(a)), self._coded(_filled(b))
        for place in places:
            yield self._decoded(torch.lerp(first, last, place))[0, :, : a.shape[2]]

    def graphs(self) -> list[Graph]:
        """Return `encode`, `decode` and what follows each, four frames at a time; and `prior` where there is one."""
        vae, clip, (channels, _, height, width) = self.vae, self.clip, self.vae.shape
        frames = torch.rand(2, clip.channels, VAE_TIME, clip.height, clip.width) * 2 - 1

        def decode(x: Tensor, memory: Memory) -> Tensor:
            return vae.decode(x, memory).float().clamp(-1, 1)

        latents = torch.randn(2, channels, 1, height, width)
        told = "Four frames, (B, C, 4, H, W) in [-1, 1], and their latents, (B, c, 1, h, w), standard normal."
        graphs = remembering("encode", told, vae, lambda x, memory: vae.encode(x, memory)[0], frames, "latents")
        graphs += remembering("decode", told, vae, decode, latents, "frames")
        if self.prior is not None:
            prior = self.prior

            def draw(z: Tensor, label: Tensor | None = None) -> Tensor:
                made: Tensor = prior({"z": z}, label).clips.float()
                return made

            inputs = {"z": torch.randn(2, self.sliders)}
            if self.classes:
                inputs["label"] = torch.eye(self.classes)[torch.arange(2) % self.classes]
            about = "z: standard normal; label: weights over labels. latents: of a whole clip, (B, c, T / 4, h, w)."
            graphs.append(Graph("prior", about, prior, draw, inputs, ("latents",), dict.fromkeys(inputs, (0,))))
        return graphs

    def rehearse(self, run: RunGraph, clips: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
        chunks = torch.split(_filled(clips), VAE_TIME, dim=2)
        yield from zip(run_remembering(run, "decode", run_remembering(run, "encode", chunks)), chunks, strict=True)
        if self.prior is not None:
            (latents,) = run("prior", **self.graphs()[-1].inputs)
            yield from ((frames, None) for frames in run_remembering(run, "decode", torch.split(latents, 1, dim=2)))

    def preview(self, reals: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        length = reals.shape[2]
        sample = first_frames(self.segments(previewed(len(reals), labels, self.classes)), length)
        again = self._decoded(self._coded(_filled(reals)))[:, :, :length]
        return {"reconstruction": again, "sample": sample, "real": reals}

    @torch.inference_mode()
    def _coded(self, clips: Tensor, memory: Memory | None = None) -> Tensor:
        """Return the latent means of clips whose length is a multiple of 4."""
        return self.vae.encode(clips.to(self.device), memory)[0]

    @torch.inference_mode()
    def _decoded(self, latents: Tensor, memory: Memory | None = None) -> Tensor:
        """Return the clips of latent volumes, in [-1, 1]."""
        return self.vae.decode(latents.to(self.device), memory).float().clamp(-1, 1)


def _filled(frames: Tensor) -> Tensor:
    """Repeat the last frame until the length of (B, C, T, H, W) is a multiple of 4."""
    return torch.cat([frames, frames[:, :, -1:].expand(-1, -1, -frames.shape[2] % VAE_TIME, -1, -1)], dim=2)
