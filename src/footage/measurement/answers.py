"""What a model makes of clips that it is given, beside the truth, as figures and curves over the horizon."""

from __future__ import annotations

from typing import Any

from footage.data.clips import ClipSource, Span
from footage.fidelity import measure_fidelity
from footage.figures import Better, Curve, Figure, Line
from footage.model import Model

WORDS: dict[str, tuple[str, Better]] = {
    "mse": ("squared error, summed over a frame", "lower"),
    "mae": ("absolute error, summed over a frame", "lower"),
    "psnr": ("PSNR, dB", "higher"),
    "ssim": ("SSIM", "higher"),
}
"""Figures of single frames: name -> label and best value."""


def fidelity(
    model: Model, source: ClipSource, spans: list[Span], *, count: int, samples: int, seed: int
) -> tuple[list[Figure], list[Curve]]:
    """Measure predictions, translations or reconstructions beside the truth; see `footage.fidelity.measure_fidelity`.

    `plain` of a figure is that of the plainest answer there is; of several tries the best one has a figure of its own.
    """
    found = measure_fidelity(model, source, spans, count=count, samples=samples, seed=seed)
    figures, clips = [], (found["clips"], found["clips"])
    for name, (label, better) in WORDS.items():
        plain = found["plain"][name] if "plain" in found else None
        figures.append(_figure(name, label, found["model"][name], better, clips, seed, plain))
        if "best" in found:
            label = f"{label}, best of {found['samples']}"
            figures.append(_figure(f"best_{name}", label, found["best"][name], better, clips, seed, None))
    curves = [_curve(found, name, label, clips) for name, (label, _) in WORDS.items()]
    return figures, curves


def _figure(
    name: str, label: str, value: float, better: Better, clips: tuple[int, int], seed: int, plain: float | None
) -> Figure:
    return Figure(
        metric="fidelity",
        name=name,
        label=label,
        value=value,
        better=better,
        tier="D",
        networks=(),
        by_network=(),
        interval=None,
        floor=None,
        clips=clips,
        seeds=(seed,),
        repeats=(value,),
        plain=plain,
    )


def _curve(found: dict[str, Any], name: str, label: str, clips: tuple[int, int]) -> Curve:
    lines = [Line("made", tuple(found["by_frame"][name]))]
    if "plain_by_frame" in found:
        lines.append(Line("plain", tuple(found["plain_by_frame"][name])))
    x = tuple(float(number) for number in range(1, found["frames"] + 1))
    return Curve("fidelity", name, label, "frame", "", x, tuple(lines), "D", clips)
