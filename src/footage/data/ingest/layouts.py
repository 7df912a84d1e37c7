"""Data sets in the layouts of the field: what tells each of them, and what it says of labels, captions and sides.

A layout says this by a table that lies beside the clips, or by their paths. Nothing else is known of it.
"""

from __future__ import annotations

import contextlib
import json
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from footage.data.ingest.archives import ARCHIVES
from footage.data.ingest.labels import ALIASES, SIDES, LabelFile, read_table
from footage.data.store import Rejection, Split
from footage.errors import ConfigError, counted
from footage.machines.remote import present
from footage.media.kinds import suffix_of

UCF_CLIP = re.compile(r"(?:.*/)?([^/]+)/v_[^/]+_g(\d+)_c\d+\.avi", re.IGNORECASE)
"""A clip of UCF-101: class, and group of the video that it was cut from."""
SKY_CLIP = re.compile(r"(?:.*/)?sky_(train|test)/([^/]+)/[^/]+")
"""A clip of Sky Timelapse: side and video."""
FACES_CLIP = re.compile(
    r"(?:.*/)?(?:original_sequences/(?P<real>[^/]+)|manipulated_sequences/(?P<method>[^/]+))/[^/]+/(?:videos|images)/"
    r"(?P<target>\d+)(?:_(?P<source>\d+))?(?:\.\w+)?"
)
"""A clip of FaceForensics++: how it was made, whose video it is, and whose face is in it."""
BAIR_CLIP = re.compile(r"(?:.*/)?(train|val|test)/traj_\d+_to_\d+(?:\.tfrecords?)?/\d+")
"""A clip of BAIR's robots: side."""
FIRST = 100_000
"""Bytes of a first line, at most."""
KINETICS = frozenset({"label", "youtube_id", "time_start", "time_end"})
"""Columns of the tables of Kinetics."""


@dataclass(frozen=True)
class Place:
    """What the path of a clip says of it."""

    label: str | None = None
    split: Split | None = None
    group: str = ""
    """Clips of one group are on one side of a split."""


@dataclass(frozen=True)
class Layout:
    """A layout that was found, and what it says of the clips."""

    said: str
    """What was found, in a line."""
    place: Callable[[str], Place] | None = None
    """What a source's name says; None where its first folder is its label, as usual."""
    table: LabelFile | None = None
    files: frozenset[str] = frozenset()
    """Names of the files that it was read from."""
    rejections: tuple[Rejection, ...] = ()
    """What it names that is not there."""


def find_layout(sources: Sequence[str], files: Mapping[str, Path]) -> Layout | None:
    """Return the layout of what was found in a folder; None where it is none of those that are known.

    Args:
        sources: names of the sources, the folder's name in front.
        files: the files that are no sources, by such names.

    Raises:
        ConfigError: a table of it cannot be used.
    """
    finders = (kinetics, ucf101, video_folder, face_forensics, sky_timelapse, bair, sided_folders)
    return next((layout for find in finders if sources and (layout := find(sources, files))), None)


def kinetics(sources: Sequence[str], files: Mapping[str, Path]) -> Layout | None:
    """Kinetics: `label,youtube_id,time_start,time_end,split` in CSV files, beside `ID_START_END.mp4`."""
    tables = {}
    for name, path in files.items():
        if name.lower().endswith(".csv") and set(first_line(path).casefold().replace('"', "").split(",")) >= KINETICS:
            tables[name] = read_table(path)
    rows: dict[str, dict[str, Any]] = {}
    for name, lines in tables.items():
        for number, row in enumerate(lines, start=1):
            try:
                times = [int(float(row[key])) for key in ("time_start", "time_end")]
            except (TypeError, ValueError, OverflowError):
                raise ConfigError(
                    f'row {number} of "{files[name]}" has no times in seconds: {row!r:.100}', "fetch the table again"
                ) from None
            side = row.get("split") or re.split(r"[^a-z]+", Path(name).stem.casefold())[-1]
            file = f"{row['youtube_id']}_{times[0]:06d}_{times[1]:06d}"
            rows.setdefault(file, {"file": file, "label": row["label"], "split": side})
    if not tables:
        return None
    table = LabelFile(files[min(tables)], list(rows.values()))
    return Layout(f"Kinetics: labels and split by {listed(tables)}", table=table, files=frozenset(tables))


