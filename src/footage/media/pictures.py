"""Pictures as arrays: upright, of any depth, laid over a background; and pictures that move as videos for FFmpeg."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from footage.errors import ConfigError
from footage.files import locked
from footage.media.interlacing import Deinterlacing
from footage.media.kinds import Alpha, address_of, suffix_of

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from PIL import Image

Pixels = npt.NDArray[Any]
"""A picture (H, W, C): grey, grey and alpha, RGB, or RGB and alpha, of any type of number."""

DEPTHS = (8, 10, 12, 14, 16, 24, 32)
"""Bits that a sample may have; of a sequence the fewest that hold its brightest one."""
OVERSHOOT = 16.0
"""Floating-point pictures count from 0 to 1 where nothing is brighter than this: lights may be brighter than white."""
SHORTEST, STANDARD = 11, 100
"""Milliseconds of a frame of a moving picture below which it stands for `STANDARD`, as in browsers."""
PAGE = 40
"""Milliseconds for which a page of a TIFF stands."""
MILLISECOND = Fraction(1, 1000)
COPY_OF = "footage_copy_of"
"""Key in a temporary video under which stands what kind of file it was made from."""
COPY_NOTE = "footage_note"
"""The same for what was found out about it; see `Whites.note`."""


@dataclass(frozen=True)
class PictureOptions:
    """How pictures are looked at; see `IngestConfig`."""

    background: str = "black"
    alpha: Alpha = "auto"
    bits: int | None = None
    deinterlacing: Deinterlacing = "auto"

    def check(self) -> None:
        """Refuse a background that is no colour.

        Raises:
            ConfigError: it is none.
        """
        _ = self.colour

    @cached_property
    def colour(self) -> tuple[int, int, int]:
        """Red, green and blue of the background, 0 to 255."""
        from PIL import ImageColor

        try:
            red, green, blue = ImageColor.getrgb(self.background)[:3]
        except ValueError:
            remedy = "give a colour such as black, white or #20a040"
            raise ConfigError(f'background is "{self.background}", which is no colour', remedy) from None
        return red, green, blue


PLAIN = PictureOptions()
"""Nothing is said: transparent pictures stand on black, and depths are found out."""


def over(picture: Pixels, options: PictureOptions = PLAIN) -> Pixels:
    """Return a picture (H, W, C), uint8 or uint16, without its alpha, laid over the background (Porter and Duff 1984).

    Straight alpha: c·a + b·(1 - a); premultiplied: c + b·(1 - a), for colour c and background b.
    """
    if picture.shape[2] in (1, 3):
        return picture
    top = 255 if picture.dtype == np.uint8 else 65535
    colour, alpha = picture[:, :, :-1].astype(np.uint32), picture[:, :, -1:].astype(np.uint32)
    if colour.shape[2] == 1 and len(set(options.colour)) > 1:
        colour = np.repeat(colour, 3, axis=2)  # grey on a colour: (H, W, 1) → (H, W, 3)
    behind = np.array(options.colour[: colour.shape[2]], np.uint32) * (top // 255)
    shown = colour * top if options.alpha == "premultiplied" else colour * alpha
    mixed = (shown.astype(np.uint64) + behind * (top - alpha) + top // 2) // top
    opaque: Pixels = np.minimum(mixed, top).astype(picture.dtype)
    return opaque


def has_alpha(frame: VideoFrame) -> bool:
    """Whether a decoded frame may be transparent."""
    return frame.format.name == "pal8" or any(component.is_alpha for component in frame.format.components)


def without_unset_alpha(frame: VideoFrame) -> VideoFrame:
    """Return a frame opaque where it is a picture that nothing could be seen of: its program has left opacity at 0."""
    rgba = frame.to_ndarray(format="rgba")
    if rgba[:, :, 3].any() or not np.ptp(rgba[:, :, :3]):
        return frame
    opaque = frame.reformat(format="rgb24")
    opaque.pts, opaque.time_base = frame.pts, frame.time_base
    return opaque


def laid_over(frame: VideoFrame, options: PictureOptions, meaning: Mapping[str, Any]) -> tuple[VideoFrame, bool]:
    """Return a decoded frame without its alpha, RGB, laid over the background, and whether anything is seen through it.

    Args:
        frame: a frame with alpha, of 8 or more bits.
        options: the background, and whether colours are premultiplied.
        meaning: what FFmpeg is to take the frame's numbers for, as arguments of `VideoFrame.reformat`.
    """
    from av.video.frame import VideoFrame

    deep = frame.format.components[0].bits > 8
    rgba = frame.reformat(format="rgba64le" if deep else "rgba", threads=1, **meaning).to_ndarray()
    opaque = VideoFrame.from_ndarray(over(rgba, options), "rgb48le" if deep else "rgb24")
    return opaque, bool((rgba[:, :, 3] < (65535 if deep else 255)).any())


def read_upright(path: Path) -> tuple[Pixels, int | None]:
    """Read a picture, turned as its EXIF data say: (H, W, C), and the bits of its samples where the file tells them.

    Raises:
        Exception: Pillow and FFmpeg raise many kinds for damaged pictures.
    """
    from PIL import Image

    with locked.open_file(path) as handle, Image.open(handle) as image:
        return stored_pixels(image, path)


def stored_pixels(image: Image.Image, path: Path | None = None) -> tuple[Pixels, int | None]:
    """Return what an open picture holds, upright, (H, W, C): 8 bits as uint8, others as they are stored.

    With them come the bits of the samples, None where the file does not tell: 10 bits may stand in 16. Pillow reads the
    high bytes of colours of 16 bits only; these are read by FFmpeg where a path is given.
    """
    from PIL import Image, ImageOps

    deep_colour = ";16" in str(getattr(image, "tile", ""))  # known until the picture is loaded
    turn = image.getexif().get(0x0112, 1)
    if image.mode.startswith("I") or image.mode == "F":
        upright = ImageOps.exif_transpose(image)
        pixels = np.asarray(upright)
        told = 16 if image.format in ("PPM", "JPEG2000") else None  # Pillow has scaled them
        return pixels[:, :, None], told  # (H, W) → (H, W, 1)
    if path is not None and deep_colour:
        deep = deep_pixels(path)
        if deep is not None:
            associated = suffix_of(path) in ("tif", "tiff") and 1 in image.tag_v2.get(338, ())  # type: ignore[attr-defined]
            if associated and deep.shape[2] in (2, 4):  # TIFF 6.0, ExtraSamples: colours multiplied by alpha
                alpha = np.maximum(deep[:, :, -1:], 1).astype(np.float64)
                straight = np.minimum(deep[:, :, :-1] * (65535 / alpha), 65535).round()
                deep = np.concatenate([straight.astype(np.uint16), deep[:, :, -1:]], axis=2)
            return turned(deep, turn), None
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if image.has_transparency_data:
        mode = {"L": "LA", "RGB": "RGBA"}[mode]
    upright = ImageOps.exif_transpose(image)
    assert isinstance(upright, Image.Image)
    pixels = np.asarray(upright.convert(mode), dtype=np.uint8)
    return pixels if pixels.ndim == 3 else pixels[:, :, None], 8  # grey: (H, W) → (H, W, 1)


def deep_pixels(path: Path) -> Pixels | None:
    """Return a PNG or TIFF of 16 bits as uint16 (H, W, C), not turned; None where FFmpeg has no such format for it."""
    import av

    kinds = {"gray16": 1, "ya16": 2, "rgb48": 3, "rgba64": 4}
    plain: Any = address_of(path)
    with (
        contextlib.nullcontext(plain) if locked.hiding_folder(path) is None else locked.open_file(path) as content,
        av.open(content, "r", options={"protocol_whitelist": "file"}) as container,
    ):
        for frame in container.decode(video=0):
            channels = kinds.get(frame.format.name[:-2])
            if channels is None:
                return None
            plane, order = frame.planes[0], ">u2" if frame.format.name.endswith("be") else "<u2"
            rows = np.frombuffer(bytes(plane), order).reshape(plane.height, plane.line_size // 2)
            pixels: Pixels = rows[:, : frame.width * channels].astype(np.uint16)
            return pixels.reshape(frame.height, frame.width, channels)  # (H, W·C) → (H, W, C)
    return None


def turned(pixels: Pixels, orientation: int) -> Pixels:
    """Return a picture (H, W, C) as the orientation of its EXIF data says (Exif 2.32, tag 274)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)  # (H, W, C) → (W, H, C), mirrored at the diagonal
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def readable(paths: Iterable[Path]) -> Iterator[tuple[Pixels, int | None]]:
    """Yield pictures as `read_upright` returns them, without those that cannot be read."""
    for path in paths:
        try:
            read = read_upright(path)
        except Exception:  # Pillow raises many kinds
            continue
        yield read


