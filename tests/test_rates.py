"""Frame rates are exact fractions, from the file that is read to the one that is written."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from footage.config import ClipConfig
from footage.data.audit import Audit
from footage.data.crops import VideoCrops
from footage.errors import MediaError
from footage.media import probe as probing
from footage.media import thumbnails
from footage.media.decode import VideoDecoder
from footage.media.encode import write_clip
from footage.media.probe import count_frames, probe
from footage.media.rates import PAUSE, USUAL, FrameClock, common_rate, exact_rate, rate_of_times
from footage.media.reader import DamageLog, Footage, open_original
from footage.media.thumbnails import read_thumbnails
from tests import clips
from tests.ingesting import ingest


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (29.97, Fraction(30000, 1001)),
        (Fraction(2997, 100), Fraction(30000, 1001)),
        (23.976, Fraction(24000, 1001)),
        (23.98, Fraction(24000, 1001)),
        (59.94, Fraction(60000, 1001)),
        (24, Fraction(24)),
        (12.5, Fraction(25, 2)),
        (29.9, Fraction(299, 10)),
        (1 / 60, Fraction(1, 60)),
    ],
)
def test_a_rate_is_the_fraction_that_was_meant(written, meant):
    assert exact_rate(written) == meant


def test_a_double_gives_its_fraction_back():
    for rate in [*USUAL, Fraction(12000, 397), Fraction(1, 90), Fraction(7, 3)]:
        assert exact_rate(float(exact_rate(rate))) == rate == exact_rate(rate)


@pytest.mark.parametrize("rate", [0, -1, math.nan, math.inf])
def test_what_is_no_rate_is_refused(rate):
    with pytest.raises(MediaError, match="frame rate"):
        exact_rate(rate)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm"])
@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001), Fraction(25)])
def test_what_is_written_keeps_its_rate_in_every_container(tmp_path, suffix, rate):
    path = tmp_path / f"a.{suffix}"
    levels = np.linspace(0, 255, 12).astype(np.uint8)
    write_clip(path, [np.broadcast_to(levels[:, None, None, None], (12, 32, 32, 3))], fps=float(rate), metadata={})
    with av.open(str(path)) as container:
        times = [frame.pts * frame.time_base for frame in container.decode(video=0)]
        assert suffix in ("mkv", "webm") or container.streams.video[0].average_rate == rate  # theirs is measured
    # as FFmpeg stamps them: on the exact grid, but for the container's own unit of time
    assert all(abs(time - number / rate) <= Fraction(1, 1000) for number, time in enumerate(times))
    assert probe(path).rate == rate


def seconds(count: int, rate: float = 25.0, start: float = 0.0, gap: tuple[int, float] = (0, 0.0)) -> list[float]:
    """Times of frames; before frame number gap[0] there are gap[1] seconds more."""
    return [start + number / rate + (gap[1] if gap[0] and number >= gap[0] else 0.0) for number in range(count)]


def decoded(path, **options):
    decoder = VideoDecoder(path, height=32, width=32, channels=3, fps=25, fit="crop", **options)
    return np.concatenate([chunk.frames for chunk in decoder]), decoder


def shown_at(path) -> list[float]:
    original = open_original(path)
    return [float(picture.stamp * original.base) for picture in original.pictures(3, DamageLog())]


SMALL = clips.moving(60, (32, 32))


@pytest.mark.parametrize(
    ("times", "declared", "rate"),
    [
        (seconds(40), 1000, 25),  # a clock's rate, as some recorders write it
        (seconds(40), 12_800, 25),  # a unit of time, as some muxers write it
        (seconds(40, 960), 960, 960),  # a high-speed camera's, borne out by the frames
        (seconds(40, 24000 / 1001), Fraction(24000, 1001), Fraction(24000, 1001)),
        (seconds(40, 29.83), Fraction(2983, 100), Fraction(2983, 100)),  # steady: taken as it is
        (
            [t + 0.002 * (i % 3) for i, t in enumerate(seconds(40, 30))],
            Fraction(3030, 100),
            30,
        ),  # jitter: what is meant
        (seconds(40, gap=(20, 45.0)), Fraction(40, 47), 25),  # a recording that stood still
        ([t for i, t in enumerate(seconds(60, 30)) if i % 5], 24, 30),  # frames were dropped
        (
            [(5 * i + i % 2) / 120 * 1.001 for i in range(40)],
            Fraction(30000, 1001),
            Fraction(24000, 1001),
        ),  # 2:3 pulldown
        ([60.0 * i for i in range(9)], None, Fraction(1, 60)),
        ([0.0, 0.04], 25, 25),
        ([0.0], 12_800, None),
    ],
)
def test_a_declared_rate_is_believed_where_the_frames_bear_it_out(times, declared, rate):
    stamps = [Fraction(round(time * 90_000), 90_000) for time in times]
    declared = None if declared is None else Fraction(declared)
    assert rate_of_times(reversed(stamps), declared, Fraction(1, 90_000)) == rate


def test_the_rate_of_most_of_the_time_is_taken_and_snapped():
    phone = [(Fraction(rate), 10.0) for rate in ("29.8", "30.3", "30.1", "29.9", "30", "30.23")]
    slow_motion = (Fraction(240), 9.0)
    common = common_rate([*phone, slow_motion])
    assert common.rate == 30 and common.seconds == pytest.approx(60) and common.total == pytest.approx(69)
    assert common_rate([(Fraction(24000, 1001), 5.0), (Fraction(24), 4.0)]).rate == Fraction(24000, 1001)
    # six short clips, one long one
    assert common_rate([(Fraction(60), 2.0)] * 6 + [(Fraction(25), 30.0)]).rate == 25
    assert common_rate([(Fraction(25), 2.0), (Fraction(50), 2.0)]).rate == 50


@pytest.mark.parametrize("declared", [1000, 12_800])
def test_an_absurd_rate_in_a_file_is_not_believed(tmp_path, declared):
    path = clips.write(tmp_path / "a.mkv", SMALL[:30], fps=declared, times=seconds(30))
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == declared  # FFmpeg's word
    assert probe(path).rate == count_frames(path).rate == Footage(path).rate() == open_original(path).rate == 25
    assert read_thumbnails(path).fps == 25


def test_slow_motion_does_not_set_the_rate_of_phone_clips(tmp_path):
    rng = np.random.default_rng(3)
    for number, rate in enumerate((29.8, 30.3, 30.1)):
        jitter = np.sort(np.arange(40) / rate + rng.uniform(-0.004, 0.004, 40)) + 0.005
        clips.write(tmp_path / "v" / f"{number}.mp4", clips.moving(40, (32, 32), seed=number), times=jitter.tolist())
    clips.write(tmp_path / "v" / "slow.mp4", clips.moving(60, (32, 32), seed=9), times=seconds(60, 120))
    made = ingest([tmp_path / "v"], tmp_path / "d", height=32, width=32, workers=0, keep_duplicates=True)
    assert made.dataset.info.fps == 30 and made.dataset.info.settings["rate"] == "30"
    assert [source.fps for source in made.dataset.sources] == [30, 30, 30, 120]
    clip = next(made.dataset.read(row, 0, row.frames) for row in made.dataset.rows if "slow" in row.source)
    assert len(clip) in (15, 16)  # every fourth of the 60 frames: none twice
    assert (np.abs(np.diff(clip[:15].astype(int), axis=0)).max(axis=(1, 2, 3)) > 20).all()
    assert dict(Audit(made.dataset).summary)["rate"] == "30 frames a second: that of 4 of 5 s"


def test_a_rate_that_was_rounded_long_ago_is_written_exactly(tmp_path):
    clips.write(tmp_path / "v" / "a.mp4", SMALL, fps=Fraction(30000, 1001))
    made = ingest([tmp_path / "v"], tmp_path / "d", height=32, width=32, workers=0, fps=29.97).dataset
    assert made.info.fps == 30000 / 1001
    assert "29.97 frames a second (30000/1001): as asked for" in dict(Audit(made).summary)["rate"]


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts"])
def test_a_late_start_is_not_taken_for_length(tmp_path, suffix):
    path = clips.write(tmp_path / f"late.{suffix}", SMALL, times=seconds(60, start=3600))
    frames, decoder = decoded(path)
    assert len(frames) == 60 and not decoder.truncated and not decoder.damaged
    assert probe(path).duration == pytest.approx(2.4, abs=0.05)
    seen = read_thumbnails(path)
    assert (seen.frames, seen.seconds) == (60, 2.4)


def test_jumps_of_a_transport_stream_are_closed_as_ffmpeg_closes_them(tmp_path):
    path = clips.write(tmp_path / "jump.ts", SMALL, times=seconds(60, gap=(30, 1000.0)))
    back = tmp_path / "back.ts"  # two recordings put together: the clock starts anew
    first = clips.write(tmp_path / "1.ts", SMALL[:30], times=seconds(30, start=5000))
    back.write_bytes(first.read_bytes() + clips.write(tmp_path / "2.ts", SMALL[30:], times=seconds(30)).read_bytes())
    for each in (path, back):
        frames, decoder = decoded(each)
        assert len(frames) == 60 and not decoder.truncated
        assert "times jump: taken as going on without a gap" in decoder.notes
        assert probe(each).duration == pytest.approx(2.4, abs=0.05)
        assert read_thumbnails(each).seconds == pytest.approx(2.4, abs=0.05)
        assert shown_at(each) == pytest.approx(seconds(60), abs=0.001)  # so `upscale` writes them


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_recording_that_stands_still_is_whole(tmp_path, suffix):
    path = clips.write(tmp_path / "v" / f"still.{suffix}", SMALL, times=seconds(60, gap=(30, 45.0)))
    frames, decoder = decoded(path)
    assert len(frames) == round(47.4 * 25) and not decoder.truncated  # as long as FFmpeg says
    assert read_thumbnails(path).seconds == pytest.approx(47.4)
    assert shown_at(path) == pytest.approx(seconds(60, gap=(30, 45.0)), abs=0.001)  # `upscale` keeps the pause
    made = ingest([tmp_path / "v"], tmp_path / "d", height=32, width=32, workers=0, cuts=False)
    (row,) = made.dataset.rows
    assert made.dataset.info.fps == 25 and row.frames == 60 and (row.start, row.end) == (0, 47.4)
    (pause,) = made.rejections
    assert pause.reason == "stands still" and (pause.start, pause.end) == pytest.approx((1.2, 46.2))
    found = dict(Audit(made.dataset).summary)["found in sources"]
    assert found == "pictures stand for more than 10 s: shown as briefly as the others (1)"
    assert not any("early" in fault for _, fault in Audit(made.dataset).faults)


def test_one_frame_a_minute_is_a_clip_of_these_frames(tmp_path):
    path = clips.write(tmp_path / "v" / "lapse.mp4", SMALL[:20], times=[60.0 * i for i in range(20)])
    assert probe(path).rate == Fraction(1, 60)
    made = ingest([tmp_path / "v"], tmp_path / "d", height=32, width=32, workers=0, cuts=False)
    assert [row.frames for row in made.dataset.rows] == [20] and not made.rejections
    assert "a new picture every 60 s: each is shown for one frame (1)" in dict(Audit(made.dataset).summary).values()


def test_a_last_picture_that_stands_is_no_early_end(tmp_path):
    path = clips.write(tmp_path / "a.mp4", SMALL[:20], times=seconds(20))
    with av.open(str(path)) as source, av.open(str(tmp_path / "b.mp4"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        latest = max(packets, key=lambda packet: packet.pts)
        latest.duration += round(45 / latest.time_base)
        for packet in packets:
            packet.stream = stream
            target.mux(packet)
    assert probe(tmp_path / "b.mp4").duration == pytest.approx(45.8, abs=0.1)
    frames, decoder = decoded(tmp_path / "b.mp4")
    assert len(frames) == pytest.approx(45.8 * 25, abs=2) and not decoder.truncated
    frames, decoder = decoded(tmp_path / "b.mp4", pauses=False)
    assert len(frames) == 20 and not decoder.truncated and decoder.pauses


def test_a_bare_stream_has_the_rate_that_its_codec_tells(tmp_path):
    path = clips.write(tmp_path / "a.h264", SMALL[:30], fps=50)
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == 25  # what FFmpeg assumes of such files
    assert probe(path).rate == 50
    frames, decoder = decoded(path)
    assert len(frames) == 15 and not decoder.truncated  # .6 s


@pytest.mark.parametrize("gap", [(0, 0.0), (30, 1000.0)])
@pytest.mark.parametrize("suffix", ["mkv", "ts"])
def test_moments_of_a_long_video_are_found_wherever_it_starts_and_jumps(tmp_path, monkeypatch, gap, suffix):
    monkeypatch.setattr(thumbnails, "WHOLE", 20)  # so that moments are sought
    levels = [np.full((32, 32, 3), 4 * i, np.uint8) for i in range(60)]
    path = clips.write(
        tmp_path / f"a.{suffix}", levels, times=seconds(60, start=3600, gap=gap), options={"g": "4", "bf": "2"}
    )
    seen = read_thumbnails(path, moments=4)
    if suffix == "mkv" and gap[0]:  # a pause is kept: the moments lie within it
        assert seen.seconds == pytest.approx(1002.4, abs=0.1)
        return
    assert seen.seconds == pytest.approx(2.4, abs=0.1) and seen.info.jumps == bool(gap[0])
    right = np.array([0, 20, 39, 59][: len(seen.pictures)])  # FFmpeg may not find the last moment of a .ts file
    assert len(right) >= 3 and np.abs(seen.pictures.mean(axis=(1, 2, 3)) / 4 - right).max() < 6


def test_crops_are_not_taken_from_where_no_moment_can_be_found(tmp_path):
    clips.write(tmp_path / "v" / "jump.ts", SMALL, times=seconds(60, gap=(30, 1000.0)))
    clips.write(tmp_path / "v" / "plain.mp4", SMALL, fps=Fraction(30000, 1001))
    crops = VideoCrops(tmp_path / "v", ClipConfig(frames=4, height=16, width=16))
    assert list(crops.left_out) == ["v/jump.ts"] and "jump" in crops.left_out["v/jump.ts"]
    assert crops.fps == 30000 / 1001


@pytest.mark.parametrize("jumps", [False, True])
@pytest.mark.parametrize("unit", [Fraction(1, 90000), Fraction(1001, 30000), Fraction(1)])
def test_packets_are_counted_as_if_a_clock_were_shown_each(unit: Fraction, jumps: bool) -> None:
    draw = random.Random(0)
    for _ in range(40):
        stamps = [draw.choice([0, -7, 10**6])]
        for _ in range(draw.randrange(1, 90)):  # back, on, for long, and beyond what can be meant
            step = draw.choice([*[Fraction(1, 25)] * 20, Fraction(-1, 5), Fraction(3, 2), -50, 1, 10, 11, 60, 200_000])
            stamps.append(stamps[-1] + int(step / unit))
        clock, usual, paused = FrameClock(jumps), Fraction(1, 25), Fraction(0)
        fast = probing._PacketTimes(FrameClock(jumps), unit)
        late = probing.REORDERED + 1
        for stamp in stamps:
            fast.take(SimpleNamespace(pts=stamp, dts=None, size=1))  # type: ignore[arg-type]
        fast.show()
        fast.settle()
        waiting, shown = list[int](), list[int]()
        for stamp in (*stamps, *[None] * late):
            waiting = sorted([*waiting, *([] if stamp is None else [stamp])])
            if waiting and (stamp is None or len(waiting) == late):
                shown.append(waiting.pop(0))
        for stamp in shown:
            step = -clock.now + clock.show(stamp * unit, usual)
            usual = step if 0 < step < 1 else usual
            paused += step - usual if step > PAUSE else 0
        got = fast.clock
        assert (got.now, got.closed, got.first, got.latest) == (clock.now, clock.closed, clock.first, clock.latest)
        assert (fast.usual, fast.paused) == (usual, paused)


def test_a_clock_is_shown_only_what_does_not_just_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown, show = list[object](), FrameClock.show

    def counted(clock: FrameClock, stamp: Fraction | None, usual: Fraction) -> Fraction:
        shown.append(stamp)
        return show(clock, stamp, usual)

    monkeypatch.setattr(FrameClock, "show", counted)
    count = count_frames(clips.write(tmp_path / "a.mp4", clips.moving(90, (16, 16)), fps=30))
    assert count.frames == 90 and count.span == Fraction(89, 30) and len(shown) == 2
