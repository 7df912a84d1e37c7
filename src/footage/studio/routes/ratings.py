"""Interface to blind ratings: pairs of clips whose models are not told, and what the answers come to."""

from __future__ import annotations

import asyncio
import collections
import csv
import io
import itertools
import random
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Final, Literal

import numpy as np
from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.responses import FileResponse, PlainTextResponse

from footage.errors import LibraryError
from footage.library.entries import plain
from footage.library.library import Library
from footage.library.ratings import QUESTIONS, ComparedKind, Rating, bradley_terry
from footage.studio.routes.clips import clip_response
from footage.studio.schemas import PairForm, PathId, PreferenceForm
from footage.studio.state import CurrentLibrary, CurrentStudio, CurrentVisitor, WaitingPair, check_own, or_404, render

CampaignName = Annotated[str, Path(min_length=1, max_length=200)]
IMPORTED: Final = "imported"
"""What clips that no model made count as: real footage, most often."""
IMAGES = ("gif", "webp", "png", "mjpeg")
"""Codecs that browsers show as pictures."""
SHOWABLE = ("h264", "vp8", "vp9", "av1", *IMAGES)
"""Codecs that browsers play."""
router = APIRouter(prefix="/api/ratings", tags=["blind ratings"])


@dataclass(frozen=True)
class BlindPair:
    """Pair to compare: two addresses that do not tell what is shown."""

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
    """Comparison of models by blind ratings."""

    name: str
    answers: int


@router.get("/campaigns")
def list_campaigns(library: CurrentLibrary) -> list[CampaignEntry]:
    """Return the comparisons by name."""
    return [CampaignEntry(name, count) for name, count in library.ratings.campaigns()]


@router.get("/makers")
def list_makers(library: CurrentLibrary) -> list[tuple[str, int]]:
    """Return what can be compared: models, and imported clips, with how many clips each has."""
    facets = library.facets()
    imported = [(IMPORTED, count) for origin, count in facets["origin"] if origin == IMPORTED]
    return [(str(name), count) for name, count in facets["model"]] + imported


@router.post("/pairs")
def draw_pair(form: PairForm, studio: CurrentStudio) -> BlindPair:
    """Draw two clips of the two models that were compared least, of the same label, size and length.

    Which is which is not told.
    """
    library, rng = studio.library, random.SystemRandom()
    campaign = plain(form.campaign)
    if not campaign:
        raise LibraryError("the comparison has no name", "give one")
    ratings = library.ratings.all(campaign)
    makers = clip_makers(library, ratings)
    models = list(dict.fromkeys(form.models)) or sorted(set(makers.values()) - {""})
    if len(models) < 2:
        raise LibraryError("there is nothing to compare", "choose two models or more that have clips")
    kinds = {model: library.ratings.kinds(None if model == IMPORTED else model, SHOWABLE) for model in models}
    if empty := [model for model, found in kinds.items() if not found]:
        raise LibraryError(f'there is no clip of "{plain(empty[0])}" that can be shown', "choose another model")
    compared = collections.Counter(tuple(sorted((makers[rating.a], makers[rating.b]))) for rating in ratings)
    pairs = sorted(itertools.combinations(sorted(models), 2), key=lambda pair: (compared[pair], rng.random()))
    alike = next(filter(None, (alike_kinds(kinds[one], kinds[other]) for one, other in pairs)), None)
    if alike is None:
        problem = f"no two of these have clips of the same label, size and length: {', '.join(map(plain, models))}"
        raise LibraryError(problem, "generate such clips, or choose other models")
    # What a maker has few of is shown less often, and still turns up.
    (chosen,) = rng.choices(alike, [min(len(one.clips), len(other.clips)) for one, other in alike])
    a, b = (studio.entry(rng.choice(kind.clips)) for kind in rng.sample(chosen, 2))
    key = studio.pairs.put(WaitingPair(campaign, a.id, b.id))
    kind_a, kind_b = ("image" if entry.codec in IMAGES else "video" for entry in (a, b))
    address = f"/api/ratings/pairs/{key}"
    return BlindPair(key, f"{address}/a", f"{address}/b", (kind_a, kind_b), len(ratings))


@router.get("/pairs/{pair}/{side}")
async def get_pair_side(request: Request, pair: str, side: Literal["a", "b"], studio: CurrentStudio) -> FileResponse:
    """Return a clip of a pair."""
    waiting = studio.pairs.get(pair)
    clip = waiting.a if side == "a" else waiting.b
    await render(request, [clip])
    entry = await asyncio.to_thread(studio.entry, clip)
    path = await asyncio.to_thread(or_404, lambda: studio.library.path(clip))
    return clip_response(path, entry.suffix)


