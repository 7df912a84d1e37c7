"""Presets side by side: trained on the same data for the same time or arithmetic, then measured in the same way.

The probe of the penalties' weight is such a comparison, of short trainings with more and with less of R1 and R2. How
strong they have to be depends on the data, and no rule is known for it. Too weak, and the critic wins; too strong, and
it hardly learns. So a run's first part is tried with several weights, and the largest is kept that learns about as well
as the best: later in the run a weak penalty costs more than a strong one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from footage import __version__, files
from footage.config import Config, to_json
from footage.data.store import Frames
from footage.errors import ConfigError, FootageError, TrainingError, counted
from footage.evaluation.clip_sets import first_clips
from footage.evaluation.feature_cache import FeatureCache
from footage.evaluation.features.catalogue import RANDOM
from footage.evaluation.figure_inputs import FigureInputs
from footage.evaluation.inputs import EvaluationInput, open_input, plan_evaluation
from footage.evaluation.protocols import EvaluationOptions
from footage.evaluation.run import Evaluator
from footage.files import locked
from footage.media.sheets import gallery, save_picture, strip
from footage.metrics.clip_vectors import SEEDS
from footage.models import checkpoint
from footage.models.requests import DeviceName
from footage.training import cost, trainer
from footage.training.plan import TrainingPlan, prepare
from footage.training.run_folder import RunFolder, begun_labels, read_rows, resume, with_found_batch
from footage.training.trainer import Budget, Progress

MINUTES = 10.0
"""How long each preset is trained when nothing is said."""
SHOWN = 6
"""Clips of each preset in the picture."""
COMPARED = {
    "motion_ratio": "motion_ratio",
    "motion_distance": "motion_distance",
    "spectrum_distance": "spectrum_distance",
    "variety": "diversity_ratio",
    "contrast_ratio": "contrast_ratio",
    "sharpness_ratio": "sharpness_ratio",
}
"""Figures of the evaluator that stand in comparison.json beside RFD-rand, and what they are called there."""
LEAST_SAMPLES = 16
"""Fewest clips that a comparison is made of; a few hundred are needed for figures worth reading."""


Figures = dict[str, list[float] | float | None] | None
"""`rfd`, for each of SEEDS, and the values of COMPARED; None where nothing could be measured."""


@dataclass(frozen=True)
class Limit:
    """When the training of a preset ends: one of the three, over the whole life of its run."""

    minutes: float | None = None
    """Minutes in the training loop."""
    clips: int | None = None
    flops: float | None = None
    """Floating-point operations of training steps, as `training.cost` counts them."""

    def __post_init__(self) -> None:
        limits = {key: value for key, value in vars(self).items() if value is not None}
        if len(limits) != 1:
            raise ConfigError(
                f"{' and '.join(limits) or 'no limit'} given", "give one of --minutes, --clips or --flops"
            )
        for name, value in limits.items():
            if not 0 < value < math.inf:
                raise ConfigError(f"{name} is {value}", "give more than 0")

    def __str__(self) -> str:
        if self.minutes is not None:
            return counted(self.minutes, "minute")
        return counted(self.clips, "clip") if self.clips is not None else f"{self.flops:.3g} floating-point operations"


@dataclass(frozen=True)
class ComparedRun:
    """A preset that takes part."""

    plan: TrainingPlan
    folder: RunFolder
    clip_flops: float
    """Floating-point operations of training for each clip."""

    @property
    def name(self) -> str:
        return self.plan.config.preset

    def clips(self, limit: Limit) -> int | None:
        """Return the training clips that a limit allows, in whole steps; None where it is a time."""
        if limit.flops is None:
            return limit.clips
        return math.ceil(limit.flops / (self.clip_flops * self.plan.batch_size)) * self.plan.batch_size

    def progress(self) -> Progress:
        """Return how far the run's saved state is."""
        if not self.folder.state.exists():
            return Progress()
        return Progress(**checkpoint.read_state(self.folder.state)["progress"])

    def finished(self, limit: Limit) -> bool:
        return Budget(self.clips(limit), limit.minutes).spent(self.progress())

    def train(self, limit: Limit, before: Mapping[str, Any], console: Console) -> tuple[str, dict[str, float | None]]:
        """Train the preset if its run is not at the limit yet; `before` is its row of an earlier comparison, or empty.

        Returns:
            `done`, `interrupted`, or what went wrong; and the memory that it took.
        """
        same = before.get("config") == to_json(self.plan.config) and before.get("limit") == str(limit)
        status = str(before.get("status", ""))
        memory = {key: before.get(key) for key in ("memory_gib", "memory_before_gib")}
        if self.finished(limit) or (same and status.startswith("diverged")):
            console.print(f"{self.folder.path} is trained already")
            return ("done" if self.finished(limit) else status), memory
        device = self.plan.place.device
        cost.forget_peak(device)
        empty = cost.peak_gib(device)
        try:
            stopped = trainer.train(
                self.plan, self.folder, clips=self.clips(limit), minutes=limit.minutes, console=console
            )
            status = "interrupted" if stopped else "done"
        except (FootageError, RuntimeError) as error:
            console.print("failed:", style="yellow", end=" ")
            console.print(str(error))
            divergence = re.search(r"diverged at [\d,]+ clips", str(error))
            status = divergence.group() if divergence else f"failed: {error}"
        if memory["memory_gib"] is None or cost.peak_gib(device) > memory["memory_gib"]:
            memory = {"memory_gib": cost.peak_gib(device), "memory_before_gib": empty}
        return status, memory

    def describe(self, limit: Limit) -> dict[str, Any]:
        """Return what was trained and what it cost: a row of comparison.json."""
        plan, progress = self.plan, self.progress()
        weights, seen, seconds = plan.needs.parameters, progress.clips_seen, progress.seconds
        critics = sum(count for name, count in weights.items() if name.startswith("critic_"))
        rows = read_rows(self.folder.metrics)[0] if self.folder.metrics.exists() else []
        rates = [row["clips_per_second"] for row in rows if row.get("clips_per_second")]
        rate = statistics.median(rates) if rates else (seen / seconds if seconds else None)
        clip = plan.config.clip
        return {
            "preset": self.name,
            "clip": f"{clip.frames} × {clip.height} × {clip.width}",
            "limit": str(limit),
            "generator": sum(weights.values()) - critics,
            "critics": critics,
            "batch_size": plan.batch_size,
            "clips_seen": seen,
            "seconds": seconds,
            "step_seconds": plan.batch_size / rate if rate else None,
            "clips_per_second": seen / seconds if seconds else None,
            "flop_per_clip": self.clip_flops,
            "flop": self.clip_flops * seen,
            "flop_per_made_clip": cost.made_flops(plan.config, len(plan.note.labels), plan.place),
            "gflop_per_second": self.clip_flops * rate / 1e9 if rate else None,
            "device": plan.place.device,
            "precision": plan.place.precision,
            "config": to_json(plan.config),
        }


