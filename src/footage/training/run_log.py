"""Log of a run: metrics.jsonl and TensorBoard, sheets, previews, curves, lines on the terminal, the loop's clock."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rich.console import Console
from torch import Tensor

from footage import files
from footage.data.store import Frames
from footage.errors import counted
from footage.files import locked
from footage.media.encode import chunked, write_clip
from footage.media.geometry import VolumeScale
from footage.media.sheets import contact_sheet, save_picture, strip, tile
from footage.media.volumes import middle_planes, planes_sheet
from footage.pages.plots import Plot, PlotSeries, write_png
from footage.training.cost import memory_used
from footage.training.diagnostics import WARM_UP, Diagnostic
from footage.training.run_folder import RunFolder, read_rows

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

QUIET_LINE = 30.0
"""Seconds between progress lines where the output is no terminal."""
LIVE_LINE = 0.2
"""Seconds between changes of the live bar."""
AGAIN = 5
"""A warning comes back after so many times as many clips."""
HELDOUT = ("heldout_frechet", "heldout_kernel", "heldout_copies")
"""Figures that a model is chosen by, see `footage.training.selection`."""


class LoopClock:
    """Books the loop's time: waiting for data, in steps, in everything else."""

    def __init__(self) -> None:
        self.last = time.perf_counter()
        self.booked = {"data": 0.0, "step": 0.0, "rest": 0.0}
        self.seconds = 0.0
        """Time in the loop over the whole life of the run."""

    def restart(self) -> None:
        """Leave out the time since the last lap."""
        self.last = time.perf_counter()

    def lap(self, name: str) -> float:
        """Book the time since the last lap under a name, and return it."""
        now = time.perf_counter()
        seconds, self.last = now - self.last, now
        self.booked[name] += seconds
        self.seconds += seconds
        return seconds

    def shares(self) -> dict[str, float]:
        """Return shares of the time: `data`, and `outside` (all outside the training step, data included)."""
        total = max(1e-9, sum(self.booked.values()))
        return {"data": self.booked["data"] / total, "outside": 1 - self.booked["step"] / total}


class RunningMeans:
    """Means of what steps log, kept on the device until they are asked for, so that no step waits for it."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size, self._rate = batch_size, 0.0
        self.restart()

    def restart(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._clips, self.since = 0, time.perf_counter()

    def add(self, log: Mapping[str, Tensor]) -> None:
        for name, value in log.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1
        self._clips += self.batch_size

    @property
    def rate(self) -> float:
        """Clips a second since the last `take`, or before it while that is only just ago."""
        elapsed = time.perf_counter() - self.since
        if elapsed > 2.0 or not self._rate:
            return self._clips / max(elapsed, 1e-9)
        return self._rate

    def take(self) -> dict[str, float]:
        """Return the means, with the rate, and begin anew; nothing where no step has been taken since."""
        if not self._clips:
            return {}
        row = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        self._rate = self._clips / max(time.perf_counter() - self.since, 1e-9)
        self.restart()
        return {**row, "clips_per_second": self._rate}


class RunLog:
    """All that a run tells while it trains: figures on disk, lines on the terminal, and where the time goes.

    Figures go to `metrics.jsonl` and to TensorBoard. As a context manager it shows the bar, and closes the files. A
    silent one has nothing but the clock and the means: that of a process beside the first one.
    """

    def __init__(self, folder: RunFolder, console: Console, batch_size: int, silent: bool = False) -> None:
        self.folder, self.silent = folder, silent
        self.clock, self.means, self.terminal = LoopClock(), RunningMeans(batch_size), Terminal(console)
        self._board: SummaryWriter | None = None
        self._rows: IO[str] | None = None

    def __enter__(self) -> RunLog:
        self.terminal.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.terminal.__exit__()
        self.close()

    def rewind(self, clips_seen: int, seconds: float) -> None:
        """Begin, or go on, after so many clips and seconds; rows beyond them are dropped."""
        from torch.utils.tensorboard import SummaryWriter

        self.close()
        path = self.folder.metrics
        if not self.silent:
            if path.exists():
                files.write_lines(path, (row for row in read_rows(path)[0] if row["clips"] <= clips_seen))
            events = str(self.folder.path / "tensorboard")
            self._board = SummaryWriter(events, purge_step=clips_seen + 1 if clips_seen else None)
            self._rows = open(path, "a", encoding="utf-8")  # noqa: SIM115 - closed by `close`
        self.means.restart()
        self.clock.restart()
        self.clock.seconds = seconds

    def write(self, clips_seen: int, row: Mapping[str, float]) -> None:
        """Write a row; a figure that is not finite is null in it."""
        if self.silent:
            return
        assert self._rows is not None and self._board is not None, "rewind opens the files"
        rounded = {key: float(f"{value:.6g}") for key, value in row.items()}
        told = {key: value if math.isfinite(value) else None for key, value in rounded.items()}
        self._rows.write(json.dumps({"clips": clips_seen, **told}, allow_nan=False) + "\n")
        self._rows.flush()
        for key, value in rounded.items():
            self._board.add_scalar(key, value, clips_seen)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time of the block out of the clock and of the rate."""
        self.clock.lap("rest")
        yield
        self.means.since += time.perf_counter() - self.clock.last
        self.clock.restart()

    def close(self) -> None:
        for file in (self._rows, self._board):
            if file is not None:
                file.close()
        self._rows = self._board = None


