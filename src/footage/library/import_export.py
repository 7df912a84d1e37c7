"""Giving clips out as folders, zip files, tables and edit lists; taking zip files in, from anywhere."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import errno
import importlib.util
import io
import json
import re
import shutil
import stat
import urllib.parse
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal, TextIO, cast

from footage import __version__, files
from footage.errors import FootageError, LibraryError, MediaError, counted, nearest
from footage.files import locked
from footage.library import additions, edits
from footage.library.additions import ClipDetails, Parent
from footage.library.albums import Albums
from footage.library.edit_lists import Shot, timeline_rate, write_list
from footage.library.entries import LONGEST_TEXT, ClipEntry, plain
from footage.library.provenance import ModelCard, is_digest, register_model
from footage.library.storage import DiskFull, Storage
from footage.media.kinds import KEPT_SUFFIXES, is_special, stem_of, suffix_of, with_suffix
from footage.media.rates import exact_rate

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

COLUMNS = (
    *("id", "file", "title", "origin", "model", "label", "seed", "prompt", "source", "tags", "stars", "verdict"),
    *("notes", "width", "height", "fps", "frames", "seconds", "codec", "bytes", "digest", "settings", "metrics"),
)
EDIT_LISTS = (".otio", ".fcpxml", ".xml", ".edl")
"""Endings of edit lists: OpenTimelineIO's own, Final Cut X, Final Cut 7 (also Premiere and Resolve), CMX 3600."""
WRITERS = {".otio": ("opentimelineio",), ".edl": ("opentimelineio", "otio_cmx3600_adapter")}
"""What has to be installed for an edit list, by its ending; others need nothing."""
FIELD_TYPES: dict[str, type] = {
    **dict.fromkeys(("title", "prompt", "source", "label", "notes", "verdict"), str),
    "tags": list,
    "stars": int,
    "metrics": dict,
    "settings": dict,
}
"""What is taken from the table of an export, and of which type it has to be."""
LARGEST_TABLE = 512 * 2**20
"""Bytes of the table of an export, at most."""
RATIO = 100
"""How many times its packed bytes a file of a zip, and the whole zip, may unpack to."""
SMALL, SMALL_ZIP = 2**20, 2**24
"""Bytes that a file of a zip, and a whole zip, may unpack to, however few they were packed into."""


@dataclass(frozen=True)
class ExportOptions:
    """How clips are written out."""

    names: Literal["title", "digest"] = "title"
    """What files are named after."""
    media: Literal["copy", "none"] = "copy"
    """Whether an edit list gets copies of the clips in a folder beside it, or points into the library."""
    fps: float | None = None
    """Rate of an edit list's timeline; None for that of most of its clips."""
    relative: bool = False
    """Whether an edit list names copies by their places beside it, so that both can go elsewhere."""


