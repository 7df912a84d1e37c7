"""How many dissolves, fades and cuts between real videos are found: python benchmarks/shots.py VIDEO VIDEO...

Stretches of the videos, drawn at random, are put one behind the other: each comes from another video than the one
before it, since two parts of a camera that stands still dissolve into one another unseen, and holds no cut of its
own. A dissolve lasts 8 to 19 frames, a fade as long to black and from black. A transition is found where one of its
kind is told within 12 frames of its middle (cuts: 2). `frame differences` is what `ingest` uses where nothing is
said; `frame differences, of any threshold` takes the threshold that does best on these very videos.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from footage.generation.cutting.shots import CutFinder, ShotFinder, Transition, load_network
from footage.media.decode import VideoDecoder
from footage.models.feature_networks.transnet import HEIGHT, WIDTH

Frames = npt.NDArray[np.uint8]
JOINS = 40
LEAST, MOST = 40, 60
"""Frames of a stretch."""


def read(path: Path, frames: int = 900) -> Frames:
    """Return the first frames of a video, small."""
    decoder = VideoDecoder(path, height=HEIGHT, width=WIDTH, channels=3, fps=25, fit="stretch")
    chunks = itertools.islice(decoder, -(-frames // 32))
    return np.concatenate([chunk.frames for chunk in chunks])


def find(finder: ShotFinder | CutFinder, frames: Frames) -> list[Transition]:
    """Return the transitions that are found in frames."""
    return finder.find(frames) + finder.rest()


def draw(videos: Sequence[Frames], cuts: Sequence[Sequence[int]], kind: str, seed: int) -> tuple[Frames, list[float]]:
    """Return a video with `JOINS` transitions, and where their middles are; `cuts` are those that the videos have."""
    rng = np.random.default_rng(seed)
    before = int(rng.integers(len(videos)))
    made = [frame.astype(np.float32) for frame in videos[before][:LEAST]]
    middles = []
    for _ in range(JOINS):
        number = int((before + 1 + rng.integers(len(videos) - 1)) % len(videos))
        length, first = 0, 0
        while not length or any(first < cut < first + length for cut in cuts[number]):
            length = int(rng.integers(LEAST, MOST))
            first = int(rng.integers(0, len(videos[number]) - length))
        stretch, before = videos[number][first : first + length].astype(np.float32), number
        ramp = int(rng.integers(8, 20)) if kind != "cut" else 0
        share = ((np.arange(ramp) + 1) / (ramp + 1))[:, None, None, None]
        if kind == "dissolve":
            made[-ramp:] = list(np.stack(made[-ramp:]) * (1 - share) + stretch[:ramp] * share)
            middles.append(len(made) - (ramp + 1) / 2)
            made += list(stretch[ramp:])
        else:
            if ramp:
                made[-ramp:] = list(np.stack(made[-ramp:]) * (1 - share))
                stretch[:ramp] *= share
            middles.append(len(made) - 0.5)
            made += list(stretch)
    return np.stack(made).round().astype(np.uint8), middles


def score(found: Sequence[Transition], middles: Sequence[float], reach: float) -> tuple[int, int]:
    """Return how many are found, and how many are told where none is."""
    places = [(each.first + each.end - 1) / 2 if each.first < each.end else each.first - 0.5 for each in found]
    hits = sum(any(abs(place - middle) <= reach for place in places) for middle in middles)
    false = sum(not any(abs(place - middle) <= reach for middle in middles) for place in places)
    return hits, false


def by_differences(frames: Frames, reach: float, middles: Sequence[float]) -> tuple[int, int]:
    """Return the score of the threshold of a step that does best by F1."""
    steps = np.abs(np.diff(frames.astype(np.int16), axis=0)).mean(axis=(1, 2, 3))
    best, result = -1.0, (0, 0)
    for threshold in np.unique(np.quantile(steps, np.linspace(0.5, 1, 60))):
        places = [at + 1 for at in np.flatnonzero(steps > threshold).tolist()]
        places = [at for number, at in enumerate(places) if not number or at - places[number - 1] > 3]
        hits, false = score([Transition("cut", at, at, 1.0) for at in places], middles, reach)
        f1 = 2 * hits / (len(middles) + hits + false)
        if f1 > best:
            best, result = f1, (hits, false)
    return result


def main() -> None:
    """Print a line for each kind and way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--say", action="store_true", help="print every transition")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    videos, network = [read(path) for path in chosen.videos], load_network()
    cuts = [[each.first for each in find(CutFinder(), video)] for video in videos]
    for kind, seed in itertools.product(("dissolve", "fade", "cut"), range(chosen.seeds)):
        frames, middles = draw(videos, cuts, kind, seed)
        reach = 2.0 if kind == "cut" else 12.0
        begun = time.perf_counter()
        found = find(ShotFinder(25, network), frames)
        each = (time.perf_counter() - begun) / len(frames)
        kinds = sum(transition.kind == kind for transition in found)
        if chosen.say:
            print([(each.kind, each.first, each.end, round(each.confidence, 2)) for each in found], middles, flush=True)
        rows = {
            f"TransNet V2, {1000 * each:.1f} ms a frame, {kinds} of {len(found)} called {kind}": score(
                found, middles, reach
            ),
            "frame differences": score(find(CutFinder(), frames), middles, reach),
            "frame differences, of any threshold": by_differences(frames, reach, middles),
        }
        for name, (hits, false) in rows.items():
            precision = hits / (hits + false) if hits + false else 0.0
            print(
                f"{kind:8} seed {seed}, {len(frames)} frames: {hits} of {len(middles)}, {false} false, recall "
                f"{hits / len(middles):.2f}, precision {precision:.2f}: {name}",
                flush=True,
            )


if __name__ == "__main__":
    main()