@dataclass(frozen=True)
class Comparison:
    """A comparison on disk."""

    path: Path
    """The folder: comparison.json, comparison.md, comparison.png, and a run for each preset."""
    models: list[dict[str, Any]]
    """A row for each preset that was trained: what stands in comparison.json."""
    interrupted: bool = False
    """Whether it was stopped by the user."""


def compare(
    data: str,
    configs: Sequence[Config],
    out: Path,
    *,
    limit: Limit,
    seed: int,
    samples: int,
    console: Console,
    guide: str | None = None,
) -> Comparison:
    """Train each configuration into OUT/PRESET, measure all, write the table and the picture.

    Called again, it goes on where it was stopped: what is trained is not trained again. `seed` is of weights, order
    of clips and all draws, the same for all; `samples` clips of each are measured, and as many windows of real clips.

    Raises:
        FootageError: a configuration does not fit the data, or a run in the folder is another; nothing is trained then.
    """
    if samples < LEAST_SAMPLES:
        raise ConfigError(f"samples is {samples}", f"give at least {LEAST_SAMPLES}")
    runs = compared_runs(data, configs, out, seed, guide)
    known: dict[str, dict[str, Any]] = {}  # rows of an earlier call, by preset
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        stored = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
        known = {row["preset"]: row for row in stored["models"]}
    rows: list[dict[str, Any]] = []
    for number, run in enumerate(runs, 1):
        console.rule(f"{run.name} ({number} of {len(runs)})")
        status, memory = run.train(limit, known.get(run.name, {}), console)
        if status == "interrupted":
            console.print(f"stopped; to go on, run the same command again: it has {out}")
            return Comparison(out, rows, interrupted=True)
        rows.append({**run.describe(limit), "status": status, **memory})
        kept = [row for name, row in known.items() if name not in {row["preset"] for row in rows}]
        files.write_json(out / "comparison.json", {"models": rows + kept})  # what a killed comparison goes on from
    hidden = any(locked.folder_of(run.folder.path) for run in runs)  # as where the data are
    pictures = measure_models(runs, rows, samples, hidden, console)
    first = runs[0].plan
    content = {
        "data": first.note.name,
        "content_hash": first.note.content_hash,
        "labels": [] if hidden else list(first.note.labels),
        "limit": str(limit),
        "samples": samples,
        "seed": first.config.train.seed,
        "features": f"RandomFeatures, seeds {list(SEEDS)}",
        "threads": torch.get_num_threads(),
        "made_by": f"footage {__version__}, PyTorch {torch.__version__}",
        "models": rows,
    }
    files.write_json(out / "comparison.json", content)
    files.write_text(out / "comparison.md", as_markdown(content))
    if not hidden:
        as_picture(out / "comparison.png", content, pictures)
    console.print(as_table(content))
    console.print(f"comparison.md, {'' if hidden else 'comparison.png '}and comparison.json in {out}")
    return Comparison(out, rows)


