"""Verbs about data and training: make a data set, say what is in it; train a model, compare several."""

from __future__ import annotations

import glob
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from footage.commands.lock import new_key
from footage.commands.terminal import make_console, phases, print_marked, tell_follower, working
from footage.config import ClipConfig, Config, IngestConfig, LaunchConfig, to_json
from footage.config.presets import knob_words, options, override, preset
from footage.config.sections import unlimited
from footage.errors import ConfigError, DatasetError, FootageError, counted
from footage.files import describe_fault, locked
from footage.machines import remote
from footage.trust.locks import lock_new

if TYPE_CHECKING:
    from rich.console import Console

    from footage.data.ingest.builder import IngestResult
    from footage.data.store import Dataset
    from footage.media.geometry import VolumeScale
    from footage.training.comparison import Comparison
    from footage.training.estimate import Estimate
    from footage.training.plan import TrainingPlan
    from footage.training.processes import Processes
    from footage.training.selection import SelectionOptions

INGEST = IngestConfig()
"""The options of `ingest` when nothing is said."""
REJECTIONS = 8
"""Files of volumes that are left out and told of, at most: their paths, which may hold names, are written nowhere."""
ALONE = LaunchConfig()
"""A training in this process."""


def ingest(
    sources: tuple[Path, ...],
    to: Path,
    config: IngestConfig = INGEST,
    *,
    on: str | None = None,
    advise: bool = True,
    lock: bool = False,
    keyring: bool = False,
    yes: bool = False,
    quiet: bool = False,
) -> IngestResult:
    """Make a data set from videos. Run again, it decodes only what is new or changed.

    Folders of DICOM files and .nii.gz files become a data set of volumes, clips whose time is depth, split by patient;
    see docs/volumes.md. footage is not a medical device.

    Args:
        sources: videos, folders (searched with their subfolders), folders of numbered pictures, MNIST's IDX files,
            arrays (.npy, .npz), archives (.tar, .zip, .tfrecords), data sets in known layouts (docs/exchange.md); or
            addresses of them, such as s3://bucket/clips; or volumes: DICOM, .nii.gz.
        to: the dataset folder, or an address of one.
        config: the options.
        advise: measure what a model could be trained from it (takes a few seconds).
        lock: lock a new data set as it is made, so that nothing plain of it is ever written; see `footage lock`. Models
            that are trained from it are locked with its key.
        keyring: with --lock, keep the key in the system's keyring, not a passphrase.
        yes: with --lock, agree that without the key everything is lost for good.
    """
    from footage.data.ingest.pipeline import check_near
    from footage.data.ingest.pipeline import ingest as ingest_sources
    from footage.machines.cluster import connect

    console = make_console(quiet)
    if lock or locked.folder_of(to) is not None:
        check_near([*sources, to], on)
    if lock and locked.folder_of(to) is None:
        with new_key(keyring, yes) as source:
            lock_new(to, source)
            return ingest(sources, to, config, advise=advise, quiet=quiet)
    with connect(on, config.workers if on else None) as cluster, phases(console) as show:
        result = ingest_sources(sources, to, config, lambda p: show(p.phase, p.done, p.total, p.name), cluster)
    line = f"{counted(result.sources, 'source')} in {result.seconds:.1f} s: {result.decoded:,} decoded"
    lines = [*(f"read as {layout}" for layout in result.layouts), f"{line}, {result.reused:,} as before"]
    console.print("\n".join(lines), markup=False, soft_wrap=True)
    if result.gone:
        text = (
            f"no longer in the data set: {counted(len(result.gone), 'source')} of an earlier run, not given again, "
            f"such as {result.gone[0]}: name all sources each time"
        )
        print_marked(console, "warning:", text)
    if (volume := result.dataset.info.volume) is not None:
        print_volumes(console, result, volume)
    _write_audit(result.dataset, advise, console)
    return result


def print_volumes(console: Console, result: IngestResult, volume: VolumeScale) -> None:
    """Print what voxels of a new data set mean, and which were left out: files would tell the paths."""
    low, high = volume.window
    console.print(
        f"volumes  {result.dataset.info.clips:,}, voxels {' × '.join(f'{step:g}' for step in volume.spacing)} mm, "
        f"{low:g} to {high:g} {volume.unit or '(no unit)'}; not a medical device, not for diagnosis"
    )
    told = (f"{one.source}: {one.reason}, {one.detail}" for one in result.rejections[:REJECTIONS])
    print_marked(console, "left out:", *told)
    if (more := len(result.rejections) - REJECTIONS) > 0:
        console.print(f"{more:,} more are left out: rejected.jsonl has the reasons, without paths")


