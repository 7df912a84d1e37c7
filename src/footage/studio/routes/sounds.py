"""Interface to the sounds that people send, for clips and streams to follow."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import FileResponse

from footage.library.entries import plain
from footage.library.storage import ACTOR
from footage.media.kinds import SOUND_SUFFIXES, suffix_of
from footage.studio.routes.clips import UPLOAD_BODY, checked, clip_response, receive
from footage.studio.sounds import SentSound
from footage.studio.state import CurrentStudio, CurrentVisitor, check_own
from footage.studio.upload_check import Upload

router = APIRouter(prefix="/api", tags=["sounds"])


@router.get("/sounds")
def list_sounds(studio: CurrentStudio) -> list[SentSound]:
    """Return the sounds that were sent, by name."""
    return studio.sounds.all()


@router.post("/sounds", openapi_extra=UPLOAD_BODY)
async def send_sound(request: Request, name: Annotated[str, Query(max_length=300)], studio: CurrentStudio) -> SentSound:
    """Keep the sound that is the body of the request; it is listened to in a process of its own, within limits."""
    limits, suffix, sounds = studio.limits, suffix_of(name), studio.sounds
    if suffix not in SOUND_SUFFIXES:
        raise HTTPException(415, f'".{plain(suffix)}" is no ending of a sound')
    sounds.check_room()
    path = studio.library.upload_path(f"{secrets.token_hex(8)}.{suffix}")
    upload = Upload(
        library="",
        file=str(path),
        title=plain(Path(name).name),
        seconds=limits.check_seconds,
        memory=limits.check_memory,
        most=limits.sound,
    )
    try:
        await receive(request, path, limits.sound)
        async with studio.upload_checks:
            heard = await checked(upload.command(), upload.seconds)
        return await asyncio.to_thread(
            sounds.keep, path, upload.title, heard["seconds"], heard["tempo"], ACTOR.get().name
        )
    finally:
        path.unlink(missing_ok=True)


@router.get("/sounds/{sound}/file")
def get_sound_file(sound: str, studio: CurrentStudio) -> FileResponse:
    """Return a sound as it was sent."""
    path, _ = studio.sounds.find(sound)
    return clip_response(path, suffix_of(path))


@router.delete("/sounds/{sound}")
def remove_sound(sound: str, studio: CurrentStudio, visitor: CurrentVisitor) -> dict[str, str]:
    """Remove a sound; clips that follow it stay."""
    _, known = studio.sounds.find(sound)
    check_own(visitor, known.actor)
    studio.sounds.remove(sound)
    return {"removed": sound}
