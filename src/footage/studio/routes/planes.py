"""Interface to volumes that are looked at: what they are, and their levels, which a browser shows as three planes."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import FileResponse

from footage.errors import ConfigError
from footage.media.kinds import VOLUME_SUFFIXES
from footage.studio.routes.clips import checked
from footage.studio.routes.datasets import EntryName, fault_of, opened
from footage.studio.schemas import PathId
from footage.studio.state import CurrentStudio, Studio, or_404
from footage.studio.volume_process import VolumeQuestion

UNKEPT = {"cache-control": "no-store"}
"""Headers of levels: browsers keep nothing of a volume that may be erased."""
KEPT = 4
"""Volumes whose levels are kept, in files of at most 144 MiB each."""


class VolumeViews:
    """Volumes that were looked at: read by processes, one after another, and kept for a while."""

    def __init__(self, studio: Studio) -> None:
        self._limits, self._folder = studio.limits, studio.made_folder(KEPT)
        self._turn = asyncio.Lock()
        self._known: dict[str, dict[str, Any]] = {}

    async def show(self, what: str, **where: Any) -> dict[str, Any]:
        """Return what a volume is, as `volume_process.ShownVolume`, with the addresses of its levels as `parts`.

        Args:
            what: tells it, and what it holds, from all others.
            where: it lies, as `VolumeQuestion` has it.

        Raises:
            HTTPException: 422, where it cannot be read within the limits.
        """
        async with self._turn:
            known = self._known.get(what)
            if known is not None and self.find(known["key"]) is not None:
                return known
            folder, limits = self._folder.new_folder(), self._limits
            seconds, memory = limits.check_seconds, limits.check_memory
            question = VolumeQuestion(to=str(folder), seconds=seconds, memory=memory, **where)
            try:
                said = await checked(question.command(), seconds)
            except BaseException:  # given up too
                shutil.rmtree(folder, ignore_errors=True)
                raise
            key = self._folder.put(folder / "whole")
            parts = [{"url": f"/api/volumes/{key}/{name}", "shape": shape} for name, shape in said["parts"].items()]
            view = {**said, "parts": parts, "key": key}
            self._known = dict([*self._known.items(), (what, view)][-KEPT:])
            return view

    def find(self, key: str) -> Path | None:
        """Return the folder of a volume's levels; None where they are no longer kept."""
        path = self._folder.get(key)
        return None if path is None else path.parent

    def close(self) -> None:
        """Remove what was kept."""
        self._folder.close()


async def current_volumes(request: Request) -> VolumeViews:
    return cast(VolumeViews, request.app.state.volumes)


CurrentVolumes = Annotated[VolumeViews, Depends(current_volumes)]
router = APIRouter(prefix="/api", tags=["volumes"])


@router.get("/clips/{clip}/volume")
async def get_clip_volume(clip: PathId, studio: CurrentStudio, volumes: CurrentVolumes) -> dict[str, Any]:
    """Return what a volume of the library is: shape, spacing, unit, window, and where its levels are fetched."""
    entry = await asyncio.to_thread(studio.entry, clip)
    if entry.suffix not in VOLUME_SUFFIXES:
        raise HTTPException(404, f"clip {clip} is no volume")
    path = await asyncio.to_thread(or_404, lambda: studio.library.path(clip))
    return await volumes.show(entry.digest, file=str(path))


@router.get("/datasets/volume")
async def get_dataset_volume(
    name: EntryName, number: Annotated[int, Query(ge=0)], studio: CurrentStudio, volumes: CurrentVolumes
) -> dict[str, Any]:
    """Return the same of a volume of a data set, by its number there."""
    dataset = await asyncio.to_thread(opened, studio, name)
    if dataset.info.volume is None or number >= len(dataset.rows):
        raise HTTPException(404, "there is no such volume")
    if dataset.is_locked and not studio.locked:
        problem = f'"{name}" is locked, and its levels would lie plain in a temporary file'
        raise ConfigError(problem, "serve a locked library, whose studio has these in memory")
    row = dataset.rows[number]
    if reason := fault_of(dataset, row):
        raise HTTPException(422, f"the data set is damaged ({reason})")
    return await volumes.show(f"{row.digest} {dataset.info.volume}", dataset=str(dataset.folder), number=number)


@router.get("/volumes/{key}/{part}")
def get_levels(key: str, part: Literal["half", "whole"], volumes: CurrentVolumes) -> FileResponse:
    """Return levels of a volume that was shown before, uint16 (T, H, W), little-endian."""
    folder = volumes.find(key)
    if folder is None or not (folder / part).is_file():
        raise HTTPException(404, "this volume is no longer kept: open it again")
    return FileResponse(folder / part, media_type="application/octet-stream", headers=UNKEPT)
