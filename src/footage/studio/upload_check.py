"""A process of its own for one upload: it decodes what was uploaded within limits, and only then the library has it.

    python -m footage.studio.upload_check UPLOAD

UPLOAD is an `Upload` as JSON. For a clip it prints one line of JSON: the numbers of the clips that were added or known,
or what is wrong. For a zip file it prints a line before each file (which one of how many comes now) and one after it.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from footage.errors import FootageError, MediaError
from footage.library.additions import ClipDetails
from footage.library.entries import plain
from footage.library.import_export import TooLarge
from footage.library.library import Library
from footage.library.storage import DiskFull, acting
from footage.media.decode import decode_whole

LONGEST_SIDE = 8192
"""Pixels of a side from which on a video is refused."""
MOST_FILES = 100_000
"""Files of a zip, at most."""


def limit_process(seconds: int, memory: int) -> None:
    """Let the system end this process when it takes more bytes of memory, or more seconds of a processor from now on.

    0 seconds end it at once.
    """
    try:
        import resource
    except ImportError:  # no such limits on this system; the clock of who started it remains
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    due = math.ceil(used.ru_utime + used.ru_stime) + seconds if seconds else 0
    resource.setrlimit(resource.RLIMIT_CPU, (due, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@dataclass(frozen=True)
class Upload:
    """What was uploaded, and within which limits it is taken in."""

    library: str
    """Folder of the library; empty for a sound, which none is filed in."""
    file: str
    title: str
    """What it is called."""
    seconds: int
    """Processor time that a clip may take; each of a zip file has as much for itself."""
    memory: int
    """Bytes of memory that the process may take."""
    most: int
    """Bytes of a clip, or those that a zip file may unpack to."""
    first: int = 0
    """Which file of a zip is the first that is looked at."""
    used: int = 0
    """Bytes that were unpacked of the files before."""
    actor: str = ""
    """Account on whose behalf it is taken in; empty where there is none."""

    def limits(self) -> dict[str, Any]:
        """Return what a job is to know of it, apart from where it lies."""
        return {name: getattr(self, name) for name in ("title", "seconds", "memory", "most")}

    def command(self) -> list[str]:
        return [sys.executable, "-m", "footage.studio.upload_check", json.dumps(asdict(self))]

    def take_clip(self, opened: Library) -> dict[str, Any]:
        """Decode a clip and add it; return its number by what became of it."""
        path, known = Path(self.file), ClipDetails(title=self.title, source="uploaded")
        decode_whole(path, LONGEST_SIDE)
        entry = opened.add_new(path, known, most_bytes=self.most)
        if entry is not None:
            return {"added": [entry.id], "known": [], "refused": []}
        return {"added": [], "known": [opened.add(path, known).id], "refused": []}

    def take_sound(self) -> dict[str, float]:
        """Listen to a sound; return its seconds and its tempo, 0 without a beat."""
        from footage.media.sound_features import listen

        heard = listen(self.file)
        if heard.silent:
            raise MediaError(f'"{self.title}" is silent', "give sound that can be heard")
        return {"seconds": heard.seconds, "tempo": heard.tempo}

    def take_zip(self, opened: Library) -> Iterator[dict[str, Any]]:
        """Take in the files of a zip, and say before and after each how it goes."""
        path, most = Path(self.file), self.most
        with opened.zip_import(
            path, most_bytes=most, most_files=MOST_FILES, title=self.title, used=self.used
        ) as packed:
            for number in range(self.first, len(packed.names)):
                name = plain(packed.names[number])
                yield {"at": number, "of": len(packed.names), "name": name, "used": packed.used}
                limit_process(self.seconds, self.memory)
                try:
                    entry, new = packed.take(number, lambda stored: decode_whole(stored, LONGEST_SIDE))
                    yield {"added" if new else "known": entry.id}
                except (DiskFull, TooLarge):
                    raise
                except MediaError as error:
                    yield {"refused": plain(str(error))}
                except MemoryError:
                    yield {"refused": "it takes too much memory to decode"}
        yield {"ended": True}


def main(arguments: list[str]) -> None:
    upload = Upload(**json.loads(arguments[0]))
    limit_process(upload.seconds, upload.memory)
    try:
        if not upload.library:
            print(json.dumps(upload.take_sound()), flush=True)
            return
        with acting(upload.actor), Library(upload.library, create=False) as opened:
            is_zip = upload.file.endswith(".zip")
            for said in upload.take_zip(opened) if is_zip else [upload.take_clip(opened)]:
                print(json.dumps(said), flush=True)
    except FootageError as error:
        problem = error.problem.replace(upload.file, upload.title).replace(Path(upload.file).name, upload.title)
        print(json.dumps({"problem": problem, "remedy": error.remedy}))
    except MemoryError:
        print(json.dumps({"problem": "the file takes too much memory to decode", "remedy": "give a smaller one"}))


if __name__ == "__main__":
    main(sys.argv[1:])
