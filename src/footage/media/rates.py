"""Frame rates as exact fractions, and the times of frames.

A rate is a `Fraction` where frames are counted by it. On disk and in a model's arithmetic it is the double nearest to
that fraction, of which `exact_rate` gives the fraction back.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from footage.errors import MediaError

USUAL = tuple(
    Fraction(rate)
    for rate in (
        *("10", "12", "25/2", "15000/1001", "15", "20", "24000/1001", "24", "25", "30000/1001", "30", "48000/1001"),
        *("48", "50", "60000/1001", "60", "90", "100", "120000/1001", "120", "240000/1001", "240"),
    )
)
"""Rates that cameras, screens and broadcasts have, in frames a second."""
ROUNDING = Fraction(2, 10_000)
"""A rate is written this much off at most, relatively: 23.98 for 24000/1001."""
NTSC_GAP = Fraction(1, 1001)
"""How far a rate of NTSC is from the whole one beside it, relatively."""
ALIKE = Fraction(2, 100)
"""Rates this far apart, relatively, are one: a phone's clips have 29.8 to 30.3."""
DECLARED = (Fraction(1, 20), Fraction(300))
"""A rate that is declared is believed within these bounds, where no times of frames speak against it."""
PAUSE = Fraction(10)
"""A picture that stands for longer, in seconds, is a pause."""
MOVING = 1 / PAUSE
"""Where most pictures stand for as long as a pause, there is no rate of a motion: one frame a minute."""
JUMP = Fraction(10)
"""Where time stamps may jump by design, as in MPEG streams, such a gap in seconds is closed; so FFmpeg does."""
MISTAKE = Fraction(108_000)
"""The same everywhere else: 30 hours, FFmpeg's bound of what can be meant."""
FINEST = 1001
"""Largest denominator of a rate, or of its reciprocal where it is below 1."""


def exact_rate(fps: Fraction | float) -> Fraction:
    """Return the fraction that a rate stands for: a usual one where it is one but for rounding, never 2997/100.

    Raises:
        MediaError: it is not a number above 0.
    """
    if not (math.isfinite(fps) and fps > 0):
        raise MediaError(f"the frame rate is {fps}", "give a rate above 0, such as 25")
    nearest = min(USUAL, key=lambda usual: abs(usual - Fraction(fps)))
    if abs(nearest / Fraction(fps) - 1) <= ROUNDING:
        return nearest
    return Fraction(fps).limit_denominator(FINEST) if fps >= 1 else 1 / (1 / Fraction(fps)).limit_denominator(FINEST)


def nominal_rate(rate: Fraction, blur: Fraction = ALIKE, ntsc: bool | None = None) -> Fraction:
    """Return the usual rate that is meant by one which is off by `blur` at most, relatively; itself where none is.

    Where that does not tell the rates of NTSC from whole ones, `ntsc` does; None: only if they are met exactly.
    """
    exact = exact_rate(rate)
    if ntsc is None and exact in USUAL:
        return exact
    meant = [usual for usual in USUAL if blur < NTSC_GAP / 2 or (usual.denominator == FINEST) == bool(ntsc)]
    nearest = min(meant, key=lambda usual: abs(usual / rate - 1))
    return nearest if abs(nearest / rate - 1) <= blur else exact


def rate_of_times(times: Iterable[Fraction], declared: Fraction | None, unit: Fraction) -> Fraction | None:
    """Return the rate of a video: as declared, where that agrees with its frames' own times, else by these.

    Pauses do not count, so a recording that stands still for a while has the rate that it has when it moves; neither do
    frames that were dropped. A steady rate is taken as it is, one with jitter for the usual one that is meant.

    Args:
        times: when some frames are shown, in seconds, in any order.
        declared: what the container says, in frames a second.
        unit: to which the times are rounded, in seconds.
    """
    shown = sorted(set(times))
    steps = [later - earlier for earlier, later in itertools.pairwise(shown)]
    if len(steps) < 2:
        return exact_rate(declared) if declared and DECLARED[0] <= declared <= DECLARED[1] else None
    middle = sorted(steps)[len(steps) // 2]
    regular = [step for step in steps if middle / 2 < step < middle * 7 / 4]  # 2:3 pulldown has 1.5 times the shortest
    span = sum(regular, Fraction(0))
    measured = len(regular) / span
    steady = max(regular) - min(regular) <= 2 * unit
    blur = ROUNDING + unit / span if steady else ALIKE
    rate = declared if declared and abs(declared / measured - 1) <= blur else measured
    return nominal_rate(rate, blur, declared is not None and exact_rate(declared).denominator == FINEST)


class FrameClock:
    """Seconds from the first frame on, from time stamps that may begin anywhere and jump.

    Args:
        jumps: whether jumps are part of the format, as in MPEG streams and chained Ogg.
        stamped: whether the format has time stamps; those that FFmpeg makes up for a bare stream are not heeded.
    """

    def __init__(self, jumps: bool, stamped: bool = True) -> None:
        self.jumps, self.stamped = jumps, stamped
        self.now = Fraction(0)
        """When the last frame is shown."""
        self.first: Fraction | None = None
        """Time stamp of the first frame."""
        self.latest = Fraction(0)
        """The greatest time stamp."""
        self.closed = 0
        """Jumps that were taken for no time at all."""
        self.offset = Fraction(0)
        """What is added to time stamps."""

    def show(self, stamp: Fraction | None, usual: Fraction) -> Fraction:
        """Take the time stamp of the next frame, in seconds; return when it is shown.

        `usual` is for how long a frame is shown that comes before one without a stamp, or before a jump.
        """
        if self.first is None:
            self.first = self.latest = stamp or Fraction(0)
            self.offset = -self.first
            return self.now
        expected = self.now + usual
        shown = expected if stamp is None or not self.stamped else stamp + self.offset
        if shown - self.now > (JUMP if self.jumps else MISTAKE) or (self.jumps and shown < self.now - 1):
            self.closed += 1
            self.offset += expected - shown
            shown = expected
        self.now = shown if shown > self.now else expected  # clocks do not run backwards
        self.latest = max(self.latest, self.latest if stamp is None else stamp)
        return self.now


@dataclass(frozen=True)
class CommonRate:
    """The rate that most of the time of some videos has."""

    rate: Fraction
    seconds: float
    """How long the videos of this rate are."""
    total: float
    """How long all videos are."""


def common_rate(rated: Sequence[tuple[Fraction, float]]) -> CommonRate:
    """Return the rate that most of the time of videos has, each given as rate and seconds; of equals the highest.

    Rates within 2% count as one, which is the usual one that they are meant to be.
    """

    def alike(centre: Fraction) -> list[tuple[Fraction, float]]:
        return sorted((rate, seconds) for rate, seconds in rated if abs(rate / centre - 1) <= ALIKE)

    def length(members: Iterable[tuple[Fraction, float]]) -> float:
        return math.fsum(seconds for _, seconds in members)

    best = max({rate for rate, _ in rated}, key=lambda rate: (round(length(alike(rate)), 3), rate))
    members = alike(best)
    half = itertools.accumulate(seconds for _, seconds in members)
    middle = next(rate for (rate, _), sofar in zip(members, half, strict=True) if sofar >= length(members) / 2 - 1e-9)
    return CommonRate(nominal_rate(middle), length(members), length(rated))
