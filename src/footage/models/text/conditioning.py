"""Models that are told captions: any method that takes labels, with a caption's vector beside the label's weights.

A label reaches networks as weights over K labels; a caption's vector of D numbers stands behind them. So a generator of
K + D labels, with its critics, samplers and mixtures, knows words without knowing it: a table of embeddings times that
vector is a linear map of it. The empty caption is the zero vector.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot
from torch.optim import Adam, Optimizer

from footage.config import Config, TextConfig
from footage.config.registry import ADVERSARIAL, METHODS
from footage.config.words import Numbers, TokenTable
from footage.errors import ModelError
from footage.models.base import Batch, CaptionBatch, Engine, Mismatch, MovingAverage, Sampler
from footage.models.device import upload
from footage.models.text.encoder import ClipEncoder, TextEncoder, WordNaming, matching_loss, recall_loss
from footage.models.text.frozen import FrozenEncoder, cached_vectors, open_encoder


class CaptionReader:
    """The captions of a source, made ready once: pieces of words, or vectors of a frozen encoder.

    Args:
        captions: the texts, each once.
        config: how they are read.
        folder: where vectors of frozen encoders are kept; None for nowhere.
    """

    def __init__(self, captions: Sequence[str], config: TextConfig, folder: Path | None = None) -> None:
        self.table: TokenTable | None = None
        self.vectors: npt.NDArray[np.float32] | None = None
        if config.frozen:
            found = config.scale * cached_vectors(opened(config), captions, folder)
            self.vectors = np.concatenate([found, np.zeros_like(found[:1])]).astype(np.float32)  # N + 1, D
        else:
            self.table = TokenTable(captions, config)

    def batch(self, numbers: Numbers, device: torch.device | str = "cpu") -> CaptionBatch:
        """Return captions by their numbers, (B, 2), -1 for none."""
        content = self.vectors[numbers] if self.table is None else self.table.pieces(numbers)  # type: ignore[index]
        return CaptionBatch(upload(torch.from_numpy(content), device), upload(torch.from_numpy(numbers), device))


def opened(config: TextConfig) -> FrozenEncoder:
    """Open the frozen encoder of a configuration.

    Raises:
        ModelError: it is another one than the model learned with.
    """
    encoder = open_encoder(config.encoder)
    if config.digest and encoder.digest != config.digest:
        raise ModelError(
            f"the model learned with an encoder {config.encoder} of SHA-256 {config.digest[:12]}…, here it is "
            f"{encoder.digest[:12]}…",
            "install the version that it learned with, or train again",
        )
    return encoder


class TextReader:
    """What makes vectors of any texts for a model; a frozen encoder is opened when the first text comes."""

    def __init__(self, config: TextConfig, encoder: TextEncoder | None) -> None:
        self.config, self._encoder = config, encoder
        self._frozen: FrozenEncoder | None = None

    @property
    def size(self) -> int:
        return self.config.size

    def vectors(self, texts: Sequence[str]) -> Tensor:
        """Return the vectors of texts, (N, D), on the CPU; of an empty one, zeros."""
        if self._encoder is None:
            self._frozen = self._frozen or opened(self.config)
            return torch.from_numpy(self.config.scale * self._frozen.vectors(texts))
        table = TokenTable(texts, self.config)
        pieces = torch.from_numpy(table.pieces(np.arange(len(texts))))
        device = next(self._encoder.parameters()).device
        with torch.inference_mode():
            found: Tensor = self._encoder(pieces.to(device)).vector
        return found.cpu()

    def weights(self, text: str) -> tuple[float, ...]:
        """Return a text's vector as it stands behind the weights over labels in requests."""
        return tuple(self.vectors([text])[0].tolist())


@runtime_checkable
class ReadsText(Protocol):
    """A sampler that is told by words what to show."""

    text: TextReader


def beside(labels: Tensor | None, count: int, vectors: Tensor) -> Tensor:
    """Put captions' vectors (B, D) behind the weights of labels (B,), of which there are `count`: (B, K + D)."""
    return vectors if labels is None else torch.cat([one_hot(labels, count).to(vectors), vectors], dim=1)


