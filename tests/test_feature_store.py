from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

import footage
from footage import files
from footage.data.clips import BuiltInClips
from footage.errors import ConfigError
from footage.evaluation.clip_sets import ClipShape, RealClips, draw_windows, halve_clips, one_clip
from footage.evaluation.feature_cache import (
    PIXEL_FEATURES,
    FeatureCache,
    StepSeconds,
    extract_features,
    feature_readers,
)
from footage.evaluation.features.catalogue import extractors
from footage.evaluation.pixel_features import PixelColumns, glance, pixel_features
from footage.evaluation.protocols import PROTOCOLS, protocol
from footage.evaluation.results import Evaluation
from footage.metrics.clip_vectors import small_copies
from tests.folders import shapes, write_pictures

NETS = extractors()[:2]
SHAPES = BuiltInClips("shapes", height=16, width=16, channels=3)


def clips(count: int, seed: int = 0) -> RealClips:
    how = protocol("styleganv-fvd16", frames=4, clips=count)
    return RealClips(SHAPES, draw_windows(SHAPES.spans("train"), how, count, seed), ClipShape(4, 16, 16, 3))


def test_features_in_parts_are_those_of_each_clip(tmp_path: Path) -> None:
    some = clips(40)
    with FeatureCache(tmp_path / "c") as store:
        found = extract_features(some, feature_readers(NETS, some), store, StepSeconds())
        rows = found.rows["random-0"]
        assert rows.shape == (40, 192) and found.rows[PIXEL_FEATURES].shape == (40, PixelColumns(4).size)
        one = NETS[0].features(one_clip(some, 23)[None]).numpy()
        assert rows[23:24] == pytest.approx(one, rel=1e-4, abs=1e-5)
        assert np.array_equal(np.concatenate([rows[0:7], rows[7:40]]), rows[0:40])
        chosen = found.chosen(np.array([5, 1])).rows["random-0"]
        assert np.array_equal(chosen[0:2], np.stack([rows[5:6][0], rows[1:2][0]]))


def test_a_hit_is_bit_equal_and_reads_no_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = clips(20)
    wanted = feature_readers(NETS, some)
    with FeatureCache(tmp_path / "c") as store:
        first = {name: rows[0:20] for name, rows in extract_features(some, wanted, store, StepSeconds()).rows.items()}
    monkeypatch.setattr(RealClips, "batches", lambda *_: pytest.fail("a clip was read"))
    with FeatureCache(tmp_path / "c") as store:
        again = extract_features(clips(20), wanted, store, StepSeconds())
        assert all(np.array_equal(first[name], rows[0:20]) for name, rows in again.rows.items())
    with FeatureCache(tmp_path / "c") as store, pytest.raises(pytest.fail.Exception, match="a clip was read"):
        extract_features(clips(20, seed=1), wanted, store, StepSeconds())


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_a_damaged_part_alone_is_made_again(tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("footage.evaluation.feature_cache.ROWS", 64)  # parts of 16 clips
    some = clips(40)
    wanted = [reader for reader in feature_readers(NETS, some) if reader.name == "random-1"]
    with FeatureCache(tmp_path / "c") as store:
        first = extract_features(some, wanted, store, StepSeconds()).rows["random-1"][0:40]
    parts = sorted((tmp_path / "c").rglob("part-*.bin"))
    assert len(parts) == 3
    content = bytearray(parts[1].read_bytes())
    content[100] ^= 1
    if damage == "gone":
        parts[1].unlink()
    else:
        parts[1].write_bytes(content[:-5] if damage == "cut" else content)
    seen: list[range] = []
    plain = RealClips.batches

    def watched(self: RealClips, rows: range) -> object:
        seen.append(rows)
        return plain(self, rows)

    monkeypatch.setattr(RealClips, "batches", watched)
    with FeatureCache(tmp_path / "c") as store:
        again = extract_features(some, wanted, store, StepSeconds())
        assert np.array_equal(again.rows["random-1"][0:40], first) and seen == [range(16, 32)]


def test_a_cache_that_is_full_loses_what_was_not_used(tmp_path: Path) -> None:
    some, other = clips(16), clips(16, seed=3)
    for one in (some, other):
        with FeatureCache(tmp_path) as store:
            extract_features(one, feature_readers(NETS[:1], one), store, StepSeconds())
    with FeatureCache(tmp_path) as store:
        extract_features(some, feature_readers(NETS[:1], some), store, StepSeconds())
        store.trim(most=0)
        assert {path.name for path in tmp_path.iterdir()} == store.used and len(store.used) == 4


def test_what_another_evaluation_uses_stays(tmp_path: Path) -> None:
    values = np.ones((2, 3), dtype=np.float32)
    with FeatureCache(tmp_path) as other, FeatureCache(tmp_path) as store:
        rows = store.entry("k", 2, 1, 2, 3)
        with files.replacing(rows.path(0)) as temporary:  # which the other looks into meanwhile
            temporary.touch()
            other.entry("k", 2, 1, 2, 3)
        rows.write(0, values)
        with FeatureCache(tmp_path) as third:
            third.trim(most=0)
        assert np.array_equal(rows[0:2], values)
    with FeatureCache(tmp_path) as third:
        third.trim(most=0)
    assert not list(tmp_path.iterdir())


def test_an_entry_that_another_program_holds_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("footage.evaluation.feature_cache.PATIENCE", 0.01)
    with FeatureCache(tmp_path) as store:
        (tmp_path / "k").mkdir()
        with files.open_folder(tmp_path / "k") as handle:
            assert handle is not None and files.lock(handle)
            user = threading.Thread(target=store.entry, args=("k", 2, 1, 2, 3), daemon=True)
            user.start()
            user.join(100)
            assert not user.is_alive() and store.used == {"k"}


def test_without_a_cache_nothing_stays() -> None:
    with FeatureCache(None) as store:
        folder = store.folder
        assert folder.is_dir()
    assert not folder.exists()


def test_features_that_are_not_finite_name_the_clip(tmp_path: Path) -> None:
    some = clips(20)
    (reader, *_) = feature_readers(NETS, some)

    def broken(frames: np.ndarray) -> np.ndarray:
        found = reader.read(frames).copy()
        found[frames[:, 0, :, :, 0].sum(axis=(1, 2)) == frames[:, 0, :, :, 0].sum(axis=(1, 2)).max()] = np.nan
        return found

    spoiled = type(reader)(**{**vars(reader), "read": broken})
    with (
        FeatureCache(tmp_path) as store,
        pytest.raises(ConfigError, match=r"random-0 gives what is not finite for shapes \d+"),
    ):
        extract_features(some, [spoiled], store, StepSeconds())


def test_small_copies_are_averages() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 9, 32, 64, 3), dtype=np.uint8)
    found = small_copies(frames).reshape(2, 4, 8, 16, 3)
    wanted = frames[:, [0, 3, 5, 8]].reshape(2, 4, 8, 4, 16, 4, 3).mean(axis=(3, 5))
    assert np.abs(found - wanted).max() <= 0.5 + 1e-6
    assert pixel_features(frames).shape == (2, PixelColumns(9).size)
    assert np.isfinite(pixel_features(np.zeros((1, 2, 8, 8, 1), np.uint8))).all(), "stills of one colour, two frames"


