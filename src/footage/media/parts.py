"""A long video that is written in parts, so that work that was stopped goes on: what is whole is never made again.

The parts lie in a hidden folder beside the file. Each is a video by itself, or frames as PNG, with a note that is
written when it is whole. At the end they are joined without being packed again, and the sound is put beside them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from footage import files
from footage.errors import MediaError
from footage.media.choices import Encoding
from footage.media.codecs import Colour, Packer, codec_for, encoder_for
from footage.media.joining import join

PART = 96
"""Frames in a part."""

Shown = tuple[npt.NDArray[Any], int]
"""A picture, uint8 or uint16 (H, W, C), and when it is shown, in units of the video's base."""


@dataclass(frozen=True)
class Work:
    """What is written, and from what: parts belong together where all of this is the same."""

    to: Path
    """The file, or, without a suffix, the folder for PNG frames; a .png for a single picture."""
    size: tuple[int, int]
    """Height and width."""
    rate: Fraction
    """Frames in a second, on average."""
    base: Fraction
    """Unit of the time stamps, in seconds."""
    colour: Colour
    """How numbers stand for colours."""
    deep: bool
    """Whether pictures have more than 8 bits."""
    encoding: Encoding
    """How it is packed."""
    metadata: dict[str, Any]
    """Put into the file as JSON, in its comment."""
    made_from: dict[str, Any]
    """What else the pictures depend on."""

    @property
    def pictures(self) -> bool:
        """Whether frames are written as PNG."""
        return self.to.suffix.lower() in ("", ".png")

    @property
    def folder(self) -> Path:
        """Where the parts lie."""
        return self.to.with_name(f".{self.to.name}-parts")

    def key(self) -> dict[str, Any]:
        """Return everything that parts depend on."""
        value = {
            "size": list(self.size),
            "base": str(self.base),
            "colour": vars(self.colour),
            "encoding": vars(self.encoding),
            "pictures": self.pictures,
            "part": PART,
            **self.made_from,
        }
        return dict(json.loads(json.dumps(value)))


class Parts:
    """The parts of a video that is being written.

    Args:
        work: what is written.

    Raises:
        MediaError: the target cannot be written, or the hardware that is to pack it is not there.
        ConfigError: codec and file do not go together.
    """

    def __init__(self, work: Work) -> None:
        self.work = work
        self.codec = self.name = ""
        if work.pictures:
            _check_folder(work.to)
        else:
            self.codec = codec_for(work.encoding, work.to)
            self.name = encoder_for(work.encoding, self.codec)
        self.frames = work.folder / "frames"
        key = work.folder / "made-from.json"
        with _disk(work):
            if key.exists() and _read(key) != work.key():
                shutil.rmtree(work.folder)
            self.frames.mkdir(parents=True, exist_ok=True)
            files.remove_partial(work.folder)
            if not key.exists():
                files.write_json(key, work.key())

    def _note(self, number: int) -> Path:
        return self.work.folder / f"{number:06d}.json"

    def _file(self, number: int) -> Path:
        return self.work.folder / f"{number:06d}.{'mov' if self.codec == 'prores' else 'mp4'}"

    @property
    def done(self) -> int:
        """How many parts there are, from the first on."""
        count = 0
        while self._note(count).exists():
            count += 1
        return count

    def write(self, pictures: Iterable[Shown]) -> None:
        """Write the pictures that follow those of the parts that are there, part by part.

        Raises:
            MediaError: the disk is full; what is whole stays.
        """
        number, waiting = self.done, iter(pictures)
        while True:
            with _disk(self.work):
                count, first = self._write_part(number, waiting)
                if not count:
                    return
                files.write_json(self._note(number), {"frames": count, "first": first})
            number += 1

    def _write_part(self, number: int, pictures: Iterator[Shown]) -> tuple[int, int]:
        """Write one part; return how many pictures it has, and when the first is shown."""
        begun = next(pictures, None)
        if begun is None:
            return 0, 0
        first = begun[1]
        if self.work.pictures:
            return _write_frames(self.frames, number * PART, _limited(begun, pictures)), first
        import av

        work, count = self.work, 0
        with files.replacing(self._file(number)) as temporary, av.open(str(temporary), "w") as container:
            packer = Packer(
                container,
                self.name,
                self.codec,
                work.encoding.crf,
                size=work.size,
                base=work.base,
                rate=work.rate,
                colour=work.colour,
                deep=work.deep,
            )
            for picture, stamp in _limited(begun, pictures):
                packer.write(picture, stamp - first)
                count += 1
            packer.finish()
        return count, first

    def finish(self, sound: Path | None, start: Fraction) -> int:
        """Put the parts together, and the sound of a file beside them; return how many frames there are.

        Args:
            sound: a file, or None for no sound.
            start: the time of the video's first frame in that file.

        Raises:
            MediaError: there are no frames, or the disk is full; the parts stay.
        """
        work = self.work
        notes = [_read(self._note(number)) for number in range(self.done)]
        count = sum(int(note["frames"]) for note in notes)
        if not count:
            raise MediaError(f'"{work.to.name}" would have no frames', "give another video")
        with _disk(work):
            if work.pictures:
                _take(self.frames, work, count)
            else:
                parts = [(self._file(number), note["first"]) for number, note in enumerate(notes)]
                with files.replacing(work.to) as temporary:
                    join(parts, temporary, work.base, work.metadata, sound, start)
        shutil.rmtree(work.folder, ignore_errors=True)
        return count


def _limited(begun: Shown, pictures: Iterator[Shown]) -> Iterator[Shown]:
    """Yield the pictures of one part, of which one has been taken."""
    yield begun
    for _, shown in zip(range(PART - 1), pictures, strict=False):
        yield shown


def _write_frames(folder: Path, first: int, pictures: Iterable[Shown]) -> int:
    from PIL import Image

    count = 0
    for number, (picture, _) in enumerate(pictures, first):
        eight = (picture >> 8).astype(np.uint8) if picture.dtype == np.uint16 else picture
        image = Image.fromarray(eight[..., 0] if eight.shape[-1] == 1 else np.ascontiguousarray(eight))
        image.save(folder / f"{number:06d}.png")
        count += 1
    return count


def _take(frames: Path, work: Work, count: int) -> None:
    """Move finished frames to their place."""
    for number, path in enumerate(sorted(frames.glob("*.png"))):
        if number >= count:  # of a part that was stopped
            path.unlink()
    files.write_json(frames / "made-from.json", work.metadata)
    if work.to.suffix:
        os.replace(frames / "000000.png", work.to)
        return
    if work.to.exists():
        shutil.rmtree(work.to)
    os.replace(frames, work.to)


def _check_folder(path: Path) -> None:
    """Refuse to replace a folder that holds something else than frames."""
    if path.suffix or not path.exists():
        return
    known = re.compile(r"\d{6,}\.png|made-from\.json")
    if not path.is_dir() or not all(known.fullmatch(found.name) for found in path.iterdir()):
        raise MediaError(f'"{path}" holds something else than numbered frames', "give a new folder, or a .mp4 file")


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None


@contextlib.contextmanager
def _disk(work: Work) -> Iterator[None]:
    """Turn a full disk into advice."""
    try:
        yield
    except OSError as error:
        if error.errno in files.DISK_FAULTS:
            raise MediaError(
                f'the disk is full, "{work.to}" is not finished; what is done is kept in "{work.folder}"',
                "free some space and give the same command again: it goes on from there",
            ) from error
        raise
