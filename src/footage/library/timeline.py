"""Edit lists that cutting programs open, by OpenTimelineIO."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from footage.errors import LibraryError
from footage.library.entries import Entry

ADAPTERS = {".otio": "otio_json", ".fcpxml": "fcpx_xml", ".xml": "fcp_xml", ".edl": "cmx_3600"}
"""OpenTimelineIO's adapter for each ending: its own, Final Cut X, Final Cut 7 (also Premiere and Resolve), CMX 3600."""
TIMECODES = (24.0, 25.0, 30.0, 50.0, 60.0)
"""Rates of timelines that count in timecode: a multiple of the clips' own where there is one, else the nearest."""
STILL_FPS = 25.0
"""Rate of a timeline that holds pictures only."""
STILL_SECONDS = 4.0
"""How long a picture stands."""


@dataclass(frozen=True)
class Shot:
    """A clip on the timeline."""

    entry: Entry
    """The clip."""
    path: Path
    """Its file, absolute."""


def available() -> Any:
    """Return the module of OpenTimelineIO.

    Raises:
        LibraryError: it is not installed.
    """
    try:
        import opentimelineio
    except (ImportError, OSError, RuntimeError) as error:
        raise LibraryError(
            f"edit lists need OpenTimelineIO ({error})", 'install it: pip install "footage[timeline]"'
        ) from None
    return opentimelineio


def edit_list(name: str, shots: Sequence[Shot], suffix: str, fps: float | None = None) -> str:
    """Return clips one after another as an edit list.

    Args:
        name: of the timeline.
        shots: the clips.
        suffix: one of `ADAPTERS`.
        fps: the timeline's rate; None for that of most clips.

    Raises:
        LibraryError: there are no clips, or OpenTimelineIO or its adapter is not installed or cannot write them.
    """
    otio = available()
    if not shots:
        raise LibraryError("the files of all these clips are gone", "see: footage library verify")
    rates = collections.Counter(shot.entry.fps for shot in shots if shot.entry.fps > 0)
    rate = fps or (rates.most_common(1)[0][0] if rates else STILL_FPS)
    if suffix in (".edl", ".xml"):  # they count in the frames of a timecode
        rate = next((usual for usual in TIMECODES if usual % rate == 0), None) or min(
            TIMECODES, key=lambda usual: abs(usual - rate)
        )
    found = otio.schema.Timeline(name=name)
    track = otio.schema.Track(name="clips", kind=otio.schema.TrackKind.Video)
    found.tracks.append(track)
    for shot in shots:
        track.append(_clip(otio, shot, rate))
    if suffix == ".fcpxml":  # its adapter writes a project for a timeline that lies in a collection only
        found, inner = otio.schema.SerializableCollection(name), found
        found.append(inner)
    try:
        return str(otio.adapters.write_to_string(found, adapter_name=ADAPTERS[suffix]))
    except (otio.exceptions.OTIOError, ValueError, TypeError, KeyError, AttributeError) as error:
        problem = f"OpenTimelineIO cannot write {suffix} ({type(error).__name__}: {error})"
        raise LibraryError(problem, 'try .otio, or install the adapters: pip install "footage[timeline]"') from error


def _clip(otio: Any, shot: Shot, rate: float) -> Any:
    """Return a clip of the timeline: all of it, at the timeline's rate."""
    entry = shot.entry
    seconds = entry.seconds or STILL_SECONDS
    length = otio.opentime.TimeRange(
        otio.opentime.RationalTime(0, rate), otio.opentime.RationalTime(max(1, round(seconds * rate)), rate)
    )
    media = otio.schema.ExternalReference(target_url=shot.path.as_uri(), available_range=length)
    media.name = shot.path.name
    known = {
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
    return otio.schema.Clip(name=entry.title, media_reference=media, source_range=length, metadata={"footage": known})
