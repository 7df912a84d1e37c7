"""Signs that somebody has tampered with a data set: floods of copies, exchanged labels, patches that trigger.

Three cheap looks at small copies of the clips, none of which needs a trained network. A flood is many near-copies of
one clip, which a model then learns by heart. A label is suspicious when clips that look alike have another one, nearly
all of them (Bahri et al., "Deep k-NN for noisy labels", 2020, with features that are made by hand); only where looks
tell the labels apart. A trigger is a small fixed patch at one place that many clips of one label share and others lack
(Gu et al., "BadNets", 2017), clips of many sources: those of one recording share what its camera saw. All three say
where to look, and prove nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from footage.data.store import Dataset, Frames
from footage.media.signatures import MOMENTS, find_duplicates, moments, pool, signature

SIDE = 32
"""Cells along each side of the small copies, at most."""
MOST = 2_000
"""Clips that are looked at; of more, as many spread evenly."""
FLOOD = (4, 0.02)
"""A flood has at least so many clips, and at least this part of them."""
NEIGHBOURS = 10
AGREE, OWN = 0.6, 0.15
"""A label is suspicious where at least `AGREE` of the neighbours share another, and at most `OWN` have the clip's."""
TELLING = 0.7
"""Labels are checked where at least this part of the clips has most of its neighbours' label."""
BEYOND = 0.4
"""And where it is so far beyond chance (Cohen's kappa, 1960), as TELLING is of two labels of equal number: where nearly
all clips have one label, nearly all neighbours have it, whatever they look like."""
COMPONENTS = 16
"""Of the features, that neighbours are found by."""
WINDOW = 3
"""Cells along each side of the patches that are compared."""
STEADY, SAME, CONTRAST = 8.0, 12.0, 24.0
"""Grey levels: a patch changes less in time; is the same in two clips; stands out from what is around it."""
REFERENCES = 48
"""Clips of a label whose patches are looked for in all others."""
TRIGGER = (5, 0.05)
"""A trigger is in clips of at least so many sources of a label, and at least this part of them."""
SURE = 5.0
"""A patch is commoner under one label than under the others by so many standard errors, of sources: the root of G, see
there."""
LACKING = 4
"""A trigger is so many times as common under its label as under the others."""
SMALL = 0.25
"""A trigger covers at most this part of a frame: what covers more is a place that many clips show."""

Kind = Literal["flood", "label", "trigger"]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Suspicion:
    """Something that somebody should look at."""

    kind: Kind
    clips: tuple[int, ...]
    """Numbers of the clips, as they were given."""
    detail: str
    """What is seen, in words."""


