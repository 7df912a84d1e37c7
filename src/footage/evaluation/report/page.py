"""report.html: a report as one page that needs nothing else. What stands on it is put together here, how in templates.

Figures come with a sentence that says what they mean, plots, looping samples, nearest neighbours, and the protocol.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from footage.evaluation.report import content
from footage.evaluation.report.content import EvaluationReport, ReportedEvaluation, common, mismatches
from footage.evaluation.results import ARROWS, Better, Curve, Evaluation, Figure, Interval, Memorisation, Side
from footage.media.probe import probe
from footage.media.reader import Footage
from footage.pages.environment import format_figure, write_page
from footage.pages.plots import COLOURS, Plot, PlotSeries, bar_svg, gauge_svg, line_svg

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

    Args:
        path: an .html file. Pictures and videos are read from where the report names them, beside that file.
        report: what it is about.

    Returns:
        `path`.
    """
    path = Path(path)
    main, compared = report.main, report.kind == "compared"
    entries = report.entries if compared else (main,)
    evaluation = main.evaluation
    write_page(
        path,
        "report.html",
        kind=report.kind,
        title=" · ".join(entry.name for entry in entries) if compared else evaluation.made.name,
        name=main.name,
        evaluation=evaluation,
        made_by=report.made_by,
        warnings=[*mismatches(report.entries), *_warnings(entries)],
        training=_through_training(report.entries) if report.kind == "training" and len(report.entries) > 1 else [],
        comparison=_comparison(entries) if compared else [],
        names=[entry.name for entry in entries],
        samples=_samples(report.entries, path.parent, report.kind != "one"),
        curves=_curves(entries),
        details=[_details(entry, path.parent) for entry in entries],
    )
    content.write(path.with_suffix(".json"), report)
    return path


def _warnings(entries: Sequence[ReportedEvaluation]) -> list[str]:
    """Return what has to be known before any figure is believed; it names whom it is about where not all are."""
    names_of: dict[str, list[str]] = {}
    for entry in entries:
        for warning in entry.evaluation.warnings:
            names_of.setdefault(warning, []).append(entry.name)
    return [
        warning if len(set(names)) == len(entries) else f"{', '.join(dict.fromkeys(names))}: {warning}"
        for warning, names in names_of.items()
    ]


def _through_training(entries: Sequence[ReportedEvaluation]) -> list[dict[str, Any]]:
    """Return a plot for each figure over the clips seen, with intervals and floor."""
    plots = []
    for (_, label, _), row in common(entries):
        pairs = [(e, f) for e, f in zip(entries, row, strict=True) if f is not None and f.value is not None]
        if not pairs:
            continue
        figure, figures = pairs[0][1], [f for _, f in pairs]
        x = tuple(float(entry.evaluation.made.clips_seen) for entry, _ in pairs)
        intervals = [f.interval for f in figures if f.interval is not None]
        whole = len(intervals) == len(figures)
        low, high = ((i.low for i in intervals), (i.high for i in intervals)) if whole else ((), ())
        series = [PlotSeries("made", x, tuple(f.value for f in figures), low=tuple(low), high=tuple(high))]
        floors = tuple(None if f.floor is None else f.floor.value for f in figures)
        for line, values in (("floor", floors), ("real", tuple(f.real for f in figures))):
            if any(value is not None for value in values):
                series.append(_line(line, x, values))
        plot = Plot(label, "clips seen", series, zero=figure.better == "lower")
        plots.append(_plot(f"{label} {ARROWS[figure.better]}", line_svg(plot), series, meaning(figure)))
    return plots


def _plot(caption: str, svg: str, series: Sequence[PlotSeries], text: str, remark: str = "") -> dict[str, Any]:
    """Return a plot with what stands around it."""
    return {"caption": caption, "svg": svg, "series": series, "text": text, "remark": remark}


def _line(kind: str, x: tuple[float, ...], y: tuple[float | None, ...]) -> PlotSeries:
    """Return one of the lines in `LINES`, or another under its own name."""
    name, colour, dash = LINES.get(kind, (kind, "c7", ""))
    return PlotSeries(name, x, y, colour, dash)


