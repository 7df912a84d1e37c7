"""The invisible mark: it is read after what platforms do to clips, and never where there is none."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from footage.commands.convert import upscale
from footage.commands.generate import generate
from footage.commands.trust import SAME, made_by, read_mark, verify
from footage.errors import ProvenanceError
from footage.generation.clip import Clip
from footage.media.encode import h264, read_metadata, write_clip
from footage.models.card import model_folder, read_info
from footage.trust import mark
from footage.trust.mark import BITS, FALSE_ALARM, GROUP, SWITCH, embed, marked, marked_frames, message_for, read

Frames = npt.NDArray[np.uint8]
MESSAGE = 0xC0FFEE17
MADE = {"made_with": "footage 0", "weights_sha256": f"{MESSAGE:08x}" + "0" * 56}


@pytest.fixture(autouse=True)
def marking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "on")


def scene(seed: int, frames: int = 24, height: int = 64, width: int = 64) -> Frames:
    """Draw a soft field of colours on which a disc and a square move."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 200, (5, 5, 3)).astype(np.uint8)
    field = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    rows, columns = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1)
    clip = np.repeat(field[None], frames, axis=0)
    for number, colour in enumerate(rng.integers(0, 256, (2, 3))):
        start, speed = rng.uniform(0.2, 0.8, 2), rng.normal(0, 0.01, 2)
        for time in range(frames):
            away = np.stack([rows - start[0] - speed[0] * time, columns - start[1] - speed[1] * time])
            inside = np.hypot(*away) < 0.15 if number else np.abs(away).max(axis=0) < 0.12
            clip[time][inside] = colour
    return clip


def put(clip: Frames, message: int = MESSAGE, chunk: int = 32) -> Frames:
    chunks = (clip[first : first + chunk] for first in range(0, len(clip), chunk))
    return np.concatenate(list(embed(chunks, message)))


def resized(clip: Frames, height: int, width: int) -> Frames:
    return np.stack(
        [np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BOX)) for frame in clip]
    )


@pytest.mark.parametrize("size", [(64, 64), (180, 320)])
def test_the_mark_is_invisible_and_says_what_it_was_told(size: tuple[int, int]) -> None:
    clip = scene(1, 20, *size)
    with_mark = put(clip)
    error = np.mean(np.square(with_mark.astype(float) - clip))
    assert 10 * np.log10(255**2 / error) >= 40
    reading = read([with_mark])
    assert reading.present and reading.message == MESSAGE and reading.false_alarm < FALSE_ALARM
    assert len(reading.confidence) == BITS and min(reading.confidence) > 0.5
    assert read([put(clip, 3)]).agreement(3) >= 31


ATTACKS: dict[str, Callable[[Frames], Frames]] = {
    "crf 30": lambda clip: h264(clip, 30),
    "half the size": lambda clip: resized(clip, 32, 32),
    "a crop": lambda clip: clip[:, 13:58, 6:51],
    "half the frames": lambda clip: clip[::2],
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_mark_outlives(attack: str) -> None:
    size = 160 if attack == "crf 30" else 64  # at 64×64, crf 30 leaves too little of some scenes
    known = [] if attack == "a crop" else [MESSAGE]
    reading = read([ATTACKS[attack](put(scene(2, 8, size, size)))], known)
    assert reading.present and reading.agreement(MESSAGE) >= 0.9 * BITS


def test_no_mark_is_found_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    reading = read([scene(3, 3)], [MESSAGE])
    assert not reading.present and reading.message is None and reading.agreement(MESSAGE) == 0
    assert read([np.zeros((1, 64, 64, 3), np.uint8)]).false_alarm == 1 and not read([]).present
    monkeypatch.setattr(mark, "LEAST_CROP", 62)  # crops that leave no place beside them
    assert not read([scene(3, 3)]).present


def test_the_false_alarm_rate_is_exact_for_any_clip() -> None:
    rng = np.random.default_rng(0)
    extracted = mark._extracted(scene(5, 4).astype(np.float32)).reshape(1, 8, 4, 8, 4, 16)
    flips = rng.choice(np.array([-1, 1], np.float32), (150, 8, 1, 8, 1, 16))  # another key is as likely as the one
    entries = np.concatenate([mark._entries_read(extracted * some) for some in flips[:, np.newaxis]])
    unknown, both = (
        np.array([mark._rate(some, messages) for some in entries])
        for messages in (np.empty((0, BITS)), np.ones((1, BITS)))
    )
    for level in (0.8, 0.5, 0.2, 0.05):
        spread = 3 * np.sqrt(level * (1 - level) / len(flips))
        assert abs(np.mean(unknown < level) - level) < spread and np.mean(both < level) < level + spread


def test_the_rate_is_what_counting_all_keys_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mark, "BITS", 3)
    entries = np.round(np.random.default_rng(1).normal(0, 2, (3, 4)), 0)
    keys = np.array(list(itertools.product((-1, 1), repeat=12))).reshape(-1, 3, 4)
    step, amplitude = mark.STEP, mark.AMPLITUDES[1]
    logs = np.rint(np.log(np.cosh(amplitude * np.abs((keys * entries).sum(axis=2)))) / step).sum(axis=1)
    found = np.rint(np.log(np.cosh(amplitude * np.abs(entries.sum(axis=1)))) / step).sum()
    assert mark._rate(entries, np.empty((0, 3))) == pytest.approx(np.mean(logs >= found))
    message = np.array([[1.0, -1.0, 1.0]])
    known = np.mean((keys * entries).sum(axis=2) @ message[0] >= message[0] @ entries.sum(axis=1))
    assert mark._rate(entries, message) == pytest.approx(2 * min(known, np.mean(logs >= found)))


