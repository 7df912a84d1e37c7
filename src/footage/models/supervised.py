"""Learning by example: what the methods share that know what they should have made; critics may help.

One update: the network makes what it is asked for, the critics learn on it, then the network learns from the examples
and from the critics' verdicts at once.
"""

from __future__ import annotations

import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import EllipsisType
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from footage.config import Config
from footage.config.registry import RECONSTRUCTION_LOSSES, imported
from footage.models.adversarial import augment
from footage.models.adversarial.critics import Critics, curves, gan_optimizer
from footage.models.base import Batch, Engine, MovingAverage, Sampler
from footage.models.layers import learn_levels

LOWEST = 0.01
"""Part of the learning rate that is left at the end of its fall."""

SMOOTH = 1e-2
"""Differences well below this count by their squares in Charbonnier's loss."""


def mse(difference: Tensor) -> Tensor:
    return difference.square().mean()


def l1(difference: Tensor) -> Tensor:
    return difference.abs().mean()


# sqrt(d^2 + e^2): Charbonnier et al. 1994; less e, so that no difference costs nothing.
def charbonnier(difference: Tensor) -> Tensor:
    """Return the mean of what is square near 0, and absolute far from it."""
    return (difference.square() + SMOOTH**2).sqrt().mean() - SMOOTH


SHIFT = 8
"""What patch critics see ends short of the clip by a part of its size, one in so many, and begins at random places."""


@dataclass
class StepOutput:
    """What a network made in one step, and what it came to."""

    loss: Tensor
    """What it is to minimise, without the critics' verdicts."""
    log: dict[str, Tensor]
    """What to log, detached."""
    judged: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """Real clips and fakes, with their way back to the network, by the target that critics judge."""


