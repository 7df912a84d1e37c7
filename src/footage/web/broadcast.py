"""A process of its own for one live stream: frames are made in real time and written as fragmented MP4 to its output.

    python -m footage.web.broadcast MODEL

The first line of its input is what to stream (a `Live` as JSON), each further line what to change to. Its output is the
video; its errors are lines of JSON that say how it goes. It ends when either pipe is closed.
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
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from footage.errors import FootageError

if TYPE_CHECKING:
    from footage.generation.model import Model

Frame = npt.NDArray[np.uint8]

CLOCK = 90_000
"""Ticks of the video's clock in a second."""
SHOWN = 384
"""Pixels of the longer side, about, that small frames are enlarged to: 4:2:0 would blur their colours."""
REPORTED = 0.5
"""Seconds between two words on how it goes."""
KEYED = 2.0
"""Seconds between two frames that stand for themselves."""


class Output:
    """A pipe that a container is written to; it cannot be sought."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe

    def write(self, content: bytes) -> int:
        """Write, and let it go at once."""
        self._pipe.write(content)
        self._pipe.flush()
        return len(content)


class Encoder:
    """Writes frames as H.264 in fragmented MP4, a fragment a frame, as they come.

    Args:
        pipe: where to.
        height: of the frames.
        width: of the frames.
    """

    def __init__(self, pipe: IO[bytes], height: int, width: int) -> None:
        import av

        self.scale = max(1, SHOWN // max(height, width))
        if (height * self.scale) % 2 or (width * self.scale) % 2:
            self.scale *= 2
        movflags = {"movflags": "frag_every_frame+empty_moov+default_base_moof", "flush_packets": "1"}
        self._container = av.open(Output(pipe), "w", format="mp4", options=movflags)
        options = {"preset": "veryfast", "tune": "zerolatency", "crf": "18", "profile": "high", "threads": "1"}
        self._stream: Any = self._container.add_stream("libx264", rate=30, options=options)
        self._stream.height, self._stream.width = height * self.scale, width * self.scale
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, CLOCK)
        self._stream.codec_context.gop_size = 10_000  # frames that stand for themselves are asked for by time
        self._last, self._keyed = -1, -KEYED

    def write(self, frame: Frame, when: float) -> None:
        """Write a frame (H, W, C) that is to be shown at a time in seconds."""
        import av

        rgb = np.broadcast_to(frame, (*frame.shape[:2], 3))
        large = np.ascontiguousarray(rgb.repeat(self.scale, axis=0).repeat(self.scale, axis=1))
        picture = av.VideoFrame.from_ndarray(large, format="rgb24")
        picture.pts = self._last = max(self._last + 1, round(when * CLOCK))
        picture.time_base = Fraction(1, CLOCK)
        if when - self._keyed >= KEYED:
            picture.pict_type, self._keyed = av.video.frame.PictureType.I, when
        self._container.mux(self._stream.encode(picture))


@dataclass
class Broadcast:
    """One stream: what is asked for, and how it goes."""

    model: Model
    """What makes it."""
    asked: dict[str, Any]
    """What is streamed now."""
    changes: queue.SimpleQueue[dict[str, Any] | None] = field(default_factory=queue.SimpleQueue)
    """What it is to change to; None to end."""
    frames: int = 0
    """Frames that were made."""
    number: int = 0
    """How many changes there were."""
    problem: str = ""
    """Why the last change was refused."""

    @property
    def fps(self) -> float:
        """Frames a second that are wanted."""
        return float(self.asked.get("fps") or self.model.info.fps)

    def source(self, asked: dict[str, Any], elapsed: float) -> Iterator[Frame]:
        """Return the frames of what is asked for; a model that streams goes on at the time where it was."""
        from dataclasses import replace

        from footage.models.base import Streams
        from footage.models.requests import Timing

        timing, streams = Timing(**asked["motion"]), isinstance(self.model.sampler, Streams)
        if streams:
            timing = replace(timing, seek=float(timing.seek or 0.0) + elapsed)
        fps = asked.get("fps") if streams else None
        return self.model.stream(
            fps,
            seed=asked["seed"],
            label=asked["label"],
            sliders=asked.get("sliders"),
            timing=timing,
            chunk=1 if streams else None,
        )

    def run(self, encoder: Encoder, report: IO[str]) -> None:
        """Make and write frames in real time until it is to end."""
        stream, begun = self.source(self.asked, 0.0), time.perf_counter()
        said, counted, due = begun, 0, begun
        while True:
            with contextlib.suppress(queue.Empty):
                while True:
                    wanted = self.changes.get_nowait()
                    if wanted is None:
                        return
                    stream = self._turn(wanted, stream, time.perf_counter() - begun)
            frame = next(stream)
            time.sleep(max(0.0, due - time.perf_counter()))
            now = time.perf_counter()
            encoder.write(frame, now - begun)
            self.frames += 1
            due = max(due + 1 / self.fps, now)
            if now - said >= REPORTED:
                rate = (self.frames - counted) / (now - said)
                say(report, frames=self.frames, rate=round(rate, 1), change=self.number, problem=self.problem)
                said, counted = now, self.frames

    def _turn(self, wanted: dict[str, Any], stream: Iterator[Frame], elapsed: float) -> Iterator[Frame]:
        """Go over to what is wanted; what cannot be made is refused, and the present stream goes on."""
        self.number += 1
        try:
            changed = self.source(wanted, elapsed)
        except (FootageError, TypeError, KeyError, ValueError) as error:
            self.problem = str(error)
            return stream
        self.asked, self.problem = wanted, ""
        return changed


def say(report: IO[str], **values: Any) -> None:
    """Write a line on how it goes."""
    report.write(json.dumps(values) + "\n")
    report.flush()


def listen(lines: IO[str], changes: queue.SimpleQueue[dict[str, Any] | None]) -> None:
    """Pass on what is to change; end the process when nobody can say so any longer."""
    for line in lines:
        with contextlib.suppress(ValueError):
            changes.put(json.loads(line))
    os._exit(0)


def main(arguments: list[str]) -> None:
    """Stream a model."""
    asked = json.loads(sys.stdin.readline())
    # What libraries print must not get into the video.
    video, report = os.fdopen(os.dup(1), "wb", buffering=0), os.fdopen(os.dup(2), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        from footage.config import TrainConfig
        from footage.generation.model import Model
        from footage.training.cost import find_place

        model = Model(Path(arguments[0]), find_place(TrainConfig()).device)
        broadcast = Broadcast(model, asked)
        threading.Thread(target=listen, args=(sys.stdin, broadcast.changes), name="listen", daemon=True).start()
        first = next(broadcast.source(asked, 0.0))
        say(report, frames=0, rate=0.0, change=0, problem="")
        broadcast.run(Encoder(video, *first.shape[:2]), report)
    except FootageError as error:
        say(report, frames=0, rate=0.0, change=0, problem=str(error), ended=True)
    except (BrokenPipeError, OSError):
        pass
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
