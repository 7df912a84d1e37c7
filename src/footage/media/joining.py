"""Parts of a video are put together without being packed again, and another file's sound is put beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from footage.media.probe import open_video

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet

FORMATS = {"mp4": "mp4", "mov": "mov", "mkv": "matroska", "webm": "webm"}
"""FFmpeg's names of the containers, by the ending."""
KEPT = {
    "mp4": ("aac", "mp3", "mp3float", "ac3", "eac3", "alac", "opus", "libopus"),
    "mov": ("aac", "mp3", "mp3float", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le"),
    "mkv": ("aac", "mp3", "mp3float", "ac3", "eac3", "alac", "flac", "opus", "libopus", "vorbis", "pcm_s16le", "dca"),
    "webm": ("opus", "libopus", "vorbis"),
}
"""Sound that is taken as it is, by the ending: what players of such files know."""
VOICES = {"mp4": "aac", "mov": "aac", "mkv": "aac", "webm": "libopus"}
"""What sound is packed as where the container does not take it as it is."""
LEAD = 0.5
"""Seconds that the sound is written ahead of the pictures."""


def join(
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
    with av.open(str(to), "w", format=FORMATS[kind], options=options) as container, av.open(str(parts[0][0])) as first:
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
            if stream.codec_context.name in KEPT[kind]:
                made[stream.index] = container.add_stream_from_template(stream, opaque=True)
            else:
                made[stream.index] = container.add_stream(VOICES[kind], rate=48_000)
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
