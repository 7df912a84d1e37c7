"""One critic's side of adversarial training: what it is shown, its loss with the penalties, and what it teaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import avg_pool3d, cross_entropy

from footage.config import ClipConfig, Config, CriticConfig
from footage.config.registry import LOSSES
from footage.models.adversarial import penalties
from footage.models.adversarial.losses import AdversarialLoss
from footage.models.base import Batch, Mismatch
from footage.models.device import upload


@dataclass(frozen=True)
class CriticView:
    """What a critic judges, N things for B clips."""

    inputs: Tensor
    """(N, C, T, H, W), or (N, C, H, W) where there is no time."""
    gaps: Tensor | None
    """(N, k - 1): frames between those of a sparse choice, as parts of the clip; (N, 1): where a slab begins, from 0
    to 1; else None."""
    each: int
    """Things that are judged for each clip, in the clips' order: N / B."""


def pick_frames(critic: CriticConfig, clip: ClipConfig, count: int, rng: torch.Generator) -> Tensor | None:
    """Choose frames for `count` clips: (count, k) in rising order, without repetition; None where all are seen."""
    if critic.sees == "slab":
        first = (torch.rand(count, 1, generator=rng) * (clip.frames - critic.frames + 1)).long()
        return first.clamp(max=clip.frames - critic.frames) + torch.arange(critic.frames)
    if not critic.timeless:
        return None
    return torch.rand(count, clip.frames, generator=rng).argsort(dim=1)[:, : critic.frames].sort(dim=1).values


def critic_view(critic: CriticConfig, clips: Tensor, picks: Tensor | None) -> CriticView:
    """Show clips (B, C, T, H, W) to a critic, with the frames that `pick_frames` has chosen, (B, k)."""
    frames = clips.shape[2]
    if max(critic.shrink, critic.shrink_time) > 1:
        clips = avg_pool3d(clips, (critic.shrink_time, critic.shrink, critic.shrink))  # B C t h w
    if critic.sees == "difference":
        return CriticView(clips[:, :, 1:] - clips[:, :, :-1], None, 1)
    if picks is None:
        return CriticView(clips, None, 1)
    rows = torch.arange(len(clips), device=clips.device)[:, None]
    chosen = clips.transpose(1, 2)[rows, upload(picks, clips.device)]  # B k C h w
    if critic.sees == "frames":
        return CriticView(chosen.flatten(0, 1), None, picks.shape[1])  # (B k) C h w
    if critic.sees == "slab":
        place = picks[:, :1].to(clips) / max(1, frames - picks.shape[1])
        return CriticView(chosen.transpose(1, 2), place, 1)  # B C k h w
    gaps = picks.diff(dim=1).to(clips) / frames
    return CriticView(rearrange(chosen, "b k c h w -> b (k c) h w"), gaps, 1)


def view_shape(critic: CriticConfig, clip: ClipConfig) -> tuple[int, int | None, int, int]:
    """Return what a critic sees of a clip: channels, frames (None where there is no time), height, width."""
    height, width = clip.height // critic.shrink, clip.width // critic.shrink
    if critic.timeless:
        return clip.channels * (critic.frames if critic.sees == "sparse" else 1), None, height, width
    if critic.sees == "slab":
        return clip.channels, critic.frames, height, width
    return clip.channels, clip.frames // critic.shrink_time - (critic.sees == "difference"), height, width


@dataclass
class CriticInputs:
    """What a critic sees in one step, of real and of fake clips, in the same places."""

    real: CriticView
    """Of the real clips."""
    fake: CriticView
    """Of the fakes, with their way back to the generator."""
    labels: Tensor | None
    """(N,), or weights (N, K), those of real and fake alike."""
    mismatch: Mismatch | None = None
    """Other labels, (N, K), that do not belong to the real clips."""


