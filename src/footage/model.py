"""A trained model as an object: what it can do depends on how it was trained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from footage import __version__, conversion
from footage.checkpoint import ModelInfo, load_model
from footage.clip import Clip
from footage.config.tasks import USES
from footage.conversion import Conversion, Pair
from footage.errors import ConfigError, nearest
from footage.methods.base import Converts, Encodes, Generates, Predicts, Sampler, Wish
from footage.sample import draw_label, one_video
from footage.video.geometry import Fit
from footage.video.reading import Footage


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
        raise self.unable("makes no clips from nothing")

    @property
    def verb(self) -> str:
        """The command that this model was made for."""
        return USES[self.info.config.method].verbs[0]

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
        known, generator = self.info.config.clip.frames, self.generator
        if not (to_label is None and to_seed is None) and not generator.endless and (frames or known) <= known:
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

    def predict(
        self,
        clip: Path | str,
        frames: int | None = None,
        *,
        samples: int = 1,
        seed: int = 0,
        past: int | None = None,
        fit: Fit = "letterbox",
    ) -> Clip:
        """Continue a clip from its end; see `footage.conversion.predict`.

        Args:
            clip: a video, or a folder of pictures.
            frames: how many to predict; None for as many as the model learned to.
            samples: futures, side by side.
            seed: of the first future.
            past: frames of the clip that stand before; None for those that the model looks at.
            fit: how a picture of another shape is fitted in: letterbox, crop or stretch.
        """
        if not isinstance(self.sampler, Predicts):
            raise self.unable("continues no clips")
        length = self.info.config.clip.frames - self.sampler.past if frames is None else frames
        if length < 1:
            raise ConfigError(f"frames is {frames}", "give at least 1")
        return conversion.predict(
            self.sampler, self.info, Footage(Path(clip)), frames=length, samples=samples, seed=seed, past=past, fit=fit
        )

    def convert(self, clip: Path | str, how: Conversion | None = None, watch: Pair | None = None) -> Clip:
        """Translate, or pack and unpack, a picture or a clip of any length; see `footage.conversion.convert`."""
        if not isinstance(self.sampler, Converts):
            raise self.unable("turns no clip into another")
        how = how or Conversion()
        if how.frames is not None and how.frames < 1:
            raise ConfigError(f"frames is {how.frames}", "give at least 1")
        return conversion.convert(self.sampler, self.info, Footage(Path(clip)), how, watch)

    def interpolate(self, clip: Path | str, to: Path | str, steps: int = 8) -> list[Clip]:
        """Return clips on the way from one clip to another; see `footage.conversion.interpolate`."""
        if not isinstance(self.sampler, Encodes):
            raise self.unable("has no latent space of clips")
        return conversion.interpolate(self.sampler, self.info, Footage(Path(clip)), Footage(Path(to)), steps)

    def embed(self, clip: Path | str) -> npt.NDArray[np.float32]:
        """Return a clip's place in latent space, (D,); see `footage.conversion.embed`."""
        if not isinstance(self.sampler, Encodes):
            raise self.unable("has no latent space of clips")
        return conversion.embed(self.sampler, self.info, Footage(Path(clip)))

    def unable(self, what: str) -> ConfigError:
        """Return the error for what the model cannot do; the remedy is the command for what it can."""
        does = USES[self.info.config.method].does
        return ConfigError(f"{self.info.name} {what}: it {does}", f"use footage {self.verb}")


def model_folder(folder: Path | str) -> Path:
    """Return the model folder that a path means: itself, or the one inside a run."""
    path = Path(folder)
    return path / "model" if not (path / "model.json").exists() and (path / "model" / "model.json").exists() else path