def test_a_weak_mark_is_found_where_its_message_is_known() -> None:
    message = mark._bits(MESSAGE)[np.newaxis]
    signs = np.where(np.arange(32) < 19, 1.0, -1.0)  # of a bit's entries 19 are right, and 13 wrong
    entries = signs * message[0][:, np.newaxis]
    rates = [
        mark._rate(told, known) for told, known in ((entries, message[:0]), (entries, message), (-entries, message))
    ]
    assert rates[1] < FALSE_ALARM < 1e-3 < rates[0] < rates[2]


def test_how_a_clip_is_cut_into_chunks_changes_nothing() -> None:
    clip = scene(6, 2 * GROUP + 5)
    whole = put(clip, chunk=len(clip))
    assert np.array_equal(whole, put(clip, chunk=7)) and np.array_equal(whole, put(clip, chunk=1))
    assert np.array_equal(whole, np.stack(list(marked_frames(iter(clip), MESSAGE))))
    assert [frame is given for frame, given in zip(marked_frames(clip, None), clip, strict=True)]
    endless = embed(itertools.repeat(clip[:3]), MESSAGE)
    assert next(endless).shape == (3, 64, 64, 3)


def test_grey_black_and_deep_frames_are_marked_within_their_bounds() -> None:
    grey = scene(7)[..., :1]
    reading = read([put(grey)])
    assert put(grey).shape == grey.shape and reading.message == MESSAGE
    for level in (0, 255):
        flat = np.full((16, 64, 64, 3), level, np.uint8)
        assert np.abs(put(flat).astype(int) - level).max() <= mark.PEAK * mark.MOST_GAIN
    deep = scene(8).astype(np.uint16) * 257
    with_mark = np.concatenate(list(embed([deep], MESSAGE)))
    assert with_mark.dtype == np.uint16 and read([(with_mark // 257).astype(np.uint8)]).message == MESSAGE


def test_what_footage_made_is_marked_once_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert message_for(MADE) == MESSAGE and message_for({}) is None and message_for({**MADE, "mark": 1}) is None
    clip = scene(9, 4)
    write_clip(tmp_path / "made.mp4", [clip], fps=12, metadata=MADE)
    assert read_metadata(tmp_path / "made.mp4") == {**MADE, "mark": 1}
    assert read_mark(tmp_path / "made.mp4").message == MESSAGE
    write_clip(tmp_path / "filmed.mp4", [clip], fps=12, metadata={})
    Clip(lambda: iter([clip]), 4, 12, MADE).save(tmp_path / "off.mp4", mark=False)
    assert read_metadata(tmp_path / "filmed.mp4") == {} and read_metadata(tmp_path / "off.mp4") == MADE
    assert not read_mark(tmp_path / "filmed.mp4").present
    assert (tmp_path / "filmed.mp4").stat().st_size < (tmp_path / "made.mp4").stat().st_size
    Clip(lambda: iter([clip[:1]]), 1, 12, MADE).save(tmp_path / "picture.png")
    assert read_mark(tmp_path / "picture.png").message == MESSAGE
    monkeypatch.setenv(SWITCH, "off")
    chunks = [clip]
    assert marked(chunks, MADE) == (chunks, MADE)


def test_commands_mark_what_they_make_unless_told_not_to(tmp_path: Path) -> None:
    write_clip(tmp_path / "small.mp4", [resized(scene(4, 4), 16, 16)], fps=12, metadata={})
    message = mark.message_of(read_info(model_folder("upscale-x4-fast")).weights_sha256)
    for wanted in (True, False):
        large, made = tmp_path / f"large-{wanted}.mp4", tmp_path / f"made-{wanted}"
        upscale(Path("upscale-x4-fast"), tmp_path / "small.mp4", to=large, mark=wanted, quiet=True)
        generate(Path("stream-shapes"), made, count=1, frames=4, mark=wanted, quiet=True)
        for path in (large, *made.glob("*.mp4")):
            assert ("mark" in read_metadata(path)) is wanted
    assert read_mark(tmp_path / "large-True.mp4", [message]).message == message
    (marked_clip,), (plain,) = ((tmp_path / f"made-{wanted}").glob("*.mp4") for wanted in (True, False))
    assert read_mark(marked_clip).agreement(mark.message_of(str(read_metadata(plain)["weights_sha256"]))) == BITS


def test_verify_names_the_model_of_a_file_that_was_encoded_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("c2pa")
    path = tmp_path / "copied.mp4"
    write_clip(path, [put(scene(10, 4))], fps=12, metadata={})
    told = verify((path,), json=True)
    (line,) = json.loads(capsys.readouterr().out)
    assert line["state"] == "unsigned" and line["mark"]["message"] == MESSAGE and told.marks[path].present
    assert line["mark_text"] == f"made by footage, model {MESSAGE:08x}"


def test_weights_are_what_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(mark.__file__).with_name(mark.WEIGHTS)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == mark.WEIGHTS_SHA256 and path.stat().st_size < 1_000_000
    assert sum(value.size for value in mark._weights().values()) <= 300_000
    monkeypatch.setattr(mark, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(ProvenanceError, match="install footage anew"):
        mark._weights.__wrapped__()


def test_a_weak_mark_is_named_by_the_message_that_it_fits_and_bits_only_where_they_are_sure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def reading(message: int, strength: float, seed: int, known: tuple[int, ...]) -> mark.Reading:
        """Read entries that are drawn: signs of a message, of some strength, in noise."""
        drawn = np.random.default_rng(seed).standard_normal((BITS, BITS)) + strength * mark._bits(message)[:, None]
        entries = (drawn / np.sqrt(np.mean(drawn**2)))[None].astype(np.float32)
        nothing = mark.Cropped(-9.0, (50, 0.0, 0.0), np.zeros_like(entries))
        monkeypatch.setattr(mark, "_extracted", lambda frames: frames)
        monkeypatch.setattr(mark, "_entries_read", lambda extracted: entries)
        monkeypatch.setattr(mark, "_cropped", lambda *_: nothing)
        return read([np.zeros((1, 64, 64, 3), np.uint8)], known)

    weak = [one for seed in range(12) if (one := reading(MESSAGE, 0.165, seed, (5, MESSAGE))).present]
    assert len(weak) > 4 and min(one.agreement(MESSAGE) for one in weak) < SAME
    assert {one.known for one in weak} == {MESSAGE} and not any(one.legible for one in weak)
    assert {made_by(one, {5: "other", MESSAGE: "this"}) for one in weak} == {"this"}
    alike = reading(MESSAGE ^ 0b111111, 1.5, 0, (MESSAGE,))  # shares 26 bits, and is another model's
    assert alike.present and alike.legible and alike.known is None and made_by(alike, {MESSAGE: "this"}) == ""
    assert not reading(MESSAGE, 0.35, 0, ()).legible
