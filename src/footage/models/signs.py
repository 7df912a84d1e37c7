"""Signs in the samples that training goes wrong: pure functions of figures.

The thresholds are rules of thumb; none of them stops a run. `grey` was seen on a run that really collapsed
(docs/LOG.md); the others have been tried on made-up clips only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

WARM_UP = 4_000
"""Clips seen before anything is judged: every run begins with grey."""
GREY, FROZEN, COLLAPSED = 0.25, 0.5, 0.15
"""Ratios to real clips below which samples are called so."""
PERIODIC, STICKING = 0.4, 0.3
"""By how much samples exceed real clips before they are called so."""


@dataclass(frozen=True)
class Sign:
    """A sign that training goes wrong."""

    kind: str
    """Short name; the same sign is not said twice in a row."""
    text: str
    """What is seen, with its figure."""


def judge_samples(figures: Mapping[str, float]) -> list[Sign]:
    """Judge the figures of `sample_figures`; plain grey hides the other signs."""
    look, move, vary = (figures.get(f"{name}_ratio", 1.0) for name in ("contrast", "motion", "diversity"))
    if look < GREY:
        return [Sign("grey", f"samples are nearly plain ({look:.0%} of the real clips' contrast)")]
    found = []
    if move < FROZEN:
        found.append(Sign("frozen", f"samples hardly move ({move:.0%} of the real clips' motion)"))
    if vary < COLLAPSED:
        found.append(Sign("collapsed", f"samples look alike ({vary:.0%} of the variety of real clips)"))
    repeated, stuck = (figures.get(f"{name}_excess", 0.0) for name in ("periodicity", "sticking"))
    if repeated > PERIODIC:
        found.append(
            Sign("periodic", f"samples repeat their motion (autocorrelation {repeated:.2f} above real clips')")
        )
    if stuck > STICKING and move >= FROZEN:  # what does not move at all, sticks
        found.append(
            Sign("sticking", f"detail sticks to the picture while things move ({stuck:.0%} more than in real)")
        )
    return found
