"""What there is to ingest: videos, folders of numbered pictures, IDX files and arrays, with their labels.

Labels come from folders, or from a table that the user wrote, CSV or JSON; captions from that, several rows or lines
for several, or from `.txt` files, one a line; a line that begins with a space goes on with the one before it.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Protocol

from footage.data.store import Rejection
from footage.data.synthetic import labels_beside
from footage.errors import ConfigError, DatasetError, MediaError, nearest
from footage.machines.remote import present
from footage.media.geometry import Size
from footage.media.kinds import (
    HEAD,
    MAY_MOVE,
    PICTURE_SUFFIXES,
    VIDEO_SUFFIXES,
    is_animated,
    is_special,
    natural_key,
    suffix_of,
)
from footage.media.reader import Footage

IDX = re.compile(r"images[-.]idx3-ubyte(\.gz)?$")
IDX_LABELS = re.compile(r"labels[-.]idx1-ubyte(\.gz)?$")
MAX_CAPTION = 2**16
"""A caption file is read up to this many bytes: more than 10,000 characters of any script."""
HEADS = {"txt": MAX_CAPTION, **dict.fromkeys(MAY_MOVE, HEAD)}
"""Bytes of the beginning of a file at an address that tell what kind of source it is, or its caption, by its ending."""

PICTURES_FPS = 25.0
"""Rate of numbered pictures, which say nothing of it."""
LONGEST, SHORTER = 1280, 768
"""Sides of a frame that is to suit its sources, at most, in pixels."""
SIDE = 16
"""Its sides are multiples of this, so that networks can work on an eighth, and that halves once."""
CUT_OFF = 0.02
"""Part of a picture that may be cut off for a larger frame."""
EXACT = 4
"""How much rather the shape is exact than the frame large: a size one per cent larger may cut off 1/EXACT per cent."""
ALIKE = 0.25
"""Shapes are alike when less than this part of the one is cut off to make the other."""
ENLARGED = 0.1
"""Part of the sources' time that may have fewer pixels than the frame."""

NOT_CLIPS = frozenset({"sheet.png"})
"""Names of pictures beside clips that are no clips: what `generate` shows of them at a glance."""
EXPORTED = "library.json"
"""Table beside the clips of a library's export, whose pictures are numbered and yet not frames of one clip."""

Kind = Literal["video", "pictures", "idx", "array", "picture", "zip"]
REMEDY = (
    "a label table is a .csv with the columns file,label[,caption], or a .json with a list of such objects "
    "or an object {file: label}"
)
_SEPARATOR = re.compile(r'\s*"?sep=(.)"?[^\n]*\n', re.IGNORECASE)
_ABSOLUTE = re.compile(r"/|[A-Za-z]:/")


@dataclass(frozen=True)
class LabelRow:
    """A row of a label table."""

    file: str
    """Name as written in the table: a relative path or a file name."""
    label: str | None
    caption: str | None

    @staticmethod
    def from_table(row: Any, number: int, path: Path) -> LabelRow:
        """Build row `number` of a table; refuse one that names no file, or has neither label nor caption."""
        if not isinstance(row, dict) or not isinstance(row.get("file"), str) or not row["file"].strip():
            raise ConfigError(f'row {number} of the label table "{path}" names no file: {row!r:.100}', REMEDY)
        if "prompt" in row and "caption" not in row:  # the table of a library's export calls it so
            row = row | {"caption": row["prompt"]}
        if "label" not in row and "caption" not in row:
            raise ConfigError(f'row {number} of the label table "{path}" has no label: {row!r:.100}', REMEDY)
        texts = []
        for key in ("label", "caption"):
            value = row.get(key)
            if not isinstance(value, (str, int, float, type(None))):
                raise ConfigError(f'row {number} of the label table "{path}" has the {key} {value!r:.100}', REMEDY)
            texts.append(str(value).strip() or None if value is not None else None)
        return LabelRow(row["file"].strip(), texts[0], caption_lines(texts[1] or ""))


