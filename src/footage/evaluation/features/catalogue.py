"""The feature networks by name, those that an evaluation uses, and the random ones of tier C.

Random (2+1)D convolutions need no weights from anywhere. A Fréchet distance of their features is called RFD-rand. It
is no FVD and not comparable with one: it serves to rank models of one data set beside each other, and to notice when
something breaks. `benchmarks/features.py` shows which corruptions of real clips it ranks by their strength, and which
it does not see.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from footage.errors import ConfigError, nearest
from footage.evaluation.features import Extractor, Frames, NetworkInfo, in_parts, tensors_digest, to_rgb
from footage.evaluation.features.learned import load_learned
from footage.evaluation.features.lpips import Perceptual
from footage.evaluation.features.official import OFFICIAL, load_official, load_perceptual
from footage.evaluation.features.pretrained import load_pretrained
from footage.evaluation.protocols import EvaluationOptions
from footage.evaluation.results import Network
from footage.metrics.clip_vectors import LEAST, SEEDS, RandomFeatures
from footage.models.feature_networks import FEATURE_NETWORKS


class RandomExtractor:
    """The random network of one seed as an `Extractor` of clips with 1 or 3 channels."""

    def __init__(self, channels: int = 3, seed: int = 0, device: torch.device | str = "cpu") -> None:
        self.net, self.device = RandomFeatures(channels, seed).to(device), device
        digest = tensors_digest(self.net.named_buffers())
        self.about = NetworkInfo(f"random-{seed}", "C", digest, self.net.size, "clip", None, LEAST)

    def features(self, frames: Frames) -> Tensor:
        parts = []
        for part in in_parts(frames):
            clips = to_rgb(part, self.device).div_(127.5).sub_(1)[:, : self.net.channels]
            parts.append(cast(Tensor, self.net(clips)).cpu())
        return torch.cat(parts)

    def logits(self, frames: Frames) -> Tensor | None:
        return None


RANDOM, LEARNED = "random", "learned"
"""The names of all random networks together, and of the one that `--evaluator` gives."""


def extractors(
    names: Sequence[str] = (),
    channels: int = 3,
    weights: Path | None = None,
    evaluator: Path | None = None,
    *,
    device: torch.device | str = "cpu",
) -> list[Extractor]:
    """Return feature networks by their names.

    Args:
        names: `random` for the five networks of tier C, `learned` for the one that `evaluator` gives, one of
            FEATURE_NETWORKS for tier P, or one of OFFICIAL. Nothing for the usual: `learned` where `evaluator` is
            given, and `random`.
        channels: of the clips, 1 or 3.
        weights: the file of an official network's weights, or a folder that has those of several.
        evaluator: the file of a network that `footage evaluator train` made.
        device: where they run.

    Raises:
        ConfigError: a name is not known or that of a network that compares pairs, or `learned` is asked for without
            `evaluator`.
        ModelError: a file or wheel is missing, another one than it should be, damaged, or has not passed the ladder.
    """
    nets: list[Extractor] = []
    for name in names or ((LEARNED, RANDOM) if evaluator is not None else (RANDOM,)):
        if name == RANDOM:
            nets += [RandomExtractor(channels, seed, device) for seed in SEEDS]
        elif name == LEARNED:
            if evaluator is None:
                remedy = "give --evaluator FILE, made with: footage evaluator train DATASET --to FILE"
                raise ConfigError('feature network "learned" has no file', remedy)
            nets.append(load_learned(evaluator, device))
        elif name in FEATURE_NETWORKS:
            nets.append(load_pretrained(name, device))
        elif name in OFFICIAL and OFFICIAL[name].of == "pair":
            raise ConfigError(f"{name} compares pairs of frames and makes no features", "give another network")
        elif name in OFFICIAL:
            nets.append(load_official(name, weights, device=device))
        else:
            known = [RANDOM, LEARNED, *FEATURE_NETWORKS, *OFFICIAL]
            raise ConfigError(f'feature network "{name}" is not known', nearest(name, known))
    return nets


def networks(options: EvaluationOptions, channels: int) -> list[Extractor]:
    """Return the feature networks that were asked for, for clips of 1 or 3 channels.

    Without names, the official networks that `weights` holds and the learned one of `evaluator`; the random ones where
    there is neither.

    Raises:
        ConfigError: a name is not known, or a file of weights does not tell which network it is for.
        ModelError: a file is missing, another one than it should be, or damaged.
    """
    names = tuple(name for name in _names(options) if not _compares(name))
    nets = extractors(
        names or (RANDOM,),
        channels,
        weights=options.weights,
        evaluator=options.evaluator,
        device=torch.device(options.device),
    )
    twice = [net.about.name for net in nets]
    if len(set(twice)) < len(twice):
        raise ConfigError(f"networks are {', '.join(names)}, and one comes twice", "name each once")
    return nets


def comparing(options: EvaluationOptions) -> tuple[str, ...]:
    """Return the names of the networks that compare answers with the truth, frame by frame."""
    return tuple(dict.fromkeys(name for name in _names(options) if _compares(name)))


def perceptual(options: EvaluationOptions) -> list[Perceptual]:
    """Return the networks that compare answers with the truth; there are none without weights.

    Raises:
        ConfigError: a file of weights does not tell which network it is for.
        ModelError: a file is missing, another one than it should be, or damaged.
    """
    device = torch.device(options.device)
    return [load_perceptual(name, options.weights, device=device) for name in comparing(options)]


def _names(options: EvaluationOptions) -> tuple[str, ...]:
    return options.network_names or (
        *(() if options.weights is None else names_in(options.weights)),
        *(() if options.evaluator is None else (LEARNED,)),
    )


def _compares(name: str) -> bool:
    return name in OFFICIAL and OFFICIAL[name].of == "pair"


def names_in(weights: Path) -> tuple[str, ...]:
    """Return the official networks that a file, or the files of a folder, are for, by the files' names.

    Raises:
        ConfigError: there is none.
    """
    there = sorted(weights.iterdir()) if weights.is_dir() else [weights]
    names = []
    for path in there:
        fitting = [name for name, entry in OFFICIAL.items() if path.name == entry.file]
        if path.suffix == ".safetensors":
            fitting = sorted((name for name in OFFICIAL if path.name.startswith(f"{name}-")), key=len)
        names += fitting[-1:]
    if not names:
        raise ConfigError(
            f'the name of "{weights}" does not tell which network its weights are for',
            f"give --networks with one of {', '.join(OFFICIAL)}",
        )
    return tuple(dict.fromkeys(names))


def network_of(about: NetworkInfo) -> Network:
    """Describe a network for figures.json."""
    return Network(about.name, about.tier, about.digest, about.size, about.of, len(about.classes or ()), about.note)
