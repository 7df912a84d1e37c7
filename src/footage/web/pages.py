"""The studio's pages and the parts of pages, rendered here; every action on them goes through the interface."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import quote, urlencode, urlsplit

import jinja2
from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from footage import __version__
from footage.errors import FootageError, LibraryError
from footage.library.entries import VERDICTS, ClipEntry
from footage.library.query import SORTS
from footage.models.requests import parse_duration, parse_factor, write_sliders
from footage.web import curves, words
from footage.web.asking import Asked, Number, Place
from footage.web.clips import PAGE
from footage.web.opinions import Opinions
from footage.web.shelf import rows
from footage.web.studio import Studio
from footage.web.trainings import Trainings
from footage.web.words import LANGUAGES, Words, preferred

VIDEOS = ("h264", "vp8", "vp9", "av1", "hevc")
"""Codecs that browsers play as videos, in containers that they read."""
CONTAINERS = ("mp4", "m4v", "mov", "webm")
"""Those containers."""
STILLS = ("gif", "webp", "png", "jpg", "jpeg", "bmp")
"""Endings that browsers show as pictures."""
DRAWN = 500
"""Cards that are drawn at once."""
JOBS = 50
"""Jobs that are listed."""


def kind(entry: ClipEntry) -> str:
    """Return how a browser shows a clip: `video`, `image`, or `preview` where it cannot."""
    if entry.codec in VIDEOS and entry.suffix in CONTAINERS:
        return "video"
    return "image" if entry.suffix in STILLS else "preview"


def again(entry: ClipEntry) -> str:
    """Return what the form for generating is to hold to make a clip again, as the parameters of its address."""
    values: dict[str, object] = {"model": entry.model, "seed": entry.seed or 0}
    if entry.label:
        values["label"] = entry.label
    values |= {"count": 1, "seconds": f"{entry.seconds:g}"}
    for name in AGAIN:
        with contextlib.suppress(FootageError, TypeError, ValueError, AttributeError):
            if (value := entry.settings.get(name)) is not None:
                values[name] = AGAIN[name](value)
    return urlencode(values)


AGAIN: dict[str, Callable[[Any], object]] = {
    **dict.fromkeys(("to_seed", "motion_seed"), int),
    **dict.fromkeys(("truncation", "strength"), float),
    "slow": lambda value: f"{parse_factor(value, 'slow'):g}",
    "loop": lambda value: f"{parse_duration(value, 'loop'):g}",
    "drift": lambda value: f"{parse_duration(value, 'drift'):g}",
    "sliders": lambda values: write_sliders({int(number): float(value) for number, value in values.items()}),
}
"""Settings of a clip that the form for generating holds, and how they are written in its address."""


def environment() -> jinja2.Environment:
    """Return the templates, which escape everything that is filled in."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("footage.web", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(duration=words.duration, size=words.size, day=words.day, kind=kind, again=again)
    return made


