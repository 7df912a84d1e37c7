"""How near a model's clips are to what really was: predictions, translations and reconstructions beside the truth.

Beside every figure stands that of the plainest answer there is: the last frame that was given, again and again; or the
source itself. Of a model that knows many futures, both the mean over them and the best of each clip are given
(Denton and Fergus 2018, section 4): the best alone grows with the number of tries.

What a model makes of clips that it is given, beside the truth, as figures and curves over the horizon.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from footage.data.clips import ClipSource, Span
from footage.evaluation.features.lpips import Perceptual
from footage.evaluation.results import Better, Curve, Figure, Line, Tier
from footage.evaluation.statistics import ClipStatistics, compare, feature_nets, real_windows
from footage.generation.model import Model
from footage.generation.rollout import from_uint8, to_uint8
from footage.metrics.image_quality import absolute_errors, psnr, squared_errors, ssim
from footage.models.base import Converts, Predicts

Measure = Callable[[Tensor, Tensor], Tensor]
"""Clips (B, C, T, H, W) and the truth -> a figure of each frame, (B, T)."""
FIGURES: Mapping[str, Measure] = {"mse": squared_errors, "mae": absolute_errors, "psnr": psnr, "ssim": ssim}
"""Figures of frames that need no network, by name."""
MOVING = ("rfd", "sharpness_ratio", "motion_ratio", "diversity_ratio")
"""Figures of whole clips; None where what is made has one frame only, which does not move."""
LESS_IS_BETTER = ("mse", "mae", "lpips", "lpips_vgg")
"""Figures whose best value is the least."""


class FrameMeans:
    """Means of figures over clips, frame by frame."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}  # (T,) each
        self.count = 0

    def add(self, figures: Mapping[str, Tensor]) -> None:
        """Take in figures (B, T) of some clips."""
        for name, value in figures.items():
            self.sums[name] = self.sums.get(name, torch.zeros(value.shape[1], dtype=torch.float64)) + value.sum(dim=0)
        self.count += len(next(iter(figures.values())))

    def by_frame(self) -> dict[str, list[float]]:
        """Return the means of each frame."""
        return {name: (total / self.count).tolist() for name, total in self.sums.items()}

    def means(self) -> dict[str, float]:
        """Return the means over clips and frames."""
        return {name: float(total.mean()) / self.count for name, total in self.sums.items()}


def frame_figures(made: Tensor, real: Tensor, more: Mapping[str, Measure] | None = None) -> dict[str, Tensor]:
    """Return all figures of made clips, (B, T) each: those of FIGURES, and more, by name."""
    return {name: measure(made, real) for name, measure in {**FIGURES, **(more or {})}.items()}


