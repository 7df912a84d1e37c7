"""A process of its own for one upload: it decodes the file within limits, and only then is it added to the library.

    python -m footage.web.examine LIBRARY FILE TITLE SECONDS MEMORY MOST UNPACKED

It prints one line of JSON: the numbers of the clips that were added, or what is wrong.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from footage.errors import FootageError, MediaError
from footage.library.additions import ClipDetails
from footage.library.library import Library

LONGEST_SIDE = 8192
"""Pixels of a side from which on a video is refused."""


def limit(seconds: int, memory: int) -> None:
    """Let the system end this process when it takes more processor time or memory."""
    try:
        import resource
    except ImportError:  # no such limits on this system; the server's own clock remains
        return
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def check(path: Path) -> int:
    """Decode a whole file; return how many frames it has.

    Raises:
        MediaError: it cannot be decoded, holds no frame, or is too large a picture.
    """
    import av

    count = 0
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            for stream in container.streams.video[:1]:
                if max(stream.width or 0, stream.height or 0) > LONGEST_SIDE:
                    raise MediaError(f"the picture is {stream.width}×{stream.height}", f"give at most {LONGEST_SIDE}")
                for frame in container.decode(stream):
                    if max(frame.width, frame.height) > LONGEST_SIDE:
                        raise MediaError(f"a frame is {frame.width}×{frame.height}", f"give at most {LONGEST_SIDE}")
                    count += 1
    except (av.error.FFmpegError, ValueError) as error:
        if not count:
            raise MediaError(f"the file cannot be decoded ({error})", "give a video or a picture") from None
    if not count:
        raise MediaError("the file holds no frame", "give a video or a picture")
    return count


def take(library: Path, path: Path, title: str, most: int, unpacked: int) -> dict[str, Any]:
    """Add a file, or what a zip file holds, to a library."""
    with Library(library, create=False) as opened:
        if path.suffix == ".zip":
            found = opened.unpack(path, most_bytes=unpacked)
            return {"added": list(found.added), "known": list(found.known), "refused": list(found.refused)}
        check(path)
        known = ClipDetails(title=title, source="uploaded")
        entry = opened.add_new(path, known, most_bytes=most)
        if entry is not None:
            return {"added": [entry.id], "known": [], "refused": []}
        return {"added": [], "known": [opened.add(path, known).id], "refused": []}


def main(arguments: list[str]) -> None:
    """Do it, and say what came of it."""
    library, path, title, *numbers = arguments
    seconds, memory, most, unpacked = map(int, numbers)
    limit(seconds, memory)
    try:
        answer = take(Path(library), Path(path), title, most, unpacked)
    except FootageError as error:
        answer = {"problem": error.problem.replace(str(path), title), "remedy": error.remedy}
    except MemoryError:
        answer = {"problem": "the file takes too much memory to decode", "remedy": "give a smaller one"}
    print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1:])
