"""Verbs that measure: `evaluate`, and `evaluator`, the feature networks that it measures with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from footage import __version__
from footage.commands.terminal import make_console
from footage.config.arguments import arguments_of
from footage.errors import ConfigError
from footage.evaluation.protocols import EvaluationOptions
from footage.models.requests import DeviceName

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from footage.evaluation.features.learned import LearnedNetwork
    from footage.evaluation.inputs import EvaluationPlan
    from footage.evaluation.report.content import Kind, ReportedEvaluation
    from footage.evaluation.results import Evaluation

Job = str | Path
"""Something to be measured, or a .json file with what was measured."""


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(EvaluationOptions):
    """What `footage evaluate` is asked for: an evaluation, its two sides, and what becomes of the figures."""

    made: str | Path | None = field(default=None, kw_only=False)
    """what is judged: a model, a run, a dataset, a folder of videos or of folders of numbered pictures; or a .json file
    of what was measured before, for a report."""
    real: str | Path | None = field(default=None, kw_only=False)
    """what it is judged by: any of the same, a built-in data set, or MNIST's images for Moving MNIST."""
    to: Path | None = None
    """a .json file for all figures; pictures of the nearest training clips are put beside it."""
    report: Path | None = None
    """an .html file for a page with figures, plots, looping samples, nearest neighbours and the protocol; it needs
    nothing else. A .json file with all figures, pictures and videos are put beside it."""
    all: bool = False
    """measure every model that a run has kept, for curves over its training, see --train.snapshot-clips; the report is
    RUN/report.html."""
    compare: tuple[str, ...] = ()
    """others to be measured by the same clips, or .json files of what was measured, side by side on one report;
    comparison.html when nothing is said."""
    quiet: bool = False
    """print nothing."""


@arguments_of(EvaluateOptions)
def evaluate(options: EvaluateOptions) -> Evaluation:
    """Measure clips beside real ones, each side a model, a run, a dataset, or a folder of clips from any program.

    Every figure comes with its tier, the networks' hashes, counts, seeds, a confidence interval, and the same figure of
    real clips against real ones. Without official weights nothing is called FVD: see docs/metrics.md.

    Returns:
        All figures, see `footage.evaluation.results.Evaluation`; of several, those of the first, or of the last model
        of a run.

    Raises:
        ConfigError: a value is out of range, or the sides do not go together.
        DatasetError: there are no clips, or none that are long enough.
        ModelError: a model is damaged.
    """
    kind, jobs, report = report_jobs(options)
    from footage.evaluation import results
    from footage.models.device import find_device

    console, to = make_console(options.quiet), options.to
    options = replace(options, device=cast(DeviceName, find_device(options.device).device))
    if report is None:
        evaluation, _ = _measured(jobs[0], options, to, console)
        if to is not None:
            results.write(Path(to), evaluation)
    else:
        evaluation = _write_report(kind, jobs, options, Path(report), console)
        console.print(f"the report is {report}", highlight=False)
    if to is not None:
        console.print(f"all figures in {to}", highlight=False)
    return evaluation


def report_jobs(options: EvaluateOptions) -> tuple[Kind, list[Job], Path | None]:
    """Return what a report is about, everything on it, and where it goes; None for no report.

    Raises:
        ConfigError: too little or too much was given, the report is no .html file, or would overwrite what it is of.
        TrainingError: every model of a run is asked for, and there is no run.
    """
    made, real, every, to, report = options.made, options.real, options.all, options.to, options.report
    if to is not None and Path(to).suffix != ".json":
        raise ConfigError(f'to is "{to}"', "give a file that ends in .json")
    jobs = ([] if made is None else [made]) + list(options.compare)
    if not jobs:
        raise ConfigError("nothing is given to be measured", "give a model, a run, a dataset or a folder of clips")
    if every and (options.compare or made is None):
        raise ConfigError("all is given with other things than one run", "give --all with a run and real clips alone")
    if real is None and (fresh := [job for job in jobs if not is_results_file(job)]):
        raise ConfigError(
            f'there is nothing to measure "{fresh[0]}" by', "give real clips as well: a dataset or a folder of clips"
        )
    if report is None and (every or len(jobs) > 1):
        report = Path(jobs[0]) / "report.html" if every else Path("comparison.html")
    if report is not None and Path(report).suffix != ".html":
        raise ConfigError(f'report is "{report}"', "give a file that ends in .html")
    own = None if report is None else Path(report).with_suffix(".json")
    if own is not None and (own == to or (len(jobs) > 1 and own in [Path(job) for job in jobs])):
        raise ConfigError(f'"{own}" is the file of the report itself', "give the report another name with --report")
    if not every:
        return ("compared" if len(jobs) > 1 else "one"), jobs, report
    from footage.errors import TrainingError
    from footage.training.run_folder import RunFolder, snapshots

    folder = RunFolder(Path(jobs[0]))
    if not folder.config.exists():
        raise TrainingError(f'"{folder.path}" is no run', "give --all with the folder of a training run")
    models = [path for path, _ in snapshots(folder)]
    if not models:
        raise TrainingError(f'the run "{folder.path}" has no model yet', "train it for longer first")
    return "training", list(models), report


