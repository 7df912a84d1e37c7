"""Verbs of the cutting room: real videos divided into shots, chosen from, joined and changed."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from footage.commands.generate import refuse_overwriting
from footage.commands.terminal import make_console, phases, working
from footage.errors import ConfigError, ModelError
from footage.machines import remote
from footage.media.encoding import DEFAULT_ENCODING, EncodingOptions
from footage.media.geometry import Fit

if TYPE_CHECKING:
    from footage.generation.cutting.shots import CutFinder, ShotFinder, ShotList

ShotMethod = Literal["auto", "fine", "quick"]
"""How shots are found: by the network where it is installed; by it; by differences of frames."""


def _finder(method: ShotMethod) -> type[CutFinder] | type[ShotFinder]:
    """Return what finds shots.

    Raises:
        ModelError: the network is asked for, and not installed.
    """
    from footage.generation.cutting.shots import WEIGHTS, CutFinder, ShotFinder

    if method != "quick":
        try:
            WEIGHTS.path()
        except ModelError:
            if method == "fine":
                raise
        else:
            return ShotFinder
    return CutFinder


def shots(
    videos: tuple[Path, ...], *, method: ShotMethod = "fine", json: bool = False, quiet: bool = False
) -> list[ShotList]:
    """List the shots of videos: where they are cut, and where pictures dissolve or fade.

    Args:
        videos: files.
        method: fine, by a network (extra shots); quick, by differences of frames, which finds hard cuts alone; auto,
            fine where the network is installed.
        json: print an object for each video.
    """
    from rich.table import Table

    from footage.generation.cutting.shots import find_shots

    if not videos:
        raise ConfigError("no video is given", "give one or more")
    console, finder = make_console(quiet), _finder(method)
    lists: list[ShotList] = []
    for path in videos:
        with working(make_console(quiet, to_stderr=True), f"looking at {path.name}") as say:
            found = find_shots(path, finder, lambda seen, name=path.name: say(f"{name}: {seen:,} frames"))  # type: ignore[misc]
        lists.append(found)
        if json:
            rows = [
                {
                    "first": shot.first,
                    "end": shot.end,
                    "from": round(float(shot.first / found.rate), 3),
                    "to": round(float(shot.end / found.rate), 3),
                    "begins": shot.begins.kind if shot.begins else "video",
                    "confidence": round(shot.begins.confidence, 3) if shot.begins else None,
                }
                for shot in found.shots
            ]
            print(dumps({"file": str(path), "fps": float(found.rate), "frames": found.frames, "shots": rows}))
            continue
        table = Table("shot", "from, s", "to, s", "frames", "begins with", "confidence", title=path.name)
        for number, shot in enumerate(found.shots, 1):
            times = (f"{float(at / found.rate):.2f}" for at in (shot.first, shot.end))
            begins = (shot.begins.kind, f"{shot.begins.confidence:.2f}") if shot.begins else ("video", "")
            table.add_row(str(number), *times, f"{shot.first}-{shot.end - 1}", *begins)
        console.print(table)
    return lists


def join(
    clips: tuple[Path, ...],
    *,
    to: Path | None = None,
    transition: str = "fade",
    seconds: float = 1.0,
    fit: Fit = "letterbox",
    encoding: EncodingOptions = DEFAULT_ENCODING,
    quiet: bool = False,
) -> Path:
    """Join videos, with a transition between each two; sounds are faded into one another.

    Size and rate are those of the first. Stopped work goes on by the same command.

    Args:
        clips: two or more videos, in their order.
        to: the file to write: .mp4, .mov, .mkv or .webm; left out, FIRST-joined.mp4 here.
        transition: one of FFmpeg's xfade, such as fade, dissolve, wipeleft, circleopen; or morph, along what moves.
        seconds: how long each lasts.
        fit: how a picture of another shape is fitted in.
    """
    from footage.generation.cutting import joins

    target = Path(f"{clips[0].stem}-joined.mp4") if to is None and clips else Path(to or "")
    remote.refuse_address(target, "to")
    refuse_overwriting(clips, target)
    console = make_console(quiet)
    with phases(console) as show:
        frames = joins.join(
            clips,
            target,
            kind=transition,
            seconds=seconds,
            fit=fit,
            encoding=encoding,
            watch=lambda done: show("joining", done, done, target.name),
        )
    console.print(f"{len(clips)} clips joined, {frames:,} frames: {target}")
    return target
