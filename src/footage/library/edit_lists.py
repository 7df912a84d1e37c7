"""Edit lists: clips one after another on a timeline, as files that cutting programs open.

Times are whole frames of exact rates. `.otio` and `.edl` (CMX 3600) are written by OpenTimelineIO; FCPXML 1.8 (Final
Cut Pro) and xmeml 4 (Final Cut Pro 7, Premiere, Resolve) here, after Apple's document types, which that library's
adapters do not keep to.

Shots stand one behind the other, from cut to cut. A transition lies over the cut in its middle: its first frames are
the last that are shown of the shot before, mixed with what the next one's media hold ahead of its first, and the other
way round behind the cut. So none changes where shots stand, or how long all is.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from footage.errors import LibraryError, MediaError
from footage.library.entries import ClipEntry
from footage.media.probe import count_frames
from footage.media.rates import exact_rate

TIMECODES = tuple(Fraction(rate) for rate in ("24000/1001", "24", "25", "30000/1001", "30", "50", "60000/1001", "60"))
"""Rates of timelines that count in timecode."""
DROPPING = (Fraction(30000, 1001), Fraction(60000, 1001))
"""Those whose timecode leaves numbers out, so as to keep step with the clock (SMPTE ST 12-1)."""
STILL_RATE = Fraction(25)
"""Rate of a timeline that holds pictures only."""
STILL_SECONDS = 4
"""How long a picture stands."""
DISSOLVES = ("fade", "dissolve")
"""Kinds of transitions that every cutting program has; for others one stands in lists, with their name."""
CROSS_DISSOLVE = "Cross Dissolve"
"""What Apple's programs call it."""
CROSS_DISSOLVE_UID = "FxPlug:4731E73A-8DAC-4113-9A30-AE85B1761265"
"""By which Final Cut Pro finds it."""
INSTALL = 'pip install "footage[timeline]"'


@dataclass(frozen=True)
class Shot:
    """A clip on the timeline, whole or a part of it."""

    title: str
    url: str
    """Of its file: absolute, or relative to the list."""
    name: str
    """Of its file."""
    frames: int
    """Pictures in it."""
    rate: Fraction | None
    """Of these a second; None for a picture."""
    height: int
    width: int
    has_audio: bool
    about: Mapping[str, Any]
    """What else is known of it, for formats that keep it."""
    first: int = 0
    """The first picture that is shown."""
    taken: int | None = None
    """Pictures that are shown; None for all from there on."""
    seconds: Fraction | None = None
    """For how long a picture stands; None for `STILL_SECONDS`."""
    transition: str = ""
    """Kind of the transition from the shot before; empty for a cut."""
    lead: Fraction = Fraction(0)
    """Seconds for which it is seen in that transition already before its first picture."""
    trail: Fraction = Fraction(0)
    """Seconds for which it is seen behind its last one, in the transition to the next."""

    @classmethod
    def of(cls, entry: ClipEntry, path: Path, url: str, name: str) -> Shot:
        """Return a clip as it stands on a timeline; its frames are counted."""
        frames, rate = entry.frames, exact_rate(entry.fps) if entry.fps > 0 else None
        height, width, has_audio = entry.height, entry.width, False
        if rate is not None:
            with contextlib.suppress(MediaError):  # it was readable when it was added
                count = count_frames(path)
                frames, height, width, has_audio = count.playable, count.height, count.width, count.has_audio
                rate = count.rate or rate
        about = {
            "id": entry.id,
            "digest": entry.digest,
            "model": entry.model or "",
            "label": entry.label or "",
            "seed": -1 if entry.seed is None else entry.seed,
            "stars": entry.stars,
            "verdict": entry.verdict,
            "tags": list(entry.tags),
            "notes": entry.notes,
        }
        return cls(entry.title, url, name, frames, rate, height, width, has_audio, about)

    def length(self, timeline: Fraction) -> int:
        """Return its length in frames of a timeline of a rate, not past its end; at least one."""
        if self.rate is None:
            return max(1, math.floor((STILL_SECONDS if self.seconds is None else self.seconds) * timeline))
        shown = self.frames - self.first if self.taken is None else self.taken
        return max(1, math.floor(shown / self.rate * timeline))

    @property
    def label(self) -> str:
        """Name of its transition, as Apple's programs show it."""
        return CROSS_DISSOLVE if self.transition in DISSOLVES else self.transition

    def begin(self, timeline: Fraction) -> int:
        """Return where it begins within its file, in frames of a timeline of a rate."""
        return self.handles(timeline)[0] if self.rate is None else math.floor(self.first / self.rate * timeline)

    def handles(self, timeline: Fraction) -> tuple[int, int]:
        """Return how many frames of a timeline transitions take ahead of it and behind it, and its media have."""
        lead, trail = round(self.lead * timeline), round(self.trail * timeline)
        if self.rate is None:
            return lead, trail
        spare = math.floor((self.frames - self.first) / self.rate * timeline) - self.length(timeline)
        return min(lead, self.begin(timeline)), max(0, min(trail, spare))

    def own(self, timeline: Fraction) -> tuple[int, Fraction]:
        """Return its length and rate by which it is counted itself; a picture by the timeline's."""
        if self.rate is None:
            return self.length(timeline) + sum(self.handles(timeline)), timeline
        return self.frames, self.rate


