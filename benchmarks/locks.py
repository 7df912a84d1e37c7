"""What a lock costs: training clips for a second of a processor, from a locked data set and the same one plain.

python benchmarks/locks.py [--clips 400] [--rounds 7]

Two data sets: frames of 64×64 stored raw, and of 512×288 stored as JPEG. Each round loads as many clips from one and
then from the other, by the loader that training uses. The first epoch opens pages; later ones find them in memory,
where they fit (1 GiB), and open them again where they do not: all three are shown, with a new reader in each round.
`windows` are what the loader gives; `tensors` the floating-point numbers that a step is given, of the same windows.

Then the ceiling: what a page of 64 KiB takes to be decrypted by `cryptography`, and to be copied, both from a file that
is mapped into memory, at random, into memory that was used before; nothing that reads locked pages takes less.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from rich.console import Console
from rich.table import Table

from footage.config import IngestConfig
from footage.data import locked_arrays
from footage.data.clips import BuiltInClips, DatasetClips, Loader
from footage.data.ingest.pipeline import ingest
from footage.data.store import Dataset
from footage.files import locked
from footage.generation.rollout import from_uint8
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


READINGS = ("in memory", "opening", "not kept")


def rate(folder: Path, clips: int, reading: str, tensors: bool) -> float:
    """Return clips for a second of a processor, so that other programs count little.

    Args:
        folder: of the data set.
        clips: how many to load.
        reading: one of `READINGS`: after all were read; for the first time; without room to keep what is opened.
        tensors: go on to the tensors of a step.
    """
    locked_arrays.KEPT = 0 if reading == "not kept" else 2**30
    loader = Loader(DatasetClips(Dataset(folder)), "train", frames=FRAMES, batch_size=BATCH, seed=0)
    for first in range(0, 4 * len(loader.units), BATCH) if reading == "in memory" else ():
        loader.batch(first)
    began = time.process_time()
    for first in range(0, clips, BATCH):
        frames = loader.batch(first)[0]
        if tensors:
            from_uint8(frames, "cpu")
    return clips / (time.process_time() - began)


def ceiling(folder: Path, pages: int = 2000) -> tuple[float, float]:
    """Return the seconds of a processor that a page takes to be decrypted, and to be copied."""
    cipher, nonce = AESGCM(bytes(32)), bytes(12)
    page = nonce + cipher.encrypt(nonce, np.random.default_rng(0).bytes(locked.PAGE), b"")
    (folder / "pages").write_bytes(page * pages)
    mapped = np.memmap(folder / "pages", np.uint8, "r")
    stored, into = mapped.data, np.zeros(locked.PAGE, np.uint8)
    mapped.sum()
    numbers = np.random.default_rng(1).permutation(pages).tolist()

    def decrypt(at: int) -> None:
        cipher.decrypt_into(stored[at : at + 12], stored[at + 12 : at + len(page)], b"", into.data)

    def copy(at: int) -> None:
        into[:] = mapped[at : at + locked.PAGE]

    taken = []
    for work in (decrypt, copy):
        began = time.process_time()
        for number in numbers:
            work(number * len(page))
        taken.append((time.process_time() - began) / pages)
    return taken[0], taken[1]


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
            for reading, tensors in itertools.product(READINGS, (False, True)):
                rates: list[tuple[float, float]] = []
                for number in range(options.rounds):
                    order = (plain, hidden) if number % 2 else (hidden, plain)
                    count = options.clips if height < 100 else options.clips // 8
                    found = {folder: rate(folder, count, reading, tensors) for folder in order}
                    rates.append((found[plain], found[hidden]))
                ratios = [b / a for a, b in rates]
                told[f"{name}, {reading}{', tensors' if tensors else ''}"] = ratios
                ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
                medians = (f"{statistics.median(column):,.0f}" for column in zip(*rates, strict=True))
                more, what = f"{sizes[1] / sizes[0] - 1:.3%}", "tensors" if tensors else "windows"
                table.add_row(name, f"{reading}, {what}", *medians, ratio, f"≥ {WANTED}", more)
    Console(width=120).print(table)
    with tempfile.TemporaryDirectory() as place:
        decrypted, copied = (
            np.median(column) * 1e6 for column in zip(*(ceiling(Path(place)) for _ in range(5)), strict=True)
        )
    print(f"a page of 64 KiB: decrypted in {decrypted:.1f} µs of a processor, copied in {copied:.1f} µs")
    print(json.dumps(told))


if __name__ == "__main__":
    main()
