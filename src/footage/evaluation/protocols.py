"""How an evaluation is done: protocols, which make figures comparable, and everything that can be asked of one."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from footage.errors import ConfigError, nearest
from footage.media.geometry import Fit
from footage.models.requests import DeviceName

Start = Literal["random", "first", "middle"]
"""Where in a clip a window begins."""
Windows = Literal["one", "stretches"]
"""`one`: a window a clip; `stretches`: every stretch of the window's length counts, long clips for more."""


@dataclass(frozen=True)
class Protocol:
    """What is compared with what, in full: the same protocol and seed give the same clips."""

    name: str
    """One of PROTOCOLS, with `, changed` behind it where a flag overrules it."""
    source: str
    clips: int
    """Clips on each side, at most."""
    frames: int | None
    """Frames of a window; None for the model's own length, else 16."""
    stride: int = 1
    start: Start = "random"
    windows: Windows = "one"
    flip: bool = False
    """Whether mirrored clips are added. No protocol does."""
    repeats: int = 1
    """How often all is drawn anew; a figure is the mean."""
    metrics: tuple[str, ...] = ()
    """What it measures where nothing else is asked for; empty for everything that can be."""
    fps: float | None = None
    """Frames a second; None for those of the clips."""
    height: int | None = None
    """Height of the frames in pixels; None for the model's, or the clips' own."""
    width: int | None = None

    def __post_init__(self) -> None:
        for field, least in (("clips", 2), ("frames", 2), ("stride", 1), ("repeats", 1), ("height", 8), ("width", 8)):
            value = getattr(self, field)
            if value is not None and value < least:
                raise ConfigError(f"{field} is {value}", f"give at least {least}")
        if self.fps is not None and not 0 < self.fps < 1000:
            raise ConfigError(f"fps is {self.fps:g}", "give a number above 0, such as 25")

    @property
    def span(self) -> int:
        """Frames of a clip that a window reaches over. The protocol's frames must be known."""
        assert self.frames is not None, "the number of frames is not known yet"
        return (self.frames - 1) * self.stride + 1


_STYLEGAN_V = "Skorokhodov et al. 2022 (StyleGAN-V), section 4 and its code"
PROTOCOLS: dict[str, Protocol] = {
    entry.name: entry
    for entry in (
        Protocol("footage", "footage's own: quick, every stretch of real clips", 256, None, windows="stretches"),
        Protocol("styleganv-fvd16", _STYLEGAN_V, 2048, 16, repeats=10, metrics=("fvd",)),
        Protocol("styleganv-fvd128", _STYLEGAN_V, 2048, 128, repeats=10, metrics=("fvd",)),
        Protocol("styleganv-fvd128-subsample8", _STYLEGAN_V, 2048, 16, stride=8, repeats=10, metrics=("fvd",)),
        Protocol("is-2048", "Saito et al. 2020 (TGANv2), with 2,048 clips", 2048, 16, metrics=("is",)),
        Protocol("is-10000", "Saito et al. 2017 (TGAN), with 10,000 clips", 10_000, 16, metrics=("is",)),
        Protocol("fid-50k", "Heusel et al. 2017, 3,125 clips × 16 frames", 3125, 16, metrics=("fid",)),
    )
}


def protocol(name: str, **changes: object) -> Protocol:
    """Return a protocol, with what is not None in `changes` in place of its own values.

    Raises:
        ConfigError: there is no such protocol, or a value is out of range.
    """
    if name not in PROTOCOLS:
        raise ConfigError(f'there is no protocol "{name}"', nearest(name, PROTOCOLS))
    known = {field.name: getattr(PROTOCOLS[name], field.name) for field in fields(Protocol)}
    given = {key: value for key, value in changes.items() if value is not None and value != known[key]}
    if set(given) - {"metrics", "repeats"} and name != "footage":
        given["name"] = f"{name}, changed"
    return Protocol(**{**known, **given})


