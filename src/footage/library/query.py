"""Which clips are asked for: filters, words, order and pages, as SQL.

Words are looked up in an index of trigrams (SQLite's FTS5), which finds any part of a text that has three characters or
more. Shorter words, which are whole words in Chinese, are found as the beginnings of trigrams: every text ends in two
line breaks, so that each of its characters begins one.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import json
import math
import sqlite3
import types
from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

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
}
"""Orders of a query: expression and direction. `metric:NAME` and `metric:NAME:asc` sort by a figure."""
SINGULAR = {"tags": "tag", "metrics": "metric"}
"""Names of parameters that are repeated, in addresses and as flags."""
MOST = 1000
"""Largest page."""
FACETS = ("origin", "model", "label", "verdict", "stars", "codec")
"""Columns whose values are counted for a panel of filters."""


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
    model: str | None = None
    """Name of the model that made them."""
    weights: str | None = None
    """SHA-256 of the model's weights."""
    dataset: str | None = None
    """Name of the data set that the model learned from."""
    label: str | None = None
    """Their class, as it was asked for."""
    seed: int | None = None
    """Seed that they were made from."""
    tags: tuple[str, ...] = ()
    """Tags that they all have."""
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
    """Order: newest, oldest, stars, title, longest, shortest, largest, seed, changed, or metric:NAME."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "alias_generator": lambda name: SINGULAR.get(name, name),
        "populate_by_name": True,
        "extra": "forbid",
        "use_attribute_docstrings": True,
    }
    """How pydantic reads it from a request: the field's docstring describes the parameter."""

    def __post_init__(self) -> None:
        """Refuse what nothing can fulfil; lists become tuples, and bounds (name, least, most) text."""
        for name, kind in _field_types().items():
            value = getattr(self, name)
            if isinstance(value, list | tuple):
                value = tuple(map(_metric_text, value)) if name == "metrics" else tuple(value)
                object.__setattr__(self, name, value)
            if not _fits(kind, value):
                choices = [str(choice) for choice in get_args(next(iter(get_args(kind)), None))]
                remedy = nearest(str(value), choices) if choices else f"give {ClipQuery.__annotations__[name]}"
                raise LibraryError(f"{name} is {json.dumps(value, default=repr)}", remedy)
        for name in ("min_stars", "max_stars"):
            if not 0 <= getattr(self, name) <= 5:
                raise LibraryError(f"{name} is {getattr(self, name)}", "give 0 to 5")
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
        default = ClipQuery()
        values = {name: getattr(self, name) for name in _field_types() if name not in ("text", "sort")}
        filters = {name: value for name, value in values.items() if value != getattr(default, name)}
        if self.metrics:
            filters["metrics"] = tuple(metric_bounds(text) for text in self.metrics)
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
        known = _field_types().keys() - {"text", "sort"}
        if not isinstance(filters, dict):
            raise LibraryError(f"filters are {filters!r}", "give an object")
        if unknown := [name for name in filters if name not in known]:
            raise LibraryError(f'there is no filter "{unknown[0]}"', nearest(str(unknown[0]), known))
        return ClipQuery(**filters, text=str(value.get("text", "")), sort=str(value.get("sort", "newest")))


@functools.cache
def _field_types() -> dict[str, Any]:
    """Return the types of a query's fields."""
    hints = get_type_hints(ClipQuery)
    return {field.name: hints[field.name] for field in dataclasses.fields(ClipQuery)}


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
    return isinstance(value, kind)


def metric_bounds(text: str) -> tuple[str, float | None, float | None]:
    """Read NAME:LEAST:MOST.

    Raises:
        LibraryError: there is no name, or a bound is not a finite number.
    """
    name, *ends = text.rsplit(":", 2)
    try:
        low, high = (float(end) if end else None for end in ends)
    except ValueError:
        low, high = math.nan, math.nan
    if not name or any(end is not None and not math.isfinite(end) for end in (low, high)):
        raise LibraryError(f'metric is "{text}"', "give NAME:LEAST:MOST, such as motion:0.1:")
    return name, low, high


