"""DICOM: files become series of slices sorted along their normal, series become volumes; and volumes are written.

Slices are told apart by what their headers say of place, never by file names or instance numbers. Names of patients are
not read at all; their numbers tell who is whom while files are sorted, and are written nowhere. What is written is
secondary capture (PS3.3 A.8.1) marked as derived and synthetic, of a patient who does not exist.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from footage import __version__
from footage.media.encode import replaced_folder
from footage.media.geometry import NOTICE, VolumeScale
from footage.media.probe import UnusableMedia
from footage.media.volumes import MOST_VOXELS, Levels, Values, Volume, medical, oriented

DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
"""Usual endings; many files have none, and begin with 128 bytes and `DICM`."""
GAP = 1.5
"""Slices are missing where two lie so many times as far apart as most."""
UNEVEN = 0.1
"""Distances that differ by more than this part of the usual one are told of."""
_PLACED = """
SOPClassUID SOPInstanceUID SeriesInstanceUID StudyInstanceUID PatientID Modality ImageType Rows Columns
SamplesPerPixel PhotometricInterpretation BitsAllocated BitsStored HighBit PixelRepresentation NumberOfFrames
PixelSpacing ImagePositionPatient ImageOrientationPatient GridFrameOffsetVector RescaleSlope RescaleIntercept
RescaleType Units DoseUnits DoseGridScaling EchoTime TemporalPositionIdentifier AcquisitionNumber InversionTime
SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence
"""
PLACED = _PLACED.split()
"""What is read of a header before its pixels: no name, no date of birth."""
DIVIDES = ("TemporalPositionIdentifier", "EchoTime", "InversionTime", "AcquisitionNumber", "ImageType")
"""What tells apart several volumes of one series, the first that does."""
CODECS = {
    "JPEG 2000": "pylibjpeg-openjpeg",
    "JPEG-LS": "pylibjpeg-libjpeg (or pyjpegls)",
    "JPEG": "pylibjpeg-libjpeg",
    "RLE": "pylibjpeg-rle",
}
"""Packages that decode compressed pixels, by the beginning of the syntax's name."""
PIXEL_UNITS = {"CT": "HU"}
"""Units of a modality where the header names none."""
REQUEST_GROUP = 0x0099
"""Group of private elements that the creator "footage" has reserved; of these, 1 is the metadata in JSON."""


@dataclass(frozen=True, eq=False)
class DicomSlice:
    """A slice: a file, or a frame of one."""

    path: Path
    frame: int | None
    """Number of the frame; None for the only one."""
    origin: npt.NDArray[np.float64]
    """Place of the first pixel: left, back, head, in mm."""
    header: Any
    """The file's header, without names and pixels."""


