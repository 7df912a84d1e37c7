"""Volumes in the library and the studio: kept as they are, shown as three planes through a window."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gzip
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fastapi import HTTPException
from playwright.sync_api import expect

from footage.data import phantoms
from footage.data.ingest.volumes import read_volume
from footage.data.store import Dataset
from footage.errors import MediaError
from footage.files import locked
from footage.library.additions import ClipDetails
from footage.library.import_export import ExportOptions
from footage.library.library import Library
from footage.machines.local import memory_folder
from footage.media.geometry import ORIENTATION, VolumeScale
from footage.media.kinds import stem_of, suffix_of, with_suffix
from footage.media.volumes import ValueWindow, read_kept, read_nifti
from footage.studio import volume_process
from footage.studio.app import Address, Server
from footage.studio.catalog import Catalog
from footage.studio.clip_jobs import uses
from footage.studio.routes import planes
from footage.studio.security import Keys
from footage.studio.state import Studio, temporary_in_memory
from footage.studio.volume_process import VolumeQuestion, halved, levels_of, show
from footage.trust import locks
from tests.clips import moving, write
from tests.models import save_tiny_model
from tests.studios import PARTS, client_of, opened_page, work_off
from tests.volumes import SHAPE, save_volumes, write_phantom

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page
    from starlette.testclient import TestClient

nibabel = pytest.importorskip("nibabel")
pydicom = pytest.importorskip("pydicom")

STANDARD = (
    (ValueWindow(2048, 4096), ((0, 0), (1, 0), (4095, 255), (4096, 255), (2047.5, 127.5), (1000, 62.3))),
    (ValueWindow(2048, 1), ((2047, 0), (2048, 255), (4000, 255))),
    (ValueWindow(0, 100), ((-50, 0), (-51, 0), (49, 255), (50, 255), (-0.5, 127.5), (24.25, 191.25))),
    (ValueWindow(0, 1), ((-1, 0), (-0.5, 0), (0, 255))),
    (ValueWindow(0, 1, exact=True), ((-0.5, 0), (0.5, 255), (0.25, 191.25))),
)
"""The examples of DICOM, PS3.3, C.11.2.1.2.1 (c=2048, w=4096; c=2048, w=1; c=0, w=100; c=0, w=1): for an output of 0 to
255 it gives black up to which value, white from which on, and the line between them; and C.11.2.1.3.2."""


@pytest.mark.parametrize(("window", "expected"), STANDARD)
def test_a_window_is_the_function_of_the_standard(
    window: ValueWindow, expected: tuple[tuple[float, float], ...]
) -> None:
    values, levels = zip(*expected, strict=True)
    assert window.levels(np.array(values, np.float32)) == pytest.approx(np.array(levels), abs=0.5)


@pytest.mark.parametrize("exact", [False, True])
def test_a_window_gives_what_pydicom_gives(exact: bool) -> None:
    from pydicom.dataset import Dataset as Header
    from pydicom.pixels import apply_windowing

    values = np.random.default_rng(3).integers(-1024, 3000, (7, 9)).astype(np.int16)
    header: Any = Header()
    header.PhotometricInterpretation, header.BitsStored, header.PixelRepresentation = "MONOCHROME2", 16, 1
    header.WindowCenter, header.WindowWidth = 40, 401
    header.VOILUTFunction = "LINEAR_EXACT" if exact else "LINEAR"
    theirs = apply_windowing(values, header)  # over the range of 16 bits with a sign
    expected = (theirs + 2**15) / (2**16 - 1) * 255
    assert np.abs(ValueWindow(40, 401, exact).levels(values.astype(np.float32)) - expected).max() <= 0.5 + 1e-3


def test_names_of_packed_volumes_come_back() -> None:
    assert [suffix_of(name) for name in ("A.NII.GZ", "a.nii", "a.tar.gz", "x.niigz")] == ["niigz", "nii", "gz", "niigz"]
    assert (stem_of("a.b.nii.gz"), stem_of("a.nii"), stem_of("c.mp4")) == ("a.b", "a", "c")
    assert (with_suffix("a", "niigz"), with_suffix("a", "mp4")) == ("a.nii.gz", "a.mp4")


def same_volume(path: Path, other: Path) -> bool:
    one, two = read_kept(path), read_kept(other)
    return one.placed and np.array_equal(one.volume.values, two.volume.values) and vars(two.volume)["unit"] == "HU"


def test_a_library_keeps_a_volume_and_gives_it_out_as_it_was(tmp_path: Path) -> None:
    path = write_phantom(tmp_path / "trunk 1.nii.gz", seed=7, label="healthy")
    with Library(tmp_path / "library") as library:
        entry = library.add(path)
        assert (entry.title, entry.suffix, entry.codec, entry.frames) == ("trunk 1", "niigz", "nifti", SHAPE[0])
        assert (entry.width, entry.height, entry.origin, entry.seed, entry.label) == (16, 20, "generated", 7, "healthy")
        assert entry.settings == {"unit": "HU"}
        assert library.thumbnail(entry.id).is_file() and library.add_new(path) is None
        plain = tmp_path / "plain.nii"
        plain.write_bytes(gzip.decompress(path.read_bytes()))
        assert library.add(plain).suffix == "nii"
        library.export([1, 2], tmp_path / "out")
        library.export([1, 2], tmp_path / "out.zip", ExportOptions(names="digest"))
        assert not library.verify().missing
    assert (tmp_path / "out" / "trunk 1.nii.gz").read_bytes() == path.read_bytes()
    assert (tmp_path / "out" / "plain.nii").is_file()
    image = nibabel.load(tmp_path / "out" / "trunk 1.nii.gz")  # as others read it
    assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")
    assert image.header.get_zooms() == pytest.approx(phantoms.scale_of(*SHAPE).spacing[::-1])
    with Library(tmp_path / "other") as library:
        added = library.unpack(tmp_path / "out.zip").added
        assert [library.get(clip).title for clip in added] == ["trunk 1", "plain"]
        assert same_volume(library.path(added[0]), path)


def test_what_is_no_volume_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(b"no volume"))
    whole = write_phantom(tmp_path / "cut.nii.gz").read_bytes()
    (tmp_path / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    with Library(tmp_path / "library") as library:
        for name in ("x", "cut"):
            with pytest.raises(MediaError, match="damaged"):
                library.add(tmp_path / f"{name}.nii.gz")
        assert library.count() == 0 and not list((tmp_path / "library" / "files").rglob("*.niigz"))


def test_where_the_body_lies_is_said_only_where_the_file_says_it(tmp_path: Path) -> None:
    values = np.arange(4 * 5 * 6 * 2, dtype=np.int16).reshape(4, 5, 6, 2)  # left, back, head, time
    image = nibabel.Nifti1Image(values, np.diag([-1.0, -2.0, 3.0, 1.0]))
    nibabel.save(image, tmp_path / "placed.nii.gz")
    nibabel.save(nibabel.Nifti1Image(values, None), tmp_path / "unplaced.nii")
    kept = read_kept(tmp_path / "placed.nii.gz")
    assert kept.placed and kept.volume.notes == ("the first of 2 volumes",) and kept.volume.spacing == (3.0, 2.0, 1.0)
    assert np.array_equal(kept.volume.values, values[..., 0].transpose(2, 1, 0))
    assert not read_kept(tmp_path / "unplaced.nii").placed
    shown = show(VolumeQuestion(str(tmp_path), 0, 0, str(tmp_path / "unplaced.nii")))
    assert shown.orientation == "" and shown.slope == 1.0 and shown.intercept == 0.0


def test_levels_are_exact_for_whole_numbers_and_near_for_others() -> None:
    whole = np.array([[[-1024, 3000], [0, 7]]], np.float32)
    levels, scale = levels_of(whole)
    assert scale.slope == 1.0 and np.array_equal(scale.values(levels), whole)
    parts = np.random.default_rng(0).normal(0, 0.1, (2, 3, 4)).astype(np.float32)
    levels, scale = levels_of(parts)
    assert np.abs(scale.values(levels) - parts).max() <= np.ptp(parts) / 65535


def test_half_of_the_resolution_is_the_mean_of_blocks() -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (5, 6, 7)).astype(np.uint16)
    half = np.stack(list(halved(levels)))
    assert half.shape == (3, 3, 4)
    blocks = [
        [[levels[t : t + 2, h : h + 2, w : w + 2].mean() for w in (0, 2, 4, 6)] for h in (0, 2, 4)] for t in (0, 2, 4)
    ]
    assert np.abs(half - np.array(blocks)).max() < 2


@pytest.mark.skipif(memory_folder() is None, reason="this machine has no files in memory")
@pytest.mark.nightly
def test_levels_of_a_locked_volume_lie_in_memory_or_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(locked.SCRYPT, "n", 2**4)
    monkeypatch.setenv(locked.PASSPHRASE, "correct horse battery")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    models = tmp_path / "models"
    locks.lock_folder(save_volumes(models), "passphrase")
    shutil.rmtree(models / "体片")
    asked = {"name": "体", "number": 0}
    for name in ("plain", "hidden"):
        if name == "hidden":
            locks.lock_new(tmp_path / name, "passphrase")
        with Library(tmp_path / name) as library, contextlib.ExitStack() as held:
            if library.key_source:
                held.enter_context(temporary_in_memory())
            studio = Studio(library, Catalog(models), Keys())
            with client_of(studio) as client:
                answer = client.get("/api/datasets/volume", params=asked)
                if name == "plain":
                    assert answer.status_code == 400 and "in a temporary file" in answer.json()["problem"]
                    continue
                levels = client.get(answer.json()["parts"][0]["url"])
                assert levels.headers["cache-control"] == "no-store"
                sign = levels.content[len(levels.content) // 2 :][:64]  # inside the body
                assert len(set(sign)) > 8
                assert not any(sign in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_volume_that_cannot_be_shown_leaves_nothing_and_a_full_disk_is_said(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def refuse(*_: object) -> dict[str, Any]:
        raise HTTPException(422, "damaged")

    monkeypatch.setattr(planes, "checked", refuse)
    views = planes.VolumeViews(studio)
    with pytest.raises(HTTPException):
        asyncio.run(views.show("one", file="x.nii"))
    assert not list(views._folder._folder.iterdir())
    views.close()

    def fill(_: VolumeQuestion) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(volume_process, "show", fill)
    monkeypatch.setattr(volume_process, "limit_process", lambda *_: None)
    volume_process.main([VolumeQuestion(to="", seconds=1, memory=1).command()[-1]])
    assert "the disk is full" in json.loads(capsys.readouterr().out)["problem"]


def test_a_large_volume_comes_by_halves_and_one_too_large_by_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = VolumeQuestion(str(tmp_path), 0, 0, str(write_phantom(tmp_path / "x.nii.gz")))
    assert list(show(question).parts) == ["whole"]
    monkeypatch.setattr(volume_process, "LARGE", 100)
    assert show(question).parts == {"half": (6, 10, 8), "whole": SHAPE}
    assert (tmp_path / "half").stat().st_size == 2 * 6 * 10 * 8
    monkeypatch.setattr(volume_process, "MOST_WHOLE", 1000)
    assert list(show(question).parts) == ["half"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of a phantom, another that is no model's, and a clip; and a data set of phantoms."""
    folder = tmp_path_factory.mktemp("volumes")
    with Library(folder / "library") as library:
        library.add(write_phantom(folder / "made.nii.gz", seed=7))
        library.add(write_phantom(folder / "real.nii.gz", 1), ClipDetails(title="a scan"))
        library.add(write(folder / "clip.mp4", moving(8, (32, 32))))
    save_volumes(folder / "models")
    return folder


