"""A detector of one model's clips: a small network that tells them from real ones, and how often it is wrong.

It looks at windows of `WINDOW` frames, in patches of `PATCH` pixels: at their colours, and at what a small blur takes
away, in which generators leave traces. Half of the sources of real clips, and half of the seeds, teach it; the others
say how good it is: as they are, after H.264, at half the size, and under attack.

The attack is projected gradient descent in a ball of ε levels around every pixel (Madry and others, Towards deep
learning models resistant to adversarial attacks, 2018, section 2.1). Against it helps to train on attacked clips: one
step from a random start is enough (Wong and others, Fast is better than free, 2020, algorithm 3).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as deserialize
from safetensors.torch import save as serialize
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, conv2d, pad

from footage import __version__, files
from footage.config.strict import from_json, require
from footage.data.clips import ClipSource, Span
from footage.data.store import Split
from footage.errors import ConfigError, DatasetError, ModelError, counted
from footage.media.decode import Frames
from footage.media.encode import h264
from footage.media.reader import fit_frames
from footage.metrics.bootstrap import clopper_pearson, separate

SCHEMA = 3
"""Version of the file: 3 says at how many frames a second clips are looked at."""
WINDOW = 6
"""Frames that are looked at together."""
PATCH = 64
"""Pixels along each side of what is looked at; smaller frames are enlarged to it."""
PATCHES = 4
"""Patches of a larger frame."""
WIDTHS = (12, 24, 32, 48)
BATCH = 16
RATE = 2e-3
STEPS = 8
"""Of an attack that the detector is tested by."""
SEEN = ("clean", "crf 23", "crf 30", "half size")
"""What clips have been through that the detector learns from and is tested on."""
ALLOWED = 0.05
"""Part of the real clips that taught it, in whatever state of `SEEN`, that it may take for made."""
MOST_SIDE = 16384
"""Pixels along a side of the frames that a detector's file may ask for, at most."""
MOST_FPS = 1000.0
"""Frames a second that it may ask for, at most."""
LEAST = 4
"""Sources, and clips made, at the least."""


class DetectorNet(nn.Module):
    """Says how likely clips were made: convolutions of each frame, then means and deviations over place and time."""

    blur: Tensor

    def __init__(self) -> None:
        super().__init__()
        inside = (3 + 3, *WIDTHS)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1) for before, after in zip(inside, WIDTHS, strict=False)
        )
        self.logit = nn.Linear(2 * WIDTHS[-1], 1)
        blur = torch.tensor([1.0, 2.0, 1.0])
        self.register_buffer("blur", (blur[:, None] * blur / 16).expand(3, 1, 3, 3).clone(), persistent=False)

    def forward(self, clips: Tensor) -> Tensor:
        """Return logits (B,) of clips (B, C, T, H, W)."""
        count, channels, frames = clips.shape[:3]
        x = clips.transpose(1, 2).reshape(count * frames, channels, *clips.shape[3:])  # → (B T, C, H, W)
        fine = x - conv2d(pad(x, (1, 1, 1, 1), mode="replicate"), self.blur.to(x), groups=3)
        x = torch.cat([x, 8 * fine], dim=1)  # (B T, 2 C, H, W)
        for convolution in self.convolutions:
            x = nn.functional.leaky_relu(convolution(x), 0.2)
        x = x.mean(dim=(2, 3)).reshape(count, frames, -1)  # (B T, W, h, w) → (B, T, W)
        deviation = (x.var(dim=1, unbiased=False) + 1e-6).sqrt()
        return self.logit(torch.cat([x.mean(dim=1), deviation], dim=1)).squeeze(1)  # type: ignore[no-any-return]


def attack(net: DetectorNet, clips: Tensor, made: Tensor, levels: float, steps: int, rng: torch.Generator) -> Tensor:
    """Return clips (B, C, T, H, W) in [-1, 1] that a detector takes for the other kind, if any so near are.

    Args:
        net: the detector.
        clips: what is changed.
        made: 1 for each that was made, 0 for each that is real, (B,).
        levels: by how much each value may change, of 255.
        steps: of gradient ascent; one is that of fast adversarial training.
        rng: of the start within the ball.
    """
    reach = levels / 127.5
    step = reach * (1.25 if steps == 1 else 2.5 / steps)
    moved = clips + reach * (2 * torch.rand(clips.shape, generator=rng) - 1)
    for _ in range(steps):
        moved = moved.detach().clamp(-1, 1).requires_grad_(True)
        loss = binary_cross_entropy_with_logits(net(moved), made, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, moved)
        moved = clips + (moved.detach() + step * gradient.sign() - clips).clamp(-reach, reach)
    return moved.detach().clamp(-1, 1)