class CriticLoss:
    """A critic among others, by its name in the log; its network is handed in at each call.

    The shape of what is judged has, for translators, the channels of what clips were made from.
    """

    def __init__(self, name: str, critic: CriticConfig, config: Config, clip: ClipConfig) -> None:
        self.name, self.critic, self.gan, self.clip = name, critic, config.gan, clip
        self.loss: AdversarialLoss = LOSSES[config.gan.loss]
        self.conditions = config.conditions

    def view(self, clips: Tensor, count: int, rng: torch.Generator) -> CriticView:
        """Show the critic clips, with frames that are chosen for `count` of them."""
        return critic_view(self.critic, clips, pick_frames(self.critic, self.clip, count, rng))

    def views(self, batch: Batch, reals: Tensor, fakes: Tensor) -> CriticInputs:
        """Choose what to look at, the same of real and fake clips."""
        picks = pick_frames(self.critic, self.clip, batch.total, batch.rng)
        if picks is not None:
            picks = upload(batch.part(picks), reals.device)
        real, fake = critic_view(self.critic, reals, picks), critic_view(self.critic, fakes, picks)
        labels = None if batch.labels is None else batch.labels.repeat_interleave(real.each, dim=0)
        wrong = batch.mismatch
        if wrong is not None:
            others, there = (part.repeat_interleave(real.each, dim=0) for part in (wrong.labels, wrong.there))
            wrong = Mismatch(others, there, wrong.weight)
        return CriticInputs(real, fake, labels, wrong)

    def critic_loss(
        self, net: nn.Module, views: CriticInputs, batch: Batch, strength: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the critic's loss, with `strength` times the penalties, and what to log; there is one pass."""
        gan, penalised = self.gan, strength > 0
        exact = penalised and not gan.sigma
        reals = views.real.inputs.detach().requires_grad_((exact and gan.r1 > 0) or (penalised and gan.temporal > 0))
        fakes = views.fake.inputs.detach().requires_grad_(exact and gan.r2 > 0)
        inputs, labels, gaps = [reals, fakes], _twice(views.labels), _twice(views.real.gaps)
        wrong = views.mismatch
        if wrong is not None:  # real clips once more, beside captions of others (Reed et al. 2016, GAN-CLS)
            assert labels is not None
            inputs, labels = [reals, fakes, reals], torch.cat([labels, wrong.labels])
            gaps = None if gaps is None else torch.cat([gaps, gaps[: len(reals)]])
        output = net(torch.cat(inputs), labels, gaps)  # 2N ..., or 3N ...
        real, fake, *mismatched = output.logits.float().split(len(reals))
        loss = self.loss.critic(real, fake)
        log = {"real": real.detach().mean(), "fake": fake.detach().mean()}
        if wrong is not None:
            (other,), there = mismatched, wrong.there
            log["mismatched"] = other.detach().mean()
            if bool(there.any()):
                loss = loss + wrong.weight * there.float().mean() * self.loss.critic(real[there], other[there])
            else:  # every logit has a gradient, so that several processes agree on what there is to wait for
                loss = loss + 0 * other.sum()
        log["loss"] = loss.detach()
        if output.classes is not None and views.labels is not None:
            named = cross_entropy(output.classes.float()[: len(reals)], views.labels)
            loss, log["labels"] = loss + named, named.detach()
        if penalised:
            for name, (weight, value) in self._penalties(net, views, batch, reals, fakes, real, fake).items():
                loss, log[name] = loss + strength * weight * value, value.detach()
        return loss, {f"{self.name}_{key}": value for key, value in log.items()}

    def _penalties(
        self,
        net: nn.Module,
        views: CriticInputs,
        batch: Batch,
        reals: Tensor,
        fakes: Tensor,
        real: Tensor,
        fake: Tensor,
    ) -> dict[str, tuple[float, Tensor]]:
        """Return the penalties of this step by name: weight, value."""
        gan = self.gan
        weighted: dict[str, tuple[float, Tensor]] = {}
        if reals.requires_grad:
            gradient = self._gradient(real, reals)
            if gan.r1 and not gan.sigma:
                weighted["r1"] = (gan.r1 / 2, penalties.zero_centred(gradient))
            if gan.temporal:
                weighted["temporal"] = (gan.temporal / 2, penalties.temporal(gradient))
        if fakes.requires_grad:
            weighted["r2"] = (gan.r2 / 2, penalties.zero_centred(self._gradient(fake, fakes)))
        for name, weight, inputs in (("r1", gan.r1, reals), ("r2", gan.r2, fakes)):
            if gan.sigma and weight:
                noise = self._of_clip(batch.normal(views.real.each, *inputs.shape[1:]).flatten(0, 1))
                with torch.autocast(inputs.device.type, enabled=False):  # small differences survive in float32
                    both = torch.cat([inputs.detach(), inputs.detach() + gan.sigma * noise])
                    here, there = net(both, _twice(views.labels), _twice(views.real.gaps)).logits.chunk(2)
                    weighted[name] = (weight / 2, penalties.finite_difference(here, there, gan.sigma))
        if gan.gradient_penalty:
            alpha = batch.uniform().repeat_interleave(views.real.each)
            mixed = penalties.interpolate(reals.detach(), fakes.detach(), alpha).requires_grad_(True)
            logits = net(mixed, views.labels, views.real.gaps).logits.float()
            slope = penalties.one_centred(self._gradient(logits, mixed))
            weighted["gradient_penalty"] = (gan.gradient_penalty, slope)
        return weighted

    def _gradient(self, logits: Tensor, inputs: Tensor) -> Tensor:
        """Return the gradient that is penalised: with respect to the clip, and not to what it was made from."""
        return self._of_clip(penalties.critic_gradient(logits, inputs))

    def _of_clip(self, values: Tensor) -> Tensor:
        """Return values of what is seen, (N, k (C + Cs), ...), 0 in the channels Cs of what a clip was made from."""
        if not self.conditions:
            return values
        every = self.clip.channels  # C + Cs; k groups of them where k frames are one picture
        source_channels = torch.arange(values.shape[1], device=values.device) % every >= every - self.conditions
        return values.masked_fill(source_channels.view(-1, *[1] * (values.ndim - 2)), 0.0)

    def generator_loss(self, net: nn.Module, views: CriticInputs) -> Tensor:
        """Return what the generator is to minimise; the critic's weights are to be frozen."""
        output = net(views.fake.inputs, views.labels, views.fake.gaps)
        fake = output.logits.float()
        real = fake.detach()  # most losses do not look at it
        matched: Tensor | float = 0.0
        if self.loss.paired or self.gan.matching:
            with torch.no_grad():
                truth = net(views.real.inputs, views.labels, views.real.gaps)
            real = truth.logits.float()
            if self.gan.matching:
                matched = self.gan.matching * feature_difference(output.features, truth.features)
        loss = self.loss.generator(real, fake) + matched
        if output.classes is not None and views.labels is not None:
            loss = loss + cross_entropy(output.classes.float(), views.labels)
        return self.critic.weight * loss

    @torch.no_grad()
    def heldout_gap(self, net: nn.Module, views: CriticInputs, batch: Batch, heldout: Tensor) -> dict[str, Tensor]:
        """Return how much more real the critic finds training clips than held-out ones, (B, C, T, H, W), in logits.

        Beside the gap between real and fake it tells how much is known by heart (Karras et al. 2020, ADA, eq. 1).
        """
        assert batch.heldout is not None
        unseen = Batch(heldout, batch.heldout[1], torch.Generator().manual_seed(0), len(heldout))
        shown = self.views(unseen, heldout, heldout)
        train = net(views.real.inputs, views.labels, views.real.gaps).logits.mean(dtype=torch.float32)
        new = net(shown.real.inputs, shown.labels, shown.real.gaps).logits.mean(dtype=torch.float32)
        return {f"{self.name}_heldout_gap": train - new}


# sum_i |D_i(fake) - D_i(real)|_1 / N_i over the layers i, here their mean: Wang et al. 2018, eq. 4.
def feature_difference(fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Return how far a critic's features of what was made lie from those of what it should be, stage by stage."""
    assert fake, "this critic does not tell its features"
    gaps = [(a.float() - b.float()).abs().mean() for a, b in zip(fake, real, strict=True)]
    return torch.stack(gaps).mean()


def _twice(value: Tensor | None) -> Tensor | None:
    return None if value is None else torch.cat([value, value])
