"""Changes to clips, albums, views and timelines, each remembered so that it can be undone."""

from __future__ import annotations

import contextlib
import itertools
import json
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from footage.config.strict import shown
from footage.errors import LibraryError, nearest
from footage.library.entries import LONGEST_TEXT, LONGEST_TITLE, VERDICTS, plain, searched, stored_json
from footage.library.storage import ACTOR, Database

EDITABLE = ("title", "prompt", "label", "stars", "verdict", "notes")
"""Columns that a person may change; tags, albums and the bin are changed likewise."""
TEXTUAL = frozenset({"title", "prompt", "label", "notes", "tags"})
"""Fields whose change changes what is searched."""
VERSION = "version"
"""Field: which chain of effects a clip has, of those that it had."""
ADDED = "added"
"""What the history calls the taking in of clips."""
TOGETHER = 10.0
"""Clips that are taken in within this many seconds of each other are one step of the history."""
REMEMBERED = 10_000
"""Entries of the history that are kept."""
FORGOTTEN = 500
"""Changes of older entries, and of undone ones, that are forgotten with each new entry; one may hold a million."""


@dataclass(frozen=True)
class HistoryStep:
    """An entry of the history."""

    id: int
    time: float
    """When it was done, in seconds since 1970."""
    what: str
    """In words, such as `4 stars`."""
    undone: bool
    clips: int
    actor: str = ""
    """Account on whose behalf it was done; empty where there was none."""
    unchanged: bool = False
    """Whether undoing it, or doing it again, could change nothing: all of it was changed otherwise since."""


def checked(field: str, value: Any) -> Any:
    """Return the value of a field as it is stored; refuse an unknown field, and a value that it cannot have."""
    if field == "stars":
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 5:
            raise LibraryError(f"stars is {value!r}", "give 0 to 5")
        return value
    if field == "verdict":
        if not isinstance(value, str) or value not in VERDICTS:
            raise LibraryError(f"verdict is {shown(value)}", nearest(str(value), VERDICTS))
        return value
    if field == "tags":
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, Collection) or not all(isinstance(item, str) for item in items):
            raise LibraryError(f"tags is {shown(value)}", "give a list of texts")
        return sorted(set(filter(None, map(plain, items))))
    if field == "label" and value is None:
        return None
    if field in ("prompt", "notes"):
        return plain(value, LONGEST_TEXT, lines=True)
    if field in EDITABLE:
        return plain(value, LONGEST_TITLE)
    raise LibraryError(f'"{field}" cannot be changed', nearest(field, [*EDITABLE, "tags"]))


Edit = tuple[int, str, Any]
"""Clip, field, new value. A field is one of `EDITABLE`, `tags`, `deleted`, `VERSION` (digest of one of the clip's), or
`album:NUMBER` (position or None)."""


Kind = Literal["album", "about", "view", "timeline"]
"""An album with its clips; its name and notes alone; a saved view; a timeline."""
Change = tuple[Kind, str, Any, Any]
"""Kind, number of the album or name of the others, state before, state after; None where there is none."""


def change(
    connection: sqlite3.Connection,
    clips: Iterable[int],
    changes: Mapping[str, Any],
    tag: Sequence[str],
    untag: Sequence[str],
    summary: str,
    step: int | None = None,
) -> int | None:
    """Give clips new values by field, and add and take tags, in one step; see `Library.bulk` and `apply`."""
    values = {field: checked(field, value) for field, value in changes.items()}
    more, less = checked("tags", tag), checked("tags", untag)

    def edits() -> Iterator[Edit]:
        for clip in clips:
            for field, value in values.items():
                yield clip, field, value
            if more or less:
                now = values["tags"] if "tags" in values else _current(connection, clip, "tags")
                yield clip, "tags", sorted({*now, *more} - set(less))

    words = [f"{field} {value if isinstance(value, int) else repr(value)[:40]}" for field, value in values.items()]
    words += [f"tag {name}" for name in more] + [f"untag {name}" for name in less]
    return apply(connection, summary or ", ".join(words) or "nothing", edits(), step)


def apply(connection: sqlite3.Connection, summary: str, edits: Iterable[Edit], step: int | None = None) -> int | None:
    """Make changes, with values as `checked` returns them, in one step of the history; return its number.

    None where nothing changed. The connection is that of a writing transaction. With `step`, that step goes on.
    """
    rows: list[tuple[int, str, str, str]] = []
    for clip, field, after in edits:
        before = _current(connection, clip, field)
        if before != after:
            _set(connection, clip, field, after)
            rows.append((clip, field, json.dumps(before), json.dumps(after)))
    if not rows:
        return step
    _touch(connection, rows)
    return record(connection, summary, rows, step=step)