def _metric_text(bounds: Any) -> str:
    """Return the bounds of a figure, which may be text or (name, least, most), in one form."""
    try:
        name, low, high = metric_bounds(bounds) if isinstance(bounds, str) else bounds
        text = ":".join([name, *("" if end is None else repr(float(end)).removesuffix(".0") for end in (low, high))])
        metric_bounds(text)
        return text
    except (TypeError, ValueError):
        raise LibraryError(f"a figure's bounds are {bounds!r}", "give NAME:LEAST:MOST, such as motion:0.1:") from None


@dataclass(frozen=True)
class EntryPage:
    """Some entries in a row."""

    entries: list[ClipEntry]
    """The entries."""
    cursor: str | None
    """What to give to `Library.query` for the next page, or None at the end."""


Conditions = tuple[list[str], list[Any]]
"""SQL conditions on `clips AS c`, and their values."""

_EQUAL = ("origin", "model", "weights", "label", "seed", "verdict", "codec", "missing")


def conditions(filters: ClipQuery, *, indexed: bool = False) -> Conditions:
    """Return filters as SQL conditions on `clips AS c`; `indexed` where the order is that of stars."""
    said: list[str] = ["c.deleted IS NOT NULL" if filters.bin else "c.deleted IS NULL"]
    values: list[Any] = []

    def add(text: str, *given: Any) -> None:
        said.append(text)
        values.extend(given)

    for name in _EQUAL:
        if (value := getattr(filters, name)) is not None:
            add(f"c.{name} = ?", value)
    if (filters.min_stars, filters.max_stars) != (0, 5):
        # A plus keeps SQLite from going by stars, which would mean sorting all that it finds.
        add(f"{'' if indexed else '+'}c.stars BETWEEN ? AND ?", filters.min_stars, filters.max_stars)
    for text, value in (
        ("c.seconds >= ?", filters.min_seconds),
        ("c.seconds <= ?", filters.max_seconds),
        ("min(c.width, c.height) >= ?", filters.min_side),
        ("min(c.width, c.height) <= ?", filters.max_side),
        ("c.added >= ?", filters.since),
        ("c.added < ?", filters.until),
        ("EXISTS (SELECT 1 FROM album_clips a WHERE a.clip = c.id AND a.album = ?)", filters.album),
        ("c.weights IN (SELECT digest FROM models WHERE dataset = ?)", filters.dataset),
        ("c.id IN (SELECT p.clip FROM parents p JOIN clips o ON o.digest = p.digest WHERE o.id = ?)", filters.parent),
    ):
        if value is not None:
            add(text, value)
    for tag in filters.tags:
        add("c.id IN (SELECT clip FROM tags WHERE tag = ?)", tag)
    for tag in filters.without:
        add("NOT EXISTS (SELECT 1 FROM tags t WHERE t.clip = c.id AND t.tag = ?)", tag)
    for name, low, high in map(metric_bounds, filters.metrics):
        if low is not None:
            add("json_extract(c.metrics, ?) >= ?", _metric(name), low)
        if high is not None:
            add("json_extract(c.metrics, ?) <= ?", _metric(name), high)
    if filters.ids is not None:
        add("c.id IN (SELECT value FROM json_each(?))", json.dumps(filters.ids))
    return said, values


def _metric(name: str) -> str:
    """Return the JSON path of a figure."""
    if '"' in name or "\\" in name:
        raise LibraryError(f'a figure is named "{name}"', "leave quotes out")
    return f'$."{name}"'


def _order(sort: str) -> tuple[str, str, list[Any]]:
    """Return the expression that is sorted by, its direction, and its values. What has no figure comes last."""
    if sort.startswith("metric:"):
        name, _, way = sort.removeprefix("metric:").partition(":")
        if way in ("", "asc", "desc") and name:
            last = "1e308" if way == "asc" else "-1e308"
            return f"coalesce(json_extract(c.metrics, ?), {last})", "ASC" if way == "asc" else "DESC", [_metric(name)]
    if sort not in SORTS:
        raise LibraryError(f'sort is "{sort}"', nearest(sort, [*SORTS, "metric:NAME"]))
    return *SORTS[sort], []


