from __future__ import annotations

import csv
import json
import os
import stat
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from footage.errors import LibraryError, MediaError
from footage.library import import_export
from footage.library.additions import ClipDetails, Parent
from footage.library.import_export import ExportOptions, file_name
from footage.library.library import Library
from footage.library.provenance import ModelCard
from tests.clips import moving, write
from tests.libraries import WEIGHTS, filled, save_clip

HOSTILE = (
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "..",
    "/abs",
    "C:\\windows\\x",
    "CON",
    "a\x00b\x1b[2Jc\u202egpj.exe",
    "=HYPERLINK(1)",
    "-",
    "'; DROP TABLE clips; --",
    "夜晚 🎬" * 80,
    "\ud800lone",
    "a/b\nc",
    " . ",
)


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_captions_are_kept_as_text_and_do_no_harm(tmp_path: Path, number: int) -> None:
    text = HOSTILE[number]
    library = Library(tmp_path / "library")
    path = save_clip(tmp_path / "a.mp4", seed=3, label=text.encode("utf-8", "replace").decode(), prompt="x")
    entry = library.add(path, ClipDetails(title=text, prompt=text, notes=text, tags=(text,), source=text))
    for value in (entry.title, entry.prompt, entry.notes, entry.source, *entry.tags, entry.label or ""):
        value.encode("utf-8")
        assert not set(value) & set("\x00\x1b\u202e")
    assert library.count() == 1 and library.albums.create(entry.title or "x")
    out = tmp_path / "out"
    written = library.export([entry.id], out)
    inside = [path for path in tmp_path.rglob("*") if path.suffix == ".mp4" and out in path.parents]
    assert [p.parent for p in written] == [out] * 3 and len(inside) == 1
    assert len(inside[0].name.encode()) < 255 and not inside[0].name.startswith((".", "-", "="))
    with open(out / "clips.csv", encoding="utf-8-sig", newline="") as table:
        row = next(csv.DictReader(table))
    assert not any(cell.lstrip().startswith(("=", "+", "-", "@")) for cell in row.values())
    again = Library(tmp_path / "again")
    library.export([entry.id], tmp_path / "x.zip")
    assert again.unpack(tmp_path / "x.zip").refused == ()
    back = again.get(1)
    assert (back.title, back.prompt, back.notes, back.tags) == (entry.title, entry.prompt, entry.notes, entry.tags)


def test_file_names_fit_every_system() -> None:
    assert file_name("a b-1") == "a b-1" and file_name("con") == "_con" and file_name("NUL.mp4") == "_NUL.mp4"
    assert file_name("../x") == "x" and file_name("") == "_" and file_name("夜晚") == "夜晚"
    assert file_name("a:b*c?") == "a_b_c"


def test_clips_of_one_title_get_names_of_their_own(tmp_path: Path) -> None:
    library = Library(tmp_path / "library")
    for number, title in enumerate(("a", "A", "a-2", "a", "a-2")):
        library.add(save_clip(tmp_path / f"{number}.mp4", number), ClipDetails(title=title))
    written = library.export([1, 2, 3, 4, 5], tmp_path / "out")
    names = [path.name.casefold() for path in written[:-2]]
    assert len(names) == 5 == len(set(names))
    for clip, path in enumerate(written[:-2], 1):
        assert path.read_bytes() == library.path(clip).read_bytes()