class TextConditioned:
    """A method with captions; see `footage.models.base.Method`.

    Its own encoder learns from the matching loss, and from naming the words that it has read: the first brings together
    what means the same, but knows no difference before it is seen in clips; the second keeps those. What generator and
    critics are told is a constant to them.
    """

    def __init__(self, config: Config, labels: int) -> None:
        self.config, self.labels = config, labels
        self.inner = METHODS[config.method](config, labels + config.text.size)
        self.nets: nn.ModuleDict = self.inner.nets
        self.averages = dict(self.inner.averages)
        self.optimizers: dict[str, Optimizer] = self.inner.optimizers
        self.cycle = self.inner.cycle
        self.curves: Mapping[str, tuple[str, ...]] = self.inner.curves
        self.trained_with: dict[str, str] = getattr(self.inner, "trained_with", {})
        self.learning: tuple[str, ...] = ()
        """Networks that learn from captions."""
        if not config.text.frozen:
            text, matcher = TextEncoder(config.text), ClipEncoder(config.net.read_clip(config.clip), config.text.size)
            half_life = config.gan.ema if config.method in ADVERSARIAL else config.learn.ema
            self.averages["text"] = MovingAverage(text, half_life)
            learning: dict[str, nn.Module] = {"text": text, "matcher": matcher}
            matched = {"Captions: loss of matching, part that is right": ("matching", "matching_right")}
            self.curves = {**self.curves, **matched}
            if config.text.recall:
                learning["words"] = WordNaming(config.text)
                self.curves = {**self.curves, "Captions: loss of naming their words": ("recall",)}
            self.nets.update(learning)
            self.learning = tuple(learning)

    def calibrate(self, batches: Iterable[Tensor]) -> None:
        self.inner.calibrate(batches)

    def build_optimizers(self) -> None:
        self.inner.build_optimizers()
        for name in self.learning:
            self.optimizers[name] = Adam(self.nets[name].parameters(), self.config.text.lr, betas=(0.9, 0.99))

    def step(self, batch: Batch, clips_seen: int, engine: Engine) -> dict[str, Tensor]:
        """Match captions and clips; then update the rest, told the captions' vectors."""
        captions, text, log = batch.captions, self.config.text, dict[str, Tensor]()
        assert captions is not None, "a model that is told captions learns from them"
        vectors = captions.content
        if not text.frozen:
            vectors, log = self._matched(batch, captions, clips_seen, engine)
        kept = (batch.uniform() >= text.empty).unsqueeze(1)  # B 1
        shown = (vectors[:, 0] * kept, vectors[:, 1])
        given, other = (beside(batch.labels, self.labels, one) for one in shown)
        mismatch = Mismatch(other, captions.numbers[:, 1] >= 0, text.mismatched) if text.mismatched else None
        heldout = batch.heldout
        if heldout is not None and batch.heldout_captions is not None:
            unseen = batch.heldout_captions.content
            if not text.frozen:
                with torch.no_grad():
                    unseen = self.nets["text"](unseen.flatten(0, 1)).vector.unflatten(0, (-1, 2))  # B 2 D
            heldout = (heldout[0], beside(heldout[1], self.labels, unseen[:, 0]))
        told = dataclasses.replace(batch, labels=given, mismatch=mismatch, heldout=heldout)
        return log | self.inner.step(told, clips_seen, engine)

    def _matched(
        self, batch: Batch, captions: CaptionBatch, clips_seen: int, engine: Engine
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Update the encoder of captions and that of clips; return the captions' vectors (B, 2, D), and what to log."""
        text = self.config.text
        vectors: Tensor = self.nets["text"](captions.content.flatten(0, 1)).vector.unflatten(0, (-1, 2))  # B 2 D
        clips: Tensor = self.nets["matcher"](batch.clips[:, : self.config.clip.channels])
        # Every process compares the clips and captions of all, its own with their way back.
        every = self._of_all(torch.cat([clips, vectors.flatten(1)], dim=1), batch, engine)
        size = clips.shape[1]
        seen, said = every[:, :size], torch.cat([every[:, size : 2 * size], every[:, 2 * size :]])  # own, then others
        numbers = self._of_all(captions.numbers.double(), batch, engine).round().long().T.flatten()
        found = matching_loss(seen, normalize(said, dim=1), numbers, text.temperature)
        loss = found.loss * (batch.total / len(batch.clips))  # the mean over processes divides by them
        log = {"matching": found.loss.detach(), "matching_right": found.right}
        if text.recall:
            recall = recall_loss(self.nets["words"](vectors.flatten(0, 1)), captions.content.flatten(0, 1))
            loss, log["recall"] = loss + text.recall * recall, recall.detach()
        for name in self.learning:
            self.optimizers[name].zero_grad(set_to_none=True)
        engine.backward(loss)
        for name in self.learning:
            self.optimizers[name].step()
        self.averages["text"].update(self.nets["text"], clips_seen + batch.total, batch.total)
        return vectors.detach(), log

    @staticmethod
    def _of_all(own: Tensor, batch: Batch, engine: Engine) -> Tensor:
        """Return the rows of all processes, (total, ...), with the gradients of this one's, (B, ...)."""
        if len(own) == batch.total:
            return own
        rows = own.new_zeros(batch.total, *own.shape[1:])
        rows[batch.first : batch.first + len(own)] = own
        return engine.mean(rows) * (batch.total / len(own)) + rows - rows.detach()

    def sampler(self) -> Sampler:
        return self.sampler_of(self.config, {name: average.module for name, average in self.averages.items()})

    @classmethod
    def sampling_nets(cls, config: Config, labels: int) -> dict[str, nn.Module]:
        nets = METHODS[config.method].sampling_nets(config, labels + config.text.size)
        return nets if config.text.frozen else nets | {"text": TextEncoder(config.text)}

    @classmethod
    def sampler_of(cls, config: Config, nets: dict[str, nn.Module]) -> Sampler:
        encoder = nets.get("text")
        assert encoder is None or isinstance(encoder, TextEncoder)
        rest = {name: net for name, net in nets.items() if name != "text"}
        sampler: Any = METHODS[config.method].sampler_of(config, rest)
        sampler.text = TextReader(config.text, encoder.eval() if encoder else None)
        told: Sampler = sampler
        return told
