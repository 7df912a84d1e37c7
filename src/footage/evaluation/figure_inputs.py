"""What figures are computed from: the features of both sides and of the floor, and how clips are drawn anew.

The floor is real clips beside other real clips: what a perfect model would have of as many clips. The draws, the same
for every figure, are what confidence intervals are made of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from footage.data.clips import Labels, Span
from footage.errors import counted
from footage.evaluation.clip_sets import (
    ClipSet,
    GeneratedClips,
    RealClips,
    draw_windows,
    halve_clips,
    stretches,
)
from footage.evaluation.feature_cache import ClipFeatures
from footage.evaluation.features import NetworkInfo
from footage.evaluation.protocols import Protocol
from footage.evaluation.results import Better, Figure, Floor, Interval, Tier
from footage.media.geometry import VolumeScale
from footage.metrics.bootstrap import LEAST_SOURCES, LEVEL, centred, counts
from footage.metrics.distances import Gaussian, Rows, blocks, gaussian

HOW = (
    "clips of both sides drawn anew {} times with replacement, all windows of a file together; quantiles of the figure "
    "around their mean"
)
"""How an interval was found."""
HOW_ONE = (
    "clips drawn anew {} times with replacement, all windows of a file together; quantiles of the figure around their "
    "mean"
)
"""The same, for figures of one side."""


@dataclass(frozen=True)
class Bootstrap:
    """How often each clip of a set is drawn, draw by draw: all clips of a source as often."""

    weights: npt.NDArray[np.uint8]
    """(R, N); a row sums to N where all sources have as many clips."""

    @classmethod
    def of(cls, sources: Labels, number: int, seed: int, side: int) -> Bootstrap:
        """Draw the sources of N clips, (N,), `number` times, never where they are fewer than LEAST_SOURCES.

        Sides are told apart, networks are not.
        """
        own = np.unique(sources, return_inverse=True)[1]
        there = int(own.max()) + 1
        weights = np.empty((number if there >= LEAST_SOURCES else 0, len(sources)), dtype=np.uint8)
        for draw, row in enumerate(weights):
            row[:] = counts(there, draw, seed, side)[own]
        return cls(weights)

    def __len__(self) -> int:
        return len(self.weights)

    def gaussian(self, rows: Rows, draw: int, each: int = 1) -> Gaussian:
        """Return mean and covariance of the rows of a draw; a clip has `each` rows."""
        return gaussian(rows, torch.from_numpy(np.repeat(self.weights[draw], each)))

    @property
    def sizes(self) -> Tensor:
        """How many clips each draw has, (R, 1), float64."""
        return torch.from_numpy(self.weights.sum(axis=1, dtype=np.float64))[:, None]

    def means(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Return the mean (D,) of vectors (N, D), one a clip, and that of each draw (R, D), float64."""
        whole, drawn = torch.zeros(0), torch.zeros(0)
        for first, values in blocks(rows):
            weights = torch.from_numpy(self.weights[:, first : first + len(values)]).double()
            if first == 0:
                whole, drawn = values.sum(dim=0), weights @ values
            else:
                whole, drawn = whole + values.sum(dim=0), drawn + weights @ values
        return whole / rows.shape[0], drawn / self.sizes


def interval(value: float, drawn: Sequence[float], how: str = HOW) -> Interval | None:
    """Return the interval of a value from its draws; None where there are too few, or one is not finite."""
    if len(drawn) < 2 or not np.isfinite([value, *drawn]).all():
        return None
    return Interval(*centred(value, drawn), LEVEL, how.format(len(drawn)))


def of_means(
    function: Callable[[Tensor, Tensor], float | None],
    made: tuple[Tensor, Tensor],
    real: tuple[Tensor, Tensor],
) -> tuple[float | None, Interval | None]:
    """Return a function of both sides' means, and its interval; see `Bootstrap.means`."""
    value = function(made[0], real[0])
    drawn = [function(a, b) for a, b in zip(made[1], real[1], strict=False)]  # none where a side has none
    known = [one for one in drawn if one is not None]
    return value, None if value is None or len(known) < len(drawn) else interval(value, known)


