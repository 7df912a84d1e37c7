"""What every configuration checks itself with."""

from __future__ import annotations

import typing

from footage.errors import ConfigError, nearest


def require(ok: bool, knob: str, value: object, remedy: str) -> None:
    """Refuse a knob's value, with the remedy, unless it is right."""
    if not ok:
        raise ConfigError(f"{knob} is {value!r}", remedy)


def require_named(config: object, prefix: str, *knobs: str) -> None:
    """Refuse values that are not among those that a knob's annotation, a Literal, names."""
    hints = typing.get_type_hints(type(config))
    for knob in knobs:
        value, known = getattr(config, knob), typing.get_args(hints[knob])
        require(value in known, f"{prefix}.{knob}", value, nearest(str(value), known))
