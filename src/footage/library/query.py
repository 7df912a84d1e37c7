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
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from footage.errors import LibraryError, nearest
from footage.library.entries import VERDICTS, ClipEntry, fold

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
ORIGINS = ("generated", "imported")
"""Where clips come from."""
MOST = 1000
"""Largest page."""
FACETS = ("origin", "model", "label", "verdict", "stars", "codec")
"""Columns whose values are counted for a panel of filters."""


@dataclass(frozen=True)
class Filters:
    """Which clips are wanted: those that fulfil all that is given."""

    origin: str | None = None
    """`generated` or `imported`."""
    model: str | None = None
    """Name of the model."""
    weights: str | None = None
    """SHA-256 of the model's weights."""
    dataset: str | None = None
    """Name of the data set that the model learned from."""
    label: str | None = None
    """Class, as it was asked for."""
    seed: int | None = None
    """Seed."""
    tags: tuple[str, ...] = ()
    """Tags that they all have."""
    without: tuple[str, ...] = ()
    """Tags that they do not have."""
    min_stars: int = 0
    """Fewest stars."""
    max_stars: int = 5
    """Most stars."""
    verdict: str | None = None
    """`keep`, `reject` or `undecided`."""
    album: int | None = None
    """Number of the album that they are in."""
    codec: str | None = None
    """Codec, such as `h264`."""
    min_seconds: float | None = None
    """Shortest length."""
    max_seconds: float | None = None
    """Longest length."""
    min_side: int | None = None
    """Smallest shorter side, in pixels."""
    max_side: int | None = None
    """Largest shorter side, in pixels."""
    since: float | None = None
    """Added at this time or later, in seconds since 1970."""
    until: float | None = None
    """Added before this time, in seconds since 1970."""
    metrics: tuple[tuple[str, float | None, float | None], ...] = ()
    """Figures with their least and greatest value, such as `("motion", 0.1, None)`."""
    parent: int | None = None
    """Number of a clip that they were made from."""
    ids: tuple[int, ...] | None = None
    """Their numbers."""
    missing: bool | None = None
    """Whether their files were found to be gone."""
    bin: bool = False
    """Look into the bin instead of the library."""

    def __post_init__(self) -> None:
        """Refuse values that nothing can fulfil because they are misspelt.

        Raises:
            LibraryError: a value is not one of those known.
        """
        for name, value, known in (("verdict", self.verdict, VERDICTS), ("origin", self.origin, ORIGINS)):
            if value is not None and value not in known:
                raise LibraryError(f'{name} is "{value}"', nearest(value, known))
        for name in ("min_stars", "max_stars"):
            if not 0 <= getattr(self, name) <= 5:
                raise LibraryError(f"{name} is {getattr(self, name)}", "give 0 to 5")


@dataclass(frozen=True)
class Query:
    """Filters, words and an order: what a saved view holds."""

    filters: Filters = field(default_factory=Filters)
    """Which clips."""
    text: str = ""
    """Words or parts of words that they all hold, in title, prompt, label, model, source, tags or notes.

    A phrase stands in double quotes."""
    sort: str = "newest"
    """One of `SORTS`, or `metric:NAME`."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values: what differs from the default."""
        given = {f.name: getattr(self.filters, f.name) for f in dataclasses.fields(Filters)}
        default = Filters()
        return {
            "filters": {name: value for name, value in given.items() if value != getattr(default, name)},
            "text": self.text,
            "sort": self.sort,
        }

    @staticmethod
    def from_json(value: Any) -> Query:
        """Read what `to_json` gave.

        Raises:
            LibraryError: a name or a value is not known.
        """
        if not isinstance(value, dict) or set(value) - {"filters", "text", "sort"}:
            raise LibraryError(f"{value!r} is no query", "give filters, text and sort")
        filters = filters_from_json(value.get("filters", {}))
        found = Query(filters, str(value.get("text", "")), str(value.get("sort", "newest")))
        _order(found.sort)
        return found


