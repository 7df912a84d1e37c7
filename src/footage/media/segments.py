"""A long video that is written in segments, so that work that was stopped goes on: what is whole is never made again.

The segments lie in a hidden folder beside the file. Each is a video by itself, or frames as PNG, with a note that is
written when it is whole. At the end they are joined without being encoded again, and another file's sound is put
beside them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from footage import files
from footage.errors import MediaError
from footage.media.encode import StreamEncoder, codec_for, encoder_for
from footage.media.encoding import EncodingOptions
from footage.media.probe import Colour, open_video

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet

SEGMENT_FRAMES = 96
"""Frames in a part."""

StampedPicture = tuple[npt.NDArray[Any], int]
"""A picture, uint8 or uint16 (H, W, C), and when it is shown, in units of the video's base."""


@dataclass(frozen=True)
class VideoTarget:
    """What is written, and from what: parts belong together where all of this is the same."""

    to: Path
    """The file, or, without a suffix, the folder for PNG frames; a .png for a single picture."""
    size: tuple[int, int]
    """Height and width."""
    rate: Fraction
    """Frames in a second, on average."""
    base: Fraction
    """Unit of the time stamps, in seconds."""
    colour: Colour
    """How numbers stand for colours."""
    deep: bool
    """Whether pictures have more than 8 bits."""
    encoding: EncodingOptions
    """How it is packed."""
    metadata: dict[str, Any]
    """Put into the file as JSON, in its comment."""
    made_from: dict[str, Any]
    """What else the pictures depend on."""

    @property
    def pictures(self) -> bool:
        """Whether frames are written as PNG."""
        return self.to.suffix.lower() in ("", ".png")

    @property
    def folder(self) -> Path:
        """Where the parts lie."""
        return self.to.with_name(f".{self.to.name}-parts")

    def key(self) -> dict[str, Any]:
        """Return everything that parts depend on."""
        value = {
            "size": list(self.size),
            "base": str(self.base),
            "colour": vars(self.colour),
            "encoding": vars(self.encoding),
            "pictures": self.pictures,
            "part": SEGMENT_FRAMES,
            **self.made_from,
        }
        return dict(json.loads(json.dumps(value)))


class SegmentWriter:
    """The parts of a video that is being written.

    Args:
        work: what is written.

    Raises:
        MediaError: the target cannot be written, or the hardware that is to pack it is not there.
        ConfigError: codec and file do not go together.
    """

    def __init__(self, work: VideoTarget) -> None:
        self.work = work
        self.codec = self.name = ""
        if work.pictures:
            _check_folder(work.to)
        else:
            self.codec = codec_for(work.encoding, work.to)
            self.name = encoder_for(work.encoding, self.codec)
        self.frames = work.folder / "frames"
        key = work.folder / "made-from.json"
        with _disk(work):
            if key.exists() and _read(key) != work.key():
                shutil.rmtree(work.folder)
            self.frames.mkdir(parents=True, exist_ok=True)
            files.remove_partial(work.folder)
            if not key.exists():
                files.write_json(key, work.key())

    def _note(self, number: int) -> Path:
        return self.work.folder / f"{number:06d}.json"

    def _file(self, number: int) -> Path:
        return self.work.folder / f"{number:06d}.{'mov' if self.codec == 'prores' else 'mp4'}"

    @property
    def done(self) -> int:
        """How many parts there are, from the first on."""
        count = 0
        while self._note(count).exists():
            count += 1
        return count

    def write(self, pictures: Iterable[StampedPicture]) -> None:
        """Write the pictures that follow those of the parts that are there, part by part.

        Raises:
            MediaError: the disk is full; what is whole stays.
        """
        number, waiting = self.done, iter(pictures)
        while True:
            with _disk(self.work):
                count, first = self._write_part(number, waiting)
                if not count:
                    return
                files.write_json(self._note(number), {"frames": count, "first": first})
            number += 1

    def _write_part(self, number: int, pictures: Iterator[StampedPicture]) -> tuple[int, int]:
        """Write one part; return how many pictures it has, and when the first is shown."""
        begun = next(pictures, None)
        if begun is None:
            return 0, 0
        first = begun[1]
        if self.work.pictures:
            return _write_frames(self.frames, number * SEGMENT_FRAMES, _limited(begun, pictures)), first
        import av

        work, count = self.work, 0
        with files.replacing(self._file(number)) as temporary, av.open(str(temporary), "w") as container:
            packer = StreamEncoder(
                container,
                self.name,
                self.codec,
                work.encoding.crf,
                size=work.size,
                base=work.base,
                rate=work.rate,
                colour=work.colour,
                deep=work.deep,
            )
            for picture, stamp in _limited(begun, pictures):
                packer.write(picture, stamp - first)
                count += 1
            packer.finish()
        return count, first

    def finish(self, sound: Path | None, start: Fraction) -> int:
        """Put the parts together, and the sound of a file beside them; return how many frames there are.

        Args:
            sound: a file, or None for no sound.
            start: the time of the video's first frame in that file.

        Raises:
            MediaError: there are no frames, or the disk is full; the parts stay.
        """
        work = self.work
        notes = [_read(self._note(number)) for number in range(self.done)]
        count = sum(int(note["frames"]) for note in notes)
        if not count:
            raise MediaError(f'"{work.to.name}" would have no frames', "give another video")
        with _disk(work):
            if work.pictures:
                _take(self.frames, work, count)
            else:
                parts = [(self._file(number), note["first"]) for number, note in enumerate(notes)]
                with files.replacing(work.to) as temporary:
                    join_segments(parts, temporary, work.base, work.metadata, sound, start)
        shutil.rmtree(work.folder, ignore_errors=True)
        return count


