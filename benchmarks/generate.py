"""Memory of generating many clips: the peak of 10,000 frames over that of 100, each in a process of its own.

Usage: python benchmarks/generate.py
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

import footage
from footage.config.registry import METHODS
from footage.models.card import ModelInfo
from footage.models.checkpoint import save_model

FRAMES_A_CLIP = 16


def make_model(folder: Path) -> None:
    """Write a model with random weights: memory and time do not depend on their values."""
    config = footage.preset("conv3d-64")
    torch.manual_seed(0)
    nets = METHODS[config.method].sampling_nets(config, 0)
    save_model(folder, ModelInfo("random", config, (), (), 25.0, "none", "0" * 64, 0), nets)


def generate(model: Path, to: Path, clips: int, frames: int, kind: str) -> tuple[float, float]:
    """Generate in a process of its own; return its peak memory in MiB and its seconds."""
    code = (
        "import re, sys, time, footage\n"
        "from pathlib import Path\n"
        "begin = time.perf_counter()\n"
        "footage.generate(Path(sys.argv[1]), Path(sys.argv[2]), count=int(sys.argv[3]), frames=int(sys.argv[4]),"
        " format=sys.argv[5], device='cpu', quiet=True)\n"
        "seconds = time.perf_counter() - begin\n"
        "status = Path('/proc/self/status').read_text()\n"
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', status).group(1)) / 1024, seconds)"
    )
    words = [sys.executable, "-c", code, str(model), str(to), str(clips), str(frames), kind]
    peak, seconds = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    return float(peak), float(seconds)


def main() -> None:
    """Measure A B A B and print one table."""
    table = Table(
        "what", "100 frames, MiB", "10,000 frames, MiB", "ratio, median (min to max)", "frames/s", title="generate"
    )
    found = dict[str, list[float]]()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        make_model(model)
        for name, few, many in (
            ("many clips of 16 frames, mp4", (7, 16, "mp4"), (625, 16, "mp4")),
            ("one long clip, mp4", (1, 100, "mp4"), (1, 10_000, "mp4")),
            ("one long clip, gif", (1, 100, "gif"), (1, 10_000, "gif")),
        ):
            pairs, rates = [], []
            for turn in range(2):
                small, _ = generate(model, Path(folder) / f"few{turn}{name}", *few)
                large, seconds = generate(model, Path(folder) / f"many{turn}{name}", *many)
                pairs.append((small, large))
                rates.append(many[0] * many[1] / seconds)
            found[name] = ratios = [large / small for small, large in pairs]
            table.add_row(
                name,
                f"{statistics.median(s for s, _ in pairs):.0f}",
                f"{statistics.median(b for _, b in pairs):.0f}",
                f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})",
                f"{statistics.median(rates):.0f}",
            )
    Console(width=140).print(table)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
