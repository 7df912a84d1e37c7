"""A process of its own for one live stream: frames are made in real time and written as fragmented MP4 to its output.

    python -m footage.studio.stream_process MODEL

The first line of its input is what to stream (a `LiveForm` as JSON), each further line what to change to. Its output is
the video; its errors are lines of JSON that report how it goes. It ends when either pipe is closed.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from footage.config import from_json
from footage.errors import FootageError
from footage.media.decode import Frames
from footage.media.encode import FragmentedMp4
from footage.models.requests import StreamRequest, VideoOptions, parse_duration
from footage.trust.mark import marked_frames, message_for

if TYPE_CHECKING:
    from footage.generation.model import Model

REPORTED = 0.5
"""Seconds between two lines on how it goes."""


@dataclass
class LiveStream:
    """An endless video of one model, whose request can change while it goes on."""

    model: Model
    request: dict[str, Any]
    changes: queue.SimpleQueue[dict[str, Any] | None] = field(default_factory=queue.SimpleQueue)
    """Requests to change to; None to end."""
    frames: int = 0
    number: int = 0
    """How many changes there were."""
    problem: str = ""
    """Why the last change was refused."""
    heard: float | None = None
    """When the sound that it follows begins, in seconds of the video; None without one."""

    @property
    def fps(self) -> float:
        return float(self.request.get("fps") or self.model.info.fps)

    def source(self, request: dict[str, Any], elapsed: float) -> Iterator[Frames]:
        """Return the frames of a request; a model that streams goes on at the time where it was, but with sound."""
        options, streams = from_json(VideoOptions, request, "request"), self.model.info.streams
        values = {field.name: getattr(options, field.name) for field in fields(VideoOptions)}
        if streams and not options.audio:
            begin = parse_duration(options.timing.seek or 0.0, "seek")
            values["timing"] = replace(options.timing, seek=begin + elapsed)
        if not streams:
            values["fps"] = None
        about = {"made_with": "footage", "weights_sha256": self.model.info.weights_sha256}
        frames = self.model.frames(StreamRequest(**values, chunk=1 if streams else None))
        return marked_frames(frames, message_for(about))

    def change(self, request: dict[str, Any], frames: Iterator[Frames], elapsed: float) -> Iterator[Frames]:
        """Return the frames of a new request; of one that cannot be made, the present frames go on."""
        self.number += 1
        try:
            changed = self.source(request, elapsed)
        except (FootageError, TypeError, KeyError, ValueError) as error:
            self.problem = str(error)
            return frames
        self.request, self.problem = request, ""
        self.heard = elapsed if request.get("audio") else None
        return changed

    def run(self, video: FragmentedMp4, report: IO[str]) -> None:
        """Make and write frames in real time until a change is None."""
        frames, begun = self.source(self.request, 0.0), time.perf_counter()
        self.heard = 0.0 if self.request.get("audio") else None
        reported, counted, due = begun, 0, begun
        while True:
            with contextlib.suppress(queue.Empty):
                while True:
                    request = self.changes.get_nowait()
                    if request is None:
                        return
                    frames = self.change(request, frames, time.perf_counter() - begun)
            frame = next(frames)
            time.sleep(max(0.0, due - time.perf_counter()))
            now = time.perf_counter()
            video.write(frame, now - begun)
            self.frames += 1
            due = max(due + 1 / self.fps, now)
            if now - reported >= REPORTED:
                rate = (self.frames - counted) / (now - reported)
                told = {"change": self.number, "problem": self.problem, "heard": self.heard}
                write_status(report, frames=self.frames, rate=round(rate, 1), **told)
                reported, counted = now, self.frames


def write_status(report: IO[str], **values: Any) -> None:
    report.write(json.dumps(values) + "\n")
    report.flush()


def read_changes(lines: IO[str], changes: queue.SimpleQueue[dict[str, Any] | None]) -> None:
    """Pass on requests; end the process when nobody can send one any longer."""
    for line in lines:
        with contextlib.suppress(ValueError):
            changes.put(json.loads(line))
    os._exit(0)


def main(arguments: list[str]) -> None:
    request = json.loads(sys.stdin.readline())
    # What libraries print must not get into the video.
    output, report = os.fdopen(os.dup(1), "wb", buffering=0), os.fdopen(os.dup(2), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        from footage.generation.model import Model

        model = Model(Path(arguments[0]), "auto")
        stream = LiveStream(model, request)
        threading.Thread(target=read_changes, args=(sys.stdin, stream.changes), name="changes", daemon=True).start()
        first = next(stream.source(request, 0.0))
        write_status(report, frames=0, rate=0.0, change=0, problem="")
        stream.run(FragmentedMp4(output, *first.shape[:2]), report)
    except FootageError as error:
        write_status(report, frames=0, rate=0.0, change=0, problem=str(error), ended=True)
    except (BrokenPipeError, OSError):
        pass
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
