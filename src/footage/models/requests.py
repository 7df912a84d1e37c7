"""Requests for videos: seeds, labels, lengths, latent sliders, the mapping from video to model time. No torch."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from footage.config.strict import require
from footage.errors import ConfigError

UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
"""Seconds in each unit."""
_NUMBER = r"\d+(?:\.\d*)?|\.\d+"

Duration = str | float
"""Such as "4s", "2m", "10:00", "1:02:03", or plain seconds."""
Factor = str | float
"""Such as "4x", or a plain number."""


def parse_duration(duration: Duration, name: str) -> float:
    """Return a duration in seconds.

    Args:
        duration: `4s`, `2m`, `1h`, `10:00` (minutes and seconds), `1:02:03` (hours too), or plain seconds.
        name: what the duration is of, for the error.

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


def parse_factor(given: Factor, name: str) -> float:
    """Return a factor, written `4x` or `4`.

    Args:
        given: the factor.
        name: what it is of, for the error.

    Raises:
        ConfigError: it cannot be read, or is not above 0.
    """
    if isinstance(given, float) and 0 < given < math.inf:
        return float(given)
    match = re.fullmatch(rf"({_NUMBER})\s*[x×]?", str(given).strip().lower())
    if match is None or float(match[1]) <= 0:
        raise ConfigError(f'{name} is "{given}"', "give a factor above 0, such as 4x")
    return float(match[1])


@dataclass(frozen=True)
class Timing:
    """How a video goes through time; for models that stream (`--preset stream-64`).

    All durations are those of motion at its normal speed.
    """

    loop: Duration | None = None
    """The video comes back to its first frame after this long, such as 4s; left out, it never does."""
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

    def given(self) -> dict[str, Any]:
        """Return what was asked for, by name: everything that is not as it is left out."""
        found = {item.name: (getattr(self, item.name), item.default) for item in dataclasses.fields(self)}
        return {name: value for name, (value, default) in found.items() if value != default}


PLAIN = Timing()
"""From the beginning, at normal speed, for ever."""


SLIDER_LIMIT = 5.0
"""How far a slider goes, to either side: further there is nothing that the model was trained on."""

Sliders = str | Mapping[int, float] | Mapping[str, float]
"""Such as "1=2,3=-1.5", or {1: 2.0, 3: -1.5}; numbers may be texts, as in JSON."""


def read_sliders(given: Sliders, count: int, name: str) -> dict[int, float]:
    """Return the values of sliders by their numbers, in order; those that stand at 0 are left out.

    Args:
        given: what was asked for.
        count: sliders that the model has.
        name: the model's.

    Raises:
        ConfigError: it cannot be read, or the model has no such slider, or a value is out of range.
    """
    pairs = (
        _slider_pairs(given) if isinstance(given, str) else [(str(number), value) for number, value in given.items()]
    )
    if pairs and not count:
        raise ConfigError(
            f"slider {pairs[0][0]} is asked for, and {name} has none: no code of it stays for a whole clip",
            "leave the sliders out, or take a model with sliders (see: footage models)",
        )
    found: dict[int, float] = {}
    for number, value in pairs:
        if not (number.isascii() and number.isdigit() and 1 <= int(number[:9]) <= count and len(number) < 10):
            raise ConfigError(f'slider "{number}" is asked for, and {name} has {count}', f"give 1 to {count}")
        if int(number) in found:
            raise ConfigError(f"slider {int(number)} is given twice", "leave one of the two out")
        found[int(number)] = _slider_value(number, value)
    return {number: value for number, value in sorted(found.items()) if value}


def _slider_pairs(text: str) -> list[tuple[str, Any]]:
    """Take a text such as 1=2,3=-1.5 apart."""
    parts = [part.strip() for part in text.replace("，", ",").split(",") if part.strip()]
    for part in parts:
        if part.count("=") != 1:
            raise ConfigError(f'sliders has "{part}"', "give NUMBER=VALUE, with commas between, such as 1=2,3=-1.5")
    return [(number.strip(), value.strip()) for number, value in (part.split("=") for part in parts)]


def _slider_value(number: str, value: Any) -> float:
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not -SLIDER_LIMIT <= found <= SLIDER_LIMIT:
        raise ConfigError(f'slider {number} is "{value}"', f"give a number from {-SLIDER_LIMIT:g} to {SLIDER_LIMIT:g}")
    return found


def write_sliders(values: Mapping[int, float]) -> str:
    """Return the values of sliders as they are written: 1=2,3=-1.5."""
    return ",".join(f"{number}={float(value)!r}".removesuffix(".0") for number, value in values.items())


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


@dataclass(frozen=True)
class VideoRequest:
    """What one video is to show."""

    seed: int
    """Everything random in it follows from this number."""
    label: tuple[float, ...] | None = None
    """Weight of each label; one of them 1 for a single label; None for an unconditional model."""
    to_seed: int | None = None
    """Seed whose content it changes into; None to stay."""
    to_label: tuple[float, ...] | None = None
    """Labels that it changes into; None to stay."""
    frames: int = 0
    """Frames over which it changes."""
    sliders: tuple[tuple[int, float], ...] = ()
    """Numbers of latent sliders and how far each is moved, in standard deviations; see `generators.directions`."""
    time: TimeMapping = TimeMapping()
    """Mapping from its frames to the model's time."""
