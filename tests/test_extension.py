"""What CONTRIBUTING promises: a new generator is one file and one line, a new loss one entry. All come from outside."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import footage
from footage.commands.main import main
from footage.config import Config, from_json, registry, to_json
from footage.config.presets import override, preset, tiny
from footage.errors import ConfigError
from footage.files import read_lines

TOY = '''
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn

from footage.models.adversarial.gan import Gan
from footage.models.adversarial.losses import AdversarialLoss
from footage.models.generators import GeneratorConfig
from footage.models.layers import CriticOutput, Generator, GeneratorOutput, LabelEmbedding, Levels, with_label


@dataclass(frozen=True)
class ToyConfig(GeneratorConfig):
    """A linear map."""

    network: ClassVar[str] = "toy_module:Toy"
    tiny: ClassVar = {"latent": 4}
    kind: Literal["toy"] = "toy"
    latent: int = 16
    """Length of the latent code z."""
    label: int = 4
    """Length of the label's embedding."""
    width: int = 8
    """Width of the critics."""


class Toy(Generator):
    def __init__(self, clip, net, labels):
        super().__init__()
        self.latent, self.shape = net.latent, (clip.channels, clip.frames, clip.height, clip.width)
        self.levels = Levels(clip.channels)
        self.table = LabelEmbedding(labels, net.label) if labels else None
        voxels = clip.channels * clip.frames * clip.height * clip.width
        self.linear = nn.Linear(net.latent + (net.label if labels else 0), voxels)

    def noise(self, frames):
        return {"z": (self.latent,)}

    def entries(self):
        return [self.linear.weight[:, : self.latent]]

    def forward(self, noise, label=None):
        numbers = self.linear(with_label(noise["z"], self.table, label)).unflatten(1, self.shape)  # B C T H W
        return GeneratorOutput(self.levels.pixels(numbers), numbers.new_zeros(()))


TOY_LOSS = AdversarialLoss(lambda real, fake: (fake - real).tanh().mean(), lambda real, fake: -fake.tanh().mean())


def toy_difference(difference):
    return difference.abs().sqrt().mean()


class ToyCritic(nn.Module):
    def __init__(self, critic, clip, width, labels, beside):
        super().__init__()
        self.linear = nn.Linear(clip.channels * clip.frames * clip.height * clip.width, 1)

    def forward(self, x, label=None, gaps=None):
        return CriticOutput(self.linear(x.flatten(1)).squeeze(1), None)


class ToyMethod(Gan):
    pass


@dataclass(frozen=True)
class OtherConfig(ToyConfig):
    """The same for another method."""

    method: ClassVar[str] = "toy"
    kind: Literal["other"] = "other"
'''
SMALL = {"clip.frames": 4, "train.batch_size": 4, "train.device": "cpu", "train.precision": "fp32"}


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy_module.py").write_text(TOY)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "toy_module", raising=False)


def trained(config: Config, out: Path) -> footage.Model:
    run = footage.train("shapes", config, out=out, clips=8, quiet=True)
    assert [row["clips"] for row in read_lines(run.path / "metrics.jsonl")][-1] == 8, "two steps of four clips"
    return footage.load(run.path)


@pytest.mark.usefixtures("module")
def test_a_generator_is_one_file_and_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.ARCHITECTURES, "toy", "toy_module:ToyConfig")
    config = override(tiny(preset("conv3d-32")), {"net.kind": "toy", "net.latent": 6, **SMALL})
    assert from_json(Config, json.loads(json.dumps(to_json(config)))) == config
    model = trained(config, tmp_path / "run")
    (clip,) = model.generate(1, seed=3, frames=4)
    assert clip.array().shape[:3] == (4, 32, 32)
    assert model.generator.sliders == 6, "its latent sliders are known"
    assert to_json(tiny(config))["net"]["latent"] == 4
    with pytest.raises(ConfigError, match='did you mean "toy"'):
        preset("conv3d-32", {"net.kind": "toyy"})
    with pytest.raises(ConfigError, match=r"net\.kind is toy, method predict does not train it"):
        preset("simvp-64", {"net.kind": "toy"})


@pytest.mark.usefixtures("module")
def test_the_command_line_has_its_flags(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(registry.ARCHITECTURES, "toy", "toy_module:ToyConfig")
    monkeypatch.setitem(registry.LOSSES, "toy", "toy_module:TOY_LOSS")
    words = ["train", "shapes", "--preset", "conv3d-32", "--net.kind", "toy", "--net.latent", "5", "--gan.loss", "toy"]
    main([*words, "--train.device", "cpu", "--train.batch-size", "4", "--dry-run", "--json"])
    config = json.loads(capsys.readouterr().out)["config"]
    assert config["net"] == {"kind": "toy", "latent": 5, "label": 4, "width": 8} and config["gan"]["loss"] == "toy"
    with pytest.raises(SystemExit):
        main([*words, "--help"])
    shown = capsys.readouterr().out
    assert "--net.latent" in shown and ",toy}" in shown
    with pytest.raises(SystemExit):
        main(["train", "shapes", "--net.kind", "tyo"])
    assert 'did you mean "toy"' in capsys.readouterr().err


@pytest.mark.usefixtures("module")
def test_a_loss_is_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.LOSSES, "toy", "toy_module:TOY_LOSS")
    trained(override(tiny(preset("mlp-32")), {"gan.loss": "toy", **SMALL}), tmp_path / "run")
    with pytest.raises(ConfigError, match='did you mean "toy"'):
        preset("mlp-32", {"gan.loss": "toys"})


@pytest.mark.usefixtures("module")
def test_so_is_a_loss_of_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.RECONSTRUCTION_LOSSES, "toy", "toy_module:toy_difference")
    knobs = {"learn.loss": "toy", "task.past": 2, "clip.height": 16, "clip.width": 16, **SMALL}
    run = footage.train("shapes", override(tiny(preset("simvp-64")), knobs), out=tmp_path / "run", clips=8, quiet=True)
    assert read_lines(run.path / "metrics.jsonl")


@pytest.mark.usefixtures("module")
def test_a_critic_is_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.CRITICS, "toy", "toy_module:ToyCritic")
    trained(override(tiny(preset("mlp-32")), {"critics.0.net": "toy", **SMALL}), tmp_path / "run")
    with pytest.raises(ConfigError, match="toy sees the clip: only conv sees parts of it"):
        preset("mlp-32", {"critics.0.net": "toy", "critics.0.sees": "frames"})


@pytest.mark.usefixtures("module")
def test_a_method_is_an_entry_and_what_it_is_good_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.METHODS, "toy", "toy_module:ToyMethod")
    monkeypatch.setitem(registry.USES, "toy", registry.USES["gan"])
    monkeypatch.setitem(registry.ARCHITECTURES, "other", "toy_module:OtherConfig")
    model = trained(
        override(tiny(preset("conv3d-32")), {"method": "toy", "net.kind": "other", **SMALL}), tmp_path / "run"
    )
    assert model.info.config.method == "toy" and model.verb == "generate"
