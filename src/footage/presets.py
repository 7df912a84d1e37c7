"""Named, complete configurations: one table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from footage.config import ClipConfig, Config, Conv3dConfig, GanConfig, TrainConfig, from_json, to_json
from footage.errors import ConfigError, nearest


@dataclass(frozen=True)
class Preset:
    """A named configuration."""

    about: str
    """What it is, in one sentence."""
    config: Config
    """The configuration."""


_64 = Config(preset="conv3d-64", clip=ClipConfig(frames=16, height=64, width=64), net=Conv3dConfig(width=48))

PRESETS: dict[str, Preset] = {
    "conv3d-32": Preset(
        "3D-convolutional GAN, 16 frames of 32×32: quick to train, for a first look",
        replace(
            _64,
            preset="conv3d-32",
            clip=ClipConfig(frames=16, height=32, width=32),
            net=Conv3dConfig(width=32),
            train=TrainConfig(sample_clips=20_000),
            gan=GanConfig(lr=5e-4, critic_lr=5e-4, r1=0.2),
        ),
    ),
    "conv3d-64": Preset("3D-convolutional GAN, 16 frames of 64×64", _64),
    "conv3d-64-long": Preset(
        "3D-convolutional GAN, 32 frames of 64×64: the length of the VGAN paper",
        replace(_64, preset="conv3d-64-long", clip=ClipConfig(frames=32, height=64, width=64)),
    ),
}
"""Every preset, by name."""


def preset(name: str, overrides: Mapping[str, Any] | None = None) -> Config:
    """Return a preset, with some knobs changed.

    Args:
        name: a key of PRESETS.
        overrides: dotted knob -> value, such as {"gan.lr": 1e-4}.

    Raises:
        ConfigError: unknown preset or knob, or a value that is not allowed.
    """
    if name not in PRESETS:
        raise ConfigError(f'there is no preset "{name}"', nearest(name, PRESETS))
    return override(PRESETS[name].config, overrides or {})


def override(config: Config, overrides: Mapping[str, Any]) -> Config:
    """Return a configuration with some knobs changed; see `preset`."""
    value = to_json(config)
    for knob, setting in overrides.items():
        *path, last = knob.split(".")
        place: Any = value
        for part in path:
            place = place.get(part) if isinstance(place, dict) else None
        if not isinstance(place, dict) or last not in place:
            raise ConfigError(f'there is no knob "{knob}"', nearest(knob, knobs()))
        place[last] = setting
    return from_json(Config, value)


def knobs() -> list[str]:
    """Return the dotted names of all knobs."""

    def walk(value: Mapping[str, Any], prefix: str) -> list[str]:
        return [
            name
            for key, item in value.items()
            for name in (walk(item, f"{prefix}{key}.") if isinstance(item, dict) else [prefix + key])
        ]

    return walk(to_json(_64), "")


def tiny(config: Config) -> Config:
    """Return the same configuration with the narrowest networks and two clips a step, for tests."""
    net = dataclasses.replace(config.net, width=4, latent=8, label=4)
    train = TrainConfig(batch_size=2, device="cpu", precision="fp32", sample_clips=1_000_000)
    return replace(config, net=net, train=train)