@dataclass(eq=False)
class DicomSeries:
    """Slices of one series, shape, spacing and direction, along their normal."""

    uid: str
    patient: str
    """Whose it is: known while files are sorted, and written nowhere."""
    rows: npt.NDArray[np.float64]
    """Unit vector along a row, (left, back, head)."""
    columns: npt.NDArray[np.float64]
    """Likewise along a column."""
    pixel_spacing: tuple[float, float]
    """Millimetres between rows and between columns."""
    slices: list[DicomSlice] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def normal(self) -> npt.NDArray[np.float64]:
        return np.cross(self.rows, self.columns)

    @property
    def places(self) -> npt.NDArray[np.float64]:
        """Where the slices lie along the normal, in mm."""
        return np.array([float(one.origin @ self.normal) for one in self.slices])

    @property
    def paths(self) -> list[Path]:
        """Its files, each once."""
        return list(dict.fromkeys(one.path for one in self.slices))

    def divided(self) -> list[DicomSeries]:
        """Return it, its slices in order; where several lie at one place, as many series, by what tells them apart."""
        self.slices.sort(key=lambda one: float(one.origin @ self.normal))
        if len(self.slices) < 2 or np.diff(self.places).min() > 1e-3:
            return [self]
        for name in DIVIDES:
            groups: defaultdict[str, list[DicomSlice]] = defaultdict(list)
            for one in self.slices:
                groups[str(one.header.get(name))].append(one)
            note = f"one of {len(groups)} volumes of a series, told apart by {name}"
            parts = [replace(self, slices=groups[key], notes=[note]) for key in sorted(groups)]
            if all(len(part.slices) < 2 or np.diff(part.places).min() > 1e-3 for part in parts):
                return parts
        return [self]


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, by its first bytes, or, without these, by its ending."""
    with open(path, "rb") as handle:
        head = handle.read(132)
    return head[128:] == b"DICM" or path.suffix.lower() in DICOM_SUFFIXES


def read_header(path: Path) -> Any:
    """Read what a DICOM file says of place and pixels.

    Raises:
        UnusableMedia: it is damaged, or no picture of one number a pixel; or pydicom is not installed.
    """
    pydicom = medical("pydicom")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header: Any = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=PLACED)
            rows, columns, samples = (int(header.get(name) or 0) for name in ("Rows", "Columns", "SamplesPerPixel"))
            frames = int(header.get("NumberOfFrames") or 1)
    except Exception as error:  # pydicom lets through whatever a damaged file raises
        raise UnusableMedia("damaged", f"{type(error).__name__} in its header") from None
    if not rows or not columns:
        raise UnusableMedia("no picture", "it has no pixels: a report, a plan, a directory")
    if samples > 1 or header.get("PhotometricInterpretation") == "PALETTE COLOR":
        raise UnusableMedia("in colour", "volumes are of one number a voxel")
    if rows * columns * frames > MOST_VOXELS:
        raise UnusableMedia("no volume", f"it declares {frames}×{rows}×{columns} voxels")
    return header


def _group(header: Any, frame: int, sequence: str, name: str) -> Any:
    """Return a value of a frame's functional groups, its own or the shared one; None where there is none."""
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    groups = [*(per_frame[frame : frame + 1]), *(header.get("SharedFunctionalGroupsSequence") or [])]
    for group in groups:
        for item in group.get(sequence) or []:
            if item.get(name) is not None:
                return item.get(name)
    return None


def _vector(value: Any, count: int) -> npt.NDArray[np.float64] | None:
    """Return a value of a header as numbers; None where it is not as many finite ones."""
    try:
        numbers = np.array([float(number) for number in value], np.float64)
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == count and np.isfinite(numbers).all() else None


@dataclass(frozen=True)
class FramePlace:
    """Where a frame lies, as its header says."""

    origin: npt.NDArray[np.float64]
    orientation: npt.NDArray[np.float64]
    """(6,): a row's direction and a column's."""
    spacing: npt.NDArray[np.float64]
    """(2,): millimetres between rows and between columns."""


def frame_place(header: Any, frame: int, frames: int) -> FramePlace:
    """Return where a frame lies.

    Raises:
        UnusableMedia: the header does not say.
    """
    orientation = _vector(header.get("ImageOrientationPatient"), 6)
    if orientation is None:
        orientation = _vector(_group(header, frame, "PlaneOrientationSequence", "ImageOrientationPatient"), 6)
    spacing = _vector(header.get("PixelSpacing"), 2)
    if spacing is None:
        spacing = _vector(_group(header, frame, "PixelMeasuresSequence", "PixelSpacing"), 2)
    origin = _vector(_group(header, frame, "PlanePositionSequence", "ImagePositionPatient"), 3)
    if origin is None and (first := _vector(header.get("ImagePositionPatient"), 3)) is not None:
        offsets = _vector(header.get("GridFrameOffsetVector"), frames) if frames > 1 else np.zeros(1)
        if offsets is not None and orientation is not None:  # a dose grid: frames at offsets along the normal
            away = offsets[frame] - (offsets[0] if frames > 1 else 0.0)
            origin = first + away * np.cross(orientation[:3], orientation[3:])
    if origin is None or orientation is None or spacing is None or (spacing <= 0).any():
        what = "a film, or pictures without place" if frames > 1 else "a picture without place"
        raise UnusableMedia("no place", f"its header does not say where it lies in space: {what}, not a slice")
    lengths = [np.linalg.norm(orientation[:3]), np.linalg.norm(orientation[3:])]
    if min(lengths) < 0.5:
        raise UnusableMedia("no place", "its direction cosines are no directions")
    orientation = np.concatenate([orientation[:3] / lengths[0], orientation[3:] / lengths[1]])
    return FramePlace(origin, orientation, spacing)


Refusal = tuple[Path, str, str]
"""A file of no use: path, short reason, detail."""


