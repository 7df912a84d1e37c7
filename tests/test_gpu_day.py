"""The rehearsal of benchmarks/gpu_day.py: what would be done on a GPU is done on the CPU, without PyAV and tyro."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

from footage.models.checkpoint import load_model

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "gpu_day.py"


def test_a_rehearsal_leaves_tables_a_sheet_and_weights(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['av'] = sys.modules['tyro'] = None\n")
    paths = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, SCRIPT, "--rehearse", "--minutes", "30", "--out", out],  # for a busy machine
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((out / "gpu_day.json").read_text(encoding="utf-8"))
    by_table = {table: [row for row in rows if row["table"] == table] for table in {row["table"] for row in rows}}
    assert [row["step"] for row in by_table["steps"]] == ["look", "ingest", "tests", "training", "generation", "train"]
    assert {row["module"] for row in by_table["missing"]} == {"av", "tyro"}
    assert all(row["clips_per_second"] > 0 and row["share"] > 0 for row in by_table["training"])
    assert all(row["frames_per_second"] > 0 for row in by_table["generation"])
    tables = (out / "gpu_day.md").read_text(encoding="utf-8")
    assert all(f"## {table}\n" in tables for table in by_table)
    assert (out / "sheet.png").stat().st_size and (out / "curves.png").stat().st_size and len(list(out.iterdir())) <= 8
    with tarfile.open(out / "model.tar.0") as archive:
        archive.extractall(tmp_path, filter="data")
    assert load_model(tmp_path / "model")[1].clips_seen == 16
