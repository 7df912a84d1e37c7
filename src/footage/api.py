"""The public verbs. Each is a function here and a command of the same name; torch is imported when it is needed."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from footage.config import Config, IngestConfig, to_json
from footage.console import make_console
from footage.errors import ConfigError, ModelError
from footage.presets import PRESETS, preset

if TYPE_CHECKING:
    from rich.console import Console

    from footage.comparison import Comparison
    from footage.data.ingest import IngestResult
    from footage.data.store import Dataset
    from footage.model import Model

INGEST = IngestConfig()
"""The options of `ingest` when nothing is said."""
SHEET_CLIPS = 64
"""Most clips on a contact sheet."""


@dataclass(frozen=True)
class Run:
    """A training run on disk."""

    path: Path
    """The run folder."""
    interrupted: bool = False
    """Whether it was stopped by the user and not by its budget."""

    @property
    def model(self) -> Path:
        """The model folder inside it."""
        return self.path / "model"


def ingest(
    sources: tuple[Path, ...],
    to: Path,
    config: IngestConfig = INGEST,
    *,
    advise: bool = True,
    quiet: bool = False,
) -> IngestResult:
    """Make a data set from videos. Run again, it decodes only what is new or changed.

    Args:
        sources: videos, folders (searched with their subfolders), folders of numbered pictures, MNIST's IDX files,
            the Moving MNIST .npy file.
        to: the dataset folder.
        config: the options.
        advise: measure what a model could be trained from it (takes a few seconds).
        quiet: print nothing.
    """
    from footage.data.ingest import ingest as ingest_sources
    from footage.progress import phases

    console = make_console(quiet)
    with phases(console) as show:
        result = ingest_sources(sources, to, config, lambda p: show(p.phase, p.done, p.total, p.name))
    line = f"{result.sources:,} sources in {result.seconds:.1f} s: {result.decoded:,} decoded"
    console.print(f"{line}, {result.reused:,} as before", highlight=False)
    if result.gone:
        console.print("warning:", style="yellow", end=" ")
        console.print(
            f"{len(result.gone):,} sources of an earlier run were not given again and are no longer in the data set, "
            f"such as {result.gone[0]}: name all sources each time",
            highlight=False,
        )
    _write_audit(result.dataset, advise, console)
    return result


def audit(dataset: Path, *, advise: bool = True, quiet: bool = False) -> Path:
    """Say what is in a data set, what was left out and why, and what could be trained from it.

    Args:
        dataset: the dataset folder.
        advise: measure what a model could be trained from it (takes a few seconds).
        quiet: print nothing.

    Returns:
        The page, audit.html in the dataset folder.
    """
    from footage.data.store import Dataset

    opened = Dataset(dataset)
    _write_audit(opened, advise, make_console(quiet))
    return opened.folder / "audit.html"


def _write_audit(dataset: Dataset, advise: bool, console: Console) -> None:
    """Write audit.html and print the same."""
    from footage.audit import audit_text, write_audit

    page = dataset.folder / "audit.html"
    write_audit(dataset, page, None)
    recommendation = None
    if advise:
        from footage.advice import recommend

        with console.status("measuring what could be trained from it"):
            recommendation = recommend(dataset, dataset.folder)
        write_audit(dataset, page, recommendation)
    console.print(audit_text(dataset, recommendation))
    console.print(f"audit    {page}", highlight=False)


def train(
    data: str,
    config: Config | str = "conv3d-64",
    *,
    out: Path | None = None,
    minutes: float | None = None,
    clips: int | None = None,
    dry_run: bool = False,
    quiet: bool = False,
) -> Run:
    """Train a model. The same command again goes on where it stopped; more minutes or clips extend an ended run.

    Args:
        data: a dataset folder, or the name of a built-in data set: shapes, digits, digits-2 or digits-3.
        config: a complete configuration, or the name of a preset.
        out: the run folder; left out, runs/DATA-PRESET.
        minutes: minutes to train, over the whole life of the run.
        clips: training clips to see, over the whole life of the run; 200,000 when nothing is said.
        dry_run: only say what would be done: configuration, shapes, weights, memory, speed.
        quiet: print nothing.
    """
    for name, value in (("minutes", minutes), ("clips", clips)):
        if value is not None and not 0 < value < float("inf"):
            raise ConfigError(f"{name} is {value}", "give more than 0")
    console = make_console(quiet)
    from footage.training import start
    from footage.training.run import RunFolder, with_found_batch

    chosen = preset(config) if isinstance(config, str) else config
    folder = RunFolder(Path(out or Path("runs") / f"{Path(data).name or 'data'}-{chosen.preset}"))
    with console.status("looking at the data and the machine"):
        plan = start.prepare(data, with_found_batch(folder, chosen), timed=dry_run)
    console.print(plan.table())
    if dry_run:
        console.print_json(json.dumps(to_json(plan.config)))
        return Run(folder.path)
    console.print(f"run      {folder.path}   (Ctrl-C saves and stops)\n", highlight=False)
    stopped = start.begin(plan, folder, clips=clips, minutes=minutes, console=console)
    return Run(folder.path, stopped)


def compare(
    data: str,
    *,
    presets: str,
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
        minutes: minutes to train each; 10 when no limit is given.
        clips: or training clips that each sees.
        flops: or floating-point operations that each spends, such as 1e15.
        seed: seed of all of them.
        samples: clips of each that are generated and measured.
        out: folder for everything: comparison.md, comparison.png, comparison.json, and a run for each preset.
        quiet: print nothing.
    """
    configs = [preset(name) for name in presets.replace(",", " ").split()]
    from footage.comparison import MINUTES, Limit
    from footage.comparison import compare as compare_configs

    limit = Limit(MINUTES if minutes is None and clips is None and flops is None else minutes, clips, flops)
    return compare_configs(
        data, configs, Path(out), limit=limit, seed=seed, samples=samples, console=make_console(quiet)
    )


