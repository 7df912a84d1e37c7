"""Taking clips into a library: first the file, whole and flushed; then, in one transaction, what is known of it."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from footage import files
from footage.errors import LibraryError, MediaError
from footage.files import locked
from footage.library import edits, similarity
from footage.library.descriptors import describe
from footage.library.entries import LONGEST_TEXT, ClipEntry, plain
from footage.library.fingerprints import keep_fingerprint
from footage.library.storage import Storage
from footage.library.taste import keep_descriptors
from footage.media.encode import read_metadata, write_clip
from footage.media.fingerprints import read_fingerprint
from footage.media.kinds import is_special, stem_of, suffix_of
from footage.media.reader import Footage
from footage.media.thumbnails import Thumbnails, read_thumbnails
from footage.trust.locks import check_plain

FRAMES_FPS = 25.0
"""Rate that a folder of pictures is taken in at."""
THUMBNAILS = "thumbnails"
"""Setting of a clip under which stands what was done so that its thumbnails are as they should be."""
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
    source: str | None = None
    """Where it came from; None for the file's path."""
    label: str | None = None
    notes: str = ""
    tags: tuple[str, ...] = ()
    stars: int = 0
    """0 to 5."""
    verdict: str = "undecided"
    """`keep`, `reject` or `undecided`."""
    metrics: dict[str, float] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    """What else it was made with."""
    parents: tuple[Parent, ...] = ()
    fps: float | None = None
    """Frames in a second of a folder of pictures; None for 25."""
    made: dict[str, Any] | None = None
    """What is to be taken for the metadata in the file; None to read that."""
    folder_label: str | None = None
    """Its class where neither `label` nor the file tells one: that of the folder it lies in."""

    def __post_init__(self) -> None:
        """Refuse what the tables would refuse, and make texts plain.

        Raises:
            LibraryError: a value is not allowed.
        """
        for name in ("title", "prompt", "label", "folder_label"):
            if value := getattr(self, name):
                object.__setattr__(self, name, edits.checked(name.removeprefix("folder_"), value))
        for name in ("notes", "tags", "stars", "verdict"):
            object.__setattr__(self, name, edits.checked(name, getattr(self, name)))
        object.__setattr__(self, "tags", tuple(self.tags))
        if self.source is not None:
            object.__setattr__(self, "source", plain(self.source, LONGEST_TEXT))
        object.__setattr__(self, "metrics", figures(self.metrics))


def add(
    storage: Storage, path: Path, details: ClipDetails, most: int | None = None, pictures: Sequence[str] = ()
) -> tuple[ClipEntry, bool]:
    """Take a file into the library; see `Library.add`. Return its entry, and whether it is new."""
    storage.database.check_writable()
    if locked.folder_of(storage.folder) is None:
        check_plain([path], "the library", "give --lock, or export copies first: footage library export")
    title = plain(stem_of(path)) if details.title is None else details.title
    source = str(path.absolute()) if details.source is None else details.source
    details = replace(details, title=title or "untitled", source=source)
    if path.is_dir():  # its pictures become a video
        frames, fps = Footage(path, tuple(pictures)), details.fps or FRAMES_FPS
        height, width = frames.size()
        scratch = storage.file_store.scratch("mp4")
        try:
            metadata = read_metadata(path)
            chunks = frames.chunks(height=height, width=width, channels=3, fps=fps)
            write_clip(scratch, chunks, fps=fps, metadata=metadata, mark=False)
            return add(storage, scratch, details)
        finally:
            scratch.unlink(missing_ok=True)
    try:
        if is_special(path):
            problem = f'"{path}" is a pipe, a socket or a device, which is never opened'
            raise MediaError(problem, "give a video or a picture")
        if (size := path.stat().st_size) > (most or size):
            raise MediaError(f'"{path}" has {size:,} bytes, more than {most:,}', "give a smaller one")
        digest = files.file_digest(path)
        with storage.database.read() as connection:
            row = connection.execute("SELECT id FROM clips WHERE digest = ?", (digest,)).fetchone()
            entry = None if row is None else storage.entry(connection, row["id"])
        if entry is not None and storage.file_store.inside(storage.file_store.path(entry.digest, entry.suffix)):
            if entry.deleted is not None or entry.missing:
                with storage.database.write() as connection:
                    entry = _bring_back(storage, connection, entry.id)
            return entry, False
        return take(storage, lambda: locked.open_file(path), suffix_of(path), details, most)
    except OSError as error:
        raise MediaError(f'"{path}" cannot be read ({error.strerror or error})', "give a video or a picture") from error


