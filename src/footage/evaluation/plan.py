"""Which clips stand on both sides of an evaluation, settled before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from footage.data.clips import ClipSource, Span
from footage.errors import ConfigError, DatasetError
from footage.evaluation.evaluator.division import left_over
from footage.evaluation.features.learned import Made as Learned
from footage.evaluation.features.learned import read_made
from footage.evaluation.opening import (
    Opened,
    check_model,
    common_shape,
    given_clips,
    look,
    spans_of,
    step_of,
)
from footage.evaluation.protocols import Protocol
from footage.evaluation.results import Side
from footage.evaluation.sides import Answered, Clips, Made, Read, Shape
from footage.evaluation.windows import draw, halves
from footage.generation.model import Model
from footage.media.geometry import Fit

Part = Literal["train", "heldout", "all"]
"""Which clips of a data set."""
ALIKE = 0.01
"""Rates that differ by less, as a part of them, are taken for the same."""


@dataclass(frozen=True)
class Options:
    """What was asked for, beside the protocol."""

    metrics: tuple[str, ...] = ()
    """Keys of METRICS; empty for all that there can be."""
    seed: int = 0
    """Of everything random."""
    split: Part | None = None
    """Which clips of data sets; None for what fits, see `plan`."""
    resamples: int = 100
    """How often clips are drawn anew for intervals; 0 for no intervals."""
    samples: int = 1
    """Futures, or translations, of each clip."""
    windows: int = 0
    """Windows of long videos that are followed over time; 0 for none."""
    networks: tuple[str, ...] = ()
    """Names of feature networks; empty for those that there are."""
    weights: Path | None = None
    """The file of an official network."""
    evaluator: Path | None = None
    """The file of a network that `footage evaluator train` made."""
    guide: str | None = None
    """The data set that a translator between two was given."""
    fit: Fit = "crop"
    """How frames of another shape are fitted in."""
    device: str = "cpu"
    """Where models compute."""
    cache: Path | None = None
    """Where features are kept; None for nowhere."""

    def __post_init__(self) -> None:
        for name, least in (("seed", 0), ("resamples", 0), ("samples", 1), ("windows", 0)):
            value = getattr(self, name)
            if value < least:
                raise ConfigError(f"{name} is {value}", f"give at least {least}")


@dataclass(frozen=True)
class Chosen:
    """One side with its clips."""

    opened: Opened
    """What it is."""
    split: str
    """Which of its clips; empty for a model."""
    stride: int
    """Every which frame is taken."""
    source: ClipSource | None = None
    """Where its clips are read; None for a model."""
    spans: tuple[Span, ...] = ()
    """Its clips that are long enough."""
    heldout: tuple[Span, ...] = ()
    """Clips of the same source that were held out, where `spans` are training clips."""
    too_short: int = 0
    """Clips that are too short."""

    @property
    def fps(self) -> float:
        """Frames of the source that pass in a second."""
        if self.opened.model is not None:
            return self.opened.model.info.fps
        assert self.source is not None
        return self.source.fps

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of its classes."""
        if self.opened.model is not None:
            return self.opened.model.info.labels
        return () if self.source is None else tuple(self.source.labels)


@dataclass(frozen=True)
class Plan:
    """Both sides, and what they have in common."""

    made: Chosen
    """What is judged."""
    real: Chosen
    """What it is judged by."""
    protocol: Protocol
    """How, its number of frames and its size filled in."""
    shape: Shape
    """What all clips are like."""
    warnings: tuple[str, ...]
    """What is to be known about the clips."""

    @property
    def given(self) -> int:
        """Frames at the beginning of each clip that count for nothing."""
        model = self.made.opened.model
        return model.sampler.given if model is not None and self.made.opened.answers else 0

    def clips(self, seed: int, repeat: int = 0) -> tuple[Clips, Clips]:
        """Return both sides' clips of a repeat."""
        count = self.protocol.clips
        real = self._clips(self.real, seed, repeat, count)
        model = self.made.opened.model
        if model is not None and self.made.opened.answers:
            assert isinstance(real, Read)
            whole = Read(real.source, real.windows, self.shape)
            return Answered(model, whole, self.shape), real
        return self._clips(self.made, seed, repeat, count), real

    def _clips(self, side: Chosen, seed: int, repeat: int, count: int) -> Clips:
        if side.opened.model is not None:
            first = seed + repeat * count
            return Made(side.opened.model, count, self.shape, seed=first, stride=side.stride)
        assert side.source is not None
        windows = draw(side.spans, self.protocol, count, seed + repeat, side.stride)
        return Read(side.source, windows, self.shape, stride=side.stride, given=self.given)


