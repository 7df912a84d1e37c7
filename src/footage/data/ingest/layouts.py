"""Data sets in the layouts of the field: what tells each of them, and what it says of labels, captions and sides.

A layout says this by a table that lies beside the clips, or by their paths. Nothing else is known of it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from footage.data.ingest.archives import ARCHIVES
from footage.data.ingest.labels import ALIASES, SIDES, LabelFile, read_table, side_of
from footage.data.store import Rejection, Split
from footage.errors import ConfigError, counted
from footage.machines.remote import present
from footage.media.kinds import suffix_of

UCF_CLIP = re.compile(r"(?:.*/)?([^/]+)/v_[^/]+_g(\d+)_c\d+\.avi", re.IGNORECASE)
"""A clip of UCF-101: class, and group of the video that it was cut from."""
SKY_CLIP = re.compile(r"(?:.*/)?sky_(train|test)/([^/]+)(?:/.+)?")
"""A clip of Sky Timelapse: side and video."""
FACES_CLIP = re.compile(
    r"(?:.*/)?(?:original_sequences/(?P<real>[^/]+)|manipulated_sequences/(?P<method>[^/]+))/(?P<quality>[^/]+)/"
    r"(?:videos|images)/(?P<target>\d+)(?:_(?P<source>\d+))?(?:__\w+)?(?:\.\w+)?"
)
"""A clip of FaceForensics++: how it was made, whose video it is, and whose face is in it."""
BAIR_CLIP = re.compile(r"(?:.*/)?(train|val|test)/traj_\d+_to_\d+(?:\.tfrecords?)?/\d+")
"""A clip of BAIR's robots: side."""
WORD = f"(?:{'|'.join(sorted(map(re.escape, SIDES), key=len, reverse=True))})"
SHARD = re.compile(rf"(?:.*[^a-z](?={WORD}[-_. ]0\d{{4}}))?({WORD})(?:[-_. ]?\d+(?:-(?:of-)?\d+)*)?")
"""An archive that is named as a side: the word alone, or before a number; behind other words before `00000` alone."""
SIDE_WORD = re.compile(rf"(?<![a-z]){WORD}(?![a-z])")
FIRST = 100_000
"""Bytes of a first line, at most."""
KINETICS = frozenset({"youtube_id", "time_start", "time_end"})
"""Columns that each table of Kinetics has."""


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
    places: dict[str, Place] = field(default_factory=dict)
    """What the names of its sources say; the folders of the others say what they do as usual."""
    table: LabelFile | None = None
    files: frozenset[str] = frozenset()
    """Names of the files that it was read from."""
    rejections: tuple[Rejection, ...] = ()
    """What it names that is not there."""
    no_clips: frozenset[str] = frozenset()
    """Sources that are no clips of it, such as masks."""


def find_layouts(sources: Sequence[str], files: Mapping[str, Path]) -> list[Layout]:
    """Return the layouts of what was found in a folder, which may hold several data sets; none where none is known.

    Args:
        sources: names of the sources, the folder's name in front.
        files: the files that are no sources, by such names.

    Raises:
        ConfigError: a table of it cannot be used.
    """
    tables = (layout for find in (kinetics, video_folder) if sources and (layout := find(sources, files)))
    by_path = (ucf101, face_forensics, sky_timelapse, bair)
    found = [layout for find in by_path if (layout := find(sources, files))]
    for number, layout in enumerate(found):
        if others := len(sources) - len(layout.places) - len(layout.no_clips):
            of = f"of {len(sources):,} clips"
            said = f"{layout.said}; {counted(others, f'{of} is not of it', f'{of} are not of it')}"
            found[number] = replace(layout, said=said)
    return [*itertools.islice(tables, 1), *found]


def kinetics(sources: Sequence[str], files: Mapping[str, Path]) -> Layout | None:
    """Kinetics: `label,youtube_id,time_start,time_end,split` in CSV files, beside `ID_START_END.mp4`.

    A table of test clips may have no labels.
    """
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
            side = side_of(row.get("split") or "") or side_of(Path(name).stem)
            file = f"{row['youtube_id']}_{times[0]:06d}_{times[1]:06d}"
            known = rows.setdefault(file, {"file": file, "label": None, "split": side})
            known["label"] = known["label"] or row.get("label")
            known["split"] = "heldout" if "heldout" in (side, known["split"]) else known["split"]
    labelled = any(row["label"] for row in rows.values())
    if not labelled and rows.keys().isdisjoint(Path(name).stem for name in sources):
        return None  # of other files
    said = "labels and split" if labelled else "split"
    table = LabelFile(files[min(tables)], list(rows.values()))
    return Layout(f"Kinetics: {said} by {listed(tables)}", table=table, files=frozenset(tables))


