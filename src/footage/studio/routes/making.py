"""Interface to what is made of clips: what fits one, and the jobs that continue, enlarge, translate, cut and join."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from footage.errors import ConfigError, MediaError, counted
from footage.library.entries import ClipEntry
from footage.library.jobs import BackgroundJob
from footage.media import narrator
from footage.media.geometry import Size, parse_size, plan_enlargement
from footage.studio.clip_jobs import KEPT_SIZE, LARGEST, PAST_HELD, ClipUse, fitting_use, uses
from footage.studio.routes.jobs import check_amount, submit_job
from footage.studio.schemas import ConvertForm, JoinForm, PathId, PredictForm, TalkForm, TrimForm, UpscaleForm
from footage.studio.state import CurrentStudio, Studio

SLOWEST = 0.25
"""Seconds that a character of a text takes to be said, at most: Chinese ones take that long."""

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


@router.post("/jobs/talk")
def let_figures_speak(form: TalkForm, studio: CurrentStudio) -> BackgroundJob:
    """Queue a video in which the first frames of clips speak: a sound, a text, or a script for several figures."""
    if sum(said is not None for said in (form.audio, form.text, form.script)) != 1:
        raise ConfigError("what is spoken is not clear", "give one of audio, text and script")
    names = [figure.name.strip() for figure in form.figures]
    entries = [source(studio, figure.clip) for figure in form.figures]
    studio.catalog.usable_model(form.model, "talk")
    path, seconds = None, 0.0
    if form.audio is not None:
        path, seconds = studio.followed(form.audio)
        if form.begin >= seconds:
            raise ConfigError(f"begin is {form.begin:g}, and the sound has {seconds:.2f} seconds", "give less")
    else:
        narrator.speech_program(studio.speech)  # complains now
        texts = [form.text or ""]
        if form.script is not None:
            if len(set(names)) < len(names) or not all(names):
                raise ConfigError("figures of a script need names of their own", "give each figure another name")
            turns = narrator.read_script(form.script)
            narrator.check_cast(turns, names)
            texts = [turn.text for turn in turns]
        seconds = sum(len(narrator.read_text(text)) for text in texts) * SLOWEST
    if form.script is None and len(entries) > 1:
        raise ConfigError(f"{len(entries)} figures are given", "give one, or a script")
    check_amount(studio.limits, 1, round(seconds * studio.catalog.card(form.model).fps))
    figures = [{"clip": figure.clip, "name": name} for figure, name in zip(form.figures, names, strict=True)]
    request: dict[str, Any] = {**form.model_dump(), "figures": figures, "audio": None if path is None else str(path)}
    return submit_job(studio, "talk", {**request, "clips": [entry.id for entry in entries]})


@router.post("/jobs/trim")
def trim_clip(form: TrimForm, studio: CurrentStudio) -> BackgroundJob:
    """Queue a part of a clip to become a clip of its own, to the frame, with its sound."""
    entry = source(studio, form.clip)
    if entry.frames < 2:
        raise MediaError(f'"{entry.title}" is a picture', "give a clip")
    if not form.first <= form.last < entry.frames:
        raise ConfigError(
            f"first is {form.first} and last is {form.last}, and clip {entry.id} has {counted(entry.frames, 'frame')}",
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
