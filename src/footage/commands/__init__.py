"""The public verbs. Each is a function here and a command of the same name; torch is imported when it is needed."""

from collections.abc import Callable
from typing import Any

from footage.commands import browsing, curating
from footage.commands.browsing import library
from footage.commands.data import audit, ingest
from footage.commands.evaluating import evaluate
from footage.commands.evaluators import convert_evaluator, list_evaluators, train_evaluator
from footage.commands.latents import embed, sliders
from footage.commands.loading import load, models
from footage.commands.making import generate, interpolate, predict, reconstruct, translate
from footage.commands.playing import play
from footage.commands.serving import serve
from footage.commands.training import Run, compare, train
from footage.commands.upscaling import upscale

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
