"""Programs that read a text aloud, and scripts that say who reads what.

A program is the user's own, and none comes with footage: a command with `{text}` and `{out}`, the file of sound that it
writes, and `{name}`, who speaks, in a script. It is run without a shell.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from footage.errors import ConfigError, MediaError
from footage.files import locked

ESPEAK = "espeak-ng -w {out} {text}"
"""The program that is taken where none is given and it is there."""
VARIABLE = "FOOTAGE_SPEECH"
"""Variable of the environment by which a studio tells its workers the command."""
LONGEST_TEXT = 5_000
"""Characters that are given to a program at once."""
SPEECH_SECONDS = 300
"""A program that takes longer is ended."""


def speech_program(command: str | None) -> str:
    """Return the command of the program that reads a text aloud.

    Raises:
        ConfigError: none is given, and there is no espeak-ng.
    """
    if command is None and shutil.which("espeak-ng") is None:
        raise ConfigError(
            "no speech program is given, and espeak-ng is not installed",
            "install one, and give its command, such as --speech 'espeak-ng -w {out} {text}'; or give a recording with "
            "--audio",
        )
    return ESPEAK if command is None else command


def read_command(command: str) -> list[str]:
    """Return the program and its arguments, in which the places of text, file and name stand as they are.

    Raises:
        ConfigError: it is none.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f'speech is "{command}" ({error})', "close every quotation mark") from None
    if not words or "{text}" not in command or "{out}" not in command:
        raise ConfigError(
            f'speech is "{command}"', "give a command with {text} and {out}, such as 'espeak-ng -w {out} {text}'"
        )
    return words


def read_text(text: str) -> str:
    """Return a text as a program is given it: in one line, without what no program can be given.

    Raises:
        ConfigError: there is none, or it is too long.
    """
    # No program can be given what C ends a text with, nor half of a pair that stands for one sign.
    text = " ".join(text.replace("\0", " ").encode("utf-8", "ignore").decode("utf-8").split())
    if not text:
        raise ConfigError("there is no text to speak", "give some words")
    if len(text) > LONGEST_TEXT:
        raise ConfigError(
            f"the text has {len(text):,} characters, and {LONGEST_TEXT:,} are spoken at once",
            "put it into a script, a line for each part, and give --script",
        )
    return text


def say(command: str, text: str, out: Path, name: str = "") -> Path:
    """Let a program read a text into a file of sound.

    Args:
        command: the program and its arguments; `{text}`, `{out}` and `{name}` stand for what follows.
        text: what is said.
        out: the file, which the program writes.
        name: who says it.

    Raises:
        ConfigError: the command is none, or there is no such program, or no text.
        MediaError: the program failed, or wrote no sound.
    """
    text, words = read_text(text), read_command(command)
    # A text that begins with a dash would be taken for an option.
    text = f" {text}" if text.startswith("-") else text
    # The text comes last: it may speak of {out}.
    words = [word.replace("{out}", str(out)).replace("{name}", name).replace("{text}", text) for word in words]
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SPEECH_SECONDS,
            env=locked.foreign_environment(),
        )
    except OSError as error:
        raise ConfigError(
            f'the speech program "{words[0]}" cannot be started ({error.strerror})',
            "install it, or give another with --speech",
        ) from None
    except subprocess.TimeoutExpired:
        raise MediaError(
            f"{words[0]} did not end within {SPEECH_SECONDS} seconds", "give a shorter text, or another program"
        ) from None
    if done.returncode or not out.is_file() or not out.stat().st_size:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        why = said[-1][:200] if said else "it wrote no sound" if not done.returncode else "it said nothing"
        raise MediaError(
            f"{words[0]} ended with status {done.returncode}: {why}", "try the command by itself in a terminal"
        )
    return out


@dataclass(frozen=True)
class ScriptLine:
    """Something that a figure says."""

    name: str
    text: str


def read_script(text: str, source: str = "the script") -> list[ScriptLine]:
    """Read a script: a line for each turn, `name: text`; empty lines and those that begin with # count for nothing.

    The colon may be a wide one, and the mark that some editors write before UTF-8 may stand in front. `source` is what
    the script is called in errors.

    Raises:
        MediaError: a line names nobody, or there is none.
    """
    turns = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, *rest = re.split("[:：]", line, maxsplit=1)
        if not (name.strip() and rest and rest[0].strip()):
            raise MediaError(f'line {number} of {source} is "{line[:80]}"', "write it as name: text")
        turns.append(ScriptLine(name.strip(), rest[0].strip()))
    if not turns:
        raise MediaError(f"{source} holds no line", "write lines such as anna: hello")
    return turns


def check_cast(turns: list[ScriptLine], figures: list[str]) -> None:
    """Refuse a script in which somebody speaks who is no figure.

    Raises:
        ConfigError: somebody does.
    """
    for turn in turns:
        if turn.name not in figures:
            raise ConfigError(
                f'"{turn.name}" speaks in the script, and there is no such figure', f"give {turn.name}=PICTURE"
            )
