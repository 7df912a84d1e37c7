"""Videos as functions of time: seek, slow motion, loops, from one seed to another, shots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from footage.errors import ConfigError
from footage.generation.rollout import one_video, stream, videos
from footage.models.base import Generates, Streams
from footage.models.generators.samplers import between, draw, more
from footage.models.generators.stream import noise as noise_path
from footage.models.generators.stream import sampler as streaming
from footage.models.generators.stream.noise import Floats
from footage.models.generators.stream.sampler import DRIFT, StreamSampler, times, turned, window
from footage.models.generators.stream.sampler import _Videos as Videos
from footage.models.requests import TimeMapping, VideoRequest
from tests.models import save_tiny_model
from tests.streams import tiny_stream

CLOSE = 2e-5
"""Frames in [-1, 1] that are made in batches of different sizes agree within this."""


@pytest.fixture(scope="module")
def sampler() -> StreamSampler:
    return tiny_stream()


def taken(sampler: StreamSampler, request: VideoRequest, frames: int, chunk: int | None = None) -> Tensor:
    """Return the first frames of a video, (T, C, H, W)."""
    found: list[Tensor] = []
    for segment in sampler.segments([request], chunk):
        found.append(segment[0].transpose(0, 1))  # C T H W -> T C H W
        if sum(map(len, found)) >= frames:
            return torch.cat(found)[:frames]
    raise AssertionError("segments never end")


def same(a: Tensor, b: Tensor) -> None:
    assert a.shape == b.shape and float((a - b).abs().max()) <= CLOSE


def numbers_of(sampler: StreamSampler, requests: Sequence[VideoRequest], numbers: object) -> Videos:
    return Videos(sampler.generator, requests, sampler.shot).at(np.asarray(numbers))  # type: ignore[return-value]


def test_what_it_is(sampler: StreamSampler) -> None:
    assert isinstance(sampler, Streams) and isinstance(sampler, Generates)
    assert sampler.endless and sampler.hop == sampler.clip.frames and sampler.given == 0 and sampler.shot == 0
    preview = sampler.preview(torch.zeros(3, 3, 8, 16, 16), None)["sample"]
    assert preview.shape == (3, 3, 8, 16, 16)
    same(preview[2].transpose(0, 1), taken(sampler, VideoRequest(2), 8))
    assert float((preview[0] - preview[1]).abs().max()) > 0.01


def test_one_pass_over_a_window_of_the_bank_gives_the_same_frames(sampler: StreamSampler) -> None:
    """The numbers are those of `NoiseBank.turned`, and streaming is what `frames` makes of them at once."""
    path = noise_path.NoisePath(sampler.generator.bank.rates, 5)
    when = np.arange(30.0)
    rest = torch.from_numpy(path.states(when)[None, ..., 0])
    motion = sampler.generator.bank.turned(rest, torch.from_numpy(when)).detach().float()
    content = draw([5], *sampler.generator.noise(1)["content"])[1]
    with torch.inference_mode():
        offline = sampler.generator.frames(content, motion, None, None).clamp(-1, 1)[0].transpose(0, 1)
    same(taken(sampler, VideoRequest(5), 30), offline)
    same(taken(sampler, VideoRequest(5), 30, chunk=7), offline)


def test_rows_depend_on_their_own_wish(sampler: StreamSampler) -> None:
    requests = [
        VideoRequest(1),
        VideoRequest(2, to_seed=3, frames=8),
        VideoRequest(3, time=TimeMapping(start=100, rate=0.5, drift=30)),
    ]
    together = next(sampler.segments(requests))
    for row, request in enumerate(requests):
        same(together[row].transpose(0, 1), taken(sampler, request, 8))


@pytest.mark.parametrize("rate", [1.0, 0.25, 1 / 3, 2.5])
@pytest.mark.parametrize("drift", [0.0, 50.0])
def test_seeking_is_streaming_there(sampler: StreamSampler, rate: float, drift: float) -> None:
    skipped = 77
    streamed = numbers_of(sampler, [VideoRequest(4, time=TimeMapping(rate=rate, drift=drift))], range(skipped + 10))
    mapping = TimeMapping(start=skipped * rate, rate=rate, drift=drift)
    sought = numbers_of(sampler, [VideoRequest(4, time=mapping)], range(10))
    assert torch.equal(sought.motion, streamed.motion[:, skipped:])
    assert torch.equal(sought.content, streamed.content[:, skipped:])
    frames = taken(sampler, VideoRequest(4, time=TimeMapping(rate=rate, drift=drift)), skipped + 10)
    same(taken(sampler, VideoRequest(4, time=mapping), 10), frames[skipped:])


def test_seeking_far_needs_nothing_in_between(sampler: StreamSampler, monkeypatch: pytest.MonkeyPatch) -> None:
    draws: list[int] = []
    plain = noise_path.NoisePath._normal

    def counted(path: noise_path.NoisePath, index: int, level: int, count: int) -> noise_path.Floats:
        draws.append(count)
        return plain(path, index, level, count)

    monkeypatch.setattr(noise_path.NoisePath, "_normal", counted)
    far = taken(sampler, VideoRequest(0, time=TimeMapping(start=1e9)), 16)
    assert sum(draws) < 400
    assert float((far - taken(sampler, VideoRequest(0), 16)).abs().max()) > 0.01


def test_slow_motion_has_the_frames_of_normal_speed(sampler: StreamSampler) -> None:
    normal, slow = taken(sampler, VideoRequest(6), 20), taken(sampler, VideoRequest(6, time=TimeMapping(rate=0.25)), 80)
    same(slow[::4], normal)
    steps = (slow[1:] - slow[:-1]).abs().mean()
    assert steps < 0.6 * (normal[1:] - normal[:-1]).abs().mean()


@pytest.mark.parametrize(
    ("loop", "rate", "start"), [(12.0, 1.0, 0.0), (10.0, 0.25, 33.0), (100.0, 1.0, 1e5), (7.5, 0.5, 2.25)]
)
@pytest.mark.parametrize("drift", [0.0, 40.0])
def test_loops_close(sampler: StreamSampler, loop: float, rate: float, start: float, drift: float) -> None:
    request, length = VideoRequest(8, time=TimeMapping(start, rate, loop, drift=drift)), round(loop / rate)
    found = numbers_of(sampler, [request], range(2 * length + 3))
    assert torch.equal(found.motion[:, length:], found.motion[:, : length + 3])
    assert torch.equal(found.content[:, length:], found.content[:, : length + 3])
    plain = numbers_of(sampler, [VideoRequest(8, time=TimeMapping(start, rate, drift=drift))], [0])
    torch.testing.assert_close(found.motion[:, :1], plain.motion, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.content[:, :1], plain.content, atol=1e-6, rtol=0)
    frames = taken(sampler, request, 2 * length)
    same(frames[length:], frames[:length])


def kink(sampler: StreamSampler, request: VideoRequest, frame: int) -> float:
    """Return how much motion's velocity changes at a frame, in parts of the most that it changes beside it."""
    numbers = numbers_of(sampler, [request], range(frame - 4, frame + 5)).motion[0].double()
    change = numbers.diff(dim=0).diff(dim=0).abs().amax(dim=1)  # at frames -3 to 3 from it
    return float(change[3] / torch.cat([change[:3], change[4:]]).max())


