"""What is media, by name and content: the one list for ingest, library and studio.

Pipes, sockets and devices are never opened. Of pictures that may move the head is read, nothing is decoded.
"""

from __future__ import annotations

import re
import stat
import struct
from pathlib import Path, PurePath
from typing import IO, Literal

from footage.files import locked

Alpha = Literal["auto", "straight", "premultiplied"]
"""How the colours of a transparent picture are meant."""
_VIDEOS = """
mp4 m4v mp4v f4v mov qt mkv webm avi divx xvid gif mpg mpeg mpe mpv m1v m2v m2p vob vro evo mod tod ps
ts mts m2ts m2t tp trp wmv asf flv 3gp 3g2 3gpp 3gp2 ogv ogg ogm mxf gxf dv dif y4m nut rm rmvb amv mj2 lrv insv wtv
h264 264 avc h265 265 hevc h266 266 vvc ivf av1 obu mjpeg mjpg apng flc fli
"""
VIDEO_SUFFIXES = frozenset(_VIDEOS.split())
"""Endings of the files that are taken for videos, small letters without the dot."""
PICTURE_SUFFIXES = frozenset(
    ("png", "jpg", "jpeg", "jpe", "jfif", "webp", "avif", "bmp", "tif", "tiff", "tga", "ppm", "pgm", "pnm", "jp2")
)
"""Endings of pictures: frames of a clip where they are numbered; some may move by themselves."""
CLIP_SUFFIXES = VIDEO_SUFFIXES | PICTURE_SUFFIXES
"""Endings of what can be a clip of its own."""
VOLUME_SUFFIXES = frozenset(("nii", "niigz"))
"""Endings of volumes (NIfTI), which a library keeps as it keeps clips; `niigz` stands for `nii.gz`."""
KEPT_SUFFIXES = CLIP_SUFFIXES | VOLUME_SUFFIXES
"""Endings of what a library keeps."""
SOUND_SUFFIXES = frozenset(
    ("wav", "mp3", "flac", "m4a", "aac", "oga", "ogg", "opus", "wma", "aif", "aiff", "aifc", "caf", "au")
)
"""Endings of files that are taken for sound alone."""
MAY_MOVE = frozenset({"png", "webp", "avif", "tif", "tiff"})
"""Endings of pictures of which a file may hold several: only their heads tell."""
LOCAL = "file:"
"""FFmpeg's protocol of local files, which keeps it off the network, whatever a file is called."""
HEAD = 16 * 2**10
"""Bytes of such a file that are looked at, at most."""


def suffix_of(path: PurePath | str) -> str:
    """Return the ending of a name in small letters, without the dot; of `x.nii.gz` it is `niigz`."""
    if str(path).lower().endswith(".nii.gz"):
        return "niigz"
    return PurePath(path).suffix.lower().removeprefix(".")


def stem_of(path: PurePath | str) -> str:
    """Return a file's name without its ending."""
    name = PurePath(path).name
    return (
        name[: -len(".nii.gz")] if suffix_of(name) == "niigz" and name.lower().endswith(".gz") else PurePath(name).stem
    )


def with_suffix(stem: str, suffix: str) -> str:
    """Return the name of a file that has an ending as `suffix_of` gives it."""
    return f"{stem}.{'nii.gz' if suffix == 'niigz' else suffix}"


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Return a key that sorts names as people do: `img2` before `img10`."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p.casefold()) for p in parts if p], name


def is_special(path: Path) -> bool:
    """Whether a path is a pipe, a socket or a device, which is never opened: it may block, or have no end.

    Raises:
        OSError: there is nothing, or it cannot be looked at.
    """
    mode = path.stat().st_mode
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def address_of(path: Path | str) -> str:
    """Return a local file's name as FFmpeg takes it: a colon in it, or a beginning such as `http:`, is no protocol."""
    return f"{LOCAL}{path}"


def is_still(path: Path) -> bool:
    """Whether a file is a picture that does not move, by its name and, where that leaves it open, its head."""
    return suffix_of(path) in PICTURE_SUFFIXES and not is_animated(path)


def is_animated(path: Path) -> bool:
    """Whether a PNG, WebP, AVIF or TIFF file holds several pictures that make a clip; False where it cannot be read.

    A PNG does where a chunk acTL comes before its pixels (PNG, third edition, 4.9), a WebP where the flag of animation
    is set (WebP container specification), an AVIF where the brand of image sequences is named (AVIF 1.1, 6.3).
    """
    suffix = suffix_of(path)
    try:
        if suffix not in MAY_MOVE or is_special(path):
            return False
        with locked.open_file(path) as handle:
            head = handle.read(HEAD)
            if suffix == "png":
                return head[:8] == b"\x89PNG\r\n\x1a\n" and b"acTL" in head.partition(b"IDAT")[0]
            if suffix == "webp":
                return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and bool(head[20] & 0x02)
            if suffix == "avif":
                return head[4:8] == b"ftyp" and b"avis" in head[8 : int.from_bytes(head[:4], "big")]
            return has_second_page(handle)
    except (OSError, IndexError, ValueError, struct.error):
        return False


def has_second_page(handle: IO[bytes]) -> bool:
    """Whether a TIFF file has a second page that is no smaller copy or mask of the first (TIFF 6.0: NewSubfileType)."""
    handle.seek(0)
    head = handle.read(4)
    order = "<" if head[:2] == b"II" else ">"
    large = head in (b"II\x2b\0", b"MM\0\x2b")  # BigTIFF: counts and offsets have 8 bytes
    if not large and head not in (b"II\x2a\0", b"MM\0\x2a"):
        return False
    count, offset, entry, value = ("Q", "Q", 20, 12) if large else ("H", "I", 12, 8)

    def number(kind: str) -> int:
        size = struct.calcsize(order + kind)
        return int(struct.unpack(order + kind, handle.read(size))[0])

    handle.seek(8 if large else 4)
    handle.seek(number(offset))
    handle.seek(number(count) * entry, 1)
    second = number(offset)
    if not second:
        return False
    handle.seek(second)
    for _ in range(min(number(count), 256)):
        tag = handle.read(entry)
        if struct.unpack(order + "H", tag[:2])[0] == 254:
            return not struct.unpack(order + "I", tag[value : value + 4])[0] & 0b101
    return True
