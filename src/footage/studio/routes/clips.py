"""Interface to clips: finding, looking, changing, taking in, giving out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import secrets
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import FileResponse, Response
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from footage import files
from footage.errors import ConfigError
from footage.files import locked
from footage.library.edits import HistoryStep
from footage.library.entries import ClipEntry, plain
from footage.library.import_export import ExportOptions, fixed_effects
from footage.library.query import ClipQuery
from footage.library.seen import SeenClass
from footage.library.storage import ACTOR, DiskFull
from footage.library.taste import ClipTaste, TasteSummary
from footage.machines.local import lower_priority
from footage.media.kinds import KEPT_SUFFIXES, stem_of, suffix_of, with_suffix
from footage.studio.routes.jobs import submit_job
from footage.studio.schemas import (
    BulkForm,
    ChangesForm,
    ClipIdsForm,
    ClipPageForm,
    ClipQueryForm,
    ExportForm,
    PathId,
    RemovalForm,
    SelectionForm,
)
from footage.studio.state import (
    BEHIND_PAGES,
    IN_LIKENESS_TURN,
    IN_SIGNATURE_TURN,
    IN_TURN,
    READY,
    CurrentLibrary,
    CurrentStudio,
    Studio,
    or_404,
    render,
)
from footage.studio.upload_check import Upload

BLOCK = 2**20
"""Bytes of a locked file that are opened and sent at once."""
LASTING = {"cache-control": "private, max-age=31536000, immutable"}
"""Headers of what never changes: files are named by their content."""
CURRENT = {"cache-control": "private, no-cache"}
"""Headers of what is asked for again each time: a clip with other effects keeps its number."""
MEDIA_TYPES = {
    **{"mp4": "video/mp4", "m4v": "video/mp4", "mov": "video/quicktime", "webm": "video/webm", "ogv": "video/ogg"},
    **{"mkv": "video/x-matroska", "avi": "video/x-msvideo", "mpg": "video/mpeg", "mpeg": "video/mpeg"},
    **{"gif": "image/gif", "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp"},
    **{"bmp": "image/bmp", "tif": "image/tiff", "tiff": "image/tiff", "avif": "image/avif", "apng": "image/apng"},
    **dict.fromkeys(("ts", "mts", "m2ts", "m2t"), "video/mp2t"),
}
"""Media types of clips by their endings; others are given as plain bytes."""
PATIENCE = 60.0
"""Seconds that reading a signature may take."""
EDIT_LISTS = ("otio", "fcpxml", "xml", "edl")
"""Formats of exports that cutting programs open."""

router = APIRouter(prefix="/api", tags=["clips"])


@dataclass(frozen=True)
class ClipPage:
    """Clips of one page of a query."""

    clips: list[ClipEntry]
    cursor: str | None
    """What to give for the next page; null at the end."""


@dataclass(frozen=True)
class SimilarClip:
    """Clip, and how much it is like another."""

    clip: ClipEntry
    likeness: float
    """Cosine of their embeddings, -1 to 1."""


@dataclass(frozen=True)
class ClipCount:
    """How many clips were meant."""

    clips: int
    """That many; all of them are now as was asked."""


@dataclass(frozen=True)
class ExportFile:
    """Export that can be fetched."""

    url: str
    name: str
    bytes: int
    told: tuple[str, ...] = ()
    """What is to be known of it, in words: which clips are left out, and why."""
    complete: bool = True
    """Whether none is left out."""


@router.get("/clips")
def list_clips(form: Annotated[ClipPageForm, Query()], library: CurrentLibrary) -> ClipPage:
    """Find clips by words and filters, a page at a time; or get them by their numbers with `ids`."""
    if form.ids:
        return ClipPage(library.entries(form.ids), None)
    query = form.query()
    page = library.query(query, cursor=form.cursor, limit=form.limit)
    return ClipPage(page.entries, page.cursor)


@router.get("/clips/ids", dependencies=[IN_TURN])
def list_clip_ids(form: Annotated[ClipIdsForm, Query()], library: CurrentLibrary) -> list[int]:
    """Return the numbers of all clips that a query finds, in order; or so many that come after a clip."""
    return library.ids(form.query(), form.after, form.limit)


@router.get("/clips/shapes", dependencies=[IN_TURN])
def list_clip_shapes(form: Annotated[ClipIdsForm, Query()], library: CurrentLibrary) -> list[tuple[int, float]]:
    """Return the numbers of clips as above, each with width over height of its picture."""
    return library.shapes(library.ids(form.query(), form.after, form.limit))


@router.get("/clips/count", dependencies=[IN_TURN])
def count_clips(form: Annotated[ClipQueryForm, Query()], library: CurrentLibrary) -> int:
    """Return how many clips a query finds."""
    return library.count(form.query())


@router.get("/clips/facets", dependencies=[IN_TURN])
def count_facets(form: Annotated[ClipQueryForm, Query()], library: CurrentLibrary) -> dict[str, list[tuple[Any, int]]]:
    """Return the values that the found clips have, with how often, commonest first."""
    return library.facets(form.query())


@router.get("/duplicates", dependencies=[IN_TURN])
def list_duplicates(library: CurrentLibrary) -> list[list[ClipEntry]]:
    """Return groups of clips that show the same footage, the best first."""
    return library.duplicates()


@router.post("/clips/bulk")
def change_clips(form: BulkForm, library: CurrentLibrary) -> ClipCount:
    """Change many clips in one step, which is undone in one."""
    return ClipCount(library.bulk(form.chosen(), form.changes.values(), tag=form.tag, untag=form.untag))


@router.post("/clips/bin")
def remove_clips(form: RemovalForm, library: CurrentLibrary) -> ClipCount:
    """Put clips into the bin; can be undone. 409 where others are made from them by effects, and do not go along."""
    return ClipCount(library.remove(form.chosen(), edits=form.edits))


@router.post("/clips/restore")
def restore_clips(form: SelectionForm, library: CurrentLibrary) -> ClipCount:
    """Take clips out of the bin; can be undone."""
    return ClipCount(library.restore(form.chosen()))


@router.post("/clips/purge")
def purge_clips(form: RemovalForm, studio: CurrentStudio) -> ClipCount:
    """Remove clips that lie in the bin for good. This cannot be undone. 409 as above."""
    count = studio.library.purge(form.chosen(), edits=form.edits)
    studio.forget()
    return ClipCount(count)


@router.get("/clips/{clip}")
def get_clip(clip: PathId, studio: CurrentStudio) -> ClipEntry:
    """Return a clip with all that is known of it."""
    return studio.entry(clip)


@router.patch("/clips/{clip}")
def change_clip(clip: PathId, changes: ChangesForm, studio: CurrentStudio) -> ClipEntry:
    """Change a clip; can be undone."""
    studio.entry(clip)
    return studio.library.update(clip, **changes.values())


@router.get("/clips/{clip}/similar", dependencies=[IN_LIKENESS_TURN])
def list_similar_clips(
    clip: PathId,
    studio: CurrentStudio,
    limit: Annotated[int, Query(ge=1, le=500)] = 60,
    motion: Annotated[float | None, Query(ge=0, le=1)] = None,
) -> list[SimilarClip]:
    """Return the clips that are most like a clip, the most alike first."""
    studio.entry(clip)
    found = studio.library.similar(clip, ClipQuery(motion=motion), limit)
    return [SimilarClip(entry, likeness) for entry, likeness in found]


@router.get("/clips/{clip}/classes")
def list_classes(clip: PathId, studio: CurrentStudio) -> list[SeenClass]:
    """Return the things that a network takes a clip for, the surest first; empty where none has looked at it. Rough."""
    return studio.library.classes(studio.entry(clip).id)


@router.get("/taste")
def get_taste(library: CurrentLibrary) -> TasteSummary:
    """Return what has been learned of what is kept: how accurate it is on clips that it has not seen, and by what."""
    return library.taste_summary()


@router.get("/clips/{clip}/taste")
def get_clip_taste(clip: PathId, studio: CurrentStudio) -> ClipTaste | None:
    """Return how likely a clip is to be kept, and why; null where its figures are not known."""
    return studio.library.taste_of(studio.entry(clip).id)


@router.get("/clips/{clip}/provenance")
def get_provenance(clip: PathId, library: CurrentLibrary) -> dict[str, Any]:
    """Return where a clip comes from: model, data set, what it was made from, and what was made from it."""
    return asdict(or_404(lambda: library.provenance(clip)))


@router.get("/clips/{clip}/signature", dependencies=[IN_SIGNATURE_TURN, READY])
def get_signature(clip: PathId, studio: CurrentStudio) -> dict[str, Any]:
    """Return what a clip's signature (C2PA) says: its state, its signer, and what was signed."""
    return signature(or_404(lambda: studio.library.path(studio.entry(clip).id)))


