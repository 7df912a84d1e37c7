"""What the owner of a library keeps, learned from verdicts, stars and blind ratings.

Each clip is a vector x: its descriptors in deviations, and its appearance embedding along principal axes. One logistic
regression with a Gaussian prior on its weights w (ridge; le Cessie and van Houwelingen, 1992) takes all judgements
together: a clip is kept with the logit w·x + b, and of a blind pair the first is preferred with w·(xa - xb), as Bradley
and Terry's model has it (1952) where strengths are linear in x. A tie is half of each.

Accuracy is the share of comparisons that come out right on clips that the model has not seen: of a kept clip with a
rejected one, which is the area under the ROC curve, and of blind pairs. It comes from stratified cross-validation that
is repeated with other folds. Its variance is the larger of DeLong's (1988) and Hanley and McNeil's (1982), times
1 + FOLDS / (FOLDS - 1), since what is tested in one fold is learned from in the others (Nadeau and Bengio, Inference
for the generalization error, 2003). Nothing is sorted before the interval of 95% is above chance (.5).
"""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from footage.errors import LibraryError, counted
from footage.library import similarity
from footage.library.descriptors import DESCRIPTORS, VERSION, Descriptors, describe
from footage.media.thumbnails import read_thumbnails

if TYPE_CHECKING:
    from footage.library.storage import Storage

Matrix = npt.NDArray[np.float64]

KEPT_STARS, REJECTED_STARS = 4, 2
"""Without a verdict, clips of so many stars or more count as kept, of so many or fewer as rejected."""
AXES = 64
"""Principal axes of the appearance embedding, at most."""
LOOKS = 10.0
"""Variance of the appearance in all; each descriptor has 1."""
FARTHEST = 3.0
"""Deviations at which descriptors are cut off."""
PRIOR = 3.0
"""Precision of the weights' prior."""
FOLDS, REPEATS = 5, 10
"""Of the cross-validation; of many judgements there are fewer repeats."""
FITTED = 4000
"""Judgements that all repeats fit together, about."""
MOST = 4000
"""Judgements that are learned from, at most: the last ones of clips, and of blind pairs."""
LEAST = 5
"""Clips of each kind, or blind pairs twice over, below which nothing is learned."""
NORMAL = 1.959963984540054
"""Quantile of the normal distribution for intervals of 95%."""
APPEARANCE = "appearance"
"""Name of what is no descriptor: what a clip looks like."""
REASONS = 4
"""Reasons that are given, at most."""
ROWS_AT_ONCE = 8192


@dataclass(frozen=True)
class Judgements:
    """What has been said of clips."""

    clips: npt.NDArray[np.int64]
    """Numbers of the clips that anything was said of, (N,)."""
    kept: Matrix
    """1 for those that are kept, 0 for rejected ones, NaN for those that only stand in pairs, (N,)."""
    pairs: npt.NDArray[np.int64]
    """Places of two clips that were compared blindly, (K, 2)."""
    preferred: Matrix
    """1 where the first was better, 0 where the second was, 0.5 for a tie, (K,)."""

    @property
    def count(self) -> int:
        """Judgements: clips that are kept or rejected, and blind pairs."""
        return int(np.isfinite(self.kept).sum()) + len(self.pairs)

    @property
    def missing(self) -> int:
        """How many more there have to be before anything can be learned; 0 where there are enough."""
        lacking = [max(0, LEAST - int((self.kept == kind).sum())) for kind in (0, 1)]
        return min(sum(lacking), max(0, 2 * LEAST - int((self.preferred != 0.5).sum())))

    def part(self, places: npt.NDArray[np.int64]) -> Judgements:
        """Return what was said of some of the clips alone."""
        position = np.full(len(self.clips), -1)
        position[places] = np.arange(len(places))
        pairs = position[self.pairs]
        whole = (pairs >= 0).all(axis=1)
        return Judgements(self.clips[places], self.kept[places], pairs[whole], self.preferred[whole])


@dataclass(frozen=True)
class Accuracy:
    """Share of comparisons that come out right on clips that were not learned from."""

    share: float
    error: float
    """Its standard error."""

    @property
    def low(self) -> float:
        """Lower end of the interval of 95%."""
        return max(0.0, self.share - NORMAL * self.error)

    @property
    def high(self) -> float:
        return min(1.0, self.share + NORMAL * self.error)

    @property
    def sure(self) -> bool:
        """Whether it is better than chance: the interval lies above it."""
        return self.low > 0.5