class LabelFile:
    """A table of labels and captions as people save them: `.json`, lines of JSON, or text with separators.

    Of these it takes commas, semicolons, tabs and bars, a first line `sep=;`, UTF-8 and UTF-16, empty rows and spaces
    around cells; columns are named in any case.

    Raises:
        ConfigError: the file cannot be read, is not such a table, or names a file twice with different labels; several
            captions of a file are several rows or lines.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, LabelRow] = {}
        suffix, kind = suffix_of(path), "CSV"
        try:
            if is_special(path):
                raise ConfigError(f'the label table "{path}" is a pipe, a socket or a device', REMEDY)
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
        except (ValueError, csv.Error) as error:
            raise ConfigError(f'the label table "{path}" is not {kind} ({error})', REMEDY) from None
        if not isinstance(table, list) or not table:
            raise ConfigError(f'the label table "{path}" has no rows', REMEDY)
        for number, value in enumerate(table, start=1):
            if isinstance(value, dict):
                value = {str(key).strip().casefold(): cell for key, cell in value.items()}
            row = LabelRow.from_table(value, number, path)
            known = self.rows.setdefault(_plain(row.file), row)
            if known.label == row.label and known.caption and row.caption and row.caption != known.caption:
                both = caption_lines(f"{known.caption}\n{row.caption}")  # a row for each of several captions
                self.rows[_plain(row.file)] = replace(known, caption=both)
            elif known != row:
                raise ConfigError(f'{path} has two different rows for "{row.file}"', "keep one of them")

    def match(self, candidates: dict[str, Iterable[str]]) -> tuple[dict[str, LabelRow], list[str]]:
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
            names = [_plain(way(path)) for way in (os.path.abspath, os.path.realpath) for path in here]
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
                f'row {number} of the label table "{path}" has {len(row)} cells, its first row {len(rows[0])}',
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


def _plain(name: str) -> str:
    """Return a name with forward slashes, its letters and accents in one (NFC)."""
    return unicodedata.normalize("NFC", name.replace("\\", "/").removeprefix("./"))


@dataclass(frozen=True)
class Source:
    """One input: what is ingested, split and reported as a unit."""

    kind: Kind
    name: str
    """Its path relative to the folder that was given, that folder's name in front, with forward slashes; unique."""
    path: Path
    """The file, or the folder of pictures."""
    label: str | None = None
    caption: str | None = None
    pictures: tuple[str, ...] = ()
    """File names of the pictures, in order; empty for the other kinds."""

    @property
    def picture_paths(self) -> list[Path]:
        return [self.path / name for name in self.pictures]

    @property
    def files(self) -> list[Path]:
        """The files that hold its content; beside IDX images, those of their labels."""
        beside = labels_beside(self.path) if self.kind == "idx" else None
        return self.picture_paths or [self.path, *([beside] if beside else [])]

    def displayed(self) -> ShownSize | None:
        """Return the size of numbered pictures, and how long they are shown at `PICTURES_FPS`; None for other kinds."""
        if self.kind != "pictures":
            return None
        try:
            with present(self.picture_paths[:1]):
                height, width = Footage(self.picture_paths[0]).size()
        except MediaError:
            return None
        return ShownSize(width, height, len(self.pictures) / PICTURES_FPS)

    def caption_beside(self) -> str | None:
        """Return what stands in a .txt file beside it, a caption a line; None where there is none that can be read."""
        beside = self.path.with_suffix(".txt")
        with contextlib.suppress(OSError, ValueError):
            if not is_special(beside):
                with open(beside, "rb") as handle:
                    content = handle.read(MAX_CAPTION)
                whole = len(content) < MAX_CAPTION
                # What is cut off may be in the middle of a sign.
                return caption_lines(content.decode("utf-8", "replace" if whole else "ignore"))
        return None


