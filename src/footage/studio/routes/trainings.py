"""Interface to training runs, data-set audits and reports, as the catalog finds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import FileResponse, PlainTextResponse, Response

from footage.config import Config
from footage.data.clips import BUILT_IN
from footage.errors import ConfigError
from footage.library.jobs import BackgroundJob
from footage.machines.local import devices
from footage.studio.catalog import MOST_FIGURES, DatasetEntry, ReportEntry, RunEntry
from footage.studio.routes.clips import StoredFile
from footage.studio.routes.jobs import check_device, submit_job
from footage.studio.schemas import ContinueForm
from footage.studio.security import DOCUMENT_POLICY
from footage.studio.state import CurrentStudio, CurrentVisitor, Studio, check_own
from footage.studio.training_form import PresetChoice, preset_choices, run_settings
from footage.training.diagnostics import WARM_UP, Diagnostic, helpful_changes, judge_critics, judge_samples
from footage.training.run_folder import RunFolder

EntryName = Annotated[str, Query(max_length=1000)]
FileName = Annotated[str, Query(max_length=200)]
SAMPLES = {".mp4": "video/mp4", ".png": "image/png"}
"""Endings of a run's samples, and their media types."""

Points = Sequence[tuple[float, float]]
"""A figure through a training: (clips seen, value) each."""
FIGURE_GROUPS: dict[str, tuple[str, ...]] = {
    "losses": ("_loss",),
    "critics": ("_real", "_fake"),
    "samples": ("_ratio",),
    "excess": ("_excess",),
    "overfitting": ("_heldout_gap",),
    "penalties": ("_r1", "_r2", "_temporal", "_gradient_penalty"),
    **{
        name: (name,)
        for name in ("psnr", "l1", "square", "consistency", "frame_mse", "posterior_mse", "heldout_copies")
    },
    "speed": ("clips_per_second",),
    "memory": ("memory_gib",),
}
"""Figures that are drawn together, by how their names end."""
FIGURE_UNITS = {
    **{"losses": "loss", "critics": "logits", "samples": "ratio", "excess": "excess", "overfitting": "logits"},
    **{"penalties": "penalty", "psnr": "decibels", "l1": "levels", "heldout_copies": "share"},
    **{"speed": "rate", "memory": "gib"},
}
"""Units of what is drawn together, by their names in the locales (`unit_…`)."""

router = APIRouter(prefix="/api", tags=["training and reports"])


@router.get("/runs")
def list_runs(studio: CurrentStudio) -> list[RunEntry]:
    """Return the training runs, the latest first."""
    return studio.catalog.runs()


@router.post("/runs/stop")
def stop_run(run: EntryName, studio: CurrentStudio, visitor: CurrentVisitor) -> RunEntry:
    """Ask a run to save and stop, wherever it was started; refuse one that is not being trained."""
    path = studio.catalog.run(run)
    if path is None:
        raise HTTPException(404, "there is no such run")
    entry = next(entry for entry in studio.catalog.runs() if entry.name == run)
    if not entry.running:
        raise ConfigError(f"{run} is not being trained", "see the list of runs")
    running = studio.library.jobs.all("running")
    trained = (job.actor for job in running if job.kind == "train" and job.request["run"] == run)
    check_own(visitor, next(trained, ""))
    RunFolder(path).ask_to_stop()
    return entry


@router.post("/runs/continue")
def continue_run(run: EntryName, form: ContinueForm, studio: CurrentStudio) -> BackgroundJob:
    """Queue a run to go on, wherever it was begun: to the end that it had, or for so much longer."""
    path = studio.catalog.run(run)
    if path is None:
        raise HTTPException(404, "there is no such run")
    if form.device is not None:
        check_device(form.device)
    entry, settings = (
        next(entry for entry in studio.catalog.runs() if entry.name == run),
        run_settings(run, studio.catalog.config(run)),
    )
    if entry.running:
        raise ConfigError(f"{run} is being trained already", "stop it first")
    status = entry.status
    clips, minutes = (None, None) if status is None else (status.target_clips, status.target_minutes)
    if form.clips is not None or form.minutes is not None:
        if form.minutes is not None and status is None:
            raise ConfigError(f"it is not known how many minutes {run} was trained", "say how many clips more")
        spent = 0.0 if status is None else status.seconds / 60
        clips = None if form.clips is None else entry.clips + form.clips
        minutes = None if form.minutes is None else spent + form.minutes
    elif status is not None and status.part >= 1:
        raise ConfigError(f"{run} is at its end", "say how many minutes or clips more")
    request: dict[str, Any] = {
        "data": dataset_name(studio, settings.data),
        "guide": None if settings.guide is None else dataset_name(studio, settings.guide),
        "run": run,
        "knobs": {},
        "clips": clips,
        "minutes": minutes,
        "device": form.device or own_device(studio, entry),
        "title": run,
    }
    return submit_job(studio, "train", request, taken=run)


def own_device(studio: Studio, run: RunEntry) -> str:
    """Return the device that a run was trained on last, as requests call it; `auto` where that is not here."""
    asked = (
        str(job.request["device"])
        for job in studio.library.jobs.all(limit=1000)
        if job.kind == "train" and job.request["run"] == run.name
    )
    # Its status does not tell GPUs apart: a process that sees one alone calls it the first.
    device = next(asked, "auto" if run.status is None else run.status.device.partition(":")[0])
    return device if device in devices() else "auto"


