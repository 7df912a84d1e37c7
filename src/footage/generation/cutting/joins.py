"""Videos joined with transitions: FFmpeg's by name, and those that are made of what moves."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from footage import files
from footage.errors import ConfigError, nearest
from footage.files import locked
from footage.generation.cutting.flow import Between
from footage.library.additions import ClipDetails, Parent
from footage.library.edit_lists import Shot as TimelineClip
from footage.library.edit_lists import timeline_rate, write_list
from footage.library.library import Library
from footage.media.decode import Frames
from footage.media.encoding import DEFAULT_ENCODING, EncodingOptions
from footage.media.geometry import Fit
from footage.media.probe import count_frames
from footage.media.reader import open_original
from footage.media.segments import render
from footage.media.transitions import XFADES, Film, Mixer, whole, xfade

MORPH = "morph"
"""What lies between the pictures, moved along their optical flow."""
KINDS = (*XFADES, MORPH)
"""Every transition, by name."""


def mixer(kind: str) -> Mixer:
    """Return what makes a transition.

    Raises:
        ConfigError: there is none of that name.
    """
    if kind == MORPH:
        return morph
    if kind not in XFADES:
        raise ConfigError(f'transition is "{kind}"', nearest(kind, KINDS))

    def mix(before: Sequence[Frames], after: Sequence[Frames]) -> Iterator[Frames]:
        return xfade(kind, before, after, len(before))

    return mix


def morph(before: Sequence[Frames], after: Sequence[Frames]) -> Iterator[Frames]:
    """Yield pictures on the way from one part to another: the first is that of the first part."""
    for number, pair in enumerate(zip(before, after, strict=True)):
        yield Between(*pair).at(number / len(before))


def write_film(
    film: Film,
    to: Path,
    about: dict[str, Any],
    *,
    encoding: EncodingOptions = DEFAULT_ENCODING,
    watch: Callable[[int], object] = lambda _: None,
) -> int:
    """Write a film, and return how many frames it has; work that was stopped goes on.

    Args:
        film: the parts.
        to: the file: .mp4, .mov, .mkv or .webm.
        about: how it was made, for its comment.
        encoding: of its pictures.
        watch: is told how many frames are done.

    Raises:
        ConfigError: codec and file do not go together.
        MediaError: a part cannot be read, or the file cannot be written.
    """
    parts = [[part.path.name, part.first, length] for part, length in zip(film.parts, film.lengths, strict=True)]
    return render(
        to,
        film.pictures,
        size=film.size,
        rate=film.rate,
        about={**about, "parts": parts, "fit": film.fit},
        sources=list(dict.fromkeys(part.path for part in film.parts)),
        sound=film.sound(),
        encoding=encoding,
        watch=watch,
    )


def join(
    clips: Sequence[Path],
    to: Path,
    *,
    kind: str = "fade",
    seconds: float = 1.0,
    fit: Fit = "letterbox",
    encoding: EncodingOptions = DEFAULT_ENCODING,
    watch: Callable[[int], object] = lambda _: None,
) -> int:
    """Write videos one behind the other with a transition between each two; return how many frames that makes.

    Size and rate are those of the first; sounds are faded into one another.

    Raises:
        ConfigError: there is no such transition, or fewer than two clips.
        MediaError: a clip cannot be read, or is shorter than its transitions.
    """
    if len(clips) < 2:
        raise ConfigError(f"{len(clips)} clips are given", "give two or more")
    film = replace(whole(clips, seconds, fit), mix=mixer(kind))
    about = {"source": [path.name for path in clips], "transition": kind, "seconds": seconds}
    return write_film(film, to, about, encoding=encoding, watch=watch)


def write_film_list(film: Film, to: Path) -> None:
    """Write a film as an edit list (.otio, .edl, .fcpxml, .xml), which opens on its videos.

    Raises:
        LibraryError: what writes the list is not installed, or cannot write it.
    """
    shots = []
    for number, part in enumerate(film.parts, 1):
        count = count_frames(part.path)
        assert part.last is not None
        shots.append(
            TimelineClip(
                f"{part.path.stem} {number}",
                part.path.resolve().as_uri(),
                part.path.name,
                count.playable,
                count.rate or film.rate,
                count.height,
                count.width,
                count.has_audio,
                {},
                part.first,
                part.last + 1 - part.first,
            )
        )
    suffix = to.suffix.lower()
    files.write_text(to, write_list(shots, to.stem, suffix, timeline_rate(shots, film.rate, suffix)))


def file_pieces(film: Film, library: Library, album: str, watch: Callable[[int], object] = lambda _: None) -> list[int]:
    """Write each part of a film as a clip of its own into a library, in an album in their order; return their numbers.

    The album is made where there is none. What has been filed before is not filed twice.

    Raises:
        ConfigError: the library is locked.
    """
    if locked.folder_of(library.folder) is not None:
        problem = f'"{library.folder}" is locked, and clips of an album are written outside of it first'
        raise ConfigError(problem, "name another library, or none")
    known = {item.name: item for item in library.albums.all()}
    made = known.get(album) or library.albums.create(album)
    clips, digests = [], {path: files.file_digest(path) for path in {part.path for part in film.parts}}
    with tempfile.TemporaryDirectory(prefix="footage-") as folder:
        for number, (part, length) in enumerate(zip(film.parts, film.lengths, strict=True), 1):
            path = Path(folder) / f"{part.path.stem}-{part.first}.mp4"
            piece = replace(
                film, parts=(part,), lengths=(length,), track=None, has_sound=open_original(part.path).has_audio
            )
            write_film(piece, path, {"source": part.path.name, "part": [part.first, part.last]})
            parents = (Parent(digests[part.path], part.path.name, "part"),)
            clips.append(library.add(path, ClipDetails(title=path.stem, source=str(part.path), parents=parents)).id)
            watch(number)
    library.albums.put(made.id, clips)
    return clips
