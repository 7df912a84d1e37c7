"""Which parts of videos to show in a given time: a choice that covers all that there is, or the best of it.

Videos are divided into shots, and these into pieces of a few seconds. What is to be covered are moments, half a second
apart. A choice S of pieces is worth

    (1 - w) · mean over moments of the largest cosine to a moment of S  +  w · sum over S of score · length / time,

which is monotone and submodular (facility location, and a sum). Pieces are taken one after another, each time the one
that adds most for its length, and the result is compared with the best single piece (Lin & Bilmes 2010, algorithm 1):
at least (1 - 1/√e) of the best choice, and where all pieces count alike, as with music, (1 - 1/e) (Nemhauser et al.
1978). A piece that adds less than another did before cannot add more now, which spares most comparisons (Minoux 1978).
"""

from __future__ import annotations

import heapq
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from footage import files
from footage.errors import ConfigError, MediaError, counted
from footage.generation.cutting.shots import CutFinder, ShotFinder, ShotSpan, Transition, divide
from footage.library.descriptors import DESCRIPTORS, describe
from footage.library.similarity import APPEARANCE, appearance
from footage.media.cuts import Cut
from footage.media.decode import VideoDecoder
from footage.media.probe import probe
from footage.media.reader import Footage
from footage.media.signatures import pool
from footage.media.sound import TRACK_RATE, Channels, channel_chunks, has_sound
from footage.media.sound_features import SoundFeatures, listen
from footage.media.thumbnails import Thumbnails
from footage.media.transitions import Film
from footage.media.voice import SILENCE, Speech, speech_in
from footage.trust.locks import check_plain

if TYPE_CHECKING:
    from footage.library.library import Library

Matrix = npt.NDArray[np.float32]

SIDE = 128
"""Pixels of the longer side of the frames that are looked at."""
EVERY = 0.5
"""Seconds from one moment to the next, until there are too many."""
MOST = 1500
"""Moments of a video: of a longer one they are farther apart."""
PIECE, LEAST = 2.5, 1.0
"""Seconds of a piece, about, and at least."""
SCORES = ("motion", "rarity", "loudness", "taste")
"""What pieces may be judged by."""
CELLS = 24
"""Cells along each side in which motion is measured."""
GROUND = 4096
"""Moments that a choice is judged by, and pieces that each is compared with, at most: of more so many are drawn."""
BLOCK = 512
"""Pieces that are compared at once."""
VERSION = 1
"""Counted up when a survey changes its meaning."""


@dataclass(frozen=True, eq=False)
class Survey:
    """What is known of a video before anything is chosen."""

    path: Path
    rate: Fraction
    frames: int
    size: tuple[int, int]
    shots: tuple[ShotSpan, ...]
    at: npt.NDArray[np.int64]
    """Frames of the moments, (N,)."""
    looks: Matrix
    """How each looks: the library's embedding, (N, W), of length 1."""
    figures: Matrix
    """What each is like: the library's descriptors, (N, F)."""
    motion: Matrix
    """How much changes from its frame to the next, in grey levels, (N,)."""
    has_sound: bool

    def save(self, path: Path) -> None:
        """Write it to a file (.npz).

        Raises:
            ConfigError: the video is locked, and this tells how every moment looks.
        """
        check_plain([self.path], "what is known of it", "survey it again whenever that is needed")
        about = {
            "rate": str(self.rate),
            "frames": self.frames,
            "size": list(self.size),
            "has_sound": self.has_sound,
            "shots": [[shot.first, shot.end, shot.begins and asdict(shot.begins)] for shot in self.shots],
        }
        arrays = {name: getattr(self, name) for name in ("at", "looks", "figures", "motion")}
        with files.replacing(path) as temporary, open(temporary, "wb") as handle:
            np.savez(handle, about=np.array(json.dumps(about)), **arrays)

    @classmethod
    def read(cls, path: Path, video: Path) -> Survey:
        """Read one that was written."""
        with np.load(path, allow_pickle=False) as kept:
            about = json.loads(str(kept["about"]))
            arrays = {name: kept[name] for name in ("at", "looks", "figures", "motion")}
        shots = tuple(
            ShotSpan(first, end, None if begins is None else Transition(**begins))
            for first, end, begins in about["shots"]
        )
        size = (int(about["size"][0]), int(about["size"][1]))
        return cls(video, Fraction(about["rate"]), about["frames"], size, shots, has_sound=about["has_sound"], **arrays)