def test_an_export_brings_everything_into_another_library(tmp_path: Path) -> None:
    library = filled(tmp_path, 3)
    library.register(ModelCard(WEIGHTS, "tiny", preset="conv3d-32", dataset="holidays", dataset_digest="cd" * 32))
    library.bulk([1, 2], {"stars": 4, "verdict": "keep", "notes": "二\nlines"}, tag=["a", "红"])
    library.set_metrics(1, {"motion": 0.5})
    library.albums.put(library.albums.create("best").id, [2, 1])
    made = library.add(
        save_clip(tmp_path / "d.mp4", 8), ClipDetails(parents=(Parent(library.get(1).digest, "clip 0.mp4"),))
    )
    library.export([1, 2, 3, made.id], tmp_path / "x.zip", ExportOptions(names="digest"))
    other = Library(tmp_path / "other")
    found = other.unpack(tmp_path / "x.zip")
    assert len(found.added) == 4 and found.refused == ()
    keys = ("digest", "title", "stars", "verdict", "notes", "tags", "metrics", "seed", "label", "model", "settings")
    for clip in found.added:
        entry = other.get(clip)
        twin = library.get(entry.digest)
        assert all(getattr(entry, key) == getattr(twin, key) for key in keys)
    best = other.albums.get("best")
    assert {other.get(i).digest for i in other.albums.clips(best.id)} == {library.get(i).digest for i in (1, 2)}
    assert other.models()[0].dataset == "holidays"
    child = other.provenance(other.get(made.digest).id)
    assert child.parents[0].provenance is not None and child.parents[0].provenance.entry.stars == 4
    assert other.unpack(tmp_path / "x.zip").added == ()


def test_export_to_a_folder_a_table_and_again(tmp_path: Path) -> None:
    library = filled(tmp_path, 3)
    library.path(2).unlink()
    out = tmp_path / "out"
    assert len(library.export([1, 2, 3], out)) == 4  # two clips, two tables
    rows = json.loads((out / "library.json").read_text())["clips"]
    assert [row["file"] for row in rows] == ["clip 0.mp4", None, "clip 2.mp4"]
    library.export([1], out)  # its own folder may be written again
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("x")
    with pytest.raises(LibraryError, match="holds something else"):
        library.export([1], tmp_path / "mine")
    for name in ("t.csv", "t.json"):
        assert library.export([3, 1], tmp_path / name) == [tmp_path / name]
    assert [row["id"] for row in json.loads((tmp_path / "t.json").read_text())["clips"]] == [3, 1]
    with pytest.raises(LibraryError, match="no ending"):
        library.export([1], tmp_path / "x.mp5")
    with pytest.raises(LibraryError, match="no clip"):
        library.export([], tmp_path / "x.zip")


@pytest.mark.parametrize("suffix", [".otio", ".fcpxml", ".xml", ".edl"])
def test_edit_lists_are_read_by_the_library_that_cutting_programs_use(tmp_path: Path, suffix: str) -> None:
    otio = pytest.importorskip("opentimelineio")
    library = filled(tmp_path, 2)
    library.add(write(tmp_path / "fast.mp4", moving(50), fps=25), ClipDetails(title="<b>&quot;夜</b>"))
    written = library.export([3, 1, 2], tmp_path / f"cut{suffix}", ExportOptions(fps=25))
    assert [path.parent.name for path in written[1:]] == ["cut-media"] * 3
    options = {"rate": 25} if suffix == ".edl" else {}
    found = otio.adapters.read_from_file(str(written[0]), **options)
    assert isinstance(found, otio.schema.Timeline)
    clips = list(found.find_clips())
    assert [round(c.duration().to_seconds(), 2) for c in clips] == pytest.approx([2.0, 0.5, 0.58], abs=0.03)
    if suffix in (".otio", ".xml"):
        assert [c.name for c in clips] == ["<b>&quot;夜</b>", "clip 0", "clip 1"]
        for clip, path in zip(clips, written[1:], strict=True):
            assert clip.media_reference.target_url == path.resolve().as_uri()
    alone = library.export([1], tmp_path / f"alone{suffix}", ExportOptions(media="none"))
    assert len(alone) == 1 and library.path(1).name in alone[0].read_text()


def test_edit_lists_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = filled(tmp_path, 1)
    monkeypatch.setitem(__import__("sys").modules, "opentimelineio", None)
    with pytest.raises(LibraryError, match=r"footage\[timeline\]"):
        library.export([1], tmp_path / "x.otio")
    assert not (tmp_path / "x.otio").exists() and not (tmp_path / "x-media").exists()


