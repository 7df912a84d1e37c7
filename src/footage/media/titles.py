"""Titles: words drawn over pictures, or on a plain card, as a part of a film.

The font is DejaVu Sans, which comes with Matplotlib; where it lacks a sign, one of the system's with Chinese signs is
looked for. What no font has is refused: boxes would say nothing.
"""

from __future__ import annotations

import functools
import importlib.util
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from footage.errors import MediaError
from footage.media.cuts import Cut
from footage.media.decode import Frames
from footage.media.geometry import Fit
from footage.media.sheets import FONTS
from footage.media.sound import Channels

if TYPE_CHECKING:
    from PIL import ImageFont

ROOM = 0.86
"""Part of the picture's sides that words may fill."""
LARGE, SMALL = 1 / 8, 1 / 15
"""Height of the first line and of the others, in heights of the picture."""
FADE = 0.5
"""Seconds in which words come and go."""
NEUTRAL = ("Cc", "Cf", "Mn", "Zs", "Zl", "Zp")
"""Categories of Unicode that may have no sign of their own: controls, marks on others, spaces."""
RIGHT_TO_LEFT = ("R", "AL", "AN")
"""Directions of Unicode's characters (UAX #9) that have to be put in order."""
LONGEST = 400
"""Characters of a title."""


def own_font() -> Path:
    """Return the font that comes along.

    Raises:
        MediaError: Matplotlib, which it is a part of, is not whole.
    """
    found = importlib.util.find_spec("matplotlib")
    path = (
        Path(found.origin if found and found.origin else ".").parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
    )
    if not path.is_file():
        raise MediaError("Matplotlib's font is not there", "install Matplotlib again, or give a font")
    return path


@functools.lru_cache(maxsize=64)
def open_font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """Open a font.

    Raises:
        MediaError: it cannot be read.
    """
    from PIL import ImageFont

    try:
        return ImageFont.truetype(name, size)
    except (OSError, ValueError) as error:
        raise MediaError(f'"{name}" is no font that can be read ({error})', "give a .ttf, .otf or .ttc file") from None


@functools.lru_cache(maxsize=256)
def missing_signs(text: str, font: str) -> str:
    """Return the characters of a text that a font has no sign for."""
    opened = open_font(font, 24)
    nothing = [bytes(opened.getmask(sign)) for sign in ("\uffff", "\U0010ffff")]
    signs = [sign for sign in dict.fromkeys(text) if unicodedata.category(sign) not in NEUTRAL]
    return "".join(sign for sign in signs if bytes(opened.getmask(sign)) in nothing)


def font_for(text: str, font: Path | None = None) -> Path:
    """Return a font that has all signs of a text: the one that is given, or one that is found.

    Raises:
        MediaError: a sign is missing, or the text runs from right to left and this machine cannot put it in order.
    """
    from PIL import features

    if any(unicodedata.bidirectional(sign) in RIGHT_TO_LEFT for sign in text) and not (
        features.check("raqm") and features.check("fribidi")
    ):
        raise MediaError(
            f'the title "{text[:40]}" runs from right to left, which Pillow cannot draw without Raqm and FriBiDi',
            "install the library fribidi, or write the title in letters that run from left to right",
        )
    chosen = own_font() if font is None else font
    lacking = missing_signs(text, str(chosen))
    if lacking and font is None:
        for name in FONTS:
            try:
                if not missing_signs(text, name):
                    return Path(open_font(name, 24).path)  # type: ignore[arg-type]
            except MediaError:
                continue
    if lacking:
        raise MediaError(
            f'the font {chosen.name} has no sign for "{lacking[:20]}" of the title "{text[:40]}"',
            "give a font that has them, such as NotoSansCJK-Regular.ttc",
        )
    return chosen


