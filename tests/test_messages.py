"""The list of all errors of the site: it leaves none out, each says what to do, and what is in it can be read."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import footage
from footage import errors

ROOT = Path(__file__).parents[1]
PACKAGE = Path(footage.__file__).parent


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_messages", ROOT / ".ci" / "messages.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def messages(hook: ModuleType) -> list[Any]:
    found: list[Any] = hook.Reader().messages()
    return found


def raised() -> set[str]:
    """Return where an error that users are meant to read is made: every line that raises or returns one."""
    names = {name for name, thing in vars(errors).items() if isinstance(thing, type) and issubclass(thing, Exception)}
    texts = {path: path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
    for text in texts.values():
        names |= {name for name, base in re.findall(r"^ *class (\w+)\((\w+)\):", text, re.M) if base in names}
    made = re.compile(rf"^ *(?:raise|return|raise [^\n]* else) (?:{'|'.join(sorted(names))})\(")
    lines = ((path, *line) for path, text in texts.items() for line in enumerate(text.splitlines(), 1))
    return {f"{path.relative_to(PACKAGE).as_posix()}:{number}" for path, number, line in lines if made.match(line)}


def test_no_error_is_left_out(messages: list[Any]) -> None:
    assert len(raised()) > 700
    assert raised() - {message.raised for message in messages} == set()


def test_every_error_says_what_to_do(messages: list[Any]) -> None:
    mute = [f"{m.asked} {m.problem}" for m in messages if m.kind != "warning" and not m.remedy.strip()]
    assert mute == []


def test_texts_are_followed_to_where_they_are_written(messages: list[Any]) -> None:
    told = {(message.problem, message.remedy) for message in messages}
    assert ("the disk is read-only", "choose another place") in told  # what a function returns
    assert ("width is {value}", "give 4 to 512 channels") in told  # the bounds of a field
    assert any(problem.startswith("net.points") or "net.groups is" in problem for problem, _ in told)  # a parameter
    assert ("{clips} clips are given", "give two or more") in told  # what is counted, as several
    lost = [m for m in messages if re.fullmatch(r"\W*\{[^}]*\}\W*", m.problem) and m.kind != "warning"]
    assert len(lost) < len(messages) / 40, lost


def test_warnings_are_found_however_they_are_given(messages: list[Any]) -> None:
    warned = {(message.raised.partition(":")[0], message.problem) for message in messages if message.kind == "warning"}
    for place, text in (
        ("evaluation/inputs.py", "{name} is read as {layout}, all of it"),  # warnings += [... for ...]
        ("training/processes.py", "rank {rank} has waited for {LATE} s, for {names}"),  # print(..., file=sys.stderr)
        ("evaluation/inputs.py", "{name}: {side.too_short} clips of fewer than {protocol.frames} frames left out"),
    ):
        assert (place, text) in warned
    through = [text for place, text in warned if "they are not led through its latents" in text]
    assert len(through) == 1 and "gives these videos back with" in through[0]  # a variable with names in it


def test_a_room_without_a_heading_is_named(hook: ModuleType) -> None:
    stray = hook.Message("no", "yes", "FootageError", "attic.py:1", "attic.py:1")
    with pytest.raises(AssertionError, match="give attic a heading: ROOMS"):
        hook.page([stray])


def test_the_page_has_them_room_by_room(hook: ModuleType, messages: list[Any]) -> None:
    page = hook.page(messages)
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert rooms | {"errors"} == {*hook.ROOMS}
    assert '<td>there is no preset "<var>name</var>"</td><td>did you mean' in page
    assert len(re.findall("<tr><td>", page)) == int(re.findall(r"warns of, ([\d,]+) ", page)[0].replace(",", ""))
