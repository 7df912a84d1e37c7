from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import footage
from footage.config import ClipConfig, IngestConfig
from footage.config.presets import override, preset, tiny
from footage.data.clips import DrawsClips, Loader
from footage.data.crops import DatasetCrops
from footage.data.pairs import open_source
from footage.errors import ConfigError, FootageError, ModelError
from footage.generation.convert import ConversionOptions
from footage.generation.model import Model
from footage.metrics.image_quality import sharpness
from footage.models.autoencoders.lens import LensConfig
from footage.models.autoencoders.lens.network import Lens, LensSampler, LensTraining
from footage.models.base import Batch, Converts, Encodes, PlainEngine
from footage.training.plan import prepare
from tests import clips
from tests.models import save_tiny_model


def smooth(*shape: int, seed: int = 0) -> Tensor:
    """Pictures (N, C, H, W) or clips of soft blots, as real ones mostly are."""
    rng = torch.Generator().manual_seed(seed)
    small = torch.rand(*shape[:-2], shape[-2] // 4 + 2, shape[-1] // 4 + 2, generator=rng) * 2 - 1
    flat = small.flatten(0, -4) if small.ndim > 3 else small[None]
    large = torch.nn.functional.interpolate(flat, scale_factor=4, mode="bicubic", align_corners=False)
    return large[..., 4 : 4 + shape[-2], 4 : 4 + shape[-1]].reshape(shape).clamp(-1, 1)


def woken(scale: int = 8, **knobs: int) -> LensSampler:
    """A lens with random weights, none of which is 0."""
    torch.manual_seed(0)
    config = preset("lens-8", {"net.scale": scale, "net.width": 8, **{f"net.{k}": v for k, v in knobs.items()}})
    net = config.net
    assert isinstance(net, LensConfig)
    lens = Lens(config.clip, net)
    with torch.no_grad():
        for weight in lens.parameters():
            weight += 0.1 * torch.randn(weight.shape)
        lens.mean += torch.randn(lens.mean.shape)
        lens.deviation += torch.rand(lens.deviation.shape)
    sampler = LensSampler(config.clip, lens)
    assert isinstance(sampler, Converts) and isinstance(sampler, Encodes)
    return sampler


def method(name: str = "lens-8", **knobs: object) -> LensTraining:
    torch.manual_seed(0)
    small = {"clip.height": 32, "clip.width": 32} | {key.replace("__", "."): value for key, value in knobs.items()}
    made = LensTraining(override(tiny(preset(name)), small), 0)
    made.calibrate([smooth(8, 3, 2, 32, 32, seed=1)])
    made.build_optimizers()
    return made


# The network.


@pytest.mark.parametrize("scale", [4, 8])
def test_nothing_changes_further_away_than_the_reach(scale: int) -> None:
    sampler = woken(scale)
    coding, decoding = sampler.lens.reach
    with torch.inference_mode():
        picture = smooth(1, 3, 40 * scale, 8 * scale)
        other = picture.clone()
        other[..., 20 * scale : 21 * scale, :] += 1  # one row of latent pixels
        rows = (sampler.lens.encode(other) - sampler.lens.encode(picture)).abs().amax(dim=(0, 1, 3)).nonzero()
        assert 20 - coding <= int(rows.min()) < 20 < int(rows.max()) <= 20 + coding
        latents = torch.randn(1, sampler.latent, 40, 8)
        other = latents.clone()
        other[..., 20, :] += 1
        rows = (sampler.lens.decode(other) - sampler.lens.decode(latents)).abs().amax(dim=(0, 1, 3)).nonzero()
        low, high = int(rows.min()) // scale, int(rows.max()) // scale
        assert 20 - decoding <= low < 20 - decoding // 2 and 20 + decoding // 2 < high <= 20 + decoding


@pytest.mark.parametrize(("height", "width", "tile"), [(120, 168, 8), (101, 67, 5), (8, 200, 16), (30, 31, 1)])
def test_tiled_is_untiled_whatever_the_size(height: int, width: int, tile: int) -> None:
    sampler, video = woken(), smooth(1, 3, 3, height, width)
    latents = sampler.encode(video)
    assert latents.shape == (1, 16, 3, -(-height // 8), -(-width // 8))
    torch.testing.assert_close(sampler.encode(video, tile=tile), latents, rtol=0, atol=1e-5)
    frames = sampler.decode(latents, (height, width))
    assert frames.shape == video.shape and frames.abs().max() <= 1
    torch.testing.assert_close(sampler.decode(latents, (height, width), tile=tile), frames, rtol=0, atol=1e-5)


def test_a_tile_without_its_margin_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler, video = woken(), smooth(1, 3, 1, 160, 160)
    whole = sampler.encode(video)
    monkeypatch.setattr(Lens, "reach", (0, 0))
    assert (sampler.encode(video, tile=10) - whole).abs().max() > 1e-2


@pytest.mark.parametrize("cuts", [[1] * 7, [5, 2], [7]])
def test_streamed_is_at_once(cuts: list[int]) -> None:
    sampler, video = woken(4), smooth(1, 3, 7, 37, 50)
    at_once = sampler.decode(sampler.encode(video), (37, 50))
    streamed = torch.cat(list(sampler.convert(video.split(cuts, dim=2))), dim=2)
    torch.testing.assert_close(streamed, at_once, rtol=0, atol=1e-5)


def test_a_new_lens_is_the_principal_components_of_patches() -> None:
    real, unseen = smooth(24, 3, 2, 32, 32, seed=1), smooth(4, 3, 1, 32, 32, seed=2)
    patches = torch.nn.functional.pixel_unshuffle(real[:, :, 0].double(), 8).transpose(0, 1).flatten(1)  # D N
    mean = patches.mean(dim=1)
    axes = torch.linalg.eigh(torch.cov(patches)).eigenvectors[:, -16:]
    made = method(net__latent=16)
    made.calibrate([real[:16], real[16:]])
    sampler = made.sampler()
    assert isinstance(sampler, LensSampler)
    found = sampler.decode(sampler.encode(unseen))
    wanted = torch.nn.functional.pixel_unshuffle(unseen[:, :, 0].double(), 8).movedim(1, -1) - mean
    expected = torch.nn.functional.pixel_shuffle((wanted @ axes @ axes.T + mean).movedim(-1, 1), 8)
    torch.testing.assert_close(found[:, :, 0], expected.clamp(-1, 1).float(), rtol=0, atol=1e-4)
    latents = sampler.encode(real)
    assert latents.mean(dim=(0, 2, 3, 4)).abs().max() < 0.2
    deviations = latents.std(dim=(0, 2, 3, 4))
    assert deviations.min() > 0.8 and deviations.max() < 1.2, "about unit deviation, channel by channel"


def test_plain_frames_have_a_lens_too() -> None:
    made = method()
    made.calibrate([torch.full((2, 3, 2, 32, 32), 0.5)])
    sampler = made.sampler()
    assert isinstance(sampler, LensSampler)
    grey = torch.full((1, 3, 1, 32, 32), 0.5)
    torch.testing.assert_close(sampler.decode(sampler.encode(grey)), grey, rtol=0, atol=1e-4)


# Training.


def test_it_learns_what_patches_alone_do_not_tell() -> None:
    made = method(net__width=8, net__latent=4, net__texture=0.0, learn__lr=3e-3, learn__warm_up=0, learn__decay=0)
    real = smooth(4, 3, 2, 32, 32, seed=3)
    psnr = []
    for number in range(40):
        log = made.step(Batch(real, None, torch.Generator().manual_seed(number), 4), number * 4, PlainEngine())
        psnr.append(float(log["psnr"]))
    assert psnr[-1] > psnr[0] + 1.5
    latents = made.averages["generator"].module
    assert isinstance(latents, Lens)
    coded = latents.encode(real[:, :, 0])
    deviations = coded.std(dim=(0, 2, 3))
    assert deviations.min() > 0.5 and deviations.max() < 2, "mean and deviation follow the latents"


def test_noise_on_latents_is_forgiven_by_what_learned_with_it() -> None:
    """After as many steps, the lens that learned with noise is hurt less by it."""
    hurt = []
    for noise in (0.0, 0.5):
        made = method(
            net__width=8, net__noise=noise, net__texture=0.0, learn__lr=3e-3, learn__warm_up=0, learn__decay=0
        )
        real = smooth(4, 3, 2, 32, 32, seed=3)
        for number in range(40):
            made.step(Batch(real, None, torch.Generator().manual_seed(number), 4), number * 4, PlainEngine())
        sampler = made.sampler()
        assert isinstance(sampler, LensSampler)
        latents = sampler.encode(real)
        spoilt = latents + 0.3 * torch.randn(latents.shape, generator=torch.Generator().manual_seed(5))
        hurt.append(float((sampler.decode(spoilt) - sampler.decode(latents)).square().mean()))
    assert hurt[1] < 0.9 * hurt[0]


def test_texture_that_no_latent_tells_is_not_smoothed_away() -> None:
    """Grain is smoothed away where pixels alone count, and much less where texture does."""
    grain = torch.randn(8, 3, 2, 32, 32, generator=torch.Generator().manual_seed(4))
    real = (0.7 * smooth(8, 3, 2, 32, 32, seed=3) + 0.1 * grain).clamp(-1, 1)
    ratios = []
    for texture in (0.0, 2.0):
        made = method(net__width=8, net__texture=texture, learn__lr=3e-3, learn__warm_up=0, learn__decay=0)
        made.calibrate([real])
        for number in range(40):
            made.step(Batch(real, None, torch.Generator().manual_seed(number), 8), number * 8, PlainEngine())
        sampler = made.sampler()
        assert isinstance(sampler, LensSampler)
        ratios.append(float(sharpness(sampler.decode(sampler.encode(real))).mean() / sharpness(real).mean()))
    assert ratios[1] > ratios[0] + 0.2


def test_critics_begin_when_they_are_told_to() -> None:
    made = method("lens-8-gan", learn__critics_after=4)
    real = smooth(2, 3, 2, 32, 32)
    early = made.step(Batch(real, None, torch.Generator().manual_seed(0), 2), 0, PlainEngine())
    late = made.step(Batch(real, None, torch.Generator().manual_seed(1), 2), 4, PlainEngine())
    assert "frames_patch_loss" not in early and torch.isfinite(late["frames_patch_loss"])


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"clip.height": 92}, "clip.height is 92.*multiple of net.scale, 8"),
        ({"net.scale": 5}, "net.scale is 5: known are 4, 8"),
        ({"net.scale": 4, "net.latent": 49}, "net.latent is 49.*48"),
    ],
)
def test_what_a_lens_cannot_be_is_refused(knobs: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        preset("lens-8", knobs)


# From the folder of videos to the reconstruction.


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    clips.write(folder / "wide.mp4", clips.moving(30, (40, 56), seed=1))
    clips.write(folder / "high.mp4", clips.moving(30, (72, 32), seed=2))
    return folder


CONFIG = override(tiny(preset("lens-8")), {"clip.height": 32, "clip.width": 32})


def test_any_size_and_rate_is_reconstructed(videos: Path, tmp_path: Path) -> None:
    footage.train(videos, CONFIG, out=tmp_path / "run", clips=4, quiet=True)
    model = Model(tmp_path / "run")
    odd = clips.write(tmp_path / "odd.mp4", clips.moving(12, (46, 78)), fps=12)
    assert model.convert(odd).fps == 12
    made = np.concatenate(list(model.convert(odd).chunks()))
    assert made.shape == (12, 46, 78, 3), "its own size and rate, without being asked"
    both = np.concatenate(list(model.convert(odd, ConversionOptions(beside=True)).chunks()))
    assert both.shape == (12, 46, 156, 3)
    assert footage.reconstruct(tmp_path / "run", odd, to=tmp_path / "again.mp4", quiet=True).exists()
    here, again, other = (model.embed(path) for path in (odd, odd, videos / "high.mp4"))
    assert np.array_equal(here, again) and here.shape == (8,) and not np.allclose(here, other)


def test_a_damaged_lens_is_refused(tmp_path: Path) -> None:
    info = save_tiny_model(tmp_path / "lens", preset="lens-8")
    assert len(info.weights_sha256) == 64
    weights = tmp_path / "lens" / info.weights
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.chmod(0o644)
    weights.write_bytes(bytes(content))
    with pytest.raises(ModelError, match="SHA-256 differs"):
        Model(tmp_path / "lens")


def test_a_data_set_of_larger_clips_gives_crops(videos: Path, tmp_path: Path) -> None:
    options = IngestConfig(height=40, width=48, min_frames=4, heldout=0.5, workers=0)
    footage.ingest((videos,), tmp_path / "data", options, advise=False, quiet=True)
    clip = ClipConfig(frames=2, height=24, width=32)
    source = open_source(tmp_path / "data", clip, crops=True)
    assert isinstance(source, DatasetCrops) and isinstance(source, DrawsClips) and source.shape == (24, 32, 3)
    drawn = [source.draw("train", number, 0, 2) for number in range(20)]
    assert all(crop.shape == (2, 24, 32, 3) for crop in drawn) and len({crop.tobytes() for crop in drawn}) > 15
    assert np.array_equal(drawn[3], source.draw("train", 3, 0, 2)) and not np.array_equal(
        drawn[3], source.draw("train", 3, 1, 2)
    )
    index = source.spans("heldout")[0].index
    whole = source.clips.read(index, 1, 2)
    assert np.array_equal(source.read(index, 1, 2), whole[:, 8:32, 8:40])
    batch, _ = Loader(source, "heldout", frames=2, batch_size=3, seed=0).batch(0)
    assert batch.shape == (3, 2, 24, 32, 3)
    config = override(CONFIG, {"train.batch_size": 2})
    assert isinstance(prepare(tmp_path / "data", config, timed=False).source, DatasetCrops)
    with pytest.raises(FootageError, match="48×40"):
        prepare(tmp_path / "data", preset("lens-8"), timed=False)