def _comparison(entries: Sequence[ReportedEvaluation]) -> list[dict[str, Any]]:
    """Return a row for each figure, with a cell for each evaluation, the best marked."""
    rows = []
    for _, figures in common(entries):
        known = [figure for figure in figures if figure is not None]
        ranks = [None if figure is None else goodness(figure) for figure in figures]
        ranked = [rank for rank in ranks if rank is not None]
        floors = dict.fromkeys(
            format_figure(figure.floor.value) if figure.floor else f"{format_figure(figure.real)} (real clips)"
            for figure in known
            if figure.floor is not None or figure.real is not None
        )
        rows.append(
            {
                "group": GROUPS.get(known[0].metric, OTHERS),
                "label": f"{known[0].label} {ARROWS[known[0].better]}",
                "text": f"{meaning(known[0])} Tier {known[0].tier}.",
                "cells": [
                    (figure, figure and _reach(figure.interval), len(ranked) > 1 and rank == min(ranked))
                    for figure, rank in zip(figures, ranks, strict=True)
                ],
                "floors": ", ".join(floors) or "–",
            }
        )
    return rows


def _reach(interval: Interval | None) -> str:
    return "" if interval is None else f"{format_figure(interval.low)} to {format_figure(interval.high)}"


def _samples(entries: Sequence[ReportedEvaluation], folder: Path, every: bool) -> list[dict[str, Any]]:
    """Return looping videos: the first entry's real clips, and what was made, by it alone or by every one."""
    videos = [(f"real: {entries[0].evaluation.real.name}", entries[0].real)]
    videos += [(f"made: {entry.name}" if every else "made", entry.made) for entry in entries[: None if every else 1]]
    return [
        {"caption": caption, "video": (folder / name).read_bytes(), "poster": poster(folder / name)}
        for caption, name in videos
        if name and (folder / name).is_file()
    ]


def poster(path: Path) -> bytes:
    """Return the first frame of a video as PNG: what stands in its place where it cannot be played."""
    from PIL import Image

    video = Footage(path)
    height, width = video.size()
    chunk = next(video.chunks(height=height, width=width, channels=3, fps=probe(path).fps or 25.0))
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(chunk[0])).save(out, "PNG", optimize=True)  # T H W C -> H W C
    return out.getvalue()


def _curves(entries: Sequence[ReportedEvaluation]) -> list[dict[str, Any]]:
    """Return a plot for each curve, with the lines of all entries in it, those of the real clips once."""
    curves_of: dict[tuple[str, str], list[tuple[str, Curve]]] = {}
    for entry in entries:
        for curve in entry.evaluation.curves:
            curves_of.setdefault((curve.name, curve.label), []).append((entry.name, curve))
    plots = []
    for curves in curves_of.values():
        first = curves[0][1]
        series: list[PlotSeries] = []
        for place, (name, curve) in enumerate(curves):
            for line in curve.lines:
                one = _line(line.name, curve.x, line.y)
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
        counts = " : ".join(f"{count:,}" for count in first.clips if count)
        remark = f"tier {first.tier} · {counts} clips"
        plots.append(_plot(first.label, svg, series, CURVES.get(first.name, ""), remark))
    return plots


def _details(entry: ReportedEvaluation, folder: Path) -> dict[str, Any]:
    """Return one evaluation in full: figures under their headings, nearest neighbours, protocol."""
    evaluation = entry.evaluation
    groups: dict[str, list[dict[str, Any]]] = {}
    for figure in evaluation.figures:
        groups.setdefault(GROUPS.get(figure.metric, OTHERS), []).append(_card(evaluation, figure))
    protocol = asdict(evaluation.protocol) | {"seed": evaluation.seed, "floor": evaluation.floor}
    protocol |= {"computed on": evaluation.device, "made by": evaluation.made_by}
    made, real = _side(evaluation.made), _side(evaluation.real)
    return {
        "name": entry.name,
        "groups": groups,
        "neighbours": None if evaluation.memorisation is None else _neighbours(evaluation.memorisation, folder),
        "protocol": [(key, _plain(value)) for key, value in protocol.items() if value not in (None, ())],
        "sides": [(name, made[name], real[name]) for name in made if made[name] or real[name]],
        "networks": [(n.name, n.tier, n.size, n.of, n.classes, n.digest) for n in evaluation.networks],
        "tiers": [(f"tier {tier}", TIERS[tier]) for tier in sorted({figure.tier for figure in evaluation.figures})],
        "work": [(work.step, f"{work.seconds:.1f} s") for work in evaluation.work],
    }


