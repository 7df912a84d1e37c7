"""A clip that a model makes: it saves itself and, in a notebook, shows itself; other programs' clips become one."""

from __future__ import annotations

import base64
import contextlib
import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from footage import files
from footage.config.strict import checked_methods, fitting
from footage.errors import LockError, MediaError, counted
from footage.files import locked
from footage.machines.local import memory_folder
from footage.media.dicom import write_dicom
from footage.media.encode import chunked, write_clip
from footage.media.geometry import VolumeScale
from footage.media.reader import Footage
from footage.media.sheets import save_picture
from footage.media.sound import TRACK_RATE, Channels, channel_chunks, has_sound
from footage.media.volumes import Levels, write_nifti
from footage.trust.mark import marked
from footage.trust.provenance import seal

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

Frames = npt.NDArray[np.uint8]

FPS = 25.0
"""Rate of frames that say nothing of it."""
COLOURED = ("1", "CMYK", "LA", "P", "PA", "RGBA", "YCbCr")
"""Modes of pictures of PIL that are brought to RGB; of 16 bits and floating-point numbers there is none."""
VOLUME_SUFFIXES = (".nii.gz", ".nii", ".dicom")
"""Endings of volumes; the last is that of a folder of slices."""
PICTURES = (".png",)
"""Endings that stand for a single picture."""


def check_rate(fps: float) -> None:
    """Refuse what is no rate of frames that videos are written at, not a number too."""
    if not 0.1 <= fps <= 1000:
        raise MediaError(f"fps is {fps:g}", "give .1 to 1000 frames a second")


