"""Interface to models and jobs: what can be made, what is being made."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query

from footage.config import Config, IngestConfig, flat, from_json, to_json
from footage.config.presets import FIRST_PRESETS, override, preset, suited_preset
from footage.data.clips import BUILT_IN
from footage.errors import ConfigError, nearest
from footage.evaluation.protocols import EvaluationOptions
from footage.library.jobs import BackgroundJob, State
from footage.machines.local import devices
from footage.models.reactions import read_links
from footage.models.requests import GenerateRequest, read_sliders
from footage.studio.catalog import ModelEntry
from footage.studio.command_jobs import DATA, RUNS
from footage.studio.roles import Role
from footage.studio.schemas import EvaluateForm, GenerateForm, IngestForm, InterpolateForm, PathId, TrainForm
from footage.studio.security import Limits
from footage.studio.state import CurrentLibrary, CurrentStudio, CurrentVisitor, Studio, check_own, or_404

BETWEEN_SECONDS = 4.0
"""Length of what a streaming model makes between two clips, where none is given."""

EVALUATION_OPTIONS = ("metrics", "clips", "frames", "fps", "size", "fit", "split", "networks", "resamples", "seed")
"""Options of an evaluation that can be asked for here: those that name no file."""
LONGEST_REPORT = 120
"""Bytes of the name of a report, at most; disks take 255, and a number may come behind."""
REPEATED = ("ingest", "train", "evaluate", "plan", "film")
"""Kinds of jobs that may be queued again as they were."""
INGEST_OPTIONS = tuple(name for name in vars(IngestConfig()) if name not in ("workers", "name"))

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
    for text in (form.text, form.to_text):
        studio.catalog.card(form.model).check_text(text)
    if form.taste is not None:
        studio.library.taste().check()
    message, plain = to_json(form), form
    if form.audio is not None:
        path, seconds = studio.followed(form.audio)
        read_links(form.react or "")  # complains now
        message["audio"] = str(path)
        length = None if form.seconds is not None or form.frames is not None else seconds
        plain = replace(form, audio=None, react=None, bpm_lock=None, seconds=form.seconds if length is None else length)
    check_amount(limits, form.count, plain.length(studio.catalog.card(form.model)), form.candidates)
    return submit_job(studio, "generate", message)


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


@router.get("/devices")
def list_devices() -> list[str]:
    """Return what can compute here."""
    return devices()


@router.post("/jobs/ingest")
def ingest_videos(form: IngestForm, studio: CurrentStudio) -> BackgroundJob:
    """Queue videos to be made into a data set; one of that name is brought up to date."""
    sources = [str(studio.source(path)) for path in form.sources]
    options = checked(form.options, INGEST_OPTIONS)
    if options.get("labels", "folder") not in ("folder", "none"):
        options["labels"] = str(studio.source(str(options["labels"])))
    from_json(IngestConfig, options, "options")
    name = f"{DATA}/{form.name}"
    if form.into is not None:
        if form.into not in {entry.name for entry in studio.catalog.datasets()}:
            raise ConfigError(f'there is no data set, model or run "{form.into}"', "see the lists of them")
        name = form.into
    request = {"sources": sources, "to": name, "options": options, "title": form.name, "advise": form.advise}
    return submit_job(studio, "ingest", request, taken=name)


@router.post("/jobs/plan")
def plan_training(form: TrainForm, studio: CurrentStudio) -> BackgroundJob:
    """Queue a measurement of what a training would take: rate, memory and size of batches, on this machine."""
    return submit_job(studio, "plan", training_request(form, studio))


@router.post("/jobs/train")
def train_model(form: TrainForm, studio: CurrentStudio) -> BackgroundJob:
    """Queue a training, behind those of the same device; a run of that name goes on.

    Stop it by cancelling the job, or by POST /api/runs/stop: it saves first, and the same request goes on from there.
    """
    request = training_request(form, studio)
    return submit_job(studio, "train", request, taken=request["run"])


@router.post("/jobs/evaluate")
def evaluate_models(form: EvaluateForm, studio: CurrentStudio) -> BackgroundJob:
    """Queue a measurement of models, or of data sets, beside real clips; the result is a report."""
    studio.catalog.check_plain([*form.made, form.real])
    options = checked(form.options, EVALUATION_OPTIONS)
    from_json(EvaluationOptions, options, "options")
    report = report_name(form.made, {str(job.request.get("report")) for job in studio.library.jobs.all(limit=1000)})
    request = {"made": form.made, "real": form.real, "options": options, "report": report}
    return submit_job(studio, "evaluate", {**request, "title": ", ".join(form.made)})


@router.post("/jobs/verify")
def verify_library(studio: CurrentStudio) -> BackgroundJob:
    """Queue a comparison of the library's tables with its files; what can be repaired is."""
    return submit_job(studio, "verify", {})


@router.post("/jobs/embed")
def look_at_clips(studio: CurrentStudio) -> BackgroundJob:
    """Queue a network's look at what is in the clips, for likeness and rough search by words; it has a low priority."""
    return submit_job(studio, "embed", {})


@router.post("/jobs/clear")
def clear_jobs(library: CurrentLibrary, visitor: CurrentVisitor) -> dict[str, int]:
    """Forget the jobs that have ended; of accounts that do not administer, their own."""
    return {"cleared": library.jobs.clear("" if visitor.role >= Role.administer else visitor.name)}


