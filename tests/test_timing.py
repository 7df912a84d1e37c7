"""What a stream model can be asked for in Python and on the command line."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import footage
from footage import Timing
from footage.errors import ConfigError
from footage.generation.model import Model
from footage.media.encode import read_metadata
from footage.models.generators.stream.sampler import TICK
from footage.models.requests import MOST_FRAMES, GenerateRequest, TimeMapping, time_mapping
from tests.models import save_tiny_model
from tests.streams import save_tiny_stream
from tests.test_cli import run


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return save_tiny_stream(tmp_path_factory.mktemp("stream"), labels=("walk", "run"))


def off(a: object, b: object) -> int:
    """Return the largest difference of two clips in levels; 1 is rounding."""
    return int(np.abs(np.asarray(a).astype(int) - np.asarray(b)).max())


def drawn(model: Model, seed: int) -> str:
    label: str = next(model.generate(1, seed=seed)).metadata["label"]
    return label


def test_a_course_is_counted_in_frames_of_the_model() -> None:
    asked = Timing(loop="4s", slow="4x", seek="10:00", motion_seed=2**63 + 5, strength=0.5, truncation=0.7, drift=20)
    wanted = TimeMapping(600 * 12.5, 0.25, 50, 5, 0.5, 0.7, 250, True)
    assert time_mapping(asked, 12.5, between=True) == wanted
    assert time_mapping(Timing(), 12.5) == TimeMapping()


@pytest.mark.parametrize(
    ("timing", "said"),
    [
        (Timing(loop="0.01s"), r"loop is .0.01s.: give at least 0.16s, 2 frames"),
        (Timing(drift="0.001s"), r"drift is .*: give at least 0.08s, 1 frame,"),
        (Timing(motion_seed=-1), "motion_seed is -1"),
        (Timing(strength=-0.5), r"strength is -0.5: give at least 0"),
        (Timing(seek="x"), "give a duration"),
        (Timing(seek="9" * 30), "give less than"),
        (Timing(slow="fast"), "give a factor"),
        (Timing(slow="0." + "0" * 300 + "1"), "slow is .*: give 0.001x to 1000x"),
        (Timing(slow=1e9), "slow is .1000000000.*: give 0.001x to 1000x"),
    ],
)
def test_what_cannot_be(timing: Timing, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        time_mapping(timing, 12.5)


def test_a_course_is_as_fast_at_any_rate() -> None:
    assert time_mapping(Timing(loop="4s", slow="4x"), 12.5, played=25) == TimeMapping(rate=0.125, loop=50)
    for played in (1e-9, 1e300):
        with pytest.raises(ConfigError, match=r"fps is .*: give 1.2e-05 to 1.3e\+07"):
            time_mapping(Timing(), 12.5, played=played)


def test_what_cannot_be_timed_is_refused(model: Model) -> None:
    last = MOST_FRAMES - 1.0
    assert last + TICK > last, "the last frame has ticks of its own"
    near = Timing(seek=(MOST_FRAMES - 100) / 12.5)
    assert len(next(model.generate(frames=3, timing=near)).array()) == 3
    for arguments, said in (
        ({"frames": 101, "timing": near}, r"ends at frame 8,589,934,593 of the model's time"),
        ({"frames": 101, "timing": replace(near, slow="0.01x")}, "seek less far"),
        ({"frames": MOST_FRAMES, "timing": Timing(loop=2)}, "ask for fewer than 8,589,934,592"),
        ({"seconds": 1e300}, "ask for fewer"),
    ):
        with pytest.raises(ConfigError, match=said):
            model.generate(**arguments)  # type: ignore[arg-type]


def test_lengths(model: Model) -> None:
    assert (
        GenerateRequest(fps=25, timing=Timing(loop="4s")).length(model.info) == 100
        and GenerateRequest(fps=25).length(model.info) == 8
    )
    assert GenerateRequest().length(model.info) == 8 and GenerateRequest(frames=5).length(model.info) == 5
    assert (
        GenerateRequest(seconds="1:00").length(model.info) == 750
        and GenerateRequest(seconds=2, fps=50).length(model.info) == 100
    )
    assert (
        GenerateRequest(timing=Timing(loop="4s")).length(model.info) == 50
        and GenerateRequest(timing=Timing(loop="4s", slow="4x")).length(model.info) == 200
    )
    assert GenerateRequest(frames=7, timing=Timing(loop="4s")).length(model.info) == 7
    for arguments, said in (({"frames": 3, "seconds": 4}, "leave one"), ({"seconds": "0.01s"}, "at least 0.08s")):
        with pytest.raises(ConfigError, match=said):
            next(model.generate(**arguments))  # type: ignore[arg-type]
    plain = next(model.generate(seconds="2s"))
    assert plain.frames == 25 == len(plain.array())


def test_loops_slow_motion_and_seeking(model: Model) -> None:
    plain = next(model.generate(frames=60, label="run", seed=4)).array()
    slow = next(model.generate(frames=40, label="run", seed=4, timing=Timing(slow="4x"))).array()
    assert off(slow[::4], plain[:10]) <= 1 < off(slow[2::4], plain[:10])
    assert off(slow[1:], slow[:-1]) < off(plain[1:10], plain[:9])
    later = next(model.generate(frames=35, label="run", seed=4, timing=Timing(seek="2s"))).array()
    assert off(later, plain[25:]) <= 1
    loop = next(model.generate(label="run", seed=4, timing=Timing(loop="2s")))
    assert loop.frames == 25 and loop.metadata["loop"] == "2s"
    twice = next(model.generate(frames=51, label="run", seed=4, timing=Timing(loop="2s"))).array()
    assert off(twice[:25], loop.array()) <= 1 and off(twice[25:], twice[:26]) <= 1
    assert off(twice[0], plain[0]) <= 1


def test_motion_is_as_fast_at_any_rate(model: Model) -> None:
    plain = next(model.generate(frames=25, seed=4, label="run")).array()
    double = next(model.generate(seconds=4, seed=4, label="run", fps=25))
    assert double.frames == 100 and double.fps == 25 == double.metadata["fps"]
    assert off(double.array()[:50:2], plain) <= 1
    loop = next(model.generate(seed=4, label="run", fps=25, timing=Timing(loop="2s")))
    assert loop.frames == 50
    assert off(loop.array()[::2], next(model.generate(seed=4, label="run", timing=Timing(loop="2s"))).array()) <= 1


def test_between_seeds(model: Model) -> None:
    clips = list(model.generate(2, between=(3, 17), frames=30, label="walk"))
    for number, clip in enumerate(clips):
        first, last = (next(model.generate(frames=1, seed=seed + number, label="walk")).array() for seed in (3, 17))
        assert off(clip.array()[:1], first) <= 1 and off(clip.array()[-1:], last) <= 1
    seeds = next((a, b) for a in range(9) for b in range(9) if drawn(model, a) != drawn(model, b))
    (mixed,) = model.generate(1, between=seeds, frames=30)
    first, last = (next(model.generate(1, frames=1, seed=seed)).array() for seed in seeds)
    assert off(mixed.array()[:1], first) <= 1 and off(mixed.array()[-1:], last) <= 1
    assert (mixed.metadata["label"], mixed.metadata["to_label"]) == tuple(drawn(model, seed) for seed in seeds)
    assert clips[1].metadata["between"] == [4, 18] and clips[1].metadata["seed"] == 4
    huge = 2**64 + 3
    (clip,) = model.generate(1, between=(huge, huge + 2**63), frames=3, label="walk", timing=Timing(truncation=0.9))
    assert len(clip.array()) == 3
    for arguments in ({"to_seed": 4}, {"seed": 9}):
        with pytest.raises(ConfigError, match="leave seed and to_seed out"):
            model.generate(between=(3, 17), frames=30, **arguments)
    with pytest.raises(ConfigError, match="a loop comes back"):
        model.generate(between=(3, 17), frames=30, timing=Timing(loop="2s"))


def test_metadata_is_enough_to_make_a_clip_again(model: Model) -> None:
    asked = Timing(seek="1:00", slow="2x", motion_seed=9, strength=0.8, truncation=0.9, drift="3s")
    clip = list(model.generate(3, frames=20, seed=5, timing=asked))[2]
    about = clip.metadata
    again = Timing(**{name: about[name] for name in asked.given()})
    (other,) = model.generate(1, frames=clip.frames, seed=about["seed"], label=about["label"], timing=again)
    np.testing.assert_array_equal(clip.array(), other.array())
    assert other.metadata == about and again == asked


def test_streaming_at_any_rate(model: Model) -> None:
    plain = next(model.generate(frames=30, label="run", seed=4)).array()
    frames = list(itertools.islice(model.stream(seed=4, label="run"), 30))
    assert frames[0].shape == (32, 32, 3) and frames[0].dtype == np.uint8 and off(frames, plain) <= 1
    double = list(itertools.islice(model.stream(25, seed=4, label="run", chunk=1), 40))
    assert off(double[::2], plain[:20]) <= 1
    drawn = next(model.generate(frames=1, seed=4))
    assert off(next(model.stream(seed=4)), drawn.array()[0]) <= 1
    for arguments, said in (
        ({"fps": 0}, "fps is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"label": "fly"}, "fly"),
        ({"chunk": 0}, "chunk is 0"),
    ):
        with pytest.raises(ConfigError, match=said):
            model.stream(**arguments)  # type: ignore[arg-type]


def test_models_of_shots(tmp_path: Path) -> None:
    shots = save_tiny_stream(tmp_path, shot=16)
    long = next(shots.generate(frames=40)).array()
    assert off(next(shots.generate(frames=8, timing=Timing(seek="2.56s"))).array(), long[32:]) <= 1
    with pytest.raises(ConfigError, match=r"16 frames: leave loop out, or train with --net.shot 0"):
        shots.generate(timing=Timing(loop="1s"))
    with pytest.raises(ConfigError, match="leave between out"):
        shots.generate(between=(0, 1))


@pytest.mark.parametrize("preset", ["conv3d-32", "recurrent-32"])
def test_models_that_do_not_stream_say_so(preset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_tiny_model(tmp_path / "m", preset=preset)
    other, words = Model(tmp_path / "m"), ["generate", str(tmp_path / "m"), "--to", str(tmp_path / "x")]
    for flags in (
        "--loop 4s",
        "--slow 4x",
        "--seek 10:00",
        "--motion-seed 3",
        "--strength 2",
        "--drift 9s",
        "--between 3 4",
    ):
        assert run(*words, *flags.split()) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert f"{flags.split()[0]} is asked for" in said and "--preset stream-64" in said
    with pytest.raises(ConfigError, match=r"fps is 50, .*give --fps 12.5"):
        other.stream(50)
    with pytest.raises(ConfigError, match=r"chunk is 4, .*leave --chunk out"):
        other.stream(chunk=4)
    faster = next(other.generate(frames=5, seed=3, label="run", fps=50))
    assert faster.fps == 50 and off(faster.array(), next(other.generate(frames=5, seed=3, label="run")).array()) == 0
    frames = list(itertools.islice(other.stream(seed=3, label="run"), 20))
    assert off(frames, next(other.generate(frames=20, seed=3, label="run")).array()) == 0
    assert len(next(other.generate(seconds="0.8s")).array()) == 10


def test_generate_on_the_command_line(model: Model, tmp_path: Path) -> None:
    words = ["--count", "2", "--between", "3", "17", "--seconds", "2", "--slow", "2x", "--truncation", "0.7"]
    assert run("generate", str(model.folder), "--to", str(tmp_path), *words) == 0
    (path,) = tmp_path.glob("*000004.mp4")
    about = read_metadata(path)
    assert about["between"] == [4, 18] and about["slow"] == "2x" and about["truncation"] == 0.7
    (loop,) = footage.generate(model.folder, tmp_path / "loop", count=1, timing=Timing(loop=1), quiet=True)
    assert read_metadata(loop)["loop"] == 1
