from __future__ import annotations

import inspect
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import footage
from footage.commands import main as cli
from footage.commands.library import embed_clips
from footage.library.library import Library
from footage.library.query import ClipQuery
from tests.clips import corners, moving, quadrants, smooth, woven, write, write_signal
from tests.libraries import filled, save_clip
from tests.models import save_tiny_model


def run(*words: object) -> int:
    try:
        cli.main(["library", *map(str, words)])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.mark.parametrize("verb", cli.GROUPS["library"])
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(verb, "--help") == 0
    said = capsys.readouterr().out
    function = cli.verb(cli.GROUPS["library"][verb])
    assert f"footage library {verb}" in said and (inspect.getdoc(function) or "").split()[0] in said


def test_the_group_has_help_and_corrects_spelling(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0 and "duplicates" in capsys.readouterr().out
    assert run("serach", "x") == 2
    assert 'no command "library serach": did you mean "search"' in " ".join(capsys.readouterr().err.split())


def test_looking_at_a_library_imports_no_torch(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    code = (
        "import sys, footage.commands.main\n"
        f"footage.commands.main.main(['library', 'list', {str(tmp_path / 'library')!r}])\n"
        f"footage.commands.main.main(['library', 'similar', {str(tmp_path / 'library')!r}, '1'])\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "clip 1" in done.stdout, done.stderr


def test_from_a_folder_to_an_exported_favourite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips, folder = tmp_path / "clips", tmp_path / "library"
    for number in range(3):
        save_clip(clips / "inner" / f"{number}.mp4", number, seed=number)
    (clips / "notes.txt").write_text("no clip")
    (clips / "broken.mp4").write_bytes(b"no clip")
    (clips / ".hidden.mp4").write_bytes(b"x")
    assert run("add", folder, clips, "--tag", "night", "夜") == 0
    assert "3 added, 0 there already, 1 refused" in capsys.readouterr().out
    assert run("add", folder, clips) == 0 and "0 added, 3 there already" in capsys.readouterr().out
    assert run("rate", folder, 1, 2, "--stars", 4, "--verdict", "keep") == 0
    assert run("tag", folder, "--where.text", "夜", "--where.stars", 4, "--add", "best", "--remove", "night") == 0
    assert run("edit", folder, 2, "--title", "the one", "--notes", "look at it") == 0
    assert run("album", folder, "shown", "--put", 2, 1) == 0
    assert run("view", folder, "kept", "--verdict", "keep", "--sort", "stars") == 0
    assert run("album", folder, "shown", "--delete") == 0 and run("view", folder, "kept", "--delete") == 0
    assert run("undo", folder) == 0 and run("undo", folder) == 0
    assert "album shown deleted" in capsys.readouterr().out
    assert run("search", folder, "one", "best", "--view", "kept") == 0
    said = capsys.readouterr().out
    assert "the one" in said and "★★★★" in said and "1 clips" in said
    assert run("show", folder, 2) == 0
    said = capsys.readouterr().out
    assert "look at it" in said and "made by tiny" in said and "shown" in said
    assert run("export", folder, "--album", "shown", "--to", tmp_path / "x.zip") == 0
    assert run("add", tmp_path / "second", tmp_path / "x.zip") == 0
    assert {e.title for e in Library(tmp_path / "second").query().entries} == {"the one", "0"}
    assert run("similar", folder, 1, "--limit", 1) == 0 and run("duplicates", folder) == 0
    assert run("remove", folder, 3) == 0 and run("undo", folder) == 0 and run("redo", folder) == 0
    assert run("list", folder, "--bin") == 0 and run("restore", folder, "--where.everything") == 0
    assert Library(folder).count() == 3
    assert run("remove", folder, "--where.everything") == 0 and run("purge", folder, "--everything") == 0
    assert run("history", folder) == 0 and run("gc", folder) == 0 and run("verify", folder) == 0
    assert "all is well" in capsys.readouterr().out and Library(folder).count() == 0


def test_verify_says_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    library = filled(tmp_path, 2)
    library.path(2).unlink()
    assert run("verify", library.folder, "--no-repair") == 0
    assert "1 clip whose file is gone: 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["list", "nowhere"], "footage library add"),
        (["add", "lib", "nowhere.mp4"], "does not exist"),
        (["tag", "L", "1"], "--add TAG"),
        (["tag", "L", "--add", "x"], "give numbers"),
        (["tag", "L", "1", "--where.stars", "3", "--add", "x"], "give one of the two"),
        (["rate", "L", "1"], "--stars 4"),
        (["rate", "L", "1", "--stars", "6"], "give 0 to 5"),
        (["rate", "L", "77", "--stars", "5"], "no clip 77"),
        (["remove", "L"], "give numbers"),
        (["purge", "L"], "--everything"),
        (["list", "L", "--view", "none"], 'no view "none"'),
        (["list", "L", "--sort", "starz"], 'did you mean "stars"'),
        (["show", "L", "deadbeef"], "no clip"),
        (["export", "L", "1", "--to", "x.doc"], "no ending"),
    ],
)
def test_mistakes_are_answered_in_one_line(
    tmp_path: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    library = filled(tmp_path, 1)
    assert run(*[str(library.folder) if word == "L" else word for word in words]) == 2
    captured = capsys.readouterr()
    assert said in " ".join((captured.err + captured.out).split())
    assert "Traceback" not in captured.err and not (tmp_path / "lib").exists()


def test_what_models_make_is_filed(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "model")
    folder = tmp_path / "library"
    filed = footage.generate(tmp_path / "model", count=2, label="run", library=folder, device="cpu", quiet=True)
    library = Library(folder)
    assert [library.path(n) for n in (1, 2)] == filed
    entry = library.get(1)
    assert (entry.model, entry.label, entry.seed, entry.origin) == ("tiny", "run", 0, "generated")
    model = library.provenance(1).model
    assert model is not None and (model.dataset, model.folder) == ("noise", str((tmp_path / "model").resolve()))
    assert library.count(ClipQuery(dataset="noise")) == 2
    written = footage.generate(
        tmp_path / "model", tmp_path / "out", count=2, label="run", library=folder, device="cpu", quiet=True
    )
    assert [path.parent for path in written] == [tmp_path / "out"] * 2 and library.count() == 2
    with pytest.raises(Exception, match="give --to FOLDER, or --library FOLDER"):
        footage.generate(tmp_path / "model", device="cpu", quiet=True)


def test_clips_without_a_label_are_called_by_their_model_and_seed(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "model", labels=())
    footage.generate(tmp_path / "model", count=2, library=tmp_path / "library", device="cpu", quiet=True)
    with Library(tmp_path / "library") as library:
        assert sorted(entry.title for entry in library.query(ClipQuery()).entries) == ["tiny 0", "tiny 1"]


def test_what_is_made_of_clips_leads_back_to_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "library"
    clip = write(tmp_path / "given.mp4", moving(24, (32, 32)), fps=12)
    given = Library(folder).add(clip)
    save_tiny_model(tmp_path / "vae", preset="vae-64")
    footage.reconstruct(tmp_path / "vae", clip, library=folder, device="cpu", quiet=True)
    made = footage.interpolate(tmp_path / "vae", clip, clip, steps=2, library=folder, device="cpu", quiet=True)
    save_tiny_model(tmp_path / "simvp", preset="simvp-64", task__past=4)
    footage.predict(tmp_path / "simvp", clip, library=folder, device="cpu", quiet=True)
    library = Library(folder)
    children = library.provenance(given.id).children
    assert len(children) >= 3 and made
    for child in children:
        relations = {parent.relation for parent in library.provenance(child.id).parents}
        assert child.origin == "generated" and relations in ({"source"}, {"begin", "end"})
    count = embed_clips(folder, tmp_path / "vae", device="cpu", quiet=True)
    assert count == library.count() and library.similar(given.id)


def test_a_translated_picture_is_filed_with_its_model(tmp_path: Path) -> None:
    from PIL import Image

    save_tiny_model(tmp_path / "model", preset="translate-64")
    Image.fromarray(moving(1, (32, 32))[0]).save(tmp_path / "given.png")
    to = tmp_path / "made.png"
    folder = tmp_path / "library"
    try:
        footage.translate(tmp_path / "model", tmp_path / "given.png", to=to, library=folder, device="cpu", quiet=True)
    finally:
        shutil.rmtree(tmp_path / "model")
    entry = Library(folder).get(1)
    assert (entry.suffix, entry.model, entry.origin, entry.frames) == ("png", "tiny", "generated", 1)


def test_folders_of_frames_keep_their_rate(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "model")
    folder = tmp_path / "library"
    how = {"count": 1, "format": "png", "library": folder, "device": "cpu", "quiet": True}
    footage.generate(tmp_path / "model", **how)  # type: ignore[arg-type]
    entry = Library(folder).get(1)
    assert (entry.fps, entry.suffix, entry.model, entry.seed) == (12.5, "mp4", "tiny", 0)


def test_hdr_and_interlaced_clips_are_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fields = woven(smooth(40, (64, 80), 3))
    write(tmp_path / "clips" / "old.mp4", fields, pix_fmt="yuv444p", options={"crf": "8"})
    colours = quadrants([(200, 40, 40), (40, 200, 40), (40, 40, 200), (160, 160, 160)])
    # Of PQ's values, linear light of 203 cd/m² and BT.709's primaries (ITU-R BT.2100, table 4).
    light = (203 * (colours / 255) ** 2.4 / 10_000) ** 0.1593017578125
    signal = ((0.8359375 + 18.8515625 * light) / (1 + 18.6875 * light)) ** 78.84375
    write_signal(tmp_path / "clips" / "new.mp4", signal, matrix=9, primaries=1, transfer=16)
    assert run("add", tmp_path / "library", tmp_path / "clips") == 0
    said = " ".join(capsys.readouterr().out.split())
    for note in ("PQ mapped to BT.709", "interlaced, deinterlaced"):
        assert f"for the thumbnails of 1: {note}; the files stay as they are" in said
    with Library(tmp_path / "library") as library:
        entries = {entry.title: entry for entry in library.entries([1, 2])}
        assert entries["old"].settings == {"thumbnails": "interlaced, deinterlaced"}
        picture = np.asarray(Image.open(library.thumbnail(entries["new"].id)).convert("RGB"))
        assert np.abs(corners(picture) - corners(colours)).max() <= 10, "a WebP of quality 80 or so"
