"""Volumes: DICOM and NIfTI are read exactly, ingested without names, and come back as they were."""

import itertools
import json
import os
import secrets
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import footage
from footage import files
from footage.commands.train import ingest
from footage.config import ClipConfig, CriticConfig, IngestConfig
from footage.config.presets import preset, tiny
from footage.data import phantoms
from footage.data.audit import Audit
from footage.data.clips import DatasetVolumes, HasVolumes, Loader, open_clips
from footage.data.ingest.volumes import SECRET, VolumeBuilder, read_volume
from footage.data.store import Dataset
from footage.errors import ConfigError, DatasetError, MediaError
from footage.evaluation.volume_features import planes_reader
from footage.files import locked
from footage.generation.rollout import from_uint8, to_uint8, to_uint16
from footage.media.dicom import DicomSlice, dicom_metadata, find_series, is_dicom, read_series, write_dicom
from footage.media.geometry import NOTICE, VolumeScale
from footage.media.probe import UnusableMedia
from footage.media.volumes import read_nifti, resampled, write_nifti
from footage.metrics.image_quality import volume_similarity
from footage.models.adversarial.critic_loss import critic_view, pick_frames, view_shape
from footage.models.adversarial.gan import Gan
from footage.models.base import Batch
from footage.models.translators.translate import thick as thickened
from footage.training.engines import FabricEngine
from footage.training.plan import choose_preset
from footage.training.processes import Processes
from footage.trust import locks
from tests.folders import shapes, write_pictures

nibabel = pytest.importorskip("nibabel")
pydicom = pytest.importorskip("pydicom")
from pydicom.dataset import Dataset as Header  # noqa: E402
from pydicom.dataset import FileMetaDataset  # noqa: E402
from pydicom.pixels import apply_modality_lut  # noqa: E402

NAME, NUMBER = "DOE^JANE", "PID-77-4711"


def write_slice(path, pixels, place, *, series="1.2.3", patient=NUMBER, rows=(1, 0, 0), columns=(0, 1, 0), **values):
    """Write a CT slice at a place along the normal of 5 mm steps, by default axial."""
    one = Header()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = values.pop("syntax", pydicom.uid.ExplicitVRLittleEndian)
    one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
    one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = f"{series}.{place}.{values.get('EchoTime', 0)}"
    one.SeriesInstanceUID, one.StudyInstanceUID, one.Modality = series, "1.2", values.pop("modality", "CT")
    one.PatientName, one.PatientID, one.PatientBirthDate = NAME, patient, "19700101"
    one.ImageOrientationPatient = [*rows, *columns]
    one.ImagePositionPatient = list(np.cross(rows, columns) * 5.0 * place)
    one.PixelSpacing, one.Rows, one.Columns, one.SamplesPerPixel = [0.5, 0.5], *pixels.shape, 1
    one.PhotometricInterpretation = "MONOCHROME2"
    one.BitsAllocated, one.BitsStored, one.HighBit = 16, 12, 11
    one.PixelRepresentation = int(pixels.dtype.kind == "i")
    one.RescaleSlope, one.RescaleIntercept, one.InstanceNumber = 1, -1024, 1
    for name, value in values.items():
        setattr(one, name, value)
    little = one.file_meta.TransferSyntaxUID.is_little_endian
    one.PixelData = pixels.astype(pixels.dtype.newbyteorder("<" if little else ">")).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    one.save_as(path, enforce_file_format=True)


def pixels(place, shape=(8, 10)):
    rng = np.random.default_rng(place)
    return rng.integers(0, 4096, shape).astype(np.uint16)


def write_series(folder, places=range(18), **values):
    for number, place in enumerate(places):
        write_slice(folder / f"IM{number:03d}", pixels(place), place, **values)


def the_series(folder):
    found, refused = find_series(sorted(folder.rglob("IM*")))
    assert not refused
    return found


def test_slices_are_sorted_by_place_and_not_by_name_or_number(tmp_path):
    places = [3, 0, 4, 1, 2]
    write_series(tmp_path, places)
    (series,) = the_series(tmp_path)
    volume = read_series(series)
    assert volume.spacing == (5.0, 0.5, 0.5) and volume.unit == "HU"
    assert np.array_equal(volume.values, np.stack([pixels(place) for place in range(5)]) - 1024.0)


