"""Clips out of arrays: NumPy's `.npy` and `.npz` with axes in any order, and moving digits from MNIST's IDX images.

Which axis is which is told by shape and content where that is certain; where it is not, the array is refused with what
it could be, and `--layout` decides.
"""

from __future__ import annotations

import itertools
import math
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from footage import files
from footage.data import locked_arrays
from footage.data.ingest.shards import DecodeOptions
from footage.data.locked_arrays import LockedArray, Pages
from footage.data.store import Frames, Split
from footage.data.synthetic import TRAINING_IMAGES, labels_beside, moving_digits, read_idx
from footage.errors import counted
from footage.files import locked
from footage.media.kinds import suffix_of
from footage.media.pictures import Whites, over
from footage.media.probe import UnusableMedia
from footage.media.reader import fit_frames

Array = npt.NDArray[Any]
StoredArray = Array | LockedArray
"""One that is mapped into memory, or locked."""

HELDOUT_CLIPS = 4
"""One held-out clip is made for this many training clips."""
CHUNK_BYTES = 16 * 2**20
"""Frames of an array are read in chunks of about this size."""
LAYOUTS = {
    3: ("THW", "HWT"),
    4: ("NTHW", "TNHW", "NHWT", "THWC", "TCHW", "CTHW", "HWCT", "HWTC"),
    5: ("NTHWC", "NTCHW", "NCTHW", "TNHWC", "TNCHW", "NHWTC"),
}
"""Orders of axes that come into question, by their number: clip N, time T, height H, width W, channel C."""
SIDE, SHAPE = 8, 4.0
"""Pixels of a picture's side, at least, and how many times as long one side is as the other, at most."""
USUAL_SHAPES = (1.0, 4 / 3, 3 / 2, 16 / 9)
"""Width over height, or the reverse, of most pictures."""
MOVING_MNIST = (20, 64, 64)
"""Frames, height and width of Moving MNIST, whose axes are TNHW."""
CLEAR, SLIGHT = 2.0, 1.1
"""Pictures change less along time than from clip to clip: so many times less where that is sure, or likely."""
LOOKED_AT = 8
"""Places along each axis where that is measured."""


@dataclass(frozen=True)
class ArrayClip:
    """A clip of an array, of the wanted size."""

    chunks: Iterator[Frames]
    """Pixels, some frames at a time (T, H, W, C)."""
    split: Split | None
    """None where the array does not prescribe it."""
    label: str | None = None
    caption: str | None = None


