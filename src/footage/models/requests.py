"""Requests for videos: seeds, labels, lengths, latent sliders, the mapping from video to model time. No torch."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from footage.config.strict import require
from footage.errors import ConfigError, counted

if TYPE_CHECKING:
    from footage.models.card import ModelInfo
    from footage.models.reactions import Reaction

UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
"""Seconds in each unit."""
_NUMBER = r"\d+(?:\.\d*)?|\.\d+"

Duration = str | float
"""Such as "4s", "2m", "10:00", "1:02:03", or plain seconds."""
Factor = str | float
"""Such as "4x", or a plain number."""
DeviceName = Literal["auto", "cpu", "cuda", "mps"]
"""Where to compute; `auto` is the best there is."""

PYDANTIC = {"extra": "forbid", "use_attribute_docstrings": True}
"""How pydantic reads these classes from a request: strictly; the field's docstring describes the parameter."""
TRAINED_ON = "trained-on"
"""Stands for the data set that a model was trained on, where one is asked for."""
SEED_LIMIT = 2**63
"""Seeds are taken modulo this."""
CANDIDATES = 20
"""Clips that are looked at for each of the best, where it is not said."""
MOST_FRAMES = 2**33
"""Times below this many frames are exact: in float64 they are whole ticks of 2^-20 (`stream.sampler.TICK`)."""
MOST_SLOW = 1000.0
"""How much slower, or faster, than normal a video can be asked for."""
MOST_RATE = 2.0**20
"""Most frames of the model from one frame of the video to the next, and the inverse of the fewest."""


def parse_duration(duration: Duration, name: str) -> float:
    """Return a duration in seconds: of `4s`, `2m`, `1h`, `10:00` (minutes and seconds), `1:02:03`, or plain seconds.

    `name` is what it is of, for the error.

    Raises:
        ConfigError: it cannot be read, or is below 0.
    """
    if isinstance(duration, float) and 0 <= duration < math.inf:
        return float(duration)
    text = str(duration).strip().lower()
    if match := re.fullmatch(rf"({_NUMBER})\s*([smh]?)", text):
        return float(match[1]) * UNITS[match[2]]
    if match := re.fullmatch(r"(?:(\d+):)?(\d+):((?:[0-5]?\d)(?:\.\d*)?)", text):
        return 3600.0 * float(match[1] or 0) + 60.0 * float(match[2]) + float(match[3])
    raise ConfigError(f'{name} is "{duration}"', "give a duration such as 4s, 90, 10:00 or 1:02:03")


def parse_factor(factor: Factor, name: str) -> float:
    """Return a factor, written `4x` or `4`; `name` is what it is of, for the error.

    Raises:
        ConfigError: it cannot be read, or is not above 0.
    """
    if isinstance(factor, float) and 0 < factor < math.inf:
        return float(factor)
    match = re.fullmatch(rf"({_NUMBER})\s*[x×]?", str(factor).strip().lower())
    if match is None or float(match[1]) <= 0:
        raise ConfigError(f'{name} is "{factor}"', "give a factor above 0, such as 4x")
    return float(match[1])


@dataclass(frozen=True)
class Timing:
    """How a video goes through time; for models that stream (`--preset stream-64`).

    All durations are those of motion at its normal speed.
    """

    loop: Duration | None = None
    """The video comes back to its first frame after this long, such as 4s (times `slow`); left out, it never does."""
    slow: Factor | None = None
    """How much slower than normal, such as 4x, with as many more frames; below 1 it is faster."""
    seek: Duration | None = None
    """Where in the endless video to begin, such as 90s, 10:00 or 1:02:03."""
    motion_seed: int | None = None
    """Seed of the motion; left out, that of the content."""
    strength: float = 1.0
    """How much motion: 1 is as trained, 0 stands still."""
    truncation: float = 1.0
    """How far content is from the mean: 1 is as trained, less is more typical and less diverse."""
    drift: Duration | None = None
    """Time in which content becomes another, such as 20s; left out, it stays."""

    __pydantic_config__: ClassVar[dict[str, Any]] = PYDANTIC

    def given(self) -> dict[str, Any]:
        """Return what was asked for, by name: everything that is not as it is left out."""
        values = {item.name: (getattr(self, item.name), item.default) for item in dataclasses.fields(self)}
        return {name: value for name, (value, default) in values.items() if value != default}


