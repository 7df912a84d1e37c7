"""Which clips are asked for: filters, words, order and pages, as SQL.

Words are looked up in an index of trigrams (SQLite's FTS5), which finds any part of a text that has three characters or
more. Shorter words, which are whole words in Chinese, are found as the beginnings of trigrams: every text ends in two
line breaks, so that each of its characters begins one.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import sqlite3
import types
from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from footage.errors import LibraryError, nearest
from footage.library.entries import ClipEntry, Origin, Verdict, fold

SORTS: dict[str, tuple[str, str]] = {
    "newest": ("c.id", "DESC"),
    "oldest": ("c.id", "ASC"),
    "stars": ("c.stars", "DESC"),
    "title": ("c.title COLLATE NOCASE", "ASC"),
    "longest": ("c.seconds", "DESC"),
    "shortest": ("c.seconds", "ASC"),
    "largest": ("c.bytes", "DESC"),
    "seed": ("coalesce(c.seed, 9223372036854775807)", "ASC"),
    "changed": ("c.changed", "DESC"),
    "taste": ("taste(c.id)", "DESC"),
    "motion": ("motion(c.id)", "DESC"),
    "likeness": ("place(c.id)", "ASC"),
    "words": ("place(c.id)", "ASC"),
}
"""Orders of a query: expression and direction. `metric:NAME` and `metric:NAME:asc` sort by a figure. The functions
`taste` and `motion` are lent to a connection by `taste.TasteLearner`, `place` by `Library`."""
SINGULAR = {"tags": "tag", "metrics": "metric", "any_models": "any_model", "any_labels": "any_label"}
"""Names of parameters that are repeated, in addresses and as flags."""
MOST = 1000
FACETS = ("origin", "model", "label", "verdict", "stars", "codec")
"""Columns whose values are counted for a panel of filters, and kept in `facet_counts`."""
SINGLE_FACETS = tuple(name for name in FACETS if name != "stars")
"""Those of which a query asks for one value."""
ANY_OF = {"any_models": "model", "any_labels": "label"}
"""Filters that one of several values fulfils, and the columns of these."""


class MetricBounds(NamedTuple):
    """Figure with its least and greatest value; as text NAME:LEAST:MOST, where a bound may be empty."""

    name: str
    least: float | None
    most: float | None

    @staticmethod
    def read(bounds: Any) -> MetricBounds:
        """Read the text, or the three values; refuse a missing name, and a bound that is no finite number."""
        try:
            name, *ends = bounds.rsplit(":", 2) if isinstance(bounds, str) else bounds
            least, most = (None if end in (None, "") else float(end) for end in ends)
            if isinstance(name, str) and name and all(end is None or math.isfinite(end) for end in (least, most)):
                return MetricBounds(name, least, most)
        except (TypeError, ValueError):
            pass
        shown = json.dumps(bounds, default=repr, ensure_ascii=False)
        raise LibraryError(f"metric is {shown}", "give NAME:LEAST:MOST, such as motion:0.1:")

    def __str__(self) -> str:
        return ":".join([self.name, *("" if end is None else repr(end).removesuffix(".0") for end in self[1:])])


@dataclass(frozen=True, kw_only=True)
class ClipQuery:
    """Which clips are asked for: those that fulfil all that is given, in an order.

    Flags, Python arguments, REST parameters and saved views are this class; the docstring of a field is its help.

    Raises:
        LibraryError: a value has the wrong type, or is not one of those known.
    """

    text: str = ""
    """Words or parts of words that they all hold, in title, prompt, label, model, source, tags or notes; a phrase
    stands in double quotes."""
    origin: Origin | None = None
    """Whether footage made them."""
    words: str = ""
    """Rough: what is to be seen in them, in English or Chinese, such as bicycles. It knows the things of ImageNet's
    1,000 classes, and no people, actions or scenes; it needs: pip install 'footage[words]'."""
    like: int | None = None
    """Number of a clip: those that are most like it, at most 500."""
    motion: float | None = None
    """Weight of motion in likeness, 0 to 1; the rest is that of appearance. Left out, it is 0.2."""
    model: str | None = None
    """Name of the model that made them."""
    any_models: tuple[str, ...] = ()
    """Names of models, one of which made them."""
    weights: str | None = None
    """SHA-256 of the model's weights."""
    dataset: str | None = None
    """Name of the data set that the model learned from."""
    label: str | None = None
    """Their class, as it was asked for."""
    any_labels: tuple[str, ...] = ()
    """Classes, one of which is theirs."""
    seed: int | None = None
    """Seed that they were made from."""
    tags: tuple[str, ...] = ()
    """Tags that they all have."""
    any_tag: bool = False
    """One of these tags is enough."""
    without: tuple[str, ...] = ()
    """Tags that they do not have."""
    min_stars: int = 0
    """Fewest stars."""
    max_stars: int = 5
    """Most stars."""
    verdict: Verdict | None = None
    """What was decided on them."""
    album: int | str | None = None
    """Number or name of the album that they are in."""
    codec: str | None = None
    """Their codec, such as h264."""
    min_seconds: float | None = None
    """Shortest length, in seconds."""
    max_seconds: float | None = None
    """Longest length, in seconds."""
    min_side: int | None = None
    """Smallest shorter side, in pixels."""
    max_side: int | None = None
    """Largest shorter side, in pixels."""
    min_width: int | None = None
    """Smallest width, in pixels."""
    max_width: int | None = None
    """Largest width, in pixels."""
    min_height: int | None = None
    """Smallest height, in pixels."""
    max_height: int | None = None
    """Largest height, in pixels."""
    min_fps: float | None = None
    """Lowest frame rate, in frames a second."""
    max_fps: float | None = None
    """Highest frame rate, in frames a second."""
    sound: bool | None = None
    """Whether they have sound."""
    since: float | None = None
    """Added at this time or later, in seconds since 1970."""
    until: float | None = None
    """Added before this time, in seconds since 1970."""
    metrics: tuple[str, ...] = ()
    """Figures with their least and greatest value, as NAME:LEAST:MOST; a bound may be empty, as in motion:0.1:."""
    parent: int | None = None
    """Number of a clip that they were made from."""
    ids: tuple[int, ...] | None = None
    """Their numbers."""
    missing: bool | None = None
    """Whether their files were found to be gone."""
    bin: bool = False
    """Those in the bin, instead of those in the library."""
    sort: str = "newest"
    """Order: newest, oldest, stars, title, longest, shortest, largest, seed, changed, metric:NAME, taste (likely
    keepers first), motion (what moves most first), likeness (to the clip of `like`), words (what fits `words` best)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "alias_generator": lambda name: SINGULAR.get(name, name),
        "populate_by_name": True,
        "extra": "forbid",
        "use_attribute_docstrings": True,
    }
    """How pydantic reads it from a request: the field's docstring describes the parameter."""

    def __post_init__(self) -> None:
        """Refuse what nothing can fulfil; lists become tuples, and bounds (name, least, most) text."""
        for field in dataclasses.fields(ClipQuery):
            name, value = field.name, getattr(self, field.name)
            if value is field.default:
                continue
            if isinstance(value, list | tuple):
                value = tuple(str(MetricBounds.read(item)) if name == "metrics" else item for item in value)
                object.__setattr__(self, name, value)
            kind = _FIELD_TYPES[name]
            if not _fits(kind, value):
                choices = [str(choice) for choice in get_args(next(iter(get_args(kind)), None))]
                remedy = nearest(str(value), choices) if choices else f"give {field.type}"
                raise LibraryError(f"{name} is {json.dumps(value, default=repr, ensure_ascii=False)}", remedy)
        for name in ("min_stars", "max_stars"):
            if not 0 <= getattr(self, name) <= 5:
                raise LibraryError(f"{name} is {getattr(self, name)}", "give 0 to 5")
        if self.motion is not None and not 0 <= self.motion <= 1:
            raise LibraryError(f"motion is {self.motion:g}", "give 0 to 1")
        _order(self.sort)

    @property
    def filters(self) -> ClipQuery:
        """The same clips whatever words they hold, in the usual order."""
        return dataclasses.replace(self, text="", sort="newest")

    def narrowed(self, **more: Any) -> ClipQuery:
        """Ask for more: words, tags and figures are added, of stars the greater number counts, the rest is replaced.

        What is None is left as it is.
        """
        more = {name: value for name, value in more.items() if value is not None}
        for name in ("tags", "without", "metrics"):
            more[name] = (*getattr(self, name), *more.get(name, ()))
        more["text"] = f"{self.text} {more.get('text', '')}".strip()
        more["min_stars"] = max(self.min_stars, more.get("min_stars", 0))
        return dataclasses.replace(self, **more)

    def to_json(self) -> dict[str, Any]:
        """Return plain values, as saved views hold them: of filters, those that differ from the default."""
        filters = {field.name: getattr(self, field.name) for field in dataclasses.fields(ClipQuery)}
        for field in dataclasses.fields(ClipQuery):
            if field.name in ("text", "sort") or filters[field.name] == field.default:
                del filters[field.name]
        if self.metrics:
            filters["metrics"] = tuple(MetricBounds.read(text) for text in self.metrics)
        return {"filters": filters, "text": self.text, "sort": self.sort}

    @staticmethod
    def from_json(value: Any) -> ClipQuery:
        """Read what `to_json` gave.

        Raises:
            LibraryError: a name or a value is not known.
        """
        if not isinstance(value, dict) or set(value) - {"filters", "text", "sort"}:
            raise LibraryError(f"{value!r} is no query", "give filters, text and sort")
        filters = value.get("filters", {})
        known = {field.name for field in dataclasses.fields(ClipQuery)} - {"text", "sort"}
        if not isinstance(filters, dict):
            raise LibraryError(f"filters are {filters!r}", "give an object")
        if unknown := [name for name in filters if name not in known]:
            raise LibraryError(f'there is no filter "{unknown[0]}"', nearest(str(unknown[0]), known))
        return ClipQuery(**filters, text=str(value.get("text", "")), sort=str(value.get("sort", "newest")))


