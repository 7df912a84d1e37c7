"""Ingest and generation on 10, 100 and 1,000 workers, simulated from measured times: where does it stop to scale?

python benchmarks/cluster_simulation.py [--measured FILE] [--seed 0] [--workers 10,100,1000] [--picture FILE]

What a unit takes is measured at the start on small inputs, in seconds of one processor, or read from the JSON that an
earlier call has written. All else is a knob, with what it was taken from. A discrete-event simulation: a worker that
is free asks its driver for a unit; drivers and the store serve one request after another (first come, first served);
a worker reads what the unit needs from the store, computes, and writes; one that dies begins again after `--restart`
seconds, and its unit is done by another. Efficiency is the computing that was needed, by workers and time.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import os
import random
import tempfile
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from footage import files
from footage.errors import FootageError

VERSION = 1
"""Of the file of measurements."""


@dataclass(frozen=True)
class Work:
    """What an item takes: a source file that is ingested, a clip that is made."""

    name: str
    seconds: float
    """Of one processor."""
    read: float
    """Bytes from the store."""
    written: float
    """Bytes to the store."""


@dataclass(frozen=True)
class Cluster:
    """Workers, and what they share."""

    workers: int = 10
    items: int = 1000
    """What is to be done, in all."""
    batch: int = 1
    """Items in a unit: what a worker is given, reads, and writes at once, in one shard."""
    drivers: int = 1
    """Programs that hand units out, each to its part of the workers."""
    overhead: float = 6e-4
    """Seconds of a driver for each unit: Ray 2.60 took .12 s for 200 empty tasks."""
    bandwidth: float = 1.25e9
    """Bytes a second of the store, which all workers share: 10 Gbit/s."""
    latency: float = 0.03
    """Seconds until the store answers, twice for each unit."""
    spread: float = 0.5
    """Standard deviation of an item's seconds, as a part of their mean (gamma distributed)."""
    failures: float = 1 / 3600
    """Deaths of a worker in a second of its life."""
    restart: float = 60.0
    """Seconds until there is another one in its place."""


class Outcome(NamedTuple):
    """What came of a simulation."""

    makespan: float
    """Seconds until the last unit was done."""
    efficiency: float
    driver: float
    """Part of the time in which the drivers were busy."""
    store: float
    lost: float
    """Part of the workers' time that deaths cost: units begun in vain, and the time until there is another worker."""
    deaths: int


class Queue:
    """Servers that each serve one request after another; requests come in the order of time."""

    def __init__(self, servers: int) -> None:
        self.free, self.busy = [0.0] * servers, 0.0

    def serve(self, now: float, seconds: float, server: int = 0) -> float:
        """Return when a request of so many seconds that comes now is served."""
        self.free[server] = max(now, self.free[server]) + seconds
        self.busy += seconds
        return self.free[server]


