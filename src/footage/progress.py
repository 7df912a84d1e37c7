"""Progress bars of the verbs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[name]}", style="dim", markup=False),
        console=console,
        transient=True,
        disable=not console.is_terminal or console.quiet,
    )


def tracked(items: Iterable[T], total: int, what: str, console: Console) -> Iterator[T]:
    """Pass items on, showing how many of `total` are done."""
    with _bar(console) as bar:
        task = bar.add_task(what, total=total, name="")
        for item in items:
            yield item
            bar.advance(task)


@contextlib.contextmanager
def phases(console: Console) -> Iterator[Callable[[str, int, int, str], None]]:
    """Show a bar for each phase of a work; the function that is lent takes phase, done, total and a name."""
    with _bar(console) as bar:
        tasks: dict[str, object] = {}

        def show(phase: str, done: int, total: int, name: str) -> None:
            if phase not in tasks:
                tasks[phase] = bar.add_task(phase, total=total, name="")
            bar.update(tasks[phase], completed=done, total=total, name=name[-40:])  # type: ignore[arg-type]

        yield show
