"""The ways to train, by name."""

from __future__ import annotations

from footage.methods.base import Method
from footage.methods.gan import Gan
from footage.methods.predict import Predict
from footage.methods.translate import Translate
from footage.methods.upscale import Upscale
from footage.methods.vae import VideoVae

METHODS: dict[str, type[Method]] = {
    "gan": Gan,
    "vae": VideoVae,
    "predict": Predict,
    "translate": Translate,
    "upscale": Upscale,
}
"""Every method, by the name that `Config.method` gives."""

__all__ = ["METHODS", "Method"]