@dataclass(frozen=True)
class NetworkGroup:
    """Networks of one kind that one figure is the mean over: one, or random ones of several seeds."""

    members: tuple[NetworkInfo, ...]

    @property
    def tier(self) -> Tier:
        return self.members[0].tier

    @property
    def of(self) -> str:
        return self.members[0].of

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(about.name for about in self.members)

    @property
    def size(self) -> int:
        return self.members[0].size

    @property
    def note(self) -> str:
        return self.members[0].note

    @property
    def title(self) -> str:
        return "random features" if self.tier == "C" else self.members[0].name


def network_groups(nets: Sequence[NetworkInfo]) -> list[NetworkGroup]:
    """Put the random networks together; each other one stands by itself."""
    groups = [NetworkGroup((net,)) for net in nets if net.tier != "C"]
    for of in ("clip", "frame"):
        if rand := tuple(net for net in nets if net.tier == "C" and net.of == of):
            groups.append(NetworkGroup(rand))
    return groups


OFFICIAL = {
    ("frechet", "i3d"): "FVD{length}",
    ("frechet", "inception"): "FID",
    ("kernel", "i3d"): "KVD{length}",
    ("kernel", "inception"): "KID",
    ("inception_score", "c3d"): "IS",
    ("inception_score", "inception"): "IS of frames",
}
"""Names that figures have in papers; for the official networks alone."""
SHORT = {"frechet": "FD", "kernel": "KD", "inception_score": "IS"}
"""Names of the same figures with other networks: FD-videomae."""
SELF = {"frechet": ("FVD-self", "FID-self"), "kernel": ("KVD-self", "KID-self"), "inception_score": ("IS-self",) * 2}
"""Names with a network of tier B, of clips and of frames."""
RANDOM = {"frechet": "RFD-rand", "kernel": "RKD-rand"}
"""Names with random networks."""


def label_of(name: str, group: NetworkGroup, frames: int, stride: int) -> str:
    """Return what a figure is printed as. `FVD` by itself never stands for anything but the official network's."""
    about = group.members[0]
    if group.tier == "A":
        length = f"{frames}" if stride == 1 else f"{frames * stride}-subsample{stride}"
        if (name, about.name) in OFFICIAL:
            return OFFICIAL[name, about.name].format(length=length)
        return f"{SHORT[name]}-{about.name}" if name in SHORT else f"{name} [{about.name}]"
    if group.tier == "P":
        behind = f"[{about.digest[:8]}]"
        return f"{SHORT[name]}-{about.name}{behind}" if name in SHORT else f"{name} {about.name}{behind}"
    if group.tier == "B":
        behind = f"[{about.name}, {about.digest[:8]}]"
        return f"{SELF[name][group.of == 'frame']}{behind}" if name in SELF else f"{name}-self{behind}"
    return RANDOM.get(name, f"{name}-rand")


@dataclass(frozen=True)
class FigureInputs:
    """Everything that figures of one repeat are computed from: `made` is judged by `real`."""

    made: ClipFeatures
    real: ClipFeatures
    floor: tuple[ClipFeatures, ClipFeatures] | None
    """Real clips in the place of both; None where there are too few."""
    nets: tuple[NetworkInfo, ...]
    made_draws: Bootstrap
    real_draws: Bootstrap
    frames: int
    stride: int
    """Every which frame of the video these are."""
    fps: float
    made_labels: tuple[str, ...]
    real_labels: tuple[str, ...]
    seed: int
    """Of the clips, and of everything random."""
    volume: VolumeScale | None = None
    """Of volumes, what their levels mean."""

    def groups(self, of: str | None = None) -> list[NetworkGroup]:
        """Return the networks by group: those of clips, those of frames, or all."""
        return [group for group in network_groups(self.nets) if of in (None, group.of)]

    def label(self, name: str, group: NetworkGroup) -> str:
        return label_of(name, group, self.frames, self.stride)

    @property
    def counts(self) -> tuple[int, int]:
        return self.made.count, self.real.count

    @property
    def resamples(self) -> int:
        """How often both sides are drawn anew; 0 where one has too few sources."""
        return min(len(self.made_draws), len(self.real_draws))

    def real_in_memory(self) -> FigureInputs:
        """Return what is known of the real clips, to outlive the cache; they also stand for what is judged."""
        real = self.real.in_memory()
        floor = None
        if self.floor is not None:
            first, second = self.floor
            floor = (first.in_memory(), real if second is self.real else second.in_memory())
        return replace(self, made=real, real=real, floor=floor)

    def of_floor(self) -> FigureInputs | None:
        """Return the floor's two sides in the place of what is judged and what it is judged by, without intervals."""
        if self.floor is None:
            return None
        draws = [Bootstrap.of(side.sources, 0, self.seed, number) for number, side in enumerate(self.floor)]
        labels = self.real_labels
        return replace(
            self,
            made=self.floor[0],
            real=self.floor[1],
            floor=None,
            made_draws=draws[0],
            real_draws=draws[1],
            made_labels=labels,
        )

    def figure(
        self,
        metric: str,
        name: str,
        label: str,
        value: float | None,
        *,
        better: Better,
        floor: float | None = None,
        group: NetworkGroup | None = None,
        by_network: Sequence[float] = (),
        interval: Interval | None = None,
        real: float | None = None,
        note: str = "",
    ) -> Figure:
        """Put a figure together; the floor's counts, the seed and the networks are filled in."""
        beside = None
        if floor is not None and self.floor is not None:
            beside = Floor(floor, (self.floor[0].count, self.floor[1].count))
        return Figure(
            metric=metric,
            name=name,
            label=label,
            value=value,
            better=better,
            tier=group.tier if group else "D",
            networks=group.names if group else (),
            by_network=tuple(by_network),
            interval=interval,
            floor=beside,
            clips=self.counts,
            seeds=(self.seed,),
            repeats=() if value is None else (value,),
            real=real,
            note="; ".join(filter(None, (note, group.note if group else ""))),
        )


