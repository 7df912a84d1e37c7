"""Interface to training runs, data-set audits and reports, as the catalog finds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import FileResponse, PlainTextResponse, Response

from footage.errors import ConfigError
from footage.studio.catalog import MOST_FIGURES, DatasetEntry, ReportEntry, RunEntry
from footage.studio.security import DOCUMENT_POLICY
from footage.studio.state import CurrentStudio, CurrentVisitor, check_own
from footage.training.diagnostics import WARM_UP, judge_samples
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
    check_own(visitor, next((job.actor for job in running if job.request.get("run") == run), ""))
    RunFolder(path).ask_to_stop()
    return entry


@router.get("/datasets")
def list_datasets(studio: CurrentStudio) -> list[DatasetEntry]:
    """Return the data sets, the latest first."""
    return studio.catalog.datasets()


@router.get("/runs/figures")
def get_run_figures(run: EntryName, studio: CurrentStudio) -> dict[str, Any]:
    """Return a run's figures, each over the clips seen, its samples, and the signs that something goes wrong."""
    if studio.catalog.run(run) is None:
        raise HTTPException(404, "there is no such run")
    rows = studio.catalog.figures(run)
    names = [path.name for path in studio.catalog.samples(run) if path.suffix in SAMPLES]
    return {"figures": figure_series(rows), "samples": names, "signs": last_signs(rows)}


@router.get("/runs/sample")
def get_run_sample(run: EntryName, name: FileName, studio: CurrentStudio) -> FileResponse:
    """Return a sheet or a preview of a run."""
    for path in studio.catalog.samples(run):
        if path.name == name and path.suffix in SAMPLES:
            return FileResponse(path, media_type=SAMPLES[path.suffix])
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


def last_signs(rows: Sequence[Mapping[str, float]]) -> list[dict[str, Any]]:
    """Return the signs of trouble in a run's samples, as its training would report them: the last of each kind."""
    signs: dict[str, dict[str, Any]] = {}
    for row in rows:
        figures = {name: value for name, value in row.items() if name.endswith(("_ratio", "_excess"))}
        if figures:
            kinds = judge_samples(figures) if row["clips"] >= WARM_UP else []
            signs = {sign.kind: {"kind": sign.kind, "text": sign.text, "clips": int(row["clips"])} for sign in kinds}
    return list(signs.values())


def figure_series(rows: Sequence[Mapping[str, float]]) -> dict[str, list[tuple[float, float]]]:
    """Return each figure of a run's rows over the clips seen, `MOST_FIGURES` of them at most."""
    series: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for name, value in row.items():
            if name != "clips" and (name in series or len(series) < MOST_FIGURES):
                series.setdefault(name, []).append((row["clips"], value))
    return series


def group_figures(series: Mapping[str, Points]) -> dict[str, dict[str, Points]]:
    """Return figures by what is drawn together; others by themselves, under their own names."""
    groups: dict[str, dict[str, Points]] = {}
    for name in sorted(series):
        group = next((group for group, ends in FIGURE_GROUPS.items() if name.endswith(ends)), name)
        groups.setdefault(group, {})[name] = series[name]
    order = [*FIGURE_GROUPS, *sorted(groups)]
    return {name: groups[name] for name in dict.fromkeys(order) if name in groups}
