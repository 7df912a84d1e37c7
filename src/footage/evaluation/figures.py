"""Every figure that is computed from the features of clips, with its interval and its floor; METRICS is the table.

Of networks: Fréchet and kernel distance, precision, recall, density, coverage, Inception Score, label accuracy. Of
pixel features: motion, rhythm, sharpness and contrast. Of both: how much clips differ from each other, and whether long
videos stay as good as they begin. They stand in one file, since each is a few lines on what all of them share: means,
draws and floors of the same two sides.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from footage.data.clips import Labels
from footage.data.store import Frames
from footage.errors import counted
from footage.evaluation.feature_cache import PIXEL_FEATURES, SMALL_COPIES, ClipFeatures, logits_name
from footage.evaluation.figure_inputs import (
    HOW,
    HOW_ONE,
    Bootstrap,
    FigureInputs,
    interval,
    of_means,
)
from footage.evaluation.pixel_features import PIXEL_FIGURES, PixelColumns
from footage.evaluation.results import Better, Curve, Figure, Interval, Line, Tier
from footage.evaluation.volume_features import (
    BINS,
    HISTOGRAM,
    PLANES,
    PLANES_EACH,
    SMALL_VOLUMES,
    pair_similarities,
    small_volume_shape,
)
from footage.generation.rollout import from_uint8
from footage.metrics.bootstrap import LEVEL, mean_interval
from footage.metrics.clip_vectors import small_shape
from footage.metrics.distances import (
    DENSITY_K,
    SPLITS,
    Gaussian,
    KernelDistance,
    Rows,
    SelectedRows,
    accuracy,
    blocks,
    column_means,
    frechet,
    gaussian,
    inception_score,
    kernel_distance,
    manifold,
)
from footage.metrics.image_quality import SSIM_WINDOW, ssim
from footage.metrics.motion import EDGES, LENGTHS, half_life, histogram_distance, motion_distance, spectrum_distance

LARGE = 1024
"""Length of features from which Fréchet distances are resampled less often: their roots take seconds."""
FEW = 20
"""How often they are then."""
T_NINE = 2.262
"""Quantile of Student's distribution with SPLITS - 1 degrees of freedom, for intervals of 95%."""
NAMES = {"precision": "made", "density": "made", "recall": "real", "coverage": "real"}
"""Figures of the manifold, and the side whose clips they are means over."""


Measured = tuple[list[Figure], list[Curve]]


def mean_or_none(values: Sequence[float]) -> float | None:
    return statistics.mean(values) if values else None


def frechet_distances(inputs: FigureInputs, metric: str, of: str) -> Measured:
    """Return the Fréchet distances of networks that describe whole clips, or single frames."""

    def distance(pair: tuple[ClipFeatures, ClipFeatures], name: str) -> float:
        return frechet(*(gaussian(side.rows[name]) for side in pair))

    figures = []
    for group in inputs.groups(of):
        values = [distance((inputs.made, inputs.real), name) for name in group.names]
        floors = [distance(inputs.floor, name) for name in group.names] if inputs.floor else []
        drawn = []
        for draw in range(min(inputs.resamples, FEW) if group.size > LARGE else inputs.resamples):
            one = []
            for name in group.names:
                made = inputs.made_draws.gaussian(inputs.made.rows[name], draw, inputs.made.each[name])
                real = inputs.real_draws.gaussian(inputs.real.rows[name], draw, inputs.real.each[name])
                one.append(frechet(made, real))
            drawn.append(statistics.mean(one))
        value = statistics.mean(values)
        figures.append(
            inputs.figure(
                metric,
                "frechet",
                inputs.label("frechet", group),
                value,
                better="lower",
                floor=mean_or_none(floors),
                group=group,
                by_network=values,
                interval=interval(value, drawn),
            )
        )
    return figures, []


