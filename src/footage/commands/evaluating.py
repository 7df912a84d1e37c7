"""The verb that measures: a model, or clips from anywhere, beside real clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from footage.commands import reporting
from footage.commands.terminal import make_console
from footage.errors import ConfigError
from footage.evaluation.protocols import EvaluationOptions

if TYPE_CHECKING:
    from rich.console import Console

    from footage.evaluation.report.content import Kind
    from footage.evaluation.results import Evaluation


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
    kind, jobs, report = reporting.wanted(made, real, every=all, compare=compare, report=report, to=to)
    options = replace(options, device=_device(device))
    return _Task(real, options, make_console(quiet)).run(kind, jobs, report, to)


@dataclass(frozen=True)
class _Task:
    """What is asked of everything that is measured."""

    real: str | Path | None
    """What it is judged by; None where all was measured before."""
    options: EvaluationOptions
    """What was asked for."""
    console: Console
    """Where it is told."""

    def measured(self, job: str | Path, beside: Path | None) -> Evaluation:
        """Measure something and tell what was found; pictures are put beside a .json file."""
        from footage.evaluation.run import measure

        assert self.real is not None, "what is measured anew has something to be measured by"
        with self.console.status("measuring") as status:
            found = measure(job, self.real, self.options, to=beside, say=status.update)
        _tell(found, self.console)
        return found

    def drawn(self, job: str | Path, beside: Path) -> tuple[str, str]:
        """Write videos of something beside a .json file, and return their names."""
        assert self.real is not None, "what is measured anew has something to be measured by"
        return reporting.videos(job, self.real, self.options, beside)

    def run(self, kind: Kind, jobs: Sequence[str | Path], report: Path | None, to: Path | None) -> Evaluation:
        """Measure all, write what is to be written, and return the figures that the verb returns."""
        from footage.evaluation import results

        if report is None:
            found = self.measured(jobs[0], to)
            if to is not None:
                results.write(Path(to), found)
        else:
            found = reporting.write(kind, jobs, Path(report), self.measured, self.drawn, to)
            self.console.print(f"the report is {report}", highlight=False)
        if to is not None:
            self.console.print(f"all figures in {to}", highlight=False)
        return found


def _device(name: Literal["auto", "cpu", "cuda", "mps"]) -> Literal["auto", "cpu", "cuda", "mps"]:
    from footage.config import TrainConfig
    from footage.training.cost import find_place

    return cast(Literal["auto", "cpu", "cuda", "mps"], find_place(TrainConfig(device=name)).device)


def _tell(found: Evaluation, console: Console) -> None:
    """Print figures and warnings."""
    from footage.evaluation.results import table

    console.print(table(found))
    for warning in found.warnings:
        console.print("warning", style="bold yellow", end=": ")
        console.print(warning, highlight=False, markup=False)
