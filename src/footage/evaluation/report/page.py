"""report.html: a report as one page that needs nothing else. What stands on it is put together here, how in templates.

Figures come with a sentence that says what they mean, plots, looping samples, nearest neighbours, and the protocol.
"""

from __future__ import annotations

import io
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from footage.errors import counted
from footage.evaluation.report import content
from footage.evaluation.report.content import EvaluationReport, common
from footage.evaluation.results import ARROWS, Better, Curve, Evaluation, Figure, Memorisation, Side, fit_to_write
from footage.media.probe import probe
from footage.media.reader import Footage
from footage.pages.environment import format_figure, write_page
from footage.pages.plots import COLOURS, Plot, PlotSeries, bar_svg, gauge_svg, line_svg

ReportPlot = tuple[str, str, list[PlotSeries], str, str]
"""A plot on the page: caption, SVG, series for the legend, text, remark in small print."""
GROUPS: dict[str, str] = {
    "fvd": "Distance from real clips",
    "kvd": "Distance from real clips",
    "fid": "Distance of single frames",
    "kid": "Distance of single frames",
    "is": "Classes",
    "accuracy": "Classes",
    "prdc": "Fidelity and coverage",
    "fidelity": "Answers beside the truth",
    "motion": "Motion and time",
    "diversity": "Variety",
    "pictures": "Single pictures",
}
"""Headings: family of figures -> the heading that it stands under, in their order."""
OTHERS = "Other figures"
"""Heading of what is in no group."""