def logistic(rows: Matrix, targets: Matrix, precision: Matrix) -> Matrix:
    """Return the weights (D,) that are most likely, by Newton's method.

    Args:
        rows: (N, D).
        targets: 0 to 1, (N,).
        precision: of each weight's Gaussian prior with mean 0, (D,), above 0.
    """
    weights = np.zeros(rows.shape[1])
    for _ in range(50):
        likely = 1 / (1 + np.exp(-np.clip(rows @ weights, -30, 30)))
        slope = rows.T @ (targets - likely) - precision * weights
        curve = (rows * (likely * (1 - likely))[:, None]).T @ rows + np.diag(precision)
        step = np.linalg.solve(curve, slope)
        weights = weights + step * min(1.0, 4 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-8:
            break
    return weights


def fit(features: Matrix, said: Judgements) -> Matrix:
    """Return weights, and the intercept behind them, (D + 1,); features are (N, D)."""
    judged = np.isfinite(said.kept)
    pairs = features[said.pairs[:, 0]] - features[said.pairs[:, 1]]
    rows = np.concatenate([features[judged], pairs])
    constant = np.concatenate([np.ones(judged.sum()), np.zeros(len(pairs))])
    precision = np.append(np.full(features.shape[1], PRIOR), 1e-3)
    targets = np.concatenate([said.kept[judged], said.preferred])
    return logistic(np.column_stack([rows, constant]), targets, precision)


def cross_validate(features: Matrix, said: Judgements) -> Accuracy | None:
    """Return the accuracy on clips of folds that were left out, None where there are too few judgements.

    A blind pair counts where one of its clips, or both, was left out, and is learned from where neither was.
    """
    if said.missing:
        return None
    kind = np.where(np.isfinite(said.kept), said.kept, 2)
    # Sums over repeats: how often a kept clip (m) came before a rejected one (n) of its fold, and how often they met.
    kept, rejected = np.flatnonzero(kind == 1), np.flatnonzero(kind == 0)
    right, met = np.zeros((len(kept), len(rejected))), np.zeros((len(kept), len(rejected)))
    agreed, asked = np.zeros(len(said.pairs)), np.zeros(len(said.pairs))
    decided = said.preferred != 0.5
    for repeat in range(max(1, min(REPEATS, FITTED // said.count))):
        rng = np.random.Generator(np.random.Philox(key=[repeat, 0x7A57E]))
        fold = np.zeros(len(kind), dtype=int)
        for which in range(3):
            members = rng.permutation(np.flatnonzero(kind == which))
            fold[members] = (np.arange(len(members)) + rng.integers(FOLDS)) % FOLDS
        for number in range(FOLDS):
            seen = np.flatnonzero(fold != number)
            scores = features @ fit(features[seen], said.part(seen))[:-1]
            m, n = (np.flatnonzero(fold[which] == number) for which in (kept, rejected))
            gap = scores[kept[m]][:, None] - scores[rejected[n]]
            right[np.ix_(m, n)] += (gap > 0) + 0.5 * (gap == 0)
            met[np.ix_(m, n)] += 1
            tested = decided & (fold[said.pairs] == number).any(axis=1)
            gap = scores[said.pairs[tested, 0]] - scores[said.pairs[tested, 1]]
            agreed[tested] += ((gap > 0) == (said.preferred[tested] == 1)) * (gap != 0) + 0.5 * (gap == 0)
            asked[tested] += 1
    shares, errors, weights = list[float](), list[float](), list[float]()
    rows, columns = met.any(axis=1), met.any(axis=0)  # of few clips some never shared a fold with one of the others
    if min(rows.sum(), columns.sum()) > 1:
        share, error = area_under_roc(right[np.ix_(rows, columns)], met[np.ix_(rows, columns)])
        shares, errors, weights = [share], [error], [float(len(kept) + len(rejected))]
    if (count := int((asked > 0).sum())) > 1:
        of_each = agreed[asked > 0] / asked[asked > 0]
        drawn = (of_each.sum() + 1) / (count + 2)  # all right is not certain to be right for ever
        shares.append(float(of_each.mean()))
        errors.append(math.sqrt(max(float(of_each.var(ddof=1)), drawn * (1 - drawn)) / count))
        weights.append(float(count))
    total = sum(weights)
    alone = sum((w * e / total) ** 2 for w, e in zip(weights, errors, strict=True))
    error = math.sqrt(alone * (1 + FOLDS / (FOLDS - 1)))
    return Accuracy(sum(w * s / total for w, s in zip(weights, shares, strict=True)), error)


def area_under_roc(right: Matrix, met: Matrix) -> tuple[float, float]:
    """Return the area under the ROC curve and its standard error, of how often (m, n) pairs came out right, and met.

    Each clip has met one of the others.
    """
    m, n = right.shape
    area = float(right.sum() / met.sum())
    rows, columns = (right.sum(axis=axis) / met.sum(axis=axis) for axis in (1, 0))
    delong = rows.var(ddof=1) / m + columns.var(ddof=1) / n
    a = (max(area, 1 - area) * min(m, n) + 1) / (min(m, n) + 2)  # all right is not certain to be right for ever
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    hanley = (a * (1 - a) + (m - 1) * (q1 - a * a) + (n - 1) * (q2 - a * a)) / (m * n)
    return area, math.sqrt(max(float(delong), hanley))


@dataclass(frozen=True)
class TasteFigure:
    """What one figure of clips has to do with the taste."""

    name: str
    """One of `DESCRIPTORS`."""
    kept: float
    """Mean of the clips that are kept, or were preferred, in deviations from the mean of all that were judged."""
    rejected: float
    weight: float
    """Weight in the model: logits for each deviation."""


@dataclass(frozen=True)
class Reason:
    """Why a clip stands where it does."""

    name: str
    """One of `DESCRIPTORS`, or `APPEARANCE`."""
    deviations: float
    """By how much the clip has more of it than those that are rejected, or, where it speaks against it, kept."""
    logits: float
    """What it adds to the score; below 0 it speaks against the clip."""

    def __str__(self) -> str:
        side = "reject" if self.logits > 0 else "keep"
        if self.name == APPEARANCE:
            return f"looks {'less ' if self.logits < 0 else ''}like those you keep ({self.logits:+.1f})"
        more, figure = "more" if self.deviations > 0 else "less", self.name.replace("_", " ")
        return f"{more} {figure} than those you {side}: {self.deviations:+.1f} deviations ({self.logits:+.1f})"


@dataclass(frozen=True)
class ClipTaste:
    """What the taste says of a clip."""

    score: float
    """How likely it is to be kept, 0 to 1."""
    reasons: list[Reason]
    """The weightiest first."""


@dataclass(frozen=True)
class TasteSummary:
    """What has been learned, in plain values."""

    ready: bool
    """Whether it is better than chance, so that it sorts."""
    kept: int
    """Clips that count as kept."""
    rejected: int
    pairs: int
    """Blind ratings."""
    accuracy: float | None
    """Share of comparisons that come out right on clips that it has not seen; null before there are enough."""
    low: float | None
    """Lower end of the interval of 95%."""
    high: float | None
    enough: int | None
    """Ratings from which on it was better than chance, of subsets drawn at random; null where it is not."""
    more: int
    """About how many more ratings it needs; 0 where it is ready."""
    unmeasured: int
    """Clips whose figures are not known yet; they come last."""
    figures: list[TasteFigure]
    """The weightiest first."""


@dataclass(frozen=True)
class Taste:
    """A taste that has been learned; or not yet, see `ready`."""

    said: Judgements
    accuracy: Accuracy | None
    centre: Matrix = field(repr=False)
    """Means of the descriptors (F,)."""
    deviation: Matrix = field(repr=False)
    look: Matrix = field(repr=False)
    """Mean appearance (W,)."""
    axes: Matrix = field(repr=False)
    """Principal axes of the appearance, scaled, (W, A)."""
    weights: Matrix = field(repr=False)
    """(F + A + 1,): of descriptors, of appearance, and the intercept."""
    features: Matrix = field(repr=False)
    """Of the judged clips, (N, F + A)."""
    stamp: str = ""
    """Identifies what it was learned from, and how."""

    @property
    def ready(self) -> bool:
        return self.accuracy is not None and self.accuracy.sure

    @property
    def more(self) -> int:
        """About how many more ratings are needed for the taste to be better than chance."""
        if self.ready:
            return 0
        if self.accuracy is None:
            return self.said.missing
        above, count = self.accuracy.share - 0.5, self.said.count
        if not above > 0:  # how far it is cannot be told
            return count
        wanted = count * (NORMAL * self.accuracy.error / above) ** 2
        return max(2, min(count, math.ceil(wanted - count)))

    def check(self) -> None:
        """Refuse to judge before the taste is better than chance.

        Raises:
            LibraryError: it is not.
        """
        if not self.ready:
            count = self.said.count
            raise LibraryError(
                f"the taste is not learned yet from {counted(count, 'rating')}", f"keep or reject {self.more} more"
            )

    def embed(self, descriptors: npt.NDArray[Any], appearance: npt.NDArray[Any]) -> Matrix:
        """Return the features (N, F + A) of clips by their descriptors (N, F) and embeddings (N, W)."""
        figures = np.clip((descriptors - self.centre) / self.deviation, -FARTHEST, FARTHEST)
        return np.concatenate([figures, (appearance - self.look) @ self.axes], axis=1)

    def logits(self, descriptors: npt.NDArray[Any], appearance: npt.NDArray[Any]) -> Matrix:
        """Return the logits of being kept, (N,)."""
        return np.asarray(self.embed(descriptors, appearance) @ self.weights[:-1] + self.weights[-1])

    def _means(self) -> tuple[Matrix, Matrix]:
        """Return the mean features of what was kept or preferred, and of what was not."""
        liked, other = self.said.kept == 1, self.said.kept == 0
        for (a, b), better in zip(self.said.pairs, self.said.preferred, strict=True):
            if better != 0.5:
                liked[a if better else b], other[b if better else a] = True, True
        return self.features[liked].mean(axis=0), self.features[other].mean(axis=0)

    def judge(self, descriptors: npt.NDArray[Any], appearance: npt.NDArray[Any]) -> ClipTaste:
        """Say how likely a clip is to be kept, and why, by its descriptors (F,) and embedding (W,)."""
        self.check()
        count = len(DESCRIPTORS)
        features = self.embed(descriptors[None], appearance[None])[0]
        parts = features * self.weights[:-1]
        kept, rejected = self._means()
        reasons = [Reason(APPEARANCE, 0.0, float(parts[count:].sum()))]
        for place, name in enumerate(DESCRIPTORS):
            beside = rejected if parts[place] > 0 else kept
            apart = float(features[place] - beside[place])
            if apart * self.weights[place] * parts[place] > 0:  # it differs in the way that it speaks
                reasons.append(Reason(name, round(apart, 2), float(parts[place])))
        reasons.sort(key=lambda reason: -abs(reason.logits))
        logit = float(parts.sum() + self.weights[-1])
        strong = [reason for reason in reasons if abs(reason.logits) > 0.05]
        return ClipTaste(round(1 / (1 + math.exp(-logit)), 4), strong[:REASONS])

    def summary(self, unmeasured: int) -> TasteSummary:
        """Return it in plain values; `unmeasured` is how many clips cannot be judged."""
        figures: list[TasteFigure] = []
        if self.accuracy is not None:
            kept, rejected = (np.round(means, 3).tolist() for means in self._means())
            weights = np.round(self.weights, 3).tolist()
            figures = [TasteFigure(*values) for values in zip(DESCRIPTORS, kept, rejected, weights)]  # noqa: B905
            figures.sort(key=lambda figure: -abs(figure.weight))
        known, enough = self.accuracy, None
        if self.ready:  # from how many ratings on the taste is better than chance, of subsets that double
            enough, share = self.said.count, LEAST * 2 / self.said.count
            places = np.random.Generator(np.random.Philox(key=[0, 1])).permutation(len(self.features))
            while share < 1:
                chosen = np.sort(places[: round(len(places) * share)])
                said = self.said.part(chosen)
                part = cross_validate(self.features[chosen], said)
                if part is not None and part.sure:
                    enough = said.count
                    break
                share *= 2
        return TasteSummary(
            ready=self.ready,
            kept=int((self.said.kept == 1).sum()),
            rejected=int((self.said.kept == 0).sum()),
            pairs=len(self.said.pairs),
            accuracy=None if known is None else round(known.share, 3),
            low=None if known is None else round(known.low, 3),
            high=None if known is None else round(known.high, 3),
            enough=enough,
            more=self.more,
            unmeasured=unmeasured,
            figures=figures,
        )


def learn(said: Judgements, descriptors: npt.NDArray[Any], appearance: npt.NDArray[Any], stamp: str = "") -> Taste:
    """Learn a taste from judgements of N clips, their descriptors (N, F) and embeddings (N, W)."""
    centre, deviation = np.zeros(len(DESCRIPTORS)), np.ones(len(DESCRIPTORS))
    look, axes = np.zeros(appearance.shape[1]), np.zeros((appearance.shape[1], 0))
    if len(descriptors):
        descriptors, appearance = descriptors.astype(np.float64), appearance.astype(np.float64)
        centre, deviation = descriptors.mean(axis=0), np.maximum(descriptors.std(axis=0), 1e-4)
        look = appearance.mean(axis=0)
        _, sizes, turned = np.linalg.svd(appearance - look, full_matrices=False)
        kept = min(AXES, len(sizes), int((sizes > 1e-6).sum()))
        spread = math.sqrt(float((sizes[:kept] ** 2).sum()) / len(descriptors)) or 1.0
        axes = turned[:kept].T * math.sqrt(LOOKS) / spread
    blank = Taste(
        said, None, centre, deviation, look, axes, np.zeros(len(DESCRIPTORS) + axes.shape[1] + 1), look, stamp
    )
    if said.missing:
        return blank
    features = blank.embed(descriptors, appearance)
    known = cross_validate(features, said)
    return Taste(said, known, centre, deviation, look, axes, fit(features, said), features, stamp)


def keep_descriptors(connection: sqlite3.Connection, clip: int, descriptors: Descriptors) -> None:
    """Write a clip's descriptors into its row of the table."""
    row = (clip, VERSION, descriptors.astype("<f4").tobytes())
    connection.execute("INSERT OR REPLACE INTO descriptors VALUES (?, ?, ?)", row)


class TasteLearner:
    """Learns the taste of a library, anew where judgements have changed, and scores its clips."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._lock = threading.Lock()
        self._taste: Taste | None = None
        self._scores: tuple[tuple[str, int, int], dict[int, float]] | None = None
        self._motion: tuple[tuple[int, int], dict[int, float]] | None = None

    def taste(self) -> Taste:
        """Return what the owner likes, by all judgements of clips whose descriptors are known; those in the bin too."""
        with self._lock, self._storage.database.read() as connection:
            return self._learned(connection)

    def _learned(self, connection: sqlite3.Connection) -> Taste:
        judged: dict[int, float] = {}
        rows = connection.execute(
            "SELECT id, verdict, stars FROM clips INDEXED BY clips_judged WHERE (verdict <> 'undecided' OR stars > 0) "
            "AND EXISTS (SELECT 1 FROM descriptors WHERE clip = id AND version = ?) ORDER BY changed DESC LIMIT ?",
            (VERSION, MOST),
        )
        for clip, verdict, stars in sorted(map(tuple, rows)):
            if verdict != "undecided":
                judged[clip] = float(verdict == "keep")
            elif stars >= KEPT_STARS or stars <= REJECTED_STARS:
                judged[clip] = float(stars >= KEPT_STARS)
        compared = connection.execute(
            "SELECT a, b, choice FROM ratings WHERE 2 = (SELECT count(*) FROM descriptors "
            "WHERE clip IN (a, b) AND version = ?) ORDER BY id DESC LIMIT ?",
            (VERSION, MOST),
        ).fetchall()
        told = json.dumps([VERSION, similarity.APPEARANCE, list(judged.items()), [tuple(row) for row in compared]])
        stamp = hashlib.sha256(told.encode()).hexdigest()[:16]
        if self._taste is not None and self._taste.stamp == stamp:
            return self._taste
        clips = sorted({*judged, *(row[side] for row in compared for side in ("a", "b"))})
        descriptors, looks = self._read(connection, clips)
        place = {clip: number for number, clip in enumerate(clips)}
        said = Judgements(
            np.array(clips, dtype=np.int64),
            np.array([judged.get(clip, math.nan) for clip in clips]),
            np.array([[place[row["a"]], place[row["b"]]] for row in compared], dtype=np.int64).reshape(-1, 2),
            np.array([{"a": 1.0, "b": 0.0, "tie": 0.5}[row["choice"]] for row in compared]),
        )
        self._taste = learn(said, descriptors, looks, stamp)
        return self._taste

    def _read(self, connection: sqlite3.Connection, clips: Sequence[int]) -> tuple[Descriptors, Descriptors]:
        """Return descriptors (N, F) and embeddings (N, W) of clips that have descriptors."""
        rows = connection.execute(
            "SELECT clip, numbers FROM descriptors WHERE clip IN (SELECT value FROM json_each(?))",
            (json.dumps(clips),),
        )
        known = {row["clip"]: np.frombuffer(row["numbers"], dtype="<f4") for row in rows}
        matrix = self._storage.vectors(similarity.APPEARANCE).matrix()
        looks = np.zeros((len(clips), matrix.shape[1]), dtype=np.float32)
        inside = np.asarray(clips, dtype=np.int64) < len(matrix)
        looks[inside] = matrix[np.asarray(clips, dtype=np.int64)[inside]]
        return np.array([known[clip] for clip in clips], dtype=np.float32).reshape(-1, len(DESCRIPTORS)), looks

    def judge(self, clip: int) -> ClipTaste | None:
        """Say how likely a clip is to be kept, and why; None where its descriptors are not known.

        Raises:
            LibraryError: the taste is not learned yet.
        """
        with self._lock, self._storage.database.read() as connection:
            taste = self._learned(connection)
            taste.check()
            row = connection.execute("SELECT 1 FROM descriptors WHERE clip = ? AND version = ?", (clip, VERSION))
            if row.fetchone() is None:
                return None
            descriptors, looks = self._read(connection, [clip])
        return taste.judge(descriptors[0], looks[0])

    def lend(self, connection: sqlite3.Connection) -> None:
        """Give a connection the function `taste(clip)`: a clip's logit, or -1e308 where its figures are not known.

        Raises:
            LibraryError: the taste is not learned yet.
        """
        with self._lock:
            taste = self._learned(connection)
            taste.check()
            stamp = (taste.stamp, *self._measured(connection))
            if self._scores is None or self._scores[0] != stamp:
                matrix = self._storage.vectors(similarity.APPEARANCE).matrix()
                logits: dict[int, float] = {}
                for clips, descriptors in self._all_descriptors(connection):
                    looks = np.zeros((len(clips), matrix.shape[1]), dtype=np.float32)
                    looks[clips < len(matrix)] = matrix[clips[clips < len(matrix)]]
                    logits |= zip(clips.tolist(), taste.logits(descriptors, looks).tolist(), strict=True)
                self._scores = stamp, logits
            scores = self._scores[1]
        connection.create_function("taste", 1, lambda clip: scores.get(clip, -1e308), deterministic=True)

    def lend_motion(self, connection: sqlite3.Connection) -> None:
        """Give a connection the function `motion(clip)`: how much moves in a clip, or -1e308 where it is not known."""
        place = DESCRIPTORS.index("motion")
        with self._lock:
            stamp = self._measured(connection)
            if self._motion is None or self._motion[0] != stamp:
                motion: dict[int, float] = {}
                for clips, descriptors in self._all_descriptors(connection):
                    motion |= zip(clips.tolist(), descriptors[:, place].tolist(), strict=True)
                self._motion = stamp, motion
            known = self._motion[1]
        connection.create_function("motion", 1, lambda clip: known.get(clip, -1e308), deterministic=True)

    def _measured(self, connection: sqlite3.Connection) -> tuple[int, int]:
        """Return how many clips have descriptors, and the last one's number."""
        row = connection.execute("SELECT count(*), max(clip) FROM descriptors WHERE version = ?", (VERSION,))
        count, last = row.fetchone()
        return count, last

    def _all_descriptors(
        self, connection: sqlite3.Connection
    ) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]]:
        """Yield numbers (N,) and descriptors (N, F) of all clips that have them, some at a time."""
        rows = connection.execute("SELECT clip, numbers FROM descriptors WHERE version = ? ORDER BY clip", (VERSION,))
        while some := rows.fetchmany(ROWS_AT_ONCE):
            clips = np.array([row["clip"] for row in some], dtype=np.int64)
            yield clips, np.frombuffer(b"".join(row["numbers"] for row in some), dtype="<f4").reshape(len(some), -1)

    def unmeasured(self, *, judged: bool = False) -> list[int]:
        """Return the clips whose descriptors are not known, of those that were judged, or of all."""
        told = "AND (verdict <> 'undecided' OR stars > 0 OR id IN (SELECT a FROM ratings UNION SELECT b FROM ratings))"
        with self._storage.database.read() as connection:
            rows = connection.execute(
                "SELECT id FROM clips WHERE missing = 0 AND NOT EXISTS "
                f"(SELECT 1 FROM descriptors WHERE clip = id AND version = ?) {told if judged else ''} ORDER BY id",
                (VERSION,),
            )
            return [row["id"] for row in rows]

    def measure(self, *, judged: bool = False, progress: Callable[[int, int], object] = lambda *_: None) -> int:
        """Measure the clips whose descriptors are not known; return how many. What cannot be read is passed over."""
        lacking = self.unmeasured(judged=judged)
        return self._storage.look_at(lacking, lambda path: describe(read_thumbnails(path)), keep_descriptors, progress)
