"""Transitions between real videos: python benchmarks/joins.py [--model lens-8] [--sheet joins.png] VIDEO VIDEO...

Ten pairs of parts of different videos, drawn at random, are joined at 320 pixels of width: in a second each, and in as
many as `--seconds auto` takes. For each kind: the largest step from frame to frame, in grey levels, those into and out
of the transition among them, against the 95th percentile of the steps of the two parts themselves, up to ten seconds on
either side; and against what no transition of as many frames could do without: how far the two frames are apart between
which it goes, divided among its steps.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from footage.generation.cutting.joins import even_overlaps, mixer, picture_step
from footage.media.decode import VideoDecoder
from footage.media.geometry import Fit
from footage.media.reader import fit_frames
from footage.media.sheets import save_picture
from footage.media.sound import Channels
from footage.media.transitions import Film

Frames = npt.NDArray[np.uint8]
PAIRS, LENGTH, LOOK, SIZE, RATE = 10, 25, 250, (180, 320), Fraction(25)


@dataclass(frozen=True, eq=False)
class Stretch:
    """Frames that are a part of a film."""

    frames: Frames
    sources: tuple[Path, ...]
    told: list[object]

    def pictures(self, size: tuple[int, int], rate: Fraction, fit: Fit, skip: int = 0) -> Iterator[Frames]:
        """Yield them at a size."""
        yield from fit_frames(self.frames[skip:], height=size[0], width=size[1], channels=3, fit=fit)

    def sound(self) -> Iterator[Channels]:
        """Yield nothing."""
        return iter(())


def steps(frames: Frames) -> list[float]:
    """Return how far each frame is from the one before it, in grey levels."""
    return list(itertools.starmap(picture_step, itertools.pairwise(frames)))


def main() -> None:
    """Print a line for each pair and kind, and one for each kind; write the sheet: a row for each pair and kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--model", help="for latent")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    videos = []
    for path in chosen.videos:
        decoder = VideoDecoder(path, height=SIZE[0], width=SIZE[1], channels=3, fps=RATE, fit="crop")
        videos.append(np.concatenate([chunk.frames for chunk in itertools.islice(decoder, 20)]))
    latent = [("latent", False)] if chosen.model else []
    kinds = [("fade", False), ("dissolve", False), ("morph", False), *latent, ("fade", True), ("morph", True)]
    rng, rows = np.random.default_rng(0), list[Frames]()
    told: dict[tuple[str, bool], list[tuple[float, ...]]] = {kind: [] for kind in kinds}
    for pair in range(chosen.pairs):
        one, other = rng.choice(len(videos), 2, replace=False)
        first, second = (int(rng.integers(0, len(videos[number]) - 2 * LENGTH)) for number in (one, other))
        before, after = videos[one][: first + 2 * LENGTH][-LOOK:], videos[other][second:][:LOOK]
        usual = float(np.percentile(steps(before) + steps(after), 95))
        parts = [Stretch(part, (chosen.videos[n],), []) for n, part in ((one, before), (other, after))]
        film = Film(tuple(parts), (len(before), len(after)), SIZE, RATE, False)
        for kind, auto in kinds:
            mix = mixer(kind, chosen.model if kind == "latent" else None)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                count = even_overlaps(film, mix)[0] if auto else LENGTH
                made = np.stack(list(mix(list(before[-count:]), list(after[:count]))))
            assert len(made) == count and (made[0] == before[-count]).all()
            largest = max(steps(np.concatenate([before[-count - 1 : -count], made, after[count : count + 1]])))
            floor = picture_step(before[-count], after[min(count, len(after) - 1)]) / count
            told[kind, auto].append((largest, usual, float(count / RATE), floor))
            print(
                f"pair {pair + 1}, {kind}, {float(count / RATE):.2f} s: {largest:.2f} levels, the parts' own "
                f"{usual:.2f}, the least possible {floor:.2f}",
                flush=True,
            )
            rows.append(
                np.concatenate([made[round(place)] for place in np.linspace(0, count - 1, 7)], axis=1)[::2, ::2]
            )
    for (kind, auto), values in told.items():
        largest_ones, usual_ones, seconds, floors = np.array(values).T
        ratio = largest_ones / usual_ones
        print(
            f"{kind}, {'auto' if auto else '1 s'}: {np.median(seconds):.2f} s in the median, {seconds.max():.2f} at "
            f"most; largest step {np.median(largest_ones):.1f} levels in the median, within the parts' own in "
            f"{int((ratio <= 1).sum())} of {chosen.pairs} pairs, {ratio.max():.2f} times it at worst; "
            f"{np.median(largest_ones / floors):.2f} times the least possible"
        )
    if chosen.sheet is not None:
        save_picture(chosen.sheet, np.concatenate(rows))


if __name__ == "__main__":
    main()