@dataclass(frozen=True)
class ShownSize:
    """What `suited_size` asks of a source."""

    width: int
    """As displayed, in pixels."""
    height: int
    duration: float | None
    """In seconds, or None where it is not known."""


def kind_of(path: Path, library: bool) -> Kind | None:
    """Return what kind of source a file is, or, of a numbered picture, may belong to; None where it is none.

    Args:
        path: the file.
        library: whether single pictures and zip files are sources, and arrays are not.
    """
    suffix = suffix_of(path)
    if suffix in VIDEO_SUFFIXES or is_animated(path):
        return "video"
    if suffix in PICTURE_SUFFIXES:
        numbered = re.search(r"\d", path.stem) is not None
        return "pictures" if numbered else "picture" if library and path.name not in NOT_CLIPS else None
    if library:
        return "zip" if suffix == "zip" else None
    return "idx" if IDX.search(path.name) else "array" if suffix in ("npy", "npz") else None


@dataclass
class SourceScan:
    """The sources in files and folders, and what is not taken."""

    sources: list[Source] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    """How many files of other kinds there are, by ending."""
    examples: dict[str, str] = field(default_factory=dict)
    """The first of them, by ending."""

    def pass_over(self, name: str) -> None:
        """Count a file that is not taken."""
        ending = PurePosixPath(name).suffix.lower() or "(no ending)"
        self.ignored[ending] += 1
        self.examples.setdefault(ending, name)

    @property
    def passed_over(self) -> str:
        """The files that are not taken, in words: endings, how many, and the first of each."""
        return ", ".join(f"{n:,} {e} (such as {self.examples[e]})" for e, n in self.ignored.most_common())

    def open_file(self, path: Path, name: str) -> bool:
        """Whether a path can be opened: a file. Pipes, sockets and devices never are; they are noted, as are faults."""
        try:
            if not is_special(path):
                return True
            reason, detail = "not a file", "a pipe, a socket or a device, which is never opened"
        except OSError as error:  # a link to itself, or into a forbidden folder, or to nothing
            broken = path.is_symlink() and isinstance(error, FileNotFoundError)
            reason, detail = "unreadable", "a link to nothing" if broken else error.strerror or str(error)
        self.rejections.append(Rejection(name, reason, detail))
        return False

    def label_by(self, table: LabelFile, candidates: dict[str, Iterable[str]]) -> None:
        """Give the sources the labels of a table; report the rows that fit none."""
        rows, unused = table.match(candidates)
        for i, source in enumerate(self.sources):
            row = rows.get(source.name)
            if row is not None:
                self.sources[i] = replace(source, label=row.label, caption=row.caption or source.caption)
        if rows == {} and self.sources:
            raise ConfigError(
                f"no row of {table.path} fits any of the {len(self.sources)} files found",
                f'write paths such as "{self.sources[0].name.split("/", 1)[-1]}" in its column "file"',
            )
        self.rejections += [Rejection(name, "not found", f"named in {table.path.name} only") for name in unused]

    def walk(self, folder: Path, name: str, above: set[tuple[int, int]]) -> Iterator[tuple[Path, str]]:
        """Yield the files below a folder with their names, in natural order; note what cannot be read.

        Args:
            folder: the folder.
            name: of the folder, with which those of its files begin.
            above: device and inode of the folders that it lies in, and of any that is not to be entered: a folder
                inside itself is not entered.
        """
        try:
            status = folder.stat()
            entries = sorted(os.scandir(folder), key=lambda e: natural_key(e.name))
        except OSError as error:
            self.rejections.append(Rejection(name, "unreadable", error.strerror or str(error)))
            return
        here = above | {(status.st_dev, status.st_ino)}
        if len(here) == len(above):
            return  # a link back to a folder that we are in, or the folder to leave out
        if {"dataset.json", "clips.jsonl"} <= {entry.name for entry in entries}:
            self.rejections.append(Rejection(name, "not a video", "a dataset: give the videos that it was made from"))
            return
        folders = []
        for entry in (entry for entry in entries if not entry.name.startswith(".")):
            entry_name = f"{name}/{_utf8(entry.name)}"
            with contextlib.suppress(OSError):
                if entry.is_dir():
                    folders.append((Path(entry.path), entry_name))
                    continue
            if self.open_file(Path(entry.path), entry_name):
                yield Path(entry.path), entry_name
        for path, entry_name in folders:
            yield from self.walk(path, entry_name, here)

    def sort(self, files: Iterator[tuple[Path, str]], library: bool) -> Iterator[Source]:
        """Sort files, with their names, into sources; collect the pictures of a folder into sequences.

        Args:
            files: what there is.
            library: whether single pictures and zip files are sources, and arrays are not.
        """
        pictures: dict[tuple[Path, str, str], list[tuple[str, str]]] = {}
        for path, name in files:
            kind = kind_of(path, library)
            if kind == "pictures":
                prefix = re.sub(r"\d+(?=\D*$)", "#", path.stem)  # the last number counts the frames
                pictures.setdefault((path.parent, prefix, path.suffix.lower()), []).append((path.name, name))
            elif kind is not None:
                yield Source(kind, name, path)
            elif not IDX_LABELS.search(path.name):
                self.pass_over(name)
        in_folder = Counter(parent for (parent, _, _), group in pictures.items() if len(group) > 1)
        for (parent, prefix, suffix), group in pictures.items():
            if len(group) == 1 or (library and (parent / EXPORTED).is_file()):
                for file, name in group:
                    if library:
                        yield Source("picture", name, parent / file)
                    else:
                        self.pass_over(name)
                continue
            folder_name = group[0][1].rsplit("/", 1)[0] if "/" in group[0][1] else parent.name
            name = folder_name if in_folder[parent] == 1 else f"{folder_name}/{_utf8(prefix)}{suffix}"
            names = sorted((file for file, _ in group), key=natural_key)
            yield Source("pictures", name, parent, pictures=tuple(names))


