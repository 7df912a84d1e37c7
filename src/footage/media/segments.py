"""A long video that is written in segments, so that work that was stopped goes on: what is whole is never made again.

The segments lie in a hidden folder beside the file. Each is a video by itself, or frames as PNG, with a note that is
written when it is whole. At the end they are joined without being encoded again, and another file's sound, subtitles
and titles are put beside them.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy.typing as npt

from footage import __version__, files
from footage.errors import MediaError
from footage.files import locked
from footage.media.colour import UNKNOWN_COLOUR, Colour
from footage.media.companions import Companions, named_companions
from footage.media.encode import MUXING, StreamEncoder, check_frames_folder, codec_for, encoder_for, save_frames
from footage.media.encoding import DEFAULT_ENCODING, EncodingOptions
from footage.media.kinds import address_of
from footage.media.probe import open_video
from footage.media.sound import AUDIO_ENCODERS, Channels, SoundTrack
from footage.trust.mark import VERSION as MARK
from footage.trust.mark import marked_frames, message_for
from footage.trust.provenance import seal

SEGMENT_FRAMES = 96
"""Frames in a segment."""
MUXERS = {"mp4": "mp4", "mov": "mov", "mkv": "matroska", "webm": "webm"}
"""FFmpeg's names of the containers, by the ending."""
_COMPRESSED = ("aac", "mp3", "mp3float", "mp2", "mp2float", "ac3", "eac3", "alac", "opus", "libopus", "flac", "dca")
_PLAIN = tuple(f"pcm_{kind}" for kind in ("s16le", "s16be", "s24le", "s24be", "s32le", "s32be", "f32le", "u8", "s8"))
COPIED_AUDIO = {
    "mp4": _COMPRESSED,
    "mov": ("aac", "mp3", "mp3float", "ac3", "eac3", "alac", *_PLAIN),
    "mkv": None,
    "webm": ("opus", "libopus", "vorbis", "libvorbis"),
}
"""Sound that is taken as it is, by the ending: what players of such files know; None for all that they can hold."""
MADE_FROM = "made-from.json"
"""What is beside segments, or PNG frames: what they depend on, or how they were made."""
LEAD = 0.5
"""Seconds that the sound is written ahead of the pictures."""

StampedPicture = tuple[npt.NDArray[Any], int]
"""A picture, uint8 or uint16 (H, W, C), and when it is shown, in units of the video's base."""


@dataclass(frozen=True)
class VideoTarget:
    """A video to be written, and what it depends on: segments belong together where all of this is the same."""

    to: Path
    """The file, or, without a suffix, the folder for PNG frames; a .png for a single picture."""
    size: tuple[int, int]
    rate: Fraction
    """Frames in a second, on average."""
    base: Fraction
    """Unit of the time stamps, in seconds."""
    colour: Colour
    deep: bool
    """Whether pictures have more than 8 bits."""
    encoding: EncodingOptions
    metadata: dict[str, Any]
    """Put into the file as JSON, in its comment."""
    made_from: dict[str, Any]
    """What else the pictures depend on."""
    message: int | None = None
    """What their invisible mark says; None for no mark."""

    @property
    def pictures(self) -> bool:
        """Whether frames are written as PNG."""
        return self.to.suffix.lower() in ("", ".png")

    @property
    def folder(self) -> Path:
        """Folder of the segments, hidden, beside the video."""
        return files.name_beside(self.to, ".", "-parts")

    @property
    def disk_full(self) -> MediaError:
        """The advice where the disk cannot take what is written."""
        return MediaError(
            f'the disk is full, "{self.to}" is not finished; what is done is kept in "{self.folder}"',
            "free some space and give the same command again: it goes on from there",
        )

    def key(self) -> dict[str, Any]:
        """Return everything that segments depend on."""
        value = {
            "size": list(self.size),
            "rate": str(self.rate),
            "base": str(self.base),
            "colour": vars(self.colour),
            "deep": self.deep,
            "encoding": vars(self.encoding),
            "pictures": self.pictures,
            "message": self.message,
            "part": SEGMENT_FRAMES,
            **self.made_from,
        }
        return dict(json.loads(json.dumps(value)))


