"""Effects on real videos, as a chain in a file."""

from __future__ import annotations

import itertools
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from footage.commands.cutting import effects
from footage.commands.main import main
from footage.errors import ConfigError, MediaError
from footage.generation.cutting.effects import (
    Boomerang,
    Grade,
    Loop,
    Material,
    Reframe,
    Reverse,
    Scratch,
    Speed,
    Stabilise,
    read_chain,
    render_effects,
    shifts,
)
from footage.media import segments
from footage.media.encode import read_metadata
from footage.media.probe import count_frames
from footage.media.sound import TRACK_RATE, read_sound
from footage.trust.mark import SWITCH
from tests import clips
from tests.libraries import WEIGHTS, save_clip

SIZE = (32, 48)
WALL = np.random.default_rng(0).integers(20, 230, (20, 30, 3)).repeat(4, 0).repeat(4, 1).astype(np.float32)


def material(frames: list[np.ndarray], rate: int = 10, sound: Any = None) -> Material:
    size = (frames[0].shape[0], frames[0].shape[1])
    return Material(size, Fraction(rate), len(frames), lambda first: iter(frames[first:]), sound)


def scratch(folder: Path) -> Scratch:
    return Scratch(folder / "out.mp4", {})


def chain(folder: Path, *items: dict[str, Any]) -> Path:
    path = folder / "chain.json"
    path.write_text(json.dumps({"version": 1, "effects": items}))
    return path


@pytest.mark.parametrize("effect", [Reverse(), Boomerang()])
def test_backwards_and_back_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, effect: Reverse | Boomerang) -> None:
    for module in ("footage.media.segments", "footage.generation.cutting.effects"):
        monkeypatch.setattr(f"{module}.SEGMENT_FRAMES", 8)
    frames = clips.smooth(19, SIZE)
    made = effect.apply(material(frames), scratch(tmp_path))
    shown = [frame.astype(int) for frame in made.pictures(0)]
    expected = frames[::-1] if isinstance(effect, Reverse) else frames + frames[-2:0:-1]
    assert len(shown) == made.frames == len(expected) and made.sound is None
    assert max(np.abs(a - b).mean() for a, b in zip(shown, expected, strict=True)) < 9
    for first in (0, 7, 8, 18, 19, 25):
        rest = list(made.pictures(first))
        assert len(rest) == max(0, made.frames - first)
        assert all((a == b).all() for a, b in zip(rest, shown[first:], strict=True))


def test_speed_is_a_ramp_and_takes_sound_along() -> None:
    frames = clips.smooth(41, (16, 24))
    tone = np.sin(np.arange(4 * TRACK_RATE) * 2 * np.pi * 440 / TRACK_RATE).astype(np.float32)
    video = material(frames, 10, lambda: iter(np.split(np.stack([tone, tone]), 8, axis=1)))
    quick = Speed(ramp=((0.0, 2.0),)).apply(video, None)  # type: ignore[arg-type]
    shown = list(quick.pictures(0))
    assert quick.frames == len(shown) == 20 and all((a == b).all() for a, b in zip(shown, frames[::2], strict=False))
    assert quick.sound is not None
    heard = np.concatenate(list(quick.sound()), axis=1)[0]
    crossings = int((np.diff(np.signbit(heard[:TRACK_RATE])) != 0).sum())
    assert abs(crossings - 2 * 880) < 4  # an octave higher
    slow = Speed(ramp=((0.0, 1.0), (2.0, 1.0), (2.5, 0.5))).apply(video, None)  # type: ignore[arg-type]
    shown = list(slow.pictures(0))
    assert len(shown) == slow.frames and 55 < slow.frames < 62
    assert all((a == b).all() for a, b in zip(shown[:20], frames, strict=False))
    steps = [np.abs(a.astype(int) - b).mean() for a, b in itertools.pairwise(shown)]
    own = [np.abs(a.astype(int) - b).mean() for a, b in itertools.pairwise(frames)]
    assert np.mean(steps) < 0.75 * np.mean(own)  # made in between, not shown twice
    for first in (33, slow.frames - 2, slow.frames - 1, slow.frames):  # and where all but the end was written before
        assert [f.tobytes() for f in slow.pictures(first)] == [f.tobytes() for f in shown[first:]]
    assert [len(list(quick.pictures(first))) for first in (18, 19, 20)] == [2, 1, 0]