@router.get("/jobs/{job}")
def get_job(job: PathId, library: CurrentLibrary) -> BackgroundJob:
    """Return a job with its progress and its result."""
    return or_404(lambda: library.jobs.get(job))


@router.post("/jobs/{job}/again")
def repeat_job(job: PathId, studio: CurrentStudio, visitor: CurrentVisitor) -> BackgroundJob:
    """Queue a job again that was cancelled or has failed: it goes on where it was, where its kind can."""
    before = or_404(lambda: studio.library.jobs.get(job))
    check_own(visitor, before.actor)
    if before.state not in ("cancelled", "failed") or before.kind not in REPEATED:
        raise ConfigError(f"job {job} is not to be done again", "see the list of jobs")
    taken = "" if before.kind == "plan" else before.request.get("to") or before.request.get("run") or ""
    return submit_job(studio, before.kind, before.request, taken=taken)


@router.post("/jobs/{job}/cancel")
def cancel_job(job: PathId, library: CurrentLibrary, visitor: CurrentVisitor) -> BackgroundJob:
    """Give a job up: at once while it waits, else when its worker hears of it."""
    asked = or_404(lambda: library.jobs.get(job))
    check_own(visitor, asked.actor)
    waiting = asked.state == "queued"
    cancelled = library.jobs.cancel(job)
    if waiting and cancelled.kind == "import" and cancelled.state == "cancelled" and cancelled.started is None:
        library.upload_path(cancelled.request["file"]).unlink(missing_ok=True)  # else its worker does that
    return cancelled


def check_amount(limits: Limits, count: int, frames: int, candidates: int = 0) -> None:
    """Refuse a job of more clips, or of more frames in all, than one may have; however they were asked for.

    `candidates` is how many are made, where that is more than are kept.
    """
    if count > limits.job_clips:
        raise ConfigError(f"count is {count}", f"give at most {limits.job_clips}")
    total = max(count, candidates) * frames
    if total > limits.job_frames:
        raise ConfigError(f"{total:,} frames are asked for", f"give fewer or shorter clips: {limits.job_frames:,}")


def checked(options: Mapping[str, Any], allowed: tuple[str, ...]) -> dict[str, Any]:
    """Return options; refuse one that cannot be given here."""
    for name in options:
        if name not in allowed:
            raise ConfigError(f'options has no "{name}"', nearest(name, allowed))
    return dict(options)


def report_name(made: Sequence[str], taken: Container[str]) -> str:
    """Return a name for the folder of a report that no other has: when it was asked for, and of what."""
    words = re.sub(r"[^\w.-]+", "-", " ".join([time.strftime("%Y-%m-%d %H%M%S"), *made]))
    name = words.encode()[:LONGEST_REPORT].decode("utf-8", "ignore").strip("-.")
    numbered = (f"{name}-{number}" for number in itertools.count(2))
    return next(candidate for candidate in itertools.chain([name], numbered) if candidate not in taken)


def check_device(device: str) -> None:
    """Refuse a device that is not there."""
    if device not in ("auto", "cuda", *devices()):
        raise ConfigError(f'there is no device "{device}" here', nearest(device, devices()))


def training_request(form: TrainForm, studio: Studio) -> dict[str, Any]:
    """Return the request of a training's job; refuse what cannot be trained."""
    if form.data not in BUILT_IN:
        studio.catalog.place(form.data)
    if form.guide is not None and form.guide not in BUILT_IN:
        studio.catalog.place(form.guide)
    if form.begin_with is not None:
        studio.catalog.usable_model(form.begin_with, *studio.catalog.card(form.begin_with).use.verbs)
    if form.preset is not None or form.knobs:
        config = preset(form.preset) if form.preset is not None else suited_config(studio, form.data)
        for name in form.knobs:
            if "." not in name:  # a flag of the command
                raise ConfigError(f'there is no knob "{name}"', nearest(name, flat(to_json(config))))
        encoder = override(config, dict(form.knobs)).text.encoder  # complains now
        if ":" in encoder:  # a folder of this computer, of which the studio says nothing
            raise ConfigError(f"text.encoder is {encoder}", "give own or use; folders are for the command line")
    check_device(form.device)
    return {**form.model_dump(), "run": f"{RUNS}/{form.run}", "title": form.run}


def suited_config(studio: Studio, data: str) -> Config:
    """Return the configuration that suits a data set by the size of its clips; of another, the first preset."""
    entry = next((entry for entry in studio.catalog.datasets() if entry.name == data and not entry.damaged), None)
    return preset(FIRST_PRESETS[0]) if entry is None else suited_preset(entry.height, entry.width, entry.channels)[0]


def submit_job(studio: Studio, kind: str, request: dict[str, Any], taken: str = "") -> BackgroundJob:
    """Put a job into the queue, unless that is full, and wake the worker.

    Where it makes something of a name that is `taken` by a job that waits or runs, it is refused.
    """
    studio.check_key()
    jobs = studio.library.jobs
    for other in (*jobs.all("queued", 1000), *jobs.all("running")) if taken else ():
        if taken in (other.request.get("to"), other.request.get("run")) and other.kind != "plan":
            raise ConfigError(f'a job for "{Path(taken).name}" waits or runs already', "let it end, or cancel it")
    job = jobs.submit(kind, request, studio.limits.queue)
    studio.worker.wake(job)
    return job
