"""Writing clips: mp4, webm, gif and folders of PNG frames, chunk by chunk, with metadata inside every file.

Small pictures are encoded so that they stay clean, large ones as `EncodingOptions` say (`StreamEncoder`); `h264` and
`jpeg` return what a lossy codec leaves of frames; `FragmentedMp4` is live video.
"""

from __future__ import annotations

import contextlib
import glob
import io
import itertools
import json
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, get_args

import numpy as np
import numpy.typing as npt

from footage import files
from footage.errors import ConfigError, MediaError
from footage.files import locked
from footage.media.colour import MATRIX_601, UNKNOWN_COLOUR, Colour
from footage.media.decode import Frames, exact
from footage.media.encoding import DEFAULT_ENCODING, GIF_RATE, Codec, EncodingOptions, Format
from footage.media.kinds import VOLUME_SUFFIXES, address_of, suffix_of
from footage.media.probe import open_video
from footage.media.rates import exact_rate
from footage.media.sound import TURN, Channels, SoundTrack, check_sound
from footage.media.volumes import nifti_metadata
from footage.trust.mark import marked
from footage.trust.provenance import seal

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.frame import VideoFrame

FORMATS: tuple[Format, ...] = get_args(Format)
"""Every format."""
SMALL = ("mp4", "webm")
"""What has settings of its own for small pictures."""
CONTAINERS: dict[str, tuple[Codec, ...]] = {
    "mp4": ("h264", "hevc", "av1"),
    "mov": ("h264", "hevc", "prores"),
    "mkv": ("h264", "hevc", "av1", "vp9", "prores"),
    "webm": ("vp9", "av1"),
}
"""What each kind of file may hold; the first is taken when nothing is said."""
MUXING = {"gif": {"loop": "0"}, "mp4": {"movflags": "+faststart"}, "mov": {"movflags": "+faststart"}}
"""How containers are written: for ever again; with what players ask for first at the beginning."""
SOFTWARE = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1", "vp9": "libvpx-vp9", "prores": "prores_ks"}
"""FFmpeg's encoders that need no hardware."""
HARDWARE = ("nvenc", "qsv", "amf", "videotoolbox", "vaapi")
"""Hardware that `auto` tries, in this order."""
CRF = {"h264": 18, "hevc": 20, "av1": 28, "vp9": 24}
"""Quality when nothing is said; less is better, and each codec has a scale of its own."""
SETTINGS = {
    # Less far ahead, motion refined once: a third less time, -4 to +9% of the size, .1 dB (docs/LOG.md).
    "libx264": {"preset": "veryfast", "crf": "{crf}", "x264-params": "subme=1:weightp=0:b-adapt=0:rc-lookahead=5"},
    "libx265": {"preset": "veryfast", "crf": "{crf}", "x265-params": "log-level=error"},
    "libsvtav1": {"preset": "9", "crf": "{crf}"},
    "libvpx-vp9": {"crf": "{crf}", "b": "0", "deadline": "realtime", "cpu-used": "5", "row-mt": "1"},
    "prores_ks": {"profile": "hq"},
    "nvenc": {"rc": "vbr", "cq": "{crf}"},
    "qsv": {"global_quality": "{crf}"},
    "amf": {"rc": "cqp", "qp_i": "{crf}", "qp_p": "{crf}"},
    "videotoolbox": {"q": "{crf}"},
    "vaapi": {"qp": "{crf}"},
}
"""Settings of an encoder, or of all of one kind of hardware: quick ones, since pictures are large."""
LEAST_HEVC = 64
"""Width of a picture below which x265 may write beyond its memory: at 33 to 48 pixels it ends the process."""
LIMITED, FULL = 1, 2
"""Colour ranges, as FFmpeg counts them."""

