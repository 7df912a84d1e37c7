"""How a feature network of tier B is trained, tried on other clips, and let climb the corruption ladder.

It learns labels, where there are any, and what clips tell about themselves. A task is a head on the features and a
cross-entropy. Nothing here is a corruption of the ladder but playing backwards, which is what the arrow of time is
about.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import save as serialize
from torch import Tensor, nn
from torch.nn import functional as F

from footage import __version__, files
from footage.data.clips import ClipSource, Span
from footage.errors import ConfigError, counted
from footage.evaluation.features import Frames, to_rgb
from footage.evaluation.features.ladder import Ladder, arrow_of_time, climb, distance_from
from footage.evaluation.features.learned import (
    ClipNet,
    LearnedExtractor,
    LearnedNetwork,
    divide,
    write_learned,
)
from footage.files import locked
from footage.trust.locks import check_plain

Task = Literal["labels", "speed", "arrow", "contrastive"]
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
class FeatureTraining:
    """What is trained, and on what."""

    tasks: tuple[Task, ...]
    speeds: tuple[int, ...]
    """Speeds that it tells apart."""
    frames: int
    clips: int
    seed: int
    """Of weights and draws."""


@dataclass(frozen=True)
class TaskBatch:
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
        raise ConfigError(f"{source.name} has {counted(labels, 'label')}", "leave labels out of --tasks")
    long = [speed for speed in SPEEDS if sum(span.frames >= frames * speed for span in own) > len(own) / 2]
    if not long:
        longest = max(span.frames for span in own)
        raise ConfigError(f"most clips are shorter than {frames} frames", f"give --frames {longest} or fewer")
    if "speed" in chosen and len(long) < 2:
        if tasks:
            raise ConfigError(f"most clips are shorter than {2 * frames} frames", "leave speed out of --tasks")
        chosen = tuple(task for task in chosen if task != "speed")
    return chosen, tuple(long) if "speed" in chosen else (1,)


def draw(source: ClipSource, spans: Sequence[Span], recipe: FeatureTraining, first: int, count: int) -> TaskBatch:
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
    return TaskBatch(np.stack(rows + pairs), torch.tensor(labels), torch.tensor(speeds), torch.tensor(ways))


def window(
    source: ClipSource, span: Span, recipe: FeatureTraining, speed: int, back: bool, rng: np.random.Generator
) -> Frames:
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

    def __init__(self, size: int, recipe: FeatureTraining) -> None:
        widths = {"speed": len(recipe.speeds), "arrow": 2, "contrastive": PROJECTION}
        super().__init__({task: nn.Linear(size, widths[task]) for task in recipe.tasks if task != "labels"})


def loss_of(net: ClipNet, heads: Heads, batch: TaskBatch, recipe: FeatureTraining) -> Tensor:
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


WIDTHS = (16, 32, 64, 128)
"""Channels of the stages."""
SIDE = 64
"""Pixels of the shorter side of what the network sees."""
BATCH = 32
"""Clips of a step."""
RATE, DECAY = 2e-3, 0.05
"""Learning rate and weight decay of AdamW (Loshchilov & Hutter 2019)."""
WARM = 0.1
"""Part of the training over which the rate rises; then it falls to 0 along a cosine."""
TRIED = 512
"""Most windows that accuracy is measured on, and features' units are taken from."""
KEEP = 32
"""Steps after which the resumable state is written."""
CLIMBING = 192
"""Most windows on each side of the ladder."""

Show = Callable[[str, int, int], None]
"""Is told what is done, how much of it, and of how much."""