def audit(dataset: Path, *, advise: bool = True, quiet: bool = False) -> Path:
    """Say what is in a data set, what was left out and why, and what could be trained from it.

    Args:
        dataset: the dataset folder.
        advise: measure what a model could be trained from it (takes a few seconds).

    Returns:
        The page, audit.html in the dataset folder; where that may not be written a warning says so.
    """
    from footage.data.store import Dataset

    opened = Dataset(dataset)
    _write_audit(opened, advise, make_console(quiet))
    return opened.folder / "audit.html"


def _write_audit(dataset: Dataset, advise: bool, console: Console) -> None:
    """Print what is in a data set, and write the same to audit.html, where that may be written."""
    from footage.data.audit import Audit

    facts, to = Audit(dataset), f"{dataset.place}/audit.html"

    def write() -> str:
        try:
            with remote.sent(to) as page:
                facts.write(page.path)
        except (FootageError, OSError) as fault:
            return describe_fault(fault) if isinstance(fault, OSError) else str(fault)
        return ""

    if dataset.is_locked:  # a page that no browser can open
        if advise:
            from footage.training.plan import recommend

            facts.recommendation = list(recommend(dataset).items())
        console.print(facts.text())
        console.print(f"locked   {dataset.place}: no audit.html is written")
        return
    problem = write()  # it is there, though the measuring may be stopped
    if advise:
        from footage.training.plan import recommend

        with working(console, "measuring what could be trained from it"):
            facts.recommendation = list(recommend(dataset).items())
        problem = problem or write()
    console.print(facts.text())
    if problem:
        print_marked(console, "warning:", f"{to} is not written: {problem}")
    else:
        console.print(f"audit    {to}")


@dataclass(frozen=True)
class TrainingRun:
    """A training run on disk."""

    path: Path
    interrupted: bool = False
    """Whether it was stopped by the user and not by its budget."""
    config: Config | None = None
    """Of a dry run: the whole configuration that it would have. A run on disk holds its own in config.json."""

    @property
    def model(self) -> Path:
        """The model folder inside it."""
        return self.path / "model"


def train(
    data: str,
    config: Config | str | Mapping[str, Any] | None = None,
    *,
    guide: str | None = None,
    out: Path | None = None,
    minutes: float | None = None,
    clips: int | None = None,
    begin_with: Path | None = None,
    probe: bool = False,
    evaluate_every: int | None = None,
    evaluate_clips: int = 256,
    evaluate_metric: Literal["frechet", "kernel", "copies"] = "frechet",
    evaluator: Path | None = None,
    launch: LaunchConfig = ALONE,
    dry_run: bool = False,
    quiet: bool = False,
) -> TrainingRun:
    """Train a model. The same command again goes on where it stopped; more minutes or clips extend an ended run.

    Where no preset is named, one is chosen that suits the data; of a folder of videos a data set is made first, beside
    the run, of the size that suits the videos and the time. What was chosen is said. A run that has begun keeps it.

    Args:
        data: a dataset folder or an address of one, such as s3://bucket/data; a folder of videos, a video, or the name
            of a built-in data set: shapes, digits, digits-2 or digits-3, phantoms (volumes), or MNIST's images (an IDX
            file) for Moving MNIST. Upscalers and lenses take crops from videos as they are.
        config: a complete configuration, or the name of a preset; else knobs, such as {"gan.lr": 1e-4}, that are to
            differ from what suits the data.
        guide: the data set that a translator is given, clips of the same names as those of `data`: label maps, say.
        out: the run folder; left out, runs/DATA-PRESET.
        minutes: minutes to train, over the whole life of the run.
        clips: training clips to see, over the whole life of the run; 200,000 when nothing is said.
        begin_with: a model of the same networks, or its run, whose weights a new run begins with: an upscaler with
            critics learns faster from one without.
        probe: first try four times and a quarter of the penalties R1 and R2, for 5% of the run each, beside the run
            folder, and train with the largest that learns; a run of a GAN that has begun keeps what was found.
        evaluate_every: training clips after which the model is measured beside held-out clips, again and again; the
            best is kept in the folder best of the run. Its figure has chosen it: report another, of fresh samples. The
            time is not counted as minutes of training.
        evaluate_clips: clips that are made for each measurement, and windows of held-out clips.
        evaluate_metric: Fréchet distance of features, or the kernel distance, which few clips do not bias; with copies
            the Fréchet distance among the models with no more near-copies of training clips than held-out clips have
            (or 2%), and the model with the fewest where all have more: for few clips, which a long run learns by heart.
        evaluator: a feature network that `footage evaluator train` has made, for these measurements; left out, random
            ones (RFD-rand).
        launch: how the training is spread over processes and machines.
        dry_run: only say what would be done: shapes, weights, memory, speed, and the knobs that differ from the
            preset's; with --json, or in the result's `config`, there are all of them.
    """
    choice = None
    if evaluate_every is not None:
        from footage.training.selection import SelectionOptions

        choice = SelectionOptions(evaluate_every, evaluate_clips, evaluate_metric, evaluator)
    console = make_console(quiet)
    order = TrainingOrder(data, config, guide, out, minutes, clips, begin_with, probe, choice, dry_run, console)
    return order.begin(launch)


