"""Edit lists, by the numbers of standards and the formats' document types, and read back by OpenTimelineIO."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest

from footage.library.edit_lists import Shot, timecode_rate, timeline_rate, write_list
from footage.library.import_export import ExportOptions
from footage.library.library import Library
from footage.media.encode import write_clip
from footage.media.probe import count_frames
from tests.clips import moving, write

FILM, VIDEO, FAST = Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001)
SUFFIXES = (".otio", ".fcpxml", ".xml", ".edl")


def shot(frames: int, rate: Fraction | None, title: str = "a") -> Shot:
    return Shot(title, f"x-media/{title}.mp4", f"{title}.mp4", frames, rate, 16, 32, False, {"id": 1})


def read(text: str, suffix: str, rate: Fraction) -> list[Any]:
    """The clips of a list by OpenTimelineIO and its adapters."""
    return list(read_whole(text, suffix, rate).find_clips())


def read_whole(text: str, suffix: str, rate: Fraction) -> Any:
    """A list by OpenTimelineIO and its adapters."""
    otio = pytest.importorskip("opentimelineio")
    adapter = {".otio": "otio_json", ".fcpxml": "fcpx_xml", ".xml": "fcp_xml", ".edl": "cmx_3600"}[suffix]
    options = {"rate": float(rate)} if suffix == ".edl" else {}
    return otio.adapters.read_from_string(text, adapter_name=adapter, **options)


CHILDREN = {
    "fcpxml": "(resources,)?(project,)*",
    "resources": "((asset|effect|format),)*",
    "format": "",
    "effect": "",
    "transition": "(filter-video,)?(filter-audio,)?(marker,)*",
    "filter-video": "(data,)?(param,)*",
    "asset": "(metadata,)?",
    "project": "sequence,",
    "sequence": "(note,)?spine,(metadata,)?",
    "spine": "((asset-clip|gap|transition),)*",
    "asset-clip": "(note,)?(marker,)*(metadata,)?",
}
"""What of FCPXML 1.8's document type concerns the elements that are written: children in their order."""
ATTRIBUTES = {
    "fcpxml": ({"version"}, set[str]()),
    "resources": (set[str](), set[str]()),
    "format": ({"id"}, {"name", "frameDuration", "fieldOrder", "width", "height", "colorSpace"}),
    "asset": (
        {"id", "src"},
        {"name", "uid", "start", "duration", "hasVideo", "format", "hasAudio"}
        | {"audioSources", "audioChannels", "audioRate"},
    ),
    "effect": ({"id", "uid"}, {"name", "src"}),
    "transition": (set[str](), {"name", "offset", "duration"}),
    "filter-video": ({"ref"}, {"name", "enabled"}),
    "project": (set[str](), {"name", "uid", "id", "modDate"}),
    "sequence": (
        {"format"},
        {"duration", "tcStart", "tcFormat", "audioLayout", "audioRate", "renderFormat", "keywords"},
    ),
    "spine": (set[str](), {"lane", "offset", "name", "format"}),
    "asset-clip": (
        {"ref"},
        {"srcEnable", "audioStart", "audioDuration", "offset", "name", "start", "duration", "enabled", "lane", "format"}
        | {"tcStart", "tcFormat", "audioRole", "videoRole"},
    ),
}
"""Attributes that an element has to have, and those that it may have."""


def seconds(text: str) -> Fraction:
    """A time of FCPXML: whole seconds, or a fraction of 64 over 32 bits, and an s."""
    assert re.fullmatch(r"\d+(/[1-9]\d*)?s", text), text
    time = Fraction(text[:-1])
    assert int(text[:-1].partition("/")[2] or 1) < 2**31
    return time