def filters_from_json(value: Any) -> Filters:
    """Read filters from plain values, strictly: types are checked, lists become tuples.

    Raises:
        LibraryError: a name or a value is not known.
    """
    known = {f.name: f for f in dataclasses.fields(Filters)}
    if not isinstance(value, dict):
        raise LibraryError(f"filters are {value!r}", "give an object")
    for name, given in value.items():
        if name not in known:
            raise LibraryError(f'there is no filter "{name}"', nearest(str(name), known))
        if not _fits(str(known[name].type), given):
            raise LibraryError(f"the filter {name} is {given!r}", f"give {known[name].type}")
    return Filters(**{name: _frozen(given) for name, given in value.items()})


def _fits(kind: str, value: Any) -> bool:
    """Whether a plain value is of a filter's type."""
    if value is None:
        return "None" in kind
    if "tuple[tuple" in kind:
        return isinstance(value, list | tuple) and all(
            isinstance(item, list | tuple)
            and len(item) == 3
            and isinstance(item[0], str)
            and all(x is None or _number(x) for x in item[1:])
            for item in value
        )
    if "tuple[str" in kind:
        return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
    if "tuple[int" in kind:
        return isinstance(value, list | tuple) and all(_whole(item) for item in value)
    if "str" in kind:
        return isinstance(value, str)
    if "bool" in kind:
        return isinstance(value, bool)
    return _number(value) if "float" in kind else _whole(value)


def _number(value: Any) -> bool:
    return _whole(value) or (isinstance(value, float) and math.isfinite(value))


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class ClipPage:
    """Some entries in a row."""

    entries: list[ClipEntry]
    """The entries."""
    cursor: str | None
    """What to give to `Library.query` for the next page, or None at the end."""


Conditions = tuple[list[str], list[Any]]
"""SQL conditions on `clips AS c`, and their values."""

_EQUAL = ("origin", "model", "weights", "label", "seed", "verdict", "codec", "missing")


def conditions(filters: Filters, *, indexed: bool = False) -> Conditions:
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
    for name, low, high in filters.metrics:
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


def matching(connection: sqlite3.Connection, query: Query, *, all_at_once: bool = True) -> Conditions:
    """Return a query as SQL conditions on `clips AS c`, and their values; see `words.conditions`."""
    said, values = conditions(query.filters, indexed=query.sort == "stars")
    more, given = text_conditions(connection, query.text, all_at_once=all_at_once)
    return [*said, *more], [*values, *given]


def select(
    connection: sqlite3.Connection, query: Query, cursor: str | None, limit: int
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


def count(connection: sqlite3.Connection, query: Query) -> int:
    """Return how many clips a query finds."""
    sought = seek(connection, query.text)
    if query.filters == Filters() and sought.match and not sought.rest:
        binned = "SELECT id FROM clips WHERE deleted IS NOT NULL"
        asked = f"SELECT count(*) FROM words WHERE words MATCH ? AND rowid NOT IN ({binned})"
        return int(connection.execute(asked, (sought.match,)).fetchone()[0])
    said, values = matching(connection, query)
    return int(connection.execute(f"SELECT count(*) FROM clips c WHERE {' AND '.join(said)}", values).fetchone()[0])


def numbers(connection: sqlite3.Connection, query: Query) -> list[int]:
    """Return the numbers of all clips that a query finds, in its order."""
    expression, way, inner = _order(query.sort)
    said, values = matching(connection, query)
    order = f"ORDER BY {expression} {way}, c.id {way}"
    found = connection.execute(f"SELECT c.id FROM clips c WHERE {' AND '.join(said)} {order}", [*values, *inner])
    return [row[0] for row in found]


def facets(connection: sqlite3.Connection, query: Query, most: int) -> dict[str, list[tuple[Any, int]]]:
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
        if made == sort and (isinstance(mark, str) or _number(mark) or _whole(mark)) and _whole(number):
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