NO_CACHE = "none"
"""The name of a cache folder that stands for keeping nothing."""


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """Everything that can be asked of an evaluation, beside the two things that are compared.

    The flags of `footage evaluate`, its arguments in Python and their help texts are these fields.
    """

    metrics: str | None = None
    """families of figures with commas between them: fvd, kvd, fid, kid, is, prdc, accuracy, motion, pictures,
    diversity, fidelity, sync, beats, memorisation, windows, text, volumes; left out, all that can be measured but
    beats, windows and text."""
    protocol: str = "footage"
    """footage, styleganv-fvd16, styleganv-fvd128, styleganv-fvd128-subsample8, is-2048, is-10000 or fid-50k."""
    clips: int | None = None
    """clips on each side, instead of the protocol's number."""
    frames: int | None = None
    """their length; left out, the protocol's, else the model's, else 16."""
    fps: float | None = None
    """their rate; left out, their own."""
    size: str | None = None
    """their size, such as 64x64; left out, the model's, else their own."""
    fit: Fit = "crop"
    """how frames of another shape are fitted in."""
    repeats: int | None = None
    """how often all is drawn anew."""
    samples: int = 1
    """futures, or translations, of each clip, where a model knows more than one."""
    split: Literal["heldout", "train", "all"] | None = None
    """clips that were held out, those that were trained on, or all; left out, the training clips beside what
    generates, held-out clips for what is given clips, else all."""
    windows: int = 0
    """windows of long videos to follow over time."""
    networks: str | None = None
    """names of feature networks with commas between them: random, learned, lite0 and transnet (pretrained: the extra
    `features`), or official ones; left out, those that there are weights of, else random ones."""
    weights: Path | None = None
    """the file of an official network, or a folder with those of several; with those of LPIPS, answers are compared
    with the truth by it too."""
    evaluator: Path | None = None
    """the file of a network that `footage evaluator train` made."""
    resamples: int = 100
    """how often clips are drawn anew for confidence intervals; 0 for none."""
    guide: str | None = None
    """the data set that a translator between two was given."""
    seed: int = 0
    """of the choice of windows, and of everything random."""
    cache: Path | None = None
    """folder for features, so that they are computed once; `none` to keep nothing. Left out, the user's cache."""
    device: DeviceName = "auto"
    """where to compute."""

    def __post_init__(self) -> None:
        """Refuse numbers that are out of range, and protocols that do not exist."""
        if self.clips is not None and self.clips < 2:
            raise ConfigError(f"clips is {self.clips}", "give at least 2; a few hundred for figures worth reading")
        for name, least in (("seed", 0), ("resamples", 0), ("samples", 1), ("windows", 0)):
            value = getattr(self, name)
            if value < least:
                raise ConfigError(f"{name} is {value}", f"give at least {least}")
        self.full_protocol()

    def full_protocol(self) -> Protocol:
        """Return the protocol, with what was asked for in place of its own values.

        Raises:
            ConfigError: there is no such protocol, or a value is out of range.
        """
        height = width = None
        if self.size is not None:
            matched = re.fullmatch(r"(\d+)[x×](\d+)", self.size.strip())
            if matched is None:
                raise ConfigError(f'size is "{self.size}"', "give width and height, such as 64x64")
            width, height = (int(part) for part in matched.groups())
        changes = {name: getattr(self, name) for name in ("clips", "frames", "fps", "repeats")}
        return protocol(self.protocol, height=height, width=width, **changes)

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The metrics that were named; empty for all that can be measured."""
        return _names(self.metrics)

    @property
    def network_names(self) -> tuple[str, ...]:
        """The feature networks that were named; empty for those that there are."""
        return _names(self.networks)

    @property
    def cache_folder(self) -> Path | None:
        """Where features are kept: the folder that was given, else the user's; None for nowhere."""
        if self.cache is not None:
            return None if str(self.cache) == NO_CACHE else Path(self.cache)
        base = os.environ.get("XDG_CACHE_HOME", "")
        return (Path(base) if base else Path.home() / ".cache") / "footage" / "features"


def _names(text: str | None) -> tuple[str, ...]:
    return tuple((text or "").replace(",", " ").split())
