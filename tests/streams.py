"""Small stream models for the tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from footage.config import ClipConfig
from footage.generation.model import Model
from footage.models.generators.stream import StreamConfig
from footage.models.generators.stream.network import StreamGenerator
from footage.models.generators.stream.sampler import StreamSampler
from tests.models import save_tiny_model

CLIP = ClipConfig(frames=8, height=16, width=16)


def tiny_net(**knobs: object) -> StreamConfig:
    small = StreamConfig(content=8, processes=4, slowest=64.0, points=2, groups=1, codes=16, width=4, label=4)
    return replace(small, **knobs)  # type: ignore[arg-type]


def tiny_stream(shot: int = 0, labels: int = 0) -> StreamSampler:
    torch.manual_seed(0)
    return StreamSampler(CLIP, StreamGenerator(CLIP, tiny_net(shot=shot), labels))


def save_tiny_stream(folder: Path, labels: tuple[str, ...] = (), shot: int = 0) -> Model:
    """Write a model folder of random weights, 12.5 frames a second, and load it."""
    save_tiny_model(folder, labels, preset="stream-32", net__shot=shot)
    return Model(folder)