def _zip(path: Path, content: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in content.items():
            packed.writestr(name, data)
    return path


def _tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_zip_slip_writes_nothing_outside(tmp_path: Path) -> None:
    library = filled(tmp_path, 0)
    clip = save_clip(tmp_path / "a.mp4").read_bytes()
    other = save_clip(tmp_path / "b.mp4", 1).read_bytes()
    evil = ("../evil.mp4", "/tmp/evil-footage.mp4", "..\\evil.mp4", "a/../../evil.mp4", "C:evil.mp4", "C:\\evil.mp4")
    path = _zip(tmp_path / "x.zip", {**dict.fromkeys(evil, clip), "good/inner.mp4": other, "readme.txt": b"x"})
    before = _tree(tmp_path)
    found = library.unpack(path)
    grown = {name for name in _tree(tmp_path) - before if not name.startswith("library/")}
    assert grown == set() and not Path("/tmp/evil-footage.mp4").exists()
    assert len(found.added) == 1 and {name for name, _ in found.refused} == {*evil, "readme.txt"}
    assert library.get(1).title == "inner"


def test_zips_with_links_passwords_damage_and_bombs(tmp_path: Path) -> None:
    library = filled(tmp_path, 1)
    good = save_clip(tmp_path / "good.mp4", 5).read_bytes()
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as packed:
        link = zipfile.ZipInfo("link.mp4")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(link, "/etc/passwd")
        packed.writestr("broken.mp4", b"no video")
        packed.writestr("good.mp4", good)
    content = bytearray(path.read_bytes())
    found = library.unpack(path)
    assert dict(found.refused)["link.mp4"].startswith("it is a link") and len(found.added) == 1
    assert "broken.mp4" in dict(found.refused)
    content[content.index(good[:64]) + len(good) // 2] ^= 255  # the checksum no longer fits
    (tmp_path / "damaged.zip").write_bytes(bytes(content))
    assert "good.mp4" in dict(Library(tmp_path / "l2").unpack(tmp_path / "damaged.zip").refused)
    bomb = _zip(tmp_path / "bomb.zip", {"zeros.mp4": bytes(50_000_000)})
    assert bomb.stat().st_size < 100_000
    before = _tree(library.folder)
    with pytest.raises(MediaError, match="unpacks to more than 1,000,000 bytes"):
        library.unpack(bomb, most_bytes=1_000_000)
    assert dict(library.unpack(bomb).refused)["zeros.mp4"].startswith("it unpacks to more than 100 times its size")
    assert {n for n in _tree(library.folder) ^ before if "sqlite" not in n} == set()
    with pytest.raises(MediaError, match="more than 1"):
        library.unpack(path, most_files=1)
    for name, data in (("none.zip", None), ("text.zip", b"hello")):
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(MediaError, match="no zip file"):
            library.unpack(tmp_path / name)


def test_a_padded_zip_fills_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips with zeros behind them are whole clips, and are packed into a thousandth."""
    library, clip = Library(tmp_path / "library"), save_clip(tmp_path / "a.mp4").read_bytes()

    def taken(name: str, padded: list[int]) -> tuple[int, int, int]:
        """Return the size of a zip, how many of its clips were taken in, and how much the library has grown."""
        content = {f"{n}.mp4": clip + b"\0\0\0\x0cfree" + n.to_bytes(4, "big") + bytes(p) for n, p in enumerate(padded)}
        path, before = _zip(tmp_path / name, content), sum(p.stat().st_size for p in library.folder.rglob("files/*/*"))
        try:
            added = len(library.unpack(path).added)
        except MediaError as error:
            assert "unpacks to more than" in str(error)
            added = -1
        return path.stat().st_size, added, sum(p.stat().st_size for p in library.folder.rglob("files/*/*")) - before

    size, added, grown = taken("large.zip", [8_000_000, 8_000_000, 0])
    assert size < 30_000 and added == 1 and grown < 10_000, "each file has its own limit"
    monkeypatch.setattr(import_export, "SMALL_ZIP", 2_000_000)
    size, added, grown = taken("many.zip", [500_000] * 12)
    assert added == -1 and grown <= max(2_000_000, 100 * size) < 6_000_000, "and all together have one"
    assert not list((library.folder / "partial").iterdir())
    honest = _zip(
        tmp_path / "honest.zip", {f"{n}.mp4": save_clip(tmp_path / "b.mp4", n).read_bytes() for n in range(30, 36)}
    )
    assert len(library.unpack(honest).added) == 6


@pytest.mark.parametrize(("character", "count"), [(b"[", 3_000_000), (b" ", 60_000_000)])
def test_a_packed_table_fills_no_memory(tmp_path: Path, character: bytes, count: int) -> None:
    library, clip = Library(tmp_path / "library"), save_clip(tmp_path / "a.mp4").read_bytes()
    path = _zip(tmp_path / "x.zip", {"a.mp4": clip, "library.json": character * count})
    tracemalloc.start()
    assert library.unpack(path).added == (1,) and tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    "row",
    [
        {
            "stars": 99,
            "verdict": "maybe",
            "tags": "abc",
            "title": 5,
            "metrics": {"a": "b"},
            "albums": "x",
            "parents": 3,
        },
        {
            "stars": True,
            "tags": [1, None],
            "settings": [],
            "metrics": {"a": float("inf")},
            "parents": [{"digest": "x"}],
        },
        {"title": "x" * 10_000, "notes": "\x1b[2J", "model_card": {"digest": "../x"}, "albums": [None, 3, ""]},
        {"model_card": {"digest": "ab" * 32, "clips_seen": 10**30, "name": ["x"]}, "label": "\ud800"},
    ],
)
def test_a_hostile_table_is_only_read_as_far_as_it_is_right(tmp_path: Path, row: dict[str, object]) -> None:
    table = {"format": "footage library export", "schema": 1, "clips": [{"file": "a.mp4", **row}, 3, {"file": 4}]}
    clip = save_clip(tmp_path / "a.mp4").read_bytes()
    path = _zip(tmp_path / "x.zip", {"a.mp4": clip, "library.json": json.dumps(table).encode()})
    library = Library(tmp_path / "library")
    assert library.unpack(path).added == (1,)
    entry = library.get(1)
    assert entry.stars == 0 and entry.verdict == "undecided" and len(entry.title) <= 200 and entry.metrics == {}
    assert library.verify().sound
    for broken in (b"[" * 100_000, b"{", b"null", b'{"format": "footage library export", "clips": 3}'):
        other = _zip(tmp_path / "y.zip", {"a.mp4": clip, "library.json": broken})
        assert library.unpack(other).known == (1,)


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs symbolic links")
def test_symbolic_links_out_of_the_library_are_never_followed(tmp_path: Path) -> None:
    library = filled(tmp_path, 2)
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(b"secret")
    path, thumbnail = library.path(1), library.thumbnail(1)
    path.unlink()
    path.symlink_to(secret)
    thumbnail.unlink()
    thumbnail.symlink_to(secret)
    with pytest.raises(LibraryError, match="gone"):
        library.path(1)
    with pytest.raises(LibraryError, match="gone"):
        library.thumbnail(1)
    assert library.export([1, 2], tmp_path / "out")[0].name == "clip 1.mp4"
    assert library.verify().missing == (1,) and secret.read_bytes() == b"secret"
    second = library.thumbnail(2)
    second.unlink()
    second.symlink_to(secret)
    assert not library.thumbnail(2).is_symlink() and secret.read_bytes() == b"secret"
    folder = library.path(2).parent
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LibraryError, match="gone"):
        library.path(2)


@pytest.mark.parametrize("name", ["../../x", "..", "a/b", "A" * 64, "", "0" * 63, "0" * 64 + "/..", "%2e%2e"])
def test_no_reference_leads_out_of_the_library(tmp_path: Path, name: str) -> None:
    library = filled(tmp_path, 1)
    for ask in (library.get, library.path, library.thumbnail, library.preview):
        with pytest.raises(LibraryError):
            ask(name)
    for digest, suffix in ((name, "mp4"), ("0" * 64, name)):
        with pytest.raises(LibraryError):
            library._storage.file_store.path(digest, suffix)


def test_a_database_that_was_tampered_with_cannot_name_other_files(tmp_path: Path) -> None:
    import sqlite3

    library = filled(tmp_path, 1)
    with sqlite3.connect(library.folder / "library.sqlite") as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("UPDATE clips SET suffix = '/../../../x'")
    connection.close()
    with pytest.raises(LibraryError):
        library.path(1)