LIVE_CLOCK = 90_000
"""Ticks of a live video's clock in a second."""
LIVE_SIDE = 384
"""Pixels of the longer side, about, that a live video is enlarged to: 4:2:0 would blur the colours of small frames."""
KEY_FRAME_SECONDS = 2.0
"""Seconds between two frames of a live video that stand for themselves."""
STALE = 24 * 3600
"""Seconds after which a half-written folder that nothing was written into since is taken for left behind."""


@dataclass(frozen=True)
class FFmpegBuild:
    """What FFmpeg's libraries can write here."""

    version: str
    software: tuple[str, ...]
    """Encoders of `SOFTWARE` that are built in."""
    hardware: tuple[str, ...]
    """Kinds of `HARDWARE` that they are built for; the machine may not have them."""


def ffmpeg_build() -> FFmpegBuild:
    import av

    version = f"libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))} in PyAV {av.__version__}"
    software = tuple(encoder for encoder in SOFTWARE.values() if encoder in av.codecs_available)
    hardware = tuple(kind for kind in HARDWARE if any(name.endswith(f"_{kind}") for name in av.codecs_available))
    return FFmpegBuild(version, software, hardware)


def codec_for(encoding: EncodingOptions, path: Path) -> str:
    """Return the codec for a file; refuse a file that cannot hold the one that was asked for."""
    kind = path.suffix.lower().lstrip(".")
    if kind not in CONTAINERS:
        endings = ", ".join(f".{name}" for name in CONTAINERS)
        raise MediaError(f'"{path.name}" is no file for videos', f"give one of {endings}, or a folder for PNG frames")
    if encoding.codec == "auto":
        return CONTAINERS[kind][0]
    if encoding.codec not in CONTAINERS[kind]:
        fitting = " or ".join(f".{name}" for name, codecs in CONTAINERS.items() if encoding.codec in codecs)
        raise ConfigError(f"codec is {encoding.codec}, and .{kind} files do not hold it", f"give a file of {fitting}")
    return encoding.codec


def encoder_for(encoding: EncodingOptions, codec: str) -> str:
    """Return FFmpeg's name of the encoder; hardware is tried out with a small picture, and refused where it fails."""
    import av

    if encoding.hardware == "none":
        return SOFTWARE[codec]
    reasons = []
    for unit in HARDWARE if encoding.hardware == "auto" else (encoding.hardware,):
        name = f"{codec}_{unit}"
        try:
            context: Any = av.CodecContext.create(name, "w")
        except (av.error.FFmpegError, ValueError, LookupError):
            reasons.append(f"this FFmpeg has no {name}")
            continue
        try:
            context.width, context.height, context.time_base = 320, 192, Fraction(1, 25)
            context.pix_fmt = pixel_format(name, 192, 320, deep=False)
            context.open()
            return name
        except (av.error.FFmpegError, ValueError, OSError, RuntimeError) as error:
            reasons.append(f"{name} does not work on this machine ({getattr(error, 'strerror', None) or error})")
    if encoding.hardware == "auto":
        return SOFTWARE[codec]
    raise MediaError(f"hardware is {encoding.hardware}: {reasons[0]}", "give --hardware auto, or leave it out")


def pixel_format(name: str, height: int, width: int, deep: bool) -> str:
    """Return how an encoder stores pixels: chroma at half the size, where the sides are even and the codec does so."""
    if name == "prores_ks":
        return "yuv422p10le"
    if name not in SOFTWARE.values():  # hardware
        return "p010le" if deep else "nv12"
    full = bool(height % 2 or width % 2) and name != "libsvtav1"
    return ("yuv444p" if full else "yuv420p") + ("10le" if deep and name != "libvpx-vp9" else "")


class _Encoder:
    """A video stream of a file that is being written."""

    def __init__(self, container: OutputContainer, stream: Any) -> None:
        self.container, self.stream = container, stream

    def finish(self) -> None:
        """Write what the encoder still holds."""
        self.container.mux(self.stream.encode(None))


