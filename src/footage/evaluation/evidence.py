"""What a figure is computed from: both sides, described, the floor's two sides, and how clips are drawn anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from footage.evaluation.describe import Described
from footage.evaluation.draws import Draws
from footage.evaluation.features.base import About
from footage.evaluation.results import Better, Figure, Floor, Interval, Tier


@dataclass(frozen=True)
class Group:
    """Networks that one figure is the mean over: one, or random ones of several seeds."""

    members: tuple[About, ...]
    """The networks."""

    @property
    def tier(self) -> Tier:
        """How far they can be trusted."""
        return self.members[0].tier

    @property
    def of(self) -> str:
        """`clip` or `frame`."""
        return self.members[0].of

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(about.name for about in self.members)

    @property
    def size(self) -> int:
        """Length of a feature vector."""
        return self.members[0].size

    @property
    def note(self) -> str:
        """What stands beside each figure."""
        return self.members[0].note

    @property
    def title(self) -> str:
        """What to call them in a table."""
        return "random features" if self.tier == "C" else self.members[0].name


def groups_of(nets: Sequence[About]) -> list[Group]:
    """Put the random networks together; each other one stands by itself."""
    found = [Group((net,)) for net in nets if net.tier != "C"]
    for of in ("clip", "frame"):
        if rand := tuple(net for net in nets if net.tier == "C" and net.of == of):
            found.append(Group(rand))
    return found


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


def label_of(name: str, group: Group, frames: int, stride: int) -> str:
    """Return what a figure is printed as. `FVD` by itself never stands for anything but the official network's.

    Args:
        name: of the figure, such as `frechet` or `precision`.
        group: the networks.
        frames: of a clip.
        stride: every which frame of the video these are.
    """
    about = group.members[0]
    if group.tier == "A":
        length = f"{frames}" if stride == 1 else f"{frames * stride}-subsample{stride}"
        if (name, about.name) in OFFICIAL:
            return OFFICIAL[name, about.name].format(length=length)
        return f"{SHORT[name]}-{about.name}" if name in SHORT else f"{name} [{about.name}]"
    if group.tier == "B":
        behind = f"[{about.name}, {about.digest[:8]}]"
        return f"{SELF[name][group.of == 'frame']}{behind}" if name in SELF else f"{name}-self{behind}"
    return RANDOM.get(name, f"{name}-rand")


@dataclass(frozen=True)
class Evidence:
    """Everything that figures of one repeat are computed from."""

    made: Described
    """What is judged."""
    real: Described
    """What it is judged by."""
    floor: tuple[Described, Described] | None
    """Real clips in the place of both; None where there are too few."""
    nets: tuple[About, ...]
    """The networks."""
    made_draws: Draws
    """How the clips of `made` are drawn anew."""
    real_draws: Draws
    """How those of `real` are."""
    frames: int
    """Frames of a clip."""
    stride: int
    """Every which frame of the video these are."""
    fps: float
    """Frames of a clip that pass in a second."""
    made_labels: tuple[str, ...]
    """Names of the classes of `made`."""
    real_labels: tuple[str, ...]
    """Names of the classes of `real`."""
    seed: int
    """Of the clips, and of everything random."""

    @property
    def counts(self) -> tuple[int, int]:
        """Clips of both sides."""
        return self.made.count, self.real.count

    @property
    def resamples(self) -> int:
        """How often clips are drawn anew."""
        return len(self.made_draws)

    def figure(
        self,
        metric: str,
        name: str,
        label: str,
        value: float | None,
        *,
        better: Better,
        floor: float | None = None,
        group: Group | None = None,
        by_network: Sequence[float] = (),
        interval: Interval | None = None,
        real: float | None = None,
        note: str = "",
    ) -> Figure:
        """Put a figure together; the floor's counts, the seed and the networks are filled in."""
        floor_found = None
        if floor is not None and self.floor is not None:
            floor_found = Floor(floor, (self.floor[0].count, self.floor[1].count))
        notes = [text for text in (note, group.note if group else "") if text]
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
            floor=floor_found,
            clips=self.counts,
            seeds=(self.seed,),
            repeats=() if value is None else (value,),
            real=real,
            note="; ".join(notes),
        )