def test_a_sagittal_series_lies_as_axial_ones_do(tmp_path):
    write_series(tmp_path, range(5), rows=(0, 1, 0), columns=(0, 0, -1))  # rows to the back, columns to the feet
    volume = read_series(the_series(tmp_path)[0])
    stack = np.stack([pixels(place) for place in range(5)]) - 1024.0  # place, head to feet, front to back
    normal = np.cross((0, 1, 0), (0, 0, -1))  # leads to the right
    assert normal.tolist() == [-1, 0, 0] and volume.spacing == (0.5, 0.5, 5.0)
    assert np.array_equal(volume.values, stack.transpose(1, 2, 0)[::-1, :, ::-1])  # towards head, back, left


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"RescaleSlope": 2.5, "RescaleIntercept": 10}, lambda p: p * 2.5 + 10),
        ({"PhotometricInterpretation": "MONOCHROME1"}, lambda p: p - 1024.0),  # a unit: the values stay
        (
            {"PhotometricInterpretation": "MONOCHROME1", "modality": "MR", "RescaleIntercept": 0},
            lambda p: 4095.0 - p,
        ),
        ({"syntax": "1.2.840.10008.1.2.2"}, lambda p: p - 1024.0),  # big-endian
    ],
)
def test_values_are_as_headers_say(tmp_path, values, expected):
    syntax = values.get("syntax")
    write_series(tmp_path, range(3), **({**values, "syntax": pydicom.uid.UID(syntax)} if syntax else values))
    volume = read_series(the_series(tmp_path)[0])
    assert np.array_equal(volume.values, expected(np.stack([pixels(place) for place in range(3)]).astype(np.float64)))


def test_each_slice_has_its_own_slope_and_signs_are_extended(tmp_path):
    signed = [(pixels(place).astype(np.int32) - 2048).astype(np.int16) for place in range(3)]
    for place, values in enumerate(signed):
        dirty = (values & 0x0FFF).astype(np.uint16) | 0x7000  # old programs keep other things in the unused bits
        options = {"PixelRepresentation": 1, "RescaleSlope": 1 + place, "RescaleIntercept": 0}
        write_slice(tmp_path / f"IM{place}", dirty, place, **options)
    volume = read_series(the_series(tmp_path)[0])
    assert np.array_equal(volume.values, np.stack([values * float(1 + n) for n, values in enumerate(signed)]))


