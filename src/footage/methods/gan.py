"""Generative adversarial training of a clip generator against a clip critic.

Losses: Goodfellow et al. 2014, non-saturating; R1 on real clips (Mescheder et al. 2018), applied lazily
(Karras et al. 2020, appendix B). The fakes' labels are those of the real clips beside them, hence the data's marginal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from footage.config import ClipConfig, Config
from footage.ema import MovingAverage
from footage.losses import non_saturating_critic, non_saturating_generator
from footage.methods.base import Batch, Engine, Sign
from footage.nets.conv3d import Conv3dCritic, Conv3dGenerator
from footage.penalties import gradient_norm_squared

WALK = 0.8
"""Correlation of the latent codes of two successive segments of a roll-out."""


WON = 8.0
"""Gap between the mean logits of real and fake clips above which the critic has won: it tells them apart by e^8."""


class GanSampler:
    """Clips from a generator of fixed length; see `footage.methods.base.Sampler`."""

    endless = False

    def __init__(self, clip: ClipConfig, generator: Conv3dGenerator) -> None:
        self.clip = clip
        self.generator = generator.eval()
        self.device = next(generator.parameters()).device

    def segments(self, seeds: Sequence[int], labels: Sequence[int] | None) -> Iterator[Tensor]:
        """Yield (B, C, T, H, W) for ever; the codes walk as z' = w z + sqrt(1 - w^2) e, which stays standard normal."""
        rngs = [torch.Generator().manual_seed(seed) for seed in seeds]
        size = self.generator.latent
        label = None if labels is None else torch.tensor(labels, device=self.device)
        z = torch.stack([torch.randn(size, generator=rng) for rng in rngs])
        while True:
            with torch.inference_mode():
                yield self.generator(z.to(self.device), label).float().clamp(-1, 1)
            fresh = torch.stack([torch.randn(size, generator=rng) for rng in rngs])
            z = WALK * z + (1 - WALK**2) ** 0.5 * fresh


class Gan:
    """A generator and a critic of clips; see `footage.methods.base.Method`.

    Args:
        config: the whole configuration.
        labels: number of labels; 0 for an unconditional model.
    """

    remedies: Mapping[str, str] = {
        "critic won": "ten times --gan.r1, half of --gan.critic-lr, or more clips",
        "grey": "a lower --gan.lr, or start again with another --train.seed",
        "frozen": "train longer; a lower rate (ingest with a lower --fps) makes motion easier to see",
        "collapsed": "a larger --train.batch-size, ten times --gan.r1, or a lower --gan.lr",
        "diverged": "lower --gan.lr and --gan.critic-lr, or give --train.precision fp32",
    }
    curves: Mapping[str, tuple[str, ...]] = {
        "Losses": ("critic_loss", "generator_loss", "r1"),
        "Logits of the critic": ("real", "fake"),
    }

    def __init__(self, config: Config, labels: int) -> None:
        self.config = config
        nets = self.sampling_nets(config, labels)
        self.averages = {name: MovingAverage(net, config.gan.ema) for name, net in nets.items()}
        self.nets = nn.ModuleDict({**nets, "critic": Conv3dCritic(config.clip, config.net, labels)})
        self.optimizers: dict[str, Optimizer] = {}

    def build_optimizers(self) -> None:
        """Make Adam for each network."""
        gan = self.config.gan
        for name, rate in (("generator", gan.lr), ("critic", gan.critic_lr)):
            weights = self.nets[name].parameters()
            self.optimizers[name] = Adam(weights, rate, betas=(gan.beta1, gan.beta2), fused=True)

    def step(self, batch: Batch, clips_seen: int, engine: Engine) -> dict[str, Tensor]:
        """Update the critic, and at every `critic_steps`-th step the generator, on the same fakes."""
        number = clips_seen // batch.total
        turn = number % self.config.gan.critic_steps == self.config.gan.critic_steps - 1
        z = torch.randn(len(batch.clips), self.config.net.latent, generator=batch.rng).to(batch.clips.device)
        with torch.set_grad_enabled(turn):
            fakes = self.nets["generator"](z, batch.labels)
        log = self._critic_step(batch, fakes.detach(), number, engine)
        if turn:
            log |= self._generator_step(batch, fakes, clips_seen, engine)
        return log

    def _critic_step(self, batch: Batch, fakes: Tensor, number: int, engine: Engine) -> dict[str, Tensor]:
        gan = self.config.gan
        penalised = gan.r1 > 0 and number % gan.penalty_every == 0
        reals = batch.clips.detach().requires_grad_(penalised)
        clips = torch.cat([reals, fakes])  # 2B C T H W: one pass for both
        labels = None if batch.labels is None else batch.labels.repeat(2)
        real, fake = self.nets["critic"](clips, labels).float().chunk(2)
        loss = non_saturating_critic(real, fake)
        log = {"critic_loss": loss.detach(), "real": real.detach().mean(), "fake": fake.detach().mean()}
        if penalised:
            penalty = gradient_norm_squared(real, reals)
            loss = loss + 0.5 * gan.r1 * gan.penalty_every * penalty
            log["r1"] = penalty.detach()
        self._update("critic", loss, engine)
        return log

    def _generator_step(self, batch: Batch, fakes: Tensor, clips_seen: int, engine: Engine) -> dict[str, Tensor]:
        with engine.frozen(self.nets["critic"]):
            loss = non_saturating_generator(self.nets["critic"](fakes, batch.labels).float())
            self._update("generator", loss, engine)
        clips = batch.total * self.config.gan.critic_steps
        self.averages["generator"].update(self.nets["generator"], clips_seen + batch.total, clips)
        return {"generator_loss": loss.detach()}

    def _update(self, name: str, loss: Tensor, engine: Engine) -> None:
        self.optimizers[name].zero_grad(set_to_none=True)
        engine.backward(loss)
        self.optimizers[name].step()

    def judge(self, row: Mapping[str, float]) -> list[Sign]:
        """Tell when the critic separates real from fake clips so well that the generator learns nothing."""
        gap = row.get("real", 0.0) - row.get("fake", 0.0)
        if gap < WON:
            return []
        return [Sign("critic won", f"the critic has won (its logits for real and fake lie {gap:.1f} apart)")]

    def sampler(self) -> GanSampler:
        """Return a sampler of the averaged generator."""
        return self.sampler_of(self.config, {name: average.module for name, average in self.averages.items()})

    @classmethod
    def sampling_nets(cls, config: Config, labels: int) -> dict[str, nn.Module]:
        """Build the generator, untrained."""
        return {"generator": Conv3dGenerator(config.clip, config.net, labels)}

    @classmethod
    def sampler_of(cls, config: Config, nets: dict[str, nn.Module]) -> GanSampler:
        """Make a sampler of the generator."""
        generator = nets["generator"]
        assert isinstance(generator, Conv3dGenerator)
        return GanSampler(config.clip, generator)
