"""Blind comparisons: which of two clips is better, asked for one quality at a time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from footage.errors import LibraryError
from footage.library.entries import plain
from footage.library.storage import Database

RatingChoice = Literal["a", "b", "tie"]
"""The better clip, or neither."""
QUESTIONS = ("fidelity", "motion")
"""What is asked, each by itself."""


@dataclass(frozen=True)
class Rating:
    """One answer."""

    id: int
    """Its number."""
    time: float
    """When it was given, in seconds since 1970."""
    campaign: str
    """Name of the comparison that it belongs to."""
    question: str
    """One of `QUESTIONS`."""
    a: int
    """Number of the one clip."""
    b: int
    """Number of the other."""
    choice: RatingChoice
    """Which is better."""
    rater: str
    """Who answered; may be empty."""


class Ratings:
    """The pairwise ratings of a library: `library.ratings`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, campaign: str, question: str, a: int, b: int, choice: RatingChoice, rater: str = "") -> Rating:
        """Record an answer.

        Raises:
            LibraryError: a question or choice that is not known, a clip that is not there, or one beside itself.
        """
        if question not in QUESTIONS:
            raise LibraryError(f'the question is "{question}"', f"give one of {', '.join(QUESTIONS)}")
        if choice not in ("a", "b", "tie"):
            raise LibraryError(f'the choice is "{choice}"', "give a, b or tie")
        if a == b:
            raise LibraryError(f"clip {a} stands beside itself", "compare two clips")
        values = (time.time(), plain(campaign), question, a, b, choice, plain(rater))
        with self._database.write() as connection:
            known = connection.execute("SELECT count(*) FROM clips WHERE id IN (?, ?)", (a, b)).fetchone()[0]
            if known != 2:
                raise LibraryError(f"there is no clip {a} or {b}", "see: footage library list")
            cursor = connection.execute(
                "INSERT INTO ratings (time, campaign, question, a, b, choice, rater) VALUES (?, ?, ?, ?, ?, ?, ?)",
                values,
            )
            return Rating(int(cursor.lastrowid or 0), *values)

    def all(self, campaign: str | None = None, question: str | None = None) -> list[Rating]:
        """Return the answers in the order they were given."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT id, time, campaign, question, a, b, choice, rater FROM ratings "
                "WHERE (?1 IS NULL OR campaign = ?1) AND (?2 IS NULL OR question = ?2) ORDER BY id",
                (campaign, question),
            ).fetchall()
        return [Rating(*row) for row in rows]

    def campaigns(self) -> list[tuple[str, int]]:
        """Return the comparisons by name, with the number of their answers."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT campaign, count(*) FROM ratings GROUP BY campaign ORDER BY campaign")
            return [(row[0], row[1]) for row in rows]

    def remove(self, rating: int) -> None:
        """Take an answer back."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM ratings WHERE id = ?", (rating,))
