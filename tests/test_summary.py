"""Summaries and highlights: what is chosen of videos, and how it is written."""

from __future__ import annotations

import itertools
import json
import tracemalloc
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from footage.commands.cutting import highlights, summary
from footage.commands.main import main
from footage.errors import ConfigError, MediaError
from footage.generation.cutting import joins
from footage.generation.cutting import summary as choosing
from footage.generation.cutting.shots import CutFinder, ShotSpan
from footage.generation.cutting.summary import Chooser, Piece, Survey, beat_slots, pieces_of, survey
from footage.library.library import Library
from footage.media.probe import count_frames
from footage.media.sound import RATE, read_sound
from footage.media.sound_features import analyse
from footage.media.voice import Speech, find_speech
from tests import clips, sounds

SIZE = (32, 48)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four shots of two seconds: the first and the last alike."""
    frames = [frame for seed in (0, 1, 2, 0) for frame in clips.moving(20, SIZE, seed)]
    return clips.write(tmp_path_factory.mktemp("film") / "film.mp4", frames, fps=10)


def talk(seconds: float) -> np.ndarray:
    """Noise that goes up and down as syllables do, four times a second."""
    rng, times = np.random.default_rng(0), np.arange(round(seconds * RATE)) / RATE
    return (rng.normal(0, 0.2, len(times)) * np.maximum(0.003, np.sin(2 * np.pi * 2 * times) ** 4)).astype(np.float32)


def test_speech_is_found_and_hum_and_hiss_are_not() -> None:
    rng, quiet = np.random.default_rng(1), np.zeros(RATE, np.float32)
    hiss = rng.normal(0, 0.1, 3 * RATE).astype(np.float32)
    hum = (0.2 * np.sin(2 * np.pi * 440 * np.arange(3 * RATE) / RATE)).astype(np.float32)
    (span,) = find_speech([quiet, talk(3), quiet]).spans.tolist()
    assert span == pytest.approx([1, 4], abs=0.35)
    assert not len(find_speech([quiet, hiss, quiet]).spans) and not len(find_speech([quiet, hum, quiet]).spans)
    assert not len(find_speech([]).spans) and not len(find_speech([quiet]).spans)
    spoken = Speech(np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert spoken.within(1.5) == (1, 2) and spoken.within(3) == (3, 4)
    assert spoken.within(0.5) is None and spoken.within(2) is None and spoken.within(9) is None


def known(seconds: float, shots: list[tuple[int, int]]) -> Survey:
    at = np.arange(0, round(seconds * 10), 5)
    looks = np.random.default_rng(0).normal(size=(len(at), 6)).astype(np.float32)
    plain = np.zeros(len(at), np.float32)
    both = tuple(ShotSpan(*shot) for shot in shots)
    return Survey(Path("a.mp4"), Fraction(10), round(seconds * 10), SIZE, both, at, looks, looks, plain, False)


def test_pieces_begin_and_end_in_pauses() -> None:
    video = known(12, [(0, 60), (60, 120)])
    assert [(piece.first, piece.end) for piece in pieces_of([video])] == [(0, 30), (30, 60), (60, 90), (90, 120)]
    speech = Speech(np.array([[2.5, 3.2], [5.5, 6.8], [9.5, 13.0]]))
    found = [(piece.first, piece.end) for piece in pieces_of([video], speech=[speech])]
    assert found == [(0, 32), (32, 55), (68, 90)]  # the last sentence goes on beyond the end
    for edge in itertools.chain.from_iterable(found):
        assert speech.within(edge / 10 - 0.01) is None or speech.within(edge / 10 + 0.01) is None


def test_the_greedy_choice_is_nearly_the_best() -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        looks = rng.normal(size=(24, 5)).astype(np.float32)
        pieces = [
            Piece(0, 3 * n, 3 * n + 3, (3 * n, 3 * n + 3), 1.0, {"motion": float(rng.random())}) for n in range(8)
        ]
        chooser = Chooser(pieces, looks, ["motion"], 0.3)

        def worth(chosen: tuple[int, ...], by: Chooser = chooser) -> float:
            return 0.7 * by.coverage(chosen) + 0.1 * sum(by._scores[piece] for piece in chosen)

        chosen = chooser.choose(3, [1.0] * 8)
        best = max(map(worth, itertools.combinations(range(8), 3)))
        assert len(chosen) == 3 and chosen == sorted(chosen)
        assert (1 - 1 / np.e) * best <= worth(tuple(chosen)) <= best + 1e-6
        costs = rng.uniform(0.5, 2, 8).tolist()
        assert sum(costs[piece] for piece in chooser.choose(3, costs)) <= 3
    lone = Chooser(pieces[:2], looks, [], 0)
    assert lone.choose(0.4, [0.5, 0.5]) == []


def test_a_survey_is_kept_and_does_not_grow(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = survey(film, CutFinder)
    assert [(shot.first, shot.end) for shot in found.shots] == [(0, 20), (20, 40), (40, 60), (60, 80)]
    assert found.at.tolist() == list(range(0, 80, 5)) and found.frames == 80 and not found.has_sound
    assert np.linalg.norm(found.looks, axis=1) == pytest.approx(1)
    found.save(tmp_path / "kept.npz")
    again = Survey.read(tmp_path / "kept.npz", film)
    assert (again.looks == found.looks).all() and again.shots == found.shots and again.rate == found.rate
    monkeypatch.setattr(choosing, "MOST", 4)
    few = survey(film, CutFinder)
    assert len(few.at) <= 8 and (few.at % (5 * 2) == 0).all() and len(few.looks) == len(few.at) == len(few.motion)


def test_a_summary_shows_each_scene_once_in_order(
    film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "short.mp4"
    main(["summary", str(film), "--seconds", "6", "--method", "quick", "--to", str(to)])
    assert count_frames(to).frames == 60 and "coverage" in capsys.readouterr().out
    choice = summary((film,), seconds=6, method="quick", to=tmp_path / "list.otio", quiet=True)
    firsts = [piece.first for piece in choice.pieces]
    assert len(firsts) == 3 and firsts == sorted(firsts) and {20, 40} < set(firsts)
    assert choice.coverage > choice.uniform * 0.99 and choice.coverage > choice.random
    (track,) = json.loads((tmp_path / "list.otio").read_text())["tracks"]["children"]
    shown = [each["source_range"] for each in track["children"]]
    assert [each["start_time"]["value"] for each in shown] == firsts
    assert [each["duration"]["value"] for each in shown] == [20, 20, 20]
    assert not list(tmp_path.glob(".*"))
    for suffix, said in ((".fcpxml", 'start="2s"'), (".xml", "<in>60</in>"), (".edl", "00:00:02:00")):
        summary((film,), seconds=6, method="quick", to=tmp_path / f"list{suffix}", quiet=True)
        assert said in (tmp_path / f"list{suffix}").read_text(), suffix


def test_stopped_work_looks_no_more_at_what_it_knows(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(joins, "write_film", stop)
        summary((film,), seconds=6, method="quick", to=tmp_path / "short.mp4", quiet=True)
    assert len(list(tmp_path.glob(".short.mp4-survey/*.npz"))) == 1
    monkeypatch.setattr(choosing, "survey", stop)
    summary((film,), seconds=6, method="quick", to=tmp_path / "short.mp4", quiet=True)
    assert (tmp_path / "short.mp4").exists() and not list(tmp_path.glob(".*"))


def test_music_changes_pieces_on_its_beats(film: Path, tmp_path: Path) -> None:
    song = sounds.play("house", 120, 8)
    path = sounds.write(tmp_path / "song.wav", song.samples[None])
    heard = analyse([song.samples])
    cuts = beat_slots(heard, "song", 6, 1.0)
    assert len(cuts) > 4 and all(np.abs(song.beats - cut).min() < 0.03 for cut in cuts[1:])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choosing, "PIECE", 1.0)
        patch.setattr(beat_slots, "__defaults__", (1.0,))
        choice = summary((film,), seconds=6, audio=path, method="quick", to=tmp_path / "short.mp4", quiet=True)
    count, track = count_frames(tmp_path / "short.mp4"), read_sound(tmp_path / "short.mp4")
    assert count.has_audio and track is not None and 2 < len(choice.pieces) <= len(cuts) - 1
    assert count.frames == round(cuts[len(choice.pieces)] * 10)
    assert np.corrcoef(track.samples[: 2 * RATE], song.samples[: 2 * RATE])[0, 1] > 0.9


def test_highlights_go_by_what_is_asked_for_and_fill_an_album(film: Path, tmp_path: Path) -> None:
    still = [clips.moving(1, SIZE, 7)[0]] * 30 + clips.moving(30, SIZE, 8)
    calm = clips.write(tmp_path / "calm.mp4", still, fps=10)
    best = highlights((calm,), seconds=3, by=("motion",), method="quick", to=tmp_path / "best.otio", quiet=True)
    assert [piece.first for piece in best.pieces] == [30]
    best = highlights(
        (film, calm), seconds=5, method="quick", to=tmp_path / "best.mp4", library=tmp_path / "library", quiet=True
    )
    assert set(best.pieces[0].scores) == {"motion", "rarity"} or "rarity" not in best.pieces[0].scores
    with Library(tmp_path / "library") as library:
        (album,) = library.albums.all()
        filed = library.entries(library.albums.clips(album.id))
    assert album.name == "best" and len(filed) == len(best.pieces)
    assert [entry.frames for entry in filed] == [piece.end - piece.first for piece in best.pieces]


def test_bad_input_gets_a_sentence(film: Path, tmp_path: Path) -> None:
    one = clips.write(tmp_path / "one.mp4", clips.moving(1, (32, 48)))
    with pytest.raises(MediaError, match=r'"one.mp4" has 1 frame:'):
        survey(one, CutFinder)
    brief = clips.write(tmp_path / "brief.mp4", clips.moving(5, SIZE))
    quiet = sounds.write(tmp_path / "quiet.wav", np.zeros((1, 5 * RATE), np.float32))
    options = {"method": "quick", "to": tmp_path / "out.mp4", "quiet": True}
    for videos, more, error, said in (
        ((), {}, ConfigError, "no video is given"),
        ((brief,), {}, MediaError, "no shot of brief.mp4 has 1.0 s to show"),
        ((film,), {"seconds": 0.5}, ConfigError, "give 1 to 36000"),
        ((film,), {"seconds": 1.5}, ConfigError, "no piece is as short"),
        ((film,), {"album": "a"}, ConfigError, "give --library too"),
        ((film,), {"audio": quiet}, MediaError, "no beat is heard"),
        ((tmp_path / "nothing.mp4",), {}, MediaError, "does not exist"),
    ):
        with pytest.raises(error, match=said):
            summary(videos, **{**options, **more})
    with pytest.raises(ConfigError, match="give some of motion"):
        highlights((film,), by=("beauty",), **options)
    with pytest.raises(ConfigError, match="nothing to judge taste by"):
        highlights((film,), by=("taste",), **options)


def test_many_pieces_take_no_more_than_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """3,000 pieces compared with each other at once would be 36 MB; a choice by some moments is nearly as good."""
    rng, count = np.random.default_rng(0), 3000
    centres = rng.standard_normal((40, 16))
    looks = (centres[rng.integers(0, 40, count)] + 0.4 * rng.standard_normal((count, 16))).astype(np.float32)
    shots = tuple(ShotSpan(10 * n, 10 * n + 10, None) for n in range(count))
    at, zeros = np.arange(count) * 10 + 5, np.zeros(count, np.float32)
    video = Survey(Path("a"), Fraction(10), 10 * count, (8, 8), shots, at, looks, looks, zeros, False)
    pieces = pieces_of([video], 1.0)
    assert len(pieces) == count
    tracemalloc.start()
    scored = choosing.score(pieces, [video], [None])
    assert tracemalloc.get_traced_memory()[1] < 25e6
    tracemalloc.stop()
    alone = looks / np.linalg.norm(looks, axis=1, keepdims=True)
    near = choosing.likest(*[alone, np.arange(count)] * 2)
    assert np.corrcoef(near, [piece.scores["rarity"] for piece in scored])[0, 1] < -0.7, "what is rare is like none"
    exact = Chooser(pieces[:600], looks[:600], [], 0)
    best = exact.coverage(exact.choose(30, [1.0] * 600))
    monkeypatch.setattr(choosing, "GROUND", 200)
    some = Chooser(pieces[:600], looks[:600], [], 0)
    assert some.ground.shape == (200, 16) and exact.coverage(some.choose(30, [1.0] * 600)) > 0.97 * best