def ucf101(sources: Sequence[str], files: Mapping[str, Path]) -> Layout | None:
    """UCF-101: a folder for each class, groups of clips of one video, and lists of both sides (Soomro et al. 2012).

    What no list names stays on the side of its group.
    """
    if not all(map(UCF_CLIP.fullmatch, sources)):
        return None
    lists = {name: match for name in files if (match := re.search(r"/(train|test)list(\d+)\.txt$", name))}
    number = min((match[2] for match in lists.values()), default="")
    taken = {name: match[1] for name, match in lists.items() if match[2] == number}
    known = {"/".join(name.split("/")[-2:]): name for name in sources}
    rows = []
    for name, side in taken.items():
        clips = [line.split()[0] for line in read_lines(files[name]) if line.strip()]
        rows += [
            {"file": known.get(clip, clip), "label": clip.rpartition("/")[0] or None, "split": side} for clip in clips
        ]
    table = LabelFile(files[min(taken)], rows) if rows else None
    by = f"split by {listed(taken)}" if rows else "clips of a group on one side"

    def place(name: str) -> Place:
        match = UCF_CLIP.fullmatch(name)
        assert match
        return Place(match[1], group=f"{match[1]}/{match[2]}")

    index = {name for name in files if name.endswith("/classInd.txt")}
    named = {words[1] for name in index for line in read_lines(files[name]) if len(words := line.split()) > 1}
    missing = sorted(named - {place(name).label for name in sources})
    folderless = counted(len(missing), "of its classes has no folder", "of its classes have no folder")
    detail = f"{folderless}, such as {''.join(missing[:1])}: unpack them, or do without"
    faults = (Rejection("classInd.txt", "not found", detail),) if missing else ()
    return Layout(f"UCF-101: labels by folder, {by}", place, table, frozenset(lists) | index, faults)


def video_folder(sources: Sequence[str], files: Mapping[str, Path]) -> Layout | None:
    """A folder of videos as Hugging Face's `datasets` has it: `metadata.jsonl` or `.csv` with `file_name` and more.

    Any one table of lines of JSON will do that names files and says something of them.
    """
    tables = {name for name in files if re.search(r"/metadata\.(jsonl|csv)$", name)}
    lines = [name for name in files if name.endswith(".jsonl")]
    columns, rows = set[str](), list[Any]()
    if not tables and (len(lines) != 1 or not re.search(r'"file(_name)?"\s*:', first_line(files[lines[0]]))):
        return None  # some other table
    for name in sorted(tables or lines):
        try:
            table = read_table(files[name])
        except ConfigError:
            if name in tables:
                raise
            return None
        folder = name.rpartition("/")[0]
        for row in table:
            known = {**row, "file": row.get("file", row.get("file_name"))} if isinstance(row, dict) else {}
            columns |= {key for key, value in known.items() if value is not None}
            place = posixpath.normpath(posixpath.join(folder, str(known.get("file") or "")))
            rows.append(known | {"file": place} if known.get("file") else row)
    named = {posixpath.basename(str(row.get("file"))) for row in rows if isinstance(row, dict)}
    if not tables and named.isdisjoint(posixpath.basename(name) for name in sources):
        return None  # of other files
    tables = tables or set(lines)
    said = {"captions": {"caption", *ALIASES["caption"]}, "labels": {"label"}, "split": {"split"}}
    told = [what for what, names in said.items() if names & columns]
    if not told:
        return None
    sides = sided_folders(sources, files)
    return Layout(
        f"VideoFolder: {', '.join(told)} by {listed(tables)}" + (f"; {sides.said}" if sides else ""),
        sides.place if sides else None,
        LabelFile(files[min(tables)], rows),
        frozenset(tables),
    )


