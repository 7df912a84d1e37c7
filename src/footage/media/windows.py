"""A few frames in a row from anywhere in a file, at its own size and rate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from footage.media.decode import Scaler
from footage.media.frames import FrameReader
from footage.media.probe import UnusableMedia, VideoInfo, describe, open_video, quarter_turn

if TYPE_CHECKING:
    from av.video.stream import VideoStream

Frames = npt.NDArray[np.uint8]


def measure_length(path: Path | str) -> tuple[VideoInfo, int, float]:
    """Return what a file is, the number of its frames, and how many there are in a second.

    Where the container does not tell, its packets are counted, without decoding.

    Raises:
        UnusableMedia: no frame can be had from it.
    """
    with open_video(path) as (container, stream):
        info = None
        for frame, _ in FrameReader().frames(container, stream):
            info = describe(container, stream, quarter_turn(frame))
            break
    if info is None:
        raise UnusableMedia("zero frames", "no packet holds a picture")
    fps = info.fps or 25.0
    if info.frames:
        return info, info.frames, fps
    if info.duration:
        return info, max(1, round(info.duration * fps)), fps
    with open_video(path) as (container, stream):
        return info, sum(packet.size > 0 for packet in container.demux(stream)), fps


def read_window(path: Path | str, seconds: float, count: int, channels: int = 3) -> tuple[Frames, bool]:
    """Return `count` frames from a time on, uint8 (T, H, W, C), upright, and whether they are whole.

    They are not, where there are fewer, of which the last stands for the others, or some are damaged.

    Args:
        path: a file that FFmpeg reads.
        seconds: since its first frame.
        count: of the frames.
        channels: 1 for grey, 3 for RGB.

    Raises:
        UnusableMedia: the file cannot be opened, or gives no frame at all.
    """
    found: list[Frames] = []
    whole = True
    with open_video(path) as (container, stream):
        stream.thread_count = 1
        begin = _start(stream) + seconds
        if seconds > 0 and stream.time_base:
            container.seek(int(begin / stream.time_base), stream=stream)
        scale: Scaler | None = None
        for frame, damaged in FrameReader().frames(container, stream):
            if frame.time is not None and frame.time < begin - 1e-3:
                continue
            if scale is None:
                turned = quarter_turn(frame) in (90, 270)
                size = (frame.width, frame.height) if turned else (frame.height, frame.width)
                scale = Scaler(size, channels, "stretch", 1.0)
            found.append(scale(frame))
            whole = whole and not damaged
            if len(found) == count:
                break
    if not found:
        if seconds > 0:
            return read_window(path, 0.0, count, channels)[0], False
        raise UnusableMedia("zero frames", "no packet holds a picture")
    missing = count - len(found)
    return np.stack(found + found[-1:] * missing), whole and not missing


def _start(stream: VideoStream) -> float:
    """Return the time of the first frame, in seconds."""
    return float(stream.start_time * stream.time_base) if stream.start_time and stream.time_base else 0.0
