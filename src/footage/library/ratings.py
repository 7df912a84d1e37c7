"""Blind comparisons: which of two clips is better, asked for one quality at a time; and the strengths that follow.

P(i is preferred to j) = p_i / (p_i + p_j) (Bradley and Terry, Rank analysis of incomplete block designs, 1952). The
likelihood is concave in the log-strengths and is maximised by Newton's method; a tie counts as half a win for each.
Intervals come from the observed information of the log-strengths.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from footage.config.strict import checked_methods
from footage.errors import ConfigError, LibraryError
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
    time: float
    """When it was given, in seconds since 1970."""
    campaign: str
    """Name of the comparison that it belongs to."""
    question: str
    """One of `QUESTIONS`."""
    a: int
    b: int
    choice: RatingChoice
    rater: str
    """Who answered; may be empty."""


@dataclass(frozen=True)
class ComparedKind:
    """Clips of one maker that only their content tells apart: of the same label, size and length."""

    label: str | None
    width: int
    height: int
    seconds: float
    fps: float
    clips: tuple[int, ...]
    """Their numbers."""

    def fits(self, other: ComparedKind) -> bool:
        """Whether clips of the two may be compared: lengths are the same to half a frame."""
        close = abs(self.seconds - other.seconds) <= 0.5 / max(self.fps, other.fps, 1e-3) + 1e-9
        same = (self.label, self.width, self.height) == (other.label, other.width, other.height)
        return same and (close if self.fps and other.fps else self.seconds == other.seconds)


@checked_methods
class Ratings:
    """The pairwise ratings of a library: `library.ratings`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, campaign: str, question: str, a: int, b: int, choice: RatingChoice, rater: str = "") -> Rating:
        """Record an answer.

        Raises:
            ConfigError: a choice that is not known.
            LibraryError: a question that is not known, a clip that is not there, or one beside itself.
        """
        if question not in QUESTIONS:
            raise LibraryError(f'the question is "{question}"', f"give one of {', '.join(QUESTIONS)}")
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

    def kinds(self, model: str | None, codecs: Sequence[str]) -> list[ComparedKind]:
        """Return a model's clips by label, size and length; of `None` those that no model made.

        Only clips whose file is there and has one of the codecs count, and none in the bin.
        """
        marks = ", ".join("?" * len(codecs))
        maker = "origin = 'imported'" if model is None else "model = ?"
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT label, width, height, seconds, fps, group_concat(id) AS clips FROM clips "
                f"WHERE deleted IS NULL AND {maker} AND missing = 0 AND codec IN ({marks}) GROUP BY 1, 2, 3, 4, 5",
                [*([] if model is None else [model]), *codecs],
            ).fetchall()
        return [ComparedKind(**{**dict(row), "clips": tuple(map(int, row["clips"].split(",")))}) for row in rows]

    def campaigns(self) -> list[tuple[str, int]]:
        """Return the comparisons by name, with the number of their answers."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT campaign, count(*) FROM ratings GROUP BY campaign ORDER BY campaign")
            return [(row[0], row[1]) for row in rows]

    def remove(self, rating: int) -> None:
        with self._database.write() as connection:
            connection.execute("DELETE FROM ratings WHERE id = ?", (rating,))


Matrix = npt.NDArray[np.float64]

ROUNDS = 200
"""Most iterations."""
LARGEST = 2.0
"""Largest change of a log-strength in an iteration, so that none goes too far."""
CLOSE = 1e-10
"""Change of a log-strength below which the iteration ends."""
NORMAL = 1.959963984540054
"""Quantile of the normal distribution for intervals of 95%."""


@dataclass(frozen=True)
class Strengths:
    """What pairwise choices say of N things."""

    log: Matrix
    """Logarithm of each strength (N,), their mean being 0."""
    low: Matrix
    """Lower ends of intervals of 95% (N,)."""
    high: Matrix
    """Upper ends (N,)."""
    preferred: Matrix
    """Probability (N, N) that the row is preferred to the column; 0.5 on the diagonal."""


def bradley_terry(wins: npt.ArrayLike, prior: float = 1.0) -> Strengths:
    """Return the strengths that make pairwise choices most likely.

    Args:
        wins: how often the row was preferred to the column (N, N); a tie is 0.5 for both.
        prior: comparisons of each with a made-up one of average strength, half of them won. Above 0, what won or lost
            every time has a finite strength.

    Raises:
        ConfigError: the counts are not a square of numbers of at least 0, or the prior is not above 0.
    """
    won = np.asarray(wins, dtype=np.float64)
    if won.ndim != 2 or won.shape[0] != won.shape[1] or not won.size:
        raise ConfigError(f"wins are {won.shape}", "give a square")
    if not np.isfinite(won).all() or (won < 0).any():
        raise ConfigError("wins hold a number below 0", "give counts")
    if not 0 < prior < np.inf:
        raise ConfigError(f"prior is {prior}", "give a number above 0, such as 1")
    won = won * (1 - np.eye(len(won)))
    pairs, total = won + won.T, won.sum(axis=1) + prior / 2
    log = np.zeros(len(won))
    for _ in range(ROUNDS):
        preferred, average = 1 / (1 + np.exp(log - log[:, None])), 1 / (1 + np.exp(-log))
        slope = total - (pairs * preferred).sum(axis=1) - prior * average
        information = -pairs * preferred * preferred.T
        np.fill_diagonal(information, -information.sum(axis=1) + prior * average * (1 - average))
        step = np.linalg.solve(information, slope)
        log = log + step * min(1.0, LARGEST / max(np.abs(step).max(), CLOSE))
        if np.abs(step).max() < CLOSE:
            break
    centred = np.eye(len(won)) - 1 / len(won)  # what is asked for are differences from the mean
    spread = NORMAL * np.sqrt(np.diag(centred @ np.linalg.inv(information) @ centred).clip(min=0))
    log = centred @ log
    return Strengths(log, log - spread, log + spread, preferred)
