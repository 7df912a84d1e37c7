"""A figure that speaks: a still picture and what is heard around each frame become that frame.

The still is encoded once. A code of the sound around a frame says what becomes of its mouth: what is in the mouth's
box is warped, and painted over where nothing could be moved to, as the animator does
(`footage.models.translators.translate`). A code of how the figure is held in the frame then does the same to the still
as a whole, its mouth along with it. So what is heard reaches nothing else: where both codes say what becomes of whole
frames (`net.mouth` 0), these darken with loud sound before mouths open.

In training the second code is read off the real frame, whose mouth is hidden, by a variational encoder (Kingma and
Welling 2014): so what the sound tells is learned from the sound, and head and eyes need not be its average. Later that
code follows a smooth path of noise, a function of seed and time, with the mean, size and pace that were seen
(`footage.models.generators.stream.noise`).

The difference that is learned from is squared: where half of the sounds leave the mouth closed, the median, which
absolute differences lead to, is a closed mouth. It counts more at the mouth, whose place is given, or found by mutual
information of motion and sound.

Where frames are larger than the pictures that the figure is moved in, those are their means, and a decoder draws the
details: the still is warped at its full size by the enlarged flow (as Siarohin et al. 2019 move keypoints' pictures),
and the decoder, which works at the small size, adds what that leaves wrong.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, NamedTuple, cast

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import (
    affine_grid,
    avg_pool2d,
    avg_pool3d,
    grid_sample,
    interpolate,
    max_pool2d,
    pad,
    pixel_shuffle,
    pixel_unshuffle,
    silu,
)
from torch.optim import Adam

from footage.config import ClipConfig, Config, TaskConfig
from footage.config.sections import halvings, unlimited
from footage.media import speech
from footage.metrics.image_quality import clip_psnr
from footage.models.base import Batch, Engine, Graph, RunGraph, Sampler
from footage.models.generators.stream.noise import NoisePath
from footage.models.layers import PreactivationBlock, channel_levels, set_levels
from footage.models.supervised import StepOutput, SupervisedMethod
from footage.models.talking import FigureConfig
from footage.models.talking.judge import SEEN, SyncJudge, at_box, heard_length, mouths, pixel_box, shifted, sync_loss
from footage.models.translators.translate import StillDecoder, StillMoves, warp

POSTURE_WIDTHS = (16, 24, 32)
"""Channels of the encoder of how a figure is held."""
POSTURE_GRID = 4
"""Places across and down that it tells apart at last."""
START = -4.0
"""Logarithm of the variance that it begins with: were it that of the prior, its noise would drown what is heard."""
FOLLOWED = 0.02
"""Part of a step's postures in what is known of all."""
PATH = 0x7A1C
"""Kind of the paths of noise."""
DETAIL_BLOCKS = 2
"""Residual blocks of the decoder of details."""
FEATHER = 0.25
"""Part of the way from the edge of a mouth's box to its middle on which what changes there fades out."""


class SpokenClips(NamedTuple):
    """What training reads, taken apart."""

    real: Tensor
    """(B, C, T, H, W)."""
    still: Tensor
    """Another frame of the same figure, (B, C, H, W)."""
    heard: Tensor
    """Levels around each frame, (B, T, WHOLE, bands) in [-1, 1]."""
    first_half: Tensor
    """Whether a clip is of the half that a judge in training learns from, (B,)."""


def taken_apart(clips: Tensor, channels: int) -> SpokenClips:
    """Take apart clips, (B, C + C + K, T, H, W); see `footage.data.pairs.VoicedClips`."""
    real, still, sound = clips.tensor_split((channels, 2 * channels), dim=1)
    flat = sound.transpose(1, 2).flatten(2)  # B T (K H W)
    count = speech.WHOLE * speech.BANDS
    heard = flat[:, :, :count].reshape(*flat.shape[:2], speech.WHOLE, speech.BANDS)
    return SpokenClips(real, still[:, :, 0], heard, flat[:, 0, count] > 0)


def at_hand(heard: Tensor) -> Tensor:
    """Return what belongs to each frame, (..., S, bands) -> (..., WINDOW, bands), the middle."""
    spare = (heard.shape[-2] - speech.WINDOW) // 2
    return heard[..., spare : spare + speech.WINDOW, :]