@pytest.fixture
def studio(folder: Path) -> Iterator[Studio]:
    made = Studio(Library(folder / "library"), Catalog(folder / "models"), Keys())
    made.worker.close()
    yield made
    made.close()


@pytest.fixture
def client(studio: Studio) -> Iterator[TestClient]:
    with client_of(studio) as made:
        yield made


def test_the_interface_gives_what_the_file_holds(client: TestClient, folder: Path) -> None:
    told = client.get("/api/clips/1/volume").json()
    (volume,) = read_nifti(folder / "made.nii.gz")
    assert (told["shape"], told["spacing"]) == (list(SHAPE), list(map(pytest.approx, volume.spacing)))
    assert (told["unit"], told["orientation"]) == ("HU", ORIENTATION)
    (part,) = told["parts"]
    levels = np.frombuffer(client.get(part["url"]).content, "<u2").reshape(part["shape"])
    assert np.abs(told["intercept"] + told["slope"] * levels - volume.values).max() <= 0.02
    assert told["least"] == pytest.approx(volume.values.min(), abs=0.1)
    assert client.get("/api/clips/1/volume").json() == told  # kept, not read again
    assert client.get("/api/clips/3/volume").status_code == 404
    assert client.get("/api/volumes/nothing/whole").status_code == 404


