"""Two processes with half the batch each give the gradients of one with the whole batch, double backward included.

So do networks that are divided among them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy

from footage.config import ClipConfig, Config, CriticConfig, GanConfig, KlConfig, LearnConfig, TaskConfig, TextConfig
from footage.config.presets import PRESETS, tiny
from footage.models.autoencoders import VaeConfig
from footage.models.base import Batch, CaptionBatch, Method
from footage.models.generators.conv3d import Conv3dConfig
from footage.models.generators.mlp import MlpConfig
from footage.models.generators.recurrent import RecurrentConfig
from footage.models.generators.stream import StreamConfig
from footage.models.predictors.convlstm import ConvLstmConfig
from footage.models.predictors.simvp import SimVpConfig
from footage.models.predictors.sprites import SpritesConfig
from footage.models.predictors.svg import SvgConfig
from footage.training.engines import FabricEngine, ShardedEngine

STILL = {"lr": 1e-12, "critic_lr": 1e-12, "penalty_every": 1}  # the critics' update must not reach the generator
ALL = {"r1": 1.0, "r2": 1.0, "gradient_penalty": 10.0, **STILL}
BASE = Config(
    clip=ClipConfig(frames=8, height=16, width=16),
    net=Conv3dConfig(latent=8, label=4, width=4),
    critics=(CriticConfig(width=4),),
    gan=GanConfig(temporal=1.0, periodicity="avoid", **ALL),  # type: ignore[arg-type]
)
RECURRENT = RecurrentConfig(content=8, motion=4, hidden=4, label=4, width=4)
CLIPPED = LearnConfig(lr=1e-12, clip_gradient=0.1)
PREDICT = Config(
    method="predict",
    clip=BASE.clip,
    net=SimVpConfig(width=4, hidden=8, layers=1),
    learn=LearnConfig(lr=1e-12),
    task=TaskConfig(past=5),
    critics=(),
)

VAE = Config(
    method="vae",
    clip=BASE.clip,
    net=VaeConfig(width=4, latent=4, noise=8, label=4),
    critics=(),
    learn=CLIPPED,
    kl=KlConfig(ramp=0, free_bits=0.01),
    gan=GanConfig(**ALL),  # type: ignore[arg-type]
)


def frames(**knobs: object) -> CriticConfig:
    return CriticConfig(sees="frames", width=4, **knobs)  # type: ignore[arg-type]


def small(preset: str) -> Config:
    config = tiny(PRESETS[preset].config)
    return dataclasses.replace(config, clip=BASE.clip, gan=GanConfig(**ALL))  # type: ignore[arg-type]


CONFIGS = {
    "conv3d": BASE,
    "penalty alone": dataclasses.replace(BASE, gan=GanConfig(gradient_penalty=10.0, **STILL)),  # type: ignore[arg-type]
    "relativistic": dataclasses.replace(BASE, gan=dataclasses.replace(BASE.gan, loss="relativistic")),
    "mlp": dataclasses.replace(
        BASE,
        net=MlpConfig(latent=8, width=4),
        critics=(CriticConfig(net="mlp", width=4),),
        # Its first fakes hardly move, and the autocorrelation of next to nothing is rounding.
        gan=dataclasses.replace(BASE.gan, periodicity="none"),
    ),
    "two streams": dataclasses.replace(BASE, net=Conv3dConfig(latent=8, label=4, width=4, streams=2)),
    "recurrent": dataclasses.replace(
        BASE,
        net=RECURRENT,
        critics=(CriticConfig(width=4, labels="classify"), frames(patch=True), frames(frames=3)),
        gan=GanConfig(loss="hinge", **ALL),  # type: ignore[arg-type]
    ),
    "stream": dataclasses.replace(
        BASE,
        net=StreamConfig(content=8, processes=4, points=4, groups=2, codes=16, label=4, width=4, shot=12),
        critics=(CriticConfig(sees="sparse", frames=3, width=4), CriticConfig(shrink=2, width=4)),
        gan=GanConfig(loss="relativistic", burn_in=8, **ALL),  # type: ignore[arg-type]
    ),
    "sparse": dataclasses.replace(
        BASE,
        critics=(CriticConfig(sees="sparse", frames=3, width=4), CriticConfig(sees="difference", shrink=2, width=4)),
        gan=GanConfig(sigma=0.1, r1=1.0, r2=1.0, **STILL),  # type: ignore[arg-type]
    ),
    "embed_motion": dataclasses.replace(
        BASE,
        critics=(
            CriticConfig(net="embed_motion", width=4),
            CriticConfig(net="embed_motion", motion="encoder", width=4),
        ),
    ),
    "captions": dataclasses.replace(
        BASE,
        critics=(CriticConfig(width=4), CriticConfig(sees="frames", frames=2, width=4)),
        gan=GanConfig(**ALL),  # type: ignore[arg-type]
        text=TextConfig(encoder="own", size=8, width=8, words=8, pieces=64, lr=1e-12),
    ),
    "captions, relativistic": dataclasses.replace(
        BASE,
        gan=GanConfig(loss="relativistic", **ALL),  # type: ignore[arg-type]
        text=TextConfig(encoder="own", size=8, width=8, words=8, pieces=64, lr=1e-12),
    ),
    "two_stream": dataclasses.replace(BASE, critics=(CriticConfig(net="two_stream", width=4),)),
    **{name: small(name) for name in ("translate-64", "animate-64", "spade-64")},
    "simvp": PREDICT,
    "simvp, judged": dataclasses.replace(
        PREDICT,
        critics=(CriticConfig(width=4), CriticConfig(sees="sparse", frames=3, width=4)),
        gan=GanConfig(**ALL),  # type: ignore[arg-type]
    ),
    "convlstm": dataclasses.replace(
        PREDICT,
        net=ConvLstmConfig(width=4, layers=2, surprise=True),
        task=TaskConfig(past=5, truth=8),  # half of the frames are shown at the second step
    ),
    "sprites": dataclasses.replace(PREDICT, net=SpritesConfig(side=8, width=4, features=8, motion=8), learn=CLIPPED),
    "svg": dataclasses.replace(PREDICT, net=SvgConfig(width=4, latent=2, code=8, hidden=8)),
    "vae": VAE,
    "vae-gan": dataclasses.replace(VAE, critics=(CriticConfig(width=4), frames(frames=3))),
    "vae-latent": dataclasses.replace(
        VAE,
        net=dataclasses.replace(VAE.net, prior="gan"),
        critics=(CriticConfig(width=4), CriticConfig(net="mlp", width=4)),
    ),
    "lens": small("lens-8-gan"),
    "diffusion": small("diffusion-32"),
}


EXAMINED = ("translate-64", "svg", "vae-gan", "diffusion")
"""Configurations that look at held-out clips in their steps: one more pass through wrapped networks, no gradients."""


@pytest.fixture(autouse=True, scope="module")
def double_precision() -> Iterator[None]:
    """In float32, rounding alone reaches 1e-5 where a gradient all but cancels out."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