def find_series(paths: Iterable[Path]) -> tuple[list[DicomSeries], list[Refusal]]:
    """Sort DICOM files into series, and each along its normal; return those, and the files of no use.

    A series that mixes shapes, spacings or directions becomes several, each of which says so; likewise one with several
    slices at each place, such as echoes or moments, where the header tells these apart.
    """
    series: dict[tuple[Any, ...], DicomSeries] = {}
    refused: list[Refusal] = []
    geometries: defaultdict[str, set[tuple[Any, ...]]] = defaultdict(set)
    seen: set[str] = set()
    for path in paths:
        try:
            header = read_header(path)
            instance = str(header.get("SOPInstanceUID") or path)
            if instance in seen:
                raise UnusableMedia("repeated", "another file holds the same slice")
            frames = int(header.get("NumberOfFrames") or 1)
            placed = [frame_place(header, frame, frames) for frame in range(frames)]
        except UnusableMedia as error:
            refused.append((path, error.reason, error.detail))
            continue
        seen.add(instance)
        uid, patient = str(header.get("SeriesInstanceUID") or path), str(header.get("PatientID") or "")
        for frame, place in enumerate(placed):
            shape = (int(header.Rows), int(header.Columns))
            geometry = (*shape, *np.round(place.spacing, 3), *np.round(place.orientation, 3))
            geometries[uid].add(geometry)
            if (uid, geometry) not in series:
                rows, columns = place.orientation[:3], place.orientation[3:]
                spacing = (float(place.spacing[0]), float(place.spacing[1]))
                series[uid, geometry] = DicomSeries(uid, patient, rows, columns, spacing)
            one = DicomSlice(path, frame if frames > 1 else None, place.origin, header)
            series[uid, geometry].slices.append(one)
    found = [part for one in series.values() for part in one.divided()]
    for one_series in found:
        if len(geometries[one_series.uid]) > 1:
            one_series.notes.append(
                f"a series of {len(geometries[one_series.uid])} shapes or directions, each a volume of its own"
            )
    return found, refused


def read_series(series: DicomSeries) -> Volume:
    """Read the pixels of a series, each slice with its own slope, as a volume.

    Raises:
        UnusableMedia: it is one slice, or slices are missing or lie at one place or aslant; or pixels cannot be read.
    """
    places = series.places
    if len(places) < 2:
        raise UnusableMedia("one slice", "a volume has several")
    steps = np.diff(places)
    step = float(np.median(steps))
    if steps.min() <= 1e-3:
        at = float(places[int(np.argmin(steps))])
        raise UnusableMedia(
            "mixed series", f"several slices lie at {at:.1f} mm along its normal, and nothing tells them apart"
        )
    if steps.max() > GAP * step:
        gap = int(np.argmax(steps))
        raise UnusableMedia(
            "missing slices",
            f"none between {places[gap]:.1f} and {places[gap + 1]:.1f} mm along its normal, where one lies every "
            f"{step:.1f} mm",
        )
    away = series.slices[-1].origin - series.slices[0].origin
    aslant = float(np.linalg.norm(away - series.normal * (places[-1] - places[0])))
    if aslant > max(series.pixel_spacing):
        raise UnusableMedia("aslant", f"slices shift by {aslant:.1f} mm within their planes, as with a tilted gantry")
    notes = list(series.notes)
    if steps.max() - steps.min() > UNEVEN * step:
        notes.append(f"slices lie {steps.min():.2f} to {steps.max():.2f} mm apart, taken as {step:.2f}")
    header = series.slices[0].header
    unit = unit_of(header)
    if header.get("PhotometricInterpretation") == "MONOCHROME1":
        notes.append(
            "MONOCHROME1: " + ("values kept, they have a unit" if unit else "turned over, so that more is brighter")
        )
    shape = (int(header.Rows), int(header.Columns))
    if len(places) * shape[0] * shape[1] > MOST_VOXELS:
        raise UnusableMedia("no volume", f"it has {len(places)}×{shape[0]}×{shape[1]} voxels")
    values = np.empty((len(places), *shape), np.float32)
    opened: tuple[Path, Any, Any] | None = None
    for number, one in enumerate(series.slices):
        if opened is None or opened[0] != one.path:
            opened = (one.path, *_pixels(one.path))
        pixels = opened[2] if one.frame is None else opened[2][one.frame]
        values[number] = _real_values(opened[1], pixels, one.frame or 0, inverted=not unit)
    axes = np.stack(
        [series.normal * step, series.columns * series.pixel_spacing[0], series.rows * series.pixel_spacing[1]], axis=1
    )
    return oriented(values, axes, unit, notes)


