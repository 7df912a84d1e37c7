"""Small trained models and runs for the tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from footage.config import ClipConfig, Config
from footage.config.presets import PRESETS, override, tiny
from footage.data.clips import BuiltInClips, ClipSource, Span
from footage.data.store import Split
from footage.generation.rollout import from_uint8
from footage.media.geometry import VolumeScale
from footage.models.card import ModelInfo
from footage.models.checkpoint import save_model
from footage.models.requests import VideoRequest


def tiny_config(preset: str = "conv3d-32", /, **overrides: object) -> Config:
    """Return the quickest configuration there is, with some knobs changed."""
    knobs: dict[str, object] = {"clip.frames": 8, "clip.height": 32, "clip.width": 32}
    knobs |= {key.replace("__", "."): value for key, value in overrides.items()}
    return override(tiny(PRESETS[preset].config), knobs)


def save_tiny_model(
    folder: Path,
    labels: tuple[str, ...] = ("walk", "run"),
    seed: int = 0,
    preset: str = "conv3d-32",
    volume: VolumeScale | None = None,
    **overrides: object,
) -> ModelInfo:
    """Write a model folder with random weights; without labels where the model takes none."""
    config = tiny_config(preset, **overrides)
    labels = labels if config.takes_labels else ()
    torch.manual_seed(seed)
    method = config.trained_by(config, len(labels))
    info = ModelInfo(
        name="tiny",
        config=config,
        labels=labels,
        label_shares=tuple(1 / len(labels) for _ in labels),
        fps=12.5,
        dataset="noise",
        dataset_hash="0" * 64,
        clips_seen=0,
        volume=volume,
    )
    return save_model(folder, info, {name: average.module for name, average in method.averages.items()})


class FewShapes(BuiltInClips):
    """The built-in shapes, `train` clips to learn from and `heldout` others."""

    def __init__(self, size: int = 32, train: int = 6, heldout: int = 6) -> None:
        super().__init__("shapes", height=size, width=size, channels=3)
        self.counts = {"train": train, "heldout": heldout}

    def spans(self, split: Split) -> list[Span]:
        return super().spans(split)[: self.counts[split]]


class FromClips:
    """A sampler that has learned clips by heart: seed i gives the i-th of some spans, from its first frame on.

    After the last frame it begins again; `mirrored` exchanges left and right.
    """

    endless, classes, sliders, given = True, 0, 0, 0
    device = torch.device("cpu")

    def __init__(self, clip: ClipConfig, source: ClipSource, spans: Sequence[Span], mirrored: bool = False) -> None:
        self.clip, self.hop, self.source, self.spans, self.mirrored = clip, clip.frames, source, spans, mirrored

    def segments(self, requests: Sequence[VideoRequest]) -> Iterator[Tensor]:
        spans = [self.spans[request.seed % len(self.spans)] for request in requests]
        clips = torch.cat([from_uint8(self.source.read(span.index, 0, span.frames)[None]) for span in spans])
        while True:
            for chunk in clips.split(self.hop, dim=2):
                yield chunk.flip(4) if self.mirrored else chunk

    def preview(self, reals: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        return {"made": next(self.segments([VideoRequest(seed) for seed in range(len(reals))]))}
