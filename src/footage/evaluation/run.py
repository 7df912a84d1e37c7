"""An evaluation from beginning to end: clips, features, figures, neighbours, warnings.

What makes figures say less than they seem to: looked for, and said with its remedy.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from footage import __version__
from footage.data.clips import Labels, Span
from footage.errors import ConfigError, nearest
from footage.evaluation import figures as distances
from footage.evaluation import figures as diversity
from footage.evaluation import figures as motion
from footage.evaluation.clip_sets import ClipSet, GeneratedClips, RealClips
from footage.evaluation.feature_cache import (
    GLANCE,
    ClipFeatures,
    FeatureCache,
    StepSeconds,
    extract_features,
    feature_readers,
)
from footage.evaluation.features import Extractor, NetworkInfo
from footage.evaluation.features.catalogue import comparing, network_of, networks, perceptual
from footage.evaluation.features.lpips import Perceptual
from footage.evaluation.fidelity import fidelity
from footage.evaluation.figure_inputs import Bootstrap, FigureInputs, floor_of, network_groups
from footage.evaluation.figures import VIDEOS, LongVideos, over_time, successive_windows
from footage.evaluation.inputs import (
    EvaluationPlan,
    answering,
    plan_evaluation,
    side_of,
)
from footage.evaluation.memorisation import save_pairs, search, worst_pairs
from footage.evaluation.protocols import EvaluationOptions
from footage.evaluation.results import Curve, Evaluation, Figure, Interval, Memorisation, WorkStep
from footage.metrics.distances import blocks

Measure = Callable[[FigureInputs], tuple[list[Figure], list[Curve]]]


@dataclass(frozen=True)
class Metric:
    """A family of figures that can be asked for."""

    about: str
    """What it measures."""
    needs: Literal["clip", "frame", "classes", "pixels", "answers", "neighbours", "time"]
    """A network of clips, one of frames, one with classes; or no network."""
    measure: Measure | None = None
    """Computes it; None for what is not made of evidence alone."""


METRICS: Mapping[str, Metric] = {
    "fvd": Metric("Fréchet distance of clips", "clip", distances.fvd),
    "kvd": Metric("kernel distance of clips", "clip", distances.kvd),
    "fid": Metric("Fréchet distance of frames", "frame", distances.fid),
    "kid": Metric("kernel distance of frames", "frame", distances.kid),
    "is": Metric("Inception Score", "classes", distances.inception),
    "prdc": Metric("precision, recall, density, coverage", "clip", distances.prdc),
    "accuracy": Metric("whether clips show the class that was asked for", "classes", distances.label_accuracy),
    "motion": Metric("motion, rhythm and flicker", "pixels", motion.motion),
    "pictures": Metric("sharpness and contrast", "pixels", motion.pictures),
    "diversity": Metric("how much clips differ", "pixels", diversity.diversity),
    "fidelity": Metric("answers beside the truth", "answers"),
    "memorisation": Metric("nearest training clips", "neighbours"),
    "windows": Metric("long videos over time", "time"),
}
"""Every family of figures, by the name that --metrics takes."""
REPEATED = ("clip", "frame", "classes")
"""Needs of the figures that are measured in every repeat."""
SCORERS = ("c3d", "inception")
"""Official networks whose Inception Score is usual."""
CLOSED_FORMS = ("pixels", "neighbours", "time")
"""Needs of the figures for which closed forms and small copies of clips are made."""
Say = Callable[[str], None]


def measure(
    made: str | Path,
    real: str | Path,
    options: EvaluationOptions,
    *,
    to: Path | None = None,
    say: Say = lambda _: None,
) -> Evaluation:
    """Measure clips beside real ones.

    Args:
        made: what is judged: a model, a run, a dataset, a built-in data set, or a folder of clips.
        real: what it is judged by, any of the same.
        options: what is asked for.
        to: the figures.json that is going to be written, beside which the pictures of pairs are put; None for none.
        say: told what is being done.

    Raises:
        ConfigError: a value is out of range, sizes or rates do not go together, or features are not finite.
        DatasetError: there are no clips, or none that are long enough.
        ModelError: a model is damaged.
    """
    asked = wanted_metrics(options)
    say("looking at both sides")
    settled = plan_evaluation(made, real, options)
    task = _Task(settled, options, asked, to, say)
    return task.run()


def wanted_metrics(options: EvaluationOptions) -> tuple[str, ...]:
    """Return the metrics that were asked for by name; none for all that there can be.

    Raises:
        ConfigError: one is not known.
    """
    asked = options.metric_names or options.full_protocol().metrics
    for name in asked:
        if name not in METRICS:
            raise ConfigError(f'there is no metric "{name}"', nearest(name, METRICS))
    return tuple(dict.fromkeys(asked))


class _Task:
    """One evaluation under way."""

    def __init__(
        self,
        plan: EvaluationPlan,
        options: EvaluationOptions,
        asked: tuple[str, ...],
        to: Path | None,
        say: Say,
    ) -> None:
        self.plan, self.options, self.asked, self.to, self.say = plan, options, asked, to, say
        self.clock, self.warnings = StepSeconds(), list(plan.warnings)
        self.figures: list[Figure] = []
        self.curves: list[Curve] = []
        self.floor_how = "none"
        model = answering(plan.made)
        self.answering = model
        self.clips = plan.clips(options.seed)
        self.moves = min(side.shape.frames for side in self.clips) > 1
        self.nets: list[Extractor] = []
        if self.moves and (not asked or any(METRICS[name].needs != "answers" for name in asked)):
            self.nets = networks(options, plan.shape.channels)
        self.comparing: list[Perceptual] = []
        if model is not None and self.wants("fidelity"):
            self.comparing = perceptual(options)
        elif model is None and (unused := comparing(options)):
            self.warnings.append(f"{', '.join(unused)}: there are no answers that could stand beside the truth")

    def wants(self, name: str) -> bool:
        """Whether a metric was asked for, or nothing in particular was."""
        if name == "windows":
            return name in self.asked or self.options.windows > 0
        return name in self.asked or not self.asked

    def run(self) -> Evaluation:
        """Do it all."""
        if self.answering is not None and self.wants("fidelity"):
            self._fidelity()
        memorisation = None
        with FeatureCache(self.options.cache_folder) as store:
            if self.moves and self.nets:
                memorisation = self._measure(store)
        for name in self.asked:
            self._check_found(name, memorisation)
        sides = (self.plan.made, self.plan.real)
        described = [side_of(side, clips, self.plan.protocol) for side, clips in zip(sides, self.clips, strict=True)]
        abouts = [net.about for net in self.nets] + [net.about for net in self.comparing]
        return Evaluation(
            made=described[0],
            real=described[1],
            protocol=self.plan.protocol,
            seed=self.options.seed,
            networks=tuple(network_of(about) for about in abouts),
            floor=self.floor_how,
            figures=tuple(self.figures),
            curves=tuple(self.curves),
            memorisation=memorisation,
            warnings=tuple(dict.fromkeys(self.warnings)),
            work=tuple(WorkStep(step, seconds) for step, seconds in self.clock.seconds.items()),
            device=f"{self.options.device}, {torch.get_num_threads()} threads",
            made_by=f"footage {__version__}, PyTorch {torch.__version__}",
        )

    def _fidelity(self) -> None:
        """Measure answers beside the truth."""
        real, model = self.plan.real, self.answering
        assert model is not None and real.source is not None
        spans = list(real.heldout if not self.plan.made.opened.answers and not self.options.split else real.spans)
        self.say("measuring answers beside the truth")
        since = time.perf_counter()
        spans = [span for span in spans or real.spans if span.frames >= model.info.config.clip.frames]
        figures, curves = fidelity(
            model,
            real.source,
            spans,
            count=self.plan.protocol.clips,
            samples=self.options.samples,
            seed=self.options.seed,
            nets=self.comparing,
        )
        self.clock.add("answers", since)
        said = [figure for figure in figures if figure.networks and figure.note and not figure.name.startswith("best_")]
        self.warnings += [f"{figure.label}: {figure.note}" for figure in said]
        self.figures += figures
        self.curves += curves

    def _sorts(self, about: NetworkInfo) -> bool:
        """Whether the logits of a network are needed: for a score that was asked for, or is usual; for accuracy."""
        classes = set(about.classes or ())
        scored = self.wants("is") and ("is" in self.asked or about.tier == "B" or about.name in SCORERS)
        return scored or (self.wants("accuracy") and classes >= set(self.plan.made.labels) > set())

    def _described(self, clips: ClipSet, store: FeatureCache, what: str) -> ClipFeatures:
        logits = [net.about.name for net in self.nets if self._sorts(net.about)]
        closed = any(self.wants(name) for name, metric in METRICS.items() if metric.needs in CLOSED_FORMS)
        wanted = feature_readers(self.nets, clips, logits=logits, closed=closed)

        def progress(done: int, count: int) -> None:
            self.say(f"{what}: {done:,} of {count:,}")

        self.say(what)
        return extract_features(clips, wanted, store, self.clock, progress)

    def _evidence(self, store: FeatureCache, repeat: int, clips: tuple[ClipSet, ClipSet]) -> FigureInputs:
        """Describe both sides, and in the first repeat those of the floor."""
        plan, seed = self.plan, self.options.seed + repeat
        made = self._described(clips[0], store, "clips that are judged")
        real = self._described(clips[1], store, "real clips")
        floor = None
        if repeat == 0:
            side = plan.real
            floor, self.floor_how = floor_of(
                real,
                side.spans,
                side.heldout,
                plan.protocol,
                seed,
                lambda other: self._described(other, store, "real clips for the floor"),
            )
        resamples = self.options.resamples if plan.protocol.repeats == 1 or repeat == 0 else 0
        draws = [Bootstrap.of(side.count, resamples, seed, number) for number, side in enumerate((made, real))]
        rate = plan.made.fps / plan.made.stride
        return FigureInputs(
            made=made,
            real=real,
            floor=floor,
            nets=tuple(net.about for net in self.nets),
            made_draws=draws[0],
            real_draws=draws[1],
            frames=made.clips.shape.frames,
            stride=plan.made.stride,
            fps=rate,
            made_labels=plan.made.labels,
            real_labels=plan.real.labels,
            seed=seed,
        )

    def _measure(self, store: FeatureCache) -> Memorisation | None:
        """Compute all figures of evidence, repeat by repeat; then what needs more clips."""
        first = self._evidence(store, 0, self.clips)
        self.warnings += cautions(first, self.plan, self.asked)
        runs = [self._figures(first, METRICS)]
        for repeat in range(1, self.plan.protocol.repeats):
            self.say(f"repeat {repeat + 1} of {self.plan.protocol.repeats}")
            again = self._evidence(store, repeat, self.plan.clips(self.options.seed, repeat))
            runs.append(self._figures(again, {n: m for n, m in METRICS.items() if m.needs in REPEATED}, curves=False))
        self.figures = merged(runs) + self.figures
        if self.wants("windows"):
            self._windows(first, store)
        return self._memorisation(first, store) if self.wants("memorisation") else None

    def _figures(self, found: FigureInputs, metrics: Mapping[str, Metric], *, curves: bool = True) -> list[Figure]:
        figures: list[Figure] = []
        for name, metric in metrics.items():
            if metric.measure is not None and self.wants(name):
                self.say(f"computing {metric.about}")
                since = time.perf_counter()
                more, drawn = metric.measure(found)
                self.clock.add(f"metric {name}", since)
                figures += more
                if curves:
                    self.curves += drawn
        return figures

    def _windows(self, found: FigureInputs, store: FeatureCache) -> None:
        """Follow long videos over time."""
        plan, windows = self.plan, self.options.windows or 8
        sides: dict[str, tuple[ClipFeatures, Labels] | None] = {}
        for name, side, clips in (
            ("made", plan.made, self.clips[0]),
            ("real", plan.real, self.clips[1]),
        ):
            sides[name] = None
            if isinstance(clips, GeneratedClips):
                count = min(VIDEOS, max(16, plan.protocol.clips))
                long = LongVideos(clips.model, count, windows, plan.shape, seed=self.options.seed, stride=side.stride)
                sides[name] = (self._described(long, store, "long videos"), long.position)
            elif (
                isinstance(clips, RealClips)
                and (followed := successive_windows(clips, side.spans, windows)) is not None
            ):
                sides[name] = (self._described(followed[0], store, "long clips"), followed[1])
        if any(side is not None for side in sides.values()):
            self.curves += over_time(found, sides, windows)
        elif "windows" in self.asked:
            raise ConfigError(
                f"no clip is long enough for {windows} windows of {plan.shape.frames} frames", "give fewer --windows"
            )

    def _memorisation(self, found: FigureInputs, store: FeatureCache) -> Memorisation | None:
        """Look for training clips in what was made."""
        side, made = self.plan.real, self.plan.made
        if side.source is None:
            return None
        trained_on = made.opened.model.info.dataset_hash if made.opened.model is not None else None
        if trained_on is not None and trained_on != side.source.content_hash:
            self.warnings.append(
                f"{made.opened.given} learned from other clips than {side.opened.given}: its nearest neighbours among "
                "these do not tell whether it repeats what it learned from"
            )
        spans, heldout = side.spans, tuple[Span, ...]()
        if side.split == "heldout" and side.source.spans("train"):
            reach = (self.plan.shape.frames - 1) * side.stride + 1
            spans = tuple(span for span in side.source.spans("train") if span.frames >= reach) or side.spans
            heldout = side.spans if spans != side.spans else ()
        elif side.heldout:
            heldout = side.heldout
        result = search(
            found.made,
            side.source,
            spans,
            heldout,
            [net for net in self.nets if net.about.of == "clip"],
            protocol=self.plan.protocol,
            shape=self.plan.shape,
            stride=side.stride,
            given=self.plan.given,
            seed=self.options.seed,
            store=store,
            clock=self.clock,
            say=self.say,
        )
        if result is None:
            self.warnings.append(
                f"nearest neighbours: {side.opened.given} has too few clips that differ from each other to compare with"
            )
            return None
        memorisation, spaces, training = result
        since = time.perf_counter()
        pairs = worst_pairs(found.made.clips, spaces, training)
        memorisation = save_pairs(memorisation, pairs, self.to)
        self.clock.add("nearest pairs", since)
        self.warnings += copied(memorisation)
        return memorisation

    def _check_found(self, name: str, memorisation: Memorisation | None) -> None:
        """Refuse to pass over in silence what was asked for by name.

        Raises:
            ConfigError: nothing was measured of it.
        """
        if any(figure.metric == name for figure in self.figures) or any(curve.metric == name for curve in self.curves):
            return
        if name == "memorisation" and memorisation is None:
            raise ConfigError("there is nothing to look for training clips in", "give a data set as the second side")
        remedies = {
            "clip": "give more clips, of two frames at least",
            "frame": "give a network of frames, such as Inception, with --weights or --networks",
            "classes": "give a network that tells classes apart, with --weights or --evaluator, and 10 clips at least",
            "pixels": "give clips of two frames at least",
            "answers": "give a model that predicts or converts clips",
        }
        if name != "memorisation":
            raise ConfigError(f'metric "{name}" cannot be measured here', remedies.get(METRICS[name].needs, ""))


def merged(runs: Sequence[Sequence[Figure]]) -> list[Figure]:
    """Return the first run's figures, each the mean over the runs that have it, with their spread as the interval."""
    if len(runs) == 1:
        return list(runs[0])
    found = []
    for figure in runs[0]:
        same = [other for run in runs for other in run if (other.name, other.label) == (figure.name, figure.label)]
        values = [other.value for other in same if other.value is not None]
        if len(values) < 2:
            found.append(figure)
            continue
        mean, deviation = statistics.mean(values), statistics.stdev(values)
        found.append(
            replace(
                figure,
                value=mean,
                repeats=tuple(values),
                seeds=tuple(seed for other in same for seed in other.seeds),
                by_network=tuple(
                    statistics.mean(parts) for parts in zip(*(other.by_network for other in same), strict=True)
                ),
                interval=Interval(
                    mean - 1.96 * deviation,
                    mean + 1.96 * deviation,
                    0.95,
                    f"1.96 standard deviations of {len(values)} repeats with clips of their own",
                ),
            )
        )
    return found