class FigureOutput(NamedTuple):
    """What the network gives in training."""

    frames: Tensor
    """(B, C, T, H, W)."""
    divergence: Tensor
    """Of the posture's code from its prior, (B, T), in nats."""
    detailed: Tensor | None
    """One frame at its full size, (B, C, s H, s W), where a decoder draws details."""


class SpokenFrames(NamedTuple):
    """Small frames, and what they were made by."""

    frames: Tensor
    """(B, C, T, H, W)."""
    moves: StillMoves
    changes: Tensor | None
    """Of the mouths, before they were moved, (B T, C, h, w); None where they do not speak by themselves."""


def evened(maps: Tensor) -> Tensor:
    """Return the means of 5 by 5 places: what is as good as even at the small size would be teeth at the full one."""
    return avg_pool2d(pad(maps, (2, 2, 2, 2), mode="replicate"), 5, 1)


class FigureDetails(nn.Module):
    """A still at its full size, and what becomes of it in small frames -> these frames at the full size."""

    def __init__(self, channels: int, net: FigureConfig) -> None:
        super().__init__()
        self.scale = net.scale
        self.enter = nn.Conv2d(channels * (net.scale**2 + 1) + 1, net.detail, 3, padding=1)
        self.blocks = nn.Sequential(*(PreactivationBlock(net.detail, silu) for _ in range(DETAIL_BLOCKS)))
        self.leave = nn.Conv2d(net.detail, channels * net.scale**2, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(cast(Tensor, self.leave.bias))

    def forward(self, still: Tensor, moves: StillMoves, frames: Tensor) -> Tensor:
        """Make frames (N, C, s h, s w) of stills (N, C, s h, s w) by moves in, and frames of, (N, ., h, w)."""
        size = still.shape[2:]
        flow, mask, painted = (
            interpolate(part, size, mode="bilinear", align_corners=False)
            for part in (evened(moves.flow), evened(moves.mask), moves.painted)
        )
        rough = mask * warp(still, flow) + (1 - mask) * painted
        shown = torch.cat([pixel_unshuffle(rough, self.scale), frames, moves.mask], dim=1)  # N (C s s + C + 1) h w
        added: Tensor = self.leave(silu(self.blocks(self.enter(shown))))
        return rough + pixel_shuffle(added, self.scale)


def boxed(box: Tensor, pictures: Tensor, size: Sequence[int], *, back: bool = False) -> Tensor:
    """Cut a box out of pictures (N, C, H, W), resized: (N, C, *size); or lay such cuts `back`, with zeros around them.

    The box, (4,), has left, top, right and bottom in parts of the whole. Places are looked up by an affine map
    (Jaderberg et al. 2015), so that nothing has to wait for the numbers of the box.
    """
    scale, middle = box[2:] - box[:2], box[2:] + box[:2] - 1  # in [-1, 1], (x, y)
    if back:
        scale, middle = 1 / scale, -middle / scale
    affine = torch.cat([torch.diag(scale), middle[:, None]], dim=1).expand(pictures.shape[0], 2, 3)
    with torch.autocast(pictures.device.type, enabled=False):
        places = affine_grid(affine, [*pictures.shape[:2], *size], align_corners=False)
        edge = "zeros" if back else "border"
        return grid_sample(pictures.float(), places, mode="bilinear", padding_mode=edge, align_corners=False)


class MouthDecoder(StillDecoder):
    """The mouth's box, cut out of stills, and codes of sound -> what they change there.

    Args:
        channels: of a still.
        net: `mouth` is the height and width of what is cut out.
    """

    def __init__(self, channels: int, net: FigureConfig) -> None:
        self.size = (net.mouth, net.mouth)
        clip = unlimited(1, *self.size, channels)
        super().__init__(clip, net.width, net.sound, min(net.stages, halvings(*self.size)))

    def changes(self, cut: Tensor, shortcuts: list[Tensor], code: Tensor) -> Tensor:
        """Return what codes (B T, s) change in a cut (B, C, h, w) with its features: (B T, C, h, w), 0 at the edge."""
        made = self.decode(cut, shortcuts, code).transpose(1, 2)  # B T C h w
        y, x = (torch.linspace(-1, 1, side, device=cut.device).abs() for side in cut.shape[2:])
        inside = ((1 - torch.maximum(y[:, None], x)) / FEATHER).clamp(max=1)
        return ((made - cut[:, None]) * inside).flatten(0, 1)


class TalkingFigure(StillDecoder):
    """Still (B, C, H, W), sound (B, T, WINDOW, bands), posture (B, T, m) -> frames (B, C, T, H, W)."""

    mouth: Tensor
    """Left, top, right and bottom in parts of the frame, (4,)."""
    centre: Tensor
    """Mean of the postures, (m,)."""
    covariance: Tensor
    lagged: Tensor
    """Covariance of postures, and of those of one frame with those of the next, (m, m) each."""
    mean: Tensor
    sd: Tensor

    def __init__(self, clip: ClipConfig, net: FigureConfig, task: TaskConfig) -> None:
        count = min(net.stages, halvings(clip.height // net.scale, clip.width // net.scale))
        super().__init__(clip, net.width, net.motion if net.mouth else net.sound + net.motion, count)
        self.motion = net.motion
        self.lips = MouthDecoder(clip.channels, net) if net.mouth else None
        self.details = FigureDetails(clip.channels, net) if net.scale > 1 else None
        self.listen = nn.ModuleList([nn.Conv1d(speech.BANDS, 64, 3), nn.Conv1d(64, 64, 3, 2), nn.Conv1d(64, 64, 3, 2)])
        self.heard = nn.Sequential(nn.Linear(64 * heard_length(), net.sound), nn.LayerNorm(net.sound))
        widths = (2 * clip.channels + 2, *POSTURE_WIDTHS)
        self.watch = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in itertools.pairwise(widths))
        self.pool = nn.AdaptiveAvgPool2d(POSTURE_GRID)
        self.held = nn.Linear((widths[-1] + 2) * POSTURE_GRID**2, 2 * net.motion)
        with torch.no_grad():
            self.held.weight[net.motion :] *= 0.01
        nn.init.constant_(self.held.bias[net.motion :], START)
        self.turn = nn.Linear(net.motion, 6)  # of the picture as a whole: an affine map, less the identity
        nn.init.normal_(self.turn.weight, std=0.05)
        nn.init.zeros_(self.turn.bias)
        self.register_buffer("mouth", torch.tensor([0.0, 0.0, 1.0, 1.0]))
        self.register_buffer("centre", torch.zeros(net.motion))
        self.register_buffer("covariance", torch.eye(net.motion) * 0.01)
        self.register_buffer("lagged", torch.eye(net.motion) * 0.0095)
        self.register_buffer("mean", torch.zeros(speech.BANDS))
        self.register_buffer("sd", torch.ones(speech.BANDS))

    def sound_code(self, heard: Tensor) -> Tensor:
        """Return the code of what is heard, (N, WINDOW, bands) in [-1, 1] -> (N, s)."""
        x = ((heard - self.mean) / self.sd).transpose(1, 2)
        for stage in self.listen:
            x = silu(stage(x))
        code: Tensor = self.heard(x.flatten(1))
        return code

    # Where a picture I moves by u, it changes by -u grad I: Lucas and Kanade 1981, eq. 3. So what is looked at is the
    # change, and its products with the slopes.
    def posture(self, still: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and logarithm of the variance of how a figure is held in frames: (B, T, m) each."""
        left, top, right, bottom = pixel_box(self.mouth, *frames.shape[3:])
        beside = self.levels(still)
        change = (self.levels(frames) - beside[:, :, None]).transpose(1, 2).clone()  # B T C H W
        change[..., top:bottom, left:right] = 0
        slopes = torch.stack(torch.gradient(beside, dim=(2, 3)), dim=1)  # B 2 C H W
        sized = slopes.square().mean(dim=(1, 2, 3, 4)).clamp(min=1e-4).view(-1, 1, 1, 1, 1)
        moves = torch.einsum("btchw,bdchw->btdhw", change, slopes) / (change.shape[2] * sized)  # B T 2 H W
        shown = torch.cat([change, beside[:, None].expand_as(change), moves], dim=2).flatten(0, 1)
        x = shown
        for stage in self.watch:
            x = silu(stage(x))
        told = torch.cat([self.pool(x), self.pool(shown[:, -2:])], dim=1)
        code: Tensor = self.held(told.flatten(1)).float().view(*change.shape[:2], -1)
        mean, spread = code.chunk(2, dim=-1)
        return mean, spread.clamp(-12, 4)

    def small(self, stills: Tensor) -> Tensor:
        """Return stills (B, C, s H, s W) as the figure is moved in them, (B, C, H, W)."""
        return stills if self.details is None else avg_pool2d(stills, self.details.scale)

    def forward(self, still: Tensor, heard: Tensor, frames: Tensor, noise: Tensor, number: int = 0) -> FigureOutput:
        """Make frames, held as the real ones are.

        Args:
            still: (B, C, s H, s W).
            heard: (B, T, WINDOW, bands).
            frames: the real ones, (B, C, T, H, W).
            noise: standard normal numbers, (B, T, m).
            number: of the frame whose details are drawn.
        """
        seen = self.look(still)
        mean, spread = self.posture(seen[0], frames)
        if self.training and torch.is_grad_enabled():
            self.learn_postures(mean.detach())
        held = mean + (0.5 * spread).exp() * noise
        divergence = 0.5 * (mean.square() + spread.exp() - 1 - spread).sum(dim=-1)
        made = self.speak(seen, heard, held)
        return FigureOutput(made.frames, divergence, self.detailed(still, made, number))

    def look(self, still: Tensor) -> list[Tensor]:
        """Return what is kept of a still (B, C, s H, s W): small, its features, its mouth's box and that one's."""
        small = self.small(still)
        seen = [small, *self.encode(small[:, :, None])]
        if self.lips is not None:
            cut = boxed(self.mouth, still, self.lips.size)
            seen += [cut, *self.lips.encode(cut[:, :, None])]
        return seen

    def speak(self, seen: list[Tensor], heard: Tensor, held: Tensor) -> SpokenFrames:
        """Make small frames of what is kept of a still, by sound (B, T, WINDOW, bands) and posture (B, T, m)."""
        small, held = seen[0], held.flatten(0, 1).to(heard.dtype)
        turned = self.turn(held).float()  # (B T) 6
        height, width = small.shape[2:]
        y, x = (torch.linspace(-1, 1, side, device=small.device) for side in (height, width))
        places = torch.stack([x.expand(height, -1), y[:, None].expand(-1, width), torch.ones_like(small[0, 0])])
        moved = torch.einsum("nij,jhw->nihw", turned.view(-1, 2, 3), places).to(small.dtype)  # (B T) 2 H W
        code, own = self.sound_code(heard.flatten(0, 1)), 1 + len(self.encoder)
        if self.lips is None:
            changes, code = None, torch.cat([code, held], dim=1)
        else:
            changes, code = self.lips.changes(seen[own], seen[own + 1 :], code), held
        moves = self.moves(small, seen[1:own], code, moved)
        frames = self.moved(self.speaking(small.repeat_interleave(heard.shape[1], dim=0), changes), moves)
        return SpokenFrames(rearrange(frames, "(b t) c 1 h w -> b c t h w", b=small.shape[0]), moves, changes)

    def speaking(self, stills: Tensor, changes: Tensor | None) -> Tensor:
        """Return stills (N, C, H, W) of any size as their mouths are after changes (N, C, h, w) in their box."""
        return stills if changes is None else stills + boxed(self.mouth, changes, stills.shape[2:], back=True)

    def detailed(self, still: Tensor, made: SpokenFrames, number: int = 0) -> Tensor | None:
        """Draw the details of one frame of each, (B, C, s H, s W), where a decoder does so."""
        if self.details is None:
            return None
        every = slice(number, None, made.frames.shape[2])
        changes = None if made.changes is None else made.changes[every]
        one = StillMoves(*(part[every] for part in made.moves))  # B . H W
        drawn: Tensor = self.details(self.speaking(still, changes), one, made.frames[:, :, number])
        return drawn

    def learn_postures(self, mean: Tensor) -> None:
        """Follow which postures (B, T, m) there are, and how they change from frame to frame."""
        self.centre.lerp_(mean.mean(dim=(0, 1)), FOLLOWED)
        away = mean - self.centre
        with torch.autocast(mean.device.type, enabled=False):
            self.covariance.lerp_(torch.einsum("bti,btj->ij", away, away) / away[..., 0].numel(), FOLLOWED)
            if mean.shape[1] > 1:
                both = torch.einsum("bti,btj->ij", away[:, 1:], away[:, :-1]) / away[:, 1:, 0].numel()
                self.lagged.lerp_((both + both.T) / 2, FOLLOWED)

    def postures(self) -> tuple[Tensor, list[float]]:
        """Return what makes postures of independent processes, (m, m), and the rate of each process.

        The processes are the principal axes of the postures that were seen. Their rates are such that the correlation
        from one frame to the next, (1 + r) exp(-r), is what was seen along each axis.
        """
        sizes, axes = torch.linalg.eigh(self.covariance.double())
        sizes = sizes.clamp(min=1e-8)
        paces = (torch.einsum("ik,ij,jk->k", axes, self.lagged.double(), axes) / sizes).clamp(0.3, 0.999)
        rates = []
        for wanted in paces.tolist():
            low, high = 1e-3, 8.0
            for _ in range(50):
                middle = (low + high) / 2
                low, high = (middle, high) if (1 + middle) * math.exp(-middle) > wanted else (low, middle)
            rates.append(low)
        return (axes * sizes.sqrt()).float(), rates


LOOKED_AT = 2**26
"""Numbers of clips and what stands behind them that are looked at before the first step, about."""
INFORMED = 0.25
"""Mutual information, in parts of the greatest, above which a pixel counts for the mouth."""
GROWN = 0.5
"""How much larger, on each side, the box becomes, in parts of its own size."""
LEAST_INFORMATION = 0.01
"""In nats: below it everything is taken for the mouth."""
CHANCE = 10.0
"""Nats, of all frame changes together, that some place has by chance: 2 N I is chi-squared (Wilks 1938)."""


# I = -1/2 log(1 - R^2) for jointly Gaussian variables, R the multiple correlation: Cover and Thomas 2006, ch. 8.
def find_mouth(spoken: Iterable[SpokenClips]) -> Tensor:
    """Return where motion and sound know most of each other: left, top, right and bottom, (4,), in parts of the frame.

    How much moves from frame to frame (its square root: a few figures of strong contrast are not to outvote the others)
    is compared with how loud it is there, and how much what is heard changes; the whole frame is returned where neither
    tells anything of the other.
    """
    rows, moved = list[Tensor](), list[Tensor]()
    for real, _, heard, _ in spoken:
        change = (real[:, :, 1:] - real[:, :, :-1]).abs().mean(dim=1).flatten(0, 1)  # (B T-1) H W
        moved.append(avg_pool2d(change[:, None], 5, 1, 2, count_include_pad=False)[:, 0].sqrt())
        near = at_hand(heard).double()[:, 1:]
        middle = speech.BEFORE
        before, after = near[:, :, middle - 8 : middle - 2].mean(dim=2), near[:, :, middle - 2 : middle + 4].mean(dim=2)
        loud, flux = after.mean(dim=-1), (after - before).abs().mean(dim=-1)
        rows.append(torch.stack([torch.ones_like(loud), loud, flux, before.mean(dim=-1)], dim=-1).flatten(0, 1))
    told, seen = torch.cat(rows), torch.cat(moved).double()  # N 4, N H W
    height, width = seen.shape[1:]
    seen = seen.flatten(1) - seen.flatten(1).mean(dim=0)
    fitted = told @ torch.linalg.lstsq(told, seen).solution
    total, left_over = seen.square().sum(dim=0), (seen - fitted).square().sum(dim=0)
    part = 1 - left_over / total.clamp(min=1e-9) * (len(told) - 1) / max(1, len(told) - told.shape[1])
    part = torch.where(total > 1e-4 * total.max(), part, 0.0).clamp(0, 0.999)
    information = (-0.5 * torch.log1p(-part)).view(1, 1, height, width)
    information = avg_pool2d(information, 3, 1, 1, count_include_pad=False)[0, 0]
    if float(information.max()) < max(LEAST_INFORMATION, CHANCE / len(told)):
        return torch.tensor([0.0, 0.0, 1.0, 1.0])
    counted = (information - INFORMED * information.max()).clamp(min=0)
    region, before_it = information == information.max(), torch.zeros_like(information, dtype=torch.bool)
    while not torch.equal(region, before_it):  # what hangs together with its peak: heads are higher with open mouths
        before_it, region = region, (max_pool2d(region.float()[None], 3, 1, 1)[0] > 0) & (counted > 0)
    counted = counted * region
    edges = []
    for along, side in ((counted.sum(dim=0), width), (counted.sum(dim=1), height)):
        share = along.cumsum(0) / along.sum()
        low, high = int((share < 0.03).sum()) / side, (int((share < 0.97).sum()) + 1) / side
        grown = GROWN * (high - low)
        edges.append((max(0.0, low - grown), min(1.0, high + grown)))
    (left, right), (top, bottom) = edges
    return torch.tensor([left, top, right, bottom])


class Talk(SupervisedMethod):
    """A figure that speaks, critics and a judge of sync where there are any; see `footage.models.base.Method`."""

    own_curves: ClassVar = {
        "Squared error at the mouth, pixels in [-1, 1]": ("mouth_mse", "heldout_mouth_mse"),
        "Peak signal-to-noise ratio, dB": ("psnr", "heldout_psnr", "details_psnr", "heldout_details_psnr"),
        "Divergence of the posture's code from its prior, nats in a frame": ("kl", "heldout_kl"),
        "Sync: how often the judge finds the right sound": ("sync_real", "sync_made", "heldout_sync_made"),
    }

    def __init__(self, config: Config, labels: int) -> None:
        super().__init__(config, labels)
        if config.talk.sync:
            self.nets["sync"] = SyncJudge(config.clip.channels)
        self.judge: nn.Module | None = None
        """The judge, frozen, while the figure is judged."""
        box = torch.tensor(config.talk.box())
        for net in (self.nets["generator"], self.averages["generator"].module):
            net.mouth.copy_(box)  # type: ignore[operator]

    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Tell the networks the levels of pictures and sound, and where the mouths are."""
        channels = self.config.clip.channels
        spoken, room = list[SpokenClips](), LOOKED_AT
        for clips in batches:
            apart = taken_apart(clips, channels)
            still = self.small(apart.still[:, :, None])[:, :, 0]
            small = apart._replace(
                real=self.small(apart.real), still=still, heard=apart.heard.clone()
            )  # a view keeps all
            spoken.append(small)
            room -= clips.numel() // self.config.net.scale**2  # type: ignore[attr-defined]
            if room <= 0:
                break
        mean, sd = channel_levels(clips.real for clips in spoken)
        for name, average in self.averages.items():
            set_levels(mean, sd, self.nets[name], average.module)
        set_levels(mean.repeat(2), sd.repeat(2), *self.critic_nets())
        bands = torch.cat([at_hand(clips.heard).flatten(0, 2) for clips in spoken])
        mouth = torch.tensor(self.config.talk.box()) if self.config.talk.mouth else find_mouth(spoken)
        for net in (self.nets["generator"], self.averages["generator"].module):
            assert isinstance(net, TalkingFigure)
            net.mean.copy_(bands.mean(dim=0))
            net.sd.copy_(bands.std(dim=0).clamp(min=0.05))
            net.mouth.copy_(mouth)

    def build_optimizers(self) -> None:
        super().build_optimizers()
        if "sync" in self.nets:
            self.optimizers["sync"] = Adam(self.nets["sync"].parameters(), 1e-3, fused=True)

    @property
    def mouth(self) -> Tensor:
        """Where the mouths are: left, top, right and bottom in parts of the frame."""
        average = self.averages["generator"].module
        assert isinstance(average, TalkingFigure)
        return average.mouth

    def small(self, clips: Tensor) -> Tensor:
        """Return real clips (B, C, T, s H, s W) as the figure is moved in them, (B, C, T, H, W)."""
        scale = self.config.net.scale  # type: ignore[attr-defined]
        return avg_pool3d(clips, (1, scale, scale)) if scale > 1 else clips

    def step(self, batch: Batch, clips_seen: int, engine: Engine) -> dict[str, Tensor]:
        if "sync" not in self.nets:
            return super().step(batch, clips_seen, engine)
        # The judge learns from real clips of one half: what measures later has learned from the other one.
        spoken = taken_apart(batch.clips, self.config.clip.channels)
        logits = self.verdict(self.nets["sync"], self.small(spoken.real), spoken.heard)
        self.optimizers["sync"].zero_grad(set_to_none=True)
        engine.backward(sync_loss(logits, spoken.first_half.float()))
        self.optimizers["sync"].step()
        log = {"sync_real": (logits.detach().argmax(dim=1) == 0).float().mean()}
        with engine.frozen(self.nets["sync"]) as judge:
            self.judge = judge
            log |= super().step(batch, clips_seen, engine)
            self.judge = None
        return log

    def verdict(self, judge: nn.Module, clips: Tensor, heard: Tensor) -> Tensor:
        """Return how well each shift of the sound goes with the middle of clips, (B, N), the right one first."""
        middle = clips.shape[2] // 2
        first = middle - SEEN // 2
        seen = mouths(clips[:, :, first : first + SEEN], self.mouth)
        logits: Tensor = judge(seen, shifted(heard[:, middle]))
        return logits

    def forward_step(self, batch: Batch, clips_seen: int, judged: bool) -> StepOutput:
        config = self.config
        whole, still, heard, _ = taken_apart(batch.clips, config.clip.channels)
        real = self.small(whole)
        if torch.is_grad_enabled():  # louder or softer, but not where there is silence
            span = 2 * config.talk.gain * 2 / (speech.CEILING - speech.FLOOR)  # of [-1, 1]
            gain = (batch.uniform(1, 1, 1) - 0.5) * span
            heard = torch.where(heard > -1, (heard + gain).clamp(-1, 1), heard)
        noise = batch.normal(real.shape[2], config.net.motion)  # type: ignore[attr-defined]
        number = int(torch.randint(real.shape[2], (), generator=batch.rng)) if real is not whole else 0
        output: FigureOutput = self.nets["generator"](still, at_hand(heard), real, noise, number)
        made = output.frames.to(real.dtype)
        difference = self.weighted(made, real)
        divergence = output.divergence.mean()
        ramp = min(1.0, clips_seen / config.kl.ramp) if config.kl.ramp else 1.0
        loss = config.learn.weight * difference + config.kl.beta * ramp * divergence
        log = {
            "mouth_mse": (at_box(made, self.mouth) - at_box(real, self.mouth)).detach().square().mean(),
            "psnr": clip_psnr(made.detach(), real).mean(),
            "kl": divergence.detach(),
        }
        if output.detailed is not None:
            drawn, true = output.detailed.to(real.dtype), whole[:, :, number]
            loss = loss + config.learn.weight * self.weighted(drawn, true)
            log["details_psnr"] = clip_psnr(drawn.detach()[:, :, None], true[:, :, None]).mean()
        if self.judge is not None:
            logits = self.verdict(self.judge, made, heard)
            loss = loss + config.talk.sync * sync_loss(logits)
            log["sync_made"] = (logits.detach().argmax(dim=1) == 0).float().mean()
        judged_clips = {}
        if config.critics and judged:
            beside = self.small(still[:, :, None]).expand_as(real)
            judged_clips[""] = (torch.cat([real, beside], dim=1), torch.cat([made, beside], dim=1))
        return StepOutput(loss, log, judged_clips)

    def heldout_clips(self, batch: Batch, target: str) -> Tensor | None:
        if batch.heldout is None:
            return None
        whole, still, _, _ = taken_apart(batch.heldout[0], self.config.clip.channels)
        real = self.small(whole)
        return torch.cat([real, self.small(still[:, :, None]).expand_as(real)], dim=1)

    def weighted(self, made: Tensor, real: Tensor) -> Tensor:
        """Return the mean difference of pictures (..., H, W), in which that at the mouth counts more."""
        at_mouth = self.difference(at_box(made, self.mouth), at_box(real, self.mouth))
        return self.difference(made, real) + self.config.talk.weight * at_mouth

    @classmethod
    def sampler_of(cls, config: Config, nets: dict[str, nn.Module]) -> Sampler:
        return SpeakingSampler(config, nets["generator"])


class SpeakingSampler:
    """Stills that speak, in constant memory; see `footage.models.base.Speaks`."""

    given = 0

    def __init__(self, config: Config, generator: nn.Module) -> None:
        assert isinstance(generator, TalkingFigure)
        self.clip, self.generator = config.clip, generator.eval()
        self.device = next(generator.parameters()).device

    @property
    def mouth(self) -> Tensor:
        """Where the mouths are: left, top, right and bottom in parts of the frame."""
        return self.generator.mouth

    def speak(self, stills: Tensor, heard: Iterable[Tensor], seeds: Sequence[int], start: int = 0) -> Iterator[Tensor]:
        mixing, rates = self.generator.postures()
        paths = [NoisePath(rates, seed, parts=1, kind=PATH) for seed in seeds]
        stills, net = stills.to(self.device), self.generator
        with torch.inference_mode():
            seen = net.look(stills)
        for levels in heard:
            times = np.arange(start, start + levels.shape[1], dtype=np.float64)
            start += levels.shape[1]
            drawn = torch.from_numpy(np.stack([path.states(times)[:, :, 0, 0] for path in paths])).float()  # B T m
            held = net.centre + drawn.to(self.device) @ mixing.T
            levels, frames = levels.to(self.device), list[Tensor]()
            with torch.inference_mode():
                for number in range(levels.shape[1]):  # one by one: sums of other shapes are rounded otherwise
                    now = slice(number, number + 1)
                    frames.append(self._frame(stills, seen, levels[:, now], held[:, now]))
                chunk = torch.cat(frames, dim=2).float().clamp(-1, 1)
            yield chunk  # outside of the block: it would hold for the caller too

    def _frame(self, still: Tensor, seen: list[Tensor], levels: Tensor, held: Tensor) -> Tensor:
        """Return a frame, (B, C, 1, H, W), of what is heard around it, (B, 1, S, bands), and a posture, (B, 1, m)."""
        made = self.generator.speak(seen, levels, held)
        drawn = self.generator.detailed(still, made)
        return made.frames if drawn is None else drawn[:, :, None]

    def graphs(self) -> list[Graph]:
        """Return `look`, once for a still, and `speak`, for each frame."""
        generator, clip = self.generator, self.clip
        still = torch.rand(2, clip.channels, clip.height, clip.width) * 2 - 1
        mixing, rates = generator.postures()
        levels = torch.rand(2, 1, speech.WINDOW, speech.BANDS) * 2 - 1

        def look(still: Tensor) -> tuple[Tensor, ...]:
            return tuple(generator.look(still))

        def speak(still: Tensor, levels: Tensor, posture: Tensor, small: Tensor, *parts: Tensor) -> Tensor:
            held = generator.centre + posture[:, None] @ mixing.T
            return self._frame(still, [small, *parts], levels, held).float().clamp(-1, 1)[:, :, 0]

        with torch.no_grad():
            small, *parts = look(still)
        seen = {"small": small.clone()} | {f"shortcut{number}": part for number, part in enumerate(parts)}
        inputs = {"still": still, "levels": levels, "posture": torch.randn(2, len(rates)), **seen}
        times = ", ".join(f"{3**0.5 / rate:.3g}" for rate in rates)
        about = (
            "still: (B, C, H, W) in [-1, 1]; levels: heard around the frame, as by `footage.media.speech.windows`; "
            f"posture: Matern-3/2 processes of deviation 1 whose times are {times} frames; the others: of `look`."
        )
        return [
            Graph("look", "What is kept of a still.", generator, look, {"still": still}, tuple(seen), {"still": (0,)}),
            Graph("speak", about, generator, speak, inputs, ("frames",), dict.fromkeys(inputs, (0,))),
        ]

    def rehearse(self, run: RunGraph, clips: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
        inputs = self.graphs()[1].inputs
        seen = run("look", still=inputs["still"])
        names = [name for name in inputs if name not in ("still", "levels", "posture")]
        yield run("speak", **inputs | dict(zip(names, seen, strict=True)))[0], None

    def preview(self, reals: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        real, still, heard, _ = taken_apart(reals, self.clip.channels)
        (made,) = self.speak(still, [at_hand(heard)], range(len(reals)))
        return {"spoken": made, "still": still[:, :, None].expand_as(real), "real": real}
