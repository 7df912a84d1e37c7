"""Figures of motion and pictures in closed form: ratios, distances of distributions, and curves over time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from footage.evaluation.closed import Columns
from footage.evaluation.describe import CLOSED, Described
from footage.evaluation.draws import HOW_ONE, interval, of_means
from footage.evaluation.evidence import Evidence
from footage.evaluation.results import Better, Curve, Figure, Line
from footage.metrics.frechet import frechet, gaussian
from footage.metrics.motion import motion_distance, spectrum_distance
from footage.metrics.rhythm import half_life
from footage.metrics.rows import Rows, blocks
from footage.metrics.tracks import EDGES, LENGTHS, histogram_distance

STILL = 1e-6
"""Figures of real clips below which no ratio to them is given."""
RATIOS = {
    "motion_ratio": ("energy", "motion, made : real"),
    "flicker_ratio": ("flicker", "flicker, made : real"),
    "sharpness_ratio": ("sharpness", "sharpness, made : real"),
    "contrast_ratio": ("contrast", "contrast, made : real"),
}
"""Ratios of means: name -> column and label."""
LEVELS = {
    "periodicity": ("periodicity", "periodicity index"),
    "seam": ("seam", "seam, last to first frame"),
    "jump": ("jump", "largest : median step"),
}
"""Means that stand beside those of the real clips: name -> column and label."""


class _Part:
    """Some columns of vectors."""

    def __init__(self, rows: Rows, columns: slice) -> None:
        self._rows, self._columns = rows, columns
        self.shape = (rows.shape[0], columns.stop - columns.start)

    def __getitem__(self, part: slice) -> npt.NDArray[Any]:
        return self._rows[part][:, self._columns]


def column(side: Described, place: slice) -> Tensor:
    """Return one figure of each clip, (N,)."""
    return torch.cat([block[:, place.start] for _, block in blocks(side.rows[CLOSED])])


def _ratio(made: Tensor, real: Tensor) -> float | None:
    return float(made[0] / real[0]) if float(real[0]) > STILL else None


def _means(rows: Rows) -> Tensor:
    """Return the mean vector, (D,)."""
    total = torch.zeros(rows.shape[1], dtype=torch.float64)
    for _, block in blocks(rows):
        total += block.sum(dim=0)
    return total / rows.shape[0]


class Means:
    """Means of all closed forms on all sides, with their draws, read once."""

    def __init__(self, found: Evidence) -> None:
        self.found, self.columns = found, Columns(found.frames)
        self.made = found.made_draws.means(found.made.rows[CLOSED])
        self.real = found.real_draws.means(found.real.rows[CLOSED])
        self.floor = [_means(side.rows[CLOSED]) for side in found.floor or ()]

    def figure(
        self,
        metric: str,
        name: str,
        label: str,
        columns: str,
        function: Callable[[Tensor, Tensor], float | None],
        better: Better,
        note: str = "",
    ) -> Figure:
        """Return a figure that is a function of both sides' means of some columns."""
        place = self.columns.place(columns)
        sides = [(mean[place], drawn[:, place]) for mean, drawn in (self.made, self.real)]
        value, spread = of_means(function, *sides)
        floor = function(*(mean[place] for mean in self.floor)) if self.floor else None
        return self.found.figure(metric, name, label, value, better=better, floor=floor, interval=spread, note=note)

    def level(self, name: str, label: str, columns: str, function: Callable[[Tensor], float | None]) -> Figure:
        """Return a figure of what was made, beside the same of the real clips."""
        place = self.columns.place(columns)
        mean, drawn = self.made[0][place], self.made[1][:, place]
        value = function(mean)
        known = [one for one in map(function, drawn) if one is not None]
        spread = None if value is None or len(known) < len(drawn) else interval(value, known, HOW_ONE)
        real = function(self.real[0][place])
        return self.found.figure("motion", name, label, value, better="real", interval=spread, real=real)

    def curve(self, name: str, label: str, axis: str, unit: str, columns: slice, x: list[float], scale: bool) -> Curve:
        """Return the mean of some columns of both sides as a curve; with `scale`, as shares of their sum."""
        lines = []
        for side, mean in (("made", self.made[0][columns]), ("real", self.real[0][columns])):
            whole = float(mean.sum()) if scale else 1.0
            lines.append(Line(side, tuple((mean / whole if whole else mean).tolist())))
        return Curve("motion", name, label, axis, unit, tuple(x), tuple(lines), "D", self.found.counts)


