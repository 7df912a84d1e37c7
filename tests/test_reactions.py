"""Videos that follow sound: what is asked for, how time follows the beat, and what comes of it in every generator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from footage.errors import ConfigError, FootageError, MediaError
from footage.generation.model import Model
from footage.media.sound import RATE, read_sound, write_sound
from footage.media.sound_features import CURVES, SoundFeatures, analyse
from footage.models.reactions import (
    MOVES,
    SOURCES,
    Link,
    Reaction,
    mixed,
    reaction_to,
    read_links,
    told_tempo,
    write_reaction_page,
)
from footage.models.requests import GenerateRequest, TimeMapping, Timing
from tests.models import save_tiny_model
from tests.sounds import play, write
from tests.streams import save_tiny_stream
from tests.test_cli import run


def steady(bpm: float = 120.0, seconds: float = 12.0, first: float = 0.0, **levels: float) -> SoundFeatures:
    """What is heard in music whose beats are known exactly, with an A all the time, and levels that stay."""
    rows = int(seconds * 100)
    chroma = np.zeros((rows // 4, 12), np.float32)
    chroma[:, 9] = 1
    beats = np.arange(first, seconds, 60 / bpm)
    features = SoundFeatures(
        seconds, 100.0, np.zeros((rows, len(CURVES)), np.float32), chroma, beats, bpm, beats, 0.5, 0.0
    )
    known = {name: np.full(rows, levels.get(name, 0.5)) for name in CURVES}
    features.__dict__["_scaled"] = known
    return features


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "song.wav"
    write_sound(path, [play("rock", 120, 4, pad=0.1).samples], RATE)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return save_tiny_stream(tmp_path_factory.mktemp("stream"), labels=("walk", "run"))


def test_what_follows_what_is_read() -> None:
    assert read_links(" kick:strength , loudness:slider-3=1.5，beat:motion-seed=2") == (
        Link("kick", "strength", 1.0),
        Link("loudness", "slider-3", 1.5),
        Link("beat", "motion-seed", 2.0),
    )
    assert read_links("") == () and read_links("chroma:content")[0].slider == 0
    for source in SOURCES:
        names = {"beat": ["motion-seed"], "chroma": ["content"]}.get(source, ["strength", "drift", "slider-1"])
        assert all(read_links(f"{source}:{name}") for name in names)
    assert len(MOVES) == 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kick", 'react has "kick": give HEARD:MOVED'),
        ("kick:strength=x", "give HEARD:MOVED"),
        ("kick:strength=-1", "give HEARD:MOVED"),
        ("bass:strength", '"bass" is not heard: did you mean|"bass" is not heard: known are'),
        ("kick:strenght", '"strenght" is not moved: did you mean "strength"'),
        ("kick:slider", '"slider" is not moved'),
        ("kick:strength-2", '"strength-2" is not moved'),
        ("beat:strength", "beat moves motion-seed"),
        ("kick:content", "kick moves strength, drift, slider-1"),
        ("kick:strength,onset:strength", "strength is moved twice"),
        ("chroma:content,kick:drift", "content follows chroma, or drifts"),
        ("kick:slider-1=9", "give at most 5"),
    ],
)
def test_what_cannot_follow(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_links(text)


@pytest.mark.parametrize("lock", [0.5, 1.0, 2.0])
def test_motion_is_fastest_on_the_beat_and_as_fast_as_ever_in_the_mean(lock: float) -> None:
    reaction = Reaction(steady(90, first=0.25), (), 100.0, lock)
    gone = reaction.seconds(np.arange(0, 1001))
    speed = np.diff(gone) * 100
    assert gone[0] == 0 and (speed >= -1e-9).all() and abs(gone[-1] - 10) < 30 / 90 / lock
    beats = np.arange(0.25, 9, 60 / 90 / lock)
    near = (np.abs(beats[:, None] - (np.arange(1000) + 0.5) / 100) < 0.006).any(axis=0)
    between = (np.abs(beats[:-1, None] + 30 / 90 / lock - (np.arange(1000) + 0.5) / 100) < 0.03).any(axis=0)
    accents = min(0.6, 0.4 / (60 / 90 / lock))  # the part of motion that is in them
    assert speed[near].min() > 5 * accents and np.allclose(speed[between], 1 - accents, atol=0.02)
    even = Reaction(steady(90), (), 100.0, 0.0).seconds(np.arange(5))
    assert np.allclose(even, np.arange(5) / 100)
    assert (np.diff(reaction.picked(np.arange(1000))) >= 0).all()


@pytest.mark.parametrize(("lock", "first"), [(1.0, 0.1), (0.5, 0.337), (2.0, 0.02)])
def test_motion_on_a_beat_is_seen_in_one_frame(lock: float, first: float) -> None:
    """Wherever a beat lies between two frames, most of the motion is in that change, and far less beside it."""
    bpm, fps = 97.0, 25.0
    heard = steady(bpm, first=first)
    gone = Reaction(heard, (), fps, lock).seconds(np.arange(0, 251))
    moved = np.diff(gone) * fps
    beats = heard.time_of(np.arange(-2, 40) / lock)
    beats = beats[(beats > 0.2) & (beats < 9.8)]
    changes = np.floor(beats * fps).astype(int)
    assert len(beats) > 5 and (moved[changes] > 4 * np.maximum(moved[changes - 1], moved[changes + 1])).all()
    assert (moved > 0).all()
    few = Reaction(heard, (), 5.0, lock).seconds(np.arange(0, 51))  # too few frames: as it is
    assert (np.diff(few) > 0).all() and few[-1] == pytest.approx(10, abs=0.6)


@pytest.mark.parametrize("part", [0.04, 0.1, 0.5, 0.96])
def test_strength_and_harmony_change_where_motion_is_fastest(part: float) -> None:
    """Beats of 120 a minute lie a part of a frame behind one, at 30 a second; chords change on every other one."""
    fps, first = 30.0, (6 + part) / 30
    track = play("four", 120, 8, pad=0.12)
    silence = np.zeros(round((first - track.beats[0] % 0.5) * RATE) % (RATE // 2), np.float32)
    heard = analyse([np.concatenate([silence, track.samples])])
    reaction = Reaction(heard, read_links("kick:strength,chroma:content"), fps)
    numbers = np.arange(0, int(7 * fps))
    tones = reaction.tones(numbers)
    assert tones is not None
    changes = np.floor(heard.beats[1:-3] * fps + 1e-9).astype(int)
    changes = changes[(changes > 3) & (changes < len(numbers) - 10)]
    assert len(changes) > 8
    for change in changes.tolist():
        near = slice(change - 3, change + 4)
        for curve in (np.diff(reaction.seconds(numbers)), np.diff(reaction.strength(numbers))):
            assert curve[near].argmax() == 3 and curve[change] > 3 * np.abs(np.delete(curve[near], 3)).max()
    moved = np.abs(np.diff(tones, axis=0)).sum(axis=1)
    assert set(np.flatnonzero(moved > 1e-9).tolist()) <= {*np.floor(heard.beats * fps).astype(int).tolist()}


def test_loops_close_on_bars(model: Model) -> None:
    """At 120 beats a minute and 12.5 frames a second a bar is 25 frames."""
    reaction = Reaction(steady(120), (), 12.5)
    mapping = reaction.adapted(TimeMapping(loop=30.0))
    assert reaction.bars(TimeMapping(loop=30.0)) == 1 and mapping.loop == pytest.approx(25)
    assert reaction.bars(TimeMapping(loop=44.0)) == 2
    assert reaction.adapted(mapping).loop == pytest.approx(25), "again it is the same"
    from footage.generation.rollout import one_video
    from footage.models.requests import VideoRequest

    video = VideoRequest(0, (1.0, 0.0), time=mapping, react=reaction)
    frames = np.concatenate(list(one_video(model.generator, video, 60))).astype(int)
    assert np.abs(frames[:25] - frames[25:50]).max() <= 1 and np.abs(frames[0] - frames[12]).max() > 1


def test_motions_change_with_bars() -> None:
    reaction = Reaction(steady(120, first=1.0), read_links("beat:motion-seed"), 100.0)
    number, become = reaction.motions(np.arange(1000))  # type: ignore[misc]
    assert number[0] == 0 and become[0] == 1, "it begins with the seed's own motion"
    assert number[300] == number[305] == 2 or number[300] == 2  # bars begin at 1, 3, 5 s
    changing = np.flatnonzero((become > 0) & (become < 1)) / 100
    assert np.allclose(changing % 2, 1, atol=0.07), "half of an eighth of a second around each bar"
    every_other = Reaction(steady(120), read_links("beat:motion-seed=2"), 100.0).motions(np.arange(1000))
    assert len(np.unique(every_other[0])) in (2, 3)  # type: ignore[index]


def test_levels_move_strength_drift_and_sliders() -> None:
    numbers = np.arange(0, 100)
    for level in (0.0, 0.5, 1.0):
        heard = steady(brightness=level, loudness=level)
        links = read_links("loudness:strength,brightness:drift=0.5,loudness:slider-3")
        reaction = Reaction(heard, links, 25.0)
        assert np.allclose(reaction.strength(numbers), 0.5 + level)
        assert np.allclose(reaction.drifted(numbers), level * numbers / 25, atol=1e-6)
        assert np.allclose(reaction.sliders(numbers)[3], 2 * (2 * level - 1))
    late = np.array([1000, 1001])
    assert np.diff(reaction.drifted(late))[0] == pytest.approx(1 / 25), "behind the sound it goes on"
    assert reaction.pace(np.array([0]), np.array([8])) == pytest.approx(1.5)
    assert Reaction(steady(), read_links("beat:motion-seed"), 25.0).pace(np.array([40]), np.array([80])) == np.inf


def test_mixtures_are_as_codes_are_and_do_not_depend_on_what_else_is_mixed() -> None:
    rng = np.random.default_rng(0)
    anchors, own = rng.standard_normal((12, 500)), rng.standard_normal(500)
    tones = np.abs(rng.standard_normal((7, 12)))
    tones /= np.linalg.norm(tones, axis=1, keepdims=True)
    tones[3] = 0
    codes = mixed(tones, anchors, own)
    assert np.allclose(codes.std(axis=1), 1, atol=0.12) and np.array_equal(codes[3], own)
    assert np.array_equal(mixed(tones[2:5], anchors, own), codes[2:5])


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"react": "kick:strength"}, 'react is "kick:strength", and no audio is given: give audio, too'),
        ({"bpm_lock": "1"}, 'bpm_lock is "1", and no audio'),
        ({"audio": "missing.wav"}, '"missing.wav" cannot be read'),
        ({"audio": "SONG", "bpm_lock": "3"}, 'bpm_lock is "3": give 1/2, 1, 2, off'),
        ({"audio": "SONG", "react": "kick:slider-999"}, 'slider "999"'),
        ({"audio": "SONG", "between": (1, 2)}, "between"),
        ({"audio": "SONG", "timing": Timing(loop="4s"), "react": "beat:motion-seed"}, "a loop has one motion"),
        ({"audio": "SONG", "timing": Timing(loop="4s"), "react": "kick:drift"}, "a loop comes back"),
        ({"audio": "SONG", "timing": Timing(drift="4s")}, "content follows chroma, or drifts"),
        ({"audio": "SONG", "to_seed": 3}, "content follows chroma, or changes"),
        ({"audio": "HUM", "react": "beat:motion-seed"}, 'no beat was found in "hum.wav", and beat:motion-seed needs'),
        ({"audio": "HUM", "bpm_lock": "2"}, "bpm_lock needs one"),
        ({"audio": "SILENCE"}, '"silence.wav" is silent: give sound that can be heard'),
        ({"audio": "PICTURES"}, '"pictures.mp4" has no sound: give a file with sound'),
        ({"audio": "TEXT"}, 'no sound can be read from "text.wav"'),
    ],
)
def test_bad_requests_say_what_to_do(model: Model, song: Path, tmp_path: Path, request_, said: str) -> None:
    from tests import clips

    files = {name: tmp_path / f"{name.lower()}.wav" for name in ("HUM", "SILENCE", "TEXT")}
    wanted = request_.get("audio")
    if wanted == "HUM":
        write_sound(files["HUM"], [(0.4 * np.sin(np.arange(4 * RATE) / 20)).astype(np.float32)], RATE)
    elif wanted == "SILENCE":
        write_sound(files["SILENCE"], [np.zeros(RATE, np.float32)], RATE)
    elif wanted == "TEXT":
        files["TEXT"].write_text("no sound")
    elif wanted == "PICTURES":
        files["PICTURES"] = clips.write(tmp_path / "pictures.mp4", clips.moving(5))
    files["SONG"] = song
    asked = dict(request_)
    if wanted in files:
        asked["audio"] = str(files[wanted])
    with pytest.raises(FootageError, match=said):
        next(model.generate(**asked))


def test_a_clip_is_as_long_as_its_sound(model: Model, song: Path) -> None:
    def frames(**asked) -> int:
        return GenerateRequest(audio=str(song), **asked).length(model.info)

    assert frames() == 50 and frames(fps=25) == 100 and frames(timing=Timing(loop="2s"), react="") == 50
    assert frames(seconds="2s") == 25 and frames(frames=7) == 7 and frames(seconds=10) == 125


def test_what_is_told_of_sound(model: Model, tmp_path: Path) -> None:
    clipped, hum = tmp_path / "clipped.wav", tmp_path / "hum.wav"
    write_sound(clipped, [np.clip(8 * play("rock", 120, 3).samples, -1, 1)], RATE)
    write_sound(hum, [(0.4 * np.sin(np.arange(3 * RATE) / 20)).astype(np.float32)], RATE)
    told: list[str] = []
    model.clips(GenerateRequest(audio=str(clipped)), told.append)
    assert len(told) == 1 and "% of the sound is clipped" in told[0]
    told.clear()
    model.clips(GenerateRequest(audio=str(hum)), told.append)
    assert told == ["no beat was found in the sound: time runs evenly"]


REACT = "kick:strength,onset:slider-1,chroma:content,beat:motion-seed"


def test_a_stream_with_sound_is_the_same_in_any_chunks_and_again(model: Model, song: Path) -> None:
    reaction = reaction_to(song, REACT, None, 12.5)
    from footage.models.requests import VideoRequest

    video = VideoRequest(3, (1.0, 0.0), time=reaction.adapted(TimeMapping()), react=reaction)

    def frames(chunk: int) -> np.ndarray:
        made, parts = 0, []
        for part in model.generator.segments([video], chunk):  # type: ignore[call-arg]
            parts.append(part.numpy())
            made += chunk
            if made >= 50:
                return np.concatenate(parts, axis=2)[:, :, :50]
        raise AssertionError

    assert np.abs(frames(7) - frames(50)).max() < 1e-4
    (clip,) = model.generate(1, seed=3, label="walk", audio=str(song), react=REACT)
    (again,) = model.generate(1, seed=3, label="walk", audio=str(song), react=REACT)
    (other,) = model.generate(1, seed=3, label="walk", audio=str(song), react="")
    assert np.array_equal(clip.array(), again.array()) and not np.array_equal(clip.array(), other.array())
    assert clip.metadata["audio"] == "song.wav" and clip.metadata["react"] == REACT


@pytest.mark.parametrize(
    "preset", ["conv3d-32", "recurrent-32", "mlp-32", "vae-latent-64", "diffusion-32", "vae-64", "stream-64-shots"]
)
def test_every_generator_follows_sound(preset: str, song: Path, tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "model", preset=preset)
    model = Model(tmp_path / "model")
    react = "kick:strength,chroma:content" + (",onset:slider-1" if model.generator.sliders else "")
    react += ",beat:motion-seed" if preset != "stream-64-shots" else ""
    (clip,) = model.generate(1, audio=str(song), react=react, frames=30)
    made = clip.array()
    assert len(made) == 30 and np.array_equal(made, clip.array())
    (even,) = model.generate(1, audio=str(song), react="", bpm_lock="off", frames=30)
    assert not np.array_equal(made, even.array())
    path = clip.save(tmp_path / "clip.mp4")
    sound = read_sound(path)
    assert sound is not None and np.abs(sound.samples).max() > 0.2


def test_generate_writes_the_sound_beside_the_pictures(model: Model, song: Path, tmp_path: Path) -> None:
    to = tmp_path / "clips"
    words = ("--to", str(to), "--count", "1", "--audio", str(song), "--react", "kick:strength", "--bpm-lock", "1/2")
    assert run("generate", str(model.folder), *words) == 0
    (path,) = to.glob("*.mp4")
    with av.open(str(path)) as container:
        assert len(container.streams.audio) == 1
        assert sum(1 for _ in container.decode(container.streams.video[0])) == 50
    made, original = read_sound(path), read_sound(song)
    assert made is not None and original is not None
    count = len(original.samples) - 2000
    assert np.corrcoef(made.samples[:count], original.samples[:count])[0, 1] > 0.95, "in time to the sample"


@pytest.mark.parametrize(("rate", "layout", "channels"), [(8_000, "mono", 1), (192_000, "7.1", 8), (44_100, "5.1", 6)])
def test_sound_of_any_rate_and_channels_is_followed_and_heard(
    model: Model, tmp_path: Path, rate: int, layout: str, channels: int
) -> None:
    track = play("march", 120, 3, rate=rate)
    song = write(tmp_path / "song.wav", np.tile(track.samples, (channels, 1)), rate, layout=layout)
    reaction = reaction_to(song, None, None, 25.0)
    assert reaction.heard.tempo == pytest.approx(120, abs=1)
    assert np.abs(reaction.heard.beats[:4, None] - track.beats).min(axis=1).max() < 0.03
    (clip,) = model.generate(1, audio=str(song), react="kick:strength")
    made = read_sound(clip.save(tmp_path / "clip.mp4"))
    assert clip.frames == round(3 * 12.5) and made is not None and np.abs(made.samples).max() > 0.2


@pytest.mark.parametrize("seconds", [1.2, 6.0])
def test_a_video_may_be_shorter_or_longer_than_its_sound(
    model: Model, song: Path, tmp_path: Path, seconds: float
) -> None:
    (clip,) = model.generate(1, audio=str(song), seconds=seconds, react="kick:strength")
    assert clip.frames == round(seconds * 12.5) and len(clip.array()) == clip.frames
    made = read_sound(clip.save(tmp_path / "clip.mp4"))
    assert made is not None and len(made.samples) / RATE == pytest.approx(seconds, abs=0.1)
    behind = made.samples[round(4.1 * RATE) :]
    assert np.abs(made.samples[:RATE]).max() > 0.2 and not (np.abs(behind) > 0.01).any(), "behind it is silence"


def test_formats_without_sound_are_refused_before_work(model: Model, song: Path, tmp_path: Path, capsys) -> None:
    words = ("--to", str(tmp_path / "c"), "--audio", str(song), "--format", "gif")
    assert run("generate", str(model.folder), *words) == 2
    said = capsys.readouterr()
    assert ".gif files hold no sound: give one of .mp4" in " ".join((said.out + said.err).split())
    with pytest.raises(MediaError, match="hold no sound"):
        next(model.generate(1, audio=str(song))).save(tmp_path / "a.gif")
    assert replace(next(model.generate(1, audio=str(song), frames=2)), sound=None).save(tmp_path / "b.gif").exists()


def test_a_page_shows_what_is_heard_before_anything_is_made(song: Path, tmp_path: Path, capsys) -> None:
    to = tmp_path / "page.html"
    react = "kick:strength,loudness:slider-3=1.5,beat:motion-seed=2,brightness:drift"
    assert run("react", str(song), "--to", str(to), "--react", react, "--bpm-lock", "2") == 0
    said = capsys.readouterr().out
    assert "120.0 beats a minute" in said
    page = to.read_text(encoding="utf-8")
    for text in ("another motion every 2 bars", "from -1.5 to 1.5 deviations", "fastest twice a beat", "song.wav"):
        assert text in page, text
    assert page.count('class="bar"') >= 4 and page.count("<polyline") >= 5 and "<script" not in page
    assert run("react", str(song), "--to", str(tmp_path / "page.txt")) == 2
    assert run("react", str(song), "--to", str(to), "--fps", "0") == 2


def test_a_tempo_that_changes_is_told() -> None:
    assert told_tempo(steady(120)) == "120.0 beats a minute"
    beats = np.concatenate([np.arange(0, 6, 0.6), np.arange(6, 12, 0.5)])
    heard = replace(steady(110), tempo=110.0, beats=beats)
    assert told_tempo(heard) == "110.0 beats a minute in the mean, from 100 to 120"
    moved = np.diff(Reaction(heard, (), 50.0).seconds(np.arange(600)))
    assert moved[300:].sum() / moved[:300].sum() == pytest.approx(1.2, abs=0.05), "faster music, faster motion"


def test_a_long_page_says_what_is_left(tmp_path: Path) -> None:
    path = write_reaction_page(tmp_path / "a.html", Reaction(steady(120, 700.0), read_links(""), 5.0), "x<y>.wav")
    page = path.read_text(encoding="utf-8")
    assert "The other 1.75 minutes are not shown" in page and "x&lt;y&gt;.wav" in page


def test_play_follows_sound(model: Model, song: Path, tmp_path: Path, capsys) -> None:
    words = ("--headless", "--seconds", "0.2", "--react", "kick:strength")
    assert run("play", str(model.folder), "--audio", str(song), *words) == 0
    assert "frames," in capsys.readouterr().out
    frames = model.stream(audio=str(song), seed=3, label="walk", react=REACT)
    (clip,) = model.generate(1, audio=str(song), seed=3, label="walk", react=REACT)
    first = np.stack([next(frames) for _ in range(20)]).astype(int)
    assert np.abs(first - clip.array()[:20]).max() <= 1, "live it is the same"


def test_others_show_frames_on_the_beat_live_too(song: Path, tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "model", labels=())
    model = Model(tmp_path / "model")
    frames = model.stream(audio=str(song), react="kick:strength", seed=2)
    (clip,) = model.generate(1, audio=str(song), react="kick:strength", seed=2)
    first = np.stack([next(frames) for _ in range(30)])
    assert np.array_equal(first, clip.array()[:30])
    with pytest.raises(ConfigError, match="content follows chroma, or changes"):
        model.generate(1, audio=str(song), to_seed=3)
