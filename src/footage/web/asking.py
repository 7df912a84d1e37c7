"""What requests hold: the forms of queries, changes and jobs, each with its bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from footage.errors import LibraryError
from footage.library.entries import Origin, Verdict
from footage.library.library import ClipSelection
from footage.library.query import Filters, Query
from footage.models.requests import SLIDER_LIMIT

Number = Annotated[int, Field(ge=1, lt=2**63)]
"""Number of a clip, an album or a job."""
Place = Annotated[int, Path(ge=1, lt=2**63)]
"""The same in an address."""
Seed = Annotated[int, Field(ge=0, lt=2**63)]
"""A seed."""
Word = Annotated[str, Field(max_length=200)]
"""A name, a label or a tag."""
Seconds = Annotated[float, Field(allow_inf_nan=False)]
"""A time or a length."""
Moves = Annotated[float, Field(ge=-SLIDER_LIMIT, le=SLIDER_LIMIT)]
"""How far a latent slider is moved, in standard deviations."""
MOST_CHOSEN = 200_000
"""Clips that may be named one by one."""


class Form(BaseModel):
    """What a request may hold, and nothing else."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Asked(Form):
    """Which clips are asked for: words, an order and filters. `metric` is NAME:LEAST:MOST; a bound may be empty."""

    text: str = Field(default="", max_length=500)
    sort: str = Field(default="newest", max_length=100)
    origin: Origin | None = None
    model: Word | None = None
    weights: Word | None = None
    dataset: Word | None = None
    label: Word | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    tag: list[Word] = Field(default=[], max_length=50)
    without: list[Word] = Field(default=[], max_length=50)
    min_stars: int = Field(default=0, ge=0, le=5)
    max_stars: int = Field(default=5, ge=0, le=5)
    verdict: Verdict | None = None
    album: Number | None = None
    codec: Word | None = None
    min_seconds: Seconds | None = None
    max_seconds: Seconds | None = None
    min_side: Number | None = None
    max_side: Number | None = None
    since: Seconds | None = None
    until: Seconds | None = None
    parent: Number | None = None
    missing: bool | None = None
    bin: bool = False
    metric: list[Word] = Field(default=[], max_length=20)

    def query(self) -> Query:
        """Return it as the library's query.

        Raises:
            LibraryError: a metric cannot be read, or a value is not known.
        """
        rest = self.model_dump(include=Asked.model_fields.keys() - {"text", "sort", "tag", "without", "metric"})
        filters = Filters(
            tags=tuple(self.tag), without=tuple(self.without), metrics=tuple(map(_bounds, self.metric)), **rest
        )
        return Query(filters, self.text, self.sort)

    @staticmethod
    def of(query: Query) -> Asked:
        """Return the form of a query, such as a saved view's."""
        given = query.to_json()["filters"]
        renamed = {"tags": "tag", "without": "without"}
        values = {renamed.get(name, name): value for name, value in given.items() if name not in ("metrics", "ids")}
        metric = [
            ":".join([name, *("" if x is None else f"{x:g}" for x in ends)]) for name, *ends in query.filters.metrics
        ]
        return Asked(text=query.text, sort=query.sort, metric=metric, **values)

    def pairs(self) -> list[tuple[str, str]]:
        """Return what is asked for as the parameters of an address; what is not is left out."""
        found: list[tuple[str, str]] = []
        for name, value in self.model_dump(exclude_defaults=True, exclude_none=True).items():
            for item in value if isinstance(value, list) else [value]:
                found.append((name, str(item).lower() if isinstance(item, bool) else str(item)))
        return found

    @staticmethod
    def lenient(parameters: Sequence[tuple[str, str]]) -> Asked:
        """Read an address that a person may have written: empty and unknown parameters are left out.

        Raises:
            LibraryError: a value is not allowed.
        """
        values: dict[str, Any] = {}
        for name, value in parameters:
            field = Asked.model_fields.get(name)
            if field is None or not value.strip():
                continue
            if isinstance(field.default, list):
                values.setdefault(name, []).append(value)
            else:
                values[name] = value
        try:
            return Asked(**values)
        except ValueError as error:
            raise LibraryError("the address holds a value that is not allowed", _first(error)) from None


def _first(error: ValueError) -> str:
    """Say in a line what is wrong with a form."""
    found: list[dict[str, Any]] = getattr(error, "errors", list)()
    if not found:
        return "begin again from the library's page"
    return f"{'.'.join(map(str, found[0]['loc']))}: {found[0]['msg']}"


