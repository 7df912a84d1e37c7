"""Pages of what is trained and measured: runs, the form of a training, models, evaluations and reports."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import HTMLResponse

from footage.config.presets import preset
from footage.config.registry import USES
from footage.data.clips import BUILT_IN
from footage.errors import ConfigError
from footage.library.jobs import BackgroundJob
from footage.machines.local import devices
from footage.pages.plots import COLOURS, Plot, PlotSeries, line_svg
from footage.studio.catalog import DatasetEntry, ModelEntry
from footage.studio.routes import trainings
from footage.studio.routes.pages import Page, PageRenderer, jobs_of
from footage.studio.schemas import Id
from footage.studio.state import CurrentStudio, Studio, or_404, same_device
from footage.studio.training_form import knobs, preset_choices, run_settings
from footage.training.diagnostics import WARM_UP

PLOT_SIZE = (640, 200)
"""Width and height of a plot of a run's figures, in its own units."""
SUGGESTED = 6
"""Presets that are shown first, at most; the others are folded away."""
MEASURING = "evaluate,privacy"
"""Kinds of jobs that write reports."""
BUILT_IN_SIZE = 64
"""Height and width, in pixels, that built-in data sets are shown for; they are made of any size."""
METRICS = (
    ("pictures", "seconds"),
    ("motion", "seconds"),
    ("diversity", "seconds"),
    ("memorisation", "neighbours"),
    ("fvd", "minutes"),
    ("kvd", "minutes"),
    ("prdc", "minutes"),
    ("fid", "minutes"),
    ("kid", "minutes"),
    ("accuracy", "minutes"),
    ("fidelity", "minutes"),
    ("text", "minutes"),
    ("sync", "minutes"),
    ("volumes", "seconds"),
)
"""What an evaluation can measure, and what it costs: closed forms of pixels take seconds beyond the making of clips;
what compares each clip with all training clips, or asks feature networks, takes minutes. See docs/studio.md."""

router = APIRouter(include_in_schema=False)


# Runs


def training_jobs(studio: Studio) -> list[tuple[BackgroundJob, int]]:
    """Return the trainings that run or wait, the next first, each with its place in line for its device.

    The first one is 0: it runs, or will in a moment.
    """
    running = studio.library.jobs.all("running", 1000)
    waiting, places = studio.library.jobs.all("queued", 1000), dict[tuple[str, ...], int]()
    listed = [(job, 0) for job in reversed(running) if job.kind == "train"]
    busy = {same_device(job.request["device"]) for job, _ in listed}
    for job in reversed(waiting):
        if job.kind == "train":
            device = same_device(job.request["device"])
            places[device] = places.get(device, 0 if device in busy else -1) + 1
            listed.append((job, places[device]))
    return listed


def listed_runs(studio: Studio) -> dict[str, Any]:
    """Return what the list of runs fills in: runs, with the figures of their models, and what waits."""
    runs, models = studio.catalog.runs(), {model.name: model for model in studio.catalog.models()}
    queue, known = training_jobs(studio), {run.name for run in runs}
    return {
        "runs": sorted(runs, key=lambda run: (not run.running, -run.changed)),
        "queue": {job.request["run"]: (job, place) for job, place in queue},
        "waiting": [(job, place) for job, place in queue if job.request["run"] not in known],
        "models": models,
    }


@router.get("/training")
def show_runs(studio: CurrentStudio, page: Page) -> HTMLResponse:
    return page("training.html", "training", **listed_runs(studio))


@router.get("/parts/runs")
def show_run_list(studio: CurrentStudio, page: Page) -> HTMLResponse:
    return page("runs.html", "", **listed_runs(studio))