@checked_methods
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

    @staticmethod
    def of_frames(content: Any, fps: float = FPS) -> Clip:
        """Return frames that another program holds as a clip.

        Args:
            content: an array, uint8 (T, H, W, C) or (T, H, W), C = 1 or 3; a tensor, uint8 (T, C, H, W), as torchvision
                and torchcodec have it, or float (C, T, H, W) in [-1, 1], as networks here have it; or pictures of PIL,
                all of one size.
            fps: frames in a second.

        Raises:
            MediaError: it is none of these, or no rate of frames.
        """
        check_rate(fps)
        tensor = hasattr(content, "detach")  # of torch, which is not imported for this
        if isinstance(content, Sequence) and content and not isinstance(content, str):
            pictures = [one.convert("RGB") if getattr(one, "mode", None) in COLOURED else one for one in content]
            if len({np.shape(one) for one in pictures}) > 1:
                raise MediaError("frames of a clip are of different sizes", "bring all to one size")
            content = np.stack([np.asarray(one) for one in pictures])
        shape: tuple[int, ...] = tuple(getattr(content, "shape", ()))
        kind = str(getattr(content, "dtype", type(content).__name__)).removeprefix("torch.")
        floats = tensor and content.is_floating_point()
        wrong = ""
        if len(shape) > 4:
            wrong = "has more dimensions than one clip, as a batch has"
        elif kind != "uint8" and not floats:
            wrong = "has to hold whole numbers of 8 bits (uint8)"
        elif len(shape) != 4 and (tensor or len(shape) != 3):
            wrong = "has too few dimensions"
        elif 0 in shape:
            wrong = "is empty"
        elif len(shape) == 4 and shape[0 if floats else 1 if tensor else 3] not in (1, 3):
            wrong = "has neither 1 nor 3 channels where they belong"
        if wrong:
            raise MediaError(
                f"{kind} {shape} is no clip, it {wrong}",
                "give an array uint8 (T, H, W, C) or (T, H, W), a tensor uint8 (T, C, H, W) or float (C, T, H, W) in "
                "[-1, 1], or pictures of PIL",
            )
        if floats:
            from footage.generation.rollout import to_uint8

            content = to_uint8(content.detach()[None])[0]  # C T H W → T H W C
        elif tensor:
            content = content.detach().cpu().movedim(1, -1).numpy()  # T C H W → T H W C
        frames = np.ascontiguousarray(content if len(shape) == 4 else content[..., None])  # (T, H, W) → (T, H, W, 1)
        return Clip(lambda: chunked(frames), len(frames), fps, {})

    @staticmethod
    def of_video(content: Path | str | bytes | Mapping[str, Any], fps: float | None = None) -> Clip:
        """Return a video as a clip of its own size, with its sound, read in constant memory when it is looked at.

        Args:
            content: a path of a video or of a folder of pictures, or the bytes of a video file; or both as
                `{"path": …, "bytes": …}`, as `datasets.Video(decode=False)` of Hugging Face has it. Bytes are in a
                temporary file for as long as they are read.
            fps: frames in a second; left out, that of the video, else 25.

        Raises:
            MediaError: it cannot be read, or no rate of frames is given.
        """
        if fps is not None:
            check_rate(fps)
        held: Path | str | bytes
        if isinstance(content, Mapping):
            source = content.get("path") if content.get("bytes") is None else content["bytes"]
            held = fitting(Path | bytes, source, "path or bytes of the video")
        else:
            held = content

        @contextlib.contextmanager
        def opened() -> Iterator[Footage]:
            if not isinstance(held, bytes):
                yield Footage(Path(held))
                return
            with tempfile.TemporaryDirectory(prefix="footage-", ignore_cleanup_errors=True) as folder:
                (Path(folder) / "clip").write_bytes(held)
                yield Footage(Path(folder) / "clip")

        def make() -> Iterator[Frames]:
            with opened() as video:
                yield from video.chunks(height=height, width=width, channels=3, fps=rate)

        def sound() -> Iterator[Channels]:
            with opened() as video:
                yield from channel_chunks(video.path, TRACK_RATE, "stereo")

        with opened() as video:
            (height, width), rate = video.size(), fps or video.rate() or FPS
            heard = not video.pictures and has_sound(video.path)
        sources = () if isinstance(held, bytes) else (Path(held),)
        return Clip(make, None, float(rate), {}, sound if heard else None, sources)

    def tensor(self) -> Tensor:
        """Return the whole clip as networks read it, float (C, T, H, W) in [-1, 1]."""
        from footage.generation.rollout import from_uint8

        return from_uint8(self.array()[None])[0]  # B = 1

    def pictures(self) -> Iterator[Image.Image]:
        """Yield the frames as pictures of PIL, in constant memory."""
        from PIL import Image

        for chunk in self.make():
            for frame in chunk:
                yield Image.fromarray(frame[:, :, 0] if frame.shape[2] == 1 else frame)  # grey: (H, W, 1) → (H, W)

    def video(self) -> dict[str, Any]:
        """Return the clip as `datasets.Video` of Hugging Face stores one: an .mp4 file, as bytes.

        It is written to a temporary file, in memory where the clip was read from something locked.

        Raises:
            LockError: it was, and this machine has no folder in memory.
        """
        hidden = any(map(locked.folder_of, self.sources))
        place = memory_folder() if hidden else None
        if hidden and place is None:
            problem = f'"{self.sources[0]}" is locked, and this machine has no folder in memory (tmpfs)'
            raise LockError(problem, "take the frames: Clip.array()")
        with tempfile.TemporaryDirectory(dir=place) as folder:
            return {"path": None, "bytes": self.save(Path(folder) / "clip.mp4").read_bytes()}

    def chunks(self) -> Iterator[Frames]:
        """Yield the clip from the beginning in chunks uint8 (T, H, W, C), in constant memory."""
        return self.make()

    def array(self) -> Frames:
        """Return the whole clip, uint8 (T, H, W, C)."""
        return np.concatenate(list(self.make()))

    def save(self, path: Path | str, *, mark: bool = True) -> Path:
        """Write the clip; the suffix decides: .mp4, .webm, .gif, .mov, .mkv, or none for a folder of PNG frames.

        A clip of a single frame may be a picture: .png. A .gif shows at most 50 frames a second, at the same speed.
        Volumes may be .nii.gz or .nii, or .dicom for a folder of slices: with their values, spacing and orientation,
        and the notice that they are synthetic. footage is not a medical device, and none of them is for diagnosis.

        Args:
            path: the file, or the folder.
            mark: whether the frames are given the invisible mark (`footage.trust.mark`).

        Raises:
            MediaError: an unknown suffix, or a full disk; or what is no volume is to be one.
        """
        path = Path(fitting(Path, path, "path"))
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

    def __repr__(self) -> str:
        length = "frames that are not counted yet" if self.frames is None else counted(self.frames, "frame")
        made = "".join(f", {key} {self.metadata[key]}" for key in ("model", "seed", "label") if key in self.metadata)
        return f"<Clip: {length}, {self.fps:g} fps{made}>"

    def _repr_html_(self) -> str:
        """Show the clip as a looping video in a notebook."""
        content = base64.b64encode(self.video()["bytes"]).decode()
        title = ", ".join(f"{key} {value}" for key, value in self.metadata.items() if key in ("seed", "label"))
        return f'<video title="{title}" controls loop autoplay muted src="data:video/mp4;base64,{content}"></video>'
