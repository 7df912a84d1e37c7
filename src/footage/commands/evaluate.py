"""Verbs that measure: `evaluate`, and `evaluator`, the feature networks that it measures with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from footage import __version__
from footage.commands.terminal import make_console
from footage.errors import ConfigError
from footage.evaluation.protocols import EvaluationOptions

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from footage.evaluation.features.learned import LearnedNetwork
    from footage.evaluation.inputs import EvaluationPlan
    from footage.evaluation.report.content import Kind, ReportedEvaluation
    from footage.evaluation.results import Evaluation

Job = str | Path
"""Something to be measured, or a .json file with what was measured."""


def evaluate(
    made: str | Path | None = None,
    real: str | Path | None = None,
    *,
    metrics: str | None = None,
    protocol: str = "footage",
    clips: int | None = None,
    frames: int | None = None,
    fps: float | None = None,
    size: str | None = None,
    fit: Literal["crop", "letterbox", "stretch"] = "crop",
    repeats: int | None = None,
    samples: int = 1,
    split: Literal["heldout", "train", "all"] | None = None,
    windows: int = 0,
    networks: str | None = None,
    weights: Path | None = None,
    evaluator: Path | None = None,
    resamples: int = 100,
    guide: str | None = None,
    seed: int = 0,
    to: Path | None = None,
    report: Path | None = None,
    all: bool = False,
    compare: tuple[str, ...] = (),
    cache: Path | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    quiet: bool = False,
) -> Evaluation:
    """Measure clips beside real ones, each side a model, a run, a dataset, or a folder of clips from any program.

    Every figure comes with its tier, the networks' hashes, counts, seeds, a confidence interval, and the same figure of
    real clips against real ones. Without official weights nothing is called FVD: see docs/metrics.md.

    Args:
        made: what is judged: a model, a run, a dataset, a folder of videos or of folders of numbered pictures; or a
            .json file of what was measured before, for a report.
        real: what it is judged by: any of the same, a built-in data set, or MNIST's images for Moving MNIST.
        metrics: families of figures with commas between them: fvd, kvd, fid, kid, is, prdc, accuracy, motion, pictures,
            diversity, fidelity, memorisation, windows; left out, all that can be measured but windows.
        protocol: footage, styleganv-fvd16, styleganv-fvd128, styleganv-fvd128-subsample8, is-2048, is-10000 or fid-50k.
        clips: clips on each side, instead of the protocol's number.
        frames: their length; left out, the protocol's, else the model's, else 16.
        fps: their rate; left out, their own.
        size: their size, such as 64x64; left out, the model's, else their own.
        fit: how frames of another shape are fitted in.
        repeats: how often all is drawn anew.
        samples: futures, or translations, of each clip, where a model knows more than one.
        split: clips that were held out, those that were trained on, or all; left out, the training clips beside what
            generates, held-out clips for what is given clips, else all.
        windows: windows of long videos to follow over time.
        networks: names of feature networks with commas between them; left out, those that there are weights of, else
            random ones.
        weights: the file of an official network, or a folder with those of several; with those of LPIPS, answers are
            compared with the truth by it too.
        evaluator: the file of a network that `footage evaluator train` made.
        resamples: how often clips are drawn anew for confidence intervals; 0 for none.
        guide: the data set that a translator between two was given.
        seed: of the choice of windows, and of everything random.
        to: a .json file for all figures; pictures of the nearest training clips are put beside it.
        report: an .html file for a page with figures, plots, looping samples, nearest neighbours and the protocol; it
            needs nothing else. A .json file with all figures, pictures and videos are put beside it.
        all: measure every model that a run has kept, for curves over its training, see --train.snapshot-clips; the
            report is RUN/report.html.
        compare: others to be measured by the same clips, or .json files of what was measured, side by side on one
            report; comparison.html when nothing is said.
        cache: folder for features, so that they are computed once; `none` to keep nothing. Left out, the user's cache.
        device: where to compute.
        quiet: print nothing.

    Returns:
        All figures, see `footage.evaluation.results.Evaluation`; of several, those of the first, or of the last model
        of a run.

    Raises:
        ConfigError: a value is out of range, or the sides do not go together.
        DatasetError: there are no clips, or none that are long enough.
        ModelError: a model is damaged.
    """
    if to is not None and Path(to).suffix != ".json":
        raise ConfigError(f'to is "{to}"', "give a file that ends in .json")
    options = EvaluationOptions(
        metrics=metrics,
        protocol=protocol,
        clips=clips,
        frames=frames,
        fps=fps,
        size=size,
        fit=fit,
        repeats=repeats,
        samples=samples,
        split=split,
        windows=windows,
        networks=networks,
        weights=weights,
        evaluator=evaluator,
        resamples=resamples,
        guide=guide,
        seed=seed,
        cache=cache,
    )
    kind, jobs, report = report_jobs(made, real, every=all, compare=compare, report=report, to=to)
    console = make_console(quiet)
    options = replace(options, device=_device(device))
    from footage.evaluation import results

    if report is None:
        assert real is not None, "what is measured anew has something to be measured by"
        evaluation, _ = _measured(jobs[0], real, options, to, console)
        if to is not None:
            results.write(Path(to), evaluation)
    else:
        entries = _entries(kind, jobs, real, options, Path(report), console)
        evaluation = _write_report(kind, entries, Path(report), to)
        console.print(f"the report is {report}", highlight=False)
    if to is not None:
        console.print(f"all figures in {to}", highlight=False)
    return evaluation


def report_jobs(
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
    if real is None and (fresh := [job for job in jobs if not is_results_file(job)]):
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
    models = [path for path, _ in snapshots(folder)]
    if not models:
        raise TrainingError(f'the run "{folder.path}" has no model yet', "train it for longer first")
    return "training", list(models), report


def is_results_file(job: Job) -> bool:
    """Whether something was measured before."""
    return Path(job).suffix == ".json"


def _device(name: Literal["auto", "cpu", "cuda", "mps"]) -> Literal["auto", "cpu", "cuda", "mps"]:
    from footage.models.device import find_device

    return cast(Literal["auto", "cpu", "cuda", "mps"], find_device(name).device)


def _measured(
    job: Job, real: Job, options: EvaluationOptions, beside: Path | None, console: Console
) -> tuple[Evaluation, EvaluationPlan]:
    """Measure something and print the figures and warnings; pictures are put beside a .json file."""
    from footage.evaluation.inputs import open_inputs, plan_evaluation
    from footage.evaluation.results import table
    from footage.evaluation.run import asked_metrics, evaluate

    asked_metrics(options)
    with console.status("measuring") as status:
        plan = plan_evaluation(*open_inputs(job, real, options), options)
        evaluation = evaluate(plan, options, to=beside, say=status.update)
    console.print(table(evaluation))
    for warning in evaluation.warnings:
        console.print("warning", style="bold yellow", end=": ")
        console.print(warning, highlight=False, markup=False)
    return evaluation, plan


def _entries(
    kind: Kind, jobs: Sequence[Job], real: Job | None, options: EvaluationOptions, report: Path, console: Console
) -> list[ReportedEvaluation]:
    """Measure everything on a report, or read what was measured before; the first clips of both sides become videos."""
    from footage.evaluation.clip_sets import first_clips
    from footage.evaluation.report import content
    from footage.evaluation.report.samples import SHOWN, write_samples

    entries: list[ReportedEvaluation] = []
    for number, job in enumerate(jobs):
        if is_results_file(job):
            entries += [content.moved(e, Path(job).parent, report.parent) for e in content.read(Path(job)).entries]
            continue
        assert real is not None, "what is measured anew has something to be measured by"
        beside = report.with_name(f"{report.stem}{f'-{number + 1}' if len(jobs) > 1 else ''}.json")
        evaluation, plan = _measured(job, real, options, beside, console)
        videos = []
        for what, side, clips in zip(("made", "real"), (plan.made, plan.real), plan.clips(options.seed), strict=True):
            path = beside.with_name(f"{beside.stem}-{what}.mp4")
            write_samples(path, first_clips(clips, SHOWN), side.fps / side.stride)
            videos.append(path.name)
        name = f"{evaluation.made.clips_seen:,} clips" if kind == "training" else content.name_of(evaluation)
        entries.append(content.ReportedEvaluation(name, evaluation, *videos))
    return entries


def _write_report(kind: Kind, entries: list[ReportedEvaluation], report: Path, to: Path | None) -> Evaluation:
    """Write a report, and return the figures of its main entry, which go into `to` as well."""
    from footage.evaluation import results
    from footage.evaluation.report import content
    from footage.evaluation.report.page import write_report

    same = len(entries) > 1 and kind == "one"  # a report of several, shown again
    shown = content.EvaluationReport("compared" if same else kind, content.distinct(entries), f"footage {__version__}")
    write_report(report, shown)
    if to is not None:
        results.write(Path(to), content.moved(shown.main, report.parent, Path(to).parent).evaluation)
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
