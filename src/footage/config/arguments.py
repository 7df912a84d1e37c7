"""Functions whose arguments are the fields of a dataclass: a request is written down once."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
Fields = TypeVar("Fields")
Owner = TypeVar("Owner")
Result = TypeVar("Result")


def arguments_of(kind: Callable[P, Fields]) -> Callable[[Callable[[Fields], Result]], Callable[P, Result]]:
    """Let a function that takes a dataclass take its fields instead, as the dataclass itself does.

    Args:
        kind: the dataclass.
    """

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