@pytest.mark.parametrize(
    ("write", "reason", "says"),
    [
        (lambda folder: write_series(folder, [0, 1, 2, 5, 6]), "missing slices", "between 10.0 and 25.0 mm"),
        (lambda folder: write_series(folder, [0]), "one slice", "several"),
        (
            lambda folder: [
                write_slice(folder / f"IM{n}", pixels(n), n // 2, SOPInstanceUID=f"9.{n}") for n in range(6)
            ],
            "mixed series",
            "several slices lie at",
        ),
        (
            lambda folder: [
                write_slice(folder / f"IM{n}", pixels(n), n, ImagePositionPatient=[0, 2 * n, 5 * n]) for n in range(4)
            ],
            "aslant",
            "gantry",
        ),
    ],
)
def test_what_is_no_volume_is_said(tmp_path, write, reason, says):
    write(tmp_path)
    (series,) = the_series(tmp_path)
    with pytest.raises(UnusableMedia) as error:
        read_series(series)
    assert error.value.reason == reason and says in error.value.detail


def test_echoes_and_shapes_of_one_series_are_volumes_of_their_own(tmp_path):
    for echo in (10, 20):
        write_series(tmp_path / str(echo), range(3), EchoTime=echo)
    write_slice(tmp_path / "IM-scout", pixels(9, (16, 16)), 1, SOPInstanceUID="1.9")
    series = the_series(tmp_path)
    assert Counter(len(one.slices) for one in series) == {3: 2, 1: 1}
    assert any("EchoTime" in note for one in series for note in one.notes)
    assert all("2 shapes" in " ".join(one.notes) for one in series)


def test_every_file_inside_pydicom_is_read_exactly_or_refused_with_a_reason():
    """8 to 32 bits, both signs, both byte orders, packed or not; a single slice is read twice, as a pair."""
    folder, reasons, exact = Path(pydicom.__file__).parent / "data" / "test_files", Counter(), []
    for path in sorted(path for path in folder.iterdir() if path.is_file() and is_dicom(path)):
        series, refused = find_series([path])
        reasons.update(reason for _, reason, _ in refused)
        for one in series:
            if len(one.slices) == 1:
                (only,) = one.slices
                one.slices.append(DicomSlice(only.path, None, only.origin + one.normal, only.header))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    volume = read_series(one)
                except UnusableMedia as error:
                    reasons[error.reason] += 1
                    assert error.reason != "no codec" or "pip install" in error.detail
                    continue
                header = pydicom.dcmread(path, force=True)
                wanted = np.asarray(apply_modality_lut(header.pixel_array, header), np.float32)
                if "DoseGridScaling" in header:
                    wanted = np.asarray(header.pixel_array * float(header.DoseGridScaling), np.float32)
            wanted = wanted if wanted.ndim == 3 else np.stack([wanted, wanted])
            assert np.array_equal(np.sort(volume.values, axis=None), np.sort(wanted, axis=None)), path.name
            exact.append(path.name)
    assert {"CT_small.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm", "rtdose.dcm"} <= set(exact)
    assert set(reasons) == {"no picture", "in colour", "no place", "damaged", "no codec"}


@pytest.mark.parametrize("name", ["anatomical.nii", "example4d.nii.gz", "functional.nii", "standard.nii.gz"])
def test_files_inside_nibabel_have_its_values(name):
    path = Path(nibabel.__file__).parent / "tests" / "data" / name
    image = nibabel.as_closest_canonical(nibabel.load(path))
    data = np.asarray(image.dataobj, np.float32)
    moments = data[..., None] if data.ndim == 3 else data
    volumes = list(read_nifti(path))
    assert len(volumes) == moments.shape[3]
    for number, volume in enumerate(volumes):
        assert np.array_equal(volume.values, moments[..., number].transpose(2, 1, 0)[:, ::-1, ::-1])
        assert volume.spacing == pytest.approx(image.header.get_zooms()[2::-1], rel=1e-5)


def folder_of_patients(folder, count=6):
    """Write a CT of each patient into a folder that is called by the patient's name."""
    for number in range(count):
        places = folder / f"{NAME} {number}"
        for place in range(9):
            values = pixels(place * 100 + number)
            write_slice(places / f"IM{place}", values, place, series=f"1.7.{number}", patient=f"{NUMBER}-{number // 2}")


def test_patients_stay_in_their_files_and_on_one_side(tmp_path, monkeypatch):
    monkeypatch.setattr(secrets, "token_bytes", lambda count: b"4" * count)
    folder_of_patients(tmp_path / "scans")
    (tmp_path / "scans" / "notes.txt").write_text("no volume")
    (tmp_path / "scans" / f"{NAME}.dcm").write_bytes(b"damaged")
    config = IngestConfig(height=8, width=10, min_frames=8, heldout=0.4, spacing="5,.5,.5", window="-1024,3071")
    result = ingest((tmp_path / "scans",), tmp_path / "data", config, advise=False, quiet=True)
    info, rows = result.dataset.info, result.dataset.rows
    assert info.schema == 4 and info.volume == VolumeScale.of_window(-1024, 3071, "HU", (5.0, 0.5, 0.5))
    assert len(rows) == 6 and not info.labels and NAME in result.rejections[0].source
    sides = {}
    for row in rows:
        sides.setdefault(row.source.split("-")[1], set()).add(row.split)
    assert len(sides) == 3 and all(len(side) == 1 for side in sides.values())
    assert {"train", "heldout"} == {row.split for row in rows}
    digests = [files.bytes_digest(f"{NUMBER}-{number}".encode()) for number in range(3)]
    for path in (path for path in (tmp_path / "data").rglob("*") if path.is_file()):
        for secret in (NAME, "JANE", NUMBER, "4711", "19700101", *digests, *(digest[:12] for digest in digests)):
            assert secret.encode() not in path.read_bytes(), (path, secret)
    values = info.volume.values(result.dataset.read_deep(rows[0])[..., 0])
    originals = [np.stack([pixels(p * 100 + n) for p in range(9)]) - 1024.0 for n in range(6)]
    assert min(np.abs(values - original).max() for original in originals) <= 0.04  # half a level of 1/16 HU
    shown = result.dataset.read(rows[0], 2, 3)
    assert shown.dtype == np.uint8 and shown.shape == (3, 8, 10, 1)

    before = (tmp_path / "data" / "dataset.json").read_bytes()
    again = ingest((tmp_path / "scans",), tmp_path / "data", config, advise=False, quiet=True)
    assert again.decoded == 0 and (tmp_path / "data" / "dataset.json").read_bytes() == before
    more = tmp_path / "scans" / "new"
    write_series(more, range(9), series="1.8", patient="another")
    larger = ingest((tmp_path / "scans",), tmp_path / "data", config, advise=False, quiet=True).dataset
    kept = {row.source: row.split for row in rows}
    assert len(larger.rows) == 7 and all(kept.get(row.source, row.split) == row.split for row in larger.rows)

    for number, place in itertools.product(range(6), range(9)):  # all once more, as other patients, who come first
        path, values = tmp_path / "scans" / "0" / f"{number}" / f"IM{place}", pixels(place * 100 + number)
        write_slice(path, values, place, series=f"1.9.{number}", patient=f"copy {number}")
    copied = ingest((tmp_path / "scans",), tmp_path / "data", config, advise=False, quiet=True).dataset
    assert [(row.source, row.split) for row in copied.rows] == [(row.source, row.split) for row in larger.rows]


def test_labels_of_folders_that_patients_share_are_taken(tmp_path):
    for number in range(4):
        folder = tmp_path / "scans" / ("ill" if number % 2 else "well") / str(number)
        write_series(folder, range(8), series=f"1.{number + 1}", patient=f"p{number}", RescaleSlope=1 + number)
    config = IngestConfig(height=8, width=8, min_frames=4, heldout=0)
    assert ingest((tmp_path / "scans",), tmp_path / "data", config, advise=False, quiet=True).dataset.info.labels == (
        "ill",
        "well",
    )


def nifti(path, seed):
    nibabel = pytest.importorskip("nibabel")
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 900, (8, 8, 8)).astype(np.int16)
    nibabel.Nifti1Image(values, np.eye(4)).to_filename(path)