class Simulation:
    """A job on a cluster, event by event; every draw follows from the seed."""

    def __init__(self, work: Work, cluster: Cluster, seed: int = 0) -> None:
        self.work, self.cluster, self.rng = work, cluster, random.Random(seed)
        self.events: list[tuple[float, int, str, int]] = []
        self.drivers, self.store = Queue(cluster.drivers), Queue(1)
        whole, rest = divmod(cluster.items, cluster.batch)
        self.sizes = [cluster.batch] * whole + [rest] * (rest > 0)
        self.seconds = [self.drawn(size) for size in self.sizes]
        self.pending = deque(range(len(self.sizes)))
        self.unit, self.since = [-1] * cluster.workers, [0.0] * cluster.workers
        self.death = [self.life() for _ in range(cluster.workers)]
        self.idle: list[int] = []
        self.number = self.deaths = 0
        self.lost = 0.0

    def drawn(self, size: int) -> float:
        """Return the seconds of a unit of so many items, the sum of gamma distributed ones."""
        mean, spread = self.work.seconds, self.cluster.spread
        if not spread:
            return mean * size
        return self.rng.gammavariate(size / spread**2, mean * spread**2)

    def life(self) -> float:
        return self.rng.expovariate(self.cluster.failures) if self.cluster.failures else math.inf

    def push(self, time: float, event: str, worker: int) -> None:
        self.number += 1
        heapq.heappush(self.events, (time, self.number, event, worker))

    def later(self, now: float, time: float, event: str, worker: int) -> None:
        """Let something happen to a worker, unless it dies before."""
        if self.death[worker] < time:
            time, event = max(now, self.death[worker]), "dies"
        self.push(time, event, worker)

    def run(self) -> Outcome:
        """Return what comes of it once all units are done."""
        left, now = len(self.sizes), 0.0
        for worker in range(self.cluster.workers):
            self.push(0.0, "asks", worker)
        while left:
            now, _, event, worker = heapq.heappop(self.events)
            if event == "wrote":
                left -= 1
                self.unit[worker] = -1
                self.push(now, "asks", worker)
            else:
                getattr(self, event)(now, worker)
        time, cluster = now * self.cluster.workers, self.cluster
        busy = self.drivers.busy / now / cluster.drivers, self.store.busy / now
        return Outcome(now, sum(self.seconds) / time, *busy, self.lost / time, self.deaths)

    def asks(self, now: float, worker: int) -> None:
        if self.death[worker] < now:  # while it had nothing to do
            self.death[worker] = now + self.cluster.restart + self.life()
            self.push(now + self.cluster.restart, "asks", worker)
        elif not self.pending:
            self.idle.append(worker)
        else:
            self.unit[worker], self.since[worker] = self.pending.popleft(), now
            sent = self.drivers.serve(now, self.cluster.overhead, worker % self.cluster.drivers)
            self.later(now, sent, "reads", worker)

    def reads(self, now: float, worker: int) -> None:
        self.later(now, self.moved(now, worker, self.work.read), "computes", worker)

    def computes(self, now: float, worker: int) -> None:
        self.later(now, now + self.seconds[self.unit[worker]], "writes", worker)

    def writes(self, now: float, worker: int) -> None:
        self.later(now, self.moved(now, worker, self.work.written), "wrote", worker)

    def moved(self, now: float, worker: int, item: float) -> float:
        """Return when the store has sent or taken the bytes of a unit."""
        size = self.sizes[self.unit[worker]] * item
        return self.store.serve(now, size / self.cluster.bandwidth) + self.cluster.latency

    def dies(self, now: float, worker: int) -> None:
        self.deaths += 1
        self.lost += now - self.since[worker] + self.cluster.restart
        self.pending.appendleft(self.unit[worker])
        self.unit[worker], self.death[worker] = -1, now + self.cluster.restart + self.life()
        self.push(now + self.cluster.restart, "asks", worker)
        if self.idle:
            self.push(now, "asks", self.idle.pop())


def simulate(work: Work, cluster: Cluster, seed: int = 0) -> Outcome:
    return Simulation(work, cluster, seed).run()


def limits(work: Work, cluster: Cluster) -> dict[str, float]:
    """Return the number of workers that drivers and store can keep busy: what a unit takes, by what of it is shared."""
    moved = (work.read + work.written) / cluster.bandwidth
    unit = cluster.batch * work.seconds
    return {
        "driver": cluster.drivers * unit / cluster.overhead if cluster.overhead else math.inf,
        "store": work.seconds / moved if moved else math.inf,
    }


REMEDIES: dict[str, dict[str, float]] = {
    "as it is": {},
    "10 items in a unit": {"batch": 10},
    "8 drivers": {"drivers": 8},
    "8 times the store": {"bandwidth": 8},
    "all three": {"batch": 10, "drivers": 8, "bandwidth": 8},
}
"""What may help: the knobs that are multiplied."""


def improved(cluster: Cluster, remedy: str) -> Cluster:
    """Return the cluster with a remedy."""
    return replace(cluster, **{knob: type(getattr(cluster, knob))(getattr(cluster, knob) * times)
                               for knob, times in REMEDIES[remedy].items()})  # fmt: skip


def measure() -> list[Work]:
    """Ingest small videos and make clips, two and ten, and return what one takes: the difference by eight."""
    import torch

    import footage
    from footage.config import IngestConfig
    from footage.data.synthetic import draw_factors, render_shapes
    from footage.media.encode import chunked, write_clip

    torch.set_num_threads(1)

    def spent() -> float:
        return sum(os.times()[:4])

    def folder_bytes(folder: Path) -> int:
        return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())

    counts, taken = (2, 10), dict[str, list[tuple[float, int, int]]](ingest=[], generate=[])
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for count in counts:
            videos = root / f"videos-{count}"
            for number in range(count):
                clip = render_shapes(draw_factors(0, number), start=0, frames=100, height=240, width=320)
                write_clip(videos / f"{number}.mp4", chunked(clip), fps=25, metadata={})
            began = spent()
            footage.ingest((videos,), root / f"data-{count}", IngestConfig(workers=1), advise=False, quiet=True)
            moved = folder_bytes(videos), folder_bytes(root / f"data-{count}")
            taken["ingest"].append((spent() - began, *moved))
            began = spent()
            footage.generate(Path("stream-shapes"), root / f"clips-{count}", count=count, frames=64, quiet=True)
            taken["generate"].append((spent() - began, 0, folder_bytes(root / f"clips-{count}")))
    more = counts[1] - counts[0]
    return [
        Work(name, *((b - a) / more for a, b in zip(first, second, strict=True)))
        for name, (first, second) in taken.items()
    ]


