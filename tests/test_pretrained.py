"""The models that come with footage: small, whole, and what they say they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import footage
from footage.commands import main as cli
from footage.media.encode import read_metadata
from footage.models.base import Streams
from footage.models.card import PRETRAINED, model_folder, pretrained

LIMIT = 2 * 2**20
"""Most bytes of a model."""


def test_there_are_models_for_shapes_and_digits() -> None:
    assert pretrained() == ["stream-digits", "stream-shapes"]


@pytest.mark.parametrize("name", pretrained())
def test_it_is_small_streams_and_says_how_it_was_made(name: str) -> None:
    folder = model_folder(name)
    assert folder == PRETRAINED / name
    assert sum(path.stat().st_size for path in folder.iterdir()) <= LIMIT
    assert "footage train" in (folder / "README.md").read_text(encoding="utf-8")
    model = footage.load(name, "cpu")
    assert isinstance(model.sampler, Streams) and model.sampler.shot == 0
    assert model.info.name == name and model.labels
    clips = [clip.array() for clip in model.generate(4, frames=16, label=model.labels[0])]
    light = np.stack(clips).astype(float)
    moves = np.abs(np.diff(light, axis=1)).mean()
    assert light.max() > 150 and 0.05 < moves < 20, "something bright moves on black"
    assert np.median(light) < 20
    assert light.std(axis=0).mean() > 2, "seeds differ"


def test_a_folder_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stream-shapes").mkdir()
    assert model_folder("stream-shapes") == PRETRAINED / "stream-shapes", "it holds no model"
    (tmp_path / "stream-shapes" / "model.json").write_text("{}")
    assert model_folder("stream-shapes") == Path("stream-shapes")
    assert model_folder("elsewhere/stream-shapes") == Path("elsewhere/stream-shapes")


def test_generate_right_after_installation(tmp_path: Path) -> None:
    words = ["generate", "stream-shapes", "--to", str(tmp_path), "--count", "1", "--loop", "1s", "--quiet"]
    cli.main(words)
    (clip,) = tmp_path.glob("*.mp4")
    assert read_metadata(clip)["model"] == "stream-shapes"
