"""Videos made larger, from file to file."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

import footage
from footage.errors import ConfigError, MediaError, ModelError
from footage.files import json_digest
from footage.generation import upscale as upscaling
from footage.generation.model import Model
from footage.generation.upscale import UpscaleOptions, UpscaleResult, upscale
from footage.media import segments
from footage.media.encode import read_metadata
from footage.media.encoding import EncodingOptions
from footage.media.geometry import Fit
from footage.media.reader import open_original
from footage.models import card
from footage.models.base import Enlarges
from footage.models.card import find_upscaler
from footage.models.checkpoint import load_model
from tests.clips import combs, corners, corrupt, display, moving, quadrants, smooth, woven, write, write_signal
from tests.models import save_tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small upscaler, twice as large; a new one is the bicubic kernel."""
    path = tmp_path_factory.mktemp("upscaler")
    save_tiny_model(path, preset="upscale-x2")
    return path


def run(model: Path, clip: Path, to: Path, **how: Any) -> UpscaleResult:
    sampler, info = load_model(model)
    assert isinstance(sampler, Enlarges)
    return upscale(sampler, info, open_original(clip), to, **how)


def frames_of(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def with_sound(path: Path, frames: int = 25, codec: str = "aac", late: float = 0.0) -> Path:
    """A video with a second of a rising tone, which begins `late` seconds after it."""
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libx264", rate=25)
        video.height, video.width, video.pix_fmt = 32, 48, "yuv420p"
        audio: Any = container.add_stream(codec, rate=16000)
        for number, pixels in enumerate(moving(frames, (32, 48))):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        tone = np.sin(np.arange(16000) ** 2 / 40_000).astype(np.float32)[None]
        sound = av.AudioFrame.from_ndarray(
            tone if codec == "aac" else (tone * 9000).astype(np.int16),
            layout="mono",
            format="fltp" if codec == "aac" else "s16",
        )
        sound.sample_rate, sound.pts, sound.time_base = 16000, round(late * 16000), Fraction(1, 16000)
        container.mux(audio.encode(sound))
        container.mux(audio.encode(None))
    return path


def sound_of(path: Path) -> tuple[str, float, float]:
    """Return codec, beginning and length in seconds of a file's sound."""
    with av.open(str(path)) as container:
        name = container.streams.audio[0].codec_context.name
        frames = list(container.decode(audio=0))
        return name, float(frames[0].time), sum(frame.samples for frame in frames) / frames[0].sample_rate


def test_size_rate_times_and_metadata(model: Path, tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.mp4", moving(20, (30, 46)), fps=Fraction(30000, 1001))
    outcome = run(model, clip, tmp_path / "large.mp4")
    assert (outcome.size.height, outcome.size.width, outcome.frames, outcome.resumed) == (60, 92, 20, 0)
    before, after = frames_of(clip), frames_of(tmp_path / "large.mp4")
    assert [frame.time for frame in after] == pytest.approx([frame.time for frame in before], abs=1e-4)
    metadata = read_metadata(tmp_path / "large.mp4")
    assert metadata["upscaler"] == "tiny" and metadata["source"] == "clip.mp4" and metadata["size"] == [92, 60]
    small = np.stack([frame.to_ndarray(format="gray") for frame in before]).astype(float)
    large = np.stack([frame.to_ndarray(format="gray") for frame in after]).astype(float)
    assert np.abs(large.reshape(20, 30, 2, 46, 2).mean(axis=(2, 4)) - small).mean() < 2, "the same picture"
    assert abs(large.mean() - small.mean()) < 0.5, "as bright"
    assert not list(tmp_path.glob(".*")), "nothing is left behind"


def test_a_variable_rate_stays_as_it_is(model: Path, tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.2, 0.24, 0.7, 0.74, 1.5]
    clip = write(tmp_path / "clip.mkv", moving(7, (32, 32)), times=times)
    run(model, clip, tmp_path / "large.mp4")
    assert [frame.time for frame in frames_of(tmp_path / "large.mp4")] == pytest.approx(times, abs=2e-3)


@pytest.mark.parametrize(("name", "codec"), [("large.mp4", "aac"), ("large.mkv", "aac"), ("large.webm", "opus")])
def test_sound_stays(model: Path, tmp_path: Path, name: str, codec: str) -> None:
    clip = with_sound(tmp_path / "clip.mp4")
    run(model, clip, tmp_path / name)
    found, begin, length = sound_of(tmp_path / name)
    _, begun, long = sound_of(clip)
    assert found == codec and begin == pytest.approx(begun, abs=0.1) and length == pytest.approx(long, abs=0.1)
    assert len(frames_of(tmp_path / name)) == 25


def test_sound_that_begins_later_does_so_again(model: Path, tmp_path: Path) -> None:
    clip = with_sound(tmp_path / "clip.mkv", late=0.5, codec="pcm_s16le")
    run(model, clip, tmp_path / "large.mp4")
    assert sound_of(tmp_path / "large.mp4")[1] == pytest.approx(sound_of(clip)[1], abs=0.05)
    assert sound_of(clip)[1] == pytest.approx(0.5, abs=0.01)


def test_colours_stay(model: Path, tmp_path: Path) -> None:
    plain = [np.full((32, 32, 3), colour, np.uint8) for colour in ((230, 20, 40), (16, 200, 60), (255, 255, 255))]
    full = write(tmp_path / "full.mp4", plain, pix_fmt="yuvj420p", options={"crf": "4"})
    run(model, full, tmp_path / "large.mp4", encoding=EncodingOptions(crf=4))
    with av.open(str(tmp_path / "large.mp4")) as container:
        assert container.streams.video[0].codec_context.color_range == 2, "all 256 levels"
    limited = write(tmp_path / "limited.mp4", plain, options={"crf": "4"})
    run(model, limited, tmp_path / "large2.mp4", encoding=EncodingOptions(crf=4))
    with av.open(str(tmp_path / "large2.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert context.color_range == 1 and context.colorspace == 6, "BT.601, and told so"
    for before, after in ((full, "large.mp4"), (limited, "large2.mp4")):
        for one, two in zip(frames_of(before), frames_of(tmp_path / after), strict=True):
            planes = [np.array(f.to_ndarray(format=f.format.name)[: f.height]).mean() for f in (one, two)]
            assert abs(planes[0] - planes[1]) < 3, "the same luma in the file"


@pytest.mark.parametrize(("matrix", "turns", "mirrored"), [((0, 1, -1, 0), -1, False), ((0, 1, 1, 0), -1, True)])
def test_rotated_and_mirrored_clips_are_written_upright(
    model: Path, tmp_path: Path, matrix: tuple[int, int, int, int], turns: int, mirrored: bool
) -> None:
    clip = display(write(tmp_path / "clip.mp4", moving(6, (32, 48))), matrix)
    outcome = run(model, clip, tmp_path / "large.mp4")
    assert (outcome.size.height, outcome.size.width) == (96, 64)
    assert frames_of(tmp_path / "large.mp4")[0].rotation == 0
    stored = frames_of(clip)[0].to_ndarray(format="rgb24")
    upright = np.rot90(stored, turns)[:, :: -1 if mirrored else 1].astype(float)
    large = frames_of(tmp_path / "large.mp4")[0].to_ndarray(format="rgb24").astype(float)
    assert np.abs(large.reshape(48, 2, 32, 2, 3).mean(axis=(1, 3)) - upright).mean() < 6


def test_hdr_stays_hdr_and_becomes_sdr_in_pictures(model: Path, tmp_path: Path) -> None:
    from PIL import Image

    light = (quadrants([(200, 40, 40), (40, 200, 40), (40, 40, 200), (160, 160, 160)]) / 255) ** 2.4
    # Of HLG, 203 cd/m² of 1000 (ITU-R BT.2100); the primaries stay those of BT.709.
    signal = 0.17883277 * np.log(np.maximum(12 * (light * 0.203) ** (1 / 1.2), 1) - 0.28466892) + 0.55991073
    low = np.sqrt(3 * (light * 0.203) ** (1 / 1.2))
    clip = write_signal(tmp_path / "a.mp4", np.where(low <= 0.5, low, signal), matrix=9, primaries=1, transfer=18)
    run(model, clip, tmp_path / "large.mkv")
    before, after = frames_of(clip)[0], frames_of(tmp_path / "large.mkv")[0]
    assert (after.color_trc, after.color_primaries, after.colorspace) == (18, 1, 9)
    assert np.abs(corners(after.to_ndarray(format="rgb24")) - corners(before.to_ndarray(format="rgb24"))).max() <= 3
    run(model, clip, tmp_path / "pictures")
    picture = np.asarray(Image.open(tmp_path / "pictures" / "000000.png"))
    assert np.abs(corners(picture) - [(200, 40, 40), (40, 200, 40), (40, 40, 200), (160, 160, 160)]).max() <= 6


def test_interlaced_clips_are_written_progressive(model: Path, tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.mp4", woven(smooth(32, (64, 96), 3)), pix_fmt="yuv444p", options={"crf": "8"})

    def lines(name: str) -> np.ndarray:
        large = np.stack([frame.to_ndarray(format="rgb24") for frame in frames_of(tmp_path / name)])
        return large.reshape(-1, 64, 2, 96, 2, 3).mean(axis=(2, 4))  # (T, 2H, 2W, 3) → (T, H, W, 3)

    footage.upscale(model, clip, to=tmp_path / "large.mp4", quiet=True)
    footage.upscale(model, clip, to=tmp_path / "combs.mp4", deinterlace="off", quiet=True)
    large, raw = lines("large.mp4"), lines("combs.mp4")
    assert len(large) == len(raw) == 16 and combs(large) < 0.4 * combs(raw)
    footage.upscale(model, clip, to=tmp_path / "double.mp4", deinterlace="double", quiet=True)
    with av.open(str(tmp_path / "double.mp4")) as container:
        assert container.streams.video[0].average_rate == 50
        assert [frame.time for frame in container.decode(video=0)] == pytest.approx([n / 50 for n in range(32)])


def test_transparent_clips_stand_on_the_background(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half of the picture is as good as not there: half of its red, and half of the background (`c·a + b·(1 - a)`)."""
    clear = Image.new("RGBA", (16, 16), (200, 0, 0, 128))
    clear.save(
        tmp_path / "a.webp", save_all=True, append_images=[clear.copy() for _ in range(3)], duration=40, lossless=True
    )
    clear.save(tmp_path / "b.png")
    for name, background, right in (
        ("a.webp", "black", (100, 0, 0)),
        ("a.webp", "#0000ff", (100, 0, 127)),
        ("b.png", "white", (228, 127, 127)),
    ):
        made = footage.upscale(model, tmp_path / name, to=tmp_path / f"{name}.png", background=background)
        pictures = sorted(made.glob("*.png")) if made.is_dir() else [made]
        assert np.abs(np.asarray(Image.open(pictures[0])).astype(int) - right).max() <= 2
        assert f"{name}: transparency laid over {background}" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(ConfigError, match='background is "bleck"'):
        footage.upscale(model, tmp_path / "b.png", to=tmp_path / "c.png", background="bleck", quiet=True)


def test_pixels_that_are_not_square(model: Path, tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.mp4", moving(4, (32, 32)), sar=Fraction(3, 2))
    outcome = run(model, clip, tmp_path / "large.mp4")
    assert (outcome.size.height, outcome.size.width) == (64, 96)


def test_ten_bits_in_and_out(model: Path, tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.mkv", moving(4, (32, 32)), pix_fmt="yuv420p10le")
    assert open_original(clip).deep
    run(model, clip, tmp_path / "large.mp4")
    first = frames_of(tmp_path / "large.mp4")[0]
    assert first.format.name == "yuv420p10le"
    levels = first.to_ndarray(format="gray16le") >> 6
    assert len(np.unique(levels % 4)) > 1, "levels between those of 8 bits"


@pytest.mark.parametrize("size", [(33, 47), (17, 16), (16, 16)])
def test_odd_and_small_sizes(model: Path, tmp_path: Path, size: tuple[int, int]) -> None:
    clip = write(tmp_path / "clip.mkv", moving(3, size), codec="ffv1", pix_fmt="bgr0")
    outcome = run(model, clip, tmp_path / "large.mp4")
    assert (outcome.size.height, outcome.size.width) == (2 * size[0], 2 * size[1])
    run(model, clip, tmp_path / "odd.mp4", size="55x51", fit="stretch")
    assert frames_of(tmp_path / "odd.mp4")[0].width == 55


def test_one_frame_and_pictures(model: Path, tmp_path: Path) -> None:
    from PIL import Image

    one = write(tmp_path / "one.mp4", moving(1, (32, 32)))
    assert run(model, one, tmp_path / "large.mp4").frames == 1
    Image.fromarray(moving(1, (20, 30))[0]).save(tmp_path / "still.png")
    assert run(model, tmp_path / "still.png", tmp_path / "large.png").frames == 1
    assert Image.open(tmp_path / "large.png").size == (60, 40)
    run(model, write(tmp_path / "clip.mp4", moving(5, (32, 32))), tmp_path / "frames")
    names = sorted(path.name for path in (tmp_path / "frames").iterdir())
    assert names == [*(f"{number:06d}.png" for number in range(5)), "made-from.json"]
    assert run(model, tmp_path / "frames", tmp_path / "again.mp4").frames == 5
    with pytest.raises(ConfigError, match=r"is a picture, and the clip has several"):
        run(model, tmp_path / "clip.mp4", tmp_path / "large2.png")


def test_what_is_large_already_and_other_mistakes(model: Path, tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.mp4", moving(3, (64, 96)))
    for size in ("96x64", "48x32", "32p"):
        with pytest.raises(MediaError, match=r"the clip is 96×64 already"):
            run(model, clip, tmp_path / "large.mp4", size=size)
    with pytest.raises(ConfigError, match=r'size is "huge": give a size such as 1280x720'):
        run(model, clip, tmp_path / "large.mp4", size="huge")
    with pytest.raises(MediaError, match=r'"large.avi" is no file for videos: give one of .mp4'):
        run(model, clip, tmp_path / "large.avi")
    with pytest.raises(ConfigError, match=r"codec is prores, and .mp4 files do not hold it: give a file of .mov or"):
        run(model, clip, tmp_path / "large.mp4", encoding=EncodingOptions(codec="prores"))
    with pytest.raises(MediaError, match=r"hardware is vaapi: this FFmpeg has no h264_vaapi|hardware is vaapi"):
        run(model, clip, tmp_path / "large.mp4", encoding=EncodingOptions(hardware="vaapi"))
    with pytest.raises(ConfigError, match=r"crf is 70: give 0 to 51"):
        EncodingOptions(codec="h264", crf=70)
    with pytest.raises(ConfigError, match=r"tile is 8: give 32 or more"):
        UpscaleOptions(tile=8)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(MediaError, match=r"holds something else than numbered frames"):
        run(model, clip, tmp_path / "mine")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"
    with pytest.raises(MediaError, match=r"does not exist"):
        run(model, tmp_path / "nowhere.mp4", tmp_path / "large.mp4")


def test_damage_in_the_middle_is_told_and_got_over(model: Path, tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.mp4", moving(60, (64, 64)), options={"g": "10", "crf": "16"})
    sound = len(frames_of(clip))
    corrupt(clip, 0.5, 0.55)
    outcome = run(model, clip, tmp_path / "large.mp4")
    assert 0 < outcome.damage.frames < 40 and outcome.damage.problem and 0.3 < outcome.damage.times[0] < 2.0
    last = frames_of(tmp_path / "large.mp4")[-1]
    assert sound - 12 < outcome.frames <= sound and last.time == pytest.approx(59 / 25, abs=0.2), "still in time"
    footage.upscale(model, clip, to=tmp_path / "again.mp4", device="cpu")


@pytest.mark.parametrize("name", ["large.mp4", "frames"])
def test_work_that_was_stopped_goes_on(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(segments, "SEGMENT_FRAMES", 8)
    monkeypatch.setattr(upscaling, "SEGMENT_FRAMES", 8)
    clip = with_sound(tmp_path / "clip.mp4", frames=30)
    (tmp_path / "whole").mkdir()
    run(model, clip, tmp_path / "whole" / name)

    def stop(done: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(model, clip, tmp_path / name, watch=stop)
    assert not (tmp_path / name).exists() and (tmp_path / f".{name}-parts" / "000001.json").exists()
    seen: list[int] = []
    outcome = run(model, clip, tmp_path / name, watch=seen.append)
    assert outcome.resumed == 16 and outcome.frames == 30 and seen[0] == 17
    for one, two in zip(pictures(tmp_path / "whole" / name), pictures(tmp_path / name), strict=True):
        apart = np.abs(one.astype(int) - two.astype(int))
        # Pictures are the same bit for bit; libx264 may pack the same pictures in another way, now and then.
        assert apart.max() == 0 if name == "frames" else apart.mean() < 2
    assert not (tmp_path / f".{name}-parts").exists()


def pictures(path: Path) -> Iterator[np.ndarray]:
    if path.is_dir():
        from PIL import Image

        yield from (np.asarray(Image.open(found)) for found in sorted(path.glob("*.png")))
        return
    yield from (frame.to_ndarray(format="rgb24") for frame in frames_of(path))


def test_parts_of_other_work_are_not_taken(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_FRAMES", 4)
    monkeypatch.setattr(upscaling, "SEGMENT_FRAMES", 4)
    clip = write(tmp_path / "clip.mp4", moving(12, (32, 32)))

    def stop(done: int) -> None:
        if done == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(model, clip, tmp_path / "large.mp4", watch=stop)
    assert run(model, clip, tmp_path / "large.mp4", size="48x48").resumed == 0
    assert frames_of(tmp_path / "large.mp4")[0].width == 48


def test_a_full_disk_loses_nothing(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_FRAMES", 4)
    monkeypatch.setattr(upscaling, "SEGMENT_FRAMES", 4)
    clip = write(tmp_path / "clip.mp4", moving(12, (32, 32)))
    (tmp_path / "large.mp4").write_text("what was there before")
    real, count = segments.StreamEncoder.write, [0]

    def full(self: segments.StreamEncoder, picture: Any, stamp: int) -> None:
        count[0] += 1
        if count[0] > 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, picture, stamp)

    monkeypatch.setattr(segments.StreamEncoder, "write", full)
    with pytest.raises(MediaError, match=r"the disk is full, .* what is done is kept in .*: free some space and give"):
        run(model, clip, tmp_path / "large.mp4")
    assert (tmp_path / "large.mp4").read_text() == "what was there before"
    monkeypatch.setattr(segments.StreamEncoder, "write", real)
    outcome = run(model, clip, tmp_path / "large.mp4")
    assert outcome.resumed == 4 and outcome.frames == 12


@pytest.mark.parametrize(
    ("name", "codec", "found", "format"),
    [
        ("a.mp4", "h264", "h264", "yuv420p"),
        ("a.mp4", "hevc", "hevc", "yuv420p"),
        ("a.mp4", "av1", "libdav1d", "yuv420p"),
        ("a.mov", "prores", "prores", "yuv422p10le"),
        ("a.webm", "auto", "vp9", "yuv420p"),
    ],
)
def test_encoders(model: Path, tmp_path: Path, name: str, codec: Any, found: str, format: str) -> None:
    clip = write(tmp_path / "clip.mp4", moving(6, (64, 64)))
    run(model, clip, tmp_path / name, encoding=EncodingOptions(codec=codec))
    with av.open(str(tmp_path / name)) as container:
        context = container.streams.video[0].codec_context
        assert context.name == found and context.pix_fmt == format
        frames = list(container.decode(video=0))
    assert len(frames) == 6
    if codec == "prores":
        assert all(frame.key_frame for frame in frames)


def test_narrow_hevc_is_refused_where_the_encoder_would_crash(model: Path, tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.mp4", moving(4, (16, 24)), pix_fmt="yuv420p10le")
    with pytest.raises(MediaError, match=r"48×32 is narrower than 64 pixels, .* give a larger --size"):
        run(model, clip, tmp_path / "large.mp4", encoding=EncodingOptions("hevc"))
    assert not (tmp_path / "large.mp4").exists()


def test_a_smaller_crf_is_a_larger_file(model: Path, tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.mp4", moving(6, (64, 64)))
    for crf in (10, 40):
        run(model, clip, tmp_path / f"{crf}.mp4", encoding=EncodingOptions(crf=crf))
    assert (tmp_path / "10.mp4").stat().st_size > 2 * (tmp_path / "40.mp4").stat().st_size


def test_hardware_where_there_is_none_is_the_processor(model: Path, tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.mp4", moving(4, (64, 64)))
    assert run(model, clip, tmp_path / "a.mp4", encoding=EncodingOptions(hardware="auto")).frames == 4


def test_a_generator_and_an_upscaler_in_a_chain(model: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    save_tiny_model(base, preset="stream-32")
    how: dict[str, Any] = {"count": 2, "frames": 9, "seed": 3, "device": "cpu", "quiet": True}
    (first, second) = footage.generate(base, tmp_path / "small", **how)
    large = footage.generate(base, tmp_path / "large", upscale=model, size="128x96", **how)
    assert [path.name for path in large] == [first.name, second.name]
    frames = frames_of(large[1])
    assert (frames[0].width, frames[0].height, len(frames)) == (128, 96, 9)
    metadata = read_metadata(large[1])
    assert metadata["seed"] == 4 and metadata["upscaler"] == "tiny" and metadata["size"] == [128, 96]
    small = np.stack([frame.to_ndarray(format="rgb24") for frame in frames_of(second)]).astype(float)
    made = np.stack([frame.to_ndarray(format="rgb24") for frame in frames]).astype(float)
    assert made[:, :, :15].max() < 30, "bars"
    inner = made[:, :, 16:112].reshape(9, 32, 3, 32, 3, 3).mean(axis=(2, 4))
    assert np.abs(inner - small).mean() < 5
    footage.generate(base, tmp_path / "packed", format="mov", encoding=EncodingOptions(codec="prores"), **how)
    with pytest.raises(ConfigError, match=r"makes no clips larger: it makes clips from seeds: use footage generate"):
        footage.generate(base, tmp_path / "x", upscale=base, **how)
    with pytest.raises(ConfigError, match=r"makes no clips larger"):
        footage.upscale(base, large[0], to=tmp_path / "x.mp4", device="cpu")


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of a generator of 32×32, where no model comes with footage."""
    (tmp_path / "shipped").mkdir()
    monkeypatch.setattr(card, "PRETRAINED", tmp_path / "shipped")
    save_tiny_model(tmp_path / "runs" / "base" / "model", preset="stream-32", labels=())
    return tmp_path / "runs" / "base"


def save_upscaler(folder: Path, preset: str = "upscale-x2", width: int | None = None, **changes: Any) -> None:
    """Write a tiny upscaler whose card says other things than the generator's."""
    save_tiny_model(folder, preset=preset)
    value = json.loads((folder / "model.json").read_text())
    del value["digest"]
    value |= changes
    value["config"]["net"]["width"] = width or value["config"]["net"]["width"]
    (folder / "model.json").write_text(json.dumps(value | {"digest": json_digest(value)}))


def test_one_command_makes_clips_of_any_size(alone: Path) -> None:
    model = Model(alone)
    (small,) = model.generate(1, frames=3, seed=2)
    own, told = small.array(), list[str]()

    def sized(size: str, fit: Fit = "letterbox") -> np.ndarray[Any, Any]:
        return model.resizer(size, fit, tell=told.append)(small).array()

    assert model.resizer("32x32")(small) is small
    halved = sized("16p")
    assert halved.shape == (3, 16, 16, 3)
    means = own.reshape(3, 16, 2, 16, 2, 3).astype(float).mean(axis=(2, 4))
    assert np.abs(halved - means).mean() < 4
    barred = sized("64x24")
    assert barred.shape == (3, 24, 64, 3) and barred[:, :, :20].max() == 0 and barred[:, :, 44:].max() == 0
    assert np.abs(sized("16x32", "crop").astype(int) - own[:, :, 8:24]).max() == 0, "its middle"
    assert sized("24x32", "stretch").shape == (3, 32, 24, 3)
    assert not told, "no upscaler was needed"
    with pytest.raises(ConfigError, match=r"32×32, and nothing is there .* train an upscaler on the same videos"):
        sized("64x64")
    save_upscaler(alone.parent / "large" / "model")
    assert sized("64x64").shape == (3, 64, 64, 3)
    assert sized("1.5x", "crop").shape == (3, 48, 48, 3)
    assert len(told) == 2 and str(alone.parent / "large" / "model") in told[0] and "from 32×32" in told[0]


def test_the_upscaler_that_is_taken(alone: Path) -> None:
    folder, info = alone / "model", Model(alone).info
    shipped, runs = card.PRETRAINED, alone.parent
    save_upscaler(runs / "other" / "model", dataset="music", dataset_hash="1" * 64, clips_seen=9_000)
    with pytest.raises(ConfigError, match="nothing is there"):
        find_upscaler(folder, info)
    order = [shipped / "general", runs / "name", runs / "hash" / "model", folder / "upscaler"]
    save_upscaler(order[0], dataset="music", dataset_hash="1" * 64, clips_seen=8_000)
    assert find_upscaler(folder, info) == order[0]
    save_upscaler(shipped / "wide", dataset="music", dataset_hash="1" * 64, clips_seen=1, width=16)
    assert find_upscaler(folder, info) == shipped / "wide" and find_upscaler(folder, info, quick=True) == order[0]
    save_upscaler(order[1], dataset_hash="2" * 64, clips_seen=70)
    assert find_upscaler(folder, info) == order[1]
    save_upscaler(order[2], dataset="renamed", clips_seen=6)
    assert find_upscaler(folder, info) == order[2]
    save_upscaler(order[3], dataset="music", dataset_hash="1" * 64, clips_seen=0)
    assert find_upscaler(folder, info) == order[3]
    (order[3] / "model.json").write_text("{}")
    with pytest.raises(ModelError, match=r"upscaler.model.json does not describe a model: fetch the model again"):
        footage.generate(alone, alone / "x", size="64x64", device="cpu", quiet=True)
    save_tiny_model(order[3], preset="stream-32")
    with pytest.raises(ModelError, match=r"is no upscaler: put one there, remove it, or give --upscale"):
        find_upscaler(folder, info)
    shutil.rmtree(order[3])
    (order[2] / "model.json").write_text("damaged")
    assert find_upscaler(folder, info) == order[1], "what is beside it and damaged is not chosen"


def test_an_upscaler_is_trained_on_videos_evaluated_and_begun_with(tmp_path: Path) -> None:
    for number in range(2):
        write(tmp_path / "videos" / f"{number}.mp4", moving(40, (40, 48), seed=number))
    knobs = {"clip.height": 32, "clip.width": 32, "net.width": 8, "train.batch_size": 2, "train.device": "cpu"}
    config = footage.preset("upscale-x2", knobs)
    out, how = tmp_path / "run", {"quiet": True}
    footage.train(str(tmp_path / "videos"), config, out=out, clips=8, **how)
    twice = footage.train(str(tmp_path / "videos"), config, out=tmp_path / "again", clips=4, **how)
    footage.train(str(tmp_path / "videos"), config, out=twice.path, clips=8, **how)
    one, two = (json.loads((path / "model" / "model.json").read_text()) for path in (out, twice.path))
    assert one["weights_sha256"] == two["weights_sha256"], "a run that goes on is one that was never interrupted"
    found = footage.evaluate(out, tmp_path / "videos", clips=2, device="cpu", cache=Path("none"), quiet=True)
    figures = {figure.name: figure for figure in found.figures}
    assert figures["psnr"].plain is not None
    critics = footage.preset("upscale-x4-gan").critics
    other = footage.preset("upscale-x2", knobs | {"learn.lr": 1e-9, "learn.ema": 0.0})
    begun = footage.train(str(tmp_path / "videos"), other, out=tmp_path / "more", begin_with=out, clips=2, **how)
    weights = [load_model(path / "model")[0].net.state_dict() for path in (out, begun.path)]  # type: ignore[attr-defined]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=0, atol=1e-6)
    wide = footage.preset("upscale-x2", knobs | {"net.width": 16})
    with pytest.raises(footage.FootageError, match=r"is needed: give a model like upscale-x2 with the same --net"):
        footage.train(str(tmp_path / "videos"), wide, out=tmp_path / "wide", begin_with=out, clips=2, **how)
    assert critics
