"""Log of a run: figures in metrics.jsonl and TensorBoard, sheets, previews, curves, and lines on the terminal."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from torch import Tensor

from footage import files
from footage.media.encode import chunked, write_clip
from footage.media.sheets import contact_sheet, save_picture, strip, tile
from footage.models.base import Sign
from footage.training.run_folder import RunFolder


class LoopClock:
    """Books the loop's time: waiting for data, in steps, in everything else."""

    def __init__(self) -> None:
        self.last = time.perf_counter()
        self.spent = {"data": 0.0, "step": 0.0, "rest": 0.0}

    def restart(self) -> None:
        """Leave out the time since the last lap."""
        self.last = time.perf_counter()

    def lap(self, name: str) -> float:
        """Book the time since the last lap under a name; return it, in seconds."""
        now = time.perf_counter()
        elapsed, self.last = now - self.last, now
        self.spent[name] += elapsed
        return elapsed

    def shares(self) -> dict[str, float]:
        """Return shares of the time: `data`, and `outside` (all outside the training step, data included)."""
        total = max(1e-9, sum(self.spent.values()))
        return {"data": self.spent["data"] / total, "outside": 1 - self.spent["step"] / total}


class RunningMeans:
    """Means of what steps log, kept on the device until they are asked for, so that no step waits for it.

    Args:
        batch_size: clips in a step.
    """

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._clips, self._since, self._before = 0, time.perf_counter(), 0.0

    def add(self, log: dict[str, Tensor]) -> None:
        """Add what a step logged."""
        for name, value in log.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1
        self._clips += self.batch_size

    def leave_out(self, seconds: float) -> None:
        """Do not count a time that was spent on something else."""
        self._since += seconds

    @property
    def rate(self) -> float:
        """Clips a second since the last `take`, or before it while that is only just ago."""
        elapsed = time.perf_counter() - self._since
        if elapsed > 2.0 or not self._before:
            return self._clips / max(elapsed, 1e-9)
        return self._before

    def take(self) -> dict[str, float]:
        """Return the means, with the rate, and begin anew."""
        row = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        self._before = self._clips / max(time.perf_counter() - self._since, 1e-9)
        row["clips_per_second"] = self._before
        self._sums, self._counts, self._clips, self._since = {}, {}, 0, time.perf_counter()
        return row


Frames = npt.NDArray[np.uint8]

