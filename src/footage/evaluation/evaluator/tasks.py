"""What a feature network of tier B learns: labels where there are any, and what clips tell about themselves.

A task is a head on the features and a cross-entropy. Nothing here is a corruption of the ladder but playing backwards,
which is what the arrow of time is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from footage.data.clips import ClipSource, Span
from footage.errors import ConfigError
from footage.evaluation.features.base import Frames, to_rgb
from footage.evaluation.features.learned import ClipNet

Task = Literal["labels", "speed", "arrow", "contrastive"]
TASKS: tuple[Task, ...] = get_args(Task)
"""Labels: name the class. Speed: how fast the clip is played. Arrow: which way time goes. Contrastive: which two
windows are of one clip (Chen et al. 2020)."""
SPEEDS = (1, 2, 4)
"""Every n-th frame is shown; those that most clips are long enough for."""
TEMPERATURE = 0.1
"""Of the contrastive loss."""
PROJECTION = 64
"""Length of the vectors that the contrastive loss compares."""
SHIFT = 1 / 16
"""Clips are moved by up to this part of their size."""
PLAIN = 0.5
"""Part of the clips that are shown forwards at their own speed, where there are labels: only they tell their class."""


@dataclass(frozen=True)
class Recipe:
    """What is trained, and on what."""

    tasks: tuple[Task, ...]
    """What the network learns."""
    speeds: tuple[int, ...]
    """Speeds that it tells apart."""
    frames: int
    """Frames of a clip."""
    clips: int
    """Clips that it sees."""
    seed: int
    """Of weights and draws."""


@dataclass(frozen=True)
class Batch:
    """What a step learns from."""

    frames: Frames
    """Clips, uint8 (B, T, H, W, C); for the contrastive task twice as many: the second half are other windows."""
    labels: Tensor
    """Their classes (B,), or -1."""
    speeds: Tensor
    """Index into the recipe's speeds (B,)."""
    backwards: Tensor
    """1 for clips that are played backwards (B,)."""


def choose(
    source: ClipSource, own: Sequence[Span], tasks: Sequence[Task], frames: int
) -> tuple[tuple[Task, ...], tuple[int, ...]]:
    """Return the tasks, those that were asked for or the usual ones, and the speeds that the clips allow.

    Raises:
        ConfigError: a task cannot be had from these clips.
    """
    labels = len({span.label for span in own if span.label >= 0})
    usual: tuple[Task, ...] = ("labels",) if labels > 1 else ("speed", "arrow", "contrastive")
    chosen = tuple(tasks) or usual
    if "labels" in chosen and labels < 2:
        raise ConfigError(f"{source.name} has {labels} labels", "leave labels out of --tasks")
    long = [speed for speed in SPEEDS if sum(span.frames >= frames * speed for span in own) > len(own) / 2]
    if not long:
        longest = max(span.frames for span in own)
        raise ConfigError(f"most clips are shorter than {frames} frames", f"give --frames {longest} or fewer")
    if "speed" in chosen and len(long) < 2:
        if tasks:
            raise ConfigError(f"most clips are shorter than {2 * frames} frames", "leave speed out of --tasks")
        chosen = tuple(task for task in chosen if task != "speed")
    return chosen, tuple(long) if "speed" in chosen else (1,)


def draw(source: ClipSource, spans: Sequence[Span], recipe: Recipe, first: int, count: int) -> Batch:
    """Draw clips `first` to `first + count` of the training, each a function of its number."""
    rows: list[Frames] = []
    pairs: list[Frames] = []
    labels, speeds, ways = [], [], []
    for number in range(first, first + count):
        rng = np.random.Generator(np.random.Philox(key=[recipe.seed, number]))
        span = spans[int(rng.integers(len(spans)))]
        plain = "labels" in recipe.tasks and rng.random() < PLAIN
        fitting = [n for n, s in enumerate(recipe.speeds) if span.frames >= recipe.frames * s]
        speed = 0 if plain else fitting[int(rng.integers(len(fitting)))]
        back = bool("arrow" in recipe.tasks and not plain and rng.integers(2))
        for kept in (rows, pairs) if "contrastive" in recipe.tasks else (rows,):
            kept.append(window(source, span, recipe, recipe.speeds[speed], back, rng))
        labels.append(span.label if not back and recipe.speeds[speed] == 1 else -1)
        speeds.append(speed)
        ways.append(int(back))
    return Batch(np.stack(rows + pairs), torch.tensor(labels), torch.tensor(speeds), torch.tensor(ways))


def window(source: ClipSource, span: Span, recipe: Recipe, speed: int, back: bool, rng: np.random.Generator) -> Frames:
    """Return a random window of a clip at a speed, moved by some pixels, uint8 (T, H, W, C)."""
    length = (recipe.frames - 1) * speed + 1
    clip = source.read(span.index, int(rng.integers(span.frames - length + 1)), length)[::speed]
    for axis in (1, 2):
        most = int(clip.shape[axis] * SHIFT)
        places = np.arange(clip.shape[axis]) + int(rng.integers(-most, most + 1))
        clip = np.take(clip, places.clip(0, clip.shape[axis] - 1), axis=axis)  # beyond the edge as at the edge
    return clip[::-1] if back else clip


class Heads(nn.ModuleDict):
    """What is put on the features for each task but `labels`, which has the network's own head."""

    def __init__(self, size: int, recipe: Recipe) -> None:
        widths = {"speed": len(recipe.speeds), "arrow": 2, "contrastive": PROJECTION}
        super().__init__({task: nn.Linear(size, widths[task]) for task in recipe.tasks if task != "labels"})


def loss_of(net: ClipNet, heads: Heads, batch: Batch, recipe: Recipe) -> Tensor:
    """Return the sum of the losses: cross-entropies; the contrastive one is NT-Xent (Chen et al. 2020, eq. 1)."""
    pooled = net.pooled(net.maps(to_rgb(batch.frames)))
    count = len(batch.labels)
    total = pooled.new_zeros(())
    if net.head is not None and bool((batch.labels >= 0).any()):
        total = total + F.cross_entropy(net.head(pooled[:count]), batch.labels, ignore_index=-1)
    for task, answers in (("speed", batch.speeds), ("arrow", batch.backwards)):
        if task in heads:
            total = total + F.cross_entropy(heads[task](pooled[:count]), answers)
    if "contrastive" in heads:
        codes = F.normalize(heads["contrastive"](pooled), dim=1)
        likeness = codes @ codes.T / TEMPERATURE
        likeness = likeness.masked_fill(torch.eye(2 * count, dtype=torch.bool), -torch.inf)
        total = total + F.cross_entropy(likeness, torch.arange(2 * count).roll(count))
    return total
