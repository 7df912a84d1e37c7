"""A trained model as an object, and the clips that it makes: they save and, in a notebook, show themselves."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from footage import __version__
from footage.checkpoint import ModelInfo, load_model
from footage.errors import ConfigError, nearest
from footage.methods.base import Sampler
from footage.sample import draw_label, one_video, overlap
from footage.video.encode import write_clip

Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Clip:
    """A clip that is made when it is looked at: it holds no frames, so that a library of any size fits in memory."""

    make: Callable[[], Iterator[Frames]]
    """Starts the clip over: yields chunks uint8 (T, H, W, C)."""
    frames: int
    """Number of frames."""
    fps: float
    """Frames in a second."""
    metadata: dict[str, Any]
    """Model, seed, label and version, as they stand inside a saved file."""

    def chunks(self) -> Iterator[Frames]:
        """Yield the clip from the beginning in chunks uint8 (T, H, W, C), in constant memory."""
        return self.make()

    def array(self) -> Frames:
        """Return the whole clip, uint8 (T, H, W, C)."""
        return np.concatenate(list(self.make()))

    def save(self, path: Path | str) -> Path:
        """Write the clip; the suffix decides: .mp4, .webm, .gif, or none for a folder of PNG frames.

        Raises:
            MediaError: an unknown suffix, or a full disk.
        """
        write_clip(Path(path), self.make(), fps=self.fps, metadata=self.metadata)
        return Path(path)

    def _repr_html_(self) -> str:
        """Show the clip as a looping video in a notebook."""
        with tempfile.TemporaryDirectory() as folder:
            content = base64.b64encode(self.save(Path(folder) / "clip.mp4").read_bytes()).decode()
        title = ", ".join(f"{key} {value}" for key, value in self.metadata.items() if key in ("seed", "label"))
        return f'<video title="{title}" controls loop autoplay muted src="data:video/mp4;base64,{content}"></video>'


class Model:
    """A model folder, loaded: ready to generate, without data set or run.

    Args:
        folder: the model folder, or a run folder that holds one.
        device: where to compute, such as `cpu` or `cuda`.

    Raises:
        ModelError: the folder is missing, damaged, tampered with, or made by a newer version.
    """

    def __init__(self, folder: Path | str, device: str = "cpu") -> None:
        self.folder = model_folder(folder)
        self.sampler: Sampler
        self.info: ModelInfo
        self.sampler, self.info = load_model(self.folder, device)

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes that `generate` takes; empty for an unconditional model."""
        return self.info.labels

    def joins(self, frames: int) -> str:
        """Say how clips of this length are put together where the model alone cannot make them; else nothing."""
        length = self.info.config.clip.frames
        if self.sampler.endless or frames <= length:
            return ""
        return (
            f"{self.info.name} makes {length} frames at once; longer clips are joined from its segments, blended over "
            f"{overlap(length)} frames each. For clips without joins train with --clip.frames {frames}"
        )

    def generate(
        self,
        count: int = 1,
        *,
        frames: int | None = None,
        fps: float | None = None,
        label: str | None = None,
        seed: int = 0,
    ) -> Iterator[Clip]:
        """Yield clips. Clip i has seed `seed` + i, and is the same whatever else is generated beside it.

        Args:
            count: how many clips.
            frames: their length; None for the model's own.
            fps: their rate when played; None for that of the training data.
            label: their class; None draws classes as often as the training data have them.
            seed: seed of the first clip.

        Raises:
            ConfigError: the model does not know the label, or a number is out of range.
        """
        for name, value, least in (("count", count, 1), ("frames", frames, 1), ("fps", fps, 1e-3), ("seed", seed, 0)):
            if value is not None and not least <= value < float("inf"):
                raise ConfigError(f"{name} is {value}", f"give at least {least:g}")
        if label is not None and label not in self.labels:
            remedy = nearest(label, self.labels) if self.labels else "leave the label out: the model has none"
            raise ConfigError(f'{self.info.name} does not know the label "{label}"', remedy)
        return (self._clip(number, frames, fps, label) for number in range(seed, seed + count))

    def _clip(self, seed: int, frames: int | None, fps: float | None, label: str | None) -> Clip:
        if label is None and self.labels:
            label = self.labels[draw_label(self.info.label_shares, seed)]
        number = None if label is None else self.labels.index(label)
        length = frames or self.info.config.clip.frames
        metadata = {
            "made_with": f"footage {__version__}",
            "model": self.info.name,
            "weights_sha256": self.info.weights_sha256,
            "seed": seed,
            **({} if label is None else {"label": label}),
        }
        return Clip(lambda: one_video(self.sampler, seed, number, length), length, fps or self.info.fps, metadata)


def model_folder(folder: Path | str) -> Path:
    """Return the model folder that a path means: itself, or the one inside a run."""
    path = Path(folder)
    return path / "model" if not (path / "model.json").exists() and (path / "model" / "model.json").exists() else path