def test_kinks_are_seen(sampler: StreamSampler, monkeypatch: pytest.MonkeyPatch) -> None:
    class Halved(noise_path.NoiseBridge):
        def __init__(
            self, path: noise_path.NoisePath, start: Floats, end: Floats, frames: float, begin: float = 0
        ) -> None:
            super().__init__(path, start, end * [1, 0.5], frames, begin)

    monkeypatch.setattr(streaming, "NoiseBridge", Halved)
    assert kink(sampler, VideoRequest(8, time=TimeMapping(rate=1 / 1024, loop=40.0)), 40 * 1024) > 5


def test_loops_have_no_seam(sampler: StreamSampler) -> None:
    """Over the seam motion goes on as it came, velocity included: a kink would be a step in the differences."""
    assert kink(sampler, VideoRequest(8, time=TimeMapping(rate=1 / 1024, loop=40.0)), 40 * 1024) < 2


def test_between_two_seeds(sampler: StreamSampler) -> None:
    request = VideoRequest(3, to_seed=17, frames=41, time=TimeMapping(between=True))
    frames = taken(sampler, request, 60)
    same(frames[:1], taken(sampler, VideoRequest(3), 1))
    same(frames[40:], taken(sampler, VideoRequest(17), 20))  # and goes on as the second does
    numbers = numbers_of(sampler, [request], range(60))
    z = [draw([seed], 8)[1] for seed in (3, 17)]
    torch.testing.assert_close(numbers.content[:, 20], between(*z, torch.tensor(0.5)))
    slow = VideoRequest(3, to_seed=17, frames=40 * 1024 + 1, time=TimeMapping(rate=1 / 1024, between=True))
    assert kink(sampler, slow, 40 * 1024) < 2
    finer = taken(sampler, VideoRequest(3, to_seed=17, frames=161, time=TimeMapping(rate=0.25, between=True)), 161)
    same(finer[::4], frames[:41])
    assert finer.diff(dim=0).abs().max() < 0.5 * frames.diff(dim=0).abs().max(), "no jumps: they would not shrink"


