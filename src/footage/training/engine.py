"""What the loop lends to a training step, on Lightning Fabric: one process or several."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricModule
from torch import Tensor, nn


class FabricEngine:
    """See `footage.models.base.Engine`.

    Args:
        fabric: whose networks and optimisers the step uses.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients of a scalar; with several processes, their mean."""
        self.fabric.backward(loss)

    @contextlib.contextmanager
    def frozen(self, net: nn.Module) -> Iterator[nn.Module]:
        """Give the network inside a distributed wrapper, which would wait for gradients of its weights.

        Networks that are divided among processes (FSDP) have no inside that works alone: not supported.
        """
        bare = net.module if isinstance(net, _FabricModule) else net
        bare.requires_grad_(False)
        try:
            yield bare
        finally:
            bare.requires_grad_(True)

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a tensor over all processes, without gradient."""
        if self.fabric.world_size == 1:
            return value.detach()
        mean = self.fabric.all_reduce(value.detach().clone(), reduce_op="mean")
        assert isinstance(mean, torch.Tensor)
        return mean
