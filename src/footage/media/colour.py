"""Colours: what the numbers of a file stand for, and how HDR and wide gamut become BT.709, the colours of SDR video."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

UNKNOWN = (0, 2, 3)
"""Code points of ITU-T H.273 that say nothing."""
MATRIX_601, MATRIX_709, MATRIX_2020 = 6, 1, 9
"""Colour matrices there."""
PQ, HLG, SRGB = 16, 18, 13
"""Transfer functions there."""
BT709, BT2020, DCI_P3, DISPLAY_P3 = 1, 9, 11, 12
"""Primaries there."""
WHITE_NITS = 203.0
"""Luminance of SDR's white within HDR, in cd/m² (ITU-R BT.2408)."""
PEAK_NITS = 1000.0
"""Luminance that is shown as white, at most: that of the display that HLG is made for (ITU-R BT.2100). What a PQ file
has beyond it is clipped, so that its middle tones do not pay for its sparks."""
GAMMA = 2.4
"""Exponent of an SDR display (ITU-R BT.1886)."""
CHROMATICITIES: dict[int, tuple[tuple[float, float], ...]] = {
    BT709: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), (0.3127, 0.3290)),
    BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), (0.3127, 0.3290)),
    DCI_P3: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    DISPLAY_P3: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.3127, 0.3290)),
}
"""CIE x and y of red, green, blue and white, of what is told from BT.709 (ITU-T H.273, table 2)."""
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
"""From CIE XYZ to the responses in which white is adapted."""
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Parts of red, green and blue in BT.709's luma."""
CURVE_STEPS = 4096
"""Steps of a table of the tone curve."""

Values = npt.NDArray[np.floating[Any]]


def is_large(height: int, width: int) -> bool:
    """Whether players take the colour matrix of HDTV for pictures that do not tell theirs."""
    return width > 1024 or height > 576


@dataclass(frozen=True)
class Colour:
    """The meaning of pixels' numbers as colours, by code points of ITU-T H.273."""

    matrix: int = 2
    """From luma and chroma to red, green and blue; 2 for unknown."""
    full: bool = False
    """Whether all 256 levels are used."""
    primaries: int = 2
    """Which red, green and blue; 2 for unknown."""
    transfer: int = 2
    """From numbers to light; 2 for unknown."""

    def settled(self, height: int, width: int) -> Colour:
        """Return the same with a known matrix: that of HDR, or of HDTV for large pictures."""
        if self.matrix not in UNKNOWN:
            return self
        matrix = MATRIX_709 if is_large(height, width) else MATRIX_601
        matrix = MATRIX_2020 if self.transfer in (PQ, HLG) or self.primaries == BT2020 else matrix
        return Colour(matrix, self.full, self.primaries, self.transfer)

    @property
    def gamut(self) -> int:
        """Primaries, where they are wider than BT.709's, else those; HDR that does not tell has those of BT.2020."""
        if self.primaries in UNKNOWN and (self.transfer in (PQ, HLG) or self.matrix in (MATRIX_2020, 10)):
            return BT2020
        return self.primaries if self.primaries in CHROMATICITIES else BT709

    @property
    def beyond(self) -> str:
        """What is to become BT.709: `HLG`, `PQ`, `BT.2020`, `P3`; nothing where it is SDR of the usual colours."""
        gamuts = {BT709: "", BT2020: "BT.2020", DCI_P3: "P3", DISPLAY_P3: "P3"}
        return {PQ: "PQ", HLG: "HLG"}.get(self.transfer) or gamuts[self.gamut]


UNKNOWN_COLOUR = Colour()
"""Of a file that does not tell."""


def colour_of(frame: VideoFrame) -> Colour:
    """Return how the numbers of a decoded frame stand for colours."""
    from av.video.reformatter import ColorRange

    full = frame.format.name.startswith("yuvj") or frame.color_range == ColorRange.JPEG
    return Colour(int(frame.colorspace), full, int(frame.color_primaries), int(frame.color_trc))


def coding_of(frame: VideoFrame, colour: Colour) -> dict[str, Any]:
    """Return what FFmpeg is to take a frame's numbers for, where RGB is made of them; nothing where they are RGB."""
    from av.video.reformatter import ColorRange

    name = frame.format.name
    if "rgb" in name or "bgr" in name or name.startswith(("pal8", "gbr")):
        return {}
    matrix = (
        {} if colour.matrix not in UNKNOWN else {"src_colorspace": colour.settled(frame.height, frame.width).matrix}
    )
    source = ColorRange.JPEG if colour.full else ColorRange.MPEG
    return {"src_color_range": source, "dst_color_range": ColorRange.JPEG, **matrix}


def side_data(frame: VideoFrame, kind: str) -> bytes | None:
    """Return what stands beside a decoded frame under one of FFmpeg's names of side data, or None."""
    from av.sidedata import sidedata

    # `frame.side_data` would stay with the frame, which it names in turn: frames would pile up for the next collection.
    found = cast(Any, sidedata.SideDataContainer)(frame).get(kind)
    return None if found is None else bytes(found)


