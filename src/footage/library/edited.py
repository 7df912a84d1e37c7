"""Clips that are another of the library with effects: source and chain are kept, and pixels are made when needed."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from footage.config.registry import EFFECTS
from footage.config.strict import checked_methods
from footage.errors import LibraryError, MediaError
from footage.library import additions, edits, similarity
from footage.library.additions import ClipDetails, Parent
from footage.library.descriptors import describe
from footage.library.entries import ClipEntry, plain
from footage.library.fingerprints import keep_fingerprint
from footage.library.renders import SUFFIX, KeptChain, Watch
from footage.library.storage import Storage
from footage.library.taste import keep_descriptors
from footage.media.fingerprints import Fingerprint, read_fingerprint
from footage.media.thumbnails import Thumbnails, read_thumbnails

NAMED = 5
"""Clips that are named where several stand in the way."""
LARGEST_TABLE = 2**24
"""Bytes of a table of colours."""


@dataclass(frozen=True)
class ColourTable:
    """A table of colours that a library keeps."""

    lut: str
    """What a chain calls it."""
    name: str
    """Of the file that it came from."""


@dataclass(frozen=True)
class _Look:
    """What a draft of a clip with effects looks like."""

    thumbnails: Thumbnails
    fingerprint: Fingerprint | None
    size: tuple[int, int]
    """Height and width of the whole clip."""

    @property
    def facts(self) -> dict[str, Any]:
        """What stands in the columns of the clip's row."""
        seen = self.thumbnails
        height, width = self.size
        length = {"fps": seen.fps, "frames": seen.frames, "seconds": seen.seconds}
        sound = {"codec": plain(seen.info.codec), "audio": int(seen.info.has_audio)}
        return {"height": height, "width": width, **length, **sound}


