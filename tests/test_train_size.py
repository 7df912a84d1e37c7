"""What is trained where no preset is named: size and preset by the sources, the frames and the time."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import footage
from footage.commands import main as cli
from footage.config import Config
from footage.config.presets import options, preset
from footage.data.ingest.pipeline import ingested_from
from footage.data.ingest.sources import ShownSize
from footage.data.store import Dataset
from footage.errors import DatasetError
from footage.training.plan import choose_preset, choose_size
from footage.training.run_folder import RunFolder, read_config
from tests.test_api import make_videos

SIGNS = [ShownSize(640, 480, 2.7)] * 20
FILM = [ShownSize(768, 432, 30.0)]
WIDE = [ShownSize(1920, 1080, 60.0)]


@pytest.mark.parametrize(
    ("sources", "device", "budget", "wanted"),
    [
        (SIGNS, "cpu", {"minutes": 600}, "512×384"),
        (FILM, "cpu", {"minutes": 600}, "768×432"),
        (SIGNS, "cpu", {"minutes": 19}, "64×48"),
        (FILM, "cpu", {"minutes": 19}, "80×48"),
        (SIGNS, "cpu", {"minutes": 20}, "256×192"),
        (SIGNS, "cpu", {"minutes": 59}, "384×288"),
        (SIGNS, "cpu", {"minutes": 60}, "512×384"),
        (FILM, "cpu", {"minutes": 60}, "512×288"),
        (WIDE, "cpu", {"minutes": 600}, "768×432"),
        (WIDE, "cuda", {"minutes": 30}, "1280×720"),
        (FILM, "cuda", {"minutes": 10}, "768×432"),
        (WIDE, "mps", {"minutes": 600}, "768×432"),  # no rate was measured: as on a CPU
        (WIDE, "cpu", {}, "768×432"),  # 200,000 clips
        (WIDE, "cpu", {"minutes": 600, "clips": 20_000}, "368×208"),
        ([ShownSize(1080, 1920, 1.0)], "cpu", {"minutes": 600}, "432×768"),
        ([ShownSize(160, 120, 1.0)], "cpu", {"minutes": 600}, "128×96"),
        ([ShownSize(720, 720, 1.0)], "cpu", {"minutes": 10}, "64×64"),
    ],
)
def test_size_suits_sources_and_time(
    sources: list[ShownSize], device: str, budget: dict[str, Any], wanted: str
) -> None:
    size, reason = choose_size(sources, device, **budget)
    assert f"{size.width}×{size.height}" == wanted
    assert reason.startswith(f"{wanted} suits the videos and ")


def test_it_is_said_what_more_time_would_give() -> None:
    _, reason = choose_size(FILM, "cpu", minutes=100)
    assert reason == "512×288 suits the videos and 100 minutes on cpu; for 768×432 give 333 minutes or more"
    _, reason = choose_size(SIGNS, "cpu", minutes=600)
    assert reason == "512×384 suits the videos and 600 minutes on cpu"  # nothing larger is in them


def dataset_of(width: int, height: int, frames: int = 40, channels: int = 3) -> Dataset:
    info = SimpleNamespace(height=height, width=width, channels=channels, volume=None)
    return cast(Dataset, SimpleNamespace(info=info, split=lambda _: [SimpleNamespace(frames=frames)]))


@pytest.mark.parametrize(
    ("width", "height", "wanted"),
    [
        (512, 384, "--preset stream-512"),
        (1280, 720, "--preset stream-720p"),
        (256, 256, "--preset stream-256"),
        (768, 432, "--preset stream-512 --clip.height 432 --clip.width 768"),
        (640, 480, "--preset stream-512 --clip.height 480 --clip.width 640"),
        (384, 288, "--preset stream-256 --clip.height 288 --clip.width 384"),
        (500, 380, "--preset stream-256 --clip.height 380 --clip.width 500"),  # an eighth is no whole number
        (160, 112, "--preset stream-256 --clip.height 112 --clip.width 160 --net.scale 2 --net.detail-crop 96"),
        (128, 128, "--preset stream-64 --clip.height 128 --clip.width 128"),
        (64, 48, "--preset stream-64 --clip.height 48"),
        (32, 32, "--preset stream-32"),
    ],
)
def test_preset_suits_the_frames(width: int, height: int, wanted: str) -> None:
    config, reason = choose_preset(dataset_of(width, height))
    assert options(config) == wanted
    assert f"{width}×{height}" in reason and config.preset in reason
    assert (config.clip.height, config.clip.width) == (height, width)


def test_short_clips_and_grey_ones() -> None:
    config, reason = choose_preset(dataset_of(512, 384, frames=11, channels=1))
    assert options(config) == "--preset stream-512 --clip.frames 8 --clip.channels 1"
    assert "small pictures of 64×48" in reason and "the longest clip has 11 frames" in reason


def test_options_say_what_differs() -> None:
    config = preset("stream-64", {"net.deform": False, "augment.flip": True, "train.batch_size": 4})
    assert options(config) == "--preset stream-64 --net.no-deform --augment.flip --train.batch-size 4"


SMALL = {
    **{f"net.{knob}": value for knob, value in preset("stream-64").net.tiny.items()},
    **{"critics.0.width": 4, "critics.1.width": 4, "train.batch_size": 2, "train.device": "cpu"},
}


def test_videos_become_a_data_set_and_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    videos = make_videos(tmp_path / "my videos", count=2)
    run = footage.train(str(videos), SMALL, out=tmp_path / "runs" / "first", clips=2)
    folder = tmp_path / "runs" / "my videos-48x48"
    info = Dataset(folder).info
    assert (info.height, info.width, info.labels) == (48, 48, ("left", "right"))
    said = " ".join(capsys.readouterr().out.split())
    assert "48×48 suits the videos and 2 clips" in said and "stream-64, which suits frames of 48×48" in said
    assert f"footage ingest '{videos}' --to '{folder}' --size 48x48" in said
    assert f"footage train '{folder}' --preset stream-64 --clip.height 48 --clip.width 48" in said
    assert "--clips 2" in said
    # The same command goes on: what was decoded stays, and so do size and knobs.
    shard = next(folder.glob("*.npy"), None) or next(path for path in folder.rglob("*") if path.stat().st_size > 10_000)
    before = shard.stat().st_mtime_ns
    again = footage.train(str(videos), out=tmp_path / "runs" / "first", clips=4, quiet=True)
    assert again.path == run.path and shard.stat().st_mtime_ns == before
    stored = read_config(RunFolder(run.path))
    assert stored is not None and stored[0].net.width == 4 and stored[1].data == str(folder)
    # Other videos of the same name are not put in their place.
    other = make_videos(tmp_path / "elsewhere" / "my videos", count=1)
    with pytest.raises(DatasetError, match=r"my videos-48x48\" was made of .*give --out in another folder"):
        footage.train(str(other), SMALL, out=tmp_path / "runs" / "second", clips=2, quiet=True)


def test_dry_run_decodes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    videos = make_videos(tmp_path / "clips", count=1)
    footage.train(str(videos), "stream-512", out=tmp_path / "runs" / "a", minutes=5, dry_run=True)
    said = capsys.readouterr().out
    assert "--preset stream-512 --minutes 5 --out" in said
    assert "clips-512x384" in said and not (tmp_path / "runs").exists()
    footage.train(str(videos), {"gan.lr": 0.001}, out=tmp_path / "runs" / "a", minutes=5, dry_run=True)
    said = capsys.readouterr().out
    assert "clips-48x48 --gan.lr 0.001 --minutes 5 --out" in said and not (tmp_path / "runs").exists()
    assert "clips-512x384" not in said
    assert ingested_from(tmp_path / "runs" / "clips-512x384") is None


def test_folders_without_videos_are_no_data(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(DatasetError, match="is not a dataset"):
        footage.train(str(tmp_path), quiet=True)
    make_videos(tmp_path, count=1)
    (tmp_path / "config.json").write_text("{}")  # a run, with its previews
    with pytest.raises(DatasetError, match="is not a dataset"):
        footage.train(str(tmp_path), quiet=True)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--net.width", "32", "--net.no-deform"], {"net.width": 32, "net.deform": False}),  # 32 is the default
        (["--gan.lr=1e-4"], {"gan.lr": 1e-4}),
        ([], {}),
    ],
)
def test_given_flags_alone_reach_a_choice(
    words: list[str], wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from footage.commands import train as verbs

    seen: list[Any] = []

    def stop(order: verbs.TrainingOrder) -> tuple[str, Config | None]:
        seen.append(order.config)
        return order.data, None

    monkeypatch.setattr(verbs.TrainingOrder, "suited", stop)
    cli.main(["train", "my-data", *words])
    cli.main(["train", "my-data", "--preset", "stream-64", *words])
    assert seen[0] == wanted
    assert seen[1] == preset("stream-64", wanted)
