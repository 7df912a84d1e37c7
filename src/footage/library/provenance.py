"""Where clips come from: models, their data sets, and the clips that others were made from."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from footage.library.entries import LONGEST_TEXT, ClipEntry, plain, stored_json
from footage.library.storage import Database, Storage

DEEPEST = 20
"""Generations of parents that are followed."""


@dataclass(frozen=True)
class ModelCard:
    """What the library remembers of a model."""

    digest: str
    """SHA-256 of its weights."""
    name: str
    folder: str | None = None
    """Where it lay when it was last used."""
    preset: str | None = None
    """The configuration that it was trained with."""
    dataset: str | None = None
    """Name of the data set that it learned from."""
    dataset_digest: str | None = None
    """Content hash of that data set."""
    clips_seen: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    """Anything else, as plain values."""


@dataclass(frozen=True)
class Ancestor:
    """A clip, or a file that is not in the library, that another was made from."""

    relation: str
    """What it was to that clip, such as `source`."""
    digest: str
    """SHA-256 of its content."""
    name: str
    """Its path, as it was given."""
    provenance: Provenance | None
    """Where it comes from itself; None where it is not in the library."""


@dataclass(frozen=True)
class Provenance:
    """Where a clip comes from."""

    entry: ClipEntry
    model: ModelCard | None
    """The model that made it, with the data set that it learned from; None where none did."""
    parents: tuple[Ancestor, ...]
    children: tuple[ClipEntry, ...]


def is_digest(value: object) -> bool:
    """Whether something is a SHA-256 in hexadecimal."""
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) is not None


_COLUMNS = ", ".join(item.name for item in fields(ModelCard))


def register_model(database: Database, model: ModelCard) -> None:
    """Remember a model; what is known of it already stays where nothing new is said."""
    paths = (model.folder, model.preset, model.dataset)
    texts = [None if text is None else plain(text, LONGEST_TEXT) for text in paths]
    details = json.dumps(dict(model.details))
    values = (model.digest, plain(model.name), *texts, model.dataset_digest, model.clips_seen, details)
    with database.write() as connection:
        connection.execute(
            f"INSERT INTO models ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (digest) DO UPDATE SET "
            "name = excluded.name, folder = coalesce(excluded.folder, folder), "
            "preset = coalesce(excluded.preset, preset), dataset = coalesce(excluded.dataset, dataset), "
            "dataset_digest = coalesce(excluded.dataset_digest, dataset_digest), "
            "clips_seen = coalesce(excluded.clips_seen, clips_seen), "
            "details = CASE WHEN excluded.details = '{}' THEN details ELSE excluded.details END",
            values,
        )


def read_models(database: Database) -> list[ModelCard]:
    with database.read() as connection:
        rows = connection.execute(f"SELECT {_COLUMNS} FROM models ORDER BY name, digest").fetchall()
    return [_card(row) for row in rows]


def _card(row: sqlite3.Row) -> ModelCard:
    return ModelCard(**{**dict(row), "details": stored_json(row["details"])})


def trace(storage: Storage, entry: ClipEntry, deep: int = DEEPEST) -> Provenance:
    """Return where a clip comes from; see `Library.provenance`."""
    with storage.database.read() as connection:
        row = connection.execute(f"SELECT {_COLUMNS} FROM models WHERE digest = ?", (entry.weights,)).fetchone()
        named = connection.execute(
            "SELECT p.relation, p.digest, p.name, c.id FROM parents p LEFT JOIN clips c ON c.digest = p.digest "
            "WHERE p.clip = ? ORDER BY p.relation, p.digest",
            (entry.id,),
        ).fetchall()
        known = {parent.id: parent for parent in storage.entries(connection, [r["id"] for r in named if r["id"]])}
        below = connection.execute("SELECT DISTINCT clip FROM parents WHERE digest = ? ORDER BY clip", (entry.digest,))
        children = storage.entries(connection, [clip for (clip,) in below])
    parents = []
    for parent in named:
        ancestor = known.get(parent["id"]) if deep > 0 and parent["id"] != entry.id else None
        further = None if ancestor is None else trace(storage, ancestor, deep - 1)
        parents.append(Ancestor(parent["relation"], parent["digest"], parent["name"], further))
    model = None if row is None else _card(row)
    return Provenance(entry, model, tuple(parents), tuple(child for child in children if child.id != entry.id))
