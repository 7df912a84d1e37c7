"""The one evaluator: clip sets, their features, figures of these, and the floor.

`footage evaluate` measures everything that was asked for; `footage compare` and the choice of the best model of a run
measure a few figures of the same clips in the same way, see `Evaluator`.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from footage import __version__
from footage.data.clips import HasVolumes, Labels
from footage.errors import ConfigError, counted, nearest
from footage.evaluation.clip_sets import (
    VIDEOS,
    ClipSet,
    GeneratedClips,
    LongVideos,
    RealClips,
    successive_windows,
)
from footage.evaluation.feature_cache import (
    GLANCE,
    ClipFeatures,
    FeatureCache,
    StepSeconds,
    extract_features,
    feature_readers,
)
from footage.evaluation.features import Extractor
from footage.evaluation.features.catalogue import comparing, network_of, networks, perceptual
from footage.evaluation.features.lpips import Perceptual
from footage.evaluation.fidelity import measure_fidelity
from footage.evaluation.figure_inputs import Bootstrap, FigureInputs, floor_clips, network_groups
from footage.evaluation.figures import LEAST_MANIFOLD, METRICS, over_time
from footage.evaluation.inputs import EvaluationPlan, side_of
from footage.evaluation.memorisation import find_memorisation
from footage.evaluation.protocols import EvaluationOptions
from footage.evaluation.results import Curve, Evaluation, Figure, Memorisation, WorkStep
from footage.evaluation.sync import measure_beats, measure_sync
from footage.evaluation.text_match import TextTrial
from footage.files import locked
from footage.machines.cluster import Cluster
from footage.media.geometry import NOTICE, VolumeScale
from footage.metrics.bootstrap import LEAST_SOURCES
from footage.metrics.distances import blocks
from footage.trust.locks import check_plain

REPEATED = ("clip", "frame", "classes")
"""Needs of the figures that are measured in every repeat."""
SCORERS = ("c3d", "inception")
"""Official networks whose Inception Score is usual."""
CLOSED_FORMS = ("pixels", "neighbours", "time")
"""Needs of the figures for which pixel features and small copies of clips are made."""
REMEDIES = {
    "clip": f"give more clips ({LEAST_MANIFOLD} at least for prdc), of two frames at least",
    "frame": "give a network of frames, such as Inception, with --weights or --networks",
    "classes": "give a network that tells classes apart, with --weights or --evaluator, and 10 clips at least",
    "pixels": "give clips of two frames at least",
    "answers": "give a model that predicts or converts clips",
    "speech": "give a figure that speaks, such as one of --preset talk-64, and clips with sound",
    "music": "give a folder of videos with sound that has a beat, such as generate --audio writes",
    "neighbours": "give a data set as the second side",
    "volumes": "give a model or data set of volumes, of at least 11 voxels along each side",
    "captions": "give a model that was trained on captions, and a data set with captions, some held out",
}
"""What to do about a metric that cannot be measured, by its needs."""
NOISE = 2
"""Levels of 255 by which pixels of a clip may differ that is still of one plain colour, or a still."""
SUSPECT = 0.05
"""Part of the clips that are nearer to training clips than unseen ones are, above which a warning says so."""
Judge = TypeVar("Judge", Extractor, Perceptual)
Say = Callable[[str], None]
"""Is told what is being done."""


def evaluate(
    plan: EvaluationPlan,
    options: EvaluationOptions,
    *,
    to: Path | None = None,
    say: Say = lambda _: None,
    cluster: Cluster | None = None,
) -> Evaluation:
    """Measure everything that was asked for; pictures of pairs are put beside a figures.json, `to`.

    The workers of a `cluster` make clips and read features; the figures are computed here. Of what is locked features
    are in memory alone, and no pictures are written.

    Raises:
        ConfigError: a metric or network is not known or cannot be had here, or features are not finite; or a side is
            locked, and workers would be given clips of it.
        ModelError: a network's file is missing, damaged or another one.
    """
    places = [side.opened.given for side in (plan.made, plan.real)]
    if cluster is not None:
        check_plain(places, "what workers are given", "give no --on")
    hidden = any(map(locked.folder_of, places))
    with FeatureCache(options.cache_folder, cluster, hidden=hidden) as cache:
        return Evaluator(plan, options, cache, say=say).evaluation(to)


class Evaluator:
    """Measures what is judged beside real clips: clip sets, features, figures, floor.

    The same plan, options and weights give the same figures, whoever asks. Feature networks are those that the options
    name, where none are given.

    Raises:
        ConfigError: a metric or network is not known; or a side is locked, and features would be kept in files.
        ModelError: a network's file is missing, damaged or another one.
    """

    def __init__(
        self,
        plan: EvaluationPlan,
        options: EvaluationOptions,
        cache: FeatureCache,
        *,
        nets: Sequence[Extractor] | None = None,
        say: Say = lambda _: None,
    ) -> None:
        self.plan, self.options, self.cache, self.say = plan, options, cache, say
        self.places = [side.opened.given for side in (plan.made, plan.real)]
        """What is compared, as it was given."""
        cache.refuse(self.places)
        self.asked = asked_metrics(options)
        self.seconds, self.warnings = StepSeconds(), list(plan.warnings)
        self.floor = "none"
        scales: list[VolumeScale | None] = [
            side.source.volume if isinstance(side.source, HasVolumes) else None for side in (plan.made, plan.real)
        ]
        if (model := plan.made.opened.model) is not None:
            scales[0] = model.info.volume
        self.volume = scales[1] or scales[0]
        """What levels mean, where volumes are measured."""
        if self.volume is not None:
            self.warnings.append(f"volumes: {NOTICE}")
        if self.volume is not None and scales[0] != scales[1]:
            told = [str(None if scale is None else (scale.spacing, scale.window)) for scale in scales]
            self.warnings.append(f"voxels and values are not the same on both sides: {told[0]} and {told[1]}")
        self.clips = plan.clips(options.seed)
        self.questions = plan.questions(options.seed, options.split)
        moves = min(side.shape.frames for side in self.clips) > 1
        self.nets: list[Extractor] = []
        without = ("answers", "captions", "speech", "music")  # what needs no feature network
        if moves and (not self.asked or any(METRICS[name].needs not in without for name in self.asked)):
            self.nets = networks(options, plan.shape.channels) if nets is None else list(nets)
        self.perceptual = perceptual(options) if self.questions and self.wants("fidelity") else []
        self.nets, self.perceptual = self._impartial(self.nets), self._impartial(self.perceptual)
        if self.questions is None and (unused := comparing(options)):
            self.warnings.append(f"{', '.join(unused)}: there are no answers that could stand beside the truth")

    def _impartial(self, nets: list[Judge]) -> list[Judge]:
        """Leave out the networks that trained a model of either side, and say so.

        Raises:
            ConfigError: one of them was named, or no other is left.
        """
        for side in (self.plan.made, self.plan.real):
            known = {} if side.opened.model is None else side.opened.model.info.trained_with
            abouts = [net.about for net in nets]
            partial = [about.name for about in abouts if about.name in known or about.digest in known.values()]
            if not partial:
                continue
            nets = [net for net in nets if net.about.name not in partial]
            what = f"{side.opened.given} was trained with {', '.join(partial)}, and what trains a model cannot judge it"
            if not nets or set(partial) & set(self.options.network_names):
                raise ConfigError(what, "give --networks without it, such as random, or one that did not train it")
            self.warnings.append(f"{what}: {', '.join(partial)} was left out")
        return nets

    def wants(self, name: str) -> bool:
        if name == "windows":
            return name in self.asked or self.options.windows > 0
        return name in self.asked or not self.asked

    def evaluation(self, to: Path | None = None) -> Evaluation:
        """Measure all of it; pictures of the nearest training clips, unless locked, are put beside a figures.json."""
        plan, options, to = self.plan, self.options, None if any(map(locked.folder_of, self.places)) else to
        figures, curves = list[Figure](), list[Curve]()
        if self.questions is not None and self.wants("fidelity"):
            self.say("measuring answers beside the truth")
            (model, windows), samples, seed = self.questions, options.samples, options.seed
            with self.seconds.of("answers"):
                figures, curves = measure_fidelity(model, windows, samples=samples, seed=seed, nets=self.perceptual)
            noted = [figure for figure in figures if figure.networks and not figure.name.startswith("best_")]
            self.warnings += [f"{figure.label}: {figure.note}" for figure in noted if figure.note]
        if (voiced := plan.voiced()) is not None and self.wants("sync"):
            with self.seconds.of("metric sync"):
                spoken, courses = measure_sync(*voiced, seed=options.seed, say=self.say)
            figures, curves = figures + spoken, curves + courses
        if "beats" in self.asked:
            with self.seconds.of("metric beats"):
                figures += measure_beats(plan.made.opened.films(), plan.real.opened.films(), self.say)
        memorisation = None
        if self.nets:
            inputs = self.figure_inputs()
            self.warnings += clip_warnings(inputs, plan, options)
            first, drawn = self.figures(inputs)
            runs, repeated = [first], [name for name, metric in METRICS.items() if metric.needs in REPEATED]
            for repeat in range(1, plan.protocol.repeats):
                self.say(f"repeat {repeat + 1} of {plan.protocol.repeats}")
                runs.append(self.figures(self.figure_inputs(repeat), repeated)[0])
            figures, curves = merged(runs) + figures, curves + drawn
            if self.wants("windows"):
                curves += self._windows(inputs)
            if self.wants("memorisation"):
                memorisation = self.memorisation(inputs, to)
        if "text" in self.asked and (captioned := plan.captioned(options.seed)):
            with self.seconds.of("metric text"):
                figures += TextTrial(*captioned, options.seed, self.cache, self.say).figures()
        measured = {figure.metric for figure in figures} | {curve.metric for curve in curves}
        for name in self.asked:  # nothing that was asked for by name is passed over in silence
            if name not in measured and (name != "memorisation" or memorisation is None):
                raise ConfigError(f'metric "{name}" cannot be measured here', REMEDIES.get(METRICS[name].needs, ""))
        seen = {name for figure in figures for name in figure.networks}  # what no figure looks through says nothing
        seen |= {name for space in (memorisation.spaces if memorisation else ()) for name in space.networks}
        every = any(curve.name == "window_frechet" for curve in curves)
        abouts = [net.about for net in self.nets] + [net.about for net in self.perceptual]
        abouts = [about for about in abouts if every or about.name in seen]
        made, real = (side_of(s, c, plan.protocol) for s, c in zip((plan.made, plan.real), self.clips, strict=True))
        return Evaluation(
            made=made,
            real=real,
            protocol=plan.protocol,
            seed=options.seed,
            networks=tuple(network_of(about) for about in abouts),
            floor=self.floor,
            figures=tuple(figures),
            curves=tuple(curves),
            memorisation=memorisation,
            warnings=tuple(dict.fromkeys(self.warnings)),
            work=tuple(WorkStep(step, seconds) for step, seconds in self.seconds.seconds.items()),
            device=f"{options.device}, {counted(torch.get_num_threads(), 'thread')}",
            made_by=f"footage {__version__}, PyTorch {torch.__version__}",
        )

    def figure_inputs(self, repeat: int = 0, known: FigureInputs | None = None) -> FigureInputs:
        """Return the features of both sides, and in the first repeat those of the floor; each has clips of its own.

        Of `known` inputs with the same real clips, the features of these are taken.
        """
        plan, seed = self.plan, self.options.seed + repeat
        made_clips, real_clips = self.clips if repeat == 0 else plan.clips(self.options.seed, repeat)
        made = self._features(made_clips, "clips that are judged")
        if known is not None:
            return replace(known, made=made, made_draws=Bootstrap.of(made.sources, known.resamples, seed, 0))
        real = self._features(real_clips, "real clips")
        floor = None
        if repeat == 0:
            choice = floor_clips(real_clips, plan.real.spans, plan.real.heldout, plan.protocol, seed)
            self.floor = choice.how
            if choice.rows is not None:
                floor = (real.chosen(choice.rows[0]), real.chosen(choice.rows[1]))
            elif choice.sets is not None:
                first, second = choice.sets
                others = self._features(first, "real clips for the floor")
                floor = (others, real if second is real_clips else self._features(second, "real clips for the floor"))
        resamples = self.options.resamples if repeat == 0 else 0
        draws = [Bootstrap.of(side.sources, resamples, seed, number) for number, side in enumerate((made, real))]
        return FigureInputs(
            made=made,
            real=real,
            floor=floor,
            nets=tuple(net.about for net in self.nets),
            made_draws=draws[0],
            real_draws=draws[1],
            frames=made_clips.shape.frames,
            stride=plan.made.stride,
            fps=plan.made.fps / plan.made.stride,
            made_labels=plan.made.labels,
            real_labels=plan.real.labels,
            seed=seed,
            volume=self.volume,
        )

    def figures(self, inputs: FigureInputs, names: Iterable[str] = METRICS) -> tuple[list[Figure], list[Curve]]:
        """Return the figures and curves of some metrics, those that are wanted."""
        figures, curves = list[Figure](), list[Curve]()
        for name in names:
            metric = METRICS[name]
            if metric.measure is not None and self.wants(name):
                self.say(f"computing {metric.about}")
                with self.seconds.of(f"metric {name}"):
                    more, drawn = metric.measure(inputs)
                figures += more
                curves += drawn
        return figures, curves

    def _features(self, clips: ClipSet, what: str) -> ClipFeatures:
        logits = []  # of what they are needed: for a score that was asked for, or is usual; for accuracy
        for about in (net.about for net in self.nets):
            scored = self.wants("is") and ("is" in self.asked or about.tier == "B" or about.name in SCORERS)
            if scored or (self.wants("accuracy") and set(about.classes or ()) >= set(self.plan.made.labels) > set()):
                logits.append(about.name)
        closed = any(self.wants(name) for name, metric in METRICS.items() if metric.needs in CLOSED_FORMS)
        volumes = self.volume is not None and self.wants("volumes")
        readers = feature_readers(self.nets, clips, logits=logits, closed=closed, volumes=volumes)

        def progress(done: int, count: int) -> None:
            self.say(f"{what}: {done:,} of {count:,}")

        self.say(what)
        return extract_features(clips, readers, self.cache, self.seconds, progress)

    def _windows(self, inputs: FigureInputs) -> list[Curve]:
        plan, windows = self.plan, self.options.windows or 8
        sides: dict[str, tuple[ClipFeatures, Labels]] = {}
        for name, side, clips in (("made", plan.made, self.clips[0]), ("real", plan.real, self.clips[1])):
            if isinstance(clips, GeneratedClips):
                count = min(VIDEOS, max(16, plan.protocol.clips))
                seed = self.options.seed
                long = LongVideos(clips.model, count, windows, plan.shape, seed=seed, stride=side.stride)
                sides[name] = (self._features(long, "long videos"), long.position)
            elif isinstance(clips, RealClips) and (long_clips := successive_windows(clips, side.spans, windows)):
                sides[name] = (self._features(long_clips[0], "long clips"), long_clips[1])
        if sides:
            return over_time(inputs, sides, windows)
        if "windows" in self.asked:
            raise ConfigError(
                f"no clip is long enough for {counted(windows, 'window')} of {counted(plan.shape.frames, 'frame')}",
                "give fewer --windows",
            )
        return []

    def memorisation(self, inputs: FigureInputs, to: Path | None = None) -> Memorisation | None:
        """Look for training clips in what was made; None where there is nothing to compare with."""
        real, made = self.plan.real, self.plan.made
        if real.source is None:
            return None
        trained_on = made.opened.model.info.dataset_hash if made.opened.model is not None else None
        if trained_on is not None and trained_on != real.source.content_hash:
            self.warnings.append(
                f"{made.opened.given} learned from other clips than {real.opened.given}: its nearest neighbours among "
                "these do not tell whether it repeats what it learned from"
            )
        if trained_on is None:
            self.warnings.append(
                f"nearest neighbours: {real.opened.given} is taken for the clips that {made.opened.given} was trained "
                "on; where it is not, no copies among these does not mean that there are none: give the training clips "
                "as the second side"
            )
        nets = [net for net in self.nets if net.about.of == "clip"]
        memorisation = find_memorisation(
            inputs.made,
            self.plan,
            nets,
            seed=self.options.seed,
            cache=self.cache,
            seconds=self.seconds,
            say=self.say,
            to=to,
        )
        if memorisation is None:
            self.warnings.append(
                f"nearest neighbours: {real.opened.given} has too few clips that differ from each other to compare with"
            )
            return None
        self.warnings += copy_warnings(memorisation)
        return memorisation


def asked_metrics(options: EvaluationOptions) -> tuple[str, ...]:
    """Return the metrics that were asked for by name; none for all that there can be.

    Raises:
        ConfigError: one is not known.
    """
    asked = options.metric_names or options.full_protocol().metrics
    for name in asked:
        if name not in METRICS:
            raise ConfigError(f'there is no metric "{name}"', nearest(name, METRICS))
    return tuple(dict.fromkeys(asked))


def merged(runs: Sequence[Sequence[Figure]]) -> list[Figure]:
    """Return the first run's figures, each the mean over the runs that have it, the first one's interval around it.

    The spread of the runs is no interval: of few clips each run draws other windows of the same ones.
    """
    if len(runs) == 1:
        return list(runs[0])
    figures = []
    for figure in runs[0]:
        same = [other for run in runs for other in run if (other.name, other.label) == (figure.name, figure.label)]
        values = [other.value for other in same if other.value is not None]
        if len(values) < 2:
            figures.append(figure)
            continue
        mean, around = statistics.mean(values), figure.interval
        if around is not None and figure.value is not None:
            shift = mean - figure.value
            how = f"{around.how}; of the first of {len(values)} repeats, around their mean"
            around = replace(around, low=around.low + shift, high=around.high + shift, how=how)
        spread = f"standard deviation of {len(values)} repeats {statistics.stdev(values):.3g}"
        figures.append(
            replace(
                figure,
                value=mean,
                repeats=tuple(values),
                seeds=tuple(seed for other in same for seed in other.seeds),
                by_network=tuple(
                    statistics.mean(parts) for parts in zip(*(other.by_network for other in same), strict=True)
                ),
                interval=around,
                note="; ".join(filter(None, (figure.note, spread))),
            )
        )
    return figures


def clip_warnings(inputs: FigureInputs, plan: EvaluationPlan, options: EvaluationOptions) -> list[str]:
    """Return warnings about figures of these clips."""
    warnings, asked = [], asked_metrics(options)
    for side, given in ((inputs.made, plan.made.opened.given), (inputs.real, plan.real.opened.given)):
        if (there := len(np.unique(side.sources))) < LEAST_SOURCES and options.resamples:
            warnings.append(
                f"{given}: figures of both sides have no interval, since clips of {counted(there, 'source')} can "
                f"hardly be drawn anew; give {LEAST_SOURCES} or more"
            )
    for group in network_groups(inputs.nets):
        metric, what = ("fvd", "clip") if group.of == "clip" else ("fid", "frame")
        rows = min(side.rows[group.names[0]].shape[0] for side in (inputs.made, inputs.real))
        if rows <= group.size and (metric in asked or not asked):
            frames = 1 if group.of == "clip" else inputs.frames
            warnings.append(
                f"{counted(rows, what)}: too few for the {group.size} features of {group.title}; the Fréchet distance "
                f"comes out too large; give --clips {group.size // frames + 1} or more, or read the kernel distance"
            )
    apart = [side.one_a_clip().count for side in (inputs.made, inputs.real, *(inputs.floor or ()))]
    few = min(apart)
    if few < LEAST_MANIFOLD and ("prdc" in asked or not asked) and inputs.groups("clip"):
        whose = "" if few == min(apart[:2]) else ", real against real"
        warnings.append(
            f"{counted(few, 'clip')} a side: too few for precision, recall, density and coverage{whose}, which are "
            f"left out; give {LEAST_MANIFOLD} clips or more{', and as many others' if whose else ''}"
        )
    least = min(plan.shape.height, plan.shape.width)
    shrunk = [f"{net.name} ({net.side} pixels)" for net in inputs.nets if net.side is not None and net.side < least]
    if shrunk:
        warnings.append(
            f"frames of {plan.shape.width}×{plan.shape.height} are shrunk for {', '.join(shrunk)}: finer detail "
            "counts for nothing there; lite0, random and the figures of pictures see frames at full size"
        )
    chosen = bool(options.network_names or options.evaluator)  # knowingly
    if "fvd" in asked and not chosen and not any(net.tier == "A" for net in inputs.nets):
        warnings.append(
            "fvd was asked for without the weights of an official network: what stands in its place is no FVD, and "
            "not comparable with one; give --weights FILE"
        )
    for side, given in ((inputs.made, plan.made.opened.given), (inputs.real, plan.real.opened.given)):
        levels = torch.cat([block for _, block in blocks(side.rows[GLANCE])])
        plain = levels[:, 0] <= NOISE
        still = (levels[:, 1] <= NOISE) & ~plain
        for which, words in ((plain, "of one plain colour throughout"), (still, "stills: nothing moves in them")):
            rows_of = which.nonzero().flatten().tolist()
            if rows_of:
                names = list(dict.fromkeys(side.clips.named(row)[0] for row in rows_of))
                named = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
                warnings.append(
                    f"{len(rows_of)} of {counted(side.count, 'clip')} of {given} are {words} ({named}): look at them"
                )
    return warnings


def copy_warnings(memorisation: Memorisation) -> list[str]:
    """Return a warning for each space in which more clips repeat training clips than unseen ones seem to."""
    warnings = [
        f"{space.below:.0%} of the clips are less than half as far from a training clip as unseen clips are, in "
        f"{space.name} ({space.below_real:.0%} of the unseen ones): look at the pairs, and leave out the copies"
        for space in memorisation.spaces
        if space.below - space.below_real > SUSPECT
    ]
    if warnings and memorisation.substituted:
        warnings.append(
            "there are no held-out clips to compare with, so that unlike training clips stand for unseen ones: where "
            "they differ much, clips that are only blurred count as copies too"
        )
    return warnings
