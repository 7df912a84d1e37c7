"""What videos are packed with: codecs, their quality, and the encoders of this machine's hardware."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from footage.errors import ConfigError, MediaError
from footage.media.choices import Codec, Encoding
from footage.media.decode import exact, is_large

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet

CONTAINERS: dict[str, tuple[Codec, ...]] = {
    "mp4": ("h264", "hevc", "av1"),
    "mov": ("h264", "hevc", "prores"),
    "mkv": ("h264", "hevc", "av1", "vp9", "prores"),
    "webm": ("vp9", "av1"),
}
"""What each kind of file may hold; the first is taken when nothing is said."""
SOFTWARE = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1", "vp9": "libvpx-vp9", "prores": "prores_ks"}
"""FFmpeg's encoders that need no hardware."""
UNITS = ("nvenc", "qsv", "amf", "videotoolbox", "vaapi")
"""Hardware that `auto` tries, in this order."""
CRF = {"h264": 18, "hevc": 20, "av1": 28, "vp9": 24}
"""Quality when nothing is said; less is better, and each codec has a scale of its own."""
MATRIX_601, MATRIX_709 = 6, 1
"""Colour matrices by their numbers in ITU-T H.273."""
UNKNOWN = (0, 2, 3)
"""Numbers there that say nothing."""
LIMITED, FULL = 1, 2
"""Colour ranges, as FFmpeg counts them."""


@dataclass(frozen=True)
class Colour:
    """How the numbers in a file stand for colours, by their numbers in ITU-T H.273."""

    matrix: int = 2
    """From luma and chroma to red, green and blue; 2 for unknown."""
    full: bool = False
    """Whether all 256 levels are used."""
    primaries: int = 2
    """Which red, green and blue; 2 for unknown."""
    transfer: int = 2
    """From numbers to light; 2 for unknown."""

    def settled(self, height: int, width: int) -> Colour:
        """Return the same with a known matrix, that of HDTV for large pictures."""
        if self.matrix not in UNKNOWN:
            return self
        matrix = MATRIX_709 if is_large(height, width) else MATRIX_601
        return Colour(matrix, self.full, self.primaries, self.transfer)


def codec_for(encoding: Encoding, path: Path) -> str:
    """Return the codec for a file.

    Raises:
        MediaError: no such files are written.
        ConfigError: such files do not hold the codec that was asked for.
    """
    kind = path.suffix.lower().lstrip(".")
    if kind not in CONTAINERS:
        endings = ", ".join(f".{name}" for name in CONTAINERS)
        raise MediaError(f'"{path.name}" is no file for videos', f"give one of {endings}, or a folder for PNG frames")
    if encoding.codec == "auto":
        return CONTAINERS[kind][0]
    if encoding.codec not in CONTAINERS[kind]:
        fitting = " or ".join(f".{name}" for name, codecs in CONTAINERS.items() if encoding.codec in codecs)
        raise ConfigError(f"codec is {encoding.codec}, and .{kind} files do not hold it", f"give a file of {fitting}")
    return encoding.codec


def encoder_for(encoding: Encoding, codec: str) -> str:
    """Return FFmpeg's name of the encoder; hardware is tried out.

    Raises:
        MediaError: the hardware that was asked for is not there.
    """
    if encoding.hardware == "none":
        return SOFTWARE[codec]
    reasons = []
    for unit in UNITS if encoding.hardware == "auto" else (encoding.hardware,):
        name = f"{codec}_{unit}"
        reason = _fault(name)
        if not reason:
            return name
        reasons.append(reason)
    if encoding.hardware == "auto":
        return SOFTWARE[codec]
    raise MediaError(f"hardware is {encoding.hardware}: {reasons[0]}", "give --hardware auto, or leave it out")


def _fault(name: str) -> str:
    """Say why an encoder cannot be used here; nothing where it can."""
    import av

    try:
        context: Any = av.CodecContext.create(name, "w")
    except (av.error.FFmpegError, ValueError, LookupError):
        return f"this FFmpeg has no {name}"
    try:
        context.width, context.height, context.time_base = 320, 192, Fraction(1, 25)
        context.pix_fmt = _hardware_format(name, deep=False)
        context.open()
    except (av.error.FFmpegError, ValueError, OSError, RuntimeError) as error:
        return f"{name} does not work on this machine ({getattr(error, 'strerror', None) or error})"
    return ""


def _hardware_format(name: str, deep: bool) -> str:
    return ("p010le" if deep else "nv12") if name.endswith(UNITS) else ("yuv420p10le" if deep else "yuv420p")


