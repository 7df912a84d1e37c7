"""Verbs about data: make a data set, say what is in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from footage.commands.terminal import make_console
from footage.config import IngestConfig

if TYPE_CHECKING:
    from rich.console import Console

    from footage.data.ingest.pipeline import IngestResult
    from footage.data.store import Dataset

INGEST = IngestConfig()
"""The options of `ingest` when nothing is said."""


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
    from footage.commands.terminal import phases
    from footage.data.ingest.pipeline import ingest as ingest_sources

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
    from footage.data.audit import Audit

    page = dataset.folder / "audit.html"
    facts = Audit(dataset)
    facts.write(page)
    if advise:
        from footage.training.plan import recommend

        with console.status("measuring what could be trained from it"):
            facts.recommendation = list(recommend(dataset, dataset.folder).items())
        facts.write(page)
    console.print(facts.text())
    console.print(f"audit    {page}", highlight=False)
