"""Knobs of the training loop, whatever the method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from footage.config.checks import require, require_named


@dataclass(frozen=True)
class TrainConfig:
    """The training loop, whatever the method."""

    batch_size: int | None = None
    """Clips in a step; None finds one that fits the memory."""
    seed: int = 0
    """Seed of the weights, the order of the clips and every random draw."""
    labels: Literal["auto", "yes", "no"] = "auto"
    """Condition on labels: `auto` does when every training clip has one and there are at least two."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the networks; `auto` takes bf16 where the device is faster with it."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train; `auto` takes the best there is."""
    save_minutes: float = 1.0
    """Minutes between two saves of the resumable state."""
    sample_clips: int = 10_000
    """Clips seen between two sample sheets."""
    snapshot_clips: int | None = None
    """Clips seen between two models that are kept in snapshots/, for `footage evaluate RUN --all`; None keeps none."""

    def __post_init__(self) -> None:
        """Refuse sizes, intervals and names that cannot work."""
        require_named(self, "train", "labels", "precision", "device")
        size = self.batch_size
        require(size is None or 1 <= size <= 65_536, "train.batch_size", size, "give 1 to 65536, or leave it out")
        require(0 <= self.seed < 2**63, "train.seed", self.seed, "give 0 or more, below 2^63")
        require(self.save_minutes > 0, "train.save_minutes", self.save_minutes, "give more than 0")
        require(self.sample_clips >= 1, "train.sample_clips", self.sample_clips, "give at least 1")
        kept = self.snapshot_clips
        require(kept is None or kept >= 1, "train.snapshot_clips", kept, "give at least 1, or leave it out")
