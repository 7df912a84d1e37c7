"""Clips that come as arrays: the Moving MNIST `.npy` file, and moving digits made from MNIST's IDX images."""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from footage.data.ingest.parts import Recipe
from footage.data.store import Frames, Split
from footage.data.synthetic import moving_digits
from footage.media.pictures import fit_frames
from footage.media.probe import UnusableMedia

TRAINING_IMAGES = 0.8
"""The first part of the IDX images makes the training clips, the rest the held-out ones."""
HELDOUT_CLIPS = 4
"""One held-out clip is made for this many training clips."""
MAX_IDX_BYTES = 2**31
"""A larger IDX file is refused."""


@dataclass(frozen=True)
class ArrayClip:
    """A clip of an array, of the wanted size."""

    frames: Frames
    """Pixels (T, H, W, C)."""
    split: Split
    """The side of the split that it belongs to."""
    label: str | None
    """Class, or None."""
    caption: str | None
    """Caption, or None."""


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Return the array of an IDX file of unsigned bytes, compressed with gzip or not.

    Raises:
        UnusableMedia: the file is not such a file, or is cut off.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as handle:
            head = handle.read(4)
            if len(head) < 4 or head[:3] != b"\0\0\x08" or not 1 <= head[3] <= 3:
                raise UnusableMedia("not an IDX file", f"it begins with {head.hex() or 'nothing'}")
            shape = struct.unpack(f">{head[3]}I", handle.read(4 * head[3]))
            size = int(np.prod(shape, dtype=np.float64))
            if size > MAX_IDX_BYTES:
                raise UnusableMedia("damaged", f"its header says {shape}")
            content = handle.read(size)
    except (OSError, EOFError, struct.error, zlib.error) as error:
        raise UnusableMedia("damaged", str(error) or type(error).__name__) from None
    if len(content) != size:
        raise UnusableMedia("damaged", f"{len(content)} of {size} bytes are there")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def labels_beside(images: Path) -> Path | None:
    """Return the file of labels that belongs to a file of IDX images, or None."""
    name = re.sub(r"images([-.])idx3", r"labels\1idx1", images.name).removesuffix(".gz")
    for candidate in (images.with_name(name), images.with_name(name + ".gz")):
        if candidate.is_file():
            return candidate
    return None


def idx_clips(path: Path, recipe: Recipe) -> Iterator[ArrayClip]:
    """Make clips of bouncing digits from an IDX file, for training and held-out from different images.

    Raises:
        UnusableMedia: the file, or its labels, cannot be used.
    """
    images = read_idx(path)
    if images.ndim != 3 or images.shape[1:] != (28, 28) or len(images) < 10:
        raise UnusableMedia("not digits", f"the images are {images.shape}, expected (at least 10, 28, 28)")
    beside = labels_beside(path)
    classes = read_idx(beside).astype(np.int64) if beside else np.full(len(images), -1)
    if classes.shape != images.shape[:1]:
        raise UnusableMedia("damaged", f"{len(images)} images have {classes.shape} labels")
    middle = int(len(images) * TRAINING_IMAGES)
    held = max(1, recipe.sequences // HELDOUT_CLIPS) if recipe.heldout > 0 else 0
    sides: list[tuple[Split, slice, int]] = [
        ("train", slice(0, middle), recipe.sequences),
        ("heldout", slice(middle, None), held),
    ]
    for side, (split, part, count) in enumerate(sides):
        for index in range(count):
            frames, shown = moving_digits(
                images[part],
                classes[part],
                seed=recipe.seed + side,
                index=index,
                digits=recipe.digits,
                frames=recipe.clip_frames,
                size=max(64, recipe.height, recipe.width),
            )
            known = beside is not None
            label = str(shown[0]) if known and len(shown) == 1 else None
            caption = " ".join(str(digit) for digit in shown) if known and len(shown) > 1 else None
            yield ArrayClip(_fitted(frames, recipe), split, label, caption)


def npy_clips(path: Path, recipe: Recipe) -> Iterator[ArrayClip]:
    """Yield the clips of a `.npy` file: (20, N, 64, 64) as Moving MNIST, or (N, T, H, W) or (N, T, H, W, C).

    The last clips are held out. The file is memory-mapped.

    Raises:
        UnusableMedia: the file is not such an array of uint8.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy's header parser lets through whatever Python's own raises
        raise UnusableMedia("damaged", f"not an array without objects: {str(error)[:200]}") from None
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8 or array.ndim not in (4, 5) or not array.size:
        what = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise UnusableMedia("not clips", f"the array is {what}, expected uint8 (N, T, H, W) or (N, T, H, W, C)")
    if array.ndim == 4 and array.shape[0] == 20 and array.shape[2:] == (64, 64):
        array = array.swapaxes(0, 1)  # Moving MNIST: (T, N, H, W) → (N, T, H, W)
    if array.ndim == 4:
        array = array[..., None]  # (N, T, H, W) → (N, T, H, W, 1)
    if array.shape[-1] not in (1, 3):
        raise UnusableMedia("not clips", f"the array has {array.shape[-1]} channels, expected 1 or 3")
    held = min(len(array) - 1, round(len(array) * recipe.heldout))
    for i, clip in enumerate(array):
        split: Split = "heldout" if i >= len(array) - held else "train"
        yield ArrayClip(_fitted(np.ascontiguousarray(clip), recipe), split, None, None)


def _fitted(frames: Frames, recipe: Recipe) -> Frames:
    return fit_frames(frames, height=recipe.height, width=recipe.width, channels=recipe.channels, fit=recipe.fit)
