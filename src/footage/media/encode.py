"""Writing clips: mp4, webm, gif and folders of PNG frames, chunk by chunk, with metadata inside every file."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from footage import files
from footage.errors import MediaError, nearest
from footage.media.choices import PLAIN, Encoding
from footage.media.codecs import CONTAINERS, Colour, Packer, codec_for, encoder_for

if TYPE_CHECKING:
    import av

Frames = npt.NDArray[np.uint8]

FORMATS = ("mp4", "webm", "gif", "png", "mov", "mkv")
"""What clips can be written as; `png` is a folder of numbered frames."""
SMALL = ("mp4", "webm")
"""What has settings of its own for small pictures."""


def write_clip(
    path: Path,
    chunks: Iterable[Frames],
    *,
    fps: float,
    metadata: dict[str, Any],
    encoding: Encoding | None = None,
) -> None:
    """Write a clip of any length in constant memory, atomically.

    Args:
        path: the file; its suffix decides the format. Without a suffix: a folder of PNG frames.
        chunks: uint8 (T, H, W, C) each, C = 1 or 3, all of one size.
        fps: frames in a second.
        metadata: put into the file as JSON, in its comment.
        encoding: how large pictures are packed; None for settings that keep small ones clean.

    Raises:
        ConfigError: the file does not hold the codec that was asked for.
        MediaError: unknown format, no frames, or the disk is full; nothing stands at `path` that was not there before.
    """
    kind = path.suffix.lower().lstrip(".") or "png"
    if kind not in FORMATS or (kind == "png" and path.suffix):
        raise MediaError(f'"{path.name}" has no format that clips are written as', nearest(kind, FORMATS))
    comment = json.dumps(metadata, ensure_ascii=False)
    if fps <= 0:
        raise MediaError(f"the frame rate is {fps}", "give a rate above 0, such as 25")
    try:
        if kind == "png":
            _write_folder(path, chunks, comment)
            return
        with files.replacing(path) as temporary:
            if kind in CONTAINERS and (encoding is not None or kind not in SMALL):
                _pack_file(temporary, kind, chunks, fps, comment, encoding or PLAIN)
            else:
                _write_file(temporary, kind, chunks, fps, comment)
            if kind == "gif":
                _add_gif_comment(temporary, comment)
    except OSError as error:
        if error.errno in files.DISK_FAULTS:
            raise MediaError(f'the disk is full, "{path}" was not written', "free some space and go on") from error
        raise


def _stored(array: Frames) -> Frames:
    """Check a chunk's layout."""
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[-1] not in (1, 3):
        raise MediaError(f"a chunk is {array.dtype} {array.shape}", "give uint8 (T, H, W, C) with 1 or 3 channels")
    return array


def _stream(container: av.container.OutputContainer, kind: str, rate: Fraction, height: int, width: int) -> Any:
    """Add the video stream with settings that keep small pictures clean."""
    codec = {"mp4": "libx264", "webm": "libvpx-vp9", "gif": "gif"}[kind]
    options = {
        # Without x264's tree of macroblocks, which decides differently from run to run.
        "mp4": {"crf": "15", "preset": "medium", "x264-params": "mbtree=0"},
        "webm": {"crf": "20", "b": "0", "cpu-used": "4", "row-mt": "1"},
        "gif": {},
    }[kind]
    stream: Any = container.add_stream(codec, rate=rate, options=options)
    stream.height, stream.width = height, width
    # Subsampled chroma, which every player shows, needs even sizes; odd ones keep full chroma instead of a border.
    full = height % 2 or width % 2
    stream.pix_fmt = "pal8" if kind == "gif" else "yuv444p" if full else "yuv420p"
    if kind != "gif":  # what the conversion from RGB gives: BT.601, limited range; untagged, HD players would guess 709
        stream.codec_context.colorspace, stream.codec_context.color_range = 6, 1
    return stream


