"""What stands beside the pictures of a video that is made larger: sound, subtitles, chapters, titles; its rate."""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from footage.commands.convert import upscale as command
from footage.generation.upscale import UpscaleResult, upscale
from footage.media.companions import telling
from footage.media.encode import read_metadata
from footage.media.reader import open_original
from footage.models.base import Enlarges
from footage.models.checkpoint import load_model
from tests.clips import moving, write
from tests.models import save_tiny_model

FILM = Fraction(24000, 1001)
FONT = bytes(range(256)) * 3


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("upscaler")
    save_tiny_model(path, preset="upscale-x2")
    return path


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of two seconds with all that Matroska holds."""
    path = tmp_path_factory.mktemp("rich") / "rich.mkv"
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libx264", rate=FILM)
        video.height, video.width, video.pix_fmt = 16, 24, "yuv420p"
        six: Any = container.add_stream("flac", rate=48_000)
        one: Any = container.add_stream("pcm_s16le", rate=16_000)
        six.codec_context.layout, one.codec_context.layout = "5.1", "mono"
        lines: Any = container.add_mux_stream("subrip")
        lines.time_base = Fraction(1, 1000)
        six.metadata.update(language="ger", title="Ton")
        one.metadata.update(language="fre")
        lines.metadata.update(language="spa", title="Texto")
        container.add_attachment("letters.ttf", "application/x-truetype-font", FONT)
        cover = io.BytesIO()
        Image.new("RGB", (30, 40), (200, 10, 10)).save(cover, "PNG")
        container.add_attachment("cover.png", "image/png", cover.getvalue())
        container.metadata.update(title="Ein Titel", ARTIST="Wer", DIRECTOR="Sie", comment="mine")
        marks: Any = [
            {
                "id": n,
                "start": n * 1000,
                "end": n * 1000 + 1000,
                "time_base": Fraction(1, 1000),
                "metadata": {"title": t},
            }
            for n, t in enumerate(("eins", "zwei"))
        ]
        container.set_chapters(marks)
        for number, pixels in enumerate(moving(48, (16, 24))):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, 1 / FILM
            container.mux(video.encode(frame))
            if number in (4, 30):
                packet = av.Packet(f"línea <i>{number}</i>".encode())
                packet.pts = packet.dts = number * 42
                packet.duration, packet.time_base, packet.stream = 500, Fraction(1, 1000), lines
                container.mux(packet)
        container.mux(video.encode(None))
        for stream, layout, rate in ((six, "5.1", 48_000), (one, "mono", 16_000)):
            count = 6 if layout == "5.1" else 1
            tones = np.sin(np.arange(2 * rate)[:, None] * (1 + np.arange(count)) / 40) * 8000
            sound = av.AudioFrame.from_ndarray(tones.reshape(1, -1).astype(np.int16), format="s16", layout=layout)
            sound.sample_rate, sound.pts, sound.time_base = rate, 0, Fraction(1, rate)
            container.mux(stream.encode(sound))
            container.mux(stream.encode(None))
    return path


def enlarged(model: Path, clip: Path, to: Path) -> UpscaleResult:
    sampler, info = load_model(model)
    assert isinstance(sampler, Enlarges)
    return upscale(sampler, info, open_original(clip), to)


def packets(path: Path, kind: str, number: int = 0) -> list[bytes]:
    with av.open(str(path)) as container:
        stream = [stream for stream in container.streams if stream.type == kind][number]
        return [bytes(packet) for packet in container.demux(stream) if packet.size]


def texts(path: Path) -> Iterator[tuple[float, str]]:
    with av.open(str(path)) as container:
        for packet in container.demux(container.streams.subtitles[0]):
            shown: Any = packet.stream.codec_context.decode2(packet) if packet.size else None
            for line in shown or ():
                yield float(packet.pts * packet.time_base), line.dialogue.decode()


def test_matroska_keeps_all_of_it(model: Path, rich: Path, tmp_path: Path) -> None:
    to = tmp_path / "large.mkv"
    result = enlarged(model, rich, to)
    assert (result.notes, result.left_out) == ([], [])
    for number in (0, 1):
        assert packets(to, "audio", number) == packets(rich, "audio", number), "copied, byte for byte"
    assert packets(to, "subtitle") == packets(rich, "subtitle") and list(texts(to)) == list(texts(rich))
    with av.open(str(to)) as container, av.open(str(rich)) as source:
        sounds, written = source.streams.audio, container.streams.audio
        assert [s.channels for s in written] == [6, 1] and written[0].layout.name == "5.1"
        assert [telling(s.metadata) for s in written] == [telling(s.metadata) for s in sounds]
        assert [s.language for s in container.streams if s.language] == ["ger", "fre", "spa"]
        assert container.chapters() == source.chapters() and len(container.chapters()) == 2
        assert {k.lower(): v for k, v in telling(container.metadata).items()} == {
            **{"title": "Ein Titel", "artist": "Wer", "director": "Sie"}
        }
        (font,) = container.streams.attachments
        assert (font.name, font.mimetype, font.data) == ("letters.ttf", "application/x-truetype-font", FONT)
        cover = [s for s in container.streams.video if s.disposition & s.disposition.attached_pic]
        assert [(s.codec_context.name, s.width, s.height) for s in cover] == [("png", 30, 40)]
    assert read_metadata(to)["source_comment"] == "mine" and read_metadata(to)["upscaler"] == "tiny"


@pytest.mark.parametrize(
    ("ending", "sounds", "form", "left_out"),
    [
        ("mp4", [("flac", 6), ("aac", 1)], "mov_text", {"attachment 1", "the tag DIRECTOR"}),
        ("mov", [("aac", 6), ("pcm_s16le", 1)], "mov_text", {"attachment 1", "cover 1", "the tag DIRECTOR"}),
        ("webm", [("opus", 6), ("opus", 1)], "webvtt", {"attachment 1", "cover 1"}),
    ],
)
def test_what_a_file_cannot_hold_is_encoded_again_or_named(
    model: Path, rich: Path, tmp_path: Path, ending: str, sounds: list[Any], form: str, left_out: set[str]
) -> None:
    to = tmp_path / f"large.{ending}"
    result = enlarged(model, rich, to)
    with av.open(str(to)) as container:
        assert [(s.codec_context.name, s.channels) for s in container.streams.audio] == sounds
        languages = [stream.language for stream in container.streams.audio]
        assert languages[0] == "ger" and languages[1] in ("fre", "fra")
        assert [(s.codec_context.name, s.language) for s in container.streams.subtitles] == [(form, "spa")]
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["eins", "zwei"]
        assert {key.lower(): value for key, value in container.metadata.items()}["title"] == "Ein Titel"
        covers = [s for s in container.streams.video if s.disposition & s.disposition.attached_pic]
        assert len(covers) == ("cover 1" not in left_out)
    shown = [(time, line) for time, line in texts(to) if line]
    assert [round(time, 2) for time, _ in shown] == [0.17, 1.26] and all("línea" in line for _, line in shown)
    assert {name.partition(" (")[0].partition(":")[0] for name in result.left_out} == left_out
    assert all(f".{ending} files do not hold it" in text for text in [*result.left_out, *result.notes])
    changed = {note.partition(" (")[0] for note in result.notes}
    kept = {"sound 1"} if ending == "mp4" else {"sound 2"} if ending == "mov" else set()
    assert changed == {"sound 1", "sound 2", "subtitles 1"} - kept


def test_pictures_name_all_that_they_cannot_hold(model: Path, rich: Path, tmp_path: Path) -> None:
    result = enlarged(model, rich, tmp_path / "large")
    kinds = [text.partition(" (")[0] for text in result.left_out]
    assert kinds == ["sound 1", "sound 2", "subtitles 1", "attachment 1", "cover 1"]


@pytest.mark.parametrize(
    ("source", "ending", "fps"),
    [
        ("mp4", "mkv", Fraction(25)),
        ("mkv", "mkv", FILM),
        ("mkv", "mp4", FILM),
        ("mkv", "mov", Fraction(30000, 1001)),
        ("mp4", "webm", FILM),
    ],
)
def test_rate_and_length_stay(model: Path, tmp_path: Path, source: str, ending: str, fps: Fraction) -> None:
    """H.264 in Matroska said 12,800 frames a second, the unit of time of the segments; milliseconds made 23.976 24."""
    clip, to = write(tmp_path / f"clip.{source}", moving(13, (16, 16)), fps=fps), tmp_path / f"large.{ending}"
    enlarged(model, clip, to)
    with av.open(str(to)) as container:
        (video,) = container.streams.video
        assert video.average_rate == pytest.approx(float(fps), rel=1e-3) and open_original(to).rate == fps
        assert container.duration == pytest.approx(13 / fps * 1_000_000, abs=2000)


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_a_gap_is_not_counted_twice(model: Path, tmp_path: Path, ending: str) -> None:
    """A screen recording that stands still: with B-frames the packet behind the gap is not the next picture."""
    times = [n / 25 + (45 if n >= 20 else 0) for n in range(40)]
    clip = write(tmp_path / "clip.mp4", moving(40, (16, 16)), times=times)
    to = tmp_path / f"large.{ending}"
    enlarged(model, clip, to)
    with av.open(str(to)) as container:
        assert container.duration == pytest.approx(46.6e6, abs=2000), "the last picture at 46.56 s, and 0.04 s of it"
        assert [frame.time for frame in container.decode(video=0)] == pytest.approx(times, abs=2e-3)


def test_another_video_and_what_was_changed_is_said(
    model: Path, rich: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = tmp_path / "both.mkv"
    with av.open(str(both), "w") as container:
        streams: list[Any] = [container.add_stream("libx264", rate=25) for _ in range(2)]
        for stream, side in zip(streams, (16, 32), strict=True):
            stream.height = stream.width = side
        for stream, side in zip(streams, (16, 32), strict=True):
            for number, pixels in enumerate(moving(6, (side, side))):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    command(model, both, to=tmp_path / "large.mkv")
    assert "left out: video 1 (h264): one video is made larger" in " ".join(capsys.readouterr().out.split())
    command(model, rich, to=tmp_path / "large.mp4")
    said = " ".join(capsys.readouterr().out.split())
    assert "changed: sound 2 (pcm_s16le" in said and "aac, mono now, for .mp4 files do not hold it as it is" in said
    assert "left out: attachment 1 (letters.ttf): .mp4 files do not hold it" in said


def test_sound_follows_where_times_jump(model: Path, tmp_path: Path) -> None:
    """Two recordings of a second each, one behind the other, of which the second begins at another time."""
    both = tmp_path / "both.ts"
    for begin in (90, 4000):
        part = tmp_path / "part.ts"
        with av.open(str(part), "w", options={"muxdelay": "0"}) as container:
            video: Any = container.add_stream("libx264", rate=25)
            video.height, video.width, video.pix_fmt = 16, 16, "yuv420p"
            audio: Any = container.add_stream("aac", rate=48_000)
            for number, pixels in enumerate(moving(25, (16, 16))):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = begin * 25 + number, Fraction(1, 25)
                container.mux(video.encode(frame))
                sound = av.AudioFrame.from_ndarray(np.zeros((2, 1920), np.float32), format="fltp", layout="stereo")
                sound.sample_rate, sound.pts, sound.time_base = (
                    48_000,
                    begin * 48_000 + number * 1920,
                    Fraction(1, 48_000),
                )
                container.mux(audio.encode(sound))
            container.mux(video.encode(None))
            container.mux(audio.encode(None))
        with open(both, "ab") as out:
            out.write(part.read_bytes())
    enlarged(model, both, tmp_path / "large.mp4")
    with av.open(str(tmp_path / "large.mp4")) as container:
        assert container.duration == pytest.approx(2e6, abs=1.5e5)
        times = [float(p.pts * p.time_base) for p in container.demux(container.streams.audio[0]) if p.pts is not None]
    assert max(times) == pytest.approx(2, abs=0.15) and len(times) > 90
    assert max(np.diff(times)) < 0.15, "no hole, and nothing twice"
