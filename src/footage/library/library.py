"""The library: clips that were made or found, to be looked through, judged, and used."""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from footage import files
from footage.config.strict import checked_methods, fitting
from footage.errors import LibraryError, LockError
from footage.files import locked
from footage.library import additions, edits, seen, similarity
from footage.library import query as search
from footage.library.additions import ClipDetails
from footage.library.albums import Albums, Presets, Views
from footage.library.edited import EditedClips, HangingClips, hanging
from footage.library.edits import HistoryStep
from footage.library.entries import ClipEntry
from footage.library.fingerprints import Fingerprints, FoundClip
from footage.library.import_export import Exporter, ExportOptions, UnpackedZip, ZipImport, unpack
from footage.library.jobs import Jobs
from footage.library.maintenance import (
    CollectionReport,
    VerificationReport,
    Verifier,
    collect,
    erase,
    erased_clips,
    erased_jobs,
    purge,
)
from footage.library.provenance import ModelCard, Provenance, read_models, register_model, trace
from footage.library.query import ClipQuery, EntryPage, QueryPlace
from footage.library.ratings import Ratings
from footage.library.seen import SeenClass
from footage.library.storage import Storage
from footage.library.taste import ClipTaste, Taste, TasteLearner, TasteSummary
from footage.library.timelines import Timelines
from footage.machines import remote

PART = 1000
"""Clips that are changed at once, while all others who write wait."""
GAP = 0.02
"""Seconds between two parts. Another process looks every 0.1 s whether it may write (SQLite's busy handler)."""
ALIKE = 500
"""Clips that are like one, at most."""
ClipSelection = Sequence[int] | ClipQuery
"""Which clips are meant: their numbers, or all that a query finds."""