@dataclass(frozen=True)
class TrainingOrder:
    """What `train` was asked for; see there."""

    data: str
    config: Config | str | Mapping[str, Any] | None
    guide: str | None
    out: Path | None
    minutes: float | None
    clips: int | None
    begin_with: Path | None
    probe: bool
    choice: SelectionOptions | None
    """How the best model is chosen, with `evaluate_every`."""
    dry_run: bool
    console: Console

    def __post_init__(self) -> None:
        for place in filter(None, (self.data, self.guide)):
            remote.address_of(place)  # refuses one with a key, before it is printed
        if self.out is not None:
            remote.refuse_address(self.out, "out")
        for name, value in (("minutes", self.minutes), ("clips", self.clips)):
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"{name} is {value}", "give more than 0")
        if self.probe and self.clips is not None and self.minutes is not None:
            raise ConfigError(
                f"minutes is {self.minutes:g} and clips is {self.clips}, and a trial is a part of one of them",
                "give --probe with --minutes or --clips alone",
            )

    def begin(self, launch: LaunchConfig) -> TrainingRun:
        """Train: in processes of their own, or as one of those that are there, which may be this one alone."""
        if launch.several and not self.dry_run:
            return self.launch(launch)
        from footage.training.processes import Processes

        processes = Processes.join(launch.strategy)
        if launch.strategy == "fsdp" and processes.world == 1 and not launch.several:
            self.console.print("strategy is fsdp, and one process has nobody to divide with: its networks stay whole")
        with processes.led():
            return self.lead(processes) if processes.leads else self.follow(processes)

    def launch(self, launch: LaunchConfig) -> TrainingRun:
        """Train in processes of their own, by the same verb with the arguments that are given."""
        from footage.training.processes import launch as launch_processes
        from footage.training.processes import measured_devices

        words, config = ["train", self.data], self.config
        if isinstance(config, Config):
            words += shlex.split(options(config))
        elif isinstance(config, str):
            words += ["--preset", config]
        else:
            words += knob_words(config or {})
        words += knob_words({"strategy": launch.strategy} if launch.strategy != "ddp" else {})
        if launch.devices == "auto":
            launch = replace(launch, devices=measured_devices(words, self.console.print))
        flags = {"guide": self.guide, "out": self.out, "minutes": self.minutes, "clips": self.clips}
        flags |= {"begin_with": self.begin_with, "probe": self.probe, "quiet": self.console.quiet}
        if self.choice is not None:
            flags |= {f"evaluate_{name}": getattr(self.choice, name) for name in ("every", "clips", "metric")}
            flags["evaluator"] = self.choice.evaluator
        words += knob_words({name: value for name, value in flags.items() if value not in (None, False)})
        self.console.print(f"launch   {shlex.join(launch.torchrun(words))}\n")
        stopped = launch_processes(launch, words)
        return TrainingRun(Path(self.out or "runs"), stopped)

    def lead(self, processes: Processes) -> TrainingRun:
        """Prepare a training, tell the other processes of it, and train."""
        (data, config), console = self.suited(), self.console
        if config is None:  # a dry run, and no data set yet
            return TrainingRun(Path(self.out or "runs"))
        from footage.models.card import model_folder
        from footage.training import run_folder, trainer
        from footage.training.comparison import Limit, penalty_trials, probe_penalties
        from footage.training.plan import DEFAULT_CLIPS, prepare

        folder = run_folder.RunFolder(Path(self.out or Path("runs") / f"{Path(data).name or 'data'}-{config.preset}"))
        trials_folder = folder.path.with_name(f"{folder.path.name}-probe")
        probing = self.probe and not folder.config.exists()
        if self.probe:
            penalty_trials(config)  # refuses a configuration without penalties
            config = run_folder.with_found_penalties(folder, config)
        with working(console, "looking at the data and the machine"):
            with_batch = run_folder.with_found_noise(folder, run_folder.with_found_batch(folder, config))
            tried, begun = self.dry_run or not processes.sharded, run_folder.begun_labels(folder)
            plan = prepare(data, with_batch, timed=self.dry_run, tried=tried, guide=self.guide, begun=begun)
        plan, said = self.private(plan, processes)
        if self.probe:  # what would be refused after the trials is refused before
            run_folder.resume(folder, plan.config, plan.note)
        console.print(plan.table(self.minutes, self.clips or DEFAULT_CLIPS))
        for line in said:
            console.print(line, markup=False, soft_wrap=True)
        if probing:
            console.print(f"probe    R1 and R2, in {trials_folder}, before the run")
        if self.dry_run:
            console.print(f"knobs    {options(plan.config)}   (all of them: --dry-run --json)", soft_wrap=True)
            tell_follower(plan=plan.figures())
            return TrainingRun(folder.path, config=plan.config)
        if probing:
            limit = Limit(self.minutes, (self.clips or DEFAULT_CLIPS) if self.minutes is None else None)
            probed, stopped = probe_penalties(data, config, trials_folder, limit=limit, console=console)
            if stopped:
                return TrainingRun(folder.path, True)
            plan = replace(plan, config=replace(plan.config, gan=probed.gan))
        console.print(f"run      {folder.path}   (Ctrl-C saves and stops)\n")
        first = None if self.begin_with is None else model_folder(self.begin_with)
        plan, world = plan.shared_by(processes.world, found=config.train.batch_size is None), processes.world
        if world > 1:
            divided = "; networks divided among them" if processes.sharded else ""
            console.print(
                f"spread   over {world} processes, {counted(plan.batch_size // world, 'clip')} of a step each{divided}"
            )
        processes.told(
            {"data": data, "guide": self.guide, "config": to_json(plan.config), "out": str(folder.path)}
            | {"clips": self.clips, "minutes": self.minutes, "begin_with": first and str(first)}
            | {"content": plan.note.content_hash}
        )
        processes.begin()
        stopped = trainer.train(
            plan,
            folder,
            clips=self.clips,
            minutes=self.minutes,
            console=console,
            begin_with=first,
            choice=self.choice,
            processes=processes,
        )
        return TrainingRun(folder.path, stopped and world == 1)  # torchrun takes any other end than 0 for a failure

    def private(self, plan: TrainingPlan, processes: Processes) -> tuple[TrainingPlan, list[str]]:
        """Return the plan with the noise of a private training, and what is to be said of it; another as it is.

        Raises:
            ConfigError: something that was asked for is not private, or cannot be.
        """
        from footage.models.card import model_folder, read_info
        from footage.training.accounting import private_plan
        from footage.training.plan import DEFAULT_CLIPS

        if not plan.config.privacy.used:
            return plan, []
        given = f"privacy.epsilon is {plan.config.privacy.epsilon:g}, and "
        if processes.world > 1:
            raise ConfigError(f"{given}there are {processes.world} processes", "train in one")
        if self.probe:
            raise ConfigError(f"{given}a probe would look at the clips beside it", "leave --probe out")
        if self.choice is not None and self.choice.metric == "copies":
            raise ConfigError(
                f"{given}evaluate_metric is copies, which compares with the clips of the training themselves",
                "give --evaluate-metric frechet, which goes by held-out clips; those are not protected",
            )
        if self.begin_with is not None:
            known = read_info(model_folder(self.begin_with))
            if known.dataset_hash == plan.note.content_hash or known.dataset == plan.note.name:
                raise ConfigError(
                    f"{given}{self.begin_with} has learned from {known.dataset} before",
                    "give one that has learned from other, public clips, or leave --begin-with out",
                )
        clips = self.clips or (None if self.minutes else DEFAULT_CLIPS)
        return private_plan(plan, clips)

    @staticmethod
    def follow(processes: Processes) -> TrainingRun:
        """Train beside the process that leads, by what it says."""
        from footage.config import from_json
        from footage.training import trainer
        from footage.training.plan import prepare
        from footage.training.run_folder import RunFolder, begun_labels

        told = processes.told(None)
        if told is None:  # there is nothing to train, or it has failed and said so
            return TrainingRun(Path("runs"))
        folder, first = RunFolder(Path(told["out"])), told["begin_with"]
        config = from_json(Config, told["config"])
        try:
            begun = begun_labels(folder)
            plan = prepare(told["data"], config, timed=False, tried=False, guide=told["guide"], begun=begun)
        except (FootageError, OSError) as error:
            processes.begin(str(error))
            raise
        same = plan.note.content_hash == told["content"]
        processes.begin("" if same else f"{told['data']} has other clips there than where rank 0 is")
        trainer.train(
            plan,
            folder,
            clips=told["clips"],
            minutes=told["minutes"],
            console=make_console(True),
            begin_with=None if first is None else Path(first),
            processes=processes,
        )
        return TrainingRun(folder.path)

    def suited(self) -> tuple[str, Config | None]:
        """Return the data to train on and configuration: what is wanted, else what suits. Videos are ingested first.

        The configuration is None in a dry run on videos that have not been ingested: only then is it known.

        Raises:
            ConfigError, DatasetError: no size suits, or the videos cannot be ingested.
        """
        from footage.data.clips import BUILT_IN
        from footage.data.crops import holds_videos
        from footage.training.run_folder import RunFolder, read_config

        data, wanted = self.data, self.config
        knobs = dict(wanted) if isinstance(wanted, Mapping) else {}
        config = preset(wanted) if isinstance(wanted, str) else wanted if isinstance(wanted, Config) else None
        if config is None and self.out is not None and (stored := read_config(RunFolder(Path(self.out)))) is not None:
            config = override(stored[0], knobs)
        ingests = (
            self.guide is None
            and not (config is not None and config.net.crops)
            and data not in BUILT_IN
            and holds_videos(data)
        )
        if ingests:
            shape = None if config is None else config.clip
            data = str(self.ingest_first(Path(data), shape, knobs))
        far = remote.address_of(data) is not None
        there = self.guide is None and (far or (Path(data) / "dataset.json").exists())
        if config is None and there:
            from footage.data.store import Dataset
            from footage.training.plan import choose_preset

            config, reason = choose_preset(Dataset(data))
            config = override(config, knobs)
            self.console.print(f"chosen   {reason}")
        known, config = config is not None, config or preset("volume-32" if data == "phantoms" else "stream-64", knobs)
        if ingests:
            given = {
                "--minutes": None if self.minutes is None else f"{self.minutes:.15g}",
                "--clips": self.clips,
                "--out": self.out,
            }
            limits = [f" {flag} {shlex.quote(str(value))}" for flag, value in given.items() if value is not None]
            words = options(config).split()[0 if known else 2 :]  # what is not known is chosen by that command too
            self.console.print(f"         footage train {' '.join([shlex.quote(data), *words])}{''.join(limits)}\n")
        return data, config if there or not ingests else None

    def ingest_first(self, videos: Path, shape: ClipConfig | None, knobs: Mapping[str, Any]) -> Path:
        """Make or bring up to date a data set beside the run, of a shape or the size that suits; return its folder."""
        from footage.data.ingest.pipeline import ingested_from, shown_sizes
        from footage.data.ingest.sources import scan
        from footage.machines.local import cores

        if shape is None:
            from footage.models.device import find_device
            from footage.training.plan import choose_size

            device = find_device(knobs.get("train.device", "auto"), "auto").device
            with phases(self.console) as show:
                shown = shown_sizes(scan([videos]).sources, cores(), show)
            size, reason = choose_size(shown, device, minutes=self.minutes, clips=self.clips)
            self.console.print(f"chosen   {reason}")
            given = {knob: knobs[f"clip.{knob}"] for knob in ("height", "width", "channels") if f"clip.{knob}" in knobs}
            shape = unlimited(2, **{"height": size.height, "width": size.width, "channels": 3, **given})
        beside, pixels = Path("runs") if self.out is None else Path(self.out).parent, f"{shape.width}x{shape.height}"
        name, origin = videos.resolve().stem if videos.is_file() else videos.resolve().name, [str(videos.absolute())]
        folder = beside / f"{name}-{pixels}{'-grey' if shape.channels == 1 else ''}"
        before = ingested_from(folder)
        if before not in (None, origin):
            raise DatasetError(
                f'"{folder}" was made of {", ".join(before or ())}, not of {videos.absolute()}',
                f'give --out in another folder, or train on that data set: footage train "{folder}"',
            )
        grey = " --channels 1" if shape.channels == 1 else ""
        self.console.print(f"data     {folder}, made of the videos; by hand the two commands are:")
        self.console.print(
            f"         footage ingest {shlex.quote(str(videos))} --to {shlex.quote(str(folder))} --size {pixels}{grey}"
        )
        for other in sorted(beside.glob(f"{glob.escape(name)}-*x*")):
            if other != folder and ingested_from(other) == origin:
                self.console.print(
                    f"also     {other} is there, of another size; footage train {other} goes on with that"
                )
        if not self.dry_run:
            channels: Literal[1, 3] = 1 if shape.channels == 1 else 3
            ingest(
                (videos,), folder, IngestConfig(size=pixels, channels=channels), advise=False, quiet=self.console.quiet
            )
        return folder


