"""A library of 100,000 clips: how long a page, a search, a likeness and a change take, and how much memory.

The rows are made up and have no files. Every figure is over queries that differ from each other.

python benchmarks/library.py [--rows 100000] [--rounds 60] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from footage.library import additions, similarity
from footage.library.additions import ClipDetails, GenerationMetadata
from footage.library.library import Library
from footage.library.query import ClipQuery
from footage.media.probe import VideoInfo
from footage.media.thumbnails import Thumbnails

WORDS = (
    *("red", "blue", "green", "slow", "fast", "wide", "close", "night", "rain"),
    *("street", "forest", "water", "crowd", "walking", "running", "turning", "falling"),
)
CHINESE = ("穿红衣服的人在街上走", "下雨的夜晚", "海边的日落", "快速奔跑的马", "城市灯光", "森林里的河流")
MODELS = ("stream-shapes", "stream-people", "vae-cars", "predict-digits")
LABELS = ("circle", "square", "walk", "run", "jump", "wave")
LIMITS = {"page": 300.0, "text": 100.0, "likeness": 200.0, "change": 50.0}
"""Milliseconds that a kind of request may take, 95 times of 100."""


def fill(folder: Path, rows: int) -> None:
    """Make a library of made-up clips."""
    rng, numbers = random.Random(0), np.random.default_rng(0)
    blank = np.zeros((1, 8, 8, 3), dtype=np.uint8)
    library = Library(folder)
    storage = library._storage
    for first in range(0, rows, 5000):
        with storage.database.write() as connection:
            for number in range(first, min(rows, first + 5000)):
                made = rng.random() < 0.7
                weights = hashlib.sha256(rng.choice(MODELS).encode()).hexdigest()
                model, label = (rng.choice(MODELS), rng.choice(LABELS)) if made else (None, None)
                origin = GenerationMetadata(
                    "footage 0" if made else "", model, weights if made else None, number, label, "", {}
                )
                side, fps = rng.choice((64, 128, 256, 720)), rng.choice((12.0, 25.0, 30.0))
                info = VideoInfo(side, side, Fraction(fps), None, "h264", "yuv420p", 0, False, None)
                seen = Thumbnails(info, rng.randrange(16, 400), fps, blank, blank)
                words = " ".join(rng.choices(WORDS, k=6)) + " " + rng.choice(CHINESE)
                known = ClipDetails(
                    title=f"{label or 'take'}-{number:06d}",
                    prompt=words,
                    source=f"/footage/{rng.randrange(1000)}/clip {number}.mp4",
                    tags=tuple({rng.choice(WORDS) for _ in range(rng.randrange(4))}),
                    stars=rng.choice((0, 0, 0, 1, 2, 3, 4, 5)),
                    verdict=rng.choice(("undecided", "undecided", "keep", "reject")),
                    metrics={"motion": rng.random()},
                )
                digest = hashlib.sha256(f"{number}".encode()).hexdigest()
                additions.insert(connection, digest, "mp4", rng.randrange(10_000, 900_000), seen, origin, known)
    vectors = storage.vectors(similarity.APPEARANCE)
    vectors.path.parent.mkdir(exist_ok=True)
    with open(vectors.path, "wb") as out:
        out.write(np.zeros(vectors.width, "<f4").tobytes())
        for first in range(0, rows, 5000):
            block = numbers.normal(size=(min(rows, first + 5000) - first, vectors.width))
            out.write((block / np.linalg.norm(block, axis=1, keepdims=True)).astype("<f4").tobytes())
    with storage.database.write() as connection:
        connection.execute("ANALYZE")
    library.close()


def requests(library: Library, rows: int) -> Iterator[tuple[str, str, Callable[[random.Random], object]]]:
    """Yield kind, name and a request that draws its own values."""
    yield "page", "first page", lambda r: library.query(limit=r.randrange(40, 80))
    yield (
        "page",
        "kept, 3 stars and more",
        lambda r: library.query(ClipQuery(verdict="keep", min_stars=r.choice((3, 4, 5)))),
    )
    yield "page", "a tag", lambda r: library.query(ClipQuery(tags=(r.choice(WORDS),)))
    yield (
        "page",
        "two tags, a model",
        lambda r: library.query(ClipQuery(tags=tuple(r.sample(WORDS, 2)), model=MODELS[1])),
    )
    yield "page", "by stars, a label", lambda r: library.query(ClipQuery(label=r.choice(LABELS)), sort="stars")
    yield "page", "by title", lambda r: library.query(ClipQuery(min_stars=r.randrange(4)), sort="title")
    yield "page", "by a figure", lambda r: library.query(ClipQuery(min_stars=r.randrange(4)), sort="metric:motion")
    yield "page", "count", lambda r: library.count(ClipQuery(min_stars=r.randrange(5)))
    yield "page", "panel of filters", lambda r: library.facets(ClipQuery(min_stars=r.randrange(5)))
    yield "text", "a common word", lambda r: library.query(text=r.choice(WORDS))
    yield "text", "a rare word", lambda r: library.query(text=f"{r.randrange(rows):06d}")
    yield "text", "three words", lambda r: library.query(text=" ".join(r.sample(WORDS, 3)))
    yield "text", "Chinese, 2 characters", lambda r: library.query(text=r.choice(("红衣", "日落", "奔跑", "森林")))
    yield "text", "Chinese, a phrase", lambda r: library.query(text=r.choice(CHINESE))
    yield "text", "2 letters, nothing found", lambda r: library.query(text=r.choice(("zq", "qz", "xq")))
    yield "text", "nothing found", lambda r: library.query(text=f"zzz{r.randrange(99)}")
    yield "text", "a word, by stars", lambda r: library.query(text=r.choice(WORDS), sort="stars")
    yield "text", "a rare word, by title", lambda r: library.query(text=f"{r.randrange(1000):03d}", sort="title")
    yield "text", "count of a word", lambda r: library.count(text=r.choice(WORDS))
    yield "likeness", "more like this", lambda r: library.similar(r.randrange(1, rows))
    yield (
        "likeness",
        "more like this, filtered",
        lambda r: library.similar(r.randrange(1, rows), ClipQuery(verdict="keep")),
    )
    yield "change", "stars", lambda r: library.update(r.randrange(1, rows), stars=r.randrange(6))
    yield "change", "verdict", lambda r: library.update(r.randrange(1, rows), verdict=r.choice(("keep", "reject")))
    yield "change", "tags", lambda r: library.bulk([r.randrange(1, rows)], tag=[r.choice(WORDS)])
    yield "change", "undo", lambda r: library.undo()


def measure(ask: Callable[[random.Random], object], rounds: int) -> tuple[list[float], list[float]]:
    """Return how long each request took, and how long the processor was at work for it, in milliseconds."""
    rng = random.Random()  # other changes each time: one that changes nothing costs nothing
    times: list[float] = []
    busy: list[float] = []
    for _ in range(rounds):
        started, worked = time.perf_counter(), time.process_time()
        ask(rng)
        times.append(1000 * (time.perf_counter() - started))
        busy.append(1000 * (time.process_time() - worked))
    return times, busy


def memory() -> float:
    """Return the largest memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Fill a library, ask, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--keep", type=Path, help="folder that the library is made in, and kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch) / "library"
        if not folder.exists():
            started = time.perf_counter()
            fill(folder, options.rows)
            print(f"filled in {time.perf_counter() - started:.0f} s, {memory():.0f} MB")
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
        columns = ("", "request", "median, ms", "p95, ms", "p95, ms of processor", "limit, ms")
        table, slowest = Table(*columns, title=f"{options.rows:,} clips, {size:.0f} MB"), dict.fromkeys(LIMITS, 0.0)
        with Library(folder) as library:
            for kind, name, ask in requests(library, options.rows):
                times, busy = measure(ask, options.rounds)
                high = statistics.quantiles(times, n=20)[-1]
                slowest[kind] = max(slowest[kind], high)
                mark = "" if high < LIMITS[kind] else " (too slow)"
                own = f"{statistics.quantiles(busy, n=20)[-1]:.1f}"
                middle = f"{statistics.median(times):.1f}"
                table.add_row(kind, name, middle, f"{high:.1f}{mark}", own, f"{LIMITS[kind]:.0f}")
        Console().print(table)
        print(f"memory: {memory():.0f} MB, the filling included" if not options.keep else f"memory: {memory():.0f} MB")
        print(json.dumps(slowest))


if __name__ == "__main__":
    main()
