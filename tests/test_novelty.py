"""Clips that come nearer to training clips than unseen ones do are left out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from footage.commands.main import main
from footage.config import AugmentConfig, to_json
from footage.data.clips import BuiltInClips, Span
from footage.errors import ConfigError, DatasetError
from footage.generation import novelty
from footage.generation.clip import Clip, Frames
from footage.generation.model import Model
from footage.generation.novelty import NEARER, TRIES, NovelClips, NoveltyCheck, open_training_clips
from footage.library.library import Library
from footage.media.encode import read_metadata
from footage.media.geometry import VolumeScale
from footage.metrics.clip_vectors import small_copies
from footage.models.requests import TRAINED_ON, GenerateRequest
from footage.studio.catalog import Catalog
from footage.studio.schemas import GenerateForm
from footage.studio.worker import Worker
from tests.models import FewShapes, FromClips, save_tiny_model

SHAPES = FewShapes(train=4, heldout=24)
OTHERS = FewShapes(heldout=100).spans("heldout")[60:]
"""Clips that are neither trained on nor held out."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One network in place of five, fewer windows."""
    monkeypatch.setattr(novelty, "SEEDS", (0,))
    monkeypatch.setattr(novelty, "UNSEEN", 64)
    monkeypatch.setattr(novelty, "OTHERS", 64)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """A model of shapes of 8 frames, whose sampler is for the tests to replace."""
    monkeypatch.setattr("footage.generation.novelty.open_clips", lambda *_: SHAPES)
    save_tiny_model(tmp_path / "run" / "model", labels=())
    model = Model(tmp_path / "run" / "model")
    model.info = replace(model.info, fps=25.0, dataset="shapes", dataset_hash=SHAPES.content_hash)
    return model


def learned(model: Model, spans: Sequence[Span], **more: bool) -> Model:
    model.sampler = FromClips(model.info.config.clip, SHAPES, spans, **more)
    return model


def shapes(span: Span, first: int, frames: int, size: int = 32) -> Frames:
    return FewShapes(size).read(span.index, first, frames)


def test_copies_are_left_out_whatever_the_frame_where_they_begin(model: Model) -> None:
    copying = learned(model, SHAPES.spans("train"))
    with pytest.raises(ConfigError, match=f"0 of {3 * TRIES} seeds give new clips, 3 were asked for: train on more"):
        list(copying.generate(3, novel=TRAINED_ON))
    check = NoveltyCheck(SHAPES, model.info, 8)
    for start in (0, 7, 33):
        found = check.judge([shapes(SHAPES.spans("train")[1], start, 8)])
        assert found["pixels"].distance == 0 and found["features"].distance < 1e-3
        assert found["pixels"].training == f"shapes 1, frame {start}" and not found["pixels"].new


def test_new_clips_pass_and_say_beside_what_they_are_new(model: Model) -> None:
    found = learned(model, OTHERS).generate(8, seed=3, novel=TRAINED_ON)
    assert isinstance(found, NovelClips)
    clips = list(found)
    assert len(clips) == 8 and len(found.left_out) <= 4
    seeds = [clip.metadata["seed"] for clip in clips]
    assert sorted(seeds + [entry.seed for entry in found.left_out]) == list(range(3, seeds[-1] + 1))
    about = clips[0].metadata["novel"]
    assert about["dataset_sha256"] == SHAPES.content_hash and about["quantile"] == NEARER
    assert about["training_windows"] == 4 * 57 and about["unseen_windows"] == 64
    assert about["pixels_distance"] >= about["pixels_limit"] and about["features_distance"] >= about["features_limit"]
    assert json.loads(json.dumps(about)) == about

    # By hand, in pixels: root mean squares to the nearest window.
    def small(span: Span, start: int) -> np.ndarray:
        return small_copies(shapes(span, start, 8)[None])[0].astype(float)

    training = np.stack([small(span, start) for span in SHAPES.spans("train") for start in range(57)])
    made = small(OTHERS[seeds[0] % len(OTHERS)], 0)
    assert about["pixels_distance"] == pytest.approx(((training - made) ** 2).mean(axis=1).min() ** 0.5, abs=1e-4)
    check = found.check
    unseen = [small(window.span, window.start) for window in check._cut("heldout", 64)[0]]
    gaps = [((training - one) ** 2).mean(axis=1).min() ** 0.5 for one in unseen]
    assert about["pixels_limit"] == pytest.approx(np.quantile(gaps, NEARER), abs=1e-4)
    assert check.limit("pixels", 10) == pytest.approx(np.quantile(gaps, NEARER / 10), abs=1e-4)


