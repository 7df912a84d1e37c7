"""Prediction: a network continues clips; it learns by what really followed, and from critics where there are any.

With critics, they see the whole clip, past and future: real, or with the future that was predicted (sharp futures;
Mathieu et al. 2016). The stochastic network draws, in training, from the posterior, which has seen the true future,
and pays for how far that lies from its prior (Denton and Fergus 2018, eq. 3).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from footage.config import ClipConfig, Config
from footage.models.base import Batch, Graph, RunGraph, Sampler
from footage.models.generators.samplers import draws_of, first_frames, more
from footage.models.layers import Levels, Noise
from footage.models.supervised import StepOutput, SupervisedMethod

State = tuple[Tensor, ...]
"""What a predictor remembers of the frames before, (B, ...) each."""


class PredictorOutput(NamedTuple):
    """What a predictor gives in training."""

    future: Tensor
    """(B, C, F, H, W), around [-1, 1]."""
    divergence: Tensor | None
    """(B,): Kullback-Leibler divergence of the posterior from the prior over all frames, in nats; None where there is
    one future only."""
    rehearsed: Tensor | None = None
    """(B, C, P - 1, H, W): the past itself from its second frame on, each frame from the true ones before it; None
    where that is not made on the way."""
    cost: Tensor | None = None
    """What the network is to learn beside, as a number to minimise; None for nothing."""


class Predictor(nn.Module, ABC):
    """A network that continues clips (B, C, P, H, W)."""

    levels: Levels
    past: int
    """Frames that it is given, P."""
    told: nn.Linear | None
    """What becomes of a caption's vector, where the network is told any; it has no bias, the empty one's is zero."""

    @abstractmethod
    def forward(
        self,
        clips: Tensor,
        noise: Noise,
        shown: Tensor | None,
        rehearse: bool = False,
        told: Tensor | None = None,
    ) -> PredictorOutput:
        """Predict what follows the first P frames of clips (B, C, T, H, W), one frame for each that there is.

        Args:
            clips: past and true future.
            noise: as `noise` says.
            shown: (B, T - P), whether a recurrent network gets the true frame instead of its own before the next one;
                None for never.
            rehearse: whether to make the past too, where the network can on its way.
            told: vectors of captions, (B, D), where the network is told any; None for empty ones.
        """

    def heard(self, told: Tensor | None, clips: Tensor) -> Tensor:
        """Return what captions come to beside clips, (B, n); (B, 1) zeros where the network is told none."""
        if self.told is None:
            return clips.new_zeros(clips.shape[0], 1)
        return self.told(clips.new_zeros(clips.shape[0], self.told.in_features) if told is None else told.to(clips))  # type: ignore[no-any-return]

    def noise(self, frames: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the noise of one clip, by name, (frames, n): a row for each frame.

        None for one future only; those that have some make one frame at a time.
        """
        return {}

    @abstractmethod
    def begin(self, past: Tensor, told: Tensor | None = None) -> State:
        """Return the state after the past, (B, C, P, H, W), beside captions' vectors (B, D)."""

    @abstractmethod
    def advance(self, state: State, noise: Tensor | None) -> tuple[Tensor, State]:
        """Predict the next frames (B, C, f, H, W), and the state after them.

        Args:
            state: after the frames before.
            noise: (B, n) standard normal numbers, for those whose `noise` is not empty.
        """


class Predict(SupervisedMethod):
    """A predictor, and critics where there are any; see `footage.models.base.Method`."""

    def __init__(self, config: Config, labels: int) -> None:
        super().__init__(config, labels)
        predictor = self.nets["generator"]
        assert isinstance(predictor, Predictor)
        self.shapes = predictor.noise(config.clip.frames)
        # What is drawn from the posterior has seen the future: its error is none of prediction.
        self.figure = "posterior_mse" if self.shapes else "frame_mse"
        own = {"Squared error of a frame, pixels in [0, 1], summed": (self.figure, f"heldout_{self.figure}")}
        if self.shapes:
            own["Divergence of the posterior from the prior, nats in a clip"] = ("kl", "heldout_kl")
        self.curves = {**own, **self.curves}

    def forward_step(self, batch: Batch, clips_seen: int, judged: bool) -> StepOutput:
        config, past = self.config, self.config.task.past
        noise = {name: batch.normal(*shape) for name, shape in self.shapes.items()}
        helped = config.task.truth and torch.is_grad_enabled()  # not where held-out clips are looked at
        chance = max(0.0, 1 - clips_seen / config.task.truth) if helped else 0.0
        shown = batch.uniform(config.clip.frames - past) < chance if chance else None
        rehearse = clips_seen < config.task.rehearsal and torch.is_grad_enabled()
        told = () if batch.labels is None else (batch.labels,)
        output: PredictorOutput = self.nets["generator"](batch.clips, noise, shown, rehearse, *told)
        real = batch.clips[:, :, past:]
        loss = self.difference(output.future, real)
        if output.rehearsed is not None:
            loss = loss + self.difference(output.rehearsed, batch.clips[:, :, 1:past])
        loss = config.learn.weight * (loss if output.cost is None else loss + output.cost)
        squares = (output.future.detach().to(real.dtype) - real).square()
        log = {self.figure: squares.mean() / 4 * math.prod(real.shape[1:]) / real.shape[2]}
        if output.cost is not None:
            log["cost"] = output.cost.detach()
        if output.divergence is not None:
            kl = output.divergence.mean()
            ramp = min(1.0, clips_seen / config.kl.ramp) if config.kl.ramp else 1.0
            loss, log["kl"] = loss + config.kl.beta * ramp * kl, kl.detach()
        judged_clips = {}
        if config.critics and judged:
            judged_clips[""] = (batch.clips, torch.cat([batch.clips[:, :, :past], output.future.to(real.dtype)], dim=2))
        return StepOutput(loss, log, judged_clips)

    @classmethod
    def sampler_of(cls, config: Config, nets: dict[str, nn.Module]) -> Sampler:
        predictor = nets["generator"]
        assert isinstance(predictor, Predictor)
        return FutureSampler(config.clip, predictor)