def test_folders_are_no_labels_where_files_do_not_say_whose_they_are(tmp_path):
    for number, person in enumerate(("SMITH_JOHN", "MEYER_ANNA")):
        for name in ("t1", "t2"):
            nifti(tmp_path / "scans" / person / f"{name}.nii.gz", 10 * number + len(name) + (name == "t2"))
    config = IngestConfig(height=8, width=8, min_frames=4, heldout=0)
    data = ingest((tmp_path / "scans",), tmp_path / "data", config, advise=False, quiet=True).dataset
    assert data.info.labels == () and data.info.clips == 4
    written = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    assert b"SMITH" not in written and b"MEYER" not in written


def test_spacing_in_microns_is_millimetres(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(np.arange(512, dtype=np.int16).reshape(8, 8, 8), np.diag([50.0, 50, 50, 1]))
    image.header.set_xyzt_units("micron")
    image.to_filename(tmp_path / "a.nii")
    assert read_volume(tmp_path / "a.nii").spacing == pytest.approx((0.05, 0.05, 0.05))


def test_files_of_one_name_in_two_folders_are_both_read(tmp_path):
    for number, folder in enumerate(("a", "b")):
        nifti(tmp_path / folder / "sub-01" / "t1.nii", number)
        os.utime(tmp_path / folder / "sub-01" / "t1.nii", (1e9, 1e9))
    config = IngestConfig(height=8, width=8, min_frames=4, heldout=0)
    result = ingest((tmp_path / "a", tmp_path / "b"), tmp_path / "data", config, advise=False, quiet=True)
    assert result.dataset.info.clips == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"spacing": "2,1"}, "millimetres"),
        ({"spacing": "0,1,1"}, "millimetres"),
        ({"window": "40"}, "lowest"),
        ({"window": "40,-40"}, "lowest"),
        ({"spacing": "1,1,1", "size": "auto"}, "64x64"),
        ({"patients_of": "nothing"}, "dataset of volumes"),
    ],
)
def test_bad_options_of_volumes_are_refused(tmp_path, options, says):
    write_series(tmp_path / "scan", range(3))
    with pytest.raises(ConfigError) as error:
        ingest((tmp_path / "scan",), tmp_path / "data", IngestConfig(**options), advise=False, quiet=True)
    assert says in str(error.value)


def test_volumes_stay_on_this_machine(tmp_path):
    write_series(tmp_path / "scan", range(3))
    with pytest.raises(ConfigError, match="volumes stay on this machine"):
        ingest((tmp_path / "scan",), "memory://volumes", IngestConfig(), advise=False, quiet=True)


def test_nothing_but_a_gap_is_said_with_its_place(tmp_path):
    write_series(tmp_path / "scan", [0, 1, 2, 5, 6])
    with pytest.raises(DatasetError, match=r"missing slices, none between 10.0 and 25.0 mm"):
        ingest((tmp_path / "scan",), tmp_path / "data", IngestConfig(), advise=False, quiet=True)


