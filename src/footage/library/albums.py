"""Albums, saved views, and presets of settings."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from footage.config.strict import checked_methods
from footage.errors import LibraryError, nearest
from footage.library import edits
from footage.library.edits import set_state, state
from footage.library.entries import LONGEST_TEXT, plain, stored_json
from footage.library.query import ClipQuery
from footage.library.storage import Database

_ALBUMS = """
    SELECT b.id, b.name, b.notes,
        (SELECT count(*) FROM album_clips a JOIN clips c ON c.id = a.clip WHERE a.album = b.id AND c.deleted IS NULL)
    FROM albums b
"""


@dataclass(frozen=True)
class Album:
    """A named choice of clips, in an order of its own."""

    id: int
    name: str
    """Its name; no other has it."""
    notes: str
    clips: int
    """How many clips are in it, without those in the bin."""


@dataclass(frozen=True)
class View:
    """A query with a name."""

    name: str
    """Its name; no other has it."""
    query: ClipQuery


@checked_methods
class Albums:
    """The albums of a library: `library.albums`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[Album]:
        """Return the albums by name."""
        with self._database.read() as connection:
            rows = connection.execute(f"{_ALBUMS} ORDER BY b.name COLLATE NOCASE").fetchall()
        return [Album(*row) for row in rows]

    def get(self, album: int | str) -> Album:
        """Return an album by its number or its name; digits that are no name are a number.

        Raises:
            LibraryError: there is none.
        """
        column = "id" if isinstance(album, int) else "name"
        with self._database.read() as connection:
            row = connection.execute(f"{_ALBUMS} WHERE b.{column} = ?", (album,)).fetchone()
            names = [name for (name,) in connection.execute("SELECT name FROM albums LIMIT 200")]
        if row is not None:
            return Album(*row)
        if isinstance(album, str) and album.isdecimal() and len(album) < 19:
            return self.get(int(album))
        raise LibraryError(f'there is no album "{album}"', nearest(str(album), names))

    def named(self, name: str) -> Album:
        """Return the album of exactly this name; it is made where there is none."""
        return next((album for album in self.all() if album.name == name), None) or self.create(name)

    def create(self, name: str, notes: str = "") -> Album:
        """Make an empty album; refuse an empty name, and one that is taken. Can be undone."""
        with self._database.write() as connection:
            values = (_name(name), plain(notes, LONGEST_TEXT, lines=True), time.time())
            cursor = _execute_naming(connection, "INSERT INTO albums (name, notes, made) VALUES (?, ?, ?)", values)
            number = int(cursor.lastrowid or 0)
            after = state(connection, "album", str(number))
            edits.record(connection, f"album {_name(name)}", wholes=[("album", str(number), None, after)])
        return self.get(number)

    def rename(self, album: int, name: str, notes: str | None = None) -> Album:
        """Give an album another name, and other notes; refuse an empty name, and one that is taken. Can be undone."""
        old = self.get(album)
        text = old.notes if notes is None else plain(notes, LONGEST_TEXT, lines=True)
        statement = "UPDATE albums SET name = ?, notes = ? WHERE id = ?"
        with edits.recorded(self._database, f"{old.name} is {_name(name)}", "about", str(album)) as connection:
            _execute_naming(connection, statement, (_name(name), text, album))
        return self.get(album)

    def delete(self, album: int) -> None:
        """Delete an album; its clips stay in the library. Can be undone.

        Raises:
            LibraryError: there is no such album.
        """
        name = self.get(album).name
        with edits.recorded(self._database, f"album {name} deleted", "album", str(album)) as connection:
            set_state(connection, "album", str(album), None)

    def put(self, album: int, clips: Sequence[int]) -> int:
        """Put clips at the end of an album; return how many were not in it. Can be undone.

        Raises:
            LibraryError: there is no such album or clip.
        """
        name = self.get(album).name
        with self._database.write() as connection:
            members = {row[0] for row in connection.execute("SELECT clip FROM album_clips WHERE album = ?", (album,))}
            new = [clip for clip in dict.fromkeys(clips) if clip not in members]
            statement = "SELECT id FROM clips WHERE id IN (SELECT value FROM json_each(?))"
            existing = {row[0] for row in connection.execute(statement, (json.dumps(new),))}
            if unknown := [clip for clip in new if clip not in existing]:
                raise LibraryError(f"there is no clip {unknown[0]}", "see: footage library list")
            last = connection.execute("SELECT max(position) FROM album_clips WHERE album = ?", (album,)).fetchone()[0]
            places = enumerate(new, 0 if last is None else last + 1)
            edits.apply(connection, f"into {name}", [(clip, f"album:{album}", place) for place, clip in places])
        return len(new)

    def take(self, album: int, clips: Sequence[int]) -> None:
        """Take clips out of an album. Can be undone."""
        name = self.get(album).name
        with self._database.write() as connection:
            edits.apply(connection, f"out of {name}", [(clip, f"album:{album}", None) for clip in dict.fromkeys(clips)])

    def order(self, album: int, clips: Sequence[int]) -> None:
        """Give the clips of an album this order; those that are not named come after. Can be undone."""
        name = self.get(album).name
        with self._database.write() as connection:
            statement = "SELECT clip FROM album_clips WHERE album = ? ORDER BY position, clip"
            members = {row[0]: None for row in connection.execute(statement, (album,))}
            order = dict.fromkeys([*(clip for clip in clips if clip in members), *members])
            edits.apply(connection, f"order of {name}", [(c, f"album:{album}", p) for p, c in enumerate(order)])

    def clips(self, album: int) -> list[int]:
        """Return the numbers of an album's clips in its order, without those in the bin."""
        self.get(album)
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT a.clip FROM album_clips a JOIN clips c ON c.id = a.clip "
                "WHERE a.album = ? AND c.deleted IS NULL ORDER BY a.position, a.clip",
                (album,),
            )
            return [row[0] for row in rows]

    def of(self, clip: int) -> list[Album]:
        """Return the albums that a clip is in."""
        with self._database.read() as connection:
            rows = connection.execute(
                f"{_ALBUMS} WHERE b.id IN (SELECT album FROM album_clips WHERE clip = ?) ORDER BY b.name", (clip,)
            ).fetchall()
        return [Album(*row) for row in rows]


