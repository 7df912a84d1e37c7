"""Trains the two networks of the invisible mark (`footage.trust.mark`), and writes their weights.

python benchmarks/mark_training.py VIDEO... --steps 5000 --to src/footage/trust/mark.safetensors

A step: a few clips of 16 frames at 64×64, a random pattern, a residual out of the first frame, an attack (a real codec,
half the size, a crop, or none), two frames extracted. The loss is softplus(-1.5 z) for the 32 statistics z that the
reader takes, of signs that are drawn anew each time, so that the networks know no key. Gradients pass a codec as if it
were what it does on average: low frequencies of luma pass, chroma hardly does. Training begins with a stronger mark.

Without videos, clips of stream-shapes and stream-digits and drawn ones are trained on. `--steps` are few by default:
enough to see that it runs.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import math
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from safetensors.numpy import save
from torch import Tensor, nn
from torch.nn.functional import (
    affine_grid,
    conv2d,
    grid_sample,
    interpolate,
    leaky_relu,
    pad,
    pixel_shuffle,
    pixel_unshuffle,
    softplus,
)

import footage
from footage import files
from footage.media.reader import Footage
from footage.trust.mark import BITS, CELLS, DILATIONS, MAP, PEAK, SIDE, SIGNS, STRENGTH, _entries

Frames = npt.NDArray[np.uint8]
FRAMES, BATCH = 16, 12
TRAINED_ON = "sample-videos of intel-iot-devkit, CC BY 4.0; clips of stream-shapes and stream-digits; drawn ones"
LUMA = ((0.299, 0.587, 0.114), (-0.169, -0.331, 0.5), (0.5, -0.419, -0.081))
"""From RGB to luma and chroma (BT.601)."""


def main() -> None:
    """Train, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path, nargs="*")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--to", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    sources = [windows(video, options.clips, rng) for video in options.videos]
    clips = np.stack([*itertools.chain(*sources), *made(options.clips), *drawn(options.clips, rng)])
    embedder, extractor = Embedder(), Extractor()
    weights = [*embedder.parameters(), *extractor.parameters()]
    averages = [weight.detach().clone() for weight in weights]
    optimizer, begun = torch.optim.Adam(weights, betas=(0.9, 0.98)), time.perf_counter()
    warm, seen = min(700, options.steps // 4), dict[str, list[float]]()
    for step in range(options.steps):
        share = min(1.0, step / max(1, warm))
        for group in optimizer.param_groups:
            decay = 0.02 + 0.49 * (1 + math.cos(math.pi * step / options.steps))
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 100) * decay
        kind, z = take_step(embedder, extractor, clips, max(STRENGTH, 6 * (STRENGTH / 6) ** share), share, rng)
        optimizer.zero_grad()
        softplus(-1.5 * z).mean().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(weights, 0.2)
        optimizer.step()
        for average, weight in zip(averages, weights, strict=True):
            average.lerp_(weight.detach(), max(1 / (step + 2), 0.002))
        seen.setdefault(kind, []).append(float((z > 0).float().mean()))
        if (step + 1) % 100 == 0 or step + 1 == options.steps:
            shares = ", ".join(f"{name} {np.mean(bits):.3f}" for name, bits in sorted(seen.items()))
            print(f"{step + 1:,} steps, {time.perf_counter() - begun:.0f} s, bits right: {shares}", flush=True)
            seen.clear()
    if options.to is not None:
        for average, weight in zip(averages, weights, strict=True):
            weight.data.copy_(average)
        export(embedder, extractor, options.to)


def windows(video: Path, count: int, rng: np.random.Generator) -> Iterator[Frames]:
    """Yield windows of a video's first frames, of any part of its picture, (16, 64, 64, 3)."""
    clip = Footage(video)
    height, width = clip.size()
    height, width = (max(SIDE, round(side * min(1, 360 / height))) for side in (height, width))
    chunks = clip.chunks(height=height, width=width, channels=3, fps=clip.rate() or 25)
    frames = list(itertools.islice((frame for chunk in chunks for frame in chunk), 600))
    for _ in range(count):
        share = math.exp(rng.uniform(math.log(72 / min(height, width)), 0)) if rng.random() < 0.7 else 1.0
        tall = int(height * share)
        wide = int(min(width, max(SIDE, tall * rng.uniform(0.8, 1.8)))) if share < 1 else width
        top, left = rng.integers(0, height - tall + 1), rng.integers(0, width - wide + 1)
        start = int(rng.integers(0, len(frames) - FRAMES + 1))
        parts = (frame[top : top + tall, left : left + wide] for frame in frames[start : start + FRAMES])
        yield np.stack([shrunk(part) for part in parts])


