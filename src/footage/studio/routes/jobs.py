"""Interface to models and jobs: what can be made, what is being made."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from footage.config import to_json
from footage.errors import ConfigError
from footage.library.jobs import BackgroundJob, State
from footage.models.requests import GenerateRequest, read_sliders
from footage.studio.catalog import ModelEntry
from footage.studio.schemas import GenerateForm, InterpolateForm, PathId
from footage.studio.security import Limits
from footage.studio.state import CurrentLibrary, CurrentStudio, Studio, or_404

BETWEEN_SECONDS = 4.0
"""Length of what a streaming model makes between two clips, where none is given."""

router = APIRouter(prefix="/api", tags=["models and jobs"])


@router.get("/models")
def list_models(studio: CurrentStudio) -> list[ModelEntry]:
    """Return the models; those that are damaged with the reason."""
    return studio.catalog.models()


@router.get("/jobs")
def list_jobs(
    studio: CurrentStudio, state: State | None = None, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> list[BackgroundJob]:
    """Return the jobs, the newest first."""
    studio.worker.tend()
    return studio.library.jobs.all(state, limit)


@router.post("/jobs/generate")
def generate_clips(form: GenerateForm, studio: CurrentStudio) -> BackgroundJob:
    """Queue clips to be generated; they are filed in the library."""
    model, limits = studio.catalog.usable_model(form.model, "generate"), studio.limits
    read_sliders(form.sliders or {}, model.sliders, model.name)  # complains now
    check_amount(limits, form.count, form.length(studio.catalog.card(form.model)))
    return submit_job(studio, "generate", to_json(form))


@router.post("/jobs/between")
def interpolate_clips(form: InterpolateForm, studio: CurrentStudio) -> BackgroundJob:
    """Queue clips that lie between two clips of the library."""
    model = studio.catalog.usable_model(form.model, "interpolate", "generate")
    ends = [studio.entry(clip) for clip in (form.a, form.b)]
    if "interpolate" in model.verbs:
        check_amount(studio.limits, form.steps, model.frames)
        return submit_job(studio, "between", form.model_dump())
    if not (model.streams and all(entry.weights == model.weights and entry.seed is not None for entry in ends)):
        raise ConfigError(
            f"{form.model} has no way between these clips", "choose a VAE, or the stream model that made both"
        )
    seconds = BETWEEN_SECONDS if form.seconds is None else form.seconds
    way = GenerateRequest(seconds=seconds, between=(ends[0].seed or 0, ends[1].seed or 0))
    check_amount(studio.limits, 1, way.length(studio.catalog.card(form.model)))
    return submit_job(studio, "between", {**form.model_dump(), "seconds": seconds})


@router.post("/jobs/verify")
def verify_library(studio: CurrentStudio) -> BackgroundJob:
    """Queue a comparison of the library's tables with its files; what can be repaired is."""
    return submit_job(studio, "verify", {})


@router.post("/jobs/clear")
def clear_jobs(library: CurrentLibrary) -> dict[str, int]:
    """Forget the jobs that have ended."""
    return {"cleared": library.jobs.clear()}


@router.get("/jobs/{job}")
def get_job(job: PathId, library: CurrentLibrary) -> BackgroundJob:
    """Return a job with its progress and its result."""
    return or_404(lambda: library.jobs.get(job))


@router.post("/jobs/{job}/cancel")
def cancel_job(job: PathId, library: CurrentLibrary) -> BackgroundJob:
    """Give a job up: at once while it waits, else when its worker hears of it."""
    waiting = or_404(lambda: library.jobs.get(job)).state == "queued"
    cancelled = library.jobs.cancel(job)
    if waiting and cancelled.kind == "import" and cancelled.state == "cancelled" and cancelled.started is None:
        library.upload_path(cancelled.request["file"]).unlink(missing_ok=True)  # else its worker does that
    return cancelled


def check_amount(limits: Limits, count: int, frames: int) -> None:
    """Refuse a job of more clips, or of more frames in all, than one may have; however they were asked for."""
    if count > limits.job_clips:
        raise ConfigError(f"count is {count}", f"give at most {limits.job_clips}")
    if count * frames > limits.job_frames:
        raise ConfigError(
            f"{count * frames:,} frames are asked for", f"give fewer or shorter clips: {limits.job_frames:,}"
        )


def submit_job(studio: Studio, kind: str, request: dict[str, Any]) -> BackgroundJob:
    """Put a job into the queue, unless that is full, and wake the worker."""
    job = studio.library.jobs.submit(kind, request, studio.limits.queue)
    studio.worker.wake(kind)
    return job
