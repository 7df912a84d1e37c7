"""Parts of the page below the figures: curves, samples, nearest neighbours, the protocol in full."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from footage.evaluation.report.content import Entry, common
from footage.evaluation.report.meanings import ARROWS, TIERS, curve_meaning, meaning, number
from footage.evaluation.report.plots import KINDS, Drawn, bars, legend, lines
from footage.evaluation.report.samples import poster
from footage.evaluation.results import Curve, Evaluation, Memorisation, Side
from footage.pages.page import data_uri, escaped, table

HISTOGRAMS = ("velocities", "accelerations")
"""Curves whose x-axis is classes, each twice as wide as the one before."""
NAMES = {
    "made": "made",
    "real": "real clips",
    "floor": "real against real",
    "plain": "plain answer",
    "best": "best try",
}
"""What lines are called in a legend."""
COLOURS = {"made": "--c0", "real": "--real", "floor": "--floor", "plain": "--c2", "best": "--c3"}
"""Their colours."""
DASHES = {"real": "6 3", "floor": "2 3", "plain": "6 3 2 3"}
"""Their dashes: colour alone does not tell lines apart."""
STYLE = """
.samples { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr)); gap: 1rem; }
video { width: 100%; height: auto; image-rendering: pixelated; background: var(--line); border-radius: .25rem; }
.pair img { width: 100%; image-rendering: pixelated; display: block; }
.scroll + .plots { margin-top: 1.5rem; }
"""
"""What they need beside the style of every page."""
Read = Callable[[str], bytes | None]
"""Returns the content of a file that is named relative to report.json; None where it is not there."""


def samples(entries: Sequence[Entry], folder: Path, every: bool) -> Iterator[str]:
    """Yield looping videos: of the first entry real beside made, of the others what was made.

    Args:
        entries: evaluations; the first is shown with its real clips.
        folder: where report.json is.
        every: whether all of them are shown.
    """
    shown = []
    for entry in entries if every else entries[:1]:
        if entry.made:
            shown.append((f"made: {entry.name}" if every else "made", folder / entry.made))
    if entries[0].real:
        shown.insert(0, (f"real: {entries[0].evaluation.real.name}", folder / entries[0].real))
    found = [(caption, path) for caption, path in shown if path.is_file()]
    if not found:
        return
    yield "<h2>Samples</h2><p>The first clips of each side, not chosen, over and over.</p>"
    yield '<div class="samples">'
    for caption, path in found:
        video, still = data_uri("video/mp4", path.read_bytes()), data_uri("image/png", poster(path))
        yield (
            f'<figure><video autoplay loop muted playsinline controls poster="{still}" src="{video}"></video>'
            f"<figcaption>{escaped(caption)}</figcaption></figure>"
        )
    yield "</div>"


def curves(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield a plot for each curve, with the lines of all entries in it, those of the real clips once."""
    every = list(dict.fromkeys((curve.name, curve.label) for entry in entries for curve in entry.evaluation.curves))
    if not every:
        return
    yield '<h2>Over time, lag and speed</h2><div class="plots">'
    for key in every:
        having = [(e, c) for e in entries for c in e.evaluation.curves if (c.name, c.label) == key]
        first = having[0][1]
        drawn = drawn_lines(having)
        if first.name in HISTOGRAMS:
            names = [f"{x:.3g}" for x in first.x]
            plot = bars(
                first.label, first.axis, first.unit, names, [line for line in drawn if len(line.y) == len(names)]
            )
        else:
            plot = lines(first.label, first.axis, first.unit, drawn, zero=first.metric == "windows")
        yield f"<figure><figcaption>{escaped(first.label)}</figcaption>{plot}{legend(drawn)}"
        counts = " : ".join(f"{count:,}" for count in first.clips if count)
        said = escaped(curve_meaning(first))
        yield f"<p>{said} <small>tier {first.tier} · {counts} clips</small></p></figure>"
    yield "</div>"


