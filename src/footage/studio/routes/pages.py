"""Pages and parts of pages, rendered here by templates; every action on them goes through the interface."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import re
import time
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, cast
from urllib.parse import quote, urlencode, urlsplit

import jinja2
from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from footage import __version__
from footage.config import IngestConfig
from footage.data.ingest.pipeline import ingested_from, options_before
from footage.errors import ConfigError, FootageError, LibraryError
from footage.files import locked
from footage.generation.cutting.effects import EFFECTS
from footage.library.entries import VERDICTS, ClipEntry
from footage.library.import_export import export_formats
from footage.library.jobs import BackgroundJob
from footage.library.query import ANY_OF, SORTS, MetricBounds
from footage.media import narrator
from footage.media.kinds import KEPT_SUFFIXES, VOLUME_SUFFIXES
from footage.media.music import TUNES
from footage.media.transitions import XFADES
from footage.models.requests import parse_duration, parse_factor, write_sliders
from footage.pages.environment import package_environment
from footage.studio import locales
from footage.studio.accounts import DAY, INVITED, SHORTEST
from footage.studio.catalog import ModelEntry
from footage.studio.clip_jobs import LARGEST, ClipUse, uses
from footage.studio.roles import GIVEN, ROLES, Visitor
from footage.studio.routes import albums, clips, datasets, jobs, live, people, ratings
from footage.studio.routes.people import CurrentAccounts
from footage.studio.schemas import PAGE, PARAMETERS, ClipQueryForm, Id, PathId
from footage.studio.state import BY_DEVICE, IN_LIKENESS_TURN, IN_SIGNATURE_TURN, IN_TURN, READY, CurrentStudio, Studio
from footage.studio.uploads import TAKEN

VIDEOS = ("h264", "vp8", "vp9", "av1", "hevc")
"""Codecs that browsers play as videos, in containers that they read."""
CONTAINERS = ("mp4", "m4v", "mov", "webm")
STILLS = ("gif", "webp", "png", "apng", "avif", "jpg", "jpeg", "bmp")
"""Endings that browsers show as pictures."""
DRAWN = 500
LOG_PAGE = 100
FACETS_AMONG = 10_000
"""Clips whose values a panel of filters counts, where no count is kept and more are found."""
JOBS = 50
JOBS_OF_CLIP = 6
IN_PHASES = ("ingest", "plan", "evaluate")
"""Kinds of jobs that say how much of a phase is done, not of all."""
LEAST_DONE = 0.02
"""Part of a job after which it is said how long it takes."""
SIZES = ("64x64", "128", "256", "512", "auto")
"""Sizes of data sets that are offered: both sides, the longer one, or what suits."""


def clip_kind(entry: ClipEntry) -> str:
    """Return how a browser shows a clip: `video`, `image`, `volume`, or `preview` where it cannot."""
    if entry.suffix in VOLUME_SUFFIXES:
        return "volume"
    if entry.codec in VIDEOS and entry.suffix in CONTAINERS:
        return "video"
    return "image" if entry.suffix in STILLS else "preview"


def seconds_left(studio: Studio, job: BackgroundJob) -> float | None:
    """Return about how long a running job goes on, by how far it came; None where that cannot be told, or not yet."""
    if job.kind == BY_DEVICE:  # it may be a run's second job, and says itself how fast it goes
        status = studio.catalog.status(job.request["run"]) if job.state == "running" else None
        return status.seconds_left if status is not None and status.running else None
    if job.kind in IN_PHASES or job.state != "running" or job.started is None or not LEAST_DONE <= job.progress < 1:
        return None
    return (time.time() - job.started) * (1 - job.progress) / job.progress


def generate_parameters(entry: ClipEntry) -> str:
    """Return what the form for generating is to hold to make a clip again, as the parameters of its address."""
    values: dict[str, object] = {"model": entry.model, "seed": entry.seed or 0}
    if entry.label:
        values["label"] = entry.label
    if entry.prompt:
        values["text"] = entry.prompt
    values |= {"count": 1, "seconds": f"{entry.seconds:g}"}
    for name, written in SETTINGS.items():
        with contextlib.suppress(FootageError, TypeError, ValueError, AttributeError):
            if (value := entry.settings.get(name)) is not None:
                values[name] = written(value)
    return urlencode(values)


def browser_name(agent: str) -> str:
    """Return what a browser calls itself, in short: `Firefox, Linux`; of other programs the beginning."""
    browsers = {"Edg": "Edge", "OPR": "Opera", "Firefox": "Firefox", "Chrome": "Chrome", "Safari": "Safari"}
    systems = {"Windows": "Windows", "Android": "Android", "iPhone": "iPhone", "iPad": "iPad", "Mac OS": "macOS"}
    systems["Linux"] = "Linux"
    found = [next((name for mark, name in known.items() if mark in agent), "") for known in (browsers, systems)]
    return ", ".join(filter(None, found)) or agent[:40]


SETTINGS: dict[str, Callable[[Any], object]] = {
    **dict.fromkeys(("to_seed", "motion_seed"), int),
    **dict.fromkeys(("truncation", "strength"), float),
    "to_text": str,
    "slow": lambda value: f"{parse_factor(value, 'slow'):g}",
    "loop": lambda value: f"{parse_duration(value, 'loop'):g}",
    "drift": lambda value: f"{parse_duration(value, 'drift'):g}",
    "sliders": lambda values: write_sliders({int(number): float(value) for number, value in values.items()}),
}
"""Settings of a clip that the form for generating holds, and how they are written in its address."""


@functools.cache
def environment() -> jinja2.Environment:
    """Return the studio's templates."""
    return package_environment(
        "footage.studio",
        duration=locales.duration,
        size=locales.size,
        day=locales.day,
        kind=clip_kind,
        again=generate_parameters,
        browser=browser_name,
        calendar=lambda value: time.strftime("%Y-%m-%d", time.localtime(value)),
    )


