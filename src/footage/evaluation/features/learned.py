"""Tier B: a small (2+1)D network that was trained on some of a data set's own clips, and which clips these are.

`footage evaluator train` trains it and lets it climb the corruption ladder. Its file is safetensors, with a JSON file
beside it that says how it was made and what the ladder came to; a network that has not passed is refused.

The files of the training split are divided label by label, in the order of a hash of their names. The first part is
the network's, and evaluation leaves it out. All else is what its accuracy is measured on, what it climbs the ladder
with, and what evaluation reads.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as deserialize
from torch import Tensor, nn
from torch.nn import functional as F

from footage import files
from footage.data.clips import ClipSource, Span, empty_split
from footage.errors import DatasetError, ModelError, meant
from footage.evaluation.features import FrozenExtractor, NetworkInfo, resized_clips

SCHEMA = 2
"""Version of the JSON file. A higher number than ours is refused; in the first sources were named without folder."""
LEAST = (2, 8, 8)
"""Least frames, height and width of a clip."""
LEARNED = 0.25
"""A task is learned when its accuracy closes this part of the gap between guessing and certainty."""
SPREAD = 1e-3
"""A feature's deviation is taken to be at least this part of the largest one."""


class FeatureStage(nn.Module):
    """A 3×3 convolution that halves the frames, then one over 3 frames in time (Tran et al. 2018, section 3.5).

    Each is followed by batch normalisation and ReLU. Clips go on in time as they begin and end, so that a still stays
    still. The stride is that of the convolution in time.
    """

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.space = nn.Conv3d(inside, outside, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1), bias=False)
        self.time = nn.Conv3d(outside, outside, (3, 1, 1), stride=(stride, 1, 1), bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm3d(outside), nn.BatchNorm3d(outside)])

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outside, T / stride, H / 2, W / 2) of (B, inside, T, H, W)."""
        x = F.relu(self.norms[0](self.space(x)))
        x = F.pad(x, (0, 0, 0, 0, 1, 1), mode="replicate")
        return F.relu(self.norms[1](self.time(x)))


class ClipNet(nn.Module):
    """The network. Tasks are learned from the last two stages' means of each channel.

    Features are the last stage's means, which know what is shown, and of the first stage's channels the mean, the
    deviation over space and the deviation over time, which know how it looks and how much it changes: deep channels
    alone saturate under noise and hardly see motion stop (docs/LOG.md). Each is in units of its deviation among real
    clips.

    Args:
        widths: channels of the stages; all but the first halve the number of frames.
        side: clips are resized so that their shorter side has this many pixels, never enlarged.
        classes: how many labels there are; 0 for none.
    """

    def __init__(self, widths: Sequence[int], side: int, classes: int) -> None:
        super().__init__()
        self.side, self.learned, self.size = side, sum(widths[-2:]), widths[-1] + 3 * widths[0]
        pairs = zip((3, *widths), widths, strict=False)
        self.stages = nn.ModuleList([FeatureStage(a, b, 2 if number else 1) for number, (a, b) in enumerate(pairs)])
        self.head = nn.Linear(self.learned, classes) if classes else None
        self.register_buffer("mean", torch.zeros(self.size))
        self.register_buffer("deviation", torch.ones(self.size))
        self.mean: Tensor
        self.deviation: Tensor

    def prepared(self, clips: Tensor) -> Tensor:
        """Turn RGB clips (B, 3, T, H, W) in [0, 255] into [-1, 1] of the network's size."""
        height, width = clips.shape[3:]
        scale = self.side / min(height, width)
        clips = clips / 127.5 - 1
        if scale >= 1:
            return clips
        return resized_clips(clips, (max(1, round(height * scale)), max(1, round(width * scale))), smooth=True)

    def maps(self, clips: Tensor) -> list[Tensor]:
        """Return what each stage makes of RGB clips (B, 3, T, H, W) in [0, 255]."""
        x, maps = self.prepared(clips), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    @staticmethod
    def pooled(maps: Sequence[Tensor]) -> Tensor:
        """Return what tasks are learned from: the means of the last two stages, (B, learned)."""
        return torch.cat([x.mean(dim=(2, 3, 4)) for x in maps[-2:]], dim=1)

    def described(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the features as they are, (B, D)."""
        first, last = maps[0], maps[-1]
        looks = first.flatten(3).std(dim=3, unbiased=False).mean(dim=2)  # B C T H W -> B C
        moves = first.std(dim=2, unbiased=False).mean(dim=(2, 3))
        return torch.cat([last.mean(dim=(2, 3, 4)), first.mean(dim=(2, 3, 4)), looks, moves], dim=1)

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return features (B, D), in units of their deviation among real clips, and logits (B, K) or None."""
        maps = self.maps(clips)
        features = (self.described(maps) - self.mean) / self.deviation
        return features, None if self.head is None else self.head(self.pooled(maps))

    @torch.no_grad()
    def standardise(self, features: Tensor) -> None:
        """Take mean and deviation of real clips' features (N, D), as `described` gives them, as origin and unit."""
        self.mean.copy_(features.mean(dim=0))
        deviation = features.std(dim=0)
        self.deviation.copy_(deviation.clamp(min=max(float(deviation.max()) * SPREAD, 1e-12)))


@dataclass(frozen=True)
class LearnedNetwork:
    """How a learned network was made: the content of its JSON file, apart from the digest."""

    name: str
    dataset_hash: str
    widths: tuple[int, ...]
    """Channels of the stages."""
    side: int
    """Pixels of the shorter side that clips are resized to."""
    frames: int
    """Frames of the clips that it was trained on."""
    fps: float
    labels: tuple[str, ...]
    """The classes of its logits; empty where it has none."""
    tasks: tuple[str, ...]
    """What it was trained for, such as `labels` and `speed`."""
    sources: tuple[str, ...]
    """The files whose clips it was trained on: evaluation leaves their clips out."""
    clips_seen: int
    seed: int
    """Of the split, the weights and the order of clips."""
    accuracy: dict[str, dict[str, float]]
    """For each task its accuracy on other clips, that of guessing, and the number of clips."""
    ladder: dict[str, Any]
    """What the corruption ladder came to; see `footage.evaluation.features.ladder.Ladder`."""
    weights: str = ""
    """File name of the weights."""
    weights_sha256: str = ""
    made_by: str = ""
    schema: int = SCHEMA

    @property
    def failures(self) -> tuple[str, ...]:
        """Why it may not be used: it learned nothing, or does not rank what it has to; empty where it may."""
        learned = [(x["accuracy"] - x["guessing"]) / (1 - x["guessing"]) >= LEARNED for x in self.accuracy.values()]
        said = ", ".join(
            f"{task} {tried['accuracy']:.0%} (guessing {tried['guessing']:.0%})"
            for task, tried in self.accuracy.items()
        )
        idle = () if any(learned) else (f"it learned nothing: {said or 'no task was tried'}",)
        return (*idle, *self.ladder.get("failures", ("it has not climbed the ladder",)))


def write_learned(path: Path, made: LearnedNetwork) -> None:
    """Write the JSON file, with a digest of its content."""
    value = asdict(made)
    files.write_json(path, {**value, "digest": files.json_digest(value)})


def read_learned(path: Path) -> LearnedNetwork:
    """Read and check the JSON file of a learned network.

    Args:
        path: the .json file, or the .safetensors file beside it.

    Raises:
        ModelError: it is missing, altered, or of a newer version.
    """
    path = Path(path)
    table = path.with_suffix(".json")
    try:
        value = json.loads(files.read_bytes(table))
    except FileNotFoundError:
        remedy = "give the .safetensors file that footage evaluator train wrote, with its .json beside it"
        raise ModelError(f'"{path}" is not a feature network (there is no {table.name})', meant(path, remedy)) from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{table} cannot be read ({error})", "train the network again") from None
    digest = value.pop("digest", None) if isinstance(value, dict) else None
    if isinstance(value, dict):
        files.refuse_newer(value.get("schema"), SCHEMA, table, ModelError)
    if digest is None or digest != files.json_digest(value):
        raise ModelError(f"{table} was altered after it was written (its digest differs)", "train the network again")
    try:
        known: dict[str, Any] = {key: tuple(item) if isinstance(item, list) else item for key, item in value.items()}
        return LearnedNetwork(**known)
    except TypeError as error:
        raise ModelError(f"{table} does not describe a feature network ({error})", "train the network again") from None


def load_learned(path: Path | str, device: torch.device | str = "cpu", unproven: bool = False) -> LearnedExtractor:
    """Load a network that `footage evaluator train` made: check every hash, name and shape, and the ladder's result.

    Args:
        path: the .safetensors file, or the .json file beside it.
        device: where it runs.
        unproven: also load one that has not passed the ladder, to look at it.

    Raises:
        ModelError: a file is missing, damaged or altered, or the network has not passed.
    """
    made = read_learned(Path(path))
    if made.failures and not unproven:
        raise ModelError(
            f"{Path(path).name} has not proven itself ({'; '.join(made.failures)})",
            "a distance of its features would mean nothing: train it on more clips, for longer, or with other --tasks",
        )
    file = Path(path).with_name(made.weights)
    if Path(made.weights).name != made.weights or file.suffix != ".safetensors":
        raise ModelError(f'the weights are named "{made.weights}", which is no file beside it', "train it again")
    try:
        content = files.read_bytes(file)
    except FileNotFoundError:
        raise ModelError(f"{file} is missing", "give the files as footage evaluator train wrote them") from None
    if files.bytes_digest(content) != made.weights_sha256:
        raise ModelError(f"{file} is not the file that its .json names (its SHA-256 differs)", "train it again")
    net = ClipNet(made.widths, made.side, len(made.labels))
    try:
        net.load_state_dict(deserialize(content))
    except (SafetensorError, RuntimeError) as error:
        raise ModelError(f"{file} does not fit its .json ({str(error)[:200]})", "train it again") from None
    return LearnedExtractor(net, made, device)


class LearnedExtractor(FrozenExtractor):
    """A learned network as an `Extractor`."""

    def __init__(self, net: ClipNet, made: LearnedNetwork, device: torch.device | str = "cpu") -> None:
        self.made = made
        classes = made.labels or None
        about = NetworkInfo(made.name, "B", made.weights_sha256, net.size, "clip", classes, LEAST, side=made.side)
        super().__init__(net, about, device)


def divide(source: ClipSource, share: float, seed: int = 0) -> tuple[list[Span], list[Span]]:
    """Divide clips by the file that they were cut from: those that the network learns from, and all others.

    It learns from a `share` of the training split's files, label by label; the others are of both splits.

    Raises:
        DatasetError: there are too few files, or all are held out.
    """
    groups: dict[int, dict[str, list[Span]]] = defaultdict(lambda: defaultdict(list))
    train = source.spans("train")
    if not train:
        raise empty_split(source, "train")
    for span in train:
        groups[span.label][span.source].append(span)
    own: list[Span] = []
    for files_of in groups.values():
        order = sorted(files_of, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).hexdigest())
        for name in order[: min(max(1, round(len(order) * share)), len(order) - 1)]:
            own += files_of[name]
    taken = {span.source for span in own}
    others = [span for span in (*train, *source.spans("heldout")) if span.source not in taken]
    if len(taken) < 2 or len({span.source for span in others}) < 4:
        raise DatasetError(
            f"{source.name} has too few files to train on some and to evaluate on others", "ingest more files"
        )
    return own, others


def left_over(source: ClipSource, spans: Sequence[Span], made: LearnedNetwork) -> list[Span]:
    """Return those of some clips that a network did not learn from: what may be evaluated with it.

    Clips of another data set are all of them; names are compared where the content hash is the same.
    """
    if source.content_hash != made.dataset_hash:
        return list(spans)
    taken = set(made.sources)
    if made.schema == 1:  # names up to the time; of what is drawn, numbers
        return [span for span in spans if (span.name.rpartition("@")[0] or span.name or f"#{span.index}") not in taken]
    return [span for span in spans if span.source not in taken]
