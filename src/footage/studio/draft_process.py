"""A process of its own that renders what is looked at in the studio: stretches of timelines, edit lists, effects.

    python -m footage.studio.draft_process

Each line of its input is one question, a `DraftQuestion` as JSON; each line of its output says what became of it. It is
the code that writes the film, at a small size. It ends when its input is closed, or when it has been idle.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from footage.config import from_json
from footage.errors import FootageError
from footage.files import describe_fault
from footage.generation.cutting.films import FilmMaker
from footage.generation.cutting.joins import write_film_list
from footage.library.library import Library
from footage.library.timelines import timeline_of
from footage.media.probe import count_frames

IDLE = 300.0
"""Seconds without a question after which the process ends."""


@dataclass(frozen=True)
class DraftQuestion:
    """What to write."""

    library: str
    timeline: str = ""
    """As JSON; files are called by their whole paths."""
    to: str = ""
    """An mp4 for a stretch of the draft, or an edit list."""
    clip: int | None = None
    """In place of a timeline: a clip with effects, to be rendered where it is to be; or one for `chain`."""
    chain: str = ""
    """Effects of which a draft is wanted, as JSON."""
    at: float = 0.0
    """Seconds of the film at which the stretch begins."""
    seconds: float = 6.0
    """Of the stretch."""
    urls: str = "{}"
    """Of an edit list: where each file is found, by its path, as JSON."""


def write(question: DraftQuestion, library: Library) -> dict[str, Any]:
    """Write what is asked for; return how long it is, in seconds, and its frames a second."""
    if question.clip is not None:
        path = Path(question.to)
        if question.chain:
            library.edited.draft(question.clip, json.loads(question.chain), path, question.seconds)
        else:
            path = library.edited.render(question.clip)
        count = count_frames(path)
        rate = float(count.rate or 1)
        return {"seconds": count.playable / rate, "fps": rate}
    timeline = timeline_of(json.loads(question.timeline), "the timeline")
    maker, to = FilmMaker(Path(), library), Path(question.to)
    if to.suffix == ".mp4":
        film = maker.write_draft(timeline, to, question.at, question.seconds)
    else:
        film = maker.film(timeline)
        write_film_list(film, to, {Path(path): url for path, url in json.loads(question.urls).items()})
    return {"seconds": float(film.frames / film.rate), "fps": float(film.rate)}


def main() -> None:
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what libraries print must not get between
    heard, opened = [time.monotonic()], dict[str, Library]()

    def end_when_idle() -> None:
        while time.monotonic() - heard[0] < IDLE:
            time.sleep(IDLE / 10)
        os._exit(0)

    threading.Thread(target=end_when_idle, name="idle", daemon=True).start()
    for line in sys.stdin:
        heard[0] = time.monotonic()
        try:
            question = from_json(DraftQuestion, json.loads(line), "question")
            if question.library not in opened:
                opened[question.library] = Library(question.library, create=False)
            told = write(question, opened[question.library])
        except FootageError as error:
            told = {"problem": error.problem, "remedy": error.remedy}
        except OSError as fault:
            told = {"problem": describe_fault(fault), "remedy": "try again in a moment"}
        except MemoryError:
            told = {"problem": "there is not enough memory", "remedy": "make the film smaller"}
        output.write(json.dumps({**told, "bytes": 0}) + "\n")
        output.flush()
        heard[0] = time.monotonic()


if __name__ == "__main__":
    main()