class SupervisedMethod(ABC):
    """A method that learns by example; see `footage.models.base.Method`."""

    adversarial: ClassVar[tuple[str, ...]] = ()
    """Networks that learn from critics alone, by the adversarial optimiser."""
    own_curves: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """What to plot before the loss and what critics log."""

    def __init__(self, config: Config, labels: int) -> None:
        self.config, self.labels = config, labels
        nets = self.sampling_nets(config, labels)
        self.averages = {name: MovingAverage(net, config.learn.ema) for name, net in nets.items()}
        targets = self.critic_targets(config)
        self.critics = {
            target: Critics(config, labels, config.judged_clip, config.net.width, target) for target in targets
        }
        for critics in self.critics.values():
            nets |= critics.nets
        self.nets = nn.ModuleDict(nets)
        self.optimizers: dict[str, Optimizer] = {}
        self.cycle = max((critics.cycle for critics in self.critics.values()), default=1)
        names = [name for critics in self.critics.values() for name in critics.names]
        self.curves: Mapping[str, tuple[str, ...]] = {**self.own_curves, **curves("loss", names)}

    @classmethod
    def critic_targets(cls, config: Config) -> tuple[str, ...]:
        """Return what is judged where there are critics: each target has critics of its own, named after it."""
        return ("",)

    def calibrate(self, batches: Iterable[Tensor]) -> None:
        channels = self.config.clip.channels
        nets = (*self.nets.values(), *(average.module for average in self.averages.values()))
        learn_levels((clips[:, :channels] for clips in batches), *nets)

    def build_optimizers(self) -> None:
        learn = self.config.learn
        for name in self.averages:
            self.optimizers[name] = (
                gan_optimizer(self.config, self.nets[name], self.config.gan.lr)
                if name in self.adversarial
                else Adam(self.nets[name].parameters(), learn.lr, betas=(learn.beta1, learn.beta2), fused=True)
            )
        for critics in self.critics.values():
            self.optimizers |= critics.build_optimizers(dict(self.nets))

    @abstractmethod
    def forward_step(self, batch: Batch, clips_seen: int, judged: bool) -> StepOutput:
        """Make what is asked for, from one batch; one pass through each of `nets` that takes part.

        Where it is not to be judged, nothing need be made for critics.
        """

    def step(self, batch: Batch, clips_seen: int, engine: Engine) -> dict[str, Tensor]:
        nets, learn = dict(self.nets), self.config.learn
        output = self.forward_step(batch, clips_seen, judged=clips_seen >= learn.critics_after)
        rates = {name: self.config.gan.lr if name in self.adversarial else learn.lr for name in self.averages}
        for critics in self.critics.values():
            rates |= critics.rates
        for name, most in rates.items():  # the critics' too: the balance between them does not shift
            for group in self.optimizers[name].param_groups:
                group["lr"] = most * rate(clips_seen, learn.warm_up, learn.decay)
        loss, log = output.loss, dict(output.log)
        with contextlib.ExitStack() as frozen:
            for target, shown in output.judged.items():
                critics = self.critics[target]
                views, figures = critics.update(nets, self.optimizers, batch, shown, clips_seen, engine)
                bare = {name: frozen.enter_context(engine.frozen(nets[name])) for name in views}
                if views:
                    loss = loss + critics.generator_loss(bare, views)
                    heldout = self.heldout_clips(batch, target)
                    if heldout is not None:
                        chance = augment.probability(self.config.augment, clips_seen)
                        figures |= critics.heldout_gaps(bare, views, batch, critics.augmented(heldout, batch, chance))
                log |= figures
            for name in self.averages:
                self.optimizers[name].zero_grad(set_to_none=True)
            engine.backward(loss)
            for name in self.averages:
                if learn.clip_gradient and name not in self.adversarial:
                    nn.utils.clip_grad_norm_(self.nets[name].parameters(), learn.clip_gradient)
                self.optimizers[name].step()
            if batch.heldout is not None:
                clips, labels = batch.heldout
                unseen = Batch(clips, labels, torch.Generator().manual_seed(0), len(clips))
                with torch.no_grad():
                    figures = self.forward_step(unseen, clips_seen, judged=False).log
                log |= {f"heldout_{key}": figure for key, figure in figures.items()}
        for name, average in self.averages.items():
            average.update(self.nets[name], clips_seen + batch.total, batch.total)
        return log | {"loss": loss.detach()}

    def window(self, batch: Batch) -> tuple[EllipsisType | slice, ...]:
        """Return the part of this step's clips, (B, C, T, H, W), that patch critics see; the same of all.

        Their strides and a pixel shuffle have the same period. Always in step with it, critics teach each
        of its phases something else, and edges become dotted lines. Critics of the whole, whose size is built in, see
        the whole.
        """
        clip = self.config.clip
        if not all(critic.patch for critic in self.config.critics):
            return (...,)
        spare = [side // SHIFT for side in (clip.height, clip.width)]
        y, x = (int(torch.randint(most + 1, (), generator=batch.rng)) for most in spare)
        return ..., slice(y, y + clip.height - spare[0]), slice(x, x + clip.width - spare[1])

    def critic_nets(self) -> list[nn.Module]:
        """Return the networks of all critics, as they now stand in `nets`."""
        return [self.nets[name] for critics in self.critics.values() for name in critics.nets]

    def heldout_clips(self, batch: Batch, target: str) -> Tensor | None:
        """Return held-out clips for the critics of a target, where there are any in this step."""
        return None if batch.heldout is None else batch.heldout[0][:, : self.config.clip.channels]

    def difference(self, output: Tensor, real: Tensor) -> Tensor:
        """Return the mean difference of clips, as `learn.loss` says."""
        return RECONSTRUCTION_LOSSES[self.config.learn.loss](output.to(real.dtype) - real)

    def sampler(self) -> Sampler:
        return self.sampler_of(self.config, {name: average.module for name, average in self.averages.items()})

    @classmethod
    def sampling_nets(cls, config: Config, labels: int) -> dict[str, nn.Module]:
        told = (labels,) if labels else ()  # the length of captions' vectors
        return {"generator": imported(config.net.network)(config.clip, config.net, config.task, *told)}

    @classmethod
    @abstractmethod
    def sampler_of(cls, config: Config, nets: dict[str, nn.Module]) -> Sampler:
        """Make a sampler of the networks of `sampling_nets`."""


def rate(clips_seen: int, warm_up: int, decay: int) -> float:
    """Return the part of the learning rate that holds: a linear rise, then half a cosine down to `LOWEST`.

    Args:
        clips_seen: so far.
        warm_up: when the rise ends; 0 for none.
        decay: when the fall ends; 0 for none.
    """
    rising = min(1.0, (clips_seen + 1) / warm_up) if warm_up else 1.0
    if not decay:
        return rising
    progress = min(1.0, max(0, clips_seen - warm_up) / (decay - warm_up))
    return rising * (LOWEST + (1 - LOWEST) * 0.5 * (1 + math.cos(math.pi * progress)))