def signature(path: Path) -> dict[str, Any]:
    """Return what is known of where a file comes from, as `footage verify` tells it: this process opens no clips."""
    line = [sys.executable, "-m", "footage", "verify", str(path.absolute()), "--json"]
    try:
        with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            lower_priority(process.pid, BEHIND_PAGES)
            try:
                (answer,) = json.loads(process.communicate(timeout=PATIENCE)[0])
            finally:
                process.kill()
    except (subprocess.TimeoutExpired, ValueError):  # the extra is missing, or the file is hostile
        return {"state": "unread"}
    about: dict[str, Any] = answer
    return about


@router.get("/clips/{clip}/file", dependencies=[READY])
def get_clip_file(request: Request, clip: PathId, studio: CurrentStudio, download: bool = False) -> FileResponse:
    """Return a clip's file; parts of it by the header Range."""
    entry = studio.entry(clip)
    path = or_404(lambda: studio.library.path(entry.digest))
    name = with_suffix(entry.title or str(entry.id), entry.suffix) if download else None
    return clip_response(path, entry.suffix, name, kept(request, entry))


@router.get("/clips/{clip}/thumbnail")
async def get_thumbnail(request: Request, clip: PathId, studio: CurrentStudio) -> FileResponse:
    """Return a clip's picture."""
    return await picture(request, clip, studio, moving=False)


