"""Whether clips repeat those that a model learned from: nearest neighbours, beside those of unseen real clips.

Distances are between windows: of small copies of their pixels, and of features in units of their deviation. All
training windows are looked through in pixels; features are then taken of those that are nearest to anything, and of
some others. The ratio d(made, training) / (median of d(held-out, training)) is 1 for clips that are as far from the
training clips as unseen real ones are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from footage.data.clips import Labels, Window, every_window, pace_of
from footage.data.store import Frames
from footage.errors import counted
from footage.evaluation.clip_sets import ClipSet, ClipShape, RealClips, draw_windows, one_clip
from footage.evaluation.feature_cache import (
    SMALL_COPIES,
    ClipFeatures,
    FeatureCache,
    FeatureReader,
    StepSeconds,
    extract_features,
    feature_readers,
)
from footage.evaluation.features import Extractor
from footage.evaluation.figure_inputs import network_groups
from footage.evaluation.inputs import EvaluationPlan
from footage.evaluation.results import Interval, Memorisation, NearestPair, Space, Tier
from footage.media.sheets import contact_sheet, save_picture, strip
from footage.metrics.bootstrap import LEVEL, share_interval
from footage.metrics.clip_vectors import small_shape
from footage.metrics.distances import Rows, column_means, nearest

REPEATED = 0.5
"""Ratio below which a clip counts as repeated."""
WORST = 20
"""Pairs that are shown."""
SHORTLIST = 4
"""Training windows, nearest in pixels to a clip, whose features are taken."""
OTHERS = 512
"""Training windows at random whose features are taken too, at most; 4 for each clip."""
MOST_MADE = 2048
"""Clips that are looked at."""
LOOK = 32
"""Training windows that are looked through for each clip, between LEAST and MOST in all."""
LEAST, MOST = 256, 50_000
PICTURED = 128
"""Pixels of the shorter side of the frames in pictures of pairs, at most."""
SHOWN = 8
"""Frames of each clip on the sheet of the worst pairs."""


@dataclass(frozen=True)
class Neighbours:
    """Nearest training windows in one space."""

    name: str
    """`pixels`, or the title of the networks."""
    tier: Tier
    networks: tuple[str, ...]
    ratios: Tensor
    """Ratio of each clip, (N,)."""
    ratios_real: Tensor
    """Ratio of each held-out clip, (M,)."""
    numbers: Tensor
    """The nearest training window of each clip, (N,)."""
    usual: float
    """The distance that ratios are of."""

    def summary(self, sources: int) -> Space:
        """Return what is told of a space; the clips were cut from so many files."""
        below = (self.ratios < REPEATED).double()
        low, high = share_interval(float(below.mean()) * sources, sources)
        places = torch.linspace(0, 1, 101, dtype=torch.float64)
        return Space(
            name=self.name,
            tier=self.tier,
            networks=self.networks,
            median=float(self.ratios.median()),
            low=float(self.ratios.quantile(0.05)),
            least=float(self.ratios.min()),
            below=float(below.mean()),
            below_real=float((self.ratios_real < REPEATED).double().mean()),
            interval=Interval(low, high, LEVEL, "Wilson's interval of a share, as if each file gave one clip"),
            usual=self.usual,
            ratios=tuple(self.ratios.quantile(places).tolist()),
            ratios_real=tuple(self.ratios_real.quantile(places).tolist()),
        )


def others_of(made: int) -> int:
    """Return of how many training windows at random features are taken, for a number of clips."""
    return min(OTHERS, 4 * made)


class JoinedRows:
    """Vectors (N, D_i) of several networks side by side, each column in units of its deviation, `scales` (D_i,)."""

    def __init__(self, parts: Sequence[Rows], scales: Sequence[npt.NDArray[np.float64]]) -> None:
        self._parts, self._scales = parts, scales
        self.shape = (parts[0].shape[0], sum(part.shape[1] for part in parts))

    def __getitem__(self, part: slice) -> npt.NDArray[Any]:
        columns = [rows[part] / scale for rows, scale in zip(self._parts, self._scales, strict=True)]
        return np.concatenate(columns, axis=1)


def _sources(clips: ClipSet, rows: Labels) -> Tensor:
    """Return the number of the clip that each window was cut from."""
    assert isinstance(clips, RealClips)
    return torch.tensor([clips.windows[int(row)].span.index for row in rows], dtype=torch.int64)


@dataclass(frozen=True)
class NeighbourSearch:
    """What is compared with what."""

    made: ClipFeatures
    training: ClipFeatures
    """Training windows, by their small copies."""
    heldout: ClipFeatures
    """Held-out windows, or training windows that are compared with other clips only."""
    within: bool
    """Whether `heldout` are training windows."""

    def neighbours(self, made: Rows, heldout: Rows, training: Rows, numbers: Labels, k: int) -> tuple[Tensor, ...]:
        """Return distances and numbers of both sides' nearest among some training windows."""
        groups = None
        if self.within:
            own = _sources(self.heldout.clips, np.arange(self.heldout.count))
            groups = (own, _sources(self.training.clips, numbers))
        k = min(k, training.shape[0])
        return *nearest(made, training, k), *nearest(heldout, training, k, groups=groups)

    def spaces(
        self,
        training: RealClips,
        features: Sequence[FeatureReader],
        nets: Sequence[Any],
        cache: FeatureCache,
        seconds: StepSeconds,
        seed: int,
    ) -> list[Neighbours]:
        """Return the nearest training windows in pixels, and in each kind of features."""
        every = np.arange(training.count)
        made, known, held = (side.rows[SMALL_COPIES] for side in (self.made, self.training, self.heldout))
        gaps, numbers, gaps_real, numbers_real = self.neighbours(made, held, known, every, SHORTLIST)
        spaces: list[Neighbours | None] = [_neighbours("pixels", "D", (), gaps, numbers, gaps_real)]
        rng = np.random.Generator(np.random.Philox(key=[seed, 0x3E4]))
        listed = np.unique(torch.cat([numbers.flatten(), numbers_real.flatten()]).numpy())
        extra = rng.permutation(training.count)[: others_of(self.made.count)]
        short = np.union1d(listed[listed >= 0], extra)
        chosen = training.others([training.windows[int(row)] for row in short])
        if features:
            near = extract_features(chosen, features, cache, seconds)
            for group in (group for group in network_groups(nets) if group.of == "clip"):
                moments = [column_means(near.rows[name]) for name in group.names]
                scales = [
                    np.asarray((square - mean.square()).clamp(min=0).sqrt().clamp(min=1e-6).numpy())
                    for mean, square in moments
                ]
                joined = [
                    JoinedRows([side.rows[name] for name in group.names], scales)
                    for side in (self.made, self.heldout, near)
                ]
                gaps, numbers, gaps_real, _ = self.neighbours(joined[0], joined[1], joined[2], short, 1)
                numbers = torch.from_numpy(short)[numbers]
                spaces.append(_neighbours(group.title, group.tier, group.names, gaps, numbers, gaps_real))
        return [space for space in spaces if space is not None]