class FutureSampler:
    """Futures of clips, without end, in constant memory; see `footage.models.base.Predicts`."""

    def __init__(self, clip: ClipConfig, predictor: Predictor) -> None:
        self.clip, self.predictor = clip, predictor.eval()
        self.past = self.given = predictor.past
        self.certain = not predictor.noise(clip.frames)
        self.device = next(predictor.parameters()).device

    def futures(self, past: Tensor, seeds: Sequence[int], told: Tensor | None = None) -> Iterator[Tensor]:
        assert past.shape[2] == self.past, f"{past.shape[2]} frames are given, not {self.past}"
        rngs = [draws_of(seed) for seed in seeds]
        shapes = list(self.predictor.noise(1).values())  # (1, n): a row for each frame
        with torch.inference_mode():
            state = self.predictor.begin(past.to(self.device), told)
        while True:
            noise = more(rngs, *shapes[0]).squeeze(1).to(self.device) if shapes else None  # B n
            with torch.inference_mode():
                frames, state = self.predictor.advance(state, noise)
                frames = frames.float().clamp(-1, 1)
            yield frames  # outside of the block: it would hold for the caller too

    def graphs(self) -> list[Graph]:
        """Return `begin` and `advance`."""
        predictor, clip = self.predictor, self.clip
        past = torch.rand(2, clip.channels, self.past, clip.height, clip.width) * 2 - 1
        told = {} if predictor.told is None else {"told": torch.randn(2, predictor.told.in_features)}
        begun = {"past": past} | told
        with torch.no_grad():
            state = predictor.begin(*begun.values())
        states = {f"state{number}": part for number, part in enumerate(state)}
        shapes = list(predictor.noise(1).values())
        noise = {"noise": torch.randn(2, *shapes[0][1:])} if shapes else {}

        def advance(*values: Tensor) -> tuple[Tensor, ...]:
            frames, after = predictor.advance(values[: len(states)], values[len(states)] if noise else None)
            return frames.float().clamp(-1, 1), *after

        drawn = "noise: standard normal, anew each time. " if noise else ""
        heard = " told: the vector of a caption, zeros for none." if told else ""
        outputs = ("frames", *(f"{name}_after" for name in states))
        return [
            Graph(
                "begin",
                f"The state after the first {self.past} frames, (B, C, T, H, W) in [-1, 1].{heard}",
                predictor,
                predictor.begin,
                begun,
                tuple(states),
                dict.fromkeys(begun, (0,)),
            ),
            Graph(
                "advance",
                f"The next frames, and the state after them. {drawn}frames: (B, C, t, H, W) in [-1, 1].",
                predictor,
                advance,
                states | noise,
                outputs,
                {name: (0,) for name in states | noise},
            ),
        ]

    def rehearse(self, run: RunGraph, clips: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
        heard, shapes = self.predictor.told, list(self.predictor.noise(1).values())
        told = {} if heard is None else {"told": torch.zeros(len(clips), heard.in_features)}
        state, done = list(run("begin", past=clips[:, :, : self.past], **told)), self.past
        while done < clips.shape[2]:
            noise = {"noise": torch.randn(len(clips), *shapes[0][1:])} if shapes else {}
            states = {f"state{number}": part for number, part in enumerate(state)}
            frames, *state = run("advance", **states, **noise)
            real = clips[:, :, done : done + frames.shape[2]]
            yield frames[:, :, : real.shape[2]], real
            done += frames.shape[2]

    def preview(self, reals: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        past = reals[:, :, : self.past]
        futures = first_frames(self.futures(past, range(len(reals)), labels), reals.shape[2] - self.past)
        return {"predicted": torch.cat([past.to(self.device), futures], dim=2), "real": reals}
