from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import pytest

from footage.config import (
    AugmentConfig,
    ClipConfig,
    Config,
    CriticConfig,
    GanConfig,
    TrainConfig,
    differences,
    from_json,
    to_json,
)
from footage.config.presets import PRESETS, preset, tiny
from footage.config.registry import ARCHITECTURES, CRITICS, METHODS, USES, Registry
from footage.errors import ConfigError
from footage.models.generators.mlp import MlpConfig
from footage.models.generators.recurrent import RecurrentConfig
from footage.models.generators.stream import StreamConfig


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_survives_json(name: str) -> None:
    config = PRESETS[name].config
    assert config.preset == name
    assert from_json(Config, to_json(config)) == config
    assert PRESETS[name].about


def test_unknown_key_names_the_nearest() -> None:
    value = to_json(Config())
    value["gan"]["lrr"] = 1e-4
    with pytest.raises(ConfigError, match=r'gan has no "lrr".*"lr"'):
        from_json(Config, value)


def test_wrong_types_are_refused() -> None:
    for knob, wrong in (("frames", "16"), ("frames", 16.5), ("frames", True), ("height", None)):
        value = to_json(Config())
        value["clip"][knob] = wrong
        with pytest.raises(ConfigError, match=knob):
            from_json(Config, value)
    value = to_json(Config())
    value["gan"]["lr"] = float("nan")
    with pytest.raises(ConfigError, match="finite"):
        from_json(Config, value)


