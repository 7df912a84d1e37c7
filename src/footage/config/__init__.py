"""Every knob: frozen dataclasses, validated when made, with a strict JSON round trip. Imports no torch."""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from footage.config.nets import (
    Conv3dConfig,
    ConvLstmConfig,
    GeneratorConfig,
    MlpConfig,
    NetConfig,
    PredictorConfig,
    RecurrentConfig,
    SimVpConfig,
    SpritesConfig,
    StreamConfig,
    SvgConfig,
    TranslatorConfig,
    UpscalerConfig,
    VaeConfig,
)
from footage.config.sections import (
    AugmentConfig,
    ClipConfig,
    CriticConfig,
    DegradeConfig,
    GanConfig,
    IngestConfig,
    KlConfig,
    LearnConfig,
    TaskConfig,
    TrainConfig,
    UpscaleConfig,
    check_together,
)
from footage.config.strict import require
from footage.config.tasks import check_knobs, check_method, judged_clip
from footage.errors import ConfigError, nearest

__all__ = [
    "AugmentConfig",
    "ClipConfig",
    "Config",
    "Conv3dConfig",
    "ConvLstmConfig",
    "CriticConfig",
    "DegradeConfig",
    "GanConfig",
    "GeneratorConfig",
    "IngestConfig",
    "KlConfig",
    "LearnConfig",
    "MlpConfig",
    "NetConfig",
    "PredictorConfig",
    "RecurrentConfig",
    "SimVpConfig",
    "SpritesConfig",
    "StreamConfig",
    "SvgConfig",
    "TaskConfig",
    "TrainConfig",
    "TranslatorConfig",
    "UpscaleConfig",
    "UpscalerConfig",
    "VaeConfig",
    "differences",
    "flat",
    "from_json",
    "to_json",
]

T = TypeVar("T")

SECTIONS = ("clip", "net", "gan", "critics", "augment", "train")
"""Sections that every saved configuration has: those of the first version."""


@dataclass(frozen=True)
class Config:
    """A complete configuration: what is trained, and how."""

    preset: str = "custom"
    """Named configuration that all other values default to; `footage models` lists them."""
    method: Literal["gan", "vae", "predict", "translate", "upscale"] = "gan"
    """The way of training: a key of `footage.models.methods.METHODS`."""
    clip: ClipConfig = field(default_factory=ClipConfig)
    """The shape of the clips."""
    net: NetConfig = field(default_factory=Conv3dConfig)
    """The network that is trained, and kept."""
    learn: LearnConfig = field(default_factory=LearnConfig)
    """Learning from examples: every method but `gan`."""
    kl: KlConfig = field(default_factory=KlConfig)
    """Latent variables: `vae`, and predictors that have some."""
    task: TaskConfig = field(default_factory=TaskConfig)
    """What predictors and translators are given."""
    upscale: UpscaleConfig = field(default_factory=UpscaleConfig)
    """What upscalers are given, and what is asked of them."""
    gan: GanConfig = field(default_factory=GanConfig)
    """Adversarial training: `gan`, and every other method that has critics."""
    critics: tuple[CriticConfig, ...] = (CriticConfig(),)
    """The critics; there may be none where something else is learned from."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Changes made alike to real and generated clips before the critics see them, for small data sets."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """The training loop."""

    def __post_init__(self) -> None:
        """Refuse parts that do not go together."""
        check_method(self.method, self.net, self.task, self.clip, self.critics)
        check_knobs(self)
        latent = isinstance(self.net, VaeConfig) and self.net.prior == "gan"
        remedy = "changes are made to pixels, and these critics judge latent volumes: give 0"
        require(not (latent and self.augment.probability), "augment.probability", self.augment.probability, remedy)
        if self.critics:
            check_together(self.gan, self.critics, judged_clip(self.clip, self.net, self.task))


def to_json(config: Any) -> dict[str, Any]:
    """Turn a configuration into plain JSON values."""
    value: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))  # tuples become lists
    return value


def from_json(kind: type[T], value: Any, where: str = "configuration") -> T:
    """Build a configuration from JSON values, strictly.

    A knob that is missing has its default: models and runs stay readable that were saved before there was such a knob,
    whose default therefore has to be what was done without it.

    Raises:
        ConfigError: a key is unknown, a section is missing, or a value has the wrong type or is not allowed.
    """
    if not isinstance(value, dict):
        raise ConfigError(f"{where} is {value!r:.80}", "give an object of named values")
    hints = typing.get_type_hints(kind)
    for key in value:
        if key not in hints:
            raise ConfigError(f'{where} has no "{key}"', nearest(key, hints))
    for section in SECTIONS if kind is Config else ():
        require(section in value, f"{where}.{section}", None, "add it, or make the file again with this version")
    return kind(**{key: _value(hints[key], item, f"{where}.{key}") for key, item in value.items()})


def _value(hint: Any, item: Any, where: str) -> Any:
    """Check one JSON value against its annotation."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_json(hint, item, where)
    if typing.get_origin(hint) is Literal:
        allowed = [str(a) for a in typing.get_args(hint)]
        require(item in typing.get_args(hint), where, item, nearest(str(item), allowed))
        return item
    if typing.get_origin(hint) is tuple:
        require(isinstance(item, (list, tuple)), where, item, "give a list")
        return tuple(_value(typing.get_args(hint)[0], part, f"{where}.{i}") for i, part in enumerate(item))
    if isinstance(hint, types.UnionType):
        kinds = [a for a in typing.get_args(hint) if a is not type(None)]
        if item is None and len(kinds) < len(typing.get_args(hint)):
            return None
        if len(kinds) > 1:
            return _tagged(kinds, item, where)
        return _value(kinds[0], item, where)
    if hint is float and isinstance(item, int) and not isinstance(item, bool):
        item = float(item)
    ok = isinstance(item, hint) and not (hint is int and isinstance(item, bool))
    require(ok, where, item, f"give a value of type {hint.__name__}")
    require(not isinstance(item, float) or math.isfinite(item), where, item, "give a finite number")
    return item


def _tagged(kinds: Sequence[type], item: Any, where: str) -> Any:
    """Build the one of several dataclasses that the value's `kind` names."""
    by_name = {kind.kind: kind for kind in kinds}  # type: ignore[attr-defined]
    name = item.get("kind") if isinstance(item, dict) else item
    require(name in by_name, f"{where}.kind", name, nearest(str(name), by_name))
    return from_json(by_name[name], item, where)


def differences(old: Any, new: Any) -> dict[str, tuple[Any, Any]]:
    """Return the knobs in which two configurations of one kind differ: dotted name -> (old, new)."""
    a, b = flat(to_json(old)), flat(to_json(new))
    return {knob: (a.get(knob), b.get(knob)) for knob in dict.fromkeys([*a, *b]) if a.get(knob) != b.get(knob)}


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Flatten the JSON values of a configuration: dotted name of a knob -> value."""
    if isinstance(value, dict):
        items: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        return {prefix: value}
    return {n: v for key, item in items for n, v in flat(item, f"{prefix}.{key}" if prefix else str(key)).items()}
