"""Choosing the best model of a run: a figure beside held-out clips now and then, and the best so far kept in best/.

A measurement changes nothing in the training: it makes clips with the averaged model from seeds of its own and takes no
random number from elsewhere: a run with it has the same weights as one without.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from footage import files
from footage.config import Config
from footage.data.clips import Loader
from footage.data.store import Frames
from footage.errors import ConfigError, ModelError
from footage.evaluation.features import Extractor, catalogue
from footage.generation.rollout import draw_label, from_uint8, to_uint8, videos
from footage.metrics.distances import frechet, gaussian, kernel_distance
from footage.models import card
from footage.models.base import Generates, Sampler

BATCH = 16
"""Clips that are made or read at once."""
SEED = 1_000_000
"""Seed of the first clip that is made. `footage evaluate` begins at 0: its clips are others."""
CHOSEN = "chosen"
"""Key of what is known of the choice in model.json, under `extra`."""

Metric = Literal["frechet", "kernel"]
"""`frechet`: the Fréchet distance, as in FVD; `kernel`: the unbiased kernel distance, for few clips."""
Features = list[npt.NDArray[np.float32]]


@dataclass(frozen=True)
class SelectionOptions:
    """How the best model of a run is chosen."""

    every: int
    """Training clips between two measurements."""
    clips: int = 256
    """Clips that are made for one, and windows of held-out clips."""
    metric: Metric = "frechet"
    """What is measured; the lowest is best."""
    evaluator: Path | None = None
    """A feature network that `footage evaluator train` has made; None for random ones."""

    def __post_init__(self) -> None:
        """Refuse numbers that cannot work."""
        for name, value, least in (("evaluate_every", self.every, 1), ("evaluate_clips", self.clips, 8)):
            if value < least:
                raise ConfigError(f"{name} is {value}", f"give at least {least}")


class BestModel:
    """Measures a model beside held-out clips, and knows the best figure so far.

    Args:
        choice: how.
        config: the run's configuration.
        loader: its training clips, for the floor.
        heldout: its held-out clips.
        label_shares: how often each class stands in the training clips; empty for an unconditional model.
        best: where the best model is kept.
        device: where the feature networks run.

    Raises:
        ConfigError: there are no held-out clips.
        ModelError: the evaluator is missing, damaged, or has not passed the ladder.
    """

    def __init__(
        self,
        choice: SelectionOptions,
        config: Config,
        loader: Loader,
        heldout: Loader | None,
        label_shares: Sequence[float],
        best: Path,
        device: str = "cpu",
    ) -> None:
        if heldout is None:
            raise ConfigError(
                f"the data have no held-out clips of {config.clip.frames} frames to choose a model by",
                "ingest with --heldout, or leave --evaluate-every out",
            )
        self.choice, self.clip, self.best = choice, config.clip, best
        self.train, self.heldout = (_windows_of(source, config) for source in (loader, heldout))
        self.label_shares = label_shares
        name = catalogue.RANDOM if choice.evaluator is None else catalogue.LEARNED
        self.nets: list[Extractor] = catalogue.extractors(
            (name,), config.clip.channels, evaluator=choice.evaluator, device=device
        )
        self.seconds = 0.0
        """What all measurements took."""
        self._real: Features = []
        self.floor = 0.0
        """The figure of training clips in place of what is made."""

    @property
    def name(self) -> str:
        """What the figure is called. Never FVD: that takes the official network."""
        about = self.nets[0].about
        if about.tier == "C":
            return {"frechet": "RFD-rand", "kernel": "RKD-rand"}[self.choice.metric]
        short = {"frechet": "FVD", "kernel": "KVD"}[self.choice.metric]
        return f"{short}-self[{about.name}, {about.digest[:8]}]"

    @property
    def key(self) -> str:
        """The name of its figure in metrics.jsonl."""
        return f"heldout_{self.choice.metric}"

    @property
    def digest(self) -> str:
        """Identifies what figures can be compared with each other."""
        nets = [net.about.digest for net in self.nets]
        units = [[unit.span.index, unit.first, unit.starts] for unit in self.heldout.units]
        source = self.heldout.source.content_hash
        return files.json_digest([source, units, nets, self.choice.clips, self.choice.metric, SEED])

    def best_so_far(self) -> dict[str, Any] | None:
        """Return what is known of the best model's choice; None where there is none by the same figure."""
        try:
            known = card.read_info(self.best).extra.get(CHOSEN)
        except ModelError:
            return None
        return known if isinstance(known, dict) and known.get("digest") == self.digest else None

    def measure(self, sampler: Sampler) -> float:
        """Return the figure of a model: the mean over the networks; lower is better."""
        since = time.perf_counter()
        with torch.random.fork_rng(devices=[]):  # whatever a sampler may draw from
            if not self._real:
                given = sampler.given
                self._real = self._features(clips[:, given:] for clips in self._windows(self.heldout))
                shown = self._features(clips[:, given:] for clips in self._windows(self.train))
                self.floor = self._compare(shown)
            found = self._compare(self._features(self._made(sampler)))
        self.seconds += time.perf_counter() - since
        return found

    def note(self, value: float) -> dict[str, Any]:
        """Return what model.json says of a choice, under `extra`."""
        return {
            CHOSEN: {
                "figure": self.name,
                "metric": self.choice.metric,
                "value": value,
                "floor": self.floor,
                "clips": self.choice.clips,
                "seed": SEED,
                "split": "heldout",
                "networks": {net.about.name: net.about.digest for net in self.nets},
                "digest": self.digest,
            }
        }

    def _compare(self, made: Features) -> float:
        if self.choice.metric == "kernel":
            return statistics.mean(kernel_distance(a, b).value for a, b in zip(made, self._real, strict=True))
        return statistics.mean(frechet(gaussian(a), gaussian(b)) for a, b in zip(made, self._real, strict=True))

    def _features(self, batches: Iterator[Frames]) -> Features:
        """Return the features of clips that pass by, (N, D) by each network."""
        found: list[Features] = [[] for _ in self.nets]
        for clips in batches:
            for net, kept in zip(self.nets, found, strict=True):
                kept.append(net.features(clips).numpy())
        return [np.concatenate(kept) for kept in found]

    def _windows(self, loader: Loader, guides: bool = False) -> Iterator[Frames]:
        """Yield windows of real clips, uint8 (B, T, H, W, C); with `guides` also what they are made from."""
        count = self.choice.clips
        for first in range(0, count, BATCH):
            clips = loader.batch(first)[0][: count - first]
            yield clips if guides else np.ascontiguousarray(clips[..., : self.clip.channels])

    def _made(self, sampler: Sampler) -> Iterator[Frames]:
        """Yield what the model makes: from seeds, or of the held-out windows, without the frames that it is given."""
        if not isinstance(sampler, Generates):
            for clips in self._windows(self.heldout, guides=True):
                shown = sampler.preview(from_uint8(clips), None)
                yield to_uint8(next(iter(shown.values())))[:, sampler.given :]
            return
        shares = self.label_shares
        for first in range(SEED, SEED + self.choice.clips, BATCH):
            seeds = range(first, min(first + BATCH, SEED + self.choice.clips))
            labels = [draw_label(shares, seed) for seed in seeds] if shares else None
            yield np.concatenate(list(videos(sampler, seeds, labels, self.clip.frames)), axis=1)


def _windows_of(loader: Loader, config: Config) -> Loader:
    """Return a loader of the same stretches in batches of its own."""
    split: Literal["train"] = "train"
    found = Loader(loader.source, split, frames=config.clip.frames, batch_size=BATCH, seed=config.train.seed)
    found.units = loader.units
    return found
