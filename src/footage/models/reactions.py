"""How a video follows sound: what is heard moves what of it, frame by frame. No torch.

Everything is a function of a frame's time, so that a video is the same in whatever chunks it is made.

    beat:motion-seed       another motion with each bar, changed over a quarter of a beat
    LEVEL:strength         how much motion
    LEVEL:drift            how fast content becomes another
    LEVEL:slider-3         how far a latent slider is moved
    chroma:content         content is a mixture of twelve, one for each pitch class, as they are heard

A LEVEL is one of `LEVELS`. With a beat, time itself follows it: motion is fastest on the beat and slow between two,
and is as fast as ever in the mean.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from footage.errors import ConfigError, MediaError, counted, nearest
from footage.media.sound_features import BAR, HARMONY, Floats, SoundFeatures, listen
from footage.models.requests import SLIDER_LIMIT, TimeMapping

LEVELS = ("kick", "middle", "treble", "onset", "loudness", "brightness")
"""What is heard more or less: what begins in low, middle and high tones and in all; loudness; brightness."""
SOURCES = ("beat", *LEVELS, "chroma")
MOVES = {"strength": 1.0, "drift": 1.0, "slider": 2.0, "motion-seed": 1.0, "content": 1.0}
"""What is moved, and how much where it is not said: of motion seeds, the bars from one to the next."""
USUAL = "kick:strength,chroma:content"
"""What follows what, where it is not said."""
LOCKS = {"1/2": 0.5, "1": 1.0, "2": 2.0, "off": 0.0}
"""Times a beat that motion is fastest."""
DRIFT_SECONDS = 4.0
"""Time in which content becomes another, where a level moves it and it is not said."""
CHANGE = 0.25
"""Beats in which one motion becomes another, half of them before the bar."""
FLOW = 0.4
"""Speed between beats, at least; 1 is that in the mean."""
AT_ONCE = 0.4
"""Seconds of motion that are an accent, at most: 10 frames at 25 a second."""
BRIEF = 0.004
"""Seconds: an accent goes by as tanh(t / 2 BRIEF) rises, 99% of it within one frame at 25 a second, 78% at 60.

