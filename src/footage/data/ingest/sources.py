"""What there is to ingest: videos, folders of numbered pictures, IDX files and arrays, with their labels.

Labels come from folders, or from a table that the user wrote, CSV or JSON; captions from that, several rows or lines
for several, or from `.txt` files, one a line; a line that begins with a space goes on with the one before it. Clips
may lie in archives (`archives`), and what the layouts of known data sets say is heeded (`layouts`).
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

from footage import files
from footage.data.ingest.archives import ARCHIVES, Member, clips_in, find_members, member_digests, unpacked
from footage.data.ingest.labels import LabelFile, caption_lines, side_of
from footage.data.ingest.layouts import Layout, find_layouts, folder_layout, folders_of, part_sides
from footage.data.store import Rejection, Split
from footage.data.synthetic import labels_beside
from footage.errors import ConfigError, DatasetError, MediaError, counted, meant, nearest
from footage.files import locked
from footage.machines.remote import present
from footage.media.geometry import Size
from footage.media.kinds import (
    HEAD,
    MAY_MOVE,
    PICTURE_SUFFIXES,
    VIDEO_SUFFIXES,
    VOLUME_SUFFIXES,
    is_animated,
    is_special,
    natural_key,
    suffix_of,
)
from footage.media.probe import UnusableMedia
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
    members: tuple[Member, ...] = ()
    """Where it lies in an archive, which `path` is then: the video, its pictures, or a record."""
    split: Split | None = None
    """Its side, where its data set has one for it."""
    asked: bool = False
    """Whether the user's table asks for this side, so that it goes before the one that the source had."""
    group: str = ""
    """Sources of one group are on one side; nothing where it is alone."""

    @contextlib.contextmanager
    def unpacked(self) -> Iterator[Source]:
        """Give this source as one in no archive, while the block runs.

        Raises:
            UnusableMedia: it is damaged.
        """
        if not self.members:
            yield self
            return
        with unpacked(self.path, self.members) as paths:
            pictures = tuple(path.name for path in paths) if self.kind == "pictures" else ()
            yield replace(self, path=paths[0].parent if pictures else paths[0], pictures=pictures, members=())

    @property
    def picture_paths(self) -> list[Path]:
        return [self.path / name for name in self.pictures]

    @property
    def files(self) -> list[Path]:
        """The files that hold its content; beside IDX images, those of their labels."""
        beside = labels_beside(self.path) if self.kind == "idx" else None
        return self.picture_paths or [self.path, *([beside] if beside else [])]

    def digests(self) -> list[str]:
        """Return the SHA-256 of each of its files, or of its members, unpacked."""
        if self.members:
            return member_digests(self.path, self.members)
        return [files.file_digest(path) for path in self.files]

    def displayed(self) -> ShownSize | None:
        """Return the size of numbered pictures, and how long they are shown at `PICTURES_FPS`; None for other kinds."""
        if self.kind != "pictures":
            return None
        first = replace(self, members=self.members[:1], pictures=self.pictures[:1])
        try:
            with present(first.files), first.unpacked() as whole:
                height, width = Footage(whole.picture_paths[0]).size()
        except MediaError:
            return None
        return ShownSize(width, height, len(self.pictures or self.members) / PICTURES_FPS)

    def caption_beside(self) -> str | None:
        """Return what stands in a .txt file beside it, a caption a line; None where there is none that can be read.

        In an archive that is known already.
        """
        if self.members:
            return self.caption
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
    if library and suffix in VOLUME_SUFFIXES:
        return "video"
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
    layouts: list[str] = field(default_factory=list)
    """The layouts of known data sets that were found, a line each."""

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

    def label_by(self, table: LabelFile, candidates: Mapping[str, Iterable[str]], found: bool = False) -> None:
        """Give the sources what a table says of them; report the rows that fit none.

        Of a table that was `found`, and not asked for, only what it does say is taken, and one line has those rows; it
        takes nothing away from what is held out.
        """
        rows, unused = table.match(candidates)
        for i, source in enumerate(self.sources):
            row = rows.get(source.name)
            if row is not None:
                label = row.label or (source.label if found else None)
                split = "heldout" if found and source.split == "heldout" else row.split or source.split
                asked, caption = not found and row.split is not None, row.caption or source.caption
                self.sources[i] = replace(source, label=label, caption=caption, split=split, asked=asked)
        if rows == {} and candidates:
            raise ConfigError(
                f"no row of {table.path} fits what was found, {counted(len(candidates), 'file')}",
                f'write paths such as "{next(iter(candidates)).split("/", 1)[-1]}" in its column "file"',
            )
        if found and unused:
            absent = "of the files that it names is not here", "of the files that it names are not here"
            detail = f"{counted(len(unused), *absent)}, such as {unused[0]}: fetch them, or not"
            self.rejections.append(Rejection(table.path.name, "not found", detail))
            return
        self.rejections += [Rejection(name, "not found", f"named in {table.path.name} only") for name in unused]

    def take_layouts(
        self,
        first: int,
        root: str,
        files: Mapping[str, Path],
        candidates: Mapping[str, Iterable[str]],
        side: Split | None,
        table: str | Path | None,
    ) -> None:
        """Give the sources of a folder labels and sides by their folders, and what the layout of its data set says.

        What any of these holds out is held out.

        Args:
            first: number of the folder's first source.
            root: name of the folder.
            files: the files of the folder that are no sources, by name.
            candidates: the names that a table may use for each source; none where sides are not looked for.
            side: that of the folder itself, among several.
            table: the user's own, which is no part of a layout, and stands in for one that cannot be used.
        """
        sources, layouts = self.sources[first:], list[Layout]()
        if not candidates:
            labels = [source.label or next(iter(folders_of(source.name, root)), None) for source in sources]
            self.sources[first:] = [replace(s, label=label) for s, label in zip(sources, labels, strict=True)]
            for name in files:
                self.pass_over(name)
            return
        names = [source.name for source in sources]
        own = os.path.realpath(table) if table else None
        others = {name: path for name, path in files.items() if os.path.realpath(path) != own}
        try:
            layouts = find_layouts(names, others)
        except ConfigError as error:
            if not table:
                raise
            self.rejections.append(Rejection(root, "unreadable", error.problem))
        folders = folder_layout(names, root, any(layout.table for layout in layouts))
        by_path = {name: place for layout in layouts for name, place in layout.places.items()}
        places = folders.places | by_path
        no_clips = {name for layout in layouts for name in layout.no_clips}
        for name in [*files, *no_clips]:
            if not any(name in layout.files for layout in layouts):
                self.pass_over(name)
        for number, source in enumerate(sources):
            said = places[source.name]
            splits = {source.split, said.split, folders.places[source.name].split, side}
            split: Split | None = "heldout" if "heldout" in splits else "train" if "train" in splits else None
            sources[number] = replace(source, label=source.label or said.label, split=split, group=said.group)
        self.sources[first:] = sources = [source for source in sources if source.name not in no_clips]
        if any(folders.places[source.name].split for source in sources if source.name not in by_path):
            layouts.append(folders)
        if side is not None:
            layouts.append(Layout(f'"{root}" is {"held out" if side == "heldout" else "trained on"} by its name'))
        for layout in layouts:
            if layout.table is not None:
                with contextlib.suppress(ConfigError) if table else contextlib.nullcontext():
                    self.label_by(layout.table, {s.name: candidates[s.name] for s in sources}, found=True)
            self.rejections += layout.rejections
            self.layouts.append(layout.said)

    def settle_sides(self, roots: Sequence[Path]) -> None:
        """Leave sides to chance where all are trained on, or where the user gave one folder that is held out."""
        sides = {source.split for source in self.sources}
        alone = sides == {"heldout"} and len(roots) == 1
        end = ""
        if sides - {None} == {"train"} or (alone and side_of(roots[0].name) == "heldout"):
            self.sources = [replace(source, split=None) for source in self.sources]
            end = "; of one side, so that some are held out as usual"
        elif sides == {"heldout"}:
            end = "; all of it is held out: to train on it, give the folder itself, or rename it"
        if end and self.layouts:
            self.layouts[-1] += end

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
            # What is made of the others may be plain.
            if (path / locked.HEADER).is_file() and locked.folder_of(path) == path:
                self.rejections.append(Rejection(entry_name, "locked", "it lies among the others: name it by itself"))
                continue
            yield from self.walk(path, entry_name, here)

    def sort(self, files: Iterable[tuple[Path, str]], library: bool, others: dict[str, Path]) -> Iterator[Source]:
        """Sort files, with their names, into sources; collect the pictures of a folder into sequences.

        Args:
            files: what there is.
            library: whether single pictures and zip files are sources, and arrays are not.
            others: is given the files that are none, by name.
        """
        pictures: dict[tuple[Path, str, str], list[tuple[str, str]]] = {}
        for path, name in files:
            kind = kind_of(path, library)
            if kind == "pictures":
                prefix = re.sub(r"\d+(?=\D*$)", "#", path.stem)  # the last number counts the frames
                pictures.setdefault((path.parent, prefix, path.suffix.lower()), []).append((path.name, name))
            elif kind is not None:
                yield Source(kind, name, path)
            elif not library and suffix_of(path) in ARCHIVES:
                yield from self.open_archive(path, name)
            elif not IDX_LABELS.search(path.name):
                others[name] = path
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

    def open_archive(self, path: Path, name: str) -> Iterator[Source]:
        """Yield the clips inside an archive; note where it is damaged, and pass over one that holds none."""
        members, faults = list[Member](), len(self.rejections)
        try:
            with present([path]):
                try:
                    for member in find_members(path):
                        members.append(member)
                except UnusableMedia as error:  # what lies before the fault is sound
                    self.rejections.append(Rejection(name, error.reason, error.detail))
                clips, unused = clips_in(path, members)
        except OSError as error:
            self.rejections.append(Rejection(name, "unreadable", error.strerror or str(error)))
            return
        for clip in clips:
            inside = f"{name}/{_utf8(clip.name)}"
            yield Source(clip.kind, inside, path, clip.label, clip.caption, members=clip.members, split=clip.split)
        for member in unused if clips else ():
            self.pass_over(f"{name}/{_utf8(member.name)}")
        if not clips and len(self.rejections) == faults:
            self.pass_over(name)

    def tell_archives(self) -> None:
        """Say how many clips lie in archives, in a line for each kind of these."""
        for ending, what in ARCHIVES.items():
            inside = [s for s in self.sources if s.members and suffix_of(s.path) == ending]
            if inside:
                said = [(sum(s.caption is not None for s in inside), "captions")]
                said += [(sum(s.label is not None for s in inside), "labels")]
                told = "".join(f", {count:,} with {name}" for count, name in said if count)
                count = len({s.path for s in inside})
                self.layouts.append(
                    f"{what}: {counted(len(inside), 'clip')} in {counted(count, f'.{ending} file')}{told}"
                )


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
    result, tabled = SourceScan(), labels not in ("folder", "none")
    candidates: dict[str, Iterable[str]] = {}
    roots = [Path(os.path.abspath(path)) for path in inputs]
    for root, path in zip(roots, inputs, strict=True):
        if not os.path.lexists(root):
            raise DatasetError(f'"{path}" does not exist', meant(path, "check the path of the videos"))
    above = set()
    if leave_out is not None and leave_out.is_dir():
        status = leave_out.stat()
        above.add((status.st_dev, status.st_ino))
    seen, names = set[tuple[str | Member, ...]](), Counter[str]()
    named = part_sides({root.name for root in roots} if len(roots) > 1 else ())
    for root, root_name in zip(roots, root_names(roots), strict=True):
        given = [(root, root_name)] if not root.is_dir() and result.open_file(root, root_name) else []
        files = result.walk(root, root_name, above) if root.is_dir() else iter(given)
        first, others = len(result.sources), dict[str, Path]()
        for source in result.sort(files, library, others):
            real = os.path.realpath(source.files[0])
            if (real, *source.members[:1]) in seen:
                continue
            seen.add((real, *source.members[:1]))
            names[source.name] += 1
            if names[source.name] > 1:  # two unprintable names that look the same
                source = replace(source, name=f"{source.name} ({names[source.name]})")
            result.sources.append(replace(source, caption=source.caption_beside()))
            relative = source.name[len(root_name) :].lstrip("/") or source.name
            absolute = (str(source.path), real) if not source.members else (source.name, source.name)
            last = PurePosixPath(source.name if source.members else os.fspath(source.path))
            candidates[source.name] = (*absolute, source.name, relative, last.name, last.stem)
        side = named.get(root.name)
        result.take_layouts(first, root_name, others, {} if library else candidates, side, labels if tabled else None)
    result.settle_sides(roots)
    result.tell_archives()
    if labels != "folder":
        result.sources = [replace(source, label=None) for source in result.sources]
    if tabled:
        result.label_by(LabelFile(Path(labels)), {source.name: candidates[source.name] for source in result.sources})
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
