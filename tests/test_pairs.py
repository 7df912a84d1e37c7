from __future__ import annotations

from pathlib import Path

import pytest

from footage.data.clips import Span
from footage.data.pairs import PairedClips, open_source
from footage.data.store import Split
from footage.errors import DatasetError
from tests.clips import moving, write
from tests.ingesting import ingest
from tests.test_translate import CLIP, Named


def test_names_that_occur_twice_are_refused_on_either_side(tmp_path: Path) -> None:
    for name in ("A/walk/x.mp4", "B/walk/x.mp4", "C/x.mp4", "C/x.mkv", "D/x.mp4", "D/walk/x.mp4"):
        write(tmp_path / name, moving(20, (16, 16), seed=len(name) + ord(name[0])))
    sets = {"two-folders": "AB", "two-suffixes": "C", "plain": "D"}
    for name, folders in sets.items():
        sources, size = [tmp_path / folder for folder in folders], {"height": 16, "width": 16}
        ingest(sources, tmp_path / name, min_frames=8, heldout=0.5, keep_duplicates=True, workers=0, **size)
    for name, words in (
        ("two-folders", r"A/walk/x\.mp4 and B/walk/x\.mp4"),
        ("two-suffixes", r"C/x\.m.. and C/x\.m.."),
    ):
        for pair in ((name, "plain"), ("plain", name)):
            with pytest.raises(DatasetError, match=rf'{name} are named "(walk/)?x@0\.00".*{words}.*a path of its own'):
                open_source(tmp_path / pair[0], CLIP, tmp_path / pair[1])


def test_names_that_occur_twice_need_no_files() -> None:
    class Twice(Named):
        def spans(self, split: Split) -> list[Span]:
            return [Span(number, 20, -1, "a@0.00") for number in ((0,) if split == "train" else (1,))]

    with pytest.raises(DatasetError, match=r'two clips of maps are named "a@0.00" \(path @ seconds\): give'):
        PairedClips(Named("photos", {"a@0.00": 20}), Twice("maps", {"a@0.00": 20}))
