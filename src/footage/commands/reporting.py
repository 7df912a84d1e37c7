"""What stands on one report: an evaluation, several beside each other, or those of all models that a run has kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from footage import __version__
from footage.errors import ConfigError

if TYPE_CHECKING:
    from footage.data.store import Frames
    from footage.evaluation.protocols import EvaluationOptions
    from footage.evaluation.report.content import Entry, Kind
    from footage.evaluation.results import Evaluation

Job = str | Path
"""Something to be measured, or a .json file with what was measured."""
Measure = Callable[[Job, Path | None], "Evaluation"]
"""Measures something; pictures are put beside the second, a .json file, where it is given."""
Draw = Callable[[Job, Path], tuple[str, str]]
"""Writes videos of something beside a .json file; returns the names of those of made and real clips."""


def wanted(
    made: Job | None,
    real: Job | None,
    *,
    every: bool,
    compare: Sequence[Job],
    report: Path | None,
    to: Path | None = None,
) -> tuple[Kind, list[Job], Path | None]:
    """Return what a report is about, everything on it, and where it goes; None for no report.

    Raises:
        ConfigError: too little or too much was given, the report is no .html file, or would overwrite what it is of.
        TrainingError: every model of a run is asked for, and there is no run.
    """
    jobs = ([] if made is None else [made]) + list(compare)
    if not jobs:
        raise ConfigError("nothing is given to be measured", "give a model, a run, a dataset or a folder of clips")
    if every and (compare or made is None):
        raise ConfigError("all is given with other things than one run", "give --all with a run and real clips alone")
    if real is None and (fresh := [job for job in jobs if not is_file(job)]):
        raise ConfigError(
            f'there is nothing to measure "{fresh[0]}" by', "give real clips as well: a dataset or a folder of clips"
        )
    if report is None and (every or len(jobs) > 1):
        report = Path(jobs[0]) / "report.html" if every else Path("comparison.html")
    if report is not None and report.suffix != ".html":
        raise ConfigError(f'report is "{report}"', "give a file that ends in .html")
    own = None if report is None else report.with_suffix(".json")
    if own is not None and (own == to or (len(jobs) > 1 and own in [Path(job) for job in jobs])):
        raise ConfigError(f'"{own}" is the file of the report itself', "give the report another name with --report")
    if not every:
        return ("compared" if len(jobs) > 1 else "one"), jobs, report
    from footage.errors import TrainingError
    from footage.training.run_folder import RunFolder, snapshots

    folder = RunFolder(Path(jobs[0]))
    if not folder.config.exists():
        raise TrainingError(f'"{folder.path}" is no run', "give --all with the folder of a training run")
    found = [path for path, _ in snapshots(folder)]
    if not found:
        raise TrainingError(f'the run "{folder.path}" has no model yet', "train it for longer first")
    return "training", list(found), report


def is_file(job: Job) -> bool:
    """Whether something was measured before."""
    return Path(job).suffix == ".json"


def write(kind: Kind, jobs: Sequence[Job], report: Path, measure: Measure, draw: Draw, to: Path | None) -> Evaluation:
    """Measure everything, write the report, and return the figures of its main entry.

    Args:
        kind: what it is about.
        jobs: everything on it.
        report: an .html file; report.json, pictures and videos are put beside it.
        measure: measures one of the jobs.
        draw: writes videos of one.
        to: where the figures of the main entry go as well.
    """
    from footage.evaluation import results
    from footage.evaluation.report import content
    from footage.evaluation.report.document import write_report

    entries: list[Entry] = []
    for number, job in enumerate(jobs):
        if is_file(job):
            entries += [content.moved(e, Path(job).parent, report.parent) for e in content.read(Path(job)).entries]
            continue
        beside = report.with_name(f"{report.stem}{f'-{number + 1}' if len(jobs) > 1 else ''}.json")
        found = measure(job, beside)
        made, real = draw(job, beside)
        name = f"{found.made.clips_seen:,} clips" if kind == "training" else content.name_of(found)
        entries.append(content.Entry(name, found, made, real))
    same = len(entries) > 1 and kind == "one"  # a report of several, shown again
    shown = content.Report("compared" if same else kind, content.distinct(entries), f"footage {__version__}")
    write_report(report, shown)
    if to is not None:
        old, new = report.parent, Path(to).parent
        results.write(Path(to), content.moved(shown.main, old, new).evaluation)
    return shown.main.evaluation


def videos(made: Job, real: Job, options: EvaluationOptions, beside: Path) -> tuple[str, str]:
    """Write the first clips of both sides as looping videos beside a .json file; return their names.

    Real clips beside answers are those that the model was given, one by one; the others are drawn as for the figures.
    """
    from footage.evaluation.inputs import plan_evaluation
    from footage.evaluation.report.samples import SHOWN, write_samples

    settled = plan_evaluation(made, real, replace(options, windows=0))
    names = []
    for what, side in zip(("made", "real"), settled.clips(options.seed), strict=True):
        shown: dict[int, Frames] = {}
        for numbers, clips in side.batches(range(min(SHOWN, side.count))):
            shown |= dict(zip(numbers.tolist(), clips, strict=True))
        chosen = settled.made if what == "made" else settled.real
        path = beside.with_name(f"{beside.stem}-{what}.mp4")
        write_samples(path, [shown[number] for number in sorted(shown)], chosen.fps / chosen.stride)
        names.append(path.name)
    return names[0], names[1]