def test_units_are_not_mixed(tmp_path):
    write_series(tmp_path / "scan" / "a", range(18), series="1.1")
    write_series(tmp_path / "scan" / "b", range(18), series="1.2", modality="MR")
    with pytest.raises(DatasetError, match="1 in HU, 1 without a unit"):
        ingest((tmp_path / "scan",), tmp_path / "data", IngestConfig(), advise=False, quiet=True)


def test_two_data_sets_of_one_patient_are_pairs(tmp_path, monkeypatch):
    from footage.data.pairs import PairedVolumes, open_source

    for kind in ("ct", "mr"):
        for number in range(2):
            write_series(
                tmp_path / kind / str(number),
                range(8),
                series=f"1.{number}.{kind == 'mr':d}",
                patient=f"p{number}",
                modality=kind.upper(),
                RescaleSlope=1 + number,
            )
    config = {"height": 8, "width": 8, "min_frames": 4, "heldout": 0, "spacing": "5,.5,.5"}
    ingest((tmp_path / "ct",), tmp_path / "a", IngestConfig(**config), advise=False, quiet=True)
    secret = Path("ingest") / SECRET
    plain = (tmp_path / "a" / secret).read_bytes()
    monkeypatch.setitem(locked.SCRYPT, "n", 2**4)
    monkeypatch.setenv(locked.PASSPHRASE, "correct horse battery")
    locks.lock_folder(tmp_path / "a", "passphrase")
    with monkeypatch.context() as patched:
        patched.setattr(VolumeBuilder, "read", lambda self: pytest.fail("it is made again"))
        ingest((tmp_path / "ct",), tmp_path / "a", IngestConfig(**config), advise=False, quiet=True)
    options = IngestConfig(**config, patients_of=str(tmp_path / "a"))
    ingest((tmp_path / "mr",), tmp_path / "b", options, advise=False, quiet=True)
    assert (tmp_path / "b" / secret).read_bytes() == plain
    assert (tmp_path / "b" / secret).stat().st_mode & 0o777 == 0o600
    pair = open_source(tmp_path / "a", ClipConfig(8, 8, 8, 1), tmp_path / "b")
    assert isinstance(pair, PairedVolumes) and len(pair.spans("train")) == 2
    window = pair.read_deep(pair.spans("train")[0].index, 0, 8)
    assert window.shape == (8, 8, 8, 2) and window.dtype == np.uint16


def test_resampling_keeps_planes_means_and_the_middle():
    ramp = np.broadcast_to(np.arange(12, dtype=np.float32)[:, None, None], (12, 4, 4)).copy()
    finer = resampled(ramp, (2, 1, 1), (1, 1, 1))
    assert finer.shape == (24, 4, 4) and np.allclose(np.diff(finer[2:-2, 0, 0]), 0.5)
    coarser = resampled(ramp, (1, 1, 1), (3, 1, 1))
    assert coarser.shape == (4, 4, 4) and coarser.mean() == pytest.approx(ramp.mean())
    assert np.array_equal(resampled(ramp, (2, 1, 1), (2, 1, 1)), ramp)


SCALE = VolumeScale.of_window(-1000, 1000, "HU", (2.5, 0.75, 0.5))
LEVELS = np.random.default_rng(3).integers(0, 65_536, (6, 5, 4, 1)).astype(np.uint16)
ABOUT = {"model": "m", "seed": 7, "weights_sha256": "ab"}


@pytest.mark.parametrize("name", ["v.nii.gz", "v.nii"])
def test_a_nifti_file_comes_back_as_it_was(tmp_path, name):
    write_nifti(tmp_path / name, LEVELS, SCALE, ABOUT)
    image = nibabel.load(tmp_path / name)
    assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")
    assert image.header.get_zooms() == pytest.approx((0.5, 0.75, 2.5))
    assert b"not for diagnosis" in image.header["descrip"].tobytes()
    volume = read_volume(tmp_path / name)
    assert np.abs(volume.values - SCALE.values(LEVELS[..., 0])).max() < 1e-3
    (extension,) = image.header.extensions
    assert json.loads(extension.get_content()) == {"notice": NOTICE, "unit": "HU", **ABOUT}
    first = (tmp_path / name).read_bytes()
    write_nifti(tmp_path / name, LEVELS, SCALE, ABOUT)
    assert (tmp_path / name).read_bytes() == first