class HasSize(Protocol):
    """A source, or what is known of one."""

    @property
    def width(self) -> int | None: ...
    @property
    def height(self) -> int | None: ...
    @property
    def duration(self) -> float | None: ...


def suited_size(infos: Iterable[HasSize], limit: int = LONGEST) -> Size:
    """Return the largest size that suits some sources: sides are multiples of `SIDE`, the longer is at most `limit`.

    Its shape is about the one that the middle of the sources' time has: `CUT_OFF` of their pictures may be cut off,
    and where no size has as little, that with the least is taken. Of the time of the sources that are shaped alike, at
    most `ENLARGED` has fewer pixels along a side.

    Args:
        infos: width and height as displayed, in pixels, and duration; where any of the first two is None, the source
            is passed over. One without a duration counts as one second.
        limit: the longest side allowed, in pixels; the shorter one is at most 768, or .6 of a limit above 1280.

    Raises:
        ConfigError: no source tells its size, or all are smaller than `SIDE` along a side.
    """
    times: defaultdict[tuple[int, int], float] = defaultdict(float)
    for info in infos:
        if info.width and info.height:
            times[info.width, info.height] += info.duration or 1.0
    passed, shape = 0.0, 1.0
    for width, height in sorted(times, key=lambda size: size[0] / size[1]):
        passed, shape = passed + times[width, height], width / height
        if passed >= sum(times.values()) / 2:
            break

    def loss(width: int, height: int) -> float:
        """Return the part of a picture of the shape that is cut off."""
        return 1 - min(width / height / shape, shape * height / width)

    alike = {size: time for size, time in times.items() if loss(*size) < ALIKE}
    short = max(SHORTER, limit * SHORTER // LONGEST)
    sides = range(SIDE, limit + 1, SIDE)
    sizes = [(width, height) for width in sides for height in sides if min(width, height) <= short]

    def order(size: tuple[int, int]) -> tuple[float, float]:
        """Return what is least for the best size: within `CUT_OFF`, the largest with the power of what it keeps."""
        return max(CUT_OFF, loss(*size)), -size[0] * size[1] * (1 - loss(*size)) ** EXACT

    for width, height in sorted(sizes, key=order):
        enlarged = sum(time for size, time in alike.items() if size[0] < width or size[1] < height)
        if alike and enlarged <= ENLARGED * sum(alike.values()):
            return Size(height, width)
    sizes_seen = ", ".join(f"{width}×{height}" for width, height in list(times)[:3])
    problem = f"no size suits sources of {sizes_seen} and sides of {limit}" if times else "no source tells its size"
    raise ConfigError(problem, "give width and height, such as --size 64x64")


def check_labels(labels: str) -> None:
    """Refuse labels that are neither `folder` nor `none` and no file.

    Raises:
        ConfigError: they are not.
    """
    if labels not in ("folder", "none") and not Path(labels).is_file():
        remedy = f"{nearest(str(labels), ['folder', 'none'])}; or give the path of a CSV or JSON table"
        raise ConfigError(f'labels is "{labels}", which is no file', remedy)


def scan(
    inputs: Sequence[Path | str],
    labels: str | Path = "folder",
    leave_out: Path | None = None,
    *,
    library: bool = False,
) -> SourceScan:
    """Find the sources in files and folders, recursively and in a fixed order.

    Hidden files are passed over, links are followed once, and files of other kinds are counted. Pipes, sockets and
    devices are never opened.

    Args:
        inputs: files and folders.
        labels: `folder` for the first folder below the given one, `none`, or the path of a CSV or JSON table.
        leave_out: a folder that is not looked into, or None.
        library: whether clips for a library are looked for: single pictures and zip files too, and no arrays.

    Raises:
        DatasetError: one of the inputs does not exist.
        ConfigError: the table cannot be used.
    """
    result = SourceScan()
    candidates: dict[str, Iterable[str]] = {}
    roots = [Path(os.path.abspath(path)) for path in inputs]
    for root, path in zip(roots, inputs, strict=True):
        if not os.path.lexists(root):
            raise DatasetError(f'"{path}" does not exist', "check the path of the videos")
    above = set()
    if leave_out is not None and leave_out.is_dir():
        status = leave_out.stat()
        above.add((status.st_dev, status.st_ino))
    seen: set[str] = set()
    names: Counter[str] = Counter()
    for root, root_name in zip(roots, root_names(roots), strict=True):
        given = [(root, root_name)] if not root.is_dir() and result.open_file(root, root_name) else []
        files = result.walk(root, root_name, above) if root.is_dir() else iter(given)
        for source in result.sort(files, library):
            real = os.path.realpath(source.files[0])
            if real in seen:
                continue
            seen.add(real)
            names[source.name] += 1
            if names[source.name] > 1:  # two unprintable names that look the same
                source = replace(source, name=f"{source.name} ({names[source.name]})")
            below = source.name[len(root_name) :].lstrip("/").split("/")
            label = below[0] if labels == "folder" and len(below) > 1 else None
            result.sources.append(replace(source, label=label, caption=source.caption_beside()))
            relative = "/".join(below) or source.name
            absolute = (str(source.path), os.path.realpath(source.path))
            candidates[source.name] = (*absolute, source.name, relative, source.path.name, source.path.stem)
    if labels not in ("folder", "none"):
        result.label_by(LabelFile(Path(labels)), candidates)
    return result


def root_names(roots: Sequence[Path]) -> list[str]:
    """Return a short name for each input, with as many parents as it takes to tell them apart."""
    deepest = max((len(root.parts) for root in roots), default=0)
    names: list[str] = []
    for depth in range(1, deepest + 2):
        names = ["/".join(root.parts[-depth:]).lstrip("/") or "root" for root in roots]
        if len(set(names)) == len(set(roots)):
            break
    return [_utf8(name) for name in names]


def _utf8(name: str) -> str:
    """Return a name that can be written as UTF-8, whatever bytes the file system holds."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