def generate(
    model: Path,
    to: Path,
    *,
    count: int = 16,
    frames: int | None = None,
    fps: float | None = None,
    label: str | None = None,
    to_label: str | None = None,
    seed: int = 0,
    to_seed: int | None = None,
    format: Literal["mp4", "webm", "gif", "png"] = "mp4",
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    quiet: bool = False,
) -> list[Path]:
    """Generate clips with a model folder, and a contact sheet of them. The same seed gives the same clip.

    Args:
        model: a model folder, or a run.
        to: folder for the clips.
        count: how many clips.
        frames: their length; left out, the model's own.
        fps: their rate when played; left out, that of the training data.
        label: their class, or a mixture such as circle+square or circle:0.8+square:0.2; left out, classes as often as
            in the training data.
        to_label: class or mixture that each clip changes into on its way.
        seed: seed of the first clip; the next has the next.
        to_seed: seed whose content the first clip changes into on its way; the next changes into that of the next.
        format: mp4 (H.264), webm (VP9), gif, or png for folders of frames.
        device: where to compute.
        quiet: print nothing.

    Returns:
        The files written.
    """
    from footage.progress import tracked
    from footage.video.encode import write_clip
    from footage.video.sheet import Picker, contact_sheet, save_picture

    console, to = make_console(quiet), Path(to)
    loaded = load(model, device)
    clips = loaded.generate(count, frames=frames, fps=fps, label=label, to_label=to_label, seed=seed, to_seed=to_seed)
    if note := loaded.joins(frames or 1):
        console.print(note, highlight=False)
    written: list[Path] = []
    strips: list[Any] = []
    captions: list[str] = []
    for clip in tracked(clips, count, "generating", console):
        named = re.sub(r"[^\w-]+", "_", clip.metadata["label"])[:60] + "-" if "label" in clip.metadata else ""
        name = f"{named}{clip.metadata['seed']:06d}"
        path = to / (name + ("" if format == "png" else f".{format}"))
        picker = Picker(clip.frames)
        write_clip(path, picker.watch(clip.chunks()), fps=clip.fps, metadata=clip.metadata)
        written.append(path)
        if len(strips) < SHEET_CLIPS:
            strips.append(picker.strip())
            captions.append(name)
    save_picture(to / "sheet.png", contact_sheet(strips, captions))
    console.print(f"{len(written):,} clips and sheet.png in {to}", highlight=False)
    return written


def load(model: Path | str, device: str = "auto") -> Model:
    """Load a model folder; nothing in it can run code.

    Args:
        model: a model folder, or a run.
        device: where to compute; `auto` takes the best there is.

    Raises:
        ModelError: the folder is missing, damaged, tampered with, or made by a newer version.
    """
    from footage.config import TrainConfig
    from footage.model import Model
    from footage.training.fit import find_place

    place = find_place(TrainConfig(device=device))  # type: ignore[arg-type]
    return Model(model, place.device)


def models(folder: Path = Path("."), *, quiet: bool = False) -> list[Path]:
    """List the presets, and the models in a folder, with what each can do.

    Args:
        folder: where to look for models, with all its subfolders.
        quiet: print nothing.

    Returns:
        The model folders.
    """
    from rich.table import Table

    console = make_console(quiet)
    table = Table("preset", "what it is", title="presets, for: footage train DATA --preset NAME", title_justify="left")
    for name, entry in PRESETS.items():
        table.add_row(name, entry.about)
    console.print(table)
    found = sorted(path.parent for path in Path(folder).rglob("model.json"))
    table = Table("model", "clips", "labels", "trained on", title=f"models in {folder}", title_justify="left")
    for path in found:
        table.add_row(str(path), *_describe(path))
    console.print(table if found else f"no models in {folder}; train one with: footage train DATA")
    return found


def _describe(path: Path) -> tuple[str, str, str]:
    """Say what the model in a folder makes, or why it is refused."""
    from footage.checkpoint import read_info

    try:
        info = read_info(path)
    except ModelError as error:
        return "", "", f"refused: {error}"
    clip = info.config.clip
    makes = f"{clip.frames} × {clip.width}×{clip.height}, {'RGB' if clip.channels == 3 else 'grey'}, {info.fps:g} fps"
    return makes, ", ".join(info.labels) or "–", f"{info.dataset}, {info.clips_seen:,} clips"
