"""Clips that are like each other, by their embeddings; and the pictures that show them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from footage.errors import LibraryError, MediaError
from footage.library import intake, look, search
from footage.library.entries import Entry
from footage.library.holding import CHOSEN, Holding
from footage.library.search import Filters, Query
from footage.media.signatures import LENGTH, Signature, find_duplicates, moments, signature
from footage.media.thumbnails import read_thumbnails

Vector = npt.NDArray[np.float32]

NEAR = 0.93
"""Clips that are less alike are not compared any further. Copies of half the size at CRF 23 have more than this."""
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
    """Return groups of near-duplicates; see `Library.duplicates`.

    Vectors and lengths pick the clips that come into question; these are compared by what moves in them, and where.
    """
    with holding.database.read() as connection:
        clips = search.numbers(connection, Query(filters, sort="oldest"))
        lengths = dict(connection.execute("SELECT id, seconds FROM clips").fetchall())
    near = holding.vectors(look.KIND).close(clips, NEAR, [lengths[clip] for clip in clips], LENGTH)
    with holding.database.read() as connection:
        entries = holding.entries(connection, near)
    # The best first: kept ones, by stars, size of picture and of file.
    entries.sort(key=lambda e: (e.verdict != "keep", -e.stars, -e.width * e.height, -e.bytes, e.id))
    shapes: dict[tuple[int, ...], list[tuple[Entry, Signature]]] = {}
    for entry in entries:
        with contextlib.suppress(MediaError):  # its file is gone
            pictures = read_thumbnails(holding.vault.path(entry.digest, entry.suffix), side=SIGHT).pictures
            mark = signature(pictures[moments(len(pictures))])
            shapes.setdefault(mark.shape, []).append((entry, mark))
    found: dict[int, list[Entry]] = {}
    for members in shapes.values():
        for pair in find_duplicates(np.stack([m for _, m in members]), [e.seconds for e, _ in members]):
            kept = members[pair.of][0]
            found.setdefault(kept.id, [kept]).append(members[pair.clip][0])
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
        intake.draw(holding.vault, entry.digest, read_thumbnails(stored))
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
