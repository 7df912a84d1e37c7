"""Words that clips are found by, looked up in an index of trigrams.

An index of trigrams (SQLite's FTS5) finds any part of a text that has three characters or more. Shorter ones, which are
whole words in Chinese, are found as the beginnings of trigrams: every text ends in two line breaks, so that each of its
characters begins one.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from footage.library.entries import fold

TRIGRAM = 3
"""Characters of what the index holds."""
COMMON = 2000
"""Matches from which on words are looked for clip by clip, in the wanted order, instead of all at once."""
BEGINNINGS = 400
"""A short word that begins more trigrams than this is looked for clip by clip."""


@dataclass(frozen=True)
class Sought:
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


def seek(connection: sqlite3.Connection, text: str) -> Sought:
    """Return words as the index can be asked for them."""
    words = split(text)
    asked: list[str] = []
    rest: list[str] = []
    for word in words:
        terms = [word] if len(word) >= TRIGRAM else _beginning(connection, word)
        if not terms:
            return Sought("", (), tuple(words), nowhere=True)
        if len(terms) > BEGINNINGS:
            rest.append(word)
        else:
            asked.append("(" + " OR ".join(_quoted(term) for term in terms) + ")")
    return Sought(" AND ".join(asked), tuple(rest), tuple(words), nowhere=False)


def _beginning(connection: sqlite3.Connection, word: str) -> list[str]:
    """Return the trigrams that begin with a short word; one more than `BEGINNINGS` at most."""
    rows = connection.execute(
        "SELECT term FROM trigrams WHERE term >= ? AND term < ? LIMIT ?", (word, word + "\U0010ffff", BEGINNINGS + 1)
    )
    return [row["term"] for row in rows]


def _quoted(term: str) -> str:
    return '"' + term.replace('"', '""') + '"'


def conditions(connection: sqlite3.Connection, text: str, *, all_at_once: bool) -> tuple[list[str], list[Any]]:
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
