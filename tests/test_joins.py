"""Videos joined with transitions."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from footage.commands.cutting import join
from footage.commands.generate import interpolate
from footage.commands.main import main
from footage.errors import ConfigError, MediaError
from footage.generation.cutting import flow, joins
from footage.generation.cutting.flow import Between
from footage.media import segments
from footage.media.encode import read_metadata
from footage.media.probe import count_frames
from footage.media.sound import TRACK_RATE, read_sound
from footage.media.transitions import XFADES, crossfaded, lasting, whole, xfade
from tests import clips


def noise(count: int, seed: int, size: tuple[int, int] = (16, 24)) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (count, *size, 3), dtype=np.uint8))


def test_every_kind_begins_with_the_first_video_and_has_as_many_frames() -> None:
    before, after = noise(5, 0), noise(5, 1)
    for kind in XFADES:
        made = list(xfade(kind, before, after, 5))
        assert len(made) == 5, kind
        assert (made[0] == before[0]).all(), kind
        assert any((frame != one).any() for frame, one in zip(made[1:], before[1:], strict=True)), kind


def test_a_fade_is_a_mean() -> None:
    before, after = noise(4, 0), noise(4, 1)
    made = list(xfade("fade", before, after, 4))
    for number in range(4):
        share = number / 4
        expected = before[number] * (1 - share) + after[number] * share
        assert np.abs(made[number] - expected).max() <= 1.01


def test_sounds_are_faded_with_the_same_power() -> None:
    quiet = np.zeros((2, 700), np.float32)
    loud = np.full((2, 700), 0.5, np.float32)
    second = Fraction(1000, TRACK_RATE)
    made = np.concatenate(
        list(crossfaded([([loud] * 2, second), ([quiet, quiet], second), ([loud[:, :9]], second)], [second / 4] * 2)),
        axis=1,
    )
    assert made.shape == (2, 2500)
    assert (made[:, :750] == 0.5).all() and (made[:, 1000:1500] == 0).all()
    fading = made[0, 750:1000]
    assert (np.diff(fading) < 0).all() and fading[125] == pytest.approx(0.5 * np.sqrt(0.5), abs=0.01)
    assert (made[:, 1760:] == 0).all()  # the last one is shorter than it was said to be


def test_a_film_can_be_read_from_any_frame_on(tmp_path: Path) -> None:
    paths = [clips.write(tmp_path / f"{n}.mp4", clips.moving(20, (32, 48), n)) for n in range(3)]
    film = replace(whole(paths, 0.2), mixes=(joins.mixer("fade"),) * 2)
    entire = list(film.pictures())
    assert len(entire) == film.frames == 3 * 20 - 2 * 5
    for first in (0, 1, 14, 15, 17, 20, 29, 30, 34, 36, 49, 50):
        rest = list(film.pictures(first))
        assert len(rest) == 50 - first and all((a == b).all() for a, b in zip(rest, entire[first:], strict=True))
    cut = replace(film, overlaps=())
    assert [len(list(cut.pictures(first))) for first in (0, 19, 20, 41, 60)] == [60, 41, 40, 19, 0]


def test_different_sizes_rates_and_sounds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = clips.add_sound(clips.write(tmp_path / "one.mp4", clips.moving(30, (32, 48))))
    other = clips.write(tmp_path / "other.mp4", clips.moving(60, (64, 36), 1), fps=50)
    to = tmp_path / "both.mp4"
    main(["join", str(one), str(other), "--to", str(to), "--transition", "wipeleft", "--seconds", "0.4"])
    count = count_frames(to)
    assert (count.frames, count.rate, count.height, count.width) == (30 + 30 - 10, 25, 32, 48)
    heard = read_sound(to)
    assert heard is not None and heard.seconds == pytest.approx(2, abs=0.05)
    assert np.abs(heard.window(0.1, 4000)).max() > 0.05 > np.abs(heard.window(1.5, 4000)).max()
    about = read_metadata(to)
    assert about["source"] == ["one.mp4", "other.mp4"] and about["transition"] == "wipeleft"
    assert "50 frames" in capsys.readouterr().out and not list(tmp_path.glob(".*"))


def test_stopped_work_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_FRAMES", 8)
    paths = [clips.write(tmp_path / f"{n}.mp4", clips.moving(24, (32, 48), n)) for n in range(2)]
    once, twice = tmp_path / "once.mp4", tmp_path / "twice.mp4"
    joins.join(paths, once, kind="fade", seconds=0.4)
    counted: list[int] = []

    def stop(done: int) -> None:
        counted.append(done)
        if len(counted) == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        joins.join(paths, twice, kind="fade", seconds=0.4, watch=stop)
    assert not twice.exists() and counted[-1] == 20
    assert joins.join(paths, twice, kind="fade", seconds=0.4, watch=stop) == 38
    assert counted[20] == 17 and counted[-1] == 38  # two segments of eight were whole

    def decoded(path: Path) -> np.ndarray:
        with av.open(str(path)) as container:
            return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])

    assert np.abs(decoded(once).astype(int) - decoded(twice)).mean() < 1  # x264 decides differently from run to run


def test_morph_moves_what_moves_and_is_exact_at_its_ends() -> None:
    y, x = np.mgrid[0:48, 0:64]

    def scene(at: float) -> np.ndarray:
        disc = 1 / (1 + np.exp(((x - at) ** 2 + (y - 24) ** 2 - 100) / 30))
        return (60 + 150 * disc[..., None] * [1, 0.8, 0.6] + 20 * np.sin(x / 5 + y / 7)[..., None]).astype(np.uint8)

    between = Between(scene(22), scene(34))
    first, middle = between.at(0), between.at(0.5)
    assert (first == scene(22)).all()
    mean = (scene(22).astype(float) + scene(34)) / 2
    right = scene(28).astype(float)
    assert np.square(middle - right).mean() < np.square(mean - right).mean() / 6
    made = list(joins.morph([scene(22)] * 4, [scene(34)] * 4))
    assert len(made) == 4 and (made[0] == scene(22)).all()
    assert (Between(scene(22), scene(22)).at(0.5) == scene(22)).all()


def test_what_lasts_too_briefly_stands_still() -> None:
    made = list(lasting(iter(noise(2, 0)), 4))
    assert len(made) == 4 and (made[3] == made[1]).all()
    assert len(list(lasting(itertools.repeat(noise(1, 0)[0]), 3))) == 3


def test_bad_input_gets_a_sentence(tmp_path: Path) -> None:
    one = clips.write(tmp_path / "one.mp4", clips.moving(20, (32, 48)))
    picture = tmp_path / "still.png"
    Image.fromarray(clips.still(1)[0]).save(picture)
    with pytest.raises(ConfigError, match="give two or more"):
        join((one,), to=tmp_path / "out.mp4")
    with pytest.raises(ConfigError, match='did you mean "wipeleft"'):
        join((one, one), to=tmp_path / "out.mp4", transition="wipelef", seconds=0.2)
    with pytest.raises(MediaError, match=r"lasts 0\.80 s, and transitions take 1.00 s of it: give at most 0\.80 s"):
        join((one, one, one), to=tmp_path / "out.mp4")
    with pytest.raises(MediaError, match="shorter than a frame"):
        join((one, one), to=tmp_path / "out.mp4", seconds=0.001)
    with pytest.raises(MediaError, match="is a picture"):
        join((one, picture), to=tmp_path / "out.mp4")
    with pytest.raises(ConfigError, match="the clip itself"):
        join((one, one), to=one)
    with pytest.raises(MediaError, match="no file for videos"):
        join((one, one), to=tmp_path / "out.gif", seconds=0.2)


def test_slow_motion_of_a_real_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    y, x = np.mgrid[0:32, 0:48]
    scenes = [
        np.repeat(
            np.uint8(60 + 150 / (1 + np.exp(((x - 12 - 3 * at) ** 2 + (y - 16) ** 2 - 60) / 20)))[..., None], 3, 2
        )
        for at in range(9)
    ]
    clip = clips.write(tmp_path / "clip.mp4", scenes[::2], options={"crf": "1"})
    to = tmp_path / "slow.mp4"
    main(["interpolate", str(clip), "--slow", "2x", "--to", str(to)])
    with av.open(str(to)) as container:
        made = [frame.to_ndarray(format="rgb24").astype(float) for frame in container.decode(video=0)]
    assert len(made) == 9 and "9 frames" in capsys.readouterr().out
    for at in (3, 5):
        mean = (scenes[at - 1].astype(float) + scenes[at + 1]) / 2
        assert np.square(made[at] - scenes[at]).mean() < np.square(mean - scenes[at]).mean() / 2
    assert list(flow_pictures(clip, tmp_path, 5)) == list(flow_pictures(clip, tmp_path, 0))[5:]


def flow_pictures(clip: Path, folder: Path, first: int) -> list[bytes]:
    """Return the frames of a slow clip from a number on, as they are asked for where work goes on."""
    asked: list[bytes] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow, "render", lambda to, pictures, **_: asked.extend(p.tobytes() for p in pictures(first)))
        flow.slow(clip, folder / "x.mp4", 2)
    return asked


def test_between_two_shots_nothing_moves() -> None:
    one, other = clips.moving(1, (32, 48), 0)[0], clips.moving(1, (32, 48), 1)[0]
    assert not Between(one, other).same_shot and Between(*clips.moving(2, (32, 48), 0)).same_shot


def test_what_cannot_be_slow_gets_a_sentence(tmp_path: Path) -> None:
    one = clips.write(tmp_path / "one.mp4", clips.moving(3, (32, 48)))
    for arguments, said in (
        ({"slow": "fast"}, "such as 4x"),
        ({"slow": "1x"}, "give 2x to 32x"),
        ({"slow": "4x", "clip": one}, "beside the clip"),
        ({}, "two clips are needed"),
    ):
        with pytest.raises(ConfigError, match=said):
            interpolate(one, **arguments)


def test_slow_motion_goes_on_at_its_very_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_FRAMES", 4)
    path, to = clips.write(tmp_path / "a.mp4", clips.smooth(5, (16, 24))), tmp_path / "slow.mp4"
    for stop in (13, 12, 4):  # of 13 frames in segments of four: the last one is not whole; three are; one is

        def halt(done: int, stop: int = stop) -> None:
            if done == stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            flow.slow(path, to, 3, watch=halt)
        begun: list[int] = []
        assert flow.slow(path, to, 3, watch=begun.append) == 13
        assert begun[0] == stop // 4 * 4 + 1 and count_frames(to).frames == 13
        to.unlink()


def test_segments_hold_no_frame_that_was_written(tmp_path: Path) -> None:
    alive: list[weakref.ref[np.ndarray]] = []
    held: list[int] = []

    def pictures(first: int) -> Iterator[np.ndarray]:
        for number in range(first, 60):
            picture = np.full((16, 16, 3), number, np.uint8)
            held.append(sum(each() is not None for each in alive))
            alive.append(weakref.ref(picture))
            yield picture
            del picture

    about = {"made_with": "a model"}  # marked, which reads them by a generator of its own
    assert (
        segments.render(tmp_path / "a.mp4", pictures, size=(16, 16), rate=Fraction(25), about=about, sources=[]) == 60
    )
    assert max(held) <= 3


def test_steps_of_a_transition_are_even() -> None:
    """What moves in the second part at once, a cut of its own, is hidden where less of it is seen."""
    still = np.full((40, 50, 3), 40, np.uint8)
    before, after = [still] * 12, [still + 120] * 12
    shares = joins.even_shares(before, after)
    assert shares[0] == 0 and np.diff(shares) == pytest.approx(1 / 12, abs=1 / 100)
    after = [still + 120] * 3 + [still + 200] * 9  # a step of 80 levels
    steps = [joins.picture_step(*pair) for pair in itertools.pairwise(joins.morph(before, after))]
    linear = [still * (1 - n / 12) + after[n] * (n / 12) for n in range(12)]
    assert max(steps) < 19.5 < 29 < max(joins.picture_step(*pair) for pair in itertools.pairwise(linear))
    assert joins.even_shares(before[:1], after[:1]) == [0]
    scene, other = clips.smooth(1, (48, 64))[0], noise(1, 1, (48, 64))[0]
    assert Between(scene, scene).explained and not Between(scene, other).explained
    mixed = list(joins.morph([scene] * 4, [other] * 4))[2]
    assert np.abs(mixed - (scene * 0.5 + other * 0.5)).mean() < 12  # no flow, the mean of both alone


def test_as_long_as_the_videos_own_steps_ask_for(tmp_path: Path) -> None:
    def video(name: str, level: int, step: int, count: int = 100) -> Path:
        return clips.write(
            tmp_path / name, [np.full((32, 48, 3), level + step * (n % 2), np.uint8) for n in range(count)]
        )

    one, other, brief = video("one.mp4", 40, 6), video("other.mp4", 160, 6), video("brief.mp4", 160, 0, 4)
    to = tmp_path / "both.mp4"
    joins.join([one, other, one], to, kind="morph", seconds="auto")
    seconds = read_metadata(to)["seconds"]
    assert len(seconds) == 2 and all(0.72 <= each <= 1.4 for each in seconds), "120 levels, 6 at a time: 20 frames"
    with av.open(str(to)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 300 - round(sum(seconds) * 25)
    assert max(joins.picture_step(*pair) for pair in itertools.pairwise(frames)) < 7.5
    with pytest.warns(UserWarning, match=r'"one.mp4" and "brief.mp4" no transition of up to 0\.16 s keeps'):
        joins.join([one, brief], to, kind="fade", seconds="auto")
    assert read_metadata(to)["seconds"] == [0.16]
    frame = video("frame.mp4", 160, 0, 1)
    with pytest.raises(MediaError, match=r'"frame.mp4" is one frame long.*leave it out'):
        joins.join([one, frame, other], to, kind="fade", seconds="auto")
    assert joins.join([frame, brief, frame], to, kind="fade", seconds="auto") == 4
