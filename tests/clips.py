"""Small clips for the tests, made with PyAV, the same on every run."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np


def moving(frames: int = 40, size: tuple[int, int] = (64, 64), seed: int = 0) -> list[np.ndarray]:
    """A coloured disc on a textured wall; both depend on the seed. RGB uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    height, width = size
    coarse = rng.integers(40, 200, (6, 6, 3))
    wall = np.kron(coarse, np.ones((height // 6 + 1, width // 6 + 1, 1)))[:height, :width]
    colour = rng.integers(0, 256, 3)
    start, way = rng.uniform(0.2, 0.8, 2), rng.uniform(-1, 1, 2)
    y, x = np.mgrid[0:height, 0:width]
    made = []
    for t in range(frames):
        at = np.abs((start + way * t / 40) % 2 - 1) * (height, width)
        inside = (y - at[0]) ** 2 + (x - at[1]) ** 2 < (min(size) / 5) ** 2
        made.append(np.where(inside[..., None], colour, wall).astype(np.uint8))
    return made


def smooth(frames: int, size: tuple[int, int] = (64, 64), seed: int = 0) -> list[np.ndarray]:
    """Like `moving`, without the stairs of hard edges."""
    height, width = size
    large = moving(frames, (2 * height, 2 * width), seed)
    return [np.rint(f.reshape(height, 2, width, 2, 3).mean(axis=(1, 3))).astype(np.uint8) for f in large]


def still(frames: int = 40, size: tuple[int, int] = (64, 64), seed: int = 0) -> list[np.ndarray]:
    return moving(1, size, seed) * frames


def write(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    fps: int | Fraction = 25,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    times: Sequence[float] | None = None,
    sar: Fraction | None = None,
    container_options: dict[str, str] | None = None,
    size: tuple[int, int] | None = None,
) -> Path:
    """Encode frames, none where a `size` is given; `times` in seconds makes the rate variable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width = size or frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.thread_count = 1
        stream.options = options if options is not None else ({"crf": "16"} if codec == "libx264" else {})
        if sar:
            stream.sample_aspect_ratio = sar
        base = Fraction(1, 1000) if times else Fraction(1) / Fraction(fps)
        stream.codec_context.time_base = base
        container.start_encoding()
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = (round(times[i] * 1000) if times else i), base
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def woven(frames: Sequence[np.ndarray], top_first: bool = True) -> list[np.ndarray]:
    """Interlace frames: of each two, one gives the even lines and the other the odd ones."""
    made = []
    for first, second in zip(frames[::2], frames[1::2], strict=True):
        frame = (first if top_first else second).copy()
        frame[1::2] = (second if top_first else first)[1::2]
        made.append(frame)
    return made


def combs(frames: np.ndarray) -> float:
    """By how many grey levels lines (T, H, W, C) stand out from both neighbours on the same side, on average.

    What stands out by less than 5 levels is noise of the codec.
    """
    grey = frames.astype(int).mean(axis=-1)
    up, down = grey[:, :-2] - grey[:, 1:-1], grey[:, 2:] - grey[:, 1:-1]
    depth = np.where(up * down > 0, np.minimum(abs(up), abs(down)), 0)
    return float(np.where(depth < 5, 0, depth).mean())


def quadrants(colours: Sequence[Sequence[int]], size: int = 32) -> np.ndarray:
    """Four colours in a square: top left, top right, bottom left, bottom right; RGB uint8 (H, W, 3)."""
    rows = np.array(colours, np.uint8).reshape(2, 2, 3)
    return np.kron(rows, np.ones((size // 2, size // 2, 1), np.uint8))


def corners(picture: np.ndarray) -> np.ndarray:
    """The colours in the middle of the four quadrants of a picture, as integers (4, 3)."""
    height, width = picture.shape[:2]
    return np.array([picture[y * height // 4, x * width // 4] for y in (1, 3) for x in (1, 3)], int)


def write_signal(
    path: Path, signal: np.ndarray, *, matrix: int, primaries: int, transfer: int, frames: int = 2, **options: str
) -> Path:
    """Write the values of a picture, RGB from 0 to 1 (H, W, 3), as 10 bits, with its code points of ITU-T H.273."""
    meant = matrix if matrix != 2 else 9 if transfer in (16, 18) else 5  # 2 tells nothing
    deep = np.round(np.clip(signal, 0, 1) * 65535).astype(np.uint16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "4", **options})
        stream.height, stream.width, stream.pix_fmt = *deep.shape[:2], "yuv444p10le"
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc = matrix, primaries, transfer
        context.color_range = 1
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(deep, format="rgb48le").reformat(
                format="yuv444p10le", dst_colorspace=meant, dst_color_range="MPEG"
            )
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_audio(path: Path) -> Path:
    """A second of sound, no picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16000, 0
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)
    return path


def add_sound(path: Path) -> Path:
    """Give a video a second of a quiet tone."""
    silent = path.rename(path.with_name(f"silent-{path.name}"))
    with av.open(str(silent)) as source, av.open(str(path), "w") as container:
        video = container.add_stream_from_template(source.streams.video[0])
        audio: Any = container.add_stream("aac", rate=16000)
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = video
                container.mux(packet)
        tone = 0.1 * np.sin(np.arange(16000, dtype=np.float32)[None] / 6)
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16000, 0
        for packet in [*audio.encode(frame), *audio.encode()]:
            container.mux(packet)
    silent.unlink()
    return path


def rotate(path: Path, degrees: int) -> Path:
    """Turn an mp4 file clockwise for display."""
    return display(path, {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[degrees])


def display(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Set the display matrix (a, b, c, d) in the track header of an mp4 file: (p, q) is shown at (ap+cq, bp+dq)."""
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4
    a, b, c, d = (value << 16 for value in matrix)
    struct.pack_into(">9i", content, at + (52 if content[at] == 1 else 40), a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(bytes(content))
    return path


def corrupt(path: Path, begin: float, end: float, every: int = 3) -> Path:
    """Spoil a stretch of the file, given as parts of its length."""
    content = bytearray(path.read_bytes())
    for i in range(int(len(content) * begin), int(len(content) * end), every):
        content[i] ^= 0x5A
    path.write_bytes(bytes(content))
    return path


def cut_off(path: Path, keep: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    return path
