from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import footage
from footage.errors import LibraryError, MediaError
from footage.library.additions import ClipDetails, Parent
from footage.library.library import Library
from footage.library.provenance import ModelCard
from footage.library.query import SORTS, ClipQuery
from tests.clips import moving, write
from tests.libraries import WEIGHTS, filled, save_clip

MEASURED = [sort for sort in SORTS if sort != "taste"]
"""Orders that a library has without ratings."""


def test_needs_no_torch() -> None:
    code = "import sys, footage; footage.Library; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert footage.Library is Library


def test_a_generated_clip_is_described(tmp_path: Path) -> None:
    library = Library(tmp_path / "library")
    made = save_clip(tmp_path / "a.mp4", frames=9, seed=7, label="dog", truncation=0.5)
    entry = library.add(made, ClipDetails(tags=("b", "a", "a"), prompt="a dog\nruns"))
    assert (entry.origin, entry.model, entry.weights, entry.seed) == ("generated", "tiny", WEIGHTS, 7)
    assert (entry.label, entry.settings, entry.title) == ("dog", {"truncation": 0.5}, "a")
    assert (entry.width, entry.height, entry.fps, entry.frames, entry.codec) == (32, 32, 12, 9, "h264")
    assert entry.seconds == pytest.approx(0.75)
    assert (entry.tags, entry.prompt, entry.source) == (("a", "b"), "a dog\nruns", str(made))
    assert library.path(entry.id).read_bytes() == made.read_bytes() and entry.bytes == made.stat().st_size
    assert library.get(entry.digest[:8]) == library.get(str(entry.id)) == library.get(entry.id) == entry
    from PIL import Image

    with Image.open(library.thumbnail(entry.id)) as thumbnail, Image.open(library.preview(entry.id)) as preview:
        assert thumbnail.size == preview.size == (32, 32)
        assert getattr(preview, "n_frames", 1) == 9


def test_a_foreign_clip_a_picture_and_a_folder_of_pictures(tmp_path: Path) -> None:
    library = Library(tmp_path / "library")
    entry = library.add(write(tmp_path / "holiday.mov", moving(10)))
    assert (entry.origin, entry.model, entry.settings) == ("imported", None, {})
    from PIL import Image

    Image.fromarray(moving(1)[0]).save(tmp_path / "still.png")
    still = library.add(tmp_path / "still.png")
    assert (still.frames, still.fps, still.seconds, still.codec) == (1, 0, 0, "png")
    (tmp_path / "frames").mkdir()
    for number, frame in enumerate(moving(5)):
        Image.fromarray(frame).save(tmp_path / "frames" / f"{number:06d}.png")
    frames = library.add(tmp_path / "frames")
    assert (frames.title, frames.frames, frames.suffix) == ("frames", 5, "mp4")


def test_the_same_content_is_taken_in_once(tmp_path: Path) -> None:
    library = Library(tmp_path / "library")
    path = save_clip(tmp_path / "a.mp4")
    entry = library.add(path)
    path.rename(tmp_path / "b.mp4")
    assert library.add(tmp_path / "b.mp4") == entry and library.add_new(tmp_path / "b.mp4") is None
    library.remove([entry.id])
    assert library.count() == 0 and library.add(tmp_path / "b.mp4").deleted is None and library.count() == 1


@pytest.mark.parametrize("name", ["empty.mp4", "text.mp4", "clip.exe", "none.mp4", "page.png"])
def test_what_is_no_clip_leaves_the_library_as_it_was(tmp_path: Path, name: str) -> None:
    library = filled(tmp_path, 1)
    if name != "none.mp4":
        (tmp_path / name).write_bytes(b"" if name == "empty.mp4" else b"no clip at all" * 50)
    before = sorted(p for p in library.folder.rglob("*") if p.is_file() and "sqlite" not in p.name)
    with pytest.raises((MediaError, LibraryError)):
        library.add(tmp_path / name)
    assert sorted(p for p in library.folder.rglob("*") if p.is_file() and "sqlite" not in p.name) == before
    assert library.count() == 1 and library.verify(repair=False).sound


