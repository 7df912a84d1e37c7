"""What footage has written stays readable, and what its documentation says stays true: see stored/README.md.

Only public names and the command line are used here, so that these tests hold whatever is moved inside.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

import footage
from tests.stored import looking

STORED = Path(__file__).parent / "stored"
SEEN = 8
"""Training clips that the stored runs have seen."""
LEVELS = 2
"""How far a summary's pixels may be apart on another machine, of 255."""
RENAMED: dict[str, str] = {}
"""Flags that have another name now: `command --old` -> `--new`."""

METHODS = ("gan", "predict", "translate", "upscale", "vae", "vae-latent")
HASHES = json.loads((STORED / "hashes.json").read_text(encoding="utf-8"))
MADE_ON = HASHES.pop("machine")
FLAGS = json.loads((STORED / "flags.json").read_text(encoding="utf-8"))
NAMES = json.loads((STORED / "names.json").read_text(encoding="utf-8"))
COMMANDS = [
    shlex.split(line)[1:]
    for line in (STORED / "commands.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]


def unpacked(name, folder):
    """Unpack an archive into a folder, and return the folder."""
    with tarfile.open(STORED / f"{name}.tar.xz") as tar:
        tar.extractall(folder / name, filter="data")
    return folder / name


def command(*words, folder=None, code=0):
    """Run the command line and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "footage", *map(str, words)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=folder,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The stored runs and models, to be read only."""
    return unpacked("runs", tmp_path_factory.mktemp("models"))


@pytest.fixture
def library(tmp_path):
    return unpacked("library", tmp_path)


# Runs and models


@pytest.mark.parametrize("method", METHODS)
def test_a_run_goes_on(method, tmp_path):
    run = unpacked("runs", tmp_path) / method
    data = unpacked("large" if method == "upscale" else "data", tmp_path)
    before = footage.load(run)
    assert before.info.clips_seen == SEEN
    rows = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    done = footage.train(str(data), before.info.config, out=run, clips=SEEN + 4, quiet=True)
    after = footage.load(done.model)
    assert after.info.clips_seen == SEEN + 4 and not done.interrupted
    assert after.info.weights_sha256 != before.info.weights_sha256
    assert after.info.dataset_hash == before.info.dataset_hash
    assert after.labels == before.labels == (("round", "slow") if method in ("gan", "vae-latent") else ())
    assert (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[: len(rows)] == rows


def test_a_run_goes_on_by_the_command_line(tmp_path):
    run, data = unpacked("runs", tmp_path) / "predict", unpacked("data", tmp_path)
    knobs = "--clip.frames 8 --clip.height 16 --clip.width 16 --task.past 4 --net.width 4 --net.hidden 4 --net.layers 1"
    loop = "--train.batch-size 2 --train.device cpu --train.precision fp32 --train.sample-clips 1000000"
    words = ["--preset", "simvp-64", *knobs.split(), *loop.split(), "--out", run, "--clips", SEEN + 4]
    said = command("train", data, *words, folder=tmp_path)
    assert f"at {SEEN} clips" in " ".join(said.split()) and "changed" not in said
    assert footage.load(run).info.clips_seen == SEEN + 4


@pytest.fixture(scope="module")
def looked(models):
    """What each stored or shipped model makes today; made when it is asked for."""
    found = {}

    def one(name):
        if name not in found:
            folder = models / name
            found[name] = looking.look(folder if folder.exists() else Path(name))
        return found[name]

    return one


@pytest.mark.parametrize("name", sorted(HASHES))
def test_a_model_makes_what_it_made(name, looked):
    made, known = looked(name), HASHES[name]
    assert set(made) == set(known)
    for what, old in known.items():
        new = made[what]
        assert new["shape"] == old["shape"], what
        if "values" in old:
            np.testing.assert_allclose(new["values"], old["values"], rtol=1e-2, atol=1e-3, err_msg=what)
            continue
        np.testing.assert_allclose(new["means"], old["means"], rtol=0, atol=LEVELS, err_msg=what)
        np.testing.assert_allclose(new["points"], old["points"], rtol=0, atol=LEVELS, err_msg=what)


@pytest.mark.parametrize("name", sorted(HASHES))
def test_a_model_makes_the_same_bits(name, looked):
    if looking.machine() != MADE_ON:
        pytest.skip(f"hashes were made on {MADE_ON}, this is {looking.machine()}: only summaries are compared")
    hashes = {what: old["sha256"] for what, old in HASHES[name].items() if "sha256" in old}
    assert {what: looked(name)[what]["sha256"] for what in hashes} == hashes


def test_every_file_of_a_run_is_still_where_it_was(tmp_path):
    run, data = unpacked("runs", tmp_path) / "gan", unpacked("data", tmp_path)
    footage.train(str(data), footage.load(run).info.config, out=run, clips=SEEN + 2, quiet=True)
    for name in ("config.json", "metrics.jsonl", "model/model.json", "model/README.md", "state/last.pt"):
        assert (run / name).is_file(), name


def test_an_upscaler_writes_a_file(models, tmp_path):
    given = looking.clip_of(looking.pattern()).save(tmp_path / "given.mp4")
    footage.upscale(models / "upscale", given, to=tmp_path / "large.mp4", quiet=True)
    assert (tmp_path / "large.mp4").stat().st_size > 0


# The data set


def test_the_data_set_is_read(tmp_path):
    folder = unpacked("data", tmp_path)
    data = footage.Dataset(folder)
    assert (data.info.clips, data.info.height, data.info.width, data.info.channels) == (6, 16, 16, 3)
    assert data.info.labels == ("round", "slow") and data.info.fps == 8
    assert {row.caption for row in data.rows} == {f"a disc number {number}" for number in range(6)}
    assert {row.split for row in data.rows} == {"train", "heldout"}
    assert all(data.read(row).std() > 5 for row in data.rows)
    assert data.rejections == [] and len(data.sources) == 6
    command("audit", folder, "--no-advise", folder=tmp_path)
    assert "round" in (folder / "audit.html").read_text(encoding="utf-8")


def test_a_model_learns_from_the_data_set(tmp_path):
    data = unpacked("data", tmp_path)
    knobs = {"clip.frames": 4, "clip.height": 16, "clip.width": 16, "net.width": 4, "train.device": "cpu"}
    knobs |= {"critics.0.width": 4, "critics.1.width": 4, "train.batch_size": 2, "train.sample_clips": 1_000_000}
    run = footage.train(str(data), footage.preset("conv3d-32", knobs), out=tmp_path / "run", clips=2, quiet=True)
    assert footage.load(run.model).labels == ("round", "slow")


# The library


def titles(said):
    """Return which of the stored clips a table names."""
    return [name for name in ("harbour", "market", "night train") if name in said]


@pytest.mark.parametrize("name", ["library", "library-1"])
def test_the_library_is_searched(name, tmp_path):
    folder = unpacked(name, tmp_path)
    with footage.Library(folder, create=False) as library:
        assert library.count() == 4
        found = {
            text: [entry.title for entry in library.query(text=text).entries]
            for text in ("red boat", "fruit", "夜车", "rbou", "nothing of that")
        }
        assert found == {
            "red boat": ["harbour"],
            "fruit": ["market"],
            "夜车": ["night train 夜车"],
            "rbou": ["harbour"],
            "nothing of that": [],
        }
        harbour = library.query(text="harbour").entries[0]
        assert (harbour.stars, harbour.verdict, set(harbour.tags)) == (5, "keep", {"sea", "boat"})
        assert harbour.notes == "the red boat, second half"
        assert [entry.stars for entry in library.query(sort="stars").entries] == [5, 3, 1, 0]
        made = library.query(text="made").entries[0]
        assert (made.origin, made.label, made.seed, made.metrics) == ("generated", "round", 5, {"motion": 0.5})
        assert library.provenance(made.id).model.name == made.model == "gan"
        assert dict(library.facets()["verdict"]) == {"keep": 2, "reject": 1, "undecided": 1}
        assert [(album.name, album.clips) for album in library.albums.all()] == [("best", 2)]
        assert [view.name for view in library.views.all()] == ["kept"]
        assert library.query(library.views.get("kept").query.filters).entries == [harbour]
        (answer,) = library.ratings.all()
        assert (answer.campaign, answer.question, answer.choice, answer.rater) == ("first look", "motion", "a", "me")
        alike = [entry.id for entry, _ in library.similar(harbour.id)]
        assert len(alike) == 3 and harbour.id not in alike
        for entry in library.query().entries:
            assert library.path(entry.id).is_file() and library.thumbnail(entry.id).is_file()


def test_the_library_is_searched_by_flags(library, tmp_path):
    def found(*words):
        return titles(command("library", *words, folder=tmp_path))

    assert found("search", library, "red", "boat") == ["harbour"]
    assert found("list", library, "--stars", 3) == ["harbour", "market"]
    assert found("list", library, "--tag", "people") == ["market"]
    assert found("list", library, "--view", "kept") == ["harbour"]
    assert found("list", library, "--album", "best") == ["harbour"]
    assert found("list", library, "--verdict", "reject") == ["night train"]
    assert "1 clips" in command("library", "list", library, "--bin", folder=tmp_path)


@pytest.mark.parametrize("name", ["library", "library-1"])
def test_the_library_remembers_what_was_done(name, tmp_path):
    with footage.Library(unpacked(name, tmp_path), create=False) as library:
        steps = library.history()
        assert [step.undone for step in steps].count(True) == 1 and steps[0].undone
        market = library.query(text="fruit").entries[0].id
        assert library.redo() is not None and library.get(market).stars == 4
        assert library.undo() is not None and library.get(market).stars == 3
        while library.undo() is not None:  # the last that is undone is that the first clip was added
            pass
        assert library.count() == 0
        assert [(entry.stars, entry.tags) for entry in library.entries(range(1, 6))] == [(0, ())] * 5
        while library.redo() is not None:
            pass
        assert library.count() == 4 and library.get(market).stars == 4
        library.update(market, notes="still writable")
        assert [entry.id for entry in library.query(text="still writable").entries] == [market]


def test_albums_and_views_come_back(library):
    with footage.Library(library, create=False) as opened:
        opened.albums.delete(opened.albums.get("best").id)
        opened.views.delete("kept")
        assert opened.albums.all() == [] and opened.views.all() == []
        opened.undo()
        opened.undo()
        assert [album.name for album in opened.albums.all()] == ["best"]
        assert [view.name for view in opened.views.all()] == ["kept"]


@pytest.mark.parametrize("name", ["library", "library-1"])
def test_the_library_is_whole_and_given_out(name, tmp_path):
    folder = unpacked(name, tmp_path)
    with footage.Library(folder, create=False) as library:
        assert library.verify(repair=False).sound
        ids = [entry.id for entry in library.query(sort="oldest").entries]
        library.export(ids, tmp_path / "all.zip")
        library.export(ids, tmp_path / "out")
        assert library.gc().files == 0
    assert len(list((tmp_path / "out").rglob("*.mp4"))) == 4
    with footage.Library(tmp_path / "other") as other:
        other.unpack(tmp_path / "all.zip")
        assert other.count() == 4 and other.query(text="red boat").entries[0].stars == 5
        assert [album.name for album in other.albums.all()] == ["best"]


def test_the_library_is_kept_by_the_command_line(library, tmp_path):
    assert "all is well" in command("library", "verify", library, "--no-repair", folder=tmp_path)
    command("library", "export", library, "--verdict", "keep", "--to", "kept.zip", folder=tmp_path)
    assert (tmp_path / "kept.zip").stat().st_size > 0
    assert "undone" in command("library", "history", library, folder=tmp_path)


def test_new_clips_go_into_the_library(library, models, tmp_path):
    footage.generate(models / "gan", count=1, seed=99, library=library, quiet=True)
    with footage.Library(library, create=False) as opened:
        assert opened.count() == 5 and opened.query(sort="newest").entries[0].seed == 99


# Figures


@pytest.mark.parametrize("name", ["figures", "report"])
def test_figures_are_read_back(name, tmp_path):
    folder = unpacked("figures", tmp_path)
    found = footage.evaluate(folder / f"{name}.json", report=tmp_path / "again.html", quiet=True)
    stored = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    stored = stored["entries"][0]["evaluation"] if name == "report" else stored
    assert found.figures and [figure.value for figure in found.figures] == [item["value"] for item in stored["figures"]]
    assert found.made.name == "gan" and found.made.clips_seen == SEEN
    assert found.figures[0].label in (tmp_path / "again.html").read_text(encoding="utf-8")


def test_figures_stand_beside_each_other(tmp_path):
    folder = unpacked("figures", tmp_path)
    words = [folder / "report.json", "--compare", folder / "figures.json", "--report", tmp_path / "both.html"]
    command("evaluate", *words, folder=tmp_path)
    assert (tmp_path / "both.html").stat().st_size > 0


# Names, commands and flags


@pytest.fixture(scope="module")
def offered():
    """The flags that each command offers today."""
    return looking.helps(name for name in FLAGS if name != looking.EVERY)


@pytest.mark.parametrize("name", list(FLAGS))
def test_every_flag_is_still_there(name, offered):
    asked = [each for each in offered if each.split()[0] == "train"] if name == looking.EVERY else [name]
    for each in asked:
        assert each in offered, f"there is no command {each}"
        wanted = {RENAMED.get(f"{name} {flag}", flag) for flag in FLAGS[name]}
        assert wanted <= offered[each], f"{each} lacks {sorted(wanted - offered[each])}"


def named(words):
    """Return the command of a line, with the preset that decides on its flags."""
    verb = " ".join(words[: 2 if words[0] in ("library", "evaluator") else 1])
    return f"{verb} --preset {words[words.index('--preset') + 1]}" if "--preset" in words else verb


def given(words):
    return [word for word in words if word.startswith("--") and word != "--help"]


def test_every_flag_of_the_documentation_is_offered():
    lines = [words for words in COMMANDS if "--help" not in words]
    offered = looking.helps(dict.fromkeys(named(words) for words in lines))
    for words in lines:
        assert named(words) in offered, shlex.join(words)
        verb = named(words).split(" --preset")[0]
        wanted = {RENAMED.get(f"{verb} {flag}", flag) for flag in given(words)}
        assert wanted <= offered[named(words)], shlex.join(words)
    assert len(COMMANDS) > 100


def test_command_lines_of_the_documentation_are_understood():
    """The parser refuses one flag, the one that is not there: nothing is run. Of each command the longest line."""
    longest = {}
    for words in COMMANDS:
        if len(given(words)) >= len(given(longest.get(named(words), []))):
            longest[named(words)] = words
    asked = [words if "--help" in words else [*words, looking.UNKNOWN] for words in longest.values()]
    for words, (code, said) in zip(asked, looking.ask(asked), strict=True):
        if "--help" in words:
            assert code == 0, said
            continue
        refused = [flag for flag in given(words) if flag in said]
        assert code != 0 and looking.UNKNOWN in said and not refused, f"{shlex.join(words)}\n{said}"


@pytest.mark.parametrize("name", list(NAMES))
def test_every_public_name_is_still_there(name):
    footage.load("stream-digits")  # a module that is imported by this must not take the place of a name
    assert name in footage.__all__
    if NAMES[name] is not None:
        now = looking.parameters(getattr(footage, name))
        assert now is not None, f"footage.{name} is {getattr(footage, name)!r}"
        assert not set(NAMES[name]) - set(now)
