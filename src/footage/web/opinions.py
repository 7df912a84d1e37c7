"""The interface to blind ratings: pairs of clips whose makers are not told, and what the answers come to."""

from __future__ import annotations

import csv
import io
import random
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, HTTPException, Path
from fastapi.responses import FileResponse, PlainTextResponse

from footage.errors import LibraryError
from footage.library.entries import ClipEntry, plain
from footage.library.query import Filters
from footage.library.ratings import QUESTIONS, Rating
from footage.metrics.preference import bradley_terry
from footage.web.asking import Answer, NewPair, Place
from footage.web.clips import sent
from footage.web.studio import Pair, Studio, found

Campaign = Annotated[str, Path(min_length=1, max_length=200)]
IMPORTED = "imported"
"""What clips that no model made count as: real footage, most often."""
SHOWABLE = ("h264", "vp8", "vp9", "av1", "gif", "webp", "png", "mjpeg")
"""Codecs that browsers play."""


@dataclass(frozen=True)
class Asking:
    """A pair to compare: two addresses that do not tell what is shown."""

    pair: str
    """Its name, for the answer."""
    a: str
    """Where the one clip is."""
    b: str
    """Where the other is."""
    kinds: tuple[str, str]
    """Of each, `video` or `image`."""
    answers: int
    """Answers that the comparison has already."""


@dataclass(frozen=True)
class Standing:
    """What answers say of one model."""

    model: str
    """Its name, or `imported`."""
    comparisons: int
    """Answers about its clips."""
    wins: float
    """How often it was preferred; a tie counts half."""
    strength: float
    """Logarithm of its Bradley-Terry strength, 0 being the mean."""
    low: float
    """Lower end of the interval of 95%."""
    high: float
    """Upper end."""
    rate: float
    """Probability of being preferred to one of mean strength."""


@dataclass(frozen=True)
class CampaignEntry:
    """A comparison."""

    name: str
    """Its name."""
    answers: int
    """How many answers it has."""