class StreamEncoder(_Encoder):
    """The video stream of a file: pictures of a size (height, width), at times in units of `base` seconds.

    `codec` is what the encoder of that `name` makes, `crf` its quality, None for the usual; `deep` pictures have more
    than 8 bits.

    Raises:
        MediaError: the encoder does not take such pictures.
    """

    def __init__(
        self,
        container: OutputContainer,
        name: str,
        codec: str,
        crf: int | None,
        *,
        size: tuple[int, int],
        base: Fraction,
        rate: Fraction,
        colour: Colour,
        deep: bool = False,
    ) -> None:
        from av.video.reformatter import VideoReformatter

        if name == "libsvtav1" and (size[0] % 2 or size[1] % 2):
            raise MediaError(f"{size[1]}×{size[0]} has an odd side, which av1 does not take", "give an even --size")
        if name == "libx265" and size[1] < LEAST_HEVC:
            text = f"{size[1]}×{size[0]} is narrower than {LEAST_HEVC} pixels, which the hevc encoder does not bear"
            raise MediaError(text, "give a larger --size, or another codec, such as h264")
        self.base, self.colour = base, colour.settled(*size)
        quality = CRF.get(codec, 0) if crf is None else crf
        settings = SETTINGS.get(name) or SETTINGS[name.rpartition("_")[2]]
        options = {key: value.format(crf=quality) for key, value in settings.items()}
        stream: Any = container.add_stream(name, rate=rate, options=options)
        stream.height, stream.width = size
        stream.pix_fmt = pixel_format(name, *size, deep)
        stream.time_base = stream.codec_context.time_base = base
        context = stream.codec_context
        context.colorspace, context.color_range = self.colour.matrix, FULL if self.colour.full else LIMITED
        context.color_primaries, context.color_trc = self.colour.primaries, self.colour.transfer
        if codec == "hevc" and container.format.name in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # what players of one maker ask for
        super().__init__(container, stream)
        self.reformatter = VideoReformatter()
        self.lasting = max(1, round(1 / (rate * base)))

    def write(self, picture: npt.NDArray[Any], stamp: int) -> None:
        """Encode a picture, uint8 or uint16 (H, W, 1 or 3), shown from `stamp` on, in units of `base`."""
        from av.video.reformatter import ColorRange, Interpolation

        frame = self.reformatter.reformat(
            _frame(picture),
            format=self.stream.pix_fmt,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.JPEG if self.colour.full else ColorRange.MPEG,
            dst_colorspace=self.colour.matrix,
            interpolation=exact(Interpolation.BICUBIC),
            threads=1,
        )
        frame.pts, frame.time_base, frame.duration = stamp, self.base, self.lasting
        self.container.mux(self.stream.encode(frame))


class CleanEncoder(_Encoder):
    """The video stream of an mp4 or webm with small pictures, nearly lossless, at a constant rate."""

    def __init__(self, container: OutputContainer, kind: str, *, size: tuple[int, int], rate: Fraction) -> None:
        codec, options = {
            # Without x264's tree of macroblocks, which decides differently from run to run.
            "mp4": ("libx264", {"crf": "15", "preset": "medium", "x264-params": "mbtree=0"}),
            "webm": ("libvpx-vp9", {"crf": "20", "b": "0", "cpu-used": "4", "row-mt": "1"}),
        }[kind]
        stream: Any = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = size
        # Subsampled chroma, which every player shows, needs even sizes; odd ones keep full chroma instead of a border.
        stream.pix_fmt = "yuv444p" if size[0] % 2 or size[1] % 2 else "yuv420p"
        # What the conversion from RGB gives: BT.601, limited range; untagged, HD players would guess 709.
        stream.codec_context.colorspace, stream.codec_context.color_range = MATRIX_601, LIMITED
        super().__init__(container, stream)
        self.base = 1 / rate

    def write(self, picture: Frames, number: int) -> None:
        """Encode frame `number`, uint8 (H, W, 1 or 3)."""
        # Left to the encoder, the conversion varies from run to run by a level here and there.
        frame = _frame(picture, number, self.base).reformat(format=self.stream.pix_fmt, threads=1)
        self.container.mux(self.stream.encode(frame))


