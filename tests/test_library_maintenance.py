from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from footage.library.library import Library
from footage.library.query import ClipQuery
from tests.libraries import filled, save_clip


def _age(library: Library) -> None:
    for path in library.folder.rglob("*"):
        if path.is_file() and "sqlite" not in path.name:
            os.utime(path, (time.time() - 10_000,) * 2)


def test_a_file_deleted_by_hand_is_marked_and_comes_back(tmp_path: Path) -> None:
    library = filled(tmp_path, 3)
    path = library.path(2)
    content = path.read_bytes()
    path.unlink()
    seen = library.verify(repair=False)
    assert seen.missing == (2,) and not library.get(2).missing  # only looked at
    assert library.verify().missing == (2,) and library.get(2).missing and not library.get(1).missing
    assert [e.id for e in library.query(ClipQuery(missing=True)).entries] == [2]
    assert library.query(limit=10).entries[1].id == 2  # it is still listed, with its thumbnail
    assert library.thumbnail(2).is_file()
    path.write_bytes(content)
    assert library.verify().found == (2,) and not library.get(2).missing and library.verify().sound
    path.unlink()
    library.verify()
    assert library.add(tmp_path / "clip 1.mp4").id == 2 and not library.get(2).missing  # adding it again heals it too


def test_a_changed_file_becomes_a_clip_of_its_own(tmp_path: Path) -> None:
    library = filled(tmp_path, 2)
    other = save_clip(tmp_path / "other.mp4", 9, frames=20)
    path = library.path(1)
    assert path.stat().st_size != other.stat().st_size
    shutil.copy(other, path)
    assert library.verify(repair=False, quick=True).changed == (1,)
    seen = library.verify()
    assert seen.changed == (1,) and seen.adopted == (3,)
    assert library.get(1).missing and library.path(3).read_bytes() == other.read_bytes()
    flipped = bytearray(library.path(2).read_bytes())
    flipped[len(flipped) // 2] ^= 255
    library.path(2).write_bytes(bytes(flipped))
    assert library.verify(repair=False, quick=True).changed == ()
    assert library.verify(repair=False).changed == (2,)


def test_orphans_are_adopted_and_strangers_put_aside(tmp_path: Path) -> None:
    library = filled(tmp_path, 1)
    orphan = save_clip(tmp_path / "orphan.mp4", 5, seed=12)
    with open(orphan, "rb") as opened:
        library._storage.file_store.put(opened, "mp4")
    shutil.copy(save_clip(tmp_path / "named.mp4", 6), library.folder / "files" / "holiday.mp4")
    (library.folder / "files" / "notes.txt").write_text("mine")
    (library.folder / "files" / "00").mkdir(exist_ok=True)
    (library.folder / "files" / "00" / ("0" * 64 + ".mp4")).write_bytes(b"no video")
    seen = library.verify()
    assert len(seen.orphans) == 4 and len(seen.adopted) == 2
    assert library.query(text="found holiday").entries and library.count(ClipQuery(seed=12)) == 1
    aside = sorted(path.name for path in (library.folder / "aside").iterdir())
    assert aside == ["0" * 64 + ".mp4", "notes.txt"]
    assert library.verify().sound


def test_pictures_vectors_and_words_are_made_again(tmp_path: Path) -> None:
    library = filled(tmp_path, 4)
    library.thumbnail(1).unlink()
    library.preview(2).write_bytes(library.preview(2).read_bytes()[:100])
    before = library._storage.vectors().get(3)
    library._storage.vectors().path.unlink()
    with library._database.write() as connection:
        connection.execute("DELETE FROM texts WHERE clip = 4")
    seen = library.verify()
    assert seen.pictures == (1, 2) and seen.vectors == (1, 2, 3, 4) and seen.unfound == (4,)
    after = library._storage.vectors().get(3)
    assert before is not None and after is not None and (before == after).all()
    assert library.verify().sound and library.count(text="clip") == 4
    shutil.rmtree(library.folder / "pictures")
    assert library.thumbnail(2).is_file() and library.preview(3).is_file()  # without verify, too


def test_faults_of_the_index_are_found_and_repaired(tmp_path: Path) -> None:
    library = filled(tmp_path, 2)
    with library._database.write() as connection:
        connection.execute("INSERT INTO words (words, rowid, body) VALUES ('delete', 1, ?)", ("clip 0" * 3,))
    assert library.verify(repair=False).faults
    library.verify()
    assert library.verify().sound and library.count(text="clip") == 2


def test_the_bin_is_emptied_for_good(tmp_path: Path) -> None:
    library = filled(tmp_path, 4)
    library.albums.put(library.albums.create("a").id, [1, 2])
    library.ratings.add("c", "motion", 1, 3, "a")
    paths = [library.path(1), library.thumbnail(1), library.preview(1)]
    library.remove([1, 2, 3])
    library.restore([3])
    assert library.purge([4]) == 0 and library.count() == 2  # not in the bin
    assert library.purge([1]) == 1 and not any(path.exists() for path in paths)
    assert library.purge() == 1 and library.count(ClipQuery(bin=True)) == 0
    assert library.ratings.all() == [] and library._storage.vectors().get(1) is None
    assert library.verify().sound and [e.id for e, _ in library.similar(3)] == [4]
    while library.undo():
        pass  # what is gone stays gone, and nothing fails
    while library.redo():
        pass
    assert library.count() == 2
    assert library.add(tmp_path / "clip 0.mp4").id == 5  # numbers are never given twice


def test_gc_removes_what_no_clip_needs_and_no_more(tmp_path: Path) -> None:
    library = filled(tmp_path, 3)
    library.remove([1])
    with open(save_clip(tmp_path / "orphan.mp4", 5), "rb") as opened:
        digest, path = library._storage.file_store.put(opened, "mp4")
    half = library._storage.file_store.scratch("mp4")
    half.write_bytes(b"half")
    drawing = library._storage.file_store.thumbnail("0" * 64)
    drawing.parent.mkdir(exist_ok=True)
    drawing.write_bytes(b"x")
    assert library.gc().files == 0 and half.exists()  # somebody may be at work on them
    _age(library)
    done = library.gc()
    assert done.files == 3 and done.purged == 0 and not path.exists() and not half.exists() and not drawing.exists()
    assert library.count(ClipQuery(bin=True)) == 1 and library.verify().sound
    assert library.gc(bin_days=1).purged == 0 and library.gc(bin_days=0).purged == 1
    assert library.count() == 2 and library.verify().sound and digest


def test_a_removed_file_does_not_come_back_as_an_orphan(tmp_path: Path) -> None:
    library = filled(tmp_path, 2)
    library.remove([1])
    library.purge()
    assert library.verify().adopted == () and library.count() == 1
