"""The sound of data sets: kept at the times of the frames, beside the shards, through every kind of ingest."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest

from footage.data.audit import Audit
from footage.data.ingest.shards import load_state, save_state
from footage.data.store import JPEG_SCHEMA, RAW_SCHEMA, SOUND_SCHEMA, Dataset, content_hash
from footage.errors import DatasetError
from footage.media.encode import write_clip
from footage.media.sound import RATE, as_stereo, read_sound
from tests import clips
from tests.ingesting import ingest
from tests.sounds import RATE as SONG_RATE


def spoken(path: Path, frames: int = 40, seed: int = 0, loud: float = 0.5, fps: int = 25) -> Path:
    """A video whose sound has a pulse, as high as its number, in the middle of each tenth frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    t = np.arange(int(frames / fps * SONG_RATE)) / SONG_RATE
    wave = np.zeros(len(t))
    for number in range(0, frames, 10):
        since = t - (number + 0.5) / fps
        wave += np.where((since >= 0) & (since < 0.01), loud * np.sin(2 * np.pi * 1500 * since), 0)
    pictures = np.stack(clips.moving(frames, (32, 32), seed))
    write_clip(path, [pictures], fps=fps, metadata={}, sound=as_stereo([wave.astype(np.float32)], SONG_RATE))
    return path


