"""Generative adversarial training: any generator against any number of critics.

The loss, its penalties and the augmentation are common to all critics. The fakes' labels are those of the real clips
beside them, hence the data's marginal. Fakes are made once a step, for every critic and for the generator.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from footage.config import Config
from footage.config.registry import imported
from footage.models.adversarial import augment, penalties
from footage.models.adversarial.critics import Critics, anneal, curves, gan_optimizer
from footage.models.base import Batch, Engine, MovingAverage, Sampler
from footage.models.generators import GeneratorConfig
from footage.models.layers import Generator, GeneratorOutput, learn_levels


class Gan:
    """A generator and its critics; see `footage.models.base.Method`."""

    critics_class: ClassVar = Critics

    def __init__(self, config: Config, labels: int) -> None:
        self.config = config
        nets = self.sampling_nets(config, labels)
        self.averages = {name: MovingAverage(net, config.gan.ema) for name, net in nets.items()}
        generator = nets["generator"]
        assert isinstance(generator, Generator)
        self.shapes = generator.noise(config.clip.frames)
        self.critics: Critics = self.critics_class(config, labels, config.clip, config.net.width)
        self.nets = nn.ModuleDict(nets | self.critics.nets)
        self.optimizers: dict[str, Optimizer] = {}
        self.cycle = self.critics.cycle
        self.curves: Mapping[str, tuple[str, ...]] = curves("generator_loss", self.critics.names)

    def calibrate(self, batches: Iterable[Tensor]) -> None:
        learn_levels(batches, self.nets, *(average.module for average in self.averages.values()))

    def build_optimizers(self) -> None:
        self.optimizers["generator"] = gan_optimizer(self.config, self.nets["generator"], self.config.gan.lr)
        self.optimizers |= self.critics.build_optimizers(dict(self.nets))

    def step(self, batch: Batch, clips_seen: int, engine: Engine) -> dict[str, Tensor]:
        """Update the critics whose turn it is, and at the end of each round the generator, on the same fakes."""
        gan = self.config.gan
        rates = {"generator": gan.lr} | self.critics.rates
        anneal(gan, ((self.optimizers[name], rate) for name, rate in rates.items()), clips_seen)
        last = self.critics.left(clips_seen // batch.total) == 0
        noise = {name: batch.normal(*shape) for name, shape in self.shapes.items()}
        with torch.set_grad_enabled(last):
            fakes: GeneratorOutput = self.nets["generator"](noise, batch.labels)
        shown = (batch.clips, fakes.clips)
        views, log = self.critics.update(dict(self.nets), self.optimizers, batch, shown, clips_seen, engine)
        if last:
            chance = augment.probability(self.config.augment, clips_seen)
            heldout = None if batch.heldout is None else self.critics.augmented(batch.heldout[0], batch, chance)
            with contextlib.ExitStack() as frozen:
                bare = {name: frozen.enter_context(engine.frozen(self.nets[name])) for name in views}
                loss = fakes.penalty
                if gan.periodicity == "loop":
                    loss = loss + gan.periodicity_weight * penalties.loop(fakes.clips.float(), gan.period)
                elif gan.periodicity == "avoid":
                    real = engine.mean(penalties.motion_autocorrelation(batch.clips).mean(dim=0))
                    own = penalties.motion_autocorrelation(fakes.clips.float()).mean(dim=0)
                    whole = engine.mean(own) + own - own.detach()  # over all processes, with this one's gradient
                    loss = loss + gan.periodicity_weight * penalties.avoid_period(whole, real)
                loss = loss + self.critics.generator_loss(bare, views)
                self.optimizers["generator"].zero_grad(set_to_none=True)
                engine.backward(loss)
                self.optimizers["generator"].step()
                if heldout is not None:
                    log |= self.critics.heldout_gaps(bare, views, batch, heldout)
            log["generator_loss"] = loss.detach()
            done = batch.total * self.critics.round
            self.averages["generator"].update(self.nets["generator"], clips_seen + batch.total, done)
        return log

    def sampler(self) -> Sampler:
        return self.sampler_of(self.config, {name: average.module for name, average in self.averages.items()})

    @classmethod
    def sampling_nets(cls, config: Config, labels: int) -> dict[str, nn.Module]:
        generator: Generator = imported(_net(config).network)(config.clip, config.net, labels)
        return {"generator": generator}

    @classmethod
    def sampler_of(cls, config: Config, nets: dict[str, nn.Module]) -> Sampler:
        sampler: Sampler = imported(_net(config).sampler)(config.clip, nets["generator"])
        return sampler


def _net(config: Config) -> GeneratorConfig:
    assert isinstance(config.net, GeneratorConfig)
    return config.net
