"""Durations and factors as people write them: 4s, 10:00, 1:02:03, 4x; and how a video goes through time."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Any

from footage.errors import ConfigError

UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
"""Seconds in each unit."""
_NUMBER = r"\d+(?:\.\d*)?|\.\d+"

Duration = str | float
"""Such as "4s", "2m", "10:00", "1:02:03", or plain seconds."""
Factor = str | float
"""Such as "4x", or a plain number."""


def seconds(duration: Duration, name: str) -> float:
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


def factor(given: Factor, name: str) -> float:
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
