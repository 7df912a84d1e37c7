"""The studio under load: people who browse, triage and search, and models that stream live, at the same time.

Without --library a small one is made, with files. For the figures at 100,000 clips make one first, and give it:

python benchmarks/library.py --rows 100000 --keep big
python benchmarks/studio.py [--library big] [--clients 50] [--live 4] [--seconds 120] [--work] [--fuzz 0]

With --work a model is trained (stream-64 on moving shapes, a job of the studio) and files are sent meanwhile.

The server is a process of its own, the clients are threads of this one; the memory is that of the server and of all
processes that it has started, shared pages divided among those who share them (PSS).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from footage.library.library import Library
from footage.media.encode import chunked, write_clip
from footage.studio.app import Address, Server, application
from footage.studio.catalog import Catalog
from footage.studio.security import Keys, Limits
from footage.studio.state import Studio

WANTED = {"first page": 300.0, "text search": 100.0, "similarity": 200.0, "triage": 50.0}
"""Milliseconds that a request may take at the server, 95 times of 100, asked one after another."""
THINKING = 1.0
"""Seconds that somebody looks between two requests."""
LARGE_FILE, PIECE, PAUSE = 64 * 2**20, 2 * 2**20, 0.5
"""Bytes of a file that is sent, and of its pieces, and seconds between two of them."""
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


def pss(process: int) -> float:
    """Return the memory of a process in MB, its part of what it shares; 0 where it has ended."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return float(text.split("\nPss:")[1].split()[0]) / 1024


def below(process: int) -> list[int]:
    """Return the processes that a process has started, and these in turn."""
    found: list[int] = []
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, path.read_text().split()):
                found += [child, *below(child)]
    return found