def compared_runs(
    data: str, configs: Sequence[Config], out: Path, seed: int, guide: str | None = None
) -> list[ComparedRun]:
    """Make every plan and look at every run that is there, before anything is trained."""
    names = [config.preset for config in configs]
    if not names:
        raise ConfigError("no preset is named", "give --presets NAME,NAME; footage models lists them")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f'preset "{twice}" is named twice', "name each once")
    guided = [config.preset for config in configs if config.guides and not config.net.hears]
    if guided and guide is None:
        raise ConfigError(
            f"{guided[0]} makes clips from those of another data set, and there is none",
            f"give --guide DATASET, or leave {guided[0]} out of --presets",
        )
    if guide is not None and not guided:
        raise ConfigError(f"no preset of {', '.join(names)} is given clips of a guide", "leave --guide out")
    runs = []
    for config in configs:
        config = dataclasses.replace(config, train=dataclasses.replace(config.train, seed=seed))
        folder = RunFolder(out / config.preset)
        its_guide = guide if config.preset in guided else None
        plan = prepare(data, with_found_batch(folder, config), timed=False, guide=its_guide, begun=begun_labels(folder))
        resume(folder, plan.config, plan.note)
        count = cost.clip_flops(plan.config, len(plan.note.labels), plan.place)
        runs.append(ComparedRun(plan, folder, count))
    return runs


def evaluator_of(run: ComparedRun, samples: int, cache: FeatureCache) -> Evaluator:
    """Return what measures a preset's model: `samples` clips, as `footage evaluate RUN DATA --clips SAMPLES` does.

    Raises:
        ConfigError: the model makes single frames, of which there are no such figures.
        ModelError: there is no model, or it is damaged.
    """
    plan = run.plan
    heldout = any(span.frames >= plan.config.clip.frames for span in plan.source.spans("heldout"))
    options = EvaluationOptions(
        metrics="fvd,motion,pictures,diversity",
        networks=RANDOM,
        clips=samples,
        split=None if heldout else "train",  # without any, training clips are what models are given
        resamples=0,
        device=cast(DeviceName, plan.place.device),
    )
    protocol = options.full_protocol()
    model = open_input(run.folder.model, protocol=protocol, channels=None, fit=options.fit, device=options.device)
    real = EvaluationInput(plan.source.name, "dataset", clips=plan.source)
    evaluator = Evaluator(plan_evaluation(model, real, options), options, cache)
    if not evaluator.nets:
        raise ConfigError("it makes single frames", "measure it with footage evaluate")
    return evaluator


def compared_figures(evaluator: Evaluator, inputs: FigureInputs | None) -> Figures:
    """Return the figures of a row by the names that they have in comparison.json; None where there is nothing."""
    if inputs is None:
        return None
    values: dict[str, list[float] | float | None] = {}
    for figure in evaluator.figures(inputs)[0]:
        if figure.name == "frechet":
            values["rfd"] = list(figure.by_network)
        elif figure.name in COMPARED and not figure.networks:
            values[COMPARED[figure.name]] = figure.value
    return values


