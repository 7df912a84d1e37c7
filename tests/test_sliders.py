"""Latent sliders: the directions, what they move, and how they are asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from footage.commands.main import main
from footage.config.registry import METHODS
from footage.errors import ConfigError
from footage.generation.model import Model
from footage.media.encode import read_metadata
from footage.models.base import Generates
from footage.models.generators.samplers import directions, draw, shifts
from footage.models.generators.stream.network import StreamGenerator
from footage.models.generators.stream.sampler import StreamSampler
from footage.models.layers import Generator
from footage.models.requests import TimeMapping, VideoRequest, read_sliders, write_sliders
from tests.models import save_tiny_model, tiny_config
from tests.streams import save_tiny_stream, tiny_stream

KINDS: dict[str, dict[str, Any]] = {
    "mlp-32": {},
    "conv3d-32": {},
    "conv3d-64-streams": {"net__mix": "concatenate"},
    "recurrent-32": {},
    "mocogan-64": {},
    "embed_motion-32": {},
    "stream-32": {},
    "vae-latent-64": {},
}
"""A preset of every generator that has a code which stays, and of every way in which it enters."""
MOVED = ((1, 2.0), (3, -1.5))


def sampler_of(preset: str, **knobs: object) -> Generates:
    config = tiny_config(preset, **knobs)
    torch.manual_seed(1)
    sampler = METHODS[config.method](config, 2).sampler()
    assert isinstance(sampler, Generates)
    return sampler


def generator_of(sampler: Generates) -> Generator:
    found: Generator = getattr(sampler, "prior", None) or sampler.generator  # type: ignore[attr-defined]
    return found


def made(sampler: Generates, *requests: VideoRequest, chunks: int = 1) -> Tensor:
    segments = sampler.segments(requests)
    return torch.cat([next(segments) for _ in range(chunks)], dim=2)


def test_directions_are_right_singular_vectors() -> None:
    torch.manual_seed(0)
    parts = [torch.randn(7, 5), torch.randn(9, 5)]
    found = directions(parts).numpy()
    _, _, expected = np.linalg.svd(torch.cat(parts).double().numpy())
    assert np.allclose(np.abs((found * expected).sum(axis=1)), 1, atol=1e-5)
    assert np.allclose(found @ found.T, np.eye(5), atol=1e-5)
    assert (np.take_along_axis(found, np.abs(found).argmax(axis=1)[:, None], axis=1) > 0).all()
    lengths = np.linalg.norm(torch.cat(parts).numpy() @ found.T, axis=0)
    assert (np.diff(lengths) < 0).all(), "the one that changes most comes first"


@pytest.mark.parametrize("preset", KINDS)
def test_the_entries_are_all_linear_maps_that_the_code_reaches(preset: str) -> None:
    """What each linear layer gives changes by A v where the code enters it; beside them it enters nowhere."""
    sampler = sampler_of(preset, **KINDS[preset])
    generator = generator_of(sampler)
    if isinstance(generator, StreamGenerator):
        pytest.skip("its layers are put together; see the next test")
    name = "content" if "content" in generator.noise(4) else "z"
    noise = {key: torch.randn(1, *shape) for key, shape in generator.noise(8).items()}
    seen: list[list[Tensor]] = []

    def give(code: Tensor) -> None:
        found: list[Tensor] = []
        hooks = [
            layer.register_forward_hook(lambda _, given, out: found.append(out.detach()) or None)  # type: ignore[func-returns-value]
            for layer in generator.modules()
            if isinstance(layer, nn.Linear)
        ]
        with torch.no_grad():
            generator(noise | {name: code}, torch.tensor([0]) if generator.table is not None else None)
        for hook in hooks:
            hook.remove()
        seen.append(found)

    move = torch.randn_like(noise[name])
    give(noise[name])
    give(noise[name] + move)
    expected = [(weight @ move[0]).detach() for weight in generator.entries()]
    changes = [(after - before)[0] for before, after in zip(*seen, strict=True) if not torch.equal(before, after)]
    changes = changes[:1] if preset == "mlp-32" else changes  # its further layers are given what the first has made
    assert len(changes) == len(expected)
    for change, wanted in zip(changes, expected, strict=True):
        assert torch.allclose(change, wanted, atol=1e-4)
    assert all(weight.shape[1] == sampler.sliders for weight in generator.entries())


def test_the_entries_of_a_stream_are_the_mean_slope_of_what_its_style_decides() -> None:
    sampler = tiny_stream()
    generator = sampler.generator
    content = torch.randn(4000, sampler.sliders)
    move = torch.randn(sampler.sliders)
    with torch.no_grad():
        before, after = (generator.start(generator.style(code)) for code in (content, content + 1e-2 * move))
        slope = (after - before).mean(dim=0) / 1e-2
        wanted = generator.entries()[0] @ move
    assert torch.nn.functional.cosine_similarity(slope, wanted, dim=0) > 0.99
    assert torch.allclose(slope, wanted, atol=0.1 * float(wanted.abs().max()))


@pytest.mark.parametrize("preset", KINDS)
def test_sliders_move_the_clip_of_their_own_wish(preset: str) -> None:
    sampler = sampler_of(preset, **KINDS[preset])
    label = (1.0, 0.0) if sampler.classes else None
    plain, moved = VideoRequest(3, label), VideoRequest(3, label, sliders=MOVED)
    both = made(sampler, plain, moved)
    for row, request in zip(both, (plain, moved), strict=True):
        assert torch.allclose(row, made(sampler, request)[0], atol=1e-5)
    assert not torch.allclose(both[0], both[1], atol=1e-3)
    size = generator_of(sampler).noise(8).get("content", generator_of(sampler).noise(8).get("z"))
    assert size is not None
    _, start = draw([3], *size)
    rows = directions(generator_of(sampler).entries())
    found = start + shifts(generator_of(sampler), [moved], sampler.sliders)
    assert torch.allclose(found, start + 2.0 * rows[0] - 1.5 * rows[2])


@pytest.mark.parametrize(("preset", "count"), [*((name, None) for name in KINDS), ("vae-64", 0)])
def test_the_configuration_knows_how_many(preset: str, count: int | None) -> None:
    config = tiny_config(preset, **KINDS.get(preset, {}))
    sampler = sampler_of(preset, **KINDS.get(preset, {}))
    assert config.net.sliders == sampler.sliders
    assert sampler.sliders == count if count is not None else sampler.sliders > 2


def test_predictors_have_none() -> None:
    config = tiny_config("simvp-64", task__past=4)
    assert config.net.sliders == 0


def stretch(sampler: StreamSampler, request: VideoRequest, frames: int, chunk: int) -> Tensor:
    segments, found = sampler.segments([request], chunk), []
    while sum(part.shape[2] for part in found) < frames:
        found.append(next(segments))
    return torch.cat(found, dim=2)[:, :, :frames]


def test_streamed_sought_slow_and_looped_it_is_the_same() -> None:
    sampler = tiny_stream()
    request = VideoRequest(5, sliders=MOVED)
    whole = stretch(sampler, request, 24, 24)
    assert torch.allclose(whole, stretch(sampler, request, 24, 5), atol=1e-5)
    sought = stretch(sampler, replace(request, time=TimeMapping(start=10.0)), 14, 14)
    assert torch.allclose(whole[:, :, 10:], sought, atol=1e-5)
    slow = stretch(sampler, replace(request, time=TimeMapping(rate=0.5)), 47, 8)
    assert torch.allclose(whole, slow[:, :, ::2], atol=1e-5)
    loop = stretch(sampler, replace(request, time=TimeMapping(loop=8.0)), 16, 16)
    assert torch.allclose(loop[:, :, :8], loop[:, :, 8:], atol=1e-5)


def test_sliders_stay_whatever_else_happens_to_content() -> None:
    sampler = tiny_stream()
    mean = VideoRequest(5, time=TimeMapping(truncation=0.0))
    moved = replace(mean, sliders=MOVED)
    assert not torch.allclose(made(sampler, mean), made(sampler, moved), atol=1e-3), "they act upon the mean too"
    other = made(sampler, replace(moved, seed=6, time=replace(moved.time, motion_seed=5)))
    assert torch.allclose(made(sampler, moved), other, atol=1e-6), "of what the seed has nothing is left"
    way = VideoRequest(5, to_seed=9, frames=16, sliders=MOVED)
    between = stretch(sampler, way, 17, 17)
    end = stretch(sampler, VideoRequest(9, sliders=MOVED, time=TimeMapping(motion_seed=5)), 17, 17)
    assert torch.allclose(between[:, :, 16], end[:, :, 16], atol=1e-5)
    assert torch.allclose(between[:, :, 0], stretch(sampler, VideoRequest(5, sliders=MOVED), 1, 1)[:, :, 0], atol=1e-5)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return save_tiny_stream(tmp_path_factory.mktemp("model"), ("walk", "run"))


def test_generate_takes_them_and_says_so(model: Model) -> None:
    (plain,) = model.generate(seed=2)
    (moved,) = model.generate(seed=2, sliders={1: 2.0, 3: -1.5})
    (text,) = model.generate(seed=2, sliders="3=-1.5, 1=2")
    (still,) = model.generate(seed=2, sliders={2: 0.0})
    assert moved.metadata["sliders"] == {"1": 2.0, "3": -1.5} and "sliders" not in plain.metadata
    assert np.array_equal(moved.array(), text.array()) and not np.array_equal(moved.array(), plain.array())
    assert np.array_equal(still.array(), plain.array()) and still.metadata == plain.metadata
    (again,) = model.generate(seed=2, label=moved.metadata["label"], sliders=moved.metadata["sliders"])
    assert np.array_equal(moved.array(), again.array())
    streamed = model.stream(seed=2, sliders="1=2,3=-1.5")
    assert np.array_equal(np.stack([next(streamed) for _ in range(8)]), moved.array()[:8])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({99: 1.0}, 'slider "99" is asked for, and tiny has'),
        ("0=1", 'slider "0" is asked for'),
        ("x=1", 'slider "x" is asked for'),
        ({1: 5.1}, 'slider 1 is "5.1": give a number from -5 to 5'),
        ({1: float("nan")}, 'slider 1 is "nan"'),
        ({1: float("inf")}, 'slider 1 is "inf"'),
        ({1: True}, 'slider 1 is "True"'),
        ("1=two", 'slider 1 is "two"'),
        ("1:2", 'sliders has "1:2": give NUMBER=VALUE'),
        ("1=2,1=3", "slider 1 is given twice"),
    ],
)
def test_what_cannot_be_is_refused(model: Model, given: Any, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        model.generate(sliders=given)
    assert said in str(refused.value)


def test_a_model_without_a_code_that_stays_has_none(tmp_path: Path) -> None:
    save_tiny_model(tmp_path, preset="vae-64")
    with pytest.raises(ConfigError, match="tiny has none"):
        Model(tmp_path).generate(sliders={1: 1.0})
    assert len(list(Model(tmp_path).generate(sliders={}))) == 1


def test_they_are_written_as_they_are_read() -> None:
    values = {1: 2.0, 3: -1.25, 12: 0.1}
    assert write_sliders(values) == "1=2,3=-1.25,12=0.1" and read_sliders(write_sliders(values), 12, "m") == values
    assert read_sliders(" 2 = 1 ，3=-5,", 3, "m") == {2: 1.0, 3: -5.0}


def test_the_command_line(model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(model.folder)
    main(["generate", folder, "--to", str(tmp_path / "a"), "--count", "1", "--sliders", "1=2,3=-1.5"])
    (written,) = (tmp_path / "a").glob("*.mp4")
    assert read_metadata(written)["sliders"] == {"1": 2.0, "3": -1.5}
    main(["sliders", folder, "--to", str(tmp_path / "sheet.png"), "--count", "3"])
    assert "3 of " in capsys.readouterr().out
    with Image.open(tmp_path / "sheet.png") as sheet:
        picture = np.asarray(sheet)
    height, width = 32 * 3, 32 * 3
    assert picture.shape[0] == 28 + 3 * (height + 4)
    cells = [picture[28:, :][:height, -(7 - i) * (width + 4) :][:, :width] for i in range(7)]
    assert not np.array_equal(cells[0], cells[3]) and not np.array_equal(cells[3], cells[6])
    with pytest.raises(SystemExit):
        main(["sliders", folder, "--to", "sheet.gif"])
    assert "ends in .png" in capsys.readouterr().err
    main(["models", folder])
    assert "sliders" in capsys.readouterr().out
    assert "latent sliders" in (model.folder / "README.md").read_text()
