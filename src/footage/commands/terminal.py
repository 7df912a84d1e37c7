"""The terminal: one place that makes consoles and progress bars, so that output looks the same everywhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def make_console(quiet: bool = False, *, to_stderr: bool = False) -> Console:
    """Return a console for people; a quiet one prints nothing."""
    # No markup: names of files and labels are printed as they are.
    return Console(quiet=quiet, stderr=to_stderr, soft_wrap=not sys.stdout.isatty(), markup=False, highlight=False)


T = TypeVar("T")


def print_marked(console: Console, mark: str, text: str, style: str = "yellow") -> None:
    """Print a text after a mark in colour, such as `warning:`."""
    console.print(mark, style=style, end=" ")
    console.print(text)


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


def tracked(items: Iterable[T], total: int, phase: str, console: Console) -> Iterator[T]:
    """Pass items on, showing how many of `total` are done."""
    with _bar(console) as bar:
        task = bar.add_task(phase, total=total, name="")
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
