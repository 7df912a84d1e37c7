"""Predictors: networks that continue clips."""

from __future__ import annotations

from typing import ClassVar

from footage.config import Config
from footage.config.registry import NetConfig
from footage.errors import ConfigError


class PredictorConfig(NetConfig):
    """Base of the predictors' configurations.

    The network is built as `network(clip, config, task)`, or `network(clip, config, task, told)` where it is told
    captions' vectors of that length, and is a `footage.models.predictors.predict.Predictor`.
    """

    method: ClassVar[str] = "predict"
    certain: ClassVar[bool] = True
    """Whether it knows one future only."""
    untaught: ClassVar[str] = ""
    """Why it cannot be weaned from true frames, where it is not fed its own frames in training."""

    @property
    def takes_text(self) -> bool:
        return True

    def check(self, config: Config) -> None:
        """Refuse a past that leaves no future, and weaning where there is nothing to wean from."""
        past, truth, frames = config.task.past, config.task.truth, config.clip.frames
        if past >= frames:
            raise ConfigError(
                f"task.past is {past}, and clips of {frames} frames leave none to predict",
                f"give --task.past {frames // 2}, or more --clip.frames",
            )
        if truth and self.untaught:
            raise ConfigError(
                f"task.truth is {truth}, {self.kind} {self.untaught} in training: there is nothing to wean it from",
                "give --task.truth 0, or --net.kind convlstm",
            )