def idx_clips(path: Path, options: DecodeOptions) -> Iterator[ArrayClip]:
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
    held = max(1, options.sequences // HELDOUT_CLIPS) if options.heldout > 0 else 0
    sides: list[tuple[Split, slice, int]] = [
        ("train", slice(0, middle), options.sequences),
        ("heldout", slice(middle, None), held),
    ]
    for side, (split, part, count) in enumerate(sides):
        for index in range(count):
            frames, shown = moving_digits(
                images[part],
                classes[part],
                seed=options.seed + side,
                index=index,
                digits=options.digits,
                frames=options.clip_frames,
                size=max(64, options.height, options.width),
            )
            names = [str(digit) for digit in shown] if beside is not None else []
            label = names[0] if len(names) == 1 else None
            caption = " ".join(names) if len(names) > 1 else None
            yield ArrayClip(iter([_fitted(frames, options)]), split, label, caption)


def numpy_clips(path: Path, options: DecodeOptions, longest: int, note: Callable[[str], None]) -> Iterator[ArrayClip]:
    """Yield the clips of a `.npy` file, or of the arrays in a `.npz` file, in constant memory.

    Of an array of several clips the last ones are held out.

    Args:
        path: the file.
        options: the clips' size, and what the user says of axes and depth.
        longest: frames of a clip; a longer one is divided.
        note: called with what was found out.

    Raises:
        UnusableMedia: an array holds no clips, or it is not clear which of its axes is which.
    """
    if suffix_of(path) == "npy":
        yield from array_clips(load_array(path), options, longest, note)
        return
    try:
        with zipfile.ZipFile(path) as packed, files.scratch_folder() as folder:
            for member in packed.infolist():
                unpacked = folder / "array.npy"
                with packed.open(member) as source, locked.create(unpacked, unpacked) as to:
                    shutil.copyfileobj(source, to)
                array = load_array(unpacked)
                if array.ndim < 3:  # labels, lengths and the like
                    note(f"not taken: {member.filename.removesuffix('.npy')} {array.dtype} {array.shape}")
                    continue
                yield from array_clips(array, options, longest, note)
                del array
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
        raise UnusableMedia("damaged", f"not a sound .npz file: {str(error)[:200]}") from None


def load_array(path: Path) -> StoredArray:
    """Map an `.npy` file into memory, or open one that is locked.

    Raises:
        UnusableMedia: it is damaged, or holds Python's objects.
    """
    try:
        array = locked_arrays.load_array(path, Pages(limit=0))
    except Exception as error:  # NumPy's header parser lets through whatever Python's own raises
        raise UnusableMedia("damaged", f"not an array without objects: {str(error)[:200]}") from None
    if not isinstance(array, np.ndarray | LockedArray):
        raise UnusableMedia("not clips", f"it holds {type(array).__name__}")
    return array


def array_clips(
    array: StoredArray, options: DecodeOptions, longest: int, note: Callable[[str], None]
) -> Iterator[ArrayClip]:
    """Yield the clips of one array; see `numpy_clips`."""
    content = f"{array.dtype} {array.shape}"
    if array.dtype.kind not in "buif" or not array.size:
        raise UnusableMedia("not clips", f"the array is {content}, expected numbers (N, T, H, W) or (N, T, H, W, C)")
    layout = options.layout.upper() if options.layout else find_layout(array, options.min_frames)
    if len(layout) != array.ndim:
        raise UnusableMedia(
            "not clips", f"the array is {content}, and --layout {layout} names {counted(len(layout), 'axis', 'axes')}"
        )
    clips = LaidOut(array, layout)
    if clips.shape[-1] not in (1, 3, 4):
        raise UnusableMedia(
            "not clips", f"as {layout} the array {content} has {clips.shape[-1]} channels, not 1, 3 or 4"
        )
    to_bytes = SampleLevels(clips, options)
    note(f"axes {layout}" + ("" if options.layout else " (--layout decides)"))
    if to_bytes.note:
        note(to_bytes.note)
    count, length = clips.shape[:2]
    held = min(count - 1, round(count * options.heldout))
    for number in range(count):
        split: Split | None = "heldout" if number >= count - held else "train"
        edges = np.linspace(0, length, -(-length // longest) + 1).astype(int)
        for first, end in itertools.pairwise(edges.tolist()):
            chunks = (_fitted(to_bytes(frames), options) for frames in clips.chunks(number, first, end))
            yield ArrayClip(chunks, split if count > 1 else None)


class LaidOut:
    """An array as clips (N, T, H, W, C), whatever the order of its axes.

    Args:
        array: the array.
        layout: its axes, such as `NTHW`.
    """

    def __init__(self, array: StoredArray, layout: str) -> None:
        self._array, self._layout, self.dtype = array, layout, array.dtype
        sizes = dict(zip(layout, array.shape, strict=True))
        self.shape = tuple(sizes.get(axis, 1) for axis in "NTHWC")

    def chunks(self, clip: int, first: int = 0, end: int | None = None) -> Iterator[Array]:
        """Yield frames of a clip (T, H, W, C), some at a time, out of the file."""
        end = self.shape[1] if end is None else end
        count = max(1, CHUNK_BYTES // max(1, math.prod(self.shape[2:]) * self.dtype.itemsize))
        kept = [axis for axis in self._layout if axis != "N"]
        for begin in range(first, end, count):
            asked: dict[str, int | slice] = {"N": clip, "T": slice(begin, min(begin + count, end))}
            part = self._array[tuple(asked.get(axis, slice(None)) for axis in self._layout)]
            frames = part.transpose([kept.index(axis) for axis in "THWC" if axis in kept])  # → THWC, as far as there
            yield np.ascontiguousarray(frames if "C" in kept else frames[..., None])  # (T, H, W) → (T, H, W, 1)


class SampleLevels:
    """Makes bytes of the numbers of an array, as decided once for the whole of it.

    Args:
        clips: all of it.
        options: may tell the bits, and the background of what is transparent.

    Raises:
        UnusableMedia: the numbers are no levels of pictures.
    """

    def __init__(self, clips: LaidOut, options: DecodeOptions) -> None:
        self.whites, self.looks, self.low = Whites(options.pictures), options.pictures, 0.0
        self.note = ""
        kind = clips.dtype.kind
        if clips.dtype == np.uint8 or kind == "b":
            return
        pieces = itertools.chain.from_iterable(map(clips.chunks, range(clips.shape[0])))
        high, least = -np.inf, np.inf
        for frames in pieces:
            high, least = max(high, float(frames.max())), min(least, float(frames.min()))
        if not np.isfinite([high, least]).all() or high == least:
            raise UnusableMedia("not clips", f"the array is {clips.dtype} {clips.shape}, all of {high:g} to {least:g}")
        if least < 0:
            if kind != "f" or least < -1.001 or high > 1.001:
                problem = (
                    f"its numbers go from {least:.4g} to {high:.4g}: save bytes, or numbers from 0 to 1 or -1 to 1"
                )
                raise UnusableMedia("not clips", problem)
            self.low = -1.0
            self.note = "numbers from -1 to 1"
        sample = np.full((1, 1, 1), high if not self.low else 1.0, np.float32 if kind == "f" else np.uint32)
        self.whites.to_bytes(sample, None, ())
        self.note = self.note or self.whites.note

    def __call__(self, frames: Array) -> Frames:
        """Return frames (T, H, W, C) as bytes with 1 or 3 channels."""
        if frames.dtype.kind == "b":
            frames = frames.astype(np.uint8) * 255
        elif frames.dtype != np.uint8:
            values: Array = frames.astype(np.float64)
            values = (values + 1) / 2 if self.low else values
            frames = np.stack([self.whites.to_bytes(frame, None, ()) for frame in values])
        return frames if frames.shape[-1] < 4 else np.stack([over(frame, self.looks) for frame in frames])


def find_layout(array: StoredArray, min_frames: int) -> str:
    """Return the order of an array's axes, such as `NTHWC`.

    Shapes decide where only one order fits. Between clips and time, content decides: pictures change less from frame to
    frame than from clip to clip; where they do not, clips come first, as in all published sets but Moving MNIST.

    Args:
        array: the array.
        min_frames: of a clip that is of use.

    Raises:
        UnusableMedia: no order fits, or several.
    """
    orders: dict[str, str] = {}
    for layout in [layout for layout in LAYOUTS.get(array.ndim, ()) if fits(layout, array.shape)]:
        # Axes of length 1 make no difference.
        orders.setdefault("".join(a for a, size in zip(layout, array.shape, strict=True) if size > 1), layout)
    layouts = list(orders.values())
    for layout in [layout for layout in layouts if layout.startswith("NT")]:
        other = "TN" + layout[2:]
        if other in layouts:
            first, second = changes(array)
            known = (array.shape[0], *array.shape[2:]) == MOVING_MNIST
            if first * (SLIGHT if known else CLEAR) < second:
                layouts.remove(layout)
            elif second * CLEAR < first if known else second <= first * SLIGHT:
                layouts.remove(other)
    layouts = [layout for layout in layouts if array.shape[layout.index("T")] >= min_frames] or layouts
    content = f"{array.dtype} {array.shape}"
    if not layouts:
        expected = "expected (N, T, H, W), (N, T, H, W, C), or one clip (T, H, W) or (T, H, W, C)"
        raise UnusableMedia("not clips", f"the array is {content}, {expected}, or --layout")
    if len(layouts) > 1:
        could = " or ".join(f"{layout} ({meaning(layout, array.shape)})" for layout in layouts)
        raise UnusableMedia(
            "unclear axes", f"the array {content} could be {could}: say which, such as --layout {layouts[0]}"
        )
    return layouts[0]


def fits(layout: str, shape: tuple[int, ...]) -> bool:
    """Whether an array may have its axes in this order."""
    sizes = dict(zip(layout, shape, strict=True))
    height, width, channels = sizes["H"], sizes["W"], sizes.get("C", 1)
    # A short axis is that of channels; of four, with opacity as the last, only behind the picture.
    if channels not in (1, 3) and not (channels == 4 and layout.endswith("HWC")):
        return False
    if sizes["T"] in (1, 3, 4) or min(height, width) < SIDE or not 1 / SHAPE <= width / height <= SHAPE:
        return False
    if layout.startswith("TN") and sizes["N"] in (1, 3, 4) and (shape[0], *shape[2:]) != MOVING_MNIST:
        return sizes["N"] == 1
    if "HWT" in layout:  # time behind the picture is rare: where that makes pictures more usual
        return usual(height, width) and not usual(*(shape[i + 1] for i in (layout.index("H"), layout.index("W"))))
    return True


def usual(height: int, width: int) -> bool:
    """Whether a picture has one of the usual shapes."""
    ratio = max(height, width) / min(height, width)
    return any(abs(ratio / shape - 1) < 0.01 for shape in USUAL_SHAPES)


def changes(array: StoredArray) -> tuple[float, float]:
    """Return how much pictures change along the first axis and along the second, at some places, on average."""
    places = [np.linspace(0, size - 2, min(LOOKED_AT, size - 1)).astype(int) for size in array.shape[:2]]
    steps = []
    for i, j in itertools.product(*places):
        here, below, beside = (np.asarray(array[at], np.float64) for at in ((i, j), (i + 1, j), (i, j + 1)))
        steps.append((np.abs(below - here).mean(), np.abs(beside - here).mean()))
    first, second = np.mean(steps, axis=0).tolist() if steps else (0.0, 0.0)
    return first, second


def meaning(layout: str, shape: tuple[int, ...]) -> str:
    """Return in words what an array would be with its axes in this order."""
    sizes = dict(zip(layout, shape, strict=True))
    clips, kind = sizes.get("N", 1), "grey" if sizes.get("C", 1) == 1 else "RGB"
    count = f"one {kind} clip" if clips == 1 else f"{clips:,} {kind} clips"
    return f"{count} of {counted(sizes['T'], 'frame')} of {sizes['W']}×{sizes['H']}"


def _fitted(frames: Frames, options: DecodeOptions) -> Frames:
    return fit_frames(frames, height=options.height, width=options.width, channels=options.channels, fit=options.fit)