def test_files_from_before_a_knob_or_a_section_stay_readable() -> None:
    value = to_json(preset("stream-64", {"gan.lr": 1e-4}))
    del value["learn"], value["kl"], value["task"], value["gan"]["burn_in"], value["net"]["palette"]
    found = from_json(Config, value)
    assert found.gan.burn_in == GanConfig().burn_in and found.gan.lr == 1e-4 and found.learn == Config().learn
    for name in ("clip", "net", "gan", "critics", "augment", "train"):
        value = to_json(Config())
        del value[name]
        with pytest.raises(ConfigError, match=rf"configuration.{name} is None"):
            from_json(Config, value)
    value = to_json(Config())
    del value["net"]["kind"]
    with pytest.raises(ConfigError, match=r"net.kind is None"):
        from_json(Config, value)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("translate-64", {"gan.periodicity": "avoid"}, "gan.periodicity is avoid.*--gan.periodicity none"),
        ("vae-64", {"gan.periodicity": "loop"}, "gan.periodicity is loop.*method vae"),
        ("simvp-64", {"task.truth": 100}, "task.truth is 100, simvp .*--task.truth 0"),
        ("svg-64", {"task.truth": 100}, "task.truth is 100, svg .*--task.truth 0"),
        ("svg-64", {"kl.free_bits": 0.5}, "kl.free_bits is 0.5, svg .*--kl.free-bits 0"),
        ("vae-64", {"learn.loss": "l1"}, "learn.loss is l1, a VAE .*--learn.loss mse"),
        ("vae-64", {"learn.weight": 10.0}, "learn.weight is 10.0, a VAE .*--learn.weight 1.0"),
    ],
)
def test_knobs_that_would_say_nothing_are_refused(name: str, changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        preset(name, changes)


@pytest.mark.parametrize(("side", "sizes"), [(144, "128 or 160"), (72, "64 or 80"), (8, "16"), (120, "112 or 128")])
def test_a_gan_in_the_latent_space_needs_sides_that_it_can_halve(side: int, sizes: str) -> None:
    with pytest.raises(ConfigError, match=f"clip.height is {side}, .*give {sizes}, or --net.prior normal"):
        preset("vae-latent-64", {"clip.height": side, "clip.width": side})
    for size in sizes.split(" or "):
        config = preset("vae-latent-64", {"clip.height": int(size), "clip.width": int(size)})
        assert METHODS["vae"](tiny(config), 0).nets


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: ClipConfig(frames=1), "clip.frames is 1"),
        (lambda: ClipConfig(height=4), "clip.height is 4"),
        (lambda: ClipConfig(channels=4), "1 for grey or 3 for RGB"),
        (lambda: GanConfig(lr=3.0), "gan.lr is 3.0"),
        (lambda: GanConfig(beta1=1.0), "gan.beta1"),
        (lambda: GanConfig(r1=-1.0), "gan.r1"),
        (lambda: AugmentConfig(probability=1.0), "augment.probability is 1.0"),
        (lambda: CriticConfig(weight=0.0), r"critics.N.weight is 0.0"),
        (lambda: CriticConfig(sees="frame"), 'critics.N.sees is .frame.*"frames"'),  # type: ignore[arg-type]
        (lambda: RecurrentConfig(width=1), "net.width is 1"),
        (lambda: StreamConfig(points=12, groups=5), "net.groups is 5: give a divisor of the 12 points"),
        (lambda: StreamConfig(slowest=1.5), "net.slowest is 1.5"),
        (lambda: Config(net=StreamConfig(shot=8)), "net.shot is 8, and clips of 16 frames"),
        (lambda: GanConfig(burn_in=-1), "gan.burn_in is -1"),
        (lambda: GanConfig(burn_in=9, optimizer="rmsprop"), "gan.burn_in is 9: Adam's"),
        (lambda: preset("simvp-gan-64", {"gan.burn_in": 9}), "with method predict all rates follow"),
        (lambda: TrainConfig(batch_size=0), "train.batch_size is 0"),
        (lambda: TrainConfig(save_minutes=0), "train.save_minutes"),
        (lambda: TrainConfig(precision="fp16"), 'train.precision is .fp16.*"bf16"'),  # type: ignore[arg-type]
    ],
)
def test_values_out_of_range_name_value_and_remedy(build: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build()  # type: ignore[operator]


def test_preset_overrides_and_suggestions() -> None:
    assert preset("conv3d-32", {"gan.lr": 1e-3, "clip.frames": 8}).clip.frames == 8
    with pytest.raises(ConfigError, match=r'no preset "conv3d46".*conv3d-64'):
        preset("conv3d46")
    other = preset("conv3d-32", {"net.kind": "recurrent", "net.width": 8}).net
    assert isinstance(other, RecurrentConfig) and other.width == 8
    with pytest.raises(ConfigError, match=r'no knob "gan.lrr".*gan\.lr'):
        preset("conv3d-32", {"gan.lrr": 1})
    assert preset("recurrent-64", {"critics.1.frames": 2, "net.cell": "lstm"}).critics[1].frames == 2
    for knob in ("critics.2.frames", "critics.x.frames", "net.latent", "critics"):
        with pytest.raises(ConfigError, match=f"{knob}|give a list"):
            preset("recurrent-64", {knob: 1})


def test_generators_are_told_apart_by_kind() -> None:
    value = to_json(PRESETS["recurrent-64"].config)
    assert isinstance(from_json(Config, value).net, RecurrentConfig)
    value["net"]["kind"] = "recurent"
    with pytest.raises(ConfigError, match=r'net.kind is .recurent.*"recurrent"'):
        from_json(Config, value)
    del value["net"]["kind"]
    with pytest.raises(ConfigError, match=r"net\.kind is None"):
        from_json(Config, value)


def test_differences_names_knobs() -> None:
    old = Config()
    new = dataclasses.replace(old, gan=dataclasses.replace(old.gan, lr=1e-3))
    assert differences(old, new) == {"gan.lr": (old.gan.lr, 1e-3)}
    assert differences(old, old) == {}
    fewer = dataclasses.replace(old, critics=(CriticConfig(), CriticConfig(sees="frames")))
    assert differences(old, fewer)["critics.1.sees"] == (None, "frames")
    other = dataclasses.replace(old, net=MlpConfig())
    assert differences(old, other)["net.kind"] == ("conv3d", "mlp")


def test_tiny_keeps_the_clip() -> None:
    config = PRESETS["conv3d-64"].config
    assert tiny(config).clip == config.clip
    assert tiny(config).train.batch_size == 2


def test_examples_are_presets_of_their_method() -> None:
    assert set(METHODS) == {net.method for net in ARCHITECTURES.values()} == set(USES)
    for method, use in USES.items():
        assert use.presets and all(PRESETS[name].config.method == method for name in use.presets)


def test_configurations_of_all_architectures_know_no_torch() -> None:
    code = (
        "import sys; from footage.config import presets, registry; kinds = list(registry.ARCHITECTURES.values());"
        "assert len(kinds) == len(registry.ARCHITECTURES) and not {'torch', 'numpy', 'tyro'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_registries_import_what_is_looked_up_alone() -> None:
    assert list(CRITICS) == ["conv", "mlp", "embed_motion", "two_stream"]
    assert {"gan", "cascade", "vae", "predict", "translate", "upscale"} <= set(METHODS)
    table: Registry[Any] = Registry({"there": "footage.errors:ConfigError", "broken": "footage.nowhere:Thing"})
    assert "broken" in table and table["there"] is ConfigError
    with pytest.raises(ModuleNotFoundError):
        table["broken"]
    table["own"] = ConfigError
    del table["broken"]
    assert dict(table) == {"there": ConfigError, "own": ConfigError}
