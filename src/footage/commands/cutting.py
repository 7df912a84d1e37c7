"""Verbs of the cutting room: real videos divided into shots, chosen from, joined and changed."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from footage.commands.terminal import make_console, working
from footage.errors import ConfigError, ModelError

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