def test_between_a_seed_and_itself_content_stays(sampler: StreamSampler) -> None:
    request = VideoRequest(3, to_seed=3, frames=41, time=TimeMapping(between=True))
    assert torch.equal(numbers_of(sampler, [request], range(60)).content[0], draw([3], 8)[1].expand(60, -1))


def test_all_of_a_seed_counts() -> None:
    for seed in (0, 17, 2**32 - 1):  # as they have always been
        wanted = torch.randn(8, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(draw([seed], 8)[1][0], wanted)
    seeds = [5, 2**32, 2**32 + 5, 2**33 + 5, 2**62 + 5, 2**62 + 6, 2**63 - 1]
    sources, first = draw(seeds, 1000)
    assert float((torch.corrcoef(first) - torch.eye(len(seeds))).abs().max()) < 0.15
    assert torch.equal(draw(seeds, 1000)[1], first) and not torch.equal(more(sources, 1000), first)
    assert first.dtype == torch.float32 and abs(float(first.std()) - 1) < 0.05


def test_content_stays_unless_it_is_to_drift(sampler: StreamSampler) -> None:
    z = draw([9], 8)[1][0]
    still = numbers_of(sampler, [VideoRequest(9, time=TimeMapping(start=1e4))], range(50))
    assert torch.equal(still.content[0], z.expand(50, -1))
    drifting = numbers_of(sampler, [VideoRequest(9, time=TimeMapping(drift=20))], range(0, 4000, 5)).content[0]
    assert torch.equal(drifting[0], z) and (drifting[1] - z).abs().max() < 1.5
    assert abs(float(drifting.mean())) < 0.15 and abs(float(drifting.std()) - 1) < 0.15
    truncated = numbers_of(sampler, [VideoRequest(9, time=TimeMapping(truncation=0.5))], [0])
    assert torch.equal(truncated.content[0, 0], z * 0.5)
    assert DRIFT < 2**64


def test_motion_has_its_own_seed_and_strength(sampler: StreamSampler) -> None:
    own, other = (
        numbers_of(sampler, [VideoRequest(1, time=TimeMapping(motion_seed=seed))], range(20)) for seed in (None, 2)
    )
    assert torch.equal(own.content, other.content) and (own.motion - other.motion).abs().max() > 0.5
    assert torch.equal(other.motion, numbers_of(sampler, [VideoRequest(2)], range(20)).motion)
    weak = numbers_of(sampler, [VideoRequest(1, time=TimeMapping(strength=0.5))], range(20))
    torch.testing.assert_close(weak.motion, own.motion * 0.5)
    still = taken(sampler, VideoRequest(1, time=TimeMapping(strength=0)), 5)
    same(still[1:], still[:-1])


def test_labels_change_on_the_way() -> None:
    labelled = tiny_stream(labels=2)
    request = VideoRequest(0, (1.0, 0.0), to_label=(0.0, 1.0), frames=20)
    changed, start = taken(labelled, request, 24), taken(labelled, VideoRequest(0, (1.0, 0.0)), 24)
    end = taken(labelled, VideoRequest(0, (0.0, 1.0)), 24)
    same(changed[:1], start[:1])
    same(changed[19:], end[19:])
    assert float((start - end).abs().max()) > 0.01


def test_shots_follow_one_another() -> None:
    shots = tiny_stream(shot=12)
    whole = numbers_of(shots, [VideoRequest(4)], range(40))
    assert whole.clock is not None and whole.clock[0].tolist() == [n % 12 for n in range(40)]
    assert torch.equal(whole.content[0], whole.content[0, :1].expand(40, -1))
    assert (whole.motion[0, :12] - whole.motion[0, 12:24]).abs().max() > 0.5
    plain = tiny_stream()
    torch.testing.assert_close(whole.motion[:, :12], numbers_of(plain, [VideoRequest(4)], range(12)).motion)
    sought = numbers_of(shots, [VideoRequest(4, time=TimeMapping(start=30))], range(10))
    assert torch.equal(sought.motion, whole.motion[:, 30:]) and torch.equal(sought.clock, whole.clock[:, 30:])
    normal, slow = taken(shots, VideoRequest(4), 30), taken(shots, VideoRequest(4, time=TimeMapping(rate=0.5)), 60)
    same(slow[::2], normal)
    same(
        taken(shots, VideoRequest(4, time=TimeMapping(start=1200)), 8),
        taken(shots, VideoRequest(4, time=TimeMapping(start=1200)), 8, 3),
    )


def test_windows_of_shots_begin_as_training_clips_do() -> None:
    starts = [window(12, 8, seed).start for seed in range(300)]
    assert set(starts) == {0.0, 1.0, 2.0, 3.0, 4.0} and window(0, 8, 3) == TimeMapping()
    shots = tiny_stream(shot=12)
    seed = next(seed for seed, start in enumerate(starts) if start == 3)
    made = next(videos(shots, [seed], None, 8))[0]
    wanted = next(one_video(shots, VideoRequest(seed, time=TimeMapping(start=3)), 8))
    np.testing.assert_array_equal(made, wanted)
    preview = shots.preview(torch.zeros(seed + 1, 3, 8, 16, 16), None)["sample"][seed].transpose(0, 1)
    same(preview, taken(shots, VideoRequest(seed, time=TimeMapping(start=3)), 8))


@pytest.mark.parametrize(
    ("video", "shot", "said"),
    [
        (VideoRequest(0, time=TimeMapping(loop=8)), 12, "loop is asked for.*12 frames: leave loop out, or train"),
        (
            VideoRequest(0, to_seed=1, frames=9, time=TimeMapping(between=True)),
            12,
            "between is asked for.*--net.shot 0",
        ),
        (VideoRequest(0, frames=9, time=TimeMapping(between=True)), 0, "no seed to end with"),
        (VideoRequest(0, to_seed=1, frames=1, time=TimeMapping(between=True)), 0, "frames is 1"),
        (VideoRequest(0, to_seed=1, frames=9, time=TimeMapping(loop=8)), 0, "a loop comes back"),
        (VideoRequest(0, to_seed=1, frames=9, time=TimeMapping(drift=8)), 0, "content wanders"),
        (VideoRequest(0, to_seed=1, frames=9, time=TimeMapping(start=8, between=True)), 0, "begins where the first"),
        (VideoRequest(0, to_seed=1, frames=9, time=TimeMapping(motion_seed=8, between=True)), 0, "of these seeds"),
    ],
)
def test_what_does_not_go_together_is_refused(video: VideoRequest, shot: int, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        next(tiny_stream(shot=shot).segments([video]))


@pytest.mark.parametrize(
    "knobs", [{"start": -1}, {"rate": 0}, {"loop": float("nan")}, {"strength": -1}, {"motion_seed": -1}, {"drift": -2}]
)
def test_courses_out_of_range_are_refused(knobs: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(knobs))} is .*: give"):
        TimeMapping(**knobs)  # type: ignore[arg-type]


def test_times_are_the_same_however_they_are_reached() -> None:
    for rate in (1 / 3, 0.1, 1.7):
        whole = times(TimeMapping(rate=rate), np.arange(10**6, 10**6 + 500))
        for first in (10, 12345, 10**6):
            there = times(TimeMapping(start=first * rate, rate=rate), np.arange(10**6 - first, 10**6 - first + 500))
            np.testing.assert_array_equal(there, whole)
    assert turned(np.array([1.0, 0.0]), np.array(np.pi / 2)).round(9).tolist() == [0, 1]


def test_other_models_do_not_stream(tmp_path: Path) -> None:
    from footage.generation.model import Model

    save_tiny_model(tmp_path, preset="recurrent-32")
    assert not isinstance(Model(tmp_path).sampler, Streams)


def test_long_streams_keep_one_block_of_each_path(sampler: StreamSampler) -> None:
    made = Videos(sampler.generator, [VideoRequest(0, time=TimeMapping(drift=9))], 0)
    for first in range(0, 6400, 32):
        made.at(np.arange(first, first + 32))
    path, drift = made.motions[0].path, made.drifts[0]
    assert path._block is not None and path._block[2].nbytes < 65 * 4 * 2 * 2 * 8 + 1
    assert drift is not None and len(drift.path._block[2]) == 65  # type: ignore[union-attr, index]
    chunks = stream(sampler, [VideoRequest(0)], chunk=3)
    assert [next(chunks).shape[2] for _ in range(3)] == [3, 3, 3]
