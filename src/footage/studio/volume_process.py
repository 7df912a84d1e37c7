"""A process of its own for one volume that is looked at: it reads it within limits, and writes it for the browser.

    python -m footage.studio.volume_process QUESTION

QUESTION is a `VolumeQuestion` as JSON. Into the folder that it names are written the volume's levels, uint16 (T, H, W),
little-endian, as `whole`, and of a large one those of half the resolution, as `half`; of one that is too large for a
browser these alone. It prints one line of JSON: what the levels mean, or what is wrong.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from footage.data.store import Dataset
from footage.errors import DatasetError, FootageError
from footage.files import describe_fault
from footage.media.geometry import MOST_LEVEL, ORIENTATION, VolumeScale
from footage.media.volumes import Levels, Values, ValueWindow, read_kept
from footage.studio.upload_check import limit_process

LARGE = 2**22
"""Voxels from which on half of the resolution comes first."""
MOST_WHOLE = 2**26
"""Voxels of a volume, at most, that is given whole: 128 MiB."""


@dataclass(frozen=True)
class VolumeQuestion:
    """Which volume is to be looked at."""

    to: str
    """The folder that it is written into."""
    seconds: int
    """Processor time that it may take."""
    memory: int
    """Bytes of memory that the process may take."""
    file: str = ""
    """A NIfTI file; empty for a volume of a data set."""
    dataset: str = ""
    number: int = 0
    """Of the volume among those of the data set."""

    def command(self) -> list[str]:
        return [sys.executable, "-m", "footage.studio.volume_process", json.dumps(asdict(self))]


@dataclass(frozen=True)
class ShownVolume:
    """A volume as the page shows it."""

    shape: tuple[int, ...]
    """Slices, rows, columns of the whole."""
    spacing: tuple[float, ...]
    slope: float
    """A value is `intercept` + `slope` × level."""
    intercept: float
    unit: str
    orientation: str
    """Where slices, rows and columns lead; empty where the file does not say."""
    window: ValueWindow
    """The window that it is shown through at first."""
    least: float
    """The lowest of its values."""
    most: float
    notes: tuple[str, ...]
    parts: dict[str, tuple[int, ...]]
    """The shapes of what was written, by name, in the order in which they are to be fetched."""


def levels_of(values: Values) -> tuple[Levels, VolumeScale]:
    """Return values as levels over all that they take, exactly where they are whole numbers and not too far apart."""
    least, most = float(values.min()), float(values.max())
    whole = (
        most - least <= MOST_LEVEL and least == round(least) and all((part == np.rint(part)).all() for part in values)
    )
    slope = 1.0 if whole else max((most - least) / MOST_LEVEL, 1e-30)
    scale = VolumeScale(slope, least, "", (1.0, 1.0, 1.0))
    return np.stack([scale.levels(part) for part in values]), scale  # slice by slice: memory


def halved(levels: Levels) -> Iterator[Levels]:
    """Yield the slices (H, W) of half the resolution along each axis: means of 2×2×2 voxels, fewer at edges."""
    for first in range(0, len(levels), 2):
        part = levels[first : first + 2].astype(np.uint32)
        for axis in (1, 2):
            sums = np.add.reduceat(part, range(0, part.shape[axis], 2), axis=axis)
            counts = np.diff([*range(0, part.shape[axis], 2), part.shape[axis]])
            part = sums // counts.reshape([-1 if axis == other else 1 for other in range(3)]).astype(np.uint32)
        yield part.mean(axis=0).astype(np.uint16)


def show(question: VolumeQuestion) -> ShownVolume:
    """Read a volume and write its levels; return what they mean.

    Raises:
        UnusableMedia: the file is damaged, or holds no volume.
        DatasetError: the data set has no such volume, or its shard is damaged.
    """
    orientation, notes = ORIENTATION, tuple[str, ...]()
    if question.file:
        kept = read_kept(Path(question.file))
        levels, scale = levels_of(kept.volume.values)
        scale = VolumeScale(scale.slope, scale.intercept, kept.volume.unit, kept.volume.spacing)
        orientation, notes = ORIENTATION if kept.placed else "", kept.volume.notes
        del kept
    else:
        dataset = Dataset(Path(question.dataset))
        if dataset.info.volume is None or not 0 <= question.number < len(dataset.rows):
            raise DatasetError(f"there is no volume {question.number}", f"there are {len(dataset.rows):,}")
        scale, levels = dataset.info.volume, dataset.read_deep(dataset.rows[question.number])[..., 0]
    size = levels.size
    window = ValueWindow.around(scale.values(levels.reshape(-1)[:: max(1, size // 2**20)]))
    parts: dict[str, tuple[int, ...]] = {}
    slices: dict[str, Callable[[], Iterator[Levels]]] = {"half": lambda: halved(levels), "whole": lambda: iter(levels)}
    for name in [name for name, fits in (("half", size > LARGE), ("whole", size <= MOST_WHOLE)) if fits]:
        with open(Path(question.to) / name, "wb") as out:
            for part in slices[name]():
                out.write(np.ascontiguousarray(part, "<u2").tobytes())
        step = 2 if name == "half" else 1
        parts[name] = tuple(math.ceil(length / step) for length in levels.shape)
    least, most = scale.values(np.array([levels.min(), levels.max()], np.uint16)).tolist()
    return ShownVolume(
        levels.shape,
        scale.spacing,
        scale.slope,
        scale.intercept,
        scale.unit,
        orientation,
        window,
        least,
        most,
        notes,
        parts,
    )


def main(arguments: list[str]) -> None:
    question = VolumeQuestion(**json.loads(arguments[0]))
    limit_process(question.seconds, question.memory)
    try:
        print(json.dumps(asdict(show(question))), flush=True)
    except FootageError as error:
        problem = error.problem.replace(question.file, "the file") if question.file else error.problem
        print(json.dumps({"problem": problem, "remedy": error.remedy}))
    except OSError as fault:
        print(json.dumps({"problem": describe_fault(fault), "remedy": "try again in a moment"}))
    except MemoryError:
        print(json.dumps({"problem": "the file takes too much memory to decode", "remedy": "give a smaller one"}))


if __name__ == "__main__":
    main(sys.argv[1:])
