"""Reading random 16-frame training clips: from the store, against seeking in and decoding source files (GOP 250).

python benchmarks/store.py [--files 8] [--seconds 20] [--clips 200] [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from rich.console import Console
from rich.table import Table

from footage.config import IngestConfig
from footage.data.ingest.pipeline import ingest
from footage.data.store import Dataset

LENGTH = 16


def make_video(path: Path, seconds: int, seed: int) -> None:
    """Encode a drifting texture, 256×144 at 25 fps, with a key frame every 250 frames only."""
    rng = np.random.default_rng(seed)
    wall = rng.integers(0, 256, (60, 60, 3)).astype(np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 144, 256, "yuv420p"
        stream.options = {"g": "250", "keyint_min": "250", "sc_threshold": "0", "crf": "23", "preset": "medium"}
        for i in range(seconds * 25):
            y, x = (i * 3) % 200, (i * 2) % 200
            picture = np.ascontiguousarray(wall[y : y + 144, x : x + 256])
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def decode_clip(path: Path, first: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Seek to the key frame before a frame, decode up to it, return 16 frames of 64×64."""
    scaler = VideoReformatter()
    frames: list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        assert stream.time_base is not None
        step = 1 / 25 / stream.time_base
        container.seek(int(first * step), stream=stream, backward=True)
        for frame in container.decode(stream):
            if frame.pts is not None and frame.pts >= int(first * step):
                small = scaler.reformat(frame, 64, 64, "rgb24", interpolation=Interpolation.AREA, threads=1)
                frames.append(np.asarray(small.to_ndarray(), dtype=np.uint8))
            if len(frames) == LENGTH:
                break
    return np.stack(frames)  # T × (H, W, C) → (T, H, W, C)


def rate(read: Callable[[int], object], count: int) -> float:
    """Return how many clips a second `read` gives."""
    began = time.perf_counter()
    for i in range(count):
        read(i)
    return count / (time.perf_counter() - began)


def spread(values: list[float], form: str = "{:.0f}") -> str:
    """Return the median with the smallest and the largest value."""
    return f"{form} ({form}–{form})".format(statistics.median(values), min(values), max(values))


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=8, help="source files")
    parser.add_argument("--seconds", type=int, default=20, help="length of each")
    parser.add_argument("--clips", type=int, default=200, help="clips decoded from the sources in a round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds; store and sources take turns")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "src").mkdir()
        paths = [root / "src" / f"{i}.mp4" for i in range(options.files)]
        for i, path in enumerate(paths):
            make_video(path, options.seconds, i)
        ingest([root / "src"], root / "dataset", IngestConfig(cuts=False, keep_duplicates=True, heldout=0))
        dataset = Dataset(root / "dataset")
        where = rng.integers(0, options.seconds * 25 - LENGTH, 100_000)
        which = rng.integers(0, options.files, 100_000)

        def from_store(i: int) -> object:
            return np.array(dataset.read(dataset.rows[which[i]], int(where[i]), LENGTH))

        def from_source(i: int) -> object:
            return decode_clip(paths[which[i]], int(where[i]))

        rate(from_store, 1000), rate(from_source, 5)  # warm both
        stored, decoded = [], []
        for _ in range(options.rounds):
            stored.append(rate(from_store, 50 * options.clips))
            decoded.append(rate(from_source, options.clips))
    table = Table("16-frame clips of 64×64 RGB", "clips/s, median (min–max)", title="Store")
    table.add_row("read from the store, copied", spread(stored))
    table.add_row("sought and decoded from sources, GOP 250", spread(decoded))
    ratios = [a / b for a, b in zip(stored, decoded, strict=True)]
    table.add_row("store : sources", spread(ratios))
    Console().print(table)
    print(json.dumps({"ratio": ratios}))


if __name__ == "__main__":
    main()
