"""Templates of films: slots, fill-ins of a model, titles; what is wrong with them is a sentence."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from footage.commands.main import main
from footage.errors import ConfigError, FootageError
from footage.generation.cutting.films import FilmMaker
from footage.generation.cutting.templates import (
    FilledTemplate,
    FilmTemplate,
    GivenClip,
    TemplatePart,
    divided,
    find_template,
    taken_at,
    template_folders,
    words_for,
)
from footage.library.library import Library
from footage.library.timelines import Timeline, read_timeline
from footage.media.encode import read_metadata, write_clip
from footage.media.probe import count_frames
from tests import clips
from tests.streams import save_tiny_stream

PARTS: list[dict[str, Any]] = [
    {"generate": {"label": "walk", "seed": 3}, "seconds": 0.8, "title": "{name}\n{date}", "place": "middle"},
    {"slot": "first", "seconds": 0.8, "shortest": 0.4, "transition": {"kind": "fade", "seconds": 1}},
    {"slot": "days", "most": None, "seconds": 0.8, "shortest": 0.4, "transition": {"kind": "fade", "seconds": 0.2}},
    {"title": "Welcome, {name}", "seconds": 0.6},
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_tiny_stream(folder, ("walk", "run"))
    return folder


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four clips of 40 frames at 25 a second, each an hour older than the one before."""
    folder = tmp_path_factory.mktemp("home")
    paths = [clips.write(folder / f"{number}.mp4", clips.moving(40, (24, 32), number)) for number in range(4)]
    for number, path in enumerate(paths):
        os.utime(path, (2_000_000_000 - 3600 * number,) * 2)
    return paths


def template(folder: Path, model: Path | None, parts: list[dict[str, Any]] = PARTS, **more: Any) -> Path:
    folder.mkdir(parents=True)
    names = {"name": "who was born", "date": "when"}
    told = {"footage": "template", "version": 1, "names": names, "needed": ["name"], "parts": parts}
    told |= {"height": 24, "width": 32, "music": {"tune": "lullaby"}, **more}
    (folder / "template.json").write_text(json.dumps(told | ({} if model is None else {"model": str(model)})))
    return folder


def given(paths: list[Path], **more: Any) -> list[GivenClip]:
    return [GivenClip(path, **more) for path in paths]


def test_a_film_and_its_timeline_by_the_command_line(tmp_path: Path, model: Path, sources: list[Path]) -> None:
    mine, film, library = template(tmp_path / "mine", model), tmp_path / "anna.mp4", tmp_path / "library"
    words = [
        "template",
        str(mine),
        *map(str, sources[:3]),
        "--names",
        "Anna",
        "--to",
        str(film),
        "--library",
        str(library),
    ]
    main(words)
    timeline = read_timeline(tmp_path / "anna.json")
    made = timeline.parts[0].file or ""
    assert [part.title for part in timeline.parts] == ["Anna", "", "", "", "Welcome, Anna"]
    assert [(part.first, part.last) for part in timeline.parts[1:4]] == [(10, 29)] * 3  # the middle
    assert timeline.parts[1].transition is not None and timeline.parts[1].transition.seconds == 0.36  # of 0.8 s
    assert made.startswith("anna-made/1-") and read_metadata(tmp_path / made)["label"] == "walk"
    count = count_frames(film)
    assert (count.frames, count.height, count.width, count.has_audio) == (20 * 4 - 9 - 2 * 5 + 15, 24, 32, True)
    changed = (tmp_path / made).stat().st_mtime_ns
    main([*words[:-4], "--to", str(film)])
    assert (tmp_path / made).stat().st_mtime_ns == changed, "what a model made is not made again"
    with Library(library) as opened:
        kept = opened.timelines.get("anna")
        assert [part.clip for part in kept.parts] == [1, 2, 3, 4, None] and opened.get(1).origin == "generated"
        assert FilmMaker(tmp_path, opened).film(kept).frames == count.frames
    main(
        [
            "template",
            str(mine),
            "2",
            "days=3",
            "4",
            "--names",
            "name=Bo",
            "--library",
            str(library),
            "--to",
            str(tmp_path / "bo.json"),
        ]
    )
    assert [part.clip for part in read_timeline(tmp_path / "bo.json").parts[1:4]] == [2, 3, 4]
    assert not (tmp_path / "bo.mp4").exists()


