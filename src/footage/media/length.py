"""How many pictures a video holds, counted in its packets: quicker than decoding, and surer than what it declares."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from footage.media.probe import UnusableMedia, describe, open_video, plain_reason, quarter_turn


@dataclass(frozen=True)
class Length:
    """What a look through a video's packets tells."""

    frames: int
    """Pictures in it."""
    fps: float | None
    """Average frames a second, or None where it cannot be found out."""
    height: int
    """Height as displayed, in pixels."""
    width: int
    """Width as displayed, in pixels."""


def measure_length(path: Path | str) -> Length:
    """Count the pictures of a file's first video stream. Decodes one, for the rotation.

    Raises:
        UnusableMedia: the file is empty, unreadable, not a media file, without a video stream or without frames.
    """
    import av

    count, low, high, info = 0, math.inf, -math.inf, None
    with open_video(path) as (container, stream):
        stream.thread_count = 1
        try:
            for packet in container.demux(stream):
                if packet.size:
                    count += 1
                    if packet.pts is not None and packet.time_base is not None:
                        time = float(packet.pts * packet.time_base)
                        low, high = min(low, time), max(high, time)
                if info is None:
                    for frame in stream.decode(packet):
                        info = info or describe(container, stream, quarter_turn(frame))
        except (av.error.FFmpegError, OSError, ValueError, LookupError) as error:
            if info is None:
                raise UnusableMedia("zero frames", plain_reason(error)) from None
    if info is None or not count:
        raise UnusableMedia("zero frames", "no packet holds a picture")
    fps = info.fps or ((count - 1) / (high - low) if high > low else None)
    return Length(count, fps, info.height, info.width)
