"""Moving MNIST, 10 frames from 10: the table of docs/models.md, a sheet and the curves of the training.

python benchmarks/moving_mnist.py IMAGES RUN ... [--count 1000] [--samples 10] [--sheet FILE] [--curves FILE]

IMAGES is MNIST's IDX file: two digits of its last fifth, 1,000 fixed sequences. MSE and MAE are summed over a frame and
averaged over frames and clips, SSIM and PSNR are of pixels in [0, 1] (torchmetrics' definitions).
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from footage.data.clips import ClipSource, open_clips
from footage.evaluation.fidelity import FrameMeans, best, follow, frame_figures
from footage.generation.model import Model
from footage.generation.rollout import from_uint8, to_uint8
from footage.media.sheets import contact_sheet, save_picture
from footage.models.base import Predicts
from footage.models.checkpoint import read_state
from footage.pages.plots import Plot, PlotSeries, write_png
from footage.training.run_folder import read_rows

BATCH = 50
"""Sequences at once."""
SHOWN = 8
"""Sequences on the sheet."""


def sequences(source: ClipSource, first: int) -> Tensor:
    """Return test sequences (B, 1, 20, 64, 64)."""
    spans = source.spans("heldout")[first : first + BATCH]
    return from_uint8(np.stack([source.read(span.index, 0, 20) for span in spans]))


def row(name: str, about: Sequence[str], means: FrameMeans) -> str:
    """Return a line of the table."""
    found = means.means()
    figures = (f"{found['mse']:.1f}", f"{found['mae']:.1f}", f"{found['ssim']:.3f}", f"{found['psnr']:.2f}")
    return "| " + " | ".join((name, *about, *figures)) + " |"


def about(run: Path, model: Model) -> list[str]:
    """Return weights, clips seen, minutes of training, and seconds of a step."""
    progress = read_state(run / "state" / "last.pt")["progress"]
    rates = [line["clips_per_second"] for line in read_rows(run / "metrics.jsonl")[0] if line.get("clips_per_second")]
    batch = model.info.config.train.batch_size or 0
    weights = sum(p.numel() for p in model.sampler.predictor.parameters())  # type: ignore[attr-defined]
    step = f"{batch / statistics.median(rates):.2f}, {batch}"
    return [f"{weights / 1e6:.2f} M", f"{progress['clips_seen']:,}", f"{progress['seconds'] / 60:.0f}", step]


def measure(run: Path, source: ClipSource, count: int, samples: int) -> tuple[list[str], Tensor]:
    """Return the lines of a run, and what it predicts for the first sequences."""
    model = Model(run)
    sampler = model.sampler
    assert isinstance(sampler, Predicts), f"{run} predicts nothing"
    tries = 1 if sampler.certain else samples
    means, top = FrameMeans(), FrameMeans()
    shown: Tensor | None = None
    for first in range(0, count, BATCH):
        clips = sequences(source, first)
        past, future = clips[:, :, :10], clips[:, :, 10:]
        made = [follow(model, past, 10, range(n * count + first, n * count + first + len(clips))) for n in range(tries)]
        figures = [frame_figures(clip, future) for clip in made]
        for found in figures:
            means.add(found)
        top.add(best(figures))
        shown = made[0][:SHOWN] if shown is None else shown
    assert shown is not None
    name = model.info.config.preset
    lines = [row(f"{name}{f', mean of {tries}' if tries > 1 else ''}", about(run, model), means)]
    return lines + ([row(f"{name}, best of {tries}", ["", "", "", ""], top)] if tries > 1 else []), shown


def plot(runs: Sequence[Path], target: Path) -> None:
    """Plot the squared error of a frame in training against the clips seen."""
    series = []
    for run in runs:
        rows = [row for row in read_rows(run / "metrics.jsonl")[0] if "frame_mse" in row]
        clips, errors = (tuple(row[name] for row in rows) for name in ("clips", "frame_mse"))
        series.append(PlotSeries(Model(run).info.config.preset, clips, errors))
    plot = Plot("", "clips seen", series, unit="squared error of a frame, training")
    write_png(target, [plot], columns=1, inches=(8, 4.5), log=True)


def main() -> None:
    """Print the table, draw the pictures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("images", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--curves", type=Path)
    options = parser.parse_args()
    source = open_clips(options.images, Model(options.runs[0]).info.config.clip)
    print("| predictor | weights | clips seen | minutes | s/step, batch | MSE | MAE | SSIM | PSNR |")
    print("|---|---|---|---|---|---|---|---|---|")
    copied = FrameMeans()
    for first in range(0, options.count, BATCH):
        clips = sequences(source, first)
        copied.add(frame_figures(clips[:, :, 9:10].expand(-1, -1, 10, -1, -1), clips[:, :, 10:]))
    print(row("the last frame again and again", ["–"] * 4, copied), flush=True)
    shown = {"real": sequences(source, 0)[:SHOWN, :, 10:]}
    for run in options.runs:
        lines, shown[Model(run).info.config.preset] = measure(run, source, options.count, options.samples)
        print("\n".join(lines), flush=True)
    if options.sheet:
        strips = [to_uint8(clips[n : n + 1])[0] for n in range(SHOWN) for clips in shown.values()]
        save_picture(options.sheet, contact_sheet(strips, list(shown) * SHOWN, columns=len(shown)))
    if options.curves:
        plot(options.runs, options.curves)


if __name__ == "__main__":
    with torch.inference_mode():
        main()
