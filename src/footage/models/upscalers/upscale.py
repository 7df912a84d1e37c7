"""Upscaling: frames of low resolution become those of high resolution, each out of a short window around it.

All convolutions work at the low resolution (Shi et al. 2016); what they give is added to the bicubic enlargement of the
frame. The frames of the window enter side by side as channels. Nothing is carried from frame to frame, hence no drift.

It learns by how far its frames lie from the true ones, which the low-resolution ones were made from; by what they come
to when they are shrunk again; and, for detail that looks real, from critics and their features. Low-resolution clips
are made from real ones by shrinking, and spoilt as real ones are: by blur, noise and codecs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu, pixel_shuffle

from footage.config import Config, DegradeConfig
from footage.config.registry import imported
from footage.config.sections import unlimited
from footage.media import encode
from footage.metrics.image_quality import clip_psnr
from footage.models.base import Batch, Graph, RunGraph, Sampler
from footage.models.layers import LEAK, PreactivationBlock, blurred, by_frame, channel_levels, set_levels, tiled
from footage.models.supervised import StepOutput, SupervisedMethod
from footage.models.upscalers import UpscalerConfig


class Upscaler(nn.Module):
    """Frames (B, C, T, h, w) -> those with a whole window, enlarged: (B, C, T - past - future, s h, s w)."""

    def __init__(self, channels: int, net: UpscalerConfig) -> None:
        super().__init__()
        self.scale, self.past, self.future = net.scale, net.past, net.future
        self.window = net.past + 1 + net.future
        self.enter = nn.Conv2d(self.window * channels, net.width, 3, padding=1)
        self.blocks = nn.ModuleList(PreactivationBlock(net.width) for _ in range(net.blocks))
        self.leave = nn.Conv2d(net.width, channels * net.scale**2, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def reach(self) -> int:
        """How many low-resolution pixels away something can change a pixel: one for each convolution of 3×3."""
        return 2 + 2 * len(self.blocks)  # the bicubic kernel reaches 2 pixels, beside them

    def forward(self, frames: Tensor) -> Tensor:
        """Return the enlarged frames, linear, around [-1, 1], in the precision of what was given."""
        batch, count = frames.shape[0], frames.shape[2] - self.window + 1
        assert count > 0, f"{frames.shape[2]} frames have no window of {self.window}"
        windows = torch.cat([frames[:, :, i : i + count] for i in range(self.window)], dim=1)  # B (w C) t h w
        pictures = windows.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)  # (B t) w C h w
        x = self.enter(pictures)
        for block in self.blocks:
            x = block(x)
        detail = pixel_shuffle(self.leave(leaky_relu(x, LEAK)), self.scale)  # (B t) C s h s w
        middle = frames[:, :, self.past : self.past + count].transpose(1, 2).flatten(0, 1)  # (B t) C h w
        pictures = enlarged(middle, self.scale).add_(detail)  # in its precision
        return rearrange(pictures, "(b t) c h w -> b c t h w", b=batch)


def enlarged(pictures: Tensor, scale: int) -> Tensor:
    """Enlarge pictures (N, C, h, w) by the bicubic kernel: (N, C, s h, s w); in float32 under autocast too."""
    size = (pictures.shape[2] * scale, pictures.shape[3] * scale)
    with torch.autocast(pictures.device.type, enabled=False):
        # Antialiasing changes nothing here but the speed: 2.6 to 1.
        return interpolate(pictures, size, mode="bicubic", align_corners=False, antialias=True)


def whole_windows(frames: Tensor, past: int, future: int) -> Tensor:
    """Repeat the first and the last frame, (B, C, T, h, w), so that each frame has a whole window."""
    first, last = frames[:, :, :1], frames[:, :, -1:]
    return torch.cat([*[first] * past, frames, *[last] * future], dim=2)


KERNELS = ("bicubic", "bilinear", "area")
"""Kernels that spoilt clips are shrunk by."""
HABITS = ("none", "chroma", "jpeg", "h264", "h264")
"""What is done at last, each as often; H.264 twice as often."""


@dataclass(frozen=True)
class Degradation:
    """How one clip is spoilt."""

    kernel: str = "bicubic"
    """By which kernel it is shrunk: one of `KERNELS`."""
    blur: float = 0.0
    """Standard deviation of the blur before, in pixels of the small picture."""
    noise: float = 0.0
    """Standard deviation of the noise, for pixels in [-1, 1]."""
    habit: str = "none"
    """What is done at last: one of `HABITS`."""
    quality: float = 0.0
    """From the least to the greatest loss of a codec."""


CLEAN = Degradation()
"""Shrunk by the bicubic kernel, and no more."""


def draw_degradations(config: DegradeConfig, batch: Batch) -> list[Degradation]:
    """Draw how each clip of a batch is spoilt, the same whatever the number of processes."""
    degradations = []
    for chance, kernel, blur_chance, blur, noise_chance, noise, habit, quality in batch.uniform(8).tolist():
        if chance >= config.probability:
            degradations.append(CLEAN)
            continue
        degradations.append(
            Degradation(
                kernel=KERNELS[int(kernel * len(KERNELS))],
                blur=config.blur * blur if blur_chance < 0.5 else 0.0,
                noise=2 * config.noise * noise if noise_chance < 0.5 else 0.0,
                habit=HABITS[int(habit * len(HABITS))],
                quality=quality,
            )
        )
    return degradations


def degrade(
    clips: Tensor, scale: int, config: DegradeConfig, degradations: list[Degradation], noise: Tensor | None
) -> Tensor:
    """Make low-resolution clips, (B, C, T, H, W) in [-1, 1] -> (B, C, T, H / scale, W / scale), of 256 levels.

    Args:
        clips: of high resolution.
        scale: how many times as small they become.
        config: how good and bad the codecs are.
        degradations: how each clip is spoilt.
        noise: standard normal numbers of the shape of the result; None where no clip has noise.
    """
    rows: list[Tensor] = []
    for clip, degradation in zip(clips, degradations, strict=True):
        frames = clip.transpose(0, 1)  # T C H W
        if degradation.blur:
            frames = blurred(frames, degradation.blur * scale)
        rows.append(shrunk(frames, scale, degradation.kernel).transpose(0, 1))  # C T h w
    small = torch.stack(rows)
    if noise is not None:
        spread = torch.tensor([degradation.noise for degradation in degradations]).to(small).view(-1, 1, 1, 1, 1)
        small = small + spread * noise.to(small)
    small = levelled(small)
    for number, degradation in enumerate(degradations):
        if degradation.habit == "chroma":
            small[number] = halved_chroma(small[number])
        elif degradation.habit in ("h264", "jpeg"):  # what a codec leaves
            levels = small[number].add(1).mul(127.5).round().to(torch.uint8).cpu()
            pictures = rearrange(levels, "c t h w -> t h w c").numpy()
            colours = np.repeat(pictures, 3, axis=3) if pictures.shape[3] == 1 else pictures
            if degradation.habit == "h264":
                loss = config.crf_low + degradation.quality * (config.crf_high - config.crf_low)
                decoded = encode.h264(colours, round(loss))
            else:
                quality = config.jpeg_high - degradation.quality * (config.jpeg_high - config.jpeg_low)
                decoded = encode.jpeg(colours, round(quality))
            left = torch.from_numpy(decoded[..., : pictures.shape[3]].copy()).to(small)
            small[number] = rearrange(left, "t h w c -> c t h w").div(127.5).sub(1)
    return small


def levelled(clips: Tensor) -> Tensor:
    """Round pixels in [-1, 1] to the 256 levels that files have."""
    return clips.add(1).mul(127.5).round().clamp(0, 255).div(127.5).sub(1)


def shrunk(frames: Tensor, scale: int, kernel: str = "bicubic") -> Tensor:
    """Shrink pictures (N, C, H, W), without aliasing: (N, C, H / scale, W / scale); gradients pass."""
    size = (frames.shape[2] // scale, frames.shape[3] // scale)
    with torch.autocast(frames.device.type, enabled=False):
        if kernel == "area":
            return avg_pool2d(frames, scale)
        return interpolate(frames, size, mode=kernel, antialias=True, align_corners=False)


# Luma y = .299 r + .587 g + .114 b stays (BT.601); the rest is averaged over squares of two pixels, and enlarged again.
def halved_chroma(clip: Tensor) -> Tensor:
    """Halve the resolution of a clip's colour, (C, T, h, w) -> the same; grey stays as it is."""
    if clip.shape[0] == 1:
        return clip
    weights = torch.tensor([0.299, 0.587, 0.114]).to(clip).view(3, 1, 1, 1)
    luma = (clip * weights).sum(dim=0, keepdim=True)
    chroma = (clip - luma).transpose(0, 1)  # T C h w
    small = avg_pool2d(chroma, 2, ceil_mode=True)
    wide = interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)
    wide = wide[..., : clip.shape[2], : clip.shape[3]]
    return levelled((luma + wide.transpose(0, 1)).clamp(-1, 1))


