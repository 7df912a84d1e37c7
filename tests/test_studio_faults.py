"""The studio's server under SIGKILL, and how it ends; the long form is `benchmarks/studio_faults.py`."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from footage.studio.app import Address, Server
from footage.studio.routes.previews import PreviewForm, PreviewProcess
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
    done = subprocess.run(words, capture_output=True, text=True, timeout=280)
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


def test_it_ends_quietly_while_previews_are_awaited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mute.py").write_text("import sys\nsys.stdin.read()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    heard = threading.Semaphore(0)

    async def make(self: PreviewProcess, form: PreviewForm) -> object:
        self._module = "mute"
        heard.release()
        return await self.ask({})

    monkeypatch.setattr(PreviewProcess, "make", make)
    server, answers = Server(tmp_path / "library", tmp_path, Address(port=0)), list[int]()
    server.start()

    def ask() -> None:
        asked = {"model": "any", "variants": [{"seed": 1}]}
        address, headers = f"{server.address}api/previews", {"x-csrf-token": server.studio.keys.csrf}
        answers.append(httpx.post(address, json=asked, headers=headers, timeout=100).status_code)

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    assert all(heard.acquire(timeout=100) for _ in asking), answers  # the second waits for its turn
    server.stop()
    for thread in asking:
        thread.join(100)
    assert answers == [400, 400] and capfd.readouterr().err == ""


def test_a_worker_that_is_done_ends_while_its_server_lives() -> None:
    """A reader of `sys.stdin` would hold a lock that the interpreter needs to end."""
    script = "import time; from footage.studio.worker import end_with_parent; end_with_parent(None); time.sleep(0.3)"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        said = process.stderr.read()
    assert (process.returncode, said) == (0, b"")
