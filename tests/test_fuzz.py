"""A short run of benchmarks/fuzz.py, seeded: damaged files of every kind are refused in words or read."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "fuzz.py"
EXAMPLES = {"media": 2, "data": 6, "model": 4, "library": 1, "lock": 12, "signed": 3}
"""Files of each target that are damaged."""


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", EXAMPLES)
def test_damaged_files_are_refused_in_words(
    fuzz: ModuleType, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from footage.files import locked
    from footage.trust.provenance import FOLDER, SWITCH

    monkeypatch.setitem(locked.SCRYPT, "n", 2**4)
    for name in (locked.PASSPHRASE, FOLDER, SWITCH):
        monkeypatch.setenv(name, "")  # set by the script, and put back afterwards
    batch = fuzz.Batch(tmp_path / "work", [kind])
    batch.run(7, EXAMPLES[kind])
    assert not batch.faults, [(fault["target"], fault["problem"], fault["trace"]) for fault in batch.faults]
    assert all(batch.tried.values()) and batch.tried.total() >= EXAMPLES[kind]


def test_a_reader_that_fails_is_noticed(fuzz: ModuleType, tmp_path: Path) -> None:
    batch = fuzz.Batch(tmp_path, [])
    (tmp_path / "x.json").write_text("{}")

    def read(path: Path) -> None:
        raise KeyError("what no user is meant to read")

    batch.try_one(fuzz.Target("x", (tmp_path / "x.json",), read), tmp_path / "x.json", b"[]")
    assert [fault["where"].split(":")[0] for fault in batch.faults] == ["test_fuzz.py"]
    assert (tmp_path / "x.json").read_text() == "{}"


def test_what_long_runs_have_found_is_refused_in_words(fuzz: ModuleType, tmp_path: Path) -> None:
    from footage.files.locked import MAGIC

    batch = fuzz.Batch(tmp_path / "work", ["media", "data"])
    target = {one.name: one for one in batch.targets}
    tables = target["tables raw"].good[1]
    rows = [json.loads(line) | {"source": "."} for line in tables.read_text().splitlines()]
    for name, good, content in (
        ("labels", target["labels"].good[1], b'[{"file": "\\ud800", "label": "x"}]'),
        ("video", target["video"].good[2], MAGIC + target["video"].good[2].read_bytes()[len(MAGIC) :]),
        ("tables raw", tables, "".join(f"{json.dumps(row)}\n" for row in rows).encode()),
    ):
        batch.try_one(target[name], good, content)
    assert not batch.faults, [(fault["target"], fault["problem"], fault["trace"]) for fault in batch.faults]