def test_a_loop_ends_where_it_begins() -> None:
    y, x = np.mgrid[0:32, 0:48]

    def swing(at: int) -> np.ndarray:
        place = 24 + 12 * np.sin(2 * np.pi * at / 20)
        return np.uint8(60 + 150 / (1 + np.exp(((x - place) ** 2 + (y - 16) ** 2 - 60) / 20)))[..., None].repeat(3, 2)

    frames = [swing(at) for at in range(75)]
    made = Loop(least=1.5, most=2.8, blend=0.3).apply(material(frames), None)  # type: ignore[arg-type]
    shown = [frame.astype(int) for frame in made.pictures(0)]
    assert made.frames == len(shown) == 20
    steps = [np.abs(a - b).mean() for a, b in itertools.pairwise(shown)]
    assert np.abs(shown[-1] - shown[0]).mean() < 1.5 * max(steps)
    assert [f.tobytes() for f in made.pictures(18)] == [f.astype(np.uint8).tobytes() for f in shown[18:]]
    with pytest.raises(MediaError, match=r"give 1\.8 s of video"):
        Loop(least=1.5).apply(material(frames[:12]), None)  # type: ignore[arg-type]


def test_a_loop_is_not_shorter_than_its_blend() -> None:
    with pytest.raises(ConfigError, match=r"blend is 2\.0: give at most least, 1"):
        Loop(blend=2.0)
    whole = Loop(least=0.5, most=0.6, blend=0.5).apply(material(clips.smooth(20, SIZE)), None)  # type: ignore[arg-type]
    assert len(list(whole.pictures(0))) == whole.frames and whole.frames in (5, 6)


def test_a_shaking_hand_becomes_steady() -> None:
    shakes = np.random.default_rng(1).normal(0, 1.5, (40, 2)).round().astype(int).clip(-4, 4)
    frames = [WALL[8 + y : 56 + y, 20 + x : 92 + x].astype(np.uint8) for x, y in shakes]
    found = np.cumsum(shifts(material(frames)), axis=0) * (72, 48)
    assert np.abs(found + (shakes - shakes[0])).max() < 0.6  # what is seen moves against the camera
    made = Stabilise(seconds=1.0, margin=0.1).apply(material(frames), None)  # type: ignore[arg-type]
    shown = [frame.astype(float) for frame in made.pictures(0)]
    assert made.size == shown[0].shape[:2] == (38, 58)
    inner = [frame[5:43, 7:65].astype(float) for frame in frames]

    def unrest(video: list[np.ndarray]) -> float:
        return float(np.mean([np.abs(a - b).mean() for a, b in itertools.pairwise(video)]))

    assert unrest(shown) < 0.5 * unrest(inner)


def test_another_shape_follows_what_moves() -> None:
    frames = []
    for at in range(40):
        frame = np.full((64, 128, 3), 90, np.uint8)
        frame[20:40, 10 + 2 * at : 24 + 2 * at] = 240
        frames.append(frame)
    made = Reframe(shape="9:16", seconds=0.3).apply(material(frames), None)  # type: ignore[arg-type]
    shown = list(made.pictures(0))
    assert made.size == shown[0].shape[:2] == (64, 36)
    whole = [(frame[30, :, 0] > 200).sum() for frame in shown[2:]]
    assert min(whole) >= 13
    assert Reframe(shape="4:1").apply(material(frames), None).size == (32, 128)  # type: ignore[arg-type]


def table(path: Path, invert: bool) -> Path:
    rows = [(r, g, b) for b in (0, 1) for g in (0, 1) for r in (0, 1)]
    values = [[1 - value if invert else value for value in row] for row in rows]
    path.write_text("LUT_3D_SIZE 2\n" + "\n".join(" ".join(f"{value:.1f}" for value in row) for row in values) + "\n")
    return path


def test_a_table_of_colours(tmp_path: Path) -> None:
    frames = clips.moving(3, SIZE)
    same = Grade(lut=str(table(tmp_path / "a same: [one].cube", False))).apply(material(frames), None)  # type: ignore[arg-type]
    other = Grade(lut=str(table(tmp_path / "other.cube", True))).apply(material(frames), None)  # type: ignore[arg-type]
    for kept, turned, frame in zip(same.pictures(0), other.pictures(0), frames, strict=True):
        assert np.abs(kept.astype(int) - frame).max() <= 1 and np.abs(255 - turned.astype(int) - frame).max() <= 1
    (tmp_path / "half.cube").write_text("LUT_3D_SIZE 2\n0 0 0\n")
    for name in ("half.cube", "none.cube"):
        with pytest.raises(ConfigError, match=r"give a .*\.cube file"):
            Grade(lut=str(tmp_path / name))


