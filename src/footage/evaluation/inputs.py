"""Both sides of an evaluation: what they are, which of their clips are compared, and at what size and rate.

All of this is settled before anything is computed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from footage.config import ClipConfig
from footage.data.clip_folder import ClipFolder
from footage.data.clips import BUILT_IN, ClipSource, DatasetClips, Span
from footage.data.crops import is_footage
from footage.data.pairs import VoicedClips, open_source
from footage.data.store import Dataset, Split
from footage.errors import ConfigError, DatasetError, counted, meant
from footage.evaluation.clip_sets import (
    AnsweredClips,
    ClipSet,
    ClipShape,
    GeneratedClips,
    RealClips,
    TrainedModel,
    draw_windows,
    halve_clips,
)
from footage.evaluation.features.learned import LearnedNetwork, left_over, read_learned
from footage.evaluation.protocols import EvaluationOptions, Protocol
from footage.evaluation.results import Kind, Side
from footage.generation.model import Model
from footage.machines.remote import address_of
from footage.media.geometry import Fit
from footage.models.base import Converts, Generates, Predicts, Speaks
from footage.models.card import model_folder, pretrained

FRAMES = 16
"""Frames of a window where neither protocol nor model says."""
SIDE = 64
"""Height and width where everything is drawn at any size."""
SPLITS: tuple[Split, ...] = ("train", "heldout")


@dataclass(frozen=True)
class EvaluationInput:
    """One side, looked at, before its clips are chosen: a model, clips, or the name of a built-in data set."""

    given: str
    kind: Kind
    model: TrainedModel | None = None
    folder: ClipFolder | None = None
    clips: ClipSource | None = None
    """The clips of a data set that is open already."""
    crops: bool = False
    """Whether clips are crops of videos as they are, as upscalers are trained on."""
    hears: bool = False
    """Whether what is heard stands behind clips, as figures that speak are trained on."""

    @property
    def natural(self) -> tuple[int, int, int] | None:
        """Height, width and channels by itself; None for what is drawn at any size."""
        if self.model is not None:
            clip = self.model.info.config.clip
            return clip.height, clip.width, clip.channels
        if self.folder is not None:
            return self.folder.shape
        return None if self.clips is None else self.clips.shape

    def source(self, shape: ClipShape, guide: str | None = None) -> ClipSource:
        """Return the clips, decoded or drawn at a size where they can be."""
        if self.folder is not None:
            self.folder.at(shape.height, shape.width, shape.channels)
            return self.folder
        if self.clips is not None and guide is None and not self.hears:
            return self.clips
        clip = ClipConfig(shape.frames, shape.height, shape.width, shape.channels)
        if self.given == "shapes" and shape.channels == 1:
            clip = replace(clip, channels=3)
        return open_source(self.given, clip, guide, crops=self.crops, hears=self.hears)

    def films(self) -> list[Path]:
        """Return the videos of a folder of clips, as they are; none of anything else, whose clips nobody hears."""
        if self.folder is None:
            return []
        return [clip.source.path for clip in self.folder.clips if clip.source.kind == "video"]

    @property
    def answers(self) -> bool:
        """Whether it is a model that makes clips out of others only."""
        return self.model is not None and not isinstance(self.model.sampler, Generates)


def open_input(
    given: str | Path, *, protocol: Protocol, channels: int | None, fit: Fit, device: str, crops: bool = False
) -> EvaluationInput:
    """Find out what something is: a model or run, a dataset, a built-in data set, or a folder of clips.

    The protocol has size and rate, where they were asked for; `channels` are those of videos, where something says.
    With `crops`, a folder of videos gives crops of them as they are.

    Raises:
        DatasetError: there is no such thing, or no clip in it.
        ModelError: the model is damaged.
    """
    if address := address_of(given):
        return EvaluationInput(address, "dataset", clips=DatasetClips(Dataset(address)))
    path, text = Path(given), str(given)
    if (model_folder(path) / "model.json").exists():
        return EvaluationInput(text, "model", model=Model(path, device))
    if (path / "dataset.json").exists():
        return EvaluationInput(text, "dataset", clips=DatasetClips(Dataset(path)))
    if text in BUILT_IN or (path.is_file() and "idx3" in path.name):
        return EvaluationInput(text, "built-in")
    if not path.exists():
        kinds = "give a model, a run, a dataset, a folder of clips, or " + ", ".join(BUILT_IN)
        raise DatasetError(f'"{given}" does not exist', meant(given, kinds, (*BUILT_IN, *pretrained())))
    if path.is_dir() and (path / "config.json").exists() and (path / "metrics.jsonl").exists():
        raise DatasetError(f'the run "{given}" has no model yet', "train it for longer first")
    if crops and is_footage(path):
        return EvaluationInput(text, "folder", crops=True)
    return EvaluationInput(
        text,
        "folder",
        folder=ClipFolder(
            path, height=protocol.height, width=protocol.width, channels=channels or 3, fps=protocol.fps, fit=fit
        ),
    )


def common_shape(made: EvaluationInput, real: EvaluationInput, protocol: Protocol, fit: Fit) -> ClipShape:
    """Return what all clips are to be like.

    The protocol's size comes first, then that of a model, then that which both sides have.

    Raises:
        ConfigError: the sides have different sizes and none was asked for, or a model cannot make that many frames.
    """
    models = [side.model for side in (made, real) if side.model is not None]
    frames = protocol.frames or (models[0].info.config.clip.frames if models else FRAMES)
    if made.answers and made.model is not None:
        known = made.model.info.config.clip.frames
        if frames != known or protocol.stride != 1:
            raise ConfigError(
                f"{made.model.info.name} knows clips of {counted(known, 'frame')}, {frames} were asked for",
                "leave --frames and --protocol out",
            )
    naturals = [side.natural for side in (made, real) if side.natural is not None]
    grey = any(natural[2] == 1 for natural in naturals)
    channels = models[0].info.config.clip.channels if models else 1 if grey else 3
    if protocol.height is not None and protocol.width is not None:
        return ClipShape(frames, protocol.height, protocol.width, channels, fit)
    if models:
        clip = models[0].info.config.clip
        return ClipShape(frames, clip.height, clip.width, channels, fit)
    if not naturals:
        return ClipShape(frames, SIDE, SIDE, channels, fit)
    if len({natural[:2] for natural in naturals}) > 1:
        (height, width, _), (high, wide, _) = naturals
        small = min(naturals)
        raise ConfigError(
            f"{made.given} has frames of {width}×{height}, {real.given} of {wide}×{high}",
            f"give --size, such as --size {small[1]}x{small[0]}, to resize both",
        )
    return ClipShape(frames, *naturals[0][:2], channels, fit)


def stride_of(fps: float, protocol: Protocol, name: str) -> int:
    """Return every which frame of a source gives the rate that was asked for, times the protocol's stride.

    Raises:
        ConfigError: the rates do not go together.
    """
    if protocol.fps is None:
        return protocol.stride
    ratio = fps / protocol.fps
    if ratio < 0.99 or abs(ratio - round(ratio)) > 0.01 * ratio:
        rates = ", ".join(f"{fps / n:g}" for n in (1, 2, 3, 4))
        raise ConfigError(
            f"{name} has {counted(fps, 'frame')} a second, {protocol.fps:g} were asked for",
            f"give --fps {rates} or so",
        )
    return protocol.stride * round(ratio)


def spans_of(source: ClipSource, split: str, reach: int) -> tuple[list[Span], int]:
    """Return the clips of a split that are long enough, and how many are not.

    Raises:
        DatasetError: none is.
    """
    every = [span for name in SPLITS if split in (name, "all") for span in source.spans(name)]
    fitting = [span for span in every if span.frames >= reach]
    if not fitting:
        longest = max((span.frames for span in every), default=0)
        if not every:
            raise DatasetError(f'{source.name} has no clip in split "{split}"', "give another --split")
        raise DatasetError(
            f"{source.name}: the longest clip has {counted(longest, 'frame')}, a window needs {reach} "
            f'(no clip of {counted(reach, "frame")} in split "{split}")',
            f"give --frames {max(2, longest)} or fewer",
        )
    return fitting, len(every) - len(fitting)


def check_model(model: TrainedModel, source: ClipSource, samples: int) -> None:
    """Refuse clips that are not the kind that a model is given, and tries that would all be the same.

    Raises:
        ConfigError: size or guide differ, or a model that has one answer is asked for more.
    """
    config, sampler, name = model.info.config, model.sampler, model.info.name
    clip, wanted = config.clip, config.guides
    if source.guides != wanted:
        there = _channels(source.guides)
        if not source.guides:
            what, remedy = "there is none", "give --guide DATASET"
        elif not wanted:
            what, remedy = f"{source.name} has one of {there}", "leave --guide out"
        else:
            what = f"that of {source.name} has {there}"
            remedy = f"give --guide DATASET with clips that were ingested with --channels {wanted}"
        learned = f"{name} learned from a guide of {_channels(wanted)}" if wanted else f"{name} takes no guide"
        raise ConfigError(f"{learned}, and {what}", remedy)
    height, width, channels = source.shape
    if (height, width, channels - wanted) != (clip.height, clip.width, clip.channels) and given_clips(model):
        raise ConfigError(
            f"{source.name} has frames of {width}×{height} with {_channels(channels - wanted)}, "
            f"{name} knows {clip.width}×{clip.height} with {clip.channels}",
            "ingest the clips again for it",
        )
    if samples > 1 and isinstance(sampler, Predicts) and sampler.certain:
        raise ConfigError(f"samples is {samples}, and {name} knows one future only", "give --samples 1")
    if samples > 1 and isinstance(sampler, Converts) and sampler.source.frames != 1:
        raise ConfigError(f"samples is {samples}, and {name} has one answer to each clip only", "give --samples 1")
    if samples > 1 and not given_clips(model):
        raise ConfigError(f"samples is {samples}, and {name} is given no clips to answer", "give --samples 1")


def given_clips(model: TrainedModel) -> bool:
    """Whether a model is given clips, perhaps beside making some from nothing."""
    return isinstance(model.sampler, Predicts | Converts | Speaks)


def _channels(number: int) -> str:
    return counted(number, "channel")


ALIKE = 0.01
"""Rates that differ by less, as a part of them, are taken for the same."""


@dataclass(frozen=True)
class InputClips:
    """One side with its clips."""

    opened: EvaluationInput
    split: str
    """Which of its clips; empty for a model."""
    stride: int
    source: ClipSource | None = None
    """Where its clips are read; None for a model."""
    spans: tuple[Span, ...] = ()
    """Its clips that are long enough."""
    heldout: tuple[Span, ...] = ()
    """Clips of the same source that were held out, where `spans` are training clips."""
    too_short: int = 0

    @property
    def fps(self) -> float:
        if self.opened.model is not None:
            return self.opened.model.info.fps
        assert self.source is not None
        return self.source.fps

    @property
    def labels(self) -> tuple[str, ...]:
        if self.opened.model is not None:
            return self.opened.model.info.labels
        return () if self.source is None else tuple(self.source.labels)


@dataclass(frozen=True)
class EvaluationPlan:
    """Both sides, and what they have in common."""

    made: InputClips
    real: InputClips
    protocol: Protocol
    """How, its number of frames and its size filled in."""
    shape: ClipShape
    warnings: tuple[str, ...]

    @property
    def given(self) -> int:
        """Frames at the beginning of each clip that count for nothing."""
        model = self.made.opened.model
        return model.sampler.given if model is not None and self.made.opened.answers else 0

    def clips(self, seed: int, repeat: int = 0) -> tuple[ClipSet, ClipSet]:
        real = self._clips(self.real, seed, repeat, self.protocol.clips)
        model = self.made.opened.model
        if model is not None and self.made.opened.answers:
            assert isinstance(real, RealClips)
            return AnsweredClips(model, RealClips(real.source, real.windows, self.shape), self.shape), real
        return self._clips(self.made, seed, repeat, self.protocol.clips), real

    def questions(self, seed: int, split: str | None) -> tuple[TrainedModel, RealClips] | None:
        """Return the model that is given clips, and whole windows to give it; None where it is no such model.

        A model that only answers is given the windows that its answers are compared with; one that also makes clips
        from nothing is given held-out clips, where no split was asked for and there are any.
        """
        model, real = self.made.opened.model, self.real
        if model is None or not given_clips(model):
            return None
        assert real.source is not None
        spans = real.spans if self.made.opened.answers or split else real.heldout or real.spans
        frames = model.info.config.clip.frames
        protocol = replace(self.protocol, frames=frames, stride=1)
        windows = draw_windows([s for s in spans if s.frames >= frames], protocol, protocol.clips, seed)
        return model, RealClips(real.source, windows, replace(self.shape, frames=frames))

    def voiced(self) -> tuple[Speaks, VoicedClips, tuple[Span, ...]] | None:
        """Return the model that speaks, where it is one, the clips with sound, and those of them to judge it by."""
        model, source = self.made.opened.model, self.real.source
        if model is None or not isinstance(model.sampler, Speaks) or not isinstance(source, VoicedClips):
            return None
        return model.sampler, source, self.real.spans

    def captioned(self, seed: int) -> tuple[TrainedModel, RealClips] | None:
        """Return the model that reads captions, where it is one, and windows of held-out clips that have any."""
        model, source, stride = self.made.opened.model, self.real.source, self.real.stride
        if model is None or not model.info.reads_text or source is None:
            return None
        reach = (self.shape.frames - 1) * stride + 1
        spans = [span for span in source.spans("heldout") if span.frames >= reach and span.captions]
        windows = draw_windows(spans, self.protocol, self.protocol.clips, seed, stride)
        return (model, RealClips(source, windows, self.shape, stride=stride)) if windows else None

    def _clips(self, side: InputClips, seed: int, repeat: int, count: int) -> ClipSet:
        if side.opened.model is not None:
            first = seed + repeat * count
            return GeneratedClips(side.opened.model, count, self.shape, seed=first, stride=side.stride)
        assert side.source is not None
        windows = draw_windows(side.spans, self.protocol, count, seed + repeat, side.stride)
        return RealClips(side.source, windows, self.shape, stride=side.stride, given=self.given)


def open_inputs(
    made: str | Path, real: str | Path, options: EvaluationOptions
) -> tuple[EvaluationInput, EvaluationInput]:
    """Find out what both sides are: models, runs, datasets, built-in data sets, or folders of clips.

    Raises:
        DatasetError: there is no such thing, or no clip in it.
        ModelError: a model is damaged.
    """
    protocol = options.full_protocol()
    first = open_input(made, protocol=protocol, channels=None, fit=options.fit, device=options.device)
    if first.model is None:
        return first, open_input(real, protocol=protocol, channels=None, fit=options.fit, device=options.device)
    # A folder's clips may be of any size where a model has one.
    config = first.model.info.config
    if not protocol.height:
        protocol = replace(protocol, height=config.clip.height, width=config.clip.width)
    second = open_input(
        real,
        protocol=protocol,
        channels=config.clip.channels,
        fit=options.fit,
        device=options.device,
        crops=config.net.crops,
    )
    if config.net.hears and second.folder is not None:
        raise ConfigError(
            f"{second.given} is a folder of clips, and {first.given} hears what is said in clips",
            "ingest them with their sound first, and give the data set",
        )
    return first, replace(second, hears=config.net.hears)


def plan_evaluation(made: EvaluationInput, real: EvaluationInput, options: EvaluationOptions) -> EvaluationPlan:
    """Settle what is compared.

    Of a data set beside a model, training clips are the reference, and held-out ones are given to models that answer
    clips; of two data sets, all clips count. The same data set on both sides is divided in two halves.

    Raises:
        ConfigError: sizes, rates or lengths do not go together.
        DatasetError: there are no clips that are long enough.
    """
    if real.answers:
        raise ConfigError(
            f"{real.given} is a model that makes clips out of others",
            "give it as what is judged, and real clips behind it",
        )
    protocol = options.full_protocol()
    shape = common_shape(made, real, protocol, options.fit)
    held = made.answers and real.folder is None  # a folder holds nothing out
    wanted = options.split or ("heldout" if held else "train" if made.kind == "model" else "all")
    sides = [
        _input_clips(made, options.split or "all", shape, protocol, None),
        _input_clips(real, wanted, shape, protocol, options.guide),
    ]
    if made.model is not None and sides[1].source is not None:
        check_model(made.model, sides[1].source, options.samples)
    warnings: list[str] = []
    if options.evaluator is not None:
        sides = [leave_out_learned(side, read_learned(options.evaluator), warnings) for side in sides]
    one, two = (side.source for side in sides)
    same = one is not None and two is not None and one.content_hash == two.content_hash
    places = [{span.index for span in side.spans} for side in sides]
    if same and places[0] & places[1]:
        common = [span for span in sides[0].spans if span in set(sides[1].spans)]
        if len(common) < 2:
            raise ConfigError(f"{made.given} and {real.given} are the same clip", "give other clips")
        warnings.append(
            f"{made.given} and {real.given} are the same clips: two halves of them are compared, without a common "
            "clip, which gives the floor and nothing else"
        )
        halves = halve_clips(common, options.seed)
        sides = [replace(side, spans=tuple(half), heldout=()) for side, half in zip(sides, halves, strict=True)]
    full = replace(protocol, frames=shape.frames, height=shape.height, width=shape.width)
    notes_on_inputs(sides, full, warnings)
    return EvaluationPlan(sides[0], sides[1], full, shape, tuple(warnings))


def _input_clips(
    opened: EvaluationInput, split: str, shape: ClipShape, protocol: Protocol, guide: str | None
) -> InputClips:
    if opened.model is not None:
        model = opened.model
        return InputClips(opened, "", 1 if opened.answers else stride_of(model.info.fps, protocol, model.info.name))
    source = opened.source(shape, guide)
    if opened.folder is not None and split != "heldout":
        split = "all"
    stride = stride_of(source.fps, protocol, source.name)
    reach = (shape.frames - 1) * stride + 1
    spans, short = spans_of(source, split, reach)
    heldout = [s for s in source.spans("heldout") if s.frames >= reach] if split == "train" else []
    return InputClips(opened, split, stride, source, tuple(spans), tuple(heldout), short)


def leave_out_learned(side: InputClips, learned: LearnedNetwork, warnings: list[str]) -> InputClips:
    """Leave out the clips that a learned network was trained on: it knows them better than what is made.

    Raises:
        DatasetError: no clip is left.
    """
    if side.source is None:
        return side
    spans, heldout = (tuple(left_over(side.source, part, learned)) for part in (side.spans, side.heldout))
    if gone := len(side.spans) + len(side.heldout) - len(spans) - len(heldout):
        warnings.append(
            f"{side.opened.given}: left out is what {learned.name} learned from, {counted(gone, 'clip')}; to look for "
            "copies of it too, measure memorisation without --evaluator"
        )
    if not spans:
        raise DatasetError(f"{learned.name} learned from all clips of {side.opened.given}", "give other clips")
    return replace(side, spans=spans, heldout=heldout)


def notes_on_inputs(sides: list[InputClips], protocol: Protocol, warnings: list[str]) -> None:
    """Say what was done to the clips, and what is missing."""
    made, real = sides
    rates = [side.fps / side.stride for side in sides]
    if not made.opened.answers and abs(rates[0] - rates[1]) > ALIKE * max(rates):
        warnings.append(
            f"{made.opened.given} has {counted(rates[0], 'frame')} a second, {real.opened.given} {rates[1]:g}: motion "
            "is compared at different speeds; give --fps to put both on one rate"
        )
    for side in sides:
        name = side.opened.given
        if text := resized(side, protocol):
            warnings.append(f"{name}: {text}")
        if side.too_short:
            warnings.append(
                f"{name}: {counted(side.too_short, 'clip')} of fewer than {protocol.frames} frames left out"
            )
        folder = side.opened.folder
        if folder is not None:
            warnings += [f"{name} is read as {layout}, all of it" for layout in folder.layouts]  # sides play no part
            shown = "; ".join(folder.problems[:3])
            if folder.problems:
                warnings.append(
                    f"{name}: {counted(len(folder.problems), 'file was left out', 'files were left out')} ({shown})"
                )
            if not folder.rated and protocol.fps is None:
                warnings.append(f"{name}: pictures have no rate, {folder.fps:g} a second are assumed; give --fps")
    few = [side for side in sides if side.source is not None and len(side.spans) < protocol.clips]
    if few:
        least = min(len(side.spans) for side in few)
        if protocol.windows == "one":
            text = f"only {least} are compared, and the figures are no longer those of the protocol"
        else:
            text = (
                f"{protocol.clips} windows are cut from them, which are not independent: intervals count files, "
                "not windows"
            )
        fewer = f", or --clips {least}" if protocol.windows != "one" and least > 1 else ""
        named = " and ".join(f"{side.opened.given} has {counted(len(side.spans), 'clip')}" for side in few)
        warnings.append(f"{named}, fewer than the {protocol.clips} that are measured: {text}; give more clips{fewer}")


def resized(side: InputClips, protocol: Protocol) -> str:
    """Return what is done to the frames of a side, empty for nothing."""
    folder, natural = side.opened.folder, side.opened.natural
    sizes = {known.size for known in folder.clips} if folder is not None else {natural[:2]} if natural else set()
    if not sizes or sizes == {(protocol.height, protocol.width)}:
        return ""
    was = f"{len(sizes)} sizes" if len(sizes) > 1 else "×".join(f"{n}" for n in reversed(next(iter(sizes))))
    return f"frames are resized from {was} to {protocol.width}×{protocol.height}"


def side_of(side: InputClips, clips: ClipSet, protocol: Protocol) -> Side:
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
