"""Tables of labels and captions, as people and the field's data sets have them: files, and what is said of each.

Captions are several rows or lines for several; a line that begins with a space goes on with the one before it.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from footage.data.store import Split
from footage.errors import ConfigError, counted
from footage.machines.remote import present
from footage.media.kinds import is_special, suffix_of

REMEDY = (
    "a label table is a .csv with the columns file,label[,caption], or a .json with a list of such objects "
    "or an object {file: label}"
)
ALIASES = {"file": ("file_name",), "caption": ("prompt", "text")}
"""Other names of columns: those of a VideoFolder, and of the table of a library's export."""
SIDES: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation", "dev", "eval", "test", "testing"), "heldout"),
    **dict.fromkeys(("heldout", "held-out", "holdout"), "heldout"),
}
"""The sides of a split, by the words that tables and folders have for them."""
_SEPARATOR = re.compile(r'\s*"?sep=(.)"?[^\n]*\n', re.IGNORECASE)
_ABSOLUTE = re.compile(r"/|[A-Za-z]:/")


@dataclass(frozen=True)
class LabelRow:
    """A row of a label table."""

    file: str
    """Name as written in the table: a relative path or a file name."""
    label: str | None
    caption: str | None
    split: Split | None = None
    """Its side, where the table has a column of that name that says so."""

    @staticmethod
    def from_table(row: Any, number: int, path: Path) -> LabelRow:
        """Build row `number` of a table; refuse one that names no file, or has neither label nor caption."""
        if isinstance(row, dict):
            said = {key: row[other] for key, others in ALIASES.items() for other in others if other in row}
            row = said | row
        if not isinstance(row, dict) or not isinstance(row.get("file"), str) or not row["file"].strip():
            raise ConfigError(f'row {number} of the label table "{path}" names no file: {row!r:.100}', REMEDY)
        if not {"label", "caption", "split"} & set(row):
            raise ConfigError(f'row {number} of the label table "{path}" has no label: {row!r:.100}', REMEDY)
        texts = []
        for key in ("label", "caption"):
            value = listed_captions(row.get(key)) if key == "caption" else row.get(key)
            if not isinstance(value, (str, int, float, type(None))):
                raise ConfigError(f'row {number} of the label table "{path}" has the {key} {value!r:.100}', REMEDY)
            texts.append(str(value).strip() or None if value is not None else None)
        side = side_of(str(row.get("split")))
        return LabelRow(row["file"].strip(), texts[0], caption_lines(texts[1] or ""), side)


class LabelFile:
    """A table of labels and captions: what it says of each file.

    Args:
        path: the table.
        rows: what stands in it, where that was read already: objects with `file`, `label`, `caption`, `split`.

    Raises:
        ConfigError: the file cannot be read, is not such a table, or names a file twice with different labels; several
            captions of a file are several rows or lines.
    """

    def __init__(self, path: Path, rows: Sequence[Any] | None = None) -> None:
        self.path = path
        self.rows: dict[str, LabelRow] = {}
        table = read_table(path) if rows is None else rows
        for number, value in enumerate(table, start=1):
            row = LabelRow.from_table(value, number, path)
            known = self.rows.setdefault(_plain(row.file), row)
            if known.label == row.label and known.caption and row.caption and row.caption != known.caption:
                both = caption_lines(f"{known.caption}\n{row.caption}")  # a row for each of several captions
                self.rows[_plain(row.file)] = replace(known, caption=both)
            elif known != row:
                raise ConfigError(f'{path} has two different rows for "{row.file}"', "keep one of them")

    def match(self, candidates: Mapping[str, Iterable[str]]) -> tuple[dict[str, LabelRow], list[str]]:
        """Return the row of each source that has one, and the names of the rows that match no source.

        A row may name a file relative to the table or to the current folder too. Of an absolute path that is not here,
        as in a table from another computer, the end counts where it is the whole path below what is ingested.

        Args:
            candidates: for each source, the names that a row may use for it, the most exact first.

        Raises:
            ConfigError: a row fits several sources equally well.
        """
        owners: dict[str, dict[int, set[str]]] = {}
        for source, names in candidates.items():
            for exactness, name in enumerate(names):
                owners.setdefault(_plain(name), {}).setdefault(exactness, set()).add(source)
        best: dict[str, tuple[int, LabelRow]] = {}
        unused = []
        for written, row in self.rows.items():
            if "\0" in written:  # no system has such a file
                unused.append(row.file)
                continue
            parts = written.split("/")
            here = [self.path.parent / row.file, Path(row.file)]
            try:
                names = [_plain(way(path)) for way in (os.path.abspath, os.path.realpath) for path in here]
            except UnicodeEncodeError:  # nor one with half of a surrogate pair in its name
                unused.append(row.file)
                continue
            if _ABSOLUTE.match(written):
                names += ["/".join(parts[first:]) for first in range(1, len(parts))]
            whole = (name for name in [written, *names] if min(owners.get(name, ()), default=WHOLE_NAMES) < WHOLE_NAMES)
            places = owners.get(next(whole, written))
            if not places:
                unused.append(row.file)
                continue
            exactness = min(places)
            if len(places[exactness]) > 1:
                examples = " and ".join(sorted(places[exactness])[:2])
                raise ConfigError(
                    f'"{row.file}" in {self.path} fits {len(places[exactness])} files, such as {examples}',
                    "write the path relative to the folder that is ingested",
                )
            (source,) = places[exactness]
            if source not in best or exactness < best[source][0]:
                best[source] = (exactness, row)
        return {source: row for source, (_, row) in best.items()}, unused