def dataset_name(studio: Studio, path: str) -> str:
    """Return what a data set that a run names by its path is called here: its path, where it is not in the catalog.

    Raises:
        ConfigError: it lies outside the folders that may be read, or is gone.
    """
    if path in BUILT_IN:
        return path
    place = Path(path).resolve()
    found = (entry.name for entry in studio.catalog.datasets() if studio.catalog.place(entry.name) == place)
    return next(found, None) or str(studio.source(path))


@router.get("/trainings/presets")
def list_training_presets(
    height: Annotated[int, Query(ge=8, le=4096)] = 64, width: Annotated[int, Query(ge=8, le=4096)] = 64
) -> list[PresetChoice]:
    """Return the presets, those that suit clips of this size first."""
    return preset_choices(height, width)


@router.get("/datasets")
def list_datasets(studio: CurrentStudio) -> list[DatasetEntry]:
    """Return the data sets, the latest first."""
    return studio.catalog.datasets()


@router.get("/runs/figures")
def get_run_figures(run: EntryName, studio: CurrentStudio) -> dict[str, Any]:
    """Return a run's figures, each over the clips seen, its samples, and the signs that something goes wrong."""
    path = studio.catalog.run(run)
    if path is None:
        raise HTTPException(404, "there is no such run")
    rows, stored = studio.catalog.figures(run), studio.catalog.config(run)
    names = [path.name for path in studio.catalog.samples(run) if path.suffix in SAMPLES]
    return {
        "figures": figure_series(rows),
        "samples": names,
        "signs": last_signs(rows, None if stored is None else stored[0]),
    }


@router.get("/runs/sample")
def get_run_sample(run: EntryName, name: FileName, studio: CurrentStudio) -> FileResponse:
    """Return a sheet or a preview of a run."""
    for path in studio.catalog.samples(run):
        if path.name == name and path.suffix in SAMPLES:
            return StoredFile(path, media_type=SAMPLES[path.suffix])
    raise HTTPException(404, "there is no such sample")


@router.get("/reports")
def list_reports(studio: CurrentStudio) -> list[ReportEntry]:
    """Return audits of data sets and reports, the latest first."""
    return studio.catalog.reports()


@router.get("/reports/file")
def get_report_file(name: EntryName, studio: CurrentStudio) -> Response:
    """Return a report as it was written; it can run no script."""
    path = studio.catalog.report(name)
    if path is None:
        raise HTTPException(404, "there is no such report")
    if path.suffix == ".html":
        headers = {"content-security-policy": DOCUMENT_POLICY}
        return FileResponse(path, media_type="text/html; charset=utf-8", headers=headers)
    return PlainTextResponse(path.read_text(encoding="utf-8", errors="replace"))


@router.get("/reports/picture")
def get_report_picture(report: EntryName, name: FileName, studio: CurrentStudio) -> FileResponse:
    """Return a picture that stands beside a report."""
    path = studio.catalog.report_picture(report, name)
    if path is None:
        raise HTTPException(404, "there is no such picture")
    return FileResponse(path, headers={"content-security-policy": "sandbox; default-src 'none'"})


def last_signs(rows: Sequence[Mapping[str, float]], config: Config | None = None) -> list[dict[str, Any]]:
    """Return the signs of trouble in a run, as its training would report them: the last of each kind, with remedies.

    Critics are judged, and remedies found, where the configuration is known.
    """
    found: list[tuple[Diagnostic, int]] = []
    judged = [row for row in rows if row["clips"] >= WARM_UP]
    samples = [row for row in judged if any(name.endswith(("_ratio", "_excess")) for name in row)]
    critics = [row for row in judged if any(name.endswith("_real") for name in row)]
    if samples:
        found += [(sign, int(samples[-1]["clips"])) for sign in judge_samples(samples[-1])]
    if critics and config is not None:
        found += [(sign, int(critics[-1]["clips"])) for sign in judge_critics(critics[-1], config.gan.loss)]
    return [
        {
            "kind": sign.kind,
            "text": sign.text,
            "clips": clips,
            "remedies": [] if config is None else [vars(remedy) for remedy in helpful_changes(sign.kind, config)],
        }
        for sign, clips in {sign.kind: (sign, clips) for sign, clips in found}.values()
    ]


def figure_series(rows: Sequence[Mapping[str, float]]) -> dict[str, list[tuple[float, float]]]:
    """Return each figure of a run's rows over the clips seen, `MOST_FIGURES` of them at most."""
    series: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for name, value in row.items():
            if name != "clips" and (name in series or len(series) < MOST_FIGURES):
                series.setdefault(name, []).append((row["clips"], value))
    return series


def group_figures(series: Mapping[str, Points]) -> dict[str, dict[str, Points]]:
    """Return figures by what is drawn together; others by themselves, under their own names.

    The number of threads is drawn where it changed.
    """
    groups: dict[str, dict[str, Points]] = {}
    for name in sorted(series):
        if name == "threads" and len({value for _, value in series[name]}) < 2:
            continue
        group = next((group for group, ends in FIGURE_GROUPS.items() if name.endswith(ends)), name)
        groups.setdefault(group, {})[name] = series[name]
    order = [*FIGURE_GROUPS, *sorted(groups)]
    return {name: groups[name] for name in dict.fromkeys(order) if name in groups}