def _limited(begun: StampedPicture, pictures: Iterator[StampedPicture]) -> Iterator[StampedPicture]:
    """Yield the pictures of one part, of which one has been taken."""
    yield begun
    for _, shown in zip(range(SEGMENT_FRAMES - 1), pictures, strict=False):
        yield shown


def _write_frames(folder: Path, first: int, pictures: Iterable[StampedPicture]) -> int:
    from PIL import Image

    count = 0
    for number, (picture, _) in enumerate(pictures, first):
        eight = (picture >> 8).astype(np.uint8) if picture.dtype == np.uint16 else picture
        image = Image.fromarray(eight[..., 0] if eight.shape[-1] == 1 else np.ascontiguousarray(eight))
        image.save(folder / f"{number:06d}.png")
        count += 1
    return count


def _take(frames: Path, work: VideoTarget, count: int) -> None:
    """Move finished frames to their place."""
    for number, path in enumerate(sorted(frames.glob("*.png"))):
        if number >= count:  # of a part that was stopped
            path.unlink()
    files.write_json(frames / "made-from.json", work.metadata)
    if work.to.suffix:
        os.replace(frames / "000000.png", work.to)
        return
    if work.to.exists():
        shutil.rmtree(work.to)
    os.replace(frames, work.to)


def _check_folder(path: Path) -> None:
    """Refuse to replace a folder that holds something else than frames."""
    if path.suffix or not path.exists():
        return
    known = re.compile(r"\d{6,}\.png|made-from\.json")
    if not path.is_dir() or not all(known.fullmatch(found.name) for found in path.iterdir()):
        raise MediaError(f'"{path}" holds something else than numbered frames', "give a new folder, or a .mp4 file")


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None


@contextlib.contextmanager
def _disk(work: VideoTarget) -> Iterator[None]:
    """Turn a full disk into advice."""
    try:
        yield
    except OSError as error:
        if error.errno in files.DISK_FAULTS:
            raise MediaError(
                f'the disk is full, "{work.to}" is not finished; what is done is kept in "{work.folder}"',
                "free some space and give the same command again: it goes on from there",
            ) from error
        raise


