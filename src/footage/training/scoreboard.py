"""How a comparison is shown: a table for people, and a picture."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from footage.data.store import Frames
from footage.media.sheets import gallery, save_picture, strip

Row = Mapping[str, Any]


def _count(number: float | None) -> str:
    return "–" if number is None else f"{number / 1e6:.2f} M" if number >= 1e5 else f"{number:,.0f}"


def _number(value: float | None, digits: int = 3) -> str:
    """Write a figure with so many digits that count; – where there is none."""
    if value is None:
        return "–"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:#.{digits}g}" if abs(value) >= 1e-4 or not value else f"{value:.{digits - 1}e}"


def _spread(figures: Row | None, name: str = "rfd") -> str:
    """Write mean and standard deviation over the feature networks, to the same place."""
    values = (figures or {}).get(name)
    if not values:
        return "–"
    mean, deviation = statistics.mean(values), statistics.stdev(values)
    places = max(0, 3 - len(f"{mean:.0f}")) if mean >= 1 else 4
    return f"{mean:.{places}f} ± {deviation:.{places}f}"


def _over_floor(row: Row) -> str:
    """Write the ratio to the floor, network by network: each has a scale of its own, which goes out here."""
    fake, real = ((row[key] or {}).get("rfd") for key in ("figures", "floor"))
    if not fake or not real or not all(real):
        return "–"
    return _spread({"rfd": [a / b for a, b in zip(fake, real, strict=True)]})


def _figure(name: str) -> Callable[[Row], str]:
    return lambda row: f"{(row['figures'] or {})[name]:.2f}" if (row["figures"] or {}).get(name) is not None else "–"


COLUMNS: dict[str, Callable[[Row], str]] = {
    "preset": lambda row: row["preset"],
    "clip, T × H × W": lambda row: row["clip"],
    "weights, generator / critics": lambda row: f"{_count(row['generator'])} / {_count(row['critics'])}",
    "batch": lambda row: f"{row['batch_size']}",
    "s/step ↓": lambda row: _number(row["step_seconds"]),
    "clips seen": lambda row: f"{row['clips_seen']:,}",
    "clips/s ↑": lambda row: _number(row["clips_per_second"]),
    "GFLOP/s ↑": lambda row: _number(row["gflop_per_second"]),
    "memory, GiB ↓": lambda row: "–" if row.get("memory_gib") is None else f"{row['memory_gib']:.2f}",
    "RFD-rand ↓": lambda row: _spread(row["figures"]),
    "its floor": lambda row: _spread(row["floor"]),
    "RFD-rand : floor ↓": lambda row: _over_floor(row),
    "motion ratio → 1": _figure("motion_ratio"),
    "motion distance ↓": _figure("motion_distance"),
    "spectrum distance ↓": _figure("spectrum_distance"),
    "diversity ratio → 1": _figure("diversity_ratio"),
    "contrast ratio → 1": _figure("contrast_ratio"),
    "outcome": lambda row: row["status"] + ("; no model to measure" if row["figures"] is None else ""),
}
"""The columns of the table, from a row of comparison.json."""
NARROW = ("preset", "s/step ↓", "clips seen", "memory, GiB ↓", "RFD-rand ↓", "motion ratio → 1", "outcome")
"""The columns on the terminal."""
OF_REAL = tuple(
    name for name in COLUMNS if name.startswith(("preset", "clip,", "RFD-rand ↓", "outcome")) or "ratio" in name
)
OF_REAL += ("motion distance ↓", "spectrum distance ↓")
"""The columns that real clips have: what their floor is, in figures, and how it was measured."""
NOTES = """
How to read it:

- ↓ lower is better, ↑ higher is better, → 1 nearest to 1 is best. One training with one seed for each preset:
  differences that are small beside the ± mean nothing, and larger ones may still be luck.
- **RFD-rand** is the Fréchet distance of random convolutional features to those of real clips, mean ± standard
  deviation over 5 networks. It is no FVD and not comparable with one, nor between data sets, clip lengths or sizes, nor
  between numbers of samples. It ranks blurred, noisy, still and shuffled frames by their strength; it hardly sees
  motion that runs backwards, and next to nothing of small differences of form (docs/LOG.md).
