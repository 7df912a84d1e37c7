"""Ours beside what others have published, at equal time: the same data, several seeds, one table, one picture.

python benchmarks/peers.py DATA... --out DIR [--minutes 10] [--seeds 3] [--at-once 1] [--presets a,b] [--stop-after S]

Of the peers those stand here whose recipe is a preset: `mocogan-64` (MoCoGAN, Tulyakov et al. 2018), `conv3d-64` (one
3D-convolutional generator from one code, as VGAN, Vondrick et al. 2016), `stream-64-shots` (motion as a function of
continuous time and critics that are shown a few frames at times of their own, the ideas of DIGAN, Yu et al. 2022, and
StyleGAN-V, Skorokhodov et al. 2022) and `diffusion-64` (EDM, Karras et al. 2022). Each training is `footage compare` in
a process of its own with one thread; --at-once of them share the machine, so that all have the same part of it.
Minutes count in the training loop. Called again, it goes on where it was stopped; --stop-after ends it, and what is
done by then stands in the table. A column is the mean over seeds, with the least and the greatest behind it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from footage import files

PRESETS = ("mocogan-64", "conv3d-64", "recurrent-64", "stream-64-shots", "diffusion-64")
FIGURES: dict[str, Callable[[dict[str, Any]], float]] = {
    "RFD-rand : floor ↓": lambda row: statistics.mean(
        made / real for made, real in zip(row["figures"]["rfd"], row["floor"]["rfd"], strict=True)
    ),
    "motion ratio → 1": lambda row: row["figures"]["motion_ratio"],
    "motion distance ↓": lambda row: row["figures"]["motion_distance"],
    "spectrum distance ↓": lambda row: row["figures"]["spectrum_distance"],
    "diversity ratio → 1": lambda row: row["figures"]["diversity_ratio"],
    "sharpness ratio → 1": lambda row: row["figures"]["sharpness_ratio"],
    "clips seen": lambda row: row["clips_seen"],
}
"""The columns of the table, from a row of comparison.json."""
GRACE = 20.0
"""Seconds that a process has to end itself."""


@dataclass(frozen=True)
class Training:
    """One preset on one data set with one seed."""

    data: str
    preset: str
    seed: int
    folder: Path
    minutes: float
    samples: int

    @property
    def name(self) -> str:
        """What its data are called."""
        return Path(self.data).name

    def row(self) -> dict[str, Any] | None:
        """Return what was measured; None while there is nothing."""
        try:
            content = json.loads((self.folder / "comparison.json").read_text(encoding="utf-8"))
        except OSError:
            return None
        row: dict[str, Any] = content["models"][0]
        asked = content.get("samples") == self.samples and content.get("limit") == f"{self.minutes:g} minutes"
        return row if asked and row["figures"] else None


def run_all(trainings: Sequence[Training], at_once: int, stop_after: float) -> None:
    """Run trainings side by side until all are measured, or the time is over."""
    end = time.monotonic() + stop_after
    running: dict[Training, subprocess.Popen[bytes]] = {}
    waiting = [training for training in trainings if training.row() is None]
    while (waiting or running) and time.monotonic() < end:
        while waiting and len(running) < at_once:
            training = waiting.pop(0)
            training.folder.mkdir(parents=True, exist_ok=True)
            command = [sys.executable, "-m", "footage", "compare", training.data, "--presets", training.preset]
            command += [
                "--minutes",
                str(training.minutes),
                "--seed",
                str(training.seed),
                "--samples",
                str(training.samples),
            ]
            with (training.folder / "log.txt").open("ab") as log:
                running[training] = subprocess.Popen(
                    [*command, "--out", str(training.folder)],
                    stdout=log,
                    stderr=log,
                    env={**os.environ, "OMP_NUM_THREADS": "1"},
                )
        time.sleep(0.5)
        for training, process in list(running.items()):
            if process.poll() is not None:
                del running[training]
                print(
                    f"{training.folder}: {'measured' if training.row() else f'failed, {process.returncode}'}",
                    flush=True,
                )
    for process in running.values():
        process.send_signal(signal.SIGINT)
    for process in running.values():
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()


def table(trainings: Sequence[Training], minutes: float, samples: int) -> Iterator[str]:
    """Yield the lines of the table: a row for each data set and preset."""
    yield f"Each trained for {minutes:g} minutes; {samples} clips of each were measured."
    yield ""
    yield "| data | preset | seeds | " + " | ".join(FIGURES) + " |"
    yield "|" + "---|" * (3 + len(FIGURES))
    for name, preset in dict.fromkeys((training.name, training.preset) for training in trainings):
        rows = [row for one in trainings if (one.name, one.preset) == (name, preset) and (row := one.row())]
        cells = []
        for figure in FIGURES.values() if rows else ():
            values = [figure(row) for row in rows]
            digits = ",.0f" if min(values) >= 100 else ".3g"
            cells.append(f"{statistics.mean(values):{digits}} ({min(values):{digits}} to {max(values):{digits}})")
        yield f"| {name} | `{preset}` | {len(rows)} | " + " | ".join(cells or ["–"] * len(FIGURES)) + " |"


def picture(trainings: Sequence[Training], path: Path) -> None:
    """Put the pictures of the first seed side by side: a column for each data set, presets below each other."""
    shown = [one for one in trainings if one.seed == 0 and (one.folder / "comparison.png").exists()]
    columns = []
    for name in dict.fromkeys(one.name for one in shown):
        pictures = [Image.open(one.folder / "comparison.png").convert("RGB") for one in shown if one.name == name]
        # The upper half of each shows the same real clips.
        pictures[1:] = [whole.crop((0, whole.height // 2, *whole.size)) for whole in pictures[1:]]
        column = Image.new("RGB", (max(p.width for p in pictures), 24 + sum(p.height for p in pictures)), "white")
        ImageDraw.Draw(column).text((8, 6), name, fill="black")
        top = 24
        for part in pictures:
            column.paste(part, (0, top))
            top += part.height
        columns.append(column)
    if columns:
        whole = Image.new("RGB", (sum(c.width for c in columns), max(c.height for c in columns)), "white")
        left = 0
        for column in columns:
            whole.paste(column, (left, 0))
            left += column.width
        with files.replacing(path) as unfinished:
            whole.save(unfinished, "PNG")


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--presets", default=",".join(PRESETS))
    parser.add_argument("--stop-after", type=float, default=float("inf"), help="seconds")
    options = parser.parse_args()
    names = [Path(data).name for data in options.data]
    if len(set(names)) < len(names):
        parser.error(f"several of {', '.join(options.data)} have one name: give each its own")
    trainings = [
        Training(
            data,
            preset,
            seed,
            options.out / Path(data).name / preset / f"seed-{seed}",
            options.minutes,
            options.samples,
        )
        for seed in range(options.seeds)
        for data in options.data
        for preset in options.presets.split(",")
    ]
    run_all(trainings, options.at_once, options.stop_after)
    lines = list(table(trainings, options.minutes, options.samples))
    files.write_text(options.out / "peers.md", "\n".join(lines) + "\n")
    picture(trainings, options.out / "peers.png")
    print("\n".join(lines))
    raise SystemExit(any(training.row() is None for training in trainings))


if __name__ == "__main__":
    main()
