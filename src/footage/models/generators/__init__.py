"""Generators: networks that make clips from noise and, where there are any, labels."""

from __future__ import annotations

from typing import ClassVar

from footage.config.registry import NetConfig


class GeneratorConfig(NetConfig):
    """Base of the generators' configurations.

    The network is built as `network(clip, config, labels)`, labels being 0 for an unconditional one, and is a
    `footage.models.layers.Generator`; its sampler as `sampler(clip, network)`.
    """

    latent: int
    method: ClassVar[str] = "gan"
    sampler: ClassVar[str] = "footage.models.generators.samplers:FixedSampler"
    """The sampler, "module:attribute"."""

    @property
    def needs_critics(self) -> bool:
        """It does: there is nothing else to learn from."""
        return True

    @property
    def takes_labels(self) -> bool:
        return True

    @property
    def sliders(self) -> int:
        return self.latent
