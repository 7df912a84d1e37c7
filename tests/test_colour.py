"""HDR and wide gamut become BT.709. What is right is computed here, from the standards' equations, the other way."""

from __future__ import annotations

from pathlib import Path

import av
import av.filter
import numpy as np
import pytest

from footage.media.colour import BT2020, DCI_P3, DISPLAY_P3, Colour, gamut_matrix, peak_of, tone_curve
from footage.media.decode import VideoDecoder, read_window
from footage.media.reader import DamageLog, open_original
from footage.media.thumbnails import read_thumbnails
from tests.clips import corners, quadrants, write_signal

PHONE = [(200, 40, 40), (40, 200, 40), (40, 40, 200), (160, 160, 160)]
"""Red, green, blue and grey as on an SDR display."""
TO_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
"""From linear BT.709 to BT.2020 (ITU-R BT.2087-0, M2)."""
TO_P3 = np.array([[0.8225, 0.1774, 0.0], [0.0332, 0.9669, 0.0], [0.0171, 0.0724, 0.9108]])
"""From linear BT.709 to P3 with the white of D65 (SMPTE EG 432-1)."""


def hlg(nits: np.ndarray) -> np.ndarray:
    """The values of HLG for what a display of 1000 cd/m² shows (ITU-R BT.2100, table 5)."""
    scene = (nits / 1000) ** (1 / 1.2)
    upper = 0.17883277 * np.log(np.maximum(12 * scene, 1) - 0.28466892) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), upper)


def pq(nits: np.ndarray) -> np.ndarray:
    """The values of PQ (ITU-R BT.2100, table 4)."""
    y = (nits / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


def linear(picture: np.ndarray) -> np.ndarray:
    """Light of an SDR picture, 1 for white (ITU-R BT.1886)."""
    return (picture / 255) ** 2.4


def shown(path: Path, channels: int = 3) -> np.ndarray:
    decoder = VideoDecoder(path, height=32, width=32, channels=channels, fps=25, fit="crop")
    first = next(iter(decoder)).frames[0]
    return first


@pytest.mark.parametrize(("transfer", "signal"), [(18, hlg), (16, pq)], ids=["HLG", "PQ"])
@pytest.mark.parametrize("told", [True, False], ids=["told", "matrix and primaries not told"])
def test_hdr_becomes_the_colours_that_it_was_made_of(tmp_path: Path, transfer: int, signal: object, told: bool) -> None:
    assert callable(signal)
    light = linear(quadrants(PHONE)) @ TO_2020.T * 203
    primaries, matrix = (9, 9) if told else (2, 2)
    path = write_signal(tmp_path / "a.mp4", signal(light), matrix=matrix, primaries=primaries, transfer=transfer)
    assert np.abs(corners(shown(path)) - PHONE).max() <= 6
    assert np.abs(corners(read_window(path, 0.0, 1)[0][0]) - PHONE).max() <= 6
    assert np.abs(corners(read_thumbnails(path).pictures[0]) - PHONE).max() <= 6
    grey = corners(shown(path, 1))[:, 0]
    assert np.abs(grey - np.array(PHONE) @ [0.2126, 0.7152, 0.0722]).max() <= 6


def test_highlights_roll_off_as_in_bt_2390(tmp_path: Path) -> None:
    nits = [50, 203, 500, 1000]
    picture = pq(np.repeat(np.array(nits, float), 3).reshape(4, 3))
    path = write_signal(tmp_path / "a.mp4", np.kron(picture.reshape(2, 2, 3), np.ones((16, 16, 1))), **HDR10)
    levels = corners(shown(path))
    assert np.abs(levels - levels[:, :1]).max() <= 1, "grey stays grey"
    peak, white = pq(np.array(1000.0)), pq(np.array(203.0))
    knee = 1.5 * white / peak - 0.5
    expected = []
    for value in pq(np.array(nits, float)) / peak:
        t = (value - knee) / (1 - knee)
        curve = value  # ITU-R BT.2390-8, 5.4.1, with a black of 0
        if t > 0:
            curve = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee)
            curve += (3 * t**2 - 2 * t**3) * white / peak
        low = np.interp(curve * peak, pq(np.linspace(0, 1000, 100_001)), np.linspace(0, 1000, 100_001)) / 203
        expected.append(255 * low ** (1 / 2.4))
    assert np.abs(levels[:, 0] - expected).max() <= 2 and levels[3, 0] >= 254


HDR10 = {"matrix": 9, "primaries": 9, "transfer": 16}


