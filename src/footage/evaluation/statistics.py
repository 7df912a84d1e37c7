"""How good a model's clips are: statistics of clips that pass by, and figures of fake beside real ones.

Nothing here needs weights from anywhere. The figures are RFD-rand (the Fréchet distance of random features,
`footage.features`; no FVD) and closed forms of plain pixels (`footage.metrics.motion`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from footage.data.clips import ClipSource, Labels, Loader, Span
from footage.data.store import Frames, Split
from footage.evaluation.features.catalogue import SEEDS, RandomFeatures
from footage.generation.model import Model
from footage.generation.rollout import draw_label, from_uint8, to_uint8, videos
from footage.metrics.distances import Gaussian, frechet
from footage.metrics.image_quality import sharpness
from footage.metrics.motion import contrast, motion_distance, motion_energies, spectrum_distance, temporal_power
from footage.models.base import Generates

BATCH = 16
"""Clips that are generated or read at once."""
STILL = 1e-6
"""Figures of real clips below which no ratio to them is given."""

Figures = dict[str, float | list[float] | None]
"""`rfd` (a figure for each of SEEDS), `motion_ratio`, `motion_distance`, `spectrum_distance`, `diversity_ratio`,
`contrast_ratio`, `sharpness_ratio`; None where the real clips do not allow a figure."""


class ClipStatistics:
    """What a set of clips comes to; the clips pass by and are not kept.

    Args:
        nets: random feature networks; those of the sets that are compared must be the same.
    """

    def __init__(self, nets: Sequence[RandomFeatures]) -> None:
        self.nets, self.count = nets, 0
        self.gaussians = [Gaussian(net.size) for net in nets]
        self.energies: list[float] = []  # one for each clip
        self.power: Tensor | None = None  # T // 2
        self._contrast = 0.0
        self._sharpness = 0.0
        self._mean: Tensor | None = None  # C T H W
        self._scatter: Tensor | None = None

    def add(self, frames: Frames) -> None:
        """Take in clips, uint8 (B, T, H, W, C)."""
        clips = from_uint8(frames)
        for net, gaussian in zip(self.nets, self.gaussians, strict=True):
            gaussian.add(net(clips))
        self.energies += motion_energies(clips).tolist()
        power = temporal_power(clips)
        self.power = power if self.power is None else self.power + power
        self._contrast += contrast(clips) * len(clips)
        self._sharpness += float(sharpness(clips).sum())
        for clip in clips.double():  # C T H W; Welford's update of mean and scatter, voxel by voxel
            self.count += 1
            if self._mean is None or self._scatter is None:
                self._mean, self._scatter = clip.clone(), torch.zeros_like(clip)
                continue
            shift = clip - self._mean
            self._mean += shift / self.count
            self._scatter += shift * (clip - self._mean)

    @property
    def motion(self) -> float:
        """The mean motion energy, see `metrics.motion.motion_energy`."""
        return float(np.mean(self.energies))

    @property
    def contrast(self) -> float:
        """The mean over frames of the pixels' standard deviation."""
        return self._contrast / self.count

    @property
    def sharpness(self) -> float:
        """The mean length of the gradient over space, see `metrics.image_quality.sharpness`."""
        return self._sharpness / self.count

    @property
    def diversity(self) -> float:
        """The mean over voxels of the standard deviation between clips."""
        assert self._scatter is not None, "no clip was added"
        return float((self._scatter / self.count).sqrt().mean())


def compare(fake: ClipStatistics, real: ClipStatistics) -> Figures:
    """Return the figures of clips beside real ones."""
    assert fake.power is not None and real.power is not None, "no clip was added"
    found: Figures = {"rfd": [frechet(a, b) for a, b in zip(fake.gaussians, real.gaussians, strict=True)]}
    for name in ("motion", "diversity", "contrast", "sharpness"):
        known = getattr(real, name)
        found[f"{name}_ratio"] = getattr(fake, name) / known if known > STILL else None
    energies = [torch.tensor(side.energies, dtype=torch.float64) for side in (fake, real)]
    found["motion_distance"] = motion_distance(*energies) if real.motion > STILL else None
    found["spectrum_distance"] = spectrum_distance(fake.power, real.power)
    return found


class _Part:
    """Some clips of a source, whatever the split; see `footage.data.clips.ClipSource`."""

    def __init__(self, source: ClipSource, spans: list[Span]) -> None:
        self.name, self.fps, self.labels = source.name, source.fps, source.labels
        self.content_hash, self.shape, self.read = source.content_hash, source.shape, source.read
        self.guides = source.guides
        self._spans = spans

    def spans(self, split: Split) -> list[Span]:
        """Return the clips."""
        return self._spans


