"""Catalog of a folder: data sets, models, runs, audits and reports, found without torch.

Everything is named by its path in the folder, and looked up among what was found: no name that is asked for is ever
joined to a path. The folder may come from anybody: what is damaged in it, or made to do harm, is listed as such.
"""

from __future__ import annotations

import functools
import json
import os
import re
import stat
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from footage import files
from footage.config import Config
from footage.config.presets import PRESETS
from footage.data.clips import BUILT_IN
from footage.data.store import read_dataset_info
from footage.errors import ConfigError, DatasetError, FootageError
from footage.files import locked
from footage.library.entries import plain
from footage.models.card import PRETRAINED, ModelInfo, read_info, weights_path
from footage.studio.training_form import family
from footage.training.run_folder import DataNote, RunFolder, RunStatus, is_figure, read_config, read_rows, read_status

DEEPEST = 4
"""Levels of folders that are looked into."""
MOST = 20_000
"""Folders that are looked into."""
FRESH = 5.0
"""Seconds for which what was found is believed."""
REPORTS = {"audit.html": "audit", "report.html": "report", "privacy.html": "privacy", "comparison.md": "comparison"}
"""Files that are to be read by people, and what they are; pages of other names say it themselves."""
SAYS = re.compile(rb'<meta name="generator" content="footage (audit|report|privacy|reaction)">')
"""What stands in the head of a page that footage wrote, since 0.1."""
HEAD = 1024
"""Bytes of a page that are looked through for it."""
MOST_PAGES = 4096
"""Pages of which it is remembered what they say."""
PICTURES = frozenset({".png", ".jpg", ".svg", ".mp4", ".webm", ".gif"})
"""What may stand beside a report and belong to it."""
LARGEST = 64 * 2**20
"""Bytes of a file of figures, or of a report in Markdown, from which on it is not read."""
LONGEST_REASON = 500
"""Characters that are said of what is damaged."""
MOST_FIGURES = 200
"""Figures of a run that are looked at."""


@dataclass(frozen=True)
class ModelFigures:
    """The main figures of an evaluation of a model, as its report says them; None for what was not measured."""

    report: str
    """Name of the report."""
    beside: str
    """Name of the real clips."""
    measured: float
    """When, in seconds since 1970."""
    given: str
    """What was asked to be measured: the model's folder, most of the time."""
    weights: str
    """SHA-256 of the weights that were measured."""
    clips_seen: int = 0
    sharpness: float | None = None
    """Sharpness over that of real clips: 1 is best."""
    motion: float | None = None
    """Motion over that of real clips: 1 is best."""
    distance: float | None = None
    """Fréchet distance of clips from real ones, over that of real clips from real ones: 1 is best."""
    distance_label: str = ""
    """What that distance is called, such as `RFD-rand`: by which network it was measured."""
    near_copies: float | None = None
    """Part of its clips that lie nearer to a training clip than half of what is usual."""
    near_copies_real: float | None = None
    """The same part of clips that it has never seen."""
    psnr: float | None = None
    """Of what answers clips: signal to noise beside the truth, in decibels."""
    psnr_plain: float | None = None
    """That of the plainest answer."""


@dataclass(frozen=True)
class ModelEntry:
    """A model. Of one that is damaged, the name and the reason are known."""

    name: str
    """What it is called here: its path in the folder, or the name of one that comes with footage."""
    preset: str = ""
    verbs: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    fps: float = 0.0
    frames: int = 0
    """Frames of the clips that it was trained on."""
    width: int = 0
    height: int = 0
    dataset: str = ""
    clips_seen: int = 0
    streams: bool = False
    """Whether its frames are a function of time, so that motion can be looped, slowed and sought."""
    sliders: int = 0
    """Number of latent sliders, the one that changes most first."""
    reads_text: bool = False
    """Whether it is told by words what to show."""
    weights: str = ""
    """SHA-256 of its weights."""
    damaged: str = ""
    """Why it cannot be used; empty for one that can."""
    method: str = ""
    """How it is trained, a key of `footage.config.registry.USES`."""
    family: str = ""
    """What it does, for its picture: see `footage.studio.training_form.family`."""
    bytes: int = 0
    """Size of its weights."""
    figures: ModelFigures | None = None
    """Of its last evaluation; where it was trained on since, of its weights before."""

    @property
    def plays_live(self) -> bool:
        """Whether it can be watched live: it generates; one that does not stream makes clip after clip."""
        return "generate" in self.verbs

    @property
    def figures_are_old(self) -> bool:
        """Whether its figures are those of weights that it had before."""
        return self.figures is not None and self.figures.weights != self.weights


