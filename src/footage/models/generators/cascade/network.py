"""Cascades: the decoder of details and its critic, their training beside that of small clips, and the sampler.

Generator and decoder learn in each step, and nothing of each other. The decoder works at the low resolution first and
doubles it by pixel shuffles (Shi et al. 2016); what it gives is added to the bicubic enlargement. A channel of noise,
one field for a video, chooses among details that fit; it stays, so that nothing flickers. In training, the decoder is
given real pictures made small and spoilt by noise, so that it forgives what the generator makes a little wrong
(conditioning augmentation, Ho et al. 2022, section 4). It learns by the absolute error; then by a critic of patches,
which sees the enlargement beside the picture (Isola et al. 2017), and whose loss compares real and fake pictures
(Jolicoeur-Martineau 2019) and judges each patch, while means of squares of pixels hold the colours.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, leaky_relu, pixel_unshuffle, silu, softplus
from torch.optim import Adam, Optimizer

from footage.config import ClipConfig, Config
from footage.models.adversarial.gan import Gan
from footage.models.base import Batch, Engine, Graph, MovingAverage, RunGraph, Sampler
from footage.models.device import has_bf16
from footage.models.generators.cascade import CascadeConfig
from footage.models.generators.samplers import between, end_seeds
from footage.models.generators.stream.sampler import StreamSampler
from footage.models.layers import LEAK, Generator, PreactivationBlock
from footage.models.requests import VideoRequest
from footage.models.supervised import rate
from footage.models.upscalers.upscale import enlarged

BLOCKS = {2: (3,), 4: (3, 1), 8: (4, 2, 1)}
"""Residual blocks at each resolution, the lowest first, by how many times larger pictures become."""
WIDTHS = (3, 2, 1)
"""Channels at 1/8, 1/4 and 1/2 of the full size, in units of the configuration's `detail`."""
STRIDE = 16
"""Pixels from one patch that the critic judges to the next."""
R1 = 0.004
"""Weight gamma of the R1 penalty of the decoder's critic, gamma / 2 E|grad D|^2, D the sum of the patches' logits."""
PENALTY_EVERY = 4
"""It comes at every n-th step, n times as strong."""
HELD = 8
"""Pixels of the full size whose means are held where a critic teaches."""
AT_ONCE = 2**23
"""Pixels that a GPU decodes at once: 9 frames of 1280×720."""
FIELD = 2**64 - 2
"""What tells the draws of a video's noise field from others of its seed."""


class DetailDecoder(nn.Module):
    """Small pictures (N, C, h, w) and noise (N, 1, h, w) -> pictures (N, C, s h, s w), linear, around [-1, 1]."""

    def __init__(self, channels: int, net: CascadeConfig) -> None:
        super().__init__()
        self.scale = net.scale
        blocks = BLOCKS[net.scale]
        widths = [net.detail * factor for factor in WIDTHS[-len(blocks) :]]
        layers: list[nn.Module] = [nn.Conv2d(channels + 1, widths[0], 3, padding=1)]
        for (width, after), count in zip(pairwise([*widths, 0]), blocks, strict=True):
            layers += [PreactivationBlock(width, silu) for _ in range(count)]
            if after:
                layers += [nn.Conv2d(width, 4 * after, 3, padding=1), nn.PixelShuffle(2)]  # N c h w -> N c' 2h 2w
        leave = nn.Conv2d(widths[-1], 4 * channels, 3, padding=1)
        layers += [nn.SiLU(), leave, nn.PixelShuffle(2)]
        self.layers = nn.Sequential(*layers)
        nn.init.zeros_(leave.weight)
        nn.init.zeros_(cast(Tensor, leave.bias))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, pictures: Tensor, noise: Tensor) -> Tensor:
        x = torch.cat([pictures, noise.to(pictures.dtype)], dim=1).contiguous(memory_format=torch.channels_last)
        return enlarged(pictures, self.scale) + self.layers(x).float()  # type: ignore[no-any-return]


