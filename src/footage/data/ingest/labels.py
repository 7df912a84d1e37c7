"""Labels and captions from a table that the user wrote: CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from footage.errors import ConfigError

REMEDY = (
    "a label table is a .csv with the columns file,label[,caption], or a .json with a list of such objects "
    "or an object {file: label}"
)


@dataclass(frozen=True)
class Entry:
    """What a table says about one file."""

    file: str
    """Name as written in the table: a relative path or a file name."""
    label: str | None
    """Class, or None where the table leaves it empty."""
    caption: str | None
    """Free text, or None."""


class LabelTable:
    """A table read from a file.

    Args:
        path: a `.csv` or `.json` file.

    Raises:
        ConfigError: the file cannot be read, is not such a table, or names a file twice with different labels.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, Entry] = {}
        for entry in _read(path):
            if self.entries.setdefault(entry.file, entry) != entry:
                raise ConfigError(f'{path} has two different rows for "{entry.file}"', "keep one of them")

    def match(self, candidates: dict[str, Iterable[str]]) -> tuple[dict[str, Entry], list[str]]:
        """Find the row of each source.

        Args:
            candidates: for each source, the names that a row may use for it, the most exact first.

        Returns:
            the row for each source that has one, and the names of the rows that match no source.

        Raises:
            ConfigError: a row fits several sources equally well.
        """
        owners: dict[str, dict[int, set[str]]] = {}
        for source, names in candidates.items():
            for exactness, name in enumerate(names):
                owners.setdefault(_plain(name), {}).setdefault(exactness, set()).add(source)
        found: dict[str, tuple[int, Entry]] = {}
        unused = []
        for entry in self.entries.values():
            places = owners.get(_plain(entry.file))
            if not places:
                unused.append(entry.file)
                continue
            exactness = min(places)
            if len(places[exactness]) > 1:
                examples = " and ".join(sorted(places[exactness])[:2])
                raise ConfigError(
                    f'"{entry.file}" in {self.path} fits {len(places[exactness])} files, such as {examples}',
                    "write the path relative to the folder that is ingested",
                )
            (source,) = places[exactness]
            if source not in found or exactness < found[source][0]:
                found[source] = (exactness, entry)
        return {source: entry for source, (_, entry) in found.items()}, unused


def _plain(name: str) -> str:
    return name.replace("\\", "/").removeprefix("./")


def _read(path: Path) -> list[Entry]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f'the label table "{path}" cannot be read ({error})', REMEDY) from None
    if path.suffix.lower() == ".json":
        try:
            value = json.loads(text)
        except ValueError as error:
            raise ConfigError(f'the label table "{path}" is not JSON ({error})', REMEDY) from None
        rows = [{"file": k, "label": v} for k, v in value.items()] if isinstance(value, dict) else value
    else:
        dialect = ";" if text.split("\n", 1)[0].count(";") > text.split("\n", 1)[0].count(",") else ","
        try:
            rows = list(csv.DictReader(io.StringIO(text), delimiter=dialect))
        except csv.Error as error:
            raise ConfigError(f'the label table "{path}" is not CSV ({error})', REMEDY) from None
    if not isinstance(rows, list) or not rows:
        raise ConfigError(f'the label table "{path}" has no rows', REMEDY)
    return [_entry(row, number, path) for number, row in enumerate(rows, start=1)]


def _entry(row: Any, number: int, path: Path) -> Entry:
    if not isinstance(row, dict) or not isinstance(row.get("file"), str) or not row["file"].strip():
        raise ConfigError(f'row {number} of the label table "{path}" names no file: {row!r:.100}', REMEDY)
    if "label" not in row and "caption" not in row:
        raise ConfigError(f'row {number} of the label table "{path}" has no label: {row!r:.100}', REMEDY)
    texts = []
    for key in ("label", "caption"):
        value = row.get(key)
        if not isinstance(value, (str, int, float, type(None))):
            raise ConfigError(f'row {number} of the label table "{path}" has the {key} {value!r:.100}', REMEDY)
        texts.append(str(value).strip() or None if value is not None else None)
    return Entry(row["file"].strip(), *texts)