@dataclass(frozen=True)
class RunEntry:
    """A training run."""

    name: str
    preset: str
    dataset: str
    clips: int
    """Clips that it has seen, by the last row of its figures."""
    changed: float
    """When it last wrote figures, in seconds since 1970."""
    damaged: str = ""
    """What is wrong with its files; empty for nothing."""
    status: RunStatus | None = None
    """How far it is, as its training says; None where it does not say."""
    family: str = ""
    """What its model is to do, as in `ModelEntry`."""

    @property
    def running(self) -> bool:
        """Whether it is being trained now, by whatever process."""
        return self.status is not None and self.status.running


@dataclass(frozen=True)
class DatasetEntry:
    """A data set. Of one that is damaged, the name and the reason are known."""

    name: str
    clips: int = 0
    width: int = 0
    height: int = 0
    channels: int = 3
    fps: float = 0.0
    labels: tuple[str, ...] = ()
    audit: str = ""
    """Name of its audit among the reports; empty where there is none."""
    changed: float = 0.0
    """When it was written, in seconds since 1970."""
    damaged: str = ""


@dataclass(frozen=True)
class ReportEntry:
    """A page that footage wrote, to be looked at."""

    name: str
    kind: str
    """`audit`, `report`, `privacy`, `comparison` or `reaction`."""
    changed: float
    """When it was written, in seconds since 1970."""
    damaged: str = ""
    """Why it is not shown; empty for one that is."""


