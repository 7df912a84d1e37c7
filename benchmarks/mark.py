"""What outlives what: the invisible mark after compression, shrinking, cropping; its false alarms; what it costs.

python benchmarks/mark.py [VIDEO...] [--clips 8] [--frames 32] [--keys 500] [--sizes 64x64,256x256,1280x720]

Each clip is written as `footage generate` writes it, with a mark; the file is decoded, changed, written again, and
read. Generated clips are those of stream-shapes (as they are) and stream-signs (fitted); real ones are windows of the
videos that are given, which should not be those that the networks were trained on. Of clips without a mark as many are
read, and each is held against `--keys` random keys.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.console import Console
from rich.table import Table

import footage
from footage.media.encode import write_clip
from footage.media.reader import Footage
from footage.trust import mark

Frames = npt.NDArray[np.uint8]
MESSAGE = 0x5EED2026
MADE = {"made_with": "footage", "weights_sha256": f"{MESSAGE:08x}" + "0" * 56}
FPS = 25


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path, nargs="*")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--keys", type=int, default=500)
    parser.add_argument("--sizes", default="64x64,256x256,1280x720")
    options = parser.parse_args()
    os.environ[mark.SWITCH], console = "on", Console(width=130)
    columns = "clips", "attack", "n", "PSNR, least", "bits right", "found", "message known", "worst rate"
    table, unmarked, found = Table(*columns), list[Frames](), dict[str, float]()
    for size in options.sizes.split(","):
        width, height = (int(side) for side in size.split("x"))
        for kind in ("generated", "real") if options.videos else ("generated",):
            if kind == "generated":
                clips = list(generated(options.clips, options.frames, height, width))
            else:
                clips = list(itertools.islice(windows(options.videos, options.frames, height, width), options.clips))
            unmarked += clips
            for row in outlived(clips):
                table.add_row(f"{size} {kind}", *row)
                found[f"{size} {kind}, {row[0]}"] = int(row[4].split()[0]) / int(row[1])
    console.print(table)
    found["false alarms"] = false_alarms(unmarked, options.keys, console)
    found |= costs(console)
    print(json.dumps(found))


def generated(count: int, frames: int, height: int, width: int) -> Iterator[Frames]:
    """Yield clips of models that come with footage, of seeds that no training has seen."""
    model = footage.load("stream-shapes" if max(height, width) <= 64 else "stream-signs")
    for clip in model.generate(count, seed=990_000, seconds=frames / model.info.fps):
        yield fitted(clip.array()[:frames], height, width)


def windows(videos: list[Path], frames: int, height: int, width: int) -> Iterator[Frames]:
    """Yield windows of videos, from each in turn: of the whole picture, or of a part of it."""
    rng = np.random.default_rng(0)
    for number in itertools.count():
        video = videos[number % len(videos)]
        clip = Footage(video)
        tall, wide = clip.size()
        chunks = clip.chunks(height=tall, width=wide, channels=3, fps=clip.rate() or FPS)
        some = np.stack(list(itertools.islice((frame for chunk in chunks for frame in chunk), 4 * frames)))
        start = int(rng.integers(0, max(1, len(some) - frames)))
        part = min(1.0, tall / height, wide / width) if number % 2 else 1.0  # a part at its own size, or all
        share = min(tall / height, wide / width) * (1.0 if part == 1 else max(0.4, rng.random()))
        h, w = min(tall, round(height * share)), min(wide, round(width * share))
        top, left = rng.integers(0, tall - h + 1), rng.integers(0, wide - w + 1)
        yield fitted(some[start : start + frames, top : top + h, left : left + w], height, width)


def fitted(clip: Frames, height: int, width: int) -> Frames:
    """Return a clip at another size."""
    if clip.shape[1:3] == (height, width):
        return clip
    grey = clip.shape[3] == 1
    pictures = [Image.fromarray(frame[..., 0] if grey else np.ascontiguousarray(frame)) for frame in clip]
    bicubic = Image.Resampling.BICUBIC
    resized = [np.asarray(picture.convert("RGB").resize((width, height), bicubic)) for picture in pictures]
    return np.stack(resized)


def compressed(codec: str, crf: int, ending: str) -> Callable[[Frames], Frames]:
    """Return what encodes a clip by an encoder's usual settings, and decodes it."""

    def encode(clip: Frames) -> Frames:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"clip{ending}"
            with av.open(str(path), "w") as container:
                options = {"crf": str(crf)} | ({} if codec == "libx264" else {"b": "0", "cpu-used": "4"})
                stream: Any = container.add_stream(codec, rate=FPS, options=options)
                stream.height, stream.width, stream.pix_fmt = *clip.shape[1:3], "yuv420p"
                stream.codec_context.time_base = Fraction(1, FPS)
                for number, frame in enumerate(clip):
                    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
                    picture.pts, picture.time_base = number, Fraction(1, FPS)
                    container.mux(stream.encode(picture))
                container.mux(stream.encode(None))
            return decoded(path)

    return encode


