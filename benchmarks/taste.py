"""What a library learns of simulated owners whose preference is known: a colour, a motion, sharpness.

The library holds clips of the built-in shapes, each blurred by a random amount, as files. An owner judges some of them,
and is wrong in a part of cases. Reported is how well clips are told apart that the owner has not judged (area under the
ROC curve), and how often the best 20 of 400 candidates please, beside all candidates: built-in clips, and clips of the
shipped model stream-shapes, which an owner judges by their pixels alone. An owner who throws a coin shows how often
anything is learned that is not there.

python benchmarks/taste.py [--repeats 10] [--wrong 0 0.1]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from footage.data.synthetic import draw_factors, render_shapes
from footage.generation.model import Model
from footage.library.descriptors import describe
from footage.library.library import Library
from footage.library.similarity import appearance
from footage.library.taste import Taste
from footage.media.encode import write_clip
from footage.media.thumbnails import sample_frames

Frames = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

FRAMES, SIDE, FPS = 16, 64, 25.0
VERDICTS = (20, 40, 60, 120)
JUDGEABLE, UNSEEN, CANDIDATES, BEST = 240, 400, 400, 20
SEEDS = {"judgeable": 1, "unseen": 2, "candidates": 3}
"""Seeds of the built-in clips."""
COIN = 100
"""Owners who throw a coin."""


@dataclass(frozen=True)
class Shown:
    """Clips as an owner sees them: numbers measured on their pixels, without the descriptors that taste goes by."""

    red: Floats
    """By how much the mean colour of what is bright is redder than anything else, -1 to 1."""
    leftwards: Floats
    """By how many pixels a frame the centre of brightness goes to the left."""
    crisp: Floats
    """Steepest change from pixel to pixel, of the clip's brightest level."""
    descriptors: Floats
    looks: Floats


def blurred(clip: Frames, sigma: float) -> Frames:
    """Blur frames (T, H, W, C) by a Gaussian; the picture is black along its edges."""
    reach = range(-6, 7)
    kernel = np.exp(-(np.array(reach) ** 2) / (2 * max(sigma, 1e-3) ** 2))
    kernel /= kernel.sum()
    soft = clip.astype(np.float64)
    for axis in (1, 2):
        soft = sum(weight * np.roll(soft, step, axis) for step, weight in zip(reach, kernel, strict=True))
    return np.rint(soft).astype(np.uint8)


def built_in(seed: int, count: int) -> list[Frames]:
    """Draw clips of the built-in shapes, blurred by 0 to 2 pixels."""
    sigmas = np.random.Generator(np.random.Philox(key=[seed, 0xB1])).uniform(0, 2, count)
    factors = (draw_factors(seed, index) for index in range(count))
    shapes = (render_shapes(one, start=0, frames=FRAMES, height=SIDE, width=SIDE) for one in factors)
    return [blurred(clip, sigma) for clip, sigma in zip(shapes, sigmas, strict=True)]


def seen(clips: list[Frames]) -> Shown:
    """Look at clips (T, H, W, 3)."""
    rows: list[tuple[float, float, float]] = []
    described, looks = [], []
    for clip in clips:
        light = clip.astype(np.float64) / 255
        level = light.max(axis=-1)
        colour = light[level > 0.5 * level.max()].mean(axis=0)
        x = (level.sum(axis=1) @ np.arange(level.shape[2])) / level.sum(axis=(1, 2))
        steep = np.abs(np.diff(level, axis=2)).max()
        rows.append((float(colour[0] - colour[1:].max()), float((x[0] - x[-1]) / (len(x) - 1)), float(steep)))
        thumbnails = sample_frames([clip], FPS)
        described.append(describe(thumbnails))
        looks.append(appearance(thumbnails))
    red, leftwards, crisp = np.array(rows).T
    return Shown(red, leftwards, crisp, np.array(described, np.float64), np.array(looks, np.float64))


OWNERS: dict[str, Callable[[Shown], Floats]] = {
    "a colour: red": lambda shown: shown.red,
    "a motion: to the left": lambda shown: shown.leftwards,
    "sharpness": lambda shown: shown.crisp,
}
"""What owners like: the more of it the better."""
LIKED = 0.2
"""Part of all clips that an owner likes; of red ones there are a sixth."""


def liked(value: Floats, name: str, limit: float) -> npt.NDArray[np.bool_]:
    return value > (0.4 if "red" in name else limit)