DIVIDED = (
    *("conv3d", "penalty alone", "stream", "sparse", "translate-64", "svg", "sprites", "vae", "vae-latent", "lens"),
    "diffusion",
    "captions",
)
"""Configurations whose networks are divided among the processes as well: one of each kind."""


def trained(name: str, engine: FabricEngine) -> Method:
    """Make two steps on this process's part of a batch of four."""
    config = CONFIGS[name]
    if name == "conv3d":
        config = dataclasses.replace(config, augment=dataclasses.replace(config.augment, probability=0.7))
    torch.manual_seed(0)
    named = config.takes_labels
    method = config.trained_by(config, 2 if named else 0)
    engine.adopt(method)
    fabric = engine.fabric
    rng = torch.Generator().manual_seed(7)
    clip = config.clip
    read = clip.channels + config.guides
    clips = torch.rand(4, read, clip.frames, clip.height, clip.width, generator=rng) * 2 - 1
    count = 4 // fabric.world_size
    first = fabric.global_rank * count
    mine = slice(first, first + count)
    labels = torch.tensor([0, 1, 1, 0])[mine] if named else None
    heldout = (clips.flip(0)[mine], labels) if name in EXAMINED else None
    for number in range(2):  # twice: a wrapper that waits for gradients in vain fails at the second step
        rng = torch.Generator().manual_seed(number)
        batch = Batch(clips[mine], labels, rng, 4, first, heldout=heldout)
        if config.text.used:  # two clips have the same caption, and one has no other
            pieces = torch.randint(1, 64, (4, 2, 3, 5), generator=torch.Generator().manual_seed(3))
            batch.captions = CaptionBatch(pieces[mine], torch.tensor([[0, 1], [2, 3], [0, 4], [5, -1]])[mine])
        log = method.step(batch, number * 4, engine)
        assert any("heldout_" in key for key in log) == (heldout is not None)
    return method


