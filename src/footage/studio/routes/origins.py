"""Interface to where clips come from, what models tell of their training clips, and what is erased for good."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from pydantic import Field

from footage.data.ingest.erasure import Erasure, find_named, known_sources, load_ingested, named, who_saw
from footage.errors import ConfigError, FootageError
from footage.files import json_digest
from footage.library.jobs import BackgroundJob
from footage.studio.routes.datasets import EntryName, opened
from footage.studio.routes.jobs import report_name, submit_job
from footage.studio.routes.pages import Page, jobs_of
from footage.studio.schemas import Id, Name, PathId, StrictForm
from footage.studio.state import CurrentStudio, Studio, or_404

LEAST, MOST = 16, 100_000
"""Clips that are generated to find out what a model tells."""
SourceName = Annotated[str, Field(min_length=1, max_length=1000)]

router = APIRouter()


class PrivacyForm(StrictForm):
    """A model, and the data set that it was trained on."""

    model: Name
    data: Name
    clips: Annotated[int, Field(ge=LEAST, le=MOST)] = 1000
    """That are generated; the more, the more is found."""


class EraseForm(StrictForm):
    """A source to be erased for good from a data set, and the library."""

    dataset: Name
    source: SourceName
    """Its name in the data set, or a folder of sources there."""
    typed: SourceName
    """The same, typed by whoever agrees."""


@dataclass(frozen=True)
class ForeseenErasure:
    """What would go with a source."""

    sources: list[str]
    """Their names in the data set."""
    clips: int
    """Of the data set."""
    library: int
    """Clips of the library that are, or were made from, these files."""
    models: tuple[str, ...]
    """Which models have learned from it, or may have; these stay as they are."""


@router.post("/api/clips/{clip}/origin", tags=["origins"])
def ask_origin(clip: PathId, studio: CurrentStudio) -> BackgroundJob:
    """Queue a look whether a clip was made: by the mark, by what it is a copy of, at last by how it looks."""
    entry = studio.entry(clip)
    or_404(lambda: studio.library.path(studio.library.edited.source(clip).id))  # the job renders it
    return submit_job(studio, "detect", {"clips": [entry.id], "title": entry.title})


@router.get("/parts/origin", include_in_schema=False)
def show_origin(clip: Id, studio: CurrentStudio, page: Page) -> HTMLResponse:
    """Show what was found out about where a clip comes from, and the button that asks."""
    entry = studio.entry(clip)
    return page("origin.html", "", clip=entry, job=next(iter(jobs_of(studio, "detect", clip)), None))


@router.post("/api/jobs/privacy", tags=["origins"])
def audit_privacy(form: PrivacyForm, studio: CurrentStudio) -> BackgroundJob:
    """Queue a look at what a model tells of its training clips; the result is a report."""
    studio.catalog.usable_model(form.model, "generate")
    studio.catalog.check_plain([form.model, form.data])
    taken = {str(job.request.get("report")) for job in studio.library.jobs.all(limit=1000)}
    request = {**form.model_dump(), "report": report_name([form.model, "privacy"], taken), "title": form.model}
    return submit_job(studio, "privacy", request)


@router.get("/api/datasets/erasure", tags=["origins"])
def foresee_erasure(
    name: EntryName, source: Annotated[str, Query(min_length=1, max_length=1000)], studio: CurrentStudio
) -> ForeseenErasure:
    """Return what would go with a source of a data set, and which models have seen it; nothing is changed."""
    return foreseen(studio, name, source)


def foreseen(studio: Studio, name: str, source: str) -> ForeseenErasure:
    """Look at all that an erasure would do.

    Raises:
        ConfigError: the name is empty.
        DatasetError: there is no such source, or no other.
    """
    dataset, erasure = opened(studio, name), Erasure(source)
    names = named(dataset.folder, source, known_sources(dataset, load_ingested(dataset.folder)))
    erasure.foresee(dataset.folder)
    usable = [entry.name for entry in studio.catalog.models() if not entry.damaged]
    cards = [
        (model, card.dataset, card.dataset_hash)
        for model, card in zip(usable, map(studio.catalog.card, usable), strict=True)
    ]
    folders = {path.resolve(): model for model in usable if (path := studio.catalog.model(model)) is not None}
    made = [
        (
            folders.get(Path(one.folder).resolve(), one.folder) if one.folder else one.name,
            one.dataset,
            one.dataset_digest,
        )
        for one in studio.library.models()
    ]
    clips = sum(row.source in names for row in dataset.rows)
    found = studio.library.count_erased(erasure.digests, erasure.paths if erasure.digests else {source})
    return ForeseenErasure(names, clips, found, who_saw([*made, *cards], erasure.hashes))


@router.get("/parts/erasure", include_in_schema=False)
def show_erasure(
    name: EntryName, source: Annotated[str, Query(max_length=1000)], studio: CurrentStudio, page: Page
) -> HTMLResponse:
    """Show what would go with a source, and the field in which its name is typed to agree."""
    values: dict[str, Any] = {"dataset": name, "source": source}
    try:
        return page("erasure.html", "", found=foreseen(studio, name, source), problem="", **values)
    except FootageError as error:
        return page("erasure.html", "", found=None, problem=str(error), **values)


@router.post("/api/jobs/erase", tags=["origins"])
def erase_source(form: EraseForm, studio: CurrentStudio) -> BackgroundJob:
    """Queue the erasure of a source from a data set and the library, for good. The job does not hold its name."""
    if form.typed != form.source:
        raise ConfigError("what was typed is not the source's name", "type it as it stands there")
    foreseen(studio, form.dataset, form.source)
    find_named(studio.catalog.place(form.dataset), json_digest(form.source))  # as the job will; a path is no name
    request = {"dataset": form.dataset, "source": json_digest(form.source), "title": form.dataset}
    job = submit_job(studio, "erase", request, taken=form.dataset)
    studio.erasing.add(job.id)
    return job
