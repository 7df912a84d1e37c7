"""What the training loop costs beside the training: time outside steps, and waiting for data, at conv3d-32.

Also the time of `footage --help`. Usage: python benchmarks/loop.py [MINUTES]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

import footage
from footage.training.plan import prepare
from footage.training.run_folder import RunFolder
from footage.training.trainer import Budget, Trainer


def shares(data: str, preset: str, minutes: float, folder: Path) -> dict[str, float]:
    """Train and return the shares of the loop's time; saving and sampling as in any run."""
    console = Console(quiet=True)
    plan = prepare(data, footage.preset(preset), timed=False)
    trainer = Trainer(plan, RunFolder(folder), Budget(None, minutes), console)
    trainer.run()
    return trainer.log.clock.shares()


def dataset(folder: Path) -> str:
    """Write a dataset of moving shapes at 32×32 through the whole way: mp4 files, then ingest."""
    from footage.data.synthetic import draw_factors, render_shapes
    from footage.media.encode import chunked, write_clip

    for number in range(64):
        clip = render_shapes(draw_factors(0, number), start=0, frames=120, height=64, width=64)
        path = folder / "videos" / f"{number % 4}" / f"{number}.mp4"
        write_clip(path, chunked(clip), fps=25, metadata={})
    options = footage.IngestConfig(height=32, width=32)
    footage.ingest((folder / "videos",), folder / "data", options, advise=False, quiet=True)
    return str(folder / "data")


def main() -> None:
    """Measure and print one table."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    table = Table("what", "figure", title="training loop")
    with tempfile.TemporaryDirectory() as folder:
        for name, data in (("built-in shapes", "shapes"), ("dataset folder", dataset(Path(folder)))):
            found = shares(data, "conv3d-32", minutes, Path(folder) / name)
            table.add_row(f"{name}: outside forward, backward and optimiser", f"{found['outside']:.2%} of the time")
            table.add_row(f"{name}: of that, waiting for data", f"{found['data']:.2%} of the time")
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-m", "footage", "--help"], stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - begin)
    table.add_row(
        "footage --help, median (min to max)",
        f"{statistics.median(times):.2f} s ({min(times):.2f} to {max(times):.2f})",
    )
    Console(width=140).print(table)
    print(json.dumps({"outside": found["outside"], "data": found["data"], "help": times}))


if __name__ == "__main__":
    main()
