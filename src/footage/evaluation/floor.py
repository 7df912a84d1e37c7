"""Real clips beside other real clips: what a perfect model would have."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from footage.data.clips import Span
from footage.evaluation.describe import Described
from footage.evaluation.protocols import Protocol
from footage.evaluation.sides import Clips, Made, Read
from footage.evaluation.windows import Window, draw, halves, stretches

Floor = tuple[tuple[Described, Described] | None, str]
"""The two sides, and in words what they are."""


def floor_of(
    real: Described,
    spans: Sequence[Span],
    heldout: Sequence[Span],
    protocol: Protocol,
    seed: int,
    described: Callable[[Clips], Described],
) -> Floor:
    """Describe the floor's two sides.

    Of a model, other seeds. Of clips: held-out ones against those that are the reference, where there are enough; else
    other clips of the same split; else the clips are divided in two halves, label by label, and no clip is in both.

    Args:
        real: the reference.
        spans: the clips that it was drawn from.
        heldout: clips that were held out, where it was drawn from training clips.
        protocol: how windows are drawn; its number of frames is known.
        seed: of the draws.
        described: describes clips.
    """
    clips, count = real.clips, real.count
    if isinstance(clips, Made):
        other = Made(clips.model, count, clips.shape, seed=clips.seed + 2**31, stride=clips.stride)
        return (described(other), real), f"{count} clips of other seeds against {count}"
    if not isinstance(clips, Read):
        return None, "none"
    reach = (clips.shape.frames + clips.given - 1) * clips.stride + 1

    def read(windows: Sequence[Window]) -> Read:
        shape = clips.shape.longer(clips.given)
        return Read(clips.source, windows, shape, stride=clips.stride, given=clips.given)

    def room(some: Sequence[Span]) -> int:
        return len(some) if protocol.windows == "one" else sum(len(stretches(span, reach)) for span in some)

    if heldout and room(heldout) >= count:
        windows = draw(heldout, protocol, count, seed, clips.stride)
        return (described(read(windows)), real), f"{count} windows of held-out clips against {count} of training clips"
    if protocol.windows == "one" and len(spans) >= 2 * count:
        windows = draw(spans, protocol, 2 * count, seed, clips.stride)[count:]
        return (described(read(windows)), real), f"{count} windows of other clips against {count}"
    if protocol.windows == "one":
        return _halved(real)
    if len(spans) < 2:
        return None, "none: there is only one clip"
    one, two = (read(draw(half, protocol, count, seed, clips.stride)) for half in halves(spans, seed))
    how = f"{count} windows of one half of the clips against {count} of the other, there being too few"
    return (described(one), described(two)), how


def _halved(real: Described) -> Floor:
    """Divide the windows, one of each clip, in two halves."""
    if real.count < 4:
        return None, f"none: there are only {real.count} clips"
    order = np.argsort(real.labels, kind="stable")
    one, two = order[::2], order[1::2]
    how = (
        f"{len(one)} clips against the {len(two)} others, there being too few: with fewer clips distances come out "
        "larger, so that the floor is too high"
    )
    return (real.chosen(np.sort(one)), real.chosen(np.sort(two))), how
