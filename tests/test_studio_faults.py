"""The studio's server under SIGKILL; the long form is `benchmarks/studio_faults.py`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from footage.studio.state import WorkerProcess
from tests.libraries import filled

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "studio_faults.py"


@pytest.mark.parametrize(
    "kills",
    [
        ("--kills", "2", "--sending", "0"),
        pytest.param(("--kills", "0", "--sending", "1", "--ingesting", "1"), marks=pytest.mark.nightly),
    ],
)
def test_a_killed_server_loses_nothing_that_it_answered_for(kills: tuple[str, ...]) -> None:
    words = [sys.executable, str(BENCHMARK), "--operations", "12", "--training", "0", *kills]
    done = subprocess.run(words, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0 and "nothing that was answered for was lost" in done.stdout, done.stdout + done.stderr


@pytest.mark.skipif(not hasattr(os, "getsid"), reason="there are no sessions")
def test_a_ctrl_c_in_the_terminal_is_the_servers_alone(tmp_path: Path) -> None:
    """A worker that got it too would end with a traceback in the terminal."""
    with filled(tmp_path, 1) as library:
        worker = WorkerProcess(library, tmp_path)
        for kind in ("generate", "import"):
            worker.wake(library.jobs.submit(kind, {}))
        sessions = {os.getsid(process.pid) for process in worker._processes.values()}
        assert len(sessions) == 2 and os.getsid(0) not in sessions
        worker.close()