def measure_models(
    runs: Sequence[ComparedRun], rows: Sequence[dict[str, Any]], samples: int, hidden: bool, console: Console
) -> dict[str, list[Frames]]:
    """Measure the models and put figures and floors into their rows; return clips to show, by preset or other name.

    There are none to show where they are `hidden`, since the runs are locked.
    """
    floors: dict[str, dict[str, Any]] = {}  # by length and size of the clips
    pictures: dict[str, list[Frames]] = {}
    with FeatureCache(None, hidden=hidden) as cache:  # real clips are described once
        for run, row in zip(runs, rows, strict=True):
            row["figures"], pictures[run.name] = None, []
            try:
                with console.status(f"measuring {run.name}"):
                    evaluator = evaluator_of(run, samples, cache)
                    inputs = evaluator.figure_inputs()
                    row["figures"] = compared_figures(evaluator, inputs)
                    row |= {"floor": compared_figures(evaluator, inputs.of_floor()), "floor_how": evaluator.floor}
                    floors.setdefault(row["clip"], {name: row[name] for name in ("floor", "floor_how")})
                    if hidden:
                        continue
                    pictures[run.name], real = (first_clips(clips, SHOWN) for clips in evaluator.clips)
                    pictures.setdefault(f"real clips, {row['clip']}", real)
            except FootageError as error:
                console.print(f"{run.name} cannot be measured: {error}")
    for row in (row for row in rows if row["figures"] is None):
        row |= floors.get(row["clip"], {"floor": None, "floor_how": "none: no model could be measured"})
    return pictures


Row = Mapping[str, Any]


def _count(number: float | None) -> str:
    return "–" if number is None else f"{number / 1e6:.2f} M" if number >= 1e5 else f"{number:,.0f}"


def _number(value: float | None, digits: int = 3) -> str:
    """Write a figure with so many digits that count; – where there is none."""
    if value is None:
        return "–"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:#.{digits}g}" if abs(value) >= 1e-4 or not value else f"{value:.{digits - 1}e}"


def _spread(figures: Row | None, floor: Row | None = None) -> str:
    """Write mean and standard deviation of RFD-rand over the feature networks, to the same place.

    With a floor, of the ratios to it, network by network: each has a scale of its own, which goes out here.
    """
    values = (figures or {}).get("rfd")
    if values and floor is not None:
        least = floor.get("rfd")
        values = [a / b for a, b in zip(values, least, strict=True)] if least and all(least) else None
    if not values:
        return "–"
    mean, deviation = statistics.mean(values), statistics.stdev(values)
    places = max(0, 3 - len(f"{mean:.0f}")) if mean >= 1 else 4
    return f"{mean:.{places}f} ± {deviation:.{places}f}"


def _figure(name: str) -> Callable[[Row], str]:
    return lambda row: f"{(row['figures'] or {})[name]:.2f}" if (row["figures"] or {}).get(name) is not None else "–"