def read_colour(text: str) -> tuple[int, int, int]:
    """Return a colour that is written as #rrggbb.

    Raises:
        MediaError: it is not.
    """
    if not re.fullmatch("#[0-9a-fA-F]{6}", text):
        raise MediaError(f'colour is "{text[:20]}"', "give one such as #14171c")
    red, green, blue = bytes.fromhex(text[1:])
    return red, green, blue


def draw_words(text: str, size: tuple[int, int], font: Path, low: bool) -> npt.NDArray[np.uint8]:
    """Draw words in white with a soft dark edge.

    Args:
        text: lines; the first is the largest.
        size: (height, width) of the picture.
        font: its file.
        low: whether they stand at the bottom, not in the middle.

    Returns:
        White and how much covers what lies below, uint8 (H, W, 2): level, and opacity.
    """
    from PIL import Image, ImageDraw, ImageFilter

    height, width = size
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    heights = [max(8, round(height * (SMALL if number or low else LARGE))) for number in range(len(lines))]

    def wide(line: str, tall: int) -> float:
        return float(open_font(str(font), tall).getlength(line))

    widest = max(wide(line, tall) for line, tall in zip(lines, heights, strict=True))
    shrunk = min(1.0, ROOM * width / max(1.0, widest), ROOM * height / (1.35 * sum(heights)))
    heights = [max(5, int(tall * shrunk)) for tall in heights]
    total = sum(1.35 * tall for tall in heights)
    top = height * (1 - (1 - ROOM) / 2) - total if low else (height - total) / 2
    words = Image.new("L", (width, height))
    draw = ImageDraw.Draw(words)
    for line, tall in zip(lines, heights, strict=True):
        draw.text((width / 2, top + 0.675 * tall), line, fill=255, font=open_font(str(font), tall), anchor="mm")
        top += 1.35 * tall
    edge = words.filter(ImageFilter.GaussianBlur(max(1.0, height / 120))).point(lambda level: min(255, 2 * level))
    white, shade = np.asarray(words), np.asarray(edge)
    return np.stack([white, np.maximum(white, (shade * 0.55).astype(np.uint8))], axis=-1)


@dataclass(frozen=True)
class Titled:
    """A part of a film with words on it: see `transitions.FilmPart`."""

    text: str
    frames: int
    """How long it is, at the film's rate."""
    font: Path
    under: Cut | None = None
    """What is seen below; None for a plain card."""
    colour: str = "#14171c"
    """Of the card."""
    low: bool = True
    """Whether words stand at the bottom of what is seen, not in its middle."""

    @property
    def sources(self) -> tuple[Path, ...]:
        """Files that it is made from."""
        return () if self.under is None else self.under.sources

    @property
    def told(self) -> list[Any]:
        """What it is, for the comment of a file that is made of it."""
        below = [self.colour] if self.under is None else [*self.under.told, "low" if self.low else "middle"]
        return ["title", self.text, self.font.name, *below]

    def pictures(self, size: tuple[int, int], rate: Fraction, fit: Fit, skip: int = 0) -> Iterator[Frames]:
        """Yield its frames, uint8 (H, W, 3), without the first `skip`; the words come and go softly.

        Raises:
            MediaError: the video below cannot be read.
        """
        words = draw_words(self.text, size, self.font, self.under is not None and self.low).astype(np.float32) / 255
        level, cover = words[..., :1] * 255, words[..., 1:]
        card = np.full((*size, 3), read_colour(self.colour), np.uint8)
        below = None if self.under is None else self.under.pictures(size, rate, fit, skip)
        picture, steps = card, max(1.0, FADE * float(rate))
        for number in range(skip, max(self.frames, skip + 1)):
            picture = card if below is None else next(below, picture)
            share = min(1.0, (number + 1) / steps, (self.frames - number) / steps)
            mix = picture * (1 - cover * share) + level * share
            yield np.clip(np.rint(mix), 0, 255).astype(np.uint8)

    def sound(self) -> Iterator[Channels]:
        """Yield the sound of the video below; nothing where there is none."""
        if self.under is not None:
            yield from self.under.sound()
