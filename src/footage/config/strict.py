"""Dataclasses that are configurations and requests: bounds, strict JSON, and functions that take their fields."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import functools
import inspect
import itertools
import json
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

from footage.errors import ConfigError, nearest

T = TypeVar("T")
LONGEST_VALUE = 200
"""Characters of a wrong value that an error shows."""


def require(ok: bool, knob: str, value: object, remedy: str) -> None:
    """Refuse a knob's value, with the remedy, unless it is right."""
    if not ok:
        raise ConfigError(f"{knob} is {value!r:.{LONGEST_VALUE}}", remedy)


def require_named(config: object, prefix: str, *knobs: str) -> None:
    """Refuse values that are not among those that a knob's annotation, a Literal, names."""
    hints = typing.get_type_hints(type(config))
    for knob in knobs:
        value, known = getattr(config, knob), typing.get_args(hints[knob])
        require(value in known, f"{prefix}.{knob}", value, nearest(str(value), known))


def bounded(default: T, least: float, most: float | None = None, unit: str = "", *, remedy: str = "") -> T:
    """Return a field of a dataclass with bounds that `check_bounds` holds it to; None is within all.

    Args:
        default: its default.
        least: the least value.
        most: the greatest; None for no limit.
        unit: what it is counted in, for the error.
        remedy: the error's advice, where it is another than "give ... to ...".
    """
    span = "0 or more" if not least else f"at least {least:g}"
    advice = remedy or f"give {span if most is None else f'{least:g} to {most:g}'} {unit}".rstrip()
    field: T = dataclasses.field(
        default=default, metadata={"bounds": (least, math.inf if most is None else most, advice)}
    )
    return field


def check_bounds(config: Any, prefix: str = "") -> None:
    """Refuse the values of bounded fields that are out of bounds, or no number."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if "bounds" in field.metadata and value is not None:
            least, most, advice = field.metadata["bounds"]
            require(least <= value <= most, f"{prefix}{field.name}", value, advice)  # NaN fails too


def to_json(config: Any) -> dict[str, Any]:
    """Turn a configuration into plain JSON values."""
    value: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))  # tuples become lists
    return value


def from_json(kind: type[T], value: Any, where: str = "configuration") -> T:
    """Build a configuration from JSON values, strictly.

    A knob that is missing has its default: models and runs stay readable that were saved before there was such a knob,
    whose default therefore has to be what was done without it. The fields that a class names in `required` have none.
    A class that has `decode` builds itself.

    Raises:
        ConfigError: a key is unknown, a section is missing, or a value has the wrong type or is not allowed.
    """
    if "decode" in vars(kind):
        return kind.decode(value, where)  # type: ignore[attr-defined,no-any-return]
    if not isinstance(value, dict):
        raise ConfigError(f"{where} is {value!r:.80}", "give an object of named values")
    hints = typing.get_type_hints(kind)
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for key in value:
        if key not in known:
            raise ConfigError(f'{where} has no "{key}"', nearest(key, known))
    for section in getattr(kind, "required", ()):
        require(section in value, f"{where}.{section}", None, "add it, or make the file again with this version")
    return kind(**{key: _value(hints[key], item, f"{where}.{key}") for key, item in value.items()})


def _value(hint: Any, item: Any, where: str) -> Any:
    """Check one JSON value against its annotation."""
    if isinstance(hint, type) and (dataclasses.is_dataclass(hint) or hasattr(hint, "decode")):
        return from_json(hint, item, where)
    if typing.get_origin(hint) is Literal:
        allowed = [str(a) for a in typing.get_args(hint)]
        require(item in typing.get_args(hint), where, item, nearest(str(item), allowed))
        return item
    if typing.get_origin(hint) is tuple:
        require(isinstance(item, (list, tuple)), where, item, "give a list")
        return tuple(_value(typing.get_args(hint)[0], part, f"{where}.{i}") for i, part in enumerate(item))
    if typing.get_origin(hint) is Mapping:
        require(isinstance(item, dict), where, item, "give an object of named values")
        key, kind = typing.get_args(hint)
        return {key(name): _value(kind, part, f"{where}.{name}") for name, part in item.items()}
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:  # of a Literal it is the latter
        kinds = [a for a in typing.get_args(hint) if a is not type(None)]
        if item is None:
            return None
        for kind in kinds[:-1]:
            with contextlib.suppress(ConfigError, ValueError):
                return _value(kind, item, where)
        return _value(kinds[-1], item, where)
    if hint is float and isinstance(item, int) and not isinstance(item, bool):
        with contextlib.suppress(OverflowError):  # of more than 308 digits: no float, and refused as such
            item = float(item)
    ok = isinstance(item, hint) and not (hint is int and isinstance(item, bool))
    require(ok, where, item, f"give a value of type {hint.__name__}")
    require(not isinstance(item, float) or math.isfinite(item), where, item, "give a finite number")
    return item


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


P = ParamSpec("P")
Fields = TypeVar("Fields")
Owner = TypeVar("Owner")
Result = TypeVar("Result")


def arguments_of(kind: Callable[P, Fields]) -> Callable[[Callable[[Fields], Result]], Callable[P, Result]]:
    """Let a function that takes a dataclass take its fields instead, as the dataclass itself does."""

    def decorate(function: Callable[[Fields], Result]) -> Callable[P, Result]:
        @functools.wraps(function)
        def take(*args: P.args, **kwargs: P.kwargs) -> Result:
            return function(kind(*args, **kwargs))

        _describe(take, kind)
        return take

    return decorate


def method_arguments_of(
    kind: Callable[P, Fields],
) -> Callable[[Callable[[Owner, Fields], Result]], Callable[Concatenate[Owner, P], Result]]:
    """Let a method that takes a dataclass take its fields instead; see `arguments_of`."""

    def decorate(method: Callable[[Owner, Fields], Result]) -> Callable[Concatenate[Owner, P], Result]:
        @functools.wraps(method)
        def take(owner: Owner, /, *args: P.args, **kwargs: P.kwargs) -> Result:
            return method(owner, kind(*args, **kwargs))

        _describe(take, kind, inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD))
        return take

    return decorate


def _describe(function: Any, kind: Any, *before: inspect.Parameter) -> None:
    """Give a function the signature of a dataclass, and the dataclass as `fields_of`."""
    function.__doc__ += f"\n\nThe arguments are the fields of `{kind.__module__}.{kind.__name__}`."
    function.__signature__ = inspect.Signature([*before, *inspect.signature(kind).parameters.values()])
    function.fields_of = kind


def field_texts(kind: type) -> dict[str, str]:
    """Return what the docstrings below a dataclass's fields say, those of its bases included: by field, in a line."""
    texts: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        module = ast.parse(Path(inspect.getfile(base)).read_text(encoding="utf-8"))
        body = next(node.body for node in module.body if isinstance(node, ast.ClassDef) and node.name == base.__name__)
        for field, below in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(field.target, ast.Name):
                texts[field.target.id] = " ".join(str(ast.literal_eval(below.value)).split())
    return texts
