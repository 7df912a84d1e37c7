"""How near a model's clips are to what really was: predictions, translations and reconstructions beside the truth.

Beside every figure stands that of the plainest answer there is: the last frame that was given, again and again; or the
source itself. Of a model that knows many futures, both the mean over them and the best of each clip are given
(Denton and Fergus 2018, section 4): the best alone grows with the number of tries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from footage.evaluation.clip_sets import RealClips, TrainedModel, in_batches
from footage.evaluation.features.lpips import Perceptual
from footage.evaluation.results import Better, Curve, Figure, Line, Tier
from footage.generation.rollout import from_uint8
from footage.metrics.image_quality import absolute_errors, psnr, squared_errors, ssim
from footage.models.base import Converts, Predicts, Speaks
from footage.models.text.conditioning import ReadsText

Measure = Callable[[Tensor, Tensor], Tensor]
"""Clips (B, C, T, H, W) and the truth -> a figure of each frame, (B, T)."""
FIGURES: Mapping[str, Measure] = {"mse": squared_errors, "mae": absolute_errors, "psnr": psnr, "ssim": ssim}
"""Figures of frames that need no network, by name."""
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
    figures = {}
    for name in tries[0]:
        values = torch.stack([tried[name] for tried in tries])  # N B T
        order = values.mean(dim=2)
        chosen = order.argmin(dim=0) if name in LESS_IS_BETTER else order.argmax(dim=0)
        figures[name] = values[chosen, torch.arange(values.shape[1])]
    return figures


def first_frames(chunks: Iterable[Tensor], frames: int) -> Tensor:
    """Return the first frames of clips that come in chunks (B, C, T, H, W), on the CPU; no more chunks are made."""
    parts: list[Tensor] = []
    for chunk in chunks:
        parts.append(chunk.cpu())
        if sum(part.shape[2] for part in parts) >= frames:
            break
    return torch.cat(parts, dim=2)[:, :, :frames]


def follow(model: TrainedModel, past: Tensor, frames: int, seeds: range, told: Tensor | None = None) -> Tensor:
    """Predict `frames` frames that follow each past, (B, C, P, H, W) -> (B, C, frames, H, W) on the CPU."""
    sampler = model.sampler
    assert isinstance(sampler, Predicts)
    return first_frames(sampler.futures(past, seeds, told), frames)


def convert(model: TrainedModel, sources: Tensor, frames: int, seed: int, told: Tensor | None = None) -> Tensor:
    """Convert sources (B, C, T, H, W), each by itself, into clips (B, C, frames, H, W) on the CPU."""
    sampler = model.sampler
    assert isinstance(sampler, Converts)
    said: list[Tensor | None] = [None] * len(sources) if told is None else list(told.unsqueeze(1))
    rows = [sampler.convert([row.unsqueeze(0)], seed + n, said[n]) for n, row in enumerate(sources)]
    return torch.cat([first_frames(chunks, frames) for chunks in rows])


def plain_answer(sources: Tensor, real: Tensor) -> Tensor:
    """Return the source as an answer: channels are repeated, a picture stands still, a small one is enlarged."""
    if sources.shape[3:] != real.shape[3:]:
        size = real.shape[3:]
        rows = [interpolate(row.transpose(0, 1), size, mode="bicubic", antialias=True) for row in sources]
        sources = torch.stack(rows).transpose(1, 2).clamp(-1, 1)  # B C T H W
    picture = sources if sources.shape[1] == real.shape[1] else sources.mean(dim=1, keepdim=True)
    return picture.expand_as(real) if picture.shape[2] in (1, real.shape[2]) else picture


def attempts(
    model: TrainedModel, whole: Tensor, samples: int, seed: int, told: Tensor | None = None
) -> tuple[Tensor, Tensor | None, Iterator[Tensor]]:
    """Return the truth, the plain answer, and what the model makes with each of `samples` seeds, (B, C, T, H, W) each.

    `whole` are clips as they stand in the data, guides included; `seed` is that of the first try of the first clip;
    `told` are vectors of their captions, (B, D), where the model is told any.
    There is no plain answer where the source is the truth itself.
    """
    sampler = model.sampler
    real = whole[:, : model.info.config.clip.channels]
    count = len(real)
    if isinstance(sampler, Predicts):
        past, future = real[:, :, : sampler.past], real[:, :, sampler.past :]
        frames = future.shape[2]
        plain = past[:, :, -1:].expand_as(future)
        starts = range(seed, seed + samples * count, count)
        return future, plain, (follow(model, past, frames, range(s, s + count), told) for s in starts)
    if isinstance(sampler, Speaks):
        shown = sampler.preview(whole, None)
        made, still, _ = (clips.cpu() for clips in shown.values())
        return real, still, iter([made])
    assert isinstance(sampler, Converts)
    sources, frames = sampler.sources(whole), real.shape[2]
    answer = None if torch.equal(sources.cpu(), real) else plain_answer(sources.cpu(), real)
    return real, answer, (convert(model, sources, frames, s, told) for s in range(seed, seed + samples * count, count))


@dataclass(frozen=True)
class FrameFigure:
    """A figure of single frames, without its value; see `footage.evaluation.results.Figure`."""

    name: str
    label: str
    better: Better
    tier: Tier = "D"
    networks: tuple[str, ...] = ()
    note: str = ""

    def figure(self, value: float, clips: tuple[int, int], seed: int, plain: float | None) -> Figure:
        return Figure(
            metric="fidelity",
            name=self.name,
            label=self.label,
            value=value,
            better=self.better,
            tier=self.tier,
            networks=self.networks,
            by_network=(value,) if self.networks else (),
            interval=None,
            floor=None,
            clips=clips,
            seeds=(seed,),
            repeats=(value,),
            plain=plain,
            note=self.note,
        )


KINDS = (
    FrameFigure("mse", "squared error, summed over a frame", "lower"),
    FrameFigure("mae", "absolute error, summed over a frame", "lower"),
    FrameFigure("psnr", "PSNR, dB", "higher"),
    FrameFigure("ssim", "SSIM", "higher"),
)
"""Figures that need no network."""
LPIPS = {"lpips-alex": ("lpips", "LPIPS (AlexNet)"), "lpips-vgg": ("lpips_vgg", "LPIPS (VGG-16)")}
"""Figures of networks that compare pairs of frames: the network's name -> the figure's name and label."""


def measure_fidelity(
    model: TrainedModel, windows: RealClips, *, samples: int = 1, seed: int = 0, nets: Sequence[Perceptual] = ()
) -> tuple[list[Figure], list[Curve]]:
    """Measure predictions, translations or reconstructions beside the truth.

    `plain` of a figure is that of the plainest answer there is; of several tries (`samples`) the best one has a figure
    of its own. `windows` are what the model is given, whole, with guides.

    Raises:
        ConfigError: the frames are too small for one of the networks.
    """
    kinds = list(KINDS)
    for net in nets:
        name, label = LPIPS[net.about.name]
        notes = [text for text in (net.about.note, net.caution(*windows.source.shape[:2])) if text]
        kinds.append(FrameFigure(name, label, "lower", "A", (net.about.name,), "; ".join(notes)))
    more = {LPIPS[net.about.name][0]: net for net in nets}
    mine, plain, top = FrameMeans(), FrameMeans(), FrameMeans()
    for numbers, clips in in_batches(windows.whole(range(windows.count))):
        told = None
        if isinstance(model.sampler, ReadsText):  # the first caption of each clip; of one without any, the empty one
            captions = (windows.windows[number].span.captions for number in numbers.tolist())
            told = model.sampler.text.vectors([(*own, "")[0] for own in captions])
        real, answer, tries = attempts(model, from_uint8(clips), samples, seed + top.count * samples, told)
        if answer is not None:
            plain.add(frame_figures(answer, real, more))
        tried = [frame_figures(made, real, more) for made in tries]
        for by_frame in tried:
            mine.add(by_frame)
        top.add(best(tried))
    count = (top.count, top.count)
    figures = []
    for kind in kinds:
        beside = plain.means()[kind.name] if plain.count else None
        figures.append(kind.figure(mine.means()[kind.name], count, seed, beside))
        if samples > 1:
            of_best = replace(kind, name=f"best_{kind.name}", label=f"{kind.label}, best of {samples}")
            figures.append(of_best.figure(top.means()[kind.name], count, seed, None))
    curves = []
    for kind in kinds:
        lines = [Line("made", tuple(mine.by_frame()[kind.name]))]
        if plain.count:
            lines.append(Line("plain", tuple(plain.by_frame()[kind.name])))
        x = tuple(float(number) for number in range(1, len(lines[0].y) + 1))
        curves.append(Curve("fidelity", kind.name, kind.label, "frame", "", x, tuple(lines), kind.tier, count))
    return figures, curves
