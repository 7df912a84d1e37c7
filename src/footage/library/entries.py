"""What the library knows of a clip, and how it stands in the tables."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from footage.errors import LibraryError

Verdict = Literal["keep", "reject", "undecided"]
VERDICTS: tuple[Verdict, ...] = ("keep", "reject", "undecided")
Origin = Literal["generated", "imported"]
"""Whether footage made a clip or it came from elsewhere."""
LONGEST_TITLE = 200
"""Characters of a title, a label or a tag."""
LONGEST_TEXT = 20_000
"""Characters of a prompt or of notes."""


@dataclass(frozen=True)
class ClipEntry:
    """A clip of the library."""

    id: int
    """Its number; never given twice."""
    digest: str
    """SHA-256 of its file, in hexadecimal."""
    suffix: str
    """Ending of its file, without the dot, such as `mp4`."""
    origin: Origin
    """`generated`, where the file says which model made it, else `imported`."""
    title: str
    """Its name; at first that of the file it came from."""
    prompt: str
    """The caption it was made from or came with; may be empty."""
    source: str
    """Path of the file it came from, or what it was made from; may be empty."""
    label: str | None
    """Class, or mixture of classes."""
    model: str | None
    weights: str | None
    """SHA-256 of that model's weights."""
    seed: int | None
    settings: dict[str, Any]
    """Everything else that it was made with."""
    width: int
    """Width as displayed, in pixels."""
    height: int
    """Height as displayed, in pixels."""
    fps: float
    """Frames in a second; 0 for a picture."""
    frames: int
    seconds: float
    codec: str
    """FFmpeg's name of the codec, such as `h264`."""
    audio: bool
    bytes: int
    metrics: dict[str, float]
    stars: int
    """0 (not rated) to 5."""
    verdict: Verdict
    notes: str
    tags: tuple[str, ...]
    """In alphabetical order."""
    added: float
    """When it was added, in seconds since 1970."""
    changed: float
    """When it was last changed, in seconds since 1970."""
    deleted: float | None
    """When it went into the bin, or None."""
    missing: bool
    """Whether its file was found to be gone."""
    edited: str | None
    """SHA-256 of the clip that it is made from by a chain of effects, rendered when it is used; None for most."""

    @property
    def name(self) -> str:
        """Name of its file, such as `3fa9….mp4`."""
        return f"{self.digest}.{self.suffix}"


_FIELDS = tuple(item.name for item in dataclasses.fields(ClipEntry))
COLUMNS = f"""
    {", ".join(f"c.{name}" for name in _FIELDS if name not in ("tags", "edited"))},
    (SELECT source FROM versions WHERE clip = c.id AND digest = c.digest) AS edited,
    (SELECT json_group_array(tag) FROM (SELECT tag FROM tags WHERE clip = c.id ORDER BY tag)) AS tags
"""
"""What is selected from `clips AS c` to make a `ClipEntry`."""


def stored_json(text: str) -> Any:
    """Return what a cell of the library's tables holds as JSON.

    Raises:
        LibraryError: the cell is damaged.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        problem = f"the library's tables are damaged: {text[:40]!r} is no JSON"
        raise LibraryError(problem, "put a copy of it back") from error


def clip_entry(row: sqlite3.Row) -> ClipEntry:
    """Make an entry of a row that begins with `COLUMNS`."""
    values = {name: row[name] for name in _FIELDS}
    settings, metrics, tags = (stored_json(row[name]) for name in ("settings", "metrics", "tags"))
    values |= {"settings": settings, "metrics": metrics, "tags": tuple(tags)}
    return ClipEntry(**{**values, "audio": bool(row["audio"]), "missing": bool(row["missing"])})


def plain(text: Any, longest: int = LONGEST_TITLE, *, lines: bool = False) -> str:
    """Return text that can be stored and shown: valid Unicode, no control or direction characters, not too long.

    Args:
        text: what came from a file, a person or the network.
        longest: characters that are kept.
        lines: whether line breaks and tabs may stay.
    """
    valid = str(text).encode("utf-8", "replace").decode("utf-8")
    kept = (c for c in valid if unicodedata.category(c) not in _UNWANTED or (lines and c in "\n\t") or c in _JOINERS)
    return "".join(kept).strip()[:longest]


_UNWANTED = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"  # Persian and Indian scripts and some emoji need them


def fold(text: str) -> str:
    """Return text as it is searched: one form of each character (NFKC), no difference of case."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def searched(values: Iterable[Any]) -> str:
    """Return the text that finds a clip, from its texts; see `query` for how it ends."""
    return "\n".join(fold(str(value)) for value in values if value not in (None, "")) + "\n\n"
