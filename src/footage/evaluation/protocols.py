"""How an evaluation is done: counts, lengths and choices that make a figure comparable with another one."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from footage.errors import ConfigError, nearest

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
    """Where it comes from."""
    clips: int
    """Clips on each side, at most."""
    frames: int | None
    """Frames of a window; None for the model's own length, else 16."""
    stride: int = 1
    """Every which frame of a clip is taken."""
    start: Start = "random"
    """Where in a clip a window begins."""
    windows: Windows = "one"
    """How many windows a clip gives."""
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
    """Width of the frames in pixels."""

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
"""Every protocol, by name."""


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
