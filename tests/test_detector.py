"""What says of files whether they were made: the mark, copies in a library, a network; and attacks on that network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load, save

from footage import Library, files
from footage.commands.main import main
from footage.commands.trust import Detected, by_looks, detect, detector, made_windows
from footage.errors import ConfigError, DatasetError, ModelError
from footage.evaluation.detector import (
    SCHEMA,
    SEEN,
    WINDOW,
    ClipPatches,
    Detector,
    DetectorNet,
    altered,
    as_tensor,
    attack,
    cut,
    load_detector,
    make_detector,
    save_detector,
)
from footage.generation.clip import Clip
from footage.library.provenance import ModelCard
from footage.media.decode import Frames
from footage.media.encode import write_clip
from footage.trust.mark import embed, message_of
from tests.models import save_tiny_model

SIDE = 16
ABOUT = Detector("toy", "ab" * 32, "discs", 64, 64, 0.0, 6.0, 0, 0, {}, {})


def drawn(seed: int, made: bool, side: int = SIDE, frames: int = WINDOW) -> Frames:
    """Draw a disc that moves over noise; what is made has a trace that is strong, and another that is weak."""
    rng = np.random.default_rng([seed, made])
    y, x = np.mgrid[:side, :side]
    place = side * rng.uniform(0.3, 0.7, 2) + np.arange(frames)[:, None] * rng.uniform(-1, 1, 2)  # (T, 2)
    inside = np.hypot(y - place[:, :1, None], x - place[:, 1:, None]) < side / 5  # (T, H, W)
    clip = 90 + 60 * inside[..., None] * rng.uniform(0.5, 1, 3) + rng.normal(0, 3, (frames, side, side, 3))
    if made:
        clip += 30 * (x % 8 < 4)[..., None] + 1.5 * ((x + y) % 2 * 2 - 1)[..., None]
    return clip.clip(0, 255).astype(np.uint8)


def patches(made: bool, count: int) -> ClipPatches:
    """Return clips, two of each source."""
    clips = np.stack([drawn(seed, made)[None] for seed in range(count)])  # N × (1, T, H, W, 3)
    return ClipPatches(dict.fromkeys(SEEN, clips), tuple(str(seed // 2) for seed in range(count)))


@pytest.fixture(scope="module")
def trained() -> tuple[DetectorNet, Detector]:
    """Return a detector that was trained under attack, with the figures of one that was not."""
    return make_detector(patches(False, 24), patches(True, 24), ABOUT, attacks=(4.0,), steps=50, seed=0)


def test_a_small_attack_misleads_the_plain_detector_and_less_the_one_trained_under_attack(
    trained: tuple[DetectorNet, Detector],
) -> None:
    told = trained[1]
    assert told.plain["clean"].auc > 0.95 and told.figures["clean"].auc > 0.95
    assert told.plain["attack 4/255"].auc < 0.5  # worse than a coin
    assert told.figures["attack 4/255"].auc > told.plain["attack 4/255"].auc + 0.3
    assert told.real_tested == told.made_tested == 12


def test_an_attack_stays_within_its_ball_and_raises_the_loss(trained: tuple[DetectorNet, Detector]) -> None:
    net, rng = trained[0], torch.Generator().manual_seed(0)
    clips, made = as_tensor(np.concatenate([drawn(7, True)[None], drawn(7, False)[None]])), torch.tensor([1.0, 0.0])
    moved = attack(net, clips, made, 8.0, 4, rng)
    assert float((moved - clips).abs().max()) <= 8 / 127.5 + 1e-6
    assert moved.abs().max() <= 1
    before, after = (net(x).detach() * (2 * made - 1) for x in (clips, moved))
    assert (after < before).all()


def test_no_source_teaches_and_tests() -> None:
    clips = patches(False, 12)
    teaching, testing = clips.halves(seed=3)
    assert not set(teaching.sources) & set(testing.sources)
    assert sorted(teaching.sources + testing.sources) == sorted(clips.sources)
    assert len(teaching.values["clean"]) == len(teaching.sources) == 6


def test_frames_of_any_size_have_patches() -> None:
    for height, width, count in ((20, 30, 1), (64, 64, 1), (90, 130, 4)):
        frames = np.zeros((2, height, width, 3), np.uint8)
        assert cut(frames).shape == (count, 2, 64, 64, 3)
        for how in SEEN:
            assert altered(frames, how).shape == frames.shape


def test_a_detector_is_written_and_read_and_one_that_was_altered_is_refused(
    trained: tuple[DetectorNet, Detector], tmp_path: Path
) -> None:
    path = tmp_path / "toy.safetensors"
    save_detector(path, *trained)
    net, about = load_detector(path)
    assert about == trained[1]
    clips = as_tensor(drawn(1, True)[None])
    assert torch.equal(net(clips), trained[0](clips))
    with safe_open(path, "pt") as opened:
        older = json.loads(opened.metadata()["detector"]) | {"schema": 2}
    del older["fps"], older["digest"]
    told = json.dumps(older | {"digest": files.json_digest(older)})
    (tmp_path / "older.safetensors").write_bytes(save(load(path.read_bytes()), metadata={"detector": told}))
    assert load_detector(tmp_path / "older.safetensors")[1] == replace(about, schema=2)
    header = json.loads(path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")])["__metadata__"]
    tensors = load(path.read_bytes())
    newer = json.dumps(json.loads(header["detector"]) | {"schema": SCHEMA + 1})
    other = json.dumps(json.loads(header["detector"]) | {"model": "another"})
    moved = tensors | {"logit.bias": tensors["logit.bias"] + 9}
    for some, told, complaint in (
        (tensors, {"detector": newer}, "upgrade footage"),
        (tensors, {"detector": other}, "altered"),
        (moved, header, "altered"),
        (tensors, None, "no detector"),
    ):
        path.write_bytes(save(some, metadata=told))
        with pytest.raises(ModelError, match=complaint):
            load_detector(path)
    with pytest.raises(ModelError, match="no detector"):
        load_detector(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ([], "no detector"),
        ({"figures": None}, "figures"),
        ({"figures": {}}, "figures.clean"),
        ({"figures": {"clean": {"auc": "1"}}}, "figures.clean.auc"),
        ({"height": "tall"}, "height"),
        ({"width": 10**9}, "width"),
        ({"threshold": True}, "threshold"),
        ({"fps": 1e9}, "fps"),
        ({"real_tested": 0, "real_sources": 0}, "real_tested"),
        ({"made_by": None}, "made_by"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_a_detector_with_other_values_is_refused(
    trained: tuple[DetectorNet, Detector], tmp_path: Path, change: Any, complaint: str
) -> None:
    path = tmp_path / "toy.safetensors"
    save_detector(path, *trained)
    with safe_open(path, "pt") as opened:
        value = json.loads(opened.metadata()["detector"])
    del value["digest"]
    value = [value] if change == [] else value | change
    if change:
        value["digest"] = files.json_digest(value)
    path.write_bytes(save(load(path.read_bytes()), metadata={"detector": json.dumps(value)}))
    with pytest.raises(ModelError, match=complaint):
        load_detector(path)


def test_false_alarms_are_bounded_by_the_sources_that_were_tested(trained: tuple[DetectorNet, Detector]) -> None:
    about = trained[1]
    none = {how: replace(figure, false_alarms=0.0) for how, figure in about.figures.items()}
    assert (about.real_tested, about.real_sources) == (12, 6)
    assert replace(about, figures=none).most_false_alarms() == pytest.approx(1 - 0.05 ** (1 / 6))
    older = replace(about, figures=none, real_sources=0)  # says of clips alone how many there were
    assert older.most_false_alarms() == pytest.approx(1 - 0.05 ** (1 / 12))
    assert replace(about, figures=none | {"crf 30": replace(none["clean"], false_alarms=0.4)}).most_false_alarms() > 0.6


def run(*words: str) -> int:
    """Run the command line; return its exit status."""
    try:
        main(list(words))
    except SystemExit as left:
        return int(left.code or 0)
    return 0


def test_detect_asks_the_mark_then_libraries_then_detectors(
    trained: tuple[DetectorNet, Detector], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Library(tmp_path / "library") as library:
        made = {"made_with": "footage 0", "model": "toy", "seed": 7}
        write_clip(tmp_path / "filed.mp4", [drawn(7, False, 64, 30)], fps=25, metadata=made)
        library.add(tmp_path / "filed.mp4")
        library.register(ModelCard("cd" * 32, "toy of the library"))
    stripped = drawn(7, False, 64, 30).repeat(2, axis=1).repeat(2, axis=2)
    write_clip(tmp_path / "stripped.mp4", [stripped], fps=25, metadata={})
    write_clip(tmp_path / "traced.mp4", [drawn(50, True, 64, 30)], fps=25, metadata={})
    write_clip(tmp_path / "other.mp4", [drawn(51, False, 64, 30)], fps=25, metadata={})
    for name, weights in ("marked", "ab"), ("shelved", "cd"):
        marked = embed([drawn(52, False, 64, 30)], message_of(weights * 32))
        write_clip(tmp_path / f"{name}.mp4", marked, fps=25, metadata={})
    save_detector(tmp_path / "toy.safetensors", *trained)
    layers = ("--library", str(tmp_path / "library"), "--detector", str(tmp_path / "toy.safetensors"))
    for name, how, status in (
        ("marked", "mark", 0),
        ("shelved", "mark", 0),
        ("stripped", "library", 0),
        ("traced", "classifier", 3),
        ("other", "nothing", 4),
    ):
        assert run("detect", str(tmp_path / f"{name}.mp4"), *layers, "--json") == status, name
        told = capsys.readouterr().out
        assert f'"how": "{how}"' in told
        assert ("toy" in told.replace("toy.safetensors", "")) == (how != "nothing")
        assert ("toy of the library" in told) == (name == "shelved")
        assert "real" not in told or how == "classifier"  # where it says how often real clips look so
    bare = detect((tmp_path / "stripped.mp4",), quiet=True)  # what it looks like without the library
    assert bare.findings[tmp_path / "stripped.mp4"].how == "nothing"
    assert isinstance(bare, Detected) and bare.exit_status == 4


def test_a_detector_that_is_as_sure_as_can_be_is_believed(
    trained: tuple[DetectorNet, Detector], tmp_path: Path
) -> None:
    net, about = trained
    write_clip(tmp_path / "clip.mp4", [drawn(51, False, 64, 30)], fps=25, metadata={})
    bias = float(net.logit.bias.detach())
    try:
        for far, p in ((-2000.0, "0.00"), (2000.0, "1.00")):
            net.logit.bias.data.fill_(far)
            found = by_looks(tmp_path / "clip.mp4", [(net, replace(about, threshold=-1e9))])
            assert found is not None and f"(p {p})" in found.text
    finally:
        net.logit.bias.data.fill_(bias)


def test_clips_are_looked_at_at_the_rate_that_was_learned(
    trained: tuple[DetectorNet, Detector], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, about = trained
    write_clip(tmp_path / "clip.mp4", [drawn(51, False, 64, 60)], fps=50, metadata={})
    seen = list[int]()

    def counted(_: DetectorNet, chunks: Iterator[Frames]) -> float:
        seen.append(sum(map(len, chunks)))
        return 0.0

    monkeypatch.setattr("footage.evaluation.detector.judge", counted)
    for fps in (0.0, 25.0):  # of a file that does not say so, and of one that does
        by_looks(tmp_path / "clip.mp4", [(net, replace(about, fps=fps))])
    assert seen == [60, 30]


def test_windows_of_made_clips_are_from_anywhere() -> None:
    counted = np.arange(16, dtype=np.uint8)[:, None, None, None].repeat(4, 1).repeat(4, 2).repeat(3, 3)
    made: Any = SimpleNamespace(generate=lambda count, seed: [Clip.of_frames(counted)] * count)
    first = [int(window[0, 0, 0, 0]) for _, window in made_windows(made, 200, 0, lambda *_: None)]
    assert set(first) == set(range(16 - WINDOW + 1))
    assert max(np.bincount(first)) < 40


def test_a_detector_of_a_model_is_trained_by_the_command(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "model", labels=())
    about = detector(str(tmp_path / "model"), "shapes", to=tmp_path / "d.safetensors", clips=4, steps=1, quiet=True)
    assert about.real_tested == about.made_tested == 2 and about.fps == 12.5
    assert set(about.figures) == {*SEEN, "attack 1/255", "attack 2/255", "attack 4/255"}
    assert load_detector(tmp_path / "d.safetensors")[1] == about


def test_what_cannot_be_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        detect((tmp_path / "none.mp4",))
    with pytest.raises(ConfigError, match=r"ends in \.safetensors"):
        detector("stream-shapes", "shapes", to=tmp_path / "d.pt")
    with pytest.raises(ConfigError, match="give at least 4"):
        detector("stream-shapes", "shapes", to=tmp_path / "d.safetensors", clips=1)
    save_tiny_model(tmp_path / "model", labels=())
    (tmp_path / "few").mkdir()
    write_clip(tmp_path / "few" / "one.mp4", [drawn(1, False)], fps=25, metadata={})
    with pytest.raises(DatasetError, match="sources of 6 frames"):
        detector(str(tmp_path / "model"), str(tmp_path / "few"), to=tmp_path / "d.safetensors", clips=8)
