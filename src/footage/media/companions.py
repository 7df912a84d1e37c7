"""What stands beside the pictures of a video, on its way into another file: sound, subtitles, chapters, covers, titles.

What the new container can hold is copied as it is; sound and text that it holds in another form only are encoded again,
in as many channels. What it cannot hold is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from footage.media.kinds import LOCAL
from footage.media.probe import clock_of, open_video

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

SUBTITLES = {
    "mp4": ("mov_text",),
    "mov": ("mov_text",),
    "mkv": ("subrip", "srt", "ass", "ssa", "webvtt", "dvdsub", "dvbsub", "pgssub"),
    "webm": ("webvtt",),
}
"""Subtitles that are taken as they are, by the ending; text in another form becomes the first of these."""
TEXTS = ("subrip", "srt", "ass", "ssa", "webvtt", "mov_text", "text")
"""Subtitles that are text, and no pictures."""
COVERS = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png"), "bmp": ("bmp", "image/bmp")}
"""Pictures that may be covers: ending and media type."""
NAMES = {"audio": "sound", "subtitle": "subtitles", "attachment": "attachment", "data": "data", "video": "video"}
"""What kinds of streams are called."""
OWN_TAGS = (
    *("encoder", "comment", "major_brand", "minor_version", "compatible_brands", "creation_time", "duration"),
    *("vendor_id", "bps", "number_of_frames", "number_of_bytes", "filename", "mimetype", "language", "timecode"),
)
"""Tags that are about the file itself, or are kept in another way."""
QUICKTIME_LANGUAGES = {
    **{"fre": "fra", "deu": "ger", "nld": "dut", "swe": "sve", "ell": "gre", "isl": "ice", "hrv": "hr ", "zho": "chi"},
    **{"fao": "fo ", "sqi": "alb", "rum": "ron", "cze": "ces", "slo": "slk", "srp": "sr ", "mkd": "mac"},
}
"""What QuickTime's old numbers of languages are called by FFmpeg, where that is another code of ISO 639-2."""
USUAL_HANDLERS = ("VideoHandler", "SoundHandler", "SubtitleHandler", "")
"""Names that programs give tracks without being asked."""