def plan(made: str | Path, real: str | Path, protocol: Protocol, options: Options) -> Plan:
    """Settle what is compared.

    Of a data set beside a model, training clips are the reference, and held-out ones are given to models that answer
    clips; of two data sets, all clips count. The same data set on both sides is divided in two halves.

    Raises:
        ConfigError: sizes, rates or lengths do not go together.
        DatasetError: there are no clips, or none that are long enough.
        ModelError: a model is damaged.
    """
    first = look(made, protocol=protocol, channels=None, fit=options.fit, device=options.device)
    known = first.natural if first.kind == "model" else None
    channels = None if known is None else known[2]
    # A folder's clips may be of any size where a model has one.
    sized = protocol if known is None or protocol.height else replace(protocol, height=known[0], width=known[1])
    crops = first.model is not None and first.model.info.config.method == "upscale"
    second = look(real, protocol=sized, channels=channels, fit=options.fit, device=options.device, crops=crops)
    if second.answers:
        raise ConfigError(
            f"{real} is a model that makes clips out of others", "give it as what is judged, and real clips behind it"
        )
    shape = common_shape(first, second, protocol, options.fit)
    answers = first.answers
    held = answers and second.folder is None  # a folder holds nothing out
    wanted = options.split or ("heldout" if held else "train" if first.kind == "model" else "all")
    sides = [
        _chosen(first, "" if first.kind == "model" else options.split or "all", shape, protocol, None),
        _chosen(second, "" if second.kind == "model" else wanted, shape, protocol, options.guide),
    ]
    if first.model is not None and sides[1].source is not None:
        check_model(first.model, sides[1].source, options.samples)
    warnings: list[str] = []
    if options.evaluator is not None:
        sides = [_unlearned(side, read_made(options.evaluator), warnings) for side in sides]
    sides = _apart(sides, options.seed, warnings)
    full = replace(protocol, frames=shape.frames, height=shape.height, width=shape.width)
    _warn(sides, full, warnings)
    return Plan(sides[0], sides[1], full, shape, tuple(warnings))


def _chosen(opened: Opened, split: str, shape: Shape, protocol: Protocol, guide: str | None) -> Chosen:
    """Choose the clips of one side."""
    if opened.model is not None:
        model = opened.model
        return Chosen(opened, "", 1 if opened.answers else step_of(model.info.fps, protocol, model.info.name))
    source = opened.source(shape, guide)
    if opened.folder is not None and split != "heldout":
        split = "all"
    stride = step_of(source.fps, protocol, source.name)
    reach = (shape.frames - 1) * stride + 1
    spans, short = spans_of(source, split, reach)
    heldout = [s for s in source.spans("heldout") if s.frames >= reach] if split == "train" else []
    return Chosen(opened, split, stride, source, tuple(spans), tuple(heldout), short)


def _unlearned(side: Chosen, made: Learned, warnings: list[str]) -> Chosen:
    """Leave out the clips that a learned network was trained on: it knows them better than what is made."""
    if side.source is None:
        return side
    spans, heldout = (tuple(left_over(side.source, some, made)) for some in (side.spans, side.heldout))
    if gone := len(side.spans) + len(side.heldout) - len(spans) - len(heldout):
        warnings.append(
            f"{side.opened.given}: {gone} clips that {made.name} learned from are left out; to look for copies of them "
            "too, measure memorisation without --evaluator"
        )
    if not spans:
        raise DatasetError(f"{made.name} learned from all clips of {side.opened.given}", "give other clips")
    return replace(side, spans=spans, heldout=heldout)


