"""Whether clips are in time with their sound: figures that speak, and motion that follows music.

Figures are heard by a judge of sync that is trained here; and where it is known what mouths did, these are measured.

The judge (`footage.models.talking.judge`) learns from real clips alone, of that half of the training clips which no
judge in training has seen. On held-out clips its offset is the shift of the sound, in frames, at which mouths and sound
go together best, and its confidence how much better than at the median shift (Chung and Zisserman 2016, section 4).
Beside what a model makes stands what real clips have: more than that cannot be asked for.

Motion is the mean absolute change from each frame to the next, and music what is heard in the same file.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.optim import Adam

from footage.data.clips import Span, TalkerClips
from footage.data.pairs import VoicedClips
from footage.data.talker import mouth_box
from footage.errors import ConfigError, MediaError, counted
from footage.evaluation.results import Curve, Figure, Line
from footage.generation.rollout import from_uint8, to_uint8
from footage.media import speech
from footage.media.reader import Footage
from footage.media.sound_features import SoundFeatures, listen
from footage.metrics.motion import BeatAgreement, beat_agreement
from footage.models.base import Speaks
from footage.models.talking.figure import taken_apart
from footage.models.talking.judge import SEEN, SyncJudge, mouths, shifted, sync_loss

STEPS = 600
"""Steps in which the judge learns."""
BATCH = 16
CLIPS = 48
"""Held-out clips that are looked at."""
FRAMES = 100
"""Frames of each, at most."""
REACH = 10
"""Frames by which the sound is moved, either way."""
SEED = 0x5EED
"""Of the judge; another one than that of any judge in training."""

Floats = npt.NDArray[np.float64]


def train_judge(source: VoicedClips, box: Tensor, seed: int = SEED, steps: int | None = None) -> SyncJudge:
    """Train a judge on real clips, of the half of the training clips that is not for judges in training.

    Raises:
        ConfigError: there are no such clips of `SEEN` frames.
    """
    spans = [span for span in source.spans("train") if span.index % 2 == 0 and span.frames >= SEEN]
    if not spans:
        raise ConfigError(f"{source.name} has too few clips with sound for a judge of sync", "give more of them")
    rng, steps = np.random.Generator(np.random.Philox(key=[seed, 0x57])), steps or STEPS
    channels = source.shape[2] - source.guides
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        judge = SyncJudge(channels)
    optimizer = Adam(judge.parameters(), 1e-3)
    for step in range(steps):
        rows = []
        for number in rng.integers(len(spans), size=BATCH).tolist():
            rows.append(source.read(spans[number].index, int(rng.integers(spans[number].frames - SEEN + 1)), SEEN))
        spoken = taken_apart(from_uint8(np.stack(rows)), channels)
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * max(0.1, 1 - step / steps)
        loss = sync_loss(judge(mouths(spoken.real, box), shifted(spoken.heard[:, SEEN // 2])))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return judge.eval().requires_grad_(False)


@torch.inference_mode()
def scores(judge: SyncJudge, clip: Tensor, levels: speech.Levels, fps: float, box: Tensor, start: int) -> Floats:
    """Return how well a clip (C, T, H, W) goes with its sound, moved by -REACH to REACH frames: (2 REACH + 1,)."""
    frames = clip.shape[1]
    cut = mouths(clip[None], box)[0]  # T C h w
    seen = judge.see(cut.unfold(0, SEEN, 1).movedim(-1, 1))  # T-4 D
    around = speech.windows(levels, fps, start + SEEN // 2 - REACH, frames - SEEN + 1 + 2 * REACH)
    heard = judge.hear(torch.from_numpy(around.astype(np.float32)) / 127.5 - 1)  # T-4+2R D
    count = len(seen)
    means = [float((seen * heard[shift : shift + count]).sum(dim=1).mean()) for shift in range(2 * REACH + 1)]
    return np.array(means)


def offset_of(values: Floats) -> tuple[int, float]:
    """Return the offset in frames and the confidence that scores at all shifts give."""
    best = int(values.argmax())
    return best - REACH, float(values[best] - np.median(values))


def correlation(a: Floats, b: Floats) -> float:
    """Return Pearson's r; 0 where one does not change."""
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / size) if size > 1e-9 else 0.0


