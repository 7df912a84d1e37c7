"""Plan of a training: data and preset matched, batch size found; and a preset recommended for a data set."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from footage.config import Config
from footage.config.presets import PRESETS, options, suited_preset, suited_volume_preset
from footage.config.words import words_of
from footage.data.clips import ONE_BY_ONE, ClipSource, Loader, PoissonLoader, is_built_in, named_one_by_one
from footage.data.crops import SmallClips, VideoCrops
from footage.data.ingest.sources import HasSize, suited_size
from footage.data.pairs import open_source
from footage.data.store import Dataset
from footage.errors import ConfigError, FootageError, counted
from footage.machines.remote import absolute
from footage.media.geometry import Size
from footage.models.device import ComputeDevice, find_device
from footage.models.generators.cascade import CascadeConfig
from footage.models.text.frozen import open_encoder
from footage.training.cost import Needs, fit_batch, measure, memory_free
from footage.training.run_folder import DataNote

DEFAULT_CLIPS = 200_000
"""How many clips a run sees when nothing is said."""

PRIVATE_PART, PRIVATE_MOST = 16, 256
"""Of the sources, one in so many is expected in a batch of a private training, and at most so many, where nothing is
said: the noise is the same for any number."""

LEFT_OUT = 3
"""Videos that are left out and told of, at most."""

PLENTY = 100_000
"""Training clips after which a small model shows what it can do."""


@dataclass(frozen=True)
class TrainingPlan:
    """A training that is ready to begin."""

    config: Config
    """The resolved configuration, batch size included."""
    source: ClipSource
    note: DataNote
    place: ComputeDevice
    needs: Needs
    usable: int
    """Training clips that are long enough."""
    total: int
    """All training clips."""

    @property
    def batch_size(self) -> int:
        """Clips in a step."""
        assert self.config.train.batch_size is not None
        return self.config.train.batch_size

    def shared_by(self, processes: int, found: bool) -> TrainingPlan:
        """Return the plan of a training on processes that share each batch evenly: one that was found is made smaller.

        Raises:
            ConfigError: the batch size was given, and cannot be shared so.
        """
        even = max(1, self.batch_size // processes) * processes
        if self.batch_size == even:
            return self
        if not found:
            raise ConfigError(
                f"train.batch_size is {self.batch_size}, which {processes} processes cannot share evenly",
                f"give --train.batch-size {even}",
            )
        train = dataclasses.replace(self.config.train, batch_size=even)
        return dataclasses.replace(self, config=dataclasses.replace(self.config, train=train))

    @property
    def training_source(self) -> ClipSource:
        """What training reads: the source itself, or its clips made small with crops of their frames beside them."""
        net, clip = self.config.net, self.config.clip
        if not isinstance(net, CascadeConfig):
            return self.source
        return SmallClips(self.source, net.scale, net.read_clip(clip), net.detail_crop)

    def memory_gib(self) -> float:
        return self.needs.bytes(self.batch_size) / 2**30

    def clips_per_second(self) -> float:
        """Return the measured rate of training steps, or 0 where it was not measured."""
        return self.needs.timed_batch / self.needs.step_seconds if self.needs.step_seconds else 0.0

    def conditions(self, nothing: str) -> str:
        """Return in words what the model is conditioned on, and why not on labels where there are some."""
        labels = [span.label for span in self.source.spans("train") if span.label >= 0]
        asked = self.config.train.labels == "auto" and self.config.takes_labels and len(labels) > 1
        if asked and not self.note.labels and named_one_by_one(labels):
            return f"{nothing}: {ONE_BY_ONE}"
        return ", ".join(self.note.labels) or nothing

    @property
    def told(self) -> str:
        """What captions there are, in words, and whether the model is told them."""
        spans, text = self.source.spans("train"), self.config.text
        texts = {caption for span in spans for caption in span.captions}
        if not texts:
            return "none"
        there = sum(bool(span.captions) for span in spans)
        facts = f"{len(texts):,} of {counted(there, 'clip')}"
        if not text.used:
            return f"{facts}, not used (--text.encoder own uses them)"
        long = 0 if text.frozen else sum(len(words_of(caption)) > text.words for caption in texts)
        cut = f"; of {long:,} the first {text.words} words are read (--text.words)" if long else ""
        return f"{facts}, by the encoder {text.encoder}{cut}"

    def figures(self) -> dict[str, Any]:
        """Return what a program that follows a dry run is told of it, in plain values."""
        return {
            "preset": self.config.preset,
            "clips_per_second": self.clips_per_second(),
            "memory_gib": self.memory_gib(),
            "memory_free_gib": memory_free(self.place.device) / 2**30,
            "batch_size": self.batch_size,
            "device": self.place.device,
            "labels": list(self.note.labels),
            "usable": self.usable,
            "total": self.total,
            "weights": sum(self.needs.parameters.values()),
        }

    def table(self, minutes: float | None = None, clips: int = DEFAULT_CLIPS) -> Table:
        """Return what a training is, for a terminal, with what its minutes, or else its clips, come to."""
        clip = self.config.clip
        rate = self.clips_per_second()
        rows = {
            "preset": self.config.preset,
            "data": f"{self.note.name}: {self.usable:,} of "
            f"{counted(self.total, 'training clip is', 'training clips are')} long enough",
            "labels": self.conditions("not used"),
            "captions": self.told,
            "clips": f"B × {clip.channels} × {clip.frames} × {clip.height} × {clip.width} (C T H W), "
            f"{self.source.fps:g} fps",
            **{f"weights, {name}": f"{count:,}" for name, count in self.needs.parameters.items()},
            "device": f"{self.place.device}, {self.place.precision}",
            "batch size": f"{self.batch_size}",
            "memory": f"about {self.memory_gib():.1f} GiB; {memory_free(self.place.device) / 2**30:.1f} GiB are free"
            if self.needs.clip_bytes
            else f"{self.memory_gib():.1f} GiB for weights and what belongs to them; what a step takes is not tried",
        }
        left_out = self.source.left_out if isinstance(self.source, VideoCrops) else {}
        for number, (name, reason) in enumerate(left_out.items()):
            if number == LEFT_OUT:
                rows["and"] = f"{len(left_out) - number} more are left out"
                break
            rows[f"left out {number + 1}"] = f"{name}: {reason}"
        if rate:
            timed = f"{counted(clips, 'clip')} in {counted(round(clips / rate / 60), 'minute')}"
            if minutes is not None:
                timed = f"about {counted(round(60 * minutes * rate), 'clip')} in {counted(minutes, 'minute')}"
            rows["speed"] = f"{rate:.1f} clips/s measured here; {timed}"
        table = Table(show_header=False, box=None, pad_edge=False)
        for name, value in rows.items():
            table.add_row(Text(name, style="dim"), value)
        return table


def match(config: Config, source: ClipSource, begun: Sequence[str] = ()) -> tuple[Config, tuple[str, ...]]:
    """Match a configuration with the data: take over grey or colour, check the size, decide on labels.

    The labels are those that occur among the training clips that are long enough. Where most of them stand for one clip
    each, `auto` uses none, unless they are those that the run has `begun` with.

    Raises:
        ConfigError: the size differs, or labels are asked for and not there.
    """
    height, width, channels = source.shape
    clip = config.clip
    if (height, width) != (clip.height, clip.width):
        raise ConfigError(
            f"{source.name} has frames of {width}×{height}, preset {config.preset} makes {clip.width}×{clip.height}",
            f"ingest again with --width {clip.width} --height {clip.height}, "
            f"or train with --clip.width {width} --clip.height {height}",
        )
    config = match_text(match_guide(config, source), source)
    if channels - source.guides != clip.channels:
        config = dataclasses.replace(config, clip=dataclasses.replace(clip, channels=channels - source.guides))
    spans = source.spans("train")
    spans = [span for span in spans if span.frames >= clip.frames] or spans
    missing = sum(span.label < 0 for span in spans)
    classes = {span.label for span in spans if span.label >= 0}
    if config.train.labels == "yes" and (missing or not classes):
        raise ConfigError(
            f"{missing} of {counted(len(spans), 'training clip')} of {source.name} without a label",
            "leave out --train.labels yes, or give every clip a label and ingest again",
        )
    if config.train.labels == "yes" and not config.takes_labels:
        raise ConfigError(
            f"train.labels is yes, and {config.preset} takes no labels: it is given clips", "leave it out"
        )
    names = tuple(name for number, name in enumerate(source.labels) if number in classes)
    labelled = config.takes_labels and not config.privacy.used  # how often each label stands in the data is kept
    wanted = config.train.labels == "auto" and labelled and not missing and len(classes) > 1
    wanted = wanted and (names == tuple(begun) or not named_one_by_one(span.label for span in spans))
    return config, names if config.train.labels == "yes" or wanted else ()


def match_text(config: Config, source: ClipSource) -> Config:
    """Match captions with the data: there have to be some, and a frozen encoder says how long its vectors are.

    Raises:
        ConfigError: captions are to be used, and there are none, or not two that differ; or the encoder is not there.
        ModelError: the encoder's folder is none.
    """
    text = config.text
    if not text.used:
        return config
    captions = {caption for span in source.spans("train") for caption in span.captions}
    if len(captions) < 2:
        what = "no captions" if not captions else "the same caption for every clip"
        raise ConfigError(
            f"text.encoder is {text.encoder}, and {source.name} has {what}",
            "put clip.txt beside each clip.mp4, or a column caption into the table of --labels, and ingest again",
        )
    if not text.frozen:
        return config
    encoder = open_encoder(text.encoder)
    return dataclasses.replace(config, text=dataclasses.replace(text, size=encoder.size, digest=encoder.digest))


def match_guide(config: Config, source: ClipSource) -> Config:
    """Match what a translator is given with the data: clips of another data set, or something made of each clip.

    Raises:
        ConfigError: there are such clips and no use for them, or the other way round.
    """
    wanted = config.method == "translate" and config.task.source == "pairs"
    if wanted and not source.guides:
        raise ConfigError(
            f"{config.preset} makes clips from those of another data set, and there is none",
            "give --guide DATASET, or --task.source edges",
        )
    if config.net.hears and source.guides:
        return config
    if source.guides and config.method != "translate":
        raise ConfigError(
            f"{config.preset} is not given clips to translate", "leave --guide out, or train a translator"
        )
    if source.guides and not wanted:
        raise ConfigError(
            f"task.source is {config.task.source}, which is made of the clips themselves, and a guide is given as well",
            "give --task.source pairs, or leave --guide out",
        )
    if not wanted:
        return config
    return dataclasses.replace(config, task=dataclasses.replace(config.task, source_channels=source.guides))


def prepare(
    data: Path | str,
    config: Config,
    *,
    timed: bool,
    tried: bool = True,
    guide: Path | str | None = None,
    begun: Sequence[str] = (),
) -> TrainingPlan:
    """Resolve a request without beginning anything.

    With `timed` the time of a step is measured as well; where the batch size is given, even a step of one clip need not
    be `tried`, whose whole networks may not fit the device. `guide` is the data set that a translator of pairs makes
    the clips of `data` from, `begun` are the labels that the run has begun with.
    """
    source = open_source(data, config.clip, guide, crops=config.net.crops, hears=config.net.hears)
    config, labels = match(config, source, begun)
    spans = source.spans("train")
    loader = Loader(source, "train", frames=config.clip.frames, batch_size=1, seed=0)  # complains of short clips
    if config.privacy.used and config.train.batch_size is None:
        sampled = PoissonLoader(source, frames=config.clip.frames, batch_size=1, secret=0, unit=config.privacy.unit)
        size = max(1, min(PRIVATE_MOST, len(sampled.groups) // PRIVATE_PART))
        config = dataclasses.replace(config, train=dataclasses.replace(config.train, batch_size=size))
    place = find_device(config.train.device, config.train.precision)
    needs = measure(config, len(labels), place, tried=tried or config.train.batch_size is None)
    batch_size = fit_batch(config, needs, place)
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, batch_size=batch_size))
    if timed:
        needs = measure(config, len(labels), place, timed_batch=batch_size)
    data_path = str(data) if is_built_in(data) else absolute(data)
    guide_path = None if guide is None else absolute(guide)
    note = DataNote(data_path, source.name, source.content_hash, labels, guide_path)
    usable = len({unit.span.index for unit in loader.units})
    return TrainingPlan(config, source, note, place, needs, usable, len(spans))


@dataclass(frozen=True)
class SizeClass:
    """A longest side of frames, and what training at it takes."""

    longest: int
    """In pixels."""
    clips: int
    """Training clips to see before it is worth its arithmetic."""
    rates: dict[str, float]
    """Training clips a second, by device; of others that of a CPU counts."""


SIZES = (
    SizeClass(80, 0, {"cpu": 20.0, "cuda": 600.0}),
    SizeClass(256, 12_000, {"cpu": 10.0, "cuda": 370.0}),
    SizeClass(384, 12_000, {"cpu": 6.0, "cuda": 300.0}),
    SizeClass(512, 36_000, {"cpu": 10.0, "cuda": 370.0}),
    SizeClass(768, 100_000, {"cpu": 5.0, "cuda": 300.0}),
    SizeClass(1280, 250_000, {"cpu": 1.0, "cuda": 170.0}),
)
"""What `choose_size` chooses from. A quarter or an eighth of each side is one that small pictures halve well from.

