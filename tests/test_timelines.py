"""Timelines: their files, what a library keeps of them, and the films that they become."""

from __future__ import annotations

import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import opentimelineio as otio
import pytest
from PIL import Image

from footage.commands.main import main
from footage.errors import ConfigError, FootageError, LibraryError, MediaError
from footage.files import json_digest
from footage.generation.cutting import joins
from footage.generation.cutting.films import FilmMaker, keep
from footage.library.library import Library
from footage.library.timelines import (
    PartTransition,
    Timeline,
    TimelineMusic,
    TimelinePart,
    read_timeline,
    timeline_json,
    timeline_of,
    write_timeline,
)
from footage.media import decode, titles
from footage.media.encode import read_metadata
from footage.media.music import TUNES, play
from footage.media.probe import count_frames
from footage.media.reader import Footage
from footage.media.sound import TRACK_RATE, read_sound
from footage.media.titles import font_for
from footage.media.transitions import mixed
from tests import clips

FADE = PartTransition("fade", 0.4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of 40 frames at 25 a second, the first with a second of sound, and a picture."""
    made = tmp_path_factory.mktemp("sources")
    clips.add_sound(clips.write(made / "one.mp4", clips.moving(40, (36, 48))))
    clips.write(made / "two.mp4", clips.moving(40, (36, 48), 1))
    Image.fromarray(clips.moving(1, (60, 60), 2)[0]).save(made / "still.png")
    return made


def timeline() -> Timeline:
    return Timeline(
        (
            TimelinePart(title="Sommer", seconds=1.0),
            TimelinePart(file="one.mp4", first=5, last=34, level=0.5, transition=FADE),
            TimelinePart(file="two.mp4", title="Meer\nAugust", transition=PartTransition("wipeleft", 0.2)),
            TimelinePart(file="still.png", seconds=1.2),
        )
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", {"options": {"g": "12", "bf": "3"}}),
        ("b.webm", {"codec": "libvpx-vp9", "options": {"g": "20", "deadline": "realtime"}}),
        ("c.ts", {"options": {"g": "15"}}),
        ("d.mp4", {"options": {"g": "12"}, "times": [number * 0.04 + number % 3 * 0.011 for number in range(90)]}),
    ],
)
def test_a_video_is_begun_anywhere_with_the_same_frames(
    name: str, options: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "LEADS", (Fraction(1, 10),))
    path = clips.write(tmp_path / name, clips.moving(90, (24, 32)), **options)  # type: ignore[arg-type]

    def frames(begin: int) -> np.ndarray:
        return np.concatenate(list(Footage(path).chunks(height=24, width=32, channels=3, fps=30, begin=begin)))

    whole = frames(0)
    for begin in (1, 20, 61, len(whole) - 1):
        assert np.array_equal(frames(begin), whole[begin:]), begin


def test_a_timeline_is_written_and_read_as_it_is(tmp_path: Path) -> None:
    told = replace(timeline(), music=TimelineMusic(tune="lullaby"), height=90, width=160, level=0.8, sound=False)
    write_timeline(told, tmp_path / "film.json")
    assert read_timeline(tmp_path / "film.json") == told
    row = timeline_json(told)["parts"][1]
    assert row == {
        "file": "one.mp4",
        "first": 5,
        "last": 34,
        "level": 0.5,
        "transition": {"kind": "fade", "seconds": 0.4},
    }


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"parts": []}, "no timeline"),
        ({"footage": "timeline", "version": 2, "parts": []}, "reads up to format 1"),
        ({"footage": "timeline", "version": 1, "parts": [{"clip": 1, "file": "a.mp4"}]}, "both a clip and a file"),
        ({"footage": "timeline", "version": 1, "parts": [{}]}, "give clip, file or title"),
        ({"footage": "timeline", "version": 1, "parts": [{"clip": 1, "lats": 3}]}, "last"),
        ({"footage": "timeline", "version": 1, "parts": [{"clip": 1, "level": 9}]}, "give 0 to 4"),
        ({"footage": "timeline", "version": 1, "parts": [{"clip": 1, "first": 9, "last": 3}]}, "give 9 or a later"),
        ({"footage": "timeline", "version": 1, "parts": [{"clip": 1, "transition": {"seconds": 0}}]}, "0.01 to 60"),
        ({"footage": "timeline", "version": 1, "parts": [], "music": {"level": 1}}, "file, clip, sent, tune"),
        ({"footage": "timeline", "version": 1, "parts": [], "height": 90}, "both height and width"),
    ],
)
def test_what_is_wrong_in_a_timeline_is_named_with_its_remedy(told: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        timeline_of(told, "it")


def test_the_film_has_every_part_and_transition_and_can_be_begun_anywhere(folder: Path) -> None:
    film = FilmMaker(folder).film(timeline())
    assert (film.size, film.rate, film.lengths, film.overlaps) == ((36, 48), 25, (25, 30, 40, 30), (10, 5, 0))
    assert film.starts == [0, 15, 40, 80] and film.frames == 110
    whole = list(film.pictures())
    own = np.concatenate(list(Footage(folder / "one.mp4").chunks(height=36, width=48, channels=3, fps=25)))
    assert len(whole) == 110 and (whole[25] == own[15]).all() and (whole[39] == own[29]).all()
    fading = whole[15 + 5].astype(float)  # half of the card, half of the clip's tenth frame
    assert np.abs(fading - (whole[14].astype(float) + own[10]) / 2).mean() < 12
    assert (whole[80] == whole[109]).all() and (whole[80] != whole[79]).any()
    for first in (0, 3, 15, 17, 25, 30, 40, 42, 45, 79, 80, 108):
        rest = list(film.pictures(first))
        assert len(rest) == 110 - first and all((a == b).all() for a, b in zip(rest, whole[first:], strict=True)), first


def test_a_last_frame_stands_where_a_clip_is_over(folder: Path) -> None:
    film = replace(FilmMaker(folder).film(Timeline((TimelinePart(file="two.mp4"),))), lengths=(60,))
    whole = list(film.pictures())
    assert len(whole) == 60 and (whole[59] == whole[39]).all()
    assert [(frame == whole[39]).all() for frame in film.pictures(55)] == [True] * 5


def test_titles_come_and_go_and_leave_the_rest_as_it_is(folder: Path) -> None:
    part = TimelinePart(file="two.mp4", title="Meer")
    plain, titled = (
        list(FilmMaker(folder).film(Timeline((one,))).pictures()) for one in (replace(part, title=""), part)
    )
    apart = [np.abs(a.astype(int) - b).sum() for a, b in zip(plain, titled, strict=True)]
    assert apart[20] > 3 * apart[0] > 0 and apart[20] > 3 * apart[39]
    assert (plain[20][:18] == titled[20][:18]).all()


def test_sound_is_as_loud_as_it_is_told_with_music_below(folder: Path) -> None:
    def loudness(told: Timeline) -> float:
        film = FilmMaker(folder).film(told)
        sound = film.sound()
        return 0.0 if sound is None else float(np.concatenate(list(sound), axis=1)[:, :30_000].std())

    one = TimelinePart(file="one.mp4")
    full = loudness(Timeline((one,)))
    assert full > 0.01
    assert loudness(Timeline((replace(one, level=0.5),), level=0.5)) == pytest.approx(full / 4, rel=1e-3)
    assert loudness(Timeline((one,), sound=False)) == loudness(Timeline((replace(one, level=0.0),))) == 0
    silent = Timeline((one, TimelinePart(title="a")), sound=False, music=TimelineMusic(tune="lullaby", level=1.0))
    assert loudness(silent) > 0.01
    assert loudness(replace(silent, music=TimelineMusic(tune="lullaby", level=0.0))) == 0
    assert loudness(replace(silent, music=TimelineMusic(file="one.mp4", level=1.0))) == pytest.approx(full, rel=0.05)


def test_music_of_a_long_film_fades_out_too() -> None:
    seconds = 2**24 // TRACK_RATE + 5
    loud = (np.ones((2, TRACK_RATE), np.float32) for _ in range(seconds))
    *_, last = mixed((), loud, 1.0, Fraction(seconds))
    assert np.allclose(last[0], 0.5 - np.arange(TRACK_RATE) / (2 * TRACK_RATE), atol=1e-6)


def test_music_fades_out_at_the_end() -> None:
    level = np.concatenate(list(mixed(iter(()), iter([np.ones((2, 9 * TRACK_RATE), np.float32)]), 0.5, Fraction(5))), 1)
    assert level.shape == (2, 5 * TRACK_RATE) and (level[:, : 3 * TRACK_RATE] == 0.5).all()
    assert (
        level[0, 4 * TRACK_RATE] == pytest.approx(0.25, abs=1e-4) and (np.diff(level[0, 3 * TRACK_RATE :]) <= 0).all()
    )


@pytest.mark.parametrize("name", TUNES)
def test_a_tune_is_the_same_each_time_and_no_two_bars_are_alike(name: str) -> None:
    once, again = (list(itertools.islice(play(name), 3)) for _ in range(2))
    assert all((a == b).all() for a, b in zip(once, again, strict=True))
    assert all(bar.std() > 0.02 and np.abs(bar).max() < 1 for bar in once)
    assert not np.allclose(once[0], once[1], atol=0.01)


def test_by_the_command_line_as_a_video_a_list_and_in_a_library(folder: Path, tmp_path: Path) -> None:
    told = replace(timeline(), music=TimelineMusic(tune="procession"))
    file, library, film = folder / "film.json", tmp_path / "library", tmp_path / "film.mp4"
    write_timeline(told, file)
    main(["film", str(file), "--to", str(film), "--library", str(library), "--keep", "Sommer"])
    count = count_frames(film)
    assert (count.frames, count.rate, count.has_audio) == (110, 25, True)
    heard = read_sound(film)
    assert heard is not None and heard.seconds == pytest.approx(4.4, abs=0.05)
    about = read_metadata(film)
    assert about["transitions"] == [["fade", 0.4], ["wipeleft", 0.2], None] and about["music"] == ["procession", 0.5]
    assert str(folder) not in json.dumps(about) and not list(tmp_path.glob(".*"))
    with Library(library) as opened:
        kept = opened.timelines.get("Sommer")
        assert [part.clip for part in kept.parts] == [None, 1, 2, 3] and kept.music == told.music
    again = tmp_path / "again.mp4"
    main(["film", "Sommer", "--library", str(library), "--to", str(again)])
    assert count_frames(again).frames == 110
    listed, copy = tmp_path / "film.otio", tmp_path / "copy.json"
    main(["film", "Sommer", "--library", str(library), "--to", str(listed)])
    (track,) = otio.adapters.read_from_file(str(listed)).video_tracks()
    spans = [(clip.source_range.start_time.value, clip.source_range.duration.value) for clip in track.find_clips()]
    assert spans[:2] == [(10, 22), (2, 38)]  # cut in the middle of the transitions
    (wipe,) = (each for each in track if isinstance(each, otio.schema.Transition))  # none from the card, which is none
    assert track.index(wipe) == 1 and (wipe.in_offset.value, wipe.out_offset.value) == (2, 3)
    assert wipe.name == "wipeleft" and wipe.transition_type == "Custom_Transition"
    main(["film", "Sommer", "--library", str(library), "--to", str(copy)])
    with Library(library) as opened:
        assert [part.clip for part in read_timeline(copy).parts] == [None, *(opened.get(n).digest for n in (1, 2, 3))]
    main(["film", str(copy), "--library", str(library), "--to", str(tmp_path / "copy.mp4")])
    assert count_frames(tmp_path / "copy.mp4").frames == 110


def test_a_film_is_not_written_over_what_it_is_made_from(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one.mp4", "two.mp4"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    told = Timeline((TimelinePart(file="two.mp4"),), music=TimelineMusic(file="one.mp4"))
    write_timeline(told, tmp_path / "film.json")
    for name in ("one.mp4", "two.mp4"):
        with pytest.raises(SystemExit):
            main(["film", str(tmp_path / "film.json"), "--to", str(tmp_path / name)])
        assert "the clip itself" in capsys.readouterr().err
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_a_film_that_is_kept_has_its_music_all_the_same(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_timeline(
        Timeline((TimelinePart(title="Sommer", seconds=0.4),), 36, 48, music=TimelineMusic(file="one.mp4")),
        folder / "heard.json",
    )
    library, film = tmp_path / "library", tmp_path / "film.mp4"
    main(["film", str(folder / "heard.json"), "--to", str(film), "--library", str(library), "--keep", "Sommer"])
    assert "is a file" in " ".join(capsys.readouterr().err.split())
    assert count_frames(film).has_audio and read_metadata(film)["music"] == ["one.mp4", 0.5]


def test_a_picture_stands_in_an_edit_list_as_long_as_in_the_film(folder: Path, tmp_path: Path) -> None:
    FilmMaker(folder).write(Timeline((TimelinePart(file="still.png", seconds=1.2),)), tmp_path / "film.otio")
    (track,) = otio.adapters.read_from_file(str(tmp_path / "film.otio")).video_tracks()
    assert [clip.source_range.duration.value for clip in track] == [30]


def test_a_transition_that_no_memory_holds_is_refused() -> None:
    long = PartTransition("fade", 60)
    told = Timeline((TimelinePart(title="a", seconds=70), TimelinePart(title="b", seconds=70, transition=long)))
    assert FilmMaker(Path()).film(replace(told, height=240, width=320)).frames == 80 * 25
    with pytest.raises(MediaError, match=r"562.5 GiB"):
        FilmMaker(Path()).film(replace(told, height=8192, width=8192))


def test_one_of_many_who_change_a_timeline_at_once_is_heard(tmp_path: Path) -> None:
    with Library(tmp_path) as library:
        for turn in range(8):
            library.timelines.save("Film", Timeline((TimelinePart(title=f"{turn}"),)))
            before = json_digest(timeline_json(library.timelines.get("Film")))
            gate = threading.Barrier(4)

            def change(who: int, turn: int = turn, before: str = before, gate: threading.Barrier = gate) -> bool:
                told = Timeline((TimelinePart(title=f"{turn} {who}"),))
                gate.wait()
                try:
                    library.timelines.save("Film", told, before=before)
                except ConfigError as error:
                    assert "changed meanwhile" in str(error)
                    return False
                return True

            with ThreadPoolExecutor(4) as pool:
                assert sum(pool.map(change, range(4))) == 1


@pytest.mark.parametrize("name", ["a/b", ".", ".."])
def test_a_name_that_no_address_can_hold_is_refused(name: str, tmp_path: Path) -> None:
    with Library(tmp_path) as library, pytest.raises(LibraryError, match="than dots"):
        library.timelines.save(name, Timeline())


def test_what_is_nested_too_deep_is_no_timeline(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 200_000)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_timeline(tmp_path / "deep.json")


def test_music_of_a_file_is_not_kept_and_told_of(folder: Path, tmp_path: Path) -> None:
    told = Timeline((TimelinePart(file="one.mp4"),), music=TimelineMusic(file="one.mp4"))
    with Library(tmp_path) as library, pytest.warns(UserWarning, match="send it to the studio"):
        assert keep(told, FilmMaker(folder), library, "film").music is None


def test_a_library_keeps_timelines_and_undoes_what_was_done_to_them(tmp_path: Path) -> None:
    first, second = Timeline((TimelinePart(title="a"),)), Timeline((TimelinePart(title="b"),))
    with Library(tmp_path) as library:
        library.timelines.save("Film", first, "title added")
        library.timelines.save("Film", first, "settings")  # nothing changed
        library.timelines.save("Film", second, "title changed")
        assert [(entry.name, entry.parts) for entry in library.timelines.all()] == [("Film", 1)]
        assert [step.what for step in library.history()] == [
            "timeline Film: title changed",
            "timeline Film: title added",
        ]
        library.undo()
        assert library.timelines.get("Film") == first
        library.redo()
        assert library.timelines.get("Film") == second
        library.timelines.delete("Film")
        assert library.timelines.all() == []
        library.undo()
        assert library.timelines.get("Film") == second
        for told, says in (("Flim", "Film"), ("", "no timeline")):
            with pytest.raises(LibraryError, match=says):
                library.timelines.get(told)
        with pytest.raises(LibraryError, match="empty"):
            library.timelines.save(" ", first)


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (Timeline(), "nothing on the timeline"),
        (Timeline((TimelinePart(file="none.mp4"),)), "does not exist"),
        (Timeline((TimelinePart(clip=3),)), "--library"),
        (
            Timeline((TimelinePart(file="one.mp4", first=40),)),
            "begins at frame 40, and one.mp4 has 40: give at most 39",
        ),
        (
            Timeline((TimelinePart(file="one.mp4", last=5), TimelinePart(file="two.mp4", transition=FADE))),
            "part 1 lasts 0.24 s, and transitions take 0.40 s of it",
        ),
        (
            Timeline((TimelinePart(file="one.mp4"), TimelinePart(file="two.mp4", transition=PartTransition("wipe")))),
            'transition is "wipe"',
        ),
        (
            Timeline((TimelinePart(file="one.mp4"), TimelinePart(file="two.mp4", transition=PartTransition("latent")))),
            "the model is missing: give a model",
        ),
        (Timeline((TimelinePart(title="a", colour="red"),)), "give one such as #14171c"),
        (Timeline((TimelinePart(title="a"),), music=TimelineMusic(tune="waltz")), 'tune is "waltz"'),
        (Timeline((TimelinePart(title="a"),), music=TimelineMusic(file="two.mp4")), '"two.mp4" has no sound'),
        (Timeline((TimelinePart(title="a"),), music=TimelineMusic(sent="ab")), "--music"),
        (Timeline((TimelinePart(title="a"),), font="one.mp4"), "is no font"),
    ],
)
def test_what_cannot_become_a_film_is_named_with_its_remedy(folder: Path, told: Timeline, says: str) -> None:
    with pytest.raises(FootageError, match=says):
        FilmMaker(folder).film(told)


def test_signs_that_no_font_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(titles, "FONTS", ())
    assert font_for("Größe · שלום · مرحبا").name == "DejaVuSans.ttf"
    with pytest.raises(MediaError, match='no sign for "宝贝" of the title "宝贝 Anna": give a font'):
        font_for("宝贝 Anna")
    monkeypatch.setattr("PIL.features.check", lambda name: name != "fribidi")
    with pytest.raises(MediaError, match="right to left"):
        font_for("שלום")


def test_a_model_that_does_not_give_the_clips_back_is_left_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = (clips.smooth(3, (24, 32), seed) for seed in (1, 2))
    monkeypatch.setattr(joins, "UNFAITHFUL", 0)
    with pytest.warns(UserWarning, match=r"lens-8 gives these videos back with \d+\.\d dB"):
        made = list(joins.mixer("latent", "lens-8")(before, after))
    expected = list(joins.morph(before, after))
    assert len(made) == 3 and all((one == other).all() for one, other in zip(made, expected, strict=True))


def test_through_latents_the_ends_are_the_clips_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joins, "UNFAITHFUL", np.inf)  # lens-8 gives clips of 24×32 back with 19 dB
    before, after = (clips.smooth(6, (24, 32), seed) for seed in (1, 2))
    made = list(joins.mixer("latent", "lens-8")(before, after))
    assert len(made) == 6 and np.abs(made[0].astype(int) - before[0]).max() <= 1
    apart = [
        [np.abs(picture.astype(int) - end[number]).mean() for number, picture in enumerate(made)]
        for end in (before, after)
    ]
    assert apart[0] == sorted(apart[0]) and apart[1] == sorted(apart[1], reverse=True)
    with pytest.raises(ConfigError, match="latent"):
        joins.mixer("latent", "stream-shapes")
    with pytest.raises(ConfigError, match="leave it out"):
        joins.mixer("fade", "lens-8")