def kernel_distances(inputs: FigureInputs, metric: str, of: str) -> Measured:
    """Return the kernel distances of networks that describe whole clips, or single frames."""
    figures = []
    for group in inputs.groups(of):
        parts: list[KernelDistance] = []
        for name in group.names:
            whole = kernel_distance(inputs.made.rows[name], inputs.real.rows[name])
            sides = []
            for added, side in ((whole.first, inputs.made), (whole.second, inputs.real)):
                sides.append(added.view(-1, side.each[name]).mean(dim=1))  # one value a clip
            parts.append(KernelDistance(whole.value, *sides))
        floors = []
        if inputs.floor:
            floors = [kernel_distance(*(side.rows[name] for side in inputs.floor)).value for name in group.names]
        values = [part.value for part in parts]
        means = [torch.stack([getattr(part, side) for part in parts]).mean(dim=0) for side in ("first", "second")]
        sources, resamples = (inputs.made.sources, inputs.real.sources), max(2, inputs.resamples)
        low, high = mean_interval(means, seed=inputs.seed, sources=sources, scale=2.0, resamples=resamples)
        how = (
            f"clips of both sides drawn anew {inputs.resamples} times, all windows of a file together, the distance "
            "linearised in them"
        )
        figures.append(
            inputs.figure(
                metric,
                "kernel",
                inputs.label("kernel", group),
                statistics.mean(values),
                better="lower",
                floor=mean_or_none(floors),
                group=group,
                by_network=values,
                interval=Interval(low, high, LEVEL, how) if inputs.resamples > 1 else None,
            )
        )
    return figures, []


LEAST_MANIFOLD = 2 * DENSITY_K + 1
"""Clips of a side from which a neighbourhood holds less than half of the others: with fewer it tells nothing."""


