"""Taking in zip files from anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from footage.library.holding import Holding


@dataclass(frozen=True)
class Unpacked:
    """What came of a zip file."""

    added: tuple[int, ...]
    """Clips that are new."""
    known: tuple[int, ...]
    """Clips that were there already."""
    refused: tuple[tuple[str, str], ...]
    """Files of it that were not taken in, with the reason."""


def unpack(holding: Holding, path: Path, most_bytes: int, most_files: int) -> Unpacked:
    """Take in what a zip file holds; see `Library.unpack`."""
    raise NotImplementedError