class Whites:
    """Decides once for a sequence of pictures which number is white, and makes bytes of all of them by that."""

    def __init__(self, options: PictureOptions = PLAIN) -> None:
        self.options = options
        self.note = ""
        """What was found out, in words; empty while all have 8 bits."""
        self._white = self._opaque = 0.0

    def to_bytes(self, picture: Pixels, told: int | None, following: Iterable[tuple[Pixels, int | None]]) -> Pixels:
        """Return a picture (H, W, C) as uint8.

        Args:
            picture: the picture.
            told: bits of its samples where they are known.
            following: the pictures after it, which only the first one of more than 8 bits asks for.
        """
        if picture.dtype == np.uint8:
            return picture
        if not self._white:
            self._decide(picture, told, following)
        alpha = picture.shape[2] in (2, 4)
        whites = np.array([self._white] * (picture.shape[2] - alpha) + [self._opaque] * alpha)
        values = np.nan_to_num(picture.astype(np.float64), nan=0.0) / whites
        levels: Pixels = (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
        return levels

    def _decide(self, picture: Pixels, told: int | None, following: Iterable[tuple[Pixels, int | None]]) -> None:
        """Decide what is white, and what is opaque; see `to_bytes`."""
        floats = picture.dtype.kind == "f"
        bits = None if floats else self.options.bits or told
        brightest = densest = 0.0
        if bits is None or picture.shape[2] in (2, 4):
            for pixels, _ in itertools.chain([(picture, told)], following):
                if pixels.dtype != np.uint8:
                    channels = np.nan_to_num(pixels, nan=0.0, posinf=0.0).max(
                        axis=(0, 1), initial=0
                    )  # (H, W, C) → (C,)
                    densest = max(densest, float(channels[-1])) if len(channels) in (2, 4) else densest
                    brightest = max(brightest, float(channels[: 3 if len(channels) > 2 else 1].max()))
                if brightest > 2**14 - 1 and picture.dtype == np.uint16:
                    break  # nothing but 16 bits is left
        if floats and brightest <= OVERSHOOT:
            self.note, self._white = "floating-point numbers from 0 to 1", 1.0
        else:
            found = bits or next((bits for bits in DEPTHS if brightest <= 2**bits - 1), DEPTHS[-1])
            self.note = f"pictures of {found} bits" + (
                "" if bits else ", as their brightest sample says (--bits decides)"
            )
            self._white = float(2**found - 1)
        self._opaque = self._white if densest <= self._white else 65535.0


def moving_frames(path: Path, whites: Whites) -> Iterator[tuple[Pixels, int]]:
    """Yield the frames of a moving picture, uint8 (H, W, C), with the milliseconds for which each is shown.

    Pages of a TIFF that have another size than the first are left out.

    Raises:
        Exception: Pillow raises many kinds for damaged pictures.
    """
    from PIL import Image

    with locked.open_file(path) as handle, Image.open(handle) as image:
        count, size = getattr(image, "n_frames", 1), image.size

        def pages(first: int) -> Iterator[tuple[Pixels, int | None]]:
            for page in range(first, count):
                image.seek(page)
                if image.size == size:
                    yield stored_pixels(image)

        for number in range(count):
            image.seek(number)
            if image.size != size:
                continue
            pixels, told = stored_pixels(image)
            shown = PAGE if image.format == "TIFF" else int(image.info.get("duration") or 0)
            yield whites.to_bytes(pixels, told, pages(number + 1)), shown if shown >= SHORTEST else STANDARD


def copy_as_video(path: Path, to: IO[bytes], options: PictureOptions = PLAIN) -> None:
    """Write a moving picture to an empty file as a video without loss that FFmpeg reads, and go to its beginning.

    FFmpeg does not know all of them, or not their transparency, which is kept here. Times are exact to the millisecond.

    Raises:
        ValueError: it is damaged.
        OSError: the file cannot be written.
    """
    import av

    with av.open(to, "w", format="mov", options={"movflags": "use_metadata_tags"}) as container:
        stream, time, whites = container.add_stream("qtrle", rate=1000), 0, Whites(options)
        frames = moving_frames(path, whites)
        while True:
            try:
                pixels, shown = next(frames)
            except StopIteration:
                break
            except (OSError, MemoryError):
                raise
            except Exception as error:  # Pillow raises many kinds
                raise ValueError(str(error) or type(error).__name__) from None
            colour = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels  # (H, W, 1) → (H, W, 3)
            colour = colour[:, :, [0, 0, 0, 1]] if pixels.shape[2] == 2 else colour  # (H, W, 2) → (H, W, 4)
            clear = colour.shape[2] == 4
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(colour), "rgba" if clear else "rgb24")
            if not time:
                container.metadata.update({COPY_OF: suffix_of(path), COPY_NOTE: whites.note})
                stream.width, stream.height = frame.width, frame.height
                stream.pix_fmt = "argb" if clear else "rgb24"
                stream.codec_context.time_base = MILLISECOND
            frame = frame.reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base = time, MILLISECOND
            for packet in stream.encode(frame):
                packet.duration = shown
                container.mux(packet)
            time += shown
        container.mux(stream.encode())
    to.seek(0)