def _plain(value: object) -> str:
    """Write a setting."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _card(evaluation: Evaluation, figure: Figure) -> dict[str, Any]:
    """Return a figure with all that belongs to it: gauge, interval, floor, meaning, tier, networks, counts, seeds."""
    interval, floor, seeds = figure.interval, figure.floor, figure.seeds
    beside, how = [], []
    if interval is not None:
        beside.append(f"{interval.level:.0%} interval {_reach(interval)}")
        how.append(f"interval: {interval.how}")
    if floor is not None:
        counts = "" if floor.clips == figure.clips else f" ({_counts(floor.clips)} clips)"
        beside.append(f"real against real {format_figure(floor.value)}{counts}")
    if figure.real is not None:
        beside.append(f"real clips {format_figure(figure.real)}")
    if figure.plain is not None:
        beside.append(f"plain answer {format_figure(figure.plain)}")
    if figure.value is None:
        why = "the real clips allow no figure" if figure.real is None else "there is none for what was made"
        beside.append(f"no figure: {figure.note}" if figure.note else why)
    for name, values in (("repeats", figure.repeats), ("networks", figure.by_network)):
        if len(values) > 1:
            how.append(f"mean of the {name} {', '.join(map(format_figure, values))}")
    digests = {network.name: network.digest[:8] for network in evaluation.networks}
    provenance = [
        f"tier {figure.tier}",
        ", ".join(f"{name} {digests.get(name, '')}".strip() for name in figure.networks) or "no network",
        f"{_counts(figure.clips)} clips",
        f"seeds {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"seed {seeds[0]}" if seeds else "",
        figure.note if figure.value is not None else "",
    ]
    ends = None if interval is None else (interval.low, interval.high)
    return {
        "figure": figure,
        "arrow": ARROWS[figure.better],
        "gauge": ""
        if figure.value is None
        else gauge_svg(figure.value, ends, floor.value if floor else None, target(figure)),
        "beside": "; ".join(beside) or "without interval or floor",
        "meaning": meaning(figure),
        "provenance": " · ".join(part for part in provenance if part),
        "how": "; ".join(how),
    }


def _counts(clips: tuple[int, int]) -> str:
    return f"{clips[0]:,} : {clips[1]:,}" if clips[1] else f"{clips[0]:,}"


def _neighbours(memorisation: Memorisation, folder: Path) -> dict[str, Any]:
    """Return what is known of clips that repeat their training data: shares, quantiles, the worst pairs, names."""
    plots = []
    for space in memorisation.spaces:
        place = tuple(100 * n / max(1, len(space.ratios) - 1) for n in range(len(space.ratios)))
        series = [PlotSeries("made", place, space.ratios)]
        if len(space.ratios_real) == len(place):
            series.append(replace(_line("real", place, space.ratios_real), name="unseen real clips"))
        series.append(replace(_line("floor", (0.0, 100.0), (0.5, 0.5)), name="near-copies below"))
        label = f"Ratio in {space.name}"
        svg = line_svg(Plot(label, "part of the clips, %", series, zero=True))
        text = "Sorted. A made line that begins far below the real one shows copies."
        plots.append(_plot(label, svg, series, text))
    return {
        "memorisation": memorisation,
        "spaces": [
            (
                space.name,
                space.tier,
                *map(format_figure, (space.median, space.low, space.least)),
                f"{space.below:.1%}",
                f"{space.interval.low:.1%} to {space.interval.high:.1%}",
                f"{space.below_real:.1%}",
            )
            for space in memorisation.spaces
        ],
        "plots": plots,
        "pairs": [
            (pair, path.read_bytes() if pair.picture and (path := folder / pair.picture).is_file() else b"")
            for pair in memorisation.pairs
        ],
    }


def _side(side: Side) -> dict[str, str]:
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
