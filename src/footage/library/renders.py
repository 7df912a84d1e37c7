"""Clips that are another with effects: rendered when they are used, whole or as a small draft.

What is rendered lies in a folder of its own, named by the digest of source and chain; it may be deleted at any time.
Rendering that was stopped goes on, as that of `footage effects` does.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from footage import files
from footage.config.registry import EFFECTS
from footage.errors import ConfigError, LibraryError, MediaError
from footage.files import locked
from footage.library.entries import ClipEntry, stored_json
from footage.media.probe import count_frames

if TYPE_CHECKING:
    from footage.library.storage import Storage

SUFFIX = "mp4"
"""Ending of what is rendered."""
TABLE = re.compile(r"([0-9a-f]{64})\.cube")
"""What a chain calls a table of colours that the library keeps."""
Watch = Callable[[int, int], object]
"""Is told how many frames are done, of how many."""


@dataclass(frozen=True)
class KeptChain:
    """A chain of effects as a library keeps it."""

    effects: list[Any]
    """As `footage.generation.cutting.effects` has them; tables of colours are files."""
    told: dict[str, Any]
    """As JSON, with every knob; tables of colours are called by their digests."""
    tables: dict[str, tuple[str, bytes]]
    """Names and contents of these tables, by digest."""

    def digest(self, source: str) -> str:
        """Return what a clip with these effects, made from a source of a digest, is known by."""
        return files.json_digest({"source": source, "chain": self.told})


class Renders:
    """Renders the clips with effects of a library."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def chain(self, told: Any) -> KeptChain:
        """Read a chain, whose tables of colours are files, or those that the library keeps.

        Raises:
            ConfigError: it is none, is empty or of another version, or holds what is not known or not allowed.
        """
        listed = told.get("effects") if isinstance(told, Mapping) else None
        if isinstance(listed, list):
            told = {**told, "effects": [self.with_table(item) for item in listed]}
        effects = EFFECTS["read"](told)
        kept, tables = EFFECTS["tell"](effects), dict[str, tuple[str, bytes]]()
        for item in kept["effects"]:
            if "lut" in item:
                path = Path(item["lut"])
                content = path.read_bytes()
                digest = files.bytes_digest(content)
                tables[digest], item["lut"] = (path.name, content), f"{digest}.cube"
        return KeptChain(effects, kept, tables)

    def with_table(self, item: Any) -> Any:
        """Return an effect whose table of colours, if the library keeps it, is called by a file that holds it."""
        found = TABLE.fullmatch(str(item.get("lut"))) if isinstance(item, dict) else None
        if found is None:
            return item
        with self._storage.database.read() as connection:
            row = connection.execute("SELECT content FROM colour_tables WHERE digest = ?", (found[1],)).fetchone()
        if row is None:
            raise ConfigError(f'lut is "{found[0][:12]}…", a table that the library does not keep', "give a .cube file")
        path = self._storage.file_store.tables / found[0]
        if not self._storage.file_store.inside(path):
            files.write_bytes(path, row["content"])
        path.touch()  # nobody removes it as long as it may be waited with
        return {**item, "lut": str(path)}

    def source(self, entry: ClipEntry) -> ClipEntry:
        """Return the clip that one is made from by effects; one without effects itself.

        Raises:
            LibraryError: it is gone.
        """
        if entry.edited is None:
            return entry
        with self._storage.database.read() as connection:
            row = connection.execute("SELECT id FROM clips WHERE digest = ?", (entry.edited,)).fetchone()
            if row is not None:
                return self._storage.entry(connection, row["id"])
        raise LibraryError(
            f"clip {entry.id} is one with effects, and its source is gone ({entry.edited[:12]})", "add that again"
        )

    def told(self, entry: ClipEntry) -> dict[str, Any]:
        """Return the chain of a clip, as JSON.

        Raises:
            LibraryError: it has none.
        """
        with self._storage.database.read() as connection:
            row = connection.execute(
                "SELECT chain FROM versions WHERE clip = ? AND digest = ?", (entry.id, entry.digest)
            ).fetchone()
        if row is None:
            raise LibraryError(f"clip {entry.id} has no effects", "choose one that has, or add some")
        return dict(stored_json(row["chain"]))

    def file(self, entry: ClipEntry, *, small: bool = False, watch: Watch = lambda *_: None) -> Path:
        """Return a clip with effects as a file, rendered where it is not; `small` for its draft if that is all.

        Raises:
            LibraryError: its source is gone, or the library is locked.
            MediaError: the source cannot be read, or an effect has too little of it.
        """
        store = self._storage.file_store
        path = store.rendered(entry.digest)
        if store.inside(path):
            return path
        if small and store.inside(draft := store.rendered(entry.digest, small=True)):
            return draft
        self.check_open()
        made = self.render(self.source(entry), self.chain(self.told(entry)), small=small, watch=watch)
        if not small and (count := count_frames(path)).playable != entry.frames:
            # A draft is smaller, and the loop that is found in it may be another.
            length = count.playable, count.playable / entry.fps
            with self._storage.database.write() as connection:
                connection.execute(
                    "UPDATE clips SET frames = ?, seconds = ? WHERE id = ? AND digest = ?",
                    (*length, entry.id, entry.digest),
                )
                connection.execute(
                    "UPDATE versions SET facts = json_set(facts, '$.frames', ?, '$.seconds', ?) "
                    "WHERE clip = ? AND digest = ?",
                    (*length, entry.id, entry.digest),
                )
        return made

    def render(self, source: ClipEntry, chain: KeptChain, *, small: bool, watch: Watch) -> Path:
        """Render a clip with effects, or its draft, where another process has not done so meanwhile.

        Raises:
            LibraryError: the source is gone, maybe since this began; nothing of it is left then.
            MediaError: it cannot be read, or an effect has too little of it.
        """
        store, digest = self._storage.file_store, chain.digest(source.digest)
        path, video = store.rendered(digest, small=small), self._storage.clip_file(source)
        full = MediaError(f'the disk is full, "{path}" was not rendered', "free some space and do it again")
        with files.disk_errors(full), store.rendering(path):
            if not store.inside(path):
                EFFECTS["render"](video, chain.effects, path, draft=small, watch=watch)
        with self._storage.database.write() as connection:  # who removes the source is done
            self.check_source(connection, source, digest)
        return path

    def check_source(self, connection: sqlite3.Connection, source: ClipEntry, digest: str) -> None:
        """Refuse what was made of a source, and remove it, where the source was removed meanwhile.

        Raises:
            LibraryError: it was.
        """
        if connection.execute("SELECT 1 FROM clips WHERE digest = ?", (source.digest,)).fetchone() is None:
            self._storage.file_store.remove(digest, SUFFIX)
            problem = f'"{source.title}" was removed from the library while effects were added to it'
            raise LibraryError(problem, "add it again, and the effects to that")

    def check_open(self) -> None:
        """Refuse to render in a locked library.

        Raises:
            LibraryError: it is one.
        """
        if locked.folder_of(self._storage.folder) is not None:
            problem = "the library is locked, and what is rendered by effects would be plain on the disk"
            raise LibraryError(problem, "unlock it, or export the source, and add effects to that")
