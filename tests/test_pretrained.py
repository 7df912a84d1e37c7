"""The models that come with footage: small, whole, and what they say they are."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import interpolate

import footage
from footage.commands import main as cli
from footage.generation.clip import Clip
from footage.generation.convert import ConversionOptions
from footage.media.encode import read_metadata
from footage.models.base import Streams
from footage.models.card import PRETRAINED, model_folder, pretrained, read_info
from tests.clips import moving

SMALL = ["stream-digits", "stream-shapes"]
LIMIT = 2 * 2**20
"""Most bytes of a small model."""
LARGE = ["lens-8", "stream-signs", "upscale-x4", "upscale-x4-fast"]
LARGE_LIMIT = 10_000_000
"""Most bytes of all large models together."""


def test_there_are_models_for_shapes_digits_and_hd() -> None:
    assert pretrained() == sorted(SMALL + LARGE)


@pytest.mark.parametrize("name", SMALL)
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


def test_models_for_hd_are_small_together_and_name_their_sources() -> None:
    sizes = {name: sum(path.stat().st_size for path in model_folder(name).iterdir()) for name in LARGE}
    assert sum(sizes.values()) <= LARGE_LIMIT and sizes["lens-8"] < 4.5e6
    for name in LARGE:
        info = read_info(model_folder(name))
        said = (model_folder(name) / "README.md").read_text(encoding="utf-8")
        assert info.name == name and "footage train" in said and "people" in said
        assert all(source in said for source in info.extra["sources"])
        assert "intel-iot-devkit" in info.extra["sources"][0] and "CC BY 4.0" in info.extra["sources"][0]
        weights = load_file(model_folder(name) / info.weights)
        assert {value.dtype for value in weights.values() if value.ndim > 1} == {torch.float16}
        assert f"footage {info.use.verbs[0]} {name} " in said


@pytest.fixture(scope="module")
def signs() -> npt.NDArray[np.uint8]:
    """Two frames of each of two people, (2, 2, 384, 512, 3)."""
    clips = footage.load("stream-signs", "cpu").generate(2, frames=2, seed=0, fps=5)
    return np.stack([clip.array() for clip in clips])


def test_the_model_of_signs_makes_large_clips_that_move_and_differ(signs: npt.NDArray[np.uint8]) -> None:
    assert signs.shape == (2, 2, 384, 512, 3)
    light = signs.astype(float)
    assert 60 < light.mean() < 200 and light.std() > 35
    assert 0.2 < np.abs(np.diff(light, axis=1)).mean() < 20, "they move"
    assert np.abs(light[0] - light[1]).mean() > 4, "seeds differ"
    near = np.abs(np.diff(light, axis=3)).mean()
    wide = np.abs(light[:, :, :, 8:] - light[:, :, :, :-8]).mean()
    assert 1 < near < 0.6 * wide, "pictures, not noise"


def decibels(made: npt.NDArray[Any], real: npt.NDArray[Any]) -> float:
    return float(10 * np.log10(255**2 / np.square(made.astype(float) - real).mean()))


def shrunk_and_enlarged(clip: npt.NDArray[np.uint8], scale: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the frames (T, h, w, C) of a clip, `scale` times smaller, and these enlarged by the bicubic kernel."""
    frames = torch.from_numpy(clip).permute(0, 3, 1, 2).float()
    small = interpolate(frames, scale_factor=1 / scale, mode="bicubic", antialias=True).clamp(0, 255).round()
    large = interpolate(small, scale_factor=scale, mode="bicubic").clamp(0, 255).round()
    return small.byte().permute(0, 2, 3, 1).numpy(), large.permute(0, 2, 3, 1).numpy()


def test_the_lens_keeps_what_an_enlargement_loses(signs: npt.NDArray[np.uint8], tmp_path: Path) -> None:
    clip = np.stack(moving(2, (96, 128)))
    for frames, more in ((signs[0], 6), (clip, 2)):
        path = tmp_path / f"{more}"
        Clip(lambda frames=frames: iter([frames]), len(frames), 25, {}).save(path)  # type: ignore[misc]
        made = footage.load("lens-8", "cpu").convert(path, ConversionOptions(own_size=True)).array()
        _, bicubic = shrunk_and_enlarged(frames, 8)
        print(decibels(made, frames), decibels(bicubic, frames))
        assert decibels(made, frames) > decibels(bicubic, frames) + more


def test_the_upscaler_is_found_and_better_than_the_kernel(signs: npt.NDArray[np.uint8]) -> None:
    small, bicubic = shrunk_and_enlarged(signs[0], 4)
    told = list[str]()
    shapes = footage.load("stream-shapes", "cpu")
    resize = shapes.resizer("4x", tell=told.append)
    assert "upscale-x4" in told[0] and resize(next(shapes.generate(1, frames=2))).array().shape == (2, 256, 256, 3)
    shape = replace(shapes.info.config.clip, height=96, width=128)
    made = footage.load("upscale-x4", "cpu").enlarge(Clip(lambda: iter([small]), 2, 25, {}), shape).array()
    print(decibels(made, signs[0]), decibels(bicubic, signs[0]))
    assert decibels(made, signs[0]) > decibels(bicubic, signs[0]) + 1


@pytest.mark.parametrize("damage", ["truncated", "altered", "newer", "missing"])
def test_a_damaged_one_is_refused_with_the_remedy(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "upscale"
    shutil.copytree(model_folder("upscale-x4"), folder)
    (weights,) = folder.glob("*.safetensors")
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
        said = "is not the file that model.json names (its SHA-256 differs): fetch the model again"
    elif damage == "altered":
        text = (folder / "model.json").read_text()
        (folder / "model.json").write_text(text.replace(weights.stem[8:], "0" * 12))
        said = "was altered after it was written (its digest differs): fetch the model again"
    elif damage == "newer":
        (folder / "model.json").write_text('{"schema": 2, "made_by": "footage 9.9"}')
        said = "footage 9.9"
    else:
        weights.unlink()
        said = "is missing: fetch the model again"
    with pytest.raises(SystemExit) as end:
        cli.main(["generate", "stream-shapes", "--to", str(tmp_path / "x"), "--size", "2x", "--upscale", str(folder)])
    assert end.value.code == 2 and said in " ".join(capsys.readouterr().err.split())
    assert not list((tmp_path / "x").glob("*.mp4"))


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