def pulses(dataset: Dataset, row, start=0, frames=None) -> list[float]:
    """In which frames of a window pulses begin."""
    sound = dataset.sound(row, start, frames)
    assert sound is not None and sound.rate == RATE and sound.start == start / dataset.info.fps
    loud = np.flatnonzero(np.abs(sound.samples) > 0.12)
    first = loud[np.concatenate([[True], np.diff(loud) > RATE // 50])]
    return (first / RATE * dataset.info.fps).tolist()


@pytest.mark.parametrize("coding", ["raw", "jpeg"])
def test_sound_stands_beside_its_frames(tmp_path, coding):
    spoken(tmp_path / "in" / "a.mp4"), spoken(tmp_path / "in" / "b.webm", 60, 1)
    clips.write(tmp_path / "in" / "c.mp4", clips.moving(40, (32, 32), 2))
    data = ingest([tmp_path / "in"], tmp_path / "data", height=32, width=32, coding=coding, workers=0).dataset
    assert data.info.schema == SOUND_SCHEMA and data.info.sound_rate == RATE
    assert [row.sound for row in data.rows] == [True, True, False]
    for row in data.rows[:2]:
        assert np.allclose(pulses(data, row), np.arange(0, row.frames, 10) + 0.5, atol=0.15)
        assert np.allclose(pulses(data, row, 7, 16), [3.5, 13.5], atol=0.15)
        lengths = {len(data.sound(row, start, 16).samples) for start in range(row.frames - 16)}
        assert lengths == {round(16 / 25 * RATE)}, "windows of as many frames have as many samples"
    assert data.sound(data.rows[2]) is None
    assert dict(Audit(data).summary)["sound"] == "2 of 3 clips"
    with pytest.raises(DatasetError, match="of a clip of 40 frames"):
        data.sound(data.rows[0], 30, 20)


def test_data_sets_without_sound_are_as_they_were(tmp_path):
    clips.write(tmp_path / "in" / "a.mp4", clips.moving(40, (32, 32), 2))
    spoken(tmp_path / "silent" / "b.mp4", 40, 3, loud=0)
    for name, options in (("in", {}), ("silent", {}), ("silent", {"coding": "jpeg"})):
        to = tmp_path / f"{name}-data-{len(options)}"
        data = ingest([tmp_path / name], to, height=32, width=32, workers=0, **options).dataset
        assert data.info.schema == (JPEG_SCHEMA if options else RAW_SCHEMA)
        assert "sound" not in dict(Audit(data).summary)
        assert not list(to.glob("*sound*")) and data.sound(data.rows[0]) is None
        assert "sound_rate" not in json.loads((to / "dataset.json").read_text())
        assert "sound" not in json.loads((to / "clips.jsonl").read_text().splitlines()[0])


@pytest.mark.parametrize("coding", ["raw", "jpeg"])
def test_the_hash_of_a_data_set_is_of_its_sound_too(tmp_path, coding):
    for name, loud in (("a", 0.5), ("b", 0.5), ("c", 0.3), ("d", 0)):
        spoken(tmp_path / name / "x" / "one.mkv", 60, 4, loud=loud)
    options = {"height": 32, "width": 32, "coding": coding, "workers": 0}
    found = {name: ingest([tmp_path / name / "x"], tmp_path / f"{name}-data", **options).dataset for name in "abcd"}
    found["left out"] = ingest([tmp_path / "a" / "x"], tmp_path / "silent-data", sound=False, **options).dataset
    digests = {name: [row.digest for row in data.rows] for name, data in found.items()}
    assert all(rows == digests["a"] for rows in digests.values()), "all show the same"
    hashes = {name: data.info.content_hash for name, data in found.items()}
    assert hashes["a"] == hashes["b"] and hashes["d"] == hashes["left out"]
    assert len({hashes["a"], hashes["c"], hashes["d"]}) == 3
    assert hashes["d"] == content_hash(found["d"].rows, found["d"].info.quality), "without sound it is as it was"
    state = load_state(tmp_path / "a-data" / "ingest" / "state.npz")
    (source,) = state.sources.values()
    assert [len(clip.heard) for clip in source.record.clips] == [64] * len(found["a"].rows)
    again = ingest([tmp_path / "a" / "x"], tmp_path / "a-data", **options)
    assert again.reused == 1 and again.dataset.info.content_hash == hashes["a"]


def test_a_data_set_of_a_program_that_did_not_hash_sound_keeps_its_hash(tmp_path):
    from footage.config import IngestConfig
    from footage.data.ingest.shards import DecodeOptions

    spoken(tmp_path / "in" / "a.mp4")
    options, to = {"height": 32, "width": 32, "workers": 0}, tmp_path / "data"
    new = ingest([tmp_path / "in"], to, **options).dataset
    state, old = load_state(to / "ingest" / "state.npz"), content_hash(new.rows)
    for source in state.sources.values():
        for clip in source.record.clips:
            clip.heard = ""
    save_state(to / "ingest" / "state.npz", state, DecodeOptions.of(IngestConfig(height=32, width=32), 25.0, "raw"))
    again = ingest([tmp_path / "in"], to, **options)
    assert again.reused == 1 and again.dataset.info.content_hash == old != new.info.content_hash


def test_sound_can_be_left_out(tmp_path):
    source = spoken(tmp_path / "in" / "a.mp4")
    data = ingest([source], tmp_path / "data", height=32, width=32, workers=0, sound=False).dataset
    assert data.info.schema == RAW_SCHEMA and not list((tmp_path / "data").glob("*sound*"))


@pytest.mark.parametrize(("frames", "heard"), [(60, 30), (30, 60)])
def test_sound_that_is_shorter_or_longer_than_its_pictures(tmp_path, frames, heard):
    """The sound is cut at the end of the pictures, or followed by silence."""
    wave = read_sound(spoken(tmp_path / "sound.mp4", heard)).samples
    pictures = clips.write(tmp_path / "pictures.mp4", clips.moving(frames, (32, 32), 5))
    (tmp_path / "in").mkdir()
    with av.open(str(pictures)) as source, av.open(str(tmp_path / "in" / "a.mov"), "w") as out:
        video = out.add_stream_from_template(source.streams.video[0])
        audio = out.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = video
                out.mux(packet)
        frame = av.AudioFrame.from_ndarray((32_767 * wave[None]).astype(np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        for packet in [*audio.encode(frame), *audio.encode()]:
            out.mux(packet)
    data = ingest([tmp_path / "in"], tmp_path / "data", height=32, width=32, workers=0).dataset
    (row,) = data.rows
    assert row.frames == frames and row.sound
    expected = np.arange(0, min(frames, heard), 10) + 0.5
    assert np.allclose(pulses(data, row), expected, atol=0.2)
    silent = data.sound(row).samples[round(heard / 25 * RATE) + RATE // 10 :]
    assert not (np.abs(silent) > 1e-3).any()


def test_sound_goes_with_its_clip_when_sources_come_and_go(tmp_path):
    folder, to = tmp_path / "in", tmp_path / "data"
    for number in range(3):
        spoken(folder / f"{number}.mp4", 40 + 10 * number, number, loud=0.3 + 0.1 * number)
    ingest([folder], to, height=32, width=32, workers=0)
    (folder / "0.mp4").unlink()
    spoken(folder / "3.mp4", 50, 3)
    again = ingest([folder], to, height=32, width=32, workers=0)
    assert again.reused == 2 and [row.sound for row in again.dataset.rows] == [True] * 3
    for row in again.dataset.rows:
        assert np.allclose(pulses(again.dataset, row), np.arange(0, row.frames, 10) + 0.5, atol=0.15)
    tracks = {path.name for path in to.glob("*.sound.npy")}
    assert tracks == {f"{Path(row.shard).stem}.sound.npy" for row in again.dataset.rows}
    assert {name for name in json.loads((to / "files.json").read_text())["files"] if "sound" in name} == tracks


def test_what_an_older_program_left_out_is_heard_at_the_next_ingest(tmp_path):
    from footage.config import IngestConfig
    from footage.data.ingest.shards import DecodeOptions

    folder, to = tmp_path / "in", tmp_path / "data"
    spoken(folder / "a.mp4"), clips.write(folder / "b.mp4", clips.moving(40, (32, 32), 2))
    ingest([folder], to, height=32, width=32, workers=0, sound=False)
    options = DecodeOptions.of(IngestConfig(height=32, width=32), 25.0, "raw")
    ingest([folder], to, height=32, width=32, workers=0)
    state = load_state(to / "ingest" / "state.npz")
    for source in state.sources.values():
        source.record.samples = None
    save_state(to / "ingest" / "state.npz", state, options)
    again = ingest([folder], to, height=32, width=32, workers=0)
    assert again.decoded == 1 and again.dataset.rows[0].sound
    next(to.glob("*.sound.npy")).unlink()
    mended = ingest([folder], to, height=32, width=32, workers=0)
    assert mended.decoded == 1 and mended.dataset.sound(mended.dataset.rows[0]).samples.any()


def test_damaged_sound_of_a_data_set(tmp_path):
    spoken(tmp_path / "in" / "a.mp4")
    data = ingest([tmp_path / "in"], tmp_path / "data", height=32, width=32, workers=0).dataset
    (track,) = (tmp_path / "data").glob("*.sound.npy")
    np.save(track, np.zeros(100, np.int16))
    with pytest.raises(DatasetError, match="ends early"):
        Dataset(data.folder).sound(data.rows[0])
    track.write_bytes(b"no array")
    with pytest.raises(DatasetError, match="cannot be read"):
        Dataset(data.folder).sound(data.rows[0])


def test_times_of_frames_that_vary_and_a_pause(tmp_path):
    """Frames stand still for 12 s, which is left out, and their sound with it."""
    path, fps = tmp_path / "in" / "a.mkv", 25
    path.parent.mkdir()
    moving = clips.moving(60, (32, 32), 0)
    times = [n / fps for n in range(30)] + [12 + n / fps for n in range(30, 60)]
    t = np.arange(15 * 48_000) / 48_000
    wave = np.zeros((1, len(t)), np.float32)
    for time in (10.5 / fps, 6.0, 12 + 40.5 / fps):
        wave[0] += np.where((t >= time) & (t < time + 0.01), 0.5 * np.sin(2 * np.pi * 1500 * (t - time)), 0)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=fps, options={"crf": "16"})
        video.height = video.width = 32
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("pcm_s16le", rate=48_000, layout="mono")
        from fractions import Fraction

        video.codec_context.time_base = Fraction(1, 1000)
        for pixels, time in zip(moving, times, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(video.encode(frame))
        frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
        container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
        container.mux(video.encode(None))
    data = ingest([path.parent], tmp_path / "data", height=32, width=32, fps=25, cuts=False, workers=0).dataset
    (row,) = data.rows
    found = pulses(data, row)
    assert len(found) == 2 and abs(found[0] - 10.5) < 0.2
    shown = np.abs(data.read(row).astype(int) - moving[40]).mean(axis=(1, 2, 3)).argmin()
    assert row.frames == 60 and abs(found[1] - 40.5) < 0.2 and abs(int(shown) - 40) <= 1