def _apart(sides: list[Chosen], seed: int, warnings: list[str]) -> list[Chosen]:
    """Divide the clips where both sides have the same ones."""
    made, real = sides
    if made.source is None or real.source is None or made.source.content_hash != real.source.content_hash:
        return sides
    if not {span.index for span in made.spans} & {span.index for span in real.spans}:
        return sides
    common = [span for span in made.spans if span in set(real.spans)]
    if len(common) < 2:
        raise ConfigError(f"{made.opened.given} and {real.opened.given} are the same clip", "give other clips")
    warnings.append(
        f"{made.opened.given} and {real.opened.given} are the same clips: two halves of them are compared, without a "
        "common clip, which gives the floor and nothing else"
    )
    one, two = halves(common, seed)
    return [replace(made, spans=tuple(one), heldout=()), replace(real, spans=tuple(two), heldout=())]


def _warn(sides: list[Chosen], protocol: Protocol, warnings: list[str]) -> None:
    """Say what was done to the clips, and what is missing."""
    made, real = sides
    rates = [side.fps / side.stride for side in sides]
    if not made.opened.answers and abs(rates[0] - rates[1]) > ALIKE * max(rates):
        warnings.append(
            f"{made.opened.given} has {rates[0]:g} frames a second, {real.opened.given} {rates[1]:g}: motion is "
            "compared at different speeds; give --fps to put both on one rate"
        )
    for side in sides:
        name = side.opened.given
        if text := resized(side, protocol):
            warnings.append(f"{name}: {text}")
        if side.too_short:
            warnings.append(f"{name}: {side.too_short} clips shorter than {protocol.frames} frames were left out")
        folder = side.opened.folder
        if folder is not None:
            shown = "; ".join(folder.problems[:3])
            if folder.problems:
                warnings.append(f"{name}: {len(folder.problems)} files were left out ({shown})")
            if not folder.rated and protocol.fps is None:
                warnings.append(f"{name}: pictures have no rate, {folder.fps:g} a second are assumed; give --fps")
        if side.source is not None and len(side.spans) < protocol.clips:
            if protocol.windows == "one":
                text = f"only {len(side.spans)} are compared, and the figures are no longer those of the protocol"
            else:
                text = f"{protocol.clips} windows are cut from them, which are not independent"
            warnings.append(
                f"{name} has {len(side.spans)} clips, {protocol.clips} were asked for: {text}; give more clips, or "
                f"--clips {len(side.spans)}"
            )


def resized(side: Chosen, protocol: Protocol) -> str:
    """Return what is done to the frames of a side, empty for nothing."""
    folder, natural = side.opened.folder, side.opened.natural
    sizes = {known.size for known in folder.clips} if folder is not None else {natural[:2]} if natural else set()
    if not sizes or sizes == {(protocol.height, protocol.width)}:
        return ""
    was = f"{len(sizes)} sizes" if len(sizes) > 1 else "×".join(f"{n}" for n in reversed(next(iter(sizes))))
    return f"frames are resized from {was} to {protocol.width}×{protocol.height}"


def side_of(side: Chosen, clips: Clips, protocol: Protocol) -> Side:
    """Describe a side for figures.json."""
    model = side.opened.model
    digest = model.info.weights_sha256 if model is not None else side.source.content_hash if side.source else ""
    name = model.info.name if model is not None else side.source.name if side.source else ""
    shape = clips.shape
    return Side(
        given=side.opened.given,
        kind=side.opened.kind,
        name=name,
        digest=digest,
        split=side.split,
        available=len(side.spans),
        windows=clips.count,
        frames=shape.frames,
        height=shape.height,
        width=shape.width,
        channels=shape.channels,
        fps=side.fps / side.stride,
        labels=side.labels,
        too_short=side.too_short,
        resized=resized(side, protocol),
        trained_on=model.info.dataset_hash if model is not None else "",
        clips_seen=model.info.clips_seen if model is not None else 0,
    )


def answering(made: Chosen) -> Model | None:
    """Return the model that is given clips, where the made side is one."""
    model = made.opened.model
    return model if model is not None and given_clips(model) else None
