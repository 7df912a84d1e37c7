"""The clips of a model that the owner of a library is likeliest to keep, of many that are looked at.

Every candidate is made once to be scored by the library's taste, and the best are made again when they are taken; no
frames are held. Damaged ones are left out first: numbers that are not finite, one plain colour, and figures far outside
of what is usual (`UsualRange`), where the training clips are there. Then, from the best on, those are left out that
come nearer to the training clips than unseen clips do (`novelty`), until there are enough.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from footage.data.clips import ClipSource, every_window, pace_of
from footage.errors import ConfigError, DatasetError, counted
from footage.generation.clip import Clip
from footage.generation.novelty import NoveltyCheck, open_training_clips
from footage.generation.rollout import NotFinite
from footage.library.descriptors import DESCRIPTORS, Descriptors, describe
from footage.library.library import Library
from footage.library.similarity import appearance
from footage.library.taste import Taste
from footage.media.thumbnails import sample_frames
from footage.models.card import ModelInfo
from footage.models.requests import TRAINED_ON, GenerateRequest

LOOKED_AT = 256
"""Training windows whose figures say what is usual."""
BEYOND = 0.75
"""What is further outside than this part of the usual range is damaged."""
QUARTERS = (0.25, 0.75)
"""Quantiles of the candidates between which figures are usual too."""
EVEN = 3
"""Levels of 255 by which the pixels of a clip of one plain colour differ, at most."""
OF_PICTURES = ("brightness", "contrast", "saturation", "sharpness", "edges", "subject")
"""Figures that tell damage; hue and place do not: a new colour is none."""
OF_TIME = ("motion", "speed", "moving_area", "flicker")
"""The same, which follow what is asked for of a video's time."""


@dataclass(frozen=True)
class UsualRange:
    """Between which figures the clips lie that a model has learned from.

    What a model makes may differ from these as a whole, in sharpness above all. So the middle half of what it makes is
    usual too, and a candidate is damaged where it is far from both.
    """

    low: Descriptors
    high: Descriptors

    def outside(self, descriptors: Descriptors) -> npt.NDArray[np.bool_]:
        """Return which figures of candidates (N, F) are far outside, (N, F)."""
        quarters = np.quantile(descriptors, QUARTERS, axis=0)
        low, high = np.minimum(self.low, quarters[0]), np.maximum(self.high, quarters[1])
        margin = BEYOND * np.maximum(high - low, 0.1)
        return np.asarray((descriptors < low - margin) | (descriptors > high + margin))

    @staticmethod
    def of(source: ClipSource, info: ModelInfo, frames: int) -> UsualRange | None:
        """Measure training clips of up to so many frames of a model; None where there are none that long."""
        offsets = np.floor(np.arange(frames) * source.fps / info.fps + 0.5).astype(np.int64)
        spans = source.spans("train")
        offsets = offsets[offsets < max((span.frames for span in spans), default=0)]
        if not len(offsets):
            return None
        reach = int(offsets[-1]) + 1
        spans = [span for span in spans if span.frames >= reach]
        windows, _ = every_window(spans, reach, pace_of(spans, reach, LOOKED_AT), LOOKED_AT, seed=0)
        found = np.stack(
            [
                describe(sample_frames([source.read(window.span.index, window.start, reach)[offsets]], info.fps))
                for window in windows
            ]
        )
        return UsualRange(found.min(axis=0), found.max(axis=0))


@dataclass(frozen=True)
class Candidate:
    """A clip that was looked at, and how likely it is to be kept."""

    clip: Clip
    score: float

    @property
    def seed(self) -> int:
        return int(self.clip.metadata["seed"])