class GifEncoder(_Encoder):
    """The pictures of a gif: every frame has its own 256 colours, which needs no look at the frames to come.

    Of more than `GIF_RATE` frames a second those are kept that FFmpeg's filter `fps` keeps; the length stays.
    """

    def __init__(self, container: OutputContainer, *, size: tuple[int, int], rate: Fraction) -> None:
        import av
        import av.filter

        height, width = size
        stream: Any = container.add_stream("gif", rate=min(rate, Fraction(GIF_RATE)))
        stream.height, stream.width, stream.pix_fmt = height, width, "pal8"
        super().__init__(container, stream)
        self.base = 1 / rate
        graph = self.palette = av.filter.Graph()
        source = graph.add_buffer(
            width=width, height=height, format=av.VideoFormat("rgb24", width, height), time_base=self.base
        )
        split, sink = graph.add("split"), graph.add("buffersink")
        generate, use = graph.add("palettegen", "stats_mode=single"), graph.add("paletteuse", "new=1:dither=none")
        if rate > GIF_RATE:
            thinner = graph.add("fps", f"{GIF_RATE}:eof_action=pass")
            source.link_to(thinner)
            source = thinner
        source.link_to(split)
        split.link_to(use, 0, 0)
        split.link_to(generate, 1, 0)
        generate.link_to(use, 0, 1)
        use.link_to(sink)
        graph.configure()

    def write(self, picture: Frames, number: int) -> None:
        frame = _frame(picture, number, self.base)
        frame.duration = 1  # else the filter drops the last one
        self._pass_on(frame)

    def finish(self) -> None:
        self._pass_on(None)
        super().finish()

    @staticmethod
    def add_comment(path: Path, comment: str) -> None:
        """Put a comment extension (GIF89a, section 24) behind the header; the encoder writes none."""
        with open(path, "rb") as encoded:
            packed = encoded.read(13)[10]
        header = 13 + (3 * 2 ** ((packed & 7) + 1) if packed & 0x80 else 0)  # screen descriptor, global colour table
        text = comment.encode("utf-8")
        blocks = b"".join(bytes([len(text[i : i + 255])]) + text[i : i + 255] for i in range(0, len(text), 255))
        with files.replacing(path) as temporary, open(temporary, "wb") as out, open(path, "rb") as encoded:
            out.write(encoded.read(header) + b"\x21\xfe" + blocks + b"\x00")
            shutil.copyfileobj(encoded, out)

    def _pass_on(self, frame: VideoFrame | None) -> None:
        """Give the filters a frame, or None at the end, and encode what they give."""
        import av

        self.palette.push(frame)
        with contextlib.suppress(av.error.BlockingIOError, av.error.EOFError):  # no more for now; no more at all
            while True:
                self.container.mux(self.stream.encode(self.palette.pull()))


def _frame(picture: npt.NDArray[Any], number: int | None = None, base: Fraction | None = None) -> VideoFrame:
    """Return a picture, uint8 or uint16 (H, W, 1 or 3), as FFmpeg's frame, the `number`-th in units of `base`."""
    import av

    kind = "rgb48le" if picture.dtype == np.uint16 else "rgb24"
    rgb = np.broadcast_to(picture, (*picture.shape[:2], 3))  # grey spreads over RGB
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format=kind)
    if base is not None:
        frame.pts, frame.time_base = number, base
    return frame


def begin_of(
    kind: str, path: Path, encoding: EncodingOptions | None, rate: Fraction
) -> Callable[..., StreamEncoder | CleanEncoder | GifEncoder]:
    """Return what begins to write the pictures of a file, by its container and their size and rate.

    Raises:
        ConfigError: the file does not hold the codec that was asked for.
        MediaError: the hardware that was asked for does not work.
    """
    if kind == "gif":
        return GifEncoder
    if encoding is None and kind in SMALL:
        return partial(CleanEncoder, kind=kind)
    encoding = encoding or DEFAULT_ENCODING
    codec = codec_for(encoding, path)
    name = encoder_for(encoding, codec)
    return partial(StreamEncoder, name=name, codec=codec, crf=encoding.crf, base=1 / rate, colour=UNKNOWN_COLOUR)


