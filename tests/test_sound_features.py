"""What is heard in sound: against tracks of known tempo, beats, onsets, tones."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from footage.media.sound_features import CURVES, SoundFeatures, analyse, log_mel, log_mel_chunks
from tests.sounds import NINE, RATE, Track, at_tempi, drum, play, tone


def matched(found: np.ndarray, true: np.ndarray, within: float) -> tuple[float, float]:
    """F-measure of times, each met once at most, and the mean distance of those that were met."""
    left, distances = list(found), []
    for time in true:
        nearest = min(left, key=lambda other: abs(other - time), default=None)
        if nearest is not None and abs(nearest - time) <= within:
            left.remove(nearest)
            distances.append(abs(nearest - time))
    return 2 * len(distances) / (len(found) + len(true)), float(np.mean(distances)) if distances else np.inf


@pytest.fixture(scope="module")
def heard() -> dict[int, tuple[Track, SoundFeatures]]:
    known: dict[int, tuple[Track, SoundFeatures]] = {}

    def get(number: int) -> tuple[Track, SoundFeatures]:
        if number not in known:
            name, bpm, noise, pad = NINE[number]
            track = play(name, bpm, noise=noise, pad=pad, seed=number)
            known[number] = (track, analyse([track.samples]))
        return known[number]

    return get  # type: ignore[return-value]


@pytest.mark.parametrize("number", range(9))
def test_tempo_beats_and_onsets_of_nine_tracks(heard, number):
    track, features = heard(number)
    assert abs(features.tempo - track.bpm) <= 0.3
    score, _ = matched(features.beats, track.beats, 0.07)
    assert score >= 0.98
    found, off = matched(features.onsets, track.onsets, 0.05)
    assert found >= 0.9 and off <= 0.010


@pytest.mark.parametrize("pattern", ["rock", "four"])
def test_beats_are_found_where_the_tempo_glides(pattern):
    track = at_tempi(pattern, (100.0, 130.0), 24.0, glide=True)
    features = analyse([track.samples])
    assert matched(features.beats, track.beats, 0.07)[0] >= 0.98
    assert features.tempo == pytest.approx(115, abs=1.5)
    first, last = features.tempi
    assert first == pytest.approx(102, abs=3) and last == pytest.approx(128, abs=3)
    outside = features.beat_at(np.array([30.0, 31.0]))
    assert np.diff(outside)[0] == pytest.approx(128 / 60, rel=0.03), "behind the end it goes on as fast as it was"


def test_beats_are_found_where_the_tempo_becomes_another_at_once():
    track = at_tempi("rock", (100.0, 130.0), 24.0, glide=False)
    features = analyse([track.samples])
    assert matched(features.beats, track.beats, 0.07)[0] >= 0.98
    assert np.allclose(features.tempi, (100, 130), atol=1)


def test_a_steady_tempo_is_one_throughout():
    features = analyse([play("house", 120, 16, noise=0.02).samples])
    assert features.tempi[1] - features.tempi[0] < 2 and abs(features.tempo - 120) < 0.3


def test_drums_leave_no_trace_in_harmony():
    """A chord with and without a drum in the middle of it: the mean of half a second would be another."""
    t = np.arange(2 * RATE) / RATE
    chord = 0.1 * sum(np.sin(2 * np.pi * f * t) for f in (220.0, 261.63, 329.63))
    struck = chord.copy()
    hit = drum("snare", np.random.default_rng(0))[: RATE // 10]
    struck[RATE : RATE + len(hit)] += hit
    plain, drummed = (analyse([s.astype(np.float32)]).harmony(np.array([1.0, 1.1])) for s in (chord, struck))
    assert np.abs(plain - drummed).max() < 0.1


def test_chords_change_when_they_do():
    t = np.arange(2 * RATE) / RATE
    low, high = (0.2 * np.sin(2 * np.pi * f * t) for f in (220.0, 311.13))
    features = analyse([np.concatenate([low, high]).astype(np.float32)])
    before, after = features.harmony(np.array([1.93, 2.07]))
    assert before.argmax() == 9 and after.argmax() == 3


def test_results_do_not_depend_on_chunks():
    samples = play("break", 174, 6, pad=0.05).samples
    edges = np.cumsum(np.random.default_rng(0).integers(0, 3000, 100))
    whole, parts = analyse([samples]), analyse(np.split(samples, edges))
    for name in ("curves", "chroma", "onsets", "beats"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name)), name
    assert (whole.tempo, whole.first_bar, whole.peak) == (parts.tempo, parts.first_bar, parts.peak)
    mel = np.concatenate(list(log_mel_chunks(np.split(samples, edges), 40)))
    assert np.array_equal(mel, log_mel(samples, 40)) and mel.shape == (-(-len(samples) // 220), 40)
    live = np.concatenate(list(log_mel_chunks([samples], 40, block=2)))
    assert np.allclose(live, mel, atol=1e-3)


def test_live_sound_is_not_waited_for():
    given = 0

    def chunks():
        nonlocal given
        for _ in range(100):
            given += 220
            yield np.zeros(220, np.float32)

    first = next(log_mel_chunks(chunks(), block=1))
    assert first.shape == (1, 40) and given <= 660, "a window and no more"


def test_mel_bands_have_their_tones():
    t = np.arange(RATE) / RATE
    for frequency in (200, 1000, 4000):
        mel = log_mel(np.sin(2 * np.pi * frequency * t).astype(np.float32), 40)[50]
        centres = np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), 42)[1:-1]
        assert abs(centres[mel.argmax()] - 2595 * np.log10(1 + frequency / 700)) < 100
        assert -4 < mel.max() < 0.1
    assert np.allclose(log_mel(np.zeros(2200, np.float32)), np.log(1e-5))
    assert log_mel(np.zeros(0, np.float32)).shape == (0, 40)


def test_loudness_brightness_and_harmony():
    t = np.arange(2 * RATE) / RATE
    chord = sum(np.sin(2 * np.pi * f * t) for f in (220.0, 261.63, 329.63)) / 4  # A C E
    high = 0.25 * np.sin(2 * np.pi * 3000 * t)
    features = analyse([np.concatenate([chord, chord / 2, high]).astype(np.float32)])
    loud = features.curves[:, CURVES.index("loudness")]
    first, second = loud[50:150].mean(), loud[250:350].mean()  # tones of a chord beat
    assert abs(first - 10 * np.log10(np.mean(chord**2))) < 0.5 and abs(first - second - 6.02) < 0.1
    dark, _, bright = features.at("brightness", np.array([1.0, 3.0, 5.0]))
    assert dark < 0.1 and bright > 0.9
    assert set(np.argsort(features.harmony(np.array([1.0]))[0])[-3:]) == {9, 0, 4}
    assert np.allclose(np.linalg.norm(features.harmony(np.array([1.0, 3.0])), axis=1), 1)
    quiet = features.at("loudness", np.linspace(0.5, 1.5, 100)) - features.at("loudness", np.linspace(2.5, 3.5, 100))
    assert quiet.mean() == pytest.approx(6.02 / 40, abs=0.02)


@pytest.mark.parametrize("name", ["onset", "middle"])
def test_an_onset_raises_a_level_at_its_own_time_and_at_the_beat_where_it_is_beside_one(name: str):
    track = play("clicks", 97, 8, pad=0.3)
    features = analyse([track.samples])
    level = [features.at(name, features.beats[1:-1] + off) for off in (-0.002, 0.002, 0.152)]
    assert level[0].max() < 0.1 and level[1].min() > 0.6, "nothing of it a moment before, all a moment after"
    assert np.allclose(level[2] / level[1], np.exp(-1), atol=0.02)
    free = dataclasses.replace(features, beats=np.zeros(0))
    heard = free.onsets[1:-1]
    assert free.at(name, heard - 0.008).max() < 0.1 and free.at(name, heard + 0.008).min() > 0.6
    assert not features.at(name, np.array([-1.0, 0.0])).any(), "before anything was heard"


def test_kicks_count_at_once_and_then_less():
    track = play("house", 120, 8)
    features = analyse([track.samples])
    hats = track.beats[4:12] + 0.25
    kick, treble = features.at("kick", track.beats[4:12] + 0.01), features.at("treble", hats + 0.01)
    assert kick.min() > 0.5 and treble.min() > 0.3
    assert features.at("kick", track.beats[4:12] - 0.06).max() < 0.3, "gone before the next"
    assert (features.at("kick", hats + 0.01) < kick).all()
    everywhere = np.linspace(-1, 10, 500)
    for name in CURVES:
        curve = features.at(name, everywhere)
        assert curve.min() >= 0 and curve.max() <= 1, name


def test_beats_are_counted_in_bars():
    track = play("rock", 110, 12, pad=0.15)
    features = analyse([track.samples])
    counted = features.beat_at(track.beats)
    assert np.abs(counted - np.rint(counted)).max() < 0.1
    assert (np.rint(counted[::4]) % 4 == 0).all(), "chords change where bars begin"
    assert np.allclose(features.time_of(counted), track.beats)
    outside = features.beat_at(np.array([-2.0, -1.0, 20.0, 21.0]))
    assert np.allclose(np.diff(outside)[[0, 2]], 110 / 60, rtol=0.01)


@pytest.mark.parametrize("kind", ["silence", "noise", "hum", "short", "nothing"])
def test_sound_without_a_beat_has_none(kind):
    rng, t = np.random.default_rng(0), np.arange(8 * RATE) / RATE
    sound = {
        "silence": np.zeros(8 * RATE),
        "noise": 0.3 * rng.standard_normal(8 * RATE),
        "hum": 0.5 * np.sin(2 * np.pi * 50 * t),
        "short": tone(220, 0.3, 0.1),
        "nothing": np.zeros(0),
    }[kind]
    features = analyse([sound.astype(np.float32)])
    assert features.tempo == 0 and not len(features.beats)
    assert features.silent == (kind in ("silence", "nothing"))
    for name in CURVES:
        assert np.isfinite(features.at(name, np.linspace(0, 9, 50))).all()
    assert np.isfinite(features.harmony(np.linspace(0, 9, 50))).all()


def test_clipped_sound_is_told_and_its_beats_are_found():
    track = play("rock", 100, 10)
    features = analyse([np.clip(6 * track.samples, -1, 1)])
    assert features.clipped > 0.005 and features.peak == 1
    assert abs(features.tempo - 100) < 0.3
    assert analyse([track.samples]).clipped == 0


def test_memory_does_not_grow_with_length():
    import tracemalloc

    second = play("rock", 120, 1.5).samples[:RATE]

    def peak(seconds: int) -> int:
        tracemalloc.start()
        analyse(second for _ in range(seconds))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(2)  # what is imported and remembered once
    short, long = (min(peak(seconds), peak(seconds)) for seconds in (6, 24))  # tables of Python's own grow now and then
    assert long - short < 400_000, "a quarter of the samples, which are 1.6 MB"
