"""What there is to ingest: videos, folders of numbered pictures, IDX files and arrays, with their labels.

Labels come from folders, or from a table that the user wrote, CSV or JSON; captions from that or from `.txt` files.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from footage.data.store import Rejection
from footage.data.synthetic import labels_beside
from footage.errors import ConfigError, DatasetError
from footage.media.reader import PICTURE_SUFFIXES as PICTURES
from footage.media.reader import natural_key

REMEDY = (
    "a label table is a .csv with the columns file,label[,caption], or a .json with a list of such objects "
    "or an object {file: label}"
)


@dataclass(frozen=True)
class LabelRow:
    """What a table says about one file."""

    file: str
    """Name as written in the table: a relative path or a file name."""
    label: str | None
    """Class, or None where the table leaves it empty."""
    caption: str | None
    """Free text, or None."""


class LabelFile:
    """A table read from a file.

    Args:
        path: a `.csv` or `.json` file.

    Raises:
        ConfigError: the file cannot be read, is not such a table, or names a file twice with different labels.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, LabelRow] = {}
        for entry in _read(path):
            if self.entries.setdefault(entry.file, entry) != entry:
                raise ConfigError(f'{path} has two different rows for "{entry.file}"', "keep one of them")

    def match(self, candidates: dict[str, Iterable[str]]) -> tuple[dict[str, LabelRow], list[str]]:
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
        found: dict[str, tuple[int, LabelRow]] = {}
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


def _read(path: Path) -> list[LabelRow]:
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


def _entry(row: Any, number: int, path: Path) -> LabelRow:
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
    return LabelRow(row["file"].strip(), *texts)


_ENDINGS = """
mp4 m4v mov qt mkv webm avi gif mpg mpeg m2v m2ts mts ts vob wmv asf flv f4v 3gp 3g2 ogv ogg mxf divx dv y4m nut
h264 264 hevc 265 ivf mjpeg mjpg apng av1 obu rm rmvb
"""
VIDEOS = frozenset("." + ending for ending in _ENDINGS.split())
"""Endings of the files that are taken for videos."""
IDX = re.compile(r"images[-.]idx3-ubyte(\.gz)?$")
IDX_LABELS = re.compile(r"labels[-.]idx1-ubyte(\.gz)?$")
MAX_CAPTION = 10_000
"""A caption file is read up to this many bytes."""

Kind = Literal["video", "pictures", "idx", "array"]


@dataclass(frozen=True)
class Source:
    """One input: what is ingested, split and reported as a unit."""

    kind: Kind
    """What it is."""
    name: str
    """Its path relative to the folder that was given, that folder's name in front, with forward slashes; unique."""
    path: Path
    """The file, or the folder of pictures."""
    label: str | None = None
    """Class, or None."""
    caption: str | None = None
    """Free text, or None."""
    pictures: tuple[str, ...] = ()
    """File names of the pictures, in order; empty for the other kinds."""

    @property
    def picture_paths(self) -> list[Path]:
        """Paths of the pictures, in order; empty for the other kinds."""
        return [self.path / name for name in self.pictures]

    @property
    def files(self) -> list[Path]:
        """The files that hold its content; beside IDX images, those of their labels."""
        beside = labels_beside(self.path) if self.kind == "idx" else None
        return self.picture_paths or [self.path, *([beside] if beside else [])]


@dataclass
class SourceScan:
    """What a scan found."""

    sources: list[Source] = field(default_factory=list)
    """What can be ingested, in order."""
    rejections: list[Rejection] = field(default_factory=list)
    """What cannot, and why."""
    ignored: Counter[str] = field(default_factory=Counter)
    """How many files of other kinds there are, by ending."""


def scan(inputs: Sequence[Path | str], labels: str | Path = "folder", leave_out: Path | None = None) -> SourceScan:
    """Find the sources in files and folders, recursively and in a fixed order.

    Hidden files are passed over, links are followed once, and files of other kinds are counted.

    Args:
        inputs: files and folders.
        labels: `folder` for the first folder below the given one, `none`, or the path of a CSV or JSON table.
        leave_out: a folder that is not looked into, or None.

    Raises:
        DatasetError: one of the inputs does not exist.
        ConfigError: the table cannot be used.
    """
    found = SourceScan()
    candidates: dict[str, list[str]] = {}
    roots = [Path(os.path.abspath(path)) for path in inputs]
    for root, given in zip(roots, inputs, strict=True):
        if not os.path.lexists(root):
            raise DatasetError(f'"{given}" does not exist', "check the path of the videos")
    seen: set[str] = set()
    names: Counter[str] = Counter()
    if leave_out is not None and leave_out.is_dir():
        status = leave_out.stat()
        start = {(status.st_dev, status.st_ino)}
    else:
        start = set()
    for root, shown in zip(roots, _root_names(roots), strict=True):
        files = _walk(root, shown, found, start) if root.is_dir() else iter([(root, shown)])
        for source in _sources(files, found):
            real = os.path.realpath(source.path / source.pictures[0] if source.pictures else source.path)
            if real in seen:
                continue
            seen.add(real)
            names[source.name] += 1
            if names[source.name] > 1:  # two unprintable names that look the same
                source = replace(source, name=f"{source.name} ({names[source.name]})")
            inner = source.name[len(shown) :].lstrip("/").split("/")
            label = inner[0] if labels == "folder" and len(inner) > 1 else None
            found.sources.append(replace(source, label=label, caption=_caption(source.path)))
            relative = "/".join(inner)
            candidates[source.name] = [source.name, relative or source.name, source.path.name, source.path.stem]
    if labels not in ("folder", "none"):
        _apply(LabelFile(Path(labels)), candidates, found)
    return found


