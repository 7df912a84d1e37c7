from __future__ import annotations

import math

import pytest

from footage.errors import ConfigError
from footage.models.requests import Timing, parse_duration, parse_factor


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4s", 4.0),
        ("4", 4.0),
        (4, 4.0),
        (2.5, 2.5),
        (".5s", 0.5),
        ("90 s", 90.0),
        ("2m", 120.0),
        ("1.5H", 5400.0),
        ("10:00", 600.0),
        ("1:02:03", 3723.0),
        ("90:00", 5400.0),
        ("0:01.25", 1.25),
        ("0", 0.0),
        (1e-5, 1e-5),
        (1e20, 1e20),
        (10**400, math.inf),
        ("9" * 400 + ":00", math.inf),
    ],
)
def test_durations(text: str | float, value: float) -> None:
    assert parse_duration(text, "seek") == value


@pytest.mark.parametrize("text", ["", "s", "-4", "4x", "1:2:3:4", "1:75", "ten", "nan", "inf", "1e3", "4 s 5"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ConfigError, match=r"seek is .*: give a duration such as 4s, 90, 10:00"):
        parse_duration(text, "seek")


@pytest.mark.parametrize("number", [-1, -1e-9, float("nan"), float("inf")])
def test_numbers_out_of_range(number: float) -> None:
    with pytest.raises(ConfigError, match=r"seek is .*: give a duration such as 4s"):
        parse_duration(number, "seek")
    with pytest.raises(ConfigError, match=r"slow is .*: give a factor above 0"):
        parse_factor(number, "slow")


def test_factors() -> None:
    assert parse_factor(1e-5, "slow") == 1e-5
    assert [parse_factor(text, "slow") for text in ("4x", "4", 4, "0.5X", "2.5 x")] == [4, 4, 4, 0.5, 2.5]
    for text in ("", "x", "0x", "-2", "4s", "nan"):
        with pytest.raises(ConfigError, match=r"slow is .*: give a factor above 0, such as 4x"):
            parse_factor(text, "slow")


def test_what_was_asked_for() -> None:
    assert Timing().given() == {}
    assert Timing(loop="4s", strength=0.5, motion_seed=0).given() == {"loop": "4s", "motion_seed": 0, "strength": 0.5}
