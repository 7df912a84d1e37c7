"""Giving clips out: folders, zip files, tables, edit lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from footage.library.holding import Holding


@dataclass(frozen=True)
class Export:
    """How clips are written out."""

    names: Literal["title", "digest"] = "title"
    """What files are named after."""
    media: Literal["copy", "none"] = "copy"
    """Whether an edit list, or a table, gets copies of the clips beside it, or points into the library."""
    fps: float | None = None
    """Rate of an edit list's timeline; None for that of most of its clips."""


def export(holding: Holding, clips: Sequence[int], to: Path, how: Export) -> list[Path]:
    """Write clips out; see `Library.export`."""
    raise NotImplementedError
