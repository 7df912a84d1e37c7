"""The public verbs. Each is a function here and a command of the same name; torch is imported when it is needed."""

from footage.api.data import audit, ingest
from footage.api.loading import evaluate, load, models
from footage.api.making import embed, generate, interpolate, predict, reconstruct, translate
from footage.api.playing import play
from footage.api.training import Run, compare, train
from footage.api.upscaling import upscale

__all__ = [
    "Run",
    "audit",
    "compare",
    "embed",
    "evaluate",
    "generate",
    "ingest",
    "interpolate",
    "load",
    "models",
    "play",
    "predict",
    "reconstruct",
    "train",
    "translate",
    "upscale",
]