_FIELD_TYPES = get_type_hints(ClipQuery)


def _fits(kind: Any, value: Any) -> bool:
    """Whether a value is of a field's type; numbers are finite, and SQLite can hold them."""
    if isinstance(kind, types.UnionType) or get_origin(kind) is Union:
        return any(_fits(one, value) for one in get_args(kind))
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(_fits(get_args(kind)[0], item) for item in value)
    if kind in (int, float):
        whole = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
        return whole or (kind is float and isinstance(value, float) and math.isfinite(value))
    if kind is str:
        return isinstance(value, str) and value == value.encode(errors="replace").decode()  # no halves of characters
    return isinstance(value, kind)


@dataclass(frozen=True)
class EntryPage:
    """Some entries in a row."""

    entries: list[ClipEntry]
    cursor: str | None
    """What to give to `Library.query` for the next page, or None at the end."""


Conditions = tuple[list[str], list[Any]]
"""SQL conditions on `clips AS c`, and their values."""

CONDITIONS = {
    **{
        name: f"c.{name} = ?" for name in ("origin", "model", "weights", "label", "seed", "verdict", "codec", "missing")
    },
    "min_seconds": "c.seconds >= ?",
    "max_seconds": "c.seconds <= ?",
    "min_side": "min(c.width, c.height) >= ?",
    "max_side": "min(c.width, c.height) <= ?",
    **{f"min_{name}": f"c.{name} >= ?" for name in ("width", "height", "fps")},
    **{f"max_{name}": f"c.{name} <= ?" for name in ("width", "height", "fps")},
    "sound": "c.audio = ?",
    "since": "c.added >= ?",
    "until": "c.added < ?",
    "album": "EXISTS (SELECT 1 FROM album_clips a WHERE a.clip = c.id AND a.album = ?)",
    "dataset": "c.weights IN (SELECT digest FROM models WHERE dataset = ?)",
    "parent": "c.id IN (SELECT p.clip FROM parents p JOIN clips o ON o.digest = p.digest WHERE o.id = ?)",
}
"""SQL conditions of the filters that are a single value."""