class Catalog:
    """Models, runs and reports of a folder, by their names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._seen: tuple[float, dict[str, dict[str, Path]]] = (-FRESH, {})
        self._figures: dict[Path, tuple[float, list[ModelFigures]]] = {}
        """What reports say of models, by their files, with the time at which these were written."""

    def models(self) -> list[ModelEntry]:
        """Return the models, those that come with footage last."""
        figures = self.figures_of_models()
        found = []
        for name, path in self._find("model").items():
            entry = read_model_entry(name, path, self.folder)
            places = {str(path), str(path.resolve()), str(path.parent.resolve())}
            mine = [measured for measured in figures if measured.weights == entry.weights != ""]
            before = [measured for measured in figures if measured.given in places]
            found.append(replace(entry, figures=next(iter(mine + before), None)))
        return found

    def figures_of_models(self) -> list[ModelFigures]:
        """Return the main figures of all evaluations that there are reports of, the latest first."""
        figures = []
        for name, page in self._find("report").items():
            if page.suffix != ".html":
                continue
            path = page.with_suffix(".json")  # it is written after the page
            when = changed(path)
            with self._lock:
                known = self._figures.get(path)
            if known is None or known[0] != when:
                known = when, read_figures(name, path, self.folder, when)
                with self._lock:
                    self._figures[path] = known
            figures += known[1]
        return sorted(figures, key=lambda measured: -measured.measured)

    def model(self, name: str) -> Path | None:
        """Return a model's folder by its name."""
        return self._find("model").get(name)

    def card(self, name: str) -> ModelInfo:
        """Return a model's card by its name; refuse a name that is not known."""
        path = self.model(name)
        if path is None:
            raise ConfigError(f'there is no model "{name}"', "see GET /api/models")
        return read_info(path)

    def usable_model(self, name: str, *verbs: str) -> ModelEntry:
        """Return a model by its name; refuse one that is not there, or is damaged, or can do none of these."""
        path = self.model(name)
        if path is None:
            raise ConfigError(f'there is no model "{name}"', "see GET /api/models")
        entry = read_model_entry(name, path, self.folder)
        if entry.damaged:
            raise ConfigError(f"{name} is damaged", entry.damaged)
        if not {*verbs} & {*entry.verbs}:
            raise ConfigError(f"{name} cannot {verbs[0]}", f"it can {', '.join(entry.verbs)}")
        return entry

    def datasets(self) -> list[DatasetEntry]:
        """Return the data sets, the latest first."""
        found = [read_dataset_entry(name, path, self.folder) for name, path in self._find("dataset").items()]
        return sorted(found, key=lambda entry: -entry.changed)

    def place(self, name: str) -> Path:
        """Return where a model, a run or a data set of this name is; refuse a name that is not known."""
        for kind in ("dataset", "model", "run"):
            if (path := self._find(kind).get(name)) is not None:
                return path.resolve()
        raise ConfigError(f'there is no data set, model or run "{name}"', "see the lists of them")

    def check_plain(self, names: Sequence[str]) -> None:
        """Refuse models and data sets that are not there, or are locked: a report shows clips of them.

        Raises:
            ConfigError
        """
        for name in names:
            if name not in BUILT_IN and locked.folder_of(self.place(name)) is not None:
                problem = f'"{name}" is locked, and the report would show clips of it in the plain'
                raise ConfigError(problem, "write one where you want it: footage evaluate … --report FILE")

    def refresh(self) -> None:
        """Look at the folder anew when something is asked for the next time."""
        with self._lock:
            self._seen = (-FRESH, {})

    def runs(self) -> list[RunEntry]:
        """Return the runs, the latest first."""
        runs = [read_run_entry(name, path, self.folder) for name, path in self._find("run").items()]
        return sorted(runs, key=lambda run: -run.changed)

    def run(self, name: str) -> Path | None:
        return self._find("run").get(name)

    def status(self, name: str) -> RunStatus | None:
        """Return how far a run is, as its training says; None where it does not say."""
        path = self.run(name)
        return None if path is None else read_run_status(path, self.folder)

    def config(self, name: str) -> tuple[Config, DataNote] | None:
        """Return the configuration of a run, and the data that it is trained on; None where it cannot be read."""
        path = self.run(name)
        if path is None or fault(path / "config.json", self.folder):
            return None
        try:
            return read_config(RunFolder(path))
        except FootageError:  # the list of runs says why
            return None

    def figures(self, name: str) -> list[dict[str, float]]:
        """Return the rows of a run's figures, without what is none."""
        path = self.run(name)
        return [] if path is None else read_plain_rows(path / "metrics.jsonl", self.folder)[0]

    def samples(self, name: str) -> list[Path]:
        """Return the sheets and previews of a run."""
        path = self.run(name)
        return [] if path is None else ordinary_files(path / "samples", self.folder)

    def reports(self) -> list[ReportEntry]:
        """Return audits and reports, the latest first."""
        reports = [
            ReportEntry(name, kind, changed(path), fault(path, self.folder, MOST_BYTES[path.suffix]))
            for name, path in self._find("report").items()
            if (kind := report_kind(path, self.folder))
        ]
        return sorted(reports, key=lambda report: -report.changed)

    def report(self, name: str) -> Path | None:
        """Return a report's file by its name; refuse one that is damaged."""
        path = self._find("report").get(name)
        if path is not None and (reason := fault(path, self.folder, MOST_BYTES[path.suffix])):
            raise ConfigError(f'"{name}" is damaged', reason)
        return path

    def report_picture(self, report: str, name: str) -> Path | None:
        path = self.report(report)
        beside = [] if path is None else ordinary_files(path.parent, self.folder)
        return next((p for p in beside if p.name == name and p.suffix.lower() in PICTURES), None)

    def _find(self, kind: str) -> dict[str, Path]:
        with self._lock:
            when, entries = self._seen
            if time.monotonic() - when > FRESH:
                entries = find_entries(self.folder)
                self._seen = (time.monotonic(), entries)
            return entries[kind]


MOST_BYTES: dict[str, int | None] = {".md": LARGEST, ".html": None}
"""Bytes of a report by its ending; None for any number."""


def fault(path: Path, folder: Path, most: int | None = LARGEST) -> str:
    """Return why a file in a folder is not read; empty where nothing is wrong with it.

    It is not where it, or a folder on the way to it, is a link, where it is no file, has more than `most` bytes, is
    gone, or may not be read by us.
    """
    inside = [place for place in path.parents if place.is_relative_to(folder) and place != folder]
    try:
        if any(place.is_symlink() for place in (path, *inside)):
            return "it is a link, or lies behind one"
        status = path.lstat()
    except OSError as error:
        return f"it cannot be read ({error.strerror or error})"
    if not stat.S_ISREG(status.st_mode):
        return "it is a link, or no ordinary file"
    if most is not None and status.st_size > most:
        return f"it has {status.st_size:,} bytes, more than {most:,}"
    return "" if os.access(path, os.R_OK) else "it cannot be read (no permission)"


def changed(path: Path) -> float:
    """Return when a file was written, in seconds since 1970; 0 where that is not known."""
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0


def ordinary_files(place: Path, folder: Path) -> list[Path]:
    """Return the ordinary files of a place in a folder, by name, that can be read and named; links are left out."""
    try:
        paths = sorted(place / name for name in os.listdir(place) if name.isprintable())
    except OSError:
        return []
    return [path for path in paths if not fault(path, folder, None)]