def test_a_volume_of_a_data_set_is_shown_in_its_values(client: TestClient, folder: Path, tmp_path: Path) -> None:
    dataset = Dataset(folder / "models" / "体")
    shown, scale = show(VolumeQuestion(str(tmp_path), 0, 0, dataset=str(dataset.folder), number=1)), dataset.info.volume
    assert scale is not None and (shown.slope, shown.spacing, shown.unit) == (scale.slope, scale.spacing, "HU")
    levels = np.fromfile(tmp_path / "whole", "<u2").reshape(shown.parts["whole"])
    assert np.array_equal(levels, dataset.read_deep(dataset.rows[1])[..., 0])
    assert client.get("/api/datasets/volume?name=体&number=9").status_code == 404
    assert "/data/volume?name=" in client.get("/data/audit?name=体").text


def test_pages_say_what_is_synthetic_and_that_none_is_for_diagnosis(client: TestClient) -> None:
    names = ("/clip/1", "/clip/2", "/data/volume?name=体", "/clip/3")
    pages = {name: client.get(name).text.split("<main")[1] for name in names}
    assert "Synthetic: made by a model. Not a medical device" in pages["/clip/1"]
    assert "not a medical device" in pages["/clip/2"] and "Synthetic" not in pages["/clip/2"]
    assert "not a medical device" in pages["/data/volume?name=体"] and "medical" not in pages["/clip/3"]


