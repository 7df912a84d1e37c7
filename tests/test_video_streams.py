"""Which stream of a file is its video, in every verb."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from footage.data.audit import Audit
from footage.media.decode import decode_whole
from footage.media.probe import open_video, probe
from footage.media.reader import DamageLog, open_original
from footage.media.thumbnails import read_thumbnails
from tests import clips
from tests.ingesting import ingest


def several(path: Path, *streams: tuple[int, int, str]) -> Path:
    """Write a file with streams, each given as side, number of pictures, and disposition; covers are PNG."""
    with av.open(str(path), "w") as container:
        made = []
        for side, _, disposition in streams:
            cover = disposition == "attached_pic"
            stream = container.add_stream("png" if cover else "libx264", rate=25)
            stream.height, stream.width, stream.pix_fmt = side, side, "rgb24" if cover else "yuv420p"
            stream.thread_count = 1
            stream.disposition = Disposition[disposition] if disposition else Disposition(0)
            made.append(stream)
        packets = []
        for number, (stream, (side, count, _)) in enumerate(zip(made, streams, strict=True)):
            for pixels in clips.moving(count, (side, side), seed=number):
                packets += stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24"))
            packets += stream.encode()
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
@pytest.mark.parametrize(
    ("streams", "taken", "why"),
    [
        ([(32, 12, ""), (64, 12, "default")], 1, "it is the default"),
        ([(64, 12, "default"), (32, 12, "")], 0, "it is the default"),
        ([(32, 12, "default"), (64, 12, "default")], 1, "it is the largest"),
        ([(64, 1, "default"), (32, 12, "")], 1, "it moves"),  # a still, large and marked, beside a small clip
        ([(32, 12, "default"), (32, 24, "default")], 1, "it is the longest"),
        ([(32, 12, "default"), (32, 12, "default")], 0, "it is the first of equals"),
    ],
)
def test_which_of_several_streams_is_taken(tmp_path, suffix, streams, taken, why):
    path = several(tmp_path / f"a.{suffix}", *streams)
    with open_video(path) as (container, stream):
        assert stream.index == taken
        if why in ("it is the default", "it is the first of equals"):  # FFmpeg does not look at the size
            assert container.streams.best("video").index == taken
    note = f"video stream {taken + 1} of 2 taken: {why}"
    made = ingest([path], tmp_path / "d", height=32, width=32, workers=0, min_frames=4)
    assert [source.notes for source in made.dataset.sources] == [(note,)]
    assert (made.dataset.sources[0].width, made.dataset.rows[0].frames) == (streams[taken][0], streams[taken][1])
    assert dict(Audit(made.dataset).summary)["found in sources"] == f"{note} (1)"
    original = open_original(path)
    shown = [picture.pixels for picture in original.pictures(3, DamageLog())]
    seen = read_thumbnails(path)
    assert (original.stored.width, len(shown), seen.info.width, seen.frames) == (
        *streams[taken][:2],
        *streams[taken][:2],
    )
    with av.open(str(path)) as container:
        right = next(container.decode(container.streams.video[taken])).to_ndarray(format="rgb24")
    assert np.abs(shown[0].astype(int) - right).mean() < 10 and decode_whole(path, 64) == streams[taken][1]


def test_a_stream_for_those_who_see_badly_comes_after_the_others(tmp_path):
    path = several(tmp_path / "a.mkv", (64, 12, "visual_impaired"), (32, 12, ""))
    with open_video(path) as (container, stream):
        assert stream.index == 1 == container.streams.best("video").index


def test_a_cover_is_not_the_video_wherever_it_stands(tmp_path):
    path = several(tmp_path / "a.mp4", (64, 1, "attached_pic"), (32, 12, "default"))
    with open_video(path) as (_, stream):
        assert stream.width == 32
    assert probe(path).frames == 12
