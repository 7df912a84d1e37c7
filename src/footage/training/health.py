"""Signs in the samples that training goes wrong: pure functions of figures.

The thresholds are rules of thumb; none of them stops a run. `grey` was seen on a run that really collapsed
(docs/LOG.md); the others have been tried on made-up clips only.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from footage.methods.base import Sign
from footage.metrics.motion import contrast, diversity, motion_energy, sticking
from footage.penalties import motion_autocorrelation

WARM_UP = 4_000
"""Clips seen before anything is judged: every run begins with grey."""
GREY, FROZEN, COLLAPSED = 0.25, 0.5, 0.15
"""Ratios to real clips below which samples are called so."""
PERIODIC, STICKING = 0.4, 0.3
"""By how much samples exceed real clips before they are called so."""


def periodicity(clips: Tensor) -> float:
    """Return how regularly clips (B, C, T, H, W) repeat their motion: near 1 for a steady cycle, about 0 for none.

    The largest of the mean autocorrelations of motion energy, over lags from 2 frames to half a clip (a lag of 1 is
    smoothness). It needs 6 frames, and is 0 for fewer. Motion of few clips looks periodic by chance: compare with as
    many real ones.
    """
    if clips.shape[2] < 6:
        return 0.0
    return max(0.0, float(motion_autocorrelation(clips).double().mean(dim=0)[1:].max()))


def sample_figures(fakes: Tensor, reals: Tensor) -> dict[str, float]:
    """Compare samples with real clips, both (B, C, T, H, W).

    Returns:
        Ratios fake / real, near 1 in a good model, and excesses fake - real, near 0.
    """
    figures: dict[str, float] = {}
    for name, measure in (("motion", motion_energy), ("contrast", contrast), ("diversity", diversity)):
        real = measure(reals)
        if real > 1e-6:
            figures[f"{name}_ratio"] = measure(fakes) / real
    for name, measure in (("periodicity", periodicity), ("sticking", sticking)):
        figures[f"{name}_excess"] = measure(fakes) - measure(reals)
    return figures


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