def test_an_uploaded_volume_is_taken_in_and_given_out(client: TestClient, tmp_path: Path) -> None:
    content = write_phantom(tmp_path / "x.nii.gz", 2).read_bytes()
    added = client.post("/api/uploads?name=trunk.nii.gz", content=content).json()["added"]
    entry = client.get(f"/api/clips/{added[0]}").json()
    assert (entry["title"], entry["suffix"]) == ("trunk", "niigz")
    sent = client.get(f"/api/clips/{added[0]}/file?download=true")
    assert sent.content == content and sent.headers["content-disposition"].endswith("trunk.nii.gz")


def test_what_a_model_of_volumes_makes_is_filed_with_its_values(studio: Studio) -> None:
    scale = VolumeScale.of_window(-1000, 1000, "HU", (4.0, 2.0, 3.0))
    knobs: dict[str, Any] = {"clip__frames": 16, "clip__height": 16, "clip__width": 16, "clip__channels": 1}
    save_tiny_model(studio.catalog.folder / "maker", (), preset="volume-32", volume=scale, **knobs)
    save_tiny_model(studio.catalog.folder / "packer", (), preset="volume-vae-32", volume=scale, **knobs)
    studio.catalog.refresh()
    fits = {(use.model.name, use.verb): use.reason for use in uses(studio.catalog, studio.library.get(1))}
    assert [use for use, reason in fits.items() if not reason] == [("packer", "reconstruct")]
    reasons = {
        use.reason for use in uses(studio.catalog, studio.library.get(3)) if use.model.name in ("maker", "packer")
    }
    assert reasons == {"use_volume"}
    with client_of(studio) as client:
        asked = {"model": "maker", "count": 1, "seed": 5}
        assert client.post("/api/jobs/generate", json=asked).status_code == 200
        (made,) = work_off(studio, "generate").result["clips"]
        assert client.post("/api/jobs/reconstruct", json={"model": "packer", "clip": made}).status_code == 200
        (packed,) = work_off(studio, "reconstruct").result["clips"]
    for clip in (made, packed):
        assert studio.library.get(clip).suffix == "niigz" and studio.library.get(clip).origin == "generated"
        volume = read_volume(studio.library.path(clip))
        assert (volume.spacing, volume.unit) == (scale.spacing, "HU")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    made = Server(folder / "library", folder / "models", Address(port=0))
    made.start()
    yield made
    made.stop()