PLAIN = Timing()
"""From the beginning, at normal speed, for ever."""


SLIDER_LIMIT = 5.0
"""How far a slider goes, to either side: further there is nothing that the model was trained on."""

Sliders = str | Mapping[int, float] | Mapping[str, float]
"""Such as "1=2,3=-1.5", or {1: 2.0, 3: -1.5}; numbers may be texts, as in JSON."""


def read_sliders(sliders: Sliders, count: int, name: str) -> dict[int, float]:
    """Return the values of a model's sliders by their numbers, in order; those that stand at 0 are left out.

    `count` is how many sliders the model has, `name` what it is called.

    Raises:
        ConfigError: it cannot be read, or the model has no such slider, or a value is out of range.
    """
    pairs: list[tuple[str, Any]] = []
    if isinstance(sliders, str):
        for part in filter(str.strip, sliders.replace("，", ",").split(",")):
            if part.count("=") != 1:
                remedy = "give NUMBER=VALUE, with commas between, such as 1=2,3=-1.5"
                raise ConfigError(f'sliders has "{part.strip()}"', remedy)
            number, _, value = part.partition("=")
            pairs.append((number.strip(), value.strip()))
    else:
        pairs = [(str(number), value) for number, value in sliders.items()]
    if pairs and not count:
        raise ConfigError(
            f"slider {pairs[0][0]} is asked for, and {name} has none: no code of it stays for a whole clip",
            "leave the sliders out, or take a model with sliders (see: footage models)",
        )
    values: dict[int, float] = {}
    for number, value in pairs:
        if not (number.isascii() and number.isdigit() and 1 <= int(number[:9]) <= count and len(number) < 10):
            raise ConfigError(f'slider "{number}" is asked for, and {name} has {count}', f"give 1 to {count}")
        if int(number) in values:
            raise ConfigError(f"slider {int(number)} is given twice", "leave one of the two out")
        try:
            values[int(number)] = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            values[int(number)] = math.nan
        if not -SLIDER_LIMIT <= values[int(number)] <= SLIDER_LIMIT:
            remedy = f"give a number from {-SLIDER_LIMIT:g} to {SLIDER_LIMIT:g}"
            raise ConfigError(f'slider {number} is "{value}"', remedy)
    return {number: value for number, value in sorted(values.items()) if value}


def write_sliders(values: Mapping[int, float]) -> str:
    """Return the values of sliders as they are written: 1=2,3=-1.5."""
    return ",".join(f"{number}={float(value)!r}".removesuffix(".0") for number, value in values.items())


