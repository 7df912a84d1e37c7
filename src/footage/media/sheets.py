"""Contact sheets: clips as rows of frames, in one picture."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from footage import files
from footage.errors import counted
from footage.media.decode import Frames

if TYPE_CHECKING:
    from PIL import Image, ImageFont

MARGIN = 4
"""Pixels between clips."""
LARGEST = 512
"""Pixels of a frame's longer side on a contact sheet, at most: a row of eight is about as wide as a screen of 4K."""
FONTS = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "NotoSansSC-Regular.otf",
    "SourceHanSansSC-Regular.otf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "msyh.ttc",
    "simsun.ttc",
    "Arial Unicode.ttf",
)
"""Files of fonts with Chinese characters, of which systems have one or the other."""


def strip(clip: Frames, frames: int = 8) -> Frames:
    """Pick `frames` frames, evenly spaced from first to last, of a clip (T, H, W, C)."""
    picker = FramePicker(len(clip), frames)
    list(picker.watch([clip]))
    return picker.strip()


class FramePicker:
    """Picks the frames of a strip from a video that passes by, keeping no others.

    Args:
        length: frames of the video.
        frames: frames to keep, evenly spaced from first to last.
    """

    def __init__(self, length: int, frames: int = 8) -> None:
        self._wanted = set(np.linspace(0, length - 1, min(frames, length)).round().astype(int).tolist())
        self._kept: list[Frames] = []

    def watch(self, chunks: Iterable[Frames]) -> Iterator[Frames]:
        """Pass chunks (T, H, W, C) on, keeping what is wanted."""
        seen = 0
        for chunk in chunks:
            self._kept += [frame.copy() for t, frame in enumerate(chunk, seen) if t in self._wanted]
            seen += len(chunk)
            yield chunk

    def strip(self) -> Frames:
        """Return the frames picked, (T, H, W, C)."""
        return np.stack(self._kept)


