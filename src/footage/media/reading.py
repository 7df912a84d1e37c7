"""Whatever a person has, a video, a picture or a folder of pictures, as chunks of frames of one size and rate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from footage.errors import MediaError
from footage.media.decode import Decoder
from footage.media.geometry import Fit
from footage.media.pictures import SUFFIXES, PictureDecoder, natural_key
from footage.media.probe import probe

Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Footage:
    """A video, a picture, or a folder of numbered pictures; it is read when it is asked for, chunk by chunk."""

    path: Path
    """The file or folder."""

    def __post_init__(self) -> None:
        """Refuse what is not there.

        Raises:
            MediaError: there is no such file, or the folder holds no pictures.
        """
        if not self.path.exists():
            raise MediaError(f'"{self.path}" does not exist', "give a video, a picture, or a folder of pictures")
        if self.path.is_dir() and not self.pictures:
            raise MediaError(f'"{self.path}" holds no pictures', "give a video, a picture, or a folder of pictures")

    @property
    def pictures(self) -> list[Path]:
        """The pictures in order; empty for a video."""
        if self.path.is_dir():
            found = [path for path in self.path.iterdir() if path.suffix.lower() in SUFFIXES]
            return sorted(found, key=lambda path: natural_key(path.name))
        return [self.path] if self.path.suffix.lower() in SUFFIXES else []

    @property
    def is_picture(self) -> bool:
        """Whether it is a single picture."""
        return len(self.pictures) == 1

    def size(self) -> tuple[int, int]:
        """Return height and width as displayed, in pixels.

        Raises:
            MediaError: it cannot be read.
        """
        if pictures := self.pictures:
            from PIL import Image, ImageOps

            try:
                with Image.open(pictures[0]) as opened:
                    turned = ImageOps.exif_transpose(opened)
                    assert turned is not None
                    return turned.height, turned.width
            except OSError as error:
                raise MediaError(f'"{pictures[0]}" cannot be read ({error})', "save it again as PNG") from None
        info = probe(self.path)
        return info.height, info.width

    def chunks(self, *, height: int, width: int, channels: int, fps: float, fit: Fit = "letterbox") -> Iterator[Frames]:
        """Yield its frames, uint8 (T, H, W, C), in constant memory.

        Args:
            height: of the result, in pixels.
            width: of the result, in pixels.
            channels: 1 for grey, 3 for RGB.
            fps: frames in a second; pictures stand for one frame each.
            fit: how a picture of another shape is fitted in.

        Raises:
            MediaError: from the iteration, where no frame can be had from it.
        """
        how = {"height": height, "width": width, "channels": channels}
        pictures = self.pictures
        decoder: Decoder | PictureDecoder
        if pictures:
            decoder = PictureDecoder(pictures, **how, fps=fps, fit=fit)
        else:
            decoder = Decoder(self.path, **how, fps=fps, fit=fit)
        for chunk in decoder:
            yield chunk.frames
