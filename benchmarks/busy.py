"""Training beside other work: clips a second while another program spins, as a part of the rate on an idle machine.

python benchmarks/busy.py [--preset stream-32] [--minutes 0.5] [--rounds 2] [--beside 1]

For one thread, for as many as there are processors, and for the automatic choice, each idle and beside `--beside`
programs that keep a processor busy, in turn. The machine has to be idle otherwise. Beside other work, a machine of n
processors has as many for two programs as can be shared; n threads are to lose no more than that.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from footage.machines.local import cores
from footage.models.checkpoint import read_state


@contextlib.contextmanager
def spinning(count: int) -> Iterator[None]:
    """Keep processors busy by other programs."""
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def clips_per_second(preset: str, minutes: float, threads: int | None, devices: int = 1) -> float:
    """Train in processes of its own, and return clips seen by seconds in the loop."""
    with tempfile.TemporaryDirectory() as name:
        run = Path(name) / "run"
        command = [sys.executable, "-m", "footage", "train", "shapes", "--preset", preset, "--minutes", str(minutes)]
        command += ["--train.batch-size", "16", "--train.sample-minutes", "0", "--train.device", "cpu"]
        command += ["--devices", str(devices)]
        command += [] if threads is None else ["--train.threads", str(threads)]
        environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
        subprocess.run([*command, "--out", str(run)], check=True, capture_output=True, env=environment)
        progress = read_state(run / "state" / "last.pt")["progress"]
        return float(progress["clips_seen"] / progress["seconds"])


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="stream-32")
    parser.add_argument("--minutes", type=float, default=0.5, help="of each training")
    parser.add_argument("--rounds", type=int, default=2, help="all ways take turns in each")
    parser.add_argument("--beside", type=int, default=1, help="programs that spin")
    options = parser.parse_args()
    ways = {"1 thread": 1, f"{cores()} threads": cores(), "automatic": None}
    rates: dict[tuple[str, bool], list[float]] = {(way, busy): [] for way in ways for busy in (False, True)}
    for _ in range(options.rounds):
        for busy in (False, True):
            for way, threads in ways.items():
                with spinning(options.beside if busy else 0):
                    rates[way, busy].append(clips_per_second(options.preset, options.minutes, threads))
    table = Table(title=f"{options.preset}, {options.minutes:g} minutes each, {options.beside} beside, {cores()} cores")
    for title in ("threads", "idle, clips/s", "busy, clips/s", "busy : best idle"):
        table.add_column(title)
    best = max(statistics.median(rates[way, False]) for way in ways)
    for way in ways:
        shown = [", ".join(f"{rate:.1f}" for rate in rates[way, busy]) for busy in (False, True)]
        table.add_row(way, *shown, f"{statistics.median(rates[way, True]) / best:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
