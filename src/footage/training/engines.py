"""Engines: what the loop lends to a method's steps, for one process or several, whole networks or divided ones.

Whole networks (DDP): each process has all weights, and gradients are averaged. Divided ones (FSDP2): each process keeps
a part of every weight, of its gradient, moments and average, and all of a weight only while it is used.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Collection, Iterable, Iterator
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricModule
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from torch.optim import Optimizer

from footage.models.base import Method, PlainEngine

LEAST = 2**20
"""Weights of a block that is brought together by itself; smaller ones are with what is around them."""


class FabricEngine(PlainEngine):
    """The engine of whole networks, for one process or several; see `footage.models.base.Engine`."""

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric

    def adopt(self, method: Method) -> None:
        """Bring a new method's networks and averages to where they are trained, and make its optimisers."""
        for name in list(method.nets):
            method.nets[name] = self.wrap(method.nets[name], averaged=name in method.averages)
        for average in method.averages.values():
            average.module = self.part_of_net(average.module.to(self.fabric.device))
        method.build_optimizers()
        for name, optimizer in method.optimizers.items():
            method.optimizers[name] = cast(Optimizer, self.fabric.setup_optimizers(optimizer))

    def wrap(self, net: nn.Module, averaged: bool) -> nn.Module:
        """Return a network as it is trained; one that is `averaged` has no penalties of its gradient."""
        return self.fabric.setup_module(net)

    def backward(self, loss: Tensor) -> None:
        self.fabric.backward(loss)

    @contextlib.contextmanager
    def frozen(self, net: nn.Module) -> Iterator[nn.Module]:
        """Give the network inside a distributed wrapper, which would wait for gradients of its weights."""
        with super().frozen(net.module if isinstance(net, _FabricModule) else net) as bare:
            yield bare

    def mean(self, value: Tensor) -> Tensor:
        if self.fabric.world_size == 1:
            return value.detach()
        mean = self.fabric.all_reduce(value.detach().clone(), reduce_op="mean")
        assert isinstance(mean, torch.Tensor)
        return mean

    def own(self, weights: Iterable[Tensor]) -> list[Tensor]:
        """Return what this process has of weights."""
        return [weight.detach() for weight in weights]

    def whole(self, state: Any) -> Any:
        """Return a state, dictionaries and lists of tensors and plain values, as one process would have it.

        All processes have to ask; the first one is answered.
        """
        return state

    def part(self, state: Any, common: Collection[str] = ()) -> Any:
        """Return this process's part of a whole state; what the keys `common` name is the same in all."""
        return state

    def whole_net(self, net: nn.Module) -> nn.Module:
        """Return an averaged network that works alone. All processes have to ask; the first one is answered."""
        return net

    def part_of_net(self, net: nn.Module) -> nn.Module:
        """Return an averaged network as it is kept."""
        return net


class ShardedEngine(FabricEngine):
    """The engine of networks that are divided among the processes (FSDP2, Zhao et al. 2023), along their first axis.

    Outside of passes forward and backward every weight is divided: what reads the weights there, such as optimisers,
    averages and states, finds this process's part. The averages are divided like their networks, since they take as
    much memory, and are brought together for sheets and saves alone: an average that is whole in the first process
    would need every weight sent there at each step.

    The gradient of a gradient (R1, R2, gradient penalty) needs the weights once more when FSDP2 has let them go
    (pytorch#172543): networks that may be penalised stay together until the loss has gone all the way back.

    Args:
        fabric: launched, with a process group.
        least: see `LEAST`.
    """

    def __init__(self, fabric: Fabric, least: int = LEAST) -> None:
        super().__init__(fabric)
        self.least = least
        self.mesh = init_device_mesh(fabric.device.type, (fabric.world_size,))
        self.nets: list[FSDPModule] = []
        self.scalars: list[nn.Parameter] = []
        """Weights without an axis cannot be divided: all have them, and average their gradients in this order."""

    def wrap(self, net: nn.Module, averaged: bool) -> nn.Module:
        """Divide a network: each large block is brought together by itself, and what remains at once."""
        net.to(self.fabric.device)
        for weight in net.parameters():
            weight.data = weight.data.contiguous()  # channels lie last in some
        scalars = [weight for weight in net.parameters() if weight.ndim == 0]
        blocks = [
            block
            for holder in reversed(list(net.modules()))  # what is further inside comes first
            if isinstance(holder, (nn.ModuleList, nn.Sequential))
            for block in holder
            if not isinstance(block, (nn.ModuleList, nn.ModuleDict))
            and sum(weight.numel() for weight in block.parameters()) >= max(1, self.least)
        ]
        for module in (*dict.fromkeys(blocks), net):
            fully_shard(module, mesh=self.mesh, reshard_after_forward=averaged, ignored_params=set(scalars))
        assert isinstance(net, FSDPModule)
        net.set_reshard_after_backward(averaged)
        self.nets.append(net)
        self.scalars += scalars
        return net

    def backward(self, loss: Tensor) -> None:
        super().backward(loss)
        for net in self.nets:
            self._divide(net)
        for scalar in self.scalars:
            if scalar.grad is not None:
                scalar.grad = self.mean(scalar.grad)

    def _divide(self, net: FSDPModule) -> None:
        """Let all of a network go but this process's part."""
        for module in cast(nn.Module, net).modules():
            if isinstance(module, FSDPModule):
                module.reshard()

    @contextlib.contextmanager
    def frozen(self, net: nn.Module) -> Iterator[nn.Module]:
        """Give the divided network. Whether a weight has a gradient is asked each time that it is brought together."""
        assert isinstance(net, FSDPModule)
        self._divide(net)
        net.requires_grad_(False)
        try:
            yield net
        finally:
            self._divide(net)  # a pass without a gradient leaves it together
            net.requires_grad_(True)

    def own(self, weights: Iterable[Tensor]) -> list[Tensor]:
        return [weight.to_local() if isinstance(weight, DTensor) else weight for weight in super().own(weights)]

    def whole(self, state: Any) -> Any:
        if isinstance(state, dict):
            return {key: self.whole(value) for key, value in state.items()}
        if isinstance(state, list):
            return [self.whole(value) for value in state]
        if not isinstance(state, DTensor):
            return state
        tensor = state.full_tensor()
        return tensor.cpu() if self.fabric.global_rank == 0 else None  # one at a time is whole elsewhere

    def part(self, state: Any, common: Collection[str] = ()) -> Any:
        if isinstance(state, dict):
            return {key: value if key in common else self.part(value, common) for key, value in state.items()}
        if isinstance(state, Tensor) and state.ndim:
            return self._part(state)
        return state

    def _part(self, tensor: Tensor) -> Tensor:
        return distribute_tensor(tensor.detach(), self.mesh, [Shard(0)], src_data_rank=None)

    def whole_net(self, net: nn.Module) -> nn.Module:
        whole: dict[int, Any] = {}
        for weight in net.parameters():
            tensor = weight.full_tensor() if isinstance(weight, DTensor) else weight
            if self.fabric.global_rank == 0:
                whole[id(weight)] = nn.Parameter(tensor, requires_grad=False)
        return copy.deepcopy(net, whole) if whole else net  # the weights are taken from the memo

    def part_of_net(self, net: nn.Module) -> nn.Module:
        weights = [weight for weight in net.parameters() if weight.ndim]
        return copy.deepcopy(net, {id(w): nn.Parameter(self._part(w), requires_grad=False) for w in weights})
