"""Pages that need nothing else: no network, no scripts, everything inside; light or dark as the reader's system is."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Sequence

LISTED = 2000
"""Rows of a table."""

STYLE = """
:root { color-scheme: light dark; --ink: #1d2127; --paper: #fff; --soft: #66707c; --line: #dfe3e8; --mark: #9a5b00; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ed; --paper: #15181c; --soft: #9aa4b0; --line: #30363d; --mark: #e3a34a; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { margin: 0 0 .5rem; } h2 { margin: 2rem 0 .5rem; font-size: 1.15rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; }
th { color: var(--soft); font-weight: normal; white-space: nowrap; }
td.number { text-align: right; font-variant-numeric: tabular-nums; } .remark { color: var(--mark); }
th:first-child { width: 12rem; }
img { max-width: 100%; height: auto; } summary { cursor: pointer; padding: .25rem 0; } small { color: var(--soft); }
"""
"""How every page looks."""


def head(title: str, style: str = "") -> Iterator[str]:
    """Yield the beginning of a page, up to and with the tag of its body.

    Args:
        title: shown in the window's title.
        style: CSS beside `STYLE`.
    """
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escaped(title)}</title><style>{STYLE}{style}</style></head><body>"


def data_uri(kind: str, content: bytes) -> str:
    """Return content as an address that holds it, such as for `image/png`."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def escaped(text: str) -> str:
    """Return text as it stands in HTML, without the control characters that reorder or hide what a name says."""
    return html.escape("".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text))


def table(heads: Sequence[str], rows: Sequence[Sequence[str | int]]) -> Iterator[str]:
    """Yield a table. Without heads, the first cell of each row heads it; texts under an empty head are remarks.

    Args:
        heads: a name for each column, or none.
        rows: cells; whole numbers stand to the right. No more than `LISTED` rows are shown.
    """
    yield "<table>"
    if heads:
        yield "<tr>" + "".join(f"<th>{escaped(head)}</th>" for head in heads) + "</tr>"
    for row in rows[:LISTED]:
        cells = [
            f'<td class="number">{cell:,}</td>' if isinstance(cell, int) else _text_cell(cell, at > 0 and not head)
            for at, (cell, head) in enumerate(zip(row, heads or [""] * len(row), strict=True))
        ]
        if not heads:
            cells[1:] = [_text_cell(str(cell), False) for cell in row[1:]]
            cells[0] = f"<th>{escaped(str(row[0]))}</th>"
        yield "<tr>" + "".join(cells) + "</tr>"
    if len(rows) > LISTED:
        yield f"<tr><td>and {len(rows) - LISTED:,} more, in the files beside this page</td></tr>"
    yield "</table>"


def _text_cell(text: str, remark: bool) -> str:
    kind = ' class="remark"' if remark else ""
    return f"<td{kind}>{escaped(text)}</td>"