class Exporter:
    """Writes clips out."""

    def __init__(
        self, storage: Storage, clips: Sequence[int], options: ExportOptions, tell: Callable[[str], object]
    ) -> None:
        self._storage, self._clips, self._options, self._tell = storage, clips, options, tell
        self._of_pixels = True
        """Whether the clips themselves are written, and no table alone."""
        self._left_out = dict[int, FootageError]()
        self._tables = {SHEET: (self.write_sheet, "utf-8-sig"), TABLE: (self.write_table, "utf-8")}

    def write(self, to: Path) -> list[Path]:
        """Write the clips as the ending of a path says; see `Library.export`."""
        suffix = to.suffix.lower()
        if not self._clips:
            raise LibraryError("no clip is chosen", "choose some: footage library search")
        writers: dict[str, Callable[[Path], list[Path]]] = {
            "": self.write_folder,
            ".zip": self.write_zip,
            ".csv": lambda path: [self._write_text(path, SHEET)],
            ".json": lambda path: [self._write_text(path, TABLE)],
            **dict.fromkeys(EDIT_LISTS, self.write_edit_list),
        }
        if suffix not in writers or (to.is_dir() and suffix):
            remedy = nearest(suffix, filter(None, writers))
            raise LibraryError(f'"{to.name}" has no ending that clips are exported as', remedy)
        full = LibraryError(f'the disk is full, "{to}" was not written', "free some space and do it again")
        self._of_pixels = suffix not in (".csv", ".json")
        with files.disk_errors(full):
            if self._of_pixels and not any(name for _, name in self.named()):
                problem = f"none of {counted(len(self._clips), 'chosen clip')} is in the library"
                raise next(iter(self._left_out.values()), LibraryError(problem, "see: footage library list"))
            return writers[suffix](to)

    def named(self) -> Iterator[tuple[ClipEntry, str]]:
        """Yield clips, and names of their copies. A name is empty where there is no file, or it cannot be rendered.

        No two names are the same, upper and lower case making no difference.
        """
        taken: dict[str, int] = {}
        for first in range(0, len(self._clips), BATCH):
            with self._storage.database.read() as connection:
                entries = self._storage.entries(connection, self._clips[first : first + BATCH])
            for entry in entries:
                try:
                    if entry.id not in self._left_out:
                        self._storage.clip_file(entry if self._of_pixels else self._storage.renders.source(entry))
                except FootageError as error:
                    self._left_out[entry.id] = error
                    self._tell(f'clip {entry.id} "{entry.title}" is left out: {error.problem}')
                if entry.id in self._left_out:
                    yield entry, ""
                    continue
                stem = entry.digest if self._options.names == "digest" else file_name(entry.title)
                key = stem.casefold()
                taken[key] = taken.get(key, 0) + 1
                numbered = stem if taken[key] == 1 else f"{stem}-{taken[key]}"
                while taken[key] > 1 and numbered.casefold() in taken:
                    taken[key] += 1
                    numbered = f"{stem}-{taken[key]}"
                taken.setdefault(numbered.casefold(), 1)
                yield entry, with_suffix(numbered, entry.suffix)

    def write_folder(self, to: Path) -> list[Path]:
        """Copy clips into a folder, with tables; a folder that holds something else than an export is refused."""
        if to.exists() and (not to.is_dir() or (any(to.iterdir()) and not (to / TABLE).is_file())):
            raise LibraryError(f'"{to}" holds something else than an export', "give a new folder")
        to.mkdir(parents=True, exist_ok=True)
        copies = [_copied(self._storage.clip_file(entry), to / name) for entry, name in self.named() if name]
        return [*copies, *(self._write_text(to / table, table) for table in self._tables)]

    def write_zip(self, to: Path) -> list[Path]:
        """Write clips and tables into a zip file; clips are packed already, so that they are only stored."""
        with files.replacing(to) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as packed:
            for entry, name in self.named():
                if name:
                    stored = self._storage.clip_file(entry)
                    info = zipfile.ZipInfo.from_file(stored, name)
                    with locked.open_file(stored) as content, packed.open(info, "w", force_zip64=True) as into:
                        shutil.copyfileobj(content, into)
            for table, (write, encoding) in self._tables.items():
                info = zipfile.ZipInfo(table)
                info.compress_type = zipfile.ZIP_DEFLATED
                raw = packed.open(info, "w", force_zip64=True)
                with raw, io.TextIOWrapper(raw, encoding=encoding, newline="") as out:
                    write(out)
        return [to]

    def _write_text(self, to: Path, table: str) -> Path:
        """Write one of the tables as a file, atomically."""
        write, encoding = self._tables[table]
        with files.replacing(to) as temporary, open(temporary, "w", encoding=encoding, newline="") as out:
            write(out)
        return to

    def write_table(self, out: TextIO) -> None:
        """Write everything that is known of clips as JSON, a clip a line."""
        head = {"format": FORMAT, "schema": SCHEMA, "made_by": f"footage {__version__}"}
        out.write(json.dumps(head)[:-1] + ', "clips": [')
        for number, (entry, name) in enumerate(self.named()):
            with self._storage.database.read() as connection:
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
            row = {
                "file": name or None,
                **dataclasses.asdict(entry),
                "albums": [album["name"] for album in albums],
                "parents": [dict(parent) for parent in parents],
                "model_card": None if model is None else dict(model),
                "chain": None if entry.edited is None else self._storage.renders.told(entry),
            }
            out.write((",\n" if number else "\n") + json.dumps(row, ensure_ascii=False))
        out.write("\n]}\n")

    def write_sheet(self, out: TextIO) -> None:
        """Write clips as CSV, with no cell that a spreadsheet takes for a formula."""
        writer = csv.writer(out)
        writer.writerow(COLUMNS)
        for entry, name in self.named():
            values = {**dataclasses.asdict(entry), "file": name, "tags": ", ".join(entry.tags)}
            values |= {key: json.dumps(values[key], ensure_ascii=False) for key in ("settings", "metrics")}
            cells = ["" if values[column] is None else values[column] for column in COLUMNS]
            risky = [isinstance(cell, str) and cell.lstrip()[:1] in ("=", "+", "-", "@") for cell in cells]
            writer.writerow([f"'{cell}" if quote else cell for cell, quote in zip(cells, risky, strict=True)])

    def write_edit_list(self, to: Path) -> list[Path]:
        """Write clips one after another on a timeline that cutting programs open. Their frames are counted.

        Raises:
            LibraryError: all files are gone, or what writes the list is not installed or cannot write them.
        """
        if self._options.media == "none" and locked.folder_of(self._storage.folder) is not None:
            problem = "the library is locked, so that no cutting program can open its files"
            raise LibraryError(problem, "export copies of the clips with the list")
        shots: list[Shot] = []
        copies: list[tuple[Path, Path]] = []
        for entry, name in self.named():
            if not name:
                continue
            place = path = self._storage.clip_file(entry)
            if self._options.media == "copy":
                place = to.with_name(f"{to.stem}-media") / name
                copies.append((path, place))
            relative = self._options.relative and bool(copies)
            url = urllib.parse.quote(f"{place.parent.name}/{name}") if relative else place.resolve().as_uri()
            shots.append(Shot.of(entry, path, url, place.name))
        if not shots:
            raise LibraryError("the files of all these clips are gone", "see: footage library verify")
        suffix, asked = to.suffix.lower(), self._options.fps and exact_rate(self._options.fps)
        text = write_list(shots, to.stem, suffix, timeline_rate(shots, asked or None, suffix))
        for path, place in copies:
            _copied(path, place)
        files.write_text(to, text)
        return [to, *(place for _, place in copies)]