class BestClips(Iterator[Clip]):
    """The best of some clips by a taste, the best first; `damaged` and `copies` say which were left out.

    Args:
        clips: the candidates, of successive seeds.
        total: how many they are.
        count: how many are asked for.
        taste: what says which are best; it has to be ready.
        owner: name of its library.
        usual: what is far outside of it is damaged; None where the training clips are not there.
        timed: whether the candidates' time is their own, so that how much moves is compared as well.
        check: what says which come too near to the training clips; None where these are not there.
        tell: is told where there are fewer.
    """

    def __init__(
        self,
        clips: Iterator[Clip],
        total: int,
        count: int,
        taste: Taste,
        owner: str,
        *,
        usual: UsualRange | None = None,
        timed: bool = True,
        check: NoveltyCheck | None = None,
        tell: Callable[[str], object] = warnings.warn,
    ) -> None:
        taste.check()
        self.total, self.count, self.taste, self.owner = total, count, taste, owner
        self.damaged: dict[int, str] = {}
        """Why each damaged candidate was left out, by its seed."""
        self.copies: list[int] = []
        """Seeds of those that come too near to the training clips."""
        self.taken: list[Candidate] = []
        self.looked = 0
        """Candidates that were looked at so far."""
        self.watch: Callable[[], object] = lambda: None
        """Is called before each candidate is looked at; what it raises ends the search."""
        self._clips, self._usual, self._timed, self._check, self._tell = clips, usual, timed, check, tell
        self._ranked: Iterator[Candidate] | None = None

    @classmethod
    def asked(
        cls,
        request: GenerateRequest,
        clips: Iterator[Clip],
        folder: Path,
        info: ModelInfo,
        tell: Callable[[str], object],
        watch: Callable[[], object],
    ) -> BestClips:
        """Return the best of the clips of a request by the taste that it names; `folder` is that of the model.

        `watch` is called while training clips are looked at; what it raises ends that.

        Raises:
            LibraryError: there is no such library, or its taste is not learned yet.
            DatasetError: what clips are to be new beside is missing, or too little to tell.
        """
        assert request.taste is not None and request.best is not None
        with Library(request.taste, create=False) as library:
            library.measure(judged=True)
            taste, owner = library.taste(), library.folder.resolve().name
        taste.check()
        length, rate = request.length(info), request.mapping(info).rate
        usual, check = None, None
        try:
            source = open_training_clips(request.novel or TRAINED_ON, folder, info, tell)
            usual = UsualRange.of(source, info, length)
            check = NoveltyCheck(source, info, length, rate, watch)
        except (ConfigError, DatasetError) as error:
            if request.novel is not None:
                raise
            tell(f"what is made is not compared with training clips: {error}")
        timed, total = not request.timing.given(), request.candidates
        return cls(clips, total, request.best, taste, owner, usual=usual, timed=timed, check=check, tell=tell)

    def look(self) -> None:
        """Look at all candidates, where that has not been done."""
        if self._ranked is not None:
            return
        found: list[Candidate] = []
        described: list[Descriptors] = []
        for clip in self._clips:
            self.watch()
            try:
                thumbnails = sample_frames(clip.chunks(), clip.fps)
            except NotFinite:
                self.damaged[clip.metadata["seed"]] = "with numbers that are not finite"
            else:
                if int(thumbnails.pictures.max()) - int(thumbnails.pictures.min()) <= EVEN:
                    self.damaged[clip.metadata["seed"]] = "of one plain colour"
                else:
                    described.append(describe(thumbnails))
                    logits = self.taste.logits(described[-1][None], appearance(thumbnails)[None])
                    found.append(Candidate(clip, float(1 / (1 + np.exp(-logits[0])))))
            self.looked += 1
        if self._usual is not None and found:
            told = (*OF_PICTURES, *(OF_TIME if self._timed else ()))
            compared = np.array([name in told for name in DESCRIPTORS])
            for candidate, outside in zip(found, self._usual.outside(np.stack(described)) & compared, strict=True):
                if outside.any():
                    name = DESCRIPTORS[int(outside.argmax())].replace("_", " ")
                    self.damaged[candidate.seed] = f"whose {name} is far outside of the training clips'"
        sound = [candidate for candidate in found if candidate.seed not in self.damaged]
        self._ranked = iter(sorted(sound, key=lambda candidate: (-candidate.score, candidate.seed)))

    def __next__(self) -> Clip:
        self.look()
        for candidate in self._ranked or () if len(self.taken) < self.count else ():
            clip, seed = candidate.clip, candidate.seed
            if self._check is not None:
                found = self._check.judge(clip.chunks())
                if not all(near.new for near in found.values()):
                    self.copies.append(seed)
                    continue
                clip = replace(clip, metadata={**clip.metadata, "novel": self._check.note(found)})
            self.taken.append(candidate)
            accuracy = self.taste.accuracy
            assert accuracy is not None
            note = {
                "library": self.owner,
                "score": round(candidate.score, 4),
                "rank": len(self.taken),
                "candidates": self.total,
                "ratings": self.taste.said.count,
                "accuracy": round(accuracy.share, 3),
            }
            return replace(clip, metadata={**clip.metadata, "taste": note})
        if len(self.taken) < self.count:
            problem = f"{len(self.taken)} of {counted(self.total, 'clip')} are left, {self.count} were asked for"
            remedy = "look at more of them, or train on more clips or for less long"
            if not self.taken:
                raise ConfigError(f"{problem} ({self.left_out})", remedy)
            self._tell(f"{problem}: {remedy}")
            self.count = len(self.taken)
        raise StopIteration

    @property
    def left_out(self) -> str:
        """How many candidates were left out, and why, in words."""
        parts = [f"{count} {fault}" for fault, count in Counter(self.damaged.values()).most_common()]
        if self._check is not None:
            parts.append(f"{len(self.copies)} too near to the training clips of {self._check.source.name}")
        return ", ".join(parts) or "nothing"

    def summary(self) -> str:
        """Say what was taken, by what, and what was left out."""
        accuracy = self.taste.accuracy
        assert accuracy is not None
        learned = f"learned from {self.taste.said.count} ratings, {accuracy.share:.0%} of comparisons right"
        likely = f"{self.taken[0].score:.0%} to {self.taken[-1].score:.0%} likely to be kept" if self.taken else "none"
        best = f"the best {len(self.taken)} of {self.total} by the taste of {self.owner} ({learned}): {likely}"
        return f"{best}; left out: {self.left_out}"
