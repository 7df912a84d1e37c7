"""What the form of a training is filled with: presets, what suits first; knobs with their help; settings of a run.

It knows no torch, and nothing of pages: texts are those of the configuration, which pages show in their language.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from footage.config import Config, differences, flat, to_json
from footage.config.presets import PRESETS, override, suited_preset
from footage.config.registry import ADVERSARIAL
from footage.config.strict import field_texts
from footage.errors import ConfigError
from footage.training.run_folder import DataNote

HIDDEN = (
    *("preset", "method", "net.kind", "train.device", "clip.channels", "task.source_channels"),
    *("text.size", "text.digest", "text.hash"),
)
"""Knobs that a form does not show: they have a place of their own, or are found when training begins."""
FAMILIES = {
    "gan": "clip",
    "cascade": "cascade",
    "vae": "vae",
    "lens": "lens",
    "diffusion": "diffusion",
    "predict": "predict",
    "translate": "translate",
    "talk": "animate",
    "upscale": "upscale",
}
"""What models do, by their method; each has a picture in static/families.svg."""


def family(config: Config) -> str:
    """Return what a model of a configuration does, as one of the pictures: of generators by how they treat time."""
    if config.method == "gan" and config.net.kind in ("stream", "recurrent"):
        return config.net.kind
    if config.method == "translate" and config.task.source == "first-frame":
        return "animate"
    return FAMILIES.get(config.method, "clip")


@dataclass(frozen=True)
class PresetChoice:
    """A preset, as it is chosen."""

    name: str
    about: str
    """What it is, in one sentence."""
    family: str
    """Its picture, see `family`."""
    method: str
    """A key of `footage.config.registry.USES`, which says what its models are good for."""
    height: int
    width: int
    frames: int
    crops: bool
    """Whether it is trained on crops, whatever the size of the clips."""
    guided: bool
    """Whether it needs a second data set, that it translates from."""
    suits: bool
    """Whether it takes clips of the data's size as it is."""


def preset_choices(height: int = 64, width: int = 64, channels: int = 3) -> list[PresetChoice]:
    """Return all presets, the one that suits clips of this size first, then the others made for such a size.

    Args:
        height: of the clips, in pixels.
        width: likewise.
        channels: 1 for grey, 3 for RGB.
    """
    best = suited_preset(height, width, channels)[0].preset
    found = []
    for name, entry in ((name, PRESETS[name]) for name in PRESETS):
        config = entry.config
        found.append(
            PresetChoice(
                name=name,
                about=entry.about,
                family=family(config),
                method=config.method,
                height=config.clip.height,
                width=config.clip.width,
                frames=config.clip.frames,
                crops=config.net.crops,
                guided=config.method == "translate" and config.task.source == "pairs",
                suits=name == best or config.net.crops or (config.clip.height, config.clip.width) == (height, width),
            )
        )
    baselines = ("mlp", "diffusion")
    return sorted(found, key=lambda choice: (choice.name != best, not choice.suits, choice.name.startswith(baselines)))


KnobValue = bool | int | float | str | None


@dataclass(frozen=True)
class Knob:
    """A value of a configuration that a form can change."""

    name: str
    """Its dotted name, such as `gan.lr`."""
    section: str
    """All but the last part of it."""
    help: str
    """What it is."""
    value: KnobValue
    """The configuration's."""
    kind: Literal["switch", "choice", "number", "text"]
    choices: tuple[str, ...] = ()
    """The values that there are, for a choice."""


def used_sections(config: Config) -> tuple[str, ...]:
    """Return the sections of a configuration that its method reads, those first that are changed most."""
    method, adversarial = config.method, bool(config.critics)
    used = {
        "train": True,
        "gan": adversarial,
        "learn": method != "gan",
        "net": True,
        "clip": True,
        "text": config.net.takes_text,
        "task": method in ("predict", "translate"),
        "talk": method == "talk",
        "upscale": method in ("upscale", "cascade"),
        "kl": method in ("vae", "talk") or config.net.kind == "svg",
        "augment": adversarial and method in ADVERSARIAL,
        "critics": adversarial,
    }
    return tuple(name for name, shown in used.items() if shown)


@functools.cache
def texts_and_types(kind: type) -> tuple[Mapping[str, str], Mapping[str, Any]]:
    """Return what the fields of a section mean, and their types."""
    return field_texts(kind), typing.get_type_hints(kind)


def knobs(config: Config) -> list[Knob]:
    """Return the knobs of a configuration that mean something to its method."""
    return [
        knob
        for section in used_sections(config)
        for knob in _knobs(getattr(config, section), section)
        if knob.name not in HIDDEN
    ]


def _knobs(section: Any, prefix: str) -> Iterator[Knob]:
    """Yield the knobs of a section, and of those within it."""
    if isinstance(section, tuple):
        for number, part in enumerate(section):
            yield from _knobs(part, f"{prefix}.{number}")
        return
    texts, types = texts_and_types(type(section))  # type: ignore[arg-type]  # a class has a hash
    for field in dataclasses.fields(section):
        value, name = getattr(section, field.name), f"{prefix}.{field.name}"
        if dataclasses.is_dataclass(value):
            yield from _knobs(value, name)
            continue
        hint = types[field.name]
        choices = tuple(map(str, typing.get_args(hint))) if typing.get_origin(hint) is Literal else ()
        kind: Literal["switch", "choice", "number", "text"] = "number" if value is None else "text"
        if isinstance(value, bool):
            kind = "switch"
        elif choices:
            kind = "choice"
        elif isinstance(value, int | float):
            kind = "number"
        yield Knob(name, prefix, texts.get(field.name, ""), value, kind, choices)


@dataclass(frozen=True)
class RunSettings:
    """What a run was asked for, as a form is filled with it."""

    data: str
    """Absolute path of its data set, or the name of a built-in one."""
    preset: str
    knobs: Mapping[str, bool | int | float | str]
    """What differs from the preset."""
    kept_back: tuple[str, ...]
    """What differs too, and cannot be said as single knobs: critics that were added, for instance."""
    guide: str | None
    """Absolute path of the data set that it translates from."""
    config: Config


def run_settings(name: str, stored: tuple[Config, DataNote] | None) -> RunSettings:
    """Return what a run was asked for, of what the catalog has read of it.

    Raises:
        ConfigError: it cannot be read, or its preset is not known here.
    """
    if stored is None:
        raise ConfigError(f'"{name}" is damaged', "see the list of runs")
    config, note = stored
    if config.preset not in PRESETS:
        raise ConfigError(f'the preset "{config.preset}" is not known here', "begin with another one")
    base = PRESETS[config.preset].config
    changed = {name: new for name, (_, new) in differences(base, config).items() if name not in HIDDEN}
    same_net = config.net.kind == base.net.kind
    known = flat(to_json(base if same_net else override(base, {"net.kind": config.net.kind})))
    given = {name: value for name, value in changed.items() if value is not None and name in known}
    if not same_net:
        given = {"net.kind": config.net.kind, **given}
    kept_back = tuple(name for name in changed if name not in given)
    return RunSettings(note.data, config.preset, given, kept_back, note.guide, config)