def test_of_both_kinds_the_new_ones_stay_and_the_search_has_an_end(model: Model) -> None:
    check = NoveltyCheck(SHAPES, model.info, 8)
    new = [span for span in OTHERS if all(near.new for near in check.judge([shapes(span, 0, 8)]).values())]
    copied = SHAPES.spans("train")
    found = learned(model, [copied[0], new[0], copied[1], new[1]]).generate(4, novel=TRAINED_ON)
    assert isinstance(found, NovelClips)
    clips = list(found)
    assert [clip.metadata["seed"] for clip in clips] == [1, 3, 5, 7]
    assert [entry.seed for entry in found.left_out] == [0, 2, 4, 6]
    assert "left out: 4 of 8 clips" in found.summary() and "(seeds 0, 2, 4, 6)" in found.summary()
    assert np.array_equal(clips[1].array(), shapes(new[1], 0, 8)), "it is made again as it was judged"
    told: list[str] = []
    rarely = learned(model, [new[0], *[copied[0]] * (2 * TRIES - 1)])
    assert len(list(rarely.clips(GenerateRequest(2, novel=TRAINED_ON), told.append))) == 1
    assert told == [told[0]] and told[0].startswith(f"1 of {2 * TRIES} seeds give new clips, 2 were asked for")


def test_new_clips_keep_their_sound_and_what_is_a_volume() -> None:
    """A volume that is new is written as one, and a clip with a song has it."""

    class Lenient:
        def judge(self, chunks: object) -> dict[str, Any]:
            return {}

        def note(self, found: object) -> dict[str, Any]:
            return {"beside": "nothing"}

    made = Clip.of_frames(np.zeros((4, 8, 8, 1), np.uint8))
    scale = VolumeScale(1.0, 0.0, "HU", (2.0, 1.0, 1.0))
    clip = replace(made, deep=lambda: iter(()), volume=scale, sound=lambda: iter(()), sources=(Path("a"),))
    (new,) = NovelClips(iter([clip]), Lenient(), 1)  # type: ignore[arg-type]
    assert new == replace(clip, metadata={"novel": {"beside": "nothing"}})


def test_mirrored_copies_count_where_the_model_learned_from_mirrored_clips(model: Model) -> None:
    clip = shapes(SHAPES.spans("train")[2], 5, 8)[:, :, ::-1]
    augment = AugmentConfig(probability=0.3, flip=True)
    flipped = replace(model.info, config=replace(model.info.config, augment=augment))
    for info, distance in ((model.info, 1.0), (flipped, 0.0)):
        found = NoveltyCheck(SHAPES, info, 8).judge([np.ascontiguousarray(clip)])
        assert (found["pixels"].distance == 0) is (distance == 0)
    assert not found["pixels"].new


def test_a_stretch_of_a_long_clip_is_found_however_it_is_cut_into_chunks(model: Model) -> None:
    check = NoveltyCheck(SHAPES, model.info, 48)
    assert check.starts() == list(range(0, 41, 2))
    new, copied = shapes(OTHERS[0], 0, 30), shapes(SHAPES.spans("train")[0], 9, 18)
    clip = np.concatenate([new, copied])
    found = [check.judge([clip[i : i + n] for i in range(0, 48, n)]) for n in (1, 7, 48)]
    assert found[0] == found[1] == found[2] and found[0]["pixels"].distance == 0
    assert found[0]["pixels"].start >= 30 and "shapes 0, frame" in found[0]["pixels"].training
    once = NoveltyCheck(SHAPES, model.info, 8)
    assert check.limit("pixels", len(check.starts())) < once.limit("pixels", 1), "more windows, more chances"


def test_slow_motion_and_another_rate_are_compared_at_the_models_own(model: Model) -> None:
    copied = shapes(SHAPES.spans("train")[0], 9, 8)
    slow = NoveltyCheck(SHAPES, model.info, 15, rate=0.5)
    assert slow.length == 8 and slow.picks.tolist() == list(range(0, 16, 2))
    found = slow.judge([np.repeat(copied, 2, axis=0)[:15]])
    assert found["pixels"].distance == 0
    half = replace(model.info, fps=12.5)  # it learned from every second frame
    every_second = shapes(SHAPES.spans("train")[0], 9, 16)[::2]
    assert NoveltyCheck(SHAPES, half, 8).judge([every_second])["pixels"].distance == 0
    assert NoveltyCheck(SHAPES, model.info, 8).judge([every_second])["pixels"].distance > 0