def test_those_that_come_along_are_listed_filled_and_copied(
    tmp_path: Path, sources: list[Path], model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["template", "list"])
    listed = capsys.readouterr().out
    assert "birth" in listed and "graduation" in listed and set(template_folders()) == {"birth", "graduation"}
    for name, found in ((name, find_template(Path(name))[1]) for name in template_folders()):
        assert found.needed == ("name",) and found.model == "stream-shapes" and found.music is not None
        labels = dict.fromkeys((part.generate.label or "" for part in found.parts if part.generate), "run")
        filled = FilledTemplate(Path(name), tmp_path / f"{name}.mp4", model=model, labels=labels)
        timeline = filled.fill(given(sources), {"name": "Anna"})
        assert FilmMaker(tmp_path).film(timeline).frames > 25 * 15
    main(["template", "birth", "--edit", str(tmp_path / "mine")])
    assert find_template(tmp_path / "mine")[1] == find_template(Path("birth"))[1]
    with pytest.raises(SystemExit):
        main(["template", "birth", "--edit", str(tmp_path / "mine")])


def test_clips_go_where_they_belong(tmp_path: Path, model: Path, sources: list[Path]) -> None:
    found = find_template(template(tmp_path / "a", model))[1]

    def stand(*told: GivenClip) -> dict[str, list[str]]:
        return {slot: [clip.path.stem for clip in chosen] for slot, chosen in divided(found, told, "a").items()}

    assert stand(*given(sources)) == {"first": ["0"], "days": ["1", "2", "3"]}
    assert stand(*given(sources[:3]), GivenClip(sources[3], slot="first")) == {"first": ["3"], "days": ["0", "1", "2"]}
    labelled = [{"slot": "sea", "label": "beach", "most": None}, {"slot": "rest", "most": 2, "least": 0}]
    found = find_template(template(tmp_path / "b", None, labelled))[1]
    beach = [GivenClip(sources[0], label="home"), *given(sources[1:3], label="beach")]
    assert stand(*beach) == {"sea": ["1", "2"], "rest": ["0"]}
    found = find_template(template(tmp_path / "c", None, [{"slot": "all", "most": None}], order="date"))[1]
    filled = FilledTemplate(tmp_path / "c", tmp_path / "film.mp4").fill(given(sources), {"name": "Anna"})
    assert [Path(part.file or "").stem for part in filled.parts] == ["3", "2", "1", "0"]


def test_a_clip_that_is_given_twice_stands_twice() -> None:
    told = FilmTemplate((TemplatePart(slot="sea", label="beach", most=1), TemplatePart(slot="rest", most=None)))
    twice = [GivenClip(Path("a.mp4"), label="beach")] * 2
    assert divided(told, twice, "mine") == {"sea": twice[:1], "rest": twice[:1]}