def record(
    connection: sqlite3.Connection,
    summary: str,
    rows: Sequence[tuple[int, str, str, str]] = (),
    wholes: Sequence[Change] = (),
    step: int | None = None,
) -> int:
    """Remember changes (clip, field, JSON before, JSON after) and those of whole albums and views.

    What was undone before, on behalf of the same account, can no longer be redone. A `step` that has not been undone
    since is added to.
    """
    now, actor = time.time(), ACTOR.get()
    connection.execute(
        "UPDATE history SET undone = 2 WHERE undone = 1 AND "
        "(?1 = '' OR EXISTS (SELECT 1 FROM step_actors WHERE actor = ?1 AND entry = id))",
        (actor.name,),
    )
    last = connection.execute("SELECT * FROM history WHERE undone = 0 ORDER BY id DESC LIMIT 1").fetchone()
    if last is not None and step_actor(connection, last["id"]) != actor.name:
        last = None
    goes_on = "SELECT 1 FROM history WHERE id = ? AND undone = 0"
    if step is not None and connection.execute(goes_on, (step,)).fetchone():
        entry = step
    elif summary == ADDED and last is not None and last["what"] == ADDED and 0 <= now - last["time"] < TOGETHER:
        entry = int(last["id"])
        connection.execute("UPDATE history SET time = ? WHERE id = ?", (now, entry))
    else:
        cursor = connection.execute("INSERT INTO history (time, what) VALUES (?, ?)", (now, plain(summary)))
        entry = int(cursor.lastrowid or 0)
        if actor.name:
            connection.execute("INSERT INTO step_actors VALUES (?, ?)", (actor.name, entry))
    actor.doings += [f"step {entry}"] if actor.name else []
    connection.executemany("INSERT INTO changes VALUES (?, ?, ?, ?, ?)", [(entry, *row) for row in rows])
    texts = [(entry, kind, key, json.dumps(before), json.dumps(after)) for kind, key, before, after in wholes]
    connection.executemany("INSERT INTO named_changes VALUES (?, ?, ?, ?, ?)", texts)
    connection.execute("UPDATE history SET undone = 2 WHERE id <= ? AND undone = 0", (entry - REMEMBERED,))
    gone = [row[0] for row in connection.execute("SELECT id FROM history WHERE undone = 2 ORDER BY id LIMIT 100")]
    forgotten = 0
    for old in gone:
        forgotten += connection.execute(
            "DELETE FROM changes WHERE entry = ?1 AND (clip, field) IN "
            "(SELECT clip, field FROM changes WHERE entry = ?1 LIMIT ?2)",
            (old, FORGOTTEN - forgotten),
        ).rowcount
        if forgotten >= FORGOTTEN:
            break
        connection.execute("DELETE FROM history WHERE id = ?", (old,))
    return entry


@contextlib.contextmanager
def recorded(database: Database, summary: str, kind: Kind, key: str) -> Iterator[sqlite3.Connection]:
    """Lend a connection that writes, and remember what the block changes of something as one step."""
    with database.write() as connection:
        before = state(connection, kind, key)
        yield connection
        after = state(connection, kind, key)
        if before != after:
            record(connection, summary, wholes=[(kind, key, before, after)])


def turn(connection: sqlite3.Connection, *, back: bool) -> HistoryStep | None:
    """Undo the last step that is not undone, or redo the last that is; return it, or None where there is none.

    On behalf of an account, the last of its own. A value that was changed otherwise since then stays as it is, and so
    do the effects of a clip where another clip has those of before.
    """
    step = next_step(connection, back=back)
    if step is None:
        return None
    old, new = ("after", "before") if back else ("before", "after")
    changed: list[tuple[int, str, str, str]] = []
    wholes = 0
    for row in connection.execute("SELECT * FROM named_changes WHERE entry = ?", (step["id"],)).fetchall():
        if _unchanged(row["kind"], state(connection, row["kind"], row["key"]), stored_json(row[old])):
            set_state(connection, row["kind"], row["key"], stored_json(row[new]))
            wholes += 1
    for row in connection.execute("SELECT * FROM changes WHERE entry = ?", (step["id"],)).fetchall():
        clip, field = row["clip"], row["field"]
        with contextlib.suppress(LibraryError):
            if _unchanged(field, _current(connection, clip, field), stored_json(row[old])):
                _set(connection, clip, field, stored_json(row[new]))
                changed.append((clip, field, "", ""))
    _touch(connection, changed)
    connection.execute("UPDATE history SET undone = ? WHERE id = ?", (int(back), step["id"]))
    actor, clips = step_actor(connection, step["id"]), len({row[0] for row in changed})
    return HistoryStep(step["id"], step["time"], step["what"], back, clips, actor, not (wholes or changed))


