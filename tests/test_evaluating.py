"""Folder against folder: no model is needed, and nothing that is wrong with the clips goes by in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import footage
from footage.config.strict import field_texts
from footage.data.store import Frames
from footage.errors import ConfigError, DatasetError, ModelError
from footage.evaluation import results, run
from footage.evaluation.features import NetworkInfo
from footage.evaluation.features.catalogue import names_in
from footage.evaluation.figure_inputs import NetworkGroup, label_of
from footage.evaluation.figures import METRICS
from footage.evaluation.protocols import EvaluationOptions
from footage.evaluation.results import Evaluation
from footage.evaluation.sync import beat_offsets
from footage.media.encode import write_clip
from footage.media.sound import RATE, as_stereo
from tests.clips import moving, write
from tests.folders import shapes, write_pictures
from tests.sounds import play


def test_the_help_names_every_metric() -> None:
    listed = field_texts(EvaluationOptions)["metrics"].partition(": ")[2].partition(";")[0]
    assert listed.split(", ") == list(METRICS)


def film(path: Path, moved: np.ndarray, samples: np.ndarray | None) -> Path:
    """A film of a bright column on noise that goes around, (T,) pixels from the left, at 25 a second, with sound."""
    path.parent.mkdir(exist_ok=True)
    frames = np.full((len(moved), 32, 64, 3), 40, np.uint8)
    for frame, place in zip(frames, moved.astype(int) % 64, strict=True):
        frame[:, np.arange(place, place + 6) % 64] = 220
    sound = None if samples is None else as_stereo([samples], RATE)
    write_clip(path, [frames], fps=25, metadata={}, sound=sound)
    return path


def test_motion_that_keeps_time_with_music_is_told_from_other_motion(tmp_path: Path) -> None:
    track = play("clicks", 100, 8)
    number = np.arange(200)
    on_beat = 9 * np.searchsorted(np.floor(track.beats * 25), number, side="left")  # 9 pixels in the change of a beat
    film(tmp_path / "films" / "a.mp4", on_beat + 0.2 * number, track.samples)
    film(tmp_path / "films" / "silent.mp4", on_beat, None)
    film(tmp_path / "even" / "b.mp4", number, track.samples)
    (tmp_path / "films" / "no-film.mp4").write_bytes(b"")
    compared = evaluate(tmp_path / "films", tmp_path / "even", metrics="beats")
    figures = {figure.name: figure for figure in compared.figures}
    assert set(figures) == {"beats_correlation", "beats_ratio", "beats_in_time"} and not compared.networks
    assert all(figure.clips == (1, 1) and figure.tier == "D" for figure in figures.values())
    value, beside = figures["beats_in_time"].value, figures["beats_in_time"].real
    assert value == 1 and beside is not None and beside < 0.4
    assert figures["beats_ratio"].value > 3 > figures["beats_ratio"].real  # type: ignore[operator]
    assert figures["beats_correlation"].value > 0.6
    with pytest.raises(ConfigError, match=r'metric "beats" cannot be measured here.*videos with sound'):
        evaluate(tmp_path / "films" / "silent.mp4", tmp_path / "even", metrics="beats")


def test_a_beat_is_met_by_the_change_that_it_lies_in() -> None:
    energy = np.zeros(50)
    energy[[10, 20, 31]] = 1.0
    beats = np.array([10.0, 20.9, 30.2]) / 25
    assert beat_offsets(energy, beats, 25.0, 0.3).tolist() == pytest.approx([0.5, -0.4, 1.3])


def evaluate(a: Path | str, b: Path | str, **more: object) -> Evaluation:
    return footage.evaluate(a, b, **{"resamples": 2, "quiet": True, "cache": Path("none"), "frames": 8, **more})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Real clips, other clips of the same kind, copies of the real ones, and noise."""
    base = tmp_path_factory.mktemp("folders")
    real = shapes(24)
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, clip.shape, dtype=np.uint8) for clip in real[:12]]
    dim = [np.clip(clip.astype(int) + 3, 0, 255).astype(np.uint8) for clip in real[:12]]
    kinds = {"real": real, "fresh": shapes(24, 100), "copies": dim, "noise": noise}
    return {name: write_pictures(base / name, clips) for name, clips in kinds.items()}


