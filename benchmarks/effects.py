"""Effects on real videos: python benchmarks/effects.py [--frames 150] VIDEO VIDEO...

- stabilise: a window goes over each video on a known path, a slow drift and a shake of 3 pixels. Where each frame of
  the result looks is told by the median of the dense flow from the frame that does not shake, which has no part in the
  effect; jitter is the mean length of the path's second differences, before and after.
- loop: the step from the last frame to the first, against the median step within.
- reframe: the part of all change between frames that lies within the cut of 9:16, against a cut in the middle.
- speed: how many frames a ramp from 1 to .5 to 2 has, against the integral. reverse, boomerang: PSNR of the frames
  against those of the video, in their order.

Videos with cuts are no material for the first three.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from footage.generation.cutting.effects import (
    Boomerang,
    Loop,
    Material,
    Reframe,
    Reverse,
    Scratch,
    Speed,
    Stabilise,
    moved_crop,
)
from footage.generation.cutting.flow import optical_flow
from footage.generation.cutting.joins import picture_step
from footage.media.decode import VideoDecoder
from footage.media.probe import probe

Frames = npt.NDArray[np.uint8]
BORDER, SHAKE = 24, 3.0


def material(frames: Frames, rate: Fraction) -> Material:
    """Return frames as what effects work on."""

    def pictures(first: int) -> Iterator[Frames]:
        return iter(frames[first:])

    return Material((frames.shape[1], frames.shape[2]), rate, len(frames), pictures, None)


def looked_at(made: Frames, still: Frames) -> npt.NDArray[np.float64]:
    """Return where each frame looks, (T, 2), x and y in pixels, from where `still` does."""
    places = []
    for frame, other in zip(made, still, strict=True):
        pair = [torch.from_numpy(each.copy()).permute(2, 0, 1)[None].float() / 255 for each in (frame, other)]
        places.append(optical_flow(*pair)[0].flatten(1).median(dim=1).values.numpy())
    return np.stack(places).astype(np.float64)


def jitter(path: npt.NDArray[np.float64]) -> float:
    """Return the mean length of the second differences of a path."""
    return float(np.hypot(*np.diff(path, 2, axis=0).T).mean())


def stabilised(frames: Frames, rate: Fraction) -> str:
    """Shake a video and steady it."""
    rng, count = np.random.default_rng(0), len(frames)
    drift = np.stack([np.linspace(-6, 6, count), 4 * np.sin(np.arange(count) / 40)], axis=1)
    path = drift + np.clip(rng.normal(0, SHAKE, (count, 2)), -8, 8)
    size = (frames.shape[1] - 2 * BORDER, frames.shape[2] - 2 * BORDER)
    shaken = np.stack([moved_crop(f, BORDER + x, BORDER + y, size) for f, (x, y) in zip(frames, path, strict=True)])
    steady = Stabilise().apply(material(shaken, rate), Scratch(Path("unused.mp4"), {}))
    made = np.stack(list(steady.pictures(0)))
    top, left = ((whole - part) // 2 for whole, part in zip(frames.shape[1:3], steady.size, strict=True))
    seen = looked_at(made, frames[:, top : top + steady.size[0], left : left + steady.size[1]])
    away = np.hypot(*(seen - drift - (seen - drift).mean(axis=0)).T)
    return (
        f"jitter {jitter(path):.2f} pixels before, {jitter(seen):.2f} after, {jitter(path) / jitter(seen):.1f} times "
        f"less; from the drift alone {np.sqrt(np.square(away).mean()):.2f} pixels (before "
        f"{np.sqrt(np.square(path - drift).sum(axis=1).mean()):.2f})"
    )


def reframed(frames: Frames, rate: Fraction) -> str:
    """Follow what moves, and say how much of the change is seen."""
    height, width = frames.shape[1:3]
    ramp = np.broadcast_to(np.round(np.arange(width) * 255 / width), (height, width)).astype(np.uint8)
    looks = [frames, np.broadcast_to(ramp[..., None], frames.shape)]  # the second time its frames say where they are

    def pictures(first: int) -> Iterator[Frames]:
        return iter(looks.pop(0)[first:])

    cut = Reframe().apply(Material((height, width), rate, len(frames), pictures, None), Scratch(Path("unused.mp4"), {}))
    lefts = [int(frame[0, 0, 0]) * width / 255 for frame in cut.pictures(0)]
    kept = middle = total = 0.0
    for number, (one, other) in enumerate(itertools.pairwise(frames), 1):
        change = np.maximum(0, np.abs(other.astype(int) - one).mean(axis=2) - 4).sum(axis=0)
        total += change.sum()
        for_cut, for_middle = round(lefts[number]), (width - cut.size[1]) // 2
        kept += change[for_cut : for_cut + cut.size[1]].sum()
        middle += change[for_middle : for_middle + cut.size[1]].sum()
    return f"{kept / total:.3f} of the change within, in the middle {middle / total:.3f}"


def looped(frames: Frames, rate: Fraction) -> str:
    """Make a loop, and measure its seam."""
    loop = Loop(least=1, most=4).apply(material(frames, rate), Scratch(Path("unused.mp4"), {}))
    made = list(loop.pictures(0))
    steps = list(itertools.starmap(picture_step, itertools.pairwise(made)))
    own = list(itertools.starmap(picture_step, itertools.pairwise(frames)))
    return (
        f"{len(made)} frames, seam {picture_step(made[-1], made[0]):.2f} levels, within {np.median(steps):.2f} in "
        f"the median and {max(steps):.2f} at most, of the video {np.median(own):.2f} and {max(own):.2f}"
    )


def ordered(frames: Frames, rate: Fraction) -> str:
    """Turn a video around, there and back, and along a ramp."""

    def quality(made: list[Frames], expected: Frames) -> str:
        error = np.mean([np.square(a.astype(int) - b).mean() for a, b in zip(made, expected, strict=True)])
        return f"{10 * np.log10(255**2 / max(float(error), 1e-9)):.1f} dB"

    with tempfile.TemporaryDirectory() as folder:
        scratch = Scratch(Path(folder) / "a.mp4", {})
        back = quality(list(Reverse().apply(material(frames, rate), scratch).pictures(0)), frames[::-1])
        both = Boomerang().apply(material(frames, rate), scratch)
        there_and_back = quality(list(both.pictures(0)), np.concatenate([frames, frames[-2:0:-1]]))
    seconds = len(frames) / float(rate)
    ramp = ((0.0, 1.0), (seconds / 2, 0.5), (seconds, 2.0))
    times = np.linspace(0, seconds, 100_001)
    at, speeds = np.array(ramp).T
    right = float(np.mean(1 / np.interp(times, at, speeds))) * len(frames)
    made = Speed(ramp).apply(material(frames, rate), scratch).frames
    return f"reverse {back}, boomerang {there_and_back}, along a ramp {made} frames of {right:.1f}"


def main() -> None:
    """Print a line for each effect and video."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--frames", type=int, default=150)
    options = parser.parse_args()
    torch.set_num_threads(1)
    effects: dict[str, Callable[[Frames, Fraction], str]] = {
        "stabilise": stabilised,
        "reframe": reframed,
        "loop": looped,
        "order": ordered,
    }
    for path in options.videos:
        info = probe(path)
        assert info.rate is not None
        scale = min(1.0, 480 / max(info.height, info.width))
        height, width = (round(side * scale) // 2 * 2 for side in (info.height, info.width))
        decoder = VideoDecoder(path, height=height, width=width, channels=3, fps=info.rate, fit="stretch")
        taken = itertools.islice(itertools.chain.from_iterable(chunk.frames for chunk in decoder), options.frames)
        frames = np.stack(list(taken))
        for name, effect in effects.items():
            print(
                f"{path.name}, {len(frames)} frames of {width}x{height}, {name}: {effect(frames, info.rate)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
