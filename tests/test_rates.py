"""Frame rates are exact fractions, from the file that is read to the one that is written."""

from __future__ import annotations

import math
from fractions import Fraction

import av
import numpy as np
import pytest

from footage.errors import MediaError
from footage.media.encode import write_clip
from footage.media.probe import probe
from footage.media.rates import USUAL, exact_rate


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
