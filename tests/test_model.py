from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from footage.errors import ConfigError
from footage.generation.model import Model
from footage.generation.rollout import draw_label, from_uint8, one_video, stream, to_uint8, videos
from footage.media.encode import read_metadata
from footage.models.base import Sampler
from footage.models.generators.samplers import overlap
from footage.models.requests import VideoRequest
from tests.models import save_tiny_model, tiny_config


@pytest.fixture
def model(tmp_path: Path) -> Model:
    save_tiny_model(tmp_path / "model")
    return Model(tmp_path)  # a run folder is as good as its model folder


@pytest.fixture
def rolling(tmp_path: Path) -> Model:
    save_tiny_model(tmp_path / "rolling", preset="recurrent-32")
    return Model(tmp_path / "rolling")


def test_clip_depends_on_its_seed_alone(model: Model) -> None:
    many = [clip.array() for clip in model.generate(4, seed=7, label="run")]
    (alone,) = model.generate(1, seed=9, label="run")
    np.testing.assert_array_equal(alone.array(), many[2])
    np.testing.assert_array_equal(alone.array(), alone.array())
    assert not np.array_equal(many[0], many[1])


def test_label_changes_the_clip_and_stands_in_the_metadata(model: Model) -> None:
    (walk,), (run,) = (list(model.generate(1, label=label)) for label in ("walk", "run"))
    assert not np.array_equal(walk.array(), run.array())
    assert walk.metadata["label"] == "walk" and walk.metadata["seed"] == 0
    assert {clip.metadata["label"] for clip in model.generate(20)} == {"walk", "run"}


@pytest.mark.parametrize("frames", [1, 5, 8, 9, 14, 50])
def test_any_length(model: Model, frames: int) -> None:
    (clip,) = model.generate(1, frames=frames, fps=10)
    assert clip.array().shape == (frames, 32, 32, 3)
    assert clip.fps == 10
    assert bool(model.joins(frames)) == (frames > 8)
    assert model.length(frames) == model.length(seconds=frames / 10, fps=10) == frames


def test_the_length_of_a_clip_is_known_before_it_is_made(model: Model) -> None:
    assert model.length() == 8
    with pytest.raises(ConfigError, match="leave one of the two out"):
        model.length(8, "1s")


def test_long_clips_continue_and_begin_alike(model: Model) -> None:
    (short,), (long,) = (list(model.generate(1, frames=frames)) for frames in (30, 60))
    np.testing.assert_array_equal(long.array()[:30], short.array())


def test_joints_are_no_jumps() -> None:
    class Ramp:
        clip = tiny_config().clip
        endless, hop, device = False, 6, torch.device("cpu")

        def segments(self, requests: object) -> object:
            for level in (0.0, 1.0, 0.0, 1.0):
                yield torch.full((1, 3, 8, 4, 4), level)

    chunks = list(stream(Ramp(), [VideoRequest(0)]))  # type: ignore[arg-type]
    levels = torch.cat(chunks, dim=2)[0, 0, :, 0, 0]
    assert len(levels) == 4 * 6, "segments share a quarter of their frames"
    assert levels.diff().abs().max() < 0.6, "hard cuts would be 1"


@pytest.mark.parametrize("kind", ["model", "rolling"])
def test_memory_does_not_grow_with_length(kind: str, request: pytest.FixtureRequest) -> None:
    model: Model = request.getfixturevalue(kind)
    alive: list[weakref.ref[torch.Tensor]] = []
    segments = model.sampler.segments

    def watched(requests: Sequence[VideoRequest]) -> Iterator[torch.Tensor]:
        for segment in segments(requests):
            alive.append(weakref.ref(segment))
            yield segment
            del segment

    model.sampler.segments = watched  # type: ignore[method-assign]
    most, total = 0, 0
    for chunk in one_video(model.sampler, VideoRequest(0, (1.0, 0.0)), 1000):
        total += len(chunk)
        most = max(most, sum(reference() is not None for reference in alive))
    assert total == 1000 and len(alive) >= 125
    assert most <= 3, "segments that were shown are let go"


def test_refusals_name_the_remedy(model: Model, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'does not know the label "wlak".*"walk"'):
        model.generate(1, label="wlak")
    for arguments in ({"count": 0}, {"frames": 0}, {"fps": 0}, {"seed": -1}):
        with pytest.raises(ConfigError, match=f"{next(iter(arguments))} is"):
            model.generate(**{"count": 1, **arguments})
    save_tiny_model(tmp_path / "plain", labels=())
    with pytest.raises(ConfigError, match="has none"):
        Model(tmp_path / "plain").generate(1, label="walk")


