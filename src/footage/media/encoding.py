"""What clips can be written as: file formats, codecs, quality, hardware.

The commands' help needs it, so it imports nothing heavy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from footage.errors import ConfigError, nearest

Format = Literal["mp4", "webm", "gif", "png", "mov", "mkv", "nii", "dicom"]
"""What clips can be written as; `png` is a folder of numbered frames. Of models of volumes also `nii`, NIfTI files, and
`dicom`, folders of slices."""
VOLUME_FORMATS = ("nii", "dicom")
Codec = Literal["auto", "h264", "hevc", "av1", "vp9", "prores"]
Hardware = Literal["none", "auto", "nvenc", "qsv", "amf", "videotoolbox", "vaapi"]
GIF_RATE = 50
"""Frames a second in a gif, at most: browsers show a delay below 20 ms as 100 ms, five times as slowly."""
WORST = {"h264": 51, "hevc": 51, "av1": 63, "vp9": 63}


@dataclass(frozen=True)
class EncodingOptions:
    """The options of an encoder."""

    codec: Codec = "auto"
    """How pictures are encoded: `h264` plays everywhere, `hevc` and `av1` are smaller and slower, `vp9` is for webm,
    and `prores`, in a .mov, keeps every frame by itself, for editing; `auto` takes what suits the file."""
    crf: int | None = None
    """Quality, less is better: 0 to 51 for h264 and hevc, 0 to 63 for av1 and vp9; left out, close to what the eye can
    tell."""
    hardware: Hardware = "none"
    """Which part of the machine encodes them, where FFmpeg and the machine have it: a graphics card's `nvenc`, `qsv`,
    `amf`, `videotoolbox` or `vaapi`; `auto` takes the first that works."""

    def __post_init__(self) -> None:
        for name, value, kind in (("codec", self.codec, Codec), ("hardware", self.hardware, Hardware)):
            if value not in get_args(kind):
                raise ConfigError(f"{name} is {value!r}", nearest(str(value), get_args(kind)))
        worst = WORST.get(self.codec, 63)
        if self.crf is not None and not 0 <= self.crf <= worst:
            raise ConfigError(f"crf is {self.crf}", f"give 0 to {worst}")
        if self.crf is not None and self.codec == "prores":
            raise ConfigError(f"crf is {self.crf}, and prores has one quality", "leave --crf out")


DEFAULT_ENCODING = EncodingOptions()
"""What suits the file, as good as the eye can tell, by the processor."""


def rate_note(suffix: str, fps: float) -> str:
    """Say what a format, by its ending, cannot keep of a rate; empty where it keeps it."""
    if suffix.lower().lstrip(".") != "gif" or fps <= GIF_RATE:
        return ""
    kept = f"of {fps:g} a second {GIF_RATE} are kept, and the speed stays"
    return f"browsers show no more than {GIF_RATE} frames a second of a gif, each for 20 ms: {kept}"