def prdc(inputs: FigureInputs) -> Measured:
    """Return precision, recall, density and coverage of networks that describe whole clips, not of too few clips.

    Each clip gives one window: several of one clip would be each other's nearest neighbours, and their balls too small.
    All sides give as many clips, since recall and coverage rise with what is made to each real clip. A floor of less
    than half as many clips as both sides have is left out.
    """
    sides = [side.one_a_clip() for side in (inputs.made, inputs.real, *(inputs.floor or ()))]
    counts, notes = [side.count for side in sides], list[str]()
    if inputs.floor and min(counts[2:]) < max(LEAST_MANIFOLD, min(counts[:2]) // 2):
        notes.append(f"no floor: real against real has {counted(min(counts[2:]), 'clip')} a side")
        sides, counts = sides[:2], counts[:2]
    if (common := min(counts)) < max(counts):
        notes.append(f"{counted(common, 'clip')} of each side, as many as the smallest has")
    for number, side in enumerate(sides):
        drawn = np.random.Generator(np.random.Philox(key=[inputs.seed, 0x9DC])).permutation(side.count)[:common]
        sides[number] = side if side.count == common else side.chosen(np.sort(drawn))
    made, real, *beside = sides
    inputs = replace(inputs, made=made, real=real, floor=(beside[0], beside[1]) if beside else None)
    figures: list[Figure] = []
    for group in inputs.groups("clip") if min(inputs.counts) >= LEAST_MANIFOLD else []:
        parts = [manifold(inputs.made.rows[name], inputs.real.rows[name]) for name in group.names]
        floors = []
        if inputs.floor:
            floors = [manifold(*(side.rows[name] for side in inputs.floor)) for name in group.names]
        for name, side in NAMES.items():
            by_clip = torch.stack([getattr(part, name) for part in parts])  # network, clip
            sources, resamples = getattr(inputs, side).sources, max(2, inputs.resamples)
            low, high = mean_interval([by_clip.mean(dim=0)], seed=inputs.seed, sources=[sources], resamples=resamples)
            how = (
                f"clips of the {side} side drawn anew {inputs.resamples} times, all of a file together, the "
                "neighbourhoods held fast"
            )
            values = by_clip.mean(dim=1).tolist()
            figures.append(
                inputs.figure(
                    "prdc",
                    name,
                    inputs.label(name, group),
                    statistics.mean(values),
                    better="one" if name == "density" else "higher",
                    floor=mean_or_none([float(getattr(floor, name).mean()) for floor in floors]),
                    group=group,
                    by_network=values,
                    interval=Interval(low, high, LEVEL, how) if inputs.resamples > 1 else None,
                    note="; ".join(notes),
                )
            )
    return figures, []


def inception(inputs: FigureInputs) -> Measured:
    figures: list[Figure] = []
    for group in inputs.groups():
        name = logits_name(group.names[0])
        if name not in inputs.made.rows or min(inputs.counts) < SPLITS:
            continue
        parts = inception_score(inputs.made.rows[name])
        mean, real = statistics.mean(parts), statistics.mean(inception_score(inputs.real.rows[name]))
        reach = T_NINE * statistics.stdev(parts) / SPLITS**0.5
        apart = len(np.unique(inputs.made.sources)) == inputs.made.count  # else splits share files
        how = f"Student's distribution over the {SPLITS} splits"
        figures.append(
            inputs.figure(
                "is",
                "inception_score",
                inputs.label("inception_score", group),
                mean,
                better="higher",
                group=group,
                by_network=[mean],
                interval=Interval(mean - reach, mean + reach, LEVEL, how) if apart else None,
                real=real,
                note=f"mean of {SPLITS} splits, {statistics.stdev(parts):.3g} standard deviation between them",
            )
        )
    return figures, []


def label_accuracy(inputs: FigureInputs) -> Measured:
    """Return how many clips that were made show the class that was asked for, by networks that know all classes."""
    figures: list[Figure] = []
    for group in inputs.groups():
        about = group.members[0]
        name = logits_name(about.name)
        if name not in inputs.made.rows or not inputs.made_labels or not about.classes:
            continue
        if not set(inputs.made_labels) <= set(about.classes) or int(inputs.made.labels.min()) < 0:
            continue
        by_side: list[Tensor | None] = []
        for side, labels in ((inputs.made, inputs.made_labels), (inputs.real, inputs.real_labels)):
            if not set(labels) <= set(about.classes) or not labels or int(side.labels.min()) < 0:
                by_side.append(None)
                continue
            place = np.array([about.classes.index(label) for label in labels])
            wanted = torch.from_numpy(np.repeat(place[side.labels], side.each[name]))
            by_side.append(accuracy(side.rows[name], wanted).view(-1, side.each[name]).mean(dim=1))
        made, real = by_side
        assert made is not None
        weights = torch.from_numpy(inputs.made_draws.weights).double()
        drawn = (weights @ made / inputs.made_draws.sizes[:, 0]).tolist()
        value = float(made.mean())
        figures.append(
            inputs.figure(
                "accuracy",
                "label_accuracy",
                f"label accuracy [{about.name}]",
                value,
                better="higher",
                group=group,
                by_network=[value],
                interval=interval(value, drawn, HOW_ONE),
                real=None if real is None else float(real.mean()),
            )
        )
    return figures, []


PAIRS = 128
"""Pairs of clips whose structural similarity is taken."""
ALIKE = 1e-9
"""Spread of real clips below which no ratio to it is given."""


def spread(mean: Tensor, square: Tensor) -> float:
    """Return the root of the summed variances, from means and means of squares (D,): the deviation between clips."""
    return math.sqrt(float((square - mean.square()).clamp(min=0).sum()))


def _spreads(rows: Rows, draws: Bootstrap | None = None) -> tuple[Tensor, Tensor]:
    """Return mean and mean square of the vectors less their first one, (2 D,), and those of each draw (R, 2 D)."""
    count, size = rows.shape
    draws = draws or Bootstrap(np.empty((0, count), dtype=np.uint8))
    weights = draws.weights
    start = torch.from_numpy(np.asarray(rows[0:1], dtype=np.float64))
    whole = torch.zeros(2 * size, dtype=torch.float64)
    drawn = torch.zeros(len(weights), 2 * size, dtype=torch.float64)
    for first, block in blocks(rows):
        moved = block - start
        both = torch.cat([moved, moved.square()], dim=1)
        whole += both.sum(dim=0)
        drawn += torch.from_numpy(weights[:, first : first + len(block)]).double() @ both
    return whole / count, drawn / draws.sizes


def _ratio_of_spreads(made: Tensor, real: Tensor) -> float | None:
    size = len(made) // 2
    known = spread(real[:size], real[size:])
    return spread(made[:size], made[size:]) / known if known > ALIKE else None


def _spread_ratio(inputs: FigureInputs, name: str) -> tuple[float | None, list[float | None], float | None]:
    """Return the ratio of spreads in one space, that of each draw, and that of the floor."""
    made, real = (
        _spreads(inputs.made.rows[name], inputs.made_draws),
        _spreads(inputs.real.rows[name], inputs.real_draws),
    )
    drawn = [_ratio_of_spreads(a, b) for a, b in zip(made[1], real[1], strict=False)]
    floor = _ratio_of_spreads(*(_spreads(side.rows[name])[0] for side in inputs.floor)) if inputs.floor else None
    return _ratio_of_spreads(made[0], real[0]), drawn, floor


def spread_within_labels(inputs: FigureInputs, name: str) -> dict[str, float]:
    """Return the ratio of spreads within each class that both sides have two clips of."""
    ratios = {}
    for place, label in enumerate(inputs.made_labels):
        if label not in inputs.real_labels:
            continue
        sides = ((inputs.made, place), (inputs.real, inputs.real_labels.index(label)))
        rows = [SelectedRows(side.rows[name], np.flatnonzero(side.labels == number)) for side, number in sides]
        if min(part.shape[0] for part in rows) < 2:
            continue
        ratio = _ratio_of_spreads(*(_spreads(part)[0] for part in rows))
        if ratio is not None:
            ratios[label] = ratio
    return ratios


def _similar(side: ClipFeatures, shape: tuple[int, int, int, int], seed: int) -> tuple[Tensor, Labels]:
    """Return 1 - SSIM of random pairs of small copies, (PAIRS,), and which clips they are, (2, PAIRS)."""
    rng = np.random.Generator(np.random.Philox(key=[seed, 0xBA125]))
    first = rng.integers(side.count, size=PAIRS)
    second = (first + 1 + rng.integers(side.count - 1, size=PAIRS)) % side.count
    values = []
    for start in range(0, PAIRS, 64):
        clips = []
        for numbers in (first[start : start + 64], second[start : start + 64]):
            copies: Frames = SelectedRows(side.rows[SMALL_COPIES], numbers)[:]
            clips.append(from_uint8(copies.reshape(len(numbers), *shape)))
        values.append(1 - ssim(*clips).mean(dim=1))
    return torch.cat(values), np.stack([first, second])


def diversity(inputs: FigureInputs) -> Measured:
    """Return how much the clips differ from each other, beside real ones; 1 is as much."""
    figures = []
    if min(inputs.counts) < 2:
        return [], []
    ratio, drawn, floor = _spread_ratio(inputs, SMALL_COPIES)
    figures.append(_variety_figure(inputs, "variety of pixels, made : real", ratio, drawn, floor))
    shape = inputs.made.clips.shape
    small = small_shape(shape.frames, shape.height, shape.width, shape.channels)
    if min(small[1:3]) > SSIM_WINDOW // 2:
        figures.append(ssim_figure(inputs, small))
    for group in inputs.groups("clip"):
        parts = [_spread_ratio(inputs, name) for name in group.names]
        values = [part[0] for part in parts if part[0] is not None]
        floors = [part[2] for part in parts if part[2] is not None]
        by_draw = [
            statistics.mean(known) if len(known := [x for x in one if x is not None]) == len(parts) else None
            for one in zip(*(part[1] for part in parts), strict=True)
        ]
        if len(values) < len(parts):
            continue
        label, ratio, floor = inputs.label("variety", group), statistics.mean(values), mean_or_none(floors)
        figures.append(_variety_figure(inputs, label, ratio, by_draw, floor, group=group, by_network=values))
        by_label = [spread_within_labels(inputs, name) for name in group.names]
        common = [label for label in by_label[0] if all(label in one for one in by_label)]
        if common:
            within = {label: statistics.mean(one[label] for one in by_label) for label in common}
            figures.append(
                inputs.figure(
                    "diversity",
                    "variety_within_labels",
                    inputs.label("variety within labels", group),
                    statistics.mean(within.values()),
                    better="one",
                    group=group,
                    by_network=[statistics.mean(one[label] for label in common) for one in by_label],
                    note=", ".join(f"{label} {value:.2f}" for label, value in within.items()),
                )
            )
    return figures, []


def _variety_figure(
    inputs: FigureInputs,
    label: str,
    value: float | None,
    drawn: list[float | None],
    floor: float | None,
    **more: object,
) -> Figure:
    known = [one for one in drawn if one is not None]
    spread_of = interval(value, known, HOW) if value is not None and len(known) == len(drawn) else None
    return inputs.figure("diversity", "variety", label, value, better="one", floor=floor, interval=spread_of, **more)  # type: ignore[arg-type]


def ssim_figure(inputs: FigureInputs, small: tuple[int, int, int, int]) -> Figure:
    """Return how dissimilar pairs of clips are by SSIM, made : real.

    Of draws, the mean over pairs is linearised in the clips, as a statistic of second order is (Hoeffding 1948): a pair
    counts as often as its first clip is drawn and as its second one is, less once.
    """
    means = []
    for side, draws in ((inputs.made, inputs.made_draws), (inputs.real, inputs.real_draws)):
        values, pairs = _similar(side, small, inputs.seed)
        mean, more = values.double().mean(), draws.weights[:, pairs].sum(axis=1, dtype=np.float64) - 2
        drawn = mean + torch.from_numpy(more) @ (values.double() - mean) / PAIRS
        means.append((mean.view(1), drawn.view(-1, 1)))

    def ratio(made: Tensor, real: Tensor) -> float | None:
        return float(made[0] / real[0]) if float(real[0]) > ALIKE else None

    value, spread_of = of_means(ratio, *means)
    floor = None
    if inputs.floor and min(side.count for side in inputs.floor) > 1:
        floor = ratio(*(_similar(side, small, inputs.seed)[0].mean().view(1) for side in inputs.floor))
    return inputs.figure(
        "diversity",
        "ssim_diversity",
        "1 - SSIM of pairs, made : real",
        value,
        better="one",
        floor=floor,
        interval=spread_of,
        note=f"{PAIRS} random pairs of clips, reduced to {small[2]}×{small[1]}",
    )


STILL = 1e-6
"""Figures of real clips below which no ratio to them is given."""
LEVELS = {
    "periodicity": ("periodicity", "periodicity index"),
    "seam": ("seam", "seam, last to first frame"),
    "jump": ("jump", "largest : median step"),
}
"""Means that stand beside those of the real clips: name -> column and label."""


class _ColumnRows:
    """Some columns of vectors."""

    def __init__(self, rows: Rows, columns: slice) -> None:
        self._rows, self._columns = rows, columns
        self.shape = (rows.shape[0], columns.stop - columns.start)

    def __getitem__(self, part: slice) -> npt.NDArray[Any]:
        return self._rows[part][:, self._columns]


def column(side: ClipFeatures, place: slice) -> Tensor:
    """Return one figure of each clip, (N,)."""
    return torch.cat([block[:, place.start] for _, block in blocks(side.rows[PIXEL_FEATURES])])


class ColumnMeans:
    """Means of all closed forms on all sides, with their draws, read once."""

    def __init__(self, inputs: FigureInputs) -> None:
        self.inputs, self.columns = inputs, PixelColumns(inputs.frames)
        self.made = inputs.made_draws.means(inputs.made.rows[PIXEL_FEATURES])
        self.real = inputs.real_draws.means(inputs.real.rows[PIXEL_FEATURES])
        self.floor = [column_means(side.rows[PIXEL_FEATURES])[0] for side in inputs.floor or ()]

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
        return self.inputs.figure(metric, name, label, value, better=better, floor=floor, interval=spread, note=note)

    def ratio(self, column: str) -> Figure:
        """Return the ratio of both sides' means of a column of `PIXEL_FIGURES`."""
        pixel = PIXEL_FIGURES[column]

        def of(made: Tensor, real: Tensor) -> float | None:
            return float(made[0] / real[0]) if float(real[0]) > STILL else None

        return self.figure(pixel.metric, f"{pixel.ratio}_ratio", f"{pixel.ratio}, made : real", column, of, "one")

    def ratios(self, metric: str) -> list[Figure]:
        """Return the ratios of a metric, but that of the motion energy, which stands first."""
        names = (name for name, pixel in PIXEL_FIGURES.items() if pixel.ratio and pixel.metric == metric)
        return [self.ratio(name) for name in names if name != "energy"]

    def level(self, name: str, label: str, columns: str, function: Callable[[Tensor], float | None]) -> Figure:
        """Return a figure of what was made, beside the same of the real clips."""
        place = self.columns.place(columns)
        mean, drawn = self.made[0][place], self.made[1][:, place]
        value = function(mean)
        known = [one for one in map(function, drawn) if one is not None]
        spread = None if value is None or len(known) < len(drawn) else interval(value, known, HOW_ONE)
        real = function(self.real[0][place])
        return self.inputs.figure("motion", name, label, value, better="real", interval=spread, real=real)

    def curve(self, name: str, label: str, axis: str, unit: str, columns: slice, x: list[float], scale: bool) -> Curve:
        """Return the mean of some columns of both sides as a curve; with `scale`, as shares of their sum."""
        lines = []
        for side, mean in (("made", self.made[0][columns]), ("real", self.real[0][columns])):
            whole = float(mean.sum()) if scale else 1.0
            lines.append(Line(side, tuple((mean / whole if whole else mean).tolist())))
        return Curve("motion", name, label, axis, unit, tuple(x), tuple(lines), "D", self.inputs.counts)

    def curves(self) -> list[Curve]:
        """Return what motion looks like over time, frequency and speed."""
        inputs, columns = self.inputs, self.columns
        lags = [lag / inputs.fps for lag in range(inputs.frames)]
        duration = inputs.frames / inputs.fps
        cycles = [number / duration for number in range(1, inputs.frames // 2 + 1)]
        speeds = [0.0, *EDGES]
        first = columns.place("lengths").start
        half = first + LENGTHS // 2
        speed = "pixels a frame, at a side of at most 32 pixels (lower limit of the class)"
        correlation, content = columns.place("autocorrelation"), columns.place("resemblance")
        return [
            self.curve("autocorrelation", "Autocorrelation of motion", "lag, s", "", correlation, lags, False),
            self.curve("resemblance", "How long content stays", "lag, s", "correlation", content, lags, False),
            self.curve(
                "spectrum", "Temporal spectrum", "frequency, Hz", "share of power", columns.place("power"), cycles, True
            ),
            self.curve("velocities", "Velocities", speed, "share", slice(first, half), speeds, True),
            self.curve("accelerations", "Accelerations", speed, "share", slice(half, first + LENGTHS), speeds, True),
        ]


def motion(inputs: FigureInputs) -> Measured:
    means = ColumnMeans(inputs)
    label = "distance of temporal spectra"
    spectrum = means.figure("motion", "spectrum_distance", label, "power", spectrum_distance, "lower")
    figures = [means.ratio("energy"), energy_distance(inputs), spectrum]
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
    figures += [track_distance(inputs), *means.ratios("motion")]
    for name, (columns, label) in LEVELS.items():
        figures.append(means.level(name, label, columns, lambda mean: float(mean[0])))

    def seconds(curve: Tensor) -> float | None:
        lag = half_life(curve)
        return None if lag is None else lag / inputs.fps

    figures.append(means.level("half_life", "content half-life, s", "resemblance", seconds))
    return figures, means.curves()


def pictures(inputs: FigureInputs) -> Measured:
    means = ColumnMeans(inputs)
    return means.ratios("pictures"), []


def energy_distance(inputs: FigureInputs) -> Figure:
    """Return the Wasserstein distance of the clips' motion energies, as a part of the real mean."""
    place = PixelColumns(inputs.frames).place("energy")
    made, real = column(inputs.made, place), column(inputs.real, place)
    label = "distance of motion energies"
    if float(real.mean()) <= STILL:
        return inputs.figure("motion", "motion_distance", label, None, better="lower", note="real clips are stills")
    drawn = []
    for a, b in zip(inputs.made_draws.weights, inputs.real_draws.weights, strict=False):
        again = [values.repeat_interleave(torch.from_numpy(w).long()) for values, w in ((made, a), (real, b))]
        drawn.append(motion_distance(*again))
    floor = motion_distance(*(column(side, place) for side in inputs.floor)) if inputs.floor else None
    value = motion_distance(made, real)
    return inputs.figure(
        "motion", "motion_distance", label, value, better="lower", floor=floor, interval=interval(value, drawn)
    )


def track_distance(inputs: FigureInputs) -> Figure:
    """Return the Fréchet distance of the direction histograms of tracks: FVMD's idea with optical flow."""
    place = PixelColumns(inputs.frames).place("directions")

    def distance(pair: tuple[ClipFeatures, ClipFeatures]) -> float:
        return frechet(*(gaussian(_ColumnRows(side.rows[PIXEL_FEATURES], place)) for side in pair))

    drawn = []
    for draw in range(inputs.resamples):
        made = inputs.made_draws.gaussian(_ColumnRows(inputs.made.rows[PIXEL_FEATURES], place), draw)
        drawn.append(
            frechet(made, inputs.real_draws.gaussian(_ColumnRows(inputs.real.rows[PIXEL_FEATURES], place), draw))
        )
    value = distance((inputs.made, inputs.real))
    return inputs.figure(
        "motion",
        "track_distance",
        "Fréchet distance of tracks",
        value,
        better="lower",
        floor=distance(inputs.floor) if inputs.floor else None,
        interval=interval(value, drawn),
        note="velocity and acceleration along tracks of the optical flow, by place and direction; the idea of FVMD",
    )


def over_time(inputs: FigureInputs, sides: Mapping[str, tuple[ClipFeatures, Labels]], windows: int) -> list[Curve]:
    """Return the Fréchet distance of each window of long videos from the real clips, and its motion.

    Args:
        inputs: the real clips, and the networks.
        sides: `made` and `real`: windows of long videos, with the position of each in its video.
        windows: how many each video has.
    """
    counts = (len(next(iter(sides.values()))[1]) // windows, inputs.real.count)
    seconds = tuple(place * inputs.frames / inputs.fps for place in range(windows))

    def curve(name: str, label: str, tier: Tier, value: Callable[[ClipFeatures], float]) -> Curve:
        lines = []
        for side, (features, positions) in sides.items():
            values = [value(features.chosen(np.flatnonzero(positions == place))) for place in range(windows)]
            lines.append(Line(side, tuple(values)))
        return Curve("windows", name, label, "begin of the window, s", "", seconds, tuple(lines), tier, counts)

    curves = []
    for group in inputs.groups("clip"):
        real = {name: gaussian(inputs.real.rows[name]) for name in group.names}

        def distance(window: ClipFeatures, real: Mapping[str, Gaussian] = real) -> float:
            return statistics.mean(frechet(gaussian(window.rows[name]), known) for name, known in real.items())

        label = f"{inputs.label('frechet', group)} of each window"
        curves.append(curve("window_frechet", label, group.tier, distance))
    energy = PixelColumns(inputs.frames).place("energy")
    usual = float(column(inputs.real, energy).mean())
    if usual > STILL:
        label = "Motion of each window, made : real"
        curves.append(curve("window_motion", label, "D", lambda window: float(column(window, energy).mean()) / usual))
    return curves


def volumes(inputs: FigureInputs) -> Measured:
    """Return how far values of voxels lie from real ones, how alike volumes are, what Lite0 sees on three planes."""
    if inputs.volume is None or HISTOGRAM not in inputs.made.rows:
        return [], []
    low, high = inputs.volume.window
    step = (high - low) / (BINS - 1)

    def distance(made: Tensor, real: Tensor) -> float:  # of Wasserstein: the area between distribution functions
        return float((made - real).cumsum(0).abs().sum()) * step

    means = [
        side.means(rows.rows[HISTOGRAM])
        for side, rows in ((inputs.made_draws, inputs.made), (inputs.real_draws, inputs.real))
    ]
    value, around = of_means(distance, means[0], means[1])
    floor = distance(*(column_means(side.rows[HISTOGRAM])[0] for side in inputs.floor)) if inputs.floor else None
    unit = inputs.volume.unit or "units of the data"
    note = f"Wasserstein distance of the values of all voxels, in {unit}, counted in steps of {step:.3g}"
    figures = [
        inputs.figure(
            "volumes",
            "value_distance",
            f"distance of values, {unit}",
            value,
            better="lower",
            floor=floor,
            interval=around,
            note=note,
        )
    ]
    shape = small_volume_shape(inputs.frames, inputs.made.clips.shape.height, inputs.made.clips.shape.width)
    if min(shape) >= SSIM_WINDOW and min(inputs.counts) > 1:
        alike = [
            float(pair_similarities(np.asarray(side.rows[SMALL_VOLUMES][:]), shape, inputs.seed).mean())
            for side in (inputs.made, inputs.real)
        ]
        size = "×".join(map(str, shape))
        note = f"MS-SSIM of random pairs, of volumes made as small as {size}; higher than real: too alike"
        figures.append(
            inputs.figure("volumes", "ms_ssim", "MS-SSIM of pairs", alike[0], better="real", real=alike[1], note=note)
        )
    for group in inputs.groups("clip"):
        if group.title == "lite0" and PLANES in inputs.made.rows:
            beside = kernel_distance(*(side.rows[PLANES] for side in inputs.floor)).value if inputs.floor else None
            figures.append(
                inputs.figure(
                    "volumes",
                    "planes_kernel",
                    f"{inputs.label('kernel', group)} of three planes",
                    kernel_distance(inputs.made.rows[PLANES], inputs.real.rows[PLANES]).value,
                    better="lower",
                    floor=beside,
                    group=group,
                    note=f"a network of photographs sees {PLANES_EACH} planes along each of three axes, not the volume",
                )
            )
    return figures, []


@dataclass(frozen=True)
class Metric:
    """A family of figures that can be asked for."""

    about: str
    needs: Literal[
        "clip", "frame", "classes", "pixels", "answers", "speech", "neighbours", "time", "captions", "volumes", "music"
    ]
    """A network of clips, one of frames, one with classes; or no network."""
    measure: Callable[[FigureInputs], Measured] | None = None
    """Computes it; None for what takes more than the features of both sides."""


METRICS: Mapping[str, Metric] = {
    "fvd": Metric("Fréchet distance of clips", "clip", partial(frechet_distances, metric="fvd", of="clip")),
    "kvd": Metric("kernel distance of clips", "clip", partial(kernel_distances, metric="kvd", of="clip")),
    "fid": Metric("Fréchet distance of frames", "frame", partial(frechet_distances, metric="fid", of="frame")),
    "kid": Metric("kernel distance of frames", "frame", partial(kernel_distances, metric="kid", of="frame")),
    "is": Metric("Inception Score", "classes", inception),
    "prdc": Metric("precision, recall, density, coverage", "clip", prdc),
    "accuracy": Metric("whether clips show the class that was asked for", "classes", label_accuracy),
    "motion": Metric("motion, rhythm and flicker", "pixels", motion),
    "pictures": Metric("sharpness and contrast", "pixels", pictures),
    "diversity": Metric("how much clips differ", "pixels", diversity),
    "fidelity": Metric("answers beside the truth", "answers"),
    "sync": Metric("whether figures speak in time", "speech"),
    "beats": Metric("whether motion keeps time with music", "music"),
    "memorisation": Metric("nearest training clips", "neighbours"),
    "windows": Metric("long videos over time", "time"),
    "text": Metric("whether clips show what captions say", "captions"),
    "volumes": Metric("values, likeness and planes of volumes", "volumes", volumes),
}
"""Every family of figures, by the name that --metrics takes."""