Rates of one core of an AMD EPYC and of an H200. Measured: 512×384 on both, small pictures of 128×96 on the H200; all
others are reckoned from single steps on a busy machine, or from pixels. The clips are our choice: the decoder's critic
begins after 10,000, the burn-in ends at 30,000, and what is larger takes longer to look right.
"""


def choose_size(
    sources: Sequence[HasSize], device: str, *, minutes: float | None = None, clips: int | None = None
) -> tuple[Size, str]:
    """Return the size for videos and the time to train on them, and why, as a part of a sentence.

    The longest side is the largest of `SIZES` that the sources have and the time is enough for; sources below 256
    pixels keep their size, unless time is short.

    Args:
        sources: sizes as displayed, and durations.
        device: where training is to run.
        minutes: minutes to train; None for no limit.
        clips: training clips to see; `DEFAULT_CLIPS` where nothing is said.

    Raises:
        ConfigError: no source tells its size, or all are too small.
    """
    if minutes is None and clips is None:
        clips = DEFAULT_CLIPS

    def seen(kind: SizeClass) -> float:
        """Return the training clips that there is time for."""
        rate = kind.rates.get(device, kind.rates["cpu"])
        return min(float("inf") if clips is None else clips, float("inf") if minutes is None else minutes * 60 * rate)

    native = suited_size(sources)

    def largest(allowed: Sequence[SizeClass]) -> Size:
        """Return the size of the largest class that the sources have."""
        if allowed[-1] is SIZES[0]:
            small = suited_size(sources, SIZES[0].longest)
            return small if small.height * small.width <= 64 * 64 else suited_size(sources, 64)
        longest = [kind.longest for kind in allowed[1:] if kind.longest <= max(native.height, native.width)]
        return suited_size(sources, longest[-1]) if longest else native

    possible = [kind for kind in SIZES if kind.clips <= seen(kind)]
    size = largest(possible)
    budget = f"{counted(minutes, 'minute')} on {device}" if minutes is not None else counted(clips or 0, "clip")
    reason = f"{size.width}×{size.height} suits the videos and {budget}"
    for kind in (kind for kind in SIZES if kind not in possible):
        more = largest([*possible, kind])
        if more != size:
            wanted = kind.clips / kind.rates.get(device, kind.rates["cpu"]) / 60
            need = counted(round(wanted), "minute") if minutes is not None else counted(kind.clips, "clip")
            return size, f"{reason}; for {more.width}×{more.height} give {need} or more"
    return size, reason


def choose_preset(dataset: Dataset) -> tuple[Config, str]:
    """Return the configuration that suits a data set, and why, in words; see `suited_preset`."""
    info = dataset.info
    longest = max((row.frames for row in dataset.split("train")), default=None)
    if info.volume is not None:
        return suited_volume_preset(info.height, info.width, longest)
    return suited_preset(info.height, info.width, info.channels, longest)


def recommend(dataset: Dataset) -> dict[str, str]:
    """Measure the recommended training and describe it, a line for each fact; where none is possible, why."""
    try:
        config, reason = choose_preset(dataset)
        plan = prepare(dataset.place, config, timed=True)
    except FootageError as error:
        return {"training": f"not possible as it is: {error}"}
    rate = plan.clips_per_second()
    return {
        "command": f"footage train {shlex.quote(dataset.place)} {options(config)}",
        "preset": f"{config.preset}: {PRESETS[config.preset].about}",
        "chosen": reason,
        "usable clips": f"{plan.usable:,} of {counted(plan.total, 'training clip has', 'training clips have')} "
        f"{counted(config.clip.frames, 'frame')} or more",
        "conditioned on": plan.conditions("nothing"),
        "device": f"{plan.place.device}, {plan.place.precision}",
        "batch size": str(plan.batch_size),
        "memory": f"about {plan.memory_gib():.1f} GiB",
        "time": f"about {counted(round(PLENTY / rate / 60), 'minute')} for {PLENTY:,} clips "
        f"({rate:.1f} clips/s measured here)",
    }
