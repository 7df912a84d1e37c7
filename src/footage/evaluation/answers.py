"""What a model makes of clips that it is given, beside the truth, as figures and curves over the horizon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from footage.data.clips import ClipSource, Span
from footage.evaluation.features.lpips import Perceptual
from footage.evaluation.fidelity import measure_fidelity
from footage.evaluation.results import Better, Curve, Figure, Line, Tier
from footage.generation.model import Model


@dataclass(frozen=True)
class Kind:
    """A figure of single frames."""

    name: str
    """An identifier."""
    label: str
    """What it is printed as."""
    better: Better
    """Which value is best."""
    tier: Tier = "D"
    """As in `footage.evaluation.results.Figure`."""
    networks: tuple[str, ...] = ()
    """Name of the network; empty for none."""
    note: str = ""
    """What else must be known."""


KINDS = (
    Kind("mse", "squared error, summed over a frame", "lower"),
    Kind("mae", "absolute error, summed over a frame", "lower"),
    Kind("psnr", "PSNR, dB", "higher"),
    Kind("ssim", "SSIM", "higher"),
)
"""Figures that need no network."""
LPIPS = {"lpips-alex": ("lpips", "LPIPS (AlexNet)"), "lpips-vgg": ("lpips_vgg", "LPIPS (VGG-16)")}
"""Figures of networks that compare pairs of frames: the network's name -> the figure's name and label."""


def fidelity(
    model: Model,
    source: ClipSource,
    spans: list[Span],
    *,
    count: int,
    samples: int,
    seed: int,
    nets: Sequence[Perceptual] = (),
) -> tuple[list[Figure], list[Curve]]:
    """Measure predictions, translations or reconstructions beside the truth.

    See `footage.evaluation.fidelity.measure_fidelity`.

    `plain` of a figure is that of the plainest answer there is; of several tries the best one has a figure of its own.

    Raises:
        ConfigError: the frames are too small for one of the networks `nets`.
    """
    kinds = list(KINDS)
    for net in nets:
        name, label = LPIPS[net.about.name]
        notes = [text for text in (net.about.note, net.caution(*source.shape[:2])) if text]
        kinds.append(Kind(name, label, "lower", "A", (net.about.name,), "; ".join(notes)))
    more = {LPIPS[net.about.name][0]: net for net in nets}
    found = measure_fidelity(model, source, spans, count=count, samples=samples, seed=seed, more=more)
    figures, clips = [], (found["clips"], found["clips"])
    for kind in kinds:
        plain = found["plain"][kind.name] if "plain" in found else None
        figures.append(_figure(kind, kind.name, kind.label, found["model"][kind.name], clips, seed, plain))
        if "best" in found:
            name, label = f"best_{kind.name}", f"{kind.label}, best of {found['samples']}"
            figures.append(_figure(kind, name, label, found["best"][kind.name], clips, seed, None))
    return figures, [_curve(found, kind, clips) for kind in kinds]


def _figure(
    kind: Kind, name: str, label: str, value: float, clips: tuple[int, int], seed: int, plain: float | None
) -> Figure:
    return Figure(
        metric="fidelity",
        name=name,
        label=label,
        value=value,
        better=kind.better,
        tier=kind.tier,
        networks=kind.networks,
        by_network=(value,) if kind.networks else (),
        interval=None,
        floor=None,
        clips=clips,
        seeds=(seed,),
        repeats=(value,),
        plain=plain,
        note=kind.note,
    )


def _curve(found: dict[str, Any], kind: Kind, clips: tuple[int, int]) -> Curve:
    lines = [Line("made", tuple(found["by_frame"][kind.name]))]
    if "plain_by_frame" in found:
        lines.append(Line("plain", tuple(found["plain_by_frame"][kind.name])))
    x = tuple(float(number) for number in range(1, found["frames"] + 1))
    return Curve("fidelity", kind.name, kind.label, "frame", "", x, tuple(lines), kind.tier, clips)