def test_windows_follow_the_protocol() -> None:
    spans = SHAPES.spans("train")[:30]
    one = draw_windows(spans, protocol("styleganv-fvd128-subsample8", frames=4), 100, 0)
    assert len(one) == 30 == len({window.span.index for window in one})
    assert all(0 <= window.start <= 64 - 25 for window in one) and len({window.start for window in one}) > 5
    assert (
        one
        == draw_windows(spans, protocol("styleganv-fvd128-subsample8", frames=4), 100, 0)
        != draw_windows(spans, protocol("styleganv-fvd128-subsample8", frames=4), 100, 1)
    )
    many = draw_windows(spans[:3], protocol("footage", frames=16), 50, 0)
    assert len(many) == 50 and len(set(many[:9])) == 9, "three stretches of each come before any comes again"
    a, b = halve_clips(spans, 0)
    assert not set(a) & set(b) and set(a) | set(b) == set(spans)


def test_protocols_are_what_their_papers_say() -> None:
    fvd = PROTOCOLS["styleganv-fvd16"]
    assert (fvd.clips, fvd.frames, fvd.stride, fvd.start, fvd.windows, fvd.flip) == (
        2048,
        16,
        1,
        "random",
        "one",
        False,
    )
    assert fvd.repeats == 10 and PROTOCOLS["styleganv-fvd128-subsample8"].span == 121
    assert protocol("styleganv-fvd16", clips=100).name == "styleganv-fvd16, changed"
    assert protocol("styleganv-fvd16", repeats=1).name == "styleganv-fvd16"
    for wrong in ({"clips": 1}, {"frames": 1}, {"fps": 0.0}, {"height": 4}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            protocol("footage", **wrong)


def quick(a: Path | str, b: Path | str, **more: object) -> Evaluation:
    return footage.evaluate(a, b, **{"resamples": 2, "quiet": True, "cache": Path("none"), "frames": 8, **more})  # type: ignore[arg-type]


def test_repeats_are_means_with_their_spread(tmp_path: Path) -> None:
    a, b = (write_pictures(tmp_path / name, shapes(12, first)) for name, first in (("a", 0), ("b", 50)))
    found = quick(a, b, metrics="kvd,diversity", clips=8, repeats=3).figure("kernel")
    assert len(found.repeats) == 3 and found.value == pytest.approx(sum(found.repeats) / 3)
    assert found.seeds == (0, 1, 2) and found.interval and "3 repeats" in found.interval.how
    assert len(set(found.repeats)) == 3 and found.floor


def test_a_glance_tells_colours_and_stills() -> None:
    plain = np.broadcast_to(np.array([10, 200, 30], np.uint8), (1, 4, 8, 8, 3))
    still = np.broadcast_to(np.random.default_rng(0).integers(0, 256, (1, 1, 8, 8, 3), dtype=np.uint8), (1, 4, 8, 8, 3))
    moves = np.random.default_rng(1).integers(0, 256, (1, 4, 8, 8, 3), dtype=np.uint8)
    found = glance(np.concatenate([plain, still, moves]))
    assert found[0].tolist() == [0, 0] and found[1, 0] > 100 and found[1, 1] == 0 and found[2].min() > 100
