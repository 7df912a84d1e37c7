"""Timelines: clips one behind the other on one track, with transitions, titles, sound and music, as a file of JSON.

    {"footage": "timeline", "version": 1, "parts": [
      {"title": "Summer", "seconds": 3},
      {"file": "sea.mp4", "first": 20, "last": 140, "transition": {"kind": "fade", "seconds": 1}},
      {"clip": 12, "level": 0.5}], "music": {"tune": "lullaby", "level": 0.6}}

The same is kept in a library by name, where every change can be undone. Files lie beside the timeline's own; clips are
those of a library, by number or digest.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from footage import files
from footage.config.strict import bounded, check_bounds, checked_methods, from_json, require, to_json
from footage.errors import ConfigError, LibraryError, nearest
from footage.library import edits
from footage.library.entries import plain, stored_json
from footage.library.storage import Database
from footage.media.geometry import Fit

VERSION = 1
"""Of the format."""
KIND = "timeline"
"""What its files say that they are."""
MOST_PARTS = 5_000
LONGEST_TITLE = 400
"""Characters of a title."""
LONGEST_DIGEST = 64
"""Characters of what a clip is called by."""
CHANGES = (
    *("clip added", "title added", "clip moved", "clip removed", "clip trimmed", "title changed"),
    *("transition", "sound", "music", "settings"),
)
"""What the history may call a change of a timeline."""


@dataclass(frozen=True)
class PartTransition:
    """How a part begins over the end of the one before."""

    kind: str = "fade"
    """One of `footage.generation.cutting.joins.KINDS`; `latent` needs a model."""
    seconds: float = bounded(1.0, 0.01, 60, "seconds")
    model: str | None = None
    """Folder or name of the model through whose latents `latent` goes."""

    def __post_init__(self) -> None:
        check_bounds(self, "transition.")


@dataclass(frozen=True)
class TimelinePart:
    """A clip, a picture or a card on the timeline."""

    clip: int | str | None = None
    """Of a library, by its number or its digest."""
    file: str | None = None
    """Or a file, beside the timeline's own or absolute."""
    first: int = bounded(0, 0, 2**40, "frames")
    """The first frame that is shown, of the clip's own."""
    last: int | None = bounded(None, 0, 2**40, "frames")
    """The last one; None for that of the clip."""
    seconds: float | None = bounded(None, 0.1, 3600, "seconds")
    """For how long a picture or a card stands; None for four, or three."""
    title: str = ""
    """Words over the picture; without a clip, on a card. The first line is the largest."""
    place: Literal["low", "middle"] = "low"
    """Where words stand on a picture; on a card they are in its middle."""
    colour: str = "#14171c"
    """Of the card."""
    fit: Fit | None = None
    """How its picture is fitted in, where it has another shape than the film; None for as the film says."""
    level: float = bounded(1.0, 0, 4)
    """Of its sound, 1 for as it is, 0 for none."""
    transition: PartTransition | None = None
    """From the part before; None for a cut. That of the first part counts for nothing."""

    def __post_init__(self) -> None:
        check_bounds(self, "part.")
        named = [name for name in ("clip", "file") if getattr(self, name) is not None]
        require(len(named) < 2, "part", "both a clip and a file", "give one of them")
        require(len(str(self.clip)) <= LONGEST_DIGEST, "part.clip", self.clip, "give a number or a digest")
        require(bool(named or self.title.strip()), "part", "neither a clip nor a title", "give clip, file or title")
        require(len(self.title) <= LONGEST_TITLE, "part.title", self.title, f"give at most {LONGEST_TITLE} characters")
        require(
            self.last is None or self.last >= self.first, "part.last", self.last, f"give {self.first} or a later frame"
        )


@dataclass(frozen=True)
class TimelineMusic:
    """What is heard under the film."""

    file: str | None = None
    clip: int | str | None = None
    """The sound of a library's clip."""
    sent: str | None = None
    """A sound that was sent to the studio, by its name there."""
    tune: str | None = None
    """One that footage plays itself: a key of `footage.media.music.TUNES`."""
    level: float = bounded(0.5, 0, 4)

    def __post_init__(self) -> None:
        check_bounds(self, "music.")
        require(len(str(self.clip)) <= LONGEST_DIGEST, "music.clip", self.clip, "give a number or a digest")
        named = [name for name in ("file", "clip", "sent", "tune") if getattr(self, name) is not None]
        require(len(named) == 1, "music", ", ".join(named) or "nothing", "give one of file, clip, sent, tune")


@dataclass(frozen=True)
class Timeline:
    """Parts in their order, and what holds for all of them."""

    parts: tuple[TimelinePart, ...] = ()
    height: int | None = bounded(None, 16, 8192, "pixels")
    """Of the film; None for that of the first clip."""
    width: int | None = bounded(None, 16, 8192, "pixels")
    fps: float | None = bounded(None, 1, 240, "frames a second")
    """Of the film; None for that of the first clip that moves."""
    fit: Fit = "letterbox"
    """How a picture of another shape is fitted in."""
    sound: bool = True
    """Whether the clips' own sound is heard."""
    level: float = bounded(1.0, 0, 4)
    """Of the same."""
    music: TimelineMusic | None = None
    font: str | None = None
    """File of the titles' font; None for one that comes along."""

    def __post_init__(self) -> None:
        check_bounds(self)
        require(len(self.parts) <= MOST_PARTS, "parts", len(self.parts), f"give at most {MOST_PARTS:,}")
        require((self.height is None) == (self.width is None), "height", self.height, "give both height and width")

    @property
    def clips(self) -> list[int | str]:
        """Clips of a library that are seen or heard, each once."""
        heard = () if self.music is None else (self.music,)
        return list(dict.fromkeys(part.clip for part in (*self.parts, *heard) if part.clip is not None))


