"""Small trained models and runs for the tests."""

from __future__ import annotations

from pathlib import Path

import torch

from footage.config import Config
from footage.config.presets import PRESETS, override, tiny
from footage.config.registry import METHODS
from footage.models.card import ModelInfo
from footage.models.checkpoint import save_model


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
    **overrides: object,
) -> ModelInfo:
    """Write a model folder with random weights; without labels where the model takes none."""
    config = tiny_config(preset, **overrides)
    labels = labels if config.takes_labels else ()
    torch.manual_seed(seed)
    method = METHODS[config.method](config, len(labels))
    info = ModelInfo(
        name="tiny",
        config=config,
        labels=labels,
        label_shares=tuple(1 / len(labels) for _ in labels),
        fps=12.5,
        dataset="noise",
        dataset_hash="0" * 64,
        clips_seen=0,
    )
    return save_model(folder, info, method)
