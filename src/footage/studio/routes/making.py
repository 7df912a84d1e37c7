"""Interface to what is made of clips: what fits one, and the jobs that continue, enlarge, translate, cut and join."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from footage.errors import ConfigError, MediaError
from footage.library.entries import ClipEntry
from footage.library.jobs import BackgroundJob
from footage.media.geometry import Size, parse_size, plan_enlargement
from footage.studio.clip_jobs import KEPT_SIZE, LARGEST, PAST_HELD, ClipUse, fitting_use, uses
from footage.studio.routes.jobs import check_amount, submit_job
from footage.studio.schemas import ConvertForm, JoinForm, PathId, PredictForm, TrimForm, UpscaleForm
from footage.studio.state import CurrentStudio, Studio

router = APIRouter(prefix="/api", tags=["making of clips"])


@router.get("/clips/{clip}/uses")
def list_uses(clip: PathId, studio: CurrentStudio) -> list[ClipUse]:
    """Return what models can make of a clip, and which cannot, with the reason."""
    return uses(studio.catalog, studio.entry(clip))


@router.post("/jobs/predict")
def predict_clip(form: PredictForm, studio: CurrentStudio) -> BackgroundJob:
    """Queue frames that follow a clip, in one or several ways; each becomes a clip of its own."""
    entry = source(studio, form.clip)
    use = fitting_use(studio.catalog, form.model, "predict", entry)
    if form.futures > 1 and not use.several:
        raise ConfigError(f"futures is {form.futures}, and {form.model} knows one future only", "give 1")
    studio.catalog.card(form.model).check_text(form.text)
    shown = min(entry.frames, PAST_HELD) if form.past == "all" else 0
    check_amount(studio.limits, form.futures, (form.frames or use.frames) + shown)
    return submit_of(studio, "predict", form, entry)


@router.post("/jobs/translate")
def translate_clip(form: ConvertForm, studio: CurrentStudio) -> BackgroundJob:
    """Queue a clip to be turned into another."""
    return submit_conversion(studio, "translate", form)


@router.post("/jobs/animate")
def animate_picture(form: ConvertForm, studio: CurrentStudio) -> BackgroundJob:
    """Queue clips that are made of a picture, or of a clip's first frame."""
    return submit_conversion(studio, "animate", form)


@router.post("/jobs/reconstruct")
def reconstruct_clip(form: ConvertForm, studio: CurrentStudio) -> BackgroundJob:
    """Queue a clip to be packed by an autoencoder, and unpacked again."""
    return submit_conversion(studio, "reconstruct", form)


@router.post("/jobs/upscale")
def upscale_clip(form: UpscaleForm, studio: CurrentStudio) -> BackgroundJob:
    """Queue a clip to be made larger; its sound and rate stay."""
    entry = source(studio, form.clip)
    use = fitting_use(studio.catalog, form.model, "upscale", entry)
    shown = Size(entry.height, entry.width)
    frame = parse_size(form.size, shown, use.scale)
    plan_enlargement(shown, shown, frame, use.scale, form.fit)  # complains now
    if max(frame.height, frame.width) > LARGEST:
        raise ConfigError(f"size is {frame}", f"give {LARGEST} pixels at most")
    check_amount(studio.limits, 1, entry.frames)
    return submit_of(studio, "upscale", form, entry)


@router.post("/jobs/trim")
def trim_clip(form: TrimForm, studio: CurrentStudio) -> BackgroundJob:
    """Queue a part of a clip to become a clip of its own, to the frame, with its sound."""
    entry = source(studio, form.clip)
    if entry.frames < 2:
        raise MediaError(f'"{entry.title}" is a picture', "give a clip")
    if not form.first <= form.last < entry.frames:
        raise ConfigError(
            f"first is {form.first} and last is {form.last}, and clip {entry.id} has {entry.frames:,} frames",
            f"give 0 to {entry.frames - 1}, the first before the last",
        )
    check_amount(studio.limits, 1, form.last - form.first + 1)
    request = form.model_dump(exclude={"clip"})
    return submit_job(studio, "trim", {**request, "clips": [form.clip], "fit": "letterbox", "title": entry.title})


@router.post("/jobs/join")
def join_clips(form: JoinForm, studio: CurrentStudio) -> BackgroundJob:
    """Queue clips to become one, one behind the other."""
    entries = [source(studio, clip) for clip in form.clips]
    for entry in entries:
        if entry.frames < 2:
            raise MediaError(f'"{entry.title}" is a picture', "give a clip")
    check_amount(studio.limits, 1, sum(entry.frames for entry in entries))
    title = " + ".join(entry.title for entry in entries)[:200]
    return submit_job(studio, "join", {**form.model_dump(), "first": 0, "last": None, "title": title})


def source(studio: Studio, clip: int) -> ClipEntry:
    """Return a clip of which something is to be made; refuse one whose file is gone."""
    entry = studio.entry(clip)
    if entry.missing:
        raise MediaError(f"the file of clip {clip} is gone", "add it again")
    return entry


def submit_conversion(studio: Studio, verb: str, form: ConvertForm) -> BackgroundJob:
    """Queue what translators and autoencoders do; refuse what the model does not."""
    entry = source(studio, form.clip)
    use = fitting_use(studio.catalog, form.model, verb, entry)
    if form.frames is not None and verb != "animate":
        raise ConfigError(f"frames is {form.frames}, and {form.model} makes as many as it is given", "leave it out")
    if form.futures > 1 and not use.several:
        raise ConfigError(f"futures is {form.futures}, and {form.model} makes one of a clip", "give 1")
    if form.own_size and not use.keeps_size and (use.width, use.height) != (entry.width, entry.height):
        raise ConfigError(f"own_size is asked for, and the clip has more than {KEPT_SIZE:,} pixels", "leave it out")
    studio.catalog.card(form.model).check_text(form.text)
    check_amount(studio.limits, form.futures, (form.frames or use.frames) if verb == "animate" else entry.frames)
    return submit_of(studio, verb, form, entry)


def submit_of(studio: Studio, kind: str, form: BaseModel, entry: ClipEntry) -> BackgroundJob:
    """Queue a job that a form about one clip asks for."""
    request: dict[str, Any] = form.model_dump()
    return submit_job(studio, kind, {**request, "title": entry.title})