class PageRenderer:
    """Renders templates for one request, in the language of who asks."""

    def __init__(self, request: Request, studio: Studio) -> None:
        self._studio, self.visitor = studio, cast(Visitor, request.scope["visitor"])
        chosen, accepted = request.cookies.get(locales.COOKIE, ""), request.headers.get("accept-language", "")
        self.locale = locales.read_locale(locales.preferred(chosen, accepted))

    def may(self, method: str, path: str) -> bool:
        """Whether who asks may call a route, named by the template of its address."""
        return self.visitor.role >= ROLES[method, path]

    def __call__(self, template: str, place: str, **values: Any) -> HTMLResponse:
        """Return a page, or a part of one; `place` is its entry of the navigation, empty for parts."""
        page = environment().get_template(template)
        text = page.render(
            t=self.locale,
            place=place,
            languages={code: locales.read_locale(code) for code in locales.LANGUAGES},
            verdicts=VERDICTS,
            csrf="" if place == "enter" else self._studio.keys.csrf_of(self.visitor),
            may=self.may,
            visitor=self.visitor,
            role=self.visitor.role.name,
            accounts=self._studio.keys.accounts is not None,
            version=__version__,
            folder=self._studio.catalog.folder,
            left=functools.partial(seconds_left, self._studio),
            **values,
        )
        return HTMLResponse(text, headers={"vary": "cookie, accept-language"})


async def page_renderer(request: Request, studio: CurrentStudio) -> PageRenderer:
    return PageRenderer(request, studio)


Page = Annotated[PageRenderer, Depends(page_renderer)]
router = APIRouter(include_in_schema=False)

# Looking through the library


def query_of(request: Request) -> ClipQueryForm:
    return ClipQueryForm.lenient(request.query_params.multi_items())


def first_results(studio: Studio, form: ClipQueryForm) -> dict[str, Any]:
    """Return what the grid of a query fills in: its first page, its total and its address.

    Where the total is None, the grid asks for it when it has its clips.
    """
    form, more = sortable(studio, form)
    query, parameters = form.query(), form.parameters()
    page = studio.library.query(query, limit=PAGE)
    total = len(page.entries) if page.cursor is None else studio.library.count_few(query)
    return {
        "query": form,
        "clips": page.entries,
        "total": total,
        "address": urlencode(parameters),
        "sorts": tuple(SORTS),
        "filtered": {name for name, _ in parameters} - {"sort", "bin", "motion"} != set(),
        "taste_more": more,
    }


def sortable(studio: Studio, form: ClipQueryForm) -> tuple[ClipQueryForm, int]:
    """Return a query in its order, or, before a taste is learned that is asked for, the newest first.

    Beside it, about how many more ratings the taste needs, 0 for none.
    """
    if form.sort != "taste" or not (more := studio.library.taste().more):
        return form, 0
    return form.model_copy(update={"sort": "newest"}), more