SHOWN = "() => document.querySelector('[data-state]')?.textContent === ''"


def crosshair(page: Page) -> tuple[int, ...]:
    """Return the voxel that the planes go through: slice, row, column."""
    page.evaluate("() => new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    names = ("axial", "coronal", "sagittal")
    return tuple(int(page.locator(f"[data-plane={name}] input").input_value()) for name in names)


def read_pixel(page: Page, plane: str, column: int, row: int) -> int:
    code = """([plane, x, y]) => document.querySelector(`[data-plane=${plane}] canvas`).getContext('2d')
        .getImageData(x, y, 1, 1).data[0]"""
    return int(page.evaluate(code, [plane, column, row]))


def test_planes_are_linked_and_show_their_values_through_the_window(
    browser: Browser, server: Server, folder: Path
) -> None:
    (volume,) = read_nifti(folder / "made.nii.gz")
    depth, height, width = SHAPE
    with opened_page(browser, server.address) as page:
        page.goto("/clip/1")
        page.wait_for_function(SHOWN)
        page.wait_for_function(PARTS)  # nothing moves any more
        # By the address that the page has it by, or it runs twice, and opens the volume again.
        code = """async (all) => {
            const { shade } = await import(document.querySelector('script[src*="volume.js"]').src);
            return all.map(([window, values]) => values.map(([value]) => shade(value, window))); }"""
        windows = [(vars(window), expected) for window, expected in STANDARD]
        for shades, (_, expected) in zip(page.evaluate(code, windows), STANDARD, strict=True):
            assert shades == pytest.approx([level for _, level in expected], abs=0.5)  # the same in the browser
        page.get_by_role("button", name="Lung").click()
        page.mouse.move(0, 0)
        page.locator("[data-plane=axial] canvas").focus()
        for key in ("PageUp", "ArrowLeft", "ArrowDown"):
            page.keyboard.press(key)
        place = (depth // 2 + 1, height // 2 + 1, width // 2 - 1)
        assert crosshair(page) == place
        value = float(volume.values[place])
        said = page.locator(".there [data-value]").first.text_content()
        assert said is not None and abs(float(said.replace("−", "-").removesuffix(" HU")) - value) <= 1
        spacing = phantoms.scale_of(*SHAPE).spacing
        text = page.locator("[data-place]").text_content() or ""
        right, behind, above = re.fullmatch(r"R ([\d.]+) · P ([\d.]+) · S ([\d.]+) mm from the middle", text).groups()  # type: ignore[union-attr]
        away = [abs(place[axis] - (SHAPE[axis] - 1) / 2) * spacing[axis] for axis in range(3)]
        assert [float(above), float(behind), float(right)] == pytest.approx(away, abs=0.051)
        lung, (t, h, w) = ValueWindow(-600, 1500), place
        shades = [
            read_pixel(page, "axial", w, h),
            read_pixel(page, "coronal", w, depth - 1 - t),
            read_pixel(page, "sagittal", h, depth - 1 - t),
        ]
        assert shades == pytest.approx([int(lung.levels(volume.values[place]))] * 3, abs=1)
        box = page.locator("[data-plane=coronal] .cut").bounding_box()
        assert box is not None  # in true proportions
        assert box["width"] / box["height"] == pytest.approx(width * spacing[2] / (depth * spacing[0]), rel=0.02)
        page.mouse.click(box["x"] + box["width"] * 0.9, box["y"] + box["height"] * 0.1)
        assert crosshair(page) == (int(depth * 0.9), place[1], int(width * 0.9))
        page.mouse.wheel(0, 100)
        page.wait_for_function(
            f"() => document.querySelector('[data-plane=coronal] input')?.value === '{place[1] - 1}'"
        )
        sides = [
            page.locator(f"[data-plane=sagittal] b.{side}").text_content()
            for side in ("left", "right", "top", "bottom")
        ]
        assert sides == ["A", "P", "S", "I"]
        page.goto("/data/volume?name=体")
        page.wait_for_function(SHOWN)
        page.get_by_role("link", name="Next volume").click()
        expect(page.locator("h1")).to_have_text("Volume 2 of 体")
        page.wait_for_function(SHOWN)