TILE = 512
"""Longest side of what is enlarged at once, in pixels of the small frames."""


class Upscale(SupervisedMethod):
    """An upscaler, and critics where there are any; see `footage.models.base.Method`."""

    own_curves: ClassVar = {
        "Absolute error of a pixel, pixels in [-1, 1]": ("l1", "heldout_l1"),
        "Peak signal-to-noise ratio, dB": ("psnr", "heldout_psnr", "bicubic_psnr", "heldout_bicubic_psnr"),
        "What is left of the source, absolute error": ("consistency", "heldout_consistency"),
    }

    def __init__(self, config: Config, labels: int) -> None:
        super().__init__(config, labels)
        assert isinstance(config.net, UpscalerConfig)
        self.net = config.net

    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Tell the critics the levels of real clips and of their detail; the upscaler needs none."""
        mean, sd = channel_levels(self.shown(clips) for clips in batches)
        set_levels(mean, sd, *self.critic_nets())

    def shown(self, clips: Tensor) -> Tensor:
        """Return what critics see of clips, (B, C, T, H, W) -> (B, 2 C, T, H, W): them, and what shrinking loses.

        That is all that an upscaler adds, and little beside the rest: critics that have to find it learn slowly.
        """
        scale = self.net.scale
        kept = by_frame(lambda frames: enlarged(shrunk(frames, scale), scale), clips)
        return torch.cat([clips, clips - kept], dim=1)

    def forward_step(self, batch: Batch, clips_seen: int, judged: bool) -> StepOutput:
        """Shrink and spoil each clip, and enlarge what is left of it."""
        config, net = self.config, self.net
        last = batch.clips.shape[2] - net.future
        real = batch.clips[:, :, net.past : last]
        degradations = draw_degradations(config.upscale.degrade, batch)
        clip = config.clip
        small = (clip.channels, clip.frames, clip.height // net.scale, clip.width // net.scale)
        drawn = batch.normal(*small)  # whether it is needed or not: what follows is not to depend on it
        noise = drawn if any(degradation.noise for degradation in degradations) else None
        with torch.no_grad():
            source = degrade(batch.clips, net.scale, config.upscale.degrade, degradations, noise)
            begins, ends = (batch.uniform(2) < config.upscale.ends).view(-1, 2, 1, 1, 1, 1).unbind(1)
            if net.past:  # some clips begin with their first whole window
                source[:, :, : net.past] = torch.where(begins, source[:, :, [net.past]], source[:, :, : net.past])
            if net.future:  # and some end with their last
                source[:, :, last:] = torch.where(ends, source[:, :, [last - 1]], source[:, :, last:])
            base = by_frame(lambda frames: enlarged(frames, net.scale), source[:, :, net.past : last])
        fakes: Tensor = self.nets["generator"](source).to(real.dtype)
        small_fakes, small_real = (by_frame(lambda frames: shrunk(frames, net.scale), clips) for clips in (fakes, real))
        consistency = (small_fakes - small_real).abs().mean()
        loss = config.learn.weight * self.difference(fakes, real) + config.upscale.consistency * consistency
        shown = fakes.detach()
        log = {
            "l1": (shown - real).abs().mean(),
            "psnr": clip_psnr(shown, real).mean(),
            "bicubic_psnr": clip_psnr(base, real).mean(),
            "consistency": consistency.detach(),
        }
        if config.upscale.stability:
            changes = (fakes.diff(dim=2) - real.diff(dim=2)).abs().mean()
            loss, log["stability"] = loss + config.upscale.stability * changes, changes.detach()
        output = StepOutput(loss, log)
        if config.critics and judged:
            window = self.window(batch)
            output.judged[""] = (self.shown(real)[window], self.shown(fakes)[window])
        return output

    def heldout_clips(self, batch: Batch, target: str) -> Tensor | None:
        if batch.heldout is None:
            return None
        return self.shown(batch.heldout[0][:, :, self.net.past : batch.heldout[0].shape[2] - self.net.future])

    @classmethod
    def sampling_nets(cls, config: Config, labels: int) -> dict[str, nn.Module]:
        upscaler: nn.Module = imported(config.net.network)(config.clip.channels, config.net)
        return {"generator": upscaler}

    @classmethod
    def sampler_of(cls, config: Config, nets: dict[str, nn.Module]) -> Sampler:
        net = nets["generator"]
        assert isinstance(net, Upscaler)
        return UpscaleSampler(config, net)


class UpscaleSampler:
    """Videos of any size, enlarged in constant memory; see `footage.models.base.Enlarges`."""

    given = 0

    def __init__(self, config: Config, net: Upscaler) -> None:
        self.config, self.clip, self.net = config, config.clip, net.eval()
        self.scale, self.past, self.reach = net.scale, net.past, net.reach
        clip = config.clip
        self.source = unlimited(clip.frames, clip.height // net.scale, clip.width // net.scale, clip.channels)
        self.device = next(net.parameters()).device

    def sources(self, clips: Tensor) -> Tensor:
        """Return clips (B, C, T, H, W) shrunk by the bicubic kernel; see `footage.models.base.Converts`."""
        return degrade(clips, self.scale, self.config.upscale.degrade, [CLEAN] * len(clips), None)

    def enlarge(self, windows: Tensor, tile: int = TILE, bf16: bool = False) -> Tensor:
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            upscaled = tiled(self.net, windows.to(self.device), tile=tile, reach=self.reach, scale=self.scale)
            return upscaled.float().clamp_(-1, 1)

    def convert(self, chunks: Iterable[Tensor], seed: int = 0, told: Tensor | None = None) -> Iterator[Tensor]:
        return self.stream(chunks)

    def stream(self, chunks: Iterable[Tensor], tile: int = TILE, bf16: bool = False) -> Iterator[Tensor]:
        net = self.net
        held: Tensor | None = None
        for chunk in chunks:
            held = whole_windows(chunk, net.past, 0) if held is None else torch.cat([held, chunk], dim=2)
            if held.shape[2] >= net.window:
                yield self.enlarge(held, tile, bf16)
                held = held[:, :, held.shape[2] - net.window + 1 :].clone()
        if held is not None and net.future:
            rest = whole_windows(held, 0, net.future)
            if rest.shape[2] >= net.window:
                yield self.enlarge(rest, tile, bf16)

    def graphs(self) -> list[Graph]:
        """Return `enlarge`, of pictures of any size."""
        channels, window, net = self.clip.channels, self.net.window, self.net

        def enlarge(windows: Tensor) -> Tensor:
            upscaled: Tensor = net(windows).float().clamp(-1, 1)
            return upscaled

        about = (
            f"windows: {window} successive frames, (B, C, T, h, w) in [-1, 1], {self.past} of them before the one "
            f"that is enlarged; at a video's ends the nearest again. frames: (B, C, 1, {self.scale} h, {self.scale} w)."
        )
        inputs = {"windows": torch.rand(2, channels, window, 24, 20) * 2 - 1}
        return [Graph("enlarge", about, net, enlarge, inputs, ("frames",), {"windows": (0, 3, 4)})]

    def rehearse(self, run: RunGraph, clips: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
        net = self.net
        source = whole_windows(self.sources(clips), net.past, net.future)
        for first in range(clips.shape[2]):
            yield run("enlarge", windows=source[:, :, first : first + net.window])[0], clips[:, :, [first]]

    def preview(self, reals: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        source = self.sources(reals)
        upscaled = self.enlarge(whole_windows(source, self.net.past, self.net.future))
        plain = by_frame(lambda frames: enlarged(frames, self.scale), source).clamp(-1, 1)
        return {"upscaled": upscaled, "bicubic": plain, "real": reals}