def find_memorisation(
    made: ClipFeatures,
    plan: EvaluationPlan,
    nets: Sequence[Extractor],
    *,
    seed: int,
    cache: FeatureCache,
    seconds: StepSeconds,
    say: Callable[[str], None],
    to: Path | None = None,
) -> Memorisation | None:
    """Look for training windows in what was made; the plan's second side is a data set.

    Pictures of the worst pairs are put beside a figures.json, `to`. Returns None where unseen clips are copies of
    training clips, or there are too few of them, so that there is nothing to compare with.
    """
    side = plan.real
    assert side.source is not None
    made = made.chosen(np.arange(min(made.count, MOST_MADE)))
    reach = (plan.shape.frames - 1) * side.stride + 1
    spans, heldout = side.spans, side.heldout
    if side.split == "heldout" and side.source.spans("train"):
        spans = tuple(span for span in side.source.spans("train") if span.frames >= reach) or side.spans
        heldout = side.spans if spans != side.spans else ()
    most = min(max(LOOK * made.count, LEAST), MOST)
    pace = pace_of(spans, reach, most)
    windows, there = every_window(spans, reach, pace, most, seed)
    if len({window.span.index for window in windows}) < 2:
        return None
    training = RealClips(side.source, windows, plan.shape, stride=side.stride, given=plan.given)
    readers = feature_readers(nets, training)
    small = [reader for reader in readers if reader.name == SMALL_COPIES]
    features = [reader for reader in readers if reader.name in {net.about.name for net in nets}]
    say("looking through the training clips")
    known = extract_features(training, small, cache, seconds)
    unseen = draw_windows(heldout, plan.protocol, made.count, seed, side.stride) if heldout else windows[: made.count]
    say("looking at unseen clips")
    held = extract_features(training.others(unseen), [*small, *features], cache, seconds)
    search = NeighbourSearch(made, known, held, not heldout)
    spaces = search.spaces(training, features, [net.about for net in nets], cache, seconds, seed)
    if not spaces:
        return None
    what = "held-out windows" if heldout else "training windows, each beside those of other clips"
    shape = training.shape
    shots, high, wide, _ = small_shape(shape.frames, shape.height, shape.width, shape.channels)
    how = (
        f"{counted(made.count, 'clip')} and {held.count} {what}, against {len(windows)} of "
        f"{counted(there, 'training window')}, which begin {counted(pace, 'frame')} apart; pixels of {shots} "
        f"frames made smaller to {wide}×{high}; features, of frames of {shape.width}×{shape.height}, of the "
        f"{SHORTLIST} nearest in pixels to each, and of "
        f"{others_of(made.count)} more"
    )
    copies = sorted({row for space in spaces for row in (space.ratios < REPEATED).nonzero().flatten().tolist()})
    named = tuple(dict.fromkeys(made.clips.named(row)[0] for row in copies))
    with seconds.of("nearest pairs"):
        pairs, sheet = save_pairs(worst_pairs(made.clips, spaces, training), to)
    summaries = tuple(space.summary(len(np.unique(made.sources))) for space in spaces)
    return Memorisation(
        how, len(windows), there, held.count, made.count, summaries, pairs, named, sheet, substituted=not heldout
    )


