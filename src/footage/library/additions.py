"""Taking clips into a library: first the file, whole and flushed; then, in one transaction, what is known of it."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from footage import files
from footage.errors import LibraryError, MediaError
from footage.library import edits, similarity
from footage.library.entries import LONGEST_TEXT, ClipEntry, plain
from footage.library.storage import Storage
from footage.media.encode import read_metadata, write_clip
from footage.media.reader import Footage
from footage.media.thumbnails import Thumbnails, read_thumbnails

FRAMES_FPS = 25.0
"""Rate that a folder of pictures is taken in at."""
ATTEMPTS = 3
"""How often a file is stored that another process removes as unnamed before its row stands."""


@dataclass(frozen=True)
class Parent:
    """A file that a clip was made from."""

    digest: str
    """SHA-256 of its content."""
    name: str
    """Its path, as it was given."""
    relation: str = "source"
    """What it was to the clip: `source`, or for clips between two `begin` and `end`."""


@dataclass(frozen=True)
class ClipDetails:
    """What is known of a clip beside what its file says; what is given here goes before that."""

    title: str | None = None
    """Its name; None for that of the file."""
    prompt: str | None = None
    """Caption."""
    source: str | None = None
    """Where it came from; None for the file's path."""
    label: str | None = None
    """Class or mixture."""
    notes: str = ""
    """Free text."""
    tags: tuple[str, ...] = ()
    """Tags."""
    stars: int = 0
    """0 to 5."""
    verdict: str = "undecided"
    """`keep`, `reject` or `undecided`."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Figures by name."""
    settings: dict[str, Any] = field(default_factory=dict)
    """What else it was made with."""
    parents: tuple[Parent, ...] = ()
    """What it was made from."""
    fps: float | None = None
    """Frames in a second of a folder of pictures; None for 25."""
    made: dict[str, Any] | None = None
    """What is to be taken for the metadata in the file; None to read that."""


def add(storage: Storage, path: Path, known: ClipDetails, most: int | None = None) -> tuple[ClipEntry, bool]:
    """Take a file into the library; see `Library.add`. Return its entry, and whether it is new."""
    known = _checked(known)
    if path.is_dir():
        return _add_folder(storage, path, known)
    suffix = path.suffix.lower().removeprefix(".")
    try:
        if (size := path.stat().st_size) > (most or size):
            raise MediaError(f'"{path}" has {size:,} bytes, more than {most:,}', "give a smaller one")
        if (found := _there(storage, files.file_digest(path))) is not None:
            return found, False
        return take(storage, lambda: open(path, "rb"), suffix, _named(path, known), most)
    except OSError as error:
        raise MediaError(f'"{path}" cannot be read ({error.strerror or error})', "give a video or a picture") from error


def take(
    storage: Storage, opener: Callable[[], IO[bytes]], suffix: str, known: ClipDetails, most: int | None = None
) -> tuple[ClipEntry, bool]:
    """Take in what a stream holds, which `opener` begins; `known` has title and source."""
    known = _checked(known)
    for _ in range(ATTEMPTS):
        with opener() as opened:
            digest, stored = storage.file_store.put(opened, suffix, most)
        entry = _file(storage, digest, suffix, stored, known)
        if entry is not None:
            return entry
    raise LibraryError(f'"{known.title}" was removed from the library while it was added', "add it again")


def _add_folder(storage: Storage, path: Path, known: ClipDetails) -> tuple[ClipEntry, bool]:
    """Take a folder of pictures in as one video."""
    pictures = Footage(path)
    height, width = pictures.size()
    fps = known.fps or FRAMES_FPS
    scratch = storage.file_store.scratch("mp4")
    try:
        metadata = read_metadata(path)
        chunks = pictures.chunks(height=height, width=width, channels=3, fps=fps)
        write_clip(scratch, chunks, fps=fps, metadata=metadata)
        return add(storage, scratch, _named(path, known))
    finally:
        scratch.unlink(missing_ok=True)


def _named(path: Path, known: ClipDetails) -> ClipDetails:
    """Fill in what the path says."""
    title = plain(path.stem) if known.title is None else known.title
    source = plain(str(path.absolute()), LONGEST_TEXT) if known.source is None else known.source
    return ClipDetails(**{**vars(known), "title": title or "untitled", "source": source})