def timeline_rate(shots: Sequence[Shot], asked: Fraction | None, suffix: str) -> Fraction:
    """Return the rate of a timeline: what is asked for, or that of most of its clips.

    Formats other than .otio count in timecode: there it is a rate of timecode.
    """
    counted = collections.Counter(shot.rate for shot in shots if shot.rate is not None)
    rate = asked or (counted.most_common(1)[0][0] if counted else STILL_RATE)
    return rate if suffix == ".otio" else timecode_rate(rate)


def timecode_rate(rate: Fraction) -> Fraction:
    """Return the least rate of timecode that is a multiple of a rate, so that no frame is divided; else the nearest."""
    multiples = [usual for usual in TIMECODES if (usual / rate).denominator == 1]
    return multiples[0] if multiples else min(TIMECODES, key=lambda usual: abs(usual - rate))


def overlaps(shots: Sequence[Shot], rate: Fraction) -> list[tuple[int, int]]:
    """Return how far each transition lies before and behind its cut, in frames of a timeline of a rate.

    The first is that into the first shot, the last that out of the last one: both are (0, 0), as cuts are. A cut is in
    the middle, with the odd frame behind it, as programs see it that tell no more than "centred"; of a transition for
    which media have too few frames at the timeline's rate, the ends are left out.
    """
    found = [(0, 0)]
    for one, other in itertools.pairwise(shots):
        room = min(one.handles(rate)[1], other.length(rate))
        before = min(other.handles(rate)[0], room, one.length(rate) - found[-1][1])
        found.append((before, min(room, before + 1)) if other.transition else (0, 0))
    return [*found, (0, 0)]


def write_list(shots: Sequence[Shot], name: str, suffix: str, rate: Fraction) -> str:
    """Return the text of an edit list.

    Args:
        shots: in their order.
        name: of the timeline.
        suffix: .otio, .edl, .fcpxml or .xml.
        rate: of the timeline, in frames a second.

    Raises:
        LibraryError: OpenTimelineIO or its adapter is needed and not installed, or cannot write them.
    """
    if suffix in (".otio", ".edl"):
        return opentimelineio_text(shots, name, suffix, rate)
    root = fcpxml_project(shots, name, rate) if suffix == ".fcpxml" else xmeml_sequence(shots, name, rate)
    ElementTree.indent(root, " ")
    text = ElementTree.tostring(root, encoding="unicode")
    text = re.sub("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", text)  # XML 1.0, section 2.2
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE {root.tag}>\n{text}\n'


