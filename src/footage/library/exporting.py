"""Giving clips out: folders, zip files, tables, edit lists."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

from footage import __version__, files
from footage.errors import LibraryError, nearest
from footage.library import timeline
from footage.library.entries import Entry
from footage.library.holding import Holding

TABLE, SHEET = "library.json", "clips.csv"
"""What lies beside exported clips: everything that is known of them, and the same for a spreadsheet."""
FORMAT = "footage library export"
"""First value of the table."""
SCHEMA = 1
"""Version of the table. A higher number than ours is refused."""
BATCH = 500
"""Clips that are looked up at once."""
LONGEST_NAME = 80
"""Characters of a file's name."""
RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
"""Names that Windows keeps to itself."""

Named = tuple[Entry, str, Path]
"""A clip, the name of its copy (empty where its file is gone), and its file."""


@dataclass(frozen=True)
class Export:
    """How clips are written out."""

    names: Literal["title", "digest"] = "title"
    """What files are named after."""
    media: Literal["copy", "none"] = "copy"
    """Whether an edit list gets copies of the clips in a folder beside it, or points into the library."""
    fps: float | None = None
    """Rate of an edit list's timeline; None for that of most of its clips."""


def export(holding: Holding, clips: Sequence[int], to: Path, how: Export) -> list[Path]:
    """Write clips out; see `Library.export`."""
    suffix = to.suffix.lower()
    if not clips:
        raise LibraryError("no clip is chosen", "choose some: footage library search")
    writers: dict[str, Callable[[], list[Path]]] = {
        "": lambda: _folder(holding, clips, to, how),
        ".zip": lambda: _zip(holding, clips, to, how),
        ".csv": lambda: _alone(to, lambda out: _write_sheet(out, _named(holding, clips, how), holding), "utf-8-sig"),
        ".json": lambda: _alone(to, lambda out: _write_table(out, _named(holding, clips, how), holding), "utf-8"),
        **{ending: lambda: _edit_list(holding, clips, to, how) for ending in timeline.ADAPTERS},
    }
    if suffix not in writers or (to.is_dir() and suffix):
        raise LibraryError(
            f'"{to.name}" has no ending that clips are exported as', nearest(suffix, filter(None, writers))
        )
    try:
        return writers[suffix]()
    except OSError as error:
        if error.errno in files.DISK_FAULTS:
            raise LibraryError(
                f'the disk is full, "{to}" was not written', "free some space and do it again"
            ) from error
        raise


def _named(holding: Holding, clips: Sequence[int], how: Export) -> Iterator[Named]:
    """Yield the clips, each with a name that no other one has, upper and lower case being the same."""
    taken: dict[str, int] = {}
    for first in range(0, len(clips), BATCH):
        with holding.database.read() as connection:
            entries = holding.entries(connection, clips[first : first + BATCH])
        for entry in entries:
            stored = holding.vault.path(entry.digest, entry.suffix)
            if not holding.vault.inside(stored):
                yield entry, "", stored
                continue
            stem = entry.digest if how.names == "digest" else file_name(entry.title)
            key = stem.casefold()
            taken[key] = taken.get(key, 0) + 1
            numbered = stem if taken[key] == 1 else f"{stem}-{taken[key]}"
            while taken[key] > 1 and numbered.casefold() in taken:
                taken[key] += 1
                numbered = f"{stem}-{taken[key]}"
            taken.setdefault(numbered.casefold(), 1)
            yield entry, f"{numbered}.{entry.suffix}", stored


def file_name(title: str) -> str:
    """Return a title as a file's name that every system takes, without an ending."""
    name = re.sub(r"[^\w.(), -]+", "_", title).strip(" ._-")[:LONGEST_NAME].rstrip(" .")
    while len(name.encode()) > 2 * LONGEST_NAME:
        name = name[:-1]
    return f"_{name}" if not name or RESERVED.fullmatch(name) else name


def _folder(holding: Holding, clips: Sequence[int], to: Path, how: Export) -> list[Path]:
    """Copy clips into a folder, with tables."""
    _own(to)
    written: list[Path] = []
    for _, name, stored in _named(holding, clips, how):
        if name:
            written.append(_copied(stored, to / name))
    _alone(to / SHEET, lambda out: _write_sheet(out, _named(holding, clips, how), holding), "utf-8-sig")
    _alone(to / TABLE, lambda out: _write_table(out, _named(holding, clips, how), holding), "utf-8")
    return [*written, to / SHEET, to / TABLE]