def area(scores: Floats, kept: npt.NDArray[np.bool_]) -> float:
    gaps = scores[kept][:, None] - scores[~kept]
    return float(((gaps > 0) + 0.5 * (gaps == 0)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--wrong", type=float, nargs="*", default=[0.0, 0.1])
    options = parser.parse_args()
    console, begun = Console(), time.monotonic()
    model = Model("stream-shapes")
    with tempfile.TemporaryDirectory() as folder, Library(Path(folder) / "library") as library:
        judgeable = built_in(SEEDS["judgeable"], JUDGEABLE)
        for number, clip in enumerate(judgeable):
            path = Path(folder) / f"{number}.mp4"
            write_clip(path, [clip], fps=FPS, metadata={})
            library.add(path)
        console.print(f"library of {JUDGEABLE} clips: {time.monotonic() - begun:.0f} s")
        known = seen(judgeable)
        unseen, candidates = (
            seen(built_in(SEEDS[name], count)) for name, count in (("unseen", UNSEEN), ("candidates", CANDIDATES))
        )
        generated = seen([clip.array() for clip in model.generate(CANDIDATES, frames=FRAMES)])
        console.print(f"{CANDIDATES} candidates of stream-shapes too: {time.monotonic() - begun:.0f} s")
        rng = np.random.Generator(np.random.Philox(key=[0, 0x7A57]))

        def learn(kept: npt.NDArray[np.bool_], count: int) -> Taste:
            library.bulk(range(1, JUDGEABLE + 1), {"verdict": "undecided"})
            chosen = rng.permutation(JUDGEABLE)[:count] + 1
            for verdict, which in (("keep", True), ("reject", False)):
                library.bulk([int(clip) for clip in chosen if kept[clip - 1] == which], {"verdict": verdict})
            return library.taste()

        for wrong in options.wrong:
            table = Table(
                "owner",
                "verdicts",
                "AUC unseen",
                "own estimate",
                "interval holds it",
                "in use",
                "best 20 of 400 built-in",
                "of stream-shapes",
                "all built-in, all made",
                title=f"{wrong:.0%} of verdicts wrong; means of {options.repeats} draws of verdicts (least)",
            )
            for name, value in OWNERS.items():
                limit = float(np.quantile(value(known), 1 - LIKED))
                truth = {
                    which: liked(value(shown), name, limit)
                    for which, shown in (("known", known), ("unseen", unseen), ("candidates", candidates))
                }
                top = float(np.quantile(value(generated), 1 - LIKED))
                truth["made"] = liked(value(generated), name, top)
                for count in VERDICTS:
                    rows = []
                    for _ in range(options.repeats):
                        kept = truth["known"] ^ (rng.random(JUDGEABLE) < wrong)
                        taste = learn(kept, count)
                        if taste.accuracy is None:
                            continue
                        auc = area(taste.logits(unseen.descriptors, unseen.looks), truth["unseen"])
                        best = []
                        for which, shown in (("candidates", candidates), ("made", generated)):
                            order = np.argsort(-taste.logits(shown.descriptors, shown.looks), kind="stable")[:BEST]
                            best.append(float(truth[which][order].mean() / truth[which].mean()))
                        said = truth["unseen"] ^ (rng.random(UNSEEN) < wrong)  # as the owner would judge them
                        told = area(taste.logits(unseen.descriptors, unseen.looks), said)
                        holds = taste.accuracy.low <= told <= taste.accuracy.high
                        rows.append((auc, taste.accuracy.share, holds, taste.ready, *best))
                    if not rows:
                        continue
                    mean, least = np.mean(rows, axis=0), np.min(rows, axis=0)
                    table.add_row(
                        name,
                        f"{count} ({len(rows)} learn)",
                        f"{mean[0]:.2f} ({least[0]:.2f})",
                        f"{mean[1]:.2f}",
                        f"{mean[2]:.0%}",
                        f"{mean[3]:.0%}",
                        *(f"× {mean[i]:.1f} ({least[i]:.1f})" for i in (4, 5)),
                        f"{truth['candidates'].mean():.0%}, {truth['made'].mean():.0%}",
                    )
            console.print(table)
        for count in VERDICTS:
            in_use = [learn(rng.random(JUDGEABLE) < 0.3, count).ready for _ in range(COIN)]
            console.print(f"an owner who throws a coin, {count} verdicts: in use {sum(in_use)} of {COIN} times")
        console.print(f"{time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