def run_values(studio: Studio, page: PageRenderer, name: str) -> dict[str, Any]:
    """Return what the templates about a run fill in: state, curves, samples, signs; 404 without such a run."""
    queue = {job.request["run"]: (job, place) for job, place in training_jobs(studio)}
    if studio.catalog.run(name) is None and name in queue:  # it has not begun
        figures: dict[str, Any] = {"figures": {}, "samples": [], "signs": []}
    else:
        figures = trainings.get_run_figures(name, studio)
    t, plots = page.locale, []
    for group, figure_points in trainings.group_figures(figures["figures"]).items():
        series = []
        for number, (figure, points) in enumerate(figure_points.items()):
            clips, values = zip(*points, strict=True)
            series.append(PlotSeries(t.figure(figure), clips, values, f"c{number % COLOURS}").thinned())
        title = t(group) if group in trainings.FIGURE_GROUPS and group in t.texts else t.figure(group)
        unit = trainings.FIGURE_UNITS.get(group)
        plot = Plot(title, t("clips_seen"), series, unit=t(f"unit_{unit}") if unit else "")
        plots.append((plot, line_svg(plot, size=PLOT_SIZE, wild=False, point=t.texts["plot_point"])))
    samples = figures["samples"]
    return {
        "name": name,
        "run": next((run for run in studio.catalog.runs() if run.name == name), None),
        "queued": queue.get(name),
        "plots": plots,
        "samples": samples,
        "sheets": sorted({sample.rsplit(".", 1)[0] for sample in samples if sample.endswith(".mp4")}),
        "latest": max((sample.rsplit(".", 1)[0] for sample in samples), default=None),
        "signs": figures["signs"],
        "judged_from": WARM_UP,
    }


@router.get("/training/run")
def show_run(name: str, studio: CurrentStudio, page: Page) -> HTMLResponse:
    values = run_values(studio, page, name)
    model = next((model for model in studio.catalog.models() if model.name == name), None)
    own = trainings.own_device(studio, values["run"]) if values["run"] is not None else "auto"
    return page("run.html", "training", model=model, devices=devices(), own_device=own, **values)


@router.get("/parts/run")
def show_run_curves(name: str, studio: CurrentStudio, page: Page) -> HTMLResponse:
    return page("curves.html", "", **run_values(studio, page, name))


# A new training

Values = Annotated[list[str], Query(max_length=100)]


@router.get("/training/new")
def show_training_form(
    studio: CurrentStudio,
    page: Page,
    data: str = "",
    run: Annotated[str, Query(alias="from")] = "",
    knob: Values = [],  # noqa: B006
) -> HTMLResponse:
    """Show the form of a training: empty, or filled with what a run was asked for, with knobs `NAME:VALUE` changed."""
    datasets = [entry for entry in studio.catalog.datasets() if not entry.damaged]
    filled: dict[str, Any] = {"preset": "", "knobs": {}, "kept_back": (), "guide": None}
    if run:
        path = studio.catalog.run(run)
        if path is None:
            raise HTTPException(404, "there is no such run")
        settings = run_settings(run, studio.catalog.config(run))
        filled |= {"preset": settings.preset, "knobs": dict(settings.knobs), "kept_back": settings.kept_back}
        with contextlib.suppress(ConfigError):  # it lies elsewhere: another is chosen
            data = data or trainings.dataset_name(studio, settings.data)
        with contextlib.suppress(ConfigError):
            filled["guide"] = settings.guide and trainings.dataset_name(studio, settings.guide)
    for text in knob:
        name, _, value = text.partition(":")
        filled["knobs"][name] = knob_value(value)
    chosen = next((entry for entry in datasets if entry.name == data), None)
    if chosen is None and data not in BUILT_IN:
        chosen = datasets[0] if datasets else None
    choices = sized_choices(chosen)
    of_family = {choice.family: choice for choice in reversed(choices) if choice.suits}  # the first of each
    best, suited = choices[0].name, [choice for choice in choices if choice in of_family.values()][:SUGGESTED]
    if filled["preset"] and filled["preset"] not in [choice.name for choice in suited]:
        suited = [next(choice for choice in choices if choice.name == filled["preset"]), *suited[: SUGGESTED - 1]]
    return page(
        "new_training.html",
        "training",
        datasets=datasets,
        built_in=BUILT_IN,
        data=chosen.name if chosen is not None else data if data in BUILT_IN else BUILT_IN[0],
        suited=suited,
        others={method: [c for c in choices if c.method == method and c not in suited] for method in USES},
        best=best,
        source=run,
        filled=filled,
        runs=[entry.name.removeprefix("runs/") for entry in studio.catalog.runs()],
        models=[model for model in studio.catalog.models() if not model.damaged],
        devices=devices(),
    )