@router.get("/")
def show_library(request: Request, studio: CurrentStudio, page: Page) -> HTMLResponse:
    form = query_of(request)
    shown = {
        "exports": export_formats(),
        "undoable": studio.library.undoable,
        "endings": sorted({*KEPT_SUFFIXES, "gz"} - {"niigz"}),
    }
    shown |= {
        "words_ready": studio.library.words_ready(),
        "alike": None if form.like is None else studio.entry(form.like),
    }
    return page("library.html", "bin" if form.bin else "library", **shown, **first_results(studio, form))


@router.get("/parts/clips")
def show_results(request: Request, studio: CurrentStudio, page: Page) -> HTMLResponse:
    return page("results.html", "", **first_results(studio, query_of(request)))


@router.get("/parts/facets", dependencies=[IN_TURN])
def show_facets(request: Request, studio: CurrentStudio, page: Page) -> HTMLResponse:
    form, library = query_of(request), studio.library
    query = form.query()
    views = [(view.name, urlencode(ClipQueryForm.of(view.query).parameters())) for view in library.views.all()]
    facets, partly = library.facets_among(query, 12, FACETS_AMONG)
    for name, column in ANY_OF.items():  # of what can be chosen beside others, all that there would be
        if getattr(query, name) or getattr(query, column) is not None:
            wider = form.model_copy(update={PARAMETERS[name]: [], column: None}).query()
            facets[column] = library.facets_among(wider, 12, FACETS_AMONG)[0][column]
    figures = {name: MetricBounds(name, None, None) for name in library.figure_names()}
    figures |= {bounds.name: bounds for bounds in map(MetricBounds.read, query.metrics)}
    shown = {"facets": facets, "partly": partly, "albums": albums.list_albums(library), "views": views}
    return page("facets.html", "", query=form, figures=figures.values(), **shown)


@router.get("/parts/cards")
def show_cards(ids: Annotated[list[Id], Query(max_length=DRAWN)], studio: CurrentStudio, page: Page) -> HTMLResponse:
    return page("cards.html", "", clips=studio.library.entries(ids))


@router.get("/clip/{clip}", dependencies=[IN_LIKENESS_TURN])
def show_clip(request: Request, clip: PathId, studio: CurrentStudio, page: Page) -> HTMLResponse:
    """Show a clip, and the way to those before and after it, of the query that the address holds."""
    entry, library = studio.entry(clip), studio.library
    form, _ = sortable(studio, query_of(request))
    if entry.deleted is not None and not form.parameters():
        form = ClipQueryForm(bin=True)
    place = library.place(clip, form.query())
    try:
        similar = [like for like, _ in library.similar(clip, limit=12)]
    except LibraryError:
        similar = []
    return page(
        "clip.html",
        "library" if entry.deleted is None else "bin",
        clip=entry,
        query=form,
        address=urlencode(form.parameters()),
        number=place.number,
        total=place.total,
        previous=place.previous,
        next=place.next,
        can_again=entry.model is not None and studio.catalog.model(entry.model) is not None,
        albums=library.albums.of(clip),
        provenance=library.provenance(clip),
        similar=similar,
        classes=library.classes(clip),
        effects=shown_effects(studio, page, entry),
    )


def shown_effects(studio: Studio, page: PageRenderer, entry: ClipEntry) -> dict[str, Any] | None:
    """Return what the page of a clip shows of effects: its own, and the knobs of each kind; None where none may be."""
    if entry.missing or entry.deleted is not None or entry.frames < 2 or not entry.fps or clip_kind(entry) == "volume":
        return None
    if not page.may("POST", "/api/jobs/effects"):
        return None
    kinds = {
        kind: [
            {"name": knob.name, "default": knob.default, "bounds": knob.metadata.get("bounds")}
            for knob in dataclasses.fields(effect)
        ]
        for kind, effect in EFFECTS.items()
    }
    edited, of_source = studio.library.edited, entry.edited is not None
    chain = edited.chain(entry.id)["effects"] if of_source else []
    source = edited.source(entry.id) if of_source else None
    return {"kinds": kinds, "chain": chain, "source": source, "tables": edited.tables()}


@router.get("/parts/signature", dependencies=[IN_SIGNATURE_TURN, READY])
def show_signature(studio: CurrentStudio, page: Page, clip: Id) -> HTMLResponse:
    """Show what the signature of a clip says."""
    told = clips.signature(studio.library.path(studio.entry(clip).id))
    return page("signature.html", "", told=told)