def face_forensics(sources: Sequence[str], files: Mapping[str, Path]) -> Layout | None:
    """FaceForensics++: originals and manipulated videos, and pairs of people on each side (Rössler et al. 2019)."""
    matches = {name: match for name in sources if (match := FACES_CLIP.fullmatch(name))}
    if not matches or len(matches) < len(sources):
        return None
    shown: dict[str, set[str]] = {}  # those who are in videos together, for each of them
    for match in matches.values():
        pair = {match["target"], match["source"] or match["target"]}
        together = pair.union(*(shown.get(person, ()) for person in pair))
        if together != shown.get(match["target"]):
            shown |= dict.fromkeys(together, together)
    sides: dict[str, Split] = {}
    lists = {name for name in files if re.search(r"/(train|val|test)\.json$", name)}
    for name in lists:
        try:
            with present([files[name]]):
                people = [str(one) for pair in json.loads(files[name].read_bytes()) for one in pair]
        except (ValueError, TypeError, RecursionError):
            raise ConfigError(f'"{files[name]}" holds no pairs of people', "fetch the list again") from None
        sides |= dict.fromkeys(people, SIDES[Path(name).stem])
    by = f"split by {listed(lists)}" if lists else "pairs of people on one side"

    def place(name: str) -> Place:
        match = matches[name]
        return Place(match["method"] or match["real"], sides.get(match["target"]), min(shown[match["target"]]))

    return Layout(f"FaceForensics++: labels by method, {by}", place, files=frozenset(lists))


def sky_timelapse(sources: Sequence[str], files: Mapping[str, Path]) -> Layout | None:
    """Sky Timelapse: folders of frames in those of their videos, in `sky_train` and `sky_test` (Xiong et al. 2018)."""
    if not all(map(SKY_CLIP.fullmatch, sources)):
        return None

    def place(name: str) -> Place:
        match = SKY_CLIP.fullmatch(name)
        assert match
        return Place(split=SIDES[match[1]], group=match[2])

    return Layout("Sky Timelapse: split by sky_train and sky_test", place)


def bair(sources: Sequence[str], files: Mapping[str, Path]) -> Layout | None:
    """BAIR's robots: TFRecord files, or folders of frames, in `train` and `test` (Ebert et al. 2017)."""
    if not all(map(BAIR_CLIP.fullmatch, sources)):
        return None

    def place(name: str) -> Place:
        match = BAIR_CLIP.fullmatch(name)
        assert match
        return Place(split=SIDES[match[1]])

    return Layout("BAIR: split by train and test", place)


def sided_folders(sources: Sequence[str], files: Mapping[str, Path]) -> Layout | None:
    """Folders of both sides, such as `train` and `test`; those below them are labels."""
    parts, depth = [folders_of(name) for name in sources], 0
    while all(len(part) > depth + 1 for part in parts) and len({part[depth] for part in parts}) == 1:
        depth += 1
    names = {part[depth].casefold() if len(part) > depth else "" for part in parts}
    if {SIDES.get(name) for name in names} != {"train", "heldout"}:
        return None

    def place(name: str) -> Place:
        part = folders_of(name)
        return Place(part[depth + 1] if len(part) > depth + 1 else None, SIDES[part[depth].casefold()])

    return Layout(f"folders {listed(names)}: split by these, labels by the folders below", place)


def folders_of(name: str, root: str | None = None) -> list[str]:
    """Return the folders that a source lies in, below the one that was given (else the first), without archives."""
    below = name.partition("/")[2] if root is None else name[len(root) :].lstrip("/")
    return [part for part in below.split("/")[:-1] if suffix_of(part) not in ARCHIVES]


def first_line(path: Path) -> str:
    """Return the first line of a file; nothing of one that cannot be read."""
    with contextlib.suppress(OSError), present([path]), open(path, "rb") as handle:
        return handle.readline(FIRST).decode("utf-8-sig", "replace").strip()
    return ""


def read_lines(path: Path) -> list[str]:
    """Return the lines of a list; none of one that cannot be read."""
    with contextlib.suppress(OSError), present([path]):
        return path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    return []


def listed(names: Sequence[str] | set[str] | Mapping[str, Any]) -> str:
    """Return the last parts of some names, in words."""
    short = sorted({name.rpartition("/")[2] for name in names})
    return ", ".join(short[:4]) + (f" and {len(short) - 4} more" if len(short) > 4 else "")
