"""Latent sliders as people set them: 1=2,3=-1.5, in standard deviations of the content code."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from footage.errors import ConfigError

MOST = 5.0
"""How far a slider goes, to either side: further there is nothing that the model was trained on."""

Sliders = str | Mapping[int, float] | Mapping[str, float]
"""Such as "1=2,3=-1.5", or {1: 2.0, 3: -1.5}; numbers may be texts, as in JSON."""


def read(given: Sliders, count: int, name: str) -> dict[int, float]:
    """Return the values of sliders by their numbers, in order; those that stand at 0 are left out.

    Args:
        given: what was asked for.
        count: sliders that the model has.
        name: the model's.

    Raises:
        ConfigError: it cannot be read, or the model has no such slider, or a value is out of range.
    """
    pairs = _pairs(given) if isinstance(given, str) else [(str(number), value) for number, value in given.items()]
    if pairs and not count:
        raise ConfigError(
            f"slider {pairs[0][0]} is asked for, and {name} has none: no code of it stays for a whole clip",
            "leave the sliders out, or take a model with sliders (see: footage models)",
        )
    found: dict[int, float] = {}
    for number, value in pairs:
        if not (number.isascii() and number.isdigit() and 1 <= int(number[:9]) <= count and len(number) < 10):
            raise ConfigError(f'slider "{number}" is asked for, and {name} has {count}', f"give 1 to {count}")
        if int(number) in found:
            raise ConfigError(f"slider {int(number)} is given twice", "leave one of the two out")
        found[int(number)] = _value(number, value)
    return {number: value for number, value in sorted(found.items()) if value}


def _pairs(text: str) -> list[tuple[str, Any]]:
    """Take a text such as 1=2,3=-1.5 apart."""
    parts = [part.strip() for part in text.replace("，", ",").split(",") if part.strip()]
    for part in parts:
        if part.count("=") != 1:
            raise ConfigError(f'sliders has "{part}"', "give NUMBER=VALUE, with commas between, such as 1=2,3=-1.5")
    return [(number.strip(), value.strip()) for number, value in (part.split("=") for part in parts)]


def _value(number: str, value: Any) -> float:
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not -MOST <= found <= MOST:
        raise ConfigError(f'slider {number} is "{value}"', f"give a number from {-MOST:g} to {MOST:g}")
    return found


def write(values: Mapping[int, float]) -> str:
    """Return the values of sliders as they are written: 1=2,3=-1.5."""
    return ",".join(f"{number}={float(value)!r}".removesuffix(".0") for number, value in values.items())
