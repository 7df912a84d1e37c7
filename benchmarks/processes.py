"""Training on two processes beside one, each with one thread: clips a second, on an idle and on a busy machine.

python benchmarks/processes.py [--presets stream-64,conv3d-64] [--minutes 0.5] [--rounds 2]

One process and two take turns (A B A B); then the same beside a program that keeps a processor busy. The machine has to
be idle otherwise. The start of the processes is not counted. Wanted, of one process on an idle machine: two make 1.6
times as many clips there, and .9 times as many beside the other program.
"""

from __future__ import annotations

import argparse
import statistics

from busy import clips_per_second, spinning
from rich.console import Console
from rich.table import Table

WANTED = {0: 1.6, 1: 0.9}
"""Programs that spin beside it -> clips of two processes by those of one on an idle machine, at least."""


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", default="stream-64,conv3d-64")
    parser.add_argument("--minutes", type=float, default=0.5, help="of each training")
    parser.add_argument("--rounds", type=int, default=2, help="one and two processes take turns in each")
    options = parser.parse_args()
    table = Table(title=f"{options.minutes:g} minutes each, one thread a process")
    columns = (
        "preset",
        "beside",
        "one process, clips/s",
        "two processes, clips/s",
        "two : one",
        "two : one idle",
        "wanted",
    )
    for title in columns:
        table.add_column(title)
    for name in options.presets.split(","):
        idle = 0.0
        for beside, wanted in WANTED.items():
            rates: dict[int, list[float]] = {1: [], 2: []}
            for _ in range(options.rounds):
                for devices, found in rates.items():
                    with spinning(beside):
                        found.append(clips_per_second(name, options.minutes, 1, devices))
            shown = [", ".join(f"{rate:.1f}" for rate in rates[devices]) for devices in (1, 2)]
            one, two = (statistics.median(rates[devices]) for devices in (1, 2))
            idle = idle or one
            ratios = [f"{two / one:.2f}", f"{two / idle:.2f}", f"≥ {wanted:g}"]
            table.add_row(name, f"{beside} spinning" if beside else "nothing", *shown, *ratios)
    Console().print(table)


if __name__ == "__main__":
    main()
