"""Catalog of a folder: models, runs, audits of data sets and reports, found without torch.

Everything is named by its path in the folder, and looked up among what was found: no name that is asked for is ever
joined to a path.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from footage import files
from footage.errors import ConfigError, ModelError
from footage.models.card import PRETRAINED, ModelInfo, read_info

DEEPEST = 4
"""Levels of folders that are looked into."""
MOST = 20_000
"""Folders that are looked into."""
FRESH = 5.0
"""Seconds for which what was found is believed."""
REPORTS = {"audit.html": "audit", "report.html": "report", "comparison.md": "comparison"}
"""Files that are to be read by people, and what they are."""
PICTURES = frozenset({".png", ".jpg", ".svg", ".mp4", ".webm", ".gif"})
"""What may stand beside a report and belong to it."""
LARGEST = 64 * 2**20
"""Bytes of a file of figures, from which on it is not read."""


@dataclass(frozen=True)
class ModelEntry:
    """A model that can be used."""

    name: str
    """What it is called here: its path in the folder, or the name of one that comes with footage."""
    preset: str
    verbs: tuple[str, ...]
    labels: tuple[str, ...]
    fps: float
    frames: int
    """Frames of the clips that it was trained on."""
    width: int
    height: int
    dataset: str
    clips_seen: int
    streams: bool
    """Whether its frames are a function of time, so that motion can be looped, slowed and sought."""
    sliders: int
    """Number of latent sliders, the one that changes most first."""
    weights: str
    """SHA-256 of its weights."""


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


@dataclass(frozen=True)
class ReportEntry:
    """A page that footage wrote, to be looked at."""

    name: str
    kind: str
    """`audit`, `report` or `comparison`."""
    changed: float
    """When it was written, in seconds since 1970."""


class Catalog:
    """Models, runs and reports of a folder, by their names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._seen: tuple[float, dict[str, dict[str, Path]]] = (-FRESH, {})

    def models(self) -> list[ModelEntry]:
        """Return the models, those that come with footage first."""
        entries = [read_model_entry(name, path) for name, path in self._find("model").items()]
        return [entry for entry in entries if entry is not None]

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
        """Return a model by its name; refuse one that is not there, or that can do none of these."""
        for entry in self.models():
            if entry.name == name:
                if not {*verbs} & {*entry.verbs}:
                    raise ConfigError(f"{name} cannot {verbs[0]}", f"it can {', '.join(entry.verbs)}")
                return entry
        raise ConfigError(f'there is no model "{name}"', "see GET /api/models")

    def runs(self) -> list[RunEntry]:
        """Return the runs, the latest first."""
        runs = [read_run_entry(name, path) for name, path in self._find("run").items()]
        return sorted((run for run in runs if run is not None), key=lambda run: -run.changed)

    def run(self, name: str) -> Path | None:
        return self._find("run").get(name)

    def reports(self) -> list[ReportEntry]:
        """Return audits and reports, the latest first."""
        reports = [
            ReportEntry(name, REPORTS[path.name], path.stat().st_mtime)
            for name, path in self._find("report").items()
            if path.is_file()
        ]
        return sorted(reports, key=lambda report: -report.changed)

    def report(self, name: str) -> Path | None:
        return self._find("report").get(name)

    def report_picture(self, report: str, name: str) -> Path | None:
        path = self.report(report)
        if path is None:
            return None
        return next((p for p in ordinary_files(path.parent) if p.name == name and p.suffix.lower() in PICTURES), None)

    def _find(self, kind: str) -> dict[str, Path]:
        with self._lock:
            when, entries = self._seen
            if time.monotonic() - when > FRESH:
                entries = find_entries(self.folder)
                self._seen = (time.monotonic(), entries)
            return entries[kind]


def ordinary_files(folder: Path) -> list[Path]:
    """Return the ordinary files of a folder, by name; symbolic links are left out."""
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_file(follow_symlinks=False))
    except OSError:
        return []


def read_object(path: Path) -> dict[str, Any]:
    """Return what a JSON file holds; empty where it cannot be read or is no object."""
    try:
        if path.stat().st_size > LARGEST:
            return {}
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def metric_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a run's figures; empty where they cannot be read."""
    try:
        if path.stat().st_size > LARGEST:
            return []
        return [row for row in files.read_lines(path) if isinstance(row, dict)]
    except (OSError, ValueError):
        return []


def find_entries(folder: Path) -> dict[str, dict[str, Path]]:
    """Return the paths of models, runs and reports: by kind, then by name."""
    entries: dict[str, dict[str, Path]] = {"model": {}, "run": {}, "report": {}}
    for place, names in walk(folder):
        name = place.relative_to(folder).as_posix()
        if "model.json" in names:
            known = name.removesuffix("/model") if (place.parent / "config.json").is_file() else name
            entries["model"].setdefault(known, place)
        if {"config.json", "metrics.jsonl"} <= names:
            entries["run"][name] = place
        for report in names & REPORTS.keys():
            entries["report"][f"{name}/{report}"] = place / report
    shipped = sorted(PRETRAINED.glob("*/model.json"), key=lambda path: (path.parent.name != "stream-shapes", path))
    for path in shipped:  # behind one's own; the first is the one that is quick and good at what it does
        entries["model"].setdefault(path.parent.name, path.parent)
    return entries


def walk(folder: Path) -> Iterator[tuple[Path, set[str]]]:
    """Yield folders with the names of their files, nearest first; hidden ones and symbolic links are left out."""
    level, looked = [folder], 0
    for _ in range(DEEPEST + 1):
        below: list[Path] = []
        for place in level:
            looked += 1
            if looked > MOST:
                return
            try:
                with os.scandir(place) as entries:
                    listed = [e for e in entries if not e.name.startswith(".") and not e.is_symlink()]
            except OSError:
                continue
            below += sorted(Path(entry.path) for entry in listed if entry.is_dir())
            yield place, {entry.name for entry in listed if entry.is_file()}
        level = below


def read_model_entry(name: str, path: Path) -> ModelEntry | None:
    """Read a model's card; None where it is none, or one that would be refused."""
    try:
        if (path / "model.json").stat().st_size > LARGEST:
            return None
        info = read_info(path)
    except (OSError, ModelError):
        return None
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
        dataset=info.dataset,
        clips_seen=info.clips_seen,
        streams=info.streams,
        sliders=info.sliders,
        weights=info.weights_sha256,
    )


def read_run_entry(name: str, path: Path) -> RunEntry | None:
    """Read a run's configuration and the end of its figures; None where it is no run."""
    value = read_object(path / "config.json")
    try:
        seen = [row["clips"] for row in metric_rows(path / "metrics.jsonl")[-5:] if "clips" in row]
        return RunEntry(
            name=name,
            preset=str(value["config"]["preset"]),
            dataset=str(value["data"]["name"]),
            clips=int(seen[-1]) if seen else 0,
            changed=(path / "metrics.jsonl").stat().st_mtime,
        )
    except (KeyError, TypeError, ValueError, OSError):
        return None