def matching(connection: sqlite3.Connection, query: ClipQuery, *, all_at_once: bool = True) -> Conditions:
    """Return a query as SQL conditions on `clips AS c`, and their values; see `words.conditions`."""
    said, values = conditions(query, indexed=query.sort == "stars")
    more, given = text_conditions(connection, query.text, all_at_once=all_at_once)
    return [*said, *more], [*values, *given]


def select(
    connection: sqlite3.Connection, query: ClipQuery, cursor: str | None, limit: int
) -> tuple[list[int], str | None]:
    """Return the numbers of a page of the clips that a query finds, and the cursor of the next page.

    Raises:
        LibraryError: the cursor is not one that this query gave, or the order is not known.
    """
    expression, way, inner = _order(query.sort)
    said, values = matching(connection, query, all_at_once=False)
    if cursor is not None:
        said.append(f"({expression}, c.id) {'<' if way == 'DESC' else '>'} (?, ?)")
        values += [*inner, *_read_cursor(cursor, query.sort)]
    limit = max(1, min(limit, MOST))
    rows = connection.execute(
        f"SELECT c.id, {expression} AS mark FROM clips c WHERE {' AND '.join(said)} "
        f"ORDER BY {expression} {way}, c.id {way} LIMIT ?",
        [*inner, *values, *inner, limit + 1],
    ).fetchall()
    shown = rows[:limit]
    following = _cursor(query.sort, shown[-1]["mark"], shown[-1]["id"]) if len(rows) > limit else None
    return [row["id"] for row in shown], following


def count(connection: sqlite3.Connection, query: ClipQuery) -> int:
    """Return how many clips a query finds."""
    sought = seek(connection, query.text)
    if query.filters == ClipQuery() and sought.match and not sought.rest:
        binned = "SELECT id FROM clips WHERE deleted IS NOT NULL"
        asked = f"SELECT count(*) FROM words WHERE words MATCH ? AND rowid NOT IN ({binned})"
        return int(connection.execute(asked, (sought.match,)).fetchone()[0])
    said, values = matching(connection, query)
    return int(connection.execute(f"SELECT count(*) FROM clips c WHERE {' AND '.join(said)}", values).fetchone()[0])


def numbers(connection: sqlite3.Connection, query: ClipQuery) -> list[int]:
    """Return the numbers of all clips that a query finds, in its order."""
    expression, way, inner = _order(query.sort)
    said, values = matching(connection, query)
    order = f"ORDER BY {expression} {way}, c.id {way}"
    found = connection.execute(f"SELECT c.id FROM clips c WHERE {' AND '.join(said)} {order}", [*values, *inner])
    return [row[0] for row in found]


def facets(connection: sqlite3.Connection, query: ClipQuery, most: int) -> dict[str, list[tuple[Any, int]]]:
    """Return the values that the found clips have, with how often, commonest first: what a panel of filters shows."""
    said, values = matching(connection, query)
    where = " AND ".join(said)
    columns = ", ".join(f"c.{name}" for name in FACETS)
    counts: dict[str, Counter[Any]] = {name: Counter() for name in FACETS}
    for row in connection.execute(
        f"SELECT {columns}, count(*) AS n FROM clips c WHERE {where} GROUP BY {columns}", values
    ):
        for name in FACETS:
            if row[name] is not None:
                counts[name][row[name]] += row["n"]
    found = {name: sorted(counter.items(), key=lambda item: (-item[1], item[0])) for name, counter in counts.items()}
    inside = f"clip IN (SELECT c.id FROM clips c WHERE {where})"
    if said == ["c.deleted IS NULL"]:  # all of them: it is quicker to leave out the few that lie in the bin
        inside = "clip NOT IN (SELECT id FROM clips WHERE deleted IS NOT NULL)"
    asked = f"SELECT tag, count(*) AS n FROM tags WHERE {inside} GROUP BY tag ORDER BY n DESC, tag LIMIT ?"
    rows = connection.execute(asked, [*values, most])
    return {**{name: items[:most] for name, items in found.items()}, "tags": [(row[0], row[1]) for row in rows]}