def plan(
    data: str,
    config: Config | str | Mapping[str, Any] | None = None,
    *,
    guide: str | None = None,
    devices: int = 1,
    nodes: int = 1,
    gpu: str | None = None,
    strategy: Literal["ddp", "fsdp"] = "ddp",
    minutes: float | None = None,
    clips: int | None = None,
    json: bool = False,
    quiet: bool = False,
) -> Estimate:
    """Say what a training would take: time, memory, disk; nothing is begun, and what can be is measured here.

    Each figure says where it is from: measured here, measured on an H200, or assumed. docs/scale.md has the formulas.
    With several devices one process and two are tried here for a few seconds.

    Args:
        data: what is to be trained on, as for `footage train`; videos have to be ingested before.
        config: a complete configuration, or the name of a preset; else knobs that are to differ.
        guide: the data set that a translator is given.
        devices: processes on each machine: one for each GPU, or for each core of a CPU.
        nodes: machines.
        gpu: kind of GPU, h100 or h200; left out, devices like those of this machine.
        strategy: as for `footage train`.
        minutes: minutes to train.
        clips: training clips to see; 200,000 when nothing is said.
        json: print the figures as JSON.
    """
    from footage.training.estimate import Estimator

    console = make_console(quiet)
    notes = make_console(quiet, to_stderr=json)
    order = TrainingOrder(data, config, guide, None, minutes, clips, None, False, None, True, notes)
    found, resolved = order.suited()
    if resolved is None:
        raise DatasetError(
            f'"{data}" holds videos, and no data set is made of them yet', f"footage ingest {data} --to …"
        )
    with notes.status("measuring"):
        estimator = Estimator(found, resolved, guide, devices, nodes, strategy, gpu, clips, minutes, notes.print)
        estimate = estimator.estimate()
    if json:
        console.print_json(data=estimate.json())
        return estimate
    console.print(estimate.table())
    print_marked(console, "better:", *estimate.advice)
    return estimate


