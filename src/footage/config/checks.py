"""What every configuration checks itself with."""

from __future__ import annotations

from footage.errors import ConfigError


def require(ok: bool, knob: str, value: object, remedy: str) -> None:
    """Refuse a knob's value, with the remedy, unless it is right."""
    if not ok:
        raise ConfigError(f"{knob} is {value!r}", remedy)
