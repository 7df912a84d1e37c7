"""Critics of a method: their networks, schedule, optimisers and burn-in, and the loss that they give together.

The burn-in makes adversarial training strong and quick at first, then ever gentler (Huang et al. 2024, R3GAN).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer, RMSprop

from footage.config import ClipConfig, Config, GanConfig
from footage.config.registry import CRITICS
from footage.config.sections import EARLY_BETA2
from footage.models.adversarial import augment, penalties
from footage.models.adversarial.critic_loss import CriticInputs, CriticLoss, critic_view, pick_frames
from footage.models.base import Batch, Engine


def critic_names(config: Config) -> list[str]:
    """Return a name for each critic, from its network or what it sees; a number tells apart those of one name."""
    plain: list[str] = [critic.sees if critic.net == "conv" else critic.net for critic in config.critics]
    plain = [name + ("_patch" if critic.patch else "") for name, critic in zip(plain, config.critics, strict=True)]
    return [name if plain.count(name) == 1 else f"{name}{plain[:i].count(name) + 1}" for i, name in enumerate(plain)]


def curves(loss: str, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return what to plot, title -> names of logged figures: a loss, and what critics of these names log."""
    return {
        "Losses": (loss, *(f"{name}_loss" for name in names)),
        "Logits of the critics": tuple(f"{name}_{side}" for name in names for side in ("real", "fake")),
        "Held-out gap: logits of training less held-out clips": tuple(f"{name}_heldout_gap" for name in names),
    }


class Critics:
    """All critics of a configuration, each with its own optimiser, weight and schedule.

    Penalties are lazy, at every n-th of a critic's updates (Karras et al. 2020, appendix B, but the rates and betas
    stay). The networks stand in a method's `nets`, under the names of `nets` here, where the loop may wrap them.

    Args:
        config: the whole configuration.
        labels: number of labels; 0 for an unconditional model.
        clip: shape of what is judged.
        width: channels of critics that have no width of their own.
        target: what is judged, where a method has several groups of critics; a part of the critics' names.
    """

    def __init__(self, config: Config, labels: int, clip: ClipConfig, width: int, target: str = "") -> None:
        self.config = config
        self.conditions = config.conditions
        self.nets: dict[str, nn.Module] = {}
        self.losses: dict[str, CriticLoss] = {}
        for name, critic in zip(critic_names(config), config.critics, strict=True):
            name = f"{target}_{name}" if target else name
            self.nets[f"critic_{name}"] = CRITICS[critic.net](
                critic, clip, critic.width or width, labels, self.conditions
            )
            self.losses[f"critic_{name}"] = CriticLoss(name, critic, config, clip)
        self.round = max((critic.steps for critic in config.critics), default=1)

    @property
    def names(self) -> list[str]:
        """The critics' names in the log."""
        return [critic_loss.name for critic_loss in self.losses.values()]

    @property
    def cycle(self) -> int:
        return self.round * self.config.gan.penalty_every if self.losses else 1

    @property
    def rates(self) -> dict[str, float]:
        """The critics' learning rates, by the names of `nets`."""
        return {name: a.critic.lr or self.config.gan.critic_lr for name, a in self.losses.items()}

    def build_optimizers(self, nets: Mapping[str, nn.Module]) -> dict[str, Optimizer]:
        return {name: gan_optimizer(self.config, nets[name], rate) for name, rate in self.rates.items()}

    def left(self, number: int) -> int:
        """Return how many steps there are, after step `number`, to the end of the round, when the generator learns.

        A round has as many steps as the most diligent critic makes; one with k updates makes them in its last k.
        """
        return self.round - 1 - number % self.round

    def update(
        self,
        nets: Mapping[str, nn.Module],
        optimizers: Mapping[str, Optimizer],
        batch: Batch,
        shown: tuple[Tensor, Tensor],
        clips_seen: int,
        engine: Engine,
    ) -> tuple[dict[str, CriticInputs], dict[str, Tensor]]:
        """Update the critics whose turn it is, by real clips and fakes; return what they saw, and what to log."""
        config = self.config
        number = clips_seen // batch.total
        left = self.left(number)
        chance = augment.probability(config.augment, clips_seen)
        reals, fakes = (self.augmented(clips, batch, chance) for clips in shown)
        log: dict[str, Tensor] = {}
        views: dict[str, CriticInputs] = {}
        for name, critic_loss in self.losses.items():
            steps = critic_loss.critic.steps
            if left >= steps:
                continue
            views[name] = critic_loss.views(batch, reals, fakes)
            updates = number // self.round * steps + steps - 1 - left  # this critic's own, so far
            penalised = updates % config.gan.penalty_every == 0
            strength = config.gan.penalty_every * penalty_part(config.gan, clips_seen) if penalised else 0.0
            loss, figures = critic_loss.critic_loss(nets[name], views[name], batch, strength)
            optimizers[name].zero_grad(set_to_none=True)
            engine.backward(loss)
            optimizers[name].step()
            if config.gan.clip_weights:
                penalties.clip_weights_(nets[name], config.gan.clip_weights)
            log |= figures
        return views, log

    def augmented(self, clips: Tensor, batch: Batch, chance: float) -> Tensor:
        """Change clips at random, each in its own way; reals and fakes have the same chances."""
        if chance == 0:
            return clips
        drawn = augment.draw(self.config.augment, chance, batch.total, batch.rng)
        return augment.apply(drawn.part(batch.first, len(clips)).to(clips.device), clips, self.conditions)

    def generator_loss(self, bare: Mapping[str, nn.Module], views: Mapping[str, CriticInputs]) -> Tensor:
        """Return what the generator is to minimise; the critics' weights are to be frozen."""
        losses = [self.losses[name].generator_loss(bare[name], view) for name, view in views.items()]
        return torch.stack(losses).sum()

    def heldout_gaps(
        self, bare: Mapping[str, nn.Module], views: Mapping[str, CriticInputs], batch: Batch, heldout: Tensor
    ) -> dict[str, Tensor]:
        log: dict[str, Tensor] = {}
        for name, view in views.items():
            log |= self.losses[name].heldout_gap(bare[name], view, batch, heldout)
        return log

    def scores(self, clips: Tensor, labels: Tensor | None, looks: int, seed: int) -> Tensor:
        """Return the mean logit of each critic for clips (B, C, T, H, W): (B, critics).

        Args:
            clips: what is judged.
            labels: theirs, (B,); None where critics know none.
            looks: choices of frames, the same for all clips, that a critic which sees some of them is shown.
            seed: of the choices.
        """
        scores = []
        for name, critic_loss in self.losses.items():
            critic, rng, logits = critic_loss.critic, torch.Generator().manual_seed(seed), list[Tensor]()
            for _ in range(looks if critic.timeless or critic.sees == "slab" else 1):
                picks = pick_frames(critic, critic_loss.clip, 1, rng)
                view = critic_view(critic, clips, None if picks is None else picks.expand(len(clips), -1))
                told = None if labels is None else labels.repeat_interleave(view.each)
                seen = self.nets[name](view.inputs, told, view.gaps).logits
                logits.append(seen.double().reshape(len(clips), -1).mean(dim=1))
            scores.append(torch.stack(logits).mean(dim=0))
        return torch.stack(scores, dim=1)


