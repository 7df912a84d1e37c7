"""What a lock costs: training clips for a second of a processor, from a locked data set and the same one plain.

python benchmarks/locks.py [--clips 400] [--rounds 7]

Two data sets: frames of 64×64 stored raw, and of 512×288 stored as JPEG. Each round loads as many clips from one and
then from the other, by the loader that training uses. The first epoch opens pages; later ones find them in memory,
where they fit (1 GiB): both are shown, the first as `opening`, with a new reader in each round.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from footage.config import IngestConfig
from footage.data.clips import BuiltInClips, DatasetClips, Loader
from footage.data.ingest.pipeline import ingest
from footage.data.store import Dataset
from footage.files import locked
from footage.trust import locks

WANTED = 0.8
FRAMES, BATCH = 16, 16


def make(folder: Path, count: int, height: int, width: int) -> Path:
    """Ingest built-in clips, several times as wide as they are drawn where they are large."""
    (folder / "clips").mkdir(parents=True)
    source = BuiltInClips("shapes", height=64, width=64, channels=3)
    for number in range(count):
        clip = source.read(number, 0, 48)
        clip = clip.repeat(-(-height // 64), axis=1).repeat(-(-width // 64), axis=2)[:, :height, :width]  # (T, H, W, C)
        np.save(folder / "clips" / f"{number}.npy", clip[None])
    config = IngestConfig(size=f"{width}x{height}", heldout=0.0, keep_duplicates=True, cuts=False)
    ingest([folder / "clips"], folder / "plain", config)
    return folder / "plain"


def rate(folder: Path, clips: int, warm: bool) -> float:
    """Return clips for a second of a processor, so that other programs count little; `warm` after all were read."""
    loader = Loader(DatasetClips(Dataset(folder)), "train", frames=FRAMES, batch_size=BATCH, seed=0)
    for first in range(0, 4 * len(loader.units), BATCH) if warm else ():
        loader.batch(first)
    began = time.process_time()
    for first in range(0, clips, BATCH):
        loader.batch(first)
    return clips / (time.process_time() - began)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    os.environ[locked.PASSPHRASE] = "correct horse battery"
    columns = (
        "data set",
        "reading",
        "plain, clips/s",
        "locked, clips/s",
        "ratio (least–most)",
        "wanted",
        "bytes more",
    )
    table, told = Table(*columns), dict[str, list[float]]()
    for name, count, height, width in (("64×64 raw", 200, 64, 64), ("512×288 JPEG", 24, 288, 512)):
        with tempfile.TemporaryDirectory() as place:
            plain, hidden = make(Path(place), count, height, width), Path(place) / "locked"
            shutil.copytree(plain, hidden)
            locks.lock_folder(hidden, "passphrase")
            sizes = [sum(path.stat().st_size for path in folder.glob("shard-*")) for folder in (plain, hidden)]
            for warm in (True, False):
                rates: list[tuple[float, float]] = []
                for number in range(options.rounds):
                    order = (plain, hidden) if number % 2 else (hidden, plain)
                    found = {
                        folder: rate(folder, options.clips if height < 100 else options.clips // 8, warm)
                        for folder in order
                    }
                    rates.append((found[plain], found[hidden]))
                ratios = [b / a for a, b in rates]
                told[f"{name}, {'in memory' if warm else 'opening'}"] = ratios
                ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
                medians = (f"{statistics.median(column):,.0f}" for column in zip(*rates, strict=True))
                more = f"{sizes[1] / sizes[0] - 1:.3%}"
                table.add_row(name, "in memory" if warm else "opening", *medians, ratio, f"≥ {WANTED}", more)
    Console().print(table)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
