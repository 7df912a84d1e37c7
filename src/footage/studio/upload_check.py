"""A process of its own for one upload: it decodes the file within limits, and only then is it added to the library.

    python -m footage.studio.upload_check LIBRARY FILE TITLE SECONDS MEMORY MOST UNPACKED

It prints one line of JSON: the numbers of the clips that were added, or what is wrong.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from footage.errors import FootageError
from footage.library.additions import ClipDetails
from footage.library.library import Library
from footage.media.decode import decode_whole

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


def add_upload(library: Path, path: Path, title: str, most: int, unpacked: int) -> dict[str, Any]:
    """Decode a file and add it, or add what a zip file holds; return the clips' numbers by what became of them."""
    with Library(library, create=False) as opened:
        if path.suffix == ".zip":
            contents = opened.unpack(path, most_bytes=unpacked)
            return {"added": list(contents.added), "known": list(contents.known), "refused": list(contents.refused)}
        decode_whole(path, LONGEST_SIDE)
        known = ClipDetails(title=title, source="uploaded")
        entry = opened.add_new(path, known, most_bytes=most)
        if entry is not None:
            return {"added": [entry.id], "known": [], "refused": []}
        return {"added": [], "known": [opened.add(path, known).id], "refused": []}


def main(arguments: list[str]) -> None:
    library, path, title, *numbers = arguments
    seconds, memory, most, unpacked = map(int, numbers)
    limit(seconds, memory)
    try:
        outcome = add_upload(Path(library), Path(path), title, most, unpacked)
    except FootageError as error:
        outcome = {"problem": error.problem.replace(str(path), title), "remedy": error.remedy}
    except MemoryError:
        outcome = {"problem": "the file takes too much memory to decode", "remedy": "give a smaller one"}
    print(json.dumps(outcome))


if __name__ == "__main__":
    main(sys.argv[1:])
