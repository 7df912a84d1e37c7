"""Every knob: frozen dataclasses, validated when made, with a strict JSON round trip. Imports no torch."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from footage.errors import ConfigError, nearest

T = TypeVar("T")


def _require(ok: bool, knob: str, value: object, remedy: str) -> None:
    if not ok:
        raise ConfigError(f"{knob} is {value!r}", remedy)


@dataclass(frozen=True)
class IngestConfig:
    """How videos become a data set."""

    height: int = 64
    """Height of the clips, in pixels."""
    width: int = 64
    """Width of the clips, in pixels."""
    channels: Literal[1, 3] = 3
    """1 for grey, 3 for RGB."""
    fps: float | None = None
    """Frames in a second; None for the rate of the existing data set, or the most frequent among the sources."""
    fit: Literal["crop", "letterbox", "stretch"] = "crop"
    """How a picture of another shape is fitted in."""
    labels: str = "folder"
    """`folder` (the first folder below a source), `none`, or the path of a CSV or JSON table."""
    min_frames: int = 16
    """Shorter clips are left out."""
    heldout: float = 0.1
    """Part of the sources that is never trained on."""
    cuts: bool = True
    """Divide at scene cuts."""
    keep_static: bool = False
    """Keep clips in which nothing moves."""
    keep_duplicates: bool = False
    """Keep clips that repeat an earlier one."""
    digits: int = 2
    """Digits in a clip made from IDX images, 1 to 3; with 1 it is also the label."""
    sequences: int = 2000
    """Training clips made from an IDX file; a quarter as many are held out, from other images."""
    sequence_frames: int = 20
    """Frames in a clip made from IDX images."""
    seed: int = 0
    """Seed of the clips made from IDX images."""
    workers: int | None = None
    """Processes; None for one for each core, 0 to decode in this process."""
    name: str | None = None
    """Name of the data set; None for that of its folder."""

    def __post_init__(self) -> None:
        """Refuse what cannot be ingested."""
        _require(self.channels in (1, 3), "channels", self.channels, "give 1 for grey or 3 for RGB")
        fits = ("crop", "letterbox", "stretch")
        _require(self.fit in fits, "fit", self.fit, nearest(str(self.fit), fits))
        for knob, low, high in (
            ("height", 8, 2048),
            ("width", 8, 2048),
            ("fps", 0.1, 1000),
            ("min_frames", 1, 100_000),
            ("heldout", 0, 0.9),
            ("digits", 1, 3),
            ("sequences", 1, 10_000_000),
            ("sequence_frames", self.min_frames, 100_000),
            ("workers", 0, 1024),
        ):
            value = getattr(self, knob)
            ok = value is None or low <= value <= high  # NaN fails too
            _require(ok, knob, value, f"give {low:g} to {high:g}")


@dataclass(frozen=True)
class ClipConfig:
    """The shape of the clips that a model is trained on and makes."""

    frames: int = 16
    """Number of frames, T."""
    height: int = 64
    """Height in pixels, H."""
    width: int = 64
    """Width in pixels, W."""
    channels: int = 3
    """1 for grey, 3 for RGB."""

    def __post_init__(self) -> None:
        """Refuse shapes that no network can make."""
        _require(2 <= self.frames <= 4096, "clip.frames", self.frames, "give 2 to 4096 frames")
        _require(8 <= self.height <= 4096, "clip.height", self.height, "give 8 to 4096 pixels")
        _require(8 <= self.width <= 4096, "clip.width", self.width, "give 8 to 4096 pixels")
        _require(self.channels in (1, 3), "clip.channels", self.channels, "give 1 for grey or 3 for RGB")


@dataclass(frozen=True)
class Conv3dConfig:
    """The 3D-convolutional generator and critic (VGAN)."""

    latent: int = 100
    """Length of the latent code z."""
    label: int = 64
    """Length of the label's embedding in the generator, where there are labels."""
    width: int = 48
    """Channels of the outermost hidden stage; they double towards the innermost, up to 512."""

    def __post_init__(self) -> None:
        """Refuse sizes below one."""
        _require(self.latent >= 1, "net.latent", self.latent, "give at least 1")
        _require(self.label >= 1, "net.label", self.label, "give at least 1")
        _require(4 <= self.width <= 512, "net.width", self.width, "give 4 to 512 channels")