def check_fcpxml(text: str) -> ElementTree.Element:
    """Hold a list to FCPXML's document type and to what Apple's reference asks for beside it."""
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n')
    root = ElementTree.fromstring(text)
    identified = {element.get("id"): element for element in root.iter() if element.get("id")}
    assert len(identified) == sum("id" in element.attrib for element in root.iter()), "ids are unique"
    for element in root.iter():
        assert re.fullmatch(CHILDREN[element.tag], "".join(f"{child.tag}," for child in element)), element.tag
        needed, allowed = ATTRIBUTES[element.tag]
        assert needed <= set(element.attrib) <= needed | allowed, element.attrib
        assert element.get("tcFormat", "DF") in ("DF", "NDF")
        for name, kind in (("format", "format"), ("ref", "effect" if element.tag == "filter-video" else "asset")):
            if name in element.attrib:
                assert identified[element.attrib[name]].tag == kind, "references lead to what they name"
    sequence = root.find("project/sequence")
    assert sequence is not None
    frame = seconds(identified[sequence.attrib["format"]].attrib["frameDuration"])
    at = Fraction(0)
    for clip in sequence.iterfind("spine/asset-clip"):
        asset = identified[clip.attrib["ref"]]
        duration = seconds(clip.attrib["duration"])
        assert (duration / frame).denominator == 1 and seconds(clip.attrib["offset"]) == at, "on the edges of frames"
        assert duration <= max(frame, seconds(asset.attrib["duration"])), "not past the media"
        own = seconds(identified[asset.attrib["format"]].attrib["frameDuration"])
        assert (seconds(asset.attrib["duration"]) / own).denominator == 1
        assert seconds(clip.attrib["start"]) + duration <= max(frame, seconds(asset.attrib["duration"]))
        at += duration
    check_transitions(list(sequence.iterfind("spine/*")), identified, frame)
    assert seconds(sequence.attrib["duration"]) == at
    return root


def check_transitions(spine: list[ElementTree.Element], identified: dict[Any, Any], frame: Fraction) -> None:
    """Between two clips each, over the cut in their middle, on the edges of frames, of media that go on."""
    places = [number for number, element in enumerate(spine) if element.tag == "transition"]
    for number in places:
        one, transition, other = spine[number - 1 : number + 2]
        assert one.tag == other.tag == "asset-clip" and transition.find("filter-video") is not None
        cut, offset = (seconds(each.attrib["offset"]) for each in (other, transition))
        before, after = cut - offset, offset + seconds(transition.attrib["duration"]) - cut
        assert (before / frame).denominator == 1 and after - before in (0, frame)
        assert before <= seconds(other.attrib["start"]), "there is something ahead of its first frame"
        shown = seconds(one.attrib["start"]) + seconds(one.attrib["duration"])
        assert shown + after <= seconds(identified[one.attrib["ref"]].attrib["duration"]), "and behind the last"


def test_film_of_five_minutes() -> None:
    """7,193 frames of 24000/1001 are 00:04:59:17: 299 × 24 + 17, for its timecode leaves no numbers out."""
    film = [shot(7193, FILM, "b & <c>")]
    written = {suffix: write_list(film, "cut", suffix, FILM) for suffix in SUFFIXES}
    assert "00:00:00:00 00:04:59:17 00:00:00:00 00:04:59:17" in written[".edl"]
    assert written[".edl"].startswith("TITLE: cut\nFCM: NON-DROP FRAME\n")
    root = check_fcpxml(written[".fcpxml"])
    assert root.findall("resources/format")[0].get("frameDuration") == "1001/24000s"
    assert root.findall(".//asset-clip")[0].get("duration") == "7200193/24000s"
    xml = ElementTree.fromstring(written[".xml"])
    assert {(rate[0].text, rate[1].text) for rate in xml.iter("rate")} == {("24", "TRUE")}
    assert {element.text for tag in ("out", "end", "duration") for element in xml.iter(tag)} == {"7193"}
    for suffix in (".otio", ".xml", ".edl"):
        (clip,) = read(written[suffix], suffix, FILM)
        assert clip.source_range.duration.value == 7193 and clip.name == "b & <c>"
        assert clip.source_range.duration.rate == pytest.approx(24000 / 1001, rel=1e-12)
    (clip,) = read(written[".fcpxml"], ".fcpxml", FILM)
    assert clip.source_range.duration.to_seconds() == pytest.approx(300, abs=0.1), "its adapter counts in 23 a second"


