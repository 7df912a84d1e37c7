"""Which networks an evaluation uses: those that were asked for, else those that there are weights of."""

from __future__ import annotations

from pathlib import Path

import torch

from footage.errors import ConfigError
from footage.evaluation.features.base import About, Extractor
from footage.evaluation.features.catalogue import LEARNED, RANDOM, extractors
from footage.evaluation.features.lpips import Perceptual
from footage.evaluation.features.official import OFFICIAL
from footage.evaluation.features.weights import load_perceptual
from footage.evaluation.plan import Options
from footage.evaluation.results import Network


def networks(options: Options, channels: int) -> list[Extractor]:
    """Return the feature networks.

    Args:
        options: names and files, as they were asked for. Without names, the official networks that `weights` holds and
            the learned one of `evaluator`; the random ones where there is neither.
        channels: of the clips.

    Raises:
        ConfigError: a name is not known, or a file of weights does not tell which network it is for.
        ModelError: a file is missing, another one than it should be, or damaged.
    """
    names = tuple(name for name in _names(options) if not _compares(name))
    found = extractors(
        names or (RANDOM,),
        channels,
        weights=options.weights,
        evaluator=options.evaluator,
        device=torch.device(options.device),
    )
    twice = [net.about.name for net in found]
    if len(set(twice)) < len(twice):
        raise ConfigError(f"networks are {', '.join(names)}, and one comes twice", "name each once")
    return found


def comparing(options: Options) -> tuple[str, ...]:
    """Return the names of the networks that compare answers with the truth, frame by frame."""
    return tuple(dict.fromkeys(name for name in _names(options) if _compares(name)))


def perceptual(options: Options) -> list[Perceptual]:
    """Return the networks that compare answers with the truth; there are none without weights.

    Raises:
        ConfigError: a file of weights does not tell which network it is for.
        ModelError: a file is missing, another one than it should be, or damaged.
    """
    device = torch.device(options.device)
    return [load_perceptual(name, options.weights, device=device) for name in comparing(options)]


def _names(options: Options) -> tuple[str, ...]:
    return options.networks or (
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
    found = []
    for path in there:
        fitting = [name for name, entry in OFFICIAL.items() if path.name == entry.file]
        if path.suffix == ".safetensors":
            fitting = sorted((name for name in OFFICIAL if path.name.startswith(f"{name}-")), key=len)
        found += fitting[-1:]
    if not found:
        raise ConfigError(
            f'the name of "{weights}" does not tell which network its weights are for',
            f"give --networks with one of {', '.join(OFFICIAL)}",
        )
    return tuple(dict.fromkeys(found))


def network_of(about: About) -> Network:
    """Describe a network for figures.json."""
    return Network(about.name, about.tier, about.digest, about.size, about.of, len(about.classes or ()), about.note)
