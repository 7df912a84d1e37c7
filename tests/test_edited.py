"""Clips that are another with effects: source and chain are kept, and rendered when they are used."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from footage.commands.main import main
from footage.errors import ConfigError, FootageError, LibraryError, MediaError
from footage.library.edited import HangingClips
from footage.library.library import Library
from footage.library.query import ClipQuery
from footage.media.encode import read_metadata
from footage.media.probe import count_frames
from tests.libraries import filled, save_clip


def chain(*items: dict[str, Any]) -> dict[str, Any]:
    return {"version": 1, "effects": list(items)}


BACK = chain({"kind": "reverse"})
QUICK = chain({"kind": "speed", "ramp": [[0, 2]]})
TALL = chain({"kind": "reframe", "shape": "9:16"})


def renders(library: Library) -> list[str]:
    return sorted(path.name for path in (library.folder / "rendered").rglob("*.mp4") if path.is_file())


def test_a_clip_with_effects_is_one_of_the_library_and_has_no_pixels(tmp_path: Path) -> None:
    library = filled(tmp_path, 2)
    made = library.edited.add(1, TALL, "upright")
    assert (made.title, made.label, made.origin, made.bytes) == ("upright", "dog+cat", "generated", 0)
    source = library.get(1)
    assert made.edited == source.digest and (made.height, made.width, made.frames) == (32, 18, source.frames)
    assert renders(library) == [f"{made.digest}-small.mp4"]
    assert not library._storage.file_store.path(made.digest, "mp4").exists()
    assert library.edited.add(1, TALL).id == made.id and library.count() == 3  # once only
    library.update(made.id, stars=4, tags=["portrait"])
    library.albums.put(library.albums.named("best").id, [made.id])
    assert [entry.id for entry in library.query(text="upright").entries] == [made.id]
    assert [entry.id for entry in library.query(ClipQuery(min_stars=4, tags=("portrait",))).entries] == [made.id]
    assert library.similar(made.id)[0][0].id == 1  # by its draft, it is most like its source
    assert library.thumbnail(made.id).is_file() and library.preview(made.id).is_file()
    assert [parent.digest for parent in library.provenance(made.id).parents] == [source.digest]
    assert [child.id for child in library.provenance(1).children] == [made.id]
    assert [entry.id for entry in library.edited.of(1)] == [made.id]
    assert library.edited.chain(made.id)["effects"][0] == {"kind": "reframe", "shape": "9:16", "seconds": 1.0}
    assert library.verify().sound and library.duplicates() == []