def timeline_json(timeline: Timeline) -> dict[str, Any]:
    """Return a timeline as its file has it: what has its default is left out."""

    def short(kind: type, value: Mapping[str, Any]) -> dict[str, Any]:
        known = {item.name: item.default for item in fields(kind)}
        return {name: item for name, item in value.items() if known[name] is MISSING or known[name] != item}

    told = short(Timeline, to_json(timeline)) | {"parts": []}
    for part in timeline.parts:
        row = short(TimelinePart, to_json(part))
        if part.transition is not None:
            row["transition"] = {"kind": part.transition.kind, **short(PartTransition, row["transition"])}
        told["parts"].append(row)
    if timeline.music is not None:
        told["music"] = {**short(TimelineMusic, told["music"]), "level": timeline.music.level}
    return {"footage": KIND, "version": VERSION, **told}


def timeline_of(told: Any, where: str) -> Timeline:
    """Read a timeline from JSON values.

    Raises:
        ConfigError: they are none, of a newer version, or hold what is not known or not allowed.
    """
    if not isinstance(told, dict) or told.get("footage") != KIND or "parts" not in told:
        raise ConfigError(f"{where} is no timeline", 'give {"footage": "timeline", "version": 1, "parts": […]}')
    files.refuse_newer(told.get("version"), VERSION, where, ConfigError)
    return from_json(Timeline, {name: told[name] for name in told if name not in ("footage", "version")}, where)


def timeline_text(timeline: Timeline) -> str:
    """Return a timeline as its file has it, as text."""
    return json.dumps(timeline_json(timeline), ensure_ascii=False, indent=1) + "\n"


def portable(timeline: Timeline, digest: Callable[[int | str], str]) -> Timeline:
    """Return a timeline whose clips are called by their digests, by which any library knows them."""
    parts = [part if part.clip is None else replace(part, clip=digest(part.clip)) for part in timeline.parts]
    music = timeline.music
    if music is not None and music.clip is not None:
        music = replace(music, clip=digest(music.clip))
    return replace(timeline, parts=tuple(parts), music=music)


def read_timeline(path: Path) -> Timeline:
    """Read a timeline from its file.

    Raises:
        ConfigError: the file cannot be read, or is none.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f'timeline is "{path}", which cannot be read ({error})', "give a JSON file") from None
    return timeline_of(told, f'"{path.name}"')


def write_timeline(timeline: Timeline, path: Path, *, over: bool = True) -> None:
    """Write a timeline as a file, atomically; maybe not over a file that says something else.

    Raises:
        ConfigError: there is such a file, and `over` is false.
    """
    if not over and path.exists() and path.read_bytes() != timeline_text(timeline).encode():
        problem = f'"{path}" is there already, and says something else'
        raise ConfigError(problem, "give another place to write, or move it away")
    files.write_text(path, timeline_text(timeline))


@dataclass(frozen=True)
class TimelineEntry:
    """A timeline that a library keeps."""

    name: str
    """Its name; no other has it."""
    changed: float
    """When it was changed, in seconds since 1970."""
    parts: int


@checked_methods
class Timelines:
    """The timelines of a library: `library.timelines`. What is done to them can be undone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[TimelineEntry]:
        """Return the timelines by name."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT name, changed, json_array_length(content, '$.parts') AS parts FROM timelines "
                "ORDER BY name COLLATE NOCASE"
            ).fetchall()
        return [TimelineEntry(row["name"], row["changed"], row["parts"] or 0) for row in rows]

    def get(self, name: str) -> Timeline:
        """Return a timeline.

        Raises:
            LibraryError: there is none of that name.
            ConfigError: it was made by a newer version.
        """
        with self._database.read() as connection:
            row = connection.execute("SELECT content FROM timelines WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise LibraryError(f'there is no timeline "{name}"', nearest(name, [entry.name for entry in self.all()]))
        return timeline_of(stored_json(row["content"]), f'"{name}"')

    def save(self, name: str, timeline: Timeline, what: str = "settings", before: str | None = None) -> None:
        """Keep a timeline under a name, in place of what was kept there before.

        Args:
            name: of it.
            timeline: what it is.
            what: one of `CHANGES`, for the history.
            before: `files.json_digest` of the one that it was changed from, as JSON; empty for a new one; None for
                whatever is kept there.

        Raises:
            LibraryError: the name is empty, or can be no part of an address.
            ConfigError: another is kept there than `before` says.
        """
        chosen = plain(name)
        if not chosen:
            raise LibraryError("the name is empty", "give one")
        if "/" in chosen or chosen in (".", ".."):
            raise LibraryError(f'the name is "{chosen}"', 'give one without "/" that is more than dots')
        if what not in CHANGES:
            raise LibraryError(f'change is "{what}"', nearest(what, CHANGES))
        value = {"content": timeline_json(timeline), "changed": time.time()}
        with edits.recorded(self._database, f"timeline {chosen}: {what}", "timeline", chosen) as connection:
            kept = edits.state(connection, "timeline", chosen)
            known = None if kept is None else timeline_json(timeline_of(kept["content"], f'"{chosen}"'))
            if known == value["content"]:
                return
            if before is not None and before != ("" if known is None else files.json_digest(known)):
                raise ConfigError(f'the timeline "{chosen}" was changed meanwhile', "look at it again, then change it")
            edits.set_state(connection, "timeline", chosen, value)

    def delete(self, name: str) -> None:
        """Delete a timeline; its clips stay.

        Raises:
            LibraryError: there is none of that name.
        """
        self.get(name)
        with edits.recorded(self._database, f"timeline {name} deleted", "timeline", name) as connection:
            edits.set_state(connection, "timeline", name, None)