class DetailCritic(nn.Module):
    """Pictures with their enlargements, (N, 2 C, H, W) -> logits of patches, (N, 1, H / 16, W / 16)."""

    def __init__(self, channels: int, net: CascadeConfig) -> None:
        super().__init__()
        width = net.detail_critic
        widths = [width, 2 * width, 8 * width // 3, 8 * width // 3]
        self.enter = nn.Conv2d(8 * channels, width, 3, padding=1)
        self.stages = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in pairwise(widths))
        self.leave = nn.Conv2d(widths[-1], 1, 3, padding=1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, pictures: Tensor) -> Tensor:
        x = pixel_unshuffle(pictures, 2).contiguous(memory_format=torch.channels_last)  # N 8C H/2 W/2
        x = self.enter(x)
        for stage in self.stages:
            x = stage(leaky_relu(x, LEAK))
        return self.leave(leaky_relu(x, LEAK))  # type: ignore[no-any-return]


class Cascade:
    """A small generator with its critics, and a decoder with its own; see `footage.models.base.Method`."""

    def __init__(self, config: Config, labels: int) -> None:
        self.config = config
        self.base = Gan(_base_config(config), labels)
        details, critic = (net(config.clip.channels, _net(config)) for net in (DetailDecoder, DetailCritic))
        self.nets = self.base.nets
        self.nets.update({"details": details, "critic_details": critic})
        self.averages = self.base.averages
        self.averages["details"] = MovingAverage(details, config.learn.ema)
        self.optimizers: dict[str, Optimizer] = self.base.optimizers
        self.cycle = max(self.base.cycle, PENALTY_EVERY)
        own = {
            "Details: absolute error of a pixel, pixels in [-1, 1]": ("l1",),
            "Details: losses": ("details_loss", "details_verdict"),
            "Details: logits of the critic": ("details_real", "details_fake"),
        }
        self.curves: Mapping[str, tuple[str, ...]] = {**self.base.curves, **own}

    def calibrate(self, batches: Iterable[Tensor]) -> None:
        self.base.calibrate(batches)

    def build_optimizers(self) -> None:
        self.base.build_optimizers()
        learn = self.config.learn
        for name in ("details", "critic_details"):
            self.optimizers[name] = Adam(
                self.nets[name].parameters(), learn.lr, betas=(learn.beta1, learn.beta2), fused=True
            )

    def step(self, batch: Batch, clips_seen: int, engine: Engine) -> dict[str, Tensor]:
        log = self.base.step(batch, clips_seen, engine)
        return log | self.details_step(batch, clips_seen, engine)

    def details_step(self, batch: Batch, clips_seen: int, engine: Engine) -> dict[str, Tensor]:
        """Update the decoder, and its critic once it has begun, by the batch's crops (B, C, s, s)."""
        learn, spoil, net = self.config.learn, self.config.upscale, _net(self.config)
        assert batch.crops is not None, "a cascade learns from crops"
        real, judged = batch.crops, clips_seen >= learn.critics_after
        for name in ("details", "critic_details"):
            for group in self.optimizers[name].param_groups:
                group["lr"] = learn.lr * rate(clips_seen, learn.warm_up, learn.decay)
        small = avg_pool2d(real, net.scale)  # B C h w
        small = small + spoil.augmentation * batch.uniform(1, 1, 1) * batch.normal(*small.shape[1:])
        fake: Tensor = self.nets["details"](small, batch.normal(1, *small.shape[2:]))
        error = (fake - real).abs().mean()
        loss, log = error, {"l1": error.detach()}
        if judged:
            # The strides here and the pixel shuffles there have the same period: always in step with it, the critic
            # would teach each of its phases something else, and edges would become dotted lines.
            y, x = (int(torch.randint(STRIDE, (), generator=batch.rng)) for _ in range(2))
            side = real.shape[2] - STRIDE
            window = (..., slice(y, y + side), slice(x, x + side))
            large = enlarged(small, net.scale)[window]
            seen, drawn = torch.cat([real[window], large], dim=1), torch.cat([fake[window], large], dim=1)  # B 2C s' s'
            # The step's place in the cycle: a run that goes on at another batch size has its penalties as often.
            penalised = clips_seen // len(real) % PENALTY_EVERY == 0
            seen.requires_grad_(penalised)
            of_real, of_fake = (self.nets["critic_details"](shown).float() for shown in (seen, drawn.detach()))
            pairs = softplus(of_fake.mean(dim=(1, 2, 3)) - of_real.mean(dim=(1, 2, 3))).mean()
            critic_loss = pairs + (softplus(-of_real).mean() + softplus(of_fake).mean()) / 2  # logits are B 1 p p
            if penalised:
                (slope,) = torch.autograd.grad(of_real.sum(), seen, create_graph=True)
                critic_loss = critic_loss + PENALTY_EVERY * R1 / 2 * slope.square().sum(dim=(1, 2, 3)).mean()
            self._update("critic_details", critic_loss, engine)
            log |= {"details_real": of_real.detach().mean(), "details_fake": of_fake.detach().mean()}
            held = (avg_pool2d(fake, HELD) - avg_pool2d(real, HELD)).abs().mean()
            with engine.frozen(self.nets["critic_details"]) as critic:
                verdict = softplus(-critic(drawn).float()).mean()
                loss = error + spoil.consistency * held + verdict / learn.weight
                log["details_verdict"] = verdict.detach()
                self._update("details", loss, engine)
        else:
            self._update("details", loss, engine)
        self.averages["details"].update(self.nets["details"], clips_seen + batch.total, batch.total)
        return log | {"details_loss": loss.detach()}

    def _update(self, name: str, loss: Tensor, engine: Engine) -> None:
        self.optimizers[name].zero_grad(set_to_none=True)
        engine.backward(loss)
        if self.config.learn.clip_gradient:
            nn.utils.clip_grad_norm_(self.nets[name].parameters(), self.config.learn.clip_gradient)
        self.optimizers[name].step()

    def sampler(self) -> Sampler:
        return self.sampler_of(self.config, {name: average.module for name, average in self.averages.items()})

    @classmethod
    def sampling_nets(cls, config: Config, labels: int) -> dict[str, nn.Module]:
        return Gan.sampling_nets(_base_config(config), labels) | {
            "details": DetailDecoder(config.clip.channels, _net(config))
        }

    @classmethod
    def sampler_of(cls, config: Config, nets: dict[str, nn.Module]) -> Sampler:
        base, details = Gan.sampler_of(_base_config(config), nets), nets["details"]
        assert isinstance(base, StreamSampler) and isinstance(details, DetailDecoder)
        return CascadeSampler(config.clip, base, details)


