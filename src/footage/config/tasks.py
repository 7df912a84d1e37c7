"""Which networks, clips and critics go together with a method."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from footage.config.nets import (
    GeneratorConfig,
    NetConfig,
    PredictorConfig,
    StreamConfig,
    SvgConfig,
    TranslatorConfig,
    UpscalerConfig,
    VaeConfig,
)
from footage.config.sections import ClipConfig, CriticConfig, KlConfig, LearnConfig, TaskConfig
from footage.errors import ConfigError

if typing.TYPE_CHECKING:
    from footage.config import Config

KINDS: dict[str, tuple[type, ...]] = {
    "gan": typing.get_args(GeneratorConfig),
    "vae": (VaeConfig,),
    "predict": typing.get_args(PredictorConfig),
    "translate": (TranslatorConfig,),
    "upscale": (UpscalerConfig,),
}
"""The networks that each method trains."""
EXAMPLES = {
    "gan": ("stream-64", "conv3d-64"),
    "vae": ("vae-64", "vae-gan-64"),
    "predict": ("simvp-64", "svg-64"),
    "translate": ("translate-64", "spade-64"),
    "upscale": ("upscale-x4", "upscale-x2"),
}
"""Some presets of each method."""
_NEVER_WEANED = {
    "simvp": "makes all frames at once",
    "sprites": "moves on what it found in the past",
    "svg": "is always shown true frames",
}
"""Predictors that are not fed their own frames in training, and why."""


@dataclass(frozen=True)
class MethodUse:
    """What a model is good for."""

    what: str
    """What it is."""
    does: str
    """What it does."""
    verbs: tuple[str, ...]
    """The commands that take it; the first is the one that it was made for."""
    example: str
    """How that is used."""


USES = {
    "gan": MethodUse("A video generator", "makes clips from seeds", ("generate",), "FOLDER --to CLIPS --count 16"),
    "vae": MethodUse(
        "A video autoencoder",
        "packs clips into few numbers, and unpacks them",
        ("reconstruct", "interpolate", "embed", "generate"),
        "FOLDER CLIP.mp4",
    ),
    "predict": MethodUse(
        "A predictor, which continues clips", "continues a clip", ("predict",), "FOLDER CLIP.mp4 --frames 50"
    ),
    "translate": MethodUse(
        "A translator of pictures or clips",
        "turns a picture or a clip into another",
        ("translate",),
        "FOLDER CLIP.mp4",
    ),
    "upscale": MethodUse(
        "An upscaler, which makes clips larger and sharper",
        "makes a clip larger and sharper",
        ("upscale",),
        "FOLDER CLIP.mp4 --to LARGE.mp4",
    ),
}
"""What models are good for, by their method."""
VAE_TIME, VAE_SPACE = 4, 8
"""How much shorter and smaller a VAE's latent volume is than the clip."""


