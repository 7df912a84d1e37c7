"""Private adversarial training: critics learn by clipped gradients of real clips in noise (DP-SGD, Abadi et al. 2016).

With g_i the gradient of clip i's part of the critics' loss, R1 included, by the weights of all critics together, C the
largest norm, s the noise and B the number of clips expected in a batch, critics follow

    (sum_i g_i min(1, C / |g_i|) + s C n) / B + (sum_j f_j min(1, C / |f_j|)) / F,   n ~ N(0, 1) for each weight.

The first sum is over a Poisson sample: each source stands in it with the same probability, whatever the others do. The
f_j are those of F fakes, R2 included. What is fake follows from weights that are private already, and so costs nothing;
so does the generator, which sees critics and no clips (Torkzadehmahani et al. 2019; Bie et al. 2023). Fakes are clipped
all the same: gradients soon are hundreds of times as long as C, and with fakes as they are critics would follow them
alone. Each gradient is that of a clip by itself: no network can mix them. Levels are not learned, since they would be
a look at the clips.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from footage.config import ClipConfig, Config
from footage.errors import ConfigError
from footage.models.adversarial import augment, penalties
from footage.models.adversarial.critic_loss import CriticInputs, CriticView
from footage.models.adversarial.critics import Critics, penalty_part
from footage.models.adversarial.gan import Gan
from footage.models.base import Batch, Engine, PrivateClips
from footage.models.device import upload

AT_ONCE = 2**26
"""Numbers of the gradients of single clips that are held at once."""

Gradients = dict[str, dict[str, Tensor]]
"""Of the critics' weights, by the names of both."""