class SegmentWriter:
    """Writes a video segment by segment, within a block in which no other process writes the same one.

    Raises:
        LockError: the video would lie in a locked folder, where nothing plain is written.
        MediaError: the target cannot be written, or the hardware that is to encode it is not there; at the beginning
            of the block, another process writes it.
        ConfigError: codec and file do not go together.
    """

    def __init__(self, target: VideoTarget) -> None:
        locked.refuse(target.to)
        self.target = target
        self.notes: list[str] = []
        """What beside the pictures was encoded again, in words; known at the end."""
        self.left_out: list[str] = []
        """What the file cannot hold, in words; known at the end."""
        self.codec = self.encoder = ""
        if not target.pictures:
            self.codec = codec_for(target.encoding, target.to)
            self.encoder = encoder_for(target.encoding, self.codec)
        elif not target.to.suffix:
            check_frames_folder(target.to, beside=MADE_FROM)
        self.frames = target.folder / "frames"
        self.key = target.folder / MADE_FROM
        """What the segments depend on."""

    def __enter__(self) -> SegmentWriter:
        target, lock = self.target, self.target.folder / "lock"
        with files.disk_errors(target.disk_full), contextlib.ExitStack() as held:
            if not held.enter_context(files.holding(lock, wait=False)):  # another process may delete its segments
                raise MediaError(f'"{target.to}" is written by another process', "wait for it to end")
            if self.key.exists() and _read(self.key) != target.key():
                for path in target.folder.iterdir():
                    if path.is_dir():
                        shutil.rmtree(path)
                    elif path != lock:
                        path.unlink()
            files.make_folder(self.frames)
            files.remove_partial(target.folder)
            if not self.key.exists():
                files.write_json(self.key, target.key())
            self._held = held.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()
        with contextlib.suppress(OSError):  # on NFS what is open keeps its folder, which `drop` then leaves, empty now
            self.target.folder.rmdir()

    def note(self, number: int) -> Path:
        """Return the file that is written when a segment is whole."""
        return self.target.folder / f"{number:06d}.json"

    def file(self, number: int) -> Path:
        """Return the file of a segment."""
        return self.target.folder / f"{number:06d}.{'mov' if self.codec == 'prores' else 'mp4'}"

    @property
    def done(self) -> int:
        """Number of segments that are there, from the first on."""
        return next(number for number in itertools.count() if not self.note(number).exists())

    def write(self, pictures: Iterable[StampedPicture], begin: int) -> int:
        """Write pictures, which begin with segment number `begin`; return the number behind the last segment.

        Raises:
            MediaError: the disk is full; what is whole stays.
        """
        import av

        target, waiting, stamps = self.target, iter(pictures), deque[int]()

        def unstamped(shown: Iterable[StampedPicture]) -> Iterator[npt.NDArray[Any]]:
            for picture, stamp in shown:
                stamps.append(stamp)
                yield picture

        for number in itertools.count(begin):
            with files.disk_errors(target.disk_full):
                head = next(waiting, None)
                if head is None:
                    return number
                first, count = head[1], 0
                shown = unstamped(itertools.chain([head], itertools.islice(waiting, SEGMENT_FRAMES - 1)))
                segment = ((picture, stamps.popleft()) for picture in marked_frames(shown, target.message))
                if target.pictures:
                    done = number * SEGMENT_FRAMES
                    count = save_frames(self.frames, (picture for picture, _ in segment), done)
                    for each in range(done, done + count):  # the note says that they are whole
                        with open(self.frames / f"{each:06d}.png", "rb+") as saved:
                            os.fsync(saved.fileno())
                else:
                    with (
                        files.replacing(self.file(number)) as temporary,
                        av.open(address_of(temporary), "w") as container,
                    ):
                        encoder = StreamEncoder(
                            container,
                            self.encoder,
                            self.codec,
                            target.encoding.crf,
                            size=target.size,
                            base=target.base,
                            rate=target.rate,
                            colour=target.colour,
                            deep=target.deep,
                        )
                        for picture, stamp in segment:
                            count += 1
                            encoder.write(picture, stamp - first)
                        encoder.finish()
                files.write_json(self.note(number), {"frames": count, "first": first})
        raise AssertionError("numbers do not end")

    def finish(
        self,
        beside: Path | None,
        start: Fraction,
        *,
        sound: Iterable[Channels] | None = None,
        sources: Sequence[Path] = (),
    ) -> int:
        """Join the segments, put what is beside a file's pictures beside them, and return how many frames there are.

        Args:
            beside: a file with sound, subtitles and so on, or None.
            start: the time of the video's first frame in that file.
            sound: in place of that file, the sound of the whole video, (2, n) each at `sound.TRACK_RATE`, or None.
            sources: other files that it was made from, for its signature.

        Raises:
            MediaError: there are no frames, or the disk is full; the segments stay.
        """
        target = self.target
        notes = [_read(self.note(number)) for number in range(self.done)]
        count = sum(int(note["frames"]) for note in notes)
        if not count:
            raise MediaError(f'"{target.to.name}" would have no frames', "give another video")
        with files.disk_errors(target.disk_full):
            if not target.pictures:
                segments = [(self.file(number), note["first"]) for number, note in enumerate(notes)]
                with files.replacing(target.to) as temporary:
                    self.notes, self.left_out = join_segments(segments, temporary, target, beside, start, sound)
                    made_from = [*([] if beside is None else [beside]), *sources]
                    seal(temporary, target.metadata, target.to.name, made_from)
            else:
                if beside is not None:
                    with open_video(beside) as (source, pictures):
                        names = [name for _, name in named_companions(source, pictures)]
                    self.left_out = [f"{name}: pictures do not hold it" for name in names]
                for path in sorted(self.frames.glob("[!.]*.png"))[count:]:  # of a segment that was stopped
                    path.unlink()
                files.write_json(self.frames / MADE_FROM, target.metadata)
                if target.to.suffix:
                    seal(self.frames / "000000.png", target.metadata, target.to.name)
                    os.replace(self.frames / "000000.png", target.to)
                else:
                    check_frames_folder(target.to, beside=MADE_FROM)
                    files.replace_folder(self.frames, target.to)
        self.drop()
        return count

    def drop(self) -> None:
        """Delete the segments."""
        shutil.rmtree(self.target.folder, ignore_errors=True)


