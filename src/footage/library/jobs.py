"""What is to be done in the background: a queue that survives the process which works it off."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from footage.config.strict import checked_methods
from footage.errors import LibraryError
from footage.library.entries import LONGEST_TEXT, plain, stored_json
from footage.library.storage import ACTOR, Database

State = Literal["queued", "running", "done", "failed", "cancelled"]
LOST = 60.0
"""Seconds without a word from its worker after which a job is taken for abandoned."""


@dataclass(frozen=True)
class BackgroundJob:
    """Something to do."""

    id: int
    kind: str
    """What is to be done, such as `generate`."""
    request: dict[str, Any]
    state: State
    progress: float
    """How much of it is done, 0 to 1."""
    message: str
    """The last word on it; of a failed one, why."""
    result: Any
    """What came of it, as plain values."""
    cancel: bool
    """Whether somebody asked that it be given up."""
    made: float
    """When it was asked for, in seconds since 1970."""
    started: float | None
    ended: float | None
    actor: str = ""
    """Account on whose behalf it was asked for; empty where there was none."""


_ACTOR = "coalesce((SELECT actor FROM job_actors WHERE job = jobs.id), '') AS actor"
_FIELDS = ", ".join(_ACTOR if item.name == "actor" else item.name for item in fields(BackgroundJob))


def _job(row: sqlite3.Row) -> BackgroundJob:
    request, result = (stored_json(row[name]) for name in ("request", "result"))
    return BackgroundJob(**{**dict(row), "request": request, "result": result, "cancel": bool(row["cancel"])})


@checked_methods
class Jobs:
    """The queue of a library: `library.jobs`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def submit(self, kind: str, request: dict[str, Any], most: int | None = None) -> BackgroundJob:
        """Put a job at the end of the queue.

        Args:
            kind: what is to be done.
            request: with what, as plain values.
            most: jobs that may wait and run at once; None for any number.

        Raises:
            LibraryError: the queue is full.
        """
        with self._database.write() as connection:
            waiting = connection.execute("SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')").fetchone()[0]
            if most is not None and waiting >= most:
                raise LibraryError(f"{waiting} jobs wait already", "let them end, or cancel some")
            row = connection.execute(
                f"INSERT INTO jobs (kind, request, state, made) VALUES (?, ?, 'queued', ?) RETURNING {_FIELDS}",
                (plain(kind), json.dumps(request, ensure_ascii=False, allow_nan=False), time.time()),
            ).fetchone()
            if actor := ACTOR.get().name:
                connection.execute("INSERT INTO job_actors VALUES (?, ?)", (row["id"], actor))
                ACTOR.get().doings.append(f"job {row['id']}")
        return replace(_job(row), actor=actor)

    def claim(
        self, worker: str, kinds: Sequence[str] | None = None, devices: Sequence[str] = ()
    ) -> BackgroundJob | None:
        """Take the job that has waited longest; no two workers get the same one. None where none waits.

        Args:
            worker: name of who works on it.
            kinds: what the worker can do; None for all.
            devices: take only jobs whose request has one of these devices; none for any.
        """
        with self._database.write() as connection:
            row = connection.execute(
                "UPDATE jobs SET state = 'running', started = ?1, heard = ?1, worker = ?2 WHERE id = ("
                "SELECT id FROM jobs WHERE state = 'queued' "
                "AND (?3 IS NULL OR kind IN (SELECT value FROM json_each(?3))) "
                "AND (?4 = '[]' OR json_extract(request, '$.device') IN (SELECT value FROM json_each(?4))) "
                f"ORDER BY id LIMIT 1) RETURNING {_FIELDS}",
                (
                    time.time(),
                    worker,
                    None if kinds is None else json.dumps(list(kinds)),
                    json.dumps(list(devices)),
                ),
            ).fetchone()
        return None if row is None else _job(row)

    def report(self, job: int, progress: float, message: str = "", result: Any = None) -> bool:
        """Say how far a running job is; return whether it is to go on: False once it was cancelled.

        `result` is what has come of it so far, which stays where it is cancelled or fails.
        """
        with self._database.write() as connection:
            row = connection.execute(
                "UPDATE jobs SET progress = ?1, message = ?2, heard = ?3, "
                "result = CASE WHEN ?4 = 'null' THEN result ELSE ?4 END "
                "WHERE id = ?5 AND state = 'running' RETURNING cancel",
                (min(1.0, max(0.0, progress)), plain(message), time.time(), json.dumps(result), job),
            ).fetchone()
        return row is not None and not row["cancel"]

    def hear(self, job: int) -> None:
        """Note that the worker of a running job is there, though it has nothing to say."""
        with self._database.write() as connection:
            connection.execute("UPDATE jobs SET heard = ? WHERE id = ? AND state = 'running'", (time.time(), job))

    def finish(self, job: int, result: Any = None, *, error: str | None = None) -> BackgroundJob:
        """End a running job: done, failed with an error, or, where that was asked for, cancelled."""
        with self._database.write() as connection:
            connection.execute(
                "UPDATE jobs SET state = CASE WHEN cancel AND ?2 IS NULL AND ?3 = 'null' THEN 'cancelled' "
                "WHEN ?2 IS NULL THEN 'done' ELSE 'failed' END, message = coalesce(?2, message), "
                "result = CASE WHEN ?3 = 'null' THEN result ELSE ?3 END, "
                "progress = CASE WHEN ?2 IS NULL AND NOT cancel THEN 1.0 ELSE progress END, ended = ?4 "
                "WHERE id = ?1 AND state = 'running'",
                (
                    job,
                    None if error is None else plain(error, LONGEST_TEXT, lines=True),
                    json.dumps(result),
                    time.time(),
                ),
            )
        return self.get(job)

    def cancel(self, job: int) -> BackgroundJob:
        """Give a waiting job up at once; ask the worker of a running one to."""
        with self._database.write() as connection:
            connection.execute(
                "UPDATE jobs SET cancel = 1, ended = CASE WHEN state = 'queued' THEN ?2 ELSE ended END, "
                "state = CASE WHEN state = 'queued' THEN 'cancelled' ELSE state END "
                "WHERE id = ?1 AND state IN ('queued', 'running')",
                (job, time.time()),
            )
        return self.get(job)

    def revive(self, older: float = LOST, workers: Sequence[str] | None = None) -> int:
        """Put back into the queue what workers that died had begun; return how many.

        Args:
            older: seconds without a word after which a worker is taken for dead.
            workers: names of those that are known to be; None for any.
        """
        with self._database.write() as connection:
            cursor = connection.execute(
                "UPDATE jobs SET state = CASE WHEN cancel THEN 'cancelled' ELSE 'queued' END, progress = 0, "
                "result = CASE WHEN cancel THEN result ELSE 'null' END "
                "WHERE state = 'running' AND heard <= ?1 "
                "AND (?2 IS NULL OR worker IN (SELECT value FROM json_each(?2)))",
                (time.time() - older, None if workers is None else json.dumps(list(workers))),
            )
            return cursor.rowcount

    def get(self, job: int) -> BackgroundJob:
        """Return a job; refuse a number that is not known."""
        with self._database.read() as connection:
            row = connection.execute(f"SELECT {_FIELDS} FROM jobs WHERE id = ?", (job,)).fetchone()
        if row is None:
            raise LibraryError(f"there is no job {job}", "see the list of jobs")
        return _job(row)

    def all(self, state: State | None = None, limit: int = 100) -> list[BackgroundJob]:
        """Return the jobs, the newest first."""
        with self._database.read() as connection:
            rows = connection.execute(
                f"SELECT {_FIELDS} FROM jobs WHERE ?1 IS NULL OR state = ?1 ORDER BY id DESC LIMIT ?2", (state, limit)
            ).fetchall()
        return [_job(row) for row in rows]

    def waiting(self) -> int:
        """Return how many jobs wait or run."""
        with self._database.read() as connection:
            statement = "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')"
            return int(connection.execute(statement).fetchone()[0])

    def clear(self, actor: str = "") -> int:
        """Forget the jobs that have ended, those of an account where one is named; return how many."""
        with self._database.write() as connection:
            return connection.execute(
                "DELETE FROM jobs WHERE state IN ('done', 'failed', 'cancelled') AND "
                "(?1 = '' OR EXISTS (SELECT 1 FROM job_actors WHERE job = id AND actor = ?1))",
                (actor,),
            ).rowcount
