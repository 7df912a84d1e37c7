"""Train a video generator on your own clips; make an endless library of new ones.

The verbs: `ingest` a folder of videos, `train` a model, `load` it and generate. They are the same as the commands.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from footage.api import compare, generate, ingest, load, models, train
    from footage.config import Config, IngestConfig
    from footage.data.store import Dataset
    from footage.demonstration import demo
    from footage.errors import FootageError
    from footage.model import Clip, Model
    from footage.presets import PRESETS, preset

_HOMES = {
    **dict.fromkeys(("compare", "generate", "ingest", "load", "models", "train"), "footage.api"),
    **dict.fromkeys(("Config", "IngestConfig"), "footage.config"),
    "Dataset": "footage.data.store",
    "demo": "footage.demonstration",
    "FootageError": "footage.errors",
    **dict.fromkeys(("Clip", "Model"), "footage.model"),
    **dict.fromkeys(("PRESETS", "preset"), "footage.presets"),
}

__all__ = [
    "PRESETS",
    "Clip",
    "Config",
    "Dataset",
    "FootageError",
    "IngestConfig",
    "Model",
    "compare",
    "demo",
    "generate",
    "ingest",
    "load",
    "models",
    "preset",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import footage` is quick."""
    if name not in _HOMES:
        raise AttributeError(f'footage has no "{name}"')
    return getattr(importlib.import_module(_HOMES[name]), name)