def shrunk(frame: Frames) -> Frames:
    """Return a frame at 64×64."""
    picture = Image.fromarray(np.ascontiguousarray(np.broadcast_to(frame, (*frame.shape[:2], 3))))
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BOX))


def made(count: int) -> Iterator[Frames]:
    """Yield clips of models that come with footage."""
    for name in ("stream-shapes", "stream-digits"):
        for clip in footage.load(name).generate(count, seed=50_000):
            frames = [frame for chunk in itertools.islice(clip.chunks(), FRAMES) for frame in chunk][:FRAMES]
            yield np.stack([shrunk(frames[min(number, len(frames) - 1)]) for number in range(FRAMES)])


def drawn(count: int, rng: np.random.Generator) -> Iterator[Frames]:
    """Yield clips of coloured noise of a natural spectrum that drifts, with discs and squares that move before it."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    frequency = np.hypot(np.fft.fftfreq(2 * SIDE)[:, None], np.fft.fftfreq(2 * SIDE)[None])
    frequency[0, 0] = 1

    def field(power: float) -> npt.NDArray[np.float64]:
        noise = np.fft.ifft2(np.fft.fft2(rng.normal(size=frequency.shape)) / frequency**power).real
        return np.asarray((noise - noise.mean()) / noise.std())

    for _ in range(count):
        power, contrast, level = rng.uniform(0.6, 1.8), rng.uniform(0, 60), rng.uniform(10, 245, 3)
        shared = field(power)
        plane = [level[channel] + contrast * (shared + rng.uniform(0, 0.5) * field(power)) for channel in range(3)]
        speed = rng.normal(0, 1.2, 2) * (rng.random() < 0.6)
        moving = [
            (rng.uniform(0, SIDE, 2), rng.normal(0, 1.5, 2), rng.uniform(4, 16), rng.uniform(0, 255, 3), rng.random())
            for _ in range(rng.integers(0, 4))
        ]
        clip = []
        for number in range(FRAMES):
            drift = tuple(round(-pace * number) for pace in speed)
            frame = np.roll(np.stack(plane, axis=-1), drift, (0, 1))[SIDE // 2 :][:SIDE, SIDE // 2 :][:, :SIDE].copy()
            for place, pace, radius, colour, round_one in moving:
                away = rows - place[0] - pace[0] * number, columns - place[1] - pace[1] * number
                distance = np.hypot(*away) if round_one < 0.5 else np.maximum(*np.abs(away))
                frame[distance < radius] = colour
            clip.append(np.clip(frame, 0, 255).round().astype(np.uint8))
        yield np.stack(clip)


class Embedder(nn.Module):
    """Makes a residual (N, 3, 64, 64) out of frames in [0, 255] and patterns (N, 16, 8, 8)."""

    blur: Tensor

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        pixels = 3 * (SIDE // CELLS) ** 2
        self.first, self.second = nn.Conv2d(pixels + SIGNS, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.last, self.pattern = nn.Conv2d(width, pixels, 1), nn.Conv2d(SIGNS, pixels, 1, bias=False)
        self.pattern.weight.data = waves()
        row = torch.tensor([1.0, 2.0, 1.0])
        self.register_buffer("blur", (row[:, None] * row / 16).expand(3, 1, 3, 3).clone())

    def forward(self, frames: Tensor, pattern: Tensor) -> Tensor:
        cells = pixel_unshuffle((frames - 128) / 64, SIDE // CELLS)
        hidden = leaky_relu(self.first(torch.cat([cells, pattern], dim=1)), 0.2)
        mixed = self.last(leaky_relu(self.second(hidden), 0.2)) + self.pattern(pattern)
        return conv2d(pad(pixel_shuffle(mixed, SIDE // CELLS), (1, 1, 1, 1), mode="replicate"), self.blur, groups=3)


def waves() -> Tensor:
    """Return what each of a cell's signs is at first, (192, 16, 1, 1): a wave of the cosine transform."""
    side = SIDE // CELLS
    places = (np.arange(side) + 0.5) * math.pi / side
    line = [np.cos(places * number) * math.sqrt((1 if number == 0 else 2) / side) for number in range(3)]
    colours = np.array([[1, 1, 1], [0, -0.344, 1.772], [1.402, -0.714, 0]])
    colours /= np.linalg.norm(colours, axis=1, keepdims=True)
    low = ((0, 0), (0, 1), (1, 0), (1, 1), (0, 2))
    kinds = [(0, *pair) for pair in (*low, (2, 0))] + [(colour, *pair) for colour in (1, 2) for pair in low]
    cells = [colours[colour][:, None, None] * np.outer(line[row], line[column]) for colour, row, column in kinds]
    return torch.tensor(np.stack(cells).reshape(SIGNS, -1).T.copy(), dtype=torch.float32)[..., None, None]


