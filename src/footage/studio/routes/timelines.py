"""Interface to timelines: kept in the library, looked at as a draft, given out as a film or an edit list."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, cast
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi import Path as AddressPart
from fastapi.responses import FileResponse, Response
from pydantic import Field

from footage.errors import ConfigError, FootageError
from footage.files import json_digest, locked
from footage.library.entries import ClipEntry, plain
from footage.library.import_export import file_name
from footage.library.jobs import BackgroundJob
from footage.library.library import Library
from footage.library.timelines import (
    CHANGES,
    Timeline,
    TimelineEntry,
    portable,
    timeline_json,
    timeline_of,
    timeline_text,
)
from footage.media.kinds import with_suffix
from footage.studio.command_jobs import FILMS
from footage.studio.routes.clips import ExportFile, clip_response
from footage.studio.routes.jobs import submit_job
from footage.studio.routes.previews import AskedProcess
from footage.studio.schemas import Seconds, StrictForm
from footage.studio.state import CurrentLibrary, CurrentStudio, Studio, or_404

STRETCH = 6.0
"""Seconds of the draft that are rendered at once."""
STRETCHES = 60
"""Of them that are kept."""
LOOKED_AT = 10.0
"""Seconds of a clip that are shown with effects before these are kept."""
PATIENCE = 120.0
"""Seconds after which a stretch is given up."""
LONGEST = 3600.0
"""Seconds after which the rendering of a clip with effects is; what is done of it is gone on with."""

TimelineName = Annotated[str, AddressPart(min_length=1, max_length=200)]

router = APIRouter(prefix="/api", tags=["timelines"])


class TimelineForm(StrictForm):
    """A timeline to be kept."""

    timeline: dict[str, Any]
    """As its file has it."""
    what: Annotated[str, Field(max_length=40)] = CHANGES[-1]
    """What was done to it, for the history: one of `footage.library.timelines.CHANGES`."""
    before: Annotated[str, Field(max_length=64)] | None = None
    """Stamp of what it was changed from; where it is another by now, it is refused. Empty for a new one."""


class StretchForm(StrictForm):
    """Which stretch of a draft is to be looked at."""

    at: Annotated[Seconds, Field(ge=0, le=1e7)] = 0.0
    """Seconds of the film."""


class ListForm(StrictForm):
    """Format of an edit list."""

    format: Literal["otio", "fcpxml", "xml", "edl"] = "otio"


@dataclass(frozen=True)
class TimelineClipInfo:
    """What a page shows of a clip that a timeline names."""

    id: int
    title: str
    seconds: float
    frames: int
    fps: float
    audio: bool
    kind: str
    digest: str
    missing: bool


@dataclass(frozen=True)
class KeptTimeline:
    """A timeline, and what its clips are."""

    name: str
    stamp: str
    """Of its content."""
    timeline: dict[str, Any]
    """As its file has it."""
    clips: dict[str, TimelineClipInfo]
    """By what it calls them; those that are gone are left out."""


@dataclass(frozen=True)
class DraftStretch:
    """A stretch of a draft that can be fetched, also in parts (HTTP ranges)."""

    url: str
    at: float
    """Seconds of the film at which it begins."""
    seconds: float
    """Of the whole film."""
    fps: float


def kept(name: str, library: Library) -> KeptTimeline:
    """Return a timeline for a page."""
    from footage.studio.routes.pages import clip_kind

    timeline, clips = library.timelines.get(name), dict[str, TimelineClipInfo]()
    for clip in timeline.clips:
        with contextlib.suppress(FootageError):
            entry = library.get(clip)
            about = (entry.id, entry.title, entry.seconds, entry.frames, entry.fps, entry.audio, clip_kind(entry))
            gone = entry.missing or entry.deleted is not None
            clips[str(clip)] = TimelineClipInfo(*about, entry.digest[:8], gone)
    told = timeline_json(timeline)
    return KeptTimeline(name, json_digest(told), told, clips)


def resolved(timeline: Timeline, studio: Studio) -> Timeline:
    """Return a timeline whose models and sounds are called by their files, as a process of its own finds them.

    Raises:
        ConfigError: there is no such model, or it has no latents of clips.
        HTTPException: there is no such sound.
    """
    parts = []
    for part in timeline.parts:
        told = part.transition
        if told is not None and told.model is not None:
            studio.catalog.usable_model(told.model, "interpolate", "reconstruct")
            part = replace(part, transition=replace(told, model=str(studio.catalog.model(told.model))))
        parts.append(part)
    music = timeline.music
    if music is not None and music.sent is not None:
        music = replace(music, sent=None, file=str(studio.sounds.find(music.sent)[0].resolve()))
    return replace(timeline, parts=tuple(parts), music=music)


class Drafts:
    """Stretches of drafts: rendered by a process, and kept for a while."""

    def __init__(self, studio: Studio) -> None:
        impatient = ConfigError("the draft could not be made", "shorten the timeline, or export it as a video")
        self.process = AskedProcess("footage.studio.draft_process", PATIENCE, impatient)
        impatient = ConfigError("the clip could not be rendered", "try again: what is done of it is kept")
        self.renderer = AskedProcess("footage.studio.draft_process", LONGEST, impatient)
        self._studio, self._folder = studio, studio.made_folder(STRETCHES)
        self._known: dict[tuple[str, float], DraftStretch] = {}

    async def stretch(self, timeline: Timeline, at: float) -> DraftStretch:
        """Return the stretch of a timeline's draft in which a time lies.

        Raises:
            ConfigError: the timeline cannot become a film, or it takes too long.
        """
        begin = at // STRETCH * STRETCH
        told = timeline_json(await asyncio.to_thread(resolved, timeline, self._studio))
        return await self._draft(told, {"timeline": json.dumps(told), "at": begin, "seconds": STRETCH})

    async def effects(self, entry: ClipEntry, chain: dict[str, Any]) -> DraftStretch:
        """Return what a chain makes of the first seconds of a clip.

        Raises:
            ConfigError: it makes nothing of it, or takes too long.
        """
        about = {"clip": entry.edited or entry.digest, "chain": chain}
        return await self._draft(about, {"clip": entry.id, "chain": json.dumps(chain), "seconds": LOOKED_AT})

    async def _draft(self, about: dict[str, Any], question: dict[str, Any]) -> DraftStretch:
        """Return what the process makes of a question, or made of it before; it depends on `about`."""
        begin = question.get("at", 0.0)
        key = json_digest(about), begin
        known = self._known.get(key)
        if known is not None and self.find(known.url.rpartition("/")[2]) is not None:
            return known
        path = self._folder.new_folder() / "draft.mp4"
        library = str(self._studio.library.folder.resolve())
        try:
            said, _ = await self.process.ask({**question, "library": library, "to": str(path)})
        except BaseException:  # given up too
            shutil.rmtree(path.parent, ignore_errors=True)
            raise
        made = DraftStretch(f"/api/drafts/{self._folder.put(path)}", begin, said["seconds"], said["fps"])
        self._known = dict([*self._known.items(), (key, made)][-STRETCHES:])
        return made

    async def render(self, clips: Sequence[int], failed: Callable[[int, ConfigError], object] | None = None) -> None:
        """Render those of some clips that have effects and are to be rendered; others wait for it meanwhile.

        Raises:
            ConfigError: a source is gone or cannot be read, and there is no `failed` to be told of it.
        """
        library = self._studio.library
        for clip in await asyncio.to_thread(library.edited.waiting, clips):
            try:
                await self.renderer.ask({"library": str(library.folder.resolve()), "clip": clip})
            except ConfigError as error:
                if failed is None:
                    raise
                failed(clip, error)

    async def write_list(self, told: Timeline, to: Path, urls: dict[str, str]) -> None:
        """Let the process write the edit list of a timeline; `urls` says where files are found, by their paths."""
        library, timeline = str(self._studio.library.folder.resolve()), json.dumps(timeline_json(told))
        await self.process.ask({"timeline": timeline, "library": library, "to": str(to), "urls": json.dumps(urls)})

    def find(self, word: str) -> Path | None:
        """Return the file of a stretch; None where it is no longer kept."""
        return self._folder.get(word)

    async def close(self) -> None:
        """End the process, and remove what was kept."""
        await self.process.close()
        await self.renderer.close()
        self._folder.close()


async def current_drafts(request: Request) -> Drafts:
    return cast(Drafts, request.app.state.drafts)


CurrentDrafts = Annotated[Drafts, Depends(current_drafts)]


@router.get("/timelines")
def list_timelines(library: CurrentLibrary) -> list[TimelineEntry]:
    """Return the timelines by name."""
    return library.timelines.all()


@router.get("/timelines/{name}")
def get_timeline(name: TimelineName, library: CurrentLibrary) -> KeptTimeline:
    """Return a timeline, and what its clips are."""
    return or_404(lambda: kept(name, library))


@router.put("/timelines/{name}")
def save_timeline(name: TimelineName, form: TimelineForm, library: CurrentLibrary) -> KeptTimeline:
    """Keep a timeline under a name, in place of what was kept there before. Can be undone."""
    timeline = timeline_of(form.timeline, "the timeline")
    music = timeline.music
    if timeline.font or any(part.file for part in timeline.parts) or (music and music.file):
        raise ConfigError(
            "the timeline names files of this machine", "give clips of the library, and sounds sent to it"
        )
    name = plain(name)
    library.timelines.save(name, timeline, form.what, form.before)
    return kept(name, library)


@router.delete("/timelines/{name}")
def delete_timeline(name: TimelineName, library: CurrentLibrary) -> dict[str, str]:
    """Delete a timeline; its clips stay. Can be undone."""
    or_404(lambda: library.timelines.get(name))
    library.timelines.delete(name)
    return {"deleted": name}


@router.get("/timelines/{name}/file", response_class=Response)
def get_timeline_file(name: TimelineName, library: CurrentLibrary) -> Response:
    """Return a timeline as a file for `footage film`: clips are called by their digests."""
    timeline = or_404(lambda: library.timelines.get(name))
    told = portable(timeline, lambda clip: or_404(lambda: library.get(clip)).digest)
    headers = {"content-disposition": f"attachment; filename*=utf-8''{quote(file_name(name), safe='')}.json"}
    return Response(timeline_text(told), media_type="application/json", headers=headers)


@router.post("/timelines/{name}/draft")
async def make_draft(
    name: TimelineName, form: StretchForm, studio: CurrentStudio, drafts: CurrentDrafts
) -> DraftStretch:
    """Render a stretch of a timeline small, by the code that writes the film; return where it is fetched."""
    timeline = await asyncio.to_thread(or_404, lambda: studio.library.timelines.get(name))
    return await drafts.stretch(timeline, form.at)


@router.get("/drafts/{word}")
def get_draft(word: str, drafts: CurrentDrafts) -> FileResponse:
    """Return a stretch of a draft that was made before; ranges of its bytes too."""
    path = drafts.find(word)
    if path is None or not path.is_file():
        raise HTTPException(404, "this draft is no longer kept: make it again")
    return clip_response(path, "mp4")


@router.post("/timelines/{name}/list")
async def export_list(name: TimelineName, form: ListForm, studio: CurrentStudio, drafts: CurrentDrafts) -> ExportFile:
    """Write a timeline as an edit list that cutting programs open, with its clips, zipped."""
    timeline = await asyncio.to_thread(or_404, lambda: studio.library.timelines.get(name))
    told = await asyncio.to_thread(resolved, timeline, studio)
    folder, title = studio.exports.new_folder(), file_name(name)
    clips = [studio.library.get(clip).id for clip in timeline.clips]
    await drafts.render(clips)
    entries = await asyncio.to_thread(shown_clips, timeline, studio.library)
    names = {path: with_suffix(f"{file_name(entry.title)}-{entry.id}", entry.suffix) for path, entry in entries.items()}
    urls = {str(path.resolve()): f"clips/{called}" for path, called in names.items()}
    await drafts.write_list(told, folder / f"{title}.{form.format}", urls)
    target = folder / f"{title}-{form.format}.zip"

    def pack() -> int:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
            archive.write(folder / f"{title}.{form.format}", f"{title}.{form.format}")
            for path, called in names.items():
                with locked.open_file(path) as content, archive.open(f"clips/{called}", "w", force_zip64=True) as into:
                    shutil.copyfileobj(content, into)
        return target.stat().st_size

    size = await asyncio.to_thread(pack)
    return ExportFile(f"/api/exports/{studio.exports.put(target)}", target.name, size)


def shown_clips(timeline: Timeline, library: Library) -> dict[Path, ClipEntry]:
    """Return the clips that are seen on a timeline, by their files."""
    shown = dict.fromkeys(part.clip for part in timeline.parts if part.clip is not None)
    return {library.path(clip): library.get(clip) for clip in shown}


@router.post("/timelines/{name}/film")
def make_film(name: TimelineName, studio: CurrentStudio) -> BackgroundJob:
    """Queue the film of a timeline; it is filed in the library. What was given up goes on where it was."""
    timeline = or_404(lambda: studio.library.timelines.get(name))
    if not timeline.parts:
        raise ConfigError("there is nothing on the timeline", "add a clip or a title")
    told = timeline_json(resolved(timeline, studio))
    target = f"{FILMS}/{file_name(name)}-{json_digest(told)[:12]}"
    clips = [studio.library.get(clip).id for clip in timeline.clips]
    request = {"title": name, "timeline": told, "to": target, "clips": clips}
    return submit_job(studio, "film", request, taken=target)
