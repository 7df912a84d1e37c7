"""The errors a user is meant to read: each names the offending value and the remedy. What counts things in words."""

from __future__ import annotations

import contextlib
import difflib
import itertools
import os
from collections.abc import Iterable
from pathlib import Path

MOST_BESIDE = 2_000
"""Entries of a folder among which a mistyped path is looked for."""


class FootageError(Exception):
    """Something the user can put right. The command line prints it without a traceback.

    Args:
        problem: what is wrong, naming the value.
        remedy: what to do about it, in one sentence; may be empty.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{problem}: {remedy}" if remedy else problem)


class ConfigError(FootageError):
    """A knob has a value that is not allowed, or is not known."""


class MediaError(FootageError):
    """A video, picture or array cannot be read or written."""


class DatasetError(FootageError):
    """A dataset folder is missing, empty, damaged or unsuitable."""


class ModelError(FootageError):
    """A model folder is missing, damaged, tampered with, or made by a newer version."""


class LibraryError(FootageError):
    """A library is missing, locked, damaged, full or made by a newer version, or holds no such clip."""


class RemoteError(FootageError):
    """An address cannot be reached, read or written to, or what is there is damaged."""


class UnwritableError(FootageError):
    """A place that is to be written to cannot be."""


class ClusterError(FootageError):
    """A cluster cannot be reached, or one of its machines lacks what it needs."""


class ProvenanceError(FootageError):
    """What a file says of its origin cannot be signed or read."""


class LockError(FootageError):
    """What is locked cannot be opened: another key, damage, or something that was put in its place."""


class KeyNeeded(LockError):
    """What is locked needs a passphrase, which nobody has given; the command line asks for it."""


class TrainingError(FootageError):
    """Training cannot start or cannot go on."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `did you mean "..."?` or the list of known names, for the end of an error message.

    Short names may differ in half of their letters, longer ones in fewer.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5 if len(name) < 5 else 0.6)
    if close:
        return "did you mean " + " or ".join(f'"{c}"' for c in close) + "?"
    return "known are " + ", ".join(names) if names else "there are none"


def meant(path: Path | str, remedy: str, known: Iterable[str] = (), *, table: str = "") -> str:
    """Return `did you mean "..."?` of what lies beside a path that is missing, and of known names; else the remedy.

    Args:
        path: what was given.
        remedy: what to do where nothing like it is there.
        known: names, such as those of built-in data sets, that may stand in place of a path of one part.
        table: what a folder that is meant has in it, or in the "model" of a run.
    """
    given = Path(path)
    if "://" in str(path) or os.path.lexists(given):
        return remedy
    rest, missing = Path(), given
    while not missing.parent.is_dir() and missing.parent != missing:
        missing, rest = missing.parent, missing.name / rest
    beside: list[str] = []
    with contextlib.suppress(OSError), os.scandir(missing.parent) as entries:
        beside = [entry.name for entry in itertools.islice(entries, MOST_BESIDE) if not entry.name.startswith(".")]
    places = {name: str(missing.with_name(name) / rest) for name in beside}
    names = {name: name for name in known if len(given.parts) == 1}
    wanted = (table, os.path.join("model", table)) if table else ("",)
    names |= {
        name: place for name, place in places.items() if any(os.path.exists(os.path.join(place, end)) for end in wanted)
    }
    cutoff = 0.5 if len(missing.name) < 5 else 0.6
    close = difflib.get_close_matches(missing.name, names, n=3, cutoff=cutoff) if missing.name else []
    return "did you mean " + " or ".join(f'"{names[name]}"' for name in close) + "?" if close else remedy


def counted(count: float, one: str, many: str = "") -> str:
    """Return a number with what it counts, such as "1 clip" or "1,200 clips".

    Args:
        count: a whole number, or one with a fraction.
        one: what there is one of.
        many: what there are several or none of; `one` and an s if it is empty.
    """
    number = f"{int(count):,}" if count % 1 == 0 else f"{count:g}"
    return f"{number} {one if count == 1 else many or f'{one}s'}"
