"""Pairs of clips from two data sets, "folders with matching names": what is to be made, and what it is made from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from footage.config import ClipConfig
from footage.data.clips import ClipSource, DatasetClips, Span, open_clips
from footage.data.crops import VideoCrops, is_footage
from footage.data.store import Frames, Split
from footage.errors import DatasetError
from footage.files import json_digest

SPLITS: tuple[Split, ...] = ("train", "heldout")


class PairedClips:
    """Clips of one source, each with the clip of the same name in another behind it, on the axis of channels.

    Clips go together that were cut from files of the same path, below the folder that was ingested and without
    suffix, at the same time. Of two of different lengths, the longer one's end is left out; so is every clip without a
    partner. Splits and labels are the target's.

    Args:
        target: what is to be made.
        source: what it is made from.

    Raises:
        DatasetError: size or rate differ, two clips of one side have the same name, or no clip has a partner.
    """

    def __init__(self, target: ClipSource, source: ClipSource) -> None:
        _check_alike(target, source)
        for side in (target, source):
            _check_names(side)
        self.target, self.source = target, source
        self.name, self.fps, self.labels = f"{target.name} from {source.name}", target.fps, target.labels
        self.content_hash = json_digest([target.content_hash, source.content_hash])
        height, width, channels = target.shape
        self.guides = source.shape[2]
        self.shape = (height, width, channels + self.guides)
        partners = {span.name: span for split in SPLITS for span in source.spans(split) if span.name}
        self._spans: dict[Split, list[Span]] = {}
        self._partner: dict[int, int] = {}  # number in the target -> number in the source
        for split in SPLITS:
            spans = self._spans[split] = []
            for span in target.spans(split):
                partner = partners.get(span.name)
                if partner is not None:
                    frames = min(span.frames, partner.frames)
                    spans.append(Span(span.index, frames, span.label, span.name))
                    self._partner[span.index] = partner.index
        if not self._partner:
            _refuse(target, source)

    def spans(self, split: Split) -> list[Span]:
        """Return the pairs of one split."""
        return self._spans[split]

    def read(self, index: int, start: int, frames: int) -> Frames:
        """Return a window of a pair, uint8 (T, H, W, C + Cs)."""
        made, given = self.target.read(index, start, frames), self.source.read(self._partner[index], start, frames)
        return np.concatenate([made, given], axis=-1)


def open_source(
    data: Path | str, clip: ClipConfig, guide: Path | str | None = None, *, crops: bool = False
) -> ClipSource:
    """Open a data set, and where there is a guide, one that its clips are made from; see `footage.data.clips`.

    With `crops`, a folder of videos will do: clips are crops of them, see `footage.data.crops`.
    """
    source: ClipSource = VideoCrops(data, clip) if crops and is_footage(data) else open_clips(data, clip)
    return source if guide is None else PairedClips(source, open_clips(guide, clip))


def _check_alike(target: ClipSource, source: ClipSource) -> None:
    """Refuse sources whose frames do not lie upon each other."""
    (height, width, _), (high, wide, _) = target.shape, source.shape
    if (height, width) != (high, wide):
        raise DatasetError(
            f"{source.name} has frames of {wide}×{high}, {target.name} of {width}×{height}",
            f"ingest {source.name} again with --width {width} --height {height}",
        )
    if abs(target.fps - source.fps) > 1e-3 * target.fps:
        raise DatasetError(
            f"{source.name} has {source.fps:g} frames in a second, {target.name} {target.fps:g}",
            f"ingest {source.name} again with --fps {target.fps:g}",
        )
    for side in (target, source):
        if side.guides:
            raise DatasetError(f"{side.name} is a pair already", "give two plain data sets")


def _check_names(side: ClipSource) -> None:
    """Refuse a source in which a name does not tell which clip is meant."""
    found: dict[str, int] = {}
    for span in (span for split in SPLITS for span in side.spans(split) if span.name):
        other = found.setdefault(span.name, span.index)
        if other != span.index:
            rows = (
                [side.dataset.rows[number] for number in (other, span.index)] if isinstance(side, DatasetClips) else []
            )
            both = " and ".join(sorted(row.source for row in rows))
            raise DatasetError(
                f'two clips of {side.name} are named "{span.name}" (path @ seconds)' + (f", of {both}" if both else ""),
                "give each file a path of its own below its folder, suffix aside, the same in both data sets, and "
                "ingest again",
            )


def _refuse(target: ClipSource, source: ClipSource) -> None:
    """Say that there is no pair, with an example of each side."""
    examples = []
    for side in (target, source):
        names = [span.name for split in SPLITS for span in side.spans(split)]
        if not any(names):
            raise DatasetError(
                f"the clips of {side.name} come from no files, and have no names to be matched", "give a dataset folder"
            )
        examples.append(min(name for name in names if name))
    raise DatasetError(
        f'no clip of {target.name} has a partner in {source.name}: one is named "{examples[0]}", the other '
        f'"{examples[1]}" (path @ seconds)',
        "give both folders' files the same names, and ingest both with --no-cuts, --keep-static and --keep-duplicates",
    )