def survey(
    path: Path, finder: Callable[[Fraction], ShotFinder | CutFinder], progress: Callable[[int], object] = lambda _: None
) -> Survey:
    """Look through a video once, in constant memory.

    Args:
        path: the video.
        finder: is given its rate, and makes what finds its transitions.
        progress: is told how many frames were seen.

    Raises:
        MediaError: it is a picture, or cannot be read.
    """
    footage = Footage(path)
    rate = footage.rate()
    if footage.pictures or rate is None:
        raise MediaError(f'"{path.name}" is no video with a rate of its own', "give a video, such as an .mp4")
    info = probe(path)
    scale = min(1.0, SIDE / max(info.height, info.width))
    height, width = (max(8, round(side * scale)) for side in (info.height, info.width))
    found, transitions = finder(rate), list[Transition]()
    every, seen = max(1, round(EVERY * rate)), 0
    at, looks, figures, motion = list[int](), list[Matrix](), list[Matrix](), list[float]()
    waiting: npt.NDArray[np.uint8] | None = None  # the frame of a moment, which waits for the one behind it
    for chunk in VideoDecoder(path, height=height, width=width, channels=3, fps=rate, fit="stretch"):
        transitions += found.find(chunk.frames)
        for number, frame in enumerate(chunk.frames, seen):
            if waiting is not None:
                pair = np.stack([waiting, frame])
                moment = Thumbnails(info, 2, float(rate), pair[:1], pair[1:])
                looks.append(appearance(moment))
                figures.append(describe(moment))
                motion.append(float(np.abs(np.diff(pool(pair, CELLS), axis=0)).mean()))
                waiting = None
            if number % every == 0:
                at.append(number)
                waiting = frame.copy()
        seen += len(chunk.frames)
        if len(looks) > MOST:
            every *= 2
            kept = [place for place, number in enumerate(at[: len(looks)]) if number % every == 0]
            at = [at[place] for place in kept] + (at[len(looks) :] if at[-1] % every == 0 else [])
            waiting = waiting if len(at) > len(kept) else None
            looks, figures, motion = ([each[place] for place in kept] for each in (looks, figures, motion))  # type: ignore[assignment]
        progress(seen)
    transitions += found.rest()
    if not looks:
        raise MediaError(f'"{path.name}" has {counted(seen, "frame")}', "give a video with something to choose from")
    return Survey(
        path,
        rate,
        seen,
        (info.height, info.width),
        divide(transitions, seen),
        np.array(at[: len(looks)], np.int64),
        np.array(looks, np.float32).reshape(len(looks), -1),
        np.array(figures, np.float32).reshape(len(looks), -1),
        np.array(motion, np.float32),
        info.has_audio and has_sound(path),
    )


@dataclass(frozen=True)
class Piece:
    """A stretch of a shot that may be chosen."""

    video: int
    """Number of the video."""
    first: int
    end: int
    """Frames of the video, from, and up to and without."""
    moments: tuple[int, int]
    """Its moments among those of all videos, from, and up to and without."""
    seconds: float
    scores: Mapping[str, float] = field(default_factory=dict)
    """From 0, the least of all pieces, to 1."""


def pieces_of(
    surveys: Sequence[Survey], length: float = PIECE, speech: Sequence[Speech] | None = None, least: float = LEAST
) -> list[Piece]:
    """Divide the shots of videos into pieces.

    Where somebody speaks when one would begin or end, it does so at the nearest pause within its shot; a piece for
    which there is none, or that is then shorter than `least` seconds, is left out.
    """
    pieces, offset = list[Piece](), 0
    for number, video in enumerate(surveys):
        spoken = SILENCE if speech is None else speech[number]
        for shot in video.shots:
            parts = max(1, round((shot.end - shot.first) / float(video.rate) / length))
            edges = np.linspace(shot.first, shot.end, parts + 1).round().astype(int).tolist()
            places = [pause_near(edge, shot, spoken, video.rate) for edge in edges]
            for first, end in itertools.pairwise(places):
                if first is None or end is None or end - first < least * video.rate:
                    continue
                inside = np.flatnonzero((video.at >= first) & (video.at < end))
                if len(inside):
                    moments = (offset + int(inside[0]), offset + int(inside[-1]) + 1)
                    pieces.append(Piece(number, first, end, moments, (end - first) / float(video.rate)))
        offset += len(video.at)
    return pieces