def test_clips_of_the_same_kind_are_nearer_than_noise(folders: dict[str, Path], tmp_path: Path) -> None:
    good = evaluate(folders["fresh"], folders["real"], clips=24, to=tmp_path / "f.json")
    bad = evaluate(folders["noise"], folders["real"], clips=12, metrics="fvd,kvd,prdc,motion")
    assert results.read(tmp_path / "f.json") == good and good.real.split == "all"
    for name in ("frechet", "kernel", "motion_distance", "velocity_distance", "spectrum_distance"):
        near, far = good.figure(name).value, bad.figure(name).value
        assert near is not None and far is not None and near < far, name
    recall, none = good.figure("coverage").value, bad.figure("coverage").value
    assert recall and none is not None and recall > 0.7 > none


def test_the_table_says_what_is_worst_and_of_how_many_clips(folders: dict[str, Path]) -> None:
    found = evaluate(folders["noise"], folders["real"], clips=30, metrics="motion")
    shown = results.table(found)
    assert "furthest from 1, which is like real clips: flicker" in str(shown.title)
    assert "30 : 30 windows of 12 : 24 clips, 8 frames" in str(shown.caption)
    (few,) = [text for text in found.warnings if "has 12 clips and" in text]
    assert "has 24 clips, fewer than the 30" in few and "--clips 12" in few


def test_a_set_that_copies_its_training_clips_is_caught(folders: dict[str, Path], tmp_path: Path) -> None:
    found = evaluate(folders["copies"], folders["real"], clips=12, metrics="memorisation", to=tmp_path / "f.json")
    assert found.memorisation is not None
    assert "pixels of 4 frames made smaller to 16×16; features, of frames of 32×32, of" in found.memorisation.how
    for space in found.memorisation.spaces:
        assert space.median < 0.4 and space.below > 0.9 and space.below_real < 0.1, space.name
    assert len(found.memorisation.copies) == 12 and "copies/clip003" in found.memorisation.copies
    assert {pair.made[-3:] == pair.real[-3:] for pair in found.memorisation.pairs} == {True}, "each with its original"
    assert all(pair.made_start == pair.real_start and pair.pixels < 4 for pair in found.memorisation.pairs)
    assert any("leave out the copies" in text for text in found.warnings)
    assert found.memorisation.substituted and any("no held-out clips" in text for text in found.warnings)
    assert (tmp_path / "f-pairs.png").exists() and (tmp_path / "f-pairs" / "00.png").exists()


def test_a_good_set_is_not_accused(folders: dict[str, Path]) -> None:
    found = evaluate(folders["fresh"], folders["real"], clips=24, metrics="memorisation")
    assert found.memorisation is not None and {space.name for space in found.memorisation.spaces} >= {"pixels"}
    for space in found.memorisation.spaces:
        assert space.median == pytest.approx(1, abs=0.25) and space.below < 0.1, space.name
    assert not any("leave out the copies" in text for text in found.warnings)
    assert any("no copies among these does not mean that there are none" in text for text in found.warnings)


def test_the_same_folder_twice_gives_the_floor(folders: dict[str, Path]) -> None:
    found = evaluate(folders["real"], folders["real"], clips=12, metrics="fvd")
    assert any("two halves" in text for text in found.warnings)
    assert found.made.available == found.real.available == 12 and (found.figure("frechet").value or 0) > 0