def is_results_file(job: Job) -> bool:
    """Whether something was measured before."""
    return Path(job).suffix == ".json"


def _measured(
    job: Job, options: EvaluateOptions, beside: Path | None, console: Console
) -> tuple[Evaluation, EvaluationPlan]:
    """Measure something and print the figures and warnings; pictures are put beside a .json file."""
    from footage.evaluation.inputs import open_inputs, plan_evaluation
    from footage.evaluation.results import table
    from footage.evaluation.run import asked_metrics, evaluate

    assert options.real is not None, "what is measured anew has something to be measured by"
    asked_metrics(options)
    with console.status("measuring") as status:
        plan = plan_evaluation(*open_inputs(job, options.real, options), options)
        evaluation = evaluate(plan, options, to=beside, say=status.update)
    console.print(table(evaluation))
    for warning in evaluation.warnings:
        console.print("warning", style="bold yellow", end=": ")
        console.print(warning, highlight=False, markup=False)
    return evaluation, plan


def _write_report(
    kind: Kind, jobs: Sequence[Job], options: EvaluateOptions, report: Path, console: Console
) -> Evaluation:
    """Measure everything on a report, or read what was measured before, and write it.

    The first clips of both sides become videos beside the report.

    Returns:
        The figures of its main entry, which are written where `to` says as well.
    """
    from footage.evaluation import results
    from footage.evaluation.clip_sets import first_clips
    from footage.evaluation.report import content
    from footage.evaluation.report.page import write_report
    from footage.evaluation.report.samples import SHOWN, write_samples

    entries: list[ReportedEvaluation] = []
    for number, job in enumerate(jobs):
        if is_results_file(job):
            entries += [content.moved(e, Path(job).parent, report.parent) for e in content.read(Path(job)).entries]
            continue
        beside = report.with_name(f"{report.stem}{f'-{number + 1}' if len(jobs) > 1 else ''}.json")
        evaluation, plan = _measured(job, options, beside, console)
        videos = []
        for what, side, clips in zip(("made", "real"), (plan.made, plan.real), plan.clips(options.seed), strict=True):
            path = beside.with_name(f"{beside.stem}-{what}.mp4")
            write_samples(path, first_clips(clips, SHOWN), side.fps / side.stride)
            videos.append(path.name)
        name = f"{evaluation.made.clips_seen:,} clips" if kind == "training" else content.name_of(evaluation)
        entries.append(content.ReportedEvaluation(name, evaluation, *videos))
    if len(entries) > 1 and kind == "one":  # a report of several, shown again
        kind = "compared"
    shown = content.EvaluationReport(kind, content.distinct(entries), f"footage {__version__}")
    write_report(report, shown)
    if options.to is not None:
        main = content.moved(shown.main, report.parent, Path(options.to).parent)
        results.write(Path(options.to), main.evaluation)
    return shown.main.evaluation


def evaluator() -> None:
    """Feature networks for evaluating: train one on a data set, convert an official one, list the official ones."""