def fit(
    source: ClipSource, own: Sequence[Span], recipe: FeatureTraining, state: Path, show: Show
) -> tuple[ClipNet, Heads]:
    """Train the network on its `own` clips, and set the scale of its features by them.

    What is needed to go on is kept in the file `state`, which the caller removes: a killed training goes on.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        net = ClipNet(WIDTHS, SIDE, len(source.labels) if "labels" in recipe.tasks else 0)
        heads = Heads(net.learned, recipe)
    both = nn.ModuleList([net, heads])
    optimizer = torch.optim.AdamW(both.parameters(), lr=RATE, weight_decay=DECAY)
    steps, done = math.ceil(recipe.clips / BATCH), 0
    if state.is_file():
        try:
            with locked.open_file(state) as stored:
                value: dict[str, Any] = torch.load(stored, map_location="cpu", weights_only=True)
            if value["recipe"] == repr(recipe):
                both.load_state_dict(value["nets"])
                optimizer.load_state_dict(value["optimizer"])
                done = int(value["done"])
        except Exception:  # torch.load raises many kinds for damaged files: the training begins anew
            done = 0
    for step in range(done, steps):
        warm = (step + 1) / max(1, round(steps * WARM))
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(warm, 0.5 * (1 + math.cos(math.pi * step / steps)))
        loss = loss_of(net, heads, draw(source, own, recipe, step * BATCH, BATCH), recipe)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if (step + 1) % KEEP == 0:
            value = {"recipe": repr(recipe), "done": step + 1, "nets": both.state_dict()}
            with files.writing(state, durable=False) as out:
                torch.save({**value, "optimizer": optimizer.state_dict()}, out)
        show("training", step + 1, steps)
    real, _ = windows(source, own, recipe.frames, TRIED, recipe.seed)
    net.eval().standardise(_each(real, lambda clips: net.described(net.maps(clips))))
    return net, heads.eval()


@torch.no_grad()
def _each(frames: Frames, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Return what is made of RGB clips (B, 3, T, H, W), batch by batch."""
    return torch.cat([function(to_rgb(frames[n : n + BATCH])) for n in range(0, len(frames), BATCH)])


@torch.no_grad()
def accuracies(
    net: ClipNet, heads: Heads, source: ClipSource, others: Sequence[Span], recipe: FeatureTraining
) -> dict[str, dict[str, float]]:
    """Measure each task on clips that the network did not learn from.

    Returns:
        For each task its accuracy, that of always giving the commonest answer, and the number of clips. The contrastive
        task's is how often the nearest of the other windows is of the same clip.
    """
    fitting = [span for span in others if span.frames > (recipe.frames - 1) * min(recipe.speeds)]
    batch = draw(source, fitting, replace(recipe, seed=recipe.seed + 1), 0, TRIED)
    pooled = _each(batch.frames, lambda clips: net.pooled(net.maps(clips)))
    accuracy: dict[str, dict[str, float]] = {}

    def add(task: str, given: Tensor, right: Tensor) -> None:
        commonest = float(right.bincount().max()) / len(right)
        accuracy[task] = {
            "accuracy": float((given == right).double().mean()),
            "guessing": commonest,
            "clips": len(right),
        }

    count = len(batch.labels)
    if net.head is not None and bool((batch.labels >= 0).any()):
        known = batch.labels >= 0
        add("labels", net.head(pooled[:count][known]).argmax(1), batch.labels[known])
    for task, answers in (("speed", batch.speeds), ("arrow", batch.backwards)):
        if task in heads:
            add(task, heads[task](pooled[:count]).argmax(1), answers)
    if "contrastive" in heads:
        codes = nn.functional.normalize(heads["contrastive"](pooled), dim=1)
        nearest = (codes[:count] @ codes[count:].T).argmax(1)
        right = (nearest == torch.arange(count)).double().mean()
        accuracy["contrastive"] = {"accuracy": float(right), "guessing": 1 / count, "clips": count}
    return accuracy


