from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from footage.errors import ConfigError, ModelError
from footage.evaluation.features import c3d, i3d, inception, vit
from footage.evaluation.features.catalogue import extractors
from footage.evaluation.features.official import OFFICIAL, convert, load_official
from footage.files import file_digest


def randomise(net: nn.Module, seed: int = 0) -> nn.Module:
    rng = torch.Generator().manual_seed(seed)
    for name, value in net.state_dict().items():
        if value.dtype.is_floating_point:
            value.copy_(torch.rand(value.shape, generator=rng) - (0.0 if "var" in name else 0.5))
    return net.eval()


def loops(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """TensorFlow's SAME convolution of (C, T, H, W), place by place."""
    kernel = weight.shape[2]
    sizes = [-(-n // stride) for n in x.shape[1:]]
    fronts = [max((m - 1) * stride + kernel - n, 0) // 2 for m, n in zip(sizes, x.shape[1:], strict=True)]
    out = torch.zeros(len(weight), *sizes)
    for place in itertools.product(*map(range, sizes)):
        for tap in itertools.product(range(kernel), repeat=3):
            at = [p * stride + k - f for p, k, f in zip(place, tap, fronts, strict=True)]
            if all(0 <= a < n for a, n in zip(at, x.shape[1:], strict=True)):
                out[(slice(None), *place)] += weight[(slice(None), slice(None), *tap)] @ x[(slice(None), *at)]
    return out


@pytest.mark.parametrize(("kernel", "stride", "shape"), [(3, 1, (2, 3, 4)), (3, 2, (4, 5, 2)), (7, 2, (3, 4, 6))])
def test_i3d_unit_is_the_layer_equation(kernel: int, stride: int, shape: tuple[int, int, int]) -> None:
    unit, x = randomise(i3d.ConvUnit3d(2, 3, kernel, stride)), torch.rand(1, 2, *shape) - 0.5
    norm = unit.bn
    scale = (norm.weight / (norm.running_var + 1e-3).sqrt()).view(-1, 1, 1, 1)
    expected = loops(x[0], unit.conv3d.weight.detach(), stride) - norm.running_mean.view(-1, 1, 1, 1)
    expected = (expected * scale + norm.bias.view(-1, 1, 1, 1)).clamp(min=0)
    torch.testing.assert_close(unit(x)[0], expected, atol=1e-5, rtol=1e-4)


def test_i3d_pooling_never_takes_the_padding() -> None:
    x = -1 - torch.rand(1, 1, 3, 4, 5)
    found = i3d.pooled(x, (3, 3, 3), (2, 2, 2))
    assert found.shape == (1, 1, 2, 2, 3) and float(found.max()) < 0
    # 5 places, windows of 3, stride 2: one place is padded in front and one behind; 4 places: one behind alone.
    assert float(found[0, 0, 0, 0, 0]) == float(x[0, 0, :2, :3, :2].max())
    assert float(found[0, 0, 1, 1, 2]) == float(x[0, 0, 1:, 2:, 3:].max())


def test_i3d_module_puts_its_ways_in_order() -> None:
    mixed, x = randomise(i3d.Mixed(2, (1, 2, 3, 4, 5, 6))), torch.rand(1, 2, 3, 4, 4)
    parts = mixed(x).split([1, 3, 5, 6], dim=1)
    torch.testing.assert_close(parts[0], mixed.b0(x))
    torch.testing.assert_close(parts[1], mixed.b1b(mixed.b1a(x)))
    torch.testing.assert_close(parts[2], mixed.b2b(mixed.b2a(x)))
    torch.testing.assert_close(parts[3], mixed.b3b(F.max_pool3d(F.pad(x, [1] * 6, value=-math.inf), 3, stride=1)))


def test_i3d_gives_logits_of_the_least_clip_and_grey_is_rgb() -> None:
    net = i3d.I3D(classes=5).eval()
    with torch.no_grad():
        features, logits = net(torch.rand(1, 3, 9, 12, 10) * 255)
    assert features.shape == (1, 5) and torch.equal(features, logits)
    assert float(net.prepared(torch.full((1, 3, 2, 4, 4), 255.0)).min()) == pytest.approx(1)
    assert float(net.prepared(torch.zeros(1, 3, 2, 4, 4)).max()) == -1


@pytest.mark.parametrize(
    ("name", "size", "width"),
    [("i3d-kinetics", 50_883_138, 4), ("inception", 95_628_359, 4), ("videomae", 2_023_804_201, 2)],
)
def test_tensors_come_to_the_size_of_the_published_file(name: str, size: int, width: int) -> None:
    build = OFFICIAL[name].build
    assert build is not None
    with torch.device("meta"):
        count = sum(value.numel() for value in build().state_dict().values() if value.dtype.is_floating_point)
    assert count * width == pytest.approx(size, rel=3e-3)


def test_inception_leaves_padding_out_of_means() -> None:
    x = torch.rand(1, 1, 3, 4)
    found = inception.averaged(x)
    assert float(found[0, 0, 0, 0]) == pytest.approx(float(x[0, 0, :2, :2].mean()))
    assert float(found[0, 0, 1, 2]) == pytest.approx(float(x[0, 0, :3, 1:4].mean()))


def test_inception_resizes_as_tensorflow_1_did() -> None:
    x, side = torch.rand(1, 2, 3, 5), 7
    expected = torch.zeros(1, 2, side, side)
    for i, j in itertools.product(range(side), repeat=2):
        y, z = i * 3 / side, j * 5 / side
        a, b = int(y), int(z)
        c, d, p, q = min(a + 1, 2), min(b + 1, 4), y - int(y), z - int(z)
        above, below = ((1 - q) * x[..., row, b] + q * x[..., row, d] for row in (a, c))
        expected[..., i, j] = (1 - p) * above + p * below
    torch.testing.assert_close(inception.resized(x, side), expected)
    assert torch.equal(inception.resized(x[..., :3], 3), x[..., :3])


def test_inception_differs_in_its_last_module_alone() -> None:
    mean, greatest = (randomise(inception.Sevens(4, kind)) for kind in (False, True))
    x = torch.rand(1, 4, 3, 3)
    a, b = mean(x), greatest(x)
    assert torch.equal(a[:, :-192], b[:, :-192]) and not torch.equal(a[:, -192:], b[:, -192:])
    net = inception.Inception(classes=6).eval()
    assert [net.Mixed_7b.greatest, net.Mixed_7c.greatest] == [False, True]
    assert {m.eps for m in net.modules() if isinstance(m, nn.BatchNorm2d)} == {1e-3}
    with torch.no_grad():
        assert net.seen(torch.rand(2, 3, 80, 80)).shape == (2, 2048)


def test_c3d_prepares_clips_as_published_and_pools_what_sticks_out() -> None:
    net = c3d.C3D(classes=3, width=4)
    net.mean.copy_(torch.arange(3.0).view(3, 1, 1, 1).expand_as(net.mean))
    clips = torch.tensor([10.0, 20.0, 255.0]).view(1, 3, 1, 1, 1).expand(1, 3, 16, 4, 4)
    blue, green, red = net.prepared(clips)[0, :, 0, 0, 0].tolist()
    assert (blue, green, red) == pytest.approx((256.0, 20 * 128 / 127.5 - 1, 10 * 128 / 127.5 - 2))
    with torch.no_grad():
        features, logits = net(clips)
    assert features.shape == (1, 4) and logits.shape == (1, 3), "7 × 7 places become 4 × 4"


TINY = vit.TransformerShape(1, 12, 2, 8, 2, 4, "added", 4, 3)


def attention(block: vit.Block, x: Tensor, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """One block, head by head and token by token, from its turned queries and keys (H, N, D)."""
    seen = torch.zeros_like(v)
    for head, token in itertools.product(range(len(q)), range(q.shape[1])):
        scores = torch.stack([q[head, token] @ key for key in k[head]]) / math.sqrt(q.shape[2])
        seen[head, token] = (scores.softmax(0)[:, None] * v[head]).sum(0)
    x = x + block.proj(seen.transpose(0, 1).flatten(1))
    hidden = block.fc1(block.norm2(x))
    return x + block.fc2(hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2))))


@torch.no_grad()
def test_transformer_block_is_its_equations() -> None:
    block, x = randomise(vit.Block(TINY)), torch.rand(5, 12)
    q, k, v = block.qkv(block.norm1(x)).view(5, 3, 2, 6).permute(1, 2, 0, 3)
    torch.testing.assert_close(block(x[None], None)[0], attention(block, x, q, k, v), atol=1e-5, rtol=1e-4)
    places = tuple(torch.randint(0, 4, (5,)) for _ in range(3))
    for vectors in (q, k):
        for head, token, axis in itertools.product(range(2), range(5), range(3)):
            a, b = vectors[head, token, 2 * axis : 2 * axis + 2].tolist()
            angle = float(places[axis][token])  # two values of one part: its only frequency is 1
            turned = (a * math.cos(angle) - b * math.sin(angle), b * math.cos(angle) + a * math.sin(angle))
            vectors[head, token, 2 * axis : 2 * axis + 2] = torch.tensor(turned)
    torch.testing.assert_close(block(x[None], places)[0], attention(block, x, q, k, v), atol=1e-5, rtol=1e-4)


def test_places_of_tokens() -> None:
    table = vit.sinusoids(3, 4)
    assert table[2].tolist() == pytest.approx([math.sin(2), math.cos(2), math.sin(0.02), math.cos(0.02)])
    x = torch.tensor([1.0, 2.0, 3.0, 4.0])
    # Values 0 and 2 have the frequency 1, values 1 and 3 the frequency 1 / 100: the published network's own way.
    u, w = 5.0, 0.05
    expected = [
        1 * math.cos(u) - 2 * math.sin(u),
        2 * math.cos(w) + 1 * math.sin(w),
        3 * math.cos(u) - 4 * math.sin(u),
        4 * math.cos(w) + 3 * math.sin(w),
    ]
    assert vit.turned(x[None], torch.tensor([5]))[0].tolist() == pytest.approx(expected)


def test_the_table_says_what_the_networks_are() -> None:
    for name in ("i3d", "i3d-kinetics"):
        assert (OFFICIAL[name].size, OFFICIAL[name].classes, OFFICIAL[name].least) == (
            i3d.CLASSES,
            i3d.CLASSES,
            i3d.LEAST,
        )
    assert (OFFICIAL["inception"].size, OFFICIAL["inception"].classes) == (inception.SIZE, inception.CLASSES)
    assert (OFFICIAL["c3d"].classes, OFFICIAL["c3d"].frames) == (c3d.CLASSES, c3d.FRAMES)
    for name, shape in (("videomae", vit.VIDEOMAE), ("vjepa", vit.VJEPA)):
        assert (OFFICIAL[name].size, OFFICIAL[name].classes, OFFICIAL[name].frames) == (
            shape.width,
            shape.classes,
            shape.frames,
        )


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Transformers of a size that a test can write."""
    shapes = {"videomae": TINY, "vjepa": replace(TINY, places="turned", classes=0, frames=None)}
    for name, shape in shapes.items():
        entry = replace(
            OFFICIAL[name], build=lambda shape=shape: vit.VideoTransformer(shape), size=12, frames=shape.frames
        )
        monkeypatch.setitem(OFFICIAL, name, entry)


def published(name: str) -> tuple[dict[str, object], dict[str, Tensor]]:
    """Random tensors as the published file has them, and as ours should be."""
    rng = torch.Generator().manual_seed(3)

    def drawn(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=rng)

    if name in ("i3d-kinetics", "inception"):
        build = OFFICIAL[name].build
        assert build is not None
        ours = {key: value for key, value in randomise(build()).state_dict().items() if "num_batches" not in key}
        sample = {"i3d-kinetics": "Mixed_4f.b2b.conv3d.weight", "inception": "Mixed_6b.branch7x7dbl_5.bn.running_var"}
        assert sample[name] in ours and {"i3d-kinetics": "logits.conv3d.bias", "inception": "fc.bias"}[name] in ours
        return {**ours, "Mixed_9z.bn.num_batches_tracked": torch.tensor(7)}, ours
    block = {"norm1.weight": (12,), "norm1.bias": (12,), "attn.qkv.weight": (36, 12), "attn.proj.weight": (12, 12)}
    block |= {"attn.proj.bias": (12,), "norm2.weight": (12,), "norm2.bias": (12,), "mlp.fc1.weight": (8, 12)}
    block |= {"mlp.fc1.bias": (8,), "mlp.fc2.weight": (12, 8), "mlp.fc2.bias": (12,)}
    theirs = {f"blocks.0.{key}": drawn(*shape) for key, shape in block.items()}
    theirs |= {"patch_embed.proj.weight": drawn(12, 3, 2, 2, 2), "patch_embed.proj.bias": drawn(12)}
    ours = {
        key.replace("attn.", "").replace("mlp.", "").replace("patch_embed.proj", "embed"): v
        for key, v in theirs.items()
    }
    if name == "vjepa":
        theirs |= {"blocks.0.attn.qkv.bias": drawn(36), "norm.weight": drawn(12), "norm.bias": drawn(12)}
        ours |= {"blocks.0.qkv.bias": theirs["blocks.0.attn.qkv.bias"]}
        ours |= {key: theirs[key] for key in ("norm.weight", "norm.bias")}
        return {"target_encoder": {f"module.backbone.{key}": v for key, v in theirs.items()}, "encoder": {}}, ours
    theirs |= {"blocks.0.attn.q_bias": drawn(12), "blocks.0.attn.v_bias": drawn(12)}
    theirs |= {
        "fc_norm.weight": drawn(12),
        "fc_norm.bias": drawn(12),
        "head.weight": drawn(3, 12),
        "head.bias": drawn(3),
    }
    ours["blocks.0.qkv.bias"] = torch.cat(
        [theirs["blocks.0.attn.q_bias"], torch.zeros(12), theirs["blocks.0.attn.v_bias"]]
    )
    ours |= {"norm.weight": theirs["fc_norm.weight"], "norm.bias": theirs["fc_norm.bias"]}
    ours |= {key: theirs[key] for key in ("head.weight", "head.bias")}
    return {"module": theirs}, ours


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("name", ["i3d-kinetics", "inception", "videomae", "vjepa"])
def test_published_tensors_are_converted_and_loaded(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, ours = published(name)
    file = tmp_path / OFFICIAL[name].file
    torch.save(theirs, file)
    with pytest.raises(ModelError, match=rf"has the SHA-256 {file_digest(file)}, .* has {OFFICIAL[name].sha256}"):
        convert(file, name, tmp_path)
    monkeypatch.setitem(OFFICIAL, name, replace(OFFICIAL[name], sha256=file_digest(file)))
    made = convert(file, name, tmp_path / "converted")
    assert made.name.startswith(f"{name}-") and made.suffix == ".safetensors"
    for given in (file, made, made.parent):
        (extractor,) = extractors([name], weights=given)
        about = extractor.about
        assert (about.name, about.tier, about.digest, about.size) == (name, "A", file_digest(file), OFFICIAL[name].size)
        found = {k: v for k, v in extractor._net.state_dict().items() if "num_batches" not in k}  # type: ignore[attr-defined]
        assert set(found) == set(ours) and all(torch.equal(found[key], ours[key]) for key in ours)
    if name in ("videomae", "vjepa"):
        frames = np.random.default_rng(0).integers(0, 256, (3, 4, 6, 5, 1), dtype=np.uint8)
        features, logits = extractor.features(frames), extractor.logits(frames)
        assert features.shape == (3, 12) and bool(torch.isfinite(features).all()) and features.dtype == torch.float32
        assert (logits is None) if name == "vjepa" else (logits is not None and logits.shape == (3, 3))


def test_c3d_arrays_are_renamed_and_need_a_hash_from_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = OFFICIAL["c3d"]
    assert entry.sha256 is None and entry.rename is not None
    small = nn.Module()
    small.conv1a, small.fc8 = nn.Conv3d(3, 2, 1), nn.Linear(2, 4)  # type: ignore[assignment]
    small.register_buffer("mean", torch.zeros(3, 16, 112, 112))
    monkeypatch.setitem(OFFICIAL, "c3d", replace(entry, build=lambda: small.to("meta")))
    names = {key.replace(".weight", "/W").replace(".bias", "/b") for key in c3d.C3D(width=2).state_dict()} - {"mean"}
    assert {"conv1a/W", "conv5b/b", "fc6/W", "fc8/b"} <= names
    mean = np.arange(3 * 16 * 128 * 171, dtype=np.float32).reshape(3, 16, 128, 171)
    renamed = entry.rename({**{name: np.zeros(1) for name in names}, "mean": mean})
    assert set(renamed) == set(c3d.C3D(width=2).state_dict())
    assert torch.equal(renamed["mean"], torch.from_numpy(mean)[:, :, 8:120, 8:120])
    file = tmp_path / entry.file
    arrays = {
        "conv1a/W": np.ones((2, 3, 1, 1, 1)),
        "conv1a/b": np.ones(2),
        "fc8/W": np.ones((4, 2)),
        "fc8/b": np.ones(4),
    }
    np.savez(file, **arrays)
    with pytest.raises(ModelError, match=r"needs mean2\.npz beside it"):
        convert(file, "c3d", tmp_path)
    np.savez(tmp_path / "mean2.npz", mean=mean)
    with pytest.raises(
        ModelError, match=r"no hash of .* is known to us.*--sha256 ([0-9a-f]{64}) .*hash not pinned"
    ) as failed:
        convert(file, "c3d", tmp_path)
    digest = str(failed.value).partition("--sha256 ")[2][:64]
    with pytest.raises(ModelError, match="has the SHA-256"):
        convert(file, "c3d", tmp_path, "0" * 64)
    made = convert(file, "c3d", tmp_path, digest.upper())
    about = load_official("c3d", made).about
    assert about.note == "hash not pinned" and about.digest == digest and about.frames == 16


def test_what_is_missing_altered_or_damaged_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ModelError, match=r"i3d_torchscript\.pt .*bec6519f.*no --weights .*fetch it from https://.*dropbox"
    ):
        extractors(["i3d"])
    with pytest.raises(ModelError, match="SHA-256 6726825d"):
        extractors(["inception"], weights=tmp_path)
    with pytest.raises(ConfigError, match=r'"i3f" is not known.*did you mean "i3d"'):
        extractors(["i3f"])
    with pytest.raises(ConfigError, match="footage evaluator train"):
        extractors(["learned"])
    with pytest.raises(ConfigError, match="TorchScript, a program"):
        convert(tmp_path / "i3d_torchscript.pt", "i3d", tmp_path)
    theirs, _ = published("i3d-kinetics")
    file = tmp_path / "rgb_imagenet.pt"

    def given(value: object) -> None:
        torch.save(value, file)
        monkeypatch.setitem(OFFICIAL, "i3d-kinetics", replace(OFFICIAL["i3d-kinetics"], sha256=file_digest(file)))

    given({key: value for key, value in theirs.items() if key != "logits.conv3d.bias"})
    with pytest.raises(ModelError, match=r'lacks "logits\.conv3d\.bias"'):
        load_official("i3d-kinetics", file)
    given({**theirs, "logits.conv3d.bias": torch.zeros(3)})
    with pytest.raises(ModelError, match=r"logits\.conv3d\.bias is \(3,\), not \(400,\)"):
        load_official("i3d-kinetics", file)
    given(nn.Linear(1, 1))
    with pytest.raises(ModelError, match="cannot be read"):
        load_official("i3d-kinetics", file)
    given(theirs)
    made = convert(file, "i3d-kinetics", tmp_path)
    content = bytearray(made.read_bytes())
    content[-1] ^= 1
    made.write_bytes(content)
    with pytest.raises(ModelError, match="altered after it was converted"):
        load_official("i3d-kinetics", made)
    with pytest.raises(ModelError, match="is for i3d-kinetics, not for inception"):
        load_official("inception", made)
    made.write_bytes(b"junk")
    with pytest.raises(ModelError, match="no converted file"):
        load_official("i3d-kinetics", made)