def _apply(table: LabelFile, candidates: dict[str, list[str]], found: SourceScan) -> None:
    """Give the sources the labels of a table; report the rows that fit none."""
    entries, unused = table.match({name: tuple(names) for name, names in candidates.items()})
    for i, source in enumerate(found.sources):
        entry = entries.get(source.name)
        if entry is not None:
            found.sources[i] = replace(source, label=entry.label, caption=entry.caption or source.caption)
    if entries == {} and found.sources:
        raise ConfigError(
            f"no row of {table.path} fits any of the {len(found.sources)} files found",
            f'write paths such as "{found.sources[0].name.split("/", 1)[-1]}" in its column "file"',
        )
    found.rejections += [Rejection(name, "not found", f"named in {table.path.name} only") for name in unused]


def _root_names(roots: Sequence[Path]) -> list[str]:
    """Return a short name for each input, with as many parents as it takes to tell them apart."""
    depth = 1
    while True:
        names = ["/".join(root.parts[-depth:]).lstrip("/") or "root" for root in roots]
        distinct = {(name, root) for name, root in zip(names, roots, strict=True)}
        if len({name for name, _ in distinct}) == len(set(roots)) or depth > max(len(r.parts) for r in roots):
            return [_utf8(name) for name in names]
        depth += 1


def _utf8(name: str) -> str:
    """Return a name that can be written as UTF-8, whatever bytes the file system holds."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _walk(folder: Path, shown: str, found: SourceScan, above: set[tuple[int, int]]) -> Iterator[tuple[Path, str]]:
    """Yield the files below a folder with their names, in natural order. A folder inside itself is not entered."""
    try:
        status = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda e: natural_key(e.name))
    except OSError as error:
        found.rejections.append(Rejection(shown, "unreadable", error.strerror or str(error)))
        return
    here = above | {(status.st_dev, status.st_ino)}
    if len(here) == len(above):
        return  # a link back to a folder that we are in, or the folder to leave out
    if {"dataset.json", "clips.jsonl"} <= {entry.name for entry in entries}:
        found.rejections.append(Rejection(shown, "not a video", "a dataset: give the videos that it was made from"))
        return
    folders = []
    for entry in entries:
        name = f"{shown}/{_utf8(entry.name)}"
        if entry.name.startswith("."):
            continue
        try:
            if entry.is_dir():
                folders.append((Path(entry.path), name))
            elif entry.is_file():
                yield Path(entry.path), name
            elif entry.is_symlink():
                found.rejections.append(Rejection(name, "unreadable", "a link to nothing"))
        except OSError as error:  # a link to itself, or into a forbidden folder
            found.rejections.append(Rejection(name, "unreadable", error.strerror or str(error)))
    for path, name in folders:
        yield from _walk(path, name, found, here)


def _sources(files: Iterator[tuple[Path, str]], found: SourceScan) -> Iterator[Source]:
    """Sort files into sources; collect the pictures of a folder into sequences."""
    pictures: dict[tuple[Path, str, str], list[tuple[str, str]]] = {}
    for path, name in files:
        suffix = path.suffix.lower()
        if suffix in VIDEOS:
            yield Source("video", name, path)
        elif IDX.search(path.name):
            yield Source("idx", name, path)
        elif suffix == ".npy":
            yield Source("array", name, path)
        elif suffix in PICTURES and re.search(r"\d", path.stem):
            prefix = re.sub(r"\d+(?=\D*$)", "#", path.stem)  # the last number counts the frames
            pictures.setdefault((path.parent, prefix, suffix), []).append((path.name, name))
        elif not IDX_LABELS.search(path.name):
            found.ignored[suffix or "(no ending)"] += 1
    in_folder = Counter(parent for (parent, _, _), group in pictures.items() if len(group) > 1)
    for (parent, prefix, suffix), group in pictures.items():
        if len(group) == 1:
            found.ignored[suffix] += 1
            continue
        shown = group[0][1].rsplit("/", 1)[0] if "/" in group[0][1] else parent.name
        name = shown if in_folder[parent] == 1 else f"{shown}/{_utf8(prefix)}{suffix}"
        names = sorted((file for file, _ in group), key=natural_key)
        yield Source("pictures", name, parent, pictures=tuple(names))


def _caption(path: Path) -> str | None:
    """Return the text of the `.txt` file of the same stem, or None."""
    try:
        with open(path.with_suffix(".txt"), "rb") as handle:
            text = handle.read(MAX_CAPTION).decode("utf-8", "replace")
    except (OSError, ValueError):
        return None
    return " ".join(text.replace("\ufeff", "").split()) or None
