"""A trained model as an object: what it can do depends on how it was trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from footage import __version__
from footage.config import ClipConfig
from footage.config.registry import USES
from footage.errors import ConfigError, nearest
from footage.generation import convert as conversion
from footage.generation.clip import Clip
from footage.generation.convert import ConversionOptions, FrameObserver
from footage.generation.rollout import draw_label, endless_frames, one_video
from footage.generation.timing import length_of, refuse, time_mapping
from footage.generation.upscale import UpscaleOptions, enlarged_clip
from footage.media.geometry import Fit, Size, parse_size
from footage.media.reader import Footage
from footage.models.base import (
    Converts,
    Encodes,
    Enlarges,
    Generates,
    Predicts,
    Sampler,
    Streams,
)
from footage.models.checkpoint import ModelInfo, load_model
from footage.models.device import has_bf16
from footage.models.generators.stream.sampler import check
from footage.models.requests import PLAIN, Duration, Sliders, TimeMapping, Timing, VideoRequest, read_sliders

PRETRAINED = Path(__file__).parent.parent / "pretrained"
"""Models that come with footage, a folder each."""


class Model:
    """A model folder, loaded: ready to generate, without data set or run.

    Args:
        folder: the model folder, a run folder that holds one, or the name of one that comes with footage.
        device: where to compute, such as `cpu` or `cuda`.

    Raises:
        ModelError: the folder is missing, damaged, tampered with, or made by a newer version.
    """

    def __init__(self, folder: Path | str, device: str = "cpu") -> None:
        self.folder = model_folder(folder)
        self.sampler: Sampler
        self.info: ModelInfo
        self.sampler, self.info = load_model(self.folder, device)

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes that `generate` takes; empty for an unconditional model."""
        return self.info.labels

    @property
    def generator(self) -> Generates:
        """The sampler, where the model makes clips from a seed.

        Raises:
            ConfigError: it is given a clip, and the remedy is another command.
        """
        if isinstance(self.sampler, Generates):
            return self.sampler
        raise self.unable("makes no clips from nothing")

    @property
    def verb(self) -> str:
        """The command that this model was made for."""
        return USES[self.info.config.method].verbs[0]

    def joins(self, frames: int) -> str:
        """Say how clips of this length are put together where the model alone cannot make them; else nothing."""
        length, generator = self.info.config.clip.frames, self.generator
        if generator.endless or frames <= length:
            return ""
        return (
            f"{self.info.name} makes {length} frames at once; longer clips are joined from its segments, blended over "
            f"{length - generator.hop} frames each. For clips without joins train with --clip.frames {frames}"
        )

    def generate(
        self,
        count: int = 1,
        *,
        frames: int | None = None,
        seconds: Duration | None = None,
        fps: float | None = None,
        label: str | None = None,
        to_label: str | None = None,
        seed: int = 0,
        to_seed: int | None = None,
        between: tuple[int, int] | None = None,
        sliders: Sliders | None = None,
        timing: Timing = PLAIN,
    ) -> Iterator[Clip]:
        """Yield clips. Clip i has seed `seed` + i, and is the same whatever else is generated beside it.

        Args:
            count: how many clips.
            frames: their length; None for one round of a loop, else for the model's own.
            seconds: their length as they play, such as 90, `90s` or `10:00`; instead of `frames`.
            fps: their rate when played; None for that of the training data. Models that stream make motion of the same
                speed at any rate; clips of the others become faster or slower.
            label: their class, or a mixture, such as `circle+square` or `circle:0.8+square:0.2`; None draws classes
                as often as the training data have them.
            to_label: class or mixture that each clip changes into.
            seed: seed of the first clip.
            to_seed: seed whose content the first clip changes into; the next one into that of the next seed.
            between: two seeds: the first clip begins with the first frame of the one and ends with that of the other,
                content and motion; the next clip goes between the next seeds. Of models that stream.
            sliders: how far each latent slider is moved, in standard deviations, such as `{1: 2.0, 3: -1.5}`; the first
                changes most. What they do is shown by `footage sliders`.
            timing: loops, slow motion, where to begin and so on, of models that stream.

        Raises:
            ConfigError: the model does not know the label, or cannot do it, or a number is out of range.
        """
        if between is not None:
            if to_seed is not None or seed not in (0, between[0]):
                raise ConfigError("between is given beside other seeds", "leave seed and to_seed out")
            seed, to_seed = between
        self._check(count=(count, 1), frames=(frames, 1), fps=(fps, 1e-3), seed=(seed, 0), to_seed=(to_seed, 0))
        known, generator = self.info.config.clip.frames, self.generator
        refuse(generator, self.info.name, timing, between=between is not None)
        mapping = self._mapping(timing, fps, between=between is not None)
        length = self.length(frames, seconds, fps, timing)
        if not (to_label is None and to_seed is None) and not generator.endless and length <= known:
            raise ConfigError(
                f"{self.info.name} makes clips of {known} frames, and changes from one to the next only",
                f"give --frames {2 * known} or more to see it change",
            )
        ends = [None if text is None else self.mixture(text) for text in (label, to_label)]  # complains now
        moved = self.moved(sliders)
        request = VideoRequest(seed, ends[0], to_seed, ends[1], length, tuple(moved.items()), mapping)
        if isinstance(generator, Streams):
            check(request, generator.shot)
        asked = {"label": label, "to_label": to_label, "fps": fps, **timing.given()}
        if moved:
            asked["sliders"] = {str(number): value for number, value in moved.items()}
        return (self._clip(request, i, asked, fps) for i in range(count))

    def length(
        self,
        frames: int | None = None,
        seconds: Duration | None = None,
        fps: float | None = None,
        timing: Timing = PLAIN,
    ) -> int:
        """Return how many frames a clip of `generate` has, asked with these arguments.

        Raises:
            ConfigError: both a number of frames and of seconds, or less than a frame, or more than can be timed.
        """
        mapping, rate = self._mapping(timing, fps), self.info.fps if fps is None else fps
        return length_of(mapping, frames=frames, duration=seconds, fps=rate, known=self.info.config.clip.frames)

    def _mapping(self, timing: Timing, fps: float | None, *, between: bool = False) -> TimeMapping:
        """Return the mapping of a video of `fps` frames a second, which models that stream alone regard."""
        played = fps if isinstance(self.sampler, Streams) else None
        return time_mapping(timing, self.info.fps, played=played, between=between)

    def stream(
        self,
        fps: float | None = None,
        *,
        seed: int = 0,
        label: str | None = None,
        sliders: Sliders | None = None,
        timing: Timing = PLAIN,
        chunk: int | None = None,
    ) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield the frames of one video for ever, uint8 (H, W, C) each, in constant memory.

        Args:
            fps: frames a second; None for those of the training data. Models that stream make motion of the same speed
                at any rate; the others know their own only.
            seed: of the video.
            label: its class, or a mixture, as in `generate`.
            sliders: how far each latent slider is moved, as in `generate`.
            timing: loops, slow motion, where to begin and so on, of models that stream.
            chunk: frames that a model that streams makes at once: fewer come sooner, more are made faster; None for as
                many as it was trained on.

        Raises:
            ConfigError: the model does not know the label, or cannot do it, or a number is out of range.
        """
        self._check(fps=(fps, 1e-3), seed=(seed, 0), chunk=(chunk, 1))
        generator, known = self.generator, self.info.fps
        refuse(generator, self.info.name, timing)
        if not isinstance(generator, Streams) and fps not in (None, known):
            remedy = f"give --fps {known:g}, or train a model that streams with --preset stream-64"
            raise ConfigError(f"fps is {fps:g}, and {self.info.name} knows the speed of its own frames only", remedy)
        if not isinstance(generator, Streams) and chunk is not None:
            raise ConfigError(
                f"chunk is {chunk}, and {self.info.name} makes as many frames at once as it was trained on",
                "leave --chunk out, or train a model that streams with --preset stream-64",
            )
        mapping = self._mapping(timing, fps)
        shares = self.mixture(self._label(label, seed)) if self.labels or label else None
        request = VideoRequest(seed, shares, sliders=tuple(self.moved(sliders).items()), time=mapping)
        if isinstance(generator, Streams):
            check(request, generator.shot)
        return endless_frames(generator, request, chunk)

    def _check(self, **numbers: tuple[float | None, float]) -> None:
        """Refuse numbers below what is the least; each is given with it.

        Raises:
            ConfigError: one is.
        """
        for name, (value, least) in numbers.items():
            if value is not None and not least <= value < float("inf"):
                raise ConfigError(f"{name} is {value}", f"give at least {least:g}")

    def moved(self, sliders: Sliders | None) -> dict[int, float]:
        """Return how far each latent slider is moved that is not at 0, by its number.

        Raises:
            ConfigError: it cannot be read, or the model has no such slider, or a value is out of range.
        """
        return read_sliders({} if sliders is None else sliders, self.generator.sliders, self.info.name)

    def _label(self, label: str | None, seed: int) -> str:
        """Return the label that was asked for; where there is none, one that is drawn by the seed."""
        return self.labels[draw_label(self.info.label_shares, seed)] if label is None else label

    def mixture(self, text: str) -> tuple[float, ...]:
        """Return the weight of each label that a text means: a label, or `a+b`, or `a:0.8+b:0.2`; they sum to 1.

        Raises:
            ConfigError: the model does not know a label, or a weight is no number above 0.
        """
        weights = dict.fromkeys(self.labels, 0.0)
        for part in [text] if text in weights else text.split("+"):
            name, _, share = (
                (part, "", "") if part in weights else part.rpartition(":") if ":" in part else (part, "", "")
            )
            if name not in weights:
                remedy = nearest(name, self.labels) if self.labels else "leave the label out: the model has none"
                raise ConfigError(f'{self.info.name} does not know the label "{name}"', remedy)
            try:
                weights[name] += float(share or 1)
            except ValueError:
                weights[name] = float("nan")
            if not 0 < weights[name] < float("inf"):
                raise ConfigError(f'the weight of label "{name}" is "{share}"', "give a number above 0, such as 0.5")
        total = sum(weights.values())
        return tuple(weight / total for weight in weights.values())

    def _clip(self, request: VideoRequest, number: int, asked: dict[str, Any], fps: float | None) -> Clip:
        """Return the clip that is `number` after a requested one, with what was asked for in its metadata."""
        request = replace(
            request, seed=request.seed + number, to_seed=None if request.to_seed is None else request.to_seed + number
        )
        if self.labels:
            label, to_label = asked["label"], asked["to_label"]
            if label is None and to_label is None and request.time.between:
                assert request.to_seed is not None
                to_label = self._label(None, request.to_seed)  # it ends as that seed begins, label included
            label = self._label(label, request.seed)
            asked = asked | {"label": label, "to_label": None if to_label == label else to_label}
            ends = [None if text is None else self.mixture(text) for text in (label, to_label)]
            request = replace(request, label=ends[0], to_label=ends[1])
        other = {"between": [request.seed, request.to_seed]} if request.time.between else {"to_seed": request.to_seed}
        metadata = {
            "made_with": f"footage {__version__}",
            "model": self.info.name,
            "weights_sha256": self.info.weights_sha256,
            "seed": request.seed,
            **{name: value for name, value in (asked | other).items() if value is not None},
        }
        return Clip(
            lambda: one_video(self.generator, request, request.frames), request.frames, fps or self.info.fps, metadata
        )

    def predict(
        self,
        clip: Path | str,
        frames: int | None = None,
        *,
        samples: int = 1,
        seed: int = 0,
        past: int | None = None,
        fit: Fit = "letterbox",
    ) -> Clip:
        """Continue a clip from its end; see `footage.generation.convert.predict`.

        Args:
            clip: a video, or a folder of pictures.
            frames: how many to predict; None for as many as the model learned to.
            samples: futures, side by side.
            seed: of the first future.
            past: frames of the clip that stand before; None for those that the model looks at.
            fit: how a picture of another shape is fitted in: letterbox, crop or stretch.
        """
        if not isinstance(self.sampler, Predicts):
            raise self.unable("continues no clips")
        length = self.info.config.clip.frames - self.sampler.past if frames is None else frames
        if length < 1:
            raise ConfigError(f"frames is {frames}", "give at least 1")
        return conversion.predict(
            self.sampler, self.info, Footage(Path(clip)), frames=length, samples=samples, seed=seed, past=past, fit=fit
        )

    def convert(
        self, clip: Path | str, how: ConversionOptions | None = None, watch: FrameObserver | None = None
    ) -> Clip:
        """Translate, or pack and unpack, a picture or a clip of any length.

        See `footage.generation.convert.convert`.
        """
        if not isinstance(self.sampler, Converts):
            raise self.unable("turns no clip into another")
        how = how or ConversionOptions()
        if how.frames is not None and how.frames < 1:
            raise ConfigError(f"frames is {how.frames}", "give at least 1")
        return conversion.convert(self.sampler, self.info, Footage(Path(clip)), how, watch)

    def enlarge(self, clip: Clip, shape: ClipConfig, size: str | None = None, fit: Fit = "letterbox") -> Clip:
        """Return a clip of a larger size: it is made, made larger and taken at the same time, in constant memory.

        Args:
            clip: what a model makes.
            shape: of its frames.
            size: 1280x720, a height such as 720p, or 2x; None for as many times as large as the model makes it.
            fit: how a picture of another shape is fitted in: letterbox, crop or stretch.

        Raises:
            ConfigError: the model makes nothing larger, or the size cannot be read.
            MediaError: the clip is as large already, or far too small.
        """
        if not isinstance(self.sampler, Enlarges):
            raise self.unable("makes no clips larger")
        source = Size(shape.height, shape.width)
        frame = parse_size(size, source, self.sampler.scale)
        working = UpscaleOptions(bf16=has_bf16(self.sampler.device.type))
        return enlarged_clip(self.sampler, self.info, clip, source, frame, fit, working)

    def interpolate(self, clip: Path | str, to: Path | str, steps: int = 8) -> list[Clip]:
        """Return clips on the way from one clip to another; see `footage.generation.convert.interpolate`."""
        if not isinstance(self.sampler, Encodes):
            raise self.unable("has no latent space of clips")
        return conversion.interpolate(self.sampler, self.info, Footage(Path(clip)), Footage(Path(to)), steps)

    def embed(self, clip: Path | str) -> npt.NDArray[np.float32]:
        """Return a clip's place in latent space, (D,); see `footage.generation.convert.embed`."""
        if not isinstance(self.sampler, Encodes):
            raise self.unable("has no latent space of clips")
        return conversion.embed(self.sampler, self.info, Footage(Path(clip)))

    def unable(self, what: str) -> ConfigError:
        """Return the error for what the model cannot do; the remedy is the command for what it can."""
        does = USES[self.info.config.method].does
        return ConfigError(f"{self.info.name} {what}: it {does}", f"use footage {self.verb}")


def model_folder(folder: Path | str) -> Path:
    """Return the model folder that a path means: itself, the one inside a run, or one of `pretrained` by its name."""
    path = Path(folder)
    places = [path, path / "model", *([PRETRAINED / path] if len(path.parts) == 1 else [])]
    return next((place for place in places if (place / "model.json").exists()), path)


def pretrained() -> list[str]:
    """Return the names of the models that come with footage."""
    return sorted(path.parent.name for path in PRETRAINED.glob("*/model.json"))
