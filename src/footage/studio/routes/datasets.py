"""Interface to what becomes a data set, and to data sets: folders of this computer, sent files, pictures, audits."""

from __future__ import annotations

import asyncio
import functools
import io
import os
import typing
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import FileResponse, Response

from footage.config.strict import field_texts
from footage.data.audit import Audit, read_recommendation
from footage.data.ingest.sources import LONGEST, ShownSize, Source, suited_size
from footage.data.store import ClipRow, Dataset
from footage.errors import ConfigError, DatasetError
from footage.library.entries import plain
from footage.media.kinds import CLIP_SUFFIXES, VIDEO_SUFFIXES, natural_key, suffix_of
from footage.studio.catalog import fault
from footage.studio.routes.clips import LASTING, UPLOAD_BODY, clip_response
from footage.studio.schemas import FolderName, SendForm, SourcePath
from footage.studio.state import CurrentStudio, CurrentVisitor, Studio, check_own
from footage.studio.uploads import PromisedFile, UploadState

FOLDERS = 100
"""Folders on a page."""
LOOKED = 2000
"""Files and folders of a folder that are looked at, to count its media."""
MEASURED = 48
"""Videos that a size is to suit are measured, at most."""
STRIP, MOMENTS, CELL = 6, 12, 128
"""Clips on a strip, its frames where it moves, and pixels of the longer side of a picture."""
SHOWN_ROWS = 200
"""Rows of a group of an audit."""
NOT_TAKEN = ("ignored", "examples")
"""Settings of a data set that say which files were no sources."""
COUNTED = ("found in sources", "files not taken")
"""Facts of an audit that are given as lists here."""
NONSENSE = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, MemoryError)
"""What comes of values of other types and sizes than they should be."""
MEDIA = CLIP_SUFFIXES | {"npy", "npz"}

EntryName = Annotated[str, Query(max_length=1000)]
router = APIRouter(prefix="/api", tags=["data sets"])


@dataclass(frozen=True)
class SourceFolder:
    """A folder that may be ingested."""

    path: str
    name: str
    media: int
    """Videos, pictures and arrays in it and below."""
    more: bool = False
    """Whether there may be more: not all was looked at."""


@dataclass(frozen=True)
class FolderPage:
    """What is in a folder: its folders, a page at a time."""

    path: str
    """Empty for the list of the folders that may be looked into."""
    above: str | None
    """The folder that it lies in; None where that may not be looked into."""
    media: int
    """Videos, pictures and arrays that lie directly in it."""
    folders: list[SourceFolder]
    page: int
    pages: int


@dataclass(frozen=True)
class SuitedSize:
    """The size that `--size auto` would choose, of some of the videos."""

    width: int | None
    """None where no video tells its size."""
    height: int | None
    videos: int
    """Videos that were measured."""


@dataclass(frozen=True)
class RejectedGroup:
    """What an audit says was left out for one reason."""

    reason: str
    count: int
    rows: list[tuple[str, str, bool]]
    """The first `SHOWN_ROWS`: what, why, and whether its file can be looked at."""


@dataclass(frozen=True)
class AuditFacts:
    """An audit of a data set."""

    name: str
    summary: list[tuple[str, str]]
    recommendation: list[tuple[str, str]]
    labels: list[tuple[str, int, int, str]]
    """Label, clips for training, clips that are held out, remark."""
    rejected: list[RejectedGroup]
    faults: list[tuple[str, str]]
    cuts: list[tuple[str, str]]
    notes: list[tuple[str, int]]
    """What was found out about sources, and about how many."""
    not_taken: list[tuple[str, int, str]]
    """Endings of files that are no sources, how many have it, and one of them."""


@dataclass(frozen=True)
class OptionField:
    """An option of a command, as a form shows it."""

    name: str
    text: str
    """Its help."""
    kind: Literal["flag", "choice", "number", "text"]
    default: Any
    choices: tuple[Any, ...] = ()
    least: float | None = None
    most: float | None = None
    whole: bool = field(default=False)
    """Whether a number is a whole one."""


