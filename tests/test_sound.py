"""Sound of files: in every form and at the right time; written; beside pictures."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from footage.errors import MediaError
from footage.media import sound as sounds
from footage.media.encode import write_clip
from footage.media.sound import (
    RATE,
    TRACK_RATE,
    Sound,
    as_stereo,
    channel_chunks,
    has_sound,
    read_sound,
    sound_chunks,
    write_sound,
)
from tests import clips
from tests.sounds import write

PICTURES = np.random.default_rng(0).integers(0, 255, (50, 32, 32, 3), np.uint8)
"""Two seconds."""


def pulses(times, seconds=2.0, rate=RATE, channels=1):
    """Short tones at some times, the same in all channels, over a faint hum."""
    t = np.arange(int(seconds * rate)) / rate
    wave = 0.01 * np.sin(2 * np.pi * 100 * t)
    for time in times:
        since = t - time
        wave += np.where((since >= 0) & (since < 0.02), 0.6 * np.sin(2 * np.pi * 1000 * since), 0)
    return np.tile(wave.astype(np.float32), (channels, 1))


def begins(samples, rate=RATE):
    """When tones begin, in seconds."""
    loud = np.abs(samples) > 0.15
    first = np.flatnonzero(
        loud & ~np.concatenate([[False], np.convolve(loud, np.ones(rate // 50))[: len(loud) - 1] > 0])
    )
    return first / rate


@pytest.mark.parametrize(
    ("rate", "layout", "codec", "ending"),
    [
        (8_000, "mono", "pcm_s16le", "wav"),
        (11_025, "stereo", "pcm_u8", "wav"),
        (22_050, "mono", "pcm_f32le", "wav"),
        (44_100, "stereo", "libmp3lame", "mp3"),
        (48_000, "stereo", "libopus", "ogg"),
        (48_000, "5.1", "flac", "flac"),
        (48_000, "stereo", "libopus", "webm"),
        (48_000, "7.1", "pcm_s24le", "mka"),
        (48_000, "mono", "aac", "m4a"),
        (96_000, "quad", "pcm_s32le", "wav"),
        (192_000, "stereo", "pcm_s24le", "wav"),
    ],
)
def test_every_rate_and_number_of_channels(tmp_path, rate, layout, codec, ending):
    count = av.AudioLayout(layout).nb_channels
    path = write(tmp_path / f"a.{ending}", pulses([0.5, 1.25], 2, rate, count), rate, codec=codec, layout=layout)
    sound = read_sound(path)
    assert sound is not None and sound.rate == RATE and sound.start == 0
    assert sound.samples.dtype == np.float32 and sound.seconds == pytest.approx(2, abs=0.06)
    assert np.allclose(begins(sound.samples), [0.5, 1.25], atol=0.003)
    assert 0.35 < np.abs(sound.samples).max() <= 1


def test_channels_are_mixed_to_their_mean(tmp_path):
    both = np.concatenate([pulses([0.5]), pulses([1.0])])
    sound = read_sound(write(tmp_path / "a.wav", both, layout="stereo"))
    assert sound is not None and np.allclose(sound.samples, both.mean(axis=0), atol=1e-3)


@pytest.mark.parametrize(
    ("ending", "codec"), [("mp4", "aac"), ("mkv", "aac"), ("mkv", "libopus"), ("mov", "pcm_s16le")]
)
@pytest.mark.parametrize(("start", "first"), [(0, 0), (Fraction(1, 2), 0), (0, Fraction(2, 5)), (5, 5)])
def test_sound_stands_at_the_time_of_the_pictures(tmp_path, ending, codec, start, first):
    path = write(
        tmp_path / f"a.{ending}",
        pulses([0.5, 1.25], 2, 48_000),
        48_000,
        codec=codec,
        start=Fraction(start),
        pictures=40,
        first=Fraction(first),
    )
    sound = read_sound(path)
    assert sound is not None
    times = np.array([0.5, 1.25]) + float(start) - float(first)
    assert np.allclose(begins(sound.samples), times, atol=0.004)
    if start > first:
        assert np.abs(sound.samples[: int(0.4 * RATE)]).max() == 0, "silence until it begins"


def test_a_gap_is_silent_and_what_follows_in_time(tmp_path):
    path = tmp_path / "a.mka"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for start in (0, 3):
            frame = av.AudioFrame.from_ndarray(pulses([0.25], 1), format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, start * RATE, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    samples = np.concatenate(list(sound_chunks(path)))
    assert np.allclose(begins(samples), [0.25, 3.25], atol=0.003) and len(samples) == pytest.approx(4 * RATE, abs=50)
    assert np.abs(samples[int(1.1 * RATE) : int(2.9 * RATE)]).max() == 0


def test_damaged_sound_keeps_its_time(tmp_path):
    path = write(tmp_path / "a.m4a", pulses([0.5, 3.5], 4, 44_100), 44_100, codec="aac")
    content = bytearray(path.read_bytes())
    content[len(content) // 3 : len(content) // 2] = bytes([255]) * (len(content) // 2 - len(content) // 3)
    path.write_bytes(bytes(content))
    found = begins(np.concatenate(list(sound_chunks(path))))
    assert abs(found[0] - 0.5) < 0.01 and abs(found[-1] - 3.5) < 0.05


def test_values_that_are_no_numbers_and_too_large_ones(tmp_path):
    wild = pulses([0.5])
    wild[0, 100:110], wild[0, 200:210], wild[0, 300] = np.nan, 7, -np.inf
    samples = np.concatenate(list(sound_chunks(write(tmp_path / "a.wav", wild, codec="pcm_f32le"))))
    assert np.isfinite(samples).all() and np.abs(samples).max() == 1 and samples[105] == 0


def test_what_has_no_sound_says_so(tmp_path):
    silent = clips.write(tmp_path / "a.mp4", clips.moving(10))
    assert not has_sound(silent) and read_sound(silent) is None
    with pytest.raises(MediaError, match=r'"a.mp4" has no sound: give a file with sound') as refused:
        next(sound_chunks(silent))
    assert ".wav" in refused.value.remedy
    (tmp_path / "a.txt").write_text("no sound at all")
    (tmp_path / "empty.wav").touch()
    for name in ("a.txt", "empty.wav", "missing.wav"):
        with pytest.raises(MediaError, match=f'no sound can be read from "{name}"'):
            read_sound(tmp_path / name)


def test_windows_of_sound():
    sound = Sound(np.arange(1, 11, dtype=np.float32), 10, 0.5)
    assert sound.seconds == 1
    assert sound.window(0.3, 4).tolist() == [0, 0, 1, 2]
    assert sound.window(1.3, 4).tolist() == [9, 10, 0, 0]
    assert sound.window(9, 3).tolist() == [0, 0, 0]


@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_what_is_written_is_read(tmp_path, ending):
    samples = pulses([0.5], 1)[0]
    path = tmp_path / f"a.{ending}"
    write_sound(path, np.split(samples, [100, 100, 5000]), RATE)
    sound = read_sound(path)
    assert sound is not None and len(sound.samples) == RATE and np.abs(sound.samples - samples).max() < 1e-4
    before = path.read_bytes()
    write_sound(path, [samples], RATE)
    assert path.read_bytes() == before


def test_sound_that_cannot_be_written(tmp_path):
    with pytest.raises(MediaError, match=r"a\.mp4"):
        write_sound(tmp_path / "a.mp4", [pulses([0.5])[0]], RATE)
    with pytest.raises(MediaError, match="no sound"):
        write_sound(tmp_path / "a.wav", [], RATE)
    assert not list(tmp_path.iterdir())


def stereo(samples):
    return as_stereo([samples[:1000], samples[1000:]], RATE)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov", "webm"])
@pytest.mark.parametrize("seconds", [2.0, 0.8, 3.5])
def test_sound_beside_pictures(tmp_path, ending, seconds):
    path = tmp_path / f"a.{ending}"
    write_clip(path, [PICTURES[:7], PICTURES[7:]], fps=25, metadata={}, sound=stereo(pulses([0.25, 1.5], seconds)[0]))
    with av.open(str(path)) as container:
        (stream,) = container.streams.audio
        assert stream.rate == TRACK_RATE and stream.channels == 2
        assert sum(1 for _ in container.decode(container.streams.video[0])) == 50
    samples = np.concatenate(list(sound_chunks(path)))
    assert np.allclose(begins(samples), [0.25, 1.5][: 2 if seconds > 1 else 1], atol=0.004)
    assert len(samples) / RATE == pytest.approx(2, abs=0.07), "as long as the pictures, but for what codecs fill up"


def test_the_sound_of_a_file_beside_pictures_is_the_same_each_time(tmp_path):
    song = write(tmp_path / "song.wav", pulses([0.25], 2, 44_100, 2), 44_100, layout="stereo")
    for name in ("a.mp4", "b.mp4"):
        write_clip(tmp_path / name, [PICTURES], fps=25, metadata={}, sound=channel_chunks(song, TRACK_RATE, "stereo"))
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize(
    ("name", "says"), [("a.gif", ".gif files hold no sound"), ("a", "a folder of pictures holds no")]
)
def test_formats_without_sound(tmp_path, name, says):
    with pytest.raises(MediaError, match=says):
        write_clip(tmp_path / name, [PICTURES], fps=25, metadata={}, sound=stereo(pulses([0.5])[0]))
    assert not list(tmp_path.iterdir())


def test_nothing_is_read_ahead(tmp_path):
    song = write(tmp_path / "song.wav", np.zeros((1, 600 * 8000), np.float32), 8000)
    chunks = sound_chunks(song)
    assert len(next(chunks)) < 10 * RATE
    chunks.close()
    assert sounds.RATE == RATE


@pytest.mark.parametrize("rate", [RATE, TRACK_RATE])
def test_mono_becomes_stereo_as_loud_as_it_was(tmp_path, rate):
    tone = 0.8 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)
    write_sound(tmp_path / "a.wav", [tone], rate)
    for made in (as_stereo([tone], rate), channel_chunks(tmp_path / "a.wav", TRACK_RATE, "stereo")):
        both = np.concatenate(list(made), axis=1)
        assert len(both) == 2 and np.array_equal(both[0], both[1])
        assert np.abs(both[:, 1000:-1000]).max() == pytest.approx(0.8, abs=0.01)
    write_clip(tmp_path / "a.mp4", [PICTURES], fps=25, metadata={}, sound=as_stereo([tone], rate))
    again = np.concatenate(list(sound_chunks(tmp_path / "a.mp4", TRACK_RATE)))
    assert np.abs(again[4000:40_000]).max() == pytest.approx(0.8, abs=0.03)