def take(
    storage: Storage,
    opener: Callable[[], IO[bytes]],
    suffix: str,
    details: ClipDetails,
    most: int | None = None,
    check: Callable[[Path], object] | None = None,
) -> tuple[ClipEntry, bool]:
    """Take in what a stream holds, which `opener` begins; `details` has title and source.

    `check` looks at the stored file before the tables name it, and raises `MediaError` where it is to be refused.
    """
    storage.database.check_writable()
    for _ in range(ATTEMPTS):
        with opener() as opened:
            digest, stored = storage.file_store.put(opened, suffix, most)
        try:
            if check is not None:
                check(stored)
            thumbnails = read_thumbnails(stored)
            storage.file_store.draw(digest, thumbnails)
            metadata = details.made or {}
            if details.made is None:
                with contextlib.suppress(Exception):  # whatever a foreign file holds, it only lacks metadata then
                    metadata = read_metadata(stored)
            vectors, vector = storage.vectors(similarity.APPEARANCE), similarity.appearance(thumbnails)
            descriptors, fingerprint = describe(thumbnails), None
            with contextlib.suppress(MediaError):  # a long one whose beginning is damaged
                fingerprint = read_fingerprint(stored)
            with storage.database.write() as connection:
                if not storage.file_store.inside(stored):  # another process has removed it meanwhile
                    continue
                row = connection.execute("SELECT id, suffix FROM clips WHERE digest = ?", (digest,)).fetchone()
                if row is not None:  # another was quicker, or the file had been missing
                    if row["suffix"] != suffix:
                        storage.file_store.move(stored, storage.file_store.path(digest, row["suffix"]))
                    return _bring_back(storage, connection, row["id"]), False
                size = locked.size(stored)
                number = insert(connection, digest, suffix, size, thumbnails, generation_metadata(metadata), details)
                vectors.put({number: vector})
                keep_descriptors(connection, number, descriptors)
                if fingerprint is not None:
                    keep_fingerprint(connection, number, fingerprint)
                return storage.entry(connection, number), True
        except FileNotFoundError:
            continue
        except (MediaError, LibraryError):
            # Remove the file, which no row names. Where that fails, the disk is full, maybe; an orphan does no harm.
            with contextlib.suppress(LibraryError), storage.database.write() as connection:
                if connection.execute("SELECT 1 FROM clips WHERE digest = ?", (digest,)).fetchone() is None:
                    storage.file_store.remove(digest, suffix)
            raise
    raise LibraryError(f'"{details.title}" was removed from the library while it was added', "add it again")


def _bring_back(storage: Storage, connection: sqlite3.Connection, clip: int) -> ClipEntry:
    connection.execute("UPDATE clips SET missing = 0 WHERE id = ?", (clip,))
    edits.apply(connection, "added again", [(clip, "deleted", None)])
    return storage.entry(connection, clip)


def figures(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return figures by name; refuse what is no finite number, and names with quotes."""
    for name, value in metrics.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
            raise LibraryError(f'the figure "{name}" is {value!r}', "give a finite number")
        if not name or plain(name) != name or '"' in name or "\\" in name:
            raise LibraryError(f'a figure is named "{name}"', "leave quotes out")
    return dict(metrics)


def insert(
    connection: sqlite3.Connection,
    digest: str,
    suffix: str,
    size: int,
    thumbnails: Thumbnails,
    metadata: GenerationMetadata,
    details: ClipDetails,
) -> int:
    """Make a clip's rows; return its number."""
    now = time.time()
    seen = {THUMBNAILS: "; ".join(thumbnails.notes)} if thumbnails.notes else {}
    values = {
        "digest": digest,
        "suffix": suffix,
        "origin": "generated" if metadata.made_with else "imported",
        "title": details.title,
        "prompt": metadata.prompt if details.prompt is None else details.prompt,
        "source": details.source,
        "label": (metadata.label or details.folder_label) if details.label is None else details.label,
        "model": metadata.model,
        "weights": metadata.weights,
        "seed": metadata.seed,
        "settings": _json({**metadata.settings, **details.settings, **seen}),
        "width": thumbnails.info.width,
        "height": thumbnails.info.height,
        "fps": thumbnails.fps,
        "frames": thumbnails.frames,
        "seconds": thumbnails.seconds,
        "codec": plain(thumbnails.info.codec),
        "audio": int(thumbnails.info.has_audio),
        "bytes": size,
        "metrics": _json(details.metrics),
        "stars": details.stars,
        "verdict": details.verdict,
        "notes": details.notes,
        "added": now,
        "changed": now,
    }
    marks = ", ".join("?" for _ in values)
    cursor = connection.execute(f"INSERT INTO clips ({', '.join(values)}) VALUES ({marks})", list(values.values()))
    number = int(cursor.lastrowid or 0)
    connection.executemany("INSERT INTO tags VALUES (?, ?)", [(number, tag) for tag in details.tags])
    relate(connection, number, details.parents)
    if metadata.weights:
        name = metadata.model or metadata.weights[:12]
        connection.execute("INSERT OR IGNORE INTO models (digest, name) VALUES (?, ?)", (metadata.weights, name))
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


OWN_COLUMNS = {"model", "weights_sha256", "seed", "label", "made_with", "prompt", "text"}
"""What stands in a file's metadata and has a column of its own; the rest is settings."""


@dataclass(frozen=True)
class GenerationMetadata:
    """What a file says of how it was made; empty for one that footage did not write."""

    made_with: str
    """Program and version; empty for a foreign file."""
    model: str | None
    weights: str | None
    seed: int | None
    label: str | None
    prompt: str
    settings: dict[str, Any]


def generation_metadata(metadata: Mapping[str, Any]) -> GenerationMetadata:
    """Read metadata that may come from anybody: wrong types are left out, text is made plain."""
    made_with = metadata.get("made_with")
    if not (isinstance(made_with, str) and made_with.startswith("footage ")):
        return GenerationMetadata("", None, None, None, None, "", {})
    seed = metadata.get("seed")
    weights = metadata.get("weights_sha256")
    whole = isinstance(seed, int) and not isinstance(seed, bool) and -(2**63) <= seed < 2**63
    return GenerationMetadata(
        plain(made_with),
        plain(metadata["model"]) if isinstance(metadata.get("model"), str) else None,
        weights if isinstance(weights, str) and re.fullmatch(r"[0-9a-f]{64}", weights) else None,
        seed if whole else None,
        plain(metadata["label"]) if isinstance(metadata.get("label"), str) else None,
        plain(metadata.get("prompt", metadata.get("text", "")), LONGEST_TEXT, lines=True),
        {
            plain(key): value
            for key, value in metadata.items()
            if key not in OWN_COLUMNS or (key == "seed" and not whole)
        },
    )