def read_plain_rows(path: Path, folder: Path) -> tuple[list[dict[str, float]], str]:
    """Return the rows of a run's figures, and what is wrong with them, as `read_rows` does; of figures so many."""
    if reason := fault(path, folder):
        return [], reason
    try:
        rows, damage = read_rows(path)
    except OSError as error:
        return [], f"it cannot be read ({error.strerror or error})"
    shown = [{plain(name): float(row[name]) for name in list(row)[:MOST_FIGURES]} for row in rows]
    return [few | {"clips": float(row["clips"])} for few, row in zip(shown, rows, strict=True)], damage


def find_entries(folder: Path) -> dict[str, dict[str, Path]]:
    """Return the paths of data sets, models, runs and reports: by kind, then by name."""
    entries: dict[str, dict[str, Path]] = {"dataset": {}, "model": {}, "run": {}, "report": {}}
    for place, names in walk(folder):
        name = os.fsencode(place.relative_to(folder).as_posix()).decode("utf-8", "replace")  # whatever a disk holds
        if "model.json" in names and "export.json" not in names:  # exports are for other programs
            known = name.removesuffix("/model") if (place.parent / "config.json").is_file() else name
            entries["model"].setdefault(known, place)
        begun = place / "state" / "status.json"  # before the first figures
        if "config.json" in names and ("metrics.jsonl" in names or begun.is_file()):
            entries["run"][name] = place
        if "dataset.json" in names:
            entries["dataset"][name] = place
        for report in sorted(names):
            if report_kind(place / report, folder):
                shown = os.fsencode(report).decode("utf-8", "replace")
                entries["report"][PurePosixPath(name, shown).as_posix()] = place / report
    shipped = sorted(PRETRAINED.glob("*/model.json"), key=lambda path: (path.parent.name != "stream-shapes", path))
    for path in shipped:  # behind one's own; the first is the one that is quick and good at what it does
        entries["model"].setdefault(path.parent.name, path.parent)
    return entries


def report_kind(path: Path, folder: Path) -> str:
    """Return what a report in a folder is, by its name or what its head says; empty for what is none."""
    if path.name in REPORTS or path.suffix != ".html" or fault(path, folder, None):
        return REPORTS.get(path.name, "")
    try:
        status = path.lstat()
        return head_kind(path, status.st_mtime_ns, status.st_size)
    except OSError:
        return ""


@functools.lru_cache(MOST_PAGES)
def head_kind(path: Path, when: int, size: int) -> str:
    """Return what the head of a page says; a page is read once for each time of its last change, and each size."""
    with open(path, "rb") as page:
        says = SAYS.search(page.read(HEAD))
    return says[1].decode() if says else ""


def walk(folder: Path) -> Iterator[tuple[Path, set[str]]]:
    """Yield folders with the names of what is no folder in them, nearest first; hidden ones are left out.

    Symbolic links are named, and never followed.
    """
    level, looked = [folder], 0
    for _ in range(DEEPEST + 1):
        below: list[Path] = []
        for place in level:
            looked += 1
            if looked > MOST:
                return
            try:
                with os.scandir(place) as entries:
                    listed = {e.name: e.is_dir(follow_symlinks=False) for e in entries if not e.name.startswith(".")}
            except OSError:
                continue
            below += sorted(place / name for name, is_folder in listed.items() if is_folder)
            yield place, {name for name, is_folder in listed.items() if not is_folder}
        level = below


def read_model_entry(name: str, path: Path, folder: Path) -> ModelEntry:
    """Read a model's card; of one that would be refused, say why."""
    try:
        ours = path.parent == PRETRAINED  # installers may have put links there
        if not ours and (reason := fault(path / "model.json", folder)):
            return ModelEntry(name, damaged=reason)
        info = read_info(path)
        clip = info.config.clip
        return ModelEntry(
            name=name,
            preset=info.config.preset,
            verbs=info.use.verbs,
            labels=info.labels,
            fps=info.fps,
            frames=clip.frames,
            width=clip.width,
            height=clip.height,
            dataset=plain(info.dataset),
            clips_seen=info.clips_seen,
            streams=info.streams,
            sliders=info.sliders,
            reads_text=info.reads_text,
            weights=info.weights_sha256,
            method=info.config.method,
            family=family(info.config),
            bytes=weights_path(path, info).stat().st_size,
        )
    except FootageError as error:
        return ModelEntry(name, damaged=plain(error, LONGEST_REASON))
    except Exception as error:  # whatever one model holds, it costs no other
        return ModelEntry(name, damaged=f"it cannot be read ({type(error).__name__}: {plain(error)})")