MEANINGS: dict[str, str] = {
    "frechet": "How far the features of all clips, taken as one cloud, lie from those of the real ones. It sees what "
    "pictures look like better than how they move.",
    "kernel": "The same question as the Fréchet distance, asked so that few clips do not bias the answer; it may "
    "fall a little below 0 where nothing can be told apart.",
    "inception_score": "High where a classifier is sure of each clip and all clips together show many classes. It "
    "never looks at real clips.",
    "label_accuracy": "Part of the clips in which a classifier sees the class that was asked for.",
    "precision": "Part of the made clips that lie where real clips lie: how many look real.",
    "recall": "Part of the real clips that lie where made clips lie: how much of reality the model can make.",
    "density": "How many real neighbourhoods a made clip lies in, on average; unlike precision it is not fooled by a "
    "few real outliers.",
    "coverage": "Part of the real clips that have a made one close by: low where the model leaves out kinds of clips.",
    "motion_ratio": "How much changes from frame to frame, beside real clips. Below 1 is too still.",
    "motion_distance": "How differently much and little motion are spread over the clips, as a part of the real mean.",
    "spectrum_distance": "Whether slow and fast changes have their right shares; 0 is the same, 1 nothing in common.",
    "velocity_distance": "Whether points move as fast, as often, as in real clips.",
    "acceleration_distance": "Whether points change their speed as real ones do; jerks and slides show here.",
    "track_distance": "How far the histograms of motion along tracks lie from real ones: motion alone, no appearance.",
    "flicker_ratio": "How much frames disagree with their neighbours, beside real clips. Above 1 the picture flickers.",
    "periodicity": "How clearly clips repeat themselves. Above the real clips' value the model goes round in circles.",
    "seam": "How large the step from the last frame back to the first is beside the others; 1 in a perfect loop.",
    "jump": "The largest step between frames beside the median one: far above the real clips' value there are cuts.",
    "half_life": "After how long a frame resembles its past only half: shorter than real, content melts away; longer, "
    "it stands still.",
    "sharpness_ratio": "How steep edges are beside real clips. Below 1 is blurred, above 1 noisy or too crisp.",
    "contrast_ratio": "How far light and dark lie apart within frames, beside real clips.",
    "variety": "How much clips differ from each other, beside real ones. Well below 1 the model repeats itself.",
    "variety_within_labels": "The same within each class: whether clips of one class differ as real ones do.",
    "ssim_diversity": "How unlike the structure of two random clips is, beside real pairs.",
    "mse": "Squared error of each answer, beside the one true outcome.",
    "mae": "Absolute error of each answer, beside the one true outcome.",
    "psnr": "Signal to noise of answers in dB: pixel by pixel beside the truth. Blurred averages do well here.",
    "ssim": "Likeness of local structure beside the truth, up to 1.",
    "lpips": "Distance beside the truth as a network sees it, which is closer to what people see.",
    "lpips_vgg": "The same as another network sees it; not comparable with the first.",
    "r_precision_32": "How often a clip's own caption is nearer to it than 31 others. Real clips have the ceiling.",
    "r_precision_100": "How often a clip's own caption is nearer to it than 99 others. Real clips have the ceiling.",
}
"""Name of a figure -> what it says."""
BEST_OF = "The best of several answers to each clip, which is fair where there are many right ones. "
"""Stands before the meaning of a figure that is named best_…"""
CURVES: dict[str, str] = {
    "autocorrelation": "How alike changes are some time apart: peaks are rhythm, a curve above the real one repeats "
    "itself too much.",
    "resemblance": "How much a frame resembles those after it. Below the real curve content melts away.",
    "spectrum": "How the power of change is shared among frequencies: too much at the right flickers.",
    "velocities": "How fast points move, along tracks of the optical flow.",
    "accelerations": "How much points change their speed from frame to frame.",
    "window_frechet": "The distance from real clips of each window of long videos: a line that rises says that quality "
    "falls over time.",
    "window_motion": "The motion of each window, beside real clips: a line that falls says that videos come to rest.",
    "psnr": "PSNR of each frame of the answers. Falling is natural; a gap to the plain answer is what the model adds.",
    "ssim": "SSIM of each frame of the answers.",
    "mse": "Squared error of each frame of the answers.",
    "mae": "Absolute error of each frame of the answers.",
    "lpips": "LPIPS of each frame of the answers: 0 is equal.",
    "lpips_vgg": "LPIPS of each frame of the answers by another network: 0 is equal.",
}
"""Name of a curve -> what it says."""
DIRECTIONS: dict[Better, str] = {
    "lower": "Lower is better.",
    "higher": "Higher is better.",
    "one": "1 is best: as real clips are.",
    "real": "The value of the real clips is best.",
}
"""Which value is best, in a sentence."""
TIERS: dict[str, str] = {
    "A": "official weights: the figure that papers report",
    "P": "a network trained on other pictures or films: comparable with figures of the same hash only",
    "B": "a network trained on such clips: comparable with figures of the same network only",
    "C": "random networks: to rank models of one data set, and to notice what breaks",
    "D": "closed form, without a network",
}
"""How far figures of a tier can be trusted."""
HISTOGRAMS = ("velocities", "accelerations")
"""Curves whose x-axis is classes, each twice as wide as the one before."""
LINES: dict[str, tuple[str, str, str]] = {
    "made": ("made", "c0", ""),
    "real": ("real clips", "real", "6 3"),
    "floor": ("real against real", "floor", "2 3"),
    "plain": ("plain answer", "c2", "6 3 2 3"),
    "best": ("best try", "c3", ""),
}
"""Line of a curve -> what the legend calls it, its colour, its dashes: colour alone does not tell lines apart."""
SHARED = ("real", "floor", "plain")
"""Lines that do not depend on the model."""


def meaning(figure: Figure) -> str:
    """Return what a figure says and which way is better, in a sentence or two."""
    name, before = figure.name, ""
    if name.startswith("best_"):
        name, before = name.removeprefix("best_"), BEST_OF
    words = MEANINGS.get(name, figure.note)
    return " ".join(part for part in (before + words if words else before.strip(), DIRECTIONS[figure.better]) if part)


def target(figure: Figure) -> float | None:
    """Return the value that is best, where there is one."""
    return {"one": 1.0, "real": figure.real}.get(figure.better)


def goodness(figure: Figure) -> float | None:
    """Return a number that is the lower the better a figure is; None where the figure has no value."""
    if figure.value is None:
        return None
    if figure.better in ("lower", "higher"):
        return figure.value if figure.better == "lower" else -figure.value
    aim = target(figure)
    return None if aim is None else abs(figure.value - aim)


