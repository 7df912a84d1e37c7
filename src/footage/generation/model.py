"""A trained model as an object: what it can do depends on how it was trained."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from footage import __version__, files
from footage.config import ClipConfig
from footage.config.strict import checked_methods, fitting, method_arguments_of
from footage.config.words import check_length, unknown_words, words_of
from footage.errors import ConfigError, counted, nearest
from footage.generation import convert as conversions
from footage.generation import speak as speaking
from footage.generation.best import BestClips
from footage.generation.clip import Clip
from footage.generation.convert import ConversionOptions, FrameObserver
from footage.generation.novelty import TRIES, NovelClips, NoveltyCheck, open_training_clips
from footage.generation.rollout import draw_caption, draw_label, endless_frames, one_video, one_volume
from footage.generation.upscale import UpscaleOptions, enlarged_clip, shrunk_clip
from footage.library.additions import ClipDetails, Parent
from footage.library.library import Library
from footage.library.provenance import ModelCard
from footage.media.encode import read_metadata
from footage.media.geometry import Fit, Size, fitted, parse_size
from footage.media.reader import Footage
from footage.media.sound import TRACK_RATE, channel_chunks
from footage.models.base import Converts, Encodes, Enlarges, Generates, Predicts, Sampler, Speaks, Streams
from footage.models.card import ModelInfo, find_upscaler, model_folder, privacy_text
from footage.models.checkpoint import load_model
from footage.models.device import find_device, has_bf16
from footage.models.generators.stream.sampler import check
from footage.models.reactions import Reaction
from footage.models.requests import (
    PLAIN,
    Duration,
    GenerateRequest,
    Sliders,
    StreamRequest,
    Timing,
    VideoRequest,
    loop_frames,
    read_sliders,
)
from footage.models.text.conditioning import ReadsText

COMMONEST = 12
"""Words of captions that are named where a word is unknown, and none is spelt like it."""


@checked_methods
class Model:
    """A model folder, loaded: ready to generate, without data set or run.

    Args:
        folder: the model folder, a run folder that holds one, or the name of one that comes with footage.
        device: where to compute, such as `cpu` or `cuda`; `auto` for the best there is.

    Raises:
        ModelError: the folder is missing, damaged, tampered with, or made by a newer version.
    """

    def __init__(self, folder: Path | str, device: str = "cpu") -> None:
        self.folder = model_folder(fitting(Path, folder, "folder"))
        self.sampler: Sampler
        self.info: ModelInfo
        self.sampler, self.info = load_model(self.folder, find_device(device).device)

    def __repr__(self) -> str:
        clip, labels = self.info.config.clip, ", ".join(self.labels) or "no labels"
        return f"<Model {self.info.name}: {clip.frames} × {clip.width}×{clip.height}, {self.info.fps:g} fps; {labels}>"

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
        return self.info.use.verbs[0]

    def joins(self, frames: int) -> str:
        """Say how clips of this length are put together where the model alone cannot make them; else nothing."""
        length, generator = self.info.config.clip.frames, self.generator
        if generator.endless or frames <= length:
            return ""
        return (
            f"{self.info.name} makes {length} frames at once; longer clips are joined from its segments, blended over "
            f"{length - generator.hop} frames each. For clips without joins train with --clip.frames {frames}"
        )

    @method_arguments_of(GenerateRequest)
    def generate(self, request: GenerateRequest) -> Iterator[Clip]:
        """Yield clips. Clip i has seed `seed` + i, and is the same whatever else is generated beside it.

        With `novel` they are `footage.generation.novelty.NovelClips`, with `best` `footage.generation.best.BestClips`,
        which know which seeds were left out.

        Raises:
            ConfigError: the model does not know the label, or cannot do it, or a number is out of range.
            DatasetError: what clips are to be new beside is missing, or too little to tell.
            LibraryError: the taste that is asked for is not learned yet, or there is no such library.
        """
        return self.clips(request)

    def clips(
        self,
        request: GenerateRequest,
        tell: Callable[[str], object] = warnings.warn,
        watch: Callable[[], object] = lambda: None,
    ) -> Iterator[Clip]:
        """Yield the clips of a request, and tell what else there is to say; see `generate`.

        `watch` is called while training clips are looked at; what it raises ends that.
        """
        generator, name, known = self.generator, self.info.name, self.info.config.clip.frames
        length = request.length(self.info)
        goes = request.to_label is not None or request.to_text is not None
        changes = goes or request.last_seed is not None
        if changes and not generator.endless and length <= known:
            raise ConfigError(
                f"{name} makes clips of {counted(known, 'frame')}, and changes from one to the next only",
                f"give --frames {2 * known} or more to see it change",
            )
        begin = self.condition(request.label, request.text, tell)  # complains now
        end = self.condition(request.to_label, request.to_text, tell) if goes else None
        moved, time, react = self.moved(request.sliders), request.mapping(self.info), self._reaction(request)
        if react is not None and react.link("content") is not None and request.last_seed is not None:
            problem = "content follows chroma, or changes into that of another seed"
            raise ConfigError(problem, "leave one of the two out")
        video = VideoRequest(request.seed, begin, request.last_seed, end, length, tuple(moved.items()), time, react)
        for note in [] if react is None else react.notes:
            tell(note)
        if time.loop and length % (once := loop_frames(time)):
            tell(
                f"{length} frames are {length / once:.3g} rounds of the loop: a player that repeats the clip will jump"
            )
        if isinstance(generator, Streams):
            check(video, generator.shot)
        asked = {"label": request.label, "to_label": request.to_label, "fps": request.fps, **request.timing.given()}
        asked |= {"text": request.text, "to_text": request.to_text}
        if request.audio is not None:
            asked |= {"audio": Path(request.audio).name, "react": request.react, "bpm_lock": request.bpm_lock}
        if moved:
            asked["sliders"] = {str(number): value for number, value in moved.items()}
        tries = 1 if request.novel is None or request.best is not None else TRIES
        audio = request.audio
        clips = (self._clip(video, i, asked, request.fps, audio) for i in range(tries * request.candidates))
        if request.best is not None:
            return BestClips.asked(request, clips, self.folder, self.info, tell, watch)
        if request.novel is None:
            return clips
        source = open_training_clips(request.novel, self.folder, self.info, tell)
        return NovelClips(clips, NoveltyCheck(source, self.info, length, time.rate, watch), request.count, tell)

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
        return GenerateRequest(frames=frames, seconds=seconds, fps=fps, timing=timing).length(self.info)

    @method_arguments_of(StreamRequest)
    def stream(self, request: StreamRequest) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield the frames of one video for ever, uint8 (H, W, C) each, in constant memory.

        Raises:
            ConfigError: the model does not know the label, or cannot do it, or a number is out of range.
        """
        return self.frames(request)

    def frames(self, request: StreamRequest) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield the frames of a request; see `stream`."""
        generator, info, fps, chunk = self.generator, self.info, request.fps, request.chunk
        time = request.mapping(info)
        if not isinstance(generator, Streams) and fps not in (None, info.fps):
            remedy = f"give --fps {info.fps:g}, or train a model that streams with --preset stream-64"
            raise ConfigError(f"fps is {fps:g}, and {info.name} knows the speed of its own frames only", remedy)
        if not isinstance(generator, Streams) and chunk is not None:
            raise ConfigError(
                f"chunk is {chunk}, and {info.name} makes as many frames at once as it was trained on",
                "leave --chunk out, or train a model that streams with --preset stream-64",
            )
        label, text = request.label, request.text
        label = self._label(label, request.seed) if self.labels else label
        text = self._text(text, request.seed) if self.info.reads_text else text
        sliders, react = tuple(self.moved(request.sliders).items()), self._reaction(request)
        video = VideoRequest(request.seed, self.condition(label, text), sliders=sliders, time=time, react=react)
        if isinstance(generator, Streams):
            check(video, generator.shot)
        return endless_frames(generator, video, chunk)

    def moved(self, sliders: Sliders | None) -> dict[int, float]:
        """Return how far each latent slider is moved that is not at 0, by its number.

        Raises:
            ConfigError: it cannot be read, or the model has no such slider, or a value is out of range.
        """
        return read_sliders({} if sliders is None else sliders, self.generator.sliders, self.info.name)

    def _label(self, label: str | None, seed: int) -> str:
        """Return the label that was asked for; where there is none, one that is drawn by the seed."""
        return self.labels[draw_label(self.info.label_shares, seed)] if label is None else label

    def _text(self, text: str | None, seed: int) -> str:
        """Return the text that was asked for; where there is none, a caption that is drawn by the seed."""
        return draw_caption(self.info.text.captions, seed) if text is None else text

    def condition(
        self, label: str | None, text: str | None, tell: Callable[[str], object] = lambda said: None
    ) -> tuple[float, ...] | None:
        """Return what networks are told of a label or mixture, and of a text: weights over labels, numbers behind them.

        What is not given counts for nothing; None where the model is told nothing. Words of the text that stood in no
        caption that the model learned from are told of, with known ones that are spelt alike, else the commonest.

        Raises:
            ConfigError: the model does not know the label, or reads no text, or not as much.
        """
        self.info.check_text(text)
        weights = () if label is None and not self.labels else self.mixture(label) if label is not None else None
        if not self.info.reads_text:
            return weights or None
        assert isinstance(self.sampler, ReadsText)
        if text:
            check_length(text, self.info.config.text, self.info.name)
            words, captions = self.info.text.words, [words_of(caption) for caption in self.info.text.captions]
            for word, near in unknown_words(text, words).items():
                known = f"; known words spelt like it: {', '.join(near)}" if near else ""
                if not near:  # those that are in every caption tell nothing
                    telling = [w for w in words if len(w) > 2 and 2 * sum(w in one for one in captions) < len(captions)]
                    common = ", ".join(telling[:COMMONEST])
                    known = f"; words that most often do: {common}" if common else ""
                tell(f'"{word}" stands in no caption that {self.info.name} learned from{known}')
        return (*(weights or (0.0,) * len(self.labels)), *self.sampler.text.weights(text or ""))

    def mixture(self, text: str) -> tuple[float, ...]:
        """Return the weight of each label that a text means: a label, or `a+b`, or `a:0.8+b:0.2`; they sum to 1.

        Raises:
            ConfigError: the model does not know a label, or a weight is no number above 0.
        """
        weights = dict.fromkeys(self.labels, 0.0)
        for part in [text] if text in weights else text.split("+"):
            name, share = part, ""
            if part not in weights and ":" in part:
                name, _, share = part.rpartition(":")
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

    def _reaction(self, request: GenerateRequest | StreamRequest) -> Reaction | None:
        """Return how the videos of a request follow sound; refuse sliders that the model has not."""
        react = request.reaction(self.info)
        if react is not None:
            self.moved({link.slider: 0.0 for link in react.links if link.slider})
        return react

    def _clip(
        self, video: VideoRequest, number: int, asked: dict[str, Any], fps: float | None, audio: str | None = None
    ) -> Clip:
        """Return the clip that is `number` after the first one, with what was asked for in its metadata."""
        to_seed = None if video.to_seed is None else video.to_seed + number
        video = replace(video, seed=video.seed + number, to_seed=to_seed)
        drawn: dict[str, Callable[[str | None, int], str]] = {}
        if self.labels:
            drawn["label"] = self._label
        if self.info.reads_text:
            drawn["text"] = self._text
        for name, draw in drawn.items():
            first, last = asked[name], asked[f"to_{name}"]
            if first is None and last is None and video.time.between:
                assert to_seed is not None
                last = draw(None, to_seed)  # it ends as that seed begins, label and text included
            first = draw(first, video.seed)
            asked = asked | {name: first, f"to_{name}": None if last == first else last}
        if drawn:
            label, text, to_label, to_text = (asked[name] for name in ("label", "text", "to_label", "to_text"))
            goes = to_label is not None or to_text is not None
            end = self.condition(to_label or label, text if to_text is None else to_text) if goes else None
            video = replace(video, label=self.condition(label, text), to_label=end)
        other = {"between": [video.seed, to_seed]} if video.time.between else {"to_seed": to_seed}
        metadata = {
            "made_with": f"footage {__version__}",
            "model": self.info.name,
            "weights_sha256": self.info.weights_sha256,
            "dataset_hash": self.info.dataset_hash,
            **({"privacy": privacy_text(guarantee)} if (guarantee := self.info.extra.get("privacy")) else {}),
            "seed": video.seed,
            **{name: value for name, value in (asked | other).items() if value is not None},
        }
        fps = fps or self.info.fps
        sound = None if audio is None else partial(channel_chunks, audio, TRACK_RATE, "stereo")
        clip = Clip(lambda: one_video(self.generator, video, video.frames), video.frames, fps, metadata, sound)
        if self.info.volume is None:
            return clip
        deep = partial(one_volume, self.generator, video, video.frames)
        return replace(clip, deep=deep, volume=self.info.volume)

    def predict(
        self,
        clip: Path | str,
        frames: int | None = None,
        *,
        samples: int = 1,
        seed: int = 0,
        past: int | None = None,
        fit: Fit = "letterbox",
        text: str | None = None,
        tell: Callable[[str], object] = warnings.warn,
    ) -> Clip:
        """Continue a clip from its end; see `footage.generation.convert.predict`.

        Args:
            clip: a video, or a folder of pictures.
            frames: how many to predict; None for as many as the model learned to.
            samples: futures, side by side.
            seed: of the first future.
            past: frames of the clip that stand before; None for those that the model looks at.
            fit: how a picture of another shape is fitted in: letterbox, crop or stretch.
            text: what happens, in words, where the model was trained on captions.
            tell: is told of words that it has not learned.
        """
        if not isinstance(self.sampler, Predicts):
            raise self.unable("continues no clips")
        length = self.info.config.clip.frames - self.sampler.past if frames is None else frames
        if length < 1:
            raise ConfigError(f"frames is {frames}", "give at least 1")
        made = conversions.predict(
            self.sampler,
            self.info,
            Footage(Path(clip)),
            frames=length,
            samples=samples,
            seed=seed,
            past=past,
            fit=fit,
            told=self.condition(None, text, tell),
        )
        return made if text is None else replace(made, metadata=made.metadata | {"text": text})

    def convert(
        self,
        clip: Path | str,
        options: ConversionOptions | None = None,
        observe: FrameObserver | None = None,
        tell: Callable[[str], object] = warnings.warn,
        **former: Any,
    ) -> Clip:
        """Translate, or pack and unpack, a picture or a clip of any length.

        `observe` is shown the source and its conversion, frame for frame: (1, C, t, H, W) each; `tell` is told of words
        that the model has not learned. `how` and `watch`, the former names of `options` and `observe`, are taken for
        one more version.

        Raises:
            ConfigError: the model turns no clip into another, or a number is out of range.
            MediaError: the clip cannot be read.
        """
        if former:
            if not former.keys() <= {"how", "watch"}:
                raise TypeError(f"convert() takes no {' or '.join(former)}")
            warnings.warn("how and watch are called options and observe now", DeprecationWarning, stacklevel=2)
            options, observe = former.get("how", options), former.get("watch", observe)
        if not isinstance(self.sampler, Converts):
            raise self.unable("turns no clip into another")
        options = options or ConversionOptions()
        if self.info.volume is not None:
            return conversions.convert_volume(self.sampler, self.info, Path(clip), options, observe)
        if options.frames is not None and options.frames < 1:
            raise ConfigError(f"frames is {options.frames}", "give at least 1")
        told = self.condition(None, options.text, tell)
        made = conversions.convert(self.sampler, self.info, Footage(Path(clip)), options, observe, told)
        return made if options.text is None else replace(made, metadata=made.metadata | {"text": options.text})

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
        options = UpscaleOptions(bf16=has_bf16(self.sampler.device.type))
        return enlarged_clip(self.sampler, self.info, clip, source, frame, fit, options)

    def resizer(
        self,
        size: str | None = None,
        fit: Fit = "letterbox",
        *,
        upscale: Path | str | None = None,
        tell: Callable[[str], object] = lambda text: None,
    ) -> Callable[[Clip], Clip]:
        """Return what brings clips of this model to a size, while they are made and taken, in constant memory.

        Where they are to grow and no upscaler is given, one is looked for; see `footage.models.card.find_upscaler`.

        Args:
            size: 1280x720, a height such as 720p, or 2x; None for as many times as large as the upscaler makes them.
            fit: how a picture of another shape is fitted in: letterbox, crop or stretch.
            upscale: a model folder of an upscaler, or a run.
            tell: is told which upscaler was taken.

        Raises:
            ConfigError: the size cannot be read, or there is no upscaler, or it makes nothing larger.
            ModelError: the upscaler is damaged.
            MediaError: the clips are to be far too large, or an upscaler is given and they are as large already.
        """
        shape = self.info.config.clip
        own = Size(shape.height, shape.width)
        if upscale is None:
            frame = parse_size(size, own, 1)
            picture = fitted(own, frame, fit)
            if frame == own:
                return lambda clip: clip
            if picture.height <= own.height and picture.width <= own.width:
                return lambda clip: shrunk_clip(clip, own, frame, fit)
            upscale = find_upscaler(self.folder, self.info, quick=self.sampler.device.type == "cpu")
        larger = Model(upscale, self.sampler.device.type)
        tell(f"from {own} made larger by {larger.info.name}, trained on {larger.info.dataset}: {larger.folder}")
        return lambda clip: larger.enlarge(clip, shape, size, fit)

    @property
    def speaker(self) -> Speaks:
        """The sampler, where the model lets stills speak.

        Raises:
            ConfigError: it does not, and the remedy is another command.
        """
        if isinstance(self.sampler, Speaks):
            return self.sampler
        raise self.unable("lets nothing speak")

    def speak(
        self, still: Path | str, audio: Path | str, *, seed: int = 0, begin: float = 0.0, fit: Fit = "crop"
    ) -> Clip:
        """Let a still speak a sound, which is heard in the clip; see `footage.generation.speak.speak`.

        Args:
            still: a picture, or a video, of which the first frame is taken.
            audio: a file of sound, or a video with sound.
            seed: of how head and eyes move.
            begin: seconds of the sound that are left out at its beginning; what follows is the same frame by frame.
            fit: how a picture of another shape is fitted in: letterbox, crop or stretch.
        """
        picture = Footage(Path(still))
        return speaking.speak(self.speaker, self.info, picture, Path(audio), seed=seed, begin=begin, fit=fit)

    def interpolate(self, clip: Path | str, to: Path | str, steps: int = 8) -> list[Clip]:
        """Return clips on the way from one clip to another; see `footage.generation.convert.interpolate`."""
        if not isinstance(self.sampler, Encodes):
            raise self.unable("has no latent space of clips")
        return conversions.interpolate(self.sampler, self.info, Footage(Path(clip)), Footage(Path(to)), steps)

    def embed(self, clip: Path | str) -> npt.NDArray[np.float32]:
        """Return a clip's place in latent space, (D,); see `footage.generation.convert.embed`."""
        if not isinstance(self.sampler, Encodes):
            raise self.unable("has no latent space of clips")
        return conversions.embed(self.sampler, self.info, Footage(Path(clip)))

    def unable(self, what: str) -> ConfigError:
        """Return the error for what the model cannot do; the remedy is the command for what it can."""
        return ConfigError(f"{self.info.name} {what}: it {self.info.use.does}", f"use footage {self.verb}")

    @property
    def library_card(self) -> ModelCard:
        """The card that a library keeps of the model, for the provenance of clips."""
        info = self.info
        return ModelCard(
            digest=info.weights_sha256,
            name=info.name,
            folder=str(self.folder.resolve()),
            preset=info.config.preset,
            dataset=info.dataset,
            dataset_digest=info.dataset_hash,
            clips_seen=info.clips_seen,
        )

    def file_clips(
        self,
        paths: Sequence[Path],
        folder: Path,
        parents: Mapping[str, Path] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> list[Path]:
        """File clips in a library, with the model that made them and the clips that they were made from.

        Args:
            paths: the clips' files.
            folder: the library; it is made where it is missing.
            parents: files that the clips were made from, by relation, such as `source`.
            metadata: how the clips were made, for formats that cannot say it.

        Returns:
            Their files in the library.
        """
        parents = {relation: fitting(Path, path, relation) for relation, path in (parents or {}).items()}
        known = tuple(
            Parent(files.file_digest(path), str(path), relation) for relation, path in parents.items() if path.is_file()
        )
        source = ", ".join(str(path.absolute()) for path in parents.values()) or self.info.name
        filed: list[Path] = []
        with Library(folder) as library:
            library.register(self.library_card)
            for path in paths:
                fps = read_metadata(path).get("fps", self.info.fps) if path.is_dir() else None
                title = f"{self.info.name} {int(path.stem)}" if path.stem.isdecimal() else None  # a seed alone
                details = ClipDetails(title=title, source=source, parents=known, fps=fps, made=metadata)
                filed.append(library.path(library.add(path, details).id))
        return filed
