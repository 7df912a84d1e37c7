"""Knobs of upscaling: what is asked of an enlarged clip, and how its low-resolution input is spoilt in training."""

from __future__ import annotations

from dataclasses import dataclass, field

from footage.config.checks import require


@dataclass(frozen=True)
class DegradeConfig:
    """How clips become the low-resolution ones that an upscaler is given in training."""

    probability: float = 0.5
    """Part of the clips that are spoilt as real ones are; the others are shrunk by the bicubic kernel and no more."""
    blur: float = 1.0
    """Largest standard deviation of a blur before shrinking, in pixels of the small picture."""
    noise: float = 0.02
    """Largest standard deviation of noise, as a part of the range from black to white."""
    crf_low: int = 18
    """Least loss of H.264, as its constant rate factor."""
    crf_high: int = 36
    """Greatest loss of H.264."""
    jpeg_low: int = 40
    """Least quality of JPEG, from 1 to 95."""
    jpeg_high: int = 95
    """Greatest quality of JPEG."""

    def __post_init__(self) -> None:
        """Refuse parts, spreads and qualities that there are not."""
        require(0 <= self.probability <= 1, "upscale.degrade.probability", self.probability, "give 0 to 1")
        for knob, most in (("blur", 8.0), ("noise", 0.5)):
            value = getattr(self, knob)
            require(0 <= value <= most, f"upscale.degrade.{knob}", value, f"give 0 to {most:g}")
        for kind, least, most in (("crf", 0, 51), ("jpeg", 1, 95)):
            low, high = getattr(self, f"{kind}_low"), getattr(self, f"{kind}_high")
            ok = least <= low <= high <= most
            require(ok, f"upscale.degrade.{kind}_low and _high", (low, high), f"give {least} to {most}, in order")


@dataclass(frozen=True)
class UpscaleConfig:
    """What is asked of an enlarged clip, beside the difference from the true one."""

    consistency: float = 10.0
    """Weight of |down(made) - down(real)|: shrunk again, a clip is what it was made from."""
    stability: float = 0.0
    """Weight of the difference between the changes from frame to frame, made and real: without it, invented detail may
    flicker."""
    ends: float = 0.1
    """How often the frames before a clip, and as often those after it, are not there, as where a video begins or
    ends."""
    degrade: DegradeConfig = field(default_factory=DegradeConfig)
    """How the input is made."""

    def __post_init__(self) -> None:
        """Refuse negative weights, and what is no probability."""
        for knob in ("consistency", "stability"):
            value = getattr(self, knob)
            require(value >= 0, f"upscale.{knob}", value, "give 0 or more")
        require(0 <= self.ends <= 1, "upscale.ends", self.ends, "give 0 to 1")
