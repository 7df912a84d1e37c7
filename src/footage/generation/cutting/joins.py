"""Videos joined with transitions: FFmpeg's by name, and those that are made of what moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from footage.errors import ConfigError, nearest
from footage.generation.cutting.flow import Between
from footage.media.decode import Frames
from footage.media.encoding import DEFAULT_ENCODING, EncodingOptions
from footage.media.geometry import Fit
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
        yield from Between(*pair).at([number / len(before)])


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
