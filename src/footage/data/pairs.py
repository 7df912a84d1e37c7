"""Clips with what they are made from behind them: pairs of two data sets, or a still and the clip's own sound."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np

from footage.config import ClipConfig
from footage.data.clips import ClipSource, DatasetClips, HasSound, HasVolumes, Span, open_clips
from footage.data.crops import DatasetCrops, VideoCrops, is_footage
from footage.data.store import Frames, Split
from footage.errors import DatasetError, counted
from footage.files import json_digest
from footage.media import speech
from footage.media.volumes import Levels

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
                f"{source.name} has {counted(source.fps, 'frame')} in a second, {target.name} {target.fps:g}",
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


class PairedVolumes(PairedClips):
    """The same of volumes, such as those of two modalities; what they mean is the target's."""

    def __init__(self, target: ClipSource, source: ClipSource) -> None:
        super().__init__(target, source)
        assert isinstance(target, HasVolumes) and isinstance(source, HasVolumes)
        if any(abs(a - b) > 1e-3 * b for a, b in zip(source.volume.spacing, target.volume.spacing, strict=True)):
            wanted = ",".join(f"{step:g}" for step in target.volume.spacing)
            raise DatasetError(
                f"the voxels of {source.name} lie {source.volume.spacing} mm apart, those of {target.name} {wanted}",
                f"ingest {source.name} again with --spacing {wanted}",
            )
        self.volume, self._deep = target.volume, (target, source)

    def read_deep(self, index: int, start: int, frames: int) -> Levels:
        """Return slices of a pair, uint16 (T, H, W, C + Cs)."""
        target, source = self._deep
        pair = (target.read_deep(index, start, frames), source.read_deep(self._partner[index], start, frames))
        return np.concatenate(pair, axis=-1)


class VoicedClips:
    """Clips with sound, each with what a figure that speaks is given behind it: a still, and what is heard.

    On the axis of channels follow another frame of the same clip, and for every frame the levels of what is heard
    around it as pixels (`footage.media.speech`). Behind the levels stands which half of the clips a clip is of.

    Raises:
        DatasetError: the source has no sound.
    """

    KEPT = 2_000
    """Clips whose levels are kept, at most: a second takes 4 KB."""

    def __init__(self, source: ClipSource) -> None:
        self._spans: dict[Split, list[Span]] = {}
        for split in SPLITS:
            spans = source.spans(split)
            self._spans[split] = [s for s in spans if isinstance(source, HasSound) and source.has_sound(s.index)]
        if not any(self._spans.values()):
            raise DatasetError(
                f"{source.name} has no sound, and a figure learns to speak from clips with sound",
                "ingest videos with sound, or train on the built-in talker",
            )
        height, width, channels = source.shape
        self.source, self.name, self.fps, self.labels = source, source.name, source.fps, source.labels
        self.content_hash = source.content_hash
        self.guides = channels + speech.pixels(height, width)
        self.shape = (height, width, channels + self.guides)
        self._levels: OrderedDict[int, speech.Levels] = OrderedDict()
        self._lengths = {span.index: span.frames for spans in self._spans.values() for span in spans}

    def spans(self, split: Split) -> list[Span]:
        return self._spans[split]

    def levels(self, index: int) -> speech.Levels:
        """Return what is heard in a clip, (S, BANDS), 100 steps a second."""
        known = self._levels.get(index)
        if known is None:
            assert isinstance(self.source, HasSound)
            known = self._levels[index] = speech.speech_levels(*self.source.sound(index))
            if len(self._levels) > self.KEPT:
                self._levels.popitem(last=False)
        return known

    def read(self, index: int, start: int, frames: int) -> Frames:
        """Return a window, uint8 (T, H, W, C + C + K); the still is a function of clip and window."""
        clips = self.source.read(index, start, frames)
        rng = np.random.Generator(np.random.Philox(key=[index, start], counter=[0, 0, 0, 0x57111]))
        still = self.source.read(index, int(rng.integers(self._lengths[index])), 1)
        heard = speech.windows(self.levels(index), self.fps, start, frames, around=speech.AROUND)
        return np.concatenate(
            [clips, np.broadcast_to(still, clips.shape), speech.packed(heard, *clips.shape[1:3], note=index % 2)],
            axis=-1,
        )


def open_source(
    data: Path | str, clip: ClipConfig, guide: Path | str | None = None, *, crops: bool = False, hears: bool = False
) -> ClipSource:
    """Open a data set, and where there is a guide, one that its clips are made from; see `footage.data.clips`.

    Where a model `hears`, what it is given of each clip stands behind it (`VoicedClips`).

    With `crops`, a folder of videos will do, and a data set of larger clips: clips are crops of them, see
    `footage.data.crops`.
    """
    source: ClipSource = VideoCrops(data, clip) if crops and is_footage(data) else open_clips(data, clip)
    if crops and isinstance(source, DatasetClips):
        height, width, _ = source.shape
        if (height, width) != (clip.height, clip.width) and height >= clip.height and width >= clip.width:
            source = DatasetCrops(source, clip)
    if hears and guide is not None:
        raise DatasetError("a figure that speaks is given the sound of its own clips", "leave --guide out")
    if hears:
        return VoicedClips(source)
    if guide is None:
        return source
    partner = open_clips(guide, clip)
    if isinstance(source, HasVolumes) != isinstance(partner, HasVolumes):
        raise DatasetError(
            f"of {source.name} and {partner.name} one holds volumes and the other clips", "give two of a kind"
        )
    return PairedVolumes(source, partner) if isinstance(source, HasVolumes) else PairedClips(source, partner)


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