def test_a_chain_on_a_file_with_sound_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("footage.media.segments", "footage.generation.cutting.effects"):
        monkeypatch.setattr(f"{module}.SEGMENT_FRAMES", 8)
    video = clips.add_sound(clips.write(tmp_path / "clip.mp4", clips.smooth(30, SIZE)))
    steady = chain(tmp_path, {"kind": "stabilise"}, {"kind": "speed", "ramp": [[0, 1], [0.4, 2]]})
    main(["effects", str(video), "--chain", str(steady), "--to", str(tmp_path / "one.mp4")])
    count, heard = count_frames(tmp_path / "one.mp4"), read_sound(tmp_path / "one.mp4")
    assert (count.height, count.width) == (28, 42) and 15 < count.frames < 18 and heard is not None
    assert f"{count.frames} frames" in capsys.readouterr().out
    assert [effect["kind"] for effect in read_metadata(tmp_path / "one.mp4")["effects"]] == ["stabilise", "speed"]
    back, to, seen = read_chain(chain(tmp_path, {"kind": "boomerang"})), tmp_path / "two.mp4", list[int]()

    def stop(done: int, total: int) -> None:
        seen.append(done)
        if len(seen) == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_effects(video, back, to, watch=stop)
    assert list(tmp_path.glob(".two*")) and not to.exists()
    assert render_effects(video, back, to, watch=stop) == 58 and seen[40] == 41
    assert not list(tmp_path.glob(".two*")) and not count_frames(to).has_audio


def test_what_a_chain_keeps_is_not_replaced_by_another_one_to_the_same_file(tmp_path: Path) -> None:
    video, to, asked = clips.write(tmp_path / "clip.mp4", clips.moving(12, SIZE)), tmp_path / "out.mp4", list[int]()

    def meanwhile(done: int, _: int) -> None:
        asked.append(done)
        if done == 1:
            with pytest.raises(MediaError, match=r"\.out-1\.mp4\" is written by another process"):
                render_effects(video, [Stabilise(), Reverse()], to)

    assert render_effects(video, [Reverse()], to, watch=meanwhile) == len(asked) == 12
    assert sorted(tmp_path.iterdir()) == [video, to]


def test_what_a_model_made_stays_so_and_is_not_marked_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "on")
    back = [Reverse()]
    made = save_clip(tmp_path / "made.mp4", seed=3, mark="its own")
    render_effects(made, back, tmp_path / "back.mp4")
    about = read_metadata(tmp_path / "back.mp4")
    assert (about["made_with"], about["model"], about["weights_sha256"]) == ("footage 0", "tiny", WEIGHTS)
    assert about["mark"] == "its own" and "seed" not in about
    real = save_clip(tmp_path / "real.mp4")
    render_effects(real, back, tmp_path / "real-back.mp4")
    assert not {"made_with", "mark"} & read_metadata(tmp_path / "real-back.mp4").keys()


def test_bad_chains_get_a_sentence(tmp_path: Path) -> None:
    video = clips.write(tmp_path / "clip.mp4", clips.moving(5, SIZE))
    for items, said in (
        ([], "is no chain"),
        ([{"kind": "revers"}], 'effect 1 is "revers".*did you mean "reverse"'),
        (["reverse", 3], "effect 1"),
        ([{"kind": "loop", "lest": 2}], 'has no "lest"'),
        ([{"kind": "loop", "least": 0.01}], "give 0.2 to 60"),
        ([{"kind": "speed", "ramp": [[0, 50]]}], "give speeds"),
        ([{"kind": "speed", "ramp": [[2, 1], [1, 1]]}], "give rising seconds"),
        ([{"kind": "reframe", "shape": "tall"}], "such as 9:16"),
        ([{"kind": "grade"}], "give a .cube file"),
    ):
        with pytest.raises(ConfigError, match=said):
            effects(video, chain=chain(tmp_path, *items), to=tmp_path / "out.mp4")
    (tmp_path / "chain.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_chain(tmp_path / "chain.json")
    (tmp_path / "chain.json").write_text('{"version": 9, "effects": [{"kind": "reverse"}]}')
    with pytest.raises(ConfigError, match="version 9"):
        read_chain(tmp_path / "chain.json")
    assert segments.SEGMENT_FRAMES == 96
