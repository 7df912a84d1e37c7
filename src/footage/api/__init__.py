"""The public verbs. Each is a function here and a command of the same name; torch is imported when it is needed."""

from footage.api.data import audit, ingest
from footage.api.evaluating import evaluate
from footage.api.evaluators import convert_evaluator, list_evaluators, train_evaluator
from footage.api.loading import load, models
from footage.api.making import embed, generate, interpolate, predict, reconstruct, translate
from footage.api.playing import play
from footage.api.training import Run, compare, train

__all__ = [
    "Run",
    "audit",
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
    "train",
    "train_evaluator",
    "translate",
]