@router.get("/parts/taste")
def show_taste(studio: CurrentStudio, page: Page, clip: Id | None = None) -> HTMLResponse:
    """Show what has been learned of what is kept, or what that says of a clip."""
    learned = studio.library.taste_summary()
    judged = None if clip is None or not learned.ready else studio.library.taste_of(studio.entry(clip).id)
    return page("taste.html", "", learned=learned, clip=clip, judged=judged)


@router.get("/parts/more")
def show_more(clip: Id, studio: CurrentStudio, page: Page) -> HTMLResponse:
    """Show what can be made of a clip: a form for each verb that a model which is here fits, and why others do not."""
    entry = studio.entry(clip)
    fitting: dict[str, list[ClipUse]] = {}
    found = uses(studio.catalog, entry)
    for use in found:
        if not use.reason:
            fitting.setdefault(use.verb, []).append(use)
    unfit = [use for use in found if use.reason]
    talks = any("talk" in model.verbs for model in studio.catalog.models())
    return page(
        "more.html", "", clip=entry, talks=talks, verbs=list(fitting), fitting=fitting, unfit=unfit, most=LARGEST
    )


@router.get("/compare")
def show_comparison(
    studio: CurrentStudio,
    page: Page,
    ids: Annotated[list[Id], Query(max_length=4)] = [],  # noqa: B006
) -> HTMLResponse:
    return page("compare.html", "compare", clips=studio.library.entries(ids))


@router.get("/timeline")
def show_timeline(studio: CurrentStudio, page: Page, name: str = "") -> HTMLResponse:
    """Show a timeline: the one that is named, else the one that was changed last."""
    entries = studio.library.timelines.all()
    latest = max(entries, key=lambda entry: entry.changed, default=None)
    chosen = next((entry for entry in entries if entry.name == name), latest)
    return page(
        "timeline.html",
        "timeline",
        timelines=entries,
        chosen=chosen,
        kinds=XFADES,
        models=[model.name for model in studio.catalog.models() if "interpolate" in model.verbs],
        sounds=studio.sounds.all(),
        tunes=tuple(TUNES),
        formats=[name for name in export_formats() if name in clips.EDIT_LISTS],
    )


@router.get("/duplicates", dependencies=[IN_TURN])
def show_duplicates(studio: CurrentStudio, page: Page) -> HTMLResponse:
    return page("duplicates.html", "library", groups=studio.library.duplicates())


# Generating


@router.get("/generate")
def show_generate_form(request: Request, studio: CurrentStudio, page: Page) -> HTMLResponse:
    found = studio.catalog.models()
    models = [model for model in found if "generate" in model.verbs]
    joining = [model for model in found if model.streams or "interpolate" in model.verbs]
    values, listed = dict(request.query_params), jobs.list_jobs(studio, limit=JOBS)
    between = shared_model(studio, joining, values) or values.get("model")
    damaged = [model for model in found if model.damaged]
    shown = {"models": models, "joining": joining, "between": between, "damaged": damaged, "jobs": listed}
    return page(
        "generate.html",
        "generate",
        values=values,
        sounds=studio.sounds.all(),
        taste_more=studio.library.taste().more,
        presets=studio.library.presets.all(),
        **shown,
    )


def shared_model(studio: Studio, models: list[ModelEntry], values: Mapping[str, str]) -> str | None:
    """Return the model that made the clips `a` and `b` of an address, the one or both; None where they share none."""
    ids = [int(values[side]) for side in ("a", "b") if re.fullmatch(r"[1-9]\d{0,17}", values.get(side, ""))]
    entries = studio.library.entries(ids)
    if not entries or len({entry.weights for entry in entries}) > 1:
        return None
    made = [model.name for model in models if model.weights == entries[0].weights]
    return entries[0].model if entries[0].model in made else next(iter(made), None)


@router.get("/parts/jobs")
def show_jobs(studio: CurrentStudio, page: Page, kind: str = "", clip: Id | None = None) -> HTMLResponse:
    if clip is not None:
        found = [job for job in jobs_of(studio, kind, clip) if job.kind != "detect"]  # which has a place of its own
        return page("jobs.html", "", jobs=found[:JOBS_OF_CLIP], quiet=True)
    return page("jobs.html", "", jobs=jobs_of(studio, kind))


