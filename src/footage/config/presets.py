"""Named, complete configurations: one table."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from footage.config import (
    ClipConfig,
    Config,
    Conv3dConfig,
    ConvLstmConfig,
    CriticConfig,
    GanConfig,
    KlConfig,
    LearnConfig,
    MlpConfig,
    NetConfig,
    RecurrentConfig,
    SimVpConfig,
    SpritesConfig,
    StreamConfig,
    SvgConfig,
    TaskConfig,
    TrainConfig,
    TranslatorConfig,
    UpscaleConfig,
    UpscalerConfig,
    VaeConfig,
    flat,
    from_json,
    to_json,
)
from footage.errors import ConfigError, nearest


@dataclass(frozen=True)
class Preset:
    """A named configuration."""

    about: str
    """What it is, in one sentence."""
    config: Config
    """The configuration."""


_CLIP_AND_SPARSE = (CriticConfig(), CriticConfig(sees="sparse", frames=3))
_64 = Config(
    preset="conv3d-64",
    clip=ClipConfig(frames=16, height=64, width=64),
    net=Conv3dConfig(width=32, label=16),
    gan=GanConfig(lr=3e-4, critic_lr=3e-4),
    critics=_CLIP_AND_SPARSE,
)
_32 = replace(
    _64,
    clip=ClipConfig(frames=16, height=32, width=32),
    train=TrainConfig(sample_clips=20_000),
    gan=GanConfig(lr=5e-4, critic_lr=5e-4, r1=0.2),
)
_RECURRENT = RecurrentConfig(width=32, hidden=16, label=16)
_STREAM = replace(
    _64,
    net=StreamConfig(),
    gan=GanConfig(loss="relativistic", lr=3e-4, critic_lr=3e-4, r1=2.0, r2=2.0, burn_in=30_000),
    critics=(CriticConfig(sees="sparse", frames=3), CriticConfig(shrink=2)),
)
_EMBED_MOTION = (CriticConfig(net="embed_motion", shrink=2, width=24), CriticConfig(sees="sparse", frames=3))

_PREDICT = Config(
    method="predict",
    clip=ClipConfig(frames=20, height=64, width=64),
    net=SimVpConfig(),
    learn=LearnConfig(lr=2e-3, beta2=0.999),
    critics=(),
    train=TrainConfig(batch_size=16),
)

_VAE = Config(
    method="vae",
    clip=ClipConfig(frames=16, height=64, width=64),
    net=VaeConfig(),
    kl=KlConfig(beta=1.0, ramp=5_000),
    critics=(),
    train=TrainConfig(batch_size=8),
)
_TRANSLATE = replace(
    _64,
    method="translate",
    net=TranslatorConfig(),
    learn=LearnConfig(loss="l1", weight=100.0, lr=5e-4, beta1=0.5),
    critics=(CriticConfig(patch=True), CriticConfig(sees="sparse", frames=3)),
    train=TrainConfig(batch_size=8),
)
_UPSCALE = Config(
    method="upscale",
    clip=ClipConfig(frames=8, height=128, width=128),
    net=UpscalerConfig(),
    learn=LearnConfig(loss="charbonnier", lr=1.5e-3, decay=60_000, ema=1_000.0),
    upscale=UpscaleConfig(consistency=1.0),
    critics=(),
    train=TrainConfig(batch_size=8, sample_clips=5_000),
)
_UPSCALE_GAN = replace(
    _UPSCALE,
    learn=replace(_UPSCALE.learn, weight=4.0, lr=5e-4, critics_after=20_000),
    upscale=UpscaleConfig(consistency=10.0, stability=3.0),
    gan=GanConfig(critic_lr=5e-4, beta1=0.5, r1=1.0, matching=5.0),
    critics=(
        CriticConfig(sees="frames", frames=1, patch=True, width=24),
        CriticConfig(patch=True, width=16),
    ),
)
_RESNET = tuple(replace(critic, width=32) for critic in _TRANSLATE.critics)

_PRESETS: tuple[tuple[str, str, Config], ...] = (
    (
        "mlp-32",
        "fully connected GAN, 8 frames of 32×32: the baseline",
        replace(
            _32, clip=ClipConfig(frames=8, height=32, width=32), net=MlpConfig(), critics=(CriticConfig(net="mlp"),)
        ),
    ),
    ("conv3d-32", "3D-convolutional GAN, 16 frames of 32×32: quick to train, for a first look", _32),
    ("conv3d-64", "3D-convolutional GAN, 16 frames of 64×64", _64),
    (
        "conv3d-64-long",
        "3D-convolutional GAN, 32 frames of 64×64: the length of the VGAN paper",
        replace(_64, clip=ClipConfig(frames=32, height=64, width=64)),
    ),
    (
        "conv3d-64-streams",
        "3D-convolutional GAN with a moving foreground over a still background (VGAN), 16 frames of 64×64",
        replace(_64, net=Conv3dConfig(width=32, label=16, streams=2)),
    ),
    (
        "conv3d-64-dual",
        "3D-convolutional GAN, a critic of sparse frames and one of the half-size clip (DVD-GAN), 16 frames of 64×64",
        replace(_64, critics=(CriticConfig(sees="sparse", frames=4), CriticConfig(shrink=2))),
    ),
    (
        "recurrent-32",
        "recurrent GAN with a critic of clips and one of sparse frames; videos of any length, 32×32",
        replace(_32, net=_RECURRENT, critics=_CLIP_AND_SPARSE),
    ),
    (
        "recurrent-64",
        "recurrent GAN with a critic of clips and one of sparse frames; videos of any length, 64×64",
        replace(_64, net=_RECURRENT, critics=_CLIP_AND_SPARSE),
    ),
    (
        "recurrent-64-long",
        "recurrent GAN that is trained on 32 frames of 64×64",
        replace(_64, clip=ClipConfig(frames=32, height=64, width=64), net=_RECURRENT, critics=_CLIP_AND_SPARSE),
    ),
    (
        "stream-32",
        "the flagship, small: videos without end, seams or fixed rate, in real time; 32×32",
        replace(_STREAM, clip=ClipConfig(frames=16, height=32, width=32), train=TrainConfig(sample_clips=20_000)),
    ),
    ("stream-64", "the flagship: videos without end, seams or fixed rate, in real time; 64×64", _STREAM),
    (
        "stream-64-shots",
        "the flagship for rigid things that cross the picture, events of 32 frames; 64×64",
        replace(
            _STREAM,
            net=StreamConfig(points=12, groups=3, deform=False, shot=32),
            gan=replace(_STREAM.gan, r1=0.5, r2=0.5),
        ),
    ),
    (
        "stream-128",
        "the flagship at 128×128, wider; a GPU is needed",
        replace(
            _STREAM,
            clip=ClipConfig(frames=16, height=128, width=128),
            net=StreamConfig(width=48, points=24),
        ),
    ),
    (
        "stream-256",
        "the flagship at 256×256, wider still; a GPU is needed",
        replace(
            _STREAM,
            clip=ClipConfig(frames=16, height=256, width=256),
            net=StreamConfig(width=64, points=32, codes=256),
            critics=(CriticConfig(sees="sparse", frames=3), CriticConfig(shrink=4)),
        ),
    ),
    (
        "mocogan-64",
        "recurrent GAN after MoCoGAN: patch critics, no penalty, batches of 3; 64×64",
        replace(
            _64,
            net=RecurrentConfig(width=64, mix="concatenate"),
            critics=(
                CriticConfig(time="valid", patch=True, labels="classify"),
                CriticConfig(sees="frames", frames=3, patch=True),
            ),
            gan=GanConfig(beta1=0.5, beta2=0.999, r1=0.0),
            train=TrainConfig(batch_size=3),
        ),
    ),
    (
        "embed_motion-32",
        "3D-convolutional generator, a critic with an embedding and an optical-flow network; 32×32",
        replace(_32, critics=_EMBED_MOTION),
    ),
    (
        "embed_motion-64",
        "3D-convolutional generator, a critic with an embedding and an optical-flow network; 64×64",
        replace(_64, critics=_EMBED_MOTION),
    ),
    (
        "simvp-64",
        "predictor without recurrence (SimVP): 10 frames of 64×64 from the 10 before them",
        _PREDICT,
    ),
    ("vae-64", "variational autoencoder of causal (2+1)D convolutions, 16 frames of 64×64", _VAE),
    (
        "vae-gan-64",
        "the same with critics of what it reconstructs, and others of what it makes (SAVP), 16 frames of 64×64",
        replace(
            _VAE,
            learn=replace(_VAE.learn, critics_after=10_000),
            gan=GanConfig(critic_lr=3e-4),
            critics=(CriticConfig(weight=0.03), CriticConfig(sees="sparse", frames=3, weight=0.03)),
        ),
    ),
    (
        "vae-latent-64",
        "the same with a GAN that learns the distribution of its codes, 16 frames of 64×64",
        replace(
            _VAE,
            net=VaeConfig(prior="gan"),
            gan=GanConfig(lr=3e-4, critic_lr=3e-4, r1=1.0),
            critics=(CriticConfig(width=128), CriticConfig(net="mlp", width=64)),
        ),
    ),
    (
        "simvp-gan-64",
        "predictor without recurrence that also learns from a critic of clips and one of sparse frames: sharp futures",
        replace(
            _PREDICT,
            # A squared error of 0.03 to 0.1 then counts as much as a few verdicts.
            learn=LearnConfig(lr=1e-3, weight=100.0, critics_after=5_000),
            gan=_64.gan,
            critics=_CLIP_AND_SPARSE,
        ),
    ),
    (
        "convlstm-64",
        "recurrent predictor (ConvLSTM): 10 frames of 64×64 from the 10 before them, and on without end",
        replace(
            _PREDICT,
            net=ConvLstmConfig(surprise=True),
            learn=LearnConfig(lr=1e-3, beta2=0.999, clip_gradient=1.0),
            train=TrainConfig(batch_size=8),
        ),
    ),
    (
        "sprites-64",
        "predictor that finds two things, follows them and moves them on (as DDPAE): 10 frames of 64×64, and on",
        replace(
            _PREDICT,
            net=SpritesConfig(),
            learn=LearnConfig(lr=2e-3, beta2=0.99, clip_gradient=0.1),
            train=TrainConfig(batch_size=32),
        ),
    ),
    (
        "svg-64",
        "stochastic predictor with a learned prior (SVG-LP): one of many futures of 10 frames of 64×64",
        replace(
            _PREDICT,
            learn=LearnConfig(),
            net=SvgConfig(width=16),
            # Published: squared errors in [0, 1] summed over frames + 1e-4 KL. Ours in [-1, 1], mean of 10: 4/10 of it.
            kl=KlConfig(beta=4e-5),
        ),
    ),
    (
        "translate-64",
        "translator of edges into footage: U-Net with patch critics (pix2pix), clips of 64×64",
        _TRANSLATE,
    ),
    (
        "translate-resnet-64",
        "translator of grey into colour: residual blocks at a quarter of the size, clips of 64×64",
        replace(
            _TRANSLATE, net=TranslatorConfig(shape="resnet", width=16), task=TaskConfig(source="grey"), critics=_RESNET
        ),
    ),
    (
        "spade-64",
        "translator of pairs, such as label maps into footage: the source modulates each stage (SPADE), 64×64",
        replace(_TRANSLATE, net=TranslatorConfig(modulate=True), task=TaskConfig(source="pairs")),
    ),
    (
        "upscale-x4",
        "upscaler: videos of any size, four times as high and wide, as near to the truth as can be",
        _UPSCALE,
    ),
    (
        "upscale-x2",
        "upscaler: videos of any size, twice as high and wide, as near to the truth as can be",
        replace(_UPSCALE, net=UpscalerConfig(scale=2), clip=ClipConfig(frames=8, height=96, width=96)),
    ),
    (
        "upscale-x4-fast",
        "the same four times as large with a fifth of the arithmetic, for live video",
        replace(_UPSCALE, net=UpscalerConfig(width=16)),
    ),
    (
        "upscale-x4-gan",
        "upscaler that also learns from critics: four times as high and wide, as sharp as real footage",
        _UPSCALE_GAN,
    ),
    (
        "animate-64",
        "a picture brought to life: videos of any length that begin with a still of 64×64",
        replace(
            _TRANSLATE,
            task=TaskConfig(source="first-frame"),
            learn=replace(_TRANSLATE.learn, weight=10.0),
            critics=_CLIP_AND_SPARSE,
        ),
    ),
)

PRESETS: dict[str, Preset] = {name: Preset(about, replace(config, preset=name)) for name, about, config in _PRESETS}
"""Every preset, by name."""


def preset(name: str, overrides: Mapping[str, Any] | None = None) -> Config:
    """Return a preset, with some knobs changed.

    Args:
        name: a key of PRESETS.
        overrides: dotted knob -> value, such as {"gan.lr": 1e-4}.

    Raises:
        ConfigError: unknown preset or knob, or a value that is not allowed.
    """
    if name not in PRESETS:
        raise ConfigError(f'there is no preset "{name}"', nearest(name, PRESETS))
    return override(PRESETS[name].config, overrides or {})


def override(config: Config, overrides: Mapping[str, Any]) -> Config:
    """Return a configuration with some knobs changed; see `preset`."""
    value = to_json(config)
    if "net.kind" in overrides:  # another generator has knobs of its own
        kinds = {kind.kind: kind for kind in typing.get_args(NetConfig)}
        if overrides["net.kind"] in kinds and overrides["net.kind"] != config.net.kind:
            value["net"] = to_json(kinds[overrides["net.kind"]]())
    for knob, setting in overrides.items():
        *path, last = knob.split(".")
        place: Any = value
        for part in path:
            place = _inside(place, part)
        if _inside(place, last, missing := object()) is missing:
            raise ConfigError(f'there is no knob "{knob}"', nearest(knob, flat(value)))
        place[int(last) if isinstance(place, list) else last] = setting
    return from_json(Config, value)


def _inside(place: Any, part: str, missing: Any = None) -> Any:
    """Return what stands under a name, or a number in a list."""
    if isinstance(place, list):
        return place[int(part)] if part.isdigit() and int(part) < len(place) else missing
    return place.get(part, missing) if isinstance(place, dict) else missing


_TINY: dict[str, dict[str, int]] = {
    "mlp": {"width": 4, "latent": 8, "label": 4},
    "conv3d": {"width": 4, "latent": 8, "label": 4},
    "recurrent": {"width": 4, "content": 8, "motion": 4, "hidden": 4, "label": 4},
    "stream": {"width": 4, "content": 8, "processes": 4, "points": 6, "groups": 2, "codes": 16, "label": 4},
    "vae": {"width": 4, "latent": 4, "noise": 8, "label": 4},
    "simvp": {"width": 4, "hidden": 8, "layers": 1},
    "convlstm": {"width": 4, "layers": 2},
    "sprites": {"width": 4, "side": 8, "features": 8, "motion": 8},
    "svg": {"width": 4, "latent": 2, "code": 8, "hidden": 8},
    "translator": {"width": 4, "blocks": 1, "motion": 4},
    "upscaler": {"width": 8},
}


def tiny(config: Config) -> Config:
    """Return the same configuration with the narrowest networks and two clips a step, for tests."""
    net = dataclasses.replace(config.net, **_TINY[config.net.kind])  # type: ignore[arg-type]
    critics = tuple(dataclasses.replace(critic, width=4) for critic in config.critics)
    train = TrainConfig(batch_size=2, device="cpu", precision="fp32", sample_clips=1_000_000)
    learn = replace(config.learn, critics_after=0)
    return replace(config, net=net, critics=critics, learn=learn, train=train)