What it moves in the frames beside has to be far less than in its own, since what has moved far looks no other than what
has moved further (docs/LOG.md).
"""
APART = 4.0
"""Frames from beat to beat, at least, where it is moved into the middle between two."""
CLIPPING = 0.001
"""Part of samples from which on cut-off sound is told of."""
MOST_TOLD = 4
"""Sounds that are remembered."""

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Link:
    """Something heard that moves something of the video."""

    source: str
    """One of `SOURCES`."""
    target: str
    """One of `MOVES`, of sliders with the number."""
    amount: float

    @property
    def slider(self) -> int:
        """Number of the slider; 0 where it moves something else."""
        return int(self.target.removeprefix("slider-")) if self.target.startswith("slider-") else 0


def read_links(text: str) -> tuple[Link, ...]:
    """Read what follows what, such as `kick:strength,loudness:slider-3=1.5`.

    Raises:
        ConfigError: it cannot be read.
    """
    links: list[Link] = []
    for part in filter(None, (piece.strip() for piece in text.replace("，", ",").split(","))):
        match = re.fullmatch(r"([\w-]+):([a-z]+(?:-[a-z]+)?)(?:-(\d{1,4}))?(?:=(\d+(?:\.\d*)?|\.\d+))?", part)
        if match is None:
            remedy = "give HEARD:MOVED with commas between, such as kick:strength,chroma:content"
            raise ConfigError(f'react has "{part}"', remedy)
        source, target, number, amount = match.groups()
        if source not in SOURCES:
            raise ConfigError(f'react has "{part}", and "{source}" is not heard', nearest(source, SOURCES))
        if target not in MOVES or (target == "slider") != (number is not None):
            names = [f"{name}-1" if name == "slider" else name for name in MOVES]
            raise ConfigError(f'react has "{part}", and "{part.split(":")[1]}" is not moved', nearest(target, names))
        fitting = {"beat": ("motion-seed",), "chroma": ("content",)}.get(source, ("strength", "drift", "slider"))
        if target not in fitting:
            moved = ", ".join(f"{name}-1" if name == "slider" else name for name in fitting)
            raise ConfigError(f'react has "{part}"', f"{source} moves {moved}")
        name = f"slider-{int(number)}" if number else target
        if any(link.target == name for link in links):
            raise ConfigError(f"{name} is moved twice", "leave one of the two out")
        links.append(Link(source, name, MOVES[target] if amount is None else float(amount)))
        if target == "slider" and not 0 <= links[-1].amount <= SLIDER_LIMIT:
            raise ConfigError(f'react has "{part}"', f"give at most {SLIDER_LIMIT:g}")
    if {"content", "drift"} <= {link.target for link in links}:
        raise ConfigError("content follows chroma, or drifts", "leave one of the two out")
    return tuple(links)


def hear(path: Path | str) -> SoundFeatures:
    """Listen to a file that is to be followed, once.

    Raises:
        MediaError: it cannot be read, has no sound, or a silent one.
    """
    path = Path(path)
    try:
        status = path.stat()
    except OSError as error:
        raise MediaError(f'"{path}" cannot be read ({error.strerror or error})', "give a file with sound") from None
    heard = _heard(str(path.absolute()), status.st_size, status.st_mtime_ns)
    if heard.silent:
        raise MediaError(f'"{path.name}" is silent', "give sound that can be heard, or leave the audio out")
    return heard


@functools.lru_cache(maxsize=MOST_TOLD)
def _heard(path: str, size: int, changed: int) -> SoundFeatures:
    return listen(path)


def surge(beats: Floats, share: float, brief: float) -> Floats:
    """Return how many beats of motion have gone by at some beats: as many at whole ones, most of each near them.

        (1 - a) x + a (n + tanh((x - n) / 2 w) / 2 tanh(1 / 4 w)),    n the whole number nearest to x

    Args:
        beats: x, (N,).
        share: a, part of motion that is in accents.
        brief: w, beats in which an accent goes by.
    """
    nearest = np.round(beats)
    risen = np.tanh((beats - nearest) / (2 * brief)) / (2 * math.tanh(1 / (4 * brief)))
    gone: Floats = (1 - share) * beats + share * (nearest + risen)
    return gone


@dataclass(frozen=True, eq=False)
class Reaction:
    """How a video of a rate follows a sound."""

    heard: SoundFeatures
    links: tuple[Link, ...]
    fps: float
    """Frames of the video in a second."""
    lock: float = 1.0
    """Times a beat that motion is fastest; 0 for time that runs evenly."""

    @property
    def notes(self) -> list[str]:
        """What is to be said of the sound."""
        notes = []
        if self.heard.clipped >= CLIPPING:
            notes.append(f"{self.heard.clipped:.1%} of the sound is clipped: levels may be less than they should be")
        if not len(self.heard.beats):
            notes.append("no beat was found in the sound: time runs evenly")
        return notes

    @property
    def on_beat(self) -> bool:
        """Whether time follows the beat."""
        return self.lock > 0 and len(self.heard.beats) > 0

    @property
    def apart(self) -> float:
        """Seconds from one accent to the next, in the mean."""
        return 60 / (self.heard.tempo * self.lock)

    def link(self, target: str) -> Link | None:
        """Return what moves a target; None where nothing does."""
        return next((link for link in self.links if link.target == target), None)

    def level(self, link: Link, numbers: Numbers) -> Floats:
        """Return how much of what a link follows is heard at frames, (N,), from 0 to 1."""
        return self.heard.at(link.source, numbers / self.fps)

    def seconds(self, numbers: Numbers, bars: int = 0) -> Floats:
        """Return how many seconds of motion, at its usual speed, have gone by at frames (N,).

        With a loop of some `bars`, it is since the last of its beginnings.
        """
        if not self.on_beat:
            return numbers / self.fps
        beats, apart = self.accents(np.append(0, numbers)), self.apart
        accent = min(1 - FLOW, AT_ONCE / apart), BRIEF / apart
        if bars:
            gone = surge(beats[1:] % (bars * BAR * self.lock), *accent)
        else:
            gone = surge(beats, *accent)
            gone = gone[1:] - gone[0]
        return gone * apart

    def accents(self, numbers: Numbers) -> Floats:
        """Return how often motion has been fastest until frames (N,), counted from a bar on, with fractions.

        What is fastest on a beat is seen from one frame to the next: it is moved into the middle of the two that the
        beat lies between. Else it would be half in the one change and half in the next where a beat is near a frame.
        """
        times = numbers / self.fps
        counts = self.heard.beat_at(times) * self.lock
        if self.apart * self.fps < APART:
            return counts

        def seen(wholes: Floats) -> Floats:
            middles: Floats = (np.floor(self.heard.time_of(wholes / self.lock) * self.fps) + 0.5) / self.fps
            return middles

        wholes = np.floor(counts)
        wholes = wholes + (times >= seen(wholes + 1))
        wholes = wholes - (times < seen(wholes))
        begin = seen(wholes)
        between: Floats = wholes + (times - begin) / (seen(wholes + 1) - begin)
        return between

    def picked(self, numbers: Numbers) -> Numbers:
        """Return which of frames that come at an even pace stand at frames (N,) of the video; their order stays."""
        gone: Numbers = np.floor(self.seconds(numbers) * self.fps + 1e-6).astype(np.int64)
        return gone

    def strength(self, numbers: Numbers) -> Floats:
        """Return what motion is multiplied by at frames: with amount 1, from a half to one and a half."""
        link = self.link("strength")
        if link is None:
            return np.ones(len(numbers))
        return np.maximum(0, 1 + link.amount * (self.level(link, numbers) - 0.5))

    def drifted(self, numbers: Numbers) -> Floats:
        """Return for how many seconds content has drifted at frames: with amount 1, up to twice as fast as time."""
        link = self.link("drift")
        if link is None:
            return numbers / self.fps
        rate, end = 2 * link.amount, self.heard.seconds
        grid, sums = self._integral
        times = numbers / self.fps
        last = self.heard.at(link.source, np.array([end]))
        return rate * (np.interp(times, grid, sums) + np.maximum(times - end, 0) * last)

    @functools.cached_property
    def _integral(self) -> tuple[Floats, Floats]:
        """The integral of what moves drift, at times of a grid."""
        link = self.link("drift")
        assert link is not None
        grid = np.arange(max(2, math.ceil(self.heard.seconds * self.heard.rate) + 1)) / self.heard.rate
        level = self.heard.at(link.source, grid)
        steps = (level[1:] + level[:-1]) / (2 * self.heard.rate)
        return grid, np.concatenate([[0.0], np.cumsum(steps)])

    def sliders(self, numbers: Numbers) -> dict[int, Floats]:
        """Return how far sliders are moved at frames, by their numbers: from -amount to amount."""
        return {link.slider: link.amount * (2 * self.level(link, numbers) - 1) for link in self.links if link.slider}

    def tones(self, numbers: Numbers) -> Floats | None:
        """Return how much of each pitch class is heard at frames, (N, 12); None where nothing follows.

        With a beat it is what is heard in the middle of the frame's beat: harmony changes on beats, where motion is.
        """
        if self.link("content") is None:
            return None
        times = numbers / self.fps
        if len(self.heard.beats):
            times = self.heard.time_of(np.floor(self.heard.beat_at(times)) + 0.5) - sum(HARMONY) / 2
        return self.heard.harmony(times)

    def motions(self, numbers: Numbers) -> tuple[Numbers, Floats] | None:
        """Return which motion frames have, from 0 on, and how far the one before has become it, from 0 to 1."""
        link = self.link("motion-seed")
        if link is None:
            return None
        every = max(1, round(link.amount)) * BAR
        beats = self.heard.beat_at(numbers / self.fps) + CHANGE / 2 + every  # from the bar before the first one
        number = np.maximum(np.floor(beats / every), 0).astype(np.int64)
        return number, np.where(number == 0, 1, ((beats - number * every) / CHANGE).clip(0, 1))

    def bars(self, mapping: TimeMapping) -> int:
        """Return how many bars a loop has; 0 where there is none, or no beat."""
        if not mapping.loop or not self.on_beat:
            return 0
        return max(1, round(mapping.loop / (mapping.rate * self.fps) * self.heard.tempo / 60 / BAR))

    def pace(self, before: Numbers, now: Numbers) -> float:
        """Return how far a walk goes from a frame (1,) to another, 1 for as far as ever; infinite for a fresh start."""
        motions = self.motions(np.concatenate([before, now]))
        if motions is not None and motions[0][0] != motions[0][1]:
            return math.inf
        pace = float(self.strength(now)[0])
        if self.link("drift") is not None:
            pace *= float((self.drifted(now) - self.drifted(before))[0]) * self.fps / float((now - before)[0])
        return pace

    def adapted(self, mapping: TimeMapping) -> TimeMapping:
        """Return a mapping as it is with sound: its loop is of whole bars, and content drifts where that is moved.

        Raises:
            ConfigError: it does not go together with sound.
        """
        motion, drift, content = (self.link(target) is not None for target in ("motion-seed", "drift", "content"))
        for first, second, says in (
            (mapping.between, True, "motion between two seeds has its own way, and audio another"),
            (mapping.loop, motion, "a loop has one motion, and motion seeds change with the beat"),
            (mapping.loop, drift, "a loop comes back, and content that drifts with sound does not"),
            (mapping.drift, content, "content follows chroma, or drifts"),
        ):
            if first and second:
                raise ConfigError(says, "leave one of the two out")
        normal = mapping.rate * self.fps  # frames of the model in a second
        if bars := self.bars(mapping):
            mapping = replace(mapping, loop=bars * BAR * 60 / self.heard.tempo * normal)
        if drift and not mapping.drift:
            mapping = replace(mapping, drift=DRIFT_SECONDS * normal)
        return mapping


def reaction_to(path: Path | str, react: str | None, bpm_lock: str | None, fps: float) -> Reaction:
    """Return how a video is to follow a file.

    Args:
        path: a file of sound, or a video with sound.
        react: what follows what, see `read_links`; None for `USUAL`.
        bpm_lock: one of `LOCKS`; None for once a beat.
        fps: frames of the video in a second.

    Raises:
        ConfigError: what follows what cannot be read, or needs a beat, and there is none.
        MediaError: the file cannot be read, has no sound, or a silent one.
    """
    links = read_links(USUAL if react is None else react)
    if bpm_lock is not None and bpm_lock not in LOCKS:
        raise ConfigError(f'bpm_lock is "{bpm_lock}"', f"give {', '.join(LOCKS)}")
    heard = hear(path)
    needing = [f"{link.source}:{link.target}" for link in links if link.source == "beat"]
    needing += ["bpm_lock"] if bpm_lock not in (None, "off") else []
    if needing and not len(heard.beats):
        remedy = f"leave {needing[0]} out, or give music with a beat"
        raise ConfigError(f'no beat was found in "{Path(path).name}", and {needing[0]} needs one', remedy)
    return Reaction(heard, links, fps, LOCKS[bpm_lock or "1"])


def mixed(tones: Floats, anchors: Floats, own: Floats) -> Floats:
    """Return the codes (N, c) of frames whose pitch classes (N, 12), of length 1 or 0, stand for codes (12, c).

    Where nothing is heard the code is the video's own, (c,). All stay standard normal, as the others are.
    """
    rest = np.sqrt(np.maximum(0, 1 - (tones**2).sum(axis=1)))
    code: Floats = rest[:, None] * own
    for number in range(12):  # one after the other, so that a frame's sum does not depend on how many there are
        code = code + tones[:, number, None] * anchors[number]
    return code


MEANINGS = {
    "strength": "motion is {low:g} to {high:g} times as strong",
    "drift": "content becomes another up to {high:g} times as fast",
    "slider": "from {low:g} to {high:g} deviations",
    "motion-seed": "another motion every {bars}",
    "content": "a mixture of twelve, one for each pitch class",
}
TONES = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")
STRIP = 15.0
"""Seconds of a row of the page."""
TELLING = 1.05
"""Times as fast as the slowest bar the fastest one is, from which on a tempo is told as one that changes."""
MOST_STRIPS = 40
"""Rows of the page."""


def told_tempo(heard: SoundFeatures) -> str:
    """Return the tempo of a sound with beats in words; where it changes, its ends."""
    slowest, fastest = heard.tempi
    between = f" in the mean, from {slowest:.0f} to {fastest:.0f}" if fastest > TELLING * slowest else ""
    return f"{heard.tempo:.1f} beats a minute{between}"


def page_row(reaction: Reaction, first: int, shown: Sequence[str], moved: Mapping[str, float]) -> dict[str, object]:
    """Return what a row of the page shows.

    Args:
        reaction: of the video.
        first: the row's first frame.
        shown: curves that are heard.
        moved: what is moved, each with the value that stands at the top.
    """
    heard, fps, begin, length = reaction.heard, reaction.fps, first / reaction.fps, STRIP
    frames = max(1, math.ceil(heard.seconds * fps))
    numbers = np.arange(first, min(frames, first + round(STRIP * fps)) + 1)
    beats = heard.beats[(heard.beats >= begin) & (heard.beats < begin + length)]
    marks = [
        (round(1000 * (beat - begin) / length, 1), "bar" if round(float(count)) % BAR == 0 else "beat")
        for beat, count in zip(beats.tolist(), heard.beat_at(beats) if len(beats) else (), strict=True)
    ]

    def line(values: Floats, top: float, height: float) -> str:
        x = 1000 * (numbers / fps - begin) / length
        y = height - 4 - (height - 8) * (values / top).clip(0, 1)
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))

    curves = {
        "speed": lambda: np.diff(reaction.seconds(np.append(numbers, numbers[-1] + 1))) * fps,
        "strength": lambda: reaction.strength(numbers),
    }
    sliders = {f"slider-{number}": values + SLIDER_LIMIT for number, values in reaction.sliders(numbers).items()}
    times = np.arange(begin, min(heard.seconds, begin + length), 0.5)
    tones = []
    for time, row in zip(times.tolist(), heard.harmony(times), strict=True):
        if row.any():
            tone, place = int(row.argmax()), round(1000 * (time - begin) / length, 1)
            tones.append((place, 33.4, 30 * tone, round(float(row.max()), 2), TONES[tone]))
    return {
        "begin": f"{begin:g} s",
        "end": f"{min(heard.seconds, begin + length):.4g} s",
        "marks": marks,
        "heard": [(f"c{place}", line(heard.at(title, numbers / fps), 1, 112)) for place, title in enumerate(shown)],
        "moved": [
            (f"c{place % 8}", line(sliders[title] if title in sliders else curves[title](), top, 60))
            for place, (title, top) in enumerate(moved.items(), len(shown))
        ],
        "tones": tones,
    }


def write_reaction_page(path: Path, reaction: Reaction, name: str) -> Path:
    """Write a page that shows what is heard of a sound, and how a video follows it; return its path."""
    from footage.pages.environment import write_page
    from footage.pages.plots import PlotSeries

    heard, fps = reaction.heard, reaction.fps
    used = [link.source for link in reaction.links if link.source in LEVELS]
    shown = list(dict.fromkeys([*used, "onset", "loudness"]))
    frames = max(1, math.ceil(heard.seconds * fps))
    moved = {"speed": 10.0} if reaction.on_beat else {}
    moved |= {"strength": 2.0} if reaction.link("strength") else {}
    moved |= {link.target: 2 * SLIDER_LIMIT for link in reaction.links if link.slider}

    firsts = list(range(0, frames, round(STRIP * fps)))
    links = []
    for link in reaction.links:
        low, high = {"strength": (max(0, 1 - link.amount / 2), 1 + link.amount / 2), "drift": (0, 2 * link.amount)}.get(
            link.target, (-link.amount, link.amount)
        )
        bars = "bar" if round(link.amount) <= 1 else f"{round(link.amount)} bars"
        text = MEANINGS["slider" if link.slider else link.target].format(low=low, high=high, bars=bars)
        links.append((link.source, link.target, text))
    if reaction.on_beat:
        often = {0.5: "every other beat", 1.0: "once a beat", 2.0: "twice a beat"}[reaction.lock]
        links.insert(0, ("beat", "time", f"fastest {often}, as fast as ever in the mean"))
    summary = [
        ("length", f"{heard.seconds:.2f} s, {counted(frames, 'frame')} at {fps:g} a second"),
        ("tempo", f"{told_tempo(heard)}, {counted(len(heard.beats), 'beat')}" if len(heard.beats) else "no beat"),
        ("onsets", len(heard.onsets)),
        ("largest sample", f"{heard.peak:.3f}"),
    ]
    return write_page(
        path,
        "reaction.html",
        name=name,
        summary=summary,
        notes=reaction.notes,
        links=links,
        heard=[PlotSeries(title, (), (), f"c{place}") for place, title in enumerate(shown)],
        moved=[PlotSeries(title, (), (), f"c{place % 8}") for place, title in enumerate(moved, len(shown))],
        rows=[page_row(reaction, first, shown, moved) for first in firsts[:MOST_STRIPS]],
        left=f"{max(0, len(firsts) - MOST_STRIPS) * STRIP / 60:.3g} minutes" if len(firsts) > MOST_STRIPS else "",
    )
