"""The studio under load: people who browse, triage and search, and models that stream live, at the same time.

Without --library a small one is made, with files. For the figures at 100,000 clips make one first, and give it:

python benchmarks/library.py --rows 100000 --keep big
python benchmarks/studio.py [--library big] [--clients 50] [--live 4] [--seconds 120] [--fuzz 0]
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from footage.library.library import Library
from footage.video.encode import chunked, write_clip
from footage.web.guard import Keys
from footage.web.limits import Limits
from footage.web.server import Address, Server, application
from footage.web.shelf import Shelf
from footage.web.studio import Studio

WANTED = {"first page": 300.0, "text search": 100.0, "similarity": 200.0, "triage": 50.0}
"""Milliseconds that a request may take at the server, 95 times of 100, asked one after another."""
THINKING = 1.0
"""Seconds that somebody looks between two requests."""
MODEL = "stream-shapes"
"""What streams live."""


def fill(folder: Path, clips: int) -> None:
    """Make a library of small clips with files."""
    rng = np.random.default_rng(0)
    with Library(folder / "library") as library:
        for number in range(clips):
            frames = rng.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8).repeat(4, 1).repeat(4, 2)
            path = folder / f"{number:04}.mp4"
            write_clip(path, chunked(frames), fps=12, metadata={"made_with": "footage 0", "model": "m", "seed": number})
            library.add(path)
            path.unlink()


def memory() -> float:
    """Return the memory that this process takes now, in MB, files that are mapped left out."""
    text = Path("/proc/self/status").read_text()
    return float(text.split("RssAnon:")[1].split()[0]) / 1000


def alone(client: httpx.Client, ids: list[int], rounds: int) -> list[tuple[str, list[float]]]:
    """Return how long requests take when nobody else asks, in ms."""
    rng = random.Random(1)
    kinds: dict[str, Callable[[], httpx.Response]] = {
        "first page": lambda: client.get("/", params={"sort": rng.choice(["newest", "stars", "title"])}),
        "text search": lambda: client.get(
            "/api/clips", params={"text": f"{rng.choice(['red', 'ma', '00'])}{rng.randrange(99)}"}
        ),
        "similarity": lambda: client.get(f"/api/clips/{rng.choice(ids)}/similar"),
        "triage": lambda: client.patch(f"/api/clips/{rng.choice(ids)}", json={"stars": rng.randrange(6)}),
    }
    found = []
    for name, ask in kinds.items():
        times = []
        for _ in range(rounds):
            begun = time.perf_counter()
            ask().raise_for_status()
            times.append(1000 * (time.perf_counter() - begun))
        found.append((name, times[1:]))
    return found


class Load:
    """Counts what many clients do at once."""

    def __init__(self, server: Server, headers: dict[str, str], ids: list[int], until: float) -> None:
        self.server, self.headers, self.ids, self.until = server, headers, ids, until
        self.times: list[float] = []
        self.faults: list[str] = []
        self.bytes = [0] * 64
        self.whole = server.studio.library.get(ids[0]).missing is False and self._has_file(ids[0])

    def _has_file(self, clip: int) -> bool:
        entry = self.server.studio.library.get(clip)
        return self.server.studio.library._holding.vault.path(entry.digest, entry.suffix).is_file()

    def browse(self, number: int) -> None:
        """Browse, look and judge until time is up."""
        rng = random.Random(number)
        with httpx.Client(base_url=self.server.address, headers=self.headers, timeout=60) as client:
            while time.time() < self.until:
                clip = rng.choice(self.ids)
                asked = [("GET", "/"), ("GET", "/parts/facets"), ("GET", f"/clip/{clip}"), ("GET", "/api/clips?text=m")]
                if self.whole:
                    asked += [("GET", f"/api/clips/{clip}/thumbnail"), ("GET", f"/api/clips/{clip}/file")]
                asked.append(("PATCH", f"/api/clips/{clip}"))
                method, path = rng.choice(asked)
                begun = time.perf_counter()
                try:
                    body = {"stars": rng.randrange(6)} if method == "PATCH" else None
                    answer = client.request(method, path, json=body)
                    if answer.status_code >= 400:
                        self.faults.append(f"{method} {path}: {answer.status_code} {answer.text[:80]}")
                except httpx.HTTPError as error:
                    self.faults.append(f"{method} {path}: {error!r}")
                self.times.append(1000 * (time.perf_counter() - begun))
                time.sleep(rng.uniform(0, 2 * THINKING))

    def watch(self, number: int) -> None:
        """Watch a live stream until time is up, and change its seed now and then."""
        with httpx.Client(base_url=self.server.address, headers=self.headers, timeout=60) as client:
            live = client.post("/api/live", json={"model": MODEL, "seed": number}).json()["id"]
            changed = time.time()
            try:
                with client.stream("GET", f"/api/live/{live}/video") as answer:
                    for block in answer.iter_bytes():
                        self.bytes[number] += len(block)
                        if time.time() > self.until:
                            break
                        if time.time() - changed > 5:
                            changed = time.time()
                            httpx.patch(
                                f"{self.server.address}api/live/{live}",
                                json={"seed": int(changed)},
                                headers=self.headers,
                            )
            except httpx.HTTPError as error:
                self.faults.append(f"live: {error!r}")
            if time.time() < self.until:
                self.faults.append("live: the stream ended")


def fuzz(folder: Path, examples: int) -> list[str]:
    """Send nonsense, `examples` for each operation; return what was answered with a fault of the server."""
    import schemathesis
    from hypothesis import HealthCheck, Phase, settings
    from hypothesis import given as tried
    from starlette.testclient import TestClient

    studio = Studio(Library(folder), Shelf(folder), Keys(), Limits(changes=1e9, queue=3))
    studio.workshop.close()
    app = application(studio)
    client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
    client.headers["x-csrf-token"] = studio.keys.csrf
    faults: list[str] = []
    often = settings(
        max_examples=examples, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    for result in schemathesis.openapi.from_dict(app.openapi()).get_all_operations():
        operation: Any = cast(Any, result).ok()
        if operation.path.startswith("/api/live"):
            continue

        def send(case: Any) -> None:
            values = case.as_transport_kwargs(base_url="http://127.0.0.1")
            values.pop("headers", None)
            try:
                answer = client.request(**values)
            except (UnicodeError, ValueError):
                return
            if answer.status_code >= 500:
                faults.append(f"{values['method']} {values['url']}")

        often(tried(case=operation.as_strategy())(send))()
    studio.close()
    return faults


def main() -> None:
    """Serve a library, ask, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=Path, help="a library that is there already")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--live", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--fuzz", type=int, default=0, help="nonsensical requests for each operation")
    options = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as scratch:
        if options.library is None:
            fill(Path(scratch), 200)
        limits = Limits(changes=1e6, burst=10**6, streams=max(4, options.live))
        folder = options.library or Path(scratch) / "library"
        server = Server(folder, Path(scratch), Address(port=0), limits)
        server.start()
        ids = [entry.id for entry in server.studio.library.query(limit=1000).entries]
        headers = {"x-csrf-token": server.studio.keys.csrf}
        table = Table(
            "request", "median, ms", "p95, ms", "wanted, ms", title=f"{server.studio.library.count():,} clips"
        )
        with httpx.Client(base_url=server.address, headers=headers, timeout=60) as client:
            for name, times in alone(client, ids, options.rounds):
                high = statistics.quantiles(times, n=20)[-1]
                table.add_row(name, f"{statistics.median(times):.1f}", f"{high:.1f}", f"{WANTED[name]:.0f}")
        console.print(table)
        load = Load(server, headers, ids, time.time() + options.seconds)
        threads = [threading.Thread(target=load.browse, args=(i,)) for i in range(options.clients)]
        threads += [threading.Thread(target=load.watch, args=(i,)) for i in range(options.live)]
        for thread in threads:
            thread.start()
        sizes = []
        while any(thread.is_alive() for thread in threads):
            time.sleep(1)
            sizes.append(memory())
        third = max(1, len(sizes) // 3)
        growth = statistics.mean(sizes[-third:]) / statistics.mean(sizes[third : 2 * third] or sizes)
        high = statistics.quantiles(load.times, n=20)[-1]
        console.print(
            f"{options.clients} clients and {options.live} live for {options.seconds:.0f} s: "
            f"{len(load.times):,} requests, "
            f"median {statistics.median(load.times):.0f} ms, p95 {high:.0f} ms, {len(load.faults)} errors; live "
            f"{[round(count / 1e6, 1) for count in load.bytes[: options.live]]} MB; "
            f"memory {max(sizes):.0f} MB with the "
            f"clients, the last third : the second {growth:.3f}"
        )
        for fault in load.faults[:5]:
            console.print(fault)
        server.stop()
        if options.fuzz:
            faults = fuzz(folder, options.fuzz)
            console.print(
                f"{options.fuzz} requests for each operation: {len(faults)} faults of the server {faults[:3]}"
            )


if __name__ == "__main__":
    main()
