"""How fast and how large is an ingest: two processes against one, and the peak memory of a long 1080p input.

python benchmarks/ingest.py [--files 48] [--rounds 5] [--minutes 10]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np
from rich.console import Console
from rich.table import Table

MEASURE = """
import json, resource, sys, threading, time
from pathlib import Path
from footage.config import IngestConfig
from footage.data.ingest.pipeline import ingest

def resident(folder):
    status = folder / "status"
    rows = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return int(rows["PPid"]), int(rows.get("RssAnon", "0 kB").split()[0]) + int(rows.get("RssShmem", "0 kB").split()[0])

def watch():
    global peak
    while True:
        table = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    table[int(folder.name)] = resident(folder)
                except (OSError, KeyError, ValueError):
                    pass
        own = {os.getpid()}
        while more := {pid for pid, (parent, _) in table.items() if parent in own} - own:
            own |= more
        peak = max(peak, sum(table[pid][1] for pid in own if pid in table))
        time.sleep(0.05)

if __name__ == "__main__":
    import os
    peak = 0
    if Path("/proc").is_dir():
        threading.Thread(target=watch, daemon=True).start()
    options = IngestConfig(workers=int(sys.argv[3]), keep_duplicates=True, keep_static=True)
    result = ingest([sys.argv[1]], sys.argv[2], options)
    own, children = (resource.getrusage(w).ru_maxrss for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    frames = sum(row.frames for row in result.dataset.rows)
    print(json.dumps({"seconds": result.seconds, "frames": frames, "together": peak, "largest": max(own, children)}))
"""


def make_video(path: Path, height: int, width: int, frames: int, seed: int) -> None:
    """Encode a drifting noise texture at 25 fps."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 16 + 16, width // 16 + 16, 3)).astype(np.uint8)
    wall = coarse.repeat(16, axis=0).repeat(16, axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "23"}
        for i in range(frames):
            y, x = (i * 3) % 240, (i * 2) % 240
            picture = np.ascontiguousarray(wall[y : y + height, x : x + width])
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def measure(source: Path, workers: int) -> dict[str, float]:
    """Ingest in a new process into a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", MEASURE, str(source), f"{folder}/dataset", str(workers)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def spread(values: list[float], form: str = "{:.2f}") -> str:
    """Return the median with the smallest and the largest value."""
    return f"{form} ({form}–{form})".format(statistics.median(values), min(values), max(values))


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=48, help="videos of 640×360, 8 s each")
    parser.add_argument("--rounds", type=int, default=5, help="runs with one and with two processes, in turn; or 0")
    parser.add_argument("--minutes", type=float, default=10, help="length of the 1080p input; or 0")
    options = parser.parse_args()
    table = Table("what", "median (min–max)", title="Ingest")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "many").mkdir()
        (root / "long").mkdir()
        for i in range(options.files if options.rounds else 0):
            make_video(root / "many" / f"{i}.mp4", 360, 640, 200, i)
        one, two = [], []
        for _ in range(options.rounds):
            one.append(measure(root / "many", 1))
            two.append(measure(root / "many", 2))
        found = dict[str, list[float]]()
        if options.rounds:
            for workers, runs in (("one process", one), ("two processes", two)):
                rates = [run["frames"] / run["seconds"] for run in runs]
                table.add_row(f"frames/s, {workers}", spread(rates, "{:.0f}"))
            ratios = [b["frames"] / b["seconds"] / (a["frames"] / a["seconds"]) for a, b in zip(one, two, strict=True)]
            table.add_row("two processes : one", spread(ratios))
            found["ratio"] = ratios
        if options.minutes:
            make_video(root / "long" / "long.mp4", 1080, 1920, round(options.minutes * 60 * 25), 0)
            began = time.monotonic()
            run = measure(root / "long", 2)
            seconds = time.monotonic() - began
            table.add_row(f"{options.minutes:g} min of 1080p, seconds", f"{seconds:.1f}")
            table.add_row("peak memory of all processes together, MB", f"{run['together'] / 1024:.0f}")
            table.add_row("peak memory of the largest, mapped files too, MB", f"{run['largest'] / 1024:.0f}")
            found["together"] = [run["together"] / 1024]
    Console().print(table)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