def ucf101(sources: Sequence[str], files: Mapping[str, Path]) -> Layout | None:
    """UCF-101: a folder for each class, groups of clips of one video, and lists of both sides (Soomro et al. 2012).

    What no list names stays on the side of its group.
    """
    matches = {name: match for name in sources if (match := UCF_CLIP.fullmatch(name))}
    if not matches:
        return None
    lists = {name: match for name in files if (match := re.search(r"/(train|test)list(\d+)\.txt$", name))}
    number = min((match[2] for match in lists.values()), default="")
    taken = {name: match[1] for name, match in lists.items() if match[2] == number}
    known = {"/".join(name.split("/")[-2:]): name for name in matches}
    rows = []
    for name, side in taken.items():
        clips = [line.split()[0] for line in read_lines(files[name]) if line.strip()]
        rows += [
            {"file": known.get(clip, clip), "label": clip.rpartition("/")[0] or None, "split": side} for clip in clips
        ]
    table = LabelFile(files[min(taken)], rows) if rows else None
    by = f"split by {listed(taken)}" if rows else "clips of a group on one side"

    places = {name: Place(match[1], group=f"{match[1]}/{match[2]}") for name, match in matches.items()}
    index = {name for name in files if name.endswith("/classInd.txt")}
    named = {words[1] for name in index for line in read_lines(files[name]) if len(words := line.split()) > 1}
    missing = sorted(named - {match[1] for match in matches.values()})
    folderless = counted(len(missing), "of its classes has no folder", "of its classes have no folder")
    detail = f"{folderless}, such as {''.join(missing[:1])}: unpack them, or do without"
    faults = (Rejection("classInd.txt", "not found", detail),) if missing else ()
    return Layout(f"UCF-101: labels by folder, {by}", places, table, frozenset(lists) | index, faults)


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
    by = LabelFile(files[min(tables)], rows)
    return Layout(f"VideoFolder: {', '.join(told)} by {listed(tables)}", table=by, files=frozenset(tables))


def face_forensics(sources: Sequence[str], files: Mapping[str, Path]) -> Layout | None:
    """FaceForensics++: originals and manipulated videos, and pairs of people on each side (Rössler et al. 2019)."""
    matches = {name: match for name in sources if (match := FACES_CLIP.fullmatch(name))}
    masks = frozenset(name for name, match in matches.items() if match["quality"] == "masks")
    matches = {name: match for name, match in matches.items() if name not in masks}
    if not matches:
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

    places = {}
    for name, match in matches.items():
        said = {sides.get(match["target"]), sides.get(match["source"] or "")}
        side: Split | None = "heldout" if "heldout" in said else sides.get(match["target"])
        places[name] = Place(match["method"] or match["real"], side, min(shown[match["target"]]))
    line = f"FaceForensics++: labels by method, {by}" + (f"; {counted(len(masks), 'mask')} left out" if masks else "")
    return Layout(line, places, files=frozenset(lists), no_clips=masks)


def sky_timelapse(sources: Sequence[str], files: Mapping[str, Path]) -> Layout | None:
    """Sky Timelapse: folders of frames in those of their videos, in `sky_train` and `sky_test` (Xiong et al. 2018)."""
    matches = {name: match for name in sources if (match := SKY_CLIP.fullmatch(name))}
    places = {name: Place(split=SIDES[match[1]], group=match[2]) for name, match in matches.items()}
    return Layout("Sky Timelapse: split by sky_train and sky_test", places) if places else None


def bair(sources: Sequence[str], files: Mapping[str, Path]) -> Layout | None:
    """BAIR's robots: TFRecord files, or folders of frames, in `train` and `test` (Ebert et al. 2017)."""
    matches = {name: match for name in sources if (match := BAIR_CLIP.fullmatch(name))}
    places = {name: Place(split=SIDES[match[1]]) for name, match in matches.items()}
    return Layout("BAIR: split by train and test", places) if places else None