def _copied(stored: Path, to: Path) -> Path:
    with files.replacing(to) as temporary:
        if locked.hiding_folder(stored) is None:
            shutil.copyfile(stored, temporary)
        else:
            with locked.open_file(stored) as content, open(temporary, "wb") as out:
                shutil.copyfileobj(content, out)
    return to


def export_formats() -> list[str]:
    """Return the endings that clips can be exported as here; some edit lists need OpenTimelineIO."""
    lists = [ending for ending in EDIT_LISTS if all(map(importlib.util.find_spec, WRITERS.get(ending, ())))]
    return ["zip", "csv", "json", *(ending[1:] for ending in lists)]


def fixed_effects(entries: Sequence[ClipEntry]) -> list[str]:
    """Return what is to be known of exported clips that have effects, in words; empty where none has."""
    count = sum(entry.edited is not None for entry in entries)
    return (
        [f"{counted(count, 'clip has effects', 'clips have effects')}, which are fixed in the exported files"]
        if count
        else []
    )


def file_name(title: str) -> str:
    """Return a title as a file's name that every system takes, without an ending."""
    name = re.sub(r"[^\w.(), -]+", "_", title).strip(" ._-")[:LONGEST_NAME].rstrip(" .")
    while len(name.encode()) > 2 * LONGEST_NAME:
        name = name[:-1]
    return f"_{name}" if not name or RESERVED.fullmatch(name) else name


@dataclass(frozen=True)
class UnpackedZip:
    """What came of a zip file."""

    added: tuple[int, ...]
    known: tuple[int, ...]
    refused: tuple[tuple[str, str], ...]
    """Files of it that were not taken in, with the reason."""


