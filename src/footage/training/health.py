"""Signs that training goes wrong, and the usual remedy for each: pure functions of figures.

The thresholds are rules of thumb, checked on runs that went well and badly (docs/LOG.md); none of them stops a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from footage.metrics.motion import contrast, diversity, motion_energy

WARM_UP = 4_000
"""Clips seen before samples are judged: every run begins with grey."""
WON = 8.0
"""Gap between the mean logits of real and fake clips above which the critic has won: it tells them apart by e^8."""


@dataclass(frozen=True)
class Warning:
    """One sign, once."""

    kind: str
    """Short name of the sign; the same sign is not said twice in a row."""
    text: str
    """What is seen, with its figure, and what usually helps."""


def judge_losses(row: Mapping[str, float], clips_seen: int) -> list[Warning]:
    """Judge the mean figures of the last few hundred clips."""
    if clips_seen < WARM_UP or "real" not in row or "fake" not in row:
        return []
    gap = row["real"] - row["fake"]
    if gap < WON:
        return []
    return [
        Warning(
            "critic won",
            f"the critic has won (its logits for real and fake lie {gap:.1f} apart): the generator learns little. "
            "Usual remedy: ten times --gan.r1, half of --gan.critic-lr, or more clips",
        )
    ]


def sample_figures(fakes: Tensor, reals: Tensor) -> dict[str, float]:
    """Compare samples with real clips, both (B, C, T, H, W): ratios fake / real, near 1 in a good model."""
    figures: dict[str, float] = {}
    for name, measure in (("motion", motion_energy), ("contrast", contrast), ("diversity", diversity)):
        real = measure(reals)
        if real > 1e-6:
            figures[f"{name}_ratio"] = measure(fakes) / real
    return figures


def judge_samples(figures: Mapping[str, float], clips_seen: int) -> list[Warning]:
    """Judge the figures of `sample_figures`."""
    found: list[Warning] = []
    if clips_seen < WARM_UP:
        return found
    if figures.get("contrast_ratio", 1.0) < 0.25:
        found.append(
            Warning(
                "grey",
                f"samples are nearly plain ({figures['contrast_ratio']:.0%} of the real clips' contrast). "
                "Usual remedy: a lower --gan.lr, or start again with another --train.seed",
            )
        )
        return found
    if figures.get("motion_ratio", 1.0) < 0.3:
        found.append(
            Warning(
                "frozen",
                f"samples hardly move ({figures['motion_ratio']:.0%} of the real clips' motion). "
                "Usual remedy: train longer; a lower rate (ingest with a lower --fps) makes motion easier to see",
            )
        )
    if figures.get("diversity_ratio", 1.0) < 0.15:
        found.append(
            Warning(
                "collapsed",
                f"samples look alike ({figures['diversity_ratio']:.0%} of the variety of real clips). "
                "Usual remedy: a larger --train.batch-size, ten times --gan.r1, or a lower --gan.lr",
            )
        )
    return found