def test_sizes_and_lengths_that_differ_are_refused_or_stated(folders: dict[str, Path], tmp_path: Path) -> None:
    large = write_pictures(tmp_path / "large", shapes(4, side=48))
    with pytest.raises(ConfigError, match=r"48×48, .*32×32: give --size, such as --size 32x32"):
        evaluate(large, folders["real"], clips=4)
    found = evaluate(large, folders["real"], clips=4, size="32x32", metrics="motion")
    assert found.made.resized == "frames are resized from 48×48 to 32×32" and not found.real.resized
    assert any("resized" in text for text in found.warnings) and found.made.height == 32
    with pytest.raises(DatasetError, match=r"longest clip has 12 frames, a window needs 13.*give --frames 12"):
        evaluate(folders["real"], folders["fresh"], clips=4, frames=13)
    mixed = write_pictures(tmp_path / "mixed", [*shapes(3), shapes(1, 9, frames=6)[0]])
    assert evaluate(mixed, folders["real"], clips=3, metrics="pictures").made.too_short == 1
    with pytest.raises(ConfigError, match="size is"):
        evaluate(large, folders["real"], size="32")


def test_rates_that_differ_are_said(tmp_path: Path) -> None:
    for name, fps in (("a", 25), ("b", 30)):
        for seed in range(3):
            write(tmp_path / name / f"{seed}.mp4", moving(20, size=(32, 32), seed=seed), fps=fps)
    found = evaluate(tmp_path / "a", tmp_path / "b", clips=3, metrics="pictures")
    assert any("25 frames a second" in text and "--fps" in text for text in found.warnings)
    same = evaluate(tmp_path / "a", tmp_path / "b", clips=3, metrics="pictures", fps=12.5)
    assert same.made.fps == same.real.fps == 12.5 and not any("second" in text for text in same.warnings)
    with pytest.raises(ConfigError, match=r"shapes has 25 frames a second, 10 were asked for: give --fps 25, 12.5"):
        evaluate("shapes", tmp_path / "a", clips=3, fps=10)


def test_constant_clips_and_stills_are_named(folders: dict[str, Path], tmp_path: Path) -> None:
    grey = [np.full((12, 32, 32, 3), level, np.uint8) for level in (10, 90, 200)]
    still = [np.repeat(clip[:1], 12, axis=0) for clip in shapes(3, 40)]
    folder = write_pictures(tmp_path / "odd", [*grey, *still])
    found = evaluate(folder, folders["real"], clips=6, metrics="fvd,motion")
    assert any(
        "3 of 6 clips" in text and "one plain colour" in text and "odd/clip000" in text for text in found.warnings
    )
    assert any("3 of 6 clips" in text and "nothing moves" in text for text in found.warnings)
    turned = evaluate(folders["real"], write_pictures(tmp_path / "grey", grey), clips=3, metrics="motion,kvd")
    assert turned.figure("motion_ratio").value is None and turned.figure("motion_distance").value is None


def test_few_clips_are_warned_of(folders: dict[str, Path]) -> None:
    found = evaluate(folders["fresh"], folders["real"], clips=30, protocol="styleganv-fvd16", repeats=1)
    assert any("has 24 clips, fewer than the 30 that are measured" in text for text in found.warnings)
    assert not any("--clips 24" in text for text in found.warnings), "that is what is measured already"
    assert any("no FVD" in text for text in found.warnings), "the protocol asks for fvd"
    assert found.protocol.name == "styleganv-fvd16, changed" and found.real.windows == 24
    assert found.floor.startswith("12 clips against the 12 others") and found.figure("frechet").floor.clips == (12, 12)


def test_what_is_not_there_or_no_clip_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("nothing")
    for given in ("empty", "notes.txt", "nowhere"):
        with pytest.raises(DatasetError, match=r"holds no clips|does not exist"):
            evaluate(tmp_path / given, folders["real"])
        with pytest.raises(DatasetError, match=r"holds no clips|does not exist"):
            evaluate(folders["real"], tmp_path / given)
    (tmp_path / "i3d_torchscript.pt").write_bytes(b"wrong")
    with pytest.raises(ModelError, match=r"i3d_torchscript\.pt"):
        evaluate(folders["fresh"], folders["real"], weights=tmp_path / "i3d_torchscript.pt")
    with pytest.raises(ConfigError, match="does not tell which network"):
        evaluate(folders["fresh"], folders["real"], weights=tmp_path / "notes.txt")
    with pytest.raises(ConfigError, match='"fid" cannot be measured here: give a network of frames'):
        evaluate(folders["fresh"], folders["real"], clips=6, metrics="fid")


