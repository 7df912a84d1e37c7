"""Which windows of which clips are measured: a function of protocol and seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from footage.data.clips import Span
from footage.evaluation.protocols import Protocol


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a clip."""

    span: Span
    """The clip."""
    start: int
    """Its first frame within the clip."""


def draw(spans: Sequence[Span], protocol: Protocol, count: int, seed: int, stride: int | None = None) -> list[Window]:
    """Draw windows in random order.

    With one window a clip there are as many as there are clips, at most. Of stretches there are always `count`: each
    comes once before any comes again, with another start.

    Args:
        spans: the clips, all long enough.
        protocol: where windows begin, and how many a clip gives; its number of frames must be known.
        count: how many.
        seed: of order and starts.
        stride: every which frame counts, where it is not the protocol's number.
    """
    assert protocol.frames is not None
    reach = (protocol.frames - 1) * (stride or protocol.stride) + 1
    units = [(span, 0, span.frames - reach + 1) for span in spans]  # a clip, its first start, how many there are
    if protocol.windows == "stretches":
        units = [unit for span in spans for unit in stretches(span, reach)]
    if not units:
        return []
    found: list[Window] = []
    epochs = 1 if protocol.windows == "one" else -(-count // len(units))
    for epoch in range(epochs):
        rng = np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[0, 0, 0, 0xC11B5]))
        for number in rng.permutation(len(units))[: count - len(found)]:
            span, first, starts = units[int(number)]
            at = {"random": int(rng.integers(starts)), "first": 0, "middle": starts // 2}[protocol.start]
            found.append(Window(span, first + at))
    return found


def stretches(span: Span, reach: int) -> list[tuple[Span, int, int]]:
    """Divide the starts of a clip's windows of `reach` frames into about as many parts as windows fit in."""
    starts = span.frames - reach + 1
    parts = max(1, round(starts / reach))
    edges = [starts * part // parts for part in range(parts + 1)]
    return [(span, edges[part], edges[part + 1] - edges[part]) for part in range(parts)]


def halves(spans: Sequence[Span], seed: int) -> tuple[list[Span], list[Span]]:
    """Divide clips into two sets without a common clip, label by label."""
    rng = np.random.Generator(np.random.Philox(key=[seed, 0xF1002]))
    order = sorted(zip(rng.permutation(len(spans)).tolist(), spans, strict=True), key=lambda x: (x[1].label, x[0]))
    return [span for _, span in order[::2]], [span for _, span in order[1::2]]