def read_dataset_entry(name: str, path: Path, folder: Path) -> DatasetEntry:
    """Read what a data set says of itself."""
    if reason := fault(path / "dataset.json", folder):
        return DatasetEntry(name, damaged=reason)
    try:
        info = read_dataset_info(path)
        numbers = (info.clips, info.width, info.height, info.channels, info.fps)
        if not all(is_figure(number) and number > 0 for number in numbers) or not all(
            isinstance(label, str) for label in info.labels
        ):
            raise DatasetError("its dataset.json holds what is no size, rate or label", "make the dataset again")
    except (FootageError, OSError) as error:
        return DatasetEntry(name, damaged=plain(error, LONGEST_REASON))
    return DatasetEntry(
        name=name,
        clips=info.clips,
        width=info.width,
        height=info.height,
        channels=info.channels,
        fps=info.fps,
        labels=tuple(map(plain, info.labels)),
        audit=PurePosixPath(name, "audit.html").as_posix() if (path / "audit.html").is_file() else "",
        changed=changed(path / "dataset.json"),
    )


def read_run_status(path: Path, folder: Path) -> RunStatus | None:
    return None if fault(path / "state" / "status.json", folder) else read_status(RunFolder(path))


def read_run_entry(name: str, path: Path, folder: Path) -> RunEntry:
    """Read a run's configuration and its figures, and say what is wrong with them."""
    config, metrics = path / "config.json", path / "metrics.jsonl"
    status = read_run_status(path, folder)
    rows, damage = read_plain_rows(metrics, folder) if status is None or metrics.exists() else ([], "")
    preset = dataset = kind = ""
    if reason := fault(config, folder):
        damage = reason
    else:
        try:
            value = json.loads(files.read_bytes(config))
            names = value["config"]["preset"], value["data"]["name"]
            if not all(isinstance(text, str) for text in names):
                raise TypeError("preset and data are no texts")
            preset, dataset = map(plain, names)
            kind = family(PRESETS[preset].config) if preset in PRESETS else ""
        except FootageError as error:
            damage = plain(error, LONGEST_REASON)
        except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            damage = f"its config.json cannot be read ({type(error).__name__}: {plain(error)})"
    clips = max(int(rows[-1]["clips"]) if rows else 0, 0 if status is None else status.clips)
    when = max(changed(metrics), 0.0 if status is None else status.written)
    return RunEntry(name, preset, dataset, clips, when, damage, status, kind)


def read_figures(name: str, path: Path, folder: Path, when: float) -> list[ModelFigures]:
    """Return what a report says of models; nothing where it cannot be read."""
    if fault(path, folder):
        return []
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["entries"]
        return [main_figures(name, entry["evaluation"], when) for entry in entries]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return []


def main_figures(name: str, evaluation: Mapping[str, Any], when: float) -> ModelFigures:
    """Return the main figures of an evaluation as figures.json has it."""
    made, values = evaluation["made"], {}
    for figure in reversed(evaluation["figures"]):  # the first of a name counts
        values[figure["name"] if figure["metric"] != "fvd" else "distance"] = figure

    def number(value: object) -> float | None:
        return float(value) if is_figure(value) else None  # type: ignore[arg-type]

    def value_of(figure: str, part: str = "value") -> float | None:
        return number(values.get(figure, {}).get(part))

    distance = values.get("distance", {})
    floor = number((distance.get("floor") or {}).get("value"))
    over = number(distance.get("value"))
    spaces = (evaluation["memorisation"] or {}).get("spaces", [])
    nearest: Mapping[str, Any] = max(spaces, key=lambda space: float(space["below"]), default={})
    return ModelFigures(
        report=name,
        beside=plain(evaluation["real"]["name"] or evaluation["real"]["given"]),
        measured=when,
        given=str(made["given"]),
        weights=str(made["digest"]) if made["kind"] == "model" else "",
        clips_seen=int(made["clips_seen"]),
        sharpness=value_of("sharpness_ratio"),
        motion=value_of("motion_ratio"),
        distance=over / floor if over is not None and floor else None,
        distance_label=plain(distance.get("label", "")),
        near_copies=number(nearest.get("below")),
        near_copies_real=number(nearest.get("below_real")),
        psnr=value_of("psnr"),
        psnr_plain=value_of("psnr", "plain"),
    )