def conditions(connection: sqlite3.Connection, query: ClipQuery, *, all_at_once: bool = True) -> Conditions:
    """Return a query as SQL conditions on `clips AS c`, and their values."""
    terms: list[str] = ["c.deleted IS NOT NULL" if query.bin else "c.deleted IS NULL"]
    values: list[Any] = []

    def add(term: str, *operands: Any) -> None:
        terms.append(term)
        values.extend(operands)

    for name, condition in CONDITIONS.items():
        if (value := getattr(query, name)) is not None:
            add(condition, value)
    if (query.min_stars, query.max_stars) != (0, 5):
        # A plus keeps SQLite from going by stars where it does not sort by them: it would sort all that it finds.
        add(f"{'' if query.sort == 'stars' else '+'}c.stars BETWEEN ? AND ?", query.min_stars, query.max_stars)
    for tag in () if query.any_tag else query.tags:
        add("c.id IN (SELECT clip FROM tags WHERE tag = ?)", tag)
    for tag in query.without:
        add("NOT EXISTS (SELECT 1 FROM tags t WHERE t.clip = c.id AND t.tag = ?)", tag)
    for name, least, most in map(MetricBounds.read, query.metrics):
        if least is not None:
            add("json_extract(c.metrics, ?) >= ?", _metric(name), least)
        if most is not None:
            add("json_extract(c.metrics, ?) <= ?", _metric(name), most)
    if query.ids is not None:
        add("c.id IN (SELECT value FROM json_each(?))", json.dumps(query.ids))
    either, chosen = _any_of(query)
    more, operands = text_conditions(connection, query.text, all_at_once=all_at_once)
    return [*terms, *either, *more], [*values, *chosen, *operands]


