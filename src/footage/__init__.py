"""Train a video generator on your own clips; make an endless library of new ones.

The verbs: `ingest` a folder of videos, `train` a model, `load` it and generate, or let it `predict`, `translate` and
`reconstruct` clips. They are the same as the commands.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from footage.commands import (
        compare,
        convert_evaluator,
        embed,
        evaluate,
        generate,
        ingest,
        interpolate,
        list_evaluators,
        load,
        models,
        play,
        predict,
        reconstruct,
        serve,
        sliders,
        train,
        train_evaluator,
        translate,
        upscale,
    )
    from footage.commands.demonstration import demo
    from footage.config import Config, IngestConfig
    from footage.config.presets import PRESETS, preset
    from footage.data.store import Dataset
    from footage.errors import FootageError
    from footage.generation.clip import Clip
    from footage.generation.model import Model
    from footage.library.library import Library
    from footage.models.requests import Timing

_HOMES = {
    **dict.fromkeys(
        (
            "compare",
            "convert_evaluator",
            "embed",
            "evaluate",
            "generate",
            "ingest",
            "interpolate",
            "list_evaluators",
            "load",
            "models",
            "play",
            "predict",
            "reconstruct",
            "serve",
            "sliders",
            "train",
            "train_evaluator",
            "translate",
            "upscale",
        ),
        "footage.commands",
    ),
    **dict.fromkeys(("Config", "IngestConfig"), "footage.config"),
    "Dataset": "footage.data.store",
    "demo": "footage.commands.demonstration",
    "Timing": "footage.models.requests",
    "FootageError": "footage.errors",
    "Clip": "footage.generation.clip",
    "Library": "footage.library.library",
    "Model": "footage.generation.model",
    **dict.fromkeys(("PRESETS", "preset"), "footage.config.presets"),
}

__all__ = [
    "PRESETS",
    "Clip",
    "Config",
    "Dataset",
    "FootageError",
    "IngestConfig",
    "Library",
    "Model",
    "Timing",
    "compare",
    "convert_evaluator",
    "demo",
    "embed",
    "evaluate",
    "generate",
    "ingest",
    "interpolate",
    "list_evaluators",
    "load",
    "models",
    "play",
    "predict",
    "preset",
    "reconstruct",
    "serve",
    "sliders",
    "train",
    "train_evaluator",
    "translate",
    "upscale",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import footage` is quick."""
    if name not in _HOMES:
        raise AttributeError(f'footage has no "{name}"')
    return getattr(importlib.import_module(_HOMES[name]), name)