def jobs_of(studio: Studio, kind: str, clip: int | None = None) -> list[BackgroundJob]:
    """Return the newest jobs; of some kinds, with commas between, where any is named; about a clip, where one is."""
    found = [job for job in jobs.list_jobs(studio, limit=1000) if not kind or job.kind in kind.split(",")]
    if clip is not None:
        named = [job for job in found if isinstance(job.request.get("clips", ()), list | tuple)]  # else how many
        asked = (({job.request.get("clip"), job.request.get("a"), *job.request.get("clips", ())}, job) for job in named)
        found = [job for clips, job in asked if clip in clips]
    return found[:JOBS]


@router.get("/parts/badge")
def show_badge(studio: CurrentStudio, page: Page) -> HTMLResponse:
    """Show how many jobs wait or run, and which clip is the newest."""
    return page("badge.html", "", waiting=studio.library.jobs.waiting(), newest=studio.library.newest())


@router.get("/activity")
def show_activity(studio: CurrentStudio, page: Page) -> HTMLResponse:
    listed, steps = jobs.list_jobs(studio, limit=JOBS), studio.library.history(100)
    return page("activity.html", "activity", steps=steps, jobs=listed, unseen=studio.library.unseen())


@router.get("/live")
def show_live(request: Request, studio: CurrentStudio, page: Page) -> HTMLResponse:
    models, values = live.streaming_models(studio.catalog), dict(request.query_params)
    return page("live.html", "live", models=models, values=values, sounds=studio.sounds.all())


@router.get("/talk")
def show_talk(request: Request, studio: CurrentStudio, page: Page) -> HTMLResponse:
    """Show the form by which stills speak, and what they have said; the address may name a model and a still."""
    models = [model for model in studio.catalog.models() if "talk" in model.verbs]
    try:
        told, program = "", Path(narrator.read_command(narrator.speech_program(studio.speech))[0]).name
    except ConfigError:
        told, program = "talk_no_program", ""
    return page(
        "talk.html",
        "talk",
        models=models,
        values=dict(request.query_params),
        sounds=studio.sounds.all(),
        program=program,
        told=told,
        jobs=jobs_of(studio, "talk"),
    )


# Data sets


@router.get("/data")
def show_datasets(studio: CurrentStudio, page: Page, add: str = "") -> HTMLResponse:
    """Show the data sets, and the form that makes one, or adds clips to the one that is named."""
    found = studio.catalog.datasets()
    adding = next((entry for entry in found if entry.name == add and not entry.damaged), None)
    sources: list[str] = []
    before: dict[str, Any] = {}
    if adding is not None:
        place = studio.catalog.place(adding.name)
        sources = ingested_from(place) or []
        before = {name: value for name, value in options_before(place).items() if name in jobs.INGEST_OPTIONS}
        if before.keys() & {"height", "width"}:
            before["size"] = f"{before.pop('width', 64)}x{before.pop('height', 64)}"
    shown = [name for name in jobs.INGEST_OPTIONS if name not in ("size", "height", "width", "labels")]
    return page(
        "data.html",
        "data",
        datasets=found,
        adding=adding,
        sources=[(path, Path(path).name or path) for path in sources],
        before=before,
        options=datasets.option_fields(IngestConfig, tuple(shown)),
        sizes=SIZES,
        endings=sorted(TAKEN),
        unfinished=studio.uploads.unfinished(),
        jobs=jobs_of(studio, "ingest"),
    )


@router.get("/parts/datasets")
def show_dataset_list(studio: CurrentStudio, page: Page) -> HTMLResponse:
    studio.catalog.refresh()
    return page("datasets.html", "", datasets=studio.catalog.datasets())


@router.get("/parts/folders")
def show_folders(
    studio: CurrentStudio,
    page: Page,
    path: Annotated[str, Query(max_length=4000)] = "",
    number: Annotated[int, Query(ge=1, le=10**6)] = 1,
) -> HTMLResponse:
    return page("folders.html", "", here=datasets.list_folders(studio, path, number))


@router.get("/data/audit")
def show_audit(name: datasets.EntryName, studio: CurrentStudio, page: Page) -> HTMLResponse:
    """Show what is in a data set, what was left out and why, and what could be trained from it."""
    facts = datasets.get_audit(name, studio)
    entry = next(entry for entry in studio.catalog.datasets() if entry.name == name)
    volumes = datasets.opened(studio, name).info.volume is not None
    erases, lies = page.may("POST", "/api/jobs/erase"), studio.catalog.place(name)
    return page(
        "audit.html",
        "data",
        facts=facts,
        entry=entry,
        volumes=volumes,
        sources=datasets.source_names(studio, name) if erases else [],
        lies=None if locked.folder_of(lies) else lies,
    )