def real_windows(
    source: ClipSource, spans: list[Span], *, frames: int, count: int, seed: int, guides: bool = False
) -> Iterator[tuple[Frames, Labels]]:
    """Yield `count` windows of some clips, in batches uint8 (B, T, H, W, C) and labels (B,).

    Every stretch of a clip comes once before any comes again, with another start: see `footage.data.clips.Loader`.
    Of pairs, what is to be made is given, and with `guides` also what it is made from, in the last channels.
    """
    channels = source.shape[2] - (0 if guides else source.guides)
    loader = Loader(_Part(source, spans), "train", frames=frames, batch_size=BATCH, seed=seed)
    for seen in range(0, count, BATCH):
        clips, labels = loader.batch(seen)
        yield clips[: count - seen, ..., :channels], labels[: count - seen]


@dataclass(frozen=True)
class Reference:
    """The real clips that models are measured against."""

    real: ClipStatistics
    """Windows of training clips."""
    floor: Figures
    """The figures of other real clips: what a perfect model would have."""
    how: str
    """Which clips were compared for the floor."""
    clips: list[Frames] = field(repr=False)
    """The first windows, uint8 (T, H, W, C), to be looked at."""
    given: int = 0
    """Frames at the beginning of each window that count for nothing: models are given them."""


def reference(
    source: ClipSource,
    nets: Sequence[RandomFeatures],
    *,
    frames: int,
    count: int,
    keep: int,
    seed: int = 0,
    given: int = 0,
) -> Reference:
    """Describe the real clips by `count` windows, with the real-versus-real floor of as many.

    The floor compares held-out with training windows where the held-out clips have `count` stretches of that length.
    Otherwise the training clips are divided in two halves, label by label, and the windows of one half are compared
    with those of the other; no clip is in both.

    Args:
        source: where to read.
        nets: feature networks.
        frames: length of the windows.
        count: windows on each side.
        keep: how many windows to keep for looking at.
        seed: of the choice of windows and halves.
        given: frames at the beginning of each window that count for nothing, as models are given them.
    """

    def described(spans: list[Span]) -> tuple[ClipStatistics, list[Frames]]:
        found, kept = ClipStatistics(nets), list[Frames]()
        for clips, _ in real_windows(source, spans, frames=frames, count=count, seed=seed):
            found.add(clips[:, given:])
            kept += list(clips[: max(0, keep - len(kept))])
        return found, kept

    train, heldout = ([span for span in source.spans(split) if span.frames >= frames] for split in ("train", "heldout"))
    real, kept = described(train)
    if heldout and len(Loader(source, "heldout", frames=frames, batch_size=1, seed=seed).units) >= count:
        how = f"{count} windows of held-out clips against {count} of training clips"
        return Reference(real, compare(described(heldout)[0], real), how, kept, given)
    if len(train) < 2:
        whole = compare(real, real)
        return Reference(real, dict.fromkeys(whole, None), "none: there is only one training clip", kept, given)
    rng = np.random.Generator(np.random.Philox(key=[seed, 0xF1002]))
    order = sorted(zip(rng.permutation(len(train)).tolist(), train, strict=True), key=lambda x: (x[1].label, x[0]))
    one, two = ([span for _, span in order[first::2]] for first in (0, 1))
    how = f"{count} windows of one half of the training clips against {count} of the other, the held-out being too few"
    return Reference(real, compare(described(two)[0], described(one)[0]), how, kept, given)


def feature_nets(channels: int) -> list[RandomFeatures]:
    """Return the random feature networks of all seeds."""
    return [RandomFeatures(channels, seed) for seed in SEEDS]


def fakes(model: Model, source: ClipSource, count: int, seed: int = 0) -> Iterator[Frames]:
    """Yield `count` clips of a model's own length in batches uint8 (B, T, H, W, C).

    Of a model that makes clips from nothing, clip i has seed `seed` + i, and classes are drawn as often as the training
    data have them, as `Model.generate` does. A model that is given clips is given windows of held-out ones, or of
    training clips where there are none.
    """
    info = model.info
    if not isinstance(model.sampler, Generates):
        frames = info.config.clip.frames
        spans = [span for span in source.spans("heldout") if span.frames >= frames] or source.spans("train")
        for windows, _ in real_windows(source, spans, frames=frames, count=count, seed=seed, guides=True):
            shown = model.sampler.preview(from_uint8(windows), None)
            yield to_uint8(next(iter(shown.values())))
        return
    for first in range(seed, seed + count, BATCH):
        seeds = range(first, min(first + BATCH, seed + count))
        labels = [draw_label(info.label_shares, number) for number in seeds] if info.labels else None
        chunks = list(videos(model.sampler, seeds, labels, info.config.clip.frames))
        yield np.concatenate(chunks, axis=1)


def measure_model(
    model: Model, source: ClipSource, real: Reference, *, count: int, seed: int = 0
) -> tuple[Figures, list[Frames]]:
    """Make `count` clips with a model, see `fakes`, and measure them beside real ones.

    Returns:
        The figures, and as many of the first clips as the reference holds, uint8 (T, H, W, C), to be looked at.
    """
    found, kept = ClipStatistics(real.real.nets), list[Frames]()
    for clips in fakes(model, source, count, seed):
        found.add(clips[:, real.given :])
        kept += list(clips[: max(0, len(real.clips) - len(kept))])
    return compare(found, real.real), kept
