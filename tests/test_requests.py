from __future__ import annotations

import inspect
import math
from dataclasses import fields

import pytest

import footage
from footage.config import from_json, to_json
from footage.config.strict import field_texts
from footage.errors import ConfigError
from footage.generation.model import Model
from footage.models.requests import GenerateRequest, StreamRequest, Timing, parse_duration, parse_factor


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


@pytest.mark.parametrize(
    "request_",
    [
        GenerateRequest(),
        GenerateRequest(3, seconds="1:00", fps=25.0, label="a+b", to_seed=7, sliders={1: 2.0, 3: -1.5}),
        GenerateRequest(frames=5, between=(3, 17), sliders="1=2", timing=Timing(loop=4.0, slow="2x", seek="10:00")),
    ],
)
def test_a_request_is_the_message_of_its_job(request_: GenerateRequest) -> None:
    assert from_json(GenerateRequest, to_json(request_)) == request_


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"cuont": 3}, 'job has no "cuont": did you mean "count"'),
        ({"count": "3"}, "job.count is '3': give a value of type int"),
        ({"timing": {"lop": 3}}, 'job.timing has no "lop": did you mean "loop"'),
        ({"seconds": [3]}, "job.seconds is"),
        ({"sliders": {"1": "far"}}, "job.sliders"),
        ({"count": 0}, "count is 0: give at least 1"),
        ({"between": [3, 4], "to_seed": 5}, "leave seed and to_seed out"),
    ],
)
def test_messages_are_read_strictly(message: object, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        from_json(GenerateRequest, message, "job")
    assert said in str(refused.value)


def test_a_request_is_written_down_once() -> None:
    """Arguments in Python and flags are the fields of the requests; each has a text for its flag."""
    for function, kind in ((Model.generate, GenerateRequest), (Model.stream, StreamRequest)):
        assert list(inspect.signature(function).parameters)[1:] == list(inspect.signature(kind).parameters)
    for function, kind in ((footage.generate, GenerateRequest), (footage.play, StreamRequest)):
        names = {field.name for field in fields(kind)}
        assert names <= set(inspect.signature(function).parameters)
        assert names <= field_texts(function.fields_of).keys()  # type: ignore[attr-defined]