def unpack(packed: ZipImport) -> UnpackedZip:
    """Take in what a zip file holds; see `Library.unpack`."""
    added: list[int] = []
    known: list[int] = []
    refused: list[tuple[str, str]] = []
    for number, name in enumerate(packed.names):
        try:
            entry, new = packed.take(number)
            (added if new else known).append(entry.id)
        except (DiskFull, TooLarge):
            raise
        except MediaError as error:
            refused.append((plain(name, LONGEST_TEXT), plain(str(error), LONGEST_TEXT)))
    return UnpackedZip(tuple(added), tuple(known), tuple(refused))


class TooLarge(MediaError):
    """More is unpacked than was allowed."""


_FAULTS = (MediaError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)
"""What reading a damaged or hostile file of a zip raises."""


class ZipImport:
    """A zip file from anywhere, whose clips are taken into a library one after another.

    What it says of sizes is not believed. Clips are packed already: what unpacks to many times its size was made to
    fill disks, and is refused, each file by itself (`RATIO`, `SMALL`) and all together (`RATIO`, `SMALL_ZIP`).

    Args:
        storage: of the library.
        path: the zip file.
        most_bytes: bytes that may be unpacked in all.
        most_files: files that it may hold.
        title: what it is called where the clips come from; None for the name of the file.
        used: bytes that were unpacked from it before.

    Raises:
        MediaError: it is no zip file, or holds too many files.
    """

    def __init__(
        self, storage: Storage, path: Path, most_bytes: int, most_files: int, title: str | None = None, used: int = 0
    ) -> None:
        self._storage, self._title = storage, title or path.name
        try:
            if is_special(path):
                problem = f'"{path}" is a pipe, a socket or a device, which is never opened'
                raise MediaError(problem, "give a zip file, or clips")
            self._bytes = path.stat().st_size
            self._packed = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise MediaError(f'"{path}" is no zip file ({error})', "give a zip file, or clips") from None
        members = self._packed.infolist()
        if len(members) > most_files:
            self.close()
            raise MediaError(f'"{path}" holds {len(members):,} files, more than {most_files:,}', "divide it")
        names = (info.filename for info in members)
        passed_over = [name in (TABLE, SHEET) or name.startswith("__MACOSX/") for name in names]
        self._members = [m for m, out in zip(members, passed_over, strict=True) if not (out or m.is_dir())]
        self.names = [info.filename for info in self._members]
        """Files that may be clips."""
        self.used = used
        """Bytes that were unpacked, of what was taken in."""
        self.most = min(most_bytes, max(SMALL_ZIP, RATIO * self._bytes))
        """Bytes that may be unpacked in all."""
        self._table = read_table(self)

    def __enter__(self) -> ZipImport:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._packed.close()

    def take(self, number: int, check: Callable[[Path], object] | None = None) -> tuple[ClipEntry, bool]:
        """Take a file in, with what the table of an export says of it; return its entry, and whether it is new.

        Args:
            number: of the file, among `names`.
            check: looks at it before the library has it, and raises `MediaError` where it is to be refused.

        Raises:
            DiskFull: nothing more can be taken in.
            TooLarge: all that may be was unpacked.
            MediaError: this file is refused.
        """
        info, used = self._members[number], self.used
        row = self._table.get(info.filename, {})
        try:
            details = zip_entry_details(self._title, info, row)
            opener = partial(self.open, info, self.count)
            entry, new = additions.take(self._storage, opener, suffix_of(info.filename), details, check=check)
        except (DiskFull, TooLarge):
            raise
        except _FAULTS as error:
            self.used = used  # nothing of it stays
            if isinstance(error, MediaError):
                raise
            raise MediaError(str(error) or type(error).__name__, "leave it out") from None
        if new:
            _relate(self._storage, entry.id, row)
        return entry, new

    def member(self, name: str) -> zipfile.ZipInfo:
        return self._packed.getinfo(name)

    def open(self, info: zipfile.ZipInfo, count: Callable[[int], object]) -> IO[bytes]:
        """Open a file within its limit; `count` is told how many bytes are read."""
        most = max(SMALL, RATIO * min(info.compress_size, self._bytes))
        try:
            opened = self._packed.open(info)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise zipfile.BadZipFile(f"{info.filename} would begin before the file does") from None
        return cast(IO[bytes], _Counted(opened, most, count))

    def count(self, size: int) -> None:
        """Count bytes that were unpacked; refuse more than may be."""
        self.used += size
        if self.used > self.most:
            raise TooLarge(f'"{self._title}" unpacks to more than {self.most:,} bytes', "divide it")