def unit_of(header: Any) -> str:
    """Return the unit of a picture's values; empty where they have none."""
    frame_type = _group(header, 0, "PixelValueTransformationSequence", "RescaleType")
    for value in (header.get("RescaleType"), frame_type, header.get("Units"), header.get("DoseUnits")):
        if value and str(value) not in ("US", "NONE", "RELATIVE"):
            return str(value)
    return PIXEL_UNITS.get(str(header.get("Modality") or ""), "")


def _pixels(path: Path) -> tuple[Any, npt.NDArray[Any]]:
    """Return a file's header, and its stored values with as many bits and the sign that the header tells.

    Raises:
        UnusableMedia: they cannot be decoded; where a package is missing, the detail names it.
    """
    pydicom: Any = importlib.import_module("pydicom")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset: Any = pydicom.dcmread(path, force=True)
            if not getattr(dataset, "file_meta", None):
                dataset.file_meta = pydicom.dataset.FileMetaDataset()
            syntax = dataset.file_meta.get("TransferSyntaxUID") or pydicom.uid.ImplicitVRLittleEndian
            dataset.file_meta.TransferSyntaxUID = syntax
        except Exception as error:  # pydicom lets through whatever a damaged file raises
            raise UnusableMedia("damaged", f"it cannot be read ({type(error).__name__})") from None
        try:
            pixels: npt.NDArray[Any] = dataset.pixel_array
        except Exception as error:  # decoders too
            decodable = False
            with contextlib.suppress(NotImplementedError):
                decodable = bool(importlib.import_module("pydicom.pixels").get_decoder(syntax).is_available)
            if syntax.is_compressed and (isinstance(error, RuntimeError) or not decodable):
                package = next((name for kind, name in CODECS.items() if syntax.name.startswith(kind)), "pylibjpeg")
                detail = f"its pixels are {syntax.name}, which is not decoded here: pip install {package}"
                raise UnusableMedia("no codec", detail) from None
            raise UnusableMedia("damaged", f"its pixels cannot be read ({type(error).__name__})") from None
    stored, allocated = int(dataset.get("BitsStored") or 0), int(dataset.get("BitsAllocated") or 0)
    if pixels.dtype.kind in "iu" and not syntax.is_compressed and 1 < stored < allocated == 8 * pixels.dtype.itemsize:
        spare = allocated - stored  # what old programs keep in the unused bits is no value
        pixels = (pixels << spare) >> spare
    return dataset, pixels


def _real_values(header: Any, pixels: npt.NDArray[Any], frame: int, inverted: bool) -> Values:
    """Return stored values of a frame as real ones: its slope, the dose's, or its table.

    Where they have no unit, those that are shown dark for high are turned over within their bits (`inverted`).
    """
    if inverted and header.get("PhotometricInterpretation") == "MONOCHROME1" and pixels.dtype.kind in "iu":
        bits, signed = int(header.BitsStored), int(header.get("PixelRepresentation") or 0)
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        pixels = low + high - pixels.astype(np.int64)
    if header.get("DoseGridScaling") is not None:
        return (pixels.astype(np.float64) * float(header.DoseGridScaling)).astype(np.float32)
    slope = _group(header, frame, "PixelValueTransformationSequence", "RescaleSlope")
    if slope is not None:
        intercept = _group(header, frame, "PixelValueTransformationSequence", "RescaleIntercept") or 0.0
        return (pixels.astype(np.float64) * float(slope) + float(intercept)).astype(np.float32)
    decoders: Any = importlib.import_module("pydicom.pixels")
    return np.asarray(decoders.apply_modality_lut(pixels, header), np.float32)


def dicom_metadata(folder: Path) -> dict[str, Any]:
    """Return the metadata that `write_dicom` put into the slices of a folder; empty where it wrote none.

    Folders of older versions say model and seed only.

    Raises:
        UnusableMedia: the first slice is damaged; or pydicom is not installed.
    """
    pydicom = medical("pydicom", folder.name)
    for path in sorted(folder.glob("[!.]*.dcm"))[:1]:
        try:
            header: Any = pydicom.dcmread(path, stop_before_pixels=True)
            if header.get("Manufacturer") != "footage":
                return {}
            with contextlib.suppress(KeyError):
                value = json.loads(header.private_block(REQUEST_GROUP, "footage")[1].value)
                return value if isinstance(value, dict) else {}
            seed = int(str(header.PatientID).removeprefix("SYNTHETIC-"))
            return {"model": str(header.ManufacturerModelName), "seed": seed}
        except Exception as error:  # pydicom lets through whatever a damaged file raises
            raise UnusableMedia("damaged", f"{type(error).__name__} in its header") from None
    return {}


