"""Verbs that look into a library and give out of it: `footage library list`, `search`, `show`, `export` and so on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from footage.commands.terminal import make_console
from footage.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from footage.library.albums import Album, View
    from footage.library.edits import HistoryStep
    from footage.library.entries import ClipEntry
    from footage.library.library import ClipSelection, Library
    from footage.library.query import Query


@dataclass(frozen=True)
class Selection:
    """Which clips are meant: those that fulfil all that is given."""

    text: str = ""
    """Words or parts of words that they hold; a phrase stands in double quotes."""
    model: str | None = None
    """Name of the model that made them."""
    label: str | None = None
    """Their class."""
    tag: tuple[str, ...] = ()
    """Tags that they all have."""
    without: tuple[str, ...] = ()
    """Tags that they do not have."""
    stars: int = 0
    """Fewest stars."""
    verdict: Literal["keep", "reject", "undecided"] | None = None
    """What was decided on them."""
    origin: Literal["generated", "imported"] | None = None
    """Whether footage made them."""
    album: str | None = None
    """Name of the album that they are in."""
    view: str | None = None
    """Name of a saved view, to begin with."""
    missing: bool = False
    """Those whose files are gone."""
    bin: bool = False
    """Those in the bin."""
    everything: bool = False
    """All clips of the library."""
    sort: str | None = None
    """newest, oldest, stars, title, longest, shortest, largest, seed, changed, or metric:NAME."""


ANY = Selection()
"""Nothing is said of which clips."""


def library(folder: Path, *, create: bool = False) -> Library:
    """Keep clips, generated or found, with all that is known of them: search, judge, use.

    Args:
        folder: the library's folder.
        create: make it where it is missing.
    """
    from footage.library.library import Library

    return Library(folder, create=create)


def list_clips(folder: Path, *, limit: int = 50, selection: Selection = ANY, quiet: bool = False) -> list[ClipEntry]:
    """List clips, the newest first.

    Args:
        folder: the library.
        limit: how many, at most.
        selection: which.
        quiet: print nothing.
    """
    with library(folder) as opened:
        query = query_of(opened, selection)
        total = opened.count(query.filters, query.text)
        entries: list[ClipEntry] = []
        cursor: str | None = None
        while len(entries) < limit:
            page = opened.query(query.filters, query.text, query.sort, cursor, min(1000, limit - len(entries)))
            entries += page.entries
            cursor = page.cursor
            if cursor is None:
                break
    console = make_console(quiet)
    _show_table(console, entries)
    rest = f", the first {len(entries):,} are shown; more: --limit {total}" if total > len(entries) else ""
    console.print(f"{total:,} clips{rest}", highlight=False)
    return entries


def search(
    folder: Path, words: tuple[str, ...], *, limit: int = 50, selection: Selection = ANY, quiet: bool = False
) -> list[ClipEntry]:
    """Find clips by words, or parts of words, of title, prompt, label, model, source, tags or notes.

    Args:
        folder: the library.
        words: they must all be there.
        limit: how many clips are shown, at most.
        selection: which clips come into question.
        quiet: print nothing.
    """
    text = " ".join([selection.text, *(f'"{word}"' if " " in word else word for word in words)]).strip()
    return list_clips(folder, limit=limit, selection=replace(selection, text=text), quiet=quiet)


def show(folder: Path, clip: str, *, quiet: bool = False) -> ClipEntry:
    """Show all that is known of a clip, and where it comes from.

    Args:
        folder: the library.
        clip: its number, or 8 or more characters of its digest.
        quiet: print nothing.
    """
    from rich.table import Table
    from rich.text import Text

    with library(folder) as opened:
        entry = opened.get(clip)
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        for name, value in vars(entry).items():
            if value not in (None, "", (), {}, False):
                table.add_row(Text(name, style="bold"), Text(_plainly(name, value)))
        table.add_row(Text("file", style="bold"), Text(str(folder / "files" / entry.digest[:2] / entry.name)))
        albums = ", ".join(album.name for album in opened.albums.of(entry.id))
        table.add_row(Text("albums", style="bold"), Text(albums or "–"))
        console = make_console(quiet)
        console.print(table)
        for line in _ancestry(opened.provenance(entry.id)):
            console.print(line, highlight=False, markup=False)
    return entry


def _plainly(name: str, value: Any) -> str:
    import datetime

    if name in ("added", "changed", "deleted"):
        return datetime.datetime.fromtimestamp(value).isoformat(" ", "seconds")
    if isinstance(value, dict):
        return ", ".join(f"{key} {inner}" for key, inner in value.items())
    return ", ".join(value) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)


def _ancestry(found: Any, depth: int = 0) -> Iterator[str]:
    """Yield what a clip comes from, a line each."""
    pad = "  " * depth
    if found.model is not None:
        card = found.model
        learned = f", which learned from {card.dataset} ({(card.dataset_digest or '?')[:12]})" if card.dataset else ""
        yield f"{pad}made by {card.name} ({card.digest[:12]}){learned}"
    for parent in found.parents:
        inside = f", clip {parent.provenance.entry.id}" if parent.provenance else ""
        yield f"{pad}{parent.relation}: {parent.name or parent.digest[:12]}{inside}"
        if parent.provenance:
            yield from _ancestry(parent.provenance, depth + 1)
    if depth == 0 and found.children:
        yield "made from it: " + ", ".join(f"clip {child.id}" for child in found.children)


def similar(
    folder: Path, clip: int, *, limit: int = 20, selection: Selection = ANY, quiet: bool = False
) -> list[tuple[ClipEntry, float]]:
    """Find the clips that are most like a clip.

    Args:
        folder: the library.
        clip: its number.
        limit: how many, at most.
        selection: which clips come into question.
        quiet: print nothing.
    """
    with library(folder) as opened:
        query = query_of(opened, selection)
        if query.text:
            raise ConfigError(f'text is "{query.text}"', "leave words out where clips are compared")
        found = opened.similar(clip, query.filters, limit)
    _show_table(make_console(quiet), [entry for entry, _ in found], [f"{likeness:.3f}" for _, likeness in found])
    return found


def duplicates(folder: Path, *, selection: Selection = ANY, quiet: bool = False) -> list[list[ClipEntry]]:
    """Find clips that show the same footage in another size, quality or container; the best of each group comes first.

    Args:
        folder: the library.
        selection: which clips come into question.
        quiet: print nothing.
    """
    console = make_console(quiet)
    with library(folder) as opened, console.status("comparing"):
        found = opened.duplicates(query_of(opened, selection).filters)
    entries = [entry for group in found for entry in group]
    _show_table(console, entries, [str(number + 1) for number, group in enumerate(found) for _ in group])
    console.print(f"{len(found):,} groups of copies", highlight=False)
    return found


def history(folder: Path, *, limit: int = 20, quiet: bool = False) -> list[HistoryStep]:
    """List the last changes, the latest first.

    Args:
        folder: the library.
        limit: how many.
        quiet: print nothing.
    """
    import datetime

    with library(folder) as opened:
        steps = opened.history(limit)
    console = make_console(quiet)
    for step in steps:
        time = datetime.datetime.fromtimestamp(step.time).isoformat(" ", "seconds")
        undone = " (undone)" if step.undone else ""
        console.print(f"{time}  {step.what}, {step.clips:,} clips{undone}", highlight=False, markup=False)
    return steps


def export(
    folder: Path,
    clips: tuple[int, ...] = (),
    *,
    to: Path,
    names: Literal["title", "digest"] = "title",
    copy: bool = True,
    fps: float | None = None,
    selection: Selection = ANY,
    quiet: bool = False,
) -> list[Path]:
    """Write clips out: into a folder or a zip file, with tables; a table alone; or an edit list for cutting programs.

    Args:
        folder: the library.
        clips: their numbers, in the order of an edit list; or say which by the flags below.
        to: a folder, a .zip, .csv or .json file, or an edit list: .otio, .fcpxml (Final Cut X), .xml (Final Cut 7,
            Premiere, Resolve), .edl. Edit lists need: pip install "footage[timeline]".
        names: what files are named after.
        copy: an edit list gets copies of the clips in a folder beside it; else it points into the library.
        fps: rate of an edit list; left out, that of most of its clips.
        selection: which clips.
        quiet: print nothing.

    Returns:
        The files written.
    """
    from footage.library.import_export import ExportOptions

    with library(folder) as opened:
        numbers = opened.ids(chosen(opened, clips, selection))
        written = opened.export(numbers, to, ExportOptions(names, "copy" if copy else "none", fps))
        gone = sum(entry.missing for entry in opened.entries(numbers))
    console = make_console(quiet)
    console.print(f"{len(numbers):,} clips: {to}", highlight=False, markup=False)
    if gone:
        console.print("warning:", style="yellow", end=" ")
        console.print(f"the files of {gone:,} are gone, see: footage library verify {folder}", highlight=False)
    return written


def album(
    folder: Path,
    name: str | None = None,
    *,
    put: tuple[int, ...] = (),
    take: tuple[int, ...] = (),
    rename: str | None = None,
    delete: bool = False,
    quiet: bool = False,
) -> list[Album]:
    """List the albums; or make one, put clips into it and take them out.

    Args:
        folder: the library.
        name: of the album; it is made where there is none. Left out, all are listed.
        put: numbers of clips to put into it.
        take: numbers of clips to take out of it.
        rename: its new name.
        delete: delete the album; its clips stay in the library. Undone, as all here, by footage library undo.
        quiet: print nothing.

    Returns:
        The albums.
    """
    with library(folder) as opened:
        if name is not None:
            known = {item.name: item for item in opened.albums.all()}
            if delete:
                opened.albums.delete(opened.albums.get(name).id)
            else:
                found = known.get(name) or opened.albums.create(name)
                opened.albums.put(found.id, put)
                opened.albums.take(found.id, take)
                if rename is not None:
                    opened.albums.rename(found.id, rename)
        albums = opened.albums.all()
    console = make_console(quiet)
    for item in albums:
        console.print(f"{item.name}: {item.clips:,} clips", highlight=False, markup=False)
    return albums


def view(
    folder: Path,
    name: str | None = None,
    *,
    delete: bool = False,
    selection: Selection = ANY,
    quiet: bool = False,
) -> list[View]:
    """List the saved views; or save one. It is used by --view NAME.

    Args:
        folder: the library.
        name: of the view. Left out, all are listed.
        delete: delete it; undone by footage library undo.
        selection: what it shows.
        quiet: print nothing.

    Returns:
        The views.
    """
    import json

    with library(folder) as opened:
        if name is not None and delete:
            opened.views.delete(name)
        elif name is not None:
            opened.views.save(name, query_of(opened, selection))
        views = opened.views.all()
    console = make_console(quiet)
    for item in views:
        said = json.dumps(item.query.to_json(), ensure_ascii=False)
        console.print(f"{item.name}: {said}", highlight=False, markup=False)
    return views


def query_of(opened: Library, selection: Selection) -> Query:
    """Return a selection as a query.

    Raises:
        LibraryError: there is no such album or view, or no such order.
    """
    from footage.library.query import Query

    found = opened.views.get(selection.view).query if selection.view is not None else Query()
    given = {name: getattr(selection, name) for name in ("model", "label", "verdict", "origin")}
    filters = replace(found.filters, **{name: value for name, value in given.items() if value is not None})
    filters = replace(
        filters,
        tags=(*filters.tags, *selection.tag),
        without=(*filters.without, *selection.without),
        min_stars=max(filters.min_stars, selection.stars),
        album=opened.albums.get(selection.album).id if selection.album is not None else filters.album,
        missing=True if selection.missing else filters.missing,
        bin=selection.bin or filters.bin,
    )
    return Query(filters, f"{found.text} {selection.text}".strip(), selection.sort or found.sort)


def chosen(opened: Library, clips: tuple[int, ...], selection: Selection) -> ClipSelection:
    """Return the clips that are meant, by number or by selection.

    Raises:
        ConfigError: nothing was said of which, or both.
    """
    if clips and selection != ANY:
        raise ConfigError("clips are given by number and by flags", "give one of the two")
    if clips:
        opened.check(clips)
        return clips
    if selection == ANY:
        raise ConfigError("no clip is named", "give numbers, flags such as --text, or --everything")
    return query_of(opened, selection)


def _show_table(console: Console, entries: list[ClipEntry], first: list[str] | None = None) -> None:
    """Print clips as a table, with a first column of one's own."""
    from rich.table import Table
    from rich.text import Text

    table = Table(*([""] if first is not None else []), "clip", "title", "is", "made by", "stars", "verdict", "tags")
    for number, entry in enumerate(entries):
        size = f"{entry.width}×{entry.height}, {entry.seconds:.1f} s" + (", missing" if entry.missing else "")
        made = " ".join(str(part) for part in (entry.model, entry.label, entry.seed) if part is not None)
        verdict = "" if entry.verdict == "undecided" else entry.verdict
        cells = [str(entry.id), entry.title, size, made, "★" * entry.stars, verdict, ", ".join(entry.tags)]
        table.add_row(*(Text(cell) for cell in [*([first[number]] if first is not None else []), *cells]))
    if entries:
        console.print(table)