@router.get("/clips/{clip}/preview")
async def get_preview(request: Request, clip: PathId, studio: CurrentStudio) -> FileResponse:
    """Return a clip's moving picture."""
    return await picture(request, clip, studio, moving=True)


async def picture(request: Request, clip: int, studio: Studio, *, moving: bool) -> FileResponse:
    """Return a clip's thumbnail or preview. What is missing is drawn in its turn.

    A request that waits for its turn holds no thread: a page of missing ones does not stop all other requests.
    """
    draw = studio.library.preview if moving else studio.library.thumbnail

    def look() -> tuple[ClipEntry, Path | None]:
        entry = studio.entry(clip)
        there = studio.library.drawn(entry.digest, moving=moving)
        return entry, or_404(lambda: draw(entry.digest)) if there else None

    entry, path = await asyncio.to_thread(look)
    if path is None:
        async with studio.drawings:
            path = await asyncio.to_thread(or_404, lambda: draw(entry.digest))
    return StoredFile(path, media_type="image/webp", headers=kept(request, entry))


@router.post("/undo")
def undo(library: CurrentLibrary) -> HistoryStep | None:
    """Undo the last step; null where there is none."""
    return library.undo()


@router.post("/redo")
def redo(library: CurrentLibrary) -> HistoryStep | None:
    """Do again what was undone last; null where there is nothing."""
    return library.redo()