def sized_choices(data: DatasetEntry | None) -> list[Any]:
    """Return the presets, those first that suit a data set; None for a built-in one."""
    if data is None:
        return list(preset_choices(BUILT_IN_SIZE, BUILT_IN_SIZE))
    return list(preset_choices(data.height, data.width, data.channels))


def knob_value(text: str) -> bool | float | int | str:
    """Read a knob's value out of an address."""
    with contextlib.suppress(ValueError):
        value = json.loads(text)
        if isinstance(value, bool | int | float):
            return value
    return text


@router.get("/parts/knobs")
def show_knobs(name: Annotated[str, Query(alias="preset", max_length=200)], page: Page) -> HTMLResponse:
    """Show the knobs of a preset, with their help."""
    return page("knobs.html", "", knobs=knobs(preset(name)))


@router.get("/parts/plan")
def show_plan(job: Id, studio: CurrentStudio, page: Page) -> HTMLResponse:
    """Show what a training was measured to take, or how far that is."""
    found = or_404(lambda: studio.library.jobs.get(job))
    if found.kind != "plan":
        raise HTTPException(404, "there is no such plan")
    plan = (found.result or {}).get("plan") or {}
    rate, request = float(plan.get("clips_per_second") or 0.0), found.request
    clips, minutes = request.get("clips"), request.get("minutes")
    seconds = min((s for s in (clips and rate and clips / rate, minutes and minutes * 60) if s), default=None)
    return page("plan.html", "", job=found, plan=plan, seconds=seconds, seen=seconds and round(seconds * rate))


# Models


def by_use(models: Iterable[ModelEntry]) -> dict[str, list[ModelEntry]]:
    """Return models by the command that they were made for, in the order in which pages show these."""
    groups: dict[str, list[ModelEntry]] = {
        verb: [] for verb in ("generate", "predict", "upscale", "translate", "reconstruct")
    }
    for model in models:
        if not model.damaged:
            groups.setdefault(model.verbs[0], []).append(model)
    return {verb: listed for verb, listed in groups.items() if listed}


@router.get("/models")
def show_models(studio: CurrentStudio, page: Page) -> HTMLResponse:
    found = studio.catalog.models()
    damaged = [model for model in found if model.damaged]
    runs = {run.name for run in studio.catalog.runs()}
    return page("models.html", "models", groups=by_use(found), damaged=damaged, runs=runs)


# Evaluations and reports


@router.get("/evaluate")
def show_evaluation_form(studio: CurrentStudio, page: Page, made: str = "", real: str = "") -> HTMLResponse:
    """Show the form of an evaluation: a model beside data, or two."""
    models = [model for model in studio.catalog.models() if not model.damaged]
    datasets = [entry for entry in studio.catalog.datasets() if not entry.damaged]
    origin = {model.name: own_data(model, datasets) for model in models}
    return page(
        "evaluate.html",
        "reports",
        groups=by_use(models),
        datasets=datasets,
        built_in=BUILT_IN,
        origin=origin,
        made=made,
        real=real or origin.get(made, ""),
        metrics=METRICS,
    )


def own_data(model: ModelEntry, datasets: Iterable[DatasetEntry]) -> str:
    """Return what the data set is called here that a model learned from, by its name; empty where it is not here."""
    if model.dataset in BUILT_IN:
        return model.dataset
    return next((entry.name for entry in datasets if entry.name.rsplit("/", 1)[-1] == model.dataset), "")


@router.get("/reports")
def show_reports(studio: CurrentStudio, page: Page) -> HTMLResponse:
    return page(
        "reports.html", "reports", reports=studio.catalog.reports(), jobs=jobs_of(studio, MEASURING), kinds=MEASURING
    )


@router.get("/reports/view")
def show_report(name: str, studio: CurrentStudio, page: Page) -> HTMLResponse:
    """Show a report inside a frame that can run nothing, or as text with its picture."""
    path = studio.catalog.report(name)
    if path is None:
        raise HTTPException(404, "there is no such report")
    text = path.read_text(encoding="utf-8", errors="replace") if path.suffix == ".md" else None
    picture = path.with_suffix(".png").name
    shown = text is not None and studio.catalog.report_picture(name, picture) is not None
    return page("report.html", "reports", name=name, text=text, picture=picture if shown else None)