@dataclass(frozen=True)
class GanConfig:
    """Adversarial training."""

    lr: float = 2e-4
    """Adam's learning rate of the generator."""
    critic_lr: float = 2e-4
    """Adam's learning rate of the critic."""
    beta1: float = 0.0
    """Adam's first moment decay, of both."""
    beta2: float = 0.99
    """Adam's second moment decay, of both."""
    critic_steps: int = 1
    """Critic updates for each generator update."""
    r1: float = 2.0
    """Weight gamma of the R1 penalty, gamma / 2 E|grad D(x)|^2 on real clips; 0 for none."""
    penalty_every: int = 4
    """Penalties are applied at every n-th step, n times as strong (lazy regularisation, StyleGAN2)."""
    ema: float = 5_000.0
    """Half-life of the moving average of the generator's weights, in clips seen."""

    def __post_init__(self) -> None:
        """Refuse rates and weights that cannot train."""
        for knob in ("lr", "critic_lr"):
            value = getattr(self, knob)
            _require(0 < value < 1, f"gan.{knob}", value, "give a rate above 0 and below 1, such as 2e-4")
        for knob in ("beta1", "beta2"):
            value = getattr(self, knob)
            _require(0 <= value < 1, f"gan.{knob}", value, "give 0 or more and less than 1")
        _require(1 <= self.critic_steps <= 100, "gan.critic_steps", self.critic_steps, "give 1 to 100")
        _require(self.r1 >= 0, "gan.r1", self.r1, "give 0 or more")
        _require(self.penalty_every >= 1, "gan.penalty_every", self.penalty_every, "give at least 1")
        _require(self.ema >= 0, "gan.ema", self.ema, "give 0 for no averaging, or a number of clips")


@dataclass(frozen=True)
class TrainConfig:
    """The training loop, whatever the method."""

    batch_size: int | None = None
    """Clips in a step; None finds one that fits the memory."""
    seed: int = 0
    """Seed of the weights, the order of the clips and every random draw."""
    labels: Literal["auto", "yes", "no"] = "auto"
    """Condition on labels: `auto` does when every training clip has one and there are at least two."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the networks; `auto` takes bf16 where the device is faster with it."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train; `auto` takes the best there is."""
    save_minutes: float = 1.0
    """Minutes between two saves of the resumable state."""
    sample_clips: int = 10_000
    """Clips seen between two sample sheets."""

    def __post_init__(self) -> None:
        """Refuse sizes, intervals and names that cannot work."""
        for knob in ("labels", "precision", "device"):
            value, known = getattr(self, knob), typing.get_args(typing.get_type_hints(type(self))[knob])
            _require(value in known, f"train.{knob}", value, nearest(str(value), known))
        size = self.batch_size
        _require(size is None or 1 <= size <= 65_536, "train.batch_size", size, "give 1 to 65536, or leave it out")
        _require(0 <= self.seed < 2**63, "train.seed", self.seed, "give 0 or more, below 2^63")
        _require(self.save_minutes > 0, "train.save_minutes", self.save_minutes, "give more than 0")
        _require(self.sample_clips >= 1, "train.sample_clips", self.sample_clips, "give at least 1")


@dataclass(frozen=True)
class Config:
    """A complete configuration: what is trained, and how."""

    preset: str = "custom"
    """Named configuration that all other values default to; `footage models` lists them."""
    method: Literal["gan"] = "gan"
    """The way of training: a key of `footage.methods.METHODS`."""
    clip: ClipConfig = field(default_factory=ClipConfig)
    """The shape of the clips."""
    net: Conv3dConfig = field(default_factory=Conv3dConfig)
    """The networks."""
    gan: GanConfig = field(default_factory=GanConfig)
    """Adversarial training."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """The training loop."""


def to_json(config: Any) -> dict[str, Any]:
    """Turn a configuration into plain JSON values."""
    return dataclasses.asdict(config)


def from_json(kind: type[T], value: Any, where: str = "configuration") -> T:
    """Build a configuration from JSON values, strictly.

    Raises:
        ConfigError: a key is unknown or missing, or a value has the wrong type or is not allowed.
    """
    if not isinstance(value, dict):
        raise ConfigError(f"{where} is {value!r:.80}", "give an object of named values")
    hints = typing.get_type_hints(kind)
    for key in value:
        if key not in hints:
            raise ConfigError(f'{where} has no "{key}"', nearest(key, hints))
    missing = [key for key in hints if key not in value]
    if missing:
        raise ConfigError(f'{where} lacks "{missing[0]}"', "add it, or make the file again with this version")
    return kind(**{key: _value(hints[key], item, f"{where}.{key}") for key, item in value.items()})


def _value(hint: Any, item: Any, where: str) -> Any:
    """Check one JSON value against its annotation."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_json(hint, item, where)
    if typing.get_origin(hint) is Literal:
        allowed = [str(a) for a in typing.get_args(hint)]
        _require(item in typing.get_args(hint), where, item, nearest(str(item), allowed))
        return item
    if isinstance(hint, types.UnionType):
        if item is None and type(None) in typing.get_args(hint):
            return None
        (hint,) = (a for a in typing.get_args(hint) if a is not type(None))
    if hint is float and isinstance(item, int) and not isinstance(item, bool):
        item = float(item)
    ok = isinstance(item, hint) and not (hint is int and isinstance(item, bool))
    _require(ok, where, item, f"give a value of type {hint.__name__}")
    _require(not isinstance(item, float) or math.isfinite(item), where, item, "give a finite number")
    return item


def differences(old: Any, new: Any, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Return the knobs in which two configurations of one kind differ: dotted name -> (old, new)."""
    found: dict[str, tuple[Any, Any]] = {}
    for item in dataclasses.fields(old):
        a, b = getattr(old, item.name), getattr(new, item.name)
        if dataclasses.is_dataclass(a):
            found |= differences(a, b, f"{prefix}{item.name}.")
        elif a != b:
            found[prefix + item.name] = (a, b)
    return found