def _net(config: Config) -> CascadeConfig:
    assert isinstance(config.net, CascadeConfig)
    return config.net


def _base_config(config: Config) -> Config:
    """Return the configuration of the adversarial training of small clips."""
    net = _net(config)
    return replace(config, method="gan", net=net.base, clip=net.base_clip(config.clip))


def noise_field(seed: int, height: int, width: int) -> Tensor:
    """Return the noise of a video's details, (1, height, width)."""
    rng = np.random.Generator(np.random.Philox(key=np.array([seed, FIELD], dtype=np.uint64)))
    return torch.from_numpy(rng.standard_normal((1, height, width), dtype=np.float32))


def noise_between(fields: Tensor, ends: Tensor, place: Tensor) -> Tensor:
    """Return the noise on the way from fields to others, (B, 1, h, w) each, at places (B,) from 0 to 1."""
    if torch.equal(fields, ends):
        return fields
    return between(fields.flatten(1), ends.flatten(1), place.float().unsqueeze(1)).view(fields.shape)


class CascadeSampler:
    """Videos without end, small ones with their details; see `footage.models.base.Streams`."""

    given, endless = 0, True

    def __init__(self, clip: ClipConfig, base: StreamSampler, details: DetailDecoder) -> None:
        self.clip, self.base, self.details = clip, base, details.eval()
        self.hop, self.shot, self.classes, self.sliders = base.hop, base.shot, base.classes, base.sliders
        self.device, self.bf16 = base.device, has_bf16(base.device.type)
        self.generator: Generator = base.generator
        self.size = (clip.height // details.scale, clip.width // details.scale)

    def segments(self, requests: Sequence[VideoRequest], chunk: int | None = None) -> Iterator[Tensor]:
        """Yield (B, C, T, H, W) for ever, of `chunk` frames each; None for as many as in a training clip."""
        fields = torch.stack([noise_field(request.seed, *self.size) for request in requests])  # B 1 h w
        ends = torch.stack([noise_field(seed, *self.size) for seed in end_seeds(requests)])
        lengths = torch.tensor([max(1, request.frames - 1) for request in requests])
        count = chunk or self.hop
        # Frame by frame on a CPU: then each is the same, to the last bit, whatever the chunks.
        smalls = self.base.segments(requests, 1 if self.device.type == "cpu" else count)
        pictures = (small[:, :, number] for small in smalls for number in range(small.shape[2]))  # B C h w each
        for first in itertools.count(0, count):
            places = [(number / lengths).clamp(max=1) for number in range(first, first + count)]
            noises = [noise_between(fields, ends, place) for place in places]
            frames = self.decode(torch.cat(list(itertools.islice(pictures, count))), torch.cat(noises))
            frames = frames.view(count, len(requests), *frames.shape[1:])  # (T B) C H W -> T B C H W
            yield frames.permute(1, 2, 0, 3, 4)  # T B C H W -> B C T H W

    def decode(self, pictures: Tensor, noise: Tensor) -> Tensor:
        """Draw the details of pictures as the small generator makes them, (B, C, h, w): (B, C, s h, s w) in [-1, 1]."""
        height, width = self.size
        above, left = (pictures.shape[2] - height) // 2, (pictures.shape[3] - width) // 2
        pictures = pictures[..., above : above + height, left : left + width]
        size = 1 if self.device.type == "cpu" else max(1, AT_ONCE // (self.clip.height * self.clip.width))
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            parts = [
                self.details(part.to(self.device), field.to(self.device)).float().clamp_(-1, 1)
                for part, field in zip(torch.split(pictures, size), torch.split(noise, size), strict=True)
            ]
        return torch.cat(parts)

    def graphs(self) -> list[Graph]:
        """Return those of the small generator, and `details`."""
        height, width = self.size

        def details(picture: Tensor, noise: Tensor) -> Tensor:
            above, left = (picture.shape[2] - height) // 2, (picture.shape[3] - width) // 2
            cut = picture[..., above : above + height, left : left + width]
            made: Tensor = self.details(cut, noise).float().clamp(-1, 1)
            return made

        small = self.base.clip
        inputs = {"picture": torch.rand(2, small.channels, small.height, small.width) * 2 - 1}
        inputs["noise"] = torch.randn(2, 1, height, width)
        about = "picture: a frame of the small generator; noise: standard normal, the same for a whole video."
        graph = Graph("details", about, self.details, details, inputs, ("frames",), dict.fromkeys(inputs, (0,)))
        return [*self.base.graphs(), graph]

    def rehearse(self, run: RunGraph, clips: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
        for frames, _ in self.base.rehearse(run, clips):
            noise = torch.randn(1, 1, *self.size).expand(len(frames), -1, -1, -1)
            yield run("details", picture=frames, noise=noise)[0], None

    def preview(self, reals: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        return {"sample": next(self.segments(self.base.previewed(len(reals), labels)))}