def _checked(known: ClipDetails) -> ClipDetails:
    """Refuse what the tables would refuse, and make texts plain."""
    texts = {
        name: edits.checked(name, value) for name in ("title", "prompt", "label") if (value := getattr(known, name))
    }
    rest = {name: edits.checked(name, getattr(known, name)) for name in ("notes", "tags", "stars", "verdict")}
    source = None if known.source is None else plain(known.source, LONGEST_TEXT)
    return ClipDetails(
        **{
            **vars(known),
            **texts,
            **rest,
            "tags": tuple(rest["tags"]),
            "source": source,
            "metrics": figures(known.metrics),
        }
    )


def figures(metrics: Mapping[str, float]) -> dict[str, float]:
    """Check figures by name.

    Raises:
        LibraryError: one is not a finite number, or has a name with quotes.
    """
    for name, value in metrics.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
            raise LibraryError(f'the figure "{name}" is {value!r}', "give a finite number")
        if not name or plain(name) != name or '"' in name or "\\" in name:
            raise LibraryError(f'a figure is named "{name}"', "leave quotes out")
    return dict(metrics)


def _there(storage: Storage, digest: str) -> ClipEntry | None:
    """Return the clip of this content whose file is there; it comes back from the bin."""
    with storage.database.read() as connection:
        row = connection.execute("SELECT id, deleted FROM clips WHERE digest = ?", (digest,)).fetchone()
        found = None if row is None else storage.entry(connection, row["id"])
    if found is None or not storage.file_store.inside(storage.file_store.path(found.digest, found.suffix)):
        return None
    if found.deleted is None and not found.missing:
        return found
    with storage.database.write() as connection:
        return _returned(storage, connection, found.id)


def _returned(storage: Storage, connection: sqlite3.Connection, clip: int) -> ClipEntry:
    """Bring a clip back whose file was added again."""
    connection.execute("UPDATE clips SET missing = 0 WHERE id = ?", (clip,))
    edits.apply(connection, "added again", [(clip, "deleted", None)])
    return storage.entry(connection, clip)


def _file(
    storage: Storage, digest: str, suffix: str, stored: Path, known: ClipDetails
) -> tuple[ClipEntry, bool] | None:
    """Look at a stored file and make its row; None where another process has removed the file meanwhile."""
    try:
        seen = read_thumbnails(stored)
        storage.file_store.draw(digest, seen)
    except MediaError:
        discard(storage, digest, suffix)
        raise
    except FileNotFoundError:
        return None
    try:
        return _enter(storage, digest, suffix, stored, known, seen)
    except LibraryError:
        with contextlib.suppress(LibraryError):  # the disk is full, maybe; an orphan does no harm
            discard(storage, digest, suffix)
        raise


def _enter(
    storage: Storage, digest: str, suffix: str, stored: Path, known: ClipDetails, seen: Thumbnails
) -> tuple[ClipEntry, bool] | None:
    """Make the row of a file that was looked at."""
    origin = read_generation_metadata(stored) if known.made is None else generation_metadata(known.made)
    vectors, vector = storage.vectors(similarity.APPEARANCE), similarity.appearance(seen)
    with storage.database.write() as connection:
        if not storage.file_store.inside(stored):
            return None
        row = connection.execute("SELECT id, suffix FROM clips WHERE digest = ?", (digest,)).fetchone()
        if row is not None:  # another was quicker, or the file had been missing
            if row["suffix"] != suffix:
                stored.replace(storage.file_store.path(digest, row["suffix"]))
            return _returned(storage, connection, row["id"]), False
        number = _insert(connection, digest, suffix, stored.stat().st_size, seen, origin, known)
        vectors.put({number: vector})
        return storage.entry(connection, number), True


def discard(storage: Storage, digest: str, suffix: str) -> None:
    """Remove a stored file that no row names."""
    with storage.database.write() as connection:
        if connection.execute("SELECT 1 FROM clips WHERE digest = ?", (digest,)).fetchone() is None:
            storage.file_store.remove(digest, suffix)