class PrivateCritics(Critics):
    """Critics that learn from real clips by clipped gradients in noise."""

    def __init__(self, config: Config, labels: int, clip: ClipConfig, width: int, target: str = "") -> None:
        super().__init__(config, labels, clip, width, target)
        for name, net in self.nets.items():
            if any(isinstance(module, _BatchNorm) for module in net.modules()):
                raise ConfigError(
                    f"privacy.epsilon is given, and {name} keeps means over batches, which are not protected",
                    "give a critic without batch normalisation",
                )

    def update(
        self,
        nets: Mapping[str, nn.Module],
        optimizers: Mapping[str, Optimizer],
        batch: Batch,
        shown: tuple[Tensor, Tensor],
        clips_seen: int,
        engine: Engine,
    ) -> tuple[dict[str, CriticInputs], dict[str, Tensor]]:
        """Update all critics by the fakes that are shown and the private clips; log what fakes alone tell."""
        config, gan = self.config, self.config.gan
        chance = augment.probability(config.augment, clips_seen)
        fakes = self.augmented(shown[1], batch, chance)
        penalised = clips_seen // batch.total % gan.penalty_every == 0
        strength = gan.penalty_every * penalty_part(gan, clips_seen) if penalised else 0.0
        noisy = self.private_gradients(nets, batch, chance, strength * gan.r1 / 2, engine)
        shows = {name: critic_loss.view(fakes, batch.total, batch.rng) for name, critic_loss in self.losses.items()}
        summed, means = self.sum_views(nets, shows, len(fakes), strength * gan.r2 / 2, engine, real=False)
        log = dict[str, Tensor]()
        for name, critic_loss in self.losses.items():
            with engine.frozen(nets[name]) as bare:
                for key, weight in bare.named_parameters():
                    weight.grad = (noisy[name][key] + summed[name][key] / len(fakes)).to(weight.dtype)
            optimizers[name].step()
            if gan.clip_weights:
                penalties.clip_weights_(nets[name], gan.clip_weights)
            log[f"{critic_loss.name}_fake"] = means[name]
        return {name: CriticInputs(fake, fake, None) for name, fake in shows.items()}, log

    def private_gradients(
        self, nets: Mapping[str, nn.Module], batch: Batch, chance: float, r1: float, engine: Engine
    ) -> Gradients:
        """Return what the private clips ask of the critics: clipped, summed, in noise, divided by the expected number.

        Args:
            nets: the critics.
            batch: with its private clips.
            chance: of each kind of augmentation; each clip is changed once.
            r1: weight of the squared gradient by the clip.
            engine: of the step.
        """
        private, privacy = batch.private, self.config.privacy
        assert private is not None, "a private training is given private clips"
        summed = self.clipped_sum(nets, private, chance, r1, engine)
        deviation = privacy.noise * privacy.clip
        noisy: Gradients = {name: {} for name in summed}
        for name, gradients in summed.items():
            for key, total in gradients.items():
                # NumPy's draws: torch's own on a CPU follow from 32 bits of their seed, which could be tried out
                noise = torch.from_numpy(private.rng.standard_normal(tuple(total.shape), dtype="float32"))
                noisy[name][key] = (total + deviation * upload(noise, total.device)) / batch.total
        return noisy

    def clipped_sum(
        self, nets: Mapping[str, nn.Module], private: PrivateClips, chance: float, r1: float, engine: Engine
    ) -> Gradients:
        """Return the sum of the clips' gradients, each no longer than `privacy.clip` over all critics' weights."""
        clips = private.clips
        rng = torch.Generator().manual_seed(int(private.rng.integers(2**63)))
        changes = augment.draw(self.config.augment, chance, len(clips), rng)
        clips = augment.apply(changes.to(clips.device), clips)
        views = {name: critic_loss.view(clips, len(clips), rng) for name, critic_loss in self.losses.items()}
        return self.sum_views(nets, views, len(clips), r1, engine, real=True)[0]

    def sum_views(
        self,
        nets: Mapping[str, nn.Module],
        views: Mapping[str, CriticView],
        count: int,
        strength: float,
        engine: Engine,
        *,
        real: bool,
    ) -> tuple[Gradients, dict[str, Tensor]]:
        """Return the sum of the gradients of single clips, each no longer than `privacy.clip`, and the mean logits.

        Args:
            nets: the critics.
            views: what each of them sees of the clips, all of each clip one behind the other.
            count: of the clips; may be 0.
            strength: of the squared gradient by the clip (R1 of real clips, R2 of fakes).
            engine: of the step.
            real: whether they are real clips.
        """
        inputs, gaps = dict[str, Tensor](), dict[str, Tensor]()
        weights: Gradients = {}
        bare = dict[str, nn.Module]()
        for name, view in views.items():
            seen = view.inputs.detach()
            inputs[name] = seen.reshape(count, view.each, *seen.shape[1:])  # (N k) ... -> N k ...
            if view.gaps is not None:
                gaps[name] = view.gaps.reshape(count, view.each, *view.gaps.shape[1:])
            with engine.frozen(nets[name]) as bare[name]:
                weights[name] = {key: weight.detach() for key, weight in bare[name].named_parameters()}
        total = {
            name: {key: torch.zeros_like(w, dtype=torch.float32) for key, w in of.items()}
            for name, of in weights.items()
        }
        means = {name: torch.zeros((), device=seen.device) for name, seen in inputs.items()}
        loss = partial(self.loss_of_clip, bare, strength, real)
        each = vmap(grad(loss, has_aux=True), in_dims=(None, 0, 0))
        size = max(1, AT_ONCE // sum(w.numel() for of in weights.values() for w in of.values()))
        for first in range(0, count, size):
            part = slice(first, first + size)
            shown = ({name: of[part] for name, of in group.items()} for group in (inputs, gaps))
            gradients: Gradients
            gradients, told = each(weights, *shown)
            # What is not finite would tell of its clip: it counts for nothing.
            finite = {
                name: {key: g.float().nan_to_num(0.0, 0.0, 0.0) for key, g in of.items()}
                for name, of in gradients.items()
            }
            squares = [gradient.flatten(1).square().sum(dim=1) for of in finite.values() for gradient in of.values()]
            limit = self.config.privacy.clip
            factors = (limit / torch.stack(squares).sum(dim=0).sqrt().clamp(min=1e-12)).clamp(max=1.0)
            for name, of in finite.items():
                means[name] += told[name].detach().sum() / count
                for key, gradient in of.items():
                    total[name][key] += torch.tensordot(factors, gradient, dims=1)
        return total, means

    def loss_of_clip(
        self,
        nets: Mapping[str, nn.Module],
        strength: float,
        real: bool,
        weights: Gradients,
        inputs: dict[str, Tensor],
        gaps: dict[str, Tensor],
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the part of all critics' losses that one clip has, and each critic's mean logit.

        Args:
            nets: the critics.
            strength: of the squared gradient by the clip.
            real: whether it is a real clip.
            weights: of the critics.
            inputs: what each critic sees of the clip, (k, ...).
            gaps: between its frames, for critics that are told.
        """
        losses, means = list[Tensor](), dict[str, Tensor]()
        for name, critic_loss in self.losses.items():

            def judged(seen: Tensor, name: str = name) -> Tensor:
                logits: Tensor = functional_call(nets[name], weights[name], (seen, None, gaps.get(name))).logits
                return logits.float()

            logits = judged(inputs[name])
            sides = (logits, torch.zeros_like(logits))  # the other side's part is a constant
            losses.append(critic_loss.loss.critic(*(sides if real else sides[::-1])))
            if strength:
                slope = grad(lambda seen, judged=judged: judged(seen).reshape(len(seen), -1).mean(dim=1).sum())
                losses.append(strength * penalties.zero_centred(slope(inputs[name]).float()))
            means[name] = logits.mean()
        return torch.stack(losses).sum(), means


class PrivateGan(Gan):
    """A generator that learns from private critics; see `footage.models.adversarial.private`."""

    critics_class: ClassVar = PrivateCritics

    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Learn no levels: they would be those of the clips."""