def test_nothing_of_mine_is_written_over(
    tmp_path: Path, sources: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    mine = template(tmp_path / "mine", None, [{"slot": "a", "seconds": 0.4, "shortest": 0.2}], needed=[])
    clip, film = tmp_path / "s.mp4", tmp_path / "film.json"
    clip.write_bytes(sources[0].read_bytes())
    film.write_text("mine")
    library = tmp_path / "library"
    with Library(library) as opened:
        opened.timelines.save("kept", Timeline())
    for told, says in (
        (["--to", str(clip)], "the clip itself"),
        (["--to", str(film)], "is there already"),
        (["--to", str(tmp_path / "kept.json"), "--library", str(library)], "changed meanwhile"),
    ):
        with pytest.raises(SystemExit):
            main(["template", str(mine), f"a={clip}", *told])
        assert says in " ".join(capsys.readouterr().err.split())
    assert clip.read_bytes() == sources[0].read_bytes() and film.read_text() == "mine"
    with Library(library) as opened:
        assert opened.timelines.get("kept") == Timeline()
    for _ in range(2):  # the same command goes on
        main(["template", str(mine), f"a={clip}", "--to", str(tmp_path / "new.json"), "--library", str(library)])
    assert read_timeline(tmp_path / "new.json").parts[0].file == str(clip.resolve())


def test_nothing_is_left_of_what_is_refused(tmp_path: Path, model: Path, sources: list[Path]) -> None:
    parts = [{"generate": {"label": "walk"}, "seconds": 0.4}, {"slot": "a", "seconds": 0.4, "shortest": 0.2}]
    mine, place, library = template(tmp_path / "mine", model, parts, needed=[]), tmp_path / "to", tmp_path / "library"
    short = tmp_path / "short.mp4"
    write_clip(short, [np.zeros((1, 24, 32, 3), np.uint8)], fps=25, metadata={})
    place.mkdir()
    with Library(library) as opened:
        opened.timelines.save("film", Timeline())
    for clip, told in ((short, []), (sources[0], ["--library", str(library)])):
        with pytest.raises(SystemExit):
            main(["template", str(mine), f"a={clip}", "--to", str(place / "film.json"), *told])
        assert list(place.iterdir()) == []
    (place / "film.json").write_text("mine")
    with pytest.raises(SystemExit):
        main(["template", str(mine), f"a={sources[0]}", "--to", str(place / "film.json")])
    assert [path.name for path in place.iterdir()] == ["film.json"] and (place / "film.json").read_text() == "mine"


def test_when_a_clip_was_taken(tmp_path: Path) -> None:
    picture = Image.new("RGB", (8, 8))
    exif = picture.getexif()
    exif.get_ifd(0x8769)[0x9003] = "2001:02:03 04:05:06"
    picture.save(tmp_path / "a.jpg", exif=exif)
    plain = tmp_path / "b.jpg"
    picture.save(plain)
    os.utime(plain, (1_000_000, 1_000_000))
    assert 981_000_000 < taken_at(tmp_path / "a.jpg") < 981_260_000 and taken_at(plain) == 1_000_000


def test_words_of_titles() -> None:
    assert words_for("{name}\n{date}\nend", {"name": "Anna"}) == "Anna\nend"
    assert words_for("born {date}", {}) == "born" and words_for("{date}", {}) == ""
    assert words_for("{name.real} {name}", {"name": "{date}"}) == "{name.real} {date}", "nothing else is looked up"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["birth", "{0}", "--names", "Anna"],
            "1 clip is given, and birth needs 3: give 2 more: first 1, days 1, last 1",
        ),
        (["brith", "{0}"], 'there is no template "brith"'),
        (["{mine}", "{0}", "{1}"], "mine needs name (who was born): give --names name="),
        (["{mine}", "{0}", "frist={1}", "--names", "Anna"], 'there is no slot "frist" in mine'),
        (["{mine}", "{0}", "{1}", "--names", "nmae=Anna"], 'mine has no name "nmae"'),
        (["{mine}", "{0}", "{1}", "--names", "Anna", "Bo"], 'names has "Bo": give each once'),
        (["{mine}", "{0}", "{1}", "--names", "宝贝"], "the font DejaVuSans.ttf has no sign for"),
        (
            ["{mine}", "{0}", "{short}", "--names", "Anna"],
            '"short.mp4" lasts 0.08 s, and mine needs 0.4 s of each clip',
        ),
        (["{mine}", "{0}", "{tmp}/none.mp4", "--names", "Anna"], "does not exist: give a video or a picture"),
        (["{mine}", "{0}", "{1}", "--names", "Anna", "--model", "stream-signs"], "stream-signs has no labels"),
        (
            ["{mine}", "{0}", "{1}", "--names", "Anna", "--labels", "walk=swim"],
            "--labels walk=LABEL with one of walk, run",
        ),
        (["{mine}", "{0}", "{1}", "--names", "Anna", "--labels", "swim=run"], 'asks for no label "swim"'),
        (["{mine}", "{0}", "{1}", "--names", "Anna", "--model", "lens-8"], "lens-8"),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(
    words: list[str],
    says: str,
    tmp_path: Path,
    model: Path,
    sources: list[Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("footage.media.titles.FONTS", ())
    short = clips.write(tmp_path / "short.mp4", clips.moving(2, (24, 32)))
    known = {"mine": template(tmp_path / "mine", model), "short": short, "tmp": tmp_path}
    with pytest.raises(SystemExit):
        main(["template", *(word.format(*sources, **known) for word in words), "--to", str(tmp_path / "film.mp4")])
    assert says in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "film.mp4").exists()


@pytest.mark.parametrize(
    ("parts", "more", "says"),
    [
        ([{"slot": "a"}, {"slot": "a"}], {}, 'two slots "a"'),
        ([{"slot": "a", "file": "b.mp4"}], {}, "give one of slot, generate, file"),
        ([{}], {}, "give slot, generate, file or title"),
        ([{"slot": "a", "least": 3, "most": 2}], {}, "give at least 3"),
        ([{"slot": "a"}], {"needed": ["nmae"]}, 'needs "nmae"'),
        ([{"slot": "a"}], {"version": 2}, "reads up to format 1"),
        ([{"slot": "a"}], {"footage": "timeline"}, "is no template"),
        ([{"slot": "a", "lats": 1}], {}, 'has no "lats"'),
    ],
)
def test_what_is_wrong_in_a_template_is_named(
    parts: list[dict[str, Any]], more: dict[str, Any], says: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=says):
        find_template(template(tmp_path / "mine", None, parts, **more))


def test_no_room_for_more_and_no_model(tmp_path: Path, sources: list[Path]) -> None:
    template(tmp_path / "one", None, [{"slot": "a"}])
    template(tmp_path / "two", None, [{"generate": {}}])
    template(tmp_path / "three", None, [{"slot": "sea", "label": "beach"}])
    for name, says in (
        ("one", "has no room for 3 of 4 clips: leave 3 out"),
        ("two", "give --model"),
        ("three", "beach"),
    ):
        with pytest.raises(FootageError, match=says):
            FilledTemplate(tmp_path / name, tmp_path / "film.mp4").fill(
                given(sources if name != "two" else []), {"name": "Anna"}
            )
