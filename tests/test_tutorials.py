"""The tutorials' commands, run in their order on tiny clips and for seconds: what they say will be there is there."""

from __future__ import annotations

import re
import shlex
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from footage.commands import main as cli
from tests import sounds
from tests.clips import moving, write
from tests.test_studio_people import save_certificate

TUTORIALS = Path(__file__).parents[1] / "docs" / "tutorials"
SMALL: Mapping[str, str] = {
    r"--minutes \d+": "--minutes 0.05",
    r"--count \d+": "--count 2",
    r"--seconds \d+": "--seconds 0.6",
    r"--loop \d+s": "--loop 0.6s",
    r"--evaluate-every 20000": "--evaluate-every 8 --evaluate-clips 8",
    r"1280x720": "96x64",
    r"512x384": "32x32",
    r"stream-512": "stream-32",
    r"library rate my-library 17": "library rate my-library 1",
}
"""What is large or long, and what it is here."""
MORE: Mapping[str, str] = {
    "train": "--train.batch-size 2 --train.save-minutes 0.02",
    "evaluate": "--clips 16",
    "evaluator train": "--clips 64 --frames 8",
    "play": "--port 0",
    "serve": "--port 0",
}
"""What is added to a command."""
ENDLESS = ("play", "serve")
"""Commands that go on until they are stopped: their page is fetched."""
REFUSED: Mapping[str, str] = {
    "--weights i3d_torchscript.pt": "i3d_torchscript.pt",
    "--networks lite0,transnet": "pip install",
    "--novel": "seeds give new clips",
}
"""Parts of commands that may be refused, and what is then said: what is needed is not ours, or nothing is new yet."""


def commands(page: str) -> list[str]:
    """Return the commands of a tutorial, in their order."""
    text = (TUTORIALS / page).read_text(encoding="utf-8")
    lines = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.S)).splitlines()
    return [line.split("   #")[0].strip() for line in lines if line.startswith("footage ")]


def smaller(command: str) -> str:
    """Return a command that does the same in seconds."""
    for large, small in SMALL.items():
        command = re.sub(large, small, command)
    words = command.split()
    return f"{command} {MORE.get(' '.join(words[1:3]), MORE.get(words[1], ''))}".strip()


def save_videos(folder: Path, count: int, seed: int = 0, frames: int = 48, size: tuple[int, int] = (64, 64)) -> None:
    for number in range(count):
        clip = moving(frames, size, seed=seed + number)
        write(folder / ("walk", "run")[number % 2] / f"{number}.mp4", clip)


def run_briefly(words: Sequence[str]) -> None:
    """Start a command that does not end, fetch the page whose address it prints, and stop it by Ctrl-C."""
    command = [sys.executable, "-m", "footage", *words]
    encrypted = ssl.create_default_context()
    encrypted.check_hostname, encrypted.verify_mode = False, ssl.CERT_NONE
    direct = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=encrypted)
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        guard = threading.Timer(120, process.kill)
        guard.start()
        said, address = "", None
        assert process.stdout is not None
        while address is None:
            line = process.stdout.readline()
            assert line, said
            said += line
            address = re.search(r"https?://[^\s/]+\S*", said)
        place = re.sub(r"//[^/:]+", "//127.0.0.1", address[0])
        asked = urllib.request.Request(place, headers={"Accept": "text/html"})
        kind = ""
        while not kind:
            assert process.poll() is None, said
            try:
                with direct.open(asked, timeout=60) as answer:
                    kind = answer.headers.get_content_type()
            except urllib.error.HTTPError:
                raise
            except OSError:  # the address is said a moment before somebody answers there
                time.sleep(0.2)
        assert kind == "text/html"
        process.send_signal(signal.SIGINT)
        process.communicate()
        guard.cancel()
    assert process.returncode in (0, 130), said


def follow(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Run a tutorial's commands in a folder; return what they were."""
    monkeypatch.chdir(folder)
    done = [smaller(command) for command in commands(page)]
    for command in done:
        words = shlex.split(command)[1:]
        if words[0] in ENDLESS:
            run_briefly(words)
            continue
        refusal = next((text for part, text in REFUSED.items() if part in command), None)
        try:
            cli.main(words)
        except SystemExit as end:
            said = capsys.readouterr()
            assert not end.code or (refusal is not None and refusal in said.err), f"{command}\n{said.err}"
    return done


@pytest.fixture(autouse=True)
def at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def test_every_tutorial_is_run() -> None:
    followed = set(re.findall(r'follow\("([\w-]+\.md)"', Path(__file__).read_text(encoding="utf-8")))
    assert followed == {path.name for path in TUTORIALS.glob("*.md")}
    assert all(commands(page) for page in followed)
    assert smaller("footage train x --minutes 600").startswith("footage train x --minutes 0.05 --train.batch-size 2")


def test_your_clips_in_ten_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_videos(tmp_path / "my-videos", 12)
    follow("ten-minutes.md", tmp_path, monkeypatch, capsys)
    assert len(list((tmp_path / "first").glob("*.mp4"))) == len(list((tmp_path / "new-clips").glob("*.mp4"))) == 2
    assert (tmp_path / "my-data" / "audit.html").exists()
    assert (tmp_path / "runs" / "my-data-stream-64" / "model" / "model.json").exists()
    assert "motion, made : real" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_hd_overnight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    save_videos(tmp_path / "my-videos", 30, size=(144, 192))
    follow("hd-overnight.md", tmp_path, monkeypatch, capsys)
    assert len(list((tmp_path / "loops").glob("*.mp4"))) == 2
    assert list((tmp_path / "runs").glob("*-upscale-x4/model"))


def test_a_live_wall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    sounds.write(tmp_path / "song.wav", sounds.play("house", 120.0).samples[None])
    follow("live-wall.md", tmp_path, monkeypatch, capsys)
    assert (tmp_path / "song.html").exists() and (tmp_path / "page" / "index.html").exists()
    assert len(list((tmp_path / "wall").glob("*.mp4"))) == 2
    program = re.search(r"```python\n(.*?)```", (TUTORIALS / "live-wall.md").read_text(encoding="utf-8"), re.S)
    assert program is not None
    names: dict[str, object] = {}
    exec(program[1], names)
    assert getattr(names["frame"], "shape", None) == (64, 64, 3)


def test_a_library_for_a_team(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_videos(tmp_path / "my-videos", 4)
    (tmp_path / "runs").mkdir()
    for made, wanted in zip(save_certificate(tmp_path), ("studio.pem", "studio.key"), strict=True):
        made.rename(tmp_path / wanted)
    follow("team-library.md", tmp_path, monkeypatch, capsys)
    assert (tmp_path / "best.zip").exists() and (tmp_path / "cut.fcpxml").exists()


def test_trusted_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for number, name in enumerate(("reals", "fakes", "other-fakes", "training-clips")):
        save_videos(tmp_path / name, 16, seed=100 * number, frames=20)
    cli.main(["ingest", str(tmp_path / "reals"), "--to", str(tmp_path / "my-data"), "--size", "32x32", "--quiet"])
    follow("trusted-figures.md", tmp_path, monkeypatch, capsys)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "RFD" in page and "motion" in page
    assert list(tmp_path.glob("my-evaluator*")) and (tmp_path / "comparison.html").exists()