@router.post("/pairs/{pair}")
def rate_pair(pair: str, form: PreferenceForm, studio: CurrentStudio, visitor: CurrentVisitor) -> dict[str, int]:
    """Say which of a pair is better, in one respect; the last answer of a rater about a pair's respect counts.

    Where there are accounts, the rater is the account.
    """
    waiting, rater = studio.pairs.get(pair), visitor.name or form.rater
    rating = studio.library.ratings.add(waiting.campaign, form.question, waiting.a, waiting.b, form.choice, rater)
    return {"rating": rating.id}


@router.delete("/answers/{rating}")
def remove_rating(rating: PathId, library: CurrentLibrary, visitor: CurrentVisitor) -> dict[str, int]:
    """Take an answer back, of one's own."""
    check_own(visitor, next((answer.rater for answer in library.ratings.all() if answer.id == rating), visitor.name))
    library.ratings.remove(rating)
    return {"removed": rating}


@router.get("/campaigns/{campaign}/results")
def get_campaign_results(campaign: CampaignName, library: CurrentLibrary) -> dict[str, list[Standing]]:
    """Return, for each question, the models' strengths with intervals of 95%, the strongest first."""
    if campaign not in dict(library.ratings.campaigns()):
        raise HTTPException(404, f'there is no comparison "{plain(campaign)}"')
    return {question: standings(library, library.ratings.all(campaign, question)) for question in QUESTIONS}


@router.get("/campaigns/{campaign}/report")
def get_campaign_report(campaign: CampaignName, library: CurrentLibrary) -> dict[str, object]:
    """Return a comparison as it goes into an evaluation: the strengths and how they were found."""
    results = get_campaign_results(campaign, library)
    return {
        "campaign": campaign,
        "method": "Bradley-Terry, ties half, one pseudo-comparison each with an average one, intervals of 95%",
        "answers": {question: len(library.ratings.all(campaign, question)) for question in QUESTIONS},
        "raters": len({rating.rater for rating in library.ratings.all(campaign)}),
        "questions": {name: [asdict(row) for row in rows] for name, rows in results.items()},
    }


@router.get("/campaigns/{campaign}/answers.csv")
def get_campaign_answers(campaign: CampaignName, library: CurrentLibrary) -> PlainTextResponse:
    """Return a comparison's answers as CSV, a row each, for the evaluation's report."""
    get_campaign_results(campaign, library)
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["time", "question", "model_a", "model_b", "digest_a", "digest_b", "choice", "rater"])
    for rating in library.ratings.all(campaign):
        sides = [library.get(clip) for clip in (rating.a, rating.b)]
        models = [csv_text(entry.model or IMPORTED) for entry in sides]
        digests = [entry.digest for entry in sides]
        writer.writerow([rating.time, rating.question, *models, *digests, rating.choice, csv_text(rating.rater)])
    headers = {"content-disposition": 'attachment; filename="ratings.csv"'}
    return PlainTextResponse(out.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def csv_text(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.lstrip()[:1] in ("=", "+", "-", "@") else text


def clip_makers(library: Library, ratings: list[Rating]) -> dict[int, str]:
    """Return, by the numbers of rated clips, the models that made them; empty for clips that are gone."""
    clips = {clip for rating in ratings for clip in (rating.a, rating.b)}
    return dict.fromkeys(clips, "") | {entry.id: entry.model or IMPORTED for entry in library.entries(sorted(clips))}


def standings(library: Library, ratings: list[Rating]) -> list[Standing]:
    """Return Bradley-Terry strengths of the rated clips' models, the strongest first; none of fewer than two."""
    makers = clip_makers(library, ratings)
    names = sorted(set(makers.values()) - {""})
    if len(names) < 2:
        return []
    wins = np.zeros((len(names), len(names)))
    for rating in ratings:
        if not (makers[rating.a] and makers[rating.b]):
            continue
        a, b = names.index(makers[rating.a]), names.index(makers[rating.b])
        wins[a, b] += {"a": 1.0, "b": 0.0, "tie": 0.5}[rating.choice]
        wins[b, a] += {"a": 0.0, "b": 1.0, "tie": 0.5}[rating.choice]
    strengths = bradley_terry(wins)
    rows = [
        Standing(
            model=name,
            comparisons=round(wins[i].sum() + wins[:, i].sum()),
            wins=float(wins[i].sum()),
            strength=float(strengths.log[i]),
            low=float(strengths.low[i]),
            high=float(strengths.high[i]),
            rate=float(1 / (1 + np.exp(-strengths.log[i]))),
        )
        for i, name in enumerate(names)
    ]
    return sorted(rows, key=lambda row: -row.strength)


def alike_kinds(of_one: list[ComparedKind], of_other: list[ComparedKind]) -> list[tuple[ComparedKind, ComparedKind]]:
    """Return which clips of two makers may be compared: those of the same label, size and length.

    Where a maker has no labels at all, as an unconditional model, any label goes with its clips.
    """
    if all(kind.label is None for kind in of_one) or all(kind.label is None for kind in of_other):
        of_one, of_other = ([replace(kind, label=None) for kind in kinds] for kinds in (of_one, of_other))
    return [(one, other) for one in of_one for other in of_other if one.fits(other)]