def opentimelineio_text(shots: Sequence[Shot], name: str, suffix: str, rate: Fraction) -> str:
    """Return an edit list as OpenTimelineIO writes it: .otio or .edl; see `write_list`."""
    try:
        import opentimelineio as otio
    except (ImportError, OSError, RuntimeError) as error:
        raise LibraryError(f"edit lists need OpenTimelineIO ({error})", f"install it: {INSTALL}") from None

    def span(frames: int, unit: Fraction, begin: int = 0) -> Any:
        start, length = (otio.opentime.RationalTime(value, float(unit)) for value in (begin, frames))
        return otio.opentime.TimeRange(start, length)

    track, reels = otio.schema.Track(name="clips", kind=otio.schema.TrackKind.Video), set[str]()
    for shot, (before, after) in zip(shots, overlaps(shots, rate), strict=False):
        if before + after:
            types = otio.schema.TransitionTypes
            kind = types.SMPTE_Dissolve if suffix == ".edl" or shot.transition in DISSOLVES else types.Custom
            offsets = (otio.opentime.RationalTime(frames, float(rate)) for frames in (before, after))
            about = {"footage": {"kind": shot.transition}}
            track.append(otio.schema.Transition(shot.transition, kind, *offsets, metadata=about))
        reference = otio.schema.ExternalReference(shot.url, available_range=span(*shot.own(rate)))
        reference.name = shot.name
        shown = span(shot.length(rate), rate, shot.begin(rate))
        clip = otio.schema.Clip(shot.title, media_reference=reference, source_range=shown)
        clip.metadata["footage"] = dict(shot.about)
        if suffix == ".edl":  # a reel is a word of eight letters at most, by which media are told apart
            reel = word = re.sub("[^A-Za-z0-9]", "", shot.name.rpartition(".")[0])[:8] or "CLIP"
            number = 1
            while reel in reels:
                number += 1
                reel = f"{word[: 8 - len(str(number))]}{number}"
            reels.add(reel)
            clip.metadata["cmx_3600"] = {"reel": reel}
        track.append(clip)
    timeline = otio.schema.Timeline(name=name)
    timeline.tracks.append(track)
    try:
        text = str(otio.adapters.write_to_string(timeline, {".otio": "otio_json", ".edl": "cmx_3600"}[suffix]))
    except (otio.exceptions.OTIOError, ValueError, TypeError, KeyError, AttributeError) as error:
        problem = f"OpenTimelineIO cannot write {suffix} ({type(error).__name__}: {error})"
        raise LibraryError(problem, f"try .otio, or install the adapters: {INSTALL}") from error
    if suffix == ".edl":  # its adapter does not say how frames are counted
        counting = f"FCM: {'DROP' if rate in DROPPING else 'NON-DROP'} FRAME"
        text = re.sub(r"\A(TITLE: .*\n)?", lambda title: f"{title.group()}{counting}\n", text)
        kinds = iter([shot.transition for shot, cut in zip(shots, overlaps(shots, rate), strict=False) if any(cut)])

        def named(event: re.Match[str]) -> str:
            kind = next(kinds)
            return event.group() + ("" if kind in DISSOLVES else f"\n* EFFECT NAME: {kind}")

        text = re.sub(r"^\d{3,}  \S+ +V +D .*$", named, text, flags=re.MULTILINE)
    return text


def _seconds(frames: int, rate: Fraction) -> str:
    """Return the time of some frames as FCPXML writes it: a fraction of seconds."""
    time = frames / rate
    return f"{time.numerator}s" if time.denominator == 1 else f"{time.numerator}/{time.denominator}s"


def fcpxml_project(shots: Sequence[Shot], name: str, rate: Fraction) -> ElementTree.Element:
    """Return a project in FCPXML 1.8: formats and assets first, which the clips of the spine refer to."""
    root = ElementTree.Element("fcpxml", version="1.8")
    resources = ElementTree.SubElement(root, "resources")
    formats: dict[tuple[Fraction, int, int], str] = {}

    def format_id(unit: Fraction, height: int, width: int) -> str:
        key = (unit, height, width)
        if key not in formats:
            formats[key] = f"f{len(formats) + 1}"
            about = {"frameDuration": _seconds(1, unit), "width": str(width), "height": str(height)}
            ElementTree.SubElement(resources, "format", {"id": formats[key], **about})
        return formats[key]

    frame = format_id(rate, *_frame_size(shots))
    project = ElementTree.SubElement(root, "project", name=name)
    lengths, joined = [shot.length(rate) for shot in shots], overlaps(shots, rate)
    if any(map(any, joined)):
        ElementTree.SubElement(resources, "effect", id="e1", name=CROSS_DISSOLVE, uid=CROSS_DISSOLVE_UID)
    counting = "DF" if rate in DROPPING else "NDF"
    times = {"duration": _seconds(sum(lengths), rate), "tcStart": "0s", "tcFormat": counting}
    spine = ElementTree.SubElement(ElementTree.SubElement(project, "sequence", {"format": frame, **times}), "spine")
    for number, (shot, length) in enumerate(zip(shots, lengths, strict=True)):
        begin, own = _seconds(shot.begin(rate), rate), shot.own(rate)
        if shot.rate in TIMECODES:
            begin = _seconds(shot.first, shot.rate)
        elif shot.rate is not None:  # there are no formats of other rates
            own = max(1, math.floor(shot.frames / shot.rate * rate)), rate
        kind = {"format": format_id(own[1], shot.height, shot.width)}
        sound = {"hasAudio": "1", "audioSources": "1"} if shot.has_audio else {}
        about = {"id": f"a{number + 1}", "name": shot.name, "src": shot.url, "start": "0s", "duration": _seconds(*own)}
        ElementTree.SubElement(resources, "asset", {**about, "hasVideo": "1", **kind, **sound})
        cut, (before, after) = sum(lengths[:number]), joined[number]
        if before + after:
            place = {"offset": _seconds(cut - before, rate), "duration": _seconds(before + after, rate)}
            transition = ElementTree.SubElement(spine, "transition", {"name": shot.label, **place})
            ElementTree.SubElement(transition, "filter-video", ref="e1", name=CROSS_DISSOLVE)
        place = {"offset": _seconds(cut, rate), "duration": _seconds(length, rate)}
        about = {"ref": f"a{number + 1}", "name": shot.title, "start": begin, **place, **kind}
        ElementTree.SubElement(spine, "asset-clip", {**about, "tcFormat": "NDF"})
    return root


