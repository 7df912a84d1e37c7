"""Training on two processes beside one, each with one thread: clips a second, on an idle and on a busy machine.

python benchmarks/processes.py [--presets stream-64,conv3d-64] [--minutes 0.5] [--rounds 2]

One process and two take turns; then the same beside a program that keeps a processor busy. The machine has to be idle
otherwise. The start of the processes is not counted.
"""

from __future__ import annotations

import argparse
import statistics

from busy import clips_per_second, spinning
from rich.console import Console
from rich.table import Table


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", default="stream-64,conv3d-64")
    parser.add_argument("--minutes", type=float, default=0.5, help="of each training")
    parser.add_argument("--rounds", type=int, default=2, help="one and two processes take turns in each")
    options = parser.parse_args()
    table = Table(title=f"{options.minutes:g} minutes each, one thread a process")
    for title in ("preset", "beside", "one process, clips/s", "two processes, clips/s", "two : one"):
        table.add_column(title)
    for name in options.presets.split(","):
        for beside in (0, 1):
            rates: dict[int, list[float]] = {1: [], 2: []}
            for _ in range(options.rounds):
                for devices, found in rates.items():
                    with spinning(beside):
                        found.append(clips_per_second(name, options.minutes, 1, devices))
            one, two = (", ".join(f"{rate:.1f}" for rate in rates[devices]) for devices in (1, 2))
            ratio = statistics.median(rates[2]) / statistics.median(rates[1])
            table.add_row(name, f"{beside} spinning" if beside else "nothing", one, two, f"{ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
