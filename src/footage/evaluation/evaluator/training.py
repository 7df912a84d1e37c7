"""How a feature network of tier B is trained, tried on other clips, and let climb the corruption ladder."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as serialize
from torch import Tensor, nn

from footage import __version__, files
from footage.data.clips import ClipSource, Span
from footage.evaluation.evaluator.division import divide, file_of
from footage.evaluation.evaluator.tasks import Heads, Recipe, Task, choose, draw, loss_of
from footage.evaluation.features.base import Frames, to_rgb
from footage.evaluation.features.learned import ClipNet, LearnedExtractor, Made, write_made
from footage.evaluation.ladder import Ladder, arrow_of_time, climb, distance_from

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


def fit(source: ClipSource, own: Sequence[Span], recipe: Recipe, state: Path, show: Show) -> tuple[ClipNet, Heads]:
    """Train the network; what is needed to go on is kept at `state`, so that a killed training goes on.

    Args:
        source: where to read.
        own: the clips to learn from.
        recipe: what to learn.
        state: file of the resumable state; removed by the caller.
        show: is told what is done, how much of it, and of how much.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        net = ClipNet(WIDTHS, SIDE, len(source.labels) if "labels" in recipe.tasks else 0)
        heads = Heads(net.learned, recipe)
    both = nn.ModuleList([net, heads])
    optimizer = torch.optim.AdamW(both.parameters(), lr=RATE, weight_decay=DECAY)
    steps, done = math.ceil(recipe.clips / BATCH), 0
    if state.is_file():
        done = _restored(state, recipe, both, optimizer)
    for step in range(done, steps):
        warm = (step + 1) / max(1, round(steps * WARM))
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(warm, 0.5 * (1 + math.cos(math.pi * step / steps)))
        loss = loss_of(net, heads, draw(source, own, recipe, step * BATCH, BATCH), recipe)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if (step + 1) % KEEP == 0:
            _keep(state, recipe, both, optimizer, step + 1)
        show("training", step + 1, steps)
    return net.eval(), heads.eval()


def _keep(state: Path, recipe: Recipe, both: nn.Module, optimizer: torch.optim.Optimizer, done: int) -> None:
    """Write the resumable state."""
    value = {"recipe": repr(recipe), "done": done, "nets": both.state_dict(), "optimizer": optimizer.state_dict()}
    with files.replacing(state, durable=False) as temporary:
        torch.save(value, temporary)


def _restored(state: Path, recipe: Recipe, both: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Put a resumable state back; return the steps that it has made, 0 where it is of another training or damaged."""
    try:
        value: dict[str, Any] = torch.load(state, map_location="cpu", weights_only=True)
        if value["recipe"] != repr(recipe):
            return 0
        both.load_state_dict(value["nets"])
        optimizer.load_state_dict(value["optimizer"])
        return int(value["done"])
    except Exception:  # torch.load raises many kinds for damaged files
        return 0


@torch.no_grad()
def _each(frames: Frames, made: Callable[[Tensor], Tensor]) -> Tensor:
    """Return what is made of RGB clips (B, 3, T, H, W), batch by batch."""
    return torch.cat([made(to_rgb(frames[n : n + BATCH])) for n in range(0, len(frames), BATCH)])


@torch.no_grad()
def accuracies(
    net: ClipNet, heads: Heads, source: ClipSource, others: Sequence[Span], recipe: Recipe
) -> dict[str, dict[str, float]]:
    """Measure each task on clips that the network did not learn from.

    Returns:
        For each task its accuracy, that of always giving the commonest answer, and the number of clips. The contrastive
        task's is how often the nearest of the other windows is of the same clip.
    """
    fitting = [span for span in others if span.frames > (recipe.frames - 1) * min(recipe.speeds)]
    batch = draw(source, fitting, replace(recipe, seed=recipe.seed + 1), 0, TRIED)
    pooled = _each(batch.frames, lambda clips: net.pooled(net.maps(clips)))
    found: dict[str, dict[str, float]] = {}

    def add(task: str, given: Tensor, right: Tensor) -> None:
        commonest = float(right.bincount().max()) / len(right)
        found[task] = {"accuracy": float((given == right).double().mean()), "guessing": commonest, "clips": len(right)}

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
        found["contrastive"] = {"accuracy": float(right), "guessing": 1 / count, "clips": count}
    return found


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
        {(span.label, hashlib.sha256(f"{seed}/{file_of(span)}".encode()).hexdigest(), file_of(span)) for span in others}
    )
    first = {name for _, _, name in names[::2]}
    return [s for s in others if file_of(s) in first], [s for s in others if file_of(s) not in first]


def prove(
    extractor: LearnedExtractor, source: ClipSource, others: Sequence[Span], recipe: Recipe, show: Show
) -> Ladder:
    """Let a network climb the corruption ladder with clips that it did not learn from."""
    one, two = halves([span for span in others if span.frames >= recipe.frames], recipe.seed)
    reference, _ = windows(source, one, recipe.frames, CLIMBING, recipe.seed)
    fresh, labels = windows(source, two, recipe.frames, CLIMBING, recipe.seed)
    note = f"{len(fresh)} windows of {len(two)} clips against {len(reference)} of {len(one)}, of {source.name}"
    arrow = arrow_of_time(reference, fresh)
    return climb(
        distance_from(extractor, reference), fresh, labels, arrow=arrow, seed=recipe.seed, note=note, show=show
    )


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
) -> tuple[Path, Made]:
    """Train a feature network on some files of a data set, and write it with what the ladder came to.

    The same call again goes on where a killed one stopped.

    Args:
        source: the data set.
        to: path of the file; the first 12 letters of the weights' SHA-256 are added to its name.
        tasks: what to learn; nothing for the usual.
        frames: length of the clips.
        clips: training clips to see.
        share: part of the training split's files to learn from.
        seed: of the division, the weights and all draws.
        show: is told what is done, how much of it, and of how much.

    Returns:
        The .safetensors file, and what the .json file beside it says.
    """
    own, others = divide(source, share, seed)
    chosen, speeds = choose(source, own, tasks, frames)
    own = [span for span in own if span.frames >= frames]
    recipe = Recipe(chosen, speeds, frames, clips, seed)
    state = to.with_name(f".{to.stem}.state")
    net, heads = fit(source, own, recipe, state, show)
    real, _ = windows(source, own, frames, TRIED, seed)
    net.standardise(_each(real, lambda clips: net.described(net.maps(clips))))
    content = serialize({key: value.contiguous() for key, value in net.state_dict().items()})
    digest = files.bytes_digest(content)
    path = to.with_name(f"{to.stem}-{digest[:12]}.safetensors")
    made = Made(
        name=to.stem,
        dataset_hash=source.content_hash,
        widths=WIDTHS,
        side=SIDE,
        frames=frames,
        fps=source.fps,
        labels=source.labels if "labels" in chosen else (),
        tasks=chosen,
        sources=tuple(sorted({file_of(span) for span in own})),
        clips_seen=clips,
        seed=seed,
        accuracy=accuracies(net, heads, source, others, recipe),
        ladder={},
        weights=path.name,
        weights_sha256=digest,
        made_by=f"footage {__version__}",
    )
    made = replace(made, ladder=prove(LearnedExtractor(net, made), source, others, recipe, show).as_json())
    files.write_bytes(path, content)
    write_made(path.with_suffix(".json"), made)
    state.unlink(missing_ok=True)
    return path, made