def _frame_size(shots: Sequence[Shot]) -> tuple[int, int]:
    """Return the height and width that most clips have."""
    return collections.Counter((shot.height, shot.width) for shot in shots).most_common(1)[0][0]


def xmeml_sequence(shots: Sequence[Shot], name: str, rate: Fraction) -> ElementTree.Element:
    """Return a sequence in Final Cut Pro's XML interchange format, version 4: frames of timebases."""

    def add(parent: ElementTree.Element, **texts: object) -> None:
        for tag, text in texts.items():
            ElementTree.SubElement(parent, tag).text = str(text)

    def add_rate(parent: ElementTree.Element, unit: Fraction) -> None:
        whole = math.ceil(unit)  # 24000/1001 is the timebase 24, and <ntsc>
        add(ElementTree.SubElement(parent, "rate"), timebase=whole, ntsc="FALSE" if whole == unit else "TRUE")

    def add_timecode(parent: ElementTree.Element, unit: Fraction, drops: bool) -> None:
        timecode = ElementTree.SubElement(parent, "timecode")
        add_rate(timecode, unit)
        add(timecode, string="00:00:00;00" if drops else "00:00:00:00", frame=0, displayformat="DF" if drops else "NDF")

    root = ElementTree.Element("xmeml", version="4")
    sequence = ElementTree.SubElement(root, "sequence", id="sequence-1")
    lengths = [shot.length(rate) for shot in shots]
    add(sequence, name=name, duration=sum(lengths))
    add_rate(sequence, rate)
    add_timecode(sequence, rate, rate in DROPPING)
    video = ElementTree.SubElement(ElementTree.SubElement(sequence, "media"), "video")
    frame = ElementTree.SubElement(ElementTree.SubElement(video, "format"), "samplecharacteristics")
    add_rate(frame, rate)
    height, width = _frame_size(shots)
    add(frame, width=width, height=height, pixelaspectratio="square")
    track, start, joined = ElementTree.SubElement(video, "track"), 0, overlaps(shots, rate)
    for number, (shot, length) in enumerate(zip(shots, lengths, strict=True), 1):
        (before, after), (ahead, behind) = joined[number - 1 : number + 1]
        if before + after:
            transition = ElementTree.SubElement(track, "transitionitem")
            add_rate(transition, rate)
            add(transition, start=start - before, end=start + after, alignment="center")
            effect = ElementTree.SubElement(transition, "effect")
            add(effect, name=shot.label, effectid=CROSS_DISSOLVE, effecttype="transition", mediatype="video")
        item = ElementTree.SubElement(track, "clipitem", id=f"clipitem-{number}")
        add(item, name=shot.title, enabled="TRUE", duration=length)
        add_rate(item, rate)
        begin = shot.begin(rate)
        # -1: at the cut of the transition, of which in and out hold the whole.
        add(item, start=-1 if before + after else start, end=-1 if ahead + behind else start + length)
        add(item, **{"in": begin - before, "out": begin + length + behind})
        start += length
        source = ElementTree.SubElement(item, "file", id=f"file-{number}")
        count, unit = shot.own(rate)
        if unit not in (math.ceil(unit), Fraction(math.ceil(unit) * 1000, 1001)):  # such as 25/2, which has no timebase
            count, unit = math.floor(count / unit * timecode_rate(unit)), timecode_rate(unit)
        add(source, name=shot.name, pathurl=shot.url)
        add_rate(source, unit)
        add(source, duration=count)
        add_timecode(source, unit, False)
        media = ElementTree.SubElement(source, "media")
        seen = ElementTree.SubElement(ElementTree.SubElement(media, "video"), "samplecharacteristics")
        add(seen, width=shot.width, height=shot.height)
        if shot.has_audio:
            ElementTree.SubElement(media, "audio")
    return root
