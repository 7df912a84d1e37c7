"""Clips that are another with effects: source and chain are kept, and rendered when they are used."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from footage.commands.main import main
from footage.errors import FootageError, LibraryError, MediaError
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


def test_another_chain_is_a_new_version_that_undo_takes_back(tmp_path: Path) -> None:
    library = filled(tmp_path, 1)
    made = library.edited.add(1, TALL)
    look = library._storage.vectors("look-1").get(made.id)
    library.update(made.id, stars=3)
    changed = library.edited.change(made.id, QUICK)
    assert changed.id == made.id and changed.stars == 3 and changed.digest != made.digest
    assert (changed.width, changed.frames) == (32, 3) and library.edited.chain(made.id)["effects"][0]["kind"] == "speed"
    step = library.undo()
    assert step is not None and step.what == "effects" and not step.unchanged
    back = library.get(made.id)
    assert (back.digest, back.width, back.frames) == (made.digest, 18, 6)
    assert library.edited.chain(made.id)["effects"][0]["kind"] == "reframe"
    assert abs(library._storage.vectors("look-1").get(made.id) - look).max() < 1e-6  # type: ignore[operator]
    library.redo()
    assert library.get(made.id).digest == changed.digest
    assert library.edited.change(made.id, QUICK) == library.get(made.id)  # nothing is changed
    other = library.edited.add(1, TALL)  # the version of before is free
    with pytest.raises(LibraryError, match=f'clip {other.id} "clip 0 · reframe" has these effects already'):
        library.edited.change(made.id, TALL)
    library.undo()  # it is in the bin, and still has these effects
    with pytest.raises(LibraryError, match=f'clip {other.id} "clip 0 · reframe" in the bin has these effects already'):
        library.edited.change(made.id, TALL)
    assert library.get(other.id).deleted is not None
    step = library.undo()
    assert step is not None and step.unchanged and library.get(made.id).digest == changed.digest


def test_effects_of_a_clip_with_effects_come_behind_its_own(tmp_path: Path) -> None:
    library = filled(tmp_path, 1)
    made = library.edited.add(library.edited.add(1, TALL).id, QUICK)
    assert [item["kind"] for item in library.edited.chain(made.id)["effects"]] == ["reframe", "speed"]
    assert made.edited == library.get(1).digest and (made.width, made.frames) == (18, 3)


def test_it_is_rendered_when_it_is_used_and_again_when_that_is_deleted(tmp_path: Path) -> None:
    library = filled(tmp_path, 2)
    made = library.edited.add(1, TALL, "tall")
    library.export([made.id], tmp_path / "all.csv")
    assert len(renders(library)) == 1  # a table needs no pixels
    (written, *_) = library.export([made.id, 2], tmp_path / "out")
    count = count_frames(written)
    assert written.name == "tall.mp4" and (count.height, count.width, count.playable) == (32, 18, 6)
    about = read_metadata(written)
    source = read_metadata(library.path(1))
    for name in ("made_with", "model", "weights_sha256"):
        assert about[name] == source[name]
    assert "seed" not in about and about["source"] == library.get(1).name
    assert about["effects"] == library.edited.chain(made.id)["effects"]
    path = library.path(made.id)
    assert path.parent.parent.name == "rendered" and path.read_bytes() == written.read_bytes()
    stamp = path.stat().st_mtime_ns
    with zipfile.ZipFile(library.export([made.id], tmp_path / "out.zip")[0]) as packed:
        assert packed.read("tall.mp4") == written.read_bytes()
        (row,) = json.loads(packed.read("library.json"))["clips"]
        assert row["chain"] == library.edited.chain(made.id)
    assert path.stat().st_mtime_ns == stamp  # not once more
    assert library.gc(rendered=True).files == 1 and renders(library) == []
    (listed, copied) = library.export([made.id], tmp_path / "cut.fcpxml")
    assert "tall.mp4" in listed.read_text() and copied.is_file() and library.path(made.id).is_file()
    with Library(tmp_path / "other") as other:
        again = other.get(other.unpack(tmp_path / "out.zip").added[0])
        assert (again.title, again.origin, again.edited) == ("tall", "generated", None) and again.bytes > 0
        assert other.provenance(again.id).parents[0].digest == library.get(1).digest


def test_what_cannot_be_rendered_is_left_out(tmp_path: Path) -> None:
    library, told = filled(tmp_path, 2), list[str]()
    made = library.edited.add(1, TALL, "tall")
    library.path(1).write_bytes(b"no video")
    written = library.export([made.id, 2], tmp_path / "out", tell=told.append)
    assert [path.name for path in written] == ["clip 1.mp4", "clips.csv", "library.json"]
    (line,) = told
    assert line.startswith(f'clip {made.id} "tall" is left out: ')
    first, second = json.loads((tmp_path / "out" / "library.json").read_text())["clips"]
    assert first["file"] is None and second["file"] == "clip 1.mp4"


def test_stopped_rendering_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("footage.media.segments.SEGMENT_FRAMES", 4)
    with Library(tmp_path / "library") as library:
        library.add(save_clip(tmp_path / "a.mp4", frames=20))
        made = library.edited.add(1, TALL)

        def stop(done: int, total: int) -> None:
            if done == 11:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            library.edited.render(made.id, stop)
        assert library.edited.waiting([1, made.id]) == [made.id]
        seen: list[int] = []
        path = library.edited.render(made.id, lambda done, total: seen.append(done))
        assert seen[0] == 9 and count_frames(path).playable == 20 and library.edited.waiting([made.id]) == []
        assert [left.name for left in path.parent.iterdir() if left.name.startswith(".")] == []


def test_what_is_being_rendered_is_not_removed(tmp_path: Path) -> None:
    library = filled(tmp_path, 1)
    made = library.edited.add(1, BACK)
    file_store, done = library._storage.file_store, list[int]()

    def collect(frames: int, total: int) -> None:
        done.append(frames)
        library.gc(rendered=True)
        with file_store.rendering(file_store.rendered(made.digest), wait=False) as held:
            assert not held

    path = library.edited.render(made.id, collect)
    assert count_frames(path).playable == 6 and done == [1, 2, 3, 4, 5, 6]
    assert renders(library) == [path.name]  # nobody rendered the draft
    library.gc(rendered=True)
    assert not list(path.parent.iterdir())


def test_a_source_that_is_removed_meanwhile_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = filled(tmp_path, 3)
    digests = [library.get(clip).digest for clip in (1, 2)]
    made = library.edited.add(1, BACK)
    with pytest.raises(LibraryError, match='"clip 0" was removed from the library while effects were added to it'):
        library.edited.render(made.id, lambda *_: library.erase(digests[:1]) and None)

    def erase(path: Path) -> None:
        library.erase(digests[1:])

    monkeypatch.setattr("footage.library.edited.read_fingerprint", erase)
    with pytest.raises(LibraryError, match='"clip 1" was removed'):
        library.edited.add(2, BACK)
    pictures = {path.name[:64] for path in (library.folder / "pictures").rglob("*.webp")}
    assert library.count() == 1 and renders(library) == [] and pictures == {library.get(3).digest}


def test_two_add_the_same_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library, others = filled(tmp_path, 1), list[int]()

    def add(path: Path) -> None:
        if not others:
            others.append(0)
            others[0] = library.edited.add(1, BACK).id

    monkeypatch.setattr("footage.library.edited.read_fingerprint", add)
    assert library.edited.add(1, BACK).id == others[0] and library.count() == 2


def test_a_loop_that_is_another_than_that_of_the_draft_is_told(tmp_path: Path) -> None:
    with Library(tmp_path / "library") as library:
        library.add(save_clip(tmp_path / "a.mp4", frames=30))
        made = library.edited.add(1, chain({"kind": "loop", "least": 1, "most": 2}))
        with library._storage.database.write() as connection:
            connection.execute("UPDATE clips SET frames = 1 WHERE id = ?", (made.id,))
        path = library.path(made.id)
        assert library.get(made.id).frames == count_frames(path).playable > 11


def test_tables_of_colours_are_kept(tmp_path: Path) -> None:
    table = tmp_path / "night.cube"
    rows = [f"{r / 2} {g / 2} {b / 2}" for b in (0, 1) for g in (0, 1) for r in (0, 1)]
    table.write_text("LUT_3D_SIZE 2\n" + "\n".join(rows) + "\n")
    library = filled(tmp_path, 1)
    made = library.edited.add(1, chain({"kind": "grade", "lut": str(table)}))
    table.unlink()
    ((kept),) = library.edited.tables()
    assert kept.name == "night.cube" and library.edited.chain(made.id)["effects"][0]["lut"] == kept.lut
    path = library.path(made.id)
    assert read_metadata(path)["effects"][0]["lut"] == kept.lut
    other = library.edited.add(1, chain({"kind": "grade", "lut": kept.lut}, {"kind": "reverse"}))
    library.remove([made.id, other.id])
    library.purge([made.id])
    library.gc()
    assert library.edited.tables() == [kept]
    library.purge()
    library.gc()
    assert library.edited.tables() == [] and renders(library) == []
    (copy,) = (library.folder / "rendered" / "tables").iterdir()  # somebody may be about to open it
    os.utime(copy, (1, 1))
    library.gc()
    assert not copy.exists()


def test_a_source_is_not_removed_under_clips_with_effects(tmp_path: Path) -> None:
    library = filled(tmp_path, 2)
    made = library.edited.add(1, BACK, "back")
    with pytest.raises(HangingClips, match=rf'clips {made.id} "back" are made by effects from what is to be removed'):
        library.remove([1, 2])
    assert library.count() == 3
    assert library.remove([1], edits=True) == 2 and library.count() == 1
    library.undo()
    assert library.count() == 3
    assert library.remove([1, made.id]) == 2
    library.restore([made.id])  # its source is in the bin, and there
    assert library.path(made.id).is_file()
    with pytest.raises(HangingClips):
        library.purge()
    assert library.gc(bin_days=0).purged == 0
    assert library.purge(edits=True) == 2 and library.count() == 1
    assert renders(library) == [] and library.verify().sound


def test_what_is_wrong_is_a_sentence(tmp_path: Path) -> None:
    library = filled(tmp_path, 1)
    made = library.edited.add(1, BACK)
    for wrong, problem in {
        "there is no clip": lambda: library.edited.add(99, BACK),
        "is no chain": lambda: library.edited.add(1, chain()),
        "the chain has version 2": lambda: library.edited.add(1, {**BACK, "version": 2}),
        'effect 1 is "revers"': lambda: library.edited.add(1, chain({"kind": "revers"})),
        "effect 1 is": lambda: library.edited.add(1, chain({"kind": ["reverse"]})),
        "least": lambda: library.edited.add(1, chain({"kind": "loop", "least": 9})),
        "longer than the video allows": lambda: library.edited.add(1, chain({"kind": "loop", "least": 3})),
        "a table that the library does not keep": lambda: library.edited.add(
            1, chain({"kind": "grade", "lut": f"{'0' * 64}.cube"})
        ),
        "33 effects": lambda: library.edited.add(1, chain(*[{"kind": "reverse"}] * 33)),
        "clip 1 has no effects": lambda: library.edited.change(1, BACK),
        "has no effects": lambda: library.edited.chain(1),
    }.items():
        with pytest.raises(FootageError, match=wrong):
            problem()
    assert library.count() == 2
    library.path(1).unlink()
    with pytest.raises(LibraryError, match="the file of clip 1 is gone"):
        library.path(made.id)
    report = library.verify()
    assert report.missing == (1, made.id) and library.get(made.id).missing
    library.add(save_clip(tmp_path / "again.mp4", 0, frames=6, seed=0, label="dog+cat"))
    library.verify()
    assert not library.get(made.id).missing and library.path(made.id).is_file()


def test_pictures_have_no_effects(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (32, 32), "red").save(tmp_path / "red.png")
    with Library(tmp_path / "library") as library:
        library.add(tmp_path / "red.png")
        with pytest.raises(MediaError, match="is a picture"):
            library.edited.add(1, BACK)


def test_erasing_a_source_erases_its_effects_and_what_was_made_of_them(tmp_path: Path) -> None:
    library = filled(tmp_path, 2)
    digest = library.get(1).digest
    made = library.edited.add(1, TALL, "secret plan")
    library.path(made.id)
    from footage.library.additions import ClipDetails, Parent

    child = library.add(save_clip(tmp_path / "c.mp4", 7), ClipDetails(parents=(Parent(made.digest, "x"),)))
    library.edited.change(made.id, QUICK)
    library.path(made.id)
    assert library.erase([digest]) == 3
    assert [entry.id for entry in library.query().entries] == [2] and child.id != 2
    left = [path for path in (library.folder / "rendered").rglob("*") if path.is_file()]
    pictures = {path.name[:64] for path in (library.folder / "pictures").rglob("*.webp")}
    assert left == [] and pictures == {library.get(2).digest}
    library.close()
    texts = b"".join(path.read_bytes() for path in library.folder.glob("library.sqlite*"))
    assert b"secret plan" not in texts and b"9:16" not in texts and digest.encode() not in texts


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    library = filled(tmp_path, 1)
    folder, file = str(library.folder), tmp_path / "chain.json"
    file.write_text(json.dumps(TALL))
    main(["library", "effects", folder, "1", "--chain", str(file), "--title", "tall"])
    assert 'clip 2 "tall": 18×32, 0.5 s' in capsys.readouterr().out
    file.write_text(json.dumps(QUICK))
    main(["library", "effects", folder, "2", "--chain", str(file), "--change"])
    main(["library", "effects", folder, "2"])
    main(["library", "show", folder, "2"])
    assert capsys.readouterr().out.count('"ramp": [[0.0, 2.0]]') == 2
    main(["library", "render", folder, "1", "2"])
    assert "2 clips are ready" in capsys.readouterr().out and len(renders(library)) == 3
    main(["library", "export", folder, "1", "2", "--to", str(tmp_path / "out.zip")])
    assert "1 clip has effects, which are fixed in the exported files" in capsys.readouterr().out
    for words in (["remove", folder, "1"], ["effects", folder, "1", "--chain", str(tmp_path / "none.json")]):
        with pytest.raises(SystemExit):
            main(["library", *words])
    told = capsys.readouterr().err
    assert (
        'clips 2 "tall" are made by effects from what is to be removed: let them go along (edits)' in told
        and "cannot be read" in told
    )
    main(["library", "remove", folder, "1", "--edits"])
    main(["library", "purge", folder, "--everything"])
    main(["library", "gc", folder, "--rendered"])
    assert library.count() == 0 and renders(library) == []