@dataclass(frozen=True)
class FloorClips:
    """Which real clips stand beside which others, and how in words."""

    how: str
    sets: tuple[ClipSet, ClipSet] | None = None
    """Both sides; the second may be the reference itself. None where there are none, or `rows` says which."""
    rows: tuple[Labels, Labels] | None = None
    """Rows of the reference, which is divided, for want of other clips."""


def floor_clips(
    real: ClipSet, spans: Sequence[Span], heldout: Sequence[Span], protocol: Protocol, seed: int
) -> FloorClips:
    """Return the clips of the floor for the reference `real`, which was drawn from `spans`.

    Of a model, other seeds. Of clips: held-out ones against those that are the reference, where there are enough; else
    other clips of the same split; else the clips are divided in two halves, label by label, and no clip is in both.
    """
    count = real.count
    if isinstance(real, GeneratedClips):
        other = GeneratedClips(real.model, count, real.shape, seed=real.seed + 2**31, stride=real.stride)
        return FloorClips(
            f"{counted(count, 'clip of other seeds', 'clips of other seeds')} against {count}", (other, real)
        )
    if not isinstance(real, RealClips):
        return FloorClips("none")
    reach = (real.shape.frames + real.given - 1) * real.stride + 1
    one = protocol.windows == "one"
    if heldout and (len(heldout) if one else sum(len(stretches(span, reach)) for span in heldout)) >= count:
        windows = draw_windows(heldout, protocol, count, seed, real.stride)
        how = f"{counted(count, 'window')} of held-out clips against {count} of training clips"
        return FloorClips(how, (real.others(windows), real))
    if one and len(spans) >= 2 * count:
        windows = draw_windows(spans, protocol, 2 * count, seed, real.stride)[count:]
        return FloorClips(f"{counted(count, 'window')} of other clips against {count}", (real.others(windows), real))
    if one and count < 4:
        return FloorClips(f"none: {counted(count, 'clip is', 'clips are')} too few")
    if one:
        order = np.argsort(real.labels, kind="stable")
        first, second = np.sort(order[::2]), np.sort(order[1::2])
        how = (
            f"{counted(len(first), 'clip')} against the {counted(len(second), 'other')}, there being no more: of so "
            "few the floor is rather too high than too low, and a value well above it is worse for certain"
        )
        return FloorClips(how, rows=(first, second))
    if len(spans) < 2:
        return FloorClips("none: there is only one clip")
    halves = [draw_windows(half, protocol, count, seed, real.stride) for half in halve_clips(spans, seed)]
    how = (
        f"{counted(count, 'window')} of one half of the clips ({len(spans) // 2} or so) against {count} of the other, "
        "there being no more: of so few the floor is rather too high than too low, and a value well above it is worse "
        "for certain"
    )
    return FloorClips(how, (real.others(halves[0]), real.others(halves[1])))