def pause_near(frame: int, shot: ShotSpan, speech: Speech, rate: Fraction) -> int | None:
    """Return the frame nearest to one at which nobody speaks, within a shot; None where there is none."""
    span = speech.within(float(frame / rate))
    if span is None:
        return frame
    begin, end = int(span[0] * rate), int(np.ceil(span[1] * float(rate)))
    near = [place for place in (begin, end) if shot.first <= place <= shot.end]
    return min(near, key=lambda place: abs(place - frame), default=None)


def score(
    pieces: Sequence[Piece],
    surveys: Sequence[Survey],
    sounds: Sequence[SoundFeatures | None],
    library: Library | None = None,
) -> list[Piece]:
    """Return pieces with what each is worth, by every score that can be had.

    Motion is how much changes; rarity how unlike it is to the library, or without one to the other shots; loudness that
    of the sound's louder half; taste what the library's owner would most likely keep, where that has been learned.
    """
    looks, figures, motion = (
        np.concatenate([getattr(video, name) for video in surveys]) for name in ("looks", "figures", "motion")
    )
    means = np.stack([looks[slice(*piece.moments)].mean(axis=0) for piece in pieces])
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-6)
    found: dict[str, list[float]] = {"motion": [float(motion[slice(*piece.moments)].mean()) for piece in pieces]}
    if library is not None and library.count():
        nearest = (library.similar(mean, limit=1, kind=APPEARANCE) for mean in means)
        found["rarity"] = [1 - (best[0][1] if best else 0.0) for best in nearest]
        taste = library.taste()
        if taste.ready:
            told = np.stack([figures[slice(*piece.moments)].mean(axis=0) for piece in pieces])
            assert told.shape[1] == len(DESCRIPTORS)
            found["taste"] = taste.logits(told, means).tolist()
    elif len(pieces) > 2:
        shots, known = list[int](), 0  # of each piece, counted through all videos
        for number, video in enumerate(surveys):
            firsts = [piece.first for piece in pieces if piece.video == number]
            shots += (known + np.searchsorted([shot.end for shot in video.shots], firsts, "right")).tolist()
            known += len(video.shots)
        groups, among = np.array(shots), drawn(len(pieces))
        if len(np.unique(groups)) > 1:
            found["rarity"] = (1 - likest(means, groups, means[among], groups[among])).tolist()
        else:  # unlike the piece that is least like it
            found["rarity"] = (1 + likest(-means, np.arange(len(pieces)), means[among], among)).tolist()
    if any(heard is not None and not heard.silent for heard in sounds):
        loud = []
        for piece in pieces:
            heard, rate = sounds[piece.video], float(surveys[piece.video].rate)
            times = np.linspace(piece.first / rate, piece.end / rate, 40)
            levels = np.zeros(1) if heard is None or heard.silent else np.sort(heard.at("loudness", times))[20:]
            loud.append(float(levels.mean()))
        found["loudness"] = loud
    for name, values in found.items():
        order = np.argsort(np.argsort(values, kind="stable"), kind="stable") / max(1, len(values) - 1)
        spread = max(values) - min(values) > 1e-6
        pieces = [
            replace(piece, scores={**piece.scores, name: float(rank) if spread else 0.5})
            for piece, rank in zip(pieces, order, strict=True)
        ]
    return list(pieces)


