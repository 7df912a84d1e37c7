"""The stochastic predictor: its configuration; `network` has the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from footage.config import Config, KlConfig
from footage.config.strict import bounded
from footage.errors import ConfigError
from footage.models.predictors import PredictorConfig


@dataclass(frozen=True)
class SvgConfig(PredictorConfig):
    """Stochastic prediction with a learned prior: SVG-LP (Denton and Fergus 2018)."""

    network: ClassVar[str] = "footage.models.predictors.svg.network:Svg"
    tiny: ClassVar = {"width": 4, "latent": 2, "code": 8, "hidden": 8}
    certain: ClassVar[bool] = False
    untaught: ClassVar[str] = "is always shown true frames"

    kind: Literal["svg"] = "svg"
    """Which network."""
    latent: int = bounded(10, 1)
    """Length of the latent code of a frame."""
    code: int = bounded(128, 1)
    """Length of a frame's features g."""
    hidden: int = bounded(256, 1)
    """Units of the LSTM layers."""
    width: int = bounded(32, 4, 512, "channels")
    """Channels of the outermost stage of encoder and decoder; they double towards the innermost, up to 512."""

    def check(self, config: Config) -> None:
        """Refuse free bits too: the divergence is from a prior that learns."""
        super().check(config)
        if config.kl.free_bits:
            raise ConfigError(
                f"kl.free_bits is {config.kl.free_bits:g}, svg pays for all of the divergence from its learned prior",
                f"give --kl.free-bits {KlConfig().free_bits:g}, or a smaller --kl.beta",
            )
