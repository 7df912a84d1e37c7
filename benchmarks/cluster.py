"""Ray's workers on this machine beside work without them: how much faster, and whether anything differs.

python benchmarks/cluster.py [--files 400] [--clips 200] [--evaluated 512] [--rounds 2] [--model MODEL]

Ingest of many small files by one worker and by two, in turns (A B A B), and the ratio of the medians; the start of Ray
is not counted. Then once more by two, one of which is killed half-way; and clips generated and evaluated by two workers
and without any. Everything is compared: the hash of the data sets, each byte of the clips, each digit of the figures.
The machine has to be idle.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

# Of PyTorch, here and in the workers: the last digits follow from the number.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import psutil
from rich.console import Console
from rich.table import Table

import footage
from footage.config import IngestConfig
from footage.data.ingest.pipeline import IngestProgress, ingest
from footage.data.synthetic import draw_factors, render_shapes
from footage.machines.cluster import Cluster, connect
from footage.media.encode import write_clip

CONFIG = IngestConfig(height=64, width=64, fps=25, name="benchmark")


def write_files(folder: Path, count: int) -> None:
    """Write videos of 4 s and 320×240 in which a shape moves, each in its own way."""
    for number in range(count):
        frames = render_shapes(draw_factors(0, number), start=0, frames=100, height=240, width=320)
        write_clip(folder / f"{number:04d}.mp4", [frames], fps=25, metadata={})


def timed_ingest(videos: Path, to: Path, cluster: Cluster | None, kill_after: int | None = None) -> tuple[str, float]:
    """Ingest, and return the data set's hash and the seconds; one worker may be killed after some files."""
    killed = list[psutil.Process]()

    def watch(progress: IngestProgress) -> None:
        if kill_after is None or progress.phase != "decode" or progress.done < kill_after or killed:
            return
        everyone = psutil.Process().children(recursive=True)
        busy = [one for one in everyone if one.cmdline() and one.cmdline()[0].startswith("ray::perform")]
        for one in busy[:1]:
            one.send_signal(signal.SIGKILL)
            killed.append(one)
            print(f"killed worker {one.pid} after {progress.done} files", flush=True)

    since = time.perf_counter()
    result = ingest([videos], to, CONFIG, watch, cluster)
    assert kill_after is None or killed, "no worker was busy"
    return result.dataset.info.content_hash, time.perf_counter() - since


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def main() -> None:
    """Measure and compare, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--clips", type=int, default=200, help="that are generated")
    parser.add_argument("--evaluated", type=int, default=512, help="clips on each side of an evaluation")
    parser.add_argument("--rounds", type=int, default=2, help="one worker and two take turns in each")
    parser.add_argument("--model", default="stream-shapes", help="a model folder, or the name of one")
    options = parser.parse_args()
    console = Console()
    alike: dict[str, bool] = {}
    with tempfile.TemporaryDirectory() as place:
        here, seconds = Path(place), {1: list[float](), 2: list[float]()}
        (here / "videos").mkdir()
        write_files(here / "videos", options.files)
        hashes = {timed_ingest(here / "videos", here / "plain", None)[0]}
        for turn in range(options.rounds):
            for workers, taken in seconds.items():
                with connect("ray", workers) as cluster:
                    found, time_taken = timed_ingest(here / "videos", here / f"{workers}-{turn}", cluster)
                hashes.add(found)
                taken.append(time_taken)
        alike[f"ingest of {options.files} files: data set hash, {1 + 2 * options.rounds} times"] = len(hashes) == 1
        with connect("ray", 2) as cluster:
            found, _ = timed_ingest(here / "videos", here / "killed", cluster, options.files // 2)
            alike["the same, a worker killed half-way"] = hashes == {found}
            for name, on in (("made", None), ("made-there", "ray")):
                footage.generate(Path(options.model), here / name, count=options.clips, on=on, quiet=True)
            alike[f"{options.clips} generated clips and their sheet, byte for byte"] = contents(
                here / "made"
            ) == contents(here / "made-there")
            figures = []
            for on in (None, "ray"):
                since = time.perf_counter()
                found_figures = footage.evaluate(
                    options.model,
                    "shapes",
                    clips=options.evaluated,
                    networks="random",
                    cache=Path("none"),
                    on=on,
                    quiet=True,
                )
                figures.append(replace(found_figures, work=()))
                console.print(f"evaluate {'on two workers' if on else 'here'}: {time.perf_counter() - since:.1f} s")
            alike[f"figures of {options.evaluated} clips, digit for digit"] = figures[0] == figures[1]
    table = Table(title=f"ingest of {options.files} files, seconds")
    for title in ("one worker", "two workers", "one : two"):
        table.add_column(title)
    one, two = (", ".join(f"{taken:.1f}" for taken in seconds[workers]) for workers in (1, 2))
    table.add_row(one, two, f"{statistics.median(seconds[1]) / statistics.median(seconds[2]):.2f}")
    console.print(table)
    for what, same in alike.items():
        console.print(f"{'identical' if same else 'DIFFERENT'}: {what}")
    raise SystemExit(not all(alike.values()))


if __name__ == "__main__":
    main()
