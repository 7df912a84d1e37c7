"""What makes figures say less than they seem to: looked for, and said with its remedy."""

from __future__ import annotations

import torch

from footage.evaluation.describe import GLANCE, Described
from footage.evaluation.evidence import Evidence, groups_of
from footage.evaluation.plan import Plan
from footage.evaluation.results import Memorisation
from footage.metrics.rows import blocks

NOISE = 2
"""Levels of 255 by which pixels of a clip may differ that is still of one plain colour, or a still."""
SUSPECT = 0.05
"""Part of the clips that are nearer to training clips than unseen ones are, above which a warning says so."""


def cautions(found: Evidence, plan: Plan, asked: tuple[str, ...]) -> list[str]:
    """Return warnings about figures of these clips.

    Args:
        found: both sides.
        plan: what they are.
        asked: metrics that were asked for by name; none for all.
    """
    warnings = []
    for group in groups_of(found.nets):
        metric, what = ("fvd", "clips") if group.of == "clip" else ("fid", "frames")
        rows = min(side.rows[group.names[0]].shape[0] for side in (found.made, found.real))
        if rows <= group.size and (metric in asked or not asked):
            frames = 1 if group.of == "clip" else found.frames
            warnings.append(
                f"{rows} {what} are too few for the {group.size} features of {group.title}: the Fréchet distance "
                f"comes out too large; give --clips {group.size // frames + 1} or more, or read the kernel distance"
            )
    if "fvd" in asked and not any(net.tier == "A" for net in found.nets):
        warnings.append(
            "fvd was asked for without the weights of an official network: what stands in its place is no FVD, and "
            "not comparable with one; give --weights FILE"
        )
    for side, given in ((found.made, plan.made.opened.given), (found.real, plan.real.opened.given)):
        levels = torch.cat([block for _, block in blocks(side.rows[GLANCE])])
        plain = levels[:, 0] <= NOISE
        still = (levels[:, 1] <= NOISE) & ~plain
        for which, words in ((plain, "of one plain colour throughout"), (still, "stills: nothing moves in them")):
            rows_of = which.nonzero().flatten().tolist()
            if rows_of:
                named = _names(side, rows_of)
                warnings.append(f"{len(rows_of)} of {side.count} clips of {given} are {words} ({named}): look at them")
    return warnings


def _names(side: Described, rows: list[int]) -> str:
    names = list(dict.fromkeys(side.clips.named(row)[0] for row in rows))
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def copied(found: Memorisation) -> list[str]:
    """Return a warning for each space in which more clips repeat training clips than unseen ones seem to."""
    return [
        f"{space.below:.0%} of the clips are less than half as far from a training clip as unseen clips are, in "
        f"{space.name} ({space.below_real:.0%} of the unseen ones): look at the pairs, and leave out the copies"
        for space in found.spaces
        if space.below - space.below_real > SUSPECT
    ]