def write_report(path: Path | str, report: EvaluationReport) -> Path:
    """Write a report as one HTML page, and report.json (the same name with another ending) beside it.

    Pictures and videos are read from where the report names them, in a folder beside the .html file. The page holds
    them itself, and needs no other file. Of what is locked there are none, nor names of labels and clips.
    """
    path = Path(path)
    entries = [replace(entry, evaluation=fit_to_write(entry.evaluation)) for entry in report.entries]
    report = replace(report, entries=tuple(entries))
    write_page(path, "report.html", page=ReportPage(report, path.parent), tiers=TIERS)
    content.write(path.with_suffix(".json"), report)
    return path


class ReportPage:
    """What the template of a report fills in; report.json is in the folder, and pictures and videos beside it."""

    def __init__(self, report: EvaluationReport, folder: Path) -> None:
        self.report, self.folder = report, folder
        self.compared = report.kind == "compared"
        self.entries = report.entries if self.compared else (report.main,)
        """Evaluations that are shown in full."""
        self.evaluation = report.main.evaluation
        names = [entry.name for entry in self.entries]
        self.title = " · ".join(names) if self.compared else self.evaluation.made.name

    def training_plots(self) -> list[ReportPlot]:
        """Return a plot for each figure over the clips seen, with intervals and floor."""
        plots = []
        for (_, label, _), row in common(self.report.entries):
            pairs = [(e, f) for e, f in zip(self.report.entries, row, strict=True) if f and f.value is not None]
            if not pairs:
                continue
            figures = [figure for _, figure in pairs]
            x = tuple(float(entry.evaluation.made.clips_seen) for entry, _ in pairs)
            intervals = [f.interval for f in figures if f.interval is not None]
            whole = len(intervals) == len(figures)
            low, high = ((i.low for i in intervals), (i.high for i in intervals)) if whole else ((), ())
            series = [PlotSeries("made", x, tuple(f.value for f in figures), low=tuple(low), high=tuple(high))]
            floors = tuple(None if f.floor is None else f.floor.value for f in figures)
            for line, values in (("floor", floors), ("real", tuple(f.real for f in figures))):
                if any(value is not None for value in values):
                    series.append(line_series(line, x, values))
            svg = line_svg(Plot(label, "clips seen", series, zero=figures[0].better == "lower"))
            plots.append((f"{label} {ARROWS[figures[0].better]}", svg, series, meaning(figures[0]), ""))
        return plots

    def comparison(self) -> list[dict[str, Any]]:
        """Return a row for each figure, with a cell for each evaluation: figure, interval, whether it is the best."""
        rows = []
        for _, figures in common(self.entries):
            measured = [figure for figure in figures if figure is not None]
            ranks = [None if figure is None else goodness(figure) for figure in figures]
            ranked = [rank for rank in ranks if rank is not None]
            best = min(ranked) if len(ranked) > 1 else None
            floors = dict.fromkeys(
                format_figure(figure.floor.value) if figure.floor else f"{format_figure(figure.real)} (real clips)"
                for figure in measured
                if figure.floor is not None or figure.real is not None
            )
            rows.append(
                {
                    "group": GROUPS.get(measured[0].metric, OTHERS),
                    "label": f"{measured[0].label} {ARROWS[measured[0].better]}",
                    "text": f"{meaning(measured[0])} Tier {measured[0].tier}.",
                    "cells": [
                        (figure, figure and interval_text(figure), best is not None and rank == best)
                        for figure, rank in zip(figures, ranks, strict=True)
                    ],
                    "floors": ", ".join(floors) or "–",
                }
            )
        return rows

    def samples(self) -> list[tuple[str, bytes, bytes]]:
        """Return looping videos: captions, MP4, and a poster as PNG.

        They show the first entry's real clips, and what was made: all of it, or by the one model that the page is of.
        """
        entries, alone = self.report.entries, self.report.kind == "one"
        videos = [(f"real: {entries[0].evaluation.real.name}", entries[0].real)]
        videos += [("made" if alone else f"made: {e.name}", e.made) for e in entries[: 1 if alone else None]]
        paths = [(caption, self.folder / name) for caption, name in videos if name and (self.folder / name).is_file()]
        return [(caption, path.read_bytes(), poster(path)) for caption, path in paths]

    def curve_plots(self) -> list[ReportPlot]:
        """Return a plot for each curve, with the lines of all entries in it, those of the real clips once."""
        curves_of: dict[tuple[str, str], list[tuple[str, Curve]]] = {}
        for entry in self.entries:
            for curve in entry.evaluation.curves:
                curves_of.setdefault((curve.name, curve.label), []).append((entry.name, curve))
        plots = []
        for curves in curves_of.values():
            first = curves[0][1]
            series: list[PlotSeries] = []
            for place, (name, curve) in enumerate(curves):
                for line in curve.lines:
                    one = line_series(line.name, curve.x, line.y)
                    if line.name in SHARED:
                        series += [one] if place == 0 else []
                        continue
                    if len(curves) > 1:
                        colour = f"c{(place and place + 1) % COLOURS}"  # c1 is the colour of real clips
                        one = replace(one, name=name if line.name == "made" else f"{name}, {one.name}", colour=colour)
                    series.append(one)
            plot = Plot(first.label, first.axis, series, first.unit, zero=first.metric == "windows")
            if first.name in HISTOGRAMS:
                classes = [f"{x:.3g}" for x in first.x]
                svg = bar_svg(replace(plot, series=[line for line in series if len(line.y) == len(classes)]), classes)
            else:
                svg = line_svg(plot)
            remark = f"tier {first.tier} · {' : '.join(f'{count:,}' for count in first.clips if count)} clips"
            plots.append((first.label, svg, series, CURVES.get(first.name, ""), remark))
        return plots

    def cards(self, evaluation: Evaluation) -> dict[str, list[dict[str, Any]]]:
        """Return all figures of an evaluation under their headings, each with what belongs to it."""
        digests = {network.name: network.digest[:8] for network in evaluation.networks}
        groups: dict[str, list[dict[str, Any]]] = {}
        for figure in evaluation.figures:
            interval, floor, seeds = figure.interval, figure.floor, figure.seeds
            ends = None if interval is None else (interval.low, interval.high)
            provenance = (
                f"tier {figure.tier}",
                ", ".join(f"{name} {digests.get(name, '')}".strip() for name in figure.networks) or "no network",
                count_text(figure.clips),
                f"seeds {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"seed {seeds[0]}" if seeds else "",
                figure.note if figure.value is not None else "",
            )
            how = [] if interval is None else [f"interval: {interval.how}"]
            for name, values in (("repeats", figure.repeats), ("networks", figure.by_network)):
                if len(values) > 1:
                    how.append(f"mean of the {name} {', '.join(map(format_figure, values))}")
            card = {
                "label": figure.label,
                "value": figure.value,
                "arrow": ARROWS[figure.better],
                "gauge": figure.value is not None
                and gauge_svg(figure.value, ends, floor.value if floor else None, target(figure)),
                "beside": beside(figure),
                "meaning": meaning(figure),
                "provenance": " · ".join(part for part in provenance if part),
                "how": "; ".join(how),
            }
            groups.setdefault(GROUPS.get(figure.metric, OTHERS), []).append(card)
        return groups

    def ratio_plots(self, memorisation: Memorisation) -> list[ReportPlot]:
        """Return a plot for each space in which clips are compared with their nearest training clip."""
        plots = []
        for space in memorisation.spaces:
            place = tuple(100 * n / max(1, len(space.ratios) - 1) for n in range(len(space.ratios)))
            series = [PlotSeries("made", place, space.ratios)]
            if len(space.ratios_real) == len(place):
                series.append(replace(line_series("real", place, space.ratios_real), name="unseen real clips"))
            series.append(replace(line_series("floor", (0.0, 100.0), (0.5, 0.5)), name="near-copies below"))
            label = f"Ratio in {space.name}"
            svg = line_svg(Plot(label, "part of the clips, %", series, zero=True))
            text = "Sorted. A made line that begins far below the real one shows copies."
            plots.append((label, svg, series, text, ""))
        return plots

    def picture(self, name: str) -> bytes:
        """Return the content of a picture that is named relative to report.json; nothing where it is not there."""
        return path.read_bytes() if name and (path := self.folder / name).is_file() else b""

    def protocol(self, evaluation: Evaluation) -> list[tuple[str, object]]:
        """Return everything that it takes to measure the same again."""
        settings = asdict(evaluation.protocol) | {"seed": evaluation.seed, "floor": evaluation.floor}
        settings |= {"computed on": evaluation.device, "made by": evaluation.made_by}
        return [(name, value) for name, value in settings.items() if value not in (None, ())]

    def sides(self, evaluation: Evaluation) -> list[tuple[str, str, str]]:
        """Return what is known of both sides, without what is known of neither."""
        made, real = (side_texts(side) for side in (evaluation.made, evaluation.real))
        return [(name, made[name], real[name]) for name in made if made[name] or real[name]]


