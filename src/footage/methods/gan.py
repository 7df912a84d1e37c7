"""Generative adversarial training: any generator against any number of critics.

Each critic has its own optimiser, weight and schedule; the loss, its penalties and the augmentation are common to all.
Penalties are lazy, at every n-th of a critic's updates (Karras et al. 2020, appendix B, but the rates and betas
stay). The fakes' labels are those of the real clips beside them, hence the data's marginal. Fakes are made once a step,
for every critic and for the generator.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer, RMSprop

from footage import augment, penalties
from footage.config import Config
from footage.ema import MovingAverage
from footage.methods.adversary import Adversary, Scene
from footage.methods.base import Batch, Engine, Sampler, Sign
from footage.methods.samplers import FixedSampler, RollingSampler
from footage.nets.blocks import Generator, Levels, Made
from footage.nets.conv3d import Conv3dGenerator
from footage.nets.critics import make_critic
from footage.nets.mlp import MlpGenerator
from footage.nets.recurrent import RecurrentGenerator

GENERATORS: dict[str, type[Generator]] = {
    "mlp": MlpGenerator,
    "conv3d": Conv3dGenerator,
    "recurrent": RecurrentGenerator,
}
"""Every generator, by the `kind` of its configuration."""
WON = 8.0
"""Gap between the mean logits of real and fake clips above which a critic has won: it tells them apart by e^8."""
LOGISTIC = ("minimax", "non-saturating", "relativistic")
"""Losses whose logits are logarithms of odds."""
LEARNED, APART = 0.8, 2.0
"""A critic knows the training clips by heart when the held-out gap is more than `LEARNED` of that between real and fake
clips, and the latter is at least `APART`: below, it is mostly noise."""


def critic_names(config: Config) -> list[str]:
    """Return a name for each critic, from its network or what it sees; a number tells apart those of one name."""
    plain: list[str] = [critic.sees if critic.net == "conv" else critic.net for critic in config.critics]
    plain = [name + ("_patch" if critic.patch else "") for name, critic in zip(plain, config.critics, strict=True)]
    return [name if plain.count(name) == 1 else f"{name}{plain[:i].count(name) + 1}" for i, name in enumerate(plain)]


class Gan:
    """A generator and its critics; see `footage.methods.base.Method`.

    Args:
        config: the whole configuration.
        labels: number of labels; 0 for an unconditional model.
    """

    remedies: Mapping[str, str] = {
        "critic won": "a penalty (--gan.r1), or ten times as much of it, half of --gan.critic-lr, or more clips",
        "learned by heart": "--augment.probability 0.3, a larger --gan.r1, or more clips",
        "grey": "a lower --gan.lr, or start again with another --train.seed",
        "frozen": "train longer; a lower rate (ingest with a lower --fps) makes motion easier to see",
        "collapsed": "a larger --train.batch-size, ten times --gan.r1, or a lower --gan.lr",
        "diverged": "lower --gan.lr and --gan.critic-lr, or give --train.precision fp32",
    }

    def __init__(self, config: Config, labels: int) -> None:
        self.config = config
        nets = self.sampling_nets(config, labels)
        self.averages = {name: MovingAverage(net, config.gan.ema) for name, net in nets.items()}
        generator = nets["generator"]
        assert isinstance(generator, Generator)
        self.shapes = generator.noise(config.clip.frames)
        self.adversaries: dict[str, Adversary] = {}
        for name, critic in zip(critic_names(config), config.critics, strict=True):
            nets[f"critic_{name}"] = make_critic(critic, config.clip, critic.width or config.net.width, labels)
            self.adversaries[f"critic_{name}"] = Adversary(name, critic, config)
        self.nets = nn.ModuleDict(nets)
        self.optimizers: dict[str, Optimizer] = {}
        self.round = max(critic.steps for critic in config.critics)
        self.cycle = self.round * config.gan.penalty_every
        names = [adversary.name for adversary in self.adversaries.values()]
        self.curves: Mapping[str, tuple[str, ...]] = {
            "Losses": ("generator_loss", *(f"{name}_loss" for name in names)),
            "Logits of the critics": tuple(f"{name}_{what}" for name in names for what in ("real", "fake")),
            "Held-out gap: logits of training less held-out clips": tuple(f"{name}_heldout_gap" for name in names),
        }

    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Tell all networks mean and standard deviation of the channels of real clips, (B, C, T, H, W) each."""
        count, total, squares = 0, torch.zeros(()), torch.zeros(())
        for clips in batches:
            pixels = clips.transpose(0, 1).flatten(1)  # C (B T H W)
            count += pixels.shape[1]
            total = total + pixels.sum(dim=1, dtype=torch.float64)
            squares = squares + pixels.square().sum(dim=1, dtype=torch.float64)
        mean = total / count
        sd = (squares / count - mean.square()).clamp(min=0).sqrt()
        for nets in (self.nets, *(average.module for average in self.averages.values())):
            for module in nets.modules():
                if isinstance(module, Levels):
                    module.learn(mean.float(), sd.float())

    def build_optimizers(self) -> None:
        """Make an optimiser for each network."""
        gan = self.config.gan
        rates = {name: a.critic.lr or gan.critic_lr for name, a in self.adversaries.items()}
        for name, rate in {"generator": gan.lr, **rates}.items():
            weights = self.nets[name].parameters()
            self.optimizers[name] = (
                Adam(weights, rate, betas=(gan.beta1, gan.beta2), fused=True)
                if gan.optimizer == "adam"
                else RMSprop(weights, rate, alpha=gan.beta2, foreach=True)
            )

    def step(self, batch: Batch, clips_seen: int, engine: Engine) -> dict[str, Tensor]:
        """Update the critics whose turn it is, and at the end of each round the generator, on the same fakes.

        A round has as many steps as the most diligent critic makes; one with k updates makes them in its last k.
        """
        number = clips_seen // batch.total
        left = self.round - 1 - number % self.round  # steps to the end of the round
        made = self._make(batch, learning=left == 0)
        chance = augment.probability(self.config.augment, clips_seen)
        reals, fakes = (self._augmented(clips, batch, chance) for clips in (batch.clips, made.clips))
        log: dict[str, Tensor] = {}
        scenes: dict[str, Scene] = {}
        for name, adversary in self.adversaries.items():
            if left < adversary.critic.steps:
                scenes[name] = adversary.scene(batch, reals, fakes)
                steps = adversary.critic.steps
                updates = number // self.round * steps + steps - 1 - left  # this critic's own, so far
                penalised = updates % self.config.gan.penalty_every == 0
                loss, said = adversary.learn(self.nets[name], scenes[name], batch, penalised)
                self._update(name, loss, engine)
                if self.config.gan.clip_weights:
                    penalties.clip_weights_(self.nets[name], self.config.gan.clip_weights)
                log |= said
        if left == 0:
            heldout = None if batch.heldout is None else self._augmented(batch.heldout[0], batch, chance)
            log |= self._generator_step(batch, scenes, made, heldout, engine)
            done = batch.total * self.round
            self.averages["generator"].update(self.nets["generator"], clips_seen + batch.total, done)
        return log

    def _make(self, batch: Batch, learning: bool) -> Made:
        """Make as many fakes as there are real clips, with their labels."""
        shapes = self.shapes
        noise = {name: batch.normal(*shape) for name, shape in shapes.items()}
        with torch.set_grad_enabled(learning):
            made: Made = self.nets["generator"](noise, batch.labels)
        return made

    def _augmented(self, clips: Tensor, batch: Batch, chance: float) -> Tensor:
        """Change clips at random, each in its own way; reals and fakes have the same chances."""
        if chance == 0:
            return clips
        drawn = augment.draw(self.config.augment, chance, batch.total, batch.rng)
        return augment.apply(drawn.part(batch.first, len(clips)).to(clips.device), clips)

    def _generator_step(
        self, batch: Batch, scenes: Mapping[str, Scene], made: Made, heldout: Tensor | None, engine: Engine
    ) -> dict[str, Tensor]:
        log: dict[str, Tensor] = {}
        with contextlib.ExitStack() as frozen:
            bare = {name: frozen.enter_context(engine.frozen(self.nets[name])) for name in scenes}
            loss = made.penalty + self._periodicity(batch.clips, made.clips, engine)
            for name, scene in scenes.items():
                loss = loss + self.adversaries[name].teach(bare[name], scene)
            self._update("generator", loss, engine)
            if heldout is not None:
                for name, scene in scenes.items():
                    log |= self.adversaries[name].heldout_gap(bare[name], scene, batch, heldout)
        return log | {"generator_loss": loss.detach()}

    def _periodicity(self, reals: Tensor, fakes: Tensor, engine: Engine) -> Tensor | float:
        """Return the weighted penalty on motion that repeats itself, or does not close its loop."""
        gan = self.config.gan
        if gan.periodicity == "none":
            return 0.0
        if gan.periodicity == "loop":
            return gan.periodicity_weight * penalties.loop(fakes.float(), gan.period)
        real = engine.mean(penalties.motion_autocorrelation(reals).mean(dim=0))
        mine = penalties.motion_autocorrelation(fakes.float()).mean(dim=0)
        whole = engine.mean(mine) + mine - mine.detach()  # the mean over all processes, with this one's gradient
        return gan.periodicity_weight * penalties.avoid_period(whole, real)

    def _update(self, name: str, loss: Tensor, engine: Engine) -> None:
        self.optimizers[name].zero_grad(set_to_none=True)
        engine.backward(loss)
        self.optimizers[name].step()

    def judge(self, row: Mapping[str, float]) -> list[Sign]:
        """Tell when a critic separates real from fake clips so well that the generator learns nothing, or overfits."""
        signs = []
        for name in (adversary.name for adversary in self.adversaries.values()):
            gap = row.get(f"{name}_real", 0.0) - row.get(f"{name}_fake", 0.0)
            if gap >= WON and self.config.gan.loss in LOGISTIC:
                text = f"the critic of {name} has won (its logits for real and fake lie {gap:.1f} apart)"
                signs.append(Sign("critic won", text))
            known = row.get(f"{name}_heldout_gap", 0.0)
            if gap >= APART and known >= LEARNED * gap:
                text = f"the critic of {name} knows the training clips by heart (held-out gap {known:.1f} of {gap:.1f})"
                signs.append(Sign("learned by heart", text))
        return signs

    def sampler(self) -> Sampler:
        """Return a sampler of the averaged generator."""
        return self.sampler_of(self.config, {name: average.module for name, average in self.averages.items()})

    @classmethod
    def sampling_nets(cls, config: Config, labels: int) -> dict[str, nn.Module]:
        """Build the generator, untrained."""
        kind: Callable[..., Generator] = GENERATORS[config.net.kind]
        return {"generator": kind(config.clip, config.net, labels)}

    @classmethod
    def sampler_of(cls, config: Config, nets: dict[str, nn.Module]) -> Sampler:
        """Make a sampler of the generator."""
        generator = nets["generator"]
        if isinstance(generator, RecurrentGenerator):
            return RollingSampler(config.clip, generator)
        assert isinstance(generator, Generator)
        return FixedSampler(config.clip, generator)
