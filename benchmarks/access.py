"""Reading random windows of large frames: raw, as JPEG, and small from the level beside it; and their bytes on disk.

python benchmarks/access.py [--data FOLDER_OF_VIDEOS] [--size 512x384] [--windows 100] [--rounds 5]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from rich.console import Console
from rich.table import Table

from footage.config import IngestConfig
from footage.data.ingest.pipeline import ingest
from footage.data.store import Dataset, Frames

LENGTH = 16
Read = Callable[[Dataset, int, int], Frames]


def make_video(path: Path, seed: int, frames: int = 200) -> None:
    """Encode a texture with detail of all sizes that drifts, 640×480 at 25 fps."""
    rng = np.random.default_rng(seed)
    wall = np.zeros((960, 960, 3))
    for octave in range(7):  # as natural pictures: the finer, the fainter
        side = 15 * 2**octave
        wall += np.kron(rng.normal(0, 40 / 1.6**octave, (side, side, 3)), np.ones((960 // side, 960 // side, 1)))
    picture = (128 + wall).clip(0, 255).astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "18", "preset": "fast"})
        stream.height, stream.width, stream.pix_fmt = 480, 640, "yuv420p"
        for i in range(frames):
            y, x = (i * 3) % 480, (i * 2) % 320
            shown = np.ascontiguousarray(picture[y : y + 480, x : x + 640])
            for packet in stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def milliseconds(dataset: Dataset, read: Read, windows: int, seed: int) -> float:
    """Return how long a random window takes to be read and copied."""
    rng = np.random.default_rng(seed)
    rows = [row for row in dataset.rows if row.frames >= LENGTH]
    places = [(int(rng.integers(len(rows))), float(rng.random())) for _ in range(windows)]
    began = time.perf_counter()
    for number, part in places:
        np.array(read(dataset, dataset.rows.index(rows[number]), int(part * (rows[number].frames - LENGTH + 1))))
    return (time.perf_counter() - began) / windows * 1e3


def spread(values: list[float]) -> str:
    """Return the median with the smallest and the largest value."""
    return f"{statistics.median(values):.3g} ({min(values):.3g}–{max(values):.3g})"


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="videos; left out, eight made ones")
    parser.add_argument("--size", default="512x384", help="of the frames")
    parser.add_argument("--windows", type=int, default=100, help="windows in a round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds; all ways of reading take turns")
    options = parser.parse_args()
    reads: dict[str, Read] = {
        f"{LENGTH} frames": lambda data, row, start: data.read(data.rows[row], start, LENGTH),
        "one frame": lambda data, row, start: data.read(data.rows[row], start, 1),
        f"{LENGTH} frames, 1/4": lambda data, row, start: data.read_small(data.rows[row], start, LENGTH, 4),
        f"{LENGTH} frames, 1/8": lambda data, row, start: data.read_small(data.rows[row], start, LENGTH, 8),
    }
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        if options.data is None:
            (root / "src").mkdir()
            for seed in range(8):
                make_video(root / "src" / f"{seed}.mp4", seed)
        sets: dict[str, Dataset] = {}
        for coding in ("raw", "jpeg"):
            config = IngestConfig(size=options.size, coding=coding, cuts=False, keep_duplicates=True)
            sets[coding] = ingest([options.data or root / "src"], root / coding, config).dataset
        times: dict[tuple[str, str], list[float]] = {(what, coding): [] for what in reads for coding in sets}
        for round_number in range(-1, options.rounds):
            for (what, coding), values in times.items():
                took = milliseconds(sets[coding], reads[what], options.windows, round_number + 1)
                if round_number >= 0:  # the first warms up
                    values.append(took)
        sizes = {
            coding: sum(path.stat().st_size for path in dataset.folder.glob("shard-*"))
            for coding, dataset in sets.items()
        }
    info = sets["jpeg"].info
    table = Table(f"{info.width}×{info.height}", "raw, ms", "jpeg, ms", "jpeg : raw", title="Random windows")
    for what in reads:
        raw, jpeg = times[what, "raw"], times[what, "jpeg"]
        ratios = [b / a for a, b in zip(raw, jpeg, strict=True)]
        table.add_row(what, spread(raw), spread(jpeg), spread(ratios))
    ratio = f"{sizes['jpeg'] / sizes['raw']:.3f}"
    table.add_row("bytes on disk", f"{sizes['raw']:,}", f"{sizes['jpeg']:,}", ratio)
    Console().print(table)


if __name__ == "__main__":
    main()
