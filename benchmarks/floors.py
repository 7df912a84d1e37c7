"""How large figures are that mean nothing: of real clips beside real clips, and of clips that were merely compressed.

python benchmarks/floors.py DATASET [--clips 128] [--frames 16] [--seeds 3] [--crf 18 23 28 35]

The first columns compare two halves of the data set without a common clip, for several seeds: the floor. The others
compare the same windows with themselves, once as they are (lossless), once encoded as H.264 at several qualities and
decoded again: what compression alone does to each figure.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

import footage
from footage.config import ClipConfig
from footage.data.clips import open_clips
from footage.data.store import Frames
from footage.errors import FootageError
from footage.evaluation.clip_sets import draw_windows
from footage.evaluation.inputs import spans_of
from footage.evaluation.protocols import protocol
from footage.evaluation.results import Evaluation

RATE = 25
"""Frames a second of the files."""
METRICS = "fvd,kvd,prdc,motion,pictures,diversity"


def windows(data: str, frames: int, clips: int) -> list[Frames]:
    """Return one window of each of some clips."""
    source = open_clips(data, ClipConfig(frames=frames))
    spans, _ = spans_of(source, "all", frames)
    how = protocol("styleganv-fvd16", frames=frames, clips=clips)
    return [np.array(source.read(w.span.index, w.start, frames)) for w in draw_windows(spans, how, clips, 0)]


def write_lossless(folder: Path, clips: list[Frames]) -> Path:
    """Write clips as folders of PNG files."""
    for number, clip in enumerate(clips):
        inside = folder / f"{number:05d}"
        inside.mkdir(parents=True)
        for t, frame in enumerate(clip):
            Image.fromarray(frame[:, :, 0] if frame.shape[2] == 1 else frame).save(inside / f"{t:05d}.png")
    return folder


def compressed(folder: Path, clips: list[Frames], crf: int) -> Path:
    """Write clips as H.264 in MP4 files."""
    folder.mkdir(parents=True)
    for number, clip in enumerate(clips):
        height, width = clip.shape[1:3]
        with av.open(str(folder / f"{number:05d}.mp4"), "w") as container:
            stream: Any = container.add_stream("libx264", rate=RATE, options={"crf": f"{crf}", "preset": "medium"})
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
            for t, pixels in enumerate(clip):
                rgb = np.ascontiguousarray(np.broadcast_to(pixels, (height, width, 3)))
                frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
                frame.pts, frame.time_base = t, Fraction(1, RATE)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    return folder


def columns(found: Evaluation) -> dict[str, float | None]:
    """Return the figures by label; of those that stand beside a real one, the ratio to it."""
    values: dict[str, float | None] = {}
    for figure in found.figures:
        value = figure.value
        if figure.better == "real":
            value = value / figure.real if value is not None and figure.real else None
        values[figure.label] = value
    return values


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--clips", type=int, default=128)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--crf", type=int, nargs="*", default=[18, 23, 28, 35])
    options = parser.parse_args()
    how = {"clips": options.clips, "frames": options.frames, "metrics": METRICS, "resamples": 0, "quiet": True}
    rows: list[tuple[str, dict[str, float | None]]] = []
    floors = [columns(footage.evaluate(options.data, options.data, seed=seed, **how)) for seed in range(options.seeds)]
    both = {label: [one[label] for one in floors if one[label] is not None] for label in floors[0]}
    rows.append(("two halves", {k: statistics.mean(v) if v else None for k, v in both.items()}))  # type: ignore[type-var]
    rows.append(("  ± sd", {k: statistics.stdev(v) if len(v) > 1 else None for k, v in both.items()}))  # type: ignore[type-var]
    clips = windows(options.data, options.frames, options.clips)
    with tempfile.TemporaryDirectory() as place:
        lossless = write_lossless(Path(place) / "lossless", clips)
        for crf in options.crf:
            folder = compressed(Path(place) / f"crf{crf}", clips, crf)
            try:
                rows.append(
                    (
                        f"H.264 crf {crf}",
                        columns(footage.evaluate(folder, lossless, fps=RATE, cache=Path("none"), **how)),
                    )
                )
            except FootageError as error:
                print(f"crf {crf}: {error}")
    table = Table("figure", *(name for name, _ in rows), title=f"{options.data}, {len(clips)} clips")
    for label in rows[0][1]:
        cells = [row.get(label) for _, row in rows]
        table.add_row(label, *("–" if cell is None else f"{cell:.3g}" for cell in cells))
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