def peak_of(frame: VideoFrame) -> float:
    """Return the luminance of a decoded HDR frame that is to be shown as white, in cd/m².

    That is what the file says of its brightest pixel (MaxCLL), or of the display that it was graded on, within limits.
    """
    told = 0.0
    if (light := side_data(frame, "CONTENT_LIGHT_LEVEL")) is not None:
        told = float(np.frombuffer(light, np.uint32)[0])
    if not told and (mastering := side_data(frame, "MASTERING_DISPLAY_METADATA")) is not None:
        # Last the display's greatest luminance, a fraction, and whether its colours and luminances are known.
        above, below, _, known = np.frombuffer(mastering, np.int32)[-4:].tolist()
        told = above / below if known and below else 0.0
    return min(max(told, WHITE_NITS), PEAK_NITS) if told else PEAK_NITS


def gamut_matrix(primaries: int) -> npt.NDArray[np.float32]:
    """Return the matrix (3, 3) from linear light of some primaries to that of BT.709, with its white (SMPTE RP 177)."""

    def to_xyz(points: tuple[tuple[float, float], ...]) -> tuple[Values, Values]:
        xyz = np.array([(x / y, 1.0, (1 - x - y) / y) for x, y in points]).T
        return xyz[:, :3] * np.linalg.solve(xyz[:, :3], xyz[:, 3]), xyz[:, 3]

    source, white = to_xyz(CHROMATICITIES[primaries])
    target, own_white = to_xyz(CHROMATICITIES[BT709])
    adaptation = np.linalg.solve(BRADFORD, np.diag(BRADFORD @ own_white / (BRADFORD @ white)) @ BRADFORD)
    matrix: npt.NDArray[np.float32] = np.linalg.solve(target, adaptation @ source).astype(np.float32)
    return matrix


def pq_nits(signal: Values) -> Values:
    """Return the luminance, in cd/m², of PQ's values in [0, 1] (SMPTE ST 2084)."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = np.power(signal, 1 / m2)
    nits: Values = 10_000 * np.power(np.maximum(root - c1, 0) / (c2 - c3 * root), 1 / m1)
    return nits


def pq_signal(nits: Values) -> Values:
    """Return PQ's values in [0, 1] for luminances in cd/m² (SMPTE ST 2084)."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = np.power(nits / 10_000, m1)
    signal: Values = np.power((c1 + c2 * root) / (1 + c3 * root), m2)
    return signal


def hlg_nits(signal: Values) -> Values:
    """Return the luminance, in cd/m², of HLG's values in [0, 1] on its display (ITU-R BT.2100, table 5).

    The display's exponent is applied to each colour by itself, as FFmpeg's `zscale` does.
    """
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    nits: Values = PEAK_NITS * np.power(scene, 1.2)
    return nits


def tone_curve(nits: Values, peak: float) -> Values:
    """Return luminances brought from HDR up to `peak` to SDR up to `WHITE_NITS`, all in cd/m².

    That is the curve of ITU-R BT.2390, 5.4.1: up to a knee nothing changes, from there on a spline leads to white.
    """
    top = pq_signal(np.array(peak))
    white = pq_signal(np.array(WHITE_NITS)) / top
    if white >= 1:
        return np.minimum(nits, WHITE_NITS)
    knee = 1.5 * white - 0.5
    signal = np.minimum(pq_signal(nits) / top, 1.0)
    t = np.maximum(signal - knee, 0) / (1 - knee)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * white
    return np.where(signal < knee, nits, pq_nits(spline * top))


class ToBt709:
    """A conversion of pictures of HDR or of a wide gamut to SDR of BT.709.

    Args:
        colour: what the pictures' numbers stand for.
        peak: the luminance that is to be white, in cd/m², for HDR.
    """

    def __init__(self, colour: Colour, peak: float = PEAK_NITS) -> None:
        signal = np.arange(2**16) / (2**16 - 1)
        self.srgb = colour.transfer == SRGB
        if colour.transfer in (PQ, HLG):
            light = (pq_nits if colour.transfer == PQ else hlg_nits)(signal) / WHITE_NITS
        elif self.srgb:
            light = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
        else:
            light = signal**GAMMA
        self.light = light.astype(np.float32)
        """Linear light of every 16-bit value; 1 is SDR's white."""
        self.matrix = gamut_matrix(colour.gamut).T
        self.most = peak / WHITE_NITS
        levels = np.linspace(0, self.most, CURVE_STEPS)[1:]
        ratios = tone_curve(levels * WHITE_NITS, peak) / (levels * WHITE_NITS)
        self.ratios = np.concatenate([ratios[:1], ratios]).astype(np.float32)
        """What light is multiplied by, for brightest colours from 0 to `most`."""
        self.is_hdr = colour.transfer in (PQ, HLG)

    def __call__(self, picture: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Convert a picture, uint16 (H, W, 3), full range."""
        light = self.light[picture] @ self.matrix
        if self.is_hdr:  # one factor for all three keeps the hue
            brightest = np.clip(light.max(axis=-1, keepdims=True), 0, self.most)  # (H, W, 1)
            step = (brightest * np.float32((CURVE_STEPS - 1) / self.most)).astype(np.int32)
            light *= self.ratios[step]
        light = np.clip(light, 0, 1)
        if self.srgb:
            shown = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** np.float32(1 / 2.4) - 0.055)
        else:
            shown = light ** np.float32(1 / GAMMA)
        levels: npt.NDArray[np.uint8] = (shown * 255 + 0.5).astype(np.uint8)
        return levels


to_bt709 = functools.lru_cache(maxsize=8)(ToBt709)
"""The conversion, whose tables are kept for the frames to come."""
