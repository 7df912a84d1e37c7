"""What is passed on: wheel and sdist hold all that footage needs, and install in an environment that has nothing."""

from __future__ import annotations

import email
import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import footage

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "footage"


def run(*words: str | Path, **variables: str) -> str:
    """Run a command with no path to this checkout, and return what it prints."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_wheel_and_sdist_hold_what_is_needed(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    needed = {
        f"footage/{path.relative_to(SOURCE).as_posix()}"
        for path in SOURCE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"footage/py.typed", "footage/generation/web/ort-wasm-simd-threaded.wasm.xz"} <= needed
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        (about,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(about))
    assert held == needed
    assert (metadata["Name"], metadata["Version"]) == ("footage", footage.__version__)
    assert {"studio", "onnx", "provenance"} <= set(metadata.get_all("Provides-Extra", []))
    assert not any("torchvision" in line for line in metadata.get_all("Requires-Dist", []))
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"src/{name}" for name in needed} | {"README.md", "LICENSE", "pyproject.toml"} <= inside
    assert not any(name.startswith(("tests/", "docs/")) for name in inside)


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_it_works_in_an_environment_that_has_nothing(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    venv.create(tmp_path / "bare", with_pip=True)
    programs = tmp_path / "bare" / ("Scripts" if os.name == "nt" else "bin")
    run(programs / "python", "-m", "pip", "install", "--quiet", wheel)
    packages = json.loads(run(programs / "python", "-m", "pip", "list", "--format", "json"))
    names = {package["name"].lower() for package in packages}
    assert {"torch", "av", "footage"} <= names and not names & {"torchvision", "ray", "cryptography"}
    if "+cpu" in next(package["version"] for package in packages if package["name"] == "torch"):
        assert not {name for name in names if name.startswith(("nvidia", "cuda")) or name == "triton"}
    health = json.loads(run(programs / "footage", "doctor", tmp_path, "--json"))
    assert not [finding for finding in health["findings"] if finding["state"] == "wrong"]
    words = ("generate", "stream-shapes", "--to", tmp_path / "clips", "--count", "1", "--frames", "8", "--json")
    (clip,) = json.loads(run(programs / "footage", *words))
    assert Path(clip).stat().st_size > 500
    told = subprocess.run(
        [programs / "footage", "export", "stream-shapes", "--onnx", tmp_path / "graphs"], capture_output=True, text=True
    )
    assert told.returncode == 2 and "pip install 'footage[onnx]'" in told.stderr