def _insert(
    connection: sqlite3.Connection,
    digest: str,
    suffix: str,
    size: int,
    seen: Thumbnails,
    origin: GenerationMetadata,
    known: ClipDetails,
) -> int:
    """Make a clip's rows; return its number."""
    now = time.time()
    values = {
        "digest": digest,
        "suffix": suffix,
        "origin": "generated" if origin.made_with else "imported",
        "title": known.title,
        "prompt": origin.prompt if known.prompt is None else known.prompt,
        "source": known.source,
        "label": origin.label if known.label is None else known.label,
        "model": origin.model,
        "weights": origin.weights,
        "seed": origin.seed,
        "settings": _json({**origin.settings, **known.settings}),
        "width": seen.info.width,
        "height": seen.info.height,
        "fps": seen.fps,
        "frames": seen.frames,
        "seconds": seen.seconds,
        "codec": plain(seen.info.codec),
        "audio": int(seen.info.has_audio),
        "bytes": size,
        "metrics": _json(known.metrics),
        "stars": known.stars,
        "verdict": known.verdict,
        "notes": known.notes,
        "added": now,
        "changed": now,
    }
    marks = ", ".join("?" for _ in values)
    cursor = connection.execute(f"INSERT INTO clips ({', '.join(values)}) VALUES ({marks})", list(values.values()))
    number = int(cursor.lastrowid or 0)
    connection.executemany("INSERT INTO tags VALUES (?, ?)", [(number, tag) for tag in known.tags])
    relate(connection, number, known.parents)
    if origin.weights:
        name = origin.model or origin.weights[:12]
        connection.execute("INSERT OR IGNORE INTO models (digest, name) VALUES (?, ?)", (origin.weights, name))
    edits.index(connection, [number])
    edits.record(connection, edits.ADDED, [(number, "deleted", json.dumps(now), "null")])
    return number


def relate(connection: sqlite3.Connection, clip: int, parents: Sequence[Parent]) -> None:
    """Remember what a clip was made from."""
    rows = [(clip, p.digest, plain(p.relation), plain(p.name, LONGEST_TEXT)) for p in parents]
    connection.executemany("INSERT OR IGNORE INTO parents VALUES (?, ?, ?, ?)", rows)


def _json(value: dict[str, Any]) -> str:
    """Return plain values as JSON that SQLite reads: no NaN, nothing that is not JSON."""
    return json.dumps(json.loads(json.dumps(value, default=str), parse_constant=lambda _: None), ensure_ascii=False)


OWN = {"model", "weights_sha256", "seed", "label", "made_with", "prompt"}
"""What stands in a file's metadata and has a column of its own; the rest is settings."""


@dataclass(frozen=True)
class GenerationMetadata:
    """What a file says of how it was made; empty for one that footage did not write."""

    made_with: str
    """Program and version; empty for a foreign file."""
    model: str | None
    """Name of the model."""
    weights: str | None
    """SHA-256 of its weights."""
    seed: int | None
    """Seed."""
    label: str | None
    """Class or mixture."""
    prompt: str
    """Caption."""
    settings: dict[str, Any]
    """Everything else that it was made with."""


def read_generation_metadata(path: Path) -> GenerationMetadata:
    """Read what `footage.media.encode.write_clip` wrote into a file."""
    found: dict[str, Any] = {}
    with contextlib.suppress(Exception):  # whatever a foreign file holds, it only lacks metadata then
        found = read_metadata(path)
    return generation_metadata(found)


def generation_metadata(found: Mapping[str, Any]) -> GenerationMetadata:
    """Read metadata that may come from anybody: wrong types are left out, text is made plain."""
    made_with = found.get("made_with")
    if not (isinstance(made_with, str) and made_with.startswith("footage ")):
        return GenerationMetadata("", None, None, None, None, "", {})
    seed = found.get("seed")
    weights = found.get("weights_sha256")
    whole = isinstance(seed, int) and not isinstance(seed, bool) and -(2**63) <= seed < 2**63
    return GenerationMetadata(
        plain(made_with),
        plain(found["model"]) if isinstance(found.get("model"), str) else None,
        weights if isinstance(weights, str) and re.fullmatch(r"[0-9a-f]{64}", weights) else None,
        seed if whole else None,
        plain(found["label"]) if isinstance(found.get("label"), str) else None,
        plain(found.get("prompt", ""), LONGEST_TEXT, lines=True),
        {plain(key): value for key, value in found.items() if key not in OWN or (key == "seed" and not whole)},
    )