@checked_methods
class Library:
    """A folder with a database and, beside it, the files of its clips. Threads and processes may share it.

    Every change stands on the disk when its call returns. `library.albums`, `library.views`, `library.timelines`,
    `library.edited` (clips with effects), `library.ratings` and `library.jobs` are its other tables.

    Args:
        folder: the library's folder.
        create: make it where it is missing.

    Raises:
        LibraryError: there is no library, it is damaged, or a newer version made it.
    """

    def __init__(self, folder: Path | str, *, create: bool = True) -> None:
        remote.refuse_address(folder := fitting(Path, folder, "folder"), "the library")
        self.folder = Path(folder)
        self._storage = Storage(self.folder, create=create)
        self._database = self._storage.database
        self.albums = Albums(self._database)
        self.views = Views(self._database)
        self.timelines = Timelines(self._database)
        self.edited = EditedClips(self._storage)
        self.presets = Presets(self._database)
        self.ratings = Ratings(self._database)
        self.jobs = Jobs(self._database)
        self._learner = TasteLearner(self._storage)
        self._fingerprints = Fingerprints(self._storage)

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database; it opens again by itself when it is used."""
        self._database.close()

    # Taking in

    def add(self, path: Path | str, known: ClipDetails | None = None, *, most_bytes: int | None = None) -> ClipEntry:
        """Take a clip in: its file is copied, looked at and described. The same content is taken in once only.

        What footage wrote into the file (model, seed, label, settings) is read. A clip that lies in the bin comes back.

        Args:
            path: a video, a picture, or a folder of numbered pictures, which becomes a video.
            known: what is known beside what the file says.
            most_bytes: a larger file is refused.

        Raises:
            MediaError: it cannot be read or holds no frame, or the disk is full; the library is as before.
            LibraryError: its ending is not one of clips, or a value is not allowed.
        """
        return additions.add(self._storage, Path(path), known or ClipDetails(), most_bytes)[0]

    def add_new(
        self,
        path: Path | str,
        known: ClipDetails | None = None,
        *,
        most_bytes: int | None = None,
        pictures: Sequence[str] = (),
    ) -> ClipEntry | None:
        """Take a clip in as `add` does; return None where its content was there already.

        Of a folder of pictures, `pictures` names those of the clip, in order; all of them where it is empty.
        """
        entry, new = additions.add(self._storage, Path(path), known or ClipDetails(), most_bytes, pictures)
        return entry if new else None

    def unpack(self, path: Path | str, *, most_bytes: int = 64 * 2**30, most_files: int = 100_000) -> UnpackedZip:
        """Take in what a zip file holds: clips, and what an export of a library says of them.

        Names inside the file are only ever titles: nothing is written outside the library.

        Args:
            path: the zip file.
            most_bytes: bytes that may be unpacked in all.
            most_files: files that it may hold.

        Raises:
            MediaError: it is no zip file, or holds more than that.
        """
        with self.zip_import(path, most_bytes=most_bytes, most_files=most_files) as packed:
            return unpack(packed)

    def zip_import(
        self,
        path: Path | str,
        *,
        most_bytes: int = 64 * 2**30,
        most_files: int = 100_000,
        title: str | None = None,
        used: int = 0,
    ) -> ZipImport:
        """Open a zip file, to take in what it holds file by file; see `ZipImport`."""
        return ZipImport(self._storage, Path(path), most_bytes, most_files, title, used)

    @property
    def key_source(self) -> str:
        """Where the key of a locked library comes from, one of `files.locked.SOURCES`; empty for a plain one."""
        lock = locked.folder_of(self.folder)
        return "" if lock is None else str(locked.read_header(lock)["key"]["from"])

    def upload_path(self, name: str) -> Path:
        """Return where an upload of a name waits to be taken in; what lies there for an hour is taken for abandoned.

        For a locked library that is the folder of temporary files, which a studio has in memory.

        Raises:
            LockError: the library is locked, and no studio has that folder in memory.
        """
        folder = self._storage.file_store.partial
        if self.key_source:
            if files.MEMORY not in os.environ:
                problem = f'"{self.folder}" is locked, and what waits to be taken in would be plain'
                raise LockError(problem, "take it in at once, by Library.add, or in the studio")
            folder = Path(tempfile.gettempdir()) / "uploads"
        files.make_folder(folder)
        return folder / Path(name).name

    # Finding

    def get(self, clip: int | str) -> ClipEntry:
        """Return a clip by its number, its digest, or 8 or more characters of that; also from the bin.

        Raises:
            LibraryError: there is none.
        """
        with self._database.read() as connection:
            return self._storage.entry(connection, clip)

    def newest(self) -> int:
        """Return the number of the clip that was taken in last; 0 of an empty library."""
        with self._database.read() as connection:
            return int(connection.execute("SELECT coalesce(max(id), 0) FROM clips").fetchone()[0])

    def entries(self, clips: Iterable[int]) -> list[ClipEntry]:
        """Return clips by their numbers, in this order; those that are not there are left out."""
        with self._database.read() as connection:
            return self._storage.entries(connection, clips)

    def query(
        self,
        filters: ClipQuery | None = None,
        text: str = "",
        sort: str | None = None,
        cursor: str | None = None,
        limit: int = 60,
    ) -> EntryPage:
        """Return a page of clips.

        Args:
            filters: which clips; it may have words and an order too.
            text: words or parts of words that they hold, each; a phrase stands in double quotes.
            sort: one of `SORTS`, or `metric:NAME`; None for that of `filters`.
            cursor: that of the page before; None for the first page.
            limit: entries on the page, 1000 at most.

        Raises:
            LibraryError: an order or a cursor that is not known.
        """
        query = self._query(filters, text, sort)
        with self._database.read() as connection:
            self._lend(connection, query)
            clips, following = search.select(connection, query, cursor, limit)
            return EntryPage(self._storage.entries(connection, clips), following)

    def count(self, filters: ClipQuery | None = None, text: str = "") -> int:
        """Return how many clips there are, of those that filters and words find."""
        query = self._query(filters, text)
        with self._database.read() as connection:
            return search.count(connection, query)

    def count_few(self, filters: ClipQuery) -> int | None:
        """Return the same as `count`; None where that takes a while, since there are thousands."""
        query = self._query(filters)
        with self._database.read() as connection:
            return search.count_few(connection, query)

    def facets(
        self, filters: ClipQuery | None = None, text: str = "", most: int = 50
    ) -> dict[str, list[tuple[Any, int]]]:
        """Return the values that the found clips have and how often, commonest first.

        Returns:
            Lists of (value, count) by name: origin, model, label, verdict, stars, codec, tags.
        """
        query = self._query(filters, text)
        with self._database.read() as connection:
            return search.facets(connection, query, most)[0]

    def facets_among(
        self, filters: ClipQuery, most: int, among: int
    ) -> tuple[dict[str, list[tuple[Any, int]]], frozenset[str]]:
        """Return the same as `facets`, quickly, and the names of those that are counted among some of the clips only.

        These are the ones of which no count is kept, where more clips than `among` are found.
        """
        query = self._query(filters)
        with self._database.read() as connection:
            return search.facets(connection, query, most, among)

    def _query(self, filters: ClipQuery | None, text: str = "", sort: str | None = None) -> ClipQuery:
        """Return what is asked for as one query, with the number of its album; refuse an unknown album or order.

        What asks for clips that are like one, or that rough words fit, asks for their numbers, in this order.
        """
        query = (filters or ClipQuery()).narrowed(text=text, sort=sort)
        if isinstance(query.album, str):
            query = replace(query, album=self.albums.get(query.album).id)
        if query.like is None and not query.words:
            return replace(query, sort="newest") if query.sort in ("likeness", "words") else query
        like, words, found = query.like, query.words, list[int]()
        query = replace(query, like=None, words="")
        if words:
            found = [clip for clip, _ in seen.find(self._storage, words, query)]
            query = replace(query, ids=tuple(found))
        if like is not None:
            self.get(like)
            near = [entry.id for entry, _ in similarity.similar(self._storage, like, query, ALIKE, None)]
            alike = set(near)
            found = [clip for clip in found if clip in alike] if query.sort == "words" else near
        return replace(query, ids=tuple(found))

    def _lend(self, connection: sqlite3.Connection, query: ClipQuery) -> None:
        """Give a connection the functions that a query is sorted by."""
        if query.sort == "taste":
            self._learner.lend(connection)
        elif query.sort == "motion":
            self._learner.lend_motion(connection)
        elif query.sort in ("likeness", "words"):
            places = {clip: place for place, clip in enumerate(query.ids or ())}
            connection.create_function("place", 1, lambda clip: places.get(clip, len(places)), deterministic=True)

    def figure_names(self) -> list[str]:
        """Return the names of figures that the newest thousand clips have."""
        with self._database.read() as connection:
            return search.figure_names(connection)

    def check(self, clips: Iterable[int]) -> None:
        """Make sure that clips are there, in the library or the bin.

        Raises:
            LibraryError: one is not.
        """
        numbers = list(clips)
        known = {entry.id for entry in self.entries(numbers)}
        if unknown := [clip for clip in numbers if clip not in known]:
            raise LibraryError(f"there is no clip {unknown[0]}", "see: footage library list")

    def ids(self, chosen: ClipSelection, after: int | None = None, limit: int | None = None) -> list[int]:
        """Return the numbers of the clips that are meant, in order.

        Args:
            chosen: which clips.
            after: of a query, only those that come after this clip; nothing where there is no such clip.
            limit: of a query, so many at most.
        """
        if not isinstance(chosen, ClipQuery):
            return list(dict.fromkeys(chosen))
        query = self._query(chosen)
        with self._database.read() as connection:
            self._lend(connection, query)
            return search.numbers(connection, query, after, limit)

    def shapes(self, clips: Sequence[int]) -> list[tuple[int, float]]:
        """Return width over height of the pictures of clips, each beside the clip's number, in the order given.

        Clips that there are not are left out.
        """
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT id, CAST(width AS REAL) / height FROM clips WHERE id IN (SELECT value FROM json_each(?))",
                (json.dumps(list(clips)),),
            )
            known = dict(rows.fetchall())
        return [(clip, round(known[clip], 4)) for clip in clips if clip in known]

    def place(self, clip: int, filters: ClipQuery) -> QueryPlace:
        """Return where a clip stands among those that are found, with those before and after it."""
        query = self._query(filters)
        with self._database.read() as connection:
            self._lend(connection, query)
            return search.place(connection, query, clip)

    def similar(
        self,
        to: int | npt.NDArray[np.float32],
        filters: ClipQuery | None = None,
        limit: int = 60,
        kind: str | None = None,
    ) -> list[tuple[ClipEntry, float]]:
        """Return the clips that are most like a clip, or a vector, the most alike first.

        Args:
            to: number of a clip, which is left out of the result, or a vector (D,).
            filters: which clips come into question.
            limit: how many, at most.
            kind: of embedding; None for the chosen one.

        Returns:
            Clips with the cosine of their vectors, -1 to 1.

        Raises:
            LibraryError: the clip has no vector of this kind, or there is no such kind.
        """
        return similarity.similar(self._storage, to, self._query(filters), limit, kind)

    def duplicates(self, filters: ClipQuery | None = None) -> list[list[ClipEntry]]:
        """Return groups of clips that show the same footage in another size, quality or container, the best first."""
        return similarity.duplicates(self._storage, self._query(filters))

    def find(self, path: Path | str, progress: Callable[[int, int], object] = lambda *_: None) -> FoundClip | None:
        """Return the clip that a file was copied from: compressed, smaller, cut, thinned out, trimmed or mirrored.

        Clips that an older version took in are given their fingerprints first. Those of the bin are found too.

        Args:
            path: a video or a picture; its first 24 seconds are looked at.
            progress: told how many clips were given fingerprints, of how many.

        Returns:
            None where no clip is it: then nothing is known of the file.

        Raises:
            MediaError: no frame can be had from it.
        """
        return self._fingerprints.find(Path(path), progress)

    # Files

    def path(self, clip: int | str, *, small: bool = False) -> Path:
        """Return a clip's file; one with effects is rendered where that is not done.

        Args:
            clip: the same.
            small: of a clip with effects, the draft will do.

        Raises:
            LibraryError: there is no such clip, or its file is gone or not an ordinary file of the library.
        """
        return self._storage.clip_file(self.get(clip), small=small)

    def thumbnail(self, clip: int | str) -> Path:
        """Return a clip's thumbnail, a WebP picture; it is made again where it is missing."""
        return self._storage.picture(self.get(clip), moving=False)

    def preview(self, clip: int | str) -> Path:
        """Return a clip's animated preview, a WebP picture; it is made again where it is missing."""
        return self._storage.picture(self.get(clip), moving=True)

    def drawn(self, clip: int | str, *, moving: bool) -> bool:
        """Whether a clip's thumbnail is there, or with `moving` its preview, and need not be made again."""
        store = self._storage.file_store
        digest = self.get(clip).digest
        return store.inside(store.preview(digest) if moving else store.thumbnail(digest))

    # Changing

    def update(self, clip: int, **changes: Any) -> ClipEntry:
        """Change a clip: title, prompt, label, stars, verdict, notes, tags (all of them). Can be undone.

        Raises:
            LibraryError: there is no such clip or field, or it cannot have this value.
        """
        self.bulk([clip], changes)
        return self.get(clip)

    def bulk(
        self,
        chosen: ClipSelection,
        changes: Mapping[str, Any] | None = None,
        *,
        tag: Sequence[str] = (),
        untag: Sequence[str] = (),
        what: str = "",
    ) -> int:
        """Change many clips in one step, which is undone in one.

        Of more than `PART` clips, so many at a time: between two parts others may write. Where the process ends in
        between, what was done can be undone.

        Args:
            chosen: which clips.
            changes: new values by field, as for `update`.
            tag: tags that they get.
            untag: tags that they lose.
            what: in words, for the history.

        Returns:
            How many clips there are of those chosen; all of them are now so.
        """
        clips, step = self.ids(chosen), None
        if len(clips) > PART:
            self.check(clips)  # nothing is done where one of them is not there
        for first in range(0, max(1, len(clips)), PART):
            if first:
                time.sleep(GAP)
            with self._database.write() as connection:
                part = clips[first : first + PART]
                step = edits.change(connection, part, changes or {}, tag, untag, what, step)
        return len(clips)

    def set_metrics(self, clip: int, metrics: Mapping[str, float]) -> ClipEntry:
        """Add figures to a clip, in place of those of the same names."""
        figures = additions.figures(metrics)
        with self._database.write() as connection:
            entry = self._storage.entry(connection, clip)
            merged = json.dumps({**entry.metrics, **figures}, ensure_ascii=False)
            connection.execute("UPDATE clips SET metrics = ?, changed = ? WHERE id = ?", (merged, time.time(), clip))
        return self.get(clip)

    def remove(self, chosen: ClipSelection, *, edits: bool = False) -> int:
        """Put clips into the bin; return how many. Can be undone.

        Args:
            chosen: which clips.
            edits: those that are one of them with effects go along.

        Raises:
            HangingClips: there are some, and they do not.
        """
        ids = self.ids(chosen)
        with self._database.read() as connection:
            others = hanging(connection, ids, binned=False)
            if others and not edits:
                raise HangingClips(self._storage.entries(connection, others))
        return self._move([*ids, *others], time.time(), "into the bin")

    def restore(self, chosen: ClipSelection) -> int:
        """Take clips out of the bin; return how many. Can be undone."""
        return self._move(chosen, None, "out of the bin")

    def _move(self, chosen: ClipSelection, deleted: float | None, summary: str) -> int:
        ids, step, moved = self.ids(chosen), None, 0
        for first in range(0, len(ids), PART):
            if first:
                time.sleep(GAP)
            with self._database.write() as connection:
                entries = self._storage.entries(connection, ids[first : first + PART])
                clips = [entry.id for entry in entries if (entry.deleted is None) != (deleted is None)]
                step = edits.apply(connection, summary, [(clip, "deleted", deleted) for clip in clips], step)
            moved += len(clips)
        return moved

    def purge(self, chosen: ClipSelection | None = None, *, edits: bool = False) -> int:
        """Remove clips that lie in the bin for good, files and all; None for the whole bin. Cannot be undone.

        Args:
            chosen: which clips.
            edits: those that are one of them with effects go along, wherever they lie.

        Raises:
            HangingClips: there are some, and they do not.
        """
        ids = None if chosen is None else self.ids(chosen)
        return purge(self._storage, ids, edits="take" if edits else "refuse")

    def erase(self, digests: Collection[str], names: Collection[str] = ()) -> int:
        """Remove the clips that are, or were made from, some files for good, and every trace of them; return how many.

        Args:
            digests: SHA-256 of the files.
            names: ends of their paths.
        """
        return erase(self._storage, digests, names)

    def knows(self, digests: Collection[str], names: Collection[str]) -> bool:
        """Tell whether there is anything that `erase` would remove: a clip, or what a job says."""
        with self._database.read() as connection:
            return bool(erased_clips(connection, digests, names) or erased_jobs(connection, names))

    def count_erased(self, digests: Collection[str], names: Collection[str] = ()) -> int:
        """Return how many clips `erase` would remove."""
        with self._database.read() as connection:
            return len(erased_clips(connection, digests, names))

    def undo(self) -> HistoryStep | None:
        """Undo the last step; return it, or None where there is none. Values changed otherwise since then stay.

        Of steps that were done on behalf of an account, `storage.acting`, an account undoes its own.
        """
        return self._turn(back=True)

    def redo(self) -> HistoryStep | None:
        """Do again what was undone last; return it, or None where there is none."""
        return self._turn(back=False)

    def _turn(self, *, back: bool) -> HistoryStep | None:
        """Undo, or do again; clips that have other effects then are found by these."""
        with self._database.write() as connection:
            step = edits.turn(connection, back=back)
            if step is not None:
                rows = connection.execute(
                    "SELECT clip FROM changes WHERE entry = ? AND field = ?", (step.id, edits.VERSION)
                )
                self.edited.place(connection, [row["clip"] for row in rows])
            return step

    @property
    def undoable(self) -> bool:
        """Whether there is a step that `undo` would undo."""
        with self._database.read() as connection:
            return edits.next_step(connection, back=True) is not None

    def history(self, limit: int = 50) -> list[HistoryStep]:
        """Return the last steps, the latest first."""
        with self._database.read() as connection:
            return edits.steps(connection, limit)

    # Provenance

    def register(self, model: ModelCard) -> None:
        """Remember a model, so that its clips lead to the data set that it learned from."""
        register_model(self._database, model)

    def models(self) -> list[ModelCard]:
        """Return the models that clips name, with what is known of them."""
        return read_models(self._database)

    def provenance(self, clip: int | str) -> Provenance:
        """Return where a clip comes from: its model, that one's data set, and what it was made from, recursively."""
        return trace(self._storage, self.get(clip))

    # Embeddings

    def embed(
        self,
        kind: str,
        embedding: Callable[[Path], npt.NDArray[np.float32]],
        *,
        about: str = "",
        progress: Callable[[int, int], None] | None = None,
    ) -> int:
        """Give each clip that lacks it an embedding of a kind, and measure likeness by it from now on.

        Args:
            kind: its name: small letters, digits, hyphens.
            embedding: the vector (D,) of a clip's file, such as `footage.Model.embed` of a VAE.
            about: what made it.
            progress: told how many are done, of how many.

        Returns:
            How many clips were embedded.
        """
        return similarity.embed(self._storage, kind, embedding, about, progress)

    def unseen(self) -> int:
        """Return about how many clips no network has looked at: those after the last one it has seen; all at first."""
        rows = seen.seen_vectors(self._storage)
        count = 0 if rows is None else len(rows.matrix())
        with self._database.read() as connection:
            statement = "SELECT count(*) FROM clips WHERE missing = 0 AND id >= ?"
            return int(connection.execute(statement, (count,)).fetchone()[0])

    def words_ready(self) -> bool:
        """Whether rough search by words can find anything: the extra `words` is there, and clips were looked at."""
        return seen.words_known() and seen.seen_vectors(self._storage) is not None

    def classes(self, clip: int) -> list[SeenClass]:
        """Return what a network takes a clip for, the surest first; empty where that is not known."""
        return seen.classes(self._storage, clip)

    def choose_embedding(self, kind: str) -> None:
        """Measure likeness by this kind of embedding from now on; `look-1` is the one that needs no model."""
        self._storage.choose_embedding(kind)

    # Taste

    def taste(self) -> Taste:
        """Return what the owner keeps, as it is learned from verdicts, stars and blind ratings; see `Taste.ready`."""
        return self._learner.taste()

    def taste_summary(self) -> TasteSummary:
        """Return what has been learned in plain values: how accurate it is, and what it goes by."""
        return self.taste().summary(len(self._learner.unmeasured()))

    def taste_of(self, clip: int) -> ClipTaste | None:
        """Say how likely a clip is to be kept, and why; None where its figures are not known.

        Raises:
            LibraryError: the taste is not learned yet.
        """
        return self._learner.judge(clip)

    def measure(self, *, judged: bool = False, progress: Callable[[int, int], object] = lambda *_: None) -> int:
        """Measure what clips lack that taste goes by, as those do that an older version took in; return how many.

        Args:
            judged: those alone that have been judged.
            progress: told how many are done, of how many.
        """
        return self._learner.measure(judged=judged, progress=progress)

    # Giving out, keeping whole

    def export(
        self,
        chosen: ClipSelection,
        to: Path | str,
        how: ExportOptions | None = None,
        tell: Callable[[str], object] = lambda _: None,
    ) -> list[Path]:
        """Write clips out: a folder or a zip file with tables, or an edit list; see `ExportOptions`.

        Args:
            chosen: which clips, in this order.
            to: a folder, a .zip, .csv or .json file, or an edit list: .otio, .fcpxml, .xml (Final Cut 7), .edl; or an
                address of one, where an edit list names copies of the clips by their places beside it.
            how: the options.
            tell: is told, in words, which clips are left out and why: files that are gone, effects that cannot be
                rendered.

        Returns:
            The files written.

        Raises:
            LibraryError: an unknown ending, a folder that holds something else, or a library for edit lists that is
                not installed.
            RemoteError: an address cannot be written to.
        """
        options, far = how or ExportOptions(), remote.address_of(to) is not None
        with remote.sent(to) as out:
            options = replace(options, relative=True, media="copy") if far else options
            written = Exporter(self._storage, self.ids(chosen), options, tell).write(out.path)
        return out.placed(written)

    def verify(self, *, repair: bool = True, quick: bool = False) -> VerificationReport:
        """Compare the tables with the files.

        Args:
            repair: mark what is missing, adopt orphans, make pictures and vectors again.
            quick: look at the sizes of files only and not at their content.
        """
        return Verifier(self._storage, repair=repair, quick=quick).verify()

    def gc(self, *, bin_days: float | None = None, rendered: bool = False) -> CollectionReport:
        """Remove files that no clip needs, and give space back.

        Args:
            bin_days: also remove what has lain in the bin for longer than this, but for clips that others are made
                from by effects; None leaves the bin alone.
            rendered: also remove all that was rendered of clips with effects; it is rendered anew when it is used.
        """
        return collect(self._storage, bin_days, rendered)