class Pages:
    """The pages."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._library, self._shelf = studio, studio.library, studio.shelf
        self._templates = environment()

    # Looking through the library

    def library(self, request: Request) -> HTMLResponse:
        """The library: filters, search, the grid."""
        asked = Asked.lenient(request.query_params.multi_items())
        return self._page(request, "library.html", "bin" if asked.bin else "library", **self._results(asked))

    def results(self, request: Request) -> HTMLResponse:
        """The grid's first clips, for a query."""
        asked = Asked.lenient(request.query_params.multi_items())
        return self._page(request, "results.html", "", **self._results(asked))

    def facets(self, request: Request) -> HTMLResponse:
        """What the found clips can be filtered by."""
        asked = Asked.lenient(request.query_params.multi_items())
        query = asked.query()
        return self._page(
            request,
            "facets.html",
            "",
            asked=asked,
            facets=self._library.facets(query.filters, query.text, 12),
            albums=self._library.albums.all(),
            views=[(view.name, urlencode(Asked.of(view.query).pairs())) for view in self._library.views.all()],
        )

    def cards(self, request: Request, ids: Annotated[list[Number], Query(max_length=DRAWN)]) -> HTMLResponse:
        """Some clips as cards of the grid."""
        return self._page(request, "cards.html", "", clips=self._library.entries(ids))

    def clip(self, request: Request, clip: Place) -> HTMLResponse:
        """A clip: player, what is known of it, and its relations."""
        entry = self._studio.entry(clip)
        try:
            similar = [like for like, _ in self._library.similar(clip, limit=12)]
        except LibraryError:
            similar = []
        return self._page(
            request,
            "clip.html",
            "library" if entry.deleted is None else "bin",
            clip=entry,
            albums=self._library.albums.of(clip),
            provenance=self._library.provenance(clip),
            similar=similar,
        )

    def compare(self, request: Request, ids: Annotated[list[Number], Query(max_length=4)] = []) -> HTMLResponse:  # noqa: B006
        """Clips side by side, playing together."""
        return self._page(request, "compare.html", "compare", clips=self._library.entries(ids))

    def duplicates(self, request: Request) -> HTMLResponse:
        """Groups of clips that show the same footage."""
        return self._page(request, "duplicates.html", "library", groups=self._library.duplicates())

    # Making

    def generate(self, request: Request) -> HTMLResponse:
        """A form for what is to be generated, and what is being made."""
        models = [model for model in self._shelf.models() if "generate" in model.verbs or "interpolate" in model.verbs]
        given = dict(request.query_params)
        return self._page(request, "generate.html", "generate", models=models, given=given, **self._jobs())

    def jobs(self, request: Request) -> HTMLResponse:
        """What is being made."""
        return self._page(request, "jobs.html", "", **self._jobs())

    def activity(self, request: Request) -> HTMLResponse:
        """All jobs and the last steps."""
        return self._page(request, "activity.html", "activity", steps=self._library.history(100), **self._jobs())

    def live(self, request: Request) -> HTMLResponse:
        """A model that streams."""
        models = [model for model in self._shelf.models() if "generate" in model.verbs]
        return self._page(request, "live.html", "live", models=models, given=dict(request.query_params))

    # Judging

    def rate(self, request: Request) -> HTMLResponse:
        """Comparisons, and a form for a new one."""
        opinions = Opinions(self._studio)
        return self._page(request, "rate.html", "rate", campaigns=opinions.campaigns(), makers=opinions.makers())

    def rating(self, request: Request, campaign: str) -> HTMLResponse:
        """Two clips of whose makers nothing is told."""
        models = request.query_params.getlist("model")
        return self._page(request, "rating.html", "rate", campaign=campaign, models=models)

    def standings(self, request: Request, campaign: str) -> HTMLResponse:
        """What a comparison came to."""
        opinions = Opinions(self._studio)
        report = opinions.report(campaign)
        return self._page(request, "standings.html", "rate", campaign=campaign, report=report)

    # Training

    def training(self, request: Request) -> HTMLResponse:
        """The training runs."""
        return self._page(request, "training.html", "training", runs=self._shelf.runs())

    def run(self, request: Request, name: str) -> HTMLResponse:
        """A training run."""
        return self._page(request, "run.html", "training", **self._run(request, name))

    def run_part(self, request: Request, name: str) -> HTMLResponse:
        """A training run's curves, samples and signs, again and again."""
        return self._page(request, "curves.html", "", **self._run(request, name))

    def reports(self, request: Request) -> HTMLResponse:
        """Audits and reports."""
        return self._page(request, "reports.html", "reports", reports=self._shelf.reports())

    def report(self, request: Request, name: str) -> HTMLResponse:
        """A report inside a frame that can run nothing, or as text with its picture."""
        path = self._shelf.report(name)
        if path is None:
            raise HTTPException(404, "there is no such report")
        text = path.read_text(encoding="utf-8", errors="replace") if path.suffix == ".md" else None
        picture = path.with_suffix(".png").name
        shown = text is not None and self._shelf.beside(name, picture) is not None
        return self._page(request, "report.html", "reports", name=name, text=text, picture=picture if shown else None)

    # Coming in

    def enter(self, request: Request) -> HTMLResponse:
        """A form for the token."""
        return self._page(request, "enter.html", "enter")

    def refused(self, request: Request, status: int, problem: str, remedy: str) -> HTMLResponse:
        """A page in place of one that there is not, or that cannot be shown: why, and the way back."""
        said = {"status": status, "problem": "" if problem == "Not Found" else problem, "remedy": remedy}
        answer = self._page(request, "missing.html", "not_found" if status == 404 else "not_shown", **said)
        answer.status_code = status
        return answer

    def language(self, request: Request, code: str) -> Response:
        """Choose a language, and go back."""
        if code not in LANGUAGES:
            raise HTTPException(404, "there is no such language")
        came = urlsplit(request.headers.get("referer", ""))
        place = came.path if came.netloc == request.headers.get("host") and came.path.startswith("/") else "/"
        back = quote("/" + place.lstrip("/")) + (f"?{came.query}" if came.query and place == came.path else "")
        answer = RedirectResponse(back, 303)
        answer.set_cookie(words.COOKIE, code, max_age=31_536_000, samesite="strict", httponly=True)
        return answer

    def icon(self) -> Response:
        """The studio's icon."""
        return RedirectResponse("/static/icon.svg", 308)

    def _page(self, request: Request, template: str, place: str, **values: Any) -> HTMLResponse:
        chosen = request.cookies.get(words.COOKIE, "")
        t = Words(preferred(chosen, request.headers.get("accept-language", "")))
        text = self._templates.get_template(template).render(
            t=t,
            place=place,
            languages=LANGUAGES,
            verdicts=VERDICTS,
            csrf="" if place == "enter" else self._studio.keys.csrf,
            version=__version__,
            folder=self._shelf.folder,
            **values,
        )
        return HTMLResponse(text, headers={"vary": "cookie, accept-language"})

    def _results(self, asked: Asked) -> dict[str, Any]:
        query = asked.query()
        page = self._library.query(query.filters, query.text, query.sort, None, PAGE)
        total = len(page.entries) if page.cursor is None else self._library.count(query.filters, query.text)
        address = urlencode(asked.pairs())
        return {
            **{"asked": asked, "clips": page.entries, "total": total, "address": address, "sorts": tuple(SORTS)},
            **{"filtered": {name for name, _ in asked.pairs()} - {"sort", "bin"} != set()},
        }

    def _jobs(self) -> dict[str, Any]:
        self._studio.workshop.tend()
        return {"jobs": self._library.jobs.all(limit=JOBS)}

    def _run(self, request: Request, name: str) -> dict[str, Any]:
        folder = self._shelf.run(name)
        if folder is None:
            raise HTTPException(404, "there is no such run")
        accepted = request.headers.get("accept-language", "")
        known = LANGUAGES[preferred(request.cookies.get(words.COOKIE, ""), accepted)]
        groups = curves.grouped(curves.series(rows(folder / "metrics.jsonl")))
        shown = [
            (known.get(group, group), list(lines), curves.picture(lines, known.get(group, group)))
            for group, lines in groups.items()
        ]
        figures = Trainings(self._studio).figures(name)
        samples = figures["samples"]
        latest = max((sample.rsplit(".", 1)[0] for sample in samples), default=None)
        return {
            **{"name": name, "curves": shown, "samples": samples, "latest": latest, "signs": figures["signs"]},
            "run": next((run for run in self._shelf.runs() if run.name == name), None),
        }

    def routes(self) -> APIRouter:
        """Return the table of the pages."""
        router = APIRouter(include_in_schema=False)
        for path, endpoint in (
            *(("/", self.library), ("/parts/clips", self.results), ("/parts/facets", self.facets)),
            *(("/parts/cards", self.cards), ("/clip/{clip}", self.clip), ("/compare", self.compare)),
            *(("/duplicates", self.duplicates), ("/generate", self.generate), ("/parts/jobs", self.jobs)),
            *(("/activity", self.activity), ("/live", self.live), ("/rate", self.rate)),
            *(("/rate/{campaign}", self.rating), ("/rate/{campaign}/results", self.standings)),
            *(("/training", self.training), ("/training/run", self.run), ("/parts/run", self.run_part)),
            *(("/reports", self.reports), ("/reports/view", self.report), ("/enter", self.enter)),
            *(("/language/{code}", self.language), ("/favicon.ico", self.icon)),
        ):
            router.add_api_route(path, endpoint, methods=["GET"], response_model=None)
        return router
