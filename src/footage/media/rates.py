"""Frame rates as exact fractions.

A rate is a `Fraction` where frames are counted by it. On disk and in a model's arithmetic it is the double nearest to
that fraction, of which `exact_rate` gives the fraction back.
"""

from __future__ import annotations

import math
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
ROUNDING = 2e-4
"""A rate is written this much off at most, relatively: 23.98 for 24000/1001. Between 24000/1001 and 24 lie 1e-3."""
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
    if abs(float(nearest / Fraction(fps)) - 1) <= ROUNDING:
        return nearest
    return Fraction(fps).limit_denominator(FINEST) if fps >= 1 else 1 / (1 / Fraction(fps)).limit_denominator(FINEST)
