"""report.html: a report as one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from footage import files
from footage.evaluation.report import card, content, plots, sections
from footage.evaluation.report.content import Entry, Report, mismatches
from footage.pages.page import escaped, head

STYLE = """
body { max-width: 72rem; } .warnings { border: 2px solid var(--mark); border-radius: .5rem; padding: .5rem 1rem;
  margin: 1rem 0; } .warnings ul { margin: .3rem 0; padding-left: 1.2rem; } .warnings li { overflow-wrap: anywhere; }
.lead { color: var(--soft); margin: 0; overflow-wrap: anywhere; }
@media (max-width: 40rem) { th:first-child { width: auto; } body { margin-top: 1rem; } }
"""


def write_report(path: Path | str, report: Report) -> Path:
    """Write a report as one HTML page, and report.json (the same name with another ending) beside it.

    Args:
        path: an .html file. Pictures and videos are read from where the report names them, beside that file.
        report: what it is about.

    Returns:
        `path`.
    """
    path = Path(path)
    files.write_text(path, "\n".join(_page(report, path.parent)))
    content.write(path.with_suffix(".json"), report)
    return path


def _page(report: Report, folder: Path) -> Iterator[str]:
    main, entries = report.main, report.entries
    yield from head(f"{_title(report)} – evaluation", plots.STYLE + card.STYLE + sections.STYLE + STYLE)
    yield f"<h1>{escaped(_title(report))}</h1>"
    yield from _lead(report)
    yield from _warnings(report)
    if report.kind == "training" and len(entries) > 1:
        yield from sections.through_training(entries)
    if report.kind == "compared":
        yield "<h2>Side by side</h2>"
        yield from card.comparison(entries)
    else:
        yield f"<h2>Figures{f' of the last model, {escaped(main.name)}' if report.kind == 'training' else ''}</h2>"
        yield from card.card(main.evaluation)
    ordered = (main, *(entry for entry in entries if entry is not main)) if report.kind == "one" else entries
    yield from sections.samples(ordered, folder, report.kind != "one")
    yield from sections.curves(entries if report.kind == "compared" else (main,))
    for entry in entries if report.kind == "compared" else (main,):
        yield from _details(entry, folder, report.kind == "compared")
    yield f"<p><small>{escaped(report.made_by)}</small></p></body></html>"


def _title(report: Report) -> str:
    if report.kind == "compared":
        return " · ".join(entry.name for entry in report.entries)
    return report.main.evaluation.made.name


def _lead(report: Report) -> Iterator[str]:
    """Yield what is judged by what, in two lines."""
    found = report.main.evaluation
    made, real = found.made, found.real
    split = f", split {real.split}" if real.split else ""
    yield f'<p class="lead">{escaped(f"beside {real.windows:,} clips of {real.name}{split}")}; '
    yield escaped(
        f"{made.windows:,} made clips, {made.frames} frames of {made.width}×{made.height}, {made.fps:g} a second"
    )
    how = escaped(f"protocol {found.protocol.name}; seed {found.seed}; floor: {found.floor}")
    yield f'</p><p class="lead">{how}</p>'


def _warnings(report: Report) -> Iterator[str]:
    """Yield what has to be known before any figure is believed, in plain sight."""
    entries = report.entries if report.kind == "compared" else (report.main,)
    by_text: dict[str, list[str]] = {}
    for entry in entries:
        for warning in entry.evaluation.warnings:
            by_text.setdefault(warning, []).append(entry.name)
    found = mismatches(report.entries)
    for warning, names in by_text.items():
        found.append(warning if len(set(names)) == len(entries) else f"{', '.join(dict.fromkeys(names))}: {warning}")
    if found:
        items = "".join(f"<li>{escaped(warning)}</li>" for warning in found)
        yield f'<div class="warnings" role="note"><b>Before you believe the figures</b><ul>{items}</ul></div>'


def _details(entry: Entry, folder: Path, named: bool) -> Iterator[str]:
    def read(name: str) -> bytes | None:
        path = folder / name
        return path.read_bytes() if path.is_file() else None

    if named:
        yield f"<details><summary><b>{escaped(entry.name)}</b>: figures in full, neighbours, protocol</summary>"
        yield from card.card(entry.evaluation)
    if entry.evaluation.memorisation is not None:
        yield from sections.neighbours(entry.evaluation.memorisation, read)
    yield from sections.protocol(entry.evaluation)
    if named:
        yield "</details>"