@dataclass(frozen=True, kw_only=True)
class VideoOptions:
    """What clips and endless videos have in common."""

    fps: float | None = None
    """their rate when played; left out, that of the training data. Models that stream move as fast at any rate, clips
    of the others become faster or slower."""
    label: str | None = None
    """their class, or a mixture such as circle+square or circle:0.8+square:0.2; left out, classes as often as in the
    training data."""
    text: str | None = None
    """what they show, in words, of models that were trained on captions; left out, a caption of the training data that
    the seed draws; empty, anything."""
    seed: int = 0
    """seed of the first clip; the next has the next."""
    sliders: Sliders | None = None
    """how far latent sliders are moved, in standard deviations, -5 to 5, such as 1=2,3=-1.5; the first changes most.
    What they do is shown by footage sliders MODEL."""
    timing: Timing = PLAIN
    """loops, slow motion, where to begin and so on, of models that stream."""
    audio: str | None = None
    """a file of sound, or a video with sound, that the video follows: motion is fastest on the beat."""
    react: str | None = None
    """what follows what is heard, such as kick:strength,chroma:content or brightness:drift,loudness:slider-3=1.5,
    beat:motion-seed: kick, middle, treble, onset, loudness and brightness move strength, drift and sliders; beat moves
    motion-seed, chroma content. Left out, kick:strength,chroma:content."""
    bpm_lock: str | None = None
    """how often motion is fastest: 1/2, 1 or 2 times a beat, or off for time that runs evenly; left out, 1."""

    __pydantic_config__: ClassVar[dict[str, Any]] = PYDANTIC

    def __post_init__(self) -> None:
        self.check(fps=1e-3, seed=0)

    def check(self, **least: float) -> None:
        """Refuse fields below their least value, or without bounds.

        Raises:
            ConfigError: one is.
        """
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and not bound <= value < math.inf:
                raise ConfigError(f"{name} is {value}", f"give at least {bound:g}")

    def mapping(self, model: ModelInfo) -> TimeMapping:
        """Return the mapping from the video's frames to a model's time.

        Raises:
            ConfigError: a value cannot be read, or is out of range, or the model does not stream and would have to.
        """
        between = getattr(self, "between", None) is not None
        flags = [*self.timing.given(), *(["between"] if between else [])]
        if flags and not model.streams:
            listed = " and ".join(f"--{flag.replace('_', '-')}" for flag in flags)
            be, them = ("is", "it") if len(flags) == 1 else ("are", "them")
            raise ConfigError(
                f"{listed} {be} asked for, and frames of {model.name} are no function of time",
                f"leave {them} out, or train a model that streams with --preset stream-64",
            )
        mapping = time_mapping(self.timing, model.fps, played=self.fps if model.streams else None, between=between)
        reaction = self.reaction(model)
        return mapping if reaction is None else reaction.adapted(mapping)

    def reaction(self, model: ModelInfo) -> Reaction | None:
        """Return how a video of a model follows sound; None where no sound is given.

        Raises:
            ConfigError: what follows what cannot be read, or does not go together.
            MediaError: the sound cannot be read, or is silent.
        """
        if self.audio is None:
            for name, value in (("react", self.react), ("bpm_lock", self.bpm_lock)):
                if value is not None:
                    raise ConfigError(f'{name} is "{value}", and no audio is given', "give audio, too")
            return None
        from footage.models.reactions import reaction_to

        return reaction_to(self.audio, self.react, self.bpm_lock, self.fps or model.fps)


@dataclass(frozen=True, kw_only=True)
class GenerateRequest(VideoOptions):
    """Clips that are to be generated: the one place where this is written down.

    The arguments of `Model.generate` and of `footage.generate`, and with them the flags of `footage generate`, are
    these fields (`config.strict.arguments_of`). The studio's form is a subclass that adds bounds; FastAPI reads it as
    it is. The job message is `config.to_json(request)`, which `config.from_json(GenerateRequest, message)` reads.

    Clip i has seed `seed` + i, and is the same whatever else is generated beside it; with `novel`, some are left out.
    """

    count: int = field(default=1, kw_only=False)
    """how many clips."""
    frames: int | None = None
    """their length; left out, that of the audio, else one round of a loop, else the model's own."""
    seconds: Duration | None = None
    """their length as they play, such as 90, 90s, 10:00 or 1:02:03; instead of frames."""
    to_label: str | None = None
    """class or mixture that each clip changes into on its way."""
    to_text: str | None = None
    """words of what each clip changes into on its way."""
    to_seed: int | None = None
    """seed whose content the first clip changes into on its way; the next changes into that of the next."""
    between: tuple[int, int] | None = None
    """two seeds, such as 3 17: the first clip begins as the one and ends as the other begins, content and motion; the
    next clip goes between the next seeds. Of models that stream."""
    novel: str | None = None
    """leave out clips that come nearer to the training clips of a data set than its held-out clips do, and go on with
    the next seeds, ten for each clip at most: a data set, or trained-on for the one that the model's run names."""
    best: int | None = None
    """how many are taken instead of count, of more that are looked at: those that a library's owner is likeliest to
    keep. Damaged ones are left out, and, where the training clips are there, those that come nearer to them than unseen
    clips do."""
    of: int | None = None
    """how many are looked at for the best; left out, twenty for each."""
    taste: str | None = None
    """folder of a library, whose verdicts, stars and blind ratings say what is best; see footage library taste."""

    def __post_init__(self) -> None:
        if self.best is not None:
            object.__setattr__(self, "count", self.best)
            if self.taste is None:
                raise ConfigError(f"best is {self.best}, and no taste is given", "give --taste LIBRARY")
            self.check(best=1)
            if self.of is not None and not self.best <= self.of < SEED_LIMIT:
                raise ConfigError(f"of is {self.of}", f"give at least {self.best}, the number of the best")
        elif self.of is not None or self.taste is not None:
            problem = "taste is given" if self.of is None else f"of is {self.of}"
            raise ConfigError(f"{problem}, and not how many are the best", "give --best 20 too")
        if self.between is not None:
            if self.to_seed is not None or self.seed not in (0, self.between[0]):
                raise ConfigError("between is given beside other seeds", "leave seed and to_seed out")
            object.__setattr__(self, "seed", self.between[0])
        self.check(count=1, frames=1, fps=1e-3, seed=0, to_seed=0)
        if self.between is not None and self.between[1] < 0:
            raise ConfigError(f"to_seed is {self.between[1]}", "give at least 0")

    @property
    def candidates(self) -> int:
        """How many clips are made, of which some may be left out."""
        return self.count if self.best is None else self.of or CANDIDATES * self.best

    @property
    def last_seed(self) -> int | None:
        """Seed that the first clip changes into, alone or with its motion."""
        return self.to_seed if self.between is None else self.between[1]

    def length(self, model: ModelInfo) -> int:
        """Return how many frames each clip of a model has.

        Raises:
            ConfigError: both a number of frames and of seconds, or less than a frame, or more than can be timed.
        """
        fps, frames = model.fps if self.fps is None else self.fps, self.frames
        reaction = self.reaction(model)
        if reaction is not None and frames is None and self.seconds is None:
            frames = max(1, round(reaction.heard.seconds * fps))
        return length_of(
            self.mapping(model), frames=frames, duration=self.seconds, fps=fps, known=model.config.clip.frames
        )