def test_clips_and_data_may_have_other_sizes_and_large_frames_are_judged_small(model: Model) -> None:
    larger = FewShapes(48, train=4, heldout=24)
    told: list[str] = []
    check = NoveltyCheck(larger, model.info, 8)
    copied = check.judge([shapes(SHAPES.spans("train")[0], 3, 8)])
    other = check.judge([shapes(OTHERS[1], 3, 8)])
    assert not copied["pixels"].new and copied["pixels"].distance < 0.2 * other["pixels"].distance
    large = replace(model.info.config.clip, height=384, width=512)
    info = replace(model.info, config=replace(model.info.config, clip=large))
    check = NoveltyCheck(larger, info, 8)
    assert (check.height, check.width) == (48, 64)
    assert open_training_clips("other", Path("nowhere"), replace(model.info, dataset_hash="1" * 64), told.append)
    assert "learned from other clips than other" in told[0]


def test_without_held_out_clips_those_of_other_clips_give_the_limit(model: Model) -> None:
    alone = FewShapes(train=12, heldout=0)
    check = NoveltyCheck(alone, model.info, 8)
    assert check.within and check.limit("pixels", 1) > 0
    assert not check.judge([shapes(alone.spans("train")[0], 3, 8)])["pixels"].new
    with pytest.raises(DatasetError, match="too few clips of 8 frames"):
        NoveltyCheck(FewShapes(train=1, heldout=0), model.info, 8)


def test_single_frames_are_compared_in_pixels(model: Model) -> None:
    check = NoveltyCheck(SHAPES, model.info, 1)
    found = check.judge([shapes(SHAPES.spans("train")[0], 20, 1)])
    assert list(found) == ["pixels"] and found["pixels"].distance == 0


def test_where_the_data_set_is_follows_from_the_run(tmp_path: Path, model: Model) -> None:
    info = replace(model.info, dataset="mine")
    with pytest.raises(ConfigError, match='does not say where its data set "mine" is: give the data set: --novel'):
        open_training_clips(TRAINED_ON, model.folder, info)
    (tmp_path / "run" / "config.json").write_text(json.dumps({"data": {"data": str(tmp_path / "mine")}}))
    for folder in (model.folder, tmp_path / "run" / "best", tmp_path / "run" / "snapshots" / "000000016"):
        assert open_training_clips(TRAINED_ON, folder, info) is SHAPES
    with pytest.raises(ConfigError, match=r"mine has changed since tiny learned from it"):
        open_training_clips(TRAINED_ON, model.folder, replace(info, dataset_hash="1" * 64))


def test_the_command_says_what_it_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(BuiltInClips, "CLIPS", 4)
    monkeypatch.setattr(BuiltInClips, "HELDOUT", 16)
    save_tiny_model(tmp_path / "model", labels=())
    main(["generate", str(tmp_path / "model"), "--count", "2", "--to", str(tmp_path / "new"), "--novel=shapes"])
    said = " ".join(capsys.readouterr().out.split())
    assert "tiny learned from other clips than shapes" in said
    assert "none of 2 clips comes nearer to training clips of shapes than unseen clips do" in said
    about = read_metadata(tmp_path / "new" / "000000.mp4")["novel"]
    assert about["dataset"] == "shapes" and about["pixels_distance"] > about["pixels_limit"]
    with pytest.raises(SystemExit):
        main(["generate", str(tmp_path / "model"), "--to", str(tmp_path / "no"), "--novel", "--count", "1"])
    assert 'does not say where its data set "noise" is' in " ".join(capsys.readouterr().err.split())


def test_a_job_of_the_studio_files_new_clips_and_says_how_many_were_left_out(model: Model, tmp_path: Path) -> None:
    check = NoveltyCheck(SHAPES, model.info, 8)
    new = next(span for span in OTHERS if all(near.new for near in check.judge([shapes(span, 0, 8)]).values()))
    copying = learned(model, [new, SHAPES.spans("train")[0]])
    with Library(tmp_path / "library") as library:
        worker = Worker(library, Catalog(tmp_path))
        worker._model = lambda _: copying  # type: ignore[method-assign]
        form = GenerateForm(model="run", count=2, novel="trained-on")
        job = library.jobs.submit("generate", to_json(form))
        assert library.jobs.claim("worker", ["generate"]) is not None
        done = worker.do(job)
        assert done.state == "done" and done.result == {"clips": [1, 2], "left_out": 1}
        first = library.get(1)
        assert first.origin == "generated" and first.seed == 0 and library.get(2).seed == 2
        assert first.settings["novel"]["dataset_sha256"] == SHAPES.content_hash
