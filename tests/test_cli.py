from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from footage.commands import main as cli
from footage.commands import play
from footage.media.encode import read_metadata
from tests.models import save_tiny_model


def run(*words: str) -> int:
    try:
        cli.main(list(words))
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, footage.commands.main\n"
        "try: footage.commands.main.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'av', 'numpy', 'PIL', 'matplotlib', 'jinja2', 'lightning_fabric'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for verb in cli.VERBS:
        assert verb in done.stdout


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_command_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(verb, "--help") == 0
    assert verb in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], 'did you mean "train"'),
        (["train", "shapes", "--preset", "conv3d-46"], '"conv3d-64"'),
        (["train", "shapes", "--preset=conv3d-46"], '"conv3d-64"'),
        (["train", "shapes", "--gan.lrr", "3"], "--gan.lr"),
        (["train", "shapes", "--gan.lr", "3"], "gan.lr is 3.0"),
        (["train", "shapes", "--method", "vae"], "give --preset vae-64 or --preset vae-gan-64"),
        (["train", "nowhere"], "footage ingest"),
        (["compare", "shapes", "--presets", "spade-64"], "give --guide DATASET, or leave spade-64 out"),
        (["generate", "nowhere", "--to", "x"], "no model.json"),
        (["ingest", "nowhere", "--to", "x"], "nowhere"),
        (["audit", "nowhere"], "does not exist"),
    ],
)
def test_mistakes_are_answered_in_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*words) == 2
    captured = capsys.readouterr()
    assert said in " ".join((captured.err + captured.out).split())
    assert "Traceback" not in captured.err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out.startswith("footage 0.")


def test_preset_sets_the_defaults_and_flags_override_them(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--preset", "conv3d-32", "--gan.lr", "1e-4", "--train.batch-size", "2", "--net.width", "4", "--dry-run"]
    assert run("train", "shapes", *words) == 0
    said = capsys.readouterr().out
    config = json.loads(said[said.index("{") :])
    assert config["clip"]["height"] == 32 and config["gan"]["lr"] == 1e-4 and config["net"]["width"] == 4


@pytest.mark.parametrize("kind", ["mp4", "webm", "gif", "png"])
def test_generate_writes_clips_sheet_and_metadata(kind: str, tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "m")
    words = ["--count", "3", "--frames", "10", "--fps", "25", "--label", "walk", "--seed", "7", "--format", kind]
    assert run("generate", str(tmp_path / "m"), "--to", str(tmp_path / "out"), *words) == 0
    ending = "" if kind == "png" else f".{kind}"
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == sorted([*(f"walk-{seed:06d}{ending}" for seed in (7, 8, 9)), "sheet.png"])
    assert read_metadata(tmp_path / "out" / f"walk-000008{ending}")["seed"] == 8


def test_labels_with_hostile_names_stay_in_the_folder(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "m", labels=("../../evil", "ok"))
    assert (
        run("generate", str(tmp_path / "m"), "--to", str(tmp_path / "out"), "--count", "1", "--label", "../../evil")
        == 0
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["_evil-000000.mp4", "sheet.png"]
    assert {path.name for path in tmp_path.iterdir()} == {"m", "out"}


@pytest.mark.parametrize("kind", ["png", "mp4"])
def test_labels_with_dots_and_brackets(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_tiny_model(tmp_path / "m", labels=("v1.0 [/b]", "ok"))
    words = ["--count", "1", "--label", "v1.0 [/b]", "--format", kind]
    assert run("generate", str(tmp_path / "m"), "--to", str(tmp_path / "out [hd]"), *words) == 0
    assert "out [hd]" in capsys.readouterr().out
    assert run("models", str(tmp_path)) == 0
    assert "v1.0 [/b]" in " ".join(capsys.readouterr().out.split())


def test_file_in_the_way_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_tiny_model(tmp_path / "m")
    (tmp_path / "file").write_text("precious")
    assert run("generate", str(tmp_path / "m"), "--to", str(tmp_path / "file")) == 2
    assert "error:" in capsys.readouterr().err and (tmp_path / "file").read_text() == "precious"


def test_models_lists_presets_models_and_refused_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    save_tiny_model(tmp_path / "good")
    save_tiny_model(tmp_path / "bad")
    (tmp_path / "bad" / "model.json").write_text("{}")
    assert run("models", str(tmp_path)) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "conv3d-64" in said and "walk, run" in said and "does not describe" in said


def test_models_says_what_each_can_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    save_tiny_model(tmp_path / "one", preset="simvp-64", task__past=4)
    save_tiny_model(tmp_path / "two", preset="vae-64")
    assert run("models", str(tmp_path)) == 0
    said = capsys.readouterr().out
    said = said[said.index("models in") :]
    assert "predict" in said and "reconstruct, interpolate, embed, generate" in said


def test_demo_in_small(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(play, "LARGE_SECONDS", 0.1)
    assert run("demo", "--to", str(tmp_path / "demo"), "--minutes", "0.01") == 0
    said = capsys.readouterr().out
    assert "What to try next" in said
    made = {path.name for path in (tmp_path / "demo").iterdir()}
    (film,) = (tmp_path / "demo" / "hd").glob("*.mp4")
    assert 0 < said.index(str(film)) < said.index("moving shapes"), "the large clip is there before anything is trained"
    with av.open(str(film)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert np.shape(frames) == (3, 384, 512, 3) and np.std(frames) > 30
    assert made == {"hd", "first", "sheet.png", "curves.png", "clips", "run"}
    assert len(list((tmp_path / "demo" / "clips").glob("*.mp4"))) == 16