def _own(to: Path) -> None:
    """Refuse a folder that holds something else than an export."""
    if to.exists() and (not to.is_dir() or (any(to.iterdir()) and not (to / TABLE).is_file())):
        raise LibraryError(f'"{to}" holds something else than an export', "give a new folder")
    to.mkdir(parents=True, exist_ok=True)


def _copied(stored: Path, to: Path) -> Path:
    with files.replacing(to) as temporary:
        shutil.copyfile(stored, temporary)
    return to


def _zip(holding: Holding, clips: Sequence[int], to: Path, how: Export) -> list[Path]:
    """Write clips and tables into a zip file; they are packed already, so that they are only stored."""
    with files.replacing(to) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as packed:
        for _, name, stored in _named(holding, clips, how):
            if name:
                packed.write(stored, name)
        for table, write, encoding in ((SHEET, _write_sheet, "utf-8-sig"), (TABLE, _write_table, "utf-8")):
            info = zipfile.ZipInfo(table)
            info.compress_type = zipfile.ZIP_DEFLATED
            raw = packed.open(info, "w", force_zip64=True)
            with raw, io.TextIOWrapper(raw, encoding=encoding, newline="") as out:
                write(out, _named(holding, clips, how), holding)
    return [to]


def _alone(to: Path, write: Callable[[TextIO], None], encoding: str) -> list[Path]:
    """Write a text file atomically."""
    with files.replacing(to) as temporary, open(temporary, "w", encoding=encoding, newline="") as out:
        write(out)
    return [to]


def _write_table(out: TextIO, named: Iterator[Named], holding: Holding) -> None:
    """Write everything that is known of clips as JSON, a clip a line."""
    head = {"format": FORMAT, "schema": SCHEMA, "made_by": f"footage {__version__}"}
    out.write(json.dumps(head)[:-1] + ', "clips": [')
    for number, (entry, name, _) in enumerate(named):
        out.write((",\n" if number else "\n") + json.dumps(_row(holding, entry, name), ensure_ascii=False))
    out.write("\n]}\n")


def _row(holding: Holding, entry: Entry, name: str) -> dict[str, Any]:
    """Return everything that is known of a clip as plain values."""
    with holding.database.read() as connection:
        albums = connection.execute(
            "SELECT b.name FROM album_clips a JOIN albums b ON b.id = a.album WHERE a.clip = ? ORDER BY b.name",
            (entry.id,),
        ).fetchall()
        parents = connection.execute(
            "SELECT digest, relation, name FROM parents WHERE clip = ? ORDER BY digest, relation", (entry.id,)
        ).fetchall()
        model = connection.execute(
            "SELECT digest, name, preset, dataset, dataset_digest, clips_seen FROM models WHERE digest = ?",
            (entry.weights,),
        ).fetchone()
    return {
        "file": name or None,
        **dataclasses.asdict(entry),
        "albums": [row["name"] for row in albums],
        "parents": [dict(row) for row in parents],
        "model_card": None if model is None else dict(model),
    }


COLUMNS = (
    *(
        "id",
        "file",
        "title",
        "origin",
        "model",
        "label",
        "seed",
        "prompt",
        "source",
        "tags",
        "stars",
        "verdict",
        "notes",
    ),
    *("width", "height", "fps", "frames", "seconds", "codec", "bytes", "digest", "settings", "metrics"),
)
"""Columns of the spreadsheet."""


def _write_sheet(out: TextIO, named: Iterator[Named], holding: Holding) -> None:
    """Write clips as CSV."""
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for entry, name, _ in named:
        values = {**dataclasses.asdict(entry), "file": name, "tags": ", ".join(entry.tags)}
        values |= {key: json.dumps(values[key], ensure_ascii=False) for key in ("settings", "metrics")}
        writer.writerow([_cell(values[column]) for column in COLUMNS])


def _cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value.lstrip()[:1] in ("=", "+", "-", "@") else value


def _edit_list(holding: Holding, clips: Sequence[int], to: Path, how: Export) -> list[Path]:
    """Write clips one after another on a timeline that cutting programs open."""
    timeline.available()
    media = to.with_name(f"{to.stem}-media")
    written: list[Path] = []
    shots: list[timeline.Shot] = []
    for entry, name, stored in _named(holding, clips, how):
        if not name:
            continue
        if how.media == "copy":
            media.mkdir(parents=True, exist_ok=True)
            stored = _copied(stored, media / name)
            written.append(stored)
        shots.append(timeline.Shot(entry, stored.resolve()))
    text = timeline.edit_list(to.stem, shots, to.suffix.lower(), how.fps)
    files.write_text(to, text)
    return [to, *written]