def _any_of(query: ClipQuery) -> Conditions:
    """Return the filters that one of several values fulfils."""
    terms: list[str] = []
    values: list[Any] = []
    for name, column in ANY_OF.items():
        if chosen := getattr(query, name):
            terms.append(f"c.{column} IN (SELECT value FROM json_each(?))")
            values.append(json.dumps(chosen))
    if query.any_tag and query.tags:
        terms.append("c.id IN (SELECT clip FROM tags WHERE tag IN (SELECT value FROM json_each(?)))")
        values.append(json.dumps(query.tags))
    return terms, values


def figure_names(connection: sqlite3.Connection) -> list[str]:
    newest = "SELECT metrics FROM clips ORDER BY id DESC LIMIT 1000"
    rows = connection.execute(f"SELECT DISTINCT key FROM ({newest}) m, json_each(m.metrics) ORDER BY key")
    return [row["key"] for row in rows]


def _metric(name: str) -> str:
    """Return the JSON path of a figure."""
    if '"' in name or "\\" in name:
        raise LibraryError(f'a figure is named "{name}"', "leave quotes out")
    return f'$."{name}"'


def _order(sort: str) -> tuple[str, str, list[Any]]:
    """Return the expression that is sorted by, its direction, and its values. What has no figure comes last."""
    if sort.startswith("metric:"):
        name, _, direction = sort.removeprefix("metric:").partition(":")
        if direction in ("", "asc", "desc") and name:
            last, direction = ("1e308", "ASC") if direction == "asc" else ("-1e308", "DESC")
            return f"coalesce(json_extract(c.metrics, ?), {last})", direction, [_metric(name)]
    if sort not in SORTS:
        raise LibraryError(f'sort is "{sort}"', nearest(sort, [*SORTS, "metric:NAME"]))
    return *SORTS[sort], []


def select(
    connection: sqlite3.Connection, query: ClipQuery, cursor: str | None, limit: int
) -> tuple[list[int], str | None]:
    """Return the numbers of a page of the clips that a query finds, and the cursor of the next page.

    A cursor is the order with the mark and the number of the last clip, as JSON in base64.

    Raises:
        LibraryError: the cursor is not one that this query gave.
    """
    expression, direction, operands = _order(query.sort)
    terms, values = conditions(connection, query, all_at_once=False)
    if cursor is not None:
        try:
            sort, mark, number = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
            known = sort == query.sort and _fits(str | float, mark) and _fits(int, number)
        except (ValueError, TypeError, RecursionError):
            known = False
        if not known:
            raise LibraryError("the cursor is not one of this query", "begin again without a cursor")
        more, marks = _side(query, mark, number, direction)
        terms, values = [*terms, *more], [*values, *marks]
    limit = max(1, min(limit, MOST))
    rows = connection.execute(
        f"SELECT c.id, {expression} AS mark FROM clips c WHERE {' AND '.join(terms)} "
        f"ORDER BY {expression} {direction}, c.id {direction} LIMIT ?",
        [*operands, *values, *operands, limit + 1],
    ).fetchall()
    following = None
    if len(rows) > limit:
        last = json.dumps([query.sort, rows[limit - 1]["mark"], rows[limit - 1]["id"]], ensure_ascii=False)
        following = base64.urlsafe_b64encode(last.encode()).decode().rstrip("=")
    return [row["id"] for row in rows[:limit]], following