def line_series(kind: str, x: tuple[float, ...], y: tuple[float | None, ...]) -> PlotSeries:
    """Return one of the lines in `LINES`, or another under its own name."""
    name, colour, dash = LINES.get(kind, (kind, "c7", ""))
    return PlotSeries(name, x, y, colour, dash)


def poster(path: Path) -> bytes:
    """Return the first frame of a video as PNG: what stands in its place where it cannot be played."""
    from PIL import Image

    video = Footage(path)
    height, width = video.size()
    chunk = next(video.chunks(height=height, width=width, channels=3, fps=probe(path).rate or 25.0))
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(chunk[0])).save(out, "PNG", optimize=True)  # T H W C -> H W C
    return out.getvalue()


def interval_text(figure: Figure) -> str:
    interval = figure.interval
    return "" if interval is None else f"{format_figure(interval.low)} to {format_figure(interval.high)}"


def count_text(counts: tuple[int, int], unit: str = "clip") -> str:
    return f"{counts[0]:,} : {counted(counts[1], unit)}" if counts[1] else counted(counts[0], unit)


def beside(figure: Figure) -> str:
    """Say what stands beside a figure: its interval, the floor, the real clips' value, the plain answer."""
    parts = []
    if figure.interval is not None:
        parts.append(f"{figure.interval.level:.0%} interval {interval_text(figure)}")
    if figure.floor is not None:
        counts = "" if figure.floor.windows == figure.clips else f" ({count_text(figure.floor.windows, 'window')})"
        parts.append(f"real against real {format_figure(figure.floor.value)}{counts}")
    if figure.real is not None:
        parts.append(f"real clips {format_figure(figure.real)}")
    if figure.plain is not None:
        parts.append(f"plain answer {format_figure(figure.plain)}")
    if figure.value is None:
        why = "the real clips allow no figure" if figure.real is None else "there is none for what was made"
        parts.append(f"no figure: {figure.note}" if figure.note else why)
    return "; ".join(parts) or "without interval or floor"


def side_texts(side: Side) -> dict[str, str]:
    """Return what is known of a side, empty where nothing is."""
    colour = "grey" if side.channels == 1 else "RGB"
    return {
        "name": side.name,
        "given as": f"{side.given} ({side.kind})",
        "content": side.digest,
        "split": side.split,
        "clips measured": f"{side.windows:,}" + (f" of {side.available:,} there" if side.available else ""),
        "too short": f"{side.too_short:,}" if side.too_short else "",
        "frames": f"{side.frames} of {side.width}×{side.height}, {colour}, {side.fps:g} a second",
        "resized": side.resized,
        "labels": ", ".join(side.labels),
        "trained on": side.trained_on,
        "clips seen": f"{side.clips_seen:,}" if side.clips_seen else "",
    }
