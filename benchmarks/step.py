"""A whole training step beside the bare convolutions that it cannot avoid, by default at MoCoGAN's configuration.

python benchmarks/step.py [PRESET] [--batch 3] [--threads 1] [--precision fp32] [--rounds 10]
    [--compile] [--channels-last] [--adam fused] [--knob gan.r1=2.0 ...]

The convolutions of one step are recorded with their shapes and with what of them needs a gradient, then called by plain
torch on random tensors: forward, and the products of the backward pass, nothing else. The two run in turn.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from footage.config.presets import preset
from footage.config.registry import METHODS
from footage.models.base import PlainEngine
from footage.models.device import ComputeDevice, find_device
from footage.training.cost import fake_batch

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass
class Call:
    """One convolution of a step."""

    layer: nn.Module
    """Its layer."""
    shape: torch.Size
    """Of its input."""
    needs_input: bool
    """Whether the input needs a gradient."""
    needs_weight: bool
    """Whether the weight does."""


def recorded(nets: nn.ModuleDict, step: Callable[[], object]) -> list[Call]:
    """Run a step and return its convolutions."""
    calls: list[Call] = []

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(layer, CONVOLUTIONS)
        on = torch.is_grad_enabled()
        calls.append(Call(layer, inputs[0].shape, on and inputs[0].requires_grad, on and layer.weight.requires_grad))

    hooks = [layer.register_forward_hook(note) for layer in nets.modules() if isinstance(layer, CONVOLUTIONS)]
    step()
    for hook in hooks:
        hook.remove()
    return calls


def replay(calls: list[Call], dtype: torch.dtype) -> Callable[[], None]:
    """Return what makes the same convolutions and the products of their backward passes."""
    prepared = []
    for call in calls:
        layer = call.layer
        assert isinstance(layer, CONVOLUTIONS)
        transposed = isinstance(layer, (nn.ConvTranspose2d, nn.ConvTranspose3d))
        x, w = torch.randn(call.shape).to(dtype), layer.weight.detach().to(dtype)
        dims = len(layer.stride)
        rest = (list(layer.stride), list(layer.padding), [1] * dims, transposed, [0] * dims, 1)
        out = torch.ops.aten.convolution(x, w, None, *rest)
        prepared.append((x, w, torch.randn_like(out), rest, [call.needs_input, call.needs_weight, False]))

    def run() -> None:
        for x, w, g, rest, mask in prepared:
            torch.ops.aten.convolution(x, w, None, *rest)
            if any(mask):
                torch.ops.aten.convolution_backward(g, x, w, None, *rest, mask)

    return run


def to_channels_last(nets: nn.ModuleDict) -> None:
    """Put the convolutions' weights into the memory format in which channels lie together."""
    for layer in nets.modules():
        if isinstance(layer, CONVOLUTIONS):
            flat = isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))
            layer.to(memory_format=torch.channels_last if flat else torch.channels_last_3d)  # type: ignore[call-overload]


def main() -> None:
    """Print the times and their ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("preset", nargs="?", default="mocogan-64")
    parser.add_argument("--batch", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--compile", action="store_true", help="the networks by torch.compile")
    parser.add_argument("--channels-last", action="store_true", help="weights and real clips in that memory format")
    parser.add_argument("--adam", choices=("fused", "foreach", "loop"), default="fused")
    parser.add_argument("--knob", nargs="*", default=[], help="NAME=VALUE, as JSON")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    knobs = {name: json.loads(value) for name, value in (knob.split("=") for knob in options.knob)}
    config = preset(options.preset, {"train.precision": options.precision, "train.device": "cpu", **knobs})
    place: ComputeDevice = find_device(config.train.device, config.train.precision)
    torch.manual_seed(0)
    method = METHODS[config.method](config, 2)
    batch = fake_batch(config, 2, options.batch, "cpu")
    number = 0

    def step() -> None:
        nonlocal number
        number += 1
        with torch.autocast("cpu", torch.bfloat16, enabled=place.bf16, cache_enabled=False):
            method.step(batch, number * options.batch, PlainEngine())

    method.build_optimizers()
    for optimizer in method.optimizers.values():
        optimizer.param_groups[0].update(fused=options.adam == "fused", foreach=options.adam == "foreach")
    if options.channels_last:
        to_channels_last(method.nets)
        batch.clips = batch.clips.to(memory_format=torch.channels_last_3d)
    bare = replay(recorded(method.nets, step), torch.bfloat16 if place.bf16 else torch.float32)
    if options.compile:
        for net in method.nets.values():
            net.compile()
    times: dict[str, list[float]] = {"step": [], "bare": []}
    for turn in range(options.rounds + 3):
        for name, what in (("step", step), ("bare", bare)):
            begin = time.perf_counter()
            what()
            if turn >= 3:  # the first ones warm up
                times[name].append(time.perf_counter() - begin)
    ratios = [a / b for a, b in zip(times["step"], times["bare"], strict=True)]
    print(
        f"{config.preset}, batch {options.batch}, {place.precision}, {options.threads} threads, {options.rounds} rounds"
    )
    for name, values in times.items():
        middle, low, high = statistics.median(values), min(values), max(values)
        print(f"{name}: {middle * 1000:.0f} ms ({low * 1000:.0f} to {high * 1000:.0f})")
    print(f"ratio: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    print(json.dumps({"ratio": ratios}))


if __name__ == "__main__":
    main()
