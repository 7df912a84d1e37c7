"""Volumes: what their numbers mean and where their voxels lie, reading of NIfTI files, resampling, and writing.

A volume is a clip whose time is depth. Its axes are T, H, W, which lead towards the head, the back and the patient's
left (DICOM's S, P and L), so that each picture is an axial slice as it is usually shown. At rest its values are levels
of 16 bits over a window of the real values. footage is not a medical device, and what it makes is not for diagnosis:
every file that is written here says so.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib
import io
import itertools
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from footage import __version__, files
from footage.errors import ConfigError, KeyNeeded, MediaError
from footage.files import locked
from footage.media.geometry import MOST_LEVEL, NOTICE, VolumeScale
from footage.media.kinds import VOLUME_SUFFIXES, suffix_of
from footage.media.probe import UnusableMedia

Values = npt.NDArray[np.float32]
Levels = npt.NDArray[np.uint16]
Spacing = tuple[float, float, float]
"""Millimetres between slices, rows and columns."""

NIFTI_SUFFIXES = (".nii", ".nii.gz", ".niigz", ".mgh", ".mgz", ".img")
"""Endings of the files that nibabel reads here; an `.img` has its header beside it."""
MOST_VOXELS = 2**28
"""A file that declares more is refused."""
SLICES_RATE = 10.0
"""Slices a second where a volume is shown as a clip, and no rate is given."""
SHOWN_PART = (0.5, 99.5)
"""Percentiles of the values between which a volume is shown where no window is chosen."""
MOST_EXACT = 256.0
"""Values that lie in less than this are shown by the exact function: a step of 1 would be seen."""
SAMPLED = 200_000
"""Voxels that these are taken from, about, evenly spread."""
MEDICAL = 'install the extra for volumes: pip install "footage[medical]"'


def medical(package: str, written: str = "") -> Any:
    """Import a package of the extra for volumes.

    Args:
        package: its name.
        written: the file that is to be written with it; empty where one is to be read.

    Raises:
        MediaError: it is not installed, and the file is not written.
        UnusableMedia: it is not installed, and nothing is read.
    """
    try:
        return importlib.import_module(package)
    except ImportError:
        if written:
            raise MediaError(
                f'"{written}" is not written: {package.partition(".")[0]} is not installed', MEDICAL
            ) from None
        raise UnusableMedia("unreadable", f"{package} is not installed: {MEDICAL}") from None


def display_levels(levels: Levels) -> npt.NDArray[np.uint8]:
    """Return levels of 16 bits as the nearest of 8 bits, for the eye and for figures."""
    return ((levels.astype(np.uint32) * 255 + MOST_LEVEL // 2) // MOST_LEVEL).astype(np.uint8)


@dataclass(frozen=True)
class Volume:
    """A volume as it was read: real values, and how its voxels lie."""

    values: Values
    """(T, H, W), towards head, back and left."""
    spacing: Spacing
    unit: str
    notes: tuple[str, ...] = ()
    """What was found out about it, in a few words each; nothing of who it is of."""


def parse_numbers(knob: str, text: str, count: int, remedy: str) -> tuple[float, ...]:
    """Read numbers with commas between them.

    Raises:
        ConfigError: they are not so many, or not finite.
    """
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != count or not all(map(np.isfinite, numbers)):
        raise ConfigError(f'{knob} is "{text}"', remedy)
    return numbers


def oriented(values: Values, axes: npt.NDArray[np.float64], unit: str = "", notes: Sequence[str] = ()) -> Volume:
    """Turn an array so that its axes are T, H, W towards head, back and left, by whole axes: nothing is interpolated.

    Args:
        values: any three axes.
        axes: (3, 3), column i the way in mm that one step along axis i makes, in (left, back, head) as DICOM has them.
        unit: of the values.
        notes: what was found out about them; where they stand askew to the axes of the body, that is added.

    Raises:
        UnusableMedia: the axes span no volume.
    """
    lengths = np.linalg.norm(axes, axis=0)
    if not np.isfinite(axes).all() or (lengths < 1e-6).any() or abs(np.linalg.det(axes / lengths)) < 0.5:
        raise UnusableMedia("no volume", "its axes do not span one")
    steps = axes / lengths
    orders = list(itertools.permutations(range(3)))
    best = max(orders, key=lambda order: sum(abs(steps[world, axis]) for world, axis in enumerate(order)))
    turned = values.transpose(best[2], best[1], best[0])  # → head, back, left
    flips = tuple(slice(None, None, -1 if steps[world, best[world]] < 0 else 1) for world in (2, 1, 0))
    aligned = min(abs(steps[world, best[world]]) for world in range(3))
    askew = float(np.degrees(np.arccos(min(1.0, aligned))))
    told = (*notes, f"stands askew by {askew:.0f}°, not turned") if askew > 1 else tuple(notes)
    spacing = (float(lengths[best[2]]), float(lengths[best[1]]), float(lengths[best[0]]))
    return Volume(np.ascontiguousarray(turned[flips]), spacing, unit, told)


RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])
"""NIfTI counts towards right, front and head, DICOM towards left, back and head."""


@contextlib.contextmanager
def open_nifti(path: Path) -> Iterator[tuple[Any, npt.NDArray[np.float64]]]:
    """Open a NIfTI, Analyze or MGH file, a NIfTI file of a locked folder too: nibabel's image, and its affine in mm.

    Raises:
        UnusableMedia: its header is damaged; or nibabel is not installed.
    """
    nibabel = medical("nibabel")
    with contextlib.ExitStack() as held:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if suffix_of(path) in VOLUME_SUFFIXES:
                    content: Any = held.enter_context(locked.open_file(path))
                    packed = content.read(2) == b"\x1f\x8b"
                    content.seek(0)
                    content = held.enter_context(gzip.GzipFile(fileobj=content)) if packed else content
                    length = content.read(4)  # of the header: 540 of NIfTI-2 (nifti2.h), 348 of NIfTI-1
                    content.seek(0)
                    second = 540 in (int.from_bytes(length, "little"), int.from_bytes(length, "big"))
                    image: Any = (nibabel.Nifti2Image if second else nibabel.Nifti1Image).from_stream(content)
                else:  # kept open, or each moment is unpacked from the first byte on
                    image = nibabel.load(path, keep_file_open=True)
                affine = np.asarray(image.affine, np.float64)
                unit = getattr(image.header, "get_xyzt_units", lambda: ("mm", ""))()[0]
                affine = affine * {"micron": 1e-3, "meter": 1e3}.get(unit, 1.0)
        except KeyNeeded:
            raise
        except Exception as error:  # nibabel lets through whatever a damaged header raises
            raise UnusableMedia("damaged", f"nibabel cannot read it ({type(error).__name__})") from None
        yield image, affine


def read_nifti(path: Path) -> Iterator[Volume]:
    """Yield the volumes of a NIfTI, Analyze or MGH file; of a series in time, each moment.

    Raises:
        UnusableMedia: it is damaged, or no volume; or nibabel is not installed.
    """
    with open_nifti(path) as (image, affine):
        yield from _moments(image, affine)


def _extension(image: Any) -> dict[str, Any]:
    """Return what `write_nifti` wrote beside the voxels of an opened file, but for the notice."""
    for extension in getattr(image.header, "extensions", ()):
        with contextlib.suppress(ValueError, RecursionError, TypeError):
            text = extension.get_content()
            value = json.loads(text.decode("utf-8", "replace") if isinstance(text, bytes) else text)
            if isinstance(value, dict):
                return {name: part for name, part in value.items() if name != "notice"}
    return {}


def _moments(image: Any, affine: npt.NDArray[np.float64]) -> Iterator[Volume]:
    """Yield the volumes of an opened file; see `read_nifti`."""
    shape, dtype = tuple(image.shape), image.get_data_dtype()
    if dtype.fields is not None or dtype.kind == "c":
        raise UnusableMedia("in colour", f"its voxels are {dtype}, and volumes are of one number each")
    if len(shape) < 3 or min(shape, default=0) < 1 or int(np.prod(shape, dtype=np.float64)) > MOST_VOXELS:
        raise UnusableMedia("no volume", f"it declares {'×'.join(map(str, shape))} voxels")
    unit = _extension(image).get("unit")
    for moment in np.ndindex(shape[3:]):
        try:
            values = np.asarray(image.dataobj[(..., *moment)], np.float32).reshape(shape[:3])
        except Exception as error:  # a file that is cut off, in the words of gzip, zlib or NumPy
            raise UnusableMedia("damaged", f"its voxels cannot be read ({type(error).__name__})") from None
        volume = oriented(values, RAS_TO_LPS @ affine[:3, :3], unit if isinstance(unit, str) else "")
        if (bad := ~np.isfinite(volume.values)).any():
            volume.values[bad] = 0.0
            volume = replace(volume, notes=(*volume.notes, f"{int(bad.sum()):,} voxels that are no number became 0"))
        yield volume


def nifti_metadata(path: Path) -> dict[str, Any]:
    """Return what `write_nifti` wrote into a file beside its voxels; empty where there is nothing.

    Raises:
        UnusableMedia: it cannot be read.
    """
    with open_nifti(path) as (image, _):
        return _extension(image)


@dataclass(frozen=True)
class KeptVolume:
    """The volume of a file as a library shows it."""

    volume: Volume
    """Of a series in time, the first moment."""
    placed: bool
    """Whether the file says where the body's sides are; else they are not known."""