MUXERS = {"mp4": "mp4", "mov": "mov", "mkv": "matroska", "webm": "webm"}
"""FFmpeg's names of the containers, by the ending."""
COPIED_AUDIO = {
    "mp4": ("aac", "mp3", "mp3float", "ac3", "eac3", "alac", "opus", "libopus"),
    "mov": ("aac", "mp3", "mp3float", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le"),
    "mkv": ("aac", "mp3", "mp3float", "ac3", "eac3", "alac", "flac", "opus", "libopus", "vorbis", "pcm_s16le", "dca"),
    "webm": ("opus", "libopus", "vorbis"),
}
"""Sound that is taken as it is, by the ending: what players of such files know."""
AUDIO_ENCODERS = {"mp4": "aac", "mov": "aac", "mkv": "aac", "webm": "libopus"}
"""What sound is packed as where the container does not take it as it is."""
LEAD = 0.5
"""Seconds that the sound is written ahead of the pictures."""


def join_segments(
    parts: list[tuple[Path, int]],
    to: Path,
    base: Fraction,
    metadata: dict[str, Any],
    sound: Path | None,
    start: Fraction,
) -> None:
    """Write one file out of parts, in constant memory.

    Args:
        parts: files, each with the time of its first frame in units of `base`.
        to: the file.
        base: unit of the time stamps, in seconds.
        metadata: put into the file as JSON, in its comment.
        sound: the file whose sound is taken, or None.
        start: the time in that file when the first part begins, in seconds.
    """
    import av

    kind = to.suffix.lower().lstrip(".")
    options = {"movflags": "+faststart"} if kind in ("mp4", "mov") else {}
    with av.open(str(to), "w", format=MUXERS[kind], options=options) as container, av.open(str(parts[0][0])) as first:
        container.metadata["comment"] = json.dumps(metadata, ensure_ascii=False)
        video: Any = container.add_stream_from_template(first.streams.video[0], opaque=True)
        video.time_base = base
        heard = _sound(container, kind, sound, start) if sound is not None else iter(())
        waiting = next(heard, None)
        last: int | None = None
        for path, offset in parts:
            for packet in _packets(path, base, offset):
                assert packet.dts is not None and packet.pts is not None
                if last is not None and packet.dts <= last:
                    packet.dts = last + 1  # where one part's first frames stand close behind another's last
                last = packet.dts
                packet.stream = video
                while waiting is not None and waiting[0] <= float(packet.dts * base) + LEAD:
                    container.mux(waiting[1])
                    waiting = next(heard, None)
                container.mux(packet)
        while waiting is not None:
            container.mux(waiting[1])
            waiting = next(heard, None)


def _packets(path: Path, base: Fraction, offset: int) -> Iterator[Packet[Any]]:
    """Yield the packets of a part, their times in units of `base`."""
    import av

    with av.open(str(path)) as part:
        stream = part.streams.video[0]
        for packet in part.demux(stream):
            if packet.dts is None or packet.pts is None or packet.time_base is None:
                continue  # the empty one at the end
            ratio = packet.time_base / base
            packet.pts, packet.dts = round(packet.pts * ratio) + offset, round(packet.dts * ratio) + offset
            if packet.duration:
                packet.duration = round(packet.duration * ratio)
            packet.time_base = base
            yield packet


def _sound(
    container: OutputContainer, kind: str, path: Path, start: Fraction
) -> Iterator[tuple[float, list[Packet[Any]]]]:
    """Yield the packets of all sound of a file, with their times in seconds; as they are, where the container can."""
    with open_video(path) as (given, _):
        streams = list(given.streams.audio)
        made: dict[int, Any] = {}
        for stream in streams:
            if stream.codec_context.name in COPIED_AUDIO[kind]:
                made[stream.index] = container.add_stream_from_template(stream, opaque=True)
            else:
                made[stream.index] = container.add_stream(AUDIO_ENCODERS[kind], rate=48_000)
        if not streams:
            return
        yield from _heard(given, streams, made, start)


def _heard(given: Any, streams: list[Any], made: dict[int, Any], start: Fraction) -> Iterator[tuple[float, list[Any]]]:
    import av

    packets = given.demux(*streams)
    while True:
        try:
            packet = next(packets, None)
        except (av.error.FFmpegError, ValueError, OSError):
            return  # what is left of the sound cannot be read
        if packet is None:
            return
        out = made[packet.stream.index]
        if out.codec_context is None or not out.codec_context.is_encoder:
            if packet.dts is None:
                continue
            shift = round(start / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = out
            yield float(packet.dts * packet.time_base), [packet]
            continue
        yield from _packed_again(packet, out, start)


def _packed_again(packet: Any, out: Any, start: Fraction) -> Iterator[tuple[float, list[Any]]]:
    """Unpack sound and pack it again."""
    import av

    try:
        frames = packet.decode()
    except (av.error.FFmpegError, ValueError):
        return  # a damaged packet
    ready = []
    for frame in frames:
        if frame.pts is not None:
            frame.pts -= round(start / frame.time_base)
        ready += out.encode(frame)
    if packet.dts is None:  # the end
        ready += out.encode(None)
    if ready:
        yield float((ready[0].dts or 0) * ready[0].time_base), ready
