"""A clip that a model makes: it saves itself and, in a notebook, shows itself."""

from __future__ import annotations

import base64
import itertools
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from footage import files
from footage.errors import MediaError
from footage.media.dicom import write_dicom
from footage.media.encode import write_clip
from footage.media.geometry import VolumeScale
from footage.media.sheets import save_picture
from footage.media.sound import Channels
from footage.media.volumes import Levels, write_nifti
from footage.trust.mark import marked
from footage.trust.provenance import seal

Frames = npt.NDArray[np.uint8]

VOLUME_SUFFIXES = (".nii.gz", ".nii", ".dicom")
"""Endings of volumes; the last is that of a folder of slices."""
PICTURES = (".png",)
"""Endings that stand for a single picture."""


@dataclass(frozen=True)
class Clip:
    """A clip that is made when it is looked at: it holds no frames, so that a library of any size fits in memory."""

    make: Callable[[], Iterator[Frames]]
    """Starts the clip over: yields chunks uint8 (T, H, W, C)."""
    frames: int | None
    """Number of frames; None where it is that of a video that has not been read yet."""
    fps: float
    """Frames in a second."""
    metadata: dict[str, Any]
    """Model, seed, label and version, as they stand inside a saved file."""
    sound: Callable[[], Iterator[Channels]] | None = None
    """Starts its sound over: yields (2, n) at `media.sound.TRACK_RATE`; None for a clip without sound."""
    sources: tuple[Path, ...] = ()
    """Files that it is made from."""
    deep: Callable[[], Iterator[Levels]] | None = None
    """Of a volume: starts it over in 16 bits, chunks uint16 (T, H, W, C)."""
    volume: VolumeScale | None = None
    """Of a volume: what its levels mean, and how its voxels lie."""

    def chunks(self) -> Iterator[Frames]:
        """Yield the clip from the beginning in chunks uint8 (T, H, W, C), in constant memory."""
        return self.make()

    def array(self) -> Frames:
        """Return the whole clip, uint8 (T, H, W, C)."""
        return np.concatenate(list(self.make()))

    def save(self, path: Path | str, *, mark: bool = True) -> Path:
        """Write the clip; the suffix decides: .mp4, .webm, .gif, or none for a folder of PNG frames.

        A clip of a single frame may be a picture: .png. A .gif shows at most 50 frames a second, at the same speed.
        Volumes may be .nii.gz or .nii, or .dicom for a folder of slices: with their values, spacing and orientation,
        and the notice that they are synthetic. footage is not a medical device, and none of them is for diagnosis.

        Args:
            path: the file, or the folder.
            mark: whether the frames are given the invisible mark (`footage.trust.mark`).

        Raises:
            MediaError: an unknown suffix, or a full disk; or what is no volume is to be one.
        """
        path = Path(path)
        if path.name.lower().endswith(VOLUME_SUFFIXES):
            if self.deep is None or self.volume is None:
                raise MediaError(f'"{path.name}" is for volumes, and this is a clip', "give an .mp4 file")
            write = write_dicom if path.suffix.lower() == ".dicom" else write_nifti
            write(path, np.concatenate(list(self.deep())), self.volume, self.metadata)
            return path
        if path.suffix.lower() in PICTURES:
            frames = [frame for chunk in itertools.islice(self.make(), 2) for frame in chunk]
            if len(frames) != 1:
                raise MediaError(f'"{path.name}" is a picture, and the clip has several frames', "give an .mp4 file")
            chunks, metadata = marked([frames[0][np.newaxis]], self.metadata, mark)
            picture = next(iter(chunks))[0]
            with files.replacing(path) as temporary:
                save_picture(temporary, np.broadcast_to(picture, (*picture.shape[:2], 3)))
                seal(temporary, metadata, path.name, self.sources)
        else:
            sound = None if self.sound is None else self.sound()
            about: dict[str, Any] = {"fps": self.fps, "metadata": self.metadata, "sources": self.sources}
            write_clip(path, self.make(), sound=sound, mark=mark, **about)
        return path

    def _repr_html_(self) -> str:
        """Show the clip as a looping video in a notebook."""
        with tempfile.TemporaryDirectory() as folder:
            content = base64.b64encode(self.save(Path(folder) / "clip.mp4").read_bytes()).decode()
        title = ", ".join(f"{key} {value}" for key, value in self.metadata.items() if key in ("seed", "label"))
        return f'<video title="{title}" controls loop autoplay muted src="data:video/mp4;base64,{content}"></video>'