@pytest.mark.parametrize(
    ("frames", "rate", "out"),
    [
        (1801, VIDEO, "00:01:00;03"),  # the numbers 00 and 01 of minute 1 are left out
        (17982, VIDEO, "00:10:00;00"),  # but not of minute 10
        (3597, FAST, "00:00:59;57"),
        (3601, FAST, "00:01:00;05"),  # there four are left out
        (1800, Fraction(30), "00:01:00:00"),
        (1500, Fraction(25), "00:01:00:00"),
        (24, FILM, "00:00:01:00"),
    ],
)
def test_timecode_drops_numbers_as_smpte_st_12_1_says(frames: int, rate: Fraction, out: str) -> None:
    text = write_list([shot(frames, rate)], "cut", ".edl", rate)
    assert f" {out} " in text
    assert ("FCM: DROP FRAME" in text) == (";" in out)
    (clip,) = read(text, ".edl", rate)
    assert clip.source_range.duration.value == frames
    counting = "DF" if ";" in out else "NDF"
    xml = ElementTree.fromstring(write_list([shot(frames, rate)], "cut", ".xml", rate))
    assert xml.findtext("sequence/timecode/displayformat") == counting
    fcpxml = check_fcpxml(write_list([shot(frames, rate)], "cut", ".fcpxml", rate))
    assert [sequence.get("tcFormat") for sequence in fcpxml.iter("sequence")] == [counting]


def test_reels_are_words_of_their_own() -> None:
    shots = [shot(9, FILM, title) for title in ("a long title", "a long title too", "影", "夜", *["x"] * 12)]
    lines = re.findall(r"^\d{3}  (\S+) +V ", write_list(shots, "cut", ".edl", FILM), re.MULTILINE)
    assert lines[:4] == ["alongtit", "alongti2", "CLIP", "CLIP2"] and lines[-1] == "x12" and len(set(lines)) == 16


def test_rates_that_are_none_of_timecode_are_counted_in_a_multiple() -> None:
    found = {str(rate): timecode_rate(rate) for rate in map(Fraction, ("12", "25/2", "15000/1001", "10", "120", "7"))}
    assert found == {"12": 24, "25/2": 25, "15000/1001": VIDEO, "10": 30, "120": 60, "7": FILM}
    shots = [shot(7, Fraction(25, 2)), shot(8, Fraction(25, 2)), shot(9, FILM)]
    assert timeline_rate(shots, None, ".otio") == Fraction(25, 2) and timeline_rate(shots, None, ".xml") == 25
    assert timeline_rate(shots, VIDEO, ".edl") == VIDEO
    xml = ElementTree.fromstring(write_list(shots, "cut", ".xml", Fraction(25)))
    assert [out.text for out in xml.iter("out")] == ["14", "16", "9"], "9 / 24 s have room for 9 frames of 25 a second"
    assert [file.findtext("duration") for file in xml.iter("file")] == ["14", "16", "9"]
    assert [(file.findtext("rate/timebase"), file.findtext("rate/ntsc")) for file in xml.iter("file")] == [
        *[("25", "FALSE")] * 2,
        ("24", "TRUE"),
    ]


@pytest.mark.parametrize("timeline", [FILM, Fraction(24), Fraction(25), VIDEO, Fraction(50), FAST])
def test_no_clip_is_longer_than_its_media(timeline: Fraction) -> None:
    rates = (FILM, Fraction(24), Fraction(25), VIDEO, Fraction(30), FAST, Fraction(120), Fraction(25, 2))
    shots = [shot(frames, rate, f"{rate}".replace("/", "-")) for rate in rates for frames in (1, 7, 40, 1001)]
    for one in shots:
        assert one.rate is not None
        assert one.length(timeline) / timeline <= max(one.frames / one.rate, 1 / timeline)
        assert (one.length(timeline) + 1) / timeline > one.frames / one.rate, "nor a frame shorter than need be"
    check_fcpxml(write_list([*shots, shot(1, None, "picture")], "cut", ".fcpxml", timeline))
    otio = read(write_list(shots, "cut", ".xml", timeline), ".xml", timeline)
    for clip in otio:
        media = clip.media_reference.available_range.end_time_exclusive().to_seconds()
        assert clip.source_range.end_time_exclusive().to_seconds() <= max(media, 1 / timeline) + 1e-9