def gradients(name: str, engine: FabricEngine) -> dict[str, torch.Tensor]:
    """Return the gradients of all networks; divided ones are whole in the first process, and None in the other."""
    return {
        f"{name}.{key}".replace("_forward_module.", "").replace("module.", ""): engine.whole(
            weight.grad.clone()
        )  # without wrappers
        for name, net in trained(name, engine).nets.items()
        for key, weight in net.named_parameters()
        if weight.grad is not None
    }


def kept(engine: FabricEngine) -> int:
    """Return how many numbers this process keeps of weights, averages and moments."""
    method = trained("stream", engine)
    states = (state for optimizer in method.optimizers.values() for state in optimizer.state.values())
    moments = [value for state in states for key, value in state.items() if key != "step"]
    averages = [weight for average in method.averages.values() for weight in average.module.parameters()]
    return sum(part.numel() for part in engine.own([*method.nets.parameters(), *averages, *moments]))


def work(fabric: Fabric, folder: str) -> None:
    """What each of the two processes does."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    found = {
        "whole": {name: gradients(name, FabricEngine(fabric)) for name in CONFIGS},
        "divided": {name: gradients(name, ShardedEngine(fabric, least=0)) for name in DIVIDED},
        "kept": {engine.__class__.__name__: kept(engine) for engine in (FabricEngine(fabric), ShardedEngine(fabric))},
    }
    torch.save(found, Path(folder) / f"{fabric.global_rank}.pt")


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory, trainers: ForkServerContext) -> list[dict[str, Any]]:
    """What each of the two processes found, with whole and with divided networks."""
    folder = tmp_path_factory.mktemp("ranks")
    strategy = DDPStrategy(process_group_backend="gloo", start_method="forkserver")
    Fabric(accelerator="cpu", devices=2, strategy=strategy, precision="64-true").launch(work, str(folder))
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


def worst(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> tuple[float, str]:
    """Return the largest relative difference of two lists of gradients, and where it is."""
    assert set(found) == set(expected)
    errors = []
    for net in sorted({key.partition(".")[0] for key in expected}):
        gradients = {key: gradient for key, gradient in expected.items() if key.startswith(net)}
        size = torch.cat([gradient.flatten() for gradient in gradients.values()]).norm()
        assert size > 1e-4, f"{net} has no gradient to compare"
        for key, gradient in gradients.items():
            scale = max(float(gradient.norm()), 1e-3 * float(size))  # some weights all but cancel out of a loss
            errors.append((float((found[key] - gradient).norm()) / scale, key))
    return max(errors)


@pytest.mark.parametrize("name", CONFIGS)
def test_two_processes_give_the_gradients_of_one(name: str, halves: list[dict[str, Any]]) -> None:
    whole = gradients(name, FabricEngine(Fabric(accelerator="cpu", devices=1, precision="64-true")))
    for rank in halves:
        error, key = worst(rank["whole"][name], whole)
        assert error < 1e-5, f"{key} differs by {error:.1e}"


@pytest.mark.parametrize("name", DIVIDED)
def test_divided_networks_have_the_gradients_of_whole_ones(name: str, halves: list[dict[str, Any]]) -> None:
    error, key = worst(halves[0]["divided"][name], halves[0]["whole"][name])
    assert error < 1e-6, f"{key} differs by {error:.1e}"


def test_each_process_keeps_its_part_of_divided_networks(halves: list[dict[str, Any]]) -> None:
    whole, parts = halves[0]["kept"]["FabricEngine"], [rank["kept"]["ShardedEngine"] for rank in halves]
    assert halves[1]["kept"]["FabricEngine"] == whole == sum(parts)
    assert max(parts) < 0.52 * whole
