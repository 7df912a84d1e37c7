"""Which clips are alike: an appearance embedding, vectors on disk, near neighbours, copies.

The appearance embedding is in closed form and needs no network, so that every library measures likeness by itself. It
has four parts, each of length 1 before it is weighted; likeness is the cosine of two vectors.

colour   a histogram of RGB with linear interpolation between bins (Swain and Ballard, Color indexing, 1991)
layout   the mean picture on a coarse grid, brightness and two opponent colours
texture  histograms of gradient directions on a grid (Dalal and Triggs, Histograms of oriented gradients, 2005)
motion   how much each place changes, and histograms of the normal flow -It ∇I / |∇I|² (Horn and Schunck,
         Determining optical flow, 1981, equation 2) by direction and speed

Histograms are compared by Hellinger's kernel: their square roots (Arandjelović and Zisserman, 2012).

`have_neighbour` tells exactly which of many vectors have another one near them, without comparing all of them in full.
Vectors of length 1 are turned so that their first numbers hold most of them (principal axes without centring). With a
the first numbers of a vector and b the others, a cosine is a·a' + b·b' and at most a·a' + |b||b'| (Cauchy and Schwarz):
a product of short vectors (a, |b|). Pairs for which this bound is too small cannot be near; the others are compared in
full. Vectors that have a neighbour already are not compared with each other any more, and clips of other lengths never.
"""

from __future__ import annotations

import contextlib
import errno
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from footage import files
from footage.errors import LibraryError, MediaError
from footage.files import locked
from footage.library import query
from footage.library.entries import ClipEntry
from footage.library.query import ClipQuery
from footage.media.signatures import LENGTH, Signature, find_duplicates, moments, pool, signature
from footage.media.thumbnails import Thumbnails, read_thumbnails

if TYPE_CHECKING:
    from footage.library.storage import Storage

Vector = npt.NDArray[np.float32]
Values = npt.NDArray[np.floating[Any]]

APPEARANCE = "look-1"
"""Name of these vectors; another when their meaning changes."""
BINS = 4
"""Bins of each colour."""
COMMONPLACE = 0.03
"""Weight of the commonest colour; that which is furthest from it weighs 1 more."""
CELLS = 4
"""Cells along each side of the grids."""
DIRECTIONS = 8
FINE_CELLS = 32
"""Cells along each side of the pictures that all is taken from."""
PICTURES = 12
"""Pictures that are looked at, at most."""
WEIGHTS = {"colour": 0.35, "layout": 0.25, "texture": 0.2, "motion": 0.2}
"""Share of each part in the likeness."""
MOTION_WIDTH = CELLS**2 + 2 * DIRECTIONS
"""Numbers at the end of a vector that are about motion."""
APPEARANCE_WIDTH = BINS**3 + 3 * CELLS**2 + DIRECTIONS * CELLS**2 + MOTION_WIDTH
"""Numbers in a vector."""


