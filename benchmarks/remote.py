"""Training on a data set at an address beside the same one on this machine: clips a second after the first epoch.

python benchmarks/remote.py [--preset conv3d-32] [--clips 128] [--shard-mb 2] [--epochs 4] [--rounds 2] [--workers 2]

The data set is made by `footage ingest s3://… --to s3://…` with workers, on a server like S3 (moto) that is started for
it. Both places take turns; each run at the address begins with an empty cache, which then holds all. At last the cache
is limited to half of the data set. One thread; the machine has to be idle otherwise. The server is on this machine, so
that the first epoch, and all epochs of half a cache, say nothing of a network.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from footage.config import IngestConfig
from footage.data.clips import DatasetClips, Loader
from footage.data.ingest import pipeline, shards
from footage.data.store import Dataset
from footage.data.synthetic import draw_factors, render_shapes
from footage.machines.remote import RemoteFolder

SERVER = """
import sys, threading
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
threading.Event().wait()
"""
FRAMES, WINDOW, BATCH = 64, 16, 16
"""Frames of a clip, of a window; clips of a step."""


@contextlib.contextmanager
def served() -> Iterator[str]:
    """Serve a bucket like S3's, in a process of its own; give its address."""
    command = [sys.executable, "-c", SERVER]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        os.environ |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.stdout.readline().strip()}"}
        os.environ |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
        import s3fs

        s3fs.S3FileSystem().mkdir("bucket")
        yield "s3://bucket"
    finally:
        server.kill()
        server.wait()


def rates(place: str, preset: str, epochs: int, units: int) -> tuple[float, float]:
    """Train in a process of its own; return clips a second of the loop in the first epoch, and in the others."""
    with tempfile.TemporaryDirectory() as name:
        run = Path(name) / "run"
        command = [sys.executable, "-m", "footage", "train", place, "--preset", preset, "--clips", str(epochs * units)]
        command += ["--train.batch-size", str(BATCH), "--train.sample-minutes", "0", "--train.device", "cpu"]
        command += ["--train.threads", "1", "--out", str(run)]
        ended = subprocess.run(command, capture_output=True, text=True)
        if ended.returncode:
            sys.exit(ended.stderr)
        lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    seen, seconds, rows = 0, 0.0, []
    for row in (row for row in map(json.loads, lines) if "clips_per_second" in row):  # one for each 500 clips
        seconds += (row["clips"] - seen) / row["clips_per_second"]
        seen = row["clips"]
        rows.append((seen, seconds))
    if rows[-1][0] < units + 1000:
        sys.exit("the trainings are too short to tell: give more --epochs or --clips")
    first, last = next(row for row in rows if row[0] >= units), rows[-1]
    return first[0] / first[1], (last[0] - first[0]) / (last[1] - first[1])


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="conv3d-32")
    parser.add_argument("--clips", type=int, default=128, help="clips of the data set, of 64 frames of 32×32")
    parser.add_argument("--shard-mb", type=float, default=2.0, help="size of a shard; 134 where nothing is said")
    parser.add_argument("--epochs", type=int, default=4, help="of each training; the first is not counted")
    parser.add_argument("--rounds", type=int, default=2, help="both places take turns in each")
    parser.add_argument("--workers", type=int, default=2, help="processes that decode, for the data set")
    options = parser.parse_args()
    shards.SHARD_BYTES = round(options.shard_mb * 1e6)
    config = IngestConfig(height=32, width=32, fps=25.0, workers=options.workers, heldout=0.0, keep_duplicates=True)
    with tempfile.TemporaryDirectory() as name, served() as bucket:
        os.environ["FOOTAGE_CACHE"] = f"{name}/cache"
        for number in range(options.clips // 8):
            factors = [draw_factors(0, 8 * number + place) for place in range(8)]
            clips = [render_shapes(f, start=0, frames=FRAMES, height=32, width=32) for f in factors]
            np.save(f"{name}/{number}.npy", np.stack(clips))
            RemoteFolder(bucket).put(Path(f"{name}/{number}.npy"), f"clips/{number}.npy")
        began = time.perf_counter()
        far = pipeline.ingest([f"{bucket}/clips"], f"{bucket}/data", config).dataset
        took = time.perf_counter() - began
        here = pipeline.ingest(sorted(Path(name).glob("*.npy")), f"{name}/data", config).dataset
        assert far.info.content_hash == here.info.content_hash
        size = sum(file.size for key, file in RemoteFolder(far.place).files().items() if key.startswith("shard-"))
        units = len(Loader(DatasetClips(Dataset(here.place)), "train", frames=WINDOW, batch_size=BATCH, seed=0).units)
        speeds: dict[str, list[tuple[float, float]]] = {"here": [], "at the address": [], "half a cache": []}
        for number in range(options.rounds):
            os.environ |= {"FOOTAGE_CACHE": f"{name}/cache{number}", "FOOTAGE_CACHE_GB": "20"}
            for place, dataset in (("here", here), ("at the address", far)):
                speeds[place].append(rates(dataset.place, options.preset, options.epochs, units))
        os.environ |= {"FOOTAGE_CACHE": f"{name}/half", "FOOTAGE_CACHE_GB": str(size / 2e9)}
        speeds["half a cache"].append(rates(far.place, options.preset, options.epochs, units))
        kept = sum(path.stat().st_size for path in Path(name, "half", "files").iterdir())
        assert kept <= size / 2, "the cache is larger than its limit"
    count = len({row.shard for row in far.rows})
    title = f"{options.preset}, {size / 1e6:.1f} MB in {count} shards, {units} clips an epoch, one thread"
    table = Table("data set", "first epoch, clips/s", "others, clips/s", "others : here", title=title)
    usual = statistics.median(after for _, after in speeds["here"])
    for place, pairs in speeds.items():
        first, after = (", ".join(f"{pair[i]:.1f}" for pair in pairs) for i in (0, 1))
        table.add_row(place, first, after, f"{statistics.median(pair[1] for pair in pairs) / usual:.3f}")
    Console(width=120).print(table)
    print(f"ingest of the same from and to the bucket: {took:.1f} s; half a cache held {kept / size:.2f} of the set")


if __name__ == "__main__":
    main()