def next_step(connection: sqlite3.Connection, *, back: bool) -> sqlite3.Row | None:
    """Return the step that would be undone, or done again, next; on behalf of an account, of its own steps."""
    choice = "undone = 0 ORDER BY id DESC" if back else "undone = 1 ORDER BY id ASC"
    actor, table = ACTOR.get().name, "history"
    if actor:
        table = "step_actors JOIN history ON id = entry AND actor = ?1"
    found: sqlite3.Row | None = connection.execute(
        f"SELECT history.* FROM {table} WHERE {choice} LIMIT 1", (actor,) if actor else ()
    ).fetchone()
    return found


def step_actor(connection: sqlite3.Connection, entry: int) -> str:
    """Return on whose behalf a step was done; empty where on nobody's."""
    row = connection.execute("SELECT actor FROM step_actors WHERE entry = ?", (entry,)).fetchone()
    return "" if row is None else str(row["actor"])


def _unchanged(kind: str, now: Any, then: Any) -> bool:
    """Whether a field, an album, a view or a timeline still is what a step left behind.

    Of the bin and of a place in an album it matters only whether there is one; of an album that was empty,
    whether it is.
    """
    if now is None or then is None or isinstance(now, float) or isinstance(then, float):
        return (now is None) == (then is None)
    if kind in ("view", "timeline"):
        part = "query" if kind == "view" else "content"
        return bool(now[part] == then[part])
    return bool(then["clips"] or not now["clips"]) if kind == "album" else bool(now == then)


def steps(connection: sqlite3.Connection, limit: int) -> list[HistoryStep]:
    rows = connection.execute(
        "SELECT h.*, (SELECT count(DISTINCT clip) FROM changes WHERE entry = h.id) AS clips, "
        "coalesce((SELECT actor FROM step_actors WHERE entry = h.id), '') AS actor "
        "FROM history h WHERE undone < 2 ORDER BY id DESC LIMIT ?",
        (limit,),
    )
    return [HistoryStep(**{**dict(row), "undone": bool(row["undone"])}) for row in rows]


def index(connection: sqlite3.Connection, clips: Iterable[int]) -> None:
    """Renew what clips are found by."""
    for clip in clips:
        row = connection.execute(
            "SELECT title, prompt, label, model, source, notes, "
            "(SELECT group_concat(tag, char(10)) FROM tags WHERE clip = id) AS tags FROM clips WHERE id = ?",
            (clip,),
        ).fetchone()
        connection.execute(
            "INSERT INTO texts VALUES (?, ?) ON CONFLICT (clip) DO UPDATE SET body = excluded.body",
            (clip, searched(row)),
        )


def _touch(connection: sqlite3.Connection, rows: Iterable[tuple[int, str, str, str]]) -> None:
    fields: dict[int, set[str]] = {}
    for clip, field, _, _ in rows:
        fields.setdefault(clip, set()).add(field)
    now = time.time()
    connection.executemany("UPDATE clips SET changed = ? WHERE id = ?", [(now, clip) for clip in fields])
    index(connection, [clip for clip, names in fields.items() if names & TEXTUAL])


def _current(connection: sqlite3.Connection, clip: int, field: str) -> Any:
    if field == "tags":
        rows = connection.execute("SELECT tag FROM tags WHERE clip = ? ORDER BY tag", (clip,))
        return [row[0] for row in rows]
    if field.startswith("album:"):
        number = int(field.removeprefix("album:"))
        row = connection.execute("SELECT position FROM album_clips WHERE album = ? AND clip = ?", (number, clip))
        place = row.fetchone()
        return None if place is None else place[0]
    if field == VERSION:
        field = "digest"
    elif field not in (*EDITABLE, "deleted"):
        raise LibraryError(f'there is no field "{field}"', "see: footage library verify")
    value = connection.execute(f"SELECT {field} FROM clips WHERE id = ?", (clip,)).fetchone()
    if value is None:
        raise LibraryError(f"there is no clip {clip}", "see: footage library list")
    return value[0]


