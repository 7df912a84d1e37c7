from __future__ import annotations

import itertools
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchmetrics
from torch import Tensor, nn
from torchmetrics.functional.image import lpips as reference

import footage
from footage.errors import ConfigError, ModelError
from footage.evaluation.features.catalogue import extractors
from footage.evaluation.features.lpips import ALEXNET, VGG16, Lpips, Perceptual, Trunk
from footage.evaluation.features.official import OFFICIAL, convert, load_perceptual, together
from footage.evaluation.report.page import CURVES, meaning
from footage.evaluation.results import Evaluation, read
from footage.files import file_digest
from tests.models import save_tiny_model

TRUNKS = {"lpips-alex": ALEXNET, "lpips-vgg": VGG16}
INSTALLED = Path(torchmetrics.__file__).parent / "functional" / "image" / "lpips_models"


def layers(name: str) -> nn.Sequential:
    """The convolutions as their papers list them, numbered as the published tensors are, with random weights."""
    if name == "lpips-alex":
        found = [nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)]
        found += [nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
        for inside, outside in ((192, 384), (384, 256), (256, 256)):
            found += [nn.Conv2d(inside, outside, 3, padding=1), nn.ReLU()]
        found.append(nn.MaxPool2d(3, 2))
    else:
        inside, found = 3, []
        for outside, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
            for _ in range(count):
                found += [nn.Conv2d(inside, outside, 3, padding=1), nn.ReLU()]
                inside = outside
            found.append(nn.MaxPool2d(2, 2))
    net = nn.Sequential(*found)
    rng = torch.Generator().manual_seed(7)
    for value in net.parameters():
        reach = 2 / value[0].numel() ** 0.5
        value.data.copy_((torch.rand(value.shape, generator=rng) - 0.4) * reach)
    return net.eval().requires_grad_(False)


def heads(name: str) -> dict[str, Tensor]:
    """Heads as published: those of the installed package where it has them, else random ones."""
    file = INSTALLED / OFFICIAL[name].beside.file  # type: ignore[union-attr]
    if file.is_file():
        found: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
        return found
    rng = torch.Generator().manual_seed(8)
    widths = TRUNKS[name].widths
    return {f"lin{n}.model.1.weight": torch.rand(1, c, 1, 1, generator=rng) for n, c in enumerate(widths)}


@pytest.fixture(params=list(TRUNKS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All files as published, but with random trunks."""
    folder = tmp_path_factory.mktemp("weights")
    rest = {"classifier.1.weight": torch.zeros(2, 3), "classifier.1.bias": torch.zeros(2)}
    for name in TRUNKS:
        entry = OFFICIAL[name]
        assert entry.beside is not None
        trunk = {f"features.{key}": value for key, value in layers(name).state_dict().items()}
        torch.save({**trunk, **rest}, folder / entry.file)
        torch.save(heads(name), folder / entry.beside.file)
    return folder


def given(name: str, written: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a network's files into a folder, and pin their hashes."""
    entry = OFFICIAL[name]
    assert entry.beside is not None
    folder.mkdir()
    os.link(written / entry.file, folder / entry.file)
    shutil.copyfile(written / entry.beside.file, folder / entry.beside.file)
    beside = replace(entry.beside, sha256=file_digest(folder / entry.beside.file))
    monkeypatch.setitem(OFFICIAL, name, replace(entry, sha256=file_digest(folder / entry.file), beside=beside))  # type: ignore[index]
    return folder


@pytest.fixture
def published(name: str, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return given(name, written, tmp_path / "weights", monkeypatch)


@pytest.fixture
def alex(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return given("lpips-alex", written, tmp_path / "weights", monkeypatch)


def frames(height: int, width: int, count: int = 2) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(height)
    real = torch.rand(count, 3, height, width, generator=rng) * 2 - 1
    return (real + 0.3 * torch.randn(real.shape, generator=rng)).clamp(-1, 1), real


def equation(name: str, made: Tensor, real: Tensor) -> list[float]:
    """Equation 1 of the paper, map by map and place by place."""
    weights = [value.flatten().double().numpy() for value in heads(name).values()]
    cut = {"lpips-alex": (1, 4, 7, 9, 11), "lpips-vgg": (3, 8, 15, 22, 29)}[name]
    found = []
    for pair in zip(made, real, strict=True):
        sides = []
        for frame in pair:
            pixels = (frame / 2 + 0.5 - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor(
                [0.229, 0.224, 0.225]
            ).view(3, 1, 1)
            x, maps = pixels[None], []
            for number, layer in enumerate(layers(name)[: cut[-1] + 1]):
                x = layer(x)
                if number in cut:
                    maps.append(x[0].double().numpy())
            sides.append(maps)
        total = 0.0
        for first, second, weight in zip(*sides, weights, strict=True):
            places = list(itertools.product(*map(range, first.shape[1:])))
            for h, w in places:
                a, b = (side[:, h, w] / max(np.linalg.norm(side[:, h, w]), 1e-10) for side in (first, second))
                total += float((weight * (a - b) ** 2).sum()) / len(places)
        found.append(total)
    return found


@pytest.mark.parametrize("size", [(31, 36), (64, 64)])
def test_it_is_the_equation_of_the_paper(name: str, size: tuple[int, int], published: Path) -> None:
    net = load_perceptual(name, published)
    made, real = frames(*size)
    expected = equation(name, made, real)
    assert min(expected) > 1e-4
    found = net(made[None].transpose(1, 2), real[None].transpose(1, 2))  # T C H W -> 1 C T H W
    assert found.shape == (1, 2) and found.dtype == torch.float64
    assert found[0].tolist() == pytest.approx(expected, rel=1e-4)


def test_it_is_that_of_torchmetrics(name: str, published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net, made, real = load_perceptual(name, published), *frames(64, 80)
    ours = net(made[None].transpose(1, 2), real[None].transpose(1, 2))[0]
    kind = name.removeprefix("lpips-")
    monkeypatch.setattr(reference, "_get_tv_model_features", lambda *_, **__: layers(name))  # for want of torchvision
    theirs = reference._NoTrainLpips(net=kind, pretrained=False)
    fitting = {key: value for key, value in heads(name).items() if key in theirs.state_dict()}
    assert len(fitting) == 5
    theirs.load_state_dict(fitting, strict=False)
    with torch.no_grad():
        expected = theirs(made, real).flatten()
    torch.testing.assert_close(ours.float(), expected, rtol=1e-4, atol=1e-6)


def test_what_it_says_of_equal_grey_small_and_many_frames(name: str, published: Path) -> None:
    net = load_perceptual(name, published)
    clip = torch.rand(2, 1, 9, 32, 40) * 2 - 1
    assert float(net(clip, clip).abs().max()) == 0
    other = (clip + 0.2).clamp(-1, 1)
    grey, rgb = net(clip, other), net(clip.expand(-1, 3, -1, -1, -1), other.expand(-1, 3, -1, -1, -1))
    assert grey.shape == (2, 9), "more frames than the network sees at once"
    torch.testing.assert_close(grey, rgb)
    torch.testing.assert_close(grey[1, 3], net(clip[1:, :, 3:4], other[1:, :, 3:4])[0, 0], rtol=1e-4, atol=1e-7)
    assert "smaller than the 64×64" in net.caution(32, 40) and not net.caution(64, 64)
    least = OFFICIAL[name].least[1]
    small = torch.zeros(1, 3, 1, least, least)
    assert net(small, small).tolist() == [[0]], "the least size that it takes"
    with pytest.raises(
        ConfigError, match=rf"frames are {least - 1}×{least - 1}, {name} needs at least {least}×{least}"
    ):
        net(*[torch.zeros(1, 3, 1, least - 1, least - 1)] * 2)
    with pytest.raises(ConfigError, match="compares pairs of frames"):
        extractors([name], weights=published)


def test_files_are_known_by_both_hashes(alex: Path, tmp_path: Path) -> None:
    name, published = "lpips-alex", alex
    entry = OFFICIAL[name]
    assert entry.beside is not None and entry.digest == together(entry.sha256 or "", entry.beside.sha256 or "")
    made = convert(published / entry.file, name, tmp_path / "converted")
    one, two = load_perceptual(name, published), load_perceptual(name, made.parent)
    assert one.about.digest == two.about.digest == entry.digest
    assert (one.about.tier, one.about.note, one.about.of) == ("A", "", "pair")
    clips = torch.rand(2, 1, 3, 2, 64, 64)
    assert torch.equal(one(*clips), two(*clips))
    head = published / entry.beside.file
    content = head.read_bytes()
    torch.save({key: value * 2 for key, value in heads(name).items()}, head)
    with pytest.raises(
        ModelError, match=rf"{head.name} has the SHA-256 .*{head.name} for {name} has {entry.beside.sha256}"
    ):
        load_perceptual(name, published)
    head.unlink()
    with pytest.raises(ModelError, match=f"{entry.file} needs {head.name} beside it"):
        load_perceptual(name, published)
    head.write_bytes(content)
    (published / entry.file).unlink()
    (published / entry.file).write_bytes(b"junk")
    with pytest.raises(ModelError, match=f"for {name} has {entry.sha256}"):
        load_perceptual(name, published)


def test_what_is_missing_is_named_with_its_hash(name: str) -> None:
    entry = OFFICIAL[name]
    assert entry.sha256 and entry.file.rpartition("-")[2].removesuffix(".pth") == entry.sha256[:8]
    with pytest.raises(ModelError, match=rf"{entry.file}.*{entry.sha256}.*with .*beside it.*no --weights.*fetch it"):
        load_perceptual(name, None)


def test_heads_of_the_installed_package_are_the_pinned_ones(name: str) -> None:
    beside, widths = OFFICIAL[name].beside, TRUNKS[name].widths
    assert beside is not None and [len(value.flatten()) for value in heads(name).values()] == list(widths)
    assert all(float(value.min()) >= 0 for value in heads(name).values()), "eq. 1 squares them"
    file = INSTALLED / beside.file
    assert not file.is_file() or file_digest(file) == beside.sha256


@pytest.mark.parametrize(("trunk", "count"), [(ALEXNET, 2_469_696), (VGG16, 14_714_688)])
def test_trunks_have_as_many_numbers_as_published(trunk: Trunk, count: int) -> None:
    with torch.device("meta"):
        assert sum(value.numel() for value in Lpips(trunk).features.parameters()) == count


def evaluated(model: Path, **choices: object) -> Evaluation:
    return footage.evaluate(model, "shapes", clips=6, resamples=2, quiet=True, **choices)  # type: ignore[arg-type]


def test_it_stands_beside_psnr_over_the_horizon_where_there_are_weights(tmp_path: Path, alex: Path) -> None:
    save_tiny_model(tmp_path / "m", preset="svg-64", labels=(), task__past=3)
    found = evaluated(
        tmp_path / "m",
        weights=alex,
        samples=3,
        metrics="fidelity",
        to=tmp_path / "f.json",
        report=tmp_path / "page.html",
    )
    figure = found.figure("lpips")
    assert (figure.label, figure.tier, figure.networks) == ("LPIPS (AlexNet)", "A", ("lpips-alex",))
    assert figure.value and figure.value > 0 and figure.plain and "smaller than the 64×64" in figure.note
    assert (found.figure("best_lpips").value or 9) < figure.value
    (network,) = [net for net in found.networks if net.name == "lpips-alex"]
    assert network.digest == OFFICIAL["lpips-alex"].digest and network.tier == "A"
    (curve,) = [curve for curve in found.curves if curve.name == "lpips"]
    assert curve.tier == "A" and {line.name: len(line.y) for line in curve.lines} == {"made": 5, "plain": 5}
    mean = sum(value or 0 for value in curve.lines[0].y) / 5
    assert mean == pytest.approx(figure.value)
    assert meaning(figure).endswith("Lower is better.") and CURVES[curve.name]
    assert any("LPIPS (AlexNet): frames of" in warning for warning in found.warnings)
    page = (tmp_path / "page.html").read_text()
    assert "LPIPS (AlexNet)" in page and network.digest in page and read(tmp_path / "f.json").networks == found.networks


def test_without_weights_nothing_is_called_lpips(tmp_path: Path, alex: Path) -> None:
    save_tiny_model(tmp_path / "m", preset="simvp-64", labels=(), task__past=3)
    found = evaluated(tmp_path / "m", metrics="fidelity", to=tmp_path / "f.json")
    assert "lpips" not in (tmp_path / "f.json").read_text().lower() and found.figure("psnr").value
    with pytest.raises(ModelError, match=r"alexnet-owt-7be5be79\.pth .*no --weights"):
        evaluated(tmp_path / "m", networks="lpips-alex", metrics="fidelity")
    save_tiny_model(tmp_path / "g", preset="stream-64", labels=())
    found = evaluated(tmp_path / "g", weights=alex, metrics="fvd")
    assert [net.name for net in found.networks] == [f"random-{number}" for number in range(5)]
    assert any("lpips-alex: there are no answers" in warning for warning in found.warnings)
    assert isinstance(load_perceptual("lpips-alex", alex), Perceptual)