def write_clip(
    path: Path,
    chunks: Iterable[Frames],
    *,
    fps: Fraction | float,
    metadata: dict[str, Any],
    encoding: EncodingOptions | None = None,
    sound: Iterable[Channels] | None = None,
    sources: Sequence[Path] = (),
    mark: bool = True,
) -> None:
    """Write a clip of any length in constant memory, atomically; mark and sign it where footage made it (`trust`).

    Args:
        path: the file; its suffix decides the format. Without a suffix: a folder of PNG frames.
        chunks: uint8 (T, H, W, C) each, C = 1 or 3, all of one size.
        fps: frames in a second, exactly or as a number that stands for it: 29.97 is written as 30000/1001.
        metadata: put into the file as JSON, in its comment.
        encoding: how large pictures are encoded; None for settings that keep small ones clean.
        sound: its sound, (2, n) each at `sound.TRACK_RATE`; where it ends before the pictures, silence follows, and
            what goes on behind them is left out. None for a clip without sound.
        sources: files that it was made from, for its signature.
        mark: whether what footage made is given the invisible mark; what has one keeps it.

    Raises:
        ConfigError: the file does not hold the codec that was asked for.
        MediaError: unknown format, or one without sound, no frames, or the disk is full; nothing stands at `path` that
            was not there before.
    """
    import av

    kind = path.suffix.lower().lstrip(".") or "png"
    if kind not in FORMATS or (kind == "png" and path.suffix):
        remedy = "give .mp4, .webm, .gif, .mov or .mkv, or no ending for a folder of PNG frames"
        raise MediaError(f'"{path.name}" has no format that clips are written as', remedy)
    if sound is not None:
        check_sound(kind)
    rate, (chunks, metadata) = exact_rate(fps), marked(chunks, metadata, mark)
    comment = json.dumps(metadata, ensure_ascii=False)
    with files.disk_errors(MediaError(f'the disk is full, "{path}" was not written', "free some space and go on")):
        if kind == "png":
            write_frames_folder(path, _pictures(chunks), comment)
            return
        begin = begin_of(kind, path, encoding, rate)
        with files.replacing(path) as temporary:
            with av.open(address_of(temporary), "w", options=MUXING.get(kind, {})) as container:
                container.metadata["comment"] = comment
                pictures = _pictures(chunks)
                first = next(pictures, None)
                if first is None:
                    raise MediaError(f'"{path.name}" would have no frames', "give at least one")
                encoder = begin(container, size=first.shape[:2], rate=rate)
                track = None if sound is None else SoundTrack(container, kind, sound)
                write_pictures(encoder, itertools.chain([first], pictures), rate, track)
                if track is not None:
                    track.finish()
                encoder.finish()
            if kind == "gif":
                GifEncoder.add_comment(temporary, comment)
            seal(temporary, metadata, path.name, sources)


def write_pictures(
    encoder: StreamEncoder | CleanEncoder | GifEncoder,
    pictures: Iterable[Frames],
    rate: Fraction,
    track: SoundTrack | None,
    done: int = 0,
    watch: Callable[[int], object] = lambda done: None,
) -> int:
    """Write pictures, and the sound beside them, at most `TURN` seconds apart; return how many there are now.

    Args:
        encoder: whose units are frames.
        pictures: uint8 (H, W, C).
        rate: of the pictures.
        track: the sound; None for none.
        done: pictures that are there already.
        watch: is told how many there are, after each.
    """
    for number, picture in enumerate(pictures):
        if track is not None and number % max(1, int(rate * TURN)) == 0:
            track.write(done / rate)
        encoder.write(picture, done)
        done += 1
        watch(done)
    if track is not None:
        track.write(done / rate)
    return done


