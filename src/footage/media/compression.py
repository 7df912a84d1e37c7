"""What a lossy codec leaves of a few frames: they are packed in memory and unpacked again."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

Frames = npt.NDArray[np.uint8]


def h264(frames: Frames, crf: int) -> Frames:
    """Return what H.264 leaves of frames, uint8 (T, H, W, 3): prediction from frame to frame, chroma at half the size.

    Args:
        frames: of any size; odd ones are coded with their last line repeated.
        crf: constant rate factor, 0 to 51; more is worse.
    """
    import av

    height, width = frames.shape[1:3]
    even = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width, encoder.pix_fmt = *even.shape[1:3], "yuv420p"
    encoder.time_base, encoder.thread_count = _base(), 1
    encoder.options = {"crf": str(crf), "preset": "veryfast", "tune": "zerolatency", "x264-params": "log-level=none"}
    decoder: Any = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    found: list[Frames] = []
    packets = [packet for number, picture in enumerate(even) for packet in encoder.encode(_frame(picture, number))]
    packets += encoder.encode(None)
    for packet in (*packets, None):
        found += [decoded.to_ndarray(format="rgb24") for decoded in decoder.decode(packet)]
    assert len(found) == len(frames), f"{len(frames)} frames became {len(found)}"
    return np.ascontiguousarray(np.stack(found)[:, :height, :width])


def jpeg(frames: Frames, quality: int) -> Frames:
    """Return what JPEG leaves of each frame, uint8 (T, H, W, 3), chroma at half the size.

    Args:
        frames: of any size.
        quality: 1 to 95; less is worse.
    """
    from PIL import Image

    found = []
    for picture in frames:
        packed = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(picture)).save(packed, "JPEG", quality=quality, subsampling=2)
        with Image.open(packed) as opened:
            found.append(np.asarray(opened.convert("RGB")))
    return np.stack(found)


def _frame(picture: Frames, number: int) -> VideoFrame:
    import av

    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    frame.pts, frame.time_base = number, _base()
    return frame


def _base() -> Any:
    from fractions import Fraction

    return Fraction(1, 25)
