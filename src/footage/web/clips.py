"""The interface to clips: finding, looking, changing, taking in, giving out."""

from __future__ import annotations

import asyncio
import json
import sys
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import FileResponse

from footage.library.edits import HistoryStep
from footage.library.entries import ClipEntry, plain
from footage.library.import_export import ExportOptions
from footage.library.storage import PICTURE_SUFFIXES, VIDEO_SUFFIXES
from footage.web.asking import Asked, Bulk, Changes, Choice, Number, Place, Wanted
from footage.web.studio import Studio, found

LASTING = {"cache-control": "private, max-age=31536000, immutable"}
"""Headers of what never changes: files are named by their content."""
KINDS = {
    **{
        "mp4": "video/mp4",
        "m4v": "video/mp4",
        "mov": "video/quicktime",
        "webm": "video/webm",
        "mkv": "video/x-matroska",
    },
    **{"avi": "video/x-msvideo", "mpg": "video/mpeg", "mpeg": "video/mpeg", "ts": "video/mp2t", "ogv": "video/ogg"},
    **{"gif": "image/gif", "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp"},
    **{"bmp": "image/bmp", "tif": "image/tiff", "tiff": "image/tiff"},
}
"""Media types of clips; others are given as plain bytes."""
CHECKED = 2
"""Uploads that are decoded at the same time."""
PAGE = 60
"""Clips of a page."""


class Listing(Asked):
    """A query, and which page of it."""

    cursor: str | None = None
    limit: int = PAGE
    ids: Annotated[list[Number], Query(max_length=1000)] = []  # noqa: RUF012 - a field's default


@dataclass(frozen=True)
class Found:
    """A page of clips."""

    clips: list[ClipEntry]
    """The clips."""
    cursor: str | None
    """What to give for the next page; null at the end."""


@dataclass(frozen=True)
class Like:
    """A clip, and how much it is like another."""

    clip: ClipEntry
    """The clip."""
    likeness: float
    """Cosine of their embeddings, -1 to 1."""


@dataclass(frozen=True)
class Changed:
    """How many clips were meant."""

    clips: int
    """That many; all of them are now as was asked."""


@dataclass(frozen=True)
class Ready:
    """An export that can be fetched."""

    url: str
    """Where."""
    name: str
    """Name of the file."""
    bytes: int
    """Its size."""


