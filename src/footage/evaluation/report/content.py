"""What a report is about: one evaluation, several beside each other, or those of a run; with sample videos.

report.json                     an EvaluationReport
report-files/report-made.mp4    the first clips of what was made, side by side, over and over
report-files/report-real.mp4    those of the real clips
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from footage import __version__, files
from footage.config import from_json
from footage.data.store import Frames
from footage.errors import ConfigError, DatasetError, counted
from footage.evaluation import results
from footage.evaluation.results import Evaluation, Figure
from footage.media.encode import chunked, write_clip
from footage.media.sheets import tile
from footage.trust.locks import check_plain

if TYPE_CHECKING:
    from footage.evaluation.inputs import EvaluationPlan

SCHEMA = 1
"""Version of report.json. A higher number than ours is refused."""
ReportKind = Literal["one", "compared", "training"]
"""`one` evaluation, several to be `compared`, or those of a run through its `training`, in their order."""
Measure = Callable[[str | Path, Path], tuple[Evaluation, "EvaluationPlan"]]
"""Measures something, puts pictures beside a .json file, returns the figures and the plan of the clips."""
SHOWN = 12
"""Clips of a side that are shown."""
COLUMNS = 4
"""Of them beside each other."""
SIDE = 64
"""Clips with a shorter side than this are enlarged by whole pixels."""
LEAST = 2.0
"""Seconds that a video lasts, at least: short clips come several times, so that players do not stop between."""
GAP = 2
"""Pixels between clips."""
BETWEEN = 128
"""Their level."""


@dataclass(frozen=True)
class ReportedEvaluation:
    """One evaluation of a report."""

    name: str
    evaluation: Evaluation
    made: str = ""
    """Path of a video of clips that were made, relative to report.json; may be empty."""
    real: str = ""
    """Path of one of real clips."""


@dataclass(frozen=True)
class EvaluationReport:
    """The content of report.json."""

    kind: ReportKind
    entries: tuple[ReportedEvaluation, ...]
    made_by: str
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        if not self.entries:
            raise ConfigError("a report has no evaluation", "give at least one")

    @property
    def main(self) -> ReportedEvaluation:
        """The entry that is shown in full: the last one of a run, else the first."""
        return self.entries[-1 if self.kind == "training" else 0]

    @property
    def warnings(self) -> list[str]:
        """What has to be known before any figure is believed; each names whom it is about where not all are."""
        entries = self.entries if self.kind == "compared" else (self.main,)
        names_of: dict[str, list[str]] = {}
        for entry in entries:
            for warning in entry.evaluation.warnings:
                names_of.setdefault(warning, []).append(entry.name)
        return mismatches(self.entries) + [
            warning if len(set(names)) == len(entries) else f"{', '.join(dict.fromkeys(names))}: {warning}"
            for warning, names in names_of.items()
        ]


FigureKey = tuple[str, str, tuple[str, ...]]
"""What figures of several evaluations must share to be the same figure: name, label, digests of the networks."""


def common(entries: Sequence[ReportedEvaluation]) -> list[tuple[FigureKey, list[Figure | None]]]:
    """Return every figure of several evaluations once, with what each of them has of it, None for nothing."""
    rows: dict[FigureKey, list[Figure | None]] = {}
    for place, entry in enumerate(entries):
        digests = {network.name: network.digest for network in entry.evaluation.networks}
        for figure in entry.evaluation.figures:
            key = (figure.name, figure.label, tuple(digests.get(name, name) for name in figure.networks))
            row = rows.setdefault(key, [None] * len(entries))
            row[place] = row[place] or figure
    return list(rows.items())


def mismatches(entries: Sequence[ReportedEvaluation]) -> list[str]:
    """Return why evaluations must not be held against each other: other real clips, or measured in another way."""
    first, reasons = entries[0], []
    for other in entries[1:]:
        one, two = first.evaluation, other.evaluation
        unlike = [
            f"{setting} {x} and {y}"
            for setting, x, y in (
                ("clips", one.made.windows, two.made.windows),
                ("real clips", one.real.windows, two.real.windows),
                ("frames", one.made.frames, two.made.frames),
                ("width", one.made.width, two.made.width),
                ("height", one.made.height, two.made.height),
                ("frames a second", f"{one.made.fps:g}", f"{two.made.fps:g}"),
                ("split", one.real.split or "none", two.real.split or "none"),
                ("seed", one.seed, two.seed),
            )
            if x != y
        ]
        if one.real.digest != two.real.digest:
            sides = (f"{real.name} {real.digest[:8]}" for real in (one.real, two.real))
            unlike.insert(0, "different real clips, " + " and ".join(sides))
        if unlike:
            remedy = "Measure them by the same clips and protocol."
            reasons.append(f"{first.name} and {other.name} are not comparable: {'; '.join(unlike)}. {remedy}")
    return reasons


def write(path: Path, report: EvaluationReport) -> None:
    files.write_json(path, asdict(report))


def read(path: Path) -> EvaluationReport:
    """Read report.json, or a figures.json as a report of one evaluation, without videos.

    Raises:
        DatasetError: it is missing, neither of the two, or of a newer format.
    """
    remedy = "make it again with footage evaluate --report"
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read ({error})", remedy) from None
    if not isinstance(value, dict) or "entries" not in value:
        evaluation = results.read(path)
        return EvaluationReport("one", (ReportedEvaluation(name_of(evaluation), evaluation),), evaluation.made_by)
    files.refuse_newer(value.get("schema"), SCHEMA, path, DatasetError)
    try:
        return from_json(EvaluationReport, value, path.name)
    except (ConfigError, TypeError) as error:
        raise DatasetError(f"{path} holds no report ({error})", remedy) from None


def name_of(evaluation: Evaluation) -> str:
    """Return what to call an evaluation where nothing else is said."""
    made = evaluation.made
    return f"{made.name}, {counted(made.clips_seen, 'clip')}" if made.clips_seen else made.name


def moved(entry: ReportedEvaluation, old: Path, new: Path) -> ReportedEvaluation:
    """Return an entry whose pictures and videos are named from another folder."""

    def path(text: str) -> str:
        return Path(os.path.relpath(old / text, new)).as_posix() if text else ""

    memorisation = entry.evaluation.memorisation
    if memorisation is not None:
        pairs = tuple(replace(pair, picture=path(pair.picture)) for pair in memorisation.pairs)
        memorisation = replace(memorisation, pairs=pairs, sheet=path(memorisation.sheet))
    evaluation = replace(entry.evaluation, memorisation=memorisation)
    return replace(entry, evaluation=evaluation, made=path(entry.made), real=path(entry.real))


def distinct(entries: Sequence[ReportedEvaluation]) -> tuple[ReportedEvaluation, ...]:
    """Return entries with a number behind names that come more than once."""
    names = [entry.name for entry in entries]
    counts = [names[: place + 1].count(name) for place, name in enumerate(names)]
    return tuple(
        entry if count == 1 else replace(entry, name=f"{entry.name} ({count})")
        for entry, count in zip(entries, counts, strict=True)
    )


def report_path(
    subjects: Sequence[str | Path], real: str | Path | None, path: Path | None, to: Path | None, *, every: bool
) -> Path | None:
    """Return where a report goes, an .html file; None for no report.

    Args:
        subjects: what it is about: things to be measured, or .json files of what was measured.
        real: what they are measured by.
        path: the file that was asked for.
        to: the .json file that the figures go to as well.
        every: whether it is about every model of a run.

    Raises:
        ConfigError: too little or too much was given, the report is no .html file, or would overwrite what it is of.
    """
    if not subjects:
        raise ConfigError("nothing is given to be measured", "give a model, a run, a dataset or a folder of clips")
    unmeasured = [subject for subject in subjects if Path(subject).suffix != ".json"]
    if real is None and unmeasured:
        raise ConfigError(
            f'there is nothing to measure "{unmeasured[0]}" by',
            "give real clips as well: a dataset or a folder of clips",
        )
    if path is None and (every or len(subjects) > 1):
        path = Path(subjects[0]) / "report.html" if every else Path("comparison.html")
    if path is None:
        if not unmeasured:
            raise ConfigError(f'"{subjects[0]}" was measured before', "give --report FILE.html for a page about it")
        return None
    path = Path(path)
    if path.suffix != ".html":
        raise ConfigError(f'report is "{path}"', "give a file that ends in .html")
    own = path.with_suffix(".json")
    if own == to or (len(subjects) > 1 and own in map(Path, subjects)):
        raise ConfigError(
            f'the report writes its own figures to "{own}"', "leave --to out, or give the report another name"
        )
    return path


def compile_report(kind: ReportKind, subjects: Sequence[str | Path], path: Path, measure: Measure) -> EvaluationReport:
    """Measure everything on a report, or read what was measured before.

    Subjects are things to be measured, or .json files of what was measured. Pictures, and videos of the first clips of
    both sides, are put into a folder beside the report, the .html file `path`: report-files for report.html.

    Raises:
        ConfigError: a side is locked, and the videos would not be.
    """
    from footage.evaluation.clip_sets import first_clips

    entries: list[ReportedEvaluation] = []
    folder = path.with_name(f"{path.stem}-files")
    for number, subject in enumerate(map(Path, subjects), 1):
        if subject.suffix == ".json":
            entries += [moved(entry, subject.parent, path.parent) for entry in read(subject).entries]
            continue
        beside = folder / f"{path.stem}{f'-{number}' if len(subjects) > 1 else ''}.json"
        evaluation, plan = measure(subjects[number - 1], beside)
        sides = (plan.made.opened.given, plan.real.opened.given)
        check_plain(sides, f'"{path}"', "ask for figures alone, without a page")
        videos = []
        for name, side, clips in zip(
            ("made", "real"), (plan.made, plan.real), plan.clips(evaluation.seed), strict=True
        ):
            video = beside.with_name(f"{beside.stem}-{name}.mp4")
            write_samples(video, first_clips(clips, SHOWN), side.fps / side.stride)
            videos.append(video.name)
        name = counted(evaluation.made.clips_seen, "clip") if kind == "training" else name_of(evaluation)
        entries.append(moved(ReportedEvaluation(name, evaluation, *videos), folder, path.parent))
    if kind == "one" and len(entries) > 1:  # a report of several, shown again
        kind = "compared"
    return EvaluationReport(kind, distinct(entries), f"footage {__version__}")


def grid(clips: Sequence[Frames]) -> Frames:
    """Put clips uint8 (T, H, W, C) of one size beside and below each other: (T, H', W', C), H' and W' even.

    Even sizes are what every browser plays.
    """
    height, width = clips[0].shape[1:3]
    scale = max(1, -(-SIDE // min(height, width)))
    framed = []
    for clip in clips:
        large = clip.repeat(scale, axis=1).repeat(scale, axis=2)  # T H W C -> T sH sW C
        framed.append(np.pad(large, ((0, 0), (0, GAP), (0, GAP), (0, 0)), constant_values=BETWEEN))
    framed += [np.full_like(framed[0], BETWEEN)] * (-len(framed) % min(COLUMNS, len(framed)))
    tiled = tile(framed, min(COLUMNS, len(clips)))[:, :-GAP, :-GAP]
    odd = [(0, tiled.shape[axis] % 2) for axis in (1, 2)]
    return np.pad(tiled, ((0, 0), *odd, (0, 0)), mode="edge")


def write_samples(path: Path, clips: Sequence[Frames], fps: float) -> None:
    """Write a looping .mp4 of clips uint8 (T, H, W, C) of one size, side by side, atomically."""
    shown = grid(clips)
    times = max(1, round(LEAST * fps / len(shown)))
    whole = np.concatenate([shown] * times)
    write_clip(path, chunked(whole), fps=fps, metadata={})
