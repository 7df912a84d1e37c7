"""`ingest` with its options as keyword arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from footage.config import IngestConfig
from footage.data.ingest.builder import IngestResult
from footage.data.ingest.pipeline import IngestProgress
from footage.data.ingest.pipeline import ingest as ingest_sources


def ingest(
    sources: Sequence[Path | str],
    to: Path | str,
    *,
    on_progress: Callable[[IngestProgress], None] | None = None,
    **options: Any,
) -> IngestResult:
    """Ingest some sources."""
    return ingest_sources(sources, to, IngestConfig(**options), on_progress)