@dataclass(frozen=True, kw_only=True)
class StreamRequest(VideoOptions):
    """An endless video that is to be made frame by frame: the arguments of `Model.stream` are these fields."""

    fps: float | None = field(default=None, kw_only=False)
    """frames a second; left out, those of the training data. Models that stream move as fast at any rate, the others
    know their own only."""
    chunk: int | None = None
    """frames that a model that streams makes at once: fewer come sooner, more are made faster; left out, as many as it
    was trained on."""

    def __post_init__(self) -> None:
        self.check(fps=1e-3, seed=0, chunk=1)


@dataclass(frozen=True)
class TimeMapping:
    """The mapping from a video's frames to a model's time, which is counted in frames as the model was trained on them.

    Only models that are `Streams` take another mapping than the default.
    """

    start: float = 0.0
    """Where in the model's time the video begins."""
    rate: float = 1.0
    """Frames of the model's time from one frame of the video to the next; 0.25 is four times slower."""
    loop: float = 0.0
    """Time after which motion comes back to where it was and begins again, for ever; 0 for none."""
    motion_seed: int | None = None
    """Seed of the motion; None for that of the content."""
    strength: float = 1.0
    """What motion's noise is multiplied by."""
    truncation: float = 1.0
    """What the content code is multiplied by."""
    drift: float = 0.0
    """Time constant with which content wanders; 0 for content that stays."""
    between: bool = False
    """Whether motion, too, ends as that of `to_seed` begins, so that its first frame is the video's last."""

    def __post_init__(self) -> None:
        for name, value in (("start", self.start), ("loop", self.loop), ("drift", self.drift)):
            require(0 <= value < math.inf, name, value, "give at least 0")
        require(0 < self.rate < math.inf, "rate", self.rate, "give a number above 0")
        for name, value in (("strength", self.strength), ("truncation", self.truncation)):
            require(0 <= value < math.inf, name, value, "give at least 0; 1 is as trained")
        require(self.motion_seed is None or self.motion_seed >= 0, "motion_seed", self.motion_seed, "give at least 0")


def loop_frames(mapping: TimeMapping) -> int:
    """Return how many frames of a video are one round of its loop."""
    return max(1, round(mapping.loop / mapping.rate))