class Terminal:
    """Progress on the terminal: a live bar with rate, ETA and memory, or a line now and then where there is none."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self.console = console
        self._warned: dict[str, int] = {}  # kind of a sign -> clips after which it is told again
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
        self._task = self._bar.add_task("starting", total=1.0)

    def __enter__(self) -> Terminal:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def progress(self, part: float, text: str, device: str) -> None:
        """Show which part of the run is done; at most a few times a second."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (QUIET_LINE if self._bar.disable else LIVE_LINE)
        text = f"{text} · {memory_used(device):.1f} GiB"
        self._bar.update(self._task, completed=min(part, 1.0), description=text)
        if self._bar.disable:
            self.console.print(f"{part:4.0%}  {text}")

    def say(self, text: str) -> None:
        self.console.print(text)

    def warn(self, signs: Sequence[Diagnostic], remedies: Mapping[str, str], clips_seen: int) -> None:
        """Print signs with their usual remedies, the same kind again only after `AGAIN` times as many clips."""
        for sign in signs:
            if clips_seen >= self._warned.get(sign.kind, WARM_UP):
                self._warned[sign.kind] = clips_seen * AGAIN
                self.warning(f"at {counted(clips_seen, 'clip')} {sign.text}. Usual remedy: {remedies[sign.kind]}")

    def warning(self, text: str) -> None:
        self.console.print("warning:", style="yellow", end=" ")
        self.console.print(text)


def write_samples(
    folder: RunFolder,
    clips: Sequence[Frames],
    captions: Sequence[str],
    clips_seen: int,
    fps: float,
    metadata: Mapping[str, Any],
    kinds: int = 1,
    volume: VolumeScale | None = None,
) -> None:
    """Write a contact sheet and a looping preview of samples, uint8 (T, H, W, C) each; `kinds` belong together.

    Of volumes the sheet shows the three middle planes.

    There is no preview in a locked run, nor without PyAV, which a bare GPU machine may lack and training needs for
    nothing else.
    """
    name = f"{clips_seen:09d}"
    if volume is None:
        sheet = contact_sheet([strip(clip) for clip in clips], captions, columns=None if kinds == 1 else kinds)
    else:
        planes = [middle_planes(clip, volume.spacing) for clip in clips]
        sheet = planes_sheet(planes, captions, 4 if kinds == 1 else kinds)
    save_picture(folder.samples / f"{name}.png", sheet)
    if locked.folder_of(folder.path) is not None:  # an encoder writes plain files alone
        return
    preview = tile(clips, None if kinds == 1 else kinds * max(1, round(math.sqrt(len(clips)) / kinds)))
    try:
        write_clip(folder.samples / f"{name}.mp4", chunked(preview), fps=fps, metadata=dict(metadata))
    except ModuleNotFoundError as error:
        if error.name != "av":
            raise


def plot_curves(metrics: Path, target: Path, curves: Mapping[str, tuple[str, ...]]) -> None:
    """Plot figures of metrics.jsonl (title -> names) against the clips seen, as PNG; those of every run besides.

    What has no figure yet is left out.
    """
    rows, _ = read_rows(metrics)
    groups = {
        **{title: names for title, names in curves.items() if names},
        "Samples / real clips (1 is right)": ("motion_ratio", "contrast_ratio", "diversity_ratio"),
        "Clips a second": ("clips_per_second",),
    }
    if any(name in row for row in rows for name in HELDOUT):
        groups["Beside held-out clips (lower is better)"] = HELDOUT
    plots = []
    for title, names in groups.items():
        series = []
        for name in names:
            if logged := [row for row in rows if name in row]:
                clips, values = (tuple(row[key] for row in logged) for key in ("clips", name))
                series.append(PlotSeries(name.replace("_", " "), clips, values))
        if series:
            plots.append(Plot(title, "clips seen", series))
    if plots:
        write_png(target, plots)