def telling(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that say something of the work, and not of its file: titles, dates, names."""
    told: dict[str, str] = {}
    for key, value in tags.items():
        plain = key.lower().partition("-")[0]
        if plain not in OWN_TAGS and not key.startswith("_STATISTICS") and value:
            if plain != "handler_name":
                told[key] = value
            elif value not in USUAL_HANDLERS and not value.startswith("ISO Media"):
                told.setdefault("title", value)
    return told


def named_companions(source: InputContainer, pictures: Any) -> Iterator[tuple[Any, str]]:
    """Yield the streams beside the pictures, and what each is called: its kind, number, codec and language."""
    counts: dict[str, int] = {}
    for stream in source.streams:
        if stream.index == pictures.index:
            continue
        kind = "cover" if _is_cover(stream) else NAMES.get(stream.type, stream.type)
        number = counts[kind] = counts.get(kind, 0) + 1
        known: Any = stream.codec_context
        name = known.name if known is not None else getattr(stream, "name", None)
        channels = known.layout.name if known is not None and stream.type == "audio" else ""
        facts = ", ".join(filter(None, (name, channels, stream.metadata.get("language"))))
        yield stream, f"{kind} {number}{f' ({facts})' if facts else ''}"


def _is_cover(stream: Any) -> bool:
    return stream.type == "video" and bool(stream.disposition & stream.disposition.attached_pic)


class Companions:
    """The streams, chapters and tags of a file, added to a container that is about to be written.

    Args:
        container: it holds its video already, and nothing has been written.
        kind: the ending of its file.
        copied: codecs of sound that are taken as they are, by FFmpeg's names; None for all that the container can hold.
        encoder: what other sound is encoded with.
        source: the file.
        pictures: the stream of the file that the video is made of.
        start: the time in that file when the video begins, in seconds.
    """

    def __init__(
        self,
        container: OutputContainer,
        kind: str,
        copied: tuple[str, ...] | None,
        encoder: str,
        source: InputContainer,
        pictures: Any,
        start: Fraction,
    ) -> None:
        self.container, self.kind, self.source, self.start = container, kind, source, start
        self.pictures = pictures
        self.notes: list[str] = []
        """What was encoded again, in words."""
        self.left_out: list[str] = []
        """What the container cannot hold, in words."""
        self._streams: dict[int, Any] = {}
        for stream, name in named_companions(source, pictures):
            out = None
            if stream.type == "audio":
                out = self._sound(stream, name, copied, encoder)
            elif stream.type == "subtitle":
                out = self._subtitles(stream, name)
            elif stream.type == "attachment":
                if kind == "mkv":
                    out = container.add_attachment(stream.name or name, stream.mimetype or "", stream.data)
            elif _is_cover(stream):
                out = self._cover(stream)
            elif stream.type == "data" and ("timecode" in stream.metadata or source.chapters()):
                continue  # the clock, which the video's tags keep; or the track of the chapters
            if out is None:
                moves = stream.type == "video" and not _is_cover(stream)
                reason = "one video is made larger" if moves else f".{kind} files do not hold it"
                self.left_out.append(f"{name}: {reason}")
        video: Any = container.streams.video[0]
        video.metadata.update(telling(pictures.metadata))
        for key in ("language", "timecode"):
            clock = next((s.metadata[key] for s in (pictures, *source.streams.data) if key in s.metadata), None)
            if clock is not None and clock != "und":
                video.metadata[key] = clock
        video.disposition = pictures.disposition
        self.tags = telling(source.metadata)
        container.metadata.update(self.tags)
        chapters: list[Any] = []
        chapter: Any
        for chapter in source.chapters():
            shift = round(start / chapter["time_base"])
            moved = {"start": max(0, chapter["start"] - shift), "end": chapter["end"] - shift}
            chapters += [{**chapter, **moved}] if moved["end"] > moved["start"] else []
        container.set_chapters(chapters)

    def _add(self, stream: Any, out: Any) -> Any:
        """Give a stream the tags of the one that it is made of."""
        self._streams[stream.index] = out
        out.metadata.update(telling(stream.metadata))
        language = stream.metadata.get("language", "und")
        if language != "und":
            codes = QUICKTIME_LANGUAGES if self.kind == "mov" else {}
            out.metadata["language"] = codes.get(language, language)
        out.disposition = stream.disposition
        return out

    def _copy(self, stream: Any) -> Any:
        """Return a stream for packets as they are, or None where the container does not hold them."""
        try:
            return self._add(stream, self.container.add_stream_from_template(stream, opaque=True))
        except ValueError:  # the muxer has no place for the codec
            return None

    def _sound(self, stream: Any, name: str, copied: tuple[str, ...] | None, encoder: str) -> Any:
        import av

        if stream.codec_context is None:  # FFmpeg does not know it
            return None
        known = copied is None or stream.codec_context.name in copied
        if known and (out := self._copy(stream)) is not None:
            return out
        usual = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}.get(stream.channels, "stereo")
        for layout in dict.fromkeys((stream.layout.name, usual, "stereo")):
            for rate in dict.fromkeys((48_000, stream.rate)):
                trial: Any = av.CodecContext.create(encoder, "w")
                try:
                    trial.layout, trial.sample_rate, trial.format = layout, rate, trial.codec.audio_formats[0].name
                    trial.open()
                except (av.error.FFmpegError, ValueError, OSError):
                    continue
                out = self._add(stream, self.container.add_stream(encoder, rate=rate))
                out.codec_context.layout = layout
                self.notes.append(f"{name}: {encoder}, {layout} now, for .{self.kind} files do not hold it as it is")
                return out
        return None

    def _subtitles(self, stream: Any, name: str) -> Any:
        import av

        context, form = stream.codec_context, SUBTITLES[self.kind]
        if context is None:
            return None
        out: Any = self._copy(stream) if context.name in form else None
        if out is not None:
            return out
        if context.name not in TEXTS:
            return None
        try:
            context.open(strict=False)
            out = self.container.add_stream(form[0])
            out.codec_context.subtitle_header = context.subtitle_header
            out.codec_context.time_base = out.time_base = Fraction(1, 1000)
        except (av.error.FFmpegError, ValueError, OSError):
            return None
        self.notes.append(f"{name}: {form[0]} now, for .{self.kind} files do not hold it as it is")
        return self._add(stream, out)

    def _cover(self, stream: Any) -> Any:
        """Return what keeps a cover: an attachment, or a stream of one picture."""
        codec = stream.codec_context.name if stream.codec_context is not None else ""
        if codec not in COVERS or self.kind in ("webm", "mov"):
            return None
        if self.kind != "mkv":
            return self._copy(stream)
        with open_video(Path(self.source.name.removeprefix(LOCAL))) as (again, _):
            packets = again.demux(again.streams[stream.index])
            picture = next((bytes(packet) for packet in packets if packet.size), None)
        if picture is None:
            return None
        ending, media_type = COVERS[codec]
        return self.container.add_attachment(f"cover.{ending}", media_type, picture)

    def packets(self) -> Iterator[tuple[float, list[Packet[Any]]]]:
        """Yield packets that are ready to be written, with their times in seconds, as they come in the file."""
        last: dict[int, int] = {}
        streams = [self.source.streams[index] for index in self._streams]
        clock = JumpingClock(self.source, self.pictures) if clock_of(self.source).jumps else None
        for packet, correction in corrected_packets(self.source, streams, clock) if streams else ():
            start, out = self.start - correction, self._streams[packet.stream.index]
            if out.codec_context is not None and out.codec_context.is_encoder:
                ready = _encoded(packet, out, start)
            elif _is_cover(packet.stream) and packet.size:
                packet.pts = packet.dts = 0
                packet.stream = out
                ready = [packet]
            elif packet.dts is None:
                ready = []
            else:
                shift = round(start / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                before = last.get(packet.stream.index, packet.dts - 1)
                if packet.dts + (packet.duration or 1) <= before:
                    continue  # what was there already, before a jump
                packet.dts = last[packet.stream.index] = max(packet.dts, before + 1)
                packet.pts = max(packet.pts, packet.dts)
                packet.stream = out
                ready = [packet]
            if ready:
                yield float((ready[0].dts or 0) * ready[0].time_base), ready

    def missing(self, written: Path) -> list[str]:
        """Return which tags, languages and chapters are not in the file that was written, in words."""
        with open_video(written) as (container, _):
            there = {key.lower() for key in container.metadata}
            lost = [f"the tag {key}" for key in self.tags if key.lower() not in there]
            for kind, written_streams in (
                ("audio", container.streams.audio),
                ("subtitle", container.streams.subtitles),
            ):
                outs = [out for out in self._streams.values() if out.type == kind]
                for number, (out, found) in enumerate(zip(outs, written_streams, strict=False), 1):
                    there = {
                        "title" if key.lower() in ("name", "handler_name") else key.lower() for key in found.metadata
                    }
                    lost += [f"{key} of {NAMES[kind]} {number}" for key in out.metadata if key.lower() not in there]
            chapters = len(self.source.chapters()) - len(container.chapters())
        lost += [f"{chapters} chapters"] if chapters > 0 else []
        return [f"{text}: .{self.kind} files do not hold it" for text in lost]


class JumpingClock:
    """The jumps of a file's times, which the pictures are shown without, as packets come in the file's order."""

    def __init__(self, source: InputContainer, pictures: Any) -> None:
        self.pictures, self.clock = pictures, clock_of(source)
        self.usual = 1 / (pictures.average_rate or Fraction(25))
        self.corrections = [Fraction(0)]

    def correction(self, packet: Any) -> Fraction:
        """Return the seconds to add to the times of a packet: of the last two jumps the one that fits."""
        stamp = packet.pts if packet.dts is None else packet.dts
        if stamp is None:
            return self.corrections[-1]
        time = stamp * packet.time_base
        if packet.stream.index == self.pictures.index:
            closed = self.clock.closed
            shown = self.clock.show(time, self.usual)
            if self.clock.closed > closed:
                self.corrections.append(shown - time + (self.clock.first or 0))
        now = self.clock.now + (self.clock.first or time)
        return min(self.corrections[-2:], key=lambda correction: abs(time + correction - now))


def corrected_packets(
    container: InputContainer, streams: Sequence[Any], clock: JumpingClock | None
) -> Iterator[tuple[Any, Fraction]]:
    """Yield the packets of some streams as they come, as far as they can be read, with seconds to add to their times.

    Args:
        container: the file.
        streams: of it, at least one.
        clock: the jumps of its times; None where there are none.
    """
    import av

    packets = container.demux(*streams, *([] if clock is None else [clock.pictures]))
    wanted = {stream.index for stream in streams}
    while True:
        try:
            packet = next(packets, None)
        except (av.error.FFmpegError, ValueError, OSError):
            return  # what is left cannot be read
        if packet is None:
            return
        correction = Fraction(0) if clock is None else clock.correction(packet)
        if packet.stream.index in wanted:
            yield packet, correction


def _encoded(packet: Any, out: Any, start: Fraction) -> list[Any]:
    """Return the packets that encoding a packet of sound or text in another form makes ready.

    There are none where it is damaged, or is a subtitle that ends before the video begins.
    """
    import av

    try:
        if out.type == "subtitle":
            text = packet.stream.codec_context.decode2(packet) if packet.size and packet.pts is not None else None
            if not text:
                return []
            encoded = out.codec_context.encode_subtitle(text)
            encoded.time_base = out.time_base
            encoded.pts = encoded.dts = round((packet.pts * packet.time_base - start) / out.time_base)
            encoded.duration = round((packet.duration or 0) * packet.time_base / out.time_base)
            encoded.stream = out
            return [encoded] if encoded.pts + encoded.duration > 0 else []
        frames = packet.decode()
    except (av.error.FFmpegError, ValueError):
        return []
    ready = []
    for frame in frames:
        if frame.pts is not None:
            frame.pts -= round(start / frame.time_base)
        ready += out.encode(frame)
    if packet.dts is None:  # the end
        ready += out.encode(None)
    return ready
