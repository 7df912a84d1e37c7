"""A library for a team: a studio at 1,000,000 clips, asked by 20 readers and 5 writers at once.

The library is made by `benchmarks/library.py` (rows without files) where FOLDER holds none. The server is a process
of its own; the clients are one process. A reader looks at something about every `--think` seconds: the first page (40
of 100) or words (30), each with what a browser then asks for, the panel of filters and the clips' numbers; likeness
(15), a clip's page (15). A writer judges a clip every `--judge` seconds, and its browser asks for the panel again. In
the end what was answered for is compared with what the library holds.

python benchmarks/library_million.py FOLDER [--rows 1000000] [--readers 20] [--writers 5] [--seconds 60]
    [--think 1] [--judge 2] [--steps 1 2 4]

`--steps` divides both pauses by these numbers, one after the other, to find the load at which it breaks.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import os
import random
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from library import CHINESE, WORDS, fill
from rich.console import Console
from rich.table import Table
from studio import Memory, served

from footage.library.library import Library

WANTED = {"first page": 300.0, "search": 100.0, "likeness": 300.0, "triage": 50.0}
"""Milliseconds that a request may take, 95 times of 100."""
LISTED = 5000
"""Clips' numbers that a browser asks for at once."""


class Team:
    """Readers and writers, and how long each of their requests took, ms, by kind."""

    def __init__(self, client: httpx.AsyncClient, rows: int, options: argparse.Namespace, faster: float) -> None:
        self._client, self._rows = client, rows
        self._think, self._judge = options.think / faster, options.judge / faster
        self._until = time.monotonic() + options.seconds
        self.times: dict[str, list[float]] = collections.defaultdict(list)
        self.faults: list[str] = []
        self.put_off = 0
        """Requests that the server answered with 503, and that were made again after the time that it named."""
        self.judged: dict[int, str] = {}
        """The verdicts that were answered for, by clip."""

    async def ask(self, kind: str, method: str, path: str, **more: Any) -> bool:
        """Make a request, again as long as the server puts it off; return whether it was answered for."""
        begun = time.perf_counter()
        while True:
            try:
                answer = await self._client.request(method, path, **more)
            except httpx.HTTPError as error:
                self.faults.append(f"{method} {path}: {error!r}")
                return False
            if answer.status_code != 503:
                break
            self.put_off += 1
            await asyncio.sleep(float(answer.headers["retry-after"]))
        if answer.status_code >= 400:
            self.faults.append(f"{method} {path}: {answer.status_code} {answer.text[:80]}")
            return False
        self.times[kind].append(1000 * (time.perf_counter() - begun))
        return True

    async def read(self, number: int) -> None:
        """Look through the library until time is up."""
        rng = random.Random(number)
        await asyncio.sleep(rng.uniform(0, self._think))
        while time.monotonic() < self._until:
            what, clip = rng.random(), rng.randrange(1, self._rows)
            if what < 0.4:
                sort = rng.choice(["newest", "newest", "newest", "stars", "title"])
                await self.ask("first page", "GET", "/", params={"sort": sort})
                numbers = {"sort": sort, "limit": LISTED}
                await asyncio.gather(
                    self.ask("panel of filters", "GET", "/parts/facets"),
                    self.ask("numbers of clips", "GET", "/api/clips/ids", params=numbers),
                )
            elif what < 0.7:
                rare = f"{rng.randrange(self._rows):06d}"
                text = rng.choice([rare, rng.choice(WORDS), " ".join(rng.sample(WORDS, 2)), rng.choice(CHINESE)[:2]])
                await self.ask("search", "GET", "/parts/clips", params={"text": text})
                await asyncio.gather(
                    self.ask("panel of a search", "GET", "/parts/facets", params={"text": text}),
                    self.ask("numbers of a search", "GET", "/api/clips/ids", params={"text": text, "limit": LISTED}),
                )
            elif what < 0.85:
                await self.ask("likeness", "GET", f"/api/clips/{clip}/similar")
            else:
                await self.ask("a clip's page", "GET", f"/clip/{clip}")
            await asyncio.sleep(rng.uniform(0, 2 * self._think))

    async def write(self, number: int, writers: int) -> None:
        """Judge clips, which no other writer judges, until time is up."""
        rng = random.Random(-1 - number)
        await asyncio.sleep(rng.uniform(0, self._judge))
        while time.monotonic() < self._until:
            clip = 1 + number + writers * rng.randrange((self._rows - 1) // writers)
            verdict = rng.choice(["keep", "reject", "undecided"])
            body = {"verdict": verdict, "stars": rng.randrange(6)}
            if await self.ask("triage", "PATCH", f"/api/clips/{clip}", json=body):
                self.judged[clip] = verdict
            await self.ask("panel of filters", "GET", "/parts/facets")
            await asyncio.sleep(rng.uniform(0, 2 * self._judge))


async def work(
    address: str, headers: Mapping[str, str], rows: int, options: argparse.Namespace, faster: float, memory: Memory
) -> Team:
    """Let the team work for a while; return what it found."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=120, limits=limits) as client:
        await client.get("/api/clips/1/similar")  # what is made once in a server's life, and the pages of the disk
        await client.get("/")
        team = Team(client, rows, options, faster)
        people = [team.read(number) for number in range(options.readers)]
        people += [team.write(number, options.writers) for number in range(options.writers)]
        await asyncio.gather(*people)
    memory.look()
    return team


def processor(process: int) -> float:
    """Return how long the processor has worked for a process, in seconds."""
    times = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")


def lost(folder: Path, judged: Mapping[int, str]) -> int:
    """Return how many verdicts that were answered for are not in the library."""
    with Library(folder) as library:
        return sum(entry.verdict != judged[entry.id] for entry in library.entries(judged))


def main() -> None:
    """Make the library, serve it, let the team work, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--readers", type=int, default=20)
    parser.add_argument("--writers", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--think", type=float, default=1.0)
    parser.add_argument("--judge", type=float, default=2.0)
    parser.add_argument("--steps", type=float, nargs="+", default=[1.0])
    options = parser.parse_args()
    console = Console(width=160, highlight=False)
    if not options.folder.exists():
        begun = time.perf_counter()
        fill(options.folder, options.rows)
        console.print(f"filled in {time.perf_counter() - begun:.0f} s")
    with Library(options.folder) as library:  # which brings its tables up to date
        rows = library.count()
    with served(options.folder, options.folder / "models", 0) as (process, address, csrf):
        memory = Memory(process)
        for faster in options.steps:
            worked = processor(process)
            team = asyncio.run(work(address, {"x-csrf-token": csrf}, rows, options, faster, memory))
            title = f"{rows:,} clips, {options.readers} readers (a look every {options.think / faster:g} s), "
            title += f"{options.writers} writers (a verdict every {options.judge / faster:g} s)"
            table = Table("request", "n", "median, ms", "p95, ms", "max, ms", "wanted, ms", title=title)
            for kind, times in sorted(team.times.items()):
                high = statistics.quantiles(times, n=20)[-1] if len(times) > 1 else times[0]
                figures = (statistics.median(times), high, max(times))
                table.add_row(kind, str(len(times)), *(f"{f:.1f}" for f in figures), f"{WANTED.get(kind, 0):.0f}")
            console.print(table)
            asked = sum(map(len, team.times.values()))
            busy = processor(process) - worked
            console.print(
                f"{asked / options.seconds:.0f} requests a second, "
                f"{busy / options.seconds:.2f} processors for the server, load {os.getloadavg()[0]:.1f}\n"
                f"{len(team.faults)} errors {team.faults[:3]}, "
                f"{team.put_off} put off, {lost(options.folder, team.judged)} of {len(team.judged)} verdicts lost; "
                f"server {memory.own[-1]:.0f} MB"
            )


if __name__ == "__main__":
    main()