def _set(connection: sqlite3.Connection, clip: int, field: str, value: Any) -> None:
    if field == "tags":
        connection.execute("DELETE FROM tags WHERE clip = ?", (clip,))
        connection.executemany("INSERT INTO tags VALUES (?, ?)", [(clip, tag) for tag in value])
    elif field.startswith("album:"):
        number = int(field.removeprefix("album:"))
        if value is None:
            connection.execute("DELETE FROM album_clips WHERE album = ? AND clip = ?", (number, clip))
        elif connection.execute("SELECT 1 FROM albums WHERE id = ?", (number,)).fetchone():
            connection.execute("INSERT OR REPLACE INTO album_clips VALUES (?, ?, ?)", (number, clip, value))
    elif field == VERSION:
        row = connection.execute("SELECT facts FROM versions WHERE clip = ? AND digest = ?", (clip, value)).fetchone()
        if row is None or connection.execute("SELECT 1 FROM clips WHERE digest = ?", (value,)).fetchone():
            raise LibraryError(f"clip {clip} cannot have these effects", "another clip has them")
        facts = {"digest": value, **stored_json(row["facts"])}
        names = ", ".join(f"{name} = ?" for name in facts)
        connection.execute(f"UPDATE clips SET {names} WHERE id = ?", [*facts.values(), clip])
        for table in ("descriptors", "fingerprints"):  # of the version before
            connection.execute(f"DELETE FROM {table} WHERE clip = ?", (clip,))
    else:
        connection.execute(f"UPDATE clips SET {field} = ? WHERE id = ?", (value, clip))


def state(connection: sqlite3.Connection, kind: Kind, key: str) -> Any:
    """Return what an album, a view or a timeline is, as plain values; None where there is none."""
    if kind == "timeline":
        row = connection.execute("SELECT content, changed FROM timelines WHERE name = ?", (key,)).fetchone()
        return None if row is None else {"content": stored_json(row["content"]), "changed": row["changed"]}
    if kind == "view":
        row = connection.execute("SELECT query, made FROM views WHERE name = ?", (key,)).fetchone()
        return None if row is None else {"query": stored_json(row["query"]), "made": row["made"]}
    row = connection.execute("SELECT name, notes, made FROM albums WHERE id = ?", (int(key),)).fetchone()
    if row is None:
        return None
    about = {"name": row["name"], "notes": row["notes"]}
    if kind == "about":
        return about
    inside = connection.execute("SELECT clip, position FROM album_clips WHERE album = ? ORDER BY position", (int(key),))
    return {**about, "made": row["made"], "clips": [list(clip) for clip in inside]}


def set_state(connection: sqlite3.Connection, kind: Kind, key: str, value: Any) -> None:
    """Let something be as it was; None for none. Clips that are gone stay away; a name that is taken grows."""
    if kind == "timeline":
        connection.execute("DELETE FROM timelines WHERE name = ?", (key,))
        if value is not None:
            text = json.dumps(value["content"], ensure_ascii=False)
            connection.execute("INSERT INTO timelines VALUES (?, ?, ?)", (key, text, value["changed"]))
    elif kind == "view":
        connection.execute("DELETE FROM views WHERE name = ?", (key,))
        if value is not None:
            text = json.dumps(value["query"], ensure_ascii=False)
            connection.execute("INSERT INTO views VALUES (?, ?, ?)", (key, text, value["made"]))
    elif value is None:
        connection.execute("DELETE FROM albums WHERE id = ?", (int(key),))
    else:
        taken = {row[0] for row in connection.execute("SELECT name FROM albums WHERE id <> ?", (int(key),))}
        numbered = (f"{value['name']} ({number})" for number in itertools.count(2))
        name = next(free for free in itertools.chain([value["name"]], numbered) if free not in taken)
        if kind == "about":
            about = (name, value["notes"], int(key))
            connection.execute("UPDATE albums SET name = ?, notes = ? WHERE id = ?", about)
            return
        values = (int(key), name, value["notes"], value["made"])
        connection.execute("INSERT INTO albums (id, name, notes, made) VALUES (?, ?, ?, ?)", values)
        connection.executemany(
            "INSERT INTO album_clips SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM clips WHERE id = ?2)",
            [(int(key), clip, position) for clip, position in value["clips"]],
        )