class Sorter:
    """A network of frames that knows how bright they are: logits say dark or bright, features where."""

    def __init__(self, tier: str = "B") -> None:
        self.about = NetworkInfo("sorter", tier, "ab" * 32, 4, "frame", ("dark", "bright"))  # type: ignore[arg-type]

    def features(self, frames: Frames) -> torch.Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(frames)).flatten(0, 1).float() / 255
        return torch.stack([pixels[:, a : a + 16, b : b + 16].mean(dim=(1, 2, 3)) for a in (0, 16) for b in (0, 16)], 1)

    def logits(self, frames: Frames) -> torch.Tensor:
        mean = self.features(frames).mean(dim=1)
        return torch.stack([0.5 - mean, mean - 0.5], dim=1) * 50


def test_networks_with_classes_give_scores_and_accuracy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    for side, wrong in (("real", 0), ("made", 3)):
        clips, names = [], []
        for number in range(12):
            bright = number % 2
            clips.append(rng.integers(150 * bright, 100 + 150 * bright, (8, 32, 32, 3), dtype=np.uint8))
            names.append(f"{'dark' if bright == (number < wrong) else 'bright'}/{number}")
        write_pictures(tmp_path / side, clips, names)
    monkeypatch.setattr(run, "networks", lambda *_: [Sorter()])
    found = evaluate(tmp_path / "made", tmp_path / "real", clips=12, metrics="is,accuracy,fid,kid")
    accuracy = found.figure("label_accuracy")
    assert accuracy.value == pytest.approx(9 / 12) and accuracy.real == 1 and accuracy.interval
    assert found.figure("inception_score").value == pytest.approx(found.figure("inception_score").real, rel=0.05)
    assert found.figure("frechet").label == "FID-self[sorter, abababab]" and found.figure("frechet").clips == (12, 12)
    assert found.figure("kernel").label == "KID-self[sorter, abababab]"
    assert found.networks[0].classes == 2


def test_only_official_weights_are_called_fvd() -> None:
    def group(name: str, tier: str, of: str = "clip") -> NetworkGroup:
        return NetworkGroup((NetworkInfo(name, tier, "12345678" * 8, 4, of, None),))  # type: ignore[arg-type]

    assert label_of("frechet", group("i3d", "A"), 16, 1) == "FVD16"
    assert label_of("frechet", group("i3d", "A"), 16, 8) == "FVD128-subsample8"
    assert label_of("frechet", group("i3d-kinetics", "A"), 16, 1) == "FD-i3d-kinetics", "another port is another metric"
    assert label_of("frechet", group("inception", "A", "frame"), 16, 1) == "FID"
    assert label_of("frechet", group("people", "B"), 16, 1) == "FVD-self[people, 12345678]"
    assert label_of("frechet", group("random-0", "C"), 16, 1) == "RFD-rand"
    assert label_of("inception_score", group("c3d", "A"), 16, 1) == "IS"
    for name in ("frechet", "kernel", "precision", "inception_score", "variety"):
        for tier in "BC":
            label = label_of(name, group("i3d", tier), 16, 1)
            assert "FVD" not in label.replace("FVD-self[i3d, 12345678]", "")


def test_files_tell_their_network_by_name(tmp_path: Path) -> None:
    for name in ("i3d_torchscript.pt", "i3d-kinetics-12ab.safetensors", "other.txt"):
        (tmp_path / name).touch()
    assert set(names_in(tmp_path)) == {"i3d", "i3d-kinetics"}
    assert names_in(tmp_path / "i3d_torchscript.pt") == ("i3d",)