def film_with_transitions() -> list[Shot]:
    """153 frames at 25 a second: a fade of 10, a transition of 7 to a picture, a cut."""
    return [
        replace(shot(40, Fraction(25), "a"), taken=35, trail=Fraction(5, 25)),
        replace(
            shot(40, Fraction(25), "b"),
            first=5,
            taken=28,
            transition="fade",
            lead=Fraction(5, 25),
            trail=Fraction(4, 25),
        ),
        replace(shot(1, None, "p"), seconds=Fraction(2), transition="circleopen", lead=Fraction(3, 25)),
        shot(40, Fraction(25), "c"),
    ]


@pytest.mark.parametrize("suffix", [".otio", ".xml", ".edl"])
def test_transitions_are_read_as_they_were_written(suffix: str) -> None:
    read = read_whole(write_list(film_with_transitions(), "cut", suffix, Fraction(25)), suffix, Fraction(25))
    (track,) = read.video_tracks()
    assert read.duration().value == 35 + 28 + 50 + 40
    offsets = [(each.in_offset.value, each.out_offset.value) for each in track if each.schema_name() == "Transition"]
    spans = [(each.source_range.start_time.value, each.source_range.duration.value) for each in track.find_clips()]
    if suffix == ".edl":  # there the new clip begins with the transition
        assert offsets == [(0, 10), (0, 7)] and spans == [(0, 30), (0, 30), (0, 53), (0, 40)]
    else:
        assert offsets == [(5, 5), (3, 4)] and spans == [(0, 35), (5, 28), (3, 50), (0, 40)]
    kinds = [each.transition_type for each in track if each.schema_name() == "Transition"]
    assert kinds == ["SMPTE_Dissolve", "Custom_Transition" if suffix == ".otio" else "SMPTE_Dissolve"]


def test_transitions_are_called_by_their_names() -> None:
    film = film_with_transitions()
    edl = write_list(film, "cut", ".edl", Fraction(25))
    events = re.findall(r"^(\d{3})  (\S+) +V +(C|D (\d+)) +(\S+) (\S+) (\S+) (\S+)$", edl, re.MULTILINE)
    assert [(number, reel, kind[0]) for number, reel, kind, *_ in events] == [
        *[("001", "a", "C"), ("002", "a", "C"), ("002", "b", "D"), ("003", "b", "C"), ("003", "p", "D")],
        ("004", "c", "C"),
    ]
    assert events[1][4:] == ("00:00:01:05",) * 4, "a cut of no length where the dissolve begins"
    assert events[2][3:] == ("010", "00:00:00:00", "00:00:01:05", "00:00:01:05", "00:00:02:10")
    assert re.findall(r"D (\d+) .*\n\* EFFECT NAME: (.*)", edl) == [("007", "circleopen")], "a fade needs no name"
    fcpxml = check_fcpxml(write_list(film, "cut", ".fcpxml", Fraction(25)))
    found = [tuple(each.attrib[name] for name in ("name", "offset", "duration")) for each in fcpxml.iter("transition")]
    assert found == [("Cross Dissolve", "6/5s", "2/5s"), ("circleopen", "12/5s", "7/25s")]
    xml = ElementTree.fromstring(write_list(film, "cut", ".xml", Fraction(25)))
    assert [each.findtext("effect/name") for each in xml.iter("transitionitem")] == ["Cross Dissolve", "circleopen"]
    plain = write_list([replace(each, transition="") for each in film], "cut", ".fcpxml", Fraction(25))
    assert "<transition" not in plain and "<effect" not in plain