def test_dicom_slices_come_back_as_they_were_and_say_that_they_are_synthetic(tmp_path):
    write_dicom(tmp_path / "out", LEVELS, SCALE, ABOUT)
    slices = [pydicom.dcmread(path) for path in sorted((tmp_path / "out").iterdir())]
    assert len(slices) == 6 and len({one.SOPInstanceUID for one in slices}) == 6
    for one in slices:
        assert list(one.ImageType) == ["DERIVED", "SECONDARY"] and one.ConversionType == "SYN"
        assert "not for diagnosis" in one.ImageComments and "SYNTHETIC" in str(one.PatientName)
        assert one.SOPClassUID == pydicom.uid.SecondaryCaptureImageStorage
    volume = read_volume(tmp_path / "out")
    assert volume.spacing == (2.5, 0.75, 0.5) and volume.unit == "HU"
    assert np.abs(volume.values - SCALE.values(LEVELS[..., 0])).max() < 1e-3
    write_dicom(tmp_path / "other", LEVELS, SCALE, ABOUT | {"seed": 8})
    other = pydicom.dcmread(min((tmp_path / "other").iterdir()))
    assert other.SeriesInstanceUID != slices[0].SeriesInstanceUID


def test_a_folder_with_several_volumes_names_them(tmp_path):
    for number in range(2):
        write_series(tmp_path / str(number), range(3), series=f"1.{number}")
    with pytest.raises(DatasetError, match=r"several volumes \(3×8×10, 3×8×10 voxels\)"):
        read_volume(tmp_path)


def test_phantoms_are_known_and_read_in_16_bits():
    source = open_clips("phantoms", ClipConfig(24, 24, 20, 3))
    assert isinstance(source, HasVolumes) and source.volume.spacing == (20.0, 15.0, 18.0)
    assert {source.label(index) for index in range(40)} == {0, 1, 2}
    assert all(phantoms.FINDINGS[source.label(index)] == source.anatomy(index).finding for index in range(9))
    index = next(index for index in range(40) if source.label(index) == 1)
    volume = source.read_deep(index, 0, 24)
    again = phantoms.render(source.anatomy(index), 24, *source.shape, index=index)
    assert np.array_equal(volume, again) and volume.dtype == np.uint16
    values, organs, lesions = np.moveaxis(source.volume.values(volume), -1, 0)
    assert values[organs < -900].min() < -990  # air, to the noise
    (lesion,) = source.anatomy(index).lesions
    volume_of_voxel = np.prod(source.volume.spacing)
    drawn = (lesions + 1000).sum() / 2000 * volume_of_voxel
    assert drawn == pytest.approx(4 / 3 * np.pi * np.prod(lesion.radii), rel=0.2)  # few and large voxels
    loader = Loader(source, "train", frames=24, batch_size=2, seed=0)
    clips, _ = loader.batch(0)
    assert clips.dtype == np.uint16
    tensor = from_uint8(clips)
    assert tensor.shape == (2, 3, 24, 24, 20) and tensor.min() >= -1 and tensor.max() <= 1
    assert np.array_equal(to_uint16(tensor), clips)


def test_a_data_set_of_volumes_is_trained_on_in_16_bits(tmp_path):
    folder_of_patients(tmp_path / "scans", 3)
    config = IngestConfig(height=8, width=10, min_frames=8, heldout=0, spacing="5,.5,.5")
    ingest((tmp_path / "scans",), tmp_path / "data", config, advise=False, quiet=True)
    source = open_clips(tmp_path / "data", ClipConfig())
    assert isinstance(source, DatasetVolumes) and source.read_deep(0, 1, 4).dtype == np.uint16
    config, reason = choose_preset(source.dataset)
    assert (config.preset, config.clip.frames) == ("volume-32", 8) and "deepest has 9" in reason
    assert "not for diagnosis" in dict(Audit(source.dataset).summary)["volumes"]
    value = json.loads((tmp_path / "data" / "dataset.json").read_text())
    assert value["volume"]["unit"] == "HU" and Dataset(tmp_path / "data").info.volume == source.volume


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    """A model of phantoms that has learned nothing."""
    folder = tmp_path_factory.mktemp("volumes") / "run"
    overrides = {"clip.frames": 16, "clip.height": 16, "clip.width": 16, "net.width": 4, "train.batch_size": 2}
    config = preset("volume-32", {**overrides, "train.device": "cpu", "train.precision": "fp32"})
    return footage.train("phantoms", config, out=folder, clips=2, quiet=True).model