@router.get("/history")
def list_history(library: CurrentLibrary, limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> list[HistoryStep]:
    """Return the last steps, the latest first."""
    return library.history(limit)


@router.post("/exports")
async def export_clips(request: Request, form: ExportForm, studio: CurrentStudio) -> ExportFile:
    """Write clips as a zip file, a table, or an edit list that cutting programs open (with the clips, zipped).

    Those with effects are rendered first, where that is not done; those that cannot be are left out.
    """
    clips, unrendered = await asyncio.to_thread(studio.library.ids, form.chosen()), dict[int, ConfigError]()
    if form.format not in ("csv", "json"):
        await render(request, clips, unrendered.setdefault)
    return await asyncio.to_thread(write_export, form, clips, unrendered, studio)


def write_export(form: ExportForm, clips: list[int], unrendered: dict[int, ConfigError], studio: Studio) -> ExportFile:
    """Write clips, but for those that could not be rendered, in the format that is asked for.

    Raises:
        ConfigError: none could be rendered.
    """
    rendered = [clip for clip in clips if clip not in unrendered]
    if unrendered and not rendered:
        raise next(iter(unrendered.values()))
    told = [
        f'clip {clip} "{studio.library.get(clip).title}" is left out: {error.problem}'
        for clip, error in unrendered.items()
    ]
    folder = studio.exports.new_folder()
    is_edit_list = form.format in EDIT_LISTS
    target = folder / (f"cut/footage.{form.format}" if is_edit_list else f"footage.{form.format}")
    target.parent.mkdir(exist_ok=True)
    options = ExportOptions(names=form.names, fps=form.fps, relative=True)
    written = studio.library.export(rendered, target, options, told.append)
    if is_edit_list:
        inside, target = target.parent, folder / f"footage-{form.format}.zip"
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
            for path in written:
                archive.write(path, path.relative_to(inside))
    complete = not told
    if form.format not in ("csv", "json"):
        told += fixed_effects(studio.library.entries(rendered))
    key = studio.exports.put(target)
    return ExportFile(f"/api/exports/{key}", target.name, target.stat().st_size, tuple(told), complete)


@router.get("/exports/{word}")
def get_export(word: str, studio: CurrentStudio) -> FileResponse:
    """Return an export that was written before."""
    path = studio.exports.get(word)
    if path is None or not path.is_file():
        raise HTTPException(404, "this export is no longer kept: export again")
    return FileResponse(path, filename=path.name, media_type="application/octet-stream")


UPLOAD_BODY = {
    "requestBody": {
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        "required": True,
    }
}
"""Body of an upload, as OpenAPI describes it."""


NOTHING: dict[str, Any] = {"added": [], "known": [], "refused": [], "job": None, "in_memory": False}
"""What has become of an upload so far; what waits in memory is lost where the studio ends before its job."""


@router.post("/uploads", openapi_extra=UPLOAD_BODY)
async def upload_clips(
    request: Request, name: Annotated[str, Query(max_length=300)], studio: CurrentStudio
) -> dict[str, Any]:
    """Take in the clip that is the body of the request, or begin a job that takes in the zip file of clips that it is.

    Each clip is decoded in a process of its own with limits of time and memory before the library has it.
    """
    limits, suffix, title = studio.limits, suffix_of(name), plain(stem_of(name)) or "untitled"
    if suffix not in KEPT_SUFFIXES | {"zip"}:
        known = ", ".join(sorted(KEPT_SUFFIXES))
        raise HTTPException(415, f'"{plain(name)}" is no video or picture: give {known}, or a zip file of such')
    is_zip = suffix == "zip"
    path = studio.library.upload_path(f"{secrets.token_hex(8)}.{suffix}")
    upload = Upload(
        library=str(studio.library.folder),
        file=str(path),
        title=plain(Path(name).name) if is_zip else title,
        seconds=limits.check_seconds,
        memory=limits.check_memory,
        most=limits.unpacked if is_zip else limits.upload,
        actor=ACTOR.get().name,
    )
    taken_over = False
    try:
        await receive(request, path, limits.archive if is_zip else limits.upload)
        if is_zip:
            if not await asyncio.to_thread(zipfile.is_zipfile, path):
                raise HTTPException(422, f'"{upload.title}" is no zip file')
            job = await asyncio.to_thread(submit_job, studio, "import", {**upload.limits(), "file": path.name})
            taken_over = True
            return {**NOTHING, "job": job.id, "in_memory": studio.locked}
        async with studio.upload_checks:
            return {**NOTHING, **await checked(upload.command(), upload.seconds)}
    finally:
        if not taken_over:
            path.unlink(missing_ok=True)


async def receive(request: Request, path: Path, most: int) -> None:
    """Write the body of a request to a file; refuse one of too many bytes, whatever its header says."""
    too_large = HTTPException(413, f"the file has more than {most:,} bytes")
    if int(request.headers.get("content-length") or 0) > most:
        raise too_large
    size = 0
    with files.disk_errors(DiskFull()), open(path, "wb") as out:
        async for block in request.stream():
            size += len(block)
            if size > most:
                raise too_large
            await asyncio.to_thread(out.write, block)


async def checked(command: Sequence[str], seconds: int) -> dict[str, Any]:
    """Have a file that nobody vouches for read by a process with limits of its own; return what it says.

    Raises:
        HTTPException: 422, where it refuses the file, or takes longer than `seconds` of a processor allow.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # a Ctrl-C in the terminal is the server's
    )
    lower_priority(process.pid, BEHIND_PAGES)
    try:
        output, _ = await asyncio.wait_for(process.communicate(), seconds + 10)
        outcome: dict[str, Any] = json.loads(output)
    except (TimeoutError, ValueError):
        raise HTTPException(422, "the file took too much time or memory to decode, and was refused") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if "problem" in outcome:
        raise HTTPException(422, outcome)
    return outcome


class StoredFile(FileResponse):
    """A file, or the part of it that a browser asks for; one that is locked is opened while it is sent and heard."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, tag = Path(self.path), self.headers.get("etag")
        if tag is not None and Headers(scope=scope).get("if-none-match") == tag:
            headers = {"etag": tag, "cache-control": self.headers["cache-control"]}
            await Response(status_code=304, headers=headers)(scope, receive, send)
            return
        if locked.hiding_folder(path) is None:
            await super().__call__(scope, receive, send)
            return
        content = await asyncio.to_thread(locked.open_file, path)
        self.headers["cache-control"] = "no-store"  # browsers keep what they may on the disk
        with contextlib.closing(content):
            size = content.seek(0, os.SEEK_END)
            part = re.fullmatch(r"bytes=(\d*)-(\d*)", Headers(scope=scope).get("range", ""))
            begin, end, status = 0, size, 200
            if part is not None and any(part.groups()):
                first, last = (int(number) if number else None for number in part.groups())
                begin = max(0, size - (last or 0)) if first is None else first
                end = size if first is None or last is None else min(size, last + 1)
                status = 206 if begin < end else 416
                self.headers["content-range"] = f"bytes {begin}-{end - 1}/{size}" if begin < end else f"bytes */{size}"
            left = end - begin if status != 416 else 0
            self.headers["accept-ranges"], self.headers["content-length"] = "bytes", str(left)
            await send({"type": "http.response.start", "status": status, "headers": self.raw_headers})
            left = 0 if scope["method"] == "HEAD" else left
            content.seek(begin)

            async def wait_for_end() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass

            gone = asyncio.create_task(wait_for_end())
            try:
                while left and not gone.done():
                    block = await asyncio.to_thread(content.read, min(left, BLOCK))
                    left -= len(block)
                    await send({"type": "http.response.body", "body": block, "more_body": True})
            finally:
                gone.cancel()
            await send({"type": "http.response.body"})


def kept(request: Request, entry: ClipEntry) -> dict[str, str]:
    """Return headers of a clip's file, or picture: browsers keep it where the address says its content too."""
    lasting = entry.digest[:8] in request.query_params
    return {**(LASTING if lasting else CURRENT), "etag": f'"{entry.digest}"'}


def clip_response(path: Path, suffix: str, name: str | None = None, kept: Mapping[str, str] = LASTING) -> FileResponse:
    """Return a clip's file: to look at, or to download under a name; what might be a page is only ever downloaded."""
    headers = {**kept, "content-security-policy": "sandbox; default-src 'none'"}
    if name is not None:
        headers["content-disposition"] = f"attachment; filename*=utf-8''{quote(name, safe='')}"
    return StoredFile(path, media_type=MEDIA_TYPES.get(suffix, "application/octet-stream"), headers=headers)
