"""The stochastic predictor: SVG-LP, a learned prior (Denton and Fergus 2018, ICML, section 3).

    g_t = Enc(x_t)                                  prior      N(mu, sigma)(t) = LSTM(g_{t-1}, ...)
    g~_t = LSTM(g_{t-1}, z_t, ...)                  posterior  N(mu, sigma)(t) = LSTM(g_t, ...)
    x^_t = Dec(g~_t, skips of the last past frame)

In training z_t comes from the posterior, which has seen the frame that is to be predicted, and all that the networks
see is true; in use it comes from the prior, and after the past they see their own frames. Encoder and decoder are
DCGAN's. Ours: groups of channels are normalised, clip by clip, in place of batches; the output is linear; only the
future is decoded and scored; in use the codes of the past are the posterior's means.
"""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from footage.config import ClipConfig, TaskConfig
from footage.models.layers import LEAK, Levels, Noise, channels, doublings, start_smooth
from footage.models.predictors.predict import Predictor, PredictorOutput, State
from footage.models.predictors.svg import SvgConfig

GROUPS = 8
"""Groups of channels that are normalised together, or fewer where channels are few."""


class FrameEncoder(nn.Module):
    """Frame (N, C, H, W) -> code g (N, D) and the features of every stage, from the outermost to the innermost.

    Args:
        pixels: channels C.
        widths: channels of the stages, from the innermost to the outermost.
        base: height and width of the innermost stage.
        code: length D.
    """

    def __init__(self, pixels: int, widths: list[int], base: tuple[int, int], code: int) -> None:
        super().__init__()
        leaves = widths[::-1]
        enters = [pixels, *leaves[:-1]]
        self.stages = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in zip(enters, leaves, strict=True))
        self.norms = nn.ModuleList(nn.GroupNorm(math.gcd(GROUPS, b), b) for b in leaves)
        self.leave = nn.Linear(leaves[-1] * base[0] * base[1], code)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        kept = []
        for stage, norm in zip(self.stages, self.norms, strict=True):
            x = leaky_relu(norm(stage(x)), LEAK)  # N 2c h/2 w/2
            kept.append(x)
        return torch.tanh(self.leave(x.flatten(1))), kept


class FrameDecoder(nn.Module):
    """Code (N, D) and the encoder's features of another frame -> frame (N, C, H, W), built as `FrameEncoder` is."""

    def __init__(self, pixels: int, widths: list[int], base: tuple[int, int], code: int) -> None:
        super().__init__()
        self.base = (widths[0], *base)
        self.start = nn.Linear(code, math.prod(self.base))
        leaves = [*widths[1:], pixels]
        self.norms = nn.ModuleList(nn.GroupNorm(math.gcd(GROUPS, a), a) for a in widths)
        self.stages = nn.ModuleList(nn.ConvTranspose2d(2 * a, b, 4, 2, 1) for a, b in zip(widths, leaves, strict=True))
        for stage in self.stages:
            assert isinstance(stage, nn.ConvTranspose2d)
            start_smooth(stage)

    def forward(self, code: Tensor, kept: list[Tensor]) -> Tensor:
        x: Tensor = self.start(code).unflatten(1, self.base)  # N c h w
        for stage, norm, skip in zip(self.stages, self.norms, kept[::-1], strict=True):
            x = leaky_relu(norm(x), LEAK)
            x = stage(torch.cat([x, skip.to(x.dtype)], dim=1))  # N c/2 2h 2w
        return x


class LstmStack(nn.Module):
    """A linear layer, LSTM layers and a linear layer: (B, T, enter) -> (B, T, leave), in full precision."""

    def __init__(self, enter: int, hidden: int, layers: int, leave: int) -> None:
        super().__init__()
        self.enter = nn.Linear(enter, hidden)
        self.cells = nn.LSTM(hidden, hidden, layers, batch_first=True)
        self.leave = nn.Linear(hidden, leave)

    def start(self, codes: Tensor) -> State:
        """Return h and c before the first step, (B, layers, hidden) each, for as many clips as there are codes."""
        zeros = self.enter.weight.new_zeros(codes.shape[0], self.cells.num_layers, self.cells.hidden_size)
        return zeros, zeros

    def forward(self, steps: Tensor, state: State) -> tuple[Tensor, State]:
        if steps.shape[1] == 0:
            return self.leave(steps.new_zeros(steps.shape[0], 0, self.enter.out_features)), state
        with torch.autocast(steps.device.type, enabled=False):  # small, and the path through time is long
            before = tuple(part.transpose(0, 1).contiguous() for part in state)  # layers B hidden
            path, after = self.cells(self.enter(steps.to(state[0].dtype)), before)
            return self.leave(path), tuple(part.transpose(0, 1) for part in after)