def drawn_lines(having: Sequence[tuple[Entry, Curve]]) -> list[Drawn]:
    """Return the lines of one curve of several evaluations; what does not depend on the model is taken once."""
    found: list[Drawn] = []
    for place, (entry, curve) in enumerate(having):
        for line in curve.lines:
            if line.name in ("real", "floor", "plain") and place > 0:
                continue
            name, colour = NAMES.get(line.name, line.name), COLOURS.get(line.name, "--c7")
            if len(having) > 1 and line.name not in ("real", "floor", "plain"):
                name = entry.name if line.name == "made" else f"{entry.name}, {name}"
                colour = f"--c{(place if place < 1 else place + 1) % KINDS}"  # --c1 is that of real clips
            found.append(Drawn(name, curve.x, line.y, colour, DASHES.get(line.name, "")))
    return found


def through_training(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield a plot for each figure over the clips seen, with intervals and floor."""
    yield "<h2>Through the training</h2>"
    yield (
        "<p>Every model that the run has kept, measured in the same way. Bands are confidence intervals. Whoever takes "
        "the model that is best here should measure it again with fresh samples (another <code>--seed</code>) before "
        "reporting the figure: the lowest of several is lower than it deserves.</p>"
    )
    yield '<div class="plots">'
    for (_, label, _), row in common(entries):
        having = [(e, f) for e, f in zip(entries, row, strict=True) if f is not None and f.value is not None]
        if not having:
            continue
        figure = having[0][1]
        x = tuple(float(entry.evaluation.made.clips_seen) for entry, _ in having)
        intervals = [f.interval for _, f in having]
        low, high = ((), ())
        if all(one is not None for one in intervals):
            low, high = (tuple(getattr(one, end) for one in intervals) for end in ("low", "high"))
        drawn = [Drawn("made", x, tuple(f.value for _, f in having), "--c0", "", low, high)]
        floors = tuple(None if f.floor is None else f.floor.value for _, f in having)
        reals = tuple(f.real for _, f in having)
        for name, values in (("floor", floors), ("real", reals)):
            if any(value is not None for value in values):
                drawn.append(Drawn(NAMES[name], x, values, COLOURS[name], DASHES[name]))
        plot = lines(label, "clips seen", "", drawn, zero=figure.better == "lower")
        yield f"<figure><figcaption>{escaped(label)} {ARROWS[figure.better]}</figcaption>{plot}{legend(drawn)}"
        yield f"<p>{escaped(meaning(figure))}</p></figure>"
    yield "</div>"


def neighbours(found: Memorisation, read: Read) -> Iterator[str]:
    """Yield what is known of clips that repeat their training data: shares, quantiles, the worst pairs, names."""
    yield "<h2>Nearest training clips</h2>"
    yield (
        "<p>The ratio is the distance of a made clip to its nearest training clip, over the usual one of unseen real "
        "clips: about 1 is as it should be, well below .5 a near-copy.</p>"
    )
    heads = (
        "space",
        "tier",
        "median ratio",
        "5% quantile",
        "least",
        "below .5",
        "interval",
        "unseen real clips below .5",
    )
    rows = [
        (
            space.name,
            space.tier,
            number(space.median),
            number(space.low),
            number(space.least),
            f"{space.below:.1%}",
            f"{space.interval.low:.1%} to {space.interval.high:.1%}",
            f"{space.below_real:.1%}",
        )
        for space in found.spaces
    ]
    yield '<div class="scroll">'
    yield from table(heads, rows)
    yield '</div><div class="plots">'
    for space in found.spaces:
        place = tuple(100 * n / max(1, len(space.ratios) - 1) for n in range(len(space.ratios)))
        drawn = [Drawn("made", place, space.ratios, "--c0")]
        if len(space.ratios_real) == len(place):
            drawn.append(Drawn("unseen real clips", place, space.ratios_real, "--real", DASHES["real"]))
        drawn.append(Drawn("near-copies below", (0.0, 100.0), (0.5, 0.5), "--floor", DASHES["floor"]))
        label = f"Ratio in {space.name}"
        plot = lines(label, "part of the clips, %", "", drawn, zero=True)
        yield f"<figure><figcaption>{escaped(label)}</figcaption>{plot}{legend(drawn)}"
        yield "<p>Sorted. A made line that begins far below the real one shows copies.</p></figure>"
    yield "</div>"
    if found.copies:
        yield f"<details open><summary>{len(found.copies):,} near-copies, to be looked at or left out</summary>"
        yield from table(("clip",), [(name,) for name in found.copies])
        yield "</details>"
    yield from _pairs(found, read)
    yield f"<p><small>{escaped(found.how)}; {found.made:,} made, {found.training:,} of {found.training_there:,} "
    yield f"training windows, {found.heldout:,} unseen ones.</small></p>"


def _pairs(found: Memorisation, read: Read) -> Iterator[str]:
    if not found.pairs:
        return
    yield f"<details open><summary>The {len(found.pairs)} nearest pairs, made above real</summary>"
    yield '<div class="plots">'
    for pair in found.pairs:
        picture = read(pair.picture) if pair.picture else None
        image = ""
        if picture is not None:
            image = f'<img alt="frames of a pair" loading="lazy" src="{data_uri("image/png", picture)}">'
        text = (
            f"{pair.made}, frame {pair.made_start} · {pair.real}, frame {pair.real_start} · ratio {number(pair.ratio)} "
            f"in {pair.space} · {pair.pixels:.1f} of 255 levels apart"
        )
        yield f'<div class="pair">{image}<small>{escaped(text)}</small></div>'
    yield "</div></details>"


def protocol(evaluation: Evaluation) -> Iterator[str]:
    """Yield everything that it takes to measure the same again."""
    yield "<h2>Protocol</h2>"
    known = {key: value for key, value in asdict(evaluation.protocol).items() if value not in (None, ())}
    rows = [(key, ", ".join(map(str, v)) if isinstance(v, list | tuple) else _plain(v)) for key, v in known.items()]
    rows += [("seed", str(evaluation.seed)), ("floor", evaluation.floor)]
    rows += [("computed on", evaluation.device), ("made by", evaluation.made_by)]
    yield from table((), rows)
    yield "<h2>What was compared</h2>"
    made, real = _side(evaluation.made), _side(evaluation.real)
    both = [(name, made.get(name, ""), real.get(name, "")) for name in dict.fromkeys([*made, *real])]
    yield '<div class="scroll">'
    yield from table(("of", "made", "real"), both)
    yield "</div>"
    if evaluation.networks:
        yield '<h2>Feature networks</h2><div class="scroll">'
        heads = ("network", "tier", "features", "of", "classes", "SHA-256")
        nets = [(n.name, n.tier, n.size, n.of, n.classes, n.digest) for n in evaluation.networks]
        yield from table(heads, nets)
        yield "</div>"
    tiers = sorted({figure.tier for figure in evaluation.figures})
    yield from table((), [(f"tier {tier}", TIERS[tier]) for tier in tiers])
    if evaluation.work:
        yield "<details><summary>Where the time went</summary>"
        yield from table((), [(work.step, f"{work.seconds:.1f} s") for work in evaluation.work])
        yield "</details>"


def _plain(value: object) -> str:
    return {"True": "yes", "False": "no"}.get(str(value), str(value))


def _side(side: Side) -> dict[str, str]:
    """Return what is known of a side, without what is empty."""
    colour = "grey" if side.channels == 1 else "RGB"
    found = {
        "name": side.name,
        "given as": f"{side.given} ({side.kind})",
        "content": side.digest,
        "split": side.split,
        "clips measured": f"{side.windows:,}" + (f" of {side.available:,} there" if side.available else ""),
        "too short": f"{side.too_short:,}" if side.too_short else "",
        "frames": f"{side.frames} of {side.width}×{side.height}, {colour}, {side.fps:g} a second",
        "resized": side.resized,
        "labels": ", ".join(side.labels),
        "trained on": side.trained_on,
        "clips seen": f"{side.clips_seen:,}" if side.clips_seen else "",
    }
    return {key: value for key, value in found.items() if value}