def time_mapping(timing: Timing, fps: float, *, played: float | None = None, between: bool = False) -> TimeMapping:
    """Return the mapping from a video's frames to the time of a model that was trained on `fps` frames a second.

    `played` is the video's own rate, None for the same: motion is as fast at any. With `between` motion, too, goes from
    one seed to another.

    Raises:
        ConfigError: a value cannot be read, or is out of range.
    """

    def frames(duration: Duration | None, name: str) -> float:
        count = 0.0 if duration is None else parse_duration(duration, name) * fps
        if count >= MOST_FRAMES:
            raise ConfigError(f'{name} is "{duration}"', f"give less than {MOST_FRAMES / fps / 3600:,.0f}h")
        return count

    slow = 1.0 if timing.slow is None else parse_factor(timing.slow, "slow")
    if not 1 / MOST_SLOW <= slow <= MOST_SLOW:
        raise ConfigError(f'slow is "{timing.slow}"', f"give {1 / MOST_SLOW:g}x to {MOST_SLOW:g}x")
    played = fps if played is None else played
    low, high = fps / slow / MOST_RATE, fps / slow * MOST_RATE
    if not low <= played <= high:
        raise ConfigError(f"fps is {played}", f"give {low:.2g} to {high:.2g}")
    mapping = TimeMapping(
        start=frames(timing.seek, "seek"),
        rate=fps / played / slow,
        loop=frames(timing.loop, "loop"),
        motion_seed=None if timing.motion_seed is None else timing.motion_seed % SEED_LIMIT,
        strength=timing.strength,
        truncation=timing.truncation,
        drift=frames(timing.drift, "drift"),
        between=between,
    )
    if timing.motion_seed is not None and timing.motion_seed < 0:
        raise ConfigError(f"motion_seed is {timing.motion_seed}", "give at least 0")
    for duration, name, least in ((timing.loop, "loop", 2.0), (timing.drift, "drift", 1.0)):
        if duration is not None and frames(duration, name) < least:
            remedy = f"give at least {least / fps:.2g}s, {counted(least, 'frame')}, or leave it out"
            raise ConfigError(f'{name} is "{duration}"', remedy)
    return mapping


def length_of(mapping: TimeMapping, *, frames: int | None, duration: Duration | None, fps: float, known: int) -> int:
    """Return how many frames a video is to have, of which `frames` or the `duration` as it plays was asked for.

    With neither it has one round of a loop, else the `known` frames of the clips that the model was trained on.

    Raises:
        ConfigError: both were asked for, or less than a frame, or more than can be timed.
    """
    if duration is not None:
        if frames is not None:
            raise ConfigError(f'frames is {frames}, and seconds is "{duration}"', "leave one of the two out")
        exact = parse_duration(duration, "seconds") * fps
        if exact < MOST_FRAMES and round(exact) < 1:
            raise ConfigError(f'seconds is "{duration}"', f"give at least {1 / fps:.2g}s, one frame")
        length = MOST_FRAMES if exact >= MOST_FRAMES else round(exact)
    elif frames is not None:
        length = frames
    else:
        length = loop_frames(mapping) if mapping.loop else known
    if length >= MOST_FRAMES:
        raise ConfigError(f"the video has {length:,} frames or more", f"ask for fewer than {MOST_FRAMES:,}")
    end = mapping.start + length * mapping.rate
    if not mapping.loop and end >= MOST_FRAMES:
        raise ConfigError(
            f"the video ends at frame {end:,.0f} of the model's time",
            f"ask for less or seek less far: it is timed up to frame {MOST_FRAMES:,}",
        )
    return length


@dataclass(frozen=True)
class VideoRequest:
    """What one video is to show."""

    seed: int
    """Everything random in it follows from this number."""
    label: tuple[float, ...] | None = None
    """Weight of each label; one of them 1 for a single label; behind them a text's vector, where the model reads any;
    None for an unconditional model."""
    to_seed: int | None = None
    """Seed whose content it changes into; None to stay."""
    to_label: tuple[float, ...] | None = None
    """Labels that it changes into; None to stay."""
    frames: int = 0
    """Frames over which it changes."""
    sliders: tuple[tuple[int, float], ...] = ()
    """Numbers of latent sliders and how far each is moved, in standard deviations; see `generators.samplers`."""
    time: TimeMapping = TimeMapping()
    """Mapping from its frames to the model's time."""
    react: Reaction | None = None
    """The sound that it follows, and how."""
