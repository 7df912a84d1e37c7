"""Pictures of the pairs of clips that are nearest to each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from footage.data.store import Frames
from footage.evaluation.results import Memorisation, Pair
from footage.media.sheets import contact_sheet, save_picture, strip

SHOWN = 8
"""Frames of each clip on the sheet."""


def save_pairs(found: Memorisation, pairs: Sequence[tuple[Pair, Frames, Frames]], to: Path | None) -> Memorisation:
    """Put the pairs into what was found; write a picture of each, and a sheet of all.

    Args:
        found: without pairs.
        pairs: each with the frames of what was made and of the training window, uint8 (T, H, W, C).
        to: the figures.json beside which the pictures are put; None to write none.
    """
    if to is None or not pairs:
        return replace(found, pairs=tuple(pair for pair, _, _ in pairs))
    kept: list[Pair] = []
    rows: list[Frames] = []
    captions: list[str] = []
    for number, (pair, made, real) in enumerate(pairs):
        name = f"{to.stem}-pairs/{number:02d}.png"
        above, below = (np.concatenate(list(clip), axis=1) for clip in (made, real))  # T H W C -> H TW C
        picture = np.concatenate([above, below], axis=0)
        save_picture(to.parent / name, np.ascontiguousarray(np.broadcast_to(picture, (*picture.shape[:2], 3))))
        kept.append(replace(pair, picture=name))
        rows += [strip(made, SHOWN), strip(real, SHOWN)]
        captions += [f"{pair.ratio:.2f} {pair.made}", f"{pair.real}, frame {pair.real_start}"]
    sheet = f"{to.stem}-pairs.png"
    save_picture(to.parent / sheet, contact_sheet(rows, captions, columns=2))
    return replace(found, pairs=tuple(kept), sheet=sheet)