@router.get("/data/volume")
def show_volume(
    name: datasets.EntryName, studio: CurrentStudio, page: Page, number: Annotated[int, Query(ge=0)] = 0
) -> HTMLResponse:
    """Show a volume of a data set as three planes."""
    dataset = datasets.opened(studio, name)
    if dataset.info.volume is None or number >= len(dataset.rows):
        raise HTTPException(404, "there is no such volume")
    return page("volume.html", "data", name=name, number=number, rows=dataset.rows)


# Judging


@router.get("/rate")
def show_campaigns(studio: CurrentStudio, page: Page) -> HTMLResponse:
    campaigns, makers = ratings.list_campaigns(studio.library), ratings.list_makers(studio.library)
    today, known = date.today().isoformat(), {campaign.name for campaign in campaigns}
    names = itertools.chain([today], (f"{today}-{n}" for n in itertools.count(2)))
    name = next(name for name in names if name not in known)
    return page("rate.html", "rate", campaigns=campaigns, makers=makers, suggested=name)


@router.get("/rate/{campaign}")
def show_pair(request: Request, campaign: str, page: Page) -> HTMLResponse:
    """Show two clips of whose models nothing is told."""
    return page("rating.html", "rate", campaign=campaign, models=request.query_params.getlist("model"))


@router.get("/rate/{campaign}/results")
def show_standings(campaign: str, studio: CurrentStudio, page: Page) -> HTMLResponse:
    report = ratings.get_campaign_report(campaign, studio.library)
    return page("standings.html", "rate", campaign=campaign, report=report)


# Coming in


@router.get("/enter")
def show_entrance(page: Page) -> HTMLResponse:
    return page("enter.html", "enter")


@router.get("/join")
def show_invitation(_: CurrentAccounts, page: Page, name: Annotated[str, Query(max_length=40)] = "") -> HTMLResponse:
    """Show the form for a new account, or, with a name, for its new password."""
    return page("join.html", "enter", name=name, shortest=SHORTEST)


@router.get("/account")
def show_account(accounts: CurrentAccounts, page: Page) -> HTMLResponse:
    own = people.get_account(accounts, page.visitor)
    roles = [role.name for role in GIVEN if role <= page.visitor.role]
    return page("account.html", "account", own=own, roles=roles, shortest=SHORTEST)


@router.get("/people")
def show_people(accounts: CurrentAccounts, page: Page) -> HTMLResponse:
    found, roles = people.list_people(accounts), [role.name for role in GIVEN]
    return page("people.html", "people", people=found, roles=roles, days=round(INVITED / DAY))


@router.get("/log")
def show_log(accounts: CurrentAccounts, page: Page, before: Id | None = None, actor: str = "") -> HTMLResponse:
    """Show a page of the log: the entries before one, and those of one account where one is named."""
    entries = accounts.log(before, actor or None, LOG_PAGE)
    names = [account.name for account in accounts.all()]
    return page("log.html", "people", entries=entries, actor=actor, names=names, more=len(entries) == LOG_PAGE)


@router.get("/language/{code}", response_model=None)
def choose_language(request: Request, code: str) -> Response:
    if code not in locales.LANGUAGES:
        raise HTTPException(404, "there is no such language")
    try:
        came = urlsplit(request.headers.get("referer", ""))
    except ValueError:  # it is no address
        came = urlsplit("")
    place = came.path if came.netloc == request.headers.get("host") and came.path.startswith("/") else "/"
    back = quote("/" + place.lstrip("/")) + (f"?{came.query}" if came.query and place == came.path else "")
    response = RedirectResponse(back, 303)
    response.set_cookie(locales.COOKIE, code, max_age=31_536_000, samesite="strict", httponly=True)
    return response


@router.get("/favicon.ico", response_model=None)
def get_icon() -> Response:
    return RedirectResponse("/static/icon.svg", 308)


def error_page(request: Request, status: int, problem: str, remedy: str) -> HTMLResponse:
    """Return a page in place of one that there is not, or that cannot be shown: why, and the way back."""
    page = PageRenderer(request, request.app.state.studio)
    place = "not_found" if status == 404 else "not_shown"
    response = page(
        "missing.html", place, status=status, problem="" if problem == "Not Found" else problem, remedy=remedy
    )
    response.status_code = status
    return response
