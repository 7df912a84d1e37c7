"""Differential privacy of critics: gradients clip by clip, noise, samples, accounts, and what a run keeps of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import footage
from footage.config import Config
from footage.config.registry import CRITICS
from footage.data.clips import BuiltInClips, PoissonLoader, Span
from footage.errors import ConfigError, DatasetError, TrainingError
from footage.generation.model import Model
from footage.models.adversarial.critic_loss import critic_view, pick_frames
from footage.models.adversarial.private import PrivateCritics, PrivateGan
from footage.models.base import Batch, PlainEngine, PrivateClips
from footage.models.card import read_info
from footage.models.checkpoint import read_state
from footage.training import accounting
from footage.training.run_folder import RunFolder
from tests.models import FewShapes, tiny_config

PRIVATE: dict[str, Any] = {"privacy__epsilon": 1e4, "privacy__noise": 1.0, "gan__r1": 0.0, "clip__frames": 4}


def made(config: Config, count: int, seed: int = 0) -> tuple[PrivateCritics, PrivateClips]:
    torch.manual_seed(seed)
    critics = PrivateGan(config, 0).critics
    assert isinstance(critics, PrivateCritics)
    clip = config.clip
    clips = torch.rand(count, clip.channels, clip.frames, clip.height, clip.width) * 2 - 1
    return critics, PrivateClips(clips, np.random.default_rng(seed))


def clipped(gradients: list[list[Tensor]], limit: float) -> list[Tensor]:
    """Sum the gradients of clips, each no longer than the limit."""
    norms = [torch.stack([g.square().sum() for g in of]).sum().sqrt() for of in gradients]
    factors = [min(1.0, limit / float(norm)) for norm in norms]
    return [
        sum((f * g for f, g in zip(factors, of, strict=True)), torch.zeros(())) for of in zip(*gradients, strict=True)
    ]


@pytest.mark.parametrize(("preset", "r1"), [("mlp-32", 0.0), ("conv3d-32", 0.0), ("conv3d-32", 1.5)])
def test_gradients_are_those_of_a_loop_over_clips(preset: str, r1: float) -> None:
    config = tiny_config(preset, **PRIVATE | {"privacy__clip": 0.2})
    critics, private = made(config, 5)
    found = critics.clipped_sum(critics.nets, private, 0.0, r1, PlainEngine())

    rng = torch.Generator().manual_seed(int(np.random.default_rng(0).integers(2**63)))
    torch.rand(5, 14, generator=rng)  # what changes would have drawn
    views = {
        name: critic_view(of.critic, private.clips, pick_frames(of.critic, config.clip, 5, rng))
        for name, of in critics.losses.items()
    }
    weights = [weight for net in critics.nets.values() for weight in net.parameters()]
    gradients = []
    for number in range(5):
        loss = torch.zeros(())
        for name, net in critics.nets.items():
            seen = views[name].inputs[number : number + 1].clone().requires_grad_()
            gaps = views[name].gaps
            logits = net(seen, None, None if gaps is None else gaps[number : number + 1]).logits
            loss = loss + nn.functional.softplus(-logits).mean()
            (slope,) = torch.autograd.grad(logits.sum(), seen, create_graph=True)
            loss = loss + r1 * slope.square().sum()
        gradients.append(
            [g.detach() for g in torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)]
        )
    wanted = clipped(gradients, 0.2)
    norms = [float(torch.stack([g.square().sum() for g in of]).sum().sqrt()) for of in gradients]
    assert min(norms) > 0.2, "every gradient is clipped"
    flat = [found[name][key] for name, net in critics.nets.items() for key, _ in net.named_parameters()]
    for mine, theirs in zip(flat, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


def test_a_clip_whose_gradient_is_not_finite_counts_for_nothing() -> None:
    critics, private = made(tiny_config("mlp-32", **PRIVATE), 3)
    two = replace(private, clips=private.clips[:2], rng=np.random.default_rng(0))
    wanted = critics.clipped_sum(critics.nets, replace(two), 0.0, 0.0, PlainEngine())["critic_mlp"]
    private.clips[2] = float("nan")
    found = critics.clipped_sum(critics.nets, private, 0.0, 0.0, PlainEngine())["critic_mlp"]
    for key, value in found.items():
        torch.testing.assert_close(value, wanted[key])


def test_gradients_are_those_of_opacus() -> None:
    opacus = pytest.importorskip("opacus.grad_sample")
    config = tiny_config("conv3d-32", **PRIVATE | {"privacy__clip": 0.3})
    config = replace(config, critics=config.critics[:1])
    critics, private = made(config, 4)
    found = critics.clipped_sum(critics.nets, private, 0.0, 0.0, PlainEngine())["critic_clip"]
    net = critics.nets["critic_clip"]
    watched = opacus.GradSampleModule(net, loss_reduction="sum")
    nn.functional.softplus(-watched(private.clips).logits).sum().backward()
    parameters = dict(net.named_parameters())
    gradients = [[weight.grad_sample[row] for weight in parameters.values()] for row in range(4)]
    for mine, theirs in zip(found.values(), clipped(gradients, 0.3), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


def test_fakes_pull_no_harder_than_private_clips_may() -> None:
    """Critics once followed fakes alone: their gradients, as long as they were, stood beside clipped ones."""
    config = tiny_config("conv3d-32", **PRIVATE | {"privacy__clip": 0.2, "privacy__noise": 0.0, "gan__r2": 1.0})
    critics, private = made(config, 4)
    for net in critics.nets.values():
        for weight in net.parameters():
            weight.data *= 2
    optimizers = {name: torch.optim.SGD(net.parameters(), 1.0) for name, net in critics.nets.items()}
    before = [weight.detach().clone() for net in critics.nets.values() for weight in net.parameters()]
    batch = Batch(
        private.clips, None, torch.Generator().manual_seed(0), 4, private=replace(private, clips=private.clips[:0])
    )
    critics.update(critics.nets, optimizers, batch, (private.clips, private.clips), 0, PlainEngine())
    after = [weight for net in critics.nets.values() for weight in net.parameters()]
    moved = float(
        torch.stack([(a.detach() - b).square().sum() for a, b in zip(after, before, strict=True)]).sum().sqrt()
    )
    assert 0.1 < moved <= 0.2001, "four fakes that agree: the mean of four gradients cut to .2"


def test_noise_is_as_large_as_it_has_to_be_and_a_batch_may_be_empty() -> None:
    config = tiny_config("conv3d-32", **PRIVATE | {"privacy__noise": 3.0, "privacy__clip": 0.5})
    critics, private = made(config, 0)
    batch = Batch(torch.zeros(8, 3, 4, 32, 32), None, torch.Generator(), 8, private=private)
    noisy = critics.private_gradients(critics.nets, batch, 0.3, 0.0, PlainEngine())
    values = torch.cat([g.flatten() for of in noisy.values() for g in of.values()])
    wanted = 3.0 * 0.5 / 8
    assert len(values) > 9_000 and abs(float(values.std()) / wanted - 1) < 0.03
    assert abs(float(values.mean())) < 4 * wanted / len(values) ** 0.5
    again = critics.private_gradients(critics.nets, batch, 0.3, 0.0, PlainEngine())
    other = torch.cat([g.flatten() for of in again.values() for g in of.values()])
    assert abs(float((values * other).mean())) < 5 * wanted**2 / len(values) ** 0.5, "each noise is another"


def test_a_step_moves_critics_by_noise_and_fakes_and_not_by_blank_clips() -> None:
    config = tiny_config("conv3d-32", **PRIVATE | {"gan__r1": 1.0, "gan__r2": 1.0})
    states = []
    for blank in (0.0, 1.0):
        torch.manual_seed(0)
        gan = PrivateGan(config, 0)
        gan.build_optimizers()
        private = PrivateClips(torch.zeros(3, 3, 4, 32, 32), np.random.default_rng(1))
        blanks = torch.full((4, 3, 4, 32, 32), blank)
        log = gan.step(Batch(blanks, None, torch.Generator().manual_seed(0), 4, private=private), 0, PlainEngine())
        states.append([weight.detach().clone() for weight in gan.nets.parameters()])
        assert set(log) == {"clip_fake", "sparse_fake", "generator_loss"}, "nothing is told of real clips"
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))


class Films(FewShapes):
    """Forty clips: one film of twenty, the others of one each."""

    def spans(self, split: str) -> list[Span]:  # type: ignore[override]
        return [Span(n, 8, -1, f"{'film' if n < 20 else n}@{n}.00") for n in range(40)]

    def read(self, index: int, start: int, frames: int) -> Any:
        return np.full((frames, 32, 32, 3), index, np.uint8)


def test_each_source_stands_in_a_batch_with_the_same_chance() -> None:
    loader = PoissonLoader(Films(), frames=4, batch_size=7, secret=2**100 + 5, unit="source")
    assert len(loader.groups) == 21 and loader.rate == 1 / 3
    drawn = [loader.load(step * 7) for step in range(600)]
    sizes = np.array([len(batch.clips) for batch in drawn])
    assert abs(sizes.mean() - 7) < 4 * np.sqrt(21 * (1 / 3) * (2 / 3) / 600) and 0.8 < sizes.var() / (14 / 3) < 1.2
    shown = np.concatenate([batch.clips[:, 0, 0, 0, 0] for batch in drawn])
    film, single = (shown < 20).sum() / 600, (shown == 30).sum() / 600
    assert abs(film - 1 / 3) < 0.08 and abs(single - 1 / 3) < 0.08
    assert len(np.unique(shown[shown < 20])) == 20, "any of a film's clips may come"
    same = PoissonLoader(Films(), frames=4, batch_size=7, secret=2**100 + 5, unit="source")
    other = PoissonLoader(Films(), frames=4, batch_size=7, secret=2**101 + 5, unit="source")
    assert np.array_equal(same.load(21).clips, drawn[3].clips)
    assert any(len(other.load(step * 7).clips) != sizes[step] for step in range(20))
    assert len(PoissonLoader(Films(), frames=4, batch_size=7, secret=1, unit="clip").groups) == 40
    with pytest.raises(DatasetError, match="21 sources for batches of 22"):
        PoissonLoader(Films(), frames=4, batch_size=22, secret=1, unit="source")


def test_accounts_are_those_that_were_published() -> None:
    analysis, accountants = (pytest.importorskip(f"opacus.accountants{name}") for name in (".analysis.rdp", ""))
    from footage.training.accounting import find_noise, record, spent, steps_left

    # The tutorial of TensorFlow Privacy: 60,000 pictures, batches of 250, noise 1.3, 15 epochs: 1.18 (Mironov 2017).
    rate, steps, orders = 250 / 60_000, 15 * 240, np.array([*np.arange(1.1, 11, 0.1), *range(12, 64)])
    divergence = analysis.compute_rdp(q=rate, noise_multiplier=1.3, steps=steps, orders=orders)
    assert round(float((divergence + np.log(1e5) / (orders - 1)).min()), 2) == 1.18
    assert 0.9 < spent([[1.3, rate, steps]], 1e-5) < 1.18, "by a conversion that is tighter"
    accountant = accountants.RDPAccountant()
    accountant.history = [(1.3, rate, steps), (0.9, 0.02, 40)]
    assert spent(accountant.history, 1e-6) == pytest.approx(accountant.get_epsilon(1e-6))
    privacy = replace(tiny_config(**PRIVATE).privacy, epsilon=2.0)
    noise = find_noise(privacy, 0.02, 500)
    assert 1.99 < spent([[noise, 0.02, 500]], 1e-5) <= 2.0 < spent([[0.99 * noise, 0.02, 500]], 1e-5)
    privacy = replace(privacy, noise=noise)
    left = steps_left([], privacy, 0.02)
    assert 500 <= left < 510
    history: list[list[float]] = []
    for _ in range(3):
        record(history, noise, 0.02)
    record(history, noise, 0.04)
    assert history == [[noise, 0.02, 3], [noise, 0.04, 1]]
    assert steps_left([[noise, 0.02, 400]], privacy, 0.02) == left - 400
    assert steps_left([[noise, 0.02, 10_000]], privacy, 0.02) == 0 and spent([[0.0, 0.02, 1]], 1e-5) == float("inf")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(BuiltInClips, "CLIPS", 20)
    monkeypatch.setattr(BuiltInClips, "HELDOUT", 4)
    yield


def train(out: Path, clips: int, **knobs: Any) -> Any:
    config = tiny_config("conv3d-32", **PRIVATE | {"train__batch_size": 4} | knobs)
    return footage.train("shapes", config, out=out, clips=clips, quiet=True)


@pytest.mark.usefixtures("few")
def test_a_run_goes_on_as_if_it_had_not_been_stopped_and_its_model_says_what_it_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("opacus")
    train(tmp_path / "one", 8)
    monkeypatch.setattr(accounting.secrets, "token_hex", lambda _: secret.read_text())
    secret = RunFolder(tmp_path / "one").secret
    assert secret.stat().st_mode & 0o777 == 0o600 and len(secret.read_text()) == 32
    first = read_info(tmp_path / "one" / "model").extra["privacy"]
    train(tmp_path / "one", 16)
    train(tmp_path / "two", 16)
    one, two = (read_state(tmp_path / run / "state" / "last.pt") for run in ("one", "two"))
    assert one["progress"]["history"] == two["progress"]["history"] == [[1.0, 0.2, 4]]
    for name, net in one["nets"].items():
        assert all(torch.equal(value, two["nets"][name][key]) for key, value in net.items())
    info = read_info(tmp_path / "one" / "model")
    told = info.extra["privacy"]
    assert told["steps"] == 4 and 0 < first["epsilon"] < told["epsilon"] and told["unit"] == "source"
    assert set(info.dataset_hash) == {"0"} and not info.labels
    assert "for each source (DP-SGD)" in (tmp_path / "one" / "model" / "README.md").read_text(encoding="utf-8")
    clip = next(iter(Model(tmp_path / "one").generate(1, frames=4)))
    assert clip.metadata["privacy"].startswith("ε ")
    levels = [value for key, value in one["nets"]["generator"].items() if key.endswith("levels.mean")]
    assert levels and not levels[0].any(), "the clips' levels are not kept"
    with pytest.raises(TrainingError, match=r"begun with gan.lr 0.0005, now it is 0.001"):
        train(tmp_path / "one", 24, gan__lr=1e-3)
    secret.unlink()
    with pytest.raises(TrainingError, match="is gone, without which the run cannot go on"):
        train(tmp_path / "one", 24)


@pytest.mark.usefixtures("few")
def test_training_ends_where_the_budget_is_spent_and_says_where_there_is_no_hope(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("opacus")
    from footage.training.accounting import steps_left

    config = tiny_config("conv3d-32", **PRIVATE | {"train__batch_size": 4, "privacy__epsilon": 6.0})
    footage.train("shapes", config, out=tmp_path / "run", clips=10_000)
    said = " ".join(capsys.readouterr().out.split())
    steps = steps_left([], config.privacy, 0.2)
    progress = read_state(tmp_path / "run" / "state" / "last.pt")["progress"]
    assert progress["clips_seen"] == 4 * steps < 100 and progress["history"] == [[1.0, 0.2, steps]]
    assert f"{steps} steps with noise 1" in said and "of 6 spent" in said
    assert "with 20 sources this is hopeless" in said and "footage privacy" in said
    assert 5 < read_info(tmp_path / "run" / "model").extra["privacy"]["epsilon"] <= 6


@pytest.mark.parametrize(
    ("knobs", "reason"),
    [
        ({"gan__loss": "relativistic"}, "in pairs"),
        ({"gan__gradient_penalty": 10.0}, "mixes real clips with fakes"),
        ({"gan__periodicity": "avoid"}, "look at real clips"),
        ({"train__labels": "yes"}, "no labels"),
        ({"text__encoder": "own"}, "captions"),
        ({"critics__1__steps": 2}, "same steps"),
        ({"critics__0__net": "two_stream"}, "two_stream"),
    ],
)
def test_what_cannot_be_private_is_refused(knobs: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=f"privacy.epsilon is given.*{reason}"):
        tiny_config("conv3d-32", **PRIVATE | {"clip__frames": 8} | knobs)


@pytest.mark.parametrize("preset", ["vae-64", "stream-256", "simvp-64"])
def test_methods_that_learn_from_clips_otherwise_are_refused(preset: str) -> None:
    with pytest.raises(ConfigError, match="learns from clips by more than what they ask of critics"):
        footage.preset(preset, {"privacy.epsilon": 8.0})


@pytest.mark.usefixtures("few")
def test_what_would_look_at_the_clips_beside_the_training_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("opacus")
    config = tiny_config("conv3d-32", **PRIVATE | {"train__batch_size": 4})
    for options, reason in (
        ({"probe": True, "clips": 8}, "probe"),
        ({"evaluate_every": 8, "evaluate_metric": "copies", "clips": 8}, "held-out clips; those are not protected"),
        ({"minutes": 1.0}, "how long the budget is to last"),
    ):
        with pytest.raises(ConfigError, match=reason):
            footage.train("shapes", config, out=tmp_path / "run", quiet=True, **options)  # type: ignore[arg-type]
    strict = replace(config, privacy=replace(config.privacy, delta=0.1))
    with pytest.raises(ConfigError, match="with 20 sources one may be told whole"):
        footage.train("shapes", strict, out=tmp_path / "run", clips=8, quiet=True)


def test_batch_normalisation_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = CRITICS["conv"]
    monkeypatch.setitem(CRITICS, "conv", lambda *sizes: nn.Sequential(plain(*sizes), nn.BatchNorm1d(1)))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="keeps means over batches"):
        PrivateGan(tiny_config("conv3d-32", **PRIVATE), 0)
