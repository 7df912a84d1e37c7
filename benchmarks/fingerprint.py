"""How surely a clip is found again among clips of the same model, how often another is taken for it, and how fast.

python benchmarks/fingerprint.py [--model stream-shapes] [--clips 400] [--skip 0] [--copies 50] [--folder CLIPS]
    [--pairs] [--drawn 100000]

Copies of some clips are made as platforms make them, and looked for among all. For false alarms the clip that the copy
is of is left out: whatever is found then is another clip of the same model. Shown is the likeness of the least alike
copy, and of the most alike other clip, by their samples; the processor's time in which a copy is looked for, files and
all; and that of a search among as many drawn fingerprints. `--skip` leaves out the first clips of a folder or seeds of
a model, so that others are looked at than those by which thresholds were chosen; `--pairs` tells which copies were
missed, and what was taken for them. Each change has a line as soon as it is done, and each 50 copies one, so that a run
may be stopped; it has the upper limit of Clopper and Pearson (95%, one-sided) for the share of pairs.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import footage
from footage.media import fingerprints
from footage.media.decode import Frames
from footage.media.encode import write_clip
from footage.media.encoding import EncodingOptions
from footage.media.fingerprints import CROPS, Closer, Codes, Samples, find, make_codes, read_samples
from footage.media.reader import Footage, fit_frames
from footage.metrics.bootstrap import clopper_pearson


class Remembering(Closer):
    """Looks once at each place of a clip: a copy is looked for with its clip and without it."""

    def __init__(self, copy: Path, file: Callable[[int], Path | None]) -> None:
        super().__init__(copy, file)
        self._known: dict[tuple[int, bytes, bool], tuple[float, fingerprints.Values] | None] = {}

    def closeness(
        self, clip: int, place: fingerprints.Values, *, mirrored: bool
    ) -> tuple[float, fingerprints.Values] | None:
        """Return what `Closer.closeness` does."""
        key = clip, place.tobytes(), mirrored
        if key not in self._known:
            self._known[key] = super().closeness(clip, place, mirrored=mirrored)
        return self._known[key]


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


def alarms_told(wrong: int, pairs: int) -> str:
    """Return how many pairs were false alarms, and how many may be."""
    return f"{wrong} of {pairs:,}, at most {clopper_pearson(wrong, pairs, 0.9)[1]:.1e}"


def measure(
    clips: Sequence[Path], copies: int, changes: Sequence[str], table: Table, *, pairs: bool = False
) -> dict[str, float]:
    """Add a row for each change; return which share of copies was found, and how many others in their place."""
    shares, alarms = list[float](), 0
    samples = {number: read_samples(path) for number, path in enumerate(clips)}
    codes = {number: make_codes(some) for number, some in samples.items()}
    index, rng = Codes(codes.items()), np.random.default_rng(0)
    likenesses: dict[int, float] = {}

    def compared(copy: Samples, clips: Sequence[Samples], places: fingerprints.Values) -> fingerprints.Comparison:
        result = compare(copy, clips, places)
        for number, likeness in zip(read, result[0].tolist(), strict=True):
            likenesses[number] = max(likeness, likenesses.get(number, -1.0))
        return result

    def noted(numbers: Sequence[int], without: Collection[int] = ()) -> list[int]:
        read[:] = [number for number in numbers if number not in without]
        return read

    compare, read = fingerprints.compare, list[int]()
    fingerprints.compare = compared
    with tempfile.TemporaryDirectory() as folder:
        for change in changes:
            same, other, spent, found, wrong = list[float](), list[float](), list[float](), 0, 0
            for number, path in list(enumerate(clips))[:: len(clips) // copies][:copies]:
                clip = Footage(path)
                height, width = clip.size()
                fps = float(clip.rate() or 25)
                frames = np.concatenate(list(clip.chunks(height=height, width=width, channels=3, fps=fps)))
                file = copied(frames, fps, change, Path(folder), rng)
                copy, closer = read_samples(file), Remembering(file, clips.__getitem__)
                likenesses.clear()
                start = time.process_time()
                match = find(index, copy, lambda clips: {clip: samples[clip] for clip in noted(clips)}, closer)
                spent.append(time.process_time() - start)
                found += match is not None and match.clip == number
                same.append(likenesses.get(number, -1.0))
                likenesses.clear()
                alone = {number}
                rest = lambda clips, alone=alone: {i: samples[i] for i in noted(clips, alone)}  # noqa: E731
                others = find(index, copy, rest, closer)
                wrong += others is not None
                if pairs and (others is not None or match is None or match.clip != number):
                    print(f"{change}: {path}: {match}, and without it {others}", flush=True)
                other.append(max(likenesses.values(), default=-1.0))
                if len(other) % 50 == 0:
                    alarms_so_far = alarms_told(wrong, len(other) * (len(clips) - 1))
                    print(f"{change}: {found} of {len(other)}, {alarms_so_far}, so far", flush=True)
            taken = f"{np.median(spent) * 1e3:.0f} (at most {np.max(spent) * 1e3:.0f})"
            row = (f"{found / len(same):.3f}", *(f"{v:.3f}" for v in (min(same), np.median(same), max(other))), taken)
            table.add_row(change, str(len(same)), *row, alarms_told(wrong, len(same) * (len(clips) - 1)))
            print(change, len(same), *row, alarms_told(wrong, len(same) * (len(clips) - 1)), flush=True)
            shares.append(found / len(same))
            alarms += wrong
    fingerprints.compare = compare
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
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--copies", type=int, default=50)
    parser.add_argument("--pairs", action="store_true", help="print each miss and each false alarm")
    parser.add_argument("--drawn", type=int, default=100_000)
    parser.add_argument("--changes", nargs="*", choices=CHANGES, default=CHANGES)
    options = parser.parse_args()
    heads = ("change", "copies", "found", "least alike copy", "median", "most alike other", "ms", "false alarms")
    table = Table(*heads, title=str(options.folder or options.model))
    with tempfile.TemporaryDirectory() as folder:
        if options.folder is None:
            clips = []
            generated = footage.load(options.model).generate(options.clips, frames=options.frames, seed=options.skip)
            for number, clip in enumerate(generated):
                clips.append(clip.save(Path(folder) / f"{number}.mp4"))
        else:
            clips = sorted(path for path in options.folder.rglob("*") if path.suffix in (".mp4", ".mkv"))
            clips = clips[options.skip :]
            clips = clips[:: max(1, len(clips) // options.clips)][: options.clips]
        figures = measure(clips, min(options.copies, len(clips)), options.changes, table, pairs=options.pairs)
    Console().print(table)
    if options.drawn:
        seconds = search_seconds(options.drawn)
        middle, least = seconds[len(seconds) // 2] * 1e3, seconds[0] * 1e3
        print(f"{options.drawn:,} drawn fingerprints are searched in {middle:.0f} ms (at least {least:.0f})")
        figures["search"] = middle
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