@dataclass(frozen=True)
class DetectorFigure:
    """How well clips that the detector has not learned from are told apart."""

    auc: float
    low: float | None
    """Interval of 95% over sources, see `area_interval`; None where there are fewer than four."""
    high: float | None
    false_alarms: float
    """Part of the real clips that are taken for made."""
    misses: float
    """Part of the made clips that are taken for real."""


@dataclass(frozen=True)
class Detector:
    """What a detector's file says of it."""

    model: str
    """Whose clips it finds."""
    weights_sha256: str
    """Of that model."""
    data: str
    """The real clips that it knows."""
    height: int
    width: int
    """Of the frames that it looks at, others are fitted to it."""
    threshold: float
    """Logit above which a clip is taken for made."""
    trained_within: float
    """Levels of the attacks that it was trained under; 0 for none."""
    real_tested: int
    """Real clips that it was tested on."""
    made_tested: int
    figures: Mapping[str, DetectorFigure]
    """By what the clips had been through."""
    plain: Mapping[str, DetectorFigure]
    """The same of a detector that was trained without attacks; empty where this one was."""
    made_by: str = f"footage {__version__}"
    schema: int = SCHEMA
    real_sources: int = 0
    """Sources of the real clips that it was tested on; 0 where that was not written down."""
    fps: float = 0.0
    """Frames a second of what it has learned from, to which others are brought; 0 where that was not written down."""

    @property
    def sources(self) -> int:
        """Real sources that it was tested on; of older files the real clips, which mostly were of as many."""
        return self.real_sources or self.real_tested

    def most_false_alarms(self) -> float:
        """Return the part of the real clips that are taken for made, at most, in 95 of 100 tests as large.

        It is the upper limit of Clopper and Pearson 1934, as if each source were one clip, of what the clips had been
        through that misleads it most: nobody says what a file has been through.
        """
        shares = (self.figures[how].false_alarms for how in SEEN)
        return max(clopper_pearson(math.ceil(share * self.sources - 1e-9), self.sources, 0.9)[1] for share in shares)

    def check(self) -> None:
        """Refuse what no detector is.

        Raises:
            ConfigError: a value is out of range, or a figure is missing.
        """
        for name in ("height", "width"):
            require(1 <= getattr(self, name) <= MOST_SIDE, name, getattr(self, name), f"give 1 to {MOST_SIDE}")
        require(0 <= self.fps <= MOST_FPS, "fps", self.fps, f"give 0 to {MOST_FPS:g}")
        require(self.sources >= 1, "real_tested", self.real_tested, "give at least 1")
        for how in SEEN:
            require(how in self.figures, f"figures.{how}", None, "make the detector again")
        for figure in (*self.figures.values(), *self.plain.values()):
            for share in (figure.auc, figure.false_alarms, figure.misses):
                require(0 <= share <= 1, "a share in figures", share, "give 0 to 1")


@dataclass(frozen=True)
class ClipPatches:
    """Windows of clips, cut into patches."""

    values: dict[str, Frames]
    """By what they have been through, uint8 (N, P, T, PATCH, PATCH, 3)."""
    sources: tuple[str, ...]
    """What each was cut from, (N,)."""

    def halves(self, seed: int) -> tuple[ClipPatches, ClipPatches]:
        """Divide the clips into two sets without a common source."""
        names = sorted(set(self.sources))
        order = np.random.Generator(np.random.Philox(key=[seed, 0xDE7EC7])).permutation(len(names))
        first = {names[i] for i in order[::2]}
        rows = np.array([source in first for source in self.sources])
        return self._chosen(rows), self._chosen(~rows)

    def _chosen(self, rows: np.ndarray[Any, np.dtype[np.bool_]]) -> ClipPatches:
        sources = tuple(source for source, row in zip(self.sources, rows.tolist(), strict=True) if row)
        return ClipPatches({name: values[rows] for name, values in self.values.items()}, sources)


