"""Models that a run keeps on its way: snapshots/000016000 is the model after 16,000 clips, a model folder as any."""

from __future__ import annotations

import shutil
from pathlib import Path

from footage.errors import ModelError
from footage.models import checkpoint
from footage.models.checkpoint import ModelInfo
from footage.training.run_folder import RunFolder


def snapshot_folder(folder: RunFolder, clips_seen: int) -> Path:
    """Return where the model after a number of clips is kept."""
    return folder.snapshots / f"{clips_seen:09d}"


def snapshots(folder: RunFolder) -> list[tuple[Path, ModelInfo]]:
    """Return every model of a run, each once, in the order of the clips seen.

    They are those in snapshots/, the best one and the last one. What a killed process left half written has no
    model.json and is passed over.
    """
    found: dict[str, tuple[Path, ModelInfo]] = {}
    for path in [*sorted(folder.snapshots.glob("*")), folder.best, folder.model]:
        try:
            info = checkpoint.read_info(path)
        except ModelError:
            continue
        found.setdefault(info.weights_sha256, (path, info))
    return sorted(found.values(), key=lambda item: item[1].clips_seen)


def drop_beyond(folder: RunFolder, clips_seen: int) -> None:
    """Remove the models of a part of the run that is trained again."""
    for path in folder.snapshots.glob("*"):
        if path.name.isdigit() and int(path.name) > clips_seen:
            shutil.rmtree(path, ignore_errors=True)
