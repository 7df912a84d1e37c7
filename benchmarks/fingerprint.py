"""How surely a clip is found again among clips of the same model, how often another is taken for it, and how fast.

python benchmarks/fingerprint.py [--model stream-shapes] [--clips 400] [--skip 0] [--copies 50] [--folder CLIPS]
    [--thirteenths 1 2] [--pairs] [--among 0] [--drawn 100000]

Copies of some clips are made as platforms make them, and looked for among all. For false alarms the clip that the copy
is of is left out: whatever is found then is another clip of the same model; it is left out too, until nothing is found.
Shown is the likeness of the least alike copy, and of the most alike other clip, by their samples; the processor's time
in which a copy is looked for, as a library does that has the frames of its clips, where its clip is there and where it
is not (median, 95th percentile; `--among` adds drawn fingerprints to theirs); and that of a search among as many drawn
fingerprints. `--skip` leaves out the first clips of a folder or seeds of a model, and `--thirteenths` all but those
whose numbers leave such remainders by 13, so that others are looked at than those by which thresholds were chosen;
`--pairs` tells which copies were missed, and what was taken for them. Each change has a line as soon as it is done, and
each 50 copies one, so that a run may be stopped.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import footage
from footage.media import fingerprints
from footage.media.decode import Frames
from footage.media.encode import write_clip
from footage.media.encoding import EncodingOptions
from footage.media.fingerprints import (
    CROPS,
    Closer,
    Codes,
    Comparison,
    Fingerprint,
    Match,
    Samples,
    Shown,
    Values,
    find,
    make_codes,
    read_fingerprint,
)
from footage.media.reader import Footage, fit_frames
from footage.metrics.bootstrap import clopper_pearson

CHANGES = ("crf 30", "half size", "crop 70%", "12 fps", "webm", "trimmed", "mirrored", "crop, half, 12 fps, crf 30")


def copied(frames: Frames, fps: float, change: str, folder: Path, rng: np.random.Generator) -> Path:
    """Write a copy of a clip, (T, H, W, 3), and return its file."""
    crf, suffix = 30 if "crf 30" in change else 23, "mp4"
    if "crop" in change:
        height, width = (int(0.7 * side) // 2 * 2 for side in frames.shape[1:3])
        y, x = (
            int(rng.integers(side - part + 1)) for side, part in zip(frames.shape[1:3], (height, width), strict=True)
        )
        frames = frames[:, y : y + height, x : x + width]
    if "half" in change:
        height, width = (side // 4 * 2 for side in frames.shape[1:3])
        frames = fit_frames(frames, height=height, width=width, channels=3, fit="stretch")
    if "fps" in change:
        times = np.arange(int(len(frames) / fps * 12)) / 12
        frames, fps = frames[(times * fps + 1e-6).astype(int)], 12.0
    if change == "trimmed":
        frames = frames[round(0.3 * fps) :]
    if change == "mirrored":
        frames = frames[:, :, ::-1]
    if change == "webm":
        suffix, crf = "webm", 36
    path = folder / f"copy.{suffix}"
    encoding = EncodingOptions(codec="vp9" if suffix == "webm" else "h264", crf=crf)
    write_clip(path, [np.ascontiguousarray(frames)], fps=fps, metadata={}, encoding=encoding)
    return path


def alarms_told(alarms: Collection[tuple[int, int]], copies: Sequence[int], clips: int) -> str:
    """Return how many pairs (copy, clip) were false alarms, and how many may be, as if they were independent or not.

    Each copy is in many pairs, and so is each clip. So both are drawn anew, a pair counts as often as its copy and its
    clip are drawn (Owen, The pigeonhole bootstrap, 2007), and the 95th percentile of 2,000 such shares is told. It says
    nothing where no alarm was seen. The upper limit for independent pairs is that of Clopper and Pearson.
    """
    pairs, rng = len(copies) * (clips - 1), np.random.default_rng(0)
    summary = f"{len(alarms)} of {pairs:,}, at most {clopper_pearson(len(alarms), pairs, 0.9)[1]:.1e}"
    if not alarms:
        return summary
    shares, places = [], {copy: place for place, copy in enumerate(copies)}
    for _ in range(2000):
        of_copy, of_clip = (np.bincount(rng.integers(n, size=n), minlength=n) for n in (len(copies), clips))
        shares.append(sum(int(of_copy[places[copy]] * of_clip[clip]) for copy, clip in alarms) / pairs)
    return f"{summary} ({np.quantile(shares, 0.95):.1e} by the bootstrap)"


class Shelf:
    """The fingerprints of clips, as a library keeps them, and as many drawn ones beside them."""

    def __init__(self, clips: Sequence[Path], drawn: int = 0) -> None:
        self.samples, self.shown = dict[int, Samples](), dict[int, bytes]()
        for number, path in enumerate(clips):
            self.samples[number], frames = read_fingerprint(path)
            self.shown[number] = frames.packed()
        rng, moments = np.random.default_rng(0), 5
        own = [(number, make_codes(some)) for number, some in self.samples.items()]
        codes = rng.integers(0, 2**64, (drawn, moments, len(CROPS)), dtype=np.uint64)
        self.index = Codes([*own, *enumerate(codes, len(own))])
        self.drawn = rng.integers(0, 256, (fingerprints.CANDIDATES, 24, fingerprints.WIDTH), dtype=np.uint8)

    def search(self, copy: Fingerprint, without: Collection[int] = ()) -> tuple[Match | None, float, dict[int, float]]:
        """Return what is found among the other clips, in how many seconds, and how alike each was that was judged."""
        likenesses, numbers, compare = dict[int, float](), list[int](), fingerprints.compare

        def compared(copy: Samples, clips: Sequence[Samples], places: Values) -> Comparison:
            result = compare(copy, clips, places)
            for number, likeness in zip(numbers, result[0].tolist(), strict=True):
                likenesses[number] = max(likeness, likenesses.get(number, -1.0))
            return result

        def read(clips: Sequence[int]) -> dict[int, Samples]:
            numbers[:] = [clip for clip in clips if clip not in without]
            return {clip: self.samples.get(clip, self.drawn[clip % len(self.drawn)]) for clip in numbers}

        fingerprints.compare, start = compared, time.process_time()
        try:
            closer = Closer(copy.shown, lambda clip: Shown.unpacked(self.shown[clip]))
            match = find(self.index, copy.samples, read, closer)
        finally:
            fingerprints.compare = compare
        return match, time.process_time() - start, likenesses


def measure(
    clips: Sequence[Path], copies: int, changes: Sequence[str], table: Table, *, pairs: bool = False, among: int = 0
) -> dict[str, float]:
    """Add a row for each change; return which share of copies was found, and how many others in their place."""
    shares, alarms, shelf, rng = list[float](), 0, Shelf(clips, among), np.random.default_rng(0)
    chosen = list(range(len(clips)))[:: len(clips) // copies][:copies]
    with tempfile.TemporaryDirectory() as folder:
        for change in changes:
            same, other, found, wrong = list[float](), list[float](), 0, list[tuple[int, int]]()
            spent, spent_without = list[float](), list[float]()
            for done, number in enumerate(chosen, 1):
                clip = Footage(clips[number])
                height, width = clip.size()
                fps = float(clip.rate() or 25)
                frames = np.concatenate(list(clip.chunks(height=height, width=width, channels=3, fps=fps)))
                copy = read_fingerprint(copied(frames, fps, change, Path(folder), rng))
                match, seconds, likenesses = shelf.search(copy)
                spent.append(seconds)
                found += match is not None and match.clip == number
                same.append(likenesses.get(number, -1.0))
                taken, seconds, likenesses = shelf.search(copy, without := {number})
                spent_without.append(seconds)
                other.append(max(likenesses.values(), default=-1.0))
                if pairs and (taken is not None or match is None or match.clip != number):
                    print(f"{change}: {clips[number]}: {match}, and without it {taken}", flush=True)
                while taken is not None:
                    wrong.append((number, taken.clip))
                    taken, _, _ = shelf.search(copy, without := without | {taken.clip})
                if done % 50 == 0:
                    so_far = alarms_told(wrong, chosen[:done], len(clips))
                    print(f"{change}: {found} of {done}, {so_far}, so far", flush=True)
            figures = min(same), np.median(same), max(other)
            times = [f"{t:.0f}" for some in (spent, spent_without) for t in np.percentile(some, [50, 95]) * 1e3]
            row = f"{found / len(same):.3f}", *(f"{v:.3f}" for v in figures), "{}, {}; {}, {}".format(*times)
            summary = alarms_told(wrong, chosen, len(clips))
            table.add_row(change, str(len(same)), *row, summary)
            print(change, len(same), *row, summary, flush=True)
            shares.append(found / len(same))
            alarms += len(wrong)
    return {"found": float(np.mean(shares)), "wrong": alarms}


def search_seconds(count: int, repeats: int = 9) -> list[float]:
    """Return the processor's times in which nothing is found that begins as a copy does among drawn ones of 2 s."""
    rng = np.random.default_rng(0)
    moments = 5
    codes = Codes((number, rng.integers(0, 2**64, (moments, len(CROPS)), dtype=np.uint64)) for number in range(count))
    drawn = rng.integers(0, 256, (fingerprints.CANDIDATES, 24, fingerprints.WIDTH), dtype=np.uint8)
    copy, seconds = drawn[0], []
    for _ in range(repeats):
        start = time.process_time()
        fingerprints.best_of(codes, copy, lambda clips: dict(zip(clips, drawn, strict=False)), [(0, 0)])
        seconds.append(time.process_time() - start)
    return sorted(seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="stream-shapes")
    parser.add_argument("--folder", type=Path, help="of clips, in place of a model's")
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--skip", type=int, default=0, help="clips, or seeds, that are left out before those")
    parser.add_argument(
        "--thirteenths", type=int, nargs="*", help="remainders by 13 of the numbers of a folder's clips"
    )
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--copies", type=int, default=50)
    parser.add_argument("--pairs", action="store_true", help="print each miss and each false alarm")
    parser.add_argument("--among", type=int, default=0, help="drawn fingerprints beside those of the clips")
    parser.add_argument("--drawn", type=int, default=100_000)
    parser.add_argument("--changes", nargs="*", choices=CHANGES, default=CHANGES)
    options = parser.parse_args()
    heads = (
        "change",
        "copies",
        "found",
        "least alike copy",
        "median",
        "most alike other",
        "ms (found, not there)",
        "false alarms",
    )
    table = Table(*heads, title=str(options.folder or options.model))
    with tempfile.TemporaryDirectory() as folder:
        if options.folder is None:
            clips = []
            generated = footage.load(options.model).generate(options.clips, frames=options.frames, seed=options.skip)
            for number, clip in enumerate(generated):
                clips.append(clip.save(Path(folder) / f"{number}.mp4"))
        else:
            clips = sorted(path for path in options.folder.rglob("*") if path.suffix in (".mp4", ".mkv"))
            if options.thirteenths:
                clips = [clip for number, clip in enumerate(clips) if number % 13 in options.thirteenths]
            clips = clips[options.skip :]
            clips = clips[:: max(1, len(clips) // options.clips)][: options.clips]
        figures = measure(
            clips, min(options.copies, len(clips)), options.changes, table, pairs=options.pairs, among=options.among
        )
    Console().print(table)
    if options.drawn:
        seconds = search_seconds(options.drawn)
        middle, least = seconds[len(seconds) // 2] * 1e3, seconds[0] * 1e3
        print(f"{options.drawn:,} drawn fingerprints are searched in {middle:.0f} ms (at least {least:.0f})")
        figures["search"] = middle
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