def read_kept(path: Path) -> KeptVolume:
    """Read the first volume of a NIfTI file.

    Raises:
        UnusableMedia: it is damaged, or no volume; or nibabel is not installed.
    """
    with open_nifti(path) as (image, affine):
        volume = next(_moments(image, affine))
        placed = bool(image.header["qform_code"] or image.header["sform_code"])
        moments = int(np.prod(image.shape[3:], dtype=np.int64))
    notes = (*volume.notes, f"the first of {moments:,} volumes") if moments > 1 else volume.notes
    return KeptVolume(replace(volume, notes=notes), placed)


@dataclass(frozen=True)
class ValueWindow:
    """The real values that are shown between black and white."""

    centre: float
    width: float
    exact: bool = False
    """Whether it is DICOM's function LINEAR_EXACT, in place of LINEAR."""

    @staticmethod
    def around(values: Values) -> ValueWindow:
        """Return the window that nearly all of the values lie in."""
        flat = values.reshape(-1)
        flat = flat[:: max(1, flat.size // SAMPLED)]
        low, high = np.percentile(flat, SHOWN_PART).tolist()
        exact = float(np.ptp(values)) < MOST_EXACT
        return ValueWindow((low + high) / 2, max(1e-6 if exact else 1.0, high - low), exact)

    def levels(self, values: Values) -> npt.NDArray[np.uint8]:
        """Return values as levels of 8 bits (PS3.3, C.11.2.1.2.1 and C.11.2.1.3.2)."""
        less = 0.0 if self.exact else 1.0
        low, high = (self.centre - less / 2 + side * (self.width - less) / 2 for side in (-1, 1))
        inside = (values - low) * (255 / max(high - low, 1e-9))
        return np.rint(np.where(values <= low, 0, np.where(values > high, 255, inside))).astype(np.uint8)


def resampled(values: Values, spacing: Sequence[float], wanted: Sequence[float]) -> Values:
    """Bring a volume (T, H, W) to another spacing, axis by axis: linear, over a mean where voxels grow larger.

    The field stays as large, to half a voxel, and its middle where it was. An axis whose spacing stays is untouched.
    """
    for axis, (have, want) in enumerate(zip(spacing, wanted, strict=True)):
        count = max(1, round(values.shape[axis] * have / want))
        if abs(have - want) < 1e-4 * want:
            continue
        length = values.shape[axis]
        places = (np.arange(count) - (count - 1) / 2) * want / have + (length - 1) / 2
        reach = max(1.0, want / have)
        weights = np.maximum(0.0, 1 - np.abs(places[:, None] - np.arange(length)) / reach)
        nearest = np.abs(places[:, None].clip(0, length - 1) - np.arange(length)) < 0.5  # beyond the edge: the edge
        weights = np.where(weights.sum(axis=1, keepdims=True) > 1e-6, weights, nearest).astype(np.float32)
        weights /= weights.sum(axis=1, keepdims=True)
        values = np.moveaxis(np.tensordot(weights, values, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(values, np.float32)


def centred(values: Values, height: int, width: int, fill: float) -> Values:
    """Cut a volume (T, H, W) about its middle, or fill it up, to a height and width."""
    for axis, want in ((1, height), (2, width)):
        have = values.shape[axis]
        if want < have:
            first = (have - want) // 2
            values = np.take(values, range(first, first + want), axis=axis)
            continue
        before = (want - have) // 2
        room = [(0, 0)] * 3
        room[axis] = (before, want - have - before)
        values = np.pad(values, room, constant_values=fill)
    return np.ascontiguousarray(values)


def write_nifti(path: Path, levels: Levels, scale: VolumeScale, metadata: Mapping[str, Any]) -> None:
    """Write levels (T, H, W, C) as a NIfTI file, atomically: 16 bits with slope, intercept and where voxels lie.

    Channels become the fifth axis. The description says that it is synthetic; the metadata stand in an extension.

    Raises:
        MediaError: nibabel is not installed.
    """
    nibabel = medical("nibabel", path.name)
    depth, height, width, channels = levels.shape
    header: Any = nibabel.Nifti1Header()
    header.set_data_dtype(np.uint16)
    # Towards left and back: the affine leads to right and front with negative steps.
    header.set_data_shape((width, height, depth) if channels == 1 else (width, height, depth, 1, channels))
    between_slices, between_rows, between_columns = scale.spacing
    affine = np.diag([-between_columns, -between_rows, between_slices, 1.0])
    affine[:3, 3] = [(width - 1) * between_columns / 2, (height - 1) * between_rows / 2, 0.0]
    affine[2, 3] = -(depth - 1) * between_slices / 2
    header.set_sform(affine, code=1)
    header.set_qform(affine, code=1)
    header.set_xyzt_units("mm")
    header["scl_slope"], header["scl_inter"] = scale.slope, scale.intercept
    header["descrip"] = NOTICE[:79].encode()
    about = json.dumps({"notice": NOTICE, "unit": scale.unit, **metadata}, ensure_ascii=False, default=str)
    header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", about.encode()))
    out = io.BytesIO()
    header.write_to(out)
    out.write(b"\0" * (int(header["vox_offset"]) - out.tell()))
    out.write(np.ascontiguousarray(levels.transpose(3, 0, 1, 2), "<u2").tobytes())  # the first axis runs fastest: W
    content = out.getvalue()
    files.write_bytes(path, gzip.compress(content, 6, mtime=0) if path.suffix.lower() == ".gz" else content)


def middle_planes(volume: npt.NDArray[np.uint8], spacing: Sequence[float], side: int = 128) -> npt.NDArray[np.uint8]:
    """Return the middle axial, coronal and sagittal plane beside each other, in true proportions: (H, W, 3).

    Args:
        volume: (T, H, W, C); of several channels the first is shown.
        spacing: millimetres between slices, rows and columns.
        side: height of the picture, in pixels; planes of less height stand in the middle.
    """
    from PIL import Image

    depth, height, width = volume.shape[:3]
    shown = volume[..., 0]
    longest = max(size * step for size, step in zip((depth, height, width), spacing, strict=True))
    planes = (
        (shown[depth // 2], spacing[1], spacing[2]),
        (shown[::-1, height // 2], spacing[0], spacing[2]),  # the head is above
        (shown[::-1, :, width // 2], spacing[0], spacing[1]),
    )
    pictures = []
    for plane, down, across in planes:
        rows, columns = (
            max(1, round(n * step / longest * side)) for n, step in zip(plane.shape, (down, across), strict=True)
        )
        picture = np.zeros((side, columns), np.uint8)
        top = (side - rows) // 2
        picture[top : top + rows] = np.asarray(
            Image.fromarray(np.ascontiguousarray(plane)).resize((columns, rows), Image.Resampling.BILINEAR)
        )
        pictures += [picture, np.full((side, 4), 24, np.uint8)]
    return np.repeat(np.concatenate(pictures[:-1], axis=1)[..., None], 3, axis=2)


def planes_sheet(
    rows: Sequence[npt.NDArray[np.uint8]], captions: Sequence[str], columns: int = 2
) -> npt.NDArray[np.uint8]:
    """Lay pictures of planes (H, W, 3) of one size out in columns, with a text above each and a notice below all."""
    from PIL import Image, ImageDraw

    height, width = rows[0].shape[:2]
    cell = (height + 18, width + 12)
    columns = min(columns, len(rows))
    lines = -(-len(rows) // columns)
    sheet = Image.new("RGB", (max(columns * cell[1] + 12, 430), lines * cell[0] + 24), (24, 24, 28))
    draw = ImageDraw.Draw(sheet)
    for number, (row, caption) in enumerate(zip(rows, captions, strict=True)):
        top, left = number // columns * cell[0], number % columns * cell[1] + 8
        draw.text((left, top + 3), caption[: width // 6], fill=(200, 200, 205))
        sheet.paste(Image.fromarray(row), (left, top + 16))
    draw.text((8, lines * cell[0] + 6), f"footage {__version__} · {NOTICE}", fill=(230, 190, 120))
    return np.asarray(sheet)
