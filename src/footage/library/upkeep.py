"""Keeping tables and files together: verifying, repairing, and removing what is no longer needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from footage.library.holding import Holding


@dataclass(frozen=True)
class Verification:
    """What was found, and what became of it. Clips are given by their numbers, files by their paths in the library."""

    clips: int
    """Clips that were looked at."""
    faults: tuple[str, ...]
    """What is wrong with the database itself, in words."""
    missing: tuple[int, ...]
    """Clips whose files are gone; they are marked so."""
    found: tuple[int, ...]
    """Clips that had been missing, and whose files are back."""
    changed: tuple[int, ...]
    """Clips whose files are not what was added; marked as missing, the file is kept aside."""
    orphans: tuple[str, ...]
    """Files that no clip named."""
    adopted: tuple[int, ...]
    """Clips made of such files."""
    pictures: tuple[int, ...]
    """Clips whose thumbnail or preview was missing or damaged, and made again."""
    vectors: tuple[int, ...]
    """Clips whose embedding was missing, and made again."""

    @property
    def sound(self) -> bool:
        """Whether nothing was wrong."""
        return not any((self.faults, self.missing, self.changed, self.orphans, self.pictures, self.vectors))


@dataclass(frozen=True)
class Collected:
    """What was removed."""

    purged: int
    """Clips of the bin."""
    files: int
    """Files that no clip needs."""
    bytes: int
    """Their size."""


def verify(holding: Holding, *, repair: bool, quick: bool) -> Verification:
    """Compare the tables with the files; see `Library.verify`."""
    raise NotImplementedError


def collect(
    holding: Holding,
    *,
    chosen: Sequence[int] | None = None,
    purge: bool = False,
    older: float = 0.0,
    sweep: bool = False,
) -> Collected:
    """Remove clips of the bin for good, and, to sweep, files that no clip needs; see `Library.gc`."""
    raise NotImplementedError
