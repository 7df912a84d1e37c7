"""Interface to clips with effects: what a chain would make of a clip, small, and the jobs that keep one."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field

from footage.errors import ConfigError, MediaError
from footage.library.edited import LARGEST_TABLE, ColourTable
from footage.library.jobs import BackgroundJob
from footage.library.renders import TABLE
from footage.studio.routes.clips import UPLOAD_BODY, receive
from footage.studio.routes.jobs import check_amount, submit_job
from footage.studio.routes.making import source
from footage.studio.routes.timelines import CurrentDrafts, DraftStretch
from footage.studio.schemas import Id, Name, PathId, StrictForm
from footage.studio.state import CurrentLibrary, CurrentStudio, Studio, or_404

router = APIRouter(prefix="/api", tags=["effects"])


class ChainForm(StrictForm):
    """A chain of effects, to be looked at."""

    chain: dict[str, Any]
    """As its file has it; tables of colours are called as `GET /api/tables` says."""


class EffectsForm(ChainForm):
    """A chain of effects, to be kept."""

    clip: Id
    title: Annotated[Name, Field(min_length=1)] | None = None
    """Of the new clip; left out, that of its source with the names of the effects."""
    change: bool = False
    """Whether the clip, which has effects, gets these in place of its own; else a new clip is made of its source."""


@dataclass(frozen=True)
class ClipEffects:
    """The effects that a clip has."""

    source: int
    """Number of the clip that it is made from."""
    chain: dict[str, Any]
    rendered: bool
    """Whether it can be looked at without waiting."""


def read_chain(studio: Studio, clip: int, chain: dict[str, Any]) -> dict[str, Any]:
    """Return a chain with every knob; refuse one that names files, and a clip that cannot have it."""
    listed = chain.get("effects")
    for item in listed if isinstance(listed, list) else ():
        lut = item.get("lut") if isinstance(item, dict) else None
        if lut is not None and not TABLE.fullmatch(str(lut)):
            raise ConfigError("the chain names a file of this machine", "send the table, and choose it")
    entry = source(studio, clip)
    if entry.frames < 2 or not entry.fps:
        raise MediaError(f'"{entry.title}" is a picture', "give a clip")
    check_amount(studio.limits, 1, entry.frames)
    return studio.library.edited.read(chain)


@router.get("/clips/{clip}/effects")
def get_effects(clip: PathId, studio: CurrentStudio) -> ClipEffects:
    """Return the effects of a clip; 404 where it has none."""
    edited = studio.library.edited
    chain = or_404(lambda: edited.chain(clip))
    return ClipEffects(or_404(lambda: edited.source(clip)).id, chain, not edited.waiting([clip]))


@router.post("/clips/{clip}/effects/draft")
async def make_effects_draft(
    clip: PathId, form: ChainForm, studio: CurrentStudio, drafts: CurrentDrafts
) -> DraftStretch:
    """Render what a chain makes of the first seconds of a clip, small; of one with effects, of its source."""
    chain = await asyncio.to_thread(read_chain, studio, clip, form.chain)
    return await drafts.effects(studio.entry(clip), chain)


@router.post("/jobs/effects")
def keep_effects(form: EffectsForm, studio: CurrentStudio) -> BackgroundJob:
    """Queue a clip with effects: source and chain are kept, and it is rendered, so that nobody waits for it later."""
    chain, edited = read_chain(studio, form.clip, form.chain), studio.library.edited
    if form.change:
        edited.chain(form.clip)  # complains now
    clip = form.clip if form.change else edited.source(form.clip).id
    entry = studio.entry(form.clip)
    request = {"clip": clip, "clips": [form.clip], "chain": chain, "name": form.title, "change": form.change}
    return submit_job(studio, "effects", {**request, "title": form.title or entry.title})


@router.get("/tables")
def list_tables(library: CurrentLibrary) -> list[ColourTable]:
    """Return the tables of colours that chains may call."""
    return library.edited.tables()


@router.post("/tables", openapi_extra=UPLOAD_BODY)
async def send_table(
    request: Request, name: Annotated[str, Query(max_length=300)], studio: CurrentStudio
) -> ColourTable:
    """Keep the table of colours that is the body of the request, a .cube file."""
    path = studio.library.upload_path(f"{secrets.token_hex(8)}.cube")
    try:
        await receive(request, path, LARGEST_TABLE)
        return await asyncio.to_thread(studio.library.edited.add_table, path, name)
    finally:
        path.unlink(missing_ok=True)
