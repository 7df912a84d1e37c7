"""Named, complete configurations: one table, in which each names another and says what differs from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from footage.config import Config, TrainConfig, differences, flat, from_json, to_json
from footage.config.registry import ARCHITECTURES, Registry
from footage.errors import ConfigError, counted, nearest


@dataclass(frozen=True)
class Preset:
    """A named configuration."""

    about: str
    """What it is, in one sentence."""
    config: Config


Sections = dict[str, Any]
"""Sections, or single values, that differ: of a section the knobs, and of critics all of them."""

_FRAMES = {"sees": "sparse", "frames": 3}
_CLIP_AND_FRAMES: Sections = {"critics": [{}, _FRAMES]}
_RECURRENT = {"kind": "recurrent", "width": 32, "hidden": 16, "label": 16}
_EMBED_MOTION: Sections = {"critics": [{"net": "embed_motion", "shrink": 2, "width": 24}, _FRAMES]}

_STILL = {"stretch": False, "flip": False, "colour": False}
"""Volumes are no symmetric pictures, their slices lie where they lie, and their values mean something."""


def _size(side: int, frames: int = 16) -> dict[str, int]:
    return {"frames": frames, "height": side, "width": side}


_TABLE: tuple[tuple[str, str, str, Sections], ...] = (
    (
        "mlp-32",
        "conv3d-32",
        "fully connected GAN, 8 frames of 32×32: the baseline",
        {"clip": _size(32, 8), "net": {"kind": "mlp"}, "critics": [{"net": "mlp"}]},
    ),
    (
        "conv3d-32",
        "conv3d-64",
        "3D-convolutional GAN, 16 frames of 32×32: quick to train, for a first look",
        {"clip": _size(32), "gan": {"lr": 5e-4, "critic_lr": 5e-4, "r1": 0.2}, "train": {"sample_clips": 20_000}},
    ),
    (
        "conv3d-64",
        "",
        "3D-convolutional GAN, 16 frames of 64×64",
        {"net": {"width": 32, "label": 16}, "gan": {"lr": 3e-4, "critic_lr": 3e-4}, **_CLIP_AND_FRAMES},
    ),
    (
        "words-32",
        "conv3d-32",
        "3D-convolutional GAN that is told by captions what to show, 8 frames of 32×32",
        {
            "clip": {"frames": 8},
            "net": {"width": 24},
            "gan": {"burn_in": 60_000},
            "text": {"encoder": "own"},
            "train": {"batch_size": 32},
        },
    ),
    (
        "words-64",
        "conv3d-64",
        "3D-convolutional GAN that is told by captions what to show, 16 frames of 64×64",
        {"text": {"encoder": "own"}},
    ),
    (
        "conv3d-64-long",
        "conv3d-64",
        "3D-convolutional GAN, 32 frames of 64×64: the length of the VGAN paper",
        {"clip": {"frames": 32}},
    ),
    (
        "conv3d-64-streams",
        "conv3d-64",
        "3D-convolutional GAN with a moving foreground over a still background (VGAN), 16 frames of 64×64",
        {"net": {"streams": 2}},
    ),
    (
        "conv3d-64-dual",
        "conv3d-64",
        "3D-convolutional GAN, a critic of sparse frames and one of the half-size clip (DVD-GAN), 16 frames of 64×64",
        {"critics": [{"sees": "sparse", "frames": 4}, {"shrink": 2}]},
    ),
    (
        "recurrent-32",
        "conv3d-32",
        "recurrent GAN with a critic of clips and one of sparse frames; videos of any length, 32×32",
        {"net": _RECURRENT},
    ),
    (
        "recurrent-64",
        "conv3d-64",
        "recurrent GAN with a critic of clips and one of sparse frames; videos of any length, 64×64",
        {"net": _RECURRENT},
    ),
    (
        "recurrent-64-long",
        "recurrent-64",
        "recurrent GAN that is trained on 32 frames of 64×64",
        {"clip": {"frames": 32}},
    ),
    (
        "stream-32",
        "stream-64",
        "the flagship, small: videos without end, seams or fixed rate, in real time; 32×32",
        {"clip": _size(32), "train": {"sample_clips": 20_000}},
    ),
    (
        "stream-64",
        "conv3d-64",
        "the flagship: videos without end, seams or fixed rate, in real time; 64×64",
        {
            "net": {"kind": "stream"},
            "gan": {"loss": "relativistic", "r2": 2.0, "burn_in": 30_000},
            "critics": [_FRAMES, {"shrink": 2}],
        },
    ),
    (
        "stream-64-shots",
        "stream-64",
        "the flagship for rigid things that cross the picture, events of 32 frames; 64×64",
        {"net": {"points": 12, "groups": 3, "deform": False, "shot": 32}, "gan": {"r1": 0.5, "r2": 0.5}},
    ),
    (
        "stream-128",
        "stream-64",
        "the flagship at 128×128, wider; a GPU is needed",
        {"clip": _size(128), "net": {"width": 48, "points": 24}},
    ),
    (
        "stream-256",
        "stream-64",
        "the flagship at 64×64 with a decoder of details behind it: 256×256",
        {
            "method": "cascade",
            "clip": _size(256),
            "net": {"kind": "cascade", "scale": 4},
            # The decoder: absolute error first; then a critic's verdicts, an eighth of them, and means that hold.
            "learn": {
                "loss": "l1",
                "weight": 8.0,
                "lr": 4e-4,
                "beta1": 0.5,
                "decay": 0,
                "clip_gradient": 1.0,
                "critics_after": 10_000,
                "ema": 1_000.0,
            },
            "upscale": {"consistency": 1.0},
        },
    ),
    (
        "stream-512",
        "stream-256",
        "the flagship with a decoder of details, HD from one's own clips: 512×384",
        {"clip": {"height": 384, "width": 512}, "net": {"scale": 8}},
    ),
    (
        "stream-720p",
        "stream-512",
        "the flagship with a decoder of details, HD from one's own clips: 1280×720",
        {"clip": {"height": 720, "width": 1280}},
    ),
    (
        "mocogan-64",
        "conv3d-64",
        "recurrent GAN after MoCoGAN: patch critics, no penalty, batches of 3; 64×64",
        {
            "net": {"kind": "recurrent", "width": 64, "mix": "concatenate"},
            "gan": {"lr": 2e-4, "critic_lr": 2e-4, "beta1": 0.5, "beta2": 0.999, "r1": 0.0},
            "critics": [
                {"time": "valid", "patch": True, "labels": "classify"},
                {"sees": "frames", "frames": 3, "patch": True},
            ],
            "train": {"batch_size": 3},
        },
    ),
    (
        "embed_motion-32",
        "conv3d-32",
        "3D-convolutional generator, a critic with an embedding and an optical-flow network; 32×32",
        _EMBED_MOTION,
    ),
    (
        "embed_motion-64",
        "conv3d-64",
        "3D-convolutional generator, a critic with an embedding and an optical-flow network; 64×64",
        _EMBED_MOTION,
    ),
    (
        "simvp-64",
        "",
        "predictor without recurrence (SimVP): 10 frames of 64×64 from the 10 before them",
        {
            "method": "predict",
            "clip": {"frames": 20},
            "net": {"kind": "simvp"},
            "learn": {"lr": 2e-3, "beta2": 0.999},
            "critics": [],
            "train": {"batch_size": 16},
        },
    ),
    (
        "vae-64",
        "",
        "variational autoencoder of causal (2+1)D convolutions, 16 frames of 64×64",
        {"method": "vae", "net": {"kind": "vae"}, "critics": [], "train": {"batch_size": 8}},
    ),
    (
        "vae-gan-64",
        "vae-64",
        "the same with critics of what it reconstructs, and others of what it makes (SAVP), 16 frames of 64×64",
        {
            "learn": {"critics_after": 10_000},
            "gan": {"critic_lr": 3e-4},
            "critics": [{"weight": 0.03}, {**_FRAMES, "weight": 0.03}],
        },
    ),
    (
        "vae-latent-64",
        "vae-64",
        "the same with a GAN that learns the distribution of its codes, 16 frames of 64×64",
        {
            "net": {"prior": "gan"},
            "gan": {"lr": 3e-4, "critic_lr": 3e-4, "r1": 1.0},
            "critics": [{"width": 128}, {"net": "mlp", "width": 64}],
        },
    ),
    (
        "lens-8",
        "",
        "lens: frames of any size as latent pictures, 8 times as low and narrow, of 16 channels",
        {
            "method": "lens",
            "clip": _size(96, 2),
            "net": {"kind": "lens"},
            "learn": {"loss": "l1", "lr": 6e-4, "decay": 60_000, "clip_gradient": 1.0, "ema": 1_000.0},
            "critics": [],
            "train": {"batch_size": 16},
        },
    ),
    (
        "lens-8-small",
        "lens-8",
        "the same with 8 channels, a little less exact: fewer numbers to generate",
        {"net": {"latent": 8}},
    ),
    (
        "lens-8-gan",
        "lens-8",
        "lens that also learns from a critic of patches: as sharp as real footage",
        {
            "learn": {"weight": 10.0, "critics_after": 20_000},
            "gan": {"critic_lr": 3e-4, "beta1": 0.5, "r1": 1.0, "matching": 5.0},
            "critics": [{"sees": "frames", "frames": 1, "patch": True, "width": 24}],
        },
    ),
    (
        "diffusion-64",
        "",
        "diffusion in pixels (EDM), the baseline for honesty: a clip takes 35 passes; 16 frames of 64×64",
        {
            "method": "diffusion",
            "net": {"kind": "diffusion"},
            "learn": {"warm_up": 200},
            "critics": [],
            "train": {"batch_size": 8},
        },
    ),
    (
        "diffusion-32",
        "diffusion-64",
        "diffusion in pixels (EDM), the baseline for honesty: a clip takes 35 passes; 16 frames of 32×32",
        {"clip": _size(32), "train": {"sample_clips": 20_000}},
    ),
    (
        "simvp-gan-64",
        "simvp-64",
        "predictor without recurrence that also learns from a critic of clips and one of sparse frames: sharp futures",
        {
            # A squared error of 0.03 to 0.1 then counts as much as a few verdicts.
            "learn": {"lr": 1e-3, "beta2": 0.99, "weight": 100.0, "critics_after": 5_000},
            "gan": {"lr": 3e-4, "critic_lr": 3e-4},
            **_CLIP_AND_FRAMES,
        },
    ),
    (
        "convlstm-64",
        "simvp-64",
        "recurrent predictor (ConvLSTM): 10 frames of 64×64 from the 10 before them, and on without end",
        {
            "net": {"kind": "convlstm", "surprise": True},
            "learn": {"lr": 1e-3, "clip_gradient": 1.0},
            "train": {"batch_size": 8},
        },
    ),
    (
        "sprites-64",
        "simvp-64",
        "predictor that finds two things, follows them and moves them on (as DDPAE): 10 frames of 64×64, and on",
        {
            "net": {"kind": "sprites"},
            "learn": {"beta2": 0.99, "clip_gradient": 0.1},
            "train": {"batch_size": 32},
        },
    ),
    (
        "svg-64",
        "simvp-64",
        "stochastic predictor with a learned prior (SVG-LP): one of many futures of 10 frames of 64×64",
        {
            "net": {"kind": "svg", "width": 16},
            "learn": {"lr": 1e-3, "beta2": 0.99},
            # Published: squared errors in [0, 1] summed over frames + 1e-4 KL. Ours in [-1, 1], mean of 10: 4/10 of it.
            "kl": {"beta": 4e-5},
        },
    ),
    (
        "translate-64",
        "conv3d-64",
        "translator of edges into footage: U-Net with patch critics (pix2pix), clips of 64×64",
        {
            "method": "translate",
            "net": {"kind": "translator"},
            "learn": {"loss": "l1", "weight": 100.0, "lr": 5e-4, "beta1": 0.5},
            "critics": [{"patch": True}, _FRAMES],
            "train": {"batch_size": 8},
        },
    ),
    (
        "translate-resnet-64",
        "translate-64",
        "translator of grey into colour: residual blocks at a quarter of the size, clips of 64×64",
        {
            "net": {"shape": "resnet", "width": 16},
            "task": {"source": "grey"},
            "critics": [{"patch": True, "width": 32}, {**_FRAMES, "width": 32}],
        },
    ),
    (
        "spade-64",
        "translate-64",
        "translator of pairs, such as label maps into footage: the source modulates each stage (SPADE), 64×64",
        {"net": {"modulate": True}, "task": {"source": "pairs"}},
    ),
    (
        "upscale-x4",
        "",
        "upscaler: videos of any size, four times as high and wide, as near to the truth as can be",
        {
            "method": "upscale",
            "clip": _size(128, 8),
            "net": {"kind": "upscaler"},
            "learn": {"loss": "charbonnier", "lr": 1.5e-3, "decay": 60_000, "ema": 1_000.0},
            "upscale": {"consistency": 1.0},
            "critics": [],
            "train": {"batch_size": 8, "sample_clips": 5_000},
        },
    ),
    (
        "upscale-x2",
        "upscale-x4",
        "upscaler: videos of any size, twice as high and wide, as near to the truth as can be",
        {"clip": _size(96, 8), "net": {"scale": 2}},
    ),
    (
        "upscale-x4-fast",
        "upscale-x4",
        "the same four times as large with a fifth of the arithmetic, for live video",
        {"net": {"width": 16}},
    ),
    (
        "upscale-x4-gan",
        "upscale-x4",
        "upscaler that also learns from critics: four times as high and wide, as sharp as real footage",
        {
            "learn": {"weight": 4.0, "lr": 5e-4, "critics_after": 20_000},
            "upscale": {"consistency": 10.0, "stability": 3.0},
            "gan": {"critic_lr": 5e-4, "beta1": 0.5, "r1": 1.0, "matching": 5.0},
            "critics": [
                {"sees": "frames", "frames": 1, "patch": True, "width": 24},
                {"patch": True, "width": 16},
            ],
        },
    ),
    (
        "talk-64",
        "",
        "a figure that speaks: a still and sound become a video of any length, faces and puppets alike; 64×64",
        {
            "method": "talk",
            "clip": {"frames": 5},
            "net": {"kind": "figure", "mouth": 32},
            "learn": {"lr": 2e-3, "beta2": 0.99, "decay": 24_000, "clip_gradient": 1.0, "ema": 300.0},
            "kl": {"beta": 2e-5, "ramp": 0},
            "talk": {"weight": 1.0},
            "critics": [],
            "train": {"batch_size": 6},
        },
    ),
    (
        "talk-256",
        "talk-64",
        "a figure that speaks at 256×256: moved at 64×64, with a decoder of details behind it",
        {"clip": {"height": 256, "width": 256}, "net": {"scale": 4, "mouth": 64}},
    ),
    (
        "volume-32",
        "conv3d-32",
        "volumes, such as CT: 3D-convolutional GAN, 32 slices of 32×32; never for diagnosis",
        {"clip": {**_size(32, 32), "channels": 1}, "critics": [{}], "augment": _STILL},
    ),
    (
        "volume-64",
        "volume-32",
        "volumes, such as CT: 3D-convolutional GAN, 64 slices of 64×64; a GPU is better; never for diagnosis",
        {"clip": _size(64, 64), "gan": {"lr": 3e-4, "critic_lr": 3e-4, "r1": 2.0}, "net": {"width": 24}},
    ),
    (
        "volume-128",
        "volume-64",
        "volumes of 128 slices of 128×128: critics of the whole at half resolution and of random slabs (HA-GAN); a GPU",
        {
            "clip": _size(128, 128),
            "net": {"width": 16},
            "critics": [{"shrink": 2, "shrink_time": 2}, {"sees": "slab", "frames": 16}],
            "train": {"sample_clips": 5_000},
        },
    ),
    (
        "volume-vae-32",
        "vae-64",
        "variational autoencoder of volumes, 32 slices of 32×32; never for diagnosis",
        {"clip": {**_size(32, 32), "channels": 1}},
    ),
    (
        "volume-slices-32",
        "translate-64",
        "translator of volumes of thick slices into thin ones (super-resolution along the slice axis), 32×32",
        {
            "clip": {**_size(32, 32), "channels": 1},
            "net": {"residual": True},
            "task": {"source": "slices"},
            "learn": {"weight": 1.0},
            "critics": [],
        },
    ),
    (
        "animate-64",
        "translate-64",
        "a picture brought to life: videos of any length that begin with a still of 64×64",
        {"task": {"source": "first-frame"}, "learn": {"weight": 10.0}, **_CLIP_AND_FRAMES},
    ),
)
"""Name, the preset that it differs from (none: the defaults), what it is in one sentence, and how it differs."""


def build_config(name: str) -> Preset:
    """Make the configuration of a row of the table."""
    _, base, about, sections = next(row for row in _TABLE if row[0] == name)
    values = to_json(PRESETS[base].config if base else Config()) | {"preset": name}
    for section, setting in sections.items():
        if not isinstance(setting, dict):
            values[section] = setting
            continue
        kind = setting.get("kind")
        if kind and kind != values[section]["kind"]:  # another network has knobs of its own
            values[section] = to_json(ARCHITECTURES[kind]())
        values[section] |= setting
    return Preset(about, from_json(Config, values, name))


PRESETS: Registry[Preset] = Registry({name: name for name, *_ in _TABLE}, build_config)
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
    kind = overrides.get("net.kind", config.net.kind)
    if kind != config.net.kind and kind in ARCHITECTURES:  # another network has knobs of its own
        value["net"] = to_json(ARCHITECTURES[kind]())
    for knob, setting in overrides.items():
        *path, last = knob.split(".")
        place: Any = value
        for part in path:
            place = _inside(place, part)
        if _inside(place, last, missing := object()) is missing:
            raise ConfigError(f'there is no knob "{knob}"', nearest(knob, flat(value)))
        place[int(last) if isinstance(place, list) else last] = setting
    return from_json(Config, value)


FIRST_PRESETS = ("stream-64", "stream-32")
"""Presets to begin with."""
VOLUMES = ("volume-32", "volume-64", "volume-128")
"""Those for volumes, the smallest first."""
CASCADES = ("stream-256", "stream-512", "stream-720p")
"""Those for larger frames."""
PLAIN = 128
"""Longest side of frames, in pixels, up to which one network makes them."""
SMALL_PIXELS = 2048
"""Pixels of the small pictures of a cascade, at least: between this and four times as many, those of 64×64 lie."""
LEAST_CROP = 32
"""Crops of real frames are as many pixels high and wide, or a multiple."""


def suited_preset(height: int, width: int, channels: int, longest: int | None = None) -> tuple[Config, str]:
    """Return the configuration that suits clips, and why, in words.

    It is of the preset of that size, where there is one. Frames of more than `PLAIN` pixels along a side are made by a
    cascade, whose small pictures are as small as leaves `SMALL_PIXELS`.

    Args:
        height: of the frames, in pixels.
        width: likewise.
        channels: 1 for grey, 3 for RGB.
        longest: frames of the longest clip; None where that is not known.
    """
    values: dict[str, int] = {"clip.height": height, "clip.width": width, "clip.channels": channels}
    reason, scale = "", 1
    if max(height, width) > PLAIN and min(height, width) >= LEAST_CROP:
        scale = next((s for s in (8, 4) if height * width >= SMALL_PIXELS * s * s), 2)
        # Where that does not divide both sides, what does, if anything.
        scale = next((s for s in (8, 4, 2) if s <= scale and height % s == width % s == 0), scale)
        crop = min(128, min(height, width) // LEAST_CROP * LEAST_CROP)
        values |= {"net.scale": scale, "net.detail_crop": crop}
        reason = (
            f": small pictures of {width // scale}×{height // scale} and a decoder that draws {scale} times as large"
        )
    configs = [PRESETS[name].config for name in (CASCADES if scale > 1 else FIRST_PRESETS)]
    exact = [c for c in configs if (c.clip.height, c.clip.width) == (height, width)]
    scaled = [c for c in configs if getattr(c.net, "scale", 1) == scale > 1]
    config = [*exact, *scaled, configs[0]][0]
    if longest is not None and longest < config.clip.frames:
        values["clip.frames"] = max(2, 1 << (longest.bit_length() - 1))
        reason += f"; the longest clip has {counted(longest, 'frame')}"
    return override(config, values), f"{config.preset}, which suits frames of {width}×{height}{reason}"


def suited_volume_preset(height: int, width: int, deepest: int | None = None) -> tuple[Config, str]:
    """Return the configuration that suits volumes, and why, in words: the largest that is no larger than they are.

    Args:
        height: of the slices, in voxels.
        width: likewise.
        deepest: slices of the deepest volume; None where that is not known.
    """
    configs = [PRESETS[name].config for name in VOLUMES]
    config = next((c for c in reversed(configs) if c.clip.height <= min(height, width)), configs[0])
    values = {"clip.height": height, "clip.width": width}
    reason = f"{config.preset}, which suits volumes of slices of {width}×{height}"
    if deepest is not None and deepest < config.clip.frames:
        values["clip.frames"] = max(2, 1 << (deepest.bit_length() - 1))
        reason += f"; the deepest has {deepest}"
    return override(config, values), reason


def options(config: Config) -> str:
    """Return the options of the command line that make this of its preset."""
    changed = {knob: value for knob, (_, value) in differences(PRESETS[config.preset].config, config).items()}
    return " ".join([f"--preset {config.preset}", *knob_words(changed)])


def knob_words(knobs: Mapping[str, Any]) -> list[str]:
    """Return the words of a command line that give knobs, by their dotted names, these values."""
    words = []
    for knob, value in knobs.items():
        section, _, last = knob.replace("_", "-").rpartition(".")
        prefix = f"--{section}." if section else "--"
        words.append(f"{prefix}no-{last}" if value is False else f"{prefix}{last}")
        words += [] if isinstance(value, bool) else [str(value)]
    return words


def _inside(place: Any, part: str, missing: Any = None) -> Any:
    """Return what stands under a name, or a number in a list."""
    if isinstance(place, list):
        return place[int(part)] if part.isdecimal() and int(part) < len(place) else missing
    return place.get(part, missing) if isinstance(place, dict) else missing


def tiny(config: Config) -> Config:
    """Return the same configuration with the narrowest networks and two clips a step, for tests."""
    net = dataclasses.replace(config.net, **config.net.tiny)  # type: ignore[type-var]
    critics = tuple(replace(critic, width=4) for critic in config.critics)
    train = TrainConfig(batch_size=2, device="cpu", precision="fp32", sample_clips=1_000_000)
    learn = replace(config.learn, critics_after=0)
    return replace(config, net=net, critics=critics, learn=learn, train=train)