def read_table(path: Path) -> Sequence[Any]:
    """Return the rows of a table as people save them: `.json`, lines of JSON, or text with separators.

    Of these it takes commas, semicolons, tabs and bars, a first line `sep=;`, UTF-8 and UTF-16, empty rows and spaces
    around cells; columns are named in any case.

    Raises:
        ConfigError: the file cannot be read, or is not such a table.
    """
    suffix, kind = suffix_of(path), "CSV"
    try:
        if is_special(path):
            raise ConfigError(f'the label table "{path}" is a pipe, a socket or a device', REMEDY)
        with present([path]):
            text = table_text(path.read_bytes())
        if suffix in ("json", "jsonl"):
            kind = "JSON"
            lines = [json.loads(line) for line in text.splitlines() if line.strip()] if suffix == "jsonl" else None
            value = json.loads(text) if lines is None else lines
            if isinstance(value, dict) and isinstance(value.get("clips"), list):
                value = value["clips"]  # the table of a library's export
            table = [{"file": k, "label": v} for k, v in value.items()] if isinstance(value, dict) else value
        else:
            table = separated_rows(text, path)
    except UnicodeDecodeError as error:
        remedy = 'save it as UTF-8 (in Excel: "CSV UTF-8")'
        raise ConfigError(f'the label table "{path}" is neither UTF-8 nor UTF-16 ({error})', remedy) from None
    except OSError as error:
        raise ConfigError(f'the label table "{path}" cannot be read ({error})', REMEDY) from None
    except (ValueError, csv.Error, RecursionError) as error:
        raise ConfigError(f'the label table "{path}" is not {kind} ({error})', REMEDY) from None
    if not isinstance(table, list) or not table:
        raise ConfigError(f'the label table "{path}" has no rows', REMEDY)
    return [
        {str(key).strip().casefold(): cell for key, cell in row.items()} if isinstance(row, dict) else row
        for row in table
    ]


WHOLE_NAMES = 4
"""So many of the names that a row may use for a source are whole paths: two absolute ones, and two relative ones."""


def table_text(content: bytes) -> str:
    """Return the text of a table: UTF-16 where a mark or its zeros tell, else UTF-8.

    Raises:
        UnicodeDecodeError: it is neither.
    """
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16")
    for encoding, high in (("utf-16-le", content[1::2]), ("utf-16-be", content[::2])):
        if high.count(0) > len(content) // 4:
            return content.decode(encoding)
    return content.decode("utf-8-sig")


def separated_rows(text: str, path: Path) -> list[dict[str, str | None]]:
    """Return the rows of a table with separators, by the names in its first row; rows without any text are left out.

    Raises:
        ConfigError: a row has more cells than the first one.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    said = _SEPARATOR.match(text)
    text = text[said.end() :] if said else text.lstrip("\n")
    head = re.sub(r'"[^"]*"', "", text.split("\n", 1)[0])
    delimiter = said[1] if said else max(",;\t|", key=head.count)
    cells = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=delimiter != " ")
    rows = [[cell.strip() for cell in row] for row in cells if any(cell.strip() for cell in row)]
    for number, row in enumerate(rows[1:], start=1):
        if any(row[len(rows[0]) :]):
            raise ConfigError(
                f'row {number} of the label table "{path}" has {counted(len(row), "cell")}, '
                f"its first row {len(rows[0])}",
                f"put quotes around texts that hold {delimiter!r}",
            )
    return [dict(itertools.zip_longest(rows[0], row[: len(rows[0])])) for row in rows[1:]]


def caption_lines(text: str) -> str | None:
    """Return captions one a line, each once, without spaces that say nothing; None where nothing is said.

    A line that begins with a space goes on with the one before it.
    """
    text = re.sub(r"\n[ \t]+", " ", text.replace("\ufeff", "").replace("\r\n", "\n").replace("\r", "\n").strip())
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(dict.fromkeys(line for line in lines if line)) or None


def listed_captions(value: Any) -> Any:
    """Return a list of strings as captions one a line, and any other value as it is."""
    if isinstance(value, list) and all(isinstance(text, str) for text in value):
        return "\n".join(" ".join(text.split()) for text in value)
    return value


def side_of(name: str) -> Split | None:
    """Return the side that a name says by one of its words, as `val-000001` does; None where it says none.

    A name that says both is held out.
    """
    plain = name.strip().casefold()
    sides = {SIDES.get(word) for word in (plain, *re.split(r"[^a-z]+", plain))}
    return "heldout" if "heldout" in sides else "train" if "train" in sides else None


def _plain(name: str) -> str:
    """Return a name with forward slashes, its letters and accents in one (NFC)."""
    return unicodedata.normalize("NFC", name.replace("\\", "/").removeprefix("./"))
