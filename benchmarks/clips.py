"""Memory of the commands that are given a clip: five minutes against ten seconds, in turn, a fresh process each.

Networks have the presets' sizes and random weights: memory does not depend on what they have learned.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

import footage
from footage.config.presets import preset
from footage.config.registry import METHODS
from footage.data.store import Frames
from footage.media.encode import write_clip
from footage.models.card import ModelInfo
from footage.models.checkpoint import save_model
from footage.training.cost import peak_gib

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--seconds", type=int, default=300, help="length of the long clip")
parser.add_argument("--rounds", type=int, default=2, help="how often each is measured")
parser.add_argument("--one", nargs=3, metavar=("VERB", "MODEL", "CLIP"), help="measure one, in this process")

CASES = {
    "predict": ("predict", "simvp-64"),
    "predict, SVG-LP": ("predict", "svg-64"),
    "translate": ("translate", "translate-64"),
    "reconstruct": ("reconstruct", "vae-64"),
    "embed": ("embed", "vae-64"),
}
"""What is measured: command and preset."""


def noise(seconds: int) -> Iterator[Frames]:
    """Yield seconds of slowly changing blotches, 25 frames of 320×180 each."""
    rng = np.random.default_rng(0)
    for _ in range(seconds):
        coarse = rng.integers(0, 256, (5, 18, 32, 3), dtype=np.uint8)
        yield coarse.repeat(5, axis=0).repeat(10, axis=1).repeat(10, axis=2)


def save_untrained(name: str, folder: Path) -> None:
    """Write the model folder of a preset with random weights."""
    config = preset(name)
    info = ModelInfo(
        name=name, config=config, labels=(), label_shares=(), fps=25.0, dataset="none", dataset_hash="0", clips_seen=0
    )
    save_model(folder, info, METHODS[config.method].sampling_nets(config, 0))


def measure_here(verb: str, model: Path, clip: Path) -> None:
    """Run one command in this process and print its largest memory, in MiB."""
    torch.set_num_threads(1)
    if verb == "embed":
        footage.embed(model, (clip,), clip.with_suffix(".npz"), quiet=True)
    else:
        getattr(footage, verb)(model, clip, to=clip.with_name("made.mp4"), quiet=True)
    print(peak_gib("cpu") * 1024)  # a process inherits the maximum that getrusage tells from its parent


def main() -> None:
    """Measure all and print a table."""
    options = parser.parse_args()
    if options.one:
        measure_here(options.one[0], Path(options.one[1]), Path(options.one[2]))
        return
    ratios = dict[str, float]()
    with tempfile.TemporaryDirectory() as place:
        clips = {seconds: Path(place) / f"{seconds}.mp4" for seconds in (10, options.seconds)}
        for seconds, path in clips.items():
            write_clip(path, noise(seconds), fps=25.0, metadata={})
        print(f"| command | 10 s, MiB | {options.seconds} s, MiB | ratio |\n|---|---|---|---|")
        for name, (verb, preset_name) in CASES.items():
            folder = Path(place) / preset_name
            save_untrained(preset_name, folder)
            found: dict[int, list[float]] = {seconds: [] for seconds in clips}
            for _ in range(options.rounds):
                for seconds, path in clips.items():
                    command = [sys.executable, __file__, "--one", verb, str(folder), str(path)]
                    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                    found[seconds].append(float(done.stdout.split()[-1]))
            short, long = (statistics.median(values) for values in found.values())
            ratios[name] = long / short
            print(f"| {name} | {short:.0f} | {long:.0f} | {long / short:.3f} |", flush=True)
    print("\n" + json.dumps(ratios))


if __name__ == "__main__":
    main()
