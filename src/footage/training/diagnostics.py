"""Signs that a training goes wrong, read off its figures, and what usually helps; and the figures of samples for it.

The thresholds are rules of thumb; none of them stops a run. `grey` was seen on a run that really collapsed
(docs/LOG.md); the others have been tried on made-up clips only.
Judging knows no torch: the studio shows the same signs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from footage.config.registry import ADVERSARIAL, LOGISTIC

if TYPE_CHECKING:
    from torch import Tensor

    from footage.config import Config

WARM_UP = 4_000
"""Clips seen before anything is judged: every run begins with grey."""
GREY, FROZEN, COLLAPSED = 0.25, 0.5, 0.15
"""Ratios to real clips below which samples are called so."""
PERIODIC, STICKING = 0.4, 0.3
"""By how much samples exceed real clips before they are called so."""
WON = 8.0
"""Gap between the mean logits of real and fake clips above which a critic has won: it tells them apart by e^8."""
LEARNED, APART = 0.8, 2.0
"""A critic knows the training clips by heart when the held-out gap is more than `LEARNED` of that between real and fake
clips, and the latter is at least `APART`: below, it is mostly noise."""

GAN_REMEDIES: Mapping[str, str] = {
    "critic won": "a penalty (--gan.r1), or ten times as much of it, half of --gan.critic-lr, or more clips",
    "learned by heart": "--augment.probability 0.3, a larger --gan.r1, or more clips",
    "grey": "a lower --gan.lr, or start again with another --train.seed",
    "frozen": "train longer; a lower rate (ingest with a lower --fps) makes motion easier to see",
    "collapsed": "a larger --train.batch-size, ten times --gan.r1, or a lower --gan.lr",
    "periodic": "--gan.periodicity avoid, or train longer",
    "sticking": "--augment.probability 0.3 with --augment.translation, or train longer",
    "diverged": "lower --gan.lr and --gan.critic-lr, or give --train.precision fp32",
}
"""What usually helps a GAN, by the kind of sign; `diverged` is for a run that ends in numbers that are not finite."""
SUPERVISED_REMEDIES: Mapping[str, str] = {
    "critic won": "a larger --gan.r1, half of --gan.critic-lr, or more clips",
    "learned by heart": "--augment.probability 0.3, a larger --gan.r1, or more clips",
    "grey": "a lower --learn.lr, or start again with another --train.seed",
    "frozen": "train longer, or add a critic that sees the clip",
    "collapsed": "train longer, or a larger --train.batch-size",
    "periodic": "train longer, or more clips",
    "sticking": "train longer, or add a critic that sees the clip",
    "diverged": "lower --learn.lr, give --learn.clip-gradient 1, or --train.precision fp32",
}
"""The same for methods that learn by example."""


@dataclass(frozen=True)
class Diagnostic:
    """A sign that training goes wrong."""

    kind: str
    """Short name; the same sign is not told twice in a row."""
    text: str
    """What is seen, with its figure."""


def remedies(method: str) -> Mapping[str, str]:
    """Return what usually helps against a sign, by its kind, for a method by its name in the configuration."""
    return GAN_REMEDIES if method in ADVERSARIAL else SUPERVISED_REMEDIES


@dataclass(frozen=True)
class Remedy:
    """One thing that usually helps."""

    name: str
    """What it is, such as `slower`; the studio has words for it."""
    knobs: Mapping[str, Any] = field(default_factory=dict)
    """Knobs that differ, by their dotted names, from those of the run; none for what is no knob."""


def helpful_changes(kind: str, config: Config) -> list[Remedy]:
    """Return the `remedies` against a sign as changes of a run's configuration; those that are no knob without one."""
    gan, train, rates = config.gan, config.train, ("gan.lr", "gan.critic_lr")
    slower = {"gan.lr": gan.lr / 2} if config.method in ADVERSARIAL else {"learn.lr": config.learn.lr / 2}
    penalty = Remedy("penalty", {"gan.r1": gan.r1 * 10 or 1.0})
    augmented = Remedy("augment", {"augment.probability": 0.3, "augment.translation": True})
    larger = [] if train.batch_size is None else [Remedy("larger_batch", {"train.batch_size": train.batch_size * 2})]
    both = {name: value / 2 for name, value in zip(rates, (gan.lr, gan.critic_lr), strict=True)}
    longer, more = Remedy("longer"), Remedy("more_data")
    adversarial = config.method in ADVERSARIAL
    avoiding = [Remedy("avoid_repetition", {"gan.periodicity": "avoid"})]
    found = {
        "critic won": [penalty, Remedy("slower_critic", {"gan.critic_lr": gan.critic_lr / 2}), more],
        "learned by heart": [augmented, Remedy("penalty", {"gan.r1": gan.r1 * 3 or 1.0}), more],
        "grey": [Remedy("slower", slower), Remedy("another_seed", {"train.seed": train.seed + 1})],
        "frozen": [longer, Remedy("lower_rate")] if adversarial else [longer],
        "collapsed": [*larger, penalty, Remedy("slower", slower)] if adversarial else [longer, *larger],
        "periodic": [*(avoiding if adversarial and config.clip.frames >= 6 else []), longer],
        "sticking": [augmented, longer] if adversarial else [longer],
        "diverged": [
            Remedy("slower", both if adversarial else slower),
            Remedy("single_precision", {"train.precision": "fp32"}),
        ],
    }
    return found.get(kind, [])