def test_pages_meet_without_gap_or_repeat_in_every_order(tmp_path: Path) -> None:
    library = filled(tmp_path, 7)
    for clip in (1, 2, 3):
        library.update(clip, stars=clip % 2 + 1, title=f"B{clip}")
        library.set_metrics(clip, {"motion": clip / 7})
    for sort in [*MEASURED, "metric:motion", "metric:motion:asc"]:
        seen: list[int] = []
        cursor = None
        while True:
            page = library.query(sort=sort, limit=2, cursor=cursor)
            seen += [entry.id for entry in page.entries]
            if (cursor := page.cursor) is None:
                break
        assert sorted(seen) == list(range(1, 8)), sort
        assert seen == [entry.id for entry in library.query(sort=sort).entries] == library.ids(ClipQuery(sort=sort))
    assert [e.id for e in library.query(sort="metric:motion").entries][:3] == [3, 2, 1]
    assert [e.id for e in library.query(sort="metric:motion:asc").entries][:3] == [1, 2, 3]
    with pytest.raises(LibraryError, match="cursor"):
        library.query(sort="stars", cursor=library.query(limit=2).cursor)
    for bad in ("x", "W10", "WyJuZXdlc3QiLCAxZTk5OTksIDJd", "bm9uZQ", "é"):
        with pytest.raises(LibraryError, match="cursor"):
            library.query(cursor=bad)
    with pytest.raises(LibraryError, match='did you mean "stars"'):
        library.query(sort="star")


def test_filters(tmp_path: Path) -> None:
    library = filled(tmp_path, 4)
    other = library.add(write(tmp_path / "other.mp4", moving(30, (64, 96))))
    library.bulk([1, 2], {"stars": 3, "verdict": "keep"}, tag=["night", "rain"])
    library.bulk([2], tag=["wide"])
    library.set_metrics(3, {"motion": 0.5})
    album = library.albums.create("best")
    library.albums.put(album.id, [4, 2])
    library.remove([4])
    found = {
        (1, 2, 3): ClipQuery(model="tiny"),
        (5,): ClipQuery(origin="imported", min_side=33),
        (1, 2): ClipQuery(tags=("night", "rain")),
        (1,): ClipQuery(tags=("night",), without=("wide",)),
        (2,): ClipQuery(album=album.id),
        (3, 5): ClipQuery(max_stars=2),
        (1, 2, 3, 5): ClipQuery(without=("nothing",)),
        (3,): ClipQuery(metrics=(("motion", 0.4, None), ("motion", None, 0.6))),
        (4,): ClipQuery(bin=True),
        (2, 3): ClipQuery(min_seconds=7 / 12, max_seconds=8 / 12),
        (): ClipQuery(seed=3),
    }
    for clips, filters in found.items():
        assert tuple(sorted(e.id for e in library.query(filters).entries)) == clips, filters
        assert library.count(filters) == len(clips)
    assert library.get(other.id).height == 64
    assert library.facets()["tags"] == [("night", 2), ("rain", 2), ("wide", 1)]
    assert library.facets(ClipQuery(verdict="keep"))["stars"] == [(3, 2)]
    with pytest.raises(LibraryError, match='did you mean "keep"'):
        ClipQuery(verdict="kep")


@pytest.mark.parametrize(
    ("text", "clips"),
    [
        ("红", [1]),
        ("红衣", [1]),
        ("衣服的人", [1]),
        ("人", [1, 2]),
        ("人 街", [2]),
        ("RAIN", [2, 3]),
        ("ain", [2, 3]),
        ('"rain at"', [3]),
        ("at rain", [3]),
        ("stra", [3]),
        ("ﬁre", [4]),
        ("f", [4]),
        ('f"x', []),
        ("%", [4]),
        ("100%", [4]),
        ("_", []),
        ("'; DROP TABLE clips; --", []),
        ("NEAR(rain night)", []),
        ("rain*", []),
        ("body:rain", []),
        ("ss", [3]),
        ("", [1, 2, 3, 4]),
    ],
)
def test_words_find_what_holds_them(tmp_path: Path, text: str, clips: list[int]) -> None:
    library = Library(tmp_path / "library")
    prompts = ("穿红衣服的人", "人在街上走, rain", "night Rain at the STRAẞE", "Fire 100%")
    for number, prompt in enumerate(prompts):
        path = save_clip(tmp_path / f"{number}.mp4", number)
        library.add(path, ClipDetails(title=str(number), prompt=prompt, source=""))
    assert sorted(e.id for e in library.query(text=text).entries) == clips
    assert library.count(text=text) == len(clips)
    assert sorted(library.ids(ClipQuery(text=text))) == clips


def test_words_follow_every_change(tmp_path: Path) -> None:
    library = filled(tmp_path, 2)
    library.update(1, notes="Sunset", tags=["beach"])
    assert library.count(text="sunset beach") == 1
    library.update(1, notes="", title="ünïcode")
    assert library.count(text="sunset") == 0 and library.count(text="ÜNÏ") == 1
    library.undo()
    assert library.count(text="sunset") == 1
    library.remove([1])
    assert library.count(text="sunset") == 0 == len(library.query(text="sunset").entries)
    library.purge()
    assert library.count(ClipQuery(bin=True), "sunset") == 0


