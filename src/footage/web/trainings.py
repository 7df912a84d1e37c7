"""The interface to training runs, data-set audits and reports: what lies on the shelf, to be looked at."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import FileResponse, PlainTextResponse, Response

from footage.models.signs import WARM_UP, judge_samples
from footage.web import curves
from footage.web.guard import DOCUMENT_POLICY
from footage.web.shelf import ReportEntry, RunEntry, ordinary, rows
from footage.web.studio import Studio

Name = Annotated[str, Query(max_length=1000)]
SAMPLES = {".mp4": "video/mp4", ".png": "image/png"}
"""Endings of a run's samples, and their media types."""


class Trainings:
    """The endpoints about runs and reports."""

    def __init__(self, studio: Studio) -> None:
        self._shelf = studio.shelf

    def runs(self) -> list[RunEntry]:
        """Return the training runs, the latest first."""
        return self._shelf.runs()

    def figures(self, run: Name) -> dict[str, Any]:
        """Return a run's figures, each over the clips seen, its samples, and the signs that something goes wrong."""
        folder = self._shelf.run(run)
        if folder is None:
            raise HTTPException(404, "there is no such run")
        found = rows(folder / "metrics.jsonl")
        names = sorted(path.name for path in ordinary(folder / "samples") if path.suffix in SAMPLES)
        return {"figures": curves.series(found), "samples": names, "signs": signs(found)}

    def sample(self, run: Name, name: Annotated[str, Query(max_length=200)]) -> FileResponse:
        """Return a sheet or a preview of a run."""
        folder = self._shelf.run(run)
        files = [] if folder is None else ordinary(folder / "samples")
        for path in files:
            if path.name == name and path.suffix in SAMPLES:
                return FileResponse(path, media_type=SAMPLES[path.suffix])
        raise HTTPException(404, "there is no such sample")

    def reports(self) -> list[ReportEntry]:
        """Return audits of data sets and reports, the latest first."""
        return self._shelf.reports()

    def report(self, name: Name) -> Response:
        """Return a report as it was written; it can run no script."""
        path = self._shelf.report(name)
        if path is None or not path.is_file():
            raise HTTPException(404, "there is no such report")
        if path.suffix == ".html":
            headers = {"content-security-policy": DOCUMENT_POLICY}
            return FileResponse(path, media_type="text/html; charset=utf-8", headers=headers)
        return PlainTextResponse(path.read_text(encoding="utf-8", errors="replace"))

    def picture(self, report: Name, name: Annotated[str, Query(max_length=200)]) -> FileResponse:
        """Return a picture that stands beside a report."""
        path = self._shelf.beside(report, name)
        if path is None:
            raise HTTPException(404, "there is no such picture")
        return FileResponse(path, headers={"content-security-policy": "sandbox; default-src 'none'"})

    def routes(self) -> APIRouter:
        """Return the table of the endpoints."""
        router = APIRouter(prefix="/api", tags=["training and reports"])
        for path, endpoint in (
            ("/runs", self.runs),
            ("/runs/figures", self.figures),
            ("/runs/sample", self.sample),
            ("/reports", self.reports),
            ("/reports/file", self.report),
            ("/reports/picture", self.picture),
        ):
            router.add_api_route(path, endpoint, methods=["GET"])
        return router


def signs(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the signs that the samples of a run gave, as its training would say them: the last of each kind."""
    said: dict[str, dict[str, Any]] = {}
    for row in found:
        figures = {name: value for name, value in row.items() if name.endswith(("_ratio", "_excess"))}
        figures = {name: value for name, value in figures.items() if isinstance(value, int | float)}
        if figures and isinstance(row.get("clips"), int | float):
            kinds = judge_samples(figures) if row["clips"] >= WARM_UP else []
            said = {sign.kind: {"kind": sign.kind, "text": sign.text, "clips": row["clips"]} for sign in kinds}
    return list(said.values())