def _write_file(path: Path, kind: str, chunks: Iterable[Frames], fps: float, comment: str) -> None:
    import av

    rate = Fraction(fps).limit_denominator(1001)
    options = {"movflags": "+faststart"} if kind == "mp4" else {"loop": "0"} if kind == "gif" else {}
    with av.open(str(path), "w", format=kind, options=options) as container:
        container.metadata["comment"] = comment
        stream: Any = None
        palette: Any = None
        for number, picture in enumerate(frame for chunk in chunks for frame in _stored(chunk)):
            height, width, channels = picture.shape
            if stream is None:
                stream = _stream(container, kind, rate, height, width)
                palette = _palette(height, width, rate) if kind == "gif" else None
            rgb = np.ascontiguousarray(np.broadcast_to(picture, (height, width, 3)))
            frame = av.VideoFrame.from_ndarray(rgb if channels == 1 else np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = number, 1 / rate
            if palette is not None:
                palette.push(frame)
                frame = palette.pull()
            else:
                # Left to the encoder, the conversion varies from run to run by a level here and there.
                frame = frame.reformat(format=stream.pix_fmt, threads=1)
            container.mux(stream.encode(frame))
        if stream is None:
            raise MediaError(f'"{path.name}" would have no frames', "give at least one")
        container.mux(stream.encode(None))


def _pack_file(path: Path, kind: str, chunks: Iterable[Frames], fps: float, comment: str, encoding: Encoding) -> None:
    import av

    codec = codec_for(encoding, path)
    name, rate = encoder_for(encoding, codec), Fraction(fps).limit_denominator(1001)
    options = {"movflags": "+faststart"} if kind in ("mp4", "mov") else {}
    with av.open(str(path), "w", options=options) as container:
        container.metadata["comment"] = comment
        packer: Packer | None = None
        for number, picture in enumerate(frame for chunk in chunks for frame in _stored(chunk)):
            if packer is None:
                size = (picture.shape[0], picture.shape[1])
                packer = Packer(
                    container, name, codec, encoding.crf, size=size, base=1 / rate, rate=rate, colour=Colour()
                )
            packer.write(picture, number)
        if packer is None:
            raise MediaError(f'"{path.name}" would have no frames', "give at least one")
        packer.finish()


def _palette(height: int, width: int, rate: Fraction) -> Any:
    """Make a filter that gives every frame its own 256 colours, which needs no look at the frames to come."""
    import av
    import av.filter

    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=width, height=height, format=av.VideoFormat("rgb24", width, height), time_base=1 / rate
    )
    split, sink = graph.add("split"), graph.add("buffersink")
    generate, use = graph.add("palettegen", "stats_mode=single"), graph.add("paletteuse", "new=1:dither=none")
    source.link_to(split)
    split.link_to(use, 0, 0)
    split.link_to(generate, 1, 0)
    generate.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    return graph


def _add_gif_comment(path: Path, comment: str) -> None:
    """Put a comment extension (GIF89a, section 24) behind the header; the encoder writes none."""
    with open(path, "rb") as encoded:
        packed = encoded.read(13)[10]
    header = 13 + (3 * 2 ** ((packed & 7) + 1) if packed & 0x80 else 0)  # screen descriptor, global colour table
    text = comment.encode("utf-8")
    blocks = b"".join(bytes([len(text[i : i + 255])]) + text[i : i + 255] for i in range(0, len(text), 255))
    with files.replacing(path) as temporary, open(temporary, "wb") as out, open(path, "rb") as encoded:
        out.write(encoded.read(header) + b"\x21\xfe" + blocks + b"\x00")
        shutil.copyfileobj(encoded, out)


def _write_folder(path: Path, chunks: Iterable[Frames], comment: str) -> None:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    if path.exists() and not (path.is_dir() and all(re.fullmatch(r"\d{6,}\.png", p.name) for p in path.iterdir())):
        raise MediaError(f'"{path}" holds something else than numbered frames', "give a new folder, or a .mp4 file")
    text = PngInfo()
    text.add_itxt("Comment", comment)
    temporary, aside = (path.with_name(f".{path.name}-{word}{files.PARTIAL}") for word in ("new", "old"))
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    count = 0
    try:
        for picture in (frame for chunk in chunks for frame in _stored(chunk)):
            image = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else np.ascontiguousarray(picture))
            image.save(temporary / f"{count:06d}.png", pnginfo=text)
            count += 1
        if not count:
            raise MediaError(f'"{path.name}" would have no frames', "give at least one")
        if path.exists():
            os.replace(path, aside)
        os.replace(temporary, path)
    finally:
        for left in (temporary, aside):
            shutil.rmtree(left, ignore_errors=True)


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the metadata that `write_clip` put into a file or folder; empty where there is none."""
    text = ""
    if path.is_dir():
        first = next(iter(sorted(path.glob("*.png"))), None)
        text = _png_comment(first) if first else ""
    elif path.suffix.lower() == ".gif":
        text = _gif_comment(path)
    else:
        import av

        with av.open(str(path)) as container:
            tags = {key.lower(): value for key, value in container.metadata.items()}
            text = tags.get("comment", "")
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _png_comment(path: Path) -> str:
    from PIL import Image

    with Image.open(path) as image:
        return str(image.info.get("Comment", ""))


def _gif_comment(path: Path) -> str:
    from PIL import Image

    with Image.open(path) as image:
        comment = image.info.get("comment", b"")
    return comment.decode("utf-8", "replace") if isinstance(comment, bytes) else str(comment)


def chunked(clip: Frames, length: int = 32) -> Iterator[Frames]:
    """Cut a clip (T, H, W, C) that is already in memory into chunks."""
    for first in range(0, len(clip), length):
        yield clip[first : first + length]
