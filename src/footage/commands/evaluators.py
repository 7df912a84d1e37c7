"""Verbs about feature networks: train one on a data set, convert an official file, say which there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from footage.commands.terminal import make_console
from footage.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from footage.evaluation.features.learned import LearnedNetwork


def train_evaluator(
    dataset: str,
    *,
    to: Path,
    tasks: tuple[Literal["labels", "speed", "arrow", "contrastive"], ...] = (),
    frames: int = 16,
    clips: int = 5120,
    share: float = 0.5,
    seed: int = 0,
    quiet: bool = False,
) -> Path:
    """Train a feature network on some clips of a data set, and let it prove itself on the corruption ladder.

    Half of the files teach it; evaluation with it leaves their clips out. It learns the labels, or, where there are
    none, how fast a clip is played, which way time goes, and which two windows are of one clip. Then real clips that
    it has not seen are blurred, frozen, shuffled and so on, step by step: a network that does not rank them is written,
    and says why, but cannot be used. The same command again goes on where it stopped.

    Args:
        dataset: a dataset folder, or the name of a built-in data set.
        to: the file; the first letters of its SHA-256 are added to the name, and a .json file is put beside it.
        tasks: what to learn, where it should not be the usual.
        frames: length of the clips.
        clips: training clips to see.
        share: part of the training split's files to learn from, label by label.
        seed: of the division, the weights and all draws.
        quiet: print nothing.

    Returns:
        The .safetensors file.
    """
    for name, value, least in (("frames", frames, 4), ("clips", clips, 1)):
        if value < least:
            raise ConfigError(f"{name} is {value}", f"give at least {least}")
    if not 0 < share < 1:
        raise ConfigError(f"share is {share:g}", "give more than 0 and less than 1, such as 0.5")
    from footage.commands.terminal import phases
    from footage.config import ClipConfig
    from footage.data.clips import open_clips
    from footage.evaluation.features.learned import LEAST
    from footage.evaluation.features.learned_training import train_evaluator as train

    console = make_console(quiet)
    source = open_clips(dataset, ClipConfig(frames=frames))
    if min(source.shape[:2]) < LEAST[1]:
        raise ConfigError(
            f"{source.name} is {source.shape[0]}×{source.shape[1]}", f"ingest at {LEAST[1]}×{LEAST[1]} or more"
        )
    with phases(console) as bars:
        path, made = train(
            source,
            Path(to),
            tasks=tasks,
            frames=frames,
            clips=clips,
            share=share,
            seed=seed,
            show=lambda what, done, total: bars(what, done, total, source.name),
        )
    for table in (_learned(made), _climbed(made)):
        console.print(table)
    if not made.failures:
        console.print(f"network  {path}   (for: footage evaluate … --evaluator {path})", highlight=False)
    else:
        console.print("refused:", style="yellow", end=" ")
        console.print(f"{'; '.join(made.failures)}. {path} cannot be used", highlight=False)
    return path


def _learned(made: LearnedNetwork) -> Table:
    """Lay out what a network learned."""
    from rich.table import Table

    table = Table("task", "accuracy on other clips", "guessing", "clips", title=f"{made.name}: what it learned")
    for task, found in made.accuracy.items():
        table.add_row(task, f"{found['accuracy']:.1%}", f"{found['guessing']:.1%}", f"{found['clips']:.0f}")
    return table


def _climbed(made: LearnedNetwork) -> Table:
    """Lay out what a network's ladder came to."""
    from rich.table import Table

    ladder = made.ladder
    table = Table("corruption", "strength: distance over floor", "ranked", title=f"the ladder: {ladder['note']}")
    for rung in ladder["rungs"]:
        steps = zip(rung["strengths"], rung["figures"], strict=True)
        cells = "   ".join(f"{strength:g}: {figure / ladder['floor']:.3g}" for strength, figure in steps)
        said = "yes" if rung["rises"] else "no" if rung["required"] else "no (need not be)"
        said = "yes, within chance" if rung["rises"] and not rung["strictly"] else said
        table.add_row(rung["corruption"], cells, said)
    return table


def convert_evaluator(
    file: Path,
    *,
    network: Literal["i3d", "i3d-kinetics", "inception", "c3d", "videomae", "vjepa", "lpips-alex", "lpips-vgg"],
    to: Path,
    sha256: str | None = None,
    quiet: bool = False,
) -> Path:
    """Turn a published file of weights into safetensors, once its hash was checked; nothing in it can run code.

    Args:
        file: the file as published; of c3d the .npz file, with mean2.npz beside it; of lpips-alex and lpips-vgg
            torchvision's file of the trunk, with alex.pth or vgg.pth, the heads, beside it.
        network: the network that it is for; see: footage evaluator list.
        to: the folder for what is made.
        sha256: what the file's SHA-256 should be, where the true one is not known to us.
        quiet: print nothing.

    Returns:
        The .safetensors file.
    """
    from footage.evaluation.features.official import convert

    path = convert(Path(file), network, Path(to), sha256)
    make_console(quiet).print(f"network  {path}   (for: footage evaluate … --weights {path})", highlight=False)
    return path


def list_evaluators(*, quiet: bool = False) -> list[str]:
    """List the published feature networks: which file each needs, where it is, and its hash.

    Args:
        quiet: print nothing.

    Returns:
        Their names.
    """
    from footage.evaluation.features.official import OFFICIAL

    console = make_console(quiet)
    for name, entry in OFFICIAL.items():
        console.print(f"{name:<13} {entry.what}", highlight=False)
        console.print(f"  file        {entry.file}, from {entry.url}", highlight=False, soft_wrap=True)
        unknown = "not known to us: convert it with --sha256; figures will say so"
        console.print(f"  SHA-256     {entry.sha256 or unknown}", highlight=False, soft_wrap=True)
        if entry.beside is not None:
            beside = entry.beside
            console.print(f"  beside it   {beside.file}, from {beside.url}", highlight=False, soft_wrap=True)
            console.print(f"  SHA-256     {beside.sha256 or unknown}", highlight=False, soft_wrap=True)
        console.print()
    return list(OFFICIAL)
