"""What the two things are that are to be compared, and how their clips are brought to one size and rate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from footage.config import ClipConfig
from footage.config.tasks import guides
from footage.data.clip_folder import ClipFolder
from footage.data.clips import BUILT_IN, ClipSource, DatasetClips, Span
from footage.data.crops import is_footage
from footage.data.pairs import open_source
from footage.data.store import Dataset, Split
from footage.errors import ConfigError, DatasetError
from footage.evaluation.protocols import Protocol
from footage.evaluation.results import Kind
from footage.evaluation.sides import Shape
from footage.generation.model import Model, model_folder
from footage.media.geometry import Fit
from footage.models.base import Converts, Generates, Predicts

FRAMES = 16
"""Frames of a window where neither protocol nor model says."""
SIDE = 64
"""Height and width where everything is drawn at any size."""
SPLITS: tuple[Split, ...] = ("train", "heldout")


@dataclass(frozen=True)
class Opened:
    """One side, looked at, before its clips are chosen."""

    given: str
    """What was asked for."""
    kind: Kind
    """What it is."""
    model: Model | None = None
    """The model, where it is one."""
    folder: ClipFolder | None = None
    """The clips of a folder."""
    dataset: DatasetClips | None = None
    """The clips of a dataset."""
    crops: bool = False
    """Whether clips are crops of videos as they are, as upscalers are trained on."""

    @property
    def natural(self) -> tuple[int, int, int] | None:
        """Height, width and channels by itself; None for what is drawn at any size."""
        if self.model is not None:
            clip = self.model.info.config.clip
            return clip.height, clip.width, clip.channels
        if self.folder is not None:
            return self.folder.shape
        return None if self.dataset is None else self.dataset.shape

    def source(self, shape: Shape, guide: str | None = None) -> ClipSource:
        """Return the clips, decoded or drawn at a size where they can be."""
        if self.folder is not None:
            self.folder.at(shape.height, shape.width, shape.channels)
            return self.folder
        if self.dataset is not None and guide is None:
            return self.dataset
        clip = ClipConfig(shape.frames, shape.height, shape.width, shape.channels)
        if self.given == "shapes" and shape.channels == 1:
            clip = replace(clip, channels=3)
        return open_source(self.given, clip, guide, crops=self.crops)

    @property
    def answers(self) -> bool:
        """Whether it is a model that makes clips out of others only."""
        return self.model is not None and not isinstance(self.model.sampler, Generates)


def look(
    given: str | Path, *, protocol: Protocol, channels: int | None, fit: Fit, device: str, crops: bool = False
) -> Opened:
    """Find out what something is: a model or run, a dataset, a built-in data set, or a folder of clips.

    Args:
        given: its path or name.
        protocol: size and rate, where they were asked for.
        channels: 1 or 3 for videos, where something says.
        fit: how frames of another shape are fitted in.
        device: where a model computes.
        crops: take crops of videos as they are, where a folder holds videos.

    Raises:
        DatasetError: there is no such thing, or no clip in it.
        ModelError: the model is damaged.
    """
    path, text = Path(given), str(given)
    if (model_folder(path) / "model.json").exists():
        return Opened(text, "model", model=Model(path, device))
    if (path / "dataset.json").exists():
        return Opened(text, "dataset", dataset=DatasetClips(Dataset(path)))
    if text in BUILT_IN or (path.is_file() and "idx3" in path.name):
        return Opened(text, "built-in")
    if not path.exists():
        raise DatasetError(
            f'"{given}" does not exist', "give a model, a run, a dataset, a folder of clips, or " + ", ".join(BUILT_IN)
        )
    if path.is_dir() and (path / "config.json").exists() and (path / "metrics.jsonl").exists():
        raise DatasetError(f'the run "{given}" has no model yet', "train it for longer first")
    if crops and is_footage(path):
        return Opened(text, "folder", crops=True)
    return Opened(
        text,
        "folder",
        folder=ClipFolder(
            path, height=protocol.height, width=protocol.width, channels=channels or 3, fps=protocol.fps, fit=fit
        ),
    )


def common_shape(made: Opened, real: Opened, protocol: Protocol, fit: Fit) -> Shape:
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
                f"{made.model.info.name} knows clips of {known} frames, {frames} were asked for",
                "leave --frames and --protocol out",
            )
    naturals = [side.natural for side in (made, real) if side.natural is not None]
    grey = any(natural[2] == 1 for natural in naturals)
    channels = models[0].info.config.clip.channels if models else 1 if grey else 3
    if protocol.height is not None and protocol.width is not None:
        return Shape(frames, protocol.height, protocol.width, channels, fit)
    if models:
        clip = models[0].info.config.clip
        return Shape(frames, clip.height, clip.width, channels, fit)
    if not naturals:
        return Shape(frames, SIDE, SIDE, channels, fit)
    if len({natural[:2] for natural in naturals}) > 1:
        (height, width, _), (high, wide, _) = naturals
        small = min(naturals)
        raise ConfigError(
            f"{made.given} has frames of {width}×{height}, {real.given} of {wide}×{high}",
            f"give --size, such as --size {small[1]}x{small[0]}, to resize both",
        )
    return Shape(frames, *naturals[0][:2], channels, fit)


def step_of(fps: float, protocol: Protocol, name: str) -> int:
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
            f"{name} has {fps:g} frames a second, {protocol.fps:g} were asked for", f"give --fps {rates} or so"
        )
    return protocol.stride * round(ratio)


def spans_of(source: ClipSource, split: str, reach: int) -> tuple[list[Span], int]:
    """Return the clips of a split that are long enough, and how many are not.

    Raises:
        DatasetError: none is.
    """
    every = [span for name in SPLITS if split in (name, "all") for span in source.spans(name)]
    found = [span for span in every if span.frames >= reach]
    if not found:
        longest = max((span.frames for span in every), default=0)
        if not every:
            raise DatasetError(f'{source.name} has no clip in split "{split}"', "give another --split")
        raise DatasetError(
            f"{source.name}: the longest clip has {longest} frames, a window needs {reach} "
            f'(no clip of {reach} frames in split "{split}")',
            f"give --frames {max(2, longest)} or fewer",
        )
    return found, len(every) - len(found)


def check_model(model: Model, source: ClipSource, samples: int) -> None:
    """Refuse clips that are not the kind that a model is given, and tries that would all be the same.

    Raises:
        ConfigError: size or guide differ, or a model that has one answer is asked for more.
    """
    config, sampler, name = model.info.config, model.sampler, model.info.name
    clip, wanted = config.clip, guides(config.method, config.task)
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


def given_clips(model: Model) -> bool:
    """Whether a model is given clips, perhaps beside making some from nothing."""
    return isinstance(model.sampler, Predicts | Converts)


def _channels(number: int) -> str:
    return f"{number} channel{'' if number == 1 else 's'}"