@checked_methods
class Views:
    """The saved views of a library: `library.views`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[View]:
        """Return the views by name."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT name, query FROM views ORDER BY name COLLATE NOCASE").fetchall()
        return [View(row["name"], ClipQuery.from_json(stored_json(row["query"]))) for row in rows]

    def get(self, name: str) -> View:
        """Return a view; refuse a name that is not known."""
        views = {view.name: view for view in self.all()}
        if name not in views:
            raise LibraryError(f'there is no view "{name}"', nearest(name, views))
        return views[name]

    def save(self, name: str, query: ClipQuery) -> View:
        """Save a query under a name, in place of what was saved there before. Can be undone."""
        chosen = _name(name)
        with edits.recorded(self._database, f"view {chosen}", "view", chosen) as connection:
            set_state(connection, "view", chosen, {"query": query.to_json(), "made": time.time()})
        return View(chosen, query)

    def delete(self, name: str) -> None:
        """Delete a view; refuse a name that is not known. Can be undone."""
        self.get(name)
        with edits.recorded(self._database, f"view {name} deleted", "view", name) as connection:
            set_state(connection, "view", name, None)


PRESET, SLIDERS = "preset:", "sliders:"
"""Beginnings of the names under which settings of generation are kept."""


@checked_methods
class Presets:
    """Settings of generation that are kept, and what somebody calls the sliders of models: `library.presets`.

    They are no part of the history: saving again, or naming again, is how they are changed back.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> dict[str, dict[str, str]]:
        """Return the kept settings by their names, in alphabetical order."""
        with self._database.read() as connection:
            statement = "SELECT name, value FROM settings WHERE name GLOB ? ORDER BY name COLLATE NOCASE"
            rows = connection.execute(statement, (f"{PRESET}*",)).fetchall()
        return {row["name"].removeprefix(PRESET): stored_json(row["value"]) for row in rows}

    def save(self, name: str, values: Mapping[str, str]) -> None:
        """Keep settings under a name, in place of what was kept there before."""
        kept = {plain(key): plain(value, LONGEST_TEXT) for key, value in values.items()}
        with self._database.write() as connection:
            _put(connection, PRESET + _name(name), kept)

    def delete(self, name: str) -> None:
        """Forget a preset; refuse a name that is not known."""
        if name not in (known := self.all()):
            raise LibraryError(f'there is no preset "{name}"', nearest(name, known))
        with self._database.write() as connection:
            _put(connection, PRESET + name, {})

    def slider_names(self, weights: str) -> dict[int, str]:
        """Return the names of a model's latent sliders by their numbers; the model is known by its weights' SHA-256."""
        with self._database.read() as connection:
            return _slider_names(connection, weights)

    def name_slider(self, weights: str, number: int, name: str) -> None:
        """Call a latent slider something; with an empty name, its number again."""
        with self._database.write() as connection:
            names = {**_slider_names(connection, weights), number: plain(name)}
            _put(connection, SLIDERS + weights, {str(known): names[known] for known in sorted(names) if names[known]})


def _slider_names(connection: sqlite3.Connection, weights: str) -> dict[int, str]:
    row = connection.execute("SELECT value FROM settings WHERE name = ?", (SLIDERS + weights,)).fetchone()
    return {} if row is None else {int(number): name for number, name in stored_json(row["value"]).items()}


def _put(connection: sqlite3.Connection, name: str, values: Mapping[str, str]) -> None:
    """Keep values under a name; none of them is kept as nothing."""
    connection.execute("DELETE FROM settings WHERE name = ?", (name,))
    if values:
        connection.execute("INSERT INTO settings VALUES (?, ?)", (name, json.dumps(values, ensure_ascii=False)))


def _name(name: str) -> str:
    chosen = plain(name)
    if not chosen:
        raise LibraryError("the name is empty", "give one")
    return chosen


def _execute_naming(connection: sqlite3.Connection, statement: str, values: Sequence[object]) -> sqlite3.Cursor:
    """Execute what gives an album its name, the first of the values; say so where it is taken."""
    try:
        return connection.execute(statement, values)
    except connection.IntegrityError:
        raise LibraryError(f'there is an album "{values[0]}" already', "give another name") from None