@router.get("/sources")
def list_folders(
    studio: CurrentStudio,
    path: Annotated[str, Query(max_length=4000)] = "",
    page: Annotated[int, Query(ge=1, le=10**6)] = 1,
) -> FolderPage:
    """Return the folders in a folder of this computer that may be ingested; without a path, where one may begin."""
    if not path:
        roots = list(dict.fromkeys(studio.sources))
        sent = studio.uploads.folder
        if sent.is_dir() and not any(sent.is_relative_to(root) for root in roots):
            roots.append(sent)
        return FolderPage("", None, 0, [counted(root) for root in roots], 1, 1)
    place = studio.source(path)
    roots = [root for root in (*studio.sources, studio.uploads.folder) if place.is_relative_to(root)]
    hidden = all(any(part.startswith(".") for part in place.relative_to(root).parts) for root in roots)
    if not place.is_dir() or hidden:
        raise ConfigError(f'"{plain(path)}" is no folder', "choose another folder")
    below: list[Path] = []
    media = 0
    for entry in visible(place):
        if entry.is_dir(follow_symlinks=False):
            below.append(Path(entry.path))
        elif entry.is_symlink():
            if (target := inside(studio, Path(entry.path))) is not None:
                below.append(target)
        else:
            media += suffix_of(entry.name) in MEDIA
    below = sorted(dict.fromkeys(below), key=lambda folder: natural_key(folder.name))
    shown = below[(page - 1) * FOLDERS : page * FOLDERS]
    above = str(place.parent) if inside(studio, place.parent) is not None else ""
    pages = max(1, -(-len(below) // FOLDERS))
    return FolderPage(str(place), above, media, [counted(folder) for folder in shown], page, pages)


def inside(studio: Studio, path: Path) -> Path | None:
    """Return the folder that a path stands for, where it may be looked into."""
    try:
        place = studio.source(str(path))
        return place if place.is_dir() else None
    except (ConfigError, OSError):
        return None


def visible(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield what is in a folder, not hidden and of a name that can be written; nothing where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            yield from (entry for entry in entries if not entry.name.startswith(".") and entry.name.isprintable())
    except OSError:
        return


def walked(folders: Iterable[Path], most: int) -> Iterator[Path | None]:
    """Yield the files below folders, no links, up to `most` files and folders; None where there may be more."""
    waiting, looked = list(folders), 0
    while waiting:
        for entry in visible(waiting.pop()):
            looked += 1
            if looked > most:
                yield None
                return
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
            elif not entry.is_symlink():
                yield Path(entry.path)


def counted(folder: Path) -> SourceFolder:
    """Return a folder with the number of media in it and below."""
    found = list(walked([folder], LOOKED))
    media = sum(path is not None and suffix_of(path) in MEDIA for path in found)
    return SourceFolder(str(folder), folder.name or str(folder), media, None in found)


@router.get("/sources/size")
async def suit_size(
    path: Annotated[list[SourcePath], Query(max_length=100)],
    studio: CurrentStudio,
    most: Annotated[int, Query(ge=16, le=2048)] = LONGEST,
) -> SuitedSize:
    """Return the size of at most `most` pixels along a side that would suit the videos below some folders."""
    places = [studio.source(name) for name in path]
    async with studio.upload_checks:
        return await asyncio.to_thread(measure, places, most)


def measure(places: Sequence[Path], most: int) -> SuitedSize:
    """Measure some videos, in a process of its own, and return the size that suits them."""
    from footage.data.ingest.workers import run_jobs, size_job

    found = [place for place in places if place.is_file()]
    for file in walked([place for place in places if place.is_dir()], 10 * LOOKED):
        if file is not None and suffix_of(file) in CLIP_SUFFIXES:
            found.append(file)
    videos = [file for file in found if suffix_of(file) in VIDEO_SUFFIXES] or found
    step = max(1, len(videos) // MEASURED)
    videos = videos[::step][:MEASURED]
    shown = [
        ShownSize(*size)
        for job in run_jobs([size_job([Source("video", place.name, place) for place in videos])] if videos else [], 1)
        for size in job.reply.get("sizes", [])
        if size
    ]
    try:
        size = suited_size(shown, most)
    except ConfigError:
        return SuitedSize(None, None, 0)
    return SuitedSize(size.width, size.height, len(shown))


# Files that are sent


@router.get("/sources/uploads")
def list_uploads(studio: CurrentStudio) -> list[UploadState]:
    """Return the uploads of which something has still to come."""
    return studio.uploads.unfinished()


@router.post("/sources/uploads")
def begin_upload(form: SendForm, studio: CurrentStudio, visitor: CurrentVisitor) -> UploadState:
    """Begin to send files that are to be ingested, or go on: `offsets` says how much of each has come already."""
    if studio.locked:
        problem = "the library is locked, and videos that are sent to be ingested would be plain on the disk"
        raise ConfigError(problem, "choose a folder of this computer")
    promised = [PromisedFile(**file.model_dump()) for file in form.files]
    return studio.uploads.begin(form.name, promised, form.into, visitor.name)


@router.put("/sources/uploads", openapi_extra=UPLOAD_BODY)
async def send_piece(
    request: Request,
    folder: FolderName,
    path: SourcePath,
    size: Annotated[int, Query(ge=0, lt=2**53)],
    studio: CurrentStudio,
    modified: Annotated[int, Query(ge=0, lt=2**43)] = 0,
    offset: Annotated[int, Query(ge=0, lt=2**53)] = 0,
) -> dict[str, int]:
    """Take a piece of a file, the body of the request, and return how many bytes of it have come.

    Where these are others than `offset`, nothing is written: go on from there.
    """
    content = await request.body()
    file = PromisedFile(path, size, modified)
    return {"received": await asyncio.to_thread(studio.uploads.write, folder, file, offset, content)}


@router.delete("/sources/uploads")
def remove_upload(folder: FolderName, studio: CurrentStudio, visitor: CurrentVisitor) -> dict[str, str]:
    """Remove what was sent; refuse it while any of it is ingested. Data sets that were made of it stay as they are."""
    check_own(visitor, studio.uploads.actor(folder))
    place, jobs = studio.uploads.folder / folder, studio.library.jobs
    waiting = (*jobs.all("queued", 1000), *jobs.all("running"))
    sources = [Path(source) for job in waiting for source in job.request.get("sources", ())]
    if any(source.is_relative_to(place) or place.is_relative_to(source) for source in sources):
        raise ConfigError(f'a job for "{plain(folder)}" waits or runs already', "let it end, or cancel it")
    studio.uploads.remove(folder)
    return {"removed": folder}


# Data sets


def opened(studio: Studio, name: str) -> Dataset:
    """Return a data set by its name; 404 without one."""
    entry = next((entry for entry in studio.catalog.datasets() if entry.name == name), None)
    if entry is None:
        raise HTTPException(404, "there is no such data set")
    if entry.damaged:
        raise ConfigError(f'"{name}" is damaged', entry.damaged)
    place = studio.catalog.place(name)
    for table in ("clips.jsonl", "rejected.jsonl", "sources.jsonl"):
        if (place / table).exists() and (reason := fault(place / table, place, None)):
            raise ConfigError(f'"{name}" is damaged', reason)
    return Dataset(place)


def source_names(studio: Studio, name: str) -> list[str]:
    """Return the names of the first sources of a data set."""
    return sorted({row.source for row in opened(studio, name).rows})[:SHOWN_ROWS]


@router.get("/datasets/strip")
def get_dataset_strip(name: EntryName, studio: CurrentStudio, still: bool = False) -> Response:
    """Return a strip of the first frames of some clips, side by side, as a WebP picture that moves, or stands still."""
    dataset = opened(studio, name)
    try:
        content = strip(dataset, 1 if still else MOMENTS)
    except (DatasetError, OSError, *NONSENSE) as error:
        raise HTTPException(404, f"there is no such picture ({plain(error)})") from None
    return Response(content, media_type="image/webp", headers={} if dataset.is_locked else LASTING)


def strip(dataset: Dataset, moments: int) -> bytes:
    """Return a WebP picture of the first frames of some clips."""
    import numpy as np
    from PIL import Image

    count = min(STRIP, len(dataset.rows))
    rows: list[ClipRow] = [dataset.rows[i * len(dataset.rows) // count] for i in range(count)]
    if not rows or any(Path(row.shard).name != row.shard or fault_of(dataset, row) for row in rows):
        raise DatasetError("it has no frames", "make the dataset again")
    info = dataset.info
    scale = min(1.0, CELL / max(info.width, info.height))
    size = max(1, round(info.width * scale)), max(1, round(info.height * scale))
    pictures = []
    for moment in range(moments):
        picture = Image.new("RGB", (count * (size[0] + 2) - 2, size[1]))
        for place, row in enumerate(rows):
            shown = dataset.read(row, min(moment, row.frames - 1), 1)[0]  # (1, H, W, C) → (H, W, C)
            frame = Image.fromarray(np.asarray(shown[:, :, 0] if info.channels == 1 else shown)).convert("RGB")
            picture.paste(frame.resize(size), (place * (size[0] + 2), 0))
        pictures.append(picture)
    out = io.BytesIO()
    duration = round(max(1000 / info.fps, 40))
    pictures[0].save(out, "WEBP", save_all=True, append_images=pictures[1:], duration=duration, loop=0, quality=80)
    return out.getvalue()


def fault_of(dataset: Dataset, row: ClipRow) -> str:
    """Return why a clip's shard is not read."""
    return fault(dataset.folder / row.shard, dataset.folder, None)


@router.get("/datasets/audit")
def get_audit(name: EntryName, studio: CurrentStudio) -> AuditFacts:
    """Return what is in a data set, what was left out and why, and what could be trained from it."""
    dataset = opened(studio, name)
    try:
        return audit_facts(studio, name, dataset)
    except NONSENSE as error:  # whatever its tables hold
        raise ConfigError(
            f'"{name}" is damaged', f"it cannot be read ({type(error).__name__}: {plain(error)})"
        ) from None


def audit_facts(studio: Studio, name: str, dataset: Dataset) -> AuditFacts:
    audit = Audit(dataset, read_recommendation(dataset.folder))
    groups = []
    for reason, rows in audit.rejected:
        shown = [
            (plain(what), plain(why), source_file(studio, dataset, what) is not None) for what, why in rows[:SHOWN_ROWS]
        ]
        groups.append(RejectedGroup(plain(reason), len(rows), shown))
    settings = dataset.info.settings
    ignored, examples = ({**value} if isinstance(value := settings.get(key), dict) else {} for key in NOT_TAKEN)
    return AuditFacts(
        name=name,
        summary=[(what, fact) for what, fact in audit.summary if what not in COUNTED],
        recommendation=audit.recommendation,
        labels=audit.labels,
        rejected=groups,
        faults=audit.faults[:SHOWN_ROWS],
        cuts=audit.cuts[:SHOWN_ROWS],
        notes=Counter(note for source in dataset.sources for note in source.notes).most_common(SHOWN_ROWS),
        not_taken=[(str(end), int(count), str(examples.get(end, ""))) for end, count in ignored.items()],
    )


@router.get("/datasets/source")
def get_dataset_source(
    name: EntryName, source: Annotated[str, Query(max_length=4000)], studio: CurrentStudio
) -> FileResponse:
    """Return a file that a data set was to be made from, by its name in the audit, where it can be looked at."""
    path = source_file(studio, opened(studio, name), source)
    if path is None:
        raise HTTPException(404, "there is no such file, or it may not be looked at")
    return clip_response(path, suffix_of(path))


def source_file(studio: Studio, dataset: Dataset, what: str) -> Path | None:
    """Return the file that a row of an audit names, in front of times; None where it is gone or out of bounds."""
    from footage.data.ingest.pipeline import find_source

    source, _, times = what.rpartition(" ")
    if times == "s":  # "folder/clip.mp4 1.00–2.00 s"
        what = source.rpartition(" ")[0]
    path = find_source(dataset.folder, what)
    try:
        place = None if path is None else studio.source(str(path))
    except ConfigError:
        return None
    return place if place is not None and place.is_file() and suffix_of(place) in CLIP_SUFFIXES else None


@functools.cache
def option_fields(kind: type, names: tuple[str, ...]) -> list[OptionField]:
    """Return some fields of a dataclass of options as a form shows them, each with its help."""
    texts, hints = field_texts(kind), typing.get_type_hints(kind)
    listed = {item.name: item for item in fields(kind)}
    shown = []
    for name in names:
        hint, item = hints[name], listed[name]
        types = {part for part in typing.get_args(hint) if part is not type(None)} if "|" in str(hint) else {hint}
        least, most = item.metadata.get("bounds", (None, None, ""))[:2]
        if choices := typing.get_args(hint) if typing.get_origin(hint) is Literal else ():
            shown.append(OptionField(name, texts[name], "choice", item.default, choices))
        elif hint is bool:
            shown.append(OptionField(name, texts[name], "flag", item.default))
        elif types & {int, float}:
            whole = int in types and float not in types
            shown.append(OptionField(name, texts[name], "number", item.default, (), least, most, whole))
        else:
            shown.append(OptionField(name, texts[name], "text", item.default))
    return shown
