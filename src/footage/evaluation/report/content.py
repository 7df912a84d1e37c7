"""What a report is about, and its file report.json: one evaluation, several beside each other, or those of a run."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from footage import files
from footage.config import from_json
from footage.errors import ConfigError, DatasetError
from footage.evaluation import results
from footage.evaluation.results import Evaluation, Figure

SCHEMA = 1
"""Version of report.json. A higher number than ours is refused."""
Kind = Literal["one", "compared", "training"]
"""`one` evaluation, several to be `compared`, or those of a run through its `training`, in their order."""


@dataclass(frozen=True)
class ReportedEvaluation:
    """One evaluation of a report."""

    name: str
    """What it is called."""
    evaluation: Evaluation
    """The figures."""
    made: str = ""
    """Path of a video of clips that were made, relative to report.json; may be empty."""
    real: str = ""
    """Path of one of real clips."""


@dataclass(frozen=True)
class EvaluationReport:
    """The content of report.json."""

    kind: Kind
    """What its entries have to do with each other."""
    entries: tuple[ReportedEvaluation, ...]
    """The evaluations."""
    made_by: str
    """Program and version."""
    schema: int = SCHEMA
    """Version of the format."""

    def __post_init__(self) -> None:
        """Refuse a report about nothing.

        Raises:
            ConfigError: there is no entry.
        """
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


REMEDY = "Measure them by the same clips and protocol."
"""What to do about evaluations that are not comparable."""
Key = tuple[str, str, tuple[str, ...]]
"""What figures of several evaluations must share to be the same figure: name, label, digests of the networks."""


def key_of(entry: ReportedEvaluation, figure: Figure) -> Key:
    """Return what tells whether figures of two evaluations are the same."""
    digests = {network.name: network.digest for network in entry.evaluation.networks}
    return figure.name, figure.label, tuple(digests.get(name, name) for name in figure.networks)


def common(entries: Sequence[ReportedEvaluation]) -> list[tuple[Key, list[Figure | None]]]:
    """Return every figure of several evaluations once, with what each of them has of it, None for nothing."""
    found: dict[Key, list[Figure | None]] = {}
    for place, entry in enumerate(entries):
        for figure in entry.evaluation.figures:
            row = found.setdefault(key_of(entry, figure), [None] * len(entries))
            row[place] = row[place] or figure
    return list(found.items())


def mismatches(entries: Sequence[ReportedEvaluation]) -> list[str]:
    """Return why evaluations must not be held against each other: other real clips, or measured in another way."""
    first, found = entries[0], []
    for other in entries[1:]:
        one, two = first.evaluation, other.evaluation
        unlike = [
            f"{what} {x} and {y}"
            for what, x, y in (
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
            found.append(f"{first.name} and {other.name} are not comparable: {'; '.join(unlike)}. {REMEDY}")
    return found


def write(path: Path, report: EvaluationReport) -> None:
    """Write report.json, atomically."""
    value = json.loads(json.dumps(asdict(report)))  # tuples become lists
    files.write_json(path, value)


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
        found = results.read(path)
        return EvaluationReport("one", (ReportedEvaluation(name_of(found), found),), found.made_by)
    files.refuse_newer(value.get("schema"), SCHEMA, path, DatasetError)
    try:
        return from_json(EvaluationReport, value, path.name)
    except (ConfigError, TypeError) as error:
        raise DatasetError(f"{path} holds no report ({error})", remedy) from None


def name_of(evaluation: Evaluation) -> str:
    """Return what to call an evaluation where nothing else is said."""
    made = evaluation.made
    return f"{made.name}, {made.clips_seen:,} clips" if made.clips_seen else made.name


def moved(entry: ReportedEvaluation, old: Path, new: Path) -> ReportedEvaluation:
    """Return an entry whose pictures and videos are named from another folder."""

    def path(text: str) -> str:
        return Path(os.path.relpath(old / text, new)).as_posix() if text else ""

    found = entry.evaluation.memorisation
    if found is not None:
        pairs = tuple(replace(pair, picture=path(pair.picture)) for pair in found.pairs)
        found = replace(found, pairs=pairs, sheet=path(found.sheet))
    evaluation = replace(entry.evaluation, memorisation=found)
    return replace(entry, evaluation=evaluation, made=path(entry.made), real=path(entry.real))


def distinct(entries: Sequence[ReportedEvaluation]) -> tuple[ReportedEvaluation, ...]:
    """Return entries with a number behind names that come more than once."""
    counts: dict[str, int] = {}
    found = []
    for entry in entries:
        counts[entry.name] = counts.get(entry.name, 0) + 1
        again = counts[entry.name]
        found.append(entry if again == 1 else replace(entry, name=f"{entry.name} ({again})"))
    return tuple(found)