def folder_layout(sources: Sequence[str], root: str, tabled: bool) -> Layout:
    """Return what the folders and archives of sources say of them: sides and labels.

    A folder named as a side, such as `test` or `val2017`, or an archive, such as `val-000000.tar`, is the side of all
    that lies in it, and no label; the folder below is the label, else one above that tells clips apart. Folders beside
    `train` are no labels either. Where nothing is held out, and `train` stands beside folders that are no sides, it is
    a label: trains, beside ships.

    Args:
        sources: names of the sources, the folder's name in front.
        root: name of the folder.
        tabled: whether a table says more of the clips, so that `train` is no label.

    Returns:
        a place for each source; `said` is empty where no folder is a side.
    """
    paths = {name: name[len(root) :].lstrip("/").split("/") for name in sources}
    places = {name: Place(next(iter(folders_of(name, root)), None)) for name in sources}
    sides: dict[str, int] = {}  # where the side stands: the last that is held out, else the first
    named = part_sides({part for path in paths.values() for part in path[:-1]})
    for name, path in paths.items():
        said = [*map(named.get, path[:-1]), SIDES.get(path[-1].casefold())]
        if any(said):
            sides[name] = len(said) - 1 - said[::-1].index("heldout") if "heldout" in said else said.index("train")
    levels = zip(*(paths[name][:at] for name, at in sides.items()), strict=False)
    common = [level[0] for level in itertools.takewhile(lambda level: len(set(level)) == 1, levels)]
    depth = len(common)
    beside = {name for name in sources if name not in sides and paths[name][:depth] == common}
    side_at = {name: named.get(part := paths[name][at]) or SIDES[part.casefold()] for name, at in sides.items()}
    beside_train = [at == depth and side_at[name] == "train" for name, at in sides.items()]
    lone, trained = all(beside_train), any(beside_train)
    if not sides or (lone and not tabled and any(len(paths[name]) > depth + 1 for name in beside)):
        return Layout("", places)
    for name in [*sides, *beside]:
        path = [part for part in paths[name][:-1] if suffix_of(part) not in ARCHIVES]
        at = sides.get(name, depth)
        below, above = folders_of("/".join(paths[name][at:])), path[depth:at]
        if name in sides:
            free = [*below, *(part for part in above if not named.get(part))]
        else:
            free = below if trained else path[depth:]
        places[name] = Place(next(iter(free), None), side_at.get(name))
    words = {paths[name][at].casefold() for name, at in sides.items()}
    kind = "archives" if all(suffix_of(word) in ARCHIVES for word in words) else "folders"
    others, of = len(sources) - len(sides), f"of {len(sources):,} clips"
    line = f"{kind} {listed(words)}: split by these, labels by the folders below"
    return Layout(line + (f"; {counted(others, f'{of} is in none', f'{of} are in none')}" if others else ""), places)


def part_sides(parts: Iterable[str]) -> dict[str, Split]:
    """Return the side of each of some folders and archives that is named as one.

    A folder is so by the word alone, and a year directly behind it; an archive by the word, and a number behind it. A
    word elsewhere in an archive's name counts where two of them differ in it alone, such as `a-train-1` and `a-test-2`.
    """
    sides: dict[str, Split] = {}
    forms: dict[str, dict[Split, list[str]]] = {}
    for part in parts:
        name = part.casefold()
        stem = name.rpartition(".")[0]
        if suffix_of(part) not in ARCHIVES:
            if side := SIDES.get(re.sub(r"(?:19|20)\d\d$", "", name)):
                sides[part] = side
            continue
        if shard := SHARD.fullmatch(stem):
            sides[part] = SIDES[shard[1]]
        for word in SIDE_WORD.finditer(stem):
            form = re.sub(r"\d+", "0", f"{stem[: word.start()]}*{stem[word.end() :]}")
            forms.setdefault(form, {}).setdefault(SIDES[word[0]], []).append(part)
    apart = [of_side for of_side in forms.values() if len(of_side) == 2]
    order: tuple[Split, Split] = ("train", "heldout")  # what says both is held out
    sides |= {part: side for side in order for of_side in apart for part in of_side[side]}
    return sides


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
