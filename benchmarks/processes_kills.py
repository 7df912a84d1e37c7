"""Kills at random moments of a training on two processes: is there ever a damaged state, or a sheet that was lost?

python benchmarks/processes_kills.py [--kills 50] [--seed 0]

Each time one of the ranks, or the command that has started them, is killed (SIGKILL) at a random moment of its start,
its steps and its saves; then all processes have to end within ten seconds, the last state has to be readable and no
older than before, and every sheet that was there has to be there as it was. At the end the run is finished.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from PIL import Image
from rich.console import Console

from footage.models.checkpoint import load_model, read_state

KNOBS = "--preset stream-32 --net.width 4 --critics.0.width 4 --critics.1.width 4 --train.batch-size 4 --clip.frames 4"
SAVES = "--train.save-minutes 0.002 --train.sample-clips 40 --train.threads 1 --devices 2"


def start(run: Path, clips: int) -> subprocess.Popen[bytes]:
    """Begin the run, or go on with it."""
    line = [sys.executable, "-m", "footage", "train", "shapes", *KNOBS.split(), *SAVES.split()]
    return subprocess.Popen([*line, "--out", str(run), "--clips", str(clips)], stdout=-3, stderr=-3)


def seen(run: Path) -> int:
    """Return the clips that the last state has seen; it has to be readable."""
    state = run / "state" / "last.pt"
    return int(read_state(state)["progress"]["clips_seen"]) if state.exists() else 0


def sheets(run: Path) -> dict[str, str]:
    """Return the digests of the sheets, which have to be whole."""
    found = {}
    for path in sorted((run / "samples").glob("*.png")):
        with Image.open(path) as picture:
            picture.load()
        found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def family(parent: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Return the processes of a training, the command first."""
    try:
        command = psutil.Process(parent.pid)
        return [command, *command.children(recursive=True)]
    except psutil.Error:
        return []


def main() -> None:
    """Kill, look, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    console = Console()
    rng, slow, longest = random.Random(options.seed), 0, 0.0
    with tempfile.TemporaryDirectory() as name:
        run = Path(name) / "run"
        for number in range(options.kills):
            before, there = seen(run), sheets(run)
            parent = start(run, 10**7)
            late = rng.random() < 0.7
            if late:  # mostly while it trains and saves, now and then while it starts
                state, began = run / "state" / "last.pt", time.monotonic()
                stamp = state.stat().st_mtime_ns if state.exists() else 0
                while (state.stat().st_mtime_ns if state.exists() else 0) == stamp and time.monotonic() < began + 120:
                    time.sleep(0.01)
            time.sleep(rng.random() * (4 if late else 12))
            members = family(parent)
            victim = rng.choice(members)
            victim.send_signal(signal.SIGKILL)
            began = time.monotonic()
            _, alive = psutil.wait_procs(members, timeout=30)
            took = time.monotonic() - began
            longest, slow = max(longest, took), slow + (took > 10)
            for process in alive:
                process.kill()
            assert seen(run) >= before, f"{seen(run)} clips after {before}"
            now = sheets(run)
            missing = [
                sheet for sheet, digest in there.items() if int(sheet[:-4]) <= before and now.get(sheet) != digest
            ]
            assert not missing, f"sheets are lost: {missing}"
            who = "the command" if victim.pid == parent.pid else "one that it had started"
            console.print(f"{number + 1}: {who}, after {seen(run):,} clips; all had ended after {took:.1f} s")
        last = seen(run)
        assert start(run, last + 8).wait(300) == 0
        assert load_model(run / "model")[1].clips_seen == last + 8
    console.print(
        f"{options.kills} kills: no damaged state, no lost sheet; all had ended after {longest:.1f} s at most "
        f"({slow} times more than 10 s); {last:,} clips seen on the way"
    )


if __name__ == "__main__":
    main()