def test_clip_saves_and_shows_itself(model: Model, tmp_path: Path) -> None:
    (clip,) = model.generate(1, seed=3, label="run")
    path = clip.save(tmp_path / "out" / "clip.mp4")
    assert read_metadata(path) == clip.metadata
    assert clip.metadata["weights_sha256"] == model.info.weights_sha256
    assert clip._repr_html_().startswith("<video") and "base64," in clip._repr_html_()


def test_labels_are_drawn_by_their_shares() -> None:
    drawn = np.bincount([draw_label((0.1, 0.0, 0.9), seed) for seed in range(2000)], minlength=3)
    assert drawn[1] == 0 and abs(drawn[0] / 2000 - 0.1) < 0.03


def test_to_uint8_rounds_and_clips() -> None:
    levels = to_uint8(torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]).view(1, 1, 5, 1, 1))
    assert levels.reshape(-1).tolist() == [0, 0, 128, 255, 255]
    assert overlap(16) == 4 and overlap(2) == 1


def test_from_uint8_and_back() -> None:
    clips = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5, 3), dtype=np.uint8)
    as_float = from_uint8(clips)
    assert as_float.shape == (2, 3, 3, 4, 5) and as_float.min() >= -1 and as_float.max() <= 1
    np.testing.assert_array_equal(to_uint8(as_float), clips)


def test_sampler_walk_stays_standard_normal(model: Model) -> None:
    sampler: Sampler = model.sampler
    seen: list[torch.Tensor] = []
    sampler.generator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]["z"]))  # type: ignore[attr-defined]
    segments = sampler.segments([VideoRequest(seed, (1.0, 0.0)) for seed in range(64)])
    for _ in range(6):
        next(segments)
    late = seen[-1]
    assert abs(float(late.mean())) < 0.15 and abs(float(late.std()) - 1) < 0.1
    correlation = float((seen[-1] * seen[-2]).mean())
    assert abs(correlation - 0.8) < 0.15


def test_rolling_model_makes_any_length_without_joins(rolling: Model) -> None:
    assert rolling.sampler.endless and rolling.joins(1000) == ""
    clips = {frames: next(rolling.generate(1, frames=frames)).array() for frames in (3, 8, 16, 64)}
    for frames, clip in clips.items():
        assert clip.shape == (frames, 32, 32, 3)
        np.testing.assert_array_equal(clip, clips[64][:frames])


def test_mixtures_of_labels(model: Model) -> None:
    assert model.mixture("run") == (0.0, 1.0)
    assert model.mixture("walk+run") == (0.5, 0.5)
    assert model.mixture("walk:3+run:1") == (0.75, 0.25)
    half = next(model.generate(1, label="walk+run")).array()
    walk, run = (next(model.generate(1, label=label)).array() for label in ("walk", "run"))
    assert not np.array_equal(half, walk) and not np.array_equal(half, run)
    for text, words in (("walk+fly", "fly"), ("walk:0", "weight"), ("walk:x+run", "weight"), ("walk:-1+run", "weight")):
        with pytest.raises(ConfigError, match=words):
            model.mixture(text)


@pytest.mark.parametrize("kind", ["model", "rolling"])
def test_video_between_two_seeds_and_two_labels(kind: str, request: pytest.FixtureRequest) -> None:
    model: Model = request.getfixturevalue(kind)
    (clip,) = model.generate(1, frames=44, seed=3, label="walk", to_seed=9, to_label="run")
    moved = clip.array().astype(float)
    assert {"to_seed": 9, "to_label": "run"}.items() <= clip.metadata.items()
    (start,) = model.generate(1, frames=44, seed=3, label="walk")
    first = np.abs(moved[0] - start.array()[0]).mean()
    last = np.abs(moved[-1] - start.array()[-1]).mean()
    assert first < 0.5 < last, "it begins as the one and ends as another"
    if (
        kind == "model"
    ):  # the last whole segment, frames 36 to 44, is the other clip; two frames on each side are blended
        (end,) = model.generate(1, frames=8, seed=9, label="run")
        assert np.abs(moved[38:42] - end.array()[2:6]).max() <= 1


def test_change_needs_room(model: Model) -> None:
    with pytest.raises(ConfigError, match="--frames 16"):
        model.generate(1, to_label="run")
    with pytest.raises(ConfigError, match="to_seed is -1"):
        model.generate(1, frames=64, to_seed=-1)


def test_videos_of_a_batch_are_those_of_each_seed(rolling: Model) -> None:
    both = np.concatenate(list(videos(rolling.sampler, [4, 5], [0, 1], 20)), axis=1)
    alone = np.concatenate(list(one_video(rolling.sampler, VideoRequest(5, (0.0, 1.0)), 20)))
    assert np.abs(both[1].astype(int) - alone).max() <= 1