@pytest.mark.parametrize("timeline", [FILM, Fraction(24), Fraction(25), VIDEO, Fraction(50)])
def test_no_transition_takes_more_than_media_have(timeline: Fraction) -> None:
    """Parts of clips of all rates, up to the ends of their media, with transitions that fill them wholly."""
    second, shots = Fraction(1), list[Shot]()
    for number, (rate, shown) in enumerate(itertools.product((FILM, Fraction(25), FAST, Fraction(25, 2)), (9, 26, 27))):
        part = replace(shot(60, rate, f"c{number}"), first=17, taken=shown, lead=17 / rate, trail=(43 - shown) / rate)
        shots.append(replace(part, transition="" if number == 5 else "fade"))
    shots += [replace(shot(1, None, "p"), lead=second, trail=second, seconds=second, transition="dissolve"), shots[3]]
    lasts = sum(each.length(timeline) for each in shots)
    check_fcpxml(write_list(shots, "cut", ".fcpxml", timeline))
    edl = read_whole(write_list(shots, "cut", ".edl", timeline), ".edl", timeline)
    assert edl.duration().value == lasts and len(edl.find_clips()) == len(shots)
    for suffix in (".otio", ".xml"):
        (track,) = read_whole(write_list(shots, "cut", suffix, timeline), suffix, timeline).video_tracks()
        assert track.duration().value == lasts
        transitions = [each for each in track if each.schema_name() == "Transition"]
        assert len(transitions) == len(shots) - 2
        for clip in track.find_clips():
            before, after = track.neighbors_of(clip)
            into = before.in_offset.to_seconds() if before in transitions else 0
            onto = after.out_offset.to_seconds() if after in transitions else 0
            media, shown = clip.media_reference.available_range, clip.source_range
            assert shown.start_time.to_seconds() >= into
            end = shown.end_time_exclusive().to_seconds() + onto
            assert end <= media.end_time_exclusive().to_seconds() + 1e-9
            taken = (before.out_offset.value if before in transitions else 0) + (
                after.in_offset.value if after in transitions else 0
            )
            assert taken <= shown.duration.value, "one transition begins behind the end of the other"


def test_frames_are_counted_and_paths_are_as_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("opentimelineio")
    library = Library(tmp_path / "library")
    write_clip(tmp_path / "film.mkv", [np.stack(moving(49, (16, 32)))], fps=FILM, metadata={}, encoding=None)
    write(tmp_path / "a #1 é.mp4", moving(10, (16, 16)), fps=25)
    times = [n / 24.5 for n in range(20)]  # a recorder that was late: 20 pictures in 0.82 s
    write(tmp_path / "late.mp4", moving(20, (16, 16)), fps=24, times=times)
    for name in ("film.mkv", "a #1 é.mp4", "late.mp4"):
        library.add(tmp_path / name)
    for suffix in SUFFIXES:
        to = tmp_path / f"out{suffix[1:]}" / f"cut{suffix}"
        written = library.export([1, 2, 3], to, ExportOptions(relative=True))
        assert all(path.is_relative_to(to.parent) for path in written)
        text = to.read_text(encoding="utf-8")
        assert str(tmp_path) not in text and "file:" not in text
        clips = read(text, suffix, FILM)
        assert clips[0].source_range.duration.value == (49 if suffix != ".fcpxml" else 47), "(counted by 23 a second)"
        for clip, path in zip(clips, written[1:], strict=True):
            place = unquote(clip.media_reference.target_url)
            assert place == f"cut-media/{path.name}" and (to.parent / place).samefile(path)
        absolute = library.export([1], tmp_path / f"there{suffix}", ExportOptions())
        (clip,) = read(absolute[0].read_text(encoding="utf-8"), suffix, FILM)
        assert clip.media_reference.target_url == absolute[1].as_uri()
    library.close()


def test_room_for_frames_of_clips_that_jitter(tmp_path: Path) -> None:
    even = count_frames(write(tmp_path / "even.mp4", moving(30, (16, 16)), fps=30))
    assert even.playable == even.frames == 30 and even.span == Fraction(29, 30) and not even.has_audio
    short = write(tmp_path / "short.mkv", moving(30, (16, 16)), fps=30, times=[n / 33 for n in range(30)])
    counted = count_frames(short)
    assert counted.frames == 30 and counted.span == pytest.approx(29 / 33, abs=1e-3)
    room = counted.span + 1 / counted.rate  # type: ignore[operator]
    assert counted.playable / counted.rate <= room + Fraction(1, 2) / counted.rate  # type: ignore[operator]