class Extractor(nn.Module):
    """Estimates the signs around each sample, (N, 16, h / 2, w / 2), of frames (N, 3, h, w) in [0, 255]."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        sizes = [12, *[width] * 4, 48]
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=dilation, dilation=dilation)
            for (before, after), dilation in zip(itertools.pairwise(sizes), DILATIONS, strict=True)
        )
        self.signs = nn.Conv2d(sizes[-1], SIGNS, 1)

    def forward(self, frames: Tensor) -> Tensor:
        hidden = pixel_unshuffle((frames - 128) / 64, 2)
        for layer in self.layers:
            new = leaky_relu(layer(hidden), 0.2)
            hidden = new + hidden if new.shape == hidden.shape else new
        signs: Tensor = self.signs(hidden)
        return signs


def strong(residual: Tensor, strength: float) -> Tensor:
    """Return residuals (N, 3, 64, 64) of a root mean square."""
    return residual * (strength / (residual.square().mean((1, 2, 3), keepdim=True) + 1e-6).sqrt())


def statistics(extracted: Tensor, pattern: Tensor) -> Tensor:
    """Return z of each bit, (N, 32): see `footage.trust.mark`; what was extracted is (N, 16, 32, 32)."""
    step = MAP // CELLS
    grid = extracted.view(-1, SIGNS, CELLS, step, CELLS, step)[:, :, :, 1:3][..., 1:3]
    estimate = grid.mean((3, 5)).flatten(1)
    bit = torch.from_numpy(_entries().transpose(2, 0, 1).reshape(-1).copy())
    zeros = torch.zeros(len(estimate), BITS)
    sums = zeros.index_add(1, bit, estimate * pattern.flatten(1))
    return sums / (zeros.index_add(1, bit, estimate.square()) + 1e-8).sqrt()


def take_step(
    embedder: Embedder, extractor: Extractor, clips: Frames, strength: float, share: float, rng: np.random.Generator
) -> tuple[str, Tensor]:
    """Return the attack that was drawn, and z (N, 32) after it."""
    chosen = clips[np.sort(rng.integers(0, len(clips), BATCH))]
    chosen = chosen[:, ::2] if rng.random() < 0.5 else chosen[:, : FRAMES // 2]
    if rng.random() < 0.3:
        chosen = chosen[:, :, :, ::-1]
    if rng.random() < 0.3:
        chosen = chosen[..., rng.permutation(3)]
    if grey := rng.random() < 0.12:
        chosen = np.broadcast_to(chosen.mean(-1, keepdims=True), chosen.shape).round().astype(np.uint8)
    video = torch.from_numpy(np.ascontiguousarray(chosen)).permute(0, 1, 4, 2, 3).float()  # N T H W C -> N T C H W
    pattern = torch.randint(0, 2, (BATCH, SIGNS, CELLS, CELLS)).float() * 2 - 1
    residual = embedder(video[:, 0], pattern)
    if grey:
        residual = residual.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    residual = strong(PEAK * torch.tanh(strong(residual, strength) / PEAK), strength)
    video = (video + residual[:, None]).clamp(0, 255)
    video = video + (video.round() - video).detach()
    kind = str(rng.choice(["none", "codec", "half", "crop"], p=[0.04, 0.62, 0.14, 0.2]))
    if kind == "codec":
        video = coded(video, share, rng)
    pair = torch.cat([video[:, rng.integers(0, FRAMES // 4)], video[:, rng.integers(FRAMES // 4, FRAMES // 2)]])
    extracted = extractor_after(extractor, pair, kind, rng)
    return kind, statistics((extracted[:BATCH] + extracted[BATCH:]) / 2, pattern)


def extractor_after(extractor: Extractor, frames: Tensor, kind: str, rng: np.random.Generator) -> Tensor:
    """Return what is extracted, (N, 16, 32, 32), of frames that are shrunk or cropped, and a little out of place."""
    if kind == "half":
        small = int(rng.choice([32, 32, 40, 48, 28]))
        frames = interpolate(frames, (small, small), mode="bilinear", antialias=True)
        frames = frames + torch.rand_like(frames) - 0.5
        frames = interpolate(frames, (SIDE, SIDE), mode="bicubic").clamp(0, 255)
    if kind == "crop" or (kind != "none" and rng.random() < 0.4):
        grown = 1 + rng.normal(0, 0.012 if kind == "crop" else 0.004)
        down, right = rng.uniform(-1, 1, 2) * (0.6 if kind == "crop" else 0.4) * 2 / SIDE
        matrix = torch.tensor([[grown, 0, right], [0, grown, down]], dtype=torch.float32).expand(len(frames), 2, 3)
        grid = affine_grid(matrix, list(frames.shape), align_corners=False)
        frames = grid_sample(frames, grid, padding_mode="border", align_corners=False)
    if rng.random() < 0.2:
        frames = (frames - 128) * rng.uniform(0.85, 1.15) + 128 + rng.normal(0, 8)
    if kind != "crop":
        return extractor(frames)  # type: ignore[no-any-return]
    side = int(rng.integers(20, 31))
    top, left = (int(place) for place in rng.integers(0, MAP + 1 - side, 2))
    part = frames[:, :, 2 * top : 2 * (top + side), 2 * left : 2 * (left + side)]
    return pad(extractor(part), (left, MAP - side - left, top, MAP - side - top))


def coded(video: Tensor, share: float, rng: np.random.Generator) -> Tensor:
    """Return what a codec leaves of videos (N, T, 3, 64, 64); gradients pass as if it left low luma."""
    frames = video.detach().permute(0, 1, 3, 4, 2).round().numpy().astype(np.uint8)
    if rng.random() < 0.7:
        crf = int(rng.integers(22, 32) if rng.random() < share else rng.integers(16, 33))
        preset = "veryfast" if rng.random() < 0.7 else "medium"
        codec, options = "libx264", {"crf": str(crf), "preset": preset, "x264-params": "log-level=none"}
    else:
        options = {"crf": str(int(rng.integers(18, 42))), "b": "0", "cpu-used": "5", "deadline": "realtime"}
        codec = "libvpx-vp9"
    decoded = torch.from_numpy(np.stack([encoded(clip, codec, options) for clip in frames])).permute(0, 1, 4, 2, 3)
    colours, line = torch.tensor(LUMA), torch.exp(-torch.arange(-4.0, 5).square() / 4.5)
    line = line / line.sum()
    planes = torch.einsum("ij,njhw->nihw", colours, video.flatten(0, 1))
    planes = conv2d(pad(planes, (4, 4, 4, 4), mode="replicate"), line.view(1, 1, 9, 1).expand(3, 1, 9, 1), groups=3)
    planes = conv2d(planes, line.view(1, 1, 1, 9).expand(3, 1, 1, 9), groups=3)
    planes = planes * torch.tensor([1.0, 0.12, 0.12]).view(1, 3, 1, 1)
    passed = torch.einsum("ij,njhw->nihw", torch.linalg.inv(colours), planes).view(video.shape)
    return passed + (decoded.float() - passed).detach()


def encoded(clip: Frames, codec: str, options: dict[str, str]) -> Frames:
    """Return what a codec leaves of a clip (T, H, W, 3)."""
    encoder: Any = av.CodecContext.create(codec, "w")
    encoder.height, encoder.width, encoder.pix_fmt = *clip.shape[1:3], "yuv420p"
    encoder.time_base, encoder.framerate, encoder.thread_count = Fraction(1, 25), Fraction(25), 1
    encoder.options = options
    decoder: Any = av.CodecContext.create({"libx264": "h264", "libvpx-vp9": "vp9"}[codec], "r")
    packets: list[Any] = []
    for number, frame in enumerate(clip):
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture.pts, picture.time_base = number, encoder.time_base
        packets += encoder.encode(picture)
    packets += encoder.encode(None)
    return np.stack([f.to_ndarray(format="rgb24") for packet in (*packets, None) for f in decoder.decode(packet)])


def export(embedder: Embedder, extractor: Extractor, to: Path) -> None:
    """Write the weights as the mark reads them, in half precision, and print the SHA-256 that it has to be told."""
    layers: dict[str, nn.Conv2d] = {"embed.0": embedder.first, "embed.1": embedder.second, "embed.2": embedder.last}
    layers |= {f"extract.{number}": layer for number, layer in enumerate(extractor.layers)}  # type: ignore[misc]
    layers |= {"extract.signs": extractor.signs, "embed.pattern": embedder.pattern}
    arrays = {}
    for name, layer in layers.items():
        matrix = layer.weight.detach().permute(2, 3, 1, 0).reshape(-1, layer.out_channels)  # rows, columns, inputs
        arrays[f"{name}.weight"] = np.ascontiguousarray(matrix.numpy().astype(np.float16))
        if layer.bias is not None:
            arrays[f"{name}.bias"] = layer.bias.detach().numpy().astype(np.float16)
    content = save(arrays, metadata={"format": "footage mark", "version": "1", "trained on": TRAINED_ON})
    with files.replacing(to) as temporary:
        temporary.write_bytes(content)
    print(f"{to}: {len(content):,} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
