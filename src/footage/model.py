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
from footage.methods.base import Generates, Sampler, Wish
from footage.sample import draw_label, one_video
from footage.video.encode import write_clip

Frames = npt.NDArray[np.uint8]

DOES = {
    "generate": "it makes clips from seeds",
    "predict": "it continues a clip",
    "translate": "it turns a picture or a clip into another",
    "reconstruct": "it packs clips into few numbers, and unpacks them",
}
"""What models do, by the command that lets them."""


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

    @property
    def generator(self) -> Generates:
        """The sampler, where the model makes clips from a seed.

        Raises:
            ConfigError: it is given a clip, and the remedy is another command.
        """
        if isinstance(self.sampler, Generates):
            return self.sampler
        raise ConfigError(f"{self.info.name} makes no clips from nothing: {self.does}", f"use footage {self.verb}")

    @property
    def verb(self) -> str:
        """The command for this model: a key of `DOES`."""
        method = self.info.config.method
        return {"gan": "generate", "vae": "reconstruct"}.get(method, method)

    @property
    def does(self) -> str:
        """What the model does, in words."""
        return DOES[self.verb]

    def joins(self, frames: int) -> str:
        """Say how clips of this length are put together where the model alone cannot make them; else nothing."""
        length, generator = self.info.config.clip.frames, self.generator
        if generator.endless or frames <= length:
            return ""
        return (
            f"{self.info.name} makes {length} frames at once; longer clips are joined from its segments, blended over "
            f"{length - generator.hop} frames each. For clips without joins train with --clip.frames {frames}"
        )

    def generate(
        self,
        count: int = 1,
        *,
        frames: int | None = None,
        fps: float | None = None,
        label: str | None = None,
        to_label: str | None = None,
        seed: int = 0,
        to_seed: int | None = None,
    ) -> Iterator[Clip]:
        """Yield clips. Clip i has seed `seed` + i, and is the same whatever else is generated beside it.

        Args:
            count: how many clips.
            frames: their length; None for the model's own.
            fps: their rate when played; None for that of the training data.
            label: their class, or a mixture, such as `circle+square` or `circle:0.8+square:0.2`; None draws classes
                as often as the training data have them.
            to_label: class or mixture that each clip changes into.
            seed: seed of the first clip.
            to_seed: seed whose content the first clip changes into; the next one into that of the next seed.

        Raises:
            ConfigError: the model does not know the label, or a number is out of range.
        """
        for name, value, least in (
            ("count", count, 1),
            ("frames", frames, 1),
            ("fps", fps, 1e-3),
            ("seed", seed, 0),
            ("to_seed", to_seed, 0),
        ):
            if value is not None and not least <= value < float("inf"):
                raise ConfigError(f"{name} is {value}", f"give at least {least:g}")
        known = self.info.config.clip.frames
        if not (to_label is None and to_seed is None) and not self.generator.endless and (frames or known) <= known:
            raise ConfigError(
                f"{self.info.name} makes clips of {known} frames, and changes from one to the next only",
                f"give --frames {2 * known} or more to see it change",
            )
        for text in (label, to_label):
            if text is not None:
                self.mixture(text)  # complains now, and not when the first clip is made
        return (
            self._clip(seed + i, None if to_seed is None else to_seed + i, label, to_label, frames or known, fps)
            for i in range(count)
        )

    def mixture(self, text: str) -> tuple[float, ...]:
        """Return the weight of each label that a text means: a label, or `a+b`, or `a:0.8+b:0.2`; they sum to 1.

        Raises:
            ConfigError: the model does not know a label, or a weight is no number above 0.
        """
        weights = dict.fromkeys(self.labels, 0.0)
        for part in [text] if text in weights else text.split("+"):
            name, _, share = (
                (part, "", "") if part in weights else part.rpartition(":") if ":" in part else (part, "", "")
            )
            if name not in weights:
                remedy = nearest(name, self.labels) if self.labels else "leave the label out: the model has none"
                raise ConfigError(f'{self.info.name} does not know the label "{name}"', remedy)
            try:
                weights[name] += float(share or 1)
            except ValueError:
                weights[name] = float("nan")
            if not 0 < weights[name] < float("inf"):
                raise ConfigError(f'the weight of label "{name}" is "{share}"', "give a number above 0, such as 0.5")
        total = sum(weights.values())
        return tuple(weight / total for weight in weights.values())

    def _clip(
        self, seed: int, to_seed: int | None, label: str | None, to_label: str | None, frames: int, fps: float | None
    ) -> Clip:
        if label is None and self.labels:
            label = self.labels[draw_label(self.info.label_shares, seed)]
        start, end = (None if name is None else self.mixture(name) for name in (label, to_label))
        wish = Wish(seed, start, to_seed, end)
        metadata = {
            "made_with": f"footage {__version__}",
            "model": self.info.name,
            "weights_sha256": self.info.weights_sha256,
            "seed": seed,
            **({} if label is None else {"label": label}),
            **({} if to_label is None else {"to_label": to_label}),
            **({} if to_seed is None else {"to_seed": to_seed}),
        }
        return Clip(lambda: one_video(self.generator, wish, frames), frames, fps or self.info.fps, metadata)


def model_folder(folder: Path | str) -> Path:
    """Return the model folder that a path means: itself, or the one inside a run."""
    path = Path(folder)
    return path / "model" if not (path / "model.json").exists() and (path / "model" / "model.json").exists() else path
