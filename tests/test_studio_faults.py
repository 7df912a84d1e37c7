"""The studio's server under SIGKILL; the long form is `benchmarks/studio_faults.py`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "studio_faults.py"


def test_a_killed_server_loses_nothing_that_it_answered_for() -> None:
    words = [sys.executable, str(BENCHMARK), "--kills", "2", "--operations", "12"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0 and "nothing that was answered for was lost" in done.stdout, done.stdout + done.stderr