def _cursor(sort: str, mark: Any, number: int) -> str:
    packed = json.dumps([sort, mark, number], ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def _read_cursor(cursor: str, sort: str) -> tuple[Any, int]:
    try:
        made, mark, number = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if made == sort and _fits(str | float, mark) and _fits(int, number):
            return mark, number
    except (ValueError, TypeError, RecursionError):
        pass
    raise LibraryError("the cursor is not one of this query", "begin again without a cursor")


TRIGRAM = 3
"""Characters of what the index holds."""
COMMON = 2000
"""Matches from which on words are looked for clip by clip, in the wanted order, instead of all at once."""
BEGINNINGS = 400
"""A short word that begins more trigrams than this is looked for clip by clip."""


@dataclass(frozen=True)
class TextMatch:
    """Words, as they are looked for."""

    match: str
    """What the index is asked for; empty for nothing."""
    rest: tuple[str, ...]
    """Words that the index is not asked for: they are looked for in the texts."""
    words: tuple[str, ...]
    """All words."""
    nowhere: bool
    """Whether one of them stands in no text."""


def split(text: str) -> list[str]:
    """Cut what was searched for into folded words; what stands in double quotes stays together."""
    parts = fold(text).split('"')
    found = [word for number, part in enumerate(parts) for word in ([part.strip()] if number % 2 else part.split())]
    return list(dict.fromkeys(word for word in found if word))


def seek(connection: sqlite3.Connection, text: str) -> TextMatch:
    """Return words as the index can be asked for them."""
    words = split(text)
    asked: list[str] = []
    rest: list[str] = []
    for word in words:
        terms = [word] if len(word) >= TRIGRAM else _beginning(connection, word)
        if not terms:
            return TextMatch("", (), tuple(words), nowhere=True)
        if len(terms) > BEGINNINGS:
            rest.append(word)
        else:
            asked.append("(" + " OR ".join(_quoted(term) for term in terms) + ")")
    return TextMatch(" AND ".join(asked), tuple(rest), tuple(words), nowhere=False)


def _beginning(connection: sqlite3.Connection, word: str) -> list[str]:
    """Return the trigrams that begin with a short word; one more than `BEGINNINGS` at most."""
    rows = connection.execute(
        "SELECT term FROM trigrams WHERE term >= ? AND term < ? LIMIT ?", (word, word + "\U0010ffff", BEGINNINGS + 1)
    )
    return [row["term"] for row in rows]


def _quoted(term: str) -> str:
    return '"' + term.replace('"', '""') + '"'


def text_conditions(connection: sqlite3.Connection, text: str, *, all_at_once: bool) -> tuple[list[str], list[Any]]:
    """Return words as SQL conditions on `clips AS c`, and their values.

    Args:
        connection: to the library.
        text: what was searched for.
        all_at_once: all matches are wanted, and not the first ones in an order.
    """
    sought = seek(connection, text)
    if sought.nowhere:
        return ["0"], []
    said: list[str] = []
    values: list[Any] = []
    walked = sought.words
    if sought.match:
        few = "SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT ?)"
        if all_at_once or connection.execute(few, (sought.match, COMMON)).fetchone()[0] < COMMON:
            said, values = ["c.id IN (SELECT rowid FROM words WHERE words MATCH ?)"], [sought.match]
            walked = sought.rest
    if walked:
        holds = " AND ".join("instr(t.body, ?) > 0" for _ in walked)
        said.append(f"EXISTS (SELECT 1 FROM texts t WHERE t.clip = c.id AND {holds})")
    return said, [*values, *walked]