def appearance(thumbnails: Thumbnails) -> Vector:
    """Return the vector of a clip, float32 (APPEARANCE_WIDTH,), of length 1."""
    step = max(1, len(thumbnails.pictures) // PICTURES)
    frames = thumbnails.pictures[step // 2 :: step], thumbnails.following[step // 2 :: step]
    small, after = (pool(chosen, FINE_CELLS) / 255 for chosen in frames)  # → (M, g, g', 3)

    # Colour: the root of the histogram (BINS³,). What stands out counts more than what is everywhere, so that a wall
    # does not drown who walks past it.
    colours = small.reshape(-1, 3)
    weight = COMMONPLACE + np.abs(colours - np.median(colours, axis=0)).max(axis=1)
    place = colours * (BINS - 1)
    low = np.minimum(place.astype(int), BINS - 2)
    part = place - low
    histogram = np.zeros(BINS**3, dtype=np.float32)
    for corner in range(8):  # each colour is shared among the 8 bins around it
        offset = np.array([corner >> 2 & 1, corner >> 1 & 1, corner & 1])
        share = np.where(offset, part, 1 - part).prod(axis=1)
        index = (low + offset) @ np.array([BINS**2, BINS, 1])
        histogram += np.bincount(index, weights=share * weight, minlength=BINS**3).astype(np.float32)

    # Layout: the mean picture in opponent colours (3·CELLS²,), brightness about the middle grey.
    red, green, blue = np.moveaxis(_grid(small.mean(axis=0)), -1, 0)  # (M, g, g', 3) → (p, p', 3) → 3 × (p, p')
    opponent = np.stack([(red + green + blue) / 3 - 0.5, (red - green) / 2, (red + green - 2 * blue) / 4])

    # Texture: the roots of histograms of gradient directions, without sign (CELLS²·DIRECTIONS,).
    grey, then = small.mean(axis=-1), after.mean(axis=-1)
    down, right = _slopes(grey)
    turn = np.arctan2(down, right) % np.pi / np.pi * DIRECTIONS
    texture = _grid(_spread(turn, np.hypot(down, right)).mean(axis=0))

    # Motion: how much each place changes (CELLS²,), and the normal flow by direction, slow and fast (2·DIRECTIONS,).
    change = then - grey
    down, right = _slopes((grey + then) / 2)
    steep = down**2 + right**2
    speed = -change / (steep + 1e-3)
    y, x = speed * down, speed * right  # cells a frame
    turn, moved, sure = np.arctan2(y, x) % (2 * np.pi) / (2 * np.pi) * DIRECTIONS, np.hypot(y, x), np.sqrt(steep)
    flow = [_spread(turn, sure * moved * fast).mean(axis=(0, 1, 2)) for fast in (moved < 0.25, moved >= 0.25)]
    places = _padded(_grid(np.abs(change).mean(axis=0)[..., None]), CELLS**2)
    still = 1e-3  # a little evenness: clips that stand still are alike, whatever their noise

    parts = {
        "colour": np.sqrt(histogram),
        "layout": _padded(opponent, 3 * CELLS**2),
        "texture": np.sqrt(_padded(texture, DIRECTIONS * CELLS**2)),
        "motion": np.concatenate([np.sqrt(places + still), 4 * np.sqrt(np.concatenate(flow) + still)]),
    }
    vector = np.concatenate([np.sqrt(WEIGHTS[name]) * _unit(values) for name, values in parts.items()])
    return np.asarray(_unit(vector), dtype=np.float32)


def _unit(values: Values) -> Values:
    """Scale to length 1; what is empty counts as even."""
    flat = np.asarray(values, dtype=np.float32).ravel()
    length = float(np.linalg.norm(flat))
    return flat / length if length > 1e-8 else np.full(len(flat), 1 / np.sqrt(len(flat)), dtype=np.float32)


def _slopes(grey: Values) -> tuple[Values, Values]:
    """Return the differences downwards and to the right of pictures (M, g, g')."""
    padded = np.pad(grey, ((0, 0), (1, 1), (1, 1)), mode="edge")
    return (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2, (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2


def _spread(turn: Values, strength: Values) -> Values:
    """Share strengths (M, g, g') among the two nearest of TURNS directions: (M, g, g', TURNS)."""
    away = np.abs(turn[..., None] - np.arange(DIRECTIONS))  # (M, g, g') → (M, g, g', TURNS)
    return np.asarray(np.maximum(0, 1 - np.minimum(away, DIRECTIONS - away)) * strength[..., None])


def _grid(picture: Values) -> Values:
    """Average a picture (g, g', C) over at most CELLS × CELLS places."""
    rows, columns = (np.array_split(np.arange(size), min(CELLS, size)) for size in picture.shape[:2])
    return np.array([[picture[np.ix_(r, c)].mean(axis=(0, 1)) for c in columns] for r in rows], dtype=np.float32)


def _padded(values: Values, width: int) -> Values:
    """Return numbers as a vector of fixed width: tiny pictures have fewer places."""
    flat = np.asarray(values, dtype=np.float32).ravel()
    return np.pad(flat, (0, width - len(flat)))


Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

BLOCK = 1024
"""Vectors that are compared with as many others at once."""
SAMPLE = 4096
"""Vectors that the axes are found from."""
KEPT_AXES = (16, 32, 64, 96)
"""Numbers of a vector that may be kept; else all are."""
WASTED = 0.0005
"""Share of pairs that the bound may let pass without need, for a number to be kept."""
ROUNDING = 1e-4
"""What rounding may take from a bound."""
SPARSE = 0.02
"""Share of pairs up to which each is compared by itself."""
PAIRS = 1 << 15
"""Pairs that are compared by themselves at once."""


class LikenessSearch:
    """Vectors in the order of their clips' lengths, and which of them have a neighbour.

    Args:
        matrix: all vectors, (M, width), of length 1 or 0.
        rows: those that count, (N,), in order of length.
        reach: for each of them, the place of the first clip that is too long to be like it, (N,).
        least: cosine from which on two are near.
    """

    def __init__(self, matrix: Vector, rows: Numbers, reach: Numbers, least: float) -> None:
        self._matrix, self._rows, self._reach, self._least = matrix, rows, reach, least
        self.found: Mask = np.zeros(len(rows), dtype=bool)
        # Short vectors (N, k + 1), whose products are no less than the cosines; k is chosen by a sample.
        count = len(rows)
        chosen = np.arange(0, count, max(1, count // SAMPLE))
        sample = self._full(np.random.Generator(np.random.Philox(key=[0, 0])).permutation(chosen))
        _, axes = np.linalg.eigh((sample.T @ sample).astype(np.float64))
        axes = np.ascontiguousarray(axes[:, ::-1], dtype=np.float32)  # the largest first
        a, b = sample[: len(sample) // 2][:512], sample[len(sample) // 2 :][:512]
        truly = (a @ b.T >= least).mean() if len(a) else 0.0
        for kept in (*(k for k in KEPT_AXES if k < sample.shape[1]), sample.shape[1]):
            turned = axes[:, :kept]
            passed = (_short(a, turned) @ _short(b, turned).T >= least - ROUNDING).mean() if len(a) else 0.0
            if passed - truly <= WASTED:
                break
        blocks = (np.arange(i, min(i + BLOCK, count)) for i in range(0, count, BLOCK))
        self._short = np.concatenate([_short(self._full(block), turned) for block in blocks])

    def compare(self) -> None:
        """Find all that have a neighbour."""
        count = len(self._rows)
        for first in range(0, count, BLOCK):
            rows = np.arange(first, min(first + BLOCK, count))
            for begin in range(first, int(self._reach[rows[-1]]), BLOCK):
                columns = np.arange(begin, min(begin + BLOCK, count))
                known = self.found[rows]
                self._look(rows[~known], columns)
                self._look(rows[known], columns[~self.found[columns]])

    def _look(self, rows: Numbers, columns: Numbers) -> None:
        """Compare clips at some places with those at others that come after them."""
        if not len(rows) or not len(columns):
            return
        near = self._short[rows] @ self._short[columns].T >= self._least - ROUNDING  # (n, m)
        if columns[0] <= rows[-1]:
            near &= columns > rows[:, None]
        if columns[-1] >= self._reach[rows[0]]:
            near &= columns < self._reach[rows][:, None]
        many = np.count_nonzero(near)
        if many > SPARSE * near.size:
            near &= self._full(rows) @ self._full(columns).T >= self._least
            self.found[rows[near.any(axis=1)]] = True
            self.found[columns[near.any(axis=0)]] = True
        elif many:
            above, beside = np.divmod(np.flatnonzero(near), len(columns))  # ten times as fast as nonzero of rows
            for begin in range(0, many, PAIRS):
                part = slice(begin, begin + PAIRS)
                i, j = rows[above[part]], columns[beside[part]]
                cosines = np.einsum("nk,nk->n", self._full(i), self._full(j))
                self.found[i[cosines >= self._least]] = True
                self.found[j[cosines >= self._least]] = True

    def _full(self, places: Numbers) -> Vector:
        return np.asarray(self._matrix[self._rows[places]], dtype=np.float32)


def _short(vectors: Vector, axes: Vector) -> Vector:
    """Return the first numbers along the axes, and the length of the rest: (N, width), (width, k) -> (N, k + 1)."""
    first = vectors @ axes
    rest = np.einsum("nk,nk->n", vectors, vectors) - np.einsum("nk,nk->n", first, first)
    return np.concatenate([first, np.sqrt(np.maximum(rest, 0))[:, None]], axis=1)


def have_neighbour(
    matrix: Vector, ids: Numbers, least: float, lengths: npt.NDArray[np.float64], allowed: tuple[float, float]
) -> Mask:
    """Return which clips are near another one of about their length, (N,).

    Args:
        matrix: all vectors, (M, width), of length 1, or zeros for none.
        ids: rows of the clips, (N,).
        least: cosine from which on two are near.
        lengths: of the clips, (N,).
        allowed: by how much lengths may differ, and by which part of the longer one.
    """
    mask = np.zeros(len(ids), dtype=bool)
    if len(ids) < 2:
        return mask
    order = np.argsort(lengths, kind="stable")
    ends = (lengths[order] + allowed[0]) / (1 - allowed[1])
    search = LikenessSearch(matrix, ids[order], np.searchsorted(lengths[order], ends * (1 + 1e-9), side="right"), least)
    search.compare()
    mask[order] = search.found
    return mask


SAMPLED = 1 << 14
"""Cosines by which the largest ones are picked beforehand."""


ROWS_AT_ONCE = 8192
"""Rows that are compared at once."""


class Vectors:
    """The vectors of one kind as a matrix in a file: row `id` is that of clip `id`, of length 1, or zeros for none.

    The file is read through memory mapping, so that a search touches no more memory than it needs, and is shared by all
    processes; one that is locked is in each one's memory. It can be made again from the clips.
    """

    ending = "f32"

    def __init__(self, folder: Path, kind: str, width: int) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", kind):
            raise LibraryError(f'an embedding is named "{kind}"', "use small letters, digits and hyphens")
        self.path, self.kind, self.width = folder / f"{kind}.{self.ending}", kind, width
        self.compared = width
        """Numbers of a vector that likeness is measured by: the first ones."""
        self.moving = MOTION_WIDTH if kind == APPEARANCE else 0
        """Numbers at the end of these that are about motion, whose share of a vector is that of `WEIGHTS`."""
        self._row = np.dtype(("<f4", (width,)))
        self._matrix: npt.NDArray[Any] = np.zeros(0, self._row)
        self._opened = files.LockedMirror(self.path)
        self._lock = threading.Lock()

    def put(self, rows: dict[int, Vector]) -> None:
        """Write the vectors of clips, by number, scaled to length 1, and flush them to disk.

        Raises:
            LibraryError: a vector has another width or is not finite, or the disk is full.
        """
        for number, vector in rows.items():
            if vector.shape != (self.width,) or not np.isfinite(vector).all():
                raise LibraryError(f"the vector of clip {number} is {vector.shape}", f"give ({self.width},), finite")
        full = LibraryError(f'the disk is full, "{self.path}" was not written', "free some space")
        with files.disk_errors(full), files.updating(self.path) as handle:
            for number, vector in rows.items():
                row = self._packed(vector).tobytes()
                handle.seek(number * self._row.itemsize)
                if handle.write(row) != len(row):
                    raise OSError(errno.ENOSPC, "the write stopped short")

    def clear(self, clips: Iterable[int]) -> None:
        """Take the vectors of clips away."""
        rows = len(self.matrix())
        self.put({clip: np.zeros(self.width, np.float32) for clip in clips if clip < rows})

    def _packed(self, vector: Vector) -> npt.NDArray[Any]:
        """Return a vector as it is written: of length 1."""
        length = float(np.linalg.norm(vector))
        return np.asarray(vector / length if length else vector, dtype="<f4")

    def get(self, number: int) -> Vector | None:
        """Return a clip's vector, (width,), or None where there is none."""
        matrix = self.matrix()
        if not 0 <= number < len(matrix) or not self._placed(matrix[number : number + 1])[0]:
            return None
        return np.array(matrix[number])

    def _placed(self, rows: npt.NDArray[Any]) -> Mask:
        """Return which rows hold a vector, (N,)."""
        return np.asarray(np.abs(np.linalg.norm(rows, axis=1) - 1) < 1e-3)

    def matrix(self) -> npt.NDArray[Any]:
        """Return all rows, (N, width), mapped into memory; of a locked library opened there."""
        with self._lock:
            if locked.hiding_folder(self.path) is not None:
                content = self._opened.content()
                return np.frombuffer(content, self._row, len(content) // self._row.itemsize)
            try:
                count = self.path.stat().st_size // self._row.itemsize
            except FileNotFoundError:
                count = 0
            if count != len(self._matrix):
                self._matrix = np.memmap(self.path, self._row, "r", shape=(count,)) if count else np.zeros(0, self._row)
            return self._matrix

    def _products(self, rows: npt.NDArray[Any], wanted: Vector) -> Vector:
        """Return the products of rows with a vector (compared,), (N,)."""
        # Twice as fast as a product by OpenBLAS, which is made for matrices that a cache holds, in several threads.
        return np.asarray(np.einsum("nk,k->n", rows, wanted))

    def nearest(
        self, vector: Vector, most: int, among: Numbers | None = None, motion: float | None = None
    ) -> tuple[Numbers, Vector]:
        """Return the clips whose vectors have the largest cosines with a vector, the largest first, and these cosines.

        Args:
            vector: (width,).
            most: how many, at most.
            among: rows that come into question, in order; None for all.
            motion: weight of the cosine of what is about motion, 0 to 1; that of the rest has 1 - it. With None the
                weights are those that the vectors were made with; so they are where none of it is about motion.
        """
        matrix, wanted = self.matrix(), np.array(vector[: self.compared], dtype=np.float32)
        wanted /= float(np.linalg.norm(wanted)) or 1.0
        if motion is not None and self.moving:
            share = WEIGHTS["motion"]
            wanted[: -self.moving] *= (1 - motion) / (1 - share)
            wanted[-self.moving :] *= motion / share
        cosines = self._products(matrix if among is None or len(among) > len(matrix) // 8 else matrix[among], wanted)
        if among is not None and len(cosines) != len(among):
            cosines = cosines[among]
        every = max(1, len(cosines) // SAMPLED)
        sample, share = cosines[::every], 2 * most // every + 8
        found = (
            np.flatnonzero(cosines >= np.partition(sample, -share)[-share]) if share < len(sample) else np.zeros(0, int)
        )
        found = found[cosines[found] != 0]  # a row of zeros gives exactly 0, which a real one gives as good as never
        if len(found) < most:
            found = np.flatnonzero(cosines)
        rows, cosines = found if among is None else among[found], cosines[found]
        order = np.lexsort((rows, -cosines))[:most]
        return rows[order], np.clip(cosines[order], -1, 1)  # rounding may lead a little beyond

    def lacking(self, ids: Sequence[int]) -> list[int]:
        """Return which of some clips have no vector."""
        matrix = self.matrix()
        lacking: list[int] = []
        for first in range(0, len(ids), ROWS_AT_ONCE):
            part = np.asarray(ids[first : first + ROWS_AT_ONCE], dtype=np.int64)
            inside = part < len(matrix)
            placed = np.zeros(len(part), dtype=bool)
            placed[inside] = self._placed(matrix[part[inside]])
            lacking += part[~placed].tolist()
        return lacking

    def close(
        self, ids: Sequence[int], least: float, lengths: Sequence[float], allowed: tuple[float, float]
    ) -> list[int]:
        """Return the clips, of some, that are near another of them that is about as long; see `have_neighbour`."""
        matrix = self.matrix()
        rows, sizes = np.asarray(ids, dtype=np.int64), np.asarray(lengths, dtype=np.float64)
        inside = rows < len(matrix)
        rows, sizes = rows[inside], sizes[inside]
        return sorted(rows[have_neighbour(matrix, rows, least, sizes, allowed)].tolist())


NEAR_DUPLICATE = 0.93
"""Clips that are less alike are not compared any further. Copies of half the size at CRF 23 have more than this."""
COMPARED_SIDE = 96
"""Pixels of the longer side of the frames that copies are compared by."""
TRIED = 16
"""Clips beyond those that are wanted that are looked at first: some of the nearest may lie in the bin."""
MOST_TRIED = 40_000
"""Nearest clips that are looked through for some that fit; where they are not enough, all that fit are looked at."""


def similar(
    storage: Storage, to: int | Vector, filters: ClipQuery, limit: int, kind: str | None
) -> list[tuple[ClipEntry, float]]:
    """Return the clips that are most like a clip or a vector; see `Library.similar`."""
    vectors = storage.vectors(kind)
    vector = vectors.get(to) if isinstance(to, int) else np.asarray(to, dtype=np.float32)
    if vector is None and kind is None and vectors.kind != APPEARANCE:  # it came after the others were embedded
        return similar(storage, to, filters, limit, APPEARANCE)
    if vector is None:
        if isinstance(to, int):
            with storage.database.read() as connection:
                storage.entry(connection, to)
        raise LibraryError(f"clip {to} has no embedding of the kind {vectors.kind}", "see: footage library verify")
    if vector.shape != (vectors.width,):
        raise LibraryError(f"the vector is {vector.shape}", f"give ({vectors.width},)")
    alone = {to} if isinstance(to, int) else set()
    with storage.database.read() as connection:
        tried = limit + TRIED
        while tried < min(
            MOST_TRIED, len(vectors.matrix())
        ):  # most of those that are near may be kept out by the filters
            rows, cosines = vectors.nearest(vector, tried, motion=filters.motion)
            likeness = dict(zip(rows.tolist(), cosines.tolist(), strict=True))
            near = likeness.keys() if filters.ids is None else likeness.keys() & set(filters.ids)
            asked = replace(filters, sort="oldest", ids=tuple(near))
            fitting = set(query.numbers(connection, asked, limit=tried)) - alone
            chosen = [clip for clip in likeness if clip in fitting][:limit]
            if len(chosen) == limit:
                return [(entry, likeness[entry.id]) for entry in storage.entries(connection, chosen)]
            tried *= 8
        fitting_rows = np.asarray(query.numbers(connection, replace(filters, sort="oldest")), dtype=np.int64)
        fitting_rows = fitting_rows[(fitting_rows < len(vectors.matrix())) & ~np.isin(fitting_rows, list(alone))]
        rows, cosines = vectors.nearest(vector, limit, fitting_rows, filters.motion)
        likeness = dict(zip(rows.tolist(), cosines.tolist(), strict=True))
        return [(entry, likeness[entry.id]) for entry in storage.entries(connection, likeness)]


def duplicates(storage: Storage, filters: ClipQuery) -> list[list[ClipEntry]]:
    """Return groups of near-duplicates; see `Library.duplicates`.

    Vectors and lengths pick the clips that come into question; these are compared by what moves in them, and where.
    """
    with storage.database.read() as connection:
        clips = query.numbers(connection, replace(filters, sort="oldest"))
        lengths = dict(connection.execute("SELECT id, seconds FROM clips").fetchall())
    near = storage.vectors(APPEARANCE).close(clips, NEAR_DUPLICATE, [lengths[clip] for clip in clips], LENGTH)
    with storage.database.read() as connection:
        entries = storage.entries(connection, near)
    # The best first: kept ones, by stars, size of picture and of file.
    entries.sort(key=lambda e: (e.verdict != "keep", -e.stars, -e.width * e.height, -e.bytes, e.id))
    by_shape: dict[tuple[int, ...], list[tuple[ClipEntry, Signature]]] = {}
    for entry in entries:
        if entry.edited is not None:  # it has effects, and no file of its own
            continue
        with contextlib.suppress(MediaError):  # its file is gone
            pictures = read_thumbnails(storage.file_store.path(entry.digest, entry.suffix), side=COMPARED_SIDE).pictures
            mark = signature(pictures[moments(len(pictures))])
            by_shape.setdefault(mark.shape, []).append((entry, mark))
    groups: dict[int, list[ClipEntry]] = {}
    for members in by_shape.values():
        for pair in find_duplicates(np.stack([m for _, m in members]), [e.seconds for e, _ in members]):
            kept = members[pair.of][0]
            groups.setdefault(kept.id, [kept]).append(members[pair.clip][0])
    return list(groups.values())


def embed(
    storage: Storage,
    kind: str,
    embedding: Callable[[Path], Vector],
    about: str,
    progress: Callable[[int, int], None] | None,
) -> int:
    """Give each clip that lacks it an embedding; see `Library.embed`."""
    if kind == APPEARANCE:
        raise LibraryError(f'"{kind}" is the embedding that needs no model', "give another name")
    with storage.database.read() as connection:
        clips = query.numbers(connection, ClipQuery(missing=False, sort="oldest"))
        registered = connection.execute("SELECT width FROM embeddings WHERE kind = ?", (kind,)).fetchone()
    lacking, embedded = clips if registered is None else storage.vectors(kind).lacking(clips), 0
    for number, clip in enumerate(lacking):
        try:
            with storage.database.read() as connection:
                entry = storage.entry(connection, clip)
            vector = np.asarray(embedding(storage.clip_file(entry, small=True)), dtype=np.float32).ravel()
        except (MediaError, LibraryError):  # it cannot be read, its file is gone, or it was purged meanwhile
            vector = None
        if vector is not None:
            with storage.database.write() as connection:
                connection.execute("INSERT OR IGNORE INTO embeddings VALUES (?, ?, ?)", (kind, len(vector), about))
            with storage.database.write() as connection:
                if connection.execute("SELECT 1 FROM clips WHERE id = ?", (clip,)).fetchone():
                    storage.vectors(kind).put({clip: vector})
            embedded += 1
        if progress is not None:
            progress(number + 1, len(lacking))
    if embedded or registered is not None:
        storage.choose_embedding(kind)
    return embedded