def contact_sheet(
    strips: Sequence[Frames], captions: Sequence[str] = (), *, side: int = 64, columns: int | None = None
) -> Frames:
    """Lay clips out as rows of frames, several clips beside each other.

    Args:
        strips: uint8 (T, H, W, C) each, of one size; time runs to the right.
        captions: a text above each clip, or none.
        side: the shorter side of a frame on the sheet, at least; smaller frames are enlarged by whole pixels, and those
            of more than `LARGEST` along the longer side made smaller.
        columns: clips beside each other; None for as many as make the sheet about as wide as high.

    Returns:
        A picture, uint8 (H, W, 3).
    """
    from PIL import Image, ImageDraw

    height, width = strips[0].shape[1:3]
    scale = max(1, min(side // min(height, width), LARGEST // max(height, width)))
    scale = min(scale, LARGEST / max(height, width))
    height, width = max(1, round(height * scale)), max(1, round(width * scale))
    longest = max(len(s) for s in strips)
    text = 14 if captions else 0
    cell = (height + text + MARGIN, longest * (width + 1) + 2 * MARGIN)
    columns = columns or max(1, min(len(strips), round(math.sqrt(len(strips) * cell[0] / cell[1] * 1.4))))
    rows = math.ceil(len(strips) / columns)
    sheet = Image.new("RGB", (columns * cell[1], rows * cell[0] + MARGIN), (24, 24, 28))
    draw = ImageDraw.Draw(sheet)
    for number, clip in enumerate(strips):
        top, left = number // columns * cell[0] + MARGIN, number % columns * cell[1] + MARGIN
        if captions:
            text_shown, font = lettering(captions[number][: cell[1] // 6])
            draw.text((left, top), text_shown, fill=(200, 200, 205), font=font)
        for t, frame in enumerate(clip):
            sheet.paste(_resized(frame, height, width), (left + t * (width + 1), top + text))
    return np.asarray(sheet)


@functools.cache
def system_font(size: int) -> ImageFont.FreeTypeFont | None:
    """Return a font of the system that has Chinese characters; None where it has none."""
    from PIL import ImageFont

    for name in FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return None


def lettering(text: str, size: int = 10) -> tuple[str, ImageFont.ImageFont | ImageFont.FreeTypeFont]:
    """Return a text and a font that has its characters.

    Where no font does, each run of others is written as how many they are: boxes would say nothing.
    """
    from PIL import ImageFont

    plain = ImageFont.load_default(size)
    nothing = bytes(plain.getmask("\uffff"))
    absent = {character for character in set(text) if bytes(plain.getmask(character)) == nothing}
    if not absent:
        return text, plain
    wide = system_font(size)
    if wide is not None:
        return text, wide
    runs = (("".join(run), gone) for gone, run in itertools.groupby(text, absent.__contains__))
    return "".join(f"({counted(len(run), 'character')} without a font)" if gone else run for run, gone in runs), plain


def _resized(frame: Frames, height: int, width: int) -> Image.Image:
    """Return a frame (H, W, C), grey or RGB, enlarged without smoothing, or made smaller."""
    from PIL import Image

    rgb = np.ascontiguousarray(np.broadcast_to(frame, (*frame.shape[:2], 3)))
    smaller = height < len(frame)
    return Image.fromarray(rgb).resize((width, height), Image.Resampling.BOX if smaller else Image.Resampling.NEAREST)


def gallery(groups: Sequence[tuple[str, str, Sequence[Frames]]], *, columns: int = 2, side: int = 64) -> Frames:
    """Lay groups of clips out one below the other, each under its name and a remark.

    Args:
        groups: name, remark, and strips uint8 (T, H, W, C), of one size within a group; there may be none.
        columns: strips beside each other.
        side: the shorter side of a frame, at least; smaller frames are enlarged by whole pixels.

    Returns:
        A picture, uint8 (H, W, 3).
    """
    from PIL import Image, ImageDraw, ImageFont

    gap, head = 3 * MARGIN, 34
    large, small = ImageFont.load_default(20), ImageFont.load_default(14)
    pasted: list[tuple[int, int, Image.Image]] = []  # left, top, picture
    texts: list[tuple[int, str, str]] = []
    top, right = gap, 640
    for name, remark, strips in groups:
        texts.append((top, name, remark))
        top += head
        for first in range(0, len(strips), columns):
            left = gap
            for clip in strips[first : first + columns]:
                length, height, width, _ = clip.shape
                scale = max(1, side // min(height, width))
                framed = np.full((length, height * scale, width * scale + 1, 3), 24, dtype=np.uint8)  # a pixel apart
                # T H W C -> T sH sW C; grey spreads over RGB
                framed[:, :, :-1] = clip.repeat(scale, axis=1).repeat(scale, axis=2)
                row = Image.fromarray(np.concatenate(list(framed), axis=1)[:, :-1])  # -> sH T(sW + 1) C
                pasted.append((left, top, row))
                left += row.width + gap
            right, top = max(right, left), top + pasted[-1][2].height + MARGIN
        top += gap
    for _, name, remark in texts:
        right = max(right, int(2 * gap + large.getlength(name) + 24 + small.getlength(remark)))
    sheet = Image.new("RGB", (right, top), (24, 24, 28))
    draw = ImageDraw.Draw(sheet)
    for number, (y, name, remark) in enumerate(texts):
        if number:
            draw.line((gap, y - gap // 2 - 2, right - gap, y - gap // 2 - 2), fill=(70, 70, 78))
        draw.text((gap, y + head - 10), name, font=large, fill=(240, 240, 245), anchor="ls")
        draw.text((right - gap, y + head - 10), remark, font=small, fill=(170, 170, 178), anchor="rs")
    for left, y, row in pasted:
        sheet.paste(row, (left, y))
    return np.asarray(sheet)


def table(rows: Sequence[Sequence[Frames]], names: Sequence[str], heads: Sequence[str], *, side: int = 96) -> Frames:
    """Lay pictures out as a table, with a name before each row and a heading above each column.

    Args:
        rows: uint8 pictures (H, W, C) of one size.
        names: of the rows.
        heads: of the columns.
        side: the shorter side of a picture, at least; smaller ones are enlarged by whole pixels.

    Returns:
        A picture, uint8 (H, W, 3).
    """
    from PIL import Image, ImageDraw, ImageFont

    height, width = (size * max(1, side // min(rows[0][0].shape[:2])) for size in rows[0][0].shape[:2])
    font, head = ImageFont.load_default(16), 28
    left = int(max(font.getlength(name) for name in names)) + 4 * MARGIN
    size = (left + len(heads) * (width + MARGIN), head + len(rows) * (height + MARGIN))
    sheet = Image.new("RGB", size, (24, 24, 28))
    draw = ImageDraw.Draw(sheet)
    for number, text in enumerate(heads):
        place = (left + number * (width + MARGIN) + width // 2, head // 2)
        draw.text(place, text, font=font, fill=(200, 200, 205), anchor="mm")
    for number, (name, row) in enumerate(zip(names, rows, strict=True)):
        top = head + number * (height + MARGIN)
        draw.text((left // 2, top + height // 2), name, font=font, fill=(240, 240, 245), anchor="mm")
        for column, picture in enumerate(row):
            sheet.paste(_resized(picture, height, width), (left + column * (width + MARGIN), top))
    return np.asarray(sheet)


def save_picture(path: Path, picture: Frames) -> None:
    """Write a picture (H, W, 3) as PNG, atomically."""
    from PIL import Image

    with files.writing(path) as handle:
        Image.fromarray(picture).save(handle, format="PNG")


def tile(clips: Sequence[Frames], columns: int | None = None) -> Frames:
    """Put clips (T, H, W, C) of one shape side by side into one clip (T, rows * H, columns * W, C)."""
    columns = columns or math.ceil(math.sqrt(len(clips)))
    rows = math.ceil(len(clips) / columns)
    empty = np.zeros_like(clips[0])
    grid = [list(clips[r * columns : (r + 1) * columns]) for r in range(rows)]
    grid[-1] += [empty] * (columns - len(grid[-1]))
    return np.concatenate([np.concatenate(row, axis=2) for row in grid], axis=1)  # N x (T H W C) -> T rH cW C