class Opinions:
    """The endpoints about blind ratings."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._library = studio, studio.library
        self._chance = random.SystemRandom()

    def campaigns(self) -> list[CampaignEntry]:
        """Return the comparisons."""
        return [CampaignEntry(name, count) for name, count in self._library.ratings.campaigns()]

    def makers(self) -> list[tuple[str, int]]:
        """Return what can be compared: models, and imported clips, with how many clips each has."""
        facets = self._library.facets()
        imported = [(IMPORTED, count) for origin, count in facets["origin"] if origin == IMPORTED]
        return [(str(name), count) for name, count in facets["model"]] + imported

    def pair(self, asked: NewPair) -> Asking:
        """Draw two clips of different models; which is which is not told."""
        campaign = plain(asked.campaign)
        if not campaign:
            raise LibraryError("the comparison has no name", "give one")
        answers = self._library.ratings.all(campaign)
        makers = list(dict.fromkeys(asked.models)) or sorted(
            {self._maker(clip) for r in answers for clip in (r.a, r.b)} - {""}
        )
        if len(makers) < 2:
            raise LibraryError("there is nothing to compare", "choose two models or more that have clips")
        met = self._met(answers, makers)
        least = min(met.values())
        sides = list(self._chance.choice([names for names, count in met.items() if count == least]))
        self._chance.shuffle(sides)
        a, b = (self._drawn(name) for name in sides)
        word = self._studio.pairs.put(Pair(campaign, a.id, b.id))
        kinds = tuple("image" if entry.codec in ("gif", "webp", "png", "mjpeg") else "video" for entry in (a, b))
        place = f"/api/ratings/pairs/{word}"
        return Asking(word, f"{place}/a", f"{place}/b", (kinds[0], kinds[1]), len(answers))

    def side(self, pair: str, side: Literal["a", "b"]) -> FileResponse:
        """Return a clip of a pair."""
        waiting = self._studio.pairs.get(pair)
        clip = waiting.a if side == "a" else waiting.b
        entry = self._studio.entry(clip)
        return sent(found(lambda: self._library.path(clip)), entry.suffix)

    def answer(self, pair: str, answer: Answer) -> dict[str, int]:
        """Say which of a pair is better, in one respect; the last answer of a rater about a pair's respect counts."""
        waiting = self._studio.pairs.get(pair)
        rating = self._library.ratings.add(
            waiting.campaign, answer.question, waiting.a, waiting.b, answer.choice, answer.rater
        )
        return {"rating": rating.id}

    def take_back(self, rating: Place) -> dict[str, int]:
        """Take an answer back."""
        self._library.ratings.remove(rating)
        return {"removed": rating}

    def results(self, campaign: Campaign) -> dict[str, list[Standing]]:
        """Return, for each question, the models' strengths with intervals of 95%, the strongest first."""
        if campaign not in dict(self._library.ratings.campaigns()):
            raise HTTPException(404, f'there is no comparison "{plain(campaign)}"')
        return {question: self._standings(self._library.ratings.all(campaign, question)) for question in QUESTIONS}

    def table(self, campaign: Campaign) -> PlainTextResponse:
        """Return a comparison's answers as CSV, a row each, for the evaluation's report."""
        self.results(campaign)
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(["time", "question", "model_a", "model_b", "digest_a", "digest_b", "choice", "rater"])
        for rating in self._library.ratings.all(campaign):
            sides = [self._library.get(clip) for clip in (rating.a, rating.b)]
            makers = [_cell(_maker(entry)) for entry in sides]
            digests = [entry.digest for entry in sides]
            writer.writerow([rating.time, rating.question, *makers, *digests, rating.choice, _cell(rating.rater)])
        headers = {"content-disposition": 'attachment; filename="ratings.csv"'}
        return PlainTextResponse(out.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)

    def report(self, campaign: Campaign) -> dict[str, object]:
        """Return a comparison as it goes into an evaluation: the strengths and how they were found."""
        standings = self.results(campaign)
        return {
            "campaign": campaign,
            "method": "Bradley-Terry, ties half, one pseudo-comparison each with an average one, intervals of 95%",
            "answers": {question: len(self._library.ratings.all(campaign, question)) for question in QUESTIONS},
            "raters": len({rating.rater for rating in self._library.ratings.all(campaign)}),
            "questions": {name: [asdict(row) for row in rows] for name, rows in standings.items()},
        }

    def _standings(self, answers: list[Rating]) -> list[Standing]:
        makers = {clip: self._maker(clip) for rating in answers for clip in (rating.a, rating.b)}
        names = sorted(set(makers.values()) - {""})
        if len(names) < 2:
            return []
        wins = np.zeros((len(names), len(names)))
        for rating in answers:
            if not (makers[rating.a] and makers[rating.b]):
                continue
            a, b = names.index(makers[rating.a]), names.index(makers[rating.b])
            wins[a, b] += {"a": 1.0, "b": 0.0, "tie": 0.5}[rating.choice]
            wins[b, a] += {"a": 0.0, "b": 1.0, "tie": 0.5}[rating.choice]
        found = bradley_terry(wins)
        rows = [
            Standing(
                *(name, round(wins[i].sum() + wins[:, i].sum()), float(wins[i].sum())),
                *(float(found.log[i]), float(found.low[i]), float(found.high[i])),
                float(1 / (1 + np.exp(-found.log[i]))),
            )
            for i, name in enumerate(names)
        ]
        return sorted(rows, key=lambda row: -row.strength)

    def _met(self, answers: list[Rating], makers: list[str]) -> dict[tuple[str, str], int]:
        """Return how often each two models were compared."""
        met = {(one, other): 0 for i, one in enumerate(makers) for other in makers[i + 1 :]}
        known = {clip: self._maker(clip) for rating in answers for clip in (rating.a, rating.b)}
        for rating in answers:
            for names in ((known[rating.a], known[rating.b]), (known[rating.b], known[rating.a])):
                if names in met:
                    met[names] += 1
        return met

    def _drawn(self, maker: str) -> ClipEntry:
        """Draw a clip of a model."""
        wanted = Filters(origin=IMPORTED) if maker == IMPORTED else Filters(model=maker)
        clips = self._library.ids(wanted)
        for clip in self._chance.sample(clips, min(len(clips), 200)):
            entry = self._library.get(clip)
            if entry.codec in SHOWABLE and not entry.missing:
                return entry
        raise LibraryError(f'there is no clip of "{plain(maker)}" that can be shown', "choose another model")

    def _maker(self, clip: int) -> str:
        entries = self._library.entries([clip])
        return _maker(entries[0]) if entries else ""

    def routes(self) -> APIRouter:
        """Return the table of the endpoints."""
        router = APIRouter(prefix="/api/ratings", tags=["blind ratings"])
        for method, path, endpoint in (
            ("GET", "/campaigns", self.campaigns),
            ("GET", "/makers", self.makers),
            ("POST", "/pairs", self.pair),
            ("GET", "/pairs/{pair}/{side}", self.side),
            ("POST", "/pairs/{pair}", self.answer),
            ("DELETE", "/answers/{rating}", self.take_back),
            ("GET", "/campaigns/{campaign}/results", self.results),
            ("GET", "/campaigns/{campaign}/report", self.report),
            ("GET", "/campaigns/{campaign}/answers.csv", self.table),
        ):
            router.add_api_route(path, endpoint, methods=[method])
        return router


def _maker(entry: ClipEntry) -> str:
    return entry.model or IMPORTED


def _cell(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.lstrip()[:1] in ("=", "+", "-", "@") else text
