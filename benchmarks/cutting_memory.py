"""Memory of the cutting room's commands, ten minutes against ten seconds: python benchmarks/cutting_memory.py.

Videos are drawn: 96x54, 5 frames a second, a new scene every four seconds. Each command runs in a process of its own;
printed is the most memory that it held, the median of three runs.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from footage.media.encode import write_clip
from footage.media.probe import count_frames

RATE, SIZE, SCENE = 5, (54, 96), 20
COMMANDS = {
    "shots": ["shots", "{0}", "--json"],
    "shots, by differences": ["shots", "{0}", "--method", "quick", "--json"],
    "summary": ["summary", "{0}", "--seconds", "8", "--method", "quick", "--to", "{1}"],
    "highlights": ["highlights", "{0}", "--seconds", "8", "--method", "quick", "--to", "{1}"],
    "effects": ["effects", "{0}", "--chain", "{3}", "--to", "{1}"],
    "join": ["join", "{0}", "{0}", "--to", "{1}"],
    "film": ["film", "{2}", "--to", "{1}"],
    "interpolate --slow 2x": ["interpolate", "{0}", "--slow", "2x", "--to", "{1}"],
}
CHAIN = {"version": 1, "effects": [{"kind": kind} for kind in ("stabilise", "reverse", "speed", "reframe")]}


def draw(path: Path, seconds: int) -> None:
    """Write a video: a bright square over a wall."""
    rng = np.random.default_rng(0)

    def chunks() -> object:
        for _ in range(seconds * RATE // SCENE + 1):
            wall = rng.integers(30, 200, (6, 8, 3)).repeat(9, 0).repeat(12, 1).astype(np.uint8)
            frames = np.repeat(wall[None], SCENE, axis=0)
            for number, frame in enumerate(frames):
                frame[20:34, 4 * number : 4 * number + 14] = 250
            yield frames

    write_clip(path, chunks(), fps=RATE, metadata={})  # type: ignore[arg-type]


def timeline_of(path: Path) -> object:
    """Return a timeline with both halves of a video, a title, a transition and music."""
    middle, fade = count_frames(path).frames // 2, {"kind": "fade", "seconds": 1}
    first = {"file": str(path), "last": middle - 1, "title": "first half"}
    music = {"tune": "lullaby"}
    parts = [{"title": "a film"}, first, {"file": str(path), "first": middle, "transition": fade}]
    return {"footage": "timeline", "version": 1, "parts": parts, "music": music}


def main() -> None:
    """Print a line for each command."""
    chosen = sys.argv[1:] or list(COMMANDS)
    ratios = dict[str, float]()
    with tempfile.TemporaryDirectory() as folder:
        videos = {seconds: Path(folder) / f"{seconds}.mp4" for seconds in (10, 600)}
        for seconds, path in videos.items():
            draw(path, seconds)
        for name in chosen:
            held = {}
            for seconds, path in videos.items():
                timeline = Path(folder) / "film.json"
                timeline.write_text(json.dumps(timeline_of(path)))
                chain = Path(folder) / "chain.json"
                chain.write_text(json.dumps(CHAIN))
                words = [word.format(path, Path(folder) / "out.mp4", timeline, chain) for word in COMMANDS[name]]
                runs = []
                for _ in range(3):
                    process = subprocess.Popen([sys.executable, "-m", "footage", *words], stdout=subprocess.DEVNULL)
                    _, status, usage = os.wait4(process.pid, 0)
                    assert status == 0, name
                    runs.append(usage.ru_maxrss / 1024)
                held[seconds] = statistics.median(runs)
            ratios[name] = held[600] / held[10]
            print(
                f"{name}: {held[10]:.0f} MiB of 10 s, {held[600]:.0f} of 10 min: {held[600] / held[10]:.3f}", flush=True
            )
    print(json.dumps(ratios))


if __name__ == "__main__":
    main()
