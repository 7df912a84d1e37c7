"""The ways to train, by name."""

from __future__ import annotations

from footage.models.adversarial.gan import Gan
from footage.models.autoencoders.vae import VideoVae
from footage.models.base import Method
from footage.models.predictors.predict import Predict
from footage.models.translators.translate import Translate
from footage.models.upscalers.upscale import Upscale

METHODS: dict[str, type[Method]] = {
    "gan": Gan,
    "vae": VideoVae,
    "predict": Predict,
    "translate": Translate,
    "upscale": Upscale,
}
"""Every method, by the name that `Config.method` gives."""

__all__ = ["METHODS", "Method"]
