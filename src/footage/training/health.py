"""Signs in the samples that training goes wrong: pure functions of figures.

The thresholds are rules of thumb; none of them stops a run. `grey` was seen on a run that really collapsed
(docs/LOG.md); `frozen` and `collapsed` have been tried on made-up clips only.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from footage.methods.base import Sign
from footage.metrics.motion import contrast, diversity, motion_energy

WARM_UP = 4_000
"""Clips seen before anything is judged: every run begins with grey."""
GREY, FROZEN, COLLAPSED = 0.25, 0.3, 0.15
"""Ratios to real clips below which samples are called so."""


def sample_figures(fakes: Tensor, reals: Tensor) -> dict[str, float]:
    """Compare samples with real clips, both (B, C, T, H, W): ratios fake / real, near 1 in a good model."""
    figures: dict[str, float] = {}
    for name, measure in (("motion", motion_energy), ("contrast", contrast), ("diversity", diversity)):
        real = measure(reals)
        if real > 1e-6:
            figures[f"{name}_ratio"] = measure(fakes) / real
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
    return found