def windows(source: ClipSource, spans: Sequence[Span], frames: int, count: int, seed: int) -> tuple[Frames, list[int]]:
    """Return at most `count` windows of clips, uint8 (N, T, H, W, C), and their labels: as far apart as they can be.

    Every clip gives one before any gives another; those of one clip begin half a window apart at least.
    """
    places = []
    for span in spans:
        starts = list(range(0, span.frames - frames + 1, max(1, frames // 2)))
        rng = np.random.Generator(np.random.Philox(key=[seed, span.index]))
        places += [(turn, float(rng.random()), span, starts[i]) for turn, i in enumerate(rng.permutation(len(starts)))]
    places = sorted(places, key=lambda place: place[:2])[:count]
    clips = np.stack([source.read(span.index, start, frames) for _, _, span, start in places])
    return clips[..., : source.shape[2] - source.guides], [span.label for _, _, span, _ in places]


def halves(others: Sequence[Span], seed: int) -> tuple[list[Span], list[Span]]:
    """Divide clips in two halves, file by file and label by label: the ladder's reference, and what is spoiled."""
    names = sorted(
        {(span.label, hashlib.sha256(f"{seed}/{span.source}".encode()).hexdigest(), span.source) for span in others}
    )
    first = {name for _, _, name in names[::2]}
    return [s for s in others if s.source in first], [s for s in others if s.source not in first]


def prove(
    extractor: LearnedExtractor, source: ClipSource, others: Sequence[Span], recipe: FeatureTraining, show: Show
) -> Ladder:
    """Let a network climb the corruption ladder with clips that it did not learn from."""
    one, two = halves([span for span in others if span.frames >= recipe.frames], recipe.seed)
    reference, _ = windows(source, one, recipe.frames, CLIMBING, recipe.seed)
    fresh, labels = windows(source, two, recipe.frames, CLIMBING, recipe.seed)
    climbing = f"{counted(len(fresh), 'window')} of {counted(len(two), 'clip')}"
    note = f"{climbing} against {len(reference)} of {len(one)}, of {source.name}"
    arrow = arrow_of_time(reference, fresh)
    measure = distance_from(extractor, reference)
    ladders = climb(
        lambda clips: {"": measure(clips)}, fresh, labels, arrow=arrow, seed=recipe.seed, note=note, show=show
    )
    return ladders[""]


def train_evaluator(
    source: ClipSource,
    to: Path,
    *,
    tasks: Sequence[Task] = (),
    frames: int = 16,
    clips: int = 8192,
    share: float = 0.5,
    seed: int = 0,
    show: Show = lambda what, done, total: None,
) -> tuple[Path, LearnedNetwork]:
    """Train a feature network on some files of a data set; return its file, and what the .json beside it says.

    The same call again goes on where a killed one stopped. What the ladder came to is in the .json file.

    Args:
        source: the data set.
        to: path of the file; the first 12 letters of the weights' SHA-256 are added to its name.
        tasks: what to learn; nothing for the usual.
        frames: length of the clips.
        clips: training clips to see.
        share: part of the training split's files to learn from.
        seed: of the division, the weights and all draws.
        show: is told what is done, how much of it, and of how much.

    Raises:
        ConfigError: the data set is locked, and the folder of the file is not.
    """
    check_plain([] if locked.folder_of(to) else [getattr(source, "folder", to)], f'"{to}"', "name a locked place")
    own, others = divide(source, share, seed)
    recipe = FeatureTraining(*choose(source, own, tasks, frames), frames, clips, seed)
    own = [span for span in own if span.frames >= frames]
    state = files.name_beside(to.with_suffix(""), ".", ".state")
    net, heads = fit(source, own, recipe, state, show)
    content = serialize({key: value.contiguous() for key, value in net.state_dict().items()})
    digest = files.bytes_digest(content)
    path = to.with_name(f"{to.stem}-{digest[:12]}.safetensors")
    learned = LearnedNetwork(
        name=to.stem,
        dataset_hash=source.content_hash,
        widths=WIDTHS,
        side=SIDE,
        frames=frames,
        fps=source.fps,
        labels=source.labels if "labels" in recipe.tasks else (),
        tasks=recipe.tasks,
        sources=tuple(sorted({span.source for span in own})),
        clips_seen=clips,
        seed=seed,
        accuracy=accuracies(net, heads, source, others, recipe),
        ladder={},
        weights=path.name,
        weights_sha256=digest,
        made_by=f"footage {__version__}",
    )
    learned = replace(learned, ladder=prove(LearnedExtractor(net, learned), source, others, recipe, show).as_json())
    files.write_bytes(path, content)
    write_learned(path.with_suffix(".json"), learned)
    state.unlink(missing_ok=True)
    return path, learned
