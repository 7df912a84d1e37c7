"""Films of timelines: what `footage.library.timelines` holds becomes a film, a draft of it, or an edit list."""

from __future__ import annotations

import contextlib
import itertools
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from footage.errors import ConfigError, FootageError, LibraryError, MediaError, meant
from footage.generation.cutting import joins
from footage.library.additions import ClipDetails
from footage.library.library import Library
from footage.library.timelines import Timeline, TimelineMusic, TimelinePart
from footage.media import music as tunes
from footage.media.cuts import Cut
from footage.media.encode import write_clip
from footage.media.encoding import DEFAULT_ENCODING, EncodingOptions
from footage.media.probe import count_frames
from footage.media.rates import exact_rate
from footage.media.reader import Footage
from footage.media.sound import TRACK_RATE, Channels, channel_chunks, has_sound
from footage.media.titles import Titled, font_for, read_colour
from footage.media.transitions import Film, FilmPart, Mixer, later, mixed

CARD, STILL = 3.0, 4.0
"""Seconds for which a card, and a picture, stand where nothing is said."""
CARD_SIZE, CARD_RATE = (720, 1280), Fraction(25)
"""Of a film of cards and pictures alone."""
DRAFT = 240
"""Pixels of the shorter side of a draft, at most."""
ROUGH = EncodingOptions(codec="h264", crf=27)
"""How it is encoded."""
LISTS = (".otio", ".edl", ".fcpxml", ".xml")
"""Endings of edit lists."""


@dataclass(frozen=True)
class Measured:
    """A part of a timeline, and what its file is."""

    part: TimelinePart
    path: Path | None
    """None for a card."""
    rate: Fraction | None = None
    """Of its frames; None for a card and a picture."""
    frames: int = 1
    has_sound: bool = False

    def length(self, rate: Fraction, number: int) -> int:
        """Return its frames at the film's rate.

        Raises:
            MediaError: the part begins behind its clip's end.
        """
        part = self.part
        if self.rate is None:
            return max(1, round(Fraction(str(part.seconds or (STILL if self.path else CARD))) * rate))
        if part.first >= self.frames:
            raise MediaError(
                f"part {number} begins at frame {part.first}, and {self.path and self.path.name} has {self.frames}",
                f"give at most {self.frames - 1} as its first",
            )
        last = self.frames - 1 if part.last is None else min(part.last, self.frames - 1)
        return max(1, round((last + 1 - part.first) / self.rate * rate))