def _bounds(text: str) -> tuple[str, float | None, float | None]:
    name, *ends = text.rsplit(":", 2)
    try:
        low, high = (float(end) if end else None for end in ends)
    except ValueError:
        low, high = math.nan, math.nan
    if not name or any(end is not None and not math.isfinite(end) for end in (low, high)):
        raise LibraryError(f'metric is "{text}"', "give NAME:LEAST:MOST, such as motion:0.1:")
    return name, low, high


class Choice(Form):
    """Which clips are meant: their numbers, or all that a query finds."""

    ids: list[Number] | None = Field(default=None, max_length=MOST_CHOSEN)
    query: Asked | None = None

    def chosen(self) -> ClipSelection:
        """Return it as the library takes it.

        Raises:
            LibraryError: neither is given, or both.
        """
        if (self.ids is None) == (self.query is None):
            raise LibraryError("no clip is chosen", "give ids, or a query")
        return self.ids if self.ids is not None else self.query.query()  # type: ignore[union-attr]


class Changes(Form):
    """New values; what is left out stays."""

    title: str | None = Field(default=None, max_length=1000)
    prompt: str | None = Field(default=None, max_length=20_000)
    label: Word | None = None
    stars: int | None = Field(default=None, ge=0, le=5)
    verdict: Verdict | None = None
    notes: str | None = Field(default=None, max_length=20_000)
    tags: list[Word] | None = Field(default=None, max_length=200)

    def given(self) -> dict[str, Any]:
        """Return what is to be changed. Of all fields, a label alone can be taken away with null."""
        values = self.model_dump(exclude_unset=True)
        return {name: value for name, value in values.items() if value is not None or name == "label"}


class Bulk(Choice):
    """Changes to many clips at once, which are undone in one step."""

    changes: Changes = Changes()
    tag: list[Word] = Field(default=[], max_length=50)
    untag: list[Word] = Field(default=[], max_length=50)


class NewAlbum(Form):
    """A name, and notes."""

    name: Word
    notes: str = Field(default="", max_length=20_000)


class Wanted(Choice):
    """What is to be exported, and as what."""

    format: Literal["zip", "csv", "json", "otio", "fcpxml", "xml", "edl"] = "zip"
    names: Literal["title", "digest"] = "title"
    fps: Annotated[float, Field(gt=0, le=1000)] | None = None


class Motion(Form):
    """How a video of a model that streams goes through time; see `footage.Timing`."""

    loop: Annotated[float, Field(gt=0, le=3600)] | None = None
    slow: Annotated[float, Field(gt=0, le=1000)] | None = None
    seek: Annotated[float, Field(ge=0, le=1e6)] | None = None
    motion_seed: Seed | None = None
    strength: float = Field(default=1.0, ge=0, le=10)
    truncation: float = Field(default=1.0, ge=0, le=10)
    drift: Annotated[float, Field(gt=0, le=1e6)] | None = None


Moved = Annotated[dict[Annotated[int, Field(ge=1, le=10_000)], Moves], Field(max_length=200)]
"""Latent sliders: how far each is moved, by its number."""


class Generate(Form):
    """What is to be generated."""

    model: Word
    count: int = Field(default=4, ge=1)
    seed: Seed = 0
    seconds: Annotated[float, Field(gt=0, le=86400)] | None = None
    label: str | None = Field(default=None, max_length=500)
    to_label: str | None = Field(default=None, max_length=500)
    to_seed: Seed | None = None
    tags: list[Word] = Field(default=[], max_length=50)
    sliders: Moved = {}
    motion: Motion = Motion()


class Between(Form):
    """Clips that lie between two clips: by a VAE's latent space, or by the seeds of a model that streams."""

    model: Word
    a: Number
    b: Number
    steps: int = Field(default=5, ge=1, le=64)
    seconds: Annotated[float, Field(gt=0, le=600)] | None = None


class Live(Form):
    """What a model is to stream."""

    seed: Seed = 0
    label: str | None = Field(default=None, max_length=500)
    fps: Annotated[float, Field(ge=1, le=60)] | None = None
    sliders: Moved = {}
    motion: Motion = Motion()


class NewLive(Live):
    """Which model is to stream, and what."""

    model: Word


class NewPair(Form):
    """The comparison that a pair of clips is wanted for. Models are left out where it has begun."""

    campaign: Word
    models: list[Word] = Field(default=[], max_length=20)


class Answer(Form):
    """Which of two clips is better, in one respect."""

    question: Literal["fidelity", "motion"]
    choice: Literal["a", "b", "tie"]
    rater: Word = ""


class Token(Form):
    """What the server showed when it started."""

    token: str = Field(max_length=200)