def best(tries: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return for each clip and figure those of its best try, by the mean over its frames: N x (B, T) -> (B, T)."""
    found = {}
    for name in tries[0]:
        values = torch.stack([figures[name] for figures in tries])  # N B T
        order = values.mean(dim=2)
        chosen = order.argmin(dim=0) if name in LESS_IS_BETTER else order.argmax(dim=0)
        found[name] = values[chosen, torch.arange(values.shape[1])]
    return found


def follow(model: Model, past: Tensor, frames: int, seeds: range) -> Tensor:
    """Predict `frames` frames that follow each past, (B, C, P, H, W) -> (B, C, frames, H, W) on the CPU."""
    sampler = model.sampler
    assert isinstance(sampler, Predicts)
    made: list[Tensor] = []
    for chunk in sampler.futures(past, seeds):
        made.append(chunk.cpu())
        if sum(part.shape[2] for part in made) >= frames:
            break
    return torch.cat(made, dim=2)[:, :, :frames]


def convert(model: Model, sources: Tensor, frames: int, seed: int) -> Tensor:
    """Convert sources (B, C, T, H, W), each by itself, into clips (B, C, frames, H, W) on the CPU."""
    sampler = model.sampler
    assert isinstance(sampler, Converts)
    rows = []
    for number, row in enumerate(sources):
        made: list[Tensor] = []
        for chunk in sampler.convert([row.unsqueeze(0)], seed + number):
            made.append(chunk.cpu())
            if sum(part.shape[2] for part in made) >= frames:
                break
        rows.append(torch.cat(made, dim=2)[:, :, :frames])
    return torch.cat(rows)


def plain_answer(sources: Tensor, real: Tensor) -> Tensor:
    """Return the source as an answer: channels are repeated, a picture stands still, a small one is enlarged."""
    if sources.shape[3:] != real.shape[3:]:
        size = real.shape[3:]
        rows = [interpolate(row.transpose(0, 1), size, mode="bicubic", antialias=True) for row in sources]
        sources = torch.stack(rows).transpose(1, 2).clamp(-1, 1)  # B C T H W
    picture = sources if sources.shape[1] == real.shape[1] else sources.mean(dim=1, keepdim=True)
    return picture.expand_as(real) if picture.shape[2] in (1, real.shape[2]) else picture


def attempts(model: Model, whole: Tensor, samples: int, seed: int) -> tuple[Tensor, Tensor | None, Iterator[Tensor]]:
    """Return the truth, the plain answer, and what the model makes with each of `samples` seeds, (B, C, T, H, W) each.

    There is no plain answer where the source is the truth itself.

    Args:
        model: one that predicts or converts.
        whole: clips as they stand in the data, guides included.
        samples: tries.
        seed: of the first try of the first clip.
    """
    sampler = model.sampler
    real = whole[:, : model.info.config.clip.channels]
    count = len(real)
    if isinstance(sampler, Predicts):
        past, future = real[:, :, : sampler.past], real[:, :, sampler.past :]
        frames = future.shape[2]
        plain = past[:, :, -1:].expand_as(future)
        starts = range(seed, seed + samples * count, count)
        return future, plain, (follow(model, past, frames, range(s, s + count)) for s in starts)
    assert isinstance(sampler, Converts)
    sources, frames = sampler.sources(whole), real.shape[2]
    answer = None if torch.equal(sources.cpu(), real) else plain_answer(sources.cpu(), real)
    return real, answer, (convert(model, sources, frames, s) for s in range(seed, seed + samples * count, count))


def measure_fidelity(
    model: Model,
    source: ClipSource,
    spans: list[Span],
    *,
    count: int,
    samples: int = 1,
    seed: int = 0,
    more: Mapping[str, Measure] | None = None,
) -> dict[str, Any]:
    """Measure what a model makes of real clips beside the truth.

    Args:
        model: one that predicts or converts.
        source: where to read.
        spans: which clips.
        count: windows of them; see `footage.evaluation.statistics.real_windows`.
        samples: futures, or translations, of each; 1 where there is but one.
        seed: of the choice of windows, and of everything random.
        more: figures of frames beside FIGURES, by name, such as LPIPS.

    Returns:
        `model`, `plain` where there is a plain answer, and, with several samples, `best`: figures by name; `by_frame`,
        `plain_by_frame`: for each frame;
        `rfd`, `sharpness_ratio`, `motion_ratio`, `diversity_ratio` (see `footage.evaluation.statistics.compare`), None
        of single
        frames; `clips`, `samples`, `frames`.
    """
    clip = model.info.config.clip
    mine, plain, top = FrameMeans(), FrameMeans(), FrameMeans()
    nets = feature_nets(clip.channels)
    fakes, reals = ClipStatistics(nets), ClipStatistics(nets)
    for windows, _ in real_windows(source, spans, frames=clip.frames, count=count, seed=seed, guides=True):
        whole = from_uint8(windows)
        real, answer, tries = attempts(model, whole, samples, seed + top.count * samples)
        if answer is not None:
            plain.add(frame_figures(answer, real, more))
        figures = []
        for number, made in enumerate(tries):
            figures.append(frame_figures(made, real, more))
            mine.add(figures[-1])
            if number == 0 and made.shape[2] > 1:
                fakes.add(to_uint8(made))
        top.add(best(figures))
        if real.shape[2] > 1:
            reals.add(to_uint8(real))
    found = compare(fakes, reals) if reals.count else dict.fromkeys(MOVING, None)
    return {
        "model": mine.means(),
        **({"plain": plain.means(), "plain_by_frame": plain.by_frame()} if plain.count else {}),
        **({"best": top.means()} if samples > 1 else {}),
        "by_frame": mine.by_frame(),
        **{name: found[name] for name in MOVING},
        "clips": top.count,
        "samples": samples,
        "frames": len(next(iter(mine.sums.values()))),
    }


@dataclass(frozen=True)
class FrameFigure:
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
    FrameFigure("mse", "squared error, summed over a frame", "lower"),
    FrameFigure("mae", "absolute error, summed over a frame", "lower"),
    FrameFigure("psnr", "PSNR, dB", "higher"),
    FrameFigure("ssim", "SSIM", "higher"),
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
        kinds.append(FrameFigure(name, label, "lower", "A", (net.about.name,), "; ".join(notes)))
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
    kind: FrameFigure, name: str, label: str, value: float, clips: tuple[int, int], seed: int, plain: float | None
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


def _curve(found: dict[str, Any], kind: FrameFigure, clips: tuple[int, int]) -> Curve:
    lines = [Line("made", tuple(found["by_frame"][kind.name]))]
    if "plain_by_frame" in found:
        lines.append(Line("plain", tuple(found["plain_by_frame"][kind.name])))
    x = tuple(float(number) for number in range(1, found["frames"] + 1))
    return Curve("fidelity", kind.name, kind.label, "frame", "", x, tuple(lines), kind.tier, clips)