COLUMNS: dict[str, Callable[[Row], str]] = {
    "preset": lambda row: row["preset"],
    "clip, T × H × W": lambda row: row["clip"],
    "weights, generator / critics": lambda row: f"{_count(row['generator'])} / {_count(row['critics'])}",
    "batch": lambda row: f"{row['batch_size']}",
    "s/step ↓": lambda row: _number(row["step_seconds"]),
    "clips seen": lambda row: f"{row['clips_seen']:,}",
    "clips/s ↑": lambda row: _number(row["clips_per_second"]),
    "GFLOP/s ↑": lambda row: _number(row["gflop_per_second"]),
    "GFLOP a clip, trained on / made ↓": lambda row: " / ".join(
        _number(row[key] / 1e9) for key in ("flop_per_clip", "flop_per_made_clip")
    ),
    "memory, GiB ↓": lambda row: "–" if row.get("memory_gib") is None else f"{row['memory_gib']:.2f}",
    "RFD-rand ↓": lambda row: _spread(row["figures"]),
    "its floor": lambda row: _spread(row["floor"]),
    "RFD-rand : floor ↓": lambda row: _spread(row["figures"], row["floor"] or {}),
    "motion ratio → 1": _figure("motion_ratio"),
    "motion distance ↓": _figure("motion_distance"),
    "spectrum distance ↓": _figure("spectrum_distance"),
    "diversity ratio → 1": _figure("diversity_ratio"),
    "contrast ratio → 1": _figure("contrast_ratio"),
    "outcome": lambda row: row["status"] + ("; no model to measure" if row["figures"] is None else ""),
}
"""The columns of the table, from a row of comparison.json."""
NARROW = ("preset", "s/step ↓", "clips seen", "memory, GiB ↓", "RFD-rand ↓", "motion ratio → 1", "outcome")
"""The columns on the terminal."""
OF_REAL = tuple(
    name for name in COLUMNS if name.startswith(("preset", "clip,", "RFD-rand ↓", "outcome")) or "ratio" in name
)
OF_REAL += ("motion distance ↓", "spectrum distance ↓")
"""The columns that real clips have: what their floor is, in figures, and how it was measured."""
NOTES = """
How to read it:

- ↓ lower is better, ↑ higher is better, → 1 nearest to 1 is best. One training with one seed for each preset:
  differences that are small beside the ± mean nothing, and larger ones may still be luck.
- **RFD-rand** is the Fréchet distance of random convolutional features to those of real clips, mean ± standard
  deviation over 5 networks. It is no FVD and not comparable with one, nor between data sets, clip lengths or sizes, nor
  between numbers of samples. It ranks blurred, noisy, still and shuffled frames by their strength; it hardly sees
  motion that runs backwards, and next to nothing of small differences of form (docs/LOG.md).
- **Its floor** is the same figure of real clips against real clips. A model may fall below a floor that was measured
  between halves of a small data set: it has seen both. **RFD-rand : floor** is taken network by network, each of which
  has a scale of its own, so that it varies less.
- **Motion ratio**: mean absolute change from frame to frame, model : real. **Motion distance**: Wasserstein distance of
  the clips' motion, as a part of the real mean. **Spectrum distance**: of the shares of power over temporal
  frequencies, 0 to 1. **Diversity**: spread of small copies of the clips; **contrast**: within frames.
- Predictors and translators are given windows of held-out clips (of training clips, where there are none), and what
  they make of them is measured beside these, without the frames that they were given: beside generators, which make
  everything, they have an easier task.
- **s/step** is the batch divided by the median of the logged clips a second, **clips/s** is over the whole time in the
  loop, saving and sampling included. **GFLOP/s**: matrix products and convolutions of real training steps, gradients
  and penalties included, in s/step's time. **Memory**: the largest that this process held in RAM while the preset was
  trained (on a GPU: allocated there), with PyTorch and what earlier presets left behind (`memory_before_gib`).
- **GFLOP a clip**: the same operations, for each clip that is trained on and for each clip that is made afterwards. A
  generator makes it by one pass through its network, a diffusion model by dozens (35, where it has 18 steps).
"""


def as_markdown(content: Row) -> str:
    """Lay a comparison out as a page of Markdown."""
    lines = [
        f"# Presets compared on {content['data']}",
        "",
        f"Each trained for {content['limit']} with seed {content['seed']} on the same clips. Figures of "
        f"{counted(content['samples'], 'generated clip')} (averaged model, seeds from 0) beside "
        f"{counted(content['samples'], 'window')} of "
        "training clips.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + "---|" * len(COLUMNS),
    ]
    for row in content["models"]:
        lines.append("| " + " | ".join(cell(row).replace("|", "\\|") for cell in COLUMNS.values()) + " |")
    for row in content["models"]:
        shown = {**row, "preset": "real clips", "figures": row["floor"], "status": row["floor_how"]}
        cells = (cell(shown) if name in OF_REAL else "" for name, cell in COLUMNS.items())
        if (line := "| " + " | ".join(cells) + " |") not in lines:
            lines.append(line)
    machine = ", ".join(dict.fromkeys(f"{row['device']} in {row['precision']}" for row in content["models"]))
    origin = f"Made by {content['made_by']}, on {machine}, {counted(content['threads'], 'thread')}."
    return "\n".join([*lines, NOTES, origin]) + "\n"


def as_table(content: Row) -> Table:
    """Lay the main columns out for the terminal."""
    table = Table(title=f"{content['data']}, {content['limit']} each", title_justify="left", caption_justify="left")
    for name in NARROW:
        table.add_column(
            name.replace(", ", "\n").replace(" ratio", "\nratio").replace(" seen", "\nseen"), no_wrap=name != "outcome"
        )
    for row in content["models"]:
        table.add_row(*(Text(COLUMNS[name](row)) for name in NARROW))
    floors = dict.fromkeys(f"{_spread(row['floor'])} ({row['clip']})" for row in content["models"])
    table.caption = "RFD-rand of real clips: " + ", ".join(floors)
    return table


