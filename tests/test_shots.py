"""Shots: where videos are cut, dissolve and fade."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from footage.commands.cutting import shots
from footage.commands.main import main
from footage.data.ingest import intake
from footage.data.store import Dataset
from footage.errors import ConfigError, MediaError, ModelError
from footage.generation.cutting.shots import WEIGHTS, ShotFinder, Transition, divide, find_shots, load_network
from footage.models.feature_networks.transnet import HEIGHT, WIDTH, TransNet
from tests import clips
from tests.ingesting import ingest


class Changes:
    """A stand-in for the network: a frame is within a transition where it differs from the one behind or before it."""

    def decide(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        step = (frames.diff(dim=2).abs().mean(dim=(1, 3, 4)) > 0.004).float()
        within = torch.nn.functional.pad(step, (0, 1))
        return within * 0.9, within


def finder(rate: float = 25) -> ShotFinder:
    return ShotFinder(rate, cast(TransNet, Changes()))


def scenes(count: int = 3) -> list[np.ndarray]:
    drawn = (np.random.default_rng(seed).integers(40, 215, (HEIGHT, WIDTH, 3)) for seed in range(count))
    return [picture.astype(np.float32) for picture in drawn]


def hold(picture: np.ndarray, frames: int) -> list[np.ndarray]:
    return [picture] * frames


def blend(a: np.ndarray, b: np.ndarray, frames: int) -> list[np.ndarray]:
    return [a + (b - a) * (at + 1) / (frames + 1) for at in range(frames)]


def as_video(frames: list[np.ndarray]) -> np.ndarray:
    return np.stack(frames).round().astype(np.uint8)


def every_kind() -> np.ndarray:
    a, b, c = scenes()
    black = np.zeros_like(a)
    frames = hold(a, 60) + blend(a, b, 12) + hold(b, 55) + hold(c, 70)
    return as_video(frames + blend(c, black, 8) + blend(black, a, 8) + hold(a, 40))


def test_cuts_dissolves_and_fades_are_told_apart_to_the_frame() -> None:
    looking = finder()
    found = looking.find(every_kind()) + looking.rest()
    assert [(each.kind, each.first, each.end) for each in found if each.kind == "cut"] == [("cut", 127, 127)]
    (dissolve,) = (each for each in found if each.kind == "dissolve")
    (fade,) = (each for each in found if each.kind == "fade")
    assert abs(dissolve.first - 60) <= 1 and abs(dissolve.end - 72) <= 1
    assert abs(fade.first - 197) <= 1 and abs(fade.end - 213) <= 1
    assert len(found) == 3 and all(each.confidence == pytest.approx(0.9) for each in found)
    assert looking.blends == [(each.first, each.end) for each in found if each.kind != "cut"]


@pytest.mark.parametrize("step", [1, 13, 64])
def test_it_does_not_matter_how_frames_arrive(step: int) -> None:
    video, once, pieces, found = every_kind(), finder(), finder(), list[Transition]()
    for first in range(0, len(video), step):
        found += pieces.find(video[first : first + step])
        assert all(each.end >= 0 for each in found) and pieces.certain <= first + step
    assert found + pieces.rest() == once.find(video) + once.rest()


def test_what_is_certain_stays_so() -> None:
    video, looking, told = every_kind(), finder(), 0
    for first in range(0, len(video), 10):
        for border in looking.add(video[first : first + 10]):
            assert border >= told  # nothing is found among frames that were said to be known
        told = looking.certain
    assert 0 < told <= len(video)


def test_of_sixty_frames_a_second_every_second_is_looked_at_and_a_cut_is_still_found_to_the_frame() -> None:
    a, b, _ = scenes()
    for at in (80, 81):
        looking = finder(60)
        assert [each.end for each in looking.find(as_video(hold(a, at) + hold(b, 99))) + looking.rest()] == [at]
        assert looking.stride == 2


def test_a_fade_out_and_the_fade_in_behind_it_are_one() -> None:
    out, back = Transition("fade", 30, 38, 0.6), Transition("fade", 44, 52, 0.8)
    before, behind = divide([out, back], 90)
    assert (before.first, before.end, behind.first, behind.end) == (0, 30, 52, 90)
    assert behind.begins == Transition("fade", 30, 52, 0.8)
    assert len(divide([out, replace(back, first=60, end=70)], 90)) == 3
    assert len(divide([out, replace(back, kind="dissolve")], 90)) == 3


def test_other_sizes_and_grey() -> None:
    video = every_kind().repeat(2, axis=1).repeat(2, axis=2)
    looking = finder()
    assert len(looking.find(video) + looking.rest()) == 3
    looking = finder()
    assert len(looking.find(video[..., :1]) + looking.rest()) == 3


def test_memory_does_not_grow() -> None:
    looking, still = finder(60), np.full((128, HEIGHT, WIDTH, 3), 90, np.uint8)
    for _ in range(12):
        looking.find(still)
    assert len(looking._past) == 600 and len(looking._window) < 100


def test_shots_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b, _ = scenes()
    path = clips.write(tmp_path / "two.mp4", list(as_video(hold(a, 30) + hold(b, 20)).repeat(2, axis=1)))
    found = find_shots(path, finder)
    assert [(shot.first, shot.end) for shot in found.shots] == [(0, 30), (30, 50)] and found.frames == 50
    main(["shots", str(path), str(path), "--method", "quick", "--json"])
    told, again = json.loads(capsys.readouterr().out)
    assert told == again
    assert [shot["first"] for shot in told["shots"]] == [0, 30] and told["shots"][1]["begins"] == "cut"
    assert told["shots"][0]["confidence"] is None


def test_a_picture_and_a_missing_wheel_get_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    still = clips.write(tmp_path / "clip.mp4", clips.still(3))
    with pytest.raises(ConfigError, match="no video is given"):
        shots(())
    picture = tmp_path / "one.png"
    from PIL import Image

    Image.fromarray(clips.still(1)[0]).save(picture)
    with pytest.raises(MediaError, match="no video with a rate"):
        shots((picture,), method="quick")

    def missing(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(ModelError, match=r"footage\[shots\].*--method quick"):
        shots((still,))
    assert len(shots((still,), method="auto", quiet=True)[0].shots) == 1
    with pytest.raises(ModelError, match=r"footage\[shots\].*; or give --shots quick, which finds hard cuts"):
        ingest(tmp_path, tmp_path / "data", shots="fine")
    with pytest.raises(ConfigError, match="shots"):
        ingest(tmp_path, tmp_path / "data", shots="finest")


@pytest.mark.parametrize("coding", ["raw", "jpeg"])
def test_ingest_divides_at_dissolves_and_leaves_their_frames_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, coding: str
) -> None:
    a, b, _ = scenes()
    frames = as_video(hold(a, 40) + blend(a, b, 20) + hold(b, 40)).repeat(2, axis=1)
    clips.write(tmp_path / "videos" / "one.mp4", list(frames))
    monkeypatch.setattr(intake, "FINE", "tests.test_shots:finder")
    monkeypatch.setattr(type(WEIGHTS), "path", lambda self: tmp_path)
    options = {"shots": "fine", "keep_static": True, "workers": 0, "height": 54, "width": 48, "coding": coding}
    data = tmp_path / "data"
    ingest(tmp_path / "videos", data, **options)
    dataset = Dataset(data)
    assert len(dataset.rows) == 2 and all(39 <= clip.frames <= 40 for clip in dataset.rows)
    (left,) = [each for each in dataset.rejections if each.reason == "dissolve"]
    assert (left.start, left.end) == (pytest.approx(1.6, abs=0.05), pytest.approx(2.4, abs=0.05))


def test_the_network_with_its_weights_sees_a_dissolve() -> None:
    try:
        net = load_network()
    except ModelError:
        pytest.skip("the extra shots is not installed")
    rng = np.random.default_rng(3)
    walls = rng.integers(30, 225, (2, 3, 6, 3)).repeat(9, 1).repeat(8, 2).astype(np.float32)
    moving = [[np.roll(wall, at // 4, axis=1) for at in range(60)] for wall in walls]
    pairs = zip(moving[0][40:52], moving[1][:12], strict=True)
    mixed = [a + (b - a) * (at + 1) / 13 for at, (a, b) in enumerate(pairs)]
    looking = ShotFinder(25, net)
    (found,) = looking.find(as_video(moving[0][:40] + mixed + moving[1][12:])) + looking.rest()
    assert found.kind == "dissolve" and 38 <= found.first <= 46 and 46 <= found.end <= 56
