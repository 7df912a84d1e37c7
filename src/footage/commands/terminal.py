"""The terminal: one place that makes consoles and progress bars, so that output looks the same everywhere.

Ctrl-C, and terminals that do not know every character, are seen to here too; and programs that follow a command: where
the environment has FOOTAGE_PROGRESS=json, progress and errors are lines of JSON on the error output; where it has
FOOTAGE_FOLLOWED=1, the command ends, as by Ctrl-C, when its input is closed.
"""

from __future__ import annotations

import _thread
import codecs
import contextlib
import dataclasses
import io
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text

from footage.errors import ConfigError

LOOKALIKES = {"×": "x", "·": "-", "•": "*", "–": "-", "—": "-", "−": "-", "…": "...", "→": "->", "←": "<-", "±": "+/-"}
LOOKALIKES |= {
    "≥": ">=",
    "≤": "<=",
    "≈": "~",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
    "²": "^2",
    "³": "^3",
    "√": "sqrt ",
}
"""What signs are written as where a terminal does not know them."""
LINES = {"─": "-", "━": "-", "═": "-", "╌": "-", "╸": "-", "╺": "-", "│": "|", "┃": "|", "║": "|"}
"""The same for the lines of tables; their corners become +."""
CONTROLS = tuple(code for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n")
"""Control characters (C0 and C1 of ISO 6429): terminals obey them."""
TOLD = 0.25
"""Seconds between two words on the progress of a phase to a program that follows."""
LOGGED = 10.0
"""Seconds between two lines on the progress of a work where no terminal shows it."""
STOPPED = 130
"""Exit status after Ctrl-C, as shells have it."""


def spell_out(error: UnicodeError) -> tuple[str, int]:
    """Write signs by others that look alike, and letters by their numbers, for names have to stay what they are.

    A handler of errors, as `codecs.register_error` takes it.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    written = []
    for sign in error.object[error.start : error.end]:
        if "\u2500" <= sign <= "\u257f":
            written.append(LINES.get(sign, "+"))
        elif "\u2580" <= sign <= "\u259f" or "\u2800" <= sign <= "\u28ff":  # blocks; dots of Braille, which turn
            written.append("#" if sign < "\u2800" else "*")
        else:
            written.append(LOOKALIKES.get(sign, sign.encode("ascii", "backslashreplace").decode("ascii")))
    return "".join(written), error.end


def open_streams() -> None:
    """Make the output take every character, whatever the terminal's encoding; where there is no output, drop it."""
    codecs.register_error("footage", spell_out)
    if sys.stdout is None or sys.stderr is None:
        nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until the process ends
        sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors != "footage":
            stream.reconfigure(errors="footage")


def drop_output() -> None:
    """Drop what the output does not take, such as a file on a full disk, and all that follows."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def stoppable(for_good: bool) -> Iterator[None]:
    """Let a first Ctrl-C end the block, as KeyboardInterrupt, and a second one the process, at once, in a sentence.

    Files are written whole or not at all, so that nothing has to be put in order before. Whether the process ends
    `for_good` after the block: then a Ctrl-C while it is ending is a second one.
    """
    pressed = 0

    def press(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed += 1
        if pressed == 1:
            raise KeyboardInterrupt
        with contextlib.suppress(OSError):
            shown = b"\x1b[0m\x1b[?25h" if os.isatty(2) else b""  # plain colours, and the cursor
            os.write(2, shown + b"\nstopped at once; what had been finished or saved before is kept\n")
        os._exit(STOPPED)

    def again() -> None:
        if hasattr(signal, "pthread_kill"):  # which ends a wait
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        else:
            _thread.interrupt_main()

    def complain(fault: Any) -> None:
        nonlocal pressed
        if not issubclass(fault.exc_type, KeyboardInterrupt):
            told(fault)
        elif pressed:  # it came where Python drops errors: once more, when that is over
            pressed -= 1
            threading.Timer(0.05, again).start()

    before, told = signal.getsignal(signal.SIGINT), sys.unraisablehook
    if threading.current_thread() is not threading.main_thread() or before in (signal.SIG_IGN, None):
        yield  # signals are not ours
        return
    signal.signal(signal.SIGINT, press)
    sys.unraisablehook = complain
    try:
        yield
    finally:
        sys.unraisablehook = told
        if for_good:
            pressed = max(pressed, 1)
        else:
            signal.signal(signal.SIGINT, before)


def tell_follower(**values: Any) -> None:
    """Tell the program that follows this command, if there is one, how it goes, as one line of JSON."""
    if os.environ.get("FOOTAGE_PROGRESS") == "json":
        with contextlib.suppress(OSError, ValueError):  # nobody listens any longer
            sys.stderr.write(json.dumps(values) + "\n")
            sys.stderr.flush()


def end_with_follower() -> None:
    """Stop this command, as by Ctrl-C, when the program that follows it closes its input or is gone."""

    def wait() -> None:
        while os.read(0, 1024):  # sys.stdin would have a lock, which the end of the process would wait for
            pass
        os.kill(os.getpid(), signal.SIGINT)

    if (
        os.environ.get("FOOTAGE_FOLLOWED") == "1"
    ):  # not in jobs of cron, CI and containers, which begin with a closed input
        threading.Thread(target=wait, name="follower", daemon=True).start()


class SafeConsole(Console):
    """A console on which no text moves the cursor, changes colours or rings: names come from files of strangers."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield what is printed, without the control characters of texts."""
        for segment in super().render(renderable, options):
            safe = segment.text.translate(dict.fromkeys(CONTROLS))
            yield segment if segment.control else Segment(safe, segment.style)

    def on_broken_pipe(self) -> None:
        """Leave it to `main` that whoever reads the output has gone."""
        raise BrokenPipeError


def make_console(quiet: bool = False, *, to_stderr: bool = False) -> Console:
    """Return a console for people; a quiet one prints nothing."""
    open_streams()
    # No markup: names of files and labels are printed as they are.
    return SafeConsole(quiet=quiet, stderr=to_stderr, soft_wrap=not sys.stdout.isatty(), markup=False, highlight=False)


T = TypeVar("T")


def as_plain(value: Any) -> Any:
    """Return the result of a command as JSON can hold it: fields of dataclasses, paths as texts, None for no number."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
        return {name: as_plain(item) for name, item in fields.items() if not name.startswith("_")}
    if isinstance(value, Mapping):
        return {str(key): as_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [as_plain(item) for item in value]
    if hasattr(value, "tolist"):  # of numpy, or torch
        return as_plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def take_flag(words: Sequence[str], flag: str) -> tuple[list[str], str | None]:
    """Return a command line without a flag, and what it is given: others depend on it, or every command may have it."""
    for number, word in enumerate(words):
        if word == flag and number + 1 < len(words):
            return [*words[:number], *words[number + 2 :]], words[number + 1]
        if word.startswith(f"{flag}="):
            return [*words[:number], *words[number + 1 :]], word.partition("=")[2]
    return list(words), None


def print_json(value: Any) -> None:
    """Print a result as one line of JSON."""
    escaped = {code: f"\\u{code:04x}" for code in CONTROLS}  # those that JSON allows in a text
    print(json.dumps(as_plain(value), ensure_ascii=False).translate(escaped))


def check_ending(to: Path, ending: str) -> Path:
    """Return a file that is to be written, as a path, if it ends so.

    Raises:
        ConfigError: it does not.
    """
    if (path := Path(to)).suffix.lower() != ending:
        raise ConfigError(f'to is "{to}"', f"give a file that ends in {ending}")
    return path


def print_marked(console: Console, mark: str, *texts: str, style: str = "yellow") -> None:
    """Print texts, each after a mark in colour, such as `warning:`."""
    for text in texts:
        console.print(mark, style=style, end=" ")
        console.print(text)


def print_block(console: Console, head: str, about: Mapping[str, str]) -> None:
    """Print a name, and below it what is known of it, a line each; nothing is cut, however narrow the terminal is."""
    lines = Table.grid(Column(style="bold", no_wrap=True), Column(overflow="fold"), padding=(0, 2, 0, 0))
    for name, text in about.items():
        if text:
            lines.add_row(Text(name), Text(text))
    console.print(head, style="bold", soft_wrap=True)
    console.print(Padding.indent(lines, 2))


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


class Log:
    """Says now and then, in lines, how a work goes whose bar nobody sees: the output is a file, or another program's.

    Args:
        console: where its bars are shown; a quiet one has no log.
    """

    def __init__(self, console: Console) -> None:
        shown = console.is_terminal or console.quiet or os.environ.get("FOOTAGE_PROGRESS") == "json"
        self._console, self._next = make_console(shown, to_stderr=True), time.monotonic() + LOGGED

    def say(self, text: str) -> None:
        """Print a text, unless something was printed, or all began, less than `LOGGED` seconds ago."""
        if time.monotonic() >= self._next:
            self._console.print(text)
            self._next = time.monotonic() + LOGGED


@contextlib.contextmanager
def working(console: Console, text: str) -> Iterator[Callable[[str], None]]:
    """Show that something goes on of which nobody knows how long it takes; the function that is lent says more."""
    tell_follower(phase=text)
    log = Log(console)
    with console.status(text) as status:

        def say(text: str) -> None:
            status.update(text)
            log.say(text)
            tell_follower(phase=text)

        yield say


@contextlib.contextmanager
def phases(console: Console) -> Iterator[Callable[[str, int, int, str], None]]:
    """Show a bar for each phase of a work; the function that is lent takes phase, done, total and a name."""
    with _bar(console) as bar:
        tasks: dict[str, object] = {}
        told, log = 0.0, Log(console)

        def show(phase: str, done: int, total: int, name: str) -> None:
            nonlocal told
            if phase not in tasks or done == total or time.monotonic() >= told:
                told = time.monotonic() + TOLD
                tell_follower(phase=phase, done=done, total=total, name=name)
            if phase not in tasks:
                tasks[phase] = bar.add_task(phase, total=total, name="")
            bar.update(tasks[phase], completed=done, total=total, name=name[-40:])  # type: ignore[arg-type]
            log.say(f"{phase} {done:,} of {total:,} {name}".rstrip())

        yield show