def count(connection: sqlite3.Connection, query: ClipQuery) -> int:
    if (known := facet_conditions(query)) is not None:
        terms, values = known
        statement = f"SELECT coalesce(sum(clips), 0) FROM facet_counts c WHERE {' AND '.join(terms)}"
        return int(connection.execute(statement, values).fetchone()[0])
    match = match_text(connection, query.text)
    if query.filters == ClipQuery() and match.indexed and not match.rest:
        binned = "SELECT id FROM clips WHERE deleted IS NOT NULL"
        statement = f"SELECT count(*) FROM words WHERE words MATCH ? AND rowid NOT IN ({binned})"
        return int(connection.execute(statement, (match.indexed,)).fetchone()[0])
    terms, values = conditions(connection, query)
    return int(connection.execute(f"SELECT count(*) FROM clips c WHERE {' AND '.join(terms)}", values).fetchone()[0])


def count_few(connection: sqlite3.Connection, query: ClipQuery) -> int | None:
    """Return how many clips a query finds; None where there are so many that to count them takes a while."""
    if facet_conditions(query) is None:
        _, found = some(connection, query, COMMON)
        return None if found is None else len(found)
    return count(connection, query)


def some(connection: sqlite3.Connection, query: ClipQuery, most: int) -> tuple[list[int], list[int] | None]:
    """Return clips that a query finds, about `most` at most, and the same again where these are all of them, else None.

    Which ones is not said: they are those that come to hand.
    """
    match = match_text(connection, query.text)
    if match.nowhere:
        return [], []
    terms, values = conditions(connection, dataclasses.replace(query, text="", sort="oldest"))
    if match.indexed:
        statement = "SELECT rowid FROM words WHERE words MATCH ? ORDER BY rowid DESC LIMIT ?"
        holding = [row[0] for row in connection.execute(statement, (match.indexed, most + 1))]
        terms, values = [*terms, "c.id IN (SELECT value FROM json_each(?))"], [*values, json.dumps(holding)]
    if match.rest:
        holds = " AND ".join("instr(t.body, ?) > 0" for _ in match.rest)
        terms.append(f"EXISTS (SELECT 1 FROM texts t WHERE t.clip = c.id AND {holds})")
        values += match.rest
    statement = f"SELECT c.id FROM clips c WHERE {' AND '.join(terms)} LIMIT ?"
    found = [row[0] for row in connection.execute(statement, [*values, most + 1])]
    whole = len(found) <= most and (not match.indexed or len(holding) <= most)
    return found, found if whole else None


def facet_conditions(query: ClipQuery) -> Conditions | None:
    """Return a query as conditions on `facet_counts AS c`; None where it asks for more than facets and the bin."""
    known = {*SINGLE_FACETS, *ANY_OF, "min_stars", "max_stars", "bin", "sort", "motion", "any_tag"}
    if any(
        getattr(query, field.name) != field.default for field in dataclasses.fields(query) if field.name not in known
    ):
        return None
    terms, values = ["c.binned = ?", "c.stars BETWEEN ? AND ?"], [query.bin, query.min_stars, query.max_stars]
    for name in SINGLE_FACETS:
        if (value := getattr(query, name)) is not None:
            terms.append(CONDITIONS[name])
            values.append(value)
    either, chosen = _any_of(query)
    return [*terms, *either], [*values, *chosen]


