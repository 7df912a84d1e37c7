"""Interlaced video: found by its marks and by looking, and made progressive by FFmpeg's `bwdif`.

An interlaced frame holds two fields, the even lines and the odd ones, that were taken one after the other: what moves
has combs. Files are often marked wrongly, either way, so that frames are looked at before anything is done.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from av.filter import Graph
    from av.video.frame import VideoFrame

    Lines = npt.NDArray[np.int16]

Deinterlacing = Literal["auto", "double", "off"]
"""One frame for each frame of interlaced video; one for each field; or fields as they are."""
Verdict = Literal["tff", "bff", "progressive"] | None
"""What frames are; None where it is not certain."""
Reading = tuple["VideoFrame", bool]
"""A decoded frame, and whether it is damaged."""

LOOKED = 10
"""Frames that are looked at, and held meanwhile, before the first is shown."""
SELDOM = 8
"""While nothing is certain, one of so many frames is looked at later on."""
SHORTEST, TALLEST = 64, 1200
"""Frames of more lines are progressive: no interlaced format has them. Of fewer, only the marks are believed."""
COLUMNS = 256
"""Columns of a frame that are looked at, about."""
MOVED = 10
"""Grey levels by which a pixel changes where something moves."""
ENOUGH = 200
"""Pixels that have moved, in all frames that were looked at together, before anything is said."""
VISIBLE = 3.0
"""Grey levels by which lines of moving pixels stand out at least, on average, where fields are from different times."""
SMALL = 200
"""Frames of fewer lines are hardly ever interlaced, and the edges of small drawings imitate combs."""
RATIO, SMALL_RATIO, EVEN = 1.75, 2.0, 1.25
"""Fields further apart in time stand out so many times as much in interlaced frames, in small ones; and, at most, in
progressive ones."""


def standing_out(above: Lines, middle: Lines, below: Lines) -> Lines:
    """Return by how much lines are above, or below, both neighbours: 0 for edges and slopes, the depth for combs."""
    import numpy as np

    up, down = above - middle, below - middle
    combs: Lines = np.where((up ^ down) >= 0, np.minimum(np.abs(up), np.abs(down)), 0)
    return combs


@dataclass
class FieldEvidence:
    """What was seen of the fields of some frames.

    Of two frames in a row, four pictures are woven: the frames, the top lines of the second with the bottom lines of
    the first, and the reverse. In interlaced video the fields of one of these are as near in time as those of a
    frame, and of the other three times as far; in progressive video both are further apart than those of a frame.
    """

    moved: int = 0
    """Pixels that have moved."""
    within: int = 0
    """How much lines stand out in the frames, there."""
    top_later: int = 0
    """The same where top lines are from the second frame: little, where top fields are first."""
    bottom_later: int = 0
    """The same where bottom lines are from the second."""

    def look(self, before: Lines, frame: Lines) -> None:
        """Look at a frame (H, W), grey, and the one before it."""
        import numpy as np

        changed = np.abs(frame - before) > MOVED
        moving = changed[:-2] | changed[1:-1] | changed[2:]
        above, middle, below = slice(None, -2), slice(1, -1), slice(2, None)
        of_frame = standing_out(frame[above], frame[middle], frame[below]) * moving
        later = standing_out(before[above], frame[middle], before[below]) * moving
        earlier = standing_out(frame[above], before[middle], frame[below]) * moving
        self.moved += int(moving.sum())
        self.within += int(of_frame.sum())
        # The first of the lines between two others is number 1, of the bottom field.
        self.top_later += int(later[1::2].sum() + earlier[::2].sum())
        self.bottom_later += int(later[::2].sum() + earlier[1::2].sum())

    def verdict(self, lines: int) -> Verdict:
        """Return what frames of so many lines are, with the field that is first in interlaced ones: top or bottom."""
        near, far = sorted((self.top_later, self.bottom_later))
        if self.moved < ENOUGH or far < VISIBLE * self.moved:
            return None
        ratio = RATIO if lines >= SMALL else SMALL_RATIO
        if far >= ratio * near and 0.45 * near <= self.within <= 1.6 * near and self.within >= 0.15 * far:
            return "tff" if self.top_later < self.bottom_later else "bff"
        return "progressive" if self.within < max(0.1 * far, 0.6 * near * (far < EVEN * near)) else None


class Deinterlacer:
    """A stage that decoded frames pass, in order; interlaced ones become progressive, others stay as they are.

    What was seen is remembered from one stretch of a file to the next.
    """

    def __init__(self, mode: Deinterlacing) -> None:
        self.mode = mode
        self.found = False
        """Whether interlaced frames were met."""
        self._seen = {True: FieldEvidence(), False: FieldEvidence()}  # of marked frames, and of the others
        self._verdicts: dict[bool, Verdict] = {True: None, False: None}  # on them
        self._graph: Graph | None = None
        self._made_for: tuple[object, ...] = ()  # the frames that the filter takes, and what it does
        self._damaged = False  # whether the frame is that the filter gives next

    @property
    def frames_each(self) -> int:
        """How many frames are made of one, as far as is known."""
        return 2 if self.found and self.mode == "double" else 1

    @property
    def notes(self) -> list[str]:
        """What is to be said of the video: nothing where it is progressive."""
        made = "a frame made of each field" if self.frames_each == 2 else "deinterlaced"
        return [f"interlaced, {made}"] if self.found else []

    def passed(self, readings: Iterator[Reading]) -> Iterator[Reading]:
        """Yield the frames of a stretch as they are to be seen."""
        held: list[Reading] = []
        before: Lines | None = None
        for number, reading in enumerate(readings):
            frame = reading[0]
            marked = bool(frame.interlaced_frame)
            looked_at = frame.height <= TALLEST and (marked or frame.height >= SHORTEST)
            if self.mode != "off" and looked_at and self._verdicts[marked] is None:
                if number >= LOOKED and number % SELDOM != 1:
                    before = None
                if number < LOOKED or number % SELDOM < 2:
                    grey = frame.reformat(format="gray", threads=1).to_ndarray()
                    lines = grey[:, :: max(1, frame.width // COLUMNS)].astype("int16")
                    if before is not None and before.shape == lines.shape:
                        self._seen[marked].look(before, lines)
                    before = lines
                held.append(reading)
                if number < LOOKED - 1:
                    continue
                self._verdicts[marked] = self._seen[marked].verdict(frame.height)
            else:
                held.append(reading)
            for item in held:
                yield from self._shown(*item)
            held = []
        for marked, seen in self._seen.items():  # a short stretch
            if held and self._verdicts[marked] is None:
                self._verdicts[marked] = seen.verdict(held[0][0].height)
        for item in held:
            yield from self._shown(*item)
        yield from self._rest()

    def _shown(self, frame: VideoFrame, damaged: bool) -> Iterator[Reading]:
        """Yield a frame as it is to be seen, or, where it is filtered, what that makes ready."""
        import av.filter

        arguments, rate, verdict = None, "send_field" if self.mode == "double" else "send_frame", self._verdicts[True]
        if self.mode != "off" and frame.height <= TALLEST:
            if (order := self._verdicts[False]) in ("tff", "bff"):  # the marks are wrong
                arguments = f"mode={rate}:parity={order}:deint=all"
            elif verdict != "progressive" and (frame.interlaced_frame or self._graph):
                arguments = f"mode={rate}:parity={verdict or 'auto'}:deint=interlaced"
        made_for = (arguments, frame.width, frame.height, frame.format.name, frame.time_base)
        if self._graph is not None and made_for != self._made_for:
            yield from self._rest()
        if arguments is None:
            yield frame, damaged
            return
        if self._graph is None:
            self.found, self._made_for, self._damaged = True, made_for, damaged
            graph = self._graph = av.filter.Graph()
            graph.threads = 1
            source = graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
            )
            graph.link_nodes(source, graph.add("bwdif", arguments), graph.add("buffersink")).configure()
        self._graph.vpush(frame)
        yield from self._ready(self._damaged)
        self._damaged = damaged

    def _ready(self, damaged: bool) -> Iterator[Reading]:
        """Yield what the filter has ready: of the frame before the one that it was given last."""
        import av

        assert self._graph is not None
        with contextlib.suppress(BlockingIOError, av.error.EOFError):
            while True:
                yield self._graph.vpull(), damaged

    def _rest(self) -> Iterator[Reading]:
        """End the filter, if there is one, and yield what it holds."""
        if self._graph is not None:
            self._graph.vpush(None)
            yield from self._ready(self._damaged)
            self._graph = None