@pytest.mark.parametrize(
    ("told", "peak"),
    [
        ("", 1000),
        ("cll=400,200", 400),
        ("mastering-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(6000000,1)", 600),
        ("mastering-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(40000000,1)", 1000),
        ("cll=100,50", 203),
    ],
)
def test_the_peak_is_what_the_file_says_within_limits(tmp_path: Path, told: str, peak: float) -> None:
    path = write_signal(
        tmp_path / "a.mp4", np.full((32, 32, 3), 0.5), **HDR10, **({"x264-params": told} if told else {})
    )
    with av.open(str(path)) as container:
        assert peak_of(next(container.decode(video=0))) == peak
    assert tone_curve(np.array([float(peak), 9000.0]), peak) == pytest.approx([203, 203], rel=1e-3)
    assert tone_curve(np.array([40.0]), peak) == pytest.approx([40])


@pytest.mark.parametrize(
    ("primaries", "matrix", "transfer", "way", "said"),
    [
        (9, 9, 14, TO_2020, "BT.2020"),
        (2, 9, 2, TO_2020, "BT.2020"),
        (12, 1, 1, TO_P3, "P3"),
        (12, 6, 1, TO_P3, "P3"),
    ],
)
def test_wide_gamut_of_sdr(
    tmp_path: Path, primaries: int, matrix: int, transfer: int, way: np.ndarray, said: str
) -> None:
    values = (linear(quadrants(PHONE)) @ way.T) ** (1 / 2.4)
    path = write_signal(tmp_path / "a.mp4", values, matrix=matrix, primaries=primaries, transfer=transfer)
    assert np.abs(corners(shown(path)) - PHONE).max() <= 3
    decoder = VideoDecoder(path, height=16, width=16, channels=3, fps=25, fit="crop")
    assert len(list(decoder)) == 1 and decoder.notes == [f"{said} mapped to BT.709"]


@pytest.mark.parametrize(("primaries", "name"), [(9, "bt2020"), (11, "smpte431"), (12, "smpte432")])
def test_gamuts_are_those_of_ffmpeg(tmp_path: Path, primaries: int, name: str) -> None:
    """With the curve of sRGB, which FFmpeg's `colorspace` filter has too; of BT.709 it has the camera's only."""
    moderate = [(170, 110, 100), (110, 160, 100), (100, 110, 170), (150, 150, 150)]
    path = write_signal(tmp_path / "a.mp4", quadrants(moderate) / 255, matrix=1, primaries=primaries, transfer=13)
    ours = corners(shown(path))
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    graph = av.filter.Graph()
    source = graph.add_buffer(width=32, height=32, format=frame.format, time_base=frame.time_base)
    curve = "trc=iec61966-2-1:itrc=iec61966-2-1"
    convert = graph.add("colorspace", f"space=bt709:primaries=bt709:ispace=bt709:iprimaries={name}:{curve}")
    graph.link_nodes(source, convert, graph.add("format", "rgb24"), graph.add("buffersink")).configure()
    graph.push(frame)
    assert np.abs(ours - corners(graph.pull().to_ndarray())).max() <= 2


def test_the_matrices_of_gamuts() -> None:
    np.testing.assert_allclose(gamut_matrix(BT2020) @ TO_2020, np.eye(3), atol=1e-3)
    np.testing.assert_allclose(gamut_matrix(DISPLAY_P3) @ TO_P3, np.eye(3), atol=1e-3)
    np.testing.assert_allclose(gamut_matrix(DCI_P3).sum(axis=1), 1, atol=1e-4, err_msg="white stays white")


def test_what_is_no_hdr_stays(tmp_path: Path) -> None:
    for told in ({"matrix": 1, "primaries": 1, "transfer": 1}, {"matrix": 2, "primaries": 2, "transfer": 2}):
        path = write_signal(tmp_path / "a.mp4", quadrants(PHONE) / 255, **told)
        assert np.abs(corners(shown(path)) - PHONE).max() <= 3
    assert Colour(primaries=5, transfer=6).beyond == "" == Colour().beyond
    assert Colour(transfer=16).settled(64, 64).matrix == 9 and Colour().settled(64, 64).matrix == 6


def test_upscaling_reads_hdr_as_it_is_and_maps_it_for_pictures(tmp_path: Path) -> None:
    values = hlg(linear(quadrants(PHONE)) @ TO_2020.T * 203)
    original = open_original(write_signal(tmp_path / "a.mp4", values, matrix=9, primaries=9, transfer=18))
    deep = next(original.pictures(3, DamageLog())).pixels
    assert deep.dtype == np.uint16 and np.abs(corners(deep) / 65535 - corners(values * 65535) / 65535).max() < 0.01
    plain = next(original.plain().pictures(3, DamageLog())).pixels
    assert plain.dtype == np.uint8 and np.abs(corners(plain) - PHONE).max() <= 6