def small_copies(dataset: Dataset) -> tuple[list[int], npt.NDArray[np.uint8]]:
    """Return numbers of clips, all or `MOST` of them, and their small copies uint8 (N, MOMENTS, g, g', C)."""
    count = min(MOST, len(dataset.rows))
    numbers = [int(number) for number in np.arange(count) * len(dataset.rows) // max(count, 1)]
    copies = []
    for number in numbers:
        row = dataset.rows[number]
        chosen = np.concatenate([dataset.read(row, moment, 1) for moment in moments(row.frames)])
        copies.append(pool(chosen, SIDE).round().astype(np.uint8))
    info = dataset.info
    shape = (0, MOMENTS, min(SIDE, info.height), min(SIDE, info.width), info.channels)
    return numbers, np.stack(copies) if copies else np.zeros(shape, np.uint8)


def find_in(dataset: Dataset) -> list[Suspicion]:
    """Return what is suspicious in a data set; clips are numbers of its rows."""
    numbers, copies = small_copies(dataset)
    rows = [dataset.rows[number] for number in numbers]
    seconds = [row.frames / dataset.info.fps for row in rows]
    found = find_suspicious(copies, [row.label for row in rows], [row.source for row in rows], seconds)
    return [Suspicion(each.kind, tuple(numbers[clip] for clip in each.clips), each.detail) for each in found]


def find_suspicious(
    copies: Frames, labels: Sequence[str | None], sources: Sequence[str], seconds: Sequence[float]
) -> list[Suspicion]:
    """Return floods, exchanged labels and triggers.

    Args:
        copies: of N clips, uint8 (N, MOMENTS, g, g', C); see `small_copies`.
        labels: theirs, None for none.
        sources: what each comes from: clips of one source are no neighbours.
        seconds: their lengths.
    """
    names = sorted({label for label in labels if label is not None})
    numbered = np.array([names.index(label) if label is not None else -1 for label in labels], np.int64)
    found = find_floods(copies, seconds)
    if len(names) > 1:
        flooded = {clip for flood in found for clip in flood.clips[1:]}
        found += find_exchanged(copies, numbered, sources, names, flooded)
        found += find_triggers(copies, numbered, sources, names)
    return found


def find_floods(copies: Frames, seconds: Sequence[float]) -> list[Suspicion]:
    """Return groups of near-copies that are large; the clip that the others repeat comes first."""
    groups: dict[int, list[int]] = {}
    for pair in find_duplicates(np.stack([signature(copy) for copy in copies]), seconds) if len(copies) else ():
        groups.setdefault(pair.of, []).append(pair.clip)
    least = max(FLOOD[0], FLOOD[1] * len(copies))
    return [
        Suspicion("flood", (first, *others), f"{len(others) + 1:,} clips are near-copies of one another")
        for first, others in sorted(groups.items())
        if len(others) + 1 >= least
    ]


def features(copies: Frames) -> list[npt.NDArray[np.float32]]:
    """Return what clips look like, by hand, in two ways, each (N, D).

    One is where things are: the mean picture, and how much each place changes. The other is their forms wherever they
    are: the logarithm of the magnitudes of the spectrum, on average over the moments.
    """
    values = copies.astype(np.float32)
    spectrum = np.abs(np.fft.fft2(values.mean(axis=4), axes=(2, 3)))[:, :, :12]  # (N, M, u, v)
    change = np.abs(np.diff(values, axis=1)).mean(axis=1)
    places = np.concatenate([pooled(values.mean(axis=1)), pooled(change)], axis=1)
    kept = []
    for part in (places, np.log1p(spectrum).mean(axis=1).reshape(len(values), -1)):
        left, strengths, _ = np.linalg.svd(part - part.mean(axis=0), full_matrices=False)
        # Half whitened: no direction outweighs all others.
        kept.append(np.asarray(left[:, :COMPONENTS] * strengths[:COMPONENTS] ** 0.5, np.float32))
    return kept


def pooled(pictures: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return pictures (N, g, g', C) at a quarter of their size, flat: (N, D)."""
    height, width = pictures.shape[1] // 4 * 4, pictures.shape[2] // 4 * 4
    blocks = pictures[:, :height, :width].reshape(
        len(pictures), max(1, height // 4), -1, max(1, width // 4), 4, pictures.shape[3]
    )
    return np.asarray(blocks.mean(axis=(2, 4)).reshape(len(pictures), -1), np.float32)


def find_exchanged(
    copies: Frames, labels: Labels, sources: Sequence[str], names: Sequence[str], left_out: set[int]
) -> list[Suspicion]:
    """Return clips whose neighbours nearly all have another label, where neighbours tell labels at all.

    Args:
        copies: see `find_suspicious`.
        labels: numbers of the labels, -1 for none.
        sources: see `find_suspicious`.
        names: of the labels.
        left_out: clips that are nobody's neighbours: one of a flood stands for all.
    """
    told = np.array([clip for clip in np.flatnonzero(labels >= 0).tolist() if clip not in left_out], np.int64)
    if len(told) < 4 * NEIGHBOURS:
        return []
    known, origin = labels[told], np.unique([sources[clip] for clip in told], return_inverse=True)[1]
    beyond, votes = BEYOND, np.zeros((len(told), len(names)))
    for seen in features(copies[told]):
        squares = (seen**2).sum(axis=1)
        distance = squares[:, None] + squares[None] - 2 * seen @ seen.T
        distance[origin[:, None] == origin[None]] = np.inf
        near = np.argpartition(distance, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
        cast = (known[near][:, :, None] == np.arange(len(names))).mean(axis=1)  # (N, labels)
        guessed = cast.argmax(axis=1)
        agreement = float((guessed == known).mean())
        shares = [np.bincount(some, minlength=len(names)) / len(told) for some in (guessed, known)]
        chance = float(shares[0] @ shares[1])
        if agreement >= TELLING and (kappa := (agreement - chance) / max(1 - chance, 1e-9)) >= beyond:
            beyond, votes = kappa, cast
    own, other = votes[np.arange(len(told)), known], votes.argmax(axis=1)
    flagged = np.flatnonzero((own <= OWN) & (votes.max(axis=1) >= AGREE) & (other != known))
    return [
        Suspicion(
            "label",
            (int(told[place]),),
            f'labelled "{names[known[place]]}", and of {NEIGHBOURS} clips that look like it '
            f'{round(votes[place].max() * NEIGHBOURS)} are labelled "{names[other[place]]}"',
        )
        for place in flagged.tolist()
    ]


def _surprise(
    inside: npt.NDArray[np.float64], outside: npt.NDArray[np.float64], own: int, others: int
) -> npt.NDArray[np.float64]:
    """Return G of two shares, of `own` and of `others` sources: twice the logarithm of how likely they are beside one.

    Wilks' likelihood ratio, whose root is a number of standard errors where there are many.
    """
    both, total = (inside * own + outside * others) / (own + others), np.zeros_like(inside)
    for share, count in ((inside, own), (outside, others)):
        for part, expected in ((share, both), (1 - share, 1 - both)):
            total += 2 * count * part * np.log(np.maximum(part, 1e-12) / np.maximum(expected, 1e-12))
    return np.maximum(total, 0)


def find_triggers(copies: Frames, labels: Labels, sources: Sequence[str], names: Sequence[str]) -> list[Suspicion]:
    """Return, of each label, the clips that share a small steady patch which clips of other labels lack.

    Each source counts as one, with the share of its clips that have the patch: what a camera that stands still sees is
    in all clips of one recording.

    Args:
        copies: see `find_suspicious`.
        labels: numbers of the labels, -1 for none.
        sources: see `find_suspicious`.
        names: of the labels.
    """
    if min(copies.shape[2:4]) < WINDOW:
        return []
    means = copies.mean(axis=1, dtype=np.float32).round().astype(np.int16)  # (N, g, g', C)
    steady = copies.std(axis=1, dtype=np.float32).max(axis=3) <= STEADY  # (N, g, g')
    height, width = means.shape[1:3]
    corners = list(itertools.product(range(WINDOW), repeat=2))
    origin = np.unique(np.asarray(sources), return_inverse=True)[1]
    rng, found = np.random.default_rng(0), []
    for number, name in enumerate(names):
        own = labels == number
        clips = np.flatnonzero(own)
        sizes = [np.bincount(origin[side], minlength=len(origin)) for side in (own, ~own)]
        counts = [int((size > 0).sum()) for size in sizes]  # sources with the label, and without
        least = max(TRIGGER[0], TRIGGER[1] * counts[0])
        if counts[0] < least or own.all():
            continue
        weights = [1 / size[origin[side]] for size, side in zip(sizes, (own, ~own), strict=True)]
        shared, place = set[int](), (0, 0)
        for reference in rng.choice(clips, min(REFERENCES, len(clips)), replace=False).tolist():
            alike = (np.abs(means - means[reference]).max(axis=3) <= SAME) & steady & steady[reference]
            # Windows whose cells are all alike, and which stand out from what is around them: (N, y, x).
            cells = [alike[:, y : y + height - WINDOW + 1, x : x + width - WINDOW + 1] for y, x in corners]
            grey = np.pad(means[reference].mean(axis=2), 1, mode="edge")
            around = np.lib.stride_tricks.sliding_window_view(grey, (WINDOW + 2, WINDOW + 2))
            same = np.logical_and.reduce(cells) & (np.ptp(around, axis=(2, 3)) >= CONTRAST)
            inside, outside = (
                np.tensordot(weight, same[side], 1) / count
                for weight, side, count in zip(weights, (own, ~own), counts, strict=True)
            )
            sure = np.sqrt(_surprise(inside, outside, *counts)) >= SURE
            signs = sure & (inside >= LACKING * outside) & (inside * counts[0] >= least)
            if not signs.any():
                continue
            y, x = np.unravel_index(np.where(signs, inside, 0).argmax(), signs.shape)
            sharing = np.flatnonzero(same[:, y, x] & own)
            others = sharing[sharing != reference]
            if len(others) and same[others].mean() <= SMALL:
                shared, place = shared | set(sharing.tolist()), (int(y), int(x))
        if len({int(origin[clip]) for clip in shared}) >= least:
            where = f"{(place[1] + 1.5) / width:.0%} from the left and {(place[0] + 1.5) / height:.0%} from the top"
            text = f'{len(shared):,} of {len(clips):,} clips labelled "{name}" share a small patch, {where}'
            found.append(Suspicion("trigger", tuple(sorted(shared)), text))
    return found