def numbers(
    connection: sqlite3.Connection, query: ClipQuery, after: int | None = None, limit: int | None = None
) -> list[int]:
    """Return the numbers of all clips that a query finds, in its order; of those that come after a clip, so many."""
    expression, direction, operands = _order(query.sort)
    terms, values = conditions(connection, query, all_at_once=limit is None)
    if after is not None:
        more, marks = _beyond(connection, query, after, direction)
        terms, values = [*terms, *more], [*values, *marks]
    statement = (
        f"SELECT c.id FROM clips c WHERE {' AND '.join(terms)} ORDER BY {expression} {direction}, c.id {direction}"
    )
    rows = connection.execute(f"{statement} LIMIT ?", [*values, *operands, -1 if limit is None else limit])
    return [row[0] for row in rows]


def _beyond(connection: sqlite3.Connection, query: ClipQuery, clip: int, direction: str) -> Conditions:
    """Return the condition that clips stand on one side of a clip: ASC, those with greater marks."""
    expression, _, operands = _order(query.sort)
    row = connection.execute(f"SELECT {expression} FROM clips c WHERE c.id = ?", [*operands, clip]).fetchone()
    return (["0"], []) if row is None else _side(query, row[0], clip, direction)


def _side(query: ClipQuery, mark: Any, clip: int, direction: str) -> Conditions:
    """Return the condition that clips stand on one side of a mark and a number."""
    expression, _, operands = _order(query.sort)
    sign = "<" if direction == "DESC" else ">"
    if expression == "c.id":
        return [f"c.id {sign} ?"], [clip]
    # The first says nothing new; SQLite begins there in the index, and would walk to the second from its end.
    terms = [f"{expression} {sign}= ?", f"({expression}, c.id) {sign} (?, ?)"]
    return terms, [*operands, mark, *operands, mark, clip]


class QueryPlace(NamedTuple):
    """Where a clip stands among those that a query finds."""

    number: int
    """1 for the first; 0 where it is none of them."""
    total: int
    previous: int | None
    """Number of the clip before it."""
    next: int | None


def place(connection: sqlite3.Connection, query: ClipQuery, clip: int) -> QueryPlace:
    """Return where a clip stands among those that a query finds, by way of indices, without a list of them."""
    total = count(connection, query)
    expression, direction, operands = _order(query.sort)
    terms, values = conditions(connection, query, all_at_once=False)
    where = " AND ".join(terms)
    if not connection.execute(f"SELECT 1 FROM clips c WHERE c.id = ? AND {where}", [clip, *values]).fetchone():
        return QueryPlace(0, total, None, None)
    opposite = "ASC" if direction == "DESC" else "DESC"
    before, marks = _beyond(connection, query, clip, opposite)
    nearest_before = connection.execute(
        f"SELECT c.id FROM clips c WHERE {' AND '.join([where, *before])} "
        f"ORDER BY {expression} {opposite}, c.id {opposite} LIMIT 1",
        [*values, *marks, *operands],
    ).fetchone()
    terms, values = conditions(connection, query)
    counted = f"SELECT count(*) FROM clips c WHERE {' AND '.join([*terms, *before])}"
    number = int(connection.execute(counted, [*values, *marks]).fetchone()[0]) + 1
    following = numbers(connection, query, clip, 1)
    return QueryPlace(number, total, None if nearest_before is None else nearest_before[0], next(iter(following), None))