def gan_optimizer(config: Config, net: nn.Module, rate: float) -> Optimizer:
    """Make the optimiser of a network that learns from critics, or is one."""
    gan = config.gan
    if gan.optimizer == "adam":
        return Adam(net.parameters(), rate, betas=(gan.beta1, gan.beta2), fused=True)
    return RMSprop(net.parameters(), rate, alpha=gan.beta2, foreach=True)


LEFT = 0.25
"""Part of learning rates and of the penalties' weights that is left at the end. R3GAN leaves a tenth of the penalties;
with that critics won, and colours collapsed (docs/LOG.md)."""


def _fallen(clips_seen: int, burn_in: int, left: float) -> float:
    """Return what half a cosine from 1 to `left` has come to; 1 without a burn-in."""
    progress = min(1.0, clips_seen / burn_in) if burn_in else 0.0
    return left + (1 - left) * 0.5 * (1 + math.cos(math.pi * progress))


def penalty_part(gan: GanConfig, clips_seen: int) -> float:
    """Return the part of the penalties' weights that holds."""
    return _fallen(clips_seen, gan.burn_in, LEFT)


def anneal(gan: GanConfig, rates: Iterable[tuple[Optimizer, float]], clips_seen: int) -> None:
    """Set rates and second moment decays for the next step, where there is a burn-in.

    The optimisers come each with the rate that it begins with.
    """
    if not gan.burn_in:
        return
    part = _fallen(clips_seen, gan.burn_in, LEFT)
    beta2 = gan.beta2 - (gan.beta2 - EARLY_BETA2) * _fallen(clips_seen, gan.burn_in, 0.0)
    for optimizer, rate in rates:
        for group in optimizer.param_groups:
            group["lr"], group["betas"] = rate * part, (gan.beta1, beta2)
