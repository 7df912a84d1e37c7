"""Train a video generator on your own clips; make an endless library of new ones.

The verbs: `ingest` a folder of videos, `train` a model, `load` it and generate, or let it `predict`, `translate` and
`reconstruct` clips. They are the same as the commands.
"""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from footage.commands.convert import predict, reconstruct, talk, translate, upscale
    from footage.commands.cutting import effects, highlights, join, shots, summary
    from footage.commands.evaluate import convert_evaluator, evaluate, list_evaluators, privacy, train_evaluator
    from footage.commands.generate import compact, embed, generate, interpolate, load, models, react, sliders
    from footage.commands.play import demo, play, serve
    from footage.commands.train import compare, ingest, plan, train
    from footage.config import Config, IngestConfig
    from footage.config.presets import PRESETS, preset
    from footage.data.store import Dataset
    from footage.errors import FootageError
    from footage.generation.clip import Clip
    from footage.generation.model import Model
    from footage.library.library import Library
    from footage.library.query import ClipQuery
    from footage.models.requests import Timing

_HOMES = {
    "commands.convert": ("predict", "reconstruct", "talk", "translate", "upscale"),
    "commands.cutting": ("effects", "highlights", "join", "shots", "summary"),
    "commands.evaluate": ("convert_evaluator", "evaluate", "list_evaluators", "privacy", "train_evaluator"),
    "commands.generate": ("compact", "embed", "generate", "interpolate", "load", "models", "react", "sliders"),
    "commands.play": ("demo", "play", "serve"),
    "commands.train": ("compare", "ingest", "plan", "train"),
    "config": ("Config", "IngestConfig"),
    "config.presets": ("PRESETS", "preset"),
    "data.store": ("Dataset",),
    "errors": ("FootageError",),
    "generation.clip": ("Clip",),
    "generation.model": ("Model",),
    "library.library": ("Library",),
    "library.query": ("ClipQuery",),
    "models.requests": ("Timing",),
}
"""Where public names are defined, by module."""

__all__ = [
    "PRESETS",
    "Clip",
    "ClipQuery",
    "Config",
    "Dataset",
    "FootageError",
    "IngestConfig",
    "Library",
    "Model",
    "Timing",
    "compact",
    "compare",
    "convert_evaluator",
    "demo",
    "effects",
    "embed",
    "evaluate",
    "generate",
    "highlights",
    "ingest",
    "interpolate",
    "join",
    "list_evaluators",
    "load",
    "models",
    "plan",
    "play",
    "predict",
    "preset",
    "privacy",
    "react",
    "reconstruct",
    "serve",
    "shots",
    "sliders",
    "summary",
    "talk",
    "train",
    "train_evaluator",
    "translate",
    "upscale",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import footage` is quick."""
    for module, names in _HOMES.items():
        if name in names:
            value = getattr(importlib.import_module(f"footage.{module}"), name)
            if name.islower():  # a function
                value = importlib.import_module("footage.config.strict").checked(value)
                value.__module__, value.__qualname__ = __name__, name  # where pickle finds it
            return value
    raise AttributeError(f'footage has no "{name}"')


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """This package, in which `models` stays the verb when the package of that name is imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in __all__ or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

if "FOOTAGE_MEMORY" in os.environ:  # a process of a studio whose library is locked, however it was started
    from footage.files import keep_in_memory

    keep_in_memory()