class _Counted(io.RawIOBase):
    """A file inside a zip that is read up to a number of bytes, whatever it says of its size; `count` hears of all."""

    def __init__(self, source: IO[bytes], most: int, count: Callable[[int], object]) -> None:
        self._source, self._most, self._count = source, most, count

    def read(self, size: int = -1) -> bytes:
        block = self._source.read(min(size, self._most + 1) if size >= 0 else self._most + 1)
        self._most -= len(block)
        self._count(len(block))
        if self._most < 0:
            raise MediaError(f"it unpacks to more than {RATIO} times its size", "pack it again without compression")
        return block

    def close(self) -> None:
        self._source.close()
        super().close()


def zip_entry_details(title: str, info: zipfile.ZipInfo, row: Mapping[str, Any]) -> ClipDetails:
    """Return what name and table's row say of a file in a zip, called `title`; refuse what is no ordinary clip."""
    name, kind = info.filename, info.external_attr >> 16
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if name.startswith(("/", "\\")) or ".." in parts or ":" in name:
        raise MediaError("its name leads out of the folder", "pack it again")
    if stat.S_IFMT(kind) not in (0, stat.S_IFREG):
        raise MediaError("it is a link, or no ordinary file", "pack it again")
    if info.flag_bits & 1:
        raise MediaError("it is encrypted", "pack it again without a password")
    if suffix_of(name) not in KEPT_SUFFIXES:
        raise MediaError("it has no ending of a clip", "leave it out")
    details: dict[str, Any] = {"title": plain(stem_of(name)) or "untitled", "source": f"{title}/{name}"}
    fitting = {field: row[field] for field, kind in FIELD_TYPES.items() if type(row.get(field)) is kind}
    for field, value in fitting.items():
        with contextlib.suppress(LibraryError, TypeError):
            if field == "metrics":
                additions.figures(value)
            elif field not in ("settings", "source"):
                edits.checked(field, value)
            details[field] = value
    return ClipDetails(**details)


def read_table(packed: ZipImport) -> dict[str, Mapping[str, Any]]:
    """Return what an export says of its clips, by file name; empty for another zip."""
    try:
        with packed.open(packed.member(TABLE), lambda size: None) as raw:
            value = json.loads(raw.read(LARGEST_TABLE))
    except (KeyError, ValueError, RecursionError, *_FAULTS):
        return {}
    if not isinstance(value, dict) or value.get("format") != FORMAT or not isinstance(value.get("clips"), list):
        return {}
    files.refuse_newer(value.get("schema", "none"), SCHEMA, "its table", MediaError)
    return {row["file"]: row for row in value["clips"] if isinstance(row, dict) and isinstance(row.get("file"), str)}


def _relate(storage: Storage, clip: int, row: Mapping[str, Any]) -> None:
    """Put a clip into its albums, and remember its parents and its model."""
    albums, parents, card = row.get("albums"), row.get("parents"), row.get("model_card")
    for name in albums if isinstance(albums, list) else ():
        title = plain(name)
        if title:
            tables = Albums(storage.database)
            tables.put(tables.named(title).id, [clip])
    fitting = [
        Parent(p["digest"], str(p.get("name", "")), str(p.get("relation", "source")))
        for p in (parents if isinstance(parents, list) else ())
        if isinstance(p, dict) and is_digest(p.get("digest"))
    ]
    with storage.database.write() as connection:
        additions.relate(connection, clip, fitting)
    if isinstance(card, dict) and is_digest(card.get("digest")):
        texts = {key: card[key] for key in ("preset", "dataset", "dataset_digest") if isinstance(card.get(key), str)}
        count = card.get("clips_seen")
        count = count if isinstance(count, int) and 0 <= count < 2**63 else None
        model = ModelCard(card["digest"], str(card.get("name", "")), clips_seen=count, **texts)
        register_model(storage.database, model)
