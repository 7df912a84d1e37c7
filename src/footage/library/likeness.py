"""Clips that are like each other, by their embeddings; and the pictures that show them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from footage.data.signatures import find_duplicates, moments, signature
from footage.errors import LibraryError, MediaError
from footage.library import intake, look, search
from footage.library.entries import Entry
from footage.library.holding import CHOSEN, Holding
from footage.library.search import Filters, Query
from footage.video.glimpse import glimpse

Vector = npt.NDArray[np.float32]

NEAR = 0.97
"""Copies are at least this much alike in `look`; those that are get compared in full."""
SIGHT = 96
"""Pixels of the longer side of the frames that copies are compared by."""


def similar(
    holding: Holding, to: int | Vector, filters: Filters | None, limit: int, kind: str | None
) -> list[tuple[Entry, float]]:
    """Return the clips that are most like a clip or a vector; see `Library.similar`."""
    vectors = holding.vectors(kind)
    vector = vectors.get(to) if isinstance(to, int) else np.asarray(to, dtype=np.float32)
    if vector is None:
        raise LibraryError(f"clip {to} has no embedding of the kind {vectors.kind}", "see: footage library verify")
    if vector.shape != (vectors.width,):
        raise LibraryError(f"the vector is {vector.shape}", f"give ({vectors.width},)")
    cosines = vectors.likeness(vector)
    if isinstance(to, int):
        cosines[to] = -1
    with holding.database.read() as connection:
        if filters is not None and filters != Filters():
            allowed = np.asarray(search.numbers(connection, Query(filters, sort="oldest")), dtype=np.int64)
            mask = np.zeros(len(cosines), dtype=bool)
            mask[allowed[allowed < len(cosines)]] = True
            cosines[~mask] = -1
        found: list[tuple[Entry, float]] = []
        wanted = limit + 16
        while True:  # some of the nearest may lie in the bin, or be gone
            nearest = _largest(cosines, wanted)
            entries = {entry.id: entry for entry in holding.entries(connection, nearest)}
            binned = filters is not None and filters.bin
            shown = [entries[i] for i in nearest if i in entries and (entries[i].deleted is not None) == binned]
            found = [(entry, float(cosines[entry.id])) for entry in shown[:limit]]
            if len(found) == limit or wanted >= len(cosines):
                return found
            wanted *= 8


def _largest(cosines: Vector, count: int) -> list[int]:
    """Return the places of the largest values above -1, the largest first."""
    count = min(count, len(cosines))
    if not count:
        return []
    top = np.argpartition(-cosines, count - 1)[:count]
    top = top[np.lexsort((top, -cosines[top]))]
    return [int(i) for i in top if cosines[i] > -1]


def duplicates(holding: Holding, filters: Filters) -> list[list[Entry]]:
    """Return groups of near-duplicates; see `Library.duplicates`."""
    vectors = holding.vectors(look.KIND)
    with holding.database.read() as connection:
        clips = search.numbers(connection, Query(filters, sort="oldest"))
    near: dict[int, set[int]] = {}
    for later, earlier, _ in vectors.pairs(clips, NEAR):
        near.setdefault(later, set()).add(later)
        near[later].add(earlier)
    groups = _joined(near.values())
    found: list[list[Entry]] = []
    for group in groups:
        found += _copies(holding, group)
    return found


def _joined(sets: object) -> list[list[int]]:
    """Join sets that overlap."""
    first: dict[int, int] = {}

    def root(number: int) -> int:
        while first.setdefault(number, number) != number:
            first[number] = first[first[number]]
            number = first[number]
        return number

    for members in sets:  # type: ignore[attr-defined]
        ordered = sorted(members)
        for other in ordered[1:]:
            first[root(other)] = root(ordered[0])
    groups: dict[int, list[int]] = {}
    for number in sorted(first):
        groups.setdefault(root(number), []).append(number)
    return list(groups.values())


def _copies(holding: Holding, group: list[int]) -> list[list[Entry]]:
    """Compare clips that look alike in full; return those that are copies of each other, the best of them first."""
    with holding.database.read() as connection:
        entries = holding.entries(connection, group)
    # The best first: kept ones, by stars, size of picture and of file.
    entries.sort(key=lambda e: (e.verdict != "keep", -e.stars, -e.width * e.height, -e.bytes, e.id))
    seen: list[Entry] = []
    marks: list[npt.NDArray[np.uint8]] = []
    for entry in entries:
        try:
            pictures = glimpse(holding.vault.path(entry.digest, entry.suffix), side=SIGHT).pictures
        except MediaError:
            continue
        chosen = pictures[moments(len(pictures))]
        marks.append(signature(chosen))
        seen.append(entry)
    found: dict[int, list[Entry]] = {}
    shapes: dict[tuple[int, ...], list[int]] = {}
    for number, mark in enumerate(marks):
        shapes.setdefault(mark.shape, []).append(number)
    for members in shapes.values():
        for pair in find_duplicates(np.stack([marks[i] for i in members]), [seen[i].seconds for i in members]):
            kept = members[pair.of]
            found.setdefault(kept, [seen[kept]]).append(seen[members[pair.clip]])
    return list(found.values())


def picture(holding: Holding, entry: Entry, *, moving: bool) -> Path:
    """Return a clip's thumbnail or preview, made again where it is missing."""
    path = (holding.vault.preview if moving else holding.vault.thumbnail)(entry.digest)
    if not holding.vault.inside(path):
        if path.is_symlink():
            path.unlink()
        stored = holding.vault.path(entry.digest, entry.suffix)
        if not holding.vault.inside(stored):
            raise LibraryError(f"the file of clip {entry.id} is gone ({stored})", "see: footage library verify")
        intake.draw(holding.vault, entry.digest, glimpse(stored))
    return path


def embed(
    holding: Holding,
    kind: str,
    embedding: Callable[[Path], Vector],
    about: str,
    progress: Callable[[int, int], None] | None,
) -> int:
    """Give each clip that lacks it an embedding; see `Library.embed`."""
    if kind == look.KIND:
        raise LibraryError(f'"{kind}" is the embedding that needs no model', "give another name")
    with holding.database.read() as connection:
        clips = search.numbers(connection, Query(Filters(missing=False), sort="oldest"))
        known = connection.execute("SELECT width FROM embeddings WHERE kind = ?", (kind,)).fetchone()
    lacking = clips if known is None else holding.vectors(kind).lacking(clips)
    for number, clip in enumerate(lacking):
        with holding.database.read() as connection:
            entry = holding.entry(connection, clip)
        vector = np.asarray(embedding(holding.vault.path(entry.digest, entry.suffix)), dtype=np.float32).ravel()
        if number == 0:
            with holding.database.write() as connection:
                connection.execute("INSERT OR IGNORE INTO embeddings VALUES (?, ?, ?)", (kind, len(vector), about))
        with holding.database.write() as connection:
            if connection.execute("SELECT 1 FROM clips WHERE id = ?", (clip,)).fetchone():
                holding.vectors(kind).put({clip: vector})
        if progress is not None:
            progress(number + 1, len(lacking))
    with holding.database.write() as connection:
        connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (CHOSEN, kind))
    return len(lacking)
