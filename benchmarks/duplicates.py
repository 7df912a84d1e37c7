"""Near-duplicates in large libraries: the clips that come into question, beside a comparison of all with all.

Vectors are made up, in three ways: without any likeness (the worst case: no axis holds more than another), in 2,000
groups of footage that is alike, and of six kinds that are all alike, as a few models make them. Lengths vary, or all
are the same.

python benchmarks/duplicates.py [--clips 60000]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from footage.library.similarity import APPEARANCE_WIDTH, NEAR_DUPLICATE, have_neighbour
from footage.media.signatures import LENGTH

Vector = npt.NDArray[np.float32]
BLOCK = 2048
"""Vectors that are compared at once, all with all."""


def all_with_all(matrix: Vector) -> npt.NDArray[np.bool_]:
    """Return which vectors are near another one, by all cosines there are."""
    found = np.zeros(len(matrix), dtype=bool)
    for first in range(0, len(matrix), BLOCK):
        rows = matrix[first : first + BLOCK]
        for before in range(0, first + 1, BLOCK):
            alike = rows @ matrix[before : before + BLOCK].T >= NEAR_DUPLICATE
            if first == before:
                np.fill_diagonal(alike, False)
            found[first : first + len(alike)] |= alike.any(axis=1)
            found[before : before + alike.shape[1]] |= alike.any(axis=0)
    return found


def unit(values: npt.NDArray[Any]) -> Vector:
    """Scale rows to length 1."""
    return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True), dtype=np.float32)


def sets(clips: int) -> Iterator[tuple[str, Vector]]:
    """Yield names and vectors (N, WIDTH), some of them twice."""
    rng = np.random.default_rng(0)
    falling = np.arange(1, APPEARANCE_WIDTH + 1) ** -0.5  # as the spectrum of pictures
    groups = unit(rng.standard_normal((2000, APPEARANCE_WIDTH)) * falling)[rng.integers(0, 2000, clips)]
    kinds = unit(rng.standard_normal((6, APPEARANCE_WIDTH)))[rng.integers(0, 6, clips)]
    made = {
        "nothing alike": rng.standard_normal((clips, APPEARANCE_WIDTH)),
        "2,000 groups": groups + 0.35 * unit(rng.standard_normal((clips, APPEARANCE_WIDTH)) * falling),
        "six kinds": kinds + 0.2 * unit(rng.standard_normal((clips, APPEARANCE_WIDTH))),
    }
    for name, values in made.items():
        vectors = unit(values)
        vectors[: clips - 1 : 5000] = vectors[1:clips:5000]
        yield name, vectors


def timed(ask: Callable[[], npt.NDArray[np.bool_]]) -> tuple[float, int]:
    """Return how long the processor was at work, in seconds, and how many clips were found."""
    begun = time.process_time()
    found = ask()
    return time.process_time() - begun, int(found.sum())


def main() -> None:
    """Compare in both ways, in turn, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=60_000)
    count = parser.parse_args().clips
    rng = np.random.default_rng(1)
    lengths = {
        "vary": rng.integers(16, 400, count) / rng.choice([12.0, 25.0, 30.0], count),
        "same": np.full(count, 4.0),
    }
    table = Table("vectors", "lengths", "all with all, s", "near, s", "ratio", "found", title=f"{count:,} clips")
    ratios = list[float]()
    for name, vectors in sets(count):
        whole, many = timed(lambda vectors=vectors: all_with_all(vectors))  # type: ignore[misc]
        for kind, sizes in lengths.items():
            ids = np.arange(count)
            own, found = timed(lambda v=vectors, s=sizes, ids=ids: have_neighbour(v, ids, NEAR_DUPLICATE, s, LENGTH))  # type: ignore[misc]
            table.add_row(name, kind, f"{whole:.1f}", f"{own:.1f}", f"{whole / own:.1f}", f"{found:,} of {many:,}")
            ratios.append(whole / own)
    Console(width=120).print(table)
    print(json.dumps({"ratio": ratios, "least": min(ratios)}))


if __name__ == "__main__":
    main()
