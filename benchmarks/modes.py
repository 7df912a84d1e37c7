"""How many of the built-in shapes' modes a model finds: shape x colour x direction x speed, 288 in all.

python benchmarks/modes.py MODEL [MODEL ...] [--clips 2048]

What a clip shows is measured frame by frame: its one blob's mean colour (the nearest hue), its outline (the shape of
equal area and place that covers it best, in most frames), and its displacement over the first frames that lie before
a bounce. A clip is valid where in all frames but two there is one blob of one colour, and it never jumps; modes are of
valid clips. The first line is of real held-out clips, and how often the measurement names their known factors.
"""

from __future__ import annotations

import argparse
import colorsys
import math
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt

from footage.data.clips import BuiltInClips
from footage.data.synthetic import COLOURS, DIRECTIONS, SHAPES, SPEEDS, draw_factors
from footage.evaluation.clip_sets import ClipShape, GeneratedClips
from footage.generation.model import Model

Frames = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
Mode = tuple[str, str, int, float]
"""Shape, colour, direction in eighths of a turn, speed in short sides a frame."""

DARK = 60
"""Pixels below this in every channel are background."""
STEPS = 4
"""Steps from frame to frame that direction and speed are taken from."""


def hue(colour: Floats) -> str:
    """Return the nearest of COLOURS, by which channels are on."""
    sides = np.array([colorsys.hsv_to_rgb(number / len(COLOURS), 1.0, 1.0) for number in range(len(COLOURS))])
    likeness = sides @ colour / np.sqrt((sides**2).sum(axis=1))
    return COLOURS[int(likeness.argmax())]


def outline(mask: npt.NDArray[np.bool_], centre: Floats) -> str:
    """Return the shape that covers a blob best."""
    half = math.sqrt(mask.sum()) / 2
    ys, xs = np.mgrid[: mask.shape[0], : mask.shape[1]]
    y, x = ys - centre[0], xs - centre[1]
    inradius = 2 * half / math.sqrt(3 * math.sqrt(3))
    inside = {
        "square": np.maximum(np.abs(y), np.abs(x)) < half,
        "circle": np.hypot(y, x) < 2 * half / math.sqrt(math.pi),
        "triangle": np.maximum(y, math.sqrt(3) / 2 * np.abs(x) - y / 2) < inradius,
    }
    return max(SHAPES, key=lambda name: float((inside[name] & mask).sum() / (inside[name] | mask).sum()))


def measured(clip: Frames) -> Mode | None:
    """Return the mode of a clip, uint8 (T, H, W, 3), or None where it is not valid."""
    side = min(clip.shape[1:3])
    masks = clip.max(axis=-1) >= DARK
    centres, names, colours, bad = [], Counter[str](), [], 0
    for frame, mask in zip(clip, masks, strict=True):
        ys, xs = np.nonzero(mask)
        if len(ys) < 0.01 * mask.size:
            bad += 1
            centres.append(np.full(2, np.nan))
            continue
        centre = np.array([ys.mean(), xs.mean()])
        spread = math.sqrt(((ys - centre[0]) ** 2 + (xs - centre[1]) ** 2).mean())
        bad += spread > 0.65 * math.sqrt(len(ys))  # of a triangle 0.45: more is in pieces, or torn
        centres.append(centre)
        names[outline(mask, centre)] += 1
        colours.append(frame[mask].mean(axis=0))
    path = np.array(centres)
    steps = np.diff(path, axis=0)
    if bad > 2 or not np.nanmax(np.linalg.norm(steps, axis=1)) < side / 8:
        return None
    if np.std(colours, axis=0).max() > 30:
        return None
    # The straightest stretch of STEPS steps: it lies before a bounce, or after it.
    stretches = np.lib.stride_tricks.sliding_window_view(steps, STEPS, axis=0)  # N 2 STEPS
    bends = np.nan_to_num(np.linalg.norm(stretches.std(axis=2), axis=1), nan=np.inf)
    step = stretches[int(bends.argmin())].mean(axis=1)
    direction = round(math.atan2(step[0], step[1]) / (2 * math.pi / DIRECTIONS)) % DIRECTIONS
    length = float(np.linalg.norm(step)) / side
    return (
        names.most_common(1)[0][0],
        hue(np.mean(colours, axis=0)),
        direction,
        min(SPEEDS, key=lambda speed: abs(speed - length)),
    )


def row(name: str, clips: list[Frames]) -> str:
    """Return a line of the table."""
    modes = Counter(mode for clip in clips if (mode := measured(clip)) is not None)
    valid = sum(modes.values())
    whole = len(SHAPES) * len(COLOURS) * DIRECTIONS * len(SPEEDS)
    parts = [Counter[str]() for _ in range(4)]
    for mode, count in modes.items():
        for part, value in zip(parts, mode, strict=True):
            part[str(value)] += count
    least = ", ".join(f"{min(part.values(), default=0) * len(part) / max(1, valid):.2f}" for part in parts)
    return f"| {name} | {valid / len(clips):.1%} | {len(modes)} of {whole} ({len(modes) / whole:.1%}) | {least} |"


def real(source: BuiltInClips, count: int, frames: int) -> tuple[list[Frames], float]:
    """Return held-out clips, and how often what is measured is what is known.

    Directions count modulo their mirror images: a clip that bounces shows several.
    """
    clips, right = [], 0
    for span in source.spans("heldout")[:count]:
        clips.append(source.read(span.index, 0, frames))
        known, found = draw_factors(source.seed, span.index), measured(clips[-1])
        if found is not None:
            mirrors = {sign * known.direction + turn for sign in (1, -1) for turn in (0, DIRECTIONS // 2)}
            same = found[2] in {mirror % DIRECTIONS for mirror in mirrors}
            right += same and (found[0], found[1], found[3]) == (known.shape, known.colour, known.speed)
    return clips, right / len(clips)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--clips", type=int, default=2048)
    options = parser.parse_args()
    for number, path in enumerate(options.models):
        model = Model(path)
        clip = model.info.config.clip
        source = BuiltInClips("shapes", height=clip.height, width=clip.width, channels=3)
        if not number:
            clips, right = real(source, 512, clip.frames)
            print("| clips | valid | modes | share of the rarest shape, colour, direction, speed, times their number |")
            print("|---|---|---|---|")
            print(row(f"real (factors named rightly: {right:.1%})", clips))
            train = [source.read(span.index, 0, clip.frames) for span in source.spans("train")[: options.clips]]
            print(row(f"{options.clips:,} real training clips", train), flush=True)
        shape = ClipShape(clip.frames, clip.height, clip.width, clip.channels)
        made_clips = GeneratedClips(model, options.clips, shape)
        fakes = [clip for _, batch in made_clips.batches(range(options.clips)) for clip in batch]
        print(row(model.info.name, fakes), flush=True)


if __name__ == "__main__":
    main()
