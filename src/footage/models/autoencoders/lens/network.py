"""Lens: frames of any size to latent pictures, four or eight times as low and narrow, and back.

A linear code and its decoder are there from the start: the principal components of the patches of real frames
(Hotelling 1933), each scaled by the fourth root of its variance. That is where the noise that latents have in training
costs least in all, for latents of a given mean square: with deviations s_i of components of variance v_i, the noise
costs sum v_i / s_i², least, with sum s_i² held, at s_i² ~ sqrt(v_i). Convolutions add to either side what patches alone
do not tell. Nothing looks at a whole picture, so that frames of any size are coded tile by tile exactly as at once.

It learns by the absolute error of pixels and of differences between neighbours (Mathieu et al. 2016, eq. 6), and from
critics where there are any. What keeps latents from outgrowing their noise is the divergence of a normal distribution
of fixed deviation around them from N(0, 1), which is z² / 2 and a constant: a variational autoencoder with one variance
for all (Ghosh et al. 2020, section 3). Outside of training, latents have mean 0 and deviation 1, channel by channel.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, leaky_relu, pad, pixel_shuffle, pixel_unshuffle

from footage.config import ClipConfig, Config
from footage.metrics.image_quality import clip_psnr
from footage.models.autoencoders.lens import LensConfig
from footage.models.base import Batch, Graph, RunGraph, Sampler
from footage.models.layers import LEAK, PreactivationBlock, by_frame, learn_levels, tiled
from footage.models.supervised import StepOutput, SupervisedMethod

EDGES = 0.5
"""Weight of the error of differences between neighbours, along each axis, beside that of pixels."""
TEXTURE_CELL = 16
"""Height and width of the squares, in pixels, in which differences between neighbours are to be as large as real: in
squares of 8, whose texture varies more, the absolute error led to their median, which is less than their mean."""
PULL = 3e-3
"""Weight of the latents' mean z² / 2."""
DEEP = 3
"""Residual blocks at the latent picture's size in the decoder; the encoder has one less."""
LEAST_VARIANCE = 1e-3
"""Variance below which a principal component counts as one of that."""
MEMORY = 0.01
"""Part of the latents' mean and deviation that each step's latents are."""


class LensOutput(NamedTuple):
    """What the lens gives in training."""

    pictures: Tensor
    """Decoded pictures, (N, C, H, W), around [-1, 1]."""
    latents: Tensor
    """What they were decoded from, without the noise, (N, c, H / scale, W / scale), of any mean and deviation."""


class LensEncoder(nn.Module):
    """Pictures (N, C, H, W) -> what to add to their linear code, (N, latent, H / scale, W / scale)."""

    def __init__(self, channels: int, net: LensConfig) -> None:
        super().__init__()
        self.enter = nn.Conv2d(4 * channels, net.width, 3, padding=1)
        widths = _widths(net)
        self.halvings = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in itertools.pairwise(widths))
        self.blocks = nn.ModuleList(PreactivationBlock(width) for width in widths[1:])
        self.deep = nn.ModuleList(PreactivationBlock(widths[-1]) for _ in range(DEEP - 2))
        self.leave = nn.Conv2d(widths[-1], net.latent, 1)
        _silence(self.leave)

    def forward(self, pictures: Tensor) -> Tensor:
        x = self.enter(pixel_unshuffle(pictures, 2))  # N w H/2 W/2
        for halve, block in zip(self.halvings, self.blocks, strict=True):
            x = block(halve(leaky_relu(x, LEAK)))  # N 2w H/4 W/4, then N 4w H/8 W/8
        for block in self.deep:
            x = block(x)
        return self.leave(leaky_relu(x, LEAK))  # type: ignore[no-any-return]


class LensDecoder(nn.Module):
    """Latent pictures (N, latent, h, w) -> what to add to their linear decoding, (N, C, scale h, scale w)."""

    def __init__(self, channels: int, net: LensConfig) -> None:
        super().__init__()
        widths = _widths(net)[::-1]
        self.enter = nn.Conv2d(net.latent, widths[0], 3, padding=1)
        self.deep = nn.ModuleList(PreactivationBlock(widths[0]) for _ in range(DEEP))
        self.doublings = nn.ModuleList(nn.Conv2d(a, 4 * b, 3, padding=1) for a, b in itertools.pairwise(widths))
        self.blocks = nn.ModuleList(PreactivationBlock(width) for width in widths[1:])
        self.leave = nn.Conv2d(widths[-1], 4 * channels, 3, padding=1)
        _silence(self.leave)

    def forward(self, latents: Tensor) -> Tensor:
        x = self.enter(latents)
        for block in self.deep:
            x = block(x)
        for double, block in zip(self.doublings, self.blocks, strict=True):
            x = block(pixel_shuffle(double(leaky_relu(x, LEAK)), 2))  # N c/2 2h 2w
        return pixel_shuffle(self.leave(leaky_relu(x, LEAK)), 2)  # N C H W


