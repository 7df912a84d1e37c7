"""Which sources are held out: by the content of the file, so that it never changes and copies stay together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from footage.data.store import Split

ENOUGH = 10
"""With this many different sources at least one is held out."""


def assign_splits(
    contents: Mapping[str, str], heldout: float, earlier: Mapping[str, str] | None = None
) -> dict[str, Split]:
    """Assign each source to a side.

    A source is held out when its content's hash, read as a number in [0, 1), is below `heldout`.
    With few sources this may hold out none or all; so one is held out where there are at least
    `ENOUGH`, and one is trained on in any case.

    Args:
        contents: SHA-256 of each source, in hexadecimal, by name.
        heldout: the part to hold out, in [0, 1).
        earlier: sides assigned before, by SHA-256; they never change.

    Returns:
        the side of each source, by name.
    """
    earlier = earlier or {}
    sides: dict[str, Split] = {}
    ranked = sorted({content: int(content[:13], 16) / 16**13 for content in contents.values()}.items(), key=_rank)
    for content, number in ranked:
        held = earlier[content] == "heldout" if content in earlier else number < heldout
        sides[content] = "heldout" if held else "train"
    new = [content for content, _ in ranked if content not in earlier]
    values: set[Literal["train", "heldout"]] = set(sides.values())
    if heldout > 0 and len(sides) >= ENOUGH and "heldout" not in values and new:
        sides[new[0]] = "heldout"
    elif sides and "train" not in values and new:
        sides[new[-1]] = "train"
    return {name: sides[content] for name, content in contents.items()}


def _rank(item: tuple[str, float]) -> tuple[float, str]:
    return item[1], item[0]