@checked_methods
class EditedClips:
    """The clips of a library that are another with effects: `library.edited`. What is done to them can be undone."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def chain(self, clip: int | str) -> dict[str, Any]:
        """Return the chain of a clip, as JSON; tables of colours are called by their digests.

        Raises:
            LibraryError: there is no such clip, or it has no effects.
        """
        with self._storage.database.read() as connection:
            entry = self._storage.entry(connection, clip)
        return self._storage.renders.told(entry)

    def read(self, chain: Any) -> dict[str, Any]:
        """Return a chain with every knob, as it would be kept.

        Raises:
            ConfigError: it is none, is empty, of another version, or holds what is not known or not allowed.
        """
        return self._storage.renders.chain(chain).told

    def source(self, clip: int | str) -> ClipEntry:
        """Return the clip that one is made from by effects; one without effects itself.

        Raises:
            LibraryError: there is no such clip, or its source is gone.
        """
        with self._storage.database.read() as connection:
            entry = self._storage.entry(connection, clip)
        return self._storage.renders.source(entry)

    def waiting(self, clips: Sequence[int]) -> list[int]:
        """Return which of some clips are to be rendered when they are used."""
        with self._storage.database.read() as connection:
            rows = connection.execute(
                "SELECT v.clip FROM versions v JOIN clips c ON c.id = v.clip AND c.digest = v.digest "
                "WHERE v.clip IN (SELECT value FROM json_each(?)) ORDER BY v.clip",
                (json.dumps(list(clips)),),
            )
            entries = self._storage.entries(connection, [row["clip"] for row in rows])
        store = self._storage.file_store
        return [entry.id for entry in entries if not store.inside(store.rendered(entry.digest))]

    def of(self, clip: int | str) -> list[ClipEntry]:
        """Return the clips that are a clip with effects."""
        with self._storage.database.read() as connection:
            entry = self._storage.entry(connection, clip)
            return self._storage.entries(connection, hanging(connection, [entry.id]))

    def add(self, clip: int | str, chain: Any, title: str | None = None, watch: Watch = lambda *_: None) -> ClipEntry:
        """Add a clip that is another with effects. The same effects on the same clip are added once only.

        Of a clip that has effects itself, the source has those of both.

        Args:
            clip: the source.
            chain: as JSON, such as `{"version": 1, "effects": [{"kind": "reverse"}]}`; see `footage effects`.
            title: its name; None for that of the source with the names of the effects.
            watch: is told how many frames of its draft are done, of how many.

        Raises:
            LibraryError: there is no such clip, its source is gone, or the library is locked.
            ConfigError: the chain is none, is empty, of another version, or holds what is not known or not allowed.
            MediaError: the source cannot be read, is a picture, or an effect has too little of it.
        """
        storage = self._storage
        storage.renders.check_open()
        with storage.database.read() as connection:
            entry = storage.entry(connection, clip)
        source, kept = storage.renders.source(entry), storage.renders.chain(chain)
        if entry.edited is not None:
            before = storage.renders.told(entry)
            kept = storage.renders.chain({**before, "effects": [*before["effects"], *kept.told["effects"]]})
        kinds = ", ".join(item["kind"] for item in kept.told["effects"])
        parents = (Parent(source.digest, source.source or source.title),)
        details = ClipDetails(
            title=title or f"{source.title} · {kinds}",
            prompt=source.prompt,
            label=source.label,
            source=source.source,
            parents=parents,
        )
        digest = kept.digest(source.digest)
        with storage.database.write() as connection:
            if (known := self._added(connection, digest)) is not None:
                return known
        look = self._look(source, kept, watch)
        made = replace(additions.generation_metadata({}), made_with="footage" if source.origin == "generated" else "")
        info = replace(look.thumbnails.info, height=look.size[0], width=look.size[1])
        with storage.database.write() as connection:
            if (known := self._added(connection, digest)) is not None:  # by another process meanwhile
                return known
            storage.renders.check_source(connection, source, digest)
            shown = replace(look.thumbnails, info=info)
            number = additions.insert(connection, digest, SUFFIX, 0, shown, made, details)
            self._keep(connection, number, source, kept, look)
            return storage.entry(connection, number)

    def _added(self, connection: sqlite3.Connection, digest: str) -> ClipEntry | None:
        """Return the clip of a digest, out of the bin if it was there; None where there is none."""
        row = connection.execute("SELECT id FROM clips WHERE digest = ?", (digest,)).fetchone()
        if row is None:
            return None
        edits.apply(connection, "added again", [(row["id"], "deleted", None)])
        return self._storage.entry(connection, row["id"])

    def change(self, clip: int | str, chain: Any, watch: Watch = lambda *_: None) -> ClipEntry:
        """Give a clip with effects others, as a new version of it; undo brings the one before back.

        Raises:
            LibraryError: there is no such clip, it has no effects, its source is gone, another clip has these effects
                already, or the library is locked.
            ConfigError, MediaError: see `add`.
        """
        storage = self._storage
        storage.renders.check_open()
        with storage.database.read() as connection:
            entry = storage.entry(connection, clip)
        storage.renders.told(entry)  # complains where it has none
        source, kept = storage.renders.source(entry), storage.renders.chain(chain)
        digest = kept.digest(source.digest)
        if digest == entry.digest:
            return entry
        with storage.database.read() as connection:
            check_free(connection, digest)
        look = self._look(source, kept, watch)
        with storage.database.write() as connection:
            storage.renders.check_source(connection, source, digest)
            storage.entry(connection, entry.id)  # complains where it is gone meanwhile
            check_free(connection, digest)
            connection.execute("DELETE FROM versions WHERE clip = ? AND digest = ?", (entry.id, digest))
            self._keep(connection, entry.id, source, kept, look, entry.digest)
            return storage.entry(connection, entry.id)

    def _look(self, source: ClipEntry, kept: KeptChain, watch: Watch) -> _Look:
        """Render the draft of a clip, and look at it; its pictures are drawn."""
        storage = self._storage
        draft = storage.renders.render(source, kept, small=True, watch=watch)
        thumbnails, fingerprint = read_thumbnails(draft), None
        with contextlib.suppress(MediaError):
            fingerprint = read_fingerprint(draft)
        storage.file_store.draw(kept.digest(source.digest), thumbnails)
        return _Look(thumbnails, fingerprint, EFFECTS["size"](kept.effects, (source.height, source.width)))

    def _keep(
        self,
        connection: sqlite3.Connection,
        clip: int,
        source: ClipEntry,
        kept: KeptChain,
        look: _Look,
        before: str | None = None,
    ) -> None:
        """Write a version of a clip, and make it the one that the clip has."""
        vector, digest = similarity.appearance(look.thumbnails), kept.digest(source.digest)
        rows = [(key, plain(name), content) for key, (name, content) in kept.tables.items()]
        connection.executemany("INSERT OR IGNORE INTO colour_tables VALUES (?, ?, ?)", rows)
        texts = json.dumps(kept.told), json.dumps(look.facts)
        connection.execute(
            "INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?)",
            (clip, digest, source.digest, *texts, vector.astype("<f4").tobytes()),
        )
        if before is not None:
            edits.apply(connection, "effects", [(clip, edits.VERSION, digest)])
        self.place(connection, [clip])
        keep_descriptors(connection, clip, describe(look.thumbnails))
        if look.fingerprint is not None:
            keep_fingerprint(connection, clip, look.fingerprint)

    def place(self, connection: sqlite3.Connection, clips: Iterable[int]) -> None:
        """Let clips be found by what their present versions look like; other embeddings of them are to be made anew."""
        storage = self._storage
        found = connection.execute(
            "SELECT v.clip, v.look FROM versions v JOIN clips c ON c.id = v.clip AND c.digest = v.digest "
            "WHERE c.id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(clips)),),
        )
        looks = {row["clip"]: np.frombuffer(row["look"], "<f4") for row in found}
        storage.vectors(similarity.APPEARANCE).put(looks)
        for (kind,) in connection.execute("SELECT kind FROM embeddings").fetchall():
            storage.vectors(kind).clear(looks)

    def draft(self, clip: int | str, chain: Any, to: Path, seconds: float, watch: Watch = lambda *_: None) -> None:
        """Write what a chain makes of the first seconds of a clip, small; of one with effects, of its source.

        Raises:
            LibraryError, ConfigError, MediaError: see `add`.
        """
        self._storage.renders.check_open()
        with self._storage.database.read() as connection:
            entry = self._storage.entry(connection, clip)
        source, kept = self._storage.renders.source(entry), self._storage.renders.chain(chain)
        video = self._storage.clip_file(source)
        EFFECTS["render"](video, kept.effects, to, draft=True, seconds=seconds, watch=watch)

    def render(self, clip: int | str, watch: Watch = lambda *_: None) -> Path:
        """Render a clip with effects, if that is not done; return its file. One without effects is as it is.

        Raises:
            LibraryError: there is no such clip, its source is gone, or the library is locked.
            MediaError: the source cannot be read.
        """
        with self._storage.database.read() as connection:
            entry = self._storage.entry(connection, clip)
        if entry.edited is None:
            return self._storage.clip_file(entry)
        return self._storage.renders.file(entry, watch=watch)

    def tables(self) -> list[ColourTable]:
        """Return the tables of colours that are kept, by name."""
        with self._storage.database.read() as connection:
            rows = connection.execute("SELECT digest, name FROM colour_tables ORDER BY name COLLATE NOCASE, digest")
            return [ColourTable(f"{row['digest']}.cube", row["name"]) for row in rows]

    def add_table(self, path: Path, name: str) -> ColourTable:
        """Keep a table of colours, for chains to call it.

        Args:
            path: a .cube file.
            name: what it is called.

        Raises:
            ConfigError: it is none.
            LibraryError: it is too large.
        """
        if path.is_file() and path.stat().st_size > LARGEST_TABLE:
            raise LibraryError(f'"{name}" has more than {LARGEST_TABLE:,} bytes', "give a smaller table")
        kept = self._storage.renders.chain({"version": 1, "effects": [{"kind": "grade", "lut": str(path)}]})
        ((digest, (_, content)),) = kept.tables.items()
        with self._storage.database.write() as connection:
            row = (digest, plain(name), content)
            connection.execute("INSERT OR REPLACE INTO colour_tables VALUES (?, ?, ?)", row)
        return ColourTable(f"{digest}.cube", plain(name))


def check_free(connection: sqlite3.Connection, digest: str) -> None:
    """Refuse effects that a clip has already.

    Raises:
        LibraryError
    """
    row = connection.execute("SELECT id, title, deleted FROM clips WHERE digest = ?", (digest,)).fetchone()
    if row is not None and row["deleted"] is not None:
        problem = f'clip {row["id"]} "{row["title"]}" in the bin has these effects already'
        raise LibraryError(problem, "take that out of the bin, or remove it for good")
    if row is not None:
        raise LibraryError(f'clip {row["id"]} "{row["title"]}" has these effects already', "use that")


def hanging(connection: sqlite3.Connection, clips: Sequence[int], *, binned: bool = True) -> list[int]:
    """Return the clips that are one of some clips with effects, and are not among these; maybe without the bin's."""
    rows = connection.execute(
        "SELECT c.id FROM versions v JOIN clips c ON c.id = v.clip AND c.digest = v.digest "
        "WHERE v.source IN (SELECT digest FROM clips WHERE id IN (SELECT value FROM json_each(:ids))) "
        "AND c.id NOT IN (SELECT value FROM json_each(:ids)) AND (:binned OR c.deleted IS NULL) ORDER BY c.id",
        {"ids": json.dumps(list(clips)), "binned": binned},
    )
    return [row["id"] for row in rows]


class HangingClips(LibraryError):
    """Clips with effects are made from one that is to be removed."""

    def __init__(self, entries: Sequence[ClipEntry]) -> None:
        named = ", ".join(f'{entry.id} "{entry.title}"' for entry in entries[:NAMED])
        more = f" and {len(entries) - NAMED} more" if len(entries) > NAMED else ""
        problem = f"clips {named}{more} are made by effects from what is to be removed"
        super().__init__(problem, "let them go along (edits), or remove them first")