def test_common_words_are_found_as_rare_ones_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = filled(tmp_path, 5)
    library.bulk([1, 3, 5], tag=["night"])
    rare = [
        [e.id for e in library.query(text=text, sort=sort).entries]
        for text in ("night", "n", "ni cat")
        for sort in MEASURED
    ]
    monkeypatch.setattr("footage.library.query.COMMON", 1)
    monkeypatch.setattr("footage.library.query.BEGINNINGS", 0)
    common = [
        [e.id for e in library.query(text=text, sort=sort).entries]
        for text in ("night", "n", "ni cat")
        for sort in MEASURED
    ]
    assert rare == common and rare[0] == [5, 3, 1]
    assert library.count(text="ni") == 3


def test_provenance_leads_back_to_the_data_set(tmp_path: Path) -> None:
    library = filled(tmp_path, 2)
    parent = library.get(1)
    library.register(ModelCard(WEIGHTS, "tiny", "/models/tiny", "conv3d-32", "holidays", "cd" * 32, 100))
    library.register(ModelCard(WEIGHTS, "tiny"))
    made_from = Parent(parent.digest, "a.mp4"), Parent("ef" * 32, "lost.mp4", "end")
    child = library.add(save_clip(tmp_path / "child.mp4", 9), ClipDetails(parents=made_from))
    found = library.provenance(child.id)
    assert found.model is None
    inner = {r.relation: r for r in found.parents}
    assert inner["end"].provenance is None and inner["end"].name == "lost.mp4"
    above = inner["source"].provenance
    assert above is not None and above.entry == parent and above.children == (child,)
    assert above.model is not None and (above.model.dataset, above.model.dataset_digest) == ("holidays", "cd" * 32)
    assert above.model.folder == "/models/tiny" and library.models()[0].clips_seen == 100
    assert [e.id for e in library.query(ClipQuery(dataset="holidays")).entries] == [2, 1]
    assert [e.id for e in library.query(ClipQuery(parent=parent.id)).entries] == [child.id]
    looped = library.add(save_clip(tmp_path / "loop.mp4", 11))
    with library._database.write() as connection:
        for clip, digest in ((looped.id, child.digest), (child.id, looped.digest), (looped.id, looped.digest)):
            connection.execute("INSERT INTO parents VALUES (?, ?, 'source', '')", (clip, digest))
    assert library.provenance(looped.id).entry == looped  # circles end


def test_likeness_finds_the_copy_first(tmp_path: Path) -> None:
    library = filled(tmp_path, 6)
    frames = moving(9, (32, 32), 3)
    copy = library.add(write(tmp_path / "copy.mp4", frames, fps=12, options={"crf": "22"}))
    found = library.similar(4)
    assert found[0][0].id == copy.id and found[0][1] > 0.97 > found[1][1] + 0.02
    assert [e.id for e, _ in found] != [] and 4 not in [e.id for e, _ in found]
    assert [e.id for e, _ in library.similar(4, ClipQuery(origin="generated"))] == [e.id for e, _ in found[1:]]
    assert [[e.id for e in group] for group in library.duplicates()] == [
        sorted([4, copy.id], key=lambda i: -library.get(i).bytes)
    ]
    library.remove([copy.id])
    assert copy.id not in [e.id for e, _ in library.similar(4)] and library.duplicates() == []
    with pytest.raises(LibraryError, match="the vector is"):
        library.similar(np.zeros(3, np.float32))
    with pytest.raises(LibraryError, match='there is no clip "99"'):
        library.similar(99)


def test_a_learned_embedding_takes_over(tmp_path: Path) -> None:
    library = filled(tmp_path, 3)
    asked: list[Path] = []

    def embedding(path: Path) -> np.ndarray:
        asked.append(path)
        return np.array([1.0, len(asked) == 2], np.float32)

    assert library.embed("vae-1", embedding, about="a VAE") == 3
    found = library.similar(1)
    assert (
        [e.id for e, _ in found] == [3, 2]
        and found[0][1] == pytest.approx(1)
        and found[1][1] == pytest.approx(0.5**0.5)
    )
    library.add(save_clip(tmp_path / "late.mp4", 9))
    assert library.embed("vae-1", embedding) == 1 and len(asked) == 4
    library.choose_embedding("look-1")
    assert library.similar(1)[0][1] != pytest.approx(1)
    with pytest.raises(LibraryError, match="known are look-1, vae-1"):
        library.choose_embedding("vae-2")
    with pytest.raises(LibraryError):
        library.embed("../x", embedding)


def test_a_library_that_is_not_there_or_not_ours(tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match="holds no library"):
        Library(tmp_path / "none", create=False)
    import sqlite3

    (tmp_path / "other").mkdir()
    with sqlite3.connect(tmp_path / "other" / "library.sqlite") as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    with pytest.raises(LibraryError, match="another program"):
        Library(tmp_path / "other")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "library.sqlite").write_bytes(b"SQLite format 3\0" + b"\xff" * 4000)
    with pytest.raises(LibraryError, match=r"damaged|no database"):
        Library(tmp_path / "torn")