def opening(clip: npt.NDArray[np.uint8], rows: slice, columns: slice) -> Floats:
    """Return how much darker the surroundings of a mouth are than the rest of each frame, (T,): open ones are dark.

    Beside the rest, for a figure that pales or darkens as a whole has opened no mouth.
    """
    bright = clip.astype(np.float64).mean(axis=3)  # T H W
    inside = bright[:, rows, columns]
    rest = (bright.sum(axis=(1, 2)) - inside.sum(axis=(1, 2))) / (bright[0].size - inside[0].size)
    darker: Floats = rest - inside.mean(axis=(1, 2))
    return darker


@dataclass
class _Side:
    """What was measured of clips that were made, or of real ones."""

    offsets: list[int] = field(default_factory=list)
    confidences: list[float] = field(default_factory=list)
    curves: list[Floats] = field(default_factory=list)
    mouths: list[float] = field(default_factory=list)

    def in_time(self) -> float:
        return statistics.mean(offset == 0 for offset in self.offsets)

    def figures(self, real: _Side, group: str, seed: int) -> list[Figure]:
        """Return the figures of a group of clips that were made, beside real ones."""
        wrong = [offset for offset in self.offsets if offset]
        note = f"the others have offsets of {', '.join(map(str, wrong[:8]))} frames" if wrong else ""
        rows = [("sync_offset", "offset 0, part of the clips", self.in_time(), real.in_time(), note)]
        mine, truth = (statistics.mean(side.confidences) for side in (self, real))
        rows.append(("sync_confidence", "confidence of the sync judge", mine, truth, ""))
        if self.mouths:
            mine, truth = (statistics.mean(side.mouths) for side in (self, real))
            rows.append(("mouth_correlation", "r of mouth opening, made : true", mine, truth, ""))
        return [
            Figure(
                metric="sync",
                name=name,
                label=f"{text} [{group}]" if group else text,
                value=value,
                better="higher",
                tier="B",
                networks=(),
                by_network=(),
                interval=None,
                floor=None,
                clips=(len(self.offsets), len(real.offsets)),
                seeds=(seed,),
                repeats=(value,),
                real=beside,
                note=remark,
            )
            for name, text, value, beside, remark in rows
        ]


def measure_sync(
    sampler: Speaks,
    source: VoicedClips,
    spans: Sequence[Span],
    *,
    seed: int = 0,
    steps: int | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[list[Figure], list[Curve]]:
    """Measure offset and confidence of what a model makes of held-out clips' stills and sound, by label.

    Where it is known what mouths did, of the built-in talker, how they correlate with it too.

    Raises:
        ConfigError: there are no clips that are long enough.
    """
    spans = [span for span in spans if span.frames >= SEEN + 2 * REACH][:CLIPS]
    if not spans:
        raise ConfigError(f"{source.name} has no clip of {SEEN + 2 * REACH} frames with sound", "give longer clips")
    say("training a judge of sync on real clips")
    box: Tensor = sampler.mouth  # type: ignore[attr-defined]
    judge = train_judge(source, box.cpu(), steps=steps)
    channels = sampler.clip.channels
    labels = [source.labels[span.label] if span.label >= 0 else "" for span in spans]
    sides: dict[str, dict[str, _Side]] = defaultdict(lambda: {"made": _Side(), "real": _Side()})
    for number, (span, label) in enumerate(zip(spans, labels, strict=True)):
        say(f"sync: {number:,} of {counted(len(spans), 'clip')}")
        frames = min(FRAMES, span.frames)
        whole = from_uint8(source.read(span.index, 0, frames)[None])
        real, still, heard, _ = taken_apart(whole, channels)
        spare = (heard.shape[2] - speech.WINDOW) // 2
        windows = heard[:, :, spare : spare + speech.WINDOW]
        (spoken,) = sampler.speak(still, [windows], [seed + number])
        for name, clip in (("made", spoken.cpu()), ("real", real)):
            values = scores(judge, clip[0], source.levels(span.index), source.fps, box.cpu(), 0)
            offset, confidence = offset_of(values)
            mouth = None
            if isinstance(source.source, TalkerClips):
                talker = source.source
                true = talker.mouth(span.index, 0, frames)[:, 0].astype(np.float64)
                place = mouth_box(talker.look(span.index), *talker.shape[:2])
                mouth = correlation(opening(to_uint8(clip)[0], *place), true)
            for group in dict.fromkeys(("", label)):
                side = sides[group][name]
                side.offsets.append(offset)
                side.confidences.append(confidence)
                side.curves.append(values)
                if mouth is not None:
                    side.mouths.append(mouth)
    figures = [figure for label, both in sides.items() for figure in both["made"].figures(both["real"], label, seed)]
    every = sides[""]
    lines = tuple(Line(name, tuple(np.mean(side.curves, axis=0).tolist())) for name, side in every.items())
    x = tuple(float(shift) for shift in range(-REACH, REACH + 1))
    label, count = "How well mouths and moved sound go together", (len(spans), len(spans))
    return figures, [Curve("sync", "sync_scores", label, "sound moved by, frames", "cosine", x, lines, "B", count)]


def motion_of(path: Path) -> tuple[Floats, float]:
    """Return the mean absolute change from each frame of a video to the next, (T - 1,) in grey levels, and its rate.

    Raises:
        MediaError: it cannot be read, or has no rate.
    """
    footage = Footage(path)
    (height, width), rate = footage.size(), footage.rate()
    if rate is None:
        raise MediaError(f'"{path.name}" does not say how fast it is shown', "give a video")
    energy, last = list[Floats](), np.zeros((0, height, width, 3), np.int16)
    for chunk in footage.chunks(height=height, width=width, channels=3, fps=float(rate)):
        frames = np.concatenate([last, chunk.astype(np.int16)])
        energy.append(np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3)))
        last = frames[-1:]
    return np.concatenate([np.zeros(0), *energy]), float(rate)


