"""Small libraries for the tests."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from pathlib import Path

import numpy as np

from footage.library.library import Library
from footage.library.storage import DATABASE, MIGRATIONS, Database
from footage.media.encode import write_clip
from tests.clips import moving

WEIGHTS = "ab" * 32


def save_clip(path: Path, picture: int = 0, frames: int = 8, side: int = 32, **metadata: object) -> Path:
    """Write a tiny clip; with metadata, as a model writes it."""
    made = {"made_with": "footage 0", "model": "tiny", "weights_sha256": WEIGHTS, **metadata} if metadata else {}
    write_clip(path, [np.stack(moving(frames, (side, side), picture))], fps=12, metadata=made)
    return path


def filled(tmp_path: Path, count: int = 4) -> Library:
    """Return a library of `count` clips, from seeds 0, 1 and so on."""
    library = Library(tmp_path / "library")
    for seed in range(count):
        library.add(save_clip(tmp_path / f"clip {seed}.mp4", seed, frames=6 + seed, seed=seed, label="dog+cat"))
    return library


def make_older(folder: Path, version: int) -> None:
    """Take away what the steps after `version` made of a library that is closed."""
    named = "SELECT type, name FROM sqlite_master WHERE name NOT GLOB 'sqlite_*' ORDER BY type = 'table', name"
    with tempfile.TemporaryDirectory() as scratch:
        old = Database(Path(scratch) / DATABASE, MIGRATIONS[:version])
        with old.read() as connection:
            known = {tuple(row) for row in connection.execute(named)}
        old.close()
    with contextlib.closing(sqlite3.connect(folder / DATABASE, isolation_level=None)) as connection:
        for kind, name in connection.execute(named).fetchall():
            if (kind, name) not in known:  # triggers and indices before the tables that they go with
                connection.execute(f"DROP {kind} {name}")
        connection.execute(f"PRAGMA user_version = {version}")