def as_picture(path: Path, content: Row, clips: Mapping[str, list[Frames]]) -> None:
    """Write samples of every model below each other as PNG, real clips first.

    `clips` are, by preset or another name, uint8 (T, H, W, C).
    """
    rows = {row["preset"]: row for row in content["models"]}
    groups = []
    for name in sorted(clips, key=lambda name: name in rows):
        remark = str(content["data"])
        if row := rows.get(name):
            parts = [f"RFD-rand {_spread(row['figures'])}", f"floor {_spread(row['floor'])}"]
            parts += [f"motion {COLUMNS['motion ratio → 1'](row)}", f"diversity {COLUMNS['diversity ratio → 1'](row)}"]
            remark = " · ".join([*parts, counted(row["clips_seen"], "clip")])
            remark = remark if row["status"] == "done" else f"{row['status'][:60]} · {remark}"
        # The picture's font has no ×.
        groups.append((name.replace("×", "x"), remark, [strip(clip) for clip in clips[name]]))
    save_picture(path, gallery(groups))


PROBE_FACTORS = (4.0, 1.0, 0.25)
"""How much of the penalties is tried."""
PROBE_PART = 0.05
"""Part of the run that each trial takes."""
PROBE_TOLERANCE = 1.3
"""A weight learns as well as the best where its Fréchet distance is at most this many times as large."""
PROBE_SAMPLES = 64
"""Clips that each trial is measured by."""


def penalty_trials(config: Config) -> dict[float, Config]:
    """Return the configurations to try, by the factor of their penalties.

    Raises:
        ConfigError: there is no such penalty.
    """
    gan = config.gan
    if config.method != "gan" or not (gan.r1 or gan.r2):
        raise ConfigError("there is no R1 or R2 to probe", "leave --probe out, or give --gan.r1 1")
    return {
        factor: dataclasses.replace(
            config,
            preset=f"{config.preset}-r1x{factor:g}",
            gan=dataclasses.replace(gan, r1=gan.r1 * factor, r2=gan.r2 * factor),
        )
        for factor in PROBE_FACTORS
    }


def largest_good_factor(distances: dict[float, float]) -> float:
    """Return the largest factor whose distance is at most `PROBE_TOLERANCE` times the least; distances by factor."""
    best = min(distances.values())
    return max(factor for factor, distance in distances.items() if distance <= PROBE_TOLERANCE * best)


def probe_penalties(data: str, config: Config, out: Path, *, limit: Limit, console: Console) -> tuple[Config, bool]:
    """Find the weight of R1 and R2 for a data set by trials in `out`, each of `PROBE_PART` of the run's limit.

    Called again, it does not train again what is trained there.

    Returns:
        The configuration with the weight, and whether the user stopped before it was found.

    Raises:
        ConfigError: there is no such penalty.
        TrainingError: no trial could be measured.
    """
    tried = penalty_trials(config)
    minutes, flops = (part and part * PROBE_PART for part in (limit.minutes, limit.flops))
    short = Limit(minutes, limit.clips and max(1, round(limit.clips * PROBE_PART)), flops)
    comparison = compare(
        data, list(tried.values()), out, limit=short, seed=config.train.seed, samples=PROBE_SAMPLES, console=console
    )
    if comparison.interrupted:
        return config, True
    distances = {
        factor: statistics.mean(row["figures"]["rfd"])
        for factor, row in zip(tried, comparison.models, strict=True)
        if row["status"] == "done" and row["figures"] and all(map(math.isfinite, row["figures"]["rfd"]))
    }
    if not distances:
        raise TrainingError(f"no trial in {out} could be measured", "train without --probe, with a lower --gan.lr")
    factor = largest_good_factor(distances)
    gan = tried[factor].gan
    measured = ", ".join(f"×{part:g}: {distance:.4g}" for part, distance in distances.items())
    console.print(f"RFD-rand {measured}; going on with r1 {gan.r1:g}, r2 {gan.r2:g}\n")
    return dataclasses.replace(config, gan=gan), False