- **Its floor** is the same figure of real clips against real clips. A model may fall below a floor that was measured
  between halves of a small data set: it has seen both. **RFD-rand : floor** is taken network by network, each of which
  has a scale of its own, so that it varies less.
- **Motion ratio**: mean absolute change from frame to frame, model : real. **Motion distance**: Wasserstein distance of
  the clips' motion, as a part of the real mean. **Spectrum distance**: of the shares of power over temporal
  frequencies, 0 to 1. **Diversity**: standard deviation between clips; **contrast**: within frames.
- Predictors and translators are given windows of held-out clips, and what they make of them is measured, without the
  frames that they were given: beside generators, which make everything, they have an easier task.
- **s/step** is the batch divided by the median of the logged clips a second, **clips/s** is over the whole time in the
  loop, saving and sampling included. **GFLOP/s**: matrix products and convolutions of real training steps, gradients
  and penalties included, in s/step's time. **Memory**: the largest that this process held in RAM while the preset was
  trained (on a GPU: allocated there), with PyTorch and what earlier presets left behind (`memory_before_gib`).
"""


def as_markdown(content: Row) -> str:
    """Lay a comparison out as a page of Markdown."""
    lines = [
        f"# Presets compared on {content['data']}",
        "",
        f"Each trained for {content['limit']} with seed {content['seed']} on the same clips. Figures of "
        f"{content['samples']} generated clips (averaged model, seeds from 0) beside {content['samples']} windows of "
        "training clips.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + "---|" * len(COLUMNS),
    ]
    for row in content["models"]:
        lines.append("| " + " | ".join(cell(row).replace("|", "\\|") for cell in COLUMNS.values()) + " |")
    for row in content["models"]:
        shown = {**row, "preset": "real clips", "figures": row["floor"], "status": row["floor_how"]}
        cells = (cell(shown) if name in OF_REAL else "" for name, cell in COLUMNS.items())
        if (line := "| " + " | ".join(cells) + " |") not in lines:
            lines.append(line)
    machine = ", ".join(dict.fromkeys(f"{row['device']} in {row['precision']}" for row in content["models"]))
    made = f"Made by {content['made_by']}, on {machine}, {content['threads']} threads."
    return "\n".join([*lines, NOTES, made]) + "\n"


def as_table(content: Row) -> Table:
    """Lay the main columns out for the terminal."""
    table = Table(title=f"{content['data']}, {content['limit']} each", title_justify="left", caption_justify="left")
    for name in NARROW:
        table.add_column(
            name.replace(", ", "\n").replace(" ratio", "\nratio").replace(" seen", "\nseen"), no_wrap=name != "outcome"
        )
    for row in content["models"]:
        table.add_row(*(Text(COLUMNS[name](row)) for name in NARROW))
    floors = dict.fromkeys(f"{_spread(row['floor'])} ({row['clip']})" for row in content["models"])
    table.caption = "RFD-rand of real clips: " + ", ".join(floors)
    return table


def as_picture(path: Path, content: Row, clips: Mapping[str, list[Frames]]) -> None:
    """Write samples of every model below each other, real clips first.

    Args:
        path: a PNG file.
        content: comparison.json.
        clips: preset, or another name -> clips uint8 (T, H, W, C).
    """
    rows = {row["preset"]: row for row in content["models"]}
    groups = []
    for name in sorted(clips, key=lambda name: name in rows):
        remark = str(content["data"])
        if row := rows.get(name):
            parts = [f"RFD-rand {_spread(row['figures'])}", f"floor {_spread(row['floor'])}"]
            parts += [f"motion {COLUMNS['motion ratio → 1'](row)}", f"diversity {COLUMNS['diversity ratio → 1'](row)}"]
            remark = " · ".join([*parts, f"{row['clips_seen']:,} clips"])
            remark = remark if row["status"] == "done" else f"{row['status'][:60]} · {remark}"
        # The picture's font has no ×.
        groups.append((name.replace("×", "x"), remark, [strip(clip) for clip in clips[name]]))
    save_picture(path, gallery(groups))
