"""Pictures between those of real videos, against the ones that were there: python benchmarks/in_between.py VIDEO...

Of each video the 41 frames without a cut in which most moves are taken; every second one is left out and made again:
as the mean of its neighbours, by FFmpeg's `minterpolate` with its settings that did best, and along the flow, as
`footage interpolate CLIP --slow 2x` does. PSNR in dB, the mean over frames.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import torch

from footage.generation.cutting.flow import Between
from footage.generation.cutting.shots import CutFinder
from footage.media.decode import VideoDecoder
from footage.media.probe import probe

Frames = npt.NDArray[np.uint8]
FRAMES, LOOKED_AT = 41, 700
SETTINGS = "fps=20:mi_mode=mci:mc_mode=aobmc:me_mode=bilat:me=epzs:vsbmc=1:scd=none"


def liveliest(path: Path) -> Frames:
    """Return the frames in which most moves."""
    info = probe(path)
    assert info.rate is not None
    decoder = VideoDecoder(
        path, height=info.height // 2 * 2, width=info.width // 2 * 2, channels=3, fps=info.rate, fit="stretch"
    )
    frames = np.concatenate([chunk.frames for chunk in itertools.islice(decoder, LOOKED_AT // 32)])
    finder = CutFinder()
    cuts = [each.first for each in finder.find(frames) + finder.rest()]
    steps = np.array([np.abs(a[::4, ::4].astype(int) - b[::4, ::4]).mean() for a, b in itertools.pairwise(frames)])
    places = [
        first for first in range(0, len(frames) - FRAMES, 10) if not any(first < cut < first + FRAMES for cut in cuts)
    ]
    best = max(places, key=lambda first: float(steps[first : first + FRAMES - 1].mean()))
    return frames[best : best + FRAMES]


def minterpolate(frames: Frames) -> list[Frames]:
    """Return what FFmpeg makes between frames."""
    height, width = frames.shape[1:3]
    graph: Any = av.filter.Graph()
    about = {"video_size": f"{width}x{height}", "pix_fmt": "yuv444p", "time_base": "1/10", "frame_rate": "10"}
    source, sink = graph.add("buffer", **about, pixel_aspect="1/1"), graph.add("buffersink")
    interpolator = graph.add("minterpolate", SETTINGS)
    source.link_to(interpolator)
    interpolator.link_to(sink)
    graph.configure()
    made = []
    for number, picture in enumerate([*frames, None]):
        frame = None if picture is None else av.VideoFrame.from_ndarray(picture, format="rgb24")
        if frame is not None:
            frame = frame.reformat(format="yuv444p")
            frame.pts, frame.time_base = number, Fraction(1, 10)
        source.push(frame)
        while True:
            try:
                made.append(graph.pull().to_ndarray(format="rgb24"))
            except (av.error.BlockingIOError, av.error.EOFError):
                break
    return made[1::2]


def decibels(made: Sequence[npt.NDArray[Any]], real: Frames) -> float:
    """Return the mean PSNR of as many frames as both have."""
    errors = [np.square(one.astype(float) - other).mean() for one, other in zip(made, real, strict=False)]
    return float(np.mean([10 * np.log10(255**2 / error) for error in errors]))


def main() -> None:
    """Print a line for each video."""
    torch.set_num_threads(1)
    for path in map(Path, sys.argv[1:]):
        frames = liveliest(path)
        kept, left_out = frames[::2], frames[1::2]
        pairs = list(itertools.pairwise(kept))
        mean = decibels([(a.astype(float) + b) / 2 for a, b in pairs], left_out)
        begun = time.process_time()
        own = decibels([Between(*pair).at(0.5) for pair in pairs], left_out)
        each = (time.process_time() - begun) / len(pairs)
        begun = time.process_time()
        other = decibels(minterpolate(kept), left_out)
        others = (time.process_time() - begun) / len(pairs)
        print(
            f"{path.name} {frames.shape[2]}x{frames.shape[1]}: mean {mean:.2f} dB; along the flow {own:.2f} "
            f"({own - mean:+.2f}), {each:.2f} s a picture; minterpolate {other:.2f} ({other - mean:+.2f}), "
            f"{others:.2f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