def decoded(path: Path) -> Frames:
    """Return a file's frames."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def stored(clip: Frames) -> Frames:
    """Return a clip after it was written once more as it is."""
    with tempfile.TemporaryDirectory() as folder:
        write_clip(Path(folder) / "clip.mp4", [clip], fps=FPS, metadata={}, mark=False)
        return decoded(Path(folder) / "clip.mp4")


def cropped(clip: Frames) -> Frames:
    """Return 70% of both sides, from a place that is no multiple of anything."""
    height, width = (round(0.7 * side) for side in clip.shape[1:3])
    top, left = round(0.21 * clip.shape[1]), round(0.09 * clip.shape[2])
    return clip[:, top : top + height, left : left + width]


ATTACKS: dict[str, Callable[[Frames], Frames]] = {
    "as written": lambda clip: clip,
    "H.264 crf 24": compressed("libx264", 24, ".mp4"),
    "H.264 crf 30": compressed("libx264", 30, ".mp4"),
    "webm (VP9 crf 32)": compressed("libvpx-vp9", 32, ".webm"),
    "half size": lambda clip: stored(fitted(clip, clip.shape[1] // 2, clip.shape[2] // 2)),
    "70% crop": lambda clip: stored(cropped(clip)),
    "25 to 12 fps": lambda clip: stored(clip[[int(number * 25 / 12) for number in range(len(clip) * 12 // 25)]]),
}


def outlived(clips: list[Frames]) -> Iterator[tuple[str, ...]]:
    """Yield rows of a table: what is left of the mark after each attack."""
    with tempfile.TemporaryDirectory() as folder:
        files, noise = [], []
        for number, clip in enumerate(clips):
            path = Path(folder) / f"{number}.mp4"
            write_clip(path, [clip], fps=FPS, metadata=MADE)
            files.append(decoded(path))
            with_mark = np.concatenate(list(mark.embed([clip], MESSAGE)))
            error = np.square(with_mark.astype(np.float32) - clip).mean()
            noise.append(float(10 * np.log10(255**2 / max(error, 1e-9))))
    for name, attack in ATTACKS.items():
        bits, found, known, rates = [], 0, 0, []
        for clip in files:
            changed = attack(clip)
            reading = mark.read([changed])
            told = reading if reading.present else mark.read([changed], [MESSAGE])
            found, known = found + reading.present, known + told.present
            rates.append(reading.false_alarm)
            bits.append(told.agreement(MESSAGE) / 32 if told.present else guessed(changed, name))
        count = len(files)
        shares = f"{np.mean(bits):.3f}", f"{found} of {count}", f"{known} of {count}", f"{max(rates):.0e}"
        yield name, str(count), f"{statistics.mean(noise):.1f}, {min(noise):.1f}", *shares


def guessed(clip: Frames, attack: str) -> float:
    """Return the share of bits that would be right in a clip in which nothing was found; half of them in a crop."""
    if "crop" in attack:
        return 0.5
    small = np.stack([mark._resized(frame, 64, 64) for frame in clip])
    return float(np.mean((mark._entries_read(mark._extracted(small))[0].sum(axis=1) > 0) == (mark._bits(MESSAGE) > 0)))


def false_alarms(clips: list[Frames], keys: int, console: Console) -> int:
    """Print what is found in clips that have no mark, by the key and by others; return in how many by the key."""
    found, rates, rng = 0, [], np.random.default_rng(1)
    for clip in clips:
        for attack in ("as written", "H.264 crf 30"):
            changed = ATTACKS[attack](clip)
            reading = mark.read([changed], [MESSAGE])
            found += reading.present
            frames = np.stack([mark._resized(frame, 64, 64) for frame in changed[::2]])
            extracted = mark._extracted(frames).reshape(1, 8, 4, 8, 4, 16)
            for _ in range(keys):
                flips = rng.choice(np.array([-1, 1], np.float32), (1, 8, 1, 8, 1, 16))
                rates.append(mark._rate(mark._entries_read(extracted * flips)[0], np.empty((0, 32))))
    values = np.array(rates)
    console.print(f"without a mark: found in {found} of {2 * len(clips)} clips; {len(values):,} clips and keys:")
    for level in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6):
        share = np.count_nonzero(values <= level)
        console.print(f"  rate stated {level:.0e}: {share / len(values):.1e} ({share:,})")
    return found


def costs(console: Console) -> dict[str, float]:
    """Print what the mark costs beside making and writing a clip, in seconds of the processor, in turn; return it."""
    found = dict[str, float]()
    table = Table("model", "frames", "making and writing", "mark", "ratio", "wanted")
    for name, seconds in (("stream-shapes", 4.0), ("stream-signs", 1.0)):
        making, marking, frames = [], [], 0
        with tempfile.TemporaryDirectory() as folder, contextlib.suppress(KeyboardInterrupt):
            for number, clip in enumerate(footage.load(name).generate(5, seconds=seconds)):
                start = time.process_time()
                clip.save(Path(folder) / f"{number}.mp4", mark=False)
                making.append(time.process_time() - start)
                chunks = list(clip.chunks())
                start = time.process_time()
                frames = sum(len(chunk) for chunk in mark.embed(chunks, MESSAGE))
                marking.append(time.process_time() - start)
        made, marked = statistics.median(making), statistics.median(marking)
        found[name] = marked / made
        table.add_row(
            name, str(frames), f"{made * 1e3:.0f} ms", f"{marked * 1e3:.1f} ms", f"{marked / made:.1%}", "< 5%"
        )
    console.print(table)
    return found


if __name__ == "__main__":
    main()
