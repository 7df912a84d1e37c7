"""Small volumes for the tests: drawn phantoms, as files and as data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from footage.data import phantoms
from footage.media.volumes import write_nifti
from tests.ingesting import ingest
from tests.libraries import WEIGHTS

SHAPE = (12, 20, 16)


def write_phantom(path: Path, index: int = 0, shape: tuple[int, int, int] = SHAPE, **metadata: Any) -> Path:
    """Write a phantom; with metadata, as a model writes it."""
    levels = phantoms.render(phantoms.draw_anatomy(0, index), *shape, index=index)
    made = {"made_with": "footage 0", "model": "tiny", "weights_sha256": WEIGHTS, **metadata} if metadata else {}
    write_nifti(path, levels, phantoms.scale_of(*shape), made)
    return path


def save_volumes(models: Path) -> Path:
    """Make a data set of two phantoms among models; return its folder."""
    for index in range(2):
        write_phantom(models / "体片" / f"{index}.nii.gz", index)
    options = {"height": 20, "width": 16, "spacing": "40,18,22.5", "min_frames": 8, "workers": 0, "heldout": 0.0}
    return ingest([models / "体片"], models / "体", **options).dataset.folder