def test_what_a_model_makes_has_values_spacing_and_the_notice(generator, tmp_path):
    model = footage.load(generator, "cpu")
    assert model.info.volume == phantoms.scale_of(16, 16, 16)
    assert "not for diagnosis" in (generator / "README.md").read_text()
    written = footage.generate(generator, tmp_path / "nii", count=2, format="nii", device="cpu", quiet=True)
    assert [path.name.partition(".")[2] for path in written] == ["nii.gz", "nii.gz"]
    clip = next(iter(model.generate(count=1)))
    (levels,) = clip.deep()
    assert levels.dtype == np.uint16 and levels.shape == (16, 16, 16, 1)
    shown = to_uint8(from_uint8(levels[None]))[0].astype(int)
    assert np.abs(clip.array() - shown).max() <= 1  # rounded twice
    volume = read_volume(written[0])
    assert volume.spacing == pytest.approx((30.0, 22.5, 22.5))
    assert np.abs(volume.values - model.info.volume.values(levels[..., 0])).max() < 1e-2
    (folder,) = footage.generate(generator, tmp_path / "dcm", count=1, format="dicom", device="cpu", quiet=True)
    again = read_volume(folder)
    assert np.abs(again.values - volume.values).max() < 1e-2 and again.unit == "HU"
    assert (tmp_path / "nii" / "sheet.png").is_file()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert dicom_metadata(folder)["weights_sha256"] == model.info.weights_sha256
    footage.generate(generator, tmp_path / "dcm", count=1, format="dicom", device="cpu", quiet=True)  # replaced
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}
    first = pydicom.dcmread(min(folder.iterdir()))
    del first[first.private_block(0x99, "footage").get_tag(1)]
    first.save_as(min(folder.iterdir()))
    assert dicom_metadata(folder) == {"model": model.info.name, "seed": 0}, "a folder of an older version"
    footage.generate(generator, tmp_path / "dcm", count=1, format="dicom", device="cpu", quiet=True)
    min(folder.iterdir()).unlink()
    others = (LEVELS, SCALE, ABOUT | {"seed": 0})
    for spoil in (lambda: None, lambda: write_dicom(folder, *others), lambda: min(folder.iterdir()).write_bytes(b"x")):
        spoil()
        lost = {path.name: path.read_bytes() for path in folder.iterdir()}
        with pytest.raises(ConfigError, match=r'000000.dicom" is there already, and is another clip'):
            footage.generate(generator, tmp_path / "dcm", count=1, format="dicom", device="cpu", quiet=True)
        assert lost == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_formats_of_volumes_are_for_volumes(generator, tmp_path):
    with pytest.raises(ConfigError, match="makes clips, not volumes"):
        footage.generate("stream-shapes", tmp_path / "a", count=1, format="nii", device="cpu", quiet=True)
    with pytest.raises(ConfigError, match="--format nii"):
        footage.generate(
            generator, tmp_path / "b", count=1, format="dicom", library=tmp_path / "l", device="cpu", quiet=True
        )


def test_thick_slices_become_thin_ones(tmp_path):
    overrides = {"clip.frames": 8, "clip.height": 16, "clip.width": 16, "net.width": 4, "train.batch_size": 2}
    config = preset("volume-slices-32", {**overrides, "train.device": "cpu", "train.precision": "fp32"})
    model = footage.train("phantoms", config, out=tmp_path / "run", clips=2, quiet=True).model
    scale = phantoms.scale_of(8, 16, 16)
    levels = phantoms.render(phantoms.draw_anatomy(0, 1), 8, 16, 16)
    thick = VolumeScale(scale.slope, scale.intercept, "HU", (4 * scale.spacing[0], *scale.spacing[1:]))
    write_nifti(tmp_path / "thick.nii.gz", levels.reshape(2, 4, 16, 16, 1).mean(1).astype(np.uint16), thick, {})
    footage.translate(model, tmp_path / "thick.nii.gz", to=tmp_path / "thin.nii.gz", device="cpu", quiet=True)
    thin = read_volume(tmp_path / "thin.nii.gz")
    assert thin.values.shape == (8, 16, 16) and thin.spacing == pytest.approx(scale.spacing)
    source = thickened(from_uint8(levels[None]))
    assert source.shape == (1, 1, 8, 16, 16) and not torch.equal(source, from_uint8(levels[None]))
    assert torch.allclose(source.mean(), from_uint8(levels[None]).mean(), atol=1e-3)
    write_series(tmp_path / "pet", range(4), modality="PT", RescaleType="BQML")
    with pytest.raises(MediaError, match="has values in BQML"):
        footage.translate(model, tmp_path / "pet", to=tmp_path / "x.nii.gz", device="cpu", quiet=True)