def judge_critics(figures: Mapping[str, float], loss: str) -> list[Diagnostic]:
    """Tell when a critic separates real from fake clips so well that the generator learns nothing, or overfits.

    The figures are means over some hundred clips: of each critic NAME_real and NAME_fake, its mean logits, and perhaps
    NAME_heldout_gap, by how much training clips' logits exceed those of held-out clips. `loss` is `gan.loss`.
    """
    signs = []
    for name in (key.removesuffix("_real") for key in figures if key.endswith("_real")):
        gap = figures[f"{name}_real"] - figures.get(f"{name}_fake", 0.0)
        if gap >= WON and loss in LOGISTIC:
            text = f"the critic of {name} has won (its logits for real and fake lie {gap:.1f} apart)"
            signs.append(Diagnostic("critic won", text))
        heldout_gap = figures.get(f"{name}_heldout_gap", 0.0)
        if gap >= APART and heldout_gap >= LEARNED * gap:
            text = (
                f"the critic of {name} knows the training clips by heart (held-out gap {heldout_gap:.1f} of {gap:.1f})"
            )
            signs.append(Diagnostic("learned by heart", text))
    return signs


def judge_samples(figures: Mapping[str, float]) -> list[Diagnostic]:
    """Judge the figures of `sample_figures`; plain grey hides the other signs."""
    contrast, motion, diversity = (figures.get(f"{name}_ratio", 1.0) for name in ("contrast", "motion", "diversity"))
    if contrast < GREY:
        return [Diagnostic("grey", f"samples are nearly plain ({contrast:.0%} of the real clips' contrast)")]
    signs = []
    if motion < FROZEN:
        signs.append(Diagnostic("frozen", f"samples hardly move ({motion:.0%} of the real clips' motion)"))
    if diversity < COLLAPSED:
        signs.append(Diagnostic("collapsed", f"samples look alike ({diversity:.0%} of the variety of real clips)"))
    periodicity, sticking = (figures.get(f"{name}_excess", 0.0) for name in ("periodicity", "sticking"))
    if periodicity > PERIODIC:
        text = f"samples repeat their motion (autocorrelation {periodicity:.2f} above real clips')"
        signs.append(Diagnostic("periodic", text))
    if sticking > STICKING and motion >= FROZEN:  # what does not move at all, sticks
        text = f"detail sticks to the picture while things move ({sticking:.0%} more than in real)"
        signs.append(Diagnostic("sticking", text))
    return signs


def sample_figures(fakes: Tensor, reals: Tensor) -> dict[str, float]:
    """Compare samples with real clips, both (B, C, T, H, W).

    Returns:
        Ratios fake / real, near 1 in a good model, and excesses fake - real, near 0.
    """
    from footage.metrics.motion import contrast, diversity, motion_energy, sticking

    figures: dict[str, float] = {}
    for name, measure in (("motion", motion_energy), ("contrast", contrast), ("diversity", diversity)):
        real = measure(reals)
        if real > 1e-6:
            figures[f"{name}_ratio"] = measure(fakes) / real
    for name, measure in (("periodicity", periodicity), ("sticking", sticking)):
        figures[f"{name}_excess"] = measure(fakes) - measure(reals)
    return figures


def periodicity(clips: Tensor) -> float:
    """Return how regularly clips (B, C, T, H, W) repeat their motion: near 1 for a steady cycle, about 0 for none.

    The largest of the mean autocorrelations of motion energy, over lags from 2 frames to half a clip (a lag of 1 is
    smoothness). It needs 6 frames, and is 0 for fewer. Motion of few clips looks periodic by chance: compare with as
    many real ones.
    """
    from footage.models.adversarial.penalties import motion_autocorrelation

    if clips.shape[2] < 6:
        return 0.0
    return max(0.0, float(motion_autocorrelation(clips).double().mean(dim=0)[1:].max()))
