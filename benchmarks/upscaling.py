"""Upscalers beside bicubic and Lanczos on the parts of videos that they were not trained on.

python benchmarks/upscaling.py VIDEOS MODEL [MODEL ...] [--frames 24] [--crf 28] [--sheet FOLDER]

Luma PSNR and SSIM: of BT.601's luma of whole frames. Sharpness: the mean length of the gradient as a part of
the original's. Flicker: the mean difference between a frame and the next one, warped onto it by the original's optical
flow (Horn and Schunck), as a part of the original's. With `--crf`, the small frames went through H.264 first.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from footage.data.crops import VideoCrops
from footage.generation.model import Model
from footage.generation.rollout import from_uint8, to_uint8
from footage.media.decode import read_window
from footage.media.encode import h264
from footage.metrics.image_quality import psnr, sharpness, ssim
from footage.metrics.motion import horn_schunck
from footage.models.base import Enlarges
from footage.models.upscalers.upscale import shrunk

Frames = npt.NDArray[np.uint8]
FIGURES = ("PSNR, dB", "SSIM", "sharpness", "flicker")


def luma(clip: Tensor) -> Tensor:
    """Return the luma of a clip, (1, 3, T, H, W) -> (1, 1, T, H, W)."""
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1, 1)
    return (clip * weights).sum(dim=1, keepdim=True)


def warped_difference(clip: Tensor, flow: Tensor) -> Tensor:
    """Return the mean difference of each frame and the next one, warped onto it: (1, 1, T, H, W), (1, 2, T-1, h, w)."""
    height, width = clip.shape[3:]
    steps = flow[0].transpose(0, 1) * (width / flow.shape[4])  # T-1 2 h w, in pixels of the clip
    steps = interpolate(steps, (height, width), mode="bilinear", align_corners=False)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([(x + steps[:, 0]) * 2 + 1, (y + steps[:, 1]) * 2 + 1], dim=-1)
    places = places / torch.tensor([width, height]) - 1
    frames = clip[0].transpose(0, 1)  # T 1 H W
    there = grid_sample(frames[1:], places, mode="bilinear", padding_mode="border", align_corners=False)
    return (frames[:-1] - there).abs().mean()


def with_kernel(small: Frames, scale: int, kernel: Image.Resampling) -> Frames:
    """Enlarge frames, uint8 (T, h, w, 3), by a kernel."""
    size = (small.shape[2] * scale, small.shape[1] * scale)
    return np.stack([np.asarray(Image.fromarray(frame).resize(size, kernel)) for frame in small])


def enlarge(model: Model, small: Frames) -> Frames:
    """Enlarge frames, uint8 (T, h, w, 3), by a model."""
    sampler = model.sampler
    assert isinstance(sampler, Enlarges), f"{model.info.name} makes nothing larger"
    chunks = (from_uint8(small[None, i : i + 4]) for i in range(0, len(small), 4))
    return np.concatenate([to_uint8(chunk)[0] for chunk in sampler.stream(chunks)])


def figures(made: Tensor, real: Tensor, flow: Tensor) -> tuple[float, ...]:
    """Return all figures of made luma beside the real one."""
    sharp = float(sharpness(made).mean() / sharpness(real).mean())
    flicker = float(warped_difference(made, flow) / warped_difference(real, flow))
    return float(psnr(made, real).mean()), float(ssim(made, real).mean()), sharp, flicker


def crops(rows: dict[str, Frames], side: int = 120, times: int = 3) -> Image.Image:
    """Return the same crop of each version side by side, of the place with most detail in the middle frame."""
    frame = len(next(iter(rows.values()))) // 2
    real = rows["original"][frame].astype(float).mean(axis=2)
    slope = np.abs(np.diff(real, axis=1))[:, :-1]
    best = max(
        ((y, x) for y in range(0, real.shape[0] - side, 40) for x in range(0, real.shape[1] - side - 2, 40)),
        key=lambda at: slope[at[0] : at[0] + side, at[1] : at[1] + side].mean(),
    )
    cut = [row[frame][best[0] : best[0] + side, best[1] : best[1] + side] for row in rows.values()]
    return Image.fromarray(
        np.concatenate([np.kron(part, np.ones((times, times, 1), np.uint8)) for part in cut], axis=1)
    )


def main() -> None:
    """Print the table; write the crops."""
    parser = argparse.ArgumentParser()
    parser.add_argument("videos", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--crf", type=int, default=None)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    models = [Model(folder) for folder in options.models]
    first = models[0].sampler
    assert isinstance(first, Enlarges)
    scale, source = first.scale, VideoCrops(options.videos, models[0].info.config.clip)
    found: dict[str, list[tuple[float, ...]]] = {}
    for stretch in source.stretches("heldout"):
        frames = min(options.frames, stretch.frames)
        real, _ = read_window(stretch.path, stretch.first / stretch.fps, frames)
        height, width = (side // scale * scale for side in real.shape[1:3])
        real = real[:, :height, :width]
        small = to_uint8(shrunk(from_uint8(real[None])[0].transpose(0, 1), scale).transpose(0, 1)[None])[0]
        if options.crf is not None:
            small = h264(small, options.crf)
        rows = {
            "bicubic": with_kernel(small, scale, Image.Resampling.BICUBIC),
            "Lanczos": with_kernel(small, scale, Image.Resampling.LANCZOS),
            **{model.info.name: enlarge(model, small) for model in models},
            "original": real,
        }
        truth = luma(from_uint8(real[None]))
        flow = horn_schunck(from_uint8(real[None]), side=128, iterations=48)
        for name, row in rows.items():
            if name != "original":
                found.setdefault(name, []).append(figures(luma(from_uint8(row[None])), truth, flow))
        told = "  ".join(f"{name} {values[-1][0]:.2f}" for name, values in found.items())
        print(f"{stretch.name}, {width}×{height}, {frames} frames: {told}")
        if options.sheet:
            options.sheet.mkdir(parents=True, exist_ok=True)
            crops(rows).save(options.sheet / f"{Path(stretch.name).stem}.png")
    print(f"\n| ×{scale}, luma, mean of {len(found['bicubic'])} videos | " + " | ".join(FIGURES) + " |")
    print("|---" * (len(FIGURES) + 1) + "|")
    for name, values in found.items():
        means = np.mean(values, axis=0)
        print(f"| {name} | {means[0]:.2f} | {means[1]:.4f} | {means[2]:.3f} | {means[3]:.3f} |")
    if options.sheet:
        print(f"crops in {options.sheet}, from left to right: {', '.join(rows)}")


if __name__ == "__main__":
    with torch.inference_mode():
        main()
