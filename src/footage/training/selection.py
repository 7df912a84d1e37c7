"""Choosing the best model of a run: a figure beside held-out clips now and then, and the best so far kept in best/.

A measurement changes nothing in the training: it makes clips with the averaged model from seeds of its own and takes no
random number from elsewhere: a run with it has the same weights as one without.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch

from footage import files
from footage.config import Config
from footage.data.clips import Loader
from footage.errors import ConfigError, ModelError, counted
from footage.evaluation.feature_cache import FeatureCache
from footage.evaluation.features.catalogue import networks
from footage.evaluation.figure_inputs import FigureInputs, NetworkGroup, label_of
from footage.evaluation.inputs import EvaluationInput, EvaluationPlan, plan_evaluation
from footage.evaluation.protocols import EvaluationOptions
from footage.evaluation.run import Evaluator
from footage.models import card
from footage.models.base import Sampler

SEED = 1_000_000
"""Seed of a measurement. `footage evaluate` begins at 0: its clips are others."""
CHOSEN = "chosen"
"""Key of what is known of the choice in model.json, under `extra`."""
METRICS = {"frechet": "fvd", "kernel": "kvd", "copies": "fvd,memorisation"}
"""Families of figures of the evaluator, by the figure that a model is chosen by."""
ALLOWED_COPIES = 0.02
"""Share of near-copies that is let pass whatever the held-out clips have: that many of 256 clips come by chance."""

Metric = Literal["frechet", "kernel", "copies"]
"""`frechet`: the Fréchet distance, as in FVD; `kernel`: the unbiased kernel distance, for few clips; `copies`: the
Fréchet distance among models with no more near-copies of training clips than held-out clips have, else fewest copies.
The fewest alone would always choose a model that has not learned anything yet."""


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
        for name, value, least in (("evaluate_every", self.every, 1), ("evaluate_clips", self.clips, 8)):
            if value < least:
                raise ConfigError(f"{name} is {value}", f"give at least {least}")


@dataclass(frozen=True)
class CopyShare:
    """How many of the clips of a measurement repeat training clips, in the space where it is most beyond what may be.

    A clip is a near-copy where its nearest training window is less than half as far as is usual for held-out clips, see
    `evaluation.memorisation`.
    """

    space: str
    """`pixels`, or the title of the networks."""
    made: float
    """Share of near-copies among the clips that were made."""
    unseen: float
    """The same share of held-out clips."""

    @property
    def excess(self) -> float:
        """By how much it is more than held-out clips have; 0 where that, or ALLOWED_COPIES, is not exceeded."""
        return max(0.0, self.made - max(self.unseen, ALLOWED_COPIES))


@dataclass(frozen=True)
class ModelInTraining:
    """A model that is being trained, as the evaluator sees it."""

    sampler: Sampler
    info: card.ModelInfo


class BestModel:
    """Measures a model beside held-out clips, and knows the best figure so far, which is kept in the folder `best`.

    The figure is that of `footage evaluate RUN DATA --split heldout --seed 1000000`, with the same number of clips.

    Raises:
        ConfigError: there are no held-out clips.
        ModelError: the evaluator is missing, damaged, or has not passed the ladder.
    """

    def __init__(
        self,
        choice: SelectionOptions,
        config: Config,
        heldout: Loader | None,
        best: Path,
        device: str = "cpu",
    ) -> None:
        if heldout is None:
            raise ConfigError(
                f"the data have no held-out clips of {counted(config.clip.frames, 'frame')} to choose a model by",
                "ingest with --heldout, or leave --evaluate-every out",
            )
        self.choice, self.frames, self.best = choice, config.clip.frames, best
        self.source = heldout.source
        self.options = EvaluationOptions(
            metrics=METRICS[choice.metric],
            clips=choice.clips,
            split="heldout",
            evaluator=choice.evaluator,
            resamples=0,
            seed=SEED,
            device=cast(Literal["cpu"], device),
        )
        self.nets = networks(self.options, config.clip.channels)
        self.seconds = 0.0
        """What all measurements took."""
        self._known: FigureInputs | None = None  # the real clips and the floor, measured once
        self.floor: float | None = None
        """The figure of real clips in place of what is made; None where they are too few."""
        self.copies: CopyShare | None = None
        """Near-copies of the model that was measured last; None where a model is not chosen by them."""

    @property
    def distance(self) -> Literal["frechet", "kernel"]:
        """The distance that is measured, whatever else is."""
        return "frechet" if self.choice.metric == "copies" else self.choice.metric

    @property
    def name(self) -> str:
        """What the figure is called. Never FVD: that takes the official network."""
        group = NetworkGroup(tuple(net.about for net in self.nets))
        return label_of(self.distance, group, self.frames, 1)

    def row(self, value: float) -> dict[str, float]:
        """Return the figures of the last measurement by their names in metrics.jsonl."""
        copies = {} if self.copies is None else {"heldout_copies": self.copies.made}
        return {f"heldout_{self.distance}": value} | copies

    @property
    def digest(self) -> str:
        """Identifies what figures can be compared with each other."""
        nets = [net.about.digest for net in self.nets]
        spans = [[span.index, span.frames] for span in self.source.spans("heldout")]
        how = [self.options.protocol, self.choice.clips, self.choice.metric, SEED]
        return files.json_digest([self.source.content_hash, spans, nets, how])

    def best_so_far(self) -> dict[str, Any] | None:
        """Return what is known of the best model's choice; None where there is none by the same figure."""
        try:
            known = card.read_info(self.best).extra.get(CHOSEN)
        except ModelError:
            return None
        return known if isinstance(known, dict) and known.get("digest") == self.digest else None

    def plan(self, sampler: Sampler, info: card.ModelInfo) -> EvaluationPlan:
        """Return the two sides of a measurement: the model, and held-out clips."""
        info = dataclasses.replace(info, weights_sha256="in training")  # nothing that is made with them is kept
        model = EvaluationInput("the model in training", "model", model=ModelInTraining(sampler, info))
        return plan_evaluation(model, EvaluationInput(self.source.name, "dataset", clips=self.source), self.options)

    def measure(self, sampler: Sampler, info: card.ModelInfo) -> float:
        """Return the distance of a model: the mean over the networks; lower is better. `copies` are set beside it.

        Raises:
            ConfigError: the model makes single frames, of which there is no such figure; or a model is to be chosen by
                copies, and the real clips are too few or too alike to say what one is.
        """
        since = time.perf_counter()
        with (
            torch.random.fork_rng(devices=[]),
            FeatureCache(None, hidden=True) as cache,
        ):  # whatever a sampler may draw from
            evaluator = Evaluator(self.plan(sampler, info), self.options, cache, nets=self.nets)
            inputs = evaluator.figure_inputs(known=self._known)
            figures, _ = evaluator.figures(inputs)
            if self._known is None:
                self._known = inputs.real_in_memory()
            if self.choice.metric == "copies":
                memorisation = evaluator.memorisation(inputs)
                if memorisation is None:
                    raise ConfigError(
                        f"evaluate_metric is copies, and {self.source.name} has too few clips that differ from each "
                        "other to say what a copy is",
                        "ingest more clips, or give --evaluate-metric frechet",
                    )
                shares = [CopyShare(space.name, space.below, space.below_real) for space in memorisation.spaces]
                self.copies = max(shares, key=lambda share: (share.excess, share.made))
        if not figures or figures[0].value is None:
            raise ConfigError("single frames have no such figure", "leave --evaluate-every out")
        self.floor = None if figures[0].floor is None else figures[0].floor.value
        self.seconds += time.perf_counter() - since
        return figures[0].value

    def is_best(self, value: float) -> bool:
        """Return whether the model that was measured last, at this distance, is as good as the best so far, or better.

        One whose near-copies are within what may be is better than one with too many; of two that have too many, the
        one with fewer.
        """
        known = self.best_so_far()
        if known is None:
            return True
        excess = 0.0 if self.copies is None else self.copies.excess
        before = CopyShare(**known["copies"]).excess if "copies" in known else 0.0
        return (excess, value) <= (before, known["value"])

    def describe(self, value: float) -> str:
        """Say what was measured last, and what real clips have in its place."""
        floor = "" if self.floor is None else f" (real clips: {self.floor:.4g})"
        if self.copies is None:
            return f"{self.name} {value:.4g} beside held-out clips{floor}"
        shares = f"near-copies in {self.copies.space} {self.copies.made:.1%} (unseen clips: {self.copies.unseen:.1%})"
        return f"{self.name} {value:.4g} beside held-out clips{floor}, {shares}"

    def note(self, value: float) -> dict[str, Any]:
        """Return what model.json says of a choice, under `extra`."""
        return {
            CHOSEN: {
                "figure": self.name,
                "metric": self.choice.metric,
                "value": value,
                "floor": self.floor,
                **({} if self.copies is None else {"copies": dataclasses.asdict(self.copies)}),
                "clips": self.choice.clips,
                "seed": SEED,
                "split": "heldout",
                "networks": {net.about.name: net.about.digest for net in self.nets},
                "digest": self.digest,
            }
        }