def drawn(count: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """Return `GROUND` of so many numbers at random, in order; all of them where there are no more."""
    rng = np.random.default_rng(seed)
    return np.arange(count) if count <= GROUND else np.sort(rng.choice(count, GROUND, replace=False))


def likest(
    means: Matrix, groups: npt.NDArray[np.int64], others: Matrix, of: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Return the largest cosine of each of some looks (P, W) to others (Q, W) of another group; -1 for none.

    Args:
        means: of length 1.
        groups: number of each, (P,).
        others: likewise.
        of: number of each, (Q,).
    """
    found = []
    for first in range(0, len(means), BLOCK):
        alike = means[first : first + BLOCK] @ others.T
        alike[groups[first : first + BLOCK, None] == of] = -1
        found.append(alike.max(axis=1))
    return np.concatenate(found)


@dataclass(frozen=True)
class Choice:
    """Pieces that were chosen, in the order of the videos, and how good that is."""

    pieces: tuple[Piece, ...]
    coverage: float
    """Mean over all moments of the largest cosine to one that is shown, as far as it is above 0."""
    redundancy: float
    """Mean over the pieces of the largest cosine to another one."""
    uniform: float
    """Coverage of pieces as many seconds long that are evenly spread."""
    random: float
    """The same of pieces drawn at random, the mean of 100 draws."""

    @property
    def seconds(self) -> float:
        """How long it is."""
        return sum(piece.seconds for piece in self.pieces)


class Chooser:
    """Chooses pieces.

    Args:
        pieces: what there is.
        looks: of all moments, (N, W).
        by: scores that count, each as much.
        weight: of scores beside coverage, from 0 to 1.
    """

    def __init__(self, pieces: Sequence[Piece], looks: Matrix, by: Sequence[str], weight: float) -> None:
        self.pieces, self.weight = pieces, weight
        centred = looks - looks.mean(axis=0)  # what all have in common tells nothing apart
        self.looks = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
        self.ground = self.looks[drawn(len(looks))]
        """Moments that are to be covered."""
        known = [name for name in by if pieces and name in pieces[0].scores]
        self.by = tuple(known)
        """Scores that count, of those that could be had."""
        self._scores = [float(np.mean([piece.scores[name] for name in known])) if known else 0.0 for piece in pieces]

    def likeness(self, piece: int) -> Matrix:
        """Return the largest cosine of each moment to those of a piece, as far as it is above 0, (N,)."""
        own = self.looks[slice(*self.pieces[piece].moments)]
        best: Matrix = np.maximum(0, (self.ground @ own.T).max(axis=1))
        return best

    def choose(self, budget: float, costs: Sequence[float]) -> list[int]:
        """Return the numbers of the pieces whose worth is largest within a budget, by the greedy rule."""
        covered, left = np.zeros(len(self.ground), np.float32), budget
        worth = self.weight / budget

        def gain(piece: int) -> float:
            more = float(np.maximum(0, self.likeness(piece) - covered).mean())
            return (1 - self.weight) * more + worth * self._scores[piece] * costs[piece]

        first = {piece: gain(piece) for piece in range(len(self.pieces)) if costs[piece] <= budget}
        waiting = [(-value / costs[piece], piece, 0) for piece, value in first.items()]
        heapq.heapify(waiting)
        chosen, total = list[int](), 0.0
        while waiting:
            value, piece, known = heapq.heappop(waiting)
            if costs[piece] > left + 1e-9:
                continue
            if known < len(chosen):  # it was worth that much before others were taken
                heapq.heappush(waiting, (-gain(piece) / costs[piece], piece, len(chosen)))
                continue
            chosen.append(piece)
            total, left = total - value * costs[piece], left - costs[piece]
            covered = np.maximum(covered, self.likeness(piece))
        best = max(first, key=lambda piece: first[piece], default=None)
        if best is not None and first[best] > total:
            chosen = [best]
        return sorted(chosen)

    def coverage(self, chosen: Sequence[int]) -> float:
        """Return how well some pieces cover all moments."""
        covered = np.zeros(len(self.ground), np.float32)
        for piece in chosen:
            covered = np.maximum(covered, self.likeness(piece))
        return float(covered.mean())

    def judged(self, chosen: Sequence[int], seed: int = 0) -> Choice:
        """Return a choice with its figures, and those of as many pieces at even distances and at random."""
        count, total = len(chosen), len(self.pieces)
        even = [int((place + 0.5) * total / count) for place in range(count)]
        rng = np.random.default_rng(seed)
        others = [self.coverage(rng.choice(total, count, replace=False).tolist()) for _ in range(100 if count else 0)]
        means = np.stack([self.looks[slice(*self.pieces[piece].moments)].mean(axis=0) for piece in chosen])
        means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-6)
        own = np.arange(count)
        return Choice(
            tuple(self.pieces[piece] for piece in chosen),
            self.coverage(chosen),
            float(likest(means, own, means, own).mean()) if count > 1 else 0.0,
            self.coverage(even),
            float(np.mean(others)),
        )


def beat_slots(song: SoundFeatures, name: str, seconds: float, wanted: float = PIECE) -> list[float]:
    """Return when a film is cut that follows music: its beginning, then every 1st, 2nd, 4th or 8th beat, in seconds.

    Args:
        song: what is heard.
        name: of its file, for errors.
        seconds: how long the film may be.
        wanted: how long a piece is to be, about.

    Raises:
        MediaError: no beat is heard, or the music is over before two pieces are.
    """
    if len(song.beats) < 3:
        raise MediaError(f'no beat is heard in "{name}"', "give other music, or leave --audio out")
    period = float(np.median(np.diff(song.beats)))
    each = min((1, 2, 4, 8), key=lambda count: abs(np.log(count * period / wanted)))
    beats = song.beats[song.first_bar % each :: each]
    cuts = [0.0, *(float(beat) for beat in beats if LEAST <= beat <= min(seconds, song.seconds) + 1e-6)]
    if len(cuts) < 3:
        raise MediaError(
            f'"{name}" has {counted(len(cuts) - 1, "cut")} within {seconds:g} s', "give more --seconds, or other music"
        )
    return cuts


def film_of(
    choice: Choice, surveys: Sequence[Survey], cuts: Sequence[float] | None = None, song: Path | None = None
) -> Film:
    """Return the film that a choice makes, at size and rate of the first video.

    Args:
        choice: the pieces.
        surveys: the videos.
        cuts: with music: when each piece begins, and when the last one ends, in seconds.
        song: the music, which is heard in place of the videos.
    """
    rate, parts, lengths = surveys[0].rate, list[Cut](), list[int]()
    for number, piece in enumerate(choice.pieces):
        own = surveys[piece.video].rate
        length = max(1, round((piece.end - piece.first) / own * rate))
        if cuts is not None:
            length = round(cuts[number + 1] * rate) - round(cuts[number] * rate)
        taken = min(piece.end - piece.first, max(1, round(length / rate * own)))
        parts.append(Cut(surveys[piece.video].path, piece.first, piece.first + taken - 1))
        lengths.append(length)
    heard = song is not None or any(surveys[piece.video].has_sound for piece in choice.pieces)

    def music() -> Iterator[Channels]:
        assert song is not None
        return channel_chunks(song, TRACK_RATE, "stereo")

    return Film(tuple(parts), tuple(lengths), surveys[0].size, rate, heard, track=music if song is not None else None)


def summarise(
    surveys: Sequence[Survey],
    seconds: float,
    *,
    weight: float,
    by: Sequence[str] = SCORES,
    song: Path | None = None,
    library: Library | None = None,
) -> tuple[Choice, Film]:
    """Choose pieces of videos, and return them with the film that they make.

    Args:
        surveys: the videos.
        seconds: how long it may be.
        weight: of scores beside coverage, from 0 to 1.
        by: scores that count.
        song: music; pieces are then changed on its beats, and it is heard in place of the videos.
        library: whose clips tell what is rare, and whose owner's taste counts.

    Raises:
        ConfigError: a number is out of range, or there is no such score, or none of those that are asked for.
        MediaError: there is nothing to choose from, or no beat to cut on.
    """
    if not 1 <= seconds <= 36_000:
        raise ConfigError(f"seconds is {seconds:g}", "give 1 to 36000")
    for name in by:
        if name not in SCORES:
            raise ConfigError(f'by is "{name}"', f"give some of {', '.join(SCORES)}")
    sounds = [listen(video.path) if video.has_sound and "loudness" in by else None for video in surveys]
    speech, cuts, length, least = None, None, PIECE, LEAST
    if song is None:
        speech = [speech_in(video.path) if video.has_sound else SILENCE for video in surveys]
    else:
        cuts = beat_slots(listen(song), song.name, seconds)
        least = max(end - begin for begin, end in itertools.pairwise(cuts))
        length = least * 1.25
    pieces = pieces_of(surveys, length, speech, least)
    if not pieces:
        raise MediaError(
            f"no shot of {', '.join(video.path.name for video in surveys)} has {least:.1f} s to show",
            "give longer videos" if song is None else "give longer videos, or quicker music",
        )
    pieces = score(pieces, surveys, sounds, library)
    if weight and not any(name in pieces[0].scores for name in by):
        raise ConfigError(
            f"there is nothing to judge {', '.join(by)} by", f"give some of {', '.join(pieces[0].scores)}"
        )
    chooser = Chooser(pieces, np.concatenate([video.looks for video in surveys]), by, weight)
    if cuts is None:
        chosen = chooser.choose(seconds, [piece.seconds for piece in pieces])
        if not chosen:
            shortest = min(piece.seconds for piece in pieces)
            raise ConfigError(f"seconds is {seconds:g}, and no piece is as short", f"give at least {shortest:.1f}")
    else:
        chosen = chooser.choose(len(cuts) - 1, [1.0] * len(pieces))
        cuts = cuts[: len(chosen) + 1]
    choice = chooser.judged(chosen)
    return choice, film_of(choice, surveys, cuts, song)