def train_evaluator(
    dataset: str,
    *,
    to: Path,
    tasks: tuple[Literal["labels", "speed", "arrow", "contrastive"], ...] = (),
    frames: int = 16,
    clips: int = 5120,
    share: float = 0.5,
    seed: int = 0,
    quiet: bool = False,
) -> Path:
    """Train a feature network on some clips of a data set, and let it prove itself on the corruption ladder.

    Half of the files teach it; evaluation with it leaves their clips out. It learns the labels, or, where there are
    none, how fast a clip is played, which way time goes, and which two windows are of one clip. Then real clips that
    it has not seen are blurred, frozen, shuffled and so on, step by step: a network that does not rank them is written,
    and says why, but cannot be used. The same command again goes on where it stopped.

    Args:
        dataset: a dataset folder, or the name of a built-in data set.
        to: the file; the first letters of its SHA-256 are added to the name, and a .json file is put beside it.
        tasks: what to learn, where it should not be the usual.
        frames: length of the clips.
        clips: training clips to see.
        share: part of the training split's files to learn from, label by label.
        seed: of the division, the weights and all draws.
        quiet: print nothing.

    Returns:
        The .safetensors file.
    """
    for name, value, least in (("frames", frames, 4), ("clips", clips, 1)):
        if value < least:
            raise ConfigError(f"{name} is {value}", f"give at least {least}")
    if not 0 < share < 1:
        raise ConfigError(f"share is {share:g}", "give more than 0 and less than 1, such as 0.5")
    from footage.commands.terminal import phases
    from footage.config import ClipConfig
    from footage.data.clips import open_clips
    from footage.evaluation.features.learned import LEAST
    from footage.evaluation.features.learned_training import train_evaluator as train

    console = make_console(quiet)
    source = open_clips(dataset, ClipConfig(frames=frames))
    if min(source.shape[:2]) < LEAST[1]:
        raise ConfigError(
            f"{source.name} is {source.shape[0]}×{source.shape[1]}", f"ingest at {LEAST[1]}×{LEAST[1]} or more"
        )
    with phases(console) as bars:
        path, made = train(
            source,
            Path(to),
            tasks=tasks,
            frames=frames,
            clips=clips,
            share=share,
            seed=seed,
            show=lambda what, done, total: bars(what, done, total, source.name),
        )
    for table in (_learned(made), _climbed(made)):
        console.print(table)
    if not made.failures:
        console.print(f"network  {path}   (for: footage evaluate … --evaluator {path})", highlight=False)
    else:
        console.print("refused:", style="yellow", end=" ")
        console.print(f"{'; '.join(made.failures)}. {path} cannot be used", highlight=False)
    return path


def _learned(made: LearnedNetwork) -> Table:
    """Lay out what a network learned."""
    from rich.table import Table

    table = Table("task", "accuracy on other clips", "guessing", "clips", title=f"{made.name}: what it learned")
    for task, found in made.accuracy.items():
        table.add_row(task, f"{found['accuracy']:.1%}", f"{found['guessing']:.1%}", f"{found['clips']:.0f}")
    return table


def _climbed(made: LearnedNetwork) -> Table:
    """Lay out what a network's ladder came to."""
    from rich.table import Table

    ladder = made.ladder
    table = Table("corruption", "strength: distance over floor", "ranked", title=f"the ladder: {ladder['note']}")
    for rung in ladder["rungs"]:
        steps = zip(rung["strengths"], rung["figures"], strict=True)
        cells = "   ".join(f"{strength:g}: {figure / ladder['floor']:.3g}" for strength, figure in steps)
        said = "yes" if rung["rises"] else "no" if rung["required"] else "no (need not be)"
        said = "yes, within chance" if rung["rises"] and not rung["strictly"] else said
        table.add_row(rung["corruption"], cells, said)
    return table


def convert_evaluator(
    file: Path,
    *,
    network: Literal["i3d", "i3d-kinetics", "inception", "c3d", "videomae", "vjepa", "lpips-alex", "lpips-vgg"],
    to: Path,
    sha256: str | None = None,
    quiet: bool = False,
) -> Path:
    """Turn a published file of weights into safetensors, once its hash was checked; nothing in it can run code.

    Args:
        file: the file as published; of c3d the .npz file, with mean2.npz beside it; of lpips-alex and lpips-vgg
            torchvision's file of the trunk, with alex.pth or vgg.pth, the heads, beside it.
        network: the network that it is for; see: footage evaluator list.
        to: the folder for what is made.
        sha256: what the file's SHA-256 should be, where the true one is not known to us.
        quiet: print nothing.

    Returns:
        The .safetensors file.
    """
    from footage.evaluation.features.official import convert

    path = convert(Path(file), network, Path(to), sha256)
    make_console(quiet).print(f"network  {path}   (for: footage evaluate … --weights {path})", highlight=False)
    return path


def list_evaluators(*, quiet: bool = False) -> list[str]:
    """List the published feature networks: which file each needs, where it is, and its hash.

    Args:
        quiet: print nothing.

    Returns:
        Their names.
    """
    from footage.evaluation.features.official import OFFICIAL

    console = make_console(quiet)
    for name, entry in OFFICIAL.items():
        console.print(f"{name:<13} {entry.what}", highlight=False)
        console.print(f"  file        {entry.file}, from {entry.url}", highlight=False, soft_wrap=True)
        unknown = "not known to us: convert it with --sha256; figures will say so"
        console.print(f"  SHA-256     {entry.sha256 or unknown}", highlight=False, soft_wrap=True)
        if entry.beside is not None:
            beside = entry.beside
            console.print(f"  beside it   {beside.file}, from {beside.url}", highlight=False, soft_wrap=True)
            console.print(f"  SHA-256     {beside.sha256 or unknown}", highlight=False, soft_wrap=True)
        console.print()
    return list(OFFICIAL)
