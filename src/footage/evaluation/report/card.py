"""The card of figures: each with interval, floor, tier, networks, counts and seeds, and a sentence that explains it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from footage.evaluation.report.content import Entry, common
from footage.evaluation.report.meanings import ARROWS, goodness, group_of, meaning, number, target
from footage.evaluation.report.plots import gauge
from footage.evaluation.results import Evaluation, Figure, Interval
from footage.pages.page import escaped

STYLE = """
.card { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); gap: 1rem; }
.card section { border: 1px solid var(--line); border-radius: .5rem; padding: .7rem .9rem; }
.card h3 { margin: 0; font-size: .95rem; font-weight: 600; overflow-wrap: anywhere; }
.card .value { font-size: 1.7rem; font-variant-numeric: tabular-nums; margin: 0; line-height: 1.3; }
.card .value span { font-size: 1rem; color: var(--soft); }
.card p { margin: .3rem 0; } .card section > small { display: block; overflow-wrap: anywhere; }
.card summary { padding: 0; }
.scroll { overflow-x: auto; } .scroll table { min-width: 36rem; } .scroll th:first-child { width: 14rem; }
.scroll th { white-space: normal; } .best { font-weight: 700; }
.best small { font-weight: 400; } h3.group { margin: 1.5rem 0 .5rem; font-size: 1rem; }
"""
"""What the card needs beside the style of every page."""
KEY = (
    "A dot is the figure, the band its confidence interval, the diamond the same figure of real clips against "
    "real ones (the floor: a perfect model reaches it), an upright stroke the best value where there is one."
)


BEST = '<td class="best">'
"""A cell with the best figure of its row."""


def grouped(figures: Sequence[Figure]) -> dict[str, list[Figure]]:
    """Return figures under their headings, in the order in which these come."""
    found: dict[str, list[Figure]] = {}
    for figure in figures:
        found.setdefault(group_of(figure.metric), []).append(figure)
    return found


def card(evaluation: Evaluation) -> Iterator[str]:
    """Yield all figures of an evaluation, heading by heading."""
    yield f"<p><small>{KEY}</small></p>"
    for title, figures in grouped(evaluation.figures).items():
        yield f'<h3 class="group">{escaped(title)}</h3><div class="card">'
        for figure in figures:
            yield from _figure(evaluation, figure)
        yield "</div>"


def _figure(evaluation: Evaluation, figure: Figure) -> Iterator[str]:
    yield f"<section><h3>{escaped(figure.label)}</h3>"
    yield f'<p class="value">{number(figure.value)} <span>{ARROWS[figure.better]}</span></p>'
    if figure.value is not None:
        ends = None if figure.interval is None else (figure.interval.low, figure.interval.high)
        floor = None if figure.floor is None else figure.floor.value
        yield gauge(figure.value, ends, floor, target(figure))
    yield f"<p>{escaped(beside(figure))}</p>"
    yield f"<p>{escaped(meaning(figure))}</p>"
    yield f"<small>{escaped(provenance(evaluation, figure))}</small>"
    if more := working(figure):
        yield f"<details><summary><small>how</small></summary><small>{escaped(more)}</small></details>"
    yield "</section>"


def reach(interval: Interval) -> str:
    """Write an interval."""
    return f"{number(interval.low)} to {number(interval.high)}"


def beside(figure: Figure) -> str:
    """Say what stands beside a figure: its interval, the floor, the real clips' value, the plain answer."""
    parts = []
    if figure.interval is not None:
        parts.append(f"{figure.interval.level:.0%} interval {reach(figure.interval)}")
    if figure.floor is not None:
        text = f"real against real {number(figure.floor.value)}"
        parts.append(text + ("" if figure.floor.clips == figure.clips else f" ({_counts(figure.floor.clips)} clips)"))
    if figure.real is not None:
        parts.append(f"real clips {number(figure.real)}")
    if figure.plain is not None:
        parts.append(f"plain answer {number(figure.plain)}")
    if figure.value is None:
        why = "there is none for what was made" if figure.real is not None else "the real clips allow no figure"
        parts.append(f"no figure: {figure.note}" if figure.note else why)
    return "; ".join(parts) or "without interval or floor"


def _counts(clips: tuple[int, int]) -> str:
    return f"{clips[0]:,} : {clips[1]:,}" if clips[1] else f"{clips[0]:,}"


def provenance(evaluation: Evaluation, figure: Figure) -> str:
    """Say what a figure comes from: tier, networks with their hashes, counts, seeds, what else must be known."""
    known = {network.name: network.digest[:8] for network in evaluation.networks}
    nets = ", ".join(f"{name} {known.get(name, '')}".strip() for name in figure.networks)
    seeds = figure.seeds
    many = f"seeds {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"seed {seeds[0]}" if seeds else ""
    parts = [f"tier {figure.tier}", nets or "no network", f"{_counts(figure.clips)} clips", many]
    if figure.note and figure.value is not None:
        parts.append(figure.note)
    return " · ".join(part for part in parts if part)


def working(figure: Figure) -> str:
    """Say how a figure was put together: its interval, its repeats, what each network says."""
    parts = []
    if figure.interval is not None:
        parts.append(f"interval: {figure.interval.how}")
    if len(figure.repeats) > 1:
        parts.append("mean of the repeats " + ", ".join(number(value) for value in figure.repeats))
    if len(figure.by_network) > 1:
        parts.append("mean of the networks " + ", ".join(number(value) for value in figure.by_network))
    return "; ".join(parts)


def comparison(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield a table with a row for each figure and a column for each evaluation, the best of each row marked."""
    yield (
        "<p>The best of each row is set in bold. Where the intervals of two overlap, their difference may be chance; "
        "one training of each cannot tell which way of training is better.</p>"
    )
    names = "".join(f"<th>{escaped(entry.name)}</th>" for entry in entries)
    yield f'<div class="scroll"><table><tr><th>figure</th>{names}<th>real against real</th></tr>'
    heading = ""
    for _, row in common(entries):
        shown = next(figure for figure in row if figure is not None)
        if group_of(shown.metric) != heading:
            heading = group_of(shown.metric)
            yield f'<tr><td colspan="{len(entries) + 2}"><b>{escaped(heading)}</b></td></tr>'
        ranks = [None if figure is None else goodness(figure) for figure in row]
        best = min((rank for rank in ranks if rank is not None), default=None)
        several = sum(rank is not None for rank in ranks) > 1
        cells = [
            _cell(figure, several and rank is not None and rank == best)
            for figure, rank in zip(row, ranks, strict=True)
        ]
        said = escaped(f"{meaning(shown)} Tier {shown.tier}.")
        label = f"{escaped(shown.label)} {ARROWS[shown.better]}<br><small>{said}</small>"
        yield f"<tr><td>{label}</td>{''.join(cells)}<td>{_floors(row)}</td></tr>"
    yield "</table></div>"


def _cell(figure: Figure | None, best: bool) -> str:
    if figure is None:
        return "<td>not measured</td>"
    below = f"<br><small>{reach(figure.interval)}</small>" if figure.interval is not None else ""
    return f"{BEST if best else '<td>'}{number(figure.value)}{below}</td>"


def _floors(row: Sequence[Figure | None]) -> str:
    found = dict.fromkeys(
        number(figure.floor.value) if figure.floor is not None else f"{number(figure.real)} (real clips)"
        for figure in row
        if figure is not None and (figure.floor is not None or figure.real is not None)
    )
    return ", ".join(found) or "–"