def motion(found: Evidence) -> tuple[list[Figure], list[Curve]]:
    """Return the figures of motion, and what they look like over time, frequency and speed."""
    means = Means(found)
    figures = [_ratio_of(means, "motion", "motion_ratio"), _energies(found), _spectrum(means)]
    half = LENGTHS // 2
    for name, part in (("velocity", slice(0, half)), ("acceleration", slice(half, LENGTHS))):
        figures.append(
            means.figure(
                "motion",
                f"{name}_distance",
                f"distance of {name} histograms",
                "lengths",
                lambda made, real, part=part: histogram_distance(made[part], real[part]),  # type: ignore[misc]
                "lower",
                "in classes, each twice as long as the one before; lengths along tracks of the optical flow",
            )
        )
    figures += [_tracks(found), _ratio_of(means, "motion", "flicker_ratio")]
    for name, (columns, label) in LEVELS.items():
        figures.append(means.level(name, label, columns, lambda mean: float(mean[0])))

    def seconds(curve: Tensor) -> float | None:
        lag = half_life(curve)
        return None if lag is None else lag / found.fps

    figures.append(means.level("half_life", "content half-life, s", "resemblance", seconds))
    return figures, _curves(means)


def pictures(found: Evidence) -> tuple[list[Figure], list[Curve]]:
    """Return figures of single frames: how sharp they are, and how much contrast they have."""
    means = Means(found)
    return [_ratio_of(means, "pictures", name) for name in ("sharpness_ratio", "contrast_ratio")], []


def _ratio_of(means: Means, metric: str, name: str) -> Figure:
    columns, label = RATIOS[name]
    return means.figure(metric, name, label, columns, _ratio, "one")


def _energies(found: Evidence) -> Figure:
    """Return the Wasserstein distance of the clips' motion energies, as a part of the real mean."""
    place = Columns(found.frames).place("energy")
    made, real = column(found.made, place), column(found.real, place)
    label = "distance of motion energies"
    if float(real.mean()) <= STILL:
        return found.figure("motion", "motion_distance", label, None, better="lower", note="real clips are stills")
    drawn = []
    for a, b in zip(found.made_draws.weights, found.real_draws.weights, strict=True):
        again = [values.repeat_interleave(torch.from_numpy(w).long()) for values, w in ((made, a), (real, b))]
        drawn.append(motion_distance(*again))
    floor = motion_distance(*(column(side, place) for side in found.floor)) if found.floor else None
    value = motion_distance(made, real)
    return found.figure(
        "motion", "motion_distance", label, value, better="lower", floor=floor, interval=interval(value, drawn)
    )


def _spectrum(means: Means) -> Figure:
    label = "distance of temporal spectra"
    return means.figure("motion", "spectrum_distance", label, "power", spectrum_distance, "lower")


def _tracks(found: Evidence) -> Figure:
    """Return the Fréchet distance of the direction histograms of tracks: FVMD's idea with optical flow."""
    place = Columns(found.frames).place("directions")

    def distance(pair: tuple[Described, Described]) -> float:
        return frechet(*(gaussian(_Part(side.rows[CLOSED], place)) for side in pair))

    drawn = []
    for draw in range(found.resamples):
        made = found.made_draws.gaussian(_Part(found.made.rows[CLOSED], place), draw)
        drawn.append(frechet(made, found.real_draws.gaussian(_Part(found.real.rows[CLOSED], place), draw)))
    value = distance((found.made, found.real))
    return found.figure(
        "motion",
        "track_distance",
        "Fréchet distance of tracks",
        value,
        better="lower",
        floor=distance(found.floor) if found.floor else None,
        interval=interval(value, drawn),
        note="velocity and acceleration along tracks of the optical flow, by place and direction; the idea of FVMD",
    )


def _curves(means: Means) -> list[Curve]:
    found, columns = means.found, means.columns
    lags = [lag / found.fps for lag in range(found.frames)]
    duration = found.frames / found.fps
    cycles = [number / duration for number in range(1, found.frames // 2 + 1)]
    speeds = [0.0, *EDGES]
    first = columns.place("lengths").start
    half = first + LENGTHS // 2
    speed = "pixels a frame, at a side of at most 32 pixels (lower limit of the class)"
    return [
        means.curve(
            "autocorrelation", "Autocorrelation of motion", "lag, s", "", columns.place("autocorrelation"), lags, False
        ),
        means.curve(
            "resemblance", "How long content stays", "lag, s", "correlation", columns.place("resemblance"), lags, False
        ),
        means.curve(
            "spectrum", "Temporal spectrum", "frequency, Hz", "share of power", columns.place("power"), cycles, True
        ),
        means.curve("velocities", "Velocities", speed, "share", slice(first, half), speeds, True),
        means.curve("accelerations", "Accelerations", speed, "share", slice(half, first + LENGTHS), speeds, True),
    ]