def works(measured: Path | None, console: Console) -> list[Work]:
    """Return what is to be done, from a file of measurements; where there is none, measured now and written there."""
    if measured is not None and measured.exists():
        stored = json.loads(measured.read_text(encoding="utf-8"))
        files.refuse_newer(stored["version"], VERSION, measured, FootageError)
        return [Work(**work) for work in stored["works"]]
    with console.status("measuring"):
        measured_works = measure()
    if measured is not None:
        files.write_json(measured, {"version": VERSION, "works": [asdict(work) for work in measured_works]})
    return measured_works


def scaled(work: Work, cluster: Cluster, counts: Sequence[int], each: int, seed: int) -> list[Outcome]:
    """Return what comes of so many workers, each with as much to do."""
    return [simulate(work, replace(cluster, workers=count, items=each * count), seed) for count in counts]


def draw(
    picture: Path, simulated: Sequence[Work], cluster: Cluster, counts: Sequence[int], each: int, seed: int
) -> None:
    """Plot the efficiency of every remedy against the number of workers."""
    from footage.pages.plots import Plot, PlotSeries, write_png

    numbers = sorted({*counts, *(max(1, round(0.3 * count)) for count in counts)})
    plots = []
    for work in simulated:
        series = []
        for remedy in REMEDIES:
            outcomes = scaled(work, improved(cluster, remedy), numbers, each, seed)
            series.append(PlotSeries(remedy, tuple(numbers), tuple(outcome.efficiency for outcome in outcomes)))
        plots.append(Plot(f"Efficiency of {work.name}", "workers", series, zero=True))
    write_png(picture, plots, log=True)


def main() -> None:
    """Measure, simulate, and print a table for each kind of work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--measured", type=Path, help="JSON of what units take; measured and written where it is not there"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", default="10,100,1000")
    parser.add_argument("--each", type=int, default=100, help="items for each worker")
    parser.add_argument("--picture", type=Path, help="PNG to plot to")
    knobs = [knob for knob in fields(Cluster) if knob.name not in ("workers", "items")]
    for knob in knobs:
        parser.add_argument(f"--{knob.name}", type=type(knob.default), default=knob.default)
    options = parser.parse_args()
    console = Console()
    cluster = Cluster(**{knob.name: getattr(options, knob.name) for knob in knobs})
    counts, simulated = [int(count) for count in options.workers.split(",")], works(options.measured, console)
    for work in simulated:
        moved = f"{work.read / 1e6:.2f} MB read, {work.written / 1e6:.2f} MB written"
        title = f"{work.name}: {work.seconds:.3f} s, {moved} an item"
        table = Table(title=title)
        for column in (
            "what",
            "workers",
            "efficiency",
            "items/s",
            "driver busy",
            "store busy",
            "lost to deaths",
            "scales to",
        ):
            table.add_column(column)
        reached: dict[str, float] = {}
        for remedy in REMEDIES:
            better = improved(cluster, remedy)
            most = limits(work, better)
            bound = min(most, key=most.__getitem__)
            for count, outcome in zip(counts, scaled(work, better, counts, options.each, options.seed), strict=True):
                shown = [f"{part:.0%}" for part in (outcome.driver, outcome.store, outcome.lost)]
                rate = f"{options.each * count / outcome.makespan:,.0f}"
                scales = f"{most[bound]:,.0f} ({bound})"
                table.add_row(remedy, f"{count:,}", f"{outcome.efficiency:.2f}", rate, *shown, scales)
            reached[remedy] = outcome.efficiency
        console.print(table)
        alone = [remedy for remedy in REMEDIES if len(REMEDIES[remedy]) == 1]
        best = max(alone, key=reached.__getitem__)
        console.print(
            f"at {counts[-1]:,} workers one remedy alone helps most: {best}, efficiency {reached['as it is']:.2f} → "
            f"{reached[best]:.2f}; all three {reached['all three']:.2f}\n"
        )
    if options.picture:
        draw(options.picture, simulated, cluster, counts, options.each, options.seed)


if __name__ == "__main__":
    main()
