"""The public verbs. Each is a function here and a command of the same name; torch is imported when it is needed."""

from collections.abc import Callable
from typing import Any

from footage.api import browsing, curating
from footage.api.browsing import library
from footage.api.data import audit, ingest
from footage.api.evaluating import evaluate
from footage.api.evaluators import convert_evaluator, list_evaluators, train_evaluator
from footage.api.latents import embed, sliders
from footage.api.loading import load, models
from footage.api.making import generate, interpolate, predict, reconstruct, translate
from footage.api.playing import play
from footage.api.serving import serve
from footage.api.training import Run, compare, train
from footage.api.upscaling import upscale

LIBRARY: dict[str, Callable[..., Any]] = {
    "add": curating.add,
    "list": browsing.list_clips,
    "search": browsing.search,
    "show": browsing.show,
    "similar": browsing.similar,
    "duplicates": browsing.duplicates,
    "tag": curating.tag,
    "rate": curating.rate,
    "edit": curating.edit,
    "album": browsing.album,
    "view": browsing.view,
    "export": browsing.export,
    "remove": curating.remove,
    "restore": curating.restore,
    "purge": curating.purge,
    "undo": curating.undo,
    "redo": curating.redo,
    "history": browsing.history,
    "embed": curating.embed_clips,
    "verify": curating.verify,
    "gc": curating.gc,
}
"""The verbs about a library, by name: `footage library NAME`."""

__all__ = [
    "LIBRARY",
    "Run",
    "audit",
    "compare",
    "convert_evaluator",
    "embed",
    "evaluate",
    "generate",
    "ingest",
    "interpolate",
    "library",
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
]