def _widths(net: LensConfig) -> list[int]:
    """Return the channels at a half, a quarter and, for a scale of 8, an eighth of the size."""
    return [net.width * 2**number for number in range(net.scale.bit_length() - 1)]


def _silence(layer: nn.Conv2d) -> None:
    """Let a layer begin by giving nothing."""
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)


class Lens(nn.Module):
    """Pictures (N, C, H, W) in [-1, 1] <-> latent pictures (N, c, H / scale, W / scale) of mean 0 and deviation 1."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, clip: ClipConfig, net: LensConfig) -> None:
        super().__init__()
        self.scale, self.latent = net.scale, net.latent
        numbers = clip.channels * net.scale**2
        self.pack, self.unpack = (
            nn.Conv2d(numbers, net.latent, 3, padding=1),
            nn.Conv2d(net.latent, numbers, 3, padding=1),
        )
        self.encoder, self.decoder = LensEncoder(clip.channels, net), LensDecoder(clip.channels, net)
        self.register_buffer("mean", torch.zeros(net.latent))
        self.register_buffer("deviation", torch.ones(net.latent))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def reach(self) -> tuple[int, int]:
        """How many latent pixels away a pixel's code, and a latent pixel's picture, can change something."""
        stages = [2 * 2**number for number in range(len(self.encoder.halvings) + 1)]  # pixels in one of each stage
        coding = stages[0] + sum(a + 2 * b for a, b in itertools.pairwise(stages)) + 2 * (DEEP - 2) * stages[-1]
        decoding = stages[0] + sum(2 * a + b for a, b in itertools.pairwise(stages)) + (1 + 2 * DEEP) * stages[-1]
        return coding // self.scale + 1, decoding // self.scale + 1

    def forward(self, pictures: Tensor, noise: Tensor) -> LensOutput:
        """Encode, add noise, (N, c, H / scale, W / scale), and decode; where gradients are kept, notice the latents."""
        latents = self._coded(pictures)
        if torch.is_grad_enabled():
            with torch.no_grad():
                variance, mean = torch.var_mean(latents, dim=(0, 2, 3))
                self.mean.lerp_(mean, MEMORY)
                self.deviation.copy_(self.deviation.square().lerp(variance, MEMORY).sqrt())
        return LensOutput(self._decoded(latents + noise), latents)

    def encode(self, pictures: Tensor) -> Tensor:
        """Return the latent pictures; H and W are multiples of the scale."""
        return (self._coded(pictures) - self.mean.view(-1, 1, 1)) / self.deviation.view(-1, 1, 1)

    def decode(self, latents: Tensor) -> Tensor:
        """Return the pictures of latent ones, around [-1, 1]."""
        return self._decoded(latents * self.deviation.view(-1, 1, 1) + self.mean.view(-1, 1, 1))

    def _coded(self, pictures: Tensor) -> Tensor:
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        with torch.autocast(pictures.device.type, enabled=False):
            linear = self.pack(pixel_unshuffle(pictures, self.scale))
        return linear + self.encoder(pictures).to(linear.dtype)  # type: ignore[no-any-return]

    def _decoded(self, latents: Tensor) -> Tensor:
        with torch.autocast(latents.device.type, enabled=False):
            linear = pixel_shuffle(self.unpack(latents), self.scale)
        return linear + self.decoder(latents).to(linear.dtype)  # type: ignore[no-any-return]

    @torch.no_grad()
    def begin(self, mean: Tensor, covariance: Tensor) -> None:
        """Take over the linear code of patches (C scale² numbers each) of this mean (D,) and covariance (D, D)."""
        variances, axes = (part.flip(-1)[..., : self.latent] for part in torch.linalg.eigh(covariance.double()))
        largest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
        axes = axes * largest.sign()  # of two directions, always the same
        scales = variances.clamp(min=LEAST_VARIANCE).pow(-0.25)  # half of whitening
        scales = scales / (variances * scales.square()).mean().sqrt().clamp(min=LEAST_VARIANCE)
        for layer, middle, bias in (
            (self.pack, (axes * scales).T, -(axes * scales).T @ mean.double()),
            (self.unpack, axes / scales, mean),
        ):
            assert layer.bias is not None
            layer.weight.zero_()
            layer.weight[:, :, 1, 1] = middle.to(layer.weight)
            layer.bias.copy_(bias)
        self.mean.zero_()
        self.deviation.copy_(variances.clamp(min=LEAST_VARIANCE).sqrt() * scales)


class LensTraining(SupervisedMethod):
    """A lens, and critics where there are any; see `footage.models.base.Method`."""

    own_curves: ClassVar = {
        "Absolute error of a pixel, pixels in [-1, 1]": ("l1", "heldout_l1"),
        "Reconstruction, peak signal-to-noise ratio, dB": ("psnr", "heldout_psnr"),
        "Mean square of latents": ("square", "heldout_square"),
    }

    def __init__(self, config: Config, labels: int) -> None:
        super().__init__(config, labels)
        assert isinstance(config.net, LensConfig)
        self.net = config.net

    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Begin with the principal components of real frames; tell the critics the levels of pixels."""
        frames = [clips[:, :, :1] for clips in batches]
        count, total, squares = 0, torch.zeros(()), torch.zeros(())
        for pictures in frames:
            patches = pixel_unshuffle(pictures[:, :, 0].double(), self.net.scale).transpose(0, 1).flatten(1)  # D N
            count, total = count + patches.shape[1], total + patches.sum(dim=1)
            squares = squares + patches @ patches.T
        mean = total / count
        for lens in (self.nets["generator"], self.averages["generator"].module):
            assert isinstance(lens, Lens)
            lens.begin(mean, squares / count - torch.outer(mean, mean))
        learn_levels(frames, *self.critic_nets())

    def forward_step(self, batch: Batch, clips_seen: int, judged: bool) -> StepOutput:
        """Code one frame of each clip, and decode it."""
        clips, scale = batch.clips, self.net.scale
        picks = batch.part(torch.randint(clips.shape[2], (batch.total,), generator=batch.rng)).to(clips.device)
        real = clips[torch.arange(len(clips), device=clips.device), :, picks]  # B C H W
        noise = self.net.noise * batch.normal(self.net.latent, clips.shape[3] // scale, clips.shape[4] // scale)
        output: LensOutput = self.nets["generator"](real, noise)
        fakes = output.pictures
        square = output.latents.square().mean()
        loss = self.difference(fakes, real)
        for axis in (2, 3):
            made, true = fakes.diff(dim=axis), real.diff(dim=axis)
            loss = loss + EDGES * self.difference(made, true)
            if self.net.texture:
                cell = min(TEXTURE_CELL, *made.shape[2:])
                energies = (avg_pool2d(steps.abs(), cell) for steps in (made, true))
                loss = loss + self.net.texture * self.difference(*energies)
        shown = fakes.detach()
        log = {
            "l1": (shown - real).abs().mean(),
            "psnr": clip_psnr(shown, real).mean(),
            "square": square.detach(),
        }
        step = StepOutput(self.config.learn.weight * (loss + PULL / 2 * square), log)
        if self.config.critics and judged:
            window = self.window(batch)
            step.judged[""] = (real.unsqueeze(2)[window], fakes.unsqueeze(2)[window])
        return step

    def heldout_clips(self, batch: Batch, target: str) -> Tensor | None:
        return None if batch.heldout is None else batch.heldout[0][:, :, :1]

    @classmethod
    def sampling_nets(cls, config: Config, labels: int) -> dict[str, nn.Module]:
        assert isinstance(config.net, LensConfig)
        return {"generator": Lens(config.clip, config.net)}

    @classmethod
    def sampler_of(cls, config: Config, nets: dict[str, nn.Module]) -> Sampler:
        lens = nets["generator"]
        assert isinstance(lens, Lens)
        return LensSampler(config.clip, lens)


TILE = 128
"""Longest side of what is coded and decoded at once, in latent pixels."""
TOGETHER = 2**14
"""Latent pixels of pictures that are coded and decoded together, where they are small."""


class LensSampler:
    """Videos of any size, to latents and back, in constant memory: see `Converts` and `Encodes` in `models.base`."""

    given = 0

    def __init__(self, clip: ClipConfig, lens: Lens) -> None:
        self.clip = self.source = clip
        self.lens, self.scale, self.latent = lens.eval(), lens.scale, lens.latent
        self.device = next(lens.parameters()).device

    def encode(self, clips: Tensor, tile: int = TILE, bf16: bool = False) -> Tensor:
        """Return the latents of clips, (B, C, T, H, W) in [-1, 1] -> (B, c, T, h, w), of mean 0 and deviation 1.

        Sides that are no multiples of the scale are filled up on the right and below by the edge: h = ceil(H / scale).
        The result does not depend on the size of the tiles, which is in latent pixels.
        """
        down, right = (-side % self.scale for side in clips.shape[3:])
        reach, scale = self.lens.reach[0], self.scale

        def coded(pictures: Tensor) -> Tensor:
            filled = pad(pictures, (0, right, 0, down), mode="replicate")
            cells = pixel_unshuffle(filled, scale)  # N (C s²) h w: tiles are cut from latent pixels
            return self._tiled(lambda few: self.lens.encode(pixel_shuffle(few, scale)), cells, tile, reach, 1, bf16)

        return by_frame(coded, clips.to(self.device))

    def decode(
        self, latents: Tensor, size: tuple[int, int] | None = None, tile: int = TILE, bf16: bool = False
    ) -> Tensor:
        """Return the clips of latents, (B, c, T, h, w) -> (B, C, T, H, W) in [-1, 1].

        Args:
            latents: of mean 0 and deviation 1.
            size: height and width that are left of the frames; None for all.
            tile: longest side of what is decoded at once, in latent pixels; nothing depends on it.
            bf16: whether the convolutions are made in that precision.
        """
        reach = self.lens.reach[1]

        def decoded(pictures: Tensor) -> Tensor:
            frames = self._tiled(self.lens.decode, pictures, tile, reach, self.scale, bf16)
            return frames if size is None else frames[..., : size[0], : size[1]]

        return by_frame(decoded, latents.to(self.device)).clamp(-1, 1)

    def _tiled(
        self, change: Callable[[Tensor], Tensor], pictures: Tensor, tile: int, reach: int, scale: int, bf16: bool
    ) -> Tensor:
        """Change pictures (N, c, h, w) tile by tile, a few of them together."""
        together = max(1, TOGETHER // (min(tile, pictures.shape[2]) * min(tile, pictures.shape[3])))
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            groups = (pictures[first : first + together] for first in range(0, len(pictures), together))
            parts = [tiled(change, group, tile=tile, reach=reach, scale=scale) for group in groups]
            return torch.cat(parts).float()

    def convert(self, chunks: Iterable[Tensor], seed: int = 0, told: Tensor | None = None) -> Iterator[Tensor]:
        """Code and decode a video, chunks (B, C, t, H, W) of any size and length; nothing is random in it."""
        for chunk in chunks:
            size = (chunk.shape[3], chunk.shape[4])
            few = max(1, TOGETHER * self.scale**2 // (size[0] * size[1]))  # frames; more at once take memory alone
            for first in range(0, chunk.shape[2], few):
                yield self.decode(self.encode(chunk[:, :, first : first + few]), size)

    def sources(self, clips: Tensor) -> Tensor:
        return clips

    def embed(self, clips: Tensor) -> Tensor:
        """Return mean and deviation over places of the latents of clips, both averaged over time: (B, 2 c)."""
        deviation, mean = torch.std_mean(self.encode(clips), dim=(3, 4), correction=0)  # B c T
        return torch.cat([mean, deviation], dim=1).mean(dim=2)

    def interpolate(self, a: Tensor, b: Tensor, places: Iterable[float]) -> Iterator[Tensor]:
        first, last = self.encode(a), self.encode(b)
        for place in places:
            yield self.decode(torch.lerp(first, last, place), (a.shape[3], a.shape[4]))[0]

    def graphs(self) -> list[Graph]:
        """Return `encode` and `decode`, of frames of any size that is a multiple of the scale."""
        lens, side = self.lens, 8

        def encode(frames: Tensor) -> Tensor:
            return lens.encode(frames).float()

        def decode(latents: Tensor) -> Tensor:
            return lens.decode(latents).float().clamp(-1, 1)

        frames = torch.rand(2, self.clip.channels, side * self.scale, (side + 2) * self.scale) * 2 - 1
        latents = torch.randn(2, self.latent, side, side + 2)
        told = f"frames: (N, C, H, W) in [-1, 1]; latents: (N, {self.latent}, H / {self.scale}, W / {self.scale})."
        return [
            Graph("encode", told, lens, encode, {"frames": frames}, ("latents",), {"frames": (0, 2, 3)}, self.scale),
            Graph("decode", told, lens, decode, {"latents": latents}, ("frames",), {"latents": (0, 2, 3)}),
        ]

    def rehearse(self, run: RunGraph, clips: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
        for frames in clips.unbind(2):
            (latents,) = run("encode", frames=frames)
            yield run("decode", latents=latents)[0], frames

    def preview(self, reals: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        return {"reconstruction": self.decode(self.encode(reals), (reals.shape[3], reals.shape[4])), "real": reals}