class FilmMaker:
    """Makes films of timelines.

    Args:
        folder: where files lie that are not given by their whole path.
        library: where clips are found; None for no library.
        font: of the titles, in place of the timeline's.
        music: a file that is heard in place of the timeline's music.
    """

    def __init__(
        self, folder: Path, library: Library | None = None, *, font: Path | None = None, music: Path | None = None
    ) -> None:
        self.folder, self.library, self.font, self.music = folder, library, font, music
        self._mixers: dict[tuple[str, str | None], Mixer] = {}

    def path_of(self, file: str | None, clip: int | str | None, draft: bool = False) -> Path:
        """Return where something is; for a draft, of a clip with effects its own will do.

        Raises:
            LibraryError: it is a clip, and there is no library, or no such clip in it.
            MediaError: there is no such file.
        """
        if file is not None:
            path = self.folder / file
            if not path.exists():
                raise MediaError(f'"{path}" does not exist', meant(path, "put it there, or change the timeline"))
            return path
        if self.library is None:
            raise LibraryError(f"clip {clip} is one of a library, and none is given", "give --library too")
        assert clip is not None
        return self.library.path(clip, small=draft)

    def sources(self, timeline: Timeline) -> list[Path]:
        """Return the files that a film is made from: clips, music, fonts; those that are missing are left out."""
        named = (*timeline.parts, *(() if timeline.music is None else (timeline.music,)))
        told = [(each.file, each.clip) for each in named if each.file is not None or each.clip is not None]
        told += [(str(path.resolve()), None) for path in (self.music, self.font) if path is not None]
        told += [] if timeline.font is None else [(timeline.font, None)]
        found = []
        for file, clip in told:
            with contextlib.suppress(FootageError):
                found.append(self.path_of(file, clip))
        return found

    def measure(self, part: TimelinePart, draft: bool = False) -> Measured:
        """Find out what a part of a timeline, or of its draft, is made from.

        Raises:
            LibraryError, MediaError: it is missing, or cannot be read.
        """
        if part.file is None and part.clip is None:
            return Measured(part, None)
        path = self.path_of(part.file, part.clip, draft)
        if Footage(path).pictures:
            return Measured(part, path)
        count = count_frames(path)
        rate = count.rate or CARD_RATE
        return Measured(part, path, rate, count.playable, count.has_audio)

    def film(self, timeline: Timeline, draft: bool = False) -> Film:
        """Return the film that a timeline is.

        Args:
            timeline: the same.
            draft: make it small, to be looked at.

        Raises:
            ConfigError: there is nothing on it, or no such transition, tune or model.
            LibraryError, MediaError: a clip is missing, cannot be read, or is too short for its transitions; a title
                has signs that its font lacks.
        """
        if not timeline.parts:
            raise ConfigError("there is nothing on the timeline", "add a clip or a title")
        measured = [self.measure(part, draft) for part in timeline.parts]
        seen = next((each.path for each in measured if each.path is not None), None)
        rates = [each.rate for each in measured if each.rate is not None]
        rate = exact_rate(timeline.fps) if timeline.fps else rates[0] if rates else CARD_RATE
        size = (timeline.height, timeline.width) if timeline.height and timeline.width else CARD_SIZE
        if seen is not None and not timeline.height:
            size = Footage(seen).size()
        scale = min(1.0, DRAFT / min(size)) if draft else 1.0
        size = (max(2, round(size[0] * scale) // 2 * 2), max(2, round(size[1] * scale) // 2 * 2))
        lengths = [each.length(rate, number) for number, each in enumerate(measured, 1)]
        parts = [self.titled_part(each, length, timeline) for each, length in zip(measured, lengths, strict=True)]
        overlaps, mixes = self.transitions(timeline, lengths, rate, size)
        heard = timeline.sound and timeline.level > 0 and any(each.has_sound and each.part.level for each in measured)
        film = Film(
            tuple(parts),
            tuple(lengths),
            size,
            rate,
            heard or timeline.music is not None or self.music is not None,
            timeline.fit,
            tuple(each.part.fit or timeline.fit for each in measured),
            tuple(overlaps),
            tuple(mixes),
            tuple(each.part.level * timeline.level for each in measured),
            kinds=tuple("" if part.transition is None else part.transition.kind for part in timeline.parts[1:]),
        )
        if timeline.music is None and self.music is None:
            return film
        told = timeline.music or TimelineMusic(file="")
        begin = self.music_track(told)

        def track() -> Iterator[Channels]:
            own = film.sound() if heard else None
            return mixed(own or iter(()), begin(), told.level, film.frames / film.rate)

        return replace(film, track=track)

    def titled_part(self, each: Measured, length: int, timeline: Timeline) -> FilmPart:
        """Return a part as it is shown.

        Raises:
            MediaError: its title has signs that the font lacks, or its colour is none.
        """
        part = each.part
        last = None if part.last is None else min(part.last, each.frames - 1)
        cut = None if each.path is None else Cut(each.path, part.first, last) if each.rate else Cut(each.path)
        if cut is not None and not part.title.strip():
            return cut
        read_colour(part.colour)  # complains now
        font = self.font or (None if timeline.font is None else self.path_of(timeline.font, None))
        return Titled(part.title, length, font_for(part.title, font), cut, part.colour, part.place == "low")

    def transitions(
        self, timeline: Timeline, lengths: list[int], rate: Fraction, size: tuple[int, int]
    ) -> tuple[list[int], list[Mixer]]:
        """Return the frames of each transition, and what makes it.

        Raises:
            MediaError: a part is too short for its transitions, or one needs more memory than `joins.MOST_HELD`.
        """
        overlaps, mixes = list[int](), list[Mixer]()
        for part in timeline.parts[1:]:
            told = part.transition
            overlaps.append(0 if told is None else max(1, round(Fraction(str(told.seconds)) * rate)))
            kind = ("fade", None) if told is None else (told.kind, told.model)
            if kind not in self._mixers:
                self._mixers[kind] = joins.mixer(*kind)
            mixes.append(self._mixers[kind])
        for number, length in enumerate(lengths):
            needed = sum(overlaps[max(0, number - 1) : number + 1])
            if length < needed:
                raise MediaError(
                    f"part {number + 1} lasts {float(length / rate):.2f} s, and transitions take "
                    f"{float(needed / rate):.2f} s of it",
                    "make them shorter, or the part longer",
                )
        held = 2 * 3 * math.prod(size) * max(overlaps, default=0)  # the frames of both parts, uint8
        if held > joins.MOST_HELD:
            raise MediaError(
                f"a transition needs {held / 2**30:.1f} GiB of memory, and gets at most {joins.MOST_HELD // 2**30}",
                "make it shorter, or the film smaller",
            )
        return overlaps, mixes

    def music_track(self, told: TimelineMusic) -> Callable[[], Iterator[Channels]]:
        """Return what starts the music over.

        Raises:
            ConfigError: there is no such tune, or the sound is one that was sent to a studio.
            MediaError: the file is missing or has no sound.
        """
        if self.music is None and told.tune is not None:
            next(tunes.play(told.tune))  # complains now
            return partial(tunes.play, told.tune)
        if self.music is None and told.sent is not None:
            raise ConfigError(
                f'the music is "{told.sent}", a sound that was sent to a studio',
                f"give --music with its file, sounds/{told.sent} in the studio's folder",
            )
        path = self.music or self.path_of(told.file, told.clip)
        if not has_sound(path):
            raise MediaError(f'"{path.name}" has no sound', "give a file of music, or leave it out")
        return partial(channel_chunks, path, TRACK_RATE, "stereo")

    def about(self, timeline: Timeline) -> dict[str, Any]:
        """Return how a film is made, as its comment says it: names of files and not where they lie."""
        kinds = [
            None if part.transition is None else [part.transition.kind, part.transition.seconds]
            for part in timeline.parts[1:]
        ]
        models = [part.transition.model for part in timeline.parts[1:] if part.transition and part.transition.model]
        music = timeline.music
        name = self.music or (music and (music.file or music.clip or music.tune or music.sent))
        return {
            "film": "timeline",
            "transitions": kinds,
            "sound": timeline.level if timeline.sound else 0,
            "levels": [part.level for part in timeline.parts],
            "fits": [part.fit for part in timeline.parts],
            "music": name and [Path(str(name)).name, music.level if music else 0.5],
            **joins.made_with(dict.fromkeys(models)),
        }

    def write(
        self,
        timeline: Timeline,
        to: Path,
        encoding: EncodingOptions = DEFAULT_ENCODING,
        watch: Callable[[int, int], object] = lambda *_: None,
    ) -> Film:
        """Write the film of a timeline, or its edit list by the ending of the file; work that was stopped goes on.

        Args:
            timeline: the same.
            to: the file: .mp4, .mov, .mkv or .webm, or one of `LISTS`.
            encoding: of its pictures.
            watch: is told how many frames are done, of how many.

        Raises:
            ConfigError, LibraryError, MediaError: see `film`; or the file cannot be written.
        """
        film = self.film(timeline)
        if to.suffix.lower() in LISTS:
            joins.write_film_list(film, to)
            return film
        joins.write_film(film, to, self.about(timeline), encoding=encoding, watch=lambda done: watch(done, film.frames))
        return film

    def write_draft(self, timeline: Timeline, to: Path, at: float, seconds: float) -> Film:
        """Write a stretch of the draft of a timeline, as an mp4.

        Args:
            timeline: the same.
            to: the file.
            at: seconds of the film at which it begins; behind the last frame it is that frame.
            seconds: how long it is, at most.

        Raises:
            ConfigError, LibraryError, MediaError: see `film`.
        """
        film = self.film(timeline, draft=True)
        first = min(round(at * film.rate), film.frames - 1)
        count = max(1, round((at + seconds) * film.rate) - first)
        sound, skip = film.sound(), round(first / film.rate * TRACK_RATE)
        write_clip(
            to,
            (picture[None] for picture in itertools.islice(film.pictures(first), count)),
            fps=film.rate,
            metadata=self.about(timeline),
            encoding=ROUGH,
            sound=None if sound is None else later(sound, skip),
        )
        return film


def keep(timeline: Timeline, maker: FilmMaker, library: Library, name: str, before: str | None = None) -> Timeline:
    """Keep a timeline in a library under a name, and its files as clips of the library; return it as it is kept.

    Music that is a file alone, no video, cannot be a clip, and is left out.

    Raises:
        ConfigError: another is kept there than `before` says, see `Timelines.save`.
    """
    parts = [
        part
        if part.file is None
        else replace(part, file=None, clip=library.add(maker.path_of(part.file, None), ClipDetails()).id)
        for part in timeline.parts
    ]
    music = None if timeline.music is None or timeline.music.file is not None else timeline.music
    if music is not timeline.music:
        warnings.warn(
            f'the music of "{name}" is a file, which the library does not keep: send it to the studio', stacklevel=2
        )
    kept = replace(timeline, parts=tuple(parts), music=music, font=None)
    library.timelines.save(name, kept, before=before)
    return kept
