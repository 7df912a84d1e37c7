"""The same on a GPU: clips, steps, memory formats, compiled networks, runs that move there and back.

What can be tried on a CPU as well is; the rest is skipped where there is no GPU. `python -m pytest -m gpu` runs these.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from footage.config import Config
from footage.config.registry import METHODS
from footage.generation.rollout import from_uint8, stream, to_uint8
from footage.models.base import Method, PlainEngine
from footage.models.device import ComputeDevice, upload
from footage.models.generators.stream.network import smooth
from footage.models.requests import VideoRequest
from footage.training.cost import fake_batch, fresh_method
from footage.training.plan import prepare
from footage.training.run_folder import RunFolder
from footage.training.trainer import train
from tests.models import tiny_config

pytestmark = pytest.mark.gpu

GPU = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here"))
DEVICES = ("cpu", GPU)
KINDS = ("stream-64", "conv3d-64", "recurrent-64", "simvp-64", "vae-64", "translate-64", "upscale-x4", "stream-512")
CLOSE = 1e-3
"""Pixels in [-1, 1] made by other kernels, in float32 without shortcuts, agree within this."""


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    """Convolutions in float32 as they are, without the shortcut that GPUs take."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


def tiny(preset: str, **knobs: object) -> Config:
    own: dict[str, object] = {"task__past": 4} if preset == "simvp-64" else {}
    own |= {"clip__height": 128, "clip__width": 160} if preset == "stream-512" else {}
    return tiny_config(preset, **own, **knobs)


def steps(method: Method, config: Config, device: str, bf16: bool) -> list[dict[str, Tensor]]:
    """Make a cycle of steps, the very same on every device."""
    logs = []
    for number in range(method.cycle):
        batch = fake_batch(config, 0, 2, device)
        with torch.autocast(device, torch.bfloat16, enabled=bf16, cache_enabled=False):
            logs.append(method.step(batch, 2 * number, PlainEngine()))
    return logs


def weights(method: Method) -> Tensor:
    return torch.cat([weight.detach().flatten().cpu() for weight in method.nets.parameters()])


@pytest.mark.parametrize("device", DEVICES)
def test_uploads_are_what_they_were(device: str) -> None:
    values = np.random.default_rng(0).integers(0, 256, (2, 4, 8, 8, 3), dtype=np.uint8)
    clips = from_uint8(values, device)
    assert clips.device.type == device and np.array_equal(to_uint8(clips), values)
    for one in (torch.randn(3, 5), torch.arange(6)[::2], torch.ones(0, 4)):
        assert torch.equal(upload(one, device).cpu(), one)
    blurred = smooth(torch.ones(1, 2, 4, 4, device=device, dtype=torch.bfloat16))
    assert torch.equal(blurred.cpu(), torch.ones(1, 2, 4, 4, dtype=torch.bfloat16))


@pytest.mark.parametrize("preset", KINDS)
@pytest.mark.parametrize("device", [GPU])
def test_a_gpu_makes_the_clips_that_a_cpu_makes(preset: str, device: str) -> None:
    config = tiny(preset)
    shown = []
    for place in ("cpu", device):
        method = fresh_method(config, 0, ComputeDevice(place, False))
        reals = fake_batch(config, 0, 2, "cpu").clips
        with torch.random.fork_rng():
            torch.manual_seed(0)
            shown.append(method.sampler().preview(reals, None))
    for name, clips in shown[0].items():
        # A cascade's details are made in bf16 where the device is faster with it.
        assert float((clips - shown[1][name].cpu()).abs().max()) < (0.05 if preset == "stream-512" else CLOSE), name


@pytest.mark.parametrize("preset", ("stream-64", "conv3d-64", "upscale-x4-gan"))
@pytest.mark.parametrize("device", [GPU])
def test_a_step_on_a_gpu_is_the_step_on_a_cpu(preset: str, device: str) -> None:
    """Losses and penalties of a first cycle: weights follow from them, by an optimiser that magnifies what is small."""
    if preset == "upscale-x4-gan":
        pytest.importorskip("av", reason="clips are spoilt by H.264")
    config = tiny(preset)
    here, there = (
        steps(fresh_method(config, 0, ComputeDevice(place, False)), config, place, False)[0]
        for place in ("cpu", device)
    )
    assert here.keys() == there.keys()
    for name, value in here.items():
        assert float(there[name]) == pytest.approx(float(value), rel=2e-2, abs=2e-3), name


@pytest.mark.parametrize("preset", ("stream-64", "stream-512"))
@pytest.mark.parametrize("device", DEVICES)
def test_steps_in_bf16_are_finite(preset: str, device: str) -> None:
    config = tiny(preset)
    method = fresh_method(config, 0, ComputeDevice(device, True))
    before = weights(method)
    logs = steps(method, config, device, True)
    assert all(math.isfinite(float(value)) for log in logs for value in log.values())
    after = weights(method)
    assert torch.isfinite(after).all() and not torch.equal(before, after)


@pytest.mark.parametrize("device", DEVICES)
def test_channels_last_in_memory_is_the_same_step(device: str) -> None:
    config, found = tiny("stream-64"), []
    for last in (False, True):
        method = fresh_method(config, 0, ComputeDevice(device, False))
        for layer in method.nets.modules() if last else ():
            if isinstance(layer, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
                flat = layer.weight.ndim == 4
                kind = torch.channels_last if flat else torch.channels_last_3d
                layer.weight.data = layer.weight.data.contiguous(memory_format=kind)
        found.append(steps(method, config, device, False)[0])
    plain, other = found
    for name, value in plain.items():
        assert float(other[name]) == pytest.approx(float(value), rel=1e-3, abs=1e-4), name


@pytest.mark.parametrize("order", [("cpu", "cuda"), ("cuda", "cpu")])
@pytest.mark.parametrize("device", [GPU])
def test_a_run_goes_on_where_there_is_a_gpu_and_where_there_is_none(
    tmp_path: Path, order: tuple[str, str], device: str
) -> None:
    del device  # says what is needed
    console, folder = Console(quiet=True), RunFolder(tmp_path / "run")
    for clips, place in zip((8, 16), order, strict=True):
        config = tiny("stream-64", train__device=place, train__batch_size=2, train__save_minutes=60.0)
        train(prepare("shapes", config, timed=False), folder, clips=clips, minutes=None, console=console)
    state = torch.load(folder.state, map_location="cpu", weights_only=True)
    assert state["progress"]["clips_seen"] == 16
    assert all(torch.isfinite(value).all() for net in state["nets"].values() for value in net.values())


@pytest.mark.parametrize("device", DEVICES)
def test_a_compiled_generator_makes_the_same_frames(device: str) -> None:
    config = tiny("stream-64")
    torch.manual_seed(0)
    nets = METHODS[config.method].sampling_nets(config, 0)
    nets["generator"].to(device).eval().requires_grad_(False)
    plain = METHODS[config.method].sampler_of(config, nets)
    again = copy.deepcopy(nets)
    generator = again["generator"]
    # On a CPU without the compiler's last stages, which take a minute there.
    generator.animate = torch.compile(generator.animate, backend="inductor" if device == "cuda" else "eager")
    compiled = METHODS[config.method].sampler_of(config, again)
    one, two = (next(iter(stream(sampler, [VideoRequest(3)], 8))) for sampler in (plain, compiled))
    assert one.shape == two.shape and float((one - two).abs().max()) < CLOSE
