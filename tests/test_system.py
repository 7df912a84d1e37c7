"""What footage says about itself: what is there, completions, the manual page, results as JSON."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

import footage.files
from footage.commands import main as cli
from footage.commands import system
from footage.commands.terminal import as_plain
from tests.models import save_tiny_model


def states(folder: Path) -> dict[str, system.State]:
    return {finding.name: finding.state for finding in system.doctor(folder, quiet=True).findings}


def test_a_sound_machine_is_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    health = system.doctor(tmp_path)
    assert health.exit_status == 0
    assert {"footage", "memory", "disk", "PyTorch", "FFmpeg", "h264"} <= {finding.name for finding in health.findings}
    assert "libx264" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_what_is_missing_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        metadata,
        "requires",
        lambda _: ["numpy>=1", *("ray>=2; extra == 'cluster'", "ray>=2; extra == 'dev'", "numpy>=99; extra == 'new'")],
    )

    class Extras:
        def get_all(self, _: str) -> list[str]:
            return ["cluster", "dev", "new"]  # what dev asks for is not here either

    def version(name: str) -> str:
        if name == "ray":
            raise metadata.PackageNotFoundError(name)
        return "2.1"

    monkeypatch.setattr(metadata, "metadata", lambda _: Extras())
    monkeypatch.setattr(metadata, "version", version)
    cluster, new = system.look_at_extras()
    assert (cluster.state, cluster.remedy) == ("absent", "pip install 'footage[cluster]'")
    assert "ray" in cluster.found and "numpy 2.1, not >=99" in new.found


def test_what_is_wrong_ends_with_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert states(tmp_path / "nowhere")["disk"] == "wrong"
    monkeypatch.setattr(footage.files, "lock", lambda *_, **__: False)
    assert states(tmp_path)["disk"] == "wrong"
    monkeypatch.setattr(system.local, "devices", lambda: ["cpu", "cuda:0"])
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert states(tmp_path)["GPUs"] == "wrong"
    with pytest.raises(SystemExit) as end:
        cli.main(["doctor", str(tmp_path), "--quiet"])
    assert end.value.code == 1


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("shell") / "footage.bash"
    path.write_text(system.completion("bash", quiet=True), encoding="utf-8")
    yield path


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("footage veri", "verify"),
        ("footage library a", "add album"),
        ("footage library rate --st", "--stars"),
        ("footage generate --device c", "cpu cuda"),
        ("footage train --gan.los", "--gan.loss"),
        ("footage evaluator con", "convert"),
        ("footage ingest clips --loc", "--lock"),
    ],
)
def test_bash_completes(script: Path, line: str, wanted: str) -> None:
    words = line.split()
    code = f'source {script}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _tyro_footage; echo "${{COMPREPLY[*]}}"'
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True)
    assert set(wanted.split()) <= set(done.stdout.split()), done
    assert " that " not in done.stdout, "no line of a help text is a candidate"


def test_the_manual_page_has_every_command_and_renders(script: Path) -> None:
    page = system.manual(quiet=True)
    for name in cli.VERBS:
        assert f".SS footage {name}" in page
    assert "\\-\\-gan.loss" in page and ".B 130" in page
    if shutil.which("groff"):
        done = subprocess.run(["groff", "-k", "-man", "-Tutf8", "-ww"], input=page.encode(), capture_output=True)
        assert done.returncode == 0 and b"footage verify" in re.sub(b".\x08", b"", done.stdout)
        assert not done.stderr


def test_results_are_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_tiny_model(tmp_path / "model")
    cli.main(["generate", str(tmp_path / "model"), "--to", str(tmp_path / "clips"), "--count", "2", "--json"])
    assert json.loads(capsys.readouterr().out) == [str(path) for path in sorted((tmp_path / "clips").glob("*.mp4"))]
    cli.main(["models", str(tmp_path), "--json"])
    assert str(tmp_path / "model") in json.loads(capsys.readouterr().out)


def test_what_json_cannot_hold_is_written_plainly() -> None:
    figures = {
        "a": np.float32(1.5),
        "b": (float("nan"), np.arange(2)),
        3: Path("x"),
        "d": system.Check("g", "n", "good", "f"),
    }
    found = json.loads(json.dumps(as_plain(figures), allow_nan=False))
    assert found["a"] == 1.5 and found["b"] == [None, [0, 1]] and found["3"] == "x" and found["d"]["state"] == "good"


def test_colours_go_off(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    with pytest.raises(SystemExit):
        cli.main(["no-such-command"])
    assert "\x1b[3" not in capsys.readouterr().err