def facets(
    connection: sqlite3.Connection, query: ClipQuery, most: int, among: int | None = None
) -> tuple[dict[str, list[tuple[Any, int]]], frozenset[str]]:
    """Return the values that the found clips have, with how often, commonest first: what a panel of filters shows.

    Args:
        connection: the database's.
        query: which clips.
        most: values of a facet.
        among: where no count is kept, only about so many of the clips are looked at, if there are more.

    Returns:
        Lists of (value, count) by name, and the names of those that are counted among some of the clips only.
    """
    known = facet_conditions(query)
    kept_tags = dataclasses.replace(query.filters, bin=False, text=query.text) == ClipQuery()
    terms, values = conditions(connection, query) if among is None else ([], [])
    inside = f"SELECT c.id FROM clips c WHERE {' AND '.join(terms)}"
    partly: set[str] = set()
    if among is not None and not kept_tags:
        found, whole = some(connection, query, among)
        inside = "SELECT value FROM json_each(?)"
        terms, values = [f"c.id IN ({inside})"], [json.dumps(found)]
        if whole is None:
            partly = {"tags"} if known is not None else {*FACETS, "tags"}
    columns, where = ", ".join(f"c.{name}" for name in FACETS), " AND ".join(terms)
    statement = f"SELECT {columns}, count(*) AS n FROM clips c WHERE {where} GROUP BY {columns}"
    operands = values
    if known is not None:
        statement = f"SELECT {columns}, c.clips AS n FROM facet_counts c WHERE {' AND '.join(known[0])}"
        operands = known[1]
    counters: dict[str, Counter[Any]] = {name: Counter() for name in FACETS}
    for row in connection.execute(statement, operands):
        for name in FACETS:
            if row[name] is not None:
                counters[name][row[name]] += row["n"]
    counts = {name: sorted(counter.items(), key=lambda item: (-item[1], item[0])) for name, counter in counters.items()}
    statement = "SELECT tag, clips AS n FROM tag_counts WHERE binned = ? ORDER BY n DESC, tag LIMIT ?"
    operands = [query.bin]
    if not kept_tags:
        statement = f"SELECT tag, count(*) AS n FROM tags WHERE clip IN ({inside}) GROUP BY tag "
        statement += "ORDER BY n DESC, tag LIMIT ?"
        operands = values
    tags = [(row["tag"], row["n"]) for row in connection.execute(statement, [*operands, most])]
    return {**{name: items[:most] for name, items in counts.items()}, "tags": tags}, frozenset(partly)


TRIGRAM = 3
"""Characters of what the index holds."""
COMMON = 2000
"""Matches from which on words are looked for clip by clip, in the wanted order, instead of all at once."""
BEGINNINGS = 400
"""A short word that begins more trigrams than this is looked for clip by clip."""


@dataclass(frozen=True)
class TextMatch:
    """Words, as they are looked for."""

    indexed: str
    """What the index is asked for; empty for nothing."""
    rest: tuple[str, ...]
    """Words that the index is not asked for: they are looked for in the texts."""
    words: tuple[str, ...]
    """All words, folded."""
    nowhere: bool = False
    """Whether one of them stands in no text."""


def match_text(connection: sqlite3.Connection, text: str) -> TextMatch:
    """Cut a text into words as the index can be asked for them; what stands in double quotes stays together."""
    parts = [[part.strip()] if number % 2 else part.split() for number, part in enumerate(fold(text).split('"'))]
    words = tuple(dict.fromkeys(word for part in parts for word in part if word))
    indexed: list[str] = []
    rest: list[str] = []
    for word in words:
        terms = [word]
        if len(word) < TRIGRAM:  # the trigrams that begin with it
            beginning = "SELECT term FROM trigrams WHERE term >= ? AND term < ? LIMIT ?"
            terms = [row[0] for row in connection.execute(beginning, (word, word + "\U0010ffff", BEGINNINGS + 1))]
        if not terms:
            return TextMatch("", (), words, nowhere=True)
        if len(terms) > BEGINNINGS:
            rest.append(word)
        else:
            quoted = ['"' + term.replace('"', '""') + '"' for term in terms]
            indexed.append(f"({' OR '.join(quoted)})")
    return TextMatch(" AND ".join(indexed), tuple(rest), words)


def text_conditions(connection: sqlite3.Connection, text: str, *, all_at_once: bool) -> Conditions:
    """Return the words of a text as SQL conditions on `clips AS c`, and their values; see `conditions`."""
    match = match_text(connection, text)
    if match.nowhere:
        return ["0"], []
    terms: list[str] = []
    values: list[Any] = []
    walked = match.words
    if match.indexed:
        few = "SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT ?)"
        if all_at_once or connection.execute(few, (match.indexed, COMMON)).fetchone()[0] < COMMON:
            terms, values = ["c.id IN (SELECT rowid FROM words WHERE words MATCH ?)"], [match.indexed]
            walked = match.rest
    if walked:
        holds = " AND ".join("instr(t.body, ?) > 0" for _ in walked)
        terms.append(f"EXISTS (SELECT 1 FROM texts t WHERE t.clip = c.id AND {holds})")
    return terms, [*values, *walked]
