"""Pairs of clips from two data sets, "folders with matching names": what is to be made, and what it is made from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from footage.config import ClipConfig
from footage.data.clips import ClipSource, DatasetClips, Span, open_clips
from footage.data.crops import DatasetCrops, VideoCrops, is_footage
from footage.data.store import Frames, Split
from footage.errors import DatasetError
from footage.files import json_digest

SPLITS: tuple[Split, ...] = ("train", "heldout")


class PairedClips:
    """Clips to be made, `target`, each with the clip of the same name that it is made from, in `source`, behind it.

    They are put together on the axis of channels.
    Clips go together that were cut from files of the same path, below the folder that was ingested and without
    suffix, at the same time. Of two of different lengths, the longer one's end is left out; so is every clip without a
    partner. Splits and labels are the target's.

    Raises:
        DatasetError: size or rate differ, two clips of one side have the same name, or no clip has a partner.
    """

    def __init__(self, target: ClipSource, source: ClipSource) -> None:
        (height, width, channels), (source_height, source_width, self.guides) = target.shape, source.shape
        if (height, width) != (source_height, source_width):
            raise DatasetError(
                f"{source.name} has frames of {source_width}×{source_height}, {target.name} of {width}×{height}",
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
        targets, partners = _spans_by_name(target), _spans_by_name(source)
        self.target, self.source = target, source
        self.name, self.fps, self.labels = f"{target.name} from {source.name}", target.fps, target.labels
        self.content_hash = json_digest([target.content_hash, source.content_hash])
        self.shape = (height, width, channels + self.guides)
        self._spans: dict[Split, list[Span]] = {}
        self._partner: dict[int, int] = {}  # number in the target -> number in the source
        for split in SPLITS:
            self._spans[split] = []
            for span in target.spans(split):
                if partner := partners.get(span.name):
                    frames = min(span.frames, partner.frames)
                    self._spans[split].append(replace(span, frames=frames))
                    self._partner[span.index] = partner.index
        if not self._partner:
            for side, names in ((target, targets), (source, partners)):
                if not names:
                    raise DatasetError(
                        f"the clips of {side.name} come from no files, and have no names to be matched",
                        "give a dataset folder",
                    )
            raise DatasetError(
                f'no clip of {target.name} has a partner in {source.name}: one is named "{min(targets)}", the other '
                f'"{min(partners)}" (path @ seconds)',
                "give both folders' files the same names, and ingest both with --no-cuts, --keep-static and "
                "--keep-duplicates",
            )

    def spans(self, split: Split) -> list[Span]:
        return self._spans[split]

    def read(self, index: int, start: int, frames: int) -> Frames:
        """Return a window of a pair, uint8 (T, H, W, C + Cs)."""
        target, source = self.target.read(index, start, frames), self.source.read(self._partner[index], start, frames)
        return np.concatenate([target, source], axis=-1)


def open_source(
    data: Path | str, clip: ClipConfig, guide: Path | str | None = None, *, crops: bool = False
) -> ClipSource:
    """Open a data set, and where there is a guide, one that its clips are made from; see `footage.data.clips`.

    With `crops`, a folder of videos will do, and a data set of larger clips: clips are crops of them, see
    `footage.data.crops`.
    """
    source: ClipSource = VideoCrops(data, clip) if crops and is_footage(data) else open_clips(data, clip)
    if crops and isinstance(source, DatasetClips):
        height, width, _ = source.shape
        if (height, width) != (clip.height, clip.width) and height >= clip.height and width >= clip.width:
            source = DatasetCrops(source, clip)
    return source if guide is None else PairedClips(source, open_clips(guide, clip))


def _spans_by_name(side: ClipSource) -> dict[str, Span]:
    """Return the clips that have names; refuse a source in which a name does not tell which clip is meant."""
    spans: dict[str, Span] = {}
    for span in (span for split in SPLITS for span in side.spans(split) if span.name):
        other = spans.setdefault(span.name, span)
        if other.index != span.index:
            rows = side.dataset.rows if isinstance(side, DatasetClips) else []
            both = " and ".join(sorted(rows[number].source for number in (other.index, span.index) if rows))
            raise DatasetError(
                f'two clips of {side.name} are named "{span.name}" (path @ seconds)' + (f", of {both}" if both else ""),
                "give each file a path of its own below its folder, suffix aside, the same in both data sets, and "
                "ingest again",
            )
    return spans