def cut(frames: Frames) -> Frames:
    """Return the patches (P, T, PATCH, PATCH, 3) of frames, uint8 (T, H, W, 3)."""
    height, width = (max(PATCH, side) for side in frames.shape[1:3])
    fitted = fit_frames(frames, height=height, width=width, channels=3, fit="stretch")
    if (height, width) == (PATCH, PATCH):
        return fitted[None]
    places = [((1 + 2 * i) * (height - PATCH) // 4, (1 + 2 * j) * (width - PATCH) // 4) for i in (0, 1) for j in (0, 1)]
    return np.stack([fitted[:, y : y + PATCH, x : x + PATCH] for y, x in places[:PATCHES]])


def altered(frames: Frames, how: str) -> Frames:
    """Return what is left of frames, uint8 (T, H, W, 3), after one of `SEEN`."""
    height, width = frames.shape[1:3]
    if how.startswith("crf"):
        return h264(frames, int(how.removeprefix("crf ")))
    if how == "half size":
        small = fit_frames(frames, height=max(1, height // 2), width=max(1, width // 2), channels=3, fit="stretch")
        return fit_frames(h264(small, 23), height=height, width=width, channels=3, fit="stretch")
    return frames


def patches_of(clips: Iterator[tuple[str, Frames]]) -> ClipPatches:
    """Return the patches of windows, each with the name of its source, uint8 (WINDOW, H, W, 3) all of one size."""
    values: dict[str, list[Frames]] = {how: [] for how in SEEN}
    sources = []
    for source, frames in clips:
        sources.append(source)
        colour = np.broadcast_to(frames, (*frames.shape[:3], 3))
        for how in SEEN:
            values[how].append(cut(altered(np.ascontiguousarray(colour), how)))
    return ClipPatches({how: np.stack(some) for how, some in values.items()}, tuple(sources))


def real_windows(source: ClipSource, count: int, seed: int, height: int, width: int) -> Iterator[tuple[str, Frames]]:
    """Yield windows of a source of clips, as evenly spread over its sources as may be, fitted to a size.

    Raises:
        DatasetError: fewer than `LEAST` files are long enough.
    """
    splits: tuple[Split, ...] = ("train", "heldout")
    spans = [span for split in splits for span in source.spans(split) if span.frames >= WINDOW]
    of_source: dict[str, list[Span]] = {}
    for span in spans:
        of_source.setdefault(span.source, []).append(span)
    if len(of_source) < LEAST:
        raise DatasetError(
            f"{source.name} has {counted(len(of_source), 'source')} of {WINDOW} frames or more",
            f"give {LEAST}: half teach, half test",
        )
    rng = np.random.Generator(np.random.Philox(key=[seed, 0x4EA1]))
    clips = [[some[i] for i in rng.permutation(len(some))] for some in of_source.values()]
    order = rng.permutation(len(clips))
    for number in range(count):  # source after source: a long recording does not take the place of short ones
        turn, place = divmod(number, len(clips))
        some = clips[order[place]]
        span = some[turn % len(some)]
        window = source.read(span.index, int(rng.integers(span.frames - WINDOW + 1)), WINDOW)
        yield span.source, fit_frames(window, height=height, width=width, channels=window.shape[3], fit="crop")


def as_tensor(patches: Frames) -> Tensor:
    """Return patches (B, T, H, W, 3) as (B, 3, T, H, W) in [-1, 1]."""
    return torch.from_numpy(patches).permute(0, 4, 1, 2, 3).float() / 127.5 - 1


def train_net(
    real: ClipPatches, made: ClipPatches, levels: float, steps: int, seed: int, show: Callable[[int, int], object]
) -> DetectorNet:
    """Train a detector, under attacks within a ball of `levels` where that is more than 0."""
    torch.manual_seed(seed)
    rng, draws = torch.Generator().manual_seed(seed), np.random.Generator(np.random.Philox(key=[seed, 0x7EAC4]))
    net = DetectorNet()
    optimizer = torch.optim.Adam(net.parameters(), RATE)
    answers = torch.tensor([0.0, 1.0]).repeat_interleave(BATCH // 2)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - step / steps)
        chosen = []
        for some in (real, made):
            for _ in range(BATCH // 2):
                values = some.values[SEEN[draws.integers(len(SEEN))]]
                patch = values[draws.integers(len(values)), draws.integers(values.shape[1])]
                chosen.append(patch[:, :, ::-1] if draws.integers(2) else patch)
        clips = as_tensor(np.stack(chosen))
        if levels:
            clips = torch.cat([clips[::2], attack(net, clips[1::2], answers[1::2], levels, 1, rng)])
        wanted = torch.cat([answers[::2], answers[1::2]]) if levels else answers
        optimizer.zero_grad()
        loss = binary_cross_entropy_with_logits(net(clips), wanted)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        show(step + 1, steps)
    return net.eval()


def logits(net: DetectorNet, patches: Frames, made: float, levels: float = 0, seed: int = 0) -> Tensor:
    """Return the mean logits (N,) of the patches (N, P, T, H, W, 3) of clips, attacked within `levels`."""
    rng, found = torch.Generator().manual_seed(seed), []
    for clip in patches:
        x = as_tensor(clip)
        if levels:
            x = attack(net, x, torch.full((len(x),), made), levels, STEPS, rng)
        with torch.no_grad():
            found.append(net(x).mean())
    return torch.stack(found)


def test_net(
    net: DetectorNet, threshold: float, real: ClipPatches, made: ClipPatches, attacks: Sequence[float]
) -> dict[str, DetectorFigure]:
    """Return how well clips are told apart that taught it nothing, by what they have been through."""
    cases = [(how, how, 0.0) for how in SEEN] + [(f"attack {levels:g}/255", "clean", levels) for levels in attacks]
    figures = {}
    for name, how, levels in cases:
        said = [logits(net, some.values[how], answer, levels) for some, answer in ((real, 0.0), (made, 1.0))]
        told = separate(said[1], said[0], made.sources, real.sources)
        wrong = [float((said[0] > threshold).float().mean()), float((said[1] <= threshold).float().mean())]
        figures[name] = DetectorFigure(told.auc, told.auc_low, told.auc_high, *wrong)
    return figures


def make_detector(
    real: ClipPatches,
    made: ClipPatches,
    about: Detector,
    *,
    attacks: Sequence[float],
    steps: int,
    seed: int,
    show: Callable[[str, int, int], object] = lambda *_: None,
) -> tuple[DetectorNet, Detector]:
    """Train a detector on half of the sources and test it on the others; return it, and what is to be said of it.

    Args:
        real: real clips.
        made: clips of the model.
        about: what is known of it; `trained_within` is the ball of the attacks that it is trained under.
        attacks: levels of the attacks that it is tested under.
        steps: of training.
        seed: of everything that is drawn.
        show: told phase, steps done, and of how many.
    """
    (real, real_test), (made, made_test) = (some.halves(seed) for some in (real, made))
    within, figures = about.trained_within, []
    for levels in [0.0, within] if within else [0.0]:
        phase = "training under attack" if levels else "training"
        net = train_net(real, made, levels, steps, seed, lambda done, of, phase=phase: show(phase, done, of))  # type: ignore[misc]
        threshold = max(float(logits(net, real.values[how], 0.0).quantile(1 - ALLOWED)) for how in SEEN)
        figures.append(test_net(net, threshold, real_test, made_test, attacks))
    return net, replace(
        about,
        threshold=threshold,
        real_tested=len(real_test.sources),
        real_sources=len(set(real_test.sources)),
        made_tested=len(made_test.sources),
        figures=figures[-1],
        plain=figures[0] if within else {},
    )


def save_detector(path: Path, net: DetectorNet, about: Detector) -> None:
    """Write a detector: safetensors, with what it is in the header, and hashes of both."""
    tensors = {name: value.contiguous() for name, value in net.state_dict().items()}
    value = asdict(about) | {"tensors": files.bytes_digest(serialize(tensors))}
    value["digest"] = files.json_digest(value)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_bytes(path, serialize(tensors, metadata={"detector": json.dumps(value)}))


def load_detector(path: Path) -> tuple[DetectorNet, Detector]:
    """Load a detector that `save_detector` wrote; nothing in it can run code.

    Raises:
        ModelError: it is missing, no detector, altered, or of a newer version.
    """
    remedy = "give a file that footage detector wrote"
    try:
        content = files.read_bytes(path)
        tensors = deserialize(content)  # which checks the header that the next line reads
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        value = dict(json.loads(header["__metadata__"]["detector"]))
        digest, digest_of_tensors = value.pop("digest", None), value.get("tensors")
        sums = files.json_digest(value), files.bytes_digest(serialize(tensors))
    except (OSError, ValueError, TypeError, KeyError, RecursionError, SafetensorError) as error:
        raise ModelError(f'"{path}" is no detector ({str(error)[:200] or type(error).__name__})', remedy) from None
    files.refuse_newer(value.get("schema"), SCHEMA, path, ModelError)
    if (digest, digest_of_tensors) != sums:
        raise ModelError(f'"{path}" was altered after it was written (its digest differs)', remedy)
    del value["tensors"]
    net = DetectorNet()
    try:
        net.load_state_dict(tensors)
        about = from_json(Detector, value, "detector")
        about.check()
        return net.eval(), about
    except (ConfigError, RuntimeError, TypeError) as error:
        raise ModelError(f'"{path}" does not fit this version ({str(error)[:200]})', remedy) from None


def judge(net: DetectorNet, chunks: Iterator[Frames]) -> float:
    """Return a detector's logit of a clip, the mean of its windows.

    Args:
        net: the detector.
        chunks: uint8 (T, H, W, 3), of the detector's size; the first eight windows are looked at.
    """
    held: list[Frames] = []
    for chunk in chunks:
        held.extend(chunk)
        if len(held) >= 8 * WINDOW:
            break
    held += held[-1:] * max(0, WINDOW - len(held))
    starts = range(0, min(len(held), 8 * WINDOW) - WINDOW + 1, WINDOW)
    patches = np.stack([cut(np.stack(held[start : start + WINDOW])) for start in starts])
    return float(logits(net, patches, 0.0).mean())
