"""Which clips a feature network of tier B learns from: some files of a data set, which evaluation then leaves out.

The files of the training split are divided label by label, in the order of a hash of their names. The first part is the
network's. All else is what its accuracy is measured on, what it climbs the ladder with, and what evaluation reads.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from footage.data.clips import ClipSource, Span
from footage.errors import DatasetError
from footage.evaluation.features.learned import Made


def file_of(span: Span) -> str:
    """Return what a clip was cut from: its name up to the time, or its number where it is drawn."""
    return span.name.rpartition("@")[0] or span.name or f"#{span.index}"


def divide(source: ClipSource, share: float, seed: int = 0) -> tuple[list[Span], list[Span]]:
    """Divide clips by the file that they were cut from.

    Args:
        source: the data set.
        share: the part of the training split's files that the network learns from, label by label.
        seed: of the order.

    Returns:
        The clips that the network learns from, and all others, of both splits.

    Raises:
        DatasetError: there are too few files.
    """
    groups: dict[int, dict[str, list[Span]]] = defaultdict(lambda: defaultdict(list))
    train = source.spans("train")
    for span in train:
        groups[span.label][file_of(span)].append(span)
    own: list[Span] = []
    for found in groups.values():
        order = sorted(found, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).hexdigest())
        for name in order[: min(max(1, round(len(order) * share)), len(order) - 1)]:
            own += found[name]
    taken = {file_of(span) for span in own}
    others = [span for span in (*train, *source.spans("heldout")) if file_of(span) not in taken]
    if len(taken) < 2 or len({file_of(span) for span in others}) < 4:
        raise DatasetError(
            f"{source.name} has too few files to train on some and to evaluate on others", "ingest more files"
        )
    return own, others


def left_over(source: ClipSource, spans: Sequence[Span], made: Made) -> list[Span]:
    """Return those of some clips that a network did not learn from: what may be evaluated with it.

    Clips of another data set are all of them; names are compared where the content hash is the same.
    """
    if source.content_hash != made.dataset_hash:
        return list(spans)
    taken = set(made.sources)
    return [span for span in spans if file_of(span) not in taken]
