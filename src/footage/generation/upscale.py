"""Videos made larger, chunk by chunk, in constant memory.

Reading, enlarging and packing go on at the same time, each in a thread, with a few chunks waiting between them.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from footage import __version__, files
from footage.errors import ConfigError, counted
from footage.generation.clip import Clip
from footage.generation.rollout import match_channels
from footage.machines.cluster import Cluster
from footage.media.encoding import DEFAULT_ENCODING, EncodingOptions
from footage.media.geometry import EnlargementPlan, Fit, Size, fitted, parse_size, plan_enlargement
from footage.media.reader import DamageLog, Footage, Original
from footage.media.segments import SEGMENT_FRAMES, SegmentWriter, VideoTarget
from footage.models.base import Enlarges
from footage.models.card import ModelInfo
from footage.trust import mark as invisible_mark

T = TypeVar("T")

PATIENCE = 0.1
"""Seconds after which a stage that waits looks whether it is still wanted."""


def prefetch(items: Iterable[T], depth: int = 2, name: str = "stage") -> Generator[T, None, None]:
    """Pass items on that a thread makes beforehand, `depth` of them at most; so memory stays bounded.

    `items` is iterated in the thread alone. An error in it is raised where the items are taken. When the taker stops,
    the thread stops too, and a generator that it runs is closed in it.
    """
    waiting: queue.Queue[tuple[bool, object]] = queue.Queue(depth)
    stop = threading.Event()

    def put(done: bool, item: object) -> bool:
        while not stop.is_set():
            try:
                waiting.put((done, item), timeout=PATIENCE)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        error: BaseException | None = None
        iterator = iter(items)
        try:
            for item in iterator:
                if not put(False, item):
                    break
        except BaseException as raised:  # whatever it is, it belongs to the taker
            error = raised
        finally:
            close: Callable[[], None] = getattr(iterator, "close", lambda: None)
            close()
            put(True, error)

    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    try:
        while True:
            done, item = waiting.get()
            if done:
                if isinstance(item, BaseException):
                    raise item
                return
            yield item  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()


SegmentRange = tuple[int, int | None]
"""Numbers of the first segment and of the one behind the last; None for as many as there are."""
Pixels = npt.NDArray[Any]
"""uint8, or uint16 where a video has more than 8 bits."""

TILE = 512
"""Longest side of what is enlarged at once, in pixels of the small frames."""
LEAST_TILE = 32
"""A smaller tile is mostly margin."""
STRETCH = 40
"""Segments that a worker of a cluster writes at once, at most."""
CPU = torch.device("cpu")
AREA, MOST_FRAMES = 2**18, 8
"""Pixels, and frames, that wait together between two stages, at most."""


@dataclass(frozen=True)
class UpscaleOptions:
    """How the arithmetic is done; the result is the same but for rounding."""

    tile: int = TILE
    """Longest side of what is enlarged at once, in pixels of the small frames."""
    bf16: bool = False
    """Whether convolutions are made in that precision."""

    def __post_init__(self) -> None:
        if self.tile < LEAST_TILE:
            raise ConfigError(f"tile is {self.tile}", f"give {LEAST_TILE} or more")


@dataclass
class UpscaleResult:
    """How a video was made larger."""

    size: Size
    frames: int
    resumed: int
    """How many of them had been made before."""
    damage: DamageLog = field(default_factory=DamageLog)
    """What was damaged in the source."""
    notes: list[str] = field(default_factory=list)
    """What beside the pictures was encoded again, in words."""
    left_out: list[str] = field(default_factory=list)
    """What of the source the file cannot hold, in words."""


def enlarge(
    sampler: Enlarges, plan: EnlargementPlan, chunks: Iterable[Tensor], options: UpscaleOptions
) -> Iterator[Tensor]:
    """Yield a video, (1, C, T, h, w) in [-1, 1], on its way to a larger size, with as many frames as there are."""
    large = chunks
    for shrink in plan.shrinks:
        resized = _resized(large, shrink)
        # One by one: the same bits come out, however a video is cut, and wherever it is taken up again.
        frames = (chunk[:, :, number : number + 1] for chunk in resized for number in range(chunk.shape[2]))
        large = sampler.stream(frames, options.tile, options.bf16)
    yield from _framed(large, plan.picture, plan.frame)


def _framed(chunks: Iterable[Tensor], picture: Size, frame: Size) -> Iterator[Tensor]:
    """Bring frames (1, C, T, h, w) to the size of the picture, then cut them to the frame, or put black around them."""
    down, right = frame.height - picture.height, frame.width - picture.width
    edges = (right // 2, right - right // 2, down // 2, down - down // 2)
    for chunk in _resized(chunks, picture):
        yield pad(chunk, edges, value=-1.0) if any(edges) else chunk  # what is below 0 is cut off


def _resized(chunks: Iterable[Tensor], size: Size) -> Iterator[Tensor]:
    """Bring frames (1, C, T, h, w) to a size, by the bicubic kernel."""
    for chunk in chunks:
        if chunk.shape[3:] == (size.height, size.width):
            yield chunk
            continue
        with torch.inference_mode():
            frames = chunk[0].transpose(0, 1)  # T C h w
            frames = interpolate(frames, (size.height, size.width), mode="bicubic", antialias=True)
            resized = frames.clamp(-1, 1).transpose(0, 1).unsqueeze(0)  # 1 C T H W
        yield resized


def to_tensor(pixels: Pixels, device: torch.device) -> Tensor:
    """Turn frames (T, H, W, C), uint8 or uint16, into (1, C, T, H, W) in [-1, 1]."""
    half = np.iinfo(pixels.dtype).max / 2
    plain = torch.from_numpy(pixels.astype(np.int32) if pixels.dtype == np.uint16 else pixels).to(device)
    return plain.float().div_(half).sub_(1).permute(3, 0, 1, 2).contiguous().unsqueeze(0)


def to_pixels(chunk: Tensor, deep: bool) -> Pixels:
    """Turn (1, C, T, H, W) in [-1, 1] into frames (T, H, W, C), uint8, or uint16 where they are `deep`."""
    most = 65_535 if deep else 255
    levels = chunk[0].add(1).mul_(most / 2).round_().clamp_(0, most)
    levels = levels.to(torch.int32 if deep else torch.uint8).permute(1, 2, 3, 0).contiguous()  # T H W C
    pixels: Pixels = levels.cpu().numpy()
    return pixels.astype(np.uint16) if deep else pixels


def enlarged_clip(
    sampler: Enlarges, info: ModelInfo, clip: Clip, source: Size, frame: Size, fit: Fit, options: UpscaleOptions
) -> Clip:
    """Return a clip of a larger size: its frames are made, enlarged and taken at the same time.

    Raises:
        MediaError: the clip is as large already, or far too small.
    """
    plan = plan_enlargement(source, source, frame, sampler.scale, fit)

    def make() -> Iterator[Pixels]:
        return prefetch(_enlarged(sampler, plan, clip.chunks(), options, deep=False), name="upscaler")

    about = {"upscaler": info.name, "upscaler_sha256": info.weights_sha256, "size": [frame.width, frame.height]}
    return replace(clip, make=make, metadata=clip.metadata | about)


def shrunk_clip(clip: Clip, source: Size, frame: Size, fit: Fit) -> Clip:
    """Return a clip of a size for which its pictures need not grow: its frames are shrunk as they are taken."""

    def make() -> Iterator[Pixels]:
        small = _framed((to_tensor(chunk, CPU) for chunk in clip.chunks()), fitted(source, frame, fit), frame)
        return (to_pixels(chunk, deep=False) for chunk in small)

    return replace(clip, make=make, metadata=clip.metadata | {"size": [frame.width, frame.height]})


def enlarged_target(
    info: ModelInfo,
    original: Original,
    plan: EnlargementPlan,
    frame: Size,
    to: Path,
    deep: bool,
    encoding: EncodingOptions,
    mark: bool,
) -> VideoTarget:
    """Return what is written of a video that is made larger, with what its metadata say and all that it depends on."""
    source = Footage(original.path).pictures or [original.path]
    stamped = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in source]
    about: dict[str, Any] = {
        "made_with": f"footage {__version__}",
        "upscaler": info.name,
        "upscaler_sha256": info.weights_sha256,
        "source": original.path.name,
        "size": [frame.width, frame.height],
    }
    made_from: dict[str, Any] = {  # all that the frames depend on
        "source": [str(original.path.resolve()), files.json_digest(stamped)],
        "way": [[step.height, step.width] for step in (*plan.shrinks, plan.picture)],
        "weights": info.weights_sha256,
        "deinterlacing": original.deinterlacing,
        "looks": asdict(original.looks),
        "version": __version__,
    }
    message = invisible_mark.message_for(about) if mark else None
    if message is not None:
        about["mark"] = made_from["mark"] = invisible_mark.VERSION
    sides = (frame.height, frame.width)
    return VideoTarget(
        to, sides, original.rate, original.base, original.colour, deep, encoding, about, made_from, message
    )


def upscale(
    sampler: Enlarges,
    info: ModelInfo,
    original: Original,
    to: Path,
    *,
    size: str | None = None,
    fit: Fit = "letterbox",
    encoding: EncodingOptions = DEFAULT_ENCODING,
    options: UpscaleOptions | None = None,
    watch: Callable[[int], None] | None = None,
    cluster: Cluster | None = None,
    mark: bool = True,
) -> UpscaleResult:
    """Make a video larger, and write it: times, sound and colours stay; work that was stopped goes on.

    `to` is a file or a folder. `size` is such as `1280x720`, `720p` or `2x`; None for as many times as large
    as the upscaler makes it. `watch` is told how many frames are done, `mark` says whether the pictures are given the
    invisible mark (`footage.trust.mark`). The workers of a `cluster` make stretches of
    it, and have to see the video and the folder that it is written into.

    Raises:
        ClusterError: a worker does not.
        MediaError: it cannot be read, or is as large already, or the disk is full.
        ConfigError: the size cannot be read, or codec and file do not go together.
    """
    frame = parse_size(size, original.shown, sampler.scale)
    plan = plan_enlargement(original.stored, original.shown, frame, sampler.scale, fit)
    if to.suffix.lower() in ("", ".png"):
        original = original.plain()
    deep = original.deep and to.suffix not in ("", ".png")
    if to.suffix.lower() == ".png" and original.frames != 1:
        problem = f'"{to.name}" is a picture, and the clip has several frames'
        raise ConfigError(problem, "give an .mp4 file, or a folder")
    with SegmentWriter(enlarged_target(info, original, plan, frame, to, deep, encoding, mark)) as parts:
        result = UpscaleResult(frame, 0, parts.done * SEGMENT_FRAMES)
        work = Stretches(sampler, plan, original, deep, options or UpscaleOptions(), parts, torch.get_num_threads())
        if cluster is None:
            work.write((parts.done, None), result.damage, watch)
        else:
            result.damage = work.write_on(cluster, watch)
        result.frames = parts.finish(None if Footage(original.path).pictures else original.path, original.start)
    result.resumed = min(result.resumed, result.frames)
    result.notes, result.left_out = parts.notes, parts.left_out
    return result


@dataclass(frozen=True)
class Stretches:
    """Makes stretches of a video, segment by segment: in this process, or each in a worker, with the same bytes."""

    sampler: Enlarges
    plan: EnlargementPlan
    original: Original
    deep: bool
    options: UpscaleOptions
    parts: SegmentWriter
    threads: int
    """Of PyTorch: the last digits of frames follow from their number."""

    def write(self, segments: SegmentRange, damage: DamageLog, watch: Callable[[int], None] | None = None) -> int:
        """Write some segments, and return the number behind the last one.

        Args:
            segments: they end where the video ends, at the latest.
            damage: where it is noted, from the beginning of the video on.
            watch: is told how many frames of the video are done.
        """
        first, end = segments
        done = first * SEGMENT_FRAMES
        before = min(done, self.sampler.past * self.plan.passes)  # what a window needs of the frames that are done
        stamps: deque[int] = deque()
        few = max(1, min(MOST_FRAMES, AREA // (self.original.stored.height * self.original.stored.width)))

        def chunks() -> Iterator[Pixels]:
            pictures = self.original.pictures(self.sampler.clip.channels, damage, done - before)
            while several := list(itertools.islice(pictures, few)):
                stamps.extend(picture.stamp for picture in several)
                yield np.stack([picture.pixels for picture in several])

        enlarged = prefetch(_enlarged(self.sampler, self.plan, chunks(), self.options, self.deep), name="upscaler")

        def shown() -> Iterator[tuple[Pixels, int]]:
            for number, picture in enumerate(picture for chunk in enlarged for picture in chunk):
                stamp = stamps.popleft()
                if number >= before:
                    yield picture, stamp
                    if watch is not None:
                        watch(done - before + number + 1)

        wanted = None if end is None else (end - first) * SEGMENT_FRAMES
        try:
            return self.parts.write(itertools.islice(shown(), wanted), first)
        finally:
            enlarged.close()

    def __call__(self, segments: SegmentRange) -> tuple[int, DamageLog]:
        """Do a unit of work in a worker: write some segments; return the number behind the last, and the damage."""
        torch.set_num_threads(self.threads)
        damage = DamageLog()
        return self.write(segments, damage), damage

    def units(self, slots: int) -> list[SegmentRange]:
        """Divide the segments that are not there into stretches for some workers; the last one goes to the very end.

        Each is read from the beginning of the video on, so there are few: two for each worker, where they are no longer
        than `STRETCH`. Only who reads to the end knows of all damage, so that there is always a last one.
        """
        done, total = self.parts.done, -(-(self.original.frames or 0) // SEGMENT_FRAMES)
        missing = [number for number in range(done, total) if not self.parts.note(number).exists()]
        few = max(1, min(STRETCH, len(missing) // (2 * slots)))
        units: list[tuple[int, int]] = []
        for number in missing:
            if units and units[-1][1] == number and number - units[-1][0] < few:
                units[-1] = (units[-1][0], number + 1)
            else:
                units.append((number, number + 1))
        if units and units[-1][1] == total:
            return [*units[:-1], (units[-1][0], None)]
        return [*units, (max(done, total), None)]

    def write_on(self, cluster: Cluster, watch: Callable[[int], None] | None = None) -> DamageLog:
        """Have the segments that are not there written by workers; return the damage of the whole video."""
        units = self.units(cluster.slots)
        source = Footage(self.original.path).pictures or [self.original.path]
        needs = [*source, self.parts.key]
        whole, made = DamageLog(), self.parts.done
        with contextlib.closing(cluster.run(self, units, needs=lambda _: needs)) as results:
            for (first, end), (behind, damage) in results:
                for number in range(first, behind):
                    cluster.await_file(self.parts.note(number))
                whole, made = damage if end is None else whole, made + behind - first
                if watch is not None:
                    watch(min(made * SEGMENT_FRAMES, self.original.frames or made * SEGMENT_FRAMES))
        return whole


def _enlarged(
    sampler: Enlarges, plan: EnlargementPlan, chunks: Iterable[Pixels], options: UpscaleOptions, deep: bool
) -> Iterator[Pixels]:
    """Yield a video's enlarged frames, (T, H, W, C); a thread reads them beforehand."""
    read = prefetch(chunks, name="reading")
    channels = sampler.clip.channels
    try:
        tensors = (match_channels(to_tensor(chunk, sampler.device), channels) for chunk in read)
        for chunk in enlarge(sampler, plan, tensors, options):
            yield to_pixels(chunk, deep)
    finally:
        read.close()


def describe_damage(damage: DamageLog) -> str:
    """Say how much of a video is damaged, and when that is shown."""
    times = ", ".join(f"{int(at // 60)}:{at % 60:05.2f}" for at in damage.times)
    later = " and later" if damage.frames > len(damage.times) else ""
    return f"{counted(damage.frames, 'frame')}, at {times}{later} ({damage.problem})"
