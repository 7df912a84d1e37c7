"""Verbs that fill a library and judge what is in it: `footage library add`, `tag`, `rate`, `verify` and so on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from footage.commands.browsing import ANY, Selection, chosen, library
from footage.commands.making import Device
from footage.commands.terminal import make_console
from footage.errors import ConfigError, MediaError

if TYPE_CHECKING:
    from rich.console import Console

    from footage.library.edits import HistoryStep
    from footage.library.entries import ClipEntry
    from footage.library.maintenance import CollectionReport, VerificationReport


def add(
    folder: Path,
    sources: tuple[Path, ...],
    *,
    tag: tuple[str, ...] = (),
    prompt: str | None = None,
    quiet: bool = False,
) -> list[ClipEntry]:
    """Take clips into a library, which is made where it is missing. The same content is taken in once only.

    Args:
        folder: the library.
        sources: videos, pictures, folders (searched with their subfolders), zip files, such as another's export.
        tag: tags for them.
        prompt: a caption for them.
        quiet: print nothing.

    Returns:
        The clips that are new.
    """
    from footage.commands.terminal import tracked
    from footage.library.additions import ClipDetails
    from footage.library.storage import DiskFull

    console = make_console(quiet)
    for source in sources:
        if not source.exists():
            raise MediaError(f'"{source}" does not exist', "give a video, a picture, a folder or a zip file")
    found = [path for source in sources for path in _media(source)]
    new: list[ClipEntry] = []
    same = refused = 0
    with library(folder, create=True) as opened:
        known = ClipDetails(tags=tag, prompt=prompt)
        for path in tracked(found, len(found), "adding", console):
            try:
                if path.suffix.lower() == ".zip":
                    unpacked = opened.unpack(path)
                    opened.bulk(unpacked.added, {} if prompt is None else {"prompt": prompt}, tag=tag)
                    new += opened.entries(unpacked.added)
                    same += len(unpacked.known)
                    for name, reason in unpacked.refused:
                        refused += _refused(console, f"{path.name}/{name}", reason)
                    continue
                entry = opened.add_new(path, known)
            except MediaError as error:
                if len(found) == 1 or isinstance(error, DiskFull):
                    raise
                refused += _refused(console, path.name, str(error))
                continue
            new += [] if entry is None else [entry]
            same += entry is None
    said = f"{len(new):,} added, {same:,} there already, {refused:,} refused: {folder}"
    console.print(said, highlight=False, markup=False)
    return new


def _refused(console: Console, name: str, reason: str) -> int:
    console.print("left out", style="yellow", end=" ")
    console.print(f"{name}: {reason}", highlight=False, markup=False)
    return 1


def _media(source: Path) -> Iterator[Path]:
    """Yield the clips that a path means: itself, or, of a folder, those inside; numbered pictures are one clip."""
    from footage.library.storage import PICTURE_SUFFIXES, VIDEO_SUFFIXES

    if not source.is_dir():
        yield source
        return
    inside = sorted(path for path in source.iterdir() if not path.name.startswith("."))
    suffixes = [path.suffix.lower().removeprefix(".") for path in inside]
    numbered = [path for path in inside if path.suffix.lower() == ".png" and path.stem.isdecimal()]
    if len(numbered) > 1 and len(numbered) == len(inside):
        yield source
        return
    for path, suffix in zip(inside, suffixes, strict=True):
        if path.is_dir() and not path.is_symlink():
            yield from _media(path)
        elif suffix in VIDEO_SUFFIXES | PICTURE_SUFFIXES | {"zip"} and path.name != "sheet.png":
            yield path


def tag(
    folder: Path,
    clips: tuple[int, ...] = (),
    *,
    add: tuple[str, ...] = (),
    remove: tuple[str, ...] = (),
    where: Selection = ANY,
    quiet: bool = False,
) -> int:
    """Give clips tags, or take tags from them.

    Args:
        folder: the library.
        clips: their numbers; or say which by the flags --where.
        add: tags to give.
        remove: tags to take.
        where: which clips.
        quiet: print nothing.

    Returns:
        How many clips were meant.
    """
    if not add and not remove:
        raise ConfigError("there are no tags", "give --add TAG or --remove TAG")
    return _bulk(folder, clips, where, {}, add, remove, quiet)


def rate(
    folder: Path,
    clips: tuple[int, ...] = (),
    *,
    stars: int | None = None,
    verdict: Literal["keep", "reject", "undecided"] | None = None,
    where: Selection = ANY,
    quiet: bool = False,
) -> int:
    """Give clips stars, keep or reject them.

    Args:
        folder: the library.
        clips: their numbers; or say which by the flags --where.
        stars: 0 to 5.
        verdict: keep, reject or undecided.
        where: which clips.
        quiet: print nothing.

    Returns:
        How many clips were meant.
    """
    given = {"stars": stars, "verdict": verdict}
    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        raise ConfigError("there is no rating", "give --stars 4 or --verdict keep")
    return _bulk(folder, clips, where, changes, (), (), quiet)


def edit(
    folder: Path,
    clips: tuple[int, ...],
    *,
    title: str | None = None,
    prompt: str | None = None,
    label: str | None = None,
    notes: str | None = None,
    quiet: bool = False,
) -> int:
    """Change a clip's title, prompt, label or notes.

    Args:
        folder: the library.
        clips: their numbers.
        title: the new title.
        prompt: the new caption.
        label: the new class.
        notes: the new notes.
        quiet: print nothing.

    Returns:
        How many clips were meant.
    """
    given = {"title": title, "prompt": prompt, "label": label, "notes": notes}
    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        raise ConfigError("there is nothing to change", "give --title, --prompt, --label or --notes")
    return _bulk(folder, clips, ANY, changes, (), (), quiet)


def remove(folder: Path, clips: tuple[int, ...] = (), *, where: Selection = ANY, quiet: bool = False) -> int:
    """Put clips into the bin.

    Args:
        folder: the library.
        clips: their numbers; or say which by the flags --where.
        where: which clips.
        quiet: print nothing.

    Returns:
        How many went into the bin.
    """
    with library(folder) as opened:
        count = opened.remove(chosen(opened, clips, where))
    make_console(quiet).print(f"{count:,} clips into the bin; back: footage library undo {folder}", highlight=False)
    return count


def restore(folder: Path, clips: tuple[int, ...] = (), *, where: Selection = ANY, quiet: bool = False) -> int:
    """Take clips out of the bin.

    Args:
        folder: the library.
        clips: their numbers; or say which by the flags --where.
        where: which clips.
        quiet: print nothing.

    Returns:
        How many came back.
    """
    binned = where if where == ANY else replace(where, bin=True)
    with library(folder) as opened:
        count = opened.restore(chosen(opened, clips, binned))
    make_console(quiet).print(f"{count:,} clips out of the bin", highlight=False)
    return count


def purge(folder: Path, clips: tuple[int, ...] = (), *, everything: bool = False, quiet: bool = False) -> int:
    """Remove clips that lie in the bin for good, files and all. This cannot be undone.

    Args:
        folder: the library.
        clips: their numbers.
        everything: empty the bin.
        quiet: print nothing.

    Returns:
        How many were removed.
    """
    if not clips and not everything:
        raise ConfigError("no clip is named", "give numbers of clips in the bin, or --everything")
    with library(folder) as opened:
        count = opened.purge(None if everything else clips)
    make_console(quiet).print(f"{count:,} clips removed for good", highlight=False)
    return count


def undo(folder: Path, *, quiet: bool = False) -> HistoryStep | None:
    """Undo the last change.

    Args:
        folder: the library.
        quiet: print nothing.
    """
    with library(folder) as opened:
        return _stepped(opened.undo(), "undone", quiet)


def redo(folder: Path, *, quiet: bool = False) -> HistoryStep | None:
    """Do again what was undone last.

    Args:
        folder: the library.
        quiet: print nothing.
    """
    with library(folder) as opened:
        return _stepped(opened.redo(), "done again", quiet)


def _stepped(step: HistoryStep | None, word: str, quiet: bool) -> HistoryStep | None:
    said = "there is nothing to do" if step is None else f"{word}: {step.what}, {step.clips:,} clips"
    make_console(quiet).print(said, highlight=False, markup=False)
    return step


def embed_clips(folder: Path, model: Path, *, device: Device = "auto", quiet: bool = False) -> int:
    """Let a VAE say which clips are alike, instead of colours, layout, texture and motion.

    Args:
        folder: the library.
        model: a model folder, or a run, of a VAE.
        device: where to compute.
        quiet: print nothing.

    Returns:
        How many clips were embedded: those that this model had not seen.
    """
    from footage.commands.loading import load

    console = make_console(quiet)
    loaded = load(model, device)
    with library(folder) as opened, console.status("embedding"):
        kind = f"vae-{loaded.info.weights_sha256[:12]}"
        count = opened.embed(kind, loaded.embed, about=loaded.info.name)
    console.print(f"{count:,} clips embedded by {loaded.info.name}", highlight=False)
    return count


def verify(folder: Path, *, repair: bool = True, quick: bool = False, quiet: bool = False) -> VerificationReport:
    """Compare a library's tables with its files, and repair what can be repaired.

    Clips whose files are gone are marked as missing; files that no clip names become clips; thumbnails, previews and
    embeddings are made again.

    Args:
        folder: the library.
        repair: put right what was found.
        quick: look at the sizes of files only and not at their content.
        quiet: print nothing.
    """
    console = make_console(quiet)
    with library(folder) as opened, console.status("verifying"):
        found = opened.verify(repair=repair, quick=quick)
    console.print(f"{found.clips:,} clips: {'all is well' if found.sound else 'not all is well'}", highlight=False)
    for name, meaning in FINDINGS.items():
        if items := getattr(found, name):
            shown = ", ".join(str(item) for item in items[:10]) + (", …" if len(items) > 10 else "")
            console.print(f"{len(items):,} {meaning}: {shown}", highlight=False, markup=False)
    return found


FINDINGS = {
    "faults": "faults of the database",
    "missing": "clips whose files are gone",
    "found": "clips whose files are back",
    "changed": "clips whose files are not what was added",
    "orphans": "files that no clip names",
    "adopted": "clips made of files",
    "pictures": "clips without pictures",
    "vectors": "clips without embedding",
    "unfound": "clips that the search did not know",
}
"""What `verify` says of what it finds."""


def gc(folder: Path, *, bin_days: float | None = None, quiet: bool = False) -> CollectionReport:
    """Remove files that no clip needs, and give space back.

    Args:
        folder: the library.
        bin_days: also remove for good what has lain in the bin for longer than this.
        quiet: print nothing.
    """
    with library(folder) as opened:
        found = opened.gc(bin_days=bin_days)
    said = f"{found.purged:,} clips of the bin and {found.files:,} files removed ({found.bytes / 1e6:,.1f} MB of files)"
    make_console(quiet).print(said, highlight=False)
    return found


def _bulk(
    folder: Path,
    clips: tuple[int, ...],
    where: Selection,
    changes: dict[str, Any],
    tags: tuple[str, ...],
    untag: tuple[str, ...],
    quiet: bool,
) -> int:
    with library(folder) as opened:
        count = opened.bulk(chosen(opened, clips, where), changes, tag=tags, untag=untag)
    make_console(quiet).print(f"{count:,} clips; back: footage library undo {folder}", highlight=False)
    return count
