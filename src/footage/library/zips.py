"""Taking in zip files from anywhere."""

from __future__ import annotations

import io
import json
import stat
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from footage.errors import LibraryError, MediaError
from footage.library import adding, edits, origins
from footage.library.adding import Known, Parent
from footage.library.albums import Albums
from footage.library.entries import LONGEST_TEXT, plain
from footage.library.exporting import FORMAT, SCHEMA, SHEET, TABLE
from footage.library.holding import Holding
from footage.library.origins import ModelCard
from footage.library.vault import PICTURES, SUFFIXES, DiskFull

LARGEST_TABLE = 512 * 2**20
"""Bytes of the table of an export, at most."""


@dataclass(frozen=True)
class Unpacked:
    """What came of a zip file."""

    added: tuple[int, ...]
    """Clips that are new."""
    known: tuple[int, ...]
    """Clips that were there already."""
    refused: tuple[tuple[str, str], ...]
    """Files of it that were not taken in, with the reason."""


def unpack(holding: Holding, path: Path, most_bytes: int, most_files: int) -> Unpacked:
    """Take in what a zip file holds; see `Library.unpack`."""
    try:
        packed = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise MediaError(f'"{path}" is no zip file ({error})', "give a zip file, or clips") from None
    with packed:
        inside = packed.infolist()
        if len(inside) > most_files:
            raise MediaError(f'"{path}" holds {len(inside):,} files, more than {most_files:,}', "divide it")
        table = _table(packed)
        added: list[int] = []
        known: list[int] = []
        refused: list[tuple[str, str]] = []
        budget = _Budget(most_bytes)
        for info in inside:
            name = info.filename
            if info.is_dir() or name in (TABLE, SHEET) or name.startswith("__MACOSX/"):
                continue
            try:
                _sound(info)
                about = _known(path, name, table.get(name, {}))
                suffix = PurePosixPath(name).suffix.lower()[1:]
                entry, new = adding.take(holding, partial(_begin, packed, info, budget), suffix, about)
            except DiskFull:
                raise
            except TooLarge:
                raise MediaError(f'"{path}" unpacks to more than {most_bytes:,} bytes', "divide it") from None
            except _FAULTS as error:
                refused.append((plain(name, LONGEST_TEXT), plain(str(error), LONGEST_TEXT)))
                continue
            (added if new else known).append(entry.id)
            if new:
                _relate(holding, entry.id, table.get(name, {}))
    return Unpacked(tuple(added), tuple(known), tuple(refused))


class TooLarge(MediaError):
    """More is unpacked than was allowed."""


_FAULTS = (MediaError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)
"""What reading a damaged or hostile file of a zip raises."""


def _sound(info: zipfile.ZipInfo) -> None:
    """Refuse what is no ordinary clip of a zip."""
    name, kind = info.filename, info.external_attr >> 16
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if name.startswith(("/", "\\")) or ".." in parts or ":" in name:
        raise MediaError("its name leads out of the folder", "pack it again")
    if stat.S_IFMT(kind) not in (0, stat.S_IFREG):
        raise MediaError("it is a link, or no ordinary file", "pack it again")
    if info.flag_bits & 1:
        raise MediaError("it is encrypted", "pack it again without a password")
    if PurePosixPath(name).suffix.lower()[1:] not in SUFFIXES | PICTURES:
        raise MediaError("it has no ending of a clip", "")


@dataclass
class _Budget:
    """Bytes that may still be unpacked."""

    left: int


class _Counted(io.RawIOBase):
    """A file inside a zip that is read up to a number of bytes, whatever it says of its size."""

    def __init__(self, source: IO[bytes], budget: _Budget) -> None:
        self.source, self.budget = source, budget

    def read(self, size: int = -1) -> bytes:
        """Read some bytes."""
        block = self.source.read(size)
        self.budget.left -= len(block)
        if self.budget.left < 0:
            raise TooLarge("more bytes than were allowed", "divide it")
        return block

    def close(self) -> None:
        """End reading."""
        self.source.close()
        super().close()


def _begin(packed: zipfile.ZipFile, info: zipfile.ZipInfo, budget: _Budget) -> IO[bytes]:
    """Begin to read a file inside a zip."""
    return cast(IO[bytes], _Counted(packed.open(info), budget))


def _table(packed: zipfile.ZipFile) -> dict[str, Mapping[str, Any]]:
    """Return what an export says of its clips, by file name; empty for another zip."""
    try:
        with packed.open(TABLE) as raw:
            value = json.loads(raw.read(LARGEST_TABLE))
    except (KeyError, ValueError, RecursionError, *_FAULTS):
        return {}
    if not isinstance(value, dict) or value.get("format") != FORMAT or not isinstance(value.get("clips"), list):
        return {}
    if not isinstance(value.get("schema"), int) or value["schema"] > SCHEMA:
        raise MediaError(f"its table has format {value.get('schema')}, this footage reads {SCHEMA}", "upgrade footage")
    return {row["file"]: row for row in value["clips"] if isinstance(row, dict) and isinstance(row.get("file"), str)}


def _known(path: Path, name: str, row: Mapping[str, Any]) -> Known:
    """Return what is known of a file: what the table says, as far as it is of the right kind."""
    known: dict[str, Any] = {"title": plain(PurePosixPath(name).stem) or "untitled", "source": f"{path.name}/{name}"}
    for field, kind in _KINDS.items():
        value: Any = row.get(field)
        fits = type(value) is kind
        if not fits:
            continue
        try:
            if field == "metrics":
                adding.figures(value)
            elif field != "settings" and field != "source":
                edits.checked(field, value)
        except (LibraryError, TypeError):
            continue
        known[field] = tuple(value) if field == "tags" else value
    return Known(**known)


_KINDS: dict[str, type] = {
    **dict.fromkeys(("title", "prompt", "source", "label", "notes", "verdict"), str),
    "tags": list,
    "stars": int,
    "metrics": dict,
    "settings": dict,
}


def _relate(holding: Holding, clip: int, row: Mapping[str, Any]) -> None:
    """Put a clip into its albums, and remember its parents and its model."""
    albums, parents, card = row.get("albums"), row.get("parents"), row.get("model_card")
    for name in albums if isinstance(albums, list) else ():
        title = plain(name)
        if title:
            shelf = Albums(holding.database)
            found = next((album for album in shelf.all() if album.name == title), None) or shelf.create(title)
            shelf.put(found.id, [clip])
    fitting = [
        Parent(p["digest"], str(p.get("name", "")), str(p.get("relation", "source")))
        for p in (parents if isinstance(parents, list) else ())
        if isinstance(p, dict) and origins.is_digest(p.get("digest"))
    ]
    with holding.database.write() as connection:
        adding.relate(connection, clip, fitting)
    if isinstance(card, dict) and origins.is_digest(card.get("digest")):
        texts = {key: card[key] for key in ("preset", "dataset", "dataset_digest") if isinstance(card.get(key), str)}
        seen = card.get("clips_seen")
        count = seen if isinstance(seen, int) and 0 <= seen < 2**63 else None
        origins.register(
            holding.database, ModelCard(card["digest"], str(card.get("name", "")), clips_seen=count, **texts)
        )