NOISE = 2
"""Levels of 255 by which pixels of a clip may differ that is still of one plain colour, or a still."""
SUSPECT = 0.05
"""Part of the clips that are nearer to training clips than unseen ones are, above which a warning says so."""


def cautions(found: FigureInputs, plan: EvaluationPlan, asked: tuple[str, ...]) -> list[str]:
    """Return warnings about figures of these clips.

    Args:
        found: both sides.
        plan: what they are.
        asked: metrics that were asked for by name; none for all.
    """
    warnings = []
    for group in network_groups(found.nets):
        metric, what = ("fvd", "clips") if group.of == "clip" else ("fid", "frames")
        rows = min(side.rows[group.names[0]].shape[0] for side in (found.made, found.real))
        if rows <= group.size and (metric in asked or not asked):
            frames = 1 if group.of == "clip" else found.frames
            warnings.append(
                f"{rows} {what} are too few for the {group.size} features of {group.title}: the Fréchet distance "
                f"comes out too large; give --clips {group.size // frames + 1} or more, or read the kernel distance"
            )
    if "fvd" in asked and not any(net.tier == "A" for net in found.nets):
        warnings.append(
            "fvd was asked for without the weights of an official network: what stands in its place is no FVD, and "
            "not comparable with one; give --weights FILE"
        )
    for side, given in ((found.made, plan.made.opened.given), (found.real, plan.real.opened.given)):
        levels = torch.cat([block for _, block in blocks(side.rows[GLANCE])])
        plain = levels[:, 0] <= NOISE
        still = (levels[:, 1] <= NOISE) & ~plain
        for which, words in ((plain, "of one plain colour throughout"), (still, "stills: nothing moves in them")):
            rows_of = which.nonzero().flatten().tolist()
            if rows_of:
                named = _names(side, rows_of)
                warnings.append(f"{len(rows_of)} of {side.count} clips of {given} are {words} ({named}): look at them")
    return warnings


def _names(side: ClipFeatures, rows: list[int]) -> str:
    names = list(dict.fromkeys(side.clips.named(row)[0] for row in rows))
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def copied(found: Memorisation) -> list[str]:
    """Return a warning for each space in which more clips repeat training clips than unseen ones seem to."""
    return [
        f"{space.below:.0%} of the clips are less than half as far from a training clip as unseen clips are, in "
        f"{space.name} ({space.below_real:.0%} of the unseen ones): look at the pairs, and leave out the copies"
        for space in found.spaces
        if space.below - space.below_real > SUSPECT
    ]