@dataclass
class Memory:
    """The memory of a server over time."""

    process: int
    """The server."""
    own: list[float] = field(default_factory=list)
    """Of the server's process, MB."""
    others: list[float] = field(default_factory=list)
    """Of all that it has started, MB."""

    def look(self) -> None:
        """Note how much it is now."""
        self.own.append(pss(self.process))
        self.others.append(sum(map(pss, below(self.process))))

    def said(self) -> str:
        """Return what it came to, by thirds of the time."""
        third = max(1, len(self.own) // 3)
        both = [a + b for a, b in zip(self.own, self.others, strict=True)]
        parts = []
        for name, sizes in (("the server", self.own), ("its processes", self.others), ("together", both)):
            means = [statistics.mean(sizes[k * third : (k + 1) * third] or sizes[-1:]) for k in range(3)]
            shown = ", ".join(f"{mean:.1f}" for mean in means)
            parts.append(f"{name} {shown} MB by thirds, last : middle {means[2] / max(means[1], 1e-9):.3f}")
        return "memory: " + "; ".join(parts)


def serve(folder: Path, models: Path, streams: int) -> None:
    """Serve a library, say where, and end with the input."""
    limits = Limits(changes=1e6, burst=10**6, streams=max(4, streams))
    server = Server(folder, models, Address(port=0), limits)
    server.start()
    print(json.dumps({"address": server.address, "csrf": server.studio.keys.csrf}), flush=True)
    sys.stdin.read()
    server.stop()


@contextlib.contextmanager
def served(folder: Path, models: Path, streams: int) -> Iterator[tuple[int, str, str]]:
    """Give the number, the address and the word against forgery of a server in a process of its own."""
    words = [sys.executable, __file__, "--serve", str(folder), str(models), str(streams)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        said = json.loads(process.stdout.readline())
        yield process.pid, said["address"], said["csrf"]
    finally:
        process.stdin.close()
        process.wait(30)


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

    def __init__(self, address: str, headers: dict[str, str], ids: list[int], until: float) -> None:
        self.address, self.headers, self.ids, self.until = address, headers, ids, until
        self.times: list[float] = []
        self.pages: list[float] = []
        """Of the first page alone."""
        self.sent = 0
        """Bytes of files that were sent."""
        self.trained = ""
        self.faults: list[str] = []
        self.bytes = [0] * 64
        self.whole = httpx.get(f"{address}api/clips/{ids[0]}/file", headers=headers).status_code == 200

    def browse(self, number: int) -> None:
        """Browse, look and judge until time is up."""
        rng = random.Random(number)
        with httpx.Client(base_url=self.address, headers=self.headers, timeout=60) as client:
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
                if path == "/":
                    self.pages.append(self.times[-1])
                time.sleep(rng.uniform(0, 2 * THINKING))

    def send(self) -> None:
        """Send files to be ingested, piece by piece, until time is up."""
        file = {"path": "large.mp4", "size": LARGE_FILE, "modified": 1}
        piece = bytes(PIECE)
        with httpx.Client(base_url=self.address, headers=self.headers, timeout=60) as client:
            for number in range(10_000):
                folder = client.post("/api/sources/uploads", json={"name": f"sent {number}", "files": [file]})
                self.refuse(folder)
                for offset in range(0, LARGE_FILE, PIECE):
                    if time.time() > self.until:
                        return
                    place = {**file, "folder": folder.json()["folder"], "offset": offset}
                    self.refuse(client.put("/api/sources/uploads", params=place, content=piece))
                    self.sent += len(piece)
                    time.sleep(PAUSE)

    def train(self, process: int) -> None:
        """Have a model trained until time is up, below the server's process; note how far it came, and its priority."""
        with httpx.Client(base_url=self.address, headers=self.headers, timeout=60) as client:
            form = {"data": "shapes", "run": "load", "preset": "stream-64", "device": "cpu", "clips": 10**9}
            job = client.post("/api/jobs/train", json=form)
            self.refuse(job)
            nice = 0
            while time.time() < self.until:
                time.sleep(1)
                for child in below(process):
                    with contextlib.suppress(OSError):
                        if b"\0train\0" in Path(f"/proc/{child}/cmdline").read_bytes():
                            nice = int(Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[16])
            message = client.get(f"/api/jobs/{job.json()['id']}").json()
            self.trained = f"trained on {message['message'] or 'no'} clips with a niceness of {nice}"
            client.post(f"/api/jobs/{job.json()['id']}/cancel")

    def refuse(self, answer: httpx.Response) -> None:
        """Note an answer that is an error."""
        if answer.status_code >= 400:
            self.faults.append(f"{answer.request.method} {answer.request.url.path}: {answer.text[:80]}")

    def watch(self, number: int) -> None:
        """Watch a live stream until time is up, and change its seed now and then."""
        with httpx.Client(base_url=self.address, headers=self.headers, timeout=60) as client:
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
                                f"{self.address}api/live/{live}",
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

    studio = Studio(Library(folder), Catalog(folder), Keys(), Limits(changes=1e9, queue=3))
    studio.worker.close()
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


def load(address: str, headers: dict[str, str], ids: list[int], process: int, options: argparse.Namespace) -> list[str]:
    """Let many browse and some watch for a while; return what it came to, in lines."""
    made = Load(address, headers, ids, time.time() + options.seconds)
    threads = [threading.Thread(target=made.browse, args=(i,)) for i in range(options.clients)]
    threads += [threading.Thread(target=made.watch, args=(i,)) for i in range(options.live)]
    if options.work:
        threads += [threading.Thread(target=made.send), threading.Thread(target=made.train, args=(process,))]
    memory = Memory(process)
    for thread in threads:
        thread.start()
    while time.time() < made.until - 1:
        time.sleep(1)
        memory.look()
    for thread in threads:
        thread.join()
    high = statistics.quantiles(made.times, n=20)[-1]
    first = statistics.quantiles(made.pages, n=20)[-1]
    lines = [
        f"first page: {len(made.pages):,} requests, median {statistics.median(made.pages):.0f} ms, p95 {first:.0f} ms",
        *([f"{made.trained}; {made.sent / 2**20:,.0f} MiB of files sent"] if options.work else []),
        f"{options.clients} clients and {options.live} live for {options.seconds:.0f} s: {len(made.times):,} requests, "
        f"median {statistics.median(made.times):.0f} ms, p95 {high:.0f} ms, {len(made.faults)} errors; live "
        f"{[round(count / 1e6, 1) for count in made.bytes[: options.live]]} MB",
        memory.said(),
    ]
    return [*lines, *made.faults[:5]]


def main() -> None:
    """Serve a library, ask, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=Path, help="a library that is there already")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--live", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--work", action="store_true", help="a training and an upload beside")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--fuzz", type=int, default=0, help="nonsensical requests for each operation")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(Path(options.serve[0]), Path(options.serve[1]), int(options.serve[2]))
    console = Console(width=200, highlight=False)
    with tempfile.TemporaryDirectory() as scratch:
        if options.library is None:
            fill(Path(scratch), 200)
        folder = options.library or Path(scratch) / "library"
        with Library(folder) as library:
            ids, count = [entry.id for entry in library.query(limit=1000).entries], library.count()
        table = Table("request", "median, ms", "p95, ms", "wanted, ms", title=f"{count:,} clips")
        with served(folder, Path(scratch), options.live) as (process, address, csrf):
            headers = {"x-csrf-token": csrf}
            with httpx.Client(base_url=address, headers=headers, timeout=60) as client:
                for name, times in alone(client, ids, options.rounds):
                    high = statistics.quantiles(times, n=20)[-1]
                    table.add_row(name, f"{statistics.median(times):.1f}", f"{high:.1f}", f"{WANTED[name]:.0f}")
            console.print(table)
            for line in load(address, headers, ids, process, options):
                console.print(line)
        if options.fuzz:
            faults = fuzz(folder, options.fuzz)
            console.print(
                f"{options.fuzz} requests for each operation: {len(faults)} faults of the server {faults[:3]}"
            )


if __name__ == "__main__":
    main()