def beat_offsets(energy: Floats, beats: Floats, fps: float, period: float) -> Floats:
    """Return how many frames behind each beat, (N,), motion is largest, within half of a period of it in seconds.

    A change belongs to the middle between its two frames: it is within half a frame of each beat between them.
    """
    middles = (np.arange(len(energy)) + 0.5) / fps
    around = np.abs(middles - beats[:, None]) <= period / 2  # N T
    largest = np.where(around, energy, -np.inf).argmax(axis=1)
    offsets: Floats = (middles[largest] - beats) * fps
    return offsets


def agreement_of(energy: Floats, heard: SoundFeatures, fps: float) -> BeatAgreement:
    """Return how well motion keeps time with onsets; an onset counts for the frames around it."""
    middles = (np.arange(len(energy)) + 0.5) / fps
    strengths = np.interp(heard.onsets * heard.rate, np.arange(len(heard.curves)), heard.curves[:, 0])
    near = np.exp(-0.5 * ((middles[:, None] - heard.onsets) * fps) ** 2)
    sounding = torch.from_numpy((near * strengths).sum(axis=1))
    return beat_agreement(torch.from_numpy(energy), sounding, apart=round(fps / 4))


def measure_beats(made: Sequence[Path], real: Sequence[Path], say: Callable[[str], None]) -> list[Figure]:
    """Measure how motion keeps time with music in videos with sound, and in real ones beside; nothing without a beat.

    What cannot be read, has no sound, or no beat, counts for nothing.
    """

    def measured(paths: Sequence[Path]) -> list[tuple[float, float, float]]:
        rows = []
        for number, path in enumerate(paths):
            say(f"beats: {number:,} of {counted(len(paths), 'clip')}")
            try:
                heard = listen(path)
                energy, fps = motion_of(path)
            except MediaError:
                continue
            period = 60 / heard.tempo if heard.tempo else 0.0
            beats = heard.beats[(heard.beats > period / 2) & (heard.beats < len(energy) / fps - period / 2)]
            if len(beats):
                agreement = agreement_of(energy, heard, fps)
                in_time = np.abs(beat_offsets(energy, beats, fps, period)) <= 0.5 + 1e-9
                rows.append((agreement.correlation, agreement.ratio, float(in_time.mean())))
        return rows

    ours, others = measured(made), measured(real)
    if not ours:
        return []
    note = (
        f"of {counted(len(ours), 'video')} with a beat; motion is the change of pixels, music the onsets that are heard"
    )
    labels = ("r of motion and onsets", "that r over its mean elsewhere", "beats within half a frame, part of them")
    return [
        Figure(
            metric="beats",
            name=name,
            label=label,
            value=float(value),
            better="higher",
            tier="D",
            networks=(),
            by_network=(),
            interval=None,
            floor=None,
            clips=(len(ours), len(others)),
            seeds=(),
            repeats=(float(value),),
            real=float(np.mean([row[number] for row in others])) if others else None,
            note=note,
        )
        for number, (name, label, value) in enumerate(
            zip(("beats_correlation", "beats_ratio", "beats_in_time"), labels, np.mean(ours, axis=0), strict=True)
        )
    ]