def _neighbours(
    name: str, tier: Tier, networks: tuple[str, ...], gaps: Tensor, numbers: Tensor, gaps_real: Tensor
) -> Neighbours | None:
    real = gaps_real[:, 0]
    real = real[torch.isfinite(real)]
    usual = float(real.median()) if len(real) else 0.0
    if usual <= 0:
        return None
    return Neighbours(name, tier, networks, gaps[:, 0] / usual, real / usual, numbers[:, 0], usual)


def worst_pairs(
    made: ClipSet, spaces: Sequence[Neighbours], training: RealClips
) -> Iterator[tuple[NearestPair, Frames, Frames]]:
    """Yield the pairs with the least ratios in any space, worst first, with the frames of both, uint8 (T, H, W, C).

    Of the training clip, the window is shown that is nearest in pixels, wherever it begins.
    """
    best: dict[int, tuple[float, Neighbours]] = {}
    for space in spaces:
        for row in space.ratios.argsort()[:WORST].tolist():
            ratio = float(space.ratios[row])
            if row not in best or ratio < best[row][0]:
                best[row] = (ratio, space)
    for row, (ratio, space) in sorted(best.items(), key=lambda entry: entry[1][0])[:WORST]:
        clip = one_clip(made, row)
        number = int(space.numbers[row])
        window, start, gap = nearest_start(clip, training, number)
        name, begin = made.named(row)
        pair = NearestPair(name, begin, training.named(number)[0], start, space.name, ratio, gap)
        yield pair, clip, window


def nearest_start(clip: Frames, training: RealClips, number: int) -> tuple[Frames, int, float]:
    """Return the window of a training clip that is nearest in pixels, its first frame, and how far it is off.

    Windows within half a window's reach of the one with that number are tried; the last value is the mean absolute
    difference of pixels.
    """
    window = training.windows[number]
    reach = (training.shape.frames + training.given - 1) * training.stride + 1
    last = window.span.frames - reach
    starts = range(max(0, window.start - reach // 2), min(last, window.start + reach // 2) + 1)
    tried = training.others([Window(window.span, start) for start in starts])
    best: tuple[Frames, int, float] | None = None
    for rows, clips in tried.batches(range(tried.count)):
        for row, other in zip(rows.tolist(), clips, strict=True):
            gap = float(np.abs(clip.astype(np.int16) - other).mean())
            if best is None or gap < best[2]:
                best = (other, starts[row], gap)
    assert best is not None
    return best


def save_pairs(
    pairs: Iterable[tuple[NearestPair, Frames, Frames]], to: Path | None
) -> tuple[tuple[NearestPair, ...], str]:
    """Write a picture of each pair, and a sheet of all, beside a figures.json, `to`; None to write none.

    Pairs come with the frames of what was made and of the training window, uint8 (T, H, W, C), which are shrunk to
    PICTURED. Returns them with the names of their pictures, and the name of the sheet.
    """
    if to is None:
        return tuple(pair for pair, _, _ in pairs), ""
    named: list[NearestPair] = []
    rows: list[Frames] = []
    captions: list[str] = []
    for number, (pair, made, real) in enumerate(pairs):
        name = f"{to.stem}-pairs/{number:02d}.png"
        height, width = made.shape[1:3]
        shrunk = min(1.0, PICTURED / min(height, width))
        size = (max(1, round(height * shrunk)), max(1, round(width * shrunk)))
        small = ClipShape(len(made), *size, made.shape[-1])
        made, real = small.fitted(made), small.fitted(real)
        above, below = (np.concatenate(list(clip), axis=1) for clip in (made, real))  # T H W C -> H TW C
        picture = np.concatenate([above, below], axis=0)
        save_picture(to.parent / name, np.ascontiguousarray(np.broadcast_to(picture, (*picture.shape[:2], 3))))
        named.append(replace(pair, picture=name))
        rows += [strip(made, SHOWN), strip(real, SHOWN)]
        captions += [f"{pair.ratio:.2f} {pair.made}", f"{pair.real}, frame {pair.real_start}"]
    if not named:
        return (), ""
    sheet = f"{to.stem}-pairs.png"
    save_picture(to.parent / sheet, contact_sheet(rows, captions, columns=2))
    return tuple(named), sheet
