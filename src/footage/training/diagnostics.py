"""Figures of samples beside real clips, which `footage.models.signs` judges."""

from __future__ import annotations

from torch import Tensor

from footage.metrics.motion import contrast, diversity, motion_energy, sticking
from footage.models.adversarial.penalties import motion_autocorrelation
from footage.models.signs import WARM_UP as WARM_UP
from footage.models.signs import judge_samples as judge_samples


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