def test_a_slab_is_seen_with_its_place_and_a_whole_at_half_its_size():
    slab, whole = CriticConfig(sees="slab", frames=3), CriticConfig(shrink=2, shrink_time=2)
    clips = torch.arange(8.0).view(1, 1, 8, 1, 1).expand(4, 2, 8, 16, 16)
    picks = pick_frames(slab, ClipConfig(8, 16, 16, 3), 400, torch.Generator().manual_seed(0))
    assert picks.shape == (400, 3) and set(picks[:, 0].tolist()) == set(range(6))
    assert (picks.diff(dim=1) == 1).all()
    view = critic_view(slab, clips, picks[:4])
    assert torch.equal(view.inputs[:, 0, :, 0, 0], picks[:4].float()) and view.inputs.shape == (4, 2, 3, 16, 16)
    assert torch.equal(view.gaps[:, 0], picks[:4, 0] / 5)
    half = critic_view(whole, clips, None)
    assert half.inputs.shape == (4, 2, 4, 8, 8) and half.inputs[0, 0, :, 0, 0].tolist() == [0.5, 2.5, 4.5, 6.5]
    assert view_shape(whole, ClipConfig(8, 16, 16, 3)) == (3, 4, 8, 8)
    with pytest.raises(ConfigError, match="shrink_time"):
        preset("volume-32", {"critics": [{"shrink_time": 5}]})


def test_half_a_volume_and_a_slab_train_at_small_size():
    config = tiny(preset("volume-128", {"clip.frames": 16, "clip.height": 16, "clip.width": 16}))
    config = replace(config, critics=(replace(config.critics[0]), replace(config.critics[1], frames=4)))
    method = Gan(config, 0)
    method.build_optimizers()
    before = [weight.clone() for weight in method.nets["generator"].parameters()]
    source = open_clips("phantoms", config.clip)
    clips = from_uint8(Loader(source, "train", frames=16, batch_size=2, seed=0).batch(0)[0])
    log = method.step(
        Batch(clips, None, torch.Generator().manual_seed(0), 2), 0, FabricEngine(Processes().fabric("cpu"))
    )
    assert {"clip_loss", "slab_loss", "generator_loss"} <= set(log)
    assert any(not torch.equal(a, b) for a, b in zip(before, method.nets["generator"].parameters(), strict=True))


def test_similarity_of_volumes_falls_with_noise():
    rng = torch.Generator().manual_seed(0)
    volume = from_uint8(phantoms.render(phantoms.draw_anatomy(0, 0), 24, 24, 24)[None])
    assert volume_similarity(volume, volume).item() == pytest.approx(1)
    values = [
        volume_similarity(volume, volume + amount * torch.randn(volume.shape, generator=rng)).item()
        for amount in (0.05, 0.2, 0.8)
    ]
    assert 1 > values[0] > values[1] > values[2]


def test_volumes_are_evaluated_by_values_and_likeness(generator, tmp_path):
    options = {"clips": 8, "metrics": "volumes", "resamples": 4, "cache": Path("none"), "quiet": True, "device": "cpu"}
    found = footage.evaluate(generator, "phantoms", **options)
    assert any("not for diagnosis" in warning for warning in found.warnings)
    distance, alike = found.figure("value_distance"), found.figure("ms_ssim")
    assert "HU" in distance.label and distance.value > 3 * distance.floor.value and distance.interval is not None
    assert alike.real is not None and 0 < alike.real < 1
    clips = write_pictures(tmp_path / "clips", shapes(4))
    with pytest.raises(ConfigError, match="model or data set of volumes"):
        footage.evaluate(clips, clips, **options | {"clips": 2, "frames": 2})


def test_a_network_of_pictures_sees_planes_along_three_axes():
    class Brightest:
        def features(self, frames):
            return torch.from_numpy(frames.max(axis=(2, 3, 4)).astype(np.float32))  # of each plane

    volumes = np.zeros((1, 16, 16, 16, 1), np.uint8)
    volumes[0, 0, 15, :, 0] = 9  # the first axial plane, the last coronal one, all sagittal ones
    seen = planes_reader(Brightest())(volumes)[0].reshape(3, 8)
    assert seen.tolist() == [[9, *[0] * 7], [*[0] * 7, 9], [9] * 8]
