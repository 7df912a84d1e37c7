"""Albums and saved views as wholes: what they are now, and how they become what they were."""

from __future__ import annotations

import itertools
import json
import sqlite3
from typing import Any, Literal

Kind = Literal["album", "about", "view"]
"""An album with its clips; its name and notes alone; a saved view."""
Change = tuple[Kind, str, Any, Any]
"""Kind, number of the album or name of the view, state before, state after; None where there is none."""


def state(connection: sqlite3.Connection, kind: Kind, key: str) -> Any:
    """Return what an album or a view is, as plain values; None where there is none."""
    if kind == "view":
        row = connection.execute("SELECT query, made FROM views WHERE name = ?", (key,)).fetchone()
        return None if row is None else {"query": json.loads(row["query"]), "made": row["made"]}
    row = connection.execute("SELECT name, notes, made FROM albums WHERE id = ?", (int(key),)).fetchone()
    if row is None:
        return None
    about = {"name": row["name"], "notes": row["notes"]}
    if kind == "about":
        return about
    inside = connection.execute("SELECT clip, position FROM album_clips WHERE album = ? ORDER BY position", (int(key),))
    return {**about, "made": row["made"], "clips": [list(clip) for clip in inside]}


def same(kind: Kind, now: Any, then: Any) -> bool:
    """Whether an album or a view still is what a step left behind; of an album that was empty, whether it is."""
    if now is None or then is None:
        return now is then
    if kind == "view":
        return bool(now["query"] == then["query"])
    return bool(then["clips"] or not now["clips"]) if kind == "album" else bool(now == then)


def put(connection: sqlite3.Connection, kind: Kind, key: str, wanted: Any) -> None:
    """Let an album or a view be as it was; None for none. Clips that are gone stay away; a name that is taken grows."""
    if kind == "view":
        connection.execute("DELETE FROM views WHERE name = ?", (key,))
        if wanted is not None:
            text = json.dumps(wanted["query"], ensure_ascii=False)
            connection.execute("INSERT INTO views VALUES (?, ?, ?)", (key, text, wanted["made"]))
    elif wanted is None:
        connection.execute("DELETE FROM albums WHERE id = ?", (int(key),))
    elif kind == "about":
        values = (_free(connection, wanted["name"], int(key)), wanted["notes"], int(key))
        connection.execute("UPDATE albums SET name = ?, notes = ? WHERE id = ?", values)
    else:
        name = _free(connection, wanted["name"], int(key))
        connection.execute(
            "INSERT INTO albums (id, name, notes, made) VALUES (?, ?, ?, ?)",
            (int(key), name, wanted["notes"], wanted["made"]),
        )
        connection.executemany(
            "INSERT INTO album_clips SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM clips WHERE id = ?2)",
            [(int(key), clip, position) for clip, position in wanted["clips"]],
        )


def _free(connection: sqlite3.Connection, name: str, album: int) -> str:
    """Return a name that no other album has: the wanted one, or it with a number behind."""
    taken = {row[0] for row in connection.execute("SELECT name FROM albums WHERE id <> ?", (album,))}
    names = itertools.chain([name], (f"{name} ({number})" for number in itertools.count(2)))
    return next(free for free in names if free not in taken)
