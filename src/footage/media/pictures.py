"""Folders of numbered pictures as a video."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from footage.media import geometry
from footage.media.decode import CHUNK, DecodedChunk
from footage.media.geometry import Fit
from footage.media.probe import MAX_ASPECT, UnusableMedia, VideoInfo

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
"""Endings of the pictures that a folder of frames may hold."""


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Return a key that sorts names as people do: `img2` before `img10`."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p.casefold()) for p in parts if p], name


class PictureDecoder:
    """An iterator over the chunks of a sequence of pictures, one a tick. A broken one is left out and counted.

    Args:
        paths: the pictures, in order.
        height: height of the result, in pixels.
        width: width of the result, in pixels.
        channels: 1 for grey, 3 for RGB.
        fps: ticks in a second.
        fit: one of `geometry.FITS`.

    Raises:
        UnusableMedia: from the iteration, when no picture can be read.
    """

    def __init__(self, paths: Sequence[Path], *, height: int, width: int, channels: int, fps: float, fit: Fit) -> None:
        self.paths = list(paths)
        self.target = (height, width)
        self.channels = channels
        self.fps = fps
        self.fit = fit
        self.info: VideoInfo | None = None
        """What the pictures are; known when the first chunk has come."""
        self.damaged = 0
        """Pictures that could not be read, so far."""
        self.truncated = False
        """Always False: a sequence of pictures declares no length."""
        self.problem = ""
        """The first fault that was met, in words."""

    def __iter__(self) -> Iterator[DecodedChunk]:
        ready: list[tuple[npt.NDArray[np.uint8], bool]] = []
        tick = 0
        last: npt.NDArray[np.uint8] | None = None
        for path in self.paths:
            picture = self._read(path)
            if picture is None and last is None:
                continue
            broken = picture is None
            last = last if picture is None else picture
            assert last is not None
            ready.append((last, broken))
            if len(ready) == CHUNK:
                tick += len(ready)
                yield self._chunk(ready, tick)
                ready = []
        if ready:
            yield self._chunk(ready, tick + len(ready))
        if last is None:
            raise UnusableMedia("zero frames", self.problem or "no picture")

    def _chunk(self, ready: list[tuple[npt.NDArray[np.uint8], bool]], end: int) -> DecodedChunk:
        frames = np.stack([picture for picture, _ in ready])  # T × (H, W, C) → (T, H, W, C)
        times = np.arange(end - len(ready), end) / self.fps
        return DecodedChunk(frames, times, np.array([broken for _, broken in ready]))

    def _read(self, path: Path) -> npt.NDArray[np.uint8] | None:
        """Return one picture of the target size, uint8 (H, W, C), or None where it cannot be read."""
        from PIL import Image, ImageOps

        try:
            with Image.open(path) as opened:
                image = ImageOps.exif_transpose(opened)
                assert image is not None
                if image.mode.startswith("I") or image.mode == "F":
                    image = _eight_bits(image)
                image = image.convert("RGB" if self.channels == 3 else "L")
        except Exception as error:  # Pillow raises many kinds for damaged pictures; one costs no others
            self.damaged += 1
            self.problem = self.problem or f"{path.name}: {error or type(error).__name__}"
            return None
        if self.info is None:
            count = len(self.paths)
            self.info = VideoInfo(image.width, image.height, None, None, "pictures", image.mode, 0, False, count)
        return _fitted(image, self.target, self.fit)


def fit_frames(
    frames: npt.NDArray[np.uint8], *, height: int, width: int, channels: int, fit: Fit
) -> npt.NDArray[np.uint8]:
    """Return frames, uint8 (T, H, W, C) with C of 1 or 3, as (T, height, width, channels)."""
    from PIL import Image

    if frames.shape[-1] != channels:
        mode = "RGB" if channels == 3 else "L"
        pictures = [Image.fromarray(f[:, :, 0] if channels == 3 else f).convert(mode) for f in frames]
        # grey ↔ RGB: (H, W, 1) ↔ (H, W, 3)
        frames = np.stack([np.asarray(p, dtype=np.uint8).reshape(*frames.shape[1:3], channels) for p in pictures])
    if frames.shape[1:3] == (height, width):
        return frames
    images = [Image.fromarray(f[:, :, 0] if channels == 1 else f) for f in frames]
    return np.stack([_fitted(image, (height, width), fit) for image in images])


def _fitted(image: Image.Image, target: tuple[int, int], fit: Fit) -> npt.NDArray[np.uint8]:
    """Return a picture as uint8 (H, W, C) of the target size."""
    from PIL import Image

    if not 1 / MAX_ASPECT <= image.width / image.height <= MAX_ASPECT:
        raise UnusableMedia("unusable shape", f"{image.width}×{image.height} pixels")
    plan = geometry.plan(image.size, 0, target, fit)
    shrinks = plan.width < image.width
    small = image.resize((plan.width, plan.height), Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC)
    picture = np.asarray(small, dtype=np.uint8)
    if picture.ndim == 2:
        picture = picture[:, :, None]  # grey: (H, W) → (H, W, 1)
    return plan.finish(picture)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return a grey picture of 16 or 32 bits as one of 8; a plain conversion would clip it."""
    from PIL import Image

    values = np.asarray(image, dtype=np.float64)
    top = 65535.0 if values.max(initial=0) > 255 else 255.0
    return Image.fromarray((np.clip(values / top, 0, 1) * 255).round().astype(np.uint8))