class Svg(Predictor):
    """Past (B, C, P, H, W) -> one frame after the other, without end, as noise decides."""

    def __init__(self, clip: ClipConfig, net: SvgConfig, task: TaskConfig, told: int = 0) -> None:
        super().__init__()
        self.past, self.latent = task.past, net.latent
        self.levels = Levels(clip.channels)
        count = doublings(clip.height, clip.width)
        widths, base = channels(net.width, count), (clip.height >> count, clip.width >> count)
        self.encoder = FrameEncoder(clip.channels, widths, base, net.code)
        self.decoder = FrameDecoder(clip.channels, widths, base, net.code)
        self.told = nn.Linear(told, net.code, bias=False) if told else None
        self.predictor = LstmStack(net.code + net.latent, net.hidden, 2, net.code)
        self.posterior = LstmStack(net.code, net.hidden, 1, 2 * net.latent)
        self.prior = LstmStack(net.code, net.hidden, 1, 2 * net.latent)

    def noise(self, frames: int) -> dict[str, tuple[int, ...]]:
        """Return the shape of one clip's noise: a row for each frame, of which the very first is not looked at."""
        return {"z": (frames, self.latent)}

    def forward(
        self,
        clips: Tensor,
        noise: Noise,
        shown: Tensor | None,
        rehearse: bool = False,
        told: Tensor | None = None,
    ) -> PredictorOutput:
        """Predict what follows the first P frames, each from the true ones before it and its own posterior's code.

        True frames are fed whatever `shown` says: the posterior knows them all the same.
        """
        future = clips.shape[2] - self.past
        codes, kept = self._encode(clips)
        codes = codes + self.heard(told, clips).unsqueeze(1)
        mean, spread = self._belief(self.posterior, codes[:, 1:])
        expected, allowed = self._belief(self.prior, codes[:, :-1])
        z = mean + torch.exp(0.5 * spread) * noise["z"][:, 1:].to(mean.dtype)  # B (T - 1) z
        guess, _ = self.predictor(torch.cat([codes[:, :-1], z], dim=2), self.predictor.start(codes))
        skips = [part[:, self.past - 1].repeat_interleave(future, dim=0) for part in kept]  # (B F) c h w
        frames = self.decoder(torch.tanh(guess[:, self.past - 1 :]).flatten(0, 1), skips)  # (B F) C H W
        pixels = rearrange(self.levels.pixels(frames.to(clips.dtype)), "(b t) c h w -> b c t h w", t=future)
        return PredictorOutput(pixels, divergence(mean, spread, expected, allowed).sum(dim=(1, 2)))

    def begin(self, past: Tensor, told: Tensor | None = None) -> State:
        """Return what is remembered of the past.

        In this order: what is told; the last frame's code; h and c of the predictor, and of the prior, after the frames
        before it; the last frame's features.
        """
        codes, kept = self._encode(past)
        heard = self.heard(told, past)
        codes = codes + heard.unsqueeze(1)
        mean, _ = self._belief(self.posterior, codes[:, 1:])
        _, moved = self.predictor(torch.cat([codes[:, :-1], mean], dim=2), self.predictor.start(codes))
        _, expecting = self.prior(codes[:, :-1], self.prior.start(codes))
        return (heard, codes[:, -1], *moved, *expecting, *(part[:, -1] for part in kept))

    def advance(self, state: State, noise: Tensor | None) -> tuple[Tensor, State]:
        assert noise is not None, "a stochastic predictor needs noise"
        heard, code, *rest = state
        beliefs, expecting = self.prior(code.unsqueeze(1), tuple(rest[2:4]))
        mean, spread = beliefs.squeeze(1).chunk(2, dim=1)  # B z each
        z = mean + torch.exp(0.5 * spread) * noise.to(mean.dtype)
        guess, moved = self.predictor(torch.cat([code, z], dim=1).unsqueeze(1), tuple(rest[:2]))
        frame = self.levels.pixels(self.decoder(torch.tanh(guess.squeeze(1)), rest[4:]).to(code.dtype))  # B C H W
        frames = frame.unsqueeze(2)
        codes, _ = self._encode(frames.clamp(-1, 1))
        return frames, (heard, codes[:, 0] + heard, *moved, *expecting, *rest[4:])

    def _encode(self, clips: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the codes (B, T, D), and the features of every stage (B, T, c, h, w), of clips (B, C, T, H, W)."""
        frames = rearrange(self.levels(clips), "b c t h w -> (b t) c h w")
        codes, kept = self.encoder(frames.contiguous(memory_format=torch.channels_last))
        parts = [rearrange(part, "(b t) c h w -> b t c h w", t=clips.shape[2]) for part in kept]
        return rearrange(codes.to(clips.dtype), "(b t) d -> b t d", t=clips.shape[2]), parts

    def _belief(self, net: LstmStack, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and logarithm of the variance of each frame's latent code, (B, T, z) each."""
        beliefs, _ = net(codes, net.start(codes))
        mean, spread = beliefs.chunk(2, dim=2)
        return mean, spread


def divergence(mean: Tensor, spread: Tensor, prior_mean: Tensor, prior_spread: Tensor) -> Tensor:
    """KL(N(mean, e^spread) || N(prior_mean, e^prior_spread)), in nats, number by number; spreads are log variances."""
    ratio = torch.exp(spread - prior_spread)
    return 0.5 * (prior_spread - spread + ratio + (mean - prior_mean).square() * torch.exp(-prior_spread) - 1)
