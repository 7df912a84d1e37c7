"""Verbs about locks: lock and unlock what lies on the disk, change its key; take a source out of everything."""

from __future__ import annotations

import contextlib
import getpass
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from footage.commands.terminal import make_console, print_marked, working
from footage.errors import ConfigError, DatasetError, KeyNeeded, counted, meant, nearest
from footage.files import file_digest, locked
from footage.machines.local import environment
from footage.trust import locks

SHORTEST = 8
"""Characters of a new passphrase, at least."""


def ask_passphrase(why: KeyNeeded) -> str:
    """Ask for the passphrase of what is there.

    Raises:
        KeyNeeded: there is no terminal, or nothing was typed.
    """
    typed = _typed(f"{why.problem}\npassphrase: ")
    if not typed:
        raise why
    return typed


def _typed(prompt: str) -> str:
    """Return what is typed on the terminal without being shown; nothing where there is none."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return ""
    return getpass.getpass(prompt, sys.stderr)


def new_passphrase(variable: str = locked.PASSPHRASE) -> str:
    """Return a new passphrase: of the environment, else typed twice.

    Raises:
        KeyNeeded: there is no terminal either.
        ConfigError: it is too short, or was not typed the same way twice.
    """
    if not (passphrase := os.environ.get(variable, "")):
        passphrase = _typed("new passphrase: ")
        if not passphrase:
            raise KeyNeeded(
                "there is no passphrase to lock with", f"set {variable}, run it on a terminal, or give a key file"
            )
        if _typed("the same again: ") != passphrase:
            raise ConfigError("the two passphrases differ", "type the same twice")
    if len(passphrase) < SHORTEST:
        raise ConfigError(
            f"the passphrase has {counted(len(passphrase), 'character')}", f"give at least {SHORTEST}, or some words"
        )
    return passphrase


@contextlib.contextmanager
def new_key(keyring: bool, yes: bool) -> Iterator[str]:
    """Say that a lost key is final, and give where the key of a new lock comes from, for the block.

    Raises:
        ConfigError: nobody agrees, or a key file is given besides the keyring.
        LockError: there is no key, or what locks is not installed.
    """
    locked.check_installed()
    console, key_file = make_console(to_stderr=True), os.environ.get(locked.KEY_FILE)
    if keyring and key_file:
        problem = f'keyring is given, and the key file "{key_file}" too (--key-file, {locked.KEY_FILE})'
        raise ConfigError(problem, "give one of them")
    print_marked(console, "final:", locks.FINAL)
    if not yes:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise ConfigError("nobody has agreed to that", "give --yes")
        print("lock it? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise ConfigError("nothing was locked", "answer y to lock")
    if key_file:
        locks.make_key_file(Path(key_file))
        console.print(f"key      {key_file}: keep a copy of it elsewhere")
        yield "key-file"
    elif keyring:
        yield "keyring"
    else:
        with environment({locked.PASSPHRASE: new_passphrase()}):
            yield "passphrase"


@dataclass(frozen=True)
class Locked:
    """What was locked or unlocked."""

    path: Path
    """The folder, or the new file."""
    files: int


def lock(
    path: Path,
    *,
    change_key: bool = False,
    key_file: Path | None = None,
    new_key_file: Path | None = None,
    keyring: bool = False,
    yes: bool = False,
    quiet: bool = False,
) -> Locked:
    """Lock a data set, model, run or library: nothing in it can be read without the key. A single file as age does.

    Of a folder that holds nothing but files, such as generated clips, each is locked as a single file is. Stopped, it
    goes on by the same command. The names of the files stay as they are, of single ones with .age. The passphrase is
    asked for on a terminal; else it is FOOTAGE_PASSPHRASE. Data sets that are locked as they are made (footage ingest
    --lock) never lay on the disk in the plain; what is locked later may still be found in the disk's free blocks.

    Args:
        path: the folder or the file.
        change_key: wrap a locked folder's key by FOOTAGE_NEW_PASSPHRASE, --new-key-file or --keyring, and no more.
        key_file: a file with the key, in place of a passphrase; made where it is missing. For any command.
        new_key_file: with --change-key, the file with the new key.
        keyring: keep the key in the system's keyring; not that of a single file.
        yes: agree that without the key everything is lost for good.
    """
    console = make_console(quiet)
    if not path.exists():
        raise ConfigError(f'there is no "{path}"', meant(path, "give a data set, a model, a run, a library or a file"))
    with environment({locked.KEY_FILE: None if key_file is None else str(key_file)}):
        loose = [path] if path.is_file() else locks.loose_files(path, hidden=False)
        if keyring and (new_key_file is not None or loose):
            other = path if loose else new_key_file
            raise ConfigError(f'keyring is given, and the key of "{other}" is in none', "leave --keyring out")
        if change_key:
            source, hidden = "keyring" if keyring else "passphrase", None
            if new_key_file is not None:
                locks.make_key_file(new_key_file)
                source, hidden = "key-file", locked.secret("key-file", key_file=new_key_file)
            elif not keyring:
                hidden = new_passphrase(locked.NEW_PASSPHRASE).encode()
            locks.change_key(path, source, hidden)
            console.print(f"changed  the key of {path}; its files are as they were")
            return Locked(path, 0)
        if loose:
            with new_key(False, yes) as source, working(console, "locking") as say:
                secret = locked.secret(source)
                for number, file in enumerate(loose, 1):
                    to = locks.lock_file(file, secret)
                    say(f"locking {number:,} of {len(loose):,}")
            what = counted(len(loose), "file") + f" of {path}" if path.is_dir() else str(to)
            console.print(f"locked   {what}, which the program age opens too")
            return Locked(path if path.is_dir() else to, len(loose))
        begun = (path / locked.HEADER).exists()
        if not begun:
            locks.kind_of(path)
        key = contextlib.nullcontext("passphrase") if begun else new_key(keyring, yes)
        with key as source, working(console, "locking"):
            count = locks.lock_folder(path, source)
    console.print(f"locked   {counted(count, 'file')} of {path}")
    return Locked(path, count)


def unlock(path: Path, *, key_file: Path | None = None, quiet: bool = False) -> Locked:
    """Make what is locked plain again. Stopped, it goes on by the same command.

    Args:
        path: a folder that is locked, a file that ends in .age, or a folder of such files alone.
        key_file: the file with the key; for any command.
    """
    console = make_console(quiet)
    if not path.exists():
        raise ConfigError(f'there is no "{path}"', meant(path, "give a locked folder, or a file that ends in .age"))
    with environment({locked.KEY_FILE: None if key_file is None else str(key_file)}):
        loose = [path] if path.is_file() else locks.loose_files(path, hidden=True)
        if loose:
            secret = locked.secret("key-file" if os.environ.get(locked.KEY_FILE) else "passphrase")
            with working(console, "unlocking") as say:
                for number, file in enumerate(loose, 1):
                    to = locks.unlock_file(file, secret)
                    say(f"unlocking {number:,} of {len(loose):,}")
            console.print(f"unlocked {counted(len(loose), 'file') + f' of {path}' if path.is_dir() else to}")
            return Locked(path if path.is_dir() else to, len(loose))
        with working(console, "unlocking"):
            count = locks.unlock_folder(path)
    console.print(f"unlocked {counted(count, 'file')} of {path}")
    return Locked(path, count)


@dataclass(frozen=True)
class Erased:
    """What was erased, and where it may still be known."""

    clips: int
    """Clips of data sets and libraries."""
    models: tuple[str, ...]
    """Models that have learned from it, or may have."""
    unknown: tuple[Path, ...] = ()
    """Places that know nothing of it."""


def erase(
    source: str,
    *,
    places: Annotated[tuple[Path, ...], arg(name="from")],
    models: tuple[Path, ...] = (),
    yes: bool = False,
    quiet: bool = False,
) -> Erased:
    """Take a source out of data sets and libraries for good, and say which models have seen it.

    Its clips, sound, labels, captions, previews and words go, and in a library what was made from it. Shards and
    database are written anew, so that its bytes are gone from them; blocks of the disk that are free now may still hold
    them. Stopped, the same command goes on. The source itself, copies, and what models know stay: those are named.

    Args:
        source: its name in the data set, such as videos/walk.mp4, the path of its file, or a folder of sources.
        places: data sets and libraries.
        models: folders of models and runs that may have been trained from the data sets.
        yes: agree that it cannot be undone. Without it, what would go is said, and nothing is erased.

    Raises:
        ConfigError: nobody has agreed, or the name is empty.
        DatasetError: no place knows it, or a data set would be left without clips.
    """
    from footage.data.ingest.erasure import Erasure, erase_sources, known_sources, load_ingested, who_saw
    from footage.data.store import Dataset
    from footage.library.library import Library
    from footage.models.card import models_in, read_info

    console, clips, erasure = make_console(quiet), 0, Erasure(source)
    libraries = [place for place in places if (place / "library.sqlite").is_file()]
    # All that could stop it is looked at before anything is erased.
    for place in places:
        erasure.read(place)
        if place not in libraries:
            erasure.foresee(place)
    known = set(erasure.sources)  # those too where it was begun
    if Path(source).is_file():
        erasure.digests.add(file_digest(Path(source)))
        erasure.paths.add(str(Path(source).absolute()))
    # By content, and by whole paths; the end of a path alone may be that of another file.
    wanted = erasure.digests, erasure.paths if erasure.digests else {source}
    taught, counts = list[tuple[str, str | None, str | None]](), dict[Path, int]()
    for folder in libraries:
        with Library(folder, create=False) as library:
            known |= {folder} if library.knows(*wanted) else set()
            taught += [
                (str(Path(one.folder).resolve()) if one.folder else one.name, one.dataset, one.dataset_digest)
                for one in library.models()
            ]
            counts[folder] = library.count_erased(*wanted)
        erasure.sources[folder] = []
    if not known:
        of_data = [place for place in places if place not in libraries]
        names = [name for place in of_data for name in known_sources(Dataset(place), load_ingested(place))]
        remedy = nearest(source, names) if names else "give the path that its clips came from, or its end"
        raise DatasetError(f'there is no source "{source}" in {", ".join(map(str, places))}', remedy)
    found = [path for folder in models for path in models_in(folder)]
    cards = [(str(path.resolve()), (info := read_info(path)).dataset, info.dataset_hash) for path in found]
    unknown = tuple(place for place in places if place not in known)
    seen = who_saw([*taught, *cards], erasure.hashes)
    if not yes:
        of_sources = {place: names for place, names in erasure.sources.items() if place not in counts}
        counts |= {
            place: sum(row.source in names for row in Dataset(place).rows) for place, names in of_sources.items()
        }
        going = (f"{counted(count, 'clip')} from {place}" for place, count in counts.items())
        print_marked(console, "would go:", *going)
        print_marked(console, "model:", *(f"{text}; it would stay" for text in seen))
        raise ConfigError(f'"{source}" would be erased, which cannot be undone', "give --yes")
    erasure.begin()
    for place, names in erasure.sources.items():
        if place not in libraries:
            count = erase_sources(place, names)
            clips += count
            console.print(f"erased   {counted(count, 'clip')} of {counted(len(names), 'source')} from {place}")
    for folder in libraries:
        with Library(folder, create=False) as library:
            count = library.erase(*wanted)
        clips += count
        console.print(f"erased   {counted(count, 'clip')} from {folder}")
    for place in unknown:
        console.print(f'unknown  {place} has no source "{source}"', markup=False)
    print_marked(console, "model:", *(f"{text}; train it again without, or remove it" for text in seen))
    if not seen:
        where = "of those that were named" if models or libraries else "was looked at: give --models FOLDER"
        console.print(f"models   none {where}")
    erasure.end()
    return Erased(clips, seen, unknown)