def halvings(height: int, width: int) -> int:
    """Return how often a picture halves until its shorter side is 4 to 7 pixels; at least once."""
    return max(1, (min(height, width) // 4).bit_length() - 1)


def unlimited(frames: int, height: int, width: int, channels: int) -> ClipConfig:
    """Return the shape of what is no clip that could be trained on: the limits of one do not hold."""
    shape = object.__new__(ClipConfig)
    for knob, value in (("frames", frames), ("height", height), ("width", width), ("channels", channels)):
        object.__setattr__(shape, knob, value)
    return shape


def latent_clip(clip: ClipConfig, net: VaeConfig) -> ClipConfig:
    """Return the shape of a VAE's latent volume, as that of a clip with many channels."""
    return unlimited(clip.frames // VAE_TIME, clip.height // VAE_SPACE, clip.width // VAE_SPACE, net.latent)


def source_clip(clip: ClipConfig, task: TaskConfig) -> ClipConfig:
    """Return the shape of what a translator is given; a picture has one frame."""
    channels = {"edges": 1, "grey": 1, "pairs": task.source_channels}.get(task.source, clip.channels)
    return unlimited(1 if task.source == "first-frame" else clip.frames, clip.height, clip.width, channels)


def guides(method: str, task: TaskConfig) -> int:
    """Return how many channels of another data set stand behind those of each clip that is read."""
    return task.source_channels if method == "translate" and task.source == "pairs" else 0


def conditions(clip: ClipConfig, net: NetConfig, task: TaskConfig) -> int:
    """Return how many channels of what the critics judge, the last ones, are what the others were made from."""
    return source_clip(clip, task).channels if isinstance(net, TranslatorConfig) else 0


def judged_clip(clip: ClipConfig, net: NetConfig, task: TaskConfig) -> ClipConfig:
    """Return the shape of what critics judge: beside the clip, its source of translators, its detail of upscalers."""
    if isinstance(net, UpscalerConfig):
        frames = clip.frames - net.past - net.future
        return unlimited(frames, clip.height, clip.width, 2 * clip.channels)
    if isinstance(net, TranslatorConfig):
        return unlimited(clip.frames, clip.height, clip.width, clip.channels + conditions(clip, net, task))
    return latent_clip(clip, net) if isinstance(net, VaeConfig) and net.prior == "gan" else clip


def takes_labels(config: Config) -> bool:
    """Whether a model of this configuration can be told a label."""
    return config.method == "gan" or (isinstance(config.net, VaeConfig) and config.net.prior == "gan")


CODES = {"mlp": "latent", "conv3d": "latent", "recurrent": "content", "stream": "content"}
"""Knob that says how long the code of a GAN's generator is that stays for a whole clip, by the network's kind."""


def slider_count(method: str, net: Mapping[str, Any]) -> int:
    """Return how many latent sliders a model has, as long as its code is, from the knobs of its network; 0 for none."""
    kind = net.get("kind")
    if method == "gan":
        return int(net[CODES[str(kind)]])
    return int(net["noise"]) if kind == "vae" and net["prior"] == "gan" else 0


def check_method(
    method: str, net: NetConfig, task: TaskConfig, clip: ClipConfig, critics: Sequence[CriticConfig]
) -> None:
    """Refuse networks and clips that a method cannot train.

    Raises:
        ConfigError: with the reason.
    """
    if not isinstance(net, KINDS[method]):
        known = " or ".join(f"--preset {name}" for name in EXAMPLES[method])
        raise ConfigError(f"net.kind is {net.kind}, method {method} does not train it", f"give {known} instead")
    if not critics and (method == "gan" or (isinstance(net, VaeConfig) and net.prior == "gan")):
        raise ConfigError("there is no critic", "give at least one")
    if method != "gan":
        for number, critic in enumerate(critics):
            if critic.steps != 1:
                raise ConfigError(
                    f"critics.{number}.steps is {critic.steps}, with method {method} each step updates everything once",
                    f"give --critics.{number}.steps 1, and another --critics.{number}.lr",
                )
    if isinstance(net, StreamConfig) and 0 < net.shot < clip.frames:
        raise ConfigError(
            f"net.shot is {net.shot}, and clips of {clip.frames} frames are no parts of it",
            f"give --net.shot {clip.frames} or more, or 0 for motion without end",
        )
    if method == "vae":
        for knob, unit in (("frames", VAE_TIME), ("height", VAE_SPACE), ("width", VAE_SPACE)):
            if getattr(clip, knob) % unit:
                raise ConfigError(f"clip.{knob} is {getattr(clip, knob)}", f"give a multiple of {unit} for a VAE")
    if isinstance(net, VaeConfig) and net.prior == "gan":
        _check_latent(clip, critics)
    if isinstance(net, UpscalerConfig):
        _check_crops(clip, net)
    if method == "predict" and task.past >= clip.frames:
        raise ConfigError(
            f"task.past is {task.past}, and clips of {clip.frames} frames leave none to predict",
            f"give --task.past {clip.frames // 2}, or more --clip.frames",
        )


def check_knobs(config: Config) -> None:
    """Refuse knobs that are set and would say nothing, for the method or the network does not look at them.

    Raises:
        ConfigError: with the reason.
    """
    method, net, learn, plain = config.method, config.net, config.learn, LearnConfig()
    if method != "gan" and config.gan.periodicity != "none":
        raise ConfigError(
            f"gan.periodicity is {config.gan.periodicity}, with method {method} no clip is made from noise alone, "
            "whose motion could be asked to repeat itself or not",
            "give --gan.periodicity none, or another method",
        )
    if method != "gan" and config.gan.burn_in:
        raise ConfigError(
            f"gan.burn_in is {config.gan.burn_in}, with method {method} all rates follow those of learning by example",
            "give --gan.burn-in 0, and --learn.decay",
        )
    if config.gan.matching and method == "gan":
        raise ConfigError(
            f"gan.matching is {config.gan.matching:g}, with method gan no clip is made to be like a certain real one",
            "give --gan.matching 0",
        )
    if config.task.truth and net.kind in _NEVER_WEANED:
        reason = _NEVER_WEANED[net.kind]
        raise ConfigError(
            f"task.truth is {config.task.truth}, {net.kind} {reason} in training: there is nothing to wean it from",
            "give --task.truth 0, or --net.kind convlstm",
        )
    if config.kl.free_bits and isinstance(net, SvgConfig):
        raise ConfigError(
            f"kl.free_bits is {config.kl.free_bits:g}, svg pays for all of the divergence from its learned prior",
            f"give --kl.free-bits {KlConfig().free_bits:g}, or a smaller --kl.beta",
        )
    for knob in ("loss", "weight") if method == "vae" else ():
        value, usual = getattr(learn, knob), getattr(plain, knob)
        if value != usual:
            raise ConfigError(
                f"learn.{knob} is {value}, a VAE learns by the likelihood of the clip, whose scale it finds itself",
                f"give --learn.{knob} {usual}, or another --kl.beta",
            )


def _check_crops(clip: ClipConfig, net: UpscalerConfig) -> None:
    """Refuse crops that an upscaler cannot learn from."""
    window = net.past + net.future
    if clip.frames < window + 2:
        raise ConfigError(
            f"clip.frames is {clip.frames}, and an upscaler that looks at {window} frames beside the one that it "
            "enlarges learns from two at least",
            f"give --clip.frames {window + 2} or more",
        )
    for knob in ("height", "width"):
        value = getattr(clip, knob)
        if value % net.scale:
            raise ConfigError(f"clip.{knob} is {value}", f"give a multiple of net.scale, {net.scale}")


def _check_latent(clip: ClipConfig, critics: Sequence[CriticConfig]) -> None:
    """Refuse clips and critics that a GAN in a VAE's latent space cannot have."""
    count = halvings(clip.height // VAE_SPACE, clip.width // VAE_SPACE)
    unit = 2**count * VAE_SPACE
    for knob in ("height", "width"):
        value = getattr(clip, knob)
        if value % unit:
            sizes = " or ".join(str(size) for size in (value // unit * unit, (value // unit + 1) * unit) if size)
            times = "once" if count == 1 else f"{count} times"
            raise ConfigError(
                f"clip.{knob} is {value}, a GAN in the latent space halves an eighth of it {times}",
                f"give {sizes}, or --net.prior normal",
            )
    for number, critic in enumerate(critics):
        if critic.net not in ("conv", "mlp"):
            raise ConfigError(
                f"critics.{number}.net is {critic.net}, it looks for motion in pixels: a latent volume has none",
                f"give --critics.{number}.net conv or mlp",
            )
        if critic.shrink > 1:
            raise ConfigError(
                f"critics.{number}.shrink is {critic.shrink}, a latent volume is small already",
                f"give --critics.{number}.shrink 1",
            )