class Clips:
    """The endpoints about clips."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._library = studio, studio.library
        self._checking = asyncio.Semaphore(CHECKED)

    def listed(self, asked: Annotated[Listing, Query()]) -> Found:
        """Find clips by words and filters, a page at a time; or get them by their numbers with `ids`."""
        if asked.ids:
            return Found(self._library.entries(asked.ids), None)
        query = asked.query()
        page = self._library.query(query.filters, query.text, query.sort, asked.cursor, asked.limit)
        return Found(page.entries, page.cursor)

    def numbers(self, asked: Annotated[Asked, Query()]) -> list[int]:
        """Return the numbers of all clips that are found, in order."""
        return self._library.ids(asked.query())

    def facets(self, asked: Annotated[Asked, Query()]) -> dict[str, list[tuple[Any, int]]]:
        """Return the values that the found clips have, with how often, commonest first."""
        query = asked.query()
        return self._library.facets(query.filters, query.text)

    def one(self, clip: Place) -> ClipEntry:
        """Return a clip."""
        return self._studio.entry(clip)

    def change(self, clip: Place, changes: Changes) -> ClipEntry:
        """Change a clip; can be undone."""
        self._studio.entry(clip)
        return self._library.update(clip, **changes.given())

    def bulk(self, wanted: Bulk) -> Changed:
        """Change many clips in one step, which is undone in one."""
        count = self._library.bulk(wanted.chosen(), wanted.changes.given(), tag=wanted.tag, untag=wanted.untag)
        return Changed(count)

    def remove(self, wanted: Choice) -> Changed:
        """Put clips into the bin; can be undone."""
        return Changed(self._library.remove(wanted.chosen()))

    def restore(self, wanted: Choice) -> Changed:
        """Take clips out of the bin; can be undone."""
        return Changed(self._library.restore(wanted.chosen()))

    def purge(self, wanted: Choice) -> Changed:
        """Remove clips that lie in the bin for good. This cannot be undone."""
        return Changed(self._library.purge(wanted.chosen()))

    def undo(self) -> HistoryStep | None:
        """Undo the last step; null where there is none."""
        return self._library.undo()

    def redo(self) -> HistoryStep | None:
        """Do again what was undone last; null where there is nothing."""
        return self._library.redo()

    def history(self, limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> list[HistoryStep]:
        """Return the last steps, the latest first."""
        return self._library.history(limit)

    def similar(self, clip: Place, limit: Annotated[int, Query(ge=1, le=500)] = 60) -> list[Like]:
        """Return the clips that are most like a clip, the most alike first."""
        self._studio.entry(clip)
        return [Like(entry, likeness) for entry, likeness in self._library.similar(clip, limit=limit)]

    def duplicates(self) -> list[list[ClipEntry]]:
        """Return groups of clips that show the same footage, the best first."""
        return self._library.duplicates()

    def provenance(self, clip: Place) -> dict[str, Any]:
        """Return where a clip comes from: model, data set, what it was made from, and what was made from it."""
        return asdict(found(lambda: self._library.provenance(clip)))

    def file(self, clip: Place, download: bool = False) -> FileResponse:
        """Return a clip's file; parts of it by the header Range."""
        entry = self._studio.entry(clip)
        path = found(lambda: self._library.path(clip))
        return sent(path, entry.suffix, f"{entry.title or entry.id}.{entry.suffix}" if download else None)

    def thumbnail(self, clip: Place) -> FileResponse:
        """Return a clip's picture."""
        return FileResponse(found(lambda: self._library.thumbnail(clip)), media_type="image/webp", headers=LASTING)

    def preview(self, clip: Place) -> FileResponse:
        """Return a clip's moving picture."""
        return FileResponse(found(lambda: self._library.preview(clip)), media_type="image/webp", headers=LASTING)

    def export(self, wanted: Wanted) -> Ready:
        """Write clips as a zip file, a table, or an edit list that cutting programs open (with the clips, zipped)."""
        place = self._studio.outbox.place()
        listed = wanted.format in ("otio", "fcpxml", "xml", "edl")
        target = place / (f"footage.{wanted.format}" if not listed else f"cut/footage.{wanted.format}")
        target.parent.mkdir(exist_ok=True)
        written = self._library.export(wanted.chosen(), target, ExportOptions(names=wanted.names, fps=wanted.fps))
        if listed:
            target = _packed(place / f"footage-{wanted.format}.zip", written, target.parent)
        word = self._studio.outbox.put(target)
        return Ready(f"/api/exports/{word}", target.name, target.stat().st_size)

    def fetch(self, word: str) -> FileResponse:
        """Return an export."""
        path = self._studio.outbox.get(word)
        if path is None or not path.is_file():
            raise HTTPException(404, "this export is no longer kept: export again")
        return FileResponse(path, filename=path.name, media_type="application/octet-stream")

    async def upload(self, request: Request, name: Annotated[str, Query(max_length=300)]) -> dict[str, Any]:
        """Take in the clip, or the zip file of clips, that is the body of the request.

        It is decoded in a process of its own with limits of time and memory before the library has it.
        """
        limits, suffix = self._studio.limits, Path(name).suffix.lower().removeprefix(".")
        if suffix not in VIDEO_SUFFIXES | PICTURE_SUFFIXES | {"zip"}:
            raise HTTPException(415, f'".{plain(suffix)}" is no ending of a clip')
        if int(request.headers.get("content-length") or 0) > limits.upload:
            raise HTTPException(413, f"the file has more than {limits.upload:,} bytes")
        place = self._studio.outbox.place()
        path = place / f"upload.{suffix}"
        try:
            with open(path, "wb") as out:
                async for block in request.stream():
                    await asyncio.to_thread(out.write, block)
            async with self._checking:
                return await examined(self._studio, path, plain(Path(name).stem) or "untitled")
        finally:
            path.unlink(missing_ok=True)
            place.rmdir()

    def routes(self) -> APIRouter:
        """Return the table of the endpoints."""
        router = APIRouter(prefix="/api", tags=["clips"])
        table = (
            ("GET", "/clips", self.listed),
            ("GET", "/clips/ids", self.numbers),
            ("GET", "/clips/facets", self.facets),
            ("GET", "/duplicates", self.duplicates),
            ("POST", "/clips/bulk", self.bulk),
            ("POST", "/clips/bin", self.remove),
            ("POST", "/clips/restore", self.restore),
            ("POST", "/clips/purge", self.purge),
            ("GET", "/clips/{clip}", self.one),
            ("PATCH", "/clips/{clip}", self.change),
            ("GET", "/clips/{clip}/similar", self.similar),
            ("GET", "/clips/{clip}/provenance", self.provenance),
            ("GET", "/clips/{clip}/file", self.file),
            ("GET", "/clips/{clip}/thumbnail", self.thumbnail),
            ("GET", "/clips/{clip}/preview", self.preview),
            ("POST", "/undo", self.undo),
            ("POST", "/redo", self.redo),
            ("GET", "/history", self.history),
            ("POST", "/exports", self.export),
            ("GET", "/exports/{word}", self.fetch),
        )
        for method, path, endpoint in table:
            router.add_api_route(path, endpoint, methods=[method])
        body = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
        extra = {"requestBody": {**body, "required": True}}
        router.add_api_route("/uploads", self.upload, methods=["POST"], openapi_extra=extra)
        return router


def sent(path: Path, suffix: str, name: str | None = None) -> FileResponse:
    """Return a file; what a browser might take for a page is only ever downloaded."""
    kind = KINDS.get(suffix, "application/octet-stream")
    headers = {**LASTING, "content-security-policy": "sandbox; default-src 'none'"}
    if name is not None:
        headers["content-disposition"] = f"attachment; filename*=utf-8''{quote(name, safe='')}"
    return FileResponse(path, media_type=kind, headers=headers)


def _packed(target: Path, written: list[Path], inside: Path) -> Path:
    """Put an edit list and its clips into one file."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as packed:
        for path in written:
            packed.write(path, path.relative_to(inside))
    return target


async def examined(studio: Studio, path: Path, title: str) -> dict[str, Any]:
    """Have another process decode a file and add it; return what it says.

    Raises:
        HTTPException: the file is refused, or took too much time or memory.
    """
    limits = studio.limits
    words = [sys.executable, "-m", "footage.web.examine", str(studio.library.folder), str(path), title]
    words += [str(value) for value in (limits.check_seconds, limits.check_memory, limits.upload, limits.unpacked)]
    process = await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), limits.check_seconds + 10)
        answer = json.loads(said)
    except (TimeoutError, ValueError):
        raise HTTPException(422, "the file took too much time or memory to decode, and was refused") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if "problem" in answer:
        raise HTTPException(422, answer)
    return dict(answer)