def pixel_format(name: str, height: int, width: int, deep: bool) -> str:
    """Return how pixels are stored: chroma at half the size, where the sides are even and the codec does so."""
    if name == "prores_ks":
        return "yuv422p10le"
    if name not in SOFTWARE.values():
        return _hardware_format(name, deep)
    full = bool(height % 2 or width % 2) and name != "libsvtav1"
    return ("yuv444p" if full else "yuv420p") + ("10le" if deep and name != "libvpx-vp9" else "")


def _options(name: str, codec: str, crf: int | None) -> dict[str, str]:
    """Return an encoder's settings: quick ones, since pictures are large.

    H.264 looks less far ahead and refines motion once: a third less time, -4 to +9% of the size, .1 dB (docs/LOG.md).
    """
    quality = str(CRF.get(codec, 0) if crf is None else crf)
    table = {
        "libx264": {"preset": "veryfast", "crf": quality, "x264-params": "subme=1:weightp=0:b-adapt=0:rc-lookahead=5"},
        "libx265": {"preset": "veryfast", "crf": quality, "x265-params": "log-level=error"},
        "libsvtav1": {"preset": "9", "crf": quality},
        "libvpx-vp9": {"crf": quality, "b": "0", "deadline": "realtime", "cpu-used": "5", "row-mt": "1"},
        "prores_ks": {"profile": "hq"},
    }
    by_unit = {
        "nvenc": {"rc": "vbr", "cq": quality},
        "qsv": {"global_quality": quality},
        "amf": {"rc": "cqp", "qp_i": quality, "qp_p": quality},
        "videotoolbox": {"q": quality},
        "vaapi": {"qp": quality},
    }
    return table.get(name) or by_unit[name.rpartition("_")[2]]


class Packer:
    """The video stream of a file that is being written.

    Args:
        container: the file.
        name: FFmpeg's name of the encoder.
        codec: which codec that is.
        crf: quality; None for the usual.
        size: height and width, in pixels.
        base: unit of the time stamps.
        rate: frames in a second, as far as that is known.
        colour: how numbers stand for colours.
        deep: whether pictures have more than 8 bits.

    Raises:
        MediaError: the encoder does not take such pictures.
    """

    def __init__(
        self,
        container: OutputContainer,
        name: str,
        codec: str,
        crf: int | None,
        *,
        size: tuple[int, int],
        base: Fraction,
        rate: Fraction,
        colour: Colour,
        deep: bool = False,
    ) -> None:
        from av.video.reformatter import VideoReformatter

        if name == "libsvtav1" and (size[0] % 2 or size[1] % 2):
            raise MediaError(f"{size[1]}×{size[0]} has an odd side, which av1 does not take", "give an even --size")
        self.container, self.base, self.colour = container, base, colour.settled(*size)
        stream: Any = container.add_stream(name, rate=rate, options=_options(name, codec, crf))
        stream.height, stream.width = size
        stream.pix_fmt = pixel_format(name, *size, deep)
        stream.time_base = stream.codec_context.time_base = base
        context = stream.codec_context
        context.colorspace, context.color_range = self.colour.matrix, FULL if self.colour.full else LIMITED
        context.color_primaries, context.color_trc = self.colour.primaries, self.colour.transfer
        if codec == "hevc" and container.format.name in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # what players of one maker ask for
        self.stream, self.reformatter = stream, VideoReformatter()
        self.lasting = max(1, round(1 / (rate * base)))

    def write(self, picture: npt.NDArray[Any], stamp: int) -> None:
        """Pack a picture, uint8 or uint16 (H, W, 1 or 3), shown from `stamp` on, in units of `base`."""
        for packet in self.encode(picture, stamp):
            self.container.mux(packet)

    def encode(self, picture: npt.NDArray[Any], stamp: int) -> list[Packet[Any]]:
        """Return the packets that a picture makes ready."""
        import av
        from av.video.reformatter import ColorRange, Interpolation

        height, width, channels = picture.shape
        if channels == 1:
            picture = np.broadcast_to(picture, (height, width, 3))
        kind = "rgb48le" if picture.dtype == np.uint16 else "rgb24"
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=kind)
        frame = self.reformatter.reformat(
            frame,
            format=self.stream.pix_fmt,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.JPEG if self.colour.full else ColorRange.MPEG,
            dst_colorspace=self.colour.matrix,
            interpolation=exact(Interpolation.BICUBIC),
            threads=1,
        )
        frame.pts, frame.time_base, frame.duration = stamp, self.base, self.lasting
        return list(self.stream.encode(frame))

    def finish(self) -> None:
        """Pack what still waits."""
        for packet in self.stream.encode(None):
            self.container.mux(packet)