def _pictures(chunks: Iterable[Frames]) -> Iterator[Frames]:
    """Yield the frames (H, W, C) of chunks; refuse another layout."""
    for chunk in chunks:
        if chunk.dtype != np.uint8 or chunk.ndim != 4 or chunk.shape[-1] not in (1, 3):
            raise MediaError(f"a chunk is {chunk.dtype} {chunk.shape}", "give uint8 (T, H, W, C) with 1 or 3 channels")
        yield from chunk


def write_frames_folder(path: Path, pictures: Iterable[Frames], comment: str) -> None:
    """Write numbered PNG frames beside the folder, then put them in its place."""
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_itxt("Comment", comment)
    with replaced_folder(path) as temporary:
        if not save_frames(temporary, pictures, comment=text):
            raise MediaError(f'"{path.name}" would have no frames', "give at least one")


@contextlib.contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """Give a folder for numbered frames beside `path`, and put it in its place when the block succeeds.

    Raises:
        LockError: it lies in a locked folder, where frames would be plain.
        MediaError: there is something else than numbered frames.
    """
    locked.refuse(path)
    check_frames_folder(path)
    temporary = files.scratch_beside(path, "")
    for left in path.parent.glob(f"{glob.escape(temporary.name.rpartition('-')[0])}-????????{files.PARTIAL}"):
        with contextlib.suppress(OSError):  # of processes that were killed long ago
            if left.is_dir() and time.time() - left.stat().st_mtime > STALE:
                shutil.rmtree(left, ignore_errors=True)
    files.make_folder(temporary)
    try:
        yield temporary
        check_frames_folder(path)
        files.replace_folder(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_frames_folder(path: Path, beside: str = "") -> None:
    """Refuse to replace a folder that holds something else than numbered frames, and a file named `beside`."""
    if not path.exists():
        return
    if not path.is_dir() or not all(
        re.fullmatch(r"\d{6,}\.(png|dcm)", p.name) or p.name == beside for p in path.iterdir()
    ):
        raise MediaError(f'"{path}" holds something else than numbered frames', "give a new folder, or a .mp4 file")


def save_frames(folder: Path, pictures: Iterable[npt.NDArray[Any]], first: int = 0, comment: Any = None) -> int:
    """Write pictures, uint8 or uint16 (H, W, 1 or 3), as PNG of 8 bits, numbered from `first` on; count them."""
    from PIL import Image

    number = first
    for number, picture in enumerate(pictures, first + 1):
        eight = (picture >> 8).astype(np.uint8) if picture.dtype == np.uint16 else picture
        image = Image.fromarray(eight[..., 0] if eight.shape[-1] == 1 else np.ascontiguousarray(eight))
        image.save(folder / f"{number - 1:06d}.png", pnginfo=comment)
    return number - first


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the metadata that `write_clip` put into a file or folder; empty where there is none.

    Raises:
        MediaError: it is no video, no picture and no volume.
    """
    if suffix_of(path) in VOLUME_SUFFIXES:
        return nifti_metadata(path)
    if path.suffix.lower() == ".dicom" and path.is_dir():
        from footage.media.dicom import dicom_metadata  # which writes by this module

        return dicom_metadata(path)
    text: str | bytes = ""
    if path.is_dir() or path.suffix.lower() == ".gif":
        from PIL import Image

        for picture in sorted(path.glob("[!.]*.png"))[:1] if path.is_dir() else [path]:
            try:
                with locked.open_file(picture) as handle, Image.open(handle) as image:
                    text = image.info.get("comment") or image.info.get("Comment") or ""
            except (
                OSError,
                ValueError,
                SyntaxError,
                OverflowError,
                Image.DecompressionBombError,
            ) as error:  # Pillow raises all of these
                raise MediaError(
                    f'"{picture.name}" cannot be read as a picture ({error})', "give one that is whole"
                ) from None
    else:
        with open_video(path) as (container, _):
            text = {key.lower(): value for key, value in container.metadata.items()}.get("comment", "")
    try:
        value = json.loads(text.decode("utf-8", "replace") if isinstance(text, bytes) else text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


class UnbufferedPipe:
    """A pipe as PyAV writes to it: it cannot be sought, and holds nothing back."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe

    def write(self, content: bytes) -> int:
        self._pipe.write(content)
        self._pipe.flush()
        return len(content)


class FragmentedMp4:
    """Live video, written to a pipe as its frames come: H.264, each frame a fragment, for Media Source in a browser."""

    def __init__(self, pipe: IO[bytes], height: int, width: int) -> None:
        import av

        self.scale = max(1, LIVE_SIDE // max(height, width))
        if (height * self.scale) % 2 or (width * self.scale) % 2:
            self.scale *= 2
        movflags = {"movflags": "frag_every_frame+empty_moov+default_base_moof", "flush_packets": "1"}
        self._container = av.open(UnbufferedPipe(pipe), "w", format="mp4", options=movflags)
        options = {"preset": "veryfast", "tune": "zerolatency", "crf": "18", "profile": "high", "threads": "1"}
        self._stream: Any = self._container.add_stream("libx264", rate=30, options=options)
        self._stream.height, self._stream.width = height * self.scale, width * self.scale
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, LIVE_CLOCK)
        self._stream.codec_context.gop_size = 10_000  # frames that stand for themselves are asked for by time
        self._last, self._keyed = -1, -KEY_FRAME_SECONDS

    def write(self, frame: Frames, when: float) -> None:
        """Write a frame (H, W, C) that is to be shown at a time in seconds."""
        import av

        self._last = max(self._last + 1, round(when * LIVE_CLOCK))
        large = frame.repeat(self.scale, axis=0).repeat(self.scale, axis=1)
        picture = _frame(large, self._last, Fraction(1, LIVE_CLOCK))
        if when - self._keyed >= KEY_FRAME_SECONDS:
            picture.pict_type, self._keyed = av.video.frame.PictureType.I, when
        self._container.mux(self._stream.encode(picture))


def chunked(clip: Frames, length: int = 32) -> Iterator[Frames]:
    """Cut a clip (T, H, W, C) that is already in memory into chunks."""
    for first in range(0, len(clip), length):
        yield clip[first : first + length]


def h264(frames: Frames, crf: int) -> Frames:
    """Return what H.264 leaves of frames, uint8 (T, H, W, 3): prediction from frame to frame, chroma at half the size.

    Args:
        frames: of any size; odd ones are coded with their last line repeated.
        crf: constant rate factor, 0 to 51; more is worse.
    """
    import av

    height, width = frames.shape[1:3]
    even = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width, encoder.pix_fmt = *even.shape[1:3], "yuv420p"
    encoder.time_base, encoder.thread_count = Fraction(1, 25), 1
    encoder.options = {"crf": str(crf), "preset": "veryfast", "tune": "zerolatency", "x264-params": "log-level=none"}
    decoder: Any = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    packets: list[Any] = []
    for number, picture in enumerate(even):
        packets += encoder.encode(_frame(picture, number, encoder.time_base))
    packets += encoder.encode(None)
    decoded = [frame.to_ndarray(format="rgb24") for packet in (*packets, None) for frame in decoder.decode(packet)]
    assert len(decoded) == len(frames), f"{len(frames)} frames became {len(decoded)}"
    return np.ascontiguousarray(np.stack(decoded)[:, :height, :width])


def jpeg(frames: Frames, quality: int) -> Frames:
    """Return what JPEG leaves of each frame, uint8 (T, H, W, 3), chroma at half the size.

    Args:
        frames: of any size.
        quality: 1 to 95; less is worse.
    """
    from PIL import Image

    decoded = []
    for picture in frames:
        encoded = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(picture)).save(encoded, "JPEG", quality=quality, subsampling=2)
        with Image.open(encoded) as opened:
            decoded.append(np.asarray(opened.convert("RGB")))
    return np.stack(decoded)