QUIET_LINE = 30.0
"""Seconds between progress lines where the output is no terminal."""
HELDOUT = ("heldout_frechet", "heldout_kernel")
"""Figures that a model is chosen by, see `footage.training.selection`."""
LIVE_LINE = 0.2
"""Seconds between changes of the live bar."""


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read metrics.jsonl; lines that a crash has damaged are left out."""
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        with contextlib.suppress(ValueError, TypeError):
            row = json.loads(line)
            if isinstance(row["clips"], int):
                rows.append(row)
    return rows


class MetricsLog:
    """`metrics.jsonl` and TensorBoard events. Rows beyond the point where a run is taken up again are dropped.

    Args:
        folder: the run.
        clips_seen: where the run begins or goes on.
    """

    def __init__(self, folder: RunFolder, clips_seen: int) -> None:
        self.path, self._events = folder.metrics, str(folder.path / "tensorboard")
        self._open(clips_seen)

    def _open(self, clips_seen: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        if self.path.exists():
            files.write_lines(self.path, (row for row in read_rows(self.path) if row["clips"] <= clips_seen))
        self._board = SummaryWriter(self._events, purge_step=clips_seen + 1 if clips_seen else None)
        self._lines = open(self.path, "a", encoding="utf-8")  # noqa: SIM115 - closed by `close`

    def write(self, clips_seen: int, row: Mapping[str, float]) -> None:
        """Add a row."""
        rounded = {key: float(f"{value:.6g}") for key, value in row.items()}
        self._lines.write(json.dumps({"clips": clips_seen, **rounded}) + "\n")
        self._lines.flush()
        for key, value in rounded.items():
            self._board.add_scalar(key, value, clips_seen)

    def rewind(self, clips_seen: int) -> None:
        """Drop the rows beyond `clips_seen`."""
        self.close()
        self._open(clips_seen)

    def close(self) -> None:
        """Write everything out."""
        self._lines.close()
        self._board.close()


def write_samples(
    folder: RunFolder,
    clips: Sequence[Frames],
    captions: Sequence[str],
    clips_seen: int,
    fps: float,
    metadata: Mapping[str, Any],
    kinds: int = 1,
) -> None:
    """Write a contact sheet and a looping preview of samples, uint8 (T, H, W, C) each; `kinds` belong together."""
    name, strips = f"{clips_seen:09d}", [strip(clip) for clip in clips]
    save_picture(folder.samples / f"{name}.png", contact_sheet(strips, captions, columns=None if kinds == 1 else kinds))
    preview = tile(clips, None if kinds == 1 else kinds * max(1, round(math.sqrt(len(clips)) / kinds)))
    write_clip(folder.samples / f"{name}.mp4", chunked(preview), fps=fps, metadata=dict(metadata))


def plot_curves(metrics: Path, target: Path, curves: Mapping[str, tuple[str, ...]]) -> None:
    """Plot figures of metrics.jsonl (title -> names) against the clips seen, as PNG; those of every run besides."""
    rows = read_rows(metrics)
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    groups = {
        **{title: names for title, names in curves.items() if names},
        "Samples / real clips (1 is right)": ("motion_ratio", "contrast_ratio", "diversity_ratio"),
        "Clips a second": ("clips_per_second",),
    }
    if any(name in row for row in rows for name in HELDOUT):
        groups["Beside held-out clips (lower is better)"] = HELDOUT
    lines = -(-len(groups) // 2)
    figure = Figure(figsize=(11, 3.5 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, names) in zip(np.ravel(figure.subplots(lines, 2)), groups.items(), strict=False):
        for name in names:
            points = [(row["clips"], row[name]) for row in rows if name in row]
            if points:
                axes.plot(*zip(*points, strict=True), label=name.replace("_", " "), linewidth=1.2)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("clips seen", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
    with files.replacing(target) as temporary, matplotlib.rc_context({"savefig.dpi": 110}):
        figure.savefig(temporary, format="png")


class Terminal:
    """Progress on the terminal: a live bar with rate, ETA and memory, or a line now and then where there is none.

    Args:
        console: where to write.
        total: what the run counts up to: clips, or seconds.
        unit: `clips` or `seconds`.
    """

    def __init__(self, console: Console, total: float, unit: str) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self.console, self.total, self.unit = console, total, unit
        self._said: dict[str, int] = {}
        self._next = 0.0
        self._bar = Progress(
            TextColumn("{task.percentage:>3.0f}%"),
            BarColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            TextColumn("·"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            disable=not console.is_terminal or console.quiet,
        )
        self._task = self._bar.add_task("starting", total=total)

    def __enter__(self) -> Terminal:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Take the bar away."""
        self._bar.stop()

    def progress(self, done: float, text: str, device: str) -> None:
        """Show how far the run is; at most a few times a second."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (QUIET_LINE if self._bar.disable else LIVE_LINE)
        text = f"{text} · {memory_used(device):.1f} GiB"
        self._bar.update(self._task, completed=min(done, self.total), description=text)
        if self._bar.disable:
            self.console.print(f"{done / self.total:4.0%}  {text}", highlight=False)

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self.console.print(text, highlight=False)

    def warn(self, signs: Sequence[Sign], remedies: Mapping[str, str], clips_seen: int) -> None:
        """Print signs with their usual remedies, the same kind again only after five times as many clips."""
        for sign in signs:
            if clips_seen >= self._said.get(sign.kind, 0):
                self._said[sign.kind] = clips_seen * 5
                self.warning(f"at {clips_seen:,} clips {sign.text}. Usual remedy: {remedies[sign.kind]}")

    def warning(self, text: str) -> None:
        """Print a warning above the bar."""
        self.console.print("warning:", style="yellow", end=" ")
        self.console.print(text, highlight=False)


def memory_used(device: str) -> float:
    """Return the memory that the run takes now, in GiB: of the GPU, or of this process less the files it has mapped."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / 2**30
    try:
        with open("/proc/self/statm", encoding="ascii") as handle:
            resident, shared = (int(word) for word in handle.read().split()[1:3])
    except OSError:
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / 2**30 if sys.platform == "darwin" else most / 2**20  # bytes there, KiB elsewhere
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE") / 2**30
