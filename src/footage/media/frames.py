"""Decoded frames, one after the other, each with whether it is whole; and a few of them from anywhere in a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from footage.media.probe import plain_reason

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


class FrameReader:
    """Decodes a stream; a damaged packet is skipped, and what depends on it is marked, up to the next key frame."""

    def __init__(self) -> None:
        self.damaged = 0
        """Frames and packets that were damaged, so far."""
        self.problem = ""
        """FFmpeg's words for the first fault that was met."""

    def frames(self, container: InputContainer, stream: VideoStream) -> Iterator[tuple[VideoFrame, bool]]:
        """Yield the frames with whether each is damaged; damage lasts until a sound key frame."""
        import av

        spoiled = False
        with av.logging.Capture(local=False) as messages:
            for packet in self._packets(container, stream):
                messages.clear()
                try:
                    frames: list[VideoFrame] = list(stream.decode(packet))
                except av.error.EOFError:
                    return
                except (av.error.FFmpegError, ValueError, OSError, LookupError) as error:
                    self._note(plain_reason(error))
                    spoiled = True
                    continue
                faults = [text for level, _, text in messages if level <= av.logging.ERROR]
                if faults:
                    self._note(faults[0].strip())
                for frame in frames:
                    if frame.is_corrupt and not faults:
                        self._note("a frame is marked as corrupt")
                    broken = bool(faults) or bool(frame.is_corrupt)
                    spoiled = broken or (spoiled and not frame.key_frame)
                    yield frame, spoiled

    def _packets(self, container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
        """Yield the packets of a stream, then the empty one that flushes the decoder. A read error ends the file."""
        import av

        packets = container.demux(stream)
        while True:
            try:
                yield next(packets)
            except StopIteration:
                return
            except (av.error.FFmpegError, ValueError, OSError, LookupError) as error:
                self._note(plain_reason(error))
                return

    def _note(self, problem: str) -> None:
        self.damaged += 1
        self.problem = self.problem or problem