def render(
    to: Path,
    pictures: Callable[[int], Iterator[npt.NDArray[Any]]],
    *,
    size: tuple[int, int],
    rate: Fraction,
    about: dict[str, Any],
    sources: Sequence[Path],
    sound: Iterable[Channels] | None = None,
    encoding: EncodingOptions = DEFAULT_ENCODING,
    watch: Callable[[int], object] = lambda _: None,
) -> int:
    """Write a video of a constant rate that is made of others; return how many frames it has. Stopped work goes on.

    Args:
        to: the file: .mp4, .mov, .mkv or .webm.
        pictures: yields its frames, uint8 (H, W, 1 or 3), from a number on.
        size: (height, width).
        rate: frames a second.
        about: how it is made: all that its frames depend on beside the sources; stands in its comment. Where it says
            `made_with`, a model made some of them, and they are marked.
        sources: what it is made from.
        sound: its sound, (2, n) each at `sound.TRACK_RATE`, or None.
        encoding: of its pictures.
        watch: is told after each frame how many are done; what it raises ends the work.

    Raises:
        ConfigError: codec and file do not go together.
        MediaError: the file cannot be written, there are no frames, or the disk is full; what is whole stays.
    """
    known = [(path.resolve(), path.stat()) for path in sources]
    made_from = {
        "sources": [[str(path), status.st_size, status.st_mtime_ns] for path, status in known],
        "about": about,
        "version": __version__,
    }
    metadata = {"edited_with": f"footage {__version__}", **about}
    message = message_for(metadata)
    metadata |= {} if message is None else {"mark": MARK}

    def stamped(begun: int) -> Iterator[StampedPicture]:
        for number, picture in enumerate(pictures(begun), begun):
            yield picture, number
            watch(number + 1)

    target = VideoTarget(to, size, rate, 1 / rate, UNKNOWN_COLOUR, False, encoding, metadata, made_from, message)
    with SegmentWriter(target) as parts:
        parts.write(stamped(parts.done * SEGMENT_FRAMES), parts.done)
        return parts.finish(None, Fraction(0), sound=sound, sources=sources)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None