def write_dicom(path: Path, levels: Levels, scale: VolumeScale, metadata: Mapping[str, Any]) -> None:
    """Write the first channel of levels (T, H, W, C) as a folder of secondary captures, a slice each; atomically.

    Each is marked: image type derived and secondary, conversion type SYN (synthetic image), a description and comments
    that say so, a patient and study of its own. Identifiers are new, and follow from the metadata: what is made again
    has the same. The metadata stand in a private element, see `dicom_metadata`.

    Raises:
        MediaError: pydicom is not installed.
    """
    medical("pydicom", path.name)
    dicom, uids, kinds = (importlib.import_module(f"pydicom.{name}") for name in ("dataset", "uid", "valuerep"))

    def number(value: float) -> Any:
        return kinds.DSfloat(value, auto_format=True)

    depth, height, width, _ = levels.shape
    key = [str(metadata.get(name, "")) for name in ("weights_sha256", "seed", "label", "source")]
    key += [hashlib.sha256(levels.tobytes()).hexdigest(), str(scale.spacing)]  # other volumes, other numbers

    def new_uid(what: str) -> Any:
        return uids.generate_uid(entropy_srcs=["footage", *key, what])

    between_slices, between_rows, between_columns = scale.spacing
    origin = np.array([(width - 1) * between_columns, (height - 1) * between_rows, (depth - 1) * between_slices]) / -2
    with replaced_folder(path) as temporary:
        for place in range(depth):
            one: Any = dicom.Dataset()
            one.file_meta = dicom.FileMetaDataset()
            one.file_meta.TransferSyntaxUID = uids.ExplicitVRLittleEndian
            one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = uids.SecondaryCaptureImageStorage
            one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = new_uid(f"slice {place}")
            one.StudyInstanceUID, one.SeriesInstanceUID = new_uid("study"), new_uid("series")
            one.FrameOfReferenceUID = new_uid("frame")
            one.ImageType = ["DERIVED", "SECONDARY"]
            one.ConversionType, one.Modality = "SYN", "OT"
            one.PatientName, one.PatientID = "SYNTHETIC^FOOTAGE", f"SYNTHETIC-{metadata.get('seed', 0)}"
            one.PatientBirthDate = one.PatientSex = one.StudyDate = one.StudyTime = one.AccessionNumber = ""
            one.ReferringPhysicianName = one.StudyID = one.PositionReferenceIndicator = ""
            one.StudyDescription = one.SeriesDescription = "SYNTHETIC, NOT FOR DIAGNOSIS"
            one.ImageComments = one.DerivationDescription = NOTICE
            one.Manufacturer, one.ManufacturerModelName = "footage", str(metadata.get("model", ""))[:64]
            one.SoftwareVersions, one.BurnedInAnnotation, one.PatientIdentityRemoved = __version__, "NO", "YES"
            one.SeriesNumber, one.InstanceNumber = 1, place + 1
            one.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
            position = [origin[0], origin[1], origin[2] + place * between_slices]
            one.ImagePositionPatient = [number(round(float(value), 6)) for value in position]
            one.PixelSpacing = [number(between_rows), number(between_columns)]
            one.SliceThickness = one.SpacingBetweenSlices = number(between_slices)
            one.Rows, one.Columns, one.SamplesPerPixel = height, width, 1
            one.PhotometricInterpretation, one.PixelRepresentation = "MONOCHROME2", 0
            one.BitsAllocated, one.BitsStored, one.HighBit = 16, 16, 15
            one.RescaleSlope, one.RescaleIntercept = number(scale.slope), number(scale.intercept)
            one.RescaleType = scale.unit or "US"
            low, high = scale.window
            one.WindowCenter, one.WindowWidth = number((low + high) / 2), number(high - low)
            private = one.private_block(REQUEST_GROUP, "footage", create=True)
            private.add_new(1, "UT", json.dumps(dict(metadata), ensure_ascii=True))
            one.PixelData = np.ascontiguousarray(levels[place, :, :, 0], "<u2").tobytes()
            one.save_as(temporary / f"{place:06d}.dcm", enforce_file_format=True)
