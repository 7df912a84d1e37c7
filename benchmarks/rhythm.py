"""Music and the motion that follows it: tempo and beats of nine tracks; three films made from sound, measured again.

The music is synthesised here. The films are decoded, their sound too, and motion is compared with the onsets that are
heard: correlation at the same time over its mean over random times, and in which frame motion is largest around a beat.

Motion is measured by differences of frames: once of their pixels, once of means of `COARSE` by `COARSE` of them. What
moves by more than its own width changes as many pixels, however far it goes; means tell for longer how far. Beside the
film stand two movers that are as exact as can be: a number that grows as the film's time does, and the film's first
frame, shifted sideways that far (`STRIDE`), which is what can be asked for of pixels.

Usage: python benchmarks/rhythm.py [FOLDER | --tracks]
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from rich.console import Console
from rich.table import Table

import footage
from footage.evaluation.sync import agreement_of, beat_offsets
from footage.media.encoding import EncodingOptions
from footage.media.reader import Footage
from footage.media.sheets import contact_sheet, save_picture
from footage.media.sound import RATE, read_sound, write_sound
from footage.media.sound_features import analyse, listen
from footage.models.reactions import reaction_to

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.sounds import nine, play

COARSE = 16
"""Pixels of a mean, each way."""
STRIDE = 1 / 64
"""Widths of the frame by which a shifted frame moves in one, where time runs evenly."""


@dataclass(frozen=True)
class Film:
    """A film that is made from sound."""

    model: str
    pattern: str
    bpm: float
    seconds: float
    react: str
    size: str
    seed: int
    crf: int = 26


FILMS = (
    Film("stream-shapes", "march", 96.0, 12.5, "onset:strength=0.5,chroma:content", "256x256", 3),
    Film("stream-digits", "ballad", 92.0, 11.5, "onset:strength=1,chroma:content", "256x256", 5, 22),
    Film("stream-signs", "four", 90.0, 8.0, "onset:strength=0.5", "320x240", 3, 30),
)


def tracks() -> tuple[Table, dict[str, list[float]]]:
    """Measure tempo, beats and onsets of nine tracks."""
    found: dict[str, list[float]] = {"tempo": [], "beats": [], "onsets": []}
    table = Table("track", "bpm", "found", "beats F", "onsets F", "onsets off, ms", "s", title="nine tracks of 16 s")
    for track in nine():
        begin = time.perf_counter()
        heard = analyse([track.samples])
        seconds = time.perf_counter() - begin
        beats, _ = matched(heard.beats, track.beats, 0.07)
        onsets, off = matched(heard.onsets, track.onsets, 0.05)
        for name, value in (("tempo", abs(heard.tempo / track.bpm - 1)), ("beats", beats), ("onsets", onsets)):
            found[name].append(value)
        table.add_row(
            track.name,
            f"{track.bpm:g}",
            f"{heard.tempo:.2f}",
            f"{beats:.3f}",
            f"{onsets:.3f}",
            f"{1000 * off:.1f}",
            f"{seconds:.3f}",
        )
    return table, found


def matched(found: np.ndarray, true: np.ndarray, within: float) -> tuple[float, float]:
    """F-measure of times, each met once at most, and the mean distance of those that were met."""
    left, distances = list(found), []
    for moment in true:
        nearest = min(left, key=lambda other: abs(other - moment), default=None)
        if nearest is not None and abs(nearest - moment) <= within:
            left.remove(nearest)
            distances.append(abs(nearest - moment))
    return 2 * len(distances) / max(1, len(found) + len(true)), float(np.mean(distances)) if distances else np.inf


def coarse(frame: np.ndarray, size: int) -> np.ndarray:
    """Return the means of a frame's pixels, `size` by `size`, in the middle of it."""
    height, width = (side // size * size for side in frame.shape[:2])
    means: np.ndarray = (
        frame[:height, :width].astype(np.float32).reshape(height // size, size, width // size, size, -1).mean((1, 3))
    )
    return means


def changes(frames: list[np.ndarray]) -> np.ndarray:
    """Return the mean absolute difference of successive frames."""
    return np.array([np.abs(after - before).mean() for before, after in itertools.pairwise(frames)])


def shift(frame: np.ndarray, by: float) -> np.ndarray:
    """Return a frame shifted sideways by some pixels, in between linearly; what leaves it comes in again."""
    whole = int(np.floor(by))
    return np.roll(frame, whole, axis=1) * (1 - by + whole) + np.roll(frame, whole + 1, axis=1) * (by - whole)


def measure(path: Path, row: Table, film: Film, beats: np.ndarray, song: Path) -> list[np.ndarray]:
    """Decode a film and compare its motion with its sound; return its frames."""
    with av.open(str(path)) as container:
        fps = float(container.streams.video[0].average_rate or 0)
        lengths = [float((stream.duration or 0) * (stream.time_base or 0)) for stream in container.streams]
    frames: list[np.ndarray] = []
    height, width = Footage(path).size()
    for chunk in Footage(path).chunks(height=height, width=width, channels=3, fps=fps):
        frames += list(chunk)
    energy, heard = changes([coarse(frame, 1) for frame in frames]), listen(path)
    agreement = agreement_of(energy, heard, fps)
    beats = beats[(beats > 0.3) & (beats < (len(energy) - 0.5) / fps - 0.3)]

    def offsets(energy: np.ndarray) -> np.ndarray:
        """Return how many frames from each beat motion is largest, within half a beat."""
        return beat_offsets(energy, beats, fps, 60 / film.bpm)

    def in_time(energy: np.ndarray) -> str:
        return f"{np.mean(np.abs(offsets(energy)) <= 0.5 + 1e-9):.0%}"

    gone = reaction_to(song, film.react, None, fps).seconds(np.arange(len(frames))) * fps
    shifted = [shift(coarse(frames[0], 1), STRIDE * width * float(by)) for by in gone]
    sound = read_sound(path)
    assert sound is not None, "the film has sound"
    row.add_row(
        path.name,
        f"{path.stat().st_size / 1000:.0f}",
        f"{lengths[0]:.2f} / {lengths[-1]:.2f}",
        f"{np.abs(sound.samples).max():.2f}",
        f"{heard.tempo:.2f} ({film.bpm:g})",
        f"{agreement.correlation:.2f}",
        f"{agreement.elsewhere:.2f}",
        f"{agreement.ratio:.1f}",
        f"{np.median(offsets(energy)):+.2f}",
        in_time(energy),
        in_time(changes([coarse(frame, COARSE) for frame in frames])),
        in_time(np.diff(gone)),
        in_time(changes(shifted)),
    )
    return frames


def main() -> None:
    """Measure and print the tables; leave films and sheets in a folder."""
    console = Console(width=190)
    shown, told = tracks()
    console.print(shown)
    if sys.argv[1:] == ["--tracks"]:
        print(json.dumps(told))
        return
    names = (
        "film",
        "KB",
        "pictures / sound, s",
        "loudest",
        "bpm",
        "r",
        "r elsewhere",
        "ratio",
        "frames off",
        "within ½",
        "coarse",
        "exact mover",
        "shifted frame",
    )
    table = Table(*names, title="films, decoded")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for film in FILMS:
            track = play(film.pattern, film.bpm, film.seconds, pad=0.12, seed=1)
            song, made = Path(temporary) / f"{film.pattern}.wav", Path(temporary) / film.model
            write_sound(song, [track.samples], RATE)
            (clip,) = footage.generate(
                Path(film.model),
                made,
                count=1,
                seed=film.seed,
                audio=str(song),
                react=film.react,
                size=film.size,
                encoding=EncodingOptions(crf=film.crf),
                device="cpu",
                quiet=True,
            )
            path = folder / f"music-{film.model.removeprefix('stream-')}.mp4"
            clip.replace(path) if clip.stat().st_dev == folder.stat().st_dev else path.write_bytes(clip.read_bytes())
            frames = measure(path, table, film, track.beats, song)
            rows = [np.stack(frames[first : first + 12]) for first in range(0, min(len(frames), 96), 12)]
            save_picture(folder / f"{path.stem}.png", contact_sheet(rows, [f"{n * 12}" for n in range(len(rows))]))
    console.print(table)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
