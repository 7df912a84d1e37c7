"""Arrays: which axis is which is told where that is certain, else refused with what it could be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from footage.data.ingest import arrays, intake
from footage.data.ingest.arrays import find_layout, usual
from footage.data.store import Dataset
from footage.errors import ConfigError, DatasetError
from footage.media.probe import UnusableMedia
from tests.clips import moving
from tests.ingesting import ingest

SIDE, FRAMES = 16, 20
ORDERS = ("THW", "THWC", "TCHW", "HWCT", "NTHW", "NTHWC", "NTCHW", "NCTHW", "TNHWC", "TNCHW")


def clips(count: int = 5, channels: int = 3) -> np.ndarray:
    """Clips of moving discs, uint8 (N, T, H, W, C)."""
    made = np.stack([moving(FRAMES, (SIDE, SIDE), seed) for seed in range(count)])
    return made if channels == 3 else made[..., :1]


def ordered(layout: str, made: np.ndarray) -> np.ndarray:
    """The clips with their axes in another order; the first one where that has no N, the first channel where no C."""
    made = made if "N" in layout else made[0]
    made = made if "C" in layout else made[..., 0]
    return np.ascontiguousarray(made.transpose([[a for a in "NTHWC" if a in layout].index(axis) for axis in layout]))


def read(path: Path, **options: object) -> Dataset:
    folder = path.with_name(f"{path.stem}-{len(list(path.parent.iterdir()))}")
    chosen = {"height": SIDE, "width": SIDE, "keep_static": True, "keep_duplicates": True, "workers": 0, **options}
    return ingest([path], folder, **chosen).dataset


@pytest.mark.parametrize("layout", ORDERS)
def test_orders_of_axes(tmp_path: Path, layout: str) -> None:
    made = clips()
    np.save(tmp_path / "a.npy", ordered(layout, made))
    dataset = read(tmp_path / "a.npy")
    right = ordered("NTHWC", made[: 5 if "N" in layout else 1])
    assert len(dataset.rows) == len(right)
    for row, clip in zip(dataset.rows, right, strict=True):
        assert np.array_equal(dataset.read(row), clip if "C" in layout else clip[..., :1].repeat(3, axis=-1))
    assert dataset.sources[0].notes == (f"axes {layout} (--layout decides)",)
    told = read(tmp_path / "a.npy", layout=layout.lower())
    assert told.info.content_hash == dataset.info.content_hash and told.sources[0].notes == (f"axes {layout}",)


@pytest.mark.parametrize(
    ("shape", "could"),
    [
        ((3, 20, 64, 64), "NTHW (3 grey clips of 20 frames of 64×64) or CTHW (one RGB clip of 20 frames of 64×64)"),
        ((64, 64, 20), "THW (one grey clip of 64 frames of 20×64) or HWT (one grey clip of 20 frames of 64×64)"),
        ((64, 64, 20, 3), "THWC (one RGB clip of 64 frames of 20×64) or HWTC (one RGB clip of 20 frames of 64×64)"),
        ((20, 3, 64, 64), "TNHW (3 grey clips of 20 frames of 64×64) or TCHW (one RGB clip of 20 frames of 64×64)"),
    ],
)
def test_what_is_not_clear_is_refused_with_what_it_could_be(tmp_path: Path, shape: tuple[int, ...], could: str) -> None:
    np.save(tmp_path / "a.npy", np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    with pytest.raises(DatasetError) as refused:
        read(tmp_path / "a.npy")
    assert f"unclear axes (such as a.npy: the array uint8 {shape} could be {could}: say which, such as --layout" in str(
        refused.value
    )
    layout = could.split()[could.split().index("or") + 1]
    assert read(tmp_path / "a.npy", layout=layout).sources[0].clips == (1 if "N" not in layout else 3)


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((20, 32, 32, 3), "THWC"),
        ((20, 32, 32, 4), "THWC"),
        ((100, 3, 48, 64), "TCHW"),
        ((3, 20, 20, 3), None),
        ((1, 20, 32, 32), "NTHW"),
        ((20, 1, 32, 32), "TNHW"),
        ((4, 20, 32, 32), "NTHW"),
        ((8, 3, 20, 32, 32), "NCTHW"),
        ((8, 20, 3, 32, 32), "NTCHW"),
        ((64, 48, 3, 20), "HWCT"),
        ((120, 160, 24), "HWT"),
        ((20, 120, 160), "THW"),
        ((32, 32, 3), None),  # a picture
        ((3, 32, 32), None),
        ((100, 32), None),
        ((2, 8, 20, 32, 32, 3), None),
        ((8, 3, 3, 32, 32), None),
        ((20, 30, 4, 4), None),
    ],
)
def test_what_shapes_tell(shape: tuple[int, ...], layout: str | None) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    if layout is None:
        with pytest.raises(UnusableMedia, match=r"not clips: the array is uint8 \(.*or --layout"):
            find_layout(array, 16)
    else:
        assert find_layout(array, 16) == layout


def test_content_tells_clips_from_time() -> None:
    made = clips(FRAMES, 1)  # as many clips as frames
    assert find_layout(ordered("NTHW", made), 16) == "NTHW"
    assert find_layout(ordered("TNHW", made), 16) == "TNHW"
    assert find_layout(ordered("TNHWC", made), 16) == "TNHWC"
    short = ordered("NTHW", made[:, :8])  # 20 clips of 8 frames: too short, and yet not 8 clips of 20
    assert find_layout(short, 16) == "NTHW"
    # between the two: changes along time and from clip to clip differ by a quarter only
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 100, (9, 18, SIDE, SIDE)) + rng.integers(0, 75, (9, 1, SIDE, SIDE))
    swapped = noise.swapaxes(0, 1).astype(np.uint8)
    assert find_layout(noise.astype(np.uint8), 4) == "NTHW"
    with pytest.raises(UnusableMedia, match=r"could be NTHW \(18 grey.*or TNHW \(9 grey"):
        find_layout(swapped, 4)
    mnist = rng.integers(0, 256, (20, 20, 64, 64), np.uint8)
    with pytest.raises(UnusableMedia, match=r"could be NTHW \(20 grey.*or TNHW"):
        find_layout(mnist, 16)


def test_usual_shapes() -> None:
    assert [usual(*shape) for shape in ((64, 64), (480, 640), (640, 480), (1080, 1920), (20, 64))] == [True] * 4 + [
        False
    ]


def test_a_layout_that_does_not_fit(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", clips())
    for layout, problem in (("THWC", "names 4 axes"), ("NCHWT", "16 frames of 3|has 20 channels, not 1, 3 or 4")):
        with pytest.raises(DatasetError, match=problem):
            read(tmp_path / "a.npy", layout=layout)
    for layout in ("NTHH", "NTH", "ABC", "NTHWCX", ""):
        with pytest.raises(ConfigError, match=f'layout is .?"?{layout}.*such as NTHWC'):
            read(tmp_path / "a.npy", layout=layout)


def test_archives_of_arrays(tmp_path: Path) -> None:
    made = clips(4)
    np.savez_compressed(tmp_path / "a.npz", train=made[:3], labels=np.arange(3), one=ordered("TCHW", made[3:]))
    dataset = read(tmp_path / "a.npz")
    assert [np.array_equal(dataset.read(row), clip) for row, clip in zip(dataset.rows, made, strict=True)] == [True] * 4
    assert dataset.sources[0].notes == (
        "axes NTHWC (--layout decides)",
        "not taken: labels int64 (3,)",
        "axes TCHW (--layout decides)",
    )
    np.savez(tmp_path / "objects.npz", a=np.array([{}], dtype=object))
    (tmp_path / "damaged.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:-100])
    for name in ("objects.npz", "damaged.npz"):
        with pytest.raises(DatasetError, match="1 damaged"):
            read(tmp_path / name)


@pytest.mark.parametrize(
    ("kind", "scale", "offset", "note"),
    [
        ("float32", 1 / 255, 0.0, "floating-point numbers from 0 to 1"),
        ("float64", 2 / 255, -1.0, "numbers from -1 to 1"),
        ("float32", 1.0, 0.0, "pictures of 8 bits, as their brightest sample says (--bits decides)"),
        ("uint16", 257, 0, "pictures of 16 bits, as their brightest sample says (--bits decides)"),
        ("int64", 1, 0, "pictures of 8 bits, as their brightest sample says (--bits decides)"),
        ("bool", 1 / 255, 0, ""),
    ],
)
def test_numbers_of_other_types(tmp_path: Path, kind: str, scale: float, offset: float, note: str) -> None:
    made = clips(2)
    made = (made > 100).astype(np.uint8) * 255 if kind == "bool" else made
    made[0, 0, 0, 0] = (0, 255, 0)  # both ends
    np.save(tmp_path / "a.npy", (made.astype(np.float64) * scale + offset).astype(kind))
    dataset = read(tmp_path / "a.npy")
    assert all(np.array_equal(dataset.read(row), clip) for row, clip in zip(dataset.rows, made, strict=True))
    assert dataset.sources[0].notes[1:] == ((note,) if note else ())


def test_ten_bits_and_transparency(tmp_path: Path) -> None:
    deep = (clips(1)[0].astype(np.uint16) * 1023 + 127) // 255
    deep[0, 0, 0] = 1023
    np.save(tmp_path / "a.npy", deep)
    assert np.abs(read(tmp_path / "a.npy").read(read(tmp_path / "a.npy").rows[0]) - deep * (255 / 1023)).max() <= 0.51
    twelve = read(tmp_path / "a.npy", bits=12)
    assert np.abs(twelve.read(twelve.rows[0]) - deep * (255 / 4095)).max() <= 0.51
    clear = np.concatenate([clips(1)[0], np.full((FRAMES, SIDE, SIDE, 1), 51, np.uint8)], axis=-1)
    np.save(tmp_path / "b.npy", clear)
    white = read(tmp_path / "b.npy", background="white")
    assert np.abs(white.read(white.rows[0]) - (clear[..., :3] * 0.2 + 255 * 0.8)).max() <= 0.51


@pytest.mark.parametrize("values", [(-5.0, 5.0), (0.0, np.nan), (0.5, 0.5), (-3, 200)])
def test_numbers_that_are_no_levels(tmp_path: Path, values: tuple[float, float]) -> None:
    array = np.zeros((FRAMES, SIDE, SIDE), np.float32 if isinstance(values[0], float) else np.int16)
    array[:], array[0] = values[0], values[1]
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DatasetError, match="1 not clips"):
        read(tmp_path / "a.npy")


def test_a_long_clip_is_read_in_pieces_and_divided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = np.stack(moving(50, (SIDE, SIDE)))
    np.save(tmp_path / "a.npy", made)
    monkeypatch.setattr(arrays, "CHUNK_BYTES", 7 * made[0].nbytes)
    monkeypatch.setattr(intake, "CLIP_BYTES", 30 * made[0].nbytes)
    dataset = read(tmp_path / "a.npy", min_frames=4)
    assert [row.frames for row in dataset.rows] == [25, 25]
    assert np.array_equal(np.concatenate([dataset.read(row) for row in dataset.rows]), made)


def test_arrays_of_one_clip_are_held_out_like_videos(tmp_path: Path) -> None:
    for number, clip in enumerate(clips(12)):
        (tmp_path / "src").mkdir(exist_ok=True)
        np.save(tmp_path / "src" / f"{number}.npy", clip)
    dataset = ingest([tmp_path / "src"], tmp_path / "d", height=SIDE, width=SIDE, workers=0, heldout=0.3).dataset
    assert 0 < len(dataset.split("heldout")) < 12