def compare(
    data: str,
    *,
    presets: str,
    guide: str | None = None,
    minutes: float | None = None,
    clips: int | None = None,
    flops: float | None = None,
    seed: int = 0,
    samples: int = 256,
    out: Path = Path("compare"),
    quiet: bool = False,
) -> Comparison:
    """Train presets on the same data for the same time, measure them side by side: a table and a picture.

    The same command again goes on where it stopped; what is trained is not trained again.

    Args:
        data: a dataset folder, or the name of a built-in data set: shapes, digits, digits-2 or digits-3.
        presets: names of presets, with commas between them.
        guide: the data set that translators of pairs are given, such as spade-64; see `train`.
        minutes: minutes to train each; 10 when no limit is given.
        clips: or training clips that each sees.
        flops: or floating-point operations that each spends, such as 1e15.
        seed: seed of all of them.
        samples: clips of each that are generated and measured.
        out: folder for everything: comparison.md, comparison.png, comparison.json, and a run for each preset.
    """
    configs = [preset(name) for name in presets.replace(",", " ").split()]
    from footage.training.comparison import MINUTES, Limit
    from footage.training.comparison import compare as compare_configs

    limit = Limit(MINUTES if minutes is None and clips is None and flops is None else minutes, clips, flops)
    console = make_console(quiet)
    return compare_configs(
        data, configs, Path(out), limit=limit, seed=seed, samples=samples, console=console, guide=guide
    )