def join_segments(
    segments: list[tuple[Path, int]],
    to: Path,
    target: VideoTarget,
    beside: Path | None,
    start: Fraction,
    heard: Iterable[Channels] | None = None,
) -> tuple[list[str], list[str]]:
    """Write one file out of segments, without encoding them again, in constant memory.

    Args:
        segments: files, each with the time of its first frame in units of the target's base.
        to: the file.
        target: what is written.
        beside: the file whose sound and so on is taken, or None.
        start: the time in that file when the first segment begins, in seconds.
        heard: the sound of the video, where it is not a file's, or None.

    Returns:
        What beside the pictures was encoded again, and what the file cannot hold, in words.
    """
    import av

    kind, metadata = to.suffix.lower().lstrip("."), dict(target.metadata)
    companions: Companions | None = None
    with contextlib.ExitStack() as held:
        source = None if beside is None else held.enter_context(open_video(beside))
        with (
            av.open(address_of(to), "w", format=MUXERS[kind], options=MUXING.get(kind, {})) as container,
            av.open(address_of(segments[0][0])) as first,
        ):
            video: Any = container.add_stream_from_template(first.streams.video[0], opaque=True)
            # Without a rate, Matroska's header takes the base for the length of a frame.
            video.time_base, video.codec_context.framerate = target.base, target.rate
            if source is not None:
                sound = (COPIED_AUDIO[kind], AUDIO_ENCODERS[kind])
                companions = Companions(container, kind, *sound, *source, start)
                if text := source[0].metadata.get("comment", source[0].metadata.get("COMMENT")):
                    metadata["source_comment"] = text
            container.metadata["comment"] = json.dumps(metadata, ensure_ascii=False)
            track, end = None if heard is None else SoundTrack(container, kind, heard), Fraction(0)
            others = iter(()) if companions is None else companions.packets()
            waiting = next(others, None)
            for packet in _packets(segments, target):
                packet.stream = video
                while waiting is not None and waiting[0] <= float(packet.dts * target.base) + LEAD:
                    container.mux(waiting[1])
                    waiting = next(others, None)
                if track is not None:
                    track.write(max(Fraction(0), packet.dts * target.base))
                    end = max(end, (packet.pts + packet.duration) * target.base)
                container.mux(packet)
            while waiting is not None:
                container.mux(waiting[1])
                waiting = next(others, None)
            if track is not None:
                track.write(end)
                track.finish()
        return ([], []) if companions is None else (companions.notes, [*companions.left_out, *companions.missing(to)])


def _packets(segments: list[tuple[Path, int]], target: VideoTarget) -> Iterator[Any]:
    """Yield the packets of segments, with their times in the whole video in units of the target's base."""
    import av

    base, last = target.base, None
    # What a segment says is the time to the packet behind it, which with B-frames is not the next picture.
    lasting = max(1, round(1 / (target.rate * base)))
    for path, offset in segments:
        with av.open(address_of(path)) as segment:
            for packet in segment.demux(segment.streams.video[0]):
                if packet.dts is None or packet.pts is None or packet.time_base is None:
                    continue  # the empty one at the end
                ratio = packet.time_base / base
                packet.pts, packet.dts = round(packet.pts * ratio) + offset, round(packet.dts * ratio) + offset
                packet.duration, packet.time_base = lasting, base
                if last is not None and packet.dts <= last:
                    packet.dts = last + 1  # where a segment's first frames stand close behind another's last
                last = packet.dts
                yield packet
